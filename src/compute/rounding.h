/* Rounding of fp32 to bf16 in place, to nearest even; NaN stays NaN. */
#ifndef PLUMB_COMPUTE_ROUNDING_H
#define PLUMB_COMPUTE_ROUNDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Returns false when one of the rounded values is NaN or infinite: numbers from 0x1.ffp127 on round to infinity. */
static inline bool plumb_round_bf16(float *x, size_t n)
{
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits, rounded;
        memcpy(&bits, x + i, sizeof bits);
        rounded = (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
        bits = (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x00400000u : rounded;
        memcpy(x + i, &bits, sizeof bits);
        largest = bits << 1 > largest ? bits << 1 : largest;
    }
    return largest < 0xff000000u;
}

#endif
