/* The way back through attention against fp64, and the promise that a query's and a key's bits depend on their group
 * alone: not on threads, other groups, or places in the buffers. */
#include "ops/gradient_common.h"

enum { PAD = 5 };

static const struct attention_case {
    const char *what;
    int heads, kv_heads, head_dim;
    float scale, cap;
    int window, prefix, own; /* rows of the prefix and of the own span */
    float size;              /* of the values in q and k */
    int last;                /* > 0: only so many last queries of the own spans, and none of the prefix */
} cases[] = {
    {"one token", 1, 1, 16, 0.25f, 0, 0, 0, 1, 1, 0},
    {"two heads", 2, 2, 16, 0.25f, 0, 0, 0, 17, 1, 0},
    {"odd head_dim", 2, 1, 5, 0.4f, 0, 0, 3, 9, 1, 0},
    {"grouped, 24", 6, 2, 24, 0.2f, 0, 0, 70, 13, 2, 0},
    {"multi-query, 32", 7, 1, 32, 0.17677669f, 0, 0, 64, 64, 2, 0},
    {"more heads than lanes", 71, 1, 64, 0.125f, 0, 0, 5, 40, 1, 0},
    {"64, tiles ending on a border", 4, 2, 64, 0.125f, 0, 0, 128, 64, 3, 0},
    {"80, last queries", 3, 3, 80, 0.1118034f, 0, 0, 33, 100, 2, 37},
    {"128", 4, 1, 128, 0.08838835f, 0, 0, 130, 77, 3, 0},
    {"256, capped", 2, 1, 256, 0.0625f, 50, 0, 40, 90, 3, 0},
    {"capped hard", 2, 2, 16, 1, 2, 0, 10, 30, 3, 0},
    {"window within a tile", 2, 1, 32, 0.2f, 0, 10, 60, 90, 2, 0},
    {"window over tiles", 4, 2, 32, 0.2f, 0, 100, 150, 200, 2, 0},
    {"window hides the prefix, last query", 2, 2, 16, 0.25f, 0, 7, 80, 70, 1, 1},
    {"window of 1", 2, 2, 16, 1, 0, 1, 20, 60, 2, 0},
    {"window beyond the end, capped", 2, 2, 16, 0.25f, 30, 4096, 20, 60, 2, 0},
    {"sharp scores", 2, 2, 64, 1, 0, 0, 65, 65, 6, 0},
    {"heads enough for every thread", 20, 10, 20, 0.2f, 0, 0, 40, 60, 2, 0},
    {"many strips of keys", 2, 1, 40, 0.15f, 0, 0, 300, 333, 2, 0},
};

/* The layout of a pair: prefix, then chosen, then rejected, with unused rows before and between. */
typedef struct layout {
    plumb_segment part[3]; /* chosen, rejected, prefix: the prefix's queries may be absent */
    int parts, rows;
} layout;

static plumb_span tail_of(plumb_span span, int count)
{
    int skipped = count > 0 && count < span.count ? span.count - count : 0;
    return (plumb_span){span.row + skipped, span.count - skipped, span.position + skipped};
}

static layout lay_out(const struct attention_case *t, int gap)
{
    int second = t->own > 4 ? t->own - 3 : t->own; /* the rejected response is a little shorter */
    plumb_span prefix = {gap, t->prefix, 0}, none = {0, 0, 0};
    plumb_span chosen = {prefix.row + t->prefix + gap, t->own, t->prefix};
    plumb_span rejected = {chosen.row + t->own + gap, second, t->prefix};
    return (layout){
        .part = {{tail_of(chosen, t->last), prefix, chosen},
                 {tail_of(rejected, t->last), prefix, rejected},
                 {prefix, none, prefix}},
        .parts = t->last || !t->prefix ? 2 : 3,
        .rows = rejected.row + second + gap,
    };
}

/* Buffers of one case: what no span names is NaN, so that a read of it shows. */
typedef struct inputs {
    const struct attention_case *t;
    plumb_attention a;
    layout at;
    int q_width, kv_width, ldq, ldkv;
    float *q, *k, *v, *dout;
} inputs;

typedef struct results {
    float *out, *lse, *dq, *dk, *dv;
} results;

static void fill_span(float *x, plumb_span span, int width, int ld, float size, uint32_t *seed)
{
    for (int i = span.row; i < span.row + span.count; i++)
        for (int j = 0; j < width; j++) x[(size_t)i * (size_t)ld + (size_t)j] = random_float(seed, size);
}

