/* Operators and subscripts with Python's meaning. */
#include <math.h>
#include <string.h>

#include "text/template_internal.h"

static const char *operator_text(int op, char text[3])
{
    text[0] = (char)(op % 256);
    text[1] = (char)(op / 256);
    text[2] = 0;
    return text;
}

static plumb_status overflow(jinja_eval *e)
{
    return plumb_jinja_error(e, "an integer beyond 64 bits is not supported");
}

static plumb_status int_division(jinja_eval *e, int op, int64_t a, int64_t b, jinja_value *out)
{
    if (b == 0) return plumb_jinja_error(e, op == '%' ? "integer modulo by zero" : "division by zero");
    if (a == INT64_MIN && b == -1) return overflow(e);
    int64_t quotient = a / b, rest = a % b;
    if (rest && (rest < 0) != (b < 0)) { /* towards minus infinity */
        quotient--;
        rest += b;
    }
    *out = op == '/' ? plumb_jinja_float((double)a / (double)b) : plumb_jinja_int(op == '%' ? rest : quotient);
    return PLUMB_OK;
}

static plumb_status int_power(jinja_eval *e, int64_t a, int64_t b, jinja_value *out)
{
    int64_t power = 1, square = a;
    if (b < 0) {
        if (a == 0) return plumb_jinja_error(e, "0 cannot be raised to a negative power");
        *out = plumb_jinja_float(pow((double)a, (double)b));
        return PLUMB_OK;
    }
    for (; b > 0; b >>= 1) {
        if (b & 1 && __builtin_mul_overflow(power, square, &power)) return overflow(e);
        if (b > 1 && __builtin_mul_overflow(square, square, &square)) return overflow(e);
    }
    *out = plumb_jinja_int(power);
    return PLUMB_OK;
}

static plumb_status int_arithmetic(jinja_eval *e, int op, int64_t a, int64_t b, jinja_value *out)
{
    int64_t result = 0;
    bool over = false;
    switch (op) {
    case '+':
        over = __builtin_add_overflow(a, b, &result);
        break;
    case '-':
        over = __builtin_sub_overflow(a, b, &result);
        break;
    case '*':
        over = __builtin_mul_overflow(a, b, &result);
        break;
    case OPERATOR('*', '*'):
        return int_power(e, a, b, out);
    default:
        return int_division(e, op, a, b, out);
    }
    if (over) return overflow(e);
    *out = plumb_jinja_int(result);
    return PLUMB_OK;
}

/* Python's float // and %: the remainder has the sign of b, and the quotient fits it. */
static void float_division(double a, double b, double *quotient, double *rest)
{
    double r = fmod(a, b), q = (a - r) / b;
    if (r != 0 && (b < 0) != (r < 0)) {
        r += b;
        q -= 1;
    } else if (r == 0) {
        r = copysign(0, b);
    }
    double whole = q != 0 ? floor(q) : copysign(0, a / b);
    if (q != 0 && q - whole > 0.5) whole += 1;
    *quotient = whole;
    *rest = r;
}

static plumb_status float_arithmetic(jinja_eval *e, int op, double a, double b, jinja_value *out)
{
    double quotient = 0, rest = 0;
    bool divides = op == '/' || op == '%' || op == OPERATOR('/', '/');
    if (divides && b == 0) return plumb_jinja_error(e, op == '%' ? "float modulo" : "float division by zero");
    if (divides && op != '/') float_division(a, b, &quotient, &rest);
    switch (op) {
    case '+':
        *out = plumb_jinja_float(a + b);
        break;
    case '-':
        *out = plumb_jinja_float(a - b);
        break;
    case '*':
        *out = plumb_jinja_float(a * b);
        break;
    case '/':
        *out = plumb_jinja_float(a / b);
        break;
    case '%':
        *out = plumb_jinja_float(rest);
        break;
    case OPERATOR('/', '/'):
        *out = plumb_jinja_float(quotient);
        break;
    default:
        if (a == 0 && b < 0) return plumb_jinja_error(e, "0.0 cannot be raised to a negative power");
        if (a < 0 && isfinite(b) && b != floor(b)) return plumb_jinja_error(e, "complex numbers are not supported");
        *out = plumb_jinja_float(pow(a, b));
        if (isinf(out->as.real) && isfinite(a) && isfinite(b))
            return plumb_jinja_error(e, "numerical result out of range");
    }
    return PLUMB_OK;
}

