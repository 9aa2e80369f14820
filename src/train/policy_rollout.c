/* A generation of a policy-gradient run: which prompts, their completions, rewards and log-probs. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "io/json.h"
#include "train/policy_internal.h"

enum { DIGITS = 9 };

plumb_status plumb_policy_note(plumb_policy_state *s, const char *name, double value)
{
    return plumb_means_add(&s->pending, name, value);
}

bool plumb_policy_masked(const plumb_policy_state *s, size_t i)
{
    return s->o->mask_truncated_completions && s->rollout.finish[i] != PLUMB_FINISH_EOS;
}

/* ---- prompts ---- */

static void permute(plumb_policy_state *s, int64_t epoch)
{
    int64_t n = (int64_t)s->prompts->count;
    if (s->permutation_epoch == epoch) return;
    if (s->o->order.sequential)
        for (int64_t i = 0; i < n; i++) s->permutation[i] = i;
    else
        plumb_randperm_after(n, s->o->order.seed, epoch, s->permutation);
    s->permutation_epoch = epoch;
}

static plumb_status pick(plumb_policy_state *s, int64_t g, const plumb_prompt_row **picks)
{
    permute(s, g / s->generations);
    const int64_t *rows = s->permutation + g % s->generations * s->prompts_each;
    for (int64_t i = 0; i < s->prompts_each; i++) picks[i] = &s->prompts->list[rows[i]];
    return PLUMB_OK;
}

/* ---- metrics ---- */

static plumb_status note_lengths(plumb_policy_state *s)
{
    const plumb_rollout *r = &s->rollout;
    double sum[2] = {0, 0}, least[2] = {INFINITY, INFINITY}, most[2] = {0, 0}, count[2] = {0, 0};
    static const char *const kinds[2] = {"", "terminated_"};
    char name[64];
    for (size_t i = 0; i < r->count; i++)
        for (int k = 0; k < 2; k++) { /* all completions, those that ended */
            if (k && r->finish[i] != PLUMB_FINISH_EOS) continue;
            sum[k] += r->tokens[i];
            least[k] = fmin(least[k], r->tokens[i]);
            most[k] = fmax(most[k], r->tokens[i]);
            count[k]++;
        }
    for (int k = 0; k < 2; k++) {
        bool none = count[k] == 0; /* TRL says 0 then */
        snprintf(name, sizeof name, "completions/mean_%slength", kinds[k]);
        PLUMB_TRY(plumb_policy_note(s, name, none ? 0 : sum[k] / count[k]));
        snprintf(name, sizeof name, "completions/min_%slength", kinds[k]);
        PLUMB_TRY(plumb_policy_note(s, name, none ? 0 : least[k]));
        snprintf(name, sizeof name, "completions/max_%slength", kinds[k]);
        PLUMB_TRY(plumb_policy_note(s, name, most[k]));
    }
    return plumb_policy_note(s, "completions/clipped_ratio", 1 - count[1] / count[0]);
}

static plumb_status note_rewards(plumb_policy_state *s)
{
    const plumb_rollout *r = &s->rollout;
    size_t group = (size_t)s->o->group, prompts = r->count / group;
    char name[PLUMB_METRIC_NAME];
    for (size_t k = 0; k < s->o->reward_count; k++) {
        plumb_reward_spread one = plumb_rewards_spread(r->each_reward + k * r->count, prompts, group);
        snprintf(name, sizeof name, "rewards/%s/mean", s->o->rewards[k].name);
        PLUMB_TRY(plumb_policy_note(s, name, one.mean));
        snprintf(name, sizeof name, "rewards/%s/std", s->o->rewards[k].name);
        PLUMB_TRY(plumb_policy_note(s, name, one.std));
    }
    plumb_reward_spread all = plumb_rewards_spread(r->rewards, prompts, group);
    if (s->counts.completions == 0) s->counts.first = all;
    s->counts.last = all;
    PLUMB_TRY(plumb_policy_note(s, "reward", all.mean));
    PLUMB_TRY(plumb_policy_note(s, "reward_std", all.std));
    if (group == 1) return PLUMB_OK;
    PLUMB_TRY(plumb_policy_note(s, "reward_group_std", all.group_std));
    return plumb_policy_note(s, "prompts_without_spread", all.zero_share);
}

/* ---- a generation ---- */

/* The rollout that the step began with is kept, so that a step that fails can be begun again. */
static void set_aside(plumb_policy_state *s)
{
    if (s->generation == s->first_generation) {
        plumb_rollout other = s->before;
        s->before = s->rollout;
        s->rollout = other;
    }
    s->generation = -1;
    plumb_rollout_clear(&s->rollout);
}

static plumb_status complete(plumb_policy_state *s, int64_t g)
{
    const plumb_policy_options *o = s->o;
    const plumb_prompt_row **picks;
    size_t n = (size_t)s->prompts_each;
    plumb_arena scratch = {0};
    plumb_status status = plumb_arena_new(&scratch, &picks, n, sizeof *picks);
    if (!status) status = pick(s, g, picks);
    if (!status)
        status = o->complete ? o->complete(o->complete_user, picks, n, (int)o->group, &s->rollout)
                             : plumb_rollout_sample(plumb_trainer_policy(s->trainer), &o->sampling, picks, n,
                                                    (int)o->group, g * s->prompts_each, o->sink, &s->rollout);
    plumb_arena_free(&scratch);
    return status;
}

