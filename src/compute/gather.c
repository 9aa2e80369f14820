#include <string.h>

#include "compute/kernels.h"

void plumb_gather_rows(plumb_compute *c, const float *x, int ldx, const int32_t *index, int count, int n, float *y,
                       int ldy)
{
    (void)c;
    for (int i = 0; i < count; i++) memcpy(y + (size_t)i * ldy, x + (size_t)index[i] * ldx, (size_t)n * sizeof *y);
}

void plumb_place_rows(plumb_compute *c, const float *x, int ldx, const int32_t *index, int count, int n, float *y,
                      int ldy)
{
    (void)c;
    for (int i = 0; i < count; i++) memcpy(y + (size_t)index[i] * ldy, x + (size_t)i * ldx, (size_t)n * sizeof *y);
}

void plumb_copy_blocks(plumb_compute *c, const float *x, int ldx, int rows, int block, int stride, int count, float *y,
                       int ldy)
{
    (void)c;
    for (int i = 0; i < rows; i++)
        for (int b = 0; b < count; b++)
            memcpy(y + (size_t)i * ldy + (size_t)b * block, x + (size_t)i * ldx + (size_t)b * stride,
                   (size_t)block * sizeof *y);
}
