#include "align/reward.h"

#include <math.h>
#include <stdlib.h>

#include "align/scorer.h"
#include "align/targets.h"
#include "base/dtype.h"
#include "model/adapter.h"
#include "model/forward.h"
#include "model/layer.h"

/* ---- the head ---- */

static double weight(const plumb_linear *w, int i)
{
    return plumb_load(w->weight, w->dtype, (size_t)i);
}

void plumb_score_values(const plumb_model *m, const float *h, int ldh, int rows, double *v)
{
    const plumb_linear *w = plumb_model_score(m);
    for (int i = 0; i < rows; i++, h += ldh) {
        v[i] = 0;
        for (int k = 0; k < w->k; k++) v[i] += (double)h[k] * weight(w, k);
    }
}

void plumb_score_gradient(const plumb_model *m, const float *h, int ldh, int rows, const double *g, float *dh, int lddh,
                          float *dw)
{
    const plumb_linear *w = plumb_model_score(m);
    for (int i = 0; i < rows; i++, h += ldh, dh += lddh)
        for (int k = 0; k < w->k; k++) {
            dh[k] = (float)(g[i] * weight(w, k));
            if (dw) dw[k] = fmaf((float)g[i], h[k], dw[k]);
        }
}

int plumb_reward_position(const int32_t *ids, int count, int64_t pad_id)
{
    int at = count - 1;
    while (at > 0 && ids[at] == pad_id) at--;
    return at;
}

/* ---- sequences ---- */

struct plumb_rewarder {
    const plumb_model *model;
    const plumb_sink *sink;
    plumb_forward *forward;
    plumb_batch batch;
    plumb_pair_states *at; /* of the sequences of the batch */
    size_t capacity;
};

plumb_status plumb_rewarder_new(const plumb_model *model, const plumb_sink *sink, plumb_rewarder **out)
{
    plumb_rewarder *r;
    *out = NULL;
    if (model->config.head != PLUMB_HEAD_SCORE)
        return plumb_fail(PLUMB_E_INTERNAL, "rewards are asked of a model without a reward head");
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->model = model;
    r->sink = sink;
    plumb_status s = plumb_forward_new(model, &r->forward);
    if (s) {
        plumb_rewarder_free(r);
        return s;
    }
    plumb_forward_watch(r->forward, sink);
    *out = r;
    return PLUMB_OK;
}

void plumb_rewarder_free(plumb_rewarder *r)
{
    if (!r) return;
    plumb_forward_free(r->forward);
    plumb_batch_free(&r->batch);
    free(r->at);
    free(r);
}

/* Tokens of a side up to the one whose state is read. */
static void read_lengths(const plumb_rewarder *r, const plumb_reward_sequence *x, int lengths[2])
{
    for (int s = 0; s < x->sides; s++)
        lengths[s] = 1 + plumb_reward_position(x->ids[s], x->counts[s], r->model->config.pad_id);
}

/* Of the first sequences of the list as many as fit into a batch, at least one. */
static plumb_status fill_batch(plumb_rewarder *r, const plumb_reward_sequence *list, size_t count, size_t *taken)
{
    plumb_batch_clear(&r->batch);
    for (*taken = 0; *taken < count; ++*taken) {
        const plumb_reward_sequence *x = &list[*taken];
        int lengths[2] = {0};
        read_lengths(r, x, lengths);
        int64_t rows = plumb_pair_rows(lengths, x->sides, x->shared, true);
        if (*taken && (int64_t)r->batch.ids.count + rows > PLUMB_BATCH_ROWS) break;
        int least = x->sides == 2 && lengths[1] < lengths[0] ? lengths[1] : lengths[0];
        PLUMB_TRY(plumb_reserve(&r->at, &r->capacity, *taken + 1, sizeof *r->at));
        PLUMB_TRY(plumb_batch_add_pair(&r->batch, x->ids, lengths, x->sides, least, x->shared, true, &r->at[*taken]));
    }
    return PLUMB_OK;
}

static plumb_status run_batch(plumb_rewarder *r, const plumb_reward_sequence *list, size_t count, size_t first,
                              double (*rewards)[2])
{
    const float *hidden;
    int d = r->model->config.hidden_size;
    PLUMB_TRY(plumb_forward_run(r->forward, &r->batch, &hidden));
    PLUMB_TRY(plumb_model_check(r->model));
    for (size_t i = 0; i < count; i++)
        for (int s = 0; s < list[i].sides; s++) {
            int row = plumb_pair_state_row(&r->at[i], s, r->at[i].states[s] - 1);
            plumb_score_values(r->model, hidden + (size_t)row * (size_t)d, d, 1, &rewards[i][s]);
            if (!isfinite(rewards[i][s]))
                return plumb_cure(
                    plumb_fail(PLUMB_E_INPUT, "the reward of sequence %zu is not finite", first + i),
                    "the reward model's weights overflow in fp32: it is damaged or diverged; use another one");
        }
    return PLUMB_OK;
}

plumb_status plumb_rewarder_run(plumb_rewarder *r, const plumb_reward_sequence *list, size_t count,
                                double (*rewards)[2])
{
    for (size_t first = 0, taken; first < count; first += taken) {
        PLUMB_TRY(fill_batch(r, list + first, count - first, &taken));
        PLUMB_TRY(run_batch(r, list + first, taken, first, rewards + first));
    }
    return PLUMB_OK;
}

static void plan_batch(const plumb_rewarder *r, plumb_reward_work *work)
{
    const plumb_config *c = &r->model->config;
    const plumb_batch *b = &r->batch;
    int rows = (int)b->ids.count, wanted = (int)b->wanted.count;
    int64_t bytes = plumb_forward_bytes(c, rows, wanted) + plumb_rotations_bytes(c, rows) +
                    plumb_linear_bytes(r->model->compute, rows, plumb_config_depth(c)) +
                    plumb_attend_bytes(r->model->compute, c->head_dim);
    work->flops += plumb_forward_flops(c, b) + 2.0 * c->hidden_size * wanted;
    if (bytes > work->bytes) work->bytes = bytes;
    if (rows > work->largest_rows) work->largest_rows = rows;
}

plumb_status plumb_rewarder_plan(plumb_rewarder *r, const plumb_reward_sequence *list, size_t count,
                                 plumb_reward_work *work)
{
    for (size_t first = 0, taken; first < count; first += taken) {
        PLUMB_TRY(fill_batch(r, list + first, count - first, &taken));
        plan_batch(r, work);
    }
    return PLUMB_OK;
}

/* ---- the loss ---- */

void plumb_reward_loss(const double (*r)[2], const double *margin, size_t count, double center, double (*g)[2],
                       plumb_reward_metrics *out)
{
    double n = (double)count;
    *out = (plumb_reward_metrics){.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < count; i++) {
        double difference = r[i][0] - r[i][1], x = difference - (margin ? margin[i] : 0), sum = r[i][0] + r[i][1];
        double slope = 1 / (1 + exp(x)) / n; /* sigmoid(-x) */
        out->loss += (fmax(-x, 0) + log1p(exp(-fabs(x))) + center * sum * sum) / n;
        out->accuracy += (difference > 0) / n;
        out->margin += difference / n;
        for (int s = 0; s < 2; s++) {
            g[i][s] = (s ? slope : -slope) + 2 * center * sum / n;
            out->mean += r[i][s] / (2 * n);
            out->min = fmin(out->min, r[i][s]);
            out->max = fmax(out->max, r[i][s]);
        }
    }
}
