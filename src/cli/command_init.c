/* plumb init: a checkpoint with random weights. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/progress.h"
#include "base/random.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/new_folder.h"
#include "io/json.h"
#include "model/checkpoint_writer.h"
#include "model/model.h"
#include "text/encoder.h"

typedef struct init_values {
    plumb_common common;
    plumb_list arch, out;
    int64_t hidden_size, intermediate_size, layers, heads, kv_heads, head_dim, vocab_size, positions, window;
    double std;
    int dtype; /* as plumb_dtype */
    bool tied;
    const char *tokenizer, *chat_template, *shard_size;
} init_values;

#define SIZE_OPTION(option, member, most, text)                                                                        \
    {                                                                                                                  \
        .name = (option), .kind = PLUMB_OPTION_INTEGER, .offset = offsetof(init_values, member), .metavar = "N",       \
        .low = 1, .high = (most), .help = (text)                                                                       \
    }

static const plumb_option options[] = {
    {.name = "hidden_size",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(init_values, hidden_size),
     .fallback = "64",
     .metavar = "N",
     .low = 1,
     .high = 1 << 20,
     .help = "width of the residual stream"},
    SIZE_OPTION(
        "intermediate_size", intermediate_size, 1 << 20,
        "width of the MLP; without it 8/3 of the hidden size, rounded up to a multiple of 16, or 4 times the hidden "
        "size where the MLP has no gate"),
    {.name = "num_hidden_layers",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(init_values, layers),
     .fallback = "2",
     .metavar = "N",
     .low = 1,
     .high = PLUMB_MAX_LAYERS,
     .help = "layers"},
    SIZE_OPTION(
        "num_attention_heads", heads, 1 << 14,
        "heads; without it so many that each has 16 elements (64 from a hidden size of 512 on, 128 from 4096 on)"),
    SIZE_OPTION("num_key_value_heads", kv_heads, 1 << 14, "heads of keys and values; without it one for each head"),
    SIZE_OPTION("head_dim", head_dim, 1 << 20, "elements of a head; without it the hidden size divided by the heads"),
    SIZE_OPTION("vocab_size", vocab_size, 1 << 24, "rows of the embedding; without it the size of the tokenizer"),
    {.name = "max_position_embeddings",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(init_values, positions),
     .fallback = "2048",
     .metavar = "N",
     .low = 1,
     .high = 1 << 26,
     .help = "longest sequence the model is meant for"},
    SIZE_OPTION("sliding_window", window, 1 << 26,
                "tokens that window layers see; without it none, and half of the positions for Gemma 2 and 3"),
    {.name = "tie_word_embeddings",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(init_values, tied),
     .help =
         "let the unembedding be the embedding (--no_tie_word_embeddings: let it not); without it as the architecture "
         "does by default"},
    {.name = "dtype",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(init_values, dtype),
     .choices = "float32|float16|bfloat16",
     .fallback = "float32",
     .help = "type of the stored weights"},
    {.name = "std",
     .kind = PLUMB_OPTION_REAL,
     .offset = offsetof(init_values, std),
     .fallback = "0.02",
     .metavar = "X",
     .low = 0,
     .high = 100,
     .help = "standard deviation of the weights. Norms begin as the identity, biases at 0"},
    {.name = "tokenizer",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(init_values, tokenizer),
     .metavar = "FILE|MODEL",
     .help = "a tokenizer.json, or a checkpoint folder whose tokenizer files are copied; without it a tokenizer with "
             "one token "
             "for each byte and <|endoftext|>"},
    {.name = "chat_template",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(init_values, chat_template),
     .metavar = "FILE",
     .help = "a Jinja file to become the checkpoint's chat template"},
    {.name = "max_shard_size",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(init_values, shard_size),
     .fallback = "5GB",
     .metavar = "SIZE",
     .help = "weights beyond this are split into several files, as by transformers; in KB, MB or GB"},
    PLUMB_OPTION_SEED(init_values),
    PLUMB_OPTION_THREADS(init_values),
    PLUMB_OPTION_DRY_RUN(init_values),
    PLUMB_OPTION_QUIET(init_values),
};

