/* Matrix products of bf16 operands: vdpbf16ps multiplies two pairs and adds them to a fp32 sum. The tile and the
 * transposition are those of avx512_gemm.c with pairs of successive k in the place of floats. */
#include "compute/avx512/avx512_lanes.h"
#include "compute/kernels.h"

enum { MR = 14, NR = 32, LANES = 16 };

/* --- tile --------------------------------------------------------------------------------------------------------- */

INLINE __m512 dot(__m512 sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

INLINE void tile_rows(const int rows, int steps, const float *a, const float *b, float *y, size_t ldy, int n,
                      bool start, const float *bias)
{
    const __mmask16 left = lanes16(n), right = lanes16(n - LANES);
    __m512 bias0 = _mm512_setzero_ps(), bias1 = bias0;
    if (bias) {
        bias0 = _mm512_maskz_loadu_ps(left, bias);
        bias1 = _mm512_maskz_loadu_ps(right, bias + LANES);
    }
    __m512 sum0[MR], sum1[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        sum0[i] = bias0;
        sum1[i] = bias1;
        if (start) {
            sum0[i] = _mm512_maskz_loadu_ps(left, y + (size_t)i * ldy);
            sum1[i] = _mm512_maskz_loadu_ps(right, y + (size_t)i * ldy + LANES);
        }
        if (start && bias) {
            sum0[i] = _mm512_add_ps(sum0[i], bias0);
            sum1[i] = _mm512_add_ps(sum1[i], bias1);
        }
    }
    for (int p = 0; p < steps; p++, a += MR, b += NR) {
        const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < MR && i < rows; i++) {
            const __m512i value = _mm512_castps_si512(_mm512_set1_ps(a[i]));
            sum0[i] = dot(sum0[i], value, b0);
            sum1[i] = dot(sum1[i], value, b1);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        _mm512_mask_storeu_ps(y + (size_t)i * ldy, left, sum0[i]);
        _mm512_mask_storeu_ps(y + (size_t)i * ldy + LANES, right, sum1[i]);
    }
}

static void tile(int steps, const float *a, const float *b, float *y, int ldy, int m, int n, bool start,
                 const float *bias)
{
#define ROWS(rows)                                                                                                     \
    case rows:                                                                                                         \
        tile_rows(rows, steps, a, b, y, (size_t)ldy, n, start, bias);                                                  \
        break;
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
        ROWS(9)
        ROWS(10)
        ROWS(11)
        ROWS(12)
        ROWS(13)
        ROWS(14)
    default:
        break;
    }
#undef ROWS
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

/* `count` <= 32 successive elements as 16 pairs; zeros beyond. */
INLINE __m512i load_pairs(const void *w, plumb_dtype dtype, int count, __m512i *largest)
{
    __m512i pairs;
    if (dtype == PLUMB_BF16) {
        pairs = _mm512_maskz_loadu_epi16(lanes32(count), w);
        *largest = larger16(*largest, pairs);
        return pairs;
    }
    const __m512i low = load_wide(w, dtype, lanes16(count));
    const __m512i high =
        count > LANES ? load_wide(element(w, dtype, LANES), dtype, lanes16(count - LANES)) : _mm512_setzero_si512();
    pairs = (__m512i)_mm512_cvtne2ps_pbh(_mm512_castsi512_ps(high), _mm512_castsi512_ps(low));
    *largest = larger16(*largest, pairs); /* a value that rounds to infinity counts as one */
    return pairs;
}

/* `count` <= 32 columns of n <= 16 rows to b [(count + 1) / 2][nr]. */
INLINE __m512i pack_step(const void *w, plumb_dtype dtype, size_t k, int n, int count, int nr, float *b,
                         __m512i largest)
{
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < n ? load_pairs(element(w, dtype, (size_t)i * k), dtype, count, &largest) : _mm512_setzero_si512();
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (2 * i < count) _mm512_storeu_si512(b + (size_t)i * (size_t)nr, v[i]);
    return largest;
}

INLINE bool pack_columns(const void *w, plumb_dtype dtype, size_t k, int n, int kc, int nr, float *b)
{
    __m512i largest = _mm512_setzero_si512();
    int p = 0;
    if (n >= 16)
        for (; p + 32 <= kc; p += 32)
            largest = pack_step(element(w, dtype, (size_t)p), dtype, k, 16, 32, nr, b + (size_t)(p / 2) * (size_t)nr,
                                largest);
    for (; p < kc; p += 32)
        largest = pack_step(element(w, dtype, (size_t)p), dtype, k, n, kc - p < 32 ? kc - p : 32, nr,
                            b + (size_t)(p / 2) * (size_t)nr, largest);
    return finite16(largest);
}

static bool pack_weights(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b)
{
    bool finite = true;
    for (int j = 0; j < nr; j += LANES, b += LANES) {
        const void *corner = element(w, dtype, (size_t)(j < n ? j : 0) * k + (size_t)k0);
        if (j >= n)
            for (int p = 0; p < (kc + 1) / 2; p++) _mm512_storeu_ps(b + (size_t)p * (size_t)nr, _mm512_setzero_ps());
        else if (dtype == PLUMB_BF16)
            finite &= pack_columns(corner, PLUMB_BF16, k, n - j, kc, nr, b);
        else if (dtype == PLUMB_F16)
            finite &= pack_columns(corner, PLUMB_F16, k, n - j, kc, nr, b);
        else
            finite &= pack_columns(corner, PLUMB_F32, k, n - j, kc, nr, b);
    }
    return finite;
}

/* `count` <= 32 columns of m <= 14 rows to a [(count + 1) / 2][14]. The 16 lanes of a step reach over the next one,
 * which is stored after it; only the last of a panel must not, because another thread may own what follows. */
INLINE void pack_inputs_step(const float *x, size_t ldx, int m, int count, bool last, float *a)
{
    __m512i v[16], unused = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < m ? load_pairs(x + (size_t)i * ldx, PLUMB_F32, count, &unused) : _mm512_setzero_si512();
    transpose(v);
    const int steps = (count + 1) / 2;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (i < steps - 1 || (i < steps && !last)) _mm512_storeu_si512(a + i * MR, v[i]);
        if (i == steps - 1 && last) _mm512_mask_storeu_epi32(a + i * MR, lanes16(MR), v[i]);
    }
}

