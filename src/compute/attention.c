/* Attention: the frame around product_tile and softmax_tile.
 *
 * out = softmax(cap(scale q k^T)) v by the online softmax (Milakov & Gimelshein 2018; FlashAttention, Dao et al. 2022):
 * per tile of keys the running maximum, sum and output of each query are rescaled, and the output is divided by the sum
 * at the end. Work is shared out as (segment, key/value head, block of queries).
 *
 * A block's queries stand side by side in lanes (attention_lanes.h). Scores are computed transposed, s [key][lane], so
 * that a tile of keys is read in place and once for all heads of the group, and the softmax needs no sums across lanes.
 *
 * Why a query's bits do not depend on its block: tiles are cut by positions alone, each lane's arithmetic is its own,
 * and a hidden key has the score -INFINITY, thus a probability of exactly 0, which changes neither maximum, sum nor
 * output; a tile in which a lane sees nothing rescales it by exactly 1. Only the sign of a zero output could differ;
 * the last step makes it positive. */
#include <float.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "compute/attention_lanes.h"
#include "compute/gradient.h"
#include "compute/kernels.h"

enum {
    KEYS = PLUMB_KEYS,
    LANES = PLUMB_LANES,
    COPY_FROM = 32,         /* lanes that pay for a contiguous copy of the tile's values */
    PARALLEL_FROM = 1 << 18 /* multiply-adds */
};

/* What all blocks of a call share. */
typedef struct call {
    const plumb_kernels *kernels;
    const plumb_attention *a;
    const float *q, *k, *v;
    float *out, *lse; /* lse [.][heads] or NULL */
    size_t ldq, ldk, ldv, ldo;
} call;

/* One block: a thread's scratch, and where its queries are. */
typedef struct block {
    float *queries; /* [head_dim][LANES], scaled */
    float *scores;  /* [KEYS][LANES] */
    float *sums;    /* [LANES][head_dim]: the output before the division */
    float *values;  /* [KEYS][head_dim] */
    float max[LANES], sum[LANES], rescale[LANES];
    plumb_lanes at;
} block;

static size_t scratch_floats(int head_dim)
{
    size_t d = ((size_t)head_dim + 15) / 16 * 16;
    return d * LANES + KEYS * LANES + d * LANES + d * KEYS;
}

int64_t plumb_attend_bytes(const plumb_compute *c, int head_dim)
{
    return (int64_t)(scratch_floats(head_dim) * sizeof(float)) * c->threads;
}

static void carve(block *b, float *scratch, int head_dim)
{
    size_t d = ((size_t)head_dim + 15) / 16 * 16;
    b->queries = scratch;
    b->scores = b->queries + d * LANES;
    b->sums = b->scores + (size_t)KEYS * LANES;
    b->values = b->sums + d * LANES;
}

static void load_queries(const call *c, const plumb_segment *segment, block *b)
{
    int d = c->a->head_dim;
    for (int lane = 0; lane < b->at.lanes; lane++) {
        int used = lane < b->at.count ? lane : b->at.count - 1; /* lanes beyond repeat the last one */
        const float *q = c->q + plumb_lane_offset(c->a, segment, &b->at, used, c->ldq);
        b->max[lane] = -FLT_MAX;
        b->sum[lane] = 0;
        for (int j = 0; j < d; j++) b->queries[(size_t)j * LANES + (size_t)lane] = c->a->scale * q[j];
    }
    memset(b->sums, 0, (size_t)b->at.lanes * (size_t)d * sizeof *b->sums);
}

static void rescale(const call *c, block *b)
{
    int d = c->a->head_dim;
    for (int lane = 0; lane < b->at.count; lane++) {
        if (b->rescale[lane] == 1) continue;
        float *sums = b->sums + (size_t)lane * (size_t)d, factor = b->rescale[lane];
        for (int j = 0; j < d; j++) sums[j] *= factor;
    }
}

/* One tile: keys and values of rows row .. row + keys - 1, at positions first ... */
static void add_tile(const call *c, block *b, int row, int first, int keys)
{
    size_t d = (size_t)c->a->head_dim, offset = (size_t)b->at.head * d;
    const float *k = c->k + (size_t)row * c->ldk + offset, *v = c->v + (size_t)row * c->ldv + offset;
    c->kernels->product_tile(keys, b->at.lanes, (int)d, k, c->ldk, 1, b->queries, LANES, b->scores, LANES, false);
    if (c->a->cap != 0)
        for (int i = 0; i < keys; i++) c->kernels->cap_row(b->scores + (size_t)i * LANES, b->at.lanes, c->a->cap);
    plumb_hide_keys(c->a, &b->at, b->scores, first, keys);
    c->kernels->softmax_tile(b->scores, LANES, keys, b->at.lanes, b->max, b->sum, b->rescale);
    rescale(c, b);
    size_t ldv = c->ldv;
    if (b->at.count >= COPY_FROM) { /* rows a power of two apart would fight for the same lines of the cache */
        for (int i = 0; i < keys; i++) memcpy(b->values + (size_t)i * d, v + (size_t)i * ldv, d * sizeof *v);
        v = b->values;
        ldv = d;
    }
    c->kernels->product_tile(b->at.count, (int)d, keys, b->scores, 1, LANES, v, ldv, b->sums, d, true);
}

