/* Tokens -> statements. */
#include <stdio.h>
#include <string.h>

#include "text/template_internal.h"

plumb_status plumb_jinja_make_syntax(int line, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return plumb_fail(PLUMB_E_INPUT, "chat template line %d: %s", line, text);
}

plumb_status plumb_jinja_node(jinja_parser *p, jinja_node_kind kind, int line, jinja_node **out)
{
    jinja_node *node = NULL;
    PLUMB_TRY(plumb_arena_new(p->arena, &node, 1, sizeof *node));
    node->kind = kind;
    node->line = line;
    *out = node;
    return PLUMB_OK;
}

plumb_status plumb_jinja_deepen(jinja_node *node, const jinja_node *child)
{
    if (child->depth >= node->depth) node->depth = child->depth + 1;
    if (node->depth > JINJA_MAX_TREE) return plumb_jinja_syntax(node->line, "an expression is nested too deeply");
    return PLUMB_OK;
}

plumb_status plumb_jinja_enter(jinja_parser *p)
{
    if (++p->nesting > JINJA_MAX_NESTING) return plumb_jinja_syntax(p->at->line, "the template is nested too deeply");
    return PLUMB_OK;
}

static void describe(const jinja_token *token, char *text, size_t size)
{
    static const char *const names[] = {
        [TOKEN_END] = "the end of the template",
        [TOKEN_TEXT] = "text",
        [TOKEN_PRINT_BEGIN] = "{{",
        [TOKEN_PRINT_END] = "}}",
        [TOKEN_BLOCK_BEGIN] = "{%",
        [TOKEN_BLOCK_END] = "%}",
        [TOKEN_NAME] = "",
        [TOKEN_STRING] = "a string",
        [TOKEN_INT] = "a number",
        [TOKEN_FLOAT] = "a number",
        [TOKEN_OPERATOR] = "",
    };
    if (token->kind == TOKEN_NAME) {
        snprintf(text, size, "\"%.*s\"", token->text->size < 40 ? (int)token->text->size : 40, token->text->data);
    } else if (token->kind == TOKEN_OPERATOR) {
        snprintf(text, size, "'%c%.1s'", token->op % 256, (char[]){(char)(token->op / 256), 0});
    } else {
        snprintf(text, size, "%s", names[token->kind]);
    }
}

plumb_status plumb_jinja_unexpected(const jinja_token *token, const char *expected)
{
    char found[64];
    describe(token, found, sizeof found);
    if (!expected) return plumb_jinja_syntax(token->line, "unexpected %s", found);
    return plumb_jinja_syntax(token->line, "expected %s, found %s", expected, found);
}

bool plumb_jinja_is_name(const jinja_token *token, const char *name)
{
    return token->kind == TOKEN_NAME && plumb_jinja_is(token->text, name);
}

bool plumb_jinja_is_operator(const jinja_token *token, int op)
{
    return token->kind == TOKEN_OPERATOR && token->op == op;
}

bool plumb_jinja_skip_name(jinja_parser *p, const char *name)
{
    bool found = plumb_jinja_is_name(p->at, name);
    p->at += found;
    return found;
}

bool plumb_jinja_skip_operator(jinja_parser *p, int op)
{
    bool found = plumb_jinja_is_operator(p->at, op);
    p->at += found;
    return found;
}

plumb_status plumb_jinja_expect_operator(jinja_parser *p, int op)
{
    char expected[8];
    if (plumb_jinja_skip_operator(p, op)) return PLUMB_OK;
    snprintf(expected, sizeof expected, "'%c'", op);
    return plumb_jinja_unexpected(p->at, expected);
}

static plumb_status expect_kind(jinja_parser *p, jinja_token_kind kind, const char *expected)
{
    if (p->at->kind != kind) return plumb_jinja_unexpected(p->at, expected);
    p->at++;
    return PLUMB_OK;
}

/* Statements until {% and one of `ends`, whose name becomes the current token; NULL: to the end of the template. */
static plumb_status parse_body(jinja_parser *p, const char *const ends[3], jinja_node **out);

/* The end of a tag, then a body: {% tag ... %} body {% end. */
static plumb_status parse_block(jinja_parser *p, const char *tag, const char *const ends[3], jinja_node **out)
{
    int line = p->at->line;
    plumb_jinja_skip_operator(p, ':'); /* Python's habit, which Jinja lets pass */
    PLUMB_TRY(expect_kind(p, TOKEN_BLOCK_END, "%}"));
    PLUMB_TRY(parse_body(p, ends, out));
    if (p->at->kind == TOKEN_END)
        return plumb_jinja_syntax(p->at->line, "{%% %s %%} of line %d is not closed", tag, line);
    return PLUMB_OK;
}