/* Markup escapes text that is added to it; that is supported where nothing needs escaping. */
static plumb_status check_safe(jinja_eval *e, const jinja_string *a, const jinja_string *b)
{
    const jinja_string *other = a->safe ? b : a;
    if (a->safe == b->safe) return PLUMB_OK;
    for (size_t i = 0; i < other->size; i++) {
        if (other->data[i] && strchr("&<>'\"", other->data[i])) {
            return plumb_jinja_error(
                e, "adding to text marked by the filter \"safe\" would escape HTML, which is not supported");
        }
    }
    return PLUMB_OK;
}

static plumb_status join_strings(jinja_eval *e, const jinja_string *a, const jinja_string *b, jinja_value *out)
{
    PLUMB_TRY(check_safe(e, a, b));
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_put(e, a->data, a->size));
    PLUMB_TRY(plumb_jinja_put(e, b->data, b->size));
    PLUMB_TRY(plumb_jinja_take(e, start, out));
    return a->safe || b->safe ? plumb_jinja_mark_safe(e, out) : PLUMB_OK;
}

static plumb_status join_lists(jinja_eval *e, jinja_value a, jinja_value b, jinja_value *out)
{
    const jinja_list *x = a.as.list, *y = b.as.list;
    PLUMB_TRY(plumb_jinja_make_list(e, a.kind, x->count + y->count, out));
    for (size_t i = 0; i < x->count; i++) PLUMB_TRY(plumb_jinja_push(e, out->as.list, x->items[i]));
    for (size_t i = 0; i < y->count; i++) PLUMB_TRY(plumb_jinja_push(e, out->as.list, y->items[i]));
    return PLUMB_OK;
}

static plumb_status repeat(jinja_eval *e, jinja_value v, int64_t times, jinja_value *out)
{
    if (times < 0) times = 0;
    if (v.kind == JINJA_STRING) {
        const jinja_string *s = v.as.string;
        if (s->size && (uint64_t)times > JINJA_MAX_TEXT / s->size) {
            return plumb_jinja_error(e, "a string of more than %d MiB", JINJA_MAX_TEXT >> 20);
        }
        size_t start = e->text.size;
        for (int64_t i = 0; i < times && s->size; i++) PLUMB_TRY(plumb_jinja_put(e, s->data, s->size));
        PLUMB_TRY(plumb_jinja_take(e, start, out));
        return s->safe ? plumb_jinja_mark_safe(e, out) : PLUMB_OK;
    }
    const jinja_list *list = v.as.list;
    if (list->count && (uint64_t)times > JINJA_MAX_MEMORY / sizeof v / list->count) {
        return plumb_jinja_error(e, "a list of more than %zu items", JINJA_MAX_MEMORY / sizeof v);
    }
    PLUMB_TRY(plumb_jinja_make_list(e, v.kind, list->count * (size_t)times, out));
    for (int64_t i = 0; i < times && list->count; i++) {
        for (size_t k = 0; k < list->count; k++) PLUMB_TRY(plumb_jinja_push(e, out->as.list, list->items[k]));
    }
    return PLUMB_OK;
}

static bool repeatable(jinja_value v)
{
    return v.kind == JINJA_STRING || v.kind == JINJA_LIST || v.kind == JINJA_TUPLE;
}

static plumb_status type_error(jinja_eval *e, int op, jinja_value a, jinja_value b)
{
    char text[3];
    operator_text(op, text);
    if (op == '+' && (a.kind == JINJA_STRING || a.kind == JINJA_LIST || a.kind == JINJA_TUPLE)) {
        return plumb_jinja_error(e, "can only concatenate %s (not \"%s\") to %s", plumb_jinja_type(a),
                                 plumb_jinja_type(b), plumb_jinja_type(a));
    }
    return plumb_jinja_error(e, "unsupported operand type(s) for %s: '%s' and '%s'", text, plumb_jinja_type(a),
                             plumb_jinja_type(b));
}

