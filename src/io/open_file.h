/* Opening a file for reading, with errors that say what to do. */
#ifndef PLUMB_IO_OPEN_FILE_H
#define PLUMB_IO_OPEN_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Opens path for reading. *size is the size of a regular file, -1 for a pipe or device. A missing file, a folder, or
 * one that may not be read is PLUMB_E_INPUT "path: ..." with a cure; a signal while a pipe has no writer
 * yet is PLUMB_E_INTERRUPTED. The caller closes *fd. */
plumb_status plumb_open_file(const char *path, int *fd, int64_t *size) PLUMB_MUST_USE;

/* OWNER/NAME, as the Hub calls models and data sets, and no path of this machine. */
bool plumb_is_hub_name(const char *name);

#endif
