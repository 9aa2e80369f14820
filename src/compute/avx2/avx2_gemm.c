/* Matrix products in fp32: tiles of 6 x 16. */
#include "compute/avx2/avx2_gemm.h"

#include "compute/avx2/avx2_lanes.h"

enum { MR = 6, FEW_SIDE = 2 };

#include "compute/gemm_floats.h"
#include "compute/gemm_kernels.h"

void plumb_avx2_gemm(plumb_kernels *k)
{
    set_gemm(&k->gemm);
}
