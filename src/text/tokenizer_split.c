/* Pre-tokenizers: they cut pieces into words and may change their text on the way. */
#include <string.h>

#include "io/json.h"
#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

plumb_status plumb_push_piece(plumb_pieces *pieces, plumb_piece piece)
{
    if (piece.id < 0 && piece.begin == piece.end) return PLUMB_OK;
    if (pieces->count == pieces->capacity)
        PLUMB_TRY(plumb_reserve(&pieces->data, &pieces->capacity, pieces->count + 1, sizeof *pieces->data));
    pieces->data[pieces->count++] = piece;
    return PLUMB_OK;
}

void plumb_swap_pieces(plumb_work *work, bool text)
{
    plumb_pieces now = work->now;
    work->now = work->next;
    work->next = now;
    if (!text) {
        plumb_text same = now.text;
        work->next.text = work->now.text;
        work->now.text = same;
    }
    work->next.count = 0;
    plumb_text_clear(&work->next.text);
}

/* --- cutting --- */

static plumb_status push_joined(plumb_work *work, plumb_span span)
{
    return plumb_spans_push(&work->joined, span.begin, span.end, false);
}

/* Contiguous: neighbours of one kind become one. */
static plumb_status join_contiguous(plumb_work *work)
{
    bool previous = false;
    for (size_t i = 0; i < work->spans.count; i++) {
        plumb_span span = work->spans.data[i];
        if (span.match == previous && work->joined.count)
            work->joined.data[work->joined.count - 1].end = span.end;
        else
            PLUMB_TRY(push_joined(work, span));
        previous = span.match;
    }
    return PLUMB_OK;
}

/* A match joins what is before it, unless that is a match too. */
static plumb_status join_previous(plumb_work *work)
{
    bool previous = false;
    for (size_t i = 0; i < work->spans.count; i++) {
        plumb_span span = work->spans.data[i];
        if (span.match && !previous && work->joined.count)
            work->joined.data[work->joined.count - 1].end = span.end;
        else
            PLUMB_TRY(push_joined(work, span));
        previous = span.match;
    }
    return PLUMB_OK;
}

/* The same seen from the end; what is written comes out in reverse and is turned round. */
static plumb_status join_next(plumb_work *work)
{
    bool previous = false;
    for (size_t i = work->spans.count; i-- > 0;) {
        plumb_span span = work->spans.data[i];
        if (span.match && !previous && work->joined.count)
            work->joined.data[work->joined.count - 1].begin = span.begin;
        else
            PLUMB_TRY(push_joined(work, span));
        previous = span.match;
    }
    for (size_t i = 0, j = work->joined.count; i + 1 < j; i++) {
        plumb_span span = work->joined.data[i];
        work->joined.data[i] = work->joined.data[--j];
        work->joined.data[j] = span;
    }
    return PLUMB_OK;
}

static plumb_status push_part(plumb_work *work, plumb_piece piece, plumb_span span)
{
    size_t origin = piece.origin > span.begin ? piece.origin - span.begin : 0;
    if (origin > span.end - span.begin) origin = span.end - span.begin;
    return plumb_push_piece(&work->next, (plumb_piece){piece.begin + span.begin, piece.begin + span.end, origin, -1});
}

/* Cuts a piece of work->next.text (or of work->now.text, when the step changes no text) at work->spans. */
static plumb_status cut(plumb_work *work, plumb_piece piece, plumb_behavior behavior, bool invert)
{
    for (size_t i = 0; invert && i < work->spans.count; i++) work->spans.data[i].match = !work->spans.data[i].match;
    work->joined.count = 0;
    if (behavior == PLUMB_CONTIGUOUS) PLUMB_TRY(join_contiguous(work));
    if (behavior == PLUMB_MERGED_WITH_PREVIOUS) PLUMB_TRY(join_previous(work));
    if (behavior == PLUMB_MERGED_WITH_NEXT) PLUMB_TRY(join_next(work));
    bool direct = behavior == PLUMB_ISOLATED || behavior == PLUMB_REMOVED;
    const plumb_spans *spans = direct ? &work->spans : &work->joined;
    for (size_t i = 0; i < spans->count; i++)
        if (behavior != PLUMB_REMOVED || !spans->data[i].match) PLUMB_TRY(push_part(work, piece, spans->data[i]));
    return PLUMB_OK;
}

/* Cuts all pieces at what a matcher finds. */
static plumb_status cut_all(plumb_work *work, const plumb_matcher *matcher, plumb_behavior behavior, bool invert)
{
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        if (piece.id >= 0) {
            PLUMB_TRY(plumb_push_piece(&work->next, piece));
            continue;
        }
        PLUMB_TRY(plumb_matcher_find(matcher, work, work->now.text.data + piece.begin, piece.end - piece.begin));
        PLUMB_TRY(cut(work, piece, behavior, invert));
    }
    plumb_swap_pieces(work, false);
    return PLUMB_OK;
}

