/* The registers of AVX-512 as the matrix products see them (gemm_kernels.h). */
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

#endif
