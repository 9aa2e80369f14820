#include "train/packing.h"

#include <stdlib.h>
#include <string.h>

#include "align/targets.h"

/* A sequence on its way into a block. */
typedef struct item {
    int tokens;
    size_t at, next; /* its place in the list; the item behind it in its block, or NONE */
} item;

typedef struct block {
    int space;
    int64_t since; /* when it came to have that space */
    size_t first, last;
} block;

static const size_t none = SIZE_MAX;

static int longest_first(const void *a, const void *b)
{
    const item *x = a, *y = b;
    if (x->tokens != y->tokens) return x->tokens < y->tokens ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static block *best_fit(block *blocks, size_t count, int tokens)
{
    block *best = NULL;
    for (block *b = blocks; b < blocks + count; b++) {
        if (b->space < tokens) continue;
        if (!best || b->space < best->space || (b->space == best->space && b->since < best->since)) best = b;
    }
    return best;
}

/* Puts n items into blocks [n]; gives their number. */
static size_t fill(item *items, size_t n, int length, block *blocks)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        block *b = best_fit(blocks, count, items[i].tokens);
        if (!b) {
            b = &blocks[count++];
            *b = (block){.space = length, .first = none};
        }
        *(b->first == none ? &b->first : &items[b->last].next) = i;
        b->last = i;
        b->space -= items[i].tokens;
        b->since = (int64_t)i;
    }
    return count;
}

/* Puts the examples into the order of the blocks and appends these. */
static void take(plumb_examples *e, size_t first, const item *items, const block *blocks, size_t count,
                 const plumb_example *old)
{
    size_t at = first;
    for (size_t b = 0; b < count; b++) {
        int rows = 0;
        for (size_t i = blocks[b].first; i != none; i = items[i].next) {
            const plumb_example *x = &old[items[i].at];
            rows += plumb_pair_rows(x->totals, x->sides, x->shared, false);
            e->list[at++] = *x;
        }
        e->block[++e->blocks] = at;
        if (rows > e->longest) e->longest = rows;
    }
}

plumb_status plumb_examples_pack(plumb_examples *e, size_t first, int length)
{
    size_t n = e->count - first;
    plumb_arena scratch = {0};
    item *items;
    block *blocks;
    plumb_example *old;
    plumb_status s = plumb_reserve(&e->block, &e->block_capacity, e->blocks + n + 1, sizeof *e->block);
    if (!s) s = plumb_arena_new(&scratch, &items, n, sizeof *items);
    if (!s) s = plumb_arena_new(&scratch, &blocks, n, sizeof *blocks);
    if (!s) s = plumb_arena_new(&scratch, &old, n, sizeof *old);
    if (!s) {
        if (!e->blocks) e->block[0] = 0;
        for (size_t i = 0; i < n; i++) {
            old[i] = e->list[first + i];
            items[i] = (item){old[i].totals[0], i, none};
        }
        qsort(items, n, sizeof *items, longest_first);
        take(e, first, items, blocks, fill(items, n, length, blocks), old);
    }
    plumb_arena_free(&scratch);
    return s;
}