static plumb_status measure(plumb_policy_state *s)
{
    const plumb_policy_options *o = s->o;
    plumb_rollout *r = &s->rollout;
    const plumb_model *reference = s->synced ? s->synced->values : s->reference;
    double temperature = o->sampling.temperature;
    if (s->old_known)
        PLUMB_TRY(plumb_rollout_measure(plumb_trainer_policy(s->trainer), temperature, r, o->sink, r->old_logps));
    if (reference) PLUMB_TRY(plumb_rollout_measure(reference, temperature, r, o->sink, r->ref_logps));
    if (s->value) PLUMB_TRY(plumb_rollout_measure(plumb_trainer_policy(s->value), 1, r, o->sink, r->values));
    return PLUMB_OK;
}

plumb_status plumb_policy_generate(plumb_policy_state *s, int64_t g, bool *fresh)
{
    plumb_rollout *r = &s->rollout;
    *fresh = s->generation != g;
    if (!*fresh) return PLUMB_OK;
    set_aside(s);
    PLUMB_TRY(complete(s, g));
    if (r->count != (size_t)(s->prompts_each * s->o->group))
        return plumb_fail(PLUMB_E_INTERNAL, "%zu completions came back for %" PRId64 " prompts", r->count,
                          s->prompts_each);
    PLUMB_TRY(plumb_rollout_settle(r, s->o->reward_count));
    PLUMB_TRY(plumb_rollout_reward(r, s->o->rewards, s->o->reward_count, (int)s->o->group));
    PLUMB_TRY(measure(s));
    PLUMB_TRY(note_lengths(s));
    PLUMB_TRY(note_rewards(s));
    s->counts.completions += (int64_t)r->count;
    s->counts.generated += (int64_t)r->total;
    s->generation = g;
    return PLUMB_OK;
}

/* ---- completions.jsonl ---- */

static plumb_status put_text(plumb_policy_state *s, const char *name, const int32_t *ids, size_t n)
{
    plumb_text text = {0};
    plumb_status status = plumb_tokenizer_decode(s->o->tokenizer, ids, n, true, &text);
    if (!status) status = plumb_text_printf(&s->lines, ",\"%s\":", name);
    if (!status) status = plumb_json_quote(&s->lines, text.data ? text.data : "", text.size);
    plumb_text_free(&text);
    return status;
}

static plumb_status put_number(plumb_policy_state *s, const char *name, double value)
{
    PLUMB_TRY(plumb_text_printf(&s->lines, ",\"%s\":", name));
    return plumb_json_real(&s->lines, value, DIGITS);
}

static plumb_status put_completion(plumb_policy_state *s, size_t i)
{
    const plumb_rollout *r = &s->rollout;
    const plumb_example *e = &r->completions.list[i];
    char name[PLUMB_METRIC_NAME];
    PLUMB_TRY(plumb_text_printf(&s->lines,
                                "{\"step\":%" PRId64 ",\"index\":%" PRId64 ",\"row\":\"%016" PRIx64
                                "\",\"sample\":%zu,\"prompt\":%s",
                                s->step + 1, e->index, e->row, i % (size_t)s->o->group, r->prompts[i]->json));
    if (s->o->tokenizer) PLUMB_TRY(put_text(s, "response", e->ids[0] + e->prompt, (size_t)r->tokens[i]));
    PLUMB_TRY(plumb_text_printf(&s->lines, ",\"tokens\":%d,\"finish\":\"%s\"", r->tokens[i],
                                plumb_finish_name(r->finish[i])));
    for (size_t k = 0; k < s->o->reward_count; k++) {
        snprintf(name, sizeof name, "rewards/%s", s->o->rewards[k].name);
        PLUMB_TRY(put_number(s, name, r->each_reward[k * r->count + i]));
    }
    if (s->o->method != PLUMB_PPO) PLUMB_TRY(put_number(s, "advantage", r->advantages[i]));
    if (r->token_weight) {
        int selected = 0;
        for (size_t t = r->first[i]; t < r->first[i + 1]; t++)
            selected += r->nthr[t] == r->nthr[t] && r->token_weight[t] != 1;
        PLUMB_TRY(plumb_text_printf(&s->lines, ",\"nthr_tokens\":%d", selected));
        PLUMB_TRY(put_number(s, "nthr", r->advantages[i] < 0 ? r->influence[i] : NAN));
        PLUMB_TRY(put_number(s, "gwhes", r->advantages[i] > 0 ? r->influence[i] : NAN));
    }
    return plumb_text_string(&s->lines, "}\n");
}

plumb_status plumb_policy_log_completions(plumb_policy_state *s)
{
    for (size_t i = 0; s->o->log_completions && i < s->rollout.count; i++) PLUMB_TRY(put_completion(s, i));
    return PLUMB_OK;
}
