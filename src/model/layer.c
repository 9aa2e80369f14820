#include "model/layer.h"

#include <string.h>

#include "compute/gradient.h"
#include "model/adapter.h"
#include "model/rope.h"

static bool same_rope(const plumb_rope *a, const plumb_rope *b)
{
    return a->kind == b->kind && a->theta == b->theta && a->factor == b->factor &&
           a->low_freq_factor == b->low_freq_factor && a->high_freq_factor == b->high_freq_factor &&
           a->original_positions == b->original_positions;
}

static int tables_of(const plumb_config *c)
{
    return same_rope(&c->rope, &c->local_rope) ? 1 : 2;
}

/* By doubling, so that batches that grow token by token do not compute the tables each time. */
static int grown(int had, int positions)
{
    if (positions < 1024) positions = 1024;
    return had > positions / 2 ? 2 * had : positions;
}

int64_t plumb_rotations_bytes(const plumb_config *c, int positions)
{
    return (int64_t)tables_of(c) * 2 * (c->rotary / 2) * grown(0, positions) * (int64_t)sizeof(float);
}

plumb_status plumb_rotations_reserve(const plumb_model *m, int positions, plumb_rotations *r)
{
    const plumb_config *c = &m->config;
    const plumb_rope *ropes[2] = {&c->rope, &c->local_rope};
    if (positions <= r->positions) return PLUMB_OK;
    positions = grown(r->positions, positions);
    size_t count = (size_t)positions * (size_t)(c->rotary / 2);
    plumb_rotations_free(m, r);
    for (int i = 0; i < tables_of(c); i++) {
        PLUMB_TRY(plumb_compute_alloc(m->compute, &r->cosine[i], count, sizeof(float)));
        PLUMB_TRY(plumb_compute_alloc(m->compute, &r->sine[i], count, sizeof(float)));
        PLUMB_TRY(plumb_rope_tables(ropes[i], c->rotary, positions, r->cosine[i], r->sine[i]));
    }
    if (tables_of(c) == 1) {
        r->cosine[1] = r->cosine[0];
        r->sine[1] = r->sine[0];
    }
    r->positions = positions;
    return PLUMB_OK;
}

void plumb_rotations_free(const plumb_model *m, plumb_rotations *r)
{
    for (int i = 0; i < 2; i++) {
        if (i && r->cosine[1] == r->cosine[0]) break; /* one table for both */
        plumb_compute_release(m->compute, r->cosine[i]);
        plumb_compute_release(m->compute, r->sine[i]);
    }
    *r = (plumb_rotations){0};
}

/* What all steps of a layer need to know. */
typedef struct step {
    const plumb_model *m;
    const plumb_layer *l;
    const plumb_batch *b;
    const plumb_layer_state *st;
    plumb_compute *compute;
    int rows, queries;
    bool last;
} step;

static void norm(const step *s, const plumb_norm *n, const float *x, int rows, float *y)
{
    plumb_norm_run(s->compute, n, x, n->d, rows, 1, y, n->d);
}

/* The input of linears: rows first .. first + rows - 1 of all rows or of those that go on. */
typedef struct input {
    const float *x;
    float *room; /* where differences of partners are put; may be x */
    int first, rows;
    const int32_t *partners;
} input;

/* One that is used once. */
static input spent(float *x, int rows, const plumb_ids *partners)
{
    return (input){x, x, 0, rows, partners->data};
}

static const plumb_ids *partners_of_queries(const step *s)
{
    return s->last ? &s->b->wanted_partners : &s->b->partners;
}

/* Do linears of the layer take differences? */
static bool differs(const step *s)
{
    return s->st->taken && s->b->partners.count && plumb_linear_rounds(s->compute, &s->l->down);
}

/* The linears w of this layer, all of one input, each with what an adapter adds to it. */
static plumb_status run_many(const step *s, const plumb_linear *const w[], int count, const input *in, float *const y[],
                             plumb_store store)
{
    int widths[PLUMB_PROJECTIONS] = {0}, k = w[0]->k;
    plumb_partners partners = {in->partners, in->first, s->st->taken};
    bool differences = differs(s);
    const float *x = differences ? in->room : in->x;
    if (differences) plumb_take_differences(s->compute, &partners, in->x, k, in->rows, k, in->room, k);
    for (int i = 0; i < count; i++) {
        widths[i] = w[i]->n;
        if (differences && store == PLUMB_ADD)
            plumb_add_partners(s->compute, &partners, -1, NULL, in->rows, w[i]->n, y[i], w[i]->n);
    }
    PLUMB_TRY(plumb_linear_run_many(s->compute, w, count, x, k, in->rows, y, widths, store));
    for (int i = 0; i < count; i++) {
        const plumb_low_rank *addition = plumb_low_rank_of(s->m, s->l, w[i]);
        if (addition) PLUMB_TRY(plumb_low_rank_add(s->compute, addition, x, in->rows, s->st->low_rank, y[i]));
        if (differences) plumb_add_partners(s->compute, &partners, 1, w[i]->bias, in->rows, w[i]->n, y[i], w[i]->n);
    }
    return PLUMB_OK;
}

