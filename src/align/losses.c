#include "align/losses.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return (x >= 0 ? 1.0 : e) / (1.0 + e);
}

/* -ln s(x) = ln(1 + e^-x) */
static double minus_log_sigmoid(double x)
{
    return fmax(-x, 0.0) + log1p(exp(-fabs(x)));
}

/* -L(x) of a margin x with dx/da and dx/db. */
static plumb_loss_slope logistic(double x, double by_a, double by_b)
{
    double g = -sigmoid(-x);
    return (plumb_loss_slope){.value = minus_log_sigmoid(x), .dw = g * by_a, .dl = g * by_b};
}

/* -(1-e) L(x) - e L(-x), and its derivative by x */
static double smoothed(double x, double e, double *by_x)
{
    *by_x = e * sigmoid(x) - (1 - e) * sigmoid(-x);
    return (1 - e) * minus_log_sigmoid(x) + e * minus_log_sigmoid(-x);
}

/* ln(e^x + e^y) */
static double log_add(double x, double y)
{
    if (x == y) return x + log(2.0);
    return fmax(x, y) + log1p(exp(-fabs(x - y)));
}

static double square(double x)
{
    return x * x;
}

/* --- losses of one pair; q[0] is beta ----------------------------------------------------------------------------- */

static plumb_loss_slope dpo(const plumb_loss_point *p, const double *q)
{
    return logistic(q[0] * (p->a - p->b), q[0], -q[0]);
}

static plumb_loss_slope hinge(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * (p->a - p->b), g = x < 1 ? -q[0] : 0;
    return (plumb_loss_slope){.value = fmax(0.0, 1 - x), .dw = g, .dl = -g};
}

static plumb_loss_slope ipo(const plumb_loss_point *p, const double *q)
{
    double distance = p->a / p->n_w - p->b / p->n_l - 1 / (2 * q[0]);
    return (plumb_loss_slope){square(distance), 2 * distance / p->n_w, -2 * distance / p->n_l, 0};
}

static plumb_loss_slope ipo_sum(const plumb_loss_point *p, const double *q)
{
    double distance = p->a - p->b - 1 / (2 * q[0]);
    return (plumb_loss_slope){square(distance), 2 * distance, -2 * distance, 0};
}

/* KL((s(x), s(-x)) || (1-e, e)); since L(x) - L(-x) = x its derivative is s(x) s(-x) [x - ln(1-e) + ln e]. */
static plumb_loss_slope exo_pair(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * (p->a - p->b), win = sigmoid(x), lose = sigmoid(-x), log_win = log1p(-q[1]), log_lose = log(q[1]);
    double g = q[0] * win * lose * (x - log_win + log_lose);
    return (plumb_loss_slope){.value =
                                  win * (-minus_log_sigmoid(x) - log_win) + lose * (-minus_log_sigmoid(-x) - log_lose),
                              .dw = g,
                              .dl = -g};
}

static plumb_loss_slope nca_pair(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * p->a, y = q[0] * p->b;
    return (plumb_loss_slope){
        .value = minus_log_sigmoid(x) + minus_log_sigmoid(-x) / 2 + minus_log_sigmoid(-y) / 2,
        .dw = q[0] * (sigmoid(x) / 2 - sigmoid(-x)),
        .dl = q[0] * sigmoid(y) / 2,
    };
}

static plumb_loss_slope robust(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * (p->a - p->b), e = q[1], scale = 1 / (1 - 2 * e);
    double g = -q[0] * ((1 - e) * sigmoid(-x) + e * sigmoid(x)) * scale;
    return (plumb_loss_slope){
        .value = ((1 - e) * minus_log_sigmoid(x) - e * minus_log_sigmoid(-x)) * scale, .dw = g, .dl = -g};
}

static plumb_loss_slope bco_pair(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * p->a - q[1], y = q[1] - q[0] * p->b;
    return (plumb_loss_slope){
        .value = minus_log_sigmoid(x) + minus_log_sigmoid(y), .dw = -q[0] * sigmoid(-x), .dl = q[0] * sigmoid(-y)};
}

static plumb_loss_slope sppo_hard(const plumb_loss_point *p, const double *q)
{
    double up = p->a - 0.5 / q[0], down = p->b + 0.5 / q[0];
    return (plumb_loss_slope){square(up) + square(down), 2 * up, 2 * down, 0};
}

static plumb_loss_slope apo_zero(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * p->a, y = q[0] * p->b;
    return (plumb_loss_slope){
        .value = sigmoid(-x) + sigmoid(y),
        .dw = -q[0] * sigmoid(x) * sigmoid(-x),
        .dl = q[0] * sigmoid(y) * sigmoid(-y),
    };
}

