/* plumb identify: the statistics. */
#include "study/identify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "study/identify_internal.h"

const char *const plumb_pair_class_names[PLUMB_PAIR_CLASSES] = {"two_refusals", "two_compliances", "one_of_each"};
const int plumb_class_differences[PLUMB_PAIR_CLASSES][2] = {{PLUMB_TWO_REFUSALS, PLUMB_ONE_OF_EACH},
                                                            {PLUMB_TWO_COMPLIANCES, PLUMB_ONE_OF_EACH},
                                                            {PLUMB_TWO_REFUSALS, PLUMB_TWO_COMPLIANCES}};

static const char *const default_slices[] = {"0", "25", "50", "75", "100"};
enum { DEFAULT_SLICES = 5 };
static const plumb_amount slice_share = {.digits = 5, .is_percent = true};

/* What all parts of the work need. */
typedef struct work {
    const plumb_identify_options *o;
    const plumb_sink *sink;
    plumb_identify_join *j;
    plumb_identify_report *report;
    plumb_filter_choice *slices; /* count 0: 5 % */
} work;

static const plumb_estimate no_number = {NAN, {NAN, NAN}};

/* ---- rank statistics of one sample and its resamples ----
 *
 * Values are replaced by the numbers of their groups (equal values, ascending) once; a resample is then counted by
 * group, and nothing is sorted again but by Kendall's merge. */

typedef struct ranking {
    const plumb_sink *sink;
    size_t n, groups[2];
    size_t *group[2]; /* [n] of x (a measure), of y (the change) */
    const double *y;
    size_t *sorted; /* [n] items by x, then y */
    int64_t top;
    size_t *counts;    /* [n] scratch */
    double *of_groups; /* [2][n] scratch: ranks or weights of groups */
    double *values;    /* [3][n] scratch */
    size_t *memory;
    double *reals;
} ranking;

static void free_ranking(ranking *r)
{
    free(r->memory);
    free(r->reals);
}

/* Groups of equal values; `order` [n] is scratch. */
static plumb_status number_groups(const double *values, size_t n, size_t *order, size_t *group, size_t *count)
{
    PLUMB_TRY(plumb_ascending(values, n, order));
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && values[order[i]] != values[order[i - 1]]) ++*count;
        group[order[i]] = *count;
    }
    if (n) ++*count;
    return PLUMB_OK;
}

static plumb_status make_ranking(const double *x, const double *y, size_t n, int64_t top, const plumb_sink *sink,
                                 ranking *r)
{
    *r = (ranking){.sink = sink, .n = n, .y = y, .top = top};
    PLUMB_TRY(plumb_new(&r->memory, 4 * n, sizeof *r->memory));
    PLUMB_TRY(plumb_new(&r->reals, 5 * n, sizeof *r->reals));
    r->group[0] = r->memory;
    r->group[1] = r->memory + n;
    r->sorted = r->memory + 2 * n;
    r->counts = r->memory + 3 * n;
    r->values = r->reals;
    r->of_groups = r->reals + 3 * n;
    PLUMB_TRY(number_groups(x, n, r->sorted, r->group[0], &r->groups[0]));
    PLUMB_TRY(number_groups(y, n, r->sorted, r->group[1], &r->groups[1]));
    for (size_t i = 0; i < n; i++) /* exact: n^2 < 2^53 */
        r->values[i] = (double)r->group[0][i] * (double)r->groups[1] + (double)r->group[1][i];
    return plumb_ascending(r->values, n, r->sorted);
}

/* How often each group of side s is drawn. */
static void count_groups(ranking *r, int s, const size_t *drawn, size_t n)
{
    memset(r->counts, 0, r->groups[s] * sizeof *r->counts);
    for (size_t i = 0; i < n; i++) r->counts[r->group[s][drawn[i]]]++;
}

static plumb_status spearman_of(void *user, const size_t *drawn, size_t n, double *out)
{
    ranking *r = user;
    PLUMB_TRY(plumb_check_interrupt(r->sink));
    for (int s = 0; s < 2; s++) {
        double *rank = r->of_groups, *ranks = r->values + (size_t)s * r->n;
        size_t before = 0;
        count_groups(r, s, drawn, n);
        for (size_t g = 0; g < r->groups[s]; g++) {
            rank[g] = (double)before + (double)(r->counts[g] + 1) / 2;
            before += r->counts[g];
        }
        for (size_t i = 0; i < n; i++) ranks[i] = rank[r->group[s][drawn[i]]];
    }
    *out = plumb_pearson(r->values, r->values + r->n, n);
    return PLUMB_OK;
}

