/* Statements: scopes, loops, macros. A scope is a chain of names; {% for %} makes one per iteration, so that what its
 * body sets does not outlive it, while {% if %} makes none. */
#include <string.h>

#include "text/template_internal.h"

typedef enum jump { JUMP_NONE, JUMP_BREAK, JUMP_CONTINUE } jump;

static plumb_status run(jinja_eval *e, const jinja_node *body, jump *jumped);

static plumb_status push_scope(jinja_eval *e, jinja_scope *parent, const jinja_hidden *hidden)
{
    jinja_scope *scope = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &scope, 1, sizeof *scope));
    scope->parent = parent;
    e->scope = scope;
    for (; hidden; hidden = hidden->next) PLUMB_TRY(plumb_jinja_bind(e, scope, hidden->name, plumb_jinja_missing));
    return PLUMB_OK;
}

/* Long chains count as work, so that a template of many names is not quadratic beyond the budget. */
static jinja_binding *find_binding(jinja_eval *e, const jinja_scope *scope, const jinja_string *name)
{
    enum { NAMES_PER_STEP = 4 };
    size_t seen = 0;
    jinja_binding *b = scope->bindings;
    for (; b; b = b->next, seen++) {
        if (b->name == name || (b->name->size == name->size && memcmp(b->name->data, name->data, name->size) == 0))
            break;
    }
    e->steps += seen / NAMES_PER_STEP;
    return b;
}

plumb_status plumb_jinja_bind(jinja_eval *e, jinja_scope *scope, const jinja_string *name, jinja_value value)
{
    jinja_binding *binding = find_binding(e, scope, name);
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    if (!binding) {
        PLUMB_TRY(plumb_jinja_new(e, &binding, 1, sizeof *binding));
        binding->name = name;
        binding->next = scope->bindings;
        scope->bindings = binding;
    }
    binding->value = value;
    return PLUMB_OK;
}

bool plumb_jinja_lookup(jinja_eval *e, const jinja_string *name, jinja_value *out)
{
    for (const jinja_scope *scope = e->scope; scope; scope = scope->parent) {
        const jinja_binding *binding = find_binding(e, scope, name);
        if (!binding) continue;
        *out = binding->value;
        return true;
    }
    return false;
}

/* Setting ------------------------------------------------------------------------------------------------------ */

static plumb_status assign(jinja_eval *e, const jinja_node *target, jinja_value value);

static plumb_status unpack(jinja_eval *e, const jinja_node *target, jinja_value value)
{
    jinja_value values;
    PLUMB_TRY(plumb_jinja_to_list(e, value, JINJA_LIST, &values));
    size_t expected = 0, i = 0;
    for (const jinja_node *item = target->list; item; item = item->next) expected++;
    if (values.as.list->count != expected) {
        return plumb_jinja_error(e, "expected %zu values to unpack, found %zu", expected, values.as.list->count);
    }
    for (const jinja_node *item = target->list; item; item = item->next) {
        PLUMB_TRY(assign(e, item, values.as.list->items[i++]));
    }
    return PLUMB_OK;
}

static plumb_status check_member(jinja_eval *e, const jinja_string *name)
{
    if (name->size && name->data[0] == '_') {
        return plumb_jinja_error(e, "a namespace cannot hold the name \"%.*s\" (underscore)", (int)name->size,
                                 name->data);
    }
    return PLUMB_OK;
}

static plumb_status assign(jinja_eval *e, const jinja_node *target, jinja_value value)
{
    if (target->kind == NODE_TUPLE) return unpack(e, target, value);
    if (target->kind == NODE_NAME) return plumb_jinja_bind(e, e->scope, target->text, value);
    jinja_value space, name = {.kind = JINJA_STRING, .as.string = target->name};
    if (!plumb_jinja_lookup(e, target->text, &space) || space.kind != JINJA_NAMESPACE) {
        return plumb_jinja_error(e, "cannot assign attribute on non-namespace object");
    }
    PLUMB_TRY(check_member(e, target->name));
    return plumb_jinja_dict_set(e, space.as.dict, name, value);
}

/* Runs a body in a scope of its own and gives what it has written. */
static plumb_status capture(jinja_eval *e, const jinja_node *node, jump *jumped, jinja_value *out)
{
    jinja_scope *scope = e->scope;
    size_t start = e->text.size;
    e->captures++;
    PLUMB_TRY(push_scope(e, scope, node->hidden));
    PLUMB_TRY(run(e, node->body, jumped));
    e->scope = scope;
    e->captures--;
    return plumb_jinja_take(e, start, out);
}

