/* Choosing rows of a data file by their scores and copying them as they stand.
 *
 * The paper's mitigation keeps the share of the pairs with the lowest length-normalised CHES score (Razin et al. 2024,
 * arXiv 2410.08847, section 6.3: 5 %, up to 15 %); its percentile slices are section 6.1's data subsets.
 *
 * Scores are read first (12 bytes a row, in blocks), the cut follows from them alone, then the data go through once.
 * So the data may come from a pipe. Nothing here knows what a data row means. */
#ifndef PLUMB_STUDY_FILTER_H
#define PLUMB_STUDY_FILTER_H

#include <stdint.h>

#include "base/amount.h"
#include "base/sink.h"
#include "base/status.h"
#include "io/output.h"

typedef enum plumb_filter_rule {
    PLUMB_KEEP_LOWEST, /* amount: the lowest ceil(p n / 100), or a number */
    PLUMB_DROP_TOP,    /* amount: all but the highest floor(p n / 100), or a number */
    PLUMB_BELOW,       /* those below `bound` */
    PLUMB_SLICE,       /* `count` rows around the quantile `amount` */
    PLUMB_RANDOM,      /* amount: ceil(p n / 100) of them, or a number, by `seed` alone */
} plumb_filter_rule;

typedef struct plumb_filter_choice {
    plumb_filter_rule rule;
    plumb_amount amount;
    int64_t count;
    double bound;
    uint64_t seed;
} plumb_filter_choice;

/* "Q:K": Q in percent, K rows (at least 1). */
plumb_status plumb_slice_parse(const char *text, plumb_filter_choice *out) PLUMB_MUST_USE;

/* The ranks [first, last) that a rule keeps of n scored rows in ascending order. Exact: no rounding in between.
 *   slice: idx = round-half-even(q (n - 1)), first = max(0, idx - K / 2), moved left where K rows would pass the end;
 *          K > n is an error.
 *   random: the ranks are those of a uniform number, a function of (seed, row number): the same rows whatever the
 *           measure and the shards, and those of a smaller share are among those of a larger one.
 * PLUMB_BELOW has no ranks (PLUMB_E_INTERNAL). */
plumb_status plumb_filter_ranks(const plumb_filter_choice *choice, int64_t n, int64_t *first,
                                int64_t *last) PLUMB_MUST_USE;

/* One measure of the rows [begin, end) of a data file, by row number. */
typedef struct plumb_scores plumb_scores;

/* `by`: the field of the score rows; end < 0: open. */
plumb_status plumb_scores_new(const char *by, int64_t begin, int64_t end, plumb_scores **out) PLUMB_MUST_USE;
void plumb_scores_free(plumb_scores *scores); /* NULL is fine */

/* Adds a file of score rows, or "-"; rows outside [begin, end) are passed over. *rows and *hash: how many rows the file
 * has, and their hash as in the run's record. Errors (all PLUMB_E_INPUT with file:line): not a score row, no field
 * `by` (the numeric fields there are named), a null score, two different scores for a row. */
plumb_status plumb_scores_read(plumb_scores *scores, const char *path, const plumb_sink *sink, int64_t *rows,
                               uint64_t *hash) PLUMB_MUST_USE;

/* What a filter run did. Ends of the kept and the dropped rows' scores: row < 0 when there are none. */
typedef struct plumb_score_at {
    int64_t row;
    double score;
} plumb_score_at;

typedef struct plumb_filter_report {
    int64_t rows, scored, skipped; /* rows read = scored + skipped */
    int64_t kept, dropped;         /* of the scored rows */
    int64_t skipped_kept;          /* skipped rows that stayed */
    plumb_score_at kept_lowest, kept_highest;
    plumb_score_at under; /* the highest dropped row that ranks below all kept ones */
    plumb_score_at over;  /* the lowest dropped row that ranks above all kept ones; of PLUMB_RANDOM neither is there */
    plumb_score_at dropped_lowest, dropped_highest;
    uint64_t data_hash; /* of the rows read, as in the run's record */
} plumb_filter_report;

typedef struct plumb_filter_job {
    const char *data; /* path or "-" */
    const plumb_scores *scores;
    plumb_filter_choice choice;
    bool drop_skipped;
    plumb_output *output; /* NULL: nothing is written */
    const char *done;     /* bytes that the output already holds (a continued run): they must be the first */
    size_t done_size;     /* ones that would be written, else PLUMB_E_INPUT */
} plumb_filter_job;

/* Reads the data's rows in [begin, end) of the scores and writes those that stay, byte for byte with their line ends.
 * Errors (PLUMB_E_INPUT): a row without a score, another row than the one that was scored (its hash differs), scores
 * of rows that the data do not have, no rows at all, a slice larger than n. */
plumb_status plumb_filter_run(const plumb_filter_job *job, const plumb_sink *sink,
                              plumb_filter_report *report) PLUMB_MUST_USE;

#endif
