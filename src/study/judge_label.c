#include "study/judge_label.h"

#include <string.h>

static const char *const names[PLUMB_LABELS] = {"refusal", "compliance", "evasive", "empty", "unreadable"};

const char *plumb_label_name(plumb_label label)
{
    return label < 0 || label >= PLUMB_LABELS ? NULL : names[label];
}

bool plumb_label_find(const char *name, size_t n, plumb_label *out)
{
    for (int i = 0; i < PLUMB_LABELS; i++) {
        if (strlen(names[i]) != n || memcmp(names[i], name, n) != 0) continue;
        *out = (plumb_label)i;
        return true;
    }
    return false;
}
