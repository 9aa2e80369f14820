#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/targets.h"
#include "compute/gradient.h"
#include "model/backward.h"

struct plumb_trainer {
    plumb_trainer_options options;
    plumb_masters *masters;
    plumb_training *training;
    plumb_compute *compute;
    float *(*state)[PLUMB_OPTIMIZER_STATES]; /* [tensors] */
    plumb_batch batch;
    plumb_targets targets;
    plumb_arena scratch;
    /* gradients of embedded rows wait for the end of the step, so that sums over tied embeddings do not depend on
     * batches */
    plumb_ids step_ids;
    float *step_dembed;
    size_t dembed_capacity;
    /* what the step's metrics are made of */
    plumb_step_metrics sums;
    int64_t micro_batches, displaced, with_start;
    double *logps[2]; /* of all pairs of the step */
    size_t logps_count, logps_capacity[2];
};

/* ---- life ---- */

static plumb_status new_state(plumb_trainer *t)
{
    size_t states = plumb_optimizer_states(&t->options.optimizer);
    PLUMB_TRY(plumb_new(&t->state, t->masters->count, sizeof *t->state));
    for (size_t i = 0; i < t->masters->count; i++)
        for (size_t k = 0; k < states; k++) {
            PLUMB_TRY(plumb_new_aligned(&t->state[i][k], t->masters->list[i].count, sizeof(float)));
            memset(t->state[i][k], 0, t->masters->list[i].count * sizeof(float));
        }
    return PLUMB_OK;
}

plumb_status plumb_trainer_new(const plumb_model *base, const plumb_trainer_options *options, plumb_trainer **out)
{
    plumb_trainer *t;
    *out = NULL;
    PLUMB_TRY(plumb_new(&t, 1, sizeof *t));
    t->options = *options;
    t->compute = base->compute;
    plumb_status s = options->adapter ? plumb_masters_of_adapter(base, options->adapter, &t->masters)
                                      : plumb_masters_new(base, &t->masters);
    t->options.adapter = NULL; /* borrowed for the call */
    if (!s) s = new_state(t);
    if (!s) s = plumb_training_new(t->masters->values, t->masters->gradients, options->keep_activations, &t->training);
    if (!s) plumb_training_watch(t->training, options->sink);
    if (s) {
        plumb_trainer_free(t);
        return s;
    }
    *out = t;
    return PLUMB_OK;
}

void plumb_trainer_free(plumb_trainer *t)
{
    if (!t) return;
    for (size_t i = 0; t->state && i < t->masters->count; i++)
        for (size_t k = 0; k < PLUMB_OPTIMIZER_STATES; k++) free(t->state[i][k]);
    free(t->state);
    plumb_training_free(t->training);
    plumb_masters_free(t->masters);
    plumb_batch_free(&t->batch);
    plumb_targets_free(&t->targets);
    plumb_arena_free(&t->scratch);
    plumb_ids_free(&t->step_ids);
    free(t->step_dembed);
    free(t->logps[0]);
    free(t->logps[1]);
    free(t);
}

const plumb_model *plumb_trainer_policy(const plumb_trainer *t)
{
    return t->masters->values;
}

plumb_masters *plumb_trainer_masters(plumb_trainer *t)
{
    return t->masters;
}

float *const *plumb_trainer_state(const plumb_trainer *t, size_t tensor)
{
    return t->state[tensor];
}

/* ---- one micro-batch ---- */

/* What lives as long as one micro-batch, in the scratch arena. */
typedef struct micro {
    const plumb_example *const *examples;
    size_t count;
    plumb_pair_states *at; /* [count] */
    size_t targets, d;
    const float *hidden;         /* [wanted][d] */
    float *gathered, *dgathered; /* [targets][d] states that predict, and their gradients */
    double *logps, *lse, *g;     /* [targets] */
    plumb_token_statistics *statistics;
    plumb_pair_logps *pairs; /* [count] */
    plumb_pair_loss *losses;
} micro;

