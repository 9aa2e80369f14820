/* The hashes that tell whether a checkpoint, or its text side, is the same one: see plumb_model_hash. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/output.h"
#include "model/model.h"

enum { SAMPLE = 64 << 10, MAX_TEXT_FILE = 256 << 20 };

/* A count in eight little-endian bytes: what follows cannot be taken for something else. */
static void add_count(XXH3_state_t *state, uint64_t n)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i);
    XXH3_64bits_update(state, bytes, sizeof bytes);
}

static void add_bytes(XXH3_state_t *state, const void *bytes, size_t n)
{
    add_count(state, n);
    if (n) XXH3_64bits_update(state, bytes, n);
}

/* A file that may be absent, which is something else than an empty one. */
static plumb_status add_file(XXH3_state_t *state, const char *name, const char *path)
{
    plumb_text text = {0};
    bool there = path && plumb_path_exists(path);
    if (there) PLUMB_TRY(plumb_read_file(path, MAX_TEXT_FILE, &text));
    add_bytes(state, name, strlen(name));
    add_count(state, there);
    if (there) add_bytes(state, text.data, text.size);
    plumb_text_free(&text);
    return PLUMB_OK;
}

/* All that decides which tokens a row becomes. */
static plumb_status add_text_side(XXH3_state_t *state, const char *folder, const char *chat_template)
{
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "chat_template.jinja"};
    plumb_text path = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && !s; i++) {
        plumb_text_clear(&path);
        s = plumb_path_join(&path, folder, files[i]);
        if (!s) s = add_file(state, files[i], path.data);
    }
    plumb_text_free(&path);
    return s ? s : add_file(state, "--chat_template", chat_template);
}

static void add_tensor(XXH3_state_t *state, const plumb_tensor *t, bool full)
{
    const char *data = t->data;
    if (full || t->bytes <= 3 * (uint64_t)SAMPLE) {
        XXH3_64bits_update(state, data, t->bytes);
        return;
    }
    XXH3_64bits_update(state, data, SAMPLE);
    XXH3_64bits_update(state, data + t->bytes / 2 - SAMPLE / 2, SAMPLE);
    XXH3_64bits_update(state, data + t->bytes - SAMPLE, SAMPLE);
}

static plumb_status add_all(XXH3_state_t *state, const char *folder, const plumb_tensors *set, bool full)
{
    PLUMB_TRY(add_text_side(state, folder, NULL));
    add_count(state, (uint64_t)plumb_tensors_files(set));
    for (int i = 0; i < plumb_tensors_files(set); i++) {
        const uint8_t *header;
        size_t size;
        plumb_tensors_file(set, i, &header, &size);
        add_bytes(state, header, size);
    }
    size_t count;
    const plumb_tensor *list = plumb_tensors_list(set, &count);
    for (size_t i = 0; i < count; i++)
        if (list[i].bytes) add_tensor(state, &list[i], full);
    return PLUMB_OK;
}

plumb_status plumb_text_hash(const char *folder, const char *chat_template, uint64_t *out)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) return plumb_no_memory();
    XXH3_64bits_reset(state);
    plumb_status s = add_text_side(state, folder, chat_template);
    if (!s) *out = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return s;
}

plumb_status plumb_model_hash(const char *folder, bool full, uint64_t *out)
{
    plumb_tensors *set = NULL;
    XXH3_state_t *state = XXH3_createState();
    if (!state) return plumb_no_memory();
    XXH3_64bits_reset(state);
    plumb_status s = plumb_tensors_open(folder, &set);
    if (!s) s = add_all(state, folder, set, full);
    if (!s) *out = XXH3_64bits_digest(state);
    plumb_tensors_close(set);
    XXH3_freeState(state);
    return s;
}
