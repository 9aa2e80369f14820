/* After the last input: pairs in order, changes by run, the pairs that the page can open, and their texts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/row_hash.h"
#include "io/json.h"
#include "io/output.h"
#include "io/rows.h"
#include "report/report_data.h"
#include "study/statistics.h"

/* More pairs than this are sampled; what falls most, scores highest or is explained is there in any case. */
enum { MOST_SHOWN = 800, EXTREMES = 60, TEXT_BUDGET = 800000, LEAST_TEXT = 240, MOST_TEXT = 4000 };

/* ---- order ---- */

typedef struct placed {
    plumb_report_pair pair;
    size_t before;
} placed;

static int by_index(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->pair.index != y->pair.index) return x->pair.index < y->pair.index ? -1 : 1;
    return x->before < y->before ? -1 : x->before > y->before;
}

static plumb_status sort_pairs(plumb_report *r)
{
    placed *all = NULL;
    PLUMB_TRY(plumb_new(&all, r->count, sizeof *all));
    for (size_t i = 0; i < r->count; i++) all[i] = (placed){r->pairs[i], i};
    if (r->count) qsort(all, r->count, sizeof *all, by_index);
    plumb_position_map map = {0};
    plumb_status s = PLUMB_OK;
    size_t at;
    for (size_t i = 0; !s && i < r->count; i++) {
        r->pairs[i] = all[i].pair;
        s = plumb_position_get(&map, (int64_t)all[i].before, i, &at);
    }
    for (size_t k = 0; !s && k < r->run_count; k++) {
        plumb_report_run *run = &r->runs[k];
        for (size_t i = 0; i < run->ledger.count; i++) run->pair[i] = plumb_position_find(&map, (int64_t)run->pair[i]);
    }
    /* Positions of the report's own map are the old ones: through the same permutation. */
    for (size_t i = 0; !s && i < r->map.slots; i++)
        if (r->map.values[i]) r->map.values[i] = plumb_position_find(&map, (int64_t)r->map.values[i] - 1) + 1;
    plumb_position_free(&map);
    free(all);
    return s;
}

/* Scores, traces and explanations must be of data that a run saw: an index that only other data have is a mix-up. */
static plumb_status check_same_data(const plumb_report *r)
{
    bool any_ledger = false;
    for (size_t i = 0; i < r->count; i++) any_ledger = any_ledger || r->pairs[i].in_run;
    for (size_t i = 0; i < r->count;) {
        size_t end = i + 1;
        bool in_run = r->pairs[i].in_run;
        const plumb_report_pair *stranger = r->pairs[i].in_run ? NULL : &r->pairs[i], *known = &r->pairs[i];
        for (; end < r->count && r->pairs[end].index == r->pairs[i].index; end++) {
            in_run = in_run || r->pairs[end].in_run;
            if (r->pairs[end].in_run)
                known = &r->pairs[end];
            else
                stranger = &r->pairs[end];
        }
        if (stranger && end - i > 1 && (in_run || !any_ledger)) {
            if (stranger == known) known = &r->pairs[i];
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "row %lld is %016llx in one input and %016llx in another",
                                         (long long)stranger->index, (unsigned long long)known->row,
                                         (unsigned long long)stranger->row),
                              "scores, traces and explanations must be made from the data file of a run that is given; "
                              "after plumb filter, score the rows that it kept");
        }
        i = end;
    }
    return PLUMB_OK;
}

/* ---- changes ---- */

bool plumb_report_has_changes(const plumb_report *r, const plumb_report_run *run)
{
    if (!run->changes) return false;
    if (!run->is_trace) return true;
    for (size_t i = 0; i < r->run_count; i++)
        if (r->runs[i].changes && !r->runs[i].is_trace) return false;
    return true;
}

size_t plumb_report_changed_runs(const plumb_report *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->run_count; i++) n += plumb_report_has_changes(r, &r->runs[i]);
    return n;
}

/* From the first evaluation of a pair to its last; a ledger of one evaluation is taken against the reference. */
static double ledger_change(const plumb_ledger_file *l, int side, size_t pair)
{
    double first = NAN, last = NAN;
    size_t seen = 0;
    for (size_t t = 0; t < l->step_count; t++) {
        double value = l->logps[side][t * l->count + pair];
        if (isnan(value)) continue;
        if (!seen++) first = value;
        last = value;
    }
    if (seen == 1 && l->steps[0] != 0 && l->ref_logps[side])
        for (size_t t = 0; t < l->step_count; t++)
            if (isfinite(l->ref_logps[side][t * l->count + pair])) first = l->ref_logps[side][t * l->count + pair];
    return seen > 1 || (seen == 1 && l->steps[0] != 0 && l->ref_logps[side]) ? last - first : NAN;
}

