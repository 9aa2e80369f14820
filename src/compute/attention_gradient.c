/* The way back through attention, by tiles of keys (FlashAttention-2, Dao 2023, algorithm 2). With scores s = cap(scale
 * q k^T), p = exp(s - lse) and D_i = <dout_i, out_i>:
 *
 *     dv_j = sum_i p_ij dout_i                    ds_ij = p_ij (<dout_i, v_j> - D_i) (1 - (s_ij / cap)^2)
 *     dk_j = sum_i ds_ij scale q_i                dq_i = scale sum_j ds_ij k_j
 *
 * Queries lie in lanes as on the way forth, scores are [key][lane]. Segments that share keys form a group; the work is
 * shared out as (group, key/value head), each of which owns its rows of dk and dv, or where those are too few for the
 * threads, in two passes: (group, head, strip of keys) for dk and dv, (segment, head, block of queries) for dq.
 *
 * Bits: s, p and ds belong to one query and one key. dq is a chain over ascending keys, dk and dv are chains over the
 * group's queries by segment, row and head, all carried on in memory from tile to tile, so that neither the cut nor the
 * passes change them. A hidden key has p = ds = 0, which changes no chain but the sign of a zero; the last step makes
 * zeros positive. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "compute/attention_lanes.h"
#include "compute/gradient.h"
#include "compute/kernels.h"

enum {
    KEYS = PLUMB_KEYS,
    LANES = PLUMB_LANES,
    STRIP = 4 * KEYS,        /* keys of a unit in the first of two passes */
    SHARE = 3,               /* units per thread from which one pass is balanced enough */
    PARALLEL_FROM = 1 << 17, /* multiply-adds of one of the five products */
    DOT_LANES = 16
};

typedef struct call {
    const plumb_kernels *kernels;
    const plumb_attention *a;
    const float *q, *k, *v, *out, *lse, *dout;
    float *dq, *dk, *dv;
    size_t ldq, ldk, ldv, ldo, lddo, lddq, lddk, lddv;
} call;

/* What a pass computes of a block of queries, and for which rows of keys: first .. last - 1. */
typedef struct pass {
    bool queries, keys; /* dq; dk and dv */
    int first, last;
} pass;

/* One block of queries: a thread's scratch. */
typedef struct block {
    float *queries, *douts;        /* [head_dim][LANES]; queries scaled */
    float *query_rows, *dout_rows; /* the same, [LANES][head_dim] */
    float *dq;                     /* [LANES][head_dim], not scaled yet */
    float *scores, *slopes;        /* [KEYS][LANES]: s, then p; <dout, v>, then ds */
    float *keys;                   /* [KEYS][head_dim] */
    float lse[LANES], dsum[LANES];
    plumb_lanes at;
} block;

static size_t padded(int head_dim)
{
    return ((size_t)head_dim + 15) / 16 * 16;
}

static size_t scratch_floats(int head_dim)
{
    return padded(head_dim) * (5 * LANES + KEYS) + 2 * (size_t)KEYS * LANES;
}

static void carve(block *b, float *scratch, int head_dim)
{
    size_t d = padded(head_dim);
    b->queries = scratch;
    b->douts = b->queries + d * LANES;
    b->query_rows = b->douts + d * LANES;
    b->dout_rows = b->query_rows + d * LANES;
    b->dq = b->dout_rows + d * LANES;
    b->scores = b->dq + d * LANES;
    b->slopes = b->scores + (size_t)KEYS * LANES;
    b->keys = b->slopes + (size_t)KEYS * LANES;
}

/* --- a block of queries ------------------------------------------------------------------------------------------- */

/* In fixed lanes, in fp64. */
static float dot(const float *x, const float *y, int n)
{
    double lane[DOT_LANES] = {0}, sum = 0;
    int j = 0;
    for (; j + DOT_LANES <= n; j += DOT_LANES)
        for (int l = 0; l < DOT_LANES; l++) lane[l] += (double)x[j + l] * y[j + l];
    for (int l = 0; j + l < n; l++) lane[l] += (double)x[j + l] * y[j + l];
    for (int l = 0; l < DOT_LANES; l++) sum += lane[l];
    return (float)sum;
}

