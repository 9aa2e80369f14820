/* An optimiser step of RLOO and GRPO. */
#include <math.h>
#include <string.h>

#include "train/policy_internal.h"

/* ---- a fresh generation ---- */

/* The KL of each completion under the policy that sampled it, as RLOO takes it off the rewards (k1). */
static plumb_status take_off_kl(plumb_policy_state *s, double *r)
{
    const plumb_rollout *x = &s->rollout;
    double sum = 0, tokens = 0;
    if (s->o->clip.beta == 0) return PLUMB_OK;
    for (size_t i = 0; i < x->count; i++) {
        double kl = 0;
        if (plumb_policy_masked(s, i)) continue;
        for (size_t t = x->first[i]; t < x->first[i + 1]; t++) kl += x->old_logps[t] - x->ref_logps[t];
        r[i] -= s->o->clip.beta * kl;
        sum += kl;
        tokens += x->tokens[i];
    }
    return plumb_policy_note(s, "kl", tokens > 0 ? sum / tokens : 0);
}

/* TRL counts the prompts without spread by the numbers that it divides by, or that the baseline is taken from. */
static double zero_share(const plumb_policy_options *o, const double *r, size_t prompts, size_t group)
{
    plumb_reward_spread spread = plumb_rewards_spread(r, prompts, group);
    if (o->method == PLUMB_GRPO && o->scale_rewards == PLUMB_SCALE_BATCH) return spread.std <= 1e-8;
    return spread.zero_share;
}

static plumb_status set_advantages(plumb_policy_state *s)
{
    const plumb_policy_options *o = s->o;
    plumb_rollout *x = &s->rollout;
    size_t group = (size_t)o->group, prompts = x->count / group;
    memcpy(x->advantages, x->rewards, x->count * sizeof *x->advantages);
    if (o->method == PLUMB_RLOO) {
        for (size_t i = 0; i < x->count && o->clip_rewards; i++)
            x->advantages[i] = fmin(fmax(x->advantages[i], o->reward_low), o->reward_high);
        PLUMB_TRY(take_off_kl(s, x->advantages));
    }
    PLUMB_TRY(plumb_policy_note(s, "frac_reward_zero_std", zero_share(o, x->advantages, prompts, group)));
    if (o->method == PLUMB_RLOO)
        plumb_rloo_advantages(x->advantages, prompts, group, o->normalize_advantages);
    else
        plumb_grpo_advantages(x->advantages, prompts, group, o->scale_rewards);
    return PLUMB_OK;
}

/* Collects the states of a group, which may come in several batches. */
typedef struct group_states {
    float *h;
    double *lse;
    int32_t *targets;
    size_t d, count;
} group_states;

static plumb_status collect(void *user, const plumb_micro_batch *m, size_t first)
{
    (void)first;
    group_states *g = user;
    memcpy(g->h + g->count * g->d, m->gathered, m->targets * g->d * sizeof *g->h);
    memcpy(g->lse + g->count, m->lse, m->targets * sizeof *g->lse);
    memcpy(g->targets + g->count, m->tokens, m->targets * sizeof *g->targets);
    g->count += m->targets;
    return PLUMB_OK;
}

