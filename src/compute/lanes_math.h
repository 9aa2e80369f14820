/* Elementary functions on the lanes of a register. Polynomials are minimax fits of this project (Remez, relative error,
 * the coefficients rounded to fp32); the total error stays below 2 units in the last place where not said otherwise.
 * Included after avx2_lanes.h or avx512_lanes.h. */
#ifndef PLUMB_COMPUTE_LANES_MATH_H
#define PLUMB_COMPUTE_LANES_MATH_H

/* exp(x) = power * 2^n for |x| < 2^20: n = round(x / ln 2), power = exp(x - n ln 2), ln 2 in two parts. The polynomial
 * 1 + r + r^2 P(r) on |r| <= ln 2 / 2 has a relative error of 2^-28. */
INLINE floats exponential_parts(floats x, floats *n)
{
    *n = whole(times(x, broadcast(0x1.715476p+0f)));
    floats r = minus_product(*n, broadcast(0x1.62e43p-1f), x);
    r = minus_product(*n, broadcast(-0x1.05c61p-29f), r);
    floats p = broadcast(0x1.6a2384p-10f);
    p = add_product(p, r, broadcast(0x1.123a6ap-7f));
    p = add_product(p, r, broadcast(0x1.5558f4p-5f));
    p = add_product(p, r, broadcast(0x1.55549p-3f));
    p = add_product(p, r, broadcast(0x1.fffffcp-2f));
    p = add_product(p, r, broadcast(1));
    return add_product(p, r, broadcast(1));
}

/* exp(x); 0 from -104 down (and for -INFINITY), INFINITY from 88.73 up, exactly 1 at 0, NaN for NaN. */
INLINE floats exponential(floats x)
{
    x = larger(broadcast(-105), x); /* of two operands the second is the result for NaN */
    x = smaller(broadcast(89), x);
    floats n, power = exponential_parts(x, &n);
    return times_power_of_two(power, n);
}

/* tanh(x): x + x^3 Q(x^2) below 0.625, 1 - 2 / (exp(2 |x|) + 1) with the sign of x above. */
INLINE floats hyperbolic_tangent(floats x)
{
    const floats one = broadcast(1);
    floats size = magnitude(x), u = times(x, x);
    floats q = broadcast(-0x1.75e214p-8f);
    q = add_product(q, u, broadcast(0x1.5226bp-6f));
    q = add_product(q, u, broadcast(-0x1.b83c5ep-5f));
    q = add_product(q, u, broadcast(0x1.110726p-3f));
    q = add_product(q, u, broadcast(-0x1.555532p-2f));
    floats near = add_product(times(x, u), q, x);
    floats power = exponential(add(size, size));
    floats far = subtract(one, divide(broadcast(2), add(power, one)));
    far = with_sign(far, x);
    return choose(below(size, broadcast(0.625f)), near, far);
}

/* The normal distribution function: 1 - Q for x >= 0 and Q for x < 0, Q = exp(-x^2 / 2) t P(t), t = 1 / (1 + 0.3 |x|).
 * t P(t) = erfc(a / sqrt 2) exp(a^2 / 2) / 2 within 2^-28 up to a = 14.5, where Q is 0 in fp32. The rounding of x^2 is
 * made good: exp(-x^2 / 2) = exp(-s / 2) (1 - rest / 2), s + rest = x^2. */
INLINE floats normal_distribution(floats x)
{
    const floats one = broadcast(1), half = broadcast(0.5f);
    floats a = smaller(magnitude(x), broadcast(15));
    floats t = divide(one, add_product(a, broadcast(0.3f), one));
    floats p = broadcast(-0x1.51e5cep-6f);
    p = add_product(p, t, broadcast(0x1.cc8a32p-4f));
    p = add_product(p, t, broadcast(-0x1.d362aap-3f));
    p = add_product(p, t, broadcast(0x1.88c796p-3f));
    p = add_product(p, t, broadcast(-0x1.455382p-4f));
    p = add_product(p, t, broadcast(0x1.89dcb4p-4f));
    p = add_product(p, t, broadcast(0x1.411534p-4f));
    p = add_product(p, t, broadcast(0x1.c38648p-4f));
    p = add_product(p, t, broadcast(0x1.e9c42p-4f));
    p = add_product(p, t, broadcast(0x1.ea3c98p-4f));
    floats square = times(a, a), rest = product_minus(a, a, square);
    floats power = exponential(times(square, broadcast(-0.5f)));
    power = times(power, minus_product(rest, half, one));
    floats q = times(times(t, p), power);
    return choose(below(x, broadcast(0)), q, subtract(one, q));
}

#endif
