#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "io/mapped_file.h"

/* Multimodal checkpoints keep the text model under another name: "language_model.model..." as published with
 * transformers 4, "model.language_model..." since 5. */
static const plumb_tensor *find_tensor(const plumb_model *m, const char *name)
{
    const plumb_tensor *t = plumb_tensors_find(m->tensors, name);
    char other[512];
    if (!t && snprintf(other, sizeof other, "language_model.%s", name) < (int)sizeof other)
        t = plumb_tensors_find(m->tensors, other);
    if (!t && strncmp(name, "model.", 6) == 0 &&
        snprintf(other, sizeof other, "model.language_model.%s", name + 6) < (int)sizeof other)
        t = plumb_tensors_find(m->tensors, other);
    return t;
}

static plumb_status tensor_name(plumb_model *m, const char *pattern, int layer, const char *suffix, const char **out)
{
    char stem[256], name[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* patterns come from the table in architecture.c */
    snprintf(stem, sizeof stem, pattern, layer);
#pragma GCC diagnostic pop
    int n = snprintf(name, sizeof name, "%s.%s", stem, suffix);
    return plumb_arena_copy(&m->arena, out, name, (size_t)n);
}

static void shape_text(const int64_t *shape, int dims, char *text, size_t size)
{
    int at = snprintf(text, size, "[");
    for (int i = 0; i < dims && at < (int)size; i++)
        at += snprintf(text + at, size - (size_t)at, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (at < (int)size) snprintf(text + at, size - (size_t)at, "]");
}

/* The tensor `name` of the checkpoint with exactly this shape and a usable type. */
static plumb_status find_stored(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    const plumb_model *m = user;
    const plumb_tensor *t = find_tensor(m, name);
    size_t count;
    if (m->fresh_score && strcmp(name, PLUMB_SCORE_NAME ".weight") == 0) {
        *out = (plumb_weight){m->fresh_score, PLUMB_F32};
        return PLUMB_OK;
    }
    if (!t)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: missing", name),
                          "config.json describes a model with this tensor; do the weights belong to it, complete?");
    bool same = t->dims == dims;
    for (int i = 0; same && i < dims; i++) same = t->shape[i] == shape[i];
    if (!same) {
        char is[256], should[256];
        shape_text(t->shape, t->dims, is, sizeof is);
        shape_text(shape, dims, should, sizeof should);
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: has shape %s; config.json implies %s", name, is, should),
                          "do config.json and the weights belong together?");
    }
    if (!t->is_weight)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: is stored as %s; supported: F32, F16, BF16", name, t->dtype_name),
            "use a checkpoint that is not quantised, or convert it with transformers");
    m->used[t - plumb_tensors_list(m->tensors, &count)] = true;
    *out = (plumb_weight){t->data, t->dtype};
    return PLUMB_OK;
}

/* The layer that a tensor belongs to by its name, or -1. Layers are called as the pattern of q says up to its number.
 */
static int64_t layer_of(const plumb_model *m, const char *name)
{
    const char *pattern = m->config.architecture->names->q;
    size_t stem = strcspn(pattern, "%");
    if (strncmp(name, "language_model.", 15) == 0) name += 15;
    if (strncmp(name, "model.language_model.", 21) == 0 && strncmp(pattern, "model.", 6) == 0) {
        name += 21;
        pattern += 6;
        stem -= 6;
    }
    if (strncmp(name, pattern, stem) != 0) return -1;
    size_t digits = strspn(name + stem, "0123456789");
    return digits && digits < 10 && name[stem + digits] == '.' ? strtoll(name + stem, NULL, 10) : -1;
}

