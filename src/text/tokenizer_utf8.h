/* UTF-8, mostly of text that is known to be valid. */
#ifndef PLUMB_TEXT_TOKENIZER_UTF8_H
#define PLUMB_TEXT_TOKENIZER_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/* Bytes of the character that begins with this byte (of valid UTF-8). */
static inline size_t plumb_utf8_size(char lead)
{
    uint8_t b = (uint8_t)lead;
    return b < 0x80 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
}

/* The character at text[*at] of valid UTF-8; moves *at behind it. */
static inline uint32_t plumb_utf8_next(const char *text, size_t *at)
{
    const uint8_t *b = (const uint8_t *)text + *at;
    if (b[0] < 0x80) {
        *at += 1;
        return b[0];
    }
    if (b[0] < 0xE0) {
        *at += 2;
        return (b[0] & 0x1FU) << 6 | (b[1] & 0x3FU);
    }
    if (b[0] < 0xF0) {
        *at += 3;
        return (b[0] & 0x0FU) << 12 | (b[1] & 0x3FU) << 6 | (b[2] & 0x3FU);
    }
    *at += 4;
    return (b[0] & 0x07U) << 18 | (b[1] & 0x3FU) << 12 | (b[2] & 0x3FU) << 6 | (b[3] & 0x3FU);
}

/* Where the character before `at` (> 0) begins. */
static inline size_t plumb_utf8_before(const char *text, size_t at)
{
    do at--;
    while (((uint8_t)text[at] & 0xC0) == 0x80);
    return at;
}

/* Writes c as UTF-8; returns how many bytes. */
size_t plumb_utf8_put(uint32_t c, char out[4]);

/* The offset of the first byte that is not UTF-8 (surrogates, overlong forms and cut characters included), or n. */
size_t plumb_utf8_invalid(const char *text, size_t n);

/* Appends bytes as text; every maximal part of a character that is cut or wrong becomes one U+FFFD. */
plumb_status plumb_utf8_append_lossy(plumb_text *t, const char *bytes, size_t n) PLUMB_MUST_USE;

#endif
