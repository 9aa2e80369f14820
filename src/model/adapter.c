#include "model/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/random.h"
#include "compute/gradient.h"

static const char all_linear[] = "all-linear";

/* ---- which linears ---- */

static void layer_linears(const plumb_layer *l, const plumb_linear *out[PLUMB_PROJECTIONS])
{
    const plumb_linear *all[PLUMB_PROJECTIONS] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
    for (int p = 0; p < PLUMB_PROJECTIONS; p++) out[p] = all[p];
}

/* Length of the module's name: that of its weight without ".weight". */
static size_t module_length(const plumb_linear *w)
{
    return strlen(w->name) - strlen(".weight");
}

/* PEFT's rule (check_target_module_exists): the whole name, or its end after a dot. */
static bool names_module(const char *target, const char *name, size_t length)
{
    size_t n = strlen(target);
    return n && n <= length && memcmp(name + length - n, target, n) == 0 &&
           (n == length || name[length - n - 1] == '.');
}

static bool is_target(const plumb_adapter *a, const plumb_linear *w)
{
    for (size_t i = 0; i < a->target_count; i++)
        if (names_module(a->targets[i], w->name, module_length(w))) return true;
    return false;
}

/* Adds the last component of a linear's name to the targets, once. */
static plumb_status add_last_component(plumb_adapter *a, const plumb_linear *w)
{
    size_t n = module_length(w), begin = n;
    while (begin > 0 && w->name[begin - 1] != '.') begin--;
    for (size_t i = 0; i < a->target_count; i++)
        if (strlen(a->targets[i]) == n - begin && memcmp(a->targets[i], w->name + begin, n - begin) == 0)
            return PLUMB_OK;
    PLUMB_TRY(plumb_arena_copy(&a->arena, &a->targets[a->target_count], w->name + begin, n - begin));
    a->target_count++;
    return PLUMB_OK;
}

/* PEFT knows a default for most families, always the matrices that give q and v; here they are it for every family. */
static plumb_status default_targets(plumb_adapter *a, const plumb_layer *l)
{
    PLUMB_TRY(add_last_component(a, &l->q));
    return l->v.n ? add_last_component(a, &l->v) : PLUMB_OK;
}

static plumb_status every_target(plumb_adapter *a, const plumb_layer *l)
{
    const plumb_linear *w[PLUMB_PROJECTIONS];
    layer_linears(l, w);
    for (int p = 0; p < PLUMB_PROJECTIONS; p++)
        if (w[p]->n) PLUMB_TRY(add_last_component(a, w[p]));
    return PLUMB_OK;
}

static plumb_status set_targets(plumb_adapter *a, const plumb_model *m, const plumb_adapter_options *o)
{
    size_t room = o->target_count > PLUMB_PROJECTIONS ? o->target_count : PLUMB_PROJECTIONS;
    PLUMB_TRY(plumb_arena_new(&a->arena, &a->targets, room, sizeof *a->targets));
    if (!o->target_count) return default_targets(a, &m->layers[0]);
    if (o->target_count == 1 && strcmp(o->targets[0], all_linear) == 0) return every_target(a, &m->layers[0]);
    for (; a->target_count < o->target_count; a->target_count++) {
        const char *from = o->targets[a->target_count];
        PLUMB_TRY(plumb_arena_copy(&a->arena, &a->targets[a->target_count], from, strlen(from)));
    }
    return PLUMB_OK;
}

/* ---- building ---- */

static plumb_status name_module(plumb_adapter *a, const plumb_linear *w, plumb_adapted *module)
{
    static const char *const ends[2] = {"lora_A", "lora_B"};
    plumb_text text = {0};
    plumb_status s = plumb_arena_copy(&a->arena, &module->name, w->name, module_length(w));
    for (int i = 0; i < 2 && !s; i++) {
        plumb_text_clear(&text);
        s = plumb_text_printf(&text, "base_model.model.%s.%s.weight", module->name, ends[i]);
        if (!s) s = plumb_arena_copy(&a->arena, &module->names[i], text.data, text.size);
    }
    plumb_text_free(&text);
    return s;
}

