/* Inputs: what a file is, told by its first row, and reading it into the report. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/row_hash.h"
#include "io/json.h"
#include "io/output.h"
#include "io/row_walk.h"
#include "report/report_data.h"
#include "study/row_kind.h"

enum { PROGRESS_EVERY = 4096 };
static const size_t largest_document = (size_t)256 << 20;

/* ---- positions by number ---- */

static size_t slot_of(const plumb_position_map *m, int64_t key)
{
    size_t slot = (size_t)((uint64_t)key * 0x9E3779B97F4A7C15u >> 20) & (m->slots - 1);
    while (m->values[slot] && m->keys[slot] != key) slot = (slot + 1) & (m->slots - 1);
    return slot;
}

static plumb_status grow(plumb_position_map *m)
{
    plumb_position_map larger = {.slots = m->slots ? 2 * m->slots : 64, .count = m->count};
    PLUMB_TRY(plumb_new(&larger.keys, larger.slots, sizeof *larger.keys));
    plumb_status s = plumb_new(&larger.values, larger.slots, sizeof *larger.values);
    if (s) {
        free(larger.keys);
        return s;
    }
    for (size_t i = 0; i < m->slots; i++) {
        if (!m->values[i]) continue;
        size_t slot = slot_of(&larger, m->keys[i]);
        larger.keys[slot] = m->keys[i];
        larger.values[slot] = m->values[i];
    }
    plumb_position_free(m);
    *m = larger;
    return PLUMB_OK;
}

plumb_status plumb_position_get(plumb_position_map *m, int64_t key, size_t next, size_t *out)
{
    if (2 * (m->count + 1) > m->slots) PLUMB_TRY(grow(m));
    size_t slot = slot_of(m, key);
    if (!m->values[slot]) {
        m->keys[slot] = key;
        m->values[slot] = next + 1;
        m->count++;
    }
    *out = m->values[slot] - 1;
    return PLUMB_OK;
}

size_t plumb_position_find(const plumb_position_map *m, int64_t key)
{
    return m->slots ? m->values[slot_of(m, key)] - 1 : SIZE_MAX;
}

void plumb_position_free(plumb_position_map *m)
{
    free(m->keys);
    free(m->values);
    *m = (plumb_position_map){0};
}

/* Runs may be on different data (all pairs, and those that a filter kept), so a pair is its number and its hash. */
static int64_t key_of_pair(const plumb_row_key *key)
{
    return (int64_t)(key->row ^ (uint64_t)key->index * 0xD6E8FEB86659FD93u);
}

size_t plumb_report_find(const plumb_report *r, const plumb_row_key *key)
{
    return plumb_position_find(&r->map, key_of_pair(key));
}

plumb_status plumb_report_pair_at(plumb_report *r, const plumb_row_key *key, size_t *out)
{
    PLUMB_TRY(plumb_position_get(&r->map, key_of_pair(key), r->count, out));
    if (*out < r->count) return PLUMB_OK;
    PLUMB_TRY(plumb_reserve(&r->pairs, &r->capacity, r->count + 1, sizeof *r->pairs));
    plumb_report_pair *pair = &r->pairs[r->count++];
    *pair = (plumb_report_pair){.index = key->index, .row = key->row, .verdict = -1};
    for (int i = 0; i < PLUMB_REPORT_MEASURES; i++) pair->measure[i] = NAN;
    return PLUMB_OK;
}

/* ---- objects of a file ---- */

static plumb_status whole_document(const char *path, plumb_object_reader read, void *user, plumb_status why)
{
    json_t *object = NULL;
    plumb_status s = plumb_json_load(path, largest_document, &object);
    if (s || !json_is_object(object)) {
        plumb_status_free(s);
        json_decref(object);
        return why;
    }
    plumb_status_free(why);
    s = plumb_context(read(user, object), "%s", path);
    json_decref(object);
    return s;
}

static plumb_status next_object(plumb_rows *rows, const plumb_row *row, plumb_object_reader read, void *user)
{
    json_t *object = NULL;
    plumb_status s = plumb_json_parse(row->bytes, row->size, true, "", &object);
    if (!s && !json_is_object(object))
        s = plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(object));
    if (!s) s = read(user, object);
    json_decref(object);
    return plumb_context(s, "%s:%lld", plumb_rows_name(rows), (long long)row->line);
}

