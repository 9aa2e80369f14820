/* Tokens -> expression trees, by Jinja's grammar (whose precedences are Python's, with ~ between + and *). */
#include <string.h>

#include "text/template_internal.h"

static plumb_status parse_unary(jinja_parser *p, bool with_filter, jinja_node **out);

/* Makes a node over one or two children. */
static plumb_status parent(jinja_parser *p, jinja_node_kind kind, int line, jinja_node *a, jinja_node *b,
                           jinja_node **out)
{
    jinja_node *node = NULL;
    PLUMB_TRY(plumb_jinja_node(p, kind, line, &node));
    node->a = a;
    node->b = b;
    if (a) PLUMB_TRY(plumb_jinja_deepen(node, a));
    if (b) PLUMB_TRY(plumb_jinja_deepen(node, b));
    *out = node;
    return PLUMB_OK;
}

/* Adds a child to node->list, whose last element is *last. */
static plumb_status append(jinja_node *node, jinja_node **last, jinja_node *child)
{
    PLUMB_TRY(plumb_jinja_deepen(node, child));
    if (*last)
        (*last)->next = child;
    else
        node->list = child;
    *last = child;
    return PLUMB_OK;
}

static plumb_status constant(jinja_parser *p, int line, jinja_value value, jinja_node **out)
{
    PLUMB_TRY(plumb_jinja_node(p, NODE_CONSTANT, line, out));
    (*out)->constant = value;
    return PLUMB_OK;
}

static plumb_status parse_name(jinja_parser *p, jinja_node **out)
{
    const jinja_token *token = p->at++;
    if (plumb_jinja_is_name(token, "true") || plumb_jinja_is_name(token, "True")) {
        return constant(p, token->line, plumb_jinja_bool(true), out);
    }
    if (plumb_jinja_is_name(token, "false") || plumb_jinja_is_name(token, "False")) {
        return constant(p, token->line, plumb_jinja_bool(false), out);
    }
    if (plumb_jinja_is_name(token, "none") || plumb_jinja_is_name(token, "None")) {
        return constant(p, token->line, plumb_jinja_none, out);
    }
    PLUMB_TRY(plumb_jinja_node(p, NODE_NAME, token->line, out));
    (*out)->text = token->text;
    if (p->macro_flags && plumb_jinja_is_name(token, "varargs")) *p->macro_flags |= MACRO_VARARGS;
    if (p->macro_flags && plumb_jinja_is_name(token, "kwargs")) *p->macro_flags |= MACRO_KWARGS;
    return PLUMB_OK;
}

/* Adjacent string literals are one. */
static plumb_status parse_string(jinja_parser *p, jinja_node **out)
{
    const jinja_token *first = p->at;
    size_t size = 0, count = 0;
    for (; p->at->kind == TOKEN_STRING; p->at++) {
        size += p->at->text->size;
        count += p->at->text->count;
    }
    const jinja_string *text = first->text;
    if (p->at > first + 1) {
        char *bytes = NULL;
        jinja_string *joined = NULL;
        PLUMB_TRY(plumb_arena_new(p->arena, &bytes, size + 1, 1));
        PLUMB_TRY(plumb_arena_new(p->arena, &joined, 1, sizeof *joined));
        *joined = (jinja_string){bytes, size, count, false};
        for (const jinja_token *t = first; t < p->at; bytes += t->text->size, t++) {
            if (t->text->size) memcpy(bytes, t->text->data, t->text->size);
        }
        text = joined;
    }
    return constant(p, first->line, (jinja_value){.kind = JINJA_STRING, .as.string = text}, out);
}

/* Expressions up to the op `close`, for lists and dicts; in a dict each is key: value. */
static plumb_status parse_items(jinja_parser *p, jinja_node_kind kind, int close, jinja_node **out)
{
    jinja_node *node = NULL, *item;
    PLUMB_TRY(plumb_jinja_node(p, kind, p->at++->line, &node));
    jinja_node *last = NULL;
    while (!plumb_jinja_is_operator(p->at, close)) {
        if (node->list) PLUMB_TRY(plumb_jinja_expect_operator(p, ','));
        if (plumb_jinja_is_operator(p->at, close)) break;
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, &item));
        PLUMB_TRY(append(node, &last, item));
        if (kind != NODE_DICT) continue;
        PLUMB_TRY(plumb_jinja_expect_operator(p, ':'));
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, &item));
        PLUMB_TRY(append(node, &last, item));
    }
    p->at++;
    *out = node;
    return PLUMB_OK;
}

