/* The registers of AVX-512 as the kernels see them that are written once for all widths (gemm_kernels.h,
 * attention_kernels.h, row_kernels.h, gradient_kernels.h, lanes_math.h). */
#ifndef PLUMB_COMPUTE_AVX512_LANES_H
#define PLUMB_COMPUTE_AVX512_LANES_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

#define INLINE static inline __attribute__((always_inline))

enum { LANES = 16 };

typedef __m512 floats;      /* LANES of fp32 */
typedef __m512i words;      /* LANES of 32 bits */
typedef __mmask16 lane_set; /* some of the lanes */

/* The first `count` lanes; count may be negative or too large. */
INLINE lane_set first_lanes(int count)
{
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

/* Lanes outside the set are zero and not read. */
INLINE floats load_lanes(const float *from, lane_set lanes)
{
    return _mm512_maskz_loadu_ps(lanes, from);
}

INLINE void store_lanes(float *to, lane_set lanes, floats value)
{
    _mm512_mask_storeu_ps(to, lanes, value);
}

INLINE floats load(const float *from)
{
    return _mm512_loadu_ps(from);
}

INLINE void store(float *to, floats value)
{
    _mm512_storeu_ps(to, value);
}

INLINE floats broadcast(float value)
{
    return _mm512_set1_ps(value);
}

INLINE floats add(floats a, floats b)
{
    return _mm512_add_ps(a, b);
}

INLINE words no_words(void)
{
    return _mm512_setzero_si512();
}

INLINE floats as_floats(words v)
{
    return _mm512_castsi512_ps(v);
}

/* Two bf16 in each lane: the lower or the upper one widened. */
INLINE floats widen_lower(words v)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
}

INLINE floats widen_upper(words v)
{
    return _mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32((int)0xffff0000u)));
}

/* The first `count` of 2 LANES elements of 16 bits; the others are zero and not read. */
INLINE words load_halves(const void *w, int count)
{
    const __mmask32 lanes = count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1;
    return _mm512_maskz_loadu_epi16(lanes, w);
}

/* The first `count` of LANES elements widened to fp32; the others are zero and not read. */
INLINE words load_wide(const void *w, plumb_dtype dtype, int count)
{
    const __mmask16 lanes = first_lanes(count);
    if (dtype == PLUMB_F32) return _mm512_maskz_loadu_epi32(lanes, w);
    const __m256i halves = _mm256_maskz_loadu_epi16(lanes, w);
    if (dtype == PLUMB_F16) return _mm512_castps_si512(_mm512_cvtph_ps(halves));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

/* Transposes LANES x LANES elements in place: first 4 x 4 within the 128-bit lanes, then the lanes. */
INLINE void transpose(words v[LANES])
{
    __m512i t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i += 4) {
        const __m512i low01 = _mm512_unpacklo_epi32(v[i], v[i + 1]), high01 = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        const __m512i low23 = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]);
        const __m512i high23 = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(low01, low23);
        t[i + 1] = _mm512_unpackhi_epi64(low01, low23);
        t[i + 2] = _mm512_unpacklo_epi64(high01, high23);
        t[i + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 16
    for (int c = 0; c < 4; c++) { /* lane l of t[4 r + c] is column 4 l + c of rows 4 r .. 4 r + 3 */
        const __m512i even01 = _mm512_shuffle_i32x4(t[c], t[4 + c], 0x88);
        const __m512i even23 = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0x88);
        const __m512i odd01 = _mm512_shuffle_i32x4(t[c], t[4 + c], 0xdd);
        const __m512i odd23 = _mm512_shuffle_i32x4(t[8 + c], t[12 + c], 0xdd);
        v[c] = _mm512_shuffle_i32x4(even01, even23, 0x88);
        v[4 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0x88);
        v[8 + c] = _mm512_shuffle_i32x4(even01, even23, 0xdd);
        v[12 + c] = _mm512_shuffle_i32x4(odd01, odd23, 0xdd);
    }
}

/* Exponent fields all ones mean NaN or infinity: `largest` is the maximum of values without their signs, doubled. */
INLINE words larger16(words largest, words halves)
{
    return _mm512_max_epu16(largest, _mm512_slli_epi16(halves, 1));
}

INLINE bool finite16(words largest)
{
    return _mm512_cmpge_epu16_mask(largest, _mm512_set1_epi16((short)0xff00)) == 0;
}

