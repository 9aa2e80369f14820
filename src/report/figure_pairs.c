/* Figures with one dot a pair: score against change, and the changes of both sides. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/figure.h"
#include "report/figure_scores.h"
#include "study/statistics.h"

/* A table of more rows holds the pairs that can be opened. */
enum { MOST_ROWS = 10000, COLUMNS = 42, ROWS = 28, SHADES = 5 };

bool plumb_present_changes(const plumb_report *r)
{
    return plumb_report_changed_runs(r) > 0;
}

/* Two values of every pair, NaN where there is none. */
typedef struct cloud {
    const plumb_report *r;
    const double *x, *y;
    double x_low, x_high, y_low, y_high;
    size_t count;
} cloud;

static void measure_cloud(cloud *c)
{
    for (size_t i = 0; i < c->r->count; i++) {
        if (!isfinite(c->x[i]) || !isfinite(c->y[i])) continue;
        c->x_low = fmin(c->x_low, c->x[i]);
        c->x_high = fmax(c->x_high, c->x[i]);
        c->y_low = fmin(c->y_low, c->y[i]);
        c->y_high = fmax(c->y_high, c->y[i]);
        c->count++;
    }
}

/* No dot lies on the frame. */
static void give_room(double *low, double *high)
{
    double room = *high > *low ? 0.05 * (*high - *low) : 1;
    *low -= room;
    *high += room;
}

/* Each quadrant is high and wide enough for its label. */
static void show_both_sides(double *low, double *high)
{
    double least = 0.14 * (*high - *low);
    *low = fmin(*low, -least);
    *high = fmax(*high, least);
}

/* All pairs as shaded cells, for clouds of which only a sample has dots. */
static plumb_status draw_shades(const cloud *c, plumb_plot *p)
{
    int64_t *cells = NULL, most = 0;
    PLUMB_TRY(plumb_new(&cells, (size_t)COLUMNS * ROWS, sizeof *cells));
    plumb_scale across = {p->x.low, p->x.high, 0, COLUMNS}, up = {p->y.low, p->y.high, 0, ROWS};
    for (size_t i = 0; i < c->r->count; i++) {
        if (!isfinite(c->x[i]) || !isfinite(c->y[i])) continue;
        int column = (int)fmin(COLUMNS - 1, plumb_scale_at(&across, c->x[i]));
        int row = (int)fmin(ROWS - 1, plumb_scale_at(&up, c->y[i]));
        int64_t n = ++cells[row * COLUMNS + column];
        if (n > most) most = n;
    }
    double width = (p->x.high - p->x.low) / COLUMNS, height = (p->y.high - p->y.low) / ROWS;
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        char class_name[16];
        if (!cells[i]) continue;
        int shade = 1 + (int)floor((SHADES - 1) * log((double)cells[i]) / fmax(1e-9, log((double)most)) + 1e-9);
        snprintf(class_name, sizeof class_name, "k%d", most == 1 ? SHADES : shade);
        int row = i / COLUMNS;
        double x = p->x.low + i % COLUMNS * width, y = p->y.low + row * height;
        plumb_plot_bar(p, class_name, x, y, x + width, y + height, NULL);
    }
    free(cells);
    return PLUMB_OK;
}

/* `f` marks pairs whose chosen side fell. */
static void draw_dots(const cloud *c, const double *chosen, plumb_plot *p)
{
    double radius = c->count > 400 ? 2.1 : c->count > 100 ? 3 : 4;
    plumb_put(p->w, "<g class=\"dots\">\n");
    for (size_t i = 0; i < c->r->count; i++) {
        if (!c->r->pairs[i].shown || !isfinite(c->x[i]) || !isfinite(c->y[i])) continue;
        plumb_putf(p->w, "<circle%s data-p=\"%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"%g\"/>\n",
                   chosen[i] < 0 ? " class=\"f\"" : "", i, plumb_plot_across(p, c->x[i]),
                   plumb_plot_upwards(p, c->y[i]), radius);
    }
    plumb_put(p->w, "</g>\n");
}

