/* AVX2 kernels of the backward operations. */
#ifndef PLUMB_COMPUTE_AVX2_AVX2_GRADIENT_H
#define PLUMB_COMPUTE_AVX2_AVX2_GRADIENT_H

#include "compute/kernels.h"

/* Overrides the backward entries of k. */
void plumb_avx2_gradient(plumb_kernels *k);

#endif
