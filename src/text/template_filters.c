/* The filters behind |. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/template_internal.h"

#define FILTER(name)                                                                                                   \
    static plumb_status name(jinja_eval *e, jinja_value v, const jinja_value *args, const jinja_arguments *all,        \
                             jinja_value *out)

static bool given(jinja_value v)
{
    return v.kind != JINJA_MISSING && v.kind != JINJA_NONE;
}

/* str(v).method(arguments) */
static plumb_status by_method(jinja_eval *e, const char *name, jinja_value v, const jinja_arguments *arguments,
                              jinja_value *out)
{
    bool unsafe;
    jinja_value text;
    jinja_string method = {name, strlen(name), strlen(name), false};
    PLUMB_TRY(plumb_jinja_to_string(e, v, &text));
    return plumb_jinja_invoke(e, plumb_jinja_method(text, &method, &unsafe), "filter", text, arguments, out);
}

#define METHOD_FILTER(filter, method)                                                                                  \
    FILTER(filter)                                                                                                     \
    {                                                                                                                  \
        (void)args;                                                                                                    \
        PLUMB_TRY(by_method(e, method, v, all, out));                                                                  \
        bool safe = v.kind == JINJA_STRING && v.as.string->safe;                                                       \
        return safe ? plumb_jinja_mark_safe(e, out) : PLUMB_OK;                                                        \
    }
METHOD_FILTER(filter_trim, "strip")
METHOD_FILTER(filter_upper, "upper")
METHOD_FILTER(filter_lower, "lower")
METHOD_FILTER(filter_capitalize, "capitalize")

FILTER(filter_replace)
{
    (void)all;
    jinja_value values[3] = {args[0], args[1], given(args[2]) ? args[2] : plumb_jinja_int(-1)};
    for (int i = 0; i < 2; i++) PLUMB_TRY(plumb_jinja_to_string(e, values[i], &values[i]));
    jinja_arguments arguments = {values, 3, NULL};
    return by_method(e, "replace", v, &arguments, out);
}

static bool ends_word(uint32_t code)
{
    return plumb_jinja_space(code) || (code && code < 0x80 && strchr("-({[<", (int)code));
}

/* Jinja's own rule: words begin behind blanks, hyphens and opening brackets. What follows the first letter becomes
 * lower case on its own, so that no sigma there is the end of the whole word. */
FILTER(filter_title)
{
    (void)args;
    (void)all;
    size_t start = e->text.size, used;
    PLUMB_TRY(plumb_jinja_to_string(e, v, &v));
    const jinja_string *s = v.as.string;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size;) {
        bool boundary = ends_word(plumb_jinja_decode(s->data + at, s->size - at, &used));
        PLUMB_TRY(plumb_jinja_put_case(e, s, at, JINJA_UPPER, &used));
        at += used;
        size_t end = at;
        while (!boundary && end < s->size && !ends_word(plumb_jinja_decode(s->data + end, s->size - end, &used)))
            end += used;
        jinja_string rest = {s->data + at, end - at, 0, false};
        for (size_t i = 0; i < rest.size; i += used) PLUMB_TRY(plumb_jinja_put_case(e, &rest, i, JINJA_LOWER, &used));
        at = end;
    }
    return plumb_jinja_take(e, start, out);
}

FILTER(filter_string)
{
    (void)args;
    (void)all;
    return plumb_jinja_to_string(e, v, out);
}

FILTER(filter_safe)
{
    (void)args;
    (void)all;
    PLUMB_TRY(plumb_jinja_to_string(e, v, out));
    return plumb_jinja_mark_safe(e, out);
}

FILTER(filter_indent)
{
    (void)all;
    int64_t width = 4;
    bool first = plumb_jinja_truth(args[1]), blank = plumb_jinja_truth(args[2]);
    jinja_value indent = args[0], lines;
    jinja_arguments none = {0};
    size_t start = e->text.size;
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    if (v.kind != JINJA_STRING) return plumb_jinja_error(e, "indent takes a string, not %s", plumb_jinja_type(v));
    if (indent.kind != JINJA_STRING) {
        PLUMB_TRY(plumb_jinja_int_argument(e, indent, 4, &width));
        jinja_value space;
        PLUMB_TRY(plumb_jinja_borrow(e, " ", 1, &space));
        PLUMB_TRY(plumb_jinja_binary(e, '*', space, plumb_jinja_int(width), &indent));
    }
    PLUMB_TRY(plumb_jinja_put_string(e, v));
    PLUMB_TRY(plumb_jinja_puts(e, "\n")); /* so that a final newline gives a final empty line */
    PLUMB_TRY(plumb_jinja_take(e, start, &v));
    PLUMB_TRY(by_method(e, "splitlines", v, &none, &lines));
    for (size_t i = 0; i < lines.as.list->count; i++) {
        jinja_value line = lines.as.list->items[i];
        bool indented = i == 0 ? first : blank || line.as.string->size;
        if (i) PLUMB_TRY(plumb_jinja_puts(e, "\n"));
        if (indented) PLUMB_TRY(plumb_jinja_put_string(e, indent));
        PLUMB_TRY(plumb_jinja_put_string(e, line));
    }
    return plumb_jinja_take(e, start, out);
}

