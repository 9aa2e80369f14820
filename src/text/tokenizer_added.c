/* Added tokens: strings that are found in the text before anything else happens to it. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

/* --- tries --- */

static plumb_status add_node(plumb_trie *trie, uint8_t byte, int32_t *out)
{
    if (trie->count >= INT32_MAX) return plumb_no_memory();
    PLUMB_TRY(plumb_reserve(&trie->nodes, &trie->capacity, trie->count + 1, sizeof *trie->nodes));
    trie->nodes[trie->count] = (plumb_trie_node){.token = -1, .byte = byte};
    *out = (int32_t)trie->count++;
    return PLUMB_OK;
}

static int32_t find_child(const plumb_trie *trie, int32_t node, uint8_t byte)
{
    if (!node) return trie->first[byte];
    int32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte) child = trie->nodes[child].sibling;
    return child;
}

/* Of two tokens with the same text the first one stays. */
static plumb_status insert(plumb_trie *trie, const char *text, size_t n, int32_t token)
{
    int32_t node = 0;
    if (!trie->count) PLUMB_TRY(add_node(trie, 0, &node));
    for (size_t i = 0; i < n; i++) {
        int32_t child = find_child(trie, node, (uint8_t)text[i]);
        if (!child) {
            PLUMB_TRY(add_node(trie, (uint8_t)text[i], &child));
            if (node) {
                trie->nodes[child].sibling = trie->nodes[node].child;
                trie->nodes[node].child = child;
            } else {
                trie->first[(uint8_t)text[i]] = child;
            }
        }
        node = child;
    }
    if (trie->nodes[node].token < 0) trie->nodes[node].token = token;
    return PLUMB_OK;
}

/* The longest token that begins at text[at], -1 for none; *end is behind it. */
static int32_t find_longest(const plumb_trie *trie, const char *text, size_t n, size_t at, size_t *end)
{
    int32_t found = -1;
    for (int32_t node = 0; at < n;) {
        node = find_child(trie, node, (uint8_t)text[at++]);
        if (!node) break;
        if (trie->nodes[node].token < 0) continue;
        found = trie->nodes[node].token;
        *end = at;
    }
    return found;
}

/* --- reading --- */

/* While tokens are read: their contents to their place in the list. */
typedef struct reading {
    plumb_tokenizer *t;
    plumb_vocabulary places;
    bool *special; /* [tokens] was it ever marked special? The library never forgets that. */
    int64_t next_id;
    plumb_work work;
} reading;

static plumb_status read_flags(const json_t *json, plumb_added_token *token)
{
    PLUMB_TRY(plumb_need_bool(json, "single_word", &token->single_word));
    PLUMB_TRY(plumb_need_bool(json, "lstrip", &token->lstrip));
    PLUMB_TRY(plumb_need_bool(json, "rstrip", &token->rstrip));
    PLUMB_TRY(plumb_need_bool(json, "normalized", &token->normalized));
    return plumb_need_bool(json, "special", &token->special);
}

static plumb_status copy_bytes(const char *bytes, size_t n, char **out)
{
    PLUMB_TRY(plumb_new(out, n + 1, 1));
    memcpy(*out, bytes, n);
    return PLUMB_OK;
}

static plumb_status find_normal(reading *r, plumb_added_token *token)
{
    if (!token->normalized || token->normal) return PLUMB_OK;
    const char *normal = NULL;
    size_t n = 0, origin = 0;
    PLUMB_TRY(plumb_normalize(&r->t->normalizers, &r->work, token->content, token->size, &origin, &normal, &n));
    if (n == token->size && memcmp(normal, token->content, n) == 0) return PLUMB_OK;
    token->normal_size = n;
    return copy_bytes(n ? normal : "", n, &token->normal);
}

/* As in the library the id is the one that the vocabulary has for the content, or else the next free one; what the file
 * says of it is only checked for sense. */
static plumb_status choose_id(reading *r, const char *content, size_t n, int32_t *id)
{
    *id = plumb_vocabulary_find(&r->t->vocabulary, content, n);
    if (*id >= 0) return PLUMB_OK;
    if (r->next_id >= PLUMB_IDS_END) return plumb_fail(PLUMB_E_INPUT, "more tokens than %d", PLUMB_IDS_END);
    *id = (int32_t)r->next_id++;
    return PLUMB_OK;
}

