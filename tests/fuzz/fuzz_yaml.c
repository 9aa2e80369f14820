/* The input is a config file. Settings must be complete and in the order of the lines, within the limits, and an error
 * must name the file and a line. */
#include <ctype.h>

#include "fuzz.h"
#include "io/yaml.h"

static void check_value(const plumb_setting_value *value)
{
    must(value->text && value->plain);
    if (value->is_null) must(value->plain == value->text && strlen(value->text) <= 4);
}

static void check_settings(const plumb_settings *s)
{
    int64_t line = 1;
    must(s->count <= PLUMB_YAML_KEYS);
    for (size_t i = 0; i < s->count; i++) {
        const plumb_setting *setting = &s->list[i];
        must(setting->key && *setting->key && strcmp(setting->file, "f") == 0);
        must(setting->line >= line && !(setting->is_list && setting->is_nested));
        must(setting->is_list || setting->is_nested || setting->count == 1);
        for (size_t k = 0; !setting->is_nested && k < setting->count; k++) check_value(&setting->values[k]);
        line = setting->line;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plumb_settings s = {0};
    plumb_status status = plumb_yaml_parse((const char *)data, size, "f", &s);
    const char *message = plumb_status_message(status);
    if (!status) check_settings(&s);
    if (status && size <= PLUMB_YAML_BYTES)
        must(plumb_status_code(status) == PLUMB_E_INPUT && strncmp(message, "f:", 2) == 0 &&
             isdigit((unsigned char)message[2]));
    plumb_status_free(status);
    plumb_settings_free(&s);
    return 0;
}
