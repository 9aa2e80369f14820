#include "io/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "io/json.h"
#include "io/mapped_file.h"
#include "io/output.h"

enum { LENGTH_BYTES = 8, HEADER_LIMIT = 100 * 1000 * 1000 }; /* the limit of the reference library */

typedef struct tensor_file {
    char *path; /* in the arena */
    plumb_mapped_file map;
    size_t header_size; /* of the JSON text behind the length */
} tensor_file;

struct plumb_tensors {
    tensor_file *files;
    size_t file_count, file_capacity;
    plumb_tensor *list; /* sorted by name once all files are in */
    size_t count, capacity;
    plumb_arena strings;
};

static const struct stored_type {
    const char *name;
    int size;
    bool is_weight;
    plumb_dtype dtype;
} stored_types[] = {
    {"F32", 4, true, PLUMB_F32},   {"F16", 2, true, PLUMB_F16},      {"BF16", 2, true, PLUMB_BF16},
    {"F64", 8, false, PLUMB_F32},  {"I64", 8, false, PLUMB_F32},     {"I32", 4, false, PLUMB_F32},
    {"I16", 2, false, PLUMB_F32},  {"I8", 1, false, PLUMB_F32},      {"U64", 8, false, PLUMB_F32},
    {"U32", 4, false, PLUMB_F32},  {"U16", 2, false, PLUMB_F32},     {"U8", 1, false, PLUMB_F32},
    {"BOOL", 1, false, PLUMB_F32}, {"F8_E4M3", 1, false, PLUMB_F32}, {"F8_E5M2", 1, false, PLUMB_F32},
};

static const struct stored_type *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof stored_types / sizeof *stored_types; i++)
        if (strcmp(name, stored_types[i].name) == 0) return &stored_types[i];
    return NULL;
}

static plumb_status download_again(plumb_status s)
{
    return plumb_cure(s, "the file is incomplete or damaged; download the file again");
}

/* ---- one tensor of a header ---- */

static plumb_status read_dtype(const json_t *entry, plumb_tensor *t, int *size)
{
    const char *name = NULL;
    PLUMB_TRY(plumb_json_string(entry, "dtype", &name));
    if (!name) return plumb_fail(PLUMB_E_INPUT, "\"dtype\" is missing");
    const struct stored_type *type = find_type(name);
    if (!type)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "unknown dtype \"%s\"", name),
                          "convert the checkpoint to F32, F16 or BF16");
    t->dtype_name = type->name;
    t->is_weight = type->is_weight;
    t->dtype = type->dtype;
    *size = type->size;
    return PLUMB_OK;
}

static plumb_status read_shape(const json_t *entry, plumb_tensor *t)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return plumb_fail(PLUMB_E_INPUT, "\"shape\" is %s; expected a list of integers", plumb_json_kind(shape));
    size_t dims = json_array_size(shape);
    if (dims > PLUMB_MAX_DIMS)
        return plumb_fail(PLUMB_E_INPUT, "\"shape\" has %zu dimensions; at most %d are supported", dims,
                          PLUMB_MAX_DIMS);
    t->dims = (int)dims;
    t->count = 1;
    for (size_t i = 0; i < dims; i++) {
        const json_t *item = json_array_get(shape, i);
        if (!json_is_integer(item))
            return plumb_fail(PLUMB_E_INPUT, "\"shape\" holds %s; expected integers", plumb_json_kind(item));
        t->shape[i] = json_integer_value(item);
        if (t->shape[i] < 0)
            return plumb_fail(PLUMB_E_INPUT, "\"shape\" holds the negative size %lld", (long long)t->shape[i]);
        if (__builtin_mul_overflow(t->count, t->shape[i], &t->count))
            return plumb_fail(PLUMB_E_INPUT, "the product of \"shape\" overflows 64 bits");
    }
    return PLUMB_OK;
}

