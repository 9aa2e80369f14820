/* Counter-based random numbers: value i of stream s is a function of (seed, s, i) alone, so that results do not depend
 * on threads, batches or the order of calls. Philox 4x32-10 (Salmon et al., SC 2011). */
#ifndef PLUMB_BASE_RANDOM_H
#define PLUMB_BASE_RANDOM_H

#include <stdint.h>

/* Four 32-bit words for (seed, stream, counter). */
void plumb_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* Uniform in [0, 1) with 53 bits, and standard normal (Box-Muller in fp64). */
double plumb_uniform(uint64_t seed, uint64_t stream, uint64_t counter);
double plumb_normal(uint64_t seed, uint64_t stream, uint64_t counter);

#endif
