/* The registers of AVX2 as the matrix products see them (gemm_kernels.h). */
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

#endif
