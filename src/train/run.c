#include "train/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "model/backward.h"
#include "train/reference_cache.h"

enum { DIGITS = 9, LOGP_DIGITS = 17 };

typedef struct run {
    const plumb_run_options *o;
    const plumb_model *start, *reference;
    plumb_examples *e;
    plumb_run_folder *folder;
    plumb_trainer *trainer;
    plumb_masters *synced; /* the reference's weights with sync_ref_model */
    plumb_order *order;
    plumb_schedule schedule;
    plumb_ledger *ledger;
    size_t *rows;          /* [kept] examples that take part, in their order */
    plumb_example **batch; /* [batch_count] of the micro-batch at hand */
    size_t batch_count, batch_capacity;
    double *ln_ches;           /* [e->count] with a gate */
    plumb_step_metrics window; /* sums since the last row of metrics.jsonl */
    int64_t window_steps, step;
    bool evaluation_due, gate_due; /* what the step that was done last still wants */
    int64_t saved;                 /* the step of the newest checkpoint; -1: none by this call */
    bool unproven;                 /* has no step begun from that checkpoint yet? */
    plumb_run_report *report;
} run;

/* ---- metrics ---- */

/* As TRL: the loss is a mean over steps; all else is one over micro-batches, of which the last step of an epoch may
 * have fewer. */
static void add_window(run *r, const plumb_step_metrics *m)
{
    plumb_step_metrics *w = &r->window;
    double n = (double)m->micro_batches;
    w->loss += m->loss;
    w->grad_norm = m->grad_norm; /* of the last step, as transformers logs it */
    w->learning_rate = m->learning_rate;
    w->entropy += n * m->entropy;
    w->mean_token_accuracy += n * m->mean_token_accuracy;
    w->batch.accuracy += n * m->batch.accuracy;
    w->batch.margin += n * m->batch.margin;
    w->displaced += n * m->displaced;
    for (int s = 0; s < 2; s++) {
        w->logits[s] += n * m->logits[s];
        w->batch.rewards[s] += n * m->batch.rewards[s];
        w->batch.logps[s] += n * m->batch.logps[s];
        for (int q = 0; q < 3; q++) w->quantiles[s][q] += n * m->quantiles[s][q];
    }
    for (int k = 0; k < PLUMB_STEP_COLUMNS; k++) {
        w->columns[k] += m->columns[k];
        w->column_batches[k] += m->column_batches[k];
    }
    w->micro_batches += m->micro_batches;
    r->window_steps++;
}

static plumb_status put(plumb_text *t, const char *name, double value, int digits)
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s\":", name));
    return plumb_json_real(t, value, digits);
}

static plumb_status put_sides(plumb_text *t, const char *name, const char *suffix, double chosen, double rejected,
                              int digits)
{
    char key[64];
    snprintf(key, sizeof key, "%s/chosen%s", name, suffix);
    PLUMB_TRY(put(t, key, chosen, digits));
    snprintf(key, sizeof key, "%s/rejected%s", name, suffix);
    return put(t, key, rejected, digits);
}

static plumb_status put_pairs(plumb_text *t, const plumb_step_metrics *w, double n)
{
    static const char *const suffixes[3] = {"_q05", "_q50", "_q95"};
    PLUMB_TRY(put_sides(t, "logits", "", w->logits[0] / n, w->logits[1] / n, DIGITS));
    PLUMB_TRY(put_sides(t, "rewards", "", w->batch.rewards[0] / n, w->batch.rewards[1] / n, DIGITS));
    PLUMB_TRY(put(t, "rewards/accuracies", w->batch.accuracy / n, DIGITS));
    PLUMB_TRY(put(t, "rewards/margins", w->batch.margin / n, DIGITS));
    PLUMB_TRY(put_sides(t, "logps", "", w->batch.logps[0] / n, w->batch.logps[1] / n, LOGP_DIGITS));
    for (int q = 0; q < 3; q++)
        PLUMB_TRY(put_sides(t, "logps", suffixes[q], w->quantiles[0][q] / n, w->quantiles[1][q] / n, LOGP_DIGITS));
    return put(t, "displaced", w->displaced / n, DIGITS);
}

