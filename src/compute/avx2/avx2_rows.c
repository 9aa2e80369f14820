#include "compute/avx2/avx2_rows.h"

#include "compute/avx2/avx2_attention.h"
#include "compute/avx2/avx2_lanes.h"

#include "compute/row_kernels.h"

void plumb_avx2_rows(plumb_kernels *k)
{
    set_rows(k);
    plumb_avx2_attention(k);
}
