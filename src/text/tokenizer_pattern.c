#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/tokenizer_pattern.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_utf8.h"

enum {
    MOST_CLASSES = 256,
    PAGE = 256,
    PAGES = (PLUMB_LAST_CODE_POINT + 1) / PAGE,
    SET_WORDS = PLUMB_MOST_SETS / 64,
    SMALLEST_STACK = 32 * 1024,
    LARGEST_STACK = 64 * 1024 * 1024,
    MATCH_LIMIT = 20 * 1000 * 1000, /* steps from one starting point: a second at the most */
    HEAP_LIMIT = 256 * 1024,        /* in KiB */
};

struct plumb_pattern {
    char *source; /* for messages, shortened */
    pcre2_code *code;
    uint8_t ascii[128];
    uint16_t page_of[PAGES];
    uint8_t (*pages)[PAGE];
};

/* The classes while a pattern is built: which sets hold the members of each. */
typedef struct partition {
    uint64_t (*members)[SET_WORDS];
    size_t count;
    uint8_t *class_of; /* [PLUMB_LAST_CODE_POINT + 1] */
} partition;

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Where membership of any set may change: sorted, without repetitions, from 0 to one behind the last code point. */
static plumb_status list_borders(const plumb_parsed_pattern *parsed, uint32_t **borders, size_t *count)
{
    size_t most = 2;
    for (size_t i = 0; i < parsed->count; i++) most += 2 * parsed->sets[i].count;
    PLUMB_TRY(plumb_new(borders, most, sizeof **borders));
    uint32_t *b = *borders;
    size_t n = 0;
    b[n++] = 0;
    b[n++] = PLUMB_LAST_CODE_POINT + 1;
    for (size_t i = 0; i < parsed->count; i++)
        for (size_t j = 0; j < parsed->sets[i].count; j++) {
            b[n++] = parsed->sets[i].data[j].first;
            b[n++] = parsed->sets[i].data[j].last + 1;
        }
    qsort(b, n, sizeof *b, by_value);
    *count = 0;
    for (size_t i = 0; i < n; i++)
        if (!*count || b[*count - 1] != b[i]) b[(*count)++] = b[i];
    return PLUMB_OK;
}

static plumb_status class_with(partition *p, const uint64_t members[SET_WORDS], uint8_t *out)
{
    size_t i = 0;
    while (i < p->count && memcmp(p->members[i], members, sizeof *p->members) != 0) i++;
    if (i == MOST_CLASSES)
        return plumb_fail(PLUMB_E_INPUT, "the pattern tells more than %d kinds of characters apart", MOST_CLASSES);
    if (i == p->count) memcpy(p->members[p->count++], members, sizeof *p->members);
    *out = (uint8_t)i;
    return PLUMB_OK;
}

static plumb_status fill_partition(const plumb_parsed_pattern *parsed, const uint32_t *borders, size_t count,
                                   size_t *next, partition *p)
{
    for (size_t i = 0; i + 1 < count; i++) {
        uint64_t members[SET_WORDS] = {0};
        for (size_t k = 0; k < parsed->count; k++) {
            const plumb_set *set = &parsed->sets[k];
            while (next[k] < set->count && set->data[next[k]].last < borders[i]) next[k]++;
            bool in = next[k] < set->count && set->data[next[k]].first <= borders[i];
            members[k / 64] |= (uint64_t)in << k % 64;
        }
        uint8_t class = 0;
        PLUMB_TRY(class_with(p, members, &class));
        memset(p->class_of + borders[i], class, borders[i + 1] - borders[i]);
    }
    return PLUMB_OK;
}

static plumb_status make_partition(const plumb_parsed_pattern *parsed, partition *p)
{
    uint32_t *borders = NULL;
    size_t count = 0, *next = NULL;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_new(&p->members, MOST_CLASSES, sizeof *p->members));
    PLUMB_GO(plumb_new(&p->class_of, PLUMB_LAST_CODE_POINT + 1, 1));
    PLUMB_GO(list_borders(parsed, &borders, &count));
    PLUMB_GO(plumb_new(&next, parsed->count, sizeof *next));
    s = fill_partition(parsed, borders, count, next, p);
done:
    free(borders);
    free(next);
    return s;
}

