/* PEFT's folders: adapter_config.json and adapter_model.safetensors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/output.h"
#include "model/adapter.h"

enum { LARGEST_CONFIG = 1 << 20, PIECE = 1 << 16 };

static const char config_name[] = "adapter_config.json", weights_name[] = "adapter_model.safetensors";

/* ---- adapter_config.json ---- */

/* Keys that change what an adapter computes, in a way that plumb does not: refused unless null, false, empty or the
 * harmless value. */
static const struct {
    const char *key, *harmless, *reason;
} refused[] = {
    {"use_dora", NULL, "DoRA scales the merged weights, which are never formed here"},
    {"use_qalora", NULL, "QA-LoRA pools the inputs"},
    {"use_bdlora", NULL, "block-diagonal matrices are not supported"},
    {"bias", "none", "trained biases are not supported"},
    {"lora_bias", NULL, "biases of B are not supported"},
    {"trainable_token_indices", NULL, "trained rows of the embedding are not part of a plain LoRA adapter"},
    {"target_parameters", NULL, "only linears are supported, not single parameters"},
    {"exclude_modules", NULL, "list the modules that are meant in target_modules instead"},
    {"rank_pattern", NULL, "all modules must have the rank r"},
    {"alpha_pattern", NULL, "all modules must have the same lora_alpha"},
    {"layers_to_transform", NULL, "all layers must be adapted"},
    {"layer_replication", NULL, "layers are not repeated"},
    {"fan_in_fan_out", NULL, "it is for weights that are stored transposed, which no supported model has"},
    {"alora_invocation_tokens", NULL, "the adapter is active from the first token on"},
};

/* Keys that may be set and change nothing for a trained adapter. */
static const char *const harmless[] = {"auto_mapping",        "inference_mode", "loftq_config",
                                       "eva_config",          "corda_config",   "lora_ga_config",
                                       "ensure_weight_tying", "runtime_config", "layers_pattern"};

/* null, false, 0, "", [] and {} all say: not used. */
static bool is_set(const json_t *value)
{
    if (json_is_array(value)) return json_array_size(value) > 0;
    if (json_is_object(value)) return json_object_size(value) > 0;
    if (json_is_string(value)) return json_string_length(value) > 0;
    if (json_is_number(value)) return json_number_value(value) != 0;
    return json_is_true(value);
}

/* The value as JSON, shortened for a message. */
static void value_text(const json_t *value, char *text, size_t size)
{
    char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(text, size, "%s", dumped ? dumped : plumb_json_kind(value));
    free(dumped);
}

static plumb_status refuse(const char *key, const json_t *value, const char *reason)
{
    char text[80];
    value_text(value, text, sizeof text);
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s: %s", key, text, reason),
        "only plain LoRA is supported; with PEFT, merge_and_unload makes a checkpoint of such an adapter");
}

static bool is_one_of(const char *key, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], key) == 0) return true;
    return false;
}

/* A key that PEFT may get after this was written: a switch that is on, or settings that are not empty. */
static plumb_status check_unknown(const char *key, const json_t *value)
{
    static const char *const known[] = {"target_modules", "use_rslora", "init_lora_weights", "modules_to_save"};
    bool is_switch = json_is_true(value) || json_is_array(value) || json_is_object(value);
    if (!is_switch || !is_set(value)) return PLUMB_OK;
    if (is_one_of(key, harmless, sizeof harmless / sizeof *harmless)) return PLUMB_OK;
    if (is_one_of(key, known, sizeof known / sizeof *known)) return PLUMB_OK;
    return refuse(key, value, "plumb does not know this key, which may change what the adapter computes");
}

/* PiSSA and its kin take a part of the base weights away when they begin, so that the adapter needs another base. */
static plumb_status check_init(const json_t *config)
{
    static const char *const kept[] = {"gaussian", "eva", "orthogonal"};
    const json_t *value = json_object_get(config, "init_lora_weights");
    const char *how = json_string_value(value);
    if (!how || is_one_of(how, kept, sizeof kept / sizeof *kept)) return PLUMB_OK;
    return refuse("init_lora_weights", value, "this initialisation changes the base model's weights too");
}

/* A module that is trained in full and is the reward head: PEFT names both, whatever the model calls it. */
static bool is_head(const json_t *module)
{
    static const char *const heads[] = {PLUMB_SCORE_NAME, "classifier"};
    const char *name = json_string_value(module);
    return name && is_one_of(name, heads, sizeof heads / sizeof *heads);
}

