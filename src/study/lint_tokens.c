/* Rules PT1xx: what the tokens and the chat template make of a row. */
#include <string.h>

#include "io/json.h"
#include "study/lint_internal.h"
#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

static const plumb_tokenizer *tokenizer_of(const plumb_lint_row *row)
{
    return row->options->pairing.encoder->tokenizer;
}

/* Bytes of a text (never NULL, even when empty). */
static const char *bytes_of(const plumb_text *t)
{
    return t->data ? t->data : "";
}

/* Where two texts first differ, or the size of the shorter one; at the beginning of a character. */
static size_t common_bytes(const plumb_text *a, const plumb_text *b)
{
    size_t n = a->size < b->size ? a->size : b->size, i = 0;
    while (i < n && a->data[i] == b->data[i]) i++;
    while (i > 0 && i < n && ((unsigned char)a->data[i] & 0xC0) == 0x80) i--;
    return i;
}

/* The side whose text does not begin with the prompt's, or -1. */
static int side_without_prompt(const plumb_pair *pair)
{
    for (int s = 0; s < 2; s++)
        if (common_bytes(&pair->prompt_text, &pair->text[s]) < pair->prompt_text.size) return s;
    return -1;
}

/* The side whose tokens leave those of the prompt at the boundary. */
static int side_that_merges(const plumb_pair *pair)
{
    size_t at = (size_t)pair->prompt;
    bool stays = at < (size_t)pair->length[0] && pair->ids[0].data[at] == pair->prompt_ids.data[at];
    return stays ? 1 : 0;
}

/* ("walk. " + "We": token "ĠWe" (id 844)) */
static plumb_status quote_boundary(const plumb_lint_row *row, int side, plumb_text *out)
{
    const plumb_preference *p = &row->preference;
    const plumb_pair *pair = &row->pair;
    const plumb_text *prompt = &pair->prompt_text, *whole = &pair->text[side];
    const char *response = bytes_of(whole) + prompt->size;
    bool is_text = p->form == PLUMB_FORM_TEXT;
    PLUMB_TRY(plumb_text_string(out, " ("));
    PLUMB_TRY(plumb_quote_end(out, bytes_of(prompt), prompt->size));
    PLUMB_TRY(plumb_text_string(out, " + "));
    PLUMB_TRY(plumb_quote_begin(out, response, is_text ? p->response_size[side] : whole->size - prompt->size));
    if (pair->prompt < pair->length[side]) {
        PLUMB_TRY(plumb_text_string(out, ": token "));
        PLUMB_TRY(plumb_quote_token(out, tokenizer_of(row), pair->ids[side].data[pair->prompt]));
    }
    return plumb_text_string(out, ")");
}

/* Texts that go on from the prompt's, with tokens that do not. Where the texts differ it is the template (PT108). */
plumb_status plumb_lint_boundary_merged(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_pair *pair = &row->pair;
    if (pair->boundary_clean || side_without_prompt(pair) >= 0) return PLUMB_OK;
    int side = side_that_merges(pair);
    size_t changed = pair->prompt_ids.count - (size_t)pair->prompt, was = 0, now = 0;
    (void)plumb_tokenizer_token(tokenizer_of(row), pair->prompt_ids.data[pair->prompt], &was);
    if (pair->prompt < pair->length[side])
        (void)plumb_tokenizer_token(tokenizer_of(row), pair->ids[side].data[pair->prompt], &now);
    if (changed > 1)
        PLUMB_TRY(plumb_text_printf(&f->message, "the prompt's last %zu tokens change before %s", changed,
                                    plumb_side_names[side]));
    else
        PLUMB_TRY(plumb_text_printf(&f->message, "the prompt's last token %s %s",
                                    now < was ? "splits before" : "merges with", plumb_side_names[side]));
    return quote_boundary(row, side, &f->message);
}

/* BOS right behind BOS, or at the beginning of a response, where it was tokenised by itself. A model whose BOS is its
 * EOS (GPT-NeoX) may have it there for an empty response. */
