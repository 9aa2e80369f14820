/* Options from a config file, and options of another program. */
#include <stdlib.h>
#include <string.h>

#include "base/options_internal.h"

void plumb_settings_free(plumb_settings *settings)
{
    plumb_arena_free(&settings->arena);
    free(settings->list);
    *settings = (plumb_settings){0};
}

/* ---- foreign options ---- */

static bool same_number(const char *a, const char *b)
{
    char *end_a, *end_b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    return end_a != a && end_b != b && !*end_a && !*end_b && x == y;
}

static bool same_bool(const char *a, const char *b)
{
    bool x, y;
    return plumb_option_read_bool(a, true, &x) && plumb_option_read_bool(b, true, &y) && x == y;
}

/* Does the value ask for nothing? */
static bool is_usual(const plumb_foreign_option *foreign, const char *text)
{
    char buffer[PLUMB_CHOICES_ROOM];
    const char *words[PLUMB_MOST_CHOICES];
    if (!*text || strcasecmp(text, "none") == 0 || strcasecmp(text, "null") == 0) return true;
    size_t count = foreign->usual ? plumb_split_choices(foreign->usual, buffer, words) : 0;
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(words[i], text) == 0 || same_number(words[i], text) || same_bool(words[i], text)) return true;
    return false;
}

plumb_status plumb_foreign_take(plumb_options *o, const plumb_foreign_option *foreign, const char *text, size_t parts)
{
    bool value;
    if (!parts || (text && is_usual(foreign, text))) return PLUMB_OK;
    if (foreign->kind == PLUMB_OPTION_FLAG && !(text && plumb_option_read_bool(text, true, &value)))
        return plumb_fail(PLUMB_E_INPUT, "%s is not true or false", text ? text : "a list");
    if (!foreign->refused) {
        o->noted[foreign - o->usage->foreign] = true;
        return PLUMB_OK;
    }
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "not supported: %s", foreign->reason);
    char buffer[PLUMB_CHOICES_ROOM];
    const char *words[PLUMB_MOST_CHOICES];
    if (foreign->usual && plumb_split_choices(foreign->usual, buffer, words))
        return plumb_cure(s, "leave it out, or set it to %s", words[0]);
    return plumb_cure(s, "leave it out");
}

/* "report_to, run_name: no effect here: ..." for the reason of foreign option `first`, which is the first with it. */
static plumb_status note_reason(const plumb_options *o, size_t first, const plumb_sink *sink)
{
    const plumb_foreign_option *all = o->usage->foreign;
    plumb_text names = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = first; !s && all[i].name; i++)
        if (o->noted[i] && strcmp(all[i].reason, all[first].reason) == 0)
            s = plumb_text_printf(&names, "%s%s", i == first ? "" : ", ", all[i].name);
    if (!s) plumb_note(sink, "%s: no effect here: %s", names.data, all[first].reason);
    plumb_text_free(&names);
    return s;
}

plumb_status plumb_options_notes(const plumb_options *o, const plumb_sink *sink)
{
    const plumb_foreign_option *all = o->usage->foreign;
    for (size_t i = 0; all && all[i].name; i++) {
        bool said = !o->noted[i];
        for (size_t k = 0; k < i; k++) said |= o->noted[k] && strcmp(all[k].reason, all[i].reason) == 0;
        if (!said) PLUMB_TRY(note_reason(o, i, sink));
    }
    return PLUMB_OK;
}

/* ---- settings ---- */

static plumb_status unknown_key(const plumb_usage *usage, const plumb_setting *setting)
{
    const char *near = NULL;
    PLUMB_TRY(plumb_option_nearest(usage, setting->key, NULL, 0, &near));
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%s:%lld: \"%s\" is not an option of plumb %s", setting->file,
                                (long long)setting->line, setting->key, usage->name);
    return near ? plumb_cure(s, "did you mean %s?", near)
                : plumb_cure(s, "plumb %s --help lists the options", usage->name);
}