static bool tuple_ends(const jinja_parser *p, const char *end)
{
    const jinja_token *t = p->at;
    return t->kind == TOKEN_PRINT_END || t->kind == TOKEN_BLOCK_END || plumb_jinja_is_operator(t, ')') ||
           (end && plumb_jinja_is_name(t, end));
}

static plumb_status parse_tuple(jinja_parser *p, bool with_if, bool parentheses, const char *end, jinja_node **out)
{
    jinja_node *node = NULL, *item;
    PLUMB_TRY(plumb_jinja_node(p, NODE_TUPLE, p->at->line, &node));
    jinja_node *last = NULL;
    bool is_tuple = false;
    for (;;) {
        if (node->list) PLUMB_TRY(plumb_jinja_expect_operator(p, ','));
        if (tuple_ends(p, end)) break;
        PLUMB_TRY(plumb_jinja_parse_expression(p, with_if, &item));
        PLUMB_TRY(append(node, &last, item));
        if (!plumb_jinja_is_operator(p->at, ',')) break;
        is_tuple = true;
    }
    if (!is_tuple && !node->list && !parentheses) return plumb_jinja_unexpected(p->at, "an expression");
    *out = is_tuple || !node->list ? node : node->list;
    return PLUMB_OK;
}

plumb_status plumb_jinja_parse_tuple(jinja_parser *p, bool with_if, const char *end, jinja_node **out)
{
    return parse_tuple(p, with_if, false, end, out);
}

plumb_status plumb_jinja_parse_primary(jinja_parser *p, jinja_node **out)
{
    const jinja_token *token = p->at;
    switch (token->kind) {
    case TOKEN_NAME:
        return parse_name(p, out);
    case TOKEN_STRING:
        return parse_string(p, out);
    case TOKEN_INT:
        p->at++;
        return constant(p, token->line, plumb_jinja_int(token->integer), out);
    case TOKEN_FLOAT:
        p->at++;
        return constant(p, token->line, plumb_jinja_float(token->real), out);
    default:
        break;
    }
    if (plumb_jinja_is_operator(token, '[')) return parse_items(p, NODE_LIST, ']', out);
    if (plumb_jinja_is_operator(token, '{')) return parse_items(p, NODE_DICT, '}', out);
    if (!plumb_jinja_skip_operator(p, '(')) return plumb_jinja_unexpected(token, NULL);
    PLUMB_TRY(parse_tuple(p, true, true, NULL, out));
    return plumb_jinja_expect_operator(p, ')');
}

/* Between the brackets: an index, or start:stop:step into node->b, c, d. */
static plumb_status parse_subscript(jinja_parser *p, jinja_node *node)
{
    jinja_node **bounds[3] = {&node->b, &node->c, &node->d};
    for (int i = 0; i < 3; i++) {
        if (!plumb_jinja_is_operator(p->at, ':') && !plumb_jinja_is_operator(p->at, ']')) {
            PLUMB_TRY(plumb_jinja_parse_expression(p, true, bounds[i]));
            PLUMB_TRY(plumb_jinja_deepen(node, *bounds[i]));
        }
        if (!plumb_jinja_skip_operator(p, ':')) break;
        node->kind = NODE_SLICE;
    }
    if (plumb_jinja_is_operator(p->at, ',')) {
        return plumb_jinja_syntax(p->at->line, "a subscript of several values is not supported");
    }
    if (node->kind == NODE_ITEM && !node->b) return plumb_jinja_unexpected(p->at, "a subscript");
    return plumb_jinja_expect_operator(p, ']');
}

static plumb_status parse_argument(jinja_parser *p, jinja_node **out)
{
    int line = p->at->line;
    if (plumb_jinja_skip_operator(p, '*')) {
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, out));
        return parent(p, NODE_STAR, line, *out, NULL, out);
    }
    if (plumb_jinja_skip_operator(p, OPERATOR('*', '*'))) {
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, out));
        return parent(p, NODE_STARS, line, *out, NULL, out);
    }
    if (p->at->kind == TOKEN_NAME && plumb_jinja_is_operator(p->at + 1, '=')) {
        const jinja_string *name = p->at->text;
        p->at += 2;
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, out));
        PLUMB_TRY(parent(p, NODE_KEYWORD, line, *out, NULL, out));
        (*out)->text = name;
        return PLUMB_OK;
    }
    return plumb_jinja_parse_expression(p, true, out);
}

