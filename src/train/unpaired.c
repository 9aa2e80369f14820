#include "train/unpaired.h"

#include <stdlib.h>
#include <string.h>

#include "base/row_hash.h"
#include "io/json.h"

enum { UNPAIRING_ROWS = 1000 }; /* TRL unpairs so many rows of the data set at a time (the default of datasets' map) */

/* One completion, uncut. */
typedef struct single {
    int64_t index;
    uint64_t row;
    bool desirable;
    int32_t *ids[2]; /* prompt, completion */
    int counts[2];
} single;

typedef struct reading {
    const plumb_unpaired_source *source;
    plumb_completing how, other; /* of preferences: the chosen, the rejected side */
    plumb_rows *rows;
    plumb_completion one;
    plumb_arena arena;
    single *list;
    size_t count, capacity;
    single *rejected; /* of the block of preferences at hand */
    size_t rejected_count, rejected_capacity;
    int64_t preferences, labelled, in_block, dirty;
    plumb_examples *out;
} reading;

/* ---- one row ---- */

static const json_t *column(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_null(value) ? NULL : value;
}

static plumb_status read_label(const reading *r, const json_t *row, bool *out)
{
    const char *name = r->source->label;
    const json_t *label = column(row, name);
    if (!label)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the row has no \"%s\"", name),
                          "KTO learns from completions marked true (wanted) or false (unwanted); --label_key names "
                          "another column, and preferences (chosen, rejected) need none");
    double number = json_is_number(label) ? json_number_value(label) : -1;
    if (!json_is_boolean(label) && number != 0 && number != 1)
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected true or false", name,
                          json_is_number(label) ? "another number than 0 and 1" : plumb_json_kind(label));
    *out = json_is_true(label) || number == 1;
    return PLUMB_OK;
}

/* Is the row a preference? Sets the label of one that is none. */
static plumb_status look_at(const reading *r, const plumb_row *row, bool *preference, bool *desirable)
{
    const plumb_completing *how = &r->how;
    json_t *j = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, NULL, &j));
    plumb_status s = PLUMB_OK;
    bool completion = column(j, how->completion) || column(j, "completion_ids");
    *preference = !completion && (column(j, how->keys.chosen) || column(j, "chosen_ids"));
    if (!json_is_object(j))
        s = plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(j));
    else if (column(j, "input_ids") || (!completion && !*preference))
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "the row has neither \"%s\" and \"%s\" nor \"%s\" and \"%s\"",
                                  how->keys.prompt, how->completion, how->keys.chosen, how->keys.rejected),
                       "other names: --prompt_key, --completion_key, --chosen_key, --rejected_key");
    else if (*preference ? r->labelled > 0 : r->preferences > 0)
        s = plumb_fail(PLUMB_E_INPUT, "the row is %s, but those before it are %s",
                       *preference ? "a preference" : "a single completion",
                       *preference ? "single completions" : "preferences");
    else if (!*preference)
        s = read_label(r, j, desirable);
    json_decref(j);
    return s;
}

/* Takes the completion at hand into a list. */
static plumb_status take(reading *r, const plumb_row *row, bool desirable, single **list, size_t *count,
                         size_t *capacity)
{
    const plumb_completion *c = &r->one;
    size_t start = 0;
    while (start < c->ids.count && !c->trained[start]) start++;
    single x = {.index = row->index,
                .row = row->hash,
                .desirable = desirable,
                .counts = {(int)start, (int)(c->ids.count - start)}};
    PLUMB_TRY(plumb_arena_copy(&r->arena, &x.ids[0], c->ids.data, start * sizeof(int32_t)));
    PLUMB_TRY(plumb_arena_copy(&r->arena, &x.ids[1], c->ids.data + start, (size_t)x.counts[1] * sizeof(int32_t)));
    PLUMB_TRY(plumb_reserve(list, capacity, *count + 1, sizeof **list));
    (*list)[(*count)++] = x;
    r->dirty += !c->boundary_clean;
    return PLUMB_OK;
}

/* The rejected rows of a block follow its chosen ones. */
static plumb_status end_block(reading *r)
{
    PLUMB_TRY(plumb_reserve(&r->list, &r->capacity, r->count + r->rejected_count, sizeof *r->list));
    if (r->rejected_count) memcpy(r->list + r->count, r->rejected, r->rejected_count * sizeof *r->list);
    r->count += r->rejected_count;
    r->rejected_count = 0;
    r->in_block = 0;
    return PLUMB_OK;
}

static plumb_status make_row(reading *r, const plumb_row *row)
{
    bool preference, desirable = true;
    PLUMB_TRY(look_at(r, row, &preference, &desirable));
    PLUMB_TRY(plumb_completion_make(&r->how, row->bytes, row->size, &r->one));
    size_t before = r->count;
    PLUMB_TRY(take(r, row, desirable, &r->list, &r->count, &r->capacity));
    if (!preference) {
        r->labelled++;
        return PLUMB_OK;
    }
    plumb_status s = plumb_completion_make(&r->other, row->bytes, row->size, &r->one);
    if (s) {
        r->count = before; /* both sides or none */
        return s;
    }
    PLUMB_TRY(take(r, row, false, &r->rejected, &r->rejected_count, &r->rejected_capacity));
    r->preferences++;
    return ++r->in_block == UNPAIRING_ROWS ? end_block(r) : PLUMB_OK;
}

