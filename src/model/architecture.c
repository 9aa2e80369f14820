#include "model/architecture.h"

#include <string.h>

#define L "model.layers.%d."

/* Names that most families have in common; the rows add their norms. */
#define COMMON .embed = "model.embed_tokens", .final_norm = "model.norm", .unembed = "lm_head"
#define APART                                                                                                          \
    COMMON, .q = L "self_attn.q_proj", .k = L "self_attn.k_proj", .v = L "self_attn.v_proj",                           \
            .o = L "self_attn.o_proj", .gate = L "mlp.gate_proj", .up = L "mlp.up_proj", .down = L "mlp.down_proj"
#define BEFORE .input_norm = L "input_layernorm", .pre_mlp_norm = L "post_attention_layernorm"
#define AFTER  .post_attention_norm = L "post_attention_layernorm", .post_mlp_norm = L "post_feedforward_layernorm"
#define AROUND .input_norm = L "input_layernorm", .pre_mlp_norm = L "pre_feedforward_layernorm", AFTER
#define QK     .q_norm = L "self_attn.q_norm", .k_norm = L "self_attn.k_norm"

static const plumb_tensor_names llama_names = {APART, BEFORE};
static const plumb_tensor_names qwen3_names = {APART, BEFORE, QK};
static const plumb_tensor_names olmo2_names = {APART, AFTER, QK};
static const plumb_tensor_names gemma2_names = {APART, AROUND};
static const plumb_tensor_names gemma3_names = {APART, AROUND, QK};

static const plumb_tensor_names phi3_names = {
    COMMON,
    BEFORE,
    .q = L "self_attn.qkv_proj",
    .o = L "self_attn.o_proj",
    .gate = L "mlp.gate_up_proj",
    .down = L "mlp.down_proj",
};
#undef L

#define L "gpt_neox.layers.%d."
static const plumb_tensor_names neox_names = {
    .embed = "gpt_neox.embed_in",
    .final_norm = "gpt_neox.final_layer_norm",
    .unembed = "embed_out",
    .input_norm = L "input_layernorm",
    .pre_mlp_norm = L "post_attention_layernorm",
    .q = L "attention.query_key_value",
    .o = L "attention.dense",
    .up = L "mlp.dense_h_to_4h",
    .down = L "mlp.dense_4h_to_h",
};
#undef L

/* What most rows have in common; a row names what is different. */
#define RMS(default_eps)                                                                                               \
    .norm = PLUMB_RMS_NORM, .norm_weight = PLUMB_WEIGHT_PLAIN, .eps_key = "rms_norm_eps", .eps = (default_eps),        \
    .activation = PLUMB_SILU, .activation_key = "hidden_act", .rotary_factor = 1.0
#define GEMMA                                                                                                          \
    .norm = PLUMB_RMS_NORM, .norm_weight = PLUMB_WEIGHT_ONE_PLUS, .eps_key = "rms_norm_eps", .eps = 1e-6,              \
    .activation = PLUMB_GELU_TANH, .embed_scaled = true, .tied = true, .bias_key = "attention_bias", .head_dim = 256,  \
    .rotary_factor = 1.0