static plumb_status run(const step *s, const plumb_linear *w, const input *in, float *y, plumb_store store)
{
    return run_many(s, &w, 1, in, &y, store);
}

/* q, k, v from a matrix that holds them head by head. */
static plumb_status project_interleaved(const step *s, const input *n)
{
    const plumb_config *c = &s->m->config;
    const plumb_layer_state *st = s->st;
    int hd = c->head_dim, q = c->heads * hd;
    PLUMB_TRY(run(s, &s->l->q, n, st->fused, PLUMB_STORE));
    plumb_copy_blocks(s->compute, st->fused + hd, 3 * q, s->rows, hd, 3 * hd, c->heads, st->k_raw, q);
    plumb_copy_blocks(s->compute, st->fused + (size_t)2 * hd, 3 * q, s->rows, hd, 3 * hd, c->heads, st->v_raw, q);
    if (!s->last) {
        plumb_copy_blocks(s->compute, st->fused, 3 * q, s->rows, hd, 3 * hd, c->heads, st->q_raw, q);
        return PLUMB_OK;
    }
    for (int i = 0; i < s->queries; i++) /* row by row, as the wanted rows stand apart */
        plumb_copy_blocks(s->compute, st->fused + (size_t)s->b->wanted.data[i] * 3 * q, 3 * q, 1, hd, 3 * hd, c->heads,
                          st->q_raw + (size_t)i * q, q);
    return PLUMB_OK;
}

/* q of the rows that go on, k and v of all rows. */
static plumb_status project(const step *s, const float *n)
{
    const plumb_config *c = &s->m->config;
    const plumb_layer *l = s->l;
    const plumb_layer_state *st = s->st;
    int d = c->hidden_size;
    input all = {n, st->normed, 0, s->rows, s->b->partners.data};
    if (c->architecture->qkv == PLUMB_QKV_INTERLEAVED) return project_interleaved(s, &all);
    if (!s->last) {
        const plumb_linear *w[] = {&l->q, &l->k, &l->v};
        return run_many(s, w, 3, &all, (float *[]){st->q_raw, st->k_raw, st->v_raw}, PLUMB_STORE);
    }
    const plumb_linear *w[] = {&l->k, &l->v};
    /* first, since differences of `all` are put where n may lie */
    plumb_gather_rows(s->compute, n, d, s->b->wanted.data, s->queries, d, st->normed_wanted, d);
    input wanted = spent(st->normed_wanted, s->queries, &s->b->wanted_partners);
    PLUMB_TRY(run(s, &l->q, &wanted, st->q_raw, PLUMB_STORE));
    return run_many(s, w, 2, &all, (float *[]){st->k_raw, st->v_raw}, PLUMB_STORE);
}

static void copy(float *to, const float *from, size_t rows, size_t width)
{
    if (to != from) memcpy(to, from, rows * width * sizeof *to);
}

static void clip_norm_rotate(const step *s, const plumb_rotations *rotations)
{
    const plumb_config *c = &s->m->config;
    const plumb_layer *l = s->l;
    const plumb_layer_state *st = s->st;
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    copy(st->q, st->q_raw, (size_t)s->queries, (size_t)q);
    copy(st->k, st->k_raw, (size_t)s->rows, (size_t)kv);
    copy(st->v, st->v_raw, (size_t)s->rows, (size_t)kv);
    if (c->clip_qkv > 0) {
        plumb_clip(s->compute, st->q, q, s->queries, q, (float)c->clip_qkv);
        plumb_clip(s->compute, st->k, kv, s->rows, kv, (float)c->clip_qkv);
        plumb_clip(s->compute, st->v, kv, s->rows, kv, (float)c->clip_qkv);
    }
    if (l->q_norm.d) {
        plumb_norm_run(s->compute, &l->q_norm, st->q, q, s->queries, q / l->q_norm.d, st->q, q);
        plumb_norm_run(s->compute, &l->k_norm, st->k, kv, s->rows, kv / l->k_norm.d, st->k, kv);
    }
    const float *cosine = rotations->cosine[l->local_rope], *sine = rotations->sine[l->local_rope];
    plumb_rotary(s->compute, st->q, q, s->queries, c->heads, c->head_dim, c->rotary, cosine, sine,
                 s->last ? s->b->wanted_positions.data : s->b->positions.data);
    plumb_rotary(s->compute, st->k, kv, s->rows, c->kv_heads, c->head_dim, c->rotary, cosine, sine,
                 s->b->positions.data);
}