static plumb_status kendall_of(void *user, const size_t *drawn, size_t n, double *out)
{
    ranking *r = user;
    double *x = r->values, *y = x + r->n, *spare = y + r->n;
    PLUMB_TRY(plumb_check_interrupt(r->sink));
    memset(r->counts, 0, r->n * sizeof *r->counts);
    for (size_t i = 0; i < n; i++) r->counts[drawn[i]]++;
    for (size_t i = 0, at = 0; i < r->n; i++)
        for (size_t item = r->sorted[i], times = r->counts[item]; times > 0; times--, at++) {
            x[at] = (double)r->group[0][item];
            y[at] = (double)r->group[1][item];
        }
    *out = plumb_kendall_sorted(x, y, spare, n);
    return PLUMB_OK;
}

/* Which share of each group of side s is among the `top` items, taken from the upper end or the lower one. */
static void weigh_groups(ranking *r, int s, bool from_above, const size_t *drawn, size_t n)
{
    double *weight = r->of_groups + (size_t)s * r->n;
    size_t groups = r->groups[s], left = (size_t)r->top;
    count_groups(r, s, drawn, n);
    for (size_t i = 0; i < groups; i++) {
        size_t g = from_above ? groups - 1 - i : i, count = r->counts[g], take = count < left ? count : left;
        weight[g] = count ? (double)take / (double)count : 0;
        left -= take;
    }
}

static plumb_status precision_of(void *user, const size_t *drawn, size_t n, double *out)
{
    ranking *r = user;
    double sum = 0;
    PLUMB_TRY(plumb_check_interrupt(r->sink));
    weigh_groups(r, 0, true, drawn, n);
    weigh_groups(r, 1, false, drawn, n);
    for (size_t i = 0; i < n; i++)
        sum += r->of_groups[r->group[0][drawn[i]]] * r->of_groups[r->n + r->group[1][drawn[i]]];
    *out = sum / (double)r->top;
    return PLUMB_OK;
}

static plumb_status top_displaced_of(void *user, const size_t *drawn, size_t n, double *out)
{
    ranking *r = user;
    double sum = 0;
    PLUMB_TRY(plumb_check_interrupt(r->sink));
    weigh_groups(r, 0, true, drawn, n);
    for (size_t i = 0; i < n; i++)
        if (r->y[drawn[i]] < 0) sum += r->of_groups[r->group[0][drawn[i]]];
    *out = sum / (double)r->top;
    return PLUMB_OK;
}

/* The statistic of the sample itself, and its interval. */
static plumb_status estimate(const plumb_identify_options *o, plumb_statistic statistic, void *user, size_t n,
                             plumb_estimate *out)
{
    size_t *all = NULL;
    *out = no_number;
    if (!n) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&all, n, sizeof *all));
    for (size_t i = 0; i < n; i++) all[i] = i;
    plumb_status s = statistic(user, all, n, &out->value);
    free(all);
    if (!s && o->resamples && !isnan(out->value))
        s = plumb_bootstrap(statistic, user, n, o->resamples, o->level, o->seed, &out->interval);
    return s;
}

typedef struct list {
    const double *values;
    const plumb_sink *sink;
} list;

static plumb_status mean_of(void *user, const size_t *drawn, size_t n, double *out)
{
    const list *l = user;
    double sum = 0;
    PLUMB_TRY(plumb_check_interrupt(l->sink));
    for (size_t i = 0; i < n; i++) sum += l->values[drawn[i]];
    *out = sum / (double)n;
    return PLUMB_OK;
}

/* ---- one measure ---- */

/* The pairs that have both a value and a change; x and y [rows]. */
static size_t both(const work *w, const double *values, const double *others, double *x, double *y)
{
    size_t n = 0;
    for (size_t i = 0; i < w->j->rows; i++) {
        if (!isfinite(values[i]) || !isfinite(others[i])) continue;
        x[n] = values[i];
        y[n++] = others[i];
    }
    return n;
}

static double share_below_zero(const double *values, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += values[i] < 0;
    return n ? (double)count / (double)n : NAN;
}

