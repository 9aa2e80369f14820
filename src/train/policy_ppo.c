/* An update of PPO: completions, rewards of tokens, advantages, and some epochs of minibatches. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/policy_internal.h"

/* ---- the rollout ---- */

static double kl_of_token(const plumb_ppo_options *o, double policy, double reference)
{
    double d = reference - policy;
    return o->kl_k3 ? expm1(d) - d : -d;
}

static void score(const plumb_policy_state *s, size_t i, double *out)
{
    *out = s->rollout.rewards[i];
    if (s->rollout.finish[i] != PLUMB_FINISH_EOS) *out -= s->o->ppo.missing_eos_penalty;
}

static void set_rewards(plumb_policy_state *s)
{
    plumb_rollout *x = &s->rollout;
    const plumb_ppo_options *o = &s->o->ppo;
    for (size_t i = 0; i < x->count; i++) {
        double end;
        for (size_t t = x->first[i]; t < x->first[i + 1]; t++)
            x->token_rewards[t] = -o->kl_coef * kl_of_token(o, x->old_logps[t], x->ref_logps[t]);
        score(s, i, &end);
        x->token_rewards[x->first[i + 1] - 1] += end;
    }
    if (!o->whiten_rewards) return;
    double mean = 0;
    for (size_t t = 0; t < x->total; t++) mean += x->token_rewards[t] / (double)x->total;
    plumb_whiten(x->token_rewards, x->total, false);
    for (size_t t = 0; t < x->total; t++) x->token_rewards[t] += mean;
}

static void set_advantages(plumb_policy_state *s)
{
    plumb_rollout *x = &s->rollout;
    const plumb_ppo_options *o = &s->o->ppo;
    for (size_t i = 0; i < x->count; i++) {
        size_t at = x->first[i];
        plumb_gae(x->token_rewards + at, x->values + at, (size_t)x->tokens[i], o->gamma, o->lam,
                  x->token_advantages + at, x->returns + at);
    }
    memcpy(x->whitened, x->token_advantages, x->total * sizeof *x->whitened);
    if (o->whiten_advantages != PLUMB_WHITEN_MINIBATCH)
        plumb_whiten(x->whitened, x->total, o->whiten_advantages == PLUMB_WHITEN_POPULATION);
}

/* Means over the completions of sums over their tokens, as TRL logs them. */
static plumb_status note_objective(plumb_policy_state *s)
{
    const plumb_rollout *x = &s->rollout;
    const plumb_ppo_options *o = &s->o->ppo;
    double n = (double)x->count, kl = 0, entropy = 0, scores = 0, ended = 0;
    for (size_t i = 0; i < x->count; i++) {
        double end;
        score(s, i, &end);
        scores += end / n;
        ended += x->finish[i] == PLUMB_FINISH_EOS;
    }
    for (size_t t = 0; t < x->total; t++) {
        kl += kl_of_token(o, x->old_logps[t], x->ref_logps[t]) / n;
        entropy -= x->old_logps[t] / n;
    }
    PLUMB_TRY(plumb_policy_note(s, "objective/kl", kl));
    PLUMB_TRY(plumb_policy_note(s, "objective/entropy", entropy));
    PLUMB_TRY(plumb_policy_note(s, "objective/non_score_reward", -o->kl_coef * kl));
    PLUMB_TRY(plumb_policy_note(s, "objective/rlhf_reward", scores - o->kl_coef * kl));
    PLUMB_TRY(plumb_policy_note(s, "objective/scores", scores));
    return plumb_policy_note(s, "val/num_eos_tokens", ended);
}

/* ---- losses of a micro-batch: its share of the minibatch's means ---- */

/* Copies the tokens of a micro-batch out of arrays of the rollout. */
typedef struct gathered {
    double *x[3];
    size_t count;
} gathered;

static plumb_status gather(const plumb_policy_state *s, plumb_step_batch *b, const double *const from[], int arrays,
                           gathered *out)
{
    const plumb_micro_batch *m = b->m;
    *out = (gathered){.count = m->targets};
    for (int k = 0; k < arrays; k++) {
        PLUMB_TRY(plumb_arena_new(b->scratch, &out->x[k], m->targets, sizeof(double)));
        for (size_t i = 0; i < m->count; i++) {
            size_t place = plumb_policy_place(s, m->examples[i]);
            memcpy(out->x[k] + m->at[i].first_target, from[k] + s->rollout.first[place],
                   (size_t)s->rollout.tokens[place] * sizeof(double));
        }
    }
    return PLUMB_OK;
}