static plumb_status read_rows(plumb_rows *rows, const plumb_sink *sink, plumb_object_reader read, void *user,
                              int64_t *count, uint64_t *hash)
{
    plumb_row row;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_rows_next(rows, &row, &found));
        if (!found) return PLUMB_OK;
        PLUMB_TRY(next_object(rows, &row, read, user));
        *hash = plumb_add_row_hash(*hash, row.hash);
        if (++*count % PROGRESS_EVERY) continue;
        plumb_rows_progress(rows, sink);
        PLUMB_TRY(plumb_check_interrupt(sink));
    }
}

plumb_status plumb_report_objects(const char *path, const plumb_sink *sink, plumb_object_reader read, void *user,
                                  int64_t *rows, uint64_t *hash)
{
    plumb_rows *file = NULL;
    int64_t count = 0;
    uint64_t sum = 0;
    PLUMB_TRY(plumb_rows_open(path, 0, -1, &file));
    plumb_status s = read_rows(file, sink, read, user, &count, &sum);
    plumb_rows_close(file);
    if (s && count == 0 && plumb_status_code(s) == PLUMB_E_INPUT) {
        s = whole_document(path, read, user, s);
        if (!s) count = -1;
    }
    if (rows) *rows = count;
    if (hash) *hash = count < 0 ? 0 : sum;
    return s;
}

/* ---- what a file is ---- */

static bool has(const json_t *row, const char *key)
{
    return json_object_get(row, key) != NULL;
}

static bool is_score_row(const json_t *row)
{
    if (has(row, "skipped")) return true;
    for (int i = 0; i < PLUMB_REPORT_MEASURES; i++)
        if (has(row, plumb_report_measures[i].field)) return true;
    return has(row, "prompt_tokens") || (has(row, "logps/chosen") && !has(row, "step"));
}

typedef struct first_look {
    const plumb_report *report;
    plumb_row_kind kind;
} first_look;

/* Stops after the first object by a failure that is none. */
static plumb_status look(void *user, const json_t *row)
{
    first_look *l = user;
    const plumb_preference_keys *keys = &l->report->options.keys;
    if (l->kind != PLUMB_ROW_UNKNOWN) return PLUMB_OK;
    l->kind = plumb_row_kind_of(row);
    bool is_data = (has(row, keys->chosen) && has(row, keys->rejected)) || has(row, "chosen_ids");
    if ((l->kind == PLUMB_ROW_DATA && !is_data) || (l->kind == PLUMB_ROW_SCORES && !is_score_row(row)))
        l->kind = PLUMB_ROW_UNKNOWN;
    return PLUMB_OK;
}

static plumb_status unknown_input(const char *path)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: neither a run folder nor rows that plumb report knows", path),
                      "it takes run folders, what plumb score, trace, judge, explain and identify write, ledger.jsonl, "
                      "metrics.jsonl, and preference data (name its columns with --chosen_key and --rejected_key)");
}

static plumb_status kind_of_file(const plumb_report *r, const char *path, plumb_row_kind *out)
{
    first_look l = {r, PLUMB_ROW_UNKNOWN};
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    PLUMB_TRY(plumb_rows_open(path, 0, 1, &rows));
    plumb_status s = plumb_rows_next(rows, &row, &found);
    if (!s && found) s = next_object(rows, &row, look, &l);
    plumb_rows_close(rows);
    if (s && plumb_status_code(s) == PLUMB_E_INPUT) s = whole_document(path, look, &l, s);
    if (!s && !found)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there are no rows", path), "leave this file out");
    if (!s && l.kind == PLUMB_ROW_RESPONSES)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: these are %s, which a report knows only judged", path,
                                  plumb_row_kind_name(l.kind)),
                       "plumb judge %s -o judged.jsonl, and give that", path);
    if (!s && l.kind == PLUMB_ROW_UNKNOWN) s = unknown_input(path);
    *out = l.kind;
    return s;
}

/* ---- names ---- */

/* The last two parts of a path at most: enough to tell checkpoints and runs apart. */
static plumb_status short_name(const char *path, char **out)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    const char *start = path + n;
    for (int slashes = 0; start > path; start--)
        if (start[-1] == '/' && ++slashes == 2) break;
    *out = strndup(start, n - (size_t)(start - path));
    return *out ? PLUMB_OK : plumb_no_memory();
}

