/* AVX-512 kernels of the backward operations. */
#ifndef PLUMB_COMPUTE_AVX512_AVX512_GRADIENT_H
#define PLUMB_COMPUTE_AVX512_AVX512_GRADIENT_H

#include "compute/kernels.h"

/* Overrides the backward entries of k. */
void plumb_avx512_gradient(plumb_kernels *k);

#endif
