/* The portable frame of the matrix products, in the manner of BLIS (Van Zee & van de Geijn 2015).
 *
 *     for each chunk of rows, for each block of k:              all threads together
 *         pack the inputs [chunk][block] into panels of mr rows
 *         for each strip of columns:                            one thread each
 *             widen and pack the weights [strip][block] into panels of nr columns
 *             for each panel of rows, for each panel of columns: gemm_tile
 *
 * A panel of inputs and a strip of weights (together 0.6 MB) come from the second cache, the inputs of a block (4 MB)
 * from the third. Such long blocks give up the first cache for fewer round trips of the outputs (SPEED.md has what was
 * measured). How the work is cut decides speed alone: a tile continues the chain of its outputs from y, so that every output is one
 * chain over ascending k. */
#include <math.h>
#include <omp.h>

#include "compute/compute.h"
#include "compute/kernels.h"
#include "compute/parts.h"
#include "compute/rounding.h"

enum {
    BLOCK = 2048,      /* steps of k */
    CHUNK = 512,       /* rows */
    STRIP = 64,        /* columns */
    MATRICES = 4,      /* that share their inputs */
    SHARE = 2,         /* pieces of work wanted per thread, so that a slow one does not hold up the others */
    FEW_OUTPUTS = 64,  /* outputs that a thread takes at a time where there are few rows */
    ALONE = 64 * 1024, /* multiply-adds below which other threads are not worth waking */
};

/* One product of inputs with `count` matrices, and how it is cut. */
typedef struct job {
    const plumb_gemm *gemm;
    bool round; /* operands are rounded to bf16 in their fp32 panels */
    const plumb_linear *const *w;
    int count;
    bool transposed;
    const float *x;
    int ldx, rows;
    float *const *y;
    const int *ldy;
    plumb_store store;

    int depth; /* length of the chains: k, or n of the transposed product */
    int block; /* of depth at a time: elements of panels, each `pair` steps */
    int blocks;
    int chunk;  /* rows whose packed inputs are held at a time; a multiple of mr */
    int strip;  /* columns that a thread packs at a time; a multiple of nr */
    int pieces; /* a strip's rows are computed in so many pieces */
    int strips[MATRICES];
    size_t units; /* strips * pieces */
    int threads;
    float *inputs;  /* [chunk / mr][block][mr] */
    float *weights; /* [threads][strip / nr][block][nr] */
} job;

static int outputs(const job *j, int matrix)
{
    return j->transposed ? j->w[matrix]->k : j->w[matrix]->n;
}

static int all_strips(const job *j)
{
    int total = 0;
    for (int i = 0; i < j->count; i++) total += j->strips[i];
    return total;
}

static void cut_columns(job *j, int strip)
{
    j->strip = strip;
    for (int i = 0; i < j->count; i++) j->strips[i] = plumb_ceil_div(outputs(j, i), strip);
}

/* Strips get narrower, then shorter, until there is work for every thread. */
static void cut(job *j, int threads)
{
    int mr = j->gemm->mr, nr = j->gemm->nr, depth = plumb_ceil_div(j->depth, j->gemm->pair);
    double work = 0;
    for (int i = 0; i < j->count; i++) work += (double)outputs(j, i) * j->depth * j->rows;
    j->threads = work < ALONE ? 1 : threads;
    j->block = plumb_even_part(depth, BLOCK, 32);
    j->blocks = depth ? plumb_ceil_div(depth, j->block) : 1;
    j->chunk = plumb_even_part(j->rows, CHUNK, mr);
    int strip = plumb_ceil_div(STRIP, nr) * nr;
    cut_columns(j, strip);
    while (strip > nr && all_strips(j) < SHARE * j->threads) {
        strip = plumb_ceil_div(strip / 2, nr) * nr;
        cut_columns(j, strip);
    }
    int wanted = all_strips(j) ? plumb_ceil_div(SHARE * j->threads, all_strips(j)) : 1;
    j->pieces = all_strips(j) >= j->threads ? 1 : plumb_smaller(wanted, j->chunk / mr);
    j->units = (size_t)all_strips(j) * (size_t)j->pieces;
}

/* Where a unit of work lies. All units have one order: by chunk of rows, block of depth, matrix, strip, piece. */
typedef struct unit {
    int row0, rows;      /* the chunk */
    int k0, kc;          /* the block */
    int first, last;     /* rows of the chunk that the piece covers, in steps of mr */
    int matrix;          /* whose columns ... */
    int column, columns; /* ... make the strip */
} unit;

