/* Python's two ways to format text: "%s" % value and "{}".format(value), without the rarer options. */
#include <stdio.h>
#include <string.h>

#include "text/template_internal.h"

typedef struct percent_spec {
    bool left, sign, blank, zero, alternate;
    int width, precision; /* precision -1: not given */
    char type;
} percent_spec;

typedef struct percent_state {
    const jinja_string *format;
    size_t at;
    jinja_value values; /* a tuple, a mapping or one value */
    size_t taken;
} percent_state;

static bool more(const percent_state *p)
{
    return p->at < p->format->size;
}

static plumb_status next_value(jinja_eval *e, percent_state *p, jinja_value *out)
{
    bool is_tuple = p->values.kind == JINJA_TUPLE;
    size_t count = is_tuple ? p->values.as.list->count : 1;
    if (p->taken >= count) return plumb_jinja_error(e, "not enough arguments for format string");
    *out = is_tuple ? p->values.as.list->items[p->taken] : p->values;
    p->taken++;
    return PLUMB_OK;
}

static plumb_status number_or_star(jinja_eval *e, percent_state *p, int *out)
{
    enum { MOST = 100000 };
    int64_t number = 0;
    if (more(p) && p->format->data[p->at] == '*') {
        jinja_value v = plumb_jinja_none;
        p->at++;
        PLUMB_TRY(next_value(e, p, &v));
        if (!plumb_jinja_whole(v, &number)) return plumb_jinja_error(e, "* wants int");
    }
    while (more(p) && p->format->data[p->at] >= '0' && p->format->data[p->at] <= '9' && number <= MOST) {
        number = number * 10 + (p->format->data[p->at++] - '0');
    }
    if (number > MOST || number < 0) return plumb_jinja_error(e, "a format's width or precision is out of range");
    *out = (int)number;
    return PLUMB_OK;
}

/* What follows a %: flags, width, precision, a length that means nothing, and the type. */
static plumb_status read_spec(jinja_eval *e, percent_state *p, percent_spec *spec)
{
    *spec = (percent_spec){.precision = -1};
    for (bool flag = true; flag && more(p); p->at += flag) {
        char c = p->format->data[p->at];
        if (c == '-')
            spec->left = true;
        else if (c == '+')
            spec->sign = true;
        else if (c == ' ')
            spec->blank = true;
        else if (c == '0')
            spec->zero = true;
        else if (c == '#')
            spec->alternate = true;
        else
            flag = false;
    }
    PLUMB_TRY(number_or_star(e, p, &spec->width));
    if (more(p) && p->format->data[p->at] == '.') {
        p->at++;
        PLUMB_TRY(number_or_star(e, p, &spec->precision));
    }
    while (more(p) && p->format->data[p->at] && strchr("hlL", p->format->data[p->at])) p->at++;
    if (!more(p)) return plumb_jinja_error(e, "incomplete format");
    spec->type = p->format->data[p->at++];
    return PLUMB_OK;
}

/* Puts `text`, of which the first `sign` bytes stay before zeros, padded to the width. */
static plumb_status put_padded(jinja_eval *e, const percent_spec *spec, bool zero, const char *text, size_t n,
                               size_t sign)
{
    size_t count = plumb_jinja_count(text, n), room = (size_t)spec->width > count ? (size_t)spec->width - count : 0;
    bool zeros = zero && !spec->left;
    if (zeros) PLUMB_TRY(plumb_jinja_put(e, text, sign));
    for (size_t i = 0; i < room && !spec->left; i++) PLUMB_TRY(plumb_jinja_put(e, zeros ? "0" : " ", 1));
    PLUMB_TRY(zeros ? plumb_jinja_put(e, text + sign, n - sign) : plumb_jinja_put(e, text, n));
    for (size_t i = 0; i < room && spec->left; i++) PLUMB_TRY(plumb_jinja_put(e, " ", 1));
    return PLUMB_OK;
}

static const char *sign_text(const percent_spec *spec, bool negative)
{
    return negative ? "-" : spec->sign ? "+" : spec->blank ? " " : "";
}

