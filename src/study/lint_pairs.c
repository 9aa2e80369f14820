/* Rules PD2xx: what the pair says. */
#include <inttypes.h>
#include <string.h>

#include "study/lint_internal.h"

/* Shorter prompts may begin a good answer: "2 + 2" and "2 + 2 = 4". */
enum { FEWEST_REPEATED_BYTES = 16, FEWEST_REPEATED_IDS = 8 };
/* Between one word and a sentence a ratio says little. */
enum { LEAST_LENGTH_GAP = 32 };

plumb_status plumb_lint_chosen_equals_rejected(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_pair *pair = &row->pair;
    if (pair->length[0] != pair->length[1]) return PLUMB_OK;
    if (pair->length[0] && memcmp(pair->ids[0].data, pair->ids[1].data, (size_t)pair->length[0] * sizeof(int32_t)) != 0)
        return PLUMB_OK;
    return plumb_text_string(&f->message, "chosen and rejected have the same tokens");
}

plumb_status plumb_lint_duplicate_pair(const plumb_lint_row *row, plumb_finding *f)
{
    if (!row->same_line) return PLUMB_OK;
    return plumb_text_printf(&f->message, "the same pair as in line %" PRId64, row->same_line);
}

/* A duplicate is told as such; its first occurrence was told as swapped. */
plumb_status plumb_lint_swapped_pair(const plumb_lint_row *row, plumb_finding *f)
{
    if (!row->swapped_line || row->same_line) return PLUMB_OK;
    return plumb_text_printf(&f->message, "line %" PRId64 " prefers the other response of the same two",
                             row->swapped_line);
}

plumb_status plumb_lint_empty_response(const plumb_lint_row *row, plumb_finding *f)
{
    bool blank[2] = {plumb_is_blank(row, 0), plumb_is_blank(row, 1)};
    if (!blank[0] && !blank[1]) return PLUMB_OK;
    return plumb_text_printf(&f->message, "%s empty",
                             !blank[1]   ? "chosen is"
                             : !blank[0] ? "rejected is"
                                         : "chosen and rejected are");
}

/* ---- the prompt again ---- */

static bool text_repeats(const plumb_preference *p, int side)
{
    plumb_trimmed prompt = plumb_trim(p->prompt, p->prompt_size);
    plumb_trimmed response = plumb_trim(p->response[side], p->response_size[side]);
    return prompt.size >= FEWEST_REPEATED_BYTES && response.size >= prompt.size &&
           memcmp(response.text, prompt.text, prompt.size) == 0;
}

static bool ids_repeat(const plumb_preference *p, int side)
{
    const plumb_ids *prompt = &p->prompt_ids, *response = &p->response_ids[side];
    return prompt->count >= FEWEST_REPEATED_IDS && response->count >= prompt->count &&
           memcmp(response->data, prompt->data, prompt->count * sizeof *prompt->data) == 0;
}

/* Either the prompt's messages once more (the response is a whole conversation), or its last one quoted at the
 * beginning of the answer. */
static bool messages_repeat(const plumb_preference *p, int side)
{
    const json_t *prompt = p->prompt_messages, *response = p->response_messages[side];
    size_t n = json_array_size(prompt), same = 0;
    while (same < n && json_equal(json_array_get(prompt, same), json_array_get(response, same))) same++;
    if (n && same == n) return true;
    const json_t *asked = json_object_get(json_array_get(prompt, n - 1), "content");
    const json_t *answer = json_object_get(json_array_get(response, 0), "content");
    plumb_preference texts = {.prompt = json_string_value(asked),
                              .prompt_size = json_string_length(asked),
                              .response = {json_string_value(answer)},
                              .response_size = {json_string_length(answer)}};
    return n && texts.response[0] && text_repeats(&texts, 0);
}

