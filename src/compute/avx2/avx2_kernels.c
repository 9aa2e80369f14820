#include "compute/kernels.h"
#include "compute/avx2/avx2_gemm.h"
#include "compute/avx2/avx2_gradient.h"
#include "compute/avx2/avx2_rows.h"

void plumb_kernels_avx2(plumb_kernels *k)
{
    plumb_kernels_ref(k);
    k->isa = "avx2";
    plumb_avx2_gemm(k);
    plumb_avx2_rows(k);
    plumb_avx2_gradient(k);
}
