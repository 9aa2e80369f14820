#include "compute/kernels.h"
#include "compute/avx512/avx512_gemm.h"
#include "compute/avx512/avx512_gradient.h"
#include "compute/avx512/avx512_rows.h"

void plumb_kernels_avx512(plumb_kernels *k)
{
    plumb_kernels_avx2(k);
    k->isa = "avx512";
    plumb_avx512_gemm(k);
    plumb_avx512_rows(k);
    plumb_avx512_gradient(k);
}