static plumb_loss_slope apo_down(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * p->a, y = q[0] * (p->a - p->b), g = q[0] * sigmoid(y) * sigmoid(-y);
    return (plumb_loss_slope){.value = sigmoid(x) + sigmoid(-y), .dw = q[0] * sigmoid(x) * sigmoid(-x) - g, .dl = g};
}

/* m e^-x is taken as e^(-x + L(x / tau)): e^-x alone overflows where m vanishes. */
static plumb_loss_slope discopop(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * (p->a - p->b), y = x / q[1], m = sigmoid(y), rest = sigmoid(-y), plain = minus_log_sigmoid(x);
    double exponential = exp(-x - minus_log_sigmoid(y));
    double g = q[0] * (exponential * (rest / q[1] - 1) - rest * sigmoid(-x) - m * rest * plain / q[1]);
    return (plumb_loss_slope){.value = rest * plain + exponential, .dw = g, .dl = -g};
}

static plumb_loss_slope sft(const plumb_loss_point *p, const double *q)
{
    (void)q;
    return (plumb_loss_slope){.value = -p->likelihood * p->pairs_per_token, .dlikelihood = -p->pairs_per_token};
}

static plumb_loss_slope sigmoid_norm(const plumb_loss_point *p, const double *q)
{
    return logistic(q[0] * (p->a / p->n_w - p->b / p->n_l), q[0] / p->n_w, -q[0] / p->n_l);
}

static plumb_loss_slope cdpo(const plumb_loss_point *p, const double *q)
{
    double by_x, value = smoothed(q[0] * (p->a - p->b), q[1], &by_x);
    return (plumb_loss_slope){.value = value, .dw = q[0] * by_x, .dl = -q[0] * by_x};
}

static plumb_loss_slope dpop(const plumb_loss_point *p, const double *q)
{
    double lost = fmax(0.0, -p->a), by_a = p->a < 0 ? 1 + q[1] : 1;
    return logistic(q[0] * (p->a - p->b - q[1] * lost), q[0] * by_a, -q[0]);
}

static plumb_loss_slope dpo_shift(const plumb_loss_point *p, const double *q)
{
    return logistic(q[0] * (p->a - q[1] * p->b), q[0], -q[0] * q[1]);
}

static plumb_loss_slope cal_dpo(const plumb_loss_point *p, const double *q)
{
    double up = p->a - 0.5 / q[0], down = p->b + 0.5 / q[0];
    plumb_loss_slope out = logistic(p->a - p->b, 1, -1);
    out.value += q[1] * (square(up) + square(down));
    out.dw += 2 * q[1] * up;
    out.dl += 2 * q[1] * down;
    return out;
}

static plumb_loss_slope bdpo(const plumb_loss_point *p, const double *q)
{
    double ours = p->b + log(q[1]), theirs = log1p(-q[1]);
    return logistic(q[0] * (p->a - log_add(ours, theirs)), q[0], -q[0] * sigmoid(ours - theirs));
}

static plumb_loss_slope simpo(const plumb_loss_point *p, const double *q)
{
    return logistic(q[0] * (p->w / p->n_w - p->l / p->n_l) - q[1], q[0] / p->n_w, -q[0] / p->n_l);
}

static plumb_loss_slope cpo(const plumb_loss_point *p, const double *q)
{
    plumb_loss_slope out = logistic(q[0] * (p->w - p->l), q[0], -q[0]);
    out.value -= q[1] * p->likelihood / p->n_w;
    out.dlikelihood = -q[1] / p->n_w;
    return out;
}

/* ln p - ln(1 - p) of p = e^m. The derivative is 1 / (1 - e^m). */
static double log_odds(double m, double *by_m)
{
    double left = -expm1(m);             /* 1 - p */
    if (left <= DBL_MIN) left = DBL_MIN; /* p rounds to 1 */
    *by_m = 1 / left;
    return m - (m > -0.6931471805599453 ? log(left) : log1p(-exp(m)));
}

static plumb_loss_slope orpo(const plumb_loss_point *p, const double *q)
{
    double by_w, by_l, x = log_odds(p->w / p->n_w, &by_w) - log_odds(p->l / p->n_l, &by_l);
    plumb_loss_slope out = logistic(x, by_w / p->n_w, -by_l / p->n_l);
    return (plumb_loss_slope){q[0] * out.value, q[0] * out.dw, q[0] * out.dl, 0};
}

