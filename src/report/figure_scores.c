/* Figures about scores: histograms with the filter's cut, slices by percentile, Lorenz curves. */
#include "report/figure_scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study/statistics.h"

int plumb_best_measure(const plumb_report *r)
{
    for (int m = 0; m < PLUMB_REPORT_MEASURES; m++)
        for (size_t i = 0; i < r->count; i++)
            if (isfinite(r->pairs[i].measure[m])) return m;
    return -1;
}

plumb_status plumb_measure_column(const plumb_report *r, int measure, double **out)
{
    PLUMB_TRY(plumb_new(out, r->count, sizeof **out));
    for (size_t i = 0; i < r->count; i++) (*out)[i] = measure < 0 ? NAN : r->pairs[i].measure[measure];
    return PLUMB_OK;
}

bool plumb_present_scores(const plumb_report *r)
{
    return plumb_best_measure(r) >= 0;
}

/* ---- histograms ---- */

/* "5 %" of an amount that is a percentage, else its number. */
static void cut_name(const plumb_amount *cut, char out[32])
{
    double value = (double)cut->digits / pow(10, cut->places);
    snprintf(out, 32, "%.6g%s", value, cut->is_percent ? "\xC2\xA0%" : "");
}

/* Where keep-lowest cuts: halfway between the last kept and the first dropped value; NaN when it keeps none or all. */
static double cut_value(const double *ascending, size_t n, const plumb_amount *cut)
{
    int64_t kept = plumb_amount_count(cut, (int64_t)n, true);
    if (kept <= 0 || (size_t)kept >= n) return NAN;
    return 0.5 * (ascending[kept - 1] + ascending[kept]);
}

static void histogram_cuts(const plumb_report *r, plumb_plot *p, const double *ascending, size_t n)
{
    double at[16], place[16];
    size_t count = r->options.cut_count < 16 ? r->options.cut_count : 16;
    for (size_t i = 0; i < count; i++) { /* lines first: a label may lie across the next one */
        double value = cut_value(ascending, n, &r->options.cuts[i]);
        if (value >= p->x.low && value <= p->x.high) plumb_plot_vertical(p, "cut", value);
    }
    for (size_t i = 0; i < count; i++) {
        at[i] = cut_value(ascending, n, &r->options.cuts[i]);
        place[i] = p->size.top + 10 + 15 * (double)i;
        if (isnan(at[i]) || at[i] < p->x.low || at[i] > p->x.high) continue;
        char name[32], text[64];
        bool right = at[i] < 0.5 * (p->x.low + p->x.high);
        cut_name(&r->options.cuts[i], name);
        snprintf(text, sizeof text, "\xE2\x86\x90 keep %s", name);
        plumb_plot_text_at(p, "label halo", plumb_plot_across(p, at[i]) + (right ? 5 : -5), place[i],
                           right ? "start" : "end", text);
    }
}

static void histogram_panel(const plumb_report *r, plumb_figure *f, int measure, const double *ascending, size_t n)
{
    const plumb_report_measure *m = &plumb_report_measures[measure];
    plumb_bins b;
    plumb_plot p;
    double most = 0, low = 0;
    char label[300], x[40], y[40];
    plumb_bin_values(ascending, n, 32, &b);
    for (int i = 0; i < b.count; i++) most = fmax(most, (double)b.n[i]);
    snprintf(label, sizeof label, "Histogram of %s over %zu pairs, median %s, largest %s.", m->label, n,
             plumb_people(plumb_quantile(ascending, n, 0.5), x), plumb_people(ascending[n - 1], y));
    most = fmax(most, 4); /* whole pairs on the axis */
    plumb_nice_range(&low, &most, 5);
    plumb_plot_begin(&p, &f->panels, NULL, label, plumb_panel);
    plumb_plot_y(&p, low, most, "pairs");
    char title[80];
    snprintf(title, sizeof title, "%s%s", m->label, m->low_is_bad ? " (lower is worse)" : "");
    plumb_plot_x(&p, b.low, b.low + b.count * b.width, title);
    for (int i = 0; i < b.count; i++) {
        double from = b.low + i * b.width;
        char tip[160], lower[40], upper[40];
        if (b.n[i]) {
            snprintf(tip, sizeof tip, "%s to %s: %lld pairs", plumb_people(from, lower),
                     plumb_people(from + b.width, upper), (long long)b.n[i]);
            plumb_plot_bar(&p, "bar", from, 0, from + b.width, (double)b.n[i], tip);
        }
        plumb_table_string(&f->table, m->field);
        plumb_table_number(&f->table, from);
        plumb_table_number(&f->table, from + b.width);
        plumb_table_number(&f->table, (double)b.n[i]);
    }
    if (!m->low_is_bad) histogram_cuts(r, &p, ascending, n);
    plumb_plot_end(&p);
    if (b.below || b.above)
        plumb_putf(&f->note, "%s: %lld pairs below and %lld above the axis are counted in the outermost bars. ",
                   m->label, (long long)b.below, (long long)b.above);
}

