#include "train/rollout.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/micro_batch.h"

/* ---- completions ---- */

plumb_status plumb_rollout_add(plumb_rollout *r, const plumb_prompt_row *prompt, const int32_t *ids, int count,
                               plumb_finish finish)
{
    plumb_ids whole = {0};
    if (count < 1) return plumb_fail(PLUMB_E_INTERNAL, "a completion of row %" PRId64 " has no token", prompt->index);
    PLUMB_TRY(plumb_reserve(&r->prompts, &r->prompts_capacity, r->count + 1, sizeof *r->prompts));
    PLUMB_TRY(plumb_reserve(&r->finish, &r->finish_capacity, r->count + 1, sizeof *r->finish));
    plumb_status s = plumb_ids_append(&whole, prompt->ids, (size_t)prompt->count);
    if (!s) s = plumb_ids_append(&whole, ids, (size_t)count);
    if (!s) s = plumb_examples_add(&r->completions, prompt->index, prompt->row, &whole, 1, prompt->count, 0);
    plumb_ids_free(&whole);
    if (s) return s;
    r->prompts[r->count] = prompt;
    r->finish[r->count++] = finish;
    return PLUMB_OK;
}

plumb_status plumb_rollout_settle(plumb_rollout *r, size_t functions)
{
    size_t n = r->count;
    plumb_arena_reset(&r->arena);
    PLUMB_TRY(plumb_arena_new(&r->arena, &r->tokens, n, sizeof *r->tokens));
    PLUMB_TRY(plumb_arena_new(&r->arena, &r->first, n + 1, sizeof *r->first));
    PLUMB_TRY(plumb_arena_new(&r->arena, &r->list, n, sizeof *r->list));
    for (size_t i = 0; i < n; i++) {
        r->list[i] = &r->completions.list[i];
        r->tokens[i] = plumb_example_targets(&r->completions.list[i]);
        r->first[i + 1] = r->first[i] + (size_t)r->tokens[i];
    }
    r->total = r->first[n];
    r->token_weight = r->nthr = r->influence = NULL;
    double **by_token[] = {&r->old_logps, &r->ref_logps,  &r->logps,         &r->entropy,
                           &r->values,    &r->new_values, &r->token_rewards, &r->token_advantages,
                           &r->whitened,  &r->returns};
    for (size_t k = 0; k < sizeof by_token / sizeof *by_token; k++)
        PLUMB_TRY(plumb_arena_new(&r->arena, by_token[k], r->total, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&r->arena, &r->rewards, n, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&r->arena, &r->advantages, n, sizeof(double)));
    return plumb_arena_new(&r->arena, &r->each_reward, n * functions, sizeof(double));
}

void plumb_rollout_clear(plumb_rollout *r)
{
    plumb_examples_free(&r->completions);
    r->count = r->total = 0;
}

void plumb_rollout_free(plumb_rollout *r)
{
    plumb_examples_free(&r->completions);
    free(r->prompts);
    free(r->finish);
    plumb_arena_free(&r->arena);
    *r = (plumb_rollout){0};
}

/* ---- sampling ---- */

typedef struct sampling_run {
    const plumb_prompt_row *const *picks;
    int64_t first_key, done, all;
    const plumb_sink *sink;
    plumb_rollout *r;
} sampling_run;

static plumb_status take_completion(void *user, const plumb_generated *g)
{
    sampling_run *s = user;
    plumb_progress(s->sink, "completions", (double)++s->done, (double)s->all);
    return plumb_rollout_add(s->r, s->picks[g->key - s->first_key], g->ids, g->count, g->finish);
}

plumb_status plumb_rollout_sample(const plumb_model *policy, const plumb_sampling *sampling,
                                  const plumb_prompt_row *const *picks, size_t n, int group, int64_t first_key,
                                  const plumb_sink *sink, plumb_rollout *r)
{
    sampling_run run = {picks, first_key, 0, (int64_t)n * group, sink, r};
    plumb_generator_options how = {.sampling = *sampling, .emit = take_completion, .user = &run, .sink = sink};
    plumb_generator *g;
    PLUMB_TRY(plumb_generator_new(policy, &how, &g));
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < n && !s; i++)
        s = plumb_generator_add(g, first_key + (int64_t)i, picks[i]->ids, picks[i]->count, group);
    if (!s) s = plumb_generator_flush(g);
    plumb_generator_free(g);
    return s;
}

/* ---- passes over the completions ---- */

typedef struct measuring {
    const plumb_rollout *r;
    double *out;
} measuring;

static plumb_status keep_numbers(void *user, const plumb_micro_batch *m, size_t first)
{
    measuring *p = user;
    memcpy(p->out + p->r->first[first], m->logps, m->targets * sizeof *m->logps);
    return PLUMB_OK;
}

plumb_status plumb_rollout_measure(const plumb_model *model, double temperature, const plumb_rollout *r,
                                   const plumb_sink *sink, double *out)
{
    measuring p = {r, out};
    plumb_sink quiet = sink ? *sink : (plumb_sink){0};
    quiet.progress = NULL; /* a pass within a step; it may be interrupted all the same */
    return plumb_examples_look_tempered(model, temperature, r->list, r->count, keep_numbers, &p, &quiet);
}

/* ---- rewards ---- */

plumb_status plumb_rollout_reward(plumb_rollout *r, const plumb_reward_function *functions, size_t count, int group)
{
    memset(r->rewards, 0, r->count * sizeof *r->rewards);
    for (size_t k = 0; k < count; k++) {
        const plumb_reward_function *f = &functions[k];
        double *out = r->each_reward + k * r->count;
        PLUMB_TRY(plumb_context(f->score(f->user, r, out), "reward %s", f->name));
        for (size_t i = 0; i < r->count; i++) {
            if (!isfinite(out[i]))
                return plumb_fail(PLUMB_E_INPUT, "reward %s: row %" PRId64 ", sample %zu: %g is no number to train on",
                                  f->name, r->prompts[i]->index, i % (size_t)group, out[i]);
            r->rewards[i] += f->weight * out[i];
        }
    }
    return PLUMB_OK;
}
