/* Losses of preference tuning: one table row each, and the objective that adds up the selected ones over a batch.
 *
 *     plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;     sigmoid (DPO) with beta 0.1
 *     plumb_objective o;
 *     plumb_objective_make(&how, &o);
 *     plumb_objective_run(&o, pairs, count, &arena, each, &batch);
 *     ... the log-probability of token t of the chosen response gets the gradient
 *         t < min(n_w, n_l) ? each[i].head[0] : each[i].tail[0]
 *
 * Letters of the formulas. w, l: ln pi of the chosen and the rejected response, summed over their n_w, n_l tokens;
 * w_ref, l_ref the same under the reference; a = w - w_ref, b = l - l_ref, D = a - b; mw = w / n_w, ml = l / n_l;
 * s = sigmoid, L = ln s; e = label_smoothing. All numbers are natural logarithms in fp64. Values and derivatives are
 * written so that |beta D| of 200 and far beyond costs no digit: ln s and 1 - s never come from a rounded s.
 *
 * The truth for the names that TRL has is DPOTrainer of TRL 1.16 (what it takes from each option, how it reduces over
 * a batch, what it logs); the formulas of the others are those of the papers. */
#ifndef PLUMB_ALIGN_LOSSES_H
#define PLUMB_ALIGN_LOSSES_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    PLUMB_LOSS_PARAMETERS = 3, /* of one loss, at most */
    PLUMB_LOSS_TERMS = 16,     /* of one objective, at most */
};

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* A number that a loss depends on, called as the option that sets it. */
typedef struct plumb_loss_parameter {
    const char *name;  /* "beta", "dpop_lambda" */
    double fallback;   /* the default; NaN: must be given */
    double low, high;  /* bounds; infinite: none */
    bool above, below; /* is low itself excluded, is high? */
} plumb_loss_parameter;

/* One pair as a loss sees it. */
typedef struct plumb_loss_point {
    double w, l;            /* log-probs under the policy, tokens beyond the shorter response times ld_alpha */
    double w_ref, l_ref;    /* the same under the reference */
    double a, b;            /* w - w_ref and l - l_ref, or f' of them under another divergence */
    double n_w, n_l;        /* tokens, at least 1 */
    double likelihood;      /* ln pi(y+), every token counted once */
    double pairs_per_token; /* pairs of the batch / tokens of its chosen responses */
} plumb_loss_point;

/* The loss of one pair and its derivatives by a (or w), b (or l) and the likelihood. */
typedef struct plumb_loss_slope {
    double value, dw, dl, dlikelihood;
} plumb_loss_slope;

/* Of one pair; q are the parameters in the row's order. */
typedef plumb_loss_slope (*plumb_loss_function)(const plumb_loss_point *p, const double *q);
/* Of a whole batch, for losses that compare pairs with each other; out [n]. */
typedef plumb_status (*plumb_loss_batch)(const plumb_loss_point *p, size_t n, const double *q, plumb_arena *scratch,
                                         plumb_loss_slope *out);
/* The logged reward of a response with log-prob `logps` of n tokens. */
typedef double (*plumb_loss_reward)(double logps, double n, const double *q);

typedef struct plumb_loss {
    const char *name;     /* as in --loss_type */
    const char *formula;  /* of one pair */
    const char *paper;    /* arXiv number, or where else it stands */
    const char *note;     /* what a user should know beyond the formula, or NULL */
    bool needs_reference; /* does the loss depend on w_ref, l_ref? */
    bool uses_batch;      /* does the loss of a pair depend on the others of its batch? */
    bool f_divergence;    /* is it made from a difference of scores, so that other divergences make sense? */
    plumb_loss_parameter parameters[PLUMB_LOSS_PARAMETERS]; /* up to the first without a name; beta is the first */
    plumb_loss_reward reward; /* NULL: beta (logps - ref_logps), as in TRL's DPOTrainer for all of its losses */
    plumb_loss_function pair; /* either this */
    plumb_loss_batch batch;   /* or this */
} plumb_loss;

/* All rows, TRL's fifteen first, in TRL's order. */
const plumb_loss *plumb_losses(size_t *count);
/* The row called so, or NULL. */
const plumb_loss *plumb_loss_find(const char *name);

/* --- the objective ------------------------------------------------------------------------------------------------ */

/* The divergence D_f between policy and reference (f-DPO, arXiv 2309.16240): the score of a response is f'(pi /
 * pi_ref), with u = ln pi - ln pi_ref: reverse_kl        u forward_kl        1 - e^-u                  (not finite for
 * u < -709; TRL in fp32: u < -88) js_divergence     ln 2 + L(u) alpha_divergence  (e^t - 1) / (alpha - 1), t =
 * min((alpha - 1) u, 80) as TRL clamps it; |alpha - 1| < 1e-6: u */
typedef enum plumb_divergence {
    PLUMB_REVERSE_KL,
    PLUMB_FORWARD_KL,
    PLUMB_JS_DIVERGENCE,
    PLUMB_ALPHA_DIVERGENCE,
    PLUMB_DIVERGENCES
} plumb_divergence;
/* TRL's name: "reverse_kl", ... */
const char *plumb_divergence_name(plumb_divergence divergence);