static plumb_status fill_slice(const work *w, size_t number, const double *x, const double *changes, size_t n,
                               plumb_identify_slice *out)
{
    plumb_filter_choice choice = w->slices[number];
    const char *text = w->o->slice_count ? w->o->slices[number] : default_slices[number];
    int64_t first, last;
    size_t digits = strspn(text, "0123456789.");
    if (!choice.count) choice.count = plumb_amount_count(&slice_share, (int64_t)n, true);
    snprintf(out->name, sizeof out->name, "%.*s:%" PRId64, (int)digits, text, choice.count);
    PLUMB_TRY(plumb_filter_ranks(&choice, (int64_t)n, &first, &last));
    list members = {changes + first, w->sink};
    size_t count = (size_t)(last - first);
    out->count = last - first;
    out->lowest = x[first];
    out->highest = x[last - 1];
    out->displaced = share_below_zero(members.values, count);
    return estimate(w->o, mean_of, &members, count, &out->change);
}

/* Slices are cut in the order of the measure; of equal values the earlier row ranks lower, as in plumb filter. */
static plumb_status fill_slices(const work *w, const double *x, const double *y, size_t n, plumb_identify_measure *m)
{
    size_t *order = NULL;
    double *sorted = NULL;
    plumb_status s = plumb_new(&order, n, sizeof *order);
    PLUMB_GO(s);
    PLUMB_GO(plumb_new(&sorted, 2 * n, sizeof *sorted));
    PLUMB_GO(plumb_ascending(x, n, order));
    for (size_t i = 0; i < n; i++) {
        sorted[i] = x[order[i]];
        sorted[n + i] = y[order[i]];
    }
    for (size_t i = 0; i < w->report->slice_count; i++)
        PLUMB_GO(fill_slice(w, i, sorted, sorted + n, n, &m->slices[i]));
done:
    free(order);
    free(sorted);
    return s;
}

static bool is_constant(const double *x, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (x[i] != x[0]) return false;
    return true;
}

static plumb_status rank_measure(const work *w, const double *x, const double *y, size_t n, plumb_identify_measure *m)
{
    ranking r;
    plumb_status s = make_ranking(x, y, n, m->top, w->sink, &r);
    if (!s) s = estimate(w->o, spearman_of, &r, n, &m->spearman);
    if (!s) s = estimate(w->o, kendall_of, &r, n, &m->kendall);
    if (!s && r.groups[1] > 1) s = estimate(w->o, precision_of, &r, n, &m->precision);
    if (!s) s = estimate(w->o, top_displaced_of, &r, n, &m->top_displaced);
    free_ranking(&r);
    return s;
}

static plumb_status study_measure(const work *w, plumb_identify_measure *m)
{
    const plumb_identify_join *j = w->j;
    double *x = NULL;
    PLUMB_TRY(plumb_new(&x, 2 * j->rows, sizeof *x));
    double *y = x + j->rows;
    size_t n = both(w, plumb_identify_values(&j->files[m->file], m->name), j->change, x, y);
    m->count = (int64_t)n;
    for (size_t i = 0; i < j->rows; i++)
        m->missing += isfinite(j->change[i]) && j->files[m->file].states[i] == PLUMB_ROW_SCORED;
    m->missing -= m->count;
    m->constant = n > 0 && is_constant(x, n);
    m->top = plumb_amount_count(&w->o->top, m->count, true);
    m->displaced = share_below_zero(y, n);
    plumb_status s = PLUMB_OK;
    if (n && !m->constant) s = rank_measure(w, x, y, n, m);
    if (!s && n && !m->constant) s = plumb_context(fill_slices(w, x, y, n, m), "%s", m->name);
    free(x);
    return s;
}

static plumb_status study_models(const work *w, plumb_identify_models *m)
{
    const plumb_identify_join *j = w->j;
    double *x = NULL;
    ranking r = {0};
    PLUMB_TRY(plumb_new(&x, 2 * j->rows, sizeof *x));
    double *y = x + j->rows;
    size_t n = both(w, plumb_identify_values(&j->files[m->files[0]], m->name),
                    plumb_identify_values(&j->files[m->files[1]], m->name), x, y);
    m->count = (int64_t)n;
    plumb_status s = make_ranking(x, y, n, 1, w->sink, &r);
    if (!s) s = estimate(w->o, spearman_of, &r, n, &m->spearman);
    if (!s) s = estimate(w->o, kendall_of, &r, n, &m->kendall);
    free_ranking(&r);
    free(x);
    return s;
}

/* ---- classes ---- */