/* What a block has written, through the filters after its tag. */
static plumb_status filtered(jinja_eval *e, const jinja_node *node, const jinja_node *filters, jump *jumped,
                             jinja_value *out)
{
    jinja_value outer = e->captured, text;
    PLUMB_TRY(capture(e, node, jumped, &text));
    if (*jumped) return PLUMB_OK; /* a {% break %} leaves before the text is used */
    e->captured = text;
    PLUMB_TRY(plumb_jinja_evaluate(e, filters, out));
    e->captured = outer;
    return PLUMB_OK;
}

static plumb_status run_set(jinja_eval *e, const jinja_node *node, jump *jumped)
{
    jinja_value value;
    if (node->kind == NODE_SET_BLOCK) {
        PLUMB_TRY(filtered(e, node, node->b, jumped, &value));
        if (*jumped) return PLUMB_OK;
    } else {
        PLUMB_TRY(plumb_jinja_evaluate(e, node->b, &value));
    }
    return assign(e, node->a, value);
}

static plumb_status run_filter(jinja_eval *e, const jinja_node *node, jump *jumped)
{
    jinja_value value;
    PLUMB_TRY(filtered(e, node, node->a, jumped, &value));
    return *jumped ? PLUMB_OK : plumb_jinja_put_string(e, value);
}

/* The values of {% with %} are evaluated outside of it. */
static plumb_status run_with(jinja_eval *e, const jinja_node *node, jump *jumped)
{
    jinja_value values;
    jinja_scope *scope = e->scope;
    size_t i = 0;
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 0, &values));
    for (const jinja_node *set = node->list; set; set = set->next) {
        jinja_value value;
        PLUMB_TRY(plumb_jinja_evaluate(e, set->b, &value));
        PLUMB_TRY(plumb_jinja_push(e, values.as.list, value));
    }
    PLUMB_TRY(push_scope(e, scope, node->hidden));
    for (const jinja_node *set = node->list; set; set = set->next)
        PLUMB_TRY(assign(e, set->a, values.as.list->items[i++]));
    PLUMB_TRY(run(e, node->body, jumped));
    e->scope = scope;
    return PLUMB_OK;
}

static plumb_status mark_generation(jinja_eval *e, size_t begin)
{
    plumb_byte_spans *spans = e->generation;
    if (e->captures)
        return plumb_jinja_error(e,
                                 "a {%% generation %%} within a macro, {%% set %%} or {%% filter %%} has no place of "
                                 "its own in the output");
    PLUMB_TRY(plumb_reserve(&spans->data, &spans->capacity, spans->count + 1, sizeof *spans->data));
    spans->data[spans->count++] = (plumb_byte_span){begin, e->text.size};
    return PLUMB_OK;
}

static plumb_status run_generation(jinja_eval *e, const jinja_node *node)
{
    jinja_scope *scope = e->scope;
    jump none = JUMP_NONE;
    size_t begin = e->text.size;
    PLUMB_TRY(push_scope(e, scope, node->hidden));
    PLUMB_TRY(run(e, node->body, &none));
    e->scope = scope;
    return e->generation ? mark_generation(e, begin) : PLUMB_OK;
}

static plumb_status run_if(jinja_eval *e, const jinja_node *arm, jump *jumped)
{
    for (; arm; arm = arm->other) {
        jinja_value condition = plumb_jinja_bool(true);
        if (arm->a) PLUMB_TRY(plumb_jinja_evaluate(e, arm->a, &condition));
        if (plumb_jinja_truth(condition)) return run(e, arm->body, jumped);
    }
    return PLUMB_OK;
}

/* Loops -------------------------------------------------------------------------------------------------------- */

static plumb_status loop_keeps(jinja_eval *e, const jinja_loop *loop, jinja_value item, bool *keeps)
{
    jinja_scope *scope = e->scope;
    jinja_value condition;
    PLUMB_TRY(push_scope(e, loop->outer, NULL));
    PLUMB_TRY(assign(e, loop->node->a, item));
    PLUMB_TRY(plumb_jinja_evaluate(e, loop->node->c, &condition));
    e->scope = scope;
    *keeps = plumb_jinja_truth(condition);
    return PLUMB_OK;
}

/* The next item that passes the loop's own `if`, past what peeking has read. */
static plumb_status loop_read(jinja_eval *e, jinja_loop *loop, jinja_value *item, bool *more)
{
    if (loop->rest) {
        *more = loop->rest->taken < loop->rest->count;
        if (*more) *item = loop->rest->items[loop->rest->taken++];
        return PLUMB_OK;
    }
    for (;;) {
        bool keeps = true;
        PLUMB_TRY(plumb_jinja_next(e, &loop->cursor, item, more));
        if (!*more || !loop->node->c) return PLUMB_OK;
        PLUMB_TRY(loop_keeps(e, loop, *item, &keeps));
        if (keeps) return PLUMB_OK;
    }
}

