/* Patterns of tokenizer.json (Oniguruma, Ruby syntax) on PCRE2.
 *
 * PCRE2 never sees the text itself. Everything in a pattern that stands for a character (literals, classes, \p{L}, \s,
 * .) is a set of code points; the sets of one pattern cut Unicode into a few classes that the pattern cannot tell apart
 * (Llama 3's has 23). The text becomes one byte per character, its class, and the pattern is matched over these bytes.
 * So the Unicode version and the case rules are those of unicode_classes.h, whatever PCRE2's are, and every set is one
 * bit table for every script. */
#ifndef PLUMB_TEXT_TOKENIZER_PATTERN_H
#define PLUMB_TEXT_TOKENIZER_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/unicode_set.h"

/* A pattern as PCRE2 will have it, with each set of characters written as PLUMB_SET_MARK and two bytes, the index of
 * the set (high byte first). All else is ASCII. */
enum { PLUMB_SET_MARK = 0xFF, PLUMB_MOST_SETS = 1024 };

typedef struct plumb_parsed_pattern {
    plumb_text text;
    plumb_set *sets; /* tidy, no two equal */
    size_t count;
    size_t capacity;
} plumb_parsed_pattern;

/* Translates n bytes of UTF-8. What cannot be expressed (back references, \X, \K, absent operators, properties without
 * a table) or is not a pattern is PLUMB_E_INPUT. */
plumb_status plumb_pattern_parse(const char *source, size_t n, plumb_parsed_pattern *out) PLUMB_MUST_USE;
void plumb_parsed_pattern_free(plumb_parsed_pattern *parsed);

typedef struct plumb_pattern plumb_pattern;

/* Not changed by matching: threads may share it. */
plumb_status plumb_pattern_new(const char *source, size_t n, plumb_pattern **out) PLUMB_MUST_USE;
void plumb_pattern_free(plumb_pattern *pattern);

/* A piece of the text that matched or lies between matches. */
typedef struct plumb_span {
    size_t begin;
    size_t end;
    bool match;
} plumb_span;

typedef struct plumb_spans {
    plumb_span *data;
    size_t count;
    size_t capacity;
} plumb_spans;

plumb_status plumb_spans_push(plumb_spans *spans, size_t begin, size_t end, bool match) PLUMB_MUST_USE;

/* Scratch of matching, one per thread; {0} is empty. */
typedef struct plumb_matching {
    void *data;    /* pcre2_match_data */
    void *context; /* pcre2_match_context */
    void *stack;   /* pcre2_jit_stack, once a pattern needed more than the machine's */
    uint8_t *classes;
    size_t capacity;
} plumb_matching;

void plumb_matching_free(plumb_matching *matching);

/* Appends spans that cover text[0..n), n > 0, in order: every match, and what lies between matches where that is not
 * empty. Matches may be empty, but not right behind the match before. A pattern that needs too many steps is
 * PLUMB_E_INPUT. */
plumb_status plumb_pattern_find(const plumb_pattern *pattern, plumb_matching *matching, const char *text, size_t n,
                                plumb_spans *spans) PLUMB_MUST_USE;

#endif