/* Numbers and booleans as the file's format reads them, the rest as it was written. */
static const char *text_of(const plumb_option *option, const plumb_setting_value *value)
{
    switch (option->kind) {
    case PLUMB_OPTION_FLAG:
    case PLUMB_OPTION_INTEGER:
    case PLUMB_OPTION_REAL:
    case PLUMB_OPTION_REALS:
        return value->plain;
    default:
        return value->text;
    }
}

static bool takes_list(const plumb_option *option)
{
    return option->kind == PLUMB_OPTION_LIST || option->kind == PLUMB_OPTION_REPEATED ||
           option->kind == PLUMB_OPTION_REALS;
}

static plumb_status set_items(plumb_options *o, const plumb_option *option, const plumb_setting *setting)
{
    if (!setting->count) return plumb_fail(PLUMB_E_INPUT, "holds no value");
    for (size_t i = 0; i < setting->count; i++) {
        if (setting->values[i].is_null) return plumb_fail(PLUMB_E_INPUT, "an item of the list is empty");
        PLUMB_TRY(plumb_option_append(o, option, text_of(option, &setting->values[i])));
    }
    return PLUMB_OK;
}

/* Sets the option as the file says; *given is false where the file leaves it at its default. */
static plumb_status set_from(plumb_options *o, const plumb_option *option, const plumb_setting *setting, bool *given)
{
    *given = true;
    if (setting->is_nested)
        return plumb_fail(PLUMB_E_INPUT, "holds a mapping or lists; expected %s",
                          takes_list(option) ? "a value or a list of values" : "one value");
    if (setting->is_list) {
        if (!takes_list(option)) return plumb_fail(PLUMB_E_INPUT, "holds a list; expected one value");
        plumb_option_clear(o, option);
        return set_items(o, option, setting);
    }
    const plumb_setting_value *value = &setting->values[0];
    if (!value->is_null) return plumb_option_set(o, option, text_of(option, value), given);
    if (option->none && *option->none) return plumb_option_set(o, option, option->none, given);
    *given = false;
    return PLUMB_OK;
}

/* Two names of one option in one file. */
static plumb_status check_twice(const plumb_option_state *state, const plumb_setting *setting)
{
    if (!state->setting) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s:%lld: \"%s\" and \"%s\" (line %lld) are two names of one option",
                                 setting->file, (long long)setting->line, setting->key, state->setting->key,
                                 (long long)state->setting->line),
                      "keep one of them");
}

static plumb_status apply_foreign(plumb_options *o, const plumb_foreign_option *foreign, const plumb_setting *setting)
{
    bool single = !setting->is_list && !setting->is_nested;
    if (single && setting->values[0].is_null) return PLUMB_OK;
    const char *text = !single                                ? NULL
                       : foreign->kind == PLUMB_OPTION_STRING ? setting->values[0].text
                                                              : setting->values[0].plain;
    return plumb_context(plumb_foreign_take(o, foreign, text, setting->count), "%s:%lld: %s", setting->file,
                         (long long)setting->line, setting->key);
}

static plumb_status apply_setting(plumb_options *o, const plumb_setting *setting)
{
    const plumb_option *option = plumb_option_find(o->usage, setting->key, strlen(setting->key));
    if (!option) {
        const plumb_foreign_option *foreign = plumb_foreign_find(o->usage, setting->key, strlen(setting->key));
        return foreign ? apply_foreign(o, foreign, setting) : unknown_key(o->usage, setting);
    }
    plumb_option_state *state = plumb_option_state_of(o, option);
    bool given = false;
    PLUMB_TRY(check_twice(state, setting));
    state->setting = setting;
    if (state->settled) return PLUMB_OK;
    PLUMB_TRY(plumb_context(set_from(o, option, setting, &given), "%s:%lld: %s", setting->file,
                            (long long)setting->line, setting->key));
    if (given) state->source = PLUMB_FROM_FILE;
    return PLUMB_OK;
}

plumb_status plumb_options_apply(plumb_options *o)
{
    for (size_t i = 0; i < o->settings.count; i++) PLUMB_TRY(apply_setting(o, &o->settings.list[i]));
    return PLUMB_OK;
}
