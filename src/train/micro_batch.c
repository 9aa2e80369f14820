#include "train/micro_batch.h"

#include "align/reward.h"
#include "align/scorer.h"
#include "model/forward.h"

static plumb_status add_example(plumb_micro_batch *m, const plumb_example *e, plumb_pair_states *at)
{
    const int32_t *ids[2] = {e->ids[0], e->ids[1]};
    if (!plumb_example_targets(e)) return PLUMB_OK; /* it has a place in the batch, but nothing to compute */
    PLUMB_TRY(plumb_batch_add_pair(&m->batch, ids, e->totals, e->sides, e->prompt, e->shared, e->scored, at));
    if (e->scored) return plumb_targets_add_last(&m->lists, e->sides, at);
    return e->trained ? plumb_targets_add_trained(&m->lists, ids[0], e->trained, e->totals[0], e->prompt, at)
                      : plumb_targets_add(&m->lists, ids, e->sides, e->prompt, at);
}

plumb_status plumb_micro_pack(plumb_micro_batch *m, const plumb_model *model, const plumb_example *const *examples,
                              size_t count)
{
    plumb_pair_states *at;
    m->examples = examples;
    m->count = count;
    m->d = model->config.hidden_size;
    plumb_arena_reset(&m->scratch);
    plumb_batch_clear(&m->batch);
    plumb_targets_clear(&m->lists);
    PLUMB_TRY(plumb_arena_new(&m->scratch, &at, count, sizeof *at));
    for (size_t i = 0; i < count; i++) PLUMB_TRY(add_example(m, examples[i], &at[i]));
    m->at = at;
    m->tokens = m->lists.tokens.data;
    m->targets = m->lists.tokens.count;
    PLUMB_TRY(plumb_arena_new(&m->scratch, &m->gathered, m->targets * (size_t)m->d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&m->scratch, &m->logps, m->targets, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&m->scratch, &m->lse, m->targets, sizeof(double)));
    return plumb_arena_new(&m->scratch, &m->statistics, m->targets, sizeof *m->statistics);
}

plumb_unembed plumb_unembed_tempered(const plumb_model *model, double temperature)
{
    double t = temperature > 0 ? temperature : 1;
    return (plumb_unembed){.w = &model->unembed, .scale = (float)(1 / t), .cap = (float)(model->config.final_cap / t)};
}

plumb_status plumb_micro_head(plumb_micro_batch *m, const plumb_model *model, const float *hidden)
{
    int d = m->d, n = (int)m->targets;
    plumb_gather_rows(model->compute, hidden, d, m->lists.states.data, n, d, m->gathered, d);
    if (model->config.head == PLUMB_HEAD_SCORE) {
        plumb_score_values(model, m->gathered, d, n, m->logps);
        return PLUMB_OK;
    }
    plumb_unembed u = plumb_unembed_tempered(model, m->temperature);
    return plumb_unembed_statistics(model->compute, &u, m->gathered, d, n, m->tokens, m->logps, m->lse, m->statistics);
}

void plumb_micro_free(plumb_micro_batch *m)
{
    plumb_batch_free(&m->batch);
    plumb_targets_free(&m->lists);
    plumb_arena_free(&m->scratch);
    *m = (plumb_micro_batch){0};
}

/* ---- passes without gradients ---- */

/* How many of the first examples fit into a batch, at least one. */
static size_t fit(const plumb_example *const *examples, size_t count)
{
    int64_t rows = 0;
    size_t n = 0;
    for (; n < count; n++) {
        const plumb_example *e = examples[n];
        rows += plumb_pair_rows(e->totals, e->sides, e->shared, e->scored);
        if (n && rows > PLUMB_BATCH_ROWS) break;
    }
    return n;
}

static plumb_status look_at(plumb_micro_batch *m, plumb_forward *f, const plumb_model *model)
{
    const float *hidden;
    if (!m->targets) return PLUMB_OK;
    PLUMB_TRY(plumb_forward_run(f, &m->batch, &hidden));
    PLUMB_TRY(plumb_micro_head(m, model, hidden));
    return plumb_model_check(model);
}

plumb_status plumb_examples_look(const plumb_model *model, const plumb_example *const *examples, size_t count,
                                 plumb_micro_look look, void *user, const plumb_sink *sink)
{
    return plumb_examples_look_tempered(model, 1, examples, count, look, user, sink);
}

plumb_status plumb_examples_look_tempered(const plumb_model *model, double temperature,
                                          const plumb_example *const *examples, size_t count, plumb_micro_look look,
                                          void *user, const plumb_sink *sink)
{
    plumb_micro_batch m = {.temperature = temperature};
    plumb_forward *f = NULL;
    plumb_status s = plumb_forward_new(model, &f);
    if (!s) plumb_forward_watch(f, sink);
    for (size_t first = 0; first < count && !s; first += m.count) {
        s = plumb_check_interrupt(sink);
        if (!s) s = plumb_micro_pack(&m, model, examples + first, fit(examples + first, count - first));
        if (!s) s = look_at(&m, f, model);
        if (!s) s = look(user, &m, first);
    }
    plumb_micro_free(&m);
    plumb_forward_free(f);
    return s;
}
