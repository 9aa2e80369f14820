/* Linears in bf16 (plumb_compute_use): accuracy against fp64 sums of rounded operands, and the same bits for any number
 * of rows, threads and any place in a batch. */
#include <math.h>

#include "support.h"

#include "base/random.h"

enum { PAD = 3 };

static const plumb_arithmetic kinds[] = {PLUMB_BF16_DOT, PLUMB_BF16_ROUNDED};

/* A context of that arithmetic, or NULL, saying so, where this CPU lacks it. */
static plumb_compute *open_kind(const char *isa, plumb_arithmetic kind, int threads)
{
    plumb_compute *c = open_isa(isa, threads);
    if (!c) return NULL;
    plumb_status s = plumb_compute_use(c, kind);
    if (!s) return c;
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    print_message("left out: %s (%s)\n", isa, plumb_status_message(s));
    plumb_status_free(s);
    plumb_compute_close(c);
    return NULL;
}

static double rounded(float x)
{
    return plumb_load(&(uint16_t){plumb_to_bf16(x)}, PLUMB_BF16, 0);
}

static float value(uint64_t *count)
{
    return (float)(2 * plumb_uniform(11, 0, (*count)++) - 1);
}

typedef struct product {
    plumb_dtype dtype;
    int rows, n, k;
    void *weight;
    float *x, *bias, *y;
    plumb_linear w;
} product;

static product make(plumb_dtype dtype, int rows, int n, int k)
{
    product p = {.dtype = dtype, .rows = rows, .n = n, .k = k};
    uint64_t random = (uint64_t)rows * 1000003 + (uint64_t)n * 1009 + (uint64_t)k;
    size_t count = (size_t)n * (size_t)k;
    p.weight = malloc(count * 4);
    p.x = malloc((size_t)rows * (size_t)(k + PAD) * sizeof *p.x);
    p.bias = malloc((size_t)n * sizeof *p.bias);
    p.y = malloc((size_t)rows * (size_t)(n + PAD) * sizeof *p.y);
    for (size_t i = 0; i < count; i++) {
        float v = value(&random);
        if (dtype == PLUMB_F32)
            ((float *)p.weight)[i] = v;
        else
            ((uint16_t *)p.weight)[i] = dtype == PLUMB_BF16 ? plumb_to_bf16(v) : plumb_to_f16(v);
    }
    for (size_t i = 0; i < (size_t)rows * (size_t)(k + PAD); i++) p.x[i] = value(&random);
    for (int j = 0; j < n; j++) p.bias[j] = value(&random);
    p.w = (plumb_linear){.weight = p.weight, .dtype = dtype, .bias = p.bias, .n = n, .k = k, .name = "weight"};
    return p;
}

static void release(product *p)
{
    free(p->weight);
    free(p->x);
    free(p->bias);
    free(p->y);
}

static void fill(product *p)
{
    for (size_t i = 0; i < (size_t)p->rows * (size_t)(p->n + PAD); i++) p->y[i] = -7777.25f;
}

/* Against fp64 sums of the rounded operands, started from y (store ADD) or the bias. */
static void check_values(const product *p, const float *before, const char *what)
{
    for (int i = 0; i < p->rows; i++)
        for (int j = 0; j < p->n + PAD; j++) {
            size_t at = (size_t)i * (size_t)(p->n + PAD) + (size_t)j;
            if (j >= p->n) {
                assert_true(p->y[at] == -7777.25f);
                continue;
            }
            double sum = p->bias[j] + (before ? before[at] : 0), size = fabs(sum);
            for (int q = 0; q < p->k; q++) {
                double v = rounded(plumb_load(p->weight, p->dtype, (size_t)j * (size_t)p->k + (size_t)q)) *
                           rounded(p->x[(size_t)i * (size_t)(p->k + PAD) + (size_t)q]);
                sum += v;
                size += fabs(v);
            }
            if (!(fabs(p->y[at] - sum) <= 2e-6 * size))
                fail_msg("%s %s, %d x %d x %d, (%d, %d): %.9g, expected %.9g", what, plumb_dtype_name(p->dtype),
                         p->rows, p->n, p->k, i, j, (double)p->y[at], sum);
        }
}

