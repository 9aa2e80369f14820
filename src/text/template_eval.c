/* Expressions: trees -> values. */
#include <string.h>

#include "text/template_internal.h"

static plumb_status evaluate_items(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    PLUMB_TRY(plumb_jinja_make_list(e, node->kind == NODE_TUPLE ? JINJA_TUPLE : JINJA_LIST, 0, out));
    for (const jinja_node *item = node->list; item; item = item->next) {
        jinja_value value;
        PLUMB_TRY(plumb_jinja_evaluate(e, item, &value));
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, value));
    }
    return PLUMB_OK;
}

static plumb_status evaluate_dict(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    PLUMB_TRY(plumb_jinja_make_dict(e, 0, out));
    for (const jinja_node *item = node->list; item; item = item->next->next) {
        jinja_value key, value;
        PLUMB_TRY(plumb_jinja_evaluate(e, item, &key));
        PLUMB_TRY(plumb_jinja_evaluate(e, item->next, &value));
        if (!plumb_jinja_hashable(key)) return plumb_jinja_error(e, "unhashable type: '%s'", plumb_jinja_type(key));
        PLUMB_TRY(plumb_jinja_dict_set(e, out->as.dict, key, value));
    }
    return PLUMB_OK;
}

static plumb_status evaluate_name(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    if (plumb_jinja_lookup(e, node->text, out)) {
        if (out->kind != JINJA_MISSING) return PLUMB_OK;
    } else {
        const jinja_row *row = plumb_jinja_function(node->text);
        *out = (jinja_value){.kind = JINJA_FUNCTION, .as.function = row};
        if (row) return PLUMB_OK;
    }
    jinja_value name = {.kind = JINJA_STRING, .as.string = node->text};
    return plumb_jinja_undefined(e, plumb_jinja_missing, name, out);
}

static plumb_status evaluate_slice(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value v, bounds[3] = {plumb_jinja_missing, plumb_jinja_missing, plumb_jinja_missing};
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &v));
    if (node->b) PLUMB_TRY(plumb_jinja_evaluate(e, node->b, &bounds[0]));
    if (node->c) PLUMB_TRY(plumb_jinja_evaluate(e, node->c, &bounds[1]));
    if (node->d) PLUMB_TRY(plumb_jinja_evaluate(e, node->d, &bounds[2]));
    return plumb_jinja_slice(e, v, bounds, out);
}

static plumb_status evaluate_item(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value v, key;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &v));
    PLUMB_TRY(plumb_jinja_evaluate(e, node->b, &key));
    return plumb_jinja_item(e, v, key, out);
}

static plumb_status evaluate_attribute(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value v;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &v));
    return plumb_jinja_attribute(e, v, node->text, out);
}

/* Calls -------------------------------------------------------------------------------------------------------- */

static plumb_status add_named(jinja_eval *e, jinja_dict *named, jinja_value name, jinja_value value)
{
    jinja_value *found = NULL;
    if (name.kind != JINJA_STRING) return plumb_jinja_error(e, "keywords must be strings");
    PLUMB_TRY(plumb_jinja_dict_find(e, named, name, &found));
    if (found) return plumb_jinja_error(e, "the keyword argument \"%s\" is given twice", name.as.string->data);
    return plumb_jinja_dict_set(e, named, name, value);
}

static plumb_status add_all_named(jinja_eval *e, jinja_dict *named, jinja_value from)
{
    if (from.kind != JINJA_DICT)
        return plumb_jinja_error(e, "argument after ** must be a mapping, not %s", plumb_jinja_type(from));
    for (size_t i = 0; i < from.as.dict->count; i++) {
        PLUMB_TRY(add_named(e, named, from.as.dict->keys[i], from.as.dict->values[i]));
    }
    return PLUMB_OK;
}

static plumb_status evaluate_arguments(jinja_eval *e, const jinja_node *list, jinja_arguments *out)
{
    jinja_value values, named, value, all;
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 2, &values)); /* never NULL, so that callees may step over it */
    PLUMB_TRY(plumb_jinja_make_dict(e, 0, &named));
    for (const jinja_node *argument = list; argument; argument = argument->next) {
        bool marked = argument->kind == NODE_KEYWORD || argument->kind == NODE_STAR || argument->kind == NODE_STARS;
        PLUMB_TRY(plumb_jinja_evaluate(e, marked ? argument->a : argument, &value));
        if (argument->kind == NODE_KEYWORD) {
            jinja_value name = {.kind = JINJA_STRING, .as.string = argument->text};
            PLUMB_TRY(add_named(e, named.as.dict, name, value));
        } else if (argument->kind == NODE_STARS) {
            PLUMB_TRY(add_all_named(e, named.as.dict, value));
        } else if (argument->kind == NODE_STAR) {
            PLUMB_TRY(plumb_jinja_to_list(e, value, JINJA_LIST, &all));
            for (size_t i = 0; i < all.as.list->count; i++) {
                PLUMB_TRY(plumb_jinja_push(e, values.as.list, all.as.list->items[i]));
            }
        } else {
            PLUMB_TRY(plumb_jinja_push(e, values.as.list, value));
        }
    }
    *out = (jinja_arguments){values.as.list->items, values.as.list->count, named.as.dict};
    return PLUMB_OK;
}

