/* Attention of every back end against fp64, and the promise that a query's bits depend on its keys alone. */
#include "ops/ops_common.h"

enum { PAD = 5, MOST_THREADS = 3 };

static const struct attention_case {
    const char *what;
    int heads, kv_heads, head_dim;
    float scale, cap;
    int window, prefix, own; /* rows of the prefix and of the own span */
    float size;              /* of the values in q and k */
} cases[] = {
    {"one token", 1, 1, 16, 0.25f, 0, 0, 0, 1, 1},
    {"two heads", 2, 2, 16, 0.25f, 0, 0, 0, 17, 1},
    {"odd head_dim", 2, 1, 5, 0.4f, 0, 0, 3, 9, 1},
    {"grouped, 24", 6, 2, 24, 0.2f, 0, 0, 70, 13, 2},
    {"multi-query, 32", 7, 1, 32, 0.17677669f, 0, 0, 64, 64, 2},
    {"more heads than lanes", 71, 1, 64, 0.125f, 0, 0, 5, 40, 1},
    {"64, tiles ending on a border", 4, 2, 64, 0.125f, 0, 0, 128, 64, 3},
    {"80", 3, 3, 80, 0.1118034f, 0, 0, 33, 100, 2},
    {"128", 4, 1, 128, 0.08838835f, 0, 0, 130, 77, 3},
    {"256, capped", 2, 1, 256, 0.0625f, 50, 0, 40, 90, 3},
    {"capped hard", 2, 2, 16, 1, 2, 0, 10, 30, 3},
    {"window within a tile", 2, 1, 32, 0.2f, 0, 10, 60, 90, 2},
    {"window over tiles", 4, 2, 32, 0.2f, 0, 100, 150, 200, 2},
    {"window of 1", 2, 2, 16, 1, 0, 1, 20, 60, 2},
    {"window beyond the end", 2, 2, 16, 0.25f, 30, 4096, 20, 60, 2},
    {"sharp scores", 2, 2, 64, 1, 0, 0, 65, 65, 6},
    {"no prefix, many tiles", 2, 1, 40, 0.15f, 0, 0, 0, 333, 2},
};

/* Buffers of one case: rows not in use are NaN, as is what lies beyond a row's end, so that a read of them shows. */
typedef struct inputs {
    const struct attention_case *t;
    plumb_attention a;
    int rows, q_width, kv_width, ldq, ldkv;
    float *q, *k, *v;
} inputs;

static inputs make_inputs(const struct attention_case *t, int rows, uint32_t *seed)
{
    inputs in = {.t = t, .rows = rows};
    in.a = (plumb_attention){t->heads, t->kv_heads, t->head_dim, t->scale, t->cap, t->window};
    in.q_width = t->heads * t->head_dim;
    in.kv_width = t->kv_heads * t->head_dim;
    in.ldq = in.q_width + PAD;
    in.ldkv = in.kv_width + PAD;
    in.q = random_rows(rows, in.q_width, in.ldq, t->size, NAN, seed);
    in.k = random_rows(rows, in.kv_width, in.ldkv, t->size, NAN, seed);
    in.v = random_rows(rows, in.kv_width, in.ldkv, 1, NAN, seed);
    return in;
}

static void free_inputs(inputs *in)
{
    free(in->q);
    free(in->k);
    free(in->v);
}

static float *attend(plumb_compute *c, const inputs *in, const plumb_segment *segments, int count)
{
    float *out = filled_rows(in->rows, in->ldq, GUARD);
    expect_ok(plumb_attend(c, &in->a, segments, count, in->q, in->ldq, in->k, in->ldkv, in->v, in->ldkv, out, in->ldq));
    expect_guards(out, in->rows, in->q_width, in->ldq, GUARD);
    return out;
}

/* The row of the key at a position, or -1 when there is none. */
static int key_row(const plumb_segment *s, int position)
{
    const plumb_span *spans[2] = {&s->prefix, &s->own};
    for (int i = 0; i < 2; i++)
        if (position >= spans[i]->position && position < spans[i]->position + spans[i]->count)
            return spans[i]->row + position - spans[i]->position;
    return -1;
}