/* A loss's own metrics: each the mean over the micro-batches that had it, as TRL averages them. */
static plumb_status put_columns(plumb_text *t, const plumb_step_metrics *w, const char *const *names)
{
    for (int k = 0; names && names[k]; k++)
        if (w->column_batches[k])
            PLUMB_TRY(put(t, names[k], w->columns[k] / (double)w->column_batches[k],
                          strncmp(names[k], "logps", 5) ? DIGITS : LOGP_DIGITS));
    return PLUMB_OK;
}

static plumb_status put_tokens(plumb_text *t, const plumb_step_metrics *w, double n)
{
    PLUMB_TRY(put(t, "entropy", w->entropy / n, DIGITS));
    return put(t, "mean_token_accuracy", w->mean_token_accuracy / n, DIGITS);
}

static plumb_status log_window(run *r)
{
    plumb_text t = {0};
    const plumb_step_metrics *w = &r->window;
    double n = (double)w->micro_batches;
    plumb_status s = plumb_text_printf(&t, "{\"step\":%" PRId64, r->step);
    if (!s) s = put(&t, "epoch", plumb_order_epoch(r->order, r->step), DIGITS);
    if (!s) s = put(&t, "loss", w->loss / (double)r->window_steps, DIGITS);
    if (!s) s = put(&t, "grad_norm", w->grad_norm, DIGITS);
    if (!s) s = put(&t, "learning_rate", w->learning_rate, DIGITS);
    const plumb_step_loss *own = &r->o->trainer.loss;
    if (!s) s = own->run ? put_columns(&t, w, own->columns) : put_tokens(&t, w, n);
    if (!s && r->o->trainer.objective) s = put_pairs(&t, w, n);
    if (!s) s = plumb_text_string(&t, "}\n");
    if (!s) s = plumb_run_folder_metrics(r->folder, &t);
    plumb_text_free(&t);
    r->window = (plumb_step_metrics){0};
    r->window_steps = 0;
    return s;
}

/* ---- the gate ---- */

static plumb_status keep_ln_ches(void *user, size_t i, const plumb_score *score)
{
    ((run *)user)->ln_ches[i] = score->ln_ches;
    return PLUMB_OK;
}

static void keep_ref_logps(plumb_example *x, const plumb_score *score)
{
    for (int s = 0; s < 2; s++) {
        x->ref_head[s] = score->head[s];
        x->ref_tail[s] = score->tail[s];
    }
    x->has_reference = true;
}

static plumb_status set_reference(void *user, size_t i, const plumb_score *score)
{
    keep_ref_logps(&((run *)user)->e->list[i], score);
    return PLUMB_OK;
}

/* The reference's log-probs where there is a reference, and ln_ches where a gate wants it, as the hidden states are
 * there anyway. */
static plumb_status keep_reference(void *user, size_t i, const plumb_score *score)
{
    if (((run *)user)->reference) PLUMB_TRY(set_reference(user, i, score));
    return keep_ln_ches(user, i, score);
}

/* What must be known before the first step: log-probs of the reference and of the start, ln_ches for the gate (under
 * the reference, or without one under the start). A pass for each model: where the start is its own reference one does
 * for all, and none is needed where the folder holds the reference's numbers already. */
