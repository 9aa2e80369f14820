/* Writing the weights of a checkpoint folder: one model.safetensors, or shards of at most `shard_bytes` with
 * model.safetensors.index.json, one tensor at a time, so that memory stays small. */
#ifndef PLUMB_MODEL_CHECKPOINT_WRITER_H
#define PLUMB_MODEL_CHECKPOINT_WRITER_H

#include "io/safetensors.h"

/* Gives elements first .. first + count - 1 of tensor number `tensor` in fp32. */
typedef plumb_status (*plumb_give_weights)(void *user, size_t tensor, int64_t first, int64_t count, float *out);

enum { PLUMB_SHARD_GIGABYTES = 5 };

/* Writes the tensors in the order of the list, each in its spec's dtype (rounded to nearest even); wider dtypes must
 * come first within a file, which a list of one dtype is. The folder must exist. Each file appears complete or not at
 * all. shard_bytes 0: the default of 5 GB. `give` is asked for one piece after another from first to last, so that it
 * is also the place to report progress and to stop. */
plumb_status plumb_checkpoint_write(const char *folder, const plumb_tensor_spec *specs, size_t count,
                                    uint64_t shard_bytes, plumb_give_weights give, void *user) PLUMB_MUST_USE;

/* How many files of weights that makes. */
int plumb_checkpoint_files(const plumb_tensor_spec *specs, size_t count, uint64_t shard_bytes);

#endif