/* "(a, b, name=c, *d, **e)" into node->list, in Python's order of kinds. */
static plumb_status parse_arguments(jinja_parser *p, jinja_node *node)
{
    jinja_node *last = NULL;
    int line = p->at->line, rank = 0;
    PLUMB_TRY(plumb_jinja_expect_operator(p, '('));
    while (!plumb_jinja_is_operator(p->at, ')')) {
        if (node->list) PLUMB_TRY(plumb_jinja_expect_operator(p, ','));
        if (plumb_jinja_is_operator(p->at, ')')) break;
        jinja_node *argument = NULL;
        PLUMB_TRY(parse_argument(p, &argument));
        jinja_node_kind kind = argument->kind;
        int own = kind == NODE_STARS ? 3 : kind == NODE_STAR ? 2 : kind == NODE_KEYWORD ? 1 : 0;
        bool keyword_after_star = own == 1 && rank == 2;
        bool star_after_keyword = own == 2 && rank == 1;
        if ((own < rank && !keyword_after_star) || (own == rank && own >= 2)) {
            return plumb_jinja_syntax(line, "invalid order of arguments in a call");
        }
        if (own > rank && !star_after_keyword) rank = own;
        if (star_after_keyword) rank = 2;
        PLUMB_TRY(append(node, &last, argument));
    }
    p->at++;
    return PLUMB_OK;
}

static plumb_status parse_call(jinja_parser *p, jinja_node **node)
{
    jinja_node *call = NULL;
    PLUMB_TRY(parent(p, NODE_CALL, p->at->line, *node, NULL, &call));
    PLUMB_TRY(parse_arguments(p, call));
    *node = call;
    return PLUMB_OK;
}

/* .name, .0, [subscript] and (arguments) behind *node. */
static plumb_status parse_postfix(jinja_parser *p, jinja_node **node)
{
    for (;;) {
        int line = p->at->line;
        if (plumb_jinja_is_operator(p->at, '(')) {
            PLUMB_TRY(parse_call(p, node));
        } else if (plumb_jinja_skip_operator(p, '[')) {
            PLUMB_TRY(parent(p, NODE_ITEM, line, *node, NULL, node));
            PLUMB_TRY(parse_subscript(p, *node));
        } else if (plumb_jinja_skip_operator(p, '.')) {
            const jinja_token *token = p->at++;
            if (token->kind == TOKEN_NAME) {
                PLUMB_TRY(parent(p, NODE_ATTRIBUTE, line, *node, NULL, node));
                (*node)->text = token->text;
            } else if (token->kind == TOKEN_INT) {
                jinja_node *index = NULL;
                PLUMB_TRY(constant(p, line, plumb_jinja_int(token->integer), &index));
                PLUMB_TRY(parent(p, NODE_ITEM, line, *node, index, node));
            } else {
                return plumb_jinja_unexpected(token, "a name or number");
            }
        } else {
            return PLUMB_OK;
        }
    }
}

static const jinja_token *dotted(jinja_parser *p)
{
    const jinja_token *name = p->at++;
    return plumb_jinja_is_operator(p->at, '.') ? NULL : name;
}

/* The row of a filter or test, or an error with its name. */
static plumb_status parse_row(jinja_parser *p, bool is_filter, const jinja_row **row)
{
    const char *what = is_filter ? "filter" : "test";
    int line = p->at->line;
    if (p->at->kind != TOKEN_NAME) return plumb_jinja_unexpected(p->at, is_filter ? "a filter" : "a test");
    const jinja_token *token = dotted(p);
    char name[64] = "";
    if (token && token->text->size < sizeof name) memcpy(name, token->text->data, token->text->size);
    *row = is_filter ? plumb_jinja_filter(name) : plumb_jinja_test(name);
    if (*row && (*row)->call) return PLUMB_OK;
    return plumb_jinja_syntax(line, *row ? "the %s \"%s\" is not supported" : "no %s named \"%s\"", what, name);
}

plumb_status plumb_jinja_parse_filters(jinja_parser *p, jinja_node *input, bool inline_first, jinja_node **out)
{
    *out = input;
    while (inline_first || plumb_jinja_skip_operator(p, '|')) {
        inline_first = false;
        jinja_node *node = NULL;
        PLUMB_TRY(parent(p, NODE_APPLY, p->at->line, *out, NULL, &node));
        PLUMB_TRY(parse_row(p, true, &node->row));
        if (plumb_jinja_is_operator(p->at, '(')) PLUMB_TRY(parse_arguments(p, node));
        *out = node;
    }
    return PLUMB_OK;
}

