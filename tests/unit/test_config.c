/* config.json of every architecture, in the forms of transformers 4 and 5, as published and damaged. */
#include "support.h"

#include <math.h>

#include "model/config.h"
#include "scratch.h"

static plumb_status parse(const char *text, plumb_config *c)
{
    return plumb_config_parse(text, strlen(text), "config.json", c);
}

/* ---- published configs ---- */

/* What decides the model of published config.json files, keys without effect left out. The parameter counts are those
 * that the Hub shows for these checkpoints. */
static const struct published {
    const char *name, *text;
    int vocab, hidden, wide, layers, heads, kv_heads, head_dim, rotary, positions;
    double theta, eps, scale;
    plumb_activation activation;
    bool tied, qkv_bias, o_bias, mlp_bias;
    int window, windows; /* how many layers have it */
    int64_t bos, eos, parameters;
} published[] = {
    {"OLMo-1B-hf",
     "{\"architectures\":[\"OlmoForCausalLM\"],\"attention_bias\":false,\"attention_dropout\":0.0,"
     "\"clip_qkv\":null,\"eos_token_id\":50279,\"hidden_act\":\"silu\",\"hidden_size\":2048,"
     "\"initializer_range\":0.02,\"intermediate_size\":8192,\"max_position_embeddings\":2048,"
     "\"model_type\":\"olmo\",\"num_attention_heads\":16,\"num_hidden_layers\":16,\"num_key_value_heads\":16,"
     "\"pad_token_id\":1,\"rope_scaling\":null,\"rope_theta\":10000.0,\"tie_word_embeddings\":true,"
     "\"torch_dtype\":\"float32\",\"use_cache\":true,\"vocab_size\":50304}",
     50304,
     2048,
     8192,
     16,
     16,
     16,
     128,
     128,
     2048,
     10000,
     1e-5,
     0.08838834764831845,
     PLUMB_SILU,
     true,
     false,
     false,
     false,
     0,
     0,
     -1,
     50279,
     1176764416},
    {"gemma-2b",
     "{\"architectures\":[\"GemmaForCausalLM\"],\"attention_bias\":false,\"bos_token_id\":2,\"eos_token_id\":1,"
     "\"head_dim\":256,\"hidden_act\":\"gelu\",\"hidden_activation\":null,\"hidden_size\":2048,"
     "\"intermediate_size\":16384,\"max_position_embeddings\":8192,\"model_type\":\"gemma\","
     "\"num_attention_heads\":8,\"num_hidden_layers\":18,\"num_key_value_heads\":1,\"pad_token_id\":0,"
     "\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":10000.0,\"torch_dtype\":\"bfloat16\","
     "\"vocab_size\":256000}",
     256000,
     2048,
     16384,
     18,
     8,
     1,
     256,
     256,
     8192,
     10000,
     1e-6,
     0.0625,
     PLUMB_GELU_TANH,
     true,
     false,
     false,
     false,
     0,
     0,
     2,
     1,
     2506172416},
    {"Meta-Llama-3-8B",
     "{\"architectures\":[\"LlamaForCausalLM\"],\"attention_bias\":false,\"bos_token_id\":128000,"
     "\"eos_token_id\":128001,\"hidden_act\":\"silu\",\"hidden_size\":4096,\"intermediate_size\":14336,"
     "\"max_position_embeddings\":8192,\"model_type\":\"llama\",\"num_attention_heads\":32,"
     "\"num_hidden_layers\":32,\"num_key_value_heads\":8,\"pretraining_tp\":1,\"rms_norm_eps\":1e-05,"
     "\"rope_scaling\":null,\"rope_theta\":500000.0,\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
     "\"vocab_size\":128256}",
     128256,
     4096,
     14336,
     32,
     32,
     8,
     128,
     128,
     8192,
     500000,
     1e-5,
     0.08838834764831845,
     PLUMB_SILU,
     false,
     false,
     false,
     false,
     0,
     0,
     128000,
     128001,
     8030261248},
    {"Llama-3.2-1B-Instruct",
     "{\"bos_token_id\":128000,\"eos_token_id\":[128001,128008,128009],\"head_dim\":64,\"hidden_act\":\"silu\","
     "\"hidden_size\":2048,\"intermediate_size\":8192,\"max_position_embeddings\":131072,\"mlp_bias\":false,"
     "\"model_type\":\"llama\",\"num_attention_heads\":32,\"num_hidden_layers\":16,\"num_key_value_heads\":8,"
     "\"rms_norm_eps\":1e-05,\"rope_scaling\":{\"factor\":32.0,\"high_freq_factor\":4.0,\"low_freq_factor\":1.0,"
     "\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"},\"rope_theta\":500000.0,"
     "\"tie_word_embeddings\":true,\"torch_dtype\":\"bfloat16\",\"vocab_size\":128256}",
     128256,
     2048,
     8192,
     16,
     32,
     8,
     64,
     64,
     131072,
     500000,
     1e-5,
     0.125,
     PLUMB_SILU,
     true,
     false,
     false,
     false,
     0,
     0,
     128000,
     128001,
     1235814400},
    {"Mistral-7B-v0.1",
     "{\"bos_token_id\":1,\"eos_token_id\":2,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
     "\"intermediate_size\":14336,\"max_position_embeddings\":32768,\"model_type\":\"mistral\","
     "\"num_attention_heads\":32,\"num_hidden_layers\":32,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,"
     "\"rope_theta\":10000.0,\"sliding_window\":4096,\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\","
     "\"vocab_size\":32000}",
     32000,
     4096,
     14336,
     32,
     32,
     8,
     128,
     128,
     32768,
     10000,
     1e-5,
     0.08838834764831845,
     PLUMB_SILU,
     false,
     false,
     false,
     false,
     4096,
     32,
     1,
     2,
     7241732096},
    {"Mistral-7B-v0.3",
     "{\"bos_token_id\":1,\"eos_token_id\":2,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
     "\"intermediate_size\":14336,\"max_position_embeddings\":32768,\"model_type\":\"mistral\","
     "\"num_attention_heads\":32,\"num_hidden_layers\":32,\"num_key_value_heads\":8,\"rms_norm_eps\":1e-05,"
     "\"rope_theta\":1000000.0,\"sliding_window\":null,\"tie_word_embeddings\":false,\"vocab_size\":32768}",
     32768,
     4096,
     14336,
     32,
     32,
     8,
     128,
     128,
     32768,
     1e6,
     1e-5,
     0.08838834764831845,
     PLUMB_SILU,
     false,
     false,
     false,
     false,
     0,
     0,
     1,
     2,
     7248023552},
    {"Qwen2.5-1.5B",
     "{\"bos_token_id\":151643,\"eos_token_id\":151643,\"hidden_act\":\"silu\",\"hidden_size\":1536,"
     "\"intermediate_size\":8960,\"max_position_embeddings\":131072,\"max_window_layers\":28,"
     "\"model_type\":\"qwen2\",\"num_attention_heads\":12,\"num_hidden_layers\":28,\"num_key_value_heads\":2,"
     "\"rms_norm_eps\":1e-06,\"rope_theta\":1000000.0,\"sliding_window\":131072,\"tie_word_embeddings\":true,"
     "\"torch_dtype\":\"bfloat16\",\"use_mrope\":false,\"use_sliding_window\":false,\"vocab_size\":151936}",
     151936,
     1536,
     8960,
     28,
     12,
     2,
     128,
     128,
     131072,
     1e6,
     1e-6,
     0.08838834764831845,
     PLUMB_SILU,
     true,
     true,
     false,
     false,
     0,
     0,
     151643,
     151643,
     1543714304},
    {"Qwen3-1.7B",
     "{\"attention_bias\":false,\"bos_token_id\":151643,\"eos_token_id\":151645,\"head_dim\":128,"
     "\"hidden_act\":\"silu\",\"hidden_size\":2048,\"intermediate_size\":6144,\"max_position_embeddings\":40960,"
     "\"max_window_layers\":28,\"model_type\":\"qwen3\",\"num_attention_heads\":16,\"num_hidden_layers\":28,"
     "\"num_key_value_heads\":8,\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":1000000,"
     "\"sliding_window\":null,\"tie_word_embeddings\":true,\"use_sliding_window\":false,\"vocab_size\":151936}",
     151936,
     2048,
     6144,
     28,
     16,
     8,
     128,
     128,
     40960,
     1e6,
     1e-6,
     0.08838834764831845,
     PLUMB_SILU,
     true,
     false,
     false,
     false,
     0,
     0,
     151643,
     151645,
     1720574976},
    {"Phi-3-mini-4k-instruct",
     "{\"attention_bias\":false,\"bos_token_id\":1,\"embd_pdrop\":0.0,\"eos_token_id\":32000,"
     "\"hidden_act\":\"silu\",\"hidden_size\":3072,\"intermediate_size\":8192,\"max_position_embeddings\":4096,"
     "\"model_type\":\"phi3\",\"num_attention_heads\":32,\"num_hidden_layers\":32,\"num_key_value_heads\":32,"
     "\"original_max_position_embeddings\":4096,\"rms_norm_eps\":1e-05,\"rope_scaling\":null,"
     "\"rope_theta\":10000.0,\"sliding_window\":2047,\"tie_word_embeddings\":false,\"vocab_size\":32064}",
     32064,
     3072,
     8192,
     32,
     32,
     32,
     96,
     96,
     4096,
     10000,
     1e-5,
     0.10206207261596577,
     PLUMB_SILU,
     false,
     false,
     false,
     false,
     2047,
     32,
     1,
     32000,
     3821079552},
    {"gemma-2-2b",
     "{\"attention_bias\":false,\"attn_logit_softcapping\":50.0,\"bos_token_id\":2,\"cache_implementation\":\"hybrid\","
     "\"eos_token_id\":1,\"final_logit_softcapping\":30.0,\"head_dim\":256,\"hidden_act\":\"gelu_pytorch_tanh\","
     "\"hidden_activation\":\"gelu_pytorch_tanh\",\"hidden_size\":2304,\"intermediate_size\":9216,"
     "\"max_position_embeddings\":8192,\"model_type\":\"gemma2\",\"num_attention_heads\":8,"
     "\"num_hidden_layers\":26,\"num_key_value_heads\":4,\"query_pre_attn_scalar\":256,\"rms_norm_eps\":1e-06,"
     "\"rope_theta\":10000.0,\"sliding_window\":4096,\"vocab_size\":256000}",
     256000,
     2304,
     9216,
     26,
     8,
     4,
     256,
     256,
     8192,
     10000,
     1e-6,
     0.0625,
     PLUMB_GELU_TANH,
     true,
     false,
     false,
     false,
     4096,
     13,
     2,
     1,
     2614341888},
    {"gemma-3-1b-it",
     "{\"attention_bias\":false,\"attn_logit_softcapping\":null,\"bos_token_id\":2,\"eos_token_id\":[1,106],"
     "\"final_logit_softcapping\":null,\"head_dim\":256,\"hidden_activation\":\"gelu_pytorch_tanh\","
     "\"hidden_size\":1152,\"intermediate_size\":6912,\"max_position_embeddings\":32768,"
     "\"model_type\":\"gemma3_text\",\"num_attention_heads\":4,\"num_hidden_layers\":26,\"num_key_value_heads\":1,"
     "\"query_pre_attn_scalar\":256,\"rms_norm_eps\":1e-06,\"rope_local_base_freq\":10000,\"rope_scaling\":null,"
     "\"rope_theta\":1000000,\"sliding_window\":512,\"sliding_window_pattern\":6,\"vocab_size\":262144}",
     262144,
     1152,
     6912,
     26,
     4,
     1,
     256,
     256,
     32768,
     1e6,
     1e-6,
     0.0625,
     PLUMB_GELU_TANH,
     true,
     false,
     false,
     false,
     512,
     22,
     2,
     1,
     999885952},
    {"gemma-3-4b-it", /* most keys of text_config are left to transformers' defaults */
     "{\"architectures\":[\"Gemma3ForConditionalGeneration\"],\"boi_token_index\":255999,\"eoi_token_index\":256000,"
     "\"eos_token_id\":[1,106],\"image_token_index\":262144,\"initializer_range\":0.02,\"mm_tokens_per_image\":256,"
     "\"model_type\":\"gemma3\",\"text_config\":{\"hidden_size\":2560,\"intermediate_size\":10240,"
     "\"model_type\":\"gemma3_text\",\"num_hidden_layers\":34,\"rope_scaling\":{\"factor\":8.0,"
     "\"rope_type\":\"linear\"},\"sliding_window\":1024},\"torch_dtype\":\"bfloat16\","
     "\"vision_config\":{\"hidden_size\":1152,\"image_size\":896,\"intermediate_size\":4304,"
     "\"model_type\":\"siglip_vision_model\",\"num_attention_heads\":16,\"num_hidden_layers\":27}}",
     262208,
     2560,
     10240,
     34,
     8,
     4,
     256,
     256,
     131072,
     1e6,
     1e-6,
     0.0625,
     PLUMB_GELU_TANH,
     true,
     false,
     false,
     false,
     1024,
     29,
     -1,
     1,
     3880263168},
    {"pythia-70m",
     "{\"bos_token_id\":0,\"eos_token_id\":0,\"hidden_act\":\"gelu\",\"hidden_size\":512,"
     "\"intermediate_size\":2048,\"layer_norm_eps\":1e-05,\"max_position_embeddings\":2048,"
     "\"model_type\":\"gpt_neox\",\"num_attention_heads\":8,\"num_hidden_layers\":6,\"rotary_emb_base\":10000,"
     "\"rotary_pct\":0.25,\"tie_word_embeddings\":false,\"torch_dtype\":\"float16\","
     "\"use_parallel_residual\":true,\"vocab_size\":50304}",
     50304,
     512,
     2048,
     6,
     8,
     8,
     64,
     16,
     2048,
     10000,
     1e-5,
     0.125,
     PLUMB_GELU,
     false,
     true,
     true,
     true,
     0,
     0,
     0,
     0,
     70426624},
    {"OLMo-2-1124-7B",
     "{\"attention_bias\":false,\"eos_token_id\":100257,\"hidden_act\":\"silu\",\"hidden_size\":4096,"
     "\"intermediate_size\":11008,\"max_position_embeddings\":4096,\"model_type\":\"olmo2\","
     "\"num_attention_heads\":32,\"num_hidden_layers\":32,\"num_key_value_heads\":32,\"pad_token_id\":100277,"
     "\"rms_norm_eps\":1e-06,\"rope_scaling\":null,\"rope_theta\":500000,\"tie_word_embeddings\":false,"
     "\"vocab_size\":100352}",
     100352,
     4096,
     11008,
     32,
     32,
     32,
     128,
     128,
     4096,
     500000,
     1e-6,
     0.08838834764831845,
     PLUMB_SILU,
     false,
     false,
     false,
     false,
     0,
     0,
     -1,
     100257,
     7298617344},
};

