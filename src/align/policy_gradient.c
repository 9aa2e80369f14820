#include "align/policy_gradient.h"

#include <math.h>

/* ---- advantages ---- */

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum / (double)n;
}

static double squares_of(const double *x, size_t n, double mean)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum;
}

static double std_of(const double *x, size_t n)
{
    return n < 2 ? 0 : sqrt(squares_of(x, n, mean_of(x, n)) / (double)(n - 1));
}

void plumb_rloo_advantages(double *r, size_t prompts, size_t group, bool normalize)
{
    size_t n = prompts * group;
    for (size_t p = 0; p < prompts; p++) {
        double *a = r + p * group, sum = 0;
        for (size_t i = 0; i < group; i++) sum += a[i];
        for (size_t i = 0; i < group; i++) a[i] -= (sum - a[i]) / (double)(group - 1);
    }
    if (!normalize) return;
    double mean = mean_of(r, n), scale = std_of(r, n) + 1e-4;
    for (size_t i = 0; i < n; i++) r[i] = (r[i] - mean) / scale;
}

void plumb_grpo_advantages(double *r, size_t prompts, size_t group, plumb_reward_scale scale)
{
    double all = std_of(r, prompts * group);
    for (size_t p = 0; p < prompts; p++) {
        double *a = r + p * group, mean = mean_of(a, group);
        double by = scale == PLUMB_SCALE_NONE ? 1 : (scale == PLUMB_SCALE_GROUP ? std_of(a, group) : all) + 1e-4;
        for (size_t i = 0; i < group; i++) a[i] = (a[i] - mean) / by;
    }
}

plumb_reward_spread plumb_rewards_spread(const double *r, size_t prompts, size_t group)
{
    plumb_reward_spread s = {.mean = mean_of(r, prompts * group), .std = std_of(r, prompts * group)};
    for (size_t p = 0; p < prompts; p++) {
        double std = std_of(r + p * group, group);
        s.group_std += std / (double)prompts;
        s.zero_share += (std <= 1e-8) / (double)prompts;
    }
    return s;
}

void plumb_gae(const double *rewards, const double *values, size_t n, double gamma, double lambda, double *advantages,
               double *returns)
{
    double next_value = 0, next_advantage = 0;
    for (size_t t = n; t-- > 0;) {
        double delta = rewards[t] + gamma * next_value - values[t];
        next_advantage = delta + gamma * lambda * next_advantage;
        next_value = values[t];
        advantages[t] = next_advantage;
        returns[t] = next_advantage + values[t];
    }
}

void plumb_whiten(double *a, size_t n, bool population)
{
    double mean = mean_of(a, n), squares = squares_of(a, n, mean);
    double variance = population ? fmax(squares / (double)n, 1e-8) : squares / (double)(n - 1) + 1e-8;
    for (size_t i = 0; i < n; i++) a[i] = (a[i] - mean) / sqrt(variance);
}

/* ---- losses ---- */

