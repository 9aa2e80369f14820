/* LoRA: passes with an adapter against those with the merged matrix in full, for every architecture and back end; fresh
 * adapters; the folders of PEFT. */
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "io/output.h"
#include "io/safetensors.h"
#include "model/adapter.h"
#include "model/backward.h"
#include "model/forward.h"
#include "scratch.h"
#include "train/masters.h"

static const char *const models[] = {
    "olmo",    "olmo-clip-bf16",      "olmo2",       "gemma-bf16", "gemma-chat", "gemma2", "gemma3",
    "llama2",  "llama3-chat-sharded", "llama3-bf16", "mistral",    "qwen2-bf16", "qwen3",  "phi3",
    "gpt-neox"};

enum { RANK = 3, GROUPS = 2, LENGTH = 24 };

static plumb_compute *open_best(int threads)
{
    plumb_compute *c;
    check_ok(plumb_compute_open(NULL, threads, &c));
    return c;
}

static plumb_model *open_model(const char *name, plumb_compute *c)
{
    plumb_model *m;
    const char *folder = oracle_path("models", name);
    assert_non_null(folder);
    check_ok(plumb_model_open(folder, c, &m));
    return m;
}

/* All linears, B not 0, so that scale B A is about as large as W. */
static plumb_adapter *some_adapter(const plumb_model *m, bool rslora)
{
    static const char *const all[] = {"all-linear"};
    plumb_adapter_options how = {
        .r = RANK, .alpha = 6, .targets = all, .target_count = 1, .rslora = rslora, .seed = 11};
    plumb_adapter *a;
    check_ok(plumb_adapter_new(m, &how, &a));
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < RANK * (size_t)a->list[i].n; j++)
            a->list[i].b[j] = (float)(0.05 * plumb_normal(12, i, j));
    return a;
}

/* Pairs number first .. last - 1: a prefix of 9 tokens, then two branches. */
static plumb_batch some_batch(int vocabulary, int first, int last)
{
    plumb_batch b = {0};
    for (int g = first; g < last; g++) {
        int32_t ids[2][LENGTH];
        for (int i = 0; i < LENGTH; i++)
            for (int s = 0; s < 2; s++)
                ids[s][i] =
                    (int32_t)(plumb_uniform(13, 2 * (uint64_t)g + (i < 9 ? 0 : (uint64_t)s), (uint64_t)i) * vocabulary);
        plumb_group_place place;
        check_ok(
            plumb_batch_add(&b, (const int32_t *[]){ids[0], ids[1]}, (int[]){LENGTH, LENGTH - 5 - g}, 2, 9, 7, &place));
    }
    return b;
}

/* Both passes over the batch; returns the hidden states, to be freed. The gradient of the hidden states is random, and
 * goes on with the wanted rows that other batches had before. */
static float *run_passes(const plumb_masters *w, const plumb_batch *b, bool keep, size_t *wanted_before)
{
    const plumb_config *c = &w->values->config;
    size_t count = b->wanted.count * (size_t)c->hidden_size, from = *wanted_before * (size_t)c->hidden_size;
    float *hidden = malloc(count * sizeof *hidden), *dhidden = malloc(count * sizeof *dhidden);
    const float *states;
    plumb_training *t;
    check_ok(plumb_training_new(w->values, w->gradients, keep, &t));
    check_ok(plumb_training_forward(t, b, &states));
    memcpy(hidden, states, count * sizeof *hidden);
    for (size_t i = 0; i < count; i++) dhidden[i] = (float)plumb_normal(14, 0, from + i);
    check_ok(plumb_training_backward(t, b, dhidden, NULL));
    plumb_training_free(t);
    free(dhidden);
    *wanted_before += b->wanted.count;
    return hidden;
}

static const plumb_master *find_master(const plumb_masters *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (strcmp(w->list[i].name, name) == 0) return &w->list[i];
    fail_msg("no master %s", name);
    return NULL;
}

static const plumb_master *full_matrix(const plumb_masters *full, const plumb_adapted *module)
{
    char name[300];
    snprintf(name, sizeof name, "%s.weight", module->name);
    return find_master(full, name);
}