static void number_is(const char *name, const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-15 * fabs(want))) fail_msg("%s: %s is %.17g, expected %.17g", name, what, got, want);
}

static void published_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        const struct published *p = &published[i];
        plumb_config c;
        int windows = 0;
        check_ok(parse(p->text, &c));
        for (int k = 0; k < c.layers; k++) windows += c.window_layer[k];
        const struct {
            const char *what;
            int64_t got, want;
        } fields[] = {{"vocab_size", c.vocab_size, p->vocab},
                      {"hidden_size", c.hidden_size, p->hidden},
                      {"intermediate_size", c.intermediate_size, p->wide},
                      {"layers", c.layers, p->layers},
                      {"heads", c.heads, p->heads},
                      {"kv_heads", c.kv_heads, p->kv_heads},
                      {"head_dim", c.head_dim, p->head_dim},
                      {"rotary", c.rotary, p->rotary},
                      {"max_positions", c.max_positions, p->positions},
                      {"activation", (int64_t)c.activation, (int64_t)p->activation},
                      {"tied", c.tied, p->tied},
                      {"qkv_bias", c.qkv_bias, p->qkv_bias},
                      {"o_bias", c.o_bias, p->o_bias},
                      {"mlp_bias", c.mlp_bias, p->mlp_bias},
                      {"window", c.window, p->window},
                      {"layers with a window", windows, p->windows},
                      {"bos_id", c.bos_id, p->bos},
                      {"eos_id", c.eos_id, p->eos},
                      {"parallel_residual", c.parallel_residual, strcmp(p->name, "pythia-70m") == 0},
                      {"parameters", plumb_config_parameters(&c), p->parameters}};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
            if (fields[k].got != fields[k].want)
                fail_msg("%s: %s is %lld, expected %lld", p->name, fields[k].what, (long long)fields[k].got,
                         (long long)fields[k].want);
        number_is(p->name, "rope_theta", c.rope.theta, p->theta);
        number_is(p->name, "norm_eps", c.norm_eps, p->eps);
        number_is(p->name, "attention_scale", c.attention_scale, p->scale);
        number_is(p->name, "embed_scale", c.embed_scale, strncmp(p->name, "gemma", 5) == 0 ? sqrt(p->hidden) : 1);
    }
}

