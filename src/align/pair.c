#include "align/pair.h"

#include <string.h>

const char *plumb_skip_name(plumb_skip skip)
{
    static const char *const names[PLUMB_SKIPS] = {"", "prompt_too_long", "empty_response", "no_prompt_token", "bad_row"};
    return names[skip];
}

static int common(const plumb_ids *a, const plumb_ids *b)
{
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && a->data[i] == b->data[i]) i++;
    return (int)i;
}

/* Texts of the prompt and of prompt + response, and whether the tokenizer's special tokens (BOS) are to be added. */
typedef struct texts {
    plumb_text prompt, full[2];
    bool special;
} texts;

static void free_texts(texts *t)
{
    plumb_text_free(&t->prompt);
    plumb_text_free(&t->full[0]);
    plumb_text_free(&t->full[1]);
}

static bool ends_with(const char *text, size_t n, const char *end)
{
    size_t m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static plumb_status plain_texts(const plumb_pairing *how, const plumb_preference *row, texts *t)
{
    const char *eos = how->encoder->eos;
    t->special = true;
    if (!eos)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the checkpoint names no EOS token to close responses with"),
                          "add \"eos_token\" to its tokenizer_config.json");
    PLUMB_TRY(plumb_text_append(&t->prompt, row->prompt, row->prompt_size));
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(plumb_text_append(&t->full[s], row->prompt, row->prompt_size));
        PLUMB_TRY(plumb_text_append(&t->full[s], row->response[s], row->response_size[s]));
        if (!ends_with(row->response[s], row->response_size[s], eos)) PLUMB_TRY(plumb_text_string(&t->full[s], eos));
    }
    return PLUMB_OK;
}

static plumb_status chat_texts(const plumb_pairing *how, const plumb_preference *row, texts *t)
{
    PLUMB_TRY(plumb_encoder_render(how->encoder, row->prompt_messages, true, &t->prompt));
    for (int s = 0; s < 2; s++) {
        json_t *whole = json_copy(row->prompt_messages);
        if (!whole || json_array_extend(whole, row->response_messages[s])) {
            json_decref(whole);
            return plumb_no_memory();
        }
        plumb_status status = plumb_encoder_render(how->encoder, whole, false, &t->full[s]);
        json_decref(whole);
        PLUMB_TRY(status);
    }
    return PLUMB_OK;
}

/* The paper's code: a string prompt becomes one user turn where there is a template. */
static plumb_status official_prompt(const plumb_pairing *how, const plumb_preference *row, plumb_text *prompt)
{
    if (row->form == PLUMB_FORM_MESSAGES) return plumb_encoder_render(how->encoder, row->prompt_messages, true, prompt);
    if (!how->encoder->chat) return plumb_text_append(prompt, row->prompt, row->prompt_size);
    json_t *turn = json_pack("[{s:s, s:s%}]", "role", "user", "content", row->prompt, row->prompt_size);
    if (!turn) return plumb_no_memory();
    plumb_status s = plumb_encoder_render(how->encoder, turn, true, prompt);
    json_decref(turn);
    return s;
}

static plumb_status official_texts(const plumb_pairing *how, const plumb_preference *row, texts *t)
{
    PLUMB_TRY(official_prompt(how, row, &t->prompt));
    for (int s = 0; s < 2; s++) {
        const char *text = row->response[s];
        size_t size = row->response_size[s];
        if (row->form == PLUMB_FORM_MESSAGES) {
            if (json_array_size(row->response_messages[s]) != 1)
                return plumb_cure(plumb_fail(PLUMB_E_INPUT, "a response of %zu messages",
                                             json_array_size(row->response_messages[s])),
                                  "--compat official takes responses of one message");
            const json_t *content = json_object_get(json_array_get(row->response_messages[s], 0), "content");
            text = json_string_value(content);
            size = json_string_length(content);
        }
        PLUMB_TRY(plumb_text_append(&t->full[s], t->prompt.data ? t->prompt.data : "", t->prompt.size));
        PLUMB_TRY(plumb_text_append(&t->full[s], text, size));
    }
    return PLUMB_OK;
}

static plumb_status encode(const plumb_pairing *how, const plumb_text *text, bool special, plumb_ids *out)
{
    out->count = 0;
    return plumb_tokenizer_encode(how->encoder->tokenizer, text->data ? text->data : "", text->size, special, out);
}

static plumb_status tokenise(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out)
{
    texts t = {0};
    plumb_ids prompt = {0};
    plumb_status s = how->compat == PLUMB_COMPAT_OFFICIAL ? official_texts(how, row, &t)
                     : row->form == PLUMB_FORM_MESSAGES   ? chat_texts(how, row, &t)
                                                          : plain_texts(how, row, &t);
    if (!s) s = encode(how, &t.prompt, t.special, &prompt);
    for (int side = 0; side < 2 && !s; side++) s = encode(how, &t.full[side], t.special, &out->ids[side]);
    if (!s) {
        int first = common(&prompt, &out->ids[0]), second = common(&prompt, &out->ids[1]);
        int agreed = first < second ? first : second;
        out->boundary_clean = agreed == (int)prompt.count;
        out->prompt = how->compat == PLUMB_COMPAT_OFFICIAL ? (int)prompt.count : agreed;
    }
    plumb_ids_free(&prompt);
    free_texts(&t);
    return s;
}

static plumb_status join_ids(const plumb_preference *row, plumb_pair *out)
{
    for (int s = 0; s < 2; s++) {
        out->ids[s].count = 0;
        PLUMB_TRY(plumb_ids_append(&out->ids[s], row->prompt_ids.data, row->prompt_ids.count));
        PLUMB_TRY(plumb_ids_append(&out->ids[s], row->response_ids[s].data, row->response_ids[s].count));
    }
    out->prompt = (int)row->prompt_ids.count;
    out->boundary_clean = true;
    return PLUMB_OK;
}

plumb_status plumb_pair_make(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out)
{
    out->skip = PLUMB_SKIP_NONE;
    out->truncated = false;
    PLUMB_TRY(row->form == PLUMB_FORM_IDS ? join_ids(row, out) : tokenise(how, row, out));
    if (out->prompt == 0) out->skip = PLUMB_SKIP_NO_PROMPT_TOKEN;
    for (int s = 0; s < 2 && !out->skip; s++)
        if ((int)out->ids[s].count <= out->prompt) out->skip = PLUMB_SKIP_EMPTY_RESPONSE;
    if (how->max_length && out->prompt >= how->max_length && !out->skip) out->skip = PLUMB_SKIP_PROMPT_TOO_LONG;
    for (int s = 0; s < 2; s++) {
        if (!how->max_length || out->ids[s].count <= (size_t)how->max_length) continue;
        out->ids[s].count = (size_t)how->max_length;
        out->truncated = true;
    }
    out->shared = common(&out->ids[0], &out->ids[1]);
    return PLUMB_OK;
}

void plumb_pair_free(plumb_pair *p)
{
    plumb_ids_free(&p->ids[0]);
    plumb_ids_free(&p->ids[1]);
    *p = (plumb_pair){0};
}
