/* The pipeline of a Hugging Face tokenizer.json: added tokens, normalizer, pre-tokenizer, BPE, post-processor, decoder.
 * Gives exactly the ids and texts of the `tokenizers` library 0.23. */
#ifndef PLUMB_TEXT_TOKENIZER_H
#define PLUMB_TEXT_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct plumb_tokenizer plumb_tokenizer;

/* Reads a tokenizer.json, or the one in a checkpoint folder. A component outside what is built (Unigram, WordPiece,
 * ...) is PLUMB_E_INPUT naming it. A folder with only tokenizer.model is an error with the way round. */
plumb_status plumb_tokenizer_open(const char *path, plumb_tokenizer **out) PLUMB_MUST_USE;
void plumb_tokenizer_free(plumb_tokenizer *t);

/* Appends the ids of n bytes of UTF-8. add_special: with the post-processor's tokens (BOS ...), as encode(text,
 * add_special_tokens=True). Bytes that are not UTF-8 are PLUMB_E_INPUT with their offset. Near-linear in n. The
 * tokenizer is not changed: threads may share it. */
plumb_status plumb_tokenizer_encode(const plumb_tokenizer *t, const char *text, size_t n, bool add_special,
                                    plumb_ids *out) PLUMB_MUST_USE;

/* Appends the text of n ids, as decode(ids, skip_special_tokens=skip_special). Ids without a token decode to nothing.
 */
plumb_status plumb_tokenizer_decode(const plumb_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                                    plumb_text *out) PLUMB_MUST_USE;

/* The id of a token by its exact content (vocabulary or added token), or -1. */
int32_t plumb_tokenizer_id(const plumb_tokenizer *t, const char *token, size_t n);
/* The token of an id as the vocabulary spells it ("Ġthe", "▁the", "<0x0A>"), *n its bytes; NULL when there is none. */
const char *plumb_tokenizer_token(const plumb_tokenizer *t, int32_t id, size_t *n);
/* Is it an added token marked special? */
bool plumb_tokenizer_is_special(const plumb_tokenizer *t, int32_t id);
/* One more than the largest id. */
int32_t plumb_tokenizer_size(const plumb_tokenizer *t);

#endif
