#include "compute/avx512/avx512_rows.h"

#include <math.h>

#include "compute/avx512/avx512_attention.h"
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

/* The lanes one after the other: one order, whatever the compiler. */
PLUMB_INLINE double sum_lanes(__m512d low, __m512d high)
{
    double lane[8], sum = 0;
    _mm512_storeu_pd(lane, _mm512_add_pd(low, high));
    for (int i = 0; i < 8; i++) sum += lane[i];
    return sum;
}

static double sum_row(const float *x, int n)
{
    pair sum = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (int j = 0; j < n; j += WIDTH) {
        pair value = widen(_mm512_maskz_loadu_ps(plumb_lanes16(n - j), x + j));
        sum.low = _mm512_add_pd(sum.low, value.low);
        sum.high = _mm512_add_pd(sum.high, value.high);
    }
    return sum_lanes(sum.low, sum.high);
}

/* The sum of (x - mean)^2. */
static double squares_row(const float *x, int n, double mean)
{
    const __m512d middle = _mm512_set1_pd(mean);
    pair sum = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        pair value = widen(_mm512_maskz_loadu_ps(lanes, x + j));
        value.low = _mm512_maskz_sub_pd((__mmask8)lanes, value.low, middle);
        value.high = _mm512_maskz_sub_pd((__mmask8)(lanes >> 8), value.high, middle);
        sum.low = _mm512_fmadd_pd(value.low, value.low, sum.low);
        sum.high = _mm512_fmadd_pd(value.high, value.high, sum.high);
    }
    return sum_lanes(sum.low, sum.high);
}

static void norm_row(const plumb_norm *norm, const float *x, float *y)
{
    int d = norm->d;
    double mean = norm->kind == PLUMB_LAYER_NORM ? sum_row(x, d) / d : 0;
    const __m512d middle = _mm512_set1_pd(mean);
    const __m512d inverse = _mm512_set1_pd(1 / sqrt(squares_row(x, d, mean) / d + norm->eps));
    for (int j = 0; j < d; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(d - j);
        pair value = widen(_mm512_maskz_loadu_ps(lanes, x + j));
        value.low = _mm512_mul_pd(_mm512_sub_pd(value.low, middle), inverse);
        value.high = _mm512_mul_pd(_mm512_sub_pd(value.high, middle), inverse);
        __m512 result = narrow(value);
        if (norm->weight) result = _mm512_mul_ps(result, _mm512_maskz_loadu_ps(lanes, norm->weight + j));
        if (norm->bias) result = _mm512_add_ps(result, _mm512_maskz_loadu_ps(lanes, norm->bias + j));
        _mm512_mask_storeu_ps(y + j, lanes, result);
    }
}

/* --- activations -------------------------------------------------------------------------------------------------- */

/* x / (1 + exp(-u)) */
PLUMB_INLINE __m512 logistic_times(__m512 x, __m512 u)
{
    __m512 power = plumb_exp512(_mm512_sub_ps(_mm512_setzero_ps(), u));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1), power));
}

/* x / 2 (1 + tanh u) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3) */
PLUMB_INLINE __m512 gelu_tanh(__m512 x)
{
    __m512 factor = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(2 * 0.035677408136300125f),
                                    _mm512_set1_ps(2 * 0.79788456080286536f));
    return logistic_times(x, _mm512_mul_ps(x, factor));
}

PLUMB_INLINE __m512 activate(const plumb_activation act, __m512 x)
{
    switch (act) {
    case PLUMB_SILU:
        return logistic_times(x, x);
    case PLUMB_GELU_TANH:
        return gelu_tanh(x);
    case PLUMB_GELU:
        return _mm512_mul_ps(x, plumb_normal512(x));
    case PLUMB_RELU:
        return _mm512_max_ps(_mm512_setzero_ps(), x); /* NaN stays NaN */
    }
    return x;
}

