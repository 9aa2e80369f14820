#include "train/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/reward.h"
#include "compute/gradient.h"
#include "model/backward.h"

struct plumb_trainer {
    plumb_trainer_options options;
    plumb_masters *masters;
    plumb_training *training;
    plumb_compute *compute;
    float *(*state)[PLUMB_OPTIMIZER_STATES]; /* [tensors] */
    plumb_micro_batch micro;
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

static plumb_status preference_loss(void *user, plumb_step_batch *b);
static plumb_status completion_loss(void *user, plumb_step_batch *b);

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
    if (!options->loss.run)
        t->options.loss = (plumb_step_loss){.run = options->objective ? preference_loss : completion_loss, .user = t};
    t->compute = base->compute;
    plumb_status s = options->adapter ? plumb_masters_of_adapter(base, options->adapter, &t->masters)
                                      : plumb_masters_new(base, &t->masters);
    t->micro.temperature = options->temperature;
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
    plumb_micro_free(&t->micro);
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

/* The pair as the objective sees it. */
static plumb_pair_logps pair_logps(const plumb_micro_batch *m, size_t i)
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

static plumb_status not_finite(const plumb_micro_batch *m, double loss)
{
    plumb_text rows = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < m->count && !s; i++)
        s = plumb_text_printf(&rows, "%s%" PRId64, i ? ", " : "", m->examples[i]->index);
    if (!s)
        s = plumb_fail(PLUMB_E_DIVERGED, "the loss is %s in the batch of rows %s",
                       isnan(loss) ? "not a number" : "infinite", rows.data);
    plumb_text_free(&rows);
    return s;
}

/* Keeps the log-probs of a pair for the step's quantiles, and counts it as displaced. */
static plumb_status note_pair(plumb_trainer *t, const plumb_example *e, const plumb_pair_logps *p,
                              const plumb_pair_loss *loss)
{
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(plumb_reserve(&t->logps[s], &t->logps_capacity[s], t->logps_count + 1, sizeof(double)));
        t->logps[s][t->logps_count] = loss->logps[s];
    }
    t->logps_count++;
    if (!e->has_start) return PLUMB_OK;
    t->with_start++;
    t->displaced += p->head[0] + p->tail[0] < e->start[0];
    if (p->head[0] + p->tail[0] == e->start[0] && p->head[1] + p->tail[1] == e->start[1]) return PLUMB_OK;
    if (!t->sums.changed++) t->sums.changed_row = e->index;
    return PLUMB_OK;
}

static void note_preferences(plumb_trainer *t, const plumb_batch_loss *b)
{
    plumb_batch_loss *sum = &t->sums.batch;
    sum->accuracy += b->accuracy;
    sum->margin += b->margin;
    for (int s = 0; s < 2; s++) {
        sum->rewards[s] += b->rewards[s];
        sum->logps[s] += b->logps[s];
    }
}

/* The objective over the pairs of the micro-batch. */
static plumb_status preference_loss(void *user, plumb_step_batch *b)
{
    plumb_trainer *t = user;
    const plumb_micro_batch *m = b->m;
    plumb_pair_logps *pairs;
    plumb_pair_loss *losses;
    plumb_batch_loss means;
    PLUMB_TRY(plumb_arena_new(b->scratch, &pairs, m->count, sizeof *pairs));
    PLUMB_TRY(plumb_arena_new(b->scratch, &losses, m->count, sizeof *losses));
    for (size_t i = 0; i < m->count; i++) pairs[i] = pair_logps(m, i);
    PLUMB_TRY(plumb_objective_run(t->options.objective, pairs, m->count, b->scratch, losses, &means));
    b->loss = means.loss / (double)b->batches;
    for (size_t i = 0; i < m->count; i++) {
        const plumb_pair_states *at = &m->at[i];
        int common = at->targets[0] < at->targets[1] ? at->targets[0] : at->targets[1];
        double *g = b->g + at->first_target;
        for (int s = 0; s < 2; s++)
            for (int k = 0; k < at->targets[s]; k++)
                *g++ = (k < common ? losses[i].head[s] : losses[i].tail[s]) / (double)b->batches;
        PLUMB_TRY(note_pair(t, m->examples[i], &pairs[i], &losses[i]));
    }
    note_preferences(t, &means);
    return PLUMB_OK;
}

