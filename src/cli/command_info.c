/* plumb info: what is in a checkpoint and what it takes to use it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/progress.h"
#include "cli/cli.h"
#include "io/json.h"
#include "model/forward.h"
#include "text/encoder.h"

typedef struct info_values {
    plumb_common common;
    plumb_list model;
    bool json, tensors;
    int hash;
} info_values;

static const plumb_option options[] = {
    {.name = "tensors",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(info_values, tensors),
     .help = "list the stored tensors too: name, type, shape, bytes and file"},
    {.name = "json",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(info_values, json),
     .help = "one JSON object instead of text"},
    {.name = "hash",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(info_values, hash),
     .choices = "sample|full",
     .fallback = "sample",
     .help = "what the hash covers: headers, config, tokenizer and 64 KiB samples of each tensor, or every byte"},
};

static const plumb_positional positionals[] = {
    {"MODEL", "a Hugging Face checkpoint folder: config.json, tokenizer.json, *.safetensors", 1, 1,
     offsetof(info_values, model)},
};

const plumb_usage plumb_usage_info = {
    .name = "info",
    .summary = "tell what is in a checkpoint: architecture, sizes, tokens, memory",
    .description = "Opens a checkpoint as every command does, checks that each tensor its configuration implies is "
                   "there with its shape, "
                   "and prints what was found. The hash is the one that FILE.meta.json records.\n\n"
                   "Memory for scoring is the mapped weights and the activations of a batch of 2,048 tokens; the "
                   "mapped part is the "
                   "page cache and may be less when memory is short. Memory for training is an estimate: 16 bytes for "
                   "each parameter "
                   "(fp32 weights, gradients and the two moments of AdamW) and the activations that the backward pass "
                   "needs for 2,048 "
                   "tokens.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb info OLMo-1B-hf\n"
               "  plumb info OLMo-1B-hf --json",
};

enum { BATCH_TOKENS = 2048, TRAIN_BYTES = 16 };

typedef struct run {
    const info_values *v;
    const char *folder;
    plumb_compute *compute;
    plumb_model *model;
    plumb_encoder *encoder; /* NULL: the folder has no tokenizer.json */
    const plumb_tensor *tensors;
    size_t tensor_count;
    uint64_t hash;
    int64_t bytes, file_bytes;     /* of the tensors, of the files */
    int64_t parameters, embedding; /* the configuration's; rows of the embedding times their width */
    int64_t elements;              /* of all stored tensors */
    int64_t score_activations, train_state, train_activations;
    plumb_text out;
} run;

static void free_run(run *r)
{
    plumb_encoder_close(r->encoder);
    plumb_model_close(r->model);
    plumb_compute_close(r->compute);
    plumb_text_free(&r->out);
}

/* ---- finding out ---- */

/* Bytes that a backward pass keeps of each layer, in fp32, when nothing is computed twice: the stream before each of
 * the two branches, their normed inputs, q, k, v, the attended values, and the MLP's inner rows before and after the
 * activation. */
static int64_t train_activations(const plumb_config *c, int64_t tokens)
{
    int64_t d = c->hidden_size, q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    int64_t inner = (c->architecture->mlp == PLUMB_MLP_PLAIN ? 2 : 3) * (int64_t)c->intermediate_size;
    return 4 * tokens * (c->layers * (4 * d + 2 * q + 2 * kv + inner) + 2 * d);
}

static plumb_status open_encoder(run *r)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, r->folder, "tokenizer.json");
    if (!s && plumb_path_exists(path.data))
        s = plumb_encoder_open(r->folder, NULL, r->model->config.eos_id, &r->encoder);
    plumb_text_free(&path);
    return s;
}

static void count_bytes(run *r)
{
    struct stat about;
    for (size_t i = 0; i < r->tensor_count; i++) {
        r->bytes += (int64_t)r->tensors[i].bytes;
        r->elements += r->tensors[i].count;
    }
    for (int i = 0; i < plumb_tensors_files(r->model->tensors); i++)
        if (stat(plumb_tensors_file(r->model->tensors, i, &(const uint8_t *){0}, &(size_t){0}), &about) == 0)
            r->file_bytes += about.st_size;
}

