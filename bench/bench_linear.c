/* Speed of the matrix products as a share of what the CPU's fused multiply-adds reach in the same run.
 *
 *     bench_linear [--isa avx512] [--compute fp32|bf16-dot|bf16-rounded] [--threads 2] [--rows 256 512 ...] [--seconds
 * 0.5] [--dtype bfloat16] [--clock cpu]
 *
 * For each shape of a linear and number of rows: the best of several runs. The weights of successive runs are different
 * ones, together larger than the caches, as the layers of a model are. On a machine that others use, --clock cpu counts
 * the time on a CPU, divided by the threads, instead of elapsed time (set OMP_WAIT_POLICY=passive, or waiting counts).
 */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef PLUMB_X86
#    include <immintrin.h>
#endif

#include "base/memory.h"
#include "compute/compute.h"

typedef struct options {
    const char *isa;
    int threads;
    int rows[16];
    int row_counts;
    double seconds;
    plumb_dtype dtype;
    plumb_arithmetic arithmetic;
    bool cpu_clock;
} options;

static const struct shape {
    const char *what;
    int n, k;
} shapes[] = {
    {"olmo-1b attention", 2048, 2048}, {"olmo-1b up", 8192, 2048},     {"olmo-1b down", 2048, 8192},
    {"gemma-2b up", 16384, 2048},      {"gemma-2b down", 2048, 16384}, {"gemma-2b key", 256, 2048},
};

static void stop(plumb_status s)
{
    if (!s) return;
    fprintf(stderr, "%s\n", plumb_status_message(s));
    exit(3);
}

/* Seconds for comparison with a later call, of work that o->threads share. */
static double now(const options *o)
{
    struct timespec t;
    clock_gettime(o->cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / (o->cpu_clock ? o->threads : 1);
}

/* --- yardstick ---------------------------------------------------------------------------------------------------- */

enum { CHAINS = 12, STEPS = 1 << 22 };

#ifdef PLUMB_X86

/* Independent chains of multiply-adds, for about as long as a product takes (a CPU is faster for a millisecond);
 * returns how many operations (a multiply and an add are two) were done. The empty assembly keeps each result in a
 * register and from being optimised away. */
__attribute__((target("avx512f"))) static double chains_avx512(void)
{
    __m512 sum[CHAINS], factor = _mm512_set1_ps(0.5f);
#    pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_ps((float)i);
    for (int step = 0; step < STEPS; step++) {
#    pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_fmadd_ps(sum[i], factor, factor);
            __asm__ volatile("" : "+v"(sum[i]));
        }
    }
    return 2.0 * 16 * CHAINS * STEPS;
}

__attribute__((target("avx2,fma"))) static double chains_avx2(void)
{
    __m256 sum[CHAINS], factor = _mm256_set1_ps(0.5f);
#    pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm256_set1_ps((float)i);
    for (int step = 0; step < STEPS; step++) {
#    pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm256_fmadd_ps(sum[i], factor, factor);
            __asm__ volatile("" : "+x"(sum[i]));
        }
    }
    return 2.0 * 8 * CHAINS * STEPS;
}

/* Dot products of pairs of bf16: four operations for each of 16 sums. */
__attribute__((target("avx512f,avx512bf16"))) static double chains_dot(void)
{
    __m512 sum[CHAINS];
    __m512i factor = _mm512_set1_epi32(0x3f003f00);
#    pragma GCC unroll 16
    for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_ps((float)i);
    for (int step = 0; step < STEPS; step++) {
#    pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            sum[i] = _mm512_dpbf16_ps(sum[i], (__m512bh)factor, (__m512bh)factor);
            __asm__ volatile("" : "+v"(sum[i]));
        }
    }
    return 4.0 * 16 * CHAINS * STEPS;
}

static double chains(const options *o)
{
    const char *isa = o->isa;
    if (o->arithmetic == PLUMB_BF16_DOT) return chains_dot();
    return strcmp(isa, "avx512") == 0 ? chains_avx512() : strcmp(isa, "avx2") == 0 ? chains_avx2() : 0;
}

#else

static double chains(const options *o)
{
    (void)o;
    return 0;
}

#endif

/* Operations per second of all threads together; 0 when there is no yardstick for the instruction set. */
static double measure_peak(const options *o)
{
    double done = 0, start = now(o);
#pragma omp parallel num_threads(o->threads) reduction(+ : done)
    done += chains(o);
    return done / (now(o) - start);
}

/* --- products ----------------------------------------------------------------------------------------------------- */

enum { WEIGHT_BYTES = 192 << 20 };

/* Finite bits of a small magnitude in any type. */
static void fill(void *weights, size_t bytes)
{
    uint32_t state = 1;
    for (size_t i = 0; i + 2 <= bytes; i += 2) {
        state = state * 1664525u + 1013904223u;
        uint16_t bits = (uint16_t)(0x3000u | (state >> 16 & 0x8fffu));
        memcpy((char *)weights + i, &bits, 2);
    }
}

