/* Memory: growing arrays, an arena for scratch that is reset rather than freed, and aligned blocks. */
#ifndef PLUMB_BASE_MEMORY_H
#define PLUMB_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* count * size zeroed bytes into *out (any pointer type by its address); PLUMB_E_MEMORY on overflow or shortage.
 * A count of 0 gives a valid block. Freed with free(). */
plumb_status plumb_new(void *out, size_t count, size_t size) PLUMB_MUST_USE;

/* Makes *data, an array of elements of `size` bytes with room for *capacity, hold at least `need`; grows by half, so
 * that appending is linear. On failure nothing changes. Freed with free(). */
plumb_status plumb_reserve(void *data, size_t *capacity, size_t need, size_t size) PLUMB_MUST_USE;

/* A block aligned to 64 bytes (a cache line, an AVX-512 register), not zeroed. Freed with free(). */
plumb_status plumb_new_aligned(void *out, size_t count, size_t size) PLUMB_MUST_USE;

/* Bytes that grow: text or binary. {0} is empty; data is NULL until the first append, then always ends in a zero byte
 * that is not counted. */
typedef struct plumb_text {
    char *data;
    size_t size;
    size_t capacity;
} plumb_text;

plumb_status plumb_text_append(plumb_text *t, const void *bytes, size_t count) PLUMB_MUST_USE;
plumb_status plumb_text_string(plumb_text *t, const char *string) PLUMB_MUST_USE;
plumb_status plumb_text_printf(plumb_text *t, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;
void plumb_text_clear(plumb_text *t); /* keeps the memory */
void plumb_text_free(plumb_text *t);

/* An arena: pieces are handed out from chunks and all taken back at once. {0} is empty. Not thread-safe. */
typedef struct plumb_arena {
    struct plumb_chunk *chunks; /* newest first */
    size_t used;                /* bytes taken from the newest chunk */
} plumb_arena;

/* count * size zeroed bytes, aligned to 64, valid until the reset. */
plumb_status plumb_arena_new(plumb_arena *a, void *out, size_t count, size_t size) PLUMB_MUST_USE;
plumb_status plumb_arena_copy(plumb_arena *a, void *out, const void *bytes,
                              size_t count) PLUMB_MUST_USE; /* + a zero byte */
void plumb_arena_reset(plumb_arena *a);                     /* keeps the largest chunk */
void plumb_arena_free(plumb_arena *a);

/* Token ids that grow; {0} is empty. */
typedef struct plumb_ids {
    int32_t *data;
    size_t count;
    size_t capacity;
} plumb_ids;

plumb_status plumb_ids_push(plumb_ids *ids, int32_t id) PLUMB_MUST_USE;
plumb_status plumb_ids_append(plumb_ids *ids, const int32_t *data, size_t count) PLUMB_MUST_USE;
void plumb_ids_free(plumb_ids *ids);

#endif