static plumb_status first_passes(run *r)
{
    const plumb_run_options *o = r->o;
    bool own = !r->reference || r->reference == r->start, found = false;
    plumb_examples_visit visit = {.score = keep_reference, .user = r, .states = o->gate.kind != PLUMB_GATE_NONE};
    bool cached = r->reference && o->reference_key;
    if (cached) PLUMB_TRY(plumb_reference_cache_read(o->folder, o->reference_key, r->e, r->ln_ches, &found));
    if (found) plumb_note(o->sink, "the reference's log-probs are taken from %s/reference.jsonl", o->folder);
    bool start = r->ledger && (!own || !found || o->ledger_tokens); /* the tokens need hidden states */
    if (r->reference && !found && !(own && start)) PLUMB_TRY(plumb_examples_score(r->reference, r->e, &visit, o->sink));
    if (start)
        PLUMB_TRY(plumb_ledger_start(r->ledger, r->start, r->e, own && !found ? &visit : NULL, o->sink));
    else if (r->ledger)
        plumb_ledger_start_as_reference(r->ledger, r->e);
    for (int i = -1; r->reference && r->reference != r->start && i <= r->reference->config.layers; i++)
        plumb_model_drop_layer(r->reference, i); /* it is not needed any more, or seldom */
    return cached && !found ? plumb_reference_cache_write(o->folder, o->reference_key, r->e, r->ln_ches) : PLUMB_OK;
}

/* The examples that take part: all but those that a gate leaves out. Their number does not change in a run, so that
 * steps and epochs stay; a pair that weighs 0 by its rank is in its batches all the same. */
static void list_rows(run *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < r->e->count; i++)
        if (r->o->gate.kind != PLUMB_GATE_KEEP_LOWEST || r->e->list[i].weight > 0) r->rows[kept++] = i;
    r->report->kept = kept;
}

/* Scores with model m (NULL: ln_ches is known already) and applies the gate. */
static plumb_status run_gate(run *r, const plumb_model *m)
{
    size_t kept;
    plumb_examples_visit visit = {.score = keep_ln_ches, .user = r, .states = true};
    if (r->o->gate.kind != PLUMB_GATE_NONE) {
        if (m) PLUMB_TRY(plumb_examples_score(m, r->e, &visit, r->o->sink));
        PLUMB_TRY(plumb_gate_apply(&r->o->gate, r->ln_ches, r->e, &kept));
    }
    list_rows(r);
    return PLUMB_OK;
}

/* ---- the ledger ---- */

static bool has_ledger(const run *r)
{
    return r->ledger || r->o->ledger.note;
}

static bool ledger_due(const run *r)
{
    return has_ledger(r) &&
           plumb_ledger_due(&r->o->pace, r->step, plumb_order_steps_per_epoch(r->order), plumb_order_steps(r->order));
}

static const char advice[] = "score and filter the pairs (plumb score, plumb filter --keep-lowest 5%), mix in "
                             "--loss_type sigmoid sft, or try --loss_type dpop";

static plumb_status evaluate_pairs(run *r, plumb_text *rows)
{
    return plumb_ledger_evaluate(r->ledger, plumb_trainer_policy(r->trainer), r->e, r->step,
                                 r->o->gate.kind ? r->ln_ches : NULL, r->o->sink, rows, &r->report->ledger);
}

static plumb_status evaluate(run *r)
{
    const plumb_run_ledger *own = &r->o->ledger;
    plumb_text rows = {0};
    plumb_status s = PLUMB_OK;
    if (r->synced && r->step > 0) { /* of the reference as it is now */
        plumb_examples_visit visit = {.score = set_reference, .user = r};
        s = plumb_examples_score(r->synced->values, r->e, &visit, r->o->sink);
    }
    if (!s)
        s = r->ledger ? evaluate_pairs(r, &rows)
                      : own->note(own->user, plumb_trainer_policy(r->trainer), r->e, r->step, r->o->sink, &rows);
    if (!s) s = plumb_run_folder_ledger(r->folder, &rows);
    plumb_text_free(&rows);
    if (s || !r->ledger) return s;
    r->report->evaluated = true;
    plumb_ledger_warn(&r->report->ledger, r->e, r->step, advice, r->o->sink);
    return PLUMB_OK;
}

/* ---- the reference ---- */

static plumb_status set_batch_reference(void *user, size_t i, const plumb_score *score)
{
    keep_ref_logps(((plumb_example **)user)[i], score);
    return PLUMB_OK;
}

