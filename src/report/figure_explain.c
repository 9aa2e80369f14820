/* Explained pairs: response tokens coloured by blame, and the matrices of alpha <h, h'>. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/figure_explain.h"

enum { MOST_PAIRS = 6, MOST_CELLS = 48, SHADES = 5, TOKEN_BYTES = 40 };

bool plumb_present_explains(const plumb_report *r)
{
    return json_array_size(r->explain_rows) > 0;
}

static double number_of(const json_t *list, size_t i)
{
    const json_t *value = json_array_get(list, i);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* -5..5: the share of the largest magnitude, so that a colour means the same in the whole pair. */
int plumb_blame_level(double value, double largest)
{
    if (!isfinite(value) || !(largest > 0)) return 0;
    int level = (int)ceil(SHADES * fmin(1, fabs(value) / largest) - 0.5);
    return value < 0 ? -level : level;
}

double plumb_largest_blame(const json_t *explain)
{
    static const char *const sides[2] = {"chosen", "rejected"};
    double largest = 0;
    for (int side = 0; side < 2; side++) {
        const json_t *blame = json_object_get(json_object_get(explain, sides[side]), "blame");
        for (size_t i = 0; i < json_array_size(blame); i++)
            if (isfinite(number_of(blame, i))) largest = fmax(largest, fabs(number_of(blame, i)));
    }
    return largest;
}

/* A class of the style sheet: "h2" towards orange, "c2" towards blue, "z" neither. */
static void shade_class(int level, char out[4])
{
    snprintf(out, 4, level > 0 ? "h%d" : level < 0 ? "c%d" : "z", abs(level));
}

static const char *token_text(const json_t *side, size_t i, size_t *n)
{
    const json_t *text = json_array_get(json_object_get(side, "tokens"), i);
    *n = json_is_string(text) ? json_string_length(text) : 0;
    return *n ? json_string_value(text) : "";
}

/* ---- words ---- */

static void coloured_tokens(const plumb_report *r, const json_t *side, const char *name, double largest,
                            plumb_writer *w)
{
    const json_t *blame = json_object_get(side, "blame");
    size_t n = json_array_size(json_object_get(side, "tokens")), written = 0;
    plumb_putf(w, "<p class=\"tokens\" dir=\"auto\"><span class=\"side %s-text\">%s</span> ", name, name);
    for (size_t i = 0; i < n; i++) {
        char class_name[4], a[40];
        size_t size;
        const char *text = token_text(side, i, &size);
        if (written + size > r->text_limit) {
            plumb_putf(w, "\xE2\x80\xA6 (%zu more tokens)", n - i);
            break;
        }
        written += size;
        shade_class(plumb_blame_level(number_of(blame, i), largest), class_name);
        plumb_putf(w, "<span class=\"t %s\" title=\"blame %s\">", class_name, plumb_people(number_of(blame, i), a));
        plumb_put_html(w, text, size);
        plumb_put(w, "</span>");
    }
    plumb_put(w, "</p>\n");
}

static void blame_rows(plumb_table *t, const json_t *explain, const json_t *side, const char *name)
{
    static const char *const parts[] = {"blame", "minus", "plus", "hidden_path"};
    size_t n = json_array_size(json_object_get(side, "tokens"));
    for (size_t i = 0; i < n; i++) {
        size_t size;
        const char *text = token_text(side, i, &size);
        plumb_table_number(t, json_number_value(json_object_get(explain, "index")));
        plumb_table_string(t, name);
        plumb_table_number(t, (double)i);
        plumb_table_text(t, text, size);
        for (int k = 0; k < 4; k++) plumb_table_number(t, number_of(json_object_get(side, parts[k]), i));
    }
}

/* The token with the largest blame, in words. */
static void blame_finding(plumb_figure *f, const json_t *explain)
{
    const json_t *chosen = json_object_get(explain, "chosen"), *blame = json_object_get(chosen, "blame");
    size_t best = 0, n = json_array_size(blame), size;
    char a[40], b[40];
    for (size_t i = 1; i < n; i++)
        if (number_of(blame, i) > number_of(blame, best)) best = i;
    if (!n) return;
    const char *text = token_text(chosen, best, &size);
    plumb_putf(&f->finding, "In pair %s ", plumb_people(json_number_value(json_object_get(explain, "index")), b));
    if (number_of(blame, best) <= 0) {
        plumb_put(&f->finding, "no chosen token pushes the response down. ");
        return;
    }
    plumb_put(&f->finding, "the chosen token \xE2\x80\x9C");
    plumb_put_visible(&f->finding, text, size, TOKEN_BYTES, NULL);
    plumb_putf(&f->finding, "\xE2\x80\x9D has the largest blame, %s. ", plumb_people(number_of(blame, best), a));
}

