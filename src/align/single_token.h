/* The theorems about responses of one token (Razin et al. 2024, arXiv 2410.08847, Theorems 1 and 2), with W the
 * unembedding, h the state that predicts the token, pi the next-token distribution there.
 *
 * Theorem 1: ln pi(y+|x) falls the more, the larger
 *     <W_y+, W_y->   and   sum over z other than y+, y- of pi(z|x) <W_z, W_y+ - W_y->.
 * Theorem 2: of all tokens those with the largest <W_z, W_y+ - W_y-> gain most. A large part of W_y+ - W_y- orthogonal
 * to W_y+ can lift tokens that have nothing in common with y+, or mean its opposite.
 *
 * Both follow from, for a plain softmax and in units of -l' (the loss's slope),
 *     d ln pi(z|x) / dt = <e_z - pi, e_y+ - e_y-> |h|^2 + <W_z - sum_v pi(v|x) W_v, W_y+ - W_y->. */
#ifndef PLUMB_ALIGN_SINGLE_TOKEN_H
#define PLUMB_ALIGN_SINGLE_TOKEN_H

#include "base/memory.h"
#include "compute/compute.h"

typedef struct plumb_token_value {
    int32_t id;
    double value;
} plumb_token_value;

/* In fp64 from the stored weights. */
typedef struct plumb_single_token {
    double w_dot, w_plus_norm, w_minus_norm; /* <W_y+, W_y->, |W_y+|, |W_y-| */
    double projection;                       /* of W_y+ - W_y- onto W_y+: <W_y+ - W_y-, W_y+> / |W_y+| */
    double orthogonal;                       /* length of what remains of W_y+ - W_y- */
    double hidden_norm;                      /* |h| */
    double *move;                            /* [vocabulary] <W_z, W_y+ - W_y->, in the arena */
} plumb_single_token;

/* w [vocabulary][d], h [d]; plus and minus are within the vocabulary. O(vocabulary d). */
plumb_status plumb_single_token_run(const plumb_linear *w, const float *h, int32_t plus, int32_t minus,
                                    plumb_arena *arena, plumb_single_token *out) PLUMB_MUST_USE;

/* The second term of Theorem 1. p [vocabulary]: the next-token distribution. */
double plumb_single_token_others(const plumb_single_token *s, const double *p, int vocabulary, int32_t plus,
                                 int32_t minus);

/* The k <= n largest of values [n] in descending order, of equal ones the smaller id first, into out [k]. */
void plumb_largest_values(const double *values, int n, int k, plumb_token_value *out);

#endif
