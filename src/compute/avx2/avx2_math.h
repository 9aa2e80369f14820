/* Elementary functions on 8 floats. Polynomials are minimax fits of this project (Remez, relative error, the
 * coefficients rounded to fp32); the total error stays below 2 units in the last place where not said otherwise. */
#ifndef PLUMB_COMPUTE_AVX2_AVX2_MATH_H
#define PLUMB_COMPUTE_AVX2_AVX2_MATH_H

#include <immintrin.h>

#define PLUMB_INLINE static inline __attribute__((always_inline))

/* The first `count` of 8 lanes; count may be negative or too large. */
PLUMB_INLINE __m256i plumb_lanes8(int count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* The first `count` lanes from x, the others 0; whole registers take the plain load. */
PLUMB_INLINE __m256 plumb_load8(const float *x, int count)
{
    return count >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, plumb_lanes8(count));
}

PLUMB_INLINE void plumb_store8(float *x, int count, __m256 value)
{
    if (count >= 8)
        _mm256_storeu_ps(x, value);
    else
        _mm256_maskstore_ps(x, plumb_lanes8(count), value);
}

/* 2^n for whole numbers n in [-127, 127]; 0 for -127. */
PLUMB_INLINE __m256 plumb_power_of_two8(__m256i n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* exp(x) = power * 2^n for |x| < 2^20: n = round(x / ln 2), power = exp(x - n ln 2), ln 2 in two parts. The polynomial
 * 1 + r + r^2 P(r) on |r| <= ln 2 / 2 has a relative error of 2^-28. */
PLUMB_INLINE __m256 plumb_exp_parts8(__m256 x, __m256 *n)
{
    *n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), 0x08);
    __m256 r = _mm256_fnmadd_ps(*n, _mm256_set1_ps(0x1.62e43p-1f), x);
    r = _mm256_fnmadd_ps(*n, _mm256_set1_ps(-0x1.05c61p-29f), r);
    __m256 p = _mm256_set1_ps(0x1.6a2384p-10f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.123a6ap-7f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.5558f4p-5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.55549p-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0x1.fffffcp-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    return _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
}

/* exp(x); 0 from -104 down (and for -INFINITY), INFINITY from 88.73 up, exactly 1 at 0, NaN for NaN. 2^n is multiplied
 * in two halves, as n may lie outside a float's exponents. */
PLUMB_INLINE __m256 plumb_exp8(__m256 x)
{
    x = _mm256_max_ps(_mm256_set1_ps(-105), x); /* of two operands the second is the result for NaN */
    x = _mm256_min_ps(_mm256_set1_ps(89), x);
    __m256 n, power = plumb_exp_parts8(x, &n);
    __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    power = _mm256_mul_ps(power, plumb_power_of_two8(half));
    return _mm256_mul_ps(power, plumb_power_of_two8(_mm256_sub_epi32(whole, half)));
}

/* tanh(x): x + x^3 Q(x^2) below 0.625, 1 - 2 / (exp(2 |x|) + 1) with the sign of x above. */
PLUMB_INLINE __m256 plumb_tanh8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1), sign = _mm256_set1_ps(-0.0f);
    __m256 size = _mm256_andnot_ps(sign, x), u = _mm256_mul_ps(x, x);
    __m256 q = _mm256_set1_ps(-0x1.75e214p-8f);
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(0x1.5226bp-6f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(-0x1.b83c5ep-5f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(0x1.110726p-3f));
    q = _mm256_fmadd_ps(q, u, _mm256_set1_ps(-0x1.555532p-2f));
    __m256 near = _mm256_fmadd_ps(_mm256_mul_ps(x, u), q, x);
    __m256 power = plumb_exp8(_mm256_add_ps(size, size));
    __m256 far = _mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2), _mm256_add_ps(power, one)));
    far = _mm256_or_ps(far, _mm256_and_ps(x, sign));
    return _mm256_blendv_ps(far, near, _mm256_cmp_ps(size, _mm256_set1_ps(0.625f), _CMP_LT_OQ));
}

/* The normal distribution function: 1 - Q for x >= 0 and Q for x < 0, Q = exp(-x^2 / 2) t P(t), t = 1 / (1 + 0.3 |x|).
 * t P(t) = erfc(a / sqrt 2) exp(a^2 / 2) / 2 within 2^-28 up to a = 14.5, where Q is 0 in fp32. The rounding of x^2 is
 * made good: exp(-x^2 / 2) = exp(-s / 2) (1 - rest / 2), s + rest = x^2. */
PLUMB_INLINE __m256 plumb_normal8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1), half = _mm256_set1_ps(0.5f);
    __m256 a = _mm256_min_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), _mm256_set1_ps(15));
    __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(a, _mm256_set1_ps(0.3f), one));
    __m256 p = _mm256_set1_ps(-0x1.51e5cep-6f);
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.cc8a32p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.d362aap-3f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.88c796p-3f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(-0x1.455382p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.89dcb4p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.411534p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.c38648p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.e9c42p-4f));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(0x1.ea3c98p-4f));
    __m256 square = _mm256_mul_ps(a, a), rest = _mm256_fmsub_ps(a, a, square);
    __m256 power = plumb_exp8(_mm256_mul_ps(square, _mm256_set1_ps(-0.5f)));
    power = _mm256_mul_ps(power, _mm256_fnmadd_ps(rest, half, one));
    __m256 q = _mm256_mul_ps(_mm256_mul_ps(t, p), power);
    return _mm256_blendv_ps(_mm256_sub_ps(one, q), q, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
}

#endif
