/* A setting: what one line of a config file asks for, whatever the format of the file. Readers of formats produce
 * settings (io/yaml.h), option tables take them (base/options.h). */
#ifndef PLUMB_BASE_SETTING_H
#define PLUMB_BASE_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

typedef struct plumb_setting_value {
    const char *text;  /* as written, without quotes */
    const char *plain; /* what the format makes of it where that is a boolean or a number: "true" for yes, "16" for
                          0x10; otherwise the same as text */
    bool is_null;
} plumb_setting_value;

typedef struct plumb_setting {
    const char *key;
    const char *file; /* as messages name it */
    int64_t line;     /* from 1 */
    const plumb_setting_value *values;
    size_t count;   /* of values; 1 unless it is a list. Of something nested: how many parts it has, without values */
    bool is_list;   /* of single values */
    bool is_nested; /* a mapping, or a list that holds lists or mappings */
} plumb_setting;

/* All settings of a file, in its order; {0} is empty. The strings live in the arena. */
typedef struct plumb_settings {
    plumb_setting *list;
    size_t count, capacity;
    plumb_arena arena;
} plumb_settings;

void plumb_settings_free(plumb_settings *settings);

#endif
