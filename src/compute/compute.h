/* Compute: the arithmetic of a transformer behind one table of kernels per back end.
 *
 * The folder knows descriptors, not models: a *linear* is a stored weight matrix, a *segment* says which query rows see
 * which key rows, an *unembed* job which rows are compared with which vocabulary entry. Back ends fill a table with the
 * reference kernels and override what they do better: ref -> avx2 -> avx512 (kernels.h).
 *
 * Usage:
 *     plumb_compute *c;
 *     plumb_compute_open(NULL, threads, &c);              picks the best back end this CPU has
 *     plumb_linear_run(c, &w, x, d, rows, y, n, PLUMB_STORE);
 *     plumb_compute_close(c);
 *
 * Conventions. Matrices are row-major; `ld...` is the distance of two rows in elements. Activations are fp32. Buffers
 * come from plumb_compute_alloc, weights through plumb_compute_adopt, so that a device can own them; on the CPU both
 * are plain memory. Inputs are borrowed, never kept. x and y must not overlap unless a function says so.
 *
 * Bit identity. Each output depends on its own row of inputs, the weights and its segment alone, never on how many rows
 * there are, where they lie in a buffer, or the number of threads: a linear's output is one chain of fused (ref:
 * rounded) multiply-adds over ascending k whose accumulator starts from the bias, the old y or zero; row reductions run
 * in fixed lanes. Results of different instruction sets differ within the tolerances.
 *
 * Two limits. It holds for finite values: attention multiplies a key that a query does not see by 0, so an infinity in
 * v makes NaN of the queries in the same block, and which those are depends on the batch. And it holds for one build on
 * one machine: ref's exponentials, the fp64 logarithms of the unembedding and the rotary tables come from libm, so that
 * results from machines with another libm may differ in the last digit. */
#ifndef PLUMB_COMPUTE_COMPUTE_H
#define PLUMB_COMPUTE_COMPUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/memory.h"
#include "base/status.h"

typedef struct plumb_compute plumb_compute;

/* isa: "ref", "avx2", "avx512", or NULL for the best that CPUID and XGETBV report. An unknown or unavailable name is
 * PLUMB_E_INPUT listing the available ones. threads: 1 ..; 0 means the CPUs this process may run on. */
plumb_status plumb_compute_open(const char *isa, int threads, plumb_compute **out) PLUMB_MUST_USE;
void plumb_compute_close(plumb_compute *c);
const char *plumb_compute_isa(const plumb_compute *c);

/* What the linears of a model compute with. fp32: stored weights are widened, all is fp32. bf16: weights and inputs are
 * rounded to bf16 (but not where plumb_linear.exact is set), sums are fp32; products that are no linear (attention,
 * norms, softmax, sums, gradients) stay fp32. BF16_AUTO takes bf16 dot products (two steps of k in one instruction)
 * where this CPU has them and plumb_compute_calibrate shows them to be faster than fp32; else, and with BF16_ROUNDED
 * always, rounded operands go through the fp32 kernels: the same accuracy, no faster than fp32. The two differ in the
 * last bits, as instruction sets do. */
typedef enum plumb_arithmetic { PLUMB_FP32, PLUMB_BF16_AUTO, PLUMB_BF16_DOT, PLUMB_BF16_ROUNDED } plumb_arithmetic;
/* Settles on one of PLUMB_FP32, PLUMB_BF16_DOT, PLUMB_BF16_ROUNDED. PLUMB_BF16_DOT is PLUMB_E_INPUT on a CPU without
 * such products. A context begins with fp32. */
plumb_status plumb_compute_use(plumb_compute *c, plumb_arithmetic arithmetic) PLUMB_MUST_USE;
/* "fp32", "bf16-dot" or "bf16-rounded": with the instruction set what numbers of a model depend on. */
const char *plumb_compute_arithmetic(const plumb_compute *c);
int plumb_compute_threads(const plumb_compute *c);

/* Has this back end bf16 dot products on this CPU? Some CPUs have them at twice the rate of fp32, others at half of it.
 */
