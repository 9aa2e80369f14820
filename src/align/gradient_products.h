/* Exact first-order rates over all parameters: how much a step on ln pi(y+) - ln pi(y-) moves ln pi(y+).
 *
 *   grad_plus_plus  = <grad ln pi(y+|x), grad ln pi(y+|x)>
 *   grad_plus_minus = <grad ln pi(y+|x), grad ln pi(y-|x)>
 *
 * Under gradient flow on a loss l(ln pi(y+) - ln pi(y-)) the chosen response rises at -l' times their difference
 * (Razin et al. 2024, equation 3): it falls where grad_plus_minus is the larger. */
#ifndef PLUMB_ALIGN_GRADIENT_PRODUCTS_H
#define PLUMB_ALIGN_GRADIENT_PRODUCTS_H

#include "base/sink.h"
#include "model/model.h"

typedef struct plumb_gradient_products plumb_gradient_products; /* memory for two gradients: 8 bytes a parameter */

plumb_status plumb_gradient_products_new(const plumb_model *model, plumb_gradient_products **out) PLUMB_MUST_USE;
void plumb_gradient_products_free(plumb_gradient_products *g);

/* The sink is asked before each layer whether to stop (PLUMB_E_INTERRUPTED); NULL: never. Borrowed. */
void plumb_gradient_products_watch(plumb_gradient_products *g, const plumb_sink *sink);

/* ids[s] of totals[s] tokens, the first `prompt` of which are the prompt. Products in fp64, tensor by tensor. */
plumb_status plumb_gradient_products_run(plumb_gradient_products *g, const int32_t *const ids[2], const int totals[2],
                                         int prompt, double *plus_plus, double *plus_minus) PLUMB_MUST_USE;

/* Bytes that it takes for sides of at most `rows` tokens. */
int64_t plumb_gradient_products_bytes(const plumb_config *c, int rows);

#endif