/* With sync_ref_model the reference changes: its log-probs are computed for each micro-batch. */
static plumb_status refresh_reference(run *r, plumb_example **batch, size_t count)
{
    plumb_examples some = {.count = count};
    if (!r->synced) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&some.list, count, sizeof *some.list));
    for (size_t i = 0; i < count; i++) some.list[i] = *batch[i];
    plumb_examples_visit visit = {.score = set_batch_reference, .user = batch};
    plumb_sink quiet = r->o->sink ? *r->o->sink : (plumb_sink){0};
    quiet.progress = NULL; /* a pass within a step; it may be interrupted all the same */
    plumb_status s = plumb_examples_score(r->synced->values, &some, &visit, &quiet);
    free(some.list);
    return s;
}

/* reference = alpha policy + (1 - alpha) reference, every ref_model_sync_steps steps. */
static plumb_status sync_reference(run *r)
{
    if (!r->synced || r->step % r->o->pace.ref_model_sync_steps) return PLUMB_OK;
    return plumb_masters_mix(r->synced, plumb_trainer_masters(r->trainer), r->o->pace.ref_model_mixup_alpha);
}

/* A policy that is its own reference must have rewards of exactly 0 in the first step: the forward pass that trains
 * gives the numbers of the pass before it to the bit. */
static plumb_status check_rewards(const run *r)
{
    const plumb_step_metrics *m = &r->report->last;
    if (r->step > 0 || !r->reference || r->reference != r->start || !m->changed) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INTERNAL,
                      "policy and reference are the same weights, but row %" PRId64 " has a reward that is not 0",
                      m->changed_row);
}

/* ---- checkpoints ---- */

enum { WINDOW_REALS = 20 + 2 * PLUMB_STEP_COLUMNS };

/* The window's sums as a flat list, to go on in the middle of one. */
static void pack_window(plumb_step_metrics *w, double *flat, bool read)
{
    double *fields[] = {&w->loss,           &w->grad_norm,           &w->learning_rate,
                        &w->entropy,        &w->mean_token_accuracy, &w->displaced,
                        &w->logits[0],      &w->logits[1],           &w->batch.accuracy,
                        &w->batch.margin,   &w->batch.rewards[0],    &w->batch.rewards[1],
                        &w->batch.logps[0], &w->batch.logps[1]};
    enum { SCALARS = sizeof fields / sizeof *fields };
    _Static_assert(SCALARS + 6 + 2 * PLUMB_STEP_COLUMNS == WINDOW_REALS, "the flat list holds every field");
    for (int i = 0; i < SCALARS; i++) *(read ? fields[i] : &flat[i]) = read ? flat[i] : *fields[i];
    for (int i = 0; i < 6; i++) {
        double *field = &w->quantiles[i / 3][i % 3];
        *(read ? field : &flat[SCALARS + i]) = read ? flat[SCALARS + i] : *field;
    }
    for (int k = 0; k < PLUMB_STEP_COLUMNS; k++) {
        double *sum = &flat[SCALARS + 6 + 2 * k], *count = sum + 1;
        if (read) {
            w->columns[k] = *sum;
            w->column_batches[k] = (int64_t)*count;
        } else {
            *sum = w->columns[k];
            *count = (double)w->column_batches[k];
        }
    }
}

static plumb_status check_weights(const run *r)
{
    return plumb_context(plumb_trainer_check_weights(r->trainer), "step %" PRId64, r->step);
}

static plumb_status save(run *r)
{
    double window[WINDOW_REALS];
    pack_window(&r->window, window, false);
    json_t *state = json_object();
    bool bad = !state || json_object_set_new(state, "window", plumb_json_reals(window, WINDOW_REALS)) ||
               json_object_set_new(state, "window_steps", json_integer(r->window_steps)) ||
               json_object_set_new(state, "window_batches", json_integer(r->window.micro_batches)) ||
               json_object_set_new(state, "last_loss", plumb_json_reals(&r->report->last.loss, 1)) ||
               json_object_set_new(state, "evaluation_due", json_boolean(r->evaluation_due)) ||
               json_object_set_new(state, "gate_due", json_boolean(r->gate_due));
    if (r->o->gate.kind) bad |= json_object_set_new(state, "ln_ches", plumb_json_reals(r->ln_ches, r->e->count)) != 0;
    plumb_status s = bad ? plumb_no_memory() : check_weights(r);
    if (!s) s = plumb_run_folder_save(r->folder, r->trainer, &r->o->trainer.optimizer, r->step, state, r->synced, NULL);
    json_decref(state);
    if (s) return s;
    r->saved = r->step;
    r->unproven = true;
    return PLUMB_OK;
}

