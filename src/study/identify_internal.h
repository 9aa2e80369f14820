/* The joined files of plumb identify, by row of the data. */
#ifndef PLUMB_STUDY_IDENTIFY_INTERNAL_H
#define PLUMB_STUDY_IDENTIFY_INTERNAL_H

#include "study/identify.h"

enum { PLUMB_ROW_MISSING, PLUMB_ROW_SCORED, PLUMB_ROW_SKIPPED }; /* states of a row in a score file */
enum { PLUMB_LABEL_NONE, PLUMB_LABEL_REFUSAL, PLUMB_LABEL_COMPLIANCE, PLUMB_LABEL_OTHER }; /* labels of a side */

typedef struct plumb_identify_field {
    const char *name;
    double *values; /* [rows], NaN where there is none; NULL: the field is not asked for */
} plumb_identify_field;

typedef struct plumb_identify_scores {
    plumb_identify_field *fields; /* the numeric ones, in the order of their first appearance */
    size_t count, capacity;
    uint8_t *states; /* [rows] */
} plumb_identify_scores;

typedef struct plumb_identify_join {
    size_t rows;      /* of the data within [begin, end); row i is number begin + i */
    uint64_t *hashes; /* [rows] */
    uint8_t *labels;  /* [rows][2] chosen, rejected; all NONE without classes */
    plumb_identify_scores *files;
    double *change; /* [rows] of ln pi(y+); NaN: the pair does not count */
    size_t hash_room, label_room;
    plumb_arena arena; /* fields, states and changes */
} plumb_identify_join;

/* Reads all files and fills the counts of the report (its files, steps, pairs, skipped, unmatched, not_numbers). *out
 * must be {0}, and is freed after an error too. */
plumb_status plumb_identify_read(const plumb_identify_options *options, const plumb_sink *sink,
                                 plumb_identify_join *out, plumb_identify_report *report) PLUMB_MUST_USE;
void plumb_identify_join_free(plumb_identify_join *j, size_t file_count);

/* The values of a field of a score file, or NULL: it has none, or the field is not asked for. */
const double *plumb_identify_values(const plumb_identify_scores *scores, const char *name);

#endif
