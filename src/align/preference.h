/* A row of preference data in any of the published forms, brought to one: a prompt and two responses, as strings, as
 * message lists, or as token ids.
 *
 * Forms (DESIGN: data in; TRL's dataset_formats): prompt + chosen + rejected as strings or message lists; chosen and
 * rejected as whole conversations whose common leading messages are the prompt; a string prompt with whole
 * conversations whose leading messages equal it; plain chosen and rejected with a common beginning (implicit_prompt);
 * token ids. */
#ifndef PLUMB_ALIGN_PREFERENCE_H
#define PLUMB_ALIGN_PREFERENCE_H

#include <jansson.h>

#include "base/memory.h"
#include "base/status.h"

enum { PLUMB_CHOSEN, PLUMB_REJECTED };

typedef enum plumb_implicit_prompt {
    PLUMB_IMPLICIT_NONE,  /* plain chosen and rejected without a prompt are an error */
    PLUMB_IMPLICIT_TURN,  /* the common beginning up to the last turn marker ("\n\nAssistant:"), as in HH-RLHF */
    PLUMB_IMPLICIT_WORD,  /* the common beginning up to the last word boundary */
    PLUMB_IMPLICIT_WHOLE, /* nothing: for rewards, which need no boundary. prompt_ids may be missing too */
} plumb_implicit_prompt;

typedef struct plumb_preference_keys {
    const char *prompt, *chosen, *rejected; /* names of the columns */
    plumb_implicit_prompt implicit;
} plumb_preference_keys;

typedef enum plumb_preference_form { PLUMB_FORM_TEXT, PLUMB_FORM_MESSAGES, PLUMB_FORM_IDS } plumb_preference_form;

/* Strings live as long as `row`; message lists are new references. plumb_preference_clear gives all back. */
typedef struct plumb_preference {
    json_t *row; /* the parsed row */
    plumb_preference_form form;
    const char *prompt, *response[2]; /* TEXT */
    size_t prompt_size, response_size[2];
    json_t *prompt_messages, *response_messages[2]; /* MESSAGES: arrays of objects with string role and content */
    plumb_ids prompt_ids, response_ids[2];          /* IDS */
    bool prompt_repeated;                           /* a string prompt was the leading messages of the conversations */
} plumb_preference;

/* Parses one row. PLUMB_E_INPUT without the file and line, which the caller adds. *out must be {0} or cleared. */
plumb_status plumb_preference_parse(const char *bytes, size_t n, const plumb_preference_keys *keys,
                                    plumb_preference *out) PLUMB_MUST_USE;

/* The prompt of a row alone, in any of the forms: token ids (prompt_ids); a preference row, as above; a prompt (string
 * or messages) with whatever columns beside it; a conversation in `messages`, whose closing assistant messages are left
 * out. The responses are those of a preference row, else empty. Same errors. */
plumb_status plumb_prompt_parse(const char *bytes, size_t n, const plumb_preference_keys *keys,
                                plumb_preference *out) PLUMB_MUST_USE;
void plumb_preference_clear(plumb_preference *p);

#endif
