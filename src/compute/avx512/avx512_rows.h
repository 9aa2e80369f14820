/* AVX-512 kernels of everything but the GEMM. */
#ifndef PLUMB_COMPUTE_AVX512_AVX512_ROWS_H
#define PLUMB_COMPUTE_AVX512_AVX512_ROWS_H

#include "compute/kernels.h"

/* Overrides the entries of k that work on rows, and those of attention. */
void plumb_avx512_rows(plumb_kernels *k);

#endif
