/* plumb identify: its report as text, JSON and CSV. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/csv.h"
#include "io/json.h"
#include "study/identify.h"

enum { DIGITS = 9, NAME_WIDTH = 18, CELL = 64 };

/* "5 %", or "500" */
static void top_text(const plumb_identify_options *o, char out[CELL])
{
    double scale = 1;
    for (int i = 0; i < o->top.places; i++) scale *= 10;
    snprintf(out, CELL, o->top.is_percent ? "%.15g %%" : "%.15g", (double)o->top.digits / scale);
}

/* ---- text ---- */

static void cell_of(plumb_estimate e, char out[CELL])
{
    if (isnan(e.value))
        snprintf(out, CELL, "-");
    else if (isnan(e.interval.low))
        snprintf(out, CELL, "%.3g", e.value);
    else
        snprintf(out, CELL, "%.3g [%.3g, %.3g]", e.value, e.interval.low, e.interval.high);
}

/* A correlation or a share: three decimals. */
static void share_cell(plumb_estimate e, char out[CELL])
{
    if (isnan(e.value))
        snprintf(out, CELL, "-");
    else if (isnan(e.interval.low))
        snprintf(out, CELL, "%.3f", e.value);
    else
        snprintf(out, CELL, "%.3f [%.3f, %.3f]", e.value, e.interval.low, e.interval.high);
}

static plumb_status text_head(const plumb_identify_options *o, const plumb_identify_report *r, plumb_text *t)
{
    char change[CELL];
    cell_of(r->change, change);
    PLUMB_TRY(plumb_text_printf(t, "%" PRId64 " pairs, steps %" PRId64 " to %" PRId64 ": mean change of ln pi(y+) %s, ",
                                r->pairs, r->steps[0], r->steps[1], change));
    if (r->pairs)
        PLUMB_TRY(plumb_text_printf(t, "%" PRId64 " (%.3g %%) displaced", r->displaced,
                                    100 * (double)r->displaced / (double)r->pairs));
    else
        PLUMB_TRY(plumb_text_string(t, "none displaced"));
    if (r->skipped) PLUMB_TRY(plumb_text_printf(t, "; rows skipped: %" PRId64, r->skipped));
    if (r->unmatched) PLUMB_TRY(plumb_text_printf(t, "; rows without a partner: %" PRId64, r->unmatched));
    if (r->not_numbers) PLUMB_TRY(plumb_text_printf(t, "; changes that are no number: %" PRId64, r->not_numbers));
    PLUMB_TRY(plumb_text_string(t, "\n"));
    if (!o->resamples) return PLUMB_OK;
    return plumb_text_printf(t, "[low, high]: %.3g %% intervals, bootstrap of %d resamples\n", 100 * o->level,
                             o->resamples);
}

static plumb_status text_measures(const plumb_identify_options *o, const plumb_identify_report *r, size_t file,
                                  plumb_text *t)
{
    char cells[4][CELL], top[CELL], found[2 * CELL];
    top_text(o, top);
    snprintf(found, sizeof found, "top %s found", top);
    PLUMB_TRY(plumb_text_printf(t, "\n%s\n%-*s %8s  %-24s %-24s %-22s %s\n", r->files[file].path, NAME_WIDTH, "measure",
                                "pairs", "Spearman", "Kendall", found, "displaced there"));
    for (size_t i = 0; i < r->measure_count; i++) {
        const plumb_identify_measure *m = &r->measures[i];
        if (m->file != file) continue;
        share_cell(m->spearman, cells[0]);
        share_cell(m->kendall, cells[1]);
        share_cell(m->precision, cells[2]);
        share_cell(m->top_displaced, cells[3]);
        PLUMB_TRY(plumb_text_printf(t, "%-*s %8" PRId64 "  %-24s %-24s %-22s %s%s\n", NAME_WIDTH, m->name, m->count,
                                    cells[0], cells[1], cells[2], cells[3],
                                    m->constant ? "  (the same for all pairs)" : ""));
    }
    if (!r->pairs) return PLUMB_OK;
    double chance = (double)plumb_amount_count(&o->top, r->pairs, true) / (double)r->pairs;
    return plumb_text_printf(t, "%-*s %8" PRId64 "  %-24s %-24s %-22.3f %.3f\n", NAME_WIDTH, "(by chance)", r->pairs,
                             "0", "0", chance, (double)r->displaced / (double)r->pairs);
}

