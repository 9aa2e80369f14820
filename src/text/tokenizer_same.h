/* Do two checkpoints give text the same ids? */
#ifndef PLUMB_TEXT_TOKENIZER_SAME_H
#define PLUMB_TEXT_TOKENIZER_SAME_H

#include "base/status.h"

/* Compares what decides the ids of a text in the tokenizer.json of two folders (or two such files): vocabulary, merges,
 * unknown and byte tokens, added tokens, normalizer, pre-tokenizer. *part names the first that differs, or is NULL. How
 * a file writes them does not matter: merges as strings or pairs, null and false written out or not, the order of keys.
 * What a text is wrapped in (post-processor, chat template) is left out: one model's serves both. */
plumb_status plumb_tokenizer_compare(const char *a, const char *b, const char **part) PLUMB_MUST_USE;

#endif
