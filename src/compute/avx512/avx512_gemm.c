/* Matrix products in fp32: tiles of 14 x 32. */
#include "compute/avx512/avx512_gemm.h"

#include "compute/avx512/avx512_lanes.h"

enum { MR = 14, FEW_SIDE = 1 };

#include "compute/gemm_floats.h"
#include "compute/gemm_kernels.h"

void plumb_avx512_gemm(plumb_kernels *k)
{
    set_gemm(&k->gemm);
}
