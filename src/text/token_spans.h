/* Which tokens of a text hold given bytes of it: char_to_token() of Hugging Face's tokenizers, for spans. */
#ifndef PLUMB_TEXT_TOKEN_SPANS_H
#define PLUMB_TEXT_TOKEN_SPANS_H

#include "text/chat_template.h"
#include "text/tokenizer.h"

/* mask[i] becomes 1 for the tokens of `ids` from the one that holds the first character of a span to the first one that
 * holds its last character (a character may be several tokens: transformers leaves the others out), else 0. `ids` are
 * those that plumb_tokenizer_encode gives for text [n] without special tokens (others are PLUMB_E_INPUT); spans begin
 * and end between characters; mask [ids->count].
 *
 * Where a span begins in the normal form of the text is found by normalizing what is before it, so that a combining
 * character at its beginning is placed to within that character. Unlike transformers, spaces belong to their token also
 * where a ByteLevel post-processor trims offsets: there a span that begins or ends in one loses its place.
 * O(n) for each span. */
plumb_status plumb_token_spans(const plumb_tokenizer *t, const char *text, size_t n, const plumb_byte_spans *spans,
                               const plumb_ids *ids, uint8_t *mask) PLUMB_MUST_USE;

#endif
