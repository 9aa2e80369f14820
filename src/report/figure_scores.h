/* What the figures about scores share (internal to src/report). */
#ifndef PLUMB_REPORT_FIGURE_SCORES_H
#define PLUMB_REPORT_FIGURE_SCORES_H

#include "report/figure.h"

/* The measure that figures of one measure use: the first in the order of plumb_report_measures that pairs have; -1:
 * none. */
int plumb_best_measure(const plumb_report *r);

/* A measure of every pair, by position, NaN where it has none; the caller frees *out. */
plumb_status plumb_measure_column(const plumb_report *r, int measure, double **out) PLUMB_MUST_USE;

/* The share of a run's displacement (sum of falls of the chosen side) that the worst `share` of the pairs by score
 * hold; NaN when nothing fell or no pair has a score. */
plumb_status plumb_share_held(const plumb_report *r, const plumb_report_run *run, int measure, double share,
                              double *out) PLUMB_MUST_USE;

#endif
