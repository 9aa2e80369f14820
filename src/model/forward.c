#include "model/forward.h"

#include <stdlib.h>

#include "model/rope.h"

/* The wide activations of the MLP are computed in runs of rows so that they stay below this many bytes. */
enum { MLP_BYTES = 96 << 20 };

struct plumb_forward {
    const plumb_model *model;
    plumb_compute *compute;
    plumb_observe *observe;
    void *observe_user;
    int rows, mlp_rows, rope_positions; /* capacities */
    float *x;                           /* [rows][d] residual stream */
    float *x_wanted;                    /* [rows][d] the same of the wanted rows, in the last layer */
    float *normed, *normed_wanted;      /* [rows][d] */
    float *branch;                      /* [rows][d] output of attention or MLP where a norm follows */
    float *q, *k, *v, *attended;        /* [rows][heads or kv_heads * head_dim] */
    float *fused;                       /* [rows][3 heads head_dim], INTERLEAVED only */
    float *gate, *up;                   /* [mlp_rows][ff] */
    float *cosine[2], *sine[2];         /* [rope_positions][rotary / 2]: 0 rope, 1 local_rope */
};

plumb_status plumb_forward_new(const plumb_model *model, plumb_forward **out)
{
    PLUMB_TRY(plumb_new(out, 1, sizeof **out));
    (*out)->model = model;
    (*out)->compute = model->compute;
    return PLUMB_OK;
}

static void release_rows(plumb_forward *f)
{
    float **all[] = {&f->x, &f->x_wanted, &f->normed, &f->normed_wanted, &f->branch, &f->q,
                     &f->k, &f->v,        &f->attended, &f->fused,       &f->gate,   &f->up};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        plumb_compute_release(f->compute, *all[i]);
        *all[i] = NULL;
    }
    f->rows = 0;
}

void plumb_forward_free(plumb_forward *f)
{
    if (!f) return;
    release_rows(f);
    for (int i = 0; i < 2; i++) {
        plumb_compute_release(f->compute, f->cosine[i]);
        plumb_compute_release(f->compute, f->sine[i]);
    }
    free(f);
}

void plumb_forward_observe(plumb_forward *f, plumb_observe *observe, void *user)
{
    f->observe = observe;
    f->observe_user = user;
}

static bool has_branch(const plumb_config *c)
{
    return c->architecture->place != PLUMB_NORM_PRE;
}

static int mlp_rows(const plumb_config *c, int rows)
{
    int64_t most = MLP_BYTES / (2 * sizeof(float) * (int64_t)c->intermediate_size);
    most = most / 64 * 64;
    if (most < 64) most = 64;
    return rows < most ? rows : (int)most;
}

int64_t plumb_forward_bytes(const plumb_config *c, int rows, int wanted)
{
    (void)wanted; /* wanted rows may be all rows */
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    int64_t row = (int64_t)c->hidden_size * (4 + has_branch(c)) + 2 * q + 2 * kv;
    if (c->architecture->qkv == PLUMB_QKV_INTERLEAVED) row += 3 * q;
    return (row * rows + 2 * (int64_t)c->intermediate_size * mlp_rows(c, rows)) * (int64_t)sizeof(float);
}

static plumb_status reserve_rows(plumb_forward *f, int rows)
{
    if (rows <= f->rows) return PLUMB_OK;
    const plumb_config *c = &f->model->config;
    size_t n = (size_t)rows, d = (size_t)c->hidden_size, q = (size_t)c->heads * (size_t)c->head_dim,
           kv = (size_t)c->kv_heads * (size_t)c->head_dim;
    release_rows(f);
    f->mlp_rows = mlp_rows(c, rows);
    size_t wide = (size_t)f->mlp_rows * (size_t)c->intermediate_size;
    bool fused = c->architecture->qkv == PLUMB_QKV_INTERLEAVED;
    struct {
        float **buffer;
        size_t count;
    } plan[] = {{&f->x, n * d},      {&f->x_wanted, n * d},
                {&f->normed, n * d}, {&f->normed_wanted, n * d},
                {&f->q, n * q},      {&f->k, n * kv},
                {&f->v, n * kv},     {&f->attended, n * q},
                {&f->gate, wide},    {&f->up, wide},
                {&f->branch, has_branch(c) ? n * d : 0},
                {&f->fused, fused ? n * 3 * q : 0}};
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++)
        if (plan[i].count) PLUMB_TRY(plumb_compute_alloc(f->compute, plan[i].buffer, plan[i].count, sizeof(float)));
    f->rows = rows;
    return PLUMB_OK;
}

