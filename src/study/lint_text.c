/* What the lint rules share about texts. */
#include <inttypes.h>
#include <string.h>

#include "io/json.h"
#include "study/lint_internal.h"
#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

const char *const plumb_side_names[2] = {"chosen", "rejected"};

enum { QUOTED_CHARACTERS = 16 };

static bool space_at(const char *text, size_t at)
{
    return plumb_is_space(plumb_utf8_next(text, &at));
}

plumb_trimmed plumb_trim(const char *text, size_t n)
{
    size_t begin = 0;
    while (begin < n && space_at(text, begin)) begin += plumb_utf8_size(text[begin]);
    while (n > begin) {
        size_t last = plumb_utf8_before(text, n);
        if (!space_at(text, last)) break;
        n = last;
    }
    return (plumb_trimmed){text + begin, n - begin};
}

/* A message may say something beside its content: tool calls, reasoning. */
static bool is_blank_message(const json_t *message)
{
    const json_t *content = json_object_get(message, "content");
    const size_t plain = json_object_get(message, "name") ? 3 : 2; /* role, content */
    return json_object_size(message) <= plain &&
           plumb_trim(json_string_value(content), json_string_length(content)).size == 0;
}

bool plumb_is_blank(const plumb_lint_row *row, int side)
{
    const plumb_preference *p = &row->preference;
    if (p->form == PLUMB_FORM_TEXT) return plumb_trim(p->response[side], p->response_size[side]).size == 0;
    if (p->form == PLUMB_FORM_IDS) return p->response_ids[side].count == 0;
    size_t i;
    json_t *message;
    json_array_foreach(p->response_messages[side], i, message)
    {
        if (!is_blank_message(message)) return false;
    }
    return true;
}

plumb_status plumb_quote_end(plumb_text *t, const char *text, size_t n)
{
    size_t begin = n;
    bool in_word = false;
    for (int i = 0; i < QUOTED_CHARACTERS && begin > 0; i++) {
        size_t before = plumb_utf8_before(text, begin);
        bool space = space_at(text, before);
        if (space && in_word) break;
        in_word |= !space;
        begin = before;
    }
    return plumb_json_quote(t, text + begin, n - begin);
}

plumb_status plumb_quote_begin(plumb_text *t, const char *text, size_t n)
{
    size_t end = 0;
    bool in_word = false;
    for (int i = 0; i < QUOTED_CHARACTERS && end < n; i++) {
        bool space = space_at(text, end);
        if (space && in_word) break;
        in_word |= !space;
        end += plumb_utf8_size(text[end]);
    }
    return plumb_json_quote(t, text, end);
}

plumb_status plumb_quote_token(plumb_text *t, const plumb_tokenizer *tokenizer, int32_t id)
{
    size_t n = 0;
    const char *token = plumb_tokenizer_token(tokenizer, id, &n);
    PLUMB_TRY(plumb_json_quote(t, token ? token : "", n));
    return plumb_text_printf(t, " (id %" PRId32 ")", id);
}
