/* Log-probabilities of all examples under a model: of the reference before training, of the policy for the ledger. The
 * same function serves both, and the same numbers to the bit come out of the training forward pass, so that a policy
 * that equals its reference has rewards of exactly 0. */
#ifndef PLUMB_TRAIN_REFERENCE_H
#define PLUMB_TRAIN_REFERENCE_H

#include "align/scorer.h"
#include "base/sink.h"
#include "train/examples.h"

/* What a pass over the examples gives, each example by its place in the list; NULL: not wanted. */
typedef struct plumb_examples_visit {
    plumb_status (*score)(void *user, size_t example,
                          const plumb_score *score); /* logps, head, tail; ln_ches with `states` */
    plumb_status (*state)(void *user, size_t example, const float *state); /* as in align/scorer.h: differing */
    void *user;
    bool states;
} plumb_examples_visit;

/* Scores all examples in order, all of them of two sides or all of one; of one, log-probs alone can be had (states and
 * `state` are PLUMB_E_INTERNAL). Interruptible through the sink. */
plumb_status plumb_examples_score(const plumb_model *model, const plumb_examples *e, const plumb_examples_visit *visit,
                                  const plumb_sink *sink) PLUMB_MUST_USE;

/* Floating-point operations of such a pass, the unembedding of the targets included. */
plumb_status plumb_examples_flops(const plumb_config *config, const plumb_examples *e, double *flops) PLUMB_MUST_USE;

/* A pass that could be made at the start failed after `step` with s: PLUMB_E_INPUT is then PLUMB_E_DIVERGED, since the
 * weights are to blame, not the rows. */
plumb_status plumb_blame_weights(plumb_status s, int64_t step) PLUMB_MUST_USE;

/* Sets ref_head, ref_tail of all examples. */
plumb_status plumb_examples_set_reference(const plumb_model *reference, plumb_examples *e,
                                          const plumb_sink *sink) PLUMB_MUST_USE;

#endif