static void merge_into(plumb_compute *c, const plumb_adapter *a, plumb_masters *full)
{
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *module = &a->list[i];
        float *scratch_rows = malloc(RANK * (size_t)module->n * sizeof *scratch_rows);
        float *w = full_matrix(full, module)->value;
        int half = module->n / 2; /* in two pieces */
        check_ok(plumb_adapter_merge(c, a, module, 0, half, scratch_rows, w));
        check_ok(plumb_adapter_merge(c, a, module, half, module->n - half, scratch_rows,
                                     w + (size_t)half * (size_t)module->k));
        free(scratch_rows);
    }
}

static void check_hidden(const char *name, const float *got, const float *want, size_t count)
{
    float most = 0;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(want[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-4f * most))
            fail_msg("%s: state %zu is %.9g with the adapter, %.9g merged (largest %.3g)", name, i, (double)got[i],
                     (double)want[i], (double)most);
}

/* got [rows][columns] against the sum over `inner` of left and right, each with its strides. */
static void check_product(const char *name, const plumb_master *got, double scale, const float *left, size_t left_row,
                          size_t left_inner, const float *right, size_t right_inner, size_t right_column, size_t inner)
{
    double norm = 0, worst = 0;
    for (int64_t i = 0; i < got->shape[0]; i++)
        for (int64_t j = 0; j < got->shape[1]; j++) {
            double sum = 0, value = got->gradient[i * got->shape[1] + j];
            for (size_t k = 0; k < inner; k++)
                sum += (double)left[(size_t)i * left_row + k * left_inner] *
                       (double)right[k * right_inner + (size_t)j * right_column];
            worst = fmax(worst, fabs(value - scale * sum));
            norm += scale * sum * scale * sum;
        }
    if (!(worst <= 1e-3 * sqrt(norm)) || norm == 0)
        fail_msg("%s: the gradient of %s is off by %.3g (norm %.3g)", name, got->name, worst, sqrt(norm));
}

/* dA = scale B^T dW and dB = scale dW A^T, with dW the gradient of the merged matrix. */
static void check_gradients(const char *name, const plumb_masters *low, const plumb_masters *full)
{
    const plumb_adapter *a = low->adapter;
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *module = &a->list[i];
        size_t n = (size_t)module->n, k = (size_t)module->k;
        const float *dw = full_matrix(full, module)->gradient;
        check_product(name, find_master(low, module->names[0]), (double)a->scale, module->b, 1, RANK, dw, k, 1, n);
        check_product(name, find_master(low, module->names[1]), (double)a->scale, dw, k, 1, module->a, 1, k, k);
    }
}

static void check_architecture(const char *name, const char *isa)
{
    plumb_compute *c = open_isa(isa, 1);
    if (!c) return;
    plumb_model *m = open_model(name, c);
    plumb_adapter *a = some_adapter(m, false);
    plumb_masters *low, *full;
    size_t before = 0;
    plumb_batch b = some_batch(m->config.vocab_size, 0, GROUPS);
    check_ok(plumb_masters_of_adapter(m, a, &low));
    check_ok(plumb_masters_new(m, &full));
    merge_into(c, a, full);
    float *got = run_passes(low, &b, true, &before);
    before = 0;
    float *want = run_passes(full, &b, true, &before);
    check_hidden(name, got, want, b.wanted.count * (size_t)m->config.hidden_size);
    plumb_masters_gather_gradients(low);
    check_gradients(name, low, full);
    free(got);
    free(want);
    plumb_batch_free(&b);
    plumb_masters_free(low);
    plumb_masters_free(full);
    plumb_adapter_free(a);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void passes_match_the_merged_model(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) check_architecture(models[i], *state);
}