/* to [n][LANES] = the transpose of from [lanes][n], by squares that stay in the cache. */
static void transpose(const float *from, int lanes, int n, float *to)
{
    for (int j0 = 0; j0 < n; j0 += 16)
        for (int lane = 0; lane < lanes; lane++)
            for (int j = j0; j < n && j < j0 + 16; j++)
                to[(size_t)j * LANES + (size_t)lane] = from[(size_t)lane * (size_t)n + (size_t)j];
}

static void load_block(const call *c, const plumb_segment *segment, block *b)
{
    int d = c->a->head_dim, heads = c->a->heads;
    for (int lane = 0; lane < b->at.lanes; lane++) {
        int used = lane < b->at.count ? lane : b->at.count - 1; /* lanes beyond repeat the last one */
        size_t row = (size_t)plumb_lane_row(segment, &b->at, used), head = (size_t)plumb_lane_head(&b->at, used);
        const float *q = c->q + row * c->ldq + head * (size_t)d, *dout = c->dout + row * c->lddo + head * (size_t)d;
        float *to = b->query_rows + (size_t)lane * (size_t)d, lse = c->lse[row * (size_t)heads + head];
        for (int j = 0; j < d; j++) to[j] = c->a->scale * q[j];
        memcpy(b->dout_rows + (size_t)lane * (size_t)d, dout, (size_t)d * sizeof *dout);
        b->lse[lane] = lse == -INFINITY ? 0 : lse; /* a query that sees no key: all its p are exp(-INFINITY) */
        b->dsum[lane] = dot(dout, c->out + row * c->ldo + head * (size_t)d, d);
    }
    transpose(b->query_rows, b->at.lanes, d, b->queries);
    transpose(b->dout_rows, b->at.lanes, d, b->douts);
    memset(b->dq, 0, (size_t)b->at.lanes * (size_t)d * sizeof *b->dq);
}

/* p and ds of keys and values of rows row .. row + keys - 1, at positions first ..., in scores and slopes. */
static void slope_tile(const call *c, block *b, const float *k, const float *v, int first, int keys)
{
    int d = c->a->head_dim, lanes = b->at.lanes;
    c->kernels->product_tile(keys, lanes, d, k, c->ldk, 1, b->queries, LANES, b->scores, LANES, false);
    if (c->a->cap != 0)
        for (int i = 0; i < keys; i++) c->kernels->cap_row(b->scores + (size_t)i * LANES, lanes, c->a->cap);
    plumb_hide_keys(c->a, &b->at, b->scores, first, keys);
    c->kernels->product_tile(keys, lanes, d, v, c->ldv, 1, b->douts, LANES, b->slopes, LANES, false);
    c->kernels->softmax_gradient_tile(b->scores, b->slopes, LANES, keys, lanes, c->a->cap, b->lse, b->dsum);
}

static void add_tile(const call *c, const pass *p, block *b, int row, int first, int keys)
{
    size_t d = (size_t)c->a->head_dim, offset = (size_t)b->at.head * d, r = (size_t)row;
    const float *k = c->k + r * c->ldk + offset, *v = c->v + r * c->ldv + offset;
    slope_tile(c, b, k, v, first, keys);
    if (p->keys) {
        c->kernels->product_tile(keys, (int)d, b->at.count, b->scores, LANES, 1, b->dout_rows, d,
                                 c->dv + r * c->lddv + offset, c->lddv, true);
        c->kernels->product_tile(keys, (int)d, b->at.count, b->slopes, LANES, 1, b->query_rows, d,
                                 c->dk + r * c->lddk + offset, c->lddk, true);
    }
    if (p->queries) { /* a copy: rows a power of two apart would fight for the same lines of the cache */
        for (int i = 0; i < keys; i++) memcpy(b->keys + (size_t)i * d, k + (size_t)i * c->ldk, d * sizeof *k);
        c->kernels->product_tile(b->at.count, (int)d, keys, b->slopes, 1, LANES, b->keys, d, b->dq, d, true);
    }
}

/* The part of a span that the pass is about and that at least one query of the block sees. */
static plumb_span clip(const call *c, const pass *p, const block *b, const plumb_span *span)
{
    int low = plumb_first_visible(c->a, b->at.position[0]), high = b->at.position[b->at.count - 1];
    int first = 0, last = span->count;
    if (first < p->first - span->row) first = p->first - span->row;
    if (first < low - span->position) first = low - span->position;
    if (last > p->last - span->row) last = p->last - span->row;
    if (last > high + 1 - span->position) last = high + 1 - span->position;
    return (plumb_span){span->row + first, last > first ? last - first : 0, span->position + first};
}

