/* The matrix products of every back end against the chain that compute.h promises, bit for bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/compute.h"

enum { PAD = 3, DTYPES = 3, MOST_THREADS = 3 };
static const float GUARD = -7777.25f;

/* --- helpers ------------------------------------------------------------------------------------------------------ */

static uint32_t next_random(uint32_t *state) /* xorshift32 */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static float random_float(uint32_t *state)
{
    return (float)(int32_t)next_random(state) * 0x1p-31f;
}

static void *allocate(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    assert_non_null(block);
    return block;
}

static void expect_ok(plumb_status s)
{
    if (s) fail_msg("%s", plumb_status_message(s));
}

static bool cpu_has(const char *isa)
{
#ifdef PLUMB_X86
    if (strcmp(isa, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx");
    if (strcmp(isa, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return strcmp(isa, "ref") == 0;
}

/* The back end a test is about; skips the test, saying so, when the CPU lacks it. */
static plumb_compute *open_isa(void **state, int threads)
{
    const char *isa = *state;
    plumb_compute *c = NULL;
    if (!cpu_has(isa)) {
        print_message("SKIPPED: this CPU has no %s\n", isa);
        skip();
    }
    expect_ok(plumb_compute_open(isa, threads, &c));
    assert_string_equal(plumb_compute_isa(c), isa);
    assert_int_equal(plumb_compute_threads(c), threads);
    return c;
}

/* Stores a value of element i; fp16 gets random bits (subnormal numbers included) of a magnitude below 2. */
static void store_random(void *data, plumb_dtype dtype, size_t i, uint32_t *state)
{
    float value = random_float(state);
    uint16_t bits = dtype == PLUMB_BF16 ? plumb_to_bf16(value) : (uint16_t)(next_random(state) & 0xbfffu);
    if (dtype == PLUMB_F32)
        memcpy((char *)data + 4 * i, &value, 4);
    else
        memcpy((char *)data + 2 * i, &bits, 2);
}

static plumb_linear random_linear(int n, int k, plumb_dtype dtype, bool bias, uint32_t *state)
{
    size_t count = (size_t)n * (size_t)k;
    void *weight = allocate(count, plumb_dtype_size(dtype));
    for (size_t i = 0; i < count; i++) store_random(weight, dtype, i, state);
    float *b = bias ? allocate((size_t)n, sizeof *b) : NULL;
    for (int j = 0; bias && j < n; j++) b[j] = random_float(state);
    return (plumb_linear){.weight = weight, .dtype = dtype, .bias = b, .n = n, .k = k, .name = "weight"};
}

static void free_linear(plumb_linear *w)
{
    free((void *)w->weight);
    free((void *)w->bias);
}

/* rows x width random values with PAD guards after each row and a guarded row at the end. */
static float *random_rows(int rows, int width, float guard, uint32_t *state)
{
    size_t ld = (size_t)width + PAD, count = ((size_t)rows + 1) * ld;
    float *x = allocate(count, sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = i % ld < (size_t)width && i / ld < (size_t)rows ? random_float(state) : guard;
    return x;
}

static float *copy_rows(const float *y, int rows, int width)
{
    size_t bytes = ((size_t)rows + 1) * ((size_t)width + PAD) * sizeof *y;
    float *copy = allocate(bytes, 1);
    memcpy(copy, y, bytes);
    return copy;
}

static bool same_bits(const void *a, const void *b, size_t bytes)
{
    return memcmp(a, b, bytes) == 0;
}

/* Guards are values too, so one comparison covers results and what must stay untouched. */
static void expect_equal(const float *got, const float *want, int rows, int width, const char *what)
{
    size_t ld = (size_t)width + PAD, count = ((size_t)rows + 1) * ld;
    if (same_bits(got, want, count * sizeof *got)) return;
    for (size_t i = 0; i < count; i++)
        if (!same_bits(&got[i], &want[i], sizeof *got))
            fail_msg("%s: row %zu, column %zu: %.9g, expected %.9g", what, i / ld, i % ld, (double)got[i],
                     (double)want[i]);
}

/* One step of a chain: fused where the instruction set fuses, rounded twice in ref. */
static float step(bool fused, float x, float w, float sum)
{
    return fused ? fmaf(x, w, sum) : sum + x * w;
}

static float *wide_weights(const plumb_linear *w)
{
    size_t count = (size_t)w->n * (size_t)w->k;
    float *wide = allocate(count, sizeof *wide);
    for (size_t i = 0; i < count; i++) wide[i] = plumb_load(w->weight, w->dtype, i);
    return wide;
}

/* What compute.h promises, written out. */
static void naive(bool fused, const plumb_linear *w, const float *x, int rows, float *y, plumb_store store)
{
    size_t k = (size_t)w->k, n = (size_t)w->n;
    float *wide = wide_weights(w);
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < n; j++) {
            float *out = &y[i * (n + PAD) + j], bias = w->bias ? w->bias[j] : 0;
            float sum = store == PLUMB_ADD ? w->bias ? *out + bias : *out : bias;
            for (size_t p = 0; p < k; p++) sum = step(fused, x[i * (k + PAD) + p], wide[j * k + p], sum);
            *out = sum;
        }
    free(wide);
}

static void naive_transposed(bool fused, const plumb_linear *w, const float *x, int rows, float *y, plumb_store store)
{
    size_t k = (size_t)w->k, n = (size_t)w->n;
    float *wide = wide_weights(w);
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < k; j++) {
            float *out = &y[i * (k + PAD) + j];
            float sum = store == PLUMB_ADD ? *out : 0;
            for (size_t p = 0; p < n; p++) sum = step(fused, x[i * (n + PAD) + p], wide[p * k + j], sum);
            *out = sum;
        }
    free(wide);
}

/* --- products ----------------------------------------------------------------------------------------------------- */

typedef struct shape {
    int m, n, k;
} shape;

static void describe(char *text, size_t size, const char *what, shape s, plumb_dtype dtype, plumb_store store,
                     bool bias)
{
    snprintf(text, size, "%s: m %d, n %d, k %d, %s, %s%s", what, s.m, s.n, s.k, plumb_dtype_name(dtype),
             store == PLUMB_ADD ? "add" : "store", bias ? ", bias" : "");
}

static void check_shape(plumb_compute *c, shape s, plumb_dtype dtype, plumb_store store, bool bias)
{
    char what[128];
    uint32_t state = 1u + (uint32_t)(s.m * 31 + s.n * 7 + s.k);
    bool fused = strcmp(plumb_compute_isa(c), "ref") != 0;
    plumb_linear w = random_linear(s.n, s.k, dtype, bias, &state);
    float *x = random_rows(s.m, s.k, NAN, &state), *y = random_rows(s.m, s.n, GUARD, &state);
    float *want = copy_rows(y, s.m, s.n);
    describe(what, sizeof what, "product", s, dtype, store, bias);
    naive(fused, &w, x, s.m, want, store);
    expect_ok(plumb_linear_run(c, &w, x, s.k + PAD, s.m, y, s.n + PAD, store));
    expect_equal(y, want, s.m, s.n, what);
    free(x);
    free(y);
    free(want);

    x = random_rows(s.m, s.n, NAN, &state);
    y = random_rows(s.m, s.k, GUARD, &state);
    want = copy_rows(y, s.m, s.k);
    describe(what, sizeof what, "transposed", s, dtype, store, bias);
    naive_transposed(fused, &w, x, s.m, want, store);
    expect_ok(plumb_linear_transposed(c, &w, x, s.n + PAD, s.m, y, s.k + PAD, store));
    expect_equal(y, want, s.m, s.k, what);
    free(x);
    free(y);
    free(want);
    expect_ok(plumb_compute_check(c));
    free_linear(&w);
}

/* Every combination of sizes around the tiles' widths, with every type, store and bias in turn. */
static void test_small_shapes(void **state)
{
    static const int sizes[] = {1, 2, 3, 5, 6, 7, 13, 14, 15, 16, 17, 31, 32, 33, 47, 64};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    plumb_compute *c = open_isa(state, 1);
    int turn = 0;
    for (int i = 0; i < SIZES * SIZES * SIZES; i++) {
        shape s = {sizes[i % SIZES], sizes[i / SIZES % SIZES], sizes[i / SIZES / SIZES]};
        for (int d = 0; d < DTYPES; d++, turn++)
            check_shape(c, s, (plumb_dtype)d, turn / 2 % 2 ? PLUMB_ADD : PLUMB_STORE, turn % 2);
    }
    plumb_compute_close(c);
}

/* Several blocks of k, strips of columns and chunks of rows; enough work for all threads. */
static const shape large_shapes[] = {{1, 300, 1500},   {5, 1000, 257}, {14, 257, 769}, {100, 257, 400},
                                     {257, 100, 1000}, {64, 385, 384}, {200, 6, 385},  {4200, 33, 7},
                                     {33, 3, 5000},    {3, 5000, 33},  {2049, 1, 100}, {9, 40, 2100}};
enum { LARGE_SHAPES = sizeof large_shapes / sizeof *large_shapes };

static void test_large_shapes(void **state)
{
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        plumb_compute *c = open_isa(state, threads);
        for (int i = 0; i < LARGE_SHAPES; i++)
            for (int d = 0; d < DTYPES; d++)
                check_shape(c, large_shapes[i], (plumb_dtype)d, (i + d) % 2 ? PLUMB_ADD : PLUMB_STORE, i % 3 != 0);
        plumb_compute_close(c);
    }
}

/* A row's result does not depend on the rows it is computed with. */
static void test_row_splits(void **state)
{
    static const int splits[] = {0, 1, 13, 14, 15, 50, 96, 97};
    enum { M = 97, N = 130, K = 800 };
    uint32_t random = 5;
    plumb_compute *c = open_isa(state, 2);
    plumb_linear w = random_linear(N, K, PLUMB_BF16, true, &random);
    float *x = random_rows(M, K, NAN, &random), *want = random_rows(M, N, GUARD, &random), *y = copy_rows(want, M, N);
    expect_ok(plumb_linear_run(c, &w, x, K + PAD, M, want, N + PAD, PLUMB_STORE));
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        int m = splits[i];
        expect_ok(plumb_linear_run(c, &w, x, K + PAD, m, y, N + PAD, PLUMB_STORE));
        expect_ok(plumb_linear_run(c, &w, x + (size_t)m * (K + PAD), K + PAD, M - m, y + (size_t)m * (N + PAD), N + PAD,
                                   PLUMB_STORE));
        expect_equal(y, want, M, N, "rows in two parts");
    }
    free(x);
    free(y);
    free(want);
    free_linear(&w);
    plumb_compute_close(c);
}

static void check_many(plumb_compute *c, int count, int m, plumb_store store)
{
    enum { K = 420 };
    static const int widths[] = {256, 33, 1, 140};
    static const plumb_dtype dtypes[] = {PLUMB_BF16, PLUMB_F32, PLUMB_F16, PLUMB_BF16};
    uint32_t random = 11;
    plumb_linear w[4];
    const plumb_linear *pointers[4];
    float *y[4], *want[4], *x = random_rows(m, K, NAN, &random);
    int ldy[4];
    for (int i = 0; i < count; i++) {
        w[i] = random_linear(widths[i], K, dtypes[i], i % 2 == 0, &random);
        pointers[i] = &w[i];
        ldy[i] = widths[i] + PAD;
        want[i] = random_rows(m, widths[i], GUARD, &random);
        y[i] = copy_rows(want[i], m, widths[i]);
        expect_ok(plumb_linear_run(c, &w[i], x, K + PAD, m, want[i], ldy[i], store));
    }
    expect_ok(plumb_linear_run_many(c, pointers, count, x, K + PAD, m, y, ldy, store));
    for (int i = 0; i < count; i++) {
        expect_equal(y[i], want[i], m, widths[i], "one of several");
        free(y[i]);
        free(want[i]);
        free_linear(&w[i]);
    }
    free(x);
}

static void test_run_many(void **state)
{
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        plumb_compute *c = open_isa(state, threads);
        for (int count = 1; count <= 4; count++) {
            check_many(c, count, 1, PLUMB_STORE);
            check_many(c, count, 17, PLUMB_ADD);
            check_many(c, count, 100, PLUMB_STORE);
        }
        plumb_compute_close(c);
    }
}

