/* Normalizers. Each reads a text and appends another; `origin` follows the bytes that stem from offset 0. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

/* --- normal forms --- */

/* Appends a run of characters that a normal form may change. */
static plumb_status append_form(const char *text, size_t n, int options, plumb_text *out)
{
    utf8proc_uint8_t *form = NULL;
    utf8proc_ssize_t size =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &form, (utf8proc_option_t)options);
    if (size == UTF8PROC_ERROR_NOMEM) return plumb_no_memory();
    if (size < 0) return plumb_fail(PLUMB_E_INTERNAL, "utf8proc: %s", utf8proc_errmsg(size));
    plumb_status s = plumb_text_append(out, form, (size_t)size);
    free(form);
    return s;
}

/* The library's tables are those of Unicode 9 and leave newer characters as they are, whatever utf8proc knows of them:
 * runs of characters that are in its tables go to utf8proc, everything between stays. Such a character takes no part in
 * the order or composition of its neighbours, so the runs can be treated one by one. `plain`: all below is in the form.
 */
static plumb_status append_runs(const char *text, size_t n, uint32_t plain, int options, plumb_text *out)
{
    for (size_t at = 0; at < n;) {
        size_t begin = at, next = at;
        bool all_plain = true;
        while (at < n) {
            uint32_t c = plumb_utf8_next(text, &next);
            if (c >= plain && !plumb_is_normalizable(c)) break;
            if (c >= plain) all_plain = false;
            at = next;
        }
        if (at > begin)
            PLUMB_TRY(all_plain ? plumb_text_append(out, text + begin, at - begin)
                                : append_form(text + begin, at - begin, options, out));
        if (at < n) {
            PLUMB_TRY(plumb_text_append(out, text + at, next - at));
            at = next;
        }
    }
    return PLUMB_OK;
}

/* What stems from offset 0 afterwards: what the characters there become by themselves, or the first character if it has
 * taken in what followed. */
static plumb_status normal_form(const char *text, size_t n, size_t *origin, uint32_t plain, int options,
                                plumb_text *out)
{
    PLUMB_TRY(append_runs(text, n, plain, options, out));
    if (!*origin) return PLUMB_OK;
    plumb_text alone = {0};
    plumb_status s = append_runs(text, *origin, plain, options, &alone);
    size_t first = plumb_utf8_size(out->data[0]), size = alone.size > first ? alone.size : first;
    *origin = size < out->size ? size : out->size;
    plumb_text_free(&alone);
    return s;
}

static plumb_status nfc(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                        plumb_text *out)
{
    (void)step, (void)work;
    return normal_form(text, n, origin, 0x300, UTF8PROC_STABLE | UTF8PROC_COMPOSE, out);
}

static plumb_status nfd(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                        plumb_text *out)
{
    (void)step, (void)work;
    return normal_form(text, n, origin, 0xC0, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, out);
}

static plumb_status nfkc(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                         plumb_text *out)
{
    (void)step, (void)work;
    return normal_form(text, n, origin, 0xA0, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, out);
}

static plumb_status nfkd(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                         plumb_text *out)
{
    (void)step, (void)work;
    return normal_form(text, n, origin, 0xA0, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, out);
}

/* --- the others --- */

static plumb_status read_prepend(const json_t *json, plumb_step *step)
{
    return plumb_need_text(json, "prepend", &step->content);
}

static plumb_status prepend(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                            plumb_text *out)
{
    (void)work;
    if (*origin) *origin += step->content.size;
    PLUMB_TRY(plumb_text_append(out, step->content.data, step->content.size));
    return plumb_text_append(out, text, n);
}

static plumb_status read_replace(const json_t *json, plumb_step *step)
{
    PLUMB_TRY(plumb_need_matcher(json, "pattern", &step->matcher));
    return plumb_need_text(json, "content", &step->content);
}

static plumb_status replace(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                            plumb_text *out)
{
    PLUMB_TRY(plumb_matcher_find(&step->matcher, work, text, n));
    size_t before = *origin, after = 0;
    for (size_t i = 0; i < work->spans.count; i++) {
        plumb_span span = work->spans.data[i];
        if (span.match) {
            PLUMB_TRY(plumb_text_append(out, step->content.data, step->content.size));
            if (span.end <= before) after = out->size;
        } else {
            if (span.begin < before) after = out->size + (span.end < before ? span.end : before) - span.begin;
            PLUMB_TRY(plumb_text_append(out, text + span.begin, span.end - span.begin));
        }
    }
    *origin = before ? after : 0;
    return PLUMB_OK;
}

static plumb_status lowercase(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                              plumb_text *out)
{
    (void)step, (void)work;
    size_t before = *origin;
    PLUMB_TRY(plumb_reserve(&out->data, &out->capacity, out->size + n + n / 2 + 4,
                            1)); /* the longest: U+0130, 2 bytes to 3 */
    for (size_t at = 0; at < n;) {
        size_t begin = at;
        uint32_t lower[2];
        int count = plumb_lowercase(plumb_utf8_next(text, &at), lower);
        char bytes[8];
        size_t size = plumb_utf8_put(lower[0], bytes);
        if (count == 2) size += plumb_utf8_put(lower[1], bytes + size);
        PLUMB_TRY(plumb_text_append(out, bytes, size));
        if (begin < before) *origin = out->size;
    }
    return PLUMB_OK;
}

static plumb_status read_strip(const json_t *json, plumb_step *step)
{
    PLUMB_TRY(plumb_need_bool(json, "strip_left", &step->strip_left));
    return plumb_need_bool(json, "strip_right", &step->strip_right);
}

static plumb_status strip(const plumb_step *step, plumb_work *work, const char *text, size_t n, size_t *origin,
                          plumb_text *out)
{
    (void)work;
    size_t begin = 0;
    for (size_t next = 0; step->strip_left && begin < n; begin = next)
        if (!plumb_is_space(plumb_utf8_next(text, &next))) break;
    while (step->strip_right && n > begin) {
        size_t before = plumb_utf8_before(text, n), at = before;
        if (!plumb_is_space(plumb_utf8_next(text, &at))) break;
        n = before;
    }
    *origin = *origin > begin ? *origin - begin : 0;
    if (*origin > n - begin) *origin = n - begin;
    return plumb_text_append(out, text + begin, n - begin);
}

static const plumb_component rows[] = {
    {"NFC", NULL, {.normalize = nfc}},
    {"NFD", NULL, {.normalize = nfd}},
    {"NFKC", NULL, {.normalize = nfkc}},
    {"NFKD", NULL, {.normalize = nfkd}},
    {"Prepend", read_prepend, {.normalize = prepend}},
    {"Replace", read_replace, {.normalize = replace}},
    {"Lowercase", NULL, {.normalize = lowercase}},
    {"Strip", read_strip, {.normalize = strip}},
};

const plumb_component_table plumb_normalizers = {"normalizer", "normalizers", rows, sizeof rows / sizeof *rows};

plumb_status plumb_normalize(const plumb_steps *steps, plumb_work *work, const char *text, size_t n, size_t *origin,
                             const char **out, size_t *out_size)
{
    for (size_t i = 0; i < steps->count && n; i++) {
        plumb_text *to = &work->normal[i % 2];
        plumb_text_clear(to);
        PLUMB_TRY(steps->data[i].run.normalize(&steps->data[i], work, text, n, origin, to));
        text = to->data;
        n = to->size;
    }
    *out = text;
    *out_size = n;
    return PLUMB_OK;
}