/* r(m) = (1 - e^(-alpha m)) / alpha; m for alpha 0 */
static double alphapo_reward_of(double m, double alpha)
{
    return alpha == 0 ? m : -expm1(-alpha * m) / alpha;
}

static plumb_loss_slope alphapo(const plumb_loss_point *p, const double *q)
{
    double mw = p->w / p->n_w, ml = p->l / p->n_l;
    double x = q[0] * (alphapo_reward_of(mw, q[2]) - alphapo_reward_of(ml, q[2])) - q[1];
    return logistic(x, q[0] * exp(-q[2] * mw) / p->n_w, -q[0] * exp(-q[2] * ml) / p->n_l);
}

static plumb_loss_slope kto_pair(const plumb_loss_point *p, const double *q)
{
    double x = q[0] * (p->a - q[1]), y = q[0] * (q[1] - p->b);
    return (plumb_loss_slope){
        .value = (sigmoid(-x) + sigmoid(-y)) / 2,
        .dw = -q[0] * sigmoid(x) * sigmoid(-x) / 2,
        .dl = q[0] * sigmoid(y) * sigmoid(-y) / 2,
    };
}

static plumb_loss_slope squared_po(const plumb_loss_point *p, const double *q)
{
    double up = exp(-p->a), down = exp(-p->b);
    return logistic(q[0] * (p->a * up - p->b * down), q[0] * (1 - p->a) * up, -q[0] * (1 - p->b) * down);
}

/* --- losses of a batch -------------------------------------------------------------------------------------------- */

typedef struct ranked {
    double value;
    size_t pair;
} ranked;

static int ascending(const void *x, const void *y)
{
    const ranked *a = x, *b = y;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return (a->pair > b->pair) - (a->pair < b->pair);
}

/* Two sorted lists of n values to be filled and sorted by the caller. */
static plumb_status two_lists(plumb_arena *scratch, size_t n, ranked **x, ranked **y)
{
    PLUMB_TRY(plumb_arena_new(scratch, x, n, sizeof **x));
    PLUMB_TRY(plumb_arena_new(scratch, y, n, sizeof **y));
    for (size_t i = 0; i < n; i++) (*x)[i].pair = (*y)[i].pair = i;
    return PLUMB_OK;
}

static plumb_status aot(const plumb_loss_point *p, size_t n, const double *q, plumb_arena *scratch,
                        plumb_loss_slope *out)
{
    ranked *ours, *theirs;
    PLUMB_TRY(two_lists(scratch, n, &ours, &theirs));
    for (size_t i = 0; i < n; i++) {
        ours[i].value = p[i].w - p[i].l;
        theirs[i].value = p[i].w_ref - p[i].l_ref;
    }
    qsort(ours, n, sizeof *ours, ascending);
    qsort(theirs, n, sizeof *theirs, ascending);
    for (size_t i = 0; i < n; i++) {
        double by_x, value = smoothed(q[0] * (ours[i].value - theirs[i].value), q[1], &by_x);
        out[ours[i].pair] = (plumb_loss_slope){.value = value, .dw = q[0] * by_x, .dl = -q[0] * by_x};
    }
    return PLUMB_OK;
}

/* The value of a rank goes to the pair whose chosen response holds it. */
static plumb_status aot_unpaired(const plumb_loss_point *p, size_t n, const double *q, plumb_arena *scratch,
                                 plumb_loss_slope *out)
{
    ranked *chosen, *rejected;
    PLUMB_TRY(two_lists(scratch, n, &chosen, &rejected));
    for (size_t i = 0; i < n; i++) {
        chosen[i].value = p[i].a;
        rejected[i].value = p[i].b;
        out[i].dlikelihood = 0;
    }
    qsort(chosen, n, sizeof *chosen, ascending);
    qsort(rejected, n, sizeof *rejected, ascending);
    for (size_t i = 0; i < n; i++) {
        double by_x;
        out[chosen[i].pair].value = smoothed(q[0] * (chosen[i].value - rejected[i].value), q[1], &by_x);
        out[chosen[i].pair].dw = q[0] * by_x;
        out[rejected[i].pair].dl = -q[0] * by_x;
    }
    return PLUMB_OK;
}

/* --- rewards ------------------------------------------------------------------------------------------------------ */

/* TRL's CPOTrainer and ORPOTrainer: beta times the log-prob that enters the loss. */
static double reward_logps(double logps, double n, const double *q)
{
    (void)n;
    return q[0] * logps;
}

static double reward_mean(double logps, double n, const double *q)
{
    return q[0] * logps / n;
}

