#include "compute/ref/ref_rows.h"

#include <math.h>

static void norm_row(const plumb_norm *norm, const float *x, float *y)
{
    int d = norm->d;
    double mean = 0, squares = 0;
    if (norm->kind == PLUMB_LAYER_NORM) {
        for (int j = 0; j < d; j++) mean += x[j];
        mean /= d;
    }
    for (int j = 0; j < d; j++) squares += (x[j] - mean) * (x[j] - mean);
    double inverse = 1 / sqrt(squares / d + norm->eps);
    for (int j = 0; j < d; j++) {
        float value = (float)((x[j] - mean) * inverse);
        if (norm->weight) value *= norm->weight[j];
        y[j] = norm->bias ? value + norm->bias[j] : value;
    }
}

/* gelu_pytorch_tanh: x / 2 (1 + tanh u) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3); the second form
 * does not cancel for negative x. */
static float gelu_tanh(float x)
{
    float u = x * (0.79788456080286536f + 0.035677408136300125f * x * x);
    return x / (1 + expf(-2 * u));
}

static float activate(plumb_activation act, float x)
{
    switch (act) {
    case PLUMB_SILU:
        return x / (1 + expf(-x));
    case PLUMB_GELU_TANH:
        return gelu_tanh(x);
    case PLUMB_GELU:
        return 0.5f * x * erfcf(-0.70710678118654752f * x);
    case PLUMB_RELU:
        return x < 0 ? 0 : x; /* NaN stays NaN */
    }
    return x;
}

static void activate_row(plumb_activation act, const float *gate, const float *up, int n, float *out)
{
    for (int j = 0; j < n; j++) {
        float value = activate(act, gate[j]);
        out[j] = up ? value * up[j] : value;
    }
}

static void rotary_head(float *x, int rotary, const float *cosine, const float *sine)
{
    int half = rotary / 2;
    for (int j = 0; j < half; j++) {
        float low = x[j], high = x[j + half];
        x[j] = low * cosine[j] - high * sine[j];
        x[j + half] = high * cosine[j] + low * sine[j];
    }
}

static bool widen_row(const void *src, plumb_dtype dtype, int n, float scale, float *out)
{
    bool finite = true;
    for (int j = 0; j < n; j++) {
        float value = plumb_load(src, dtype, (size_t)j);
        if (!isfinite(value)) finite = false;
        out[j] = scale * value;
    }
    return finite;
}

static void cap_row(float *z, int n, float cap)
{
    for (int j = 0; j < n; j++) z[j] = cap * tanhf(z[j] / cap);
}

static float max_row(const float *z, int n)
{
    float max = z[0];
    for (int j = 1; j < n; j++)
        if (z[j] > max) max = z[j];
    return max;
}

static double exp_sum_row(const float *z, int n, int shift)
{
    double sum = 0, offset = shift * 0.693147180559945309417;
    for (int j = 0; j < n; j++) sum += exp(z[j] - offset);
    return sum;
}

static void product_tile(int m, int n, int depth, const float *a, size_t a_row, size_t a_step, const float *b,
                         size_t ldb, float *c, size_t ldc, bool accumulate)
{
    for (int i = 0; i < m; i++) {
        float *row = c + (size_t)i * ldc;
        if (!accumulate)
            for (int j = 0; j < n; j++) row[j] = 0;
        for (int t = 0; t < depth; t++) {
            float factor = a[(size_t)i * a_row + (size_t)t * a_step];
            const float *from = b + (size_t)t * ldb;
            for (int j = 0; j < n; j++) row[j] += factor * from[j];
        }
    }
}

static void softmax_tile(float *s, int lds, int keys, int n, float *max, float *sum, float *scale)
{
    for (int j = 0; j < n; j++) {
        float top = max[j], total = 0;
        for (int i = 0; i < keys; i++)
            if (s[i * lds + j] > top) top = s[i * lds + j];
        for (int i = 0; i < keys; i++) {
            s[i * lds + j] = expf(s[i * lds + j] - top);
            total += s[i * lds + j];
        }
        scale[j] = expf(max[j] - top);
        sum[j] = sum[j] * scale[j] + total;
        max[j] = top;
    }
}

void plumb_ref_rows(plumb_kernels *k)
{
    k->norm_row = norm_row;
    k->activate_row = activate_row;
    k->rotary_head = rotary_head;
    k->widen_row = widen_row;
    k->cap_row = cap_row;
    k->max_row = max_row;
    k->exp_sum_row = exp_sum_row;
    k->product_tile = product_tile;
    k->softmax_tile = softmax_tile;
}