/* The tiles of a span that at least one query of the block sees. */
static void add_span(const call *c, block *b, const plumb_span *span)
{
    int low = plumb_first_visible(c->a, b->at.position[0]), high = b->at.position[b->at.count - 1];
    for (int start = 0; start < span->count; start += KEYS) {
        int first = span->position + start, keys = span->count - start < KEYS ? span->count - start : KEYS;
        if (first > high) break;
        if (first + keys <= low) continue;
        if (first + keys - 1 > high) keys = high - first + 1;
        add_tile(c, b, span->row + start, first, keys);
    }
}

static void store(const call *c, const plumb_segment *segment, const block *b)
{
    int d = c->a->head_dim;
    for (int lane = 0; lane < b->at.count; lane++) {
        float *out = c->out + plumb_lane_offset(c->a, segment, &b->at, lane, c->ldo);
        const float *sums = b->sums + (size_t)lane * (size_t)d;
        float sum = b->sum[lane] == 0 ? 1 : b->sum[lane];          /* a query that sees no key gives 0 */
        for (int j = 0; j < d; j++) out[j] = sums[j] / sum + 0.0f; /* -0 becomes +0 */
    }
}

/* The log of the sum of exponentials, for the way back. */
static void store_lse(const call *c, const plumb_segment *segment, const block *b)
{
    for (int lane = 0; lane < b->at.count; lane++) {
        size_t row = (size_t)plumb_lane_row(segment, &b->at, lane), head = (size_t)plumb_lane_head(&b->at, lane);
        c->lse[row * (size_t)c->a->heads + head] = (float)(b->max[lane] + log((double)b->sum[lane]));
    }
}

static void attend_block(const call *c, const plumb_segment *segment, int head, int first, block *b)
{
    plumb_set_lanes(c->a, segment, head, first, &b->at);
    load_queries(c, segment, b);
    add_span(c, b, &segment->prefix);
    add_span(c, b, &segment->own);
    store(c, segment, b);
    if (c->lse) store_lse(c, segment, b);
}

/* This thread's share of one segment; to be called by all threads of a team. */
static void attend_segment(const call *c, const plumb_segment *segment, block *b)
{
    int blocks = plumb_lane_blocks(c->a, segment);
#pragma omp for collapse(2) schedule(dynamic) nowait
    for (int head = 0; head < c->a->kv_heads; head++)
        for (int i = 0; i < blocks; i++) /* the last blocks see the most keys: they go first */
            attend_block(c, segment, head, (blocks - 1 - i) * LANES, b);
}

static double multiply_adds(const plumb_attention *a, const plumb_segment *segments, int count)
{
    double total = 0;
    for (int i = 0; i < count; i++)
        total += (double)segments[i].query.count * (segments[i].prefix.count + segments[i].own.count);
    return total * a->heads * a->head_dim;
}

plumb_status plumb_attend_saving(plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count,
                                 const float *q, int ldq, const float *k, int ldk, const float *v, int ldv, float *out,
                                 int ldo, float *lse)
{
    int threads = multiply_adds(a, segments, count) < PARALLEL_FROM ? 1 : c->threads;
    size_t share = scratch_floats(a->head_dim);
    PLUMB_TRY(plumb_compute_scratch(&c->scratch, &c->scratch_capacity, share * (size_t)threads));
    float *scratch = c->scratch;
    const call shared = {
        .kernels = &c->kernels,
        .a = a,
        .q = q,
        .k = k,
        .v = v,
        .out = out,
        .lse = lse,
        .ldq = (size_t)ldq,
        .ldk = (size_t)ldk,
        .ldv = (size_t)ldv,
        .ldo = (size_t)ldo,
    };
#pragma omp parallel num_threads(threads)
    {
        block b;
        carve(&b, scratch + share * (size_t)omp_get_thread_num(), a->head_dim);
        for (int i = 0; i < count; i++) attend_segment(&shared, &segments[i], &b);
    }
    return PLUMB_OK;
}

plumb_status plumb_attend(plumb_compute *c, const plumb_attention *a, const plumb_segment *segments, int count,
                          const float *q, int ldq, const float *k, int ldk, const float *v, int ldv, float *out,
                          int ldo)
{
    return plumb_attend_saving(c, a, segments, count, q, ldq, k, ldk, v, ldv, out, ldo, NULL);
}
