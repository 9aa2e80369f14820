/* The theory put to the test: one step of gradient flow with the unembedding and the hidden states as the parameters,
 * as in theory.h, and what it really does to ln pi(y+|x).
 *
 *     W' = W + step dW,   dW = sum_k g+_k h+_k^T - sum_k' g-_k' h-_k'^T
 *     h' = h + step dh,   dh = d(ln pi(y+) - ln pi(y-)) / dh
 *
 * All in fp64 from the stored weights and the states, with coefficients of its own: nothing of theory.c or of the
 * kernels is used. The first-order prediction is step x rate. */
#ifndef PLUMB_ALIGN_THEORY_STEP_H
#define PLUMB_ALIGN_THEORY_STEP_H

#include "align/theory.h"
#include "base/sink.h"

#define PLUMB_STEP_MOVE 1e-3 /* no logit moves by more */

typedef struct plumb_theory_step {
    double step;
    double largest_move;      /* of a logit (before the cap) at any state of both responses, as it came out */
    double predicted, actual; /* change of ln pi(y+|x) */
    double allowed;           /* 1 % of step x (|minus| + |plus| + |hidden_path|) */
    bool agrees;              /* |predicted - actual| <= allowed */
} plumb_theory_step;

/* t: the terms of the same input. Walks three times over the vocabulary, in tiles: memory is four copies of the states
 * and a few rows of W in fp64. O((n + m) vocabulary d). The sink is asked whether to stop; c lends its threads, of
 * which results do not depend. */
plumb_status plumb_theory_step_run(const plumb_compute *c, const plumb_theory_input *in, const plumb_theory *t,
                                   const plumb_sink *sink, plumb_arena *scratch, plumb_theory_step *out) PLUMB_MUST_USE;

/* Bytes of scratch that it takes for responses of n and m tokens and states of d elements. */
int64_t plumb_theory_step_bytes(int n, int m, int d);

#endif
