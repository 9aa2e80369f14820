#include "compute/avx512/avx512_gemm.h"

#include "compute/avx512/avx512_lanes.h"

enum { MR = 14, NR = 32, LANES = 16 };

/* --- tile --------------------------------------------------------------------------------------------------------- */

/* A tile of `rows` (a constant after inlining; loops run to MR, so that any compiler unrolls them) x 32: two
 * accumulators a row, one broadcast of an input for both. */
INLINE void tile_rows(const int rows, int kc, const float *a, const float *b, float *y, size_t ldy, int n, bool start,
                      const float *bias)
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
    for (int p = 0; p < kc; p++, a += MR, b += NR) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < MR && i < rows; i++) {
            const __m512 value = _mm512_set1_ps(a[i]);
            sum0[i] = _mm512_fmadd_ps(value, b0, sum0[i]);
            sum1[i] = _mm512_fmadd_ps(value, b1, sum1[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        _mm512_mask_storeu_ps(y + (size_t)i * ldy, left, sum0[i]);
        _mm512_mask_storeu_ps(y + (size_t)i * ldy + LANES, right, sum1[i]);
    }
}

static void gemm_tile(int kc, const float *a, const float *b, float *y, int ldy, int m, int n, bool start,
                      const float *bias)
{
#define ROWS(rows)                                                                                                     \
    case rows:                                                                                                         \
        tile_rows(rows, kc, a, b, y, (size_t)ldy, n, start, bias);                                                     \
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

/* `count` <= 32 columns of n <= 16 rows of bf16 to b [count][nr]. Two values of a row travel through the transposition
 * as one element of 32 bits and are widened after it. */
INLINE __m512i pack_bf16_step(const uint16_t *w, size_t k, int n, int count, int nr, float *b, __m512i largest)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    const __mmask32 columns = lanes32(count);
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        v[i] = i < n ? _mm512_maskz_loadu_epi16(columns, w + (size_t)i * k) : _mm512_setzero_si512();
        largest = larger16(largest, v[i]);
    }
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (2 * i < count) _mm512_storeu_si512(b + (size_t)(2 * i) * (size_t)nr, _mm512_slli_epi32(v[i], 16));
        if (2 * i + 1 < count) _mm512_storeu_si512(b + (size_t)(2 * i + 1) * (size_t)nr, _mm512_and_si512(v[i], upper));
    }
    return largest;
}

static bool pack_bf16(const uint16_t *w, size_t k, int n, int kc, int nr, float *b)
{
    __m512i largest = _mm512_setzero_si512();
    int p = 0;
    if (n >= 16)
        for (; p + 32 <= kc; p += 32)
            largest = pack_bf16_step(w + p, k, 16, 32, nr, b + (size_t)p * (size_t)nr, largest);
    for (; p < kc; p += 32) largest = pack_bf16_step(w + p, k, n, kc - p, nr, b + (size_t)p * (size_t)nr, largest);
    return finite16(largest);
}

/* The same for `count` <= 16 columns of any type. */
INLINE __m512i pack_wide_step(const void *w, plumb_dtype dtype, size_t k, int n, int count, int nr, float *b,
                              __m512i largest)
{
    const __mmask16 columns = lanes16(count);
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        v[i] = i < n ? load_wide(element(w, dtype, (size_t)i * k), dtype, columns) : _mm512_setzero_si512();
        largest = larger32(largest, v[i]);
    }
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (i < count) _mm512_storeu_si512(b + (size_t)i * (size_t)nr, v[i]);
    return largest;
}

INLINE bool pack_wide(const void *w, plumb_dtype dtype, size_t k, int n, int kc, int nr, float *b)
{
    __m512i largest = _mm512_setzero_si512();
    int p = 0;
    if (n >= 16)
        for (; p + 16 <= kc; p += 16)
            largest =
                pack_wide_step(element(w, dtype, (size_t)p), dtype, k, 16, 16, nr, b + (size_t)p * (size_t)nr, largest);
    for (; p < kc; p += 16)
        largest =
            pack_wide_step(element(w, dtype, (size_t)p), dtype, k, n, kc - p, nr, b + (size_t)p * (size_t)nr, largest);
    return finite32(largest);
}