/* The same numbers whatever the gap. */
static inputs make_inputs(const struct attention_case *t, int gap)
{
    uint32_t seed = 71;
    inputs in = {.t = t, .at = lay_out(t, gap)};
    in.a = (plumb_attention){t->heads, t->kv_heads, t->head_dim, t->scale, t->cap, t->window};
    in.q_width = t->heads * t->head_dim;
    in.kv_width = t->kv_heads * t->head_dim;
    in.ldq = in.q_width + PAD;
    in.ldkv = in.kv_width + PAD;
    in.q = filled_rows(in.at.rows, in.ldq, NAN);
    in.dout = filled_rows(in.at.rows, in.ldq, NAN);
    in.k = filled_rows(in.at.rows, in.ldkv, NAN);
    in.v = filled_rows(in.at.rows, in.ldkv, NAN);
    for (int s = 0; s < 3; s++) {
        if (s < in.at.parts) {
            fill_span(in.q, in.at.part[s].query, in.q_width, in.ldq, t->size, &seed);
            fill_span(in.dout, in.at.part[s].query, in.q_width, in.ldq, 1, &seed);
        }
        fill_span(in.k, in.at.part[s].own, in.kv_width, in.ldkv, t->size, &seed);
        fill_span(in.v, in.at.part[s].own, in.kv_width, in.ldkv, 1, &seed);
    }
    return in;
}

static void free_inputs(inputs *in)
{
    free(in->q);
    free(in->dout);
    free(in->k);
    free(in->v);
}

static results run(plumb_compute *c, const inputs *in, const plumb_segment *segments, int count)
{
    results r = {.out = filled_rows(in->at.rows, in->ldq, GUARD)};
    r.lse = filled_rows(in->at.rows, in->a.heads, GUARD);
    r.dq = filled_rows(in->at.rows, in->ldq, GUARD);
    r.dk = filled_rows(in->at.rows, in->ldkv, GUARD);
    r.dv = filled_rows(in->at.rows, in->ldkv, GUARD);
    expect_ok(plumb_attend_saving(c, &in->a, segments, count, in->q, in->ldq, in->k, in->ldkv, in->v, in->ldkv, r.out,
                                  in->ldq, r.lse));
    expect_ok(plumb_attend_gradient(c, &in->a, segments, count, in->q, in->ldq, in->k, in->ldkv, in->v, in->ldkv, r.out,
                                    in->ldq, r.lse, in->dout, in->ldq, r.dq, in->ldq, r.dk, in->ldkv, r.dv, in->ldkv));
    expect_guards(r.dq, in->at.rows, in->q_width, in->ldq, GUARD);
    expect_guards(r.dk, in->at.rows, in->kv_width, in->ldkv, GUARD);
    expect_guards(r.dv, in->at.rows, in->kv_width, in->ldkv, GUARD);
    return r;
}

static void free_results(results *r)
{
    free(r->out);
    free(r->lse);
    free(r->dq);
    free(r->dk);
    free(r->dv);
}

/* --- fp64 --------------------------------------------------------------------------------------------------------- */

/* The row of the key at a position, or -1 when there is none. */
static int key_row(const plumb_segment *s, int position)
{
    const plumb_span *spans[2] = {&s->prefix, &s->own};
    for (int i = 0; i < 2; i++)
        if (position >= spans[i]->position && position < spans[i]->position + spans[i]->count)
            return spans[i]->row + position - spans[i]->position;
    return -1;
}

/* Everything in fp64, [rows][width] without padding: q, k, v and gradients. */
typedef struct exact {
    const inputs *in;
    double *q, *k, *v, *dq, *dk, *dv; /* one allocation from q on, one from dq on */
} exact;

static size_t exact_count(const inputs *in)
{
    return (size_t)in->at.rows * (size_t)(in->q_width + 2 * in->kv_width);
}

/* gradients NULL: only the values are wanted. */
static exact aim(const inputs *in, double *values, double *gradients)
{
    size_t q = (size_t)in->at.rows * (size_t)in->q_width, k = (size_t)in->at.rows * (size_t)in->kv_width;
    exact e = {.in = in, .q = values, .k = values + q, .v = values + q + k};
    if (!gradients) return e;
    e.dq = gradients;
    e.dk = gradients + q;
    e.dv = gradients + q + k;
    return e;
}

static double score_of(const exact *e, const double *q, const double *k)
{
    double dot = 0, cap = e->in->a.cap;
    for (int j = 0; j < e->in->a.head_dim; j++) dot += q[j] * k[j] * e->in->a.scale;
    return cap != 0 ? cap * tanh(dot / cap) : dot;
}

