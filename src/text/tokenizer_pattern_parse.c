#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_pattern.h"
#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

enum { DEEPEST = 100, MOST_REPEATS = 65535 };

typedef struct parser {
    const char *source;
    size_t n;
    size_t at;
    int depth;
    bool ignore_case; /* (?i) */
    bool dot_all;     /* (?m): in Ruby's syntax the dot that matches a line feed; ^ and $ are about lines always */
    bool extended;    /* (?x) */
    plumb_parsed_pattern *out;
} parser;

static plumb_status parse_sequence(parser *p);
static plumb_status parse_class(parser *p, plumb_set *set);

static plumb_status complain(const parser *p, const char *what)
{
    return plumb_fail(PLUMB_E_INPUT, "pattern \"%.*s\": %s at byte %zu", (int)(p->n < 200 ? p->n : 200), p->source,
                      what, p->at);
}

static bool more(const parser *p)
{
    return p->at < p->n;
}

static bool looking_at(const parser *p, const char *text)
{
    size_t size = strlen(text);
    return p->n - p->at >= size && memcmp(p->source + p->at, text, size) == 0;
}

static bool accept(parser *p, const char *text)
{
    if (!looking_at(p, text)) return false;
    p->at += strlen(text);
    return true;
}

static plumb_status emit(parser *p, const char *text)
{
    return plumb_text_string(&p->out->text, text);
}

/* Writes a mark for the set; takes the set over. */
static plumb_status emit_set(parser *p, plumb_set *set)
{
    plumb_parsed_pattern *out = p->out;
    size_t index = 0;
    while (index < out->count && !plumb_set_equal(&out->sets[index], set)) index++;
    if (index == PLUMB_MOST_SETS) {
        plumb_set_free(set);
        return complain(p, "too many different characters and classes");
    }
    if (index < out->count) {
        plumb_set_free(set);
    } else {
        plumb_status s = plumb_reserve(&out->sets, &out->capacity, out->count + 1, sizeof *out->sets);
        if (s) {
            plumb_set_free(set);
            return s;
        }
        out->sets[out->count++] = *set;
        *set = (plumb_set){0};
    }
    const char mark[3] = {(char)PLUMB_SET_MARK, (char)(index >> 8), (char)(index & 0xFF)};
    return plumb_text_append(&out->text, mark, sizeof mark);
}

static plumb_status emit_character(parser *p, uint32_t c)
{
    plumb_set set = {0};
    plumb_status s = plumb_set_add(&set, c, c);
    if (!s && p->ignore_case) s = plumb_set_ignore_case(&set);
    if (!s) return emit_set(p, &set);
    plumb_set_free(&set);
    return s;
}

/* The line feed, or everything else. */
static plumb_status emit_line_feed(parser *p, bool others)
{
    plumb_set set = {0};
    plumb_status s = plumb_set_add(&set, '\n', '\n');
    if (!s && others) s = plumb_set_complement(&set);
    if (!s) return emit_set(p, &set);
    plumb_set_free(&set);
    return s;
}

static plumb_status emit_anything(parser *p)
{
    plumb_set set = {0};
    PLUMB_TRY(plumb_set_add(&set, 0, PLUMB_LAST_CODE_POINT));
    return emit_set(p, &set);
}

/* before, the word characters, after */
static plumb_status emit_word(parser *p, const char *before, const char *after)
{
    PLUMB_TRY(emit(p, before));
    plumb_set set = {0};
    plumb_status s = plumb_unicode_word(&set);
    if (s) {
        plumb_set_free(&set);
        return s;
    }
    PLUMB_TRY(emit_set(p, &set));
    return emit(p, after);
}

static plumb_status emit_boundary(parser *p, bool negated)
{
    PLUMB_TRY(emit_word(p, "(?:(?<=", ")"));
    PLUMB_TRY(emit_word(p, negated ? "(?=" : "(?!", ")|(?<!"));
    PLUMB_TRY(emit_word(p, "", negated ? ")(?!" : ")(?="));
    return emit_word(p, "", "))");
}

/* \R: any line break, CR LF as one. */
static plumb_status emit_line_break(parser *p)
{
    static const plumb_range breaks[] = {{'\n', '\r'}, {0x85, 0x85}, {0x2028, 0x2029}};
    PLUMB_TRY(emit(p, "(?>"));
    PLUMB_TRY(emit_character(p, '\r'));
    PLUMB_TRY(emit_character(p, '\n'));
    PLUMB_TRY(emit(p, "|"));
    plumb_set set = {0};
    plumb_status s = plumb_set_add_ranges(&set, breaks, 3);
    if (s) {
        plumb_set_free(&set);
        return s;
    }
    PLUMB_TRY(emit_set(p, &set));
    return emit(p, ")");
}

