#include "report/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/scale.h"

enum { DIGITS = 9 };

void plumb_table_column(plumb_table *t, const char *name, const char *label, plumb_column_kind kind)
{
    if (t->column_count == PLUMB_MOST_COLUMNS)
        plumb_writer_keep(&t->texts,
                          plumb_fail(PLUMB_E_INTERNAL, "a table of more than %d columns", PLUMB_MOST_COLUMNS));
    else
        t->columns[t->column_count++] = (plumb_column){name, label, kind};
}

static plumb_cell *next_cell(plumb_table *t)
{
    if (t->texts.error) return NULL;
    plumb_status s = plumb_reserve(&t->cells, &t->capacity, t->count + 1, sizeof *t->cells);
    plumb_writer_keep(&t->texts, s);
    if (s) return NULL;
    plumb_cell *cell = &t->cells[t->count++];
    *cell = (plumb_cell){.number = NAN, .size = SIZE_MAX};
    return cell;
}

void plumb_table_number(plumb_table *t, double value)
{
    plumb_cell *cell = next_cell(t);
    if (cell) cell->number = value;
}

void plumb_table_text(plumb_table *t, const char *bytes, size_t n)
{
    plumb_cell *cell = next_cell(t);
    if (!cell || !bytes) return;
    cell->start = t->texts.text.size;
    cell->size = n;
    plumb_put_bytes(&t->texts, bytes, n);
}

void plumb_table_pair(plumb_table *t, int64_t index, size_t position)
{
    plumb_cell *cell = next_cell(t);
    if (!cell) return;
    cell->number = (double)index;
    cell->start = position;
}

void plumb_table_string(plumb_table *t, const char *string)
{
    plumb_table_text(t, string, string ? strlen(string) : 0);
}

size_t plumb_table_rows(const plumb_table *t)
{
    return t->column_count ? t->count / (size_t)t->column_count : 0;
}

void plumb_table_free(plumb_table *t)
{
    free(t->cells);
    plumb_writer_free(&t->texts);
    *t = (plumb_table){0};
}

static const char *bytes_of(const plumb_table *t, const plumb_cell *cell)
{
    return cell->size && cell->size != SIZE_MAX ? t->texts.text.data + cell->start : "";
}

static size_t size_of(const plumb_cell *cell)
{
    return cell->size == SIZE_MAX ? 0 : cell->size;
}

/* ---- for programs ---- */

void plumb_table_csv(const plumb_table *t, plumb_writer *w)
{
    for (int c = 0; c < t->column_count; c++) plumb_putf(w, "%s%s", c ? "," : "", t->columns[c].name);
    plumb_put(w, "\n");
    for (size_t i = 0; i < t->count; i++) {
        int c = (int)(i % (size_t)t->column_count);
        const plumb_cell *cell = &t->cells[i];
        if (c) plumb_put(w, ",");
        if (t->columns[c].kind != PLUMB_COLUMN_TEXT)
            plumb_put_number(w, cell->number, DIGITS, "");
        else if (cell->size != SIZE_MAX)
            plumb_put_csv(w, bytes_of(t, cell), cell->size);
        if (c == t->column_count - 1) plumb_put(w, "\n");
    }
}

void plumb_table_json(const plumb_table *t, plumb_writer *w)
{
    plumb_put(w, "[");
    for (size_t i = 0; i < t->count; i++) {
        int c = (int)(i % (size_t)t->column_count);
        const plumb_cell *cell = &t->cells[i];
        plumb_putf(w, c ? "," : i ? ",\n{" : "\n{");
        plumb_putf(w, "\"%s\":", t->columns[c].name);
        if (t->columns[c].kind != PLUMB_COLUMN_TEXT)
            plumb_put_number(w, cell->number, DIGITS, "null");
        else if (cell->size != SIZE_MAX)
            plumb_put_json(w, bytes_of(t, cell), cell->size);
        else
            plumb_put(w, "null");
        if (c == t->column_count - 1) plumb_put(w, "}");
    }
    plumb_put(w, "]");
}

/* ---- for people ---- */

