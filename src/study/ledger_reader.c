#include "study/ledger_reader.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/row_walk.h"
#include "study/row_key.h"

enum { FEWEST_SLOTS = 64 };

/* The numbers of a row, in the order of `names`. */
enum { CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED, LN_CHES, WEIGHT, NUMBERS };
static const char *const names[NUMBERS] = {"logps/chosen",       "logps/rejected", "ref_logps/chosen",
                                           "ref_logps/rejected", "ln_ches",        "weight"};

typedef struct entry {
    int64_t step, line;
    size_t pair;
    double numbers[NUMBERS];
} entry;

typedef struct reader {
    plumb_ledger_pair *pairs;
    entry *entries;
    size_t pair_count, pair_room, entry_count, entry_room;
    size_t *slots, slot_count;
    bool has[NUMBERS], has_tokens;
} reader;

/* ---- index -> pair ---- */

/* The slot of an index, or the free one where it belongs (Fibonacci hashing: row numbers lie close together). */
static size_t slot_of(const size_t *slots, size_t slot_count, const plumb_ledger_pair *pairs, int64_t index)
{
    size_t at = (size_t)((uint64_t)index * 0x9E3779B97F4A7C15u >> 20) & (slot_count - 1);
    while (slots[at] && pairs[slots[at] - 1].index != index) at = (at + 1) & (slot_count - 1);
    return at;
}

static plumb_status grow_slots(reader *r)
{
    size_t count = r->slot_count ? 2 * r->slot_count : FEWEST_SLOTS, *slots = NULL;
    PLUMB_TRY(plumb_new(&slots, count, sizeof *slots));
    for (size_t i = 0; i < r->pair_count; i++) slots[slot_of(slots, count, r->pairs, r->pairs[i].index)] = i + 1;
    free(r->slots);
    r->slots = slots;
    r->slot_count = count;
    return PLUMB_OK;
}

static plumb_status number_of(reader *r, const plumb_row_key *key, size_t *out)
{
    if (2 * (r->pair_count + 1) > r->slot_count) PLUMB_TRY(grow_slots(r));
    size_t *slot = &r->slots[slot_of(r->slots, r->slot_count, r->pairs, key->index)];
    if (*slot) {
        *out = *slot - 1;
        if (r->pairs[*out].row == key->row) return PLUMB_OK;
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "pair %" PRId64 " is the row %016" PRIx64 ", but %016" PRIx64 " further up",
                                     key->index, key->row, r->pairs[*out].row),
                          "a ledger holds one run on one data file: do not join ledgers");
    }
    PLUMB_TRY(plumb_reserve(&r->pairs, &r->pair_room, r->pair_count + 1, sizeof *r->pairs));
    r->pairs[r->pair_count] = (plumb_ledger_pair){key->index, key->row};
    *out = r->pair_count++;
    *slot = r->pair_count;
    return PLUMB_OK;
}

/* ---- rows ---- */

/* Other ledgers than those of pairs (train/row_ledgers.h), and what is no ledger at all. */
static plumb_status check_pair(const json_t *row)
{
    const char *missing = NULL;
    bool step = json_object_get(row, "step");
    for (int i = 0; i <= REJECTED && step; i++)
        if (!missing && !json_object_get(row, names[i])) missing = names[i];
    if (!missing && step) return PLUMB_OK;
    if (step && json_object_get(row, "reward/chosen"))
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "these are rewards of plumb reward: a reward model gives no log-probs"),
            "plumb reward-score RM DATA tells how its rewards agree with pairs");
    if (step && json_object_get(row, "logps") && json_object_get(row, "label"))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "these are single completions of plumb kto, not pairs"),
                          "give plumb kto preference rows for a ledger of pairs, or compare its two checkpoints on a "
                          "preference file: plumb trace MODEL RUN PAIRS");
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "\"%s\" is missing: this is not a row of a ledger", missing ? missing : "step"),
        "a ledger is the ledger.jsonl of a run folder of plumb dpo, of plumb kto on preference rows, or of "
        "plumb rloo, grpo and ppo with --ledger_data");
}

static plumb_status read_entry(reader *r, const json_t *row, entry *out)
{
    plumb_row_key key;
    PLUMB_TRY(plumb_row_key_read(row, "a ledger", &key));
    PLUMB_TRY(check_pair(row));
    *out = (entry){.step = -1};
    PLUMB_TRY(plumb_json_int(row, "step", &out->step));
    if (out->step < 0) return plumb_fail(PLUMB_E_INPUT, "\"step\" is not a step number");
    for (int i = 0; i < NUMBERS; i++) {
        out->numbers[i] = NAN;
        r->has[i] |= json_object_get(row, names[i]) != NULL;
        PLUMB_TRY(plumb_json_number(row, names[i], &out->numbers[i]));
    }
    r->has_tokens |= json_object_get(row, "gained") != NULL;
    return number_of(r, &key, &out->pair);
}

static plumb_status add_row(void *user, const plumb_row *row)
{
    reader *r = user;
    json_t *object = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    plumb_status s = plumb_reserve(&r->entries, &r->entry_room, r->entry_count + 1, sizeof *r->entries);
    if (!s) s = read_entry(r, object, &r->entries[r->entry_count]);
    if (!s) r->entries[r->entry_count++].line = row->line;
    json_decref(object);
    return s;
}

/* ---- tables ---- */

static int compare_steps(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return (a > b) - (a < b);
}

