#include "align/gradient_products.h"

#include <stdlib.h>
#include <string.h>

#include "align/targets.h"
#include "compute/gradient.h"
#include "model/backward.h"

/* The gradient of every tensor with respect to one side's log-probability. */
typedef struct tensor {
    const char *name;
    size_t count;
    float *side[2];
} tensor;

struct plumb_gradient_products {
    const plumb_model *model;
    plumb_arena names;
    tensor *list;
    size_t count, capacity;
    plumb_model *gradients[2]; /* bound to the tensors' sides */
    plumb_training *training[2];
    plumb_batch batch;
    plumb_targets targets;
    plumb_arena scratch;
};

static plumb_status add_tensor(void *user, const char *name, int dims, const int64_t *shape)
{
    plumb_gradient_products *g = user;
    PLUMB_TRY(plumb_reserve(&g->list, &g->capacity, g->count + 1, sizeof *g->list));
    tensor *t = &g->list[g->count];
    *t = (tensor){.count = 1};
    g->count++;
    for (int i = 0; i < dims; i++) t->count *= (size_t)shape[i];
    PLUMB_TRY(plumb_arena_copy(&g->names, &t->name, name, strlen(name)));
    for (int s = 0; s < 2; s++) PLUMB_TRY(plumb_new_aligned(&t->side[s], t->count, sizeof(float)));
    return PLUMB_OK;
}

static plumb_status find_side(const plumb_gradient_products *g, const char *name, int side, plumb_weight *out)
{
    for (size_t i = 0; i < g->count; i++)
        if (strcmp(g->list[i].name, name) == 0) {
            *out = (plumb_weight){g->list[i].side[side], PLUMB_F32};
            return PLUMB_OK;
        }
    return plumb_fail(PLUMB_E_INTERNAL, "%s has no gradient", name);
}

static plumb_status find_chosen(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    (void)dims, (void)shape;
    return find_side(user, name, 0, out);
}

static plumb_status find_rejected(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    (void)dims, (void)shape;
    return find_side(user, name, 1, out);
}

static plumb_status build(plumb_gradient_products *g)
{
    const plumb_config *c = &g->model->config;
    PLUMB_TRY(plumb_config_tensors(c, &(plumb_tensor_visit){add_tensor, g}));
    for (int s = 0; s < 2; s++) {
        plumb_weight_source source = {s ? find_rejected : find_chosen, g, true};
        PLUMB_TRY(plumb_model_bind(c, g->model->compute, &source, &g->gradients[s]));
        PLUMB_TRY(plumb_training_new(g->model, g->gradients[s], true, &g->training[s]));
    }
    return PLUMB_OK;
}

plumb_status plumb_gradient_products_new(const plumb_model *model, plumb_gradient_products **out)
{
    plumb_gradient_products *g;
    *out = NULL;
    PLUMB_TRY(plumb_new(&g, 1, sizeof *g));
    g->model = model;
    plumb_status s = build(g);
    if (s) {
        plumb_gradient_products_free(g);
        return s;
    }
    *out = g;
    return PLUMB_OK;
}

void plumb_gradient_products_free(plumb_gradient_products *g)
{
    if (!g) return;
    for (int s = 0; s < 2; s++) {
        plumb_training_free(g->training[s]);
        plumb_model_close(g->gradients[s]);
    }
    for (size_t i = 0; i < g->count; i++)
        for (int s = 0; s < 2; s++) free(g->list[i].side[s]);
    free(g->list);
    plumb_batch_free(&g->batch);
    plumb_targets_free(&g->targets);
    plumb_arena_free(&g->scratch);
    plumb_arena_free(&g->names);
    free(g);
}

void plumb_gradient_products_watch(plumb_gradient_products *g, const plumb_sink *sink)
{
    for (int s = 0; s < 2; s++) plumb_training_watch(g->training[s], sink);
}

