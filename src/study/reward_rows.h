/* Rewards of the rows of a file, under a reward model:
 *
 *   preference rows of any form     {"index", "row", "reward/chosen", "reward/rejected", "margin"}
 *   rows of plumb generate          {"index", "row", "sample", "reward"}; index and row are those of the prompt's data
 *   rows of prompt and completion   the same; numbered by the file, sample 0
 *   a row that is not scored        {"index", "row", "skipped"}: too_long, empty, bad_row
 *
 * One line for each row, in the order of the file. Tokens are those that plumb reward trains on. */
#ifndef PLUMB_STUDY_REWARD_ROWS_H
#define PLUMB_STUDY_REWARD_ROWS_H

#include "align/pair.h"
#include "align/reward.h"
#include "io/rows.h"
#include "study/row_key.h"

/* All is borrowed. */
typedef struct plumb_reward_source {
    const char *path;   /* "-": stdin */
    int64_t begin, end; /* rows of the file; end < 0: all */
    const plumb_model *model;
    const plumb_encoder *encoder;
    plumb_preference_keys keys; /* implicit is PLUMB_IMPLICIT_WHOLE whatever it says */
    const char *completion;     /* name of the column */
    bool as_message;            /* a string prompt with its response is a conversation of two messages */
    int max_length;             /* a row with a longer sequence is skipped; 0: none is */
    bool skip_bad_rows;         /* a bad row becomes a skipped one and a note; otherwise it is an error */
    plumb_reward_work *plan;    /* not NULL: nothing is scored, what that would take is added here; rewards are 0 */
    const plumb_sink *sink;
} plumb_reward_source;

typedef struct plumb_reward_row {
    plumb_row_key key;
    int sides;           /* 2: a pair; 1: a response */
    int64_t sample;      /* of a response */
    const char *skipped; /* NULL: it is scored */
    double reward[2];
} plumb_reward_row;

typedef struct plumb_reward_rows plumb_reward_rows;

plumb_status plumb_reward_rows_open(const plumb_reward_source *source, plumb_reward_rows **out) PLUMB_MUST_USE;
void plumb_reward_rows_close(plumb_reward_rows *r); /* NULL is fine */

/* Passes over the next row, whose line an earlier run has written; *found is false at the end. */
plumb_status plumb_reward_rows_pass(plumb_reward_rows *r, plumb_row_key *key, bool *found) PLUMB_MUST_USE;

/* Scores all rows that are left; emit is called for each, in order. PLUMB_E_INPUT with file:line for bad rows, and when
 * the file (or the range) has no rows. */
plumb_status plumb_reward_rows_run(plumb_reward_rows *r, plumb_status (*emit)(void *user, const plumb_reward_row *row),
                                   void *user) PLUMB_MUST_USE;

/* Rows read, and their hash as in the run's record. */
int64_t plumb_reward_rows_count(const plumb_reward_rows *r, uint64_t *hash);

/* Appends the line of a row. Rewards have 9 significant digits. */
plumb_status plumb_reward_row_line(const plumb_reward_row *row, plumb_text *out) PLUMB_MUST_USE;
/* Takes one back; PLUMB_E_INPUT when it is no such line. `skipped` borrows from the line. */
plumb_status plumb_reward_row_read(const json_t *line, plumb_reward_row *out) PLUMB_MUST_USE;

/* What the scored rows come to. {0} is empty. */
typedef struct plumb_reward_summary {
    int64_t pairs, right, responses, skipped;
    double margin, chosen, rejected;  /* sums over the pairs */
    double sum, squares, least, most; /* over the responses */
} plumb_reward_summary;
void plumb_reward_summary_add(plumb_reward_summary *s, const plumb_reward_row *row);

#endif