static double reward_alphapo(double logps, double n, const double *q)
{
    return q[0] * alphapo_reward_of(logps / n, q[2]);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* clang-format off */
#define BETA(value)              {"beta", value, 0, INFINITY, true, true}
#define POSITIVE(name, value)    {name, value, 0, INFINITY, true, true}
#define FROM_ZERO(name, value)   {name, value, 0, INFINITY, false, true}
#define ZERO_TO_ONE(name, value) {name, value, 0, 1, false, false}
#define ANY(name, value)         {name, value, -INFINITY, INFINITY, true, true}
#define SMOOTHING(below)         {"label_smoothing", 0, 0, below, false, true}
#define MUST_BE_GIVEN            NAN

static const plumb_loss table[] = {
    {.name = "sigmoid", .formula = "-L(beta D)", .paper = "2305.18290",
     .note = "DPO; label_smoothing has no effect on it, cdpo is the form that has",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1)}, .pair = dpo},
    {.name = "hinge", .formula = "max(0, 1 - beta D)", .paper = "2305.10425, 2309.06657",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1)}, .pair = hinge},
    {.name = "ipo", .formula = "(a/n_w - b/n_l - 1/(2 beta))^2", .paper = "2310.12036",
     .note = "means over the tokens as in TRL; ipo_sum is the formula of the paper",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1)}, .pair = ipo},
    {.name = "exo_pair", .formula = "s(beta D) [L(beta D) - ln(1-e)] + s(-beta D) [L(-beta D) - ln e]",
     .paper = "2402.00856", .note = "the paper takes label_smoothing 0.001",
     .needs_reference = true, .f_divergence = true,
     .parameters = {BETA(0.1), {"label_smoothing", MUST_BE_GIVEN, 0, 1, true, true}}, .pair = exo_pair},
    {.name = "nca_pair", .formula = "-L(beta a) - L(-beta a)/2 - L(-beta b)/2", .paper = "2402.05369",
     .needs_reference = true, .parameters = {BETA(0.1)}, .pair = nca_pair},
    {.name = "robust", .formula = "[-(1-e) L(beta D) + e L(-beta D)] / (1 - 2e)", .paper = "2403.00409",
     .note = "label_smoothing is the probability that a label is flipped",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1), SMOOTHING(0.5)}, .pair = robust},
    {.name = "bco_pair", .formula = "-L(beta a - delta) - L(delta - beta b)", .paper = "2404.04656",
     .note = "bco_delta, the mean reward in the paper, is a constant, as in TRL",
     .needs_reference = true, .parameters = {BETA(0.1), ANY("bco_delta", 0)}, .pair = bco_pair},
    {.name = "sppo_hard", .formula = "(a - 1/(2 beta))^2 + (b + 1/(2 beta))^2", .paper = "2405.00675",
     .needs_reference = true, .parameters = {BETA(0.1)}, .pair = sppo_hard},
    {.name = "aot", .paper = "2406.05882",
     .formula = "-(1-e) L(beta d) - e L(-beta d), d = sorted(w - l) - sorted(w_ref - l_ref) over the batch",
     .needs_reference = true, .uses_batch = true, .parameters = {BETA(0.1), SMOOTHING(1)}, .batch = aot},
    {.name = "aot_unpaired", .paper = "2406.05882",
     .formula = "-(1-e) L(beta d) - e L(-beta d), d = sorted(a) - sorted(b) over the batch",
     .needs_reference = true, .uses_batch = true, .parameters = {BETA(0.1), SMOOTHING(1)}, .batch = aot_unpaired},
    {.name = "apo_zero", .formula = "1 - s(beta a) + s(beta b)", .paper = "2408.06266",
     .needs_reference = true, .parameters = {BETA(0.1)}, .pair = apo_zero},
    {.name = "apo_down", .formula = "s(beta a) + 1 - s(beta D)", .paper = "2408.06266",
     .needs_reference = true, .parameters = {BETA(0.1)}, .pair = apo_down},
    {.name = "discopop", .formula = "(1-m) (-L(beta D)) + m e^(-beta D), m = s(beta D / discopop_tau)",
     .paper = "2406.08414", .needs_reference = true, .f_divergence = true,
     .parameters = {BETA(0.1), POSITIVE("discopop_tau", 0.05)}, .pair = discopop},
    {.name = "sft", .formula = "-ln pi(y+) over the batch / its chosen tokens", .paper = "TRL 1.16",
     .note = "the mean over tokens, not over pairs; beta is that of the logged rewards alone",
     .uses_batch = true, .f_divergence = true, .parameters = {BETA(0.1)}, .pair = sft},
    {.name = "sigmoid_norm", .formula = "-L(beta (a/n_w - b/n_l))", .paper = "2411.15124",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1)}, .pair = sigmoid_norm},

    {.name = "cdpo", .formula = "-(1-e) L(beta D) - e L(-beta D)",
     .paper = "Mitchell 2023, A note on DPO with noisy preferences and relationship to IPO",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1), SMOOTHING(1)}, .pair = cdpo},
    {.name = "ipo_sum", .formula = "(D - 1/(2 beta))^2", .paper = "2310.12036",
     .needs_reference = true, .f_divergence = true, .parameters = {BETA(0.1)}, .pair = ipo_sum},
    {.name = "dpop", .formula = "-L(beta (D - dpop_lambda max(0, -a)))", .paper = "2402.13228",
     .note = "against displacement: a chosen response below its reference is pulled up",
     .needs_reference = true, .parameters = {BETA(0.1), FROM_ZERO("dpop_lambda", 50)}, .pair = dpop},
    {.name = "dpo_shift", .formula = "-L(beta (a - dpo_shift_lambda b))", .paper = "2502.07599",
     .needs_reference = true, .parameters = {BETA(0.1), FROM_ZERO("dpo_shift_lambda", 0.75)}, .pair = dpo_shift},
    {.name = "cal_dpo", .formula = "-L(D) + c [(a - 1/(2 beta))^2 + (b + 1/(2 beta))^2], c = cal_dpo_calibration",
     .paper = "2412.14516", .note = "cal_dpo_calibration is 1 in the paper, 0.5 in the authors' code",
     .needs_reference = true, .parameters = {BETA(0.1), FROM_ZERO("cal_dpo_calibration", 1)}, .pair = cal_dpo},
    {.name = "bdpo", .formula = "-L(beta (a - ln(bdpo_lambda e^b + 1 - bdpo_lambda)))", .paper = "2506.12725",
     .needs_reference = true, .parameters = {BETA(0.1), ZERO_TO_ONE("bdpo_lambda", 0.5)}, .pair = bdpo},
    {.name = "simpo", .formula = "-L(beta (mw - ml) - simpo_gamma)", .paper = "2405.14734",
     .note = "simpo_gamma is the paper's gamma, not gamma / beta",
     .parameters = {BETA(2), ANY("simpo_gamma", 1)}, .reward = reward_mean, .pair = simpo},
    {.name = "cpo", .formula = "-L(beta (w - l)) - cpo_alpha ln pi(y+) / n_w", .paper = "2401.08417",
     .note = "TRL takes the second term over the tokens of the batch: cpo_alpha 0 mixed with sft",
     .parameters = {BETA(0.1), FROM_ZERO("cpo_alpha", 1)}, .reward = reward_logps, .pair = cpo},
    {.name = "orpo", .formula = "-beta L(logit e^mw - logit e^ml)", .paper = "2403.07691",
     .note = "the odds-ratio term alone; the whole of ORPO is orpo mixed with sft",
     .parameters = {BETA(0.1)}, .reward = reward_mean, .pair = orpo},
    {.name = "alphapo", .paper = "2501.03884",
     .formula = "-L(beta (r(mw) - r(ml)) - simpo_gamma), r(m) = (1 - e^(-alphapo_alpha m)) / alphapo_alpha",
     .note = "alphapo_alpha 0 is simpo, whose beta and simpo_gamma are the defaults",
     .parameters = {BETA(2), ANY("simpo_gamma", 1), ANY("alphapo_alpha", MUST_BE_GIVEN)},
     .reward = reward_alphapo, .pair = alphapo},
    {.name = "kto_pair", .formula = "[1 - s(beta (a - kto_z)) + 1 - s(beta (kto_z - b))] / 2", .paper = "2402.01306",
     .note = "kto_z, the divergence from the reference, is a constant; with 0 the loss is half of apo_zero",
     .needs_reference = true, .parameters = {BETA(0.1), ANY("kto_z", MUST_BE_GIVEN)}, .pair = kto_pair},
    {.name = "squared_po", .formula = "-L(beta (a e^-a - b e^-b))", .paper = "2602.06788",
     .needs_reference = true, .parameters = {BETA(0.1)}, .pair = squared_po},
};
/* clang-format on */
enum { COUNT = sizeof table / sizeof *table };

