#include "cli/config_file.h"

#include <string.h>

#include "io/yaml.h"

plumb_status plumb_config_file_read(const char *path, plumb_settings *out)
{
    static const struct {
        const char *key, *reason, *cure;
    } refused[] = {
        {"env", "plumb sets no environment variables", "set them in the shell, before the command"},
        {"config", "a config file does not name another", "give one file with --config"},
    };
    PLUMB_TRY(plumb_yaml_load(path, out));
    for (size_t i = 0; i < out->count; i++)
        for (size_t k = 0; k < sizeof refused / sizeof *refused; k++)
            if (strcmp(out->list[i].key, refused[k].key) == 0)
                return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s:%lld: %s: not supported: %s", out->list[i].file,
                                             (long long)out->list[i].line, refused[k].key, refused[k].reason),
                                  "%s", refused[k].cure);
    return PLUMB_OK;
}