static plumb_status parse_if(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"elif", "else", "endif"}, *const last[3] = {"endif"};
    bool is_else = false;
    for (;; out = &(*out)->other) {
        jinja_node *arm = NULL;
        PLUMB_TRY(plumb_jinja_node(p, NODE_IF, line, &arm));
        *out = arm;
        if (!is_else) PLUMB_TRY(plumb_jinja_parse_tuple(p, false, NULL, &arm->a));
        PLUMB_TRY(parse_block(p, is_else ? "else" : "if", is_else ? last : ends, &arm->body));
        line = p->at->line;
        if (plumb_jinja_skip_name(p, "endif")) return PLUMB_OK;
        is_else = plumb_jinja_skip_name(p, "else");
        if (!is_else) p->at++; /* elif */
    }
}

/* Whether a tree can be assigned to: names, tuples of them, and ns.name. */
static plumb_status check_target(const jinja_parser *p, const jinja_node *node)
{
    if (node->kind == NODE_TUPLE) {
        for (const jinja_node *item = node->list; item; item = item->next) PLUMB_TRY(check_target(p, item));
        return PLUMB_OK;
    }
    if (node->kind != NODE_NAME && node->kind != NODE_MEMBER) {
        return plumb_jinja_syntax(node->line, "only names can be assigned to");
    }
    if (node->kind == NODE_NAME && p->named_loop && plumb_jinja_is(node->text, "loop")) {
        return plumb_jinja_syntax(node->line, "\"loop\" cannot be assigned to in a {%% for %%}");
    }
    return PLUMB_OK;
}

/* One target; with `members` also ns.name. */
static plumb_status parse_single_target(jinja_parser *p, bool members, jinja_node **out)
{
    PLUMB_TRY(plumb_jinja_parse_primary(p, out));
    if (!members || (*out)->kind != NODE_NAME || !plumb_jinja_skip_operator(p, '.')) return PLUMB_OK;
    if (p->at->kind != TOKEN_NAME) return plumb_jinja_unexpected(p->at, "a name");
    (*out)->kind = NODE_MEMBER;
    (*out)->name = p->at++->text;
    return PLUMB_OK;
}

/* Targets separated by commas, up to the name `end`, the end of the tag or something else. */
static plumb_status parse_target(jinja_parser *p, bool members, const char *end, jinja_node **out)
{
    jinja_node *first = NULL, *tuple = NULL;
    jinja_node **tail = NULL;
    PLUMB_TRY(parse_single_target(p, members, &first));
    *out = first;
    while (plumb_jinja_skip_operator(p, ',')) {
        if (!tuple) {
            PLUMB_TRY(plumb_jinja_node(p, NODE_TUPLE, first->line, &tuple));
            tuple->list = first;
            tail = &first->next;
            *out = tuple;
        }
        if (p->at->kind == TOKEN_BLOCK_END || (end && plumb_jinja_is_name(p->at, end))) break;
        PLUMB_TRY(parse_single_target(p, members, tail));
        tail = &(*tail)->next;
    }
    return check_target(p, *out);
}

static plumb_status parse_for(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"endfor", "else"}, *const last[3] = {"endfor"};
    jinja_node *node = NULL;
    PLUMB_TRY(plumb_jinja_node(p, NODE_FOR, line, &node));
    *out = node;
    p->named_loop++;
    PLUMB_TRY(parse_target(p, false, "in", &node->a));
    if (!plumb_jinja_skip_name(p, "in")) return plumb_jinja_unexpected(p->at, "\"in\"");
    PLUMB_TRY(plumb_jinja_parse_tuple(p, false, "recursive", &node->b));
    if (plumb_jinja_skip_name(p, "if")) PLUMB_TRY(plumb_jinja_parse_expression(p, true, &node->c));
    if (plumb_jinja_is_name(p->at, "recursive")) {
        return plumb_jinja_syntax(p->at->line, "{%% for ... recursive %%} is not supported");
    }
    p->loops++;
    PLUMB_TRY(parse_block(p, "for", ends, &node->body));
    p->loops--;
    if (plumb_jinja_skip_name(p, "else")) PLUMB_TRY(parse_block(p, "else", last, &node->other));
    p->named_loop--;
    p->at++;
    return PLUMB_OK;
}