/* The position of the parameter `name` in "first second third", or -1. */
static int parameter_index(const char *parameters, const jinja_string *name)
{
    for (int i = 0; *parameters; i++) {
        size_t n = strcspn(parameters, " ");
        if (n == name->size && memcmp(parameters, name->data, n) == 0) return i;
        parameters += n + (parameters[n] == ' ');
    }
    return -1;
}

static int parameter_count(const char *parameters)
{
    int count = *parameters != 0;
    for (; *parameters; parameters++) count += *parameters == ' ';
    return count;
}

/* Arguments by position and by name into args[], in the order of the row's parameters. */
static plumb_status bind_row(jinja_eval *e, const jinja_row *row, const char *what, const jinja_arguments *arguments,
                             jinja_value args[JINJA_MAX_ARGUMENTS])
{
    int most = parameter_count(row->parameters);
    if (arguments->count > (size_t)most) {
        return plumb_jinja_error(e, "the %s \"%s\" takes at most %d arguments, not %zu", what, row->name, most,
                                 arguments->count);
    }
    for (size_t i = 0; i < arguments->count; i++) args[i] = arguments->values[i];
    for (size_t i = 0; arguments->named && i < arguments->named->count; i++) {
        const jinja_string *name = arguments->named->keys[i].as.string;
        int index = parameter_index(row->parameters, name);
        if (index < 0)
            return plumb_jinja_error(e, "the %s \"%s\" takes no argument \"%s\"", what, row->name, name->data);
        if (args[index].kind != JINJA_MISSING) {
            return plumb_jinja_error(e, "the %s \"%s\" is given \"%s\" twice", what, row->name, name->data);
        }
        args[index] = arguments->named->values[i];
    }
    for (int i = 0; i < row->required; i++) {
        if (args[i].kind == JINJA_MISSING)
            return plumb_jinja_error(e, "the %s \"%s\" misses an argument", what, row->name);
    }
    return PLUMB_OK;
}

plumb_status plumb_jinja_invoke(jinja_eval *e, const jinja_row *row, const char *what, jinja_value self,
                                const jinja_arguments *arguments, jinja_value *out)
{
    jinja_value args[JINJA_MAX_ARGUMENTS] = {{.kind = JINJA_MISSING}};
    if (!row->call) return plumb_jinja_error(e, "the %s \"%s\" is not supported", what, row->name);
    if (row->parameters) PLUMB_TRY(bind_row(e, row, what, arguments, args));
    return row->call(e, self, args, arguments, out);
}

/* Markup's methods give Markup, and some of them escape their arguments. */
static plumb_status call_method(jinja_eval *e, const jinja_method *method, const jinja_arguments *arguments,
                                jinja_value *out)
{
    static const char *const escaping[] = {"join", "format", "replace"};
    bool safe = method->self.kind == JINJA_STRING && method->self.as.string->safe;
    for (size_t i = 0; safe && i < sizeof escaping / sizeof *escaping; i++) {
        if (strcmp(method->row->name, escaping[i]) != 0) continue;
        return plumb_jinja_error(e, "%s() of text marked by the filter \"safe\" is not supported", escaping[i]);
    }
    PLUMB_TRY(plumb_jinja_invoke(e, method->row, "method", method->self, arguments, out));
    return safe ? plumb_jinja_mark_safe(e, out) : PLUMB_OK;
}

plumb_status plumb_jinja_call_value(jinja_eval *e, jinja_value callee, const jinja_arguments *arguments,
                                    jinja_value *out)
{
    switch (callee.kind) {
    case JINJA_FUNCTION:
        return plumb_jinja_invoke(e, callee.as.function, "function", plumb_jinja_none, arguments, out);
    case JINJA_METHOD:
        return call_method(e, callee.as.method, arguments, out);
    case JINJA_MACRO:
        return plumb_jinja_call_macro(e, callee.as.macro, arguments, out);
    case JINJA_LOOP:
        return plumb_jinja_error(e, "a recursive loop is not supported");
    case JINJA_UNDEFINED:
        return plumb_jinja_undefined_error(e, callee);
    default:
        return plumb_jinja_error(e, "'%s' object is not callable", plumb_jinja_type(callee));
    }
}

static plumb_status evaluate_call(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value callee;
    jinja_arguments arguments;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &callee));
    PLUMB_TRY(evaluate_arguments(e, node->list, &arguments));
    return plumb_jinja_call_value(e, callee, &arguments, out);
}

static plumb_status evaluate_row(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value input;
    jinja_arguments arguments;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &input));
    PLUMB_TRY(evaluate_arguments(e, node->list, &arguments));
    return plumb_jinja_invoke(e, node->row, node->kind == NODE_APPLY ? "filter" : "test", input, &arguments, out);
}

