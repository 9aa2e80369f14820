/* The kernels of a matrix product (kernels.h has their contracts), for registers of any width and elements of any kind.
 * Included once by the file of each product, which defines before:
 *
 *   LANES, floats, words, load, transpose, ...   the registers: avx2_lanes.h or avx512_lanes.h
 *   MR                              rows of a tile
 *   PAIR                            steps of k in an element of a panel: 1 float, 2 bf16
 *   FEW_SIDE                        registers of outputs that one or two rows extend side by side: 1 or 2
 *   multiply(a, b, sum)             sum + the products of the elements a and b, in each lane
 *   load_columns(w, dtype, count)   `count` successive columns of a row in one register, zeros beyond: bf16 (and all
 *                                   types where PAIR is 2) as two bf16 a lane, other types as one float a lane
 *
 * PAIR, multiply and load_columns of products in fp32 are in gemm_floats.h.
 *
 * A dtype, a number of rows, a full `count` are constants after inlining. Loops over lanes and rows run to a constant,
 * so that any compiler unrolls them. */
#ifndef PLUMB_COMPUTE_GEMM_KERNELS_H
#define PLUMB_COMPUTE_GEMM_KERNELS_H

#include "compute/kernels.h"
#include "compute/parts.h"

enum { NR = 2 * LANES };

/* --- tile --------------------------------------------------------------------------------------------------------- */

/* Where the sums of some outputs of a row start from. */
INLINE floats begin_sum(const float *y, bool start, const float *bias, lane_set outputs)
{
    floats sum = start ? load_lanes(y, outputs) : as_floats(no_words());
    if (!bias) return sum;
    return start ? add(sum, load_lanes(bias, outputs)) : load_lanes(bias, outputs);
}

/* A tile of `rows` (a constant after inlining) x NR: two accumulators a row, one broadcast of an input for both. */
INLINE void tile_rows(const int rows, int steps, const float *a, const float *b, float *y, size_t ldy, int n,
                      bool start, const float *bias)
{
    const lane_set left = first_lanes(n), right = first_lanes(n - LANES);
    floats sum0[MR], sum1[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        sum0[i] = begin_sum(y + (size_t)i * ldy, start, bias, left);
        sum1[i] = begin_sum(y + (size_t)i * ldy + LANES, start, bias ? bias + LANES : NULL, right);
    }
    for (int p = 0; p < steps; p++, a += MR, b += NR) {
        const floats b0 = load(b), b1 = load(b + LANES);
#pragma GCC unroll 16
        for (int i = 0; i < MR && i < rows; i++) {
            const floats value = broadcast(a[i]);
            sum0[i] = multiply(value, b0, sum0[i]);
            sum1[i] = multiply(value, b1, sum1[i]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR && i < rows; i++) {
        store_lanes(y + (size_t)i * ldy, left, sum0[i]);
        store_lanes(y + (size_t)i * ldy + LANES, right, sum1[i]);
    }
}

static void gemm_tile(int steps, const float *a, const float *b, float *y, int ldy, int m, int n, bool start,
                      const float *bias)
{
#define ROWS(rows)                                                                                                     \
case rows:                                                                                                             \
    if (rows <= MR) tile_rows(rows, steps, a, b, y, (size_t)ldy, n, start, bias);                                      \
    break;
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
        ROWS(9)
        ROWS(10)
        ROWS(11)
        ROWS(12)
        ROWS(13)
        ROWS(14)
    default:
        break;
    }
#undef ROWS
}

/* --- columns ------------------------------------------------------------------------------------------------------ */

/* Element i of an array, by its address. */
INLINE const void *element(const void *w, plumb_dtype dtype, size_t i)
{
    return (const char *)w + i * plumb_dtype_size(dtype);
}

/* Columns in a lane of load_columns. */
INLINE int columns_of(plumb_dtype dtype)
{
    return PAIR == 2 || dtype == PLUMB_BF16 ? 2 : 1;
}

/* What stands in a lane becomes so many elements of a panel: two bf16 are two floats, or one pair. */
INLINE int parts_of(plumb_dtype dtype)
{
    return columns_of(dtype) / PAIR;
}

INLINE floats part(words v, plumb_dtype dtype, int i)
{
    return parts_of(dtype) == 1 ? as_floats(v) : i == 0 ? widen_lower(v) : widen_upper(v);
}

/* Elements of a panel that `count` columns make. */
INLINE int elements(int count)
{
    return (count + PAIR - 1) / PAIR;
}

/* `count` columns of n rows of w, transposed: lane i of v[j] is row i, and what its lane j held. A value that rounds to
 * infinity counts as one in `largest`. */
INLINE void turn_columns(const void *w, plumb_dtype dtype, size_t k, int n, int count, words v[LANES], words *largest)
{
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
        v[i] = i < n ? load_columns(element(w, dtype, (size_t)i * k), dtype, count) : no_words();
        *largest = columns_of(dtype) == 2 ? larger16(*largest, v[i]) : larger32(*largest, v[i]);
    }
    transpose(v);
}

