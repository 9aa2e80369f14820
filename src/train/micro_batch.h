/* Examples packed for one pass, and what the head of a model says of their targets: log-probabilities of tokens, or
 * with a reward head (config.head is PLUMB_HEAD_SCORE) a number for each state that predicts a token. The trainer's
 * forward pass and passes without gradients come out of the same functions, so that their numbers are the same to the
 * bit. */
#ifndef PLUMB_TRAIN_MICRO_BATCH_H
#define PLUMB_TRAIN_MICRO_BATCH_H

#include "align/targets.h"
#include "base/sink.h"
#include "model/model.h"
#include "train/examples.h"

/* {0} is empty. What its pointers name lives until the next pack. */
typedef struct plumb_micro_batch {
    const plumb_example *const *examples; /* [count], borrowed */
    size_t count;
    /* Where the targets of examples[i] lie: at[i].targets[0] of its first side from at[i].first_target on, then
     * at[i].targets[1] of its second. Both are 0 where there is nothing to compute. */
    const plumb_pair_states *at; /* [count] */
    size_t targets;
    const int32_t *tokens; /* [targets] the token that each predicts; -1 for the last state of a scored example */
    double *logps;         /* [targets] log-probs; of a reward head the values v */
    plumb_token_statistics *statistics; /* [targets]; zero with a reward head */
    plumb_arena scratch;                /* for the caller too */
    double temperature; /* set by the caller: the distributions are those of logits / temperature; 0: 1 */
    /* the passes' own */
    int d;
    float *gathered; /* [targets][d] the states of the targets */
    double *lse;     /* [targets] */
    plumb_batch batch;
    plumb_targets lists;
} plumb_micro_batch;

/* Packs the examples for `model`; resets the scratch. */
plumb_status plumb_micro_pack(plumb_micro_batch *m, const plumb_model *model, const plumb_example *const *examples,
                              size_t count) PLUMB_MUST_USE;

/* After the forward pass that gave hidden [wanted][d]: fills logps and statistics. */
plumb_status plumb_micro_head(plumb_micro_batch *m, const plumb_model *model, const float *hidden) PLUMB_MUST_USE;

/* The unembedding whose logits, after the cap, are divided by `temperature` (0: 1), as a sampler of that temperature
 * draws from them: cap tanh(z / cap) / T = c tanh(z / T / c) with c = cap / T. */
plumb_unembed plumb_unembed_tempered(const plumb_model *model, double temperature);

void plumb_micro_free(plumb_micro_batch *m);

/* A pass without gradients over examples under any model, in batches of bounded size: `look` sees each batch with its
 * first example's place in the list. Interruptible through the sink. */
typedef plumb_status (*plumb_micro_look)(void *user, const plumb_micro_batch *m, size_t first);
plumb_status plumb_examples_look(const plumb_model *model, const plumb_example *const *examples, size_t count,
                                 plumb_micro_look look, void *user, const plumb_sink *sink) PLUMB_MUST_USE;
plumb_status plumb_examples_look_tempered(const plumb_model *model, double temperature,
                                          const plumb_example *const *examples, size_t count, plumb_micro_look look,
                                          void *user, const plumb_sink *sink) PLUMB_MUST_USE;

#endif