static void zero_columns(int kc, int nr, float *b)
{
    for (int p = 0; p < kc; p++) _mm512_storeu_ps(b + (size_t)p * (size_t)nr, _mm512_setzero_ps());
}

static bool pack_weights(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b)
{
    bool finite = true;
    for (int j = 0; j < nr; j += LANES, b += LANES) {
        const void *corner = element(w, dtype, (size_t)(j < n ? j : 0) * k + (size_t)k0);
        if (j >= n)
            zero_columns(kc, nr, b);
        else if (dtype == PLUMB_BF16)
            finite &= pack_bf16(corner, k, n - j, kc, nr, b);
        else if (dtype == PLUMB_F16)
            finite &= pack_wide(corner, PLUMB_F16, k, n - j, kc, nr, b);
        else
            finite &= pack_wide(corner, PLUMB_F32, k, n - j, kc, nr, b);
    }
    return finite;
}

/* Rows of w are rows of b here: they are widened as they are. */
INLINE bool widen_rows(const void *w, plumb_dtype dtype, size_t k, int nc, int kcount, int nr, float *b)
{
    const __mmask16 left = lanes16(kcount), right = lanes16(kcount - LANES);
    __m512i largest = _mm512_setzero_si512();
    for (int p = 0; p < nc; p++, b += nr) {
        const void *row = element(w, dtype, (size_t)p * k);
        const __m512i v0 = load_wide(row, dtype, left);
        const __m512i v1 = right ? load_wide(element(row, dtype, LANES), dtype, right) : _mm512_setzero_si512();
        largest = larger32(larger32(largest, v0), v1);
        _mm512_storeu_si512(b, v0);
        _mm512_storeu_si512(b + LANES, v1);
    }
    return finite32(largest);
}

static bool pack_weights_transposed(const void *w, plumb_dtype dtype, size_t k, int n0, int nc, int k0, int kcount,
                                    int nr, float *b)
{
    const void *corner = element(w, dtype, (size_t)n0 * k + (size_t)k0);
    if (dtype == PLUMB_BF16) return widen_rows(corner, PLUMB_BF16, k, nc, kcount, nr, b);
    if (dtype == PLUMB_F16) return widen_rows(corner, PLUMB_F16, k, nc, kcount, nr, b);
    return widen_rows(corner, PLUMB_F32, k, nc, kcount, nr, b);
}

/* `count` <= 16 columns of m <= 14 rows to a [count][14]. The 16 lanes of a row reach over the next one, which is
 * stored after it; only the last row of a panel must not, because another thread may own what follows. */
INLINE void pack_inputs_step(const float *x, size_t ldx, int m, int count, bool last, float *a)
{
    const __mmask16 columns = lanes16(count);
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < m ? _mm512_maskz_loadu_epi32(columns, x + (size_t)i * ldx) : _mm512_setzero_si512();
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (i < count - 1 || (i < count && !last)) _mm512_storeu_si512(a + i * MR, v[i]);
        if (i == count - 1 && last) _mm512_mask_storeu_epi32(a + i * MR, lanes16(MR), v[i]);
    }
}

static void pack_inputs(const float *x, int ldx, int m, int k0, int kc, int mr, float *a)
{
    int p = 0;
    x += k0;
    if (m == MR)
        for (; p + 16 < kc; p += 16) pack_inputs_step(x + p, (size_t)ldx, MR, 16, false, a + (size_t)p * (size_t)mr);
    for (; p < kc; p += 16)
        pack_inputs_step(x + p, (size_t)ldx, m, kc - p < 16 ? kc - p : 16, p + 16 >= kc, a + (size_t)p * (size_t)mr);
}

/* --- few rows ----------------------------------------------------------------------------------------------------- */

/* `count` columns of n <= 16 rows of w, transposed in registers, extend the chains of m rows of x: lane i of sum[r] is
 * output i of row r. */
