/* The data of reward models: preferences as pairs of whole sequences, each up to the token at which its reward is read,
 * with a margin where rows have one. Tokens are those of RewardTrainer in TRL 1.16. */
#ifndef PLUMB_TRAIN_SCORED_PAIRS_H
#define PLUMB_TRAIN_SCORED_PAIRS_H

#include "train/examples.h"

/* Reads all pairs of a reader whose pairing has no max_length; plain rows without a prompt are fine where its keys say
 * PLUMB_IMPLICIT_WHOLE. A pair with a side of more than max_length tokens (0: no limit) is dropped, not cut, and
 * counted in skipped[PLUMB_SKIP_PROMPT_TOO_LONG]. pad_id: as plumb_reward_position takes it. The column "margin" holds
 * a number in all rows or in none. PLUMB_E_INPUT when no pair is left. */
plumb_status plumb_scored_pairs_read(plumb_pair_reader *reader, int64_t pad_id, int max_length,
                                     plumb_examples *out) PLUMB_MUST_USE;

#endif