static plumb_status reserve_positions(plumb_forward *f, int positions)
{
    if (positions <= f->rope_positions) return PLUMB_OK;
    const plumb_config *c = &f->model->config;
    const plumb_rope *ropes[2] = {&c->rope, &c->local_rope};
    if (positions < 1024) positions = 1024;
    size_t count = (size_t)positions * (size_t)(c->rotary / 2);
    f->rope_positions = 0;
    for (int i = 0; i < 2; i++) {
        plumb_compute_release(f->compute, f->cosine[i]);
        plumb_compute_release(f->compute, f->sine[i]);
        f->cosine[i] = f->sine[i] = NULL;
        PLUMB_TRY(plumb_compute_alloc(f->compute, &f->cosine[i], count, sizeof(float)));
        PLUMB_TRY(plumb_compute_alloc(f->compute, &f->sine[i], count, sizeof(float)));
        PLUMB_TRY(plumb_rope_tables(ropes[i], c->rotary, positions, f->cosine[i], f->sine[i]));
    }
    f->rope_positions = positions;
    return PLUMB_OK;
}

static plumb_status check_batch(const plumb_forward *f, const plumb_batch *b, int *positions)
{
    *positions = 0;
    for (size_t i = 0; i < b->ids.count; i++) {
        if (b->ids.data[i] < 0 || b->ids.data[i] >= f->model->config.vocab_size)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "token id %d is outside the model's %d embedding rows",
                                         b->ids.data[i], f->model->config.vocab_size),
                              "do tokenizer.json and the weights belong together?");
        if (b->positions.data[i] >= *positions) *positions = b->positions.data[i] + 1;
    }
    return PLUMB_OK;
}

static void norm(plumb_forward *f, const plumb_norm *n, const float *x, int rows, float *y)
{
    plumb_norm_run(f->compute, n, x, n->d, rows, 1, y, n->d);
}

/* q of n_q [queries], k and v of n_kv [rows], before norms and rotary; fused matrices are taken apart. */
static plumb_status project(plumb_forward *f, const plumb_layer *l, const plumb_batch *b, const float *n_q, int queries,
                            const float *n_kv, int rows, bool last)
{
    const plumb_config *c = &f->model->config;
    plumb_compute *pc = f->compute;
    int d = c->hidden_size, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim, hd = c->head_dim;
    if (c->architecture->qkv == PLUMB_QKV_INTERLEAVED) {
        PLUMB_TRY(plumb_linear_run(pc, &l->q, n_kv, d, rows, f->fused, 3 * q, PLUMB_STORE));
        plumb_copy_blocks(pc, f->fused + hd, 3 * q, rows, hd, 3 * hd, c->heads, f->k, kv);
        plumb_copy_blocks(pc, f->fused + (size_t)2 * hd, 3 * q, rows, hd, 3 * hd, c->heads, f->v, kv);
        float *all = last ? f->attended : f->q; /* attended is free until attention writes it */
        plumb_copy_blocks(pc, f->fused, 3 * q, rows, hd, 3 * hd, c->heads, all, q);
        if (last) plumb_gather_rows(pc, all, q, b->wanted.data, queries, q, f->q, q);
        return PLUMB_OK;
    }
    if (!last) {
        const plumb_linear *w[] = {&l->q, &l->k, &l->v};
        return plumb_linear_run_many(pc, w, 3, n_kv, d, rows, (float *[]){f->q, f->k, f->v}, (int[]){q, kv, kv}, PLUMB_STORE);
    }
    const plumb_linear *w[] = {&l->k, &l->v};
    PLUMB_TRY(plumb_linear_run(pc, &l->q, n_q, d, queries, f->q, q, PLUMB_STORE));
    return plumb_linear_run_many(pc, w, 2, n_kv, d, rows, (float *[]){f->k, f->v}, (int[]){kv, kv}, PLUMB_STORE);
}