static bool saves_head(const json_t *config)
{
    const json_t *list = json_object_get(config, "modules_to_save");
    bool found = is_head(list);
    for (size_t i = 0; i < json_array_size(list) && !found; i++) found = is_head(json_array_get(list, i));
    return found;
}

/* Beside its matrices the adapter of a reward model has its head, and nothing else. */
static plumb_status check_saved(const json_t *config, plumb_head head)
{
    const json_t *list = json_object_get(config, "modules_to_save");
    bool other = json_is_array(list) ? false : is_set(list) && !is_head(list);
    for (size_t i = 0; i < json_array_size(list) && !other; i++) other = !is_head(json_array_get(list, i));
    if (other)
        return refuse("modules_to_save", list, "modules that are trained in full are not part of a plain LoRA adapter");
    if (!saves_head(config) || head == PLUMB_HEAD_SCORE) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "is the adapter of a reward model, which tells nothing about next "
                                                "tokens"),
                      "give an adapter of a language model here; plumb reward-score uses reward models");
}

static plumb_status check_keys(json_t *config)
{
    const char *type = NULL, *key;
    const json_t *value;
    json_t *any;
    PLUMB_TRY(plumb_json_string(config, "peft_type", &type));
    if (!type || strcmp(type, "LORA") != 0)
        return plumb_fail(PLUMB_E_INPUT, "\"peft_type\" is %s; supported: LORA", type ? type : "missing");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        value = json_object_get(config, refused[i].key);
        const char *text = json_string_value(value);
        if (is_set(value) && !(text && refused[i].harmless && strcmp(text, refused[i].harmless) == 0))
            return refuse(refused[i].key, value, refused[i].reason);
    }
    json_object_foreach(config, key, any) PLUMB_TRY(check_unknown(key, any));
    return check_init(config);
}

/* What a folder says about itself; strings are borrowed from the JSON. */
typedef struct description {
    json_t *config;
    plumb_adapter_options options;
    const char **targets;
    const char *base;
} description;

/* A multimodal checkpoint has its text model under another name; targets may be whole names. */
static const char *plain_target(const char *target)
{
    static const char *const before[] = {"model.language_model.", "language_model.model."};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(before[i]);
        if (strncmp(target, before[i], n) == 0) return target + n; /* "layers.0...": an end after a dot */
    }
    return target;
}

static plumb_status read_targets(description *d)
{
    const json_t *list = json_object_get(d->config, "target_modules");
    size_t count = json_is_array(list) ? json_array_size(list) : 1;
    PLUMB_TRY(plumb_new((void *)&d->targets, count, sizeof *d->targets));
    d->options.targets = d->targets;
    if (json_is_string(list) && strcmp(json_string_value(list), "all-linear") == 0) {
        d->targets[d->options.target_count++] = "all-linear";
        return PLUMB_OK;
    }
    if (json_is_string(list))
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "\"target_modules\" is \"%s\", a regular expression", json_string_value(list)),
            "list the modules' names, or write \"all-linear\"");
    if (!json_is_array(list) || !count)
        return plumb_fail(PLUMB_E_INPUT, "\"target_modules\" is %s; expected a list of names",
                          json_is_array(list) ? "empty" : plumb_json_kind(list));
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (!name) return plumb_fail(PLUMB_E_INPUT, "\"target_modules\" holds something that is not a string");
        d->targets[d->options.target_count++] = plain_target(name);
    }
    return PLUMB_OK;
}

static plumb_status read_description(description *d, plumb_head head)
{
    int64_t r = 8; /* PEFT's defaults for keys that are missing */
    d->options.alpha = 8;
    if (!json_is_object(d->config))
        return plumb_fail(PLUMB_E_INPUT, "is %s; expected an object", plumb_json_kind(d->config));
    PLUMB_TRY(check_keys(d->config));
    PLUMB_TRY(check_saved(d->config, head));
    PLUMB_TRY(plumb_json_int(d->config, "r", &r));
    if (r < 1 || r > 1 << 20)
        return plumb_fail(PLUMB_E_INPUT, "\"r\" is %lld; expected a rank from 1 on", (long long)r);
    d->options.r = (int)r;
    PLUMB_TRY(plumb_json_number(d->config, "lora_alpha", &d->options.alpha));
    PLUMB_TRY(plumb_json_number(d->config, "lora_dropout", &d->options.dropout));
    PLUMB_TRY(plumb_json_bool(d->config, "use_rslora", &d->options.rslora));
    PLUMB_TRY(plumb_json_string(d->config, "base_model_name_or_path", &d->base));
    return read_targets(d);
}

