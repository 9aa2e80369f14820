#include "train/policy_state.h"

#include <math.h>

#include "io/json.h"

/* ---- the rollout ---- */

static json_t *ids_of(const plumb_example *e)
{
    json_t *ids = json_array();
    for (int k = e->prompt; ids && k < e->totals[0]; k++)
        if (json_array_append_new(ids, json_integer(e->ids[0][k]))) {
            json_decref(ids);
            return NULL;
        }
    return ids;
}

/* [number of the prompt, how it ended, [ids]] */
static json_t *completions_of(const plumb_policy_state *s)
{
    const plumb_rollout *r = &s->rollout;
    json_t *all = json_array();
    for (size_t i = 0; all && i < r->count; i++) {
        json_t *one = json_pack("[I, i, o]", (json_int_t)(r->prompts[i] - s->prompts->list), (int)r->finish[i],
                                ids_of(&r->completions.list[i]));
        if (!one || json_array_append_new(all, one)) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *pack_rollout(const plumb_policy_state *s)
{
    const plumb_rollout *r = &s->rollout;
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o*}", "generation", (json_int_t)s->generation, "completions",
                     completions_of(s), "advantages", plumb_json_reals(r->advantages, r->count), "old_logps",
                     plumb_json_reals(r->old_logps, r->total), "ref_logps", plumb_json_reals(r->ref_logps, r->total),
                     "token_weight", r->token_weight ? plumb_json_reals(r->token_weight, r->total) : NULL);
}

static plumb_status damaged(void)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the checkpoint's rollout does not fit the prompts"),
                      "go on with the same prompts, or begin a new run in another folder");
}

static plumb_status unpack_completion(plumb_policy_state *s, const json_t *one, plumb_ids *ids)
{
    int64_t prompt = json_integer_value(json_array_get(one, 0)), finish = json_integer_value(json_array_get(one, 1));
    const json_t *list = json_array_get(one, 2), *id;
    size_t at;
    if (prompt < 0 || prompt >= (int64_t)s->prompts->count || finish < 0 || finish > PLUMB_FINISH_STOP ||
        !json_array_size(list))
        return damaged();
    ids->count = 0;
    json_array_foreach(list, at, id) PLUMB_TRY(plumb_ids_push(ids, (int32_t)json_integer_value(id)));
    return plumb_rollout_add(&s->rollout, &s->prompts->list[prompt], ids->data, (int)ids->count, (plumb_finish)finish);
}

static plumb_status unpack_rollout(plumb_policy_state *s, const json_t *packed)
{
    plumb_rollout *r = &s->rollout;
    plumb_ids ids = {0};
    const json_t *one, *weight = json_object_get(packed, "token_weight");
    size_t at;
    plumb_status status = PLUMB_OK;
    json_array_foreach(json_object_get(packed, "completions"), at, one)
    {
        status = unpack_completion(s, one, &ids);
        if (status) break;
    }
    plumb_ids_free(&ids);
    if (status) return status;
    if (r->count != (size_t)(s->prompts_each * s->o->group)) return damaged();
    PLUMB_TRY(plumb_rollout_settle(r, s->o->reward_count));
    plumb_json_read_reals(json_object_get(packed, "advantages"), r->advantages, r->count);
    plumb_json_read_reals(json_object_get(packed, "old_logps"), r->old_logps, r->total);
    plumb_json_read_reals(json_object_get(packed, "ref_logps"), r->ref_logps, r->total);
    if (weight) {
        PLUMB_TRY(plumb_arena_new(&r->arena, &r->token_weight, r->total, sizeof(double)));
        PLUMB_TRY(plumb_arena_new(&r->arena, &r->nthr, r->total, sizeof(double)));
        plumb_json_read_reals(weight, r->token_weight, r->total);
    }
    s->generation = json_integer_value(json_object_get(packed, "generation"));
    return PLUMB_OK;
}

/* ---- all of it ---- */

enum { NUMBERS = 12 };

/* What was counted of rewards, and what the step that was done last leaves to its row of metrics.jsonl. */
static void numbers_of(plumb_policy_state *s, double *out[NUMBERS])
{
    plumb_reward_spread *first = &s->counts.first, *last = &s->counts.last;
    double *fields[NUMBERS] = {&first->mean,  &first->std,        &first->group_std,      &first->zero_share,
                               &last->mean,   &last->std,         &last->group_std,       &last->zero_share,
                               &s->last.loss, &s->last.grad_norm, &s->last.learning_rate, &s->last_value.grad_norm};
    for (int i = 0; i < NUMBERS; i++) out[i] = fields[i];
}

plumb_status plumb_policy_pack(const plumb_policy_state *s, json_t **out)
{
    bool goes_on = s->generation >= 0 && s->generation == plumb_policy_generation_of(s, s->step);
    plumb_policy_state copy = *s;
    double *fields[NUMBERS], flat[NUMBERS];
    numbers_of(&copy, fields);
    for (int i = 0; i < NUMBERS; i++) flat[i] = *fields[i];
    *out = json_pack("{s:o, s:b, s:I, s:I, s:o, s:o*}", "window", plumb_means_pack(&s->window), "evaluation_due",
                     s->evaluation_due, "completions", (json_int_t)s->counts.completions, "generated",
                     (json_int_t)s->counts.generated, "numbers", plumb_json_reals(flat, NUMBERS), "rollout",
                     goes_on ? pack_rollout(s) : NULL);
    return *out ? PLUMB_OK : plumb_no_memory();
}

plumb_status plumb_policy_unpack(plumb_policy_state *s, const json_t *state)
{
    const json_t *rollout = json_object_get(state, "rollout");
    double *fields[NUMBERS], flat[NUMBERS];
    PLUMB_TRY(plumb_means_unpack(&s->window, json_object_get(state, "window")));
    s->evaluation_due = json_is_true(json_object_get(state, "evaluation_due"));
    s->counts.completions = json_integer_value(json_object_get(state, "completions"));
    s->counts.generated = json_integer_value(json_object_get(state, "generated"));
    plumb_json_read_reals(json_object_get(state, "numbers"), flat, NUMBERS);
    numbers_of(s, fields);
    for (int i = 0; i < NUMBERS; i++) *fields[i] = flat[i];
    return rollout ? unpack_rollout(s, rollout) : PLUMB_OK;
}
