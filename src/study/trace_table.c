#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "io/csv.h"
#include "io/json.h"
#include "study/trace_rows.h"
#include "text/tokenizer.h"

enum { COLUMNS = 10, TEXT_DIGITS = 4, CSV_DIGITS = 9 };

static const char *const csv_names[COLUMNS] = {"index",    "preferred", "dispreferred", "p_before",     "p_after",
                                               "decrease", "verdict",   "benign",       "catastrophic", "other"};
static const char *const titles[COLUMNS] = {"row",      "preferred", "dispreferred",        "p before",     "p after",
                                            "decrease", "verdict",   "gained most: benign", "catastrophic", "other"};
/* Of the text form; what is longer moves the rest of its line. The last columns stand on lines of their own. */
static const int widths[COLUMNS] = {-6, 14, 14, -10, -10, -10, 12, 0, 0, 0};
enum { ON_THE_LINE = 7 };

/* ---- cells, as plain text in UTF-8 ---- */

/* Characters that are not seen but change how text is shown: C1 controls, marks of direction, separators of lines. */
static size_t unseen(const char *p, size_t left, unsigned *code)
{
    const unsigned char *u = (const unsigned char *)p;
    if (left >= 2 && u[0] == 0xC2 && u[1] >= 0x80 && u[1] <= 0x9F) {
        *code = u[1];
        return 2;
    }
    if (left < 3 || u[0] < 0xE0 || u[0] > 0xEF) return 0;
    *code = (u[0] & 15u) << 12 | (u[1] & 63u) << 6 | (u[2] & 63u);
    bool is = *code == 0x61C || (*code >= 0x200B && *code <= 0x200F) || (*code >= 0x2028 && *code <= 0x202E) ||
              (*code >= 0x2060 && *code <= 0x206F) || *code == 0xFEFF;
    return is ? 3 : 0;
}

/* The text of a token as a JSON string without anything unseen. */
static plumb_status quoted(const plumb_traced_token *token, plumb_text *cell)
{
    plumb_text json = {0};
    if (!token->text) return plumb_text_printf(cell, "#%d", (int)token->change.token);
    plumb_status s = plumb_json_quote(&json, token->text, token->text_size);
    for (size_t i = 0; i < json.size && !s;) {
        unsigned code;
        size_t n = unseen(json.data + i, json.size - i, &code);
        s = n ? plumb_text_printf(cell, "\\u%04x", code) : plumb_text_append(cell, json.data + i, 1);
        i += n ? n : 1;
    }
    plumb_text_free(&json);
    return s;
}

enum { BENIGN = 7, CATASTROPHIC, OTHER };

/* The column of a token that gained. */
static int kind_of(const plumb_traced_token *token, plumb_classes own, plumb_classes opposite)
{
    return token->classes & own ? BENIGN : token->classes & opposite ? CATASTROPHIC : OTHER;
}

static plumb_status tokens_cell(const plumb_trace_row *row, const plumb_token_groups *groups, int kind, int digits,
                                plumb_text *cell)
{
    const plumb_traced_place *p = &row->place;
    plumb_classes own = p->chosen.classes, opposite = plumb_token_groups_opposites(groups, own);
    for (int i = 0; i < p->gained_count; i++) {
        const plumb_traced_token *token = &p->gained[i];
        if (token->change.token == p->chosen.change.token || kind_of(token, own, opposite) != kind) continue;
        if (cell->size) PLUMB_TRY(plumb_text_string(cell, ", "));
        PLUMB_TRY(quoted(token, cell));
        PLUMB_TRY(plumb_text_printf(cell, " %.*g", digits, token->change.after - token->change.before));
    }
    return PLUMB_OK;
}

/* From the start to the lowest point of the course; without one to after, which may be a gain. */
static double decrease(const plumb_trace_row *row)
{
    double start = row->first_logps[0], lowest = row->first_logps[1];
    if (row->course_count && start < lowest) lowest = start;
    for (size_t i = 0; i < row->course_count; i++)
        if (row->course[i].first < lowest) lowest = row->course[i].first;
    return exp(start) - exp(lowest);
}

/* Nothing where it is not known. */
static plumb_status number_cell(double value, int digits, plumb_text *cell)
{
    return isnan(value) ? plumb_text_string(cell, "") : plumb_text_printf(cell, "%.*g", digits, value);
}

/* Of the first token alone, which the other columns are about; a row's verdict is of the whole response, EOS included.
 */
static const char *verdict_of(const plumb_trace_row *row)
{
    double change = row->first_logps[1] - row->first_logps[0];
    bool known = row->has_place && row->place.position == 0 && !isnan(change);
    const char *name = plumb_verdict_name(known ? plumb_gains_verdict(&row->place.gains, change) : row->place.verdict);
    return name ? name : "unknown";
}

static plumb_status fill_cell(const plumb_trace_row *row, const plumb_token_groups *groups, int column, int digits,
                              plumb_text *cell)
{
    switch (column) {
    case 0:
        return plumb_text_printf(cell, "%" PRId64, row->index);
    case 1:
    case 2:
        return quoted(&row->first[column - 1], cell);
    case 3:
        return number_cell(exp(row->first_logps[0]), digits, cell);
    case 4:
        return number_cell(exp(row->first_logps[1]), digits, cell);
    case 5:
        return number_cell(decrease(row), digits, cell);
    case 6:
        return plumb_text_string(cell, verdict_of(row));
    default:
        return tokens_cell(row, groups, column, digits, cell);
    }
}

