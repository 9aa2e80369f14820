/* Kernels that work row by row (kernels.h has their contracts), for registers of any width: included once by each back
 * end, after its lanes. */
#ifndef PLUMB_COMPUTE_ROW_KERNELS_H
#define PLUMB_COMPUTE_ROW_KERNELS_H

#include <math.h>

#include "compute/kernels.h"
#include "compute/lanes_math.h"

/* --- norms -------------------------------------------------------------------------------------------------------- */

static double sum_row(const float *x, int n)
{
    pair sum = broadcast_pair(0);
    for (int j = 0; j < n; j += LANES) sum = add_pair(sum, widen(load_lanes(x + j, first_lanes(n - j))));
    return sum_lanes(sum);
}

/* The sum of (x - mean)^2. */
static double squares_row(const float *x, int n, double mean)
{
    const pair middle = broadcast_pair(mean);
    pair sum = broadcast_pair(0);
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        const pair value = only(subtract_pair(widen(load_lanes(x + j, lanes)), middle), lanes);
        sum = add_product_pair(value, value, sum);
    }
    return sum_lanes(sum);
}

static void norm_row(const plumb_norm *norm, const float *x, float *y)
{
    int d = norm->d;
    double mean = norm->kind == PLUMB_LAYER_NORM ? sum_row(x, d) / d : 0;
    const pair middle = broadcast_pair(mean);
    const pair inverse = broadcast_pair(1 / sqrt(squares_row(x, d, mean) / d + norm->eps));
    for (int j = 0; j < d; j += LANES) {
        const lane_set lanes = first_lanes(d - j);
        floats result = narrow(times_pair(subtract_pair(widen(load_lanes(x + j, lanes)), middle), inverse));
        if (norm->weight) result = times(result, load_lanes(norm->weight + j, lanes));
        if (norm->bias) result = add(result, load_lanes(norm->bias + j, lanes));
        store_lanes(y + j, lanes, result);
    }
}

/* --- activations -------------------------------------------------------------------------------------------------- */

/* x / (1 + exp(-u)) */
INLINE floats logistic_times(floats x, floats u)
{
    floats power = exponential(subtract(broadcast(0), u));
    return divide(x, add(broadcast(1), power));
}

/* x / 2 (1 + tanh u) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
INLINE floats gelu_tanh(floats x)
{
    floats factor = add_product(times(x, x), broadcast(2 * 0.035677408136300125f), broadcast(2 * 0.79788456080286536f));
    return logistic_times(x, times(x, factor));
}

INLINE floats activate(const plumb_activation act, floats x)
{
    switch (act) {
    case PLUMB_SILU:
        return logistic_times(x, x);
    case PLUMB_GELU_TANH:
        return gelu_tanh(x);
    case PLUMB_GELU:
        return times(x, normal_distribution(x));
    case PLUMB_RELU:
        return larger(broadcast(0), x); /* NaN stays NaN */
    }
    return x;
}

INLINE void activate_as(const plumb_activation act, const float *gate, const float *up, int n, float *out)
{
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        floats value = activate(act, load_lanes(gate + j, lanes));
        if (up) value = times(value, load_lanes(up + j, lanes));
        store_lanes(out + j, lanes, value);
    }
}

static void activate_row(plumb_activation act, const float *gate, const float *up, int n, float *out)
{
    switch (act) {
    case PLUMB_SILU:
        activate_as(PLUMB_SILU, gate, up, n, out);
        break;
    case PLUMB_GELU_TANH:
        activate_as(PLUMB_GELU_TANH, gate, up, n, out);
        break;
    case PLUMB_GELU:
        activate_as(PLUMB_GELU, gate, up, n, out);
        break;
    case PLUMB_RELU:
        activate_as(PLUMB_RELU, gate, up, n, out);
        break;
    }
}

static void cap_row(float *z, int n, float cap)
{
    const floats bound = broadcast(cap);
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        floats ratio = divide(load_lanes(z + j, lanes), bound);
        store_lanes(z + j, lanes, times(bound, hyperbolic_tangent(ratio)));
    }
}

/* --- positions and embeddings ------------------------------------------------------------------------------------- */

static void rotary_head(float *x, int rotary, const float *cosine, const float *sine)
{
    int half = rotary / 2;
    for (int j = 0; j < half; j += LANES) {
        const lane_set lanes = first_lanes(half - j);
        const floats low = load_lanes(x + j, lanes), high = load_lanes(x + half + j, lanes);
        const floats c = load_lanes(cosine + j, lanes), s = load_lanes(sine + j, lanes);
        store_lanes(x + j, lanes, product_minus(low, c, times(high, s)));
        store_lanes(x + half + j, lanes, add_product(high, c, times(low, s)));
    }
}

static bool widen_row(const void *src, plumb_dtype dtype, int n, float scale, float *out)
{
    words largest = no_words();
    for (int j = 0; j < n; j += LANES) {
        const words value = load_wide((const char *)src + (size_t)j * plumb_dtype_size(dtype), dtype, n - j);
        largest = larger32(largest, value);
        store_lanes(out + j, first_lanes(n - j), times(broadcast(scale), as_floats(value)));
    }
    return finite32(largest);
}

/* --- log-softmax -------------------------------------------------------------------------------------------------- */

static float max_row(const float *z, int n)
{
    floats top = broadcast(-INFINITY);
    float lane[LANES], max;
    int j = 0;
    for (; j + LANES <= n; j += LANES) top = larger(load(z + j), top);
    store(lane, top);
    max = lane[0];
    for (int i = 1; i < LANES; i++) max = lane[i] > max ? lane[i] : max;
    for (; j < n; j++) max = z[j] > max ? z[j] : max;
    return max;
}

static double exp_sum_row(const float *z, int n, int shift)
{
    const floats bottom = broadcast(((float)shift - 140) * 0.69314718f), offset = broadcast((float)shift);
    pair sum = broadcast_pair(0);
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        floats exponent, power = exponential_parts(larger(bottom, load_lanes(z + j, lanes)), &exponent);
        sum = add_pair(sum, only(widen(times_power_of_two(power, subtract(exponent, offset))), lanes));
    }
    return sum_lanes(sum);
}

static void set_rows(plumb_kernels *k)
{
    k->norm_row = norm_row;
    k->activate_row = activate_row;
    k->rotary_head = rotary_head;
    k->widen_row = widen_row;
    k->cap_row = cap_row;
    k->max_row = max_row;
    k->exp_sum_row = exp_sum_row;
}

#endif
