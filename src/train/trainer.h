/* One optimiser step after another: the gradient of an objective over micro-batches of examples, clipping, the update.
 *
 *     plumb_trainer_new(base, &options, &t);
 *     for each step:
 *         for each micro-batch: plumb_trainer_accumulate(t, examples, count, batches_of_the_step);
 *         plumb_trainer_update(t, step, learning_rate, &metrics);
 *
 * What it computes does not depend on threads, nor on whether activations are kept or computed again. */
#ifndef PLUMB_TRAIN_TRAINER_H
#define PLUMB_TRAIN_TRAINER_H

#include "base/sink.h"
#include "train/examples.h"
#include "train/masters.h"
#include "train/optimizer.h"

typedef struct plumb_trainer_options {
    const plumb_adapter *adapter;     /* LoRA: trains a copy of it, the base stays as it is; NULL: trains all weights */
    const plumb_objective *objective; /* NULL: SFT, the mean over the tokens of a step of -ln p(token) */
    plumb_optimizer optimizer;
    double weight_decay, max_grad_norm;
    bool keep_activations;  /* else they are computed again in the backward pass */
    const plumb_sink *sink; /* asked before each layer of a pass whether to stop; NULL: never. Borrowed */
} plumb_trainer_options;

typedef struct plumb_trainer plumb_trainer;

/* What TRL logs of a step, and plumb's own columns: means over the micro-batches of the step; quantiles and `displaced`
 * over its pairs. [2]: chosen, rejected. */
typedef struct plumb_step_metrics {
    double loss, grad_norm, learning_rate;
    double entropy, mean_token_accuracy, logits[2];
    plumb_batch_loss batch; /* rewards, accuracies, margins, logps */
    double quantiles[2][3]; /* logps at 5, 50 and 95 % */
    double displaced;       /* share of pairs whose chosen log-prob is below the starting policy's; NaN: not known */
    int64_t pairs, tokens, micro_batches;
    int64_t changed, changed_row; /* pairs whose log-probs are not to the bit those at the start; the first one's row */
} plumb_step_metrics;

/* The masters are made from `base`, which may be closed afterwards; not with an adapter (plumb_masters_of_adapter). */
plumb_status plumb_trainer_new(const plumb_model *base, const plumb_trainer_options *options,
                               plumb_trainer **out) PLUMB_MUST_USE;
void plumb_trainer_free(plumb_trainer *t);

/* The policy as it is now, for forward passes. */
const plumb_model *plumb_trainer_policy(const plumb_trainer *t);
plumb_masters *plumb_trainer_masters(plumb_trainer *t);
/* The optimiser's state arrays of tensor i: plumb_optimizer_states of them. */
float *const *plumb_trainer_state(const plumb_trainer *t, size_t tensor);

/* Adds the gradient of one micro-batch, which counts 1 / batches of the step's loss (for SFT `step_tokens` is the
 * sum of plumb_example_targets over the whole step, the divisor that transformers uses). A loss that is not finite is
 * PLUMB_E_DIVERGED naming the rows; PLUMB_E_INTERRUPTED when the sink says so. After any error the step's gradients and
 * metrics are gone and the weights are as they were: the step may be begun again from its first micro-batch. */
plumb_status plumb_trainer_accumulate(plumb_trainer *t, const plumb_example *const *examples, size_t count,
                                      int64_t batches, int64_t step_tokens) PLUMB_MUST_USE;

/* Clips, updates the masters with optimiser step number `step` (from 1) and clears the gradients; *metrics describes
 * the step. A gradient that is not finite is PLUMB_E_DIVERGED, before any weight has changed. */
plumb_status plumb_trainer_update(plumb_trainer *t, int64_t step, double learning_rate,
                                  plumb_step_metrics *metrics) PLUMB_MUST_USE;

/* PLUMB_E_DIVERGED naming the first tensor that holds a NaN or an infinity. */
plumb_status plumb_trainer_check_weights(const plumb_trainer *t) PLUMB_MUST_USE;

#endif
