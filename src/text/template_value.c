/* Values: making them, reading them, comparing them, going through them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/template_internal.h"

const jinja_value plumb_jinja_none = {.kind = JINJA_NONE}, plumb_jinja_missing = {.kind = JINJA_MISSING};

jinja_value plumb_jinja_bool(bool truth)
{
    return (jinja_value){.kind = JINJA_BOOL, .as.truth = truth};
}

jinja_value plumb_jinja_int(int64_t integer)
{
    return (jinja_value){.kind = JINJA_INT, .as.integer = integer};
}

jinja_value plumb_jinja_float(double real)
{
    return (jinja_value){.kind = JINJA_FLOAT, .as.real = real};
}

/* Memory ------------------------------------------------------------------------------------------------------- */

plumb_status plumb_jinja_make_error(const jinja_eval *e, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    plumb_text text = {0};
    int n = vsnprintf(NULL, 0, format, args);
    plumb_status s = n < 0 ? plumb_no_memory() : plumb_reserve(&text.data, &text.capacity, (size_t)n + 1, 1);
    if (!s) {
        vsnprintf(text.data, (size_t)n + 1, format, again);
        s = plumb_fail(PLUMB_E_INPUT, "chat template line %d: %s", e->line, text.data);
    }
    plumb_text_free(&text);
    va_end(again);
    va_end(args);
    return s;
}

plumb_status plumb_jinja_spend(jinja_eval *e, size_t steps)
{
    if (steps <= JINJA_MAX_STEPS && e->steps + steps <= JINJA_MAX_STEPS) {
        e->steps += steps;
        return PLUMB_OK;
    }
    return plumb_jinja_error(e, "the template does not come to an end (more than %d steps)", JINJA_MAX_STEPS);
}

plumb_status plumb_jinja_new(jinja_eval *e, void *out, size_t count, size_t size)
{
    enum { ALIGN = 16, BLOCK = 16384 };
    if (count > JINJA_MAX_MEMORY / size || count * size > JINJA_MAX_MEMORY - e->memory) {
        return plumb_jinja_error(e, "the template needs more than %d MiB for its values", JINJA_MAX_MEMORY >> 20);
    }
    size_t need = (count * size + ALIGN - 1) / ALIGN * ALIGN;
    e->memory += count * size;
    if (need > BLOCK / 4) return plumb_arena_new(&e->arena, out, count, size);
    if (need > e->block_left) {
        PLUMB_TRY(plumb_arena_new(&e->arena, &e->block, BLOCK, 1));
        e->block_left = BLOCK;
    }
    void *piece = e->block; /* zeroed by the arena */
    memcpy(out, &piece, sizeof piece);
    e->block += need;
    e->block_left -= need;
    return PLUMB_OK;
}

plumb_status plumb_jinja_borrow(jinja_eval *e, const char *bytes, size_t n, jinja_value *out)
{
    jinja_string *string = NULL;
    PLUMB_TRY(plumb_jinja_spend(e, n / 64 + 1));
    PLUMB_TRY(plumb_jinja_new(e, &string, 1, sizeof *string));
    *string = (jinja_string){bytes, n, plumb_jinja_count(bytes, n), false};
    *out = (jinja_value){.kind = JINJA_STRING, .as.string = string};
    return PLUMB_OK;
}

plumb_status plumb_jinja_string(jinja_eval *e, const char *bytes, size_t n, jinja_value *out)
{
    char *copy = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &copy, n + 1, 1));
    if (n) memcpy(copy, bytes, n);
    return plumb_jinja_borrow(e, copy, n, out);
}

plumb_status plumb_jinja_mark_safe(jinja_eval *e, jinja_value *v)
{
    bool several = v->kind == JINJA_LIST || v->kind == JINJA_TUPLE;
    for (size_t i = 0; several && i < v->as.list->count; i++)
        PLUMB_TRY(plumb_jinja_mark_safe(e, &v->as.list->items[i]));
    if (v->kind != JINJA_STRING || v->as.string->safe) return PLUMB_OK;
    jinja_string *marked = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &marked, 1, sizeof *marked));
    *marked = *v->as.string;
    marked->safe = true;
    v->as.string = marked;
    return PLUMB_OK;
}

plumb_status plumb_jinja_make_list(jinja_eval *e, jinja_kind kind, size_t room, jinja_value *out)
{
    jinja_list *list = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &list, 1, sizeof *list));
    if (room) PLUMB_TRY(plumb_jinja_new(e, &list->items, room, sizeof *list->items));
    list->capacity = room;
    *out = (jinja_value){.kind = kind, .as.list = list};
    return PLUMB_OK;
}

