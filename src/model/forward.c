#include "model/forward.h"

#include <stdlib.h>

#include "model/adapter.h"
#include "model/layer.h"

/* The wide activations of the MLP are computed in runs of rows so that they stay below this many bytes. */
enum { MLP_BYTES = 96 << 20 };

/* One set of buffers serves all layers: the stream is updated in place. */
struct plumb_forward {
    const plumb_model *model;
    plumb_compute *compute;
    const plumb_sink *sink; /* borrowed; NULL: none */
    plumb_prefetch *ahead;  /* NULL: layers stay in memory */
    plumb_observe *observe;
    void *observe_user;
    plumb_rotations rotations;
    int rows, wanted, mlp_rows, rank; /* capacities */
    float *x, *x_wanted; /* [rows][d] residual stream; [wanted][d] that of the wanted rows, in the last layer */
    float *normed, *normed_wanted; /* [rows][d]; [wanted][d], the input of q in the last layer */
    float *branch;                 /* [rows][d] output of attention or MLP where a norm follows */
    float *q, *k, *v, *attended;   /* [rows][heads or kv_heads * head_dim] */
    float *fused;                  /* [rows][3 heads head_dim], INTERLEAVED only */
    float *gate, *up;              /* [mlp_rows][ff] */
    float *low_rank;               /* [rows][r], with an adapter only */
    bool *taken;                   /* [rows] scratch of partners, where inputs are rounded only */
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
    float **all[] = {&f->x, &f->x_wanted, &f->normed, &f->normed_wanted, &f->branch, &f->q,       &f->k,
                     &f->v, &f->attended, &f->fused,  &f->gate,          &f->up,     &f->low_rank};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        plumb_compute_release(f->compute, *all[i]);
        *all[i] = NULL;
    }
    plumb_compute_release(f->compute, f->taken);
    f->taken = NULL;
    f->rows = f->wanted = 0;
}

void plumb_forward_free(plumb_forward *f)
{
    if (!f) return;
    plumb_prefetch_free(f->ahead);
    release_rows(f);
    plumb_rotations_free(f->model, &f->rotations);
    free(f);
}

void plumb_forward_watch(plumb_forward *f, const plumb_sink *sink)
{
    f->sink = sink;
}

plumb_status plumb_forward_stream(plumb_forward *f)
{
    return f->ahead ? PLUMB_OK : plumb_prefetch_new(&f->ahead);
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
    int64_t d = c->hidden_size, q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    int64_t row = d * (2 + has_branch(c)) + 2 * q + 2 * kv;
    if (c->architecture->qkv == PLUMB_QKV_INTERLEAVED) row += 3 * q;
    return (row * rows + 2 * d * wanted + 2 * (int64_t)c->intermediate_size * mlp_rows(c, rows)) *
           (int64_t)sizeof(float);
}

/* The last layer stands for all but the first, which never rounds. */
static bool rounds(const plumb_forward *f)
{
    return plumb_linear_rounds(f->compute, &f->model->layers[f->model->config.layers - 1].down);
}

