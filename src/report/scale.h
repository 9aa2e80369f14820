/* Scales, ticks and bins: the arithmetic of a figure, without any drawing. */
#ifndef PLUMB_REPORT_SCALE_H
#define PLUMB_REPORT_SCALE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A straight line from data to places on the page: low lies at `from`, high at `to`. */
typedef struct plumb_scale {
    double low, high, from, to;
} plumb_scale;

double plumb_scale_at(const plumb_scale *s, double value);

/* Round numbers within a range: multiples of 1, 2 or 5 times a power of ten. */
enum { PLUMB_MOST_TICKS = 16 };
typedef struct plumb_ticks {
    int count, decimals; /* decimals: how many a label needs */
    double step, at[PLUMB_MOST_TICKS];
} plumb_ticks;

/* At most `most` (2..15) ticks within [low, high]; an empty or infinite range gets none. */
plumb_ticks plumb_nice_ticks(double low, double high, int most);
/* Widens [low, high] to the multiples of the ticks' step; an empty range is first widened about its value, one
 * that is not finite becomes [0, 1]. */
void plumb_nice_range(double *low, double *high, int most);
/* "-1,200", "0.05", "1e-7": the label of a tick, with U+2212 as minus. size 32 is enough. */
void plumb_tick_label(const plumb_ticks *ticks, double value, char *out, size_t size);
/* A number for people: three significant digits, U+2212 as minus, thousands separated. size 32 is enough. */
void plumb_people_number(double value, char *out, size_t size);

/* A histogram: bin i holds low + i width <= v < low + (i + 1) width, the last one its upper end too. Where the tails
 * are long (the whole range more than four times that between the 1 % and 99 % quantiles) the bins cover these
 * quantiles only, and what lies beyond is counted in the outer bins and told in below and above. */
enum { PLUMB_MOST_BINS = 48 };
typedef struct plumb_bins {
    int count;
    double low, width;
    int64_t n[PLUMB_MOST_BINS], below, above, total;
} plumb_bins;

/* Of ascending finite values: about `most` bins (at most PLUMB_MOST_BINS) of round width. n = 0: count is 0. */
void plumb_bin_values(const double *ascending, size_t n, int most, plumb_bins *out);

/* Points of a Lorenz curve: how much of the total the first k of the values, in the order given, hold:
 * share[k] = sum_{i<k} values[i] / sum, k = 0..n; all 0 when the sum is 0. Values must not be negative. */
void plumb_cumulative_shares(const double *values, size_t n, double *share);
/* Gini coefficient of ascending values that are not negative: 0 all the same, towards 1 all in one; 0 for a sum of 0.
 */
double plumb_gini(const double *ascending, size_t n);

/* Quantiles of a column with missing values (NaN): how many there are and the values at q[0..m). Scratch [n]. */
size_t plumb_band(const double *values, size_t n, const double *q, int m, double *scratch, double *out);

#endif
