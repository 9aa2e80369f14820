/* What the training commands have in common around plumb_run: opening model and encoder, the memory plan, run.json,
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
    bool fresh_head; /* plumb_train_open_score: was the model without a reward head? */
} plumb_train_body;

/* Opens compute, model, encoder and adapter; sets max_length. A given adapter is attached to the model, so that it is
 * part of the reference too, as TRL has it; a fresh one is not. */
plumb_status plumb_train_open(plumb_train_body *b, plumb_cli *cli, plumb_train_values *v) PLUMB_MUST_USE;

/* The same for a model with a reward head, which a language model is given anew (from --seed). */
plumb_status plumb_train_open_score(plumb_train_body *b, plumb_cli *cli, plumb_train_values *v) PLUMB_MUST_USE;

/* Opens --reference, a model with the same tokenizer, or takes the model as it is at the start (an --adapter included,
 * which a named reference is without), and says which it is. */
plumb_status plumb_train_open_reference(plumb_train_body *b) PLUMB_MUST_USE;

/* Embeddings that the model and its reference both have. */
int plumb_train_vocab_size(const plumb_train_body *b);

/* After the examples are read and b->options holds what is the command's own (objective, ledger, gate): fills in the
 * rest, prints the plan, refuses what does not fit, and unless --dry-run trains, writes run.json and says how it went.
 */
plumb_status plumb_train_go(plumb_train_body *b) PLUMB_MUST_USE;

/* The parts of it, for commands with another loop (rloo, grpo, ppo). */

/* Fills in what follows from the options alone: folder, model, resume, dtype, tokenizer, sink; of the trainer
 * optimiser, weight_decay and max_grad_norm. */
plumb_status plumb_train_settings(plumb_train_body *b) PLUMB_MUST_USE;
/* The order of rows (batch, accumulation, epochs, max_steps, seed) and, of the pace, what does not depend on the number
 * of steps. */
void plumb_train_pace(const plumb_train_values *v, plumb_order_options *order, plumb_run_pace *pace);
/* The rest, for a run of `steps` steps, of which an epoch has per_epoch; checks the schedule, so that what is wrong
 * with it shows before any work. */
plumb_status plumb_train_settle_pace(const plumb_train_values *v, int64_t steps, int64_t per_epoch,
                                     plumb_run_pace *pace) PLUMB_MUST_USE;
/* Reads the pairs of a preference file into `examples`, as the policy's own tokens. */
plumb_status plumb_train_read_pairs(plumb_train_body *b, const char *path, int64_t begin, int64_t end) PLUMB_MUST_USE;
/* Says what a run needs and decides whether activations are kept; PLUMB_E_INPUT when it does not fit. */
plumb_status plumb_train_fit(plumb_train_body *b, const plumb_memory_plan *p) PLUMB_MUST_USE;
/* Begins run.json: options, model and reference, the data's rows and hash. plumb_train_record_model adds another
 * model, plumb_train_record_pairs the pairs of --ledger_data (the examples). */
plumb_status plumb_train_record(plumb_train_body *b, int64_t rows, uint64_t hash) PLUMB_MUST_USE;
plumb_status plumb_train_record_model(plumb_train_body *b, const char *role, const char *folder) PLUMB_MUST_USE;
plumb_status plumb_train_record_pairs(plumb_train_body *b, const char *path) PLUMB_MUST_USE;
/* With --resume: is the record in the folder that of the same run? Sets `complete`. */
plumb_status plumb_train_same_run(plumb_train_body *b) PLUMB_MUST_USE;
/* Writes it once the folder is there (the body is `user`), and again when the run is done. */
plumb_status plumb_train_record_begun(void *user) PLUMB_MUST_USE;
plumb_status plumb_train_record_done(plumb_train_body *b, int64_t steps) PLUMB_MUST_USE;

/* Says how log-probs of the pairs went, where they were evaluated. */
void plumb_train_say_pairs(plumb_train_body *b, const plumb_ledger_summary *found, bool evaluated);

void plumb_train_close(plumb_train_body *b);

#endif
