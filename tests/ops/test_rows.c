/* The kernels that work row by row, of every back end, against fp64. */
#include "ops/ops_common.h"

enum { PAD = 3 };
static const double ULP = 0x1p-23; /* of numbers in [1, 2) */

/* --- norms -------------------------------------------------------------------------------------------------------- */

static const struct norm_case {
    plumb_norm_kind kind;
    int d, groups;
    float eps, size, offset; /* values in offset +- size */
    bool weight, bias, in_place;
} norm_cases[] = {
    {PLUMB_RMS_NORM, 1, 1, 1e-6f, 1, 0, true, false, false},
    {PLUMB_RMS_NORM, 7, 3, 1e-6f, 1, 0, true, false, true},
    {PLUMB_RMS_NORM, 8, 2, 1e-5f, 100, 0, false, false, false},
    {PLUMB_RMS_NORM, 64, 4, 1e-6f, 1e-4f, 0, true, false, true},
    {PLUMB_RMS_NORM, 896, 1, 1e-6f, 1e4f, 0, true, false, false},
    {PLUMB_RMS_NORM, 4099, 1, 1e-6f, 2, 30, true, true, true},
    {PLUMB_LAYER_NORM, 1, 1, 1e-5f, 1, 0, true, true, false},
    {PLUMB_LAYER_NORM, 5, 2, 1e-5f, 1, 0, true, true, true},
    {PLUMB_LAYER_NORM, 33, 1, 1e-5f, 1, 0, false, false, false},
    {PLUMB_LAYER_NORM, 80, 3, 1e-5f, 1e-3f, 0, true, false, false},
    {PLUMB_LAYER_NORM, 2048, 1, 1e-5f, 1, 100, true, true, false},
    {PLUMB_LAYER_NORM, 2563, 1, 1e-5f, 5, -3, true, true, true},
};

static void expect_norm(const plumb_norm *norm, const float *x, const float *y)
{
    double mean = 0, squares = 0;
    for (int j = 0; j < norm->d; j++) mean += norm->kind == PLUMB_LAYER_NORM ? (double)x[j] / norm->d : 0;
    for (int j = 0; j < norm->d; j++) squares += (x[j] - mean) * (x[j] - mean) / norm->d;
    for (int j = 0; j < norm->d; j++) {
        double value = (x[j] - mean) / sqrt(squares + (double)norm->eps);
        double scaled = value * (norm->weight ? norm->weight[j] : 1), shift = norm->bias ? norm->bias[j] : 0;
        double allowed = 2 * ULP * (fabs(scaled) + fabs(shift)) + 1e-12;
        if (!(fabs(y[j] - (scaled + shift)) <= allowed))
            fail_msg("d %d, element %d: %.9g, expected %.9g", norm->d, j, y[j], scaled + shift);
    }
}

static void test_norms(void **state)
{
    enum { ROWS = 5 };
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 17;
    for (int i = 0; i < COUNT(norm_cases); i++) {
        const struct norm_case *t = &norm_cases[i];
        int width = t->d * t->groups, ld = width + PAD;
        float *x = random_rows(ROWS, width, ld, t->size, GUARD, &seed), *y = filled_rows(ROWS, ld, GUARD);
        float *weight = random_rows(1, t->d, t->d, 2, 0, &seed), *bias = random_rows(1, t->d, t->d, 1, 0, &seed);
        for (int r = 0; r < ROWS; r++)
            for (int j = 0; j < width; j++) x[r * ld + j] += t->offset;
        plumb_norm norm = {t->kind, t->d, t->eps, t->weight ? weight : NULL, t->bias ? bias : NULL};
        if (t->in_place) memcpy(y, x, (size_t)ROWS * (size_t)ld * sizeof *y);
        plumb_norm_run(c, &norm, t->in_place ? y : x, ld, ROWS, t->groups, y, ld);
        for (int r = 0; r < ROWS; r++)
            for (int g = 0; g < t->groups; g++) expect_norm(&norm, x + r * ld + g * t->d, y + r * ld + g * t->d);
        expect_guards(y, ROWS, width, ld, GUARD);
        free(x);
        free(y);
        free(weight);
        free(bias);
    }
    plumb_compute_close(c);
}

/* --- activations -------------------------------------------------------------------------------------------------- */