plumb_status plumb_jinja_push(jinja_eval *e, jinja_list *list, jinja_value item)
{
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        jinja_value *items = NULL;
        PLUMB_TRY(plumb_jinja_new(e, &items, capacity, sizeof *items));
        if (list->count) memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return PLUMB_OK;
}

plumb_status plumb_jinja_pair(jinja_eval *e, jinja_value first, jinja_value second, jinja_value *out)
{
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_TUPLE, 2, out));
    PLUMB_TRY(plumb_jinja_push(e, out->as.list, first));
    return plumb_jinja_push(e, out->as.list, second);
}

plumb_status plumb_jinja_make_dict(jinja_eval *e, size_t room, jinja_value *out)
{
    jinja_dict *dict = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &dict, 1, sizeof *dict));
    if (room) PLUMB_TRY(plumb_jinja_new(e, &dict->keys, room, sizeof *dict->keys));
    if (room) PLUMB_TRY(plumb_jinja_new(e, &dict->values, room, sizeof *dict->values));
    dict->capacity = room;
    *out = (jinja_value){.kind = JINJA_DICT, .as.dict = dict};
    return PLUMB_OK;
}

/* Appends a key that is known to be new. */
static plumb_status dict_append(jinja_eval *e, jinja_dict *dict, jinja_value key, jinja_value value)
{
    if (dict->count == dict->capacity) {
        size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
        jinja_value *keys = NULL, *values = NULL;
        PLUMB_TRY(plumb_jinja_new(e, &keys, capacity, sizeof *keys));
        PLUMB_TRY(plumb_jinja_new(e, &values, capacity, sizeof *values));
        if (dict->count) memcpy(keys, dict->keys, dict->count * sizeof *keys);
        if (dict->count) memcpy(values, dict->values, dict->count * sizeof *values);
        dict->keys = keys;
        dict->values = values;
        dict->capacity = capacity;
    }
    dict->keys[dict->count] = key;
    dict->values[dict->count++] = value;
    return PLUMB_OK;
}

plumb_status plumb_jinja_dict_set(jinja_eval *e, jinja_dict *dict, jinja_value key, jinja_value value)
{
    jinja_value *found = NULL;
    PLUMB_TRY(plumb_jinja_dict_find(e, dict, key, &found));
    if (!found) return dict_append(e, dict, key, value);
    *found = value;
    return PLUMB_OK;
}

plumb_status plumb_jinja_undefined(jinja_eval *e, jinja_value object, jinja_value name, jinja_value *out)
{
    jinja_undefined *undefined = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &undefined, 1, sizeof *undefined));
    *undefined = (jinja_undefined){.object = object, .name = name};
    *out = (jinja_value){.kind = JINJA_UNDEFINED, .as.undefined = undefined};
    return PLUMB_OK;
}

plumb_status plumb_jinja_undefined_hint(jinja_eval *e, const char *hint, jinja_value *out)
{
    jinja_undefined *undefined = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &undefined, 1, sizeof *undefined));
    undefined->hint = hint;
    *out = (jinja_value){.kind = JINJA_UNDEFINED, .as.undefined = undefined};
    return PLUMB_OK;
}

/* From JSON ---------------------------------------------------------------------------------------------------- */

/* Borrowed where it is UTF-8; other bytes become U+FFFD, so that everything behind may rely on whole characters. */
static plumb_status text_from_json(jinja_eval *e, const char *bytes, size_t n, jinja_value *out)
{
    if (plumb_jinja_valid(bytes, n)) return plumb_jinja_borrow(e, bytes, n, out);
    size_t start = e->text.size;
    for (size_t i = 0; i < n; i++) {
        size_t used = 4 < n - i ? 4 : n - i;
        while (used && !plumb_jinja_valid(bytes + i, used)) used--;
        PLUMB_TRY(used ? plumb_jinja_put(e, bytes + i, used) : plumb_jinja_puts(e, "\xef\xbf\xbd"));
        if (used) i += used - 1;
    }
    return plumb_jinja_take(e, start, out);
}

