#include "cli/meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "io/json.h"
#include "io/mapped_file.h"
#include "io/output.h"
#include "model/model.h"

enum { LARGEST_RECORD = 1 << 24, LARGEST_TEXT_FILE = 256 << 20 };

plumb_status plumb_meta_new(const plumb_usage *usage, const plumb_options *options, json_t **out)
{
    json_t *record = NULL, *meta = json_pack("{s:s, s:s}", "plumb", PLUMB_VERSION, "command", usage->name);
    plumb_status s = meta ? plumb_options_json(options, &record) : plumb_no_memory();
    if (!s && json_object_update(meta, record)) s = plumb_no_memory();
    json_decref(record);
    if (s) {
        json_decref(meta);
        return s;
    }
    *out = meta;
    return PLUMB_OK;
}

/* A path as a JSON string; bytes that are not UTF-8 become U+FFFD. */
static plumb_status path_json(const char *path, json_t **out)
{
    plumb_text text = {0};
    plumb_status s = plumb_json_quote(&text, path, strlen(path));
    if (!s) s = plumb_json_parse(text.data, text.size, false, path, out);
    plumb_text_free(&text);
    return s;
}

plumb_status plumb_meta_file(json_t *meta, const char *name, const char *path, const char *hash)
{
    json_t *quoted = NULL;
    PLUMB_TRY(path_json(path, &quoted));
    json_t *file = json_pack("{s:o, s:s}", "path", quoted, "hash", hash);
    return json_object_set_new(meta, name, file) ? plumb_no_memory() : PLUMB_OK;
}

plumb_status plumb_meta_model(json_t *meta, const char *path, const char *hash)
{
    return plumb_meta_file(meta, "model", path, hash);
}

static plumb_status hash_file(const char *path, uint64_t *hash)
{
    plumb_mapped_file file = {0};
    PLUMB_TRY(plumb_map(path, &file));
    *hash = XXH3_64bits(file.data ? (const char *)file.data : "", file.size);
    plumb_unmap(&file);
    return PLUMB_OK;
}

plumb_status plumb_meta_contents(json_t *meta, const char *name, const char *path)
{
    uint64_t hash;
    char text[17];
    if (!path) return PLUMB_OK;
    PLUMB_TRY(hash_file(path, &hash));
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return plumb_meta_file(meta, name, path, text);
}

/* Goes on with FOLDER/NAME, where there is such a file. */
static plumb_status add_hash(const char *folder, const char *name, uint64_t *sum)
{
    plumb_text path = {0};
    uint64_t hash;
    plumb_status s = plumb_path_join(&path, folder, name);
    if (!s && plumb_path_exists(path.data)) {
        s = hash_file(path.data, &hash);
        if (!s) *sum = *sum * 31 + hash;
    }
    plumb_text_free(&path);
    return s;
}

plumb_status plumb_meta_weights(json_t *meta, const char *name, const char *folder)
{
    static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors", "masters.safetensors"};
    uint64_t hash = 0;
    char text[17];
    bool whole;
    PLUMB_TRY(plumb_path_holds(folder, "config.json", &whole));
    if (whole) PLUMB_TRY(plumb_model_hash(folder, false, &hash));
    for (size_t i = 0; i < sizeof files / sizeof *files && !whole; i++) PLUMB_TRY(add_hash(folder, files[i], &hash));
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return plumb_meta_file(meta, name, folder, text);
}

plumb_status plumb_meta_text_hash(const char *folder, const char *chat_template, char hash[17])
{
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "chat_template.jinja"};
    plumb_text bytes = {0}, path = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && !s; i++) {
        plumb_text_clear(&path);
        s = plumb_text_printf(&bytes, "%s\n", files[i]);
        if (!s) s = plumb_path_join(&path, folder, files[i]);
        if (!s && plumb_path_exists(path.data)) s = plumb_read_file(path.data, LARGEST_TEXT_FILE, &bytes);
    }
    if (!s && chat_template) s = plumb_read_file(chat_template, LARGEST_TEXT_FILE, &bytes);
    if (!s) snprintf(hash, 17, "%016" PRIx64, (uint64_t)XXH3_64bits(bytes.data, bytes.size));
    plumb_text_free(&bytes);
    plumb_text_free(&path);
    return s;
}

/* The entry of the list `role` with that path, made if there is none. */
static plumb_status input_entry(json_t *meta, const char *role, const char *path, json_t **out)
{
    json_t *name = NULL, *list = json_object_get(meta, role), *entry = NULL;
    size_t i;
    PLUMB_TRY(path_json(path, &name));
    if (!list) {
        list = json_array();
        if (json_object_set_new(meta, role, list)) list = NULL;
    }
    json_array_foreach(list, i, entry)
    {
        if (json_equal(json_object_get(entry, "path"), name)) {
            json_decref(name);
            *out = entry;
            return PLUMB_OK;
        }
    }
    entry = json_pack("{s:o}", "path", name);
    *out = entry;
    return json_array_append_new(list, entry) ? plumb_no_memory() : PLUMB_OK;
}

plumb_status plumb_meta_input(json_t *meta, const char *role, const char *path, int64_t rows, uint64_t hash)
{
    json_t *entry = NULL;
    PLUMB_TRY(input_entry(meta, role, path, &entry));
    if (rows < 0) return PLUMB_OK;
    if (json_object_set_new(entry, "rows", json_integer(rows)) ||
        json_object_set_new(entry, "hash", json_sprintf("%016" PRIx64, hash)))
        return plumb_no_memory();
    return PLUMB_OK;
}

