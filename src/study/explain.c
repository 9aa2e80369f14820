#include "study/explain.h"

#include <math.h>
#include <stdlib.h>

#include "study/statistics.h"

struct plumb_explainer {
    plumb_explain_how how;
    plumb_scorer *scorer, *after;
    plumb_explanation x;
    plumb_arena arena;   /* of the explanation */
    plumb_arena scratch; /* of one step of it */
    double *z, *p;       /* [vocabulary] at the first token of a single-token pair */
    double *z_after, *p_after;
};

uint32_t plumb_explain_measures(const plumb_explain_how *how)
{
    static const char *const names[] = {"ches", "ln_ches", "edit", "logps", "alpha"};
    uint32_t bits = how->gradients ? 1u << plumb_measure_find("grad") : 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) bits |= 1u << plumb_measure_find(names[i]);
    return bits;
}

/* ---- blame ---- */

static plumb_status new_doubles(plumb_arena *a, double **out, int count)
{
    return plumb_arena_new(a, out, (size_t)count, sizeof **out);
}

static plumb_status find_blame(plumb_explainer *e, const plumb_theory_input *in, const plumb_theory_parts *parts)
{
    plumb_blame *b = &e->x.blame;
    int n = in->n, m = in->m;
    PLUMB_TRY(new_doubles(&e->arena, &b->blame[0], n));
    PLUMB_TRY(new_doubles(&e->arena, &b->blame[1], m));
    PLUMB_TRY(new_doubles(&e->arena, &b->plus, n));
    PLUMB_TRY(new_doubles(&e->arena, &b->hidden_path, n));
    PLUMB_TRY(new_doubles(&e->arena, &b->rate, n));
    for (int k = 0; k < n; k++) {
        for (int j = 0; j < m; j++) {
            size_t at = (size_t)k * (size_t)m + (size_t)j;
            double value = (double)parts->minus_alpha[at] * parts->minus_states[at];
            b->blame[0][k] += value;
            b->blame[1][j] += value;
        }
        for (int j = 0; j < n; j++) {
            size_t at = (size_t)k * (size_t)n + (size_t)j;
            b->plus[k] += (double)parts->plus_alpha[at] * parts->plus_states[at];
        }
        b->hidden_path[k] = parts->hidden_path[k];
        b->rate[k] = b->plus[k] - b->blame[0][k] + b->hidden_path[k];
    }
    return PLUMB_OK;
}

static void add_bins(const float *alpha, const float *states, int n, int m, int bin, int columns, double *out)
{
    for (int k = 0; k < n; k++)
        for (int j = 0; j < m; j++) {
            size_t at = (size_t)k * (size_t)m + (size_t)j;
            out[(size_t)(k / bin) * (size_t)columns + (size_t)(j / bin)] += (double)alpha[at] * states[at];
        }
}

static plumb_status find_matrix(plumb_explainer *e, const plumb_theory_input *in, const plumb_theory_parts *parts)
{
    plumb_blame_matrix *x = &e->x.matrix;
    int longest = in->n > in->m ? in->n : in->m, cells = e->how.cells;
    *x = (plumb_blame_matrix){.bin = 0};
    if (!cells) return PLUMB_OK;
    x->bin = (longest + cells - 1) / cells;
    x->rows = (in->n + x->bin - 1) / x->bin;
    x->columns = (in->m + x->bin - 1) / x->bin;
    PLUMB_TRY(plumb_arena_new(&e->arena, &x->minus, (size_t)x->rows * (size_t)x->columns, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&e->arena, &x->plus, (size_t)x->rows * (size_t)x->rows, sizeof(double)));
    add_bins(parts->minus_alpha, parts->minus_states, in->n, in->m, x->bin, x->columns, x->minus);
    add_bins(parts->plus_alpha, parts->plus_states, in->n, in->n, x->bin, x->rows, x->plus);
    return PLUMB_OK;
}

/* ---- one token ---- */

/* Logits before the cap and probabilities after one state. */
static plumb_status whole_distribution(const plumb_model *m, const float *h, plumb_arena *scratch, double *z, double *p)
{
    int vocabulary = m->unembed.n;
    double cap = m->config.final_cap, max = -INFINITY, sum = 0;
    plumb_unembed u = {.w = &m->unembed, .scale = 1};
    float *logits;
    PLUMB_TRY(plumb_arena_new(scratch, &logits, (size_t)vocabulary, sizeof *logits));
    PLUMB_TRY(plumb_unembed_tile(m->compute, &u, h, m->unembed.k, 1, 0, vocabulary, logits, vocabulary));
    for (int v = 0; v < vocabulary; v++) {
        z[v] = logits[v];
        p[v] = cap > 0 ? cap * tanh(z[v] / cap) : z[v];
        if (p[v] > max) max = p[v];
    }
    for (int v = 0; v < vocabulary; v++) sum += p[v] = exp(p[v] - max);
    for (int v = 0; v < vocabulary; v++) p[v] /= sum;
    plumb_arena_reset(scratch);
    return PLUMB_OK;
}