/* Logic -------------------------------------------------------------------------------------------------------- */

static plumb_status evaluate_and_or(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, out));
    return plumb_jinja_truth(*out) == (node->kind == NODE_AND) ? plumb_jinja_evaluate(e, node->b, out) : PLUMB_OK;
}

static plumb_status evaluate_choice(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value condition;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &condition));
    if (plumb_jinja_truth(condition)) return plumb_jinja_evaluate(e, node->b, out);
    if (node->c) return plumb_jinja_evaluate(e, node->c, out);
    return plumb_jinja_undefined_hint(e, "the inline if-expression evaluated to false and no else section was defined",
                                      out);
}

/* a < b < c compares neighbours, each evaluated once, until one is false. */
static plumb_status evaluate_compare(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value left, right;
    bool holds = true;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &left));
    for (const jinja_node *operand = node->list; operand && holds; operand = operand->next) {
        PLUMB_TRY(plumb_jinja_evaluate(e, operand->a, &right));
        PLUMB_TRY(plumb_jinja_compare(e, operand->op, left, right, &holds));
        left = right;
    }
    *out = plumb_jinja_bool(holds);
    return PLUMB_OK;
}

static plumb_status evaluate_binary(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    jinja_value a, b;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &a));
    PLUMB_TRY(plumb_jinja_evaluate(e, node->b, &b));
    return plumb_jinja_binary(e, node->op, a, b, out);
}

static plumb_status evaluate_sign(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    int64_t whole;
    jinja_value v;
    PLUMB_TRY(plumb_jinja_evaluate(e, node->a, &v));
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    if (plumb_jinja_whole(v, &whole)) {
        if (node->kind == NODE_PLUS)
            *out = plumb_jinja_int(whole);
        else
            return plumb_jinja_binary(e, '-', plumb_jinja_int(0), v, out);
    } else if (v.kind == JINJA_FLOAT) {
        *out = plumb_jinja_float(node->kind == NODE_PLUS ? v.as.real : -v.as.real);
    } else {
        return plumb_jinja_error(e, "bad operand type for unary %c: '%s'", node->kind == NODE_PLUS ? '+' : '-',
                                 plumb_jinja_type(v));
    }
    return PLUMB_OK;
}

static plumb_status evaluate_concat(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    size_t start = e->text.size;
    for (const jinja_node *item = node->list; item; item = item->next) {
        jinja_value value;
        PLUMB_TRY(plumb_jinja_evaluate(e, item, &value));
        PLUMB_TRY(plumb_jinja_put_string(e, value));
    }
    return plumb_jinja_take(e, start, out);
}

static plumb_status evaluate_kind(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    switch (node->kind) {
    case NODE_CONSTANT:
        *out = node->constant;
        return PLUMB_OK;
    case NODE_CAPTURED:
        *out = e->captured;
        return PLUMB_OK;
    case NODE_NAME:
        return evaluate_name(e, node, out);
    case NODE_LIST:
    case NODE_TUPLE:
        return evaluate_items(e, node, out);
    case NODE_DICT:
        return evaluate_dict(e, node, out);
    case NODE_ATTRIBUTE:
        return evaluate_attribute(e, node, out);
    case NODE_ITEM:
        return evaluate_item(e, node, out);
    case NODE_SLICE:
        return evaluate_slice(e, node, out);
    case NODE_CALL:
        return evaluate_call(e, node, out);
    case NODE_APPLY:
    case NODE_TEST:
        return evaluate_row(e, node, out);
    case NODE_NOT:
        PLUMB_TRY(plumb_jinja_evaluate(e, node->a, out));
        *out = plumb_jinja_bool(!plumb_jinja_truth(*out));
        return PLUMB_OK;
    case NODE_NEGATE:
    case NODE_PLUS:
        return evaluate_sign(e, node, out);
    case NODE_AND:
    case NODE_OR:
        return evaluate_and_or(e, node, out);
    case NODE_CHOOSE:
        return evaluate_choice(e, node, out);
    case NODE_COMPARE:
        return evaluate_compare(e, node, out);
    case NODE_BINARY:
        return evaluate_binary(e, node, out);
    case NODE_CONCAT:
        return evaluate_concat(e, node, out);
    default:
        return plumb_jinja_error(e, "a statement stands where a value belongs"); /* the parser makes no such tree */
    }
}

plumb_status plumb_jinja_evaluate(jinja_eval *e, const jinja_node *node, jinja_value *out)
{
    int line = e->line;
    *out = plumb_jinja_none;
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    if (++e->depth > JINJA_MAX_DEPTH) return plumb_jinja_error(e, "macros or expressions are nested too deeply");
    e->line = node->line;
    PLUMB_TRY(evaluate_kind(e, node, out));
    e->line = line;
    e->depth--;
    return PLUMB_OK;
}
