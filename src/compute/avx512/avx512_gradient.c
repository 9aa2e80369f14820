#include "compute/avx512/avx512_gradient.h"

#include "compute/avx512/avx512_lanes.h"

#include "compute/gradient_kernels.h"

void plumb_avx512_gradient(plumb_kernels *k)
{
    set_gradient(k);
}
