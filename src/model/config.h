/* What config.json says about a checkpoint, in one form for every architecture.
 *
 * Reads the transformers 4 form (rope_theta, rope_scaling, torch_dtype at the top) and the transformers 5 form
 * (rope_parameters, dtype). What differs between architectures beyond numbers is a row of the table in architecture.h.
 */
#ifndef PLUMB_MODEL_CONFIG_H
#define PLUMB_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"
#include "compute/compute.h"
#include "model/architecture.h"

typedef enum plumb_rope_kind { PLUMB_ROPE_DEFAULT, PLUMB_ROPE_LINEAR, PLUMB_ROPE_LLAMA3 } plumb_rope_kind;

typedef struct plumb_rope {
    plumb_rope_kind kind;
    double theta;
    double factor;                                                /* linear, llama3 */
    double low_freq_factor, high_freq_factor, original_positions; /* llama3 */
} plumb_rope;

/* What stands on top of the last norm. */
typedef enum plumb_head {
    PLUMB_HEAD_TOKENS, /* the unembedding: logits of the next token */
    PLUMB_HEAD_SCORE,  /* "score": one number, the reward (transformers' ...ForSequenceClassification) */
} plumb_head;

enum { PLUMB_MAX_LAYERS = 1024 };

typedef struct plumb_config {
    const plumb_architecture *architecture;
    int vocab_size; /* rows of the embedding; may exceed the tokenizer's size */
    int hidden_size, intermediate_size, layers;
    int heads, kv_heads, head_dim;
    int rotary; /* elements of each head that are turned; even, <= head_dim */
    int max_positions;
    double norm_eps;
    plumb_activation activation;
    bool tied; /* the unembedding is the embedding */
    bool qkv_bias, o_bias, mlp_bias;
    bool parallel_residual; /* GPT-NeoX: x + attention(norm1 x) + mlp(norm2 x) */
    double attention_scale;
    double attention_cap, final_cap;     /* 0: none */
    double clip_qkv;                     /* 0: none */
    double embed_scale;                  /* 1: none */
    plumb_rope rope, local_rope;         /* local_rope: window layers of Gemma 3; otherwise equal to rope */
    int window;                          /* sliding window in tokens; 0: none */
    bool window_layer[PLUMB_MAX_LAYERS]; /* does layer i use the window (and local_rope)? */
    plumb_head head;
    plumb_dtype dtype;              /* what the checkpoint says it stores */
    int64_t bos_id, eos_id, pad_id; /* -1: none (the first one where a list is given) */
    int64_t padding_row;      /* row of the embedding that learns nothing as an input: transformers makes its embedding
                                 with padding_idx = pad_token_id; -1: none. As unembedding (tied) it does learn */
    double initializer_range; /* deviation of fresh weights; 0.02 where the config has none */
} plumb_config;

/* Reads FOLDER/config.json. PLUMB_E_INPUT, with file and key, for unknown architectures, values out of range, rope
 * kinds, activations, quantised weights and other features that are not supported. */
plumb_status plumb_config_load(const char *folder, plumb_config *out) PLUMB_MUST_USE;

/* Parses the text of a config.json; `what` names it in messages. */
plumb_status plumb_config_parse(const char *text, size_t n, const char *what, plumb_config *out) PLUMB_MUST_USE;

/* Number of parameters that the configuration implies, embeddings counted once when tied. */
int64_t plumb_config_parameters(const plumb_config *c);

/* The most inputs that a linear of a layer has. */
int plumb_config_depth(const plumb_config *c);

#endif
