/* Chat templates: the Jinja subset that published checkpoints use, rendered as transformers' apply_chat_template does
 * (trim_blocks and lstrip_blocks on, sandboxed, autoescape off). */
#ifndef PLUMB_TEXT_CHAT_TEMPLATE_H
#define PLUMB_TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

typedef struct plumb_template plumb_template;

/* Parses a template; a construct outside the subset is PLUMB_E_INPUT with its name and line. */
plumb_status plumb_template_parse(const char *source, size_t n, plumb_template **out) PLUMB_MUST_USE;
void plumb_template_free(plumb_template *t);

/* What a rendering sees. `variables` is an object of further names (borrowed, may be NULL). A NULL token is undefined.
 */
typedef struct plumb_template_input {
    const json_t *messages; /* array of objects: role, content, ... */
    const char *bos_token, *eos_token;
    bool add_generation_prompt;
    const json_t *variables;
    int64_t
        now; /* Unix time for strftime_now(), told as local time; the caller decides, so that output can be repeated */
} plumb_template_input;

/* Appends the text. raise_exception("m") and errors of evaluation are PLUMB_E_INPUT whose message holds m; deep
 * recursion, endless loops, huge ranges and huge outputs end in an error within bounded time and memory. */
plumb_status plumb_template_render(const plumb_template *t, const plumb_template_input *in,
                                   plumb_text *out) PLUMB_MUST_USE;

/* Bytes [begin, end) of a text. */
typedef struct plumb_byte_span {
    size_t begin, end;
} plumb_byte_span;

/* Spans that grow; {0} is empty. */
typedef struct plumb_byte_spans {
    plumb_byte_span *data;
    size_t count;
    size_t capacity;
} plumb_byte_spans;
void plumb_byte_spans_free(plumb_byte_spans *spans);

/* Does the template mark what assistants say, with {% generation %} ... {% endgeneration %}? */
bool plumb_template_marks_generation(const plumb_template *t);

/* The same as plumb_template_render, and appends to *spans where in *out the {% generation %} blocks stand. Such a
 * block within a macro, {% set %} or {% filter %} has no place of its own in the output: PLUMB_E_INPUT. */
plumb_status plumb_template_render_marked(const plumb_template *t, const plumb_template_input *in, plumb_text *out,
                                          plumb_byte_spans *spans) PLUMB_MUST_USE;

#endif
