/* Log-softmax by vocabulary tile, of every back end: against fp64 and for bit identity. */
#include "ops/ops_common.h"

enum { PAD = 3 };

static const struct unembed_case {
    int vocabulary, d, rows;
    plumb_dtype dtype;
    bool bias;
    float scale, cap, size; /* size of the hidden values: logits reach about size * sqrt(d) / 3 */
} cases[] = {
    {1, 4, 3, PLUMB_F32, false, 1, 0, 1},        {7, 5, 2, PLUMB_F32, false, 1, 0, 3},
    {33, 16, 5, PLUMB_BF16, true, 1, 0, 5},      {2047, 24, 9, PLUMB_F16, false, 0.5f, 0, 10},
    {2048, 24, 4, PLUMB_F32, false, 1, 0, 30},   {2049, 24, 6, PLUMB_BF16, false, 1, 30, 20},
    {5003, 32, 13, PLUMB_BF16, true, 1, 0, 100}, {6200, 17, 3, PLUMB_F32, false, 0.0625f, 50, 3000},
    {40, 3, 4100, PLUMB_F32, false, 1, 0, 10},
};

typedef struct job {
    const struct unembed_case *t;
    plumb_linear w;
    plumb_unembed u;
    float *h;
    int32_t *targets;
    int ldh;
} job;

static job make_job(const struct unembed_case *t, uint32_t *seed)
{
    job j = {.t = t, .ldh = t->d + PAD};
    size_t count = (size_t)t->vocabulary * (size_t)t->d, size = plumb_dtype_size(t->dtype);
    char *weight = allocate(count, size);
    for (size_t i = 0; i < count; i++) {
        float value = random_float(seed, 1);
        uint16_t bits = t->dtype == PLUMB_BF16 ? plumb_to_bf16(value) : (uint16_t)(next_random(seed) & 0xbbffu);
        memcpy(weight + i * size, t->dtype == PLUMB_F32 ? (void *)&value : (void *)&bits, size);
    }
    float *bias = t->bias ? random_rows(1, t->vocabulary, t->vocabulary, 1, 0, seed) : NULL;
    j.w = (plumb_linear){weight, t->dtype, bias, t->vocabulary, t->d, "lm_head.weight", false};
    j.h = random_rows(t->rows, t->d, j.ldh, t->size, NAN, seed);
    j.targets = allocate((size_t)t->rows, sizeof *j.targets);
    for (int i = 0; i < t->rows; i++) /* the first and last entries first */
        j.targets[i] = i == 0 ? 0 : i == 1 ? t->vocabulary - 1 : (int32_t)(next_random(seed) % (uint32_t)t->vocabulary);
    return j;
}

/* u.w points into the job, so it is set where the job has come to rest. */
static void aim(job *j)
{
    j->u = (plumb_unembed){&j->w, j->t->scale, j->t->cap};
}

static void free_job(job *j)
{
    free((void *)(uintptr_t)j->w.weight);
    free((void *)(uintptr_t)j->w.bias);
    free(j->h);
    free(j->targets);
}

static double exact_logit(const job *j, int row, int entry, double *magnitude)
{
    double z = j->w.bias ? j->w.bias[entry] : 0;
    *magnitude = fabs(z);
    for (int i = 0; i < j->w.k; i++) {
        double term = (double)j->h[row * j->ldh + i] *
                      plumb_load(j->w.weight, j->w.dtype, (size_t)entry * (size_t)j->w.k + (size_t)i);
        z += term;
        *magnitude += fabs(term);
    }
    *magnitude *= fabs((double)j->u.scale);
    return z * j->u.scale;
}

static void test_tiles(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 71;
    for (int i = 0; i < COUNT(cases) - 1; i++) {
        job j = make_job(&cases[i], &seed);
        aim(&j);
        int first = cases[i].vocabulary / 3, last = cases[i].vocabulary - cases[i].vocabulary / 5, n = last - first;
        float *z = filled_rows(cases[i].rows, n + PAD, GUARD);
        expect_ok(plumb_unembed_tile(c, &j.u, j.h, j.ldh, cases[i].rows, first, last, z, n + PAD));
        for (int r = 0; r < cases[i].rows; r++)
            for (int k = 0; k < n; k++) {
                double magnitude, wanted = exact_logit(&j, r, first + k, &magnitude);
                if (!(fabs(z[r * (n + PAD) + k] - wanted) <= 0x1p-24 * (j.w.k + 2) * magnitude))
                    fail_msg("logit %d of row %d: %.9g, expected %.9g", first + k, r, z[r * (n + PAD) + k], wanted);
            }
        expect_guards(z, cases[i].rows, n, n + PAD, GUARD);
        free(z);
        free_job(&j);
    }
    plumb_compute_close(c);
}