plumb_status plumb_lint_double_bos(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_pair *pair = &row->pair;
    const char *bos = row->options->pairing.encoder->bos, *eos = row->options->pairing.encoder->eos;
    int32_t id = bos ? plumb_tokenizer_id(tokenizer_of(row), bos, strlen(bos)) : -1;
    for (int s = 0; s < 2 && id >= 0; s++) {
        const int32_t *ids = pair->ids[s].data;
        if (pair->length[s] < 2 || ids[0] != id) continue;
        if (ids[1] == id) return plumb_text_printf(&f->message, "the row begins with %s twice", bos);
        bool at_response = pair->prompt > 1 && pair->prompt < pair->length[s] && ids[pair->prompt] == id;
        if (at_response && (!eos || strcmp(bos, eos) != 0))
            return plumb_text_printf(&f->message, "%s begins with a second %s", plumb_side_names[s], bos);
    }
    return PLUMB_OK;
}

/* Plain text gets the EOS text, which must have become the token; ids end in it, and a template's text in a token that
 * ends the turn, whatever its name ("<|eot_id|>", "<end_of_turn>"). Before the cut, which is PT104's. */
static bool ends(const plumb_lint_row *row, int side)
{
    const plumb_pair *pair = &row->pair;
    const char *eos = row->options->pairing.encoder->eos;
    if (row->preference.form == PLUMB_FORM_MESSAGES) {
        plumb_trimmed text = plumb_trim(bytes_of(&pair->text[side]), pair->text[side].size);
        return plumb_special_tokens_end(row->special, text.text, text.size);
    }
    if (pair->length[side] <= pair->prompt) return true; /* an empty response is PD204's */
    int32_t last = pair->ids[side].data[pair->length[side] - 1];
    if (eos && last == plumb_tokenizer_id(tokenizer_of(row), eos, strlen(eos))) return true;
    return row->preference.form == PLUMB_FORM_IDS && plumb_tokenizer_is_special(tokenizer_of(row), last);
}

plumb_status plumb_lint_lost_eos(const plumb_lint_row *row, plumb_finding *f)
{
    bool good[2] = {ends(row, 0), ends(row, 1)};
    const char *eos = row->options->pairing.encoder->eos;
    if (good[0] && good[1]) return PLUMB_OK;
    const char *which = good[0] ? "rejected does" : good[1] ? "chosen does" : "chosen and rejected do";
    if (row->preference.form == PLUMB_FORM_MESSAGES)
        return plumb_text_printf(&f->message, "%s not end in a special token, so no end of the turn is learnt", which);
    return plumb_text_printf(&f->message, "%s not end in the token %s", which, eos ? eos : "EOS");
}

plumb_status plumb_lint_truncated(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_pair *pair = &row->pair;
    int most = row->options->pairing.max_length;
    if (!pair->truncated || pair->skip == PLUMB_SKIP_PROMPT_TOO_LONG) return PLUMB_OK;
    if (pair->length[0] > most && pair->length[1] > most)
        return plumb_text_printf(&f->message, "chosen is %d and rejected %d tokens with the prompt, cut at %d",
                                 pair->length[0], pair->length[1], most);
    int side = pair->length[0] > most ? 0 : 1;
    return plumb_text_printf(&f->message, "%s is %d tokens with the prompt, cut at %d", plumb_side_names[side],
                             pair->length[side], most);
}

plumb_status plumb_lint_identical_after_truncation(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_pair *pair = &row->pair;
    bool same = pair->ids[0].count == pair->ids[1].count && (size_t)pair->shared == pair->ids[0].count;
    if (!pair->truncated || pair->skip == PLUMB_SKIP_PROMPT_TOO_LONG || !same) return PLUMB_OK;
    bool were_same = pair->length[0] == pair->length[1] &&
                     memcmp(pair->ids[0].data, pair->ids[1].data, (size_t)pair->length[0] * sizeof(int32_t)) == 0;
    if (were_same) return PLUMB_OK; /* PD201's */
    return plumb_text_printf(&f->message, "chosen and rejected are the same in the first %d tokens",
                             row->options->pairing.max_length);
}