/* ^: a line begins, but not at the end of the text; $: it ends. */
static plumb_status emit_line_begin(parser *p)
{
    PLUMB_TRY(emit(p, "(?:\\A|(?<="));
    PLUMB_TRY(emit_line_feed(p, false));
    return emit(p, ")(?!\\z))");
}

static plumb_status emit_line_end(parser *p)
{
    PLUMB_TRY(emit(p, "(?=\\z|"));
    PLUMB_TRY(emit_line_feed(p, false));
    return emit(p, ")");
}

/* \Z: the text ends, or would without its last line feed. */
static plumb_status emit_text_end(parser *p)
{
    PLUMB_TRY(emit(p, "(?="));
    PLUMB_TRY(emit_line_feed(p, false));
    return emit(p, "?\\z)");
}

static int digit_value(char c, int base)
{
    int value = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : base;
    return value < base ? value : -1;
}

/* Up to `most` digits of a base; *count says how many there were. */
static uint32_t parse_number(parser *p, int base, int most, int *count)
{
    uint32_t value = 0;
    for (*count = 0; *count < most && more(p); (*count)++, p->at++) {
        int digit = digit_value(p->source[p->at], base);
        if (digit < 0) break;
        value = value * (uint32_t)base + (uint32_t)digit;
    }
    return value;
}

/* \x41, \x{41} and \u0041, behind the letter. */
static plumb_status parse_hexadecimal(parser *p, bool x, uint32_t *c)
{
    int count = 0;
    if (x && accept(p, "{")) {
        *c = parse_number(p, 16, 8, &count);
        if (!count || !accept(p, "}")) return complain(p, "a code point that does not end");
    } else {
        *c = parse_number(p, 16, x ? 2 : 4, &count);
        if (!x && count < 4) return complain(p, "\\u without four digits");
        if (x && *c > 0x7F) return complain(p, "a byte of UTF-8 by its number, which is not built");
    }
    if (*c > PLUMB_LAST_CODE_POINT) return complain(p, "a code point beyond U+10FFFF");
    return PLUMB_OK;
}

/* An escape that is one character, at the letter behind the backslash. */
static plumb_status parse_escaped_character(parser *p, uint32_t *c)
{
    static const char letters[] = "tnrfvae", values[] = "\t\n\r\f\v\a\033";
    char letter = p->source[p->at];
    const char *found = strchr(letters, letter);
    if (found && letter) {
        p->at++;
        *c = (uint8_t)values[found - letters];
        return PLUMB_OK;
    }
    if (letter == 'x' || letter == 'u') {
        p->at++;
        return parse_hexadecimal(p, letter == 'x', c);
    }
    if (letter == '0') {
        int count = 0;
        *c = parse_number(p, 8, 3, &count);
        return PLUMB_OK;
    }
    if ((letter | 32) >= 'a' && (letter | 32) <= 'z') return complain(p, "an escape that is not built");
    if (letter >= '1' && letter <= '9') return complain(p, "a back reference, which is not built");
    *c = plumb_utf8_next(p->source, &p->at);
    return PLUMB_OK;
}

/* \p{...} behind the p. */
static plumb_status parse_property(parser *p, bool negated, plumb_set *set)
{
    if (!accept(p, "{")) return complain(p, "\\p without a name in braces");
    if (accept(p, "^")) negated = !negated;
    const char *name = p->source + p->at, *end = memchr(name, '}', p->n - p->at);
    if (!end) return complain(p, "\\p without a name in braces");
    bool known = false;
    plumb_set found = {0};
    plumb_status s = plumb_unicode_property(name, (size_t)(end - name), &found, &known);
    if (!s && !known) s = complain(p, "a Unicode property that is not built");
    if (!s && negated) s = plumb_set_complement(&found);
    if (!s) s = plumb_set_add_ranges(set, found.data, found.count);
    plumb_set_free(&found);
    p->at = (size_t)(end - p->source) + 1;
    return s;
}

/* An escape that stands for a set (\s, \D, \p{L} ...), at the letter behind the backslash; *is is false for any other.
 * \w is a little larger outside of classes: see plumb_unicode_word. */