static plumb_status list_changes(plumb_explainer *e, const double *by, plumb_explained_token **out, int *count)
{
    int vocabulary = e->how.model->unembed.n;
    plumb_token_value *found;
    *count = e->how.top < vocabulary ? e->how.top : vocabulary;
    PLUMB_TRY(plumb_arena_new(&e->arena, out, (size_t)*count, sizeof **out));
    PLUMB_TRY(plumb_arena_new(&e->scratch, &found, (size_t)*count, sizeof *found));
    plumb_largest_values(by, vocabulary, *count, found);
    for (int i = 0; i < *count; i++) {
        int32_t id = found[i].id;
        (*out)[i] = (plumb_explained_token){.id = id, .move = e->x.single.move[id], .p_before = e->p[id]};
        if (!e->how.after) continue;
        (*out)[i].p_after = e->p_after[id];
        (*out)[i].dlogit = e->z_after[id] - e->z[id];
    }
    plumb_arena_reset(&e->scratch);
    return PLUMB_OK;
}

/* The parts of the rate that the first tokens alone make: the sums of theory.h with n = m = 1. */
static plumb_status find_first_token(plumb_explainer *e, const plumb_theory_input *in, const plumb_theory_parts *parts)
{
    plumb_first_token *f = &e->x.first;
    int vocabulary = in->u->w->n;
    *f = (plumb_first_token){.plus = in->targets[0], .minus = in->targets[in->n]};
    PLUMB_TRY(plumb_single_token_run(in->u->w, in->h, f->plus, f->minus, &e->arena, &e->x.single));
    PLUMB_TRY(whole_distribution(e->how.model, in->h, &e->scratch, e->z, e->p));
    f->p_plus = e->p[f->plus];
    f->p_minus = e->p[f->minus];
    f->others = plumb_single_token_others(&e->x.single, e->p, vocabulary, f->plus, f->minus);
    f->unembedding =
        (double)parts->plus_alpha[0] * parts->plus_states[0] - (double)parts->minus_alpha[0] * parts->minus_states[0];
    f->hidden = parts->hidden_path[0];
    f->rate = f->unembedding + f->hidden;
    return PLUMB_OK;
}

/* ---- before ---- */

static plumb_status copy_logps(plumb_explainer *e, const plumb_score_terms *t)
{
    const double *from = t->logps;
    int counts[2] = {t->in.n, t->in.m};
    for (int side = 0; side < 2; from += counts[side++]) {
        PLUMB_TRY(new_doubles(&e->arena, &e->x.logps[side], counts[side]));
        for (int i = 0; i < counts[side]; i++) e->x.logps[side][i] = from[i];
    }
    return PLUMB_OK;
}

static plumb_status take_terms(void *user, const plumb_score *score, const plumb_score_terms *t)
{
    plumb_explainer *e = user;
    plumb_explanation *x = &e->x;
    size_t n = (size_t)t->in.n, m = (size_t)t->in.m;
    x->shared_states = t->in.shared;
    x->alpha_minus_positive = plumb_share_positive(t->parts.minus_alpha, n * m);
    x->alpha_plus_positive = plumb_share_positive(t->parts.plus_alpha, n * n);
    PLUMB_TRY(copy_logps(e, t));
    PLUMB_TRY(find_blame(e, &t->in, &t->parts));
    PLUMB_TRY(find_matrix(e, &t->in, &t->parts));
    x->is_single = plumb_pair_is_single(x->pair, e->how.tokenizer, e->how.model->config.eos_id);
    if (x->is_single) PLUMB_TRY(find_first_token(e, &t->in, &t->parts));
    if (!e->how.check) return PLUMB_OK;
    x->has_check = true;
    plumb_status s =
        plumb_theory_step_run(e->how.model->compute, &t->in, &score->theory, e->how.sink, &e->scratch, &x->check);
    plumb_arena_reset(&e->scratch);
    return s;
}

static plumb_status take_score(void *user, const plumb_score *score)
{
    plumb_explainer *e = user;
    e->x.score = *score;
    return PLUMB_OK;
}

/* ---- after ---- */

