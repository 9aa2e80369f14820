/* The forward pass: from a packed batch to final hidden states (after the last norm, the input of the unembedding).
 *
 *     plumb_forward *f;
 *     plumb_forward_new(model, &f);
 *     plumb_forward_run(f, &batch, &hidden);     hidden [batch.wanted.count][hidden_size], valid until the next run
 *     plumb_forward_free(f);
 *
 * In the last layer only wanted rows are queries; their keys and values come from all rows. */
#ifndef PLUMB_MODEL_FORWARD_H
#define PLUMB_MODEL_FORWARD_H

#include "base/sink.h"
#include "model/batch.h"
#include "model/cache.h"
#include "model/model.h"

typedef struct plumb_forward plumb_forward; /* the activations: grown to the largest batch seen */

plumb_status plumb_forward_new(const plumb_model *model, plumb_forward **out) PLUMB_MUST_USE;
void plumb_forward_free(plumb_forward *f);

/* The sink is asked before each layer whether to stop (PLUMB_E_INTERRUPTED); NULL: never. Borrowed. */
void plumb_forward_watch(plumb_forward *f, const plumb_sink *sink);

/* From now on the embedding and the layers are dropped from memory once they are used, and the next layer is read
 * meanwhile: for checkpoints larger than the memory, with batches large enough to hide the reading. Changes no result.
 * The model must outlive f. */
plumb_status plumb_forward_stream(plumb_forward *f) PLUMB_MUST_USE;

/* Called with the residual stream x [rows][d] after the embedding (layer 0) and after layers 1 .. layers - 1, all rows
 * of the batch. For inspection and tests. */
typedef void plumb_observe(void *user, int layer, const float *x, int rows, int d);
void plumb_forward_observe(plumb_forward *f, plumb_observe *observe, void *user);

/* Final hidden states of the wanted rows. Token ids outside the embedding and weights with NaN are PLUMB_E_INPUT. */
plumb_status plumb_forward_run(plumb_forward *f, const plumb_batch *batch, const float **hidden) PLUMB_MUST_USE;

/* The same for a batch that was made by plumb_batch_extend: keys and values of its rows are put into the cache, and its
 * segments read them there. wanted may be empty; then *hidden holds nothing. A state has the bits that
 * plumb_forward_run gives for a group of one branch whose shared prefix is the extended sequence's `prefix` (where
 * inputs are rounded, the second branch of a pair differs from it: plumb_partners in compute.h). */
plumb_status plumb_forward_extend(plumb_forward *f, const plumb_batch *batch, plumb_cache *cache,
                                  const float **hidden) PLUMB_MUST_USE;

/* Bytes of activations for a batch of `rows` rows of which `wanted` are wanted, for plans; without the rotary tables
 * (layer.h). */
int64_t plumb_forward_bytes(const plumb_config *c, int rows, int wanted);

/* The least floating-point operations of a batch (multiply and add counted apart): all linears of the layers and the
 * scores and sums of attention; no unembedding. */
double plumb_forward_flops(const plumb_config *c, const plumb_batch *batch);

#endif