/* One head of one query in fp64; returns the largest error allowed: roundings of the scores, weighted. */
static double exact_head(const inputs *in, const plumb_segment *s, int index, int head, double *out)
{
    int d = in->a.head_dim, position = s->query.position + index, kv = head / (in->a.heads / in->a.kv_heads);
    const float *q = in->q + (s->query.row + index) * in->ldq + head * d;
    double *score = allocate((size_t)position + 1, sizeof *score), top = -INFINITY, sum = 0, size = 0;
    for (int p = 0; p <= position; p++) {
        const float *k = in->k + key_row(s, p) * in->ldkv + kv * d;
        double dot = 0, magnitude = 0;
        for (int j = 0; j < d; j++) {
            dot += (double)q[j] * k[j] * in->a.scale;
            magnitude += fabs((double)q[j] * k[j] * in->a.scale);
        }
        score[p] = in->a.cap != 0 ? in->a.cap * tanh(dot / in->a.cap) : dot;
        if (in->a.window && p <= position - in->a.window) score[p] = -INFINITY;
        if (score[p] > top) top = score[p];
        if (magnitude > size) size = magnitude;
    }
    for (int j = 0; j < d; j++) out[j] = 0;
    for (int p = 0; p <= position; p++) sum += exp(score[p] - top);
    for (int p = 0; p <= position; p++) {
        const float *v = in->v + key_row(s, p) * in->ldkv + kv * d;
        for (int j = 0; j < d; j++) out[j] += exp(score[p] - top) / sum * v[j];
    }
    free(score);
    return 0x1p-23 * (4 + size);
}

static void expect_segment(const inputs *in, const plumb_segment *s, const float *out)
{
    int d = in->a.head_dim;
    double *wanted = allocate((size_t)d, sizeof *wanted);
    for (int i = 0; i < s->query.count; i++)
        for (int h = 0; h < in->a.heads; h++) {
            double allowed = exact_head(in, s, i, h, wanted);
            const float *got = out + (s->query.row + i) * in->ldq + h * d;
            for (int j = 0; j < d; j++)
                if (!(fabs(got[j] - wanted[j]) <= allowed))
                    fail_msg("%s: query %d, head %d, element %d: %.9g, expected %.9g", in->t->what, i, h, j, got[j],
                             wanted[j]);
        }
    free(wanted);
}

static void poison(float *x, int row, int count, int width, int ld)
{
    for (int i = row; i < row + count; i++)
        for (int j = 0; j < width; j++) x[i * ld + j] = NAN;
}

/* The layout of a pair: prefix, then chosen, then rejected, with unused rows before and between. */
typedef struct pair_segments {
    plumb_segment part[3]; /* prefix, chosen, rejected */
    int rows;
} pair_segments;

static pair_segments lay_out(const struct attention_case *t, int gap)
{
    int second = t->own > 4 ? t->own - 3 : t->own; /* the rejected response is a little shorter */
    plumb_span prefix = {gap, t->prefix, 0}, none = {0, 0, 0};
    plumb_span chosen = {prefix.row + t->prefix + gap, t->own, t->prefix};
    plumb_span rejected = {chosen.row + t->own + gap, second, t->prefix};
    return (pair_segments){
        .part = {{prefix, none, prefix}, {chosen, prefix, chosen}, {rejected, prefix, rejected}},
        .rows = rejected.row + second + gap,
    };
}

static void test_against_fp64(void **state)
{
    enum { GAP = 3 };
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 41;
    for (int i = 0; i < COUNT(cases); i++) {
        pair_segments pair = lay_out(&cases[i], GAP);
        inputs in = make_inputs(&cases[i], pair.rows, &seed);
        for (int s = 0; s < 3; s++) { /* the gaps before the spans, and the one at the end */
            int first = pair.part[s].query.row - GAP;
            poison(in.q, first, GAP, in.q_width, in.ldq);
            poison(in.k, first, GAP, in.kv_width, in.ldkv);
            poison(in.v, first, GAP, in.kv_width, in.ldkv);
        }
        poison(in.k, pair.rows - GAP, GAP, in.kv_width, in.ldkv);
        poison(in.v, pair.rows - GAP, GAP, in.kv_width, in.ldkv);
        float *out = attend(c, &in, pair.part, 3);
        for (int s = 0; s < 3; s++) {
            expect_segment(&in, &pair.part[s], out);
            for (int r = 1; r <= GAP; r++) assert_true(out[(pair.part[s].query.row - r) * in.ldq] == GUARD);
        }
        free(out);
        free_inputs(&in);
    }
    plumb_compute_close(c);
}

static void expect_query_bits(const inputs *in, const plumb_segment *s, const float *x, const float *y, const char *how)
{
    char what[160];
    snprintf(what, sizeof what, "%s, %s", in->t->what, how);
    for (int i = s->query.row; i < s->query.row + s->query.count; i++)
        expect_same_bits(x + i * in->ldq, y + i * in->ldq, in->q_width, what);
}

static void test_threads_and_company(void **state)
{
    uint32_t seed = 42;
    for (int i = 0; i < COUNT(cases); i++) {
        pair_segments pair = lay_out(&cases[i], 0);
        inputs in = make_inputs(&cases[i], pair.rows, &seed);
        plumb_compute *one = open_isa(state, 1);
        float *together = attend(one, &in, pair.part, 3);
        for (int s = 0; s < 3; s++) {
            float *alone = attend(one, &in, &pair.part[s], 1);
            expect_query_bits(&in, &pair.part[s], together, alone, "alone");
            free(alone);
        }
        plumb_compute_close(one);
        for (int threads = 2; threads <= MOST_THREADS; threads++) {
            plumb_compute *c = open_isa(state, threads);
            float *shared = attend(c, &in, pair.part, 3);
            for (int s = 0; s < 3; s++) expect_query_bits(&in, &pair.part[s], together, shared, "threads");
            free(shared);
            plumb_compute_close(c);
        }
        free(together);
        free_inputs(&in);
    }
}