/* fp32 memory as a linear [n][k]. */
static plumb_status bind(plumb_compute *c, const float *data, int n, int k, const char *name, plumb_linear *out)
{
    const void *weight;
    PLUMB_TRY(plumb_compute_adopt(c, data, (size_t)n * (size_t)k * sizeof *data, &weight));
    *out = (plumb_linear){.weight = weight, .dtype = PLUMB_F32, .n = n, .k = k, .name = name};
    return PLUMB_OK;
}

/* The module that the linears w[first] .. w[end - 1] of layer i are the parts of. apart: each part has its own A. */
static plumb_status add_module(plumb_adapter *a, const plumb_model *m, int i, const plumb_linear *const w[], int first,
                               int end, bool apart)
{
    size_t r = (size_t)a->r, k = (size_t)w[first]->k;
    PLUMB_TRY(plumb_reserve(&a->list, &a->capacity, a->count + 1, sizeof *a->list));
    plumb_adapted *module = &a->list[a->count++];
    *module = (plumb_adapted){.k = w[first]->k, .parts = end - first};
    for (int p = first; p < end; p++) module->n += w[p]->n;
    PLUMB_TRY(name_module(a, w[first], module));
    PLUMB_TRY(plumb_arena_new(&a->arena, &module->a, r * k, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(&a->arena, &module->b, (size_t)module->n * r, sizeof(float)));
    if (apart && module->parts > 1)
        PLUMB_TRY(plumb_arena_new(&a->arena, &module->part_a, (size_t)(module->parts - 1) * r * k, sizeof(float)));
    float *b = module->b;
    for (int p = first; p < end; p++) {
        plumb_low_rank *view = &a->layers[i][p];
        float *own = module->part_a && p > first ? module->part_a + (size_t)(p - first - 1) * r * k : module->a;
        PLUMB_TRY(bind(m->compute, own, a->r, w[p]->k, module->names[0], &view->a));
        PLUMB_TRY(bind(m->compute, b, w[p]->n, a->r, module->names[1], &view->b));
        view->a.exact = view->b.exact = w[p]->exact;
        view->scale = a->scale;
        b += (size_t)w[p]->n * r;
    }
    return PLUMB_OK;
}

static plumb_status add_modules(plumb_adapter *a, const plumb_model *m, bool apart)
{
    PLUMB_TRY(plumb_arena_new(&a->arena, &a->layers, (size_t)m->config.layers, sizeof *a->layers));
    a->layer_count = m->config.layers;
    for (int i = 0; i < a->layer_count; i++) {
        const plumb_linear *w[PLUMB_PROJECTIONS];
        layer_linears(&m->layers[i], w);
        for (int p = 0, end; p < PLUMB_PROJECTIONS; p = end) {
            end = p + 1;
            if (!w[p]->n) continue;
            while (end < PLUMB_PROJECTIONS && w[end]->n && strcmp(w[end]->name, w[p]->name) == 0) end++;
            if (is_target(a, w[p])) PLUMB_TRY(add_module(a, m, i, w, p, end, apart));
        }
    }
    return PLUMB_OK;
}

static plumb_status add_head(plumb_adapter *a, const plumb_model *m)
{
    int d = m->config.hidden_size;
    if (m->config.head != PLUMB_HEAD_SCORE) return PLUMB_OK;
    PLUMB_TRY(plumb_arena_new(&a->arena, &a->head, (size_t)d, sizeof *a->head));
    return bind(m->compute, a->head, 1, d, PLUMB_ADAPTER_SCORE, &a->score);
}

static plumb_status make(const plumb_model *m, const plumb_adapter_options *o, bool apart, plumb_adapter **out)
{
    plumb_adapter *a;
    *out = NULL;
    PLUMB_TRY(plumb_new(&a, 1, sizeof *a));
    a->r = o->r;
    a->alpha = o->alpha;
    a->dropout = o->dropout;
    a->rslora = o->rslora;
    a->scale = (float)(o->alpha / (o->rslora ? sqrt(o->r) : o->r));
    plumb_status s = set_targets(a, m, o);
    if (!s) s = add_modules(a, m, apart);
    if (!s) s = add_head(a, m);
    if (s) {
        plumb_adapter_free(a);
        return s;
    }
    *out = a;
    return PLUMB_OK;
}

void plumb_adapter_free(plumb_adapter *a)
{
    if (!a) return;
    free(a->list);
    plumb_arena_free(&a->arena);
    free(a);
}

static plumb_status check_numbers(const plumb_adapter_options *o)
{
    if (o->r < 1) return plumb_fail(PLUMB_E_INPUT, "a rank (lora_r) of %d; expected 1 or more", o->r);
    if (!isfinite(o->alpha)) return plumb_fail(PLUMB_E_INPUT, "lora_alpha is %g", o->alpha);
    return PLUMB_OK;
}

void plumb_adapter_take_head(const plumb_adapter *a, const plumb_model *m)
{
    for (int i = 0; i < a->score.k; i++) a->head[i] = plumb_load(m->score.weight, m->score.dtype, (size_t)i);
}

plumb_status plumb_adapter_make(const plumb_model *m, const plumb_adapter_options *options, plumb_adapter **out)
{
    PLUMB_TRY(check_numbers(options));
    return make(m, options, false, out);
}

/* ---- fresh ones ---- */

/* "q_proj, k_proj, ...": the last components of all linears that can be adapted. */
static plumb_status list_targets(const plumb_model *m, plumb_text *text)
{
    const char *names[] = {all_linear};
    plumb_adapter *every;
    PLUMB_TRY(make(m, &(plumb_adapter_options){.r = 1, .targets = names, .target_count = 1}, false, &every));
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < every->target_count && !s; i++)
        s = plumb_text_printf(text, "%s%s", i ? ", " : "", every->targets[i]);
    plumb_adapter_free(every);
    return s;
}