static plumb_status loop_peek(jinja_eval *e, jinja_loop *loop)
{
    bool more;
    if (loop->peeked) return PLUMB_OK;
    PLUMB_TRY(loop_read(e, loop, &loop->next, &more));
    loop->peeked = more;
    return PLUMB_OK;
}

/* The length of what has none is found by reading it to its end. */
static plumb_status loop_length(jinja_eval *e, jinja_loop *loop, int64_t *out)
{
    size_t length;
    if (loop->length < 0 && !loop->node->c && plumb_jinja_length(loop->cursor.of, &length))
        loop->length = (int64_t)length;
    if (loop->length < 0) {
        jinja_value rest, item;
        PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 0, &rest));
        for (bool more = true;;) {
            PLUMB_TRY(loop_read(e, loop, &item, &more));
            if (!more) break;
            PLUMB_TRY(plumb_jinja_push(e, rest.as.list, item));
        }
        loop->rest = rest.as.list;
        loop->length = (int64_t)rest.as.list->count + loop->index0 + 1 + loop->peeked;
    }
    *out = loop->length;
    return PLUMB_OK;
}

static plumb_status loop_neighbour(jinja_eval *e, jinja_loop *loop, bool next, jinja_value *out)
{
    if (!next && loop->index0 == 0) return plumb_jinja_undefined_hint(e, "there is no previous item", out);
    *out = loop->previous;
    if (!next) return PLUMB_OK;
    PLUMB_TRY(loop_peek(e, loop));
    if (!loop->peeked) return plumb_jinja_undefined_hint(e, "there is no next item", out);
    *out = loop->next;
    return PLUMB_OK;
}

static plumb_status loop_cycle(jinja_eval *e, jinja_value self, const jinja_value *args, const jinja_arguments *all,
                               jinja_value *out)
{
    (void)args;
    if (all->count == 0) return plumb_jinja_error(e, "no items for cycling given");
    *out = all->values[(size_t)self.as.loop->index0 % all->count];
    return PLUMB_OK;
}

static plumb_status loop_changed(jinja_eval *e, jinja_value self, const jinja_value *args, const jinja_arguments *all,
                                 jinja_value *out)
{
    (void)args;
    bool same = false;
    jinja_value now;
    jinja_loop *loop = self.as.loop;
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_TUPLE, all->count, &now));
    for (size_t i = 0; i < all->count; i++) PLUMB_TRY(plumb_jinja_push(e, now.as.list, all->values[i]));
    PLUMB_TRY(plumb_jinja_equal(e, loop->changed, now, &same));
    loop->changed = now;
    *out = plumb_jinja_bool(!same);
    return PLUMB_OK;
}

static plumb_status loop_method(jinja_eval *e, jinja_loop *loop, const jinja_row *row, jinja_value *out)
{
    jinja_method *method = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &method, 1, sizeof *method));
    *method = (jinja_method){{.kind = JINJA_LOOP, .as.loop = loop}, row};
    *out = (jinja_value){.kind = JINJA_METHOD, .as.method = method};
    return PLUMB_OK;
}

/* JINJA_MISSING where a loop has no such attribute. */
plumb_status plumb_jinja_loop_attribute(jinja_eval *e, jinja_loop *loop, const jinja_string *name, jinja_value *out)
{
    static const jinja_row cycle = {"cycle", loop_cycle, NULL, 0}, changed = {"changed", loop_changed, NULL, 0};
    int64_t length = 0;
    *out = plumb_jinja_missing;
    if (plumb_jinja_is(name, "index"))
        *out = plumb_jinja_int(loop->index0 + 1);
    else if (plumb_jinja_is(name, "index0"))
        *out = plumb_jinja_int(loop->index0);
    else if (plumb_jinja_is(name, "first"))
        *out = plumb_jinja_bool(loop->index0 == 0);
    else if (plumb_jinja_is(name, "depth"))
        *out = plumb_jinja_int(1);
    else if (plumb_jinja_is(name, "depth0"))
        *out = plumb_jinja_int(0);
    else if (plumb_jinja_is(name, "previtem"))
        return loop_neighbour(e, loop, false, out);
    else if (plumb_jinja_is(name, "nextitem"))
        return loop_neighbour(e, loop, true, out);
    else if (plumb_jinja_is(name, "cycle"))
        return loop_method(e, loop, &cycle, out);
    else if (plumb_jinja_is(name, "changed"))
        return loop_method(e, loop, &changed, out);
    else if (plumb_jinja_is(name, "last")) {
        PLUMB_TRY(loop_peek(e, loop));
        *out = plumb_jinja_bool(!loop->peeked);
    } else if (plumb_jinja_is(name, "length") || plumb_jinja_is(name, "revindex") ||
               plumb_jinja_is(name, "revindex0")) {
        PLUMB_TRY(loop_length(e, loop, &length));
        int64_t gone = plumb_jinja_is(name, "length") ? 0 : loop->index0 + plumb_jinja_is(name, "revindex0");
        *out = plumb_jinja_int(length - gone);
    }
    return PLUMB_OK;
}

