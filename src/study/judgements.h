/* Judged responses: their rows, and a table of them by (index, sample).
 *
 *     {"index":0,"row":"476bf39976ad26ab","sample":0,"label":"refusal","score":2,"judge":"rules","reason":"i can not"}
 *
 * label is null where a model's answer could not be read. */
#ifndef PLUMB_STUDY_JUDGEMENTS_H
#define PLUMB_STUDY_JUDGEMENTS_H

#include <jansson.h>

#include "base/memory.h"
#include "base/sink.h"
#include "study/judge_label.h"
#include "study/row_key.h"

typedef struct plumb_judgement {
    plumb_row_key key;
    int sample;
    plumb_label label;
    double score; /* NaN: none */
    double field; /* of a file that is read with a field: its number; NaN: null or not there */
} plumb_judgement;

/* Appends the row with its line end. judge: what judged; reason: why, or a model's answer (NULL: null), of n bytes;
 * before: the label of the same response earlier, or NULL for none; category: of its prompt, or NULL. */
plumb_status plumb_judgement_line(const plumb_judgement *j, const char *judge, const char *reason, size_t n,
                                  const plumb_label *before, const char *category, plumb_text *t) PLUMB_MUST_USE;

/* Reads a row that was parsed; `field` (or NULL) names a numeric field to read along. PLUMB_E_INPUT without file:line.
 */
plumb_status plumb_judgement_read(const json_t *row, const char *field, plumb_judgement *out) PLUMB_MUST_USE;

/* Does the file begin with a row of plumb judge, rather than with a response? *judge: what its first row says judged
 * (freed by the caller); NULL for a response. Not for stdin, which can be read only once. */
plumb_status plumb_judgements_probe(const char *path, char **judge) PLUMB_MUST_USE;

typedef struct plumb_judgements plumb_judgements;
plumb_status plumb_judgements_new(plumb_judgements **out) PLUMB_MUST_USE;
void plumb_judgements_free(plumb_judgements *t); /* NULL is fine */

/* Adds one. PLUMB_E_INPUT: the same (index, sample) twice, or another hash for an index that is there. */
plumb_status plumb_judgements_add(plumb_judgements *t, const plumb_judgement *j) PLUMB_MUST_USE;
/* The one of this response; PLUMB_E_INPUT when there is none, or it belongs to another row (the hash differs). */
plumb_status plumb_judgements_find(const plumb_judgements *t, const plumb_row_key *key, int sample,
                                   size_t *found) PLUMB_MUST_USE;
/* The first one of the row with this number, which stands for its prompt; PLUMB_E_INPUT when there is none. */
plumb_status plumb_judgements_first(const plumb_judgements *t, int64_t index, size_t *found) PLUMB_MUST_USE;
/* All of them, in the order in which they came. */
const plumb_judgement *plumb_judgements_all(const plumb_judgements *t, size_t *count);

/* Adds the rows of a file of plumb judge. *rows and *hash as in the run's record. Errors carry file:line. */
plumb_status plumb_judgements_load(plumb_judgements *t, const char *path, const char *field, const plumb_sink *sink,
                                   int64_t *rows, uint64_t *hash) PLUMB_MUST_USE;

#endif
