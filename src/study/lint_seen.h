/* Which pairs a file has held so far: a hash set of 16 bytes an entry, about 30 bytes a pair with its free places. */
#ifndef PLUMB_STUDY_LINT_SEEN_H
#define PLUMB_STUDY_LINT_SEEN_H

#include <stdint.h>
#include <xxhash.h>

#include "base/memory.h"

typedef struct plumb_seen plumb_seen;

plumb_status plumb_seen_new(plumb_seen **out) PLUMB_MUST_USE;
void plumb_seen_free(plumb_seen *seen); /* NULL is fine */

/* The line of the first pair with this hash, 0: none. Of the hash 88 bits are compared: among a billion pairs the
 * chance that two different ones are taken for the same is 1 in 600 million. */
int64_t plumb_seen_find(const plumb_seen *seen, XXH128_hash_t hash);

/* Adds a pair that is not there yet; 0 < line < 2^40. */
plumb_status plumb_seen_add(plumb_seen *seen, XXH128_hash_t hash, int64_t line) PLUMB_MUST_USE;

#endif