typedef struct plumb_loss_setting {
    const char *name; /* of a parameter */
    double value;     /* NaN: not given */
} plumb_loss_setting;

/* What a user asks for, in TRL's names. Everything is borrowed for the call of plumb_objective_make alone. */
typedef struct plumb_objective_options {
    const char *const *loss_type; /* none: sigmoid */
    size_t loss_types;
    const double *loss_weights; /* none: all 1 */
    size_t loss_weight_count;
    const plumb_loss_setting *settings; /* a setting counts for every term that has such a parameter */
    size_t setting_count;
    plumb_divergence f_divergence_type;
    double f_alpha_divergence_coef;
    double ld_alpha;    /* LD-DPO (arXiv 2409.06411): tokens beyond min(n_w, n_l) count so much, 0..1; NaN: not given */
    double sft_coeff;   /* adds -sft_coeff ln pi(y+), summed over the tokens (arXiv 2410.08847) */
    bool use_weighting; /* WPO (arXiv 2406.11827): each pair's loss times e^(aligned[0] + aligned[1]) */
    bool pair_weights;  /* will pairs have a weight other than 1? */
} plumb_objective_options;

#define PLUMB_OBJECTIVE_DEFAULTS ((plumb_objective_options){.f_alpha_divergence_coef = 0.5, .ld_alpha = NAN})

typedef struct plumb_loss_term {
    const plumb_loss *loss;
    double weight;
    double parameters[PLUMB_LOSS_PARAMETERS];
} plumb_loss_term;

/* A checked objective: sum over the terms of weight * loss, and the sft_coeff term. A plain value, owns nothing. */
typedef struct plumb_objective {
    plumb_loss_term terms[PLUMB_LOSS_TERMS];
    size_t count;
    size_t rewarding; /* the term that defines the rewards: the first other than sft, or the first */
    plumb_divergence divergence;
    double coefficient; /* alpha of alpha_divergence */
    double ld_alpha;    /* 1 when not given */
    double sft_coeff;
    bool use_weighting, pair_weights;
} plumb_objective;

/* PLUMB_E_INPUT, naming the option and what it may hold, for: an unknown loss_type or parameter; a number of weights
 * other than that of losses; a parameter out of bounds, or missing where there is no default; ld_alpha outside 0..1; a
 * divergence with a loss that has no such form; use_weighting or pair_weights with a loss that uses_batch by sorting
 * (aot, aot_unpaired); use_weighting with sft, which is one number per batch. */
plumb_status plumb_objective_make(const plumb_objective_options *how, plumb_objective *out) PLUMB_MUST_USE;

/* Does the loss, or the reward that is logged with it, depend on the reference? (TRL logs rewards for sft too.) */
bool plumb_objective_needs_reference(const plumb_objective *o);

/* The value that the terms take for the parameter of this name; NaN when no term has it, so that a caller can say that
 * an option has no effect. Where terms have different defaults it is the first one's. */
double plumb_objective_parameter(const plumb_objective *o, const char *name);

/* What is known about a pair; [2]: chosen, rejected. `head` is the sum over the first min(n_w, n_l) tokens, `tail` over
 * the rest; without ld_alpha only head + tail counts. */
typedef struct plumb_pair_logps {
    double head[2], tail[2];         /* under the policy */
    double ref_head[2], ref_tail[2]; /* under the reference; not read when it is not needed */
    int tokens[2];                   /* n_w, n_l, at least 1 */
    double aligned[2]; /* mean over the tokens of ln p(token) - ln sum_v p(v)^2 under the policy, no gradient flows
                          through it; read with use_weighting only */
    double weight;     /* of the pair's loss; read with pair_weights only */
} plumb_pair_logps;

typedef struct plumb_pair_loss {
    double value;            /* the loss of the batch is the mean of these */
    double head[2], tail[2]; /* d (loss of the batch) / d (log-prob of a token among the head's, the tail's) */
    double reward[2];        /* TRL's rewards/chosen, rewards/rejected */
    double logps[2];         /* TRL's logps/chosen, logps/rejected: head + ld_alpha tail */
} plumb_pair_loss;

/* TRL's numbers of a batch: means over its pairs. */
typedef struct plumb_batch_loss {
    double loss;
    double rewards[2]; /* rewards/chosen, rewards/rejected */
    double accuracy;   /* rewards/accuracies: share of pairs with reward[0] > reward[1] */
    double margin;     /* rewards/margins */
    double logps[2];
} plumb_batch_loss;

/* The loss of a batch of `count` >= 1 pairs as TRL reduces it: the mean over the pairs; for sft the mean over the
 * tokens of the batch's chosen responses, of which a pair's value holds its share. each [count]; sums run in the order
 * of the pairs. Scratch from the arena, which the caller resets. Fails for lack of memory alone; a loss that is not
 * finite is the caller's to notice. */
plumb_status plumb_objective_run(const plumb_objective *o, const plumb_pair_logps *pairs, size_t count,
                                 plumb_arena *scratch, plumb_pair_loss *each, plumb_batch_loss *batch) PLUMB_MUST_USE;

#endif