FILTER(filter_format)
{
    (void)args;
    jinja_value text, values;
    PLUMB_TRY(plumb_jinja_to_string(e, v, &text));
    if (all->named->count && all->count)
        return plumb_jinja_error(e, "format takes values by position or by name, not both");
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_TUPLE, 0, &values));
    for (size_t i = 0; i < all->count; i++) PLUMB_TRY(plumb_jinja_push(e, values.as.list, all->values[i]));
    jinja_value named = {.kind = JINJA_DICT, .as.dict = (jinja_dict *)all->named};
    return plumb_jinja_percent(e, text, all->named->count ? named : values, out);
}

FILTER(filter_tojson)
{
    (void)all;
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_put_json(e, v, args));
    return plumb_jinja_take(e, start, out);
}

/* Numbers ------------------------------------------------------------------------------------------------------ */

static plumb_status real_to_int(jinja_eval *e, double real, jinja_value *out)
{
    if (!(real >= -9223372036854775808.0 && real < 9223372036854775808.0)) {
        return plumb_jinja_error(e, "cannot convert the float to an integer of 64 bits");
    }
    *out = plumb_jinja_int((int64_t)real);
    return PLUMB_OK;
}

FILTER(filter_int)
{
    (void)all;
    int64_t base, whole;
    double real;
    bool over = false;
    *out = args[0].kind == JINJA_MISSING ? plumb_jinja_int(0) : args[0];
    PLUMB_TRY(plumb_jinja_int_argument(e, args[1], 10, &base));
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    if (plumb_jinja_whole(v, &whole)) {
        *out = plumb_jinja_int(whole);
    } else if (v.kind == JINJA_FLOAT) {
        return isnan(v.as.real) ? PLUMB_OK : real_to_int(e, v.as.real, out);
    } else if (v.kind == JINJA_STRING) {
        if (base != 0 && (base < 2 || base > 36)) return plumb_jinja_error(e, "int: the base is out of range");
        if (plumb_jinja_read_int(v.as.string, (int)base, &whole, &over)) {
            if (over) return plumb_jinja_error(e, "an integer beyond 64 bits is not supported");
            *out = plumb_jinja_int(whole);
        } else if (plumb_jinja_read_float(v.as.string, &real) && isfinite(real)) {
            return real_to_int(e, real, out);
        }
    }
    return PLUMB_OK;
}

FILTER(filter_float)
{
    (void)all;
    double real;
    *out = args[0].kind == JINJA_MISSING ? plumb_jinja_float(0) : args[0];
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    if (plumb_jinja_number(v))
        *out = plumb_jinja_float(plumb_jinja_real(v));
    else if (v.kind == JINJA_STRING && plumb_jinja_read_float(v.as.string, &real))
        *out = plumb_jinja_float(real);
    return PLUMB_OK;
}

FILTER(filter_abs)
{
    (void)args;
    (void)all;
    int64_t whole;
    if (v.kind == JINJA_FLOAT) {
        *out = plumb_jinja_float(fabs(v.as.real));
        return PLUMB_OK;
    }
    if (!plumb_jinja_whole(v, &whole))
        return plumb_jinja_error(e, "bad operand type for abs(): '%s'", plumb_jinja_type(v));
    if (whole < 0) return plumb_jinja_binary(e, '-', plumb_jinja_int(0), v, out);
    *out = plumb_jinja_int(whole);
    return PLUMB_OK;
}

