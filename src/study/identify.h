/* How well each measure of score files finds the pairs that a run displaced (Razin et al. 2024, arXiv 2410.08847,
 * section 6.1: the change of ln pi(y+) against CHES, edit distance and last hidden states).
 *
 * The truth is a ledger: change = ln pi(y+) at the later step - at its first step; a pair is displaced when it is below
 * 0. Measures are taken as they stand: higher predicts more displacement (edit_similarity and last_hidden grow with
 * likeness), so a good one has a negative rank correlation with the change. Rows are joined by (index, row).
 *
 * Memory: 8 bytes for each pair, measure and score file, and the ledger. */
#ifndef PLUMB_STUDY_IDENTIFY_H
#define PLUMB_STUDY_IDENTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/amount.h"
#include "base/memory.h"
#include "base/sink.h"
#include "study/filter.h"
#include "study/row_kind.h"
#include "study/statistics.h"

typedef struct plumb_identify_options {
    const char *data, *ledger;
    const char *const *scores; /* [score_count], each of one model */
    size_t score_count;
    const char *const *measures; /* fields of the score rows, in this order; none: the numeric ones, but for helpers */
    size_t measure_count;
    const char *const *slices; /* "Q:K", or "Q": K is 5 % of the pairs, rounded up; none: 0 25 50 75 100 */
    size_t slice_count;
    plumb_amount top;              /* of the pairs, rounded up */
    const char *classes;           /* a file of judge rows, or NULL */
    const char *const *class_keys; /* or columns of the data: two with a label each, or one with both (a list, or an */
    size_t class_key_count;        /* object with "chosen" and "rejected"); 0: none */
    int64_t step;                  /* the later step; < 0: the last */
    int resamples;                 /* of each bootstrap; 0: no intervals */
    double level;                  /* of the intervals */
    uint64_t seed;
    int threads;         /* no result depends on it */
    int64_t begin, end;  /* rows of the data; end < 0: to the end */
    bool skip_unmatched; /* leave out pairs that a file lacks, instead of an error */
} plumb_identify_options;

/* NaN: there is no such number (no pairs, a measure that is the same for all). */
typedef struct plumb_estimate {
    double value;
    plumb_interval interval;
} plumb_estimate;

typedef struct plumb_identify_slice {
    char name[48]; /* "50:512" */
    int64_t count;
    double lowest, highest; /* of the measure */
    plumb_estimate change;  /* mean of the pairs' changes, bootstrapped over the slice's pairs */
    double displaced;       /* share */
} plumb_identify_slice;

/* One measure of one score file. */
typedef struct plumb_identify_measure {
    size_t file;
    const char *name;
    int64_t count, missing; /* pairs with a number and a change; pairs whose number is null or not there */
    bool constant;          /* the same for all pairs: no statistics */
    plumb_estimate spearman, kendall;

    /* The `top` pairs with the highest measure: the share of them among the `top` pairs whose change is lowest, and the
     * share that is displaced. Of pairs that tie at a cut each counts with the share of them that is within, so that
     * the order of the file does not matter (the expectation over random orders). By chance: top / count, and
     * `displaced`. */
    int64_t top;
    double displaced;
    plumb_estimate precision, top_displaced;
    plumb_identify_slice *slices; /* [slice_count], cut as plumb filter --slice cuts */
} plumb_identify_measure;

/* One measure in two score files: how far it depends on the model. */
typedef struct plumb_identify_models {
    const char *name;
    size_t files[2];
    int64_t count;
    plumb_estimate spearman, kendall;
} plumb_identify_models;

/* Pairs by the labels of their two sides. */
enum { PLUMB_TWO_REFUSALS, PLUMB_TWO_COMPLIANCES, PLUMB_ONE_OF_EACH, PLUMB_PAIR_CLASSES };
extern const char *const plumb_pair_class_names[PLUMB_PAIR_CLASSES]; /* "two_refusals", ... */

/* One measure of one score file by class. differences: of means, two refusals - one of each, two compliances - one of
 * each, two refusals - two compliances, bootstrapped over the pairs of all three classes. */
typedef struct plumb_identify_classes {
    size_t file;
    const char *name;
    struct {
        int64_t count;
        double mean, q25, median, q75;
    } groups[PLUMB_PAIR_CLASSES];
    plumb_estimate differences[PLUMB_PAIR_CLASSES];
} plumb_identify_classes;
extern const int plumb_class_differences[PLUMB_PAIR_CLASSES][2]; /* the classes whose means are subtracted */

typedef struct plumb_identify_file {
    const char *path;
    int64_t rows, scored, skipped; /* within [begin, end) */
    uint64_t hash;                 /* of all its rows, as in the run's record */
} plumb_identify_file;

enum { PLUMB_FIRST_UNMATCHED = 8 };

typedef struct plumb_identify_report {
    plumb_identify_file data, *files; /* [file_count] */
    size_t file_count;
    int64_t steps[2];    /* between which the change is taken */
    int64_t pairs;       /* of the data that have a change */
    int64_t skipped;     /* rows that every score file skipped, or that one skipped and the ledger lacks */
    int64_t unmatched;   /* left out, for a score file or the ledger lacks them (skip_unmatched) */
    int64_t not_numbers; /* pairs of the ledger with a log-prob that is null: no change */
    int64_t first_unmatched[PLUMB_FIRST_UNMATCHED]; /* the first of them */
    plumb_estimate change;                          /* mean over the pairs */
    int64_t displaced;                              /* pairs below 0 */
    plumb_identify_measure *measures;
    plumb_identify_models *models;
    plumb_identify_classes *classes;
    size_t measure_count, models_count, classes_count, slice_count;
    bool has_classes;
    int64_t class_counts[PLUMB_PAIR_CLASSES], unclassified; /* pairs; the rest, other labels and no label */
    plumb_arena arena;                                      /* holds all of it, names too */
} plumb_identify_report;

/* PLUMB_E_INPUT, with file:line where there is one: a row whose hash is another one in one of the files, a row that a
 * file has and the data have not, a pair that a score file or the ledger lacks (unless skip_unmatched), a ledger with
 * one step, a step that it lacks, a measure that no score file has, a slice of more pairs than there are. *out must be
 * {0} and is freed with plumb_identify_report_free, after an error too. Notes say what has no statistics and why. */
plumb_status plumb_identify_run(const plumb_identify_options *options, const plumb_sink *sink,
                                plumb_identify_report *out) PLUMB_MUST_USE;
void plumb_identify_report_free(plumb_identify_report *report);

/* What a file holds, judged by its first row: plumb identify takes its files in any order. A run folder is a ledger; a
 * file that is not a regular one (or has no row that can be read) is UNKNOWN, for it could be read only once. */
plumb_row_kind plumb_identify_look(const char *path);

/* The report as text for people, as JSON ({"kind": "identify", ...}, docs/identify.md), or as CSV, one number a line.
 */
plumb_status plumb_identify_text(const plumb_identify_options *options, const plumb_identify_report *report,
                                 plumb_text *t) PLUMB_MUST_USE;
plumb_status plumb_identify_json(const plumb_identify_options *options, const plumb_identify_report *report,
                                 plumb_text *t) PLUMB_MUST_USE;
plumb_status plumb_identify_csv(const plumb_identify_report *report, plumb_text *t) PLUMB_MUST_USE;

#endif