static void store_dq(const call *c, const plumb_segment *segment, const block *b)
{
    int d = c->a->head_dim;
    for (int lane = 0; lane < b->at.count; lane++) {
        float *dq = c->dq + plumb_lane_offset(c->a, segment, &b->at, lane, c->lddq);
        const float *sums = b->dq + (size_t)lane * (size_t)d;
        for (int j = 0; j < d; j++) dq[j] = c->a->scale * sums[j] + 0.0f;
    }
}

static void run_block(const call *c, const pass *p, const plumb_segment *segment, int head, int index, block *b)
{
    plumb_set_lanes(c->a, segment, head, index * LANES, &b->at);
    const plumb_span spans[2] = {clip(c, p, b, &segment->prefix), clip(c, p, b, &segment->own)};
    if (!p->queries && !spans[0].count && !spans[1].count) return;
    load_block(c, segment, b);
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < spans[s].count; i += KEYS) {
            int keys = spans[s].count - i < KEYS ? spans[s].count - i : KEYS;
            add_tile(c, p, b, spans[s].row + i, spans[s].position + i, keys);
        }
    if (p->queries) store_dq(c, segment, b);
}

/* --- a group of segments ------------------------------------------------------------------------------------------ */

/* Before the first block: the span's rows of one head of dk or dv, as far as the pass is about them, become 0. */
static void zero_rows(float *x, size_t ld, int d, const plumb_span *span, const pass *p)
{
    for (int row = span->row; row < span->row + span->count; row++)
        if (row >= p->first && row < p->last) memset(x + (size_t)row * ld, 0, (size_t)d * sizeof *x);
}

/* After the last block: -0 becomes +0. */
static void positive_zeros(float *x, size_t ld, int d, const plumb_span *span, const pass *p)
{
    for (int row = span->row; row < span->row + span->count; row++)
        if (row >= p->first && row < p->last)
            for (int j = 0; j < d; j++) x[(size_t)row * ld + (size_t)j] += 0.0f;
}

static void for_key_rows(const call *c, const pass *p, const plumb_segment *segments, int count, int head,
                         void (*act)(float *x, size_t ld, int d, const plumb_span *span, const pass *p))
{
    int d = c->a->head_dim;
    size_t offset = (size_t)head * (size_t)d;
    for (int i = 0; i < count; i++) {
        act(c->dk + offset, c->lddk, d, &segments[i].prefix, p);
        act(c->dk + offset, c->lddk, d, &segments[i].own, p);
        act(c->dv + offset, c->lddv, d, &segments[i].prefix, p);
        act(c->dv + offset, c->lddv, d, &segments[i].own, p);
    }
}

/* One key/value head of a group for the keys of the pass, with dk and dv. */
static void run_group(const call *c, const pass *p, const plumb_segment *segments, int count, int head, block *b)
{
    for_key_rows(c, p, segments, count, head, zero_rows);
    for (int i = 0; i < count; i++)
        for (int index = 0; index < plumb_lane_blocks(c->a, &segments[i]); index++)
            run_block(c, p, &segments[i], head, index, b);
    for_key_rows(c, p, segments, count, head, positive_zeros);
}

static bool overlap(const plumb_span *a, const plumb_span *b)
{
    return a->count > 0 && b->count > 0 && a->row < b->row + b->count && b->row < a->row + a->count;
}

static bool share_keys(const plumb_segment *a, const plumb_segment *b)
{
    return overlap(&a->prefix, &b->prefix) || overlap(&a->prefix, &b->own) || overlap(&a->own, &b->prefix) ||
           overlap(&a->own, &b->own);
}

/* The end of the group that starts at `first`: each further segment shares keys with one before it. */
static int group_end(const plumb_segment *segments, int first, int count)
{
    int last = first + 1;
    for (; last < count; last++) {
        int other = first;
        while (other < last && !share_keys(&segments[other], &segments[last])) other++;
        if (other == last) break;
    }
    return last;
}

/* The rows of keys from the first to the last that the segments name. */
static pass key_extent(const plumb_segment *segments, int count)
{
    pass p = {.keys = true, .first = INT32_MAX, .last = 0};
    for (int i = 0; i < count; i++) {
        const plumb_span *spans[2] = {&segments[i].prefix, &segments[i].own};
        for (int s = 0; s < 2; s++) {
            if (!spans[s]->count) continue;
            if (spans[s]->row < p.first) p.first = spans[s]->row;
            if (spans[s]->row + spans[s]->count > p.last) p.last = spans[s]->row + spans[s]->count;
        }
    }
    if (p.first > p.last) p.first = p.last;
    return p;
}

