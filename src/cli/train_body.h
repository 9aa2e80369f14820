/* What plumb dpo and plumb sft have in common around plumb_run: opening model and encoder, the memory plan, run.json,
 * the report. */
#ifndef PLUMB_CLI_TRAIN_BODY_H
#define PLUMB_CLI_TRAIN_BODY_H

#include "cli/train_options.h"
#include "model/adapter.h"
#include "text/encoder.h"
#include "train/run.h"

/* All that a training command holds; freed in one place. */
typedef struct plumb_train_body {
    plumb_cli *cli;
    plumb_train_values *v;
    plumb_compute *compute;
    plumb_model *model, *reference; /* reference: NULL, the same as model, or another one */
    plumb_encoder *encoder;
    plumb_adapter *adapter; /* with --use_peft or --adapter */
    plumb_examples examples;
    plumb_run_options options;
    json_t *record;          /* run.json */
    char reference_key[128]; /* of the reference model, for its cache */
    bool complete;           /* with --resume: did the run in the folder come to its end? */
    int max_length;
} plumb_train_body;

/* Opens compute, model, encoder and adapter; sets max_length. A given adapter is attached to the model, so that it is
 * part of the reference too, as TRL has it; a fresh one is not. */
plumb_status plumb_train_open(plumb_train_body *b, plumb_cli *cli, plumb_train_values *v) PLUMB_MUST_USE;

/* After the examples are read and b->options holds what is the command's own (objective, ledger, gate): fills in the
 * rest, prints the plan, refuses what does not fit, and unless --dry-run trains, writes run.json and says how it went.
 */
plumb_status plumb_train_go(plumb_train_body *b) PLUMB_MUST_USE;

/* PLUMB_E_INPUT when the tokenizer of another folder would give other ids than the model's. Its chat template does not
 * matter: the model's renders conversations for both. */
plumb_status plumb_train_same_tokenizer(const plumb_train_body *b, const char *folder) PLUMB_MUST_USE;

/* Says which reference is used, with its hash, and that of an adapter that is part of it. */
plumb_status plumb_train_say_reference(plumb_train_body *b, const char *folder) PLUMB_MUST_USE;

void plumb_train_close(plumb_train_body *b);

#endif
