/* The inside of chat templates. Data flows one way:
 *
 *     source -> tokens (template_lexer) -> tree (template_parser, template_expression) -> text (template_render)
 *
 * template_scope finds which names belong to the template; template_render runs statements, template_eval expressions.
 * The operators are in template_operators, values in template_value, their printed forms in template_print and
 * template_format, code points in template_unicode, and the tables of filters, tests, methods and functions in
 * template_filters, template_tests, template_methods and template_functions.
 *
 * The meaning of every construct is that of Jinja 3.1 with Python 3 underneath, in transformers' immutable sandbox.
 * Values, scopes and strings of one rendering live in its arena and are never freed one by one. One difference shows:
 * what Jinja does lazily (map, select, ...) is done at once, so that an error in it comes even where nobody reads the
 * result. */
#ifndef PLUMB_TEXT_TEMPLATE_INTERNAL_H
#define PLUMB_TEXT_TEMPLATE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/chat_template.h"

enum {
    JINJA_MAX_SOURCE = 1 << 20,   /* bytes of a template */
    JINJA_MAX_NESTING = 100,      /* statements and expressions within each other */
    JINJA_MAX_TREE = 200,         /* depth of an expression's tree: a + b + c has 2 */
    JINJA_MAX_DEPTH = 1000,       /* nested evaluations, macro calls included */
    JINJA_MAX_VALUE_DEPTH = 200,  /* lists within lists when printing, comparing, converting */
    JINJA_MAX_RANGE = 100000,     /* the sandbox's own limit for range() */
    JINJA_MAX_STEPS = 1 << 25,    /* nodes evaluated, plus bytes handled / 64 */
    JINJA_MAX_TEXT = 64 << 20,    /* bytes of output and of strings under construction */
    JINJA_MAX_MEMORY = 256 << 20, /* bytes of values */
    JINJA_MAX_ARGUMENTS = 6,      /* parameters of a built-in filter, test, method or function */
};

/* Tells static analysis, which does not look into other files, that an error is never NULL. */
static inline plumb_status plumb_jinja_certain(plumb_status s)
{
    if (!s) __builtin_unreachable();
    return s;
}
#define plumb_jinja_error(...)  plumb_jinja_certain(plumb_jinja_make_error(__VA_ARGS__))
#define plumb_jinja_syntax(...) plumb_jinja_certain(plumb_jinja_make_syntax(__VA_ARGS__))

/* Values ------------------------------------------------------------------------------------------------------- */

typedef enum jinja_kind {
    JINJA_MISSING, /* an argument that was not given; templates never see it */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT, /* Python's integers have no bounds; past 64 bits is an error here */
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_RANGE,
    JINJA_DICT,
    JINJA_VIEW,     /* dict.keys(), .values(), .items() */
    JINJA_ITERATOR, /* what map, select, reverse, ... give: can be gone through once */
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD,
} jinja_kind;

typedef struct jinja_value {
    jinja_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        const struct jinja_undefined *undefined; /* may be NULL */
        const struct jinja_string *string;
        struct jinja_list *list; /* lists, tuples, iterators */
        const struct jinja_range *range;
        struct jinja_dict *dict; /* dicts, namespaces */
        const struct jinja_view *view;
        struct jinja_loop *loop;
        const struct jinja_macro *macro;
        const struct jinja_row *function;
        const struct jinja_method *method;
    } as;
} jinja_value;

/* Text is valid UTF-8; `count` is its number of code points, so that count == size means ASCII. */
typedef struct jinja_string {
    const char *data;
    size_t size, count;
    bool safe; /* marked by the filter `safe`: Python's Markup, which escapes what is added to it */
} jinja_string;

typedef struct jinja_list {
    jinja_value *items;
    size_t count, capacity;
    size_t taken; /* iterators: how many items are gone */
} jinja_list;

typedef struct jinja_dict {
    jinja_value *keys, *values; /* in order of insertion */
    size_t count, capacity;
} jinja_dict;

