/* Master weights: every trainable tensor of a model in fp32, with its gradient beside it. The two models bound to them
 * (values, gradients) are what the forward and backward passes use. */
#ifndef PLUMB_TRAIN_MASTERS_H
#define PLUMB_TRAIN_MASTERS_H

#include "model/model.h"

typedef struct plumb_master {
    const char *name; /* as in the checkpoint */
    int dims;
    int64_t shape[2];
    size_t count;
    float *value, *gradient;
    bool decay; /* weight decay applies: matrices, not norms and biases (as transformers' Trainer) */
} plumb_master;

typedef struct plumb_masters {
    plumb_master *list; /* in the order of the layers */
    size_t count;
    size_t elements; /* of all tensors */
    plumb_model *values, *gradients;
    plumb_arena arena;
} plumb_masters;

/* Widens all weights of `base` (which may be closed afterwards). Weights that hold a NaN or an infinity are
 * PLUMB_E_INPUT naming the tensor. */
plumb_status plumb_masters_new(const plumb_model *base, plumb_masters **out) PLUMB_MUST_USE;
void plumb_masters_free(plumb_masters *m);

void plumb_masters_zero_gradients(plumb_masters *m);

/* After the values changed: norm weights and biases that the model holds as copies are read again. */
plumb_status plumb_masters_changed(plumb_masters *m) PLUMB_MUST_USE;

/* Writes the values as FOLDER/model.safetensors in `dtype` (rounded to nearest even), shards with an index above 5 GB.
 */
plumb_status plumb_masters_save(const plumb_masters *m, const char *folder, plumb_dtype dtype) PLUMB_MUST_USE;

/* Bytes of masters and gradients together, for plans. */
int64_t plumb_masters_bytes(const plumb_config *c);

#endif
