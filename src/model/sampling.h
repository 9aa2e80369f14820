/* Choosing the next token from logits. */
#ifndef PLUMB_MODEL_SAMPLING_H
#define PLUMB_MODEL_SAMPLING_H

#include <stdint.h>

#include "base/status.h"

/* How the next token is chosen: logits (after the model's cap) / temperature; the top_k largest; of these the fewest
 * whose probability (among the top_k) reaches top_p, at least one: transformers' logits warpers, in their order; one of
 * the rest by its probability. Equal logits: the lower id counts as larger, so that top_k keeps exactly k (transformers
 * keeps all that equal the k-th). */
typedef struct plumb_sampling {
    double temperature; /* 0: greedy, the largest logit */
    double top_p;       /* in (0, 1]; 1: off */
    int top_k;          /* 0: off */
    int max_new_tokens; /* >= 1 */
    uint64_t seed;
    const int32_t *eos; /* [eos_count] ids that end a completion; borrowed */
    int eos_count;
} plumb_sampling;

/* PLUMB_E_INPUT naming what is out of its bounds. */
plumb_status plumb_sampling_check(const plumb_sampling *s) PLUMB_MUST_USE;

/* Memory for one choice at a time; {0} is empty. */
typedef struct plumb_chooser {
    double *weights; /* [capacity] */
    struct plumb_candidate *candidates;
    int capacity;
} plumb_chooser;

/* Makes it hold n logits. */
plumb_status plumb_chooser_reserve(plumb_chooser *c, int n) PLUMB_MUST_USE;
void plumb_chooser_free(plumb_chooser *c);

/* One of the n logits z, which must be finite. `uniform` in [0, 1) decides; greedy does not look at it, and sets *gap
 * to the distance from the largest to the second logit (INFINITY when n is 1, or not greedy; gap may be NULL).
 * Probabilities are computed in fp64; O(n), without a full sort. The chooser must hold n (greedy: it may be NULL). */
int32_t plumb_choose(const plumb_sampling *s, const float *z, int n, double uniform, plumb_chooser *c, double *gap);

#endif
