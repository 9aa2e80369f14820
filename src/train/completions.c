#include "train/completions.h"

#include <stdlib.h>
#include <string.h>

#include "base/row_hash.h"
#include "io/json.h"
#include "text/token_spans.h"
#include "train/packing.h"

enum { MAX_ID = 1 << 24 };

/* What a row comes to: a prompt and what follows it, as strings, messages or ids. */
typedef struct parts {
    plumb_completion_form form;
    bool prompted;               /* is there a prompt? */
    const char *text[2];         /* strings: the prompt, the rest */
    size_t size[2];              /* their bytes */
    const json_t *messages[2];   /* messages: the same */
    json_t *made;                /* a list that had to be made, or NULL */
    plumb_preference preference; /* what preference rows borrow from */
} parts;

/* A column that is missing or null: tools that write tables fill what a row does not have with null. */
static const json_t *column(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_null(value) ? NULL : value;
}

/* Columns that change what the model sees and that plumb does not render. */
static plumb_status refuse_columns(const json_t *row)
{
    static const char *const refused[] = {"tools", "images", "image", "chat_template_kwargs"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const json_t *value = column(row, refused[i]);
        bool empty =
            json_is_array(value) ? json_array_size(value) == 0 : json_is_object(value) && !json_object_size(value);
        if (value && !empty)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the column \"%s\" is not supported", refused[i]),
                              "drop the rows that have it; leaving it out in silence would change what is trained");
    }
    return PLUMB_OK;
}

/* ---- the forms ---- */

/* A list of {"role": string, "content": string}; content may be missing where there are tool calls. */
static plumb_status check_messages(const char *key, const json_t *list)
{
    if (json_array_size(list) == 0) return plumb_fail(PLUMB_E_INPUT, "\"%s\" is an empty list of messages", key);
    size_t i;
    json_t *message;
    json_array_foreach(list, i, message)
    {
        const json_t *role = json_object_get(message, "role"), *content = json_object_get(message, "content");
        if (!json_is_object(message))
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu] is %s; expected a message with role and content", key, i,
                              plumb_json_kind(message));
        if (!json_is_string(role))
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu].role is %s; expected a string", key, i,
                              plumb_json_kind(role));
        bool calls = column(message, "tool_calls") && (!content || json_is_null(content));
        if (!json_is_string(content) && !calls)
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu].content is %s; expected a string", key, i,
                              plumb_json_kind(content));
    }
    return PLUMB_OK;
}

static plumb_status wrong_type(const char *key, const json_t *value)
{
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a string or a list of messages", key,
                      plumb_json_kind(value));
}

static plumb_status set_part(parts *p, int i, const char *key, const json_t *value)
{
    if (json_is_array(value)) {
        p->messages[i] = value;
        return check_messages(key, value);
    }
    if (!json_is_string(value)) return wrong_type(key, value);
    p->text[i] = json_string_value(value);
    p->size[i] = json_string_length(value);
    return PLUMB_OK;
}

static plumb_status parse_completion(parts *p, const plumb_completing *how, const json_t *row)
{
    const json_t *prompt = column(row, how->keys.prompt), *completion = column(row, how->completion);
    p->form = PLUMB_SFT_COMPLETION;
    p->prompted = true;
    PLUMB_TRY(set_part(p, 0, how->keys.prompt, prompt));
    PLUMB_TRY(set_part(p, 1, how->completion, completion));
    if (!p->messages[0] == !p->messages[1]) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s and \"%s\" is %s", how->keys.prompt,
                                 plumb_json_kind(prompt), how->completion, plumb_json_kind(completion)),
                      "make both strings, or both lists of messages");
}

static plumb_status parse_messages(parts *p, const char *key, const json_t *list)
{
    p->form = PLUMB_SFT_MESSAGES;
    if (json_is_array(list)) return set_part(p, 1, key, list);
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a list of messages", key, plumb_json_kind(list));
}

/* {"from": ..., "value": ...} is {"role": ..., "content": ...}. */
static plumb_status parse_conversations(parts *p, const json_t *list)
{
    static const char *const names[2][2] = {{"from", "role"}, {"value", "content"}};
    size_t i;
    json_t *message;
    p->made = json_deep_copy(list);
    if (!p->made) return plumb_no_memory();
    json_array_foreach(p->made, i, message)
    {
        for (int k = 0; k < 2; k++) {
            json_t *value = json_object_get(message, names[k][0]);
            if (!value) continue;
            if (json_object_set(message, names[k][1], value) || json_object_del(message, names[k][0]))
                return plumb_no_memory();
        }
    }
    return parse_messages(p, "conversations", p->made);
}