/* One head of one query: returns <dout, out>, and with gradients adds to them. */
static double exact_query(const exact *e, const plumb_segment *s, int index, int head)
{
    const inputs *in = e->in;
    int d = in->a.head_dim, position = s->query.position + index, kv = head / (in->a.heads / in->a.kv_heads);
    int row = s->query.row + index, first = in->a.window > 0 ? position - in->a.window + 1 : 0;
    const double *q = e->q + row * in->q_width + head * d;
    const float *dout = in->dout + row * in->ldq + head * d;
    double *score = allocate((size_t)position + 1, sizeof *score), *dp = allocate((size_t)position + 1, sizeof *dp);
    double sum = 0, loss = 0, top = -INFINITY;
    first = first < 0 ? 0 : first;
    for (int p = first; p <= position; p++) {
        int at = key_row(s, p) * in->kv_width + kv * d;
        score[p] = score_of(e, q, e->k + at);
        top = fmax(top, score[p]);
        for (int j = 0; j < d; j++) dp[p] += dout[j] * e->v[at + j];
    }
    for (int p = first; p <= position; p++) sum += exp(score[p] - top);
    for (int p = first; p <= position; p++) loss += exp(score[p] - top) / sum * dp[p];
    for (int p = first; p <= position && e->dq; p++) {
        int at = key_row(s, p) * in->kv_width + kv * d;
        double probability = exp(score[p] - top) / sum, ds = probability * (dp[p] - loss) * in->a.scale;
        if (in->a.cap != 0) ds *= 1 - score[p] / in->a.cap * (score[p] / in->a.cap);
        for (int j = 0; j < d; j++) {
            e->dq[row * in->q_width + head * d + j] += ds * e->k[at + j];
            e->dk[at + j] += ds * q[j];
            e->dv[at + j] += probability * dout[j];
        }
    }
    free(score);
    free(dp);
    return loss;
}

static double exact_all(const exact *e)
{
    double loss = 0;
    for (int s = 0; s < e->in->at.parts; s++)
        for (int i = 0; i < e->in->at.part[s].query.count; i++)
            for (int h = 0; h < e->in->a.heads; h++) loss += exact_query(e, &e->in->at.part[s], i, h);
    return loss;
}

static double attention_loss(const void *context, const double *x)
{
    const exact e = aim(context, (double *)(uintptr_t)x, NULL);
    return exact_all(&e);
}

/* Queries, keys and values in fp64; rows that are NaN become 0. */
static double *exact_values(const inputs *in)
{
    double *values = allocate(exact_count(in), sizeof *values);
    const exact e = aim(in, values, NULL);
    for (int i = 0; i < in->at.rows; i++) {
        for (int j = 0; j < in->q_width; j++) {
            float q = in->q[i * in->ldq + j];
            e.q[i * in->q_width + j] = isnan(q) ? 0 : q;
        }
        for (int j = 0; j < in->kv_width; j++) {
            float k = in->k[i * in->ldkv + j], v = in->v[i * in->ldkv + j];
            e.k[i * in->kv_width + j] = isnan(k) ? 0 : k;
            e.v[i * in->kv_width + j] = isnan(v) ? 0 : v;
        }
    }
    return values;
}

/* The rows of a span, each tensor by its norm over the span. */
static void expect_rows(const inputs *in, const float *got, const double *wanted, plumb_span span, bool query,
                        double floor, const char *name, double *worst)
{
    int width = query ? in->q_width : in->kv_width, ld = query ? in->ldq : in->ldkv;
    char what[160];
    snprintf(what, sizeof what, "%s: %s", in->t->what, name);
    double tolerance = 4e-6 * (1 + in->t->scale * in->t->size * in->t->size * in->t->head_dim / 32);
    expect_close(got + (size_t)span.row * (size_t)ld, span.count, width, ld, wanted + (size_t)span.row * (size_t)width,
                 floor, tolerance, what, worst);
}

/* What no span names stays untouched. */
static void expect_untouched(const inputs *in, const results *r)
{
    for (int i = 0; i < in->at.rows; i++) {
        bool query = false, key = false;
        for (int s = 0; s < 3; s++) {
            plumb_span q = in->at.part[s].query, own = in->at.part[s].own;
            query |= s < in->at.parts && i >= q.row && i < q.row + q.count;
            key |= i >= own.row && i < own.row + own.count;
        }
        assert_true(query || r->dq[(size_t)i * (size_t)in->ldq] == GUARD);
        assert_true(key || r->dk[(size_t)i * (size_t)in->ldkv] == GUARD);
        assert_true(key || r->dv[(size_t)i * (size_t)in->ldkv] == GUARD);
    }
}

