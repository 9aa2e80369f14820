#include "train/scored_pairs.h"

#include "align/reward.h"
#include "io/json.h"

typedef struct reading {
    const char *name; /* of the data, for messages */
    int64_t pad_id;
    int max_length;
    int64_t rows; /* read so far */
    bool margins; /* has the first row a margin? */
    plumb_examples *out;
} reading;

static plumb_status read_margin(reading *r, const plumb_row *row, double *margin)
{
    json_t *j = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, NULL, &j));
    const json_t *value = json_object_get(j, "margin");
    bool there = value && !json_is_null(value);
    plumb_status s = PLUMB_OK;
    *margin = there ? json_number_value(value) : 0;
    if (there && !json_is_number(value))
        s = plumb_fail(PLUMB_E_INPUT, "\"margin\" is %s; expected a number", plumb_json_kind(value));
    else if (r->rows && there != r->margins)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "the row has %s \"margin\", but those before it have %s",
                                  there ? "a" : "no", there ? "none" : "one"),
                       "give all rows a margin (0 is none), or none of them");
    json_decref(j);
    PLUMB_TRY(s);
    r->margins = there;
    r->rows++;
    return PLUMB_OK;
}

static bool too_long(const reading *r, const plumb_pair *pair)
{
    size_t most = (size_t)r->max_length;
    return most && (pair->ids[0].count > most || pair->ids[1].count > most);
}

static plumb_status take_pair(reading *r, const plumb_row *row, const plumb_pair *pair)
{
    plumb_examples *e = r->out;
    plumb_ids ids[2] = {pair->ids[0], pair->ids[1]}; /* borrowed */
    double margin = 0;
    if (pair->skip == PLUMB_SKIP_BAD_ROW) {
        e->skipped[pair->skip]++;
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_context(read_margin(r, row, &margin), "%s:%lld", r->name, (long long)row->line));
    plumb_skip skip = !ids[0].count || !ids[1].count ? PLUMB_SKIP_EMPTY_RESPONSE
                      : too_long(r, pair)            ? PLUMB_SKIP_PROMPT_TOO_LONG
                                                     : PLUMB_SKIP_NONE;
    e->skipped[skip]++;
    if (skip) return PLUMB_OK;
    for (int s = 0; s < 2; s++)
        ids[s].count = 1 + (size_t)plumb_reward_position(ids[s].data, (int)ids[s].count, r->pad_id);
    int shared = pair->shared;
    for (int s = 0; s < 2; s++)
        if (shared > (int)ids[s].count) shared = (int)ids[s].count;
    PLUMB_TRY(plumb_examples_add_scored(e, row->index, row->hash, ids, 2, shared));
    e->list[e->count - 1].margin = margin;
    return PLUMB_OK;
}

plumb_status plumb_scored_pairs_read(plumb_pair_reader *reader, int64_t pad_id, int max_length, plumb_examples *out)
{
    reading r = {.name = plumb_pair_reader_name(reader), .pad_id = pad_id, .max_length = max_length, .out = out};
    for (;;) {
        const plumb_row *row;
        const plumb_pair *pair;
        bool found;
        PLUMB_TRY(plumb_pair_reader_next(reader, &row, &pair, &found));
        if (!found) break;
        PLUMB_TRY(take_pair(&r, row, pair));
    }
    plumb_pair_reader_rows(reader, &out->hash, NULL);
    if (out->count) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: no pair is left to train on", plumb_pair_reader_name(reader)),
                      "is the file empty, or --max_length too small?");
}
