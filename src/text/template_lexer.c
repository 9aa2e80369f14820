/* Template source -> tokens, with Jinja's white space rules: trim_blocks (the newline after a block goes),
 * lstrip_blocks (blanks before a block at the start of a line go), and the marks - and +. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_internal.h"

typedef struct lexer {
    plumb_arena *arena;
    const char *source;
    size_t size, at;
    int line;
    bool line_start; /* the last piece ended in a newline: blanks up to a block belong to its line */
    jinja_token *tokens;
    size_t count, capacity;
    char open[JINJA_MAX_NESTING * 2]; /* the closing brackets awaited */
    size_t open_count;
} lexer;

static bool looking_at(const lexer *l, size_t at, const char *text)
{
    size_t n = strlen(text);
    return at <= l->size && l->size - at >= n && memcmp(l->source + at, text, n) == 0;
}

static size_t skip_spaces(const lexer *l, size_t at)
{
    while (at < l->size) {
        size_t used;
        if (!plumb_jinja_space(plumb_jinja_decode(l->source + at, l->size - at, &used))) break;
        at += used;
    }
    return at;
}

/* The end of l->source[from, to) without trailing white space. */
static size_t strip_end(const lexer *l, size_t from, size_t to)
{
    jinja_string text = {l->source + from, to - from, 0, false};
    size_t first, last;
    plumb_jinja_strip(&text, NULL, false, true, &first, &last);
    return from + last;
}

static void advance(lexer *l, size_t to)
{
    if (to > l->at) l->line_start = l->source[to - 1] == '\n';
    for (; l->at < to; l->at++) l->line += l->source[l->at] == '\n';
}

static plumb_status push(lexer *l, jinja_token token)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 256;
        jinja_token *tokens = NULL;
        PLUMB_TRY(plumb_arena_new(l->arena, &tokens, capacity, sizeof *tokens));
        if (l->count) memcpy(tokens, l->tokens, l->count * sizeof *tokens);
        l->tokens = tokens;
        l->capacity = capacity;
    }
    l->tokens[l->count++] = token;
    return PLUMB_OK;
}

static plumb_status push_text(lexer *l, jinja_token_kind kind, int line, const char *bytes, size_t n)
{
    jinja_string *text = NULL;
    PLUMB_TRY(plumb_arena_new(l->arena, &text, 1, sizeof *text));
    *text = (jinja_string){bytes, n, plumb_jinja_count(bytes, n), false};
    return push(l, (jinja_token){.kind = kind, .line = line, .text = text});
}

/* The template's text from l->at up to a tag at `tag` with its mark; leaves l->at where it was. */
static plumb_status data_before(lexer *l, size_t tag, char mark, bool is_print)
{
    size_t end = tag;
    if (mark == '-') {
        end = strip_end(l, l->at, tag);
    } else if (mark != '+' && !is_print) {
        size_t line = tag;
        while (line > l->at && l->source[line - 1] != '\n') line--;
        if ((line > l->at || l->line_start) && skip_spaces(l, line) >= tag) end = line;
    }
    return end > l->at ? push_text(l, TOKEN_TEXT, l->line, l->source + l->at, end - l->at) : PLUMB_OK;
}

static char mark_at(const lexer *l, size_t at)
{
    return looking_at(l, at, "-") ? '-' : looking_at(l, at, "+") ? '+' : 0;
}

/* After "{%": true when this is {% raw %}; *end is behind it. */
static bool raw_begins(const lexer *l, size_t at, size_t *end)
{
    at = skip_spaces(l, at + (mark_at(l, at) != 0));
    if (!looking_at(l, at, "raw")) return false;
    at = skip_spaces(l, at + 3);
    if (looking_at(l, at, "%}")) {
        *end = at + 2;
        return true;
    }
    if (!looking_at(l, at, "-%}")) return false;
    *end = skip_spaces(l, at + 3);
    return true;
}

/* The end of a tag that closes with `close` at `at`, its mark and the white space that it takes; 0: it is not one. */
static size_t tag_end(const lexer *l, size_t at, const char *close, bool plus, bool trims)
{
    if (looking_at(l, at, "-") && looking_at(l, at + 1, close)) return skip_spaces(l, at + 3);
    if (plus && looking_at(l, at, "+") && looking_at(l, at + 1, close)) return at + 3;
    if (!looking_at(l, at, close)) return 0;
    return at + 2 + (trims && looking_at(l, at + 2, "\n"));
}

