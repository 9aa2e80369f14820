#include "model/config.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/json.h"
#include "io/open_file.h"
#include "io/output.h"

/* Larger than any published model by far; keeps products of sizes inside 64 bits. */
enum {
    MAX_WIDTH = 1 << 20,
    MAX_VOCAB = 1 << 24,
    MAX_HEADS = 1 << 14,
    MAX_POSITIONS = 1 << 26,
    MAX_CONFIG_BYTES = 1 << 24
};

/* An integer member in lo .. hi. A missing or null one is taken from *out (0: it is required). */
static plumb_status sized(const json_t *object, const char *key, int64_t lo, int64_t hi, int *out)
{
    int64_t value = *out;
    PLUMB_TRY(plumb_json_int(object, key, &value));
    const json_t *member = json_object_get(object, key);
    if ((!member || json_is_null(member)) && *out == 0)
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s", key, plumb_json_kind(member));
    if (value < lo || value > hi)
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %lld; expected %lld to %lld", key, (long long)value, (long long)lo,
                          (long long)hi);
    *out = (int)value;
    return PLUMB_OK;
}

/* A number member that must be finite and above `above`. A missing one stays as it is. */
static plumb_status real_above(const json_t *object, const char *key, double above, double *out)
{
    PLUMB_TRY(plumb_json_number(object, key, out));
    const json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value) && !(isfinite(*out) && *out > above))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %g; expected a finite number above %g", key, *out, above);
    return PLUMB_OK;
}

/* The sizes that a config must give; `assumed`, where they may be left out (0: they may not). */
static plumb_status read_widths(const json_t *j, const int assumed[5], plumb_config *c)
{
    c->vocab_size = assumed[0];
    c->hidden_size = assumed[1];
    c->intermediate_size = assumed[2];
    c->layers = assumed[3];
    c->heads = assumed[4];
    PLUMB_TRY(sized(j, "vocab_size", 1, MAX_VOCAB, &c->vocab_size));
    PLUMB_TRY(sized(j, "hidden_size", 1, MAX_WIDTH, &c->hidden_size));
    PLUMB_TRY(sized(j, "intermediate_size", 1, MAX_WIDTH, &c->intermediate_size));
    PLUMB_TRY(sized(j, "num_hidden_layers", 1, PLUMB_MAX_LAYERS, &c->layers));
    return sized(j, "num_attention_heads", 1, MAX_HEADS, &c->heads);
}

static plumb_status read_heads(const json_t *j, plumb_config *c)
{
    const plumb_architecture *a = c->architecture;
    c->kv_heads = c->heads;
    PLUMB_TRY(sized(j, "num_key_value_heads", 1, MAX_HEADS, &c->kv_heads));
    if (c->heads % c->kv_heads)
        return plumb_fail(PLUMB_E_INPUT, "\"num_attention_heads\" %d is not a multiple of \"num_key_value_heads\" %d",
                          c->heads, c->kv_heads);
    c->head_dim = a->head_dim ? a->head_dim : c->hidden_size / c->heads;
    const json_t *head_dim = json_object_get(j, "head_dim");
    bool given = head_dim && !json_is_null(head_dim);
    if (given) PLUMB_TRY(sized(j, "head_dim", 1, MAX_WIDTH, &c->head_dim));
    if (!given && !a->head_dim && c->hidden_size % c->heads)
        return plumb_fail(PLUMB_E_INPUT, "\"hidden_size\" %d is not a multiple of \"num_attention_heads\" %d",
                          c->hidden_size, c->heads);
    if ((int64_t)c->heads * c->head_dim > MAX_WIDTH)
        return plumb_fail(PLUMB_E_INPUT, "\"num_attention_heads\" %d times \"head_dim\" %d is above %d", c->heads,
                          c->head_dim, MAX_WIDTH);
    if (a->qkv != PLUMB_QKV_INTERLEAVED) return PLUMB_OK;
    if (c->kv_heads != c->heads)
        return plumb_fail(PLUMB_E_INPUT, "%d key/value heads for %d heads; %s has one for each", c->kv_heads, c->heads,
                          a->model_type);
    if (c->heads * c->head_dim != c->hidden_size)
        return plumb_fail(PLUMB_E_INPUT, "%d heads of %d elements for a hidden size of %d; those of %s divide it",
                          c->heads, c->head_dim, c->hidden_size, a->model_type);
    return PLUMB_OK;
}

