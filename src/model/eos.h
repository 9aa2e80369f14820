/* The tokens that end a completion. */
#ifndef PLUMB_MODEL_EOS_H
#define PLUMB_MODEL_EOS_H

#include "base/memory.h"
#include "text/encoder.h"

/* Appends, each once, the ids below `vocab` that any file of the checkpoint names as end: eos_token_id of
 * generation_config.json and of config.json (a number or a list; where there is a text_config also its own), and the
 * tokenizer's EOS token (encoder NULL: without it). All of them end a completion: chat checkpoints often name the end
 * of a turn in one file and the end of a text in another. Wrong types are PLUMB_E_INPUT with file and key. */
plumb_status plumb_eos_ids(const char *folder, const plumb_encoder *encoder, int vocab, plumb_ids *out) PLUMB_MUST_USE;

#endif