/* SFT. */
static plumb_status completion_loss(void *user, plumb_step_batch *b)
{
    (void)user;
    for (size_t i = 0; i < b->m->targets; i++) {
        b->loss -= b->m->logps[i];
        b->g[i] = -1.0 / (double)b->step_tokens;
    }
    b->loss /= (double)b->step_tokens;
    return PLUMB_OK;
}

/* Sums over the targets of one side (of the whole micro-batch) of what TRL averages over tokens. */
typedef struct token_sums {
    double entropy, logits, correct;
    int64_t tokens;
} token_sums;

static token_sums sum_tokens(const plumb_micro_batch *m, int side)
{
    token_sums sum = {.tokens = 0};
    for (size_t i = 0; i < m->count; i++) {
        size_t at = (size_t)m->at[i].first_target + (side ? (size_t)m->at[i].targets[0] : 0);
        for (int k = 0; k < m->at[i].targets[side]; k++, at++) {
            sum.entropy += m->statistics[at].entropy;
            sum.logits += m->statistics[at].mean_logit;
            sum.correct += m->statistics[at].best == m->tokens[at];
            sum.tokens++;
        }
    }
    return sum;
}

static void note_batch(plumb_trainer *t, const plumb_micro_batch *m)
{
    int sides = t->options.objective ? 2 : 1;
    token_sums sum[2] = {{.tokens = 0}, {.tokens = 0}};
    for (int s = 0; s < sides; s++) {
        sum[s] = sum_tokens(m, s);
        if (sum[s].tokens) t->sums.logits[s] += sum[s].logits / (double)sum[s].tokens;
    }
    int64_t tokens = sum[0].tokens + sum[1].tokens;
    if (tokens) t->sums.entropy += (sum[0].entropy + sum[1].entropy) / (double)tokens;
    if (sum[0].tokens) t->sums.mean_token_accuracy += sum[0].correct / (double)sum[0].tokens;
    t->sums.pairs += (int64_t)m->count;
    t->sums.tokens += tokens;
    t->micro_batches++;
}

static plumb_status run_loss(plumb_trainer *t, plumb_step_batch *b)
{
    for (int k = 0; k < PLUMB_STEP_COLUMNS; k++) b->columns[k] = NAN;
    PLUMB_TRY(plumb_arena_new(b->scratch, &b->g, b->m->targets, sizeof *b->g));
    PLUMB_TRY(t->options.loss.run(t->options.loss.user, b));
    if (!isfinite(b->loss)) return not_finite(b->m, b->loss);
    t->sums.loss += b->loss;
    for (int k = 0; k < PLUMB_STEP_COLUMNS; k++) {
        if (isnan(b->columns[k])) continue;
        t->sums.columns[k] += b->columns[k];
        t->sums.column_batches[k]++;
    }
    return PLUMB_OK;
}

/* Where this batch's gradients of embedded rows go; NULL where the embedding is frozen. */
static plumb_status embedded_rows(plumb_trainer *t, float **out)
{
    const plumb_ids *ids = &t->micro.batch.ids;
    size_t d = (size_t)t->micro.d, before = t->step_ids.count;
    *out = NULL;
    if (!t->masters->gradients->embed.weight) return PLUMB_OK;
    PLUMB_TRY(plumb_reserve(&t->step_dembed, &t->dembed_capacity, (before + ids->count) * d, sizeof(float)));
    *out = t->step_dembed + before * d;
    return plumb_ids_append(&t->step_ids, ids->data, ids->count);
}

