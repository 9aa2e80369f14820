/* A training run from its first step (or its newest checkpoint) to the finished folder. */
#ifndef PLUMB_TRAIN_RUN_H
#define PLUMB_TRAIN_RUN_H

#include "base/sink.h"
#include "text/tokenizer.h"
#include "train/gate.h"
#include "train/ledger.h"
#include "train/order.h"
#include "train/pace.h"
#include "train/run_folder.h"
#include "train/schedule.h"

/* What is noted of every example under the policy as it is at the start, after each epoch and at the end, where the
 * rows of ledger.jsonl are not those of pairs (train/ledger.h): appends JSON lines to *rows. References are up to date.
 */
typedef struct plumb_run_ledger {
    plumb_status (*note)(void *user, const plumb_model *policy, const plumb_examples *e, int64_t step,
                         const plumb_sink *sink, plumb_text *rows); /* NULL: none */
    void *user;
} plumb_run_ledger;

typedef struct plumb_run_options {
    const char *folder; /* where the run goes */
    const char *model;  /* folder of the starting model: config and tokenizer are copied from it */
    bool resume;
    plumb_dtype dtype;             /* of the result */
    plumb_trainer_options trainer; /* with an objective: the ledger of pairs */
    plumb_run_ledger ledger;       /* of another loss */
    plumb_order_options order;     /* rows is filled in */
    plumb_run_pace pace;
    int ledger_tokens;
    plumb_gate gate;
    int64_t ches_refresh;      /* 0: the gate stays as it was at the start */
    const char *reference_key; /* what the reference's log-probs depend on (train/reference_cache.h); NULL: no cache */
    const plumb_tokenizer *tokenizer; /* for the ledger's texts; may be NULL */
    const plumb_sink *sink;
    plumb_status (*begun)(void *user); /* called once the folder is there; may be NULL */
    void *begun_user;
} plumb_run_options;

/* How it went. */
typedef struct plumb_run_report {
    int64_t steps, first_step;   /* done in all; where this call began */
    plumb_step_metrics last;     /* of the last step */
    plumb_ledger_summary ledger; /* of the last evaluation; worst[] are places in the list of examples */
    bool evaluated;
    size_t kept; /* pairs that the gate let through */
} plumb_run_report;

/* Trains `start` (the policy before the first step; its weights are copied) on the examples. `reference` is NULL when
 * the objective needs none; where it is the same folder as the start, the same model may be passed twice and rewards
 * start at exactly 0 (else PLUMB_E_INTERNAL). An interruption saves a checkpoint and is PLUMB_E_INTERRUPTED. */
plumb_status plumb_run(const plumb_run_options *options, const plumb_model *start, const plumb_model *reference,
                       plumb_examples *e, plumb_run_report *report) PLUMB_MUST_USE;

/* What a run needs in memory beside the mapped checkpoint, with and without keeping activations. */
typedef struct plumb_memory_plan {
    int64_t weights;     /* masters, gradients, optimiser state; twice the masters with sync_ref_model */
    int64_t activations; /* of the largest micro-batch, kept */
    int64_t recomputed;  /* the same when they are computed again */
    int64_t ledger;      /* states of --ledger_tokens */
} plumb_memory_plan;
/* Floating-point operations of the whole run: passes over all examples at the start (one where the start is its own
 * reference), for the ledger and the gate, and the steps, which cost a pass over their examples three times, four times
 * where activations are computed again, and with an adapter, whose base has no gradients, once less. */
plumb_status plumb_run_flops(const plumb_run_options *options, const plumb_config *config, bool own_reference,
                             const plumb_examples *e, double *flops) PLUMB_MUST_USE;
plumb_memory_plan plumb_run_memory(const plumb_run_options *options, const plumb_config *config,
                                   const plumb_examples *e);

#endif
