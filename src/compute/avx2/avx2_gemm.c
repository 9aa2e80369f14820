#include "compute/avx2/avx2_gemm.h"

#include <immintrin.h>

#include "compute/ref/ref_gemm.h"

enum { MR = 6, NR = 16, LANES = 8 };

#define INLINE static inline __attribute__((always_inline))

/* --- tile --------------------------------------------------------------------------------------------------------- */

/* All ones in the first `count` lanes of 8; count may be negative or too large. */
INLINE __m256i lanes(int count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Lanes outside the mask are zero and not read. An empty half of a tile may lie outside its array altogether. */
INLINE __m256 load_lanes(const float *from, __m256i mask, int count)
{
    return count >= LANES ? _mm256_loadu_ps(from) : count > 0 ? _mm256_maskload_ps(from, mask) : _mm256_setzero_ps();
}

INLINE void store_lanes(float *to, __m256i mask, int count, __m256 value)
{
    if (count >= LANES)
        _mm256_storeu_ps(to, value);
    else if (count > 0)
        _mm256_maskstore_ps(to, mask, value);
}

/* A tile of `rows` (a constant after inlining; loops run to MR, so that any compiler unrolls them) x 16: two
 * accumulators a row, one broadcast of an input for both. */
INLINE void tile_rows(const int rows, int kc, const float *a, const float *b, float *y, size_t ldy, int n, bool start,
                      const float *bias)
{
    const __m256i left = lanes(n), right = lanes(n - LANES);
    __m256 bias0 = _mm256_setzero_ps(), bias1 = bias0;
    if (bias) {
        bias0 = load_lanes(bias, left, n);
        bias1 = load_lanes(bias + LANES, right, n - LANES);
    }
    __m256 sum0[MR], sum1[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        sum0[i] = bias0;
        sum1[i] = bias1;
        if (start) {
            sum0[i] = load_lanes(y + (size_t)i * ldy, left, n);
            sum1[i] = load_lanes(y + (size_t)i * ldy + LANES, right, n - LANES);
        }
        if (start && bias) {
            sum0[i] = _mm256_add_ps(sum0[i], bias0);
            sum1[i] = _mm256_add_ps(sum1[i], bias1);
        }
    }
    for (int p = 0; p < kc; p++, a += MR, b += NR) {
        const __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < MR && i < rows; i++) {
            const __m256 value = _mm256_broadcast_ss(a + i);
            sum0[i] = _mm256_fmadd_ps(value, b0, sum0[i]);
            sum1[i] = _mm256_fmadd_ps(value, b1, sum1[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        store_lanes(y + (size_t)i * ldy, left, n, sum0[i]);
        store_lanes(y + (size_t)i * ldy + LANES, right, n - LANES, sum1[i]);
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
    default:
        break;
    }
#undef ROWS
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

/* Transposes 8 x 8 elements of 32 bits in place: first 4 x 4 within the 128-bit lanes, then the lanes. */
INLINE void transpose(__m256i v[8])
{
    __m256i t[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i += 4) {
        const __m256i low01 = _mm256_unpacklo_epi32(v[i], v[i + 1]), high01 = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        const __m256i low23 = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]);
        const __m256i high23 = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm256_unpacklo_epi64(low01, low23);
        t[i + 1] = _mm256_unpackhi_epi64(low01, low23);
        t[i + 2] = _mm256_unpacklo_epi64(high01, high23);
        t[i + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 16
    for (int c = 0; c < 4; c++) {
        v[c] = _mm256_permute2x128_si256(t[c], t[4 + c], 0x20);
        v[4 + c] = _mm256_permute2x128_si256(t[c], t[4 + c], 0x31);
    }
}

/* Exponent fields all ones mean NaN or infinity: `largest` is the maximum of values without their signs, doubled. */
INLINE __m256i larger16(__m256i largest, __m256i halves)
{
    return _mm256_max_epu16(largest, _mm256_slli_epi16(halves, 1));
}

INLINE bool finite16(__m256i largest)
{
    const __m256i limit = _mm256_set1_epi16((short)0xff00);
    return _mm256_testz_si256(_mm256_cmpeq_epi16(_mm256_max_epu16(largest, limit), largest), _mm256_set1_epi32(-1));
}

INLINE __m256i larger32(__m256i largest, __m256i words)
{
    return _mm256_max_epu32(largest, _mm256_slli_epi32(words, 1));
}

INLINE bool finite32(__m256i largest)
{
    const __m256i limit = _mm256_set1_epi32((int)0xff000000u);
    return _mm256_testz_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(largest, limit), largest), _mm256_set1_epi32(-1));
}

/* Element i of an array, by its address. */
INLINE const void *element(const void *w, plumb_dtype dtype, size_t i)
{
    return (const char *)w + i * plumb_dtype_size(dtype);
}

/* 8 elements widened to fp32. */
INLINE __m256i load_wide(const void *w, plumb_dtype dtype)
{
    if (dtype == PLUMB_F32) return _mm256_loadu_si256(w);
    const __m128i halves = _mm_loadu_si128(w);
    if (dtype == PLUMB_F16) return _mm256_castps_si256(_mm256_cvtph_ps(halves));
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

/* 16 columns of n <= 8 rows of bf16 to b [16][nr]. Two values of a row travel through the transposition as one element
 * of 32 bits and are widened after it. */
INLINE __m256i pack_bf16_step(const uint16_t *w, size_t k, int n, int nr, float *b, __m256i largest)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256i v[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++) {
        v[i] = i < n ? _mm256_loadu_si256((const void *)(w + (size_t)i * k)) : _mm256_setzero_si256();
        largest = larger16(largest, v[i]);
    }
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++) {
        _mm256_storeu_si256((void *)(b + (size_t)(2 * i) * (size_t)nr), _mm256_slli_epi32(v[i], 16));
        _mm256_storeu_si256((void *)(b + (size_t)(2 * i + 1) * (size_t)nr), _mm256_and_si256(v[i], upper));
    }
    return largest;
}

/* Packs whole steps of 16 columns and returns how many columns that were. */
static int pack_bf16(const uint16_t *w, size_t k, int n, int kc, int nr, float *b, bool *finite)
{
    __m256i largest = _mm256_setzero_si256();
    int p = 0;
    if (n >= 8)
        for (; p + 16 <= kc; p += 16) largest = pack_bf16_step(w + p, k, 8, nr, b + (size_t)p * (size_t)nr, largest);
    for (; p + 16 <= kc; p += 16) largest = pack_bf16_step(w + p, k, n, nr, b + (size_t)p * (size_t)nr, largest);
    *finite &= finite16(largest);
    return p;
}

/* The same by steps of 8 columns, for any type. */
INLINE __m256i pack_wide_step(const void *w, plumb_dtype dtype, size_t k, int n, int nr, float *b, __m256i largest)
{
    __m256i v[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++) {
        v[i] = i < n ? load_wide(element(w, dtype, (size_t)i * k), dtype) : _mm256_setzero_si256();
        largest = larger32(largest, v[i]);
    }
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++) _mm256_storeu_si256((void *)(b + (size_t)i * (size_t)nr), v[i]);
    return largest;
}

