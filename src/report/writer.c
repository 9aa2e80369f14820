#include "report/writer.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

void plumb_writer_keep(plumb_writer *w, plumb_status s)
{
    if (w->error)
        plumb_status_free(s);
    else
        w->error = s;
}

plumb_status plumb_writer_end(plumb_writer *w)
{
    plumb_status s = w->error;
    w->error = NULL;
    return s;
}

void plumb_writer_free(plumb_writer *w)
{
    plumb_text_free(&w->text);
    plumb_status_free(w->error);
    *w = (plumb_writer){0};
}

void plumb_put_bytes(plumb_writer *w, const void *bytes, size_t n)
{
    if (!w->error && n) w->error = plumb_text_append(&w->text, bytes, n);
}

void plumb_put(plumb_writer *w, const char *string)
{
    plumb_put_bytes(w, string, strlen(string));
}

void plumb_putf(plumb_writer *w, const char *format, ...)
{
    char small[256], *large = NULL;
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(small, sizeof small, format, arguments);
    va_end(arguments);
    if (n >= 0 && (size_t)n < sizeof small) {
        plumb_put_bytes(w, small, (size_t)n);
        return;
    }
    va_start(arguments, format);
    n = vasprintf(&large, format, arguments);
    va_end(arguments);
    if (n < 0) {
        plumb_writer_keep(w, plumb_no_memory());
        return;
    }
    plumb_put_bytes(w, large, (size_t)n);
    free(large);
}

/* ---- characters ---- */

/* The character at p and its size in bytes; what is no UTF-8 (RFC 3629) is U+FFFD of one byte. */
static uint32_t decode(const unsigned char *p, size_t n, size_t *size)
{
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    *size = 1;
    if (*p < 0x80) return *p;
    size_t need = *p >= 0xF0 && *p < 0xF5 ? 4 : *p >= 0xE0 && *p < 0xF0 ? 3 : *p >= 0xC2 && *p < 0xE0 ? 2 : 0;
    if (!need || need > n) return 0xFFFD;
    uint32_t c = *p & (0x7FU >> need);
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0xFFFD;
        c = c << 6 | (p[i] & 0x3FU);
    }
    if (c < lowest[need] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0xFFFD;
    *size = need;
    return c;
}

static size_t encode(uint32_t c, char out[5])
{
    size_t n = 0;
    if (c < 0x80) {
        out[n++] = (char)c;
    } else {
        if (c >= 0x10000) out[n++] = (char)(0xF0 | c >> 18);
        if (c >= 0x800) out[n++] = (char)(c >= 0x10000 ? 0x80 | (c >> 12 & 0x3F) : 0xE0 | c >> 12);
        out[n++] = (char)(c >= 0x800 ? 0x80 | (c >> 6 & 0x3F) : 0xC0 | c >> 6);
        out[n++] = (char)(0x80 | (c & 0x3F));
    }
    out[n] = 0;
    return n;
}

/* Marks of direction, joiners that show nothing, separators that some readers take for line ends, the byte order mark,
 * and tag characters. The joiner of emoji (U+200D) and variation selectors stay: they change what is seen. */
static bool is_hidden(uint32_t c)
{
    return c == 0x00AD || c == 0x061C || c == 0x180E || (c >= 0x200B && c <= 0x200F && c != 0x200D) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xE0000 && c <= 0xE007F);
}

/* A character as the reader should see it. */
static size_t visible(uint32_t c, char out[16])
{
    if (c == '\n' || c == '\t') return encode(c, out);
    if (c < 0x20) return encode(0x2400 + c, out);
    if (c == 0x7F) return encode(0x2421, out);
    if ((c >= 0x80 && c < 0xA0) || is_hidden(c))
        return (size_t)snprintf(out, 16, "\xE2\x9F\xA8U+%04X\xE2\x9F\xA9", (unsigned)c);
    return encode(c, out);
}

void plumb_put_visible(plumb_writer *w, const char *bytes, size_t n, size_t most, bool *cut)
{
    size_t done = 0, size;
    if (cut) *cut = false;
    for (size_t i = 0; i < n; i += size) {
        char out[16];
        uint32_t c = decode((const unsigned char *)bytes + i, n - i, &size);
        if (c == '\r' && i + 1 < n && bytes[i + 1] == '\n') continue;
        size_t m = visible(c, out);
        if (done + m > most) {
            plumb_put(w, "\xE2\x80\xA6");
            if (cut) *cut = true;
            return;
        }
        plumb_put_bytes(w, out, m);
        done += m;
    }
}

/* ---- languages ---- */

