#include "study/response_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/row_hash.h"
#include "io/row_walk.h"

enum { PROGRESS_EVERY = 1024, MOST_SAMPLES = 1 << 24 };

struct plumb_response_reader {
    plumb_rows *rows;
    const plumb_sink *sink;
    plumb_preference_keys keys;
    plumb_row row;
    json_t *object;              /* of a generate row */
    plumb_preference preference; /* of a preference row, whose second response is still to come: */
    bool has_rejected;
    json_t *prompt, *response; /* made from the preference: strings */
    plumb_text text;           /* of message lists */
    int64_t count;
    uint64_t hash;
};

plumb_status plumb_response_reader_open(const char *path, int64_t begin, int64_t end, const plumb_preference_keys *keys,
                                        const plumb_sink *sink, plumb_response_reader **out)
{
    plumb_response_reader *r;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->keys = *keys;
    r->sink = sink;
    plumb_status s = plumb_rows_open(path, begin, end, &r->rows);
    if (s)
        plumb_response_reader_close(r);
    else
        *out = r;
    return s;
}

static void clear(plumb_response_reader *r)
{
    json_decref(r->object);
    json_decref(r->prompt);
    json_decref(r->response);
    r->object = r->prompt = r->response = NULL;
    plumb_preference_clear(&r->preference);
}

void plumb_response_reader_close(plumb_response_reader *r)
{
    if (!r) return;
    clear(r);
    plumb_rows_close(r->rows);
    plumb_text_free(&r->text);
    free(r);
}

const char *plumb_response_reader_name(const plumb_response_reader *r)
{
    return plumb_rows_name(r->rows);
}

int64_t plumb_response_reader_rows(const plumb_response_reader *r, uint64_t *hash)
{
    if (hash) *hash = r->hash;
    return r->count;
}

/* ---- what was said ---- */

/* The contents of the assistant's messages; of all, where no role is "assistant". */
static plumb_status messages_text(const json_t *list, plumb_text *out)
{
    size_t i;
    const json_t *message;
    bool has_assistant = false;
    plumb_text_clear(out);
    json_array_foreach(list, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        const json_t *content = json_object_get(message, "content");
        if (!json_is_object(message) || !json_is_string(content))
            return plumb_fail(PLUMB_E_INPUT, "\"response\"[%zu] is no message with a content that is a string", i);
        has_assistant |= role && strcmp(role, "assistant") == 0;
    }
    json_array_foreach(list, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        const json_t *content = json_object_get(message, "content");
        if (has_assistant && !(role && strcmp(role, "assistant") == 0)) continue;
        if (out->size) PLUMB_TRY(plumb_text_string(out, "\n"));
        PLUMB_TRY(plumb_text_append(out, json_string_value(content), json_string_length(content)));
    }
    return PLUMB_OK;
}

static plumb_status set_text(plumb_response_reader *r, plumb_response *out)
{
    if (json_is_string(out->response)) {
        out->text = json_string_value(out->response);
        out->size = json_string_length(out->response);
        return PLUMB_OK;
    }
    PLUMB_TRY(messages_text(out->response, &r->text));
    out->text = r->text.data ? r->text.data : "";
    out->size = r->text.size;
    return PLUMB_OK;
}

/* ---- rows ---- */

static const json_t *column(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_null(value) ? NULL : value;
}