static void people_cell(const plumb_column *column, double value, char out[40])
{
    if (isnan(value)) {
        out[0] = 0;
    } else if (column->kind == PLUMB_COLUMN_SHARE) {
        char number[32];
        plumb_people_number(100 * value, number, sizeof number);
        snprintf(out, 40, "%s\xC2\xA0%%", number);
    } else if (column->kind == PLUMB_COLUMN_PAIR) {
        snprintf(out, 40, "%.0f", value);
    } else {
        plumb_people_number(value, out, 40);
    }
}

typedef void (*put_text)(plumb_writer *w, const char *bytes, size_t n);

/* A text cell made visible, cut and escaped. */
static void cut_cell(const plumb_table *t, const plumb_cell *cell, size_t most, put_text put, plumb_writer *w)
{
    plumb_writer cut = {0};
    plumb_put_visible(&cut, bytes_of(t, cell), size_of(cell), most, NULL);
    plumb_writer_keep(w, plumb_writer_end(&cut));
    if (cut.text.size) put(w, cut.text.data, cut.text.size);
    plumb_writer_free(&cut);
}

void plumb_table_markdown(const plumb_table *t, size_t most, size_t most_text, plumb_writer *w)
{
    for (int c = 0; c < t->column_count; c++) plumb_putf(w, "| %s ", t->columns[c].label);
    plumb_put(w, "|\n");
    for (int c = 0; c < t->column_count; c++) plumb_put(w, t->columns[c].kind == PLUMB_COLUMN_TEXT ? "|:--" : "|--:");
    plumb_put(w, "|\n");
    size_t rows = plumb_table_rows(t);
    for (size_t r = 0; r < rows && r < most; r++) {
        for (int c = 0; c < t->column_count; c++) {
            const plumb_cell *cell = &t->cells[r * (size_t)t->column_count + (size_t)c];
            char number[40];
            plumb_put(w, "| ");
            if (t->columns[c].kind == PLUMB_COLUMN_TEXT) {
                cut_cell(t, cell, most_text, plumb_put_markdown, w);
            } else {
                people_cell(&t->columns[c], cell->number, number);
                plumb_put(w, number);
            }
            plumb_put(w, " ");
        }
        plumb_put(w, "|\n");
    }
    if (rows > most) plumb_putf(w, "\nThe first %zu of %zu rows.\n", most, rows);
}

static void html_cell(const plumb_table *t, int c, const plumb_cell *cell, size_t most_text, plumb_writer *w)
{
    const plumb_column *column = &t->columns[c];
    char number[40];
    if (column->kind == PLUMB_COLUMN_TEXT) {
        plumb_put(w, "<td class=\"text\"><bdi>");
        cut_cell(t, cell, most_text, plumb_put_html, w);
        plumb_put(w, "</bdi></td>");
        return;
    }
    people_cell(column, cell->number, number);
    if (column->kind == PLUMB_COLUMN_PAIR && cell->start != SIZE_MAX)
        plumb_putf(w, "<td><button class=\"pair\" data-pair=\"%zu\">%s</button></td>", cell->start, number);
    else
        plumb_putf(w, "<td>%s</td>", number);
}

void plumb_table_html(const plumb_table *t, const char *caption, size_t most, size_t most_text, plumb_writer *w)
{
    size_t rows = plumb_table_rows(t);
    plumb_put(w, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table: ");
    plumb_put_html_string(w, caption);
    plumb_put(w, "\"><table><thead><tr>");
    for (int c = 0; c < t->column_count; c++) {
        plumb_putf(w, "<th scope=\"col\"%s>", t->columns[c].kind == PLUMB_COLUMN_TEXT ? " class=\"text\"" : "");
        plumb_put_html_string(w, t->columns[c].label);
        plumb_put(w, "</th>");
    }
    plumb_put(w, "</tr></thead><tbody>\n");
    for (size_t r = 0; r < rows && r < most; r++) {
        plumb_put(w, "<tr>");
        for (int c = 0; c < t->column_count; c++)
            html_cell(t, c, &t->cells[r * (size_t)t->column_count + (size_t)c], most_text, w);
        plumb_put(w, "</tr>\n");
    }
    plumb_put(w, "</tbody></table></div>\n");
    if (rows > most) plumb_putf(w, "<p class=\"note\">The first %zu of %zu rows; the CSV holds all.</p>\n", most, rows);
}