static plumb_status read_offsets(const json_t *entry, uint64_t range[2])
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return plumb_fail(PLUMB_E_INPUT, "\"data_offsets\" is %s; expected a list of two integers",
                          json_is_array(offsets) ? "a list of another length" : plumb_json_kind(offsets));
    for (size_t i = 0; i < 2; i++) {
        const json_t *item = json_array_get(offsets, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return plumb_fail(PLUMB_E_INPUT, "\"data_offsets\" holds %s; expected two integers from 0",
                              json_is_integer(item) ? "a negative number" : plumb_json_kind(item));
        range[i] = (uint64_t)json_integer_value(item);
    }
    if (range[0] > range[1]) return plumb_fail(PLUMB_E_INPUT, "\"data_offsets\" ends before it begins");
    return PLUMB_OK;
}

/* Fills *t from its entry in the header, for data of `room` bytes at `data`. */
static plumb_status read_entry(const json_t *entry, const uint8_t *data, uint64_t room, plumb_tensor *t)
{
    int size = 0;
    int64_t bytes;
    uint64_t range[2];
    if (!json_is_object(entry))
        return plumb_fail(PLUMB_E_INPUT, "its entry is %s; expected an object", plumb_json_kind(entry));
    PLUMB_TRY(read_dtype(entry, t, &size));
    PLUMB_TRY(read_shape(entry, t));
    PLUMB_TRY(read_offsets(entry, range));
    if (__builtin_mul_overflow(t->count, (int64_t)size, &bytes))
        return plumb_fail(PLUMB_E_INPUT, "its size in bytes overflows 64 bits");
    t->bytes = range[1] - range[0];
    if (t->bytes != (uint64_t)bytes)
        return plumb_fail(PLUMB_E_INPUT, "\"data_offsets\" give %llu bytes, shape and dtype %s give %llu",
                          (unsigned long long)t->bytes, t->dtype_name, (unsigned long long)bytes);
    if (range[1] > room)
        return download_again(plumb_fail(PLUMB_E_INPUT,
                                         "its data end at byte %llu, but the file holds only %llu bytes of data",
                                         (unsigned long long)range[1], (unsigned long long)room));
    t->data = data + range[0];
    if (t->bytes &&
        (uintptr_t)t->data % (unsigned)size) /* the mapping begins on a page, so this is the place in the file */
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "its data are not aligned to the %d bytes of a %s", size, t->dtype_name),
            "write the file anew: load_file and save_file of safetensors.torch");
    return PLUMB_OK;
}

/* ---- one file ---- */

static plumb_status check_length(const plumb_mapped_file *map, uint64_t *length)
{
    static const char pointer[] = "version https://git-lfs";
    if (!map->size) return download_again(plumb_fail(PLUMB_E_INPUT, "the file is empty"));
    if (map->size >= sizeof pointer && memcmp(map->data, pointer, sizeof pointer - 1) == 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "a Git LFS pointer, not the weights"),
                          "fetch the weights: git lfs pull");
    if (map->size < LENGTH_BYTES)
        return download_again(plumb_fail(PLUMB_E_INPUT, "%zu bytes are too few for a safetensors file", map->size));
    *length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) *length = *length << 8 | map->data[i];
    if (*length > HEADER_LIMIT)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "a header of %llu bytes; at most %d are allowed",
                                     (unsigned long long)*length, HEADER_LIMIT),
                          "is this a safetensors file?");
    if (*length > map->size - LENGTH_BYTES)
        return download_again(plumb_fail(PLUMB_E_INPUT, "the header has %llu bytes, but the file ends after %zu",
                                         (unsigned long long)*length, map->size));
    return PLUMB_OK;
}

static plumb_status check_metadata(const json_t *metadata)
{
    const char *key;
    const json_t *value;
    if (!json_is_object(metadata))
        return plumb_fail(PLUMB_E_INPUT, "\"__metadata__\" is %s; expected an object", plumb_json_kind(metadata));
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return plumb_fail(PLUMB_E_INPUT, "\"__metadata__\" holds %s under \"%s\"; expected a string",
                              plumb_json_kind(value), key);
    }
    return PLUMB_OK;
}

