/* The text of one token, as it stands in a sentence. */
#ifndef PLUMB_TEXT_TOKEN_TEXT_H
#define PLUMB_TEXT_TOKEN_TEXT_H

#include "text/tokenizer.h"

/* Appends what the token `id` adds to the text behind the token `before` (-1: the text begins here), special tokens
 * included: with its leading space, which decoding it alone would lose in SentencePiece vocabularies. A token that is a
 * part of a character gives U+FFFD; an id without a token gives nothing. */
plumb_status plumb_token_text(const plumb_tokenizer *t, int32_t before, int32_t id, plumb_text *out) PLUMB_MUST_USE;

#endif