const plumb_loss *plumb_losses(size_t *count)
{
    *count = COUNT;
    return table;
}

const plumb_loss *plumb_loss_find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

static const char *const divergence_names[PLUMB_DIVERGENCES] = {"reverse_kl", "forward_kl", "js_divergence",
                                                                "alpha_divergence"};

const char *plumb_divergence_name(plumb_divergence divergence)
{
    return divergence_names[divergence];
}

/* --- checking what was asked for ---------------------------------------------------------------------------------- */

static plumb_status unknown_loss(const char *name)
{
    const char *words[COUNT];
    for (size_t i = 0; i < COUNT; i++) words[i] = table[i].name;
    const char *nearest = plumb_nearest(name, words, COUNT);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "loss_type: \"%s\" is none of the known losses", name);
    return nearest ? plumb_cure(s, "did you mean %s?", nearest) : s;
}

static const plumb_loss_parameter *find_parameter(const plumb_loss *loss, const char *name, size_t *at)
{
    for (size_t i = 0; i < PLUMB_LOSS_PARAMETERS && loss->parameters[i].name; i++) {
        if (strcmp(loss->parameters[i].name, name) != 0) continue;
        *at = i;
        return &loss->parameters[i];
    }
    return NULL;
}

static plumb_status check_settings(const plumb_objective_options *how)
{
    for (size_t i = 0; i < how->setting_count; i++) {
        bool known = false;
        size_t at;
        for (size_t k = 0; k < COUNT; k++) known |= find_parameter(&table[k], how->settings[i].name, &at) != NULL;
        if (!known) return plumb_fail(PLUMB_E_INPUT, "%s: no loss has such a parameter", how->settings[i].name);
    }
    return PLUMB_OK;
}

