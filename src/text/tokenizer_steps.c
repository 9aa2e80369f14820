/* Reading the components of tokenizer.json that work in sequence: normalizers, pre-tokenizers and decoders. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"

enum { DEEPEST = 16 };

static const char *expected_kind(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    default:
        return "a number";
    }
}

plumb_status plumb_need(const json_t *object, const char *key, json_type type, const json_t **out)
{
    *out = json_object_get(object, key);
    if (*out && json_typeof(*out) == type) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected %s", key, plumb_json_kind(*out), expected_kind(type));
}

plumb_status plumb_need_text(const json_t *object, const char *key, plumb_text *out)
{
    const json_t *value = NULL;
    PLUMB_TRY(plumb_need(object, key, JSON_STRING, &value));
    return plumb_text_append(out, json_string_value(value), json_string_length(value));
}

plumb_status plumb_need_bool(const json_t *object, const char *key, bool *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected true or false", key, plumb_json_kind(value));
    *out = json_is_true(value);
    return PLUMB_OK;
}

plumb_status plumb_need_index(const json_t *object, const char *key, int64_t end, int64_t *out)
{
    const json_t *value = NULL;
    PLUMB_TRY(plumb_need(object, key, JSON_INTEGER, &value));
    *out = json_integer_value(value);
    if (*out >= 0 && *out < end) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %lld; expected a number from 0 to %lld", key, (long long)*out,
                      (long long)end - 1);
}

plumb_status plumb_need_character(const json_t *object, const char *key, plumb_text *out)
{
    PLUMB_TRY(plumb_need_text(object, key, out));
    if (out->size && plumb_utf8_size(out->data[0]) == out->size) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is \"%s\"; expected one character", key, out->data);
}

plumb_status plumb_need_matcher(const json_t *object, const char *key, plumb_matcher *out)
{
    const json_t *value = NULL;
    PLUMB_TRY(plumb_need(object, key, JSON_OBJECT, &value));
    const json_t *literal = json_object_get(value, "String"), *regex = json_object_get(value, "Regex");
    if (json_is_string(literal) && json_string_length(literal))
        return plumb_text_append(&out->literal, json_string_value(literal), json_string_length(literal));
    if (json_is_string(literal))
        regex = literal; /* an empty string matches between all characters, as a pattern does */
    if (json_is_string(regex))
        return plumb_context(plumb_pattern_new(json_string_value(regex), json_string_length(regex), &out->pattern),
                             "%s", key);
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" has neither a \"String\" nor a \"Regex\"", key);
}

/* Files before 2024 say add_prefix_space instead of prepend_scheme. */
plumb_status plumb_read_metaspace(const json_t *json, plumb_step *step)
{
    static const char *const schemes[] = {"always", "first", "never"};
    const char *scheme = NULL;
    bool add_prefix_space = true;
    step->split = true;
    PLUMB_TRY(plumb_need_character(json, "replacement", &step->content));
    PLUMB_TRY(plumb_json_bool(json, "add_prefix_space", &add_prefix_space));
    PLUMB_TRY(plumb_json_bool(json, "split", &step->split));
    PLUMB_TRY(plumb_json_string(json, "prepend_scheme", &scheme));
    if (!scheme) {
        step->scheme = add_prefix_space ? PLUMB_PREPEND_ALWAYS : PLUMB_PREPEND_NEVER;
        return PLUMB_OK;
    }
    size_t i = 0;
    while (i < 3 && strcmp(schemes[i], scheme) != 0) i++;
    if (i == 3)
        return plumb_fail(PLUMB_E_INPUT, "\"prepend_scheme\" is \"%.40s\"; expected always, first or never", scheme);
    if (!add_prefix_space && i != PLUMB_PREPEND_NEVER)
        return plumb_fail(PLUMB_E_INPUT, "\"add_prefix_space\" false contradicts \"prepend_scheme\" \"%s\"", scheme);
    step->scheme = (plumb_scheme)i;
    return PLUMB_OK;
}

static void free_step(plumb_step *step)
{
    plumb_text_free(&step->matcher.literal);
    plumb_pattern_free(step->matcher.pattern);
    plumb_text_free(&step->content);
}

static plumb_status read_component(const json_t *json, const plumb_component *component, plumb_steps *steps)
{
    plumb_step step = {.run = component->run};
    plumb_status s = component->read ? component->read(json, &step) : PLUMB_OK;
    if (!s) s = plumb_reserve(&steps->data, &steps->capacity, steps->count + 1, sizeof *steps->data);
    if (s) {
        free_step(&step);
        return s;
    }
    steps->data[steps->count++] = step;
    return PLUMB_OK;
}

static plumb_status refuse(const plumb_component_table *table, const char *type)
{
    plumb_text known = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < table->count && !s; i++) s = plumb_text_printf(&known, "%s, ", table->rows[i].type);
    if (!s)
        s = plumb_fail(PLUMB_E_INPUT, "the type \"%.40s\" is not built; there are %sand Sequence", type,
                       known.data ? known.data : "");
    plumb_text_free(&known);
    return s;
}

static plumb_status read_steps(const json_t *json, const plumb_component_table *table, int depth, plumb_steps *steps)
{
    if (!json || json_is_null(json)) return PLUMB_OK;
    if (!json_is_object(json)) return plumb_fail(PLUMB_E_INPUT, "it is %s; expected an object", plumb_json_kind(json));
    if (depth > DEEPEST) return plumb_fail(PLUMB_E_INPUT, "sequences within sequences, deeper than %d", DEEPEST);
    const json_t *type = NULL, *list = NULL;
    PLUMB_TRY(plumb_need(json, "type", JSON_STRING, &type));
    const char *name = json_string_value(type);
    if (strcmp(name, "Sequence") == 0) {
        PLUMB_TRY(plumb_need(json, table->list, JSON_ARRAY, &list));
        for (size_t i = 0; i < json_array_size(list); i++)
            PLUMB_TRY(
                plumb_context(read_steps(json_array_get(list, i), table, depth + 1, steps), "%s[%zu]", table->list, i));
        return PLUMB_OK;
    }
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].type, name) == 0)
            return plumb_context(read_component(json, &table->rows[i], steps), "%s", name);
    return refuse(table, name);
}

plumb_status plumb_steps_read(const json_t *root, const plumb_component_table *table, plumb_steps *steps)
{
    return plumb_context(read_steps(json_object_get(root, table->key), table, 0, steps), "%s", table->key);
}

void plumb_steps_free(plumb_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) free_step(&steps->data[i]);
    free(steps->data);
}

plumb_status plumb_matcher_find(const plumb_matcher *matcher, plumb_work *work, const char *text, size_t n)
{
    work->spans.count = 0;
    if (!n) return PLUMB_OK;
    if (matcher->pattern) return plumb_pattern_find(matcher->pattern, &work->matching, text, n, &work->spans);
    const char *literal = matcher->literal.data;
    size_t size = matcher->literal.size, done = 0;
    for (;;) {
        const char *found =
            size == 1 ? memchr(text + done, literal[0], n - done) : memmem(text + done, n - done, literal, size);
        if (!found) break;
        size_t begin = (size_t)(found - text);
        if (done < begin) PLUMB_TRY(plumb_spans_push(&work->spans, done, begin, false));
        PLUMB_TRY(plumb_spans_push(&work->spans, begin, begin + size, true));
        done = begin + size;
    }
    return done < n ? plumb_spans_push(&work->spans, done, n, false) : PLUMB_OK;
}