static plumb_status read_row(reading *r, const plumb_row *row)
{
    plumb_status s = plumb_context(make_row(r, row), "%s:%lld", plumb_rows_name(r->rows), (long long)row->line);
    if (!s || !r->source->skip_bad_rows || plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_note(r->source->sink, "passed over: %s", plumb_status_message(s));
    plumb_status_free(s);
    r->out->skipped[PLUMB_SKIP_BAD_ROW]++;
    return PLUMB_OK;
}

static plumb_status read_rows(reading *r)
{
    plumb_row row;
    for (;;) {
        bool found;
        PLUMB_TRY(plumb_rows_next(r->rows, &row, &found));
        if (!found) return end_block(r);
        r->out->hash = plumb_add_row_hash(r->out->hash, row.hash);
        PLUMB_TRY(read_row(r, &row));
        PLUMB_TRY(plumb_check_interrupt(r->source->sink));
    }
}

/* ---- examples ---- */

static plumb_skip skip_of(const reading *r, const single *x)
{
    int most = r->source->how.max_length;
    if (!x->counts[1]) return PLUMB_SKIP_EMPTY_RESPONSE;
    if (!x->counts[0]) return PLUMB_SKIP_NO_PROMPT_TOKEN;
    return most && x->counts[0] >= most ? PLUMB_SKIP_PROMPT_TOO_LONG : PLUMB_SKIP_NONE;
}

/* Leaves out the rows that cannot be trained on. */
static void drop_rows(reading *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        plumb_skip skip = skip_of(r, &r->list[i]);
        r->out->skipped[skip]++;
        if (!skip) r->list[kept++] = r->list[i];
    }
    r->count = kept;
}

/* The prompt of one with the completion of another, cut. */
static plumb_status join(const reading *r, const single *prompt, const single *completion, plumb_ids *out, bool *cut)
{
    int most = r->source->how.max_length;
    out->count = 0;
    PLUMB_TRY(plumb_ids_append(out, prompt->ids[0], (size_t)prompt->counts[0]));
    PLUMB_TRY(plumb_ids_append(out, completion->ids[1], (size_t)completion->counts[1]));
    *cut = most && out->count > (size_t)most;
    if (*cut) out->count = (size_t)most;
    return PLUMB_OK;
}

/* The row whose completion is the mismatched one of row i: the one before it in its batch, in a circle. */
static size_t mismatched(const reading *r, size_t i)
{
    size_t batch = (size_t)r->source->batch, first = i / batch * batch;
    size_t last = first + batch < r->count ? first + batch - 1 : r->count - 1;
    return i == first ? last : i - 1;
}

static plumb_status add_example(reading *r, size_t i, plumb_ids ids[2])
{
    const single *x = &r->list[i];
    int sides = r->source->batch ? 2 : 1, shared = 0;
    bool cut, other;
    PLUMB_TRY(join(r, x, x, &ids[0], &cut));
    if (sides == 2) {
        PLUMB_TRY(join(r, x, &r->list[mismatched(r, i)], &ids[1], &other));
        while ((size_t)shared < ids[0].count && (size_t)shared < ids[1].count &&
               ids[0].data[shared] == ids[1].data[shared])
            shared++;
    }
    PLUMB_TRY(plumb_examples_add(r->out, x->index, x->row, ids, sides, x->counts[0], shared));
    r->out->list[r->out->count - 1].desirable = x->desirable;
    r->out->truncated += cut;
    return PLUMB_OK;
}

static plumb_status make_examples(reading *r, int64_t desirable[2])
{
    plumb_ids ids[2] = {{0}, {0}};
    plumb_status s = PLUMB_OK;
    drop_rows(r);
    for (size_t i = 0; i < r->count && !s; i++) {
        desirable[r->list[i].desirable]++;
        s = add_example(r, i, ids);
    }
    for (int k = 0; k < 2; k++) plumb_ids_free(&ids[k]);
    return s;
}

/* ---- all rows ---- */

static plumb_status check_kinds(const reading *r, const int64_t desirable[2])
{
    if (!r->out->count)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: no row is left to train on", r->source->path),
                          "is the file empty, or --max_length too small?");
    if (desirable[0] && desirable[1]) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: all %zu rows are %s", r->source->path, r->out->count,
                                 desirable[1] ? "wanted (true)" : "unwanted (false)"),
                      "KTO needs both kinds; plumb sft learns from wanted completions alone");
}

static void tell(const reading *r)
{
    const plumb_sink *sink = r->source->sink;
    if (r->preferences)
        plumb_note(sink,
                   "%lld rows are preferences: each is two rows, one wanted and one unwanted; as in TRL the chosen "
                   "rows of a block of %d stand before the rejected ones, so that most batches are of one kind",
                   (long long)r->preferences, (int)UNPAIRING_ROWS);
    if (r->dirty)
        plumb_note(sink,
                   "in %lld rows the tokens of the prompt are not the beginning of those of prompt and completion; the "
                   "completion begins where they differ",
                   (long long)r->dirty);
}

plumb_status plumb_unpaired_read(const plumb_unpaired_source *source, plumb_examples *out, int64_t desirable[2],
                                 bool *pairs)
{
    reading r = {.source = source, .how = source->how, .out = out};
    desirable[0] = desirable[1] = 0;
    r.how.loss = PLUMB_LOSS_COMPLETION;
    r.how.max_length = 0; /* a completion is cut behind each prompt that it is put to */
    r.how.side = PLUMB_CHOSEN;
    r.other = r.how;
    r.other.side = PLUMB_REJECTED;
    plumb_status s = plumb_rows_open(source->path, source->begin, source->end, &r.rows);
    if (!s) s = read_rows(&r);
    plumb_rows_close(r.rows);
    if (!s) s = make_examples(&r, desirable);
    if (!s) s = check_kinds(&r, desirable);
    if (!s) tell(&r);
    if (pairs) *pairs = r.preferences > 0;
    plumb_completion_free(&r.one);
    plumb_arena_free(&r.arena);
    free(r.list);
    free(r.rejected);
    return s;
}
