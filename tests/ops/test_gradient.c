/* Gradients of linears and of the operations that work row by row: against fp64, and the promise that sums over rows
 * are chains that depend on neither threads nor how the rows are split over calls. */
#include "ops/gradient_common.h"

enum { PAD = 3 };

/* --- linear ------------------------------------------------------------------------------------------------------- */

static const struct linear_case {
    int rows, n, k;
} linear_cases[] = {
    {1, 1, 1},   {2, 3, 5},   {7, 14, 32},   {31, 15, 33},  {64, 28, 64},   {65, 29, 31},
    {3, 100, 1}, {5, 1, 100}, {600, 17, 65}, {1030, 8, 96}, {130, 70, 200}, {40, 2100, 20},
};

typedef struct linear_data {
    const struct linear_case *t;
    int lddy, ldx;
    float *dy, *x, *dw, *db;
} linear_data;

static linear_data make_linear(const struct linear_case *t, uint32_t *seed)
{
    linear_data in = {.t = t, .lddy = t->n + PAD, .ldx = t->k + PAD};
    in.dy = random_rows(t->rows, t->n, in.lddy, 1, NAN, seed);
    in.x = random_rows(t->rows, t->k, in.ldx, 1, NAN, seed);
    in.dw = random_rows(t->n, t->k, t->k, 1, 0, seed);
    in.db = random_rows(1, t->n, t->n, 1, 0, seed);
    return in;
}

static void free_linear(linear_data *in)
{
    free(in->dy);
    free(in->x);
    free(in->dw);
    free(in->db);
}

/* dw and db side by side, after rows first .. last - 1 have been added. */
static void add_linear(plumb_compute *c, const linear_data *in, int first, int last, float *sums)
{
    const struct linear_case *t = in->t;
    const float *dy = in->dy + (size_t)first * (size_t)in->lddy, *x = in->x + (size_t)first * (size_t)in->ldx;
    expect_ok(plumb_linear_gradient(c, dy, in->lddy, x, in->ldx, last - first, t->n, t->k, sums));
    plumb_bias_gradient(c, dy, in->lddy, last - first, t->n, sums + (size_t)t->n * (size_t)t->k);
}

static float *start_linear(const linear_data *in)
{
    size_t weights = (size_t)in->t->n * (size_t)in->t->k;
    float *sums = allocate(weights + (size_t)in->t->n, sizeof *sums);
    memcpy(sums, in->dw, weights * sizeof *sums);
    memcpy(sums + weights, in->db, (size_t)in->t->n * sizeof *sums);
    return sums;
}

static void expect_linear(const linear_data *in, const float *sums, double *worst)
{
    const struct linear_case *t = in->t;
    double *wanted = allocate((size_t)t->n * (size_t)(t->k + 1), sizeof *wanted), *bias = wanted + t->n * t->k;
    for (int n = 0; n < t->n; n++) {
        for (int k = 0; k < t->k; k++) wanted[n * t->k + k] = in->dw[n * t->k + k];
        bias[n] = in->db[n];
    }
    for (int r = 0; r < t->rows; r++)
        for (int n = 0; n < t->n; n++) {
            double dy = in->dy[r * in->lddy + n];
            bias[n] += dy;
            for (int k = 0; k < t->k; k++) wanted[n * t->k + k] += dy * in->x[r * in->ldx + k];
        }
    expect_close(sums, t->n, t->k, t->k, wanted, 0, 1e-6, "dw", worst);
    expect_close(sums + t->n * t->k, 1, t->n, t->n, bias, 0, 1e-6, "db", worst);
    free(wanted);
}

static void test_linear(void **state)
{
    uint32_t seed = 61;
    double worst = 0;
    for (int i = 0; i < COUNT(linear_cases); i++) {
        const struct linear_case *t = &linear_cases[i];
        linear_data in = make_linear(t, &seed);
        int count = t->n * t->k + t->n;
        plumb_compute *one = open_isa(state, 1);
        float *whole = start_linear(&in), *parts = start_linear(&in);
        add_linear(one, &in, 0, t->rows, whole);
        expect_linear(&in, whole, &worst);
        int cut = t->rows / 3;
        add_linear(one, &in, 0, cut, parts);
        add_linear(one, &in, cut, t->rows, parts);
        expect_same_bits(whole, parts, count, "rows in two calls");
        plumb_compute_close(one);
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            plumb_compute *c = open_isa(state, threads);
            float *shared = start_linear(&in);
            add_linear(c, &in, 0, t->rows, shared);
            expect_same_bits(whole, shared, count, "threads");
            free(shared);
            plumb_compute_close(c);
        }
        free(whole);
        free(parts);
        free_linear(&in);
    }
    print_message("linear: relative error at most %.2g\n", worst);
}