/* --- packing ------------------------------------------------------------------------------------------------------ */

/* `count` columns of n <= LANES rows to b [elements(count)][nr]. */
INLINE void pack_step(const void *w, plumb_dtype dtype, size_t k, int n, int count, int nr, float *b, words *largest)
{
    const int parts = parts_of(dtype);
    words v[LANES];
    turn_columns(w, dtype, k, n, count, v, largest);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
#pragma GCC unroll 2
        for (int j = 0; j < parts; j++)
            if (parts * i + j < elements(count)) store(b + (size_t)(parts * i + j) * (size_t)nr, part(v[i], dtype, j));
}

/* The columns of n rows, from n = 1 on; more than LANES count as LANES. */
INLINE bool pack_columns(const void *w, plumb_dtype dtype, size_t k, int n, int kc, int nr, float *b)
{
    const int step = LANES * columns_of(dtype);
    words largest = no_words();
    int p = 0;
    if (n >= LANES)
        for (; p + step <= kc; p += step, b += elements(step) * nr)
            pack_step(element(w, dtype, (size_t)p), dtype, k, LANES, step, nr, b, &largest);
    for (; p < kc; p += step, b += elements(step) * nr)
        pack_step(element(w, dtype, (size_t)p), dtype, k, n, plumb_smaller(kc - p, step), nr, b, &largest);
    return columns_of(dtype) == 2 ? finite16(largest) : finite32(largest);
}

static bool pack_weights(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b)
{
    bool finite = true;
    for (int j = 0; j < nr; j += LANES, b += LANES) {
        const void *corner = element(w, dtype, (size_t)(j < n ? j : 0) * k + (size_t)k0);
        if (j >= n)
            for (int p = 0; p < elements(kc); p++) store(b + (size_t)p * (size_t)nr, as_floats(no_words()));
        else if (dtype == PLUMB_BF16)
            finite &= pack_columns(corner, PLUMB_BF16, k, n - j, kc, nr, b);
        else if (dtype == PLUMB_F16)
            finite &= pack_columns(corner, PLUMB_F16, k, n - j, kc, nr, b);
        else
            finite &= pack_columns(corner, PLUMB_F32, k, n - j, kc, nr, b);
    }
    return finite;
}

/* Rows of w are rows of b here: they are widened as they are. */
INLINE bool widen_rows(const void *w, plumb_dtype dtype, size_t k, int nc, int kcount, int nr, float *b)
{
    words largest = no_words();
    for (int p = 0; p < nc; p++, b += nr) {
        const void *row = element(w, dtype, (size_t)p * k);
        const words v0 = load_wide(row, dtype, kcount);
        const words v1 = kcount > LANES ? load_wide(element(row, dtype, LANES), dtype, kcount - LANES) : no_words();
        largest = larger32(larger32(largest, v0), v1);
        store(b, as_floats(v0));
        store(b + LANES, as_floats(v1));
    }
    return finite32(largest);
}

