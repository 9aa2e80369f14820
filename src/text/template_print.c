/* Values as text: Python's str() and repr(), JSON, and numbers both ways. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_internal.h"

plumb_status plumb_jinja_put(jinja_eval *e, const char *bytes, size_t n)
{
    if (n > JINJA_MAX_TEXT || e->text.size > JINJA_MAX_TEXT - n) {
        return plumb_jinja_error(e, "the template writes more than %d MiB", JINJA_MAX_TEXT >> 20);
    }
    PLUMB_TRY(plumb_jinja_spend(e, n / 64));
    return plumb_text_append(&e->text, bytes, n);
}

plumb_status plumb_jinja_puts(jinja_eval *e, const char *string)
{
    return plumb_jinja_put(e, string, strlen(string));
}

plumb_status plumb_jinja_put_code(jinja_eval *e, uint32_t code)
{
    char bytes[4];
    return plumb_jinja_put(e, bytes, (size_t)plumb_jinja_encode(code, bytes));
}

plumb_status plumb_jinja_take(jinja_eval *e, size_t start, jinja_value *out)
{
    size_t n = e->text.size - start;
    PLUMB_TRY(plumb_jinja_string(e, n ? e->text.data + start : "", n, out));
    e->text.size = start;
    return PLUMB_OK;
}

/* The shortest decimal that reads back as the same number, laid out as Python does: 1.0, 1e+16, 1e-05. */
void plumb_jinja_format_float(double value, char text[40])
{
    char digits[40];
    if (isnan(value) || isinf(value)) {
        snprintf(text, 40, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    int precision = 0;
    do snprintf(digits, sizeof digits, "%.*e", precision, value);
    while (strtod(digits, NULL) != value && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        snprintf(text, 40, "%s", digits); /* both write at least two digits of exponent */
    } else {
        int decimals = precision - exponent;
        snprintf(text, 40, "%.*f", decimals > 1 ? decimals : 1, value);
    }
}

/* Drops white space at both ends and underscores between digits; false where Python would refuse the text. */
static bool number_text(const jinja_string *s, char *out, size_t size)
{
    size_t from, to, n = 0;
    plumb_jinja_strip(s, NULL, true, true, &from, &to);
    for (size_t i = from; i < to; i++) {
        char c = s->data[i];
        if (c == '_') {
            if (i == from || i + 1 == to || !isalnum((unsigned char)s->data[i - 1]) ||
                !isalnum((unsigned char)s->data[i + 1])) {
                return false;
            }
            continue;
        }
        if (!c || n + 1 >= size) return false;
        out[n++] = c;
    }
    out[n] = 0;
    return n > 0;
}

bool plumb_jinja_read_int(const jinja_string *s, int base, int64_t *out, bool *overflow)
{
    char text[256], *end;
    *overflow = false;
    if (!number_text(s, text, sizeof text)) return false;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    if (!isalnum((unsigned char)digits[0])) return false;
    char letter = (char)(digits[0] == '0' ? tolower((unsigned char)digits[1]) : 0);
    int prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
    if (prefix && (base == 0 || base == prefix)) {
        base = prefix;
        if (!isalnum((unsigned char)digits[2])) return false;
        memmove(text + (digits - text), digits + 2, strlen(digits + 2) + 1);
    } else if (base == 0) {
        if (digits[0] == '0' && strspn(digits, "0") != strlen(digits)) return false;
        base = 10;
    }
    if (base == 16 && tolower((unsigned char)digits[1]) == 'x') return false; /* strtoll would skip a second prefix */
    errno = 0;
    *out = strtoll(text, &end, base);
    *overflow = errno == ERANGE;
    return end != text && !*end;
}

bool plumb_jinja_read_float(const jinja_string *s, double *out)
{
    char text[512], *end;
    if (!number_text(s, text, sizeof text)) return false;
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    bool named = !strcasecmp(digits, "inf") || !strcasecmp(digits, "infinity") || !strcasecmp(digits, "nan");
    if (!named && strspn(digits, "0123456789.eE+-") != strlen(digits)) return false;
    *out = strtod(text, &end);
    return end != text && !*end;
}

static plumb_status put_quoted(jinja_eval *e, const jinja_string *s)
{
    bool single = memchr(s->data, '\'', s->size) != NULL, twofold = memchr(s->data, '"', s->size) != NULL;
    char quote = single && !twofold ? '"' : '\'', text[16];
    size_t used;
    PLUMB_TRY(plumb_jinja_put(e, &quote, 1));
    for (size_t at = 0; at < s->size; at += used) {
        uint32_t code = plumb_jinja_decode(s->data + at, s->size - at, &used);
        if (code == '\\' || code == (uint32_t)quote)
            snprintf(text, sizeof text, "\\%c", (int)code);
        else if (code == '\n')
            snprintf(text, sizeof text, "\\n");
        else if (code == '\r')
            snprintf(text, sizeof text, "\\r");
        else if (code == '\t')
            snprintf(text, sizeof text, "\\t");
        else if (plumb_jinja_printable(code))
            text[0] = 0;
        else
            snprintf(text, sizeof text, code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
        PLUMB_TRY(text[0] ? plumb_jinja_puts(e, text) : plumb_jinja_put(e, s->data + at, used));
    }
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    return plumb_jinja_put(e, &quote, 1);
}

static plumb_status put_sequence(jinja_eval *e, jinja_value v)
{
    jinja_cursor cursor;
    jinja_value item;
    bool more, is_tuple = v.kind == JINJA_TUPLE;
    size_t count = 0;
    PLUMB_TRY(plumb_jinja_puts(e, is_tuple ? "(" : "["));
    PLUMB_TRY(plumb_jinja_iterate(e, v, &cursor));
    for (;; count++) {
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &item, &more));
        if (!more) break;
        if (count) PLUMB_TRY(plumb_jinja_puts(e, ", "));
        PLUMB_TRY(plumb_jinja_put_repr(e, item));
    }
    if (is_tuple && count == 1) PLUMB_TRY(plumb_jinja_puts(e, ","));
    return plumb_jinja_puts(e, is_tuple ? ")" : "]");
}

static plumb_status put_dict(jinja_eval *e, const jinja_dict *dict)
{
    PLUMB_TRY(plumb_jinja_puts(e, "{"));
    for (size_t i = 0; i < dict->count; i++) {
        if (i) PLUMB_TRY(plumb_jinja_puts(e, ", "));
        PLUMB_TRY(plumb_jinja_put_repr(e, dict->keys[i]));
        PLUMB_TRY(plumb_jinja_puts(e, ": "));
        PLUMB_TRY(plumb_jinja_put_repr(e, dict->values[i]));
    }
    return plumb_jinja_puts(e, "}");
}

static plumb_status put_range(jinja_eval *e, const jinja_range *range)
{
    char text[80];
    int n = snprintf(text, sizeof text, "range(%lld, %lld", (long long)range->start, (long long)range->stop);
    if (range->step != 1) n += snprintf(text + n, sizeof text - (size_t)n, ", %lld", (long long)range->step);
    PLUMB_TRY(plumb_jinja_put(e, text, (size_t)n));
    return plumb_jinja_puts(e, ")");
}

static plumb_status put_between(jinja_eval *e, const char *before, jinja_value v, const char *after)
{
    PLUMB_TRY(plumb_jinja_puts(e, before));
    PLUMB_TRY(plumb_jinja_put_repr(e, v));
    return plumb_jinja_puts(e, after);
}

static plumb_status put_view(jinja_eval *e, jinja_value v)
{
    PLUMB_TRY(plumb_jinja_puts(e, plumb_jinja_type(v)));
    PLUMB_TRY(plumb_jinja_puts(e, "("));
    PLUMB_TRY(put_sequence(e, v));
    return plumb_jinja_puts(e, ")");
}

static plumb_status put_kind(jinja_eval *e, jinja_value v)
{
    char text[40];
    switch (v.kind) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
        return plumb_jinja_puts(e, "Undefined");
    case JINJA_NONE:
        return plumb_jinja_puts(e, "None");
    case JINJA_BOOL:
        return plumb_jinja_puts(e, v.as.truth ? "True" : "False");
    case JINJA_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.as.integer);
        return plumb_jinja_puts(e, text);
    case JINJA_FLOAT:
        plumb_jinja_format_float(v.as.real, text);
        return plumb_jinja_puts(e, text);
    case JINJA_STRING:
        if (!v.as.string->safe) return put_quoted(e, v.as.string);
        PLUMB_TRY(plumb_jinja_puts(e, "Markup("));
        PLUMB_TRY(put_quoted(e, v.as.string));
        return plumb_jinja_puts(e, ")");
    case JINJA_LIST:
    case JINJA_TUPLE:
        return put_sequence(e, v);
    case JINJA_RANGE:
        return put_range(e, v.as.range);
    case JINJA_DICT:
        return put_dict(e, v.as.dict);
    case JINJA_VIEW:
        return put_view(e, v);
    case JINJA_NAMESPACE:
        return put_between(e, "<Namespace ", (jinja_value){.kind = JINJA_DICT, .as.dict = v.as.dict}, ">");
    case JINJA_MACRO:
        return put_between(e, "<Macro ", (jinja_value){.kind = JINJA_STRING, .as.string = v.as.macro->node->text}, ">");
    default: /* Python prints an address here, which nobody can want */
        return plumb_jinja_error(e, "a value of type %s cannot be printed", plumb_jinja_type(v));
    }
}

