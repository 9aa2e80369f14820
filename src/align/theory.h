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

/* What the terms of a pair are computed from; all borrowed. */
typedef struct plumb_theory_input {
    const plumb_unembed *u;
    const float *h;         /* [n + m][d] states that predict the n tokens of y+ and, behind them, the m tokens of y- */
    int n, m, shared;       /* the first `shared` states of both sides are the same */
    const int32_t *targets; /* [n + m], and lse likewise, as for plumb_unembed_logps */
    const double *lse;
} plumb_theory_input;

/* The summands, token by token: those of minus are alpha-_{k,k'} <h+_k, h-_k'>, those of plus the same of y+ with
 * itself. They lie in the arena of the call until its reset. */
typedef struct plumb_theory_parts {
    const float *minus_alpha;  /* [n][m] alpha-_{k,k'} = <g+_k, g-_k'> */
    const float *plus_alpha;   /* [n][n] alpha+_{k,k'} = <g+_k, g+_k'> */
    const float *minus_states; /* [n][m] <h+_k, h-_k'> */
    const float *plus_states;  /* [n][n] <h+_k, h+_k'> */
    const double *hidden_path; /* [n] of each state of y+ */
} plumb_theory_parts;

/* The sums, and their parts where asked for (NULL: not). Scratch from the arena. PLUMB_E_INPUT when a state or a
 * coefficient is not finite. */
plumb_status plumb_theory_terms(plumb_compute *c, const plumb_theory_input *in, plumb_arena *scratch,
                                plumb_theory_parts *parts, plumb_theory *out) PLUMB_MUST_USE;

/* The share of coefficients [count] above zero; count >= 1. */
double plumb_share_positive(const float *alpha, size_t count);

/* Bytes of scratch that it takes for responses of n and m tokens and states of d elements. */
int64_t plumb_theory_bytes(int n, int m, int d);

#endif