static void clip_norm_rotate(plumb_forward *f, const plumb_layer *l, const plumb_batch *b, int queries, int rows, bool last)
{
    const plumb_config *c = &f->model->config;
    plumb_compute *pc = f->compute;
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    if (c->clip_qkv > 0) {
        plumb_clip(pc, f->q, q, queries, q, (float)c->clip_qkv);
        plumb_clip(pc, f->k, kv, rows, kv, (float)c->clip_qkv);
        plumb_clip(pc, f->v, kv, rows, kv, (float)c->clip_qkv);
    }
    if (l->q_norm.d) {
        plumb_norm_run(pc, &l->q_norm, f->q, q, queries, q / l->q_norm.d, f->q, q);
        plumb_norm_run(pc, &l->k_norm, f->k, kv, rows, kv / l->k_norm.d, f->k, kv);
    }
    const float *cosine = f->cosine[l->local_rope], *sine = f->sine[l->local_rope];
    plumb_rotary(pc, f->q, q, queries, c->heads, c->head_dim, c->rotary, cosine, sine,
                 last ? b->wanted_positions.data : b->positions.data);
    plumb_rotary(pc, f->k, kv, rows, c->kv_heads, c->head_dim, c->rotary, cosine, sine, b->positions.data);
}

/* x += w y, through a norm of y where the architecture has one after the branch: w is the branch's last linear, y its
 * input [rows][w->k]. */
static plumb_status add_branch(plumb_forward *f, const plumb_linear *w, const float *y, int rows, const plumb_norm *after,
                               float *x)
{
    int d = w->n;
    if (!after->d) return plumb_linear_run(f->compute, w, y, w->k, rows, x, d, PLUMB_ADD);
    PLUMB_TRY(plumb_linear_run(f->compute, w, y, w->k, rows, f->branch, d, PLUMB_STORE));
    norm(f, after, f->branch, rows, f->branch);
    plumb_add(f->compute, f->branch, d, rows, d, x, d);
    return PLUMB_OK;
}

static plumb_status mlp(plumb_forward *f, const plumb_layer *l, const float *n, int rows, float *x)
{
    const plumb_config *c = &f->model->config;
    plumb_compute *pc = f->compute;
    int d = c->hidden_size, ff = c->intermediate_size;
    for (int first = 0; first < rows; first += f->mlp_rows) {
        int count = rows - first < f->mlp_rows ? rows - first : f->mlp_rows;
        const float *in = n + (size_t)first * d;
        if (l->gate.n) {
            const plumb_linear *w[] = {&l->gate, &l->up};
            PLUMB_TRY(plumb_linear_run_many(pc, w, 2, in, d, count, (float *[]){f->gate, f->up}, (int[]){ff, ff}, PLUMB_STORE));
            plumb_activate(pc, c->activation, f->gate, ff, f->up, ff, count, ff, f->gate, ff);
        } else {
            PLUMB_TRY(plumb_linear_run(pc, &l->up, in, d, count, f->gate, ff, PLUMB_STORE));
            plumb_activate(pc, c->activation, f->gate, ff, NULL, 0, count, ff, f->gate, ff);
        }
        PLUMB_TRY(add_branch(f, &l->down, f->gate, count, &l->post_mlp_norm, x + (size_t)first * d));
    }
    return PLUMB_OK;
}

