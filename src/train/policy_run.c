/* The life of a policy-gradient run: plan, steps, metrics, checkpoints, result. */
#include "train/policy_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "train/policy_internal.h"
#include "train/policy_state.h"

enum { DIGITS = 9 };

/* Beside the state: what only this file needs. */
typedef struct run {
    plumb_policy_state s;
    plumb_policy_options o; /* the caller's, completed */
    int64_t saved;          /* the step of the newest checkpoint; -1: none by this call */
    bool unproven;          /* has no step begun from that checkpoint yet? */
    plumb_policy_report *report;
} run;

/* ---- the plan ---- */

static plumb_status plan_groups(const plumb_policy_options *o, int64_t *prompts_each)
{
    int64_t completions = o->order.batch * o->steps_per_generation;
    if (o->group < 2)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--num_generations %" PRId64, o->group),
                          "a completion is judged against others of its prompt: give 2 or more");
    if (completions % o->group)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "a generation of %" PRId64 " completions (per_device_train_batch_size times "
                                     "steps_per_generation) holds no whole groups of %" PRId64,
                                     completions, o->group),
                          "make it a multiple of --num_generations");
    *prompts_each = completions / o->group;
    return PLUMB_OK;
}

/* What the order of the run counts as a row: micro-batches, or updates of PPO. */
static plumb_status open_order(const plumb_policy_options *o, int64_t prompts, int64_t prompts_each, plumb_order **out)
{
    int64_t generations = prompts / prompts_each;
    plumb_order_options how = {
        .batch = 1, .sequential = true, .epochs = o->order.epochs, .max_steps = o->order.max_steps};
    if (o->method != PLUMB_PPO) {
        how.rows = generations * o->steps_per_generation * o->num_iterations;
        how.accumulation = o->order.accumulation;
        return plumb_order_open(&how, out);
    }
    double episodes =
        o->ppo.total_episodes > 0 ? (double)o->ppo.total_episodes : ceil(o->order.epochs * (double)prompts);
    how.rows = generations;
    how.accumulation = 1;
    if (how.max_steps < 1) how.max_steps = (int64_t)ceil(episodes / (double)prompts_each);
    return plumb_order_open(&how, out);
}

static plumb_status make_plan(const plumb_policy_options *o, size_t prompts, int64_t *prompts_each, plumb_order **out)
{
    *out = NULL;
    if (o->method == PLUMB_PPO)
        *prompts_each = o->order.batch * o->order.accumulation * o->ppo.num_mini_batches;
    else
        PLUMB_TRY(plan_groups(o, prompts_each));
    if ((int64_t)prompts < *prompts_each)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%zu prompts, and a generation takes %" PRId64, prompts, *prompts_each),
            "give more prompts, or a smaller batch");
    return open_order(o, (int64_t)prompts, *prompts_each, out);
}

plumb_status plumb_policy_plan(const plumb_policy_options *o, size_t prompts, int64_t *prompts_each, int64_t *steps,
                               int64_t *steps_per_epoch)
{
    plumb_order *order;
    PLUMB_TRY(make_plan(o, prompts, prompts_each, &order));
    *steps = plumb_order_steps(order);
    *steps_per_epoch = plumb_order_steps_per_epoch(order);
    plumb_order_close(order);
    return PLUMB_OK;
}

/* ---- metrics ---- */

static plumb_status put(plumb_text *t, const char *name, double value)
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s\":", name));
    return plumb_json_real(t, value, DIGITS);
}

static plumb_status metrics_row(const run *r, plumb_text *t)
{
    const plumb_policy_state *s = &r->s;
    PLUMB_TRY(plumb_text_printf(t, "{\"step\":%" PRId64, s->step));
    PLUMB_TRY(put(t, "epoch", plumb_order_epoch(s->order, s->step)));
    if (s->value) PLUMB_TRY(plumb_text_printf(t, ",\"episode\":%" PRId64, s->counts.completions));
    PLUMB_TRY(plumb_means_write(&s->window, t));
    PLUMB_TRY(put(t, "grad_norm", s->last.grad_norm));
    if (s->value) PLUMB_TRY(put(t, "grad_norm/value", s->last_value.grad_norm));
    PLUMB_TRY(put(t, "learning_rate", s->last.learning_rate));
    return plumb_text_printf(t, ",\"num_completions\":%" PRId64 ",\"generated_tokens\":%" PRId64 "}\n",
                             s->counts.completions, s->counts.generated);
}