static int by_place(const void *left, const void *right)
{
    const plumb_tensor *a = left, *b = right;
    if (a->data != b->data) return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Do the tensors, sorted by place, cover the data without overlap or hole? */
static plumb_status check_cover(const plumb_tensor *list, size_t count, const uint8_t *data, uint64_t size)
{
    uint64_t covered = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t begin = (uint64_t)((const uint8_t *)list[i].data - data);
        if (begin < covered)
            return plumb_fail(PLUMB_E_INPUT, "tensor \"%s\": its data overlap those of \"%s\"", list[i].name,
                              list[i - 1].name);
        if (begin > covered)
            return plumb_fail(PLUMB_E_INPUT, "tensor \"%s\": a hole of %llu bytes before its data", list[i].name,
                              (unsigned long long)(begin - covered));
        covered += list[i].bytes;
    }
    if (covered == size) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "%llu bytes at the end of the file belong to no tensor",
                      (unsigned long long)(size - covered));
}

static plumb_status add_tensors(plumb_tensors *set, const json_t *header, const uint8_t *data, uint64_t size)
{
    size_t first = set->count;
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)header, key, value)
    {
        if (strcmp(key, "__metadata__") == 0) {
            PLUMB_TRY(check_metadata(value));
            continue;
        }
        plumb_tensor t = {.file = (int)set->file_count - 1};
        plumb_status s = read_entry(value, data, size, &t);
        if (s) return plumb_context(s, "tensor \"%s\"", key);
        PLUMB_TRY(plumb_arena_copy(&set->strings, &t.name, key, strlen(key)));
        PLUMB_TRY(plumb_reserve(&set->list, &set->capacity, set->count + 1, sizeof *set->list));
        set->list[set->count++] = t;
    }
    size_t count = set->count - first;
    plumb_tensor *added = count ? set->list + first : NULL;
    if (count) qsort(added, count, sizeof *added, by_place);
    return check_cover(added, count, data, size);
}

static plumb_status read_file(plumb_tensors *set, tensor_file *file)
{
    uint64_t length = 0;
    json_t *header = NULL;
    PLUMB_TRY(check_length(&file->map, &length));
    const char *text = (const char *)file->map.data + LENGTH_BYTES;
    file->header_size = (size_t)length;
    PLUMB_TRY(download_again(plumb_json_parse_unique(text, file->header_size, "header", &header)));
    plumb_status s = json_is_object(header)
                         ? PLUMB_OK
                         : plumb_fail(PLUMB_E_INPUT, "the header is %s; expected an object", plumb_json_kind(header));
    if (!s)
        s = add_tensors(set, header, file->map.data + LENGTH_BYTES + length, file->map.size - LENGTH_BYTES - length);
    json_decref(header);
    return s;
}

static plumb_status add_file(plumb_tensors *set, const char *path)
{
    PLUMB_TRY(plumb_reserve(&set->files, &set->file_capacity, set->file_count + 1, sizeof *set->files));
    tensor_file *file = &set->files[set->file_count];
    *file = (tensor_file){0};
    PLUMB_TRY(plumb_arena_copy(&set->strings, &file->path, path, strlen(path)));
    PLUMB_TRY(plumb_map(path, &file->map));
    set->file_count++; /* from here on the set unmaps it */
    return plumb_context(read_file(set, file), "%s", path);
}

/* ---- the set ---- */

static int by_name(const void *left, const void *right)
{
    return strcmp(((const plumb_tensor *)left)->name, ((const plumb_tensor *)right)->name);
}

static plumb_status sort_set(plumb_tensors *set)
{
    if (set->count) qsort(set->list, set->count, sizeof *set->list, by_name);
    for (size_t i = 1; i < set->count; i++)
        if (strcmp(set->list[i - 1].name, set->list[i].name) == 0)
            return plumb_fail(PLUMB_E_INPUT, "%s: tensor \"%s\" is also in %s", set->files[set->list[i].file].path,
                              set->list[i].name, set->files[set->list[i - 1].file].path);
    return PLUMB_OK;
}

/* One line of the index: tensor name and shard. */
typedef struct placed {
    const char *tensor, *shard;
} placed;

static int by_shard(const void *left, const void *right)
{
    return strcmp(((const placed *)left)->shard, ((const placed *)right)->shard);
}