static const plumb_positional positionals[] = {
    {"ARCH", "the architecture by its model_type: llama, olmo, gemma2, qwen3, ... (an unknown name lists all)", 1, 1,
     offsetof(init_values, arch)},
    {"OUT", "the folder to write; it must not exist, or be empty", 1, 1, offsetof(init_values, out)},
};

const plumb_usage plumb_usage_init = {
    .name = "init",
    .summary = "write a checkpoint with random weights, for tests and for training from nothing",
    .description = "Writes config.json, the weights, a tokenizer and run.json (the options) in the form of Hugging "
                   "Face checkpoints, "
                   "which transformers loads as it is. The sizes are those of config.json.\n\n"
                   "Each weight is a function of the seed, the tensor's name and its place in the tensor: the same "
                   "seed gives the same "
                   "weights whatever the number of threads, and the first layers of a deeper model are those of a "
                   "shallower one.\n\n"
                   "The folder is written as OUT.partial and gets its name when it is complete.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example =
        "  plumb init llama tiny --hidden_size 128 --num_hidden_layers 4\n"
        "  plumb init qwen3 scratch --tokenizer Qwen3-0.6B --hidden_size 512 --num_hidden_layers 8 --dtype bfloat16",
};

typedef struct run {
    plumb_cli *cli;
    const init_values *v;
    const plumb_architecture *arch;
    plumb_config config;
    plumb_text config_text;

    plumb_text tokenizer_text, tokenizer_config; /* files to write; empty: not there */
    plumb_text special_tokens_map, template_text;
    int64_t tokens;                 /* the tokenizer's size */
    int32_t bos_id, eos_id, pad_id; /* -1: none */

    plumb_tensor_spec *specs; /* names in the arena */
    size_t spec_count, spec_capacity;
    plumb_arena arena;
    uint64_t shard_bytes, total_bytes, made_bytes;
    int shards;

    plumb_new_folder folder;
} run;

static void free_run(run *r)
{
    plumb_text_free(&r->config_text);
    plumb_text_free(&r->tokenizer_text);
    plumb_text_free(&r->tokenizer_config);
    plumb_text_free(&r->special_tokens_map);
    plumb_text_free(&r->template_text);
    plumb_new_folder_free(&r->folder);
    free(r->specs);
    plumb_arena_free(&r->arena);
}

/* ---- options ---- */

static plumb_status find_architecture(run *r)
{
    const char *typed = r->v->arch.items[0];
    size_t count;
    const plumb_architecture *rows = plumb_architectures(&count);
    r->arch = plumb_architecture_find(typed);
    if (r->arch) return PLUMB_OK;
    plumb_text names = {0};
    const char **list = NULL;
    plumb_status s = plumb_new(&list, count, sizeof *list);
    for (size_t i = 0; i < count && !s; i++) {
        list[i] = rows[i].model_type;
        s = plumb_text_printf(&names, "%s%s", i ? ", " : "", list[i]);
    }
    if (!s) {
        const char *near = plumb_nearest(typed, list, count);
        s = plumb_fail(PLUMB_E_INPUT, "%s: unknown architecture", typed);
        s = near ? plumb_cure(s, "did you mean %s? There are: %s", near, names.data)
                 : plumb_cure(s, "there are: %s", names.data);
    }
    plumb_text_free(&names);
    free(list);
    return s;
}

/* "5GB", "200KB", "1.5 GB" or bytes: decimal units as in transformers. */
static plumb_status parse_shard_size(const char *text, uint64_t *out)
{
    static const struct {
        const char *unit;
        double bytes;
    } units[] = {{"", 1}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}};
    char *end;
    double value = strtod(text, &end);
    while (end != text && *end == ' ') end++;
    for (size_t i = 0; i < sizeof units / sizeof *units && end != text; i++) {
        double bytes = value * units[i].bytes;
        if (strcasecmp(end, units[i].unit) != 0 || !(bytes >= 1 && bytes <= 1e18)) continue;
        *out = (uint64_t)bytes;
        return PLUMB_OK;
    }
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--max_shard_size: \"%s\" is not a size", text),
                      "write 5GB, 200MB, 500KB or a number of bytes");
}

/* ---- the tokenizer ---- */

