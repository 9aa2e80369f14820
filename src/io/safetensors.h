/* Tensors of a Hugging Face checkpoint folder: model.safetensors, or the shards that model.safetensors.index.json
 * names.
 *
 * Format (github.com/huggingface/safetensors): 8 bytes little-endian header length N, N bytes of JSON
 * {"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {...}}, then the data. */
#ifndef PLUMB_IO_SAFETENSORS_H
#define PLUMB_IO_SAFETENSORS_H

#include <stdint.h>

#include "base/dtype.h"
#include "base/status.h"

enum { PLUMB_MAX_DIMS = 8 };

typedef struct plumb_tensor {
    const char *name;       /* owned by the set */
    const char *dtype_name; /* as stored: "BF16", "I64", ... */
    bool is_weight; /* F32, F16 or BF16: `dtype` is valid; other types are listed but cannot be used as weights */
    plumb_dtype dtype;
    int dims;
    int64_t shape[PLUMB_MAX_DIMS];
    int64_t count;    /* product of shape */
    const void *data; /* into the mapping; aligned at least to the element size */
    uint64_t bytes;
    int file; /* which file of the set */
} plumb_tensor;

typedef struct plumb_tensors plumb_tensors; /* owns the mappings and the table */

/* Opens a folder. Checks before anything is used: header length against file size (at most 100 MB, as the reference
 * library), JSON, known dtypes, shapes without overflow, offsets inside the data, of the size that shape and dtype
 * give, without overlap or holes; shards present, each tensor of the index in the shard it names, no tensor twice. A
 * folder with only pytorch_model*.bin, *.gguf or adapter_model.safetensors is an error with the cure. */
plumb_status plumb_tensors_open(const char *folder, plumb_tensors **out) PLUMB_MUST_USE;

/* One file. */
plumb_status plumb_tensors_open_file(const char *path, plumb_tensors **out) PLUMB_MUST_USE;
void plumb_tensors_close(plumb_tensors *set);

/* All tensors, sorted by name. */
const plumb_tensor *plumb_tensors_list(const plumb_tensors *set, size_t *count);
/* The tensor with that name, or NULL. O(log n). */
const plumb_tensor *plumb_tensors_find(const plumb_tensors *set, const char *name);
/* The files of the set, in the order of their names: path, and the JSON text of the header (for hashing; borrowed) with
 * its size. */
int plumb_tensors_files(const plumb_tensors *set);
const char *plumb_tensors_file(const plumb_tensors *set, int file, const uint8_t **header, size_t *header_size);

/* Writing: the header is laid out from the list (name, dtype, shape), then the data is appended tensor by tensor in the
 * same order, in pieces of any size. Tensors of wider types come first, so that each is aligned; a broken list (names
 * twice, bad shapes, misaligned) is PLUMB_E_INTERNAL. Atomic like every output (io/output.h): the file appears under
 * `path` on close. */
typedef struct plumb_tensors_writer plumb_tensors_writer;
typedef struct plumb_tensor_spec {
    const char *name;
    plumb_dtype dtype;
    int dims;
    int64_t shape[PLUMB_MAX_DIMS];
} plumb_tensor_spec;

plumb_status plumb_tensors_create(const char *path, const plumb_tensor_spec *specs, size_t count,
                                  plumb_tensors_writer **out) PLUMB_MUST_USE;
plumb_status plumb_tensors_write(plumb_tensors_writer *w, const void *bytes, size_t count) PLUMB_MUST_USE;
/* Completes the file when all bytes have come (else PLUMB_E_INTERNAL) and frees w in any case. */
plumb_status plumb_tensors_finish(plumb_tensors_writer *w) PLUMB_MUST_USE;
/* Drops the file and frees w; NULL is fine. */
void plumb_tensors_abandon(plumb_tensors_writer *w);

#endif