static void sample_note(const plumb_report *r, plumb_figure *f)
{
    char all[40], shown[40];
    plumb_people_count(r->count, all);
    if (r->shown == r->count) {
        plumb_putf(&f->note, "All %s pairs. ", all);
        return;
    }
    size_t drawn = 0;
    for (size_t i = 0; i < r->count; i++) drawn += r->pairs[i].drawn;
    plumb_putf(&f->note,
               "The shading counts all %s pairs. %s have dots and can be opened: %zu drawn at random, and those that "
               "fell most, score highest or are explained. ",
               all, plumb_people_count(r->shown, shown), drawn);
}

/* ---- tables ---- */

typedef struct table_row {
    double key;
    size_t run, pair;
} table_row;

static int by_key(const void *a, const void *b)
{
    const table_row *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->run != y->run) return x->run < y->run ? -1 : 1;
    return x->pair < y->pair ? -1 : x->pair > y->pair;
}

/* The pairs of all runs, largest fall first. *sampled: only those that can be opened. */
static plumb_status order_rows(const plumb_report *r, const double *needed, table_row **out, size_t *count,
                               bool *sampled)
{
    size_t n = 0;
    *sampled = r->count * plumb_report_changed_runs(r) > MOST_ROWS;
    PLUMB_TRY(plumb_new(out, r->count * plumb_report_changed_runs(r), sizeof **out));
    for (size_t k = 0; k < r->run_count; k++) {
        const plumb_report_run *run = &r->runs[k];
        if (!plumb_report_has_changes(r, run)) continue;
        for (size_t i = 0; i < r->count; i++) {
            bool there = isfinite(run->change[0][i]) && isfinite(run->change[1][i]) && (!needed || isfinite(needed[i]));
            if (there && (!*sampled || r->pairs[i].shown)) (*out)[n++] = (table_row){run->change[0][i], k, i};
        }
    }
    if (n) qsort(*out, n, sizeof **out, by_key);
    *count = n;
    return PLUMB_OK;
}

static plumb_status fill_table(const plumb_report *r, plumb_figure *f, const double *score, const char *score_name,
                               const char *score_label)
{
    table_row *rows = NULL;
    size_t n;
    bool sampled, several = plumb_report_changed_runs(r) > 1;
    PLUMB_TRY(order_rows(r, score, &rows, &n, &sampled));
    if (several) plumb_table_column(&f->table, "run", "run", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "index", "pair", PLUMB_COLUMN_PAIR);
    if (score) plumb_table_column(&f->table, score_name, score_label, PLUMB_COLUMN_NUMBER);
    plumb_table_column(&f->table, "dlogp_chosen", "change of chosen", PLUMB_COLUMN_NUMBER);
    plumb_table_column(&f->table, "dlogp_rejected", "change of rejected", PLUMB_COLUMN_NUMBER);
    for (size_t i = 0; i < n; i++) {
        const plumb_report_run *run = &r->runs[rows[i].run];
        size_t pair = rows[i].pair;
        if (several) plumb_table_string(&f->table, run->name);
        plumb_table_pair(&f->table, r->pairs[pair].index, r->pairs[pair].shown ? pair : SIZE_MAX);
        if (score) plumb_table_number(&f->table, score[pair]);
        plumb_table_number(&f->table, run->change[0][pair]);
        plumb_table_number(&f->table, run->change[1][pair]);
    }
    if (sampled) plumb_putf(&f->note, "The table and the CSV hold the pairs that can be opened. ");
    free(rows);
    return PLUMB_OK;
}

/* ---- score against change ---- */

static plumb_status spearman_of(const plumb_report *r, const double *x, const double *y, double *out)
{
    double *a = NULL, *b = NULL;
    size_t n = 0;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_new(&a, r->count, sizeof *a));
    PLUMB_GO(plumb_new(&b, r->count, sizeof *b));
    for (size_t i = 0; i < r->count; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i])) continue;
        a[n] = x[i];
        b[n++] = y[i];
    }
    s = plumb_spearman(a, b, n, out);
done:
    free(a);
    free(b);
    return s;
}