/* The GPT-2 byte alphabet: printable Latin-1 bytes stand for themselves, the others for U+0100 on, in order. */
static plumb_status write_byte_tokens(plumb_text *t)
{
    int next = 0x100;
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
        int point = printable ? byte : next++;
        char utf8[] = {(char)point, 0, 0};
        if (point >= 0x80) {
            utf8[0] = (char)(0xC0 | point >> 6);
            utf8[1] = (char)(0x80 | (point & 0x3F));
        }
        PLUMB_TRY(plumb_json_quote(t, utf8, strlen(utf8)));
        PLUMB_TRY(plumb_text_printf(t, ": %d, ", byte));
    }
    return PLUMB_OK;
}

#define END_OF_TEXT    "<|endoftext|>"
#define END_OF_TEXT_ID "256"
enum { BYTE_TOKENS = 257, MAX_SIDE_FILE = 512 << 20 };

/* A byte-level BPE without merges: the id of a byte is the byte, and <|endoftext|> comes behind them. */
static plumb_status write_byte_tokenizer(plumb_text *t)
{
    PLUMB_TRY(plumb_text_string(t,
                                "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
                                "  \"added_tokens\": [{\"id\": " END_OF_TEXT_ID ", \"content\": \"" END_OF_TEXT "\", "
                                "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                                "\"special\": true}],\n  \"normalizer\": null,\n"
                                "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                                "\"trim_offsets\": true, \"use_regex\": true},\n  \"post_processor\": null,\n"
                                "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                                "\"trim_offsets\": true, \"use_regex\": true},\n"
                                "  \"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                                "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
                                "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": false,\n"
                                "    \"vocab\": {"));
    PLUMB_TRY(write_byte_tokens(t));
    return plumb_text_string(t, "\"" END_OF_TEXT "\": " END_OF_TEXT_ID "},\n    \"merges\": []}\n}\n");
}

static plumb_status write_tokenizer_config(run *r, const char *bos, const char *eos)
{
    json_t *j = json_pack("{s:s, s:I, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "model_max_length",
                          (json_int_t)r->v->positions, "clean_up_tokenization_spaces", 0);
    if (bos) json_object_set_new(j, "bos_token", json_string(bos));
    if (eos) json_object_set_new(j, "eos_token", json_string(eos));
    char *text = j ? json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    json_decref(j);
    plumb_status s = text ? plumb_text_printf(&r->tokenizer_config, "%s\n", text) : plumb_no_memory();
    free(text);
    return s;
}

static plumb_status make_byte_tokenizer(run *r)
{
    r->tokens = BYTE_TOKENS;
    r->eos_id = BYTE_TOKENS - 1;
    PLUMB_TRY(write_byte_tokenizer(&r->tokenizer_text));
    return write_tokenizer_config(r, NULL, END_OF_TEXT);
}

/* The first of the names that the tokenizer has as a special token, or NULL. */
static const char *customary(const plumb_tokenizer *t, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int32_t id = plumb_tokenizer_id(t, names[i], strlen(names[i]));
        if (id >= 0 && plumb_tokenizer_is_special(t, id)) return names[i];
    }
    return NULL;
}

static int32_t token_id(const plumb_tokenizer *t, const char *token)
{
    return token ? plumb_tokenizer_id(t, token, strlen(token)) : -1;
}

/* A tokenizer.json alone does not say which tokens begin and end a text; their customary names do. */
static plumb_status guess_special_tokens(run *r, const plumb_tokenizer *t)
{
    static const char *const begins[] = {"<|begin_of_text|>", "<bos>", "<s>"};
    static const char *const ends[] = {"<|end_of_text|>", "<eos>", "</s>", END_OF_TEXT, "<|im_end|>"};
    const char *bos = customary(t, begins, sizeof begins / sizeof *begins);
    const char *eos = customary(t, ends, sizeof ends / sizeof *ends);
    r->bos_id = token_id(t, bos);
    r->eos_id = token_id(t, eos);
    if (eos)
        plumb_note(&r->cli->sink, "%s does not say which token ends a text; taken by its name: %s", r->v->tokenizer,
                   eos);
    else
        plumb_note(&r->cli->sink,
                   "%s has no token known to end a text; name one as \"eos_token\" in tokenizer_config.json",
                   r->v->tokenizer);
    return write_tokenizer_config(r, bos, eos);
}

