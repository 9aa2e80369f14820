/* For tests of files: unique scratch paths, files with given bytes, and errors that must say something. Include after
 * cmocka.h. */
#ifndef PLUMB_TESTS_UNIT_SCRATCH_H
#define PLUMB_TESTS_UNIT_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"

/* A path below a folder of this process, in one of eight rotating buffers. */
static inline const char *scratch(const char *name)
{
    static char paths[8][512];
    static int turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%d", PLUMB_TEST_SCRATCH, (int)getpid());
    mkdir(path, 0777);
    snprintf(path, sizeof paths[0], "%s/%d/%s", PLUMB_TEST_SCRATCH, (int)getpid(), name);
    return path;
}

static inline const char *scratch_file(const char *name, const void *bytes, size_t count)
{
    const char *path = scratch(name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, count, f), count);
    assert_int_equal(fclose(f), 0);
    return path;
}

static inline int remove_scratch(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s/%d'", PLUMB_TEST_SCRATCH, (int)getpid());
    return system(command);
}

static inline void assert_ok(plumb_status s)
{
    if (s) fail_msg("unexpected error: %s", plumb_status_message(s));
}

/* s has this code, and its message, or its cure, holds `text`. Frees s. */
static inline void assert_says(plumb_status s, plumb_code code, const char *text)
{
    const char *cure = plumb_status_cure(s) ? plumb_status_cure(s) : "";
    if (plumb_status_code(s) != code || (!strstr(plumb_status_message(s), text) && !strstr(cure, text)))
        fail_msg("code %d, \"%s\" (cure: %s); expected code %d, \"%s\"", plumb_status_code(s), plumb_status_message(s),
                 cure, code, text);
    plumb_status_free(s);
}

#endif