plumb_status plumb_jinja_binary(jinja_eval *e, int op, jinja_value a, jinja_value b, jinja_value *out)
{
    int64_t x = 0, y = 0;
    if (op == '%' && a.kind == JINJA_STRING && a.as.string->safe) {
        return plumb_jinja_error(e, "%% of text marked by the filter \"safe\" is not supported");
    }
    if (op == '%' && a.kind == JINJA_STRING) return plumb_jinja_percent(e, a, b, out);
    if (a.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, a);
    if (b.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, b);
    bool whole_a = plumb_jinja_whole(a, &x), whole_b = plumb_jinja_whole(b, &y);
    if (whole_a && whole_b) return int_arithmetic(e, op, x, y, out);
    if (plumb_jinja_number(a) && plumb_jinja_number(b)) {
        return float_arithmetic(e, op, plumb_jinja_real(a), plumb_jinja_real(b), out);
    }
    if (op == '+' && a.kind == b.kind) {
        if (a.kind == JINJA_STRING) return join_strings(e, a.as.string, b.as.string, out);
        if (a.kind == JINJA_LIST || a.kind == JINJA_TUPLE) return join_lists(e, a, b, out);
    }
    if (op == '*' && repeatable(a) && whole_b) return repeat(e, a, y, out);
    if (op == '*' && repeatable(b) && whole_a) return repeat(e, b, x, out);
    return type_error(e, op, a, b);
}

/* Comparing ---------------------------------------------------------------------------------------------------- */

plumb_status plumb_jinja_contains(jinja_eval *e, jinja_value item, jinja_value in, bool *out)
{
    *out = false;
    if (in.kind == JINJA_STRING) {
        if (item.kind != JINJA_STRING) {
            return plumb_jinja_error(e, "'in <string>' requires string as left operand, not %s",
                                     plumb_jinja_type(item));
        }
        const jinja_string *needle = item.as.string, *s = in.as.string;
        PLUMB_TRY(plumb_jinja_spend(e, s->size / 64));
        *out = memmem(s->data, s->size, needle->data, needle->size) != NULL;
        return PLUMB_OK;
    }
    if (in.kind == JINJA_DICT) {
        jinja_value *found = NULL;
        if (!plumb_jinja_hashable(item)) return plumb_jinja_error(e, "unhashable type: '%s'", plumb_jinja_type(item));
        PLUMB_TRY(plumb_jinja_dict_find(e, in.as.dict, item, &found));
        *out = found != NULL;
        return PLUMB_OK;
    }
    jinja_cursor cursor;
    size_t length;
    if (in.kind != JINJA_ITERATOR && !plumb_jinja_length(in, &length)) {
        return plumb_jinja_error(e, "argument of type '%s' is not iterable", plumb_jinja_type(in));
    }
    PLUMB_TRY(plumb_jinja_iterate(e, in, &cursor));
    for (bool more = true; more && !*out;) {
        jinja_value other;
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &other, &more));
        if (more) PLUMB_TRY(plumb_jinja_equal(e, other, item, out));
    }
    return PLUMB_OK;
}

plumb_status plumb_jinja_compare(jinja_eval *e, int op, jinja_value a, jinja_value b, bool *out)
{
    int order = 0;
    char text[3];
    switch (op) {
    case OPERATOR_IN:
        return plumb_jinja_contains(e, a, b, out);
    case OPERATOR_NOT_IN:
        PLUMB_TRY(plumb_jinja_contains(e, a, b, out));
        *out = !*out;
        return PLUMB_OK;
    case OPERATOR('=', '='):
        return plumb_jinja_equal(e, a, b, out);
    case OPERATOR('!', '='):
        PLUMB_TRY(plumb_jinja_equal(e, a, b, out));
        *out = !*out;
        return PLUMB_OK;
    default:
        break;
    }
    PLUMB_TRY(plumb_jinja_order(e, operator_text(op, text), a, b, &order));
    bool equal_counts = op > 256 && order == 0;
    *out = equal_counts || order == (op % 256 == '<' ? -1 : 1);
    return PLUMB_OK;
}

/* Subscripts --------------------------------------------------------------------------------------------------- */

static plumb_status bound(jinja_eval *e, jinja_value v, int64_t fallback, int64_t *out)
{
    if (v.kind == JINJA_NONE || v.kind == JINJA_MISSING) {
        *out = fallback;
        return PLUMB_OK;
    }
    if (plumb_jinja_whole(v, out)) return PLUMB_OK;
    return plumb_jinja_error(e, "slice indices must be integers or None");
}

typedef struct cut {
    int64_t start, stop, step, count;
} cut;

