/* GEMM kernels for AVX-512. Contracts: kernels.h. */
#ifndef PLUMB_COMPUTE_AVX512_AVX512_GEMM_H
#define PLUMB_COMPUTE_AVX512_AVX512_GEMM_H

#include "compute/kernels.h"

/* Sets the GEMM entries: a tile of 14 x 32. */
void plumb_avx512_gemm(plumb_kernels *k);

#endif
