/* Decoders: tokens back to text. The tokens are the pieces of work->now; all of them have the id 0, so that empty ones
 * stay. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_internal.h"
#include "text/tokenizer_utf8.h"

/* Ends the token that was written to work->next.text from `begin` on. */
static plumb_status push_written(plumb_work *work, size_t begin)
{
    return plumb_push_piece(&work->next, (plumb_piece){begin, work->next.text.size, 0, 0});
}

/* A token whose characters all stand for bytes is these bytes, any other (an added one) its text. */
static plumb_status append_bytes(plumb_text *bytes, const char *token, size_t n)
{
    size_t begin = bytes->size;
    for (size_t at = 0; at < n;) {
        int byte = plumb_character_byte(plumb_utf8_next(token, &at));
        if (byte < 0) {
            bytes->size = begin;
            return plumb_text_append(bytes, token, n);
        }
        const char value = (char)byte;
        PLUMB_TRY(plumb_text_append(bytes, &value, 1));
    }
    return PLUMB_OK;
}

static plumb_status byte_level(const plumb_step *step, plumb_work *work)
{
    (void)step;
    plumb_text *bytes = &work->normal[0];
    plumb_text_clear(bytes);
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        PLUMB_TRY(append_bytes(bytes, work->now.text.data + piece.begin, piece.end - piece.begin));
    }
    PLUMB_TRY(plumb_utf8_append_lossy(&work->next.text, bytes->data, bytes->size));
    PLUMB_TRY(push_written(work, 0));
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

static int hexadecimal(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The byte of a token "<0x41>", or -1. Rust's parser of numbers takes "<0x+F>" too. */
static int byte_of(const char *token, size_t n)
{
    if (n != 6 || memcmp(token, "<0x", 3) != 0 || token[5] != '>') return -1;
    int high = token[3] == '+' ? 0 : hexadecimal(token[3]), low = hexadecimal(token[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of bytes is text if all of it is; otherwise every byte becomes U+FFFD, a token of its own. */
static plumb_status push_run(plumb_work *work, const plumb_text *run)
{
    bool valid = plumb_utf8_invalid(run->data, run->size) == run->size;
    for (size_t i = 0; i < (valid ? 1 : run->size); i++) {
        size_t begin = work->next.text.size;
        PLUMB_TRY(valid ? plumb_text_append(&work->next.text, run->data, run->size)
                        : plumb_text_string(&work->next.text, "\xEF\xBF\xBD"));
        PLUMB_TRY(push_written(work, begin));
    }
    return PLUMB_OK;
}

static plumb_status byte_fallback(const plumb_step *step, plumb_work *work)
{
    (void)step;
    plumb_text *run = &work->normal[0];
    plumb_text_clear(run);
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *token = work->now.text.data + piece.begin;
        int byte = byte_of(token, piece.end - piece.begin);
        if (byte >= 0) {
            const char value = (char)byte;
            PLUMB_TRY(plumb_text_append(run, &value, 1));
            continue;
        }
        if (run->size) PLUMB_TRY(push_run(work, run));
        plumb_text_clear(run);
        size_t begin = work->next.text.size;
        PLUMB_TRY(plumb_text_append(&work->next.text, token, piece.end - piece.begin));
        PLUMB_TRY(push_written(work, begin));
    }
    if (run->size) PLUMB_TRY(push_run(work, run));
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

static plumb_status fuse(const plumb_step *step, plumb_work *work)
{
    (void)step;
    PLUMB_TRY(plumb_push_piece(&work->next, (plumb_piece){0, work->now.text.size, 0, 0}));
    plumb_swap_pieces(work, false);
    return PLUMB_OK;
}

static plumb_status read_replace(const json_t *json, plumb_step *step)
{
    PLUMB_TRY(plumb_need_matcher(json, "pattern", &step->matcher));
    return plumb_need_text(json, "content", &step->content);
}

static plumb_status replace(const plumb_step *step, plumb_work *work)
{
    plumb_text *to = &work->next.text;
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *token = work->now.text.data + piece.begin;
        size_t begin = to->size;
        PLUMB_TRY(plumb_matcher_find(&step->matcher, work, token, piece.end - piece.begin));
        for (size_t j = 0; j < work->spans.count; j++) {
            plumb_span span = work->spans.data[j];
            PLUMB_TRY(span.match ? plumb_text_append(to, step->content.data, step->content.size)
                                 : plumb_text_append(to, token + span.begin, span.end - span.begin));
        }
        PLUMB_TRY(push_written(work, begin));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

static plumb_status read_strip(const json_t *json, plumb_step *step)
{
    int64_t start = 0, stop = 0;
    PLUMB_TRY(plumb_need_character(json, "content", &step->content));
    PLUMB_TRY(plumb_need_index(json, "start", INT32_MAX, &start));
    PLUMB_TRY(plumb_need_index(json, "stop", INT32_MAX, &stop));
    step->start = (size_t)start;
    step->stop = (size_t)stop;
    return PLUMB_OK;
}

/* Takes the character away at most `start` times in front and `stop` times behind. */
static plumb_status strip(const plumb_step *step, plumb_work *work)
{
    const char *character = step->content.data;
    size_t size = step->content.size;
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *text = work->now.text.data;
        for (size_t k = 0; k < step->start && piece.end - piece.begin >= size; k++) {
            if (memcmp(text + piece.begin, character, size) != 0) break;
            piece.begin += size;
        }
        for (size_t k = 0; k < step->stop && piece.end - piece.begin >= size; k++) {
            if (memcmp(text + piece.end - size, character, size) != 0) break;
            piece.end -= size;
        }
        size_t begin = work->next.text.size;
        PLUMB_TRY(plumb_text_append(&work->next.text, text + piece.begin, piece.end - piece.begin));
        PLUMB_TRY(push_written(work, begin));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

/* The replacement becomes a space; in the first token it goes, all of it, when one may have been put there. */
static plumb_status metaspace(const plumb_step *step, plumb_work *work)
{
    const plumb_matcher matcher = {.literal = step->content};
    plumb_text *to = &work->next.text;
    for (size_t i = 0; i < work->now.count; i++) {
        plumb_piece piece = work->now.data[i];
        const char *token = work->now.text.data + piece.begin;
        size_t begin = to->size;
        bool drop = i == 0 && step->scheme != PLUMB_PREPEND_NEVER;
        PLUMB_TRY(plumb_matcher_find(&matcher, work, token, piece.end - piece.begin));
        for (size_t j = 0; j < work->spans.count; j++) {
            plumb_span span = work->spans.data[j];
            PLUMB_TRY(span.match ? plumb_text_append(to, " ", drop ? 0 : 1)
                                 : plumb_text_append(to, token + span.begin, span.end - span.begin));
        }
        PLUMB_TRY(push_written(work, begin));
    }
    plumb_swap_pieces(work, true);
    return PLUMB_OK;
}

static const plumb_component rows[] = {
    {"ByteLevel", NULL, {.decode = byte_level}},
    {"ByteFallback", NULL, {.decode = byte_fallback}},
    {"Fuse", NULL, {.decode = fuse}},
    {"Replace", read_replace, {.decode = replace}},
    {"Strip", read_strip, {.decode = strip}},
    {"Metaspace", plumb_read_metaspace, {.decode = metaspace}},
};

const plumb_component_table plumb_decoders = {"decoder", "decoders", rows, sizeof rows / sizeof *rows};