static plumb_status dict_from_json(jinja_eval *e, const json_t *json, int depth, jinja_value *out)
{
    const char *key;
    size_t size;
    json_t *object = (json_t *)json, *item; /* jansson's iterator takes no const; nothing is changed */
    PLUMB_TRY(plumb_jinja_make_dict(e, json_object_size(json), out));
    json_object_keylen_foreach(object, key, size, item)
    {
        jinja_value name, value;
        PLUMB_TRY(text_from_json(e, key, size, &name));
        PLUMB_TRY(plumb_jinja_from_json(e, item, depth + 1, &value));
        PLUMB_TRY(dict_append(e, out->as.dict, name, value));
    }
    return PLUMB_OK;
}

plumb_status plumb_jinja_from_json(jinja_eval *e, const json_t *json, int depth, jinja_value *out)
{
    if (depth > JINJA_MAX_VALUE_DEPTH) {
        return plumb_fail(PLUMB_E_INPUT, "the messages hold more than %d lists or objects within each other",
                          JINJA_MAX_VALUE_DEPTH);
    }
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    switch (json_typeof(json)) {
    case JSON_NULL:
        *out = plumb_jinja_none;
        return PLUMB_OK;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = plumb_jinja_bool(json_is_true(json));
        return PLUMB_OK;
    case JSON_INTEGER:
        *out = plumb_jinja_int(json_integer_value(json));
        return PLUMB_OK;
    case JSON_REAL:
        *out = plumb_jinja_float(json_real_value(json));
        return PLUMB_OK;
    case JSON_STRING:
        return text_from_json(e, json_string_value(json), json_string_length(json), out);
    case JSON_OBJECT:
        return dict_from_json(e, json, depth, out);
    case JSON_ARRAY:
        break;
    }
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, json_array_size(json), out));
    for (size_t i = 0; i < json_array_size(json); i++) {
        jinja_value item;
        PLUMB_TRY(plumb_jinja_from_json(e, json_array_get(json, i), depth + 1, &item));
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, item));
    }
    return PLUMB_OK;
}

/* Reading ------------------------------------------------------------------------------------------------------ */

const char *plumb_jinja_type(jinja_value v)
{
    static const char *const names[] = {
        [JINJA_MISSING] = "Undefined",
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "NoneType",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_RANGE] = "range",
        [JINJA_DICT] = "dict",
        [JINJA_VIEW] = "dict_items",
        [JINJA_ITERATOR] = "generator",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_MACRO] = "Macro",
        [JINJA_FUNCTION] = "function",
        [JINJA_METHOD] = "builtin_function_or_method",
    };
    if (v.kind == JINJA_VIEW && v.as.view->kind != JINJA_ITEMS) {
        return v.as.view->kind == JINJA_KEYS ? "dict_keys" : "dict_values";
    }
    return names[v.kind];
}

bool plumb_jinja_is(const jinja_string *s, const char *text)
{
    size_t n = strlen(text);
    return s->size == n && memcmp(s->data, text, n) == 0;
}

bool plumb_jinja_truth(jinja_value v)
{
    size_t length;
    switch (v.kind) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return v.as.truth;
    case JINJA_INT:
        return v.as.integer != 0;
    case JINJA_FLOAT:
        return v.as.real != 0;
    default:
        return !plumb_jinja_length(v, &length) || length > 0;
    }
}

bool plumb_jinja_whole(jinja_value v, int64_t *out)
{
    if (v.kind == JINJA_INT)
        *out = v.as.integer;
    else if (v.kind == JINJA_BOOL)
        *out = v.as.truth;
    else
        return false;
    return true;
}

bool plumb_jinja_number(jinja_value v)
{
    return v.kind == JINJA_INT || v.kind == JINJA_BOOL || v.kind == JINJA_FLOAT;
}

double plumb_jinja_real(jinja_value v)
{
    int64_t whole = 0;
    if (v.kind == JINJA_FLOAT) return v.as.real;
    return plumb_jinja_whole(v, &whole) ? (double)whole : 0;
}

bool plumb_jinja_length(jinja_value v, size_t *out)
{
    *out = 0;
    switch (v.kind) {
    case JINJA_UNDEFINED:
        return true;
    case JINJA_STRING:
        *out = v.as.string->count;
        return true;
    case JINJA_LIST:
    case JINJA_TUPLE:
        *out = v.as.list->count;
        return true;
    case JINJA_RANGE:
        *out = v.as.range->count;
        return true;
    case JINJA_DICT:
        *out = v.as.dict->count;
        return true;
    case JINJA_VIEW:
        *out = v.as.view->dict->count;
        return true;
    default:
        return false;
    }
}

