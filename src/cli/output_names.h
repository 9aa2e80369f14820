/* The four names that an output -o FILE may take: FILE, FILE.partial and the record beside each. */
#ifndef PLUMB_CLI_OUTPUT_NAMES_H
#define PLUMB_CLI_OUTPUT_NAMES_H

#include "base/memory.h"

enum { PLUMB_NAME_FILE, PLUMB_NAME_PARTIAL, PLUMB_NAME_RECORD, PLUMB_NAME_PARTIAL_RECORD, PLUMB_OUTPUT_NAMES };

/* Symbolic links followed; all empty for stdout, pipes and devices. The caller frees them in any case. */
plumb_status plumb_cli_output_names(const char *output, plumb_text names[PLUMB_OUTPUT_NAMES]) PLUMB_MUST_USE;
void plumb_cli_free_names(plumb_text names[PLUMB_OUTPUT_NAMES]);

#endif
