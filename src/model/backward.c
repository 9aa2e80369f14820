#include "model/backward.h"

#include <stdlib.h>
#include <string.h>

#include "compute/gradient.h"
#include "model/adapter.h"

/* Wide activations of the MLP are differentiated in runs of rows that stay below this many bytes each. */
enum { MLP_BYTES = 48 << 20 };

struct plumb_training {
    const plumb_model *m, *g; /* values and gradients */
    plumb_compute *compute;
    const plumb_sink *sink; /* borrowed; NULL: none */
    bool keep;
    int rows, mlp_rows, rank;
    plumb_rotations rotations;
    plumb_layer_state *layers; /* [layers]; without `keep` all but x_in are the same memory */
    float **blocks;            /* everything that was allocated */
    size_t block_count, block_capacity;
    float *final, *hidden; /* [rows][d] stream after the last layer; after the last norm */
    /* scratch of the backward pass */
    float *dx, *dn, *dn_wanted, *dbranch; /* [rows][d] */
    float *dq, *dk, *dv, *dattended;      /* [rows][heads or kv_heads * head_dim] */
    float *dfused;                        /* [rows][3 heads head_dim], INTERLEAVED only */
    float *dproduct, *dgate, *dup;        /* [mlp_rows][ff] */
    float *low_rank, *dlow_rank;          /* [rows][r], with an adapter only */
};

/* ---- memory ---- */

/* Which optional buffers an architecture needs. */
typedef struct widths {
    size_t d, q, kv, ff, heads;
    bool branch, fused, raw;
} widths;

static widths widths_of(const plumb_config *c)
{
    return (widths){.d = (size_t)c->hidden_size,
                    .q = (size_t)c->heads * (size_t)c->head_dim,
                    .kv = (size_t)c->kv_heads * (size_t)c->head_dim,
                    .ff = (size_t)c->intermediate_size,
                    .heads = (size_t)c->heads,
                    .branch = c->architecture->place != PLUMB_NORM_PRE,
                    .fused = c->architecture->qkv == PLUMB_QKV_INTERLEAVED,
                    .raw = c->clip_qkv > 0 || c->architecture->qk_norm != PLUMB_QK_NONE};
}

static int mlp_rows(const plumb_config *c, int rows)
{
    int64_t most = MLP_BYTES / (int64_t)(sizeof(float) * (size_t)c->intermediate_size) / 64 * 64;
    if (most < 64) most = 64;
    return rows < most ? rows : (int)most;
}

/* Floats that each row of a layer keeps, the stream before it left out. */
static size_t kept_per_row(const widths *w)
{
    size_t floats = 3 * w->d /* normed, x_mid, mlp_normed */ + 2 * w->q + 2 * w->kv + w->heads + 2 * w->ff;
    if (w->raw) floats += w->q + 2 * w->kv;
    if (w->branch) floats += 2 * w->d;
    return floats;
}

static size_t scratch_per_row(const widths *w)
{
    return 8 * w->d + 2 * w->q + 2 * w->kv + (w->fused ? 6 * w->q : 0);
}

int64_t plumb_training_bytes(const plumb_config *c, int rows, int wanted, bool keep)
{
    (void)wanted; /* wanted rows may be all rows */
    widths w = widths_of(c);
    size_t n = (size_t)rows, layers = (size_t)c->layers;
    size_t floats = n * layers * w.d + n * kept_per_row(&w) * (keep ? layers : 1) + n * scratch_per_row(&w) +
                    4 * (size_t)mlp_rows(c, rows) * w.ff;
    return (int64_t)(floats * sizeof(float));
}

static plumb_status grab(plumb_training *t, float **out, size_t rows, size_t width)
{
    PLUMB_TRY(plumb_reserve(&t->blocks, &t->block_capacity, t->block_count + 1, sizeof *t->blocks));
    PLUMB_TRY(plumb_compute_alloc(t->compute, out, rows * width, sizeof(float)));
    t->blocks[t->block_count++] = *out;
    return PLUMB_OK;
}

static void release_all(plumb_training *t)
{
    for (size_t i = 0; i < t->block_count; i++) plumb_compute_release(t->compute, t->blocks[i]);
    t->block_count = 0;
    t->low_rank = t->dlow_rank = NULL;
    t->rows = 0;
}