static void pack_inputs(const float *x, int ldx, int m, int k0, int kc, int mr, float *a)
{
    int p = 0;
    x += k0;
    if (m == MR)
        for (; p + 32 < kc; p += 32)
            pack_inputs_step(x + p, (size_t)ldx, MR, 32, false, a + (size_t)(p / 2) * (size_t)mr);
    for (; p < kc; p += 32)
        pack_inputs_step(x + p, (size_t)ldx, m, kc - p < 32 ? kc - p : 32, p + 32 >= kc,
                         a + (size_t)(p / 2) * (size_t)mr);
}

/* --- few rows ----------------------------------------------------------------------------------------------------- */

/* `count` <= 32 columns of n <= 16 rows of w extend the chains of m rows of x, as in avx512_gemm.c. */
INLINE void extend(const int m, const void *w, plumb_dtype dtype, size_t k, int n, int count, const float *x,
                   size_t ldx, __m512 *sum)
{
    float pairs[PLUMB_FEW][LANES];
    __m512i v[16], unused = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (int r = 0; r < m; r++)
        _mm512_storeu_si512(pairs[r], load_pairs(x + (size_t)r * ldx, PLUMB_F32, count, &unused));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < n ? load_pairs(element(w, dtype, (size_t)i * k), dtype, count, &unused) : _mm512_setzero_si512();
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (2 * i >= count) break;
#pragma GCC unroll 8
        for (int r = 0; r < m; r++) sum[r] = dot(sum[r], _mm512_castps_si512(_mm512_set1_ps(pairs[r][i])), v[i]);
    }
}

INLINE void few_outputs(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx,
                        float *y, size_t ldy, bool start, const float *bias)
{
    const __mmask16 outputs = lanes16(n);
    __m512 sum[PLUMB_FEW];
#pragma GCC unroll 8
    for (int r = 0; r < m; r++) sum[r] = begin_sum(y + (size_t)r * ldy, start, bias, outputs);
    size_t p = 0;
    for (; p + 32 <= k && n == LANES; p += 32) extend(m, element(w, dtype, p), dtype, k, LANES, 32, x + p, ldx, sum);
    for (; p < k; p += 32)
        extend(m, element(w, dtype, p), dtype, k, n, k - p < 32 ? (int)(k - p) : 32, x + p, ldx, sum);
#pragma GCC unroll 8
    for (int r = 0; r < m; r++) _mm512_mask_storeu_ps(y + (size_t)r * ldy, outputs, sum[r]);
}

/* Weights of another type than bf16 are rounded on the way, which takes longer than to read them. */
INLINE void few(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx, float *y,
                size_t ldy, bool start, const float *bias)
{
    for (int i = 0; i < n; i += LANES) {
        const void *rows = element(w, dtype, (size_t)i * k);
        const int count = n - i < LANES ? n - i : LANES;
        if (dtype == PLUMB_BF16)
            few_outputs(m, rows, PLUMB_BF16, k, count, x, ldx, y + i, ldy, start, bias ? bias + i : NULL);
        else
            few_outputs(m, rows, dtype, k, count, x, ldx, y + i, ldy, start, bias ? bias + i : NULL);
    }
}

static void few_rows(const void *w, plumb_dtype dtype, size_t k, int n, const float *x, int ldx, int m, float *y,
                     int ldy, bool start, const float *bias)
{
#define ROWS(rows)                                                                                                     \
    case rows:                                                                                                         \
        few(rows, w, dtype, k, n, x, (size_t)ldx, y, (size_t)ldy, start, bias);                                        \
        break;
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
    default:
        break;
    }
#undef ROWS
}

void plumb_kernels_avx512_bf16(plumb_kernels *k)
{
    k->gemm_bf16 = (plumb_gemm){.mr = MR,
                                .nr = NR,
                                .pair = 2,
                                .tile = tile,
                                .few_rows = few_rows,
                                .pack_weights = pack_weights,
                                .pack_inputs = pack_inputs};
}
