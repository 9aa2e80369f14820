#include "study/trace.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/targets.h"
#include "model/forward.h"

enum {
    BLOCK = 32,          /* places whose distributions are held at once */
    BATCH_ROWS = 2048,   /* packed rows of a batch; one pair may be larger */
    MOST_WAITING = 4096, /* skipped rows behind a batch that is not full */
};

const char *plumb_verdict_name(plumb_verdict v)
{
    static const char *const names[] = {"none", "benign", "catastrophic", "other", NULL};
    return names[v];
}

/* ---- gains ---- */

void plumb_gains_add(plumb_gains *sums, plumb_classes own, plumb_classes opposite, plumb_classes classes, double gain)
{
    if (!(gain > 0)) return;
    sums->all += gain;
    if (classes & own) sums->same += gain;
    if (classes & opposite) sums->opposite += gain;
    if (!classes) sums->no_class += gain;
    for (int c = 0; c < PLUMB_CLASSES && classes >> c; c++)
        if (classes >> c & 1) sums->of_class[c] += gain;
}

plumb_verdict plumb_gains_verdict(const plumb_gains *sums, double change)
{
    if (!(change < 0)) return PLUMB_VERDICT_NONE;
    if (!(sums->all > 0)) return PLUMB_VERDICT_OTHER;
    if (2 * sums->same >= sums->all) return PLUMB_VERDICT_BENIGN;
    if (2 * sums->opposite >= sums->all) return PLUMB_VERDICT_CATASTROPHIC;
    return PLUMB_VERDICT_OTHER;
}

plumb_drop plumb_course_drop(const plumb_course_point *course, size_t count)
{
    plumb_drop drop = {0, -1, -1};
    size_t peak = 0;
    bool begun = false;
    for (size_t i = 0; i < count; i++) {
        double v = course[i].logps[0];
        if (isnan(v)) continue;
        if (begun && course[peak].logps[0] - v > drop.value)
            drop = (plumb_drop){course[peak].logps[0] - v, course[peak].step, course[i].step};
        if (!begun || v > course[peak].logps[0]) peak = i;
        begun = true;
    }
    return drop;
}

/* ---- what the two models must have in common ---- */

plumb_status plumb_trace_same_shape(const plumb_model *a, const char *a_name, const plumb_model *b, const char *b_name)
{
    const plumb_config *x = &a->config, *y = &b->config;
    if (x->vocab_size == y->vocab_size && x->hidden_size == y->hidden_size && x->final_cap == y->final_cap)
        return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s has %d embeddings of %d elements, %s has %d of %d", b_name,
                                 y->vocab_size, y->hidden_size, a_name, x->vocab_size, x->hidden_size),
                      "give the same model before and after training");
}

/* ---- pairs that wait for their batch ---- */

int plumb_differing_position(const plumb_pair *pair)
{
    int totals[2] = {(int)pair->ids[0].count, (int)pair->ids[1].count}, common = pair->shared - pair->prompt;
    int last = (totals[0] < totals[1] ? totals[0] : totals[1]) - pair->prompt - 1;
    return common < 0 ? 0 : common < last ? common : last;
}

typedef struct waiting {
    plumb_trace_row row;
    plumb_pair_states at;
    int position;       /* at which the sides differ */
    size_t first_place; /* of this pair, among all of the batch */
    size_t places;
} waiting;

/* A model and what it gave for the batch. */
typedef struct pass {
    const plumb_model *model;
    int64_t step;           /* of a point */
    plumb_forward *forward; /* of a point made anew for each batch: there may be many */
    float *states;          /* [targets][d] that predict the batch's targets; the points use the first one's */
    size_t state_capacity;
    double *logps, *lse; /* [targets] */
    size_t logps_capacity, lse_capacity;
} pass;

struct plumb_tracer {
    plumb_trace_options options;
    plumb_classes *map; /* [vocab] */
    int vocab, d;
    plumb_batch batch;
    plumb_targets targets;
    waiting *rows;
    size_t count, capacity;
    pass *passes; /* before, after, and the points */
    size_t pass_count;
    int32_t *place_target; /* [place_count] numbers of the targets at whose states tokens are compared */
    plumb_traced_place *places;
    size_t place_count, target_capacity, place_capacity;
    float *p[2];                 /* [BLOCK][vocab] probabilities of a block */
    float *h[2];                 /* [BLOCK][d] its states */
    plumb_token_change *changes; /* [top] */
    plumb_arena arena;           /* of the batch: lists, texts, courses */
};

enum { BEFORE, AFTER, POINTS };