/* The last `count` queries of a segment, as a last layer computes them. */
static plumb_segment tail_of(const plumb_segment *s, int count)
{
    plumb_segment tail = *s;
    int skipped = s->query.count - count;
    tail.query = (plumb_span){s->query.row + skipped, count, s->query.position + skipped};
    return tail;
}

static void test_fewer_queries(void **state)
{
    plumb_compute *c = open_isa(state, 2);
    uint32_t seed = 43;
    for (int i = 0; i < COUNT(cases); i++) {
        pair_segments pair = lay_out(&cases[i], 0);
        inputs in = make_inputs(&cases[i], pair.rows, &seed);
        float *all = attend(c, &in, pair.part, 3);
        for (int s = 0; s < 3; s++)
            for (int count = 1; count < pair.part[s].query.count; count += count < 9 ? 1 : 31) {
                plumb_segment tail = tail_of(&pair.part[s], count);
                float *some = attend(c, &in, &tail, 1);
                expect_query_bits(&in, &tail, all, some, "fewer queries");
                free(some);
            }
        for (int index = 0; index < pair.part[1].query.count; index++) { /* every query alone */
            plumb_segment single = tail_of(&pair.part[1], pair.part[1].query.count - index);
            single.query.count = 1;
            float *some = attend(c, &in, &single, 1);
            expect_query_bits(&in, &single, all, some, "one query");
            free(some);
        }
        free(all);
        free_inputs(&in);
    }
    plumb_compute_close(c);
}

/* The same pair further down in a larger buffer: other places, other neighbours, the same bits. */
static void test_places(void **state)
{
    enum { MOVED = 37 };
    plumb_compute *c = open_isa(state, 2);
    for (int i = 0; i < COUNT(cases); i++) {
        uint32_t seed = 44;
        pair_segments here = lay_out(&cases[i], 0), there = lay_out(&cases[i], MOVED);
        inputs in = make_inputs(&cases[i], here.rows, &seed), far = make_inputs(&cases[i], there.rows, &seed);
        for (int s = 0; s < 3; s++) {
            int from = here.part[s].query.row, to = there.part[s].query.row;
            size_t count = (size_t)here.part[s].query.count;
            memcpy(far.q + to * far.ldq, in.q + from * in.ldq, count * (size_t)in.ldq * sizeof(float));
            memcpy(far.k + to * far.ldkv, in.k + from * in.ldkv, count * (size_t)in.ldkv * sizeof(float));
            memcpy(far.v + to * far.ldkv, in.v + from * in.ldkv, count * (size_t)in.ldkv * sizeof(float));
        }
        float *near_out = attend(c, &in, here.part, 3), *far_out = attend(c, &far, there.part, 3);
        for (int s = 0; s < 3; s++)
            for (int r = 0; r < here.part[s].query.count; r++)
                expect_same_bits(near_out + (here.part[s].query.row + r) * in.ldq,
                                 far_out + (there.part[s].query.row + r) * in.ldq, in.q_width, cases[i].what);
        free(near_out);
        free(far_out);
        free_inputs(&in);
        free_inputs(&far);
    }
    plumb_compute_close(c);
}

/* Sums that underflow to -0: a hidden key of value +0 must not turn the sign. */
static void test_zero_outputs(void **state)
{
    plumb_compute *c = open_isa(state, 1);
    uint32_t seed = 45;
    pair_segments pair = lay_out(&cases[3], 0);
    inputs in = make_inputs(&cases[3], pair.rows, &seed);
    for (int i = 0; i < pair.rows; i++)
        for (int j = 0; j < in.kv_width; j++) in.v[i * in.ldkv + j] = i % 2 ? -1e-45f : 0;
    float *all = attend(c, &in, pair.part, 3);
    for (int index = 0; index < pair.part[1].query.count; index++) {
        plumb_segment single = tail_of(&pair.part[1], pair.part[1].query.count - index);
        single.query.count = 1;
        float *some = attend(c, &in, &single, 1);
        expect_query_bits(&in, &single, all, some, "zeros");
        free(some);
    }
    free(all);
    free_inputs(&in);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_fp64),  cmocka_unit_test(test_threads_and_company),
        cmocka_unit_test(test_fewer_queries), cmocka_unit_test(test_places),
        cmocka_unit_test(test_zero_outputs),
    };
    return RUN_FOR_EACH_ISA(tests);
}