/* FOLDER/NAME into *t, if there is such a file. */
static plumb_status read_optional(const char *folder, const char *name, plumb_text *t)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, name);
    if (!s && plumb_path_exists(path.data)) s = plumb_read_file(path.data, MAX_SIDE_FILE, t);
    plumb_text_free(&path);
    return s;
}

/* All tokenizer files of a checkpoint, as they stand. */
static plumb_status copy_tokenizer(run *r, const char *folder)
{
    plumb_encoder *e = NULL;
    PLUMB_TRY(plumb_encoder_open(folder, NULL, -1, &e));
    plumb_status s = PLUMB_OK;
    r->tokens = plumb_tokenizer_size(e->tokenizer);
    r->bos_id = token_id(e->tokenizer, e->bos);
    r->eos_id = token_id(e->tokenizer, e->eos);
    r->pad_id = token_id(e->tokenizer, json_string_value(json_object_get(e->variables, "pad_token")));
    PLUMB_GO(read_optional(folder, "tokenizer.json", &r->tokenizer_text));
    PLUMB_GO(read_optional(folder, "tokenizer_config.json", &r->tokenizer_config));
    PLUMB_GO(read_optional(folder, "special_tokens_map.json", &r->special_tokens_map));
    if (!r->v->chat_template) PLUMB_GO(read_optional(folder, "chat_template.jinja", &r->template_text));
    if (!r->tokenizer_config.size && r->eos_id < 0) s = guess_special_tokens(r, e->tokenizer);
done:
    plumb_encoder_close(e);
    return s;
}

static plumb_status copy_tokenizer_file(run *r, const char *path)
{
    plumb_tokenizer *t = NULL;
    PLUMB_TRY(plumb_tokenizer_open(path, &t));
    r->tokens = plumb_tokenizer_size(t);
    plumb_status s = plumb_read_file(path, MAX_SIDE_FILE, &r->tokenizer_text);
    if (!s) s = guess_special_tokens(r, t);
    plumb_tokenizer_free(t);
    return s;
}

static plumb_status read_template(run *r)
{
    plumb_template *parsed = NULL;
    if (!r->v->chat_template) return PLUMB_OK;
    PLUMB_TRY(plumb_read_file(r->v->chat_template, MAX_SIDE_FILE, &r->template_text));
    plumb_status s =
        plumb_template_parse(r->template_text.data ? r->template_text.data : "", r->template_text.size, &parsed);
    plumb_template_free(parsed);
    return plumb_context(s, "%s", r->v->chat_template);
}

static plumb_status open_tokenizer(run *r)
{
    const char *path = r->v->tokenizer;
    struct stat about;
    r->bos_id = r->eos_id = r->pad_id = -1;
    PLUMB_TRY(read_template(r));
    if (!path) return make_byte_tokenizer(r);
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode) ? copy_tokenizer(r, path) : copy_tokenizer_file(r, path);
}

/* ---- config.json ---- */

/* Can heads of this size be rotated? The same test as in config.c. */
static bool can_rotate(const plumb_architecture *a, int64_t head_dim)
{
    int64_t rotary = (int64_t)((double)head_dim * a->rotary_factor);
    return rotary >= 2 && rotary % 2 == 0;
}

/* Heads of 16, 64 or 128 elements, or the next larger ones into which the hidden size can be divided. */
static int64_t default_heads(const run *r)
{
    int64_t d = r->v->hidden_size, heads = d / (d >= 4096 ? 128 : d >= 512 ? 64 : 16);
    if (r->v->head_dim) return heads > 0 ? heads : 1;
    while (heads > 1 && (d % heads || !can_rotate(r->arch, d / heads))) heads--;
    return heads > 0 ? heads : 1;
}

/* Keys that one family has and whose absence transformers and published checkpoints take differently. */
static const struct {
    const char *model_type, *keys;
} particular[] = {
    {"gemma2", "{\"attn_logit_softcapping\": 50.0, \"final_logit_softcapping\": 30.0}"},
    {"gemma3_text", "{\"attn_logit_softcapping\": null, \"final_logit_softcapping\": null}"},
    {"gpt_neox", "{\"use_parallel_residual\": true}"},
};