static plumb_status join_run(plumb_report *r, plumb_report_run *run)
{
    for (int side = 0; side < 2; side++) {
        PLUMB_TRY(plumb_new(&run->change[side], r->count, sizeof(double)));
        for (size_t i = 0; i < r->count; i++) run->change[side][i] = NAN;
        for (size_t i = 0; i < run->ledger.count; i++)
            run->change[side][run->pair[i]] = ledger_change(&run->ledger, side, i);
        for (size_t i = 0; i < run->trace_count; i++)
            run->change[side][plumb_report_find(r, &run->trace_keys[i])] = run->trace_changes[2 * i + (size_t)side];
    }
    for (size_t i = 0; i < r->count; i++) run->changes += isfinite(run->change[0][i]) && isfinite(run->change[1][i]);
    return PLUMB_OK;
}

/* The gate's scores at the first evaluation stand in where no score file is given. */
static void scores_from_gate(plumb_report *r)
{
    for (size_t k = 0; k < r->run_count; k++) {
        const plumb_ledger_file *l = &r->runs[k].ledger;
        if (!l->ln_ches) continue;
        for (size_t i = 0; i < l->count; i++) {
            plumb_report_pair *pair = &r->pairs[r->runs[k].pair[i]];
            for (size_t t = 0; t < l->step_count && isnan(pair->measure[PLUMB_LN_CHES]); t++)
                pair->measure[PLUMB_LN_CHES] = l->ln_ches[t * l->count + i];
            pair->scored = pair->scored || isfinite(pair->measure[PLUMB_LN_CHES]);
        }
    }
}

/* ---- the sample ---- */

/* Shows the pairs with the largest values; NaN has none. */
static plumb_status show_largest(plumb_report *r, const double *values, double sign)
{
    double *sorted = NULL;
    size_t n = 0;
    PLUMB_TRY(plumb_new(&sorted, r->count, sizeof *sorted));
    for (size_t i = 0; i < r->count; i++)
        if (isfinite(values[i])) sorted[n++] = sign * values[i];
    plumb_sort_doubles(sorted, n);
    double bound = n > EXTREMES ? sorted[n - EXTREMES] : -INFINITY;
    free(sorted);
    size_t taken = 0;
    for (size_t i = 0; i < r->count && taken < EXTREMES; i++) {
        if (!isfinite(values[i]) || sign * values[i] < bound) continue;
        r->pairs[i].shown = true;
        taken++;
    }
    return PLUMB_OK;
}

/* The same pairs on every machine and with every order of inputs: those whose mixed hash is smallest. */
static double lot(const plumb_report_pair *pair)
{
    uint64_t x = (pair->row ^ (uint64_t)pair->index) * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9u;
    return (double)(x >> 11);
}

static plumb_status show_random(plumb_report *r, size_t most)
{
    double *lots = NULL;
    PLUMB_TRY(plumb_new(&lots, r->count, sizeof *lots));
    for (size_t i = 0; i < r->count; i++) lots[i] = lot(&r->pairs[i]);
    plumb_sort_doubles(lots, r->count);
    double bound = lots[most - 1];
    free(lots);
    for (size_t i = 0; i < r->count; i++)
        if (lot(&r->pairs[i]) <= bound) {
            r->pairs[i].shown = true;
            r->pairs[i].drawn = true;
        }
    return PLUMB_OK;
}

static plumb_status choose_shown(plumb_report *r)
{
    bool all = r->count <= MOST_SHOWN;
    double *scores = NULL;
    for (size_t i = 0; i < r->count; i++) {
        r->pairs[i].shown = all || r->pairs[i].explain;
        r->pairs[i].drawn = all;
    }
    plumb_status s = all ? PLUMB_OK : show_random(r, MOST_SHOWN);
    for (size_t k = 0; !all && !s && k < r->run_count; k++)
        if (plumb_report_has_changes(r, &r->runs[k])) s = show_largest(r, r->runs[k].change[0], -1);
    if (!all && !s) s = plumb_new(&scores, r->count, sizeof *scores);
    for (size_t i = 0; scores && i < r->count; i++) scores[i] = r->pairs[i].measure[PLUMB_LN_CHES];
    if (scores && !s) s = show_largest(r, scores, 1);
    free(scores);
    for (size_t i = 0; i < r->count; i++) r->shown += r->pairs[i].shown;
    size_t limit = r->shown ? TEXT_BUDGET / (PLUMB_REPORT_TEXTS * r->shown) : MOST_TEXT;
    r->text_limit = limit < LEAST_TEXT ? LEAST_TEXT : limit > MOST_TEXT ? MOST_TEXT : limit;
    return s;
}

