/* Elementary functions on 16 floats. Polynomials are minimax fits of this project (Remez, relative error, the
 * coefficients rounded to fp32); the total error stays below 2 units in the last place where not said otherwise. */
#ifndef PLUMB_COMPUTE_AVX512_AVX512_MATH_H
#define PLUMB_COMPUTE_AVX512_AVX512_MATH_H

#include <immintrin.h>

#define PLUMB_INLINE static inline __attribute__((always_inline))

/* The first `count` of 16 lanes; count may be negative or too large. */
PLUMB_INLINE __mmask16 plumb_lanes16(int count)
{
    return count >= 16 ? 0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

/* exp(x) = power * 2^n for |x| < 2^20: n = round(x / ln 2), power = exp(x - n ln 2), ln 2 in two parts. The polynomial
 * 1 + r + r^2 P(r) on |r| <= ln 2 / 2 has a relative error of 2^-28. */
PLUMB_INLINE __m512 plumb_exp_parts512(__m512 x, __m512 *n)
{
    *n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)), 0x08);
    __m512 r = _mm512_fnmadd_ps(*n, _mm512_set1_ps(0x1.62e43p-1f), x);
    r = _mm512_fnmadd_ps(*n, _mm512_set1_ps(-0x1.05c61p-29f), r);
    __m512 p = _mm512_set1_ps(0x1.6a2384p-10f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.123a6ap-7f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.5558f4p-5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.55549p-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.fffffcp-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
}

/* exp(x); 0 from -104 down (and for -INFINITY), INFINITY from 88.73 up, exactly 1 at 0, NaN for NaN. */
PLUMB_INLINE __m512 plumb_exp512(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-105), x); /* of two operands the second is the result for NaN */
    x = _mm512_min_ps(_mm512_set1_ps(89), x);
    __m512 n, power = plumb_exp_parts512(x, &n);
    return _mm512_scalef_ps(power, n);
}

/* tanh(x): x + x^3 Q(x^2) below 0.625, 1 - 2 / (exp(2 |x|) + 1) with the sign of x above. */
PLUMB_INLINE __m512 plumb_tanh512(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1);
    __m512 size = _mm512_abs_ps(x), u = _mm512_mul_ps(x, x);
    __m512 q = _mm512_set1_ps(-0x1.75e214p-8f);
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(0x1.5226bp-6f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(-0x1.b83c5ep-5f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(0x1.110726p-3f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(-0x1.555532p-2f));
    __m512 near = _mm512_fmadd_ps(_mm512_mul_ps(x, u), q, x);
    __m512 power = plumb_exp512(_mm512_add_ps(size, size));
    __m512 far = _mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2), _mm512_add_ps(power, one)));
    far = _mm512_or_ps(far, _mm512_and_ps(x, _mm512_set1_ps(-0.0f)));
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(size, _mm512_set1_ps(0.625f), _CMP_LT_OQ), far, near);
}

/* The normal distribution function: 1 - Q for x >= 0 and Q for x < 0, Q = exp(-x^2 / 2) t P(t), t = 1 / (1 + 0.3 |x|).
 * t P(t) = erfc(a / sqrt 2) exp(a^2 / 2) / 2 within 2^-28 up to a = 14.5, where Q is 0 in fp32. The rounding of x^2 is
 * made good: exp(-x^2 / 2) = exp(-s / 2) (1 - rest / 2), s + rest = x^2. */
PLUMB_INLINE __m512 plumb_normal512(__m512 x)
{
    const __m512 one = _mm512_set1_ps(1), half = _mm512_set1_ps(0.5f);
    __m512 a = _mm512_min_ps(_mm512_abs_ps(x), _mm512_set1_ps(15));
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(a, _mm512_set1_ps(0.3f), one));
    __m512 p = _mm512_set1_ps(-0x1.51e5cep-6f);
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.cc8a32p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.d362aap-3f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.88c796p-3f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(-0x1.455382p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.89dcb4p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.411534p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.c38648p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.e9c42p-4f));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(0x1.ea3c98p-4f));
    __m512 square = _mm512_mul_ps(a, a), rest = _mm512_fmsub_ps(a, a, square);
    __m512 power = plumb_exp512(_mm512_mul_ps(square, _mm512_set1_ps(-0.5f)));
    power = _mm512_mul_ps(power, _mm512_fnmadd_ps(rest, half, one));
    __m512 q = _mm512_mul_ps(_mm512_mul_ps(t, p), power);
    __mmask16 negative = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_blend_ps(negative, _mm512_sub_ps(one, q), q);
}

#endif