static plumb_status read_token(reading *r, const json_t *json)
{
    plumb_added *added = &r->t->added;
    if (!json_is_object(json)) return plumb_fail(PLUMB_E_INPUT, "it is %s; expected an object", plumb_json_kind(json));
    const json_t *value = NULL;
    int64_t listed = 0;
    plumb_added_token token = {0};
    PLUMB_TRY(plumb_need_index(json, "id", PLUMB_IDS_END, &listed));
    PLUMB_TRY(plumb_need(json, "content", JSON_STRING, &value));
    PLUMB_TRY(read_flags(json, &token));
    const char *content = json_string_value(value);
    size_t n = json_string_length(value);
    if (!n) return PLUMB_OK;
    int32_t place = plumb_vocabulary_find(&r->places, content, n);
    if (place < 0) {
        place = (int32_t)added->count;
        PLUMB_TRY(choose_id(r, content, n, &token.id));
        PLUMB_TRY(plumb_vocabulary_add(&r->places, content, n, place));
        PLUMB_TRY(copy_bytes(content, n, &token.content));
        token.size = n;
        added->tokens[added->count++] = token;
    } else { /* the same content again: its new flags count */
        plumb_added_token *old = &added->tokens[place];
        old->single_word = token.single_word;
        old->lstrip = token.lstrip;
        old->rstrip = token.rstrip;
        old->normalized = token.normalized;
        old->special = token.special;
    }
    r->special[place] = r->special[place] || token.special;
    return find_normal(r, &added->tokens[place]);
}

static plumb_status read_tokens(reading *r, const json_t *list)
{
    size_t count = json_array_size(list), bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += json_string_length(json_object_get(json_array_get(list, i), "content"));
    if (count >= PLUMB_IDS_END) return plumb_fail(PLUMB_E_INPUT, "more tokens than %d", PLUMB_IDS_END);
    PLUMB_TRY(plumb_new(&r->t->added.tokens, count, sizeof *r->t->added.tokens));
    PLUMB_TRY(plumb_new(&r->special, count, sizeof *r->special));
    PLUMB_TRY(plumb_vocabulary_reserve(&r->places, count, (int32_t)count, bytes));
    for (size_t i = 0; i < count; i++) {
        plumb_status s = read_token(r, json_array_get(list, i));
        if (s) return plumb_context(s, "[%zu]", i);
    }
    return PLUMB_OK;
}

/* Decoding skips a token by what it would print: its normal form, if that is the content of a special token. */
static void mark_skipped(reading *r)
{
    plumb_added *added = &r->t->added;
    for (size_t i = 0; i < added->count; i++) {
        plumb_added_token *token = &added->tokens[i];
        int32_t place =
            token->normal ? plumb_vocabulary_find(&r->places, token->normal, token->normal_size) : (int32_t)i;
        token->skipped = place >= 0 && r->special[place];
    }
}

static int by_id(const void *a, const void *b)
{
    int32_t x = ((const plumb_added_token *)a)->id, y = ((const plumb_added_token *)b)->id;
    return (x > y) - (x < y);
}

/* A token whose normal form is empty is never found. Of several with the same normal form the library finds one at
 * random; here it is the one with the lowest id. */
static plumb_status build_tries(plumb_added *added)
{
    for (size_t i = 0; i < added->count; i++) {
        const plumb_added_token *token = &added->tokens[i];
        if (i && token->id == token[-1].id)
            return plumb_fail(PLUMB_E_INPUT, "\"%s\" and \"%s\" would both get the id %d", token[-1].content,
                              token->content, token->id);
        bool normal = token->normalized && token->normal;
        const char *text = normal ? token->normal : token->content;
        size_t n = normal ? token->normal_size : token->size;
        if (!n) return plumb_fail(PLUMB_E_INPUT, "the normal form of \"%s\" is empty", token->content);
        PLUMB_TRY(insert(token->normalized ? &added->normal : &added->raw, text, n, (int32_t)i));
    }
    return PLUMB_OK;
}

plumb_status plumb_added_read(plumb_tokenizer *t, const json_t *root)
{
    const json_t *list = json_object_get(root, "added_tokens");
    if (!list) return PLUMB_OK;
    PLUMB_TRY(plumb_need(root, "added_tokens", JSON_ARRAY, &list));
    reading r = {.t = t, .next_id = (int64_t)t->vocabulary.count};
    plumb_status s = read_tokens(&r, list);
    if (!s) mark_skipped(&r);
    if (!s && t->added.count) qsort(t->added.tokens, t->added.count, sizeof *t->added.tokens, by_id);
    if (!s) s = build_tries(&t->added);
    plumb_vocabulary_free(&r.places);
    plumb_work_free(&r.work);
    free(r.special);
    return plumb_context(s, "added_tokens");
}

static void free_trie(plumb_trie *trie)
{
    free(trie->nodes);
}