static plumb_status fill_tracer(plumb_tracer *t)
{
    const plumb_trace_options *o = &t->options;
    size_t block = BLOCK * (size_t)t->vocab;
    PLUMB_TRY(plumb_new(&t->passes, POINTS + o->point_count, sizeof *t->passes));
    t->pass_count = POINTS + o->point_count;
    for (size_t i = 0; i < t->pass_count; i++) {
        pass *p = &t->passes[i];
        p->model = i == BEFORE ? o->before : i == AFTER ? o->after : o->points[i - POINTS].model;
        p->step = i < POINTS ? 0 : o->points[i - POINTS].step;
        if (i < POINTS) PLUMB_TRY(plumb_forward_new(p->model, &p->forward));
    }
    PLUMB_TRY(plumb_new(&t->map, (size_t)t->vocab, sizeof *t->map));
    for (int i = 0; i < 2; i++) {
        PLUMB_TRY(plumb_new(&t->p[i], block, sizeof(float)));
        PLUMB_TRY(plumb_new(&t->h[i], BLOCK * (size_t)t->d, sizeof(float)));
    }
    PLUMB_TRY(plumb_new(&t->changes, (size_t)o->top, sizeof *t->changes));
    return plumb_token_groups_map(o->groups, o->tokenizer, t->vocab, t->map);
}

plumb_status plumb_tracer_new(const plumb_trace_options *options, plumb_tracer **out)
{
    plumb_tracer *t;
    *out = NULL;
    PLUMB_TRY(plumb_new(&t, 1, sizeof *t));
    t->options = *options;
    t->vocab = options->before->config.vocab_size;
    t->d = options->before->config.hidden_size;
    plumb_status s = fill_tracer(t);
    if (s) {
        plumb_tracer_free(t);
        return s;
    }
    *out = t;
    return PLUMB_OK;
}

void plumb_tracer_free(plumb_tracer *t)
{
    if (!t) return;
    for (size_t i = 0; i < t->pass_count; i++) {
        pass *p = &t->passes[i];
        plumb_forward_free(p->forward);
        free(p->states);
        free(p->logps);
        free(p->lse);
    }
    for (int i = 0; i < 2; i++) {
        free(t->p[i]);
        free(t->h[i]);
    }
    free(t->passes);
    free(t->map);
    free(t->rows);
    free(t->place_target);
    free(t->places);
    free(t->changes);
    plumb_batch_free(&t->batch);
    plumb_targets_free(&t->targets);
    plumb_arena_free(&t->arena);
    free(t);
}

/* Which targets of the pair are looked at token by token: one, or all of the chosen side. */
static plumb_status add_places(plumb_tracer *t, waiting *w)
{
    size_t count = t->options.all_positions ? (size_t)w->at.targets[0] : 1;
    PLUMB_TRY(plumb_reserve(&t->place_target, &t->target_capacity, t->place_count + count, sizeof *t->place_target));
    PLUMB_TRY(plumb_reserve(&t->places, &t->place_capacity, t->place_count + count, sizeof *t->places));
    w->first_place = t->place_count;
    w->places = count;
    for (size_t i = 0; i < count; i++) {
        int position = t->options.all_positions ? (int)i : w->position;
        t->places[t->place_count] = (plumb_traced_place){.position = position};
        t->place_target[t->place_count++] = w->at.first_target + position;
    }
    return PLUMB_OK;
}

plumb_status plumb_tracer_add(plumb_tracer *t, int64_t index, uint64_t row, const plumb_pair *pair)
{
    const int32_t *ids[2] = {pair->ids[0].data, pair->ids[1].data};
    int totals[2] = {(int)pair->ids[0].count, (int)pair->ids[1].count};
    if (t->count >= MOST_WAITING) PLUMB_TRY(plumb_tracer_flush(t));
    if (!pair->skip && t->batch.ids.count &&
        (int64_t)t->batch.ids.count + plumb_pair_rows(totals, 2, pair->shared, false) > BATCH_ROWS)
        PLUMB_TRY(plumb_tracer_flush(t));
    PLUMB_TRY(plumb_reserve(&t->rows, &t->capacity, t->count + 1, sizeof *t->rows));
    waiting *w = &t->rows[t->count++];
    *w = (waiting){.row = {.index = index, .row = row, .skip = pair->skip}};
    if (pair->skip) return t->batch.ids.count ? PLUMB_OK : plumb_tracer_flush(t);
    w->position = plumb_differing_position(pair);
    w->row.chosen_tokens = totals[0] - pair->prompt;
    w->row.single = plumb_pair_is_single(pair, t->options.tokenizer, t->options.eos);
    for (int s = 0; s < 2; s++) w->row.first[s].change.token = ids[s][pair->prompt];
    PLUMB_TRY(plumb_batch_add_pair(&t->batch, ids, totals, 2, pair->prompt, pair->shared, false, &w->at));
    PLUMB_TRY(plumb_targets_add(&t->targets, ids, 2, pair->prompt, &w->at));
    return add_places(t, w);
}