static plumb_status score_change_panel(const plumb_report *r, plumb_figure *f, const plumb_report_run *run, cloud *c,
                                       const char *title)
{
    plumb_plot p;
    char label[400], a[40];
    double rho;
    PLUMB_TRY(spearman_of(r, c->x, c->y, &rho));
    snprintf(label, sizeof label,
             "Scatter of %zu pairs: %s across, change of the chosen response's log-probability "
             "upwards. Spearman's rank correlation %s.",
             c->count, title, plumb_people(rho, a));
    plumb_plot_begin(&p, &f->panels, plumb_report_changed_runs(r) > 1 ? run->name : NULL, label, plumb_panel);
    plumb_plot_y(&p, c->y_low, c->y_high, "change of ln \xCF\x80(y\xE2\x81\xBA) (nats)");
    plumb_plot_x(&p, c->x_low, c->x_high, title);
    if (c->y_low < 0 && c->y_high > 0) plumb_plot_horizontal(&p, "zero", 0);
    if (r->shown < r->count) PLUMB_TRY(draw_shades(c, &p));
    draw_dots(c, run->change[0], &p);
    plumb_plot_end(&p);
    if (f->finding.text.size) plumb_put(&f->finding, " ");
    plumb_putf(&f->finding, "Rank correlation of score and change: %s", plumb_people(rho, a));
    plumb_put_run_name(r, run, &f->finding);
    plumb_put(&f->finding, isnan(rho)    ? " (one of them is the same for all pairs)."
                           : rho <= -0.3 ? ": the higher the score, the more the chosen response fell."
                           : rho < 0.3   ? ": the score told little about which pairs would fall."
                                         : ": pairs with a high score fell less here.");
    return PLUMB_OK;
}

plumb_status plumb_draw_score_change(const plumb_report *r, plumb_figure *f)
{
    int measure = plumb_best_measure(r);
    const plumb_report_measure *m = &plumb_report_measures[measure];
    double *score = NULL;
    cloud *all = NULL, whole = {.x_low = INFINITY, .x_high = -INFINITY, .y_low = 0, .y_high = 0};
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_measure_column(r, measure, &score));
    PLUMB_GO(plumb_new(&all, r->run_count, sizeof *all));
    sample_note(r, f);
    for (size_t k = 0; k < r->run_count; k++) {
        if (!plumb_report_has_changes(r, &r->runs[k])) continue;
        all[k] = (cloud){r, score, r->runs[k].change[0], INFINITY, -INFINITY, 0, 0, 0};
        measure_cloud(&all[k]);
        whole.x_low = fmin(whole.x_low, all[k].x_low);
        whole.x_high = fmax(whole.x_high, all[k].x_high);
        whole.y_low = fmin(whole.y_low, all[k].y_low);
        whole.y_high = fmax(whole.y_high, all[k].y_high);
    }
    give_room(&whole.x_low, &whole.x_high);
    give_room(&whole.y_low, &whole.y_high);
    for (size_t k = 0; k < r->run_count; k++) {
        if (!all[k].count) continue;
        all[k].x_low = whole.x_low;
        all[k].x_high = whole.x_high;
        all[k].y_low = whole.y_low;
        all[k].y_high = whole.y_high;
        PLUMB_GO(score_change_panel(r, f, &r->runs[k], &all[k], m->label));
    }
    PLUMB_GO(fill_table(r, f, score, m->field, m->label));
    plumb_figure_run_commands(r, f);
    plumb_figure_score_commands(r, f);
done:
    free(score);
    free(all);
    return s;
}

/* ---- quadrants ---- */

static void quadrant_labels(plumb_plot *p, const size_t n[2][2], size_t total)
{
    static const char *const names[2][2] = {{"both fell", "chosen fell only"}, {"rejected fell only", "both rose"}};
    for (int right = 0; right < 2; right++) {
        for (int up = 0; up < 2; up++) {
            char text[80], share[40];
            double x = right ? p->size.width - p->size.right - 4 : p->size.left + 5;
            double y = up ? p->size.top + 11 : p->size.height - p->size.bottom - 7;
            snprintf(text, sizeof text, "%s: %s", names[right][up],
                     plumb_people_share((double)n[right][up] / (double)total, share));
            plumb_plot_text_at(p, "label halo", x, y, right ? "end" : "start", text);
        }
    }
}

