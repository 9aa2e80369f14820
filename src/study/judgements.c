#include "study/judgements.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/row_walk.h"

enum { FEWEST_SLOTS = 64, MOST_SAMPLES = 1 << 24 };

/* Two tables over the same list: by (index, sample), and by index alone to the first of an index. Slots hold 1 + the
 * place in the list; 0 is free. */
struct plumb_judgements {
    plumb_judgement *data;
    size_t count, capacity;
    size_t *slots, *firsts, slot_count;
};

/* ---- rows ---- */

plumb_status plumb_judgement_line(const plumb_judgement *j, const char *judge, const char *reason, size_t n,
                                  const plumb_label *before, const char *category, plumb_text *t)
{
    const char *label = plumb_label_name(j->label);
    PLUMB_TRY(plumb_text_printf(t, "{\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\",\"sample\":%d,\"label\":",
                                j->key.index, j->key.row, j->sample));
    PLUMB_TRY(plumb_text_printf(t, label ? "\"%s\",\"score\":" : "null,\"score\":", label ? label : ""));
    PLUMB_TRY(plumb_json_real(t, j->score, 9));
    PLUMB_TRY(plumb_text_string(t, ",\"judge\":"));
    PLUMB_TRY(plumb_json_quote(t, judge, strlen(judge)));
    PLUMB_TRY(plumb_text_string(t, ",\"reason\":"));
    PLUMB_TRY(reason ? plumb_json_quote(t, reason, n) : plumb_text_string(t, "null"));
    if (before) {
        const char *was = plumb_label_name(*before);
        PLUMB_TRY(was ? plumb_text_printf(t, ",\"before\":\"%s\"", was) : plumb_text_string(t, ",\"before\":null"));
    }
    if (category) {
        PLUMB_TRY(plumb_text_string(t, ",\"category\":"));
        PLUMB_TRY(plumb_json_quote(t, category, strlen(category)));
    }
    return plumb_text_string(t, "}\n");
}

plumb_status plumb_judgement_read(const json_t *row, const char *field, plumb_judgement *out)
{
    const char *label = NULL;
    int64_t sample = 0;
    *out = (plumb_judgement){.label = PLUMB_NO_LABEL, .score = NAN, .field = NAN};
    PLUMB_TRY(plumb_row_key_read(row, "plumb judge", &out->key));
    if (!json_object_get(row, "label"))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"label\" is missing: this is not a row of plumb judge"),
                          "judge the responses first: plumb judge RESPONSES -o FILE");
    PLUMB_TRY(plumb_json_string(row, "label", &label));
    if (label && !plumb_label_find(label, strlen(label), &out->label))
        return plumb_fail(PLUMB_E_INPUT,
                          "\"label\" is \"%.40s\"; expected refusal, compliance, evasive, empty, unreadable or null",
                          label);
    PLUMB_TRY(plumb_json_int(row, "sample", &sample));
    if (sample < 0 || sample >= MOST_SAMPLES)
        return plumb_fail(PLUMB_E_INPUT, "\"sample\" is %" PRId64 "; expected a number from 0", sample);
    out->sample = (int)sample;
    PLUMB_TRY(plumb_json_number(row, "score", &out->score));
    return field ? plumb_json_number(row, field, &out->field) : PLUMB_OK;
}

/* ---- the table ---- */

plumb_status plumb_judgements_new(plumb_judgements **out)
{
    return plumb_new(out, 1, sizeof **out);
}

void plumb_judgements_free(plumb_judgements *t)
{
    if (!t) return;
    free(t->data);
    free(t->slots);
    free(t->firsts);
    free(t);
}

/* Fibonacci hashing: numbers of rows and of samples lie close together. */
static size_t start_of(const plumb_judgements *t, int64_t index, int sample)
{
    uint64_t mixed = ((uint64_t)index * 0x9E3779B97F4A7C15u) ^ ((uint64_t)(sample + 1) * 0xC2B2AE3D27D4EB4Fu);
    return (size_t)(mixed >> 20) & (t->slot_count - 1);
}

static size_t *slot_of(const plumb_judgements *t, int64_t index, int sample)
{
    size_t at = start_of(t, index, sample);
    for (; t->slots[at]; at = (at + 1) & (t->slot_count - 1)) {
        const plumb_judgement *j = &t->data[t->slots[at] - 1];
        if (j->key.index == index && j->sample == sample) break;
    }
    return &t->slots[at];
}

static size_t *first_of(const plumb_judgements *t, int64_t index)
{
    size_t at = start_of(t, index, -1);
    while (t->firsts[at] && t->data[t->firsts[at] - 1].key.index != index) at = (at + 1) & (t->slot_count - 1);
    return &t->firsts[at];
}