/* Gradients of the pairs, in one batch or one each. */
static uint64_t gradient_bits(const char *name, int threads, bool keep, bool apart)
{
    plumb_compute *c = open_best(threads);
    plumb_model *m = open_model(name, c);
    plumb_adapter *a = some_adapter(m, true);
    plumb_masters *w;
    uint64_t hash = 1469598103934665603u;
    size_t before = 0;
    check_ok(plumb_masters_of_adapter(m, a, &w));
    plumb_adapter_free(a); /* the masters have their own copy */
    for (int g = 0; g < GROUPS; g += apart ? 1 : GROUPS) {
        plumb_batch b = some_batch(m->config.vocab_size, g, apart ? g + 1 : GROUPS);
        free(run_passes(w, &b, keep, &before));
        plumb_batch_free(&b);
    }
    plumb_masters_gather_gradients(w);
    for (size_t i = 0; i < w->count; i++)
        for (size_t k = 0; k < w->list[i].count; k++) {
            uint32_t bits;
            memcpy(&bits, &w->list[i].gradient[k], sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
    plumb_masters_free(w);
    plumb_model_close(m);
    plumb_compute_close(c);
    return hash;
}

static void gradients_have_the_same_bits(void **state)
{
    static const char *const some[] = {"llama2", "phi3", "gpt-neox", "gemma2"};
    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        uint64_t bits = gradient_bits(some[i], 1, true, false);
        assert_int_equal(gradient_bits(some[i], 3, true, false), bits);
        assert_int_equal(gradient_bits(some[i], 1, false, false), bits);
        assert_int_equal(gradient_bits(some[i], 2, false, true), bits);
    }
}

static float *hidden_states(const plumb_model *m, plumb_forward *f, const plumb_batch *b)
{
    const float *states;
    size_t bytes = b->wanted.count * (size_t)m->config.hidden_size * sizeof *states;
    float *copy = malloc(bytes);
    check_ok(plumb_forward_run(f, b, &states));
    memcpy(copy, states, bytes);
    return copy;
}

static void a_fresh_adapter_changes_nothing(void **state)
{
    (void)state;
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model("qwen3", c);
    plumb_batch b = some_batch(m->config.vocab_size, 0, GROUPS);
    size_t bytes = b.wanted.count * (size_t)m->config.hidden_size * sizeof(float);
    plumb_adapter *fresh, *used = some_adapter(m, false);
    plumb_forward *f;
    check_ok(plumb_adapter_new(m, &(plumb_adapter_options){.r = 16, .alpha = 32, .seed = 1}, &fresh));
    check_ok(plumb_forward_new(m, &f));
    float *base = hidden_states(m, f, &b);
    check_ok(plumb_model_attach(m, fresh)); /* the forward pass finds room for it */
    float *same = hidden_states(m, f, &b);
    assert_memory_equal(base, same, bytes);
    check_ok(plumb_model_attach(m, used));
    float *other = hidden_states(m, f, &b);
    assert_memory_not_equal(base, other, bytes);
    check_ok(plumb_model_attach(m, NULL));
    float *again = hidden_states(m, f, &b);
    assert_memory_equal(base, again, bytes);
    free(base), free(same), free(other), free(again);
    plumb_forward_free(f);
    plumb_batch_free(&b);
    plumb_adapter_free(fresh);
    plumb_adapter_free(used);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void fresh_weights(void **state)
{
    (void)state;
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model("llama2", c);
    plumb_adapter *a, *b;
    plumb_adapter_options how = {.r = 8, .alpha = 16, .seed = 5};
    check_ok(plumb_adapter_new(m, &how, &a));
    check_ok(plumb_adapter_new(m, &how, &b));
    assert_int_equal(a->count, 2 * m->config.layers); /* q_proj and v_proj */
    assert_float_equal(a->scale, 2, 0);
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *x = &a->list[i];
        double bound = 1 / sqrt(x->k), most = 0, squares = 0;
        size_t count = 8 * (size_t)x->k;
        assert_memory_equal(x->a, b->list[i].a, count * sizeof(float));
        for (size_t j = 0; j < count; j++) {
            most = fmax(most, fabs((double)x->a[j]));
            squares += (double)x->a[j] * (double)x->a[j];
        }
        assert_true(most <= bound && most > 0.97 * bound);
        assert_true(fabs(sqrt(3 * squares / (double)count) / bound - 1) < 0.1);
        for (size_t j = 0; j < 8 * (size_t)x->n; j++) assert_true(x->b[j] == 0);
    }
    assert_true(a->list[0].a[0] != a->list[1].a[0]);
    plumb_adapter_free(a);
    plumb_adapter_free(b);
    how.rslora = true;
    check_ok(plumb_adapter_new(m, &how, &a));
    assert_true(fabs((double)a->scale - 16 / sqrt(8)) < 1e-6);
    plumb_adapter_free(a);
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* Which modules of layer 0 a target names. */
static void check_targets(const char *name, const char *target, const char *const *expected)
{
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model(name, c);
    plumb_adapter *a;
    size_t i = 0;
    check_ok(plumb_adapter_new(
        m, &(plumb_adapter_options){.r = 2, .alpha = 2, .targets = &target, .target_count = target != NULL}, &a));
    for (; expected[i]; i++) assert_true(i < a->count && strcmp(a->list[i].name, expected[i]) == 0);
    assert_true(i == a->count || !strstr(a->list[i].name, "layers.0."));
    plumb_adapter_free(a);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void targets_name_modules(void **state)
{
    (void)state;
#define NEOX "gpt_neox.layers.0."
#define L0   "model.layers.0."
    check_targets("gpt-neox", "dense", (const char *[]){NEOX "attention.dense", NULL});
    check_targets("gpt-neox", NULL, (const char *[]){NEOX "attention.query_key_value", NULL});
    check_targets("gpt-neox", "all-linear",
                  (const char *[]){NEOX "attention.query_key_value", NEOX "attention.dense", NEOX "mlp.dense_h_to_4h",
                                   NEOX "mlp.dense_4h_to_h", NULL});
    check_targets("phi3", NULL, (const char *[]){L0 "self_attn.qkv_proj", NULL});
    check_targets("phi3", "all-linear",
                  (const char *[]){L0 "self_attn.qkv_proj", L0 "self_attn.o_proj", L0 "mlp.gate_up_proj",
                                   L0 "mlp.down_proj", NULL});
    check_targets("llama2", "mlp.up_proj", (const char *[]){L0 "mlp.up_proj", NULL});
    check_targets("llama2", L0 "self_attn.k_proj", (const char *[]){L0 "self_attn.k_proj", NULL});
}

static void options_that_are_refused(void **state)
{
    static const char *const wrong[] = {"q_proj", "proj"}, *const head[] = {"lm_head"};
    (void)state;
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model("llama2", c), *other = open_model("gpt-neox", c);
    plumb_adapter *a;
    plumb_adapter_options how = {.r = 4, .alpha = 8, .dropout = 0.05};
    check_error(plumb_adapter_new(m, &how, &a), PLUMB_E_INPUT, "lora_dropout is 0.05");
    how = (plumb_adapter_options){.r = 0, .alpha = 8};
    check_error(plumb_adapter_new(m, &how, &a), PLUMB_E_INPUT, "a rank (lora_r) of 0");
    how = (plumb_adapter_options){.r = 4, .alpha = 8, .targets = wrong, .target_count = 2};
    check_error(plumb_adapter_new(m, &how, &a), PLUMB_E_INPUT,
                "there are: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
    how = (plumb_adapter_options){.r = 4, .alpha = 8, .targets = head, .target_count = 1};
    check_error(plumb_adapter_new(m, &how, &a), PLUMB_E_INPUT, "\"lm_head\" names no linear of the layers");
    a = some_adapter(m, false);
    check_error(plumb_model_attach(other, a), PLUMB_E_INPUT, "the adapter is not one of");
    a->dropout = 0.1;
    plumb_masters *w;
    check_error(plumb_masters_of_adapter(m, a, &w), PLUMB_E_INPUT, "lora_dropout is 0.1");
    plumb_adapter_free(a);
    plumb_model_close(m);
    plumb_model_close(other);
    plumb_compute_close(c);
}

/* ---- folders ---- */

static const char *new_folder(const char *name)
{
    const char *path = scratch(name);
    mkdir(path, 0777);
    return path;
}

static void folders_go_round(void **state)
{
    static const plumb_dtype types[] = {PLUMB_F32, PLUMB_BF16};
    static const char *const some[] = {"phi3", "gpt-neox", "gemma3"};
    (void)state;
    plumb_compute *c = open_best(1);
    for (size_t i = 0; i < 6; i++) {
        plumb_model *m = open_model(some[i / 2], c);
        plumb_adapter *a = some_adapter(m, i % 2), *b;
        const char *folder = new_folder("adapter");
        check_ok(plumb_adapter_save(a, folder, "some/base \"model\"", types[i % 2]));
        check_ok(plumb_adapter_load(folder, m, &b));
        assert_string_equal(b->base, "some/base \"model\"");
        assert_int_equal(b->count, a->count);
        assert_true(b->rslora == a->rslora && b->scale == a->scale);
        for (size_t k = 0; k < a->count; k++)
            for (size_t j = 0; j < RANK * (size_t)a->list[k].n; j++) {
                float want = a->list[k].b[j];
                if (i % 2) want = plumb_from_bf16(plumb_to_bf16(want));
                assert_true(b->list[k].b[j] == want);
            }
        plumb_adapter_free(a);
        plumb_adapter_free(b);
        plumb_model_close(m);
    }
    plumb_compute_close(c);
}

/* The reference adapter with `json` merged into its adapter_config.json (NULL: as it is) and its tensors renamed. */
static const char *changed_folder(const char *json, const char *old, const char *new)
{
    const char *from = oracle_path("models", "adapter-init"), *folder = new_folder("changed");
    char path[700];
    snprintf(path, sizeof path, "%s/adapter_config.json", from);
    json_t *config = json_load_file(path, 0, NULL), *more = json ? json_loads(json, 0, NULL) : json_object();
    assert_non_null(config);
    assert_non_null(more);
    json_object_update(config, more);
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
    json_decref(more);
    plumb_tensors *set;
    plumb_tensors_writer *out;
    plumb_tensor_spec specs[64];
    char names[64][200];
    size_t count;
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", from);
    check_ok(plumb_tensors_open_file(path, &set));
    const plumb_tensor *list = plumb_tensors_list(set, &count);
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(list[i].name, old);
        int head = at ? (int)(at - list[i].name) : (int)strlen(list[i].name);
        snprintf(names[i], sizeof names[i], "%.*s%s%s", head, list[i].name, at ? new : "", at ? at + strlen(old) : "");
        specs[i] = (plumb_tensor_spec){names[i], list[i].dtype, list[i].dims, {list[i].shape[0], list[i].shape[1]}};
    }
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    check_ok(plumb_tensors_create(path, specs, count, &out));
    for (size_t i = 0; i < count; i++) check_ok(plumb_tensors_write(out, list[i].data, list[i].bytes));
    check_ok(plumb_tensors_finish(out));
    plumb_tensors_close(set);
    return folder;
}

static void spellings_that_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *json, *old, *new;
    } cases[] = {
        {NULL, "?", "?"},
        {NULL, ".weight", ".default.weight"},
        {NULL, "base_model.model.model.", "base_model.model.model.language_model."},
        {NULL, "base_model.model.", "base_model.model.language_model."},
        {"{\"lora_alpha\": 8.0, \"lora_dropout\": 0.1, \"init_lora_weights\": \"gaussian\"}", "?", "?"},
        {"{\"megatron_core\": \"megatron.core\", \"some_new_number\": 3, \"some_new_switch\": false}", "?", "?"},
        {"{\"target_modules\": [\"model.language_model.layers.0.self_attn.q_proj\", \"q_proj\", \"v_proj\", "
         "\"mlp.down_proj\", \"vision_proj\"]}",
         "?", "?"},
    };
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model("llama3-chat-sharded", c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_adapter *a;
        check_ok(plumb_adapter_load(changed_folder(cases[i].json, cases[i].old, cases[i].new), m, &a));
        assert_int_equal(a->count, 3 * m->config.layers);
        assert_float_equal(a->scale, 2, 0);
        assert_string_equal(a->base, "llama3-chat-sharded");
        plumb_adapter_free(a);
    }
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void folders_that_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *old, *new, *message;
    } cases[] = {
        {"{\"peft_type\": \"IA3\"}", "?", "?", "\"peft_type\" is IA3; supported: LORA"},
        {"{\"use_dora\": true}", "?", "?", "\"use_dora\" is true: DoRA"},
        {"{\"modules_to_save\": [\"lm_head\"]}", "?", "?", "\"modules_to_save\" is [\"lm_head\"]: "},
        {"{\"bias\": \"all\"}", "?", "?", "\"bias\" is \"all\": trained biases"},
        {"{\"rank_pattern\": {\"q_proj\": 8}}", "?", "?", "\"rank_pattern\" is {\"q_proj\":8}: "},
        {"{\"alpha_pattern\": {\"q_proj\": 8}}", "?", "?", "\"alpha_pattern\""},
        {"{\"layers_to_transform\": [0]}", "?", "?", "\"layers_to_transform\" is [0]: all layers"},
        {"{\"fan_in_fan_out\": true}", "?", "?", "\"fan_in_fan_out\""},
        {"{\"init_lora_weights\": \"pissa_niter_16\"}", "?", "?", "\"init_lora_weights\" is \"pissa_niter_16\": "},
        {"{\"init_lora_weights\": \"loftq\"}", "?", "?", "changes the base model's weights too"},
        {"{\"exclude_modules\": [\"q_proj\"]}", "?", "?", "\"exclude_modules\""},
        {"{\"use_something_new\": true}", "?", "?", "\"use_something_new\" is true: plumb does not know this key"},
        {"{\"target_modules\": \".*_proj\"}", "?", "?", "\".*_proj\", a regular expression"},
        {"{\"target_modules\": []}", "?", "?", "\"target_modules\" is empty"},
        {"{\"target_modules\": null}", "?", "?", "\"target_modules\" is null"},
        {"{\"target_modules\": [1]}", "?", "?", "not a string"},
        {"{\"target_modules\": [\"qkv_proj\"]}", "?", "?", "(qkv_proj) name no linear of"},
        {"{\"target_modules\": [\"q_proj\", \"k_proj\"]}", "?", "?", "k_proj.lora_A.weight: missing"},
        {"{\"target_modules\": [\"q_proj\"]}", "?", "?", "belongs to no linear of the layers of"},
        {"{\"r\": 0}", "?", "?", "\"r\" is 0"},
        {"{\"r\": \"4\"}", "?", "?", "\"r\" is a string"},
        {"{\"r\": 8}", "?", "?", "has shape [4, 64]; r and"},
        {NULL, "layers.0.", "layers.9.", "layers.0.self_attn.q_proj.lora_A.weight: missing"},
        {NULL, "layers.0.", "layers.9.", "it was made for llama3-chat-sharded"},
    };
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model("llama3-chat-sharded", c), *other = open_model("gpt-neox", c);
    plumb_adapter *a;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_error(plumb_adapter_load(changed_folder(cases[i].json, cases[i].old, cases[i].new), m, &a), PLUMB_E_INPUT,
                    cases[i].message);
    check_error(plumb_adapter_load(changed_folder(NULL, "?", "?"), other, &a), PLUMB_E_INPUT, "gpt-neox");
    check_error(plumb_adapter_load(oracle_path("models", "olmo"), m, &a), PLUMB_E_INPUT,
                "there is no adapter_config.json");
    const char *folder = changed_folder(NULL, "?", "?");
    char path[700];
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", folder);
    unlink(path);
    check_error(plumb_adapter_load(folder, m, &a), PLUMB_E_INPUT, "adapter_model.safetensors");
    snprintf(path, sizeof path, "%s/adapter_model.bin", folder);
    check_ok(plumb_write_file(path, "x", 1));
    check_error(plumb_adapter_load(folder, m, &a), PLUMB_E_INPUT, "is a Python pickle");
    plumb_model_close(m);
    plumb_model_close(other);
    plumb_compute_close(c);
}