plumb_status plumb_jinja_put_repr(jinja_eval *e, jinja_value v)
{
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    if (++e->depth > JINJA_MAX_DEPTH) return plumb_jinja_error(e, "a value is nested too deeply to be printed");
    PLUMB_TRY(put_kind(e, v));
    e->depth--;
    return PLUMB_OK;
}

plumb_status plumb_jinja_put_string(jinja_eval *e, jinja_value v)
{
    if (v.kind == JINJA_UNDEFINED) return PLUMB_OK;
    if (v.kind == JINJA_STRING) return plumb_jinja_put(e, v.as.string->data, v.as.string->size);
    return plumb_jinja_put_repr(e, v);
}

plumb_status plumb_jinja_to_string(jinja_eval *e, jinja_value v, jinja_value *out)
{
    if (v.kind == JINJA_STRING) {
        *out = v;
        return PLUMB_OK;
    }
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_put_string(e, v));
    return plumb_jinja_take(e, start, out);
}

/* JSON, as json.dumps ------------------------------------------------------------------------------------------ */

typedef struct json_style {
    bool ascii, sorted, indented;
    jinja_value indent, item_separator, key_separator; /* strings */
    int level;
} json_style;

static plumb_status json_escape(jinja_eval *e, uint32_t code)
{
    char text[16];
    const char *plain = code < 0x80 ? strchr("\"\"\\\\\nn\rr\tt\bb\ff", (int)code) : NULL;
    if (code && plain)
        snprintf(text, sizeof text, "\\%c", plain[1]);
    else if (code < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", code);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((code - 0x10000) >> 10),
                 0xdc00 + ((code - 0x10000) & 0x3ff));
    return plumb_jinja_puts(e, text);
}

