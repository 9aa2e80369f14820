/* Byte-pair encoding: characters are merged pair by pair, the pair with the lowest rank first, the leftmost of equals.
 */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"

static size_t hash_pair(uint64_t pair)
{
    return (size_t)((pair ^ pair >> 32) * 0x9E3779B97F4A7C15U >> 24);
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The slot of a pair, or the free one where it would go. */
static plumb_merge_slot *find_slot(const plumb_bpe *bpe, uint64_t pair)
{
    size_t at = hash_pair(pair) & bpe->slot_mask;
    while (bpe->slots[at].rank != UINT32_MAX && bpe->slots[at].pair != pair) at = (at + 1) & bpe->slot_mask;
    return &bpe->slots[at];
}

/* --- reading the model --- */

static plumb_status read_vocabulary(plumb_vocabulary *v, const json_t *model)
{
    const json_t *vocab = NULL;
    PLUMB_TRY(plumb_need(model, "vocab", JSON_OBJECT, &vocab));
    json_t *object = (json_t *)vocab; /* jansson's iterators want it so; nothing is changed */
    size_t bytes = 0, count = 0;
    int64_t last = -1;
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i), count++) {
        const json_t *value = json_object_iter_value(i);
        if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) >= PLUMB_IDS_END)
            return plumb_fail(PLUMB_E_INPUT, "vocab: \"%.100s\" has an id that is not a number from 0 to %d",
                              json_object_iter_key(i), PLUMB_IDS_END - 1);
        if (json_integer_value(value) > last) last = json_integer_value(value);
        bytes += json_object_iter_key_len(i);
    }
    PLUMB_TRY(plumb_vocabulary_reserve(v, count, (int32_t)last + 1, bytes));
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        int32_t id = (int32_t)json_integer_value(json_object_iter_value(i));
        PLUMB_TRY(
            plumb_context(plumb_vocabulary_add(v, json_object_iter_key(i), json_object_iter_key_len(i), id), "vocab"));
    }
    plumb_vocabulary_finish(v);
    return PLUMB_OK;
}

/* A merge as two strings. Legacy files write "a b". */
typedef struct merge_text {
    const char *left, *right;
    size_t left_size, right_size;
} merge_text;

static plumb_status read_merge_string(const json_t *json, merge_text *m)
{
    const char *text = json_string_value(json);
    size_t n = json_string_length(json);
    const char *space = memchr(text, ' ', n);
    if (!space || memchr(space + 1, ' ', n - (size_t)(space + 1 - text)))
        return plumb_fail(PLUMB_E_INPUT, "\"%.100s\" is not two tokens with one space between them", text);
    *m = (merge_text){text, space + 1, (size_t)(space - text), n - (size_t)(space + 1 - text)};
    return PLUMB_OK;
}

static plumb_status read_merge_pair(const json_t *json, merge_text *m)
{
    const json_t *left = json_array_get(json, 0), *right = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_string(left) || !json_is_string(right))
        return plumb_fail(PLUMB_E_INPUT, "expected a string \"a b\" or a pair [\"a\", \"b\"]");
    *m = (merge_text){json_string_value(left), json_string_value(right), json_string_length(left),
                      json_string_length(right)};
    return PLUMB_OK;
}

static plumb_status find_part(const plumb_vocabulary *v, const char *token, size_t n, int32_t *id)
{
    *id = plumb_vocabulary_find(v, token, n);
    if (*id >= 0) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"%.*s\" is not in the vocabulary", (int)(n < 100 ? n : 100), token);
}

static plumb_status add_merge(plumb_tokenizer *t, const merge_text *m, plumb_text *joined)
{
    plumb_bpe *bpe = &t->bpe;
    int32_t left = 0, right = 0, merged = 0;
    PLUMB_TRY(find_part(&t->vocabulary, m->left, m->left_size, &left));
    PLUMB_TRY(find_part(&t->vocabulary, m->right, m->right_size, &right));
    plumb_text_clear(joined);
    PLUMB_TRY(plumb_text_append(joined, m->left, m->left_size));
    PLUMB_TRY(plumb_text_append(joined, m->right, m->right_size));
    PLUMB_TRY(find_part(&t->vocabulary, joined->data, joined->size, &merged));
    plumb_merge_slot *slot = find_slot(bpe, pair_of(left, right));
    *slot = (plumb_merge_slot){pair_of(left, right),
                               (uint32_t)bpe->ranks}; /* of a pair that comes twice, the last counts */
    bpe->merged[bpe->ranks++] = merged;
    return PLUMB_OK;
}

