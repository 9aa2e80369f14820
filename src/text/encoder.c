#include "text/encoder.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "io/json.h"
#include "io/output.h"

enum { MAX_SIDE_FILE = 64 << 20 };

/* Loads FOLDER/NAME as JSON into *out, or leaves NULL where there is no such file. */
static plumb_status load_optional(const char *folder, const char *name, json_t **out)
{
    plumb_text path = {0}, text = {0};
    plumb_status s = plumb_path_join(&path, folder, name);
    if (!s && plumb_path_exists(path.data)) {
        s = plumb_read_file(path.data, MAX_SIDE_FILE, &text);
        /* as reals: transformers writes "model_max_length": 10^30 where a tokenizer has no limit */
        if (!s) s = plumb_json_parse(text.data ? text.data : "", text.size, true, path.data, out);
        if (!s && !json_is_object(*out))
            s = plumb_fail(PLUMB_E_INPUT, "%s: holds %s; expected an object", path.data, plumb_json_kind(*out));
    }
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
}

/* A special token is written as a string or as {"content": string, ...}. */
static const char *token_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_object(value)) value = json_object_get(value, "content");
    return json_string_value(value);
}

static plumb_status copy_string(const char *text, char **out)
{
    *out = text ? strdup(text) : NULL;
    return text && !*out ? plumb_no_memory() : PLUMB_OK;
}

static plumb_status read_tokens(plumb_encoder *e, const json_t *config, const json_t *map, int64_t eos_id)
{
    static const char *const others[] = {"pad_token", "unk_token", "sep_token", "cls_token", "mask_token"};
    const char *bos = token_text(config, "bos_token"), *eos = token_text(config, "eos_token");
    if (!bos) bos = token_text(map, "bos_token");
    if (!eos) eos = token_text(map, "eos_token");
    if (!eos && eos_id >= 0 && eos_id < plumb_tokenizer_size(e->tokenizer)) {
        size_t n;
        eos = plumb_tokenizer_token(e->tokenizer, (int32_t)eos_id, &n);
    }
    PLUMB_TRY(copy_string(bos, &e->bos));
    PLUMB_TRY(copy_string(eos, &e->eos));
    e->variables = json_object();
    if (!e->variables) return plumb_no_memory();
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *text = token_text(config, others[i]);
        if (!text) text = token_text(map, others[i]);
        if (text && json_object_set_new(e->variables, others[i], json_string(text))) return plumb_no_memory();
    }
    return PLUMB_OK;
}

static plumb_status template_file(plumb_encoder *e, const char *path)
{
    plumb_text source = {0};
    plumb_status s = plumb_read_file(path, MAX_SIDE_FILE, &source);
    if (!s) s = plumb_context(plumb_template_parse(source.data ? source.data : "", source.size, &e->chat), "%s", path);
    plumb_text_free(&source);
    return s;
}

/* "chat_template" of tokenizer_config.json: a string, or a list of {"name", "template"}. */
static const json_t *configured_template(const json_t *config)
{
    const json_t *value = json_object_get(config, "chat_template");
    if (!json_is_array(value)) return value;
    size_t i;
    json_t *entry;
    json_array_foreach(value, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0) return json_object_get(entry, "template");
    }
    return NULL;
}

static plumb_status read_template(plumb_encoder *e, const char *folder, const json_t *config)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, "chat_template.jinja");
    if (!s && plumb_path_exists(path.data)) {
        e->chat_source = "chat_template.jinja";
        s = template_file(e, path.data);
    } else if (!s) {
        const json_t *value = configured_template(config);
        if (json_is_string(value)) {
            e->chat_source = "tokenizer_config.json";
            s = plumb_context(plumb_template_parse(json_string_value(value), json_string_length(value), &e->chat),
                              "%s/tokenizer_config.json: chat_template", folder);
        }
    }
    plumb_text_free(&path);
    return s;
}

static plumb_status open_all(plumb_encoder *e, const char *folder, const char *chat_template, int64_t eos_id,
                             json_t **config, json_t **map)
{
    PLUMB_TRY(plumb_tokenizer_open(folder, &e->tokenizer));
    PLUMB_TRY(load_optional(folder, "tokenizer_config.json", config));
    PLUMB_TRY(load_optional(folder, "special_tokens_map.json", map));
    PLUMB_TRY(read_tokens(e, *config, *map, eos_id));
    if (!chat_template) return read_template(e, folder, *config);
    e->chat_source = "--chat_template";
    return template_file(e, chat_template);
}

plumb_status plumb_encoder_open(const char *folder, const char *chat_template, int64_t eos_id, plumb_encoder **out)
{
    plumb_encoder *e;
    json_t *config = NULL, *map = NULL;
    *out = NULL;
    PLUMB_TRY(plumb_new(&e, 1, sizeof *e));
    e->chat_source = "";
    e->now = (int64_t)time(NULL);
    tzset(); /* localtime_r alone need not read TZ */
    plumb_status s = open_all(e, folder, chat_template, eos_id, &config, &map);
    json_decref(config);
    json_decref(map);
    if (s) {
        plumb_encoder_close(e);
        return s;
    }
    *out = e;
    return PLUMB_OK;
}

void plumb_encoder_close(plumb_encoder *e)
{
    if (!e) return;
    plumb_tokenizer_free(e->tokenizer);
    plumb_template_free(e->chat);
    free(e->bos);
    free(e->eos);
    json_decref(e->variables);
    free(e);
}

static plumb_status render(const plumb_encoder *e, const json_t *messages, bool generation_prompt, plumb_text *out,
                           plumb_byte_spans *spans)
{
    if (!e->chat)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "the row is a conversation and the checkpoint has no chat template"),
            "give one with --chat_template FILE, or use plain strings");
    plumb_template_input in = {.messages = messages,
                               .bos_token = e->bos,
                               .eos_token = e->eos,
                               .add_generation_prompt = generation_prompt,
                               .variables = e->variables,
                               .now = e->now};
    return plumb_template_render_marked(e->chat, &in, out, spans);
}

plumb_status plumb_encoder_render(const plumb_encoder *e, const json_t *messages, bool generation_prompt,
                                  plumb_text *out)
{
    return render(e, messages, generation_prompt, out, NULL);
}

plumb_status plumb_encoder_render_marked(const plumb_encoder *e, const json_t *messages, plumb_text *out,
                                         plumb_byte_spans *spans)
{
    if (e->chat && !plumb_template_marks_generation(e->chat))
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "the chat template does not mark what the assistant says ({%% generation %%})"),
            "give one that does with --chat_template FILE: {%% generation %%} before each assistant message, "
            "{%% endgeneration %%} behind its end token");
    return render(e, messages, false, out, spans);
}
