/* Figures over the steps of a run: log-probs with bands, runs side by side. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/figure.h"
#include "study/statistics.h"

enum { QUANTILES = 5 };
static const double quantiles[QUANTILES] = {0.05, 0.25, 0.5, 0.75, 0.95};

/* Quantiles of both sides over the steps, [step][quantile]: of log-probs (0) and of their change (1). */
typedef struct course {
    size_t steps;
    double *x, *band[2][2], *reference[2]; /* reference: the median, NULL: none */
    bool from_metrics;
} course;

static void free_course(course *c)
{
    free(c->x);
    for (int i = 0; i < 2; i++) {
        free(c->band[0][i]);
        free(c->band[1][i]);
        free(c->reference[i]);
    }
    *c = (course){0};
}

static plumb_status new_course(course *c, size_t steps, bool reference)
{
    c->steps = steps;
    PLUMB_TRY(plumb_new(&c->x, steps, sizeof(double)));
    for (int side = 0; side < 2; side++) {
        PLUMB_TRY(plumb_new(&c->band[0][side], steps * QUANTILES, sizeof(double)));
        PLUMB_TRY(plumb_new(&c->band[1][side], steps * QUANTILES, sizeof(double)));
        if (reference) PLUMB_TRY(plumb_new(&c->reference[side], steps, sizeof(double)));
    }
    return PLUMB_OK;
}

/* The change is against the first step that has the pair. */
static plumb_status ledger_course(const plumb_ledger_file *l, course *c)
{
    static const double median = 0.5;
    double *change = NULL, *first = NULL, *scratch = NULL;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(new_course(c, l->step_count, l->ref_logps[0] != NULL));
    PLUMB_GO(plumb_new(&change, l->count, sizeof *change));
    PLUMB_GO(plumb_new(&first, l->count, sizeof *first));
    PLUMB_GO(plumb_new(&scratch, l->count, sizeof *scratch));
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < l->count; i++) first[i] = NAN;
        for (size_t t = 0; t < l->step_count; t++) {
            const double *now = l->logps[side] + t * l->count;
            c->x[t] = (double)l->steps[t];
            for (size_t i = 0; i < l->count; i++) {
                if (isnan(first[i])) first[i] = now[i];
                change[i] = now[i] - first[i];
            }
            plumb_band(now, l->count, quantiles, QUANTILES, scratch, c->band[0][side] + t * QUANTILES);
            plumb_band(change, l->count, quantiles, QUANTILES, scratch, c->band[1][side] + t * QUANTILES);
            if (c->reference[side])
                plumb_band(l->ref_logps[side] + t * l->count, l->count, &median, 1, scratch, &c->reference[side][t]);
        }
    }
done:
    free(change);
    free(first);
    free(scratch);
    return s;
}

/* Metrics know the quantiles of each step's own pairs only. */
static plumb_status metrics_course(const plumb_report_run *run, course *c)
{
    PLUMB_TRY(new_course(c, run->metric_count, false));
    c->from_metrics = true;
    for (size_t t = 0; t < c->steps; t++) {
        const double *m = run->metrics + t * PLUMB_REPORT_METRICS;
        c->x[t] = run->metric_step[t];
        for (int side = 0; side < 2; side++) {
            const double *from = m + (side ? PLUMB_METRIC_REJECTED : PLUMB_METRIC_CHOSEN);
            double *to = c->band[0][side] + t * QUANTILES;
            to[0] = from[1];
            to[1] = to[3] = NAN;
            to[2] = from[2];
            to[4] = from[3];
        }
    }
    return PLUMB_OK;
}

static bool metrics_have(const plumb_report_run *run, int metric)
{
    for (size_t t = 0; t < run->metric_count; t++)
        if (isfinite(run->metrics[t * PLUMB_REPORT_METRICS + (size_t)metric])) return true;
    return false;
}

