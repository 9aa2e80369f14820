/* Master weights: every trainable tensor in fp32, with its gradient beside it. The two models bound to them (values,
 * gradients) are what the forward and backward passes use.
 *
 * What is trained is either all tensors of a model or the matrices of a LoRA adapter, with its reward head. Then the
 * values' own weights stay where the base model has them, in the mapped checkpoint, and the gradients' are NULL. */
#ifndef PLUMB_TRAIN_MASTERS_H
#define PLUMB_TRAIN_MASTERS_H

#include "model/adapter.h"

typedef struct plumb_master {
    const char *name; /* as in the file: of the checkpoint or of the adapter */
    int dims;
    int64_t shape[2];
    size_t count;
    float *value, *gradient; /* the masters', or their adapters' memory */
    bool decay;              /* weight decay applies: matrices, not norms and biases (as transformers' Trainer) */
} plumb_master;

typedef struct plumb_masters {
    plumb_master *list; /* in the order of the layers */
    size_t count;
    size_t elements; /* of all tensors */
    plumb_model *values, *gradients;
    plumb_adapter *adapter, *adapter_gradients; /* attached to them; NULL: all tensors are trained */
    plumb_arena arena;
} plumb_masters;

/* Widens all weights of `base` (which may be closed afterwards); the pages of a mapped checkpoint leave the memory on
 * the way. Weights that hold a NaN or an infinity are PLUMB_E_INPUT naming the tensor. */
plumb_status plumb_masters_new(const plumb_model *base, plumb_masters **out) PLUMB_MUST_USE;

/* Copies the matrices of `start`, an adapter of `base` (attached to it or not), to train them; the base model must
 * outlive the masters and does not change. lora_dropout other than 0 is PLUMB_E_INPUT. */
plumb_status plumb_masters_of_adapter(const plumb_model *base, const plumb_adapter *start,
                                      plumb_masters **out) PLUMB_MUST_USE;
void plumb_masters_free(plumb_masters *m);

void plumb_masters_zero_gradients(plumb_masters *m);

/* When the gradients of a step are all there, before they are read: plumb_adapter_gather. */
void plumb_masters_gather_gradients(plumb_masters *m);

/* After the values changed: norm weights and biases that the model holds as copies are read again. */
plumb_status plumb_masters_changed(plumb_masters *m) PLUMB_MUST_USE;

/* Every value of m becomes alpha of that of `other`, which has the same tensors, and 1 - alpha of its own (TR-DPO). */
plumb_status plumb_masters_mix(plumb_masters *m, const plumb_masters *other, double alpha) PLUMB_MUST_USE;

/* Writes the values as FOLDER/model.safetensors in `dtype` (rounded to nearest even), shards with an index above 5 GB;
 * an adapter as a folder of PEFT that names the base model's (plumb_adapter_save). */
plumb_status plumb_masters_save(const plumb_masters *m, const char *folder, plumb_dtype dtype) PLUMB_MUST_USE;

/* Bytes of masters and gradients together when all tensors are trained, for plans; of an adapter 8 times
 * plumb_adapter_elements. */
int64_t plumb_masters_bytes(const plumb_config *c);

#endif
