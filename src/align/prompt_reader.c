#include "align/prompt_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/row_hash.h"

struct plumb_prompt_reader {
    plumb_prompt_source source;
    plumb_rows *rows;
    plumb_row row;
    plumb_prompt prompt;
    int64_t given, plain;
    uint64_t hash;
};

plumb_status plumb_prompt_reader_open(const plumb_prompt_source *source, plumb_prompt_reader **out)
{
    plumb_prompt_reader *r;
    *out = NULL;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->source = *source;
    plumb_status s = plumb_rows_open(source->path, source->begin, source->end, &r->rows);
    if (s) {
        plumb_prompt_reader_close(r);
        return s;
    }
    *out = r;
    return PLUMB_OK;
}

void plumb_prompt_reader_close(plumb_prompt_reader *r)
{
    if (!r) return;
    plumb_preference_clear(&r->prompt.row);
    plumb_text_free(&r->prompt.text);
    plumb_ids_free(&r->prompt.ids);
    plumb_rows_close(r->rows);
    free(r);
}

plumb_status plumb_prompt_reader_pass(plumb_prompt_reader *r, const plumb_row **row, bool *found)
{
    PLUMB_TRY(plumb_rows_next(r->rows, &r->row, found));
    if (!*found) return PLUMB_OK;
    r->given++;
    r->hash = plumb_add_row_hash(r->hash, r->row.hash);
    *row = &r->row;
    return PLUMB_OK;
}

static plumb_status render_turn(const plumb_encoder *e, plumb_prompt *p)
{
    json_t *turn = json_pack("[{s:s, s:s%}]", "role", "user", "content", p->row.prompt, p->row.prompt_size);
    if (!turn) return plumb_no_memory();
    plumb_status s = plumb_encoder_render(e, turn, true, &p->text);
    json_decref(turn);
    return s;
}

static plumb_status start_token(const plumb_encoder *e, plumb_ids *out)
{
    const char *start = e->bos ? e->bos : e->eos;
    int32_t id = start ? plumb_tokenizer_id(e->tokenizer, start, strlen(start)) : -1;
    if (id < 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the prompt has no token"),
                          "the model needs one to go on from, and its tokenizer names neither BOS nor EOS token");
    return plumb_ids_push(out, id);
}

static plumb_status encode(plumb_prompt_reader *r)
{
    const plumb_encoder *e = r->source.encoder;
    plumb_prompt *p = &r->prompt;
    bool plain = p->row.form == PLUMB_FORM_TEXT && !r->source.as_message;
    if (p->row.form == PLUMB_FORM_IDS)
        return plumb_ids_append(&p->ids, p->row.prompt_ids.data, p->row.prompt_ids.count);
    if (p->row.form == PLUMB_FORM_MESSAGES)
        PLUMB_TRY(plumb_encoder_render(e, p->row.prompt_messages, true, &p->text));
    else if (plain)
        PLUMB_TRY(plumb_text_append(&p->text, p->row.prompt, p->row.prompt_size));
    else
        PLUMB_TRY(render_turn(e, p));
    r->plain += plain;
    return plumb_tokenizer_encode(e->tokenizer, p->text.data ? p->text.data : "", p->text.size, plain, &p->ids);
}

static plumb_status make_prompt(plumb_prompt_reader *r)
{
    plumb_prompt *p = &r->prompt;
    plumb_preference_clear(&p->row);
    plumb_text_clear(&p->text);
    p->ids.count = 0;
    PLUMB_TRY(plumb_prompt_parse(r->row.bytes, r->row.size, &r->source.keys, &p->row));
    PLUMB_TRY(encode(r));
    if (p->ids.count == 0) PLUMB_TRY(start_token(r->source.encoder, &p->ids));
    for (size_t i = 0; r->source.vocab_size && i < p->ids.count; i++)
        if (p->ids.data[i] >= r->source.vocab_size)
            return plumb_fail(PLUMB_E_INPUT, "token id %d is outside the model's %d embedding rows", p->ids.data[i],
                              r->source.vocab_size);
    return PLUMB_OK;
}

plumb_status plumb_prompt_reader_make(plumb_prompt_reader *r, const plumb_prompt **prompt)
{
    plumb_status s = plumb_context(make_prompt(r), "%s:%lld", plumb_rows_name(r->rows), (long long)r->row.line);
    if (s && (!r->source.skip_bad_rows || plumb_status_code(s) != PLUMB_E_INPUT)) return s;
    r->prompt.usable = !s;
    if (s) plumb_note(r->source.sink, "passed over: %s", plumb_status_message(s));
    plumb_status_free(s);
    *prompt = &r->prompt;
    return PLUMB_OK;
}

plumb_status plumb_prompt_reader_next(plumb_prompt_reader *r, const plumb_row **row, const plumb_prompt **prompt,
                                      bool *found)
{
    PLUMB_TRY(plumb_prompt_reader_pass(r, row, found));
    return *found ? plumb_prompt_reader_make(r, prompt) : PLUMB_OK;
}

int64_t plumb_prompt_reader_rows(const plumb_prompt_reader *r, uint64_t *hash, int64_t *plain)
{
    if (hash) *hash = r->hash;
    if (plain) *plain = r->plain;
    return r->given;
}

double plumb_prompt_reader_expected(const plumb_prompt_reader *r)
{
    return plumb_rows_expected(r->rows, r->source.begin, r->source.end, r->given);
}
