/* GEMM kernels for AVX2. Contracts: kernels.h. */
#ifndef PLUMB_COMPUTE_AVX2_AVX2_GEMM_H
#define PLUMB_COMPUTE_AVX2_AVX2_GEMM_H

#include "compute/kernels.h"

/* Sets the GEMM entries: a tile of 6 x 16. */
void plumb_avx2_gemm(plumb_kernels *k);

#endif