static unit find_unit(const job *j, size_t index)
{
    unit u = {0};
    size_t step = index / j->units, blocks = (size_t)j->blocks;
    int strip = (int)(index % j->units) / j->pieces, piece = (int)(index % j->units) % j->pieces;
    u.row0 = (int)(step / blocks) * j->chunk;
    u.rows = plumb_smaller(j->chunk, j->rows - u.row0);
    u.k0 = (int)(step % blocks) * j->block * j->gemm->pair;
    u.kc = plumb_smaller(j->block * j->gemm->pair, j->depth - u.k0);
    int height = plumb_ceil_div(j->chunk / j->gemm->mr, j->pieces) * j->gemm->mr;
    u.first = plumb_smaller(piece * height, u.rows);
    u.last = plumb_smaller(u.first + height, u.rows);
    while (strip >= j->strips[u.matrix]) strip -= j->strips[u.matrix++];
    u.column = strip * j->strip;
    u.columns = plumb_smaller(j->strip, outputs(j, u.matrix) - u.column);
    return u;
}

/* Lines of memory that a thread will want soon, asked for a few at a time between tiles. */
typedef struct wish {
    const char *row; /* NULL: nothing more */
    size_t bytes, distance, rows_left, at;
} wish;

enum { LINE = 64, SMALL_TILE = 256 };

/* The stored weights of a unit. */
static wish wish_for(const job *j, const unit *u)
{
    const plumb_linear *w = j->w[u->matrix];
    size_t size = plumb_dtype_size(w->dtype);
    size_t row = (size_t)(j->transposed ? u->k0 : u->column), column = (size_t)(j->transposed ? u->column : u->k0);
    return (wish){.row = (const char *)w->weight + (row * (size_t)w->k + column) * size,
                  .bytes = (size_t)(j->transposed ? u->columns : u->kc) * size,
                  .distance = (size_t)w->k * size,
                  .rows_left = (size_t)(j->transposed ? u->kc : u->columns)};
}

static size_t lines_of(const wish *w)
{
    return w->row ? w->rows_left * (w->bytes / LINE + 1) : 0;
}

static void ask(wish *w, size_t lines)
{
    for (; lines && w->row; lines--) {
        __builtin_prefetch(w->row + w->at, 0, 2);
        w->at += LINE;
        if (w->at < w->bytes) continue;
        w->at = 0;
        w->row = --w->rows_left ? w->row + w->distance : NULL;
    }
}

/* Pays off for small tiles, which are over before their outputs arrive; large ones wait for them a shorter share. */
static void ask_for_outputs(const float *y, size_t ldy, int m, int n)
{
    for (int i = 0; i < m; i++)
        for (int c = 0; c < n; c += LINE / (int)sizeof *y) __builtin_prefetch(y + (size_t)i * ldy + c, 1, 3);
}

static int steps_of(const job *j, int kc)
{
    return plumb_ceil_div(kc, j->gemm->pair);
}

static void pack_panel(const job *j, int row0, int rows, int panel, int k0, int kc)
{
    int mr = j->gemm->mr, first = panel * mr;
    const float *x = j->x + ((size_t)row0 + (size_t)first) * (size_t)j->ldx;
    float *a = j->inputs + (size_t)first * (size_t)j->block;
    j->gemm->pack_inputs(x, j->ldx, plumb_smaller(mr, rows - first), k0, kc, mr, a);
    if (j->round) plumb_round_bf16(a, (size_t)kc * (size_t)mr);
}

/* The weights of a unit as panels. Returns false at a NaN or infinity, be it rounding that makes it. */
static bool pack_strip(const job *j, const unit *u, float *panels)
{
    const plumb_gemm *gemm = j->gemm;
    const plumb_linear *w = j->w[u->matrix];
    size_t k = (size_t)w->k;
    int nr = gemm->nr;
    bool finite = true;
    for (int c = 0; c < u->columns; c += nr, panels += (size_t)nr * (size_t)j->block) {
        int n = plumb_smaller(nr, u->columns - c), column = u->column + c;
        const char *row = (const char *)w->weight + (size_t)column * k * plumb_dtype_size(w->dtype);
        if (j->transposed)
            finite &= gemm->pack_weights_transposed(w->weight, w->dtype, k, u->k0, u->kc, column, n, nr, panels);
        else
            finite &= gemm->pack_weights(row, w->dtype, k, n, u->k0, u->kc, nr, panels);
        if (j->round && w->dtype != PLUMB_BF16) finite &= plumb_round_bf16(panels, (size_t)u->kc * (size_t)nr);
    }
    return finite;
}

