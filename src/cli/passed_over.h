/* What was wrong with the rows that a command passes over (--on_error skip): listed at the end, not between the
 * progress. */
#ifndef PLUMB_CLI_PASSED_OVER_H
#define PLUMB_CLI_PASSED_OVER_H

#include "cli/cli.h"

enum { PLUMB_MOST_LISTED = 20 };

typedef struct plumb_passed_over {
    plumb_text first[PLUMB_MOST_LISTED];
    int64_t count;
} plumb_passed_over;

/* A sink's note; the user is a plumb_passed_over, {0} at the start. */
void plumb_passed_over_note(void *user, const char *text);
void plumb_passed_over_list(const plumb_passed_over *p, plumb_cli *cli);
void plumb_passed_over_free(plumb_passed_over *p);

#endif