/* --- embeddings, scattered rows, blocks --------------------------------------------------------------------------- */

static void test_scattered(void **state)
{
    enum { ROWS = 700, TABLE = 90, K = 301, LD = K + PAD };
    plumb_compute *c = open_isa(state, 2), *one = open_isa(state, 1);
    uint32_t seed = 62;
    float *dx = random_rows(ROWS, K, LD, 1, NAN, &seed), *start = random_rows(TABLE, K, K, 1, 0, &seed);
    int32_t ids[ROWS];
    for (int i = 0; i < ROWS; i++) ids[i] = (int32_t)(next_random(&seed) % TABLE);
    float *whole = copy_floats(start, TABLE * K), *parts = copy_floats(start, TABLE * K);
    plumb_embed_gradient(c, ids, ROWS, K, 0.75f, dx, LD, whole);
    plumb_embed_gradient(one, ids, 99, K, 0.75f, dx, LD, parts);
    plumb_embed_gradient(one, ids + 99, ROWS - 99, K, 0.75f, dx + (size_t)99 * LD, LD, parts);
    expect_same_bits(whole, parts, TABLE * K, "embedding rows in two calls, and threads");
    double *wanted = widened(start, TABLE * K);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < K; j++) wanted[ids[i] * K + j] += 0.75 * dx[i * LD + j];
    expect_close(whole, TABLE, K, K, wanted, 0, 1e-6, "embedding", NULL);

    float *to = random_rows(TABLE, K, LD, 1, GUARD, &seed), *before = copy_floats(to, TABLE * LD);
    plumb_scatter_rows(c, dx, LD, ids, ROWS, K, to, LD);
    expect_guards(to, TABLE, K, LD, GUARD);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < K; j++) before[ids[i] * LD + j] += dx[i * LD + j];
    expect_same_bits(to, before, TABLE * LD, "scattered rows");
    free(dx);
    free(start);
    free(whole);
    free(parts);
    free(wanted);
    free(to);
    free(before);
    plumb_compute_close(one);
    plumb_compute_close(c);
}

static void test_blocks(void **state)
{
    enum { ROWS = 9, BLOCK = 5, STRIDE = 12, BLOCKS = 3, WIDTH = BLOCK * BLOCKS, LD = STRIDE * BLOCKS + PAD };
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 63;
    float *dy = random_rows(ROWS, WIDTH, WIDTH + PAD, 1, NAN, &seed), *dx = filled_rows(ROWS, LD, GUARD);
    plumb_copy_blocks_back(c, dy, WIDTH + PAD, ROWS, BLOCK, STRIDE, BLOCKS, dx, LD);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < LD; j++) {
            int block = j / STRIDE, at = j % STRIDE;
            bool inside = block < BLOCKS && at < BLOCK;
            assert_true(dx[i * LD + j] == (inside ? dy[i * (WIDTH + PAD) + block * BLOCK + at] : GUARD));
        }
    free(dy);
    free(dx);
    plumb_compute_close(c);
}

/* --- norms -------------------------------------------------------------------------------------------------------- */

static const struct norm_case {
    plumb_norm_kind kind;
    int d, rows, groups;
    bool weight, bias;
    plumb_store store;
    float mean; /* of the inputs */
} norm_cases[] = {
    {PLUMB_RMS_NORM, 1, 3, 1, true, false, PLUMB_STORE, 0},
    {PLUMB_RMS_NORM, 7, 5, 1, true, false, PLUMB_ADD, 0},
    {PLUMB_RMS_NORM, 64, 33, 4, true, false, PLUMB_STORE, 0},
    {PLUMB_RMS_NORM, 100, 400, 5, true, false, PLUMB_ADD, 0.5f},
    {PLUMB_RMS_NORM, 513, 130, 1, false, false, PLUMB_STORE, 0},
    {PLUMB_LAYER_NORM, 8, 4, 1, true, true, PLUMB_STORE, 0},
    {PLUMB_LAYER_NORM, 33, 6, 3, true, false, PLUMB_ADD, 1},
    {PLUMB_LAYER_NORM, 300, 140, 1, true, true, PLUMB_ADD, 3},
    {PLUMB_LAYER_NORM, 257, 1100, 1, false, false, PLUMB_STORE, 0},
    {PLUMB_LAYER_NORM, 96, 7, 2, true, true, PLUMB_STORE, 100},
};

