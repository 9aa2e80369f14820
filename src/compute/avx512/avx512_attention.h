/* AVX-512 kernels of attention. */
#ifndef PLUMB_COMPUTE_AVX512_AVX512_ATTENTION_H
#define PLUMB_COMPUTE_AVX512_AVX512_ATTENTION_H

#include "compute/kernels.h"

/* Overrides product_tile and softmax_tile of k. */
void plumb_avx512_attention(plumb_kernels *k);

#endif