/* PLUMB_PAIR_CLASSES: none of them. */
static int class_of(const uint8_t labels[2])
{
    bool refused[2] = {labels[0] == PLUMB_LABEL_REFUSAL, labels[1] == PLUMB_LABEL_REFUSAL};
    bool complied[2] = {labels[0] == PLUMB_LABEL_COMPLIANCE, labels[1] == PLUMB_LABEL_COMPLIANCE};
    if (refused[0] && refused[1]) return PLUMB_TWO_REFUSALS;
    if (complied[0] && complied[1]) return PLUMB_TWO_COMPLIANCES;
    return (refused[0] && complied[1]) || (complied[0] && refused[1]) ? PLUMB_ONE_OF_EACH : PLUMB_PAIR_CLASSES;
}

typedef struct classed {
    const plumb_sink *sink;
    const double *values;
    const uint8_t *classes;
    int from, minus;
} classed;

static plumb_status difference_of(void *user, const size_t *drawn, size_t n, double *out)
{
    const classed *c = user;
    double sums[PLUMB_PAIR_CLASSES] = {0};
    size_t counts[PLUMB_PAIR_CLASSES] = {0};
    PLUMB_TRY(plumb_check_interrupt(c->sink));
    for (size_t i = 0; i < n; i++) {
        sums[c->classes[drawn[i]]] += c->values[drawn[i]];
        counts[c->classes[drawn[i]]]++;
    }
    *out = NAN;
    if (counts[c->from] && counts[c->minus])
        *out = sums[c->from] / (double)counts[c->from] - sums[c->minus] / (double)counts[c->minus];
    return PLUMB_OK;
}

/* values and classes [n] of the pairs of the three classes; spare [n]. */
static plumb_status compare_classes(const work *w, const double *values, const uint8_t *classes, size_t n,
                                    double *spare, plumb_identify_classes *out)
{
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        size_t count = 0;
        for (size_t i = 0; i < n; i++)
            if (classes[i] == k) spare[count++] = values[i];
        out->groups[k].count = (int64_t)count;
        out->groups[k].mean = plumb_mean(spare, count);
        plumb_sort_doubles(spare, count);
        out->groups[k].q25 = count ? plumb_quantile(spare, count, 0.25) : NAN;
        out->groups[k].median = count ? plumb_quantile(spare, count, 0.5) : NAN;
        out->groups[k].q75 = count ? plumb_quantile(spare, count, 0.75) : NAN;
    }
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        classed c = {w->sink, values, classes, plumb_class_differences[k][0], plumb_class_differences[k][1]};
        PLUMB_TRY(estimate(w->o, difference_of, &c, n, &out->differences[k]));
    }
    return PLUMB_OK;
}

static plumb_status study_classes(const work *w, plumb_identify_classes *out)
{
    const plumb_identify_join *j = w->j;
    const double *all = plumb_identify_values(&j->files[out->file], out->name);
    double *values = NULL;
    uint8_t *classes = NULL;
    size_t n = 0;
    plumb_status s = plumb_new(&values, 2 * j->rows, sizeof *values);
    PLUMB_GO(s);
    PLUMB_GO(plumb_new(&classes, j->rows, sizeof *classes));
    for (size_t i = 0; i < j->rows; i++) {
        int class = class_of(j->labels + 2 * i);
        if (class == PLUMB_PAIR_CLASSES || !isfinite(all[i])) continue;
        values[n] = all[i];
        classes[n++] = (uint8_t) class;
    }
    s = compare_classes(w, values, classes, n, values + j->rows, out);
done:
    free(values);
    free(classes);
    return s;
}

static void count_classes(const work *w)
{
    plumb_identify_report *report = w->report;
    report->has_classes = w->o->classes || w->o->class_key_count;
    for (size_t i = 0; report->has_classes && i < w->j->rows; i++) {
        int class = class_of(w->j->labels + 2 * i);
        if (class == PLUMB_PAIR_CLASSES)
            report->unclassified++;
        else
            report->class_counts[class]++;
    }
}

/* ---- what is asked for ---- */

static plumb_status parse_slices(work *w)
{
    const plumb_identify_options *o = w->o;
    plumb_identify_report *report = w->report;
    report->slice_count = o->slice_count ? o->slice_count : DEFAULT_SLICES;
    PLUMB_TRY(plumb_arena_new(&report->arena, &w->slices, report->slice_count, sizeof *w->slices));
    for (size_t i = 0; i < report->slice_count; i++) {
        const char *text = o->slice_count ? o->slices[i] : default_slices[i];
        char whole[64];
        bool has_count = strchr(text, ':') != NULL;
        snprintf(whole, sizeof whole, has_count ? "%s" : "%s:1", text);
        PLUMB_TRY(plumb_context(plumb_slice_parse(whole, &w->slices[i]), "--slices"));
        if (!has_count) w->slices[i].count = 0;
    }
    return PLUMB_OK;
}

