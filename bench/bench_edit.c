/* Edit distance: pairs per second of the bit-parallel one, on random token sequences. bench_edit LENGTH SECONDS prints
 * one number; bench/bench.sh compares it with a pure-Python loop. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "align/edit_distance.h"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 400;
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    plumb_arena scratch = {0};
    int32_t *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
    unsigned state = 1;
    for (int i = 0; i < n; i++) {
        a[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 16) % 2000;
        b[i] = (int32_t)((state = state * 1664525u + 1013904223u) >> 16) % 2000;
    }
    double start = now();
    long pairs = 0, sum = 0;
    while (now() - start < seconds) {
        int d;
        plumb_status s = plumb_edit_distance(&scratch, a, n, b, n, &d);
        if (s) return 3;
        plumb_arena_reset(&scratch);
        sum += d;
        pairs++;
    }
    printf("%.1f pairs/s (distance %ld)\n", (double)pairs / (now() - start), sum / pairs);
    plumb_arena_free(&scratch);
    free(a);
    free(b);
    return 0;
}
