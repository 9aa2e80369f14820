#include "train/masters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/mapped_file.h"
#include "model/checkpoint_writer.h"
#include "train/optimizer.h"

static plumb_master *find(const plumb_masters *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->list[i].name, name) == 0) return &m->list[i];
    return NULL;
}

/* ---- the sources that the two models are bound to ---- */

static plumb_status missing(const char *name)
{
    return plumb_fail(PLUMB_E_INTERNAL, "%s is not among the trained tensors", name);
}

static plumb_status give_value(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    (void)dims, (void)shape;
    const plumb_master *t = find(user, name);
    if (!t) return missing(name);
    *out = (plumb_weight){t->value, PLUMB_F32};
    return PLUMB_OK;
}

static plumb_status give_gradient(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    (void)dims, (void)shape;
    const plumb_master *t = find(user, name);
    if (!t) return missing(name);
    *out = (plumb_weight){t->gradient, PLUMB_F32};
    return PLUMB_OK;
}

static plumb_status give_none(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    (void)user, (void)name, (void)dims, (void)shape;
    *out = (plumb_weight){NULL, PLUMB_F32};
    return PLUMB_OK;
}

/* ---- building ---- */

typedef struct counting {
    size_t tensors, elements;
} counting;

static plumb_status count_tensor(void *user, const char *name, int dims, const int64_t *shape)
{
    (void)name;
    counting *c = user;
    size_t n = 1;
    for (int i = 0; i < dims; i++) n *= (size_t)shape[i];
    c->tensors++;
    c->elements += n;
    return PLUMB_OK;
}

/* Adds one tensor: its weight comes from where the base model's come from. */
typedef struct building {
    plumb_masters *m;
    const plumb_model *base;
} building;

static plumb_status add_tensor(void *user, const char *name, int dims, const int64_t *shape)
{
    building *b = user;
    plumb_master *t = &b->m->list[b->m->count++];
    plumb_weight from;
    const char *copy;
    PLUMB_TRY(b->base->source.find(b->base->source.user, name, dims, shape, &from));
    PLUMB_TRY(plumb_arena_copy(&b->m->arena, &copy, name, strlen(name)));
    *t = (plumb_master){.name = copy, .dims = dims, .count = 1, .decay = plumb_decays(name)};
    for (int i = 0; i < dims; i++) {
        t->shape[i] = shape[i];
        t->count *= (size_t)shape[i];
    }
    PLUMB_TRY(plumb_new_aligned(&t->value, t->count, sizeof(float)));
    PLUMB_TRY(plumb_new_aligned(&t->gradient, t->count, sizeof(float)));
    memset(t->gradient, 0, t->count * sizeof(float));
    for (size_t i = 0; i < t->count; i++) {
        t->value[i] = plumb_load(from.data, from.dtype, i);
        if (!isfinite(t->value[i]))
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s holds a NaN or an infinity", name),
                              "the checkpoint is damaged or diverged; use another one");
    }
    /* The stored weights are not needed beside the masters; what reads them again reads them from the file. */
    if (b->base->tensors) plumb_map_drop(from.data, t->count * plumb_dtype_size(from.dtype));
    return PLUMB_OK;
}

static plumb_status build(plumb_masters *m, const plumb_model *base)
{
    counting counted = {0};
    building b = {m, base};
    PLUMB_TRY(plumb_config_tensors(&base->config, &(plumb_tensor_visit){count_tensor, &counted}));
    PLUMB_TRY(plumb_arena_new(&m->arena, &m->list, counted.tensors, sizeof *m->list));
    m->elements = counted.elements;
    PLUMB_TRY(plumb_config_tensors(&base->config, &(plumb_tensor_visit){add_tensor, &b}));
    PLUMB_TRY(plumb_model_bind(&base->config, base->compute, &(plumb_weight_source){give_value, m, false}, &m->values));
    return plumb_model_bind(&base->config, base->compute, &(plumb_weight_source){give_gradient, m, true},
                            &m->gradients);
}

/* Hands m over when it was built. */
static plumb_status finish(plumb_masters *m, plumb_status s, plumb_masters **out)
{
    if (s) {
        plumb_masters_free(m);
        return s;
    }
    *out = m;
    return PLUMB_OK;
}

plumb_status plumb_masters_new(const plumb_model *base, plumb_masters **out)
{
    plumb_masters *m;
    *out = NULL;
    PLUMB_TRY(plumb_new(&m, 1, sizeof *m));
    return finish(m, build(m, base), out);
}

static void add_matrix(plumb_masters *m, const char *name, int rows, int columns, float *value, float *gradient)
{
    m->list[m->count++] = (plumb_master){.name = name,
                                         .dims = 2,
                                         .shape = {rows, columns},
                                         .count = (size_t)rows * (size_t)columns,
                                         .value = value,
                                         .gradient = gradient,
                                         .decay = plumb_decays(name)};
}

