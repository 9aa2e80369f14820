/* Random numbers: the known answers of Philox 4x32-10, and the moments of what is made from them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/random.h"

/* The test vectors of the Random123 distribution (kat_vectors): counter words 0..3, key words 0..1. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, stream, counter;
        uint32_t out[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        plumb_philox(cases[i].seed, cases[i].stream, cases[i].counter, out);
        for (int j = 0; j < 4; j++) assert_true(out[j] == cases[i].out[j]);
    }
}

static void uniform_numbers(void **state)
{
    (void)state;
    enum { COUNT = 100000, BINS = 10 };
    double sum = 0, squares = 0;
    int bins[BINS] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        double u = plumb_uniform(7, 3, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
        bins[(int)(u * BINS)]++;
    }
    assert_true(fabs(sum / COUNT - 0.5) < 0.004); /* four standard errors of 0.0009 */
    assert_true(fabs(squares / COUNT - 1.0 / 3) < 0.004);
    for (int i = 0; i < BINS; i++) assert_true(abs(bins[i] - COUNT / BINS) < 400);
}

static void normal_numbers(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    double moments[5] = {0};
    for (uint64_t i = 0; i < COUNT; i++) {
        double x = plumb_normal(11, 5, i), power = 1;
        assert_true(isfinite(x));
        for (int k = 1; k < 5; k++) moments[k] += (power *= x) / COUNT;
    }
    assert_true(fabs(moments[1]) < 0.015);
    assert_true(fabs(moments[2] - 1) < 0.02);
    assert_true(fabs(moments[3]) < 0.06);
    assert_true(fabs(moments[4] - 3) < 0.15);
}

static void values_depend_on_seed_stream_and_counter_alone(void **state)
{
    (void)state;
    double a = plumb_uniform(1, 2, 3);
    (void)plumb_normal(9, 9, 9);
    assert_true(a == plumb_uniform(1, 2, 3));
    assert_true(a != plumb_uniform(2, 2, 3));
    assert_true(a != plumb_uniform(1, 3, 3));
    assert_true(a != plumb_uniform(1, 2, 4));
    assert_true(plumb_uniform(1, 2, 3 + (1ull << 32)) != a);
    assert_true(plumb_uniform(1, 2 + (1ull << 32), 3) != a);
    assert_true(plumb_uniform(1 + (1ull << 32), 2, 3) != a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(uniform_numbers),
        cmocka_unit_test(normal_numbers),
        cmocka_unit_test(values_depend_on_seed_stream_and_counter_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
