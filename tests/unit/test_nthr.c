/* NTHR against its definition, summed token by token in fp64. */
#include <math.h>

#include "align/nthr.h"
#include "base/random.h"
#include "support.h"

enum { D = 6, V = 11, COMPLETIONS = 5, TOKENS = 13 };

static const int tokens[COMPLETIONS] = {3, 2, 4, 1, 3};

typedef struct numbers {
    float w[V * D], h[TOKENS * D];
    int32_t targets[TOKENS];
    double lse[TOKENS], g[TOKENS][V];
} numbers;

/* Logits z = scale <w_v, h>, g = e_y - softmax(z). */
static void make(numbers *x, float scale)
{
    for (int i = 0; i < V * D; i++) x->w[i] = (float)plumb_normal(1, 0, (uint64_t)i);
    for (int i = 0; i < TOKENS * D; i++) x->h[i] = (float)plumb_normal(2, 0, (uint64_t)i);
    for (int t = 0; t < TOKENS; t++) {
        double z[V], sum = 0;
        x->targets[t] = (int32_t)(t * 7 % V);
        for (int v = 0; v < V; v++) {
            z[v] = 0;
            for (int j = 0; j < D; j++) z[v] += (double)scale * x->w[v * D + j] * x->h[t * D + j];
            sum += exp(z[v]);
        }
        x->lse[t] = log(sum);
        for (int v = 0; v < V; v++) x->g[t][v] = (v == x->targets[t]) - exp(z[v] - x->lse[t]);
    }
}

static double product(const numbers *x, int a, int b)
{
    double gram = 0, states = 0;
    for (int v = 0; v < V; v++) gram += x->g[a][v] * x->g[b][v];
    for (int j = 0; j < D; j++) states += (double)x->h[a * D + j] * x->h[b * D + j];
    return gram * states;
}

static int owner(int token)
{
    int i = 0;
    for (int end = tokens[0]; token >= end; end += tokens[++i]) {
    }
    return i;
}

/* The sum over the tokens of positive completions. */
static double pull(const numbers *x, const double *advantages, int token)
{
    double sum = 0;
    for (int k = 0; k < TOKENS; k++)
        if (advantages[owner(k)] > 0) sum += product(x, k, token);
    return sum;
}

/* All tokens of completion i with all of completion j. */
static double between(const numbers *x, int i, int j)
{
    double sum = 0;
    for (int a = 0; a < TOKENS; a++)
        for (int b = 0; b < TOKENS; b++)
            if (owner(a) == i && owner(b) == j) sum += product(x, a, b);
    return sum;
}

/* gwhes of a positive completion, the sum of s of a negative one. */
static double influence_of(const numbers *x, const double *advantages, int i)
{
    double sum = 0;
    for (int j = 0; j < COMPLETIONS; j++) {
        if (advantages[i] > 0)
            sum -= advantages[j] * between(x, i, j);
        else if (advantages[j] > 0)
            sum += between(x, j, i);
    }
    return sum;
}

static void close_to(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-4 * fabs(want) + 1e-4);
}

static double threshold(const numbers *x, const double *advantages)
{
    double least = INFINITY;
    for (int i = 0, first = 0; i < COMPLETIONS; first += tokens[i++]) {
        double sum = 0;
        if (!(advantages[i] > 0)) continue;
        for (int k = first; k < first + tokens[i]; k++) sum += pull(x, advantages, k) / tokens[i];
        least = fmin(least, sum);
    }
    return least;
}

static void against_definition(void **state)
{
    (void)state;
    static const double advantages[COMPLETIONS] = {0.5, -1, 0, 2, -0.25};
    for (int k = 0; k < TEST_ISAS; k++) {
        plumb_compute *c = open_isa(test_isas[k], 2);
        if (!c) continue;
        for (int e = 0; e < 3; e++) {
            numbers x;
            double scores[TOKENS], weights[TOKENS], influence[COMPLETIONS];
            plumb_nthr_summary out;
            plumb_arena scratch = {0};
            plumb_nthr_options o = {true, e ? 0.1 : 1, e == 1 ? 0.5 : 0, e == 2};
            double eta = e == 2 ? 2 * fabs(0.5 - 2. / COMPLETIONS) : o.eta;
            make(&x, e ? 0.5f : 1);
            plumb_linear w = {.weight = x.w, .dtype = PLUMB_F32, .n = V, .k = D, .name = "w"};
            plumb_unembed u = {.w = &w, .scale = e ? 0.5f : 1};
            plumb_nthr_group group = {&u, COMPLETIONS, tokens, advantages, x.h, x.targets, x.lse};
            check_ok(plumb_nthr(c, &group, &o, &scratch, scores, weights, influence, &out));
            double tau = o.beta * threshold(&x, advantages), mean = 0;
            size_t selected = 0;
            for (int t = 0; t < TOKENS; t++) {
                if (!(advantages[owner(t)] < 0)) {
                    assert_true(isnan(scores[t]) && weights[t] == 1);
                    continue;
                }
                double want = pull(&x, advantages, t);
                close_to(scores[t], want);
                assert_true(weights[t] == (scores[t] > out.threshold ? eta : 1));
                selected += scores[t] > out.threshold;
                mean += want / 5;
            }
            for (int i = 0; i < COMPLETIONS; i++) {
                if (advantages[i] == 0)
                    assert_true(isnan(influence[i]));
                else
                    close_to(influence[i], influence_of(&x, advantages, i));
            }
            close_to(out.threshold, tau);
            close_to(out.mean, mean);
            close_to(out.gwhes, (influence_of(&x, advantages, 0) + influence_of(&x, advantages, 3)) / 2);
            assert_int_equal(out.negative, 5);
            assert_int_equal(out.selected, selected);
            plumb_arena_free(&scratch);
        }
        plumb_compute_close(c);
    }
}

/* Without a positive or a negative completion there is nothing to weigh. */
static void one_kind(void **state)
{
    (void)state;
    static const double kinds[2][COMPLETIONS] = {{1, 2, 0, 1, 1}, {-1, 0, 0, -2, 0}};
    plumb_compute *c;
    plumb_arena scratch = {0};
    numbers x;
    make(&x, 1);
    check_ok(plumb_compute_open("ref", 1, &c));
    plumb_linear w = {.weight = x.w, .dtype = PLUMB_F32, .n = V, .k = D, .name = "w"};
    plumb_unembed u = {.w = &w, .scale = 1};
    for (int k = 0; k < 2; k++) {
        double scores[TOKENS], weights[TOKENS], influence[COMPLETIONS];
        plumb_nthr_summary out;
        plumb_nthr_group group = {&u, COMPLETIONS, tokens, kinds[k], x.h, x.targets, x.lse};
        check_ok(plumb_nthr(c, &group, &(plumb_nthr_options){.on = true, .beta = 1}, &scratch, scores, weights,
                            influence, &out));
        assert_true(isnan(out.threshold) && isnan(out.gwhes) && isnan(influence[0]));
        assert_int_equal(out.selected, 0);
        for (int t = 0; t < TOKENS; t++) assert_true(weights[t] == 1);
    }
    plumb_arena_free(&scratch);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_definition), cmocka_unit_test(one_kind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
