/* The theory's parts on small made-up weights: against plain formulas in fp64, with a cap, a bias and shared states;
 * the single-token theorem by hand; a step of gradient flow that must agree, and one that must
 * not. */
#include "support.h"

#include <math.h>

#include "align/single_token.h"
#include "align/theory_step.h"

enum { V = 1100, D = 13, N = 5, M = 3, ROWS = N + M, SHARED = 2 }; /* more than one tile of theory.c, a rest in each */

typedef struct made {
    float w[V * D], bias[V], h[ROWS * D];
    int32_t targets[ROWS];
    double lse[ROWS];
    plumb_linear linear;
    plumb_unembed u;
    plumb_theory_input in;
} made;

static float next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(*state >> 40) / (float)(1 << 23) - 1;
}

static made *make(plumb_compute *c, float cap, bool with_bias)
{
    made *x = calloc(1, sizeof *x);
    uint64_t state = 7;
    for (int i = 0; i < V * D; i++) x->w[i] = next(&state);
    for (int i = 0; i < V; i++) x->bias[i] = next(&state);
    for (int i = 0; i < ROWS * D; i++) x->h[i] = 2 * next(&state);
    memcpy(x->h + (size_t)N * D, x->h, SHARED * D * sizeof(float)); /* states of the common beginning */
    for (int i = 0; i < ROWS; i++) x->targets[i] = (i * 397 + 11) % V;
    x->targets[N] = x->targets[0]; /* one common token, and the state behind it */
    x->linear = (plumb_linear){
        .weight = x->w, .dtype = PLUMB_F32, .bias = with_bias ? x->bias : NULL, .n = V, .k = D, .name = "made"};
    x->u = (plumb_unembed){.w = &x->linear, .scale = 1, .cap = cap};
    x->in = (plumb_theory_input){&x->u, x->h, N, M, SHARED, x->targets, x->lse};
    check_ok(plumb_unembed_logps(c, &x->u, x->h, D, ROWS, x->targets, NULL, x->lse));
    return x;
}

/* g of one row by its definition. */
static void coefficients(const made *x, int i, double *g)
{
    for (int v = 0; v < V; v++) {
        double z = x->linear.bias ? x->bias[v] : 0, t;
        for (int j = 0; j < D; j++) z += (double)x->w[v * D + j] * x->h[i * D + j];
        t = x->u.cap > 0 ? tanh(z / x->u.cap) : 0;
        if (x->u.cap > 0) z = x->u.cap * t;
        g[v] = (1 - t * t) * ((v == x->targets[i]) - exp(z - x->lse[i]));
    }
}

static void near(const char *what, double got, double want, double allowed)
{
    if (!(fabs(got - want) <= allowed)) fail_msg("%s is %.9g, expected %.9g", what, got, want);
}

static void check_parts(const made *x, const plumb_theory_parts *parts, const plumb_theory *t)
{
    static double g[ROWS][V], dh[ROWS][D];
    double minus = 0, plus = 0, path = 0;
    memset(dh, 0, sizeof dh);
    for (int i = 0; i < ROWS; i++) {
        coefficients(x, i, g[i]);
        for (int v = 0; v < V; v++)
            for (int j = 0; j < D; j++) dh[i][j] += g[i][v] * x->w[v * D + j];
    }
    for (int k = 0; k < N; k++) {
        double own = 0;
        for (int i = 0; i < ROWS; i++) {
            double alpha = 0, states = 0;
            int place = i < N ? k * N + i : k * M + i - N;
            for (int v = 0; v < V; v++) alpha += g[k][v] * g[i][v];
            for (int j = 0; j < D; j++) states += (double)x->h[k * D + j] * x->h[i * D + j];
            near("alpha", (i < N ? parts->plus_alpha : parts->minus_alpha)[place], alpha, 1e-5);
            near("<h, h'>", (i < N ? parts->plus_states : parts->minus_states)[place], states, 1e-4);
            *(i < N ? &plus : &minus) += alpha * states;
        }
        for (int j = 0; j < D; j++) own += dh[k][j] * (dh[k][j] - (k < SHARED ? dh[N + k][j] : 0));
        near("the hidden path of a state", parts->hidden_path[k], own, 1e-4);
        path += own;
    }
    near("minus", t->minus, minus, 1e-3);
    near("plus", t->plus, plus, 1e-3);
    near("hidden_path", t->hidden_path, path, 1e-3);
    near("rate", t->rate, plus - minus + path, 2e-3);
}

