/* Scales, ticks, bins, bands and Lorenz curves of reports. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "report/plot.h"
#include "report/scale.h"

static void close_to(double a, double b)
{
    if (!(fabs(a - b) <= 1e-12 * fmax(1, fabs(b)))) fail_msg("%.17g, expected %.17g", a, b);
}

static void test_scale_at(void **state)
{
    (void)state;
    plumb_scale s = {-10, 30, 100, 500};
    close_to(plumb_scale_at(&s, -10), 100);
    close_to(plumb_scale_at(&s, 30), 500);
    close_to(plumb_scale_at(&s, 0), 200);
    plumb_scale down = {0, 1, 280, 30}, point = {2, 2, 0, 10};
    close_to(plumb_scale_at(&down, 0.25), 217.5);
    close_to(plumb_scale_at(&point, 2), 5); /* an empty range lies in the middle */
}

static void check_ticks(double low, double high, int most, double first, double step, int count, int decimals)
{
    plumb_ticks t = plumb_nice_ticks(low, high, most);
    assert_int_equal(t.count, count);
    if (!count) return;
    close_to(t.at[0], first);
    close_to(t.step, step);
    assert_int_equal(t.decimals, decimals);
    for (int i = 0; i < count; i++) assert_true(t.at[i] >= low - 1e-9 * step && t.at[i] <= high + 1e-9 * step);
}

static void test_ticks(void **state)
{
    (void)state;
    check_ticks(0, 100, 6, 0, 20, 6, 0);
    check_ticks(0, 1, 6, 0, 0.2, 6, 1);
    check_ticks(-0.013, 0.021, 6, -0.01, 0.01, 4, 2);
    check_ticks(-87, -12, 4, -80, 20, 4, 0);
    check_ticks(0, 7, 15, 0, 0.5, 15, 1);
    check_ticks(1e-9, 5e-9, 5, 1e-9, 1e-9, 5, 9);
    check_ticks(3, 3, 5, 0, 0, 0, 0);
    check_ticks(NAN, 3, 5, 0, 0, 0, 0);
    check_ticks(0, INFINITY, 5, 0, 0, 0, 0);
    for (int most = -3; most < 40; most++) {
        plumb_ticks t = plumb_nice_ticks(-1.7, 123.4, most);
        assert_in_range(t.count, 1, PLUMB_MOST_TICKS);
        assert_true(t.count <= (most < 2 ? 2 : most));
    }
}

static void test_nice_range(void **state)
{
    (void)state;
    double low = -61, high = 13;
    plumb_nice_range(&low, &high, 6);
    close_to(low, -80);
    close_to(high, 20);
    low = high = 0;
    plumb_nice_range(&low, &high, 5);
    assert_true(low <= -1 && high >= 1);
    low = INFINITY;
    high = -INFINITY;
    plumb_nice_range(&low, &high, 5);
    close_to(low, 0);
    close_to(high, 1);
    low = high = -40;
    plumb_nice_range(&low, &high, 5);
    assert_true(low < -40 && high > -40);
}

static void check_label(double step, int decimals, double value, const char *expected)
{
    char label[32];
    plumb_ticks t = {.step = step, .decimals = decimals};
    plumb_tick_label(&t, value, label, sizeof label);
    assert_string_equal(label, expected);
}