typedef struct jinja_range {
    int64_t start, stop, step;
    size_t count;
} jinja_range;

typedef enum jinja_view_kind { JINJA_KEYS, JINJA_VALUES, JINJA_ITEMS } jinja_view_kind;

typedef struct jinja_view {
    const jinja_dict *dict;
    jinja_view_kind kind;
} jinja_view;

/* Why a value is undefined: a hint, or a name missing from `object` (JINJA_MISSING: from the variables). */
typedef struct jinja_undefined {
    const char *hint;
    jinja_value object, name;
    bool unsafe; /* the sandbox hides an attribute that exists */
} jinja_undefined;

typedef struct jinja_method {
    jinja_value self;
    const struct jinja_row *row;
} jinja_method;

typedef struct jinja_binding {
    struct jinja_binding *next;
    const jinja_string *name;
    jinja_value value;
} jinja_binding;

typedef struct jinja_scope {
    struct jinja_scope *parent;
    jinja_binding *bindings;
} jinja_scope;

typedef struct jinja_macro {
    const struct jinja_node *node;
    jinja_scope *scope; /* where it was defined */
} jinja_macro;

/* Where going through a value stands. */
typedef struct jinja_cursor {
    jinja_value of;
    size_t at; /* strings: a byte offset */
} jinja_cursor;

/* A running {% for %}: items are pulled one at a time, since the filter `if` may look at what the body has set. */
typedef struct jinja_loop {
    const struct jinja_node *node;
    jinja_scope *outer;
    jinja_cursor cursor;
    jinja_list *rest; /* what loop.length had to read ahead, or NULL */
    int64_t index0;
    int64_t length; /* -1: not asked for yet */
    bool peeked, ended;
    jinja_value next, current, previous, changed;
} jinja_loop;

/* Tokens and the tree ------------------------------------------------------------------------------------------ */

typedef enum jinja_token_kind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_PRINT_BEGIN,
    TOKEN_PRINT_END,
    TOKEN_BLOCK_BEGIN,
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING,
    TOKEN_INT,
    TOKEN_FLOAT,
    TOKEN_OPERATOR,
} jinja_token_kind;

typedef struct jinja_token {
    jinja_token_kind kind;
    int line;
    int op;                   /* TOKEN_OPERATOR: its first byte, plus 256 times its second */
    const jinja_string *text; /* the text of TEXT, NAME and STRING */
    int64_t integer;
    double real;
} jinja_token;

#define OPERATOR(first, second) ((first) + 256 * (second))

typedef enum jinja_node_kind {
    /* statements */
    NODE_TEXT,       /* text */
    NODE_PRINT,      /* a */
    NODE_IF,         /* a condition (NULL: else), body, other: the next arm */
    NODE_FOR,        /* a target, b what to go through, c filter or NULL, body, other: else */
    NODE_SET,        /* a target, b value */
    NODE_SET_BLOCK,  /* a target, b filters over NODE_CAPTURED or NULL, body */
    NODE_MACRO,      /* text name, list of NODE_PARAMETER, body; flags */
    NODE_WITH,       /* list of NODE_SET, body */
    NODE_FILTER,     /* as a statement: a filters over NODE_CAPTURED, body */
    NODE_GENERATION, /* body */
    NODE_BREAK,
    NODE_CONTINUE,
    /* expressions */
    NODE_CONSTANT,  /* constant */
    NODE_CAPTURED,  /* the text that a block has written */
    NODE_NAME,      /* text */
    NODE_MEMBER,    /* text, name: the target ns.name of a {% set %} */
    NODE_LIST,      /* list */
    NODE_TUPLE,     /* list */
    NODE_DICT,      /* list: key, value, key, value, ... */
    NODE_ATTRIBUTE, /* a, text */
    NODE_ITEM,      /* a, b */
    NODE_SLICE,     /* a, b start, c stop, d step; NULL where absent */
    NODE_CALL,      /* a, list of arguments */
    NODE_APPLY,     /* a filter: a, row, list of arguments */
    NODE_TEST,      /* a, row, list of arguments */
    NODE_NOT,       /* a */
    NODE_NEGATE,    /* a */
    NODE_PLUS,      /* a */
    NODE_AND,       /* a, b */
    NODE_OR,        /* a, b */
    NODE_CHOOSE,    /* a condition, b value, c otherwise or NULL */
    NODE_COMPARE,   /* a, list of NODE_OPERAND: a < b == c */
    NODE_BINARY,    /* a op b */
    NODE_CONCAT,    /* list */
    /* parts */
    NODE_OPERAND,   /* op, a */
    NODE_PARAMETER, /* text, a default or NULL */
    NODE_KEYWORD,   /* text, a: name=value in a call */
    NODE_STAR,      /* a: *values */
    NODE_STARS,     /* a: **values */
} jinja_node_kind;