static plumb_status check_bounds(const plumb_loss *loss, const plumb_loss_parameter *of, double value)
{
    if (isnan(value)) {
        plumb_status s =
            plumb_fail(PLUMB_E_INPUT, "%s has no default for loss_type %s: it must be given", of->name, loss->name);
        return loss->note ? plumb_cure(s, "%s", loss->note) : s;
    }
    bool low = of->above ? value > of->low : value >= of->low, high = of->below ? value < of->high : value <= of->high;
    if (low && high) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "%s: %g is not in %c%g, %g%c, where loss_type %s needs it", of->name, value,
                      of->above ? '(' : '[', of->low, of->high, of->below ? ')' : ']', loss->name);
}

static plumb_status fill_term(const plumb_objective_options *how, const plumb_loss *loss, plumb_loss_term *term)
{
    term->loss = loss;
    for (size_t i = 0; i < PLUMB_LOSS_PARAMETERS && loss->parameters[i].name; i++) {
        const plumb_loss_parameter *of = &loss->parameters[i];
        double value = of->fallback;
        for (size_t k = 0; k < how->setting_count; k++)
            if (strcmp(how->settings[k].name, of->name) == 0 && !isnan(how->settings[k].value))
                value = how->settings[k].value;
        PLUMB_TRY(check_bounds(loss, of, value));
        term->parameters[i] = value;
    }
    return PLUMB_OK;
}

/* Does the objective's way of weighing and scoring fit this loss? */
static plumb_status check_fit(const plumb_objective_options *how, const plumb_loss *loss)
{
    if (how->f_divergence_type != PLUMB_REVERSE_KL && !loss->f_divergence)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "f_divergence_type %s has no meaning for loss_type %s, which is not made "
                                     "from the difference of the two scores",
                                     plumb_divergence_name(how->f_divergence_type), loss->name),
                          "leave f_divergence_type at reverse_kl");
    if (loss->batch && (how->use_weighting || how->pair_weights))
        return plumb_fail(PLUMB_E_INPUT,
                          "%s does not go with loss_type %s, which compares sorted pairs with each other",
                          how->use_weighting ? "use_weighting" : "a weight per pair", loss->name);
    if (how->use_weighting && loss->pair == sft)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "use_weighting does not go with loss_type sft, which is one number per batch"),
            "sft_coeff adds the likelihood of the chosen response pair by pair");
    return PLUMB_OK;
}

static plumb_status check_numbers(const plumb_objective_options *how)
{
    if (how->loss_weight_count && how->loss_weight_count != (how->loss_types ? how->loss_types : 1))
        return plumb_fail(PLUMB_E_INPUT, "loss_weights: %zu numbers for %zu values of loss_type",
                          how->loss_weight_count, how->loss_types ? how->loss_types : 1);
    for (size_t i = 0; i < how->loss_weight_count; i++)
        if (!isfinite(how->loss_weights[i]))
            return plumb_fail(PLUMB_E_INPUT, "loss_weights: %g is not a finite number", how->loss_weights[i]);
    if (how->loss_types > PLUMB_LOSS_TERMS)
        return plumb_fail(PLUMB_E_INPUT, "loss_type: %zu values; at most %d can be mixed", how->loss_types,
                          PLUMB_LOSS_TERMS);
    if (!isnan(how->ld_alpha) && !(how->ld_alpha >= 0 && how->ld_alpha <= 1))
        return plumb_fail(PLUMB_E_INPUT, "ld_alpha: %g is not in [0, 1]", how->ld_alpha);
    if (!isfinite(how->f_alpha_divergence_coef))
        return plumb_fail(PLUMB_E_INPUT, "f_alpha_divergence_coef: %g is not a finite number",
                          how->f_alpha_divergence_coef);
    if (!(isfinite(how->sft_coeff) && how->sft_coeff >= 0))
        return plumb_fail(PLUMB_E_INPUT, "sft_coeff: %g is not a finite number from 0", how->sft_coeff);
    return PLUMB_OK;
}

