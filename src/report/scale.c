#include "report/scale.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "study/statistics.h"

double plumb_scale_at(const plumb_scale *s, double value)
{
    double span = s->high - s->low;
    return s->from + (span ? (value - s->low) / span : 0.5) * (s->to - s->from);
}

/* The smallest 1, 2 or 5 times a power of ten that is not below x > 0. */
static double round_step(double x)
{
    double power = pow(10, floor(log10(x)));
    static const double steps[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (steps[i] * power >= x * (1 - 1e-9)) return steps[i] * power;
    return 10 * power;
}

plumb_ticks plumb_nice_ticks(double low, double high, int most)
{
    plumb_ticks t = {0};
    if (!(high > low) || !isfinite(high - low)) return t;
    if (most > PLUMB_MOST_TICKS - 1) most = PLUMB_MOST_TICKS - 1;
    if (most < 2) most = 2;
    t.step = round_step((high - low) / most);
    for (;; t.step = round_step(t.step * 1.01)) {
        double first = ceil(low / t.step - 1e-9), last = floor(high / t.step + 1e-9);
        if (last - first + 1 > most) continue;
        for (; t.count <= (int)(last - first); t.count++) {
            double k = first + t.count;
            t.at[t.count] = k == 0 ? 0 : k * t.step; /* no -0 */
        }
        break;
    }
    t.decimals = (int)fmax(0, -floor(log10(t.step) + 1e-9));
    return t;
}

void plumb_nice_range(double *low, double *high, int most)
{
    if (!isfinite(*low) || !isfinite(*high) || !isfinite(*high - *low)) { /* of no values at all */
        *low = 0;
        *high = 1;
    }
    if (!(*high > *low)) {
        double room = *low ? fabs(*low) * 0.1 : 1;
        *low -= room;
        *high += room;
    }
    plumb_ticks t = plumb_nice_ticks(*low, *high, most);
    if (!t.count) return;
    *low = floor(*low / t.step + 1e-9) * t.step;
    *high = ceil(*high / t.step - 1e-9) * t.step;
}

/* Plain digits to the reader's form: U+2212, a comma between thousands. */
static void dress(const char *plain, char *out, size_t size)
{
    size_t n = 0, digits = strspn(plain + (*plain == '-'), "0123456789");
    if (*plain == '-') {
        n = (size_t)snprintf(out, size, "\xE2\x88\x92");
        plain++;
    }
    int separate = digits > 4 && !strchr(plain, 'e');
    for (size_t i = 0; plain[i] && n + 2 < size; i++) {
        if (separate && i && i < digits && (digits - i) % 3 == 0) out[n++] = ',';
        out[n++] = plain[i];
    }
    out[n] = 0;
}

void plumb_tick_label(const plumb_ticks *ticks, double value, char *out, size_t size)
{
    char plain[64];
    if (ticks->decimals > 6 || fabs(value) >= 1e9)
        snprintf(plain, sizeof plain, "%.3g", value);
    else
        snprintf(plain, sizeof plain, "%.*f", ticks->decimals, value);
    dress(plain, out, size);
}

void plumb_people_number(double value, char *out, size_t size)
{
    char plain[64];
    double magnitude = fabs(value);
    if (!isfinite(value))
        snprintf(plain, sizeof plain, "\xE2\x80\x93");
    else if (magnitude >= 1e9 || (magnitude > 0 && magnitude < 1e-4))
        snprintf(plain, sizeof plain, "%.2e", value);
    else if (magnitude >= 100 || value == floor(value))
        snprintf(plain, sizeof plain, "%.0f", value);
    else
        snprintf(plain, sizeof plain, "%.*f",
                 magnitude >= 10    ? 1
                 : magnitude >= 1   ? 2
                 : magnitude >= 0.1 ? 3
                                    : 4,
                 value);
    dress(plain, out, size);
}

void plumb_bin_values(const double *ascending, size_t n, int most, plumb_bins *out)
{
    *out = (plumb_bins){.total = (int64_t)n};
    if (!n) return;
    double low = ascending[0], high = ascending[n - 1];
    double inner_low = plumb_quantile(ascending, n, 0.01), inner_high = plumb_quantile(ascending, n, 0.99);
    if (inner_high > inner_low && high - low > 4 * (inner_high - inner_low)) {
        low = inner_low;
        high = inner_high;
    }
    low = fmin(fmax(low, -1e300), 1e300); /* their difference must be a number */
    high = fmin(fmax(high, -1e300), 1e300);
    if (!(high > low)) {
        double room = low ? fabs(low) * 0.05 : 0.5;
        low -= room;
        high += room;
    }
    if (most > PLUMB_MOST_BINS - 2) most = PLUMB_MOST_BINS - 2;
    out->width = round_step((high - low) / most);
    out->low = floor(low / out->width + 1e-9) * out->width;
    out->count = (int)ceil((high - out->low) / out->width - 1e-9);
    if (out->count < 1) out->count = 1;
    if (out->count > PLUMB_MOST_BINS) out->count = PLUMB_MOST_BINS; /* values that differ in their last bits only */
    double end = out->low + out->count * out->width;
    for (size_t i = 0; i < n; i++) {
        double place = floor((ascending[i] - out->low) / out->width);
        out->below += ascending[i] < out->low;
        out->above += ascending[i] > end;
        out->n[place < 0 ? 0 : place >= out->count ? out->count - 1 : (int)place]++;
    }
}

void plumb_cumulative_shares(const double *values, size_t n, double *share)
{
    double sum = 0, total = 0;
    for (size_t i = 0; i < n; i++) total += values[i];
    share[0] = 0;
    for (size_t i = 0; i < n; i++) {
        sum += values[i];
        share[i + 1] = total > 0 ? sum / total : 0;
    }
}

double plumb_gini(const double *ascending, size_t n)
{
    double sum = 0, weighted = 0;
    for (size_t i = 0; i < n; i++) {
        sum += ascending[i];
        weighted += (double)(i + 1) * ascending[i];
    }
    return n && sum > 0 ? 2 * weighted / ((double)n * sum) - ((double)n + 1) / (double)n : 0;
}

size_t plumb_band(const double *values, size_t n, const double *q, int m, double *scratch, double *out)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (!isnan(values[i])) scratch[count++] = values[i];
    plumb_sort_doubles(scratch, count);
    for (int i = 0; i < m; i++) out[i] = count ? plumb_quantile(scratch, count, q[i]) : NAN;
    return count;
}
