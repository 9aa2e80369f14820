#include "study/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

void plumb_sort_doubles(double *values, size_t n)
{
    if (n > 1) qsort(values, n, sizeof *values, compare_doubles);
}

double plumb_quantile(const double *ascending, size_t n, double q)
{
    double at = q * (double)(n - 1), below = floor(at), part = at - below;
    double a = ascending[(size_t)below], b = ascending[(size_t)ceil(at)];
    if (a == b) return a; /* equal infinities too */
    return part < 0.5 ? a + (b - a) * part : b - (b - a) * (1 - part);
}

double plumb_mean(const double *values, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return n ? sum / (double)n : NAN;
}

/* ---- ranks ---- */

typedef struct numbered {
    double value;
    size_t item;
} numbered;

static int compare_numbered(const void *x, const void *y)
{
    const numbered *a = x, *b = y;
    if (a->value != b->value) return a->value > b->value ? 1 : -1;
    return (a->item > b->item) - (a->item < b->item);
}

plumb_status plumb_ascending(const double *values, size_t n, size_t *order)
{
    numbered *sorted = NULL;
    PLUMB_TRY(plumb_new(&sorted, n, sizeof *sorted));
    for (size_t i = 0; i < n; i++) sorted[i] = (numbered){values[i], i};
    if (n > 1) qsort(sorted, n, sizeof *sorted, compare_numbered);
    for (size_t i = 0; i < n; i++) order[i] = sorted[i].item;
    free(sorted);
    return PLUMB_OK;
}

plumb_status plumb_ranks(const double *values, size_t n, double *ranks)
{
    size_t *order = NULL;
    PLUMB_TRY(plumb_new(&order, n, sizeof *order));
    plumb_status s = plumb_ascending(values, n, order);
    for (size_t first = 0, end; !s && first < n; first = end) {
        for (end = first + 1; end < n && values[order[end]] == values[order[first]];) end++;
        double mean = (double)(first + 1 + end) / 2; /* of the ranks first + 1 .. end */
        for (size_t i = first; i < end; i++) ranks[order[i]] = mean;
    }
    free(order);
    return s;
}

/* ---- correlations ---- */

static bool is_constant(const double *values, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (values[i] != values[0]) return false;
    return true;
}

double plumb_pearson(const double *x, const double *y, size_t n)
{
    if (n < 2 || is_constant(x, n) || is_constant(y, n)) return NAN;
    double mean_x = plumb_mean(x, n), mean_y = plumb_mean(y, n), xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        double a = x[i] - mean_x, b = y[i] - mean_y;
        xx += a * a;
        yy += b * b;
        xy += a * b;
    }
    double r = xy / (sqrt(xx) * sqrt(yy));
    return r > 1 ? 1 : r < -1 ? -1 : r; /* rounding */
}

plumb_status plumb_spearman(const double *x, const double *y, size_t n, double *out)
{
    double *ranks = NULL;
    PLUMB_TRY(plumb_new(&ranks, 2 * n, sizeof *ranks));
    plumb_status s = plumb_ranks(x, n, ranks);
    if (!s) s = plumb_ranks(y, n, ranks + n);
    if (!s) *out = plumb_pearson(ranks, ranks + n, n);
    free(ranks);
    return s;
}

/* Sorts [0, n) ascending by merging; the number of pairs that stood in the wrong order, equal ones not counted. */
static int64_t sort_counting(double *values, double *spare, size_t n)
{
    if (n < 2) return 0;
    size_t half = n / 2, left = 0, right = half, at = 0;
    int64_t swaps = sort_counting(values, spare, half) + sort_counting(values + half, spare, n - half);
    while (left < half && right < n) {
        if (values[right] < values[left]) {
            swaps += (int64_t)(half - left);
            spare[at++] = values[right++];
        } else {
            spare[at++] = values[left++];
        }
    }
    memcpy(spare + at, values + left, (half - left) * sizeof *values);
    memcpy(values, spare, (at + half - left) * sizeof *values);
    return swaps;
}

static int64_t pairs_of(int64_t n)
{
    return n * (n - 1) / 2;
}

/* Pairs that are equal in x, and in x and y, of points in the order of x and then y. */
static void count_ties(const double *x, const double *y, size_t n, int64_t *in_x, int64_t *in_both)
{
    int64_t run_x = 0, run_both = 0;
    *in_x = *in_both = 0;
    for (size_t i = 0; i < n; i++) {
        bool same_x = i > 0 && x[i] == x[i - 1], same_both = same_x && y && y[i] == y[i - 1];
        run_x = same_x ? run_x + 1 : 0;
        run_both = same_both ? run_both + 1 : 0;
        *in_x += run_x; /* each member of a run pairs with those before it */
        *in_both += run_both;
    }
}

