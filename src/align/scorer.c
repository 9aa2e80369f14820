#include "align/scorer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "align/edit_distance.h"
#include "align/gradient_products.h"
#include "align/targets.h"
#include "model/layer.h"

/* Skipped rows wait behind a batch that is not full; this bounds them. */
enum { MOST_WAITING = 4096 };

/* A row that waits for its batch. */
typedef struct waiting {
    plumb_score score;
    plumb_pair_states at;
} waiting;

struct plumb_scorer {
    plumb_scorer_options options;
    const plumb_model *model;
    plumb_forward *forward;
    plumb_gradient_products *gradients; /* with PLUMB_NEED_GRADIENT */
    plumb_batch batch;
    waiting *rows;
    size_t count, capacity;
    plumb_arena scratch;
    plumb_targets targets;
    float *gathered; /* [targets][d] */
    size_t gathered_capacity;
    double *logps, *lse; /* [targets] */
    size_t logps_capacity, lse_capacity;
    double flops;
    int needs, largest_rows, largest_wanted, largest_targets;
    int longest;          /* tokens of a side */
    int64_t theory_bytes; /* of the pair that takes most */
};

int plumb_measures_need(uint32_t measures)
{
    size_t count;
    const plumb_measure *table = plumb_measures(&count);
    int needs = 0;
    for (size_t i = 0; i < count; i++)
        if (measures >> i & 1) needs |= table[i].needs;
    if (needs & PLUMB_NEED_THEORY) needs |= PLUMB_NEED_LOGPS;
    if (needs & PLUMB_NEED_LOGPS) needs |= PLUMB_NEED_STATES;
    return needs;
}

plumb_status plumb_scorer_new(const plumb_model *model, const plumb_scorer_options *options, plumb_scorer **out)
{
    plumb_scorer *s;
    *out = NULL;
    PLUMB_TRY(plumb_new(&s, 1, sizeof *s));
    s->options = *options;
    if (s->options.batch_rows <= 0) s->options.batch_rows = options->stream ? PLUMB_STREAM_ROWS : PLUMB_BATCH_ROWS;
    s->model = model;
    s->needs = plumb_measures_need(options->measures);
    plumb_status status = PLUMB_OK;
    if (s->needs) {
        status =
            model ? plumb_forward_new(model, &s->forward) : plumb_fail(PLUMB_E_INTERNAL, "these measures need a model");
    }
    if (!status && s->needs & PLUMB_NEED_GRADIENT && !options->plan)
        status = plumb_gradient_products_new(model, &s->gradients);
    if (!status && s->forward) plumb_forward_watch(s->forward, options->sink);
    if (!status && s->forward && options->stream && !options->plan) status = plumb_forward_stream(s->forward);
    if (!status && s->gradients) plumb_gradient_products_watch(s->gradients, options->sink);
    if (status) {
        plumb_scorer_free(s);
        return status;
    }
    *out = s;
    return PLUMB_OK;
}

void plumb_scorer_free(plumb_scorer *s)
{
    if (!s) return;
    plumb_forward_free(s->forward);
    plumb_gradient_products_free(s->gradients);
    plumb_batch_free(&s->batch);
    plumb_arena_free(&s->scratch);
    plumb_targets_free(&s->targets);
    free(s->rows);
    free(s->gathered);
    free(s->logps);
    free(s->lse);
    free(s);
}

double plumb_scorer_flops(const plumb_scorer *s)
{
    return s->flops;
}

void plumb_scorer_largest(const plumb_scorer *s, int *rows, int *wanted)
{
    *rows = s->largest_rows;
    *wanted = s->largest_wanted;
}

/* What the tokens alone tell. */
static plumb_status score_tokens(plumb_scorer *s, waiting *w, const plumb_pair *pair)
{
    plumb_score *score = &w->score;
    score->prompt_tokens = pair->prompt;
    for (int side = 0; side < 2; side++) score->tokens[side] = (int)pair->ids[side].count - pair->prompt;
    score->shared_tokens = pair->shared;
    score->boundary_clean = pair->boundary_clean;
    score->truncated = pair->truncated;
    int edit = plumb_measure_find("edit"), distance, n = score->tokens[0], m = score->tokens[1];
    if (!(s->options.measures >> edit & 1)) return PLUMB_OK;
    PLUMB_TRY(plumb_edit_distance(&s->scratch, pair->ids[0].data + pair->prompt, n, pair->ids[1].data + pair->prompt, m,
                                  &distance));
    plumb_arena_reset(&s->scratch);
    score->edit_similarity = 1.0 - (double)distance / (n > m ? n : m);
    return PLUMB_OK;
}

