#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "text/template_internal.h"

plumb_status plumb_template_parse(const char *source, size_t n, plumb_template **out)
{
    plumb_template *t = NULL;
    plumb_status s = PLUMB_OK;
    jinja_token *tokens = NULL;
    *out = NULL;
    if (n > JINJA_MAX_SOURCE)
        return plumb_fail(PLUMB_E_INPUT, "the chat template has more than %d bytes", JINJA_MAX_SOURCE);
    if (!plumb_jinja_valid(source, n)) return plumb_fail(PLUMB_E_INPUT, "the chat template is not UTF-8");
    PLUMB_TRY(plumb_new(&t, 1, sizeof *t));
    PLUMB_GO(plumb_jinja_lex(&t->arena, source, n, &tokens));
    jinja_parser parser = {.arena = &t->arena, .at = tokens};
    PLUMB_GO(plumb_jinja_parse(&parser, &t->body));
    PLUMB_GO(plumb_jinja_find_hidden(&t->arena, t->body, &t->hidden));
    t->marks_generation = parser.generation;
    *out = t;
    return PLUMB_OK;
done:
    plumb_template_free(t);
    return s;
}

void plumb_template_free(plumb_template *t)
{
    if (!t) return;
    plumb_arena_free(&t->arena);
    free(t);
}

static plumb_status set_name(jinja_eval *e, const char *name, jinja_value value)
{
    jinja_value key;
    PLUMB_TRY(plumb_jinja_borrow(e, name, strlen(name), &key));
    return plumb_jinja_bind(e, e->scope, key.as.string, value);
}

static plumb_status set_token(jinja_eval *e, const char *name, const char *token)
{
    jinja_value value;
    if (!token) return PLUMB_OK;
    if (!plumb_jinja_valid(token, strlen(token))) return plumb_fail(PLUMB_E_INPUT, "%s is not UTF-8", name);
    PLUMB_TRY(plumb_jinja_borrow(e, token, strlen(token), &value));
    return set_name(e, name, value);
}

/* The keys under which models have given their reasoning; the first is the one that templates read. */
static const char *const reasoning_keys[] = {"reasoning_content", "thinking", "reasoning"};

static plumb_status find_key(jinja_eval *e, const jinja_dict *dict, const char *name, jinja_value *key,
                             jinja_value **found)
{
    PLUMB_TRY(plumb_jinja_borrow(e, name, strlen(name), key));
    return plumb_jinja_dict_find(e, dict, *key, found);
}

/* As transformers: keys whose value is null are dropped; reasoning under any of its names is also `thinking` (which
 * comes first unless the message has it) and `reasoning_content`. */
static plumb_status prepare_message(jinja_eval *e, const jinja_dict *from, jinja_value *out)
{
    jinja_value key, reasoning = plumb_jinja_none, *found = NULL;
    PLUMB_TRY(plumb_jinja_make_dict(e, from->count + 2, out));
    for (size_t i = 0; i < 3 && reasoning.kind == JINJA_NONE; i++) {
        PLUMB_TRY(find_key(e, from, reasoning_keys[i], &key, &found));
        if (found) reasoning = *found;
    }
    if (reasoning.kind != JINJA_NONE) {
        PLUMB_TRY(find_key(e, from, "thinking", &key, &found));
        PLUMB_TRY(plumb_jinja_dict_set(e, out->as.dict, key, reasoning));
    }
    for (size_t i = 0; i < from->count; i++) {
        if (from->values[i].kind == JINJA_NONE) continue;
        PLUMB_TRY(plumb_jinja_dict_set(e, out->as.dict, from->keys[i], from->values[i]));
    }
    if (reasoning.kind == JINJA_NONE) return PLUMB_OK;
    PLUMB_TRY(find_key(e, from, "reasoning_content", &key, &found));
    return plumb_jinja_dict_set(e, out->as.dict, key, reasoning);
}

static plumb_status set_messages(jinja_eval *e, const json_t *messages)
{
    jinja_value list, message;
    if (!json_is_array(messages)) return plumb_fail(PLUMB_E_INPUT, "the messages are not a list");
    PLUMB_TRY(plumb_jinja_from_json(e, messages, 0, &list));
    for (size_t i = 0; i < list.as.list->count; i++) {
        if (list.as.list->items[i].kind != JINJA_DICT) {
            return plumb_fail(PLUMB_E_INPUT, "message %zu is not an object with \"role\" and \"content\"", i);
        }
        PLUMB_TRY(prepare_message(e, list.as.list->items[i].as.dict, &message));
        list.as.list->items[i] = message;
    }
    return set_name(e, "messages", list);
}

/* Variables may replace the tokens, tools and documents, as keyword arguments do in transformers. */
static plumb_status set_variables(jinja_eval *e, const json_t *variables)
{
    jinja_value all;
    if (!variables) return PLUMB_OK;
    if (!json_is_object(variables))
        return plumb_fail(PLUMB_E_INPUT, "the variables of the chat template are not an object");
    PLUMB_TRY(plumb_jinja_from_json(e, variables, 0, &all));
    for (size_t i = 0; i < all.as.dict->count; i++) {
        PLUMB_TRY(plumb_jinja_bind(e, e->scope, all.as.dict->keys[i].as.string, all.as.dict->values[i]));
    }
    return PLUMB_OK;
}

bool plumb_template_marks_generation(const plumb_template *t)
{
    return t->marks_generation;
}

void plumb_byte_spans_free(plumb_byte_spans *spans)
{
    free(spans->data);
    *spans = (plumb_byte_spans){0};
}

plumb_status plumb_template_render(const plumb_template *t, const plumb_template_input *in, plumb_text *out)
{
    return plumb_template_render_marked(t, in, out, NULL);
}

plumb_status plumb_template_render_marked(const plumb_template *t, const plumb_template_input *in, plumb_text *out,
                                          plumb_byte_spans *spans)
{
    jinja_scope given = {0};
    jinja_eval e = {.line = 1, .now = in->now, .scope = &given, .captured = plumb_jinja_none, .generation = spans};
    size_t before = out->size, first = spans ? spans->count : 0;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(set_name(&e, "tools", plumb_jinja_none));
    PLUMB_GO(set_name(&e, "documents", plumb_jinja_none));
    PLUMB_GO(set_token(&e, "bos_token", in->bos_token));
    PLUMB_GO(set_token(&e, "eos_token", in->eos_token));
    PLUMB_GO(set_variables(&e, in->variables));
    PLUMB_GO(set_messages(&e, in->messages));
    PLUMB_GO(set_name(&e, "add_generation_prompt", plumb_jinja_bool(in->add_generation_prompt)));
    PLUMB_GO(plumb_jinja_render(&e, t));
    PLUMB_GO(plumb_text_append(out, e.text.data ? e.text.data : "", e.text.size));
    for (size_t i = first; spans && i < spans->count; i++) {
        spans->data[i].begin += before;
        spans->data[i].end += before;
    }
done:
    plumb_text_free(&e.text);
    plumb_arena_free(&e.arena);
    return s;
}