enum { OPERATOR_IN = 1, OPERATOR_NOT_IN = 2 }; /* beside the operators made of characters */
enum { MACRO_VARARGS = 1, MACRO_KWARGS = 2 };  /* the body names them, so the macro takes further arguments */

/* Names that start out undefined in a body, whatever the input says. */
typedef struct jinja_hidden {
    struct jinja_hidden *next;
    const jinja_string *name;
} jinja_hidden;

typedef struct jinja_node {
    jinja_node_kind kind;
    int line, depth, op, flags;
    struct jinja_node *next; /* in a body or list */
    struct jinja_node *a, *b, *c, *d, *list, *body, *other;
    jinja_hidden *hidden, *other_hidden; /* of body and other */
    const jinja_string *text, *name;
    const struct jinja_row *row;
    jinja_value constant;
} jinja_node;

struct plumb_template {
    plumb_arena arena;
    jinja_node *body;
    jinja_hidden *hidden;
    bool marks_generation; /* is there a {% generation %}? */
};

/* The source with its newlines normalised -> *tokens (in the arena), the last of which is TOKEN_END. */
plumb_status plumb_jinja_lex(plumb_arena *arena, const char *source, size_t n, jinja_token **tokens) PLUMB_MUST_USE;

typedef struct jinja_parser {
    plumb_arena *arena;
    const jinja_token *at;
    int nesting;      /* of statements and expressions */
    int loops;        /* {% for %} around, within the macro */
    int named_loop;   /* {% for %} around, through macros: `loop` cannot be assigned there */
    int *macro_flags; /* of the innermost macro, or NULL */
    bool generation;  /* was there a {% generation %}? */
} jinja_parser;

plumb_status plumb_jinja_parse(jinja_parser *p, jinja_node **body) PLUMB_MUST_USE;

/* Finds the hidden names of every body: those that it sets before it reads them. Jinja makes them its own from the
 * start: a loop or macro that runs before the {% set %} finds them undefined even where the input has them. */
plumb_status plumb_jinja_find_hidden(plumb_arena *arena, jinja_node *body, jinja_hidden **out) PLUMB_MUST_USE;