static const char *published_text(const char *name)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++)
        if (strcmp(published[i].name, name) == 0) return published[i].text;
    fail_msg("no config of %s here", name);
    return NULL;
}

static void rope_kinds(void **state)
{
    (void)state;
    plumb_config c;
    check_ok(parse(published_text("Llama-3.2-1B-Instruct"), &c));
    assert_int_equal(c.rope.kind, PLUMB_ROPE_LLAMA3);
    number_is("llama3", "factor", c.rope.factor, 32);
    number_is("llama3", "low_freq_factor", c.rope.low_freq_factor, 1);
    number_is("llama3", "high_freq_factor", c.rope.high_freq_factor, 4);
    number_is("llama3", "original positions", c.rope.original_positions, 8192);
    check_ok(parse(published_text("gemma-3-4b-it"), &c)); /* scaling belongs to the full layers alone */
    assert_int_equal(c.rope.kind, PLUMB_ROPE_LINEAR);
    number_is("gemma3", "factor", c.rope.factor, 8);
    assert_int_equal(c.local_rope.kind, PLUMB_ROPE_DEFAULT);
    number_is("gemma3", "local theta", c.local_rope.theta, 10000);
    assert_true(c.window_layer[4] && !c.window_layer[5] && c.window_layer[6] && !c.window_layer[29]);
    check_ok(parse(published_text("gemma-2-2b"), &c));
    assert_true(c.window_layer[0] && !c.window_layer[1] && c.window_layer[24] && !c.window_layer[25]);
    number_is("gemma2", "attention cap", c.attention_cap, 50);
    number_is("gemma2", "final cap", c.final_cap, 30);
    check_ok(parse(published_text("Mistral-7B-v0.1"), &c));
    number_is("mistral", "local theta is the same", c.local_rope.theta, c.rope.theta);
}

/* ---- single keys ---- */

#define SMALL                                                                                                          \
    "\"vocab_size\":1000,\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":4,"                        \
    "\"num_attention_heads\":4"

/* The classes with a fixed number of key/value heads get one that fits those four. */
static const char *fitting(const char *type)
{
    bool fixed = strcmp(type, "gemma") == 0 || strncmp(type, "qwen", 4) == 0;
    return fixed ? ",\"num_key_value_heads\":4" : "";
}

static double activation_of(const plumb_config *c)
{
    return c->activation;
}
#define FIELD(name, expression)                                                                                        \
    static double name(const plumb_config *c)                                                                          \
    {                                                                                                                  \
        return (double)(expression);                                                                                   \
    }
FIELD(kv_heads_of, c->kv_heads)
FIELD(head_dim_of, c->head_dim)
FIELD(rotary_of, c->rotary)
FIELD(theta_of, c->rope.theta)
FIELD(local_theta_of, c->local_rope.theta)
FIELD(factor_of, c->rope.factor)
FIELD(original_of, c->rope.original_positions)
FIELD(kind_of, c->rope.kind)
FIELD(local_kind_of, c->local_rope.kind)
FIELD(window_of, c->window)
FIELD(tied_of, c->tied)
FIELD(eps_of, c->norm_eps)
FIELD(scale_of, c->attention_scale)
FIELD(clip_of, c->clip_qkv)
FIELD(cap_of, c->attention_cap)
FIELD(final_cap_of, c->final_cap)
FIELD(qkv_bias_of, c->qkv_bias)
FIELD(o_bias_of, c->o_bias)
FIELD(mlp_bias_of, c->mlp_bias)
FIELD(parallel_of, c->parallel_residual)
FIELD(dtype_of, c->dtype)
FIELD(eos_of, c->eos_id)
FIELD(padding_row_of, c->padding_row)
FIELD(bos_of, c->bos_id)
FIELD(positions_of, c->max_positions)
FIELD(heads_of, c->heads)
/* The layers with a window, as binary digits, layer 0 first. */
static double layers_of(const plumb_config *c)
{
    double digits = 0;
    for (int i = 0; i < c->layers; i++) digits = 10 * digits + c->window_layer[i];
    return digits;
}

