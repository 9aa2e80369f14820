/* How long work will take, for --dry-run: an estimate from its floating-point operations and one measured product. */
#ifndef PLUMB_CLI_WORK_TIME_H
#define PLUMB_CLI_WORK_TIME_H

#include "cli/cli.h"

/* "about 2 min" in words for `flops` operations, most of which are products of matrices; takes some hundredths of a
 * second. */
plumb_status plumb_work_time(plumb_compute *c, double flops, char *out, size_t size) PLUMB_MUST_USE;

/* Tells a plan's lines "work" and "memory" of forward passes over packed batches: at the least `flops` together,
 * `bytes` beside `model` (how the weights are held, in words) for the largest batch of `rows` tokens. */
plumb_status plumb_tell_passes(plumb_cli *cli, plumb_compute *c, double flops, int64_t bytes, int rows,
                               const char *model) PLUMB_MUST_USE;

#endif