static plumb_status raw(lexer *l)
{
    int line = l->line;
    for (size_t tag = l->at; tag < l->size; tag++) {
        if (!looking_at(l, tag, "{%")) continue;
        char mark = mark_at(l, tag + 2);
        size_t at = skip_spaces(l, tag + 2 + (mark != 0));
        if (!looking_at(l, at, "endraw")) continue;
        size_t end = tag_end(l, skip_spaces(l, at + 6), "%}", true, true);
        if (!end) continue;
        PLUMB_TRY(data_before(l, tag, mark, false));
        advance(l, end);
        return PLUMB_OK;
    }
    return plumb_jinja_syntax(line, "{%% raw %%} without {%% endraw %%}");
}

static plumb_status comment(lexer *l)
{
    int line = l->line;
    for (size_t at = l->at; at < l->size; at++) {
        size_t end = tag_end(l, at, "#}", true, true);
        if (!end) continue;
        advance(l, end);
        return PLUMB_OK;
    }
    return plumb_jinja_syntax(line, "a comment {# without #}");
}

static size_t digits(const lexer *l, size_t at, int base)
{
    for (size_t end = at;; at = end) {
        end += looking_at(l, end, "_") && end > 0;
        if (end >= l->size) return at;
        int c = l->source[end] | 0x20;
        int value = l->source[end] >= '0' && l->source[end] <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
        if (value >= base) return at;
        end++;
    }
}

static bool digit_at(const lexer *l, size_t at)
{
    return at < l->size && l->source[at] >= '0' && l->source[at] <= '9';
}

/* The end of a float at l->at, or 0: digits, then a fraction, an exponent or both. */
static size_t float_end(const lexer *l)
{
    if (!digit_at(l, l->at) || (l->at > 0 && l->source[l->at - 1] == '.')) return 0;
    size_t at = digits(l, l->at, 10), end = 0;
    if (looking_at(l, at, ".") && digit_at(l, at + 1)) end = at = digits(l, at + 1, 10);
    if (looking_at(l, at, "e") || looking_at(l, at, "E")) {
        size_t power = at + 1 + (looking_at(l, at + 1, "+") || looking_at(l, at + 1, "-"));
        if (digit_at(l, power)) end = digits(l, power, 10);
    }
    return end;
}

static size_t int_end(const lexer *l, int *base)
{
    static const struct {
        const char *prefix;
        int base;
    } kinds[] = {{"0b", 2}, {"0B", 2}, {"0o", 8}, {"0O", 8}, {"0x", 16}, {"0X", 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!looking_at(l, l->at, kinds[i].prefix)) continue;
        size_t end = digits(l, l->at + 2, kinds[i].base);
        *base = kinds[i].base;
        if (end > l->at + 2) return end;
    }
    *base = 10;
    return digits(l, l->at, looking_at(l, l->at, "0") ? 1 : 10); /* "007" is 0 0 7: digits() stops behind zeros */
}

static plumb_status number(lexer *l)
{
    char text[512];
    int base = 10;
    size_t end = float_end(l), n = 0;
    bool real = end > 0;
    if (!real) end = int_end(l, &base);
    for (size_t i = l->at + (base == 10 ? 0 : 2); i < end && n + 1 < sizeof text; i++) {
        if (l->source[i] != '_') text[n++] = l->source[i];
    }
    text[n] = 0;
    jinja_token token = {.kind = real ? TOKEN_FLOAT : TOKEN_INT, .line = l->line};
    errno = 0;
    if (real)
        token.real = strtod(text, NULL);
    else
        token.integer = strtoll(text, NULL, base);
    if (n + 1 >= sizeof text || (!real && errno == ERANGE)) {
        return plumb_jinja_syntax(l->line, "the number %.40s... is beyond 64 bits", text);
    }
    advance(l, end);
    return push(l, token);
}

static plumb_status name(lexer *l)
{
    size_t end = l->at, used;
    bool valid = true;
    while (end < l->size) {
        uint32_t code = plumb_jinja_decode(l->source + end, l->size - end, &used);
        if (!plumb_jinja_word(code, false)) break;
        if (end == l->at && !plumb_jinja_word(code, true)) valid = false;
        end += used;
    }
    if (!valid) return plumb_jinja_syntax(l->line, "invalid character in an identifier");
    PLUMB_TRY(push_text(l, TOKEN_NAME, l->line, l->source + l->at, end - l->at));
    advance(l, end);
    return PLUMB_OK;
}

