#include "compute/avx2/avx2_gradient.h"

#include <math.h>

#include "compute/avx2/avx2_math.h"

enum { WIDTH = 8 };

/* --- norms -------------------------------------------------------------------------------------------------------- */

/* 8 floats as two times 4 doubles. */
typedef struct pair {
    __m256d low, high;
} pair;

PLUMB_INLINE pair widen(__m256 x)
{
    return (pair){_mm256_cvtps_pd(_mm256_castps256_ps128(x)), _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1))};
}

PLUMB_INLINE __m256 narrow(pair x)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(x.high), _mm256_cvtpd_ps(x.low));
}

PLUMB_INLINE pair multiply_add(pair a, pair b, pair c)
{
    return (pair){_mm256_fmadd_pd(a.low, b.low, c.low), _mm256_fmadd_pd(a.high, b.high, c.high)};
}

/* The lanes one after the other: one order, whatever the compiler. */
PLUMB_INLINE double sum_lanes(pair sum)
{
    double lane[4], total = 0;
    _mm256_storeu_pd(lane, _mm256_add_pd(sum.low, sum.high));
    for (int i = 0; i < 4; i++) total += lane[i];
    return total;
}

PLUMB_INLINE pair zero_pair(void)
{
    return (pair){_mm256_setzero_pd(), _mm256_setzero_pd()};
}

/* x - mean; lanes that are not in use are 0. */
PLUMB_INLINE pair centred(const float *x, int lanes, __m256d mean)
{
    pair value = widen(plumb_load8(x, lanes));
    value = (pair){_mm256_sub_pd(value.low, mean), _mm256_sub_pd(value.high, mean)};
    if (lanes >= WIDTH) return value;
    const __m256i used = plumb_lanes8(lanes);
    const __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(used));
    const __m256i high = _mm256_cvtepi32_epi64(_mm256_extracti128_si256(used, 1));
    return (pair){_mm256_and_pd(value.low, _mm256_castsi256_pd(low)),
                  _mm256_and_pd(value.high, _mm256_castsi256_pd(high))};
}

static double mean_row(const float *x, int n)
{
    pair sum = zero_pair();
    for (int j = 0; j < n; j += WIDTH) {
        pair value = widen(plumb_load8(x + j, n - j));
        sum = (pair){_mm256_add_pd(sum.low, value.low), _mm256_add_pd(sum.high, value.high)};
    }
    return sum_lanes(sum) / n;
}

static plumb_moments moments_row(const plumb_norm *norm, const float *x)
{
    int d = norm->d;
    double mean = norm->kind == PLUMB_LAYER_NORM ? mean_row(x, d) : 0;
    pair squares = zero_pair();
    for (int j = 0; j < d; j += WIDTH) {
        pair value = centred(x + j, d - j, _mm256_set1_pd(mean));
        squares = multiply_add(value, value, squares);
    }
    return (plumb_moments){mean, 1 / sqrt(sum_lanes(squares) / d + norm->eps)};
}

/* dy * weight, exact in fp64 */
PLUMB_INLINE pair weighted(const plumb_norm *norm, const float *dy, int j)
{
    pair t = widen(plumb_load8(dy + j, norm->d - j));
    if (!norm->weight) return t;
    pair w = widen(plumb_load8(norm->weight + j, norm->d - j));
    return (pair){_mm256_mul_pd(t.low, w.low), _mm256_mul_pd(t.high, w.high)};
}

/* dx = inverse (t - middle - slope (x - mean)); the slope holds the inverse's square and the mean of t (x - mean). */
static void norm_gradient_row(const plumb_norm *norm, const float *x, const float *dy, plumb_moments moments, float *dx,
                              plumb_store store)
{
    int d = norm->d;
    const __m256d mean = _mm256_set1_pd(moments.mean), inverse = _mm256_set1_pd(moments.inverse);
    pair sum = zero_pair(), product = zero_pair();
    for (int j = 0; j < d; j += WIDTH) {
        pair t = weighted(norm, dy, j);
        sum = (pair){_mm256_add_pd(sum.low, t.low), _mm256_add_pd(sum.high, t.high)};
        product = multiply_add(t, centred(x + j, d - j, mean), product);
    }
    const __m256d middle = _mm256_set1_pd(norm->kind == PLUMB_LAYER_NORM ? sum_lanes(sum) / d : 0);
    const __m256d slope = _mm256_set1_pd(sum_lanes(product) / d * moments.inverse * moments.inverse);
    for (int j = 0; j < d; j += WIDTH) {
        pair t = weighted(norm, dy, j), z = centred(x + j, d - j, mean);
        t.low = _mm256_mul_pd(inverse, _mm256_fnmadd_pd(z.low, slope, _mm256_sub_pd(t.low, middle)));
        t.high = _mm256_mul_pd(inverse, _mm256_fnmadd_pd(z.high, slope, _mm256_sub_pd(t.high, middle)));
        __m256 value = narrow(t);
        if (store == PLUMB_ADD) value = _mm256_add_ps(plumb_load8(dx + j, d - j), value);
        plumb_store8(dx + j, d - j, value);
    }
}

/* --- activations -------------------------------------------------------------------------------------------------- */

/* An activation's value and slope. */
typedef struct slopes {
    __m256 value, slope;
} slopes;

/* With s = 1 / (1 + exp(-u(x))): the slope of x s is s + x s (1 - s) u'. The exponent is never positive, and the
 * smaller of s and 1 - s is not a difference. */
