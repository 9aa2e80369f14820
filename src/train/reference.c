#include "train/reference.h"

#include <inttypes.h>
#include <stdlib.h>

#include "align/targets.h"
#include "model/forward.h"
#include "train/micro_batch.h"

typedef struct visiting {
    const plumb_examples *e;
    const plumb_examples_visit *visit;
    const plumb_sink *sink;
    size_t scores, states; /* seen so far: both come in the order of the list */
} visiting;

static plumb_status forward_score(void *user, const plumb_score *score)
{
    visiting *v = user;
    if (v->visit->score) PLUMB_TRY(v->visit->score(v->visit->user, v->scores, score));
    v->scores++;
    plumb_progress(v->sink, "pairs", (double)v->scores, (double)v->e->count);
    return plumb_check_interrupt(v->sink);
}

static plumb_status forward_state(void *user, const plumb_score *score, const float *state)
{
    visiting *v = user;
    (void)score;
    return v->visit->state(v->visit->user, v->states++, state);
}

/* ---- examples of one side ---- */

static plumb_status look_at(void *user, const plumb_micro_batch *m, size_t first)
{
    visiting *v = user;
    for (size_t i = 0; i < m->count; i++) {
        plumb_score score = {.index = m->examples[i]->index, .row = m->examples[i]->row};
        plumb_split_logps(m->logps + m->at[i].first_target, &m->at[i], 0, &score.head[0], &score.tail[0]);
        score.logps[0] = score.head[0] + score.tail[0];
        PLUMB_TRY(v->visit->score(v->visit->user, first + i, &score));
    }
    plumb_progress(v->sink, "rows", (double)(first + m->count), (double)v->e->count);
    return PLUMB_OK;
}

static plumb_status score_sequences(const plumb_model *model, visiting *v)
{
    const plumb_example **list;
    if (v->visit->states || v->visit->state)
        return plumb_fail(PLUMB_E_INTERNAL, "states are asked of examples that are no pairs");
    PLUMB_TRY(plumb_new(&list, v->e->count, sizeof(plumb_example *)));
    for (size_t i = 0; i < v->e->count; i++) list[i] = &v->e->list[i];
    plumb_status s = plumb_examples_look(model, list, v->e->count, look_at, v, v->sink);
    free(list);
    return s;
}

plumb_status plumb_examples_score(const plumb_model *model, const plumb_examples *e, const plumb_examples_visit *visit,
                                  const plumb_sink *sink)
{
    visiting v = {.e = e, .visit = visit, .sink = sink};
    plumb_scorer *s;
    if (e->count && e->list[0].sides == 1) return score_sequences(model, &v);
    plumb_scorer_options how = {
        .measures = 1u << plumb_measure_find("logps"), .emit = forward_score, .user = &v, .sink = sink};
    if (visit->states) how.measures |= 1u << plumb_measure_find("ln_ches");
    if (visit->state) how.differing = forward_state;
    PLUMB_TRY(plumb_scorer_new(model, &how, &s));
    plumb_status status = PLUMB_OK;
    for (size_t i = 0; i < e->count && !status; i++) {
        const plumb_example *x = &e->list[i];
        plumb_pair pair = {.prompt = x->prompt, .shared = x->shared}; /* borrows the example's tokens */
        for (int k = 0; k < 2; k++)
            pair.ids[k] =
                (plumb_ids){.data = x->ids[k], .count = (size_t)x->totals[k], .capacity = (size_t)x->totals[k]};
        status = plumb_scorer_add(s, x->index, x->row, &pair); /* messages name the file's row */
    }
    if (!status) status = plumb_scorer_flush(s);
    plumb_scorer_free(s);
    return status;
}

plumb_status plumb_examples_flops(const plumb_config *config, const plumb_examples *e, double *flops)
{
    plumb_batch batch = {0};
    plumb_pair_states at;
    plumb_status s = PLUMB_OK;
    double target = 2.0 * config->hidden_size * (config->head == PLUMB_HEAD_SCORE ? 1 : config->vocab_size);
    *flops = 0;
    for (size_t i = 0; i < e->count && !s; i++) {
        const plumb_example *x = &e->list[i];
        const int32_t *ids[2] = {x->ids[0], x->ids[1]};
        plumb_batch_clear(&batch);
        if (!plumb_example_targets(x)) continue;
        s = plumb_batch_add_pair(&batch, ids, x->totals, x->sides, x->prompt, x->shared, x->scored, &at);
        if (s) break;
        *flops += plumb_forward_flops(config, &batch) + target * plumb_example_targets(x);
        if (x->sides == 2) *flops += target * (x->scored ? 1 : at.targets[1]);
    }
    plumb_batch_free(&batch);
    return s;
}

plumb_status plumb_blame_weights(plumb_status s, int64_t step)
{
    if (plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_status diverged = plumb_fail(PLUMB_E_DIVERGED, "after step %" PRId64 ": %s", step, plumb_status_message(s));
    plumb_status_free(s);
    return diverged;
}

static plumb_status set_reference(void *user, size_t i, const plumb_score *score)
{
    plumb_example *x = &((plumb_examples *)user)->list[i];
    for (int s = 0; s < 2; s++) {
        x->ref_head[s] = score->head[s];
        x->ref_tail[s] = score->tail[s];
    }
    x->has_reference = true;
    return PLUMB_OK;
}

plumb_status plumb_examples_set_reference(const plumb_model *reference, plumb_examples *e, const plumb_sink *sink)
{
    return plumb_examples_score(reference, e, &(plumb_examples_visit){.score = set_reference, .user = e}, sink);
}
