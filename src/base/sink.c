#include "base/sink.h"

#include <stdio.h>
#include <stdlib.h>

void plumb_note(const plumb_sink *sink, const char *format, ...)
{
    if (!sink || !sink->note) return;
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) return;
    sink->note(sink->user, text);
    free(text);
}

void plumb_progress(const plumb_sink *sink, const char *unit, double done, double total)
{
    if (sink && sink->progress) sink->progress(sink->user, unit, done, total);
}

plumb_status plumb_check_interrupt(const plumb_sink *sink)
{
    if (!sink || !sink->interrupted || !sink->interrupted(sink->user)) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INTERRUPTED, "interrupted");
}
