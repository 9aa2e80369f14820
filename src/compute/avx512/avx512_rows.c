#include "compute/avx512/avx512_rows.h"

#include "compute/avx512/avx512_attention.h"
#include "compute/avx512/avx512_lanes.h"

#include "compute/row_kernels.h"

void plumb_avx512_rows(plumb_kernels *k)
{
    set_rows(k);
    plumb_avx512_attention(k);
}