/* ---- adapter_model.safetensors ---- */

typedef struct reading {
    const plumb_model *m;
    plumb_adapter *a;
    const plumb_tensors *file;
    const plumb_tensor *first; /* of the file's list */
    bool *used;                /* [tensors of the file] */
    bool has_head;             /* by adapter_config.json */
} reading;

static const char *model_name(const plumb_model *m)
{
    return m->folder ? m->folder : "the model";
}

/* Says whose adapter it is. Takes s over. */
static plumb_status other_model(const reading *r, plumb_status s)
{
    const char *base = r->a->base && r->a->base[0] ? r->a->base : "another model";
    return plumb_cure(s, "is it an adapter of %s? adapter_config.json says that it was made for %s", model_name(r->m),
                      base);
}

/* "base_model.model." NAME ".lora_A.weight", in older folders ".lora_A.default.weight"; the text model of a multimodal
 * checkpoint stands under another name. */
static plumb_status find(const reading *r, const plumb_adapted *module, int which, const plumb_tensor **out)
{
    static const char *const ends[] = {"weight", "default.weight"};
    static const char *const stems[][2] = {{"", ""}, {"language_model.", ""}, {"model.language_model.", "model."}};
    plumb_text name = {0};
    plumb_status s = PLUMB_OK;
    *out = NULL;
    for (int i = 0; i < 6 && !*out && !s; i++) {
        const char *const *stem = stems[i / 2];
        size_t skip = strncmp(module->name, stem[1], strlen(stem[1])) == 0 ? strlen(stem[1]) : 0;
        plumb_text_clear(&name);
        s = plumb_text_printf(&name, "base_model.model.%s%s.lora_%c.%s", stem[0], module->name + skip, "AB"[which],
                              ends[i % 2]);
        if (!s) *out = plumb_tensors_find(r->file, name.data);
    }
    plumb_text_free(&name);
    if (s || *out) return s;
    return other_model(r, plumb_fail(PLUMB_E_INPUT, "%s: missing, though target_modules names a module of %s",
                                     module->names[which], model_name(r->m)));
}

/* Widens the tensor t, which must be [rows][columns]. */
static plumb_status read_tensor(const reading *r, const plumb_tensor *t, int rows, int columns, float *to)
{
    r->used[t - r->first] = true;
    if (t->dims != 2 || t->shape[0] != rows || t->shape[1] != columns) {
        long long is[2] = {t->dims > 0 ? t->shape[0] : 0, t->dims > 1 ? t->shape[1] : 0};
        return other_model(r, plumb_fail(PLUMB_E_INPUT, "%s: has shape [%lld, %lld]; r and %s imply [%d, %d]", t->name,
                                         is[0], is[1], model_name(r->m), rows, columns));
    }
    if (!t->is_weight)
        return plumb_fail(PLUMB_E_INPUT, "%s: is stored as %s; supported: F32, F16, BF16", t->name, t->dtype_name);
    for (size_t i = 0; i < (size_t)t->count; i++) {
        to[i] = plumb_load(t->data, t->dtype, i);
        if (!isfinite(to[i])) return plumb_fail(PLUMB_E_INPUT, "%s: element %zu is not finite", t->name, i);
    }
    return PLUMB_OK;
}

static plumb_status read_matrix(const reading *r, const plumb_adapted *module, int which)
{
    const plumb_tensor *t;
    PLUMB_TRY(find(r, module, which, &t));
    return which ? read_tensor(r, t, module->n, r->a->r, module->b) : read_tensor(r, t, r->a->r, module->k, module->a);
}

static plumb_status read_head(const reading *r)
{
    const plumb_tensor *t = plumb_tensors_find(r->file, PLUMB_ADAPTER_SCORE);
    if (t) return read_tensor(r, t, 1, r->a->score.k, r->a->head);
    if (r->has_head)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: missing, though modules_to_save of %s names the reward head",
                                     PLUMB_ADAPTER_SCORE, config_name),
                          "the trained head is lost, without which the adapter is worth nothing: save it again with "
                          "PEFT's save_pretrained");
    if (r->m->fresh_score)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT,
                       "%s: missing, and %s is a language model: neither has a reward "
                       "head",
                       PLUMB_ADAPTER_SCORE, model_name(r->m)),
            "the adapter of a language model is worked into it by plumb merge; of the result plumb reward "
            "makes a reward model");
    plumb_adapter_take_head(r->a, r->m);
    return PLUMB_OK;
}

