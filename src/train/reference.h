/* Log-probabilities of all examples under a model: of the reference before training, of the policy for the ledger. The
 * same function serves both, and the same numbers to the bit come out of the training forward pass, so that a policy
 * that equals its reference has rewards of exactly 0. */
#ifndef PLUMB_TRAIN_REFERENCE_H
#define PLUMB_TRAIN_REFERENCE_H

#include "align/scorer.h"
#include "base/sink.h"
#include "train/examples.h"

/* Calls visit with the score (logps, head, tail; ln_ches too with `states`) of each example, in order. batch_rows as
 * for the scorer. Interruptible through the sink. */
plumb_status plumb_examples_score(const plumb_model *model, const plumb_examples *e, bool states,
                                  const plumb_sink *sink,
                                  plumb_status (*visit)(void *user, size_t example, const plumb_score *score),
                                  void *user) PLUMB_MUST_USE;

/* Sets ref_head, ref_tail of all examples. */
plumb_status plumb_examples_set_reference(const plumb_model *reference, plumb_examples *e,
                                          const plumb_sink *sink) PLUMB_MUST_USE;

/* Sets start of all examples: the sums under the policy before the first step. */
plumb_status plumb_examples_set_start(const plumb_model *policy, plumb_examples *e,
                                      const plumb_sink *sink) PLUMB_MUST_USE;

#endif