static bool has_course(const plumb_report_run *run)
{
    return (run->has_ledger && run->ledger.step_count > 1) || metrics_have(run, PLUMB_METRIC_CHOSEN + 2);
}

bool plumb_present_course(const plumb_report *r)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (has_course(&r->runs[i])) return true;
    return false;
}

/* The smallest and largest number of a list. */
static void extend(const double *values, size_t n, double *low, double *high)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) continue;
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
}

static void extract(const double *band, size_t steps, int quantile, double *out)
{
    for (size_t t = 0; t < steps; t++) out[t] = band[t * QUANTILES + (size_t)quantile];
}

static plumb_status draw_side(plumb_plot *p, const course *c, int which, int side, double *label_y)
{
    const char *name = side ? "rejected" : "chosen";
    const double *band = c->band[which][side];
    double *low = NULL, *high = NULL;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_new(&low, c->steps, sizeof *low));
    PLUMB_GO(plumb_new(&high, c->steps, sizeof *high));
    for (int k = 0; k < 2; k++) {
        extract(band, c->steps, k, low);
        extract(band, c->steps, QUANTILES - 1 - k, high);
        if (k == 0 || !c->from_metrics) plumb_plot_band(p, name, c->x, low, high, c->steps);
    }
    extract(band, c->steps, 2, low);
    plumb_plot_line(p, name, c->x, low, c->steps);
    if (which == 0 && c->reference[side]) {
        char class_name[32];
        snprintf(class_name, sizeof class_name, "%s dashed", name);
        plumb_plot_line(p, class_name, c->x, c->reference[side], c->steps);
    }
    *label_y = NAN;
    for (size_t t = 0; t < c->steps; t++)
        if (isfinite(low[t])) *label_y = plumb_plot_upwards(p, low[t]) + 4;
done:
    free(low);
    free(high);
    return s;
}

/* One panel: log-probs (which 0) or their change (1) of both sides. */
static plumb_status draw_panel(plumb_figure *f, const course *c, int which, const char *heading, double low,
                               double high)
{
    plumb_plot p;
    plumb_plot_size size = plumb_panel;
    double label_y[2], x_low = c->x[0], x_high = c->x[c->steps - 1];
    char label[512], a[40], b[40];
    size.right = 62;
    if (x_high <= x_low) x_high = x_low + 1;
    snprintf(label, sizeof label, "%s, %s over steps %.0f to %.0f: chosen median ends at %s, rejected at %s.", heading,
             which ? "change of log-probability since the start" : "log-probability", c->x[0], c->x[c->steps - 1],
             plumb_people(c->band[which][0][(c->steps - 1) * QUANTILES + 2], a),
             plumb_people(c->band[which][1][(c->steps - 1) * QUANTILES + 2], b));
    plumb_plot_begin(&p, &f->panels, heading, label, size);
    plumb_nice_range(&low, &high, 6);
    plumb_plot_y(&p, low, high, which ? "change of ln \xCF\x80 since the start (nats)" : "ln \xCF\x80 (nats)");
    plumb_plot_x(&p, x_low, x_high, "step");
    if (which && low < 0 && high > 0) plumb_plot_horizontal(&p, "zero", 0);
    PLUMB_TRY(draw_side(&p, c, which, 1, &label_y[1]));
    PLUMB_TRY(draw_side(&p, c, which, 0, &label_y[0]));
    if (isfinite(label_y[0]) && isfinite(label_y[1])) {
        plumb_spread_labels(label_y, 2, 15, size.top + 6, size.height - size.bottom);
        for (int side = 0; side < 2; side++)
            plumb_plot_text_at(&p, side ? "label rejected-text" : "label chosen-text", size.width - size.right + 6,
                               label_y[side], "start", side ? "rejected" : "chosen");
    }
    plumb_plot_end(&p);
    return PLUMB_OK;
}