static plumb_status grow(plumb_judgements *t)
{
    size_t count = t->slot_count ? 2 * t->slot_count : FEWEST_SLOTS, *slots = NULL, *firsts = NULL;
    plumb_status s = plumb_new(&slots, count, sizeof *slots);
    if (!s) s = plumb_new(&firsts, count, sizeof *firsts);
    if (s) {
        free(slots);
        return s;
    }
    free(t->slots);
    free(t->firsts);
    t->slots = slots;
    t->firsts = firsts;
    t->slot_count = count;
    for (size_t i = 0; i < t->count; i++) {
        size_t *first = first_of(t, t->data[i].key.index);
        *slot_of(t, t->data[i].key.index, t->data[i].sample) = i + 1;
        if (!*first) *first = i + 1;
    }
    return PLUMB_OK;
}

static plumb_status other_row(const plumb_row_key *key, uint64_t known)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                 "row %" PRId64 " is another one here (its hash is %016" PRIx64 ", not %016" PRIx64 ")",
                                 key->index, key->row, known),
                      "both files must come from the same prompts");
}

plumb_status plumb_judgements_add(plumb_judgements *t, const plumb_judgement *j)
{
    PLUMB_TRY(plumb_reserve(&t->data, &t->capacity, t->count + 1, sizeof *t->data));
    if (2 * (t->count + 1) > t->slot_count) PLUMB_TRY(grow(t));
    size_t *first = first_of(t, j->key.index), *slot = slot_of(t, j->key.index, j->sample);
    if (*first && t->data[*first - 1].key.row != j->key.row) return other_row(&j->key, t->data[*first - 1].key.row);
    if (*slot)
        return plumb_fail(PLUMB_E_INPUT, "sample %d of row %" PRId64 " stands here twice", j->sample, j->key.index);
    t->data[t->count++] = *j;
    *slot = t->count;
    if (!*first) *first = t->count;
    return PLUMB_OK;
}

plumb_status plumb_judgements_find(const plumb_judgements *t, const plumb_row_key *key, int sample, size_t *found)
{
    size_t first = t->count ? *first_of(t, key->index) : 0;
    if (first && t->data[first - 1].key.row != key->row) return other_row(key, t->data[first - 1].key.row);
    size_t slot = t->count ? *slot_of(t, key->index, sample) : 0;
    if (!slot) return plumb_fail(PLUMB_E_INPUT, "sample %d of row %" PRId64 " is not there", sample, key->index);
    *found = slot - 1;
    return PLUMB_OK;
}

plumb_status plumb_judgements_first(const plumb_judgements *t, int64_t index, size_t *found)
{
    size_t first = t->count ? *first_of(t, index) : 0;
    if (!first) return plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " is not there", index);
    *found = first - 1;
    return PLUMB_OK;
}

const plumb_judgement *plumb_judgements_all(const plumb_judgements *t, size_t *count)
{
    *count = t->count;
    return t->data;
}

/* ---- files ---- */

typedef struct loading {
    plumb_judgements *t;
    const char *field;
} loading;

static plumb_status load_row(void *user, const plumb_row *row)
{
    const loading *l = user;
    json_t *object = NULL;
    plumb_judgement j;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, false, "", &object));
    plumb_status s = plumb_judgement_read(object, l->field, &j);
    json_decref(object);
    return s ? s : plumb_judgements_add(l->t, &j);
}

plumb_status plumb_judgements_load(plumb_judgements *t, const char *path, const char *field, const plumb_sink *sink,
                                   int64_t *rows, uint64_t *hash)
{
    loading l = {t, field};
    plumb_row_walk walk = {.path = path, .end = -1, .sink = sink, .use = load_row, .user = &l};
    plumb_status s = plumb_row_walk_all(&walk);
    *rows = walk.rows;
    *hash = walk.hash;
    return s;
}

static plumb_status probe_row(const plumb_row *row, char **judge)
{
    json_t *object = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    const json_t *name = json_object_get(object, "judge");
    bool is_judged = json_object_get(object, "label") && json_is_string(name) && !json_object_get(object, "response");
    if (is_judged) *judge = strdup(json_string_value(name));
    json_decref(object);
    return is_judged && !*judge ? plumb_no_memory() : PLUMB_OK;
}

plumb_status plumb_judgements_probe(const char *path, char **judge)
{
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    *judge = NULL;
    PLUMB_TRY(plumb_rows_open(path, 0, 1, &rows));
    plumb_status s = plumb_rows_next(rows, &row, &found);
    if (!s && found) s = plumb_context(probe_row(&row, judge), "%s:%" PRId64, plumb_rows_name(rows), row.line);
    plumb_rows_close(rows);
    return s;
}