static void explain_commands(const plumb_report *r, plumb_figure *f)
{
    for (size_t i = 0; i < r->explains.count; i++)
        plumb_figure_command(r, f, r->explains.items[i].record,
                             "plumb explain MODEL DATA --pair INDEX --format json -o explain.json");
}

plumb_status plumb_draw_blame(const plumb_report *r, plumb_figure *f)
{
    static const struct {
        const char *name, *label;
        plumb_column_kind kind;
    } columns[] = {{"index", "pair", PLUMB_COLUMN_COUNT},        {"side", "side", PLUMB_COLUMN_TEXT},
                   {"position", "position", PLUMB_COLUMN_COUNT}, {"text", "token", PLUMB_COLUMN_TEXT},
                   {"blame", "blame", PLUMB_COLUMN_NUMBER},      {"minus", "with rejected", PLUMB_COLUMN_NUMBER},
                   {"plus", "with chosen", PLUMB_COLUMN_NUMBER}, {"hidden_path", "hidden path", PLUMB_COLUMN_NUMBER}};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        plumb_table_column(&f->table, columns[i].name, columns[i].label, columns[i].kind);
    size_t n = json_array_size(r->explain_rows);
    for (size_t i = 0; i < n; i++) {
        const json_t *explain = json_array_get(r->explain_rows, i);
        blame_rows(&f->table, explain, json_object_get(explain, "chosen"), "chosen");
        blame_rows(&f->table, explain, json_object_get(explain, "rejected"), "rejected");
        if (i >= MOST_PAIRS) continue;
        double largest = plumb_largest_blame(explain);
        plumb_putf(&f->panels, "<div class=\"panel whole\"><p class=\"heading\">Pair %lld</p>\n",
                   (long long)json_number_value(json_object_get(explain, "index")));
        coloured_tokens(r, json_object_get(explain, "chosen"), "chosen", largest, &f->panels);
        coloured_tokens(r, json_object_get(explain, "rejected"), "rejected", largest, &f->panels);
        plumb_put(&f->panels, "</div>\n");
        if (i < 2) blame_finding(f, explain);
    }
    if (n > MOST_PAIRS)
        plumb_putf(&f->note, "The first %d of %zu explained pairs; the others open from the figures above. ",
                   MOST_PAIRS, n);
    explain_commands(r, f);
    return PLUMB_OK;
}

/* ---- heat maps ---- */

static double matrix_at(const json_t *matrix, size_t i, size_t k)
{
    return number_of(json_array_get(matrix, i), k);
}

static void axis_label(plumb_plot *p, const json_t *side, size_t i, size_t bin, double x, double y, bool turned)
{
    char text[64];
    size_t size, n;
    plumb_writer name = {0};
    const char *token = token_text(side, i * bin, &size);
    while (size && (*token == ' ' || *token == '\n')) {
        token++;
        size--;
    }
    plumb_put_visible(&name, token, size, 9, NULL);
    n = name.text.size < sizeof text - 1 ? name.text.size : sizeof text - 1;
    if (n) memcpy(text, name.text.data, n);
    text[n] = 0;
    plumb_writer_keep(p->w, plumb_writer_end(&name));
    plumb_writer_free(&name);
    if (turned)
        plumb_putf(p->w, "<text class=\"cell\" transform=\"translate(%.1f %.1f) rotate(-50)\">", x, y);
    else
        plumb_putf(p->w, "<text class=\"cell\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", x, y);
    plumb_put_html_string(p->w, text);
    plumb_put(p->w, "</text>\n");
}

