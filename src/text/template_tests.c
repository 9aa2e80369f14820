/* The tests behind `is`. */
#include "text/template_internal.h"

#define TEST(name)                                                                                                     \
    static plumb_status name(jinja_eval *e, jinja_value v, const jinja_value *args, const jinja_arguments *all,        \
                             jinja_value *out)
/* Most tests look at the kind of the value alone. */
#define KIND_TEST(name, condition)                                                                                     \
    TEST(name)                                                                                                         \
    {                                                                                                                  \
        (void)e;                                                                                                       \
        (void)args;                                                                                                    \
        (void)all;                                                                                                     \
        *out = plumb_jinja_bool(condition);                                                                            \
        return PLUMB_OK;                                                                                               \
    }
#define COMPARE_TEST(name, op)                                                                                         \
    TEST(name)                                                                                                         \
    {                                                                                                                  \
        bool holds;                                                                                                    \
        (void)all;                                                                                                     \
        PLUMB_TRY(plumb_jinja_compare(e, op, v, args[0], &holds));                                                     \
        *out = plumb_jinja_bool(holds);                                                                                \
        return PLUMB_OK;                                                                                               \
    }

static bool has_length(jinja_value v)
{
    size_t length;
    return plumb_jinja_length(v, &length);
}

KIND_TEST(test_defined, v.kind != JINJA_UNDEFINED)
KIND_TEST(test_undefined, v.kind == JINJA_UNDEFINED)
KIND_TEST(test_none, v.kind == JINJA_NONE)
KIND_TEST(test_boolean, v.kind == JINJA_BOOL)
KIND_TEST(test_true, v.kind == JINJA_BOOL && v.as.truth)
KIND_TEST(test_false, v.kind == JINJA_BOOL && !v.as.truth)
KIND_TEST(test_integer, v.kind == JINJA_INT)
KIND_TEST(test_float, v.kind == JINJA_FLOAT)
KIND_TEST(test_number, plumb_jinja_number(v))
KIND_TEST(test_string, v.kind == JINJA_STRING)
KIND_TEST(test_mapping, v.kind == JINJA_DICT)
KIND_TEST(test_iterable, v.kind == JINJA_ITERATOR || v.kind == JINJA_LOOP || has_length(v))
KIND_TEST(test_sequence, has_length(v) && v.kind != JINJA_VIEW)
KIND_TEST(test_callable, v.kind >= JINJA_LOOP || v.kind == JINJA_UNDEFINED)
COMPARE_TEST(test_eq, OPERATOR('=', '='))
COMPARE_TEST(test_ne, OPERATOR('!', '='))
COMPARE_TEST(test_lt, '<')
COMPARE_TEST(test_le, OPERATOR('<', '='))
COMPARE_TEST(test_gt, '>')
COMPARE_TEST(test_ge, OPERATOR('>', '='))
COMPARE_TEST(test_in, OPERATOR_IN)

static plumb_status modulo_is(jinja_eval *e, jinja_value v, jinja_value divisor, int64_t rest, jinja_value *out)
{
    bool equal;
    jinja_value modulo;
    PLUMB_TRY(plumb_jinja_binary(e, '%', v, divisor, &modulo));
    PLUMB_TRY(plumb_jinja_equal(e, modulo, plumb_jinja_int(rest), &equal));
    *out = plumb_jinja_bool(equal);
    return PLUMB_OK;
}

TEST(test_odd)
{
    (void)all;
    (void)args;
    return modulo_is(e, v, plumb_jinja_int(2), 1, out);
}

TEST(test_even)
{
    (void)all;
    (void)args;
    return modulo_is(e, v, plumb_jinja_int(2), 0, out);
}

TEST(test_divisibleby)
{
    (void)all;
    return modulo_is(e, v, args[0], 0, out);
}

/* Identity. Python keeps one object for small integers and for equal constants; here equal scalars are the same. */
TEST(test_sameas)
{
    (void)all;
    bool same = v.kind == args[0].kind;
    bool scalar = v.kind <= JINJA_STRING;
    if (same && scalar)
        PLUMB_TRY(plumb_jinja_equal(e, v, args[0], &same));
    else if (same)
        same = v.as.list == args[0].as.list;
    *out = plumb_jinja_bool(same);
    return PLUMB_OK;
}

