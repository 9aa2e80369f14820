/* A policy-gradient run in state.json of a checkpoint, to go on from to the byte. */
#ifndef PLUMB_TRAIN_POLICY_STATE_H
#define PLUMB_TRAIN_POLICY_STATE_H

#include "train/policy_internal.h"

/* The metrics since the last row, what was counted, whether an evaluation of the ledger is due, what the last step was,
 * and the rollout where the next step goes on with it. *out is a new reference. */
plumb_status plumb_policy_pack(const plumb_policy_state *s, json_t **out) PLUMB_MUST_USE;

/* The opposite; s->step is that of the checkpoint. PLUMB_E_INPUT for a state that does not fit the prompts. */
plumb_status plumb_policy_unpack(plumb_policy_state *s, const json_t *state) PLUMB_MUST_USE;

#endif
