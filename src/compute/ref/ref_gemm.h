/* The reference GEMM kernels: plain C for any CPU. Contracts: kernels.h. */
#ifndef PLUMB_COMPUTE_REF_REF_GEMM_H
#define PLUMB_COMPUTE_REF_REF_GEMM_H

#include "compute/kernels.h"

/* Sets the GEMM entries: a tile of 4 x 8. */
void plumb_ref_gemm(plumb_kernels *k);

#endif
