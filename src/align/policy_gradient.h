/* The numbers of policy gradient (RLOO, GRPO, PPO): from rewards to advantages, and from log-probabilities to a loss
 * and its derivatives. No model is seen here. The conventions are those of TRL 1.16 (RLOOTrainer, GRPOTrainer) and, for
 * PPO, of TRL up to 1.10 and OpenRLHF; all in fp64. Standard deviations have n - 1 where nothing else is said.
 *
 *     advantages from rewards:   plumb_rloo_advantages, plumb_grpo_advantages, plumb_gae + plumb_whiten
 *     loss and derivatives:      plumb_rloo_loss, plumb_grpo_loss, plumb_ppo_policy_loss, plumb_ppo_value_loss */
#ifndef PLUMB_ALIGN_POLICY_GRADIENT_H
#define PLUMB_ALIGN_POLICY_GRADIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* --- advantages --------------------------------------------------------------------------------------------------- */

/* RLOO (arXiv 2402.14740), in place over r [prompts][group], group >= 2, the rewards with the KL term already taken
 * off: A_i = r_i - mean of the others of the group. With `normalize` (A - mean) / (std + 1e-4) over all. */
void plumb_rloo_advantages(double *r, size_t prompts, size_t group, bool normalize);

typedef enum plumb_reward_scale { PLUMB_SCALE_GROUP, PLUMB_SCALE_BATCH, PLUMB_SCALE_NONE } plumb_reward_scale;

/* GRPO (arXiv 2402.03300), in place over r [prompts][group], group >= 2: A_i = r_i - mean of the group, divided by
 * (std + 1e-4) of the group or of all rewards. */
void plumb_grpo_advantages(double *r, size_t prompts, size_t group, plumb_reward_scale scale);

/* How much there is to learn from: prompts whose rewards are (nearly) equal give no gradient (Razin et al. 2024, arXiv
 * 2310.20703: vanishing gradients in reinforcement finetuning). */
typedef struct plumb_reward_spread {
    double mean, std;  /* over all rewards; std 0 for a single one */
    double group_std;  /* mean over the prompts of the std within the group */
    double zero_share; /* share of prompts whose std is 0 (|std| <= 1e-8): TRL's frac_reward_zero_std, but of the
                          rewards alone also where TRL takes the KL term off first (RLOO) */
} plumb_reward_spread;
plumb_reward_spread plumb_rewards_spread(const double *r, size_t prompts, size_t group);

/* Generalised advantage estimation (arXiv 1506.02438) over the tokens of one completion:
 *     delta_t = r_t + gamma v_{t+1} - v_t (v_n = 0);  A_t = delta_t + gamma lambda A_{t+1};  return_t = A_t + v_t. */
void plumb_gae(const double *rewards, const double *values, size_t n, double gamma, double lambda, double *advantages,
               double *returns);

/* (A - mean) / sqrt(variance + 1e-8), variance / (n - 1); with `population` variance / n and at least 1e-8 in the place
 * of the addition (OpenRLHF). n >= 2. */
void plumb_whiten(double *a, size_t n, bool population);

/* --- losses ------------------------------------------------------------------------------------------------------- */

/* The completions of a batch, their tokens one after another. */
typedef struct plumb_rollouts {
    size_t count;
    const int *tokens;        /* [count], each >= 1 */
    const double *logps;      /* [all tokens] under the policy */
    const double *old_logps;  /* under the policy that sampled them */
    const double *ref_logps;  /* under the reference; NULL: not needed */
    const double *advantages; /* [count] */
    double counted;           /* GRPO: completions that means are over, those left out of the loss included; 0: count */
    const double *token_weight; /* [all tokens] factor of each token's policy term (NTHR); NULL: 1 */
} plumb_rollouts;

typedef enum plumb_grpo_kind { PLUMB_GRPO_DAPO, PLUMB_GRPO_GRPO, PLUMB_GRPO_BNPO, PLUMB_GRPO_DR_GRPO } plumb_grpo_kind;

/* Options in TRL's names. */
typedef struct plumb_clip_options {
    double epsilon, epsilon_high; /* the ratio's range is 1 - epsilon .. 1 + epsilon_high */
    double delta;                 /* GRPO: most that an unclipped ratio counts; 0: no bound (two-sided clipping) */
    double beta;                  /* GRPO: weight of the k3 estimate of KL in the loss */
    bool sequence_level;          /* GRPO: one ratio per completion, exp(mean_t (new - old)) (GSPO, arXiv 2507.18071) */
    bool bias_correction_kl;      /* GRPO: k3 times the ratio, gradient included */
    plumb_grpo_kind loss_type;    /* GRPO: how token losses are averaged */
    double max_completion_length; /* GRPO, dr_grpo */
    double items;                 /* GRPO, dapo: completion tokens of an optimiser step, the divisor */
} plumb_clip_options;

/* What is logged of a batch; clip shares as TRL counts them: only where the clip takes the gradient away. RLOO and
 * sequence level count completions, the others tokens. */
typedef struct plumb_policy_metrics {
    double loss;
    double kl; /* GRPO with beta: mean over the tokens of k3 (times the ratio with bias_correction_kl) */
    double low_mean, high_mean, region_mean, low_min, high_max; /* clip_ratio/... */
} plumb_policy_metrics;

/* RLOO: one ratio per completion, rho = exp(sum_t (new - old)); loss = mean of -min(rho A, clip(rho) A). g [all tokens]
 * is set to d loss / d logps. token_weight scales a token's g alone. */
void plumb_rloo_loss(const plumb_rollouts *r, const plumb_clip_options *o, double *g, plumb_policy_metrics *out);

/* GRPO per token, with d = ref - new:
 *     x_t = -w_t min(min(rho_t, delta) A, clip(rho_t) A) + beta (e^d - d - 1) [rho_t]
 * averaged as loss_type says: dapo: sum / items; grpo: mean of the means of completions; bnpo: mean over all tokens;
 * dr_grpo: sum / (count max_completion_length). */
void plumb_grpo_loss(const plumb_rollouts *r, const plumb_clip_options *o, double *g, plumb_policy_metrics *out);

/* PPO (arXiv 1707.06347) over n tokens: loss = mean max(-A rho, -A clip(rho)); g [n] = d loss / d logps. */
typedef struct plumb_ppo_metrics {
    double loss, clipfrac;
    double approxkl; /* mean (new - old)^2 / 2 */
    double ratio;    /* mean */
} plumb_ppo_metrics;
void plumb_ppo_policy_loss(const double *logps, const double *old_logps, const double *advantages, size_t n,
                           double cliprange, double *g, plumb_ppo_metrics *out);

/* loss = 0.5 mean max((v - return)^2, (clip(v, old - c, old + c) - return)^2); g [n] = d loss / d v. */
void plumb_ppo_value_loss(const double *values, const double *old_values, const double *returns, size_t n,
                          double cliprange_value, double *g, double *loss, double *clipfrac);

#endif
