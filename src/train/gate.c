#include "train/gate.h"

#include <stdlib.h>
#include <string.h>

plumb_status plumb_gate_parse(const char *text, plumb_gate *out)
{
    static const char lowest[] = "keep-lowest:", lowest_snake[] = "keep_lowest:";
    size_t n = sizeof lowest - 1;
    *out = (plumb_gate){.kind = PLUMB_GATE_NONE};
    if (!text || strcmp(text, "none") == 0) return PLUMB_OK;
    if (strcmp(text, "weight") == 0) {
        out->kind = PLUMB_GATE_WEIGHT;
        return PLUMB_OK;
    }
    if (strncmp(text, lowest, n) != 0 && strncmp(text, lowest_snake, n) != 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--ches_gate: \"%s\" is no gate", text),
                          "write keep-lowest:5%%, keep-lowest:500 or weight");
    out->kind = PLUMB_GATE_KEEP_LOWEST;
    return plumb_context(plumb_amount_parse(text + n, &out->keep), "--ches_gate");
}

typedef struct ranked {
    double ln_ches;
    size_t example;
} ranked;

static int compare_ranked(const void *x, const void *y)
{
    const ranked *a = x, *b = y;
    if (a->ln_ches != b->ln_ches) return a->ln_ches < b->ln_ches ? -1 : 1;
    return (a->example > b->example) - (a->example < b->example);
}

/* The mean of 1 - rank / (n - 1) over 0 .. n - 1 is 1/2, so doubling scales it to 1. */
static double rank_weight(size_t rank, size_t n)
{
    return n == 1 ? 1 : 2 * (1 - (double)rank / (double)(n - 1));
}

plumb_status plumb_gate_apply(const plumb_gate *gate, const double *ln_ches, plumb_examples *e, size_t *kept)
{
    ranked *order;
    *kept = e->count;
    if (gate->kind == PLUMB_GATE_NONE) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&order, e->count, sizeof *order));
    for (size_t i = 0; i < e->count; i++) order[i] = (ranked){ln_ches[i], i};
    qsort(order, e->count, sizeof *order, compare_ranked);
    size_t keep = (size_t)plumb_amount_count(&gate->keep, (int64_t)e->count, true);
    *kept = 0;
    for (size_t r = 0; r < e->count; r++) {
        double weight = gate->kind == PLUMB_GATE_WEIGHT ? rank_weight(r, e->count) : r < keep ? 1 : 0;
        e->list[order[r].example].weight = weight;
        *kept += weight > 0;
    }
    free(order);
    if (*kept) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--ches_gate leaves no pair"), "keep more");
}
