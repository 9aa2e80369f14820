#include "study/lint_special.h"

#include <stdlib.h>
#include <string.h>

typedef struct special {
    const char *text; /* in the tokenizer's vocabulary */
    size_t size;
    int32_t id, next; /* next: another one with the same first byte, -1: none */
} special;

struct plumb_special_tokens {
    special *tokens;
    size_t count, capacity;
    int32_t first[256]; /* by first byte, the longest first; -1: none */
    const char *eos;
};

/* Into its list, behind the longer ones. */
static void link_token(plumb_special_tokens *s, int32_t at)
{
    special *token = &s->tokens[at];
    int32_t *place = &s->first[(unsigned char)token->text[0]];
    while (*place >= 0 && s->tokens[*place].size > token->size) place = &s->tokens[*place].next;
    token->next = *place;
    *place = at;
}

static plumb_status add_all(plumb_special_tokens *s, const plumb_tokenizer *tokenizer)
{
    for (int32_t id = 0; id < plumb_tokenizer_size(tokenizer); id++) {
        size_t n = 0;
        const char *text = plumb_tokenizer_is_special(tokenizer, id) ? plumb_tokenizer_token(tokenizer, id, &n) : NULL;
        if (!text || !n) continue;
        PLUMB_TRY(plumb_reserve(&s->tokens, &s->capacity, s->count + 1, sizeof *s->tokens));
        s->tokens[s->count++] = (special){text, n, id, -1};
    }
    for (size_t i = 0; i < s->count; i++) link_token(s, (int32_t)i);
    return PLUMB_OK;
}

plumb_status plumb_special_tokens_new(const plumb_encoder *encoder, plumb_special_tokens **out)
{
    plumb_special_tokens *s = NULL;
    *out = NULL;
    PLUMB_TRY(plumb_new(&s, 1, sizeof *s));
    for (int i = 0; i < 256; i++) s->first[i] = -1;
    s->eos = encoder->eos;
    plumb_status status = add_all(s, encoder->tokenizer);
    if (status) {
        plumb_special_tokens_free(s);
        return status;
    }
    *out = s;
    return PLUMB_OK;
}

void plumb_special_tokens_free(plumb_special_tokens *s)
{
    if (!s) return;
    free(s->tokens);
    free(s);
}

size_t plumb_special_tokens_find(const plumb_special_tokens *s, const char *text, size_t n, size_t from, int32_t *id,
                                 size_t *size)
{
    for (size_t at = from; at < n; at++) {
        for (int32_t i = s->first[(unsigned char)text[at]]; i >= 0; i = s->tokens[i].next) {
            const special *token = &s->tokens[i];
            if (token->size > n - at || memcmp(text + at, token->text, token->size) != 0) continue;
            *id = token->id;
            *size = token->size;
            return at;
        }
    }
    return n;
}

static bool ends_in(const char *text, size_t n, const char *end, size_t size)
{
    return n >= size && memcmp(text + n - size, end, size) == 0;
}

bool plumb_special_tokens_end(const plumb_special_tokens *s, const char *text, size_t n)
{
    if (s->eos && *s->eos && ends_in(text, n, s->eos, strlen(s->eos))) return true;
    for (size_t i = 0; i < s->count; i++)
        if (ends_in(text, n, s->tokens[i].text, s->tokens[i].size)) return true;
    return false;
}
