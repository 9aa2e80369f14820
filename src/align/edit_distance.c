#include "align/edit_distance.h"

#include <stdlib.h>
#include <string.h>

static int compare_ids(const void *x, const void *y)
{
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return (a > b) - (a < b);
}

/* Index of id among the sorted distinct ids, or -1. */
static int find_id(const int32_t *sorted, int count, int32_t id)
{
    int lo = 0, hi = count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (sorted[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < count && sorted[lo] == id ? lo : -1;
}

typedef struct block {
    uint64_t positive, negative; /* vertical differences: +1 and -1 bits */
} block;

/* One column of one block. `in` is the horizontal difference entering at the top, the one leaving at `last` (a bit mask) is
 * returned: -1, 0 or 1. */
static int advance(block *v, uint64_t equal, int in, uint64_t last)
{
    uint64_t x = equal | v->negative;
    if (in < 0) equal |= 1;
    uint64_t d = (((equal & v->positive) + v->positive) ^ v->positive) | equal;
    uint64_t up = v->negative | ~(d | v->positive), down = v->positive & d;
    int out = (up & last) ? 1 : (down & last) ? -1 : 0;
    up = up << 1 | (in > 0);
    down = down << 1 | (in < 0);
    v->positive = down | ~(x | up);
    v->negative = up & x;
    return out;
}

plumb_status plumb_edit_distance(plumb_arena *scratch, const int32_t *a, int n, const int32_t *b, int m, int *out)
{
    while (n && m && a[0] == b[0]) a++, b++, n--, m--; /* equal ends cost nothing and do not change the distance */
    while (n && m && a[n - 1] == b[m - 1]) n--, m--;
    if (n > m) {
        const int32_t *t = a;
        a = b;
        b = t;
        int k = n;
        n = m;
        m = k;
    }
    *out = m;
    if (n == 0) return PLUMB_OK;
    int blocks = (n + 63) / 64, distinct = 0;
    int32_t *sorted;
    uint64_t *equal; /* [distinct][blocks]: where each id stands in a */
    block *v;
    PLUMB_TRY(plumb_arena_copy(scratch, &sorted, a, (size_t)n * sizeof *a));
    qsort(sorted, (size_t)n, sizeof *sorted, compare_ids);
    for (int i = 0; i < n; i++)
        if (i == 0 || sorted[i] != sorted[i - 1]) sorted[distinct++] = sorted[i];
    PLUMB_TRY(plumb_arena_new(scratch, &equal, (size_t)distinct * (size_t)blocks, sizeof *equal));
    PLUMB_TRY(plumb_arena_new(scratch, &v, (size_t)blocks, sizeof *v));
    for (int i = 0; i < n; i++)
        equal[(size_t)find_id(sorted, distinct, a[i]) * (size_t)blocks + (size_t)(i / 64)] |= 1ull << (i % 64);
    for (int k = 0; k < blocks; k++) v[k].positive = ~0ull;
    uint64_t last = 1ull << ((n - 1) % 64);
    int distance = n;
    for (int j = 0; j < m; j++) {
        int id = find_id(sorted, distinct, b[j]), carry = 1;
        for (int k = 0; k < blocks; k++)
            carry = advance(&v[k], id < 0 ? 0 : equal[(size_t)id * (size_t)blocks + (size_t)k], carry,
                            k == blocks - 1 ? last : 1ull << 63);
        distance += carry;
    }
    *out = distance;
    return PLUMB_OK;
}
