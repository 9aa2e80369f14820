/* What joins the rows of different files: the number of a data row and the hash of its bytes (DESIGN: "index", "row").
 */
#ifndef PLUMB_STUDY_ROW_KEY_H
#define PLUMB_STUDY_ROW_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "io/json.h"

typedef struct plumb_row_key {
    int64_t index; /* from 0 */
    uint64_t row;  /* XXH3-64 of the data row's bytes without its line end */
} plumb_row_key;

/* 16 lower-case hexadecimal digits, n bytes of text. */
bool plumb_row_hash_parse(const char *text, size_t n, uint64_t *out);

/* "index" and "row" of a JSON row. PLUMB_E_INPUT when it is no object or one of them is missing or malformed; `maker`
 * names what writes such rows ("plumb score"), for the message. */
plumb_status plumb_row_key_read(const json_t *row, const char *maker, plumb_row_key *out) PLUMB_MUST_USE;

#endif