/* Is the tensor the bias of a linear (or norm) whose weight is used? */
static bool is_bias_of_used(const plumb_model *m, const plumb_tensor *t)
{
    char weight[512];
    size_t n = strlen(t->name), count;
    if (n < 5 || strcmp(t->name + n - 5, ".bias") != 0) return false;
    if (snprintf(weight, sizeof weight, "%.*s.weight", (int)(n - 5), t->name) >= (int)sizeof weight) return false;
    const plumb_tensor *w = plumb_tensors_find(m->tensors, weight);
    return w && m->used[w - plumb_tensors_list(m->tensors, &count)];
}

/* Tensors that nothing reads although the model would be another one with them. */
static plumb_status check_unused(const plumb_model *m)
{
    size_t count;
    const plumb_tensor *list = plumb_tensors_list(m->tensors, &count), *beyond = NULL;
    int64_t lowest = 0;
    for (size_t i = 0; m->used && i < count; i++) {
        int64_t layer = m->used[i] ? -1 : layer_of(m, list[i].name);
        if (layer < m->config.layers || (beyond && layer >= lowest)) continue;
        beyond = &list[i];
        lowest = layer;
    }
    if (beyond)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: stands beyond the %d layers of config.json", beyond->name, m->config.layers),
            "set \"num_hidden_layers\" to the layers of the checkpoint, or use weights that belong to "
            "config.json");
    for (size_t i = 0; i < count; i++)
        if (!m->used[i] && is_bias_of_used(m, &list[i]))
            return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                         "%s: is a bias that config.json does not describe; without it "
                                         "the results would be other ones",
                                         list[i].name),
                              "correct config.json (\"attention_bias\", \"mlp_bias\"), or use weights that belong to "
                              "it");
    return PLUMB_OK;
}

/* A vector that was widened into the arena, `plus` added; listed so that it can be read again after its source changed.
 */
struct plumb_widened {
    const char *name;
    plumb_weight from;
    float *to;
    int64_t n;
    float plus;
    struct plumb_widened *next;
};

static plumb_status widen(const struct plumb_widened *v)
{
    for (int64_t i = 0; i < v->n; i++) {
        v->to[i] = plumb_load(v->from.data, v->from.dtype, (size_t)i) + v->plus;
        if (!isfinite(v->to[i]))
            return plumb_fail(PLUMB_E_INPUT, "%s: element %lld is not finite", v->name, (long long)i);
    }
    return PLUMB_OK;
}

static plumb_status vector(plumb_model *m, const char *name, int64_t n, float plus, const float **out)
{
    struct plumb_widened *v;
    plumb_weight from;
    PLUMB_TRY(m->source.find(m->source.user, name, 1, &n, &from));
    if (m->source.vectors_in_place) {
        *out = from.data;
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_arena_new(&m->arena, &v, 1, sizeof *v));
    *v = (struct plumb_widened){name, from, NULL, n, plus, m->widened};
    PLUMB_TRY(plumb_arena_new(&m->arena, &v->to, (size_t)n, sizeof *v->to));
    m->widened = v;
    *out = v->to;
    return widen(v);
}

plumb_status plumb_model_refresh(plumb_model *m)
{
    for (const struct plumb_widened *v = m->widened; v; v = v->next) PLUMB_TRY(widen(v));
    return PLUMB_OK;
}

static plumb_status bind_norm(plumb_model *m, const char *pattern, int layer, int d, plumb_norm *norm)
{
    const plumb_architecture *a = m->config.architecture;
    const char *name;
    if (!pattern) return PLUMB_OK;
    *norm = (plumb_norm){.kind = a->norm, .d = d, .eps = (float)m->config.norm_eps};
    if (a->norm_weight == PLUMB_WEIGHT_NONE) return PLUMB_OK;
    PLUMB_TRY(tensor_name(m, pattern, layer, "weight", &name));
    PLUMB_TRY(vector(m, name, d, a->norm_weight == PLUMB_WEIGHT_ONE_PLUS ? 1.0f : 0.0f, &norm->weight));
    if (!a->norm_bias) return PLUMB_OK;
    PLUMB_TRY(tensor_name(m, pattern, layer, "bias", &name));
    return vector(m, name, d, 0, &norm->bias);
}

