/* What judged responses add up to: rates with their uncertainty, gates on them, and drift against an earlier model. */
#ifndef PLUMB_STUDY_JUDGE_SUMMARY_H
#define PLUMB_STUDY_JUDGE_SUMMARY_H

#include "study/judgements.h"
#include "study/statistics.h"

typedef struct plumb_judge_counts {
    int64_t rows;
    int64_t labels[PLUMB_LABELS];
    int64_t unread; /* a model's answers that could not be read: part of no rate but unread_rate */
} plumb_judge_counts;

void plumb_judge_count(plumb_judge_counts *c, plumb_label label);

/* The rates, of the judged rows (unread_rate: of all rows): refusal_rate, compliance_rate, evasive_rate, empty_rate,
 * unreadable_rate, malformed_rate (empty or unreadable), unread_rate. */
enum { PLUMB_JUDGE_RATES = 7 };
const char *plumb_judge_rate_name(int rate);
/* k of n; the rate is k / n. */
void plumb_judge_rate(const plumb_judge_counts *c, int rate, int64_t *k, int64_t *n);

/* ---- drift ---- */

/* A prompt whose share of refusals changed. */
typedef struct plumb_flip {
    plumb_row_key key;
    int samples;           /* that were judged both times */
    int64_t before, after; /* how many of them refused */
} plumb_flip;

/* Two judgings of the same prompts and samples. */
typedef struct plumb_drift {
    plumb_judge_counts before; /* of all rows there */
    int64_t compared;          /* responses judged both times */
    int64_t refusals[2];       /* of these, before and after */
    int64_t prompts;
    int64_t gained, lost; /* responses that refuse now and did not, and the other way round */
    double p;             /* McNemar's exact test of these two */
    plumb_flip *flips;    /* [flip_count] by index; freed by plumb_drift_free */
    size_t flip_count;
} plumb_drift;

/* PLUMB_E_INPUT when a response is in one of them only, or its row differs; the message names it. before_name and
 * after_name are what messages call them. *out is {0}. */
plumb_status plumb_drift_measure(const plumb_judgements *before, const char *before_name, const plumb_judgements *after,
                                 const char *after_name, plumb_drift *out) PLUMB_MUST_USE;
void plumb_drift_free(plumb_drift *d);
/* The change of the refusal rate, over the compared responses; NaN for none. */
double plumb_drift_change(const plumb_drift *d);

/* ---- gates ---- */

/* NAME OP BOUND, such as refusal_rate>=0.8 or malformed_rate<5%. */
typedef struct plumb_rate_gate {
    int rate;      /* PLUMB_JUDGE_RATES: refusal_drift */
    bool at_least; /* >= or >, else <= or < */
    bool strict;
    double bound;
} plumb_rate_gate;

/* PLUMB_E_INPUT names what is wrong, and the nearest name. */
plumb_status plumb_rate_gate_parse(const char *text, plumb_rate_gate *out) PLUMB_MUST_USE;
/* The value (NaN where there is nothing to judge, which fails) and whether it passes. drift may be NULL unless the gate
 * is on refusal_drift. */
bool plumb_rate_gate_passes(const plumb_rate_gate *gate, const plumb_judge_counts *c, const plumb_drift *drift,
                            double *value);

/* ---- as JSON ---- */

/* {"rows", "judged", "unread", "labels": {...}, "rates": {...}, "intervals": {name: [low, high]}}: a new reference. */
plumb_status plumb_judge_counts_json(const plumb_judge_counts *c, json_t **out) PLUMB_MUST_USE;
/* {"compared", "prompts", "refusal_rate_before", "refusal_rate_after", "refusal_drift", "gained", "lost", "mcnemar_p",
 * "flipped": [{"index", "row", "samples", "before", "after"}]} */
plumb_status plumb_drift_json(const plumb_drift *d, json_t **out) PLUMB_MUST_USE;

#endif
