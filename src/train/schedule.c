#include "train/schedule.h"

#include <math.h>
#include <string.h>

#include "base/options.h"

static double at_least_one(int64_t steps)
{
    return steps > 1 ? (double)steps : 1.0;
}

static double constant(int64_t step, int64_t warmup, int64_t total)
{
    (void)step, (void)warmup, (void)total;
    return 1;
}

static double constant_with_warmup(int64_t step, int64_t warmup, int64_t total)
{
    (void)total;
    return step < warmup ? (double)step / at_least_one(warmup) : 1;
}

static double linear(int64_t step, int64_t warmup, int64_t total)
{
    if (step < warmup) return (double)step / at_least_one(warmup);
    return fmax(0.0, (double)(total - step) / at_least_one(total - warmup));
}

static double cosine(int64_t step, int64_t warmup, int64_t total)
{
    if (step < warmup) return (double)step / at_least_one(warmup);
    double progress = (double)(step - warmup) / at_least_one(total - warmup);
    return fmax(0.0, 0.5 * (1 + cos(3.141592653589793 * progress)));
}

static const plumb_schedule_kind kinds[] = {
    {"linear", linear},
    {"cosine", cosine},
    {"constant", constant},
    {"constant_with_warmup", constant_with_warmup},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const plumb_schedule_kind *plumb_schedule_kinds(size_t *count)
{
    *count = KINDS;
    return kinds;
}

static const plumb_schedule_kind *find(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(name, kinds[i].name) == 0) return &kinds[i];
    return NULL;
}

static plumb_status unknown(const char *name)
{
    const char *words[KINDS];
    for (size_t i = 0; i < KINDS; i++) words[i] = kinds[i].name;
    const char *nearest = plumb_nearest(name, words, KINDS);
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "lr_scheduler_type: \"%s\" is unknown", name),
                      "known are linear, cosine, constant and constant_with_warmup%s%s",
                      nearest ? "; did you mean " : "", nearest ? nearest : "");
}

plumb_status plumb_schedule_make(const char *name, double learning_rate, double warmup_steps, double warmup_ratio,
                                 int64_t total, plumb_schedule *out)
{
    *out = (plumb_schedule){.kind = find(name), .learning_rate = learning_rate, .total = total};
    if (!out->kind) return unknown(name);
    if (!(learning_rate >= 0 && isfinite(learning_rate)))
        return plumb_fail(PLUMB_E_INPUT, "learning_rate: %g is not a finite number from 0", learning_rate);
    if (!(warmup_steps >= 0 && warmup_steps < 1e15))
        return plumb_fail(PLUMB_E_INPUT, "warmup_steps: %g is not a number of steps or a share below 1", warmup_steps);
    if (!(warmup_ratio >= 0 && warmup_ratio <= 1))
        return plumb_fail(PLUMB_E_INPUT, "warmup_ratio: %g is not in [0, 1]", warmup_ratio);
    double share = warmup_steps > 0 ? warmup_steps : warmup_ratio;
    out->warmup = warmup_steps >= 1 ? (int64_t)warmup_steps : (int64_t)ceil((double)total * share);
    return PLUMB_OK;
}

double plumb_schedule_rate(const plumb_schedule *schedule, int64_t step)
{
    return schedule->learning_rate * schedule->kind->factor(step, schedule->warmup, schedule->total);
}