static plumb_status list_placed(const json_t *index, placed **out, size_t *count)
{
    const json_t *map = json_object_get(index, "weight_map");
    if (!json_is_object(map) || !json_object_size(map))
        return plumb_fail(PLUMB_E_INPUT, "\"weight_map\" is %s; expected an object that names a shard for each tensor",
                          json_is_object(map) ? "empty" : plumb_json_kind(map));
    PLUMB_TRY(plumb_new(out, json_object_size(map), sizeof **out));
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)map, key, value)
    {
        const char *shard = json_string_value(value);
        if (!shard)
            return plumb_fail(PLUMB_E_INPUT, "tensor \"%s\" is placed in %s; expected a file name", key,
                              plumb_json_kind(value));
        if (!*shard || strlen(shard) != json_string_length(value) || strchr(shard, '/') || strchr(shard, '\\') ||
            strcmp(shard, ".") == 0 || strcmp(shard, "..") == 0)
            return plumb_fail(PLUMB_E_INPUT, "tensor \"%s\" is placed in \"%s\"; expected a file of the same folder",
                              key, shard);
        (*out)[(*count)++] = (placed){key, shard};
    }
    qsort(*out, *count, sizeof **out, by_shard);
    return PLUMB_OK;
}

static plumb_status add_shard(plumb_tensors *set, const char *folder, const char *shard)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, shard);
    if (!s && !plumb_path_exists(path.data))
        s = plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: the index names this shard, but it is not in the folder", path.data),
            "download the missing file");
    if (!s) s = add_file(set, path.data);
    plumb_text_free(&path);
    return s;
}

/* Opens the shards in the order of their names and checks that each tensor is where the index says. */
static plumb_status add_shards(plumb_tensors *set, const char *folder, const placed *places, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(places[i - 1].shard, places[i].shard) != 0)
            PLUMB_TRY(add_shard(set, folder, places[i].shard));
    PLUMB_TRY(sort_set(set));
    int file = 0;
    for (size_t i = 0; i < count; i++) {
        if (i && strcmp(places[i - 1].shard, places[i].shard) != 0) file++;
        const plumb_tensor *t = plumb_tensors_find(set, places[i].tensor);
        if (t && t->file == file) continue;
        plumb_status s = plumb_fail(PLUMB_E_INPUT, "%s: tensor \"%s\" should be in this shard, but is %s",
                                    set->files[file].path, places[i].tensor, t ? "in another" : "missing");
        return plumb_cure(s, "the shards and the index are of different checkpoints; download the folder again");
    }
    return PLUMB_OK;
}

static plumb_status open_index(plumb_tensors *set, const char *folder, const char *index_path)
{
    plumb_text text = {0};
    json_t *index = NULL;
    placed *places = NULL;
    size_t count = 0;
    plumb_status s = plumb_read_file(index_path, HEADER_LIMIT, &text);
    if (s) goto done;
    PLUMB_GO(plumb_json_parse_unique(text.data, text.size, index_path, &index));
    PLUMB_GO(plumb_context(list_placed(index, &places, &count), "%s", index_path));
    s = add_shards(set, folder, places, count);
done:
    free(places);
    json_decref(index);
    plumb_text_free(&text);
    return s;
}

/* ---- folders without safetensors weights ---- */

#define MERGE   "merge the adapter into its base model first (plumb merge, or merge_and_unload of PEFT)"
#define CONVERT "convert them: AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER) of transformers"

/* What else may lie in a folder, the most telling first. */
static const struct other_weights {
    const char *begin, *end, *what, *cure;
} other_weights[] = {
    {"model.safetensors", ".safetensors", "a model.safetensors that leads nowhere (a broken link)",
     "download the folder again"},
    {"adapter_model", ".safetensors", "a LoRA adapter without its base model", MERGE},
    {"adapter_model", ".bin", "a LoRA adapter without its base model", MERGE},
    {"", ".safetensors", "safetensors files, but neither model.safetensors nor model.safetensors.index.json",
     "download the folder again; a single file must be named model.safetensors"},
    {"pytorch_model", ".bin", "PyTorch's .bin files instead of model.safetensors", CONVERT},
    {"", ".gguf", "a GGUF file instead of model.safetensors", "download the original checkpoint (model.safetensors)"},
    {"", ".bin", "PyTorch's .bin files instead of model.safetensors", CONVERT},
    {"", ".pt", "PyTorch's .pt files instead of model.safetensors", CONVERT},
    {"", ".pth", "PyTorch's .pth files instead of model.safetensors", CONVERT},
};

