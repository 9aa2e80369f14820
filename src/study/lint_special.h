/* Finding the texts of special tokens ("</s>", "<|im_end|>") in other text: what a tokenizer would turn into the token
 * itself. */
#ifndef PLUMB_STUDY_LINT_SPECIAL_H
#define PLUMB_STUDY_LINT_SPECIAL_H

#include "text/encoder.h"

typedef struct plumb_special_tokens plumb_special_tokens;

/* The special tokens of the encoder's tokenizer, which must outlive *out. */
plumb_status plumb_special_tokens_new(const plumb_encoder *encoder, plumb_special_tokens **out) PLUMB_MUST_USE;
void plumb_special_tokens_free(plumb_special_tokens *s); /* NULL is fine */

/* The first place of text[from..n) where one begins: its id and size (the longest there); n: none. */
size_t plumb_special_tokens_find(const plumb_special_tokens *s, const char *text, size_t n, size_t from, int32_t *id,
                                 size_t *size);

/* Does text[0..n) end in a special token or in the EOS token? */
bool plumb_special_tokens_end(const plumb_special_tokens *s, const char *text, size_t n);

#endif