/* A matrix of n rows and k columns, or (rows `first` .. first + n of `all`) a part of a stacked one. */
static plumb_status bind_part(plumb_model *m, const char *pattern, int layer, int all, int first, int n, int k,
                              bool bias, plumb_linear *out)
{
    plumb_weight from;
    const char *name, *bias_name;
    const float *bias_data = NULL;
    PLUMB_TRY(tensor_name(m, pattern, layer, "weight", &name));
    PLUMB_TRY(m->source.find(m->source.user, name, 2, (int64_t[]){all, k}, &from));
    size_t row = (size_t)k * plumb_dtype_size(from.dtype);
    const void *weight = NULL; /* stays NULL where the source gives none (the gradient of a frozen weight) */
    if (from.data)
        PLUMB_TRY(
            plumb_compute_adopt(m->compute, (const char *)from.data + (size_t)first * row, (size_t)n * row, &weight));
    if (bias) {
        PLUMB_TRY(tensor_name(m, pattern, layer, "bias", &bias_name));
        PLUMB_TRY(vector(m, bias_name, all, 0, &bias_data));
        if (bias_data) bias_data += first;
    }
    *out = (plumb_linear){.weight = weight, .dtype = from.dtype, .bias = bias_data, .n = n, .k = k, .name = name};
    return PLUMB_OK;
}

static plumb_status bind_linear(plumb_model *m, const char *pattern, int layer, int n, int k, bool bias,
                                plumb_linear *out)
{
    return bind_part(m, pattern, layer, n, 0, n, k, bias, out);
}

static plumb_status bind_attention(plumb_model *m, int i, plumb_layer *l)
{
    const plumb_config *c = &m->config;
    const plumb_architecture *a = c->architecture;
    const plumb_tensor_names *names = a->names;
    int d = c->hidden_size, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    switch (a->qkv) {
    case PLUMB_QKV_APART:
        PLUMB_TRY(bind_linear(m, names->q, i, q, d, c->qkv_bias, &l->q));
        PLUMB_TRY(bind_linear(m, names->k, i, kv, d, c->qkv_bias, &l->k));
        PLUMB_TRY(bind_linear(m, names->v, i, kv, d, c->qkv_bias, &l->v));
        break;
    case PLUMB_QKV_STACKED:
        PLUMB_TRY(bind_part(m, names->q, i, q + 2 * kv, 0, q, d, c->qkv_bias, &l->q));
        PLUMB_TRY(bind_part(m, names->q, i, q + 2 * kv, q, kv, d, c->qkv_bias, &l->k));
        PLUMB_TRY(bind_part(m, names->q, i, q + 2 * kv, q + kv, kv, d, c->qkv_bias, &l->v));
        break;
    case PLUMB_QKV_INTERLEAVED:
        PLUMB_TRY(bind_linear(m, names->q, i, 3 * q, d, c->qkv_bias, &l->q));
        break;
    }
    PLUMB_TRY(bind_linear(m, names->o, i, d, q, c->o_bias, &l->o));
    if (a->qk_norm != PLUMB_QK_NONE) {
        bool whole = a->qk_norm == PLUMB_QK_WHOLE;
        PLUMB_TRY(bind_norm(m, names->q_norm, i, whole ? q : c->head_dim, &l->q_norm));
        PLUMB_TRY(bind_norm(m, names->k_norm, i, whole ? kv : c->head_dim, &l->k_norm));
    }
    l->window = c->window_layer[i] ? c->window : 0;
    l->local_rope = c->window_layer[i];
    return PLUMB_OK;
}