static plumb_status reserve_rows(plumb_forward *f, int rows, int wanted)
{
    int rank = plumb_model_rank(f->model);
    if (rows <= f->rows && wanted <= f->wanted && rank <= f->rank) return PLUMB_OK;
    if (rows < f->rows) rows = f->rows;
    if (wanted < f->wanted) wanted = f->wanted;
    const plumb_config *c = &f->model->config;
    size_t n = (size_t)rows, on = (size_t)wanted, d = (size_t)c->hidden_size,
           q = (size_t)c->heads * (size_t)c->head_dim, kv = (size_t)c->kv_heads * (size_t)c->head_dim;
    release_rows(f);
    f->mlp_rows = mlp_rows(c, rows);
    size_t wide = (size_t)f->mlp_rows * (size_t)c->intermediate_size;
    bool fused = c->architecture->qkv == PLUMB_QKV_INTERLEAVED;
    struct {
        float **buffer;
        size_t count;
    } plan[] = {{&f->x, n * d},
                {&f->x_wanted, on * d},
                {&f->normed, n * d},
                {&f->normed_wanted, on * d},
                {&f->q, n * q},
                {&f->k, n * kv},
                {&f->v, n * kv},
                {&f->attended, n * q},
                {&f->gate, wide},
                {&f->up, wide},
                {&f->branch, has_branch(c) ? n * d : 0},
                {&f->fused, fused ? n * 3 * q : 0},
                {&f->low_rank, n * (size_t)rank}};
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++)
        if (plan[i].count) PLUMB_TRY(plumb_compute_alloc(f->compute, plan[i].buffer, plan[i].count, sizeof(float)));
    if (rounds(f)) PLUMB_TRY(plumb_compute_alloc(f->compute, &f->taken, n, sizeof *f->taken));
    f->rows = rows;
    f->wanted = wanted;
    f->rank = rank;
    return PLUMB_OK;
}

/* Where layer i reads and writes. */
static plumb_layer_state layer_state(const plumb_forward *f, bool last)
{
    float *x = last ? f->x_wanted : f->x;
    return (plumb_layer_state){
        .x_in = f->x,
        .x_mid = x,
        .x_out = x,
        .normed = f->normed,
        .normed_wanted = f->normed_wanted,
        .mlp_normed = f->normed,
        .fused = f->fused,
        .q_raw = f->q,
        .k_raw = f->k,
        .v_raw = f->v,
        .q = f->q,
        .k = f->k,
        .v = f->v,
        .attended = f->attended,
        .attention_out = f->branch,
        .mlp_out = f->branch,
        .branch_normed = f->branch,
        .gate = f->gate,
        .up = f->up,
        .low_rank = f->low_rank,
        .taken = f->taken,
        .mlp_rows = f->mlp_rows,
    };
}

static plumb_status run(plumb_forward *f, const plumb_batch *b, const plumb_cache *cache, const float **hidden)
{
    const plumb_config *c = &f->model->config;
    int rows = (int)b->ids.count, d = c->hidden_size, positions;
    PLUMB_TRY(plumb_batch_check(b, c->vocab_size, &positions));
    PLUMB_TRY(reserve_rows(f, rows, (int)b->wanted.count));
    PLUMB_TRY(plumb_rotations_reserve(f->model, positions, &f->rotations));
    plumb_embed(f->compute, &f->model->embed, b->ids.data, rows, (float)c->embed_scale, f->x, d);
    if (f->ahead) plumb_model_drop_layer(f->model, -1);
    float *x = f->x;
    for (int i = 0; i < c->layers; i++) {
        PLUMB_TRY(plumb_check_interrupt(f->sink));
        if (f->observe) f->observe(f->observe_user, i, f->x, rows, d);
        plumb_layer_state state = layer_state(f, i == c->layers - 1);
        if (f->ahead && i + 1 < c->layers) plumb_model_want_layer(f->model, i + 1, f->ahead);
        if (cache) {
            state.k_cache = cache->k[i];
            state.v_cache = cache->v[i];
        }
        PLUMB_TRY(plumb_layer_forward(f->model, &f->rotations, i, b, &state));
        if (f->ahead) plumb_model_drop_layer(f->model, i);
        x = state.x_out;
    }
    plumb_norm_run(f->compute, &f->model->final_norm, x, d, (int)b->wanted.count, 1, x, d);
    *hidden = x;
    return plumb_model_check(f->model);
}

plumb_status plumb_forward_run(plumb_forward *f, const plumb_batch *b, const float **hidden)
{
    return run(f, b, NULL, hidden);
}

plumb_status plumb_forward_extend(plumb_forward *f, const plumb_batch *b, plumb_cache *cache, const float **hidden)
{
    return run(f, b, cache, hidden);
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
