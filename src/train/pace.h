/* What a run does when: the options in TRL's names that every kind of run has, counted in its steps (of PPO in
 * updates).
 */
#ifndef PLUMB_TRAIN_PACE_H
#define PLUMB_TRAIN_PACE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct plumb_run_pace {
    const char *lr_scheduler_type; /* as plumb_schedule_make takes it and the three after it */
    double learning_rate, warmup_steps, warmup_ratio;
    int64_t logging_steps;
    int64_t save_steps, save_total_limit; /* 0: no checkpoints between; 0: all are kept */
    int64_t ledger_steps;                 /* 0: start, end of each epoch, end */
    bool sync_ref_model;                  /* TR-DPO (arXiv 2404.09656): the reference follows the policy */
    int64_t ref_model_sync_steps;
    double ref_model_mixup_alpha;
} plumb_run_pace;

/* Is the ledger evaluated after `step` (from 1) of `steps`, of which an epoch has per_epoch? */
static inline bool plumb_ledger_due(const plumb_run_pace *p, int64_t step, int64_t per_epoch, int64_t steps)
{
    return step % (p->ledger_steps ? p->ledger_steps : per_epoch) == 0 || step == steps;
}

#endif