plumb_status plumb_objective_make(const plumb_objective_options *how, plumb_objective *out)
{
    PLUMB_TRY(check_numbers(how));
    PLUMB_TRY(check_settings(how));
    *out = (plumb_objective){
        .count = how->loss_types ? how->loss_types : 1,
        .divergence = how->f_divergence_type,
        .coefficient = how->f_alpha_divergence_coef,
        .ld_alpha = isnan(how->ld_alpha) ? 1 : how->ld_alpha,
        .sft_coeff = how->sft_coeff,
        .use_weighting = how->use_weighting,
        .pair_weights = how->pair_weights,
    };
    for (size_t i = 0; i < out->count; i++) {
        const char *name = how->loss_types ? how->loss_type[i] : "sigmoid";
        const plumb_loss *loss = plumb_loss_find(name);
        if (!loss) return unknown_loss(name);
        PLUMB_TRY(check_fit(how, loss));
        PLUMB_TRY(fill_term(how, loss, &out->terms[i]));
        out->terms[i].weight = how->loss_weight_count ? how->loss_weights[i] : 1;
    }
    while (out->rewarding + 1 < out->count && out->terms[out->rewarding].loss->pair == sft) out->rewarding++;
    if (out->terms[out->rewarding].loss->pair == sft) out->rewarding = 0;
    return PLUMB_OK;
}

bool plumb_objective_needs_reference(const plumb_objective *o)
{
    bool needs = !o->terms[o->rewarding].loss->reward;
    for (size_t i = 0; i < o->count; i++) needs |= o->terms[i].loss->needs_reference;
    return needs;
}

double plumb_objective_parameter(const plumb_objective *o, const char *name)
{
    for (size_t i = 0; i < o->count; i++) {
        size_t at;
        if (find_parameter(o->terms[i].loss, name, &at)) return o->terms[i].parameters[at];
    }
    return NAN;
}

/* --- a batch ------------------------------------------------------------------------------------------------------ */

/* f'(e^u) and its derivative by u. */
static double score(const plumb_objective *o, double u, double *by_u)
{
    double slope = o->coefficient - 1, t = slope * u;
    switch (o->divergence) {
    case PLUMB_FORWARD_KL:
        *by_u = exp(-u);
        return -expm1(-u);
    case PLUMB_JS_DIVERGENCE:
        *by_u = sigmoid(-u);
        return log(2.0) - minus_log_sigmoid(u);
    case PLUMB_ALPHA_DIVERGENCE:
        if (fabs(slope) < 1e-6) break;
        *by_u = t > 80 ? 0 : exp(t);
        return expm1(t > 80 ? 80 : t) / slope;
    default:
        break;
    }
    *by_u = 1;
    return u;
}

/* The pair as the losses see it; by_u: d a/dw and d b/dl. */
static plumb_loss_point make_point(const plumb_objective *o, const plumb_pair_logps *in, bool reference, double *by_u)
{
    double ld = o->ld_alpha;
    plumb_loss_point p = {
        .w = in->head[0] + ld * in->tail[0],
        .l = in->head[1] + ld * in->tail[1],
        .n_w = in->tokens[0] > 1 ? in->tokens[0] : 1,
        .n_l = in->tokens[1] > 1 ? in->tokens[1] : 1,
        .likelihood = in->head[0] + in->tail[0],
    };
    if (reference) {
        p.w_ref = in->ref_head[0] + ld * in->ref_tail[0];
        p.l_ref = in->ref_head[1] + ld * in->ref_tail[1];
    }
    p.a = score(o, p.w - p.w_ref, &by_u[0]);
    p.b = score(o, p.l - p.l_ref, &by_u[1]);
    return p;
}

