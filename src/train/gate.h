/* The gate: which pairs take part in training, and with what weight, by their length-normalised CHES under the model
 * that is trained (Razin et al. 2024, section 6: leave out pairs with a high ln_ches).
 *
 *   keep-lowest:P% (or N)  only the lowest ceil(P n / 100) pairs by ln_ches; the others have weight 0
 *   weight                 every pair's loss counts 1 - rank / (n - 1), rank ascending by ln_ches, scaled to mean 1
 *
 * Of equal scores the earlier row ranks lower. */
#ifndef PLUMB_TRAIN_GATE_H
#define PLUMB_TRAIN_GATE_H

#include "base/amount.h"
#include "base/sink.h"
#include "train/examples.h"

typedef enum plumb_gate_kind { PLUMB_GATE_NONE, PLUMB_GATE_KEEP_LOWEST, PLUMB_GATE_WEIGHT } plumb_gate_kind;

typedef struct plumb_gate {
    plumb_gate_kind kind;
    plumb_amount keep;
} plumb_gate;

/* "keep-lowest:5%", "keep-lowest:100", "weight"; NULL or "none": no gate. */
plumb_status plumb_gate_parse(const char *text, plumb_gate *out) PLUMB_MUST_USE;

/* Sets the weights of all examples from their ln_ches [e->count]; *kept is how many have a weight above 0. */
plumb_status plumb_gate_apply(const plumb_gate *gate, const double *ln_ches, plumb_examples *e,
                              size_t *kept) PLUMB_MUST_USE;

#endif
