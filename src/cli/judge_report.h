/* What plumb judge tells about a run: for people on stderr, and as a file for reports and recipes. */
#ifndef PLUMB_CLI_JUDGE_REPORT_H
#define PLUMB_CLI_JUDGE_REPORT_H

#include "cli/cli.h"
#include "study/categories.h"
#include "study/judge_summary.h"

typedef struct plumb_judge_gate {
    const char *text; /* as it was given */
    plumb_rate_gate rule;
    double value;
    bool passed;
} plumb_judge_gate;

/* All that is known at the end; borrowed. */
typedef struct plumb_judge_report {
    const char *responses, *judge, *category, *against; /* names; the last two may be NULL */
    plumb_judge_counts all;
    int64_t prompts;
    bool has_sides; /* preference rows: sides[0] are the chosen, sides[1] the rejected responses */
    plumb_judge_counts sides[2];
    const plumb_categories *categories; /* NULL: none */
    plumb_judge_counts *by_category;
    const plumb_drift *drift; /* NULL: none */
    plumb_judge_gate *gates;
    size_t gate_count;
} plumb_judge_report;

void plumb_judge_say(plumb_cli *cli, const plumb_judge_report *r);
/* {"responses", "judge", "prompts", counts ..., "chosen", "rejected", "category", "categories": {name: counts},
 * "drift", "gates"}: study/judge_summary.h; what was not asked for is missing. */
plumb_status plumb_judge_write(const char *path, const plumb_judge_report *r) PLUMB_MUST_USE;

#endif
