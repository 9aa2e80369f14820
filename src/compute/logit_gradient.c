#include <math.h>

#include "compute/kernels.h"

static void gradient_row(float cap, float *z, int n, int target, double lse)
{
    if (cap <= 0) {
        for (int v = 0; v < n; v++) z[v] = -expf((float)(z[v] - lse));
        if (target >= 0 && target < n) z[target] += 1;
        return;
    }
    for (int v = 0; v < n; v++) {
        float t = tanhf(z[v] / cap), slope = 1 - t * t, p = expf((float)((double)cap * t - lse));
        z[v] = slope * ((v == target) - p);
    }
}

void plumb_logit_gradient(plumb_compute *c, float cap, float *z, int ldz, int rows, int first, int n,
                          const int32_t *targets, const double *lse)
{
#pragma omp parallel for schedule(static) num_threads(c->threads) if (rows > 1)
    for (int i = 0; i < rows; i++) gradient_row(cap, z + (size_t)i * ldz, n, targets[i] - first, lse[i]);
}