plumb_status plumb_jinja_undefined_error(jinja_eval *e, jinja_value v)
{
    const jinja_undefined *u = v.as.undefined;
    if (!u) return plumb_jinja_error(e, "an undefined value is used");
    if (u->hint) return plumb_jinja_error(e, "%s", u->hint);
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_put_repr(e, u->name));
    jinja_value text, name = u->name, object = u->object;
    PLUMB_TRY(plumb_jinja_take(e, start, &text));
    const char *repr = text.as.string->data;
    if (u->unsafe) {
        return plumb_jinja_error(e, "access to attribute %s of '%s' object is unsafe", repr, plumb_jinja_type(object));
    }
    if (object.kind == JINJA_MISSING) return plumb_jinja_error(e, "%s is undefined", repr);
    const char *type = object.kind == JINJA_NONE ? "None" : plumb_jinja_type(object);
    const char *kind = object.kind == JINJA_NONE ? "" : " object";
    if (name.kind == JINJA_STRING) return plumb_jinja_error(e, "'%s%s' has no attribute %s", type, kind, repr);
    return plumb_jinja_error(e, "%s%s has no element %s", type, kind, repr);
}

/* Comparing ---------------------------------------------------------------------------------------------------- */

/* A 64-bit integer and a double, exactly: Python does not round the integer first. */
static int order_mixed(int64_t a, double b)
{
    if (b >= 9223372036854775808.0) return -1;
    if (b < -9223372036854775808.0) return 1;
    int64_t whole = (int64_t)b;
    if (a != whole) return a < whole ? -1 : 1;
    double rest = b - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

/* 2: one of them is NaN. */
static int order_numbers(jinja_value a, jinja_value b)
{
    int64_t x = 0, y = 0;
    bool whole_a = plumb_jinja_whole(a, &x), whole_b = plumb_jinja_whole(b, &y);
    if (whole_a && whole_b) return x < y ? -1 : x > y;
    if ((!whole_a && isnan(a.as.real)) || (!whole_b && isnan(b.as.real))) return 2;
    if (whole_a) return order_mixed(x, b.as.real);
    if (whole_b) return -order_mixed(y, a.as.real);
    return a.as.real < b.as.real ? -1 : a.as.real > b.as.real;
}

static int order_strings(const jinja_string *a, const jinja_string *b)
{
    size_t n = a->size < b->size ? a->size : b->size;
    int order = n ? memcmp(a->data, b->data, n) : 0; /* the order of UTF-8 is that of code points */
    if (order) return order < 0 ? -1 : 1;
    return a->size < b->size ? -1 : a->size > b->size;
}

static plumb_status deeper(jinja_eval *e)
{
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    if (++e->depth > JINJA_MAX_DEPTH) return plumb_jinja_error(e, "values or calls are nested too deeply");
    return PLUMB_OK;
}

static plumb_status equal_lists(jinja_eval *e, const jinja_list *a, const jinja_list *b, bool *out)
{
    *out = a->count == b->count;
    for (size_t i = 0; i < a->count && *out; i++) PLUMB_TRY(plumb_jinja_equal(e, a->items[i], b->items[i], out));
    return PLUMB_OK;
}

static plumb_status equal_dicts(jinja_eval *e, const jinja_dict *a, const jinja_dict *b, bool *out)
{
    *out = a->count == b->count;
    for (size_t i = 0; i < a->count && *out; i++) {
        jinja_value *other = NULL;
        PLUMB_TRY(plumb_jinja_dict_find(e, b, a->keys[i], &other));
        *out = other != NULL;
        if (other) PLUMB_TRY(plumb_jinja_equal(e, a->values[i], *other, out));
    }
    return PLUMB_OK;
}

static bool equal_ranges(const jinja_range *a, const jinja_range *b)
{
    if (a->count != b->count) return false;
    return a->count == 0 || (a->start == b->start && (a->count == 1 || a->step == b->step));
}

static plumb_status equal_kind(jinja_eval *e, jinja_value a, jinja_value b, bool *out)
{
    switch (a.kind) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
    case JINJA_MISSING:
        *out = true;
        return PLUMB_OK;
    case JINJA_STRING:
        PLUMB_TRY(plumb_jinja_spend(e, a.as.string->size / 64));
        *out = a.as.string->size == b.as.string->size && order_strings(a.as.string, b.as.string) == 0;
        return PLUMB_OK;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return equal_lists(e, a.as.list, b.as.list, out);
    case JINJA_RANGE:
        *out = equal_ranges(a.as.range, b.as.range);
        return PLUMB_OK;
    case JINJA_DICT:
        return equal_dicts(e, a.as.dict, b.as.dict, out);
    case JINJA_METHOD:
        *out = a.as.method->row == b.as.method->row;
        return *out ? plumb_jinja_equal(e, a.as.method->self, b.as.method->self, out) : PLUMB_OK;
    default:
        *out = a.as.list == b.as.list; /* by identity: all of these are pointers */
        return PLUMB_OK;
    }
}