/* `nested`: j is the text_config of a multimodal model, of which transformers writes only what differs from the class.
 */
static plumb_status read_sizes(const json_t *j, bool nested, plumb_config *c)
{
    static const int none[5];
    PLUMB_TRY(read_widths(j, nested ? c->architecture->sizes : none, c));
    PLUMB_TRY(read_heads(j, c));
    c->max_positions = 2048; /* where it is null */
    return sized(j, "max_position_embeddings", 1, MAX_POSITIONS, &c->max_positions);
}

static plumb_status read_activation(const json_t *j, plumb_config *c)
{
    static const struct {
        const char *name;
        plumb_activation activation;
    } known[] = {{"silu", PLUMB_SILU},          {"swish", PLUMB_SILU},          {"gelu", PLUMB_GELU},
                 {"gelu_new", PLUMB_GELU_TANH}, {"gelu_fast", PLUMB_GELU_TANH}, {"gelu_pytorch_tanh", PLUMB_GELU_TANH},
                 {"relu", PLUMB_RELU}};
    const plumb_architecture *a = c->architecture;
    const char *name = NULL;
    c->activation = a->activation;
    PLUMB_TRY(plumb_json_string(j, a->activation_key, &name));
    if (!name) return PLUMB_OK;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) != 0) continue;
        c->activation = known[i].activation;
        if (c->activation == PLUMB_GELU && a->gelu_means_tanh) c->activation = PLUMB_GELU_TANH;
        return PLUMB_OK;
    }
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is \"%s\", which is not supported", a->activation_key, name),
                      "supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu");
}

/* One object of rope parameters: {"rope_type" or "type", "factor", ...}; theta may stand inside (form 5). */
static plumb_status read_rope_object(const json_t *r, int positions, plumb_rope *rope)
{
    const char *kind = NULL;
    PLUMB_TRY(plumb_json_string(r, "rope_type", &kind));
    if (!kind) PLUMB_TRY(plumb_json_string(r, "type", &kind));
    PLUMB_TRY(real_above(r, "rope_theta", 0, &rope->theta));
    if (!kind || strcmp(kind, "default") == 0) return PLUMB_OK;
    if (strcmp(kind, "linear") == 0) {
        rope->kind = PLUMB_ROPE_LINEAR;
    } else if (strcmp(kind, "llama3") == 0) {
        rope->kind = PLUMB_ROPE_LLAMA3;
    } else {
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "rope scaling \"%s\" is not supported", kind),
            "supported: default, linear, llama3; use a checkpoint of the family without long-context scaling");
    }
    rope->factor = 0;
    PLUMB_TRY(real_above(r, "factor", 0, &rope->factor));
    if (rope->factor == 0) return plumb_fail(PLUMB_E_INPUT, "rope scaling \"%s\" has no \"factor\"", kind);
    if (rope->kind == PLUMB_ROPE_LINEAR) return PLUMB_OK;
    PLUMB_TRY(real_above(r, "low_freq_factor", 0, &rope->low_freq_factor));
    PLUMB_TRY(real_above(r, "high_freq_factor", 0, &rope->high_freq_factor));
    rope->original_positions = positions; /* where the key is missing */
    PLUMB_TRY(real_above(r, "original_max_position_embeddings", 0, &rope->original_positions));
    if (!(rope->high_freq_factor > rope->low_freq_factor) || rope->low_freq_factor <= 0)
        return plumb_fail(PLUMB_E_INPUT,
                          "rope scaling \"llama3\" needs \"low_freq_factor\" below \"high_freq_factor\"");
    return PLUMB_OK;
}

