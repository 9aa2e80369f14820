/* Kernels of attention (kernels.h has their contracts), for registers of any width: included once by each back end,
 * after its lanes and an enum with VECTORS, the registers of a row of accumulators (3 or 4). */
#ifndef PLUMB_COMPUTE_ATTENTION_KERNELS_H
#define PLUMB_COMPUTE_ATTENTION_KERNELS_H

#include "compute/kernels.h"
#include "compute/lanes_math.h"

enum { ROWS = 4 };

/* Where a tile's operands are; see product_tile in kernels.h. */
typedef struct operands {
    const float *a, *b;
    float *c;
    size_t a_row, a_step, ldb, ldc;
    int depth;
    bool accumulate;
} operands;

/* rows x vectors (constants after inlining) accumulators. whole: all lanes are in use (a constant too, which spares the
 * masks), else there is one vector, with `last` lanes in use. */
INLINE void product_block(const int rows, const int vectors, const bool whole, const operands *o, int last)
{
    const float *a = o->a, *b = o->b;
    floats sum[ROWS][VECTORS];
    const lane_set lanes = first_lanes(whole ? LANES : last);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = o->accumulate ? load_lanes(o->c + (size_t)i * o->ldc + v * LANES, lanes) : broadcast(0);
    for (int t = 0; t < o->depth; t++, a += o->a_step, b += o->ldb) {
        floats from[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) from[v] = load_lanes(b + v * LANES, lanes);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const floats factor = broadcast(a[(size_t)i * o->a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] = add_product(factor, from[v], sum[i][v]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) store_lanes(o->c + (size_t)i * o->ldc + v * LANES, lanes, sum[i][v]);
}

INLINE void product_vectors(const int rows, int vectors, const operands *o, int last)
{
    if (last < LANES) { /* alone, so that its mask does not cost the full registers */
        product_block(rows, 1, false, o, last);
        return;
    }
    switch (vectors) {
    case 1:
        product_block(rows, 1, true, o, last);
        break;
    case 2:
        product_block(rows, 2, true, o, last);
        break;
    case 3:
        product_block(rows, 3, true, o, last);
        break;
    default:
        product_block(rows, VECTORS, true, o, last);
        break;
    }
}

static void product_rows(int rows, int vectors, const operands *o, int last)
{
    switch (rows) {
    case 1:
        product_vectors(1, vectors, o, last);
        break;
    case 2:
        product_vectors(2, vectors, o, last);
        break;
    case 3:
        product_vectors(3, vectors, o, last);
        break;
    default:
        product_vectors(4, vectors, o, last);
        break;
    }
}

/* Registers for the next step of `left` columns: as many as there may be, but one more than that are split into halves,
 * and a partial register stands alone. */
static int next_vectors(int left)
{
    int whole = left / LANES;
    return whole == 0 ? 1 : whole == VECTORS + 1 ? whole / 2 : whole < VECTORS ? whole : VECTORS;
}

static void product_tile(int m, int n, int depth, const float *a, size_t a_row, size_t a_step, const float *b,
                         size_t ldb, float *c, size_t ldc, bool accumulate)
{
    for (int j = 0, vectors; j < n; j += vectors * LANES) {
        vectors = next_vectors(n - j);
        int last = n - j < LANES ? n - j : LANES;
        for (int i = 0; i < m; i += ROWS) {
            const operands o = {.a = a + (size_t)i * a_row,
                                .b = b + j,
                                .c = c + (size_t)i * ldc + j,
                                .a_row = a_row,
                                .a_step = a_step,
                                .ldb = ldb,
                                .ldc = ldc,
                                .depth = depth,
                                .accumulate = accumulate};
            product_rows(m - i < ROWS ? m - i : ROWS, vectors, &o, last);
        }
    }
}

static void softmax_tile(float *s, int lds, int keys, int n, float *max, float *sum, float *scale)
{
    for (int j = 0; j < n; j += LANES) {
        const lane_set lanes = first_lanes(n - j);
        const floats old = load_lanes(max + j, lanes);
        floats top = old, total = broadcast(0);
        for (int i = 0; i < keys; i++) top = larger(load_lanes(s + i * lds + j, lanes), top);
        for (int i = 0; i < keys; i++) {
            float *at = s + i * lds + j;
            floats power = exponential(subtract(load_lanes(at, lanes), top));
            store_lanes(at, lanes, power);
            total = add(total, power);
        }
        const floats factor = exponential(subtract(old, top));
        total = add_product(load_lanes(sum + j, lanes), factor, total);
        store_lanes(scale + j, lanes, factor);
        store_lanes(sum + j, lanes, total);
        store_lanes(max + j, lanes, top);
    }
}

static void set_attention(plumb_kernels *k)
{
    k->product_tile = product_tile;
    k->softmax_tile = softmax_tile;
}

#endif
