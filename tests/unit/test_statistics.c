/* Statistics against SciPy's and NumPy's numbers (tests/data/statistics.json, made by tests/data/make/statistics.py).
 */
#include "support.h"

#include <math.h>

#include "study/statistics.h"

static json_t *all;

static int load(void **state)
{
    (void)state;
    json_error_t error;
    all = json_load_file(PLUMB_TEST_DATA "/statistics.json", 0, &error);
    return all ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(all);
    return 0;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_non_null(value);
    return json_is_null(value) ? NAN : json_number_value(value);
}

/* A list of numbers; free(). */
static double *list(const json_t *object, const char *key, size_t *n)
{
    const json_t *values = json_object_get(object, key), *value;
    size_t i;
    *n = json_array_size(values);
    double *out = calloc(*n, sizeof *out);
    json_array_foreach(values, i, value) out[i] = json_is_null(value) ? NAN : json_number_value(value);
    return out;
}

/* Within 1e-12 of what is expected (relative above 1), or both NaN. */
static void near(const char *what, const char *name, double got, double expected)
{
    if (isnan(got) && isnan(expected)) return;
    if (!(fabs(got - expected) <= 1e-12 * fmax(1, fabs(expected))))
        fail_msg("%s of %s: %.17g, expected %.17g", what, name, got, expected);
}

static void correlations(void **state)
{
    (void)state;
    const json_t *one;
    size_t at, n;
    json_array_foreach(json_object_get(all, "correlations"), at, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        double *x = list(one, "x", &n), *y = list(one, "y", &n), *expected = list(one, "ranks", &n), value;
        double *ranks = calloc(n, sizeof *ranks);
        check_ok(plumb_ranks(x, n, ranks));
        for (size_t i = 0; i < n; i++) assert_true(ranks[i] == expected[i]);
        near("Pearson", name, plumb_pearson(x, y, n), number(one, "pearson"));
        check_ok(plumb_spearman(x, y, n, &value));
        near("Spearman", name, value, number(one, "spearman"));
        check_ok(plumb_spearman(y, x, n, &value));
        near("Spearman turned", name, value, number(one, "spearman"));
        check_ok(plumb_kendall(x, y, n, &value));
        near("Kendall", name, value, number(one, "kendall"));
        check_ok(plumb_kendall(y, x, n, &value));
        near("Kendall turned", name, value, number(one, "kendall"));
        free(x);
        free(y);
        free(expected);
        free(ranks);
    }
    assert_int_equal(at, 15);
}

static void short_lists(void **state)
{
    (void)state;
    double one = 1, value = 0;
    for (size_t n = 0; n < 2; n++) {
        assert_true(isnan(plumb_pearson(&one, &one, n)));
        check_ok(plumb_spearman(&one, &one, n, &value));
        assert_true(isnan(value));
        value = 0;
        check_ok(plumb_kendall(&one, &one, n, &value));
        assert_true(isnan(value));
    }
    assert_true(isnan(plumb_mean(&one, 0)));
}

static void quantiles(void **state)
{
    (void)state;
    const json_t *one;
    size_t at, n, count;
    json_array_foreach(json_object_get(all, "quantiles"), at, one)
    {
        double *values = list(one, "values", &n), *q = list(one, "q", &count), *out = list(one, "out", &count);
        near("mean", "a list", plumb_mean(values, n), number(one, "mean"));
        plumb_sort_doubles(values, n);
        for (size_t i = 0; i < count; i++) near("quantile", "a list", plumb_quantile(values, n, q[i]), out[i]);
        free(values);
        free(q);
        free(out);
    }
    assert_int_equal(at, 6);
}

