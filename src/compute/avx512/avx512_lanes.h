/* What the matrix products of AVX-512 share: masks, transposition, widening. */
#ifndef PLUMB_COMPUTE_AVX512_LANES_H
#define PLUMB_COMPUTE_AVX512_LANES_H

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

#define INLINE static inline __attribute__((always_inline))

/* The first `count` lanes of 16 (or of 32); count may be negative or too large. */
INLINE __mmask16 lanes16(int count)
{
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

INLINE __mmask32 lanes32(int count)
{
    return count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1;
}

/* Transposes 16 x 16 elements of 32 bits in place: first 4 x 4 within the 128-bit lanes, then the lanes. */
INLINE void transpose(__m512i v[16])
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
INLINE __m512i larger16(__m512i largest, __m512i halves)
{
    return _mm512_max_epu16(largest, _mm512_slli_epi16(halves, 1));
}

INLINE bool finite16(__m512i largest)
{
    return _mm512_cmpge_epu16_mask(largest, _mm512_set1_epi16((short)0xff00)) == 0;
}

INLINE __m512i larger32(__m512i largest, __m512i words)
{
    return _mm512_max_epu32(largest, _mm512_slli_epi32(words, 1));
}

INLINE bool finite32(__m512i largest)
{
    return _mm512_cmpge_epu32_mask(largest, _mm512_set1_epi32((int)0xff000000u)) == 0;
}

/* Element i of an array, by its address. */
INLINE const void *element(const void *w, plumb_dtype dtype, size_t i)
{
    return (const char *)w + i * plumb_dtype_size(dtype);
}

/* 16 elements, those of the mask, widened to fp32; the others are zero and not read. */
INLINE __m512i load_wide(const void *w, plumb_dtype dtype, __mmask16 mask)
{
    if (dtype == PLUMB_F32) return _mm512_maskz_loadu_epi32(mask, w);
    const __m256i halves = _mm256_maskz_loadu_epi16(mask, w);
    if (dtype == PLUMB_F16) return _mm512_castps_si512(_mm512_cvtph_ps(halves));
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16);
}

/* Where the sums of 16 outputs of row i start from. */
INLINE __m512 begin_sum(const float *y, bool start, const float *bias, __mmask16 outputs)
{
    __m512 sum = start ? _mm512_maskz_loadu_ps(outputs, y) : _mm512_setzero_ps();
    if (!bias) return sum;
    const __m512 add = _mm512_maskz_loadu_ps(outputs, bias);
    return start ? _mm512_add_ps(sum, add) : add;
}

#endif