static plumb_status log_window(run *r)
{
    plumb_text t = {0};
    plumb_status s = metrics_row(r, &t);
    if (!s) s = plumb_run_folder_metrics(r->s.folder, &t);
    plumb_text_free(&t);
    plumb_means_clear(&r->s.window);
    return s;
}

/* ---- checkpoints ---- */

static plumb_status save(run *r)
{
    json_t *state = NULL;
    plumb_status s = plumb_context(plumb_trainer_check_weights(r->s.trainer), "step %" PRId64, r->s.step);
    if (!s) s = plumb_policy_pack(&r->s, &state);
    if (!s)
        s = plumb_run_folder_save(r->s.folder, r->s.trainer, &r->o.trainer.optimizer, r->s.step, state, r->s.synced,
                                  r->s.value);
    json_decref(state);
    if (s) return s;
    r->saved = r->s.step;
    r->unproven = true;
    return PLUMB_OK;
}

static plumb_status load(run *r, const json_t *state)
{
    PLUMB_TRY(plumb_run_folder_load(r->s.folder, &r->o.trainer.optimizer, r->s.trainer, r->s.synced, r->s.value));
    r->s.step = r->saved = json_integer_value(json_object_get(state, "step"));
    r->unproven = true;
    PLUMB_TRY(plumb_policy_unpack(&r->s, state));
    if (!r->s.evaluation_due || r->s.ledger) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: the run was stopped while it measured pairs", r->o.folder),
                      "give the --ledger_data that it was begun with");
}

/* A step was made from it, so that it is good and older ones may go. */
static plumb_status prove(run *r)
{
    if (!r->unproven) return PLUMB_OK;
    r->unproven = false;
    return plumb_run_folder_prune(r->s.folder, r->saved, r->o.pace.save_total_limit);
}

/* ---- the loop ---- */

static void begin_step(plumb_policy_state *s)
{
    s->first_generation = s->generation;
    s->counts_before = s->counts;
    plumb_means_clear(&s->pending);
    plumb_text_clear(&s->lines);
}

/* As if the step had not begun: the weights are those of its start in any case. */
static void undo_step(plumb_policy_state *s)
{
    if (s->generation != s->first_generation) {
        plumb_rollout other = s->rollout;
        s->rollout = s->before;
        s->before = other;
        s->generation = s->first_generation;
    }
    s->counts = s->counts_before;
}

/* ---- the ledger ---- */

static const char advice[] =
    "score the pairs (plumb score), hold the policy closer to its start (--beta, of ppo --kl_coef), "
    "or lower --learning_rate";

static plumb_status open_ledger(run *r, const plumb_model *start)
{
    const plumb_ledger_options how = {
        .tokens = r->o.ledger_tokens, .reference = PLUMB_LEDGER_START, .tokenizer = r->o.tokenizer};
    if (!r->o.pairs) return PLUMB_OK;
    PLUMB_TRY(plumb_ledger_new(&how, start, r->o.pairs, &r->s.ledger));
    return plumb_ledger_start(r->s.ledger, start, r->o.pairs, NULL, r->o.sink);
}

static plumb_status evaluate(run *r)
{
    plumb_policy_state *s = &r->s;
    plumb_ledger_summary *found = &r->report->ledger;
    const plumb_examples *e = r->o.pairs;
    plumb_text rows = {0};
    plumb_status status =
        plumb_ledger_evaluate(s->ledger, plumb_trainer_policy(s->trainer), e, s->step, NULL, r->o.sink, &rows, found);
    if (!status) status = plumb_run_folder_ledger(s->folder, &rows);
    plumb_text_free(&rows);
    PLUMB_TRY(status);
    r->report->evaluated = true;
    plumb_ledger_warn(found, e, s->step, advice, r->o.sink);
    return s->step ? plumb_means_add(&s->window, "displaced", (double)found->displaced / (double)e->count) : PLUMB_OK;
}

/* ---- the end of a step ---- */

/* What follows the update. Its passes over the pairs may be interrupted and begun again from the checkpoint of the
 * step. */