static plumb_status recorded_path(const json_t *record, const char *key, char **out)
{
    const json_t *value = json_object_get(record, key);
    if (json_is_array(value)) value = json_array_get(value, 0);
    const char *path = json_string_value(json_object_get(value, "path"));
    if (*out || !path) return PLUMB_OK;
    *out = strdup(path);
    return *out ? PLUMB_OK : plumb_no_memory();
}

/* rloo, grpo and ppo have prompts as their data, and pairs in their ledger. */
static plumb_status recorded_pairs(const json_t *record, char **out)
{
    if (json_object_get(record, "ledger_data")) return recorded_path(record, "ledger_data", out);
    const char *command = json_string_value(json_object_get(record, "command"));
    bool prompts =
        command && (strcmp(command, "rloo") == 0 || strcmp(command, "grpo") == 0 || strcmp(command, "ppo") == 0);
    return prompts ? PLUMB_OK : recorded_path(record, "data", out);
}

static plumb_status recorded_paths(plumb_report *r, const json_t *record)
{
    if (!record) return PLUMB_OK;
    bool known = r->data_path != NULL;
    PLUMB_TRY(recorded_pairs(record, &r->data_path));
    if (!known && r->data_path) r->data_record = record;
    return recorded_path(record, "model", &r->model_path);
}

plumb_status plumb_report_join(plumb_report *r)
{
    PLUMB_TRY(sort_pairs(r));
    PLUMB_TRY(check_same_data(r));
    for (size_t k = 0; k < r->run_count; k++) PLUMB_TRY(join_run(r, &r->runs[k]));
    scores_from_gate(r);
    for (size_t i = 0; i < r->count; i++) {
        r->scored += r->pairs[i].scored;
        r->skipped += r->pairs[i].skipped && !r->pairs[i].scored;
    }
    if (r->data.count) {
        r->data_path = strdup(r->data.items[0].path);
        if (!r->data_path) return plumb_no_memory();
    }
    for (size_t k = 0; k < r->run_count; k++) PLUMB_TRY(recorded_paths(r, r->runs[k].record));
    for (size_t k = 0; k < r->scores.count; k++) PLUMB_TRY(recorded_paths(r, r->scores.items[k].record));
    return choose_shown(r);
}

/* ---- texts ---- */

static plumb_status keep_text(plumb_report *r, plumb_report_pair *pair, int which, const char *bytes, size_t n)
{
    pair->text[which] = r->texts.text.size;
    plumb_put_visible(&r->texts, bytes, n, r->text_limit, &pair->cut[which]);
    pair->text_size[which] = r->texts.text.size - pair->text[which];
    return plumb_writer_end(&r->texts);
}

/* Messages as "role: content", one after another. */
static void join_messages(const json_t *messages, plumb_writer *w)
{
    size_t i;
    const json_t *message;
    json_array_foreach(messages, i, message)
    {
        const json_t *role = json_object_get(message, "role"), *content = json_object_get(message, "content");
        if (i) plumb_put(w, "\n");
        if (json_array_size(messages) > 1 ||
            strcmp(json_string_value(role) ? json_string_value(role) : "", "user") == 0)
            plumb_putf(w, "%s: ", json_string_value(role) ? json_string_value(role) : "?");
        if (json_is_string(content)) plumb_put_bytes(w, json_string_value(content), json_string_length(content));
    }
}

static plumb_status keep_messages(plumb_report *r, plumb_report_pair *pair, int which, const json_t *messages)
{
    plumb_writer w = {0};
    join_messages(messages, &w);
    plumb_status s = plumb_writer_end(&w);
    if (!s) s = keep_text(r, pair, which, w.text.data ? w.text.data : "", w.text.size);
    plumb_writer_free(&w);
    return s;
}

static plumb_status keep_preference(plumb_report *r, plumb_report_pair *pair, const plumb_preference *p)
{
    if (p->form == PLUMB_FORM_IDS) return PLUMB_OK;
    pair->has_texts = true;
    r->with_texts++;
    if (p->form == PLUMB_FORM_TEXT) {
        PLUMB_TRY(keep_text(r, pair, PLUMB_TEXT_PROMPT, p->prompt ? p->prompt : "", p->prompt_size));
        PLUMB_TRY(keep_text(r, pair, PLUMB_TEXT_CHOSEN, p->response[0], p->response_size[0]));
        return keep_text(r, pair, PLUMB_TEXT_REJECTED, p->response[1], p->response_size[1]);
    }
    PLUMB_TRY(keep_messages(r, pair, PLUMB_TEXT_PROMPT, p->prompt_messages));
    PLUMB_TRY(keep_messages(r, pair, PLUMB_TEXT_CHOSEN, p->response_messages[0]));
    return keep_messages(r, pair, PLUMB_TEXT_REJECTED, p->response_messages[1]);
}

