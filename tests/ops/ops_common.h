/* What the kernel tests share: random numbers, guarded buffers, and a run of each test for every back end. */
#ifndef PLUMB_TESTS_OPS_OPS_COMMON_H
#define PLUMB_TESTS_OPS_OPS_COMMON_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/compute.h"
#include "compute/kernels.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const float GUARD = -7777.25f;

static inline uint32_t next_random(uint32_t *state) /* xorshift32 */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static inline float random_float(uint32_t *state, float size) /* in [-size, size) */
{
    return (float)(int32_t)next_random(state) * 0x1p-31f * size;
}

static inline void *allocate(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    assert_non_null(block);
    return block;
}

static inline void expect_ok(plumb_status s)
{
    if (s) fail_msg("%s", plumb_status_message(s));
}

/* rows x ld values of `fill`, of which the first `width` of each row are random. */
static inline float *random_rows(int rows, int width, int ld, float size, float fill, uint32_t *state)
{
    size_t count = (size_t)rows * (size_t)ld;
    float *x = allocate(count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = i % (size_t)ld < (size_t)width ? random_float(state, size) : fill;
    return x;
}

static inline float *filled_rows(int rows, int ld, float fill)
{
    size_t count = (size_t)rows * (size_t)ld;
    float *x = allocate(count, sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = fill;
    return x;
}

static inline float *copy_floats(const float *x, size_t count)
{
    float *y = allocate(count, sizeof *y);
    memcpy(y, x, count * sizeof *y);
    return y;
}

/* Fails unless everything right of column `width` is still `fill`. */
static inline void expect_guards(const float *x, int rows, int width, int ld, float fill)
{
    for (int i = 0; i < rows; i++)
        for (int j = width; j < ld; j++)
            if (x[(size_t)i * (size_t)ld + (size_t)j] != fill) fail_msg("row %d: element %d was written", i, j);
}

static inline void expect_same_bits(const float *x, const float *y, int n, const char *what)
{
    if (memcmp(x, y, (size_t)n * sizeof *x) != 0) fail_msg("%s: the bits differ", what);
}

static inline bool cpu_has(const char *isa)
{
#ifdef PLUMB_X86
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (strcmp(isa, "avx2") == 0) return avx2;
    if (strcmp(isa, "avx512") == 0)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    return strcmp(isa, "ref") == 0;
}

/* The back end a test is about; skips the test, saying so, when the CPU lacks it. */
static inline plumb_compute *open_isa(void **state, int threads)
{
    const char *isa = *state;
    plumb_compute *c = NULL;
    if (!cpu_has(isa)) {
        print_message("SKIPPED: this CPU has no %s\n", isa);
        skip();
    }
    expect_ok(plumb_compute_open(isa, threads, &c));
    return c;
}

static inline int use_isa(void **state)
{
    static const char *const isas[] = {"ref", "avx2", "avx512"};
    static size_t next;
    *state = (void *)(uintptr_t)isas[next++];
    return 0;
}

/* Runs the tests once for each back end, whose name a test finds in *state. */
#define RUN_FOR_EACH_ISA(tests)                                                                                        \
    (cmocka_run_group_tests_name("ref", tests, use_isa, NULL) +                                                        \
     cmocka_run_group_tests_name("avx2", tests, use_isa, NULL) +                                                       \
     cmocka_run_group_tests_name("avx512", tests, use_isa, NULL))

#endif