static plumb_status parse_preference(parts *p, const plumb_completing *how, const char *bytes, size_t n)
{
    plumb_preference *from = &p->preference;
    PLUMB_TRY(plumb_preference_parse(bytes, n, &how->keys, from));
    p->form = PLUMB_SFT_PREFERENCE;
    p->prompted = true;
    p->text[0] = from->prompt;
    p->size[0] = from->prompt_size;
    p->text[1] = from->response[how->side];
    p->size[1] = from->response_size[how->side];
    p->messages[0] = from->prompt_messages;
    p->messages[1] = from->response_messages[how->side];
    return PLUMB_OK;
}

static plumb_status parse_text(parts *p, const plumb_completing *how, const json_t *row)
{
    const json_t *value = column(row, how->text);
    p->form = PLUMB_SFT_TEXT;
    if (!value)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "the row has neither \"%s\", nor \"%s\" and \"%s\", nor \"%s\", nor \"%s\"",
                                     how->text, how->keys.prompt, how->completion, how->messages, how->keys.chosen),
                          "other names: --text_key, --prompt_key, --completion_key, --messages_key, --chosen_key");
    if (!json_is_string(value))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a string", how->text, plumb_json_kind(value));
    return set_part(p, 1, how->text, value);
}

static plumb_status parse_form(parts *p, const plumb_completing *how, const json_t *row, const char *bytes, size_t n)
{
    p->form = PLUMB_SFT_IDS;
    if (column(row, "input_ids") || column(row, "completion_ids")) return PLUMB_OK;
    if (column(row, how->completion)) return parse_completion(p, how, row);
    if (column(row, how->messages)) return parse_messages(p, how->messages, column(row, how->messages));
    if (column(row, how->keys.chosen) || column(row, "chosen_ids")) return parse_preference(p, how, bytes, n);
    if (json_is_array(column(row, "conversations"))) return parse_conversations(p, column(row, "conversations"));
    return parse_text(p, how, row);
}

/* ---- tokens ---- */

static bool ends_with(const char *text, size_t n, const char *end)
{
    size_t m = strlen(end);
    return n >= m && memcmp(text + n - m, end, m) == 0;
}

static plumb_status plain_texts(const plumb_completing *how, const parts *p, plumb_completion *out)
{
    const char *eos = how->encoder->eos;
    if (!eos)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the checkpoint names no EOS token to close texts with"),
                          "add \"eos_token\" to its tokenizer_config.json");
    if (how->assistant_only_loss)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--assistant_only_loss: the row holds plain strings"),
                          "it is for conversations: lists of messages");
    PLUMB_TRY(plumb_text_append(&out->prompt_text, p->text[0] ? p->text[0] : "", p->size[0]));
    PLUMB_TRY(plumb_text_append(&out->whole_text, p->text[0] ? p->text[0] : "", p->size[0]));
    PLUMB_TRY(plumb_text_append(&out->whole_text, p->text[1], p->size[1]));
    return ends_with(p->text[1], p->size[1], eos) ? PLUMB_OK : plumb_text_string(&out->whole_text, eos);
}

static plumb_status chat_texts(const plumb_completing *how, const parts *p, plumb_completion *out)
{
    json_t *whole = json_array();
    bool bad = !whole;
    for (int i = 0; i < 2 && !bad; i++)
        if (p->messages[i]) bad = json_array_extend(whole, (json_t *)p->messages[i]) != 0;
    plumb_status s = bad ? plumb_no_memory() : PLUMB_OK;
    if (!s && p->prompted) s = plumb_encoder_render(how->encoder, p->messages[0], true, &out->prompt_text);
    if (!s)
        s = how->assistant_only_loss ? plumb_encoder_render_marked(how->encoder, whole, &out->whole_text, &out->spans)
                                     : plumb_encoder_render(how->encoder, whole, false, &out->whole_text);
    json_decref(whole);
    return s;
}

static plumb_status encode(const plumb_completing *how, const plumb_text *text, bool special, plumb_ids *out)
{
    return plumb_tokenizer_encode(how->encoder->tokenizer, text->data ? text->data : "", text->size, special, out);
}