/* The buffers of one layer that its backward pass reads. */
static plumb_status grab_layer(plumb_training *t, const widths *w, size_t n, plumb_layer_state *st)
{
    PLUMB_TRY(grab(t, &st->normed, n, w->d));
    PLUMB_TRY(grab(t, &st->x_mid, n, w->d));
    PLUMB_TRY(grab(t, &st->mlp_normed, n, w->d));
    PLUMB_TRY(grab(t, &st->q, n, w->q));
    PLUMB_TRY(grab(t, &st->k, n, w->kv));
    PLUMB_TRY(grab(t, &st->v, n, w->kv));
    PLUMB_TRY(grab(t, &st->attended, n, w->q));
    PLUMB_TRY(grab(t, &st->lse, n, w->heads));
    PLUMB_TRY(grab(t, &st->gate, n, w->ff));
    PLUMB_TRY(grab(t, &st->up, n, w->ff));
    st->q_raw = st->q;
    st->k_raw = st->k;
    st->v_raw = st->v;
    if (w->raw) {
        PLUMB_TRY(grab(t, &st->q_raw, n, w->q));
        PLUMB_TRY(grab(t, &st->k_raw, n, w->kv));
        PLUMB_TRY(grab(t, &st->v_raw, n, w->kv));
    }
    if (w->branch) {
        PLUMB_TRY(grab(t, &st->attention_out, n, w->d));
        PLUMB_TRY(grab(t, &st->mlp_out, n, w->d));
    }
    return PLUMB_OK;
}

/* Scratch that all layers share in the forward pass. */
static plumb_status grab_shared(plumb_training *t, const widths *w, size_t n, plumb_layer_state *st)
{
    if (t->rank) PLUMB_TRY(grab(t, &t->low_rank, n, (size_t)t->rank));
    if (t->rank) PLUMB_TRY(grab(t, &t->dlow_rank, n, (size_t)t->rank));
    st->low_rank = t->low_rank;
    PLUMB_TRY(grab(t, &st->normed_wanted, n, w->d));
    PLUMB_TRY(grab(t, &st->branch_normed, n, w->d));
    PLUMB_TRY(grab(t, &st->product, (size_t)t->mlp_rows, w->ff));
    if (w->fused) PLUMB_TRY(grab(t, &st->fused, n, 3 * w->q));
    st->whole_mlp = true;
    st->mlp_rows = t->mlp_rows;
    return PLUMB_OK;
}

static plumb_status grab_scratch(plumb_training *t, const widths *w, size_t n)
{
    PLUMB_TRY(grab(t, &t->final, n, w->d));
    PLUMB_TRY(grab(t, &t->hidden, n, w->d));
    PLUMB_TRY(grab(t, &t->dx, n, w->d));
    PLUMB_TRY(grab(t, &t->dn, n, w->d));
    PLUMB_TRY(grab(t, &t->dn_wanted, n, w->d));
    PLUMB_TRY(grab(t, &t->dbranch, n, w->d));
    PLUMB_TRY(grab(t, &t->dq, n, w->q));
    PLUMB_TRY(grab(t, &t->dk, n, w->kv));
    PLUMB_TRY(grab(t, &t->dv, n, w->kv));
    PLUMB_TRY(grab(t, &t->dattended, n, w->q));
    if (w->fused) PLUMB_TRY(grab(t, &t->dfused, n, 3 * w->q));
    PLUMB_TRY(grab(t, &t->dproduct, (size_t)t->mlp_rows, w->ff));
    PLUMB_TRY(grab(t, &t->dgate, (size_t)t->mlp_rows, w->ff));
    return grab(t, &t->dup, (size_t)t->mlp_rows, w->ff);
}