static const plumb_architecture table[] = {
    {.model_type = "olmo",
     .class_name = "OlmoForCausalLM",
     .score_class_name = "OlmoForSequenceClassification",
     .norm = PLUMB_LAYER_NORM,
     .norm_weight = PLUMB_WEIGHT_NONE,
     .eps = 1e-5,
     .activation = PLUMB_SILU,
     .activation_key = "hidden_act",
     .bias_key = "attention_bias",
     .rotary_factor = 1.0,
     .clips = true,
     .defaults = "{\"pad_token_id\":1,\"max_position_embeddings\":2048}",
     .sizes = {50304, 4096, 11008, 32, 32},
     .names = &llama_names},
    {.model_type = "olmo2",
     .class_name = "Olmo2ForCausalLM",
     .score_class_name = "Olmo2ForSequenceClassification",
     RMS(1e-5),
     .place = PLUMB_NORM_POST,
     .qk_norm = PLUMB_QK_WHOLE,
     .bias_key = "attention_bias",
     .defaults = "{\"pad_token_id\":1,\"max_position_embeddings\":2048}",
     .sizes = {50304, 4096, 11008, 32, 32},
     .names = &olmo2_names},
    {.model_type = "gemma",
     .class_name = "GemmaForCausalLM",
     .score_class_name = "GemmaForSequenceClassification",
     GEMMA,
     .activation_key = "hidden_act",
     .gelu_means_tanh = true,
     .defaults = "{\"pad_token_id\":0,\"num_key_value_heads\":16,\"max_position_embeddings\":8192}",
     .sizes = {256000, 3072, 24576, 28, 16},
     .names = &llama_names},
    {.model_type = "gemma2",
     .class_name = "Gemma2ForCausalLM",
     .score_class_name = "Gemma2ForSequenceClassification",
     GEMMA,
     .activation_key = "hidden_activation",
     .place = PLUMB_NORM_SANDWICH,
     .query_scalar = true,
     .window = PLUMB_WINDOW_EVEN,
     .defaults =
         "{\"pad_token_id\":0,\"num_key_value_heads\":4,\"max_position_embeddings\":8192,\"query_pre_attn_scalar\":256,"
         "\"sliding_window\":4096,\"attn_logit_softcapping\":50.0,\"final_logit_softcapping\":30.0}",
     .sizes = {256000, 2304, 9216, 26, 8},
     .names = &gemma2_names},
    {.model_type = "gemma3_text",
     .class_name = "Gemma3ForCausalLM",
     .score_class_name = "Gemma3TextForSequenceClassification",
     GEMMA,
     .activation_key = "hidden_activation",
     .place = PLUMB_NORM_SANDWICH,
     .query_scalar = true,
     .qk_norm = PLUMB_QK_HEADS,
     .local_theta = 10000.0,
     .window = PLUMB_WINDOW_PATTERN,
     .defaults = "{\"pad_token_id\":0,\"num_key_value_heads\":4,\"max_position_embeddings\":131072,\"query_pre_attn_"
                 "scalar\":256,"
                 "\"rope_theta\":1000000.0,\"sliding_window\":4096}",
     .sizes = {262208, 2304, 9216, 26, 8},
     .names = &gemma3_names},
    {.model_type = "llama",
     .class_name = "LlamaForCausalLM",
     .score_class_name = "LlamaForSequenceClassification",
     RMS(1e-6),
     .bias_key = "attention_bias",
     .mlp_bias_key = "mlp_bias",
     .defaults = "{\"max_position_embeddings\":2048}",
     .sizes = {32000, 4096, 11008, 32, 32},
     .names = &llama_names},
    {.model_type = "mistral",
     .class_name = "MistralForCausalLM",
     .score_class_name = "MistralForSequenceClassification",
     RMS(1e-6),
     .window = PLUMB_WINDOW_ALL,
     .defaults = "{\"num_key_value_heads\":8,\"sliding_window\":4096,\"max_position_embeddings\":131072}",
     .sizes = {32000, 4096, 14336, 32, 32},
     .names = &llama_names},
    {.model_type = "qwen2",
     .class_name = "Qwen2ForCausalLM",
     .score_class_name = "Qwen2ForSequenceClassification",
     RMS(1e-6),
     .qkv_bias = true,
     .window = PLUMB_WINDOW_FROM_MAX,
     .defaults = "{\"num_key_value_heads\":32,\"max_position_embeddings\":32768,\"sliding_window\":4096,"
                 "\"max_window_layers\":28}",
     .sizes = {151936, 4096, 22016, 32, 32},
     .names = &llama_names},
    {.model_type = "qwen3",
     .class_name = "Qwen3ForCausalLM",
     .score_class_name = "Qwen3ForSequenceClassification",
     RMS(1e-6),
     .qk_norm = PLUMB_QK_HEADS,
     .head_dim = 128,
     .bias_key = "attention_bias",
     .window = PLUMB_WINDOW_FROM_MAX,
     .defaults = "{\"num_key_value_heads\":32,\"max_position_embeddings\":32768,\"sliding_window\":4096,"
                 "\"max_window_layers\":28}",
     .sizes = {151936, 4096, 22016, 32, 32},
     .names = &qwen3_names},
    {.model_type = "phi3",
     .class_name = "Phi3ForCausalLM",
     .score_class_name = "Phi3ForSequenceClassification",
     RMS(1e-5),
     .qkv = PLUMB_QKV_STACKED,
     .mlp = PLUMB_MLP_STACKED,
     .window = PLUMB_WINDOW_ALL,
     .rotary_key = "partial_rotary_factor",
     .defaults = "{\"pad_token_id\":32000,\"max_position_embeddings\":4096}",
     .sizes = {32064, 3072, 8192, 32, 32},
     .names = &phi3_names},
    {.model_type = "gpt_neox",
     .class_name = "GPTNeoXForCausalLM",
     .score_class_name = "GPTNeoXForSequenceClassification",
     .no_padding_row = true,
     .norm = PLUMB_LAYER_NORM,
     .norm_weight = PLUMB_WEIGHT_PLAIN,
     .norm_bias = true,
     .eps_key = "layer_norm_eps",
     .eps = 1e-5,
     .qkv = PLUMB_QKV_INTERLEAVED,
     .mlp = PLUMB_MLP_PLAIN,
     .activation = PLUMB_GELU,
     .activation_key = "hidden_act",
     .bias_key = "attention_bias",
     .bias = true,
     .mlp_bias = true,
     .parallel = true,
     .theta_key = "rotary_emb_base",
     .rotary_key = "rotary_pct",
     .rotary_factor = 0.25,
     .defaults = "{\"max_position_embeddings\":2048}",
     .sizes = {50432, 6144, 24576, 44, 64},
     .names = &neox_names},
};

const plumb_architecture *plumb_architectures(size_t *count)
{
    *count = sizeof table / sizeof *table;
    return table;
}

const plumb_architecture *plumb_architecture_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].model_type, model_type) == 0) return &table[i];
    return NULL;
}

const char *plumb_activation_name(plumb_activation activation)
{
    switch (activation) {
    case PLUMB_SILU:
        return "silu";
    case PLUMB_GELU:
        return "gelu";
    case PLUMB_GELU_TANH:
        return "gelu_pytorch_tanh";
    case PLUMB_RELU:
        return "relu";
    }
    return "";
}