static void cut_finding(const plumb_report *r, plumb_figure *f, int measure, const double *ascending, size_t n)
{
    char count[40];
    const plumb_report_measure *m = &plumb_report_measures[measure];
    if (m->low_is_bad) return;
    for (size_t i = 0; i < r->options.cut_count; i++) {
        char name[32], value[40];
        int64_t kept = plumb_amount_count(&r->options.cuts[i], (int64_t)n, true);
        cut_name(&r->options.cuts[i], name);
        if (!kept) continue;
        plumb_putf(&f->finding, "%sthe lowest %s by %s: %s pair%s, up to %s",
                   f->finding.text.size ? "; " : "Of the scored pairs ", name, m->field,
                   plumb_people_count((size_t)kept, count), kept == 1 ? "" : "s",
                   plumb_people(ascending[kept - 1], value));
    }
    if (f->finding.text.size) plumb_put(&f->finding, ".");
}

plumb_status plumb_draw_histograms(const plumb_report *r, plumb_figure *f)
{
    double *values = NULL;
    int best = plumb_best_measure(r);
    plumb_table_column(&f->table, "measure", "measure", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "from", "from", PLUMB_COLUMN_NUMBER);
    plumb_table_column(&f->table, "to", "to", PLUMB_COLUMN_NUMBER);
    plumb_table_column(&f->table, "pairs", "pairs", PLUMB_COLUMN_COUNT);
    PLUMB_TRY(plumb_new(&values, r->count, sizeof *values));
    for (int m = 0; m < PLUMB_REPORT_MEASURES; m++) {
        size_t n = 0;
        for (size_t i = 0; i < r->count; i++)
            if (isfinite(r->pairs[i].measure[m])) values[n++] = r->pairs[i].measure[m];
        if (!n) continue;
        plumb_sort_doubles(values, n);
        histogram_panel(r, f, m, values, n);
        if (m == best) cut_finding(r, f, m, values, n);
    }
    free(values);
    if (r->skipped) plumb_putf(&f->note, "%zu skipped pairs have no scores. ", r->skipped);
    plumb_figure_score_commands(r, f);
    if (!r->scores.count) plumb_figure_run_commands(r, f);
    return PLUMB_OK;
}

/* ---- pairs of a run by score ---- */

/* Scored pairs of a run and how much they changed, lowest score first, or lowest danger where a low value is bad. */
typedef struct ranked {
    double *score, *change;
    size_t count;
} ranked;

static void free_ranked(ranked *k)
{
    free(k->score);
    free(k->change);
    *k = (ranked){0};
}