static plumb_status text_slices(const plumb_identify_report *r, size_t file, plumb_text *t)
{
    bool head = false;
    for (size_t i = 0; i < r->measure_count; i++) {
        const plumb_identify_measure *m = &r->measures[i];
        if (m->file != file || m->constant || !m->count) continue;
        if (!head)
            PLUMB_TRY(plumb_text_printf(t, "\n%-*s %s\n%-*s", NAME_WIDTH, "",
                                        "mean change of ln pi(y+) by slice of the measure (percentile:pairs)",
                                        NAME_WIDTH, "measure"));
        for (size_t k = 0; !head && k < r->slice_count; k++)
            PLUMB_TRY(plumb_text_printf(t, k + 1 < r->slice_count ? " %-25s" : " %s", m->slices[k].name));
        if (!head) PLUMB_TRY(plumb_text_string(t, "\n"));
        head = true;
        PLUMB_TRY(plumb_text_printf(t, "%-*s", NAME_WIDTH, m->name));
        for (size_t k = 0; k < r->slice_count; k++) {
            char cell[CELL];
            cell_of(m->slices[k].change, cell);
            PLUMB_TRY(plumb_text_printf(t, k + 1 < r->slice_count ? " %-25s" : " %s", cell));
        }
        PLUMB_TRY(plumb_text_string(t, "\n"));
    }
    return PLUMB_OK;
}

static plumb_status text_models(const plumb_identify_report *r, plumb_text *t)
{
    if (!r->models_count) return PLUMB_OK;
    PLUMB_TRY(plumb_text_printf(t, "\nthe same measure under two models\n%-*s %8s  %-24s %-24s %s\n", NAME_WIDTH,
                                "measure", "pairs", "Spearman", "Kendall", "scores"));
    for (size_t i = 0; i < r->models_count; i++) {
        const plumb_identify_models *m = &r->models[i];
        char cells[2][CELL];
        share_cell(m->spearman, cells[0]);
        share_cell(m->kendall, cells[1]);
        PLUMB_TRY(plumb_text_printf(t, "%-*s %8" PRId64 "  %-24s %-24s %s, %s\n", NAME_WIDTH, m->name, m->count,
                                    cells[0], cells[1], r->files[m->files[0]].path, r->files[m->files[1]].path));
    }
    return PLUMB_OK;
}

static plumb_status text_class(const plumb_identify_report *r, const plumb_identify_classes *c, plumb_text *t)
{
    PLUMB_TRY(plumb_text_printf(t, "\n%s of %s\n%-*s %8s  %10s %10s %10s %10s\n", c->name, r->files[c->file].path,
                                NAME_WIDTH, "labels", "pairs", "mean", "q25", "median", "q75"));
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        PLUMB_TRY(
            plumb_text_printf(t, "%-*s %8" PRId64 " ", NAME_WIDTH, plumb_pair_class_names[k], c->groups[k].count));
        const double numbers[] = {c->groups[k].mean, c->groups[k].q25, c->groups[k].median, c->groups[k].q75};
        for (int i = 0; i < 4; i++)
            PLUMB_TRY(isnan(numbers[i]) ? plumb_text_printf(t, " %10s", "-")
                                        : plumb_text_printf(t, " %10.4g", numbers[i]));
        PLUMB_TRY(plumb_text_string(t, "\n"));
    }
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        char cell[CELL];
        cell_of(c->differences[k], cell);
        PLUMB_TRY(plumb_text_printf(t, "%s - %s: %s\n", plumb_pair_class_names[plumb_class_differences[k][0]],
                                    plumb_pair_class_names[plumb_class_differences[k][1]], cell));
    }
    return PLUMB_OK;
}

plumb_status plumb_identify_text(const plumb_identify_options *o, const plumb_identify_report *r, plumb_text *t)
{
    PLUMB_TRY(text_head(o, r, t));
    for (size_t f = 0; f < r->file_count; f++) {
        PLUMB_TRY(text_measures(o, r, f, t));
        PLUMB_TRY(text_slices(r, f, t));
    }
    PLUMB_TRY(text_models(r, t));
    for (size_t i = 0; i < r->classes_count; i++) PLUMB_TRY(text_class(r, &r->classes[i], t));
    if (r->has_classes && r->unclassified)
        PLUMB_TRY(plumb_text_printf(t, "\npairs with other labels, or without: %" PRId64 "\n", r->unclassified));
    return PLUMB_OK;
}

/* ---- JSON ---- */

static plumb_status json_text(plumb_text *t, const char *key, const char *value)
{
    PLUMB_TRY(plumb_text_printf(t, "\"%s\": ", key));
    return plumb_json_quote(t, value, strlen(value));
}

