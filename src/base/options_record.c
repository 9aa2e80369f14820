/* The record of what was asked for. */
#include <string.h>

#include "base/options_internal.h"

/* A string for any bytes: file names need not be UTF-8. */
static json_t *text_json(const char *text)
{
    if (!text) return json_null();
    json_t *value = json_string(text);
    if (value) return value;
    plumb_text t = {0};
    plumb_status s = PLUMB_OK;
    for (const char *p = text; !s && *p; p++)
        s = (unsigned char)*p < 0x80 ? plumb_text_append(&t, p, 1) : plumb_text_printf(&t, "%%%02X", (unsigned char)*p);
    value = s ? NULL : json_string(t.data);
    plumb_status_free(s);
    plumb_text_free(&t);
    return value;
}

static json_t *list_json(const plumb_list *list)
{
    json_t *array = list->count ? json_array() : json_null();
    for (size_t i = 0; i < list->count; i++) json_array_append_new(array, text_json(list->items[i]));
    return array;
}

/* The words that are no options, in the order of the usage. */
static json_t *arguments_json(const plumb_options *o)
{
    json_t *array = json_array();
    for (size_t i = 0; i < o->usage->positional_count; i++) {
        const plumb_list *words = (const void *)((const char *)o->values + o->usage->positionals[i].offset);
        for (size_t j = 0; j < words->count; j++) json_array_append_new(array, text_json(words->items[j]));
    }
    return array;
}

static json_t *range_json(plumb_range range)
{
    if (range.end >= 0) return json_sprintf("%lld:%lld", (long long)range.begin, (long long)range.end);
    return range.begin ? json_sprintf("%lld:", (long long)range.begin) : json_null();
}

static json_t *choice_json(const char *choices, int number)
{
    while (number-- > 0) choices += strcspn(choices, "|") + 1;
    return json_stringn(choices, strcspn(choices, "|"));
}

static json_t *reals_json(const plumb_reals *list)
{
    json_t *array = list->count ? json_array() : json_null();
    for (size_t i = 0; i < list->count; i++) json_array_append_new(array, json_real(list->items[i]));
    return array;
}

static json_t *value_json(const plumb_options *o, const plumb_option *option)
{
    const void *place = plumb_option_place(o, option);
    bool silent = !option->fallback && plumb_option_state_of(o, option)->source == PLUMB_FROM_DEFAULT;
    switch (option->kind) {
    case PLUMB_OPTION_FLAG:
        return json_boolean(*(const bool *)place);
    case PLUMB_OPTION_INTEGER:
        return silent ? json_null() : json_integer(*(const int64_t *)place);
    case PLUMB_OPTION_REAL:
        return silent ? json_null() : json_real(*(const double *)place);
    case PLUMB_OPTION_STRING:
        return text_json(*(const char *const *)place);
    case PLUMB_OPTION_CHOICE:
        return choice_json(option->choices, *(const int *)place);
    case PLUMB_OPTION_RANGE:
        return range_json(*(const plumb_range *)place);
    case PLUMB_OPTION_LIST:
    case PLUMB_OPTION_REPEATED:
        return list_json(place);
    case PLUMB_OPTION_REALS:
        return reals_json(place);
    }
    return NULL;
}

static const char *source_name(plumb_option_source source)
{
    return source == PLUMB_FROM_FILE ? "file" : source == PLUMB_FROM_ENVIRONMENT ? "environment" : "command line";
}

plumb_status plumb_options_json(const plumb_options *o, json_t **out)
{
    json_t *options = json_object(), *run = json_object(), *sources = json_object();
    char name[PLUMB_LONGEST_OPTION + 1];
    int failed = !options || !run || !sources;
    for (size_t i = 0; !failed && i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        plumb_option_source source = o->states[i].source;
        if (!plumb_option_belongs(option->only, o->usage)) continue;
        plumb_option_plain_name(option, "", false, name);
        failed |= json_object_set_new(option->changes_no_result ? run : options, name, value_json(o, option));
        if (source != PLUMB_FROM_DEFAULT)
            failed |= json_object_set_new(sources, name, json_string(source_name(source)));
    }
    if (!failed) failed |= json_object_set_new(run, "arguments", arguments_json(o));
    if (!failed && o->config) failed |= json_object_set_new(run, "config", text_json(o->config));
    /* "o" takes the references over, also when packing fails. */
    json_t *all = json_pack("{s:o, s:o, s:o}", "options", options, "run", run, "sources", sources);
    if (failed || !all) {
        json_decref(all);
        return plumb_no_memory();
    }
    *out = all;
    return PLUMB_OK;
}