/* Whether a test's argument without parentheses follows: x is divisibleby 3. */
static bool argument_follows(const jinja_token *t)
{
    if (t->kind == TOKEN_NAME) {
        return !plumb_jinja_is_name(t, "else") && !plumb_jinja_is_name(t, "or") && !plumb_jinja_is_name(t, "and");
    }
    return t->kind == TOKEN_STRING || t->kind == TOKEN_INT || t->kind == TOKEN_FLOAT ||
           plumb_jinja_is_operator(t, '[') || plumb_jinja_is_operator(t, '{');
}

static plumb_status parse_test(jinja_parser *p, jinja_node **node)
{
    int line = p->at->line;
    bool negated = plumb_jinja_skip_name(p, "not");
    PLUMB_TRY(parent(p, NODE_TEST, line, *node, NULL, node));
    jinja_node *test = *node;
    PLUMB_TRY(parse_row(p, false, &test->row));
    if (plumb_jinja_is_operator(p->at, '(')) {
        PLUMB_TRY(parse_arguments(p, test));
    } else if (argument_follows(p->at)) {
        if (plumb_jinja_is_name(p->at, "is")) return plumb_jinja_syntax(line, "tests with \"is\" cannot be chained");
        PLUMB_TRY(plumb_jinja_enter(p));
        PLUMB_TRY(plumb_jinja_parse_primary(p, &test->list));
        PLUMB_TRY(parse_postfix(p, &test->list));
        p->nesting--;
        PLUMB_TRY(plumb_jinja_deepen(test, test->list));
    }
    return negated ? parent(p, NODE_NOT, line, test, NULL, node) : PLUMB_OK;
}

static plumb_status parse_signed(jinja_parser *p, jinja_node_kind kind, jinja_node **out)
{
    int line = p->at++->line;
    PLUMB_TRY(plumb_jinja_enter(p));
    PLUMB_TRY(parse_unary(p, false, out));
    p->nesting--;
    return parent(p, kind, line, *out, NULL, out);
}

static plumb_status parse_unary(jinja_parser *p, bool with_filter, jinja_node **out)
{
    if (plumb_jinja_is_operator(p->at, '-'))
        PLUMB_TRY(parse_signed(p, NODE_NEGATE, out));
    else if (plumb_jinja_is_operator(p->at, '+'))
        PLUMB_TRY(parse_signed(p, NODE_PLUS, out));
    else
        PLUMB_TRY(plumb_jinja_parse_primary(p, out));
    PLUMB_TRY(parse_postfix(p, out));
    while (with_filter) {
        if (plumb_jinja_is_operator(p->at, '|'))
            PLUMB_TRY(plumb_jinja_parse_filters(p, *out, false, out));
        else if (plumb_jinja_skip_name(p, "is"))
            PLUMB_TRY(parse_test(p, out));
        else if (plumb_jinja_is_operator(p->at, '('))
            PLUMB_TRY(parse_call(p, out));
        else
            break;
    }
    return PLUMB_OK;
}

/* Operators of one level that group to the left. */
typedef enum math_level { LEVEL_SUM, LEVEL_CONCAT, LEVEL_PRODUCT, LEVEL_POWER, LEVEL_UNARY } math_level;

static bool at_level(const jinja_token *token, math_level level)
{
    static const int operators[][5] = {
        [LEVEL_SUM] = {'+', '-'},
        [LEVEL_CONCAT] = {'~'},
        [LEVEL_PRODUCT] = {'*', '/', OPERATOR('/', '/'), '%'},
        [LEVEL_POWER] = {OPERATOR('*', '*')},
    };
    if (token->kind != TOKEN_OPERATOR) return false;
    for (const int *o = operators[level]; *o; o++) {
        if (*o == token->op) return true;
    }
    return false;
}

static plumb_status parse_math(jinja_parser *p, math_level level, jinja_node **out);

/* a ~ b ~ c is one node, since all of it becomes text at once. */
static plumb_status parse_concat(jinja_parser *p, jinja_node **out)
{
    jinja_node *node = NULL, *item = *out;
    PLUMB_TRY(plumb_jinja_node(p, NODE_CONCAT, p->at->line, &node));
    jinja_node *last = NULL;
    PLUMB_TRY(append(node, &last, item));
    while (plumb_jinja_skip_operator(p, '~')) {
        PLUMB_TRY(parse_math(p, LEVEL_PRODUCT, &item));
        PLUMB_TRY(append(node, &last, item));
    }
    *out = node;
    return PLUMB_OK;
}

