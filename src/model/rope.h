/* Rotary position tables (Su et al. 2021, arXiv 2104.09864; llama3 scaling as in Llama 3.1). */
#ifndef PLUMB_MODEL_ROPE_H
#define PLUMB_MODEL_ROPE_H

#include "model/config.h"

/* out [rotary / 2]: the angle that one position adds to each pair, in fp64. */
void plumb_rope_frequencies(const plumb_rope *rope, int rotary, double *out);

/* Cosines and sines [positions][rotary / 2] of the angles position * frequency, the angles in fp64. */
plumb_status plumb_rope_tables(const plumb_rope *rope, int rotary, int positions, float *cosine,
                               float *sine) PLUMB_MUST_USE;

#endif