double plumb_kendall_sorted(const double *x, double *y, double *spare, size_t n)
{
    int64_t ties_x, ties_y, ties_both, unused, all = pairs_of((int64_t)n);
    count_ties(x, y, n, &ties_x, &ties_both);
    int64_t discordant = sort_counting(y, spare, n);
    count_ties(y, NULL, n, &ties_y, &unused);
    if (n < 2 || ties_x == all || ties_y == all) return NAN;
    int64_t difference = all - ties_x - ties_y + ties_both - 2 * discordant;
    double tau = (double)difference / sqrt((double)(all - ties_x)) / sqrt((double)(all - ties_y));
    return tau > 1 ? 1 : tau < -1 ? -1 : tau;
}

typedef struct point {
    double x, y;
} point;

static int compare_points(const void *a, const void *b)
{
    const point *p = a, *q = b;
    if (p->x != q->x) return p->x > q->x ? 1 : -1;
    return (p->y > q->y) - (p->y < q->y);
}

/* Knight 1966: in the order of x (and y among equal x) the discordant pairs are the inversions of y. */
plumb_status plumb_kendall(const double *x, const double *y, size_t n, double *out)
{
    point *points = NULL;
    double *sorted = NULL;
    plumb_status s = plumb_new(&points, n, sizeof *points);
    PLUMB_GO(s);
    PLUMB_GO(plumb_new(&sorted, 3 * n, sizeof *sorted));
    for (size_t i = 0; i < n; i++) points[i] = (point){x[i], y[i]};
    if (n > 1) qsort(points, n, sizeof *points, compare_points);
    for (size_t i = 0; i < n; i++) {
        sorted[i] = points[i].x;
        sorted[n + i] = points[i].y;
    }
    *out = plumb_kendall_sorted(sorted, sorted + n, sorted + 2 * n, n);
done:
    free(points);
    free(sorted);
    return s;
}

/* ---- bootstrap ---- */

/* Draw j of resample r is value j of stream r: half a block of Philox, 53 bits. */
static void draw(uint64_t seed, uint64_t resample, size_t n, size_t *drawn)
{
    for (size_t i = 0; i < n; i += 2) {
        uint32_t w[4];
        plumb_philox(seed, resample, i / 2, w);
        for (size_t half = 0; half < 2 && i + half < n; half++) {
            uint64_t bits = (uint64_t)w[2 * half] << 32 | w[2 * half + 1];
            size_t item = (size_t)((double)(bits >> 11) * 0x1p-53 * (double)n);
            drawn[i + half] = item < n ? item : n - 1; /* the product may round up to n */
        }
    }
}

plumb_status plumb_bootstrap(plumb_statistic statistic, void *user, size_t n, int resamples, double level,
                             uint64_t seed, plumb_interval *out)
{
    size_t *drawn = NULL, count = 0;
    double *values = NULL;
    *out = (plumb_interval){NAN, NAN};
    plumb_status s = plumb_new(&drawn, n, sizeof *drawn);
    PLUMB_GO(s);
    PLUMB_GO(plumb_new(&values, (size_t)resamples, sizeof *values));
    for (int r = 0; n > 0 && r < resamples; r++) {
        double value = NAN;
        draw(seed, (uint64_t)r, n, drawn);
        PLUMB_GO(statistic(user, drawn, n, &value));
        if (!isnan(value)) values[count++] = value;
    }
    if (count == 0) goto done;
    plumb_sort_doubles(values, count);
    *out = (plumb_interval){plumb_quantile(values, count, (1 - level) / 2),
                            plumb_quantile(values, count, (1 + level) / 2)};
done:
    free(drawn);
    free(values);
    return s;
}

/* ---- shares ---- */

plumb_interval plumb_wilson(int64_t k, int64_t n)
{
    static const double z = 1.959963984540054;
    if (n <= 0) return (plumb_interval){0, 1};
    double size = (double)n, p = (double)k / size, denominator = 2 * (size + z * z);
    double centre = (2 * size * p + z * z) / denominator;
    double half = z * sqrt(z * z + 4 * size * p * (1 - p)) / denominator;
    return (plumb_interval){k == 0 ? 0 : centre - half, k == n ? 1 : centre + half};
}

double plumb_mcnemar(int64_t b, int64_t c)
{
    int64_t n = b + c, least = b < c ? b : c;
    if (b == c) return 1;
    /* C(n, least) 2^-n as term * 2^exponent, so that neither factor leaves the range of doubles */
    double term = 1, sum = 0, part = 1;
    int64_t exponent = -n;
    for (int64_t i = 1; i <= least; i++) {
        int shift;
        term = frexp(term * ((double)(n - least + i) / (double)i), &shift);
        exponent += shift;
    }
    /* the terms below it fall by i / (n - i + 1) < 1 each; what is below rounding changes nothing */
    for (int64_t i = least; i >= 0 && part > sum * 0x1p-60; i--) {
        sum += part;
        part *= (double)i / (double)(n - i + 1);
    }
    double p = exponent < -100000 ? 0 : ldexp(2 * term * sum, (int)exponent);
    return p < 1 ? p : 1;
}
