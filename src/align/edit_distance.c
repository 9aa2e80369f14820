#include "align/edit_distance.h"

#include <stdlib.h>
#include <string.h>

static int compare_ids(const void *x, const void *y)
{
    int32_t a = *(const int32_t *)x, b = *(const int32_t *)y;
    return (a > b) - (a < b);
}

/* Index of id among the sorted distinct ids, or -1. */
static int find_id(const int32_t *sorted, size_t count, int32_t id)
{
    int lo = 0, hi = (int)count;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (sorted[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < (int)count && sorted[lo] == id ? lo : -1;
}

typedef struct block {
    uint64_t positive, negative; /* vertical differences: +1 and -1 bits */
} block;

/* One column of one block. `in` is the horizontal difference entering at the top, the one leaving at `last` (a bit
 * mask) is returned: -1, 0 or 1. */
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

/* Distance of a [n] and b [m], 0 < n. Blocks of 64 elements of a, one after another over all of b, so that memory is
 * linear: step[j] is the horizontal difference that leaves a block in column j and enters the next. */
static plumb_status blockwise(plumb_arena *scratch, const int32_t *a, int n, const int32_t *b, int m, int *out)
{
    int32_t *sorted, *id; /* the distinct elements of a; which of them stands in each column, -1: none */
    uint64_t *equal;      /* [distinct]: where each of them stands in the block */
    signed char *step;
    size_t distinct = 0;
    int distance = n;
    PLUMB_TRY(plumb_arena_copy(scratch, &sorted, a, (size_t)n * sizeof *a));
    PLUMB_TRY(plumb_arena_new(scratch, &id, (size_t)m, sizeof *id));
    PLUMB_TRY(plumb_arena_new(scratch, &step, (size_t)m, sizeof *step));
    qsort(sorted, (size_t)n, sizeof *sorted, compare_ids);
    for (int i = 0; i < n; i++)
        if (i == 0 || sorted[i] != sorted[i - 1]) sorted[distinct++] = sorted[i];
    PLUMB_TRY(plumb_arena_new(scratch, &equal, distinct, sizeof *equal));
    for (int j = 0; j < m; j++) {
        id[j] = find_id(sorted, distinct, b[j]);
        step[j] = 1; /* the row above the first: 0, 1, 2, ... */
    }
    for (int first = 0; first < n; first += 64) {
        int height = n - first < 64 ? n - first : 64;
        block v = {.positive = ~0ull};
        uint64_t last = 1ull << (height - 1);
        memset(equal, 0, distinct * sizeof *equal);
        for (int i = 0; i < height; i++) equal[find_id(sorted, distinct, a[first + i])] |= 1ull << i;
        for (int j = 0; j < m; j++) step[j] = (signed char)advance(&v, id[j] < 0 ? 0 : equal[id[j]], step[j], last);
    }
    for (int j = 0; j < m; j++) distance += step[j];
    *out = distance;
    return PLUMB_OK;
}

plumb_status plumb_edit_distance(plumb_arena *scratch, const int32_t *a, int n, const int32_t *b, int m, int *out)
{
    while (n && m && a[0] == b[0]) a++, b++, n--, m--; /* equal ends cost nothing and do not change the distance */
    while (n && m && a[n - 1] == b[m - 1]) n--, m--;
    *out = n > m ? n : m;
    if (n == 0 || m == 0) return PLUMB_OK;
    return n <= m ? blockwise(scratch, a, n, b, m, out) : blockwise(scratch, b, m, a, n, out);
}