/* str.islower() and isupper(): some cased character, and none of the other case. */
static plumb_status case_is(jinja_eval *e, jinja_value v, bool want_upper, jinja_value *out)
{
    bool some = false, other = false, upper;
    size_t used;
    jinja_value text;
    PLUMB_TRY(plumb_jinja_to_string(e, v, &text));
    const jinja_string *s = text.as.string;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size; at += used) {
        if (!plumb_jinja_cased(plumb_jinja_decode(s->data + at, s->size - at, &used), &upper)) continue;
        some = true;
        other |= upper != want_upper;
    }
    *out = plumb_jinja_bool(some && !other);
    return PLUMB_OK;
}

TEST(test_lower)
{
    (void)all;
    (void)args;
    return case_is(e, v, false, out);
}

TEST(test_upper)
{
    (void)all;
    (void)args;
    return case_is(e, v, true, out);
}

TEST(test_escaped)
{
    (void)e;
    (void)all;
    (void)args;
    *out = plumb_jinja_bool(v.kind == JINJA_STRING && v.as.string->safe);
    return PLUMB_OK;
}

static plumb_status is_known(jinja_eval *e, jinja_value v, bool is_filter, jinja_value *out)
{
    const jinja_row *row = NULL;
    if (!plumb_jinja_hashable(v)) return plumb_jinja_error(e, "unhashable type: '%s'", plumb_jinja_type(v));
    if (v.kind == JINJA_STRING && v.as.string->size < 64) {
        jinja_value name;
        PLUMB_TRY(plumb_jinja_string(e, v.as.string->data, v.as.string->size, &name)); /* ends in a zero byte */
        row = is_filter ? plumb_jinja_filter(name.as.string->data) : plumb_jinja_test(name.as.string->data);
    }
    *out = plumb_jinja_bool(row && row->call);
    return PLUMB_OK;
}

TEST(test_filter)
{
    (void)all;
    (void)args;
    return is_known(e, v, true, out);
}

TEST(test_test)
{
    (void)all;
    (void)args;
    return is_known(e, v, false, out);
}

const jinja_row *plumb_jinja_test(const char *name)
{
    static const jinja_row rows[] = {
        {"defined", test_defined, "", 0},
        {"undefined", test_undefined, "", 0},
        {"none", test_none, "", 0},
        {"boolean", test_boolean, "", 0},
        {"true", test_true, "", 0},
        {"false", test_false, "", 0},
        {"integer", test_integer, "", 0},
        {"float", test_float, "", 0},
        {"number", test_number, "", 0},
        {"string", test_string, "", 0},
        {"mapping", test_mapping, "", 0},
        {"iterable", test_iterable, "", 0},
        {"sequence", test_sequence, "", 0},
        {"callable", test_callable, "", 0},
        {"odd", test_odd, "", 0},
        {"even", test_even, "", 0},
        {"divisibleby", test_divisibleby, "num", 1},
        {"sameas", test_sameas, "other", 1},
        {"lower", test_lower, "", 0},
        {"upper", test_upper, "", 0},
        {"escaped", test_escaped, "", 0},
        {"filter", test_filter, "", 0},
        {"test", test_test, "", 0},
        {"in", test_in, "seq", 1},
        {"eq", test_eq, "other", 1},
        {"equalto", test_eq, "other", 1},
        {"==", test_eq, "other", 1},
        {"ne", test_ne, "other", 1},
        {"!=", test_ne, "other", 1},
        {"lt", test_lt, "other", 1},
        {"lessthan", test_lt, "other", 1},
        {"<", test_lt, "other", 1},
        {"le", test_le, "other", 1},
        {"<=", test_le, "other", 1},
        {"gt", test_gt, "other", 1},
        {"greaterthan", test_gt, "other", 1},
        {">", test_gt, "other", 1},
        {"ge", test_ge, "other", 1},
        {">=", test_ge, "other", 1},
    };
    return plumb_jinja_find(rows, sizeof rows / sizeof *rows, name);
}
