#include "compute/avx512/avx512_attention.h"

#include "compute/avx512/avx512_math.h"

enum { ROWS = 4, VECTORS = 4, WIDTH = 16 };

/* Where a tile's operands are; see product_tile in kernels.h. */
typedef struct operands {
    const float *a, *b;
    float *c;
    size_t a_row, a_step, ldb, ldc;
    int depth;
    bool accumulate;
} operands;

/* rows x vectors (constants after inlining) accumulators; `last` are the lanes in use of the last vector. */
PLUMB_INLINE void product_block(const int rows, const int vectors, const operands *o, __mmask16 last)
{
    const float *a = o->a, *b = o->b;
    __m512 sum[ROWS][VECTORS];
    __mmask16 lanes[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) lanes[v] = v == vectors - 1 ? last : 0xffff;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = o->accumulate ? _mm512_maskz_loadu_ps(lanes[v], o->c + (size_t)i * o->ldc + v * WIDTH)
                                      : _mm512_setzero_ps();
    for (int t = 0; t < o->depth; t++, a += o->a_step, b += o->ldb) {
        __m512 from[VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) from[v] = _mm512_maskz_loadu_ps(lanes[v], b + v * WIDTH);
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const __m512 factor = _mm512_set1_ps(a[(size_t)i * o->a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_fmadd_ps(factor, from[v], sum[i][v]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(o->c + (size_t)i * o->ldc + v * WIDTH, lanes[v], sum[i][v]);
}

PLUMB_INLINE void product_vectors(const int rows, int vectors, const operands *o, __mmask16 last)
{
    switch (vectors) {
    case 1:
        product_block(rows, 1, o, last);
        break;
    case 2:
        product_block(rows, 2, o, last);
        break;
    case 3:
        product_block(rows, 3, o, last);
        break;
    default:
        product_block(rows, 4, o, last);
        break;
    }
}

static void product_rows(int rows, int vectors, const operands *o, __mmask16 last)
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

static void product_tile(int m, int n, int depth, const float *a, size_t a_row, size_t a_step, const float *b,
                         size_t ldb, float *c, size_t ldc, bool accumulate)
{
    for (int j = 0; j < n; j += VECTORS * WIDTH) {
        int columns = n - j < VECTORS * WIDTH ? n - j : VECTORS * WIDTH, vectors = (columns + WIDTH - 1) / WIDTH;
        __mmask16 last = plumb_lanes16(columns - (vectors - 1) * WIDTH);
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
        const __mmask16 lanes = plumb_lanes16(n - j);
        const __m512 old = _mm512_maskz_loadu_ps(lanes, max + j);
        __m512 top = old, total = _mm512_setzero_ps();
        for (int i = 0; i < keys; i++) top = _mm512_max_ps(_mm512_maskz_loadu_ps(lanes, s + i * lds + j), top);
        for (int i = 0; i < keys; i++) {
            float *at = s + i * lds + j;
            __m512 power = plumb_exp512(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, at), top));
            _mm512_mask_storeu_ps(at, lanes, power);
            total = _mm512_add_ps(total, power);
        }
        const __m512 factor = plumb_exp512(_mm512_sub_ps(old, top));
        total = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, sum + j), factor, total);
        _mm512_mask_storeu_ps(scale + j, lanes, factor);
        _mm512_mask_storeu_ps(sum + j, lanes, total);
        _mm512_mask_storeu_ps(max + j, lanes, top);
    }
}

void plumb_avx512_attention(plumb_kernels *k)
{
    k->product_tile = product_tile;
    k->softmax_tile = softmax_tile;
}