static plumb_status read_generated(plumb_response_reader *r, plumb_response *out)
{
    const json_t *row = r->object, *response = json_object_get(row, "response"), *prompt = column(row, "prompt");
    int64_t sample = 0;
    if (!json_is_string(response) && !json_is_array(response))
        return plumb_fail(PLUMB_E_INPUT, "\"response\" is %s; expected a string or a list of messages",
                          plumb_json_kind(response));
    if (prompt && !json_is_string(prompt) && !json_is_array(prompt))
        return plumb_fail(PLUMB_E_INPUT, "\"prompt\" is %s; expected a string or a list of messages",
                          plumb_json_kind(prompt));
    bool is_numbered = column(row, "index") || column(row, "row");
    *out = (plumb_response){.key = {r->row.index, r->row.hash}, .prompt = prompt, .response = response, .fields = row};
    if (is_numbered) PLUMB_TRY(plumb_row_key_read(row, "plumb generate", &out->key));
    PLUMB_TRY(plumb_json_int(row, "sample", &sample));
    if (sample < 0 || sample >= MOST_SAMPLES)
        return plumb_fail(PLUMB_E_INPUT, "\"sample\" is %" PRId64 "; expected a number from 0", sample);
    if (!is_numbered && sample) return plumb_fail(PLUMB_E_INPUT, "\"index\" and \"row\" are missing beside \"sample\"");
    out->sample = (int)sample;
    return set_text(r, out);
}

/* One side of the preference row that was read. */
static plumb_status read_side(plumb_response_reader *r, int side, plumb_response *out)
{
    const plumb_preference *p = &r->preference;
    *out =
        (plumb_response){.key = {r->row.index, r->row.hash}, .sample = side, .fields = p->row, .is_preference = true};
    if (p->form == PLUMB_FORM_MESSAGES) {
        out->prompt = p->prompt_messages;
        out->response = p->response_messages[side];
        return set_text(r, out);
    }
    json_decref(r->prompt);
    json_decref(r->response);
    out->prompt = r->prompt = json_stringn(p->prompt, p->prompt_size);
    out->response = r->response = json_stringn(p->response[side], p->response_size[side]);
    return out->prompt && out->response ? set_text(r, out) : plumb_no_memory();
}

static plumb_status no_response(const plumb_response_reader *r)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "there is neither \"response\" nor \"%s\" and \"%s\"", r->keys.chosen,
                                 r->keys.rejected),
                      "expected what plumb generate writes, or preference data; other names: --chosen_key, "
                      "--rejected_key");
}

static plumb_status read_row(plumb_response_reader *r, plumb_response *out)
{
    PLUMB_TRY(plumb_json_parse(r->row.bytes, r->row.size, false, "", &r->object));
    if (!json_is_object(r->object))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(r->object));
    if (json_object_get(r->object, "response")) return read_generated(r, out);
    bool has_ids = column(r->object, "chosen_ids") || column(r->object, "response_ids");
    if (!has_ids && !json_object_get(r->object, r->keys.chosen)) return no_response(r);
    PLUMB_TRY(plumb_preference_parse(r->row.bytes, r->row.size, &r->keys, &r->preference));
    if (r->preference.form == PLUMB_FORM_IDS)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the row holds token ids and no text"),
                          "a response is judged by its text; write it into the row");
    PLUMB_TRY(read_side(r, PLUMB_CHOSEN, out));
    r->has_rejected = true;
    return PLUMB_OK;
}

static plumb_status read_next(plumb_response_reader *r, plumb_response *out, bool *found)
{
    *found = true;
    if (r->has_rejected) {
        r->has_rejected = false;
        return read_side(r, PLUMB_REJECTED, out);
    }
    clear(r);
    PLUMB_TRY(plumb_check_interrupt(r->sink));
    plumb_status s = plumb_rows_next(r->rows, &r->row, found);
    if (s || !*found) return s;
    r->hash = plumb_add_row_hash(r->hash, r->row.hash);
    if (r->count++ % PROGRESS_EVERY == 0) plumb_rows_progress(r->rows, r->sink);
    return plumb_context(read_row(r, out), "%s:%" PRId64, plumb_rows_name(r->rows), r->row.line);
}

plumb_status plumb_response_reader_next(plumb_response_reader *r, plumb_response *out, bool *found)
{
    PLUMB_TRY(read_next(r, out, found));
    out->line = r->row.line;
    if (*found || r->count) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows in it, or none in this range", plumb_rows_name(r->rows));
}