static bool matches(const char *name, const struct other_weights *w)
{
    size_t n = strlen(name), end = strlen(w->end);
    return strncmp(name, w->begin, strlen(w->begin)) == 0 && n >= end && strcmp(name + n - end, w->end) == 0;
}

static plumb_status no_weights(const char *folder)
{
    enum { KINDS = sizeof other_weights / sizeof *other_weights };
    size_t best = KINDS;
    DIR *listing = opendir(folder);
    if (!listing) return plumb_fail(PLUMB_E_INPUT, "%s: cannot be read: %s", folder, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(listing));)
        for (size_t i = 0; i < best; i++)
            if (matches(entry->d_name, &other_weights[i])) best = i;
    closedir(listing);
    if (best == KINDS)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: holds no weights (model.safetensors)", folder),
                          "name the folder of a Hugging Face checkpoint");
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: holds %s", folder, other_weights[best].what), "%s",
                      other_weights[best].cure);
}

static plumb_status check_folder(const char *folder)
{
    struct stat about;
    if (stat(folder, &about))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: cannot be opened: %s", folder, strerror(errno)),
                          "name a folder on this machine; a model of the Hugging Face Hub must be downloaded first");
    if (S_ISDIR(about.st_mode)) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is a file; expected a checkpoint folder", folder),
                      "name the folder that holds config.json and model.safetensors");
}

/* As transformers does: one file before shards. */
static plumb_status open_folder(plumb_tensors *set, const char *folder)
{
    plumb_text single = {0}, index = {0};
    plumb_status s = check_folder(folder);
    if (s) goto done;
    PLUMB_GO(plumb_path_join(&single, folder, "model.safetensors"));
    PLUMB_GO(plumb_path_join(&index, folder, "model.safetensors.index.json"));
    if (plumb_path_exists(single.data)) {
        PLUMB_GO(add_file(set, single.data));
        s = sort_set(set);
    } else if (plumb_path_exists(index.data)) {
        s = open_index(set, folder, index.data);
    } else {
        s = no_weights(folder);
    }
done:
    plumb_text_free(&single);
    plumb_text_free(&index);
    return s;
}

static plumb_status finish_open(plumb_tensors *set, plumb_status s, plumb_tensors **out)
{
    if (s)
        plumb_tensors_close(set);
    else
        *out = set;
    return s;
}

plumb_status plumb_tensors_open(const char *folder, plumb_tensors **out)
{
    plumb_tensors *set = NULL;
    PLUMB_TRY(plumb_new(&set, 1, sizeof *set));
    return finish_open(set, open_folder(set, folder), out);
}

plumb_status plumb_tensors_open_file(const char *path, plumb_tensors **out)
{
    plumb_tensors *set = NULL;
    PLUMB_TRY(plumb_new(&set, 1, sizeof *set));
    plumb_status s = add_file(set, path);
    if (!s) s = sort_set(set);
    return finish_open(set, s, out);
}

void plumb_tensors_close(plumb_tensors *set)
{
    if (!set) return;
    for (size_t i = 0; i < set->file_count; i++) plumb_unmap(&set->files[i].map);
    plumb_arena_free(&set->strings);
    free(set->files);
    free(set->list);
    free(set);
}

const plumb_tensor *plumb_tensors_list(const plumb_tensors *set, size_t *count)
{
    *count = set->count;
    return set->list;
}

const plumb_tensor *plumb_tensors_find(const plumb_tensors *set, const char *name)
{
    const plumb_tensor key = {.name = name};
    return set->count ? bsearch(&key, set->list, set->count, sizeof key, by_name) : NULL;
}

int plumb_tensors_files(const plumb_tensors *set)
{
    return (int)set->file_count;
}

const char *plumb_tensors_file(const plumb_tensors *set, int file, const uint8_t **header, size_t *header_size)
{
    const tensor_file *f = &set->files[file];
    *header = f->map.data + LENGTH_BYTES;
    *header_size = f->header_size;
    return f->path;
}