/* The best of the runs that fit into the time, at least 3; raises *peak to what is measured between them. */
static double measure(plumb_compute *c, const options *o, const struct shape *s, int rows, const char *weights,
                      double *peak)
{
    size_t bytes = (size_t)s->n * (size_t)s->k * plumb_dtype_size(o->dtype), copies = WEIGHT_BYTES / bytes;
    float *x, *y;
    stop(plumb_new(&x, (size_t)rows * (size_t)s->k, sizeof *x));
    stop(plumb_new(&y, (size_t)rows * (size_t)s->n, sizeof *y));
    for (size_t i = 0; i < (size_t)rows * (size_t)s->k; i++) x[i] = (float)(i % 17) - 8;
    double best = 0, begin = now(o);
    for (size_t run = 0; run < 3 || now(o) - begin < o->seconds; run++) {
        plumb_linear w = {weights + run % copies * bytes, o->dtype, NULL, s->n, s->k, s->what, false};
        double start = now(o);
        stop(plumb_linear_run(c, &w, x, s->k, rows, y, s->n, PLUMB_STORE));
        double speed = 2.0 * rows * s->n * s->k / (now(o) - start);
        if (speed > best) best = speed;
    }
    double seen = measure_peak(o);
    if (seen > *peak) *peak = seen;
    free(x);
    free(y);
    return best;
}

static void run(plumb_compute *c, const options *o)
{
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    double speeds[SHAPES][16], peak = 0;
    void *weights;
    stop(plumb_new_aligned(&weights, WEIGHT_BYTES, 1));
    fill(weights, WEIGHT_BYTES);
    for (int i = 0; i < 5; i++) {
        double seen = measure_peak(o);
        if (seen > peak) peak = seen;
    }
    for (int i = 0; i < SHAPES; i++)
        for (int j = 0; j < o->row_counts; j++) speeds[i][j] = measure(c, o, &shapes[i], o->rows[j], weights, &peak);
    printf("%s, %d threads, %s time, %s weights, %s peak %.1f GFLOP/s\n", o->isa, o->threads,
           o->cpu_clock ? "CPU" : "elapsed", plumb_dtype_name(o->dtype),
           o->arithmetic == PLUMB_BF16_DOT ? "bf16 dot" : "FMA", peak * 1e-9);
    printf("%-20s %6s %6s", "", "n", "k");
    for (int j = 0; j < o->row_counts; j++) printf("   m = %-5d    ", o->rows[j]);
    for (int i = 0; i < SHAPES; i++) {
        printf("\n%-20s %6d %6d", shapes[i].what, shapes[i].n, shapes[i].k);
        for (int j = 0; j < o->row_counts; j++) {
            printf("  %6.1f", speeds[i][j] * 1e-9);
            printf(" (%3.0f %%)", peak > 0 ? 100 * speeds[i][j] / peak : 0.0);
        }
    }
    printf("\n");
    free(weights);
}

/* --- command line ------------------------------------------------------------------------------------------------- */

static void usage(void)
{
    fprintf(stderr, "usage: bench_linear [--isa NAME] [--threads N] [--rows M ...] [--seconds S] [--dtype NAME] "
                    "[--clock cpu] [--compute NAME]\n");
    exit(2);
}

static plumb_dtype parse_dtype(const char *name)
{
    for (plumb_dtype d = PLUMB_F32; d <= PLUMB_BF16; d++)
        if (strcmp(name, plumb_dtype_name(d)) == 0) return d;
    usage();
    return PLUMB_F32;
}

static plumb_arithmetic parse_arithmetic(const char *name)
{
    if (strcmp(name, "bf16-dot") == 0) return PLUMB_BF16_DOT;
    if (strcmp(name, "bf16-rounded") == 0) return PLUMB_BF16_ROUNDED;
    if (strcmp(name, "fp32") != 0) usage();
    return PLUMB_FP32;
}

static options parse(int argc, char **argv)
{
    options o = {.rows = {256, 512, 1024, 2048}, .row_counts = 4, .seconds = 0.5, .dtype = PLUMB_BF16};
    for (int i = 1; i < argc; i++) {
        if (i + 1 >= argc) usage();
        const char *name = argv[i++];
        if (strcmp(name, "--isa") == 0)
            o.isa = argv[i];
        else if (strcmp(name, "--threads") == 0)
            o.threads = (int)strtol(argv[i], NULL, 10);
        else if (strcmp(name, "--seconds") == 0)
            o.seconds = strtod(argv[i], NULL);
        else if (strcmp(name, "--clock") == 0)
            o.cpu_clock = strcmp(argv[i], "cpu") == 0;
        else if (strcmp(name, "--dtype") == 0)
            o.dtype = parse_dtype(argv[i]);
        else if (strcmp(name, "--compute") == 0)
            o.arithmetic = parse_arithmetic(argv[i]);
        else if (strcmp(name, "--rows") == 0)
            for (o.row_counts = 0, i--; i + 1 < argc && o.row_counts < 16 && strtol(argv[i + 1], NULL, 10) > 0; i++)
                o.rows[o.row_counts++] = (int)strtol(argv[i + 1], NULL, 10);
        else
            usage();
    }
    return o;
}

int main(int argc, char **argv)
{
    options o = parse(argc, argv);
    plumb_compute *c;
    stop(plumb_compute_open(o.isa, o.threads, &c));
    stop(plumb_compute_use(c, o.arithmetic));
    o.isa = plumb_compute_isa(c);
    o.threads = plumb_compute_threads(c);
    run(c, &o);
    plumb_compute_close(c);
    return 0;
}
