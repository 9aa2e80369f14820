/* Kernels of the backward pass (kernels.h has their contracts), for registers of any width: included once by each back
 * end, after its lanes. */
#ifndef PLUMB_COMPUTE_GRADIENT_KERNELS_H
#define PLUMB_COMPUTE_GRADIENT_KERNELS_H

#include <math.h>

#include "compute/kernels.h"
#include "compute/lanes_math.h"

/* --- norms -------------------------------------------------------------------------------------------------------- */

/* x - mean; lanes that are not in use stay 0. */
INLINE pair centred(const float *x, lane_set lanes, pair mean)
{
    return only(subtract_pair(widen(load_lanes(x, lanes)), mean), lanes);
}

static double mean_row(const float *x, int n)
{
    pair sum = broadcast_pair(0);
    for (int j = 0; j < n; j += LANES) sum = add_pair(sum, widen(load_lanes(x + j, first_lanes(n - j))));
    return sum_lanes(sum) / n;
}

static plumb_moments moments_row(const plumb_norm *norm, const float *x)
{
    int d = norm->d;
    double mean = norm->kind == PLUMB_LAYER_NORM ? mean_row(x, d) : 0;
    pair squares = broadcast_pair(0);
    for (int j = 0; j < d; j += LANES) {
        pair value = centred(x + j, first_lanes(d - j), broadcast_pair(mean));
        squares = add_product_pair(value, value, squares);
    }
    return (plumb_moments){mean, 1 / sqrt(sum_lanes(squares) / d + norm->eps)};
}

/* dy * weight, exact in fp64 */
INLINE pair weighted(const plumb_norm *norm, const float *dy, int j, lane_set lanes)
{
    pair t = widen(load_lanes(dy + j, lanes));
    if (!norm->weight) return t;
    pair w = widen(load_lanes(norm->weight + j, lanes));
    return times_pair(t, w);
}

/* dx = inverse (t - middle - slope (x - mean)); the slope holds the inverse's square and the mean of t (x - mean). */
static void norm_gradient_row(const plumb_norm *norm, const float *x, const float *dy, plumb_moments moments, float *dx,
                              plumb_store store)
{
    int d = norm->d;
    const pair mean = broadcast_pair(moments.mean), inverse = broadcast_pair(moments.inverse);
    pair sum = broadcast_pair(0), product = broadcast_pair(0);
    for (int j = 0; j < d; j += LANES) {
        const lane_set lanes = first_lanes(d - j);
        pair t = weighted(norm, dy, j, lanes);
        sum = add_pair(sum, t);
        product = add_product_pair(t, centred(x + j, lanes, mean), product);
    }
    const pair middle = broadcast_pair(norm->kind == PLUMB_LAYER_NORM ? sum_lanes(sum) / d : 0);
    const pair slope = broadcast_pair(sum_lanes(product) / d * moments.inverse * moments.inverse);
    for (int j = 0; j < d; j += LANES) {
        const lane_set lanes = first_lanes(d - j);
        pair t = weighted(norm, dy, j, lanes), z = centred(x + j, lanes, mean);
        floats value = narrow(times_pair(inverse, minus_product_pair(z, slope, subtract_pair(t, middle))));
        if (store == PLUMB_ADD) value = add(load_lanes(dx + j, lanes), value);
        store_lanes(dx + j, lanes, value);
    }
}

/* --- activations -------------------------------------------------------------------------------------------------- */

/* An activation's value and slope. */
typedef struct slopes {
    floats value, slope;
} slopes;

/* With s = 1 / (1 + exp(-u(x))): the slope of x s is s + x s (1 - s) u'. The exponent is never positive, and the
 * smaller of s and 1 - s is not a difference. */
INLINE slopes logistic_slopes(floats x, floats u, floats du)
{
    const floats one = broadcast(1);
    floats e = exponential(negative_magnitude(u));
    floats large = divide(one, add(one, e)), small = times(e, large);
    floats s = choose(below(u, broadcast(0)), small, large);
    floats curve = times(times(x, du), times(large, small));
    return (slopes){times(x, s), add(s, curve)};
}

/* u = 2 sqrt(2 / pi) (x + 0.044715 x^3) as in the forward kernel. Beyond 16 s is 0 or 1, so that u' may stop there. */
INLINE slopes gelu_tanh_slopes(floats x)
{
    const floats a = broadcast(2 * 0.79788456080286536f), b = broadcast(2 * 0.035677408136300125f);
    floats near = larger(broadcast(-16), smaller(broadcast(16), x));
    floats square = times(near, near), factor = add_product(b, square, a);
    floats du = add_product(times(broadcast(3), b), square, a);
    slopes s = logistic_slopes(near, times(near, factor), du);
    s.value = choose(differs(x, near), larger(broadcast(0), x), s.value);
    return s;
}