/* FOLDER/NAME, or PATH with a suffix, as JSON if it is there and can be read. */
static plumb_status read_record(const char *folder, const char *name, json_t **out)
{
    plumb_text path = {0};
    plumb_status s =
        *name == '.' ? plumb_text_printf(&path, "%s%s", folder, name) : plumb_path_join(&path, folder, name);
    if (!s && plumb_path_exists(path.data)) {
        plumb_status_free(
            plumb_json_load(path.data, (size_t)16 << 20, out)); /* only for commands: nothing depends on it */
        if (!json_is_object(*out)) {
            json_decref(*out);
            *out = NULL;
        }
    }
    plumb_text_free(&path);
    return s;
}

static plumb_status add_source(plumb_sources *list, const char *path)
{
    PLUMB_TRY(plumb_reserve(&list->items, &list->capacity, list->count + 1, sizeof *list->items));
    plumb_report_source *source = &list->items[list->count++];
    *source = (plumb_report_source){.path = path};
    PLUMB_TRY(short_name(path, &source->name));
    return read_record(path, ".meta.json", &source->record);
}

static plumb_status add_run(plumb_report *r, const char *path, plumb_report_run **out)
{
    PLUMB_TRY(plumb_reserve(&r->runs, &r->run_capacity, r->run_count + 1, sizeof *r->runs));
    plumb_report_run *run = &r->runs[r->run_count++];
    *run = (plumb_report_run){.path = path};
    *out = run;
    return short_name(path, &run->name);
}

/* ---- readers of one kind ---- */

typedef struct reading {
    plumb_report *report;
    plumb_report_run *run;
    plumb_report_judge *judge;
} reading;

static plumb_status read_score(void *user, const json_t *row)
{
    return plumb_report_read_score(((reading *)user)->report, row);
}

static plumb_status read_explain(void *user, const json_t *row)
{
    return plumb_report_read_explain(((reading *)user)->report, row);
}

static plumb_status read_identify(void *user, const json_t *row)
{
    json_t *rows = ((reading *)user)->report->identify_rows;
    return json_array_append(rows, (json_t *)row) ? plumb_no_memory() : PLUMB_OK;
}

static plumb_status read_metric(void *user, const json_t *row)
{
    return plumb_report_read_metric(((reading *)user)->run, row);
}

static plumb_status read_gained(void *user, const json_t *row)
{
    return plumb_report_read_gained(((reading *)user)->run, row);
}

static plumb_status read_trace(void *user, const json_t *row)
{
    reading *r = user;
    return plumb_report_read_trace(r->report, r->run, row);
}

static plumb_status read_judge(void *user, const json_t *row)
{
    return plumb_report_read_judge(((reading *)user)->judge, row);
}

/* A ledger goes through its reader first; rows with tokens are read a second time for these. */
static plumb_status read_ledger(plumb_report *r, plumb_report_run *run, const char *path, const plumb_sink *sink)
{
    PLUMB_TRY(plumb_ledger_read(path, sink, &run->ledger));
    run->has_ledger = true;
    PLUMB_TRY(plumb_new(&run->pair, run->ledger.count, sizeof *run->pair));
    for (size_t i = 0; i < run->ledger.count; i++) {
        plumb_row_key key = {run->ledger.pairs[i].index, run->ledger.pairs[i].row};
        PLUMB_TRY(plumb_report_pair_at(r, &key, &run->pair[i]));
        r->pairs[run->pair[i]].in_run = true;
    }
    if (!run->ledger.has_tokens) return PLUMB_OK;
    run->gaining.steps = run->ledger.step_count;
    PLUMB_TRY(plumb_new(&run->gaining.pairs, run->gaining.steps, sizeof *run->gaining.pairs));
    reading into = {r, run, NULL};
    return plumb_report_objects(path, sink, read_gained, &into, NULL, NULL);
}

/* Not so with a reward model's ledger, and KTO's of unpaired rows. */
static plumb_status ledger_of_pairs(const char *path, bool *out)
{
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    json_t *object = NULL;
    PLUMB_TRY(plumb_rows_open(path, 0, 1, &rows));
    plumb_status s = plumb_rows_next(rows, &row, &found);
    if (!s && found) s = plumb_context(plumb_json_parse(row.bytes, row.size, true, "", &object), "%s", path);
    *out = has(object, "logps/chosen") || !(has(object, "logps") || has(object, "reward/chosen"));
    json_decref(object);
    plumb_rows_close(rows);
    return s;
}

