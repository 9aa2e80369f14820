#include "model/rope.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

#define TAU 6.283185307179586476925286766559

/* Llama 3.1: long waves are stretched by `factor`, short ones stay, those between are blended. */
static double llama3_scaled(const plumb_rope *r, double frequency)
{
    double wave = TAU / frequency;
    if (wave < r->original_positions / r->high_freq_factor) return frequency;
    if (wave > r->original_positions / r->low_freq_factor) return frequency / r->factor;
    double smooth = (r->original_positions / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * frequency / r->factor + smooth * frequency;
}

void plumb_rope_frequencies(const plumb_rope *rope, int rotary, double *out)
{
    for (int i = 0; i < rotary / 2; i++) {
        double frequency = pow(rope->theta, -2.0 * i / rotary);
        if (rope->kind == PLUMB_ROPE_LINEAR) frequency /= rope->factor;
        if (rope->kind == PLUMB_ROPE_LLAMA3) frequency = llama3_scaled(rope, frequency);
        out[i] = frequency;
    }
}

plumb_status plumb_rope_tables(const plumb_rope *rope, int rotary, int positions, float *cosine, float *sine)
{
    double *frequency;
    int half = rotary / 2;
    PLUMB_TRY(plumb_new(&frequency, (size_t)half, sizeof *frequency));
    plumb_rope_frequencies(rope, rotary, frequency);
    for (int p = 0; p < positions; p++)
        for (int i = 0; i < half; i++) {
            cosine[(size_t)p * half + i] = (float)cos(p * frequency[i]);
            sine[(size_t)p * half + i] = (float)sin(p * frequency[i]);
        }
    free(frequency);
    return PLUMB_OK;
}
