/* Shares and estimates with intervals: refusal rates, and the measures that plumb identify compared. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/figure.h"
#include "study/statistics.h"

enum { MOST_CATEGORIES = 12, MOST_LINES = 64, NAME = 24 };

/* A row of a dot plot. */
typedef struct estimate_line {
    char name[NAME + 4];
    double value, low, high;
    bool is_part; /* of the line above: indented */
} estimate_line;

/* Cut to whole characters. */
static void set_name(estimate_line *line, const char *text)
{
    plumb_writer w = {0};
    plumb_put_visible(&w, text, strlen(text), NAME - 3, NULL);
    snprintf(line->name, sizeof line->name, "%s", w.text.data ? w.text.data : "");
    plumb_writer_free(&w);
}

/* Dots with intervals, one line below the other, names and values on the left. In percent for shares. */
static void estimate_panel(plumb_figure *f, const char *heading, const char *label, const estimate_line *lines,
                           size_t n, double low, double high, bool share, const char *title)
{
    plumb_plot p;
    plumb_plot_size size = {420, 54 + 23 * (double)n, 196, 22, 10, 42};
    plumb_plot_begin(&p, &f->panels, heading, label, size);
    share ? plumb_plot_share_x(&p, low, high, title) : plumb_plot_x(&p, low, high, title);
    p.y = (plumb_scale){0, (double)n, size.height - size.bottom, size.top};
    if (low < 0 && high > 0) plumb_plot_vertical(&p, "zero", 0);
    for (size_t i = 0; i < n; i++) {
        double at = (double)(n - i) - 0.5, x[2] = {lines[i].low, lines[i].high}, y[2] = {at, at};
        double base = plumb_plot_upwards(&p, at) + 4;
        char value[40];
        if (share)
            plumb_people_share(lines[i].value, value);
        else
            plumb_people(lines[i].value, value);
        plumb_plot_horizontal(&p, "grid-line", at);
        plumb_plot_line(&p, lines[i].is_part ? "muted" : "chosen", x, y, 2);
        plumb_plot_dot(&p, lines[i].is_part ? "muted" : "chosen", lines[i].value, at, 4.5, value);
        plumb_plot_text_at(&p, "label", lines[i].is_part ? 14 : 2, base, "start", lines[i].name);
        plumb_plot_text_at(&p, "label", size.left - 10, base, "end", value);
    }
    plumb_plot_end(&p);
}

/* ---- refusals ---- */

bool plumb_present_judges(const plumb_report *r)
{
    for (size_t i = 0; i < r->judge_count; i++)
        if (r->judges[i].all.total) return true;
    return false;
}

static void add_share(plumb_figure *f, estimate_line *lines, size_t *n, const plumb_report_judge *judge,
                      const plumb_judge_share *share, const char *category)
{
    plumb_interval interval = plumb_wilson(share->refusals, share->total);
    double rate = (double)share->refusals / (double)share->total;
    plumb_table_string(&f->table, judge->name);
    plumb_table_string(&f->table, category);
    plumb_table_number(&f->table, (double)share->refusals);
    plumb_table_number(&f->table, (double)share->total);
    plumb_table_number(&f->table, rate);
    plumb_table_number(&f->table, interval.low);
    plumb_table_number(&f->table, interval.high);
    if (*n == MOST_LINES) return;
    estimate_line *line = &lines[(*n)++];
    *line = (estimate_line){.value = rate, .low = interval.low, .high = interval.high, .is_part = category != NULL};
    set_name(line, category ? category : judge->name);
}

plumb_status plumb_draw_refusals(const plumb_report *r, plumb_figure *f)
{
    estimate_line *lines = NULL;
    size_t n = 0;
    char a[40];
    static const char *const names[] = {"refusals", "responses"};
    plumb_table_column(&f->table, "file", "file", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "category", "category", PLUMB_COLUMN_TEXT);
    for (int i = 0; i < 2; i++) plumb_table_column(&f->table, names[i], names[i], PLUMB_COLUMN_COUNT);
    plumb_table_column(&f->table, "rate", "refusal rate", PLUMB_COLUMN_SHARE);
    plumb_table_column(&f->table, "low", "95 % low", PLUMB_COLUMN_SHARE);
    plumb_table_column(&f->table, "high", "95 % high", PLUMB_COLUMN_SHARE);
    PLUMB_TRY(plumb_new(&lines, MOST_LINES, sizeof *lines));
    for (size_t i = 0; i < r->judge_count; i++) {
        const plumb_report_judge *judge = &r->judges[i];
        if (!judge->all.total) continue;
        add_share(f, lines, &n, judge, &judge->all, NULL);
        for (size_t k = 0; k < judge->category_count && k < MOST_CATEGORIES; k++)
            add_share(f, lines, &n, judge, &judge->categories[k], judge->categories[k].name);
        plumb_putf(&f->finding, "%s refused %lld of %lld (%s). ", judge->name, (long long)judge->all.refusals,
                   (long long)judge->all.total,
                   plumb_people_share((double)judge->all.refusals / (double)judge->all.total, a));
        if (judge->category_count > MOST_CATEGORIES)
            plumb_putf(&f->note, "%s: the first %d of %zu categories. ", judge->name, MOST_CATEGORIES,
                       judge->category_count);
        if (judge->unread)
            plumb_putf(&f->note, "%s: %lld response%s without a label. ", judge->name, (long long)judge->unread,
                       judge->unread == 1 ? "" : "s");
        plumb_figure_command(r, f, judge->record, "plumb judge responses.jsonl -o judged.jsonl");
    }
    estimate_panel(f, NULL, "Refusal rates with Wilson intervals; the table has the numbers.", lines, n, 0, 1, true,
                   "refusal rate");
    free(lines);
    return PLUMB_OK;
}

