#include "compute/avx2/avx2_rows.h"

#include <math.h>
#include <string.h>

#include "compute/avx2/avx2_attention.h"
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

/* The lanes one after the other: one order, whatever the compiler. */
PLUMB_INLINE double sum_lanes(pair sum)
{
    double lane[4], total = 0;
    _mm256_storeu_pd(lane, _mm256_add_pd(sum.low, sum.high));
    for (int i = 0; i < 4; i++) total += lane[i];
    return total;
}

static double sum_row(const float *x, int n)
{
    pair sum = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (int j = 0; j < n; j += WIDTH) {
        pair value = widen(plumb_load8(x + j, n - j));
        sum.low = _mm256_add_pd(sum.low, value.low);
        sum.high = _mm256_add_pd(sum.high, value.high);
    }
    return sum_lanes(sum);
}

PLUMB_INLINE pair add_squares(pair sum, pair value, __m256d middle)
{
    value.low = _mm256_sub_pd(value.low, middle);
    value.high = _mm256_sub_pd(value.high, middle);
    return (pair){_mm256_fmadd_pd(value.low, value.low, sum.low), _mm256_fmadd_pd(value.high, value.high, sum.high)};
}

/* The sum of (x - mean)^2; what does not fill a register is added one by one at the end. */
static double squares_row(const float *x, int n, double mean)
{
    const __m256d middle = _mm256_set1_pd(mean);
    pair sum = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    int j = 0;
    for (; j + WIDTH <= n; j += WIDTH) sum = add_squares(sum, widen(_mm256_loadu_ps(x + j)), middle);
    double total = sum_lanes(sum);
    for (; j < n; j++) total += (x[j] - mean) * (x[j] - mean);
    return total;
}

static void norm_row(const plumb_norm *norm, const float *x, float *y)
{
    int d = norm->d;
    double mean = norm->kind == PLUMB_LAYER_NORM ? sum_row(x, d) / d : 0;
    const __m256d middle = _mm256_set1_pd(mean);
    const __m256d inverse = _mm256_set1_pd(1 / sqrt(squares_row(x, d, mean) / d + norm->eps));
    for (int j = 0; j < d; j += WIDTH) {
        pair value = widen(plumb_load8(x + j, d - j));
        value.low = _mm256_mul_pd(_mm256_sub_pd(value.low, middle), inverse);
        value.high = _mm256_mul_pd(_mm256_sub_pd(value.high, middle), inverse);
        __m256 result = narrow(value);
        if (norm->weight) result = _mm256_mul_ps(result, plumb_load8(norm->weight + j, d - j));
        if (norm->bias) result = _mm256_add_ps(result, plumb_load8(norm->bias + j, d - j));
        plumb_store8(y + j, d - j, result);
    }
}

/* --- activations -------------------------------------------------------------------------------------------------- */

/* x / (1 + exp(-u)) */
PLUMB_INLINE __m256 logistic_times(__m256 x, __m256 u)
{
    __m256 power = plumb_exp8(_mm256_sub_ps(_mm256_setzero_ps(), u));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1), power));
}

/* x / 2 (1 + tanh u) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
PLUMB_INLINE __m256 gelu_tanh(__m256 x)
{
    __m256 factor = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(2 * 0.035677408136300125f),
                                    _mm256_set1_ps(2 * 0.79788456080286536f));
    return logistic_times(x, _mm256_mul_ps(x, factor));
}

PLUMB_INLINE __m256 activate(const plumb_activation act, __m256 x)
{
    switch (act) {
    case PLUMB_SILU:
        return logistic_times(x, x);
    case PLUMB_GELU_TANH:
        return gelu_tanh(x);
    case PLUMB_GELU:
        return _mm256_mul_ps(x, plumb_normal8(x));
    case PLUMB_RELU:
        return _mm256_max_ps(_mm256_setzero_ps(), x); /* NaN stays NaN */
    }
    return x;
}