static plumb_status captured(jinja_parser *p, int line, jinja_node **out)
{
    return plumb_jinja_node(p, NODE_CAPTURED, line, out);
}

static plumb_status parse_set(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"endset"};
    jinja_node *node = NULL, *input = NULL;
    PLUMB_TRY(plumb_jinja_node(p, NODE_SET, line, &node));
    *out = node;
    PLUMB_TRY(parse_target(p, true, NULL, &node->a));
    if (plumb_jinja_skip_operator(p, '=')) return plumb_jinja_parse_tuple(p, true, NULL, &node->b);
    node->kind = NODE_SET_BLOCK;
    PLUMB_TRY(captured(p, line, &input));
    PLUMB_TRY(plumb_jinja_parse_filters(p, input, false, &node->b));
    PLUMB_TRY(parse_block(p, "set", ends, &node->body));
    p->at++;
    return PLUMB_OK;
}

static plumb_status parse_parameters(jinja_parser *p, jinja_node *macro)
{
    jinja_node **tail = &macro->list;
    bool defaults = false;
    PLUMB_TRY(plumb_jinja_expect_operator(p, '('));
    while (!plumb_jinja_is_operator(p->at, ')')) {
        if (macro->list) PLUMB_TRY(plumb_jinja_expect_operator(p, ','));
        if (p->at->kind != TOKEN_NAME) return plumb_jinja_unexpected(p->at, "the name of a parameter");
        PLUMB_TRY(plumb_jinja_node(p, NODE_PARAMETER, p->at->line, tail));
        jinja_node *parameter = *tail;
        parameter->text = p->at++->text;
        if (plumb_jinja_skip_operator(p, '=')) {
            PLUMB_TRY(plumb_jinja_parse_expression(p, true, &parameter->a));
            defaults = true;
        } else if (defaults) {
            return plumb_jinja_syntax(parameter->line, "a parameter without a default follows one that has one");
        }
        tail = &parameter->next;
    }
    p->at++;
    return PLUMB_OK;
}

static plumb_status parse_macro(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"endmacro"};
    jinja_node *node = NULL;
    PLUMB_TRY(plumb_jinja_node(p, NODE_MACRO, line, &node));
    *out = node;
    if (p->at->kind != TOKEN_NAME) return plumb_jinja_unexpected(p->at, "the name of a macro");
    node->text = p->at++->text;
    int loops = p->loops, *flags = p->macro_flags;
    p->loops = 0; /* {% break %} does not reach out of a macro */
    p->macro_flags = &node->flags;
    PLUMB_TRY(parse_parameters(p, node));
    PLUMB_TRY(parse_block(p, "macro", ends, &node->body));
    p->loops = loops;
    p->macro_flags = flags;
    p->at++;
    return PLUMB_OK;
}

static plumb_status parse_with(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"endwith"};
    jinja_node *node = NULL;
    PLUMB_TRY(plumb_jinja_node(p, NODE_WITH, line, &node));
    *out = node;
    jinja_node **tail = &node->list;
    while (p->at->kind != TOKEN_BLOCK_END) {
        if (node->list) PLUMB_TRY(plumb_jinja_expect_operator(p, ','));
        PLUMB_TRY(plumb_jinja_node(p, NODE_SET, p->at->line, tail));
        jinja_node *set = *tail;
        PLUMB_TRY(parse_single_target(p, false, &set->a));
        PLUMB_TRY(check_target(p, set->a));
        PLUMB_TRY(plumb_jinja_expect_operator(p, '='));
        PLUMB_TRY(plumb_jinja_parse_expression(p, true, &set->b));
        tail = &set->next;
    }
    PLUMB_TRY(parse_block(p, "with", ends, &node->body));
    p->at++;
    return PLUMB_OK;
}

static plumb_status parse_filter(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"endfilter"};
    jinja_node *node = NULL, *input = NULL;
    PLUMB_TRY(plumb_jinja_node(p, NODE_FILTER, line, &node));
    *out = node;
    PLUMB_TRY(captured(p, line, &input));
    PLUMB_TRY(plumb_jinja_parse_filters(p, input, true, &node->a));
    PLUMB_TRY(parse_block(p, "filter", ends, &node->body));
    p->at++;
    return PLUMB_OK;
}

