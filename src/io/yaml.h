/* Config files in YAML: one mapping of keys to single values or to lists of them, read with libyaml.
 *
 *     model_name_or_path: Qwen2-0.5B          # a comment
 *     learning_rate: 5e-7
 *     loss_type: [sigmoid, sft]
 *     loss_weights:
 *       - 1.0
 *       - 0.1
 *
 * Values mean what they mean to PyYAML, which follows YAML 1.1: yes, no, on and off are booleans, 0x10, 010 (octal),
 * 1_000 and 1:30 (base 60) are integers, ~ and null are nothing. 1e-5 is a string to PyYAML and stays text here too,
 * which an option that wants a number reads as one. A mapping or nested list as a value is passed over, so that whoever
 * knows the key can say what is wrong with it.
 *
 * What such a file has no use for is an error: anchors and aliases, tags, merge keys, several documents, keys that
 * stand twice ('-' and '_' are the same), indentation by tabs, bytes that are not UTF-8. So is more than
 * PLUMB_YAML_BYTES bytes, PLUMB_YAML_DEPTH levels or PLUMB_YAML_VALUES values. */
#ifndef PLUMB_IO_YAML_H
#define PLUMB_IO_YAML_H

#include "base/setting.h"
#include "base/status.h"

enum { PLUMB_YAML_BYTES = 1 << 20, PLUMB_YAML_DEPTH = 16, PLUMB_YAML_VALUES = 10000, PLUMB_YAML_KEYS = 1000 };

/* Parses n bytes of a file that messages call `file`, which must outlive the settings: PLUMB_E_INPUT "dpo.yaml:7: ..."
 * The caller frees *out ({0} before) in any case. */
plumb_status plumb_yaml_parse(const char *bytes, size_t n, const char *file, plumb_settings *out) PLUMB_MUST_USE;

/* The same for a whole file. The settings keep their own copy of the path. */
plumb_status plumb_yaml_load(const char *path, plumb_settings *out) PLUMB_MUST_USE;

#endif