static int hex_value(char c)
{
    int lower = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* \x, \u or \U: exactly `n` hexadecimal digits. */
static plumb_status hex_escape(int line, const char *s, size_t left, size_t n, uint32_t *code)
{
    *code = 0;
    for (size_t i = 0; i < n; i++) {
        int value = i < left ? hex_value(s[i]) : -1;
        if (value < 0) return plumb_jinja_syntax(line, "a truncated \\x, \\u or \\U escape in a string");
        if (*code > 0x10ffff) continue;
        *code = *code * 16 + (uint32_t)value;
    }
    if (*code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000)) {
        return plumb_jinja_syntax(line, "a string escape that is no character");
    }
    return PLUMB_OK;
}

/* Python encodes what is not ASCII as an escape before it reads escapes, so that a backslash before such a character
 * stands before the letters of that escape. */
static size_t escaped_code(const char *s, size_t left, size_t *used, char *out)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t code = plumb_jinja_decode(s, left, used);
    int width = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
    size_t n = 0;
    out[n++] = '\\';
    out[n++] = width == 2 ? 'x' : width == 4 ? 'u' : 'U';
    for (int i = width - 1; i >= 0; i--) out[n++] = hex[code >> (4 * i) & 15];
    return n;
}

/* One escape: s points behind the backslash. Writes at most 12 bytes. */
static plumb_status unescape(int line, const char *s, size_t left, size_t *used, char *out, size_t *written)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    *used = 1;
    *written = 1;
    uint32_t code = 0;
    if (*s == '\n') {
        *written = 0;
    } else if (*s >= '0' && *s <= '7') {
        size_t n = 0;
        while (n < 3 && n < left && s[n] >= '0' && s[n] <= '7') code = code * 8 + (uint32_t)(s[n++] - '0');
        *used = n;
        *written = (size_t)plumb_jinja_encode(code, out);
    } else if (*s == 'x' || *s == 'u' || *s == 'U') {
        size_t n = *s == 'x' ? 2 : *s == 'u' ? 4 : 8;
        PLUMB_TRY(hex_escape(line, s + 1, left - 1, n, &code));
        *used = n + 1;
        *written = (size_t)plumb_jinja_encode(code, out);
    } else if (*s == 'N') {
        return plumb_jinja_syntax(line, "\\N{...} in a string is not supported");
    } else if ((unsigned char)*s >= 0x80) {
        *written = escaped_code(s, left, used, out);
    } else {
        out[0] = '\\';
        out[1] = *s;
        *written = 2;
        for (size_t i = 0; i + 1 < sizeof plain; i += 2) {
            if (plain[i] != *s) continue;
            out[0] = plain[i + 1];
            *written = 1;
        }
    }
    return PLUMB_OK;
}

static plumb_status string(lexer *l)
{
    char quote = l->source[l->at];
    size_t end = l->at + 1;
    while (end < l->size && l->source[end] != quote) end += 1 + (l->source[end] == '\\');
    if (end >= l->size) return plumb_jinja_syntax(l->line, "a string without its closing %c", quote);
    const char *s = l->source + l->at + 1;
    size_t n = end - l->at - 1, size = 0;
    char *text = NULL;
    PLUMB_TRY(plumb_arena_new(l->arena, &text, n * 3 + 12, 1)); /* "\é" grows from 3 to 4 bytes; this holds the worst */
    for (size_t i = 0; i < n;) {
        size_t used = 1, written = 1;
        if (s[i] == '\\') {
            PLUMB_TRY(unescape(l->line, s + i + 1, n - i - 1, &used, text + size, &written));
            used++;
        } else {
            text[size] = s[i];
        }
        i += used;
        size += written;
    }
    PLUMB_TRY(push_text(l, TOKEN_STRING, l->line, text, size));
    advance(l, end + 1);
    return PLUMB_OK;
}

static plumb_status bracket(lexer *l, char c)
{
    const char *pair = strchr("(){}[]", c);
    if (!pair) return PLUMB_OK;
    if (c == '(' || c == '{' || c == '[') {
        if (l->open_count == sizeof l->open) return plumb_jinja_syntax(l->line, "brackets are nested too deeply");
        l->open[l->open_count++] = pair[1];
        return PLUMB_OK;
    }
    if (!l->open_count) return plumb_jinja_syntax(l->line, "unexpected '%c'", c);
    char expected = l->open[--l->open_count];
    if (expected != c) return plumb_jinja_syntax(l->line, "unexpected '%c', expected '%c'", c, expected);
    return PLUMB_OK;
}

