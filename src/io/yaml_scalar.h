/* What a plain (unquoted) scalar of YAML 1.1 means, after PyYAML's resolver. */
#ifndef PLUMB_IO_YAML_SCALAR_H
#define PLUMB_IO_YAML_SCALAR_H

#include "base/setting.h"
#include "base/status.h"

/* Sets out->plain and out->is_null from `text`, which out->text becomes; what is made anew lives in the arena. Numbers
 * beyond 64 bits keep their digits. */
plumb_status plumb_yaml_resolve(const char *text, plumb_arena *arena, plumb_setting_value *out) PLUMB_MUST_USE;

#endif