plumb_status plumb_scorer_add(plumb_scorer *s, int64_t index, uint64_t row, const plumb_pair *pair)
{
    bool packed = s->needs & ~PLUMB_NEED_GRADIENT && !pair->skip,
         last_state = s->options.compat == PLUMB_COMPAT_OFFICIAL;
    const int32_t *ids[2] = {pair->ids[0].data, pair->ids[1].data};
    int totals[2] = {(int)pair->ids[0].count, (int)pair->ids[1].count};
    if (packed && s->batch.ids.count) {
        int64_t rows = plumb_pair_rows(totals, 2, pair->shared, last_state);
        if ((int64_t)s->batch.ids.count + rows > s->options.batch_rows) PLUMB_TRY(plumb_scorer_flush(s));
    }
    if (s->count >= MOST_WAITING) PLUMB_TRY(plumb_scorer_flush(s));
    PLUMB_TRY(plumb_reserve(&s->rows, &s->capacity, s->count + 1, sizeof *s->rows));
    waiting *w = &s->rows[s->count++];
    *w = (waiting){.score = {.index = index, .row = row, .skip = pair->skip}};
    if (!pair->skip) PLUMB_TRY(score_tokens(s, w, pair));
    for (int side = 0; side < 2 && !pair->skip; side++)
        if (totals[side] > s->longest) s->longest = totals[side];
    if (s->needs & PLUMB_NEED_GRADIENT && !pair->skip) /* a forward and a backward pass of each side */
        s->flops += 6.0 * (double)plumb_config_parameters(&s->model->config) * (totals[0] + totals[1]);
    if (s->gradients && !pair->skip)
        PLUMB_TRY(plumb_gradient_products_run(s->gradients, ids, totals, pair->prompt, &w->score.grad_plus_plus,
                                              &w->score.grad_plus_minus));
    if (!packed) return s->batch.ids.count ? PLUMB_OK : plumb_scorer_flush(s);
    PLUMB_TRY(plumb_batch_add_pair(&s->batch, ids, totals, 2, pair->prompt, pair->shared, last_state, &w->at));
    return s->needs & PLUMB_NEED_LOGPS ? plumb_targets_add(&s->targets, ids, 2, pair->prompt, &w->at) : PLUMB_OK;
}