typedef struct norm_data {
    const struct norm_case *t;
    plumb_norm norm;
    int width, ld;
    float *x, *dy, *dx, *sums; /* sums: dweight, dbias, to start from */
    float *weight, *bias;
} norm_data;

static norm_data make_norm(const struct norm_case *t, uint32_t *seed)
{
    norm_data in = {.t = t, .width = t->d * t->groups, .ld = t->d * t->groups + PAD};
    in.x = random_rows(t->rows, in.width, in.ld, 2, NAN, seed);
    for (int i = 0; i < t->rows * in.ld; i++) in.x[i] += t->mean;
    in.dy = random_rows(t->rows, in.width, in.ld, 1, NAN, seed);
    in.dx = random_rows(t->rows, in.width, in.ld, 1, GUARD, seed);
    in.weight = random_rows(1, t->d, t->d, 2, 0, seed);
    in.bias = random_rows(1, t->d, t->d, 2, 0, seed);
    in.sums = random_rows(2, t->d, t->d, 1, 0, seed);
    in.norm = (plumb_norm){t->kind, t->d, 1e-5f, t->weight ? in.weight : NULL, t->bias ? in.bias : NULL};
    return in;
}

static void free_norm(norm_data *in)
{
    free(in->x);
    free(in->dy);
    free(in->dx);
    free(in->weight);
    free(in->bias);
    free(in->sums);
}

static void run_norm(plumb_compute *c, const norm_data *in, int first, int last, float *dx, float *sums)
{
    size_t at = (size_t)first * (size_t)in->ld;
    plumb_norm_gradient(c, &in->norm, in->x + at, in->ld, in->dy + at, in->ld, last - first, in->t->groups, dx + at,
                        in->ld, in->t->store, in->t->weight ? sums : NULL, in->t->bias ? sums + in->t->d : NULL);
}

/* One (row, group) by the formula: dx [d]; adds to dweight and dbias. */
static void exact_norm(const plumb_norm *norm, const double *x, const double *dy, double *dx, double *dweight,
                       double *dbias)
{
    int d = norm->d;
    double mean = 0, var = 0, sum = 0, product = 0;
    for (int j = 0; j < d && norm->kind == PLUMB_LAYER_NORM; j++) mean += x[j] / d;
    for (int j = 0; j < d; j++) var += (x[j] - mean) * (x[j] - mean) / d;
    double inverse = 1 / sqrt(var + norm->eps);
    for (int j = 0; j < d; j++) {
        double t = norm->weight ? dy[j] * norm->weight[j] : dy[j], z = (x[j] - mean) * inverse;
        sum += t / d;
        product += t * z / d;
        dweight[j] += dy[j] * z;
        dbias[j] += dy[j];
    }
    for (int j = 0; j < d; j++) {
        double t = norm->weight ? dy[j] * norm->weight[j] : dy[j], z = (x[j] - mean) * inverse;
        dx[j] = inverse * (t - (norm->kind == PLUMB_LAYER_NORM ? sum : 0) - z * product);
    }
}

/* x [d], weight [d], bias [d] -> <dy, norm(x)> */
typedef struct norm_loss_data {
    const plumb_norm *norm;
    const double *dy;
} norm_loss_data;

static double norm_loss(const void *context, const double *x)
{
    const norm_loss_data *in = context;
    int d = in->norm->d;
    double mean = 0, var = 0, loss = 0;
    for (int j = 0; j < d && in->norm->kind == PLUMB_LAYER_NORM; j++) mean += x[j] / d;
    for (int j = 0; j < d; j++) var += (x[j] - mean) * (x[j] - mean) / d;
    for (int j = 0; j < d; j++) {
        double z = (x[j] - mean) / sqrt(var + in->norm->eps);
        loss += in->dy[j] * (z * (in->norm->weight ? x[d + j] : 1) + x[2 * d + j]);
    }
    return loss;
}

