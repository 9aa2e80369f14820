/* A folder that is written whole: as OUT.partial, which gets its name when all of it is there and is removed when
 * something fails.
 *
 *     plumb_new_folder f = {0};
 *     s = plumb_new_folder_name(path, &f);                       nothing is written yet: for --dry-run too
 *     if (!s) s = plumb_new_folder_create(&f, bytes);
 *     if (!s) s = plumb_new_folder_finish(&f, ... files into f.partial.data ...);
 *     plumb_new_folder_free(&f); */
#ifndef PLUMB_CLI_NEW_FOLDER_H
#define PLUMB_CLI_NEW_FOLDER_H

#include <stdint.h>

#include "base/memory.h"

typedef struct plumb_new_folder {
    plumb_text out, partial;
} plumb_new_folder;

/* PLUMB_E_OUTPUT for a path that exists and is not an empty folder, and for an OUT.partial that is there. */
plumb_status plumb_new_folder_name(const char *path, plumb_new_folder *f) PLUMB_MUST_USE;

/* Makes OUT.partial; PLUMB_E_OUTPUT when that cannot be, or when less than `bytes` are free there. */
plumb_status plumb_new_folder_create(const plumb_new_folder *f, uint64_t bytes) PLUMB_MUST_USE;

/* s is how the writing went: the folder gets its name, or is removed with the plain files in it. Takes s over; returns
 * it or what went wrong at the end. */
plumb_status plumb_new_folder_finish(const plumb_new_folder *f, plumb_status s) PLUMB_MUST_USE;

void plumb_new_folder_free(plumb_new_folder *f);

#endif