/* Rounds half to even on the exact value, as Python's round() and printf do. */
FILTER(filter_round)
{
    (void)all;
    char text[512];
    int64_t precision;
    PLUMB_TRY(plumb_jinja_int_argument(e, args[0], 0, &precision));
    const jinja_string *method = args[1].kind == JINJA_STRING ? args[1].as.string : NULL;
    bool up = method && plumb_jinja_is(method, "ceil"), down = method && plumb_jinja_is(method, "floor");
    bool common = args[1].kind == JINJA_MISSING || (method && plumb_jinja_is(method, "common"));
    if (!up && !down && !common) return plumb_jinja_error(e, "method must be common, ceil or floor");
    if (!plumb_jinja_number(v)) return plumb_jinja_error(e, "round takes a number, not %s", plumb_jinja_type(v));
    if (precision < 0 || precision > 100)
        return plumb_jinja_error(e, "round: a precision below 0 or above 100 is not supported");
    if (common && v.kind != JINJA_FLOAT) {
        int64_t whole = 0;
        plumb_jinja_whole(v, &whole);
        *out = plumb_jinja_int(whole);
        return PLUMB_OK;
    }
    double real = plumb_jinja_real(v), scale = pow(10, (double)precision);
    if (!isfinite(real) && !common) return plumb_jinja_error(e, "cannot convert the float to an integer");
    if (common) {
        jinja_string digits = {text, 0, 0, false};
        digits.size = digits.count = (size_t)snprintf(text, sizeof text, "%.*f", (int)precision, real);
        if (isfinite(real)) plumb_jinja_read_float(&digits, &real);
    } else {
        real = (up ? ceil(real * scale) : floor(real * scale)) / scale;
        real += 0.0; /* an integer has no negative zero */
    }
    *out = plumb_jinja_float(real);
    return PLUMB_OK;
}

/* Sequences ---------------------------------------------------------------------------------------------------- */

FILTER(filter_default)
{
    (void)e;
    (void)all;
    static const jinja_string empty = {"", 0, 0, false};
    bool replaced = v.kind == JINJA_UNDEFINED || (plumb_jinja_truth(args[1]) && !plumb_jinja_truth(v));
    jinja_value nothing = {.kind = JINJA_STRING, .as.string = &empty};
    *out = !replaced ? v : args[0].kind == JINJA_MISSING ? nothing : args[0];
    return PLUMB_OK;
}

FILTER(filter_length)
{
    (void)args;
    (void)all;
    size_t length;
    if (!plumb_jinja_length(v, &length))
        return plumb_jinja_error(e, "object of type '%s' has no len()", plumb_jinja_type(v));
    *out = plumb_jinja_int((int64_t)length);
    return PLUMB_OK;
}

FILTER(filter_list)
{
    (void)args;
    (void)all;
    return plumb_jinja_to_list(e, v, JINJA_LIST, out);
}

FILTER(filter_first)
{
    (void)args;
    (void)all;
    jinja_cursor cursor;
    bool more;
    PLUMB_TRY(plumb_jinja_iterate(e, v, &cursor));
    PLUMB_TRY(plumb_jinja_next(e, &cursor, out, &more));
    return more ? PLUMB_OK : plumb_jinja_undefined_hint(e, "No first item, sequence was empty.", out);
}

static plumb_status reversed(jinja_eval *e, jinja_value v, jinja_kind kind, jinja_value *out)
{
    PLUMB_TRY(plumb_jinja_to_list(e, v, kind, out));
    jinja_list *list = out->as.list;
    for (size_t i = 0; i < list->count / 2; i++) {
        jinja_value swap = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = swap;
    }
    return PLUMB_OK;
}

FILTER(filter_last)
{
    (void)args;
    (void)all;
    jinja_value list;
    if (v.kind == JINJA_ITERATOR) return plumb_jinja_error(e, "'generator' object is not reversible");
    PLUMB_TRY(reversed(e, v, JINJA_LIST, &list));
    if (!list.as.list->count) return plumb_jinja_undefined_hint(e, "No last item, sequence was empty.", out);
    *out = list.as.list->items[0];
    return PLUMB_OK;
}

FILTER(filter_reverse)
{
    (void)args;
    (void)all;
    if (v.kind == JINJA_STRING) {
        jinja_value bounds[3] = {plumb_jinja_none, plumb_jinja_none, plumb_jinja_int(-1)};
        return plumb_jinja_slice(e, v, bounds, out);
    }
    return reversed(e, v, v.kind == JINJA_ITERATOR ? JINJA_LIST : JINJA_ITERATOR, out);
}

