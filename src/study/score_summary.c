#include "study/score_summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

const double plumb_summary_quantiles[PLUMB_SUMMARY_QUANTILES] = {0, 0.05, 0.25, 0.5, 0.75, 0.95, 1};

enum { MOST_MEASURES = 32 };

/* One measure's values: all of them, or from PLUMB_SUMMARY_SAMPLE on a uniform sample (reservoir, Vitter's algorithm R,
 * with numbers that depend on the count alone, so that a run can be repeated). */
typedef struct sample {
    double *values;
    size_t kept, capacity;
    int64_t count;
    double lowest, highest;
    plumb_field_summary tops;
} sample;

struct plumb_score_summary {
    uint32_t measures;
    int64_t rows, skipped[PLUMB_SKIPS], truncated, unclean;
    sample samples[MOST_MEASURES];
};

plumb_status plumb_score_summary_new(uint32_t measures, plumb_score_summary **out)
{
    PLUMB_TRY(plumb_new(out, 1, sizeof **out));
    (*out)->measures = measures;
    size_t count;
    plumb_measures(&count);
    for (size_t i = 0; i < count; i++) {
        sample *v = &(*out)->samples[i];
        if (!(measures >> i & 1)) continue;
        plumb_status s = plumb_reserve(&v->values, &v->capacity, PLUMB_SUMMARY_SAMPLE, sizeof *v->values);
        if (s) {
            plumb_score_summary_free(*out);
            *out = NULL;
            return s;
        }
    }
    return PLUMB_OK;
}

void plumb_score_summary_free(plumb_score_summary *s)
{
    if (!s) return;
    for (int i = 0; i < MOST_MEASURES; i++) free(s->samples[i].values);
    free(s);
}

static void add_top(plumb_field_summary *t, int64_t index, double value)
{
    int at = t->tops;
    while (at > 0 && value > t->top_value[at - 1]) at--;
    if (at == PLUMB_SUMMARY_TOP) return;
    if (t->tops < PLUMB_SUMMARY_TOP) t->tops++;
    for (int i = t->tops - 1; i > at; i--) {
        t->top_value[i] = t->top_value[i - 1];
        t->top_index[i] = t->top_index[i - 1];
    }
    t->top_value[at] = value;
    t->top_index[at] = index;
}

static void add_value(sample *v, uint64_t stream, int64_t index, double value)
{
    if (!isfinite(value)) return;
    if (v->count == 0 || value < v->lowest) v->lowest = value;
    if (v->count == 0 || value > v->highest) v->highest = value;
    add_top(&v->tops, index, value);
    v->count++;
    if (v->kept < PLUMB_SUMMARY_SAMPLE) {
        v->values[v->kept++] = value;
        return;
    }
    int64_t place = (int64_t)(plumb_uniform(0, stream, (uint64_t)v->count) * (double)v->count);
    if (place < PLUMB_SUMMARY_SAMPLE) v->values[place] = value;
}

void plumb_score_summary_add(plumb_score_summary *s, const plumb_score *score)
{
    s->rows++;
    s->skipped[score->skip]++;
    if (score->skip) return;
    s->truncated += score->truncated;
    s->unclean += !score->boundary_clean;
    size_t count;
    const plumb_measure *table = plumb_measures(&count);
    for (size_t i = 0; i < count; i++)
        if (s->measures >> i & 1) add_value(&s->samples[i], i, score->index, table[i].fields[0].get(score));
}

void plumb_score_summary_add_row(plumb_score_summary *s, const json_t *row)
{
    const char *skipped = json_string_value(json_object_get(row, "skipped"));
    int64_t index = json_integer_value(json_object_get(row, "index"));
    plumb_skip skip = PLUMB_SKIP_NONE;
    for (int i = 1; skipped && i < PLUMB_SKIPS; i++)
        if (strcmp(skipped, plumb_skip_name((plumb_skip)i)) == 0) skip = (plumb_skip)i;
    s->rows++;
    s->skipped[skip]++;
    if (skip) return;
    s->truncated += json_is_true(json_object_get(row, "truncated"));
    s->unclean += json_is_false(json_object_get(row, "boundary_clean"));
    size_t count;
    const plumb_measure *table = plumb_measures(&count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(row, table[i].fields[0].name);
        if (s->measures >> i & 1 && json_is_number(value))
            add_value(&s->samples[i], i, index, json_number_value(value));
    }
}

int64_t plumb_score_summary_counts(const plumb_score_summary *s, int64_t skipped[PLUMB_SKIPS], int64_t *truncated,
                                   int64_t *unclean)
{
    for (int i = 0; i < PLUMB_SKIPS; i++) skipped[i] = s->skipped[i];
    *truncated = s->truncated;
    *unclean = s->unclean;
    return s->rows;
}

static int compare_values(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

void plumb_score_summary_field(plumb_score_summary *s, int measure, plumb_field_summary *out)
{
    size_t count;
    sample *v = &s->samples[measure];
    *out = v->tops;
    out->name = plumb_measures(&count)[measure].fields[0].name;
    out->count = v->count;
    out->sampled = v->count > PLUMB_SUMMARY_SAMPLE;
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) out->quantiles[i] = NAN;
    if (!v->count) return;
    qsort(v->values, v->kept, sizeof *v->values, compare_values);
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) {
        double at = plumb_summary_quantiles[i] * (double)(v->kept - 1), below = floor(at);
        double a = v->values[(size_t)below], b = v->values[(size_t)ceil(at)];
        out->quantiles[i] = a + (b - a) * (at - below);
    }
    out->quantiles[0] = v->lowest;
    out->quantiles[PLUMB_SUMMARY_QUANTILES - 1] = v->highest;
}
