/* Config files of commands: --config FILE.yaml. */
#ifndef PLUMB_CLI_CONFIG_FILE_H
#define PLUMB_CLI_CONFIG_FILE_H

#include "base/setting.h"
#include "base/status.h"

/* Reads a YAML file (io/yaml.h) for plumb_options_parse. What TRL's parser takes from such a file for itself is refused
 * with the reason: `env`, variables to set. */
plumb_status plumb_config_file_read(const char *path, plumb_settings *out) PLUMB_MUST_USE;

#endif