/* Two models over the base's weights: one with the adapter, one with its gradients. */
static plumb_status build_adapter(plumb_masters *m, const plumb_model *base, const plumb_adapter *start)
{
    if (start->dropout != 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the adapter's lora_dropout is %g", start->dropout),
                          "training is without dropout here: every pass gives the same bits; set lora_dropout to 0 in "
                          "its adapter_config.json to train on so");
    PLUMB_TRY(plumb_adapter_copy(start, base, &m->adapter));
    PLUMB_TRY(plumb_adapter_gradients(start, base, &m->adapter_gradients));
    PLUMB_TRY(plumb_model_bind(&base->config, base->compute, &base->source, &m->values));
    m->values->folder = base->folder;
    PLUMB_TRY(
        plumb_model_bind(&base->config, base->compute, &(plumb_weight_source){give_none, NULL, true}, &m->gradients));
    PLUMB_TRY(plumb_model_attach(m->values, m->adapter));
    PLUMB_TRY(plumb_model_attach(m->gradients, m->adapter_gradients));
    PLUMB_TRY(plumb_arena_new(&m->arena, &m->list, 2 * start->count + 1, sizeof *m->list));
    m->elements = plumb_adapter_elements(start);
    for (size_t i = 0; i < start->count; i++) {
        const plumb_adapted *v = &m->adapter->list[i], *g = &m->adapter_gradients->list[i];
        add_matrix(m, v->names[0], start->r, v->k, v->a, g->a);
        add_matrix(m, v->names[1], v->n, start->r, v->b, g->b);
    }
    if (start->head)
        add_matrix(m, PLUMB_ADAPTER_SCORE, 1, start->score.k, m->adapter->head, m->adapter_gradients->head);
    return PLUMB_OK;
}

plumb_status plumb_masters_of_adapter(const plumb_model *base, const plumb_adapter *start, plumb_masters **out)
{
    plumb_masters *m;
    *out = NULL;
    PLUMB_TRY(plumb_new(&m, 1, sizeof *m));
    return finish(m, build_adapter(m, base, start), out);
}

void plumb_masters_free(plumb_masters *m)
{
    if (!m) return;
    plumb_model_close(m->values);
    plumb_model_close(m->gradients);
    for (size_t i = 0; i < m->count && !m->adapter; i++) {
        free(m->list[i].value);
        free(m->list[i].gradient);
    }
    plumb_adapter_free(m->adapter);
    plumb_adapter_free(m->adapter_gradients);
    plumb_arena_free(&m->arena);
    free(m);
}

void plumb_masters_zero_gradients(plumb_masters *m)
{
    for (size_t i = 0; i < m->count; i++) memset(m->list[i].gradient, 0, m->list[i].count * sizeof(float));
}

void plumb_masters_gather_gradients(plumb_masters *m)
{
    if (m->adapter_gradients) plumb_adapter_gather(m->adapter_gradients);
}

plumb_status plumb_masters_changed(plumb_masters *m)
{
    return plumb_model_refresh(m->values);
}

plumb_status plumb_masters_mix(plumb_masters *m, const plumb_masters *other, double alpha)
{
    float share = (float)alpha;
    for (size_t i = 0; i < m->count; i++) {
        const float *p = other->list[i].value;
        float *q = m->list[i].value;
        for (size_t k = 0; k < m->list[i].count; k++) q[k] = (1 - share) * q[k] + share * p[k];
    }
    return plumb_masters_changed(m);
}

static plumb_status give_piece(void *user, size_t tensor, int64_t first, int64_t count, float *out)
{
    const plumb_masters *m = user;
    memcpy(out, m->list[tensor].value + first, (size_t)count * sizeof *out);
    return PLUMB_OK;
}

plumb_status plumb_masters_save(const plumb_masters *m, const char *folder, plumb_dtype dtype)
{
    plumb_tensor_spec *specs;
    if (m->adapter) return plumb_adapter_save(m->adapter, folder, m->values->folder, dtype);
    PLUMB_TRY(plumb_new(&specs, m->count, sizeof *specs));
    for (size_t i = 0; i < m->count; i++) {
        const plumb_master *t = &m->list[i];
        specs[i] = (plumb_tensor_spec){.name = t->name, .dtype = dtype, .dims = t->dims};
        for (int k = 0; k < t->dims; k++) specs[i].shape[k] = t->shape[k];
    }
    plumb_status s = plumb_checkpoint_write(folder, specs, m->count, 0, give_piece, (void *)m);
    free(specs);
    return s;
}

int64_t plumb_masters_bytes(const plumb_config *c)
{
    return 2 * (int64_t)sizeof(float) * plumb_config_parameters(c);
}