static plumb_status operator_token(lexer *l)
{
    static const char *const doubled[] = {"//", "**", "==", "!=", ">=", "<="};
    char c = l->source[l->at];
    jinja_token token = {.kind = TOKEN_OPERATOR, .line = l->line, .op = c};
    for (size_t i = 0; i < sizeof doubled / sizeof *doubled; i++) {
        if (!looking_at(l, l->at, doubled[i])) continue;
        token.op = OPERATOR(doubled[i][0], doubled[i][1]);
        advance(l, l->at + 2);
        return push(l, token);
    }
    if (!c || !strchr("+-/*%~[](){}><=.:|,;", c)) {
        size_t used;
        plumb_jinja_decode(l->source + l->at, l->size - l->at, &used);
        return plumb_jinja_syntax(l->line, "unexpected character '%.*s'", (int)used, l->source + l->at);
    }
    PLUMB_TRY(bracket(l, c));
    advance(l, l->at + 1);
    return push(l, token);
}

/* The inside of {{ }} or {% %}. Its end counts only where all brackets are closed, else it is operators. */
static plumb_status code(lexer *l, bool is_print)
{
    l->open_count = 0;
    while (l->at < l->size) {
        size_t end = l->open_count ? 0
                     : is_print    ? tag_end(l, l->at, "}}", false, false)
                                   : tag_end(l, l->at, "%}", true, true);
        if (end) {
            PLUMB_TRY(push(l, (jinja_token){.kind = is_print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, .line = l->line}));
            advance(l, end);
            return PLUMB_OK;
        }
        size_t used;
        uint32_t c = plumb_jinja_decode(l->source + l->at, l->size - l->at, &used);
        if (plumb_jinja_space(c))
            advance(l, skip_spaces(l, l->at));
        else if (c >= '0' && c <= '9')
            PLUMB_TRY(number(l));
        else if (plumb_jinja_word(c, false))
            PLUMB_TRY(name(l));
        else if (c == '\'' || c == '"')
            PLUMB_TRY(string(l));
        else
            PLUMB_TRY(operator_token(l));
    }
    return PLUMB_OK; /* the parser tells what is missing */
}

static plumb_status root(lexer *l)
{
    while (l->at < l->size) {
        size_t tag = l->at;
        while (tag < l->size && !(looking_at(l, tag, "{%") || looking_at(l, tag, "{{") || looking_at(l, tag, "{#")))
            tag++;
        if (tag >= l->size) {
            PLUMB_TRY(push_text(l, TOKEN_TEXT, l->line, l->source + l->at, l->size - l->at));
            advance(l, l->size);
            break;
        }
        char kind = l->source[tag + 1], mark = mark_at(l, tag + 2);
        size_t raw_end = 0;
        bool is_raw = kind == '%' && raw_begins(l, tag + 2, &raw_end);
        PLUMB_TRY(data_before(l, tag, mark, kind == '{'));
        advance(l, is_raw ? raw_end : tag + 2 + (mark != 0));
        if (is_raw) {
            PLUMB_TRY(raw(l));
        } else if (kind == '#') {
            PLUMB_TRY(comment(l));
        } else {
            jinja_token_kind begin = kind == '%' ? TOKEN_BLOCK_BEGIN : TOKEN_PRINT_BEGIN;
            PLUMB_TRY(push(l, (jinja_token){.kind = begin, .line = l->line}));
            PLUMB_TRY(code(l, kind == '{'));
        }
    }
    return push(l, (jinja_token){.kind = TOKEN_END, .line = l->line});
}

/* \r\n and \r become \n, and one newline at the end goes. */
static plumb_status normalise(lexer *l, const char *source, size_t n)
{
    char *copy = NULL;
    PLUMB_TRY(plumb_arena_new(l->arena, &copy, n + 1, 1));
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n') continue;
        copy[l->size++] = (char)(source[i] == '\r' ? '\n' : source[i]);
    }
    if (l->size && copy[l->size - 1] == '\n') l->size--;
    l->source = copy;
    return PLUMB_OK;
}

plumb_status plumb_jinja_lex(plumb_arena *arena, const char *source, size_t n, jinja_token **tokens)
{
    lexer l = {.arena = arena, .line = 1, .line_start = true};
    PLUMB_TRY(normalise(&l, source, n));
    PLUMB_TRY(root(&l));
    *tokens = l.tokens;
    return PLUMB_OK;
}
