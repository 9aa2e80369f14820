/* One hash for a sequence of rows, from the hashes of the rows: line ends, blank lines and compression do not matter to
 * it, and it can be carried on from any row. */
#ifndef PLUMB_BASE_ROW_HASH_H
#define PLUMB_BASE_ROW_HASH_H

#include <stdint.h>
#include <xxhash.h>

/* Starts at 0; every row's XXH3-64 is added in file order. The same on machines of either byte order. */
static inline uint64_t plumb_add_row_hash(uint64_t hash, uint64_t row_hash)
{
    unsigned char bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(hash >> 8 * i);
        bytes[8 + i] = (unsigned char)(row_hash >> 8 * i);
    }
    return XXH3_64bits(bytes, sizeof bytes);
}

#endif