PLUMB_INLINE slopes logistic_slopes(__m256 x, __m256 u, __m256 du)
{
    const __m256 one = _mm256_set1_ps(1);
    __m256 e = plumb_exp8(_mm256_or_ps(u, _mm256_set1_ps(-0.0f)));
    __m256 large = _mm256_div_ps(one, _mm256_add_ps(one, e)), small = _mm256_mul_ps(e, large);
    __m256 s = _mm256_blendv_ps(large, small, _mm256_cmp_ps(u, _mm256_setzero_ps(), _CMP_LT_OQ));
    __m256 curve = _mm256_mul_ps(_mm256_mul_ps(x, du), _mm256_mul_ps(large, small));
    return (slopes){_mm256_mul_ps(x, s), _mm256_add_ps(s, curve)};
}

/* u = 2 sqrt(2 / pi) (x + 0.044715 x^3) as in the forward kernel. Beyond 16 s is 0 or 1, so that u' may stop there. */
PLUMB_INLINE slopes gelu_tanh_slopes(__m256 x)
{
    const __m256 a = _mm256_set1_ps(2 * 0.79788456080286536f), b = _mm256_set1_ps(2 * 0.035677408136300125f);
    __m256 near = _mm256_max_ps(_mm256_set1_ps(-16), _mm256_min_ps(_mm256_set1_ps(16), x));
    __m256 square = _mm256_mul_ps(near, near), factor = _mm256_fmadd_ps(b, square, a);
    __m256 du = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_set1_ps(3), b), square, a);
    slopes s = logistic_slopes(near, _mm256_mul_ps(near, factor), du);
    s.value = _mm256_blendv_ps(s.value, _mm256_max_ps(_mm256_setzero_ps(), x), _mm256_cmp_ps(x, near, _CMP_NEQ_OQ));
    return s;
}

/* The slope of x Phi(x) is Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi). */
PLUMB_INLINE slopes gelu_slopes(__m256 x)
{
    __m256 phi = plumb_normal8(x);
    __m256 power = plumb_exp8(_mm256_mul_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(-0.5f)));
    __m256 density = _mm256_mul_ps(power, _mm256_set1_ps(0.39894228040143268f));
    return (slopes){_mm256_mul_ps(x, phi), _mm256_fmadd_ps(x, density, phi)};
}

PLUMB_INLINE slopes slopes_of(const plumb_activation act, __m256 x)
{
    const __m256 zero = _mm256_setzero_ps(), one = _mm256_set1_ps(1);
    switch (act) {
    case PLUMB_SILU:
        return logistic_slopes(x, x, one);
    case PLUMB_GELU_TANH:
        return gelu_tanh_slopes(x);
    case PLUMB_GELU:
        return gelu_slopes(x);
    case PLUMB_RELU:
        return (slopes){_mm256_max_ps(zero, x), _mm256_and_ps(_mm256_cmp_ps(x, zero, _CMP_NLE_UQ), one)};
    }
    return (slopes){x, one};
}

PLUMB_INLINE void gradient_as(const plumb_activation act, const float *gate, const float *up, const float *dout, int n,
                              float *dgate, float *dup)
{
    for (int j = 0; j < n; j += WIDTH) {
        const __m256 d = plumb_load8(dout + j, n - j);
        const __m256 factor = up ? _mm256_mul_ps(d, plumb_load8(up + j, n - j)) : d;
        const slopes s = slopes_of(act, plumb_load8(gate + j, n - j));
        if (dup) plumb_store8(dup + j, n - j, _mm256_mul_ps(d, s.value));
        plumb_store8(dgate + j, n - j, _mm256_mul_ps(factor, s.slope));
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
    const __m256 bound = _mm256_set1_ps(cap), one = _mm256_set1_ps(1), zero = _mm256_setzero_ps();
    const __m256 high = _mm256_set1_ps((float)lse), low = _mm256_set1_ps((float)(lse - (float)lse));
    for (int j = 0; j < n; j += WIDTH) {
        __m256 value = plumb_load8(z + j, n - j), slope = one;
        if (cap > 0) {
            __m256 t = plumb_tanh8(_mm256_div_ps(value, bound));
            value = _mm256_mul_ps(bound, t);
            slope = _mm256_fnmadd_ps(t, t, one);
        }
        __m256 p = plumb_exp8(_mm256_sub_ps(_mm256_sub_ps(value, high), low));
        plumb_store8(z + j, n - j, _mm256_fnmadd_ps(slope, p, zero));
    }
}

static void softmax_gradient_tile(float *s, float *dp, int lds, int keys, int n, float cap, const float *lse,
                                  const float *dsum)
{
    const __m256 one = _mm256_set1_ps(1), lowest = _mm256_set1_ps(-cap);
    const __m256 inverse = _mm256_set1_ps(cap != 0 ? 1 / cap : 0);
    for (int j = 0; j < n; j += WIDTH) {
        const int lanes = n - j;
        const __m256 top = plumb_load8(lse + j, lanes), sum = plumb_load8(dsum + j, lanes);
        for (int i = 0; i < keys; i++) {
            float *at = s + i * lds + j, *to = dp + i * lds + j;
            const __m256 score = plumb_load8(at, lanes);
            const __m256 p = plumb_exp8(_mm256_sub_ps(score, top));
            __m256 ds = _mm256_mul_ps(p, _mm256_sub_ps(plumb_load8(to, lanes), sum));
            if (cap != 0) {
                __m256 ratio = _mm256_mul_ps(_mm256_max_ps(score, lowest), inverse);
                ds = _mm256_mul_ps(ds, _mm256_fnmadd_ps(ratio, ratio, one));
            }
            plumb_store8(at, lanes, p);
            plumb_store8(to, lanes, ds);
        }
    }
}

void plumb_avx2_gradient(plumb_kernels *k)
{
    k->moments_row = moments_row;
    k->norm_gradient_row = norm_gradient_row;
    k->activate_gradient_row = activate_gradient_row;
    k->logit_gradient_row = logit_gradient_row;
    k->softmax_gradient_tile = softmax_gradient_tile;
}
