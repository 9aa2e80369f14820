/* The elements of matrix products in fp32, for gemm_kernels.h. The lanes are included before. */
#ifndef PLUMB_COMPUTE_GEMM_FLOATS_H
#define PLUMB_COMPUTE_GEMM_FLOATS_H

enum { PAIR = 1 };

INLINE floats multiply(floats a, floats b, floats sum)
{
    return add_product(a, b, sum);
}

INLINE words load_columns(const void *w, plumb_dtype dtype, int count)
{
    return dtype == PLUMB_BF16 ? load_halves(w, count) : load_wide(w, dtype, count);
}

#endif
