/* The built-in rules for English, as rows of patterns (judge_rules.h). */
#ifndef PLUMB_STUDY_JUDGE_ENGLISH_H
#define PLUMB_STUDY_JUDGE_ENGLISH_H

#include "study/judge_rules.h"

typedef struct plumb_english_rule {
    plumb_rule_list list;
    const char *pattern;
} plumb_english_rule;

const plumb_english_rule *plumb_english_rules(size_t *count);

#endif
