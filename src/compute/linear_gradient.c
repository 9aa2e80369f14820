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

enum {
    BLOCK = 512,      /* tokens */
    CHUNK = 2048,     /* rows of dw */
    STRIP = 128,      /* columns of dw */
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

static int ceil_div(int a, int b)
{
    return a / b + (a % b != 0);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Cuts `total` into equal parts of at most about `part`, each a multiple of `step`. */
static int even_part(int total, int part, int step)
{
    int parts = ceil_div(total, part);
    return ceil_div(ceil_div(total, parts), step) * step;
}

static void cut(job *j, int threads)
{
    const plumb_kernels *kernels = j->kernels;
    j->threads = (double)j->rows * j->n * j->k < ALONE ? 1 : threads;
    j->block = even_part(j->rows, BLOCK, 32);
    j->chunk = even_part(j->n, CHUNK, kernels->mr);
    j->strip = even_part(j->k, STRIP, kernels->nr);
    j->strips = ceil_div(j->k, j->strip);
    int wanted = j->strips >= SHARE * j->threads ? 1 : ceil_div(SHARE * j->threads, j->strips);
    j->pieces = smaller(wanted, j->chunk / kernels->mr);
}

/* out [count][width]: `used` columns of `count` rows of x, the others 0. */
static void copy_panel(const float *x, size_t ldx, int count, int used, int width, float *out)
{
    size_t bytes = (size_t)used * sizeof *x, rest = (size_t)(width - used) * sizeof *x;
    for (int p = 0; p < count; p++, x += ldx, out += width) {
        memcpy(out, x, bytes);
        if (rest) memset(out + used, 0, rest);
    }
}

/* The panels of x's columns column .. column + columns - 1 over kc tokens from r0. */
static void copy_strip(const job *j, int r0, int kc, int column, int columns, float *panels)
{
    int nr = j->kernels->nr;
    const float *x = j->x + (size_t)r0 * j->ldx + column;
    for (int c = 0; c < columns; c += nr, panels += (size_t)nr * (size_t)j->block)
        copy_panel(x + c, j->ldx, kc, smaller(nr, columns - c), nr, panels);
}

/* The tiles of rows first .. last - 1 of the chunk that starts at n0, and of one strip of columns. */
static void multiply(const job *j, int n0, int first, int last, int kc, int column, int columns, const float *panels)
{
    const plumb_kernels *kernels = j->kernels;
    int mr = kernels->mr, nr = kernels->nr;
    for (int i = first; i < last; i += mr) {
        float *y = j->dw + ((size_t)n0 + (size_t)i) * (size_t)j->k + column;
        const float *a = j->inputs + (size_t)i * (size_t)j->block, *b = panels;
        for (int c = 0; c < columns; c += nr, b += (size_t)nr * (size_t)j->block)
            kernels->gemm_tile(kc, a, b, y + c, j->k, smaller(mr, last - i), smaller(nr, columns - c), true, NULL);
    }
}

/* One chunk of rows of dw over one block of tokens; to be called by all threads of a team. */
static void add_block(const job *j, int n0, int r0, float *panels)
{
    int mr = j->kernels->mr, rows = smaller(j->chunk, j->n - n0), kc = smaller(j->block, j->rows - r0);
    int height = ceil_div(j->chunk / mr, j->pieces) * mr;
#pragma omp for schedule(static)
    for (int i = 0; i < rows; i += mr)
        copy_panel(j->dy + (size_t)r0 * j->lddy + (size_t)n0 + (size_t)i, j->lddy, kc, smaller(mr, rows - i), mr,
                   j->inputs + (size_t)i * (size_t)j->block);
#pragma omp for schedule(dynamic) collapse(2)
    for (int strip = 0; strip < j->strips; strip++)
        for (int piece = 0; piece < j->pieces; piece++) {
            int first = smaller(piece * height, rows), last = smaller(first + height, rows);
            int column = strip * j->strip, columns = smaller(j->strip, j->k - column);
            if (first == last) continue;
            copy_strip(j, r0, kc, column, columns, panels);
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
        int last = smaller(first + STRIP, n);
        for (int i = 0; i < rows; i++) {
            const float *row = dy + (size_t)i * (size_t)lddy;
            for (int j = first; j < last; j++) db[j] += row[j];
        }
    }
}