static void shares(void **state)
{
    (void)state;
    const json_t *one;
    size_t at;
    json_array_foreach(json_object_get(all, "wilson"), at, one)
    {
        plumb_interval i = plumb_wilson((int64_t)number(one, "k"), (int64_t)number(one, "n"));
        near("Wilson's lower end", "a share", i.low, number(one, "low"));
        near("Wilson's upper end", "a share", i.high, number(one, "high"));
    }
    assert_int_equal(at, 9);
    plumb_interval none = plumb_wilson(0, 0);
    assert_true(none.low == 0 && none.high == 1);
    json_array_foreach(json_object_get(all, "mcnemar"), at, one)
    {
        double p = plumb_mcnemar((int64_t)number(one, "b"), (int64_t)number(one, "c")), expected = number(one, "p");
        if (!(fabs(p - expected) <= 1e-12 * expected)) fail_msg("McNemar %zu: %.17g, expected %.17g", at, p, expected);
    }
    assert_int_equal(at, 13);
}

/* ---- bootstrap ---- */

typedef struct sample {
    double *x, *y;
    double chosen[2][128];
    const char *name;
    size_t calls;
} sample;

static plumb_status of_drawn(void *user, const size_t *drawn, size_t n, double *out)
{
    sample *s = user;
    s->calls++;
    for (size_t i = 0; i < n; i++) {
        s->chosen[0][i] = s->x[drawn[i]];
        s->chosen[1][i] = s->y[drawn[i]];
    }
    *out = plumb_mean(s->chosen[0], n);
    return strcmp(s->name, "mean") == 0 ? PLUMB_OK : plumb_spearman(s->chosen[0], s->chosen[1], n, out);
}

static void bootstraps(void **state)
{
    (void)state;
    const json_t *one;
    size_t at, n, two;
    json_array_foreach(json_object_get(all, "bootstrap"), at, one)
    {
        sample s = {.x = list(one, "x", &n), .y = list(one, "y", &n)};
        double *expected = list(one, "out", &two);
        plumb_interval i;
        s.name = json_string_value(json_object_get(one, "name"));
        check_ok(plumb_bootstrap(of_drawn, &s, n, (int)number(one, "resamples"), number(one, "level"),
                                 (uint64_t)json_integer_value(json_object_get(one, "seed")), &i));
        near("lower end", s.name, i.low, expected[0]);
        near("upper end", s.name, i.high, expected[1]);
        assert_int_equal(s.calls, (size_t)number(one, "resamples"));
        free(s.x);
        free(s.y);
        free(expected);
    }
    assert_int_equal(at, 3);
}

static plumb_status keep_drawn(void *user, const size_t *drawn, size_t n, double *out)
{
    size_t **at = user;
    memcpy(*at, drawn, n * sizeof *drawn);
    *at += n;
    *out = NAN; /* no sample has the statistic */
    return PLUMB_OK;
}

static plumb_status refuse(void *user, const size_t *drawn, size_t n, double *out)
{
    (void)user, (void)drawn, (void)n, (void)out;
    return plumb_fail(PLUMB_E_INTERRUPTED, "stopped");
}

static void draws(void **state)
{
    (void)state;
    const json_t *one;
    size_t at;
    plumb_interval i;
    json_array_foreach(json_object_get(all, "drawn"), at, one)
    {
        size_t got[128], *end = got, n = (size_t)number(one, "n"), resample = (size_t)number(one, "resample");
        check_ok(plumb_bootstrap(keep_drawn, &end, n, (int)resample + 1, 0.95, (uint64_t)number(one, "seed"), &i));
        assert_true(isnan(i.low) && isnan(i.high));
        for (size_t j = 0; j < n; j++)
            assert_int_equal(got[resample * n + j], json_integer_value(json_array_get(json_object_get(one, "out"), j)));
    }
    check_ok(plumb_bootstrap(refuse, NULL, 0, 10, 0.95, 1, &i));
    assert_true(isnan(i.low) && isnan(i.high));
    check_error(plumb_bootstrap(refuse, NULL, 3, 10, 0.95, 1, &i), PLUMB_E_INTERRUPTED, "stopped");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlations), cmocka_unit_test(short_lists), cmocka_unit_test(quantiles),
        cmocka_unit_test(shares),       cmocka_unit_test(bootstraps),  cmocka_unit_test(draws),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