static plumb_status bind_mlp(plumb_model *m, int i, plumb_layer *l)
{
    const plumb_config *c = &m->config;
    const plumb_tensor_names *names = c->architecture->names;
    int d = c->hidden_size, ff = c->intermediate_size;
    switch (c->architecture->mlp) {
    case PLUMB_MLP_GATED:
        PLUMB_TRY(bind_linear(m, names->gate, i, ff, d, c->mlp_bias, &l->gate));
        PLUMB_TRY(bind_linear(m, names->up, i, ff, d, c->mlp_bias, &l->up));
        break;
    case PLUMB_MLP_STACKED:
        PLUMB_TRY(bind_part(m, names->gate, i, 2 * ff, 0, ff, d, c->mlp_bias, &l->gate));
        PLUMB_TRY(bind_part(m, names->gate, i, 2 * ff, ff, ff, d, c->mlp_bias, &l->up));
        break;
    case PLUMB_MLP_PLAIN:
        PLUMB_TRY(bind_linear(m, names->up, i, ff, d, c->mlp_bias, &l->up));
        break;
    }
    return bind_linear(m, names->down, i, d, ff, c->mlp_bias, &l->down);
}

/* The stream is smallest where it begins, so that what rounding adds in the first layer weighs most (SPEED.md). */
static void keep_exact(plumb_layer *l)
{
    l->q.exact = l->k.exact = l->v.exact = l->o.exact = l->gate.exact = l->up.exact = l->down.exact = true;
}

static plumb_status bind_all(plumb_model *m)
{
    const plumb_config *c = &m->config;
    const plumb_tensor_names *names = c->architecture->names;
    int d = c->hidden_size;
    PLUMB_TRY(plumb_arena_new(&m->arena, &m->layers, (size_t)c->layers, sizeof *m->layers));
    PLUMB_TRY(bind_linear(m, names->embed, 0, c->vocab_size, d, false, &m->embed));
    for (int i = 0; i < c->layers; i++) {
        plumb_layer *l = &m->layers[i];
        PLUMB_TRY(bind_norm(m, names->input_norm, i, d, &l->input_norm));
        PLUMB_TRY(bind_norm(m, names->post_attention_norm, i, d, &l->post_attention_norm));
        PLUMB_TRY(bind_norm(m, names->pre_mlp_norm, i, d, &l->pre_mlp_norm));
        PLUMB_TRY(bind_norm(m, names->post_mlp_norm, i, d, &l->post_mlp_norm));
        PLUMB_TRY(bind_attention(m, i, l));
        PLUMB_TRY(bind_mlp(m, i, l));
        if (i == 0) keep_exact(l);
    }
    PLUMB_TRY(bind_norm(m, names->final_norm, 0, d, &m->final_norm));
    if (c->head == PLUMB_HEAD_SCORE) return bind_linear(m, PLUMB_SCORE_NAME, 0, 1, d, false, &m->score);
    m->unembed = m->embed;
    if (!c->tied) PLUMB_TRY(bind_linear(m, names->unembed, 0, c->vocab_size, d, false, &m->unembed));
    return PLUMB_OK;
}

/* A head for a language model that has none. */
static plumb_status make_score(plumb_model *m, uint64_t seed)
{
    float *w;
    PLUMB_TRY(plumb_arena_new(&m->arena, &w, (size_t)m->config.hidden_size, sizeof *w));
    for (int i = 0; i < m->config.hidden_size; i++)
        w[i] = (float)(m->config.initializer_range * plumb_normal(seed, 0, (uint64_t)i));
    m->fresh_score = w;
    return PLUMB_OK;
}

/* Settles what stands on top: tokens, or with *fresh not NULL a score. */
static plumb_status choose_head(plumb_model *m, uint64_t seed, bool *fresh)
{
    if (!fresh && m->config.head == PLUMB_HEAD_TOKENS) return PLUMB_OK;
    if (!fresh)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: is a reward model, which tells nothing about next tokens", m->folder),
            "give a language model here; plumb reward-score uses reward models");
    *fresh = m->config.head == PLUMB_HEAD_TOKENS;
    m->config.head = PLUMB_HEAD_SCORE;
    return *fresh ? make_score(m, seed) : PLUMB_OK;
}

