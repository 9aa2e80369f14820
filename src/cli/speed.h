/* How fast this machine is, for the estimates of --dry-run. */
#ifndef PLUMB_CLI_SPEED_H
#define PLUMB_CLI_SPEED_H

#include "compute/compute.h"

/* Operations per second of the linears (multiply and add counted apart), from one small product. */
plumb_status plumb_measure_speed(plumb_compute *c, double *flops) PLUMB_MUST_USE;

#endif