static plumb_status find_out(run *r)
{
    PLUMB_TRY(plumb_compute_open("ref", 1, &r->compute));
    plumb_config config;
    bool fresh;
    PLUMB_TRY(plumb_config_load(r->folder, &config));
    PLUMB_TRY(config.head == PLUMB_HEAD_SCORE ? plumb_model_open_score(r->folder, r->compute, 0, &r->model, &fresh)
                                              : plumb_model_open(r->folder, r->compute, &r->model));
    PLUMB_TRY(open_encoder(r));
    PLUMB_TRY(plumb_model_hash(r->folder, r->v->hash == 1, &r->hash));
    const plumb_config *c = &r->model->config;
    r->tensors = plumb_tensors_list(r->model->tensors, &r->tensor_count);
    count_bytes(r);
    r->parameters = plumb_config_parameters(c);
    r->embedding = (int64_t)c->vocab_size * c->hidden_size;
    if (!c->tied && c->head == PLUMB_HEAD_TOKENS) r->embedding *= 2; /* the unembedding's matrix too */
    r->score_activations = plumb_forward_bytes(c, BATCH_TOKENS, BATCH_TOKENS);
    r->train_state = TRAIN_BYTES * r->parameters;
    r->train_activations = train_activations(c, BATCH_TOKENS);
    return PLUMB_OK;
}

static int window_layers(const plumb_config *c)
{
    int count = 0;
    for (int i = 0; i < c->layers; i++) count += c->window_layer[i] && c->window;
    return count;
}

static const char *rope_name(plumb_rope_kind kind)
{
    return kind == PLUMB_ROPE_DEFAULT ? "default" : kind == PLUMB_ROPE_LINEAR ? "linear" : "llama3";
}

/* The name of a file within the folder. */
static const char *file_name(const run *r, int file)
{
    const uint8_t *header;
    size_t size;
    const char *path = plumb_tensors_file(r->model->tensors, file, &header, &size), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* How many tensors are stored in the type of tensor i, if it is the first one of that type; otherwise 0. */
static int64_t count_type(const run *r, size_t i)
{
    int64_t count = 0;
    for (size_t k = 0; k < r->tensor_count; k++) {
        if (strcmp(r->tensors[k].dtype_name, r->tensors[i].dtype_name) != 0) continue;
        if (k < i) return 0;
        count++;
    }
    return count;
}

/* ---- text ---- */

static plumb_status say_rope(run *r, const char *label, const plumb_rope *rope)
{
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%s, theta %g", label, rope_name(rope->kind), rope->theta));
    if (rope->kind != PLUMB_ROPE_DEFAULT) PLUMB_TRY(plumb_text_printf(&r->out, ", factor %g", rope->factor));
    if (r->model->config.rotary < r->model->config.head_dim)
        PLUMB_TRY(plumb_text_printf(&r->out, ", %d of %d elements of each head", r->model->config.rotary,
                                    r->model->config.head_dim));
    return plumb_text_string(&r->out, "\n");
}

static plumb_status say_attention(run *r)
{
    const plumb_config *c = &r->model->config;
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%d of %d, %d for keys and values\n", "heads", c->heads, c->head_dim,
                                c->kv_heads));
    PLUMB_TRY(say_rope(r, "rope", &c->rope));
    if (c->local_rope.theta != c->rope.theta || c->local_rope.kind != c->rope.kind)
        PLUMB_TRY(say_rope(r, "rope (window)", &c->local_rope));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%d\n", "positions", c->max_positions));
    if (window_layers(c))
        PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%d tokens in %d of %d layers\n", "window", c->window,
                                    window_layers(c), c->layers));
    if (c->attention_cap > 0) PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%g\n", "attention cap", c->attention_cap));
    if (c->final_cap > 0) PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%g\n", "logit cap", c->final_cap));
    if (c->clip_qkv > 0) PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%g\n", "clip of q, k, v", c->clip_qkv));
    if (c->qkv_bias || c->o_bias || c->mlp_bias)
        PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%s\n", "biases",
                                    c->mlp_bias ? (c->qkv_bias ? "attention, MLP" : "MLP")
                                    : c->o_bias ? "attention"
                                                : "q, k, v"));
    return PLUMB_OK;
}