static void test_no_rows(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    const float weight = 1, x = 1;
    float y = GUARD;
    plumb_linear w = {.weight = &weight, .dtype = PLUMB_F32, .n = 1, .k = 1, .name = "weight"};
    expect_ok(plumb_linear_run(c, &w, &x, 1, 0, &y, 1, PLUMB_STORE));
    expect_ok(plumb_linear_run(c, &w, NULL, 1, 0, NULL, 1, PLUMB_ADD));
    expect_ok(plumb_linear_transposed(c, &w, &x, 1, 0, &y, 1, PLUMB_STORE));
    assert_true(y == GUARD);
    plumb_compute_close(c);
}

static void test_unequal_linears(void **state)
{
    plumb_compute *c = open_isa(state, 1);
    const float weight[2] = {1, 1};
    float y0 = 0, y1 = 0, *const y[] = {&y0, &y1};
    plumb_linear a = {.weight = weight, .dtype = PLUMB_F32, .n = 1, .k = 1, .name = "a"}, b = a;
    b.name = "b";
    b.k = 2;
    const plumb_linear *const w[] = {&a, &b};
    const int ldy[] = {1, 1};
    for (int differ = 0; differ < 2; differ++) {
        plumb_status s = plumb_linear_run_many(c, w, 2, weight, 2, 1, y, ldy, PLUMB_STORE);
        assert_int_equal(plumb_status_code(s), PLUMB_E_INTERNAL);
        assert_string_equal(plumb_status_message(s),
                            differ ? "only one of a and b is exact" : "a and b have inputs of 1 and 2");
        plumb_status_free(s);
        b.k = 1;
        b.exact = true;
    }
    a.exact = true;
    expect_ok(plumb_linear_run_many(c, w, 2, weight, 2, 1, y, ldy, PLUMB_STORE));
    plumb_compute_close(c);
}