/* Adds weight * loss of every pair to sum [n]; one [n] is scratch. */
static plumb_status add_term(const plumb_objective *o, const plumb_loss_term *term, const plumb_pair_logps *pairs,
                             const plumb_loss_point *points, size_t n, plumb_arena *scratch, plumb_loss_slope *one,
                             plumb_loss_slope *sum)
{
    if (term->loss->batch) PLUMB_TRY(term->loss->batch(points, n, term->parameters, scratch, one));
    for (size_t i = 0; i < n; i++) {
        if (!term->loss->batch) one[i] = term->loss->pair(&points[i], term->parameters);
        double weight = term->weight;
        if (o->use_weighting) weight *= exp(pairs[i].aligned[0]) * exp(pairs[i].aligned[1]);
        sum[i].value += weight * one[i].value;
        sum[i].dw += weight * one[i].dw;
        sum[i].dl += weight * one[i].dl;
        sum[i].dlikelihood += weight * one[i].dlikelihood;
    }
    return PLUMB_OK;
}

/* rewards/chosen or rewards/rejected of a response of n tokens. */
static double reward_of(const plumb_loss_term *term, double logps, double ref_logps, double n)
{
    if (!term->loss->reward) return term->parameters[0] * (logps - ref_logps);
    return term->loss->reward(logps, n, term->parameters);
}

/* From the pair's sum of terms to what the caller gets; scale is the pair's weight, share 1 / pairs of the batch. */
static void finish(const plumb_objective *o, const plumb_loss_point *p, const plumb_loss_slope *sum, const double *by_u,
                   double scale, double share, plumb_pair_loss *out)
{
    const plumb_loss_term *rewarding = &o->terms[o->rewarding];
    double dw = scale * share * sum->dw * by_u[0], dl = scale * share * sum->dl * by_u[1];
    double dlikelihood = scale * share * (sum->dlikelihood - o->sft_coeff);
    *out = (plumb_pair_loss){
        .value = scale * (sum->value - o->sft_coeff * p->likelihood),
        .head = {dw + dlikelihood, dl},
        .tail = {o->ld_alpha * dw + dlikelihood, o->ld_alpha * dl},
        .logps = {p->w, p->l},
        .reward = {reward_of(rewarding, p->w, p->w_ref, p->n_w), reward_of(rewarding, p->l, p->l_ref, p->n_l)},
    };
}

static void average(const plumb_pair_loss *each, size_t count, plumb_batch_loss *out)
{
    plumb_batch_loss sum = {0};
    for (size_t i = 0; i < count; i++) {
        sum.loss += each[i].value;
        for (int side = 0; side < 2; side++) {
            sum.rewards[side] += each[i].reward[side];
            sum.logps[side] += each[i].logps[side];
        }
        sum.accuracy += each[i].reward[0] > each[i].reward[1];
        sum.margin += each[i].reward[0] - each[i].reward[1];
    }
    double n = (double)count;
    *out = (plumb_batch_loss){
        .loss = sum.loss / n,
        .rewards = {sum.rewards[0] / n, sum.rewards[1] / n},
        .accuracy = sum.accuracy / n,
        .margin = sum.margin / n,
        .logps = {sum.logps[0] / n, sum.logps[1] / n},
    };
}

plumb_status plumb_objective_run(const plumb_objective *o, const plumb_pair_logps *pairs, size_t count,
                                 plumb_arena *scratch, plumb_pair_loss *each, plumb_batch_loss *batch)
{
    plumb_loss_point *points;
    plumb_loss_slope *one, *sum;
    double(*by_u)[2], tokens = 0;
    bool reference = plumb_objective_needs_reference(o);
    PLUMB_TRY(plumb_arena_new(scratch, &points, count, sizeof *points));
    PLUMB_TRY(plumb_arena_new(scratch, &one, count, sizeof *one));
    PLUMB_TRY(plumb_arena_new(scratch, &sum, count, sizeof *sum));
    PLUMB_TRY(plumb_arena_new(scratch, &by_u, count, sizeof *by_u));
    for (size_t i = 0; i < count; i++) {
        points[i] = make_point(o, &pairs[i], reference, by_u[i]);
        tokens += points[i].n_w;
    }
    for (size_t i = 0; i < count; i++) points[i].pairs_per_token = (double)count / tokens;
    for (size_t t = 0; t < o->count; t++) PLUMB_TRY(add_term(o, &o->terms[t], pairs, points, count, scratch, one, sum));
    for (size_t i = 0; i < count; i++)
        finish(o, &points[i], &sum[i], by_u[i], o->pair_weights ? pairs[i].weight : 1, 1 / (double)count, &each[i]);
    average(each, count, batch);
    return PLUMB_OK;
}
