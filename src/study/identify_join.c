/* plumb identify: reading its files and joining their rows. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "align/measures.h"
#include "io/row_walk.h"
#include "study/identify_internal.h"
#include "study/ledger_reader.h"
#include "study/row_key.h"

void plumb_identify_join_free(plumb_identify_join *j, size_t file_count)
{
    for (size_t f = 0; j->files && f < file_count; f++) free(j->files[f].fields);
    free(j->hashes);
    free(j->labels);
    plumb_arena_free(&j->arena);
    *j = (plumb_identify_join){0};
}

const double *plumb_identify_values(const plumb_identify_scores *scores, const char *name)
{
    for (size_t i = 0; i < scores->count; i++)
        if (strcmp(scores->fields[i].name, name) == 0) return scores->fields[i].values;
    return NULL;
}

/* ---- going through a file ---- */

typedef struct reading {
    const plumb_identify_options *o;
    plumb_identify_join *j;
    plumb_identify_file *file;
    plumb_identify_scores *scores;
} reading;

static plumb_status read_file(reading *r, int64_t begin, int64_t end, plumb_status (*read)(void *, const plumb_row *),
                              const plumb_sink *sink)
{
    plumb_row_walk walk = {.path = r->file->path, .begin = begin, .end = end, .sink = sink, .use = read, .user = r};
    PLUMB_TRY(plumb_row_walk_all(&walk));
    r->file->hash = walk.hash;
    return PLUMB_OK;
}

/* ---- labels ---- */

static plumb_status read_label(const json_t *value, const char *key, uint8_t *out)
{
    const char *label = json_string_value(value);
    *out = PLUMB_LABEL_NONE;
    if (!value || json_is_null(value)) return PLUMB_OK;
    if (!label)
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a label such as \"refusal\" or \"compliance\"", key,
                          plumb_json_kind(value));
    *out = strcmp(label, "refusal") == 0      ? PLUMB_LABEL_REFUSAL
           : strcmp(label, "compliance") == 0 ? PLUMB_LABEL_COMPLIANCE
                                              : PLUMB_LABEL_OTHER;
    return PLUMB_OK;
}

/* The labels of both sides in one column: a list, or an object by side. */
static plumb_status read_column(const json_t *value, const char *key, uint8_t out[2])
{
    static const char *const sides[2] = {"chosen", "rejected"};
    bool is_list = json_is_array(value) && json_array_size(value) == 2;
    if (!is_list && !json_is_object(value))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected the labels of both sides", key,
                                     json_is_array(value) ? "a list of another length than 2" : plumb_json_kind(value)),
                          "write [\"refusal\", \"compliance\"], or give two columns: --classes_key CHOSEN REJECTED");
    for (size_t side = 0; side < 2; side++)
        PLUMB_TRY(
            read_label(is_list ? json_array_get(value, side) : json_object_get(value, sides[side]), key, &out[side]));
    return PLUMB_OK;
}

static plumb_status read_labels(const plumb_identify_options *o, const json_t *object, uint8_t out[2])
{
    if (!json_is_object(object))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(object));
    for (size_t i = 0; i < o->class_key_count; i++) {
        const json_t *value = json_object_get(object, o->class_keys[i]);
        if (!value) return plumb_fail(PLUMB_E_INPUT, "there is no column \"%s\"", o->class_keys[i]);
        PLUMB_TRY(o->class_key_count == 1 ? read_column(value, o->class_keys[i], out)
                                          : read_label(value, o->class_keys[i], &out[i]));
    }
    return PLUMB_OK;
}

/* ---- data ---- */

static plumb_status read_data_row(void *user, const plumb_row *row)
{
    reading *r = user;
    plumb_identify_join *j = r->j;
    PLUMB_TRY(plumb_reserve(&j->hashes, &j->hash_room, j->rows + 1, sizeof *j->hashes));
    PLUMB_TRY(plumb_reserve(&j->labels, &j->label_room, 2 * (j->rows + 1), sizeof *j->labels));
    uint8_t *labels = j->labels + 2 * j->rows;
    labels[0] = labels[1] = PLUMB_LABEL_NONE;
    if (r->o->class_key_count) {
        json_t *object = NULL;
        PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
        plumb_status s = read_labels(r->o, object, labels);
        json_decref(object);
        PLUMB_TRY(s);
    }
    j->hashes[j->rows++] = row->hash;
    r->file->rows++;
    return PLUMB_OK;
}