static void parts_by_definition(void **unused)
{
    (void)unused;
    for (int i = 0; i < TEST_ISAS; i++)
        for (int kind = 0; kind < 4; kind++) {
            plumb_compute *c = open_isa(test_isas[i], 1);
            if (!c) break;
            made *x = make(c, kind & 1 ? 3 : 0, kind & 2);
            plumb_arena scratch = {0}, again = {0};
            plumb_theory_parts parts;
            plumb_theory t, alone;
            check_ok(plumb_theory_terms(c, &x->in, &scratch, &parts, &t));
            check_ok(plumb_theory_terms(c, &x->in, &again, NULL, &alone));
            assert_memory_equal(&t, &alone, sizeof t); /* the parts change no bit of the sums */
            check_parts(x, &parts, &t);
            plumb_arena_free(&scratch);
            plumb_arena_free(&again);
            free(x);
            plumb_compute_close(c);
        }
}

static void shares(void **unused)
{
    (void)unused;
    const float alpha[] = {1, -1, 0, 2};
    assert_true(plumb_share_positive(alpha, 4) == 0.5);
    assert_true(plumb_share_positive(alpha + 1, 2) == 0);
}

/* The step agrees with the terms of its pair, and with no others. */
static void step_tells_wrong_terms(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < 4; kind++) {
        plumb_compute *c;
        plumb_arena scratch = {0};
        plumb_theory t;
        plumb_theory_step step, two;
        check_ok(plumb_compute_open(NULL, 1, &c));
        made *x = make(c, kind & 1 ? 3 : 0, kind & 2);
        check_ok(plumb_theory_terms(c, &x->in, &scratch, NULL, &t));
        check_ok(plumb_theory_step_run(c, &x->in, &t, NULL, &scratch, &step));
        assert_true(step.agrees && step.step > 0);
        assert_true(step.largest_move > 0 && step.largest_move <= PLUMB_STEP_MOVE);
        near("the change over the step", step.actual / step.step, t.rate, 1e-3 * (fabs(t.plus) + fabs(t.hidden_path)));
        plumb_theory wrong = t;
        wrong.rate += 0.02 * (fabs(t.minus) + fabs(t.plus) + fabs(t.hidden_path));
        check_ok(plumb_theory_step_run(c, &x->in, &wrong, NULL, &scratch, &step));
        assert_false(step.agrees);
        x->in.shared = 0; /* states that do not move together give another change */
        check_ok(plumb_theory_step_run(c, &x->in, &t, NULL, &scratch, &two));
        assert_true(fabs(two.actual / two.step - step.actual / step.step) > 1e-3);
        plumb_arena_free(&scratch);
        free(x);
        plumb_compute_close(c);
    }
}

/* Enough work for threads, which change no bit. */
static void step_of_many_threads(void **unused)
{
    (void)unused;
    enum { WIDTH = 2048, WORDS = 150 };
    float *w = malloc(sizeof *w * WORDS * WIDTH), *h = malloc(sizeof *h * ROWS * WIDTH);
    uint64_t state = 3;
    int32_t targets[ROWS];
    double lse[ROWS];
    plumb_theory_step first = {0};
    for (int i = 0; i < WORDS * WIDTH; i++) w[i] = next(&state);
    for (int i = 0; i < ROWS * WIDTH; i++) h[i] = next(&state) / 16;
    for (int i = 0; i < ROWS; i++) targets[i] = i * 17;
    for (int threads = 1; threads <= 3; threads++) {
        plumb_compute *c;
        plumb_arena scratch = {0};
        plumb_theory t;
        plumb_theory_step step;
        check_ok(plumb_compute_open("ref", threads, &c));
        plumb_linear linear = {.weight = w, .dtype = PLUMB_F32, .n = WORDS, .k = WIDTH, .name = "made"};
        plumb_unembed u = {.w = &linear, .scale = 1};
        plumb_theory_input in = {&u, h, N, M, 0, targets, lse};
        check_ok(plumb_unembed_logps(c, &u, h, WIDTH, ROWS, targets, NULL, lse));
        check_ok(plumb_theory_terms(c, &in, &scratch, NULL, &t));
        check_ok(plumb_theory_step_run(c, &in, &t, NULL, &scratch, &step));
        assert_true(step.agrees);
        if (threads == 1) first = step;
        assert_true(step.actual == first.actual && step.step == first.step && step.largest_move == first.largest_move);
        plumb_arena_free(&scratch);
        plumb_compute_close(c);
    }
    free(w);
    free(h);
}