/* --- damaged weights ---------------------------------------------------------------------------------------------- */

static const char DAMAGED[] = "model.layers.0.mlp.up_proj.weight holds a NaN or an infinity";

static void expect_damaged(const plumb_compute *c, const char *message, const char *what, size_t position)
{
    plumb_status s = plumb_compute_check(c);
    if (!s) fail_msg("%s at element %zu was not found", what, position);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    assert_string_equal(plumb_status_message(s), message);
    assert_string_equal(plumb_status_cure(s), "the checkpoint is damaged or diverged; use another one");
    plumb_status_free(s);
}

/* NaN and infinity of both signs, quiet and signalling, as bits of each type; then the largest finite numbers. */
static const uint32_t bad_bits[DTYPES][5] = {{0x7f800000, 0xff800000, 0x7fc00000, 0xff800001, 0x7fffffff},
                                             {0x7c00, 0xfc00, 0x7e00, 0xfc01, 0x7fff},
                                             {0x7f80, 0xff80, 0x7fc0, 0xff81, 0x7fff}};
static const uint32_t largest_bits[DTYPES][2] = {{0x7f7fffff, 0xff7fffff}, {0x7bff, 0xfbff}, {0x7f7f, 0xff7f}};

static void set_bits(void *weight, plumb_dtype dtype, size_t i, uint32_t bits)
{
    uint16_t half = (uint16_t)bits;
    if (dtype == PLUMB_F32)
        memcpy((char *)weight + 4 * i, &bits, 4);
    else
        memcpy((char *)weight + 2 * i, &half, 2);
}

