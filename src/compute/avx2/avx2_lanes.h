/* The registers of AVX2 as the kernels see them that are written once for all widths (gemm_kernels.h,
 * attention_kernels.h, row_kernels.h, gradient_kernels.h, lanes_math.h). */
#ifndef PLUMB_COMPUTE_AVX2_LANES_H
#define PLUMB_COMPUTE_AVX2_LANES_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/dtype.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 8 };

typedef __m256 floats; /* LANES of fp32 */
typedef __m256i words; /* LANES of 32 bits */

/* Some of the lanes: the first `count` (which may be negative or too large), all ones in the mask. */
typedef struct lane_set {
    __m256i mask;
    int count;
} lane_set;

INLINE lane_set first_lanes(int count)
{
    const __m256i order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (lane_set){_mm256_cmpgt_epi32(_mm256_set1_epi32(count), order), count};
}

/* Lanes outside the set are zero and not read. */
INLINE floats load_lanes(const float *from, lane_set lanes)
{
    return lanes.count >= LANES ? _mm256_loadu_ps(from)
           : lanes.count > 0    ? _mm256_maskload_ps(from, lanes.mask)
                                : _mm256_setzero_ps();
}

INLINE void store_lanes(float *to, lane_set lanes, floats value)
{
    if (lanes.count >= LANES)
        _mm256_storeu_ps(to, value);
    else if (lanes.count > 0)
        _mm256_maskstore_ps(to, lanes.mask, value);
}

INLINE floats load(const float *from)
{
    return _mm256_loadu_ps(from);
}

INLINE void store(float *to, floats value)
{
    _mm256_storeu_ps(to, value);
}

INLINE floats broadcast(float value)
{
    return _mm256_set1_ps(value);
}

INLINE floats add(floats a, floats b)
{
    return _mm256_add_ps(a, b);
}

INLINE words no_words(void)
{
    return _mm256_setzero_si256();
}

INLINE floats as_floats(words v)
{
    return _mm256_castsi256_ps(v);
}

/* Two bf16 in each lane: the lower or the upper one widened. */
INLINE floats widen_lower(words v)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(v, 16));
}

INLINE floats widen_upper(words v)
{
    return _mm256_castsi256_ps(_mm256_and_si256(v, _mm256_set1_epi32((int)0xffff0000u)));
}

/* The first `count` of 2 LANES elements of 16 bits; the others are zero and not read. */
INLINE words load_halves(const void *w, int count)
{
    if (count >= 2 * LANES) return _mm256_loadu_si256(w);
    uint16_t some[2 * LANES] = {0};
    if (count > 0) memcpy(some, w, (size_t)count * sizeof *some);
    return _mm256_loadu_si256((const void *)some);
}

/* The first `count` of LANES elements widened to fp32; the others are zero and not read. */
INLINE words load_wide(const void *w, plumb_dtype dtype, int count)
{
    if (dtype == PLUMB_F32) return _mm256_castps_si256(load_lanes(w, first_lanes(count)));
    const __m128i halves = count >= LANES ? _mm_loadu_si128(w) : _mm256_castsi256_si128(load_halves(w, count));
    if (dtype == PLUMB_F16) return _mm256_castps_si256(_mm256_cvtph_ps(halves));
    return _mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

/* Transposes LANES x LANES elements in place: first 4 x 4 within the 128-bit lanes, then the lanes. */
INLINE void transpose(words v[LANES])
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
INLINE words larger16(words largest, words halves)
{
    return _mm256_max_epu16(largest, _mm256_slli_epi16(halves, 1));
}

INLINE bool finite16(words largest)
{
    const __m256i limit = _mm256_set1_epi16((short)0xff00);
    return _mm256_testz_si256(_mm256_cmpeq_epi16(_mm256_max_epu16(largest, limit), largest), _mm256_set1_epi32(-1));
}

INLINE words larger32(words largest, words wide)
{
    return _mm256_max_epu32(largest, _mm256_slli_epi32(wide, 1));
}

INLINE bool finite32(words largest)
{
    const __m256i limit = _mm256_set1_epi32((int)0xff000000u);
    return _mm256_testz_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(largest, limit), largest), _mm256_set1_epi32(-1));
}

/* --- arithmetic --------------------------------------------------------------------------------------------------- */

INLINE floats subtract(floats a, floats b)
{
    return _mm256_sub_ps(a, b);
}