static plumb_status object_member(const json_t *j, const char *key, const json_t **out)
{
    const json_t *value = json_object_get(j, key);
    *out = value && !json_is_null(value) ? value : NULL;
    if (*out && !json_is_object(*out))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected an object", key, plumb_json_kind(value));
    return PLUMB_OK;
}

/* An object of rope parameters that is not there says nothing. */
static plumb_status apply_rope(const json_t *r, const char *where, plumb_config *c, plumb_rope *rope, double *factor)
{
    if (!r) return PLUMB_OK;
    PLUMB_TRY(plumb_context(read_rope_object(r, c->max_positions, rope), "%s", where));
    return c->architecture->rotary_key ? real_above(r, "partial_rotary_factor", 0, factor) : PLUMB_OK;
}

/* Form 5 has one object, or one for each kind of layer; form 4 has keys at the top and "rope_scaling". Where both are
 * there, "rope_scaling" counts, as in transformers. Gemma 3 scales its full layers alone and reads no other shape. */
static plumb_status read_rope_objects(const json_t *j, plumb_config *c, double *factor)
{
    const json_t *parameters, *scaling, *full = NULL, *local = NULL;
    bool by_layer = c->architecture->local_theta != 0;
    PLUMB_TRY(object_member(j, "rope_parameters", &parameters));
    PLUMB_TRY(object_member(j, "rope_scaling", &scaling));
    if (parameters) {
        PLUMB_TRY(object_member(parameters, "full_attention", &full));
        PLUMB_TRY(object_member(parameters, "sliding_attention", &local));
        if (!full && !by_layer) full = parameters;
    }
    if (!by_layer && scaling && json_object_size(scaling)) full = local = NULL;
    PLUMB_TRY(apply_rope(full, "rope_parameters", c, &c->rope, factor));
    PLUMB_TRY(apply_rope(scaling, "rope_scaling", c, &c->rope, factor));
    if (!by_layer) c->local_rope = c->rope;
    return apply_rope(local, "rope_parameters.sliding_attention", c, &c->local_rope, factor);
}

static plumb_status read_rope(const json_t *j, plumb_config *c)
{
    const plumb_architecture *a = c->architecture;
    double factor = a->rotary_factor;
    c->rope = (plumb_rope){.theta = 10000.0, .factor = 1.0};
    c->local_rope = (plumb_rope){.theta = a->local_theta, .factor = 1.0};
    PLUMB_TRY(real_above(j, a->theta_key ? a->theta_key : "rope_theta", 0, &c->rope.theta));
    if (a->local_theta != 0) PLUMB_TRY(real_above(j, "rope_local_base_freq", 0, &c->local_rope.theta));
    if (a->rotary_key) PLUMB_TRY(real_above(j, a->rotary_key, 0, &factor));
    PLUMB_TRY(read_rope_objects(j, c, &factor));
    if (factor > 1)
        return plumb_fail(PLUMB_E_INPUT, "the share of each head that is rotated is %g; expected at most 1", factor);
    c->rotary = (int)(c->head_dim * factor);
    if (c->rotary < 2 || c->rotary % 2)
        return plumb_fail(PLUMB_E_INPUT, "%d elements of each head are rotated; expected an even number from 2 on",
                          c->rotary);
    return PLUMB_OK;
}

/* "layer_types" (form 5): its i-th entry, which must be a kind of layer that plumb has. */
static plumb_status layer_type(const json_t *types, int i, bool *sliding)
{
    const json_t *entry = json_array_get(types, (size_t)i);
    const char *type = json_string_value(entry);
    if (!type)
        return plumb_fail(PLUMB_E_INPUT, "\"layer_types\"[%d] is %s; expected a string", i, plumb_json_kind(entry));
    *sliding = strcmp(type, "sliding_attention") == 0;
    if (*sliding || strcmp(type, "full_attention") == 0) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"layer_types\"[%d] is \"%s\"; supported: full_attention, sliding_attention", i,
                      type);
}

