/* Losses of a step beside preferences and SFT: that of reward models and that of KTO. */
#ifndef PLUMB_TRAIN_STEP_LOSSES_H
#define PLUMB_TRAIN_STEP_LOSSES_H

#include "align/kto.h"
#include "train/trainer.h"

/* Reward models (align/reward.h) on scored examples of two sides; TRL's columns min_reward, mean_reward, max_reward,
 * accuracy, margin. `center` is borrowed: center_rewards_coefficient, 0 for none. */
plumb_step_loss plumb_reward_step_loss(const double *center);

/* KTO (align/kto.h) on examples whose first side is a prompt with its completion; with loss_type kto the second side is
 * the same prompt with the completion of another row, for the estimate of KL, and gets no gradient. References as in
 * plumb_example. TRL's columns: kl, entropy, and logits, rewards, logps of chosen (desirable) and rejected
 * (undesirable), rewards/margins; those of a kind that a micro-batch has none of are not counted for it. The options
 * are borrowed. */
plumb_step_loss plumb_kto_step_loss(const plumb_kto_options *o);

/* What KTO knows of example i of a micro-batch. */
plumb_kto_row plumb_kto_row_of(const plumb_micro_batch *m, size_t i);

#endif