/* This thread's share of a group in one pass; this and the next two are to be called by all threads of a team. */
static void whole_heads(const call *c, const plumb_segment *segments, int count, block *b)
{
    const pass p = {.queries = true, .keys = true, .first = 0, .last = INT32_MAX};
#pragma omp for schedule(dynamic) nowait
    for (int head = 0; head < c->a->kv_heads; head++) run_group(c, &p, segments, count, head, b);
}

static void key_strips(const call *c, const plumb_segment *segments, int count, block *b)
{
    const pass all = key_extent(segments, count);
    int strips = (all.last - all.first + STRIP - 1) / STRIP;
#pragma omp for collapse(2) schedule(dynamic) nowait
    for (int head = 0; head < c->a->kv_heads; head++)
        for (int i = 0; i < strips; i++) {
            pass p = {.keys = true, .first = all.first + i * STRIP, .last = all.first + (i + 1) * STRIP};
            if (p.last > all.last) p.last = all.last;
            run_group(c, &p, segments, count, head, b);
        }
}

static void query_blocks(const call *c, const plumb_segment *segment, block *b)
{
    const pass p = {.queries = true, .first = 0, .last = INT32_MAX};
    int blocks = plumb_lane_blocks(c->a, segment);
#pragma omp for collapse(2) schedule(dynamic) nowait
    for (int head = 0; head < c->a->kv_heads; head++)
        for (int i = 0; i < blocks; i++) /* the last blocks see the most keys: they go first */
            run_block(c, &p, segment, head, blocks - 1 - i, b);
}

static int count_groups(const plumb_segment *segments, int count)
{
    int groups = 0;
    for (int first = 0; first < count; first = group_end(segments, first, count)) groups++;
    return groups;
}

static int wanted_threads(const plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count)
{
    double total = 0;
    for (int i = 0; i < count; i++)
        total += (double)segments[i].query.count * (segments[i].prefix.count + segments[i].own.count);
    return total * a->heads * a->head_dim < PARALLEL_FROM ? 1 : c->threads;
}

static void run_threads(const call *c, const plumb_segment *segments, int count, float *scratch, int threads)
{
    bool one_pass = threads == 1 || count_groups(segments, count) * c->a->kv_heads >= SHARE * threads;
    size_t share = scratch_floats(c->a->head_dim);
#pragma omp parallel num_threads(threads)
    {
        block b;
        carve(&b, scratch + share * (size_t)omp_get_thread_num(), c->a->head_dim);
        for (int first = 0, last; first < count; first = last) {
            last = group_end(segments, first, count);
            if (one_pass)
                whole_heads(c, segments + first, last - first, &b);
            else
                key_strips(c, segments + first, last - first, &b);
        }
        for (int i = 0; i < count && !one_pass; i++) query_blocks(c, &segments[i], &b);
    }
}

plumb_status plumb_attend_gradient(plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count,
                                   const float *q, int ldq, const float *k, int ldk, const float *v, int ldv,
                                   const float *out, int ldo, const float *lse, const float *dout, int lddo, float *dq,
                                   int lddq, float *dk, int lddk, float *dv, int lddv)
{
    int threads = wanted_threads(c, a, segments, count);
    size_t share = scratch_floats(a->head_dim);
    PLUMB_TRY(plumb_compute_scratch(&c->scratch, &c->scratch_capacity, share * (size_t)threads));
    const call shared = {
        .kernels = &c->kernels,
        .a = a,
        .q = q,
        .k = k,
        .v = v,
        .out = out,
        .lse = lse,
        .dout = dout,
        .dq = dq,
        .dk = dk,
        .dv = dv,
        .ldq = (size_t)ldq,
        .ldk = (size_t)ldk,
        .ldv = (size_t)ldv,
        .ldo = (size_t)ldo,
        .lddo = (size_t)lddo,
        .lddq = (size_t)lddq,
        .lddk = (size_t)lddk,
        .lddv = (size_t)lddv,
    };
    run_threads(&shared, segments, count, c->scratch, threads);
    return PLUMB_OK;
}