bool plumb_compute_has_dot(const plumb_compute *c);
/* Measures for some milliseconds how many times as fast as in fp32 a tile is with them: above 1 they pay. Near 1 the
 * answer may change from one call to the next. PLUMB_E_INTERNAL where there are none. */
plumb_status plumb_compute_calibrate(const plumb_compute *c, double *gain) PLUMB_MUST_USE;
/* Appends what such a measurement holds for: the instruction set and what CPUID tells of maker, model, stepping and
 * features. */
plumb_status plumb_compute_identity(const plumb_compute *c, plumb_text *out) PLUMB_MUST_USE;

/* A buffer of n bytes, aligned to 64, not zeroed; released with plumb_compute_release (NULL is fine). */
plumb_status plumb_compute_alloc(plumb_compute *c, void *out, size_t count, size_t size) PLUMB_MUST_USE;
void plumb_compute_release(plumb_compute *c, void *buffer);
/* Makes n bytes of host memory usable as weights; on the CPU the pointer itself, which must outlive c's use of it. */
plumb_status plumb_compute_adopt(plumb_compute *c, const void *host, size_t bytes, const void **out) PLUMB_MUST_USE;
void plumb_compute_to_host(plumb_compute *c, void *host, const void *buffer, size_t bytes);
void plumb_compute_from_host(plumb_compute *c, void *buffer, const void *host, size_t bytes);

/* --- linear ------------------------------------------------------------------------------------------------------- */

/* A stored weight: y = x W^T + b. */
typedef struct plumb_linear {
    const void *weight; /* [n][k] in dtype, row-major, contiguous */
    plumb_dtype dtype;
    const float *bias; /* [n] or NULL */
    int n, k;
    const char *name; /* for messages: "model.layers.3.mlp.up_proj.weight" */
    bool exact;       /* always fp32: the first layer's, or no weight of a model, but activations in its place */
} plumb_linear;

typedef enum plumb_store {
    PLUMB_STORE, /* y  = x W^T (+ b) */
    PLUMB_ADD,   /* y += x W^T (+ b): the chain starts from y, then k ascends; b is added to y first */
} plumb_store;

/* y [rows][n] from x [rows][k]. Weights are widened while they are packed into panels; a NaN or infinity met there, or
 * made there by rounding to bf16, is remembered and reported by plumb_compute_check. rows may be 0. */
plumb_status plumb_linear_run(plumb_compute *c, const plumb_linear *w, const float *x, int ldx, int rows, float *y,
                              int ldy, plumb_store store) PLUMB_MUST_USE;

/* Several linears of the same input (q, k, v; gate, up): x is packed once. Same results as one call each. count <= 4;
 * k and `exact` are the same in all (else PLUMB_E_INTERNAL). */
plumb_status plumb_linear_run_many(plumb_compute *c, const plumb_linear *const w[], int count, const float *x, int ldx,
                                   int rows, float *const y[], const int ldy[], plumb_store store) PLUMB_MUST_USE;

/* Are inputs of w rounded to bf16? */
bool plumb_linear_rounds(const plumb_compute *c, const plumb_linear *w);

/* The transposed product: y [rows][k] (+)= x [rows][n] W, i.e. a gradient with respect to the input of w (bias unused).
 * A chain over ascending n. */
plumb_status plumb_linear_transposed(plumb_compute *c, const plumb_linear *w, const float *x, int ldx, int rows,
                                     float *y, int ldy, plumb_store store) PLUMB_MUST_USE;

/* PLUMB_E_INPUT naming the first weight tensor in which a NaN or an infinity was met, if any was. */
plumb_status plumb_compute_check(const plumb_compute *c) PLUMB_MUST_USE;

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* x [n][k] = scale * row ids[i] of table, the embedding matrix [n][k]. ids must be in range (the caller checks). A NaN
 * or infinity met is remembered for plumb_compute_check, with the table's name. */
void plumb_embed(plumb_compute *c, const plumb_linear *table, const int32_t *ids, int n, float scale, float *x,
                 int ldx);

typedef enum plumb_norm_kind { PLUMB_RMS_NORM, PLUMB_LAYER_NORM } plumb_norm_kind;