/* Folds class_of into pages, equal ones once. */
static plumb_status make_pages(const partition *p, plumb_pattern *pattern)
{
    size_t count = 0, capacity = 0;
    memcpy(pattern->ascii, p->class_of, sizeof pattern->ascii);
    for (size_t i = 0; i < PAGES; i++) {
        const uint8_t *page = p->class_of + i * PAGE;
        size_t same = i ? pattern->page_of[i - 1] : 0; /* neighbours are often alike */
        if (!count || memcmp(pattern->pages[same], page, PAGE) != 0)
            for (same = 0; same < count && memcmp(pattern->pages[same], page, PAGE) != 0;) same++;
        if (same == count) {
            PLUMB_TRY(plumb_reserve(&pattern->pages, &capacity, count + 1, PAGE));
            memcpy(pattern->pages[count++], page, PAGE);
        }
        pattern->page_of[i] = (uint16_t)same;
    }
    return PLUMB_OK;
}

/* Writes a set as the bytes of its classes. */
static plumb_status write_set(const partition *p, size_t set, plumb_text *t)
{
    bool any = false;
    for (size_t i = 0; i < p->count; i++) {
        size_t last = i;
        while (last < p->count && (p->members[last][set / 64] >> set % 64 & 1)) last++;
        if (last == i) continue;
        PLUMB_TRY(plumb_text_printf(t, "%s\\x%02zx-\\x%02zx", any ? "" : "[", i, last - 1));
        any = true;
        i = last;
    }
    return plumb_text_string(t, any ? "]" : "(?!)");
}

static plumb_status write_pattern(const plumb_parsed_pattern *parsed, const partition *p, plumb_text *t)
{
    const uint8_t *b = (const uint8_t *)parsed->text.data;
    for (size_t i = 0; i < parsed->text.size; i++) {
        if (b[i] == PLUMB_SET_MARK) {
            PLUMB_TRY(write_set(p, (size_t)b[i + 1] << 8 | b[i + 2], t));
            i += 2;
        } else {
            PLUMB_TRY(plumb_text_append(t, b + i, 1));
        }
    }
    return PLUMB_OK;
}

static plumb_status compile(plumb_pattern *pattern, const plumb_text *t)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pattern->code = pcre2_compile((PCRE2_SPTR)t->data, t->size, PCRE2_NEVER_UTF | PCRE2_NEVER_UCP, &code, &at, NULL);
    if (!pattern->code) {
        PCRE2_UCHAR message[160] = "";
        pcre2_get_error_message(code, message, sizeof message);
        return plumb_fail(PLUMB_E_INPUT, "pattern \"%s\": %s", pattern->source, (char *)message);
    }
    /* Without a just-in-time compiler the same matches are found, only more slowly. */
    pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return PLUMB_OK;
}

plumb_status plumb_pattern_new(const char *source, size_t n, plumb_pattern **out)
{
    plumb_parsed_pattern parsed = {0};
    partition p = {0};
    plumb_text t = {0};
    plumb_pattern *pattern = NULL;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_pattern_parse(source, n, &parsed));
    PLUMB_GO(plumb_new(&pattern, 1, sizeof *pattern));
    pattern->source = strndup(source, n < 200 ? n : 200);
    if (!pattern->source) PLUMB_GO(plumb_no_memory());
    PLUMB_GO(make_partition(&parsed, &p));
    PLUMB_GO(make_pages(&p, pattern));
    PLUMB_GO(plumb_text_string(&t, ""));
    PLUMB_GO(write_pattern(&parsed, &p, &t));
    PLUMB_GO(compile(pattern, &t));
    *out = pattern;
    pattern = NULL;
done:
    plumb_parsed_pattern_free(&parsed);
    plumb_text_free(&t);
    free(p.members);
    free(p.class_of);
    plumb_pattern_free(pattern);
    return s;
}

void plumb_pattern_free(plumb_pattern *pattern)
{
    if (!pattern) return;
    pcre2_code_free(pattern->code);
    free(pattern->pages);
    free(pattern->source);
    free(pattern);
}

plumb_status plumb_spans_push(plumb_spans *spans, size_t begin, size_t end, bool match)
{
    if (spans->count == spans->capacity)
        PLUMB_TRY(plumb_reserve(&spans->data, &spans->capacity, spans->count + 1, sizeof *spans->data));
    spans->data[spans->count++] = (plumb_span){begin, end, match};
    return PLUMB_OK;
}