static void test_against_fp64(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    double worst = 0;
    for (int i = 0; i < COUNT(cases); i++) {
        inputs in = make_inputs(&cases[i], 3);
        results r = run(c, &in, in.at.part, in.at.parts);
        double *values = exact_values(&in), *gradients = allocate(exact_count(&in), sizeof *gradients);
        const exact e = aim(&in, values, gradients);
        exact_all(&e);
        if (exact_count(&in) < 2000)
            expect_slopes(attention_loss, &in, values, gradients, (int)exact_count(&in), in.t->what);
        double floor = 0.1 * in.t->size * in.t->scale * sqrt(in.t->head_dim); /* of a single key ds is 0 */
        for (int s = 0; s < 3; s++) {
            const plumb_segment *part = &in.at.part[s];
            if (s < in.at.parts) expect_rows(&in, r.dq, e.dq, part->query, true, floor, "dq", &worst);
            expect_rows(&in, r.dk, e.dk, part->own, false, floor, "dk", &worst);
            expect_rows(&in, r.dv, e.dv, part->own, false, 0.1, "dv", &worst);
        }
        expect_untouched(&in, &r);
        free(values);
        free(gradients);
        free_results(&r);
        free_inputs(&in);
    }
    print_message("attention: relative error at most %.2g\n", worst);
    plumb_compute_close(c);
}

/* --- bits --------------------------------------------------------------------------------------------------------- */

/* The rows of a span in x and of its twin in y must have the same bits. */
static void expect_span_bits(const float *x, plumb_span here, const float *y, plumb_span there, int width, int ld,
                             const char *what)
{
    for (int i = 0; i < here.count; i++)
        expect_same_bits(x + (size_t)(here.row + i) * (size_t)ld, y + (size_t)(there.row + i) * (size_t)ld, width,
                         what);
}

static void expect_result_bits(const inputs *in, const results *x, const inputs *far, const results *y, const char *how)
{
    char what[160];
    snprintf(what, sizeof what, "%s, %s", in->t->what, how);
    for (int s = 0; s < 3; s++) {
        const plumb_segment *here = &in->at.part[s], *there = &far->at.part[s];
        if (s < in->at.parts) {
            expect_span_bits(x->out, here->query, y->out, there->query, in->q_width, in->ldq, what);
            expect_span_bits(x->lse, here->query, y->lse, there->query, in->a.heads, in->a.heads, what);
            expect_span_bits(x->dq, here->query, y->dq, there->query, in->q_width, in->ldq, what);
        }
        expect_span_bits(x->dk, here->own, y->dk, there->own, in->kv_width, in->ldkv, what);
        expect_span_bits(x->dv, here->own, y->dv, there->own, in->kv_width, in->ldkv, what);
    }
}

static void test_threads_and_places(void **state)
{
    enum { MOVED = 37 };
    for (int i = 0; i < COUNT(cases); i++) {
        inputs in = make_inputs(&cases[i], 0), far = make_inputs(&cases[i], MOVED);
        plumb_compute *one = open_isa(state, 1);
        results alone = run(one, &in, in.at.part, in.at.parts), moved = run(one, &far, far.at.part, far.at.parts);
        expect_result_bits(&in, &alone, &far, &moved, "other places");
        free_results(&moved);
        plumb_compute_close(one);
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            plumb_compute *c = open_isa(state, threads);
            results shared = run(c, &in, in.at.part, in.at.parts);
            expect_result_bits(&in, &alone, &in, &shared, "threads");
            free_results(&shared);
            plumb_compute_close(c);
        }
        free_results(&alone);
        free_inputs(&in);
        free_inputs(&far);
    }
}

static plumb_span moved_span(plumb_span span, int rows)
{
    return (plumb_span){span.row + rows, span.count, span.position};
}

static float *doubled(const float *x, size_t count)
{
    float *both = allocate(2 * count, sizeof *both);
    memcpy(both, x, count * sizeof *x);
    memcpy(both + count, x, count * sizeof *x);
    return both;
}