INLINE floats times(floats a, floats b)
{
    return _mm256_mul_ps(a, b);
}

INLINE floats divide(floats a, floats b)
{
    return _mm256_div_ps(a, b);
}

/* a b + c and c - a b, rounded once. */
INLINE floats add_product(floats a, floats b, floats c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE floats minus_product(floats a, floats b, floats c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

/* a b - c, rounded once. */
INLINE floats product_minus(floats a, floats b, floats c)
{
    return _mm256_fmsub_ps(a, b, c);
}

/* The larger and the smaller of two; b where one is NaN. */
INLINE floats larger(floats a, floats b)
{
    return _mm256_max_ps(a, b);
}

INLINE floats smaller(floats a, floats b)
{
    return _mm256_min_ps(a, b);
}

/* |x|, -|x|, and |x| (x >= 0) with the sign of another. */
INLINE floats magnitude(floats x)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
}

INLINE floats negative_magnitude(floats x)
{
    return _mm256_or_ps(x, _mm256_set1_ps(-0.0f));
}

INLINE floats with_sign(floats x, floats sign)
{
    return _mm256_or_ps(x, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f)));
}

/* What a comparison says of each lane: all bits or none. */
typedef __m256 answers;

INLINE answers below(floats a, floats b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

INLINE answers differs(floats a, floats b) /* false for NaN */
{
    return _mm256_cmp_ps(a, b, _CMP_NEQ_OQ);
}

INLINE answers not_at_most(floats a, floats b) /* true for NaN */
{
    return _mm256_cmp_ps(a, b, _CMP_NLE_UQ);
}

INLINE floats choose(answers yes, floats a, floats b)
{
    return _mm256_blendv_ps(b, a, yes);
}

/* To the nearest whole number, of two the even one. */
INLINE floats whole(floats x)
{
    return _mm256_round_ps(x, 0x08);
}

/* 2^n for whole numbers n in [-127, 127]; 0 for -127. */
INLINE floats power_of_two(words n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* x 2^n for whole numbers n in [-252, 254], denormal results included: in two halves, as n may lie outside a float's
 * exponents. */
INLINE floats times_power_of_two(floats x, floats n)
{
    words all = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(all, 1);
    return times(times(x, power_of_two(half)), power_of_two(_mm256_sub_epi32(all, half)));
}

/* --- fp64 --------------------------------------------------------------------------------------------------------- */

typedef __m256d doubles;

/* LANES of fp64, in two registers. */
typedef struct pair {
    doubles low, high;
} pair;

INLINE pair widen(floats x)
{
    return (pair){_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

INLINE floats narrow(pair x)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(x.high), _mm256_cvtpd_ps(x.low));
}

INLINE pair broadcast_pair(double x)
{
    return (pair){_mm256_set1_pd(x), _mm256_set1_pd(x)};
}

INLINE pair add_pair(pair a, pair b)
{
    return (pair){_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}

INLINE pair subtract_pair(pair a, pair b)
{
    return (pair){_mm256_sub_pd(a.low, b.low), _mm256_sub_pd(a.high, b.high)};
}

INLINE pair times_pair(pair a, pair b)
{
    return (pair){_mm256_mul_pd(a.low, b.low), _mm256_mul_pd(a.high, b.high)};
}

/* a b + c and c - a b, rounded once. */
INLINE pair add_product_pair(pair a, pair b, pair c)
{
    return (pair){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}

INLINE pair minus_product_pair(pair a, pair b, pair c)
{
    return (pair){_mm256_fnmadd_pd(a.low, b.low, c.low), _mm256_fnmadd_pd(a.high, b.high, c.high)};
}

/* Zero outside the set. */
INLINE pair only(pair x, lane_set lanes)
{
    if (lanes.count >= LANES) return x;
    const __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(lanes.mask));
    const __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(lanes.mask, 1));
    return (pair){_mm256_and_pd(x.low, _mm256_castsi256_pd(low)), _mm256_and_pd(x.high, _mm256_castsi256_pd(high))};
}

/* The lanes one after the other: one order, whatever the compiler. */
INLINE double sum_lanes(pair x)
{
    double lane[4], sum = 0;
    _mm256_storeu_pd(lane, _mm256_add_pd(x.low, x.high));
    for (int i = 0; i < 4; i++) sum += lane[i];
    return sum;
}

#endif
