/* Which tokens of a text hold given bytes of it: char_to_token() of Hugging Face's tokenizers, for spans. */
#ifndef PLUMB_TEXT_TOKEN_SPANS_H
#define PLUMB_TEXT_TOKEN_SPANS_H

#include "text/chat_template.h"
#include "text/tokenizer.h"

/* mask[i] becomes 1 where token i of `ids` holds a byte of a span, else 0. `ids` [count] are those that
 * plumb_tokenizer_encode gives for text [n] without special tokens (others are PLUMB_E_INPUT); mask [ids->count].
 *
 * Where a span begins in the normal form of the text is found by normalizing what is before it, so that a combining
 * character at its beginning, or white space there that a special token swallows, is placed to within that character.
 * O(n) for each span. */
plumb_status plumb_token_spans(const plumb_tokenizer *t, const char *text, size_t n, const plumb_byte_spans *spans,
                               const plumb_ids *ids, uint8_t *mask) PLUMB_MUST_USE;

#endif
