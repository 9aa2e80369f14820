/* Statistics that several studies share. All in fp64; ties count as is said; n is the number of values, none of which
 * may be NaN; nothing is allocated unless a function says that it can fail. Checked against SciPy's numbers
 * (tests/data/statistics.json). */
#ifndef PLUMB_STUDY_STATISTICS_H
#define PLUMB_STUDY_STATISTICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct plumb_interval {
    double low, high;
} plumb_interval;

/* Sorts ascending. */
void plumb_sort_doubles(double *values, size_t n);
/* The quantile at q (0..1) of ascending values, n >= 1, by linear interpolation (numpy's default). */
double plumb_quantile(const double *ascending, size_t n, double q);
double plumb_mean(const double *values, size_t n); /* NaN for n = 0 */

/* The items in ascending order of their values, of equal ones the first first. */
plumb_status plumb_ascending(const double *values, size_t n, size_t *order) PLUMB_MUST_USE;
/* Ranks from 1, the mean rank for ties (scipy.stats.rankdata). */
plumb_status plumb_ranks(const double *values, size_t n, double *ranks) PLUMB_MUST_USE;
/* Pearson's correlation of two lists; NaN for n < 2 or when one of them is constant. */
double plumb_pearson(const double *x, const double *y, size_t n);
/* Spearman's rho: Pearson of the ranks (scipy.stats.spearmanr). */
plumb_status plumb_spearman(const double *x, const double *y, size_t n, double *out) PLUMB_MUST_USE;
/* Kendall's tau-b (scipy.stats.kendalltau) in O(n log n); NaN as for Pearson. */
plumb_status plumb_kendall(const double *x, const double *y, size_t n, double *out) PLUMB_MUST_USE;
/* The same of points in ascending order of x, and of y among equal x. Sorts y; spare [n]. */
double plumb_kendall_sorted(const double *x, double *y, double *spare, size_t n);

/* Percentile bootstrap: `statistic` of `resamples` samples drawn with replacement from 0..n-1; the interval between the
 * (1 - level)/2 and (1 + level)/2 quantiles of those that are not NaN; NaN, NaN where there are none (n or resamples
 * 0). The statistic gets the numbers of the drawn items, in the order of drawing; its errors are passed on. Draw i of
 * resample r is floor(u n), u the 53 upper bits of words 2 (i mod 2), 2 (i mod 2) + 1 of Philox (seed, r, i / 2): the
 * same for every statistic of the same n, and on every machine. */
typedef plumb_status (*plumb_statistic)(void *user, const size_t *drawn, size_t n, double *out);
plumb_status plumb_bootstrap(plumb_statistic statistic, void *user, size_t n, int resamples, double level,
                             uint64_t seed, plumb_interval *out) PLUMB_MUST_USE;

/* Wilson's score interval of a share k / n at 95 % (z = 1.959963984540054); [0, 1] for n = 0. */
plumb_interval plumb_wilson(int64_t k, int64_t n);
/* McNemar's exact two-sided test of b and c discordant pairs: min(1, 2 P(X <= min(b, c))), X ~ Binomial(b + c, 1/2); 1
 * for b + c = 0. */
double plumb_mcnemar(int64_t b, int64_t c);

#endif