plumb_status plumb_lint_prompt_too_long(const plumb_lint_row *row, plumb_finding *f)
{
    if (row->pair.skip != PLUMB_SKIP_PROMPT_TOO_LONG) return PLUMB_OK;
    return plumb_text_printf(&f->message, "the prompt is %d tokens and leaves nothing of --max_length %d",
                             row->pair.prompt, row->options->pairing.max_length);
}

/* Scripts that write words without spaces: there two letters in a row say nothing. */
static bool is_spaced_letter(uint32_t c)
{
    static const uint32_t unspaced[][2] = {
        {0x0E00, 0x0EFF},   /* Thai, Lao */
        {0x0F00, 0x109F},   /* Tibetan, Burmese */
        {0x1780, 0x17FF},   /* Khmer */
        {0x1A20, 0x1AAF},   /* Tai Tham */
        {0x2E80, 0x31FF},   /* CJK radicals, kana, Bopomofo */
        {0x3400, 0x9FFF},   /* CJK */
        {0xA000, 0xA4CF},   /* Yi */
        {0xF900, 0xFAFF},   /* CJK */
        {0xFF66, 0xFF9F},   /* half-width kana */
        {0x1B000, 0x1B16F}, /* more kana */
        {0x20000, 0x3FFFF}, /* CJK */
    };
    if (!plumb_is_word(c)) return false;
    for (size_t i = 0; i < sizeof unspaced / sizeof *unspaced; i++)
        if (c >= unspaced[i][0] && c <= unspaced[i][1]) return false;
    return true;
}

plumb_status plumb_lint_split_word(const plumb_lint_row *row, plumb_finding *f)
{
    const plumb_preference *p = &row->preference;
    if (p->form != PLUMB_FORM_TEXT || p->prompt_size == 0) return PLUMB_OK;
    size_t last = plumb_utf8_before(p->prompt, p->prompt_size);
    if (!is_spaced_letter(plumb_utf8_next(p->prompt, &last))) return PLUMB_OK;
    for (int s = 0; s < 2; s++) {
        size_t first = 0;
        if (p->response_size[s] == 0 || !is_spaced_letter(plumb_utf8_next(p->response[s], &first))) continue;
        PLUMB_TRY(
            plumb_text_printf(&f->message, "nothing parts the prompt's last word from %s (", plumb_side_names[s]));
        PLUMB_TRY(plumb_quote_end(&f->message, p->prompt, p->prompt_size));
        PLUMB_TRY(plumb_text_string(&f->message, " + "));
        PLUMB_TRY(plumb_quote_begin(&f->message, p->response[s], p->response_size[s]));
        return plumb_text_string(&f->message, ")");
    }
    return PLUMB_OK;
}

plumb_status plumb_lint_template_differs(const plumb_lint_row *row, plumb_finding *f)
{
    int side = side_without_prompt(&row->pair);
    if (side < 0) return PLUMB_OK;
    const plumb_text *alone = &row->pair.prompt_text, *whole = &row->pair.text[side];
    size_t at = common_bytes(alone, whole);
    PLUMB_TRY(plumb_text_printf(&f->message, "from byte %zu on the prompt alone is rendered as ", at));
    PLUMB_TRY(plumb_quote_begin(&f->message, bytes_of(alone) + at, alone->size - at));
    PLUMB_TRY(plumb_text_printf(&f->message, ", with %s as ", plumb_side_names[side]));
    return plumb_quote_begin(&f->message, bytes_of(whole) + at, whole->size - at);
}

plumb_status plumb_lint_no_prompt_token(const plumb_lint_row *row, plumb_finding *f)
{
    if (row->pair.skip != PLUMB_SKIP_NO_PROMPT_TOKEN) return PLUMB_OK;
    return plumb_text_string(&f->message, "no token stands before the responses, so nothing predicts their first one");
}
