/* Matrix products in fp32: tiles of 6 x 16. */
#include "compute/avx2/avx2_gemm.h"

#include "compute/avx2/avx2_lanes.h"

enum { MR = 6, PAIR = 1, FEW_SIDE = 2 };

INLINE floats multiply(floats a, floats b, floats sum)
{
    return _mm256_fmadd_ps(a, b, sum);
}

INLINE words load_columns(const void *w, plumb_dtype dtype, int count)
{
    return dtype == PLUMB_BF16 ? load_halves(w, count) : load_wide(w, dtype, count);
}

#include "compute/gemm_kernels.h"

void plumb_avx2_gemm(plumb_kernels *k)
{
    set_gemm(&k->gemm);
}