/* y = (x - mean) / sqrt(var + eps) * w + b, or x / sqrt(mean(x^2) + eps) * w. Statistics in fp64 or compensated lanes.
 */
typedef struct plumb_norm {
    plumb_norm_kind kind;
    int d;
    float eps;
    const float *weight; /* [d], already widened, the 1 of Gemma's (1 + w) already added; NULL: 1 */
    const float *bias;   /* [d] or NULL: 0 */
} plumb_norm;

/* y may be x. Row i, group g is x + i * ldx + g * d: groups > 1 normalise parts of a row (heads) with the same weight.
 */
void plumb_norm_run(plumb_compute *c, const plumb_norm *norm, const float *x, int ldx, int rows, int groups, float *y,
                    int ldy);

typedef enum plumb_activation { PLUMB_SILU, PLUMB_GELU_TANH, PLUMB_GELU, PLUMB_RELU } plumb_activation;

/* out[i][j] = act(gate[i][j]) * up[i][j], j < n; out may be gate or up. up NULL: out = act(gate). */
void plumb_activate(plumb_compute *c, plumb_activation act, const float *gate, int ldg, const float *up, int ldu,
                    int rows, int n, float *out, int ldo);

/* x[i][j] = min(max(x, -bound), bound) in place (OLMo's clip_qkv). */
void plumb_clip(plumb_compute *c, float *x, int ldx, int rows, int n, float bound);
/* y += x, row by row (a residual that a norm separates from its linear). */
void plumb_add(plumb_compute *c, const float *x, int ldx, int rows, int n, float *y, int ldy);

/* Rows that much resemble another one, before them in the batch: their *partner*. A linear that rounds its inputs may
 * take the difference of the two in the place of the row, W x = W (x - p) + W p: what rounding does to W p is then
 * common to both rows, and what it does to W (x - p) is the smaller, the more they resemble each other. A partner has
 * none. */
typedef struct plumb_partners {
    const int32_t *row; /* of each row of the batch its partner's number, or -1: there is none */
    int first;          /* the row of the batch that is row 0 of the buffers; partners before it do not count */
    bool *taken;        /* [rows of the batch]: which rows are differences, by plumb_take_differences */
} plumb_partners;

/* out [rows][n] = x, less the partner where that makes the row's Euclidean norm smaller. out may be x. */
void plumb_take_differences(plumb_compute *c, const plumb_partners *p, const float *x, int ldx, int rows, int n,
                            float *out, int ldo);
/* Of the rows taken: y += factor * (the partner's y - bias). bias: NULL or [n], which both rows have got. */
void plumb_add_partners(plumb_compute *c, const plumb_partners *p, float factor, const float *bias, int rows, int n,
                        float *y, int ldy);

/* y [count][n]: row i is row index[i] of x. */
void plumb_gather_rows(plumb_compute *c, const float *x, int ldx, const int32_t *index, int count, int n, float *y,
                       int ldy);
/* The opposite: row index[i] of y becomes row i of x. The rows named are different ones. */
void plumb_place_rows(plumb_compute *c, const float *x, int ldx, const int32_t *index, int count, int n, float *y,
                      int ldy);
/* Of each row of x the `count` blocks of `block` elements that stand `stride` apart, side by side in y: takes the
 * queries out of a fused matrix that holds q, k, v head by head. */
void plumb_copy_blocks(plumb_compute *c, const float *x, int ldx, int rows, int block, int stride, int count, float *y,
                       int ldy);

/* Rotary positions in place on x [rows][heads * head_dim]: the first `rotary` (even) elements of each head are pairs
 * (j, j + rotary / 2) turned by the angle of the row's position: cosine and sine are [positions][rotary / 2]. */
void plumb_rotary(plumb_compute *c, float *x, int ldx, int rows, int heads, int head_dim, int rotary,
                  const float *cosine, const float *sine, const int32_t *positions);

/* --- attention ---------------------------------------------------------------------------------------------------- */

/* Rows at consecutive positions in a key/value (or query) buffer. */
typedef struct plumb_span {
    int row, count, position; /* first row, number of rows, position of the first */
} plumb_span;