static bool has_window(plumb_window_rule rule, int layer, int64_t pattern, int64_t from)
{
    switch (rule) {
    case PLUMB_WINDOW_NEVER:
        return false;
    case PLUMB_WINDOW_ALL:
        return true;
    case PLUMB_WINDOW_EVEN:
        return layer % 2 == 0;
    case PLUMB_WINDOW_PATTERN:
        return (layer + 1) % pattern != 0;
    case PLUMB_WINDOW_FROM_MAX:
        return layer >= from;
    }
    return false;
}

/* The families that list their layers follow the list, where there is one, and otherwise the family's rule. */
static plumb_status read_layers(const json_t *j, plumb_config *c, int64_t pattern, int64_t from, bool windows)
{
    plumb_window_rule rule = c->architecture->window;
    const json_t *types = json_object_get(j, "layer_types");
    if (types && !json_is_null(types) && !json_is_array(types))
        return plumb_fail(PLUMB_E_INPUT, "\"layer_types\" is %s; expected a list", plumb_json_kind(types));
    bool listed = json_is_array(types), follows = rule != PLUMB_WINDOW_NEVER && rule != PLUMB_WINDOW_ALL;
    if (listed && json_array_size(types) != (size_t)c->layers)
        return plumb_fail(PLUMB_E_INPUT, "\"layer_types\" has %zu entries for %d layers", json_array_size(types),
                          c->layers);
    for (int i = 0; i < c->layers; i++) {
        bool sliding = has_window(rule, i, pattern, from), named = false;
        if (listed) PLUMB_TRY(layer_type(types, i, &named));
        c->window_layer[i] = windows && (listed && follows ? named : sliding);
    }
    return PLUMB_OK;
}

static plumb_status read_windows(const json_t *j, plumb_config *c)
{
    plumb_window_rule rule = c->architecture->window;
    int64_t window = 0, pattern = 6, from = 0;
    bool used = rule != PLUMB_WINDOW_FROM_MAX;
    if (rule == PLUMB_WINDOW_NEVER) return read_layers(j, c, pattern, from, false);
    PLUMB_TRY(plumb_json_int(j, "sliding_window", &window));
    if (window < 0 || window > MAX_POSITIONS)
        return plumb_fail(PLUMB_E_INPUT, "\"sliding_window\" is %lld", (long long)window);
    if (rule == PLUMB_WINDOW_FROM_MAX) {
        PLUMB_TRY(plumb_json_bool(j, "use_sliding_window", &used));
        PLUMB_TRY(plumb_json_int(j, "max_window_layers", &from));
    }
    if (rule == PLUMB_WINDOW_PATTERN) {
        PLUMB_TRY(plumb_json_int(j, "sliding_window_pattern", &pattern));
        PLUMB_TRY(plumb_json_int(j, "_sliding_window_pattern", &pattern));
    }
    if (pattern < 1) return plumb_fail(PLUMB_E_INPUT, "\"sliding_window_pattern\" is %lld", (long long)pattern);
    if (used) c->window = (int)window;
    return read_layers(j, c, pattern, from, c->window > 0);
}

static plumb_status read_attention(const json_t *j, plumb_config *c)
{
    const plumb_architecture *a = c->architecture;
    double scalar = c->head_dim;
    if (a->query_scalar) {
        PLUMB_TRY(real_above(j, "query_pre_attn_scalar", 0, &scalar));
        PLUMB_TRY(real_above(j, "attn_logit_softcapping", 0, &c->attention_cap));
        PLUMB_TRY(real_above(j, "final_logit_softcapping", 0, &c->final_cap));
    }
    c->attention_scale = 1.0 / sqrt(scalar);
    if (a->clips) PLUMB_TRY(real_above(j, "clip_qkv", 0, &c->clip_qkv));
    c->qkv_bias = c->o_bias = a->bias;
    if (a->bias_key) {
        PLUMB_TRY(plumb_json_bool(j, a->bias_key, &c->qkv_bias));
        c->o_bias = c->qkv_bias;
    }
    c->qkv_bias |= a->qkv_bias;
    c->mlp_bias = a->mlp_bias;
    if (a->mlp_bias_key) PLUMB_TRY(plumb_json_bool(j, a->mlp_bias_key, &c->mlp_bias));
    c->parallel_residual = a->parallel;
    return a->parallel ? plumb_json_bool(j, "use_parallel_residual", &c->parallel_residual) : PLUMB_OK;
}