/* Cuts all pieces at single characters of a kind. */
static plumb_status cut_characters(plumb_work *work, bool (*is)(uint32_t), plumb_behavior behavior)
{
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        if (piece.id >= 0) {
            PLUMB_TRY(plumb_push_piece(&work->next, piece));
            continue;
        }
        const char *text = work->now.text.data + piece.begin;
        size_t n = piece.end - piece.begin, done = 0;
        work->spans.count = 0;
        for (size_t at = 0; at < n;) {
            size_t begin = at;
            if (!is(plumb_utf8_next(text, &at))) continue;
            if (done < begin) PLUMB_TRY(plumb_spans_push(&work->spans, done, begin, false));
            PLUMB_TRY(plumb_spans_push(&work->spans, begin, at, true));
            done = at;
        }
        if (done < n) PLUMB_TRY(plumb_spans_push(&work->spans, done, n, false));
        PLUMB_TRY(cut(work, piece, behavior, false));
    }
    plumb_swap_pieces(work, false);
    return PLUMB_OK;
}

/* --- Split, Digits, Punctuation, Whitespace, WhitespaceSplit --- */

static plumb_status read_behavior(const json_t *json, plumb_behavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const json_t *value = NULL;
    PLUMB_TRY(plumb_need(json, "behavior", JSON_STRING, &value));
    for (int i = 0; i < 5; i++)
        if (strcmp(names[i], json_string_value(value)) == 0) {
            *out = (plumb_behavior)i;
            return PLUMB_OK;
        }
    return plumb_fail(
        PLUMB_E_INPUT,
        "\"behavior\" is \"%.40s\"; expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
        json_string_value(value));
}

static plumb_status read_split(const json_t *json, plumb_step *step)
{
    PLUMB_TRY(plumb_need_matcher(json, "pattern", &step->matcher));
    PLUMB_TRY(read_behavior(json, &step->behavior));
    return plumb_need_bool(json, "invert", &step->invert);
}

static plumb_status split(const plumb_step *step, plumb_work *work)
{
    return cut_all(work, &step->matcher, step->behavior, step->invert);
}

static plumb_status read_digits(const json_t *json, plumb_step *step)
{
    return plumb_need_bool(json, "individual_digits", &step->individual);
}

static plumb_status digits(const plumb_step *step, plumb_work *work)
{
    return cut_characters(work, plumb_is_numeric, step->individual ? PLUMB_ISOLATED : PLUMB_CONTIGUOUS);
}

static plumb_status read_punctuation(const json_t *json, plumb_step *step)
{
    step->behavior = PLUMB_ISOLATED;
    return json_object_get(json, "behavior") ? read_behavior(json, &step->behavior) : PLUMB_OK;
}

static plumb_status punctuation(const plumb_step *step, plumb_work *work)
{
    return cut_characters(work, plumb_is_punctuation, step->behavior);
}

static plumb_status whitespace_split(const plumb_step *step, plumb_work *work)
{
    (void)step;
    return cut_characters(work, plumb_is_space, PLUMB_REMOVED);
}

/* Runs of \w+ and of [^\w\s]+ (by Rust's regex, not Oniguruma); spaces go. */
static plumb_status whitespace(const plumb_step *step, plumb_work *work)
{
    (void)step;
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        if (piece.id >= 0) {
            PLUMB_TRY(plumb_push_piece(&work->next, piece));
            continue;
        }
        const char *text = work->now.text.data + piece.begin;
        size_t n = piece.end - piece.begin, begin = 0;
        int last = 0; /* 0: spaces, 1: a word, 2: others */
        for (size_t at = 0, next = 0; at < n; at = next) {
            uint32_t c = plumb_utf8_next(text, &next);
            int kind = plumb_is_word(c) ? 1 : plumb_is_space(c) ? 0 : 2;
            if (kind == last) continue;
            if (last) PLUMB_TRY(push_part(work, piece, (plumb_span){begin, at, false}));
            begin = at;
            last = kind;
        }
        if (last) PLUMB_TRY(push_part(work, piece, (plumb_span){begin, n, false}));
    }
    plumb_swap_pieces(work, false);
    return PLUMB_OK;
}

/* --- ByteLevel --- */

uint32_t plumb_byte_character(uint8_t byte)
{
    if (byte <= ' ') return 0x100U + byte;
    if (byte <= '~') return byte;
    if (byte <= 0xA0) return 0x121U + (byte - 0x7FU);
    return byte == 0xAD ? 0x143 : byte;
}

int plumb_character_byte(uint32_t c)
{
    if (c >= 0x100 && c <= 0x120) return (int)c - 0x100;
    if (c >= 0x121 && c <= 0x142) return (int)c - 0x121 + 0x7F;
    if (c == 0x143) return 0xAD;
    bool itself = (c >= '!' && c <= '~') || (c >= 0xA1 && c <= 0xFF && c != 0xAD);
    return itself ? (int)c : -1;
}