/* ---- the three forms of a cell ---- */

/* Characters of a UTF-8 text, for the width. */
static int characters(const plumb_text *t)
{
    int n = 0;
    for (size_t i = 0; i < t->size; i++) n += ((unsigned char)t->data[i] & 0xC0) != 0x80;
    return n;
}

static plumb_status pad(plumb_text *out, int n)
{
    return n > 0 ? plumb_text_printf(out, "%*s", n, "") : PLUMB_OK;
}

static plumb_status text_cell(int column, const plumb_text *cell, plumb_text *out)
{
    int width = widths[column], gap = (width < 0 ? -width : width) - characters(cell);
    if (column >= ON_THE_LINE)
        return cell->size ? plumb_text_printf(out, "\n       %s: %s", csv_names[column], cell->data) : PLUMB_OK;
    if (column) PLUMB_TRY(plumb_text_string(out, "  "));
    if (width < 0) PLUMB_TRY(pad(out, gap));
    PLUMB_TRY(plumb_text_append(out, cell->data ? cell->data : "", cell->size));
    return width > 0 && column + 1 < ON_THE_LINE ? pad(out, gap) : PLUMB_OK;
}

/* No cell begins with what spreadsheets take for a formula: texts begin with a quotation mark, and so do lists. */
static plumb_status csv_cell(int column, const plumb_text *cell, plumb_text *out)
{
    if (column) PLUMB_TRY(plumb_text_string(out, ","));
    return plumb_csv_field(out, cell->data, cell->size);
}

static plumb_status html_cell(int column, const plumb_text *cell, plumb_text *out)
{
    bool number = column == 0 || (column >= 3 && column <= 5);
    PLUMB_TRY(plumb_text_string(out, number ? "<td class=\"n\">" : "<td>"));
    for (size_t i = 0; i < cell->size; i++) {
        char c = cell->data[i];
        const char *entity = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : NULL;
        PLUMB_TRY(entity ? plumb_text_string(out, entity) : plumb_text_append(out, &c, 1));
    }
    return plumb_text_string(out, "</td>");
}

plumb_status plumb_trace_table_row(plumb_trace_format format, const plumb_trace_row *row,
                                   const plumb_token_groups *groups, plumb_text *out)
{
    plumb_text cell = {0};
    plumb_status s = format == PLUMB_TRACE_HTML ? plumb_text_string(out, "<tr>") : PLUMB_OK;
    for (int i = 0; i < COLUMNS && !s; i++) {
        plumb_text_clear(&cell);
        s = fill_cell(row, groups, i, format == PLUMB_TRACE_CSV ? CSV_DIGITS : TEXT_DIGITS, &cell);
        if (!s && format == PLUMB_TRACE_TEXT) s = text_cell(i, &cell, out);
        if (!s && format == PLUMB_TRACE_CSV) s = csv_cell(i, &cell, out);
        if (!s && format == PLUMB_TRACE_HTML) s = html_cell(i, &cell, out);
    }
    plumb_text_free(&cell);
    if (s) return s;
    return plumb_text_string(out, format == PLUMB_TRACE_HTML ? "</tr>\n" : format == PLUMB_TRACE_CSV ? "\r\n" : "\n");
}

/* ---- around the rows ---- */

static const char page[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>plumb trace</title>\n<style>\n"
    ":root { color-scheme: light dark; }\n"
    "body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; }\n"
    "div { overflow-x: auto; }\n"
    "table { border-collapse: collapse; }\n"
    "caption { text-align: left; padding-bottom: .7em; }\n"
    "th, td { text-align: left; vertical-align: top; padding: .25em .8em; border-bottom: 1px solid #8886;\n"
    "  unicode-bidi: isolate; }\n"
    ".n { text-align: right; font-variant-numeric: tabular-nums; }\n"
    "</style>\n</head>\n<body>\n<div tabindex=\"0\" role=\"region\" aria-label=\"table\">\n<table>\n"
    "<caption>Pairs of single tokens: how far the probability of the preferred response fell, and the tokens that "
    "gained most, with their gains</caption>\n<thead><tr>";

plumb_status plumb_trace_table_begin(plumb_trace_format format, plumb_text *out)
{
    if (format == PLUMB_TRACE_HTML) {
        PLUMB_TRY(plumb_text_string(out, page));
        for (int i = 0; i < COLUMNS; i++) PLUMB_TRY(plumb_text_printf(out, "<th scope=\"col\">%s</th>", titles[i]));
        return plumb_text_string(out, "</tr></thead>\n<tbody>\n");
    }
    for (int i = 0; i < (format == PLUMB_TRACE_CSV ? COLUMNS : ON_THE_LINE); i++) {
        const char *name = format == PLUMB_TRACE_CSV ? csv_names[i] : titles[i];
        plumb_text cell = {.data = (char *)(uintptr_t)name, .size = strlen(name)};
        PLUMB_TRY(format == PLUMB_TRACE_CSV ? csv_cell(i, &cell, out) : text_cell(i, &cell, out));
    }
    return plumb_text_string(out, format == PLUMB_TRACE_CSV ? "\r\n" : "\n");
}

plumb_status plumb_trace_table_end(plumb_trace_format format, plumb_text *out)
{
    return format == PLUMB_TRACE_HTML ? plumb_text_string(out, "</tbody>\n</table>\n</div>\n</body>\n</html>\n")
                                      : PLUMB_OK;
}