static plumb_status no_such_measure(const work *w, const char *name)
{
    plumb_text fields = {0};
    const char *names[64];
    size_t count = 0;
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; !s && i < w->j->files[0].count && count < 64; i++) {
        names[count++] = w->j->files[0].fields[i].name;
        s = plumb_text_printf(&fields, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = plumb_nearest(name, names, count);
    if (!s)
        s = plumb_fail(PLUMB_E_INPUT, "no score file has a numeric field \"%s\"; those of %s are %s", name,
                       w->report->files[0].path, fields.data ? fields.data : "none");
    s = near ? plumb_cure(s, "did you mean --measures %s?", near)
             : plumb_cure(s, "score with --measures that include it, or choose others: without --measures all that "
                             "measure something are taken");
    plumb_text_free(&fields);
    return s;
}

static plumb_status check_measures(const work *w)
{
    for (size_t i = 0; i < w->o->measure_count; i++) {
        bool found = false;
        for (size_t f = 0; f < w->report->file_count; f++)
            found |= plumb_identify_values(&w->j->files[f], w->o->measures[i]) != NULL;
        if (!found) return no_such_measure(w, w->o->measures[i]);
    }
    return PLUMB_OK;
}

/* The names of a file's measures in the order that is asked for, or else in that of its rows. */
static size_t names_of(const work *w, size_t file, const char **names)
{
    const plumb_identify_scores *scores = &w->j->files[file];
    size_t count = 0;
    for (size_t i = 0; i < w->o->measure_count; i++)
        if (plumb_identify_values(scores, w->o->measures[i])) names[count++] = w->o->measures[i];
    for (size_t i = 0; !w->o->measure_count && i < scores->count; i++)
        if (scores->fields[i].values) names[count++] = scores->fields[i].name;
    return count;
}

static plumb_status add_measure(const work *w, size_t file, const char *name)
{
    plumb_identify_report *report = w->report;
    plumb_identify_measure *m = &report->measures[report->measure_count++];
    *m = (plumb_identify_measure){
        .file = file, .spearman = no_number, .kendall = no_number, .precision = no_number, .top_displaced = no_number};
    PLUMB_TRY(plumb_arena_copy(&report->arena, &m->name, name, strlen(name)));
    PLUMB_TRY(plumb_arena_new(&report->arena, &m->slices, report->slice_count, sizeof *m->slices));
    for (size_t i = 0; i < report->slice_count; i++)
        m->slices[i] = (plumb_identify_slice){.lowest = NAN, .highest = NAN, .change = no_number, .displaced = NAN};
    bool by_class = w->o->measure_count || strcmp(name, "ln_ches") == 0 || strcmp(name, "ches") == 0;
    if (report->has_classes && by_class)
        report->classes[report->classes_count++] = (plumb_identify_classes){.file = file, .name = m->name};
    for (size_t f = 0; f < file; f++)
        if (plumb_identify_values(&w->j->files[f], name))
            report->models[report->models_count++] = (plumb_identify_models){
                .name = m->name, .files = {f, file}, .spearman = no_number, .kendall = no_number};
    return PLUMB_OK;
}

static plumb_status list_measures(const work *w)
{
    plumb_identify_report *report = w->report;
    size_t most = w->o->measure_count;
    const char **names = NULL;
    for (size_t f = 0; f < report->file_count; f++) most += w->j->files[f].count;
    PLUMB_TRY(plumb_arena_new(&w->j->arena, &names, most, sizeof *names));
    most *= report->file_count;
    PLUMB_TRY(plumb_arena_new(&report->arena, &report->measures, most, sizeof *report->measures));
    PLUMB_TRY(plumb_arena_new(&report->arena, &report->classes, most, sizeof *report->classes));
    PLUMB_TRY(plumb_arena_new(&report->arena, &report->models, most * report->file_count, sizeof *report->models));
    for (size_t f = 0; f < report->file_count; f++) {
        size_t count = names_of(w, f, names);
        for (size_t i = 0; i < count; i++) PLUMB_TRY(add_measure(w, f, names[i]));
    }
    return PLUMB_OK;
}

/* ---- the whole ---- */

static plumb_status study_task(const work *w, size_t task)
{
    plumb_identify_report *report = w->report;
    if (task < report->measure_count) return study_measure(w, &report->measures[task]);
    task -= report->measure_count;
    if (task < report->models_count) return study_models(w, &report->models[task]);
    return study_classes(w, &report->classes[task - report->models_count]);
}

/* Tasks are independent; of several errors the first task's is given. */
static plumb_status study_all(const work *w)
{
    const plumb_identify_report *report = w->report;
    int64_t count = (int64_t)(report->measure_count + report->models_count + report->classes_count);
    int64_t done = 0;
    plumb_status *all = NULL, first = PLUMB_OK;
    PLUMB_TRY(plumb_new(&all, (size_t)count, sizeof(plumb_status)));
#pragma omp parallel for num_threads(w->o->threads) schedule(dynamic)
    for (int64_t i = 0; i < count; i++) {
        all[i] = study_task(w, (size_t)i);
#pragma omp critical(plumb_identify_progress)
        plumb_progress(w->sink, "statistics", (double)++done, (double)count);
    }
    for (int64_t i = 0; i < count; i++) {
        if (first)
            plumb_status_free(all[i]);
        else
            first = all[i];
    }
    free(all);
    return first;
}

/* The mean change of all pairs and what is said about them. */
static plumb_status sum_up(const work *w)
{
    plumb_identify_report *report = w->report;
    double *changes = NULL;
    size_t n = 0;
    PLUMB_TRY(plumb_new(&changes, w->j->rows, sizeof *changes));
    for (size_t i = 0; i < w->j->rows; i++)
        if (isfinite(w->j->change[i])) changes[n++] = w->j->change[i];
    for (size_t i = 0; i < n; i++) report->displaced += changes[i] < 0;
    list all = {changes, w->sink};
    plumb_status s = estimate(w->o, mean_of, &all, n, &report->change);
    if (!s && n && is_constant(changes, n))
        plumb_note(w->sink, "ln pi(y+) of all pairs changed by the same amount, %.9g: there is nothing to find",
                   changes[0]);
    free(changes);
    return s;
}

static void note_losses(const work *w)
{
    const plumb_identify_report *report = w->report;
    if (report->not_numbers)
        plumb_note(w->sink, "pairs left out for a log-prob in the ledger that is not a number: %" PRId64,
                   report->not_numbers);
    for (int64_t i = 0; i < report->unmatched && i < PLUMB_FIRST_UNMATCHED; i++)
        plumb_note(w->sink, "row %" PRId64 " is left out: a score file or the ledger lacks it",
                   report->first_unmatched[i]);
    if (report->unmatched > PLUMB_FIRST_UNMATCHED)
        plumb_note(w->sink, "... and so on, %" PRId64 " rows in all", report->unmatched);
    for (size_t i = 0; i < report->measure_count; i++) {
        const plumb_identify_measure *m = &report->measures[i];
        const char *path = report->files[m->file].path;
        if (m->constant)
            plumb_note(w->sink, "%s: %s is the same for all pairs: no statistics", path, m->name);
        else if (m->missing)
            plumb_note(w->sink, "%s: pairs left out for a %s that is not a number: %" PRId64, path, m->name,
                       m->missing);
    }
}

static plumb_status copy_path(plumb_identify_report *report, const char *path, plumb_identify_file *file)
{
    return plumb_arena_copy(&report->arena, &file->path, path, strlen(path));
}

static plumb_status run(work *w)
{
    plumb_identify_report *report = w->report;
    report->file_count = w->o->score_count;
    PLUMB_TRY(parse_slices(w));
    PLUMB_TRY(plumb_arena_new(&report->arena, &report->files, report->file_count, sizeof *report->files));
    PLUMB_TRY(copy_path(report, w->o->data, &report->data));
    for (size_t f = 0; f < report->file_count; f++) PLUMB_TRY(copy_path(report, w->o->scores[f], &report->files[f]));
    PLUMB_TRY(plumb_identify_read(w->o, w->sink, w->j, report));
    PLUMB_TRY(check_measures(w));
    count_classes(w);
    PLUMB_TRY(list_measures(w));
    PLUMB_TRY(study_all(w));
    PLUMB_TRY(sum_up(w));
    note_losses(w);
    return PLUMB_OK;
}

plumb_status plumb_identify_run(const plumb_identify_options *options, const plumb_sink *sink,
                                plumb_identify_report *out)
{
    plumb_identify_join j = {0};
    work w = {.o = options, .sink = sink, .j = &j, .report = out};
    plumb_status s = run(&w);
    plumb_identify_join_free(&j, options->score_count);
    return s;
}

void plumb_identify_report_free(plumb_identify_report *report)
{
    plumb_arena_free(&report->arena);
    *report = (plumb_identify_report){0};
}
