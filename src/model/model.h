/* A checkpoint opened for use: its configuration and its weights as views into the mapped files.
 *
 *     plumb_model *m;
 *     plumb_model_open("olmo-1b", compute, &m);
 *     ... forward.h ...
 *     plumb_model_close(m);
 */
#ifndef PLUMB_MODEL_MODEL_H
#define PLUMB_MODEL_MODEL_H

#include "base/memory.h"
#include "compute/compute.h"
#include "io/prefetch.h"
#include "io/safetensors.h"
#include "model/config.h"

/* One layer. A norm with d == 0 is not there. Linears are views; norm weights and biases are widened copies. */
typedef struct plumb_layer {
    plumb_norm input_norm, post_attention_norm, pre_mlp_norm, post_mlp_norm;
    plumb_norm q_norm, k_norm;
    plumb_linear q, k, v; /* INTERLEAVED: q alone, [3 heads head_dim][hidden] */
    plumb_linear o;
    plumb_linear gate, up, down; /* PLAIN: no gate */
    int window;                  /* 0: none */
    bool local_rope;
} plumb_layer;

/* Where the weights of a model come from: the checkpoint it was opened from, or memory that a trainer owns. */
typedef struct plumb_weight {
    const void *data; /* NULL: there is none (the gradient of a frozen weight) */
    plumb_dtype dtype;
} plumb_weight;

typedef struct plumb_weight_source {
    /* The weight called `name`, of exactly this shape. */
    plumb_status (*find)(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out);
    void *user;
    bool
        vectors_in_place; /* norm weights and biases are fp32 and used where they are, without the 1 of Gemma's norms */
} plumb_weight_source;

#define PLUMB_SCORE_NAME "score" /* of the reward head, for every architecture */

typedef struct plumb_model {
    plumb_config config;
    plumb_compute *compute; /* borrowed */
    const char *folder;     /* as it was given, for messages; NULL where it was not opened from one */
    plumb_tensors *tensors;
    plumb_layer *layers;  /* [config.layers] */
    plumb_linear embed;   /* [vocab][hidden] */
    plumb_linear unembed; /* PLUMB_HEAD_TOKENS */
    plumb_linear score;   /* [1][hidden] PLUMB_HEAD_SCORE */
    plumb_norm final_norm;
    const struct plumb_adapter *adapter; /* borrowed; NULL: none (plumb_model_attach in adapter.h) */
    plumb_weight_source source;
    const float *fresh_score;      /* [hidden] where the checkpoint has no reward head */
    bool *used;                    /* [tensors] which of them were bound */
    struct plumb_widened *widened; /* vectors that plumb_model_refresh reads again */
    plumb_arena arena;             /* layers, names, widened norms and biases */
} plumb_model;

/* Opens config.json and the safetensors of a folder. Every tensor that the configuration implies must be there with its
 * shape; PLUMB_E_INPUT names the first that is not. So does it name layers beyond those of the configuration and biases
 * that it says are not there: half a model and a model without its biases give other results, without a sign. Other
 * tensors that are not used (buffers, a tied lm_head, a vision tower) are passed over. Norm weights and biases are
 * checked for NaN, large matrices when they are first used (plumb_compute_check). The compute context must outlive the
 * model. */
plumb_status plumb_model_open(const char *folder, plumb_compute *compute, plumb_model **out) PLUMB_MUST_USE;

/* The same with a head that gives one number in the place of the unembedding (config.head is PLUMB_HEAD_SCORE): a
 * reward model, which plumb_model_open refuses. A language model gets a fresh head, *fresh is true: normal with the
 * deviation initializer_range, as transformers makes it, from `seed`. */
plumb_status plumb_model_open_score(const char *folder, plumb_compute *compute, uint64_t seed, plumb_model **out,
                                    bool *fresh) PLUMB_MUST_USE;
void plumb_model_close(plumb_model *m);

/* The same from another source: the masters that a trainer holds, or, with vectors_in_place, their gradients: the
 * layers of such a model point into the memory of the source, so that layers[i].q.weight is where the gradient of that
 * matrix is added up. The source must outlive the model. */
plumb_status plumb_model_bind(const plumb_config *config, plumb_compute *compute, const plumb_weight_source *source,
                              plumb_model **out) PLUMB_MUST_USE;

/* Reads norm weights and biases again from their source, after a trainer changed them. */
plumb_status plumb_model_refresh(plumb_model *m) PLUMB_MUST_USE;

/* For models larger than the memory: the mapped weights of layer i (-1: the embedding, config.layers: the unembedding)
 * will be wanted soon, so that `ahead` reads them, or not for a while (their pages leave the memory). A pass asks for
 * the layer behind the one it computes; what nobody asked for is read when it is used. Only for models opened from a
 * folder. */
void plumb_model_want_layer(const plumb_model *m, int i, plumb_prefetch *ahead);
void plumb_model_drop_layer(const plumb_model *m, int i);

/* plumb_compute_check, with the checkpoint named. */
plumb_status plumb_model_check(const plumb_model *m) PLUMB_MUST_USE;

/* The tensors that a configuration implies, in the order of the layers: for `plumb init` and for counting. Calls visit
 * for each; stops at the first failure. */
typedef struct plumb_tensor_visit {
    plumb_status (*visit)(void *user, const char *name, int dims, const int64_t *shape);
    void *user;
} plumb_tensor_visit;
plumb_status plumb_config_tensors(const plumb_config *c, const plumb_tensor_visit *visit) PLUMB_MUST_USE;

/* XXH3-64 over the headers, config.json, the files of the tokenizer and its chat template, and 64 KiB samples of each
 * tensor (first, middle, last); with `full` over all bytes of the tensors. */
plumb_status plumb_model_hash(const char *folder, bool full, uint64_t *out) PLUMB_MUST_USE;
/* The same over the text side alone: config.json, the files of the tokenizer and the chat template, each with its
 * presence and length, and the file that stands in for the template (NULL: none). No weights need be there. */
plumb_status plumb_text_hash(const char *folder, const char *chat_template, uint64_t *out) PLUMB_MUST_USE;

#endif
