/* LoRA (Hu et al. 2021, arXiv 2106.09685): linears of a model with a low-rank addition,
 *
 *     y = x W^T + scale (x A^T) B^T      A [r][k], B [n][r], scale = lora_alpha / r, or lora_alpha / sqrt(r) (rsLoRA,
 *                                        Kalajdzievski 2023, arXiv 2312.03732)
 *
 * W + scale B A is never formed. Forward and backward passes use the adapter that is attached to their model:
 *
 *     plumb_adapter *a;
 *     plumb_adapter_new(model, &(plumb_adapter_options){.r = 16, .alpha = 32}, &a);     or plumb_adapter_load
 *     plumb_model_attach(model, a);
 *     ... forward.h, backward.h ...
 *     plumb_adapter_free(a);                                 after the model is closed or another one is attached
 *
 * Which linears are adapted is told by PEFT's rule: a target is the name of a module ("model.layers.0.mlp.up_proj") or
 * its end after a dot ("up_proj", "mlp.up_proj"). A fused matrix (qkv_proj of Phi 3, query_key_value of GPT-NeoX) is
 * one module with one A. The embedding and the unembedding are never adapted. The adapter of a model with a reward head
 * (PLUMB_HEAD_SCORE) has a head of its own in the place of the model's, trained in full: PEFT's task type SEQ_CLS,
 * which puts "score" among modules_to_save. */
#ifndef PLUMB_MODEL_ADAPTER_H
#define PLUMB_MODEL_ADAPTER_H

#include "model/model.h"

/* The low-rank addition to one linear of a layer. */
typedef struct plumb_low_rank {
    plumb_linear a; /* [r][k] fp32; of parts of one fused matrix the same one. n = 0: there is no addition */
    plumb_linear b; /* [n][r] fp32; the rows that belong to the part */
    float scale;
} plumb_low_rank;

enum { PLUMB_PROJECTIONS = 7 }; /* q, k, v, o, gate, up, down */

/* An adapted module, as the folder stores it. */
typedef struct plumb_adapted {
    const char *name;     /* "model.layers.0.self_attn.q_proj" */
    const char *names[2]; /* of A and B in the file: "base_model.model.NAME.lora_A.weight" */
    int n, k;
    float *a; /* [r][k] */
    float *b; /* [n][r] */
    int parts;
    float *part_a; /* gradients of a fused matrix: A's of the further parts [parts - 1][r][k]; else NULL */
} plumb_adapted;

typedef struct plumb_adapter {
    int r;
    double alpha, dropout; /* dropout: as adapter_config.json says; forward passes are without it */
    bool rslora;
    float scale;
    const char **targets; /* as given; of "all-linear" and the default the last components of the modules' names */
    size_t target_count;
    const char *base;    /* base_model_name_or_path of the folder it came from, or NULL */
    plumb_adapted *list; /* in the order of the layers */
    size_t count, capacity;
    plumb_low_rank (*layers)[PLUMB_PROJECTIONS]; /* [layer_count] views into the list */
    int layer_count;
    float *head;        /* [hidden_size] the reward head; NULL: the adapter of a language model */
    plumb_linear score; /* the same as a linear [1][hidden_size] */
    plumb_arena arena;  /* everything */
} plumb_adapter;

typedef struct plumb_adapter_options {
    int r;
    double alpha, dropout; /* dropout other than 0 is refused: passes are repeatable to the bit, as the cached log-probs
                              of the reference and the backward pass, which computes inputs again, need them */
    const char *const *targets;
    size_t target_count; /* 0: PEFT's default, the matrices that give q and v; one "all-linear": all of the layers */
    bool rslora;
    uint64_t seed;
} plumb_adapter_options;

/* The name of an adapter's reward head in the file. */
#define PLUMB_ADAPTER_SCORE "base_model.model." PLUMB_SCORE_NAME ".weight"

/* A fresh adapter for a model (borrowed for the call): B = 0, A uniform in +-1/sqrt(k), which is PEFT's
 * kaiming_uniform_(a = sqrt(5)), from plumb_uniform(seed, hash of the module's name, element); a reward head as the
 * model has it. A target that names no linear of the layers is PLUMB_E_INPUT listing those there are. */
plumb_status plumb_adapter_new(const plumb_model *m, const plumb_adapter_options *options,
                               plumb_adapter **out) PLUMB_MUST_USE;
void plumb_adapter_free(plumb_adapter *a); /* NULL is fine */

