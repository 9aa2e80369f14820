#include "align/preference.h"

#include <string.h>

#include "io/json.h"

enum { MAX_ID = 1 << 24 };

static plumb_status wrong_type(const char *key, const json_t *value)
{
    if (!value)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "\"%s\" is missing", key),
            "a row needs prompt, chosen and rejected; other names: --prompt_key, --chosen_key, --rejected_key");
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a string or a list of messages", key,
                      plumb_json_kind(value));
}

/* A list of {"role": string, "content": string, ...}. */
static plumb_status check_messages(const char *key, const json_t *list)
{
    if (json_array_size(list) == 0) return plumb_fail(PLUMB_E_INPUT, "\"%s\" is an empty list of messages", key);
    size_t i;
    json_t *message;
    json_array_foreach(list, i, message)
    {
        const char *parts[] = {"role", "content"};
        if (!json_is_object(message))
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu] is %s; expected a message with role and content", key, i,
                              plumb_json_kind(message));
        for (int p = 0; p < 2; p++) {
            const json_t *value = json_object_get(message, parts[p]);
            if (!json_is_string(value))
                return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu].%s is %s; expected a string", key, i, parts[p],
                                  plumb_json_kind(value));
        }
    }
    return PLUMB_OK;
}

/* transformers drops message keys whose value is null before rendering; equality of messages must not see them either.
 */
static void drop_nulls(json_t *list)
{
    size_t i;
    json_t *message, *value;
    const char *key;
    void *next;
    json_array_foreach(list, i, message)
    {
        json_object_foreach_safe(message, next, key, value)
        {
            if (json_is_null(value)) json_object_del(message, key);
        }
    }
}

static json_t *slice(const json_t *list, size_t first, size_t last)
{
    json_t *part = json_array();
    for (size_t i = first; part && i < last; i++)
        if (json_array_append(part, json_array_get(list, i))) {
            json_decref(part);
            return NULL;
        }
    return part;
}

static plumb_status set_messages(plumb_preference *p, json_t *prompt, json_t *chosen, json_t *rejected)
{
    p->form = PLUMB_FORM_MESSAGES;
    p->prompt_messages = prompt;
    p->response_messages[PLUMB_CHOSEN] = chosen;
    p->response_messages[PLUMB_REJECTED] = rejected;
    return prompt && chosen && rejected ? PLUMB_OK : plumb_no_memory();
}

/* Whole conversations: the first `lead` messages are the prompt. */
static plumb_status split_conversations(plumb_preference *p, const json_t *const side[2], size_t lead)
{
    size_t n = json_array_size(side[0]), m = json_array_size(side[1]);
    return set_messages(p, slice(side[0], 0, lead), slice(side[0], lead, n), slice(side[1], lead, m));
}

static size_t common_messages(const json_t *a, const json_t *b)
{
    size_t n = json_array_size(a), m = json_array_size(b), i = 0;
    while (i < n && i < m && json_equal(json_array_get(a, i), json_array_get(b, i))) i++;
    return i;
}

/* The common leading messages are the prompt. Where one conversation ends within them (both may be the same) its last
 * message is the response, as TRL's extract_prompt has it. */
static plumb_status implicit_conversations(plumb_preference *p, const plumb_preference_keys *keys,
                                           const json_t *const side[2])
{
    size_t n = json_array_size(side[0]), m = json_array_size(side[1]), shorter = n < m ? n : m;
    size_t lead = common_messages(side[0], side[1]);
    if (lead == shorter) lead--;
    if (lead == 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "\"%s\" is missing, and \"%s\" and \"%s\" have no common leading message to be it",
                                     keys->prompt, keys->chosen, keys->rejected),
                          "give the prompt in its own column (--prompt_key names it)");
    return split_conversations(p, side, lead);
}

/* Does the list begin with the prompt, as one message of its text (behind system messages)? The messages it takes. */
static size_t leading_prompt(const json_t *list, const char *text, size_t size)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *message = json_array_get(list, i), *content = json_object_get(message, "content");
        if (json_string_length(content) == size && memcmp(json_string_value(content), text, size) == 0) return i + 1;
        if (strcmp(json_string_value(json_object_get(message, "role")), "system") != 0) return 0;
    }
    return 0;
}

static plumb_status string_prompt_conversations(plumb_preference *p, const plumb_preference_keys *keys,
                                                const json_t *prompt, const json_t *const side[2])
{
    size_t lead[2];
    for (int s = 0; s < 2; s++)
        lead[s] = leading_prompt(side[s], json_string_value(prompt), json_string_length(prompt));
    if (!lead[0] || lead[0] != lead[1] || common_messages(side[0], side[1]) < lead[0])
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT,
                       "\"%s\" is a string, and \"%s\" and \"%s\" are conversations that do not both begin "
                       "with it",
                       keys->prompt, keys->chosen, keys->rejected),
            "make all three strings, or all three lists of messages");
    for (int s = 0; s < 2; s++)
        if (json_array_size(side[s]) == lead[s])
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" holds only the prompt, no response",
                                         s ? keys->rejected : keys->chosen),
                              "drop the row, or add the response as its last message");
    p->prompt_repeated = true;
    return split_conversations(p, side, lead[0]);
}

