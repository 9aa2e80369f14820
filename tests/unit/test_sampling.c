/* Choosing the next token: greedy, temperature, top_k, top_p; frequencies over 10,000 draws. */
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "model/sampling.h"

enum { V = 12, DRAWS = 10000 };

static const float logits[V] = {0.5f, -1.25f, 2.0f, 0.5f, 1.5f, -3.0f, 2.0f, 0.0f, 1.0f, -0.5f, 1.25f, 0.75f};

/* The definition, step by step, with a full sort: transformers' warpers. */
static void probabilities(const plumb_sampling *s, const float *z, int n, double *p)
{
    int order[64];
    double sum = 0, reached = 0;
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = 1; i < n; i++) /* stable: of equal logits the lower id comes first */
        for (int j = i; j > 0 && z[order[j]] > z[order[j - 1]]; j--) {
            int t = order[j];
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    int kept = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    for (int i = 0; i < n; i++) p[i] = 0;
    for (int i = 0; i < kept; i++) sum += p[order[i]] = exp(z[order[i]] / s->temperature);
    for (int i = 0; i < kept; i++) {
        double mine = p[order[i]] / sum;
        p[order[i]] = i > 0 && reached >= s->top_p ? 0 : mine;
        reached += mine;
    }
    sum = 0;
    for (int i = 0; i < n; i++) sum += p[i];
    for (int i = 0; i < n; i++) p[i] /= sum;
}

/* Pearson's statistic of 10,000 draws; what may not be drawn must not be. At most the 99.9 % quantile of the
 * distribution (df 1 .. 11); the seed is fixed, so that the test gives the same each time. */
static void check_frequencies(plumb_sampling s)
{
    static const double quantile[] = {0, 10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88, 29.59, 31.26};
    double p[V], chi = 0;
    int seen[V] = {0}, df = -1;
    plumb_chooser c = {0};
    check_ok(plumb_chooser_reserve(&c, V));
    probabilities(&s, logits, V, p);
    for (uint64_t i = 0; i < DRAWS; i++) {
        double gap;
        int32_t id = plumb_choose(&s, logits, V, plumb_uniform(42, 7, i << 32), &c, &gap);
        assert_in_range(id, 0, V - 1);
        assert_true(isinf(gap));
        seen[id]++;
    }
    for (int i = 0; i < V; i++) {
        if (p[i] == 0) {
            assert_int_equal(seen[i], 0);
            continue;
        }
        df++;
        chi += (seen[i] - DRAWS * p[i]) * (seen[i] - DRAWS * p[i]) / (DRAWS * p[i]);
    }
    if (chi > quantile[df]) fail_msg("chi-square %g with %d degrees of freedom", chi, df);
    plumb_chooser_free(&c);
}

static void frequencies_are_the_probabilities(void **state)
{
    (void)state;
    check_frequencies((plumb_sampling){.temperature = 1, .top_p = 1});
    check_frequencies((plumb_sampling){.temperature = 0.5, .top_p = 1});
    check_frequencies((plumb_sampling){.temperature = 3, .top_p = 1});
    check_frequencies((plumb_sampling){.temperature = 1, .top_p = 1, .top_k = 5});
    check_frequencies((plumb_sampling){.temperature = 1, .top_p = 0.8});
    check_frequencies((plumb_sampling){.temperature = 2, .top_p = 0.6, .top_k = 7});
}