plumb_status plumb_lint_prompt_repeated(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_preference *p = &row->preference;
    bool repeats[2];
    for (int s = 0; s < 2; s++)
        repeats[s] = p->form == PLUMB_FORM_TEXT  ? text_repeats(p, s)
                     : p->form == PLUMB_FORM_IDS ? ids_repeat(p, s)
                                                 : messages_repeat(p, s);
    if (!repeats[0] && !repeats[1]) return PLUMB_OK;
    return plumb_text_printf(&f->message, "%s with the whole prompt",
                             !repeats[1]   ? "chosen begins"
                             : !repeats[0] ? "rejected begins"
                                           : "chosen and rejected begin");
}

/* ---- lengths ---- */

plumb_status plumb_lint_length_gap(const plumb_lint_row *row, plumb_finding *f)
{
    int n[2] = {row->pair.length[0] - row->pair.prompt, row->pair.length[1] - row->pair.prompt};
    int longer = n[0] > n[1] ? n[0] : n[1], shorter = n[0] > n[1] ? n[1] : n[0];
    bool is_gap = longer > row->options->max_ratio * shorter && longer - shorter >= LEAST_LENGTH_GAP;
    if (!is_gap || shorter < 1 || plumb_is_blank(row, n[0] > n[1])) return PLUMB_OK; /* an empty one is PD204's */
    return plumb_text_printf(&f->message, "chosen has %d tokens, rejected %d: a ratio of %.1f", n[0], n[1],
                             (double)longer / shorter);
}

/* ---- special tokens as text ---- */

/* The first special token in a text, from byte `from` to byte `end`. */
static plumb_status find_special(const plumb_lint_row *row, const char *where, const char *text, size_t n, size_t from,
                                 size_t end, plumb_finding *f)
{
    int32_t id = -1;
    size_t size = 0, at = text ? plumb_special_tokens_find(row->special, text, n, from, &id, &size) : n;
    if (at >= end || f->message.size) return PLUMB_OK;
    PLUMB_TRY(plumb_text_printf(&f->message, "%s holds ", where));
    PLUMB_TRY(plumb_quote_token(&f->message, row->options->pairing.encoder->tokenizer, id));
    return plumb_text_string(&f->message, ", which is read as that special token");
}

static plumb_status find_in_messages(const plumb_lint_row *row, const char *where, const json_t *messages,
                                     plumb_finding *f)
{
    size_t i;
    json_t *message;
    json_array_foreach(messages, i, message)
    {
        const json_t *content = json_object_get(message, "content");
        size_t n = json_string_length(content);
        PLUMB_TRY(find_special(row, where, json_string_value(content), n, 0, n, f));
    }
    return PLUMB_OK;
}

/* In plain text BOS may begin the prompt (twice is PT102's), and EOS may end a response. */
static plumb_status find_in_text(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_preference *p = &row->preference;
    const char *bos = row->options->pairing.encoder->bos, *eos = row->options->pairing.encoder->eos;
    size_t b = bos ? strlen(bos) : 0, e = eos ? strlen(eos) : 0;
    size_t from = b && p->prompt_size >= b && memcmp(p->prompt, bos, b) == 0 ? b : 0;
    PLUMB_TRY(find_special(row, "prompt", p->prompt, p->prompt_size, from, p->prompt_size, f));
    for (int s = 0; s < 2; s++) {
        size_t n = p->response_size[s];
        bool closed = e && n >= e && memcmp(p->response[s] + n - e, eos, e) == 0;
        PLUMB_TRY(find_special(row, plumb_side_names[s], p->response[s], n, 0, closed ? n - e : n, f));
    }
    return PLUMB_OK;
}

plumb_status plumb_lint_special_token_text(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_preference *p = &row->preference;
    if (p->form == PLUMB_FORM_IDS) return PLUMB_OK;
    if (p->form == PLUMB_FORM_TEXT) return find_in_text(row, f);
    PLUMB_TRY(find_in_messages(row, "prompt", p->prompt_messages, f));
    for (int s = 0; s < 2; s++) PLUMB_TRY(find_in_messages(row, plumb_side_names[s], p->response_messages[s], f));
    return PLUMB_OK;
}
