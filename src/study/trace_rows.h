/* What a trace says: rows as JSON, the paper's table for pairs of single tokens, and sums over all rows. */
#ifndef PLUMB_STUDY_TRACE_ROWS_H
#define PLUMB_STUDY_TRACE_ROWS_H

#include <jansson.h>

#include "study/trace.h"

/* Appends the JSON line of a row; docs/trace.md lists the fields. */
plumb_status plumb_trace_line(const plumb_trace_row *row, const plumb_token_groups *groups,
                              plumb_text *out) PLUMB_MUST_USE;

/* ---- the table (Razin et al. 2024, Table 1) ---- */

typedef enum plumb_trace_format { PLUMB_TRACE_TEXT, PLUMB_TRACE_CSV, PLUMB_TRACE_HTML } plumb_trace_format;

/* One line for each pair of single tokens: preferred and dispreferred token, probability of the preferred one (without
 * the EOS that may follow) before and after, its decrease (from the start to the lowest known point of the course where
 * there is one, else to after), its verdict, and the listed tokens that gained, y+'s own left out: benign,
 * catastrophic, other. What is not known is empty. Texts of tokens stand as JSON strings, with everything escaped that
 * a terminal would obey; in CSV no cell begins like a formula. */
plumb_status plumb_trace_table_begin(plumb_trace_format format, plumb_text *out) PLUMB_MUST_USE;
plumb_status plumb_trace_table_row(plumb_trace_format format, const plumb_trace_row *row,
                                   const plumb_token_groups *groups, plumb_text *out) PLUMB_MUST_USE;
plumb_status plumb_trace_table_end(plumb_trace_format format, plumb_text *out) PLUMB_MUST_USE;

/* ---- sums ---- */

enum { PLUMB_TRACE_WORST = 3 };

typedef struct plumb_trace_summary {
    int64_t rows, skipped, traced, fell, single;
    int64_t verdicts[PLUMB_VERDICTS + 1]; /* the last: unknown */
    double before[2], after[2];           /* sums of ln pi of chosen and rejected over the traced rows */
    plumb_gains gains;                    /* summed over the pairs whose chosen response fell */
    int64_t worst[PLUMB_TRACE_WORST];     /* rows that fell most, most first */
    double falls[PLUMB_TRACE_WORST];      /* by how much */
    int worsts;
    plumb_drop drop; /* the largest of all courses */
    int64_t drop_index;
} plumb_trace_summary;

void plumb_trace_summary_add(plumb_trace_summary *s, const plumb_trace_row *row);

/* The same from a row's JSON: but for its sums of gains, which have 9 digits there, and `single`, which it does not
 * tell. PLUMB_E_INPUT when it is none. */
plumb_status plumb_trace_summary_add_json(plumb_trace_summary *s, const json_t *row,
                                          const plumb_token_groups *groups) PLUMB_MUST_USE;

#endif