FILTER(filter_items)
{
    (void)args;
    (void)all;
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_to_list(e, v, JINJA_ITERATOR, out);
    if (v.kind != JINJA_DICT) return plumb_jinja_error(e, "Can only get item pairs from a mapping.");
    jinja_view view = {v.as.dict, JINJA_ITEMS};
    return plumb_jinja_to_list(e, (jinja_value){.kind = JINJA_VIEW, .as.view = &view}, JINJA_ITERATOR, out);
}

/* One part of a dotted attribute: digits are an index. */
static plumb_status attribute_part(jinja_eval *e, jinja_value v, const jinja_string *path, size_t from, size_t to,
                                   jinja_value *out)
{
    jinja_value key;
    int64_t index = 0;
    bool over = false, digits = to > from;
    for (size_t i = from; i < to; i++) digits &= path->data[i] >= '0' && path->data[i] <= '9';
    PLUMB_TRY(plumb_jinja_borrow(e, path->data + from, to - from, &key));
    if (digits && plumb_jinja_read_int(key.as.string, 10, &index, &over) && !over) key = plumb_jinja_int(index);
    return plumb_jinja_item(e, v, key, out);
}

/* v's attribute "a.b.0", or the item at an integer; JINJA_MISSING and none leave v as it is. */
static plumb_status get_path(jinja_eval *e, jinja_value v, jinja_value path, jinja_value fallback, jinja_value *out)
{
    *out = v;
    if (!given(path)) return PLUMB_OK;
    if (path.kind != JINJA_STRING) {
        PLUMB_TRY(plumb_jinja_item(e, v, path, out));
        if (out->kind == JINJA_UNDEFINED && given(fallback)) *out = fallback;
        return PLUMB_OK;
    }
    const jinja_string *s = path.as.string;
    for (size_t from = 0; from <= s->size;) {
        const char *dot = memchr(s->data + from, '.', s->size - from);
        size_t to = dot ? (size_t)(dot - s->data) : s->size;
        PLUMB_TRY(attribute_part(e, *out, s, from, to, out));
        if (out->kind == JINJA_UNDEFINED && given(fallback)) *out = fallback;
        from = to + 1;
    }
    return PLUMB_OK;
}

/* What sorting, unique, min and max compare: the attribute, in lower case unless told otherwise. */
static plumb_status comparison_key(jinja_eval *e, jinja_value v, jinja_value path, bool case_sensitive,
                                   jinja_value *out)
{
    jinja_arguments none = {0};
    PLUMB_TRY(get_path(e, v, path, plumb_jinja_missing, out));
    if (case_sensitive || out->kind != JINJA_STRING) return PLUMB_OK;
    return by_method(e, "lower", *out, &none, out);
}

FILTER(filter_join)
{
    (void)all;
    jinja_cursor cursor;
    jinja_value item, separator = args[0];
    bool more, first = true;
    size_t start = e->text.size;
    if (separator.kind == JINJA_MISSING) PLUMB_TRY(plumb_jinja_borrow(e, "", 0, &separator));
    PLUMB_TRY(plumb_jinja_iterate(e, v, &cursor));
    for (;; first = false) {
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &item, &more));
        if (!more) return plumb_jinja_take(e, start, out);
        PLUMB_TRY(get_path(e, item, args[1], plumb_jinja_missing, &item));
        if (!first) PLUMB_TRY(plumb_jinja_put_string(e, separator));
        PLUMB_TRY(plumb_jinja_put_string(e, item));
    }
}

/* The keys of "a,b" are compared one after the other. */
static plumb_status sort_key(jinja_eval *e, jinja_value v, jinja_value paths, bool case_sensitive, jinja_value *out)
{
    jinja_value key, path = paths;
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 1, out));
    const jinja_string *s = paths.kind == JINJA_STRING ? paths.as.string : NULL;
    for (size_t from = 0, to; !s || from <= s->size; from = to + 1) {
        const char *comma = s ? memchr(s->data + from, ',', s->size - from) : NULL;
        to = comma ? (size_t)(comma - s->data) : s ? s->size : 0;
        if (s) PLUMB_TRY(plumb_jinja_borrow(e, s->data + from, to - from, &path));
        PLUMB_TRY(comparison_key(e, v, path, case_sensitive, &key));
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, key));
        if (!s) break;
    }
    return PLUMB_OK;
}

