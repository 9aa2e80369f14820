/* Rows of ledger.jsonl for losses other than those of pairs (train/ledger.h):
 *
 *     reward  {"step":8,"index":3,"row":"…","reward/chosen":…,"reward/rejected":…}
 *     KTO     {"step":8,"index":3,"row":"…","label":true,"logps":…,"ref_logps":…}
 *
 * Where KTO's completions are preferences that were taken apart, it has the rows of pairs: one for each of which both
 * sides are trained on, in the order of the file. */
#ifndef PLUMB_TRAIN_ROW_LEDGERS_H
#define PLUMB_TRAIN_ROW_LEDGERS_H

#include "train/run.h"

/* What the evaluations found: of the first one and of the last. */
typedef struct plumb_reward_notes {
    int64_t evaluations;
    double accuracy[2]; /* share of pairs with chosen > rejected */
    double margin[2];   /* mean of chosen - rejected */
} plumb_reward_notes;

/* [2][2]: first and last; unwanted and wanted completions. */
typedef struct plumb_kto_notes {
    bool pairs; /* set by the caller: are the examples preferences taken apart (train/unpaired.h)? */
    int64_t evaluations;
    double logps[2][2]; /* means */
} plumb_kto_notes;

/* Ledgers for plumb_run_options of scored pairs and of KTO's examples with references. The notes ({0}, but
 * for `pairs`) are borrowed. */
plumb_run_ledger plumb_reward_ledger(plumb_reward_notes *notes);
plumb_run_ledger plumb_kto_ledger(plumb_kto_notes *notes);

#endif
