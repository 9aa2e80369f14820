/* Matrix products of bf16 operands: tiles of 14 x 32, in which vdpbf16ps multiplies two pairs and adds them to a fp32
 * sum. */
#include "compute/avx512/avx512_lanes.h"
#include "compute/kernels.h"

enum { MR = 14, PAIR = 2, FEW_SIDE = 1 };

INLINE floats multiply(floats a, floats b, floats sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* Types other than bf16 are rounded to nearest even. */
INLINE words load_columns(const void *w, plumb_dtype dtype, int count)
{
    if (dtype == PLUMB_BF16) return load_halves(w, count);
    const void *second = (const char *)w + LANES * plumb_dtype_size(dtype);
    const words low = load_wide(w, dtype, count);
    const words high = count > LANES ? load_wide(second, dtype, count - LANES) : no_words();
    return (words)_mm512_cvtne2ps_pbh(as_floats(high), as_floats(low));
}

#include "compute/gemm_kernels.h"

void plumb_kernels_avx512_bf16(plumb_kernels *k)
{
    set_gemm(&k->gemm_bf16);
}