FILTER(filter_sort)
{
    (void)all;
    jinja_value keys, key;
    PLUMB_TRY(plumb_jinja_to_list(e, v, JINJA_LIST, out));
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, out->as.list->count, &keys));
    for (size_t i = 0; i < out->as.list->count; i++) {
        PLUMB_TRY(sort_key(e, out->as.list->items[i], args[2], plumb_jinja_truth(args[1]), &key));
        PLUMB_TRY(plumb_jinja_push(e, keys.as.list, key));
    }
    return plumb_jinja_sort(e, out->as.list, keys.as.list, plumb_jinja_truth(args[0]));
}

FILTER(filter_dictsort)
{
    (void)all;
    jinja_value keys, key, column = args[1];
    bool case_sensitive = plumb_jinja_truth(args[0]);
    bool by_value = column.kind == JINJA_STRING && plumb_jinja_is(column.as.string, "value");
    bool by_key =
        column.kind == JINJA_MISSING || (column.kind == JINJA_STRING && plumb_jinja_is(column.as.string, "key"));
    if (!by_key && !by_value) return plumb_jinja_error(e, "You can only sort by either \"key\" or \"value\"");
    if (v.kind != JINJA_DICT) return plumb_jinja_error(e, "dictsort takes a mapping, not %s", plumb_jinja_type(v));
    jinja_view view = {v.as.dict, JINJA_ITEMS};
    PLUMB_TRY(plumb_jinja_to_list(e, (jinja_value){.kind = JINJA_VIEW, .as.view = &view}, JINJA_LIST, out));
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, out->as.list->count, &keys));
    for (size_t i = 0; i < out->as.list->count; i++) {
        PLUMB_TRY(comparison_key(e, out->as.list->items[i], plumb_jinja_int(by_value), case_sensitive, &key));
        PLUMB_TRY(plumb_jinja_push(e, keys.as.list, key));
    }
    return plumb_jinja_sort(e, out->as.list, keys.as.list, plumb_jinja_truth(args[2]));
}

FILTER(filter_unique)
{
    (void)all;
    jinja_value seen, list, key;
    PLUMB_TRY(plumb_jinja_to_list(e, v, JINJA_LIST, &list));
    PLUMB_TRY(plumb_jinja_make_dict(e, 0, &seen));
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_ITERATOR, 0, out));
    for (size_t i = 0; i < list.as.list->count; i++) {
        jinja_value *found = NULL;
        PLUMB_TRY(comparison_key(e, list.as.list->items[i], args[1], plumb_jinja_truth(args[0]), &key));
        if (!plumb_jinja_hashable(key)) return plumb_jinja_error(e, "unhashable type: '%s'", plumb_jinja_type(key));
        PLUMB_TRY(plumb_jinja_dict_find(e, seen.as.dict, key, &found));
        if (found) continue;
        PLUMB_TRY(plumb_jinja_dict_set(e, seen.as.dict, key, plumb_jinja_none));
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, list.as.list->items[i]));
    }
    return PLUMB_OK;
}

static plumb_status extreme(jinja_eval *e, jinja_value v, const jinja_value *args, bool largest, jinja_value *out)
{
    jinja_cursor cursor;
    jinja_value item, key, best = plumb_jinja_missing;
    bool more;
    PLUMB_TRY(plumb_jinja_iterate(e, v, &cursor));
    for (;;) {
        int order = 0;
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &item, &more));
        if (!more) break;
        PLUMB_TRY(comparison_key(e, item, args[1], plumb_jinja_truth(args[0]), &key));
        if (best.kind != JINJA_MISSING) PLUMB_TRY(plumb_jinja_order(e, largest ? ">" : "<", key, best, &order));
        if (best.kind != JINJA_MISSING && order != (largest ? 1 : -1)) continue;
        best = key;
        *out = item;
    }
    if (best.kind != JINJA_MISSING) return PLUMB_OK;
    return plumb_jinja_undefined_hint(e, "No aggregated item, sequence was empty.", out);
}

FILTER(filter_min)
{
    (void)all;
    return extreme(e, v, args, false, out);
}

FILTER(filter_max)
{
    (void)all;
    return extreme(e, v, args, true, out);
}

