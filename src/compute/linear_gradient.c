/* Gradients of a linear's weight and bias. The frame is that of linear.c with other roles: rows of dw are rows of the
 * product, the tokens its depth. Both operands are contiguous along the width of a tile, so that a panel is a copy.
 *
 *     for each chunk of rows of dw, for each block of tokens:   all threads together
 *         copy dy [block][chunk] into panels of mr columns
 *         for each strip of columns of dw:                      one thread each
 *             copy x [block][strip] into panels of nr columns
 *             for each panel of rows, for each panel of columns: gemm_tile
 *
 * A tile continues the chain of its outputs from dw, whose order is that of the tokens, however the work is cut. */
#include <omp.h>
#include <string.h>

#include "compute/gradient.h"
#include "compute/kernels.h"
#include "compute/parts.h"

enum {
    BLOCK = 512,      /* tokens */
    CHUNK = 2048,     /* rows of dw */
    STRIP = 128,      /* columns of dw */
    LINE = 16,        /* floats in a line of the cache */
    GROUP = 8,        /* panels of dy copied together */
    SHARE = 2,        /* pieces of work wanted per thread */
    ALONE = 64 * 1024 /* multiply-adds below which other threads are not worth waking */
};

typedef struct job {
    const plumb_kernels *kernels;
    const float *dy, *x;
    float *dw;
    size_t lddy, ldx;
    int rows, n, k;

    int block;  /* tokens at a time */
    int chunk;  /* rows of dw whose panels are held at a time; a multiple of mr */
    int strip;  /* columns that a thread copies at a time; a multiple of nr */
    int strips; /* in k */
    int pieces; /* a strip's chunk of rows is computed in so many pieces */
    int threads;
    float *inputs;  /* [chunk / mr][block][mr] */
    float *weights; /* [threads][strip / nr][block][nr] */
} job;

static void cut(job *j, int threads)
{
    const plumb_kernels *kernels = j->kernels;
    j->threads = (double)j->rows * j->n * j->k < ALONE ? 1 : threads;
    j->block = plumb_even_part(j->rows, BLOCK, 32);
    j->chunk = plumb_even_part(j->n, CHUNK, kernels->gemm.mr);
    j->strip = plumb_even_part(j->k, STRIP, kernels->gemm.nr);
    j->strips = plumb_ceil_div(j->k, j->strip);
    int wanted = j->strips >= SHARE * j->threads ? 1 : plumb_ceil_div(SHARE * j->threads, j->strips);
    j->pieces = plumb_smaller(wanted, j->chunk / kernels->gemm.mr);
}

/* `columns` columns of `count` rows of x as panels [count][width], `distance` apart; the last is filled up with zeros.
 * Row by row over several panels: to take a panel at a time from rows a power of two apart would lose each line of the
 * cache before its other half is wanted. */
static void copy_panels(const float *x, size_t ldx, int count, int columns, int width, size_t distance, float *panels)
{
    for (int p = 0; p < count; p++, x += ldx, panels += width) {
        float *out = panels;
        int c = 0;
        for (; c + width <= columns; c += width, out += distance) memcpy(out, x + c, (size_t)width * sizeof *x);
        if (c == columns) continue;
        memcpy(out, x + c, (size_t)(columns - c) * sizeof *x);
        memset(out + (columns - c), 0, (size_t)(c + width - columns) * sizeof *x);
    }
}

/* Asks for the outputs of a tile: rows of dw lie on pages of their own, and each tile starts by reading them. */
static void ask(const float *y, size_t ldy, int m, int n)
{
    for (int i = 0; i < m; i++)
        for (int c = 0; c < n; c += LINE) __builtin_prefetch(y + (size_t)i * ldy + c, 1, 3);
}