static plumb_status load(run *r, const json_t *state)
{
    double window[WINDOW_REALS];
    PLUMB_TRY(plumb_run_folder_load(r->folder, &r->o->trainer.optimizer, r->trainer, r->synced, NULL));
    plumb_json_read_reals(json_object_get(state, "window"), window, WINDOW_REALS);
    pack_window(&r->window, window, true);
    r->window_steps = json_integer_value(json_object_get(state, "window_steps"));
    r->window.micro_batches = json_integer_value(json_object_get(state, "window_batches"));
    r->step = r->saved = r->report->steps = json_integer_value(json_object_get(state, "step"));
    r->unproven = true;
    plumb_json_read_reals(json_object_get(state, "last_loss"), &r->report->last.loss, 1);
    r->evaluation_due = json_is_true(json_object_get(state, "evaluation_due"));
    r->gate_due = json_is_true(json_object_get(state, "gate_due"));
    if (r->o->gate.kind) plumb_json_read_reals(json_object_get(state, "ln_ches"), r->ln_ches, r->e->count);
    return run_gate(r, NULL);
}

/* ---- the loop ---- */

/* The examples of batch k of this step, in r->batch: one for each row, or those of a block. */
static plumb_status take_batch(run *r, int64_t k)
{
    int64_t count;
    const int64_t *rows = plumb_order_batch(r->order, r->step, k, &count);
    const plumb_examples *e = r->e;
    r->batch_count = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t first = e->block ? e->block[rows[i]] : r->rows[rows[i]];
        size_t end = e->block ? e->block[rows[i] + 1] : first + 1;
        PLUMB_TRY(
            plumb_reserve(&r->batch, &r->batch_capacity, r->batch_count + (end - first), sizeof(plumb_example *)));
        for (size_t x = first; x < end; x++) r->batch[r->batch_count++] = &e->list[x];
    }
    return PLUMB_OK;
}

static plumb_status step_tokens(run *r, int64_t *sum)
{
    *sum = 0;
    for (int64_t k = 0; k < plumb_order_batches(r->order, r->step); k++) {
        PLUMB_TRY(take_batch(r, k));
        for (size_t i = 0; i < r->batch_count; i++) *sum += plumb_example_targets(r->batch[i]);
    }
    return PLUMB_OK;
}

static plumb_status one_step(run *r)
{
    int64_t batches = plumb_order_batches(r->order, r->step), tokens;
    plumb_status s = step_tokens(r, &tokens);
    for (int64_t k = 0; k < batches && !s; k++) {
        s = take_batch(r, k);
        if (!s) s = refresh_reference(r, r->batch, r->batch_count);
        if (!s)
            s = plumb_trainer_accumulate(r->trainer, (const plumb_example *const *)r->batch, r->batch_count, batches,
                                         tokens);
    }
    if (!s)
        s = plumb_trainer_update(r->trainer, r->step + 1, plumb_schedule_rate(&r->schedule, r->step), &r->report->last);
    if (!s) s = check_rewards(r);
    return plumb_context(s, "step %" PRId64, r->step + 1);
}

/* The passes over all examples that are due after a step. Each may be interrupted and begun again from the checkpoint
 * of the step. */
static plumb_status run_passes(run *r)
{
    if (r->evaluation_due) PLUMB_TRY(plumb_blame_weights(evaluate(r), r->step));
    r->evaluation_due = false;
    if (r->gate_due) PLUMB_TRY(plumb_blame_weights(run_gate(r, plumb_trainer_policy(r->trainer)), r->step));
    r->gate_due = false;
    return PLUMB_OK;
}