INLINE words larger32(words largest, words wide)
{
    return _mm512_max_epu32(largest, _mm512_slli_epi32(wide, 1));
}

INLINE bool finite32(words largest)
{
    return _mm512_cmpge_epu32_mask(largest, _mm512_set1_epi32((int)0xff000000u)) == 0;
}

/* --- arithmetic --------------------------------------------------------------------------------------------------- */

INLINE floats subtract(floats a, floats b)
{
    return _mm512_sub_ps(a, b);
}

INLINE floats times(floats a, floats b)
{
    return _mm512_mul_ps(a, b);
}

INLINE floats divide(floats a, floats b)
{
    return _mm512_div_ps(a, b);
}

/* a b + c and c - a b, rounded once. */
INLINE floats add_product(floats a, floats b, floats c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE floats minus_product(floats a, floats b, floats c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

/* a b - c, rounded once. */
INLINE floats product_minus(floats a, floats b, floats c)
{
    return _mm512_fmsub_ps(a, b, c);
}

/* The larger and the smaller of two; b where one is NaN. */
INLINE floats larger(floats a, floats b)
{
    return _mm512_max_ps(a, b);
}

INLINE floats smaller(floats a, floats b)
{
    return _mm512_min_ps(a, b);
}

/* |x|, -|x|, and |x| (x >= 0) with the sign of another. */
INLINE floats magnitude(floats x)
{
    return _mm512_abs_ps(x);
}

INLINE floats negative_magnitude(floats x)
{
    return _mm512_or_ps(x, _mm512_set1_ps(-0.0f));
}

INLINE floats with_sign(floats x, floats sign)
{
    return _mm512_or_ps(x, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f)));
}

/* What a comparison says of each lane. */
typedef __mmask16 answers;

INLINE answers below(floats a, floats b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

INLINE answers differs(floats a, floats b) /* false for NaN */
{
    return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_OQ);
}

INLINE answers not_at_most(floats a, floats b) /* true for NaN */
{
    return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ);
}

INLINE floats choose(answers yes, floats a, floats b)
{
    return _mm512_mask_blend_ps(yes, b, a);
}

/* To the nearest whole number, of two the even one. */
INLINE floats whole(floats x)
{
    return _mm512_roundscale_ps(x, 0x08);
}

/* x 2^n for whole numbers n, denormal results included. */
INLINE floats times_power_of_two(floats x, floats n)
{
    return _mm512_scalef_ps(x, n);
}

/* --- fp64 --------------------------------------------------------------------------------------------------------- */

typedef __m512d doubles;

/* LANES of fp64, in two registers. */
typedef struct pair {
    doubles low, high;
} pair;

INLINE pair widen(floats x)
{
    return (pair){_mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))};
}

INLINE floats narrow(pair x)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(x.low)), _mm512_cvtpd_ps(x.high), 1);
}

INLINE pair broadcast_pair(double x)
{
    return (pair){_mm512_set1_pd(x), _mm512_set1_pd(x)};
}

INLINE pair add_pair(pair a, pair b)
{
    return (pair){_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}

INLINE pair subtract_pair(pair a, pair b)
{
    return (pair){_mm512_sub_pd(a.low, b.low), _mm512_sub_pd(a.high, b.high)};
}

INLINE pair times_pair(pair a, pair b)
{
    return (pair){_mm512_mul_pd(a.low, b.low), _mm512_mul_pd(a.high, b.high)};
}

/* a b + c and c - a b, rounded once. */
INLINE pair add_product_pair(pair a, pair b, pair c)
{
    return (pair){_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}

INLINE pair minus_product_pair(pair a, pair b, pair c)
{
    return (pair){_mm512_fnmadd_pd(a.low, b.low, c.low), _mm512_fnmadd_pd(a.high, b.high, c.high)};
}

/* Zero outside the set. */
INLINE pair only(pair x, lane_set lanes)
{
    return (pair){_mm512_maskz_mov_pd((__mmask8)lanes, x.low), _mm512_maskz_mov_pd((__mmask8)(lanes >> 8), x.high)};
}

/* The lanes one after the other: one order, whatever the compiler. */
INLINE double sum_lanes(pair x)
{
    double lane[8], sum = 0;
    _mm512_storeu_pd(lane, _mm512_add_pd(x.low, x.high));
    for (int i = 0; i < 8; i++) sum += lane[i];
    return sum;
}

#endif
