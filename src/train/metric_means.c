#include "train/metric_means.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

enum { DIGITS = 9 };

static plumb_metric_mean *find(const plumb_metric_means *m, const char *name)
{
    for (size_t i = 0; i < m->count; i++)
        if (strncmp(m->list[i].name, name, PLUMB_METRIC_NAME - 1) == 0) return &m->list[i];
    return NULL;
}

static plumb_status add(plumb_metric_means *m, const char *name, double sum, int64_t count)
{
    plumb_metric_mean *x = find(m, name);
    if (!x) {
        PLUMB_TRY(plumb_reserve(&m->list, &m->capacity, m->count + 1, sizeof *m->list));
        x = &m->list[m->count++];
        *x = (plumb_metric_mean){.count = 0};
        snprintf(x->name, sizeof x->name, "%s", name);
    }
    x->sum += sum;
    x->count += count;
    return PLUMB_OK;
}

plumb_status plumb_means_add(plumb_metric_means *m, const char *name, double value)
{
    return add(m, name, value, 1);
}

plumb_status plumb_means_merge(plumb_metric_means *m, const plumb_metric_means *from)
{
    for (size_t i = 0; i < from->count; i++)
        PLUMB_TRY(add(m, from->list[i].name, from->list[i].sum, from->list[i].count));
    return PLUMB_OK;
}

plumb_status plumb_means_write(const plumb_metric_means *m, plumb_text *out)
{
    for (size_t i = 0; i < m->count; i++) {
        const plumb_metric_mean *x = &m->list[i];
        PLUMB_TRY(plumb_text_string(out, ","));
        PLUMB_TRY(plumb_json_quote(out, x->name, strlen(x->name)));
        PLUMB_TRY(plumb_text_string(out, ":"));
        PLUMB_TRY(plumb_json_real(out, x->sum / (double)x->count, DIGITS));
    }
    return PLUMB_OK;
}

json_t *plumb_means_pack(const plumb_metric_means *m)
{
    json_t *all = json_array();
    for (size_t i = 0; all && i < m->count; i++) {
        const plumb_metric_mean *x = &m->list[i];
        json_t *sum = isfinite(x->sum) ? json_real(x->sum) : json_null();
        json_t *one = json_pack("[s, o, I]", x->name, sum, (json_int_t)x->count);
        if (!one || json_array_append_new(all, one)) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

plumb_status plumb_means_unpack(plumb_metric_means *m, const json_t *packed)
{
    const json_t *one;
    size_t at;
    plumb_means_clear(m);
    json_array_foreach(packed, at, one)
    {
        const char *name = json_string_value(json_array_get(one, 0));
        const json_t *sum = json_array_get(one, 1);
        if (!name) return plumb_fail(PLUMB_E_INPUT, "a metric of the checkpoint has no name");
        PLUMB_TRY(add(m, name, json_is_number(sum) ? json_number_value(sum) : NAN,
                      json_integer_value(json_array_get(one, 2))));
    }
    return PLUMB_OK;
}

void plumb_means_clear(plumb_metric_means *m)
{
    m->count = 0;
}

void plumb_means_free(plumb_metric_means *m)
{
    free(m->list);
    *m = (plumb_metric_means){0};
}
