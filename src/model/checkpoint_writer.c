#include "model/checkpoint_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "io/output.h"

enum { PIECE = 1 << 18 }; /* elements that are written at once */

/* What a run of the writer knows. */
typedef struct writer {
    const char *folder;
    const plumb_tensor_spec *specs;
    size_t count;
    uint64_t shard_bytes;
    int shards;
    plumb_give_weights give;
    void *user;
    float *wide;  /* [PIECE] as given */
    void *narrow; /* [PIECE] as stored */
} writer;

static int64_t elements(const plumb_tensor_spec *spec)
{
    int64_t count = 1;
    for (int i = 0; i < spec->dims; i++) count *= spec->shape[i];
    return count;
}

static uint64_t bytes(const plumb_tensor_spec *spec)
{
    return (uint64_t)elements(spec) * plumb_dtype_size(spec->dtype);
}

/* How many of the tensors from `first` on go into one file: as many as fit, at least one. */
static size_t shard_length(const writer *w, size_t first)
{
    uint64_t sum = 0;
    size_t i = first;
    for (; i < w->count; i++) {
        sum += bytes(&w->specs[i]);
        if (i > first && sum > w->shard_bytes) break;
    }
    return i - first;
}

static void shard_name(const writer *w, int shard, char *name, size_t size)
{
    if (w->shards == 1)
        snprintf(name, size, "model.safetensors");
    else
        snprintf(name, size, "model-%05d-of-%05d.safetensors", shard + 1, w->shards);
}

static plumb_status write_tensor(const writer *w, plumb_tensors_writer *file, size_t tensor)
{
    const plumb_tensor_spec *spec = &w->specs[tensor];
    int64_t count = elements(spec);
    for (int64_t first = 0; first < count; first += PIECE) {
        int64_t n = count - first < PIECE ? count - first : PIECE;
        PLUMB_TRY(w->give(w->user, tensor, first, n, w->wide));
        for (int64_t i = 0; i < n; i++) plumb_narrow(w->narrow, spec->dtype, (size_t)i, w->wide[i]);
        PLUMB_TRY(plumb_tensors_write(file, w->narrow, (size_t)n * plumb_dtype_size(spec->dtype)));
    }
    return PLUMB_OK;
}

static plumb_status write_shard(const writer *w, const char *path, size_t first, size_t count)
{
    plumb_tensors_writer *file = NULL;
    PLUMB_TRY(plumb_tensors_create(path, w->specs + first, count, &file));
    plumb_status s = PLUMB_OK;
    for (size_t i = first; i < first + count && !s; i++) s = write_tensor(w, file, i);
    if (!s) return plumb_tensors_finish(file);
    plumb_tensors_abandon(file);
    return s;
}

/* Calls for each shard: its file name and which tensors it holds. */
static plumb_status write_shards(const writer *w)
{
    plumb_text path = {0};
    plumb_status s = PLUMB_OK;
    char name[64];
    int shard = 0;
    for (size_t first = 0; first < w->count && !s; shard++) {
        size_t length = shard_length(w, first);
        shard_name(w, shard, name, sizeof name);
        plumb_text_clear(&path);
        s = plumb_path_join(&path, w->folder, name);
        if (!s) s = write_shard(w, path.data, first, length);
        first += length;
    }
    plumb_text_free(&path);
    return s;
}

static plumb_status index_text(const writer *w, plumb_text *text)
{
    uint64_t total = 0;
    char name[64];
    int shard = 0;
    for (size_t i = 0; i < w->count; i++) total += bytes(&w->specs[i]);
    PLUMB_TRY(plumb_text_printf(text, "{\n  \"metadata\": {\"total_size\": %" PRIu64 "},\n  \"weight_map\": {", total));
    for (size_t first = 0; first < w->count; shard++) {
        size_t length = shard_length(w, first);
        shard_name(w, shard, name, sizeof name);
        for (size_t i = first; i < first + length; i++)
            PLUMB_TRY(plumb_text_printf(text, "%s\n    \"%s\": \"%s\"", i ? "," : "", w->specs[i].name, name));
        first += length;
    }
    return plumb_text_string(text, "\n  }\n}\n");
}

static plumb_status write_index(const writer *w)
{
    plumb_text text = {0}, path = {0};
    plumb_status s = index_text(w, &text);
    if (!s) s = plumb_path_join(&path, w->folder, "model.safetensors.index.json");
    if (!s) s = plumb_write_file(path.data, text.data, text.size);
    plumb_text_free(&text);
    plumb_text_free(&path);
    return s;
}

static uint64_t shard_limit(uint64_t shard_bytes)
{
    return shard_bytes ? shard_bytes : (uint64_t)PLUMB_SHARD_GIGABYTES * 1000000000u;
}

int plumb_checkpoint_files(const plumb_tensor_spec *specs, size_t count, uint64_t shard_bytes)
{
    writer w = {.specs = specs, .count = count, .shard_bytes = shard_limit(shard_bytes)};
    for (size_t first = 0; first < count; first += shard_length(&w, first)) w.shards++;
    return w.shards;
}

plumb_status plumb_checkpoint_write(const char *folder, const plumb_tensor_spec *specs, size_t count,
                                    uint64_t shard_bytes, plumb_give_weights give, void *user)
{
    writer w = {.folder = folder,
                .specs = specs,
                .count = count,
                .shard_bytes = shard_limit(shard_bytes),
                .shards = plumb_checkpoint_files(specs, count, shard_bytes),
                .give = give,
                .user = user};
    plumb_status s = plumb_new_aligned(&w.wide, PIECE, sizeof(float));
    if (!s) s = plumb_new_aligned(&w.narrow, PIECE, sizeof(float));
    if (!s) s = write_shards(&w);
    if (!s && w.shards > 1) s = write_index(&w);
    free(w.wide);
    free(w.narrow);
    return s;
}
