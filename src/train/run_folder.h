/* The run folder on disk (DESIGN: run folder):
 *
 *     RUN/config.json, tokenizer files, model.safetensors   the result: a checkpoint that loads in transformers
 *     RUN/metrics.jsonl, ledger.jsonl, completions.jsonl    appended line by line
 *     RUN/run.json                                          options, versions, hashes (written by the command)
 *     RUN/checkpoint-N/                                     masters.safetensors, optimizer.safetensors, state.json
 *
 * A checkpoint appears complete or not at all; going on from one gives the same files to the byte as a run that was
 * never interrupted: the .jsonl files are cut back to what they held when it was made. */
#ifndef PLUMB_TRAIN_RUN_FOLDER_H
#define PLUMB_TRAIN_RUN_FOLDER_H

#include <jansson.h>

#include "train/trainer.h"

typedef struct plumb_run_folder plumb_run_folder;

/* Creates the folder (its parent must be there). One that holds a run already (a line of metrics.jsonl or ledger.jsonl,
 * or a checkpoint) is PLUMB_E_OUTPUT; with `resume` it is opened: *state is then the state.json of the newest
 * checkpoint that the .jsonl files reach (a new reference), or NULL when there is none, and the .jsonl files are cut
 * back to it. A folder that holds a model and no run is PLUMB_E_OUTPUT always, and so is one that is open elsewhere: it
 * is locked until it is closed. */
plumb_status plumb_run_folder_open(const char *path, bool resume, plumb_run_folder **out,
                                   json_t **state) PLUMB_MUST_USE;
void plumb_run_folder_close(plumb_run_folder *f);

/* Appends lines. ledger.jsonl is made with its first ones: SFT has none. */
plumb_status plumb_run_folder_metrics(plumb_run_folder *f, const plumb_text *lines) PLUMB_MUST_USE;
plumb_status plumb_run_folder_ledger(plumb_run_folder *f, const plumb_text *lines) PLUMB_MUST_USE;
plumb_status plumb_run_folder_completions(plumb_run_folder *f, const plumb_text *lines) PLUMB_MUST_USE;

/* Writes checkpoint-STEP (with reference.safetensors when the reference has weights of its own, else NULL) with `state`
 * (an object to which step and file sizes are added). `value` is a second model that is trained beside (PPO; NULL:
 * none), with the same optimiser: value.safetensors, value_optimizer.safetensors. */
plumb_status plumb_run_folder_save(plumb_run_folder *f, plumb_trainer *t, const plumb_optimizer *o, int64_t step,
                                   json_t *state, const plumb_masters *reference, plumb_trainer *value) PLUMB_MUST_USE;

/* Of the checkpoints up to `step` keeps the newest `limit` (0: all). Not called before the newest has proved good. */
plumb_status plumb_run_folder_prune(const plumb_run_folder *f, int64_t step, int64_t limit) PLUMB_MUST_USE;

/* The step of the newest checkpoint before `step` in the folder at that path; -1: there is none. */
int64_t plumb_run_checkpoint_before(const char *path, int64_t step);
/* The same of an open folder. */
int64_t plumb_run_folder_newest(const plumb_run_folder *f, int64_t step);

/* Reads masters, optimiser state and (when not NULL) the reference of the checkpoint that the folder was opened with.
 */
plumb_status plumb_run_folder_load(const plumb_run_folder *f, const plumb_optimizer *o, plumb_trainer *t,
                                   plumb_masters *reference, plumb_trainer *value) PLUMB_MUST_USE;

/* Writes the result: weights in `dtype`, config.json and the files of the tokenizer of `model` as plumb_copy_config and
 * plumb_copy_side_files write them; with LoRA the adapter's folder instead of weights and config. Where only the files
 * beside the weights fail, the weights are there all the same. */
plumb_status plumb_run_folder_finish(plumb_run_folder *f, plumb_trainer *t, const char *model, plumb_dtype dtype,
                                     const plumb_sink *sink) PLUMB_MUST_USE;
/* The same of a second model into RUN/NAME. */
plumb_status plumb_run_folder_finish_beside(plumb_run_folder *f, const char *name, plumb_trainer *t, const char *model,
                                            plumb_dtype dtype, const plumb_sink *sink) PLUMB_MUST_USE;

/* Copies what a checkpoint folder holds beside weights and config: tokenizer, chat template, generation config. `c` is
 * the model's that is written: the tokenizer of a reward model gets its pad token (tokenizer_config.json); a
 * note says where that cannot be. */
plumb_status plumb_copy_side_files(const char *from, const char *to, const plumb_config *c,
                                   const plumb_sink *sink) PLUMB_MUST_USE;

/* config.json of `from` into `to` with its dtype set, and where c has a reward head with what makes it a reward
 * model's.
 */
plumb_status plumb_copy_config(const char *from, const char *to, plumb_dtype dtype,
                               const plumb_config *c) PLUMB_MUST_USE;

#endif
