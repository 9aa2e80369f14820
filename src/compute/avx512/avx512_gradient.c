#include "compute/avx512/avx512_gradient.h"

#include <math.h>

#include "compute/avx512/avx512_math.h"

enum { WIDTH = 16 };

/* --- norms -------------------------------------------------------------------------------------------------------- */

/* 16 floats as two times 8 doubles. */
typedef struct pair {
    __m512d low, high;
} pair;

PLUMB_INLINE pair widen(__m512 x)
{
    return (pair){_mm512_cvtps_pd(_mm512_castps512_ps256(x)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1))};
}

PLUMB_INLINE __m512 narrow(pair x)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(x.low)), _mm512_cvtpd_ps(x.high), 1);
}

PLUMB_INLINE pair multiply_add(pair a, pair b, pair c)
{
    return (pair){_mm512_fmadd_pd(a.low, b.low, c.low), _mm512_fmadd_pd(a.high, b.high, c.high)};
}

/* The lanes one after the other: one order, whatever the compiler. */
PLUMB_INLINE double sum_lanes(pair x)
{
    double lane[8], sum = 0;
    _mm512_storeu_pd(lane, _mm512_add_pd(x.low, x.high));
    for (int i = 0; i < 8; i++) sum += lane[i];
    return sum;
}

PLUMB_INLINE pair zero_pair(void)
{
    return (pair){_mm512_setzero_pd(), _mm512_setzero_pd()};
}

/* x - mean; lanes that are not in use stay 0. */
PLUMB_INLINE pair centred(const float *x, __mmask16 lanes, __m512d mean)
{
    pair value = widen(_mm512_maskz_loadu_ps(lanes, x));
    value.low = _mm512_maskz_sub_pd((__mmask8)lanes, value.low, mean);
    value.high = _mm512_maskz_sub_pd((__mmask8)(lanes >> 8), value.high, mean);
    return value;
}

static double mean_row(const float *x, int n)
{
    pair sum = zero_pair();
    for (int j = 0; j < n; j += WIDTH) {
        pair value = widen(_mm512_maskz_loadu_ps(plumb_lanes16(n - j), x + j));
        sum.low = _mm512_add_pd(sum.low, value.low);
        sum.high = _mm512_add_pd(sum.high, value.high);
    }
    return sum_lanes(sum) / n;
}

static plumb_moments moments_row(const plumb_norm *norm, const float *x)
{
    int d = norm->d;
    double mean = norm->kind == PLUMB_LAYER_NORM ? mean_row(x, d) : 0;
    pair squares = zero_pair();
    for (int j = 0; j < d; j += WIDTH) {
        pair value = centred(x + j, plumb_lanes16(d - j), _mm512_set1_pd(mean));
        squares = multiply_add(value, value, squares);
    }
    return (plumb_moments){mean, 1 / sqrt(sum_lanes(squares) / d + norm->eps)};
}

/* dy * weight, exact in fp64 */
PLUMB_INLINE pair weighted(const plumb_norm *norm, const float *dy, int j, __mmask16 lanes)
{
    pair t = widen(_mm512_maskz_loadu_ps(lanes, dy + j));
    if (!norm->weight) return t;
    pair w = widen(_mm512_maskz_loadu_ps(lanes, norm->weight + j));
    return (pair){_mm512_mul_pd(t.low, w.low), _mm512_mul_pd(t.high, w.high)};
}

/* dx = inverse (t - middle - slope (x - mean)); the slope holds the inverse's square and the mean of t (x - mean). */
static void norm_gradient_row(const plumb_norm *norm, const float *x, const float *dy, plumb_moments moments, float *dx,
                              plumb_store store)
{
    int d = norm->d;
    const __m512d mean = _mm512_set1_pd(moments.mean), inverse = _mm512_set1_pd(moments.inverse);
    pair sum = zero_pair(), product = zero_pair();
    for (int j = 0; j < d; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(d - j);
        pair t = weighted(norm, dy, j, lanes);
        sum.low = _mm512_add_pd(sum.low, t.low);
        sum.high = _mm512_add_pd(sum.high, t.high);
        product = multiply_add(t, centred(x + j, lanes, mean), product);
    }
    const __m512d middle = _mm512_set1_pd(norm->kind == PLUMB_LAYER_NORM ? sum_lanes(sum) / d : 0);
    const __m512d slope = _mm512_set1_pd(sum_lanes(product) / d * moments.inverse * moments.inverse);
    for (int j = 0; j < d; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(d - j);
        pair t = weighted(norm, dy, j, lanes), z = centred(x + j, lanes, mean);
        t.low = _mm512_mul_pd(inverse, _mm512_fnmadd_pd(z.low, slope, _mm512_sub_pd(t.low, middle)));
        t.high = _mm512_mul_pd(inverse, _mm512_fnmadd_pd(z.high, slope, _mm512_sub_pd(t.high, middle)));
        __m512 value = narrow(t);
        if (store == PLUMB_ADD) value = _mm512_add_ps(_mm512_maskz_loadu_ps(lanes, dx + j), value);
        _mm512_mask_storeu_ps(dx + j, lanes, value);
    }
}

/* --- activations -------------------------------------------------------------------------------------------------- */

/* An activation's value and slope. */
typedef struct slopes {
    __m512 value, slope;
} slopes;

/* With s = 1 / (1 + exp(-u(x))): the slope of x s is s + x s (1 - s) u'. The exponent is never positive, and the
 * smaller of s and 1 - s is not a difference. */