INLINE bool widen_columns(const void *w, plumb_dtype dtype, size_t k, int nc, int kcount, int nr, float *b)
{
    return kcount == NR ? widen_rows(w, dtype, k, nc, NR, nr, b) : widen_rows(w, dtype, k, nc, kcount, nr, b);
}

static bool pack_weights_transposed(const void *w, plumb_dtype dtype, size_t k, int n0, int nc, int k0, int kcount,
                                    int nr, float *b)
{
    const void *corner = element(w, dtype, (size_t)n0 * k + (size_t)k0);
    if (dtype == PLUMB_BF16) return widen_columns(corner, PLUMB_BF16, k, nc, kcount, nr, b);
    if (dtype == PLUMB_F16) return widen_columns(corner, PLUMB_F16, k, nc, kcount, nr, b);
    return widen_columns(corner, PLUMB_F32, k, nc, kcount, nr, b);
}

/* `count` columns of m <= MR rows to a [elements(count)][MR]. The lanes of a step reach over the next one, which is
 * stored after it; only the last of a panel must not, because another thread may own what follows. */
INLINE void pack_inputs_step(const float *x, size_t ldx, int m, int count, bool last, float *a)
{
    words v[LANES], unused = no_words();
    turn_columns(x, PLUMB_F32, ldx, m, count, v, &unused);
    const int steps = elements(count);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
        if (i < steps - 1 || (i < steps && !last)) store(a + i * MR, as_floats(v[i]));
        if (i == steps - 1 && last) store_lanes(a + i * MR, first_lanes(MR), as_floats(v[i]));
    }
}

static void pack_inputs(const float *x, int ldx, int m, int k0, int kc, int mr, float *a)
{
    const int step = LANES * columns_of(PLUMB_F32);
    int p = 0;
    x += k0;
    if (m == MR)
        for (; p + step < kc; p += step, a += elements(step) * mr)
            pack_inputs_step(x + p, (size_t)ldx, MR, step, false, a);
    for (; p < kc; p += step, a += elements(step) * mr)
        pack_inputs_step(x + p, (size_t)ldx, m, plumb_smaller(kc - p, step), p + step >= kc, a);
}

/* --- few rows ----------------------------------------------------------------------------------------------------- */

/* Row r of x as elements of a panel, `count` columns: as they stand, or rounded to pairs in `room`. */
INLINE const float *row_elements(const float *x, size_t ldx, int r, int count, float *room)
{
    x += (size_t)r * ldx;
    if (PAIR == 1) return x;
    store(room, as_floats(load_columns(x, PLUMB_F32, count)));
    return room;
}

/* `count` columns of n <= LANES rows of w, transposed in registers, extend the chains of m rows of x: lane i of sum[r]
 * is output i of row r. */
INLINE void extend(const int m, const void *w, plumb_dtype dtype, size_t k, int n, int count, const float *x,
                   size_t ldx, floats *sum)
{
    const int parts = parts_of(dtype);
    float room[PLUMB_FEW][LANES];
    const float *row[PLUMB_FEW];
    words v[LANES], unused = no_words();
#pragma GCC unroll 8
    for (int r = 0; r < m; r++) row[r] = row_elements(x, ldx, r, count, room[r]);
    turn_columns(w, dtype, k, n, count, v, &unused);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
#pragma GCC unroll 2
        for (int j = 0; j < parts; j++) {
            const floats weights = part(v[i], dtype, j);
            if (parts * i + j >= elements(count)) break;
#pragma GCC unroll 8
            for (int r = 0; r < m; r++) sum[r] = multiply(broadcast(row[r][parts * i + j]), weights, sum[r]);
        }
}

/* n <= side * LANES outputs of m rows, fewer than that only where side is 1. A chain of multiply-adds waits for the
 * latency of each: several sets of outputs side by side fill the time, as far as there are registers. */
