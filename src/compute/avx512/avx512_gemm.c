/* Matrix products in fp32: tiles of 14 x 32. */
#include "compute/avx512/avx512_gemm.h"

#include "compute/avx512/avx512_lanes.h"

enum { MR = 14, PAIR = 1, FEW_SIDE = 1 };

INLINE floats multiply(floats a, floats b, floats sum)
{
    return _mm512_fmadd_ps(a, b, sum);
}

INLINE words load_columns(const void *w, plumb_dtype dtype, int count)
{
    return dtype == PLUMB_BF16 ? load_halves(w, count) : load_wide(w, dtype, count);
}

#include "compute/gemm_kernels.h"

void plumb_avx512_gemm(plumb_kernels *k)
{
    set_gemm(&k->gemm);
}
