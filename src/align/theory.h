/* The terms of d ln pi(y+|x) / dt under gradient flow on a loss l(ln pi(y+) - ln pi(y-)), in units of -l', with the
 * final hidden states and the unembedding W as the parameters (Razin et al. 2024, arXiv 2410.08847, Theorem 3):
 *
 *   g_k         = d ln pi(y_k | x, y_<k) / d(W h_k)                     (e_y - pi for a plain softmax)
 *   minus       = sum_k sum_k' <g+_k, g-_k'> <h+_k, h-_k'>              preferred-dispreferred alignment
 *   plus        = sum_k sum_k' <g+_k, g+_k'> <h+_k, h+_k'>              preferred-preferred alignment
 *   alpha_ches  = minus - plus                                          CHES with its coefficients
 *   hidden_path = sum over states of <d ln pi(y+)/dh, d(ln pi(y+) - ln pi(y-))/dh>
 *   rate        = -alpha_ches + hidden_path
 *
 * Both sides share the states of their common prefix. */
#ifndef PLUMB_ALIGN_THEORY_H
#define PLUMB_ALIGN_THEORY_H

#include "base/memory.h"
#include "compute/compute.h"

typedef struct plumb_theory {
    double minus, plus, alpha_ches, hidden_path, rate;
} plumb_theory;

/* h [n + m][d] holds the states that predict the n tokens of y+ and, behind them, the m tokens of y-; targets and lse,
 * of n + m elements, are as for plumb_unembed_logps. The first `shared` states of both sides are the same. Scratch from
 * the arena. PLUMB_E_INPUT when a state or a coefficient is not finite. */
plumb_status plumb_theory_terms(plumb_compute *c, const plumb_unembed *u, const float *h, int n, int m, int shared,
                                const int32_t *targets, const double *lse, plumb_arena *scratch,
                                plumb_theory *out) PLUMB_MUST_USE;

/* Bytes of scratch that it takes for responses of n and m tokens and states of d elements. */
int64_t plumb_theory_bytes(int n, int m, int d);

#endif