/* Python's rules: negative bounds count from the end, and all are clipped into the sequence. */
static plumb_status clip(jinja_eval *e, const jinja_value bounds[3], int64_t n, cut *c)
{
    PLUMB_TRY(bound(e, bounds[2], 1, &c->step));
    if (c->step == 0) return plumb_jinja_error(e, "slice step cannot be zero");
    bool back = c->step < 0;
    int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    int64_t *ends[2] = {&c->start, &c->stop};
    for (int i = 0; i < 2; i++) {
        bool given = bounds[i].kind != JINJA_NONE && bounds[i].kind != JINJA_MISSING;
        PLUMB_TRY(bound(e, bounds[i], (i == 0) == back ? high : low, ends[i]));
        if (given && *ends[i] < 0) *ends[i] = *ends[i] < -n ? low : *ends[i] + n;
        if (given && *ends[i] < low) *ends[i] = low;
        if (*ends[i] > high) *ends[i] = high;
    }
    int64_t span = back ? c->start - c->stop : c->stop - c->start;
    uint64_t stride = back ? -(uint64_t)c->step : (uint64_t)c->step;
    c->count = span > 0 ? (int64_t)(((uint64_t)span - 1) / stride) + 1 : 0;
    return PLUMB_OK;
}

static plumb_status slice_string(jinja_eval *e, const jinja_string *s, const cut *c, jinja_value *out)
{
    if (c->count == 0) return plumb_jinja_borrow(e, "", 0, out);
    if (c->step == 1) {
        size_t from = plumb_jinja_offset(s, (size_t)c->start);
        jinja_string rest = {s->data + from, s->size - from, s->count - (size_t)c->start, false};
        PLUMB_TRY(plumb_jinja_spend(e, from / 64));
        return plumb_jinja_borrow(e, rest.data, plumb_jinja_offset(&rest, (size_t)c->count), out);
    }
    /* offsets of all characters, so that a step over UTF-8 is not quadratic */
    size_t *offsets = NULL, i = 0, mark = e->text.size;
    PLUMB_TRY(plumb_jinja_spend(e, s->count));
    PLUMB_TRY(plumb_jinja_new(e, &offsets, s->count + 1, sizeof *offsets));
    for (size_t at = 0; at < s->size; at++) {
        if (((unsigned char)s->data[at] & 0xc0) != 0x80) offsets[i++] = at;
    }
    offsets[i] = s->size;
    for (int64_t k = 0; k < c->count; k++) {
        size_t at = (size_t)(c->start + k * c->step);
        PLUMB_TRY(plumb_jinja_put(e, s->data + offsets[at], offsets[at + 1] - offsets[at]));
    }
    return plumb_jinja_take(e, mark, out);
}

/* start + i * step, which wraps where only the printed form of an empty range would show it */
static int64_t range_item(const jinja_range *range, int64_t i)
{
    return (int64_t)((uint64_t)range->start + (uint64_t)i * (uint64_t)range->step);
}

static plumb_status slice_range(jinja_eval *e, const jinja_range *range, const cut *c, jinja_value *out)
{
    jinja_range *part = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &part, 1, sizeof *part));
    part->count = (size_t)c->count;
    part->start = range_item(range, c->start);
    part->stop = range_item(range, c->stop);
    part->step = (int64_t)((uint64_t)range->step * (uint64_t)c->step);
    *out = (jinja_value){.kind = JINJA_RANGE, .as.range = part};
    return PLUMB_OK;
}

plumb_status plumb_jinja_slice(jinja_eval *e, jinja_value v, const jinja_value bounds[3], jinja_value *out)
{
    cut c;
    size_t length;
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    bool sliced = repeatable(v) || v.kind == JINJA_RANGE;
    if (!sliced || !plumb_jinja_length(v, &length)) {
        return plumb_jinja_error(e, "'%s' object cannot be sliced", plumb_jinja_type(v));
    }
    PLUMB_TRY(clip(e, bounds, (int64_t)length, &c));
    if (v.kind == JINJA_STRING) {
        PLUMB_TRY(slice_string(e, v.as.string, &c, out));
        return v.as.string->safe ? plumb_jinja_mark_safe(e, out) : PLUMB_OK;
    }
    if (v.kind == JINJA_RANGE) return slice_range(e, v.as.range, &c, out);
    PLUMB_TRY(plumb_jinja_make_list(e, v.kind, (size_t)c.count, out));
    for (int64_t k = 0; k < c.count; k++) {
        PLUMB_TRY(plumb_jinja_push(e, out->as.list, v.as.list->items[c.start + k * c.step]));
    }
    return PLUMB_OK;
}