static plumb_status rank_pairs(const plumb_report *r, const plumb_report_run *run, int measure, ranked *out)
{
    double *score = NULL, *change = NULL;
    size_t *order = NULL, n = 0;
    plumb_status s = PLUMB_OK;
    *out = (ranked){0};
    if (measure < 0) return PLUMB_OK;
    double sign = plumb_report_measures[measure].low_is_bad ? -1 : 1;
    PLUMB_GO(plumb_new(&score, r->count, sizeof *score));
    PLUMB_GO(plumb_new(&change, r->count, sizeof *change));
    PLUMB_GO(plumb_new(&order, r->count, sizeof *order));
    for (size_t i = 0; i < r->count; i++) {
        if (!isfinite(r->pairs[i].measure[measure]) || !isfinite(run->change[0][i])) continue;
        score[n] = sign * r->pairs[i].measure[measure];
        change[n++] = run->change[0][i];
    }
    PLUMB_GO(plumb_ascending(score, n, order));
    PLUMB_GO(plumb_new(&out->score, n, sizeof *out->score));
    PLUMB_GO(plumb_new(&out->change, n, sizeof *out->change));
    for (size_t i = 0; i < n; i++) {
        out->score[i] = sign * score[order[i]];
        out->change[i] = change[order[i]];
    }
    out->count = n;
done:
    free(score);
    free(change);
    free(order);
    return s;
}

bool plumb_present_scored_changes(const plumb_report *r)
{
    int measure = plumb_best_measure(r);
    for (size_t k = 0; measure >= 0 && k < r->run_count; k++) {
        if (!plumb_report_has_changes(r, &r->runs[k])) continue;
        for (size_t i = 0; i < r->count; i++)
            if (isfinite(r->pairs[i].measure[measure]) && isfinite(r->runs[k].change[0][i])) return true;
    }
    return false;
}

/* ---- slices ---- */

enum { MOST_SLICES = 10, LEAST_IN_SLICE = 3 };

typedef struct slice {
    size_t count;
    double score_low, score_high, mean, q25, q75, fell;
} slice;

/* Groups of equal size, as far as n can be divided. */
static plumb_status cut_slices(const ranked *k, slice *out, int *count)
{
    double *scratch = NULL;
    int n = (int)(k->count / LEAST_IN_SLICE);
    *count = n > MOST_SLICES ? MOST_SLICES : n < 1 ? 1 : n;
    PLUMB_TRY(plumb_new(&scratch, k->count, sizeof *scratch));
    for (int i = 0; i < *count; i++) {
        size_t from = k->count * (size_t)i / (size_t)*count, to = k->count * (size_t)(i + 1) / (size_t)*count;
        slice *s = &out[i];
        *s = (slice){.count = to - from, .score_low = k->score[from], .score_high = k->score[to - 1]};
        memcpy(scratch, k->change + from, s->count * sizeof *scratch);
        s->mean = plumb_mean(scratch, s->count);
        for (size_t j = 0; j < s->count; j++) s->fell += (scratch[j] < 0) / (double)s->count;
        plumb_sort_doubles(scratch, s->count);
        s->q25 = plumb_quantile(scratch, s->count, 0.25);
        s->q75 = plumb_quantile(scratch, s->count, 0.75);
    }
    free(scratch);
    return PLUMB_OK;
}

static void slice_panel(const plumb_report *r, plumb_figure *f, const plumb_report_run *run, const slice *slices,
                        int count, double low, double high, const char *measure)
{
    plumb_plot p;
    char label[300], title[120], a[40], b[40];
    snprintf(label, sizeof label,
             "Bars: mean change of the chosen response's log-probability in %d groups by %s; lowest "
             "group %s, highest group %s.",
             count, measure, plumb_people(slices[0].mean, a), plumb_people(slices[count - 1].mean, b));
    snprintf(title, sizeof title, "percentile of %s", measure);
    plumb_plot_begin(&p, &f->panels, plumb_report_changed_runs(r) > 1 ? run->name : NULL, label, plumb_panel);
    plumb_plot_y(&p, low, high, "change of ln \xCF\x80(y\xE2\x81\xBA) (nats)");
    plumb_plot_x(&p, 0, 100, title);
    for (int i = 0; i < count; i++) {
        double from = 100.0 * i / count, to = 100.0 * (i + 1) / count, gap = 12.0 / count;
        double x[2] = {0.5 * (from + to), 0.5 * (from + to)}, y[2] = {slices[i].q25, slices[i].q75};
        char tip[200], share[40];
        snprintf(tip, sizeof tip, "%.0f to %.0f %%: mean %s, %s of %zu pairs fell", from, to,
                 plumb_people(slices[i].mean, a), plumb_people_share(slices[i].fell, share), slices[i].count);
        plumb_plot_bar(&p, slices[i].mean < 0 ? "bar fell" : "bar rose", from + gap, 0, to - gap, slices[i].mean, tip);
        plumb_plot_line(&p, "whisker", x, y, 2);
    }
    plumb_plot_horizontal(&p, "zero", 0);
    plumb_plot_end(&p);
}

