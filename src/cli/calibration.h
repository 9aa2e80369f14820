/* What was measured of this machine once, kept for the next process: whether bf16 dot products pay. The choice changes
 * the last digits of results, so it should not fall anew, and perhaps otherwise, in every process.
 *
 * Kept in $XDG_CACHE_HOME/plumb/calibration-HASH.json ($HOME/.cache without the variable), one file for each CPU,
 * instruction set and version of plumb, which stand in it too:
 *
 *     {"for": "plumb 0.1.0 avx512 00000010.68747541...", "bf16_dot_gain": 1.97}
 *
 * PLUMB_CALIBRATION=again measures anew and keeps that, off measures without looking at the file or writing it. */
#ifndef PLUMB_CLI_CALIBRATION_H
#define PLUMB_CLI_CALIBRATION_H

#include "compute/compute.h"

/* PLUMB_BF16_DOT or PLUMB_BF16_ROUNDED, whichever is the faster for c. A file that is not there, or is damaged, or is
 * of something else is measured anew; one that cannot be written is done without, silently. Another word in
 * PLUMB_CALIBRATION is PLUMB_E_INPUT. */
plumb_status plumb_calibrated_bf16(const plumb_compute *c, plumb_arithmetic *out) PLUMB_MUST_USE;

#endif
