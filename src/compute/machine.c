/* What is decided by measuring this machine, and what such a measurement holds for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef PLUMB_X86
#    include <cpuid.h>
#endif

#include "compute/kernels.h"

/* Seconds per output of multiplying panels of the first cache, k steps in either format. */
static double time_tile(const plumb_gemm *g, const float *a, const float *b, float *y, int k)
{
    struct timespec begin, end;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    for (int i = 0; i < 64; i++) g->tile(k / g->pair, a, b, y, g->nr, g->mr, g->nr, false, NULL);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    return seconds / (g->mr * g->nr);
}

bool plumb_compute_has_dot(const plumb_compute *c)
{
    return c->kernels.gemm_bf16.mr > 0;
}

plumb_status plumb_compute_calibrate(const plumb_compute *c, double *gain)
{
    enum { STEPS = 256, WIDEST = 64, TURNS = 16 };
    if (!plumb_compute_has_dot(c)) return plumb_fail(PLUMB_E_INTERNAL, "there are no bf16 dot products to measure");
    float *panels;
    PLUMB_TRY(plumb_new_aligned(&panels, (2 * STEPS + WIDEST) * WIDEST, sizeof *panels));
    memset(panels, 0, (2 * STEPS + WIDEST) * WIDEST * sizeof *panels);
    float *b = panels + STEPS * WIDEST, *y = b + STEPS * WIDEST;
    double fp32 = INFINITY, dot = INFINITY;
    for (int i = 0; i < TURNS; i++) { /* by turns, so that what else the machine does meets both */
        fp32 = fmin(fp32, time_tile(&c->kernels.gemm, panels, b, y, STEPS));
        dot = fmin(dot, time_tile(&c->kernels.gemm_bf16, panels, b, y, STEPS));
    }
    free(panels);
    *gain = dot > 0 ? fp32 / dot : 0;
    return PLUMB_OK;
}

plumb_status plumb_compute_identity(const plumb_compute *c, plumb_text *out)
{
    PLUMB_TRY(plumb_text_printf(out, "%s", c->kernels.isa));
#ifdef PLUMB_X86
    /* Maker and name, stepping, features: the leaves of CPUID that are the same on every core (of leaf 1 ebx is not).
     */
    static const struct leaf {
        unsigned number, registers; /* bits: eax, ebx, ecx, edx */
    } leaves[] = {{0, 0xf},          {1, 0xd},          {7, 0xf},         {0x80000002, 0xf},
                  {0x80000003, 0xf}, {0x80000004, 0xf}, {0x80000001, 0xd}};
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        unsigned words[4] = {0};
        __get_cpuid_count(leaves[i].number, 0, &words[0], &words[1], &words[2], &words[3]);
        for (int k = 0; k < 4; k++)
            if (leaves[i].registers >> k & 1) PLUMB_TRY(plumb_text_printf(out, "%c%08x", k ? '.' : ' ', words[k]));
    }
#endif
    return PLUMB_OK;
}
