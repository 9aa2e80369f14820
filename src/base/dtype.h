/* Number formats of stored weights and their exact widening to fp32. */
#ifndef PLUMB_BASE_DTYPE_H
#define PLUMB_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum plumb_dtype { PLUMB_F32, PLUMB_F16, PLUMB_BF16 } plumb_dtype;

static inline size_t plumb_dtype_size(plumb_dtype t)
{
    return t == PLUMB_F32 ? 4 : 2;
}

static inline const char *plumb_dtype_name(plumb_dtype t) /* as config.json spells it */
{
    return t == PLUMB_F32 ? "float32" : t == PLUMB_F16 ? "float16" : "bfloat16";
}

static inline float plumb_from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Round to nearest, ties to even; NaN stays a (quiet) NaN. */
static inline uint16_t plumb_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float plumb_from_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 0x3ffu, wide;
    if (exponent == 31) {
        wide = sign | 0x7f800000u | fraction << 13;
    } else if (exponent) {
        wide = sign | (exponent + 112) << 23 | fraction << 13;
    } else { /* subnormal: fraction * 2^-24, exact in fp32 */
        float value = (float)fraction * 0x1p-24f;
        memcpy(&wide, &value, sizeof wide);
        wide |= sign;
    }
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Round to nearest, ties to even; beyond the largest finite value infinity; NaN stays a NaN. */
static inline uint16_t plumb_to_f16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return sign | 0x7e00u;
    if (bits >= 0x477ff000u) return sign | 0x7c00u; /* from 65520 on */
    if (bits < 0x38800000u) {                       /* subnormal: a multiple of 2^-24, rounded by the addition of 0.5 */
        float size, half = 0.5f;
        memcpy(&size, &bits, sizeof size);
        size += half; /* the unit of a float in [0.5, 1) is 2^-24 */
        memcpy(&bits, &size, sizeof bits);
        return sign | (uint16_t)(bits - 0x3f000000u);
    }
    bits += 0xfffu + (bits >> 13 & 1u);
    return sign | (uint16_t)((bits - 0x38000000u) >> 13);
}

/* Element i of an array of type t. */
static inline float plumb_load(const void *data, plumb_dtype t, size_t i)
{
    if (t == PLUMB_F32) {
        float value;
        memcpy(&value, (const char *)data + 4 * i, sizeof value);
        return value;
    }
    uint16_t bits;
    memcpy(&bits, (const char *)data + 2 * i, sizeof bits);
    return t == PLUMB_F16 ? plumb_from_f16(bits) : plumb_from_bf16(bits);
}

/* Writes element i of an array of type t, rounded to nearest even. */
static inline void plumb_narrow(void *data, plumb_dtype t, size_t i, float value)
{
    if (t == PLUMB_F32) {
        memcpy((char *)data + 4 * i, &value, sizeof value);
        return;
    }
    uint16_t bits = t == PLUMB_F16 ? plumb_to_f16(value) : plumb_to_bf16(value);
    memcpy((char *)data + 2 * i, &bits, sizeof bits);
}

#endif
