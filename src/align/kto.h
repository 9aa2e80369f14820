/* KTO: preference tuning on single completions, each wanted or unwanted (Ethayarajh et al. 2024, arXiv 2402.01306; the
 * unpaired APO-zero of arXiv 2408.06266), with the conventions of TRL 1.16's KTOTrainer. No model is seen here; all in
 * fp64. */
#ifndef PLUMB_ALIGN_KTO_H
#define PLUMB_ALIGN_KTO_H

#include <stdbool.h>
#include <stddef.h>

typedef enum plumb_kto_kind { PLUMB_KTO, PLUMB_APO_ZERO_UNPAIRED } plumb_kto_kind;

/* Options in TRL's names. */
typedef struct plumb_kto_options {
    plumb_kto_kind loss_type;
    double beta, desirable_weight, undesirable_weight;
} plumb_kto_options;

/* A completion. */
typedef struct plumb_kto_row {
    bool desirable;
    double logps, ref_logps; /* summed over its tokens */
    double kl;               /* ln pi/pi_ref of the mismatched completion of the same prompt; KTO alone reads it */
} plumb_kto_row;

/* TRL's numbers of a batch; [2]: desirable, undesirable. NaN for a kind that the batch has none of. */
typedef struct plumb_kto_metrics {
    double loss;
    double kl;         /* z; 0 without KTO */
    double rewards[2]; /* means of beta (logps - ref_logps) */
    double logps[2];
} plumb_kto_metrics;

/* The mean over count >= 1 rows, with a = logps - ref_logps and z = max(0, mean of kl), through which no gradient
 * flows, of
 *     kto                desirable_weight (1 - s(beta (a - z)))  or  undesirable_weight (1 - s(beta (z - a)))
 *     apo_zero_unpaired  desirable_weight (1 - s(beta a))        or  undesirable_weight s(beta a)
 * g [count] is set to d loss / d logps. Sums run in the order of the rows. */
void plumb_kto_loss(const plumb_kto_options *o, const plumb_kto_row *rows, size_t count, double *g,
                    plumb_kto_metrics *out);

#endif