static const struct value_row {
    const char *type, *keys; /* the keys follow SMALL */
    double (*get)(const plumb_config *c);
    double want;
} value_rows[] = {
    /* what is taken where the key is missing or null */
    {"llama", "", kv_heads_of, 4},
    {"llama", ",\"num_key_value_heads\":null", kv_heads_of, 4},
    {"llama", "", head_dim_of, 16},
    {"llama", ",\"head_dim\":null", head_dim_of, 16},
    {"llama", ",\"head_dim\":32", head_dim_of, 32},
    {"llama", "", theta_of, 10000},
    {"llama", ",\"rope_theta\":null", theta_of, 10000},
    {"llama", "", tied_of, 0},
    {"llama", "", eps_of, 1e-6},
    {"llama", ",\"rms_norm_eps\":1e-05", eps_of, 1e-5},
    {"llama", "", activation_of, PLUMB_SILU},
    {"llama", "", window_of, 0},
    {"llama", ",\"sliding_window\":16", window_of, 0}, /* not a key of llama */
    {"llama", "", eos_of, -1},
    {"llama", "", positions_of, 2048},
    {"llama", ",\"max_position_embeddings\":2048.0", positions_of, 2048},
    {"olmo", "", eps_of, 1e-5},
    {"olmo", ",\"rms_norm_eps\":0.5", eps_of, 1e-5}, /* not a key of olmo */
    {"olmo", "", clip_of, 0},
    {"olmo", ",\"clip_qkv\":8.0", clip_of, 8},
    {"gemma", "", head_dim_of, 256},
    {"gemma", "", tied_of, 1},
    {"gemma", ",\"tie_word_embeddings\":false", tied_of, 0},
    {"gemma2", "", window_of, 4096},
    {"gemma2", "", cap_of, 50},
    {"gemma2", ",\"attn_logit_softcapping\":null", cap_of, 0},
    {"gemma2", "", scale_of, 0.0625},
    {"gemma2", ",\"query_pre_attn_scalar\":144", scale_of, 1.0 / 12},
    {"gemma3_text", "", theta_of, 1e6},
    {"gemma3_text", "", local_theta_of, 10000},
    {"gemma3_text", ",\"rope_local_base_freq\":5000", local_theta_of, 5000},
    {"gemma3_text", "", kv_heads_of, 4},
    {"qwen3", "", head_dim_of, 128},
    {"qwen3", ",\"head_dim\":null", head_dim_of, 128},
    {"qwen3", ",\"attention_bias\":true", o_bias_of, 1},
    {"qwen2", "", qkv_bias_of, 1},
    {"qwen2", "", o_bias_of, 0},
    {"mistral", ",\"num_attention_heads\":8", kv_heads_of, 8},
    {"mistral", ",\"num_attention_heads\":16", kv_heads_of, 8}, /* transformers' default */
    {"mistral", ",\"num_key_value_heads\":null", kv_heads_of, 4},
    {"llama", "", padding_row_of, -1},
    {"llama", ",\"pad_token_id\":7", padding_row_of, 7},
    {"gpt_neox", ",\"pad_token_id\":7", padding_row_of, -1}, /* its embedding is made without padding_idx */
    {"gemma", "", padding_row_of, 0},                        /* transformers' default */
    {"gemma", ",\"pad_token_id\":null", padding_row_of, -1},
    {"olmo", "", padding_row_of, 1},
    {"phi3", "", padding_row_of, 32000},
    {"gpt_neox", "", rotary_of, 4},
    {"gpt_neox", ",\"rotary_pct\":1.0", rotary_of, 16},
    {"gpt_neox", ",\"rotary_emb_base\":25000", theta_of, 25000},
    {"gpt_neox", "", parallel_of, 1},
    {"gpt_neox", ",\"use_parallel_residual\":false", parallel_of, 0},
    {"gpt_neox", "", qkv_bias_of, 1},
    {"gpt_neox", ",\"attention_bias\":false", qkv_bias_of, 0},
    {"gpt_neox", ",\"attention_bias\":false", mlp_bias_of, 1},
    {"gpt_neox", "", activation_of, PLUMB_GELU},
    {"llama", ",\"mlp_bias\":true", mlp_bias_of, 1},
    {"llama", ",\"mlp_bias\":true", o_bias_of, 0},
    {"llama", ",\"attention_bias\":true", o_bias_of, 1},
    {"phi3", "", window_of, 0},
    {"phi3", ",\"attention_bias\":true", qkv_bias_of, 0}, /* not keys of these families */
    {"llama", ",\"clip_qkv\":8.0", clip_of, 0},
    {"olmo2", ",\"clip_qkv\":8.0", clip_of, 0},
    {"llama", ",\"use_parallel_residual\":true", parallel_of, 0},
    {"llama", ",\"attn_logit_softcapping\":50.0", cap_of, 0},
    {"gemma3_text", "", cap_of, 0},
    {"gemma3_text", ",\"attn_logit_softcapping\":50.0", cap_of, 50},
    {"gemma2", "", final_cap_of, 30},
    {"gemma2", ",\"final_logit_softcapping\":null", final_cap_of, 0},
    /* windows */
    {"mistral", ",\"num_key_value_heads\":4", window_of, 4096},
    {"mistral", ",\"num_key_value_heads\":4,\"sliding_window\":null", window_of, 0},
    {"mistral", ",\"num_key_value_heads\":4,\"sliding_window\":null", layers_of, 0},
    {"mistral", ",\"num_key_value_heads\":4,\"sliding_window\":64", layers_of, 1111},
    {"mistral",
     ",\"num_key_value_heads\":4,\"sliding_window\":64,\"layer_types\":[\"full_attention\",\"sliding_attention\","
     "\"full_attention\",\"full_attention\"]",
     layers_of, 1111}, /* as in transformers, which warns: alternating layers are another family */
    {"mistral", ",\"num_key_value_heads\":4,\"use_sliding_window\":false", window_of, 4096}, /* not a key of mistral */
    {"gemma2", ",\"sliding_window\":64", layers_of, 1010},
    {"gemma2", ",\"layer_types\":[\"full_attention\",\"full_attention\",\"sliding_attention\",\"full_attention\"]",
     layers_of, 10},
    {"gemma3_text", "", layers_of, 1111},
    {"gemma3_text", ",\"sliding_window_pattern\":2", layers_of, 1010},
    {"gemma3_text", ",\"_sliding_window_pattern\":3", layers_of, 1101},
    {"qwen2", ",\"sliding_window\":64,\"max_window_layers\":2", window_of, 0}, /* use_sliding_window is false */
    {"qwen2", ",\"use_sliding_window\":true,\"sliding_window\":64,\"max_window_layers\":2", layers_of, 11},
    {"qwen2", ",\"use_sliding_window\":true,\"max_window_layers\":3", window_of, 4096},
    {"qwen2", ",\"use_sliding_window\":true,\"sliding_window\":64", layers_of, 0}, /* from layer 28 on */
    {"qwen3",
     ",\"use_sliding_window\":true,\"sliding_window\":64,\"max_window_layers\":0,\"layer_types\":[\"full_attention\","
     "\"sliding_attention\",\"full_attention\",\"sliding_attention\"]",
     layers_of, 101},
    /* activations */
    {"llama", ",\"hidden_act\":\"swish\"", activation_of, PLUMB_SILU},
    {"llama", ",\"hidden_act\":\"gelu\"", activation_of, PLUMB_GELU},
    {"llama", ",\"hidden_act\":\"relu\"", activation_of, PLUMB_RELU},
    {"gemma", ",\"hidden_act\":\"gelu\"", activation_of, PLUMB_GELU_TANH},
    {"gemma", ",\"hidden_activation\":\"relu\",\"hidden_act\":\"gelu\"", activation_of, PLUMB_GELU_TANH},
    {"gemma", ",\"hidden_activation\":\"relu\"", activation_of, PLUMB_GELU_TANH}, /* not a key of gemma */
    {"gemma2", ",\"hidden_act\":\"relu\"", activation_of, PLUMB_GELU_TANH},       /* nor this one of gemma2 */
    {"gemma2", ",\"hidden_activation\":\"gelu\"", activation_of, PLUMB_GELU},     /* it means what it says */
    {"gemma3_text", ",\"hidden_activation\":\"relu\",\"hidden_act\":\"silu\"", activation_of, PLUMB_RELU},
    {"gpt_neox", ",\"hidden_act\":\"gelu_new\"", activation_of, PLUMB_GELU_TANH},
    {"gpt_neox", ",\"hidden_act\":\"gelu_fast\"", activation_of, PLUMB_GELU_TANH},
    /* rotary, form 4 */
    {"llama", ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}", factor_of, 4},
    {"llama", ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}", kind_of, PLUMB_ROPE_LINEAR},
    {"llama", ",\"rope_scaling\":{\"rope_type\":\"default\"}", kind_of, PLUMB_ROPE_DEFAULT},
    {"llama", ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}", local_kind_of, PLUMB_ROPE_LINEAR},
    {"llama",
     ",\"max_position_embeddings\":64,\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,"
     "\"low_freq_factor\":1,\"high_freq_factor\":4}",
     original_of, 64}, /* where it does not say */
    {"llama", ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4,\"rope_theta\":500}", theta_of, 500},
    {"phi3", ",\"partial_rotary_factor\":0.5", rotary_of, 8},
    {"phi3", ",\"rope_parameters\":{\"rope_type\":\"default\",\"partial_rotary_factor\":0.5}", rotary_of, 8},
    {"llama", ",\"partial_rotary_factor\":0.5", rotary_of, 16}, /* not a key of llama */
    {"llama", ",\"rope_parameters\":{\"rope_type\":\"default\",\"partial_rotary_factor\":0.5}", rotary_of, 16},
    {"llama", ",\"rotary_emb_base\":25000,\"rotary_pct\":0.5", theta_of, 10000},
    {"gpt_neox", ",\"rope_theta\":25000", theta_of, 10000},
    {"llama", ",\"rope_local_base_freq\":5000", local_theta_of, 10000},
    /* rotary, form 5 */
    {"llama", ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":7000.0}", theta_of, 7000},
    {"llama", ",\"rope_parameters\":{\"rope_theta\":7000}", theta_of, 7000},
    {"llama", ",\"rope_theta\":3000,\"rope_parameters\":{\"rope_type\":\"default\"}", theta_of, 3000},
    {"llama", ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":7000}", factor_of, 2},
    {"llama", ",\"rope_parameters\":null", theta_of, 10000},
    {"llama",
     ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2},\"rope_scaling\":{\"rope_type\":\"linear\","
     "\"factor\":4}",
     factor_of, 4},
    {"llama", ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2},\"rope_scaling\":{}", factor_of, 2},
    {"gemma3_text", ",\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":20000}", theta_of, 1e6},
    {"gemma3_text", ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":2e6}}", local_theta_of, 10000},
    {"gemma3_text",
     ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":2e6}},\"rope_scaling\":{\"rope_type\":\"linear\","
     "\"factor\":8}",
     factor_of, 8},
    {"gemma3_text",
     ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":2e6}},\"rope_scaling\":{\"rope_type\":\"linear\","
     "\"factor\":8}",
     theta_of, 2e6},
    {"gpt_neox", ",\"rope_parameters\":{\"partial_rotary_factor\":0.5,\"rope_theta\":100.0}", rotary_of, 8},
    {"gemma3_text",
     ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":1e6},"
     "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":20000}}",
     local_theta_of, 20000},
    {"gemma3_text",
     ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":2e6},"
     "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":20000}}",
     theta_of, 2e6},
    {"gemma3_text",
     ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":8,\"rope_theta\":2e6},"
     "\"sliding_attention\":{\"rope_type\":\"default\",\"rope_theta\":20000}}",
     local_kind_of, PLUMB_ROPE_DEFAULT},
    /* the rest */
    {"llama", ",\"eos_token_id\":[7,8]", eos_of, 7},
    {"llama", ",\"eos_token_id\":[]", eos_of, -1},
    {"llama", ",\"eos_token_id\":null,\"bos_token_id\":3", bos_of, 3},
    {"llama", ",\"torch_dtype\":\"float16\"", dtype_of, PLUMB_F16},
    {"llama", ",\"dtype\":\"bfloat16\"", dtype_of, PLUMB_BF16},
    {"llama", ",\"dtype\":\"float32\",\"torch_dtype\":\"float16\"", dtype_of, PLUMB_F32},
    {"llama", ",\"quantization_config\":null", heads_of, 4},
    {"llama", ",\"num_attention_heads\":2,\"num_attention_heads\":4", heads_of, 4},
};

