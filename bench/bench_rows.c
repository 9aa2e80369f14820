/* Writes preference rows and score rows that belong to them, for the measurement of plumb filter.
 *
 *     bench_rows N DATA SCORES */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

int main(int argc, char **argv)
{
    char row[512];
    if (argc != 4) return 2;
    FILE *data = fopen(argv[2], "w"), *scores = fopen(argv[3], "w");
    long count = strtol(argv[1], NULL, 10);
    uint32_t state = 1;
    for (long i = 0; data && scores && i < count; i++) {
        state = state * 1664525u + 1013904223u;
        int n = snprintf(row, sizeof row,
                         "{\"prompt\": \"What is number %ld, and why would anyone ask?\", \"chosen\": \"It is %ld, of "
                         "course, and nobody knows why.\", \"rejected\": \"That is a number I would rather not tell: "
                         "%" PRIu32 ".\"}",
                         i, i * 7, state);
        fprintf(data, "%s\n", row);
        fprintf(scores, "{\"index\":%ld,\"row\":\"%016" PRIx64 "\",\"ches\":%.9g,\"ln_ches\":%.9g}\n", i,
                (uint64_t)XXH3_64bits(row, (size_t)n), state / 1e6, -(double)state / 3e8);
    }
    if (!data || !scores || fclose(data) || fclose(scores)) {
        fprintf(stderr, "bench_rows: cannot write\n");
        return 3;
    }
    return 0;
}
