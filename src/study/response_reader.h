/* Responses to prompts, one after another, from rows of either kind:
 *
 *   {"index", "row", "sample", "prompt", "response", ...}    what plumb generate writes
 *   {"prompt", "chosen", "rejected"}                         preference data of any form: chosen is sample 0, rejected
 *                                                            is sample 1; index and row are those of the row itself
 *
 * Responses are strings or lists of messages. A row with a response but without index, row and sample, as other
 * programs write it, is numbered like a row of data, as sample 0. */
#ifndef PLUMB_STUDY_RESPONSE_READER_H
#define PLUMB_STUDY_RESPONSE_READER_H

#include <jansson.h>

#include "align/preference.h"
#include "base/sink.h"
#include "study/row_key.h"

typedef struct plumb_response {
    plumb_row_key key;
    int sample;
    const char *text; /* [size] what was said; of a list of messages the contents of the assistant's, a line each */
    size_t size;
    const json_t *prompt;   /* a string or a list of messages; NULL: the row has none */
    const json_t *response; /* as it stands in the row: a string or a list of messages */
    const json_t *fields;   /* the whole row */
    bool is_preference;     /* of a preference row */
    int64_t line;           /* where it stands */
} plumb_response;

typedef struct plumb_response_reader plumb_response_reader;

/* path: "-" is stdin; rows [begin, end) of the file, end < 0: all. Strings of keys are borrowed. */
plumb_status plumb_response_reader_open(const char *path, int64_t begin, int64_t end, const plumb_preference_keys *keys,
                                        const plumb_sink *sink, plumb_response_reader **out) PLUMB_MUST_USE;
void plumb_response_reader_close(plumb_response_reader *r); /* NULL is fine */

/* The next response, valid until the next call; *found is false at the end. PLUMB_E_INPUT with file:line for rows that
 * hold no response, of the wrong type, token ids alone, and a file without rows. */
plumb_status plumb_response_reader_next(plumb_response_reader *r, plumb_response *out, bool *found) PLUMB_MUST_USE;

/* The file's name in messages, the rows read, and their hash as in the run's record. */
const char *plumb_response_reader_name(const plumb_response_reader *r);
int64_t plumb_response_reader_rows(const plumb_response_reader *r, uint64_t *hash);

#endif