PLUMB_INLINE slopes logistic_slopes(__m512 x, __m512 u, __m512 du)
{
    const __m512 one = _mm512_set1_ps(1);
    __m512 e = plumb_exp512(_mm512_or_ps(u, _mm512_set1_ps(-0.0f)));
    __m512 large = _mm512_div_ps(one, _mm512_add_ps(one, e)), small = _mm512_mul_ps(e, large);
    __m512 s = _mm512_mask_blend_ps(_mm512_cmp_ps_mask(u, _mm512_setzero_ps(), _CMP_LT_OQ), large, small);
    __m512 curve = _mm512_mul_ps(_mm512_mul_ps(x, du), _mm512_mul_ps(large, small));
    return (slopes){_mm512_mul_ps(x, s), _mm512_add_ps(s, curve)};
}

/* u = 2 sqrt(2 / pi) (x + 0.044715 x^3) as in the forward kernel. Beyond 16 s is 0 or 1, so that u' may stop there. */
PLUMB_INLINE slopes gelu_tanh_slopes(__m512 x)
{
    const __m512 a = _mm512_set1_ps(2 * 0.79788456080286536f), b = _mm512_set1_ps(2 * 0.035677408136300125f);
    __m512 near = _mm512_max_ps(_mm512_set1_ps(-16), _mm512_min_ps(_mm512_set1_ps(16), x));
    __m512 square = _mm512_mul_ps(near, near), factor = _mm512_fmadd_ps(b, square, a);
    __m512 du = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_set1_ps(3), b), square, a);
    slopes s = logistic_slopes(near, _mm512_mul_ps(near, factor), du);
    __mmask16 beyond = _mm512_cmp_ps_mask(x, near, _CMP_NEQ_OQ);
    s.value = _mm512_mask_max_ps(s.value, beyond, _mm512_setzero_ps(), x);
    return s;
}

/* The slope of x Phi(x) is Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi). */
PLUMB_INLINE slopes gelu_slopes(__m512 x)
{
    __m512 phi = plumb_normal512(x);
    __m512 power = plumb_exp512(_mm512_mul_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.5f)));
    __m512 density = _mm512_mul_ps(power, _mm512_set1_ps(0.39894228040143268f));
    return (slopes){_mm512_mul_ps(x, phi), _mm512_fmadd_ps(x, density, phi)};
}

PLUMB_INLINE slopes slopes_of(const plumb_activation act, __m512 x)
{
    const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1);
    switch (act) {
    case PLUMB_SILU:
        return logistic_slopes(x, x, one);
    case PLUMB_GELU_TANH:
        return gelu_tanh_slopes(x);
    case PLUMB_GELU:
        return gelu_slopes(x);
    case PLUMB_RELU:
        return (slopes){_mm512_max_ps(zero, x), _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, zero, _CMP_NLE_UQ), one)};
    }
    return (slopes){x, one};
}

PLUMB_INLINE void gradient_as(const plumb_activation act, const float *gate, const float *up, const float *dout, int n,
                              float *dgate, float *dup)
{
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        const __m512 d = _mm512_maskz_loadu_ps(lanes, dout + j);
        const __m512 factor = up ? _mm512_mul_ps(d, _mm512_maskz_loadu_ps(lanes, up + j)) : d;
        const slopes s = slopes_of(act, _mm512_maskz_loadu_ps(lanes, gate + j));
        if (dup) _mm512_mask_storeu_ps(dup + j, lanes, _mm512_mul_ps(d, s.value));
        _mm512_mask_storeu_ps(dgate + j, lanes, _mm512_mul_ps(factor, s.slope));
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
    const __m512 bound = _mm512_set1_ps(cap), one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
    const __m512 high = _mm512_set1_ps((float)lse), low = _mm512_set1_ps((float)(lse - (float)lse));
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        __m512 value = _mm512_maskz_loadu_ps(lanes, z + j), slope = one;
        if (cap > 0) {
            __m512 t = plumb_tanh512(_mm512_div_ps(value, bound));
            value = _mm512_mul_ps(bound, t);
            slope = _mm512_fnmadd_ps(t, t, one);
        }
        __m512 p = plumb_exp512(_mm512_sub_ps(_mm512_sub_ps(value, high), low));
        _mm512_mask_storeu_ps(z + j, lanes, _mm512_fnmadd_ps(slope, p, zero));
    }
}

static void softmax_gradient_tile(float *s, float *dp, int lds, int keys, int n, float cap, const float *lse,
                                  const float *dsum)
{
    const __m512 one = _mm512_set1_ps(1), lowest = _mm512_set1_ps(-cap);
    const __m512 inverse = _mm512_set1_ps(cap != 0 ? 1 / cap : 0);
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        const __m512 top = _mm512_maskz_loadu_ps(lanes, lse + j), sum = _mm512_maskz_loadu_ps(lanes, dsum + j);
        for (int i = 0; i < keys; i++) {
            float *at = s + i * lds + j, *to = dp + i * lds + j;
            const __m512 score = _mm512_maskz_loadu_ps(lanes, at);
            const __m512 p = plumb_exp512(_mm512_sub_ps(score, top));
            __m512 ds = _mm512_mul_ps(p, _mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, to), sum));
            if (cap != 0) {
                __m512 ratio = _mm512_mul_ps(_mm512_max_ps(score, lowest), inverse);
                ds = _mm512_mul_ps(ds, _mm512_fnmadd_ps(ratio, ratio, one));
            }
            _mm512_mask_storeu_ps(at, lanes, p);
            _mm512_mask_storeu_ps(to, lanes, ds);
        }
    }
}

void plumb_avx512_gradient(plumb_kernels *k)
{
    k->moments_row = moments_row;
    k->norm_gradient_row = norm_gradient_row;
    k->activate_gradient_row = activate_gradient_row;
    k->logit_gradient_row = logit_gradient_row;
    k->softmax_gradient_tile = softmax_gradient_tile;
}
