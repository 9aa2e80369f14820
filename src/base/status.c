#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plumb_error {
    plumb_code code;
    char *message;
    char *cure;
};

static plumb_error out_of_memory = {PLUMB_E_MEMORY, (char *)"out of memory", NULL};

static PLUMB_PRINTF(1, 0) char *format_text(const char *format, va_list args)
{
    char *text = NULL;
    return vasprintf(&text, format, args) < 0 ? NULL : text;
}

plumb_status plumb_no_memory(void)
{
    return &out_of_memory;
}

plumb_status plumb_fail(plumb_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *message = format_text(format, args);
    va_end(args);
    plumb_error *error = message ? malloc(sizeof *error) : NULL;
    if (!error) {
        free(message);
        return &out_of_memory;
    }
    *error = (plumb_error){code, message, NULL};
    return error;
}

plumb_status plumb_context(plumb_status s, const char *format, ...)
{
    if (!s || s == &out_of_memory) return s;
    va_list args;
    va_start(args, format);
    char *where = format_text(format, args);
    va_end(args);
    char *message = NULL;
    if (where && asprintf(&message, "%s: %s", where, s->message) >= 0) {
        free(s->message);
        s->message = message;
    }
    free(where);
    return s;
}

plumb_status plumb_cure(plumb_status s, const char *format, ...)
{
    if (!s || s == &out_of_memory || s->cure) return s;
    va_list args;
    va_start(args, format);
    s->cure = format_text(format, args);
    va_end(args);
    return s;
}

plumb_code plumb_status_code(plumb_status s)
{
    return s ? s->code : PLUMB_E_NONE;
}

const char *plumb_status_message(plumb_status s)
{
    return s ? s->message : "";
}

const char *plumb_status_cure(plumb_status s)
{
    return s ? s->cure : NULL;
}

void plumb_status_free(plumb_status s)
{
    if (!s || s == &out_of_memory) return;
    free(s->message);
    free(s->cure);
    free(s);
}
