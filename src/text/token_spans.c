/* A text in its normal form is the sequence of its pieces, and each piece that of its tokens. Places are counted in
 * bytes of that form; an added token counts one. */
#include "text/token_spans.h"

#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"

/* Cuts the text into its pieces: work->now. */
static plumb_status cut(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n)
{
    work->now.count = work->next.count = 0;
    plumb_text_clear(&work->now.text);
    plumb_text_clear(&work->next.text);
    PLUMB_TRY(plumb_text_append(&work->now.text, "", 0)); /* so that there is a pointer to add offsets to */
    PLUMB_TRY(plumb_text_append(&work->next.text, "", 0));
    PLUMB_TRY(plumb_added_extract(t, work, text, n));
    for (size_t i = 0; i < t->pre_tokenizers.count; i++)
        PLUMB_TRY(t->pre_tokenizers.data[i].run.split(&t->pre_tokenizers.data[i], work));
    return PLUMB_OK;
}

static size_t piece_size(const plumb_piece *piece)
{
    return piece->id >= 0 ? 1 : piece->end - piece->begin;
}

/* Where the text before byte `at` ends. */
static plumb_status place(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t at, size_t *out)
{
    *out = 0;
    PLUMB_TRY(cut(t, work, text, at));
    for (size_t i = 0; i < work->now.count; i++) *out += piece_size(&work->now.data[i]);
    return PLUMB_OK;
}

/* Where the last character of the text before byte `end` (> 0) begins. A plain one is never part of two tokens, so that
 * any place in it will do; before another one the text can be cut, as no special token is likely to end in it. */
static plumb_status place_last(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t end, size_t *out)
{
    size_t behind, before = plumb_utf8_before(text, end);
    PLUMB_TRY(place(t, work, text, end, &behind));
    *out = behind ? behind - 1 : 0;
    if (end - before == 1) return PLUMB_OK;
    PLUMB_TRY(place(t, work, text, before, &before));
    if (before < *out) *out = before;
    return PLUMB_OK;
}

/* Bytes of a piece that a token stands for, `text` [n] being what is left of it. */
static size_t token_size(const plumb_tokenizer *t, int32_t id, const char *text, size_t n)
{
    size_t size = 0;
    const char *token = plumb_vocabulary_token(&t->vocabulary, id, &size);
    if (token && size <= n && memcmp(token, text, size) == 0) return size;
    if (n && t->bpe.byte_fallback && t->bpe.bytes[(uint8_t)*text] == id) return 1;
    size = n ? plumb_utf8_size(*text) : 0; /* an unknown character */
    return size < n ? size : n;
}

static plumb_status other_tokens(void)
{
    return plumb_fail(PLUMB_E_INPUT, "the tokens are not those of the text: this tokenizer's post_processor takes it "
                                     "more than once, or not at all");
}

/* Where each token ends: ends [ids->count]. */
static plumb_status token_ends(const plumb_tokenizer *t, plumb_work *work, const plumb_ids *ids, size_t *ends)
{
    plumb_ids own = {0};
    plumb_status s = PLUMB_OK;
    size_t at = 0, done = 0;
    for (size_t i = 0; i < work->now.count && !s; at += piece_size(&work->now.data[i++])) {
        const plumb_piece *piece = &work->now.data[i];
        const char *text = work->now.text.data + piece->begin;
        size_t n = piece_size(piece), used = 0;
        own.count = 0;
        s = piece->id >= 0 ? plumb_ids_push(&own, piece->id) : plumb_bpe_encode(t, &work->bpe, text, n, &own);
        for (size_t k = 0; k < own.count && !s; k++) {
            if (done == ids->count || ids->data[done] != own.data[k]) {
                s = other_tokens();
                break;
            }
            used += piece->id >= 0 ? 1 : token_size(t, own.data[k], text + used, n - used);
            ends[done++] = at + (k + 1 == own.count ? n : used);
        }
    }
    plumb_ids_free(&own);
    return s || done == ids->count ? s : other_tokens();
}

/* Spans that begin or end within an added token (or in white space that it swallows) take all of it. */
static void widen(const plumb_pieces *raw, plumb_byte_span *span)
{
    for (size_t i = 0; i < raw->count; i++) {
        const plumb_piece *piece = &raw->data[i];
        if (piece->id < 0) continue;
        if (piece->begin < span->begin && span->begin < piece->end) span->begin = piece->begin;
        if (piece->begin < span->end && span->end < piece->end) span->end = piece->end;
    }
}

static plumb_status mark(const plumb_tokenizer *t, plumb_work *work, const char *text, const plumb_byte_span *span,
                         const plumb_ids *ids, const size_t *ends, uint8_t *mask)
{
    size_t begin, last, k = 0;
    PLUMB_TRY(place(t, work, text, span->begin, &begin));
    PLUMB_TRY(place_last(t, work, text, span->end, &last));
    while (k < ids->count && ends[k] <= begin) k++;
    for (; k < ids->count && (k ? ends[k - 1] : 0) <= last; k++) mask[k] = 1;
    return PLUMB_OK;
}

static plumb_status mark_all(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n,
                             const plumb_byte_spans *spans, const plumb_ids *ids, uint8_t *mask, plumb_arena *arena)
{
    size_t *ends;
    plumb_byte_span *wide;
    PLUMB_TRY(plumb_arena_new(arena, &ends, ids->count, sizeof *ends));
    PLUMB_TRY(plumb_arena_new(arena, &wide, spans->count, sizeof *wide));
    PLUMB_TRY(cut(t, work, text, n));
    PLUMB_TRY(token_ends(t, work, ids, ends));
    for (size_t i = 0; i < spans->count; i++) {
        wide[i] = spans->data[i];
        if (wide[i].begin < wide[i].end) widen(&work->raw, &wide[i]);
    }
    for (size_t i = 0; i < spans->count; i++)
        if (wide[i].begin < wide[i].end) PLUMB_TRY(mark(t, work, text, &wide[i], ids, ends, mask));
    return PLUMB_OK;
}

plumb_status plumb_token_spans(const plumb_tokenizer *t, const char *text, size_t n, const plumb_byte_spans *spans,
                               const plumb_ids *ids, uint8_t *mask)
{
    plumb_work work = {0};
    plumb_arena arena = {0};
    if (ids->count) memset(mask, 0, ids->count);
    plumb_status s = mark_all(t, &work, text, n, spans, ids, mask, &arena);
    plumb_work_free(&work);
    plumb_arena_free(&arena);
    return s;
}
