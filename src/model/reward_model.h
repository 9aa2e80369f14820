/* A reward model as it lies in a folder: a checkpoint with a reward head, or the LoRA adapter of one.
 *
 *     plumb_reward_model rm = {0};
 *     plumb_reward_model_open("rm", NULL, NULL, compute, &rm);
 *     ... align/reward.h with rm.model; text through rm.encoder ...
 *     plumb_reward_model_close(&rm);
 */
#ifndef PLUMB_MODEL_REWARD_MODEL_H
#define PLUMB_MODEL_REWARD_MODEL_H

#include "model/adapter.h"
#include "text/encoder.h"

typedef struct plumb_reward_model {
    plumb_model *model;     /* the adapter is attached to it */
    plumb_adapter *adapter; /* NULL: a checkpoint of its own */
    plumb_encoder *encoder;
    const char *text; /* the folder that the encoder was opened from: the checkpoint's, or the adapter's where it has a
                         tokenizer; the model's to free */
} plumb_reward_model;

/* Opens FOLDER; with `base` it is an adapter of that checkpoint, with NULL whatever lies in it: the checkpoint of an
 * adapter is then what its adapter_config.json names. chat_template: as of plumb_encoder_open. config.pad_id of an
 * adapter's model is the pad token of its own tokenizer where that names one, since the base's config.json cannot know
 * which token its training took. PLUMB_E_INPUT for a language model, for an adapter of one, and where the checkpoint of
 * an adapter is not there. On failure too *out may be closed. */
plumb_status plumb_reward_model_open(const char *folder, const char *base, const char *chat_template,
                                     plumb_compute *compute, plumb_reward_model *out) PLUMB_MUST_USE;
void plumb_reward_model_close(plumb_reward_model *m);

/* Is it a folder with an adapter instead of a model? */
plumb_status plumb_is_adapter_folder(const char *folder, bool *out) PLUMB_MUST_USE;

#endif