/* The pair twice in one batch: both get the bits it gets alone. */
static void test_company(void **state)
{
    plumb_compute *one = open_isa(state, 1), *c = open_isa(state, MOST_THREADS);
    for (int i = 0; i < COUNT(cases); i++) {
        inputs in = make_inputs(&cases[i], 2), both = in, second = in;
        int rows = in.at.rows;
        size_t q = (size_t)rows * (size_t)in.ldq, kv = (size_t)rows * (size_t)in.ldkv;
        results alone = run(one, &in, in.at.part, in.at.parts);
        both.q = doubled(in.q, q);
        both.dout = doubled(in.dout, q);
        both.k = doubled(in.k, kv);
        both.v = doubled(in.v, kv);
        both.at.rows = 2 * rows;
        plumb_segment segments[6];
        for (int s = 0; s < 3; s++) {
            const plumb_segment *part = &in.at.part[s];
            second.at.part[s] = (plumb_segment){moved_span(part->query, rows), moved_span(part->prefix, rows),
                                                moved_span(part->own, rows)};
            segments[s] = *part;
        }
        for (int s = 0; s < in.at.parts; s++) segments[in.at.parts + s] = second.at.part[s];
        if (in.at.parts == 3) { /* the prefix's own segment, told the other way: its keys are the prefix */
            segments[5].prefix = segments[5].own;
            segments[5].own = (plumb_span){0, 0, in.t->prefix};
        }
        results r = run(c, &both, segments, 2 * in.at.parts);
        expect_result_bits(&in, &alone, &in, &r, "first of two");
        expect_result_bits(&in, &alone, &second, &r, "second of two");
        free_results(&alone);
        free_results(&r);
        free_inputs(&both);
        free_inputs(&in);
    }
    plumb_compute_close(one);
    plumb_compute_close(c);
}

/* plumb_attend's output to the bit, and the log of the sum of exponentials. */
static void test_saving(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    for (int i = 0; i < COUNT(cases); i++) {
        inputs in = make_inputs(&cases[i], 1);
        results r = run(c, &in, in.at.part, in.at.parts);
        float *out = filled_rows(in.at.rows, in.ldq, GUARD);
        expect_ok(
            plumb_attend(c, &in.a, in.at.part, in.at.parts, in.q, in.ldq, in.k, in.ldkv, in.v, in.ldkv, out, in.ldq));
        expect_same_bits(out, r.out, in.at.rows * in.ldq, in.t->what);
        double *values = exact_values(&in);
        const exact e = aim(&in, values, NULL);
        const plumb_segment *s = &in.at.part[0];
        int last = s->query.count - 1, position = s->query.position + last, row = s->query.row + last;
        double sum = 0;
        for (int p = in.a.window > 0 && position >= in.a.window ? position - in.a.window + 1 : 0; p <= position; p++)
            sum += exp(score_of(&e, e.q + row * in.q_width, e.k + key_row(s, p) * in.kv_width));
        float lse = r.lse[row * in.a.heads];
        assert_true(fabs(lse - log(sum)) <= 2e-6 * (4 + fabs(log(sum))));
        free(values);
        free(out);
        free_results(&r);
        free_inputs(&in);
    }
    plumb_compute_close(c);
}

/* Queries without any key, and keys without any query: zeros, and no NaN. */
static void test_nothing_seen(void **state)
{
    enum { D = 8, ROWS = 4 };
    plumb_compute *c = open_isa(state, 1);
    uint32_t seed = 72;
    const plumb_attention a = {1, 1, D, 0.5f, 3, 2};
    const plumb_segment s = {{0, ROWS, 5}, {0, 0, 0}, {0, ROWS, 0}}; /* queries at 5 .. 8, keys at 0 .. 3, window 2 */
    float *x = random_rows(ROWS, D, D, 1, 0, &seed), out[ROWS * D], lse[ROWS], dq[ROWS * D], dk[ROWS * D], dv[ROWS * D];
    expect_ok(plumb_attend_saving(c, &a, &s, 1, x, D, x, D, x, D, out, D, lse));
    expect_ok(plumb_attend_gradient(c, &a, &s, 1, x, D, x, D, x, D, out, D, lse, x, D, dq, D, dk, D, dv, D));
    for (int i = 0; i < ROWS; i++) assert_true(lse[i] == -INFINITY);
    for (int i = 0; i < ROWS * D; i++) assert_true(out[i] == 0 && dq[i] == 0 && dk[i] == 0 && dv[i] == 0);
    free(x);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_fp64), cmocka_unit_test(test_threads_and_places), cmocka_unit_test(test_company),
        cmocka_unit_test(test_saving),       cmocka_unit_test(test_nothing_seen),
    };
    return RUN_FOR_EACH_ISA(tests);
}