static plumb_status unknown_target(const plumb_model *m, const char *target)
{
    plumb_text known = {0};
    plumb_status s = list_targets(m, &known);
    if (!s)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "lora_target_modules: \"%s\" names no linear of the layers", target),
                       "there are: %s; all-linear means all of them", known.data);
    plumb_text_free(&known);
    return s;
}

static plumb_status check_targets(const plumb_adapter *a, const plumb_model *m)
{
    for (size_t i = 0; i < a->target_count; i++) {
        bool found = false;
        for (size_t k = 0; k < a->count && !found; k++)
            found = names_module(a->targets[i], a->list[k].name, strlen(a->list[k].name));
        if (!found) return unknown_target(m, a->targets[i]);
    }
    return PLUMB_OK;
}

/* A alone: with B = 0 the adapter changes nothing until the first step; nor does the model's own head. */
static void fill(const plumb_adapter *a, const plumb_model *m, uint64_t seed)
{
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *module = &a->list[i];
        uint64_t stream = XXH3_64bits(module->name, strlen(module->name));
        double bound = 1 / sqrt(module->k);
        size_t count = (size_t)a->r * (size_t)module->k;
        for (size_t j = 0; j < count; j++) module->a[j] = (float)(bound * (2 * plumb_uniform(seed, stream, j) - 1));
    }
    plumb_adapter_take_head(a, m);
}

plumb_status plumb_adapter_new(const plumb_model *m, const plumb_adapter_options *options, plumb_adapter **out)
{
    *out = NULL;
    if (options->dropout != 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "lora_dropout is %g", options->dropout),
                          "only 0 is supported: every pass gives the same bits, and dropout would make it random");
    plumb_adapter *a;
    PLUMB_TRY(plumb_adapter_make(m, options, &a));
    plumb_status s = check_targets(a, m);
    if (s) {
        plumb_adapter_free(a);
        return s;
    }
    fill(a, m, options->seed);
    *out = a;
    return PLUMB_OK;
}