static plumb_status add_merges(plumb_tokenizer *t, const json_t *merges, plumb_text *joined)
{
    bool strings = json_is_string(json_array_get(merges, 0));
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *json = json_array_get(merges, i);
        merge_text m = {0};
        if (json_is_string(json) != strings)
            return plumb_fail(PLUMB_E_INPUT, "merges[%zu]: strings and pairs are mixed", i);
        if (strings && strncmp(json_string_value(json), "#version", 8) == 0) continue;
        plumb_status s = strings ? read_merge_string(json, &m) : read_merge_pair(json, &m);
        if (!s) s = add_merge(t, &m, joined);
        if (s) return plumb_context(s, "merges[%zu]", i);
    }
    return PLUMB_OK;
}

static plumb_status read_merges(plumb_tokenizer *t, const json_t *model)
{
    const json_t *merges = NULL;
    PLUMB_TRY(plumb_need(model, "merges", JSON_ARRAY, &merges));
    size_t count = json_array_size(merges), slots = 16;
    while (slots < 2 * count) slots *= 2;
    PLUMB_TRY(plumb_new(&t->bpe.slots, slots, sizeof *t->bpe.slots));
    PLUMB_TRY(plumb_new(&t->bpe.merged, count, sizeof *t->bpe.merged));
    for (size_t i = 0; i < slots; i++) t->bpe.slots[i].rank = UINT32_MAX;
    t->bpe.slot_mask = slots - 1;
    plumb_text joined = {0};
    plumb_status s = add_merges(t, merges, &joined);
    plumb_text_free(&joined);
    return s;
}

static plumb_status refuse_affix(const json_t *model, const char *key)
{
    const json_t *value = json_object_get(model, key);
    if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value))) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "a \"%s\" is not built: no checkpoint of a causal language model has one", key);
}

static plumb_status read_flag(const json_t *model, const char *key, bool *out)
{
    const json_t *value = json_object_get(model, key);
    if (!value || json_is_null(value)) return PLUMB_OK;
    return plumb_need_bool(model, key, out);
}

static plumb_status read_unknown(plumb_tokenizer *t, const json_t *model)
{
    const json_t *value = json_object_get(model, "unk_token");
    t->bpe.unk_id = -1;
    if (!value || json_is_null(value)) return PLUMB_OK;
    PLUMB_TRY(plumb_need(model, "unk_token", JSON_STRING, &value));
    t->bpe.unk_token = strdup(json_string_value(value));
    if (!t->bpe.unk_token) return plumb_no_memory();
    t->bpe.unk_id = plumb_vocabulary_find(&t->vocabulary, json_string_value(value), json_string_length(value));
    return PLUMB_OK;
}

static plumb_status check_type(const json_t *model)
{
    const json_t *type = json_object_get(model, "type");
    if (!type && json_is_array(json_object_get(model, "merges"))) return PLUMB_OK; /* files of 2020, as GPT-2's */
    if (!type) return plumb_fail(PLUMB_E_INPUT, "it has neither a \"type\" nor \"merges\"; only BPE is built");
    if (json_is_string(type) && strcmp(json_string_value(type), "BPE") == 0) return PLUMB_OK;
    if (!json_is_string(type)) return plumb_need(model, "type", JSON_STRING, &type);
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "the type \"%.40s\" is not built; only BPE is", json_string_value(type)),
        "causal language models nearly all have BPE; a checkpoint with another tokenizer cannot be used");
}

static plumb_status check_dropout(const json_t *model)
{
    const json_t *dropout = json_object_get(model, "dropout");
    if (!dropout || json_is_null(dropout) || (json_is_number(dropout) && json_number_value(dropout) == 0))
        return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"dropout\" would make the ids random"), "set it to null");
}

