#include "compute/kernels.h"
#include "compute/ref/ref_gemm.h"
#include "compute/ref/ref_gradient.h"
#include "compute/ref/ref_rows.h"

void plumb_kernels_ref(plumb_kernels *k)
{
    *k = (plumb_kernels){.isa = "ref"};
    plumb_ref_gemm(k);
    plumb_ref_rows(k);
    plumb_ref_gradient(k);
}