/* ---- a batch ---- */

static plumb_status run_states(plumb_tracer *t, const pass *p, plumb_forward *f, float *states)
{
    const float *hidden;
    plumb_forward_watch(f, t->options.sink);
    PLUMB_TRY(plumb_forward_run(f, &t->batch, &hidden));
    plumb_gather_rows(p->model->compute, hidden, t->d, t->targets.states.data, (int)t->targets.states.count, t->d,
                      states, t->d);
    return PLUMB_OK;
}

static plumb_status run_pass(plumb_tracer *t, pass *p)
{
    size_t n = t->targets.tokens.count;
    const plumb_model *m = p->model;
    plumb_unembed u = {.w = &m->unembed, .scale = 1, .cap = (float)m->config.final_cap};
    pass *memory = p < t->passes + POINTS ? p : &t->passes[POINTS];
    plumb_forward *own = NULL;
    PLUMB_TRY(plumb_reserve(&memory->states, &memory->state_capacity, n * (size_t)t->d, sizeof(float)));
    PLUMB_TRY(plumb_reserve(&p->logps, &p->logps_capacity, n, sizeof(double)));
    PLUMB_TRY(plumb_reserve(&p->lse, &p->lse_capacity, n, sizeof(double)));
    if (!p->forward) PLUMB_TRY(plumb_forward_new(m, &own));
    plumb_status s = run_states(t, p, own ? own : p->forward, memory->states);
    plumb_forward_free(own);
    PLUMB_TRY(s);
    PLUMB_TRY(
        plumb_unembed_logps(m->compute, &u, memory->states, t->d, (int)n, t->targets.tokens.data, p->logps, p->lse));
    return plumb_model_check(m);
}

/* ln pi of a side, summed as the ledger sums it. */
static double side_logps(const pass *p, const waiting *w, int side)
{
    double head, tail;
    const double *logps = p->logps + w->at.first_target + (side ? w->at.targets[0] : 0);
    plumb_split_logps(logps, &w->at, side, &head, &tail);
    return head + tail;
}

static double first_logp(const pass *p, const waiting *w)
{
    return p->logps[w->at.first_target];
}

plumb_status plumb_traced_token_fill(const plumb_tokenizer *tokenizer, const plumb_classes *map, int vocab,
                                     plumb_arena *arena, plumb_traced_token *out)
{
    plumb_text text = {0};
    int32_t id = out->change.token;
    if (id >= 0 && id < vocab) out->classes = map[id];
    plumb_status s = plumb_tokenizer_decode(tokenizer, &id, 1, false, &text);
    out->text_size = text.size;
    if (!s) s = plumb_arena_copy(arena, &out->text, text.data ? text.data : "", text.size);
    plumb_text_free(&text);
    return s;
}

static plumb_status list_changes(plumb_tracer *t, size_t in_block, int sign, plumb_traced_token **list, int *count)
{
    size_t at = in_block * (size_t)t->vocab, d = (size_t)t->d;
    int n = plumb_token_changes(t->p[BEFORE] + at, t->p[AFTER] + at, t->vocab, sign, t->options.top, t->changes);
    PLUMB_TRY(plumb_arena_new(&t->arena, list, (size_t)n, sizeof **list));
    for (int i = 0; i < n; i++) {
        plumb_traced_token *token = &(*list)[i];
        *token = (plumb_traced_token){.change = t->changes[i], .has_logit = true};
        PLUMB_TRY(plumb_traced_token_fill(t->options.tokenizer, t->map, t->vocab, &t->arena, token));
        plumb_logit_split(&t->options.before->unembed, &t->options.after->unembed, t->h[BEFORE] + in_block * d,
                          t->h[AFTER] + in_block * d, token->change.token, &token->logit);
    }
    *count = n;
    return PLUMB_OK;
}