static plumb_status parse_escaped_set(parser *p, bool in_class, plumb_set *set, bool *is)
{
    static const struct {
        char letter;
        const char *property;
    } sets[] = {{'s', "space"}, {'d', "digit"}, {'h', "xdigit"}, {'w', "word"}};
    char letter = p->source[p->at];
    *is = true;
    if ((letter | 32) == 'p') {
        p->at++;
        return parse_property(p, letter == 'P', set);
    }
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if ((letter | 32) != sets[i].letter) continue;
        p->at++;
        bool known = true;
        plumb_set found = {0};
        plumb_status s = sets[i].letter == 'w' && !in_class
                             ? plumb_unicode_word(&found)
                             : plumb_unicode_property(sets[i].property, strlen(sets[i].property), &found, &known);
        if (!s && letter < 'a') s = plumb_set_complement(&found);
        if (!s) s = plumb_set_add_ranges(set, found.data, found.count);
        plumb_set_free(&found);
        return s;
    }
    *is = false;
    return PLUMB_OK;
}

/* [:alpha:] or [:^alpha:] at "[:"; *is is false when that is no such name. */
static plumb_status parse_posix(parser *p, plumb_set *set, bool *is)
{
    size_t at = p->at + 2;
    bool negated = at < p->n && p->source[at] == '^';
    at += negated;
    size_t end = at;
    while (end < p->n && end - at < 20 && p->source[end] >= 'a' && p->source[end] <= 'z') end++;
    *is = p->n - end >= 2 && end > at && memcmp(p->source + end, ":]", 2) == 0;
    if (!*is) return PLUMB_OK;
    bool known = false;
    plumb_set found = {0};
    plumb_status s = plumb_unicode_property(p->source + at, end - at, &found, &known);
    if (!s && !known) s = complain(p, "a class name that is not built");
    if (!s && negated) s = plumb_set_complement(&found);
    if (!s) s = plumb_set_add_ranges(set, found.data, found.count);
    plumb_set_free(&found);
    p->at = end + 2;
    return s;
}

/* One member of a class: a set of its own (*single false) or a character, which may begin a range. */
static plumb_status parse_member(parser *p, plumb_set *set, bool *single, uint32_t *c)
{
    *single = false;
    bool is = false;
    if (looking_at(p, "[:")) {
        PLUMB_TRY(parse_posix(p, set, &is));
        if (is) return PLUMB_OK;
    }
    if (accept(p, "[")) {
        plumb_set inner = {0};
        bool ignore_case = p->ignore_case;
        p->ignore_case = false; /* only the outermost class takes in other cases, when all of it is there */
        plumb_status s = parse_class(p, &inner);
        p->ignore_case = ignore_case;
        if (!s) s = plumb_set_add_ranges(set, inner.data, inner.count);
        plumb_set_free(&inner);
        return s;
    }
    *single = !accept(p, "\\");
    if (*single) {
        *c = plumb_utf8_next(p->source, &p->at);
        return PLUMB_OK;
    }
    if (!more(p)) return complain(p, "a backslash at the end");
    PLUMB_TRY(parse_escaped_set(p, true, set, &is));
    if (is) return PLUMB_OK;
    *single = true;
    if (accept(p, "b")) {
        *c = '\b';
        return PLUMB_OK;
    }
    return parse_escaped_character(p, c);
}

/* A member and, if a hyphen and a character follow, the range that they make. */
static plumb_status parse_range(parser *p, plumb_set *set)
{
    bool single = false;
    uint32_t first = 0, last = 0;
    PLUMB_TRY(parse_member(p, set, &single, &first));
    if (!single) return PLUMB_OK;
    bool range = looking_at(p, "-") && !looking_at(p, "-]") && !looking_at(p, "-&&");
    if (!range) return plumb_set_add(set, first, first);
    p->at++;
    if (!more(p)) return complain(p, "a class without its \"]\"");
    PLUMB_TRY(parse_member(p, set, &single, &last));
    if (!single) return complain(p, "a range that ends in a class");
    if (last < first) return complain(p, "a range that runs backwards");
    return plumb_set_add(set, first, last);
}

/* A class behind its "[", nested ones and && included. */
static plumb_status parse_class(parser *p, plumb_set *set)
{
    if (++p->depth > DEEPEST) return complain(p, "classes nested too deeply");
    bool negated = accept(p, "^"), first = true, intersected = false;
    plumb_set part = {0}, whole = {0};
    plumb_status s = PLUMB_OK;
    while (!s && (first || !looking_at(p, "]"))) {
        if (!more(p)) {
            s = complain(p, "a class without its \"]\"");
        } else if (accept(p, "&&")) {
            plumb_set_tidy(&part);
            if (intersected) s = plumb_set_intersect(&part, &whole);
            plumb_set_free(&whole);
            whole = part;
            part = (plumb_set){0};
            intersected = true;
        } else {
            s = parse_range(p, &part);
        }
        first = false;
    }
    p->at++;
    plumb_set_tidy(&part);
    if (!s && intersected) s = plumb_set_intersect(&part, &whole);
    if (!s && p->ignore_case) s = plumb_set_ignore_case(&part);
    if (!s && negated) s = plumb_set_complement(&part);
    plumb_set_free(&whole);
    p->depth--;
    *set = part;
    return s;
}