static plumb_status quadrant_panel(const plumb_report *r, plumb_figure *f, const plumb_report_run *run, cloud *c)
{
    plumb_plot p;
    size_t n[2][2] = {{0}}, grew = 0;
    char label[300], a[40], b[40];
    for (size_t i = 0; i < r->count; i++) {
        if (!isfinite(c->x[i]) || !isfinite(c->y[i])) continue;
        n[c->x[i] >= 0][c->y[i] >= 0]++;
        grew += c->x[i] > c->y[i];
    }
    snprintf(label, sizeof label,
             "Scatter of %zu pairs, change of the chosen response across and of the rejected one "
             "upwards: both fell %zu, only chosen fell %zu, only rejected fell %zu, both rose %zu.",
             c->count, n[0][0], n[0][1], n[1][0], n[1][1]);
    plumb_plot_begin(&p, &f->panels, plumb_report_changed_runs(r) > 1 ? run->name : NULL, label, plumb_panel);
    plumb_plot_y(&p, c->y_low, c->y_high, "change of ln \xCF\x80(y\xE2\x81\xBB) (nats)");
    plumb_plot_x(&p, c->x_low, c->x_high, "change of ln \xCF\x80(y\xE2\x81\xBA) (nats)");
    plumb_plot_horizontal(&p, "zero", 0);
    plumb_plot_vertical(&p, "zero", 0);
    double low = fmax(c->x_low, c->y_low), high = fmin(c->x_high, c->y_high), ends[2] = {low, high};
    if (high > low) plumb_plot_line(&p, "guide", ends, ends, 2);
    if (r->shown < r->count) PLUMB_TRY(draw_shades(c, &p));
    draw_dots(c, run->change[0], &p);
    quadrant_labels(&p, (const size_t(*)[2])n, c->count);
    plumb_plot_end(&p);
    if (f->finding.text.size) plumb_put(&f->finding, " ");
    plumb_putf(&f->finding, "The margin grew for %s of the pairs",
               plumb_people_share((double)grew / (double)c->count, a));
    plumb_put_run_name(r, run, &f->finding);
    plumb_putf(&f->finding, "; for %s both responses became less likely.",
               plumb_people_share((double)n[0][0] / (double)c->count, b));
    return PLUMB_OK;
}

plumb_status plumb_draw_quadrants(const plumb_report *r, plumb_figure *f)
{
    cloud *all = NULL;
    double x_low = 0, x_high = 0, y_low = 0, y_high = 0;
    PLUMB_TRY(plumb_new(&all, r->run_count, sizeof *all));
    plumb_status s = PLUMB_OK;
    sample_note(r, f);
    for (size_t k = 0; k < r->run_count; k++) {
        if (!plumb_report_has_changes(r, &r->runs[k])) continue;
        all[k] = (cloud){r, r->runs[k].change[0], r->runs[k].change[1], 0, 0, 0, 0, 0};
        measure_cloud(&all[k]);
        x_low = fmin(x_low, all[k].x_low);
        x_high = fmax(x_high, all[k].x_high);
        y_low = fmin(y_low, all[k].y_low);
        y_high = fmax(y_high, all[k].y_high);
    }
    give_room(&x_low, &x_high);
    give_room(&y_low, &y_high);
    show_both_sides(&x_low, &x_high);
    show_both_sides(&y_low, &y_high);
    for (size_t k = 0; k < r->run_count; k++) {
        if (!all[k].count) continue;
        all[k] = (cloud){r, all[k].x, all[k].y, x_low, x_high, y_low, y_high, all[k].count};
        PLUMB_GO(quadrant_panel(r, f, &r->runs[k], &all[k]));
    }
    PLUMB_GO(fill_table(r, f, NULL, NULL, NULL));
    plumb_figure_run_commands(r, f);
done:
    free(all);
    return s;
}