static plumb_status no_module(const reading *r)
{
    plumb_text names = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < r->a->target_count && !s; i++)
        s = plumb_text_printf(&names, "%s%s", i ? ", " : "", r->a->targets[i]);
    if (!s)
        s = other_model(
            r, plumb_fail(PLUMB_E_INPUT, "target_modules (%s) name no linear of %s", names.data, model_name(r->m)));
    plumb_text_free(&names);
    return s;
}

static plumb_status read_matrices(reading *r)
{
    size_t count;
    r->first = plumb_tensors_list(r->file, &count);
    PLUMB_TRY(plumb_new(&r->used, count, sizeof *r->used));
    if (!r->a->count) return no_module(r);
    for (size_t i = 0; i < r->a->count; i++)
        for (int which = 0; which < 2; which++) PLUMB_TRY(read_matrix(r, &r->a->list[i], which));
    if (r->a->head) PLUMB_TRY(read_head(r));
    for (size_t i = 0; i < count; i++)
        if (!r->used[i])
            return other_model(r, plumb_fail(PLUMB_E_INPUT, "%s: belongs to no linear of the layers of %s",
                                             r->first[i].name, model_name(r->m)));
    return PLUMB_OK;
}

static plumb_status open_weights(const char *folder, plumb_tensors **out)
{
    plumb_text path = {0}, pickled = {0};
    plumb_status s = plumb_path_join(&path, folder, weights_name);
    if (!s) s = plumb_path_join(&pickled, folder, "adapter_model.bin");
    if (!s && !plumb_path_exists(path.data) && plumb_path_exists(pickled.data))
        s = plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s is missing; adapter_model.bin is a Python pickle and not read", weights_name),
            "load the adapter with PEFT and save it again with save_pretrained");
    if (!s) s = plumb_tensors_open_file(path.data, out);
    plumb_text_free(&path);
    plumb_text_free(&pickled);
    return s;
}

static plumb_status load_weights(const char *folder, const plumb_model *m, const description *d, plumb_adapter *a)
{
    plumb_tensors *file = NULL;
    reading r = {.m = m, .a = a, .has_head = saves_head(d->config)};
    plumb_status s = d->base ? plumb_arena_copy(&a->arena, &a->base, d->base, strlen(d->base)) : PLUMB_OK;
    if (!s) s = plumb_context(open_weights(folder, &file), "%s", folder);
    r.file = file;
    if (!s) s = plumb_context(read_matrices(&r), "%s/%s", folder, weights_name);
    free(r.used);
    plumb_tensors_close(file);
    return s;
}

/* Reads adapter_config.json; *path is set to its name. */
static plumb_status load_config(const char *folder, plumb_text *path, json_t **config)
{
    PLUMB_TRY(plumb_path_join(path, folder, config_name));
    if (!plumb_path_exists(path->data))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there is no %s", folder, config_name),
                          "expected the folder of a LoRA adapter, as PEFT's save_pretrained writes it");
    return plumb_json_load(path->data, LARGEST_CONFIG, config);
}

plumb_status plumb_adapter_about(const char *folder, bool *reward, plumb_text *base)
{
    json_t *config = NULL;
    plumb_text path = {0};
    const char *type = NULL, *name = NULL;
    plumb_status s = load_config(folder, &path, &config);
    if (!s) s = plumb_context(plumb_json_string(config, "task_type", &type), "%s", path.data);
    if (!s) s = plumb_context(plumb_json_string(config, "base_model_name_or_path", &name), "%s", path.data);
    if (!s && name && base) s = plumb_text_string(base, name);
    *reward = (type && strcmp(type, "SEQ_CLS") == 0) || saves_head(config);
    json_decref(config);
    plumb_text_free(&path);
    return s;
}

plumb_status plumb_adapter_load(const char *folder, const plumb_model *m, plumb_adapter **out)
{
    description d = {0};
    plumb_text path = {0};
    plumb_adapter *a = NULL;
    *out = NULL;
    plumb_status s = load_config(folder, &path, &d.config);
    if (!s) s = plumb_context(read_description(&d, m->config.head), "%s", path.data);
    if (!s) s = plumb_adapter_make(m, &d.options, &a);
    if (!s) s = load_weights(folder, m, &d, a);
    json_decref(d.config);
    free((void *)d.targets);
    plumb_text_free(&path);
    if (s) {
        plumb_adapter_free(a);
        return s;
    }
    *out = a;
    return PLUMB_OK;
}