static double clip(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* -min(min(rho, delta) A, clip(rho) A) and its derivative by ln rho. */
static double clipped_term(const plumb_clip_options *o, double rho, double advantage, double *slope)
{
    double bounded = o->delta > 0 && rho > o->delta ? o->delta : rho;
    double within = clip(rho, 1 - o->epsilon, 1 + o->epsilon_high);
    bool free = bounded * advantage <= within * advantage;
    *slope = (free ? bounded : within) == rho ? -advantage * rho : 0;
    return -(free ? bounded : within) * advantage;
}

/* Counts where the clip takes the gradient away, as TRL logs it. */
typedef struct clip_counts {
    double low, high, n;
} clip_counts;

static void count_clip(clip_counts *c, const plumb_clip_options *o, double rho, double advantage)
{
    if (o->delta > 0 && rho > o->delta) rho = o->delta;
    c->low += rho < 1 - o->epsilon && advantage < 0;
    c->high += rho > 1 + o->epsilon_high && advantage > 0;
    c->n++;
}

/* Adds one completion's counts to those of the batch. */
static void add_counts(clip_counts *all, const clip_counts *one, size_t i, plumb_policy_metrics *out)
{
    double low = one->low / one->n, high = one->high / one->n;
    out->low_min = i ? fmin(out->low_min, low) : low;
    out->high_max = i ? fmax(out->high_max, high) : high;
    all->low += one->low;
    all->high += one->high;
    all->n += one->n;
}

static void take_counts(const clip_counts *all, plumb_policy_metrics *out)
{
    out->low_mean = all->low / all->n;
    out->high_mean = all->high / all->n;
    out->region_mean = (all->low + all->high) / all->n; /* never both: they differ in the advantage's sign */
}

static double log_ratio(const plumb_rollouts *r, size_t first, int n)
{
    double sum = 0;
    for (size_t t = first; t < first + (size_t)n; t++) sum += r->logps[t] - r->old_logps[t];
    return sum;
}

static double weight_of(const plumb_rollouts *r, size_t t)
{
    return r->token_weight ? r->token_weight[t] : 1;
}

void plumb_rloo_loss(const plumb_rollouts *r, const plumb_clip_options *o, double *g, plumb_policy_metrics *out)
{
    clip_counts all = {0};
    *out = (plumb_policy_metrics){0};
    for (size_t i = 0, first = 0; i < r->count; first += (size_t)r->tokens[i++]) {
        double rho = exp(log_ratio(r, first, r->tokens[i])), slope;
        clip_counts one = {0};
        out->loss += clipped_term(o, rho, r->advantages[i], &slope) / (double)r->count;
        for (size_t t = first; t < first + (size_t)r->tokens[i]; t++) g[t] = slope / (double)r->count * weight_of(r, t);
        count_clip(&one, o, rho, r->advantages[i]);
        add_counts(&all, &one, i, out);
    }
    take_counts(&all, out);
}

/* What one token of completion i counts in the loss. */
static double share_of_token(const plumb_rollouts *r, const plumb_clip_options *o, size_t i, double tokens)
{
    double count = r->counted > 0 ? r->counted : (double)r->count;
    switch (o->loss_type) {
    case PLUMB_GRPO_DAPO:
        return 1 / o->items;
    case PLUMB_GRPO_GRPO:
        return 1 / (count * r->tokens[i]);
    case PLUMB_GRPO_BNPO:
        return 1 / tokens;
    case PLUMB_GRPO_DR_GRPO:
        break;
    }
    return 1 / (count * o->max_completion_length);
}

/* One completion of GRPO: its part of the loss, g of its tokens, and the sum of its k3. */
static double grpo_completion(const plumb_rollouts *r, const plumb_clip_options *o, size_t i, size_t first,
                              double share, double *g, double *kl, clip_counts *one)
{
    int n = r->tokens[i];
    double loss = 0, by_ratio = 0; /* the derivative by the ln of a ratio that all tokens share */
    double shared = o->sequence_level ? exp(log_ratio(r, first, n) / n) : 0;
    for (size_t t = first; t < first + (size_t)n; t++) {
        double rho = o->sequence_level ? shared : exp(r->logps[t] - r->old_logps[t]), slope;
        double w = weight_of(r, t), x = w * clipped_term(o, rho, r->advantages[i], &slope), own = 0;
        slope *= w;
        if (o->beta != 0) {
            double d = r->ref_logps[t] - r->logps[t], correction = o->bias_correction_kl ? rho : 1;
            double k3 = expm1(d) - d;
            x += o->beta * k3 * correction;
            own = -o->beta * expm1(d) * correction;
            if (o->bias_correction_kl) slope += o->beta * k3 * rho;
            *kl += k3 * correction;
        }
        loss += share * x;
        g[t] = share * (own + (o->sequence_level ? 0 : slope));
        by_ratio += share * slope;
        if (!o->sequence_level || t == first) count_clip(one, o, rho, r->advantages[i]);
    }
    for (size_t t = first; o->sequence_level && t < first + (size_t)n; t++) g[t] += by_ratio / n;
    return loss;
}

void plumb_grpo_loss(const plumb_rollouts *r, const plumb_clip_options *o, double *g, plumb_policy_metrics *out)
{
    clip_counts all = {0};
    double tokens = 0, kl = 0;
    *out = (plumb_policy_metrics){0};
    for (size_t i = 0; i < r->count; i++) tokens += r->tokens[i];
    for (size_t i = 0, first = 0; i < r->count; first += (size_t)r->tokens[i++]) {
        clip_counts one = {0};
        out->loss += grpo_completion(r, o, i, first, share_of_token(r, o, i, tokens), g, &kl, &one);
        add_counts(&all, &one, i, out);
    }
    out->kl = kl / tokens;
    take_counts(&all, out);
}

void plumb_ppo_policy_loss(const double *logps, const double *old_logps, const double *advantages, size_t n,
                           double cliprange, double *g, plumb_ppo_metrics *out)
{
    *out = (plumb_ppo_metrics){0};
    for (size_t t = 0; t < n; t++) {
        double by = logps[t] - old_logps[t], rho = exp(by), within = clip(rho, 1 - cliprange, 1 + cliprange);
        double plain = -advantages[t] * rho, clipped = -advantages[t] * within;
        out->loss += fmax(plain, clipped) / (double)n;
        out->clipfrac += (clipped > plain) / (double)n;
        out->approxkl += by * by / 2 / (double)n;
        out->ratio += rho / (double)n;
        g[t] = clipped > plain ? 0 : plain / (double)n;
    }
}

void plumb_ppo_value_loss(const double *values, const double *old_values, const double *returns, size_t n,
                          double cliprange_value, double *g, double *loss, double *clipfrac)
{
    *loss = *clipfrac = 0;
    for (size_t t = 0; t < n; t++) {
        double within = clip(values[t], old_values[t] - cliprange_value, old_values[t] + cliprange_value);
        double plain = values[t] - returns[t], clipped = within - returns[t];
        bool bound = clipped * clipped > plain * plain;
        *loss += fmax(plain * plain, clipped * clipped) / 2 / (double)n;
        *clipfrac += bound / (double)n;
        g[t] = bound ? 0 : plain / (double)n;
    }
}
