#include "compute/avx2/avx2_attention.h"

#include "compute/avx2/avx2_math.h"

enum { ROWS = 4, VECTORS = 3, WIDTH = 8 };

/* Where a tile's operands are; see product_tile in kernels.h. */
typedef struct operands {
    const float *a, *b;
    float *c;
    size_t a_row, a_step, ldb, ldc;
    int depth;
    bool accumulate;
} operands;

/* rows x vectors (constants after inlining) accumulators; `last` lanes of the last vector are in use. whole: all of
 * them (a constant too, which spares the masks). */
PLUMB_INLINE void product_block(const int rows, const int vectors, const bool whole, const operands *o, int last)
{
    const float *a = o->a, *b = o->b;
    __m256 sum[ROWS][VECTORS];
    int lanes[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) lanes[v] = whole || v < vectors - 1 ? WIDTH : last;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] =
                o->accumulate ? plumb_load8(o->c + (size_t)i * o->ldc + v * WIDTH, lanes[v]) : _mm256_setzero_ps();
    for (int t = 0; t < o->depth; t++, a += o->a_step, b += o->ldb) {
        __m256 from[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) from[v] = plumb_load8(b + v * WIDTH, lanes[v]);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const __m256 factor = _mm256_broadcast_ss(a + (size_t)i * o->a_row);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] = _mm256_fmadd_ps(factor, from[v], sum[i][v]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) plumb_store8(o->c + (size_t)i * o->ldc + v * WIDTH, lanes[v], sum[i][v]);
}

PLUMB_INLINE void product_vectors(const int rows, int vectors, const operands *o, int last)
{
    if (last < WIDTH) { /* a partial register stands alone: see product_tile */
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
    default:
        product_block(rows, 3, true, o, last);
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

/* Registers for the next step of `left` columns: three, but four are split into two and two, and a partial register
 * stands alone. */
static int next_vectors(int left)
{
    int whole = left / WIDTH;
    return whole == 0 ? 1 : whole == 4 ? 2 : whole < VECTORS ? whole : VECTORS;
}

static void product_tile(int m, int n, int depth, const float *a, size_t a_row, size_t a_step, const float *b,
                         size_t ldb, float *c, size_t ldc, bool accumulate)
{
    for (int j = 0, vectors; j < n; j += vectors * WIDTH) {
        vectors = next_vectors(n - j);
        int last = n - j < WIDTH ? n - j : WIDTH;
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
    for (int j = 0; j < n; j += WIDTH) {
        const int lanes = n - j;
        const __m256 old = plumb_load8(max + j, lanes);
        __m256 top = old, total = _mm256_setzero_ps();
        for (int i = 0; i < keys; i++) top = _mm256_max_ps(plumb_load8(s + i * lds + j, lanes), top);
        for (int i = 0; i < keys; i++) {
            float *at = s + i * lds + j;
            __m256 power = plumb_exp8(_mm256_sub_ps(plumb_load8(at, lanes), top));
            plumb_store8(at, lanes, power);
            total = _mm256_add_ps(total, power);
        }
        const __m256 factor = plumb_exp8(_mm256_sub_ps(old, top));
        total = _mm256_fmadd_ps(plumb_load8(sum + j, lanes), factor, total);
        plumb_store8(scale + j, lanes, factor);
        plumb_store8(sum + j, lanes, total);
        plumb_store8(max + j, lanes, top);
    }
}

void plumb_avx2_attention(plumb_kernels *k)
{
    k->product_tile = product_tile;
    k->softmax_tile = softmax_tile;
}