static plumb_status close_step(run *r)
{
    plumb_policy_state *s = &r->s;
    const plumb_run_pace *pace = &r->o.pace;
    if (s->evaluation_due) PLUMB_TRY(plumb_blame_weights(evaluate(r), s->step));
    s->evaluation_due = false;
    if (s->step % pace->logging_steps == 0 || s->step == s->steps) PLUMB_TRY(log_window(r));
    if (s->synced && s->step % pace->ref_model_sync_steps == 0)
        PLUMB_TRY(plumb_masters_mix(s->synced, plumb_trainer_masters(s->trainer), pace->ref_model_mixup_alpha));
    bool due = pace->save_steps && s->step % pace->save_steps == 0 && s->step < s->steps;
    return due && r->saved < s->step ? save(r) : PLUMB_OK; /* saved: this step's end was done again from it */
}

static plumb_status end_step(run *r)
{
    plumb_policy_state *s = &r->s;
    PLUMB_TRY(plumb_means_merge(&s->window, &s->pending));
    if (s->lines.size) PLUMB_TRY(plumb_run_folder_completions(s->folder, &s->lines));
    s->step++;
    r->report->steps = s->step;
    r->report->loss = s->last.loss;
    s->evaluation_due =
        s->ledger && plumb_ledger_due(&r->o.pace, s->step, plumb_order_steps_per_epoch(s->order), s->steps);
    return close_step(r);
}

static plumb_status one_step(run *r)
{
    begin_step(&r->s);
    plumb_status s = r->o.method == PLUMB_PPO ? plumb_ppo_update(&r->s) : plumb_policy_step(&r->s);
    if (s) undo_step(&r->s);
    return plumb_context(s, "step %" PRId64, r->s.step + 1);
}

static plumb_status steps(run *r)
{
    if (r->s.step == 0 && r->s.ledger) PLUMB_TRY(evaluate(r));
    if (r->s.evaluation_due) PLUMB_TRY(close_step(r));
    while (r->s.step < r->s.steps) {
        PLUMB_TRY(plumb_check_interrupt(r->o.sink));
        PLUMB_TRY(one_step(r));
        PLUMB_TRY(prove(r));
        PLUMB_TRY(end_step(r));
        plumb_progress(r->o.sink, "steps", (double)r->s.step, (double)r->s.steps);
    }
    return plumb_trainer_check_weights(r->s.trainer);
}

static plumb_status blame_divergence(const run *r, plumb_status s)
{
    static const char smaller[] = "try a smaller --learning_rate or --max_grad_norm, or a stronger KL term";
    int64_t good = plumb_run_folder_newest(r->s.folder, r->s.step);
    if (good < 0) return plumb_cure(s, "no checkpoint was written before; %s", smaller);
    return plumb_cure(s, "%s/checkpoint-%" PRId64 " is the last good checkpoint; %s", r->o.folder, good, smaller);
}

static plumb_status loop(run *r)
{
    r->report->first_step = r->s.step;
    r->report->steps = r->s.step;
    r->report->loss = r->s.last.loss;
    plumb_status s = steps(r);
    if (plumb_status_code(s) == PLUMB_E_INTERRUPTED && r->s.step > 0 && r->saved < r->s.step) {
        plumb_status saved = save(r); /* what is done is kept */
        if (!saved) return s;
        plumb_status_free(s);
        s = saved;
    }
    return plumb_status_code(s) == PLUMB_E_DIVERGED ? blame_divergence(r, s) : s;
}

/* ---- beginning and end ---- */

/* Do the numbers of the policy that sampled differ from those of a training pass? Not where all micro-batches of a
 * generation fall into one step; then they need no pass of their own, unless rewards or KL are made of them. */
static bool needs_old(const plumb_policy_options *o)
{
    if (o->method == PLUMB_PPO || (o->method == PLUMB_RLOO && o->clip.beta != 0)) return true;
    return o->order.accumulation % (o->steps_per_generation * o->num_iterations) != 0;
}