/* One matrix; `other` is the side whose tokens stand along the columns. */
static void heat_panel(plumb_figure *f, const json_t *explain, const char *name, const char *other, double largest)
{
    char strongest[40];
    const json_t *matrices = json_object_get(explain, "matrices"), *matrix = json_object_get(matrices, name);
    const json_t *rows_side = json_object_get(explain, "chosen"), *columns_side = json_object_get(explain, other);
    size_t bin = (size_t)json_number_value(json_object_get(matrices, "bin")), rows = json_array_size(matrix);
    size_t columns = json_array_size(json_array_get(matrix, 0));
    size_t m = rows > MOST_CELLS ? MOST_CELLS : rows, n = columns > MOST_CELLS ? MOST_CELLS : columns;
    if (!m || !n) return;
    if (!bin) bin = 1;
    plumb_plot p;
    double cell = fmin(30, 322.0 / (double)(n > m ? n : m));
    plumb_plot_size size = {420, 66 + cell * (double)m + 10, 70, 420 - 70 - cell * (double)n, 66, 10};
    char heading[120], label[256];
    snprintf(heading, sizeof heading, "Pair %lld: chosen with %s (strongest colour: \xC2\xB1%s)",
             (long long)json_number_value(json_object_get(explain, "index")), other, plumb_people(largest, strongest));
    snprintf(label, sizeof label,
             "Heat map of alpha times inner product, %zu chosen by %zu %s tokens; the table has the "
             "numbers.",
             m, n, other);
    plumb_plot_begin(&p, &f->panels, heading, label, size);
    p.x = (plumb_scale){0, (double)n, size.left, size.left + cell * (double)n};
    p.y = (plumb_scale){(double)m, 0, size.top + cell * (double)m, size.top};
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < n; k++) {
            char class_name[4], a[40];
            double value = matrix_at(matrix, i, k);
            shade_class(plumb_blame_level(value, largest), class_name);
            plumb_plot_bar(&p, class_name, (double)k, (double)i, (double)k + 1, (double)i + 1,
                           m * n <= 1024 ? plumb_people(value, a) : NULL);
        }
    size_t every = 1 + (size_t)(11 / cell);
    for (size_t i = 0; i < m; i += every)
        axis_label(&p, rows_side, i, bin, size.left - 5, plumb_plot_upwards(&p, (double)i + 0.5) + 4, false);
    for (size_t k = 0; k < n; k += every)
        axis_label(&p, columns_side, k, bin, plumb_plot_across(&p, (double)k + 0.5), size.top - 5, true);
    plumb_plot_end(&p);
    if (rows > m || columns > n)
        plumb_putf(&f->note, "%s shows the first %zu by %zu of %zu by %zu cells. ", heading, m, n, rows, columns);
}

static void heat_rows(plumb_figure *f, const json_t *explain, const char *name, double *largest)
{
    const json_t *matrix = json_object_get(json_object_get(explain, "matrices"), name);
    for (size_t i = 0; i < json_array_size(matrix) && i < MOST_CELLS; i++)
        for (size_t k = 0; k < json_array_size(json_array_get(matrix, i)) && k < MOST_CELLS; k++) {
            double value = matrix_at(matrix, i, k);
            if (isfinite(value)) *largest = fmax(*largest, fabs(value));
            plumb_table_number(&f->table, json_number_value(json_object_get(explain, "index")));
            plumb_table_string(&f->table, name);
            plumb_table_number(&f->table, (double)i);
            plumb_table_number(&f->table, (double)k);
            plumb_table_number(&f->table, value);
        }
}

plumb_status plumb_draw_heat(const plumb_report *r, plumb_figure *f)
{
    size_t n = json_array_size(r->explain_rows), drawn = n < MOST_PAIRS / 2 ? n : MOST_PAIRS / 2;
    char a[40], b[40];
    plumb_table_column(&f->table, "index", "pair", PLUMB_COLUMN_COUNT);
    plumb_table_column(&f->table, "matrix", "matrix", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "row", "row", PLUMB_COLUMN_COUNT);
    plumb_table_column(&f->table, "column", "column", PLUMB_COLUMN_COUNT);
    plumb_table_column(&f->table, "value", "alpha <h, h'>", PLUMB_COLUMN_NUMBER);
    for (size_t i = 0; i < drawn; i++) {
        const json_t *explain = json_array_get(r->explain_rows, i);
        double largest[2] = {0, 0};
        heat_rows(f, explain, "minus", &largest[0]);
        heat_rows(f, explain, "plus", &largest[1]);
        heat_panel(f, explain, "minus", "rejected", largest[0]);
        heat_panel(f, explain, "plus", "chosen", largest[1]);
        if (i == 0 && json_object_get(explain, "alpha_ches"))
            plumb_putf(&f->finding,
                       "In pair %lld the alignment of chosen with rejected tokens adds up to %s, that of the "
                       "chosen ones with each other to %s: alpha_ches is their difference.",
                       (long long)json_number_value(json_object_get(explain, "index")),
                       plumb_people(json_number_value(json_object_get(explain, "minus")), a),
                       plumb_people(json_number_value(json_object_get(explain, "plus")), b));
        int64_t bin = (int64_t)json_number_value(json_object_get(json_object_get(explain, "matrices"), "bin"));
        if (bin > 1)
            plumb_putf(&f->note, "Pair %lld: a cell sums %lld by %lld tokens. ",
                       (long long)json_number_value(json_object_get(explain, "index")), (long long)bin, (long long)bin);
    }
    if (n > drawn) plumb_putf(&f->note, "The first %zu of %zu explained pairs. ", drawn, n);
    explain_commands(r, f);
    return PLUMB_OK;
}
