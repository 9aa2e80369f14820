/* A preference file as a stream of pairs: rows are read, parsed and tokenised one after another. Memory is one row. */
#ifndef PLUMB_ALIGN_PAIR_READER_H
#define PLUMB_ALIGN_PAIR_READER_H

#include "align/pair.h"
#include "base/sink.h"
#include "io/rows.h"

typedef struct plumb_pair_reader plumb_pair_reader;

typedef struct plumb_pair_source {
    const char *path;   /* "-": stdin */
    int64_t begin, end; /* rows of the file; end < 0: all */
    plumb_preference_keys keys;
    plumb_pairing pairing;
    bool skip_bad_rows; /* a bad row becomes a skipped pair (PLUMB_SKIP_BAD_ROW) and a note; otherwise it is an error */
    const plumb_sink *sink;
} plumb_pair_source;

/* Strings and the encoder of the source are borrowed. */
plumb_status plumb_pair_reader_open(const plumb_pair_source *source, plumb_pair_reader **out) PLUMB_MUST_USE;
void plumb_pair_reader_close(plumb_pair_reader *r);

/* The next row and its pair, both valid until the next call; *found is false at the end. Errors carry file:line. */
plumb_status plumb_pair_reader_next(plumb_pair_reader *r, const plumb_row **row, const plumb_pair **pair,
                                    bool *found) PLUMB_MUST_USE;

/* The next row alone, without parsing: to pass over rows that are done. */
plumb_status plumb_pair_reader_pass(plumb_pair_reader *r, const plumb_row **row, bool *found) PLUMB_MUST_USE;

/* What messages call the source; borrowed. */
const char *plumb_pair_reader_name(const plumb_pair_reader *r);

/* Rows given out so far, the hash over them (base/row_hash.h), and how many of them held a string prompt repeated in
 * the conversations. */
int64_t plumb_pair_reader_rows(const plumb_pair_reader *r, uint64_t *hash, int64_t *prompt_repeated);

/* Rows that the whole source will have, as far as can be told from the bytes read: -1 when unknown. */
double plumb_pair_reader_expected(const plumb_pair_reader *r);

#endif