/* What a measure that is not finite means: the weights are (plumb_model_check), so they were too large for fp32. */
static plumb_status overflow(plumb_status s, int64_t index)
{
    return plumb_cure(plumb_context(s, "row %" PRId64, index),
                      "the model's weights are finite but overflow in fp32: the checkpoint is damaged or diverged; use "
                      "another one");
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* ches, ln_ches and last_hidden from the states of a pair. */
static plumb_status score_states(plumb_scorer *s, waiting *w, const float *hidden)
{
    int d = s->model->config.hidden_size;
    double *sum[2];
    const float *last[2];
    for (int side = 0; side < 2; side++) {
        int own = w->at.states[side] - w->at.place.prefix_wanted;
        PLUMB_TRY(plumb_arena_new(&s->scratch, &sum[side], (size_t)d, sizeof(double)));
        plumb_sum_states(hidden + (size_t)w->at.place.first * d, d, w->at.place.prefix_wanted, d, sum[side]);
        plumb_sum_states(hidden + (size_t)w->at.place.branch[side] * d, d, own, d, sum[side]);
        last[side] = hidden + (size_t)plumb_pair_state_row(&w->at, side, w->at.states[side] - 1) * d;
    }
    plumb_score *score = &w->score;
    double n = w->at.states[0], m = w->at.states[1];
    score->dot = dot(sum[0], sum[1], d);
    score->norm2[0] = dot(sum[0], sum[0], d);
    score->norm2[1] = dot(sum[1], sum[1], d);
    score->ches = score->dot - score->norm2[0];
    score->ln_ches = score->dot / (n * m) - score->norm2[0] / (n * n);
    score->last_hidden = 0;
    for (int j = 0; j < d; j++) score->last_hidden += (double)last[0][j] * last[1][j];
    plumb_arena_reset(&s->scratch);
    return PLUMB_OK;
}

static plumb_unembed unembedding(const plumb_model *m)
{
    return (plumb_unembed){.w = &m->unembed, .scale = 1, .cap = (float)m->config.final_cap};
}

/* Log-probabilities of all targets of the batch at once. */
static plumb_status run_unembedding(plumb_scorer *s, const float *hidden)
{
    size_t n = s->targets.tokens.count, d = (size_t)s->model->config.hidden_size;
    plumb_unembed u = unembedding(s->model);
    PLUMB_TRY(plumb_reserve(&s->gathered, &s->gathered_capacity, n * d, sizeof(float)));
    PLUMB_TRY(plumb_reserve(&s->logps, &s->logps_capacity, n, sizeof(double)));
    PLUMB_TRY(plumb_reserve(&s->lse, &s->lse_capacity, n, sizeof(double)));
    plumb_gather_rows(s->model->compute, hidden, (int)d, s->targets.states.data, (int)n, (int)d, s->gathered, (int)d);
    return plumb_unembed_logps(s->model->compute, &u, s->gathered, (int)d, (int)n, s->targets.tokens.data, s->logps,
                               s->lse);
}

static plumb_status score_theory(plumb_scorer *s, waiting *w)
{
    plumb_unembed u = unembedding(s->model);
    size_t at = (size_t)w->at.first_target, d = (size_t)s->model->config.hidden_size;
    plumb_score_terms terms = {.in = {.u = &u,
                                      .h = s->gathered + at * d,
                                      .n = w->at.targets[0],
                                      .m = w->at.targets[1],
                                      .shared = w->at.shared_states,
                                      .targets = s->targets.tokens.data + at,
                                      .lse = s->lse + at},
                               .logps = s->logps + at};
    for (int side = 0; side < 2; side++)
        if (terms.in.shared > w->at.targets[side]) terms.in.shared = w->at.targets[side];
    plumb_status status = plumb_theory_terms(s->model->compute, &terms.in, &s->scratch,
                                             s->options.terms ? &terms.parts : NULL, &w->score.theory);
    if (plumb_status_code(status) == PLUMB_E_INPUT) status = overflow(status, w->score.index);
    if (!status && s->options.terms) status = s->options.terms(s->options.user, &w->score, &terms);
    plumb_arena_reset(&s->scratch);
    return status;
}

static plumb_status score_logps(plumb_scorer *s, waiting *w)
{
    size_t at = (size_t)w->at.first_target;
    for (int side = 0; side < 2; side++) {
        plumb_split_logps(s->logps + at, &w->at, side, &w->score.head[side], &w->score.tail[side]);
        w->score.logps[side] = w->score.head[side] + w->score.tail[side];
        at += (size_t)w->at.targets[side];
    }
    return s->needs & PLUMB_NEED_THEORY ? score_theory(s, w) : PLUMB_OK;
}

/* What a batch costs at the least, and how large it is. */
static void count_batch(plumb_scorer *s)
{
    double per_target = 2.0 * s->model->config.hidden_size * s->model->config.vocab_size;
    int rows = (int)s->batch.ids.count, wanted = (int)s->batch.wanted.count;
    s->flops += plumb_forward_flops(&s->model->config, &s->batch);
    if (s->needs & PLUMB_NEED_LOGPS) s->flops += per_target * (double)s->targets.tokens.count;
    if (s->needs & PLUMB_NEED_THEORY) s->flops += 2 * per_target * (double)s->targets.tokens.count;
    if (rows > s->largest_rows) s->largest_rows = rows;
    if (wanted > s->largest_wanted) s->largest_wanted = wanted;
    if ((int)s->targets.tokens.count > s->largest_targets) s->largest_targets = (int)s->targets.tokens.count;
    for (size_t i = 0; i < s->count && s->needs & PLUMB_NEED_THEORY; i++) {
        const int *n = s->rows[i].at.targets;
        int64_t bytes = s->rows[i].score.skip ? 0 : plumb_theory_bytes(n[0], n[1], s->model->config.hidden_size);
        if (bytes > s->theory_bytes) s->theory_bytes = bytes;
    }
}

int64_t plumb_scorer_bytes(const plumb_scorer *s)
{
    if (!s->needs || !s->longest) return 0;
    const plumb_config *c = &s->model->config;
    int64_t d = c->hidden_size, target = d * (int64_t)sizeof(float) + 2 * (int64_t)(sizeof(double) + sizeof(int32_t));
    int rows = s->largest_rows > s->longest ? s->largest_rows : s->longest;
    int64_t bytes = plumb_linear_bytes(s->model->compute, rows, plumb_config_depth(c));
    int64_t scratch = plumb_attend_bytes(s->model->compute, c->head_dim), unembedding = 0;
    if (s->largest_rows)
        bytes += plumb_forward_bytes(c, s->largest_rows, s->largest_wanted) + plumb_rotations_bytes(c, s->longest);
    if (s->needs & PLUMB_NEED_LOGPS) {
        bytes += target * s->largest_targets + s->theory_bytes;
        unembedding = plumb_unembed_bytes(s->largest_targets);
    }
    if (s->needs & PLUMB_NEED_GRADIENT) {
        int64_t side = plumb_unembed_bytes(s->longest);
        bytes += plumb_gradient_products_bytes(c, s->longest);
        if (side > unembedding) unembedding = side;
    }
    return bytes + (scratch > unembedding ? scratch : unembedding);
}

/* The response token at which the two sides first differ. */
static int differing_position(const waiting *w)
{
    int shared = w->score.shared_tokens - w->score.prompt_tokens, last = w->at.targets[0];
    if (w->at.targets[1] < last) last = w->at.targets[1];
    return shared < 0 ? 0 : shared < last ? shared : last - 1;
}

static plumb_status show_differing(plumb_scorer *s, const waiting *w, const float *hidden)
{
    size_t row = (size_t)plumb_pair_state_row(&w->at, 0, differing_position(w));
    return s->options.differing(s->options.user, &w->score, hidden + row * (size_t)s->model->config.hidden_size);
}

static plumb_status check_score(const plumb_scorer *s, const plumb_score *score)
{
    const char *name = score->skip ? NULL : plumb_score_not_finite(score, s->options.measures);
    return name ? overflow(plumb_fail(PLUMB_E_INPUT, "\"%s\" is not finite", name), score->index) : PLUMB_OK;
}

static plumb_status run_batch(plumb_scorer *s)
{
    const float *hidden;
    count_batch(s);
    if (s->options.plan) return PLUMB_OK;
    PLUMB_TRY(plumb_forward_run(s->forward, &s->batch, &hidden));
    if (s->needs & PLUMB_NEED_LOGPS) {
        PLUMB_TRY(run_unembedding(s, hidden));
        PLUMB_TRY(plumb_model_check(s->model)); /* before what came of them is looked at */
    }
    for (size_t i = 0; i < s->count; i++) {
        if (s->rows[i].score.skip) continue;
        PLUMB_TRY(plumb_check_interrupt(s->options.sink));
        PLUMB_TRY(score_states(s, &s->rows[i], hidden));
        if (s->needs & PLUMB_NEED_LOGPS) PLUMB_TRY(score_logps(s, &s->rows[i]));
        if (s->options.differing) PLUMB_TRY(show_differing(s, &s->rows[i], hidden));
    }
    if (s->options.stream) plumb_model_drop_layer(s->model, s->model->config.layers);
    return s->needs & PLUMB_NEED_THEORY ? plumb_model_check(s->model) : PLUMB_OK;
}

plumb_status plumb_scorer_flush(plumb_scorer *s)
{
    if (s->batch.ids.count) PLUMB_TRY(run_batch(s));
    for (size_t i = 0; i < s->count && !s->options.plan; i++) {
        PLUMB_TRY(check_score(s, &s->rows[i].score));
        PLUMB_TRY(s->options.emit(s->options.user, &s->rows[i].score));
    }
    s->count = 0;
    plumb_targets_clear(&s->targets);
    plumb_batch_clear(&s->batch);
    return PLUMB_OK;
}
