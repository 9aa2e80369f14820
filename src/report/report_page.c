/* The report as one page: the template of src/report/page, filled. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/figure_explain.h"
#include "report/page_files.h"
#include "report/report_writers.h"

enum { ROWS_IN_PAGE = 60, CELL_BYTES = 120 };

static void put_writer_html(plumb_writer *w, const plumb_writer *text)
{
    if (text->text.size) plumb_put_html(w, text->text.data, text->text.size);
}

void plumb_put_base64_of_hex(plumb_writer *w, const char *hex)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i += 3) {
        unsigned bits = 0;
        size_t have = n - i < 3 ? n - i : 3;
        for (size_t k = 0; k < 3; k++) {
            unsigned byte = 0;
            if (k < have) sscanf(hex + 2 * (i + k), "%2x", &byte);
            bits = bits << 8 | byte;
        }
        for (size_t k = 0; k < 4; k++) plumb_putf(w, "%c", k <= have ? letters[bits >> (18 - 6 * k) & 63] : '=');
    }
}

/* ---- sections ---- */

static void put_verdict(const plumb_report *r, plumb_writer *w)
{
    plumb_table numbers = {0};
    plumb_writer_keep(w, plumb_report_key_numbers(r, &numbers));
    plumb_putf(w,
               "<section id=\"verdict\" class=\"verdict%s\" tabindex=\"-1\">\n<p class=\"eyebrow\">Verdict</p>\n<h1>",
               r->alarming ? " alarming" : "");
    put_writer_html(w, &r->headline);
    plumb_put(w, "</h1>\n<p class=\"words\">");
    put_writer_html(w, &r->verdict);
    plumb_put(w, "</p>\n<dl class=\"numbers\">\n");
    for (size_t i = 0; i + 1 < numbers.count; i += 2) {
        plumb_put(w, "<div><dt>");
        plumb_put_html(w, numbers.texts.text.data + numbers.cells[i].start, numbers.cells[i].size);
        plumb_put(w, "</dt><dd>");
        plumb_put_html(w, numbers.texts.text.data + numbers.cells[i + 1].start, numbers.cells[i + 1].size);
        plumb_put(w, "</dd></div>\n");
    }
    plumb_put(w, "</dl>\n<div class=\"next\"><p>Next: ");
    put_writer_html(w, &r->next_why);
    plumb_put(w, "</p><pre><code>");
    put_writer_html(w, &r->next);
    plumb_put(w, "</code></pre></div>\n</section>\n");
    plumb_table_free(&numbers);
}

static void put_contents(const plumb_report *r, plumb_writer *w)
{
    plumb_put(w, "<nav class=\"contents\" aria-label=\"Figures\"><ol>\n");
    for (size_t i = 0; i < r->figure_count; i++)
        plumb_putf(w, "<li><a href=\"#%s\">%zu. %s</a></li>\n", r->figures[i].kind->id, i + 1,
                   r->figures[i].kind->title);
    plumb_put(w, "</ol></nav>\n");
}

static void put_csv_link(const plumb_figure *f, plumb_writer *w)
{
    plumb_writer csv = {0};
    plumb_table_csv(&f->table, &csv);
    plumb_writer_keep(w, plumb_writer_end(&csv));
    plumb_putf(w, "<a download=\"%s.csv\" href=\"data:text/csv;charset=utf-8,", f->kind->id);
    if (csv.text.size) plumb_put_uri(w, csv.text.data, csv.text.size);
    plumb_put(w, "\">CSV</a>\n");
    plumb_writer_free(&csv);
}

static size_t count_panels(const plumb_figure *f)
{
    size_t n = 0;
    const char *p = f->panels.text.data;
    while (p && (p = strstr(p, "<div class=\"panel"))) {
        n++;
        p++;
    }
    return n;
}

static void put_figure(const plumb_figure *f, size_t number, plumb_writer *w)
{
    const plumb_figure_kind *kind = f->kind;
    plumb_putf(w,
               "<figure id=\"%s\" aria-labelledby=\"%s-title\">\n<header><h2 id=\"%s-title\"><span "
               "class=\"number\">%zu</span>%s</h2>"
               "<p>",
               kind->id, kind->id, kind->id, number, kind->title);
    put_writer_html(w, &f->finding);
    plumb_putf(w, "</p></header>\n<div class=\"drawing %s\">\n", count_panels(f) == 1 && !kind->wide ? "one" : "many");
    if (f->panels.text.size) plumb_put_bytes(w, f->panels.text.data, f->panels.text.size);
    plumb_put(w, "<figcaption><p>");
    plumb_put_html_string(w, kind->reading);
    plumb_put(w, kind->interactive ? " Click a dot, or move to it with the arrow keys, to open the pair.</p>" : "</p>");
    if (f->note.text.size) {
        plumb_put(w, "<p>");
        put_writer_html(w, &f->note);
        plumb_put(w, "</p>");
    }
    plumb_put(w, "</figcaption></div>\n<div class=\"more\">\n<details><summary>Table</summary>");
    plumb_table_html(&f->table, kind->title, ROWS_IN_PAGE, CELL_BYTES, w);
    plumb_put(w, "</details>\n<details><summary>Command</summary><pre><code>");
    put_writer_html(w, &f->command);
    plumb_put(w, "</code></pre></details>\n");
    put_csv_link(f, w);
    plumb_put(w, "</div>\n</figure>\n");
}

