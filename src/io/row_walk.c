#include "io/row_walk.h"

#include <inttypes.h>

#include "base/row_hash.h"

enum { PROGRESS_EVERY = 4096 };

void plumb_rows_progress(const plumb_rows *rows, const plumb_sink *sink)
{
    int64_t consumed, size;
    plumb_rows_position(rows, &consumed, &size);
    plumb_progress(sink, "bytes", (double)consumed, (double)size);
}

static plumb_status walk_rows(plumb_row_walk *w, plumb_rows *rows)
{
    plumb_row row;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(w->sink));
        PLUMB_TRY(plumb_rows_next(rows, &row, &found));
        if (!found) break;
        PLUMB_TRY(plumb_context(w->use(w->user, &row), "%s:%" PRId64, plumb_rows_name(rows), row.line));
        w->hash = plumb_add_row_hash(w->hash, row.hash);
        if (w->rows++ % PROGRESS_EVERY == 0) plumb_rows_progress(rows, w->sink);
    }
    if (w->rows) return PLUMB_OK;
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%s: there are no rows in it", plumb_rows_name(rows));
    return w->none_cure ? plumb_cure(s, "%s", w->none_cure) : s;
}

plumb_status plumb_row_walk_all(plumb_row_walk *walk)
{
    plumb_rows *rows = NULL;
    walk->rows = 0;
    walk->hash = 0;
    PLUMB_TRY(plumb_rows_open(walk->path, walk->begin, walk->end, &rows));
    plumb_status s = walk_rows(walk, rows);
    plumb_rows_close(rows);
    return s;
}