/* transformers marks with it what the assistant has generated; the text is the same without. */
static plumb_status parse_generation(jinja_parser *p, int line, jinja_node **out)
{
    static const char *const ends[3] = {"endgeneration"};
    int loops = p->loops;
    p->loops = 0; /* it is a macro underneath */
    p->generation = true;
    PLUMB_TRY(plumb_jinja_node(p, NODE_GENERATION, line, out));
    PLUMB_TRY(parse_block(p, "generation", ends, &(*out)->body));
    p->loops = loops;
    p->at++;
    return PLUMB_OK;
}

static plumb_status parse_jump(jinja_parser *p, const jinja_token *tag, jinja_node **out)
{
    bool is_break = plumb_jinja_is_name(tag, "break");
    if (!p->loops)
        return plumb_jinja_syntax(tag->line, "{%% %s %%} outside a {%% for %%}", is_break ? "break" : "continue");
    return plumb_jinja_node(p, is_break ? NODE_BREAK : NODE_CONTINUE, tag->line, out);
}

static plumb_status unknown_tag(const jinja_token *tag)
{
    static const char *const unsupported[] = {"include", "import", "from",  "extends", "block",     "call",
                                              "print",   "do",     "trans", "debug",   "autoescape"};
    static const char *const inner[] = {"else",    "elif",   "endif",     "endfor",        "endset", "endmacro",
                                        "endwith", "endraw", "endfilter", "endgeneration", "endcall"};
    char name[64];
    describe(tag, name, sizeof name);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
        if (!plumb_jinja_is_name(tag, unsupported[i])) continue;
        return plumb_jinja_syntax(tag->line, "the tag {%% %s %%} is not supported", unsupported[i]);
    }
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        if (!plumb_jinja_is_name(tag, inner[i])) continue;
        return plumb_jinja_syntax(tag->line, "{%% %s %%} closes nothing here", inner[i]);
    }
    return plumb_jinja_syntax(tag->line, "unknown tag %s", name);
}

static plumb_status parse_statement(jinja_parser *p, jinja_node **out)
{
    static const struct {
        const char *tag;
        plumb_status (*parse)(jinja_parser *p, int line, jinja_node **out);
    } tags[] = {
        {"if", parse_if},
        {"for", parse_for},
        {"set", parse_set},
        {"macro", parse_macro},
        {"with", parse_with},
        {"filter", parse_filter},
        {"generation", parse_generation},
    };
    const jinja_token *tag = p->at;
    if (tag->kind != TOKEN_NAME) return plumb_jinja_unexpected(tag, "the name of a tag");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (plumb_jinja_skip_name(p, tags[i].tag)) return tags[i].parse(p, tag->line, out);
    }
    if (!plumb_jinja_is_name(tag, "break") && !plumb_jinja_is_name(tag, "continue")) return unknown_tag(tag);
    p->at++;
    return parse_jump(p, tag, out);
}

static bool ends_body(const jinja_token *token, const char *const ends[3])
{
    for (int i = 0; ends && i < 3 && ends[i]; i++) {
        if (plumb_jinja_is_name(token, ends[i])) return true;
    }
    return false;
}

static plumb_status parse_piece(jinja_parser *p, jinja_node **out)
{
    const jinja_token *token = p->at++;
    if (token->kind == TOKEN_TEXT) {
        PLUMB_TRY(plumb_jinja_node(p, NODE_TEXT, token->line, out));
        (*out)->text = token->text;
        return PLUMB_OK;
    }
    if (token->kind == TOKEN_PRINT_BEGIN) {
        PLUMB_TRY(plumb_jinja_node(p, NODE_PRINT, token->line, out));
        PLUMB_TRY(plumb_jinja_parse_tuple(p, true, NULL, &(*out)->a));
        return expect_kind(p, TOKEN_PRINT_END, "}}");
    }
    PLUMB_TRY(parse_statement(p, out));
    return expect_kind(p, TOKEN_BLOCK_END, "%}");
}

static plumb_status parse_body(jinja_parser *p, const char *const ends[3], jinja_node **out)
{
    PLUMB_TRY(plumb_jinja_enter(p));
    while (p->at->kind != TOKEN_END) {
        if (p->at->kind == TOKEN_BLOCK_BEGIN && ends_body(p->at + 1, ends)) {
            p->at++;
            break;
        }
        PLUMB_TRY(parse_piece(p, out));
        out = &(*out)->next;
    }
    p->nesting--;
    return PLUMB_OK;
}

plumb_status plumb_jinja_parse(jinja_parser *p, jinja_node **body)
{
    return parse_body(p, NULL, body);
}
