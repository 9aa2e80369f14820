/* All rows of a file, one after another. */
#ifndef PLUMB_IO_ROW_WALK_H
#define PLUMB_IO_ROW_WALK_H

#include "base/sink.h"
#include "io/rows.h"

typedef struct plumb_row_walk {
    const char *path; /* as plumb_rows_open takes it */
    int64_t begin, end;
    const char *none_cure;  /* what to do about a file without rows; NULL: nothing to say */
    const plumb_sink *sink; /* asked before each row whether to stop, told now and then how many bytes are read */
    plumb_status (*use)(void *user, const plumb_row *row);
    void *user;
    int64_t rows;  /* the result, after an error too: rows that were used, */
    uint64_t hash; /* and plumb_add_row_hash over them */
} plumb_row_walk;

/* Calls use(user, row) for the rows begin .. end - 1. What it returns gets "path:line" in front. PLUMB_E_INPUT when
 * there are none. */
plumb_status plumb_row_walk_all(plumb_row_walk *walk) PLUMB_MUST_USE;

/* Tells the sink how many bytes of the file are read. */
void plumb_rows_progress(const plumb_rows *rows, const plumb_sink *sink);

#endif
