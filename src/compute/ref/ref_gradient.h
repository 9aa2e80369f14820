/* The reference kernels of the backward operations. Contracts: kernels.h. */
#ifndef PLUMB_COMPUTE_REF_REF_GRADIENT_H
#define PLUMB_COMPUTE_REF_REF_GRADIENT_H

#include "compute/kernels.h"

/* Sets the backward entries of k. */
void plumb_ref_gradient(plumb_kernels *k);

#endif