/* ---- writing ---- */

static plumb_status write_data(plumb_tensors_writer *file, const float *data, size_t count, plumb_dtype dtype)
{
    void *narrow;
    size_t size = plumb_dtype_size(dtype);
    plumb_status s = plumb_new_aligned(&narrow, PIECE, size);
    if (s) return s;
    for (size_t first = 0; first < count && !s; first += PIECE) {
        size_t n = count - first < PIECE ? count - first : PIECE;
        for (size_t i = 0; i < n; i++) plumb_narrow(narrow, dtype, i, data[first + i]);
        s = plumb_tensors_write(file, narrow, n * size);
    }
    free(narrow);
    return s;
}

static plumb_status write_matrices(const plumb_adapter *a, const plumb_tensor_spec *specs, const char *path,
                                   plumb_dtype dtype)
{
    plumb_tensors_writer *file = NULL;
    PLUMB_TRY(plumb_tensors_create(path, specs, 2 * a->count + (a->head != NULL), &file));
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < a->count && !s; i++) {
        const plumb_adapted *module = &a->list[i];
        s = write_data(file, module->a, (size_t)a->r * (size_t)module->k, dtype);
        if (!s) s = write_data(file, module->b, (size_t)a->r * (size_t)module->n, dtype);
    }
    if (!s && a->head) s = write_data(file, a->head, (size_t)a->score.k, dtype);
    if (!s) return plumb_tensors_finish(file);
    plumb_tensors_abandon(file);
    return s;
}

static plumb_status write_weights(const plumb_adapter *a, const char *path, plumb_dtype dtype)
{
    plumb_tensor_spec *specs;
    PLUMB_TRY(plumb_new(&specs, 2 * a->count + 1, sizeof *specs));
    for (size_t i = 0; i < a->count; i++) {
        const plumb_adapted *module = &a->list[i];
        specs[2 * i] = (plumb_tensor_spec){module->names[0], dtype, 2, {a->r, module->k}};
        specs[2 * i + 1] = (plumb_tensor_spec){module->names[1], dtype, 2, {module->n, a->r}};
    }
    specs[2 * a->count] = (plumb_tensor_spec){PLUMB_ADAPTER_SCORE, dtype, 2, {1, a->score.k}}; /* where there is one */
    plumb_status s = write_matrices(a, specs, path, dtype);
    free(specs);
    return s;
}

static plumb_status config_text(const plumb_adapter *a, const char *base_path, plumb_text *t)
{
    PLUMB_TRY(plumb_text_string(t, "{\n  \"base_model_name_or_path\": "));
    PLUMB_TRY(base_path ? plumb_json_quote(t, base_path, strlen(base_path)) : plumb_text_string(t, "null"));
    PLUMB_TRY(plumb_text_string(t, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n"
                                   "  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n  \"lora_alpha\": "));
    PLUMB_TRY(plumb_json_real(t, a->alpha, 17));
    PLUMB_TRY(plumb_text_string(t, ",\n  \"lora_dropout\": "));
    PLUMB_TRY(plumb_json_real(t, a->dropout, 17));
    PLUMB_TRY(plumb_text_printf(t,
                                ",\n  \"modules_to_save\": %s,\n  \"peft_type\": \"LORA\",\n  \"r\": %d,\n"
                                "  \"target_modules\": [",
                                a->head ? "[\"classifier\", \"score\"]" : "null", a->r));
    for (size_t i = 0; i < a->target_count; i++) {
        PLUMB_TRY(plumb_text_string(t, i ? ", " : ""));
        PLUMB_TRY(plumb_json_quote(t, a->targets[i], strlen(a->targets[i])));
    }
    return plumb_text_printf(t, "],\n  \"task_type\": \"%s\",\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n",
                             a->head ? "SEQ_CLS" : "CAUSAL_LM", a->rslora ? "true" : "false");
}

plumb_status plumb_adapter_save(const plumb_adapter *a, const char *folder, const char *base_path, plumb_dtype dtype)
{
    plumb_text config = {0}, path = {0};
    plumb_status s = config_text(a, base_path, &config);
    if (!s) s = plumb_path_join(&path, folder, weights_name);
    if (!s) s = write_weights(a, path.data, dtype);
    plumb_text_clear(&path);
    if (!s) s = plumb_path_join(&path, folder, config_name);
    if (!s) s = plumb_write_file(path.data, config.data, config.size);
    plumb_text_free(&config);
    plumb_text_free(&path);
    return s;
}