/* Keeps what a pass found, for those who look. */
static void keep(const plumb_policy_state *s, const plumb_micro_batch *m, double *values, double *entropy)
{
    for (size_t i = 0; i < m->count; i++) {
        size_t place = plumb_policy_place(s, m->examples[i]), first = (size_t)m->at[i].first_target;
        for (int k = 0; k < s->rollout.tokens[place]; k++) {
            size_t t = s->rollout.first[place] + (size_t)k;
            values[t] = m->logps[first + (size_t)k];
            if (entropy) entropy[t] = m->statistics[first + (size_t)k].entropy;
        }
    }
}

plumb_status plumb_ppo_loss(void *user, plumb_step_batch *b)
{
    plumb_policy_state *s = user;
    plumb_rollout *x = &s->rollout;
    plumb_ppo_metrics m;
    gathered in;
    double share = (double)b->m->targets / s->minibatch_tokens;
    PLUMB_TRY(gather(s, b, (const double *const[]){x->old_logps, x->whitened}, 2, &in));
    plumb_ppo_policy_loss(b->m->logps, in.x[0], in.x[1], in.count, s->o->ppo.cliprange, b->g, &m);
    for (size_t t = 0; t < in.count; t++) {
        b->g[t] *= share;
        s->part_entropy += b->m->statistics[t].entropy / s->minibatch_tokens;
    }
    b->loss = share * m.loss;
    s->part_policy += share * m.loss;
    s->part_approxkl += share * m.approxkl;
    s->part_clipfrac += share * m.clipfrac;
    s->part_ratio += share * m.ratio;
    keep(s, b->m, x->logps, x->entropy);
    return PLUMB_OK;
}

plumb_status plumb_ppo_value(void *user, plumb_step_batch *b)
{
    plumb_policy_state *s = user;
    plumb_rollout *x = &s->rollout;
    gathered in;
    double share = (double)b->m->targets / s->minibatch_tokens, loss, clipfrac;
    PLUMB_TRY(gather(s, b, (const double *const[]){x->values, x->returns}, 2, &in));
    plumb_ppo_value_loss(b->m->logps, in.x[0], in.x[1], in.count, s->o->ppo.cliprange_value, b->g, &loss, &clipfrac);
    for (size_t t = 0; t < in.count; t++) b->g[t] *= share * s->o->ppo.vf_coef;
    b->loss = share * s->o->ppo.vf_coef * loss;
    s->part_value += share * loss;
    s->part_value_clipfrac += share * clipfrac;
    keep(s, b->m, x->new_values, NULL);
    return PLUMB_OK;
}

/* ---- minibatches ---- */

/* Advantages of the minibatch on their own, where they are whitened so. */
static plumb_status whiten_minibatch(plumb_policy_state *s, const plumb_example *const *list, size_t count)
{
    plumb_rollout *x = &s->rollout;
    plumb_arena scratch = {0};
    double *flat;
    size_t n = 0;
    if (s->o->ppo.whiten_advantages != PLUMB_WHITEN_MINIBATCH) return PLUMB_OK;
    PLUMB_TRY(plumb_arena_new(&scratch, &flat, x->total, sizeof *flat));
    for (size_t i = 0; i < count; i++) {
        size_t place = plumb_policy_place(s, list[i]);
        for (size_t t = x->first[place]; t < x->first[place + 1]; t++) flat[n++] = x->token_advantages[t];
    }
    if (n > 1) plumb_whiten(flat, n, false);
    n = 0;
    for (size_t i = 0; i < count; i++) {
        size_t place = plumb_policy_place(s, list[i]);
        for (size_t t = x->first[place]; t < x->first[place + 1]; t++) x->whitened[t] = flat[n++];
    }
    plumb_arena_free(&scratch);
    return PLUMB_OK;
}

static plumb_status accumulate(plumb_policy_state *s, plumb_trainer *t, const plumb_example *const *list, size_t count)
{
    size_t batch = (size_t)s->o->order.batch;
    for (size_t i = 0; i < count; i += batch)
        PLUMB_TRY(
            plumb_trainer_accumulate(t, list + i, count - i < batch ? count - i : batch, s->o->order.accumulation, 0));
    return PLUMB_OK;
}

static void clear_parts(plumb_policy_state *s)
{
    s->part_entropy = s->part_approxkl = s->part_clipfrac = s->part_ratio = 0;
    s->part_policy = s->part_value = s->part_value_clipfrac = 0;
}

static void add_parts(plumb_policy_state *s)
{
    plumb_ppo_sums *sum = &s->sums;
    sum->policy_loss += s->part_policy;
    sum->value_loss += s->part_value;
    sum->approxkl += s->part_approxkl;
    sum->clipfrac += s->part_clipfrac;
    sum->value_clipfrac += s->part_value_clipfrac;
    sum->entropy += s->part_entropy;
    sum->ratio += s->part_ratio;
    sum->ratio2 += s->part_ratio * s->part_ratio;
    sum->steps++;
}

