#include "compute/avx2/avx2_gradient.h"

#include "compute/avx2/avx2_lanes.h"

#include "compute/gradient_kernels.h"

void plumb_avx2_gradient(plumb_kernels *k)
{
    set_gradient(k);
}