/* The place of a row of another file among the data's rows; *out < 0: outside of --range. */
static plumb_status place_of(const reading *r, const plumb_row_key *key, int64_t *out)
{
    const plumb_identify_options *o = r->o;
    *out = -1;
    if (key->index < o->begin || (o->end >= 0 && key->index >= o->end)) return PLUMB_OK;
    int64_t at = key->index - o->begin, rows = o->begin + (int64_t)r->j->rows;
    if (key->index >= rows)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "there is a row %" PRId64 " here, but %s ends at %" PRId64,
                                     key->index, o->data, rows - 1),
                          "the file was made from other data");
    if (r->j->hashes[at] != key->row)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "row %" PRId64 " is another one here (%016" PRIx64 ") than in %s (%016" PRIx64 ")",
                                     key->index, key->row, o->data, r->j->hashes[at]),
                          "the file was made from other data");
    *out = at;
    return PLUMB_OK;
}

/* ---- scores ---- */

static bool is_wanted(const plumb_identify_options *o, const char *name)
{
    for (size_t i = 0; i < o->measure_count; i++)
        if (strcmp(o->measures[i], name) == 0) return true;
    return !o->measure_count && !plumb_score_is_helper(name);
}

static plumb_status add_field(reading *r, const char *name)
{
    plumb_identify_scores *scores = r->scores;
    plumb_identify_field field = {0};
    PLUMB_TRY(plumb_reserve(&scores->fields, &scores->capacity, scores->count + 1, sizeof field));
    PLUMB_TRY(plumb_arena_copy(&r->j->arena, &field.name, name, strlen(name)));
    if (is_wanted(r->o, name)) {
        PLUMB_TRY(plumb_arena_new(&r->j->arena, &field.values, r->j->rows, sizeof *field.values));
        for (size_t i = 0; i < r->j->rows; i++) field.values[i] = NAN;
    }
    scores->fields[scores->count++] = field;
    return PLUMB_OK;
}

static plumb_status keep_fields(reading *r, json_t *object, int64_t at)
{
    const plumb_identify_scores *scores = r->scores;
    const char *name;
    json_t *value;
    size_t next = 0; /* rows have their fields in the same order, so that this is nearly always the right one */
    json_object_foreach(object, name, value)
    {
        size_t i = next;
        if (!json_is_number(value) || strcmp(name, "index") == 0) continue;
        if (i >= scores->count || strcmp(scores->fields[i].name, name) != 0)
            for (i = 0; i < scores->count && strcmp(scores->fields[i].name, name) != 0;) i++;
        if (i == scores->count) PLUMB_TRY(add_field(r, name));
        if (scores->fields[i].values) scores->fields[i].values[at] = json_number_value(value) + 0.0; /* -0 equals 0 */
        next = i + 1;
    }
    return PLUMB_OK;
}

static plumb_status keep_score(reading *r, json_t *object)
{
    plumb_row_key key;
    int64_t at;
    PLUMB_TRY(plumb_row_key_read(object, "plumb score", &key));
    PLUMB_TRY(place_of(r, &key, &at));
    if (at < 0) return PLUMB_OK;
    if (r->scores->states[at])
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " has two scores in this file", key.index),
                          "scores of several models belong in one file each");
    bool is_skipped = json_object_get(object, "skipped") != NULL;
    r->scores->states[at] = is_skipped ? PLUMB_ROW_SKIPPED : PLUMB_ROW_SCORED;
    r->file->rows++;
    r->file->skipped += is_skipped;
    r->file->scored += !is_skipped;
    return is_skipped ? PLUMB_OK : keep_fields(r, object, at);
}

static plumb_status read_score_row(void *user, const plumb_row *row)
{
    reading *r = user;
    json_t *object = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    plumb_status s = keep_score(r, object);
    json_decref(object);
    return s;
}

/* ---- judge rows ---- */

