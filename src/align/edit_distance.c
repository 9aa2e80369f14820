#include "align/edit_distance.h"

/* The distinct elements of a sequence, numbered in the order of their first place: open addressing, the table at least
 * twice as large as the sequence. */
typedef struct numbering {
    int32_t *id;     /* of each slot */
    int32_t *number; /* one more than the element's number; 0: the slot is free */
    size_t mask;
    int32_t count;
} numbering;

static plumb_status new_numbering(plumb_arena *scratch, int n, numbering *out)
{
    size_t slots = 16;
    while (slots < 2 * (size_t)n) slots *= 2;
    *out = (numbering){.mask = slots - 1};
    PLUMB_TRY(plumb_arena_new(scratch, &out->id, slots, sizeof *out->id));
    return plumb_arena_new(scratch, &out->number, slots, sizeof *out->number);
}

/* The number of an element, or -1; `add` gives a new one to an element that has none. */
static int32_t number_of(numbering *t, int32_t id, bool add)
{
    size_t slot = (uint32_t)id * 2654435769u >> 7 & t->mask;
    while (t->number[slot] && t->id[slot] != id) slot = (slot + 1) & t->mask;
    if (t->number[slot]) return t->number[slot] - 1;
    if (!add) return -1;
    t->id[slot] = id;
    t->number[slot] = ++t->count;
    return t->count - 1;
}

typedef struct block {
    uint64_t positive, negative; /* vertical differences: +1 and -1 bits */
} block;

/* One column of one block. `in` is the horizontal difference entering at the top, 1 for +1 and 2 for -1; the one
 * leaving at the block's last row, number `last`, is returned in the same form. Without branches, as the differences
 * are hard to predict. */
static inline unsigned advance(block *v, uint64_t equal, unsigned in, int last)
{
    uint64_t x = equal | v->negative;
    equal |= in >> 1;
    uint64_t d = (((equal & v->positive) + v->positive) ^ v->positive) | equal;
    uint64_t up = v->negative | ~(d | v->positive), down = v->positive & d;
    unsigned out = (unsigned)(up >> last & 1) | (unsigned)(down >> last & 1) << 1;
    up = up << 1 | (in & 1);
    down = down << 1 | in >> 1;
    v->positive = down | ~(x | up);
    v->negative = up & x;
    return out;
}

/* Distance of a [n] and b [m], 0 < n. Blocks of 64 elements of a, one after another over all of b, so that memory is
 * linear: step[j] is the horizontal difference that leaves a block in column j and enters the next. */
static plumb_status blockwise(plumb_arena *scratch, const int32_t *a, int n, const int32_t *b, int m, int *out)
{
    numbering t;
    int32_t *row, *column; /* numbers of the elements of a and b; those of b that a does not have stand for nothing */
    uint64_t *equal;       /* [numbers + 1]: where each stands in the block; the last one nowhere */
    unsigned char *step;
    int distance = n;
    PLUMB_TRY(new_numbering(scratch, n, &t));
    PLUMB_TRY(plumb_arena_new(scratch, &row, (size_t)n, sizeof *row));
    PLUMB_TRY(plumb_arena_new(scratch, &column, (size_t)m, sizeof *column));
    PLUMB_TRY(plumb_arena_new(scratch, &step, (size_t)m, sizeof *step));
    for (int i = 0; i < n; i++) row[i] = number_of(&t, a[i], true);
    PLUMB_TRY(plumb_arena_new(scratch, &equal, (size_t)t.count + 1, sizeof *equal));
    for (int j = 0; j < m; j++) {
        int32_t number = number_of(&t, b[j], false);
        column[j] = number < 0 ? t.count : number;
        step[j] = 1; /* the row above the first: 0, 1, 2, ... */
    }
    for (int first = 0; first < n; first += 64) {
        int height = n - first < 64 ? n - first : 64;
        block v = {.positive = ~0ull};
        for (int i = 0; i < height; i++) equal[row[first + i]] |= 1ull << i;
        for (int j = 0; j < m; j++) step[j] = (unsigned char)advance(&v, equal[column[j]], step[j], height - 1);
        for (int i = 0; i < height; i++) equal[row[first + i]] = 0;
    }
    for (int j = 0; j < m; j++) distance += (step[j] & 1) - (step[j] >> 1);
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