void plumb_added_free(plumb_added *added)
{
    for (size_t i = 0; i < added->count; i++) {
        free(added->tokens[i].content);
        free(added->tokens[i].normal);
    }
    free(added->tokens);
    free_trie(&added->raw);
    free_trie(&added->normal);
}

const plumb_added_token *plumb_added_find_id(const plumb_added *added, int32_t id)
{
    size_t low = 0, high = added->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (added->tokens[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < added->count && added->tokens[low].id == id ? &added->tokens[low] : NULL;
}

int32_t plumb_added_find(const plumb_added *added, const char *content, size_t n)
{
    for (size_t i = 0; i < added->count; i++)
        if (added->tokens[i].size == n && memcmp(added->tokens[i].content, content, n) == 0) return added->tokens[i].id;
    return -1;
}

/* --- finding --- */

/* Neither side continues the word. */
static bool stands_alone(const char *text, size_t n, size_t begin, size_t end)
{
    size_t before = begin ? plumb_utf8_before(text, begin) : 0;
    if (begin && plumb_is_word(plumb_utf8_next(text, &before))) return false;
    return end == n || !plumb_is_word(plumb_utf8_next(text, &end));
}

static size_t spaces_before(const char *text, size_t at)
{
    while (at) {
        size_t before = plumb_utf8_before(text, at), next = before;
        if (!plumb_is_space(plumb_utf8_next(text, &next))) break;
        at = before;
    }
    return at;
}

static size_t spaces_behind(const char *text, size_t n, size_t at)
{
    for (size_t next = at; at < n; at = next)
        if (!plumb_is_space(plumb_utf8_next(text, &next))) break;
    return at;
}

/* Cuts text into tokens of a trie and what lies between. A token inside whitespace that the one before swallowed is
 * found all the same, and what follows it there is text again: the library has it so. */
static plumb_status find_tokens(const plumb_added *added, const plumb_trie *trie, const char *text, size_t n,
                                plumb_pieces *out)
{
    size_t done = 0;
    out->count = 0;
    for (size_t at = 0; trie->count && at < n;) {
        size_t begin = at, end = at;
        int32_t found = trie->first[(uint8_t)text[at]] ? find_longest(trie, text, n, at, &end) : -1;
        at++;
        if (found < 0) continue;
        at = end;
        const plumb_added_token *token = &added->tokens[found];
        if (token->single_word && !stands_alone(text, n, begin, end)) continue;
        if (token->lstrip) begin = spaces_before(text, begin);
        if (token->lstrip && begin < done) begin = done;
        if (token->rstrip) end = spaces_behind(text, n, end);
        if (done < begin) PLUMB_TRY(plumb_push_piece(out, (plumb_piece){done, begin, 0, -1}));
        if (begin < end) PLUMB_TRY(plumb_push_piece(out, (plumb_piece){begin, end, 0, token->id}));
        done = end;
    }
    return done < n ? plumb_push_piece(out, (plumb_piece){done, n, 0, -1}) : PLUMB_OK;
}

/* Normalizes a piece of the input, looks for the other tokens in it and appends what comes out to work->next. */
static plumb_status extract_normal(const plumb_tokenizer *t, plumb_work *work, const char *text, plumb_piece piece)
{
    const char *normal = NULL;
    size_t n = 0, base = work->next.text.size, origin = piece.begin ? 0 : plumb_utf8_size(text[0]);
    PLUMB_TRY(
        plumb_normalize(&t->normalizers, work, text + piece.begin, piece.end - piece.begin, &origin, &normal, &n));
    if (!n) return PLUMB_OK;
    PLUMB_TRY(find_tokens(&t->added, &t->added.normal, normal, n, &work->cuts));
    PLUMB_TRY(plumb_text_append(&work->next.text, normal, n));
    for (size_t i = 0; i < work->cuts.count; i++) {
        plumb_piece cut = work->cuts.data[i];
        cut.origin = cut.begin < origin ? origin - cut.begin : 0;
        if (cut.origin > cut.end - cut.begin) cut.origin = cut.end - cut.begin;
        cut.begin = cut.id < 0 ? cut.begin + base : 0;
        cut.end = cut.id < 0 ? cut.end + base : 0;
        PLUMB_TRY(plumb_push_piece(&work->next, cut));
    }
    return PLUMB_OK;
}

plumb_status plumb_added_extract(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n)
{
    PLUMB_TRY(find_tokens(&t->added, &t->added.raw, text, n, &work->raw));
    for (size_t i = 0; i < work->raw.count; i++) {
        plumb_piece piece = work->raw.data[i];
        if (piece.id >= 0)
            PLUMB_TRY(plumb_push_piece(&work->next, (plumb_piece){.id = piece.id}));
        else
            PLUMB_TRY(extract_normal(t, work, text, piece));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}
