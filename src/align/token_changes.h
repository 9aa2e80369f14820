/* How the distribution over the next token changed between two models, at one place of a response: which tokens gained
 * and lost most probability, and from what their logits moved. */
#ifndef PLUMB_ALIGN_TOKEN_CHANGES_H
#define PLUMB_ALIGN_TOKEN_CHANGES_H

#include "model/model.h"

/* Probabilities p [rows][vocab_size] of the next token after the final hidden states h [rows][hidden_size]; lse [rows]
 * as from plumb_unembed_logps for these states. */
plumb_status plumb_token_probabilities(const plumb_model *m, const float *h, int rows, const double *lse,
                                       float *p) PLUMB_MUST_USE;

typedef struct plumb_token_change {
    int32_t token;
    double before, after; /* its probability */
} plumb_token_change;

/* The at most k tokens whose probability rose (sign 1) or fell (sign -1) most from before [vocab] to after [vocab],
 * most first, of equal changes the smaller id first; tokens that did not change that way are left out. Gives their
 * number. k >= 1; O(vocab k) at the worst. */
int plumb_token_changes(const float *before, const float *after, int vocab, int sign, int k, plumb_token_change *out);

/* The change of one token's logit before any cap, z = <W_v, h> + b_v, split exactly by what changed:
 *
 *   dz_v = <dW_v, h> + <W_v, dh> + <dW_v, dh> + db_v         W, h: before; dW, dh, db: what training added
 *
 * In fp64 from the stored numbers; `change` is <W'_v, h'> - <W_v, h> + db_v, computed apart from the three, so that
 * their sum differs from it by rounding only. */
typedef struct plumb_logit_change {
    double change, weights, hidden, both, bias; /* bias: 0 for an unembedding without one */
} plumb_logit_change;

/* w [vocab][d] before and after, of the same shape; h [d] before and after. */
void plumb_logit_split(const plumb_linear *before, const plumb_linear *after, const float *h_before,
                       const float *h_after, int32_t token, plumb_logit_change *out);

#endif
