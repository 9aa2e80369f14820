#include "study/lint.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/row_hash.h"
#include "io/json.h"
#include "io/row_walk.h"
#include "study/lint_internal.h"
#include "study/lint_seen.h"

enum { PROGRESS_EVERY = 256 };

/* ---- findings as text ---- */

/* Messages may quote what stands in the data; a finding is one line whatever that is. */
static plumb_status append_one_line(plumb_text *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        bool control = (unsigned char)*p < ' ' || *p == 0x7F;
        PLUMB_TRY(plumb_text_append(out, control ? " " : p, 1));
    }
    return PLUMB_OK;
}

plumb_status plumb_finding_line(const plumb_finding *f, const char *file, plumb_text *out)
{
    PLUMB_TRY(plumb_text_printf(out, "%s:%" PRId64 ": %s %s: ", file, f->line, f->rule->code, f->rule->name));
    PLUMB_TRY(append_one_line(out, f->message.data));
    PLUMB_TRY(plumb_text_string(out, "; "));
    PLUMB_TRY(append_one_line(out, f->dropped ? "dropped" : f->cure));
    return plumb_text_string(out, "\n");
}

static plumb_status append_member(plumb_text *out, const char *key, const char *value)
{
    PLUMB_TRY(plumb_text_printf(out, "\"%s\": ", key));
    PLUMB_TRY(plumb_json_quote(out, value, strlen(value)));
    return plumb_text_string(out, ", ");
}

plumb_status plumb_finding_json(const plumb_finding *f, const char *file, bool fix, plumb_text *out)
{
    PLUMB_TRY(plumb_text_string(out, "{"));
    PLUMB_TRY(append_member(out, "code", f->rule->code));
    PLUMB_TRY(append_member(out, "name", f->rule->name));
    PLUMB_TRY(append_member(out, "severity", f->rule->severity == PLUMB_ERROR ? "error" : "warning"));
    PLUMB_TRY(append_member(out, "file", file));
    PLUMB_TRY(plumb_text_printf(out, "\"line\": %" PRId64 ", \"index\": %" PRId64 ", \"row\": \"%016" PRIx64 "\", ",
                                f->line, f->index, f->row));
    PLUMB_TRY(append_member(out, "message", f->message.data));
    PLUMB_TRY(append_member(out, "cure", f->cure));
    PLUMB_TRY(plumb_text_printf(out, "\"fixable\": %s", f->rule->fixable ? "true" : "false"));
    if (fix) PLUMB_TRY(plumb_text_printf(out, ", \"dropped\": %s", f->dropped ? "true" : "false"));
    return plumb_text_string(out, "}\n");
}

/* ---- rows ---- */

struct plumb_lint {
    plumb_lint_options options;
    plumb_special_tokens *special;
    plumb_seen *seen;
    plumb_lint_row row;
    int64_t first_line;
    plumb_preference_form first_form;
    plumb_finding findings[PLUMB_LINT_MOST_RULES];
};

plumb_status plumb_lint_new(const plumb_lint_options *options, plumb_lint **out)
{
    plumb_lint *l = NULL;
    *out = NULL;
    PLUMB_TRY(plumb_new(&l, 1, sizeof *l));
    l->options = *options;
    plumb_status s = plumb_special_tokens_new(options->pairing.encoder, &l->special);
    if (!s) s = plumb_seen_new(&l->seen);
    if (s) {
        plumb_lint_free(l);
        return s;
    }
    l->row.options = &l->options;
    l->row.special = l->special;
    *out = l;
    return PLUMB_OK;
}

void plumb_lint_free(plumb_lint *l)
{
    if (!l) return;
    plumb_status_free(l->row.problem);
    plumb_preference_clear(&l->row.preference);
    plumb_pair_free(&l->row.pair);
    for (int i = 0; i < PLUMB_LINT_MOST_RULES; i++) plumb_text_free(&l->findings[i].message);
    plumb_special_tokens_free(l->special);
    plumb_seen_free(l->seen);
    free(l);
}

/* Brings the row as far as it comes. A problem of the row is kept for the rules; any other is returned. */
static plumb_status read_row(plumb_lint *l, const plumb_row *source)
{
    plumb_lint_row *r = &l->row;
    r->source = source;
    r->stage = PLUMB_LINT_BYTES;
    r->first_line = r->same_line = r->swapped_line = 0;
    plumb_status_free(r->problem);
    plumb_preference_clear(&r->preference);
    r->problem = plumb_preference_parse(source->bytes, source->size, &l->options.keys, &r->preference);
    if (json_is_object(r->preference.row)) r->stage = PLUMB_LINT_JSON;
    if (!r->problem) {
        r->stage = PLUMB_LINT_FORM;
        r->problem = plumb_pair_make(&l->options.pairing, &r->preference, &r->pair);
    }
    if (!r->problem) r->stage = PLUMB_LINT_PAIR;
    if (!r->problem || plumb_status_code(r->problem) == PLUMB_E_INPUT) return PLUMB_OK;
    plumb_status s = r->problem;
    r->problem = NULL;
    return s;
}

/* What the model sees of a part of the pair. */
static XXH128_hash_t hash_part(const plumb_text *text, const plumb_ids *ids, bool is_ids)
{
    return is_ids ? XXH3_128bits(ids->data, ids->count * sizeof *ids->data) : XXH3_128bits(text->data, text->size);
}

