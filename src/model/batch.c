#include "model/batch.h"

#include <stdlib.h>

static plumb_status push_segment(plumb_segment **list, size_t *count, size_t *capacity, plumb_segment segment)
{
    if (segment.query.count == 0) return PLUMB_OK;
    PLUMB_TRY(plumb_reserve(list, capacity, *count + 1, sizeof **list));
    (*list)[(*count)++] = segment;
    return PLUMB_OK;
}

/* Appends `count` tokens of a sequence at positions first ..; the ones from position wanted_from on are wanted. *own is
 * where they went, *wanted how many are wanted. */
static plumb_status append_span(plumb_batch *b, const int32_t *ids, int first, int count, int wanted_from,
                                plumb_span *own, plumb_span *wanted)
{
    *own = (plumb_span){(int)b->ids.count, count, first};
    *wanted = (plumb_span){(int)b->wanted.count, 0, first > wanted_from ? first : wanted_from};
    for (int i = first; i < first + count; i++) {
        if (i >= wanted_from) {
            PLUMB_TRY(plumb_ids_push(&b->wanted, (int32_t)b->ids.count));
            PLUMB_TRY(plumb_ids_push(&b->wanted_positions, i));
            wanted->count++;
        }
        PLUMB_TRY(plumb_ids_push(&b->ids, ids[i - first]));
        PLUMB_TRY(plumb_ids_push(&b->positions, i));
    }
    return PLUMB_OK;
}

/* The first min(own, partners) of `own` rows get partners from row `first` on. */
static plumb_status push_partners(plumb_ids *list, int own, int first, int partners)
{
    for (int i = 0; i < own; i++) PLUMB_TRY(plumb_ids_push(list, i < partners ? first + i : -1));
    return PLUMB_OK;
}

static plumb_status push_both(plumb_batch *b, plumb_span query, plumb_span wanted, plumb_span prefix, plumb_span own)
{
    PLUMB_TRY(push_segment(&b->segments, &b->segment_count, &b->segment_capacity, (plumb_segment){query, prefix, own}));
    return push_segment(&b->wanted_segments, &b->wanted_segment_count, &b->wanted_segment_capacity,
                        (plumb_segment){wanted, prefix, own});
}

plumb_status plumb_batch_add(plumb_batch *b, const int32_t *const ids[], const int counts[], int branches, int shared,
                             int wanted_from, plumb_group_place *place)
{
    plumb_span prefix, own, wanted, none = {0, 0, shared}, before = none, wanted_before = none;
    *place = (plumb_group_place){.first = (int)b->wanted.count};
    PLUMB_TRY(append_span(b, ids[0], 0, shared, wanted_from, &prefix, &wanted));
    PLUMB_TRY(push_both(b, prefix, wanted, prefix, none));
    PLUMB_TRY(push_partners(&b->partners, prefix.count, 0, 0));
    PLUMB_TRY(push_partners(&b->wanted_partners, wanted.count, 0, 0));
    place->prefix_wanted = wanted.count;
    for (int i = 0; i < branches; i++) {
        PLUMB_TRY(append_span(b, ids[i] + shared, shared, counts[i] - shared, wanted_from, &own, &wanted));
        PLUMB_TRY(push_both(b, own, wanted, prefix, own));
        PLUMB_TRY(push_partners(&b->partners, own.count, before.row, before.count));
        PLUMB_TRY(push_partners(&b->wanted_partners, wanted.count, wanted_before.row, wanted_before.count));
        place->branch[i] = wanted.row;
        place->own_wanted[i] = wanted.count;
        before = own;
        wanted_before = wanted;
    }
    return PLUMB_OK;
}

plumb_status plumb_batch_extend(plumb_batch *b, const int32_t *ids, int count, int position, plumb_span prefix,
                                plumb_span own, bool wanted)
{
    plumb_span queries, ends, at = own.count ? own : prefix;
    PLUMB_TRY(append_span(b, ids, position, count, wanted ? position + count - 1 : position + count, &queries, &ends));
    for (int i = 0; i < count; i++) PLUMB_TRY(plumb_ids_push(&b->cache_rows, at.row + at.count - count + i));
    return push_both(b, queries, ends, prefix, own);
}

plumb_status plumb_batch_check(const plumb_batch *b, int vocab, int *positions)
{
    *positions = 0;
    for (size_t i = 0; i < b->ids.count; i++) {
        if (b->ids.data[i] < 0 || b->ids.data[i] >= vocab)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "token id %d is outside the model's %d embedding rows",
                                         b->ids.data[i], vocab),
                              "do tokenizer.json and the weights belong together?");
        if (b->positions.data[i] >= *positions) *positions = b->positions.data[i] + 1;
    }
    return PLUMB_OK;
}

int plumb_group_rows(const int counts[], int branches, int shared)
{
    int rows = shared;
    for (int i = 0; i < branches; i++) rows += counts[i] - shared;
    return rows;
}

int plumb_partners_cut(const plumb_ids *partners, int first, int limit)
{
    const int32_t *partner = partners->data;
    int rows = (int)partners->count, next = limit; /* the first row from the cut on that has a partner */
    while (next < rows && partner[next] < 0) next++;
    for (int cut = limit; cut > first; cut--) {
        if (partner[cut] >= 0) next = cut;
        if (next == rows || partner[next] >= cut) return cut;
    }
    return limit;
}

void plumb_batch_clear(plumb_batch *b)
{
    b->ids.count = b->positions.count = b->wanted.count = b->wanted_positions.count = b->cache_rows.count = 0;
    b->partners.count = b->wanted_partners.count = 0;
    b->segment_count = b->wanted_segment_count = 0;
}

void plumb_batch_free(plumb_batch *b)
{
    plumb_ids_free(&b->ids);
    plumb_ids_free(&b->positions);
    plumb_ids_free(&b->wanted);
    plumb_ids_free(&b->wanted_positions);
    plumb_ids_free(&b->partners);
    plumb_ids_free(&b->wanted_partners);
    plumb_ids_free(&b->cache_rows);
    free(b->segments);
    free(b->wanted_segments);
    *b = (plumb_batch){0};
}
