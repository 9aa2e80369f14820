/* The command that made something, from the record that plumb keeps beside it (cli/meta.h: "command", "options", "run",
 * "sources"). */
#include <string.h>

#include "report/report_data.h"

static void put_value(const json_t *value, plumb_writer *w)
{
    size_t i;
    const json_t *item;
    if (json_is_string(value)) {
        plumb_put(w, " ");
        plumb_put_shell(w, json_string_value(value));
    } else if (json_is_integer(value)) {
        plumb_putf(w, " %lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        plumb_putf(w, " %.9g", json_real_value(value));
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, item) put_value(item, w);
    }
}

static void put_option(const char *name, const json_t *value, plumb_writer *w)
{
    plumb_put(w, " --");
    plumb_put(w, name);
    if (json_is_false(value))
        plumb_put(w, " false");
    else if (!json_is_true(value))
        put_value(value, w);
}

static bool stands_elsewhere(const char *name)
{
    static const char *const names[] = {"output", "model_name_or_path", "dataset_name", "quiet", "resume", "threads"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

bool plumb_report_recorded_command(const json_t *record, plumb_writer *w)
{
    const char *command = json_string_value(json_object_get(record, "command")), *name;
    json_t *sources = json_object_get(record, "sources"), *source;
    const json_t *options = json_object_get(record, "options"), *run = json_object_get(record, "run");
    const json_t *arguments = json_object_get(run, "arguments");
    if (!command || !arguments) return false;
    plumb_put(w, "plumb ");
    plumb_put_shell(w, command);
    put_value(arguments, w);
    json_object_foreach(sources, name, source)
    {
        const json_t *value = json_object_get(options, name);
        if (!value) value = json_object_get(run, name);
        if (value && !json_is_null(value) && !stands_elsewhere(name)) put_option(name, value, w);
    }
    const char *output = json_string_value(json_object_get(run, "output"));
    if (!output) output = json_string_value(json_object_get(options, "output"));
    if (output && strcmp(output, "-") != 0) {
        plumb_put(w, " -o ");
        plumb_put_shell(w, output);
    }
    return true;
}
