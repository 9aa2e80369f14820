/* The backward pass: from the gradient of the wanted hidden states to the gradients of all weights.
 *
 *     plumb_training *t;
 *     plumb_training_new(values, gradients, keep, &t);
 *     plumb_training_forward(t, &batch, &hidden);            hidden [wanted][d], in fp32 to the bit as
 *                                                        plumb_forward_run gives it
 *     ... loss, unembedding: dhidden [wanted][d] ...
 *     plumb_training_backward(t, &batch, dhidden, dembed);   adds to the gradients
 *
 * `values` and `gradients` are two models of one configuration (plumb_model_bind): the weights, and the memory where
 * their gradients are added up; a gradient that is NULL is not computed (frozen weights). What a layer's backward pass
 * needs is either kept from the forward pass (keep) or computed again from the stream before the layer: the results are
 * the same to the bit, only time and memory differ. */
#ifndef PLUMB_MODEL_BACKWARD_H
#define PLUMB_MODEL_BACKWARD_H

#include "base/sink.h"
#include "model/layer.h"

typedef struct plumb_training plumb_training;

plumb_status plumb_training_new(const plumb_model *values, const plumb_model *gradients, bool keep,
                                plumb_training **out) PLUMB_MUST_USE;
void plumb_training_free(plumb_training *t);

/* The sink is asked before each layer, forwards and backwards, whether to stop (PLUMB_E_INTERRUPTED); NULL: never.
 * Borrowed. A backward pass that was stopped leaves part of the gradients added. */
void plumb_training_watch(plumb_training *t, const plumb_sink *sink);

/* Final hidden states of the wanted rows, valid until the next forward. */
plumb_status plumb_training_forward(plumb_training *t, const plumb_batch *batch, const float **hidden) PLUMB_MUST_USE;

/* The backward pass of the last forward. dhidden [wanted][d] is used as scratch. dembed [rows][d] receives the gradient
 * of the embedded (scaled) rows, for plumb_embed_gradient: the caller adds it when the whole step is there, so that
 * sums over tied embeddings do not depend on batches; NULL where the embedding is frozen. */
plumb_status plumb_training_backward(plumb_training *t, const plumb_batch *batch, float *dhidden,
                                     float *dembed) PLUMB_MUST_USE;

/* Bytes for a batch of `rows` rows of which `wanted` are wanted. */
int64_t plumb_training_bytes(const plumb_config *c, int rows, int wanted, bool keep);

#endif
