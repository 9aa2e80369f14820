#include "train/prompts.h"

#include <stdlib.h>

#include "io/json.h"

plumb_status plumb_prompts_add(plumb_prompts *p, int64_t index, uint64_t row, const int32_t *ids, int count,
                               const char *json, size_t json_size)
{
    PLUMB_TRY(plumb_reserve(&p->list, &p->capacity, p->count + 1, sizeof *p->list));
    plumb_prompt_row *x = &p->list[p->count];
    *x = (plumb_prompt_row){.index = index, .row = row, .count = count};
    PLUMB_TRY(plumb_arena_copy(&p->arena, &x->ids, ids, (size_t)count * sizeof *ids));
    PLUMB_TRY(plumb_arena_copy(&p->arena, &x->json, json, json_size));
    if (count > p->longest) p->longest = count;
    p->count++;
    return PLUMB_OK;
}

/* The prompt as the data has it; token ids as their text. */
static plumb_status as_json(const plumb_prompt_source *source, const plumb_prompt *p, plumb_text *out)
{
    plumb_text text = {0};
    if (p->row.form == PLUMB_FORM_TEXT) return plumb_json_quote(out, p->row.prompt, p->row.prompt_size);
    if (p->row.form == PLUMB_FORM_MESSAGES) {
        char *list = json_dumps(p->row.prompt_messages, JSON_COMPACT);
        plumb_status s = list ? plumb_text_string(out, list) : plumb_no_memory();
        free(list);
        return s;
    }
    plumb_status s = plumb_tokenizer_decode(source->encoder->tokenizer, p->ids.data, p->ids.count, false, &text);
    if (!s) s = plumb_json_quote(out, text.data ? text.data : "", text.size);
    plumb_text_free(&text);
    return s;
}

static plumb_status take(const plumb_prompt_source *source, int positions, const plumb_row *row, const plumb_prompt *p,
                         plumb_text *json, plumb_prompts *out)
{
    if (!p->usable) {
        out->unusable++;
        return PLUMB_OK;
    }
    if (positions > 0 && p->ids.count >= (size_t)positions) {
        out->full++;
        return PLUMB_OK;
    }
    plumb_text_clear(json);
    PLUMB_TRY(as_json(source, p, json));
    return plumb_prompts_add(out, row->index, row->hash, p->ids.data, (int)p->ids.count, json->data, json->size);
}

static plumb_status read_all(plumb_prompt_reader *r, const plumb_prompt_source *source, int positions,
                             plumb_prompts *out)
{
    const plumb_row *row;
    const plumb_prompt *prompt;
    plumb_text json = {0};
    bool found = true;
    plumb_status s = PLUMB_OK;
    while (!s) {
        s = plumb_prompt_reader_next(r, &row, &prompt, &found);
        if (s || !found) break;
        s = take(source, positions, row, prompt, &json, out);
    }
    plumb_text_free(&json);
    return s;
}

plumb_status plumb_prompts_read(const plumb_prompt_source *source, int positions, plumb_prompts *out)
{
    plumb_prompt_reader *r;
    PLUMB_TRY(plumb_prompt_reader_open(source, &r));
    plumb_status s = read_all(r, source, positions, out);
    plumb_prompt_reader_rows(r, &out->hash, &out->plain_text);
    plumb_prompt_reader_close(r);
    if (s || out->count) return s;
    if (out->full)
        return plumb_fail(PLUMB_E_INPUT, "%s: every prompt fills the model's %d positions", source->path, positions);
    return plumb_fail(PLUMB_E_INPUT, "%s: there is no prompt to train on", source->path);
}

void plumb_prompts_free(plumb_prompts *p)
{
    free(p->list);
    plumb_arena_free(&p->arena);
    *p = (plumb_prompts){0};
}