/* Layer i on the residual stream. In the last layer the stream narrows to the wanted rows: *x is then x_wanted. */
static plumb_status run_layer(plumb_forward *f, int i, const plumb_batch *b, float **x)
{
    const plumb_config *c = &f->model->config;
    const plumb_layer *l = &f->model->layers[i];
    plumb_compute *pc = f->compute;
    bool last = i == c->layers - 1;
    int d = c->hidden_size, rows = (int)b->ids.count, queries = last ? (int)b->wanted.count : rows;
    const float *n = *x, *n_q;
    if (l->input_norm.d) {
        norm(f, &l->input_norm, *x, rows, f->normed);
        n = f->normed;
    }
    n_q = n;
    if (last) {
        plumb_gather_rows(pc, *x, d, b->wanted.data, queries, d, f->x_wanted, d);
        *x = f->x_wanted;
        if (l->input_norm.d) plumb_gather_rows(pc, n, d, b->wanted.data, queries, d, f->normed_wanted, d);
        n_q = l->input_norm.d ? f->normed_wanted : f->x_wanted;
    }
    PLUMB_TRY(project(f, l, b, n_q, queries, n, rows, last));
    clip_norm_rotate(f, l, b, queries, rows, last);
    int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    plumb_attention a = {c->heads, c->kv_heads, c->head_dim, (float)c->attention_scale, (float)c->attention_cap, l->window};
    PLUMB_TRY(plumb_attend(pc, &a, last ? b->wanted_segments : b->segments,
                           (int)(last ? b->wanted_segment_count : b->segment_count), f->q, q, f->k, kv, f->v, kv,
                           f->attended, q));
    const float *n_mlp = *x;
    if (c->parallel_residual) { /* both branches read the stream before either is added */
        norm(f, &l->pre_mlp_norm, *x, queries, f->normed);
        n_mlp = f->normed;
    }
    PLUMB_TRY(add_branch(f, &l->o, f->attended, queries, &l->post_attention_norm, *x));
    if (!c->parallel_residual && l->pre_mlp_norm.d) {
        norm(f, &l->pre_mlp_norm, *x, queries, f->normed);
        n_mlp = f->normed;
    }
    return mlp(f, l, n_mlp, queries, *x);
}

plumb_status plumb_forward_run(plumb_forward *f, const plumb_batch *b, const float **hidden)
{
    const plumb_config *c = &f->model->config;
    int rows = (int)b->ids.count, d = c->hidden_size, positions;
    PLUMB_TRY(check_batch(f, b, &positions));
    PLUMB_TRY(reserve_rows(f, rows));
    PLUMB_TRY(reserve_positions(f, positions));
    plumb_embed(f->compute, &f->model->embed, b->ids.data, rows, (float)c->embed_scale, f->x, d);
    float *x = f->x;
    for (int i = 0; i < c->layers; i++) {
        if (f->observe) f->observe(f->observe_user, i, x, rows, d);
        PLUMB_TRY(run_layer(f, i, b, &x));
    }
    norm(f, &f->model->final_norm, x, (int)b->wanted.count, x);
    *hidden = x;
    return plumb_compute_check(f->compute);
}

double plumb_forward_flops(const plumb_config *c, const plumb_batch *b)
{
    double d = c->hidden_size, ff = c->intermediate_size, q = (double)c->heads * c->head_dim,
           kv = (double)c->kv_heads * c->head_dim, rows = (double)b->ids.count, wanted = (double)b->wanted.count;
    double mlp_width = (c->architecture->mlp == PLUMB_MLP_PLAIN ? 2 : 3) * d * ff;
    double all = 2 * rows * (d * (q + 2 * kv) + q * d + mlp_width);
    double last = 2 * (rows * d * 2 * kv + wanted * (d * q + q * d + mlp_width));
    double pairs = 0, last_pairs = 0; /* of a query and a key it sees; windows are left out of the count */
    for (size_t i = 0; i < b->ids.count; i++) pairs += b->positions.data[i] + 1.0;
    for (size_t i = 0; i < b->wanted.count; i++) last_pairs += b->wanted_positions.data[i] + 1.0;
    return (c->layers - 1) * (all + 4 * q * pairs) + last + 4 * q * last_pairs;
}
