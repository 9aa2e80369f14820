/* Which tokens of bad completions push good ones down: the Negative Token Hidden Reward of a group (Deng et al. 2025,
 * arXiv 2505.18830), CHES with its coefficients between the completions of one prompt.
 *
 * Of a group, the completions with an advantage above 0 are the positive ones, those below 0 the negative ones. With
 * alpha_{k,k'} = <g_k, g_k'>, the product of the derivatives of two tokens' log-probs by their logits (theory.h):
 *
 *   s_k'  = sum over all tokens k of positive completions of alpha_{k,k'} <h_k, h_k'>
 *
 * is by how much, under gradient flow on unembedding weights, one unit of penalty on token k' of a negative completion
 * lowers the log-probability of the positive completions together (eq. 7). The same sum for the tokens of a positive
 * completion says how much good completions help each other; its mean over the tokens of a completion is that
 * completion's own, and the threshold is tau = beta times the smallest of these. Tokens of negative completions with
 * s > tau keep only the share eta of their gradient: 0 masks them (the paper's section 5.3); the paper's training runs
 * take beta 1 and eta = 2 |0.5 - p|, p the share of good completions (its section 7.3).
 *
 * With S_ij the sum of alpha <h, h'> over all tokens of completion i with all of completion j, the group-weighted
 * hidden embedding score of a positive completion is
 *
 *   gwhes_i = - sum over the completions j of A_j S_ij
 *
 * (eq. 5, whose weights p- and p+ are the advantages A of rewards 0 and 1): the larger it is, the less the likelihood
 * of this good completion grows in the step, or the more it falls. */
#ifndef PLUMB_ALIGN_NTHR_H
#define PLUMB_ALIGN_NTHR_H

#include "base/memory.h"
#include "compute/compute.h"

typedef struct plumb_nthr_options {
    bool on;
    double beta;  /* of the threshold */
    double eta;   /* what is left of the gradient of a token above it */
    bool balance; /* 2 |0.5 - p| in the place of eta: p is the share of positive completions in the group */
} plumb_nthr_options;

/* The group; all borrowed. */
typedef struct plumb_nthr_group {
    const plumb_unembed *u;
    size_t completions;
    const int *tokens;        /* [completions] */
    const double *advantages; /* [completions] */
    const float *h;           /* [all tokens][d] the state that predicts each */
    const int32_t *targets;   /* [all tokens] */
    const double *lse;        /* [all tokens] as from plumb_unembed_logps */
} plumb_nthr_group;

typedef struct plumb_nthr_summary {
    double threshold;          /* tau; NaN where one of the two kinds is missing: then all weights are 1 */
    double mean;               /* of s over the tokens of negative completions; NaN likewise */
    double gwhes;              /* its mean over the positive completions; NaN likewise */
    size_t negative, selected; /* tokens of negative completions, and those of them above the threshold */
} plumb_nthr_summary;

/* scores [all tokens] is set to s, NaN for tokens of completions that are not negative; weights [all tokens] to eta or
 * 1; influence [completions] to the sum of s over the tokens of a negative completion (how hard its penalty presses on
 * the good ones) and to gwhes_i of a positive one, NaN for others and where one kind is missing. Scratch from the
 * arena. O(tokens^2 (d + vocabulary)). PLUMB_E_INPUT when a state is not finite. */
plumb_status plumb_nthr(plumb_compute *c, const plumb_nthr_group *group, const plumb_nthr_options *o,
                        plumb_arena *scratch, double *scores, double *weights, double *influence,
                        plumb_nthr_summary *out) PLUMB_MUST_USE;

#endif