static void course_table(plumb_figure *f, const plumb_report_run *run, const course *c)
{
    for (size_t t = 0; t < c->steps; t++) {
        for (int side = 0; side < 2; side++) {
            plumb_table_string(&f->table, run->name);
            plumb_table_number(&f->table, c->x[t]);
            plumb_table_string(&f->table, side ? "rejected" : "chosen");
            for (int q = 0; q < QUANTILES; q++)
                plumb_table_number(&f->table, c->band[0][side][t * QUANTILES + (size_t)q]);
            plumb_table_number(&f->table, c->reference[side] ? c->reference[side][t] : NAN);
            for (int q = 0; q < QUANTILES; q++)
                plumb_table_number(&f->table, c->from_metrics ? NAN : c->band[1][side][t * QUANTILES + (size_t)q]);
        }
    }
}

static void course_columns(plumb_table *t)
{
    static const char *const names[] = {"q05", "q25", "q50", "q75", "q95"};
    static const char *const labels[] = {"5 %", "25 %", "median", "75 %", "95 %"};
    static const char *const change_names[] = {"change_q05", "change_q25", "change_q50", "change_q75", "change_q95"};
    static const char *const change_labels[] = {"change, 5 %", "change, 25 %", "change, median", "change, 75 %",
                                                "change, 95 %"};
    plumb_table_column(t, "run", "run", PLUMB_COLUMN_TEXT);
    plumb_table_column(t, "step", "step", PLUMB_COLUMN_COUNT);
    plumb_table_column(t, "side", "side", PLUMB_COLUMN_TEXT);
    for (int q = 0; q < QUANTILES; q++) plumb_table_column(t, names[q], labels[q], PLUMB_COLUMN_NUMBER);
    plumb_table_column(t, "reference_q50", "reference, median", PLUMB_COLUMN_NUMBER);
    for (int q = 0; q < QUANTILES; q++) plumb_table_column(t, change_names[q], change_labels[q], PLUMB_COLUMN_NUMBER);
}

/* "The median change of the chosen responses ended at -3.2 nats, of the rejected ones at -5." */
static void course_finding(const plumb_report *r, plumb_figure *f, const plumb_report_run *run, const course *c)
{
    int which = c->from_metrics ? 0 : 1;
    size_t last = (c->steps - 1) * QUANTILES + 2;
    double lowest = INFINITY;
    size_t at = 0;
    char a[40], b[40], d[40];
    for (size_t t = 0; t < c->steps; t++) {
        double value = c->band[which][0][t * QUANTILES + 2];
        if (isfinite(value) && value < lowest) {
            lowest = value;
            at = t;
        }
    }
    if (f->finding.text.size) plumb_put(&f->finding, " ");
    plumb_putf(&f->finding,
               which ? "By step %.0f the median pair's chosen response had moved by %s nats, its rejected "
                       "one by %s"
                     : "At step %.0f the median log-probability was %s for chosen and %s for rejected "
                       "responses",
               c->x[c->steps - 1], plumb_people(c->band[which][0][last], a), plumb_people(c->band[which][1][last], b));
    plumb_put_run_name(r, run, &f->finding);
    if (which && at + 1 < c->steps && lowest < 0)
        plumb_putf(&f->finding, "; the chosen side was lowest at step %.0f (%s)", c->x[at], plumb_people(lowest, d));
    plumb_put(&f->finding, ".");
}

static plumb_status compute_course(const plumb_report_run *run, course *c)
{
    return run->has_ledger && run->ledger.step_count > 1 ? ledger_course(&run->ledger, c) : metrics_course(run, c);
}

