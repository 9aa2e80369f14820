/* Options of TRL's dpo and sft commands (DPOConfig, SFTConfig, ModelConfig, ScriptArguments of TRL 1.16, with what they
 * have from transformers, and names of earlier versions that configs still hold) that plumb has no row for.
 *
 * Three lists make up the whole: rows of plumb_train_options are honoured; of the rows here, those that are not
 * `refused` have no effect on the result of a run here and are accepted with a note, the others would change it and are
 * refused with the reason. docs/config.md is printed from both tables; tests/unit/test_train_options.c compares it, and
 * checks that no option of TRL is missing. */
#ifndef PLUMB_CLI_TRL_KEYS_H
#define PLUMB_CLI_TRL_KEYS_H

#include "base/options.h"

/* Ends with a row without a name. */
extern const plumb_foreign_option plumb_trl_keys[];

#endif