static void check_people(double value, const char *expected)
{
    char text[32];
    plumb_people_number(value, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_labels(void **state)
{
    (void)state;
    check_label(20, 0, -40,
                "\xE2\x88\x92"
                "40");
    check_label(0.01, 2, 0.03, "0.03");
    check_label(5000, 0, 15000, "15,000");
    check_label(5000, 0, 5000, "5000");
    check_label(1e6, 0, -1234567,
                "\xE2\x88\x92"
                "1,234,567");
    check_label(1e-9, 9, 2e-9, "2e-09");
    check_people(0, "0");
    check_people(-0.8137, "\xE2\x88\x92"
                          "0.814");
    check_people(12.345, "12.3");
    check_people(3.14159, "3.14");
    check_people(123456.7, "123,457");
    check_people(0.00321, "0.0032");
    check_people(2.5e-7, "2.50e-07");
    check_people(NAN, "\xE2\x80\x93");
    check_people(INFINITY, "\xE2\x80\x93");
    check_people(10000, "10,000");
}

static void test_bins(void **state)
{
    (void)state;
    const double values[] = {0, 0.1, 0.1, 0.5, 0.99, 1};
    plumb_bins b;
    plumb_bin_values(values, 6, 10, &b);
    assert_int_equal(b.count, 10);
    close_to(b.width, 0.1);
    const int64_t expected[] = {1, 2, 0, 0, 0, 1, 0, 0, 0, 2}; /* the last bin holds its upper end */
    for (int i = 0; i < 10; i++) assert_int_equal(b.n[i], expected[i]);
    assert_int_equal(b.below + b.above, 0);
    plumb_bin_values(values, 0, 10, &b);
    assert_int_equal(b.count, 0);
    const double same[] = {-3, -3, -3};
    plumb_bin_values(same, 3, 10, &b);
    int64_t sum = 0;
    for (int i = 0; i < b.count; i++) sum += b.n[i];
    assert_int_equal(sum, 3);
}

/* Every value is counted once whatever the range; far tails go to the outer bins. */
static void test_bins_tails(void **state)
{
    (void)state;
    enum { N = 1000 };
    double values[N];
    for (int i = 0; i < N; i++) values[i] = i * 0.001;
    values[N - 1] = 1e6;
    plumb_bins b;
    plumb_bin_values(values, N, 30, &b);
    int64_t sum = 0;
    for (int i = 0; i < b.count; i++) sum += b.n[i];
    assert_int_equal(sum, N);
    assert_true(b.low + b.count * b.width < 2);
    assert_true(b.above >= 1);
    assert_true(b.count <= PLUMB_MOST_BINS);
}

static void test_bins_extremes(void **state)
{
    (void)state;
    const double values[] = {-1.7e308, -1, 0, 1, 1.7e308}, tiny[] = {1e-310, 2e-310}, huge[] = {1.7e308, 1.7e308};
    const double near[] = {1e15, 1e15 + 0.125, 1e15 + 0.25}, alike[] = {4e17, 4e17 + 64, 4e17 + 128};
    const double *const lists[] = {values, tiny, huge, near, alike};
    const size_t counts[] = {5, 2, 2, 3, 3};
    for (int k = 0; k < 5; k++) {
        plumb_bins b;
        plumb_bin_values(lists[k], counts[k], 30, &b);
        int64_t sum = 0;
        for (int i = 0; i < b.count; i++) sum += b.n[i];
        assert_int_equal(sum, counts[k]);
        assert_in_range(b.count, 1, PLUMB_MOST_BINS);
        assert_true(isfinite(b.low) && b.width > 0 && isfinite(b.width));
    }
}

static void test_lorenz(void **state)
{
    (void)state;
    const double falls[] = {6, 3, 1, 0, 0}, none[] = {0, 0};
    double share[6];
    plumb_cumulative_shares(falls, 5, share);
    const double expected[] = {0, 0.6, 0.9, 1, 1, 1};
    for (int i = 0; i < 6; i++) close_to(share[i], expected[i]);
    plumb_cumulative_shares(none, 2, share);
    for (int i = 0; i < 3; i++) close_to(share[i], 0);
    plumb_cumulative_shares(NULL, 0, share);
    close_to(share[0], 0);
    const double even[] = {2, 2, 2, 2}, one[] = {0, 0, 0, 5}, mixed[] = {1, 2, 3};
    close_to(plumb_gini(even, 4), 0);
    close_to(plumb_gini(one, 4), 0.75);
    close_to(plumb_gini(mixed, 3), 2.0 / 9);
    close_to(plumb_gini(none, 2), 0);
    close_to(plumb_gini(NULL, 0), 0);
}

static void test_band(void **state)
{
    (void)state;
    const double values[] = {4, NAN, 1, 3, 2, NAN, 5}, q[] = {0, 0.25, 0.5, 0.95};
    double scratch[7], out[4];
    assert_int_equal(plumb_band(values, 7, q, 4, scratch, out), 5);
    close_to(out[0], 1);
    close_to(out[1], 2);
    close_to(out[2], 3);
    close_to(out[3], 4.8); /* numpy.quantile([1,2,3,4,5], .95) */
    assert_int_equal(plumb_band(values + 1, 1, q, 4, scratch, out), 0);
    for (int i = 0; i < 4; i++) assert_true(isnan(out[i]));
}

static void test_spread(void **state)
{
    (void)state;
    double apart[] = {10, 50, 90}, close[] = {50, 48, 52}, low[] = {99, 98};
    plumb_spread_labels(apart, 3, 15, 0, 100);
    close_to(apart[0], 10);
    close_to(apart[2], 90);
    plumb_spread_labels(close, 3, 15, 0, 100);
    close_to(close[1], 48); /* the order stays */
    close_to(close[0], 63);
    close_to(close[2], 78);
    plumb_spread_labels(low, 2, 15, 0, 100);
    close_to(low[0], 100);
    close_to(low[1], 85);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scale_at),      cmocka_unit_test(test_ticks),  cmocka_unit_test(test_nice_range),
        cmocka_unit_test(test_labels),        cmocka_unit_test(test_bins),   cmocka_unit_test(test_bins_tails),
        cmocka_unit_test(test_bins_extremes), cmocka_unit_test(test_lorenz), cmocka_unit_test(test_band),
        cmocka_unit_test(test_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