INLINE int pack_wide(const void *w, plumb_dtype dtype, size_t k, int n, int kc, int nr, float *b, bool *finite)
{
    __m256i largest = _mm256_setzero_si256();
    int p = 0;
    for (; p + 8 <= kc; p += 8)
        largest = pack_wide_step(element(w, dtype, (size_t)p), dtype, k, n, nr, b + (size_t)p * (size_t)nr, largest);
    *finite &= finite32(largest);
    return p;
}

static void zero_columns(int kc, int nr, float *b)
{
    for (int p = 0; p < kc; p++) _mm256_storeu_ps(b + (size_t)p * (size_t)nr, _mm256_setzero_ps());
}

static bool pack_weights(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b)
{
    bool finite = true;
    int done = 0;
    for (int j = 0; j < nr; j += LANES) {
        const void *corner = element(w, dtype, (size_t)(j < n ? j : 0) * k + (size_t)k0);
        if (j >= n)
            zero_columns(kc, nr, b + j);
        else if (dtype == PLUMB_BF16)
            done = pack_bf16(corner, k, n - j, kc, nr, b + j, &finite);
        else if (dtype == PLUMB_F16)
            done = pack_wide(corner, PLUMB_F16, k, n - j, kc, nr, b + j, &finite);
        else
            done = pack_wide(corner, PLUMB_F32, k, n - j, kc, nr, b + j, &finite);
    }
    if (done < kc)
        finite &= plumb_ref_pack_weights(w, dtype, k, n, k0 + done, kc - done, nr, b + (size_t)done * (size_t)nr);
    return finite;
}