plumb_status plumb_meta_count(json_t *meta, const char *name, int64_t count)
{
    json_t *counts = json_object_get(meta, "counts");
    if (!counts) {
        counts = json_object();
        if (json_object_set_new(meta, "counts", counts)) return plumb_no_memory();
    }
    return json_object_set_new(counts, name, json_integer(count)) ? plumb_no_memory() : PLUMB_OK;
}

static plumb_status record_path(const char *path, plumb_text *t)
{
    return plumb_text_printf(t, "%s.meta.json", path);
}

plumb_status plumb_meta_write(const json_t *meta, const char *path)
{
    plumb_text name = {0};
    char *bytes = json_dumps(meta, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    if (!bytes) return plumb_no_memory();
    plumb_status s = record_path(path, &name);
    if (!s) {
        size_t n = strlen(bytes);
        bytes[n] = '\n'; /* over the zero byte: a text file ends in a line end */
        s = plumb_write_file(name.data, bytes, n + 1);
    }
    free(bytes);
    plumb_text_free(&name);
    return s;
}

void plumb_meta_remove(const char *path)
{
    plumb_text name = {0};
    plumb_status s = record_path(path, &name);
    if (!s) (void)unlink(name.data);
    plumb_status_free(s);
    plumb_text_free(&name);
}

static plumb_status differs(const char *path, const char *what, const json_t *then, const json_t *now)
{
    char *a = then ? json_dumps(then, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char *b = now ? json_dumps(now, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%s: was made with %s %s, now it is %s", path, what, a ? a : "(none)",
                                b ? b : "(none)");
    free(a);
    free(b);
    return plumb_cure(s, "--resume needs the same command as before; without it the run starts anew");
}

static plumb_status compare_options(const json_t *then, const json_t *now, const char *path)
{
    const char *key;
    json_t *value;
    char label[128];
    json_object_foreach((json_t *)now, key, value)
    {
        if (json_equal(value, json_object_get(then, key))) continue;
        snprintf(label, sizeof label, "--%s", key);
        return differs(path, label, json_object_get(then, key), value);
    }
    return PLUMB_OK;
}

/* Inputs by their paths: what is in them is checked row by row when the run goes on. */
static plumb_status compare_inputs(const json_t *then, const json_t *now, const char *role, const char *path)
{
    size_t count = json_array_size(now), before = json_array_size(then);
    for (size_t i = 0; i < (count > before ? count : before); i++) {
        const json_t *a = json_object_get(json_array_get(then, i), "path");
        const json_t *b = json_object_get(json_array_get(now, i), "path");
        if (!json_equal(a, b)) return differs(path, role, a, b);
    }
    return PLUMB_OK;
}

static plumb_status compare_hash(const json_t *then, const json_t *now, const char *name, const char *what,
                                 const char *path)
{
    const json_t *a = json_object_get(json_object_get(then, name), "hash");
    const json_t *b = json_object_get(json_object_get(now, name), "hash");
    return (a || b) && !json_equal(a, b) ? differs(path, what, a, b) : PLUMB_OK;
}

static plumb_status compare(const json_t *then, const json_t *now, const char *path)
{
    static const char *const names[] = {"plumb", "command"};
    const char *key;
    json_t *value;
    for (int i = 0; i < 2; i++) {
        const json_t *a = json_object_get(then, names[i]), *b = json_object_get(now, names[i]);
        if (!json_equal(a, b)) return differs(path, i ? "the command" : "plumb", a, b);
    }
    PLUMB_TRY(compare_options(json_object_get(then, "options"), json_object_get(now, "options"), path));
    PLUMB_TRY(compare_hash(then, now, "model", "a model of hash", path));
    PLUMB_TRY(compare_hash(then, now, "tokenizer", "a tokenizer and chat template of hash", path));
    json_object_foreach((json_t *)now, key, value)
    {
        if (json_is_array(value)) PLUMB_TRY(compare_inputs(json_object_get(then, key), value, key, path));
        if (json_object_get(value, "hash")) PLUMB_TRY(compare_hash(then, now, key, key, path));
    }
    return PLUMB_OK;
}

bool plumb_meta_is_record(const char *record)
{
    struct stat about;
    json_t *value = NULL;
    if (stat(record, &about) || !S_ISREG(about.st_mode)) return false;
    plumb_status s = plumb_json_load(record, LARGEST_RECORD, &value);
    bool is_record = !s && json_is_string(json_object_get(value, "plumb"));
    plumb_status_free(s);
    json_decref(value);
    return is_record;
}

plumb_status plumb_meta_recorded(const char *path, const char *name, int64_t *out)
{
    plumb_text file = {0};
    json_t *then = NULL;
    plumb_status s = record_path(path, &file);
    if (!s && plumb_path_exists(file.data)) s = plumb_json_load(file.data, LARGEST_RECORD, &then);
    if (json_is_integer(json_object_get(then, name))) *out = json_integer_value(json_object_get(then, name));
    json_decref(then);
    plumb_text_free(&file);
    return s;
}

plumb_status plumb_meta_compare(const json_t *meta, const char *path)
{
    plumb_text name = {0};
    json_t *then = NULL;
    plumb_status s = record_path(path, &name);
    if (!s && !plumb_path_exists(name.data))
        s = plumb_fail(PLUMB_E_INPUT, "%s: its record %s is missing", path, name.data);
    if (!s) s = plumb_json_load(name.data, LARGEST_RECORD, &then);
    s = plumb_cure(s, "without its record a partial file cannot be checked; run again without --resume");
    if (!s) s = compare(then, meta, path);
    json_decref(then);
    plumb_text_free(&name);
    return s;
}
