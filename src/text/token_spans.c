/* A text in its normal form is the sequence of its pieces, and each piece that of its tokens. Places are counted in
 * bytes of that form; an added token counts one. */
#include "text/token_spans.h"

#include <stdlib.h>
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
        if (s || !own.count) continue;
        if (done + own.count > ids->count || memcmp(ids->data + done, own.data, own.count * sizeof *own.data) != 0)
            break;
        for (size_t k = 0; k < own.count; k++) {
            used += piece->id >= 0 ? 1 : token_size(t, own.data[k], text + used, n - used);
            ends[done++] = at + (k + 1 == own.count ? n : used);
        }
    }
    plumb_ids_free(&own);
    if (!s && done != ids->count)
        s = plumb_fail(PLUMB_E_INPUT, "the tokens are not those of the text: this tokenizer's post_processor takes it "
                                      "more than once, or not at all");
    return s;
}

static plumb_status mark(const plumb_tokenizer *t, plumb_work *work, const char *text, size_t n,
                         const plumb_byte_spans *spans, const plumb_ids *ids, size_t *ends, uint8_t *mask)
{
    PLUMB_TRY(cut(t, work, text, n));
    PLUMB_TRY(token_ends(t, work, ids, ends));
    for (size_t i = 0; i < spans->count; i++) {
        size_t begin, end, first = 0;
        if (spans->data[i].begin >= spans->data[i].end) continue;
        PLUMB_TRY(place(t, work, text, spans->data[i].begin, &begin));
        PLUMB_TRY(place(t, work, text, spans->data[i].end, &end));
        while (first < ids->count && ends[first] <= begin) first++;
        for (size_t k = first; k < ids->count && (k ? ends[k - 1] : 0) < end; k++) mask[k] = 1;
    }
    return PLUMB_OK;
}

plumb_status plumb_token_spans(const plumb_tokenizer *t, const char *text, size_t n, const plumb_byte_spans *spans,
                               const plumb_ids *ids, uint8_t *mask)
{
    plumb_work work = {0};
    size_t *ends;
    if (ids->count) memset(mask, 0, ids->count);
    PLUMB_TRY(plumb_new(&ends, ids->count, sizeof *ends));
    plumb_status s = mark(t, &work, text, n, spans, ids, ends, mask);
    plumb_work_free(&work);
    free(ends);
    return s;
}
