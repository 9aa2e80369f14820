/* Rows of a JSONL file that keep their source bytes. Reads plain files, .gz (any number of members, known by its first
 * bytes, not by the name) and "-" (stdin). A byte order mark stays part of the first row. */
#ifndef PLUMB_IO_ROWS_H
#define PLUMB_IO_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct plumb_row {
    int64_t index;     /* row number from 0; blank lines are not counted */
    int64_t line;      /* line number in the file from 1, blank lines counted */
    const char *bytes; /* the row as it stands, without its line end; valid until the next read; a zero byte follows */
    size_t size;
    const char *line_end; /* "\n", "\r\n" or "" (the last line of a file without one) */
    uint64_t hash;        /* XXH3-64 of bytes[0..size) */
} plumb_row;

typedef struct plumb_rows plumb_rows;

/* Opens path for reading; "-" is stdin. The first row to be returned is `begin`, the last `end` - 1 (end < 0: all);
 * rows before `begin` are counted and passed over without hashing. Memory is one buffer, as large as the longest row
 * (at most 256 MiB, a longer row is an error with file:line). The first bytes are read here: other formats that are
 * offered by mistake (Parquet, zstd, UTF-16, CSV, a JSON array, ...) are an error with the way to convert them. */
plumb_status plumb_rows_open(const char *path, int64_t begin, int64_t end, plumb_rows **out) PLUMB_MUST_USE;

/* The next row into *row; *found is false at the end. Errors (damaged or truncated gzip, read errors, a row too long)
 * carry path:line, come after all rows before that place, and come again with the next call. A signal caught while the
 * read waits (a handler without SA_RESTART) is PLUMB_E_INTERRUPTED. */
plumb_status plumb_rows_next(plumb_rows *rows, plumb_row *row, bool *found) PLUMB_MUST_USE;

/* Bytes of the file (compressed, if it is) consumed so far and its size (-1 when unknown), for progress. */
void plumb_rows_position(const plumb_rows *rows, int64_t *consumed, int64_t *size);

/* How many rows begin .. end - 1 (end < 0: all) will be when `given` of them were read, as far as can be told from the
 * bytes consumed: -1 when unknown. */
double plumb_rows_expected(const plumb_rows *rows, int64_t begin, int64_t end, int64_t given);

/* The name of a path for messages: "<stdin>" for "-". */
const char *plumb_input_name(const char *path);

/* The same of an open file. */
const char *plumb_rows_name(const plumb_rows *rows);
void plumb_rows_close(plumb_rows *rows);

#endif