FILTER(filter_sum)
{
    (void)all;
    jinja_cursor cursor;
    jinja_value item;
    bool more;
    *out = args[1].kind == JINJA_MISSING ? plumb_jinja_int(0) : args[1];
    if (out->kind == JINJA_STRING) return plumb_jinja_error(e, "sum() can't sum strings [use ''.join(seq) instead]");
    PLUMB_TRY(plumb_jinja_iterate(e, v, &cursor));
    for (;;) {
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &item, &more));
        if (!more) return PLUMB_OK;
        PLUMB_TRY(get_path(e, item, args[0], plumb_jinja_missing, &item));
        PLUMB_TRY(plumb_jinja_binary(e, '+', *out, item, out));
    }
}

FILTER(filter_batch)
{
    (void)all;
    int64_t size;
    jinja_value list, row = plumb_jinja_none;
    PLUMB_TRY(plumb_jinja_int_argument(e, args[0], 0, &size));
    PLUMB_TRY(plumb_jinja_to_list(e, v, JINJA_LIST, &list));
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_ITERATOR, 0, out));
    for (size_t i = 0; i < list.as.list->count; i++) {
        if (row.kind == JINJA_NONE || (int64_t)row.as.list->count == size) {
            if (row.kind == JINJA_NONE && size == 0) return plumb_jinja_error(e, "batch of 0 items is not supported");
            PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 0, &row));
            PLUMB_TRY(plumb_jinja_push(e, out->as.list, row));
        }
        PLUMB_TRY(plumb_jinja_push(e, row.as.list, list.as.list->items[i]));
    }
    while (row.kind == JINJA_LIST && given(args[1]) && (int64_t)row.as.list->count < size) {
        PLUMB_TRY(plumb_jinja_push(e, row.as.list, args[1]));
    }
    return PLUMB_OK;
}

/* Mapping and selecting ---------------------------------------------------------------------------------------- */

static plumb_status find_named(jinja_eval *e, jinja_value name, bool is_filter, const jinja_row **row)
{
    const char *what = is_filter ? "filter" : "test";
    jinja_value copy;
    if (name.kind != JINJA_STRING) return plumb_jinja_error(e, "the name of a %s is not a string", what);
    PLUMB_TRY(plumb_jinja_string(e, name.as.string->data, name.as.string->size, &copy)); /* ends in a zero byte */
    *row = is_filter ? plumb_jinja_filter(copy.as.string->data) : plumb_jinja_test(copy.as.string->data);
    if (*row && (*row)->call) return PLUMB_OK;
    return plumb_jinja_error(e, *row ? "the %s \"%s\" is not supported" : "No %s named '%s'.", what,
                             copy.as.string->data);
}

/* map(attribute=..., default=...) or map("filter", arguments). */
FILTER(filter_map)
{
    (void)args;
    jinja_value list, item, *found[2] = {NULL, NULL};
    const jinja_row *row = NULL;
    static const jinja_string names[2] = {{"attribute", 9, 9, false}, {"default", 7, 7, false}};
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_ITERATOR, 0, out));
    if (!plumb_jinja_truth(v)) return PLUMB_OK;
    for (int i = 0; i < 2 && !all->count; i++) {
        jinja_value key = {.kind = JINJA_STRING, .as.string = &names[i]};
        PLUMB_TRY(plumb_jinja_dict_find(e, all->named, key, &found[i]));
    }
    if (found[0] && all->named->count > 1U + (found[1] != NULL))
        return plumb_jinja_error(e, "map: unexpected keyword argument");
    if (!found[0] && !all->count) return plumb_jinja_error(e, "map requires a filter argument");
    if (!found[0]) PLUMB_TRY(find_named(e, all->values[0], true, &row));
    jinja_arguments rest = {all->values + (all->count > 0), all->count - (all->count > 0), all->named};
    PLUMB_TRY(plumb_jinja_to_list(e, v, JINJA_LIST, &list));
    for (size_t i = 0; i < list.as.list->count; i++) {
        if (row)
            PLUMB_TRY(plumb_jinja_invoke(e, row, "filter", list.as.list->items[i], &rest, &item));
        else
            PLUMB_TRY(
                get_path(e, list.as.list->items[i], *found[0], found[1] ? *found[1] : plumb_jinja_missing, &item));
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, item));
    }
    return PLUMB_OK;
}