static plumb_status read_dtype(const json_t *j, plumb_config *c)
{
    static const struct {
        const char *name;
        plumb_dtype dtype;
    } known[] = {{"float32", PLUMB_F32}, {"float16", PLUMB_F16}, {"bfloat16", PLUMB_BF16}, {"auto", PLUMB_F32}};
    const char *name = NULL, *key = "torch_dtype";
    PLUMB_TRY(plumb_json_string(j, "torch_dtype", &name));
    const char *old = name;
    PLUMB_TRY(plumb_json_string(j, "dtype", &name));
    if (name != old) key = "dtype";
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (name && strcmp(name, known[i].name) != 0) continue;
        c->dtype = known[i].dtype; /* without a name the first */
        return PLUMB_OK;
    }
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "\"%s\" is \"%s\", which is not supported", key, name),
        "supported: float32, float16, bfloat16; use a checkpoint that is not quantised, or convert it with "
        "transformers");
}

static int64_t first_id(const json_t *value)
{
    if (json_is_array(value)) value = json_array_get(value, 0);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

/* A classifier's head: transformers writes no "num_labels", only the labels' names. */
static plumb_status read_head(const json_t *j, plumb_config *c)
{
    static const char ending[] = "ForSequenceClassification";
    const char *name = json_string_value(json_array_get(json_object_get(j, "architectures"), 0));
    size_t n = name ? strlen(name) : 0, end = sizeof ending - 1;
    if (n < end || strcmp(name + n - end, ending) != 0) return PLUMB_OK;
    const json_t *labels = json_object_get(j, "id2label"), *given = json_object_get(j, "num_labels");
    int64_t count = json_is_object(labels)   ? (int64_t)json_object_size(labels)
                    : json_is_integer(given) ? json_integer_value(given)
                                             : 2; /* as transformers assumes */
    if (count != 1)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"architectures\" is %s with %lld labels", name, (long long)count),
                          "a reward model has one label (\"id2label\": {\"0\": ...}), its reward");
    c->head = PLUMB_HEAD_SCORE;
    return PLUMB_OK;
}

/* Features that would change what the weights mean, wherever they stand. */
static plumb_status refuse_unsupported(const json_t *j)
{
    const json_t *quantised = json_object_get(j, "quantization_config");
    if (!quantised) quantised = json_object_get(j, "compression_config");
    if (quantised && !json_is_null(quantised)) {
        const json_t *method = json_object_get(quantised, "quant_method");
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the checkpoint is quantised (%s)",
                                     json_is_string(method) ? json_string_value(method) : "quantization_config"),
                          "use the original checkpoint in bf16, fp16 or fp32");
    }
    const char *type = json_string_value(json_object_get(j, "model_type"));
    if (type && strncmp(type, "paligemma", 9) == 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "\"model_type\" is \"%s\": its prompt sees itself in both directions "
                                     "(prefix attention), which is not supported",
                                     type),
                          "use a causal language model, such as the Gemma that it was made from");
    if (json_is_true(json_object_get(j, "use_bidirectional_attention")))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"use_bidirectional_attention\" is true, which is not supported"),
                          "an embedding model has no next-token distribution; use a causal language model");
    return PLUMB_OK;
}

static plumb_status unknown_architecture(const char *type)
{
    plumb_text known = {0};
    size_t count;
    const plumb_architecture *rows = plumb_architectures(&count);
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < count && !s; i++) s = plumb_text_printf(&known, "%s%s", i ? ", " : "", rows[i].model_type);
    if (!s)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"model_type\" is \"%s\", an architecture plumb does not have", type),
                       "supported: %s", known.data);
    plumb_text_free(&known);
    return s;
}