static plumb_status say_architecture(run *r)
{
    const plumb_config *c = &r->model->config;
    const plumb_architecture *a = c->architecture;
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%s\n", "model", r->folder));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%s (%s)%s\n", "architecture", a->class_name, a->model_type,
                                c->head == PLUMB_HEAD_SCORE ? " with a reward head in the unembedding's place" : ""));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%d, hidden size %d\n", "layers", c->layers, c->hidden_size));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%d, %s%s\n", "MLP size", c->intermediate_size,
                                a->mlp == PLUMB_MLP_PLAIN ? "" : "gated ", plumb_activation_name(c->activation)));
    PLUMB_TRY(say_attention(r));
    return plumb_text_printf(&r->out, "%-17s%s, eps %g\n", "norm",
                             a->norm == PLUMB_RMS_NORM ? "RMS norm" : "layer norm", c->norm_eps);
}

static plumb_status say_weights(run *r)
{
    const plumb_config *c = &r->model->config;
    char all[32], embedding[32], bytes[32], rest[32];
    plumb_format_count((double)r->parameters, all, sizeof all);
    plumb_format_count((double)r->embedding, embedding, sizeof embedding);
    plumb_format_bytes((double)r->file_bytes, bytes, sizeof bytes);
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%d rows, %s\n", "vocabulary", c->vocab_size,
                                c->head == PLUMB_HEAD_SCORE ? "no unembedding: the head gives one number, the reward"
                                : c->tied                   ? "embedding and unembedding are one matrix (tied)"
                                                            : "embedding and unembedding are two matrices (untied)"));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%s, of them %s in the embedding%s\n", "parameters", all, embedding,
                                c->tied || c->head == PLUMB_HEAD_SCORE ? "" : " and the unembedding"));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s", "stored"));
    for (size_t i = 0, shown = 0; i < r->tensor_count; i++) {
        int64_t count = count_type(r, i);
        if (count)
            PLUMB_TRY(plumb_text_printf(&r->out, "%s%" PRId64 " tensors %s", shown++ ? ", " : "", count,
                                        r->tensors[i].dtype_name));
    }
    int files = plumb_tensors_files(r->model->tensors);
    PLUMB_TRY(plumb_text_printf(&r->out, ", %d file%s, %s\n", files, files == 1 ? "" : "s", bytes));
    if (r->elements == r->parameters) return PLUMB_OK;
    plumb_format_count((double)(r->elements - r->parameters), rest, sizeof rest);
    return plumb_text_printf(&r->out, "%-17s%s stored values that the text model does not use\n", "", rest);
}

static plumb_status say_special(run *r, const char *label, const char *token)
{
    if (!token) return plumb_text_printf(&r->out, "%s none", label);
    PLUMB_TRY(plumb_text_printf(&r->out, "%s ", label));
    PLUMB_TRY(plumb_json_quote(&r->out, token, strlen(token)));
    int32_t id = plumb_tokenizer_id(r->encoder->tokenizer, token, strlen(token));
    return id < 0 ? plumb_text_string(&r->out, " (not in the vocabulary)")
                  : plumb_text_printf(&r->out, " (%" PRId32 ")", id);
}

static plumb_status say_tokens(run *r)
{
    const plumb_encoder *e = r->encoder;
    if (!e) return plumb_text_printf(&r->out, "%-17snone: there is no tokenizer.json\n", "tokenizer");
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%" PRId32 " tokens, ", "tokenizer", plumb_tokenizer_size(e->tokenizer)));
    PLUMB_TRY(say_special(r, "BOS", e->bos));
    PLUMB_TRY(say_special(r, ", EOS", e->eos));
    const char *key;
    json_t *token;
    json_object_foreach(e->variables, key, token)
    {
        char label[64];
        snprintf(label, sizeof label, ", %s", key);
        PLUMB_TRY(say_special(r, label, json_string_value(token)));
    }
    PLUMB_TRY(plumb_text_printf(&r->out, "\n%-17s%s\n", "chat template", e->chat ? e->chat_source : "none"));
    if (plumb_tokenizer_size(e->tokenizer) > r->model->config.vocab_size)
        PLUMB_TRY(plumb_text_printf(&r->out, "%-17sthe tokenizer has more tokens than the embedding has rows\n", ""));
    return PLUMB_OK;
}