static plumb_status json_number(plumb_text *t, const char *key, double value)
{
    PLUMB_TRY(plumb_text_printf(t, ", \"%s\": ", key));
    return plumb_json_real(t, value, DIGITS);
}

/* "key": value, "key_low": ..., "key_high": ... */
static plumb_status json_estimate(plumb_text *t, const char *key, plumb_estimate e)
{
    PLUMB_TRY(json_number(t, key, e.value));
    PLUMB_TRY(plumb_text_printf(t, ", \"%s_low\": ", key));
    PLUMB_TRY(plumb_json_real(t, e.interval.low, DIGITS));
    PLUMB_TRY(plumb_text_printf(t, ", \"%s_high\": ", key));
    return plumb_json_real(t, e.interval.high, DIGITS);
}

static plumb_status json_file(plumb_text *t, const plumb_identify_file *f, bool is_scores)
{
    PLUMB_TRY(plumb_text_string(t, "{"));
    PLUMB_TRY(json_text(t, "path", f->path));
    PLUMB_TRY(plumb_text_printf(t, ", \"rows\": %" PRId64 ", \"hash\": \"%016" PRIx64 "\"", f->rows, f->hash));
    if (is_scores)
        PLUMB_TRY(plumb_text_printf(t, ", \"scored\": %" PRId64 ", \"skipped\": %" PRId64, f->scored, f->skipped));
    return plumb_text_string(t, "}");
}

static plumb_status json_head(const plumb_identify_options *o, const plumb_identify_report *r, plumb_text *t)
{
    char top[CELL];
    top_text(o, top);
    PLUMB_TRY(plumb_text_string(t, "{\"kind\": \"identify\", \"plumb\": \"" PLUMB_VERSION "\",\n \"data\": "));
    PLUMB_TRY(json_file(t, &r->data, false));
    PLUMB_TRY(plumb_text_string(t, ",\n \"ledger\": {"));
    PLUMB_TRY(json_text(t, "path", o->ledger));
    PLUMB_TRY(
        plumb_text_printf(t, ", \"steps\": [%" PRId64 ", %" PRId64 "]},\n \"scores\": [", r->steps[0], r->steps[1]));
    for (size_t f = 0; f < r->file_count; f++) {
        if (f) PLUMB_TRY(plumb_text_string(t, ",\n  "));
        PLUMB_TRY(json_file(t, &r->files[f], true));
    }
    PLUMB_TRY(plumb_text_printf(t,
                                "],\n \"pairs\": %" PRId64 ", \"skipped\": %" PRId64 ", \"unmatched\": %" PRId64
                                ", \"not_numbers\": %" PRId64 ", \"displaced\": %" PRId64,
                                r->pairs, r->skipped, r->unmatched, r->not_numbers, r->displaced));
    PLUMB_TRY(json_estimate(t, "change", r->change));
    return plumb_text_printf(t, ",\n \"top\": \"%s\", \"resamples\": %d, \"level\": %.9g, \"seed\": %" PRIu64, top,
                             o->resamples, o->level, o->seed);
}

static plumb_status json_measure(const plumb_identify_report *r, const plumb_identify_measure *m, plumb_text *t)
{
    PLUMB_TRY(plumb_text_printf(t, "{\"scores\": %zu, ", m->file));
    PLUMB_TRY(json_text(t, "measure", m->name));
    PLUMB_TRY(plumb_text_printf(t, ", \"count\": %" PRId64 ", \"missing\": %" PRId64 ", \"constant\": %s", m->count,
                                m->missing, m->constant ? "true" : "false"));
    PLUMB_TRY(json_estimate(t, "spearman", m->spearman));
    PLUMB_TRY(json_estimate(t, "kendall", m->kendall));
    PLUMB_TRY(plumb_text_printf(t, ", \"top\": %" PRId64, m->top));
    PLUMB_TRY(json_estimate(t, "precision", m->precision));
    PLUMB_TRY(json_estimate(t, "top_displaced", m->top_displaced));
    PLUMB_TRY(json_number(t, "displaced", m->displaced));
    PLUMB_TRY(plumb_text_string(t, ",\n   \"slices\": ["));
    for (size_t i = 0; i < r->slice_count && m->count && !m->constant; i++) {
        const plumb_identify_slice *s = &m->slices[i];
        PLUMB_TRY(plumb_text_string(t, i ? ",\n    {" : "\n    {"));
        PLUMB_TRY(json_text(t, "slice", s->name));
        PLUMB_TRY(plumb_text_printf(t, ", \"count\": %" PRId64, s->count));
        PLUMB_TRY(json_number(t, "lowest", s->lowest));
        PLUMB_TRY(json_number(t, "highest", s->highest));
        PLUMB_TRY(json_estimate(t, "change", s->change));
        PLUMB_TRY(json_number(t, "displaced", s->displaced));
        PLUMB_TRY(plumb_text_string(t, "}"));
    }
    return plumb_text_string(t, "]}");
}

