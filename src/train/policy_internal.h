/* What the parts of a policy-gradient run share: policy_run.c (its life), policy_step.c (RLOO and GRPO), policy_ppo.c,
 * policy_rollout.c (what a generation is). */
#ifndef PLUMB_TRAIN_POLICY_INTERNAL_H
#define PLUMB_TRAIN_POLICY_INTERNAL_H

#include "train/metric_means.h"
#include "train/order.h"
#include "train/policy_run.h"
#include "train/schedule.h"

/* What the run has done; a step that fails gives back what it found. */
typedef struct plumb_policy_counts {
    int64_t completions, generated;
    plumb_reward_spread first, last;
} plumb_policy_counts;

/* Sums over the optimiser steps of a PPO update, each weighing the same. */
typedef struct plumb_ppo_sums {
    double policy_loss, value_loss, approxkl, clipfrac, value_clipfrac, entropy, ratio, ratio2;
    int64_t steps;
} plumb_ppo_sums;

typedef struct plumb_policy_state {
    const plumb_policy_options *o;
    const plumb_model *reference;
    const plumb_prompts *prompts;
    plumb_run_folder *folder;
    plumb_trainer *trainer, *value; /* value: PPO */
    plumb_masters *synced;          /* the reference's weights with sync_ref_model */
    plumb_order *order;             /* its rows are micro-batches; of PPO updates */
    plumb_schedule schedule;
    plumb_ledger *ledger; /* NULL: none */
    bool evaluation_due;  /* does the step that was done last still want one? What follows it in the step does too */
    int64_t steps;        /* of the run */
    int64_t prompts_each, generations; /* prompts of a generation, generations of an epoch */
    int64_t *permutation, permutation_epoch;
    plumb_rollout rollout, before;        /* before: the one that the step began with, where it has got another since */
    int64_t generation, first_generation; /* that `rollout` holds, and held when the step began; -1: none */
    bool old_known; /* are old_logps those of the policy that sampled? else nothing was trained since */
    plumb_metric_means window, pending; /* since the last row of metrics.jsonl; of the step at hand */
    plumb_text lines;                   /* of completions.jsonl, of the step at hand */
    plumb_policy_counts counts, counts_before;
    int64_t step;
    double items; /* GRPO: completion tokens of the generation that the loss counts */
    /* PPO: the minibatch at hand */
    double minibatch_tokens;
    plumb_ppo_sums sums;
    double part_entropy, part_approxkl, part_clipfrac, part_ratio, part_policy, part_value, part_value_clipfrac;
    plumb_step_metrics last, last_value;
} plumb_policy_state;

/* Makes `rollout` hold generation number g, counted from the start of the run: samples, rewards, log-probs, and what
 * the method makes of them is then the caller's. Nothing where it is there already; *fresh tells. */
plumb_status plumb_policy_generate(plumb_policy_state *s, int64_t g, bool *fresh) PLUMB_MUST_USE;

/* Notes a metric of the step at hand. */
plumb_status plumb_policy_note(plumb_policy_state *s, const char *name, double value) PLUMB_MUST_USE;

/* Appends rows to completions.jsonl, if it is kept. */
plumb_status plumb_policy_log_completions(plumb_policy_state *s) PLUMB_MUST_USE;

/* One optimiser step of RLOO and GRPO, one update of PPO; s->last is then set. */
plumb_status plumb_policy_step(plumb_policy_state *s) PLUMB_MUST_USE;
plumb_status plumb_ppo_update(plumb_policy_state *s) PLUMB_MUST_USE;

/* The losses that their trainers get: user is the state. */
plumb_status plumb_policy_loss(void *user, plumb_step_batch *b) PLUMB_MUST_USE;
plumb_status plumb_ppo_loss(void *user, plumb_step_batch *b) PLUMB_MUST_USE;
plumb_status plumb_ppo_value(void *user, plumb_step_batch *b) PLUMB_MUST_USE;

/* The generation that the first micro-batch of a step belongs to. */
int64_t plumb_policy_generation_of(const plumb_policy_state *s, int64_t step);

/* Is completion i left out of the loss? */
bool plumb_policy_masked(const plumb_policy_state *s, size_t i);

/* The number of a completion in the rollout. */
static inline size_t plumb_policy_place(const plumb_policy_state *s, const plumb_example *e)
{
    return (size_t)(e - s->rollout.completions.list);
}

#endif