static size_t step_at(const plumb_ledger_file *out, int64_t step)
{
    const int64_t *found = bsearch(&step, out->steps, out->step_count, sizeof step, compare_steps);
    return found ? (size_t)(found - out->steps) : 0;
}

static plumb_status list_steps(const reader *r, plumb_ledger_file *out)
{
    size_t count = 0;
    PLUMB_TRY(plumb_arena_new(&out->arena, &out->steps, r->entry_count, sizeof *out->steps));
    for (size_t i = 0; i < r->entry_count; i++) /* rows of one evaluation stand together: few are left to sort */
        if (i == 0 || r->entries[i].step != r->entries[i - 1].step) out->steps[count++] = r->entries[i].step;
    qsort(out->steps, count, sizeof *out->steps, compare_steps);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || out->steps[i] != out->steps[i - 1]) out->steps[out->step_count++] = out->steps[i];
    return PLUMB_OK;
}

static plumb_status fill(const reader *r, const char *name, double **tables, int64_t *lines,
                         const plumb_ledger_file *out)
{
    for (size_t i = 0; i < r->entry_count; i++) {
        const entry *e = &r->entries[i];
        size_t at = step_at(out, e->step) * out->count + e->pair;
        if (lines[at])
            return plumb_fail(PLUMB_E_INPUT,
                              "%s:%" PRId64 ": pair %" PRId64 " stands twice in step %" PRId64
                              ", first in line %" PRId64,
                              name, e->line, out->pairs[e->pair].index, e->step, lines[at]);
        lines[at] = e->line;
        for (int n = 0; n < NUMBERS; n++)
            if (tables[n]) tables[n][at] = e->numbers[n];
    }
    return PLUMB_OK;
}

static plumb_status tabulate(const reader *r, const char *name, plumb_ledger_file *out)
{
    double *tables[NUMBERS] = {NULL};
    int64_t *lines = NULL;
    bool gate = r->has[LN_CHES] || r->has[WEIGHT], reference = r->has[REF_CHOSEN] || r->has[REF_REJECTED];
    out->has_tokens = r->has_tokens;
    out->slot_count = r->slot_count;
    out->count = r->pair_count;
    PLUMB_TRY(plumb_arena_copy(&out->arena, &out->pairs, r->pairs, r->pair_count * sizeof *r->pairs));
    PLUMB_TRY(plumb_arena_copy(&out->arena, &out->slots, r->slots, r->slot_count * sizeof *r->slots));
    PLUMB_TRY(list_steps(r, out));
    size_t cells = out->count * out->step_count;
    for (int n = 0; n < NUMBERS; n++) {
        if ((n == REF_CHOSEN || n == REF_REJECTED) && !reference) continue;
        if ((n == LN_CHES || n == WEIGHT) && !gate) continue;
        PLUMB_TRY(plumb_arena_new(&out->arena, &tables[n], cells, sizeof(double)));
        for (size_t i = 0; i < cells; i++) tables[n][i] = NAN;
    }
    for (int side = 0; side < 2; side++) {
        out->logps[side] = tables[CHOSEN + side];
        out->ref_logps[side] = tables[REF_CHOSEN + side];
    }
    out->ln_ches = tables[LN_CHES];
    out->weight = tables[WEIGHT];
    PLUMB_TRY(plumb_new(&lines, cells, sizeof *lines));
    plumb_status s = fill(r, name, tables, lines, out);
    free(lines);
    return s;
}

static plumb_status read_file(const char *path, const plumb_sink *sink, plumb_ledger_file *out)
{
    reader r = {0};
    plumb_row_walk walk = {
        .path = path,
        .end = -1,
        .none_cure = "plumb sft keeps no ledger; plumb dpo, kto, and rloo, grpo and ppo with --ledger_data do",
        .sink = sink,
        .use = add_row,
        .user = &r};
    plumb_status s = plumb_row_walk_all(&walk);
    if (!s) s = tabulate(&r, plumb_input_name(path), out);
    free(r.pairs);
    free(r.entries);
    free(r.slots);
    return s;
}

plumb_status plumb_ledger_read(const char *path, const plumb_sink *sink, plumb_ledger_file *out)
{
    struct stat info;
    plumb_text inside = {0};
    plumb_status s = PLUMB_OK;
    if (strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        s = plumb_text_printf(&inside, "%s/ledger.jsonl", path);
        if (!s && stat(inside.data, &info) != 0)
            s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there is no ledger.jsonl in this folder", path),
                           "give the folder of a run that kept one (plumb dpo, kto; rloo, grpo and ppo with "
                           "--ledger_data), or a ledger file");
    }
    if (!s) s = read_file(inside.data ? inside.data : path, sink, out);
    plumb_text_free(&inside);
    return s;
}

void plumb_ledger_file_free(plumb_ledger_file *l)
{
    plumb_arena_free(&l->arena);
    *l = (plumb_ledger_file){0};
}

plumb_status plumb_ledger_find(const plumb_ledger_file *l, int64_t index, const uint64_t *row, int64_t *found)
{
    *found = -1;
    if (!l->slot_count) return PLUMB_OK;
    size_t pair = l->slots[slot_of(l->slots, l->slot_count, l->pairs, index)];
    if (!pair) return PLUMB_OK;
    if (row && l->pairs[pair - 1].row != *row)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "pair %" PRId64 " is the row %016" PRIx64 ", but %016" PRIx64 " in the ledger",
                                     index, *row, l->pairs[pair - 1].row),
                          "the ledger was made from other data than this file");
    *found = (int64_t)pair - 1;
    return PLUMB_OK;
}