/* ---- copies and gradients ---- */

static bool same_modules(const plumb_adapter *a, const plumb_adapter *b)
{
    if (a->count != b->count || a->score.k != b->score.k) return false;
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *x = &a->list[i], *y = &b->list[i];
        if (x->n != y->n || x->k != y->k || strcmp(x->name, y->name) != 0) return false;
    }
    return true;
}

static plumb_status not_of_model(const plumb_model *m)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the adapter is not one of %s", m->folder ? m->folder : "this model"),
                      "use the adapter with the model it was made for");
}

/* The same modules with other memory. */
static plumb_status make_like(const plumb_adapter *from, const plumb_model *m, bool apart, plumb_adapter **out)
{
    plumb_adapter_options o = {.r = from->r,
                               .alpha = from->alpha,
                               .dropout = from->dropout,
                               .targets = from->targets,
                               .target_count = from->target_count,
                               .rslora = from->rslora};
    plumb_adapter *a;
    *out = NULL;
    PLUMB_TRY(make(m, &o, apart, &a));
    plumb_status s = same_modules(from, a) ? PLUMB_OK : not_of_model(m);
    if (!s && from->base) s = plumb_arena_copy(&a->arena, &a->base, from->base, strlen(from->base));
    if (s) {
        plumb_adapter_free(a);
        return s;
    }
    *out = a;
    return PLUMB_OK;
}

plumb_status plumb_adapter_copy(const plumb_adapter *from, const plumb_model *m, plumb_adapter **out)
{
    PLUMB_TRY(make_like(from, m, false, out));
    for (size_t i = 0; i < from->count; i++) {
        const plumb_adapted *x = &from->list[i], *y = &(*out)->list[i];
        memcpy(y->a, x->a, (size_t)from->r * (size_t)x->k * sizeof *x->a);
        memcpy(y->b, x->b, (size_t)from->r * (size_t)x->n * sizeof *x->b);
    }
    if (from->head) memcpy((*out)->head, from->head, (size_t)from->score.k * sizeof *from->head);
    return PLUMB_OK;
}

plumb_status plumb_adapter_gradients(const plumb_adapter *of, const plumb_model *m, plumb_adapter **out)
{
    return make_like(of, m, true, out);
}

void plumb_adapter_gather(plumb_adapter *gradients)
{
    for (size_t i = 0; i < gradients->count; i++) {
        const plumb_adapted *module = &gradients->list[i];
        size_t size = (size_t)gradients->r * (size_t)module->k;
        if (!module->part_a) continue;
        for (size_t p = 0; p + 1 < (size_t)module->parts; p++)
            for (size_t j = 0; j < size; j++) module->a[j] += module->part_a[p * size + j];
        memset(module->part_a, 0, (size_t)(module->parts - 1) * size * sizeof *module->part_a);
    }
}

uint64_t plumb_adapter_hash(const plumb_adapter *a)
{
    uint64_t hash = XXH3_64bits(&a->scale, sizeof a->scale);
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *m = &a->list[i];
        size_t r = (size_t)a->r;
        hash = XXH3_64bits_withSeed(m->name, strlen(m->name), hash);
        hash = XXH3_64bits_withSeed(m->a, r * (size_t)m->k * sizeof *m->a, hash);
        hash = XXH3_64bits_withSeed(m->b, r * (size_t)m->n * sizeof *m->b, hash);
    }
    if (a->head) hash = XXH3_64bits_withSeed(a->head, (size_t)a->score.k * sizeof *a->head, hash);
    return hash;
}

size_t plumb_adapter_elements(const plumb_adapter *a)
{
    size_t sum = (size_t)a->score.k;
    for (size_t i = 0; i < a->count; i++) sum += (size_t)a->r * ((size_t)a->list[i].n + (size_t)a->list[i].k);
    return sum;
}

/* ---- use ---- */