static json_t *default_rope(double theta, double rotary_factor)
{
    json_t *rope = json_pack("{s:s, s:f}", "rope_type", "default", "rope_theta", theta);
    if (rotary_factor != 1.0) json_object_set_new(rope, "partial_rotary_factor", json_real(rotary_factor));
    return rope;
}

static json_t *rope_json(const plumb_architecture *a)
{
    enum { THETA = 10000, FULL_THETA = 1000000 }; /* FULL_THETA: of Gemma 3's layers without a window */
    if (!a->local_theta) return default_rope(THETA, a->rotary_factor);
    return json_pack("{s:o, s:o}", "full_attention", default_rope(FULL_THETA, a->rotary_factor), "sliding_attention",
                     default_rope(a->local_theta, a->rotary_factor));
}

static void set_id(json_t *j, const char *key, int32_t id)
{
    json_object_set_new(j, key, id < 0 ? json_null() : json_integer(id));
}

/* What the families differ in: heads, window, caps, biases. */
static plumb_status set_attention(run *r, json_t *j, int64_t heads, int64_t head_dim)
{
    const init_values *v = r->v;
    const plumb_architecture *a = r->arch;
    bool per_head = a->qkv == PLUMB_QKV_INTERLEAVED; /* GPT-NeoX knows neither key/value heads nor head_dim */
    if (per_head && ((v->kv_heads && v->kv_heads != heads) || head_dim * heads != v->hidden_size))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "%s: its heads divide the hidden size, and each has its own keys and values",
                                     a->model_type),
                          "leave out --num_key_value_heads and --head_dim");
    if (!per_head) json_object_set_new(j, "num_key_value_heads", json_integer(v->kv_heads ? v->kv_heads : heads));
    if (!per_head && (v->head_dim || a->head_dim)) json_object_set_new(j, "head_dim", json_integer(head_dim));
    if (a->query_scalar) json_object_set_new(j, "query_pre_attn_scalar", json_integer(head_dim));
    if (a->bias_key) json_object_set_new(j, a->bias_key, json_boolean(a->bias));
    if (a->mlp_bias_key) json_object_set_new(j, a->mlp_bias_key, json_boolean(a->mlp_bias));
    if (a->window == PLUMB_WINDOW_NEVER && v->window)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--sliding_window: %s has no window layers", a->model_type),
                          "leave it out, or choose mistral, phi3, gemma2, gemma3_text, qwen2 or qwen3");
    if (a->window == PLUMB_WINDOW_NEVER) return PLUMB_OK;
    bool has_window = v->window || a->window == PLUMB_WINDOW_EVEN || a->window == PLUMB_WINDOW_PATTERN;
    int64_t window = v->window ? v->window : v->positions > 1 ? v->positions / 2 : 1;
    json_object_set_new(j, "sliding_window", has_window ? json_integer(window) : json_null());
    if (a->window != PLUMB_WINDOW_FROM_MAX) return PLUMB_OK;
    json_object_set_new(j, "use_sliding_window", json_boolean(has_window));
    json_object_set_new(j, "max_window_layers", json_integer(has_window ? v->layers / 2 : v->layers));
    return PLUMB_OK;
}

static plumb_status set_sizes(run *r, json_t *j)
{
    const init_values *v = r->v;
    const plumb_architecture *a = r->arch;
    int64_t d = v->hidden_size, heads = v->heads ? v->heads : default_heads(r);
    int64_t head_dim = v->head_dim ? v->head_dim : d / heads > 0 ? d / heads : 1;
    int64_t inner = v->intermediate_size        ? v->intermediate_size
                    : a->mlp == PLUMB_MLP_PLAIN ? 4 * d
                                                : (8 * d / 3 + 15) / 16 * 16;
    int64_t vocabulary = v->vocab_size ? v->vocab_size : r->tokens;
    if (vocabulary < r->tokens)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "--vocab_size: %" PRId64 " is less than the %" PRId64 " tokens of the "
                                     "tokenizer",
                                     vocabulary, r->tokens),
                          "leave it out, or give a smaller tokenizer with --tokenizer");
    if (!v->head_dim && d % heads)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "--hidden_size: %" PRId64 " is not a multiple of %" PRId64 " heads", d, heads),
            "give --num_attention_heads or --head_dim that fit");
    json_object_set_new(j, "vocab_size", json_integer(vocabulary));
    json_object_set_new(j, "hidden_size", json_integer(d));
    json_object_set_new(j, "intermediate_size", json_integer(inner));
    json_object_set_new(j, "num_hidden_layers", json_integer(v->layers));
    json_object_set_new(j, "num_attention_heads", json_integer(heads));
    json_object_set_new(j, "max_position_embeddings", json_integer(v->positions));
    return set_attention(r, j, heads, head_dim);
}

