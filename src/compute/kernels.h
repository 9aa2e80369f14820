/* The table of kernels that a back end fills, and the state that kernels share. Inside the folder only.
 *
 * A kernel works on a slice that one thread owns; splitting work over threads is done once, in the portable frames
 * (linear.c, row_operations.c, attention.c, unembed.c). A back end's init function starts from the table of the back
 * end before it and overrides entries: plumb_kernels_ref, plumb_kernels_avx2, plumb_kernels_avx512. */
#ifndef PLUMB_COMPUTE_KERNELS_H
#define PLUMB_COMPUTE_KERNELS_H

#include "compute/compute.h"

/* What a norm takes from a row. */
typedef struct plumb_moments {
    double mean, inverse; /* 1 / sqrt(variance + eps) */
} plumb_moments;

/* GEMM, in the manner of BLIS: C [mr][nr] (+)= A panel x B panel over steps of k. An element of a panel has 32 bits: a
 * float, or (pair 2) two bf16 of successive k, the lower k in the lower half; beyond the end of k stands a zero. Counts
 * of k below are in steps of k; a panel has steps = (kc + pair - 1) / pair elements along k, and a k0 is a
 * multiple of pair.
 *   a  [steps][mr] packed inputs, rows beyond `m` zero
 *   b  [steps][nr] packed weights, columns beyond `n` zero */
enum { PLUMB_FEW = 8 };

typedef struct plumb_gemm {
    int mr, nr, pair;
    /* y  the tile's corner, distance of rows ldy; only m x n of it is read and written; m, n >= 1, steps >= 0
     * start: the accumulator starts from y (a later block of k, or PLUMB_ADD), else from bias or zero
     * bias: NULL or [n]; with `start` it is added to y first, so a later block of k must not pass it again
     * Each output is one chain over ascending k: fused in avx2 and avx512, a rounded product and sum in ref; of pairs
     * as vdpbf16ps has it. */
    void (*tile)(int steps, const float *a, const float *b, float *y, int ldy, int m, int n, bool start,
                 const float *bias);
    /* b from rows [n <= nr] of w (distance k elements of dtype), columns k0 .. k0 + kc of each; nr is the table's.
     * Writes zeros beyond n. Returns false when one of the values is NaN or infinite. */
    bool (*pack_weights)(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b);
    /* The same for the transposed product: b [nc][nr] from rows n0 .. n0 + nc of w, columns k0 .. k0 + kcount (<= nr).
     * fp32 only (gradients). */
    bool (*pack_weights_transposed)(const void *w, plumb_dtype dtype, size_t k, int n0, int nc, int k0, int kcount,
                                    int nr, float *b);
    /* Without panels, for m <= PLUMB_FEW rows: y [m][n] from n rows of w, each read once and to
     * its end: the chains of `tile` over all of k, to the bit. NULL: there is none, panels are used. It does not look
     * for NaN: the caller looks at y, which no bad weight leaves finite. */
    void (*few_rows)(const void *w, plumb_dtype dtype, size_t k, int n, const float *x, int ldx, int m, float *y,
                     int ldy, bool start, const float *bias);
    /* a from m <= mr rows of x, columns k0 .. k0 + kc. */
    void (*pack_inputs)(const float *x, int ldx, int m, int k0, int kc, int mr, float *a);
} plumb_gemm;

