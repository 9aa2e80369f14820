/* Gradients of the operations that work row by row. Rows are shared out over threads where a row's result is its own;
 * where rows add up (weights of norms, embeddings, scattered rows) columns are, so that each sum is one chain in row
 * order. */
#include <omp.h>
#include <string.h>

#include "compute/gradient.h"
#include "compute/kernels.h"

enum {
    PARALLEL_FROM = 32768, /* elements below which a team of threads costs more than it saves */
    COLUMNS = 128,         /* handed to a thread at a time */
    LINE = 16,             /* floats in a line of the cache */
    MOMENTS = 1024         /* (row, group)s whose moments are held at a time */
};

static bool worth_a_team(const plumb_compute *c, int rows, int n)
{
    return c->threads > 1 && (size_t)rows * (size_t)n >= PARALLEL_FROM;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* --- rows that add up --------------------------------------------------------------------------------------------- */

/* Row into[i] of y += scale * row i of x. */
static void add_rows(plumb_compute *c, const float *x, int ldx, const int32_t *into, int rows, int n, float scale,
                     float *y, int ldy)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int first = 0; first < n; first += COLUMNS) {
        int count = smaller(COLUMNS, n - first);
        for (int i = 0; i < rows; i++) {
            const float *from = x + (size_t)i * (size_t)ldx + first;
            float *to = y + (size_t)into[i] * (size_t)ldy + first;
            for (int j = 0; j < count; j++) to[j] += scale * from[j];
        }
    }
}

void plumb_embed_gradient(plumb_compute *c, const int32_t *ids, int rows, int k, float scale, const float *dx, int lddx,
                          float *dtable)
{
    add_rows(c, dx, lddx, ids, rows, k, scale, dtable, k);
}

void plumb_scatter_rows(plumb_compute *c, const float *dy, int lddy, const int32_t *index, int count, int n, float *dx,
                        int lddx)
{
    add_rows(c, dy, lddy, index, count, n, 1, dx, lddx);
}

void plumb_copy_blocks_back(plumb_compute *c, const float *dy, int lddy, int rows, int block, int stride, int count,
                            float *dx, int lddx)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, block * count))
    for (int i = 0; i < rows; i++)
        for (int b = 0; b < count; b++)
            memcpy(dx + (size_t)i * (size_t)lddx + (size_t)b * (size_t)stride,
                   dy + (size_t)i * (size_t)lddy + (size_t)b * (size_t)block, (size_t)block * sizeof *dx);
}

/* --- norms -------------------------------------------------------------------------------------------------------- */

/* Input, output gradient and moments of `count` (row, group)s from number `first` on, counted row by row. */
typedef struct norm_block {
    const plumb_norm *norm;
    const float *x, *dy;
    size_t ldx, lddy;
    int groups, first, count;
    plumb_moments moments[MOMENTS];
} norm_block;

static size_t place(const norm_block *b, int i, size_t ld)
{
    int index = b->first + i;
    return (size_t)(index / b->groups) * ld + (size_t)(index % b->groups) * (size_t)b->norm->d;
}

/* dweight += dy z, dbias += dy over columns first .. last - 1, z = (x - mean) * inverse in fp32: the mean is taken off
 * in two parts, which loses nothing of an x close to it. */
static void add_norm_weights(const norm_block *b, int first, int last, float *dweight, float *dbias)
{
    for (int i = 0; i < b->count; i++) {
        const float *x = b->x + place(b, i, b->ldx), *dy = b->dy + place(b, i, b->lddy);
        float high = (float)b->moments[i].mean, low = (float)(b->moments[i].mean - high);
        float inverse = (float)b->moments[i].inverse;
        if (dweight)
            for (int j = first; j < last; j++) dweight[j] += dy[j] * ((x[j] - high - low) * inverse);
        if (dbias)
            for (int j = first; j < last; j++) dbias[j] += dy[j];
    }
}