void plumb_put_html(plumb_writer *w, const char *bytes, size_t n)
{
    size_t size;
    for (size_t i = 0; i < n; i += size) {
        char out[16];
        uint32_t c = decode((const unsigned char *)bytes + i, n - i, &size);
        const char *entity = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '"'  ? "&quot;"
                             : c == '\'' ? "&#39;"
                                         : NULL;
        if (entity)
            plumb_put(w, entity);
        else
            plumb_put_bytes(w, out, visible(c, out));
    }
}

void plumb_put_html_string(plumb_writer *w, const char *string)
{
    plumb_put_html(w, string, strlen(string));
}

void plumb_put_json(plumb_writer *w, const char *bytes, size_t n)
{
    if (!w->error) w->error = plumb_json_quote(&w->text, bytes, n);
}

void plumb_put_script_json(plumb_writer *w, const char *bytes, size_t n)
{
    size_t size;
    plumb_put(w, "\"");
    for (size_t i = 0; i < n; i += size) {
        char out[16];
        uint32_t c = decode((const unsigned char *)bytes + i, n - i, &size);
        if (c == '"' || c == '\\')
            plumb_putf(w, "\\%c", (int)c);
        else if (c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x7F || c == 0x2028 || c == 0x2029)
            plumb_putf(w, "\\u%04x", (unsigned)c);
        else
            plumb_put_bytes(w, out, encode(c, out));
    }
    plumb_put(w, "\"");
}

/* Would a spreadsheet read a field that begins so as a formula? */
static bool is_formula(uint32_t c)
{
    return c == '=' || c == '+' || c == '-' || c == '@' || c == '\t' || c == '\r' || c == '\n' || c == 0xFF1D ||
           c == 0xFF0B || c == 0xFF0D || c == 0xFF20;
}

void plumb_put_csv(plumb_writer *w, const char *bytes, size_t n)
{
    size_t size;
    plumb_put(w, "\"");
    for (size_t i = 0; i < n; i += size) {
        char out[16];
        uint32_t c = decode((const unsigned char *)bytes + i, n - i, &size);
        if (i == 0 && is_formula(c)) plumb_put(w, "'");
        if (c == '"') plumb_put(w, "\"");
        plumb_put_bytes(w, out, encode(c ? c : 0xFFFD, out)); /* programs stop at a zero byte */
    }
    plumb_put(w, "\"");
}

/* Must this character be escaped here? Some are markup only where a block begins, an underscore only beside a word. */
static bool is_markup(uint32_t c, bool starts, bool in_word)
{
    if (!c || c >= 0x80) return false;
    if (c == '_') return !in_word;
    return strchr("\\`*[]|~$!", (int)c) || (starts && strchr("#+-=>:", (int)c));
}

void plumb_put_markdown(plumb_writer *w, const char *bytes, size_t n)
{
    size_t size, digits = 0; /* digits in front and a point would begin a list */
    while (digits < n && isdigit((unsigned char)bytes[digits])) digits++;
    for (size_t i = 0; i < n; i += size) {
        char out[16];
        uint32_t c = decode((const unsigned char *)bytes + i, n - i, &size);
        bool in_word = i && i + 1 < n && isalnum((unsigned char)bytes[i - 1]) && isalnum((unsigned char)bytes[i + 1]);
        if (c == '\n' || c == '\r' || c == '\t')
            plumb_put(w, " ");
        else if (c == '<')
            plumb_put(w, "&lt;");
        else if (c == '&')
            plumb_put(w, "&amp;");
        else if (is_markup(c, i == 0, in_word) || (i && i == digits && (c == '.' || c == ')')))
            plumb_putf(w, "\\%c", (int)c);
        else
            plumb_put_bytes(w, out, visible(c, out));
    }
}

void plumb_put_uri(plumb_writer *w, const char *bytes, size_t n)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~,:/";
    for (size_t i = 0, start = 0; i <= n; i++) {
        if (i < n && bytes[i] && strchr(plain, bytes[i])) continue;
        plumb_put_bytes(w, bytes + start, i - start);
        if (i < n) plumb_putf(w, "%%%02X", (unsigned)(unsigned char)bytes[i]);
        start = i + 1;
    }
}

void plumb_put_shell(plumb_writer *w, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/%+=:,@";
    if (*word && strspn(word, plain) == strlen(word)) {
        plumb_put(w, word);
        return;
    }
    plumb_put(w, "'");
    for (; *word; word++) {
        if (*word == '\'')
            plumb_put(w, "'\\''");
        else
            plumb_put_bytes(w, word, 1);
    }
    plumb_put(w, "'");
}

void plumb_put_number(plumb_writer *w, double value, int digits, const char *missing)
{
    if (isfinite(value))
        plumb_putf(w, "%.*g", digits, value);
    else
        plumb_put(w, missing);
}
