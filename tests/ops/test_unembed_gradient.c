/* The way back through log-softmax and unembedding, of every back end: against fp64 and for bit identity. */
#include "ops/gradient_common.h"

enum { PAD = 3 };

static const struct unembed_case {
    int vocabulary, d, rows;
    plumb_dtype dtype;
    float scale, cap, size; /* size of the hidden values: logits reach about size * sqrt(d) / 3 */
} cases[] = {
    {1, 4, 3, PLUMB_F32, 1, 0, 1},       {7, 5, 2, PLUMB_F32, 1, 0, 3},     {33, 16, 5, PLUMB_BF16, 1, 30, 5},
    {61, 9, 4, PLUMB_F32, 0.25f, 2, 20}, {2048, 24, 4, PLUMB_F32, 1, 0, 3}, {2049, 24, 36, PLUMB_BF16, 0.5f, 0, 5},
    {4500, 33, 70, PLUMB_F32, 1, 30, 3}, {40, 3, 4100, PLUMB_F32, 1, 0, 2},
};

typedef struct job {
    const struct unembed_case *t;
    plumb_linear w;
    float *h, *dh, *dw; /* dh, dw: to start from */
    int32_t *targets;   /* the first token of each row */
    plumb_pull *pulls;
    double *lse;
    int ldh;
} job;

static job make_job(plumb_compute *c, const struct unembed_case *t)
{
    uint32_t seed = 81;
    job j = {.t = t, .ldh = t->d + PAD};
    size_t count = (size_t)t->vocabulary * (size_t)t->d, size = plumb_dtype_size(t->dtype), rows = (size_t)t->rows;
    char *weight = allocate(count, size);
    for (size_t i = 0; i < count; i++) {
        float value = random_float(&seed, 1);
        uint16_t bits = plumb_to_bf16(value);
        memcpy(weight + i * size, t->dtype == PLUMB_F32 ? (void *)&value : (void *)&bits, size);
    }
    j.w = (plumb_linear){weight, t->dtype, NULL, t->vocabulary, t->d, "lm_head.weight", false};
    j.h = random_rows(t->rows, t->d, j.ldh, t->size, NAN, &seed);
    j.dh = random_rows(t->rows, t->d, j.ldh, 0.1f, GUARD, &seed);
    j.dw = random_rows(t->vocabulary, t->d, t->d, 0.1f, 0, &seed);
    j.targets = allocate(rows, sizeof *j.targets);
    j.lse = allocate(rows, sizeof *j.lse);
    j.pulls = allocate(rows, sizeof *j.pulls);
    for (int i = 0; i < t->rows; i++) {
        j.targets[i] = i == 0 ? t->vocabulary - 1 : (int32_t)(next_random(&seed) % (uint32_t)t->vocabulary);
        plumb_pull *p = &j.pulls[i];
        *p = (plumb_pull){1, {j.targets[i]}, {i % 4 == 3 ? 0 : random_float(&seed, 1)}};
        if (i % 3 != 1 || t->vocabulary == 1)
            continue; /* two sides begin in this state, sometimes with equal weights */
        p->count = 2;
        p->token[1] = (p->token[0] + 1 + (int32_t)(next_random(&seed) % (uint32_t)(t->vocabulary - 1))) % t->vocabulary;
        p->g[1] = i % 4 == 3 ? 0 : i % 2 ? -p->g[0] : random_float(&seed, 1);
    }
    const plumb_unembed u = {&j.w, t->scale, t->cap};
    expect_ok(plumb_unembed_logps(c, &u, j.h, j.ldh, t->rows, j.targets, NULL, j.lse));
    return j;
}

static void free_job(job *j)
{
    free((void *)(uintptr_t)j->w.weight);
    free(j->h);
    free(j->dh);
    free(j->dw);
    free(j->targets);
    free(j->lse);
    free(j->pulls);
}

static void run(plumb_compute *c, const job *j, int first, int last, float *dh, float *dw)
{
    const plumb_unembed u = {&j->w, j->t->scale, j->t->cap};
    size_t at = (size_t)first * (size_t)j->ldh;
    expect_ok(plumb_unembed_gradient(c, &u, j->h + at, j->ldh, last - first, j->pulls + first, j->lse + first, dh + at,
                                     j->ldh, dw));
}

static double weight_at(const job *j, int v, int k)
{
    return plumb_load(j->w.weight, j->t->dtype, (size_t)v * (size_t)j->t->d + (size_t)k);
}

static double exact_logit(const job *j, const double *h, int v)
{
    double z = 0, cap = j->t->cap;
    for (int k = 0; k < j->t->d; k++) z += h[k] * weight_at(j, v, k) * j->t->scale;
    return cap != 0 ? cap * tanh(z / cap) : z;
}