typedef struct plumb_kernels {
    const char *isa;

    plumb_gemm gemm;      /* fp32 */
    plumb_gemm gemm_bf16; /* bf16 dot products; mr 0: there are none, fp32 panels are rounded instead */

    /* One row, or one (row, group). y may be x, out may be gate or up. */
    void (*norm_row)(const plumb_norm *norm, const float *x, float *y);
    void (*activate_row)(plumb_activation act, const float *gate, const float *up, int n, float *out);
    /* One head: the pairs (x[j], x[j + rotary / 2]), cosine and sine of its position. */
    void (*rotary_head)(float *x, int rotary, const float *cosine, const float *sine);
    /* out[j] = scale * src[j]. Returns false when one of src is NaN or infinite. */
    bool (*widen_row)(const void *src, plumb_dtype dtype, int n, float scale, float *out);
    /* z[j] = cap * tanh(z[j] / cap), relative accuracy kept near 0. */
    void (*cap_row)(float *z, int n, float cap);
    float (*max_row)(const float *z, int n); /* n >= 1 */
    /* The sum of exp(z[j]) * 2^-shift in fixed lanes, in fp64; a term below 2^-126 may count as 0. */
    double (*exp_sum_row)(const float *z, int n, int shift);

    /* Attention by tiles of keys, with the queries of a block side by side in lanes (attention.c has the frame). */
    /* c [m][n] = (accumulate: c +) a [m][depth] b [depth][n], each output one chain over ascending depth that starts
     * from c or zero. Element (i, t) of a is a[i * a_row + t * a_step]. Scores transposed: a = keys, b = queries by
     * dimension; values: a = probabilities by key, b = values. */
    void (*product_tile)(int m, int n, int depth, const float *a, size_t a_row, size_t a_step, const float *b,
                         size_t ldb, float *c, size_t ldc, bool accumulate);
    /* One step of the online softmax for lanes j < n, over scores s [keys][lds]: scale[j] = exp(max[j] - new max),
     * s = exp(s - new max), sum[j] = sum[j] * scale[j] + the column's sum over ascending keys. max starts at -FLT_MAX,
     * sum at 0. A column of -INFINITY changes neither max nor sum, and its scale is 1. */
    void (*softmax_tile)(float *s, int lds, int keys, int n, float *max, float *sum, float *scale);

    /* Backwards; the frames are linear_gradient.c, row_gradients.c, attention_gradient.c, unembed_gradient.c. */
    /* The mean (0 for RMS) and 1 / sqrt(variance + eps) of one row, or one (row, group). */
    plumb_moments (*moments_row)(const plumb_norm *norm, const float *x);
    /* With z = (x - mean) * inverse and t = dy * weight: dx = or += inverse * (t - mean(t) - z * mean(t z)); without
     * mean(t) for RMS. dx may be dy. */
    void (*norm_gradient_row)(const plumb_norm *norm, const float *x, const float *dy, plumb_moments moments, float *dx,
                              plumb_store store);
    /* dgate = dout * up * act'(gate), dup = dout * act(gate); up and dup may be NULL. Outputs may be inputs. */
    void (*activate_gradient_row)(plumb_activation act, const float *gate, const float *up, const float *dout, int n,
                                  float *dgate, float *dup);
    /* z[j] = -(1 - t^2) exp(cap t - lse), t = tanh(z[j] / cap); with cap 0: -exp(z[j] - lse). */
    void (*logit_gradient_row)(float *z, int n, float cap, double lse);
    /* Over lanes j < n of scores s and products dp [keys][lds]: s = p = exp(s - lse[j]), dp = p * (dp - dsum[j]), with
     * a cap times 1 - (s / cap)^2. A score of -INFINITY gives 0 in both. */
    void (*softmax_gradient_tile)(float *s, float *dp, int lds, int keys, int n, float cap, const float *lse,
                                  const float *dsum);
} plumb_kernels;

void plumb_kernels_ref(plumb_kernels *k);
#ifdef PLUMB_X86
void plumb_kernels_avx2(plumb_kernels *k);        /* overrides entries; the CPU must have AVX2, FMA, F16C */
void plumb_kernels_avx512(plumb_kernels *k);      /* ... and AVX-512 F, BW, DQ, VL */
void plumb_kernels_avx512_bf16(plumb_kernels *k); /* adds gemm_bf16; the CPU must have AVX512_BF16 too */
#endif

/* Rows and columns handed to one thread at a time do not change results; these are only sizes. */
struct plumb_compute {
    plumb_kernels kernels;
    plumb_arithmetic arithmetic;
    int threads;
    float *packed_inputs; /* grown as needed, aligned; used by linear.c */
    size_t packed_inputs_capacity;
    float *packed_weights; /* one panel region per thread */
    size_t packed_weights_capacity;
    float *scratch; /* attention and unembedding, per thread regions */
    size_t scratch_capacity;
    const char *bad_weight; /* name of the first tensor with a NaN or infinity; NULL: none */
};

/* Makes *buffer hold at least `need` floats (contents are not kept). */
plumb_status plumb_compute_scratch(float **buffer, size_t *capacity, size_t need) PLUMB_MUST_USE;

#endif
