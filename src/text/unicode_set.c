#include "text/unicode_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

plumb_status plumb_set_add(plumb_set *set, uint32_t first, uint32_t last)
{
    PLUMB_TRY(plumb_reserve(&set->data, &set->capacity, set->count + 1, sizeof *set->data));
    set->data[set->count++] = (plumb_range){first, last};
    return PLUMB_OK;
}

plumb_status plumb_set_add_ranges(plumb_set *set, const plumb_range *ranges, size_t count)
{
    PLUMB_TRY(plumb_reserve(&set->data, &set->capacity, set->count + count, sizeof *set->data));
    if (count) memcpy(set->data + set->count, ranges, count * sizeof *ranges);
    set->count += count;
    return PLUMB_OK;
}

static int by_first(const void *a, const void *b)
{
    uint32_t x = ((const plumb_range *)a)->first, y = ((const plumb_range *)b)->first;
    return (x > y) - (x < y);
}

void plumb_set_tidy(plumb_set *set)
{
    if (set->count < 2) return;
    qsort(set->data, set->count, sizeof *set->data, by_first);
    size_t kept = 0;
    for (size_t i = 1; i < set->count; i++) {
        plumb_range *last = &set->data[kept];
        if (set->data[i].first <= last->last + 1) {
            if (set->data[i].last > last->last) last->last = set->data[i].last;
        } else {
            set->data[++kept] = set->data[i];
        }
    }
    set->count = kept + 1;
}

plumb_status plumb_set_complement(plumb_set *set)
{
    plumb_set out = {0};
    uint32_t next = 0;
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < set->count && !s; i++) {
        if (set->data[i].first > next) s = plumb_set_add(&out, next, set->data[i].first - 1);
        next = set->data[i].last + 1;
    }
    if (!s && next <= PLUMB_LAST_CODE_POINT) s = plumb_set_add(&out, next, PLUMB_LAST_CODE_POINT);
    plumb_set_free(set);
    *set = out;
    return s;
}

plumb_status plumb_set_intersect(plumb_set *set, const plumb_set *with)
{
    plumb_set out = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0, j = 0; i < set->count && j < with->count && !s;) {
        plumb_range a = set->data[i], b = with->data[j];
        uint32_t first = a.first > b.first ? a.first : b.first, last = a.last < b.last ? a.last : b.last;
        if (first <= last) s = plumb_set_add(&out, first, last);
        if (a.last < b.last)
            i++;
        else
            j++;
    }
    plumb_set_free(set);
    *set = out;
    return s;
}

bool plumb_set_equal(const plumb_set *a, const plumb_set *b)
{
    return a->count == b->count && (!a->count || memcmp(a->data, b->data, a->count * sizeof *a->data) == 0);
}

void plumb_set_free(plumb_set *set)
{
    free(set->data);
    *set = (plumb_set){0};
}

bool plumb_ranges_hold(const plumb_range *ranges, size_t count, uint32_t c)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= c;
}