static plumb_status pack(plumb_trainer *t, micro *m)
{
    plumb_batch_clear(&t->batch);
    plumb_targets_clear(&t->targets);
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->at, m->count, sizeof *m->at));
    for (size_t i = 0; i < m->count; i++) {
        const plumb_example *e = m->examples[i];
        const int32_t *ids[2] = {e->ids[0], e->ids[1]};
        if (!plumb_example_targets(e)) continue; /* it has a place in the batch, but nothing to compute */
        PLUMB_TRY(plumb_batch_add_pair(&t->batch, ids, e->totals, e->sides, e->prompt, e->shared, false, &m->at[i]));
        PLUMB_TRY(e->trained
                      ? plumb_targets_add_trained(&t->targets, ids[0], e->trained, e->totals[0], e->prompt, &m->at[i])
                      : plumb_targets_add(&t->targets, ids, e->sides, e->prompt, &m->at[i]));
    }
    m->targets = t->targets.tokens.count;
    m->d = (size_t)t->masters->values->config.hidden_size;
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->gathered, m->targets * m->d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->dgathered, m->targets * m->d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->logps, m->targets, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->lse, m->targets, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->g, m->targets, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->statistics, m->targets, sizeof *m->statistics));
    PLUMB_TRY(plumb_arena_new(&t->scratch, &m->pairs, m->count, sizeof *m->pairs));
    return plumb_arena_new(&t->scratch, &m->losses, m->count, sizeof *m->losses);
}

static plumb_unembed unembedding(const plumb_trainer *t)
{
    const plumb_model *m = t->masters->values;
    return (plumb_unembed){.w = &m->unembed, .scale = 1, .cap = (float)m->config.final_cap};
}

static plumb_status forward(plumb_trainer *t, micro *m)
{
    plumb_unembed u = unembedding(t);
    int d = (int)m->d, n = (int)m->targets;
    PLUMB_TRY(plumb_training_forward(t->training, &t->batch, &m->hidden));
    plumb_gather_rows(t->compute, m->hidden, d, t->targets.states.data, n, d, m->gathered, d);
    return plumb_unembed_statistics(t->compute, &u, m->gathered, d, n, t->targets.tokens.data, m->logps, m->lse,
                                    m->statistics);
}

/* The pair as the objective sees it. */
static plumb_pair_logps pair_logps(const micro *m, size_t i)
{
    const plumb_example *e = m->examples[i];
    const plumb_pair_states *at = &m->at[i];
    plumb_pair_logps p = {.weight = e->weight};
    size_t first = (size_t)at->first_target;
    for (int s = 0; s < e->sides; s++) {
        plumb_split_logps(m->logps + first, at, s, &p.head[s], &p.tail[s]);
        for (int k = 0; k < at->targets[s]; k++)
            p.aligned[s] +=
                (m->logps[first + (size_t)k] - m->statistics[first + (size_t)k].log_sum_squares) / at->targets[s];
        p.tokens[s] = at->targets[s];
        p.ref_head[s] = e->ref_head[s];
        p.ref_tail[s] = e->ref_tail[s];
        first += (size_t)at->targets[s];
    }
    return p;
}

static plumb_status not_finite(const micro *m, double loss)
{
    plumb_text rows = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < m->count && !s; i++)
        s = plumb_text_printf(&rows, "%s%" PRId64, i ? ", " : "", m->examples[i]->index);
    if (!s) s = plumb_fail(PLUMB_E_DIVERGED, "the loss is %g in the batch of rows %s", loss, rows.data);
    plumb_text_free(&rows);
    return s;
}

