/* A column of a data file that sorts its rows into categories. */
#ifndef PLUMB_STUDY_CATEGORIES_H
#define PLUMB_STUDY_CATEGORIES_H

#include "base/sink.h"
#include "study/row_key.h"

typedef struct plumb_categories plumb_categories;

/* Reads column `key` of every row of a JSONL file: strings, numbers and booleans by their text; null and "" are "none".
 * PLUMB_E_INPUT with file:line for a row without the column (the nearest one is named) and for lists and objects. *rows
 * and *hash as in the run's record. */
plumb_status plumb_categories_load(const char *path, const char *key, const plumb_sink *sink, plumb_categories **out,
                                   int64_t *rows, uint64_t *hash) PLUMB_MUST_USE;
void plumb_categories_free(plumb_categories *c); /* NULL is fine */

/* The number of this row's category, in the order of first appearance. PLUMB_E_INPUT when the file has no such row or
 * another one there (the hash differs). */
plumb_status plumb_categories_find(const plumb_categories *c, const plumb_row_key *key, size_t *out) PLUMB_MUST_USE;
size_t plumb_categories_count(const plumb_categories *c);
const char *plumb_categories_name(const plumb_categories *c, size_t number);

#endif