static plumb_status draw_courses(const plumb_report *r, plumb_figure *f, course *all)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, 0};
    bool several = false;
    for (size_t i = 0, n = 0; i < r->run_count; i++) {
        if (!has_course(&r->runs[i])) continue;
        several = n++ > 0;
        PLUMB_TRY(compute_course(&r->runs[i], &all[i]));
        for (int which = 0; which < 2; which++)
            for (int side = 0; side < 2; side++)
                extend(all[i].band[which][side], all[i].steps * QUANTILES, &low[which], &high[which]);
    }
    if (low[1] > 0) low[1] = 0;
    for (size_t i = 0; i < r->run_count; i++) {
        const plumb_report_run *run = &r->runs[i];
        char count[40], heading[2][200] = {"Log-probability", "Change since the start"};
        if (!all[i].steps) continue;
        for (int which = 0; several && which < 2; which++)
            snprintf(heading[which], sizeof heading[which], "%.120s: %s", run->name,
                     which ? "change" : "log-probability");
        PLUMB_TRY(draw_panel(f, &all[i], 0, heading[0], low[0], high[0]));
        if (!all[i].from_metrics) PLUMB_TRY(draw_panel(f, &all[i], 1, heading[1], low[1], high[1]));
        course_table(f, run, &all[i]);
        course_finding(r, f, run, &all[i]);
        plumb_figure_command(r, f, run->record, "plumb dpo MODEL DATA -o RUN --ledger_steps 10");
        if (all[i].from_metrics)
            plumb_putf(&f->note, "%s: from metrics.jsonl, each step's quantiles are of that step's pairs only. ",
                       run->name);
        else
            plumb_putf(&f->note, "%s%s%s pairs at %zu evaluations. ", several ? run->name : "", several ? ": " : "",
                       plumb_people_count(run->ledger.count, count), run->ledger.step_count);
    }
    return PLUMB_OK;
}

plumb_status plumb_draw_course(const plumb_report *r, plumb_figure *f)
{
    course *all = NULL;
    course_columns(&f->table);
    PLUMB_TRY(plumb_new(&all, r->run_count, sizeof *all));
    plumb_status s = draw_courses(r, f, all);
    for (size_t i = 0; i < r->run_count; i++) free_course(&all[i]);
    free(all);
    return s;
}

/* ---- runs side by side ---- */

bool plumb_present_runs(const plumb_report *r)
{
    return plumb_report_changed_runs(r) > 1;
}

typedef struct run_summary {
    double q[QUANTILES], mean;
    size_t count, fell;
} run_summary;

static plumb_status summarise(const plumb_report *r, const plumb_report_run *run, int side, run_summary *out)
{
    double *scratch = NULL;
    PLUMB_TRY(plumb_new(&scratch, r->count, sizeof *scratch));
    out->count = plumb_band(run->change[side], r->count, quantiles, QUANTILES, scratch, out->q);
    out->mean = plumb_mean(scratch, out->count);
    out->fell = 0;
    for (size_t i = 0; i < out->count; i++) out->fell += scratch[i] < 0;
    free(scratch);
    return PLUMB_OK;
}

static void run_rows(plumb_figure *f, const plumb_report_run *run, const run_summary side[2])
{
    for (int k = 0; k < 2; k++) {
        plumb_table_string(&f->table, run->name);
        plumb_table_string(&f->table, k ? "rejected" : "chosen");
        plumb_table_number(&f->table, (double)side[k].count);
        plumb_table_number(&f->table, (double)side[k].fell / (double)side[k].count);
        plumb_table_number(&f->table, side[k].mean);
        for (int q = 0; q < QUANTILES; q++) plumb_table_number(&f->table, side[k].q[q]);
    }
}

/* `named`: which line is which side is written beside it. */
static void run_lines(plumb_plot *p, const plumb_report_run *run, const run_summary side[2], double at, bool named)
{
    for (int k = 0; k < 2; k++) {
        const char *name = k ? "rejected" : "chosen";
        double y = at + (k ? -0.17 : 0.17), x[2] = {side[k].q[1], side[k].q[3]}, ys[2] = {y, y};
        char tip[256], a[40];
        snprintf(tip, sizeof tip, "%.80s, %s: mean %s", run->name, name, plumb_people(side[k].mean, a));
        plumb_plot_line(p, name, x, ys, 2);
        plumb_plot_dot(p, name, side[k].mean, y, 5, tip);
        bool room = plumb_plot_across(p, x[1]) < p->x.to - 60;
        if (named)
            plumb_plot_text(p, k ? "label halo rejected-text" : "label halo chosen-text", room ? x[1] : x[0], y,
                            room ? 7 : -7, 4, room ? "start" : "end", name);
    }
}

