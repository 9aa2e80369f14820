#include "cli/work_time.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/progress.h"

/* Operations per second of the linears, from one small product. */
static plumb_status measure_speed(plumb_compute *c, double *flops)
{
    enum { ROWS = 512, WIDTH = 1024, TURNS = 3 };
    float *x = NULL, *y = NULL, *w = NULL;
    double best = 0;
    plumb_status s = plumb_new(&x, ROWS * WIDTH, sizeof *x);
    if (!s) s = plumb_new(&y, ROWS * WIDTH, sizeof *y);
    if (!s) s = plumb_new(&w, WIDTH * WIDTH, sizeof *w);
    plumb_linear linear = {.weight = w, .dtype = PLUMB_F32, .n = WIDTH, .k = WIDTH, .name = "speed"};
    for (int i = 0; i < TURNS && !s; i++) {
        double start = plumb_clock_seconds();
        s = plumb_linear_run(c, &linear, x, WIDTH, ROWS, y, WIDTH, PLUMB_STORE);
        double seconds = plumb_clock_seconds() - start;
        double speed = 2.0 * ROWS * WIDTH * WIDTH / (seconds > 0 ? seconds : 1e-9);
        if (speed > best) best = speed;
    }
    free(x);
    free(y);
    free(w);
    *flops = best;
    return s;
}

/* What is no product of matrices, and products of awkward shapes, take their share of the time. */
static const double efficiency = 0.8;

plumb_status plumb_work_time(plumb_compute *c, double flops, char *out, size_t size)
{
    double speed;
    PLUMB_TRY(measure_speed(c, &speed));
    plumb_format_duration(flops / (efficiency * speed), out, size);
    return PLUMB_OK;
}

plumb_status plumb_tell_passes(plumb_cli *cli, plumb_compute *c, double flops, int64_t bytes, int rows,
                               const char *model)
{
    char time[64], size[64];
    int threads = plumb_compute_threads(c);
    PLUMB_TRY(plumb_work_time(c, flops, time, sizeof time));
    plumb_format_bytes((double)bytes, size, sizeof size);
    plumb_cli_tell(cli, "work: %.3g TFLOP at the least, %d thread%s of %s, %s, about %s", flops / 1e12, threads,
                   threads == 1 ? "" : "s", plumb_compute_isa(c), plumb_compute_arithmetic(c), time);
    plumb_cli_tell(cli, "memory: %s and about %s for the largest batch (%d packed tokens)", model, size, rows);
    return PLUMB_OK;
}