static void single_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof value_rows / sizeof *value_rows; i++) {
        const struct value_row *r = &value_rows[i];
        char text[2048];
        plumb_config c;
        snprintf(text, sizeof text, "{\"model_type\":\"%s\"," SMALL "%s%s}", r->type, fitting(r->type), r->keys);
        plumb_status s = parse(text, &c);
        if (s) fail_msg("row %zu, %s%s: %s", i, r->type, r->keys, plumb_status_message(s));
        if (!(fabs(r->get(&c) - r->want) <= 1e-15 * fabs(r->want)))
            fail_msg("row %zu, %s%s: %.17g, expected %.17g", i, r->type, r->keys, r->get(&c), r->want);
    }
}

/* ---- refusals ---- */

static const struct refusal {
    const char *type, *keys, *says;
} refusals[] = {
    /* absurd values */
    {"llama", ",\"vocab_size\":0", "\"vocab_size\" is 0; expected 1 to 16777216"},
    {"llama", ",\"vocab_size\":-5", "\"vocab_size\" is -5"},
    {"llama", ",\"vocab_size\":null", "\"vocab_size\" is null"},
    {"llama", ",\"vocab_size\":100000000", "\"vocab_size\" is 100000000"},
    {"llama", ",\"hidden_size\":1e9", "\"hidden_size\" is 1000000000"},
    {"llama", ",\"hidden_size\":9223372036854775807", "\"hidden_size\" is 9223372036854775807"},
    {"llama", ",\"hidden_size\":9223372036854775808", "config.json"},
    {"llama", ",\"hidden_size\":1e400", "config.json"},
    {"llama", ",\"hidden_size\":64.5", "\"hidden_size\" is 64.5; expected an integer"},
    {"llama", ",\"intermediate_size\":0", "\"intermediate_size\" is 0"},
    {"llama", ",\"num_hidden_layers\":0", "\"num_hidden_layers\" is 0; expected 1 to 1024"},
    {"llama", ",\"num_hidden_layers\":1025", "\"num_hidden_layers\" is 1025"},
    {"llama", ",\"num_attention_heads\":-4", "\"num_attention_heads\" is -4"},
    {"llama", ",\"num_attention_heads\":5", "\"hidden_size\" 64 is not a multiple of \"num_attention_heads\" 5"},
    {"llama", ",\"num_key_value_heads\":3", "\"num_attention_heads\" 4 is not a multiple of \"num_key_value_heads\" 3"},
    {"llama", ",\"num_key_value_heads\":0", "\"num_key_value_heads\" is 0"},
    {"llama", ",\"num_key_value_heads\":8", "not a multiple of \"num_key_value_heads\" 8"},
    {"llama", ",\"head_dim\":0", "\"head_dim\" is 0"},
    {"llama", ",\"head_dim\":15", "15 elements of each head are rotated; expected an even number"},
    {"llama", ",\"num_attention_heads\":128,\"head_dim\":16384", "128 times \"head_dim\" 16384 is above 1048576"},
    {"llama", ",\"num_attention_heads\":64,\"head_dim\":null", "1 elements of each head are rotated"},
    {"llama", ",\"max_position_embeddings\":0", "\"max_position_embeddings\" is 0"},
    {"llama", ",\"max_position_embeddings\":1e12", "\"max_position_embeddings\" is 1000000000000"},
    {"llama", ",\"rms_norm_eps\":0", "\"rms_norm_eps\" is 0; expected a finite number above 0"},
    {"llama", ",\"rms_norm_eps\":-1e-6", "\"rms_norm_eps\" is -1e-06"},
    {"llama", ",\"rope_theta\":0", "\"rope_theta\" is 0"},
    {"llama", ",\"rope_theta\":-10000", "\"rope_theta\" is -10000"},
    {"mistral", ",\"num_key_value_heads\":4,\"sliding_window\":-1", "\"sliding_window\" is -1"},
    {"gemma3_text", ",\"sliding_window_pattern\":0", "\"sliding_window_pattern\" is 0"},
    {"gemma2", ",\"query_pre_attn_scalar\":0", "\"query_pre_attn_scalar\" is 0"},
    {"gpt_neox", ",\"rotary_pct\":1.5", "the share of each head that is rotated is 1.5; expected at most 1"},
    {"gpt_neox", ",\"rotary_pct\":0.01", "0 elements of each head are rotated"},
    {"gpt_neox", ",\"num_key_value_heads\":2", "2 key/value heads for 4 heads; gpt_neox has one for each"},
    {"gpt_neox", ",\"head_dim\":32", "4 heads of 32 elements for a hidden size of 64"},
    /* wrong types */
    {"llama", ",\"vocab_size\":\"1000\"", "\"vocab_size\" is a string; expected an integer"},
    {"llama", ",\"hidden_size\":[64]", "\"hidden_size\" is a list; expected an integer"},
    {"llama", ",\"num_hidden_layers\":true", "\"num_hidden_layers\" is a boolean; expected an integer"},
    {"llama", ",\"rms_norm_eps\":\"1e-6\"", "\"rms_norm_eps\" is a string; expected a number"},
    {"llama", ",\"hidden_act\":3", "\"hidden_act\" is a number; expected a string"},
    {"llama", ",\"attention_bias\":\"false\"", "\"attention_bias\" is a string; expected true or false"},
    {"llama", ",\"mlp_bias\":0", "\"mlp_bias\" is a number; expected true or false"},
    {"llama", ",\"tie_word_embeddings\":\"true\"", "\"tie_word_embeddings\" is a string; expected true or false"},
    {"llama", ",\"rope_scaling\":8", "\"rope_scaling\" is a number; expected an object"},
    {"llama", ",\"rope_scaling\":{\"type\":5}", "rope_scaling: \"type\" is a number; expected a string"},
    {"llama", ",\"rope_parameters\":[]", "\"rope_parameters\" is a list; expected an object"},
    {"llama", ",\"torch_dtype\":16", "\"torch_dtype\" is a number; expected a string"},
    {"qwen2", ",\"use_sliding_window\":1", "\"use_sliding_window\" is a number; expected true or false"},
    {"gemma2", ",\"layer_types\":\"full_attention\"", "\"layer_types\" is a string; expected a list"},
    {"gemma2", ",\"layer_types\":[\"full_attention\"]", "\"layer_types\" has 1 entries for 4 layers"},
    {"gemma2", ",\"layer_types\":[1,2,3,4]", "\"layer_types\"[0] is a number; expected a string"},
    /* features that would change the result */
    {"gemma2", ",\"layer_types\":[\"full_attention\",\"chunked_attention\",\"full_attention\",\"full_attention\"]",
     "\"layer_types\"[1] is \"chunked_attention\"; supported: full_attention, sliding_attention"},
    {"llama", ",\"layer_types\":[\"full_attention\",\"full_attention\",\"full_attention\",\"linear_attention\"]",
     "\"layer_types\"[3] is \"linear_attention\""},
    {"llama", ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}", "rope scaling \"yarn\" is not supported"},
    {"phi3", ",\"rope_scaling\":{\"type\":\"longrope\",\"long_factor\":[]}", "rope scaling \"longrope\""},
    {"phi3", ",\"rope_scaling\":{\"type\":\"su\"}", "rope scaling \"su\""},
    {"llama", ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", "rope scaling \"dynamic\""},
    {"llama", ",\"rope_parameters\":{\"rope_type\":\"yarn\",\"factor\":4}", "rope_parameters: rope scaling \"yarn\""},
    {"gemma3_text",
     ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"default\"},\"sliding_attention\":{\"rope_type\":"
     "\"dynamic\",\"factor\":2}}",
     "rope_parameters.sliding_attention: rope scaling \"dynamic\""},
    {"llama", ",\"rope_scaling\":{\"type\":\"linear\"}", "rope scaling \"linear\" has no \"factor\""},
    {"llama", ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", "\"factor\" is 0"},
    {"llama", ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}", "needs \"low_freq_factor\""},
    {"llama",
     ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":1,"
     "\"original_max_position_embeddings\":64}",
     "\"low_freq_factor\" below \"high_freq_factor\""},
    {"llama", ",\"hidden_act\":\"quick_gelu\"", "\"hidden_act\" is \"quick_gelu\", which is not supported"},
    {"gemma2", ",\"hidden_activation\":\"laplace\"", "\"hidden_activation\" is \"laplace\", which is not supported"},
    {"llama", ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4}", "the checkpoint is quantised (gptq)"},
    {"llama", ",\"quantization_config\":{\"quant_method\":\"awq\"}", "quantised (awq)"},
    {"llama", ",\"quantization_config\":{\"quant_method\":\"fp8\"}", "quantised (fp8)"},
    {"llama", ",\"quantization_config\":{\"quant_method\":\"fp8\"}", "use the original checkpoint in bf16"},
    {"llama", ",\"quantization_config\":{\"load_in_4bit\":true}", "quantised (quantization_config)"},
    {"llama", ",\"compression_config\":{\"quant_method\":\"compressed-tensors\"}", "quantised (compressed-tensors)"},
    {"gemma3_text", ",\"use_bidirectional_attention\":true", "\"use_bidirectional_attention\" is true"},
    {"llama", ",\"torch_dtype\":\"int8\"", "\"torch_dtype\" is \"int8\", which is not supported"},
    {"llama", ",\"torch_dtype\":\"float64\"", "supported: float32, float16, bfloat16"},
    {"llama", ",\"torch_dtype\":\"\"", "\"torch_dtype\" is \"\""},
    {"llama", ",\"torch_dtype\":\"float32\",\"dtype\":\"float8_e4m3fn\"", "\"dtype\" is \"float8_e4m3fn\""},
    {"paligemma", ",\"text_config\":{\"model_type\":\"gemma\"}", "its prompt sees itself in both directions"},
    {"paligemma2", ",\"text_config\":{\"model_type\":\"gemma2\"}", "\"model_type\" is \"paligemma2\""},
    {"paligemma", "", "prefix attention"},
    /* other architectures */
    {"mixtral", "", "\"model_type\" is \"mixtral\", an architecture plumb does not have"},
    {"mixtral", "", "supported: olmo, olmo2, gemma"},
    {"qwen2_moe", "", "\"qwen2_moe\""},
    {"qwen3_moe", "", "\"qwen3_moe\""},
    {"olmoe", "", "\"olmoe\""},
    {"gpt2", "", "\"gpt2\""},
    {"bert", "", "\"bert\""},
    {"t5", "", "\"t5\""},
    {"Llama", "", "\"Llama\""},
    {"", "", "\"model_type\" is \"\""},
};

