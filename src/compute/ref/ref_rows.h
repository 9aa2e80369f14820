/* The reference kernels of everything but the GEMM: plain C and libm, what the other back ends are tested against. */
#ifndef PLUMB_COMPUTE_REF_REF_ROWS_H
#define PLUMB_COMPUTE_REF_REF_ROWS_H

#include "compute/kernels.h"

/* Sets the entries of k that work on rows, and those of attention. */
void plumb_ref_rows(plumb_kernels *k);

#endif
