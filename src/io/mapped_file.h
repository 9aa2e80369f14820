/* A file mapped read-only. */
#ifndef PLUMB_IO_MAPPED_FILE_H
#define PLUMB_IO_MAPPED_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct plumb_mapped_file {
    const uint8_t *data; /* NULL for an empty file */
    size_t size;
} plumb_mapped_file;

/* Regular files only. The mapping is private and read-only; plumb_unmap gives it back. */
plumb_status plumb_map(const char *path, plumb_mapped_file *out) PLUMB_MUST_USE;
void plumb_unmap(plumb_mapped_file *file);

/* Advice about bytes within a mapping: they will be wanted soon (reading begins in the background), or no longer (whole
 * pages among them leave this process's memory; touched again, they come back from the file). Never changes contents.
 */
void plumb_map_want(const void *bytes, size_t count);
void plumb_map_drop(const void *bytes, size_t count);

#endif