/* The tiles of rows first .. last - 1 of the chunk that starts at n0, and of one strip of columns. */
static void multiply(const job *j, int n0, int first, int last, int kc, int column, int columns, const float *panels)
{
    const plumb_kernels *kernels = j->kernels;
    int mr = kernels->gemm.mr, nr = kernels->gemm.nr;
    size_t k = (size_t)j->k;
    for (int i = first; i < last; i += mr) {
        float *y = j->dw + ((size_t)n0 + (size_t)i) * k + column;
        const float *a = j->inputs + (size_t)i * (size_t)j->block, *b = panels;
        for (int c = 0; c < columns; c += nr, b += (size_t)nr * (size_t)j->block) {
            if (c + nr < columns)
                ask(y + c + nr, k, plumb_smaller(mr, last - i), plumb_smaller(nr, columns - c - nr));
            else if (i + mr < last)
                ask(y + (size_t)mr * k, k, plumb_smaller(mr, last - i - mr), plumb_smaller(nr, columns));
            kernels->gemm.tile(kc, a, b, y + c, j->k, plumb_smaller(mr, last - i), plumb_smaller(nr, columns - c), true,
                               NULL);
        }
    }
}

/* One chunk of rows of dw over one block of tokens; to be called by all threads of a team. */
static void add_block(const job *j, int n0, int r0, float *panels)
{
    int mr = j->kernels->gemm.mr, rows = plumb_smaller(j->chunk, j->n - n0), kc = plumb_smaller(j->block, j->rows - r0);
    int height = plumb_ceil_div(j->chunk / mr, j->pieces) * mr, nr = j->kernels->gemm.nr;
    const float *dy = j->dy + (size_t)r0 * j->lddy + n0, *x = j->x + (size_t)r0 * j->ldx;
#pragma omp for schedule(static)
    for (int i = 0; i < rows; i += GROUP * mr)
        copy_panels(dy + i, j->lddy, kc, plumb_smaller(GROUP * mr, rows - i), mr, (size_t)mr * (size_t)j->block,
                    j->inputs + (size_t)i * (size_t)j->block);
#pragma omp for schedule(dynamic) collapse(2)
    for (int strip = 0; strip < j->strips; strip++)
        for (int piece = 0; piece < j->pieces; piece++) {
            int first = plumb_smaller(piece * height, rows), last = plumb_smaller(first + height, rows);
            int column = strip * j->strip, columns = plumb_smaller(j->strip, j->k - column);
            if (first == last) continue;
            copy_panels(x + column, j->ldx, kc, columns, nr, (size_t)nr * (size_t)j->block, panels);
            multiply(j, n0, first, last, kc, column, columns, panels);
        }
}

plumb_status plumb_linear_gradient(plumb_compute *c, const float *dy, int lddy, const float *x, int ldx, int rows,
                                   int n, int k, float *dw)
{
    if (rows <= 0 || n <= 0 || k <= 0) return PLUMB_OK;
    job j = {.kernels = &c->kernels, .dy = dy, .x = x, .dw = dw, .rows = rows, .n = n, .k = k};
    j.lddy = (size_t)lddy;
    j.ldx = (size_t)ldx;
    cut(&j, c->threads);
    size_t share = (size_t)j.strip * (size_t)j.block, inputs = (size_t)j.chunk * (size_t)j.block;
    PLUMB_TRY(plumb_compute_scratch(&c->packed_inputs, &c->packed_inputs_capacity, inputs));
    PLUMB_TRY(plumb_compute_scratch(&c->packed_weights, &c->packed_weights_capacity, share * (size_t)j.threads));
    j.inputs = c->packed_inputs;
    j.weights = c->packed_weights;
#pragma omp parallel num_threads(j.threads)
    {
        float *panels = j.weights + share * (size_t)omp_get_thread_num();
        for (int n0 = 0; n0 < n; n0 += j.chunk)
            for (int r0 = 0; r0 < rows; r0 += j.block) add_block(&j, n0, r0, panels);
    }
    return PLUMB_OK;
}

/* Threads share out columns, never rows: each sum is one chain. */
void plumb_bias_gradient(plumb_compute *c, const float *dy, int lddy, int rows, int n, float *db)
{
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1 && (size_t)rows * (size_t)n >= ALONE)
    for (int first = 0; first < n; first += STRIP) {
        int last = plumb_smaller(first + STRIP, n);
        for (int i = 0; i < rows; i++) {
            const float *row = dy + (size_t)i * (size_t)lddy;
            for (int j = first; j < last; j++) db[j] += row[j];
        }
    }
}
