#include "compute/avx2/avx2_attention.h"

#include "compute/avx2/avx2_lanes.h"

enum { VECTORS = 3 };

#include "compute/attention_kernels.h"

void plumb_avx2_attention(plumb_kernels *k)
{
    set_attention(k);
}