static plumb_status loop_advance(jinja_eval *e, jinja_loop *loop, bool *more)
{
    PLUMB_TRY(loop_peek(e, loop));
    *more = loop->peeked;
    loop->peeked = false;
    if (!*more) return PLUMB_OK;
    loop->previous = loop->current;
    loop->current = loop->next;
    loop->index0++;
    return PLUMB_OK;
}

static plumb_status run_for(jinja_eval *e, const jinja_node *node, jump *outer_jump)
{
    static const jinja_string loop_name = {"loop", 4, 4, false};
    jinja_value through;
    jinja_loop *loop = NULL;
    jinja_scope *scope = e->scope;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->b, &through));
    PLUMB_TRY(plumb_jinja_new(e, &loop, 1, sizeof *loop));
    *loop = (jinja_loop){.node = node, .outer = scope, .index0 = -1, .length = -1};
    PLUMB_TRY(plumb_jinja_iterate(e, through, &loop->cursor));
    bool completed = false; /* Jinja's "else" runs where no iteration has reached its end */
    for (jump jumped = JUMP_NONE; jumped != JUMP_BREAK;) {
        bool more;
        PLUMB_TRY(loop_advance(e, loop, &more));
        if (!more) break;
        jumped = JUMP_NONE;
        PLUMB_TRY(push_scope(e, scope, node->hidden));
        PLUMB_TRY(plumb_jinja_bind(e, e->scope, &loop_name, (jinja_value){.kind = JINJA_LOOP, .as.loop = loop}));
        PLUMB_TRY(assign(e, node->a, loop->current));
        PLUMB_TRY(run(e, node->body, &jumped));
        completed |= jumped == JUMP_NONE;
    }
    e->scope = scope;
    if (completed || !node->other) return PLUMB_OK;
    PLUMB_TRY(push_scope(e, scope, node->other_hidden));
    PLUMB_TRY(run(e, node->other, outer_jump));
    e->scope = scope;
    return PLUMB_OK;
}

/* Macros ------------------------------------------------------------------------------------------------------- */

static plumb_status define_macro(jinja_eval *e, const jinja_node *node)
{
    jinja_macro *macro = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &macro, 1, sizeof *macro));
    *macro = (jinja_macro){node, e->scope};
    return plumb_jinja_bind(e, e->scope, node->text, (jinja_value){.kind = JINJA_MACRO, .as.macro = macro});
}

/* Arguments beyond the parameters go to varargs and kwargs where the body names these. */
static plumb_status bind_further(jinja_eval *e, const jinja_node *node, const jinja_arguments *arguments, size_t used,
                                 jinja_dict *named)
{
    static const jinja_string varargs = {"varargs", 7, 7, false}, kwargs = {"kwargs", 6, 6, false};
    jinja_value rest;
    if (!(node->flags & MACRO_KWARGS) && named->count) {
        return plumb_jinja_error(e, "the macro \"%.*s\" takes no keyword argument \"%s\"", (int)node->text->size,
                                 node->text->data, named->keys[0].as.string->data);
    }
    if (!(node->flags & MACRO_VARARGS) && arguments->count > used) {
        return plumb_jinja_error(e, "the macro \"%.*s\" takes not more than %zu arguments", (int)node->text->size,
                                 node->text->data, used);
    }
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_TUPLE, 0, &rest));
    for (size_t i = used; i < arguments->count; i++) PLUMB_TRY(plumb_jinja_push(e, rest.as.list, arguments->values[i]));
    if (node->flags & MACRO_VARARGS) PLUMB_TRY(plumb_jinja_bind(e, e->scope, &varargs, rest));
    if (!(node->flags & MACRO_KWARGS)) return PLUMB_OK;
    return plumb_jinja_bind(e, e->scope, &kwargs, (jinja_value){.kind = JINJA_DICT, .as.dict = named});
}

