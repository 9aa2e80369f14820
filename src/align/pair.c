#include "align/pair.h"

#include <string.h>

const char *plumb_skip_name(plumb_skip skip)
{
    static const char *const names[PLUMB_SKIPS] = {"", "prompt_too_long", "empty_response", "no_prompt_token",
                                                   "bad_row"};
    return names[skip];
}

static int common(const plumb_ids *a, const plumb_ids *b)
{
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && a->data[i] == b->data[i]) i++;
    return (int)i;
}

static bool ends_with(const char *text, size_t n, const char *end)
{
    size_t m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static plumb_status plain_texts(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out)
{
    const char *eos = how->encoder->eos;
    if (!eos)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the checkpoint names no EOS token to close responses with"),
                          "add \"eos_token\" to its tokenizer_config.json");
    PLUMB_TRY(plumb_text_append(&out->prompt_text, row->prompt, row->prompt_size));
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(plumb_text_append(&out->text[s], row->prompt, row->prompt_size));
        PLUMB_TRY(plumb_text_append(&out->text[s], row->response[s], row->response_size[s]));
        if (!ends_with(row->response[s], row->response_size[s], eos)) PLUMB_TRY(plumb_text_string(&out->text[s], eos));
    }
    return PLUMB_OK;
}

static plumb_status chat_texts(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out)
{
    PLUMB_TRY(plumb_encoder_render(how->encoder, row->prompt_messages, true, &out->prompt_text));
    for (int s = 0; s < 2; s++) {
        json_t *whole = json_copy(row->prompt_messages);
        if (!whole || json_array_extend(whole, row->response_messages[s])) {
            json_decref(whole);
            return plumb_no_memory();
        }
        plumb_status status = plumb_encoder_render(how->encoder, whole, false, &out->text[s]);
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

static plumb_status official_texts(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out)
{
    PLUMB_TRY(official_prompt(how, row, &out->prompt_text));
    for (int s = 0; s < 2; s++) {
        const char *text = row->response[s];
        size_t size = row->response_size[s];
        if (row->form == PLUMB_FORM_MESSAGES) {
            if (json_array_size(row->response_messages[s]) != 1)
                return plumb_cure(
                    plumb_fail(PLUMB_E_INPUT, "a response of %zu messages", json_array_size(row->response_messages[s])),
                    "--compat official takes responses of one message");
            const json_t *content = json_object_get(json_array_get(row->response_messages[s], 0), "content");
            text = json_string_value(content);
            size = json_string_length(content);
        }
        PLUMB_TRY(plumb_text_append(&out->text[s], out->prompt_text.data ? out->prompt_text.data : "",
                                    out->prompt_text.size));
        PLUMB_TRY(plumb_text_append(&out->text[s], text, size));
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
    bool official = how->compat == PLUMB_COMPAT_OFFICIAL;
    bool special = !official && row->form == PLUMB_FORM_TEXT; /* the tokenizer's own (BOS): a template writes them */
    PLUMB_TRY(official                           ? official_texts(how, row, out)
              : row->form == PLUMB_FORM_MESSAGES ? chat_texts(how, row, out)
                                                 : plain_texts(how, row, out));
    PLUMB_TRY(encode(how, &out->prompt_text, special, &out->prompt_ids));
    for (int s = 0; s < 2; s++) PLUMB_TRY(encode(how, &out->text[s], special, &out->ids[s]));
    int first = common(&out->prompt_ids, &out->ids[0]), second = common(&out->prompt_ids, &out->ids[1]);
    int agreed = first < second ? first : second;
    out->boundary_clean = agreed == (int)out->prompt_ids.count;
    out->prompt = official ? (int)out->prompt_ids.count : agreed;
    return PLUMB_OK;
}

static plumb_status join_ids(const plumb_preference *row, plumb_pair *out)
{
    for (int s = 0; s < 2; s++) {
        out->ids[s].count = 0;
        PLUMB_TRY(plumb_ids_append(&out->ids[s], row->prompt_ids.data, row->prompt_ids.count));
        PLUMB_TRY(plumb_ids_append(&out->ids[s], row->response_ids[s].data, row->response_ids[s].count));
    }
    out->prompt_ids.count = 0;
    out->prompt = (int)row->prompt_ids.count;
    out->boundary_clean = true;
    return plumb_ids_append(&out->prompt_ids, row->prompt_ids.data, row->prompt_ids.count);
}

/* Rows of token ids, and tokenizers with more tokens than the model has embeddings. */
static plumb_status check_vocabulary(const plumb_pairing *how, const plumb_preference *row, const plumb_pair *pair)
{
    static const char *const names[2] = {"chosen", "rejected"};
    for (int s = 0; s < 2 && how->vocab_size; s++)
        for (size_t i = 0; i < pair->ids[s].count; i++) {
            if (pair->ids[s].data[i] < how->vocab_size) continue;
            return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                         "token %zu of prompt + %s is %d; the model has embeddings of 0 to %d", i,
                                         names[s], pair->ids[s].data[i], how->vocab_size - 1),
                              row->form == PLUMB_FORM_IDS ? "were the ids made with this model's tokenizer?"
                                                          : "do tokenizer.json and the weights belong together?");
        }
    return PLUMB_OK;
}

plumb_status plumb_pair_make(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out)
{
    out->skip = PLUMB_SKIP_NONE;
    out->truncated = false;
    plumb_text_clear(&out->prompt_text);
    for (int s = 0; s < 2; s++) plumb_text_clear(&out->text[s]);
    PLUMB_TRY(row->form == PLUMB_FORM_IDS ? join_ids(row, out) : tokenise(how, row, out));
    if (out->prompt == 0) out->skip = PLUMB_SKIP_NO_PROMPT_TOKEN;
    for (int s = 0; s < 2 && !out->skip; s++)
        if ((int)out->ids[s].count <= out->prompt) out->skip = PLUMB_SKIP_EMPTY_RESPONSE;
    if (how->max_length && out->prompt >= how->max_length && !out->skip) out->skip = PLUMB_SKIP_PROMPT_TOO_LONG;
    for (int s = 0; s < 2; s++) {
        out->length[s] = (int)out->ids[s].count;
        if (!how->max_length || out->ids[s].count <= (size_t)how->max_length) continue;
        out->ids[s].count = (size_t)how->max_length;
        out->truncated = true;
    }
    out->shared = common(&out->ids[0], &out->ids[1]);
    return check_vocabulary(how, row, out);
}

void plumb_pair_free(plumb_pair *p)
{
    for (int s = 0; s < 2; s++) {
        plumb_ids_free(&p->ids[s]);
        plumb_text_free(&p->text[s]);
    }
    plumb_ids_free(&p->prompt_ids);
    plumb_text_free(&p->prompt_text);
    *p = (plumb_pair){0};
}

bool plumb_pair_is_single(const plumb_pair *pair, const plumb_tokenizer *tokenizer, int32_t eos)
{
    for (int s = 0; s < 2; s++) {
        size_t second = (size_t)pair->prompt + 1;
        if (pair->ids[s].count < second || pair->ids[s].count > second + 1) return false;
        if (pair->ids[s].count == second) continue;
        int32_t behind = pair->ids[s].data[second];
        if (behind != eos && !plumb_tokenizer_is_special(tokenizer, behind)) return false;
    }
    return pair->shared <= pair->prompt && !pair->truncated;
}
