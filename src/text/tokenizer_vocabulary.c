#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"

static uint32_t hash_of(const char *token, size_t n)
{
    return (uint32_t)XXH3_64bits(token, n);
}

plumb_status plumb_vocabulary_reserve(plumb_vocabulary *v, size_t count, int32_t size, size_t bytes)
{
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    PLUMB_TRY(plumb_new(&v->tokens, (size_t)size, sizeof *v->tokens));
    PLUMB_TRY(plumb_new(&v->slots, slots, sizeof *v->slots));
    PLUMB_TRY(plumb_reserve(&v->text.data, &v->text.capacity, bytes + 2, 1));
    for (size_t i = 0; i < slots; i++) v->slots[i].id = -1;
    v->slot_mask = slots - 1;
    v->size = size;
    return plumb_text_append(&v->text, "", 1);
}

/* The slot of a string, or the free one where it would go. */
static plumb_token_slot *find_slot(const plumb_vocabulary *v, const char *token, size_t n, uint32_t hash)
{
    size_t at = hash & v->slot_mask;
    for (;; at = (at + 1) & v->slot_mask) {
        plumb_token_slot *slot = &v->slots[at];
        if (slot->id < 0) return slot;
        if (slot->hash != hash) continue;
        const plumb_token *other = &v->tokens[slot->id];
        if (other->size == n && memcmp(v->text.data + other->offset, token, n) == 0) return slot;
    }
}

plumb_status plumb_vocabulary_add(plumb_vocabulary *v, const char *token, size_t n, int32_t id)
{
    uint32_t hash = hash_of(token, n);
    plumb_token_slot *slot = find_slot(v, token, n, hash);
    if (slot->id >= 0) return plumb_fail(PLUMB_E_INPUT, "\"%.*s\" is there twice", (int)(n < 100 ? n : 100), token);
    plumb_token *place = &v->tokens[id];
    if (place->offset)
        return plumb_fail(PLUMB_E_INPUT, "\"%.*s\" and \"%.*s\" have the same id, %d",
                          (int)(place->size < 100 ? place->size : 100), v->text.data + place->offset,
                          (int)(n < 100 ? n : 100), token, id);
    *place = (plumb_token){(uint32_t)v->text.size, (uint32_t)n};
    *slot = (plumb_token_slot){hash, id};
    v->count++;
    return plumb_text_append(&v->text, token, n);
}

void plumb_vocabulary_finish(plumb_vocabulary *v)
{
    for (uint32_t c = 0; c < PLUMB_DIRECT_CHARACTERS; c++) {
        char bytes[4];
        v->direct[c] = plumb_vocabulary_find(v, bytes, plumb_utf8_put(c, bytes));
    }
}

void plumb_vocabulary_free(plumb_vocabulary *v)
{
    plumb_text_free(&v->text);
    free(v->tokens);
    free(v->slots);
}

int32_t plumb_vocabulary_find(const plumb_vocabulary *v, const char *token, size_t n)
{
    return find_slot(v, token, n, hash_of(token, n))->id;
}

const char *plumb_vocabulary_token(const plumb_vocabulary *v, int32_t id, size_t *n)
{
    if (id < 0 || id >= v->size || !v->tokens[id].offset) return NULL;
    *n = v->tokens[id].size;
    return v->text.data + v->tokens[id].offset;
}