static plumb_status draw_run_panel(const plumb_report *r, plumb_figure *f, const run_summary (*all)[2], size_t n)
{
    plumb_plot p;
    plumb_plot_size size = {420, 76 + 44 * (double)n, 12, 18, 30, 42};
    double low = 0, high = 0, at = (double)n - 0.5;
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            extend(all[i][k].q + 1, 3, &low, &high);
            extend(&all[i][k].mean, 1, &low, &high);
        }
    plumb_nice_range(&low, &high, 6);
    plumb_plot_begin(&p, &f->panels, NULL,
                     "Change of log-probability by run, chosen and rejected; the table has the numbers.", size);
    plumb_plot_x(&p, low, high, "change of ln \xCF\x80 (nats)");
    p.y = (plumb_scale){0, (double)n, size.height - size.bottom, size.top - 14};
    plumb_plot_vertical(&p, "zero", 0);
    for (size_t i = 0, k = 0; i < r->run_count; i++) {
        char name[64];
        if (!plumb_report_has_changes(r, &r->runs[i])) continue;
        snprintf(name, sizeof name, "%.40s", r->runs[i].name);
        run_lines(&p, &r->runs[i], all[k], at - 0.14, k == 0);
        plumb_plot_text_at(&p, "label", size.left, plumb_plot_upwards(&p, at + 0.28), "start", name);
        at -= 1;
        k++;
    }
    plumb_plot_end(&p);
    return PLUMB_OK;
}

plumb_status plumb_draw_runs(const plumb_report *r, plumb_figure *f)
{
    static const struct {
        const char *name, *label;
        plumb_column_kind kind;
    } columns[] = {{"run", "run", PLUMB_COLUMN_TEXT},      {"side", "side", PLUMB_COLUMN_TEXT},
                   {"pairs", "pairs", PLUMB_COLUMN_COUNT}, {"fell", "fell", PLUMB_COLUMN_SHARE},
                   {"mean", "mean", PLUMB_COLUMN_NUMBER},  {"q05", "5 %", PLUMB_COLUMN_NUMBER},
                   {"q25", "25 %", PLUMB_COLUMN_NUMBER},   {"q50", "median", PLUMB_COLUMN_NUMBER},
                   {"q75", "75 %", PLUMB_COLUMN_NUMBER},   {"q95", "95 %", PLUMB_COLUMN_NUMBER}};
    run_summary(*all)[2] = NULL;
    size_t n = plumb_report_changed_runs(r), k = 0, best = 0;
    char a[40];
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        plumb_table_column(&f->table, columns[i].name, columns[i].label, columns[i].kind);
    PLUMB_TRY(plumb_new(&all, n, sizeof *all));
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; !s && i < r->run_count; i++) {
        if (!plumb_report_has_changes(r, &r->runs[i])) continue;
        for (int side = 0; !s && side < 2; side++) s = summarise(r, &r->runs[i], side, &all[k][side]);
        if (all[k][0].mean > all[best][0].mean) best = k;
        run_rows(f, &r->runs[i], all[k++]);
    }
    if (!s) s = draw_run_panel(r, f, (const run_summary(*)[2])all, n);
    for (size_t i = 0, at = 0; i < r->run_count; i++) {
        if (!plumb_report_has_changes(r, &r->runs[i]) || at++ != best) continue;
        plumb_putf(&f->finding, "The chosen responses fared best in %s: on average %s nats.", r->runs[i].name,
                   plumb_people(all[best][0].mean, a));
    }
    free(all);
    plumb_figure_run_commands(r, f);
    return s;
}