static void expect_norm_slopes(const norm_data *in)
{
    size_t d = (size_t)in->t->d;
    double *x = allocate(3 * d, sizeof *x), *slopes = allocate(3 * d, sizeof *slopes), *dy = widened(in->dy, d);
    for (size_t j = 0; j < d; j++) {
        x[j] = in->x[j];
        x[d + j] = in->weight[j];
        x[2 * d + j] = in->bias[j];
    }
    exact_norm(&in->norm, x, dy, slopes, slopes + d, slopes + 2 * d);
    for (size_t j = 0; j < d && !in->norm.weight; j++) slopes[d + j] = 0;
    const norm_loss_data data = {&in->norm, dy};
    expect_slopes(norm_loss, &data, x, slopes, (int)(3 * d), "norm");
    free(x);
    free(slopes);
    free(dy);
}

static void expect_norm(const norm_data *in, const float *dx, const float *sums, double *worst)
{
    const struct norm_case *t = in->t;
    double *wanted = allocate((size_t)t->rows * (size_t)in->width, sizeof *wanted),
           *totals = widened(in->sums, 2 * t->d);
    for (int i = 0; i < t->rows; i++)
        for (int g = 0; g < t->groups; g++) {
            int at = i * in->ld + g * t->d;
            double *x = widened(in->x + at, (size_t)t->d), *dy = widened(in->dy + at, (size_t)t->d);
            double *to = wanted + i * in->width + g * t->d;
            exact_norm(&in->norm, x, dy, to, totals, totals + t->d);
            for (int j = 0; j < t->d && t->store == PLUMB_ADD; j++) to[j] += in->dx[at + j];
            free(x);
            free(dy);
        }
    expect_close(dx, t->rows, in->width, in->ld, wanted, 1e-3, 1e-6, "norm: dx", worst);
    if (t->weight) expect_close(sums, 1, t->d, t->d, totals, 0, 2e-6, "norm: dweight", worst);
    if (t->bias) expect_close(sums + t->d, 1, t->d, t->d, totals + t->d, 0, 2e-6, "norm: dbias", worst);
    free(wanted);
    free(totals);
}

static void test_norm(void **state)
{
    uint32_t seed = 64;
    double worst = 0;
    for (int i = 0; i < COUNT(norm_cases); i++) {
        const struct norm_case *t = &norm_cases[i];
        norm_data in = make_norm(t, &seed);
        int all = t->rows * in.ld;
        plumb_compute *one = open_isa(state, 1), *more = open_isa(state, MOST_THREADS);
        float *dx = copy_floats(in.dx, (size_t)all), *sums = copy_floats(in.sums, 2 * (size_t)t->d);
        run_norm(one, &in, 0, t->rows, dx, sums);
        expect_guards(dx, t->rows, in.width, in.ld, GUARD);
        expect_norm(&in, dx, sums, &worst);
        if (t->d < 100) expect_norm_slopes(&in);

        float *parts = copy_floats(in.dx, (size_t)all), *totals = copy_floats(in.sums, 2 * (size_t)t->d);
        int cut = t->rows / 2;
        run_norm(more, &in, 0, cut, parts, totals);
        run_norm(more, &in, cut, t->rows, parts, totals);
        expect_same_bits(dx, parts, all, "norm: dx, rows in two calls and threads");
        expect_same_bits(sums, totals, 2 * t->d, "norm: weights, rows in two calls and threads");

        if (t->store == PLUMB_STORE) { /* dx in dy's place */
            memcpy(totals, in.sums, 2 * (size_t)t->d * sizeof *totals);
            run_norm(more, &in, 0, t->rows, in.dy, totals);
            expect_same_bits(sums, totals, 2 * t->d, "norm: weights, in place");
            for (int r = 0; r < t->rows; r++)
                expect_same_bits(dx + r * in.ld, in.dy + r * in.ld, in.width, "norm: in place");
        }
        free(dx);
        free(sums);
        free(parts);
        free(totals);
        free_norm(&in);
        plumb_compute_close(one);
        plumb_compute_close(more);
    }
    print_message("norm: relative error at most %.2g\n", worst);
}

/* --- activations -------------------------------------------------------------------------------------------------- */

static const plumb_activation activations[] = {PLUMB_SILU, PLUMB_GELU_TANH, PLUMB_GELU, PLUMB_RELU};

