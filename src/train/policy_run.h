/* Policy gradient, the older road of preference tuning: completions of unlabelled prompts are drawn from the policy,
 * rewarded, and made more or less likely (RLOO, arXiv 2402.14740; GRPO, arXiv 2402.03300; PPO, arXiv 1707.06347 and
 * 2203.02155). Names and numbers of RLOO and GRPO are those of TRL 1.16, of PPO those of TRL up to 1.10.
 *
 * Order of work, RLOO and GRPO (TRL's RepeatSampler): a generation takes batch steps_per_generation / group prompts,
 * in the order of a permutation for each epoch, and gives `group` completions of each. Its completions, prompt by
 * prompt, are cut into steps_per_generation micro-batches, which are gone through num_iterations times. An optimiser
 * step takes `accumulation` micro-batches. Within a generation completions keep their order (TRL shuffles them with the
 * global generator of torch, which decides only what shares a micro-batch).
 *
 * PPO: an update takes batch accumulation minibatches prompts with one completion each; `epochs` times the completions
 * are put in a new order and cut into minibatches, each an optimiser step of policy and value model. A step of the run
 * is an update. Means are over all tokens of a minibatch; micro-batches decide nothing.
 *
 * An evaluation of the ledger is part of the step after which it falls: its `displaced`, the share of pairs whose
 * chosen log-prob is below its start, is among the step's metrics.
 *
 * Completions draw with the run's seed and a key that counts the prompts drawn so far, so that a run that goes on gives
 * the same bytes as one that was never interrupted. */
#ifndef PLUMB_TRAIN_POLICY_RUN_H
#define PLUMB_TRAIN_POLICY_RUN_H

#include "align/nthr.h"
#include "align/policy_gradient.h"
#include "text/tokenizer.h"
#include "train/ledger.h"
#include "train/order.h"
#include "train/pace.h"
#include "train/rollout.h"
#include "train/run_folder.h"

typedef enum plumb_policy_method { PLUMB_RLOO, PLUMB_GRPO, PLUMB_PPO } plumb_policy_method;

/* Over what PPO's advantages are whitened, and how the variance is taken (plumb_whiten). */
typedef enum plumb_whitening {
    PLUMB_WHITEN_BATCH,      /* all tokens of the update, n - 1 (TRL) */
    PLUMB_WHITEN_POPULATION, /* the same, n (OpenRLHF) */
    PLUMB_WHITEN_MINIBATCH,  /* the tokens of each minibatch, n - 1 (TRL up to 0.11) */
} plumb_whitening;

/* Options of PPO in TRL's names. */
typedef struct plumb_ppo_options {
    int64_t num_ppo_epochs, num_mini_batches;
    int64_t total_episodes; /* completions of the run; 0: num_train_epochs times the prompts */
    double kl_coef, gamma, lam, cliprange, cliprange_value, vf_coef;
    double missing_eos_penalty; /* taken off the score of a completion that did not end; 0: none */
    bool kl_k3;                 /* kl_estimator k3: e^d - d - 1, d = ref - policy; else k1: policy - ref */
    bool whiten_rewards;        /* scaled by their deviation, the mean stays */
    plumb_whitening whiten_advantages;
} plumb_ppo_options;

/* What a test or a tool may look at. */
typedef struct plumb_policy_observer {
    void (*rollout)(void *user, const plumb_rollout *r); /* advantages are there, nothing was trained with it */
    /* after an optimiser step: the rollout's logps, entropy and new_values are what the step began from */
    void (*step)(void *user, const plumb_rollout *r, const plumb_step_metrics *policy, const plumb_step_metrics *value);
    void *user;
} plumb_policy_observer;

typedef struct plumb_policy_options {
    plumb_policy_method method;
    const char *folder; /* where the run goes */
    const char *model;  /* folder of the starting model: config and tokenizer are copied from it */
    bool resume;
    plumb_dtype dtype;             /* of the result */
    plumb_trainer_options trainer; /* loss, objective and temperature are filled in */
    plumb_run_pace pace;
    plumb_order_options order; /* of prompts, and of PPO's minibatches: batch and accumulation count completions; rows
                                  and drop_last are not read; max_steps counts whatever total_episodes says */
    plumb_sampling sampling;   /* its temperature is that of all log-probs */
    const plumb_reward_function *rewards; /* [reward_count], >= 1 */
    size_t reward_count;
    bool log_completions;             /* completions.jsonl */
    const plumb_tokenizer *tokenizer; /* for the texts in it and in the ledger; NULL: none are written */

    /* Pairs of two sides that are watched, not trained on: ledger.jsonl then has their rows (train/ledger.h) at the
     * pace's ledger_steps, with the starting policy as their reference. Their start is set; NULL: no ledger. */
    plumb_examples *pairs;
    int ledger_tokens;

    /* RLOO and GRPO */
    int64_t group; /* num_generations */
    int64_t steps_per_generation, num_iterations;
    plumb_clip_options clip; /* beta is RLOO's too; items is filled in */
    bool normalize_advantages;
    bool clip_rewards; /* reward_clip_range */
    double reward_low, reward_high;
    plumb_reward_scale scale_rewards;
    bool mask_truncated_completions;
    plumb_nthr_options nthr;

    plumb_ppo_options ppo;

    /* In the place of the sampler: adds `group` completions of each of n prompts (tests, other engines). */
    plumb_status (*complete)(void *user, const plumb_prompt_row *const *picks, size_t n, int group, plumb_rollout *r);
    void *complete_user;
    plumb_policy_observer observer;
    const plumb_sink *sink;
    plumb_status (*begun)(void *user); /* called once the folder is there; may be NULL */
    void *begun_user;
} plumb_policy_options;

/* How it went. */
typedef struct plumb_policy_report {
    int64_t steps, first_step;       /* done in all; where this call began */
    int64_t completions, generated;  /* completions sampled, and their tokens, by the whole run */
    double loss;                     /* of the last step */
    plumb_reward_spread first, last; /* rewards of the first and the last generation */
    plumb_ledger_summary ledger;     /* of the last evaluation */
    bool evaluated;
} plumb_policy_report;

/* Prompts that one generation (PPO: update) takes, and steps of the whole run. PLUMB_E_INPUT where the numbers make no
 * run: a group below 2, batches that hold no whole groups, fewer prompts than a generation takes. */
plumb_status plumb_policy_plan(const plumb_policy_options *o, size_t prompts, int64_t *prompts_each, int64_t *steps,
                               int64_t *steps_per_epoch) PLUMB_MUST_USE;

/* Trains `start` (its weights are copied) on the prompts. `reference` is read where beta or kl_coef is not 0, or NULL;
 * `value` (PPO) is a model with a reward head that the value model begins as. An interruption saves a checkpoint and is
 * PLUMB_E_INTERRUPTED. The finished folder holds the policy, and of PPO the value model in FOLDER/value. */
plumb_status plumb_policy_run(const plumb_policy_options *options, const plumb_model *start,
                              const plumb_model *reference, const plumb_model *value, const plumb_prompts *prompts,
                              plumb_policy_report *report) PLUMB_MUST_USE;

#endif
