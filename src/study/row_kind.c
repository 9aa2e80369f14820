#include "study/row_kind.h"

#include <stdbool.h>
#include <string.h>

static bool has(const json_t *row, const char *key)
{
    return json_object_get(row, key) != NULL;
}

/* Data may have a column "step", but texts too. */
static bool only_numbers(const json_t *row)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)row, key, value)
    {
        if (!json_is_number(value) && !json_is_null(value)) return false;
    }
    return true;
}

plumb_row_kind plumb_row_kind_of(const json_t *row)
{
    const char *kind = json_string_value(json_object_get(row, "kind"));
    if (!json_is_object(row)) return PLUMB_ROW_UNKNOWN;
    if (kind && strcmp(kind, "identify") == 0) return PLUMB_ROW_IDENTIFY;
    if (has(json_object_get(row, "chosen"), "tokens")) return PLUMB_ROW_EXPLAIN;
    if (has(row, "dlogp_chosen") && has(row, "index")) return PLUMB_ROW_TRACE;
    /* Before "index" and "row": plumb pair writes both, to tell where its pairs come from. */
    if ((has(row, "chosen") && has(row, "rejected")) || (has(row, "chosen_ids") && has(row, "rejected_ids")))
        return PLUMB_ROW_DATA;
    if (!has(row, "index") || !has(row, "row"))
        return has(row, "step") && only_numbers(row) ? PLUMB_ROW_METRICS : PLUMB_ROW_DATA;
    if (has(row, "step") && (has(row, "logps/chosen") || has(row, "logps") || has(row, "reward/chosen")))
        return PLUMB_ROW_LEDGER; /* of pairs, KTO's completions, a reward model */
    if (has(row, "label")) return PLUMB_ROW_JUDGE;
    return has(row, "response") ? PLUMB_ROW_RESPONSES : PLUMB_ROW_SCORES;
}

const char *plumb_row_kind_name(plumb_row_kind kind)
{
    static const char *const names[] = {"no rows",
                                        "preference data",
                                        "rows of plumb score",
                                        "a ledger",
                                        "metrics of a run",
                                        "rows of plumb trace",
                                        "rows of plumb explain",
                                        "statistics of plumb identify",
                                        "responses of plumb generate",
                                        "labels of plumb judge"};
    return names[kind];
}