/* Looks the pair up among those before, as it is and with its sides swapped, and adds it. */
static plumb_status compare_pair(plumb_lint *l)
{
    plumb_lint_row *r = &l->row;
    bool is_ids = r->preference.form == PLUMB_FORM_IDS;
    XXH128_hash_t part[3] = {hash_part(&r->pair.prompt_text, &r->pair.prompt_ids, is_ids)}, key, swapped;
    for (int s = 0; s < 2; s++) part[1 + s] = hash_part(&r->pair.text[s], &r->preference.response_ids[s], is_ids);
    key = XXH3_128bits(part, sizeof part);
    swapped = XXH3_128bits((XXH128_hash_t[]){part[0], part[2], part[1]}, sizeof part);
    r->same_line = plumb_seen_find(l->seen, key);
    r->swapped_line = plumb_seen_find(l->seen, swapped);
    return r->same_line ? PLUMB_OK : plumb_seen_add(l->seen, key, r->source->line);
}

static plumb_status compare_row(plumb_lint *l)
{
    plumb_lint_row *r = &l->row;
    if (r->stage < PLUMB_LINT_FORM) return PLUMB_OK;
    r->first_line = l->first_line;
    r->first_form = l->first_form;
    if (!l->first_line) {
        l->first_line = r->source->line;
        l->first_form = r->preference.form;
    }
    return r->stage == PLUMB_LINT_PAIR ? compare_pair(l) : PLUMB_OK;
}

plumb_status plumb_lint_next(plumb_lint *l, const plumb_row *row, const plumb_finding **findings, size_t *count)
{
    size_t rule_count;
    const plumb_lint_rule *rules = plumb_lint_rules(&rule_count);
    *findings = l->findings;
    *count = 0;
    PLUMB_TRY(read_row(l, row));
    PLUMB_TRY(compare_row(l));
    for (size_t i = 0; i < rule_count; i++) {
        if (!(l->options.rules >> i & 1) || l->row.stage < rules[i].stage) continue;
        plumb_finding *f = &l->findings[*count];
        plumb_text_clear(&f->message);
        *f = (plumb_finding){&rules[i], row->index, row->line, row->hash, f->message, rules[i].cure, false};
        PLUMB_TRY(rules[i].check(&l->row, f));
        *count += f->message.size > 0;
    }
    return PLUMB_OK;
}

/* ---- a whole file ---- */

/* The first finding that lets the fix drop the row; NULL: the row stays. */
static const plumb_finding *reason_to_drop(const plumb_lint_job *job, const plumb_finding *findings, size_t count)
{
    for (size_t i = 0; job->fix && i < count; i++)
        if (findings[i].rule->fixable) return &findings[i];
    return NULL;
}

static plumb_status tell(const plumb_lint_job *job, const plumb_finding *findings, size_t count, bool dropped,
                         plumb_lint_report *report)
{
    size_t rule_count;
    const plumb_lint_rule *rules = plumb_lint_rules(&rule_count);
    for (size_t i = 0; i < count; i++) {
        if (dropped && !findings[i].rule->fixable) continue;
        plumb_finding told = findings[i]; /* borrows the message */
        told.dropped = dropped;
        report->findings++;
        report->fixable += told.rule->fixable;
        report->counts[told.rule - rules]++;
        PLUMB_TRY(job->emit(job->user, &told));
    }
    return PLUMB_OK;
}

static plumb_status lint_row(const plumb_lint_job *job, plumb_lint *lint, const plumb_row *row,
                             plumb_lint_report *report)
{
    size_t count, rule_count;
    const plumb_finding *findings;
    PLUMB_TRY(plumb_lint_next(lint, row, &findings, &count));
    const plumb_finding *reason = reason_to_drop(job, findings, count);
    report->faulty += count > 0;
    if (reason) {
        report->dropped++;
        report->dropped_counts[reason->rule - plumb_lint_rules(&rule_count)]++;
    } else if (job->fixed) {
        PLUMB_TRY(plumb_output_write(job->fixed, row->bytes, row->size));
        PLUMB_TRY(plumb_output_write(job->fixed, row->line_end, strlen(row->line_end)));
    }
    return tell(job, findings, count, reason != NULL, report);
}

static plumb_status lint_rows(const plumb_lint_job *job, plumb_lint *lint, plumb_rows *rows, const plumb_sink *sink,
                              plumb_lint_report *report)
{
    plumb_row row;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(sink));
        PLUMB_TRY(plumb_rows_next(rows, &row, &found));
        if (!found) break;
        PLUMB_TRY(lint_row(job, lint, &row, report));
        report->data_hash = plumb_add_row_hash(report->data_hash, row.hash);
        if (report->rows++ % PROGRESS_EVERY == 0) plumb_rows_progress(rows, sink);
    }
    if (report->rows) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there are no rows%s", plumb_rows_name(rows),
                                 job->begin || job->end >= 0 ? " in this range" : " in it"),
                      "rows are counted from 0, blank lines are not counted");
}

plumb_status plumb_lint_run(const plumb_lint_job *job, const plumb_sink *sink, plumb_lint_report *report)
{
    plumb_rows *rows = NULL;
    plumb_lint *lint = NULL;
    *report = (plumb_lint_report){0};
    PLUMB_TRY(plumb_rows_open(job->data, job->begin, job->end, &rows));
    plumb_status s = plumb_lint_new(&job->options, &lint);
    if (!s) s = lint_rows(job, lint, rows, sink, report);
    plumb_lint_free(lint);
    plumb_rows_close(rows);
    return s;
}
