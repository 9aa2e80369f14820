#include "report/report.h"

#include <stdlib.h>
#include <string.h>

#include "report/report_writers.h"

plumb_status plumb_report_new(const plumb_report_options *options, plumb_report **out)
{
    plumb_report *r = NULL;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->options = *options;
    r->explain_rows = json_array();
    r->identify_rows = json_array();
    *out = r;
    return PLUMB_OK;
}

static void free_gaining(plumb_gaining *g)
{
    for (size_t i = 0; i < g->count; i++) {
        free(g->tokens[i].text);
        free(g->tokens[i].gain);
    }
    free(g->tokens);
    free(g->pairs);
    plumb_position_free(&g->map);
}

static void free_run(plumb_report_run *run)
{
    free(run->name);
    json_decref(run->record);
    plumb_ledger_file_free(&run->ledger);
    free(run->pair);
    free(run->change[0]);
    free(run->change[1]);
    free(run->metric_step);
    free(run->metrics);
    free(run->trace_keys);
    free(run->trace_changes);
    free_gaining(&run->gaining);
}

static void free_judge(plumb_report_judge *j)
{
    free(j->name);
    json_decref(j->record);
    for (size_t i = 0; i < j->category_count; i++) free(j->categories[i].name);
    free(j->categories);
}

static void free_sources(plumb_sources *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        json_decref(list->items[i].record);
    }
    free(list->items);
}

void plumb_report_free(plumb_report *r)
{
    if (!r) return;
    plumb_figures_free(r);
    for (size_t i = 0; i < r->run_count; i++) free_run(&r->runs[i]);
    for (size_t i = 0; i < r->judge_count; i++) free_judge(&r->judges[i]);
    free(r->runs);
    free(r->judges);
    free(r->pairs);
    plumb_position_free(&r->map);
    free_sources(&r->scores);
    free_sources(&r->data);
    free_sources(&r->explains);
    free_sources(&r->identifies);
    json_decref(r->explain_rows);
    json_decref(r->identify_rows);
    free(r->data_path);
    free(r->model_path);
    plumb_writer *writers[5] = {&r->texts, &r->headline, &r->verdict, &r->next, &r->next_why};
    for (size_t i = 0; i < 5; i++) plumb_writer_free(writers[i]);
    free(r);
}

plumb_status plumb_report_finish(plumb_report *r, const plumb_sink *sink)
{
    PLUMB_TRY(plumb_report_join(r));
    PLUMB_TRY(plumb_report_read_texts(r, sink));
    PLUMB_TRY(plumb_report_judge_all(r));
    return plumb_figures_draw(r);
}

plumb_status plumb_report_write(const plumb_report *r, plumb_report_format format, plumb_text *out)
{
    plumb_writer w = {.text = *out};
    if (format == PLUMB_REPORT_HTML)
        plumb_report_html(r, &w);
    else if (format == PLUMB_REPORT_MARKDOWN)
        plumb_report_markdown(r, &w);
    else
        plumb_report_json(r, &w);
    *out = w.text;
    return plumb_writer_end(&w);
}

size_t plumb_report_figures(const plumb_report *r, size_t *left_out)
{
    *left_out = r->missing_count;
    return r->figure_count;
}

const char *plumb_report_verdict(const plumb_report *r)
{
    return r->headline.text.data;
}

void plumb_report_title(const plumb_report *r, plumb_writer *w)
{
    size_t n = 0;
    for (size_t i = 0; i < r->run_count && n < 4; i++)
        if (plumb_report_has_changes(r, &r->runs[i]) || !r->runs[i].is_trace)
            plumb_putf(w, "%s%s", n++ ? ", " : "", r->runs[i].name);
    if (n) return;
    const plumb_sources *lists[] = {&r->scores, &r->explains, &r->identifies, &r->data};
    for (size_t k = 0; k < 4 && !n; k++)
        for (size_t i = 0; i < lists[k]->count && n < 4; i++)
            plumb_putf(w, "%s%s", n++ ? ", " : "", lists[k]->items[i].name);
    for (size_t i = 0; i < r->judge_count && n < 4; i++) plumb_putf(w, "%s%s", n++ ? ", " : "", r->judges[i].name);
}