/* The object that describes the text model: the config itself, or the text_config of a multimodal one. */
static plumb_status find_text_config(const json_t *j, const json_t **text, const char **type)
{
    *text = j;
    PLUMB_TRY(plumb_json_string(j, "model_type", type));
    const json_t *inner = json_object_get(j, "text_config");
    if (json_is_object(inner)) {
        *text = inner;
        const char *inner_type = NULL;
        PLUMB_TRY(plumb_context(plumb_json_string(inner, "model_type", &inner_type), "text_config"));
        if (inner_type) *type = inner_type;
    }
    if (!*type)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"model_type\" is missing"),
                          "is this the config.json of a Hugging Face language model?");
    return PLUMB_OK;
}

/* A key that only the outer config of a multimodal model may hold (eos_token_id). */
static const json_t *either(const json_t *text, const json_t *outer, const char *key)
{
    const json_t *value = json_object_get(text, key);
    return value && !json_is_null(value) ? value : json_object_get(outer, key);
}

static plumb_status read_all(const json_t *j, plumb_config *c)
{
    const json_t *text;
    const char *type = NULL;
    PLUMB_TRY(find_text_config(j, &text, &type));
    PLUMB_TRY(refuse_unsupported(j));
    PLUMB_TRY(refuse_unsupported(text));
    c->architecture = plumb_architecture_find(type);
    if (!c->architecture) return unknown_architecture(type);
    json_t *merged = c->architecture->defaults ? json_loads(c->architecture->defaults, 0, NULL) : json_object();
    if (!merged || json_object_update(merged, (json_t *)text)) {
        json_decref(merged);
        return plumb_no_memory();
    }
    plumb_status s = PLUMB_OK;
    PLUMB_GO(read_sizes(merged, text != j, c));
    PLUMB_GO(read_activation(merged, c));
    PLUMB_GO(read_rope(merged, c));
    PLUMB_GO(read_windows(merged, c));
    PLUMB_GO(read_attention(merged, c));
    PLUMB_GO(read_dtype(json_object_get(merged, "dtype") || json_object_get(merged, "torch_dtype") ? merged : j, c));
    c->norm_eps = c->architecture->eps;
    if (c->architecture->eps_key) PLUMB_GO(real_above(merged, c->architecture->eps_key, 0, &c->norm_eps));
    c->tied = c->architecture->tied;
    PLUMB_GO(plumb_json_bool(j, "tie_word_embeddings", &c->tied));
    PLUMB_GO(plumb_json_bool(merged, "tie_word_embeddings", &c->tied)); /* the text model's own word counts more */
    c->embed_scale = c->architecture->embed_scaled ? sqrt(c->hidden_size) : 1.0;
    c->bos_id = first_id(either(merged, j, "bos_token_id"));
    c->eos_id = first_id(either(merged, j, "eos_token_id"));
    c->pad_id = first_id(either(merged, j, "pad_token_id"));
    c->padding_row = c->architecture->no_padding_row ? -1 : c->pad_id;
    c->initializer_range = 0.02;
    if (json_is_number(json_object_get(merged, "initializer_range")))
        PLUMB_GO(real_above(merged, "initializer_range", 0, &c->initializer_range));
    PLUMB_GO(read_head(j, c));
done:
    json_decref(merged);
    return s;
}

plumb_status plumb_config_parse(const char *text, size_t n, const char *what, plumb_config *out)
{
    json_t *j = NULL;
    *out = (plumb_config){0};
    PLUMB_TRY(plumb_json_parse(text, n, false, what, &j));
    plumb_status s = json_is_object(j) ? read_all(j, out)
                                       : plumb_fail(PLUMB_E_INPUT, "holds %s; expected an object", plumb_json_kind(j));
    json_decref(j);
    return plumb_context(s, "%s", what);
}