INLINE void few_outputs(const int m, const int side, const void *w, plumb_dtype dtype, size_t k, int n, const float *x,
                        size_t ldx, float *y, size_t ldy, bool start, const float *bias)
{
    const size_t step = (size_t)LANES * (size_t)columns_of(dtype), next = (size_t)LANES * k;
    const lane_set outputs = first_lanes(n);
    floats sum[FEW_SIDE][PLUMB_FEW];
#pragma GCC unroll 2
    for (int s = 0; s < side; s++)
#pragma GCC unroll 8
        for (int r = 0; r < m; r++)
            sum[s][r] = begin_sum(y + (size_t)r * ldy + s * LANES, start, bias ? bias + s * LANES : NULL, outputs);
    size_t p = 0;
    for (; p + step <= k && n >= LANES; p += step)
#pragma GCC unroll 2
        for (int s = 0; s < side; s++)
            extend(m, element(w, dtype, (size_t)s * next + p), dtype, k, LANES, (int)step, x + p, ldx, sum[s]);
    for (; p < k; p += step)
#pragma GCC unroll 2
        for (int s = 0; s < side; s++)
            extend(m, element(w, dtype, (size_t)s * next + p), dtype, k, n, k - p < step ? (int)(k - p) : (int)step,
                   x + p, ldx, sum[s]);
#pragma GCC unroll 2
    for (int s = 0; s < side; s++)
#pragma GCC unroll 8
        for (int r = 0; r < m; r++) store_lanes(y + (size_t)r * ldy + s * LANES, outputs, sum[s][r]);
}

INLINE void few_of_type(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx,
                        float *y, size_t ldy, bool start, const float *bias)
{
    const int side = m <= 2 ? FEW_SIDE : 1;
    int i = 0;
    for (; i + side * LANES <= n; i += side * LANES)
        few_outputs(m, side, element(w, dtype, (size_t)i * k), dtype, k, side * LANES, x, ldx, y + i, ldy, start,
                    bias ? bias + i : NULL);
    for (; i < n; i += LANES)
        few_outputs(m, 1, element(w, dtype, (size_t)i * k), dtype, k, plumb_smaller(n - i, LANES), x, ldx, y + i, ldy,
                    start, bias ? bias + i : NULL);
}

INLINE void few(const int m, const void *w, plumb_dtype dtype, size_t k, int n, const float *x, size_t ldx, float *y,
                size_t ldy, bool start, const float *bias)
{
    if (dtype == PLUMB_BF16)
        few_of_type(m, w, PLUMB_BF16, k, n, x, ldx, y, ldy, start, bias);
    else if (dtype == PLUMB_F16)
        few_of_type(m, w, PLUMB_F16, k, n, x, ldx, y, ldy, start, bias);
    else
        few_of_type(m, w, PLUMB_F32, k, n, x, ldx, y, ldy, start, bias);
}

static void few_rows(const void *w, plumb_dtype dtype, size_t k, int n, const float *x, int ldx, int m, float *y,
                     int ldy, bool start, const float *bias)
{
#define ROWS(rows)                                                                                                     \
case rows:                                                                                                             \
    few(rows, w, dtype, k, n, x, (size_t)ldx, y, (size_t)ldy, start, bias);                                            \
    break;
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
        ROWS(8)
    default:
        break;
    }
#undef ROWS
}

/* --- table -------------------------------------------------------------------------------------------------------- */

static void set_gemm(plumb_gemm *gemm)
{
    gemm->mr = MR;
    gemm->nr = NR;
    gemm->pair = PAIR;
    gemm->tile = gemm_tile;
    gemm->few_rows = few_rows;
    gemm->pack_weights = pack_weights;
    gemm->pack_weights_transposed = PAIR == 1 ? pack_weights_transposed : NULL;
    gemm->pack_inputs = pack_inputs;
}

#endif