/* One bad element anywhere is found, by both products; c remembers, so each try opens its own. */
static void test_bad_weights(void **state)
{
    enum { N = 37, K = 43, COUNT = N * K };
    float x[K] = {0}, y[K];
    for (int d = 0; d < DTYPES; d++)
        for (size_t i = 0; i < COUNT; i++) {
            static const char zero[COUNT * 4];
            char weight[COUNT * 4];
            memcpy(weight, zero, sizeof weight);
            set_bits(weight, (plumb_dtype)d, i, bad_bits[d][i % 5]);
            plumb_linear w = {weight, (plumb_dtype)d, NULL, N, K, "model.layers.0.mlp.up_proj.weight", false};
            plumb_compute *c = open_isa(state, 1);
            expect_ok(plumb_linear_run(c, &w, x, K, 1, y, N, PLUMB_STORE));
            expect_damaged(c, DAMAGED, plumb_dtype_name((plumb_dtype)d), i);
            plumb_compute_close(c);

            c = open_isa(state, 1);
            expect_ok(plumb_linear_transposed(c, &w, x, N, 1, y, K, PLUMB_STORE));
            expect_damaged(c, DAMAGED, plumb_dtype_name((plumb_dtype)d), i);
            set_bits(weight, (plumb_dtype)d, i, largest_bits[d][i % 2]);
            plumb_compute_close(c);

            c = open_isa(state, 1);
            expect_ok(plumb_linear_run(c, &w, x, K, 1, y, N, PLUMB_STORE));
            expect_ok(plumb_linear_transposed(c, &w, x, N, 1, y, K, PLUMB_STORE));
            expect_ok(plumb_compute_check(c));
            plumb_compute_close(c);
        }
}