/* The log-probability of row 0's target as a function of its hidden state. */
static double exact_logp(const void *context, const double *h)
{
    const job *j = context;
    double sum = 0;
    for (int v = 0; v < j->t->vocabulary; v++) sum += exp(exact_logit(j, h, v));
    return exact_logit(j, h, j->targets[0]) - log(sum);
}

/* Adds g times the derivatives of the log-probability of a token after one row: to dh [d], and dw [vocabulary][d]
 * unless NULL. */
static void exact_row(const job *j, int row, int32_t token, double g, double *dh, double *dw)
{
    int n = j->t->vocabulary, d = j->t->d;
    double *h = widened(j->h + (size_t)row * (size_t)j->ldh, (size_t)d), *z = allocate((size_t)n, sizeof *z), sum = 0;
    for (int v = 0; v < n; v++) {
        z[v] = exact_logit(j, h, v);
        sum += exp(z[v]);
    }
    for (int v = 0; v < n; v++) {
        double slope = g * ((v == token) - exp(z[v]) / sum) * j->t->scale, cap = j->t->cap;
        if (cap != 0) slope *= 1 - z[v] / cap * (z[v] / cap);
        for (int k = 0; k < d; k++) {
            dh[k] += slope * weight_at(j, v, k);
            if (dw) dw[v * d + k] += slope * h[k];
        }
    }
    free(h);
    free(z);
}

static void expect_exact(const job *j, const float *dh, const float *dw, double *worst)
{
    const struct unembed_case *t = j->t;
    double *rows = allocate((size_t)t->rows * (size_t)t->d, sizeof *rows);
    double *weights = widened(j->dw, (size_t)t->vocabulary * (size_t)t->d);
    for (int i = 0; i < t->rows; i++) {
        for (int k = 0; k < t->d; k++) rows[i * t->d + k] = j->dh[i * j->ldh + k];
        for (int k = 0; k < j->pulls[i].count; k++)
            exact_row(j, i, j->pulls[i].token[k], j->pulls[i].g[k], rows + i * t->d, weights);
    }
    expect_close(dh, t->rows, t->d, j->ldh, rows, 0, 1e-5, "unembed: dh", worst);
    expect_close(dw, t->vocabulary, t->d, t->d, weights, 0, 1e-5, "unembed: dw", worst);
    free(rows);
    free(weights);
}

static void expect_formula(const job *j)
{
    double *h = widened(j->h, (size_t)j->t->d), *slopes = allocate((size_t)j->t->d, sizeof *slopes);
    exact_row(j, 0, j->targets[0], 1, slopes, NULL);
    expect_slopes(exact_logp, j, h, slopes, j->t->d, "unembed");
    free(h);
    free(slopes);
}

static void test_against_fp64(void **state)
{
    double worst = 0;
    plumb_compute *c = open_isa(state, 2);
    for (int i = 0; i < COUNT(cases); i++) {
        job j = make_job(c, &cases[i]);
        float *dh = copy_floats(j.dh, (size_t)cases[i].rows * (size_t)j.ldh);
        float *dw = copy_floats(j.dw, (size_t)cases[i].vocabulary * (size_t)cases[i].d);
        run(c, &j, 0, cases[i].rows, dh, dw);
        expect_guards(dh, cases[i].rows, cases[i].d, j.ldh, GUARD);
        if (cases[i].vocabulary < 100) expect_formula(&j);
        expect_exact(&j, dh, dw, &worst);
        free(dh);
        free(dw);
        free_job(&j);
    }
    print_message("unembed: relative error at most %.2g\n", worst);
    plumb_compute_close(c);
}

static void test_bits(void **state)
{
    plumb_compute *one = open_isa(state, 1), *more = open_isa(state, MOST_THREADS);
    for (int i = 0; i < COUNT(cases); i++) {
        const struct unembed_case *t = &cases[i];
        job j = make_job(one, t);
        size_t rows = (size_t)t->rows * (size_t)j.ldh, weights = (size_t)t->vocabulary * (size_t)t->d;
        float *dh = copy_floats(j.dh, rows), *dw = copy_floats(j.dw, weights);
        run(one, &j, 0, t->rows, dh, dw);
        float *dh2 = copy_floats(j.dh, rows), *dw2 = copy_floats(j.dw, weights);
        int cut = t->rows / 3;
        run(more, &j, 0, cut, dh2, dw2);
        run(more, &j, cut, t->rows, dh2, dw2);
        expect_same_bits(dw, dw2, (int)weights, "unembed: dw, rows in two calls and threads");
        expect_same_bits(dh, dh2, (int)rows, "unembed: dh, rows in two calls and threads");
        memcpy(dh2, j.dh, rows * sizeof *dh2);
        run(more, &j, 0, t->rows, dh2, NULL);
        expect_same_bits(dh, dh2, (int)rows, "unembed: dh, weights frozen");
        for (int r = 3; r < t->rows; r += 4) /* weight 0 */
            expect_same_bits(dh + r * j.ldh, j.dh + r * j.ldh, t->d, "unembed: a row of weight 0");
        free(dh);
        free(dw);
        free(dh2);
        free(dw2);
        free_job(&j);
    }
    plumb_compute_close(one);
    plumb_compute_close(more);
}

