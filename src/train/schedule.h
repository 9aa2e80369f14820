/* The learning rate at each optimiser step, as transformers' get_scheduler gives it. With T steps in all and W of
 * warm-up, step t (from 0) takes learning_rate times
 *
 *   constant              1; warm-up is ignored
 *   constant_with_warmup  t/W for t < W, then 1
 *   linear                t/W for t < W, then (T - t) / (T - W)
 *   cosine                t/W for t < W, then (1 + cos(pi (t - W) / (T - W))) / 2
 *
 * so that with warm-up the first step changes nothing; never below 0. */
#ifndef PLUMB_TRAIN_SCHEDULE_H
#define PLUMB_TRAIN_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Of step t; warmup W, total T. */
typedef double (*plumb_schedule_factor)(int64_t step, int64_t warmup, int64_t total);

typedef struct plumb_schedule_kind {
    const char *name; /* as in --lr_scheduler_type */
    plumb_schedule_factor factor;
} plumb_schedule_kind;

const plumb_schedule_kind *plumb_schedule_kinds(size_t *count);

/* A plain value, owns nothing. */
typedef struct plumb_schedule {
    const plumb_schedule_kind *kind;
    double learning_rate;
    int64_t warmup, total; /* optimiser steps */
} plumb_schedule;

/* warmup_steps of 1 and more is a number of steps, below 1 a share of `total`, rounded up, as in transformers 5;
 * warmup_ratio, the option of transformers 4, is that share where warmup_steps is 0. PLUMB_E_INPUT for an unknown name,
 * negative or infinite numbers and a ratio above 1. */
plumb_status plumb_schedule_make(const char *name, double learning_rate, double warmup_steps, double warmup_ratio,
                                 int64_t total, plumb_schedule *out) PLUMB_MUST_USE;

/* The learning rate of step `step` (from 0), which is what TRL logs with that step. */
double plumb_schedule_rate(const plumb_schedule *schedule, int64_t step);

#endif