static plumb_status json_models(const plumb_identify_models *m, plumb_text *t)
{
    PLUMB_TRY(plumb_text_printf(t, "{\"scores\": [%zu, %zu], ", m->files[0], m->files[1]));
    PLUMB_TRY(json_text(t, "measure", m->name));
    PLUMB_TRY(plumb_text_printf(t, ", \"count\": %" PRId64, m->count));
    PLUMB_TRY(json_estimate(t, "spearman", m->spearman));
    PLUMB_TRY(json_estimate(t, "kendall", m->kendall));
    return plumb_text_string(t, "}");
}

static plumb_status json_class(const plumb_identify_classes *c, plumb_text *t)
{
    PLUMB_TRY(plumb_text_printf(t, "{\"scores\": %zu, ", c->file));
    PLUMB_TRY(json_text(t, "measure", c->name));
    PLUMB_TRY(plumb_text_string(t, ", \"groups\": ["));
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        PLUMB_TRY(plumb_text_printf(t, "%s{\"class\": \"%s\", \"count\": %" PRId64, k ? ",\n    " : "\n    ",
                                    plumb_pair_class_names[k], c->groups[k].count));
        PLUMB_TRY(json_number(t, "mean", c->groups[k].mean));
        PLUMB_TRY(json_number(t, "q25", c->groups[k].q25));
        PLUMB_TRY(json_number(t, "median", c->groups[k].median));
        PLUMB_TRY(json_number(t, "q75", c->groups[k].q75));
        PLUMB_TRY(plumb_text_string(t, "}"));
    }
    PLUMB_TRY(plumb_text_string(t, "],\n   \"differences\": ["));
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        const int *of = plumb_class_differences[k];
        PLUMB_TRY(plumb_text_printf(t, "%s{\"of\": \"%s\", \"minus\": \"%s\"", k ? ",\n    " : "\n    ",
                                    plumb_pair_class_names[of[0]], plumb_pair_class_names[of[1]]));
        PLUMB_TRY(json_estimate(t, "mean", c->differences[k]));
        PLUMB_TRY(plumb_text_string(t, "}"));
    }
    return plumb_text_string(t, "]}");
}

static plumb_status json_classes(const plumb_identify_report *r, plumb_text *t)
{
    PLUMB_TRY(plumb_text_string(t, ",\n \"class_counts\": {"));
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++)
        PLUMB_TRY(plumb_text_printf(t, "\"%s\": %" PRId64 ", ", plumb_pair_class_names[k], r->class_counts[k]));
    PLUMB_TRY(plumb_text_printf(t, "\"other\": %" PRId64 "},\n \"classes\": [", r->unclassified));
    for (size_t i = 0; i < r->classes_count; i++) {
        PLUMB_TRY(plumb_text_string(t, i ? ",\n  " : "\n  "));
        PLUMB_TRY(json_class(&r->classes[i], t));
    }
    return plumb_text_string(t, "]");
}

plumb_status plumb_identify_json(const plumb_identify_options *o, const plumb_identify_report *r, plumb_text *t)
{
    PLUMB_TRY(json_head(o, r, t));
    PLUMB_TRY(plumb_text_string(t, ",\n \"measures\": ["));
    for (size_t i = 0; i < r->measure_count; i++) {
        PLUMB_TRY(plumb_text_string(t, i ? ",\n  " : "\n  "));
        PLUMB_TRY(json_measure(r, &r->measures[i], t));
    }
    PLUMB_TRY(plumb_text_string(t, "],\n \"models\": ["));
    for (size_t i = 0; i < r->models_count; i++) {
        PLUMB_TRY(plumb_text_string(t, i ? ",\n  " : "\n  "));
        PLUMB_TRY(json_models(&r->models[i], t));
    }
    PLUMB_TRY(plumb_text_string(t, "]"));
    if (r->has_classes) PLUMB_TRY(json_classes(r, t));
    return plumb_text_string(t, "}\n");
}

/* ---- CSV ---- */

static plumb_status csv_number(plumb_text *t, double value, const char *end)
{
    return isnan(value) ? plumb_text_string(t, end) : plumb_text_printf(t, "%.*g%s", DIGITS, value, end);
}

