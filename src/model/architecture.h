/* The architectures: one table row each. A new one is a row here, if its parts exist.
 *
 * Facts are from the model definitions in transformers (src/transformers/models/MODEL/modeling_MODEL.py); MODEL.md
 * tells them in prose. */
#ifndef PLUMB_MODEL_ARCHITECTURE_H
#define PLUMB_MODEL_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "compute/compute.h"

/* Where the norms of a layer stand. */
typedef enum plumb_norm_place {
    PLUMB_NORM_PRE,      /* x += f(norm(x)) */
    PLUMB_NORM_POST,     /* x += norm(f(x))         (OLMo 2) */
    PLUMB_NORM_SANDWICH, /* x += norm(f(norm(x)))   (Gemma 2, 3) */
} plumb_norm_place;

/* How stored norm weights are meant. */
typedef enum plumb_norm_weight {
    PLUMB_WEIGHT_NONE,     /* no weights stored: 1 (OLMo) */
    PLUMB_WEIGHT_PLAIN,    /* w */
    PLUMB_WEIGHT_ONE_PLUS, /* 1 + w (Gemma) */
} plumb_norm_weight;

typedef enum plumb_qk_norm {
    PLUMB_QK_NONE,
    PLUMB_QK_HEADS, /* each head by itself, one weight of head_dim (Qwen 3, Gemma 3) */
    PLUMB_QK_WHOLE, /* all heads of a row together (OLMo 2) */
} plumb_qk_norm;

typedef enum plumb_qkv_form {
    PLUMB_QKV_APART,       /* q_proj, k_proj, v_proj */
    PLUMB_QKV_STACKED,     /* one matrix: all q, then all k, then all v (Phi 3) */
    PLUMB_QKV_INTERLEAVED, /* one matrix: head by head q, k, v (GPT-NeoX) */
} plumb_qkv_form;

typedef enum plumb_mlp_form {
    PLUMB_MLP_GATED,   /* down(act(gate x) * up x) */
    PLUMB_MLP_STACKED, /* the same with gate and up in one matrix (Phi 3) */
    PLUMB_MLP_PLAIN,   /* down(act(up x)) (GPT-NeoX) */
} plumb_mlp_form;

/* Which layers have a sliding window when config.json does not list layer_types. */
typedef enum plumb_window_rule {
    PLUMB_WINDOW_NEVER,
    PLUMB_WINDOW_ALL,      /* Mistral, Phi 3 */
    PLUMB_WINDOW_EVEN,     /* layers 0, 2, ... (Gemma 2) */
    PLUMB_WINDOW_PATTERN,  /* all but every n-th, n = sliding_window_pattern, 6 by default (Gemma 3) */
    PLUMB_WINDOW_FROM_MAX, /* layers from max_window_layers on, with use_sliding_window (Qwen 2, 3) */
} plumb_window_rule;

/* Tensor names: printf patterns with one %d for the layer; NULL: the architecture has no such tensor. ".weight" and
 * ".bias" are appended. */
typedef struct plumb_tensor_names {
    const char *embed, *final_norm, *unembed;
    const char *input_norm;          /* before attention */
    const char *post_attention_norm; /* after attention, before the residual is added (POST, SANDWICH) */
    const char *pre_mlp_norm;        /* before the MLP */
    const char *post_mlp_norm;       /* after the MLP (POST, SANDWICH) */
    const char *q, *k, *v, *o;       /* q alone names the fused matrix of STACKED and INTERLEAVED */
    const char *q_norm, *k_norm;
    const char *gate, *up, *down; /* gate alone names the fused matrix of PLUMB_MLP_STACKED; PLAIN has no gate */
} plumb_tensor_names;

typedef struct plumb_architecture {
    const char *model_type;       /* in config.json */
    const char *class_name;       /* in "architectures" */
    const char *score_class_name; /* the same of a reward model */
    plumb_norm_kind norm;
    plumb_norm_place place;
    plumb_norm_weight norm_weight;
    bool norm_bias;
    const char *eps_key;
    double eps; /* where the key is missing */
    plumb_qk_norm qk_norm;
    plumb_qkv_form qkv;
    plumb_mlp_form mlp;
    plumb_activation activation; /* where the config names none */
    const char *activation_key;
    bool gelu_means_tanh;     /* the first Gemma's published configs say "gelu" and mean the tanh form */
    bool no_padding_row;      /* transformers makes the embedding without padding_idx (GPT-NeoX) */
    bool embed_scaled;        /* embeddings times sqrt(hidden_size) */
    bool tied;                /* where the config does not say */
    bool qkv_bias;            /* always (Qwen 2) */
    const char *bias_key;     /* boolean key for the biases of q, k, v and o ("attention_bias"), or NULL */
    bool bias;                /* where that key is missing */
    const char *mlp_bias_key; /* boolean key for the biases of the MLP, or NULL */
    bool mlp_bias;            /* where that key is missing, or always without a key */
    int head_dim;             /* where the config has none; 0: hidden_size / heads */
    bool query_scalar;        /* attention scale from query_pre_attn_scalar; soft caps of attention and logits */
    bool clips;               /* q, k and v are clipped to "clip_qkv", if there is one (OLMo) */
    bool parallel;            /* attention and MLP read the same stream, unless "use_parallel_residual" is false */
    const char *theta_key;    /* rotary base in form 4; NULL: "rope_theta" */
    const char *rotary_key;   /* share of each head that is turned in form 4; NULL: always all of it */
    double rotary_factor;     /* that share, where the config does not say */
    double local_theta;       /* rotary base of window layers (Gemma 3); 0: the same */
    plumb_window_rule window;
    const char *defaults; /* JSON of what transformers assumes for other keys that are missing, or NULL */
    int sizes[5];         /* vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads that
                             transformers         assumes: the text_config of a multimodal model lists only what is different */
    const plumb_tensor_names *names;
} plumb_architecture;

/* All rows; *count of them. */
const plumb_architecture *plumb_architectures(size_t *count);
/* The row of a model_type, or NULL. */
const plumb_architecture *plumb_architecture_find(const char *model_type);

/* An activation as config.json spells it. */
const char *plumb_activation_name(plumb_activation activation);

#endif