INLINE void extend_bf16(const int m, const uint16_t *w, size_t k, int n, int count, const float *x, size_t ldx,
                        __m512 *sum)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < n ? _mm512_maskz_loadu_epi16(lanes32(count), w + (size_t)i * k) : _mm512_setzero_si512();
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(v[i], 16));
        const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(v[i], upper));
        const float *column = x + 2 * i;
        if (2 * i >= count) break;
#pragma GCC unroll 8
        for (int r = 0; r < m; r++) sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(column[(size_t)r * ldx]), even, sum[r]);
        if (2 * i + 1 >= count) break;
#pragma GCC unroll 8
        for (int r = 0; r < m; r++) sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(column[(size_t)r * ldx + 1]), odd, sum[r]);
    }
}

INLINE void extend_wide(const int m, const void *w, plumb_dtype dtype, size_t k, int n, int count, const float *x,
                        size_t ldx, __m512 *sum)
{
    __m512i v[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        v[i] = i < n ? load_wide(element(w, dtype, (size_t)i * k), dtype, lanes16(count)) : _mm512_setzero_si512();
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        if (i >= count) break;
#pragma GCC unroll 8
        for (int r = 0; r < m; r++)
            sum[r] = _mm512_fmadd_ps(_mm512_set1_ps(x[(size_t)r * ldx + (size_t)i]), _mm512_castsi512_ps(v[i]), sum[r]);
    }
}

INLINE void extend(const int m, const void *w, plumb_dtype dtype, size_t k, int n, int count, const float *x,
                   size_t ldx, __m512 *sum)
{
    if (dtype == PLUMB_BF16)
        extend_bf16(m, w, k, n, count, x, ldx, sum);
    else
        extend_wide(m, w, dtype, k, n, count, x, ldx, sum);
}

/* n <= 16 outputs of m rows. One row of x leaves the chains no company, and still their latency is a third of the time
 * that memory takes; more rows of w side by side were slower, for want of registers. */
INLINE void few_outputs(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx,
                        float *y, size_t ldy, bool start, const float *bias)
{
    const size_t step = dtype == PLUMB_BF16 ? 32 : 16;
    const __mmask16 outputs = lanes16(n);
    __m512 sum[PLUMB_FEW];
#pragma GCC unroll 8
    for (int r = 0; r < m; r++) sum[r] = begin_sum(y + (size_t)r * ldy, start, bias, outputs);
    size_t p = 0;
    for (; p + step <= k && n == LANES; p += step)
        extend(m, element(w, dtype, p), dtype, k, LANES, (int)step, x + p, ldx, sum);
    for (; p < k; p += step)
        extend(m, element(w, dtype, p), dtype, k, n, k - p < step ? (int)(k - p) : (int)step, x + p, ldx, sum);
#pragma GCC unroll 8
    for (int r = 0; r < m; r++) _mm512_mask_storeu_ps(y + (size_t)r * ldy, outputs, sum[r]);
}

INLINE void few_of_type(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx,
                        float *y, size_t ldy, bool start, const float *bias)
{
    for (int i = 0; i < n; i += LANES)
        few_outputs(m, element(w, dtype, (size_t)i * k), dtype, k, n - i < LANES ? n - i : LANES, x, ldx, y + i, ldy,
                    start, bias ? bias + i : NULL);
}

INLINE void few(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx, float *y,
                size_t ldy, bool start, const float *bias)
{
    if (dtype == PLUMB_BF16)
        few_of_type(m, w, PLUMB_BF16, k, n, x, ldx, y, ldy, start, bias);
    else if (dtype == PLUMB_F16)
        few_of_type(m, w, PLUMB_F16, k, n, x, ldx, y, ldy, start, bias);
    else
        few_of_type(m, w, PLUMB_F32, k, n, x, ldx, y, ldy, start, bias);
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

void plumb_avx512_gemm(plumb_kernels *k)
{
    k->gemm.mr = MR;
    k->gemm.nr = NR;
    k->gemm.pair = 1;
    k->gemm.tile = gemm_tile;
    k->gemm.few_rows = few_rows;
    k->gemm.pack_weights = pack_weights;
    k->gemm.pack_weights_transposed = pack_weights_transposed;
    k->gemm.pack_inputs = pack_inputs;
}