/* The objective over the micro-batch: the gradient g of each target's log-prob, and the metrics. */
static plumb_status preference_loss(plumb_trainer *t, micro *m, int64_t batches)
{
    plumb_batch_loss b;
    for (size_t i = 0; i < m->count; i++) m->pairs[i] = pair_logps(m, i);
    PLUMB_TRY(plumb_objective_run(t->options.objective, m->pairs, m->count, &t->scratch, m->losses, &b));
    if (!isfinite(b.loss)) return not_finite(m, b.loss);
    for (size_t i = 0; i < m->count; i++) {
        const plumb_pair_states *at = &m->at[i];
        int common = at->targets[0] < at->targets[1] ? at->targets[0] : at->targets[1];
        double *g = m->g + at->first_target;
        for (int s = 0; s < 2; s++)
            for (int k = 0; k < at->targets[s]; k++)
                *g++ = (k < common ? m->losses[i].head[s] : m->losses[i].tail[s]) / (double)batches;
    }
    plumb_batch_loss *sum = &t->sums.batch;
    sum->accuracy += b.accuracy;
    sum->margin += b.margin;
    for (int s = 0; s < 2; s++) {
        sum->rewards[s] += b.rewards[s];
        sum->logps[s] += b.logps[s];
    }
    t->sums.loss += b.loss / (double)batches;
    return PLUMB_OK;
}

static plumb_status completion_loss(plumb_trainer *t, micro *m, int64_t step_tokens)
{
    double sum = 0;
    for (size_t i = 0; i < m->targets; i++) {
        sum -= m->logps[i];
        m->g[i] = -1.0 / (double)step_tokens;
    }
    if (!isfinite(sum)) return not_finite(m, sum);
    t->sums.loss += sum / (double)step_tokens;
    return PLUMB_OK;
}

/* Keeps the log-probs of a pair for the step's quantiles, and counts it as displaced. */
static plumb_status note_pair(plumb_trainer *t, const micro *m, size_t i)
{
    const plumb_example *e = m->examples[i];
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(plumb_reserve(&t->logps[s], &t->logps_capacity[s], t->logps_count + 1, sizeof(double)));
        t->logps[s][t->logps_count] = m->losses[i].logps[s];
    }
    t->logps_count++;
    if (!e->has_start) return PLUMB_OK;
    t->with_start++;
    const plumb_pair_logps *p = &m->pairs[i];
    t->displaced += p->head[0] + p->tail[0] < e->start[0];
    if (p->head[0] + p->tail[0] == e->start[0] && p->head[1] + p->tail[1] == e->start[1]) return PLUMB_OK;
    if (!t->sums.changed++) t->sums.changed_row = e->index;
    return PLUMB_OK;
}

/* Sums over the targets of one side (of the whole micro-batch) of what TRL averages over tokens. */
typedef struct token_sums {
    double entropy, logits, correct;
    int64_t tokens;
} token_sums;

static token_sums sum_tokens(const plumb_trainer *t, const micro *m, int side)
{
    token_sums sum = {.tokens = 0};
    for (size_t i = 0; i < m->count; i++) {
        size_t at = (size_t)m->at[i].first_target + (side ? (size_t)m->at[i].targets[0] : 0);
        for (int k = 0; k < m->at[i].targets[side]; k++, at++) {
            sum.entropy += m->statistics[at].entropy;
            sum.logits += m->statistics[at].mean_logit;
            sum.correct += m->statistics[at].best == t->targets.tokens.data[at];
            sum.tokens++;
        }
    }
    return sum;
}

static plumb_status note_batch(plumb_trainer *t, const micro *m)
{
    int sides = t->options.objective ? 2 : 1;
    token_sums sum[2] = {{.tokens = 0}, {.tokens = 0}};
    for (int s = 0; s < sides; s++) {
        sum[s] = sum_tokens(t, m, s);
        if (sum[s].tokens) t->sums.logits[s] += sum[s].logits / (double)sum[s].tokens;
    }
    int64_t tokens = sum[0].tokens + sum[1].tokens;
    if (tokens) t->sums.entropy += (sum[0].entropy + sum[1].entropy) / (double)tokens;
    if (sum[0].tokens) t->sums.mean_token_accuracy += sum[0].correct / (double)sum[0].tokens;
    t->sums.pairs += (int64_t)m->count;
    t->sums.tokens += tokens;
    t->micro_batches++;
    if (sides == 2)
        for (size_t i = 0; i < m->count; i++) PLUMB_TRY(note_pair(t, m, i));
    return PLUMB_OK;
}