PLUMB_INLINE void activate_as(const plumb_activation act, const float *gate, const float *up, int n, float *out)
{
    for (int j = 0; j < n; j += WIDTH) {
        __m256 value = activate(act, plumb_load8(gate + j, n - j));
        if (up) value = _mm256_mul_ps(value, plumb_load8(up + j, n - j));
        plumb_store8(out + j, n - j, value);
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
    const __m256 bound = _mm256_set1_ps(cap);
    for (int j = 0; j < n; j += WIDTH) {
        __m256 ratio = _mm256_div_ps(plumb_load8(z + j, n - j), bound);
        plumb_store8(z + j, n - j, _mm256_mul_ps(bound, plumb_tanh8(ratio)));
    }
}

/* --- positions and embeddings ------------------------------------------------------------------------------------- */

static void rotary_head(float *x, int rotary, const float *cosine, const float *sine)
{
    int half = rotary / 2;
    for (int j = 0; j < half; j += WIDTH) {
        const int lanes = half - j;
        const __m256 low = plumb_load8(x + j, lanes), high = plumb_load8(x + half + j, lanes);
        const __m256 c = plumb_load8(cosine + j, lanes), s = plumb_load8(sine + j, lanes);
        plumb_store8(x + j, lanes, _mm256_fmsub_ps(low, c, _mm256_mul_ps(high, s)));
        plumb_store8(x + half + j, lanes, _mm256_fmadd_ps(high, c, _mm256_mul_ps(low, s)));
    }
}

PLUMB_INLINE __m256 load_widened(const void *src, plumb_dtype dtype, int j, int lanes)
{
    if (dtype == PLUMB_F32) return plumb_load8((const float *)((const char *)src + (size_t)j * 4), lanes);
    uint16_t bits[WIDTH] = {0};
    const char *from = (const char *)src + (size_t)j * sizeof *bits;
    if (lanes < WIDTH)
        memcpy(bits, from, (size_t)lanes * sizeof *bits);
    else
        memcpy(bits, from, sizeof bits);
    __m128i packed = _mm_loadu_si128((const __m128i *)(const void *)bits);
    if (dtype == PLUMB_F16) return _mm256_cvtph_ps(packed);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(packed), 16));
}

static bool widen_row(const void *src, plumb_dtype dtype, int n, float scale, float *out)
{
    const __m256 factor = _mm256_set1_ps(scale);
    const __m256i exponent = _mm256_set1_epi32(0x7f800000);
    __m256i bad = _mm256_setzero_si256();
    for (int j = 0; j < n; j += WIDTH) {
        const __m256 value = load_widened(src, dtype, j, n - j);
        const __m256i bits = _mm256_and_si256(_mm256_castps_si256(value), exponent);
        bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(bits, exponent));
        plumb_store8(out + j, n - j, _mm256_mul_ps(factor, value));
    }
    return _mm256_testz_si256(bad, bad);
}

/* --- log-softmax -------------------------------------------------------------------------------------------------- */

static float max_row(const float *z, int n)
{
    __m256 top = _mm256_set1_ps(-INFINITY);
    float lane[WIDTH], max;
    int j = 0;
    for (; j + WIDTH <= n; j += WIDTH) top = _mm256_max_ps(_mm256_loadu_ps(z + j), top);
    _mm256_storeu_ps(lane, top);
    max = lane[0];
    for (int i = 1; i < WIDTH; i++) max = lane[i] > max ? lane[i] : max;
    for (; j < n; j++) max = z[j] > max ? z[j] : max;
    return max;
}

/* exp(z) * 2^-shift of 8 logits */
PLUMB_INLINE __m256 shifted_exp(__m256 z, __m256 bottom, __m256i shift)
{
    __m256 n, power = plumb_exp_parts8(_mm256_max_ps(bottom, z), &n);
    __m256i exponent = _mm256_sub_epi32(_mm256_cvtps_epi32(n), shift);
    exponent = _mm256_max_epi32(exponent, _mm256_set1_epi32(-127));
    return _mm256_mul_ps(power, plumb_power_of_two8(exponent));
}

static double exp_sum_row(const float *z, int n, int shift)
{
    const __m256 bottom = _mm256_set1_ps(((float)shift - 140) * 0.69314718f);
    const __m256i offset = _mm256_set1_epi32(shift);
    pair sum = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    for (int j = 0; j < n; j += WIDTH) {
        __m256 power = shifted_exp(plumb_load8(z + j, n - j), bottom, offset);
        if (n - j < WIDTH) power = _mm256_and_ps(power, _mm256_castsi256_ps(plumb_lanes8(n - j)));
        pair term = widen(power);
        sum.low = _mm256_add_pd(sum.low, term.low);
        sum.high = _mm256_add_pd(sum.high, term.high);
    }
    return sum_lanes(sum);
}

void plumb_avx2_rows(plumb_kernels *k)
{
    k->norm_row = norm_row;
    k->activate_row = activate_row;
    k->rotary_head = rotary_head;
    k->widen_row = widen_row;
    k->cap_row = cap_row;
    k->max_row = max_row;
    k->exp_sum_row = exp_sum_row;
    plumb_avx2_attention(k);
}