/* The slope of x Phi(x) is Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi). */
INLINE slopes gelu_slopes(floats x)
{
    floats phi = normal_distribution(x);
    floats power = exponential(times(times(x, x), broadcast(-0.5f)));
    floats density = times(power, broadcast(0.39894228040143268f));
    return (slopes){times(x, phi), add_product(x, density, phi)};
}

INLINE slopes slopes_of(const plumb_activation act, floats x)
{
    const floats zero = broadcast(0), one = broadcast(1);
    switch (act) {
    case PLUMB_SILU:
        return logistic_slopes(x, x, one);
    case PLUMB_GELU_TANH:
        return gelu_tanh_slopes(x);
    case PLUMB_GELU:
        return gelu_slopes(x);
    case PLUMB_RELU:
        return (slopes){larger(zero, x), choose(not_at_most(x, zero), one, zero)};
    }
    return (slopes){x, one};
}

INLINE void gradient_as(const plumb_activation act, const float *gate, const float *up, const float *dout, int n,
                        float *dgate, float *dup)
{
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        const floats d = load_lanes(dout + j, lanes);
        const floats factor = up ? times(d, load_lanes(up + j, lanes)) : d;
        const slopes s = slopes_of(act, load_lanes(gate + j, lanes));
        if (dup) store_lanes(dup + j, lanes, times(d, s.value));
        store_lanes(dgate + j, lanes, times(factor, s.slope));
    }
}

static void activate_gradient_row(plumb_activation act, const float *gate, const float *up, const float *dout, int n,
                                  float *dgate, float *dup)
{
    switch (act) {
    case PLUMB_SILU:
        gradient_as(PLUMB_SILU, gate, up, dout, n, dgate, dup);
        break;
    case PLUMB_GELU_TANH:
        gradient_as(PLUMB_GELU_TANH, gate, up, dout, n, dgate, dup);
        break;
    case PLUMB_GELU:
        gradient_as(PLUMB_GELU, gate, up, dout, n, dgate, dup);
        break;
    case PLUMB_RELU:
        gradient_as(PLUMB_RELU, gate, up, dout, n, dgate, dup);
        break;
    }
}

/* --- softmax ------------------------------------------------------------------------------------------------------ */

/* lse is taken off in two parts, which loses nothing of a logit close to it. */
static void logit_gradient_row(float *z, int n, float cap, double lse)
{
    const floats bound = broadcast(cap), one = broadcast(1), zero = broadcast(0);
    const floats high = broadcast((float)lse), low = broadcast((float)(lse - (float)lse));
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        floats value = load_lanes(z + j, lanes), slope = one;
        if (cap > 0) {
            floats t = hyperbolic_tangent(divide(value, bound));
            value = times(bound, t);
            slope = minus_product(t, t, one);
        }
        floats p = exponential(subtract(subtract(value, high), low));
        store_lanes(z + j, lanes, minus_product(slope, p, zero));
    }
}

static void softmax_gradient_tile(float *s, float *dp, int lds, int keys, int n, float cap, const float *lse,
                                  const float *dsum)
{
    const floats one = broadcast(1), lowest = broadcast(-cap);
    const floats inverse = broadcast(cap != 0 ? 1 / cap : 0);
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        const floats top = load_lanes(lse + j, lanes), sum = load_lanes(dsum + j, lanes);
        for (int i = 0; i < keys; i++) {
            float *at = s + i * lds + j, *to = dp + i * lds + j;
            const floats score = load_lanes(at, lanes);
            const floats p = exponential(subtract(score, top));
            floats ds = times(p, subtract(load_lanes(to, lanes), sum));
            if (cap != 0) {
                floats ratio = times(larger(score, lowest), inverse);
                ds = times(ds, minus_product(ratio, ratio, one));
            }
            store_lanes(at, lanes, p);
            store_lanes(to, lanes, ds);
        }
    }
}

static void set_gradient(plumb_kernels *k)
{
    k->moments_row = moments_row;
    k->norm_gradient_row = norm_gradient_row;
    k->activate_gradient_row = activate_gradient_row;
    k->logit_gradient_row = logit_gradient_row;
    k->softmax_gradient_tile = softmax_gradient_tile;
}

#endif