static bool always(void *user)
{
    (void)user;
    return true;
}

static void step_can_be_stopped(void **unused)
{
    (void)unused;
    plumb_compute *c;
    plumb_arena scratch = {0};
    plumb_theory t = {0};
    plumb_theory_step step;
    plumb_sink sink = {.interrupted = always};
    check_ok(plumb_compute_open(NULL, 1, &c));
    made *x = make(c, 0, false);
    check_error(plumb_theory_step_run(c, &x->in, &t, &sink, &scratch, &step), PLUMB_E_INTERRUPTED, "");
    plumb_arena_free(&scratch);
    free(x);
    plumb_compute_close(c);
}

/* W+ = (3, 4), W- = (0, 5): W+ - W- = (3, -1), 1 along W+ and 3 across it. */
static void single_token_by_hand(void **unused)
{
    (void)unused;
    static const float w[] = {1, 0, 3, 4, 0, 5, 2, 6}, h[] = {6, 8};
    plumb_linear linear = {.weight = w, .dtype = PLUMB_F32, .n = 4, .k = 2, .name = "w"};
    const double p[] = {0.4, 0.3, 0.2, 0.1};
    plumb_arena arena = {0};
    plumb_single_token s;
    plumb_token_value top[4];
    check_ok(plumb_single_token_run(&linear, h, 1, 2, &arena, &s));
    near("w_dot", s.w_dot, 20, 1e-12);
    near("w_plus_norm", s.w_plus_norm, 5, 1e-12);
    near("w_minus_norm", s.w_minus_norm, 5, 1e-12);
    near("projection", s.projection, 1, 1e-12);
    near("orthogonal", s.orthogonal, 3, 1e-12);
    near("hidden_norm", s.hidden_norm, 10, 1e-12);
    near("others", plumb_single_token_others(&s, p, 4, 1, 2), 0.4 * 3 + 0.1 * 0, 1e-12);
    plumb_largest_values(s.move, 4, 3, top); /* moves 3, 5, -5, 0 */
    assert_true(top[0].id == 1 && top[0].value == 5 && top[1].id == 0 && top[1].value == 3 && top[2].id == 3);
    plumb_arena_reset(&arena);
    check_ok(plumb_single_token_run(&linear, h, 1, 1, &arena, &s)); /* nothing between them */
    assert_true(s.projection == 0 && s.orthogonal == 0);
    plumb_arena_free(&arena);
}

static void largest_values(void **unused)
{
    (void)unused;
    const double values[] = {1, 3, 3, -2, 3, 0};
    const int32_t order[] = {1, 2, 4, 0, 5, 3};
    plumb_token_value out[7];
    for (int k = 0; k <= 6; k++) {
        memset(out, 0x55, sizeof out);
        plumb_token_value guard = out[k];
        plumb_largest_values(values, 6, k, out);
        for (int i = 0; i < k; i++) assert_int_equal(out[i].id, order[i]);
        assert_memory_equal(&out[k], &guard, sizeof guard);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_by_definition),    cmocka_unit_test(shares),
        cmocka_unit_test(step_tells_wrong_terms), cmocka_unit_test(step_can_be_stopped),
        cmocka_unit_test(step_of_many_threads),   cmocka_unit_test(single_token_by_hand),
        cmocka_unit_test(largest_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