static plumb_status read_folder(plumb_report *r, const char *path, const plumb_sink *sink)
{
    plumb_text metrics = {0}, ledger = {0};
    plumb_report_run *run = NULL;
    struct stat about;
    plumb_status s;
    PLUMB_GO(plumb_path_join(&metrics, path, "metrics.jsonl"));
    PLUMB_GO(plumb_path_join(&ledger, path, "ledger.jsonl"));
    bool has_metrics = stat(metrics.data, &about) == 0 && about.st_size > 0;
    bool has_ledger = stat(ledger.data, &about) == 0 && about.st_size > 0;
    if (!has_metrics && !has_ledger) {
        s = plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: no run: metrics.jsonl and ledger.jsonl are missing or empty", path),
            "give the folder that plumb dpo or another training command wrote with -o");
        goto done;
    }
    PLUMB_GO(add_run(r, path, &run));
    PLUMB_GO(read_record(path, "run.json", &run->record));
    reading into = {r, run, NULL};
    if (has_metrics) PLUMB_GO(plumb_report_objects(metrics.data, sink, read_metric, &into, NULL, NULL));
    if (has_ledger) PLUMB_GO(ledger_of_pairs(ledger.data, &has_ledger));
    if (has_ledger) PLUMB_GO(read_ledger(r, run, ledger.data, sink));
done:
    plumb_text_free(&metrics);
    plumb_text_free(&ledger);
    return s;
}

static plumb_status add_judge(plumb_report *r, const char *path, plumb_report_judge **out)
{
    PLUMB_TRY(plumb_reserve(&r->judges, &r->judge_capacity, r->judge_count + 1, sizeof *r->judges));
    *out = &r->judges[r->judge_count++];
    **out = (plumb_report_judge){.path = path};
    PLUMB_TRY(short_name(path, &(*out)->name));
    return read_record(path, ".meta.json", &(*out)->record);
}

static plumb_status read_file(plumb_report *r, const char *path, plumb_row_kind kind, const plumb_sink *sink,
                              int64_t *rows, uint64_t *hash)
{
    reading into = {.report = r};
    switch (kind) {
    case PLUMB_ROW_SCORES:
        PLUMB_TRY(add_source(&r->scores, path));
        return plumb_report_objects(path, sink, read_score, &into, rows, hash);
    case PLUMB_ROW_EXPLAIN:
        PLUMB_TRY(add_source(&r->explains, path));
        return plumb_report_objects(path, sink, read_explain, &into, rows, hash);
    case PLUMB_ROW_IDENTIFY:
        PLUMB_TRY(add_source(&r->identifies, path));
        return plumb_report_objects(path, sink, read_identify, &into, rows, hash);
    case PLUMB_ROW_JUDGE:
        PLUMB_TRY(add_judge(r, path, &into.judge));
        return plumb_report_objects(path, sink, read_judge, &into, rows, hash);
    case PLUMB_ROW_DATA: /* its texts are read once the pairs are known whose texts are needed */
        return add_source(&r->data, path);
    default:
        break;
    }
    PLUMB_TRY(add_run(r, path, &into.run));
    PLUMB_TRY(read_record(path, ".meta.json", &into.run->record));
    if (kind == PLUMB_ROW_LEDGER) return read_ledger(r, into.run, path, sink);
    if (kind == PLUMB_ROW_METRICS) return plumb_report_objects(path, sink, read_metric, &into, rows, hash);
    into.run->is_trace = true;
    into.run->gaining.steps = 1;
    PLUMB_TRY(plumb_new(&into.run->gaining.pairs, 1, sizeof(int64_t)));
    return plumb_report_objects(path, sink, read_trace, &into, rows, hash);
}

plumb_status plumb_report_add(plumb_report *r, const char *path, const plumb_sink *sink, int64_t *rows, uint64_t *hash)
{
    struct stat about;
    plumb_row_kind kind = PLUMB_ROW_UNKNOWN;
    *rows = -1;
    *hash = 0;
    if (strcmp(path, "-") == 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "- is stdin, and a report looks at its inputs more than once"),
                          "save it to a file first");
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return read_folder(r, path, sink);
    PLUMB_TRY(kind_of_file(r, path, &kind));
    return read_file(r, path, kind, sink, rows, hash);
}