static size_t common(const plumb_ids *a, const plumb_ids *b)
{
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && a->data[i] == b->data[i]) i++;
    return i;
}

/* The loss counts all tokens from `start` on. */
static plumb_status train_from(plumb_completion *out, size_t start)
{
    size_t n = out->ids.count;
    PLUMB_TRY(plumb_reserve(&out->trained, &out->trained_capacity, n + 1, 1));
    for (size_t i = 0; i < n; i++) out->trained[i] = i >= start;
    return PLUMB_OK;
}

/* Leaves of the tokens to train on those of the assistant. */
static plumb_status keep_assistant(const plumb_completing *how, plumb_completion *out)
{
    size_t n = out->ids.count;
    uint8_t *mask;
    bool any = false;
    PLUMB_TRY(plumb_new(&mask, n, 1));
    plumb_status s = plumb_token_spans(how->encoder->tokenizer, out->whole_text.data ? out->whole_text.data : "",
                                       out->whole_text.size, &out->spans, &out->ids, mask);
    for (size_t i = 0; i < n; i++) {
        any |= mask[i];
        out->trained[i] &= mask[i];
    }
    free(mask);
    if (s || any) return s;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--assistant_only_loss: the conversation has no token of an assistant"),
                      "has it a message with the role that the template marks with {%% generation %%}?");
}

static plumb_status tokenise(const plumb_completing *how, const parts *p, plumb_completion *out)
{
    bool chat = p->messages[1] != NULL, only = p->prompted && how->loss != PLUMB_LOSS_ALL;
    PLUMB_TRY(chat ? chat_texts(how, p, out) : plain_texts(how, p, out));
    PLUMB_TRY(encode(how, &out->whole_text, !chat, &out->ids));
    size_t start = 0;
    if (p->prompted) {
        PLUMB_TRY(encode(how, &out->prompt_text, !chat, &out->prompt_ids));
        start = common(&out->prompt_ids, &out->ids);
        out->boundary_clean = start == out->prompt_ids.count;
    }
    PLUMB_TRY(train_from(out, only ? start : 0));
    return how->assistant_only_loss ? keep_assistant(how, out) : PLUMB_OK;
}

/* ---- rows of ids ---- */

static plumb_status read_ids(const json_t *row, const char *key, plumb_ids *out)
{
    const json_t *list = json_object_get(row, key);
    size_t i;
    json_t *value;
    if (!json_is_array(list))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a list of token ids", key, plumb_json_kind(list));
    json_array_foreach(list, i, value)
    {
        double id = json_is_number(value) ? json_number_value(value) : -1;
        if (!(id >= 0 && id < MAX_ID && id == (double)(int32_t)id))
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu] is not a token id", key, i);
        PLUMB_TRY(plumb_ids_push(out, (int32_t)id));
    }
    return PLUMB_OK;
}

/* A list beside input_ids says of each token whether the loss counts it: by 1 and 0, or (labels) by the token itself
 * and -100. *there: is the column there? */
static plumb_status read_mask(const json_t *row, const char *key, bool labels, plumb_completion *out, bool *there)
{
    const json_t *list = column(row, key);
    size_t i;
    json_t *value;
    *there = list != NULL;
    if (!list) return PLUMB_OK;
    if (json_array_size(list) != out->ids.count || !json_is_array(list))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is not a list as long as \"input_ids\" (%zu)", key, out->ids.count);
    json_array_foreach(list, i, value)
    {
        double x = json_is_boolean(value) ? json_is_true(value) : json_is_number(value) ? json_number_value(value) : -1;
        double yes = labels ? out->ids.data[i] : 1, no = labels ? -100 : 0;
        if (x != yes && x != no)
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu] is neither %.0f nor %.0f", key, i, yes, no);
        out->trained[i] &= x == yes;
    }
    return PLUMB_OK;
}

static plumb_status input_ids(const plumb_completing *how, const json_t *row, plumb_completion *out)
{
    bool labels, completion = false, assistant = false;
    PLUMB_TRY(read_ids(row, "input_ids", &out->ids));
    PLUMB_TRY(train_from(out, 0));
    PLUMB_TRY(read_mask(row, "labels", true, out, &labels));
    if (labels) return PLUMB_OK;
    if (how->loss == PLUMB_LOSS_COMPLETION) PLUMB_TRY(read_mask(row, "completion_mask", false, out, &completion));
    PLUMB_TRY(read_mask(row, "assistant_masks", false, out, &assistant));
    if (how->loss == PLUMB_LOSS_COMPLETION && !completion)
        return plumb_fail(PLUMB_E_INPUT, "--completion_only_loss: \"input_ids\" without a \"completion_mask\"");
    if (how->assistant_only_loss && !assistant)
        return plumb_fail(PLUMB_E_INPUT, "--assistant_only_loss: \"input_ids\" without \"assistant_masks\"");
    return PLUMB_OK;
}

