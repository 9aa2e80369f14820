/* What the memory gives: bytes read per second by all threads, in streams as the weights of a model are read. The
 * yardstick of generation, which reads every weight for each token.
 *
 *     bench_memory [THREADS] */
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"

enum { BYTES = 1 << 30, RUNS = 7 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : omp_get_num_procs();
    size_t count = BYTES / sizeof(uint64_t);
    uint64_t *block, total = 0;
    double best = 0;
    if (plumb_new_aligned(&block, count, sizeof *block)) return 3;
    for (size_t i = 0; i < count; i++) block[i] = i;
    for (int run = 0; run < RUNS; run++) {
        double start = now();
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total)
        for (size_t i = 0; i < count; i += 8) /* a line at a time: all of it is fetched */
            total += block[i];
        double speed = BYTES / (now() - start);
        if (speed > best) best = speed;
    }
    free(block);
    printf("%.2f GB/s, %d threads%s\n", best / 1e9, threads, total == 42 ? " " : "");
    return 0;
}