/* A copy of `from`, for the same model. */
plumb_status plumb_adapter_copy(const plumb_adapter *from, const plumb_model *m, plumb_adapter **out) PLUMB_MUST_USE;
/* Memory for its gradients: an adapter that is 0 everywhere. The parts of a fused matrix add up their gradients of A
 * apart, so that each is one chain over the rows of a step; plumb_adapter_gather adds them to that of the first part
 * and clears them. */
plumb_status plumb_adapter_gradients(const plumb_adapter *of, const plumb_model *m, plumb_adapter **out) PLUMB_MUST_USE;
void plumb_adapter_gather(plumb_adapter *gradients);

/* XXH3-64 of all that its forward pass depends on: scale, modules, weights, reward head. */
uint64_t plumb_adapter_hash(const plumb_adapter *a);

/* Trainable numbers: r (n + k) of each module, and the reward head. */
size_t plumb_adapter_elements(const plumb_adapter *a);

/* Lets the passes over `m` use `a` (borrowed); NULL: none. An adapter of another shape is PLUMB_E_INPUT. */
plumb_status plumb_model_attach(plumb_model *m, const plumb_adapter *a) PLUMB_MUST_USE;

/* r of the attached adapter; 0: none. */
static inline int plumb_model_rank(const plumb_model *m)
{
    return m->adapter ? m->adapter->r : 0;
}

/* The reward head that m uses: the attached adapter's, or its own. */
const plumb_linear *plumb_model_score(const plumb_model *m);

/* The addition to the linear w of layer l, both of model m, or NULL. */
const plumb_low_rank *plumb_low_rank_of(const plumb_model *m, const plumb_layer *l, const plumb_linear *w);

/* y [rows][n] += scale (x A^T) B^T with x [rows][k]; t [rows][r] is scratch. */
plumb_status plumb_low_rank_add(plumb_compute *c, const plumb_low_rank *w, const float *x, int rows, float *t,
                                float *y) PLUMB_MUST_USE;

/* The same backwards, from dy [rows][n]: with t = scale x A^T, computed again, and dt = scale dy B,
 *     dB += dy^T t,  dA += dt^T x,  dx += dt A.
 * g: where gradients are added up; NULL: frozen. dx [rows][k] may be NULL. t and dt [rows][r] are scratch. */
plumb_status plumb_low_rank_back(plumb_compute *c, const plumb_low_rank *w, const plumb_low_rank *g, const float *x,
                                 const float *dy, int rows, float *t, float *dt, float *dx) PLUMB_MUST_USE;

/* Rows first .. first + rows - 1 of the merged matrix: w [rows][k], those of W in fp32, += scale B A. scratch
 * [rows][r]. To write merged checkpoints; no pass uses it. */
plumb_status plumb_adapter_merge(plumb_compute *c, const plumb_adapter *a, const plumb_adapted *module, int first,
                                 int rows, float *scratch, float *w) PLUMB_MUST_USE;

/* Reads a folder of PEFT: adapter_config.json and adapter_model.safetensors, widened to fp32. PLUMB_E_INPUT with the
 * key and the reason for everything but plain LoRA (DoRA, modules_to_save beside a reward head, biases, ranks per
 * module, a part of the layers, ...), for tensors that are missing, too many or not finite, and, naming both, for an
 * adapter of another model. A model with a reward head lends it to an adapter that has none by its configuration,
 * unless it is a fresh one (PLUMB_E_INPUT). */
plumb_status plumb_adapter_load(const char *folder, const plumb_model *m, plumb_adapter **out) PLUMB_MUST_USE;

/* Writes such a folder, which must exist, so that PeftModel.from_pretrained loads it: the weights in `dtype`, rounded
 * to nearest even; base_path is what adapter_config.json calls the base model (NULL: null). */
plumb_status plumb_adapter_save(const plumb_adapter *a, const char *folder, const char *base_path,
                                plumb_dtype dtype) PLUMB_MUST_USE;

/* What adapter_config.json says before a model is there: is it the adapter of a reward model, and (appended to *base,
 * which may be NULL) of which one; nothing where it does not say. */
plumb_status plumb_adapter_about(const char *folder, bool *reward, plumb_text *base) PLUMB_MUST_USE;

/* Used by the reader: an adapter whose weights are all 0, with targets that may name nothing. */
plumb_status plumb_adapter_make(const plumb_model *m, const plumb_adapter_options *options,
                                plumb_adapter **out) PLUMB_MUST_USE;
/* Used by the reader: copies the model's own reward head into the adapter's, where there is one. */
void plumb_adapter_take_head(const plumb_adapter *a, const plumb_model *m);

#endif
