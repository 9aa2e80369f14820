#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, FIRST_CHUNK = 64 * 1024, HUGE_PAGE = 2 << 20, LARGE = 4 * HUGE_PAGE };

/* The callers' pointers have many types; memcpy moves the pointer's value without aliasing it. */
static void *load_pointer(const void *where)
{
    void *value;
    memcpy(&value, where, sizeof value);
    return value;
}

static void store_pointer(void *where, void *value)
{
    memcpy(where, &value, sizeof value);
}

plumb_status plumb_new(void *out, size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size ? size : 1);
    if (!block) return plumb_no_memory();
    store_pointer(out, block);
    return PLUMB_OK;
}

plumb_status plumb_reserve(void *data, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity) return PLUMB_OK;
    size_t room = *capacity + *capacity / 2;
    if (room < need) room = need;
    if (room < 8) room = 8;
    if (size && room > SIZE_MAX / size) return plumb_no_memory();
    void *block = realloc(load_pointer(data), room * size);
    if (!block) return plumb_no_memory();
    store_pointer(data, block);
    *capacity = room;
    return PLUMB_OK;
}

plumb_status plumb_new_aligned(void *out, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - ALIGNMENT) / size) return plumb_no_memory();
    size_t bytes = count * size, unit = bytes >= LARGE ? HUGE_PAGE : ALIGNMENT;
    if (bytes > SIZE_MAX - unit) return plumb_no_memory();
    bytes = bytes ? (bytes + unit - 1) / unit * unit : unit;
    void *block = aligned_alloc(unit, bytes);
    if (!block) return plumb_no_memory();
#ifdef MADV_HUGEPAGE
    if (bytes >= LARGE) madvise(block, bytes, MADV_HUGEPAGE); /* advice: matrices read by rows miss the TLB less */
#endif
    store_pointer(out, block);
    return PLUMB_OK;
}

plumb_status plumb_text_append(plumb_text *t, const void *bytes, size_t count)
{
    if (count >= SIZE_MAX - t->size) return plumb_no_memory();
    PLUMB_TRY(plumb_reserve(&t->data, &t->capacity, t->size + count + 1, 1));
    if (count) memcpy(t->data + t->size, bytes, count);
    t->size += count;
    t->data[t->size] = 0;
    return PLUMB_OK;
}

plumb_status plumb_text_string(plumb_text *t, const char *string)
{
    return plumb_text_append(t, string, strlen(string));
}

plumb_status plumb_text_printf(plumb_text *t, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    plumb_status s = n < 0 ? plumb_fail(PLUMB_E_INTERNAL, "cannot format \"%s\"", format)
                           : plumb_reserve(&t->data, &t->capacity, t->size + (size_t)n + 1, 1);
    if (!s) {
        vsnprintf(t->data + t->size, (size_t)n + 1, format, again);
        t->size += (size_t)n;
    }
    va_end(again);
    return s;
}

void plumb_text_clear(plumb_text *t)
{
    t->size = 0;
    if (t->data) t->data[0] = 0;
}

void plumb_text_free(plumb_text *t)
{
    free(t->data);
    *t = (plumb_text){0};
}

struct plumb_chunk {
    struct plumb_chunk *next;
    size_t size; /* usable bytes behind the header */
};

enum { HEADER = ALIGNMENT };
_Static_assert(sizeof(struct plumb_chunk) <= HEADER, "an arena chunk's header must fit its alignment");

plumb_status plumb_arena_new(plumb_arena *a, void *out, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX / 4) / size) return plumb_no_memory();
    size_t need = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!a->chunks || a->chunks->size - a->used < need) {
        size_t room = a->chunks ? a->chunks->size * 2 : FIRST_CHUNK;
        if (room < need) room = need;
        struct plumb_chunk *chunk = aligned_alloc(ALIGNMENT, HEADER + room);
        if (!chunk) return plumb_no_memory();
        *chunk = (struct plumb_chunk){a->chunks, room};
        a->chunks = chunk;
        a->used = 0;
    }
    char *piece = (char *)a->chunks + HEADER + a->used;
    a->used += need;
    memset(piece, 0, need);
    store_pointer(out, piece);
    return PLUMB_OK;
}

plumb_status plumb_arena_copy(plumb_arena *a, void *out, const void *bytes, size_t count)
{
    char *copy = NULL;
    PLUMB_TRY(plumb_arena_new(a, &copy, count + 1, 1));
    if (count) memcpy(copy, bytes, count);
    store_pointer(out, copy);
    return PLUMB_OK;
}

static void free_chunks(struct plumb_chunk *chunk)
{
    while (chunk) {
        struct plumb_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void plumb_arena_reset(plumb_arena *a)
{
    if (!a->chunks) return;
    free_chunks(a->chunks->next); /* the newest is the largest */
    a->chunks->next = NULL;
    a->used = 0;
}

void plumb_arena_free(plumb_arena *a)
{
    free_chunks(a->chunks);
    *a = (plumb_arena){0};
}

plumb_status plumb_ids_push(plumb_ids *ids, int32_t id)
{
    PLUMB_TRY(plumb_reserve(&ids->data, &ids->capacity, ids->count + 1, sizeof *ids->data));
    ids->data[ids->count++] = id;
    return PLUMB_OK;
}

plumb_status plumb_ids_append(plumb_ids *ids, const int32_t *data, size_t count)
{
    PLUMB_TRY(plumb_reserve(&ids->data, &ids->capacity, ids->count + count, sizeof *ids->data));
    if (count) memcpy(ids->data + ids->count, data, count * sizeof *data);
    ids->count += count;
    return PLUMB_OK;
}

void plumb_ids_free(plumb_ids *ids)
{
    free(ids->data);
    *ids = (plumb_ids){0};
}