static plumb_status parse_messages(plumb_preference *p, const plumb_preference_keys *keys, const json_t *prompt,
                                   const json_t *const side[2])
{
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(check_messages(s ? keys->rejected : keys->chosen, side[s]));
        drop_nulls((json_t *)side[s]);
    }
    if (!prompt) return implicit_conversations(p, keys, side);
    if (json_is_string(prompt)) return string_prompt_conversations(p, keys, prompt, side);
    if (!json_is_array(prompt)) return wrong_type(keys->prompt, prompt);
    PLUMB_TRY(check_messages(keys->prompt, prompt));
    drop_nulls((json_t *)prompt);
    return set_messages(p, json_incref((json_t *)prompt), json_incref((json_t *)side[0]),
                        json_incref((json_t *)side[1]));
}

/* Where the last turn marker within the first `common` bytes ends, or 0. */
static size_t last_turn(const char *text, size_t common)
{
    static const char *const markers[] = {"\n\nAssistant:", "\nAssistant:", "<|assistant|>", "<|im_start|>assistant\n"};
    size_t best = 0;
    for (size_t m = 0; m < sizeof markers / sizeof *markers; m++) {
        size_t n = strlen(markers[m]);
        for (size_t i = 0; i + n <= common; i++)
            if (memcmp(text + i, markers[m], n) == 0 && i + n > best) best = i + n;
    }
    return best;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* How much of a common beginning of `common` bytes ends in a whole word on both sides, so that no word (and no UTF-8
 * character) is cut. */
static size_t whole_words(const plumb_preference *p, size_t common)
{
    bool whole = true;
    for (int s = 0; s < 2; s++) whole &= common == p->response_size[s] || is_space(p->response[s][common]);
    while (!whole && common > 0 && !is_space(p->response[0][common - 1])) common--;
    return common;
}

static plumb_status split_text(plumb_preference *p, const plumb_preference_keys *keys)
{
    const char *a = p->response[0], *b = p->response[1];
    size_t n = p->response_size[0], m = p->response_size[1], common = 0;
    bool turn = keys->implicit == PLUMB_IMPLICIT_TURN;
    p->prompt = a;
    if (keys->implicit == PLUMB_IMPLICIT_WHOLE) return PLUMB_OK;
    if (keys->implicit == PLUMB_IMPLICIT_NONE)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is missing, and \"%s\" and \"%s\" are plain strings",
                                     keys->prompt, keys->chosen, keys->rejected),
                          "say where the prompt ends: --implicit_prompt turn (HH-RLHF), or --implicit_prompt word; or "
                          "name its column: --prompt_key");
    while (common < n && common < m && a[common] == b[common]) common++;
    size_t cut = turn ? last_turn(a, common) : whole_words(p, common);
    if (cut == 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" and \"%s\" have no common beginning that ends in a %s",
                                     keys->chosen, keys->rejected, turn ? "turn marker" : "word"),
                          "give the prompt in its own column");
    p->prompt_size = cut;
    for (int s = 0; s < 2; s++) {
        p->response[s] += cut;
        p->response_size[s] -= cut;
    }
    return PLUMB_OK;
}

static plumb_status parse_text(plumb_preference *p, const plumb_preference_keys *keys, const json_t *prompt,
                               const json_t *const side[2])
{
    p->form = PLUMB_FORM_TEXT;
    for (int s = 0; s < 2; s++) {
        p->response[s] = json_string_value(side[s]);
        p->response_size[s] = json_string_length(side[s]);
    }
    if (!prompt) return split_text(p, keys);
    if (json_is_array(prompt))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is a list of messages, and \"%s\" and \"%s\" are strings",
                                     keys->prompt, keys->chosen, keys->rejected),
                          "make all three strings, or all three lists of messages");
    if (!json_is_string(prompt)) return wrong_type(keys->prompt, prompt);
    p->prompt = json_string_value(prompt);
    p->prompt_size = json_string_length(prompt);
    return PLUMB_OK;
}

static plumb_status parse_id_list(const json_t *row, const char *key, plumb_ids *out)
{
    const json_t *list = json_object_get(row, key);
    if (!json_is_array(list))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a list of token ids", key, plumb_json_kind(list));
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value)
    {
        double id = json_is_number(value) ? json_number_value(value) : -1;
        if (!(id >= 0 && id < MAX_ID && id == (double)(int32_t)id))
            return plumb_fail(PLUMB_E_INPUT, "\"%s\"[%zu] is not a token id", key, i);
        PLUMB_TRY(plumb_ids_push(out, (int32_t)id));
    }
    return PLUMB_OK;
}