static void put_missing(const plumb_report *r, plumb_writer *w)
{
    if (!r->missing_count) return;
    plumb_put(w, "<section id=\"missing\"><h2>Not in this report</h2>\n<dl>\n");
    for (size_t i = 0; i < r->missing_count; i++) {
        const plumb_figure_kind *kind = &plumb_figure_kinds[r->missing[i]];
        plumb_writer remedy = {0};
        plumb_figure_remedy(r, kind->remedy, &remedy);
        plumb_writer_keep(w, plumb_writer_end(&remedy));
        plumb_putf(w, "<dt>%s</dt><dd>For %s: <code>", kind->title, kind->missing);
        put_writer_html(w, &remedy);
        plumb_put(w, "</code></dd>\n");
        plumb_writer_free(&remedy);
    }
    plumb_put(w, "</dl></section>\n");
}

static void put_main(const plumb_report *r, plumb_writer *w)
{
    put_verdict(r, w);
    put_contents(r, w);
    for (size_t i = 0; i < r->figure_count; i++) put_figure(&r->figures[i], i + 1, w);
    put_missing(r, w);
}

static void put_footer(const plumb_report *r, plumb_writer *w)
{
    plumb_put(w, "<p>Made by plumb " PLUMB_VERSION " with</p><pre><code>");
    plumb_put_html_string(w, r->options.command);
    plumb_put(w, "</code></pre>\n");
    if (r->with_texts)
        plumb_putf(w, "<p class=\"note\">Texts of %zu of %zu pairs are in this page, each cut after %zu bytes.</p>\n",
                   r->with_texts, r->count, r->text_limit);
}

/* ---- data of the pairs that can be opened ---- */

static void put_text_json(const plumb_report *r, const plumb_report_pair *pair, int which, plumb_writer *w)
{
    plumb_put_script_json(w, pair->text_size[which] ? r->texts.text.data + pair->text[which] : "",
                          pair->text_size[which]);
}

/* [[tokens], [levels], cut]: a side of an explained pair. */
static void put_blame_json(const plumb_report *r, const json_t *explain, const char *name, double largest,
                           plumb_writer *w)
{
    const json_t *side = json_object_get(explain, name), *tokens = json_object_get(side, "tokens");
    const json_t *blame = json_object_get(side, "blame");
    size_t n = json_array_size(tokens), used = 0, count = 0;
    plumb_put(w, "[[");
    for (; count < n; count++) {
        const json_t *text = json_array_get(tokens, count);
        size_t size = json_is_string(text) ? json_string_length(text) : 0;
        plumb_writer seen = {0};
        if (used + size > r->text_limit) break;
        used += size;
        plumb_put_visible(&seen, size ? json_string_value(text) : "", size, r->text_limit, NULL);
        plumb_writer_keep(w, plumb_writer_end(&seen));
        plumb_put(w, count ? "," : "");
        plumb_put_script_json(w, seen.text.size ? seen.text.data : "", seen.text.size);
        plumb_writer_free(&seen);
    }
    plumb_put(w, "],[");
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(blame, i);
        plumb_putf(w, "%s%d", i ? "," : "",
                   plumb_blame_level(json_is_number(value) ? json_number_value(value) : NAN, largest));
    }
    plumb_putf(w, "],%d]", count < n);
}