/* The columns before the numbers. */
typedef struct csv_place {
    const char *table, *scores, *measure, *item;
} csv_place;

static plumb_status csv_line(plumb_text *t, csv_place at, const char *statistic, int64_t count, plumb_estimate e)
{
    const char *const texts[] = {at.table, at.scores, at.measure, at.item, statistic};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        PLUMB_TRY(plumb_csv_text(t, texts[i]));
        PLUMB_TRY(plumb_text_string(t, ","));
    }
    PLUMB_TRY(plumb_text_printf(t, "%" PRId64 ",", count));
    PLUMB_TRY(csv_number(t, e.value, ","));
    PLUMB_TRY(csv_number(t, e.interval.low, ","));
    return csv_number(t, e.interval.high, "\n");
}

static plumb_status csv_plain(plumb_text *t, csv_place at, const char *statistic, int64_t count, double value)
{
    return csv_line(t, at, statistic, count, (plumb_estimate){value, {NAN, NAN}});
}

static plumb_status csv_measure(const plumb_identify_report *r, const plumb_identify_measure *m, plumb_text *t)
{
    csv_place at = {"measures", r->files[m->file].path, m->name, ""};
    PLUMB_TRY(csv_line(t, at, "spearman", m->count, m->spearman));
    PLUMB_TRY(csv_line(t, at, "kendall", m->count, m->kendall));
    PLUMB_TRY(csv_line(t, at, "precision", m->top, m->precision));
    PLUMB_TRY(csv_line(t, at, "top_displaced", m->top, m->top_displaced));
    PLUMB_TRY(csv_plain(t, at, "displaced", m->count, m->displaced));
    for (size_t i = 0; i < r->slice_count && m->count && !m->constant; i++) {
        const plumb_identify_slice *s = &m->slices[i];
        at = (csv_place){"slices", r->files[m->file].path, m->name, s->name};
        PLUMB_TRY(csv_line(t, at, "change", s->count, s->change));
        PLUMB_TRY(csv_plain(t, at, "displaced", s->count, s->displaced));
        PLUMB_TRY(csv_plain(t, at, "lowest", s->count, s->lowest));
        PLUMB_TRY(csv_plain(t, at, "highest", s->count, s->highest));
    }
    return PLUMB_OK;
}

static plumb_status csv_class(const plumb_identify_report *r, const plumb_identify_classes *c, plumb_text *t)
{
    csv_place at = {"classes", r->files[c->file].path, c->name, ""};
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        at.item = plumb_pair_class_names[k];
        PLUMB_TRY(csv_plain(t, at, "mean", c->groups[k].count, c->groups[k].mean));
        PLUMB_TRY(csv_plain(t, at, "q25", c->groups[k].count, c->groups[k].q25));
        PLUMB_TRY(csv_plain(t, at, "median", c->groups[k].count, c->groups[k].median));
        PLUMB_TRY(csv_plain(t, at, "q75", c->groups[k].count, c->groups[k].q75));
    }
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        char item[CELL];
        const int *of = plumb_class_differences[k];
        snprintf(item, sizeof item, "%s - %s", plumb_pair_class_names[of[0]], plumb_pair_class_names[of[1]]);
        at.item = item;
        PLUMB_TRY(
            csv_line(t, at, "mean_difference", c->groups[of[0]].count + c->groups[of[1]].count, c->differences[k]));
    }
    return PLUMB_OK;
}

plumb_status plumb_identify_csv(const plumb_identify_report *r, plumb_text *t)
{
    PLUMB_TRY(plumb_text_string(t, "table,scores,measure,item,statistic,count,value,low,high\n"));
    PLUMB_TRY(csv_line(t, (csv_place){"pairs", "", "", ""}, "change", r->pairs, r->change));
    for (size_t i = 0; i < r->measure_count; i++) PLUMB_TRY(csv_measure(r, &r->measures[i], t));
    for (size_t i = 0; i < r->models_count; i++) {
        const plumb_identify_models *m = &r->models[i];
        csv_place at = {"models", r->files[m->files[0]].path, m->name, r->files[m->files[1]].path};
        PLUMB_TRY(csv_line(t, at, "spearman", m->count, m->spearman));
        PLUMB_TRY(csv_line(t, at, "kendall", m->count, m->kendall));
    }
    for (size_t i = 0; i < r->classes_count; i++) PLUMB_TRY(csv_class(r, &r->classes[i], t));
    return PLUMB_OK;
}