/* The gradient of ln pi(y|x) of one side, alone in its batch. */
static plumb_status run_side(plumb_gradient_products *g, int side, const int32_t *ids, int total, int prompt)
{
    const plumb_model *m = g->model;
    plumb_unembed u = {.w = &m->unembed, .scale = 1, .cap = (float)m->config.final_cap};
    plumb_pair_states at;
    const float *hidden;
    float *gathered, *dgathered, *dhidden, *dembed;
    double *lse, *weight;
    plumb_pulls p; /* one side: a pull for each target */
    int d = m->config.hidden_size;
    for (size_t i = 0; i < g->count; i++) memset(g->list[i].side[side], 0, g->list[i].count * sizeof(float));
    plumb_batch_clear(&g->batch);
    plumb_targets_clear(&g->targets);
    plumb_arena_reset(&g->scratch);
    PLUMB_TRY(plumb_batch_add_pair(&g->batch, &ids, &total, 1, prompt, total, false, &at));
    PLUMB_TRY(plumb_targets_add(&g->targets, &ids, 1, prompt, &at));
    size_t n = g->targets.tokens.count, rows = g->batch.ids.count, wide = (size_t)d;
    PLUMB_TRY(plumb_arena_new(&g->scratch, &gathered, n * wide, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&g->scratch, &dgathered, n * wide, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&g->scratch, &dhidden, g->batch.wanted.count * wide, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&g->scratch, &dembed, rows * wide, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&g->scratch, &lse, n, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(&g->scratch, &weight, n, sizeof(double)));
    for (size_t i = 0; i < n; i++) weight[i] = 1;
    PLUMB_TRY(plumb_training_forward(g->training[side], &g->batch, &hidden));
    plumb_gather_rows(m->compute, hidden, d, g->targets.states.data, (int)n, d, gathered, d);
    PLUMB_TRY(plumb_unembed_logps(m->compute, &u, gathered, d, (int)n, NULL, NULL, lse));
    PLUMB_TRY(plumb_targets_pulls(&g->targets, g->batch.wanted.count, weight, lse, &g->scratch, &p));
    PLUMB_TRY(plumb_unembed_gradient(m->compute, &u, gathered, d, (int)n, p.pulls, p.lse, dgathered, d,
                                     (float *)g->gradients[side]->unembed.weight));
    plumb_scatter_rows(m->compute, dgathered, d, g->targets.states.data, (int)n, d, dhidden, d);
    PLUMB_TRY(plumb_training_backward(g->training[side], &g->batch, dhidden, dembed));
    plumb_embed_gradient(m->compute, g->batch.ids.data, (int)rows, d, (float)m->config.embed_scale, dembed, d,
                         (float *)g->gradients[side]->embed.weight);
    return PLUMB_OK;
}

static double dot(const float *a, const float *b, size_t n)
{
    enum { LANES = 8 };
    double lanes[LANES] = {0}, sum = 0;
    for (size_t i = 0; i < n; i++) lanes[i % LANES] += (double)a[i] * b[i];
    for (int k = 0; k < LANES; k++) sum += lanes[k];
    return sum;
}

plumb_status plumb_gradient_products_run(plumb_gradient_products *g, const int32_t *const ids[2], const int totals[2],
                                         int prompt, double *plus_plus, double *plus_minus)
{
    for (int s = 0; s < 2; s++) PLUMB_TRY(run_side(g, s, ids[s], totals[s], prompt));
    *plus_plus = *plus_minus = 0;
    for (size_t i = 0; i < g->count; i++) {
        *plus_plus += dot(g->list[i].side[0], g->list[i].side[0], g->list[i].count);
        *plus_minus += dot(g->list[i].side[0], g->list[i].side[1], g->list[i].count);
    }
    return PLUMB_OK;
}

int64_t plumb_gradient_products_bytes(const plumb_config *c, int rows)
{
    int64_t gradient = plumb_config_parameters(c) * (int64_t)sizeof(float), d = c->hidden_size;
    int64_t activations = plumb_training_bytes(c, rows, rows, true) + plumb_rotations_bytes(c, rows);
    return 2 * (gradient + activations) + 4 * rows * d * (int64_t)sizeof(float);
}