static plumb_status keep_label(reading *r, const json_t *object)
{
    plumb_row_key key;
    int64_t at, sample = -1;
    PLUMB_TRY(plumb_row_key_read(object, "plumb judge", &key));
    PLUMB_TRY(plumb_json_int(object, "sample", &sample));
    if (sample != 0 && sample != 1)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"sample\" is neither 0 (the chosen response) nor 1 (rejected)"),
                          "give what plumb judge wrote for the preference rows themselves");
    if (!json_object_get(object, "label")) return plumb_fail(PLUMB_E_INPUT, "\"label\" is missing");
    PLUMB_TRY(place_of(r, &key, &at));
    if (at < 0) return PLUMB_OK;
    uint8_t *label = &r->j->labels[2 * at + sample];
    if (*label)
        return plumb_fail(PLUMB_E_INPUT, "row %" PRId64 ", sample %" PRId64 " has two labels", key.index, sample);
    PLUMB_TRY(read_label(json_object_get(object, "label"), "label", label));
    if (*label == PLUMB_LABEL_NONE) *label = PLUMB_LABEL_OTHER; /* null: judged, but unread */
    return PLUMB_OK;
}

static plumb_status read_label_row(void *user, const plumb_row *row)
{
    reading *r = user;
    json_t *object = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    plumb_status s = keep_label(r, object);
    json_decref(object);
    return s;
}

/* ---- the ledger ---- */

static plumb_status list_steps(const plumb_ledger_file *l, plumb_text *t)
{
    enum { SHOWN = 6 };
    for (size_t i = 0; i < l->step_count; i++) {
        bool shown = i < SHOWN / 2 || i + SHOWN / 2 >= l->step_count;
        if (shown) PLUMB_TRY(plumb_text_printf(t, "%s%" PRId64, i ? ", " : "", l->steps[i]));
        if (!shown && i == SHOWN / 2) PLUMB_TRY(plumb_text_string(t, ", ..."));
    }
    return PLUMB_OK;
}

static plumb_status later_step(const plumb_identify_options *o, const plumb_ledger_file *l, size_t *out)
{
    if (l->step_count < 2)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: the ledger has only step %" PRId64 ": nothing has changed yet",
                                     o->ledger, l->steps[0]),
                          "let the run take its first evaluation after the start (an epoch, or --ledger_steps)");
    *out = l->step_count - 1;
    if (o->step < 0) return PLUMB_OK;
    for (size_t i = 1; i < l->step_count; i++)
        if (l->steps[i] == o->step) {
            *out = i;
            return PLUMB_OK;
        }
    plumb_text steps = {0};
    plumb_status s = list_steps(l, &steps);
    if (!s)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: --step %" PRId64 " is %s", o->ledger, o->step,
                                  o->step == l->steps[0] ? "the start itself" : "no step of the ledger"),
                       "it has the steps %s", steps.data);
    plumb_text_free(&steps);
    return s;
}

/* Changes by row; *known: whether the ledger has the pair. */
static plumb_status take_changes(const reading *r, const plumb_ledger_file *l, uint8_t *known,
                                 plumb_identify_report *report)
{
    size_t later = 0;
    PLUMB_TRY(later_step(r->o, l, &later));
    report->steps[0] = l->steps[0];
    report->steps[1] = l->steps[later];
    for (size_t i = 0; i < l->count; i++) {
        int64_t at;
        plumb_row_key key = {l->pairs[i].index, l->pairs[i].row};
        PLUMB_TRY(plumb_context(place_of(r, &key, &at), "%s", r->o->ledger));
        if (at < 0) continue;
        known[at] = true;
        r->j->change[at] = l->logps[0][later * l->count + i] - l->logps[0][i];
    }
    return PLUMB_OK;
}

static plumb_status read_ledger(const reading *r, const plumb_sink *sink, uint8_t *known, plumb_identify_report *report)
{
    plumb_ledger_file l = {0};
    plumb_status s = plumb_ledger_read(r->o->ledger, sink, &l);
    if (!s) s = take_changes(r, &l, known, report);
    plumb_ledger_file_free(&l);
    return s;
}

/* ---- what belongs together ---- */

