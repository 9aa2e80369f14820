/* The reference GEMM kernels: plain C for any CPU. The other back ends use the packing functions for what their vectors
 * do not cover. Contracts: kernels.h. */
#ifndef PLUMB_COMPUTE_REF_REF_GEMM_H
#define PLUMB_COMPUTE_REF_REF_GEMM_H

#include "compute/kernels.h"

/* Sets the GEMM entries: a tile of 4 x 8. */
void plumb_ref_gemm(plumb_kernels *k);

bool plumb_ref_pack_weights(const void *w, plumb_dtype dtype, size_t k, int n, int k0, int kc, int nr, float *b);
bool plumb_ref_pack_weights_transposed(const void *w, plumb_dtype dtype, size_t k, int n0, int nc, int k0, int kcount,
                                       int nr, float *b);
void plumb_ref_pack_inputs(const float *x, int ldx, int m, int k0, int kc, int mr, float *a);

#endif
