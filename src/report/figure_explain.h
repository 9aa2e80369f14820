/* Colours of explained pairs, for the page's pair panel too (internal to src/report). */
#ifndef PLUMB_REPORT_FIGURE_EXPLAIN_H
#define PLUMB_REPORT_FIGURE_EXPLAIN_H

#include "report/figure.h"

/* -5..5, value as a share of the largest magnitude: > 0 pushes the chosen response down. */
int plumb_blame_level(double value, double largest);
/* The largest magnitude of blame among the tokens of both sides. */
double plumb_largest_blame(const json_t *explain);

#endif
