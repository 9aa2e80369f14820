/* AVX2 kernels of everything but the GEMM. */
#ifndef PLUMB_COMPUTE_AVX2_AVX2_ROWS_H
#define PLUMB_COMPUTE_AVX2_AVX2_ROWS_H

#include "compute/kernels.h"

/* Overrides the entries of k that work on rows, and those of attention. */
void plumb_avx2_rows(plumb_kernels *k);

#endif
