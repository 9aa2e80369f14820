/* Optimisers: one table row each, with the semantics of torch.optim as transformers' Trainer sets it up. They work on
 * flat fp32 arrays, element by element, so that any split over tensors, ranges and threads gives the same bits.
 *
 *     plumb_optimizer o;
 *     plumb_optimizer_make("adamw_torch", NULL, &o);
 *     float *state[PLUMB_OPTIMIZER_STATES] = {...};            plumb_optimizer_states(&o) arrays as long as p, zeroed
 *     plumb_gradient_norm(gradients, count, &norm);
 *     float clip = plumb_clip_factor(norm, max_grad_norm);
 *     plumb_optimizer_step(&o, step, rate, plumb_decays(name) ? weight_decay : 0, clip, p, g, state, n);
 *
 * With g the gradient, r the learning rate, d the weight decay, t = 1, 2, ... the step:
 *
 *   adamw_torch  p *= 1 - r d                                                   (Loshchilov and Hutter, 1711.05101)
 *                m += (1 - beta1) (g - m);  v = beta2 v + (1 - beta2) g^2
 *                p -= r / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 *   rmsprop      g += d p;  v = alpha v + (1 - alpha) g^2
 *                centered: c += (1 - alpha) (g - c), u = sqrt(v - c^2) + epsilon, otherwise u = sqrt(v) + epsilon
 *                momentum: b = momentum b + g / u, p -= r b, otherwise p -= r g / u
 *   sgd          g += d p
 *                momentum: b = momentum b + (1 - dampening) g (t = 1: b = g), g = b or, nesterov, g + momentum b
 *                p -= r g */
#ifndef PLUMB_TRAIN_OPTIMIZER_H
#define PLUMB_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { PLUMB_OPTIMIZER_STATES = 3 }; /* arrays at most */

/* A plain value, owns nothing. The fields that an optimiser does not name in its formula have no effect on it. */
typedef struct plumb_optimizer {
    const struct plumb_optimizer_kind *kind;
    double beta1, beta2, epsilon; /* adam_beta1, adam_beta2, adam_epsilon; rmsprop's eps is here too */
    double alpha, momentum, dampening;
    bool centered, nesterov;
} plumb_optimizer;

/* One step over a range of n elements; see plumb_optimizer_step. */
typedef void (*plumb_optimizer_update)(const plumb_optimizer *o, int64_t step, double rate, double decay, float scale,
                                       float *p, const float *g, float *const *state, size_t n);

typedef struct plumb_optimizer_kind {
    const char *name;     /* as in --optim */
    const char *alias;    /* another name for the same arithmetic (transformers' default adamw_torch_fused), or NULL */
    plumb_optimizer base; /* torch's defaults */
    plumb_optimizer_update update;
} plumb_optimizer_kind;

const plumb_optimizer_kind *plumb_optimizer_kinds(size_t *count);

/* The optimiser called `name`, set up with transformers' --optim_args: "momentum=0.9,centered=true" or NULL.
 * As there, rmsprop reads momentum, alpha, eps and centered, sgd momentum, dampening and nesterov, adamw_torch none.
 * Another key is PLUMB_E_INPUT here (transformers passes it over), as are values that torch refuses; so is
 * weight_decay, which transformers reads but which its parameter groups override. Callers set beta1, beta2 and epsilon
 * of adamw_torch in *out and check them with plumb_optimizer_check. */
plumb_status plumb_optimizer_make(const char *name, const char *optim_args, plumb_optimizer *out) PLUMB_MUST_USE;
plumb_status plumb_optimizer_check(const plumb_optimizer *o) PLUMB_MUST_USE;

/* The arrays of state that the optimiser needs per element, and their names, which are torch's: "exp_avg",
 * "exp_avg_sq"; "square_avg", "grad_avg", "momentum_buffer". */
size_t plumb_optimizer_states(const plumb_optimizer *o);
const char *plumb_optimizer_state_name(const plumb_optimizer *o, size_t i);

/* Updates p [n] from the gradient scale * g [n]. step counts from 1 and is the same for all elements of a run; state
 * are plumb_optimizer_states(o) arrays [n], zero before step 1. The arrays must not overlap. */
void plumb_optimizer_step(const plumb_optimizer *o, int64_t step, double rate, double decay, float scale, float *p,
                          const float *g, float *const *state, size_t n);

/* Does weight decay apply to the parameter of this name? As transformers: not to biases and the weights of norms, which
 * are told by the name alone. */
bool plumb_decays(const char *name);

/* The sum of squares of g [n] in fp64, in a fixed order: eight lanes, then the lanes. */
double plumb_sum_squares(const float *g, size_t n);

typedef struct plumb_gradient {
    const char *name;
    const float *data; /* [count] */
    size_t count;
} plumb_gradient;

/* *out = the Euclidean norm of all gradients together: sums of squares per tensor, added in fp64 in the order of the
 * names. Tensors that are not in ascending order of strcmp are PLUMB_E_INTERNAL. */
plumb_status plumb_gradient_norm(const plumb_gradient *gradients, size_t count, double *out) PLUMB_MUST_USE;

/* What to scale gradients of norm `norm` by: max_norm / (norm + 1e-6), at most 1, as torch.nn.utils.clip_grad_norm_; 1
 * when max_norm is not above 0, which turns clipping off in transformers. NaN for a norm that is NaN. */
float plumb_clip_factor(double norm, double max_norm);

#endif
