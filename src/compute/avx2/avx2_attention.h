/* AVX2 kernels of attention. */
#ifndef PLUMB_COMPUTE_AVX2_AVX2_ATTENTION_H
#define PLUMB_COMPUTE_AVX2_AVX2_ATTENTION_H

#include "compute/kernels.h"

/* Overrides product_tile and softmax_tile of k. */
void plumb_avx2_attention(plumb_kernels *k);

#endif