static plumb_status put_int(jinja_eval *e, const percent_spec *spec, jinja_value v)
{
    char digits[32], text[64];
    int64_t whole = 0;
    bool decimal = strchr("diu", spec->type) != NULL;
    if (decimal && v.kind == JINJA_FLOAT && v.as.real > -9.2e18 && v.as.real < 9.2e18)
        whole = (int64_t)v.as.real;
    else if (!plumb_jinja_whole(v, &whole)) {
        return plumb_jinja_error(e, "%%%c format: a number is required, not %s", spec->type, plumb_jinja_type(v));
    }
    if (spec->precision > 20) return plumb_jinja_error(e, "a precision beyond 20 is not supported for integers");
    unsigned long long magnitude = whole < 0 ? -(unsigned long long)whole : (unsigned long long)whole;
    int least = spec->precision < 0 ? 1 : spec->precision;
    if (spec->type == 'x')
        snprintf(digits, sizeof digits, "%.*llx", least, magnitude);
    else if (spec->type == 'X')
        snprintf(digits, sizeof digits, "%.*llX", least, magnitude);
    else if (spec->type == 'o')
        snprintf(digits, sizeof digits, "%.*llo", least, magnitude);
    else
        snprintf(digits, sizeof digits, "%.*llu", least, magnitude);
    const char *prefix = !spec->alternate || decimal ? "" : spec->type == 'x' ? "0x" : spec->type == 'X' ? "0X" : "0o";
    int sign = snprintf(text, sizeof text, "%s%s", sign_text(spec, whole < 0), prefix);
    int n = sign + snprintf(text + sign, sizeof text - (size_t)sign, "%s", digits);
    return put_padded(e, spec, spec->zero, text, (size_t)n, (size_t)sign);
}

static plumb_status put_float(jinja_eval *e, const percent_spec *spec, jinja_value v)
{
    char form[16], text[512];
    if (!plumb_jinja_number(v)) return plumb_jinja_error(e, "must be real number, not %s", plumb_jinja_type(v));
    if (spec->precision > 100) return plumb_jinja_error(e, "a precision beyond 100 is not supported");
    snprintf(form, sizeof form, "%%%s%s.*%c", spec->alternate ? "#" : "",
             spec->sign    ? "+"
             : spec->blank ? " "
                           : "",
             spec->type);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* made of the flags and type that read_spec has let through */
    int n = snprintf(text, sizeof text, form, spec->precision < 0 ? 6 : spec->precision, plumb_jinja_real(v));
#pragma GCC diagnostic pop
    size_t sign = text[0] == '-' || text[0] == '+' || text[0] == ' ';
    return put_padded(e, spec, spec->zero, text, (size_t)n, sign);
}

static plumb_status put_text(jinja_eval *e, const percent_spec *spec, jinja_value v)
{
    jinja_value text = v;
    size_t start = e->text.size;
    if (spec->type == 's') {
        PLUMB_TRY(plumb_jinja_to_string(e, v, &text));
    } else {
        PLUMB_TRY(plumb_jinja_put_repr(e, v));
        PLUMB_TRY(plumb_jinja_take(e, start, &text));
    }
    const jinja_string *s = text.as.string;
    size_t n = spec->precision < 0 ? s->size : plumb_jinja_offset(s, (size_t)spec->precision);
    return put_padded(e, spec, false, s->data, n, 0);
}

static plumb_status put_character(jinja_eval *e, const percent_spec *spec, jinja_value v)
{
    char bytes[4];
    int64_t code = 0;
    if (v.kind == JINJA_STRING && v.as.string->count == 1)
        return put_padded(e, spec, false, v.as.string->data, v.as.string->size, 0);
    bool whole = plumb_jinja_whole(v, &code);
    if (!whole || code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
        return plumb_jinja_error(e, "%%c requires a character");
    }
    return put_padded(e, spec, false, bytes, (size_t)plumb_jinja_encode((uint32_t)code, bytes), 0);
}

static plumb_status put_one(jinja_eval *e, percent_state *p)
{
    percent_spec spec;
    jinja_value v;
    jinja_value key = plumb_jinja_missing;
    if (more(p) && p->format->data[p->at] == '(') {
        size_t start = ++p->at;
        while (more(p) && p->format->data[p->at] != ')') p->at++;
        if (!more(p)) return plumb_jinja_error(e, "incomplete format key");
        PLUMB_TRY(plumb_jinja_borrow(e, p->format->data + start, p->at++ - start, &key));
        if (p->values.kind != JINJA_DICT) return plumb_jinja_error(e, "format requires a mapping");
    }
    PLUMB_TRY(read_spec(e, p, &spec));
    if (spec.type == '%') return plumb_jinja_puts(e, "%");
    if (key.kind == JINJA_STRING) {
        jinja_value *found = NULL;
        PLUMB_TRY(plumb_jinja_dict_find(e, p->values.as.dict, key, &found));
        if (!found) return plumb_jinja_error(e, "the key of a format is missing");
        v = *found;
    } else {
        PLUMB_TRY(next_value(e, p, &v));
    }
    if (spec.type && strchr("diuxXo", spec.type)) return put_int(e, &spec, v);
    if (spec.type && strchr("eEfFgG", spec.type)) return put_float(e, &spec, v);
    if (spec.type == 's' || spec.type == 'r') return put_text(e, &spec, v);
    if (spec.type == 'c') return put_character(e, &spec, v);
    return plumb_jinja_error(e, "unsupported format character '%c'", spec.type);
}