static void slice_rows(const plumb_report *r, plumb_figure *f, const plumb_report_run *run, const slice *slices,
                       int count)
{
    char a[40], b[40];
    for (int i = 0; i < count; i++) {
        const slice *s = &slices[i];
        const double cells[] = {100.0 * i / count,
                                100.0 * (i + 1) / count,
                                s->score_low,
                                s->score_high,
                                (double)s->count,
                                s->mean,
                                s->q25,
                                s->q75,
                                s->fell};
        plumb_table_string(&f->table, run->name);
        for (size_t c = 0; c < sizeof cells / sizeof *cells; c++) plumb_table_number(&f->table, cells[c]);
    }
    if (f->finding.text.size) plumb_put(&f->finding, " ");
    plumb_putf(&f->finding, "The %s scores: %s nats on average; the lowest: %s",
               count == 1 ? "only group of" : "group with the highest", plumb_people(slices[count - 1].mean, a),
               plumb_people(slices[0].mean, b));
    plumb_put_run_name(r, run, &f->finding);
    plumb_put(&f->finding, ".");
}

static void slice_columns(plumb_table *t)
{
    static const char *const names[] = {"percentile_from", "percentile_to", "score_low",  "score_high",
                                        "pairs",           "mean_change",   "change_q25", "change_q75"};
    static const char *const labels[] = {"from %", "to %",        "lowest score", "highest score",
                                         "pairs",  "mean change", "25 %",         "75 %"};
    plumb_table_column(t, "run", "run", PLUMB_COLUMN_TEXT);
    for (int i = 0; i < 8; i++) plumb_table_column(t, names[i], labels[i], PLUMB_COLUMN_NUMBER);
    plumb_table_column(t, "fell", "fell", PLUMB_COLUMN_SHARE);
}

static plumb_status slices_of_run(const plumb_report *r, const plumb_report_run *run, int measure, slice *out,
                                  int *count)
{
    ranked pairs;
    plumb_status s = rank_pairs(r, run, measure, &pairs);
    *count = 0;
    if (!s && pairs.count) s = cut_slices(&pairs, out, count);
    free_ranked(&pairs);
    return s;
}

plumb_status plumb_draw_slices(const plumb_report *r, plumb_figure *f)
{
    slice(*all)[MOST_SLICES] = NULL;
    int *counts = NULL, measure = plumb_best_measure(r);
    double low = 0, high = 0;
    plumb_status s = PLUMB_OK;
    slice_columns(&f->table);
    PLUMB_GO(plumb_new(&all, r->run_count, sizeof *all));
    PLUMB_GO(plumb_new(&counts, r->run_count, sizeof *counts));
    for (size_t k = 0; k < r->run_count; k++) {
        if (!plumb_report_has_changes(r, &r->runs[k])) continue;
        PLUMB_GO(slices_of_run(r, &r->runs[k], measure, all[k], &counts[k]));
        for (int i = 0; i < counts[k]; i++) {
            low = fmin(low, fmin(all[k][i].q25, all[k][i].mean));
            high = fmax(high, fmax(all[k][i].q75, all[k][i].mean));
        }
    }
    plumb_nice_range(&low, &high, 6);
    for (size_t k = 0; k < r->run_count; k++) {
        if (!counts[k]) continue;
        slice_panel(r, f, &r->runs[k], all[k], counts[k], low, high, plumb_report_measures[measure].label);
        slice_rows(r, f, &r->runs[k], all[k], counts[k]);
    }
    plumb_figure_run_commands(r, f);
    plumb_figure_score_commands(r, f);
done:
    free(all);
    free(counts);
    return s;
}

