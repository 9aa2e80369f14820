#include "model/eos.h"

#include <string.h>

#include "io/json.h"
#include "io/output.h"

enum { MAX_FILE = 16 << 20 };

static plumb_status add(plumb_ids *out, json_int_t id, int vocab)
{
    if (id < 0 || id >= vocab) return PLUMB_OK;
    for (size_t i = 0; i < out->count; i++)
        if (out->data[i] == id) return PLUMB_OK;
    return plumb_ids_push(out, (int32_t)id);
}

static plumb_status add_key(const char *path, const json_t *object, int vocab, plumb_ids *out)
{
    const json_t *value = json_object_get(object, "eos_token_id");
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    if (!value || json_is_null(value)) return PLUMB_OK;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;
        if (!json_is_integer(id))
            return plumb_fail(PLUMB_E_INPUT, "%s: eos_token_id holds %s; expected a token id or a list of them", path,
                              plumb_json_kind(id));
        PLUMB_TRY(add(out, json_integer_value(id), vocab));
    }
    return PLUMB_OK;
}

static plumb_status add_file(const char *folder, const char *name, int vocab, plumb_ids *out)
{
    plumb_text path = {0};
    json_t *file = NULL;
    plumb_status s = plumb_path_join(&path, folder, name);
    if (!s && plumb_path_exists(path.data)) s = plumb_json_load(path.data, MAX_FILE, &file);
    if (!s) s = add_key(path.data, file, vocab, out);
    if (!s) s = add_key(path.data, json_object_get(file, "text_config"), vocab, out);
    json_decref(file);
    plumb_text_free(&path);
    return s;
}

plumb_status plumb_eos_ids(const char *folder, const plumb_encoder *encoder, int vocab, plumb_ids *out)
{
    PLUMB_TRY(add_file(folder, "generation_config.json", vocab, out));
    PLUMB_TRY(add_file(folder, "config.json", vocab, out));
    if (!encoder || !encoder->eos) return PLUMB_OK;
    return add(out, plumb_tokenizer_id(encoder->tokenizer, encoder->eos, strlen(encoder->eos)), vocab);
}
