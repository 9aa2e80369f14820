/* What wrote a row, told by its fields: commands that take several files know them by what they hold. */
#ifndef PLUMB_STUDY_ROW_KIND_H
#define PLUMB_STUDY_ROW_KIND_H

#include <jansson.h>

typedef enum plumb_row_kind {
    PLUMB_ROW_UNKNOWN, /* no object */
    PLUMB_ROW_DATA,   /* preference data, also with other columns: any object that nothing of plumb is known to write */
    PLUMB_ROW_SCORES, /* and what else is numbers of a data row ("index", "row") */
    PLUMB_ROW_LEDGER, /* of any training command; plumb_ledger_read takes those of pairs */
    PLUMB_ROW_METRICS,
    PLUMB_ROW_TRACE,
    PLUMB_ROW_EXPLAIN,
    PLUMB_ROW_IDENTIFY,
    PLUMB_ROW_RESPONSES,
    PLUMB_ROW_JUDGE,
} plumb_row_kind;

plumb_row_kind plumb_row_kind_of(const json_t *row);

/* For people: "rows of plumb trace". */
const char *plumb_row_kind_name(plumb_row_kind kind);

#endif
