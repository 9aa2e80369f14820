/* Looking over preference data before it is trained on: what will be lost, cut, doubled or read differently than meant.
 *
 * A rule is a row of the table in lint_rules.c: a stable code, a name, what it means, the cure, and the function that
 * looks at one row of the data. Groups: PT1xx what the tokens and the template make of a row, PD2xx what the pair says,
 * PF3xx the form of the row. Every code has its page in docs/lint/.
 *
 * A bad row is a finding here, not an error: lint reads everything. */
#ifndef PLUMB_STUDY_LINT_H
#define PLUMB_STUDY_LINT_H

#include <stdint.h>

#include "align/pair.h"
#include "base/sink.h"
#include "io/output.h"
#include "io/rows.h"

typedef enum plumb_severity {
    PLUMB_WARNING, /* it can be trained on, but probably is not what was meant */
    PLUMB_ERROR,   /* it teaches nothing, or something wrong */
} plumb_severity;

/* How far a row must have come for a rule to look at it. */
typedef enum plumb_lint_stage {
    PLUMB_LINT_BYTES, /* any row */
    PLUMB_LINT_JSON,  /* it is an object */
    PLUMB_LINT_FORM,  /* it is a preference row */
    PLUMB_LINT_PAIR,  /* it has tokens */
} plumb_lint_stage;

typedef struct plumb_finding plumb_finding;
struct plumb_lint_row;

typedef struct plumb_lint_rule {
    const char *code, *name;
    plumb_severity severity;
    bool fixable; /* the row only loses by staying: --fix drops it */
    plumb_lint_stage stage;
    const char *meaning, *cure; /* one line each */
    /* Writes the finding's message if the row breaks the rule; an empty message is none. */
    plumb_status (*check)(const struct plumb_lint_row *row, plumb_finding *finding);
} plumb_lint_rule;

const plumb_lint_rule *plumb_lint_rules(size_t *count);

/* What is wrong with a row, by one rule. */
struct plumb_finding {
    const plumb_lint_rule *rule;
    int64_t index, line; /* of the row, as in io/rows.h */
    uint64_t row;        /* its XXH3-64 */
    plumb_text message;
    const char *cure; /* the rule's, or a closer one */
    bool dropped;     /* the fix leaves the row out because of this */
};

/* The finding as a line for people: "pairs.jsonl:17: PT101 boundary-merged: message; cure", or as a JSON object:
 * {"code", "name", "severity", "file", "line", "index", "row", "message", "cure", "fixable"}, and "dropped" in a run
 * with `fix`. Both with a line end. */
plumb_status plumb_finding_line(const plumb_finding *finding, const char *file, plumb_text *out) PLUMB_MUST_USE;
plumb_status plumb_finding_json(const plumb_finding *finding, const char *file, bool fix,
                                plumb_text *out) PLUMB_MUST_USE;

/* A bit for each rule that one of the words names: a code, the beginning of one (PT, PD2), or a name; case does not
 * count. An unknown word is PLUMB_E_INPUT with the nearest known one. */
plumb_status plumb_lint_select(const char *const *words, size_t count, uint32_t *rules) PLUMB_MUST_USE;

typedef struct plumb_lint_options {
    plumb_preference_keys keys;
    plumb_pairing pairing; /* with an encoder; strings and encoder are borrowed */
    uint32_t rules;        /* a bit for each row of the table */
    double max_ratio;      /* tokens of the longer response to those of the shorter one (PD206) */
} plumb_lint_options;

/* Rows one after another. Memory: one row, and about 30 bytes for each that came before (for duplicates). */
typedef struct plumb_lint plumb_lint;

plumb_status plumb_lint_new(const plumb_lint_options *options, plumb_lint **out) PLUMB_MUST_USE;
void plumb_lint_free(plumb_lint *lint); /* NULL is fine */

/* The findings of the next row, in the order of the table, valid until the next call. */
plumb_status plumb_lint_next(plumb_lint *lint, const plumb_row *row, const plumb_finding **findings,
                             size_t *count) PLUMB_MUST_USE;

enum { PLUMB_LINT_MOST_RULES = 32 };

/* A whole file. */
typedef struct plumb_lint_job {
    const char *data;   /* path or "-" */
    int64_t begin, end; /* rows of the file; end < 0: all */
    plumb_lint_options options;
    bool fix;            /* drop the rows with a fixable finding; of these rows only such findings are told */
    plumb_output *fixed; /* where the other rows go, byte for byte; NULL: nowhere */
    plumb_status (*emit)(void *user, const plumb_finding *finding); /* in file order; a failure stops the run */
    void *user;
} plumb_lint_job;

typedef struct plumb_lint_report {
    int64_t rows, faulty; /* rows read; rows with a finding */
    int64_t findings, fixable, dropped;
    int64_t counts[PLUMB_LINT_MOST_RULES];         /* findings by rule */
    int64_t dropped_counts[PLUMB_LINT_MOST_RULES]; /* dropped rows by the first rule that they break */
    uint64_t data_hash;                            /* base/row_hash.h */
} plumb_lint_report;

/* A file without rows (in the range) is PLUMB_E_INPUT. */
plumb_status plumb_lint_run(const plumb_lint_job *job, const plumb_sink *sink,
                            plumb_lint_report *report) PLUMB_MUST_USE;

#endif