static plumb_status attend(const step *s)
{
    const plumb_config *c = &s->m->config;
    const plumb_layer_state *st = s->st;
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    plumb_attention a = {c->heads,    c->kv_heads, c->head_dim, (float)c->attention_scale, (float)c->attention_cap,
                         s->l->window};
    const plumb_segment *segments = s->last ? s->b->wanted_segments : s->b->segments;
    int count = (int)(s->last ? s->b->wanted_segment_count : s->b->segment_count);
    const float *k = st->k, *v = st->v;
    if (st->k_cache) {
        plumb_place_rows(s->compute, k, kv, s->b->cache_rows.data, s->rows, kv, st->k_cache, kv);
        plumb_place_rows(s->compute, v, kv, s->b->cache_rows.data, s->rows, kv, st->v_cache, kv);
        k = st->k_cache;
        v = st->v_cache;
    }
    if (st->lse)
        return plumb_attend_saving(s->compute, &a, segments, count, st->q, q, k, kv, v, kv, st->attended, q, st->lse);
    return plumb_attend(s->compute, &a, segments, count, st->q, q, k, kv, v, kv, st->attended, q);
}

/* x += w y, through a norm of w y where the architecture has one after the branch: y is the input of w, its last
 * linear. */
static plumb_status add_branch(const step *s, const plumb_linear *w, const input *y, const plumb_norm *after,
                               float *out, float *x)
{
    int d = w->n;
    if (!after->d) return run(s, w, y, x, PLUMB_ADD);
    PLUMB_TRY(run(s, w, y, out, PLUMB_STORE));
    norm(s, after, out, y->rows, s->st->branch_normed);
    plumb_add(s->compute, s->st->branch_normed, d, y->rows, d, x, d);
    return PLUMB_OK;
}

/* Rows first .. first + count - 1 of the MLP, from its input n to the stream. */
static plumb_status mlp_part(const step *s, const float *n, int first, int count)
{
    const plumb_config *c = &s->m->config;
    const plumb_layer *l = s->l;
    const plumb_layer_state *st = s->st;
    int d = c->hidden_size, ff = c->intermediate_size;
    size_t at = (size_t)first * (size_t)d, wide = st->whole_mlp ? (size_t)first * (size_t)ff : 0;
    float *gate = st->gate + wide, *up = NULL;
    input in = {n + at, st->mlp_normed ? st->mlp_normed + at : NULL, first, count, partners_of_queries(s)->data};
    if (l->gate.n) {
        const plumb_linear *w[] = {&l->gate, &l->up};
        up = st->up + wide;
        PLUMB_TRY(run_many(s, w, 2, &in, (float *[]){gate, up}, PLUMB_STORE));
    } else {
        PLUMB_TRY(run(s, &l->up, &in, gate, PLUMB_STORE));
    }
    float *product = st->whole_mlp ? st->product : gate;
    plumb_activate(s->compute, c->activation, gate, ff, up, ff, count, ff, product, ff);
    in.x = in.room = product;
    return add_branch(s, &l->down, &in, &l->post_mlp_norm, st->mlp_out ? st->mlp_out + at : NULL, st->x_out + at);
}

static plumb_status mlp(const step *s, const float *n)
{
    for (int first = 0, end; first < s->queries; first = end) {
        end = first + s->st->mlp_rows;
        if (end >= s->queries)
            end = s->queries;
        else if (differs(s))
            end = plumb_partners_cut(partners_of_queries(s), first, end);
        PLUMB_TRY(mlp_part(s, n, first, end - first));
    }
    return PLUMB_OK;
}

/* The residual stream of the rows that go on, ready to be added to. */
static void begin_stream(const step *s)
{
    size_t d = (size_t)s->m->config.hidden_size;
    if (s->last)
        plumb_gather_rows(s->compute, s->st->x_in, (int)d, s->b->wanted.data, s->queries, (int)d, s->st->x_mid, (int)d);
    else
        copy(s->st->x_mid, s->st->x_in, (size_t)s->rows, d);
}

plumb_status plumb_layer_forward(const plumb_model *m, const plumb_rotations *rotations, int i, const plumb_batch *b,
                                 const plumb_layer_state *st)
{
    const plumb_config *c = &m->config;
    const plumb_layer *l = &m->layers[i];
    bool last = i == c->layers - 1;
    int rows = (int)b->ids.count, queries = last ? (int)b->wanted.count : rows;
    step s = {m, l, b, st, m->compute, rows, queries, last};
    const float *n = st->x_in, *n_mlp;
    if (l->input_norm.d) {
        norm(&s, &l->input_norm, st->x_in, rows, st->normed);
        n = st->normed;
    }
    PLUMB_TRY(project(&s, n));
    clip_norm_rotate(&s, rotations);
    PLUMB_TRY(attend(&s));
    begin_stream(&s);
    if (c->parallel_residual) /* both branches read the stream before either is added */
        norm(&s, &l->pre_mlp_norm, st->x_mid, queries, st->mlp_normed);
    input attended = spent(st->attended, queries, partners_of_queries(&s));
    PLUMB_TRY(add_branch(&s, &l->o, &attended, &l->post_attention_norm, st->attention_out, st->x_mid));
    if (!c->parallel_residual && l->pre_mlp_norm.d) norm(&s, &l->pre_mlp_norm, st->x_mid, queries, st->mlp_normed);
    n_mlp = l->pre_mlp_norm.d ? st->mlp_normed : st->x_mid;
    copy(st->x_out, st->x_mid, (size_t)queries, (size_t)c->hidden_size);
    return mlp(&s, n_mlp);
}