static plumb_status emit_class(parser *p)
{
    plumb_set set = {0};
    plumb_status s = parse_class(p, &set);
    if (!s) return emit_set(p, &set);
    plumb_set_free(&set);
    return s;
}

/* Behind a backslash outside of classes. */
static plumb_status parse_escape(parser *p)
{
    if (!more(p)) return complain(p, "a backslash at the end");
    plumb_set set = {0};
    bool is = false;
    plumb_status s = parse_escaped_set(p, false, &set, &is);
    if (!s && is) {
        plumb_set_tidy(&set);
        return emit_set(p, &set);
    }
    plumb_set_free(&set);
    PLUMB_TRY(s);
    if (accept(p, "A")) return emit(p, "\\A");
    if (accept(p, "z")) return emit(p, "\\z");
    if (accept(p, "G")) return emit(p, "\\G");
    if (accept(p, "Z")) return emit_text_end(p);
    if (accept(p, "b")) return emit_boundary(p, false);
    if (accept(p, "B")) return emit_boundary(p, true);
    if (accept(p, "O")) return emit_anything(p);
    if (accept(p, "N")) return emit_line_feed(p, true);
    if (accept(p, "R")) return emit_line_break(p);
    uint32_t c = 0;
    PLUMB_TRY(parse_escaped_character(p, &c));
    return emit_character(p, c);
}

/* Letters of (?imx-imx; returns false at a letter that is no option. */
static bool parse_options(parser *p)
{
    bool on = true;
    for (; more(p) && p->source[p->at] != ':' && p->source[p->at] != ')'; p->at++) {
        switch (p->source[p->at]) {
        case '-':
            on = false;
            break;
        case 'i':
            p->ignore_case = on;
            break;
        case 'm':
            p->dot_all = on;
            break;
        case 'x':
            p->extended = on;
            break;
        default:
            return false;
        }
    }
    return more(p);
}

/* Behind "(": writes how the group begins. *rest: it was (?i), which makes a group of all that follows. */
static plumb_status parse_group_begin(parser *p, bool *rest, bool *comment)
{
    static const char *const same[] = {"?:", "?=", "?!", "?<=", "?<!", "?>"};
    *rest = *comment = false;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (accept(p, same[i])) {
            PLUMB_TRY(emit(p, "("));
            return emit(p, same[i]);
        }
    if (accept(p, "?#")) {
        *comment = true;
        const char *end = memchr(p->source + p->at, ')', p->n - p->at);
        if (!end) return complain(p, "a comment without its \")\"");
        p->at = (size_t)(end - p->source) + 1;
        return PLUMB_OK;
    }
    if (accept(p, "?<")) { /* a name, which nothing can refer to */
        const char *end = memchr(p->source + p->at, '>', p->n - p->at);
        if (!end) return complain(p, "a group's name without its \">\"");
        p->at = (size_t)(end - p->source) + 1;
    } else if (accept(p, "?")) {
        if (!parse_options(p)) return complain(p, "a kind of group that is not built");
        *rest = p->source[p->at++] == ')';
    }
    return emit(p, "(?:");
}

/* A group behind its "(". Options hold up to its end, a bare (?i) up to the end of the group around it. */
static plumb_status parse_group(parser *p, bool *quantifiable)
{
    if (++p->depth > DEEPEST) return complain(p, "groups nested too deeply");
    parser outer = *p;
    bool rest = false, comment = false;
    PLUMB_TRY(parse_group_begin(p, &rest, &comment));
    *quantifiable = !rest && !comment;
    if (!comment) {
        PLUMB_TRY(parse_sequence(p));
        if (!rest && !accept(p, ")")) return complain(p, "a group without its \")\"");
        PLUMB_TRY(emit(p, ")"));
    }
    p->ignore_case = outer.ignore_case;
    p->dot_all = outer.dot_all;
    p->extended = outer.extended;
    p->depth--;
    return PLUMB_OK;
}

/* {n}, {n,}, {n,m} or {,m} behind the brace; false, and nothing read, for any other text. */
static bool parse_interval(parser *p, uint32_t *low, uint32_t *high, bool *exact)
{
    size_t begin = p->at;
    int lows = 0, highs = 0;
    *low = parse_number(p, 10, 6, &lows);
    *exact = !accept(p, ",");
    *high = *exact ? *low : parse_number(p, 10, 6, &highs);
    if (!*exact && !highs) *high = UINT32_MAX;
    if (accept(p, "}") && (lows || highs)) return true;
    p->at = begin;
    return false;
}