static plumb_status say_memory(run *r)
{
    char weights[32], activations[32], state[32], kept[32], all[32];
    plumb_format_bytes((double)r->bytes, weights, sizeof weights);
    plumb_format_bytes((double)r->score_activations, activations, sizeof activations);
    plumb_format_bytes((double)(r->bytes + r->score_activations), all, sizeof all);
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%016" PRIx64 "%s\n", "hash", r->hash, r->v->hash == 1 ? " (full)" : ""));
    PLUMB_TRY(plumb_text_printf(&r->out, "%-17s%s: %s mapped weights, %s activations of 2,048 tokens\n", "to score",
                                all, weights, activations));
    plumb_format_bytes((double)r->train_state, state, sizeof state);
    plumb_format_bytes((double)r->train_activations, kept, sizeof kept);
    plumb_format_bytes((double)(r->train_state + r->train_activations), all, sizeof all);
    return plumb_text_printf(&r->out,
                             "%-17sabout %s: %s weights, gradients and AdamW moments in fp32, %s activations of 2,048 "
                             "tokens (an estimate)\n",
                             "to train", all, state, kept);
}

static plumb_status shape_text(const plumb_tensor *t, char *text, size_t size)
{
    size_t at = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < t->dims; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%" PRId64, i ? ", " : "", t->shape[i]);
    snprintf(text + at, size - at, "]");
    return PLUMB_OK;
}

static plumb_status say_tensors(run *r)
{
    enum { SHAPE = 24 * PLUMB_MAX_DIMS };
    char shape[SHAPE];
    int name = 6, wide = 5;
    for (size_t i = 0; i < r->tensor_count; i++) {
        PLUMB_TRY(shape_text(&r->tensors[i], shape, sizeof shape));
        if ((int)strlen(r->tensors[i].name) > name) name = (int)strlen(r->tensors[i].name);
        if ((int)strlen(shape) > wide) wide = (int)strlen(shape);
    }
    PLUMB_TRY(plumb_text_printf(&r->out, "\n%-*s  %-5s %-*s %14s  %s\n", name, "tensor", "type", wide, "shape", "bytes",
                                "file"));
    for (size_t i = 0; i < r->tensor_count; i++) {
        const plumb_tensor *t = &r->tensors[i];
        PLUMB_TRY(shape_text(t, shape, sizeof shape));
        PLUMB_TRY(plumb_text_printf(&r->out, "%-*s  %-5s %-*s %14" PRIu64 "  %s\n", name, t->name, t->dtype_name, wide,
                                    shape, t->bytes, file_name(r, t->file)));
    }
    return PLUMB_OK;
}

static plumb_status write_text(run *r)
{
    PLUMB_TRY(say_architecture(r));
    PLUMB_TRY(say_weights(r));
    PLUMB_TRY(say_tokens(r));
    PLUMB_TRY(say_memory(r));
    return r->v->tensors ? say_tensors(r) : PLUMB_OK;
}

/* ---- JSON ---- */

static json_t *rope_json(const plumb_rope *rope)
{
    json_t *j = json_pack("{s:s, s:f}", "rope_type", rope_name(rope->kind), "rope_theta", rope->theta);
    if (rope->kind != PLUMB_ROPE_DEFAULT) json_object_set_new(j, "factor", json_real(rope->factor));
    if (rope->kind == PLUMB_ROPE_LLAMA3) {
        json_object_set_new(j, "low_freq_factor", json_real(rope->low_freq_factor));
        json_object_set_new(j, "high_freq_factor", json_real(rope->high_freq_factor));
        json_object_set_new(j, "original_max_position_embeddings", json_real(rope->original_positions));
    }
    return j;
}

/* A cap, clip or window that may be absent: null. */
static json_t *real_or_null(double value)
{
    return value > 0 ? json_real(value) : json_null();
}

/* config.json in one form for every architecture, under transformers' names. */
static json_t *config_json(const plumb_config *c)
{
    json_t *types = json_array();
    for (int i = 0; i < c->layers; i++)
        json_array_append_new(types,
                              json_string(c->window_layer[i] && c->window ? "sliding_attention" : "full_attention"));
    return json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:o, "
        "s:o, s:o, "
        "s:o, s:s}",
        "model_type", c->architecture->model_type, "architecture", c->architecture->class_name, "vocab_size",
        c->vocab_size, "hidden_size", c->hidden_size, "intermediate_size", c->intermediate_size, "num_hidden_layers",
        c->layers, "num_attention_heads", c->heads, "num_key_value_heads", c->kv_heads, "head_dim", c->head_dim,
        "rotary_dim", c->rotary, "max_position_embeddings", c->max_positions, "hidden_act",
        plumb_activation_name(c->activation), "norm_eps", c->norm_eps, "tie_word_embeddings", c->tied, "qkv_bias",
        c->qkv_bias, "o_bias", c->o_bias, "mlp_bias", c->mlp_bias, "rope", rope_json(&c->rope), "rope_window",
        rope_json(&c->local_rope), "sliding_window", c->window ? json_integer(c->window) : json_null(), "layer_types",
        types, "attn_logit_softcapping", real_or_null(c->attention_cap), "final_logit_softcapping",
        real_or_null(c->final_cap), "clip_qkv", real_or_null(c->clip_qkv), "dtype", plumb_dtype_name(c->dtype));
}

