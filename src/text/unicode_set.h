/* Sets of code points as sorted ranges. */
#ifndef PLUMB_TEXT_UNICODE_SET_H
#define PLUMB_TEXT_UNICODE_SET_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { PLUMB_LAST_CODE_POINT = 0x10FFFF };

typedef struct plumb_range {
    uint32_t first;
    uint32_t last; /* included */
} plumb_range;

/* {0} is empty. Sorted, disjoint and not adjacent after plumb_set_tidy, which every function but plumb_set_add wants.
 */
typedef struct plumb_set {
    plumb_range *data;
    size_t count;
    size_t capacity;
} plumb_set;

plumb_status plumb_set_add(plumb_set *set, uint32_t first, uint32_t last) PLUMB_MUST_USE;
plumb_status plumb_set_add_ranges(plumb_set *set, const plumb_range *ranges, size_t count) PLUMB_MUST_USE;
void plumb_set_tidy(plumb_set *set);
plumb_status plumb_set_complement(plumb_set *set) PLUMB_MUST_USE;
plumb_status plumb_set_intersect(plumb_set *set, const plumb_set *with) PLUMB_MUST_USE;
bool plumb_set_equal(const plumb_set *a, const plumb_set *b);
void plumb_set_free(plumb_set *set);

/* Is c in one of `count` sorted ranges? */
bool plumb_ranges_hold(const plumb_range *ranges, size_t count, uint32_t c);

#endif