/* dx may be dy: the weights' sums come first. To be called by all threads of a team. */
static void norm_gradient_block(const plumb_kernels *kernels, norm_block *b, float *dx, int lddx, plumb_store store,
                                float *dweight, float *dbias)
{
    int d = b->norm->d, threads = omp_get_num_threads();
    int columns = (d / threads + LINE) / LINE * LINE;
#pragma omp for schedule(static)
    for (int i = 0; i < b->count; i++) b->moments[i] = kernels->moments_row(b->norm, b->x + place(b, i, b->ldx));
    if (dweight || dbias) {
#pragma omp for schedule(static)
        for (int first = 0; first < d; first += columns)
            add_norm_weights(b, first, smaller(first + columns, d), dweight, dbias);
    }
#pragma omp for schedule(static)
    for (int i = 0; i < b->count; i++)
        kernels->norm_gradient_row(b->norm, b->x + place(b, i, b->ldx), b->dy + place(b, i, b->lddy), b->moments[i],
                                   dx + place(b, i, (size_t)lddx), store);
}

void plumb_norm_gradient(plumb_compute *c, const plumb_norm *norm, const float *x, int ldx, const float *dy, int lddy,
                         int rows, int groups, float *dx, int lddx, plumb_store store, float *dweight, float *dbias)
{
    norm_block b = {.norm = norm, .x = x, .dy = dy, .ldx = (size_t)ldx, .lddy = (size_t)lddy, .groups = groups};
    int all = rows * groups;
    for (b.first = 0; b.first < all; b.first += MOMENTS) {
        b.count = smaller(MOMENTS, all - b.first);
#pragma omp parallel num_threads(c->threads) if (worth_a_team(c, b.count, norm->d))
        norm_gradient_block(&c->kernels, &b, dx, lddx, store, dweight, dbias);
    }
}

/* --- element by element ------------------------------------------------------------------------------------------- */

void plumb_activate_gradient(plumb_compute *c, plumb_activation act, const float *gate, int ldg, const float *up,
                             int ldu, const float *dout, int lddo, int rows, int n, float *dgate, int lddg, float *dup,
                             int lddu)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++) {
        size_t row = (size_t)i;
        c->kernels.activate_gradient_row(act, gate + row * (size_t)ldg, up ? up + row * (size_t)ldu : NULL,
                                         dout + row * (size_t)lddo, n, dgate + row * (size_t)lddg,
                                         dup ? dup + row * (size_t)lddu : NULL);
    }
}

void plumb_clip_gradient(plumb_compute *c, const float *x, int ldx, int rows, int n, float bound, float *dx, int lddx)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++) {
        const float *from = x + (size_t)i * (size_t)ldx;
        float *to = dx + (size_t)i * (size_t)lddx;
        for (int j = 0; j < n; j++) to[j] = from[j] >= -bound && from[j] <= bound ? to[j] : 0;
    }
}

/* The turn of rotary_head by the opposite angle. */
static void turn_back(float *restrict low, float *restrict high, int half, const float *cosine, const float *sine)
{
    for (int j = 0; j < half; j++) {
        float a = low[j], b = high[j];
        low[j] = a * cosine[j] + b * sine[j];
        high[j] = b * cosine[j] - a * sine[j];
    }
}

void plumb_rotary_gradient(plumb_compute *c, float *dx, int lddx, int rows, int heads, int head_dim, int rotary,
                           const float *cosine, const float *sine, const int32_t *positions)
{
    int half = rotary / 2;
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, heads * rotary))
    for (int i = 0; i < rows; i++) {
        size_t angle = (size_t)positions[i] * (size_t)half;
        for (int h = 0; h < heads; h++) {
            float *x = dx + (size_t)i * (size_t)lddx + (size_t)h * (size_t)head_dim;
            turn_back(x, x + half, half, cosine + angle, sine + angle);
        }
    }
}