static plumb_status json_string_literal(jinja_eval *e, const json_style *style, const jinja_string *s)
{
    size_t used, plain = 0;
    PLUMB_TRY(plumb_jinja_puts(e, "\""));
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size; at += used) {
        uint32_t code = plumb_jinja_decode(s->data + at, s->size - at, &used);
        if (code >= 0x20 && code != '"' && code != '\\' && (code < 0x7f || !style->ascii || code == 0x7f)) continue;
        PLUMB_TRY(plumb_jinja_put(e, s->data + plain, at - plain));
        PLUMB_TRY(json_escape(e, code));
        plain = at + used;
    }
    PLUMB_TRY(plumb_jinja_put(e, s->data + plain, s->size - plain));
    return plumb_jinja_puts(e, "\"");
}

static plumb_status json_value(jinja_eval *e, json_style *style, jinja_value v);

static plumb_status json_break(jinja_eval *e, const json_style *style)
{
    if (!style->indented) return PLUMB_OK;
    PLUMB_TRY(plumb_jinja_puts(e, "\n"));
    for (int i = 0; i < style->level; i++) PLUMB_TRY(plumb_jinja_put_string(e, style->indent));
    return PLUMB_OK;
}

static plumb_status json_scalar(jinja_eval *e, jinja_value v)
{
    char text[40];
    switch (v.kind) {
    case JINJA_NONE:
        return plumb_jinja_puts(e, "null");
    case JINJA_BOOL:
        return plumb_jinja_puts(e, v.as.truth ? "true" : "false");
    case JINJA_INT:
        return plumb_jinja_put_repr(e, v);
    case JINJA_FLOAT:
        plumb_jinja_format_float(v.as.real, text);
        if (isnan(v.as.real)) return plumb_jinja_puts(e, "NaN");
        return plumb_jinja_puts(e, isinf(v.as.real) ? v.as.real < 0 ? "-Infinity" : "Infinity" : text);
    default:
        return plumb_jinja_error(e, "Object of type %s is not JSON serializable", plumb_jinja_type(v));
    }
}

static plumb_status json_key(jinja_eval *e, const json_style *style, jinja_value key)
{
    if (key.kind == JINJA_STRING) return json_string_literal(e, style, key.as.string);
    if (key.kind != JINJA_NONE && !plumb_jinja_number(key)) {
        return plumb_jinja_error(e, "keys must be str, int, float, bool or None, not %s", plumb_jinja_type(key));
    }
    PLUMB_TRY(plumb_jinja_puts(e, "\""));
    PLUMB_TRY(json_scalar(e, key));
    return plumb_jinja_puts(e, "\"");
}