/* Log-sum-exp of fp32 logits in fp64; the cap, an fp32 step of its own, is applied in fp64 here. */
static double exact_lse(const float *z, int n, double cap)
{
    double top = -INFINITY, sum = 0;
    for (int k = 0; k < n; k++) {
        double value = cap != 0 ? cap * tanh(z[k] / cap) : z[k];
        if (value > top) top = value;
    }
    for (int k = 0; k < n; k++) sum += exp((cap != 0 ? cap * tanh(z[k] / cap) : z[k]) - top);
    return top + log(sum);
}

static void test_log_probabilities(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 72;
    for (int i = 0; i < COUNT(cases); i++) {
        const struct unembed_case *t = &cases[i];
        job j = make_job(t, &seed);
        aim(&j);
        double *logps = allocate((size_t)t->rows, sizeof *logps), *lse = allocate((size_t)t->rows, sizeof *lse);
        float *z = allocate((size_t)t->rows * (size_t)t->vocabulary, sizeof *z);
        expect_ok(plumb_unembed_logps(c, &j.u, j.h, j.ldh, t->rows, j.targets, logps, lse));
        expect_ok(plumb_unembed_tile(c, &j.u, j.h, j.ldh, t->rows, 0, t->vocabulary, z, t->vocabulary));
        for (int r = 0; r < t->rows; r++) {
            const float *row = z + (size_t)r * (size_t)t->vocabulary;
            double wanted = exact_lse(row, t->vocabulary, t->cap), cap = t->cap, target = row[j.targets[r]];
            if (t->cap != 0) target = cap * tanh(target / cap);
            double allowed = 1e-6 + (t->cap != 0 ? 0x1p-22 * cap : 0);
            if (!(fabs(lse[r] - wanted) <= allowed) || !(fabs(logps[r] - (target - wanted)) <= allowed))
                fail_msg("vocabulary %d, row %d: lse %.12g, expected %.12g; log-probability %.12g, expected %.12g",
                         t->vocabulary, r, lse[r], wanted, logps[r], target - wanted);
        }
        free(logps);
        free(lse);
        free(z);
        free_job(&j);
    }
    plumb_compute_close(c);
}

static void expect_same_doubles(const double *x, const double *y, int n, const char *what)
{
    if (memcmp(x, y, (size_t)n * sizeof *x) != 0) fail_msg("%s: the bits differ", what);
}

static void test_bits(void **state)
{
    uint32_t seed = 73;
    for (int i = 0; i < COUNT(cases); i++) {
        const struct unembed_case *t = &cases[i];
        job j = make_job(t, &seed);
        aim(&j);
        double *all[2] = {allocate((size_t)t->rows, sizeof(double)), allocate((size_t)t->rows, sizeof(double))};
        double *again[2] = {allocate((size_t)t->rows, sizeof(double)), allocate((size_t)t->rows, sizeof(double))};
        for (int threads = 1; threads <= 3; threads++) {
            plumb_compute *c = open_isa(state, threads);
            double **out = threads == 1 ? all : again;
            expect_ok(plumb_unembed_logps(c, &j.u, j.h, j.ldh, t->rows, j.targets, out[0], NULL));
            expect_ok(plumb_unembed_logps(c, &j.u, j.h, j.ldh, t->rows, NULL, NULL, out[1]));
            for (int k = 0; k < 2; k++) expect_same_doubles(all[k], out[k], t->rows, "threads");
            for (int r = t->rows > 30 ? t->rows - 30 : 0; r < t->rows; r++) {
                double alone, lse;
                expect_ok(plumb_unembed_logps(c, &j.u, j.h + r * j.ldh, j.ldh, 1, j.targets + r, &alone, &lse));
                expect_same_doubles(&alone, all[0] + r, 1, "one row");
                expect_same_doubles(&lse, all[1] + r, 1, "one row");
            }
            plumb_compute_close(c);
        }
        for (int k = 0; k < 2; k++) {
            free(all[k]);
            free(again[k]);
        }
        free_job(&j);
    }
}

/* A row that has overflowed is NaN, and its neighbours are not touched. */
static void test_overflow(void **state)
{
    plumb_compute *c = open_isa(state, 1);
    uint32_t seed = 74;
    job j = make_job(&cases[4], &seed);
    aim(&j);
    double logps[4], clean[4];
    expect_ok(plumb_unembed_logps(c, &j.u, j.h, j.ldh, 4, j.targets, clean, NULL));
    j.h[j.ldh] = NAN;
    j.h[2 * j.ldh] = INFINITY;
    expect_ok(plumb_unembed_logps(c, &j.u, j.h, j.ldh, 4, j.targets, logps, NULL));
    assert_true(isnan(logps[1]) && isnan(logps[2]) && logps[0] == clean[0] && logps[3] == clean[3]);
    expect_ok(plumb_unembed_logps(c, &j.u, j.h, j.ldh, 0, NULL, logps, NULL)); /* no rows */
    free_job(&j);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_log_probabilities),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_overflow),
    };
    return RUN_FOR_EACH_ISA(tests);
}