static plumb_status fill_place(plumb_tracer *t, size_t in_block, plumb_traced_place *place, int32_t own)
{
    const float *before = t->p[BEFORE] + in_block * (size_t)t->vocab,
                *after = t->p[AFTER] + in_block * (size_t)t->vocab;
    place->chosen.change = (plumb_token_change){own, before[own], after[own]};
    PLUMB_TRY(plumb_traced_token_fill(t->options.tokenizer, t->map, t->vocab, &t->arena, &place->chosen));
    plumb_classes same = place->chosen.classes, opposite = plumb_token_groups_opposites(t->options.groups, same);
    for (int v = 0; v < t->vocab; v++)
        if (v != own) plumb_gains_add(&place->gains, same, opposite, t->map[v], (double)after[v] - before[v]);
    PLUMB_TRY(list_changes(t, in_block, 1, &place->gained, &place->gained_count));
    return list_changes(t, in_block, -1, &place->lost, &place->lost_count);
}

static plumb_status run_places(plumb_tracer *t)
{
    for (size_t first = 0; first < t->place_count; first += BLOCK) {
        int n = t->place_count - first < BLOCK ? (int)(t->place_count - first) : BLOCK;
        double lse[2][BLOCK];
        const int32_t *targets = t->place_target + first;
        PLUMB_TRY(plumb_check_interrupt(t->options.sink));
        for (int m = 0; m < 2; m++) {
            const pass *p = &t->passes[m];
            plumb_gather_rows(p->model->compute, p->states, t->d, targets, n, t->d, t->h[m], t->d);
            for (int i = 0; i < n; i++) lse[m][i] = p->lse[targets[i]];
            PLUMB_TRY(plumb_token_probabilities(p->model, t->h[m], n, lse[m], t->p[m]));
        }
        for (int i = 0; i < n; i++) {
            plumb_traced_place *place = &t->places[first + (size_t)i];
            double change = t->passes[AFTER].logps[targets[i]] - t->passes[BEFORE].logps[targets[i]];
            PLUMB_TRY(fill_place(t, (size_t)i, place, t->targets.tokens.data[targets[i]]));
            place->verdict = plumb_gains_verdict(&place->gains, change); /* of this token alone */
        }
    }
    return PLUMB_OK;
}

static plumb_status not_finite(const waiting *w, const char *which)
{
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "row %" PRId64 ": a log-prob under the model %s is not finite", w->row.index, which),
        "its weights are finite but overflow in fp32: the checkpoint is damaged or diverged");
}

static plumb_status finish_row(plumb_tracer *t, waiting *w)
{
    plumb_trace_row *row = &w->row;
    plumb_course_point *course;
    for (int side = 0; side < 2; side++) {
        PLUMB_TRY(plumb_traced_token_fill(t->options.tokenizer, t->map, t->vocab, &t->arena, &row->first[side]));
        row->before[side] = side_logps(&t->passes[BEFORE], w, side);
        row->after[side] = side_logps(&t->passes[AFTER], w, side);
        if (!isfinite(row->before[side])) return not_finite(w, "before");
        if (!isfinite(row->after[side])) return not_finite(w, "after");
    }
    for (int m = 0; m < 2; m++) row->first_logps[m] = first_logp(&t->passes[m], w);
    row->course_count = t->options.point_count;
    PLUMB_TRY(plumb_arena_new(&t->arena, &course, row->course_count, sizeof *course));
    for (size_t i = 0; i < row->course_count; i++) {
        const pass *p = &t->passes[POINTS + i];
        course[i] = (plumb_course_point){p->step, {side_logps(p, w, 0), side_logps(p, w, 1)}, first_logp(p, w)};
    }
    row->course = course;
    row->drop = plumb_course_drop(course, row->course_count);
    row->has_place = true;
    row->place = t->places[w->first_place + (t->options.all_positions ? (size_t)w->position : 0)];
    row->place.verdict = plumb_gains_verdict(&row->place.gains, row->after[0] - row->before[0]);
    if (t->options.all_positions) {
        row->places = t->places + w->first_place;
        row->place_count = (int)w->places;
    }
    return PLUMB_OK;
}

plumb_status plumb_tracer_flush(plumb_tracer *t)
{
    if (t->batch.ids.count) {
        for (size_t i = 0; i < t->pass_count; i++) PLUMB_TRY(run_pass(t, &t->passes[i]));
        PLUMB_TRY(run_places(t));
    }
    for (size_t i = 0; i < t->count; i++) {
        if (!t->rows[i].row.skip) PLUMB_TRY(finish_row(t, &t->rows[i]));
        PLUMB_TRY(t->options.emit(t->options.user, &t->rows[i].row));
    }
    t->count = t->place_count = 0;
    plumb_arena_reset(&t->arena);
    plumb_targets_clear(&t->targets);
    plumb_batch_clear(&t->batch);
    return PLUMB_OK;
}
