/* The report as Markdown (verdict and tables) and as JSON (all numbers behind the figures). */
#include <string.h>

#include "report/report_writers.h"

enum { ROWS_IN_MARKDOWN = 40, CELL_BYTES = 80 };

static void put_paragraph(plumb_writer *w, const plumb_writer *text)
{
    if (!text->text.size) return;
    plumb_put_markdown(w, text->text.data, text->text.size);
    plumb_put(w, "\n\n");
}

/* Code indented by four spaces: nothing in it is markup, whatever it holds. */
static void put_code(plumb_writer *w, const plumb_writer *text)
{
    plumb_writer seen = {0};
    if (!text->text.size) return;
    plumb_put_visible(&seen, text->text.data, text->text.size, SIZE_MAX, NULL);
    plumb_writer_keep(w, plumb_writer_end(&seen));
    bool start = true;
    for (size_t i = 0; i < seen.text.size; i++) {
        if (start) plumb_put(w, "    ");
        plumb_put_bytes(w, seen.text.data + i, 1);
        start = seen.text.data[i] == '\n';
    }
    plumb_put(w, start ? "\n" : "\n\n");
    plumb_writer_free(&seen);
}

void plumb_report_markdown(const plumb_report *r, plumb_writer *w)
{
    plumb_put(w, "# ");
    plumb_put_markdown(w, r->headline.text.data, r->headline.text.size);
    plumb_put(w, "\n\n");
    put_paragraph(w, &r->verdict);
    plumb_put(w, "Next: ");
    put_paragraph(w, &r->next_why);
    put_code(w, &r->next);
    for (size_t i = 0; i < r->figure_count; i++) {
        const plumb_figure *f = &r->figures[i];
        plumb_putf(w, "## %zu. %s\n\n", i + 1, f->kind->title);
        put_paragraph(w, &f->finding);
        plumb_table_markdown(&f->table, ROWS_IN_MARKDOWN, CELL_BYTES, w);
        plumb_put(w, "\n");
        put_paragraph(w, &f->note);
        plumb_put(w, "Made by\n\n");
        put_code(w, &f->command);
    }
    if (r->missing_count) plumb_put(w, "## Not in this report\n\n");
    for (size_t i = 0; i < r->missing_count; i++) {
        const plumb_figure_kind *kind = &plumb_figure_kinds[r->missing[i]];
        plumb_writer remedy = {0};
        plumb_figure_remedy(r, kind->remedy, &remedy);
        plumb_writer_keep(w, plumb_writer_end(&remedy));
        plumb_putf(w, "%s, for %s:\n\n", kind->title, kind->missing);
        put_code(w, &remedy);
        plumb_writer_free(&remedy);
    }
}

/* ---- JSON ---- */

static void put_member(plumb_writer *w, const char *name, const plumb_writer *text)
{
    plumb_putf(w, "\"%s\": ", name);
    plumb_put_json(w, text->text.size ? text->text.data : "", text->text.size);
    plumb_put(w, ",\n");
}

void plumb_report_json(const plumb_report *r, plumb_writer *w)
{
    plumb_writer title = {0};
    plumb_report_title(r, &title);
    plumb_writer_keep(w, plumb_writer_end(&title));
    plumb_put(w, "{\"kind\": \"report\", \"plumb\": \"" PLUMB_VERSION "\",\n");
    put_member(w, "title", &title);
    put_member(w, "headline", &r->headline);
    put_member(w, "verdict", &r->verdict);
    put_member(w, "next_why", &r->next_why);
    put_member(w, "next", &r->next);
    plumb_putf(w, "\"alarming\": %s, \"pairs\": %zu, \"scored\": %zu, \"skipped\": %zu, \"runs\": %zu,\n\"figures\": [",
               r->alarming ? "true" : "false", r->count, r->scored, r->skipped, r->run_count);
    for (size_t i = 0; i < r->figure_count; i++) {
        const plumb_figure *f = &r->figures[i];
        plumb_putf(w, "%s\n{\"id\": \"%s\", \"title\": \"%s\",\n", i ? "," : "", f->kind->id, f->kind->title);
        put_member(w, "finding", &f->finding);
        put_member(w, "note", &f->note);
        put_member(w, "command", &f->command);
        plumb_put(w, "\"rows\": ");
        plumb_table_json(&f->table, w);
        plumb_put(w, "}");
    }
    plumb_put(w, "],\n\"missing\": [");
    for (size_t i = 0; i < r->missing_count; i++) {
        const plumb_figure_kind *kind = &plumb_figure_kinds[r->missing[i]];
        plumb_writer remedy = {0};
        plumb_figure_remedy(r, kind->remedy, &remedy);
        plumb_writer_keep(w, plumb_writer_end(&remedy));
        plumb_putf(w, "%s{\"id\": \"%s\", \"needs\": \"%s\", \"command\": ", i ? ", " : "", kind->id, kind->missing);
        plumb_put_json(w, remedy.text.data ? remedy.text.data : "", remedy.text.size);
        plumb_put(w, "}");
        plumb_writer_free(&remedy);
    }
    plumb_put(w, "]}\n");
    plumb_writer_free(&title);
}