static plumb_status new_trainers(run *r, const plumb_model *start, const plumb_model *value)
{
    plumb_trainer_options how = r->o.trainer;
    bool ppo = r->o.method == PLUMB_PPO;
    how.objective = NULL;
    how.temperature = r->o.sampling.temperature;
    how.loss = (plumb_step_loss){.run = ppo ? plumb_ppo_loss : plumb_policy_loss, .user = &r->s};
    /* An update of PPO is several steps: it is ended before an interruption is heard, since only then it can be saved
     */
    how.sink = ppo ? NULL : r->o.sink;
    PLUMB_TRY(plumb_trainer_new(start, &how, &r->s.trainer));
    if (!ppo) return PLUMB_OK;
    if (!value) return plumb_fail(PLUMB_E_INTERNAL, "PPO needs a value model");
    how.adapter = NULL;
    how.temperature = 0;
    how.loss.run = plumb_ppo_value;
    return plumb_context(plumb_trainer_new(value, &how, &r->s.value), "value model");
}

static plumb_status prepare(run *r, const plumb_model *start, const plumb_model *value, const json_t *state)
{
    plumb_policy_state *s = &r->s;
    PLUMB_TRY(make_plan(&r->o, s->prompts->count, &s->prompts_each, &s->order));
    s->generations = (int64_t)s->prompts->count / s->prompts_each;
    s->steps = plumb_order_steps(s->order);
    s->old_known = needs_old(&r->o);
    PLUMB_TRY(plumb_new(&s->permutation, s->prompts->count, sizeof *s->permutation));
    PLUMB_TRY(plumb_schedule_make(r->o.pace.lr_scheduler_type, r->o.pace.learning_rate, r->o.pace.warmup_steps,
                                  r->o.pace.warmup_ratio, s->steps, &s->schedule));
    PLUMB_TRY(open_ledger(r, start));
    PLUMB_TRY(new_trainers(r, start, value));
    if (r->o.pace.sync_ref_model && s->reference) PLUMB_TRY(plumb_masters_new(s->reference, &s->synced));
    return state ? load(r, state) : PLUMB_OK;
}

static plumb_status finish(run *r, const plumb_model *value)
{
    PLUMB_TRY(plumb_run_folder_finish(r->s.folder, r->s.trainer, r->o.model, r->o.dtype, r->o.sink));
    if (!r->s.value) return PLUMB_OK;
    return plumb_run_folder_finish_beside(r->s.folder, "value", r->s.value, value->folder, r->o.dtype, r->o.sink);
}

static void free_run(run *r)
{
    plumb_policy_state *s = &r->s;
    plumb_run_folder_close(s->folder);
    plumb_trainer_free(s->trainer);
    plumb_trainer_free(s->value);
    plumb_masters_free(s->synced);
    plumb_ledger_free(s->ledger);
    plumb_order_close(s->order);
    plumb_rollout_free(&s->rollout);
    plumb_rollout_free(&s->before);
    plumb_means_free(&s->window);
    plumb_means_free(&s->pending);
    plumb_text_free(&s->lines);
    free(s->permutation);
}

plumb_status plumb_policy_run(const plumb_policy_options *options, const plumb_model *start,
                              const plumb_model *reference, const plumb_model *value, const plumb_prompts *prompts,
                              plumb_policy_report *report)
{
    run r = {.o = *options, .saved = -1, .report = report};
    json_t *state = NULL;
    bool ppo = options->method == PLUMB_PPO;
    if (ppo) r.o.group = 1;
    r.s = (plumb_policy_state){.o = &r.o, .prompts = prompts, .permutation_epoch = -1, .generation = -1};
    r.s.reference = ppo || options->clip.beta != 0 ? reference : NULL;
    *report = (plumb_policy_report){0};
    if ((ppo || options->clip.beta != 0) && !reference)
        return plumb_fail(PLUMB_E_INTERNAL, "a KL term needs a reference");
    plumb_status s = plumb_run_folder_open(options->folder, options->resume, &r.s.folder, &state);
    if (!s && options->begun) s = options->begun(options->begun_user);
    if (!s) s = prepare(&r, start, value, state);
    if (!s) s = loop(&r);
    if (!s) s = finish(&r, value);
    report->completions = r.s.counts.completions;
    report->generated = r.s.counts.generated;
    report->first = r.s.counts.first;
    report->last = r.s.counts.last;
    json_decref(state);
    free_run(&r);
    return s;
}