static void put_pair_json(const plumb_report *r, size_t at, plumb_writer *w)
{
    const plumb_report_pair *pair = &r->pairs[at];
    bool first = true;
    plumb_putf(w, "\"%zu\":{\"i\":%lld,\"h\":\"%016llx\",\"m\":[", at, (long long)pair->index,
               (unsigned long long)pair->row);
    for (int i = 0; i < PLUMB_REPORT_MEASURES; i++) {
        if (i) plumb_put(w, ",");
        plumb_put_number(w, pair->measure[i], 5, "null");
    }
    plumb_put(w, "],\"d\":[");
    for (size_t k = 0; k < r->run_count; k++) {
        const plumb_report_run *run = &r->runs[k];
        if (!plumb_report_has_changes(r, run)) continue;
        plumb_put(w, first ? "" : ",");
        first = false;
        if (!isfinite(run->change[0][at]) || !isfinite(run->change[1][at])) {
            plumb_put(w, "null");
            continue;
        }
        plumb_putf(w, "[%.5g,%.5g]", run->change[0][at], run->change[1][at]);
    }
    plumb_put(w, "]");
    if (pair->verdict >= 0) plumb_putf(w, ",\"v\":\"%s\"", plumb_report_verdicts[pair->verdict]);
    if (pair->has_texts) {
        plumb_put(w, ",\"t\":[");
        for (int i = 0; i < PLUMB_REPORT_TEXTS; i++) {
            if (i) plumb_put(w, ",");
            put_text_json(r, pair, i, w);
        }
        plumb_putf(w, "],\"k\":[%d,%d,%d]", pair->cut[0], pair->cut[1], pair->cut[2]);
    }
    if (pair->explain) {
        double largest = plumb_largest_blame(pair->explain);
        plumb_put(w, ",\"b\":[");
        put_blame_json(r, pair->explain, "chosen", largest, w);
        plumb_put(w, ",");
        put_blame_json(r, pair->explain, "rejected", largest, w);
        plumb_put(w, "]");
    }
    plumb_put(w, "}");
}

static void put_data(const plumb_report *r, plumb_writer *w)
{
    bool first = true;
    plumb_putf(w, "{\"limit\":%zu,\"measures\":[", r->text_limit);
    for (int i = 0; i < PLUMB_REPORT_MEASURES; i++)
        plumb_putf(w, "%s\"%s\"", i ? "," : "", plumb_report_measures[i].field);
    plumb_put(w, "],\"runs\":[");
    for (size_t k = 0; k < r->run_count; k++) {
        if (!plumb_report_has_changes(r, &r->runs[k])) continue;
        plumb_put(w, first ? "" : ",");
        first = false;
        plumb_put_script_json(w, r->runs[k].name, strlen(r->runs[k].name));
    }
    plumb_put(w, "],\"pairs\":{");
    first = true;
    for (size_t i = 0; i < r->count; i++) {
        if (!r->pairs[i].shown) continue;
        plumb_put(w, first ? "\n" : ",\n");
        first = false;
        put_pair_json(r, i, w);
    }
    plumb_put(w, "}}");
}

/* ---- the template ---- */

static void put_part(const plumb_report *r, const char *name, size_t n, plumb_writer *w)
{
    plumb_writer title = {0};
    if (n == 4 && memcmp(name, "main", n) == 0) {
        put_main(r, w);
    } else if (n == 4 && memcmp(name, "data", n) == 0) {
        put_data(r, w);
    } else if (n == 6 && memcmp(name, "footer", n) == 0) {
        put_footer(r, w);
    } else if (n == 5 && memcmp(name, "style", n) == 0) {
        plumb_put_bytes(w, plumb_page_css, plumb_page_css_size);
    } else if (n == 6 && memcmp(name, "script", n) == 0) {
        plumb_put_bytes(w, plumb_page_js, plumb_page_js_size);
    } else if (n == 10 && memcmp(name, "style-hash", n) == 0) {
        plumb_put_base64_of_hex(w, plumb_page_css_sha256);
    } else if (n == 11 && memcmp(name, "script-hash", n) == 0) {
        plumb_put_base64_of_hex(w, plumb_page_js_sha256);
    } else if (n == 7 && memcmp(name, "version", n) == 0) {
        plumb_put(w, PLUMB_VERSION);
    } else if (n == 5 && memcmp(name, "title", n) == 0) {
        plumb_report_title(r, &title);
        plumb_writer_keep(w, plumb_writer_end(&title));
        put_writer_html(w, &title);
        plumb_writer_free(&title);
    } else {
        plumb_writer_keep(w, plumb_fail(PLUMB_E_INTERNAL, "page.html: no part is called %.*s", (int)n, name));
    }
}

void plumb_report_html(const plumb_report *r, plumb_writer *w)
{
    const char *at = (const char *)plumb_page_html, *open;
    while ((open = strstr(at, "{{"))) {
        const char *close = strstr(open, "}}");
        if (!close) break;
        plumb_put_bytes(w, at, (size_t)(open - at));
        put_part(r, open + 2, (size_t)(close - open) - 2, w);
        at = close + 2;
    }
    plumb_put(w, at);
}
