/* Levenshtein distance of token sequences, bit-parallel: Myers 1999 (J. ACM 46:3) in the block form of Hyyro 2003.
 * O(ceil(n / 64) m + (n + m) log n) time and O(n + m) memory for lengths n <= m. */
#ifndef PLUMB_ALIGN_EDIT_DISTANCE_H
#define PLUMB_ALIGN_EDIT_DISTANCE_H

#include <stdint.h>

#include "base/memory.h"

/* Distance between a [n] and b [m] (insertions, deletions, substitutions cost 1). scratch is an arena that is reset by
 * the caller; sequences may be empty. */
plumb_status plumb_edit_distance(plumb_arena *scratch, const int32_t *a, int n, const int32_t *b, int m,
                                 int *out) PLUMB_MUST_USE;

#endif
