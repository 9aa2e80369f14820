/* The hash that tells whether a checkpoint is the same one: see plumb_model_hash. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "io/output.h"
#include "model/model.h"

enum { SAMPLE = 64 << 10, MAX_TEXT_FILE = 256 << 20 };

static plumb_status add_file(XXH3_state_t *state, const char *folder, const char *name)
{
    plumb_text path = {0}, text = {0};
    plumb_status s = plumb_path_join(&path, folder, name);
    if (!s && plumb_path_exists(path.data)) s = plumb_read_file(path.data, MAX_TEXT_FILE, &text);
    XXH3_64bits_update(state, name, strlen(name));
    if (!s && text.size) XXH3_64bits_update(state, text.data, text.size);
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
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
    /* All that decides which tokens a row becomes and what the model makes of them. */
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "chat_template.jinja"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) PLUMB_TRY(add_file(state, folder, files[i]));
    for (int i = 0; i < plumb_tensors_files(set); i++) {
        const uint8_t *header;
        size_t size;
        plumb_tensors_file(set, i, &header, &size);
        XXH3_64bits_update(state, header, size);
    }
    size_t count;
    const plumb_tensor *list = plumb_tensors_list(set, &count);
    for (size_t i = 0; i < count; i++)
        if (list[i].bytes) add_tensor(state, &list[i], full);
    return PLUMB_OK;
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