/* A row of weight 0 takes part in nothing, even when its logits are no numbers. */
static void test_weight_zero(void **state)
{
    plumb_compute *c = open_isa(state, 1);
    job j = make_job(c, &cases[2]);
    float *dh = copy_floats(j.dh, (size_t)cases[2].rows * (size_t)j.ldh);
    j.lse[3] = NAN;
    run(c, &j, 0, cases[2].rows, dh, NULL);
    for (int i = 0; i < cases[2].rows; i++)
        for (int k = 0; k < cases[2].d; k++) assert_true(isfinite(dh[i * j.ldh + k]));
    free(dh);
    free_job(&j);
    plumb_compute_close(c);
}

/* Two sides that begin in one state and pull with opposite weights: all tokens but theirs get exactly nothing. */
static void test_opposite_pulls(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    for (int i = 1; i < COUNT(cases); i++) {
        const struct unembed_case *t = &cases[i];
        job j = make_job(c, t);
        float *dh = copy_floats(j.dh, (size_t)t->rows * (size_t)j.ldh);
        float *dw = allocate((size_t)t->vocabulary * (size_t)t->d, sizeof *dw);
        j.pulls[0] = (plumb_pull){2, {t->vocabulary - 1, 0}, {0.3, -0.3}};
        run(c, &j, 0, 1, dh, dw);
        for (int v = 0; v < t->vocabulary; v++)
            for (int k = 0; k < t->d; k++)
                if ((dw[v * t->d + k] != 0) != (v == 0 || v == t->vocabulary - 1))
                    fail_msg("case %d: the gradient of entry %d is %.9g", i, v, dw[v * t->d + k]);
        j.lse[0] = NAN; /* which has no part in it */
        run(c, &j, 0, 1, dh, NULL);
        for (int k = 0; k < t->d; k++) assert_true(isfinite(dh[k]));
        free(dh);
        free(dw);
        free_job(&j);
    }
    plumb_compute_close(c);
}

/* The derivatives with respect to logits of a tile that holds some of the targets. */
static void test_logit_gradient(void **state)
{
    enum { ROWS = 70, N = 133, LD = N + PAD, FIRST = 50 };
    static const float caps[] = {0, 5, 30};
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 82;
    for (int k = 0; k < COUNT(caps); k++) {
        float *z = random_rows(ROWS, N, LD, 20, GUARD, &seed), *before = copy_floats(z, ROWS * LD);
        int32_t targets[ROWS];
        double lse[ROWS];
        for (int i = 0; i < ROWS; i++) {
            targets[i] = (int32_t)(next_random(&seed) % 230);
            lse[i] = 15 + random_float(&seed, 3);
        }
        targets[0] = FIRST;
        targets[1] = FIRST + N - 1;
        targets[2] = FIRST - 1;
        targets[3] = FIRST + N;
        plumb_logit_gradient(c, caps[k], z, LD, ROWS, FIRST, N, targets, lse);
        expect_guards(z, ROWS, N, LD, GUARD);
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < N; v++) {
                double x = before[i * LD + v], t = caps[k] != 0 ? tanh(x / caps[k]) : 0;
                double p = exp((caps[k] != 0 ? caps[k] * t : x) - lse[i]);
                double wanted = (1 - t * t) * ((targets[i] == FIRST + v) - p);
                if (!(fabs(z[i * LD + v] - wanted) <= 5e-6 * fmax(p, 0.2)))
                    fail_msg("cap %g: row %d, entry %d: %.9g, expected %.9g", caps[k], i, v, z[i * LD + v], wanted);
            }
        free(z);
        free(before);
    }
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_fp64),   cmocka_unit_test(test_bits),
        cmocka_unit_test(test_weight_zero),    cmocka_unit_test(test_opposite_pulls),
        cmocka_unit_test(test_logit_gradient),
    };
    return RUN_FOR_EACH_ISA(tests);
}