PLUMB_INLINE void activate_as(const plumb_activation act, const float *gate, const float *up, int n, float *out)
{
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        __m512 value = activate(act, _mm512_maskz_loadu_ps(lanes, gate + j));
        if (up) value = _mm512_mul_ps(value, _mm512_maskz_loadu_ps(lanes, up + j));
        _mm512_mask_storeu_ps(out + j, lanes, value);
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
    const __m512 bound = _mm512_set1_ps(cap);
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        __m512 ratio = _mm512_div_ps(_mm512_maskz_loadu_ps(lanes, z + j), bound);
        _mm512_mask_storeu_ps(z + j, lanes, _mm512_mul_ps(bound, plumb_tanh512(ratio)));
    }
}

/* --- positions and embeddings ------------------------------------------------------------------------------------- */

static void rotary_head(float *x, int rotary, const float *cosine, const float *sine)
{
    int half = rotary / 2;
    for (int j = 0; j < half; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(half - j);
        const __m512 low = _mm512_maskz_loadu_ps(lanes, x + j), high = _mm512_maskz_loadu_ps(lanes, x + half + j);
        const __m512 c = _mm512_maskz_loadu_ps(lanes, cosine + j), s = _mm512_maskz_loadu_ps(lanes, sine + j);
        _mm512_mask_storeu_ps(x + j, lanes, _mm512_fmsub_ps(low, c, _mm512_mul_ps(high, s)));
        _mm512_mask_storeu_ps(x + half + j, lanes, _mm512_fmadd_ps(high, c, _mm512_mul_ps(low, s)));
    }
}

PLUMB_INLINE __m512 load_widened(const void *src, plumb_dtype dtype, int j, __mmask16 lanes)
{
    if (dtype == PLUMB_F32) return _mm512_maskz_loadu_ps(lanes, (const char *)src + (size_t)j * 4);
    __m256i bits = _mm256_maskz_loadu_epi16(lanes, (const char *)src + (size_t)j * 2);
    if (dtype == PLUMB_F16) return _mm512_cvtph_ps(bits);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

static bool widen_row(const void *src, plumb_dtype dtype, int n, float scale, float *out)
{
    enum { NOT_FINITE = 0x99 }; /* classes of VFPCLASSPS: quiet and signalling NaN, both infinities */
    const __m512 factor = _mm512_set1_ps(scale);
    __mmask16 bad = 0;
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        const __m512 value = load_widened(src, dtype, j, lanes);
        bad |= _mm512_fpclass_ps_mask(value, NOT_FINITE);
        _mm512_mask_storeu_ps(out + j, lanes, _mm512_mul_ps(factor, value));
    }
    return bad == 0;
}

/* --- log-softmax -------------------------------------------------------------------------------------------------- */

static float max_row(const float *z, int n)
{
    const __m512 lowest = _mm512_set1_ps(-INFINITY);
    __m512 top = lowest;
    for (int j = 0; j < n; j += WIDTH)
        top = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, plumb_lanes16(n - j), z + j), top);
    return _mm512_reduce_max_ps(top);
}

static double exp_sum_row(const float *z, int n, int shift)
{
    const __m512 bottom = _mm512_set1_ps(((float)shift - 140) * 0.69314718f), offset = _mm512_set1_ps((float)shift);
    pair sum = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (int j = 0; j < n; j += WIDTH) {
        const __mmask16 lanes = plumb_lanes16(n - j);
        __m512 power, exponent, value = _mm512_max_ps(bottom, _mm512_maskz_loadu_ps(lanes, z + j));
        power = plumb_exp_parts512(value, &exponent);
        pair term = widen(_mm512_maskz_scalef_ps(lanes, power, _mm512_sub_ps(exponent, offset)));
        sum.low = _mm512_add_pd(sum.low, term.low);
        sum.high = _mm512_add_pd(sum.high, term.high);
    }
    return sum_lanes(sum.low, sum.high);
}

void plumb_avx512_rows(plumb_kernels *k)
{
    k->norm_row = norm_row;
    k->activate_row = activate_row;
    k->rotary_head = rotary_head;
    k->widen_row = widen_row;
    k->cap_row = cap_row;
    k->max_row = max_row;
    k->exp_sum_row = exp_sum_row;
    plumb_avx512_attention(k);
}