/* From the derivatives g of the targets through the head: to the states that it read, and to its own weights. */
static plumb_status head_backward(plumb_trainer *t, const double *g, const float *hidden, float *dhidden)
{
    plumb_micro_batch *m = &t->micro;
    const plumb_model *values = t->masters->values, *gradients = t->masters->gradients;
    int d = m->d;
    float *dgathered;
    plumb_pulls p;
    PLUMB_TRY(plumb_arena_new(&m->scratch, &dgathered, m->targets * (size_t)d, sizeof(float)));
    if (values->config.head == PLUMB_HEAD_SCORE) {
        plumb_score_gradient(values, m->gathered, d, (int)m->targets, g, dgathered, d,
                             (float *)plumb_model_score(gradients)->weight);
        plumb_scatter_rows(t->compute, dgathered, d, m->lists.states.data, (int)m->targets, d, dhidden, d);
        return PLUMB_OK;
    }
    plumb_unembed u = plumb_unembed_tempered(values, m->temperature);
    PLUMB_TRY(plumb_targets_pulls(&m->lists, m->batch.wanted.count, g, m->lse, &m->scratch, &p));
    int n = (int)p.count;
    plumb_gather_rows(t->compute, hidden, d, p.states, n, d, m->gathered, d);
    PLUMB_TRY(plumb_unembed_gradient(t->compute, &u, m->gathered, d, n, p.pulls, p.lse, dgathered, d,
                                     (float *)gradients->unembed.weight));
    plumb_scatter_rows(t->compute, dgathered, d, p.states, n, d, dhidden, d);
    return PLUMB_OK;
}

/* From the derivatives of the targets to those of all weights. */
static plumb_status backward(plumb_trainer *t, const double *g, const float *hidden)
{
    plumb_micro_batch *m = &t->micro;
    float *dhidden, *dembed;
    PLUMB_TRY(plumb_arena_new(&m->scratch, &dhidden, m->batch.wanted.count * (size_t)m->d, sizeof(float)));
    PLUMB_TRY(head_backward(t, g, hidden, dhidden));
    PLUMB_TRY(embedded_rows(t, &dembed));
    return plumb_training_backward(t->training, &m->batch, dhidden, dembed);
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
    plumb_micro_batch *m = &t->micro;
    plumb_step_batch b = {.m = m, .batches = batches, .step_tokens = step_tokens, .scratch = &m->scratch};
    const float *hidden;
    PLUMB_TRY(plumb_micro_pack(m, t->masters->values, examples, count));
    if (m->targets) {
        PLUMB_TRY(plumb_training_forward(t->training, &m->batch, &hidden));
        PLUMB_TRY(plumb_micro_head(m, t->masters->values, hidden));
        PLUMB_TRY(run_loss(t, &b));
        PLUMB_TRY(backward(t, b.g, hidden));
    }
    note_batch(t, m); /* one with nothing to learn from counts as a batch, as in TRL */
    return PLUMB_OK;
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
    plumb_arena_reset(&t->micro.scratch);
    PLUMB_TRY(plumb_arena_new(&t->micro.scratch, &list, w->count, sizeof *list));
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

/* As transformers has it, the embedding of the pad token learns nothing from where it stands in a text, even where it
 * is the token that ends every turn. */
static void embed_gradient(plumb_trainer *t)
{
    const plumb_config *c = &t->masters->values->config;
    float *dtable = (float *)t->masters->gradients->embed.weight;
    size_t d = (size_t)c->hidden_size;
    if (!dtable) return;
    for (size_t i = 0; i < t->step_ids.count; i++)
        if (t->step_ids.data[i] == c->padding_row) memset(t->step_dembed + i * d, 0, d * sizeof(float));
    plumb_embed_gradient(t->compute, t->step_ids.data, (int)t->step_ids.count, c->hidden_size, (float)c->embed_scale,
                         t->step_dembed, c->hidden_size, dtable);
}

plumb_status plumb_trainer_update(plumb_trainer *t, int64_t step, double learning_rate, plumb_step_metrics *metrics)
{
    plumb_masters *w = t->masters;
    double norm;
    embed_gradient(t);
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