static plumb_status set_all(run *r, json_t *j)
{
    const plumb_architecture *a = r->arch;
    bool tied = plumb_options_given(r->cli->options, "tie_word_embeddings") ? r->v->tied : a->tied;
    json_object_set_new(j, "architectures", json_pack("[s]", a->class_name));
    json_object_set_new(j, "model_type", json_string(a->model_type));
    json_object_set_new(j, "dtype", json_string(plumb_dtype_name((plumb_dtype)r->v->dtype)));
    json_object_set_new(j, a->activation_key, json_string(plumb_activation_name(a->activation)));
    if (a->eps_key) json_object_set_new(j, a->eps_key, json_real(a->eps));
    json_object_set_new(j, "tie_word_embeddings", json_boolean(tied));
    json_object_set_new(j, "initializer_range", json_real(r->v->std));
    json_object_set_new(j, "rope_parameters", rope_json(a));
    set_id(j, "bos_token_id", r->bos_id);
    set_id(j, "eos_token_id", r->eos_id);
    set_id(j, "pad_token_id", r->pad_id);
    for (size_t i = 0; i < sizeof particular / sizeof *particular; i++)
        if (strcmp(particular[i].model_type, a->model_type) == 0)
            json_object_update_new(j, json_loads(particular[i].keys, 0, NULL));
    return set_sizes(r, j);
}

/* The text of config.json, and what it means when it is read again: sizes that do not go together show there. */
static plumb_status make_config(run *r)
{
    json_t *j = json_object();
    plumb_status s = j ? set_all(r, j) : plumb_no_memory();
    char *text = s ? NULL : json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(15));
    if (!s) s = text ? plumb_text_printf(&r->config_text, "%s\n", text) : plumb_no_memory();
    free(text);
    json_decref(j);
    if (s) return s;
    return plumb_cure(
        plumb_config_parse(r->config_text.data, r->config_text.size, "these sizes", &r->config),
        "the options carry the names of these keys: --hidden_size, --num_attention_heads, --head_dim, ...");
}

/* ---- the tensors ---- */

static plumb_status add_spec(void *user, const char *name, int dims, const int64_t *shape)
{
    run *r = user;
    const char *copy;
    uint64_t count = 1;
    PLUMB_TRY(plumb_reserve(&r->specs, &r->spec_capacity, r->spec_count + 1, sizeof *r->specs));
    PLUMB_TRY(plumb_arena_copy(&r->arena, &copy, name, strlen(name)));
    plumb_tensor_spec *spec = &r->specs[r->spec_count++];
    *spec = (plumb_tensor_spec){.name = copy, .dtype = (plumb_dtype)r->v->dtype, .dims = dims};
    for (int i = 0; i < dims; i++) {
        spec->shape[i] = shape[i];
        count *= (uint64_t)shape[i];
    }
    r->total_bytes += count * plumb_dtype_size(spec->dtype);
    return PLUMB_OK;
}

