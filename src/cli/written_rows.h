/* Going on with a partial output of rows: what is shared by commands that write a row for each row of the data. */
#ifndef PLUMB_CLI_WRITTEN_ROWS_H
#define PLUMB_CLI_WRITTEN_ROWS_H

#include <jansson.h>

#include "align/pair_reader.h"
#include "io/output.h"

typedef struct plumb_written_rows {
    const char *data; /* its name, for messages */
    plumb_pair_reader *reader;
    bool may_skip; /* data rows that no row was written for are fine, and counted in `between` */
    plumb_status (*add)(void *user, const json_t *row);
    void *user;
    const plumb_sink *sink;
    int64_t rows, between; /* found */
} plumb_written_rows;

/* Reads the rows that are in the partial file of `output`, hands each to `add`, and passes the reader over the data
 * rows that they were made from. PLUMB_E_INPUT, with a cure, when the data have other rows than those. */
plumb_status plumb_pass_written(const plumb_output *output, plumb_written_rows *w) PLUMB_MUST_USE;

/* A chat template may tell the date: a run that goes on tells the one it began with. Puts *now, or what the partial
 * record has, into the record as "template_time". */
plumb_status plumb_settle_time(json_t *meta, const plumb_output *output, bool resumed, int64_t *now) PLUMB_MUST_USE;

#endif
