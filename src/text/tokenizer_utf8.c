#include "text/tokenizer_utf8.h"

#include <string.h>

size_t plumb_utf8_put(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

/* The length of the character at b[0..n) when it is whole; otherwise minus the length of its longest good beginning (at
 * least 1), which is what one replacement character stands for (Unicode 16, 3.9, table 3-7). */
static int measure(const uint8_t *b, size_t n)
{
    if (b[0] < 0x80) return 1;
    if (b[0] < 0xC2 || b[0] > 0xF4) return -1;
    int size = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
    uint8_t low = b[0] == 0xE0 ? 0xA0 : b[0] == 0xF0 ? 0x90 : 0x80;
    uint8_t high = b[0] == 0xED ? 0x9F : b[0] == 0xF4 ? 0x8F : 0xBF;
    for (int i = 1; i < size; i++) {
        if ((size_t)i >= n || b[i] < low || b[i] > high) return -i;
        low = 0x80;
        high = 0xBF;
    }
    return size;
}

size_t plumb_utf8_invalid(const char *text, size_t n)
{
    const uint8_t *b = (const uint8_t *)text;
    size_t at = 0;
    while (at < n) {
        uint64_t block;
        if (n - at >= sizeof block) {
            memcpy(&block, b + at, sizeof block);
            if (!(block & 0x8080808080808080U)) {
                at += sizeof block;
                continue;
            }
        }
        int size = measure(b + at, n - at);
        if (size < 0) return at;
        at += (size_t)size;
    }
    return n;
}

plumb_status plumb_utf8_append_lossy(plumb_text *t, const char *bytes, size_t n)
{
    while (n) {
        size_t good = plumb_utf8_invalid(bytes, n);
        PLUMB_TRY(plumb_text_append(t, bytes, good));
        bytes += good;
        n -= good;
        if (!n) break;
        size_t bad = (size_t)-measure((const uint8_t *)bytes, n);
        PLUMB_TRY(plumb_text_string(t, "\xEF\xBF\xBD"));
        bytes += bad;
        n -= bad;
    }
    return PLUMB_OK;
}