/* Parts of the parser that statements and expressions share. */
plumb_status plumb_jinja_node(jinja_parser *p, jinja_node_kind kind, int line, jinja_node **out) PLUMB_MUST_USE;
plumb_status plumb_jinja_deepen(jinja_node *node, const jinja_node *child) PLUMB_MUST_USE; /* refuses deep trees */
plumb_status plumb_jinja_enter(jinja_parser *p) PLUMB_MUST_USE;                            /* undone by --p->nesting */
plumb_status plumb_jinja_make_syntax(int line, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;
plumb_status plumb_jinja_unexpected(const jinja_token *token, const char *expected) PLUMB_MUST_USE;
bool plumb_jinja_is_name(const jinja_token *token, const char *name);
bool plumb_jinja_is_operator(const jinja_token *token, int op);
bool plumb_jinja_skip_name(jinja_parser *p, const char *name);
bool plumb_jinja_skip_operator(jinja_parser *p, int op);
plumb_status plumb_jinja_expect_operator(jinja_parser *p, int op) PLUMB_MUST_USE;

plumb_status plumb_jinja_parse_expression(jinja_parser *p, bool with_if, jinja_node **out) PLUMB_MUST_USE;
/* A tuple without parentheses, or one expression; ends before the name `end` where given. */
plumb_status plumb_jinja_parse_tuple(jinja_parser *p, bool with_if, const char *end, jinja_node **out) PLUMB_MUST_USE;
plumb_status plumb_jinja_parse_primary(jinja_parser *p, jinja_node **out) PLUMB_MUST_USE;
/* Reads "name(arguments) | name ..." over `input`; the first name stands without a bar when `inline_first`. */
plumb_status plumb_jinja_parse_filters(jinja_parser *p, jinja_node *input, bool inline_first,
                                       jinja_node **out) PLUMB_MUST_USE;

/* A rendering -------------------------------------------------------------------------------------------------- */

typedef struct jinja_eval {
    plumb_arena arena;
    char *block; /* small pieces come from here */
    size_t block_left;
    plumb_text text; /* the output, and above it the strings under construction, as a stack */
    size_t memory, steps;
    int depth, line;
    int64_t now;
    jinja_scope *scope;
    jinja_value captured;         /* what NODE_CAPTURED stands for */
    int captures;                 /* blocks and macros around whose text is a value, not output */
    plumb_byte_spans *generation; /* where {% generation %} blocks stand in the output; NULL: not wanted */
} jinja_eval;

typedef struct jinja_arguments {
    jinja_value *values;
    size_t count;
    const jinja_dict *named; /* may be NULL */
} jinja_arguments;

/* One built-in. `parameters` names what it takes, separated by spaces; the first `required` must be given. They arrive
 * in args[], JINJA_MISSING where not given. A NULL `parameters` means any arguments, passed as `all`. */
typedef plumb_status jinja_call(jinja_eval *e, jinja_value self, const jinja_value *args, const jinja_arguments *all,
                                jinja_value *out);

typedef struct jinja_row {
    const char *name;
    jinja_call *call; /* NULL: known to Jinja but outside the subset */
    const char *parameters;
    int required;
} jinja_row;

/* NULL where the name is unknown; row->call is NULL where it is outside the subset. */
const jinja_row *plumb_jinja_filter(const char *name);
const jinja_row *plumb_jinja_test(const char *name);
const jinja_row *plumb_jinja_function(const jinja_string *name);
/* The attribute `name` of Python's type for `self`: *unsafe tells that the sandbox hides it. */
const jinja_row *plumb_jinja_method(jinja_value self, const jinja_string *name, bool *unsafe);
const jinja_row *plumb_jinja_find(const jinja_row *rows, size_t count, const char *name);

plumb_status plumb_jinja_invoke(jinja_eval *e, const jinja_row *row, const char *what, jinja_value self,
                                const jinja_arguments *arguments, jinja_value *out) PLUMB_MUST_USE;

/* "chat template line 3: ...": PLUMB_E_INPUT. */
plumb_status plumb_jinja_make_error(const jinja_eval *e, const char *format, ...) PLUMB_PRINTF(2, 3) PLUMB_MUST_USE;
/* Counts work; an error when the budget is spent. */
plumb_status plumb_jinja_spend(jinja_eval *e, size_t steps) PLUMB_MUST_USE;
/* Zeroed memory of the rendering, counted against its limit. */
plumb_status plumb_jinja_new(jinja_eval *e, void *out, size_t count, size_t size) PLUMB_MUST_USE;

/* Text under construction: remember e->text.size, put, take. */
plumb_status plumb_jinja_put(jinja_eval *e, const char *bytes, size_t n) PLUMB_MUST_USE;
plumb_status plumb_jinja_puts(jinja_eval *e, const char *string) PLUMB_MUST_USE;
plumb_status plumb_jinja_put_code(jinja_eval *e, uint32_t code) PLUMB_MUST_USE;
plumb_status plumb_jinja_put_string(jinja_eval *e, jinja_value value) PLUMB_MUST_USE; /* str(value) */
plumb_status plumb_jinja_put_repr(jinja_eval *e, jinja_value value) PLUMB_MUST_USE;   /* repr(value) */
plumb_status plumb_jinja_put_json(jinja_eval *e, jinja_value value, const jinja_value *options) PLUMB_MUST_USE;
plumb_status plumb_jinja_take(jinja_eval *e, size_t start, jinja_value *out) PLUMB_MUST_USE;

/* Constructors. */
jinja_value plumb_jinja_bool(bool truth);
jinja_value plumb_jinja_int(int64_t integer);
jinja_value plumb_jinja_float(double real);
extern const jinja_value plumb_jinja_none, plumb_jinja_missing;
plumb_status plumb_jinja_string(jinja_eval *e, const char *bytes, size_t n, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_borrow(jinja_eval *e, const char *bytes, size_t n, jinja_value *out) PLUMB_MUST_USE;
/* Marks a new string, or the strings of a new list, as Markup. */
plumb_status plumb_jinja_mark_safe(jinja_eval *e, jinja_value *v) PLUMB_MUST_USE;
plumb_status plumb_jinja_make_list(jinja_eval *e, jinja_kind kind, size_t room, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_push(jinja_eval *e, jinja_list *list, jinja_value item) PLUMB_MUST_USE;
plumb_status plumb_jinja_make_dict(jinja_eval *e, size_t room, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_dict_set(jinja_eval *e, jinja_dict *dict, jinja_value key, jinja_value value) PLUMB_MUST_USE;
plumb_status plumb_jinja_pair(jinja_eval *e, jinja_value first, jinja_value second, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_undefined(jinja_eval *e, jinja_value object, jinja_value name,
                                   jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_undefined_hint(jinja_eval *e, const char *hint, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_from_json(jinja_eval *e, const json_t *json, int depth, jinja_value *out) PLUMB_MUST_USE;

/* Reading values. */
bool plumb_jinja_truth(jinja_value v);
const char *plumb_jinja_type(jinja_value v); /* Python's name: "str", "NoneType", ... */
bool plumb_jinja_is(const jinja_string *s, const char *text);
bool plumb_jinja_number(jinja_value v);              /* int, float or bool */
bool plumb_jinja_whole(jinja_value v, int64_t *out); /* int or bool */
double plumb_jinja_real(jinja_value v);              /* of a number */
plumb_status plumb_jinja_equal(jinja_eval *e, jinja_value a, jinja_value b, bool *out) PLUMB_MUST_USE;
/* *order < 0, 0, > 0; op names it in the error for values without an order. NaN gives *order = 2. */
plumb_status plumb_jinja_order(jinja_eval *e, const char *op, jinja_value a, jinja_value b, int *order) PLUMB_MUST_USE;
plumb_status plumb_jinja_dict_find(jinja_eval *e, const jinja_dict *dict, jinja_value key,
                                   jinja_value **found) PLUMB_MUST_USE; /* *found NULL: absent */
bool plumb_jinja_hashable(jinja_value v);
/* The error of every use of an undefined value that is not printing, testing or going through it. */
plumb_status plumb_jinja_undefined_error(jinja_eval *e, jinja_value v) PLUMB_MUST_USE;
bool plumb_jinja_length(jinja_value v, size_t *out);
plumb_status plumb_jinja_iterate(jinja_eval *e, jinja_value v, jinja_cursor *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_next(jinja_eval *e, jinja_cursor *cursor, jinja_value *item, bool *more) PLUMB_MUST_USE;
plumb_status plumb_jinja_to_list(jinja_eval *e, jinja_value v, jinja_kind kind, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_to_string(jinja_eval *e, jinja_value v, jinja_value *out) PLUMB_MUST_USE; /* str(v) */
plumb_status plumb_jinja_sort(jinja_eval *e, jinja_list *items, const jinja_list *keys, bool reverse) PLUMB_MUST_USE;
plumb_status plumb_jinja_int_argument(jinja_eval *e, jinja_value v, int64_t fallback, int64_t *out) PLUMB_MUST_USE;

/* Python's int(text, base) and float(text): false where Python raises ValueError; *overflow: beyond 64 bits. */
bool plumb_jinja_read_int(const jinja_string *s, int base, int64_t *out, bool *overflow);
bool plumb_jinja_read_float(const jinja_string *s, double *out);
void plumb_jinja_format_float(double value, char text[40]); /* Python's repr */

/* Expressions and operators. */
plumb_status plumb_jinja_evaluate(jinja_eval *e, const jinja_node *node, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_binary(jinja_eval *e, int op, jinja_value a, jinja_value b, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_compare(jinja_eval *e, int op, jinja_value a, jinja_value b, bool *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_contains(jinja_eval *e, jinja_value item, jinja_value in, bool *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_slice(jinja_eval *e, jinja_value v, const jinja_value bounds[3],
                               jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_item(jinja_eval *e, jinja_value v, jinja_value key, jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_attribute(jinja_eval *e, jinja_value v, const jinja_string *name,
                                   jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_call_value(jinja_eval *e, jinja_value callee, const jinja_arguments *arguments,
                                    jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_percent(jinja_eval *e, jinja_value format, jinja_value values,
                                 jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_format(jinja_eval *e, const jinja_string *format, const jinja_arguments *arguments,
                                jinja_value *out) PLUMB_MUST_USE;

/* Statements. */
plumb_status plumb_jinja_render(jinja_eval *e, const plumb_template *t) PLUMB_MUST_USE;
plumb_status plumb_jinja_bind(jinja_eval *e, jinja_scope *scope, const jinja_string *name,
                              jinja_value value) PLUMB_MUST_USE;
bool plumb_jinja_lookup(jinja_eval *e, const jinja_string *name, jinja_value *out);
plumb_status plumb_jinja_call_macro(jinja_eval *e, const jinja_macro *macro, const jinja_arguments *arguments,
                                    jinja_value *out) PLUMB_MUST_USE;
plumb_status plumb_jinja_loop_attribute(jinja_eval *e, jinja_loop *loop, const jinja_string *name,
                                        jinja_value *out) PLUMB_MUST_USE;

/* Code points. */
size_t plumb_jinja_count(const char *bytes, size_t n);
bool plumb_jinja_valid(const char *bytes, size_t n);
uint32_t plumb_jinja_decode(const char *bytes, size_t n, size_t *used); /* n > 0 */
int plumb_jinja_encode(uint32_t code, char out[4]);
size_t plumb_jinja_offset(const jinja_string *s, size_t index); /* bytes before code point `index` */
bool plumb_jinja_space(uint32_t code);
bool plumb_jinja_printable(uint32_t code);
bool plumb_jinja_word(uint32_t code, bool first); /* in an identifier */
typedef enum jinja_case { JINJA_LOWER, JINJA_UPPER, JINJA_TITLE, JINJA_FOLD } jinja_case;
plumb_status plumb_jinja_put_case(jinja_eval *e, const jinja_string *s, size_t at, jinja_case to,
                                  size_t *used) PLUMB_MUST_USE;
bool plumb_jinja_cased(uint32_t code, bool *upper); /* *upper: or title case */
bool plumb_jinja_alpha(uint32_t code);
bool plumb_jinja_decimal(uint32_t code);
bool plumb_jinja_digit(uint32_t code);
/* The part of s without leading and trailing members of `chars` (NULL: white space). */
void plumb_jinja_strip(const jinja_string *s, const jinja_string *chars, bool left, bool right, size_t *from,
                       size_t *to);

#endif