/* Every seventh of the uniform numbers goes to the entry that the sorted definition gives, for many rows of logits. */
static void selection_is_that_of_a_full_sort(void **state)
{
    (void)state;
    enum { N = 61, ROWS = 300 };
    plumb_chooser c = {0};
    check_ok(plumb_chooser_reserve(&c, N));
    for (int row = 0; row < ROWS; row++) {
        float z[N];
        double p[N];
        for (int i = 0; i < N; i++) /* in steps, so that many are equal */
            z[i] = (float)floor(8 * plumb_normal(1, (uint64_t)row, (uint64_t)i)) / 4;
        plumb_sampling s = {.temperature = 0.25 + row % 5,
                            .top_p = row % 3 ? 0.05 + 0.9 * (row % 17) / 17 : 1,
                            .top_k = row % 4 ? row % 50 : 0};
        probabilities(&s, z, N, p);
        for (int u = 0; u < 50; u++) {
            double uniform = (u + 0.37) / 50, sum = 0;
            int want = 0;
            for (int i = 0; i < N && sum <= uniform; i++)
                if (p[i] > 0) sum += p[want = i];
            assert_int_equal(plumb_choose(&s, z, N, uniform, &c, NULL), want);
        }
    }
    plumb_chooser_free(&c);
}

static void greedy_takes_the_first_of_the_largest(void **state)
{
    (void)state;
    double gap;
    const plumb_sampling s = {.temperature = 0, .top_p = 1};
    assert_int_equal(plumb_choose(&s, logits, V, 0.999, NULL, &gap), 2);
    assert_true(gap == 0);
    assert_int_equal(plumb_choose(&s, (float[]){1, 3.5f, 2}, 3, 0, NULL, &gap), 1);
    assert_true(gap == 1.5);
    assert_int_equal(plumb_choose(&s, (float[]){4}, 1, 0, NULL, &gap), 0);
    assert_true(isinf(gap));
}

static void extremes(void **state)
{
    (void)state;
    plumb_chooser c = {0};
    check_ok(plumb_chooser_reserve(&c, V));
    double last = 1 - 0x1p-53;
    plumb_sampling cold = {.temperature = 1e-300, .top_p = 1}, one = {.temperature = 1, .top_p = 1e-9},
                   first = {.temperature = 5, .top_p = 1, .top_k = 1},
                   all = {.temperature = 1, .top_p = 1, .top_k = 99};
    for (double u = 0; u < 1; u += 0.125) {
        int32_t id = plumb_choose(&cold, logits, V, u, &c, NULL); /* two are equal */
        assert_true(id == (u < 0.5 ? 2 : 6));
        assert_int_equal(plumb_choose(&one, logits, V, u, &c, NULL), 2);
        assert_int_equal(plumb_choose(&first, logits, V, u, &c, NULL), 2);
    }
    assert_int_equal(plumb_choose(&all, logits, V, 0, &c, NULL), 0);
    assert_int_equal(plumb_choose(&all, logits, V, last, &c, NULL), V - 1);
    float wide[3] = {-3e38f, 3e38f, -3e38f};
    assert_int_equal(plumb_choose(&all, wide, 3, last, &c, NULL), 1);
    plumb_chooser_free(&c);
}

static void bounds_are_checked(void **state)
{
    (void)state;
    plumb_sampling good = {.temperature = 1, .top_p = 1, .max_new_tokens = 1}, s;
    check_ok(plumb_sampling_check(&good));
    s = good, s.temperature = -0.1;
    check_error(plumb_sampling_check(&s), PLUMB_E_INPUT, "temperature is -0.1");
    s = good, s.temperature = NAN;
    check_error(plumb_sampling_check(&s), PLUMB_E_INPUT, "temperature is");
    s = good, s.top_p = 0;
    check_error(plumb_sampling_check(&s), PLUMB_E_INPUT, "top_p is 0");
    s = good, s.top_p = 1.5;
    check_error(plumb_sampling_check(&s), PLUMB_E_INPUT, "top_p is 1.5");
    s = good, s.top_k = -1;
    check_error(plumb_sampling_check(&s), PLUMB_E_INPUT, "top_k is -1");
    s = good, s.max_new_tokens = 0;
    check_error(plumb_sampling_check(&s), PLUMB_E_INPUT, "max_new_tokens is 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_the_probabilities),
        cmocka_unit_test(selection_is_that_of_a_full_sort),
        cmocka_unit_test(greedy_takes_the_first_of_the_largest),
        cmocka_unit_test(extremes),
        cmocka_unit_test(bounds_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