/* Query rows that see the same keys: those of the shared prefix and those of their own sequence, each as far as
 * causality and the window allow. Key tiles start at position 0 of the prefix and at the first position of the own
 * span, never at a buffer offset. The query of position p sees keys of positions max(0, p - window + 1) .. p. */
typedef struct plumb_segment {
    plumb_span query;
    plumb_span prefix; /* count may be 0 */
    plumb_span own;    /* positions follow the prefix's; count may be 0 */
} plumb_segment;

typedef struct plumb_attention {
    int heads, kv_heads, head_dim; /* query head h uses key/value head h / (heads / kv_heads) */
    float scale;                   /* of the scores */
    float cap;                     /* scores = cap * tanh(scores / cap) (Gemma 2); 0: none */
    int window;                    /* 0: none */
} plumb_attention;

/* out [.][heads * head_dim] at the query rows' places; q likewise; k, v [.][kv_heads * head_dim]. */
plumb_status plumb_attend(plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count,
                          const float *q, int ldq, const float *k, int ldk, const float *v, int ldv, float *out,
                          int ldo) PLUMB_MUST_USE;

/* --- unembedding -------------------------------------------------------------------------------------------------- */

typedef struct plumb_unembed {
    const plumb_linear *w; /* [vocabulary][d] */
    float scale;           /* logits are multiplied by it (1 for most) */
    float cap;             /* z = cap * tanh(z / cap) (Gemma 2); 0: none */
} plumb_unembed;

/* Log-softmax by vocabulary tile, never a full [rows][vocabulary] matrix: for each row of h [rows][d] the
 * log-probability of targets[i] and the log of the sum of exponentials. The maximum and sum are kept in fp64. logps or
 * lse may be NULL. */
plumb_status plumb_unembed_logps(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                 const int32_t *targets, double *logps, double *lse) PLUMB_MUST_USE;

/* What a trainer logs about the distribution over the next token, p = softmax(z). */
typedef struct plumb_token_statistics {
    double mean_logit;      /* of z over the vocabulary, after the cap */
    double entropy;         /* -sum p ln p */
    double log_sum_squares; /* ln sum p^2 (WPO, arXiv 2406.11827) */
    int32_t best;           /* the entry with the largest logit; of equal ones the first */
} plumb_token_statistics;

/* plumb_unembed_logps (the same numbers, to the bit) and the statistics of each row [rows]. */
plumb_status plumb_unembed_statistics(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                      const int32_t *targets, double *logps, double *lse,
                                      plumb_token_statistics *out) PLUMB_MUST_USE;

/* Logits z [rows][last - first] of the vocabulary entries first .. last - 1, before the cap. */
plumb_status plumb_unembed_tile(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows, int first,
                                int last, float *z, int ldz) PLUMB_MUST_USE;

/* Logits z [rows][vocabulary] of the whole vocabulary, after the cap: what a sampler draws from. The same numbers, to
 * the bit, as the log-probabilities above are made of. */
plumb_status plumb_unembed_logits(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows, float *z,
                                  int ldz) PLUMB_MUST_USE;

/* The derivative of a row's log-probability with respect to its logits before the cap, in place over a tile of them:
 * z [rows][n] holds logits first .. first + n - 1 before the cap, z[i][v] becomes
 *     cap'(z[i][v]) * ([v == targets[i]] - exp(cap(z[i][v]) - lse[i])).
 * Razin et al. 2024, the coefficients of Theorem 3 (e_y - pi). lse as from plumb_unembed_logps. */
void plumb_logit_gradient(plumb_compute *c, float cap, float *z, int ldz, int rows, int first, int n,
                          const int32_t *targets, const double *lse);

/* --- memory, for plans -------------------------------------------------------------------------------------------- */

/* Bytes that a context holds on to at the most once it has run linears of `rows` rows and at most `depth` inputs,
 * attention with heads of `head_dim` elements, or plumb_unembed_logps for `rows` rows. The last two share their memory.
 */
int64_t plumb_linear_bytes(const plumb_compute *c, int rows, int depth);
int64_t plumb_attend_bytes(const plumb_compute *c, int head_dim);
int64_t plumb_unembed_bytes(int rows);

#endif