/* What is wrong with the folder itself, before any file in it is asked for. */
static plumb_status check_folder(const char *folder)
{
    struct stat about;
    if (plumb_is_hub_name(folder)) {
        const char *slash = strchr(folder, '/');
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s/config.json: not found", folder),
                          "MODEL is a folder; a model of the Hub must be downloaded first: huggingface-cli download %s "
                          "--local-dir %s",
                          folder, slash + 1);
    }
    if (stat(folder, &about) == 0 && !S_ISDIR(about.st_mode))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is a file, and MODEL is a folder", folder),
                          "are MODEL and DATA swapped? MODEL holds config.json, tokenizer.json and *.safetensors");
    if (stat(folder, &about) == 0 && access(folder, R_OK | X_OK) == 0) return PLUMB_OK;
    if (errno != EACCES) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: cannot be read: %s", folder, strerror(errno)),
                      "ask its owner for permission, or: chmod u+rx %s", folder);
}

plumb_status plumb_config_load(const char *folder, plumb_config *out)
{
    plumb_text path = {0}, text = {0};
    bool adapter = false, checkpoint = false;
    PLUMB_TRY(check_folder(folder));
    plumb_status s = plumb_path_join(&path, folder, "config.json");
    if (!s) s = plumb_path_holds(folder, "adapter_config.json", &adapter);
    if (!s) s = plumb_path_holds(folder, "masters.safetensors", &checkpoint);
    if (!s && !plumb_path_exists(path.data))
        s = plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: not found", path.data), "%s",
            adapter ? "it is a LoRA adapter: make one model of it and the one it was trained on with plumb merge; "
                      "commands with --adapter also take the two as they are"
            : checkpoint
                ? "it is a checkpoint to go on from (--resume) and to look at with plumb trace; the model is in the "
                  "run's "
                  "folder when the run is done"
                : "MODEL is a folder with config.json, tokenizer.json and *.safetensors, as downloaded from the Hub");
    if (!s) s = plumb_read_file(path.data, MAX_CONFIG_BYTES, &text);
    if (!s) s = plumb_config_parse(text.data ? text.data : "", text.size, path.data, out);
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
}

int64_t plumb_config_parameters(const plumb_config *c)
{
    const plumb_tensor_names *names = c->architecture->names;
    int64_t d = c->hidden_size, ff = c->intermediate_size, q = (int64_t)c->heads * c->head_dim,
            kv = (int64_t)c->kv_heads * c->head_dim;
    int64_t norm = c->architecture->norm_weight == PLUMB_WEIGHT_NONE ? 0 : d * (c->architecture->norm_bias ? 2 : 1);
    int64_t norms = (names->input_norm != NULL) + (names->post_attention_norm != NULL) + (names->pre_mlp_norm != NULL) +
                    (names->post_mlp_norm != NULL);
    int64_t layer = d * (q + 2 * kv) + q * d + norms * norm;
    layer += (c->architecture->mlp == PLUMB_MLP_PLAIN ? 2 : 3) * d * ff;
    if (c->qkv_bias) layer += q + 2 * kv;
    if (c->o_bias) layer += d;
    if (c->mlp_bias) layer += (c->architecture->mlp == PLUMB_MLP_PLAIN ? ff : 2 * ff) + d;
    if (c->architecture->qk_norm == PLUMB_QK_HEADS) layer += 2 * (int64_t)c->head_dim;
    if (c->architecture->qk_norm == PLUMB_QK_WHOLE) layer += q + kv;
    int64_t head = c->head == PLUMB_HEAD_SCORE ? d : c->tied ? 0 : c->vocab_size * d;
    return layer * c->layers + c->vocab_size * d + head + norm;
}

int plumb_config_depth(const plumb_config *c)
{
    int attended = c->heads * c->head_dim, depth = c->hidden_size > attended ? c->hidden_size : attended;
    return depth > c->intermediate_size ? depth : c->intermediate_size;
}