/* The tiles of one unit. Meanwhile the outputs of the next tile and the weights of the next unit are on their way. */
static void multiply(const job *j, const unit *u, const float *panels, wish *next)
{
    const plumb_gemm *gemm = j->gemm;
    int mr = gemm->mr, nr = gemm->nr, steps = steps_of(j, u->kc);
    size_t ldy = (size_t)j->ldy[u->matrix], tiles = (size_t)plumb_ceil_div(u->last - u->first, mr);
    tiles *= (size_t)plumb_ceil_div(u->columns, nr);
    size_t share = tiles ? lines_of(next) / tiles + 1 : 0;
    const float *bias = j->transposed || u->k0 ? NULL : j->w[u->matrix]->bias;
    bool start = u->k0 > 0 || j->store == PLUMB_ADD, small = mr * nr <= SMALL_TILE;
    for (int i = u->first; i < u->last; i += mr) {
        float *y = j->y[u->matrix] + ((size_t)u->row0 + (size_t)i) * ldy + u->column;
        const float *a = j->inputs + (size_t)i * (size_t)j->block, *b = panels;
        int m = plumb_smaller(mr, u->last - i);
        for (int c = 0; c < u->columns; c += nr, b += (size_t)nr * (size_t)j->block) {
            ask(next, share);
            if (small && c + nr < u->columns)
                ask_for_outputs(y + c + nr, ldy, m, plumb_smaller(nr, u->columns - c - nr));
            else if (small && i + mr < u->last)
                ask_for_outputs(y + (size_t)mr * ldy, ldy, plumb_smaller(mr, u->last - i - mr),
                                plumb_smaller(nr, u->columns));
            gemm->tile(steps, a, b, y + c, (int)ldy, m, plumb_smaller(nr, u->columns - c), start,
                       bias ? bias + u->column + c : NULL);
        }
    }
}

static size_t take(size_t *next_unit)
{
    size_t index;
#pragma omp atomic capture
    index = (*next_unit)++;
    return index;
}

/* Returns a bit for each matrix in which a NaN or infinity was met. A thread takes a unit before it works on the one
 * before, so as to know which weights it will want. */
static unsigned run_threads(const job *j)
{
    unsigned bad = 0;
    size_t next_unit = 0, steps = (size_t)plumb_ceil_div(j->rows, j->chunk) * (size_t)j->blocks;
#pragma omp parallel num_threads(j->threads) reduction(| : bad)
    {
        float *panels = j->weights + (size_t)omp_get_thread_num() * (size_t)j->strip * (size_t)j->block;
        size_t mine = take(&next_unit);
        for (size_t step = 0; step < steps; step++) {
            unit u = find_unit(j, step * j->units);
#pragma omp for schedule(static)
            for (int panel = 0; panel < plumb_ceil_div(u.rows, j->gemm->mr); panel++)
                pack_panel(j, u.row0, u.rows, panel, u.k0, u.kc);
            while (mine / j->units == step) {
                size_t following = take(&next_unit);
                wish wanted = {0};
                u = find_unit(j, mine);
                if (following / j->units < steps) {
                    unit after = find_unit(j, following);
                    wanted = wish_for(j, &after);
                }
                if (u.first < u.last && !pack_strip(j, &u, panels)) bad |= 1u << u.matrix;
                multiply(j, &u, panels, &wanted);
                mine = following;
            }
#pragma omp barrier
        }
    }
    return bad;
}

/* ---- few rows ---- */

/* Which element of a matrix is not finite is of no interest, only whether one is: as stored, or rounded to bf16. */
static bool all_finite(const plumb_linear *w, int first, int count, bool round)
{
    size_t from = (size_t)first * (size_t)w->k, n = (size_t)count * (size_t)w->k;
    bool finite = true;
    for (size_t i = from; i < from + n; i++) {
        float value = plumb_load(w->weight, w->dtype, i);
        finite &= round ? plumb_round_bf16(&value, 1) : (bool)isfinite(value);
    }
    return finite;
}

/* One piece of a matrix: the outputs first .. first + count - 1 of all rows. Returns false at a NaN or infinity among
 * the weights, which leaves no output finite (0 times infinity is NaN). */
static bool few_outputs(const job *j, int matrix, int first, int count)
{
    const plumb_linear *w = j->w[matrix];
    const char *weight = (const char *)w->weight + (size_t)first * (size_t)w->k * plumb_dtype_size(w->dtype);
    float *y = j->y[matrix] + first;
    bool finite = true;
    j->gemm->few_rows(weight, w->dtype, (size_t)w->k, count, j->x, j->ldx, j->rows, y, j->ldy[matrix],
                      j->store == PLUMB_ADD, w->bias ? w->bias + first : NULL);
    for (int i = 0; i < j->rows; i++)
        for (int o = 0; o < count; o++) finite &= (bool)isfinite(y[(size_t)i * (size_t)j->ldy[matrix] + (size_t)o]);
    return finite || all_finite(w, first, count, j->gemm->pair == 2);
}