/* The first tensor is named: by the order of matrices within a call, by the order of calls otherwise. */
static void test_bad_weight_order(void **state)
{
    enum { N = 300, K = 700, M = 20 };
    uint32_t random = 3;
    const char *names[] = {"q.weight", "k.weight", "v.weight"};
    plumb_linear w[3];
    const plumb_linear *pointers[3];
    float *y[3], *x = random_rows(M, K, NAN, &random);
    const int ldy[] = {N + PAD, N + PAD, N + PAD};
    for (int i = 0; i < 3; i++) {
        w[i] = random_linear(N, K, PLUMB_BF16, false, &random);
        w[i].name = names[i];
        pointers[i] = &w[i];
        y[i] = random_rows(M, N, GUARD, &random);
    }
    set_bits((void *)w[1].weight, PLUMB_BF16, (size_t)N * K - 1, 0x7f80);
    set_bits((void *)w[2].weight, PLUMB_BF16, 0, 0x7f80);
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
        plumb_compute *c = open_isa(state, threads);
        expect_ok(plumb_linear_run_many(c, pointers, 3, x, K + PAD, M, y, ldy, PLUMB_STORE));
        expect_damaged(c, "k.weight holds a NaN or an infinity", "the second matrix", 0);
        plumb_compute_close(c);

        c = open_isa(state, threads);
        expect_ok(plumb_linear_run(c, &w[2], x, K + PAD, M, y[2], ldy[2], PLUMB_STORE));
        expect_ok(plumb_linear_run(c, &w[1], x, K + PAD, M, y[1], ldy[1], PLUMB_STORE));
        expect_damaged(c, "v.weight holds a NaN or an infinity", "the first call", 0);
        plumb_compute_close(c);
    }
    for (int i = 0; i < 3; i++) {
        free(y[i]);
        free_linear(&w[i]);
    }
    free(x);
}

/* --- back ends ---------------------------------------------------------------------------------------------------- */

static void test_open(void **state)
{
    (void)state;
    plumb_compute *c = NULL;
    expect_ok(plumb_compute_open(NULL, 0, &c));
    assert_string_equal(plumb_compute_isa(c), cpu_has("avx512") ? "avx512" : cpu_has("avx2") ? "avx2" : "ref");
    assert_true(plumb_compute_threads(c) >= 1);
    plumb_compute_close(c);
    plumb_compute_close(NULL);

    plumb_status s = plumb_compute_open("avx1024", 1, &c);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    assert_non_null(strstr(plumb_status_message(s), "\"avx1024\""));
    assert_non_null(strstr(plumb_status_message(s), "available: ref"));
    plumb_status_free(s);
    s = plumb_compute_open("ref", -1, &c);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    plumb_status_free(s);
}

static void test_buffers(void **state)
{
    plumb_compute *c = open_isa(state, 1);
    const char text[] = "preference";
    char *buffer, back[sizeof text] = {0};
    const void *adopted;
    expect_ok(plumb_compute_alloc(c, &buffer, sizeof text, 1));
    assert_int_equal((uintptr_t)buffer % 64, 0);
    plumb_compute_from_host(c, buffer, text, sizeof text);
    plumb_compute_to_host(c, back, buffer, sizeof text);
    assert_string_equal(back, text);
    plumb_compute_release(c, buffer);
    plumb_compute_release(c, NULL);
    expect_ok(plumb_compute_adopt(c, text, sizeof text, &adopted));
    assert_ptr_equal(adopted, text);
    plumb_status s = plumb_compute_alloc(c, &buffer, SIZE_MAX / 2, 4);
    assert_int_equal(plumb_status_code(s), PLUMB_E_MEMORY);
    plumb_status_free(s);
    plumb_compute_close(c);
}

static const char *const isas[] = {"ref", "avx2", "avx512"};

static int use_isa(void **state) /* the tests of a group get what it runs for */
{
    static size_t next;
    *state = (void *)isas[next++];
    return 0;
}

int main(void)
{
    const struct CMUnitTest opening[] = {cmocka_unit_test(test_open)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers),         cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_small_shapes),    cmocka_unit_test(test_large_shapes),
        cmocka_unit_test(test_row_splits),      cmocka_unit_test(test_run_many),
        cmocka_unit_test(test_bad_weights),     cmocka_unit_test(test_bad_weight_order),
        cmocka_unit_test(test_unequal_linears),
    };
    int failed = cmocka_run_group_tests(opening, NULL, NULL);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
        failed += cmocka_run_group_tests_name(isas[i], tests, use_isa, NULL);
    return failed;
}