/* ---- Lorenz ---- */

/* How much a pair's chosen side fell; 0 when it did not. */
static double fall(double change)
{
    return change < 0 ? -change : 0;
}

bool plumb_present_falls(const plumb_report *r)
{
    for (size_t k = 0; k < r->run_count; k++) {
        if (!plumb_report_has_changes(r, &r->runs[k])) continue;
        for (size_t i = 0; i < r->count; i++)
            if (r->runs[k].change[0][i] < 0) return true;
    }
    return false;
}

/* Shares held by the first k of n pairs in that order, k = 0..n. */
typedef struct held {
    double *share;
    size_t count;
} held;

static plumb_status held_by_score(const plumb_report *r, const plumb_report_run *run, int measure, held *out)
{
    ranked pairs;
    *out = (held){0};
    PLUMB_TRY(rank_pairs(r, run, measure, &pairs));
    plumb_status s = plumb_new(&out->share, pairs.count + 1, sizeof *out->share);
    for (size_t i = 0; !s && i < pairs.count / 2; i++) { /* highest first */
        double other = pairs.change[i];
        pairs.change[i] = pairs.change[pairs.count - 1 - i];
        pairs.change[pairs.count - 1 - i] = other;
    }
    for (size_t i = 0; !s && i < pairs.count; i++) pairs.change[i] = fall(pairs.change[i]);
    if (!s) plumb_cumulative_shares(pairs.change, pairs.count, out->share);
    out->count = pairs.count;
    free_ranked(&pairs);
    return s;
}

static plumb_status held_by_fall(const plumb_report *r, const plumb_report_run *run, held *out, double *gini)
{
    double *falls = NULL;
    size_t n = 0;
    *out = (held){0};
    PLUMB_TRY(plumb_new(&falls, r->count, sizeof *falls));
    plumb_status s = plumb_new(&out->share, r->count + 1, sizeof *out->share);
    for (size_t i = 0; i < r->count; i++)
        if (isfinite(run->change[0][i])) falls[n++] = fall(run->change[0][i]);
    plumb_sort_doubles(falls, n);
    *gini = plumb_gini(falls, n);
    for (size_t i = 0; i < n / 2; i++) {
        double other = falls[i];
        falls[i] = falls[n - 1 - i];
        falls[n - 1 - i] = other;
    }
    if (!s) plumb_cumulative_shares(falls, n, out->share);
    out->count = n;
    free(falls);
    return s;
}

/* Along the curve's corners, between two of them on the straight line. */
static double held_at(const held *h, double share)
{
    double at = share * (double)h->count;
    size_t k = (size_t)at;
    if (k >= h->count) return h->share[h->count];
    return h->share[k] + (at - (double)k) * (h->share[k + 1] - h->share[k]);
}

plumb_status plumb_share_held(const plumb_report *r, const plumb_report_run *run, int measure, double share,
                              double *out)
{
    held h;
    plumb_status s = held_by_score(r, run, measure, &h);
    *out = !s && h.count && h.share[h.count] > 0 ? held_at(&h, share) : NAN;
    free(h.share);
    return s;
}

enum { CURVE = 101 };

/* Beside the curve where it reaches a height, on the side that has room. */
static void label_curve(plumb_plot *p, const char *class_name, const double *x, const double *y, double height,
                        const char *text)
{
    int i = 0;
    while (i < CURVE - 1 && y[i] < height) i++;
    bool right = x[i] < 0.55;
    plumb_plot_text(p, class_name, x[i], height, right ? 9 : -9, 4, right ? "start" : "end", text);
}