static plumb_status json_dict(jinja_eval *e, json_style *style, jinja_value v)
{
    jinja_value pairs, keys;
    jinja_view view = {v.as.dict, JINJA_ITEMS};
    PLUMB_TRY(plumb_jinja_to_list(e, (jinja_value){.kind = JINJA_VIEW, .as.view = &view}, JINJA_LIST, &pairs));
    PLUMB_TRY(plumb_jinja_to_list(e, v, JINJA_LIST, &keys));
    if (style->sorted) PLUMB_TRY(plumb_jinja_sort(e, pairs.as.list, keys.as.list, false));
    PLUMB_TRY(plumb_jinja_puts(e, "{"));
    style->level++;
    for (size_t i = 0; i < pairs.as.list->count; i++) {
        const jinja_value *pair = pairs.as.list->items[i].as.list->items;
        if (i) PLUMB_TRY(plumb_jinja_put_string(e, style->item_separator));
        PLUMB_TRY(json_break(e, style));
        PLUMB_TRY(json_key(e, style, pair[0]));
        PLUMB_TRY(plumb_jinja_put_string(e, style->key_separator));
        PLUMB_TRY(json_value(e, style, pair[1]));
    }
    style->level--;
    if (pairs.as.list->count) PLUMB_TRY(json_break(e, style));
    return plumb_jinja_puts(e, "}");
}

static plumb_status json_list(jinja_eval *e, json_style *style, const jinja_list *list)
{
    PLUMB_TRY(plumb_jinja_puts(e, "["));
    style->level++;
    for (size_t i = 0; i < list->count; i++) {
        if (i) PLUMB_TRY(plumb_jinja_put_string(e, style->item_separator));
        PLUMB_TRY(json_break(e, style));
        PLUMB_TRY(json_value(e, style, list->items[i]));
    }
    style->level--;
    if (list->count) PLUMB_TRY(json_break(e, style));
    return plumb_jinja_puts(e, "]");
}

static plumb_status json_value(jinja_eval *e, json_style *style, jinja_value v)
{
    PLUMB_TRY(plumb_jinja_spend(e, 1));
    if (++e->depth > JINJA_MAX_DEPTH) return plumb_jinja_error(e, "a value is nested too deeply for tojson");
    switch (v.kind) {
    case JINJA_STRING:
        PLUMB_TRY(json_string_literal(e, style, v.as.string));
        break;
    case JINJA_LIST:
    case JINJA_TUPLE:
        PLUMB_TRY(json_list(e, style, v.as.list));
        break;
    case JINJA_DICT:
        PLUMB_TRY(json_dict(e, style, v));
        break;
    default:
        PLUMB_TRY(json_scalar(e, v));
    }
    e->depth--;
    return PLUMB_OK;
}

static bool given(jinja_value v)
{
    return v.kind != JINJA_MISSING && v.kind != JINJA_NONE;
}

/* `indent` is a number of blanks or the text itself. */
static plumb_status json_indent(jinja_eval *e, jinja_value indent, json_style *style)
{
    int64_t blanks = 0;
    style->indented = true;
    style->indent = indent;
    if (indent.kind == JINJA_STRING) return PLUMB_OK;
    PLUMB_TRY(plumb_jinja_int_argument(e, indent, 0, &blanks));
    if (blanks > 1000) return plumb_jinja_error(e, "tojson: indent is larger than 1000");
    size_t start = e->text.size;
    for (int64_t i = 0; i < blanks; i++) PLUMB_TRY(plumb_jinja_puts(e, " "));
    return plumb_jinja_take(e, start, &style->indent);
}

/* options: ensure_ascii, indent, separators, sort_keys. */
plumb_status plumb_jinja_put_json(jinja_eval *e, jinja_value v, const jinja_value *options)
{
    json_style style = {.ascii = plumb_jinja_truth(options[0]), .sorted = plumb_jinja_truth(options[3])};
    if (given(options[1])) PLUMB_TRY(json_indent(e, options[1], &style));
    PLUMB_TRY(plumb_jinja_borrow(e, style.indented ? "," : ", ", style.indented ? 1 : 2, &style.item_separator));
    PLUMB_TRY(plumb_jinja_borrow(e, ": ", 2, &style.key_separator));
    if (given(options[2])) {
        const jinja_list *pair =
            options[2].kind == JINJA_TUPLE || options[2].kind == JINJA_LIST ? options[2].as.list : NULL;
        if (!pair || pair->count != 2 || pair->items[0].kind != JINJA_STRING || pair->items[1].kind != JINJA_STRING) {
            return plumb_jinja_error(e, "tojson: separators must be two strings");
        }
        style.item_separator = pair->items[0];
        style.key_separator = pair->items[1];
    }
    return json_value(e, &style, v);
}