static plumb_status after_step(run *r)
{
    int64_t all = plumb_order_steps(r->order), refresh = r->o->ches_refresh, save_steps = r->o->pace.save_steps;
    add_window(r, &r->report->last);
    if (r->step % r->o->pace.logging_steps == 0 || r->step == all) PLUMB_TRY(log_window(r));
    PLUMB_TRY(sync_reference(r));
    r->evaluation_due = ledger_due(r);
    r->gate_due = r->o->gate.kind != PLUMB_GATE_NONE && refresh && r->step % refresh == 0 && r->step < all;
    PLUMB_TRY(run_passes(r));
    return save_steps && r->step % save_steps == 0 && r->step < all ? save(r) : PLUMB_OK;
}

/* The loss of a step was finite, so the checkpoint that it began from is good and older ones may go. */
static plumb_status prove(run *r)
{
    if (!r->unproven) return PLUMB_OK;
    r->unproven = false;
    return plumb_run_folder_prune(r->folder, r->saved, r->o->pace.save_total_limit);
}

static plumb_status steps(run *r)
{
    int64_t all = plumb_order_steps(r->order);
    if (r->step == 0 && has_ledger(r)) PLUMB_TRY(evaluate(r));
    PLUMB_TRY(run_passes(r));
    while (r->step < all) {
        PLUMB_TRY(plumb_check_interrupt(r->o->sink));
        PLUMB_TRY(one_step(r));
        PLUMB_TRY(prove(r));
        r->report->steps = ++r->step;
        PLUMB_TRY(after_step(r));
        plumb_progress(r->o->sink, "steps", (double)r->step, (double)all);
    }
    return check_weights(r);
}

/* Says which weights are good after a divergence: those of a checkpoint from which a step was made. */
static plumb_status blame_divergence(const run *r, plumb_status s)
{
    static const char smaller[] = "try a smaller --learning_rate or --max_grad_norm";
    int64_t good = plumb_run_folder_newest(r->folder, r->step);
    if (r->step == 0)
        return plumb_cure(s, "the weights are as at the start: the objective cannot take these rows; leave them out");
    if (good < 0) return plumb_cure(s, "no checkpoint was written before; %s", smaller);
    return plumb_cure(s, "%s/checkpoint-%" PRId64 " is the last good checkpoint; %s", r->o->folder, good, smaller);
}

static plumb_status loop(run *r)
{
    r->report->first_step = r->step;
    plumb_status s = steps(r);
    if (plumb_status_code(s) == PLUMB_E_INTERRUPTED && r->step > 0 && r->saved < r->step) { /* what is done is kept */
        plumb_status saved = save(r);
        if (!saved) return s;
        plumb_status_free(s);
        s = saved;
    }
    return plumb_status_code(s) == PLUMB_E_DIVERGED ? blame_divergence(r, s) : s;
}

/* ---- beginning and end ---- */

static plumb_status prepare(run *r, const json_t *state)
{
    const plumb_run_options *o = r->o;
    plumb_ledger_options ledger = {.tokens = o->ledger_tokens,
                                   .gate = o->gate.kind != PLUMB_GATE_NONE,
                                   .reference = r->reference ? PLUMB_LEDGER_REFERENCE : PLUMB_LEDGER_NO_REFERENCE,
                                   .tokenizer = o->tokenizer};
    PLUMB_TRY(plumb_new(&r->rows, r->e->count, sizeof *r->rows));
    PLUMB_TRY(plumb_new(&r->ln_ches, r->e->count, sizeof *r->ln_ches));
    if (o->trainer.objective) PLUMB_TRY(plumb_ledger_new(&ledger, r->start, r->e, &r->ledger));
    PLUMB_TRY(first_passes(r));
    plumb_trainer_options trainer = o->trainer;
    trainer.sink = o->sink;
    PLUMB_TRY(plumb_trainer_new(r->start, &trainer, &r->trainer));
    if (o->pace.sync_ref_model) PLUMB_TRY(plumb_masters_new(r->reference, &r->synced));
    PLUMB_TRY(state ? load(r, state) : run_gate(r, NULL));
    plumb_order_options order = o->order;
    order.rows = (int64_t)(r->e->block ? r->e->blocks : r->report->kept);
    PLUMB_TRY(plumb_order_open(&order, &r->order));
    return plumb_schedule_make(o->pace.lr_scheduler_type, o->pace.learning_rate, o->pace.warmup_steps,
                               o->pace.warmup_ratio, plumb_order_steps(r->order), &r->schedule);
}