static void unusable_configs(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char text[2048];
        plumb_config c;
        snprintf(text, sizeof text, "{\"model_type\":\"%s\"," SMALL "%s%s}", refusals[i].type,
                 fitting(refusals[i].type), refusals[i].keys);
        plumb_status s = parse(text, &c);
        if (!s) fail_msg("row %zu, %s%s: accepted", i, refusals[i].type, refusals[i].keys);
        if (strncmp(plumb_status_message(s), "config.json: ", 13) != 0)
            fail_msg("row %zu: the file is not named: %s", i, plumb_status_message(s));
        assert_says(s, PLUMB_E_INPUT, refusals[i].says);
    }
}

/* What the classes of transformers assume for a config.json with no more than the sizes. */
static const struct assumed {
    const char *type;
    int kv_heads, head_dim, rotary, positions, window, windows; /* for 32 heads of 4096 / 32, 32 layers */
    double theta, local_theta, eps, scale;
    plumb_activation activation;
    bool tied, qkv_bias, o_bias, mlp_bias, parallel;
    double attention_cap, final_cap;
    int vocab, hidden, wide, layers, heads; /* for a text_config that leaves out those too */
} assumed[] = {
    {"olmo", 32,    128,   128,   2048,  0, 0, 1e4,   1e4,  1e-5,  128, PLUMB_SILU,
     false,  false, false, false, false, 0, 0, 50304, 4096, 11008, 32,  32},
    {"olmo2", 32,    128,   128,   2048,  0, 0, 1e4,   1e4,  1e-5,  128, PLUMB_SILU,
     false,   false, false, false, false, 0, 0, 50304, 4096, 11008, 32,  32},
    {"gemma", 16,    256,   256,   8192,  0, 0, 1e4,    1e4,  1e-6,  256, PLUMB_GELU_TANH,
     true,    false, false, false, false, 0, 0, 256000, 3072, 24576, 28,  16},
    {"gemma2", 4,     256,   256,   8192,  4096, 16, 1e4,    1e4,  1e-6, 256, PLUMB_GELU_TANH,
     true,     false, false, false, false, 50,   30, 256000, 2304, 9216, 26,  8},
    {"gemma3_text", 4,     256,   256,   131072, 4096, 27, 1e6,    1e4,  1e-6, 256, PLUMB_GELU_TANH,
     true,          false, false, false, false,  0,    0,  262208, 2304, 9216, 26,  8},
    {"llama", 32,    128,   128,   2048,  0, 0, 1e4,   1e4,  1e-6,  128, PLUMB_SILU,
     false,   false, false, false, false, 0, 0, 32000, 4096, 11008, 32,  32},
    {"mistral", 8,     128,   128,   131072, 4096, 32, 1e4,   1e4,  1e-6,  128, PLUMB_SILU,
     false,     false, false, false, false,  0,    0,  32000, 4096, 14336, 32,  32},
    {"qwen2", 32,   128,   128,   32768, 0, 0, 1e4,    1e4,  1e-6,  128, PLUMB_SILU,
     false,   true, false, false, false, 0, 0, 151936, 4096, 22016, 32,  32},
    {"qwen3", 32,    128,   128,   32768, 0, 0, 1e4,    1e4,  1e-6,  128, PLUMB_SILU,
     false,   false, false, false, false, 0, 0, 151936, 4096, 22016, 32,  32},
    {"phi3", 32,    128,   128,   4096,  0, 0, 1e4,   1e4,  1e-5, 128, PLUMB_SILU,
     false,  false, false, false, false, 0, 0, 32064, 3072, 8192, 32,  32},
    {"gpt_neox", 32,   128,  32,   2048, 0, 0, 1e4,   1e4,  1e-5,  128, PLUMB_GELU,
     false,      true, true, true, true, 0, 0, 50432, 6144, 24576, 44,  64},
};