plumb_status plumb_jinja_equal(jinja_eval *e, jinja_value a, jinja_value b, bool *out)
{
    if (plumb_jinja_number(a) && plumb_jinja_number(b)) {
        *out = order_numbers(a, b) == 0;
        return PLUMB_OK;
    }
    *out = false;
    if (a.kind != b.kind) return PLUMB_OK;
    PLUMB_TRY(deeper(e));
    PLUMB_TRY(equal_kind(e, a, b, out));
    e->depth--;
    return PLUMB_OK;
}

static plumb_status order_lists(jinja_eval *e, const char *op, const jinja_list *a, const jinja_list *b, int *order)
{
    size_t n = a->count < b->count ? a->count : b->count;
    for (size_t i = 0; i < n; i++) {
        bool equal;
        PLUMB_TRY(plumb_jinja_equal(e, a->items[i], b->items[i], &equal));
        if (!equal) return plumb_jinja_order(e, op, a->items[i], b->items[i], order);
    }
    *order = a->count < b->count ? -1 : a->count > b->count;
    return PLUMB_OK;
}

plumb_status plumb_jinja_order(jinja_eval *e, const char *op, jinja_value a, jinja_value b, int *order)
{
    if (plumb_jinja_number(a) && plumb_jinja_number(b)) {
        *order = order_numbers(a, b);
        return PLUMB_OK;
    }
    if (a.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, a);
    if (b.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, b);
    if (a.kind == JINJA_STRING && b.kind == JINJA_STRING) {
        *order = order_strings(a.as.string, b.as.string);
        return plumb_jinja_spend(e, a.as.string->size / 64 + 1);
    }
    if (a.kind == b.kind && (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) {
        PLUMB_TRY(deeper(e));
        PLUMB_TRY(order_lists(e, op, a.as.list, b.as.list, order));
        e->depth--;
        return PLUMB_OK;
    }
    return plumb_jinja_error(e, "'%s' not supported between instances of '%s' and '%s'", op, plumb_jinja_type(a),
                             plumb_jinja_type(b));
}

static bool hashable(jinja_value v, int depth)
{
    if (v.kind == JINJA_TUPLE && depth > JINJA_MAX_VALUE_DEPTH) return false;
    for (size_t i = 0; v.kind == JINJA_TUPLE && i < v.as.list->count; i++) {
        if (!hashable(v.as.list->items[i], depth + 1)) return false;
    }
    return v.kind != JINJA_LIST && v.kind != JINJA_DICT && v.kind != JINJA_VIEW;
}

bool plumb_jinja_hashable(jinja_value v)
{
    return hashable(v, 0);
}

plumb_status plumb_jinja_dict_find(jinja_eval *e, const jinja_dict *dict, jinja_value key, jinja_value **found)
{
    *found = NULL;
    PLUMB_TRY(plumb_jinja_spend(e, dict->count / 4 + 1));
    for (size_t i = 0; i < dict->count; i++) {
        bool equal = false;
        jinja_value other = dict->keys[i];
        if (key.kind == JINJA_STRING && other.kind == JINJA_STRING) {
            equal = key.as.string->size == other.as.string->size && order_strings(key.as.string, other.as.string) == 0;
        } else {
            PLUMB_TRY(plumb_jinja_equal(e, other, key, &equal));
        }
        if (!equal) continue;
        *found = &dict->values[i];
        break;
    }
    return PLUMB_OK;
}

/* Going through ------------------------------------------------------------------------------------------------ */

plumb_status plumb_jinja_iterate(jinja_eval *e, jinja_value v, jinja_cursor *out)
{
    *out = (jinja_cursor){.of = v};
    size_t length;
    if (v.kind == JINJA_ITERATOR || plumb_jinja_length(v, &length)) return PLUMB_OK;
    return plumb_jinja_error(e, "'%s' object is not iterable", plumb_jinja_type(v));
}

static plumb_status next_character(jinja_eval *e, jinja_cursor *cursor, jinja_value *item, bool *more)
{
    const jinja_string *s = cursor->of.as.string;
    size_t used;
    *more = cursor->at < s->size;
    if (!*more) return PLUMB_OK;
    plumb_jinja_decode(s->data + cursor->at, s->size - cursor->at, &used);
    cursor->at += used;
    return plumb_jinja_borrow(e, s->data + cursor->at - used, used, item);
}

static plumb_status view_item(jinja_eval *e, const jinja_view *view, size_t i, jinja_value *item)
{
    const jinja_dict *dict = view->dict;
    if (view->kind == JINJA_ITEMS) return plumb_jinja_pair(e, dict->keys[i], dict->values[i], item);
    *item = view->kind == JINJA_KEYS ? dict->keys[i] : dict->values[i];
    return PLUMB_OK;
}

plumb_status plumb_jinja_next(jinja_eval *e, jinja_cursor *cursor, jinja_value *item, bool *more)
{
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    jinja_value v = cursor->of;
    size_t length = 0;
    if (v.kind == JINJA_STRING) return next_character(e, cursor, item, more);
    if (v.kind == JINJA_ITERATOR) {
        *more = v.as.list->taken < v.as.list->count;
        if (*more) *item = v.as.list->items[v.as.list->taken++];
        return PLUMB_OK;
    }
    *more = plumb_jinja_length(v, &length) && cursor->at < length;
    if (!*more) return PLUMB_OK;
    size_t i = cursor->at++;
    if (v.kind == JINJA_RANGE)
        *item = plumb_jinja_int(v.as.range->start + (int64_t)i * v.as.range->step);
    else if (v.kind == JINJA_DICT)
        *item = v.as.dict->keys[i];
    else if (v.kind == JINJA_VIEW)
        return view_item(e, v.as.view, i, item);
    else
        *item = v.as.list->items[i];
    return PLUMB_OK;
}

plumb_status plumb_jinja_to_list(jinja_eval *e, jinja_value v, jinja_kind kind, jinja_value *out)
{
    jinja_cursor cursor;
    jinja_value item;
    bool more;
    size_t room = 0;
    PLUMB_TRY(plumb_jinja_iterate(e, v, &cursor));
    plumb_jinja_length(v, &room);
    PLUMB_TRY(plumb_jinja_make_list(e, kind, room, out));
    for (;;) {
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &item, &more));
        if (!more) return PLUMB_OK;
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, item));
    }
}