static void lorenz_panel(const plumb_report *r, plumb_figure *f, const plumb_report_run *run, const held curves[2],
                         double gini, const char *measure)
{
    plumb_plot p;
    double x[CURVE], y[2][CURVE], ends[2] = {0, 1};
    char label[300], a[40], b[40];
    bool scored = curves[1].count && curves[1].share[curves[1].count] > 0;
    for (int i = 0; i < CURVE; i++) {
        x[i] = (double)i / (CURVE - 1);
        y[0][i] = held_at(&curves[0], x[i]);
        y[1][i] = scored ? held_at(&curves[1], x[i]) : NAN;
        plumb_table_string(&f->table, run->name);
        plumb_table_number(&f->table, x[i]);
        plumb_table_number(&f->table, y[0][i]);
        plumb_table_number(&f->table, y[1][i]);
    }
    plumb_people_number(gini, a, sizeof a);
    snprintf(label, sizeof label,
             "Lorenz curve: the 10\xC2\xA0%% of pairs that fell most hold %s of the displacement; Gini "
             "coefficient %s.",
             plumb_people_share(held_at(&curves[0], 0.1), b), a);
    plumb_plot_begin(&p, &f->panels, plumb_report_changed_runs(r) > 1 ? run->name : NULL, label, plumb_panel);
    plumb_plot_share_y(&p, 0, 1, "share of the displacement");
    plumb_plot_share_x(&p, 0, 1, "share of the pairs");
    plumb_plot_line(&p, "guide", ends, ends, 2);
    if (scored) plumb_plot_line(&p, "accent", x, y[1], CURVE);
    plumb_plot_line(&p, "rejected", x, y[0], CURVE);
    label_curve(&p, "label halo rejected-text", x, y[0], 0.62, "largest fall first");
    if (scored) {
        char text[120];
        snprintf(text, sizeof text, "highest %s first", measure);
        label_curve(&p, "label halo accent-text", x, y[1], 0.38, text);
    }
    plumb_plot_end(&p);
    if (f->finding.text.size) plumb_put(&f->finding, " ");
    plumb_putf(&f->finding, "The 10\xC2\xA0%% of pairs that fell most hold %s of all lost log-probability",
               plumb_people_share(held_at(&curves[0], 0.1), b));
    plumb_put_run_name(r, run, &f->finding);
    if (scored)
        plumb_putf(&f->finding, ", the 10\xC2\xA0%% with the highest scores %s",
                   plumb_people_share(held_at(&curves[1], 0.1), b));
    plumb_put(&f->finding, ".");
}

plumb_status plumb_draw_lorenz(const plumb_report *r, plumb_figure *f)
{
    int measure = plumb_best_measure(r);
    plumb_table_column(&f->table, "run", "run", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "pairs", "pairs", PLUMB_COLUMN_SHARE);
    plumb_table_column(&f->table, "largest_fall_first", "held, largest fall first", PLUMB_COLUMN_SHARE);
    plumb_table_column(&f->table, "highest_score_first", "held, highest score first", PLUMB_COLUMN_SHARE);
    for (size_t k = 0; k < r->run_count; k++) {
        const plumb_report_run *run = &r->runs[k];
        held curves[2] = {{0}};
        double gini = 0;
        if (!plumb_report_has_changes(r, run)) continue;
        plumb_status s = held_by_fall(r, run, &curves[0], &gini);
        if (!s) s = held_by_score(r, run, measure, &curves[1]);
        if (!s && curves[0].count && curves[0].share[curves[0].count] > 0)
            lorenz_panel(r, f, run, curves, gini, measure < 0 ? "" : plumb_report_measures[measure].field);
        free(curves[0].share);
        free(curves[1].share);
        PLUMB_TRY(s);
    }
    plumb_figure_run_commands(r, f);
    plumb_figure_score_commands(r, f);
    return PLUMB_OK;
}