static plumb_status reserve_rows(plumb_training *t, int rows)
{
    int rank = plumb_model_rank(t->m);
    if (rows <= t->rows && rank <= t->rank) return PLUMB_OK;
    if (rows < t->rows) rows = t->rows;
    const plumb_config *c = &t->m->config;
    widths w = widths_of(c);
    size_t n = (size_t)rows;
    plumb_layer_state shared = {0}, kept = {0};
    release_all(t);
    t->mlp_rows = mlp_rows(c, rows);
    t->rank = rank;
    PLUMB_TRY(grab_shared(t, &w, n, &shared));
    PLUMB_TRY(grab_scratch(t, &w, n));
    for (int i = 0; i < c->layers; i++) {
        float *x_in;
        if (i == 0 || t->keep) {
            kept = shared;
            PLUMB_TRY(grab_layer(t, &w, n, &kept));
        }
        PLUMB_TRY(grab(t, &x_in, n, w.d));
        t->layers[i] = kept;
        t->layers[i].x_in = x_in;
        if (i > 0) t->layers[i - 1].x_out = x_in;
    }
    t->layers[c->layers - 1].x_out = t->final;
    t->rows = rows;
    return PLUMB_OK;
}

plumb_status plumb_training_new(const plumb_model *values, const plumb_model *gradients, bool keep,
                                plumb_training **out)
{
    plumb_training *t;
    *out = NULL;
    PLUMB_TRY(plumb_new(&t, 1, sizeof *t));
    *t = (plumb_training){.m = values, .g = gradients, .compute = values->compute, .keep = keep};
    plumb_status s = plumb_new(&t->layers, (size_t)values->config.layers, sizeof *t->layers);
    if (s) {
        plumb_training_free(t);
        return s;
    }
    *out = t;
    return PLUMB_OK;
}

void plumb_training_free(plumb_training *t)
{
    if (!t) return;
    release_all(t);
    plumb_rotations_free(t->m, &t->rotations);
    free(t->blocks);
    free(t->layers);
    free(t);
}

void plumb_training_watch(plumb_training *t, const plumb_sink *sink)
{
    t->sink = sink;
}

/* ---- forwards ---- */

plumb_status plumb_training_forward(plumb_training *t, const plumb_batch *b, const float **hidden)
{
    const plumb_config *c = &t->m->config;
    int rows = (int)b->ids.count, d = c->hidden_size, positions;
    PLUMB_TRY(plumb_batch_check(b, c->vocab_size, &positions));
    PLUMB_TRY(reserve_rows(t, rows));
    PLUMB_TRY(plumb_rotations_reserve(t->m, positions, &t->rotations));
    plumb_embed(t->compute, &t->m->embed, b->ids.data, rows, (float)c->embed_scale, (float *)t->layers[0].x_in, d);
    for (int i = 0; i < c->layers; i++) {
        PLUMB_TRY(plumb_check_interrupt(t->sink));
        PLUMB_TRY(plumb_layer_forward(t->m, &t->rotations, i, b, &t->layers[i]));
    }
    plumb_norm_run(t->compute, &t->m->final_norm, t->final, d, (int)b->wanted.count, 1, t->hidden, d);
    *hidden = t->hidden;
    return plumb_compute_check(t->compute);
}

/* ---- backwards ---- */

/* What all steps of one layer need. */
typedef struct step {
    plumb_training *t;
    plumb_compute *c;
    const plumb_config *config;
    const plumb_layer *l, *g; /* weights; where their gradients are */
    const plumb_layer_state *st;
    const plumb_batch *b;
    int rows, queries, d, q, kv;
    bool last;
} step;

/* The gradient models hold plain pointers of const type; the memory behind them is the trainer's. */
static float *writable(const void *p)
{
    return (float *)p;
}

/* Gradients of w, its bias and its adapter from dy [rows][n] and the input x [rows][k], and of x: dx = or += dy w, and
 * what comes through the adapter. dx may be NULL. */
static plumb_status linear_back(const step *s, const plumb_linear *w, const plumb_linear *g, const float *x,
                                const float *dy, int rows, float *dx, plumb_store store)
{
    if (g->weight) PLUMB_TRY(plumb_linear_gradient(s->c, dy, w->n, x, w->k, rows, w->n, w->k, writable(g->weight)));
    if (g->bias) plumb_bias_gradient(s->c, dy, w->n, rows, w->n, writable(g->bias));
    if (dx) PLUMB_TRY(plumb_linear_transposed(s->c, w, dy, w->n, rows, dx, w->k, store));
    const plumb_low_rank *addition = plumb_low_rank_of(s->t->m, s->l, w);
    if (!addition) return PLUMB_OK;
    return plumb_low_rank_back(s->c, addition, plumb_low_rank_of(s->t->g, s->g, g), x, dy, rows, s->t->low_rank,
                               s->t->dlow_rank, dx);
}