static plumb_status unmatched(const reading *r, int64_t index, const char *file)
{
    plumb_status s =
        plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " of %s is not in %s", index, r->o->data, file ? file : r->o->ledger);
    if (!file)
        s = plumb_cure(s, "if the run used some rows only, give them by --range A:B or --limit N; "
                          "--on_error skip leaves such pairs out");
    return plumb_cure(s, "shards of one model belong in one file (cat them); --on_error skip leaves such pairs out");
}

/* Row i: the score file that lacks it, or the ledger. A row that some file skipped need not be in the ledger. */
static plumb_status match_row(const reading *r, size_t i, bool known, plumb_identify_report *report)
{
    size_t skips = 0;
    int64_t index = r->o->begin + (int64_t)i;
    const char *lacking = NULL;
    for (size_t f = 0; f < report->file_count; f++) {
        skips += r->j->files[f].states[i] == PLUMB_ROW_SKIPPED;
        if (r->j->files[f].states[i] == PLUMB_ROW_MISSING && !lacking) lacking = report->files[f].path;
    }
    if (skips == report->file_count || (skips && !known && !lacking)) {
        report->skipped++;
        r->j->change[i] = NAN;
    } else if (lacking || !known) {
        if (!r->o->skip_unmatched) return unmatched(r, index, lacking);
        if (report->unmatched < PLUMB_FIRST_UNMATCHED) report->first_unmatched[report->unmatched] = index;
        report->unmatched++;
        r->j->change[i] = NAN;
    } else {
        report->not_numbers += !isfinite(r->j->change[i]);
        report->pairs += isfinite(r->j->change[i]);
    }
    return PLUMB_OK;
}

static plumb_status match(const reading *r, const plumb_sink *sink, plumb_identify_report *report)
{
    uint8_t *known = NULL;
    plumb_status s = plumb_new(&known, r->j->rows, sizeof *known);
    if (!s) s = read_ledger(r, sink, known, report);
    for (size_t i = 0; !s && i < r->j->rows; i++) s = match_row(r, i, known[i], report);
    free(known);
    return s;
}

static plumb_status read_all_scores(reading *r, const plumb_sink *sink, plumb_identify_report *report)
{
    plumb_identify_join *j = r->j;
    PLUMB_TRY(plumb_arena_new(&j->arena, &j->files, report->file_count, sizeof *j->files));
    for (size_t f = 0; f < report->file_count; f++) {
        r->file = &report->files[f];
        r->scores = &j->files[f];
        PLUMB_TRY(plumb_arena_new(&j->arena, &r->scores->states, j->rows, 1));
        PLUMB_TRY(read_file(r, 0, -1, read_score_row, sink));
    }
    return PLUMB_OK;
}

plumb_status plumb_identify_read(const plumb_identify_options *o, const plumb_sink *sink, plumb_identify_join *out,
                                 plumb_identify_report *report)
{
    reading r = {.o = o, .j = out, .file = &report->data};
    plumb_identify_file labels = {.path = o->classes};
    PLUMB_TRY(read_file(&r, o->begin, o->end, read_data_row, sink));
    PLUMB_TRY(plumb_arena_new(&out->arena, &out->change, out->rows, sizeof *out->change));
    for (size_t i = 0; i < out->rows; i++) out->change[i] = NAN;
    PLUMB_TRY(read_all_scores(&r, sink, report));
    r.file = &labels;
    if (o->classes) PLUMB_TRY(read_file(&r, 0, -1, read_label_row, sink));
    return match(&r, sink, report);
}

/* ---- which file is which ---- */

plumb_row_kind plumb_identify_look(const char *path)
{
    struct stat about;
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    json_t *object = NULL;
    if (strcmp(path, "-") == 0 || stat(path, &about) != 0) return PLUMB_ROW_UNKNOWN;
    if (S_ISDIR(about.st_mode)) return PLUMB_ROW_LEDGER;
    if (!S_ISREG(about.st_mode)) return PLUMB_ROW_UNKNOWN;
    plumb_status s = plumb_rows_open(path, 0, 1, &rows);
    if (!s) s = plumb_rows_next(rows, &row, &found);
    if (!s && found) s = plumb_json_parse(row.bytes, row.size, true, "", &object);
    plumb_row_kind kind = plumb_row_kind_of(object);
    json_decref(object);
    plumb_rows_close(rows);
    plumb_status_free(s);
    return kind;
}