static plumb_status parse_math(jinja_parser *p, math_level level, jinja_node **out)
{
    if (level == LEVEL_UNARY) return parse_unary(p, true, out);
    PLUMB_TRY(parse_math(p, level + 1, out));
    if (level == LEVEL_CONCAT) return at_level(p->at, level) ? parse_concat(p, out) : PLUMB_OK;
    while (at_level(p->at, level)) {
        const jinja_token *token = p->at++;
        jinja_node *right = NULL;
        PLUMB_TRY(parse_math(p, level + 1, &right));
        PLUMB_TRY(parent(p, NODE_BINARY, token->line, *out, right, out));
        (*out)->op = token->op;
    }
    return PLUMB_OK;
}

/* The comparison at p->at, skipped, or 0. */
static int skip_comparison(jinja_parser *p)
{
    static const int operators[] = {
        '<', '>', OPERATOR('=', '='), OPERATOR('!', '='), OPERATOR('<', '='), OPERATOR('>', '=')};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (plumb_jinja_skip_operator(p, operators[i])) return operators[i];
    }
    if (plumb_jinja_skip_name(p, "in")) return OPERATOR_IN;
    if (!plumb_jinja_is_name(p->at, "not") || !plumb_jinja_is_name(p->at + 1, "in")) return 0;
    p->at += 2;
    return OPERATOR_NOT_IN;
}

static plumb_status parse_compare(jinja_parser *p, jinja_node **out)
{
    PLUMB_TRY(parse_math(p, LEVEL_SUM, out));
    jinja_node *compare = NULL, *last = NULL;
    for (;;) {
        int line = p->at->line, op = skip_comparison(p);
        if (!op) break;
        jinja_node *operand = NULL;
        PLUMB_TRY(parse_math(p, LEVEL_SUM, &operand));
        PLUMB_TRY(parent(p, NODE_OPERAND, line, operand, NULL, &operand));
        operand->op = op;
        if (!compare) PLUMB_TRY(parent(p, NODE_COMPARE, line, *out, NULL, &compare));
        PLUMB_TRY(append(compare, &last, operand));
    }
    if (compare) *out = compare;
    return PLUMB_OK;
}

static plumb_status parse_not(jinja_parser *p, jinja_node **out)
{
    const jinja_token *first = p->at;
    while (plumb_jinja_skip_name(p, "not")) {
    }
    const jinja_token *end = p->at;
    PLUMB_TRY(parse_compare(p, out));
    for (const jinja_token *t = end; t-- > first;) PLUMB_TRY(parent(p, NODE_NOT, t->line, *out, NULL, out));
    return PLUMB_OK;
}

static plumb_status parse_and(jinja_parser *p, jinja_node **out)
{
    PLUMB_TRY(parse_not(p, out));
    while (plumb_jinja_skip_name(p, "and")) {
        jinja_node *right = NULL;
        PLUMB_TRY(parse_not(p, &right));
        PLUMB_TRY(parent(p, NODE_AND, right->line, *out, right, out));
    }
    return PLUMB_OK;
}

static plumb_status parse_or(jinja_parser *p, jinja_node **out)
{
    PLUMB_TRY(parse_and(p, out));
    while (plumb_jinja_skip_name(p, "or")) {
        jinja_node *right = NULL;
        PLUMB_TRY(parse_and(p, &right));
        PLUMB_TRY(parent(p, NODE_OR, right->line, *out, right, out));
    }
    return PLUMB_OK;
}

static plumb_status parse_condition(jinja_parser *p, jinja_node **out)
{
    PLUMB_TRY(parse_or(p, out));
    for (;;) {
        int line = p->at->line;
        if (!plumb_jinja_skip_name(p, "if")) return PLUMB_OK;
        jinja_node *condition = NULL, *value = *out;
        PLUMB_TRY(parse_or(p, &condition));
        PLUMB_TRY(parent(p, NODE_CHOOSE, line, condition, value, out));
        if (!plumb_jinja_skip_name(p, "else")) continue;
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, &(*out)->c));
        PLUMB_TRY(plumb_jinja_deepen(*out, (*out)->c));
    }
}

plumb_status plumb_jinja_parse_expression(jinja_parser *p, bool with_if, jinja_node **out)
{
    PLUMB_TRY(plumb_jinja_enter(p));
    PLUMB_TRY(with_if ? parse_condition(p, out) : parse_or(p, out));
    p->nesting--;
    return PLUMB_OK;
}