static void norm_back(const step *s, const plumb_norm *n, const plumb_norm *g, const float *x, const float *dy,
                      int rows, float *dx, plumb_store store)
{
    plumb_norm_gradient(s->c, n, x, n->d, dy, n->d, rows, 1, dx, n->d, store, writable(g->weight), writable(g->bias));
}

/* Rows first .. of the MLP: dout is the gradient of down's output; leaves that of its input in dn. */
static plumb_status mlp_part_back(const step *s, const float *n, const float *dout, int first, int count, float *dn)
{
    plumb_training *t = s->t;
    int ff = s->config->intermediate_size;
    size_t at = (size_t)first * (size_t)s->d, wide = (size_t)first * (size_t)ff;
    const float *gate = s->st->gate + wide, *up = s->l->gate.n ? s->st->up + wide : NULL;
    plumb_activate(s->c, s->config->activation, gate, ff, up, ff, count, ff, s->st->product, ff);
    PLUMB_TRY(linear_back(s, &s->l->down, &s->g->down, s->st->product, dout + at, count, t->dproduct, PLUMB_STORE));
    plumb_activate_gradient(s->c, s->config->activation, gate, ff, up, ff, t->dproduct, ff, count, ff, t->dgate, ff,
                            up ? t->dup : NULL, ff);
    if (!up) return linear_back(s, &s->l->up, &s->g->up, n + at, t->dgate, count, dn + at, PLUMB_STORE);
    PLUMB_TRY(linear_back(s, &s->l->gate, &s->g->gate, n + at, t->dgate, count, dn + at, PLUMB_STORE));
    return linear_back(s, &s->l->up, &s->g->up, n + at, t->dup, count, dn + at, PLUMB_ADD);
}

/* Through the MLP branch: dx [queries][d] is the gradient of the stream after it; adds that of the stream before it.
 * The stream that the norm read is x_norm. */
static plumb_status mlp_back(const step *s, const float *x_norm, float *dx)
{
    plumb_training *t = s->t;
    const plumb_layer *l = s->l;
    const float *n = l->pre_mlp_norm.d ? s->st->mlp_normed : s->st->x_mid, *dout = dx;
    if (l->post_mlp_norm.d) {
        norm_back(s, &l->post_mlp_norm, &s->g->post_mlp_norm, s->st->mlp_out, dx, s->queries, t->dbranch, PLUMB_STORE);
        dout = t->dbranch;
    }
    for (int first = 0; first < s->queries; first += t->mlp_rows) {
        int left = s->queries - first;
        PLUMB_TRY(mlp_part_back(s, n, dout, first, left < t->mlp_rows ? left : t->mlp_rows, t->dn));
    }
    if (l->pre_mlp_norm.d)
        norm_back(s, &l->pre_mlp_norm, &s->g->pre_mlp_norm, x_norm, t->dn, s->queries, dx, PLUMB_ADD);
    else
        plumb_add(s->c, t->dn, s->d, s->queries, s->d, dx, s->d);
    return PLUMB_OK;
}

/* Through the norm of q or k [rows][width] and the clipping before it: in place on dy. */
static void raw_back(const step *s, const plumb_norm *n, const plumb_norm *g, const float *raw, int rows, int width,
                     float *dy)
{
    float clip = (float)s->config->clip_qkv;
    const float *clipped = raw;
    if (n && n->d) {
        if (clip > 0) { /* the norm read clipped values; dattended is free by now */
            memcpy(s->t->dattended, raw, (size_t)rows * (size_t)width * sizeof(float));
            plumb_clip(s->c, s->t->dattended, width, rows, width, clip);
            clipped = s->t->dattended;
        }
        plumb_norm_gradient(s->c, n, clipped, width, dy, width, rows, width / n->d, dy, width, PLUMB_STORE,
                            writable(g->weight), writable(g->bias));
    }
    if (clip > 0) plumb_clip_gradient(s->c, raw, width, rows, width, clip, dy, width);
}