/* Where this batch's gradients of embedded rows go; NULL where the embedding is frozen. */
static plumb_status embedded_rows(plumb_trainer *t, size_t d, float **out)
{
    size_t rows = t->batch.ids.count, before = t->step_ids.count;
    *out = NULL;
    if (!t->masters->gradients->embed.weight) return PLUMB_OK;
    PLUMB_TRY(plumb_reserve(&t->step_dembed, &t->dembed_capacity, (before + rows) * d, sizeof(float)));
    *out = t->step_dembed + before * d;
    return plumb_ids_append(&t->step_ids, t->batch.ids.data, rows);
}

/* From the gradients of the targets' log-probs to those of all weights. */
static plumb_status backward(plumb_trainer *t, const micro *m)
{
    plumb_unembed u = unembedding(t);
    plumb_masters *w = t->masters;
    size_t wanted = t->batch.wanted.count;
    int d = (int)m->d;
    float *dhidden, *dembed;
    plumb_pulls p;
    PLUMB_TRY(plumb_arena_new(&t->scratch, &dhidden, wanted * m->d, sizeof(float)));
    PLUMB_TRY(plumb_targets_pulls(&t->targets, wanted, m->g, m->lse, &t->scratch, &p));
    int n = (int)p.count;
    plumb_gather_rows(t->compute, m->hidden, d, p.states, n, d, m->gathered, d);
    PLUMB_TRY(plumb_unembed_gradient(t->compute, &u, m->gathered, d, n, p.pulls, p.lse, m->dgathered, d,
                                     (float *)w->gradients->unembed.weight));
    plumb_scatter_rows(t->compute, m->dgathered, d, p.states, n, d, dhidden, d);
    PLUMB_TRY(embedded_rows(t, m->d, &dembed));
    return plumb_training_backward(t->training, &t->batch, dhidden, dembed);
}

/* Metrics and gradients as at the beginning of a step. */
static void clear_step(plumb_trainer *t)
{
    plumb_masters_zero_gradients(t->masters);
    t->step_ids.count = 0;
    t->sums = (plumb_step_metrics){0};
    t->micro_batches = t->displaced = t->with_start = 0;
    t->logps_count = 0;
}

static plumb_status add_batch(plumb_trainer *t, const plumb_example *const *examples, size_t count, int64_t batches,
                              int64_t step_tokens)
{
    micro m = {.examples = examples, .count = count};
    plumb_arena_reset(&t->scratch);
    PLUMB_TRY(pack(t, &m));
    if (!m.targets) return note_batch(t, &m); /* nothing to learn from: it counts as a batch, as in TRL */
    PLUMB_TRY(forward(t, &m));
    PLUMB_TRY(t->options.objective ? preference_loss(t, &m, batches) : completion_loss(t, &m, step_tokens));
    PLUMB_TRY(note_batch(t, &m));
    return backward(t, &m);
}

plumb_status plumb_trainer_accumulate(plumb_trainer *t, const plumb_example *const *examples, size_t count,
                                      int64_t batches, int64_t step_tokens)
{
    plumb_status s = add_batch(t, examples, count, batches, step_tokens);
    if (s) clear_step(t); /* a backward pass that was stopped has added a part of its gradients */
    return s;
}