static plumb_status read_pair_texts(plumb_report *r, const plumb_row *row, int64_t *fitting)
{
    plumb_row_key key = {row->index, row->hash};
    size_t at = plumb_report_find(r, &key);
    if (at == SIZE_MAX) return PLUMB_OK;
    ++*fitting;
    if (!r->pairs[at].shown || r->pairs[at].has_texts) return PLUMB_OK;
    plumb_preference p = {0};
    plumb_status s = plumb_preference_parse(row->bytes, row->size, &r->options.keys, &p);
    if (!s) s = keep_preference(r, &r->pairs[at], &p);
    plumb_preference_clear(&p);
    return s;
}

static plumb_status read_data(plumb_report *r, const char *path, const plumb_sink *sink, int64_t *fitting)
{
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = true;
    PLUMB_TRY(plumb_rows_open(path, 0, -1, &rows));
    plumb_status s = PLUMB_OK;
    while (!s) {
        s = plumb_rows_next(rows, &row, &found);
        if (s || !found) break;
        s = plumb_context(read_pair_texts(r, &row, fitting), "%s:%lld", path, (long long)row.line);
        if (!s && row.index % 4096 == 4095) s = plumb_check_interrupt(sink);
    }
    plumb_rows_close(rows);
    return s;
}

/* Texts that plumb explain wrote with its tokens. */
static plumb_status texts_of_explains(plumb_report *r)
{
    static const char *const names[PLUMB_REPORT_TEXTS] = {"prompt", "chosen", "rejected"};
    for (size_t i = 0; i < r->count; i++) {
        plumb_report_pair *pair = &r->pairs[i];
        if (!pair->explain || pair->has_texts || !pair->shown) continue;
        for (int k = 0; k < PLUMB_REPORT_TEXTS; k++) {
            const json_t *text = json_object_get(json_object_get(pair->explain, names[k]), "text");
            bool is_text = json_is_string(text);
            PLUMB_TRY(
                keep_text(r, pair, k, is_text ? json_string_value(text) : "", is_text ? json_string_length(text) : 0));
        }
        pair->has_texts = true;
        r->with_texts++;
    }
    return PLUMB_OK;
}

/* Data that a record names are read with the columns that it records. */
static void recorded_keys(plumb_report *r)
{
    static const char *const ways[] = {"none", "turn", "word"}; /* as plumb_implicit_prompt */
    plumb_preference_keys *keys = &r->options.keys;
    const json_t *options = json_object_get(r->data_record, "options");
    const char *prompt = json_string_value(json_object_get(options, "prompt_key"));
    const char *chosen = json_string_value(json_object_get(options, "chosen_key"));
    const char *rejected = json_string_value(json_object_get(options, "rejected_key"));
    const char *implicit = json_string_value(json_object_get(options, "implicit_prompt"));
    if (prompt) keys->prompt = prompt;
    if (chosen) keys->chosen = chosen;
    if (rejected) keys->rejected = rejected;
    for (int i = 0; implicit && i < 3; i++)
        if (strcmp(implicit, ways[i]) == 0) keys->implicit = (plumb_implicit_prompt)i;
}

plumb_status plumb_report_read_texts(plumb_report *r, const plumb_sink *sink)
{
    for (size_t i = 0; i < r->data.count; i++) {
        const char *path = r->data.items[i].path;
        int64_t fitting = 0;
        PLUMB_TRY(read_data(r, path, sink, &fitting));
        if (r->count && !fitting)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: none of its rows is a pair of the other inputs", path),
                              "give the data file that was scored and trained on, unchanged");
    }
    PLUMB_TRY(texts_of_explains(r));
    if (r->data.count || !r->data_path || !r->shown || r->with_texts == r->shown) return PLUMB_OK;
    int64_t fitting = 0;
    recorded_keys(r);
    plumb_status s = plumb_path_exists(r->data_path) ? read_data(r, r->data_path, sink, &fitting) : PLUMB_OK;
    if (s && plumb_status_code(s) != PLUMB_E_INPUT) return s;
    if (s || !fitting)
        plumb_note(sink, "the pairs' texts are left out: %s, which the records name, %s; give the data file too",
                   r->data_path,
                   s                                 ? "cannot be read"
                   : plumb_path_exists(r->data_path) ? "has other rows"
                                                     : "is not there");
    plumb_status_free(s);
    return PLUMB_OK;
}