static void check_assumed(const struct assumed *a, const plumb_config *c)
{
    int windows = 0;
    for (int k = 0; k < c->layers; k++) windows += c->window_layer[k];
    const struct {
        const char *what;
        double got, want;
    } fields[] = {{"kv_heads", c->kv_heads, a->kv_heads},
                  {"head_dim", c->head_dim, a->head_dim},
                  {"rotary", c->rotary, a->rotary},
                  {"max_positions", c->max_positions, a->positions},
                  {"window", c->window, a->window},
                  {"layers with a window", windows, a->windows},
                  {"theta", c->rope.theta, a->theta},
                  {"theta of window layers", c->local_rope.theta, a->local_theta},
                  {"eps", c->norm_eps, a->eps},
                  {"scale", c->attention_scale, 1 / sqrt(a->scale)},
                  {"activation", c->activation, a->activation},
                  {"tied", c->tied, a->tied},
                  {"qkv_bias", c->qkv_bias, a->qkv_bias},
                  {"o_bias", c->o_bias, a->o_bias},
                  {"mlp_bias", c->mlp_bias, a->mlp_bias},
                  {"parallel_residual", c->parallel_residual, a->parallel},
                  {"attention_cap", c->attention_cap, a->attention_cap},
                  {"final_cap", c->final_cap, a->final_cap},
                  {"eos_id", (double)c->eos_id, -1}};
    for (size_t k = 0; k < sizeof fields / sizeof *fields; k++)
        number_is(a->type, fields[k].what, fields[k].got, fields[k].want);
}