static plumb_status take_after_state(void *user, const plumb_score *score, const float *state)
{
    (void)score;
    plumb_explainer *e = user;
    if (!e->x.is_single) return PLUMB_OK;
    return whole_distribution(e->how.after, state, &e->scratch, e->z_after, e->p_after);
}

static plumb_status take_after_score(void *user, const plumb_score *score)
{
    plumb_explainer *e = user;
    for (int side = 0; side < 2; side++) {
        e->x.after.logps[side] = score->logps[side];
        e->x.after.change[side] = score->logps[side] - e->x.score.logps[side];
    }
    return PLUMB_OK;
}

static plumb_status compare_distributions(plumb_explainer *e)
{
    plumb_explain_after *a = &e->x.after;
    int vocabulary = e->how.model->unembed.n;
    double *change;
    PLUMB_TRY(new_doubles(&e->arena, &change, vocabulary));
    for (int v = 0; v < vocabulary; v++) change[v] = e->z_after[v] - e->z[v];
    PLUMB_TRY(plumb_spearman(e->x.single.move, change, (size_t)vocabulary, &a->spearman_logit));
    for (int v = 0; v < vocabulary; v++) change[v] = e->p_after[v] - e->p[v];
    PLUMB_TRY(plumb_spearman(e->x.single.move, change, (size_t)vocabulary, &a->spearman_probability));
    return list_changes(e, change, &a->gained, &a->gained_count);
}

/* ---- all of it ---- */

static plumb_status new_scorers(plumb_explainer *e)
{
    plumb_scorer_options before = {.measures = plumb_explain_measures(&e->how),
                                   .compat = e->how.compat,
                                   .emit = take_score,
                                   .terms = take_terms,
                                   .user = e,
                                   .sink = e->how.sink};
    plumb_scorer_options after = {.measures = 1u << plumb_measure_find("logps"),
                                  .compat = e->how.compat,
                                  .emit = take_after_score,
                                  .differing = take_after_state,
                                  .user = e,
                                  .sink = e->how.sink};
    PLUMB_TRY(plumb_scorer_new(e->how.model, &before, &e->scorer));
    return e->how.after ? plumb_scorer_new(e->how.after, &after, &e->after) : PLUMB_OK;
}

plumb_status plumb_explainer_new(const plumb_explain_how *how, plumb_explainer **out)
{
    plumb_explainer *e;
    plumb_status s;
    int vocabulary = how->model->unembed.n;
    *out = NULL;
    if (how->after && how->after->unembed.n != vocabulary)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: has a vocabulary of %d tokens, the model before has %d",
                                     how->after_name, how->after->unembed.n, vocabulary),
                          "--after takes the same model after training");
    PLUMB_TRY(plumb_new(&e, 1, sizeof *e));
    e->how = *how;
    PLUMB_GO(plumb_new(&e->z, (size_t)vocabulary, sizeof(double)));
    PLUMB_GO(plumb_new(&e->p, (size_t)vocabulary, sizeof(double)));
    PLUMB_GO(plumb_new(&e->z_after, (size_t)vocabulary, sizeof(double)));
    PLUMB_GO(plumb_new(&e->p_after, (size_t)vocabulary, sizeof(double)));
    s = new_scorers(e);
done:
    if (s)
        plumb_explainer_free(e);
    else
        *out = e;
    return s;
}

void plumb_explainer_free(plumb_explainer *e)
{
    if (!e) return;
    plumb_scorer_free(e->scorer);
    plumb_scorer_free(e->after);
    plumb_arena_free(&e->arena);
    plumb_arena_free(&e->scratch);
    free(e->z);
    free(e->p);
    free(e->z_after);
    free(e->p_after);
    free(e);
}

plumb_status plumb_explainer_run(plumb_explainer *e, int64_t index, uint64_t row, const plumb_pair *pair,
                                 const plumb_explanation **out)
{
    plumb_explanation *x = &e->x;
    plumb_arena_reset(&e->arena);
    *x = (plumb_explanation){.pair = pair};
    *out = x;
    PLUMB_TRY(plumb_scorer_add(e->scorer, index, row, pair));
    PLUMB_TRY(plumb_scorer_flush(e->scorer));
    if (pair->skip) return PLUMB_OK;
    if (e->after) {
        x->has_after = true;
        PLUMB_TRY(plumb_scorer_add(e->after, index, row, pair));
        PLUMB_TRY(plumb_scorer_flush(e->after));
        if (x->is_single) PLUMB_TRY(compare_distributions(e));
    }
    return x->is_single ? list_changes(e, x->single.move, &x->first.top, &x->first.top_count) : PLUMB_OK;
}