static plumb_status minibatch(plumb_policy_state *s, const plumb_example *const *list, size_t count, int64_t optimiser)
{
    double rate = plumb_schedule_rate(&s->schedule, s->step);
    clear_parts(s);
    s->minibatch_tokens = 0;
    for (size_t i = 0; i < count; i++) s->minibatch_tokens += s->rollout.tokens[plumb_policy_place(s, list[i])];
    PLUMB_TRY(whiten_minibatch(s, list, count));
    PLUMB_TRY(accumulate(s, s->trainer, list, count));
    PLUMB_TRY(plumb_context(accumulate(s, s->value, list, count), "value model"));
    PLUMB_TRY(plumb_trainer_update(s->trainer, optimiser, rate, &s->last));
    PLUMB_TRY(plumb_context(plumb_trainer_update(s->value, optimiser, rate, &s->last_value), "value model"));
    add_parts(s);
    if (s->o->observer.step) s->o->observer.step(s->o->observer.user, &s->rollout, &s->last, &s->last_value);
    return PLUMB_OK;
}

/* The completions in the order of an epoch. */
static plumb_status shuffle(const plumb_policy_state *s, int64_t epoch, plumb_arena *scratch,
                            const plumb_example ***out)
{
    size_t n = s->rollout.count;
    int64_t *places;
    PLUMB_TRY(plumb_arena_new(scratch, out, n, sizeof **out));
    PLUMB_TRY(plumb_arena_new(scratch, &places, n, sizeof *places));
    for (size_t i = 0; i < n; i++) places[i] = (int64_t)i;
    if (!s->o->order.sequential) plumb_randperm_after((int64_t)n, s->o->order.seed + (uint64_t)s->step, epoch, places);
    for (size_t i = 0; i < n; i++) (*out)[i] = s->rollout.list[places[i]];
    return PLUMB_OK;
}

static plumb_status train(plumb_policy_state *s)
{
    const plumb_ppo_options *o = &s->o->ppo;
    size_t size = s->rollout.count / (size_t)o->num_mini_batches;
    int64_t optimiser = s->step * o->num_ppo_epochs * o->num_mini_batches;
    plumb_arena scratch = {0};
    const plumb_example **list;
    plumb_status status = PLUMB_OK;
    s->sums = (plumb_ppo_sums){0};
    for (int64_t epoch = 0; epoch < o->num_ppo_epochs && !status; epoch++) {
        plumb_arena_reset(&scratch);
        status = shuffle(s, epoch, &scratch, &list);
        for (int64_t k = 0; k < o->num_mini_batches && !status; k++)
            status = plumb_context(minibatch(s, list + (size_t)k * size, size, ++optimiser),
                                   "epoch %lld, minibatch %lld", (long long)epoch + 1, (long long)k + 1);
    }
    plumb_arena_free(&scratch);
    return status;
}

static plumb_status note_training(plumb_policy_state *s)
{
    const plumb_ppo_sums *m = &s->sums;
    double n = (double)m->steps;
    PLUMB_TRY(plumb_policy_note(s, "policy/approxkl_avg", m->approxkl / n));
    PLUMB_TRY(plumb_policy_note(s, "policy/clipfrac_avg", m->clipfrac / n));
    PLUMB_TRY(plumb_policy_note(s, "policy/entropy_avg", m->entropy / n));
    PLUMB_TRY(plumb_policy_note(s, "loss/policy_avg", m->policy_loss / n));
    PLUMB_TRY(plumb_policy_note(s, "loss/value_avg", m->value_loss / n));
    PLUMB_TRY(plumb_policy_note(s, "val/clipfrac_avg", m->value_clipfrac / n));
    PLUMB_TRY(plumb_policy_note(s, "val/ratio", m->ratio / n));
    if (m->steps < 2) return PLUMB_OK;
    double variance = (m->ratio2 - m->ratio * m->ratio / n) / (n - 1);
    return plumb_policy_note(s, "val/ratio_var", fmax(variance, 0));
}

plumb_status plumb_ppo_update(plumb_policy_state *s)
{
    bool fresh;
    PLUMB_TRY(plumb_policy_generate(s, s->step, &fresh));
    set_rewards(s);
    set_advantages(s);
    PLUMB_TRY(plumb_policy_log_completions(s));
    if (s->o->observer.rollout) s->o->observer.rollout(s->o->observer.user, &s->rollout);
    PLUMB_TRY(note_objective(s));
    PLUMB_TRY(train(s));
    s->generation = -1; /* it is used up */
    s->last.loss =
        s->sums.policy_loss / (double)s->sums.steps + s->o->ppo.vf_coef * s->sums.value_loss / (double)s->sums.steps;
    PLUMB_TRY(plumb_policy_note(s, "loss", s->last.loss));
    return note_training(s);
}
