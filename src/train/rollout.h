/* Rollouts: completions of prompts, drawn from the policy as it is now, with what an update needs to know of them.
 *
 *     plumb_rollout r = {0};
 *     plumb_rollout_sample(policy, &sampling, picks, n, group, first_key, sink, &r);
 *     plumb_rollout_measure(policy, temperature, &r, sink, r.old_logps);
 *     ...
 *     plumb_rollout_free(&r);
 *
 * Completions stand prompt by prompt, `group` of each; numbers of tokens stand completion after completion. */
#ifndef PLUMB_TRAIN_ROLLOUT_H
#define PLUMB_TRAIN_ROLLOUT_H

#include "model/generation.h"
#include "train/examples.h"
#include "train/prompts.h"

/* {0} is empty; all memory is the rollout's but that of the prompts. */
typedef struct plumb_rollout {
    size_t count; /* completions */
    plumb_examples
        completions; /* list[i]: one side, its ids prompt + completion, `prompt` where the completion begins */
    const plumb_prompt_row **prompts; /* [count] */
    plumb_finish *finish;             /* [count] */
    size_t prompts_capacity, finish_capacity;
    /* after plumb_rollout_settle */
    int *tokens;                /* [count] of each completion */
    size_t *first;              /* [count + 1] where its tokens begin */
    size_t total;               /* tokens of all completions */
    const plumb_example **list; /* [count] the completions, for passes over them */
    double *rewards;            /* [count] of the reward functions together */
    double *each_reward;        /* [functions][count] of each of them */
    double *advantages;         /* [count] RLOO, GRPO */
    double *old_logps;          /* [total] under the policy that sampled them */
    double *ref_logps;          /* [total] under the reference */
    double *token_weight;       /* [total] NTHR; NULL: all 1 */
    double *nthr;               /* [total] its scores; NULL likewise */
    double *influence;          /* [count] its sums (align/nthr.h); NULL also for completions read from a checkpoint */
    double *logps, *entropy;    /* [total] under the policy as the newest pass of training found it */
    /* PPO [total]: the value model before the update and as the newest pass found it, rewards of tokens, advantages
     * before and after whitening, returns */
    double *values, *new_values, *token_rewards, *token_advantages, *whitened, *returns;
    plumb_arena arena; /* of these arrays */
} plumb_rollout;

/* Appends a copy of one completion of count >= 1 tokens. */
plumb_status plumb_rollout_add(plumb_rollout *r, const plumb_prompt_row *prompt, const int32_t *ids, int count,
                               plumb_finish finish) PLUMB_MUST_USE;

/* After the last completion: makes the arrays, zeroed (`functions` reward functions, >= 1; token_weight stays NULL). */
plumb_status plumb_rollout_settle(plumb_rollout *r, size_t functions) PLUMB_MUST_USE;

/* Samples `group` completions of each of n prompts and settles nothing. Prompt i draws with the key first_key + i, so
 * that a completion depends on the weights, its prompt, the seed and that key alone (model/generation.h). The weights
 * are used where they are: the policy may be the masters that a trainer changes afterwards. */
plumb_status plumb_rollout_sample(const plumb_model *policy, const plumb_sampling *sampling,
                                  const plumb_prompt_row *const *picks, size_t n, int group, int64_t first_key,
                                  const plumb_sink *sink, plumb_rollout *r) PLUMB_MUST_USE;

/* out [total]: the log-probability of each completion token under a language model at that temperature, or with a
 * reward head its number at the state that predicts the token. To the bit what the forward pass of a trainer gives. */
plumb_status plumb_rollout_measure(const plumb_model *model, double temperature, const plumb_rollout *r,
                                   const plumb_sink *sink, double *out) PLUMB_MUST_USE;

void plumb_rollout_clear(plumb_rollout *r); /* keeps some memory */
void plumb_rollout_free(plumb_rollout *r);

/* A reward function: sets rewards [r->count], each finite. An error says what went wrong and for which row. */
typedef struct plumb_reward_function {
    const char *name; /* of its metrics: rewards/NAME/mean */
    double weight;    /* in the sum */
    plumb_status (*score)(void *user, const plumb_rollout *r, double *rewards);
    void *user;
} plumb_reward_function;

/* Runs all of them: each_reward, and rewards = the weighted sum. A reward that is not finite is PLUMB_E_INPUT naming
 * function, row and sample. */
plumb_status plumb_rollout_reward(plumb_rollout *r, const plumb_reward_function *functions, size_t count,
                                  int group) PLUMB_MUST_USE;

#endif