/* ---- reward heads ---- */

/* Puts "score" among modules_to_save of the folder, whatever its weights are. */
static void claim_a_head(const char *folder)
{
    char path[700];
    snprintf(path, sizeof path, "%s/adapter_config.json", folder);
    json_t *config = json_load_file(path, 0, NULL);
    assert_non_null(config);
    json_object_set_new(config, "modules_to_save", json_pack("[s]", "score"));
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
}

/* A language model under a fresh head: the adapter begins with it, owns it, and its folder brings it back. */
static void a_reward_head_goes_with_its_adapter(void **state)
{
    (void)state;
    static const char *const one[] = {"q_proj"};
    plumb_adapter_options how = {.r = RANK, .alpha = 6, .targets = one, .target_count = 1};
    plumb_compute *c = open_best(1);
    plumb_model *m, *tokens = open_model("olmo", c);
    plumb_adapter *a, *copy, *again, *plain;
    plumb_text base = {0};
    bool fresh, reward;
    check_ok(plumb_model_open_score(oracle_path("models", "olmo"), c, 3, &m, &fresh));
    check_ok(plumb_adapter_new(m, &how, &a));
    check_ok(plumb_adapter_new(tokens, &how, &plain));
    int d = m->config.hidden_size;
    assert_memory_equal(a->head, m->score.weight, (size_t)d * sizeof *a->head);
    assert_null(plain->head);
    assert_int_equal(plumb_adapter_elements(a), plumb_adapter_elements(plain) + (size_t)d);
    check_error(plumb_model_attach(tokens, a), PLUMB_E_INPUT, "the adapter is not one of");
    check_error(plumb_model_attach(m, plain), PLUMB_E_INPUT, "the adapter is not one of");
    uint64_t hash = plumb_adapter_hash(a);
    a->head[d - 1] += 1;
    assert_true(plumb_adapter_hash(a) != hash);
    check_ok(plumb_adapter_copy(a, m, &copy));
    assert_int_equal(plumb_adapter_hash(copy), plumb_adapter_hash(a));
    assert_ptr_equal(plumb_model_score(m), &m->score);
    check_ok(plumb_model_attach(m, a));
    assert_ptr_equal(plumb_model_score(m)->weight, a->head);
    const char *folder = new_folder("reward");
    check_ok(plumb_adapter_save(a, folder, "some/base", PLUMB_F32));
    check_ok(plumb_adapter_about(folder, &reward, &base));
    assert_true(reward);
    assert_string_equal(base.data, "some/base");
    check_ok(plumb_adapter_load(folder, m, &again));
    assert_int_equal(plumb_adapter_hash(again), plumb_adapter_hash(a));
    plumb_adapter_free(again);
    check_error(plumb_adapter_load(folder, tokens, &again), PLUMB_E_INPUT, "is the adapter of a reward model");
    check_ok(plumb_adapter_save(plain, folder, NULL, PLUMB_F32));
    check_ok(plumb_adapter_about(folder, &reward, NULL));
    assert_false(reward);
    check_error(plumb_adapter_load(folder, m, &again), PLUMB_E_INPUT, "neither has a reward head");
    m->fresh_score = NULL; /* as if the head were the checkpoint's own: it is lent */
    check_ok(plumb_adapter_load(folder, m, &again));
    assert_memory_equal(again->head, m->score.weight, (size_t)d * sizeof *a->head);
    claim_a_head(folder);
    check_error(plumb_adapter_load(folder, m, &(plumb_adapter *){NULL}), PLUMB_E_INPUT,
                "base_model.model.score.weight: missing, though modules_to_save");
    plumb_text_free(&base);
    plumb_adapter_free(again);
    plumb_adapter_free(copy);
    plumb_adapter_free(plain);
    plumb_model_close(m);
    plumb_model_close(tokens);
    plumb_adapter_free(a);
    plumb_compute_close(c);
}