static void class_defaults(void **state)
{
    (void)state;
    size_t count;
    plumb_architectures(&count);
    assert_int_equal(count, sizeof assumed / sizeof *assumed);
    for (size_t i = 0; i < sizeof assumed / sizeof *assumed; i++) {
        const struct assumed *a = &assumed[i];
        char text[512];
        plumb_config c;
        snprintf(text, sizeof text,
                 "{\"model_type\":\"%s\",\"vocab_size\":1000,\"hidden_size\":4096,\"intermediate_size\":128,"
                 "\"num_hidden_layers\":32,\"num_attention_heads\":32}",
                 a->type);
        check_ok(parse(text, &c));
        check_assumed(a, &c);
        snprintf(text, sizeof text, "{\"model_type\":\"many\",\"text_config\":{\"model_type\":\"%s\"}}", a->type);
        check_ok(parse(text, &c));
        number_is(a->type, "vocab_size", c.vocab_size, a->vocab);
        number_is(a->type, "hidden_size", c.hidden_size, a->hidden);
        number_is(a->type, "intermediate_size", c.intermediate_size, a->wide);
        number_is(a->type, "layers", c.layers, a->layers);
        number_is(a->type, "heads", c.heads, a->heads);
        snprintf(text, sizeof text, "{\"model_type\":\"%s\"}", a->type);
        assert_says(parse(text, &c), PLUMB_E_INPUT, "\"vocab_size\" is missing");
    }
}

static void required_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                                       "num_attention_heads"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *j = json_loads("{\"model_type\":\"llama\"," SMALL "}", 0, NULL);
        char says[64];
        plumb_config c;
        json_object_del(j, keys[i]);
        char *text = json_dumps(j, 0);
        snprintf(says, sizeof says, "\"%s\" is missing", keys[i]);
        assert_says(parse(text, &c), PLUMB_E_INPUT, says);
        free(text);
        json_decref(j);
    }
}

static const struct whole {
    const char *text, *says;
} wholes[] = {
    {"", "config.json: not valid JSON"},
    {"{", "config.json: not valid JSON"},
    {"[]", "config.json: holds a list; expected an object"},
    {"null", "config.json: holds null"},
    {"{}", "\"model_type\" is missing"},
    {"{\"model_type\": null}", "\"model_type\" is missing"},
    {"{\"model_type\": 3}", "\"model_type\" is a number; expected a string"},
    {"{\"model_type\": \"llama\\u0000x\"}", "zero character"},
    {"{\"model_type\": \"\xff\"}", "config.json: not valid JSON"},
    {"{\"model_type\": \"llama\", \"vocab_size\": NaN}", "config.json: not valid JSON"},
    {"{\"model_type\": \"gemma3\", \"text_config\": {\"model_type\": 3}}", "text_config: \"model_type\" is a number"},
    {"{\"model_type\": \"gemma3\", \"text_config\": {\"model_type\": \"gemma3_text\", \"quantization_config\": "
     "{\"quant_method\": \"fp8\"}}}",
     "quantised (fp8)"},
    {"{\"model_type\": \"llava\", \"text_config\": {\"model_type\": \"opt\"}}", "\"model_type\" is \"opt\""},
};

static void whole_files(void **state)
{
    (void)state;
    plumb_config c;
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++)
        assert_says(parse(wholes[i].text, &c), PLUMB_E_INPUT, wholes[i].says);
    static char deep[200000];
    memset(deep, '[', sizeof deep - 1);
    assert_says(parse(deep, &c), PLUMB_E_INPUT, "config.json: ");
}

/* What only the outer object of a multimodal config holds, and what the inner one overrides. */
static void multimodal_config(void **state)
{
    (void)state;
    static const char text[] =
        "{\"model_type\":\"gemma3\",\"eos_token_id\":[106,1],\"bos_token_id\":2,\"dtype\":\"float16\","
        "\"tie_word_embeddings\":false,\"hidden_size\":9999,\"text_config\":{\"model_type\":\"gemma3_text\"," SMALL
        "%s}}";
    char filled[1024];
    plumb_config c;
    snprintf(filled, sizeof filled, text, "");
    check_ok(parse(filled, &c));
    assert_string_equal(c.architecture->model_type, "gemma3_text");
    assert_int_equal(c.hidden_size, 64);
    assert_int_equal(c.eos_id, 106);
    assert_int_equal(c.bos_id, 2);
    assert_int_equal(c.dtype, PLUMB_F16);
    assert_false(c.tied);
    snprintf(filled, sizeof filled, text, ",\"eos_token_id\":5,\"dtype\":\"bfloat16\",\"tie_word_embeddings\":true");
    check_ok(parse(filled, &c));
    assert_int_equal(c.eos_id, 5);
    assert_int_equal(c.dtype, PLUMB_BF16);
    assert_true(c.tied);
}

/* The files of the reference checkpoints, in form 4 or 5, and a folder without one. */
static void folders(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *type;
        int heads, kv_heads, head_dim, layers;
    } rows[] = {{"olmo", "olmo", 4, 4, 16, 3},          {"olmo2", "olmo2", 4, 2, 16, 3},
                {"gemma-bf16", "gemma", 4, 1, 32, 3},   {"gemma2", "gemma2", 4, 2, 24, 4},
                {"gemma3", "gemma3_text", 4, 2, 24, 7}, {"llama3-bf16", "llama", 4, 2, 16, 3},
                {"mistral", "mistral", 4, 2, 16, 3},    {"qwen2-bf16", "qwen2", 4, 2, 16, 3},
                {"qwen3", "qwen3", 4, 2, 24, 3},        {"phi3", "phi3", 4, 2, 16, 3},
                {"gpt-neox", "gpt_neox", 4, 4, 16, 3}};
    plumb_config c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check_ok(plumb_config_load(oracle_path("models", rows[i].folder), &c));
        assert_string_equal(c.architecture->model_type, rows[i].type);
        assert_int_equal(c.vocab_size, i == 0 ? 1048 : 1024);
        assert_int_equal(c.heads, rows[i].heads);
        assert_int_equal(c.kv_heads, rows[i].kv_heads);
        assert_int_equal(c.head_dim, rows[i].head_dim);
        assert_int_equal(c.layers, rows[i].layers);
        assert_int_equal(c.max_positions, 512);
    }
    assert_says(plumb_config_load(scratch("nowhere"), &c), PLUMB_E_INPUT, "nowhere/config.json: not found");
    assert_says(plumb_config_load(scratch("nowhere"), &c), PLUMB_E_INPUT, "as downloaded from the Hub");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_configs), cmocka_unit_test(rope_kinds),        cmocka_unit_test(single_values),
        cmocka_unit_test(unusable_configs),  cmocka_unit_test(class_defaults),    cmocka_unit_test(required_keys),
        cmocka_unit_test(whole_files),       cmocka_unit_test(multimodal_config), cmocka_unit_test(folders),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