/* GPT-2's pattern. */
static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static plumb_status read_byte_level(const json_t *json, plumb_step *step)
{
    bool use_regex = true;
    PLUMB_TRY(plumb_need_bool(json, "add_prefix_space", &step->add_prefix_space));
    PLUMB_TRY(plumb_json_bool(json, "use_regex", &use_regex));
    return use_regex ? plumb_pattern_new(words, sizeof words - 1, &step->matcher.pattern) : PLUMB_OK;
}

/* Copies all pieces to work->next with a prefix where they do not begin with it, and makes that the current text. */
static plumb_status add_prefix(plumb_work *work, const char *prefix, size_t size, bool first_only)
{
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *text = work->now.text.data + piece.begin;
        size_t n = piece.end - piece.begin, begin = work->next.text.size;
        bool has = n >= size && memcmp(text, prefix, size) == 0;
        bool wanted = piece.id < 0 && !has && (!first_only || piece.origin);
        if (wanted) PLUMB_TRY(plumb_text_append(&work->next.text, prefix, size));
        if (wanted && piece.origin) piece.origin += size;
        PLUMB_TRY(plumb_text_append(&work->next.text, text, n));
        piece.begin = begin;
        piece.end = work->next.text.size;
        PLUMB_TRY(plumb_push_piece(&work->next, piece));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

/* Writes bytes as their characters; there must be room for two bytes each. */
static size_t write_bytes(const char *text, size_t n, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = plumb_byte_character((uint8_t)text[i]);
        if (c < 0x80) {
            out[size++] = (char)c;
        } else {
            out[size++] = (char)(0xC0 | c >> 6);
            out[size++] = (char)(0x80 | (c & 0x3F));
        }
    }
    return size;
}

static plumb_status byte_level(const plumb_step *step, plumb_work *work)
{
    if (step->add_prefix_space) PLUMB_TRY(add_prefix(work, " ", 1, false));
    if (step->matcher.pattern) PLUMB_TRY(cut_all(work, &step->matcher, PLUMB_ISOLATED, false));
    plumb_text *to = &work->next.text;
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        if (piece.id < 0) {
            const char *text = work->now.text.data + piece.begin;
            size_t n = piece.end - piece.begin, begin = to->size;
            PLUMB_TRY(plumb_reserve(&to->data, &to->capacity, begin + 2 * n + 1, 1));
            size_t origin = write_bytes(text, piece.origin, to->data + begin);
            to->size += origin + write_bytes(text + piece.origin, n - piece.origin, to->data + begin + origin);
            piece = (plumb_piece){begin, to->size, origin, -1};
        }
        PLUMB_TRY(plumb_push_piece(&work->next, piece));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

/* --- Metaspace --- */

/* Copies all pieces with their spaces replaced. */
static plumb_status replace_spaces(plumb_work *work, const plumb_text *replacement)
{
    plumb_text *to = &work->next.text;
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *text = work->now.text.data;
        size_t begin = to->size, origin = 0;
        for (size_t at = piece.begin; at < piece.end;) {
            const char *space = piece.id < 0 ? memchr(text + at, ' ', piece.end - at) : NULL;
            size_t end = space ? (size_t)(space - text) : piece.end;
            size_t old = piece.begin + piece.origin; /* up to here the text stems from offset 0 */
            if (at < old) origin = to->size - begin + (end < old ? end : old) - at;
            PLUMB_TRY(plumb_text_append(to, text + at, end - at));
            at = end;
            if (!space) break;
            PLUMB_TRY(plumb_text_append(to, replacement->data, replacement->size));
            at++;
            if (at <= old) origin = to->size - begin;
        }
        piece = (plumb_piece){begin, to->size, piece.origin ? origin : 0, piece.id};
        PLUMB_TRY(plumb_push_piece(&work->next, piece));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

static plumb_status metaspace(const plumb_step *step, plumb_work *work)
{
    PLUMB_TRY(replace_spaces(work, &step->content));
    if (step->scheme != PLUMB_PREPEND_NEVER)
        PLUMB_TRY(add_prefix(work, step->content.data, step->content.size, step->scheme == PLUMB_PREPEND_FIRST));
    if (!step->split) return PLUMB_OK;
    const plumb_matcher matcher = {.literal = step->content};
    return cut_all(work, &matcher, PLUMB_MERGED_WITH_NEXT, false);
}

static const plumb_component rows[] = {
    {"Split", read_split, {.split = split}},
    {"ByteLevel", read_byte_level, {.split = byte_level}},
    {"Metaspace", plumb_read_metaspace, {.split = metaspace}},
    {"Digits", read_digits, {.split = digits}},
    {"Punctuation", read_punctuation, {.split = punctuation}},
    {"Whitespace", NULL, {.split = whitespace}},
    {"WhitespaceSplit", NULL, {.split = whitespace_split}},
};

const plumb_component_table plumb_pre_tokenizers = {"pre_tokenizer", "pretokenizers", rows, sizeof rows / sizeof *rows};