static double exact_activation(plumb_activation act, double x)
{
    switch (act) {
    case PLUMB_SILU:
        return x / (1 + exp(-x));
    case PLUMB_GELU_TANH:
        return x / (1 + exp(-2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case PLUMB_GELU:
        return x * 0.5 * erfc(-x * 0.70710678118654752440);
    case PLUMB_RELU:
        return x > 0 ? x : 0;
    }
    return 0;
}

/* Edges first, then a walk through the range that matters. */
static float activation_input(int j)
{
    static const float edges[] = {0,   -0.0f, 1e-30f, -1e-30f, 1e-6f, -1e-6f, 0.5f,  -0.5f, 30,    -30,
                                  100, -100,  88.7f,  -88.7f,  1e4f,  -1e4f,  1e20f, 5.5f,  -1e20f};
    return j < COUNT(edges) ? edges[j] : (float)(j - COUNT(edges)) * 0.0037f - 14;
}

static void expect_activation(plumb_activation act, const float *gate, const float *up, int n, const float *out)
{
    for (int j = 0; j < n; j++) {
        double factor = up ? up[j] : 1, wanted = exact_activation(act, gate[j]) * factor;
        double allowed = 3 * ULP * fabs(wanted) + 1e-7 * fabs(gate[j] * factor) * (act != PLUMB_SILU) + 2e-36;
        if (!(fabs(out[j] - wanted) <= allowed))
            fail_msg("activation %d of %.9g: %.9g, expected %.9g", (int)act, gate[j], out[j], wanted);
    }
}

static void test_activations(void **state)
{
    static const int widths[] = {1, 7, 8, 15, 16, 33, 64, 7601};
    plumb_compute *c = open_isa(state, 1);
    uint32_t seed = 5;
    for (int act = PLUMB_SILU; act <= PLUMB_RELU; act++)
        for (int w = 0; w < COUNT(widths); w++)
            for (int form = 0; form < 4; form++) { /* no up; out apart; out is gate; out is up */
                int n = widths[w], ld = n + PAD;
                float *gate = filled_rows(2, ld, GUARD), *up = random_rows(2, n, ld, 2, GUARD, &seed);
                for (int j = 0; j < n; j++) gate[j] = gate[ld + n - 1 - j] = activation_input(j);
                float *gate_copy = copy_floats(gate, 2 * (size_t)ld), *up_copy = copy_floats(up, 2 * (size_t)ld);
                float *apart = filled_rows(2, ld, GUARD), *out = form == 2 ? gate : form == 3 ? up : apart;
                plumb_activate(c, (plumb_activation)act, gate, ld, form ? up : NULL, ld, 2, n, out, ld);
                for (int r = 0; r < 2; r++)
                    expect_activation((plumb_activation)act, gate_copy + r * ld, form ? up_copy + r * ld : NULL, n,
                                      out + r * ld);
                expect_guards(out, 2, n, ld, GUARD);
                free(gate);
                free(up);
                free(gate_copy);
                free(up_copy);
                free(apart);
            }
    plumb_compute_close(c);
}

static void test_not_a_number(void **state)
{
    plumb_compute *c = open_isa(state, 1);
    for (int act = PLUMB_SILU; act <= PLUMB_RELU; act++) {
        float x[3] = {1, NAN, 2};
        plumb_activate(c, (plumb_activation)act, x, 3, NULL, 0, 1, 3, x, 3);
        assert_true(isfinite(x[0]) && isnan(x[1]) && isfinite(x[2]));
    }
    float x[3] = {5, NAN, -5};
    plumb_clip(c, x, 3, 1, 3, 2);
    assert_true(x[0] == 2 && isnan(x[1]) && x[2] == -2);
    plumb_compute_close(c);
}

/* --- caps and exponentials ---------------------------------------------------------------------------------------- */

static void test_cap(void **state)
{
    static const float caps[] = {30, 50, 1};
    plumb_compute *c = open_isa(state, 1);
    for (int i = 0; i < COUNT(caps); i++)
        for (int n = 1; n < 5000; n = n * 3 + 1) {
            float *z = filled_rows(1, n + PAD, GUARD);
            for (int j = 0; j < n; j++) z[j] = activation_input(j) * caps[i] * 0.25f;
            float *before = copy_floats(z, (size_t)n);
            c->kernels.cap_row(z, n, caps[i]);
            for (int j = 0; j < n; j++) {
                double cap = caps[i], wanted = cap * tanh(before[j] / cap);
                if (!(fabs(z[j] - wanted) <= 3 * ULP * fabs(wanted) + 1e-44))
                    fail_msg("cap of %.9g: %.9g, expected %.9g", before[j], z[j], wanted);
            }
            expect_guards(z, 1, n, n + PAD, GUARD);
            free(before);
            free(z);
        }
    plumb_compute_close(c);
}

static void test_exponential_sums(void **state)
{
    static const float sizes[] = {0, 1, 20, 200, 20000};
    plumb_compute *c = open_isa(state, 1);
    uint32_t seed = 99;
    for (int i = 0; i < COUNT(sizes); i++)
        for (int n = 1; n < 3000; n = n * 2 + 3) {
            float *z = random_rows(1, n, n, sizes[i], 0, &seed), max = -INFINITY;
            double sum = 0;
            for (int j = 0; j < n; j++) max = z[j] > max ? z[j] : max;
            int shift = (int)lrint(max * 1.4426950408889634);
            for (int j = 0; j < n; j++) sum += exp(z[j] - shift * 0.69314718055994530942);
            assert_true(c->kernels.max_row(z, n) == max);
            double got = c->kernels.exp_sum_row(z, n, shift);
            if (!(fabs(got - sum) <= 2 * ULP * sum)) fail_msg("size %g, n %d: %.12g, not %.12g", sizes[i], n, got, sum);
            z[n / 2] = NAN;
            assert_true(isnan(c->kernels.exp_sum_row(z, n, shift)));
            free(z);
        }
    plumb_compute_close(c);
}

static void test_softmax_tile(void **state)
{
    enum { KEYS = 9, LANES = 19, LD = 21 };
    plumb_compute *c = open_isa(state, 1);
    float s[KEYS * LD], max[LD], sum[LD], scale[LD];
    for (int j = 0; j < LD; j++) max[j] = -__FLT_MAX__, sum[j] = 0, scale[j] = GUARD;
    double total[LANES] = {0};
    for (int tile = 0; tile < 3; tile++) {
        for (int i = 0; i < KEYS * LD; i++) s[i] = (float)(i * 37 % 101) - 50 + (float)(tile * (i % LD - 5));
        for (int j = 0; j < LANES; j++) s[j] = -INFINITY;         /* a hidden key */
        for (int i = 0; i < KEYS; i++) s[i * LD + 3] = -INFINITY; /* a lane that sees nothing */
        float before[KEYS * LD], old[LD];
        memcpy(before, s, sizeof s);
        memcpy(old, max, sizeof max);
        c->kernels.softmax_tile(s, LD, KEYS, LANES, max, sum, scale);
        for (int j = 0; j < LANES; j++) {
            total[j] *= exp((double)old[j] - max[j]);
            for (int i = 0; i < KEYS; i++) {
                double wanted = exp((double)before[i * LD + j] - max[j]);
                assert_true(fabs(s[i * LD + j] - wanted) <= 2 * ULP * wanted + 2e-45);
                total[j] += wanted;
            }
            assert_true(s[j] == 0 && fabs(sum[j] - total[j]) <= 4 * ULP * total[j]);
        }
        assert_true(max[3] == -__FLT_MAX__ && sum[3] == 0 && scale[3] == 1 && scale[LANES] == GUARD);
    }
    plumb_compute_close(c);
}

/* --- positions, embeddings, sums ---------------------------------------------------------------------------------- */

static void test_rotary(void **state)
{
    enum { ROWS = 4, POSITIONS = 9 };
    static const struct {
        int heads, head_dim, rotary;
    } cases[] = {{1, 2, 2},   {3, 16, 16},  {2, 24, 6},    {2, 80, 20},
                 {4, 64, 64}, {1, 256, 64}, {2, 128, 128}, {2, 80, 80}};
    static const int32_t positions[ROWS] = {3, 0, 8, 5};
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 3;
    for (int i = 0; i < COUNT(cases); i++) {
        int d = cases[i].head_dim, rotary = cases[i].rotary, half = rotary / 2, width = cases[i].heads * d;
        int ld = width + PAD;
        float *x = random_rows(ROWS, width, ld, 3, GUARD, &seed), *before = copy_floats(x, (size_t)ROWS * (size_t)ld);
        float *cosine = random_rows(POSITIONS, half, half, 1, 0, &seed);
        float *sine = random_rows(POSITIONS, half, half, 1, 0, &seed);
        plumb_rotary(c, x, ld, ROWS, cases[i].heads, d, rotary, cosine, sine, positions);
        for (int k = 0; k < ROWS * width; k++) {
            int row = k / width, in_head = k % width % d, pair = in_head % half, at = row * ld + k % width;
            double wanted = before[at], size = fabs(wanted);
            if (in_head < rotary) {
                double cosine_at = cosine[positions[row] * half + pair], sine_at = sine[positions[row] * half + pair];
                double other = in_head < half ? -(double)before[at + half] : before[at - half];
                wanted = wanted * cosine_at + other * sine_at;
                size += fabs(other);
            }
            assert_true(fabs(x[at] - wanted) <= ULP * size);
        }
        expect_guards(x, ROWS, width, ld, GUARD);
        free(x);
        free(before);
        free(cosine);
        free(sine);
    }
    plumb_compute_close(c);
}

static void test_embed(void **state)
{
    enum { VOCABULARY = 6, ROWS = 4 };
    static const int32_t ids[ROWS] = {5, 0, 3, 3};
    static const int widths[] = {1, 5, 16, 31, 200};
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 8;
    for (int dtype = PLUMB_F32; dtype <= PLUMB_BF16; dtype++)
        for (int w = 0; w < COUNT(widths); w++) {
            int d = widths[w], ld = d + PAD;
            size_t size = plumb_dtype_size((plumb_dtype)dtype), bytes = (size_t)(VOCABULARY * d) * size;
            char *weight = allocate(bytes + 1, 1);
            for (int i = 0; i < VOCABULARY * d; i++) {
                float value = random_float(&seed, 1);
                uint16_t bits = dtype == PLUMB_BF16 ? plumb_to_bf16(value) : (uint16_t)(next_random(&seed) & 0xbfffu);
                memcpy(weight + 1 + (size_t)i * size, dtype == PLUMB_F32 ? (void *)&value : (void *)&bits, size);
            }
            plumb_linear table = {weight + 1, (plumb_dtype)dtype, NULL, VOCABULARY, d, "embed", false}; /* unaligned */
            float *x = filled_rows(ROWS, ld, GUARD);
            plumb_embed(c, &table, ids, ROWS, 3, x, ld);
            for (int i = 0; i < ROWS * d; i++)
                assert_true(x[i / d * ld + i % d] ==
                            3 * plumb_load(weight + 1, table.dtype, (size_t)(ids[i / d] * d + i % d)));
            expect_guards(x, ROWS, d, ld, GUARD);
            free(weight);
            free(x);
        }
    expect_ok(plumb_compute_check(c));
    plumb_compute_close(c);
}

static void test_embed_reports(void **state)
{
    static const struct {
        plumb_dtype dtype;
        uint32_t bits;
    } cases[] = {{PLUMB_F32, 0x7f800000}, {PLUMB_F32, 0xff800000}, {PLUMB_F32, 0x7fc00000}, {PLUMB_F16, 0x7c00},
                 {PLUMB_F16, 0xfc00},     {PLUMB_F16, 0x7e01},     {PLUMB_BF16, 0x7f80},    {PLUMB_BF16, 0xff81}};
    for (int i = 0; i < COUNT(cases); i++)
        for (int place = 0; place < 37; place += 6) {
            plumb_compute *c = open_isa(state, 1);
            uint32_t weight[2 * 37] = {0};
            size_t size = plumb_dtype_size(cases[i].dtype);
            memcpy((char *)weight + (size_t)(37 + place) * size, &cases[i].bits, size);
            float x[37];
            int32_t good = 0, bad = 1;
            plumb_linear table = {weight, cases[i].dtype, NULL, 2, 37, "model.embed_tokens.weight", false};
            plumb_linear later = {weight, cases[i].dtype, NULL, 2, 37, "later", false};
            plumb_embed(c, &table, &good, 1, 1, x, 37);
            expect_ok(plumb_compute_check(c));
            plumb_embed(c, &table, &bad, 1, 1, x, 37);
            plumb_embed(c, &later, &bad, 1, 1, x, 37);
            plumb_status s = plumb_compute_check(c);
            assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
            assert_non_null(strstr(plumb_status_message(s), "model.embed_tokens.weight"));
            plumb_status_free(s);
            plumb_compute_close(c);
        }
}

static void test_clip_and_add(void **state)
{
    plumb_compute *c = open_isa(state, 3);
    uint32_t seed = 11;
    for (int n = 1; n < 20000; n = n * 5 + 2) {
        int rows = 7, ld = n + PAD;
        float *x = random_rows(rows, n, ld, 4, GUARD, &seed), *y = random_rows(rows, n, ld, 4, GUARD, &seed);
        float *sum = copy_floats(y, (size_t)rows * (size_t)ld), *clipped = copy_floats(x, (size_t)rows * (size_t)ld);
        plumb_add(c, x, ld, rows, n, sum, ld);
        plumb_clip(c, clipped, ld, rows, n, 1.5f);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < n; j++) {
                int at = i * ld + j;
                assert_true(sum[at] == x[at] + y[at]);
                assert_true(clipped[at] == fminf(fmaxf(x[at], -1.5f), 1.5f));
            }
        expect_guards(sum, rows, n, ld, GUARD);
        expect_guards(clipped, rows, n, ld, GUARD);
        free(x);
        free(y);
        free(sum);
        free(clipped);
    }
    plumb_compute_close(c);
}

/* --- bit identity ------------------------------------------------------------------------------------------------- */

enum { WIDTH = 1003, HEADS = 4, HEAD_DIM = 64 };

typedef void row_function(plumb_compute *c, float *x, int rows, const int32_t *positions);

static void run_rms(plumb_compute *c, float *x, int rows, const int32_t *positions)
{
    (void)positions;
    plumb_norm norm = {PLUMB_RMS_NORM, WIDTH, 1e-6f, NULL, NULL};
    plumb_norm_run(c, &norm, x, WIDTH, rows, 1, x, WIDTH);
}

static void run_layer_norm(plumb_compute *c, float *x, int rows, const int32_t *positions)
{
    (void)positions;
    plumb_norm norm = {PLUMB_LAYER_NORM, WIDTH, 1e-5f, NULL, NULL};
    plumb_norm_run(c, &norm, x, WIDTH, rows, 1, x, WIDTH);
}

static void run_silu(plumb_compute *c, float *x, int rows, const int32_t *positions)
{
    (void)positions;
    plumb_activate(c, PLUMB_SILU, x, WIDTH, x, WIDTH, rows, WIDTH, x, WIDTH);
}

static void run_gelu(plumb_compute *c, float *x, int rows, const int32_t *positions)
{
    (void)positions;
    plumb_activate(c, PLUMB_GELU, x, WIDTH, NULL, 0, rows, WIDTH, x, WIDTH);
}

static void run_rotary(plumb_compute *c, float *x, int rows, const int32_t *positions)
{
    float angles[2][128 * HEAD_DIM / 2];
    for (int i = 0; i < COUNT(angles[0]); i++) {
        angles[0][i] = cosf((float)i * 0.01f);
        angles[1][i] = sinf((float)i * 0.01f);
    }
    plumb_rotary(c, x, WIDTH, rows, HEADS, HEAD_DIM, HEAD_DIM, angles[0], angles[1], positions);
}

static void test_bits(void **state)
{
    enum { ROWS = 101 };
    static row_function *const functions[] = {run_rms, run_layer_norm, run_silu, run_gelu, run_rotary};
    uint32_t seed = 23;
    int32_t positions[ROWS];
    for (int i = 0; i < ROWS; i++) positions[i] = i;
    float *x = random_rows(ROWS, WIDTH, WIDTH, 3, 0, &seed);
    for (int f = 0; f < COUNT(functions); f++) {
        plumb_compute *one = open_isa(state, 1);
        float *alone = copy_floats(x, ROWS * WIDTH);
        for (int i = 0; i < ROWS; i++) functions[f](one, alone + i * WIDTH, 1, positions + i);
        plumb_compute_close(one);
        for (int threads = 1; threads <= 3; threads++) {
            plumb_compute *c = open_isa(state, threads);
            float *together = copy_floats(x, ROWS * WIDTH);
            functions[f](c, together, ROWS, positions);
            expect_same_bits(alone, together, ROWS * WIDTH, "rows alone and together");
            plumb_compute_close(c);
            free(together);
        }
        free(alone);
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_not_a_number),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_exponential_sums),
        cmocka_unit_test(test_softmax_tile),
        cmocka_unit_test(test_rotary),
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_embed_reports),
        cmocka_unit_test(test_clip_and_add),
        cmocka_unit_test(test_bits),
    };
    return RUN_FOR_EACH_ISA(tests);
}