plumb_status plumb_bpe_read(plumb_tokenizer *t, const json_t *model)
{
    PLUMB_TRY(check_type(model));
    PLUMB_TRY(check_dropout(model));
    PLUMB_TRY(refuse_affix(model, "continuing_subword_prefix"));
    PLUMB_TRY(refuse_affix(model, "end_of_word_suffix"));
    PLUMB_TRY(read_flag(model, "byte_fallback", &t->bpe.byte_fallback));
    PLUMB_TRY(read_flag(model, "fuse_unk", &t->bpe.fuse_unk));
    PLUMB_TRY(read_flag(model, "ignore_merges", &t->bpe.ignore_merges));
    PLUMB_TRY(read_vocabulary(&t->vocabulary, model));
    PLUMB_TRY(read_unknown(t, model));
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b & 0xFF);
        t->bpe.bytes[b] = plumb_vocabulary_find(&t->vocabulary, name, 6);
    }
    return read_merges(t, model);
}

void plumb_bpe_free(plumb_bpe *bpe)
{
    free(bpe->slots);
    free(bpe->merged);
    free(bpe->unk_token);
}

/* --- characters of a word --- */

typedef struct word_builder {
    const plumb_tokenizer *t;
    plumb_symbol *symbols;
    int32_t count;
    bool unknown; /* unknown characters wait to be written as one token */
} word_builder;

static void push_symbol(word_builder *w, int32_t id)
{
    w->symbols[w->count] = (plumb_symbol){id, w->count - 1, w->count + 1};
    w->count++;
}

static void flush_unknown(word_builder *w)
{
    if (w->unknown) push_symbol(w, w->t->bpe.unk_id);
    w->unknown = false;
}

static bool push_bytes(word_builder *w, const char *character, size_t n)
{
    const int32_t *bytes = w->t->bpe.bytes;
    for (size_t i = 0; i < n; i++)
        if (bytes[(uint8_t)character[i]] < 0) return false;
    for (size_t i = 0; i < n; i++) push_symbol(w, bytes[(uint8_t)character[i]]);
    return true;
}

static plumb_status push_character(word_builder *w, const char *character, size_t n, uint32_t c)
{
    const plumb_tokenizer *t = w->t;
    int32_t id =
        c < PLUMB_DIRECT_CHARACTERS ? t->vocabulary.direct[c] : plumb_vocabulary_find(&t->vocabulary, character, n);
    if (id >= 0) {
        flush_unknown(w);
        push_symbol(w, id);
        return PLUMB_OK;
    }
    /* Bytes do not flush: unknown characters that wait come out behind them. The library does so. */
    if (t->bpe.byte_fallback && push_bytes(w, character, n)) return PLUMB_OK;
    if (!t->bpe.unk_token) return PLUMB_OK;
    if (t->bpe.unk_id < 0)
        return plumb_fail(PLUMB_E_INPUT, "\"%.*s\" is not in the vocabulary and neither is the unk_token \"%.40s\"",
                          (int)n, character, t->bpe.unk_token);
    if (!t->bpe.fuse_unk) flush_unknown(w);
    w->unknown = true;
    return PLUMB_OK;
}

/* --- merging --- */

/* A heap with four children to a node, whose levels are half as many as a binary heap's. */
static void sift_down(uint64_t *heap, size_t size, size_t at)
{
    uint64_t value = heap[at];
    for (;;) {
        size_t child = 4 * at + 1, end = child + 4 < size ? child + 4 : size, best = child;
        if (child >= size) break;
        for (size_t i = child + 1; i < end; i++)
            if (heap[i] < heap[best]) best = i;
        if (heap[best] >= value) break;
        heap[at] = heap[best];
        at = best;
    }
    heap[at] = value;
}

static uint64_t heap_pop(plumb_bpe_work *work)
{
    uint64_t top = work->heap[0];
    work->heap[0] = work->heap[--work->heap_size];
    if (work->heap_size) sift_down(work->heap, work->heap_size, 0);
    return top;
}

