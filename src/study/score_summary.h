/* What a run of scores looks like: counts, quantiles and the highest pairs, in memory that does not grow with the rows.
 */
#ifndef PLUMB_STUDY_SCORE_SUMMARY_H
#define PLUMB_STUDY_SCORE_SUMMARY_H

#include "align/measures.h"

enum { PLUMB_SUMMARY_SAMPLE = 1 << 16, PLUMB_SUMMARY_TOP = 3, PLUMB_SUMMARY_QUANTILES = 7 };

/* Probabilities of the quantiles: minimum, 5 %, 25 %, median, 75 %, 95 %, maximum. */
extern const double plumb_summary_quantiles[PLUMB_SUMMARY_QUANTILES];

typedef struct plumb_score_summary plumb_score_summary;

typedef struct plumb_field_summary {
    const char *name; /* the measure's first field */
    int64_t count;    /* finite values */
    bool sampled;     /* more values than the sample holds: quantiles between minimum and maximum are estimates */
    double quantiles[PLUMB_SUMMARY_QUANTILES]; /* linear interpolation between order statistics; NaN when count is 0 */
    int tops;
    int64_t
        top_index[PLUMB_SUMMARY_TOP]; /* rows with the highest values, highest first; of equal ones the earlier row */
    double top_value[PLUMB_SUMMARY_TOP];
} plumb_field_summary;

plumb_status plumb_score_summary_new(uint32_t measures, plumb_score_summary **out) PLUMB_MUST_USE;
void plumb_score_summary_free(plumb_score_summary *s);
void plumb_score_summary_add(plumb_score_summary *s, const plumb_score *score);
/* The same from a score row that was written before (a continued run). */
void plumb_score_summary_add_row(plumb_score_summary *s, const json_t *row);

/* Rows added, and how many of them were skipped for each reason (PLUMB_SKIP_NONE: scored), truncated, with a boundary
 * that is not clean. */
int64_t plumb_score_summary_counts(const plumb_score_summary *s, int64_t skipped[PLUMB_SKIPS], int64_t *truncated,
                                   int64_t *unclean);
/* The summary of one selected measure (by its row in plumb_measures); sorts the sample. */
void plumb_score_summary_field(plumb_score_summary *s, int measure, plumb_field_summary *out);

#endif