/* From dattended to dq, dk, dv of the projections' outputs. */
static plumb_status attention_back(const step *s)
{
    plumb_training *t = s->t;
    const plumb_config *c = s->config;
    const plumb_layer_state *st = s->st;
    plumb_attention a = {c->heads,    c->kv_heads, c->head_dim, (float)c->attention_scale, (float)c->attention_cap,
                         s->l->window};
    const plumb_segment *segments = s->last ? s->b->wanted_segments : s->b->segments;
    int count = (int)(s->last ? s->b->wanted_segment_count : s->b->segment_count);
    if (s->last) { /* key rows that no wanted query sees get no gradient */
        memset(t->dk, 0, (size_t)s->rows * (size_t)s->kv * sizeof(float));
        memset(t->dv, 0, (size_t)s->rows * (size_t)s->kv * sizeof(float));
    }
    PLUMB_TRY(plumb_attend_gradient(s->c, &a, segments, count, st->q, s->q, st->k, s->kv, st->v, s->kv, st->attended,
                                    s->q, st->lse, t->dattended, s->q, t->dq, s->q, t->dk, s->kv, t->dv, s->kv));
    const float *cosine = t->rotations.cosine[s->l->local_rope], *sine = t->rotations.sine[s->l->local_rope];
    plumb_rotary_gradient(s->c, t->dq, s->q, s->queries, c->heads, c->head_dim, c->rotary, cosine, sine,
                          s->last ? s->b->wanted_positions.data : s->b->positions.data);
    plumb_rotary_gradient(s->c, t->dk, s->kv, s->rows, c->kv_heads, c->head_dim, c->rotary, cosine, sine,
                          s->b->positions.data);
    raw_back(s, &s->l->q_norm, &s->g->q_norm, st->q_raw, s->queries, s->q, t->dq);
    raw_back(s, &s->l->k_norm, &s->g->k_norm, st->k_raw, s->rows, s->kv, t->dk);
    raw_back(s, NULL, NULL, st->v_raw, s->rows, s->kv, t->dv);
    return PLUMB_OK;
}

/* The fused matrix of GPT-NeoX: dq, dk, dv side by side, head by head; rows that are no queries have dq = 0. */
static plumb_status interleaved_back(const step *s, const float *n)
{
    plumb_training *t = s->t;
    int hd = s->config->head_dim, heads = s->config->heads;
    const float *dq = t->dq;
    memset(t->dfused, 0, (size_t)s->rows * 3 * (size_t)s->q * sizeof(float));
    if (s->last) {
        memset(t->dattended, 0, (size_t)s->rows * (size_t)s->q * sizeof(float));
        plumb_scatter_rows(s->c, t->dq, s->q, s->b->wanted.data, s->queries, s->q, t->dattended, s->q);
        dq = t->dattended;
    }
    plumb_copy_blocks_back(s->c, dq, s->q, s->rows, hd, 3 * hd, heads, t->dfused, 3 * s->q);
    plumb_copy_blocks_back(s->c, t->dk, s->q, s->rows, hd, 3 * hd, heads, t->dfused + hd, 3 * s->q);
    plumb_copy_blocks_back(s->c, t->dv, s->q, s->rows, hd, 3 * hd, heads, t->dfused + (size_t)2 * hd, 3 * s->q);
    return linear_back(s, &s->l->q, &s->g->q, n, t->dfused, s->rows, t->dn, PLUMB_STORE);
}

/* From dq, dk, dv to dn [rows][d], the gradient of the projections' input n. */
static plumb_status project_back(const step *s, const float *n)
{
    plumb_training *t = s->t;
    if (s->config->architecture->qkv == PLUMB_QKV_INTERLEAVED) return interleaved_back(s, n);
    PLUMB_TRY(linear_back(s, &s->l->k, &s->g->k, n, t->dk, s->rows, t->dn, PLUMB_STORE));
    PLUMB_TRY(linear_back(s, &s->l->v, &s->g->v, n, t->dv, s->rows, t->dn, PLUMB_ADD));
    if (!s->last) return linear_back(s, &s->l->q, &s->g->q, n, t->dq, s->rows, t->dn, PLUMB_ADD);
    plumb_gather_rows(s->c, n, s->d, s->b->wanted.data, s->queries, s->d, s->st->normed_wanted, s->d);
    PLUMB_TRY(linear_back(s, &s->l->q, &s->g->q, s->st->normed_wanted, t->dq, s->queries, t->dn_wanted, PLUMB_STORE));
    plumb_scatter_rows(s->c, t->dn_wanted, s->d, s->b->wanted.data, s->queries, s->d, t->dn, s->d);
    return PLUMB_OK;
}

