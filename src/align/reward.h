/* Rewards: what a reward model (config.head is PLUMB_HEAD_SCORE) says of sequences, and the loss that fits one to
 * preferences (Bradley and Terry 1952; as TRL's RewardTrainer and transformers' ...ForSequenceClassification have it).
 *
 *     plumb_rewarder_new(model, sink, &r);
 *     plumb_rewarder_run(r, sequences, count, rewards);
 *
 * A reward depends on the model and its sequence alone, for two sides also on where they part, to the bit: not on
 * threads, nor on what else is in the call. */
#ifndef PLUMB_ALIGN_REWARD_H
#define PLUMB_ALIGN_REWARD_H

#include "base/sink.h"
#include "model/model.h"

/* --- the head ----------------------------------------------------------------------------------------------------- */

/* v [rows] = <h, w> of the states h [rows][ldh], w the weight of the reward head: fp64 sums over ascending elements. */
void plumb_score_values(const plumb_model *m, const float *h, int ldh, int rows, double *v);

/* The way back: dh [rows][lddh] row i is set to g_i w, and dw [hidden_size] (NULL: frozen) grows by g_i h_i, a chain of
 * fused multiply-adds over ascending rows that starts from dw. */
void plumb_score_gradient(const plumb_model *m, const float *h, int ldh, int rows, const double *g, float *dh, int lddh,
                          float *dw);

/* Where transformers reads the reward of a sequence of count >= 1 tokens: at the last token that is not pad_id (0 when
 * all are; the last one when pad_id is negative). Where a tokenizer has no pad token TRL takes EOS for it; then the EOS
 * that closes a response is passed over too. */
int plumb_reward_position(const int32_t *ids, int count, int64_t pad_id);

/* --- sequences ---------------------------------------------------------------------------------------------------- */

/* One sequence, or two that are scored together and have `shared` leading tokens in common, which are then computed
 * once. Borrowed. */
typedef struct plumb_reward_sequence {
    const int32_t *ids[2];
    int counts[2]; /* each >= 1 */
    int sides;     /* 1 or 2 */
    int shared;
} plumb_reward_sequence;

typedef struct plumb_rewarder plumb_rewarder;

/* The model must have a reward head and outlive the rewarder; the pad token is the config's pad_token_id. The sink
 * (NULL: none; borrowed) is asked before each layer whether to stop. */
plumb_status plumb_rewarder_new(const plumb_model *model, const plumb_sink *sink, plumb_rewarder **out) PLUMB_MUST_USE;
void plumb_rewarder_free(plumb_rewarder *r);

/* rewards [count][2] of the sequences, in batches of bounded size. A reward that is not finite is PLUMB_E_INPUT naming
 * the sequence by its place. */
plumb_status plumb_rewarder_run(plumb_rewarder *r, const plumb_reward_sequence *list, size_t count,
                                double (*rewards)[2]) PLUMB_MUST_USE;

/* What such calls would take. {0} is nothing. */
typedef struct plumb_reward_work {
    double flops;     /* at the least: plumb_forward_flops of all batches, and the head's */
    int64_t bytes;    /* beside the model, for the batch that needs most, about */
    int largest_rows; /* packed tokens of the largest batch */
} plumb_reward_work;

/* plumb_rewarder_run without the passes: adds what they would take to *work. */
plumb_status plumb_rewarder_plan(plumb_rewarder *r, const plumb_reward_sequence *list, size_t count,
                                 plumb_reward_work *work) PLUMB_MUST_USE;

/* --- the loss ----------------------------------------------------------------------------------------------------- */

/* TRL's numbers of a batch. */
typedef struct plumb_reward_metrics {
    double loss;
    double min, mean, max; /* over both sides of all pairs */
    double accuracy;       /* share of pairs with chosen > rejected */
    double margin;         /* mean of chosen - rejected */
} plumb_reward_metrics;

/* loss = mean -ln sigmoid(r_c - r_r - margin) + center mean (r_c + r_r)^2 (the second term: arXiv 2312.09244, eq. 2)
 * over count >= 1 pairs. r and g [count][2]: chosen, rejected; g is set to d loss / d r. margin [count]; NULL: 0. */
void plumb_reward_loss(const double (*r)[2], const double *margin, size_t count, double center, double (*g)[2],
                       plumb_reward_metrics *out);

#endif