/* Room is there: a merge takes one entry and adds two at the most, and there are fewer merges than symbols. */
static void heap_push(plumb_bpe_work *work, uint64_t value)
{
    size_t at = work->heap_size++;
    while (at && work->heap[(at - 1) / 4] > value) {
        work->heap[at] = work->heap[(at - 1) / 4];
        at = (at - 1) / 4;
    }
    work->heap[at] = value;
}

/* Queues the pair that begins at a symbol, if it merges. */
static void queue_pair(const plumb_bpe *bpe, plumb_bpe_work *work, int32_t at)
{
    const plumb_symbol *left = &work->symbols[at], *right = &work->symbols[left->next];
    uint32_t rank = find_slot(bpe, pair_of(left->id, right->id))->rank;
    if (rank != UINT32_MAX) heap_push(work, (uint64_t)rank << 32 | (uint32_t)at);
}

static void queue_all(const plumb_bpe *bpe, plumb_bpe_work *work, int32_t count)
{
    work->heap_size = 0;
    for (int32_t i = 0; i + 1 < count; i++) {
        uint32_t rank = find_slot(bpe, pair_of(work->symbols[i].id, work->symbols[i + 1].id))->rank;
        if (rank != UINT32_MAX) work->heap[work->heap_size++] = (uint64_t)rank << 32 | (uint32_t)i;
    }
    for (size_t i = work->heap_size / 4 + 1; i-- > 0;)
        if (i < work->heap_size) sift_down(work->heap, work->heap_size, i);
}

/* An entry is out of date when its symbols are gone or make another token now. As in the library only the token is
 * compared, not the rank: a new pair that makes the same token merges at once. */
static void merge_all(const plumb_bpe *bpe, plumb_bpe_work *work, int32_t count)
{
    plumb_symbol *symbols = work->symbols;
    queue_all(bpe, work, count);
    while (work->heap_size) {
        uint64_t top = heap_pop(work);
        int32_t at = (int32_t)(uint32_t)top, merged = bpe->merged[top >> 32];
        plumb_symbol *left = &symbols[at];
        if (left->id < 0 || left->next == count) continue;
        plumb_symbol *right = &symbols[left->next];
        uint32_t rank = find_slot(bpe, pair_of(left->id, right->id))->rank;
        if (rank == UINT32_MAX || bpe->merged[rank] != merged) continue;
        left->id = merged;
        left->next = right->next;
        right->id = -1;
        if (left->next < count) symbols[left->next].prev = at;
        if (left->prev >= 0) queue_pair(bpe, work, left->prev);
        if (left->next < count) queue_pair(bpe, work, at);
    }
}

static plumb_status reserve_work(plumb_bpe_work *work, size_t n)
{
    PLUMB_TRY(plumb_reserve(&work->symbols, &work->symbol_capacity, n, sizeof *work->symbols));
    return plumb_reserve(&work->heap, &work->heap_capacity, 2 * n, sizeof *work->heap);
}

plumb_status plumb_bpe_encode(const plumb_tokenizer *t, plumb_bpe_work *work, const char *word, size_t n,
                              plumb_ids *out)
{
    if (t->bpe.ignore_merges) {
        int32_t id = plumb_vocabulary_find(&t->vocabulary, word, n);
        if (id >= 0) return plumb_ids_push(out, id);
    }
    if (n > INT32_MAX / 2) return plumb_fail(PLUMB_E_INPUT, "a text of %zu bytes without a break is too long", n);
    PLUMB_TRY(reserve_work(work, n));
    word_builder w = {.t = t, .symbols = work->symbols};
    for (size_t at = 0; at < n;) {
        size_t begin = at;
        uint32_t c = plumb_utf8_next(word, &at);
        PLUMB_TRY(push_character(&w, word + begin, at - begin, c));
    }
    flush_unknown(&w);
    merge_all(&t->bpe, work, w.count);
    PLUMB_TRY(plumb_reserve(&out->data, &out->capacity, out->count + (size_t)w.count, sizeof *out->data));
    for (int32_t i = 0; i < w.count; i = work->symbols[i].next) out->data[out->count++] = work->symbols[i].id;
    return PLUMB_OK;
}

void plumb_bpe_work_free(plumb_bpe_work *work)
{
    free(work->symbols);
    free(work->heap);
}
