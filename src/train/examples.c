#include "train/examples.h"

#include <stdlib.h>
#include <string.h>

#include "align/targets.h"

plumb_status plumb_examples_add(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids ids[], int sides,
                                int prompt, int shared)
{
    PLUMB_TRY(plumb_reserve(&e->list, &e->capacity, e->count + 1, sizeof *e->list));
    plumb_example *x = &e->list[e->count];
    *x = (plumb_example){.index = index, .row = row, .prompt = prompt, .shared = shared, .sides = sides, .weight = 1};
    for (int s = 0; s < sides; s++) {
        x->totals[s] = (int)ids[s].count;
        PLUMB_TRY(plumb_arena_copy(&e->arena, &x->ids[s], ids[s].data, ids[s].count * sizeof *ids[s].data));
    }
    int rows = plumb_pair_rows(x->totals, sides, shared, false);
    if (rows > e->longest) e->longest = rows;
    e->count++;
    return PLUMB_OK;
}

plumb_status plumb_examples_add_sequence(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids *ids,
                                         const uint8_t *trained)
{
    int total = (int)ids->count, first = 1;
    while (first < total && !trained[first]) first++;
    PLUMB_TRY(plumb_examples_add(e, index, row, ids, 1, first, 0));
    if (first == total || !memchr(trained + first, 0, (size_t)(total - first))) return PLUMB_OK;
    return plumb_arena_copy(&e->arena, &e->list[e->count - 1].trained, trained, ids->count);
}

plumb_status plumb_examples_add_scored(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids ids[], int sides,
                                       int shared)
{
    int totals[2] = {(int)ids[0].count, sides == 2 ? (int)ids[1].count : (int)ids[0].count};
    int least = totals[0] < totals[1] ? totals[0] : totals[1]; /* states are wanted from there on */
    PLUMB_TRY(plumb_examples_add(e, index, row, ids, sides, least, shared));
    e->list[e->count - 1].scored = true;
    int rows = plumb_pair_rows(totals, sides, shared, true);
    if (rows > e->longest) e->longest = rows;
    return PLUMB_OK;
}

plumb_status plumb_examples_read(plumb_pair_reader *reader, plumb_examples *out)
{
    const plumb_row *row;
    const plumb_pair *pair;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_pair_reader_next(reader, &row, &pair, &found));
        if (!found) break;
        out->skipped[pair->skip]++;
        if (pair->skip) continue;
        out->truncated += pair->truncated;
        PLUMB_TRY(plumb_examples_add(out, row->index, row->hash, pair->ids, 2, pair->prompt, pair->shared));
    }
    plumb_pair_reader_rows(reader, &out->hash, NULL);
    if (out->count) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: no pair is left to train on", plumb_pair_reader_name(reader)),
                      "is the file empty, or --max_length too small? plumb score says of each row why it is skipped");
}

size_t plumb_examples_rows(const plumb_examples *e)
{
    return e->block ? e->blocks : e->count;
}

int plumb_example_targets(const plumb_example *x)
{
    int sum = 0;
    if (x->scored) return 1;
    if (!x->trained) return x->totals[0] - x->prompt;
    for (int i = x->prompt; i < x->totals[0]; i++) sum += x->trained[i];
    return sum;
}

void plumb_examples_free(plumb_examples *e)
{
    free(e->list);
    free(e->block);
    plumb_arena_free(&e->arena);
    *e = (plumb_examples){0};
}
