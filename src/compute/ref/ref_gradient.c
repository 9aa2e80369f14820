#include "compute/ref/ref_gradient.h"

#include <math.h>

static plumb_moments moments_row(const plumb_norm *norm, const float *x)
{
    int d = norm->d;
    double mean = 0, squares = 0;
    if (norm->kind == PLUMB_LAYER_NORM) {
        for (int j = 0; j < d; j++) mean += x[j];
        mean /= d;
    }
    for (int j = 0; j < d; j++) squares += (x[j] - mean) * (x[j] - mean);
    return (plumb_moments){mean, 1 / sqrt(squares / d + norm->eps)};
}

static void norm_gradient_row(const plumb_norm *norm, const float *x, const float *dy, plumb_moments moments, float *dx,
                              plumb_store store)
{
    int d = norm->d;
    double sum = 0, product = 0;
    for (int j = 0; j < d; j++) {
        double t = norm->weight ? (double)dy[j] * norm->weight[j] : dy[j];
        sum += t;
        product += t * ((x[j] - moments.mean) * moments.inverse);
    }
    double middle = norm->kind == PLUMB_LAYER_NORM ? sum / d : 0, slope = product / d;
    for (int j = 0; j < d; j++) {
        double t = norm->weight ? (double)dy[j] * norm->weight[j] : dy[j];
        double z = (x[j] - moments.mean) * moments.inverse;
        float value = (float)(moments.inverse * (t - middle - z * slope));
        dx[j] = store == PLUMB_ADD ? dx[j] + value : value;
    }
}

/* An activation's value and slope. */
typedef struct slope {
    float value, slope;
} slope;

/* With s = 1 / (1 + exp(-u(x))): the slope of x s is s + x s (1 - s) u'. The exponent is never positive, and the
 * smaller of s and 1 - s is not a difference. */
static slope logistic_slope(float x, float u, float du)
{
    float e = expf(-fabsf(u)), large = 1 / (1 + e), small = e * large, s = u < 0 ? small : large;
    return (slope){x * s, s + x * (large * small) * du};
}

static float clamp(float x, float bound)
{
    return x < -bound ? -bound : x > bound ? bound : x;
}

/* u = 2 sqrt(2 / pi) (x + 0.044715 x^3) as in the forward kernel. Beyond 16 s is 0 or 1, so that u' may stop there. */
static slope gelu_tanh_slope(float x)
{
    const float a = 2 * 0.79788456080286536f, b = 2 * 0.035677408136300125f;
    float near = clamp(x, 16), square = near * near;
    slope s = logistic_slope(near, near * (a + b * square), a + 3 * b * square);
    return (slope){x == near ? s.value : x < 0 ? 0 : x, s.slope};
}

/* The slope of x Phi(x) is Phi(x) + x phi(x), phi(x) = exp(-x^2 / 2) / sqrt(2 pi). */
static slope gelu_slope(float x)
{
    float phi = 0.5f * erfcf(-0.70710678118654752f * x);
    return (slope){x * phi, phi + x * (0.39894228040143268f * expf(-0.5f * x * x))};
}

static slope slope_of(plumb_activation act, float x)
{
    switch (act) {
    case PLUMB_SILU:
        return logistic_slope(x, x, 1);
    case PLUMB_GELU_TANH:
        return gelu_tanh_slope(x);
    case PLUMB_GELU:
        return gelu_slope(x);
    case PLUMB_RELU:
        return x <= 0 ? (slope){0, 0} : (slope){x, 1}; /* 0 at 0, as torch has it */
    }
    return (slope){x, 1};
}

static void activate_gradient_row(plumb_activation act, const float *gate, const float *up, const float *dout, int n,
                                  float *dgate, float *dup)
{
    for (int j = 0; j < n; j++) {
        slope s = slope_of(act, gate[j]);
        float d = dout[j], factor = up ? d * up[j] : d;
        if (dup) dup[j] = d * s.value;
        dgate[j] = factor * s.slope;
    }
}

static void logit_gradient_row(float *z, int n, float cap, double lse)
{
    for (int j = 0; j < n; j++) {
        float t = cap > 0 ? tanhf(z[j] / cap) : 0;
        double value = cap > 0 ? (double)cap * t : z[j];
        z[j] = -(1 - t * t) * expf((float)(value - lse));
    }
}

static void softmax_gradient_tile(float *s, float *dp, int lds, int keys, int n, float cap, const float *lse,
                                  const float *dsum)
{
    for (int i = 0; i < keys; i++, s += lds, dp += lds)
        for (int j = 0; j < n; j++) {
            float p = expf(s[j] - lse[j]), ratio = cap != 0 ? fmaxf(s[j], -cap) / cap : 0;
            dp[j] = p * (dp[j] - dsum[j]) * (1 - ratio * ratio);
            s[j] = p;
        }
}

void plumb_ref_gradient(plumb_kernels *k)
{
    k->moments_row = moments_row;
    k->norm_gradient_row = norm_gradient_row;
    k->activate_gradient_row = activate_gradient_row;
    k->logit_gradient_row = logit_gradient_row;
    k->softmax_gradient_tile = softmax_gradient_tile;
}