static plumb_status nthr_of_group(plumb_policy_state *s, size_t first, plumb_arena *scratch, plumb_nthr_summary *out)
{
    const plumb_model *policy = plumb_trainer_policy(s->trainer);
    plumb_rollout *x = &s->rollout;
    size_t group = (size_t)s->o->group, from = x->first[first], tokens = x->first[first + group] - from;
    group_states g = {.d = (size_t)policy->config.hidden_size};
    plumb_unembed u = plumb_unembed_tempered(policy, s->o->sampling.temperature);
    PLUMB_TRY(plumb_arena_new(scratch, &g.h, tokens * g.d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &g.lse, tokens, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(scratch, &g.targets, tokens, sizeof(int32_t)));
    PLUMB_TRY(plumb_examples_look_tempered(policy, s->o->sampling.temperature, x->list + first, group, collect, &g,
                                           s->o->sink));
    plumb_nthr_group in = {.u = &u,
                           .completions = group,
                           .tokens = x->tokens + first,
                           .advantages = x->advantages + first,
                           .h = g.h,
                           .targets = g.targets,
                           .lse = g.lse};
    return plumb_nthr(policy->compute, &in, &s->o->nthr, scratch, x->nthr + from, x->token_weight + from,
                      x->influence + first, out);
}

static plumb_status set_nthr(plumb_policy_state *s)
{
    plumb_rollout *x = &s->rollout;
    plumb_arena scratch = {0};
    double selected = 0, negative = 0;
    plumb_status status = PLUMB_OK;
    if (!s->o->nthr.on) return PLUMB_OK;
    PLUMB_TRY(plumb_arena_new(&x->arena, &x->token_weight, x->total, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&x->arena, &x->nthr, x->total, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&x->arena, &x->influence, x->count, sizeof(double)));
    for (size_t first = 0; first < x->count && !status; first += (size_t)s->o->group) {
        plumb_nthr_summary one;
        plumb_arena_reset(&scratch);
        status = nthr_of_group(s, first, &scratch, &one);
        if (status || isnan(one.threshold)) continue; /* a mean over the prompts that have one */
        status = plumb_policy_note(s, "nthr/mean", one.mean);
        if (!status) status = plumb_policy_note(s, "nthr/threshold", one.threshold);
        if (!status) status = plumb_policy_note(s, "nthr/gwhes", one.gwhes);
        selected += (double)one.selected;
        negative += (double)one.negative;
    }
    plumb_arena_free(&scratch);
    if (!status && negative > 0) status = plumb_policy_note(s, "nthr/selected", selected / negative);
    return status;
}

static plumb_status begin_generation(plumb_policy_state *s, int64_t g)
{
    const plumb_rollout *x = &s->rollout;
    bool fresh;
    PLUMB_TRY(plumb_policy_generate(s, g, &fresh));
    if (fresh) {
        PLUMB_TRY(set_advantages(s));
        PLUMB_TRY(set_nthr(s));
        PLUMB_TRY(plumb_policy_log_completions(s));
        if (s->o->observer.rollout) s->o->observer.rollout(s->o->observer.user, x);
    }
    s->items = 0;
    for (size_t i = 0; i < x->count; i++) s->items += plumb_policy_masked(s, i) ? 0 : x->tokens[i];
    return PLUMB_OK;
}

/* ---- the loss of a micro-batch ---- */

/* The completions of a micro-batch that the loss counts, their tokens side by side. RLOO counts a masked one with a
 * ratio of 1 and no gradient, as TRL does; GRPO leaves it out. */
typedef struct selection {
    plumb_rollouts r;
    int *tokens;
    double *logps, *old, *ref, *advantages, *weight, *g;
    size_t *from; /* [tokens] places in the micro-batch */
    size_t count;
} selection;

static plumb_status new_selection(plumb_step_batch *b, selection *x)
{
    size_t n = b->m->targets;
    double **by_token[] = {&x->logps, &x->old, &x->ref, &x->weight, &x->g};
    *x = (selection){.count = 0};
    for (size_t k = 0; k < sizeof by_token / sizeof *by_token; k++)
        PLUMB_TRY(plumb_arena_new(b->scratch, by_token[k], n, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(b->scratch, &x->from, n, sizeof *x->from));
    PLUMB_TRY(plumb_arena_new(b->scratch, &x->tokens, b->m->count, sizeof *x->tokens));
    return plumb_arena_new(b->scratch, &x->advantages, b->m->count, sizeof *x->advantages);
}

static void select_completion(plumb_policy_state *s, const plumb_micro_batch *m, size_t i, selection *x)
{
    plumb_rollout *roll = &s->rollout;
    size_t place = plumb_policy_place(s, m->examples[i]), first = (size_t)m->at[i].first_target;
    bool masked = plumb_policy_masked(s, place);
    for (int k = 0; k < roll->tokens[place]; k++) {
        size_t from = first + (size_t)k, t = roll->first[place] + (size_t)k;
        roll->logps[t] = m->logps[from];
        roll->entropy[t] = m->statistics[from].entropy;
        if (masked && s->o->method == PLUMB_GRPO) continue;
        double old = s->old_known ? roll->old_logps[t] : m->logps[from];
        x->logps[x->count] = masked ? old : m->logps[from];
        x->old[x->count] = old;
        x->ref[x->count] = roll->ref_logps[t];
        x->weight[x->count] = masked ? 0 : roll->token_weight ? roll->token_weight[t] : 1;
        x->from[x->count++] = from;
    }
    if (masked && s->o->method == PLUMB_GRPO) return;
    x->tokens[x->r.count] = roll->tokens[place];
    x->advantages[x->r.count++] = roll->advantages[place];
}

/* Means over the micro-batch's tokens that the loss counts, as TRL's global_masked_mean. */
static plumb_status note_entropy(plumb_policy_state *s, const plumb_micro_batch *m)
{
    double sum = 0, tokens = 0;
    for (size_t i = 0; i < m->count; i++) {
        size_t place = plumb_policy_place(s, m->examples[i]);
        if (plumb_policy_masked(s, place)) continue;
        for (size_t t = s->rollout.first[place]; t < s->rollout.first[place + 1]; t++) sum += s->rollout.entropy[t];
        tokens += s->rollout.tokens[place];
    }
    return plumb_policy_note(s, "entropy", tokens > 0 ? sum / tokens : 0);
}

static plumb_status note_loss(plumb_policy_state *s, const plumb_policy_metrics *m)
{
    if (s->o->method == PLUMB_GRPO && s->o->clip.beta != 0) PLUMB_TRY(plumb_policy_note(s, "kl", m->kl));
    PLUMB_TRY(plumb_policy_note(s, "clip_ratio/low_mean", m->low_mean));
    PLUMB_TRY(plumb_policy_note(s, "clip_ratio/high_mean", m->high_mean));
    PLUMB_TRY(plumb_policy_note(s, "clip_ratio/region_mean", m->region_mean));
    PLUMB_TRY(plumb_policy_note(s, "clip_ratio/low_min", m->low_min));
    return plumb_policy_note(s, "clip_ratio/high_max", m->high_max);
}

plumb_status plumb_policy_loss(void *user, plumb_step_batch *b)
{
    plumb_policy_state *s = user;
    const plumb_policy_options *o = s->o;
    plumb_clip_options clip = o->clip;
    plumb_policy_metrics metrics = {.loss = 0};
    selection x;
    bool dapo = o->method == PLUMB_GRPO && clip.loss_type == PLUMB_GRPO_DAPO;
    double share = dapo ? 1 : 1 / (double)b->batches;
    PLUMB_TRY(new_selection(b, &x));
    for (size_t i = 0; i < b->m->count; i++) select_completion(s, b->m, i, &x);
    PLUMB_TRY(note_entropy(s, b->m));
    if (!x.r.count) return PLUMB_OK; /* all of it is masked */
    x.r.tokens = x.tokens;
    x.r.logps = x.logps;
    x.r.old_logps = x.old;
    x.r.ref_logps = x.ref;
    x.r.advantages = x.advantages;
    x.r.counted = (double)b->m->count;
    x.r.token_weight = x.weight;
    /* the generation's tokens, as far as one optimiser step takes them */
    clip.items = fmax(s->items, 1) * (double)b->batches / (double)o->steps_per_generation;
    if (o->method == PLUMB_RLOO)
        plumb_rloo_loss(&x.r, &clip, x.g, &metrics);
    else
        plumb_grpo_loss(&x.r, &clip, x.g, &metrics);
    for (size_t t = 0; t < x.count; t++) b->g[x.from[t]] = share * x.g[t];
    b->loss = share * metrics.loss;
    return note_loss(s, &metrics);
}

/* ---- the step ---- */

/* Micro-batches before this step, counted from the start of the run: epochs begin anew. */
static int64_t first_micro_batch(const plumb_policy_state *s, int64_t step)
{
    int64_t each = plumb_order_steps_per_epoch(s->order),
            generate_every = s->o->steps_per_generation * s->o->num_iterations;
    return step / each * s->generations * generate_every + step % each * s->o->order.accumulation;
}

int64_t plumb_policy_generation_of(const plumb_policy_state *s, int64_t step)
{
    if (s->o->method == PLUMB_PPO) return step;
    return first_micro_batch(s, step) / (s->o->steps_per_generation * s->o->num_iterations);
}

plumb_status plumb_policy_step(plumb_policy_state *s)
{
    const plumb_policy_options *o = s->o;
    int64_t batches = plumb_order_batches(s->order, s->step), first = first_micro_batch(s, s->step);
    int64_t generate_every = o->steps_per_generation * o->num_iterations;
    for (int64_t k = 0; k < batches; k++) {
        PLUMB_TRY(begin_generation(s, (first + k) / generate_every));
        size_t slice = (size_t)((first + k) % generate_every % o->steps_per_generation * o->order.batch);
        PLUMB_TRY(plumb_trainer_accumulate(s->trainer, s->rollout.list + slice, (size_t)o->order.batch, batches, 0));
    }
    PLUMB_TRY(plumb_trainer_update(s->trainer, s->step + 1, plumb_schedule_rate(&s->schedule, s->step), &s->last));
    if (o->observer.step) o->observer.step(o->observer.user, &s->rollout, &s->last, NULL);
    return plumb_policy_note(s, "loss", s->last.loss);
}
