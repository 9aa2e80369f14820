#include "study/lint_seen.h"

#include <stdlib.h>

/* The upper byte of the hash chooses a shard. Each grows by itself, by half when four fifths full, so that at no time
 * more than one 256th of the pairs has its old and its new place. */
enum { SHARDS = 256, LINE_BITS = 40, FEWEST = 16 };

static const uint64_t line_mask = ((uint64_t)1 << LINE_BITS) - 1;

typedef struct entry {
    uint64_t low;
    uint64_t high_and_line; /* 24 bits of the hash's upper half, then the line; 0: free, for no line is 0 */
} entry;

typedef struct shard {
    entry *entries;
    size_t capacity, count;
} shard;

struct plumb_seen {
    shard shards[SHARDS];
};

plumb_status plumb_seen_new(plumb_seen **out)
{
    *out = NULL;
    return plumb_new(out, 1, sizeof **out);
}

void plumb_seen_free(plumb_seen *seen)
{
    for (int i = 0; seen && i < SHARDS; i++) free(seen->shards[i].entries);
    free(seen);
}

/* The entry with this hash, or the free one where it belongs. */
static entry *place_of(const shard *s, uint64_t low, uint64_t high)
{
    __extension__ typedef unsigned __int128 wide;
    size_t at = (size_t)((wide)(low << 8) * s->capacity >> 64);
    for (;; at = at + 1 < s->capacity ? at + 1 : 0) {
        entry *e = &s->entries[at];
        if (!e->high_and_line || (e->low == low && (e->high_and_line & ~line_mask) == high)) return e;
    }
}

static uint64_t upper(XXH128_hash_t hash)
{
    return hash.high64 & ~line_mask;
}

int64_t plumb_seen_find(const plumb_seen *seen, XXH128_hash_t hash)
{
    const shard *s = &seen->shards[hash.low64 >> 56];
    return s->capacity ? (int64_t)(place_of(s, hash.low64, upper(hash))->high_and_line & line_mask) : 0;
}

static plumb_status grow(shard *s)
{
    shard wider = {.capacity = s->capacity ? s->capacity + s->capacity / 2 : FEWEST, .count = s->count};
    PLUMB_TRY(plumb_new(&wider.entries, wider.capacity, sizeof *wider.entries));
    for (size_t i = 0; i < s->capacity; i++) {
        const entry *e = &s->entries[i];
        if (e->high_and_line) *place_of(&wider, e->low, e->high_and_line & ~line_mask) = *e;
    }
    free(s->entries);
    *s = wider;
    return PLUMB_OK;
}

plumb_status plumb_seen_add(plumb_seen *seen, XXH128_hash_t hash, int64_t line)
{
    shard *s = &seen->shards[hash.low64 >> 56];
    if (5 * (s->count + 1) > 4 * s->capacity) PLUMB_TRY(grow(s));
    *place_of(s, hash.low64, upper(hash)) = (entry){hash.low64, upper(hash) | (uint64_t)line};
    s->count++;
    return PLUMB_OK;
}