static plumb_status plan_tensors(run *r)
{
    PLUMB_TRY(plumb_config_tensors(&r->config, &(plumb_tensor_visit){add_spec, r}));
    r->shards = plumb_checkpoint_files(r->specs, r->spec_count, r->shard_bytes);
    return PLUMB_OK;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* A piece of a tensor: matrices from the normal distribution, norms as the identity, biases zero. */
static plumb_status give_weights(void *user, size_t tensor, int64_t first, int64_t count, float *out)
{
    run *r = user;
    const plumb_tensor_spec *spec = &r->specs[tensor];
    uint64_t seed = (uint64_t)r->v->common.seed, stream = XXH3_64bits(spec->name, strlen(spec->name));
    bool is_norm = spec->dims == 1 && !ends_in(spec->name, ".bias");
    float constant = is_norm && r->arch->norm_weight == PLUMB_WEIGHT_PLAIN ? 1.0f : 0.0f;
    double std = spec->dims == 1 ? 0 : r->v->std;
    PLUMB_TRY(plumb_check_interrupt(&r->cli->sink));
#pragma omp parallel for num_threads(plumb_cli_threads(&r->v->common)) schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = std > 0 ? (float)(std * plumb_normal(seed, stream, (uint64_t)(first + i))) : constant;
    r->made_bytes += (uint64_t)count * plumb_dtype_size(spec->dtype);
    plumb_progress(&r->cli->sink, "bytes", (double)r->made_bytes, (double)r->total_bytes);
    return PLUMB_OK;
}

static plumb_status write_text(run *r, const char *name, const plumb_text *text)
{
    plumb_text path = {0};
    if (!text->size) return PLUMB_OK;
    plumb_status s = plumb_path_join(&path, r->folder.partial.data, name);
    if (!s) s = plumb_write_file(path.data, text->data, text->size);
    plumb_text_free(&path);
    return s;
}

/* ---- the folder ---- */

static plumb_status write_record(run *r)
{
    json_t *meta = NULL;
    plumb_text text = {0};
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &meta));
    char *dumped = json_dumps(meta, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(meta);
    plumb_status s = dumped ? plumb_text_printf(&text, "%s\n", dumped) : plumb_no_memory();
    if (!s) s = write_text(r, "run.json", &text);
    free(dumped);
    plumb_text_free(&text);
    return s;
}

static plumb_status write_files(run *r)
{
    PLUMB_TRY(write_text(r, "config.json", &r->config_text));
    PLUMB_TRY(write_text(r, "tokenizer.json", &r->tokenizer_text));
    PLUMB_TRY(write_text(r, "tokenizer_config.json", &r->tokenizer_config));
    PLUMB_TRY(write_text(r, "special_tokens_map.json", &r->special_tokens_map));
    PLUMB_TRY(write_text(r, "chat_template.jinja", &r->template_text));
    PLUMB_TRY(write_record(r));
    return plumb_checkpoint_write(r->folder.partial.data, r->specs, r->spec_count, r->shard_bytes, give_weights, r);
}

static plumb_status write_folder(run *r)
{
    PLUMB_TRY(plumb_new_folder_create(&r->folder, r->total_bytes));
    return plumb_new_folder_finish(&r->folder, write_files(r));
}

static void say_what(run *r)
{
    char parameters[32], bytes[32];
    plumb_format_count((double)plumb_config_parameters(&r->config), parameters, sizeof parameters);
    plumb_format_bytes((double)r->total_bytes, bytes, sizeof bytes);
    plumb_cli_tell(r->cli, "%s: %s, %s parameters, %s in %d file%s, seed %" PRId64, r->folder.out.data,
                   r->arch->class_name, parameters, bytes, r->shards, r->shards == 1 ? "" : "s", r->v->common.seed);
    if (r->v->common.dry_run) plumb_cli_say(r->cli, "dry run: nothing was written");
}

static plumb_status init(plumb_cli *cli, void *values)
{
    run r = {.cli = cli, .v = values};
    plumb_status s = find_architecture(&r);
    if (!s) s = parse_shard_size(r.v->shard_size, &r.shard_bytes);
    if (!s) s = plumb_new_folder_name(r.v->out.items[0], &r.folder);
    if (!s) s = open_tokenizer(&r);
    if (!s) s = make_config(&r);
    if (!s) s = plan_tensors(&r);
    if (!s && !r.v->common.dry_run) s = write_folder(&r);
    if (!s) say_what(&r);
    free_run(&r);
    return s;
}

int plumb_command_init(int argc, char **argv)
{
    init_values v = {0};
    return plumb_cli_run(&plumb_usage_init, argc, argv, &v, &v.common, init);
}