/* ---- identify ---- */

bool plumb_present_identify(const plumb_report *r)
{
    for (size_t i = 0; i < json_array_size(r->identify_rows); i++)
        if (json_array_size(json_object_get(json_array_get(r->identify_rows, i), "measures"))) return true;
    return false;
}

static double member(const json_t *object, const char *key, const char *end)
{
    char name[64];
    snprintf(name, sizeof name, "%s%s", key, end);
    const json_t *value = json_object_get(object, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *score_path(const json_t *document, const json_t *measure)
{
    size_t at = (size_t)json_number_value(json_object_get(measure, "scores"));
    const char *path =
        json_string_value(json_object_get(json_array_get(json_object_get(document, "scores"), at), "path"));
    return path ? path : "";
}

static void identify_rows(plumb_figure *f, const json_t *document, estimate_line *lines[2], size_t counts[2])
{
    static const char *const keys[] = {"spearman", "precision"};
    bool several = json_array_size(json_object_get(document, "scores")) > 1;
    const json_t *measure;
    size_t i;
    json_array_foreach(json_object_get(document, "measures"), i, measure)
    {
        const char *name = json_string_value(json_object_get(measure, "measure"));
        plumb_table_string(&f->table, score_path(document, measure));
        plumb_table_string(&f->table, name);
        plumb_table_number(&f->table, member(measure, "count", ""));
        for (int k = 0; k < 2; k++) {
            double value = member(measure, keys[k], "");
            estimate_line line = {
                .value = value, .low = member(measure, keys[k], "_low"), .high = member(measure, keys[k], "_high")};
            plumb_table_number(&f->table, value);
            plumb_table_number(&f->table, line.low);
            plumb_table_number(&f->table, line.high);
            if (!isfinite(value) || counts[k] == MOST_LINES) continue;
            char full[400];
            snprintf(full, sizeof full, several ? "%.60s, %.300s" : "%.60s", name ? name : "",
                     score_path(document, measure));
            set_name(&line, full);
            lines[k][counts[k]++] = line;
        }
    }
}

static void identify_finding(plumb_figure *f, const json_t *document)
{
    const json_t *measure, *best = NULL;
    size_t i;
    char a[40], b[40];
    json_array_foreach(json_object_get(document, "measures"), i, measure)
    {
        double value = member(measure, "precision", "");
        if (isfinite(value) && (!best || value > member(best, "precision", ""))) best = measure;
    }
    const char *name = json_string_value(json_object_get(best, "measure"));
    if (!name) return;
    plumb_putf(&f->finding,
               "%s finds the displaced pairs best: %s of those that it ranks highest are among the ones that "
               "fell most (rank correlation %s). ",
               name, plumb_people_share(member(best, "precision", ""), a),
               plumb_people(member(best, "spearman", ""), b));
}

static void identify_columns(plumb_table *t)
{
    static const char *const names[] = {"spearman",  "spearman_low",  "spearman_high",
                                        "precision", "precision_low", "precision_high"};
    static const char *const labels[] = {"Spearman", "low", "high", "precision", "low", "high"};
    plumb_table_column(t, "scores", "scores", PLUMB_COLUMN_TEXT);
    plumb_table_column(t, "measure", "measure", PLUMB_COLUMN_TEXT);
    plumb_table_column(t, "pairs", "pairs", PLUMB_COLUMN_COUNT);
    for (int i = 0; i < 6; i++) plumb_table_column(t, names[i], labels[i], PLUMB_COLUMN_NUMBER);
}

plumb_status plumb_draw_identify(const plumb_report *r, plumb_figure *f)
{
    estimate_line *lines[2] = {NULL, NULL};
    size_t counts[2] = {0, 0};
    plumb_status s = PLUMB_OK;
    identify_columns(&f->table);
    for (int k = 0; k < 2; k++) PLUMB_GO(plumb_new(&lines[k], MOST_LINES, sizeof *lines[k]));
    for (size_t i = 0; i < json_array_size(r->identify_rows); i++) {
        identify_rows(f, json_array_get(r->identify_rows, i), lines, counts);
        identify_finding(f, json_array_get(r->identify_rows, i));
    }
    if (counts[0])
        estimate_panel(f, "Rank correlation with the change",
                       "Spearman's rank correlation of each measure with the change.", lines[0], counts[0], -1, 1,
                       false, "Spearman");
    if (counts[1])
        estimate_panel(f, "Precision among the highest scores",
                       "Precision of each measure among the pairs it ranks highest.", lines[1], counts[1], 0, 1, true,
                       "precision");
    for (size_t i = 0; i < r->identifies.count; i++)
        plumb_figure_command(r, f, r->identifies.items[i].record,
                             "plumb identify DATA scores.jsonl RUN --format json -o identify.json");
done:
    free(lines[0]);
    free(lines[1]);
    return s;
}