/* Puts the text from `start` on into a group of its own. */
static plumb_status wrap(parser *p, size_t start)
{
    plumb_text *t = &p->out->text;
    PLUMB_TRY(emit(p, "(?:)"));
    memmove(t->data + start + 3, t->data + start, t->size - 4 - start);
    memcpy(t->data + start, "(?:", 3);
    return PLUMB_OK;
}

/* The quantifiers behind what was written from `start` on. Ruby's syntax lets them stack, and knows neither possessive
 * intervals ({1,3}+ repeats the repetition) nor lazy exact ones ({2}? is optional). */
static plumb_status parse_quantifiers(parser *p, size_t start)
{
    for (bool again = false;; again = true) {
        char interval[32] = "";
        bool exact = false, counted = false;
        if (looking_at(p, "*") || looking_at(p, "+") || looking_at(p, "?")) {
            interval[0] = p->source[p->at++];
        } else if (accept(p, "{")) {
            uint32_t low = 0, high = 0;
            if (!parse_interval(p, &low, &high, &exact)) {
                p->at--;
                return PLUMB_OK;
            }
            if (low > MOST_REPEATS || (high > MOST_REPEATS && high != UINT32_MAX))
                return complain(p, "more than 65535 repetitions");
            if (low > high) return complain(p, "an interval that runs backwards");
            counted = true;
            if (high == UINT32_MAX)
                snprintf(interval, sizeof interval, "{%u,}", low);
            else
                snprintf(interval, sizeof interval, "{%u,%u}", low, high);
        } else {
            return PLUMB_OK;
        }
        if (again) PLUMB_TRY(wrap(p, start));
        PLUMB_TRY(emit(p, interval));
        if (looking_at(p, "?") && !exact) {
            p->at++;
            PLUMB_TRY(emit(p, "?"));
        } else if (looking_at(p, "+") && !counted) {
            p->at++;
            PLUMB_TRY(emit(p, "+"));
        }
    }
}

static void skip_extended(parser *p)
{
    while (more(p) && p->extended) {
        if (p->source[p->at] == '#') {
            while (more(p) && p->source[p->at] != '\n') p->at++;
        } else if (plumb_is_space((uint8_t)p->source[p->at])) {
            p->at++;
        } else {
            return;
        }
    }
}

static plumb_status parse_item(parser *p, bool *quantifiable)
{
    *quantifiable = true;
    if (accept(p, "|")) {
        *quantifiable = false;
        return emit(p, "|");
    }
    if (accept(p, "(")) return parse_group(p, quantifiable);
    if (accept(p, "[")) return emit_class(p);
    if (accept(p, "\\")) return parse_escape(p);
    if (accept(p, ".")) return p->dot_all ? emit_anything(p) : emit_line_feed(p, true);
    if (accept(p, "^")) return emit_line_begin(p);
    if (accept(p, "$")) return emit_line_end(p);
    if (looking_at(p, "*") || looking_at(p, "+") || looking_at(p, "?"))
        return complain(p, "a quantifier with nothing before it");
    return emit_character(p, plumb_utf8_next(p->source, &p->at));
}

/* Alternatives up to a ")" or the end. */
static plumb_status parse_sequence(parser *p)
{
    for (skip_extended(p); more(p) && p->source[p->at] != ')'; skip_extended(p)) {
        size_t start = p->out->text.size;
        bool quantifiable = false;
        PLUMB_TRY(parse_item(p, &quantifiable));
        skip_extended(p);
        if (quantifiable) PLUMB_TRY(parse_quantifiers(p, start));
    }
    return PLUMB_OK;
}

plumb_status plumb_pattern_parse(const char *source, size_t n, plumb_parsed_pattern *out)
{
    parser p = {.source = source, .n = n, .out = out};
    plumb_status s = emit(&p, "");
    if (!s) s = parse_sequence(&p);
    if (!s && more(&p)) s = complain(&p, "\")\" without its \"(\"");
    if (s) plumb_parsed_pattern_free(out);
    return s;
}

void plumb_parsed_pattern_free(plumb_parsed_pattern *parsed)
{
    for (size_t i = 0; i < parsed->count; i++) plumb_set_free(&parsed->sets[i]);
    free(parsed->sets);
    plumb_text_free(&parsed->text);
    *parsed = (plumb_parsed_pattern){0};
}