/* Stable merge sort of items by keys (parallel lists); `reverse` keeps equal items in their order, as Python does. */
plumb_status plumb_jinja_sort(jinja_eval *e, jinja_list *items, const jinja_list *keys, bool reverse)
{
    size_t n = items->count, *from = NULL, *to = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &from, n + 1, sizeof *from));
    PLUMB_TRY(plumb_jinja_new(e, &to, n + 1, sizeof *to));
    for (size_t i = 0; i < n; i++) from[i] = i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t low = 0; low < n; low += 2 * width) {
            size_t middle = low + width < n ? low + width : n, high = middle + width < n ? middle + width : n;
            size_t left = low, right = middle;
            for (size_t k = low; k < high; k++) {
                int order = 0;
                if (left < middle && right < high) {
                    PLUMB_TRY(plumb_jinja_order(e, "<", keys->items[from[right]], keys->items[from[left]], &order));
                }
                bool take_right = left >= middle || (right < high && (reverse ? order == 1 : order == -1));
                to[k] = take_right ? from[right++] : from[left++];
            }
        }
        size_t *swap = from;
        from = to;
        to = swap;
    }
    jinja_value *sorted = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &sorted, n + 1, sizeof *sorted));
    for (size_t i = 0; i < n; i++) sorted[i] = items->items[from[i]];
    items->items = sorted;
    items->capacity = n + 1;
    return PLUMB_OK;
}

plumb_status plumb_jinja_int_argument(jinja_eval *e, jinja_value v, int64_t fallback, int64_t *out)
{
    if (v.kind == JINJA_MISSING) {
        *out = fallback;
        return PLUMB_OK;
    }
    if (plumb_jinja_whole(v, out)) return PLUMB_OK;
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    return plumb_jinja_error(e, "'%s' object cannot be interpreted as an integer", plumb_jinja_type(v));
}