void plumb_matching_free(plumb_matching *matching)
{
    pcre2_match_data_free(matching->data);
    pcre2_match_context_free(matching->context);
    pcre2_jit_stack_free(matching->stack);
    free(matching->classes);
    *matching = (plumb_matching){0};
}

static plumb_status prepare(plumb_matching *matching, size_t n)
{
    if (!matching->data) {
        matching->data = pcre2_match_data_create(1, NULL);
        matching->context = pcre2_match_context_create(NULL);
        if (!matching->data || !matching->context) return plumb_no_memory();
        pcre2_set_match_limit(matching->context, MATCH_LIMIT);
        pcre2_set_heap_limit(matching->context, HEAP_LIMIT);
    }
    return plumb_reserve(&matching->classes, &matching->capacity, n, 1);
}

/* One byte per character; returns how many characters. */
static size_t classify(const plumb_pattern *pattern, const char *text, size_t n, uint8_t *classes)
{
    size_t count = 0;
    for (size_t at = 0; at < n;) {
        uint8_t b = (uint8_t)text[at];
        if (b < 0x80) {
            classes[count++] = pattern->ascii[b];
            at++;
            continue;
        }
        uint32_t c = plumb_utf8_next(text, &at);
        classes[count++] = pattern->pages[pattern->page_of[c / PAGE]][c % PAGE];
    }
    return count;
}

/* The next match from `from` on in PCRE2's own codes. The machine's stack serves nearly always; a pattern that needs
 * more gets a larger one, and one that exhausts that is matched without compiled code. */
static int match(const plumb_pattern *pattern, plumb_matching *matching, size_t count, size_t from)
{
    int code = pcre2_match(pattern->code, matching->classes, count, from, 0, matching->data, matching->context);
    if (code != PCRE2_ERROR_JIT_STACKLIMIT) return code;
    if (!matching->stack) {
        matching->stack = pcre2_jit_stack_create(SMALLEST_STACK, LARGEST_STACK, NULL);
        if (!matching->stack) return PCRE2_ERROR_NOMEMORY;
        pcre2_jit_stack_assign(matching->context, NULL, matching->stack);
        code = pcre2_match(pattern->code, matching->classes, count, from, 0, matching->data, matching->context);
    }
    if (code != PCRE2_ERROR_JIT_STACKLIMIT) return code;
    return pcre2_match(pattern->code, matching->classes, count, from, PCRE2_NO_JIT, matching->data, matching->context);
}

static plumb_status match_error(const plumb_pattern *pattern, int code)
{
    if (code == PCRE2_ERROR_NOMEMORY) return plumb_no_memory();
    PCRE2_UCHAR message[160] = "";
    pcre2_get_error_message(code, message, sizeof message);
    return plumb_fail(PLUMB_E_INPUT, "pattern \"%s\" cannot be matched against this text: %s", pattern->source,
                      (char *)message);
}

/* A position in characters and in bytes, moved forward only. */
typedef struct cursor {
    size_t character;
    size_t byte;
} cursor;

static size_t advance(cursor *c, const char *text, size_t character)
{
    for (; c->character < character; c->character++) c->byte += plumb_utf8_size(text[c->byte]);
    return c->byte;
}

plumb_status plumb_pattern_find(const plumb_pattern *pattern, plumb_matching *matching, const char *text, size_t n,
                                plumb_spans *spans)
{
    PLUMB_TRY(prepare(matching, n));
    size_t count = classify(pattern, text, n, matching->classes);
    const PCRE2_SIZE *found = pcre2_get_ovector_pointer(matching->data);
    cursor at = {0};
    size_t done = 0, last_end = SIZE_MAX; /* bytes covered; the character behind the last match */
    for (size_t from = 0; from <= count;) {
        int code = match(pattern, matching, count, from);
        if (code == PCRE2_ERROR_NOMATCH) break;
        if (code < 0) return match_error(pattern, code);
        if (found[0] == found[1] && found[1] == last_end) {
            from++;
            continue;
        }
        size_t begin = advance(&at, text, found[0]), end = advance(&at, text, found[1]);
        if (done < begin) PLUMB_TRY(plumb_spans_push(spans, done, begin, false));
        PLUMB_TRY(plumb_spans_push(spans, begin, end, true));
        done = end;
        from = last_end = found[1];
    }
    return done < n ? plumb_spans_push(spans, done, n, false) : PLUMB_OK;
}
