/* Which hidden state predicts which token, for the pairs of a packed batch. */
#ifndef PLUMB_ALIGN_TARGETS_H
#define PLUMB_ALIGN_TARGETS_H

#include "compute/gradient.h"
#include "model/batch.h"

/* Tokens that states predict, side by side and pair by pair, and the wanted state that predicts each. {0} is empty. */
typedef struct plumb_targets {
    plumb_ids tokens; /* [count] */
    plumb_ids states; /* [count] numbers of wanted states */
} plumb_targets;

/* Where a pair's part lies. */
typedef struct plumb_pair_states {
    plumb_group_place place;
    int states[2];     /* hidden states that count on each side */
    int targets[2];    /* how many of them predict a token */
    int shared_states; /* leading states that both sides have in common */
    int first_target;  /* of this pair, among all targets of the batch: chosen first, then rejected */
} plumb_pair_states;

/* Adds a pair of `sides` (1 or 2) sequences to a batch: ids[s] of totals[s] tokens that begin with `prompt` common ones
 * (prompt >= 1) and have `shared` common leading tokens. The state of the last token is computed only with
 * `last_state`. Fills *out but for first_target. */
plumb_status plumb_batch_add_pair(plumb_batch *b, const int32_t *const ids[], const int totals[], int sides, int prompt,
                                  int shared, bool last_state, plumb_pair_states *out) PLUMB_MUST_USE;

/* Rows that such a pair needs in a batch. */
int plumb_pair_rows(const int totals[], int sides, int shared, bool last_state);

/* The wanted state number i of a side. */
int plumb_pair_state_row(const plumb_pair_states *p, int side, int i);

/* Appends the targets of a pair that was added to the batch; sets first_target. */
plumb_status plumb_targets_add(plumb_targets *t, const int32_t *const ids[], int sides, int prompt,
                               plumb_pair_states *p) PLUMB_MUST_USE;
/* The same for a pair of one side of which only the tokens ids[i] with trained[i] are targets, prompt <= i < total;
 * sets targets[0] to their number. */
plumb_status plumb_targets_add_trained(plumb_targets *t, const int32_t *ids, const uint8_t *trained, int total,
                                       int prompt, plumb_pair_states *p) PLUMB_MUST_USE;

/* Sums of the log-probs [targets[side]] of one side: over its first min(targets) tokens, and over the rest. */
void plumb_split_logps(const double *logps, const plumb_pair_states *p, int side, double *head, double *tail);

/* The states that predict something, each once, in the order of the targets, and what pulls at each. */
typedef struct plumb_pulls {
    int32_t *states;   /* [count] numbers of wanted states */
    plumb_pull *pulls; /* [count]; two targets of one token are one pull */
    double *lse;       /* [count] */
    size_t count;
} plumb_pulls;

/* Puts together the targets of the same state: g and lse are those of the targets. A state belongs to one pair, so the
 * result does not depend on what else is in the batch. Memory from the arena. */
plumb_status plumb_targets_pulls(const plumb_targets *t, size_t wanted, const double *g, const double *lse,
                                 plumb_arena *arena, plumb_pulls *out) PLUMB_MUST_USE;

void plumb_targets_clear(plumb_targets *t);
void plumb_targets_free(plumb_targets *t);

#endif