/* v[index] of a sequence; *found is false past its ends. */
static plumb_status element(jinja_eval *e, jinja_value v, int64_t index, jinja_value *out, bool *found)
{
    size_t length;
    *found = false;
    if (!(repeatable(v) || v.kind == JINJA_RANGE) || !plumb_jinja_length(v, &length)) return PLUMB_OK;
    if (index < 0) index += (int64_t)length;
    if (index < 0 || index >= (int64_t)length) return PLUMB_OK;
    *found = true;
    if (v.kind == JINJA_RANGE) {
        *out = plumb_jinja_int(range_item(v.as.range, index));
        return PLUMB_OK;
    }
    if (v.kind == JINJA_STRING) return slice_string(e, v.as.string, &(cut){index, index + 1, 1, 1}, out);
    *out = v.as.list->items[index];
    return PLUMB_OK;
}

/* An attribute of Python's object: a method, or what namespaces and loops hold. */
static plumb_status own_attribute(jinja_eval *e, jinja_value v, const jinja_string *name, jinja_value *out, bool *found)
{
    bool unsafe = false;
    *found = false;
    if (v.kind == JINJA_NAMESPACE) {
        jinja_value *item = NULL, key = {.kind = JINJA_STRING, .as.string = name};
        PLUMB_TRY(plumb_jinja_dict_find(e, v.as.dict, key, &item));
        *found = item != NULL;
        if (item) *out = *item;
        return PLUMB_OK;
    }
    if (v.kind == JINJA_LOOP) {
        PLUMB_TRY(plumb_jinja_loop_attribute(e, v.as.loop, name, out));
        *found = out->kind != JINJA_MISSING;
        return PLUMB_OK;
    }
    const jinja_row *row = plumb_jinja_method(v, name, &unsafe);
    *found = row || unsafe;
    if (unsafe) {
        jinja_value key = {.kind = JINJA_STRING, .as.string = name};
        PLUMB_TRY(plumb_jinja_undefined(e, v, key, out));
        ((jinja_undefined *)out->as.undefined)->unsafe = true; /* just made here */
    } else if (row && !row->call) {
        return plumb_jinja_error(e, "the method %s.%s() is not supported", plumb_jinja_type(v), row->name);
    } else if (row) {
        jinja_method *method = NULL;
        PLUMB_TRY(plumb_jinja_new(e, &method, 1, sizeof *method));
        *method = (jinja_method){v, row};
        *out = (jinja_value){.kind = JINJA_METHOD, .as.method = method};
    }
    return PLUMB_OK;
}

static plumb_status dict_item(jinja_eval *e, const jinja_dict *dict, jinja_value key, jinja_value *out, bool *found)
{
    jinja_value *item = NULL;
    *found = false;
    if (!plumb_jinja_hashable(key)) return PLUMB_OK;
    PLUMB_TRY(plumb_jinja_dict_find(e, dict, key, &item));
    *found = item != NULL;
    if (item) *out = *item;
    return PLUMB_OK;
}

/* v[key]: the item, else the attribute of that name, else undefined. */
plumb_status plumb_jinja_item(jinja_eval *e, jinja_value v, jinja_value key, jinja_value *out)
{
    int64_t index = 0;
    bool found = false;
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    if (v.kind == JINJA_DICT)
        PLUMB_TRY(dict_item(e, v.as.dict, key, out, &found));
    else if (plumb_jinja_whole(key, &index))
        PLUMB_TRY(element(e, v, index, out, &found));
    if (!found && key.kind == JINJA_STRING) PLUMB_TRY(own_attribute(e, v, key.as.string, out, &found));
    return found ? PLUMB_OK : plumb_jinja_undefined(e, v, key, out);
}

/* v.name: the attribute, else the item of that name, else undefined. */
plumb_status plumb_jinja_attribute(jinja_eval *e, jinja_value v, const jinja_string *name, jinja_value *out)
{
    bool found = false;
    jinja_value key = {.kind = JINJA_STRING, .as.string = name};
    if (v.kind == JINJA_UNDEFINED) return plumb_jinja_undefined_error(e, v);
    PLUMB_TRY(own_attribute(e, v, name, out, &found));
    if (!found && v.kind == JINJA_DICT) PLUMB_TRY(dict_item(e, v.as.dict, key, out, &found));
    return found ? PLUMB_OK : plumb_jinja_undefined(e, v, key, out);
}