static plumb_status open_folder(const char *folder, plumb_compute *compute, uint64_t seed, plumb_model **out,
                                bool *fresh)
{
    plumb_model *m;
    *out = NULL;
    PLUMB_TRY(plumb_new(&m, 1, sizeof *m));
    m->compute = compute;
    plumb_status s = plumb_arena_copy(&m->arena, &m->folder, folder, strlen(folder));
    if (!s) s = plumb_config_load(folder, &m->config);
    if (!s) s = choose_head(m, seed, fresh);
    if (!s) s = plumb_tensors_open(folder, &m->tensors);
    size_t count = 0;
    if (!s) plumb_tensors_list(m->tensors, &count);
    if (!s) s = plumb_arena_new(&m->arena, &m->used, count, sizeof *m->used);
    m->source = (plumb_weight_source){.find = find_stored, .user = m};
    if (!s) s = plumb_context(bind_all(m), "%s", folder);
    if (!s) s = plumb_context(check_unused(m), "%s", folder);
    if (s) {
        plumb_model_close(m);
        return s;
    }
    *out = m;
    return PLUMB_OK;
}

plumb_status plumb_model_open(const char *folder, plumb_compute *compute, plumb_model **out)
{
    return open_folder(folder, compute, 0, out, NULL);
}

plumb_status plumb_model_open_score(const char *folder, plumb_compute *compute, uint64_t seed, plumb_model **out,
                                    bool *fresh)
{
    return open_folder(folder, compute, seed, out, fresh);
}

plumb_status plumb_model_bind(const plumb_config *config, plumb_compute *compute, const plumb_weight_source *source,
                              plumb_model **out)
{
    plumb_model *m;
    *out = NULL;
    PLUMB_TRY(plumb_new(&m, 1, sizeof *m));
    m->config = *config;
    m->compute = compute;
    m->source = *source;
    plumb_status s = bind_all(m);
    if (s) {
        plumb_model_close(m);
        return s;
    }
    *out = m;
    return PLUMB_OK;
}

typedef void advice(plumb_prefetch *ahead, const void *bytes, size_t count);

static void want(plumb_prefetch *ahead, const void *bytes, size_t count)
{
    plumb_prefetch_want(ahead, bytes, count);
}

static void drop(plumb_prefetch *ahead, const void *bytes, size_t count)
{
    (void)ahead;
    plumb_map_drop(bytes, count);
}

static void advise(const plumb_linear *w, advice *give, plumb_prefetch *ahead)
{
    if (w->weight) give(ahead, w->weight, (size_t)w->n * (size_t)w->k * plumb_dtype_size(w->dtype));
}

static void advise_layer(const plumb_model *m, int i, advice *give, plumb_prefetch *ahead)
{
    if (!m->tensors) return; /* the weights are not mapped */
    if (i < 0 || i >= m->config.layers) {
        advise(i < 0 ? &m->embed : &m->unembed, give, ahead);
        return;
    }
    const plumb_layer *l = &m->layers[i];
    const plumb_linear *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down, NULL};
    for (const plumb_linear *const *w = all; *w; w++) advise(*w, give, ahead);
}

void plumb_model_want_layer(const plumb_model *m, int i, plumb_prefetch *ahead)
{
    advise_layer(m, i, want, ahead);
}

void plumb_model_drop_layer(const plumb_model *m, int i)
{
    advise_layer(m, i, drop, NULL);
}

plumb_status plumb_model_check(const plumb_model *m)
{
    plumb_status s = plumb_compute_check(m->compute);
    return m->folder ? plumb_context(s, "%s", m->folder) : s;
}

void plumb_model_close(plumb_model *m)
{
    if (!m) return;
    plumb_tensors_close(m->tensors);
    plumb_arena_free(&m->arena);
    free(m);
}