/* Through the attention branch: dout [queries][d] is the gradient of what it added to the stream; leaves that of its
 * input, the normed (or plain) stream of all rows, in t->dn. */
static plumb_status attention_branch_back(const step *s, const float *dout)
{
    plumb_training *t = s->t;
    const plumb_layer *l = s->l;
    if (l->post_attention_norm.d) {
        norm_back(s, &l->post_attention_norm, &s->g->post_attention_norm, s->st->attention_out, dout, s->queries,
                  t->dbranch, PLUMB_STORE);
        dout = t->dbranch;
    }
    PLUMB_TRY(linear_back(s, &l->o, &s->g->o, s->st->attended, dout, s->queries, t->dattended, PLUMB_STORE));
    PLUMB_TRY(attention_back(s));
    return project_back(s, l->input_norm.d ? s->st->normed : s->st->x_in);
}

/* The stream that the MLP's norm reads: with parallel residuals the one before attention was added. */
static const float *mlp_norm_input(const step *s)
{
    if (!s->config->parallel_residual) return s->st->x_mid;
    if (!s->last) return s->st->x_in;
    plumb_gather_rows(s->c, s->st->x_in, s->d, s->b->wanted.data, s->queries, s->d, s->st->branch_normed, s->d);
    return s->st->branch_normed;
}

/* dx: in the last layer [queries][d] becomes [rows][d], zero where a row does not go on. */
static void widen_rows(const step *s, float *dx)
{
    if (!s->last) return;
    memcpy(s->t->dn_wanted, dx, (size_t)s->queries * (size_t)s->d * sizeof(float));
    memset(dx, 0, (size_t)s->rows * (size_t)s->d * sizeof(float));
    plumb_scatter_rows(s->c, s->t->dn_wanted, s->d, s->b->wanted.data, s->queries, s->d, dx, s->d);
}

/* t->dx: from the gradient of the stream after layer i to that before it. */
static plumb_status layer_back(plumb_training *t, int i, const plumb_batch *b)
{
    const plumb_config *c = &t->m->config;
    bool last = i == c->layers - 1;
    int rows = (int)b->ids.count, queries = last ? (int)b->wanted.count : rows;
    step s = {t,   t->compute, c,       &t->m->layers[i], &t->g->layers[i],       &t->layers[i],
              b,   rows,       queries, c->hidden_size,   c->heads * c->head_dim, c->kv_heads * c->head_dim,
              last};
    float *dattention = t->dx;
    if (!t->keep) PLUMB_TRY(plumb_layer_forward(t->m, &t->rotations, i, b, s.st));
    if (c->parallel_residual) { /* both branches get the gradient of the sum */
        memcpy(t->dbranch, t->dx, (size_t)queries * (size_t)s.d * sizeof(float));
        dattention = t->dbranch;
    }
    PLUMB_TRY(mlp_back(&s, mlp_norm_input(&s), t->dx));
    PLUMB_TRY(attention_branch_back(&s, dattention));
    widen_rows(&s, t->dx);
    if (s.l->input_norm.d)
        norm_back(&s, &s.l->input_norm, &s.g->input_norm, s.st->x_in, t->dn, rows, t->dx, PLUMB_ADD);
    else
        plumb_add(s.c, t->dn, s.d, rows, s.d, t->dx, s.d);
    return PLUMB_OK;
}

plumb_status plumb_training_backward(plumb_training *t, const plumb_batch *b, float *dhidden, float *dembed)
{
    const plumb_config *c = &t->m->config;
    const plumb_norm *n = &t->m->final_norm, *g = &t->g->final_norm;
    int d = c->hidden_size, wanted = (int)b->wanted.count;
    plumb_norm_gradient(t->compute, n, t->final, d, dhidden, d, wanted, 1, t->dx, d, PLUMB_STORE, writable(g->weight),
                        writable(g->bias));
    for (int i = c->layers - 1; i >= 0; i--) {
        PLUMB_TRY(plumb_check_interrupt(t->sink));
        PLUMB_TRY(layer_back(t, i, b));
    }
    if (dembed) memcpy(dembed, t->dx, b->ids.count * (size_t)d * sizeof(float));
    return PLUMB_OK;
}