static json_t *special_json(const run *r, const char *token)
{
    if (!token) return json_null();
    int32_t id = plumb_tokenizer_id(r->encoder->tokenizer, token, strlen(token));
    return json_pack("{s:s, s:o}", "token", token, "id", id < 0 ? json_null() : json_integer(id));
}

static json_t *tokenizer_json(const run *r)
{
    const plumb_encoder *e = r->encoder;
    const char *key;
    json_t *token;
    if (!e) return json_null();
    json_t *special =
        json_pack("{s:o, s:o}", "bos_token", special_json(r, e->bos), "eos_token", special_json(r, e->eos));
    json_object_foreach(e->variables, key, token)
        json_object_set_new(special, key, special_json(r, json_string_value(token)));
    return json_pack("{s:i, s:o, s:o}", "size", (int)plumb_tokenizer_size(e->tokenizer), "special_tokens", special,
                     "chat_template", e->chat ? json_string(e->chat_source) : json_null());
}

static json_t *tensor_list_json(const run *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->tensor_count; i++) {
        const plumb_tensor *t = &r->tensors[i];
        json_t *shape = json_array();
        for (int k = 0; k < t->dims; k++) json_array_append_new(shape, json_integer(t->shape[k]));
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:o, s:I, s:s}", "name", t->name, "dtype", t->dtype_name, "shape",
                                        shape, "bytes", (json_int_t)t->bytes, "file", file_name(r, t->file)));
    }
    return list;
}

static json_t *weights_json(const run *r)
{
    json_t *types = json_object(), *files = json_array();
    for (size_t i = 0; i < r->tensor_count; i++) {
        int64_t count = count_type(r, i);
        if (count) json_object_set_new(types, r->tensors[i].dtype_name, json_integer(count));
    }
    for (int i = 0; i < plumb_tensors_files(r->model->tensors); i++)
        json_array_append_new(files, json_string(file_name(r, i)));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "parameters", (json_int_t)r->parameters,
                     "embedding_parameters", (json_int_t)r->embedding, "stored_values", (json_int_t)r->elements,
                     "bytes", (json_int_t)r->bytes, "file_bytes", (json_int_t)r->file_bytes, "tensors_by_dtype", types,
                     "files", files);
}

static plumb_status write_json(run *r)
{
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    json_t *memory =
        json_pack("{s:i, s:I, s:I, s:I, s:I}", "batch_tokens", BATCH_TOKENS, "score_weights", (json_int_t)r->bytes,
                  "score_activations", (json_int_t)r->score_activations, "train_state", (json_int_t)r->train_state,
                  "train_activations", (json_int_t)r->train_activations);
    json_t *all = json_pack("{s:o, s:o, s:o, s:o, s:s}", "config", config_json(&r->model->config), "weights",
                            weights_json(r), "tokenizer", tokenizer_json(r), "memory", memory, "hash", hash);
    if (all && r->v->tensors) json_object_set_new(all, "tensors", tensor_list_json(r));
    char *text = all ? json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    plumb_status s = text ? plumb_text_printf(&r->out, "%s\n", text) : plumb_no_memory();
    free(text);
    return s;
}

static plumb_status info(plumb_cli *cli, void *values)
{
    const info_values *v = values;
    run r = {.v = v, .folder = v->model.items[0]};
    (void)cli;
    plumb_status s = find_out(&r);
    if (!s) s = v->json ? write_json(&r) : write_text(&r);
    if (!s) s = plumb_cli_print(r.out.data, r.out.size);
    free_run(&r);
    return s;
}

int plumb_command_info(int argc, char **argv)
{
    info_values v = {0};
    return plumb_cli_run(&plumb_usage_info, argc, argv, &v, &v.common, info);
}