static void weights_that_are_not_finite(void **state)
{
    (void)state;
    plumb_compute *c = open_best(1);
    plumb_model *m = open_model("olmo", c);
    plumb_adapter *a = some_adapter(m, false), *b;
    const char *folder = new_folder("poisoned");
    a->list[1].b[5] = NAN;
    check_ok(plumb_adapter_save(a, folder, NULL, PLUMB_F32));
    check_error(plumb_adapter_load(folder, m, &b), PLUMB_E_INPUT, "lora_B.weight: element 5 is not finite");
    plumb_adapter_free(a);
    plumb_model_close(m);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"passes ref", passes_match_the_merged_model, NULL, NULL, (void *)"ref"},
        {"passes avx2", passes_match_the_merged_model, NULL, NULL, (void *)"avx2"},
        {"passes avx512", passes_match_the_merged_model, NULL, NULL, (void *)"avx512"},
        cmocka_unit_test(gradients_have_the_same_bits),
        cmocka_unit_test(a_fresh_adapter_changes_nothing),
        cmocka_unit_test(fresh_weights),
        cmocka_unit_test(targets_name_modules),
        cmocka_unit_test(options_that_are_refused),
        cmocka_unit_test(folders_go_round),
        cmocka_unit_test(spellings_that_are_read),
        cmocka_unit_test(folders_that_are_refused),
        cmocka_unit_test(weights_that_are_not_finite),
        cmocka_unit_test(a_reward_head_goes_with_its_adapter),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
