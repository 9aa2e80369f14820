/* Compute, backwards: the gradient of each operation of compute.h. The same conventions; a function is named after the
 * operation it differentiates. "d" before a name is the derivative of the loss with respect to it.
 *
 * Bit identity holds here too: gradients of weights are chains over rows in their order, carried on from what is there
 * (so that the sum over a step does not depend on how its rows fall into batches); gradients of activations depend on
 * their own row, or for keys and values on the queries of their group in row order. */
#ifndef PLUMB_COMPUTE_GRADIENT_H
#define PLUMB_COMPUTE_GRADIENT_H

#include "compute/compute.h"

/* dw [n][k] += dy^T x: dy [rows][n], x [rows][k], dw contiguous; a chain of fused multiply-adds over ascending rows
 * that starts from dw. The gradient with respect to x is plumb_linear_transposed. */
plumb_status plumb_linear_gradient(plumb_compute *c, const float *dy, int lddy, const float *x, int ldx, int rows,
                                   int n, int k, float *dw) PLUMB_MUST_USE;

/* db [n] += the sum of the rows of dy, in row order. */
void plumb_bias_gradient(plumb_compute *c, const float *dy, int lddy, int rows, int n, float *db);

/* dtable [*][k] row ids[i] += scale * dx [i], in the order of i. */
void plumb_embed_gradient(plumb_compute *c, const int32_t *ids, int rows, int k, float scale, const float *dx, int lddx,
                          float *dtable);

/* Through a norm (compute.h: plumb_norm): x is its input, dy the gradient of its output; dx = or += (store). dweight
 * [d] and dbias [d] are added to, in row and group order; either may be NULL. For Gemma's 1 + w dweight is the gradient
 * of w too. Statistics are computed again from x. dx may be dy (the same rows and distance), not x. */
void plumb_norm_gradient(plumb_compute *c, const plumb_norm *norm, const float *x, int ldx, const float *dy, int lddy,
                         int rows, int groups, float *dx, int lddx, plumb_store store, float *dweight, float *dbias);

/* Through out = act(gate) * up (up NULL: act(gate)): dgate and dup (NULL when up is, or when not wanted) from dout;
 * they may be gate's, up's or dout's own memory. */
void plumb_activate_gradient(plumb_compute *c, plumb_activation act, const float *gate, int ldg, const float *up,
                             int ldu, const float *dout, int lddo, int rows, int n, float *dgate, int lddg, float *dup,
                             int lddu);

/* Through plumb_clip: dx is set to 0 where |x| > bound or x is NaN, x being the values before clipping; elsewhere it
 * stays, at the bound too, as torch.clamp has it. */
void plumb_clip_gradient(plumb_compute *c, const float *x, int ldx, int rows, int n, float bound, float *dx, int lddx);

/* Through plumb_rotary, in place: turns by the opposite angle. */
void plumb_rotary_gradient(plumb_compute *c, float *dx, int lddx, int rows, int heads, int head_dim, int rotary,
                           const float *cosine, const float *sine, const int32_t *positions);

/* dx row index[i] += dy row i, in the order of i (the transpose of plumb_gather_rows). */
void plumb_scatter_rows(plumb_compute *c, const float *dy, int lddy, const int32_t *index, int count, int n, float *dx,
                        int lddx);
/* The transpose of plumb_copy_blocks: dx's blocks = dy's. */
void plumb_copy_blocks_back(plumb_compute *c, const float *dy, int lddy, int rows, int block, int stride, int count,
                            float *dx, int lddx);

/* Attention for training: the same output as plumb_attend (to the bit), and for each query row and head the log of the
 * sum of exponentials of its scaled, capped scores: lse [.][heads] at the query rows' places; -INFINITY for a query
 * that sees no key. lse NULL: not wanted. */
plumb_status plumb_attend_saving(plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count,
                                 const float *q, int ldq, const float *k, int ldk, const float *v, int ldv, float *out,
                                 int ldo, float *lse) PLUMB_MUST_USE;

/* Through attention (FlashAttention-2, Dao 2023, algorithm 2, by tiles): dq is set for the query rows, dk and dv are
 * set for every key row that a segment names (rows that nobody sees become 0). out, lse as plumb_attend_saving left
 * them. Key rows get their gradient from the queries of all segments that see them, in the order of segments and rows,
 * and of heads within a row. Segments that name the same key rows, as prefix or as own, must stand next to each other
 * (the prefix's own segment included): each run of segments that share keys owns its rows of dk and dv. Gradients must
 * not overlap inputs. Probabilities are computed again tile by tile: no [rows][rows] matrix. */
plumb_status plumb_attend_gradient(plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count,
                                   const float *q, int ldq, const float *k, int ldk, const float *v, int ldv,
                                   const float *out, int ldo, const float *lse, const float *dout, int lddo, float *dq,
                                   int lddq, float *dk, int lddk, float *dv, int lddv) PLUMB_MUST_USE;

/* What the loss wants of the distribution that follows one state: g is its derivative with respect to the
 * log-probability of a token. Two of them where both sides of a pair begin in that state, with different tokens. */
typedef struct plumb_pull {
    int count; /* 1 or 2 */
    int32_t token[2];
    double g[2];
} plumb_pull;

/* Through the log-softmax and the unembedding at once, by vocabulary tile, for states h [rows][d], each of which comes
 * once, with all that pulls at it. The gradient of row i's logits z is
 *     cap'(z) * (sum_k g_k [v == token_k] - (sum_k g_k) softmax(cap(z))_v),
 * so that two pulls of opposite weights leave exactly 0 for every other token. Row i of dh [rows][d] grows by what
 * comes of it, and so does dw [vocabulary][d] (NULL: frozen), row after row. lse as from plumb_unembed_logps. A row
 * whose g are 0 adds nothing, whatever its logits are. A bias of u counts in the logits and gets no gradient here. */
plumb_status plumb_unembed_gradient(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                    const plumb_pull *pulls, const double *lse, float *dh, int lddh,
                                    float *dw) PLUMB_MUST_USE;

#endif