static plumb_status bind_arguments(jinja_eval *e, const jinja_node *node, const jinja_arguments *arguments)
{
    jinja_value further;
    size_t i = 0;
    PLUMB_TRY(plumb_jinja_make_dict(e, 0, &further));
    for (size_t k = 0; k < arguments->named->count; k++) {
        jinja_value name = arguments->named->keys[k];
        size_t position = 0;
        const jinja_node *parameter = node->list;
        for (; parameter; parameter = parameter->next, position++) {
            if (parameter->text->size == name.as.string->size &&
                memcmp(parameter->text->data, name.as.string->data, name.as.string->size) == 0)
                break;
        }
        if (parameter && position >= arguments->count) {
            PLUMB_TRY(plumb_jinja_bind(e, e->scope, parameter->text, arguments->named->values[k]));
        } else {
            PLUMB_TRY(plumb_jinja_dict_set(e, further.as.dict, name, arguments->named->values[k]));
        }
    }
    for (const jinja_node *parameter = node->list; parameter; parameter = parameter->next, i++) {
        jinja_value value;
        if (i < arguments->count) {
            PLUMB_TRY(plumb_jinja_bind(e, e->scope, parameter->text, arguments->values[i]));
        } else if (!find_binding(e, e->scope, parameter->text)) {
            if (parameter->a)
                PLUMB_TRY(plumb_jinja_evaluate(e, parameter->a, &value));
            else
                PLUMB_TRY(plumb_jinja_undefined_hint(e, "a parameter of a macro was not provided", &value));
            PLUMB_TRY(plumb_jinja_bind(e, e->scope, parameter->text, value));
        }
    }
    return bind_further(e, node, arguments, i < arguments->count ? i : arguments->count, further.as.dict);
}

plumb_status plumb_jinja_call_macro(jinja_eval *e, const jinja_macro *macro, const jinja_arguments *arguments,
                                    jinja_value *out)
{
    jinja_scope *scope = e->scope;
    size_t start = e->text.size;
    jump none = JUMP_NONE;
    e->captures++;
    PLUMB_TRY(push_scope(e, macro->scope, macro->node->hidden));
    PLUMB_TRY(bind_arguments(e, macro->node, arguments));
    PLUMB_TRY(run(e, macro->node->body, &none));
    e->scope = scope;
    e->captures--;
    return plumb_jinja_take(e, start, out);
}

/* Statements --------------------------------------------------------------------------------------------------- */

static plumb_status run_print(jinja_eval *e, const jinja_node *node)
{
    jinja_value value;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &value));
    return plumb_jinja_put_string(e, value);
}

static plumb_status run_statement(jinja_eval *e, const jinja_node *node, jump *jumped)
{
    switch (node->kind) {
    case NODE_TEXT:
        return plumb_jinja_put(e, node->text->data, node->text->size);
    case NODE_PRINT:
        return run_print(e, node);
    case NODE_IF:
        return run_if(e, node, jumped);
    case NODE_FOR:
        return run_for(e, node, jumped);
    case NODE_SET:
    case NODE_SET_BLOCK:
        return run_set(e, node, jumped);
    case NODE_MACRO:
        return define_macro(e, node);
    case NODE_WITH:
        return run_with(e, node, jumped);
    case NODE_FILTER:
        return run_filter(e, node, jumped);
    case NODE_GENERATION:
        return run_generation(e, node);
    case NODE_BREAK:
    case NODE_CONTINUE:
        *jumped = node->kind == NODE_BREAK ? JUMP_BREAK : JUMP_CONTINUE;
        return PLUMB_OK;
    default:
        return plumb_fail(PLUMB_E_INTERNAL, "chat template line %d: a value where a statement belongs", node->line);
    }
}

/* Each statement until one jumps out of the loop around it. */
static plumb_status run(jinja_eval *e, const jinja_node *body, jump *jumped)
{
    int line = e->line;
    if (++e->depth > JINJA_MAX_DEPTH) return plumb_jinja_error(e, "macros or statements are nested too deeply");
    for (const jinja_node *node = body; node && !*jumped; node = node->next) {
        PLUMB_TRY(plumb_jinja_spend(e, 1));
        e->line = node->line;
        PLUMB_TRY(run_statement(e, node, jumped));
    }
    e->line = line;
    e->depth--;
    return PLUMB_OK;
}

plumb_status plumb_jinja_render(jinja_eval *e, const plumb_template *t)
{
    jump none = JUMP_NONE;
    PLUMB_TRY(push_scope(e, e->scope, t->hidden));
    return run(e, t->body, &none);
}