/* Columns that change what the model sees and that plumb does not render. */
static plumb_status refuse_columns(const json_t *row)
{
    static const char *const refused[] = {"tools", "images", "image"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const json_t *value = json_object_get(row, refused[i]);
        if (value && !json_is_null(value) && !(json_is_array(value) && json_array_size(value) == 0))
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the column \"%s\" is not supported", refused[i]),
                              "drop the rows that have it; leaving it out in silence would change what is scored");
    }
    return PLUMB_OK;
}

/* A column that is missing or null: tools that write tables fill what a row does not have with null. */
static const json_t *column(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_null(value) ? NULL : value;
}

static plumb_status parse_ids(plumb_preference *p, const plumb_preference_keys *keys)
{
    p->form = PLUMB_FORM_IDS;
    if (keys->implicit != PLUMB_IMPLICIT_WHOLE || column(p->row, "prompt_ids"))
        PLUMB_TRY(parse_id_list(p->row, "prompt_ids", &p->prompt_ids));
    PLUMB_TRY(parse_id_list(p->row, "chosen_ids", &p->response_ids[PLUMB_CHOSEN]));
    return parse_id_list(p->row, "rejected_ids", &p->response_ids[PLUMB_REJECTED]);
}

static plumb_status parse_form(plumb_preference *p, const plumb_preference_keys *keys)
{
    if (!json_is_object(p->row))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(p->row));
    PLUMB_TRY(refuse_columns(p->row));
    if (column(p->row, "prompt_ids") || column(p->row, "chosen_ids")) return parse_ids(p, keys);
    const json_t *prompt = column(p->row, keys->prompt);
    const json_t *side[2] = {json_object_get(p->row, keys->chosen), json_object_get(p->row, keys->rejected)};
    for (int s = 0; s < 2; s++)
        if (!json_is_string(side[s]) && !json_is_array(side[s]))
            return wrong_type(s ? keys->rejected : keys->chosen, side[s]);
    if (json_typeof(side[0]) != json_typeof(side[1]))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s and \"%s\" is %s; expected the same form", keys->chosen,
                          plumb_json_kind(side[0]), keys->rejected, plumb_json_kind(side[1]));
    return json_is_array(side[0]) ? parse_messages(p, keys, prompt, side) : parse_text(p, keys, prompt, side);
}

plumb_status plumb_preference_parse(const char *bytes, size_t n, const plumb_preference_keys *keys,
                                    plumb_preference *out)
{
    PLUMB_TRY(plumb_json_parse(bytes, n, true, NULL, &out->row));
    return parse_form(out, keys);
}

static plumb_status prompt_messages(plumb_preference *p, const char *key, const json_t *list, bool open)
{
    PLUMB_TRY(check_messages(key, list));
    drop_nulls((json_t *)list);
    size_t n = json_array_size(list);
    for (; open && n > 0; n--) {
        const char *role = json_string_value(json_object_get(json_array_get(list, n - 1), "role"));
        if (strcmp(role, "assistant") != 0) break;
    }
    if (n == 0) return plumb_fail(PLUMB_E_INPUT, "\"%s\" holds only what an assistant says: there is no prompt", key);
    p->form = PLUMB_FORM_MESSAGES;
    p->prompt_messages = slice(list, 0, n);
    return p->prompt_messages ? PLUMB_OK : plumb_no_memory();
}

static plumb_status parse_prompt(plumb_preference *p, const plumb_preference_keys *keys)
{
    const json_t *row = p->row;
    if (!json_is_object(row))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(row));
    if (column(row, "prompt_ids")) {
        p->form = PLUMB_FORM_IDS;
        return parse_id_list(row, "prompt_ids", &p->prompt_ids);
    }
    if (column(row, keys->chosen) && column(row, keys->rejected)) return parse_form(p, keys);
    PLUMB_TRY(refuse_columns(row));
    const json_t *prompt = column(row, keys->prompt), *messages = column(row, "messages");
    if (!prompt && json_is_array(messages)) return prompt_messages(p, "messages", messages, true);
    if (json_is_array(prompt)) return prompt_messages(p, keys->prompt, prompt, false);
    if (!prompt)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "\"%s\" is missing", keys->prompt),
            "a row needs a prompt (--prompt_key names another column), messages, prompt_ids, or chosen and "
            "rejected");
    if (!json_is_string(prompt)) return wrong_type(keys->prompt, prompt);
    p->form = PLUMB_FORM_TEXT;
    p->prompt = json_string_value(prompt);
    p->prompt_size = json_string_length(prompt);
    return PLUMB_OK;
}

plumb_status plumb_prompt_parse(const char *bytes, size_t n, const plumb_preference_keys *keys, plumb_preference *out)
{
    PLUMB_TRY(plumb_json_parse(bytes, n, true, NULL, &out->row));
    return parse_prompt(out, keys);
}

void plumb_preference_clear(plumb_preference *p)
{
    json_decref(p->row);
    json_decref(p->prompt_messages);
    plumb_ids_free(&p->prompt_ids);
    for (int s = 0; s < 2; s++) {
        json_decref(p->response_messages[s]);
        plumb_ids_free(&p->response_ids[s]);
    }
    *p = (plumb_preference){0};
}