static const int shapes[][3] = {{1, 1, 1},    {1, 37, 43},    {5, 16, 2},    {14, 32, 64},    {15, 33, 31},
                                {29, 70, 95}, {40, 129, 512}, {3, 65, 1100}, {130, 31, 2049}, {17, 300, 33}};

static void accuracy(void **state)
{
    (void)state;
    for (int isa = 0; isa < TEST_ISAS; isa++)
        for (int kind = 0; kind < 2; kind++) {
            plumb_compute *c = open_kind(test_isas[isa], kinds[kind], 2);
            if (!c) continue;
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                for (int dtype = 0; dtype < 3; dtype++) {
                    product p = make((plumb_dtype)dtype, shapes[s][0], shapes[s][1], shapes[s][2]);
                    fill(&p);
                    check_ok(plumb_linear_run(c, &p.w, p.x, p.k + PAD, p.rows, p.y, p.n + PAD, PLUMB_STORE));
                    check_values(&p, NULL, plumb_compute_arithmetic(c));
                    size_t bytes = (size_t)p.rows * (size_t)(p.n + PAD) * sizeof *p.y;
                    float *before = malloc(bytes);
                    memcpy(before, p.y, bytes);
                    check_ok(plumb_linear_run(c, &p.w, p.x, p.k + PAD, p.rows, p.y, p.n + PAD, PLUMB_ADD));
                    check_values(&p, before, plumb_compute_arithmetic(c));
                    check_ok(plumb_compute_check(c));
                    free(before);
                    release(&p);
                }
            plumb_compute_close(c);
        }
}

static void same_bits_everywhere(void **state)
{
    (void)state;
    enum { ROWS = 60, N = 150, K = 1301 };
    for (int isa = 0; isa < TEST_ISAS; isa++)
        for (int kind = 0; kind < 2; kind++) {
            product p = make(PLUMB_F32, ROWS, N, K);
            float *all = NULL, row[N];
            for (int threads = 1; threads <= 3; threads++) {
                plumb_compute *c = open_kind(test_isas[isa], kinds[kind], threads);
                if (!c) break;
                fill(&p);
                check_ok(plumb_linear_run(c, &p.w, p.x, K + PAD, ROWS, p.y, N + PAD, PLUMB_STORE));
                size_t bytes = (size_t)ROWS * (N + PAD) * sizeof *p.y;
                if (!all) memcpy(all = malloc(bytes), p.y, bytes);
                assert_memory_equal(all, p.y, bytes);
                for (int i = 0; i < ROWS; i += 7) { /* a row alone */
                    check_ok(plumb_linear_run(c, &p.w, p.x + (size_t)i * (K + PAD), K + PAD, 1, row, N, PLUMB_STORE));
                    assert_memory_equal(row, all + (size_t)i * (N + PAD), sizeof row);
                }
                plumb_compute_close(c);
            }
            free(all);
            release(&p);
        }
}

/* What is no weight of a model is left alone, and so are gradients. */
static void exact_products(void **state)
{
    (void)state;
    enum { ROWS = 9, N = 40, K = 70 };
    for (int isa = 0; isa < TEST_ISAS; isa++) {
        plumb_compute *plain = open_isa(test_isas[isa], 1), *c = open_kind(test_isas[isa], PLUMB_BF16_AUTO, 1);
        if (!plain) continue;
        assert_string_equal(plumb_compute_arithmetic(plain), "fp32");
        product p = make(PLUMB_F32, ROWS, N, K);
        float y[ROWS * N], dx[ROWS * K], dx_plain[ROWS * K], y_plain[ROWS * N];
        check_ok(plumb_linear_run(plain, &p.w, p.x, K + PAD, ROWS, y_plain, N, PLUMB_STORE));
        check_ok(plumb_linear_run(c, &p.w, p.x, K + PAD, ROWS, y, N, PLUMB_STORE));
        assert_memory_not_equal(y, y_plain, sizeof y);
        p.w.exact = true;
        check_ok(plumb_linear_run(c, &p.w, p.x, K + PAD, ROWS, y, N, PLUMB_STORE));
        assert_memory_equal(y, y_plain, sizeof y);
        p.w.exact = false;
        check_ok(plumb_linear_transposed(plain, &p.w, y, N, ROWS, dx_plain, K, PLUMB_STORE));
        check_ok(plumb_linear_transposed(c, &p.w, y, N, ROWS, dx, K, PLUMB_STORE));
        assert_memory_equal(dx, dx_plain, sizeof dx);
        release(&p);
        plumb_compute_close(plain);
        plumb_compute_close(c);
    }
}