static double exact_activation(plumb_activation act, double x)
{
    if (act == PLUMB_SILU) return x / (1 + exp(-x));
    if (act == PLUMB_GELU_TANH) return x / (1 + exp(-2 * 0.79788456080286536 * (x + 0.044715 * x * x * x)));
    if (act == PLUMB_GELU) return 0.5 * x * erfc(-x * 0.70710678118654752);
    return x > 0 ? x : 0;
}

static double exact_slope(plumb_activation act, double x)
{
    if (act == PLUMB_RELU) return x > 0;
    if (act == PLUMB_GELU) return 0.5 * erfc(-x * 0.70710678118654752) + x * exp(-x * x / 2) * 0.39894228040143268;
    double u = act == PLUMB_SILU ? x : 2 * 0.79788456080286536 * (x + 0.044715 * x * x * x);
    double du = act == PLUMB_SILU ? 1 : 2 * 0.79788456080286536 * (1 + 3 * 0.044715 * x * x);
    double s = 1 / (1 + exp(-u));
    return s + x * s / (1 + exp(u)) * du;
}

static double activation_loss(const void *context, const double *x)
{
    const plumb_activation *act = context;
    return exact_activation(*act, *x);
}

/* gate: small, large and extreme values. */
static float *make_gate(int rows, int n, int ld, uint32_t *seed)
{
    static const float special[] = {0, 1e-8f, -1e-8f, 16, -16, 17, -17, 90, -90, 1e5f, -1e5f, 3e30f, -3e30f};
    float *gate = random_rows(rows, n, ld, 6, NAN, seed);
    for (int j = 0; j < n && j < COUNT(special); j++) gate[j] = special[j];
    return gate;
}

static void expect_activation(plumb_activation act, int rows, int n, int ld, const float *gate, const float *up,
                              const float *dout, const float *dgate, const float *dup)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < n; j++) {
            int at = i * ld + j;
            double x = gate[at], d = dout[at], factor = up ? d * up[at] : d, value = exact_activation(act, x);
            double slope = exact_slope(act, x);
            if (!(fabs(dgate[at] - factor * slope) <= 6e-7 * fabs(factor)))
                fail_msg("activation %d at %.9g: dgate %.9g, expected %.9g", (int)act, x, dgate[at], factor * slope);
            if (up && !(fabs(dup[at] - d * value) <= fabs(d) * (3e-6 * fabs(value) + 1e-11)))
                fail_msg("activation %d at %.9g: dup %.9g, expected %.9g", (int)act, x, dup[at], d * value);
        }
}

static void run_activation(void **state, plumb_activation act, bool gated, int rows, int n)
{
    uint32_t seed = 65;
    int ld = n + PAD, all = rows * ld;
    plumb_compute *one = open_isa(state, 1), *more = open_isa(state, MOST_THREADS);
    float *gate = make_gate(rows, n, ld, &seed), *up = gated ? random_rows(rows, n, ld, 2, NAN, &seed) : NULL;
    float *dout = random_rows(rows, n, ld, 1, NAN, &seed);
    float *dgate = filled_rows(rows, ld, GUARD), *dup = filled_rows(rows, ld, GUARD);
    plumb_activate_gradient(one, act, gate, ld, up, ld, dout, ld, rows, n, dgate, ld, gated ? dup : NULL, ld);
    expect_guards(dgate, rows, n, ld, GUARD);
    expect_guards(dup, rows, gated ? n : 0, ld, GUARD);
    expect_activation(act, rows, n, ld, gate, up, dout, dgate, dup);
    /* In place, with threads: dgate over gate, dup over up; then dgate over dout. */
    float *gate2 = copy_floats(gate, (size_t)all), *up2 = gated ? copy_floats(up, (size_t)all) : NULL;
    plumb_activate_gradient(more, act, gate2, ld, up2, ld, dout, ld, rows, n, gate2, ld, up2, ld);
    float *dout2 = copy_floats(dout, (size_t)all), *up3 = gated ? copy_floats(up, (size_t)all) : NULL;
    plumb_activate_gradient(more, act, gate, ld, up, ld, dout2, ld, rows, n, dout2, ld, up3, ld);
    for (int i = 0; i < rows; i++) {
        expect_same_bits(dgate + i * ld, gate2 + i * ld, n, "activation: dgate over gate");
        expect_same_bits(dgate + i * ld, dout2 + i * ld, n, "activation: dgate over dout");
        if (gated) expect_same_bits(dup + i * ld, up2 + i * ld, n, "activation: dup over up");
    }
    free(gate);
    free(up);
    free(dout);
    free(dgate);
    free(dup);
    free(gate2);
    free(up2);
    free(dout2);
    free(up3);
    plumb_compute_close(one);
    plumb_compute_close(more);
}