/* select, reject, selectattr, rejectattr: ["attribute",] ["test", arguments]. */
static plumb_status choose(jinja_eval *e, jinja_value v, const jinja_arguments *all, bool wanted, bool by_attribute,
                           jinja_value *out)
{
    jinja_value list, item, result;
    const jinja_row *row = NULL;
    size_t off = by_attribute;
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_ITERATOR, 0, out));
    if (!plumb_jinja_truth(v)) return PLUMB_OK;
    if (all->count < off) return plumb_jinja_error(e, "Missing parameter for attribute name");
    PLUMB_TRY(plumb_jinja_to_list(e, v, JINJA_LIST, &list));
    if (all->count > off && list.as.list->count) PLUMB_TRY(find_named(e, all->values[off], false, &row));
    size_t used = all->count > off ? off + 1 : off;
    jinja_arguments rest = {all->values + used, all->count - used, all->named};
    for (size_t i = 0; i < list.as.list->count; i++) {
        item = result = list.as.list->items[i];
        if (by_attribute) PLUMB_TRY(get_path(e, item, all->values[0], plumb_jinja_missing, &result));
        if (row) PLUMB_TRY(plumb_jinja_invoke(e, row, "test", result, &rest, &result));
        if (plumb_jinja_truth(result) == wanted) PLUMB_TRY(plumb_jinja_push(e, out->as.list, item));
    }
    return PLUMB_OK;
}

FILTER(filter_select)
{
    (void)args;
    return choose(e, v, all, true, false, out);
}

FILTER(filter_reject)
{
    (void)args;
    return choose(e, v, all, false, false, out);
}

FILTER(filter_selectattr)
{
    (void)args;
    return choose(e, v, all, true, true, out);
}

FILTER(filter_rejectattr)
{
    (void)args;
    return choose(e, v, all, false, true, out);
}

const jinja_row *plumb_jinja_filter(const char *name)
{
    static const jinja_row rows[] = {
        {"trim", filter_trim, "chars", 0},
        {"upper", filter_upper, "", 0},
        {"lower", filter_lower, "", 0},
        {"capitalize", filter_capitalize, "", 0},
        {"title", filter_title, "", 0},
        {"replace", filter_replace, "old new count", 2},
        {"string", filter_string, "", 0},
        {"safe", filter_safe, "", 0},
        {"indent", filter_indent, "width first blank", 0},
        {"format", filter_format, NULL, 0},
        {"tojson", filter_tojson, "ensure_ascii indent separators sort_keys", 0},
        {"int", filter_int, "default base", 0},
        {"float", filter_float, "default", 0},
        {"abs", filter_abs, "", 0},
        {"round", filter_round, "precision method", 0},
        {"default", filter_default, "default_value boolean", 0},
        {"d", filter_default, "default_value boolean", 0},
        {"length", filter_length, "", 0},
        {"count", filter_length, "", 0},
        {"list", filter_list, "", 0},
        {"first", filter_first, "", 0},
        {"last", filter_last, "", 0},
        {"reverse", filter_reverse, "", 0},
        {"items", filter_items, "", 0},
        {"join", filter_join, "d attribute", 0},
        {"sort", filter_sort, "reverse case_sensitive attribute", 0},
        {"dictsort", filter_dictsort, "case_sensitive by reverse", 0},
        {"unique", filter_unique, "case_sensitive attribute", 0},
        {"min", filter_min, "case_sensitive attribute", 0},
        {"max", filter_max, "case_sensitive attribute", 0},
        {"sum", filter_sum, "attribute start", 0},
        {"batch", filter_batch, "linecount fill_with", 1},
        {"map", filter_map, NULL, 0},
        {"select", filter_select, NULL, 0},
        {"reject", filter_reject, NULL, 0},
        {"selectattr", filter_selectattr, NULL, 0},
        {"rejectattr", filter_rejectattr, NULL, 0},
        /* Jinja's that no chat template needs */
        {"attr", NULL, NULL, 0},
        {"center", NULL, NULL, 0},
        {"e", NULL, NULL, 0},
        {"escape", NULL, NULL, 0},
        {"filesizeformat", NULL, NULL, 0},
        {"forceescape", NULL, NULL, 0},
        {"groupby", NULL, NULL, 0},
        {"pprint", NULL, NULL, 0},
        {"random", NULL, NULL, 0},
        {"slice", NULL, NULL, 0},
        {"striptags", NULL, NULL, 0},
        {"truncate", NULL, NULL, 0},
        {"urlencode", NULL, NULL, 0},
        {"urlize", NULL, NULL, 0},
        {"wordcount", NULL, NULL, 0},
        {"wordwrap", NULL, NULL, 0},
        {"xmlattr", NULL, NULL, 0},
    };
    return plumb_jinja_find(rows, sizeof rows / sizeof *rows, name);
}
