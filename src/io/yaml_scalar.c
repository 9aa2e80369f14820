#include "io/yaml_scalar.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS "0123456789"

/* Is it one of the words, in small letters, capitals, or with one capital? */
static bool is_word(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(text, words[i]) != 0) continue;
        size_t upper = 0, n = strlen(text);
        for (size_t k = 0; k < n; k++) upper += isupper((unsigned char)text[k]) != 0;
        return upper == 0 || upper == n || (upper == 1 && isupper((unsigned char)text[0]));
    }
    return false;
}

/* One character and more, all from the set. */
static bool all_of(const char *text, const char *set)
{
    return *text && text[strspn(text, set)] == 0;
}

/* [0-9][0-9_]*, then any number of :[0-5]?[0-9], at least one when `parts`; returns what follows, or NULL. */
static const char *base_60(const char *text, bool parts)
{
    if (!isdigit((unsigned char)*text)) return NULL;
    const char *p = text + strspn(text, DIGITS "_");
    for (bool first = true; *p == ':' || (parts && first); first = false) {
        size_t n = *p == ':' ? strspn(p + 1, DIGITS) : 0;
        if (n < 1 || n > 2 || (n == 2 && p[1] > '5')) return NULL;
        p += 1 + n;
    }
    return p;
}

/* The base of an integer without its sign, or 0. */
static int integer_base(const char *p)
{
    if (p[0] == '0' && p[1] == 'b' && all_of(p + 2, "01_")) return 2;
    if (p[0] == '0' && p[1] == 'x' && all_of(p + 2, DIGITS "abcdefABCDEF_")) return 16;
    if (p[0] == '0' && all_of(p + 1, "01234567_")) return 8;
    if (strcmp(p, "0") == 0 || (*p >= '1' && *p <= '9' && all_of(p, DIGITS "_"))) return 10;
    if (*p >= '1' && *p <= '9') {
        const char *end = base_60(p, true);
        if (end && !*end) return 60;
    }
    return 0;
}

/* The digits' value; false when 64 bits do not hold it. */
static bool integer_value(const char *p, int base, uint64_t *out)
{
    uint64_t sum = 0, part = 0;
    if (base == 2 || base == 16) p += 2;
    for (; *p; p++) {
        if (*p == '_') continue;
        if (*p == ':') {
            if (__builtin_add_overflow(sum, part, &sum) || __builtin_mul_overflow(sum, 60, &sum)) return false;
            part = 0;
            continue;
        }
        uint64_t digit = isdigit((unsigned char)*p) ? (uint64_t)(*p - '0') : (uint64_t)(tolower(*p) - 'a' + 10);
        if (__builtin_mul_overflow(part, base == 60 ? 10 : base, &part) || __builtin_add_overflow(part, digit, &part))
            return false;
    }
    *out = sum;
    return !__builtin_add_overflow(sum, part, out);
}

/* After the digits of a float: [0-9_]* and an exponent, which YAML 1.1 wants with its sign. */
static bool is_fraction(const char *p)
{
    p += strspn(p, DIGITS "_");
    if (!*p) return true;
    return (*p == 'e' || *p == 'E') && (p[1] == '+' || p[1] == '-') && all_of(p + 2, DIGITS);
}

/* A float without its sign, infinities and NaN aside. */
static bool is_float(const char *p)
{
    if (*p == '.') return isdigit((unsigned char)p[1]) && is_fraction(p + 1);
    const char *dot = base_60(p, false);
    if (!dot || *dot != '.') return false;
    return strcspn(p, ":") < (size_t)(dot - p) ? dot[1] == 0 || all_of(dot + 1, DIGITS "_") : is_fraction(dot + 1);
}

/* text without its underscores; a float in base 60 becomes a decimal number. */
static plumb_status plain_float(const char *text, plumb_arena *arena, const char **out)
{
    char *copy = NULL, number[40];
    size_t n = 0;
    PLUMB_TRY(plumb_arena_copy(arena, &copy, text, strlen(text)));
    for (const char *p = text; *p; p++)
        if (*p != '_') copy[n++] = *p;
    copy[n] = 0;
    *out = copy;
    if (!strchr(copy, ':')) return PLUMB_OK;
    double sum = 0;
    for (char *p = copy + (*copy == '-' || *copy == '+'); *p; p += *p == ':') sum = sum * 60 + strtod(p, &p);
    snprintf(number, sizeof number, "%s%.17g", *copy == '-' ? "-" : "", sum);
    return plumb_arena_copy(arena, out, number, strlen(number));
}

plumb_status plumb_yaml_resolve(const char *text, plumb_arena *arena, plumb_setting_value *out)
{
    static const char *const nothing[] = {"null"}, *const yes[] = {"yes", "true", "on"},
                             *const no[] = {"no", "false", "off"};
    const char *p = text + (*text == '-' || *text == '+');
    int base = integer_base(p);
    uint64_t value;
    *out = (plumb_setting_value){text, text, !*text || strcmp(text, "~") == 0 || is_word(text, nothing, 1)};
    if (is_word(text, yes, 3)) out->plain = "true";
    if (is_word(text, no, 3)) out->plain = "false";
    if (base && base != 10 && integer_value(p, base, &value)) {
        char number[32];
        int n = snprintf(number, sizeof number, "%s%" PRIu64, *text == '-' ? "-" : "", value);
        return plumb_arena_copy(arena, &out->plain, number, (size_t)n);
    }
    /* a dot at the front of a signed number is a string to PyYAML, which a number option reads all the same */
    if (base == 10 || is_float(p)) return plain_float(text, arena, &out->plain);
    return PLUMB_OK;
}
