/* How long work will take, for --dry-run: an estimate from its floating-point operations and one measured product. */
#ifndef PLUMB_CLI_WORK_TIME_H
#define PLUMB_CLI_WORK_TIME_H

#include "compute/compute.h"

/* "about 2 min" in words for `flops` operations, most of which are products of matrices; takes some hundredths of a
 * second. */
plumb_status plumb_work_time(plumb_compute *c, double flops, char *out, size_t size) PLUMB_MUST_USE;

#endif