static void damaged_weights(void **state)
{
    (void)state;
    for (int isa = 0; isa < TEST_ISAS; isa++)
        for (int kind = 0; kind < 2; kind++)
            for (int at = 0; at < 37 * 43; at += 11) {
                plumb_compute *c = open_kind(test_isas[isa], kinds[kind], 1);
                if (!c) break;
                product p = make(PLUMB_F32, 1, 37, 43);
                ((float *)p.weight)[at] = at % 2 ? NAN : -INFINITY;
                check_ok(plumb_linear_run(c, &p.w, p.x, 43, 1, p.y, 37, PLUMB_STORE));
                check_error(plumb_compute_check(c), PLUMB_E_INPUT, "weight holds a NaN or an infinity");
                release(&p);
                plumb_compute_close(c);
            }
}

/* Finite numbers from 0x1.ffp127 on are infinities in bf16: found for any number of rows, with panels and without. */
static void weights_beyond_bf16(void **state)
{
    (void)state;
    for (int isa = 0; isa < TEST_ISAS; isa++)
        for (int kind = 0; kind < 3; kind++)
            for (int rows = 1; rows <= 17; rows += 4) {
                plumb_arithmetic arithmetic = kind < 2 ? kinds[kind] : PLUMB_FP32;
                product p = make(PLUMB_F32, rows, 37, 43);
                for (int beyond = 0; beyond < 2; beyond++) {
                    plumb_compute *c = open_kind(test_isas[isa], arithmetic, 1);
                    if (!c) break;
                    ((float *)p.weight)[37 * 43 - 1] = beyond ? -0x1.ffp127F : 0x1.fefffep127F;
                    check_ok(plumb_linear_run(c, &p.w, p.x, 43 + PAD, rows, p.y, 37 + PAD, PLUMB_STORE));
                    if (beyond && arithmetic != PLUMB_FP32)
                        check_error(plumb_compute_check(c), PLUMB_E_INPUT, "beyond the range of bf16");
                    else
                        check_ok(plumb_compute_check(c));
                    plumb_compute_close(c);
                }
                release(&p);
            }
}

/* The choice that PLUMB_BF16_AUTO makes is one of two, and what it holds for tells back ends apart. */
static void calibration(void **state)
{
    (void)state;
    plumb_text before = {0}, now = {0};
    for (int isa = 0; isa < TEST_ISAS; isa++) {
        plumb_compute *c = open_kind(test_isas[isa], PLUMB_BF16_AUTO, 1);
        if (!c) continue;
        double gain = 0;
        bool dot = plumb_compute_has_dot(c);
        if (dot) {
            check_ok(plumb_compute_calibrate(c, &gain));
            assert_true(isfinite(gain) && gain > 0);
        } else {
            check_error(plumb_compute_calibrate(c, &gain), PLUMB_E_INTERNAL, "no bf16 dot products");
            assert_string_equal(plumb_compute_arithmetic(c), "bf16-rounded");
        }
        plumb_text_clear(&now);
        check_ok(plumb_compute_identity(c, &now));
        assert_int_equal(strncmp(now.data, plumb_compute_isa(c), strlen(plumb_compute_isa(c))), 0);
        if (before.size) assert_string_not_equal(now.data, before.data);
        plumb_text_clear(&before);
        check_ok(plumb_compute_identity(c, &before));
        assert_string_equal(now.data, before.data);
        plumb_compute_close(c);
    }
    plumb_text_free(&before);
    plumb_text_free(&now);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy),        cmocka_unit_test(same_bits_everywhere), cmocka_unit_test(exact_products),
        cmocka_unit_test(damaged_weights), cmocka_unit_test(weights_beyond_bf16),  cmocka_unit_test(calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
