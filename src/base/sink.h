/* What the library has to say while it works, handed to whoever called it: notes and progress. The library itself never
 * prints. {0} swallows everything. */
#ifndef PLUMB_BASE_SINK_H
#define PLUMB_BASE_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct plumb_sink {
    void *user;
    void (*note)(void *user, const char *text);                                /* one line, without a line end */
    void (*progress)(void *user, const char *unit, double done, double total); /* total < 0: unknown */
    bool (*interrupted)(void *user);                                           /* has the user asked to stop? */
} plumb_sink;

void plumb_note(const plumb_sink *sink, const char *format, ...) PLUMB_PRINTF(2, 3);
void plumb_progress(const plumb_sink *sink, const char *unit, double done, double total);

/* PLUMB_E_INTERRUPTED when the user has asked to stop. */
plumb_status plumb_check_interrupt(const plumb_sink *sink) PLUMB_MUST_USE;

#endif