/* Rows of w are rows of b here: they are widened as they are. */
INLINE bool widen_rows(const void *w, plumb_dtype dtype, size_t k, int nc, int nr, float *b)
{
    __m256i largest = _mm256_setzero_si256();
    for (int p = 0; p < nc; p++, b += nr) {
        const void *row = element(w, dtype, (size_t)p * k);
        const __m256i v0 = load_wide(row, dtype), v1 = load_wide(element(row, dtype, LANES), dtype);
        largest = larger32(larger32(largest, v0), v1);
        _mm256_storeu_si256((void *)b, v0);
        _mm256_storeu_si256((void *)(b + LANES), v1);
    }
    return finite32(largest);
}

static bool pack_weights_transposed(const void *w, plumb_dtype dtype, size_t k, int n0, int nc, int k0, int kcount,
                                    int nr, float *b)
{
    const void *corner = element(w, dtype, (size_t)n0 * k + (size_t)k0);
    if (kcount < NR) return plumb_ref_pack_weights_transposed(w, dtype, k, n0, nc, k0, kcount, nr, b);
    if (dtype == PLUMB_BF16) return widen_rows(corner, PLUMB_BF16, k, nc, nr, b);
    if (dtype == PLUMB_F16) return widen_rows(corner, PLUMB_F16, k, nc, nr, b);
    return widen_rows(corner, PLUMB_F32, k, nc, nr, b);
}

/* 8 columns of m <= 6 rows to a [8][6]. The 8 lanes of a row reach over the next one, which is stored after it. */
INLINE void pack_inputs_step(const float *x, size_t ldx, int m, float *a)
{
    __m256i v[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++)
        v[i] = i < m ? _mm256_loadu_si256((const void *)(x + (size_t)i * ldx)) : _mm256_setzero_si256();
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < 8; i++) _mm256_storeu_si256((void *)(a + i * MR), v[i]);
}

/* Always leaves the last columns to the scalar loop: what follows the panel may be another thread's. */
static void pack_inputs(const float *x, int ldx, int m, int k0, int kc, int mr, float *a)
{
    int p = 0;
    x += k0;
    if (m == MR)
        for (; p + 8 < kc; p += 8) pack_inputs_step(x + p, (size_t)ldx, MR, a + (size_t)p * (size_t)mr);
    for (; p + 8 < kc; p += 8) pack_inputs_step(x + p, (size_t)ldx, m, a + (size_t)p * (size_t)mr);
    plumb_ref_pack_inputs(x, ldx, m, p, kc - p, mr, a + (size_t)p * (size_t)mr);
}

void plumb_avx2_gemm(plumb_kernels *k)
{
    k->gemm.mr = MR;
    k->gemm.nr = NR;
    k->gemm.pair = 1;
    k->gemm.tile = gemm_tile;
    k->gemm.pack_weights = pack_weights;
    k->gemm.pack_weights_transposed = pack_weights_transposed;
    k->gemm.pack_inputs = pack_inputs;
}