static void test_activations(void **state)
{
    static const int widths[] = {1, 7, 16, 33, 129};
    for (int a = 0; a < COUNT(activations); a++) {
        for (int step = -80; step < 80; step++) { /* beside 0, where ReLU has a corner */
            double at = 0.1 * step + 0.05, slope = exact_slope(activations[a], at);
            expect_slopes(activation_loss, &activations[a], &at, &slope, 1, "activation");
        }
        for (int w = 0; w < COUNT(widths); w++) {
            run_activation(state, activations[a], true, 3, widths[w]);
            run_activation(state, activations[a], false, 3, widths[w]);
        }
        run_activation(state, activations[a], true, 300, 131);
    }
}

/* --- clip, rotary ------------------------------------------------------------------------------------------------- */

static void test_clip(void **state)
{
    enum { ROWS = 300, N = 131, LD = N + PAD };
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 66;
    float *x = random_rows(ROWS, N, LD, 2, NAN, &seed), *dx = random_rows(ROWS, N, LD, 1, GUARD, &seed);
    x[0] = 1.5f;
    x[1] = -1.5f;
    x[2] = nextafterf(1.5f, 2);
    float *before = copy_floats(dx, ROWS * LD);
    plumb_clip_gradient(c, x, LD, ROWS, N, 1.5f, dx, LD);
    expect_guards(dx, ROWS, N, LD, GUARD);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++)
            assert_true(dx[i * LD + j] == (fabsf(x[i * LD + j]) > 1.5f ? 0 : before[i * LD + j]));
    free(x);
    free(dx);
    free(before);
    plumb_compute_close(c);
}

/* The gradient is the transpose of the turn: <turn(x), dy> = <x, back(dy)>, and back undoes the turn. */
static void test_rotary(void **state)
{
    enum { ROWS = 50, HEADS = 5, HEAD = 26, ROTARY = 18, HALF = ROTARY / 2, WIDTH = HEADS * HEAD, LD = WIDTH + PAD };
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 67;
    float cosine[ROWS * HALF], sine[ROWS * HALF];
    int32_t positions[ROWS];
    for (int i = 0; i < ROWS * HALF; i++) {
        double angle = random_float(&seed, 3);
        cosine[i] = (float)cos(angle);
        sine[i] = (float)sin(angle);
    }
    for (int i = 0; i < ROWS; i++) positions[i] = (int32_t)(next_random(&seed) % ROWS);
    float *x = random_rows(ROWS, WIDTH, LD, 1, GUARD, &seed), *dy = random_rows(ROWS, WIDTH, LD, 1, GUARD, &seed);
    float *turned = copy_floats(x, ROWS * LD), *dx = copy_floats(dy, ROWS * LD);
    plumb_rotary(c, turned, LD, ROWS, HEADS, HEAD, ROTARY, cosine, sine, positions);
    plumb_rotary_gradient(c, dx, LD, ROWS, HEADS, HEAD, ROTARY, cosine, sine, positions);
    expect_guards(dx, ROWS, WIDTH, LD, GUARD);
    for (int i = 0; i < ROWS; i++)
        for (int h = 0; h < HEADS; h++) {
            double forth = 0, back = 0;
            for (int j = i * LD + h * HEAD; j < i * LD + (h + 1) * HEAD; j++) {
                forth += (double)turned[j] * dy[j];
                back += (double)x[j] * dx[j];
            }
            assert_true(fabs(forth - back) < 1e-5);
        }
    plumb_rotary_gradient(c, turned, LD, ROWS, HEADS, HEAD, ROTARY, cosine, sine, positions);
    for (int i = 0; i < ROWS * LD; i++) assert_true(fabsf(turned[i] - x[i]) <= 4e-7f);
    free(x);
    free(dy);
    free(turned);
    free(dx);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear), cmocka_unit_test(test_scattered),   cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_norm),   cmocka_unit_test(test_activations), cmocka_unit_test(test_clip),
        cmocka_unit_test(test_rotary),
    };
    return RUN_FOR_EACH_ISA(tests);
}