static plumb_status join_ids(const plumb_completing *how, const plumb_ids *prompt, const plumb_ids *rest,
                             plumb_completion *out)
{
    if (how->assistant_only_loss)
        return plumb_fail(PLUMB_E_INPUT, "--assistant_only_loss: the row holds token ids, no conversation");
    PLUMB_TRY(plumb_ids_append(&out->ids, prompt->data, prompt->count));
    PLUMB_TRY(plumb_ids_append(&out->ids, rest->data, rest->count));
    return train_from(out, how->loss == PLUMB_LOSS_ALL ? 0 : prompt->count);
}

static plumb_status take_ids(const plumb_completing *how, const json_t *row, plumb_completion *out)
{
    if (column(row, "input_ids")) return input_ids(how, row, out);
    plumb_ids rest = {0};
    plumb_status s = read_ids(row, "prompt_ids", &out->prompt_ids);
    if (!s) s = read_ids(row, "completion_ids", &rest);
    if (!s) s = join_ids(how, &out->prompt_ids, &rest, out);
    plumb_ids_free(&rest);
    return s;
}

/* ---- one row ---- */

/* Rows of token ids, and tokenizers with more tokens than the model has embeddings. */
static plumb_status check_vocabulary(const plumb_completing *how, const plumb_completion *c)
{
    for (size_t i = 0; i < c->ids.count && how->vocab_size; i++)
        if (c->ids.data[i] >= how->vocab_size)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "token %zu is %d; the model has embeddings of 0 to %d", i,
                                         c->ids.data[i], how->vocab_size - 1),
                              c->form == PLUMB_SFT_IDS ? "were the ids made with this model's tokenizer?"
                                                       : "do tokenizer.json and the weights belong together?");
    return PLUMB_OK;
}

static bool any_trained(const plumb_completion *c)
{
    return c->ids.count && memchr(c->trained, 1, c->ids.count);
}

/* As TRL: a sequence that the cut has left without a token to train on is dropped, unless it is packed. */
static void cut(const plumb_completing *how, plumb_completion *c)
{
    bool before = any_trained(c);
    if (!c->ids.count) c->skip = PLUMB_SKIP_EMPTY_RESPONSE;
    if (!how->max_length) return;
    c->truncated = c->ids.count > (size_t)how->max_length;
    if (c->truncated) c->ids.count = (size_t)how->max_length;
    if (!how->packing && !any_trained(c)) c->skip = before ? PLUMB_SKIP_PROMPT_TOO_LONG : PLUMB_SKIP_EMPTY_RESPONSE;
}

static plumb_status make(const plumb_completing *how, const json_t *row, const char *bytes, size_t n, parts *p,
                         plumb_completion *out)
{
    if (!json_is_object(row))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(row));
    PLUMB_TRY(refuse_columns(row));
    PLUMB_TRY(parse_form(p, how, row, bytes, n));
    out->form = p->form;
    if (how->loss == PLUMB_LOSS_COMPLETION && !p->prompted && p->form != PLUMB_SFT_IDS)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--completion_only_loss: the row has no completion"),
                          "it is for rows of prompt and completion; for conversations there is --assistant_only_loss");
    if (p->form == PLUMB_SFT_IDS)
        PLUMB_TRY(take_ids(how, row, out));
    else if (p->preference.form == PLUMB_FORM_IDS)
        PLUMB_TRY(join_ids(how, &p->preference.prompt_ids, &p->preference.response_ids[how->side], out));
    else
        PLUMB_TRY(tokenise(how, p, out));
    cut(how, out);
    return check_vocabulary(how, out);
}