/* Reads the weights once, without panels: what counts then is the memory. */
static unsigned run_few(const job *j)
{
    unsigned bad = 0;
    int pieces[MATRICES] = {0}, all = 0;
    for (int i = 0; i < j->count; i++) all += pieces[i] = plumb_ceil_div(j->w[i]->n, FEW_OUTPUTS);
#pragma omp parallel for schedule(dynamic) num_threads(j->threads) reduction(| : bad) if (j->threads > 1)
    for (int piece = 0; piece < all; piece++) {
        int matrix = 0, place = piece;
        while (place >= pieces[matrix]) place -= pieces[matrix++];
        int first = place * FEW_OUTPUTS, count = plumb_smaller(FEW_OUTPUTS, j->w[matrix]->n - first);
        if (!few_outputs(j, matrix, first, count)) bad |= 1u << matrix;
    }
    return bad;
}

static void note_bad(plumb_compute *c, const job *j, unsigned bad)
{
    for (int i = 0; i < j->count && !c->bad_weight; i++)
        if (bad >> i & 1) c->bad_weight = j->w[i]->name;
}

bool plumb_linear_rounds(const plumb_compute *c, const plumb_linear *w)
{
    return !w->exact && c->arithmetic != PLUMB_FP32;
}

static plumb_status run(plumb_compute *c, job *j)
{
    if (j->rows <= 0 || !outputs(j, 0)) return PLUMB_OK;
    bool fp32 = j->transposed || !plumb_linear_rounds(c, j->w[0]);
    j->gemm = !fp32 && c->arithmetic == PLUMB_BF16_DOT ? &c->kernels.gemm_bf16 : &c->kernels.gemm;
    j->round = !fp32 && c->arithmetic == PLUMB_BF16_ROUNDED;
    cut(j, c->threads);
    if (!j->transposed && !j->round && j->rows <= PLUMB_FEW && j->gemm->few_rows) {
        note_bad(c, j, run_few(j));
        return PLUMB_OK;
    }
    size_t inputs = (size_t)j->chunk * (size_t)j->block;
    size_t weights = (size_t)j->threads * (size_t)j->strip * (size_t)j->block;
    PLUMB_TRY(plumb_compute_scratch(&c->packed_inputs, &c->packed_inputs_capacity, inputs));
    PLUMB_TRY(plumb_compute_scratch(&c->packed_weights, &c->packed_weights_capacity, weights));
    j->inputs = c->packed_inputs;
    j->weights = c->packed_weights;
    note_bad(c, j, run_threads(j));
    return PLUMB_OK;
}

int64_t plumb_linear_bytes(const plumb_compute *c, int rows, int depth)
{
    int64_t chunk = rows < CHUNK ? rows : CHUNK, block = plumb_even_part(depth, BLOCK, 32);
    int64_t nr = c->kernels.gemm.nr, strip = plumb_ceil_div(STRIP, (int)nr) * nr;
    return (chunk + c->kernels.gemm.mr + c->threads * strip) * block * (int64_t)sizeof(float);
}

plumb_status plumb_linear_run(plumb_compute *c, const plumb_linear *w, const float *x, int ldx, int rows, float *y,
                              int ldy, plumb_store store)
{
    return plumb_linear_run_many(c, &w, 1, x, ldx, rows, &y, &ldy, store);
}

plumb_status plumb_linear_run_many(plumb_compute *c, const plumb_linear *const w[], int count, const float *x, int ldx,
                                   int rows, float *const y[], const int ldy[], plumb_store store)
{
    if (count < 1 || count > MATRICES) return plumb_fail(PLUMB_E_INTERNAL, "%d linears at once", count);
    for (int i = 1; i < count; i++) {
        if (w[i]->k != w[0]->k)
            return plumb_fail(PLUMB_E_INTERNAL, "%s and %s have inputs of %d and %d", w[0]->name, w[i]->name, w[0]->k,
                              w[i]->k);
        if (w[i]->exact != w[0]->exact)
            return plumb_fail(PLUMB_E_INTERNAL, "only one of %s and %s is exact", w[0]->name, w[i]->name);
    }
    job j = {.w = w, .count = count, .x = x, .ldx = ldx, .rows = rows, .y = y, .ldy = ldy, .store = store};
    j.depth = w[0]->k;
    return run(c, &j);
}

plumb_status plumb_linear_transposed(plumb_compute *c, const plumb_linear *w, const float *x, int ldx, int rows,
                                     float *y, int ldy, plumb_store store)
{
    job j = {.w = &w, .count = 1, .x = x, .ldx = ldx, .rows = rows, .y = &y, .ldy = &ldy, .store = store};
    j.depth = w->n;
    j.transposed = true;
    return run(c, &j);
}
