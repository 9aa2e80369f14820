/* What the steps of plumb demo found, read from the files that they wrote, in a line each; and the summary at the end.
 */
#ifndef PLUMB_CLI_DEMO_FINDINGS_H
#define PLUMB_CLI_DEMO_FINDINGS_H

#include "cli/demo_steps.h"

/* The models that are asked on prompts of their own. */
typedef enum plumb_demo_model {
    PLUMB_DEMO_START,
    PLUMB_DEMO_ALL,
    PLUMB_DEMO_KEPT,
    PLUMB_DEMO_RANDOM,
    PLUMB_DEMO_MODELS
} plumb_demo_model;

typedef struct plumb_demo_rate {
    double refusals, low, high; /* of the responses, with Wilson's interval */
    double malformed;           /* empty or unreadable */
    double drift, p;            /* against the start: difference of the rates, McNemar's test; 0 and 1 for the start */
} plumb_demo_rate;

enum { PLUMB_DEMO_MEASURES = 4 };

typedef struct plumb_demo_findings {
    double one_before, one_after; /* probability of the preferred answer to a single question */
    double opposite, gain;        /* of what other tokens gained: the part of the opposite meaning, and all of it */
    plumb_demo_rate rates[PLUMB_DEMO_MODELS];
    double spearman[PLUMB_DEMO_MEASURES], spearman_high[PLUMB_DEMO_MEASURES]; /* as plumb_demo_measures; NaN: none */
    double classes[3]; /* mean ln_ches of two refusals, two compliances, one of each; NaN: no such pairs */
} plumb_demo_findings;

extern const char *const plumb_demo_measures[PLUMB_DEMO_MEASURES];

/* Each prints its line and fills its part. `name` is a file of the demo's folder. */
plumb_status plumb_demo_tell_question(plumb_demo *d, const char *name, plumb_demo_findings *f) PLUMB_MUST_USE;
plumb_status plumb_demo_tell_pairs(const plumb_demo *d, const char *name) PLUMB_MUST_USE; /* its meta.json */
plumb_status plumb_demo_tell_filter(const plumb_demo *d, const char *name) PLUMB_MUST_USE;
plumb_status plumb_demo_tell_run(plumb_demo *d, const char *name) PLUMB_MUST_USE; /* a run folder; sets d->same_steps */
plumb_status plumb_demo_tell_rate(const plumb_demo *d, const char *name, plumb_demo_model model,
                                  plumb_demo_findings *f) PLUMB_MUST_USE;
plumb_status plumb_demo_tell_trace(const plumb_demo *d, const char *name) PLUMB_MUST_USE;
plumb_status plumb_demo_tell_measures(const plumb_demo *d, const char *name, plumb_demo_findings *f) PLUMB_MUST_USE;

/* What appeared in this run and what did not. */
plumb_status plumb_demo_summary(const plumb_demo_findings *f) PLUMB_MUST_USE;

#endif