static void free_run(run *r)
{
    plumb_run_folder_close(r->folder);
    plumb_trainer_free(r->trainer);
    plumb_masters_free(r->synced);
    plumb_order_close(r->order);
    plumb_ledger_free(r->ledger);
    free(r->rows);
    free(r->batch);
    free(r->ln_ches);
}

plumb_status plumb_run(const plumb_run_options *options, const plumb_model *start, const plumb_model *reference,
                       plumb_examples *e, plumb_run_report *report)
{
    run r = {.o = options, .start = start, .reference = reference, .e = e, .saved = -1, .report = report};
    json_t *state = NULL;
    *report = (plumb_run_report){0};
    plumb_status s = plumb_run_folder_open(options->folder, options->resume, &r.folder, &state);
    if (!s && options->begun) s = options->begun(options->begun_user);
    if (!s) s = prepare(&r, state);
    if (!s) s = loop(&r);
    if (!s) s = plumb_run_folder_finish(r.folder, r.trainer, options->model, options->dtype, options->sink);
    json_decref(state);
    free_run(&r);
    return s;
}

plumb_status plumb_run_flops(const plumb_run_options *o, const plumb_config *config, bool own_reference,
                             const plumb_examples *e, double *flops)
{
    plumb_order *order;
    plumb_order_options how = o->order;
    double pass;
    how.rows = (int64_t)plumb_examples_rows(e);
    if (o->gate.kind == PLUMB_GATE_KEEP_LOWEST) how.rows = plumb_amount_count(&o->gate.keep, how.rows, true);
    PLUMB_TRY(plumb_examples_flops(config, e, &pass));
    PLUMB_TRY(plumb_order_open(&how, &order));
    double steps = (double)plumb_order_steps(order), epochs = plumb_order_epoch(order, plumb_order_steps(order));
    double every = o->pace.ledger_steps ? (double)o->pace.ledger_steps : (double)plumb_order_steps_per_epoch(order);
    plumb_order_close(order);
    double share = epochs * (double)how.rows / (double)plumb_examples_rows(e); /* passes that the steps' rows make */
    double each = 3 + !o->trainer.keep_activations - (o->trainer.adapter != NULL) + o->pace.sync_ref_model;
    bool ledger = o->trainer.objective || o->ledger.note;
    double passes = ledger ? (own_reference ? 1 : 2) + ceil(steps / every) : 0;
    if (o->gate.kind != PLUMB_GATE_NONE && o->ches_refresh) passes += floor((steps - 1) / (double)o->ches_refresh);
    *flops = pass * (passes + each * share);
    return PLUMB_OK;
}

plumb_memory_plan plumb_run_memory(const plumb_run_options *o, const plumb_config *config, const plumb_examples *e)
{
    const plumb_adapter *adapter = o->trainer.adapter;
    int64_t trained = adapter ? (int64_t)plumb_adapter_elements(adapter) : plumb_config_parameters(config);
    int64_t states = (int64_t)plumb_optimizer_states(&o->trainer.optimizer), f = sizeof(float);
    int64_t most = (int64_t)e->longest * o->order.batch;
    int rows = (int)(most < INT32_MAX ? most : INT32_MAX);
    plumb_memory_plan p = {.weights = f * trained * (2 + states),
                           .activations = plumb_training_bytes(config, rows, rows, true),
                           .recomputed = plumb_training_bytes(config, rows, rows, false),
                           .ledger = plumb_ledger_bytes(o->ledger_tokens, e->count, config)};
    if (o->pace.sync_ref_model) p.weights += plumb_masters_bytes(config);
    return p;
}
