/* The text side of a checkpoint: its tokenizer, its special tokens and its chat template together. */
#ifndef PLUMB_TEXT_ENCODER_H
#define PLUMB_TEXT_ENCODER_H

#include <jansson.h>

#include "text/chat_template.h"
#include "text/tokenizer.h"

typedef struct plumb_encoder {
    plumb_tokenizer *tokenizer;
    plumb_template *chat; /* NULL: the checkpoint has no chat template */
    char *bos, *eos;      /* texts of the tokens; NULL: none */
    json_t *variables;    /* pad_token, unk_token ...: further names a template may use */
    int64_t now; /* what strftime_now() of a template tells, as local time: the time of opening, so that all rows
                    of a run agree; a caller that repeats a run or scores a shard of it sets that run's */
    const char *chat_source; /* "chat_template.jinja", "tokenizer_config.json" or "" */
} plumb_encoder;

/* Opens the tokenizer.json, tokenizer_config.json, special_tokens_map.json and chat_template.jinja of a checkpoint
 * folder (only the first must be there). With chat_template, a path, that file is the template. Of a list of named
 * templates "default" is taken. eos_id (-1: none) stands in when no file names an EOS token. */
plumb_status plumb_encoder_open(const char *folder, const char *chat_template, int64_t eos_id,
                                plumb_encoder **out) PLUMB_MUST_USE;
void plumb_encoder_close(plumb_encoder *e);

/* Appends the rendered conversation (without encoding). PLUMB_E_INPUT when there is no template. */
plumb_status plumb_encoder_render(const plumb_encoder *e, const json_t *messages, bool generation_prompt,
                                  plumb_text *out) PLUMB_MUST_USE;

/* The same without a generation prompt, and appends to *spans which of these bytes assistants have said: the template's
 * {% generation %} blocks. A template without them is PLUMB_E_INPUT. */
plumb_status plumb_encoder_render_marked(const plumb_encoder *e, const json_t *messages, plumb_text *out,
                                         plumb_byte_spans *spans) PLUMB_MUST_USE;

#endif