plumb_status plumb_jinja_percent(jinja_eval *e, jinja_value format, jinja_value values, jinja_value *out)
{
    percent_state p = {.format = format.as.string, .values = values};
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_spend(e, p.format->size / 16));
    while (more(&p)) {
        const char *at = p.format->data + p.at, *sign = memchr(at, '%', p.format->size - p.at);
        size_t plain = sign ? (size_t)(sign - at) : p.format->size - p.at;
        PLUMB_TRY(plumb_jinja_put(e, at, plain));
        p.at += plain + (sign != NULL);
        if (sign) PLUMB_TRY(put_one(e, &p));
    }
    /* Python lets mappings, and whatever else has subscripts, go unused */
    bool may_remain = values.kind == JINJA_DICT || values.kind == JINJA_LIST || values.kind == JINJA_RANGE ||
                      values.kind == JINJA_UNDEFINED;
    size_t count = values.kind == JINJA_TUPLE ? values.as.list->count : 1;
    if (!may_remain && p.taken < count)
        return plumb_jinja_error(e, "not all arguments converted during string formatting");
    return plumb_jinja_take(e, start, out);
}

/* str.format --------------------------------------------------------------------------------------------------- */

typedef struct field_state {
    const jinja_arguments *arguments;
    int64_t next; /* the next automatic index; -1 once explicit ones are used */
} field_state;

/* The value of "name.attribute[key]": the first part names an argument. */
static plumb_status field_value(jinja_eval *e, field_state *f, const char *name, size_t n, jinja_value *out)
{
    size_t first = 0;
    int64_t index = 0;
    while (first < n && name[first] != '.' && name[first] != '[') first++;
    if (first < n) return plumb_jinja_error(e, "format(): attributes and subscripts in a field are not supported");
    jinja_string text = {name, n, plumb_jinja_count(name, n), false};
    bool over, number = n && strspn(name, "0123456789") >= n && plumb_jinja_read_int(&text, 10, &index, &over);
    if (n && !number) {
        jinja_value *found = NULL, key = {.kind = JINJA_STRING, .as.string = &text};
        PLUMB_TRY(plumb_jinja_dict_find(e, f->arguments->named, key, &found));
        if (!found) return plumb_jinja_error(e, "format(): no argument \"%.*s\"", (int)n, name);
        *out = *found;
        return PLUMB_OK;
    }
    if (n == 0 ? f->next < 0 : f->next > 0) return plumb_jinja_error(e, "format(): fields are partly numbered");
    if (n == 0)
        index = f->next++;
    else
        f->next = -1;
    if (index >= (int64_t)f->arguments->count) return plumb_jinja_error(e, "format(): too few arguments");
    *out = f->arguments->values[index];
    return PLUMB_OK;
}

/* The inside of {...}: name, then !r or !s. */
static plumb_status put_field(jinja_eval *e, field_state *f, const char *field, size_t n)
{
    jinja_value v;
    const char *mark = memchr(field, '!', n), *spec = memchr(field, ':', n);
    size_t name = mark ? (size_t)(mark - field) : spec ? (size_t)(spec - field) : n;
    if (spec && spec + 1 < field + n) return plumb_jinja_error(e, "format(): a format specification is not supported");
    PLUMB_TRY(field_value(e, f, field, name, &v));
    if (!mark) return plumb_jinja_put_string(e, v);
    size_t left = (size_t)(spec ? spec - mark : field + n - mark);
    if (left == 2 && mark[1] == 'r') return plumb_jinja_put_repr(e, v);
    if (left == 2 && mark[1] == 's') return plumb_jinja_put_string(e, v);
    return plumb_jinja_error(e, "format(): an unsupported conversion");
}

plumb_status plumb_jinja_format(jinja_eval *e, const jinja_string *format, const jinja_arguments *arguments,
                                jinja_value *out)
{
    field_state f = {arguments, 0};
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_spend(e, format->size / 16));
    for (size_t at = 0; at < format->size;) {
        char c = format->data[at], next = (char)(at + 1 < format->size ? format->data[at + 1] : 0);
        if (c != '{' && c != '}') {
            PLUMB_TRY(plumb_jinja_put(e, &c, 1));
            at++;
        } else if (next == c) {
            PLUMB_TRY(plumb_jinja_put(e, &c, 1));
            at += 2;
        } else {
            const char *field = format->data + at + 1, *end = memchr(field, '}', format->size - at - 1);
            if (c == '}' || !end) return plumb_jinja_error(e, "format(): a single '%c' in the format string", c);
            if (memchr(field, '{', (size_t)(end - field)))
                return plumb_jinja_error(e, "format(): nested fields are not supported");
            PLUMB_TRY(put_field(e, &f, field, (size_t)(end - field)));
            at = (size_t)(end - format->data) + 1;
        }
    }
    return plumb_jinja_take(e, start, out);
}
