/* Which tensors a configuration implies: the names and shapes that model.c looks for, as a list. */
#include <stdio.h>

#include "model/model.h"

typedef struct layout {
    const plumb_config *config;
    const plumb_tensor_visit *visit;
    int layer;
} layout;

static plumb_status give(const layout *l, const char *pattern, const char *suffix, int dims, const int64_t *shape)
{
    char stem[256], name[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* patterns come from the table in architecture.c */
    snprintf(stem, sizeof stem, pattern, l->layer);
#pragma GCC diagnostic pop
    snprintf(name, sizeof name, "%s.%s", stem, suffix);
    return l->visit->visit(l->visit->user, name, dims, shape);
}

static plumb_status give_norm(const layout *l, const char *pattern, int64_t d)
{
    const plumb_architecture *a = l->config->architecture;
    if (!pattern || a->norm_weight == PLUMB_WEIGHT_NONE) return PLUMB_OK;
    PLUMB_TRY(give(l, pattern, "weight", 1, &d));
    return a->norm_bias ? give(l, pattern, "bias", 1, &d) : PLUMB_OK;
}

static plumb_status give_linear(const layout *l, const char *pattern, int64_t n, int64_t k, bool bias)
{
    PLUMB_TRY(give(l, pattern, "weight", 2, (int64_t[]){n, k}));
    return bias ? give(l, pattern, "bias", 1, &n) : PLUMB_OK;
}

static plumb_status give_attention(const layout *l)
{
    const plumb_config *c = l->config;
    const plumb_architecture *a = c->architecture;
    const plumb_tensor_names *names = a->names;
    int64_t d = c->hidden_size, q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    bool fused = a->qkv != PLUMB_QKV_APART, whole = a->qk_norm == PLUMB_QK_WHOLE;
    PLUMB_TRY(give_linear(l, names->q, fused ? q + 2 * kv : q, d, c->qkv_bias));
    if (!fused) {
        PLUMB_TRY(give_linear(l, names->k, kv, d, c->qkv_bias));
        PLUMB_TRY(give_linear(l, names->v, kv, d, c->qkv_bias));
    }
    PLUMB_TRY(give_linear(l, names->o, d, q, c->o_bias));
    if (a->qk_norm == PLUMB_QK_NONE) return PLUMB_OK;
    PLUMB_TRY(give_norm(l, names->q_norm, whole ? q : c->head_dim));
    return give_norm(l, names->k_norm, whole ? kv : c->head_dim);
}

static plumb_status give_mlp(const layout *l)
{
    const plumb_config *c = l->config;
    const plumb_tensor_names *names = c->architecture->names;
    int64_t d = c->hidden_size, ff = c->intermediate_size;
    if (c->architecture->mlp == PLUMB_MLP_STACKED) {
        PLUMB_TRY(give_linear(l, names->gate, 2 * ff, d, c->mlp_bias));
    } else {
        if (c->architecture->mlp == PLUMB_MLP_GATED) PLUMB_TRY(give_linear(l, names->gate, ff, d, c->mlp_bias));
        PLUMB_TRY(give_linear(l, names->up, ff, d, c->mlp_bias));
    }
    return give_linear(l, names->down, d, ff, c->mlp_bias);
}

static plumb_status give_layer(const layout *l)
{
    const plumb_tensor_names *names = l->config->architecture->names;
    int64_t d = l->config->hidden_size;
    PLUMB_TRY(give_norm(l, names->input_norm, d));
    PLUMB_TRY(give_attention(l));
    PLUMB_TRY(give_norm(l, names->post_attention_norm, d));
    PLUMB_TRY(give_norm(l, names->pre_mlp_norm, d));
    PLUMB_TRY(give_mlp(l));
    return give_norm(l, names->post_mlp_norm, d);
}

plumb_status plumb_config_tensors(const plumb_config *c, const plumb_tensor_visit *visit)
{
    const plumb_tensor_names *names = c->architecture->names;
    layout l = {c, visit, 0};
    PLUMB_TRY(give_linear(&l, names->embed, c->vocab_size, c->hidden_size, false));
    for (l.layer = 0; l.layer < c->layers; l.layer++) PLUMB_TRY(give_layer(&l));
    PLUMB_TRY(give_norm(&l, names->final_norm, c->hidden_size));
    if (c->head == PLUMB_HEAD_SCORE) return give_linear(&l, PLUMB_SCORE_NAME, 1, c->hidden_size, false);
    return c->tied ? PLUMB_OK : give_linear(&l, names->unembed, c->vocab_size, c->hidden_size, false);
}
