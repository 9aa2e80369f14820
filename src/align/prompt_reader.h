/* A data file as a stream of prompts: rows in any form (plumb_prompt_parse), read, parsed and tokenised one after
 * another. Memory is one row.
 *
 * Tokens: conversations go through the chat template with its generation prompt and are encoded without further special
 * tokens. A string is plain text, as TRL and pairs have it (pair.h): encoded with the tokenizer's special tokens; with
 * `as_message` it becomes one user turn, as in the paper's experiments. Text of no token at all becomes the BOS token,
 * or where the checkpoint names none the EOS token, which stands between documents. */
#ifndef PLUMB_ALIGN_PROMPT_READER_H
#define PLUMB_ALIGN_PROMPT_READER_H

#include "align/preference.h"
#include "base/sink.h"
#include "io/rows.h"
#include "text/encoder.h"

typedef struct plumb_prompt_source {
    const char *path;   /* "-": stdin */
    int64_t begin, end; /* rows of the file; end < 0: all */
    plumb_preference_keys keys;
    const plumb_encoder *encoder;
    bool as_message;
    int vocab_size;     /* a token id from there on is an error; 0: not checked */
    bool skip_bad_rows; /* a bad row becomes a prompt that is not `usable` and a note; otherwise it is an error */
    const plumb_sink *sink;
} plumb_prompt_source;

typedef struct plumb_prompt {
    bool usable;
    plumb_preference row;
    plumb_text text; /* what was encoded; empty for rows of ids */
    plumb_ids ids;
} plumb_prompt;

typedef struct plumb_prompt_reader plumb_prompt_reader;

/* Strings and the encoder of the source are borrowed. */
plumb_status plumb_prompt_reader_open(const plumb_prompt_source *source, plumb_prompt_reader **out) PLUMB_MUST_USE;
void plumb_prompt_reader_close(plumb_prompt_reader *r);

/* The next row and its prompt, both valid until the next call; *found is false at the end. Errors carry file:line. */
plumb_status plumb_prompt_reader_next(plumb_prompt_reader *r, const plumb_row **row, const plumb_prompt **prompt,
                                      bool *found) PLUMB_MUST_USE;

/* The two halves of it: the next row alone, to pass over rows that are done, and the prompt of the row read last. */
plumb_status plumb_prompt_reader_pass(plumb_prompt_reader *r, const plumb_row **row, bool *found) PLUMB_MUST_USE;
plumb_status plumb_prompt_reader_make(plumb_prompt_reader *r, const plumb_prompt **prompt) PLUMB_MUST_USE;

/* Rows given out so far, the hash over them (base/row_hash.h), and how many of them were plain strings. */
int64_t plumb_prompt_reader_rows(const plumb_prompt_reader *r, uint64_t *hash, int64_t *plain);
/* Rows that the whole source will have: -1 when unknown. */
double plumb_prompt_reader_expected(const plumb_prompt_reader *r);

#endif
