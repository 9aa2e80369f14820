#include "compute/compute.h"

#include <stdlib.h>
#include <string.h>

#ifdef PLUMB_X86
#    include <cpuid.h>
#endif

#include "base/cpus.h"
#include "base/memory.h"
#include "compute/kernels.h"

#ifdef PLUMB_X86

/* Register state that the operating system saves: bit 1 SSE, bit 2 AVX, bits 5 to 7 AVX-512 (Intel SDM, XCR0). */
static uint64_t saved_state(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return (uint64_t)d << 32 | a;
}

static bool has_avx2(void)
{
    unsigned a, b, c, d;
    const unsigned first = bit_FMA | bit_AVX | bit_F16C;
    if ((saved_state() & 0x6) != 0x6) return false;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & first) != first) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

static bool has_avx512(void)
{
    unsigned a, b, c, d;
    const unsigned parts = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
    if ((saved_state() & 0xe6) != 0xe6 || !has_avx2()) return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & parts) == parts;
}

static bool has_avx512_bf16(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

static void fill_avx512(plumb_kernels *k)
{
    plumb_kernels_avx512(k);
    if (has_avx512_bf16()) plumb_kernels_avx512_bf16(k);
}

#endif

static bool always(void)
{
    return true;
}

/* The back ends of this build, the better ones later. */
static const struct backend {
    const char *isa;
    bool (*available)(void);
    void (*fill)(plumb_kernels *k);
} backends[] = {
    {"ref", always, plumb_kernels_ref},
#ifdef PLUMB_X86
    {"avx2", has_avx2, plumb_kernels_avx2},
    {"avx512", has_avx512, fill_avx512},
#endif
};

enum { BACKENDS = sizeof backends / sizeof *backends };

static plumb_status unknown_isa(const char *isa)
{
    plumb_text names = {0};
    plumb_status s = PLUMB_OK;
    for (int i = 0; i < BACKENDS; i++)
        if (backends[i].available()) PLUMB_GO(plumb_text_printf(&names, "%s%s", i ? ", " : "", backends[i].isa));
    s = plumb_fail(PLUMB_E_INPUT, "no instruction set \"%s\" on this machine; available: %s", isa ? isa : "",
                   names.data);
done:
    plumb_text_free(&names);
    return s;
}

/* The named back end, or the best; NULL when it is unknown or this CPU lacks it. */
static const struct backend *find_backend(const char *isa)
{
    for (int i = BACKENDS - 1; i >= 0; i--)
        if ((!isa || strcmp(isa, backends[i].isa) == 0) && backends[i].available()) return &backends[i];
    return NULL;
}

plumb_status plumb_compute_open(const char *isa, int threads, plumb_compute **out)
{
    if (threads < 0) return plumb_fail(PLUMB_E_INPUT, "%d threads; expected 1 or more, or 0 for all CPUs", threads);
    const struct backend *backend = find_backend(isa);
    if (!backend) return unknown_isa(isa);
    plumb_compute *c;
    PLUMB_TRY(plumb_new(&c, 1, sizeof *c));
    backend->fill(&c->kernels);
    c->threads = threads ? threads : plumb_cpus();
    *out = c;
    return PLUMB_OK;
}

void plumb_compute_close(plumb_compute *c)
{
    if (!c) return;
    free(c->packed_inputs);
    free(c->packed_weights);
    free(c->scratch);
    free(c);
}

plumb_status plumb_compute_use(plumb_compute *c, plumb_arithmetic arithmetic)
{
    bool dot = plumb_compute_has_dot(c);
    if (arithmetic == PLUMB_BF16_DOT && !dot)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s has no bf16 dot products on this CPU", c->kernels.isa),
                          "use bf16-rounded for the same accuracy, or fp32");
    if (arithmetic == PLUMB_BF16_AUTO) {
        double gain = 0;
        if (dot) PLUMB_TRY(plumb_compute_calibrate(c, &gain));
        arithmetic = gain > 1 ? PLUMB_BF16_DOT : PLUMB_BF16_ROUNDED;
    }
    c->arithmetic = arithmetic;
    return PLUMB_OK;
}

const char *plumb_compute_arithmetic(const plumb_compute *c)
{
    return c->arithmetic == PLUMB_FP32 ? "fp32" : c->arithmetic == PLUMB_BF16_DOT ? "bf16-dot" : "bf16-rounded";
}

const char *plumb_compute_isa(const plumb_compute *c)
{
    return c->kernels.isa;
}

int plumb_compute_threads(const plumb_compute *c)
{
    return c->threads;
}

plumb_status plumb_compute_alloc(plumb_compute *c, void *out, size_t count, size_t size)
{
    (void)c;
    return plumb_new_aligned(out, count, size);
}

void plumb_compute_release(plumb_compute *c, void *buffer)
{
    (void)c;
    free(buffer);
}

plumb_status plumb_compute_adopt(plumb_compute *c, const void *host, size_t bytes, const void **out)
{
    (void)c;
    (void)bytes;
    *out = host;
    return PLUMB_OK;
}

void plumb_compute_to_host(plumb_compute *c, void *host, const void *buffer, size_t bytes)
{
    (void)c;
    if (bytes) memcpy(host, buffer, bytes);
}

void plumb_compute_from_host(plumb_compute *c, void *buffer, const void *host, size_t bytes)
{
    (void)c;
    if (bytes) memcpy(buffer, host, bytes);
}

plumb_status plumb_compute_check(const plumb_compute *c)
{
    if (!c->bad_weight) return PLUMB_OK;
    const char *range = c->arithmetic == PLUMB_FP32 ? "" : ", or a number beyond the range of bf16";
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s holds a NaN or an infinity%s", c->bad_weight, range),
                      "the checkpoint is damaged or diverged; use another one");
}

plumb_status plumb_compute_scratch(float **buffer, size_t *capacity, size_t need)
{
    if (need <= *capacity) return PLUMB_OK;
    free(*buffer); /* contents are not kept, so the old and the new block need not exist together */
    *buffer = NULL;
    *capacity = 0;
    PLUMB_TRY(plumb_new_aligned(buffer, need, sizeof **buffer));
    *capacity = need;
    return PLUMB_OK;
}
