#include "compute/avx512/avx512_attention.h"

#include "compute/avx512/avx512_lanes.h"

enum { VECTORS = 4 };

#include "compute/attention_kernels.h"

void plumb_avx512_attention(plumb_kernels *k)
{
    set_attention(k);
}
