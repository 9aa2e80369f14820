/* The ledger: what happened to every pair. One row per pair and evaluation, appended to ledger.jsonl of the run folder:
 *
 *     {"step":8,"index":3,"row":"…","logps/chosen":…,"logps/rejected":…,"ref_logps/chosen":…,"ref_logps/rejected":…,
 *      "position":0,"gained":[{"token":…,"text":…,"p_before":…,"p_after":…}],"lost":[…],"ln_ches":…,"weight":…}
 *
 * `position` counts response tokens: the first at which the two responses differ; gained and lost are the K tokens
 * there whose probability rose and fell most since the start (--ledger_tokens K). */
#ifndef PLUMB_TRAIN_LEDGER_H
#define PLUMB_TRAIN_LEDGER_H

#include "base/sink.h"
#include "io/output.h"
#include "text/tokenizer.h"
#include "train/examples.h"
#include "train/reference.h"

typedef struct plumb_ledger plumb_ledger;

/* What ref_logps are. */
typedef enum plumb_ledger_reference {
    PLUMB_LEDGER_NO_REFERENCE, /* they are left out */
    PLUMB_LEDGER_REFERENCE,    /* the examples' ref_head and ref_tail */
    PLUMB_LEDGER_START,        /* the examples' start */
} plumb_ledger_reference;

typedef struct plumb_ledger_options {
    int tokens; /* K; 0: none */
    bool gate;  /* write ln_ches and weight */
    plumb_ledger_reference reference;
    const plumb_tokenizer *tokenizer; /* for the tokens' texts; borrowed, may be NULL: texts are left out */
} plumb_ledger_options;

/* `start` is the policy before the first step, which must outlive the ledger when tokens are asked for: probabilities
 * before are computed from its unembedding. */
plumb_status plumb_ledger_new(const plumb_ledger_options *options, const plumb_model *start, const plumb_examples *e,
                              plumb_ledger **out) PLUMB_MUST_USE;
void plumb_ledger_free(plumb_ledger *l);

/* What the last evaluation found, against the start. */
typedef struct plumb_ledger_summary {
    double mean[2], start_mean[2]; /* of the log-probs of chosen and rejected */
    size_t displaced;              /* pairs whose chosen log-prob is below its start */
    size_t worst[3];               /* examples that fell most, worst first; count in `worsts` */
    int worsts;
} plumb_ledger_summary;

/* Runs the policy before its first step over the examples: sets their start log-probs and keeps what the tokens'
 * probabilities before need. Must be called once before the first evaluation; an evaluation at step 0 uses its numbers.
 * `also` (NULL: nobody) sees the same pass: its score is called for each example too; its state is not. */
plumb_status plumb_ledger_start(plumb_ledger *l, const plumb_model *policy, plumb_examples *e,
                                const plumb_examples_visit *also, const plumb_sink *sink) PLUMB_MUST_USE;

/* In its place, without a pass: the start is the reference, whose log-probs are known; not with tokens. */
void plumb_ledger_start_as_reference(plumb_ledger *l, plumb_examples *e);

/* Evaluates all examples under the policy and appends their rows for `step` to *rows (JSON lines). ln_ches [examples]
 * is for the gate's column, or NULL. PLUMB_E_DIVERGED where a mean log-prob is not finite. */
plumb_status plumb_ledger_evaluate(plumb_ledger *l, const plumb_model *policy, const plumb_examples *e, int64_t step,
                                   const double *ln_ches, const plumb_sink *sink, plumb_text *rows,
                                   plumb_ledger_summary *summary) PLUMB_MUST_USE;

/* Notes it where the mean chosen log-prob fell: the phenomenon this tool is about. `advice` says what to do. */
void plumb_ledger_warn(const plumb_ledger_summary *summary, const plumb_examples *e, int64_t step, const char *advice,
                       const plumb_sink *sink);

/* What the states for the tokens need in memory, in bytes. */
int64_t plumb_ledger_bytes(int tokens, size_t examples, const plumb_config *config);

#endif