/* ---- the update ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const plumb_gradient *)a)->name, ((const plumb_gradient *)b)->name);
}

static plumb_status gradient_norm(plumb_trainer *t, double *norm)
{
    const plumb_masters *w = t->masters;
    plumb_gradient *list;
    plumb_arena_reset(&t->scratch);
    PLUMB_TRY(plumb_arena_new(&t->scratch, &list, w->count, sizeof *list));
    for (size_t i = 0; i < w->count; i++)
        list[i] = (plumb_gradient){w->list[i].name, w->list[i].gradient, w->list[i].count};
    qsort(list, w->count, sizeof *list, compare_names);
    return plumb_gradient_norm(list, w->count, norm);
}

static int compare_doubles(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void take_quantiles(plumb_trainer *t, plumb_step_metrics *out)
{
    static const double share[3] = {0.05, 0.5, 0.95};
    for (int s = 0; s < 2; s++) {
        if (!t->logps_count) continue;
        qsort(t->logps[s], t->logps_count, sizeof(double), compare_doubles);
        for (int q = 0; q < 3; q++) {
            double at = share[q] * (double)(t->logps_count - 1), below = floor(at);
            double a = t->logps[s][(size_t)below], b = t->logps[s][(size_t)ceil(at)];
            out->quantiles[s][q] = a + (b - a) * (at - below);
        }
    }
}

static void take_metrics(plumb_trainer *t, double norm, double rate, plumb_step_metrics *out)
{
    double n = (double)t->micro_batches;
    *out = t->sums;
    out->micro_batches = t->micro_batches;
    out->grad_norm = norm;
    out->learning_rate = rate;
    out->entropy /= n;
    out->mean_token_accuracy /= n;
    out->batch.accuracy /= n;
    out->batch.margin /= n;
    for (int s = 0; s < 2; s++) {
        out->logits[s] /= n;
        out->batch.rewards[s] /= n;
        out->batch.logps[s] /= n;
    }
    out->displaced = t->with_start ? (double)t->displaced / (double)t->with_start : NAN;
    take_quantiles(t, out);
}

plumb_status plumb_trainer_update(plumb_trainer *t, int64_t step, double learning_rate, plumb_step_metrics *metrics)
{
    plumb_masters *w = t->masters;
    const plumb_config *c = &w->values->config;
    double norm;
    if (w->gradients->embed.weight)
        plumb_embed_gradient(t->compute, t->step_ids.data, (int)t->step_ids.count, c->hidden_size,
                             (float)c->embed_scale, t->step_dembed, c->hidden_size,
                             (float *)w->gradients->embed.weight);
    t->step_ids.count = 0;
    plumb_masters_gather_gradients(w);
    PLUMB_TRY(gradient_norm(t, &norm));
    if (!isfinite(norm)) return plumb_fail(PLUMB_E_DIVERGED, "the gradient is not finite");
    float clip = plumb_clip_factor(norm, t->options.max_grad_norm);
#pragma omp parallel for schedule(dynamic) num_threads(plumb_compute_threads(t->compute))
    for (size_t i = 0; i < w->count; i++)
        plumb_optimizer_step(&t->options.optimizer, step, learning_rate, w->list[i].decay ? t->options.weight_decay : 0,
                             clip, w->list[i].value, w->list[i].gradient, t->state[i], w->list[i].count);
    take_metrics(t, norm, learning_rate, metrics);
    clear_step(t);
    plumb_status s = plumb_masters_changed(w);
    plumb_status bad = s ? plumb_trainer_check_weights(t) : PLUMB_OK; /* says it as what it is: no fault of the input */
    if (!bad) return s;
    plumb_status_free(s);
    return bad;
}

plumb_status plumb_trainer_check_weights(const plumb_trainer *t)
{
    const plumb_masters *w = t->masters;
    for (size_t i = 0; i < w->count; i++)
        for (size_t k = 0; k < w->list[i].count; k++)
            if (!isfinite(w->list[i].value[k]))
                return plumb_fail(PLUMB_E_DIVERGED, "%s holds a NaN or an infinity", w->list[i].name);
    return PLUMB_OK;
}