plumb_status plumb_completion_make(const plumb_completing *how, const char *bytes, size_t n, plumb_completion *out)
{
    parts p = {.form = PLUMB_SFT_TEXT};
    json_t *row = NULL;
    out->skip = PLUMB_SKIP_NONE;
    out->boundary_clean = true;
    out->truncated = false;
    out->ids.count = out->prompt_ids.count = out->spans.count = 0;
    plumb_text_clear(&out->prompt_text);
    plumb_text_clear(&out->whole_text);
    plumb_status s = plumb_json_parse(bytes, n, true, NULL, &row);
    if (!s) s = make(how, row, bytes, n, &p, out);
    plumb_preference_clear(&p.preference);
    json_decref(p.made);
    json_decref(row);
    return s;
}

void plumb_completion_free(plumb_completion *c)
{
    plumb_ids_free(&c->ids);
    plumb_ids_free(&c->prompt_ids);
    free(c->trained);
    plumb_text_free(&c->prompt_text);
    plumb_text_free(&c->whole_text);
    plumb_byte_spans_free(&c->spans);
    *c = (plumb_completion){0};
}

/* ---- all rows ---- */

typedef struct reading {
    const plumb_completion_source *source;
    plumb_rows *rows;
    plumb_completion one;
    plumb_examples *out;
    int64_t given;             /* rows that are no bad ones */
    int64_t preference, dirty; /* rows of preferences; of a prompt whose tokens do not begin the whole */
    int64_t targets;
    size_t packed; /* examples that are in blocks */
} reading;

/* TRL packs so many rows of the data set at a time. */
static plumb_status pack(reading *r, bool end)
{
    if (!r->source->how.packing || (!end && r->given % PLUMB_PACKING_ROWS)) return PLUMB_OK;
    PLUMB_TRY(plumb_examples_pack(r->out, r->packed, r->source->how.max_length));
    r->packed = r->out->count;
    return PLUMB_OK;
}

static plumb_status take_row(reading *r, const plumb_row *row)
{
    const plumb_completion *c = &r->one;
    plumb_examples *e = r->out;
    r->given++;
    r->preference += c->form == PLUMB_SFT_PREFERENCE;
    r->dirty += !c->boundary_clean;
    e->skipped[c->skip]++;
    if (!c->skip) {
        e->truncated += c->truncated;
        PLUMB_TRY(plumb_examples_add_sequence(e, row->index, row->hash, &c->ids, c->trained));
        r->targets += plumb_example_targets(&e->list[e->count - 1]);
    }
    return pack(r, false);
}

static plumb_status read_row(reading *r, const plumb_row *row)
{
    const plumb_completion_source *from = r->source;
    plumb_status s = plumb_context(plumb_completion_make(&from->how, row->bytes, row->size, &r->one), "%s:%lld",
                                   plumb_rows_name(r->rows), (long long)row->line);
    if (!s) return take_row(r, row);
    if (!from->skip_bad_rows || plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_note(from->sink, "passed over: %s", plumb_status_message(s));
    plumb_status_free(s);
    r->out->skipped[PLUMB_SKIP_BAD_ROW]++;
    return PLUMB_OK;
}

static plumb_status read_rows(reading *r)
{
    plumb_row row;
    for (;;) {
        bool found;
        PLUMB_TRY(plumb_rows_next(r->rows, &row, &found));
        if (!found) return pack(r, true);
        r->out->hash = plumb_add_row_hash(r->out->hash, row.hash);
        PLUMB_TRY(read_row(r, &row));
        PLUMB_TRY(plumb_check_interrupt(r->source->sink));
    }
}

static void tell(const reading *r)
{
    const plumb_sink *sink = r->source->sink;
    if (r->preference)
        plumb_note(sink, "%lld rows are preferences: the chosen response is trained on, the rejected one is not read",
                   (long long)r->preference);
    if (r->dirty)
        plumb_note(sink,
                   "in %lld of %lld rows the tokens of the prompt are not the beginning of those of prompt and "
                   "completion; the completion begins where they differ",
                   (long long)r->dirty, (long long)r->given);
}

plumb_status plumb_completions_read(const plumb_completion_source *source, plumb_examples *out)
{
    reading r = {.source = source, .out = out};
    if (source->how.packing && source->how.max_length < 1)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--packing needs a --max_length"), "it is the size of a block");
    plumb_status s = plumb_rows_open(source->path, source->begin, source->end, &r.rows);
    if (!s) s = read_rows(&r);
    plumb_rows_close(r.rows);
    plumb_completion_free(&r.one);
    PLUMB_TRY(s);
    tell(&r);
    if (r.targets) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: no token is left to train on", source->path),
                      "is the file empty, or --max_length too small?");
}