static bool fits(const plumb_model *m, const plumb_adapter *a)
{
    if (a->layer_count != m->config.layers || a->score.k != m->score.k) return false;
    for (int i = 0; i < a->layer_count; i++) {
        const plumb_linear *w[PLUMB_PROJECTIONS];
        layer_linears(&m->layers[i], w);
        for (int p = 0; p < PLUMB_PROJECTIONS; p++) {
            const plumb_low_rank *view = &a->layers[i][p];
            if (view->a.n && (view->a.k != w[p]->k || view->b.n != w[p]->n)) return false;
        }
    }
    return true;
}

plumb_status plumb_model_attach(plumb_model *m, const plumb_adapter *a)
{
    if (a && !fits(m, a)) return not_of_model(m);
    m->adapter = a;
    return PLUMB_OK;
}

const plumb_linear *plumb_model_score(const plumb_model *m)
{
    return m->adapter && m->adapter->head ? &m->adapter->score : &m->score;
}

const plumb_low_rank *plumb_low_rank_of(const plumb_model *m, const plumb_layer *l, const plumb_linear *w)
{
    if (!m->adapter) return NULL;
    const plumb_low_rank *views = m->adapter->layers[l - m->layers];
    const plumb_linear *all[PLUMB_PROJECTIONS];
    layer_linears(l, all);
    for (int p = 0; p < PLUMB_PROJECTIONS; p++)
        if (all[p] == w) return views[p].a.n ? &views[p] : NULL;
    return NULL;
}

static void multiply(float *t, size_t count, float scale)
{
    for (size_t i = 0; i < count; i++) t[i] *= scale;
}

/* t [rows][r] = scale x A^T */
static plumb_status narrow(plumb_compute *c, const plumb_low_rank *w, const float *x, int rows, float *t)
{
    int r = w->a.n;
    PLUMB_TRY(plumb_linear_run(c, &w->a, x, w->a.k, rows, t, r, PLUMB_STORE));
    multiply(t, (size_t)rows * (size_t)r, w->scale);
    return PLUMB_OK;
}

plumb_status plumb_low_rank_add(plumb_compute *c, const plumb_low_rank *w, const float *x, int rows, float *t, float *y)
{
    PLUMB_TRY(narrow(c, w, x, rows, t));
    return plumb_linear_run(c, &w->b, t, w->b.k, rows, y, w->b.n, PLUMB_ADD);
}

plumb_status plumb_low_rank_back(plumb_compute *c, const plumb_low_rank *w, const plumb_low_rank *g, const float *x,
                                 const float *dy, int rows, float *t, float *dt, float *dx)
{
    int r = w->a.n, n = w->b.n, k = w->a.k;
    PLUMB_TRY(plumb_linear_transposed(c, &w->b, dy, n, rows, dt, r, PLUMB_STORE));
    multiply(dt, (size_t)rows * (size_t)r, w->scale);
    if (g) { /* a gradient adapter's pointers are const like all weights; the memory behind them is the trainer's */
        PLUMB_TRY(narrow(c, w, x, rows, t));
        PLUMB_TRY(plumb_linear_gradient(c, dy, n, t, r, rows, n, r, (float *)(void *)g->b.weight));
        PLUMB_TRY(plumb_linear_gradient(c, dt, r, x, k, rows, r, k, (float *)(void *)g->a.weight));
    }
    return dx ? plumb_linear_transposed(c, &w->a, dt, r, rows, dx, k, PLUMB_ADD) : PLUMB_OK;
}

plumb_status plumb_adapter_merge(plumb_compute *c, const plumb_adapter *a, const plumb_adapted *module, int first,
                                 int rows, float *scratch, float *w)
{
    size_t r = (size_t)a->r, count = (size_t)rows * r;
    plumb_linear matrix;
    PLUMB_TRY(bind(c, module->a, a->r, module->k, module->names[0], &matrix));
    memcpy(scratch, module->b + (size_t)first * r, count * sizeof *scratch);
    multiply(scratch, count, a->scale);
    return plumb_linear_transposed(c, &matrix, scratch, a->r, rows, w, module->k, PLUMB_ADD);
}
