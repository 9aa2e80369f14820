#include "io/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/output.h"

/* What jansson's codes mean to somebody who looks at the file; other codes keep jansson's own text. */
static const struct {
    enum json_error_code code;
    const char *text;
} phrases[] = {
    {json_error_premature_end_of_input, "the text ends too early"},
    {json_error_end_of_input_expected, "more text after the end of the value"},
    {json_error_invalid_utf8, "bytes that are not UTF-8"},
    {json_error_stack_overflow, "lists and objects are nested too deeply"},
    {json_error_null_byte_in_key, "a key holds a zero character"},
};

/* Did jansson stumble over this word? Its message ends in: near 'NaN'; of -Infinity it names the sign alone. */
static bool stumbled_over(const json_error_t *error, const char *word, const char *bytes, size_t n)
{
    const char *near = strstr(error->text, "near '");
    size_t size = strlen(word), at = error->position > 0 ? (size_t)error->position : 0;
    if (!near) return false;
    near += strlen("near '");
    if (near[0] == '-' && near[1] == '\'') return at + size <= n && memcmp(bytes + at, word, size) == 0;
    return strncmp(near + (*near == '-'), word, size) == 0;
}

static const char *explain(const json_error_t *error, const char *bytes, size_t n)
{
    if (stumbled_over(error, "NaN", bytes, n)) return "'NaN' is no JSON";
    if (stumbled_over(error, "Infinity", bytes, n)) return "'Infinity' is no JSON";
    if (strncmp(error->text, "real number overflow", 20) == 0) return "number overflow: the largest is 1.8e308";
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (json_error_code(error) == phrases[i].code) return phrases[i].text;
    if (strncmp(error->text, "invalid Unicode", 15) == 0) return "half of a surrogate pair (\\ud800 to \\udfff alone)";
    return error->text;
}

/* The way out of what often goes wrong; NULL when there is none to tell. */
static const char *cure_for(const json_error_t *error, const char *bytes, size_t n)
{
    size_t blank = 0;
    while (blank < n && strchr(" \t\r\n", bytes[blank]) && bytes[blank]) blank++;
    if (n - blank > 1 && bytes[blank] == '{' && bytes[blank + 1] == '\'')
        return "single quotes: a Python dict was printed; write it with json.dumps";
    if (memchr(bytes, 0, n)) return "it holds zero bytes: the file is damaged, or not UTF-8 text (iconv converts it)";
    if (stumbled_over(error, "NaN", bytes, n) || stumbled_over(error, "Infinity", bytes, n))
        return "write null, or leave the field out (json.dumps(..., allow_nan=False) finds the place)";
    return NULL;
}

static plumb_status parse_error(const json_error_t *error, const char *bytes, size_t n)
{
    if (!error->text[0] || json_error_code(error) == json_error_out_of_memory) return plumb_no_memory();
    plumb_status s = memchr(bytes, '\n', n) ? plumb_fail(PLUMB_E_INPUT, "not valid JSON at line %d, column %d: %s",
                                                         error->line, error->column, explain(error, bytes, n))
                                            : plumb_fail(PLUMB_E_INPUT, "not valid JSON at column %d: %s",
                                                         error->column, explain(error, bytes, n));
    const char *cure = cure_for(error, bytes, n);
    return cure ? plumb_cure(s, "%s", cure) : s;
}

static bool is_blank(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", bytes[i]) || !bytes[i]) return false;
    return true;
}

static plumb_status parse(const char *bytes, size_t n, size_t flags, json_t **out)
{
    static const char mark[3] = {'\xEF', '\xBB', '\xBF'};
    if (n >= sizeof mark && memcmp(bytes, mark, sizeof mark) == 0) {
        bytes += sizeof mark;
        n -= sizeof mark;
    }
    if (is_blank(bytes, n)) return plumb_fail(PLUMB_E_INPUT, "not valid JSON: the text is empty");
    json_error_t error = {0};
    *out = json_loadb(bytes, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | flags, &error);
    return *out ? PLUMB_OK : parse_error(&error, bytes, n);
}

static plumb_status name_text(plumb_status s, const char *what)
{
    return what && what[0] ? plumb_context(s, "%s", what) : s;
}

plumb_status plumb_json_parse(const char *bytes, size_t n, bool reals, const char *what, json_t **out)
{
    return name_text(parse(bytes, n, reals ? JSON_DECODE_INT_AS_REAL : 0, out), what);
}

plumb_status plumb_json_parse_unique(const char *bytes, size_t n, const char *what, json_t **out)
{
    return name_text(parse(bytes, n, JSON_REJECT_DUPLICATES, out), what);
}

plumb_status plumb_json_load(const char *path, size_t limit, json_t **out)
{
    plumb_text text = {0};
    plumb_status s = plumb_read_file(path, limit, &text);
    if (!s) s = plumb_json_parse(text.data, text.size, false, path, out);
    plumb_text_free(&text);
    return s;
}

const char *plumb_json_kind(const json_t *value)
{
    if (!value) return "missing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static plumb_status wrong_type(const char *key, const json_t *value, const char *expected)
{
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected %s", key, plumb_json_kind(value), expected);
}

plumb_status plumb_json_int(const json_t *object, const char *key, int64_t *out)
{
    const json_t *value = member(object, key);
    if (!value) return PLUMB_OK;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return PLUMB_OK;
    }
    if (!json_is_real(value)) return wrong_type(key, value, "an integer");
    double real = json_real_value(value); /* 2048.0, or any integer of a text that was parsed with `reals` */
    if (real != trunc(real) || fabs(real) > 0x1p53)
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %.9g; expected an integer", key, real);
    *out = (int64_t)real;
    return PLUMB_OK;
}

plumb_status plumb_json_number(const json_t *object, const char *key, double *out)
{
    const json_t *value = member(object, key);
    if (!value) return PLUMB_OK;
    if (!json_is_number(value)) return wrong_type(key, value, "a number");
    *out = json_number_value(value);
    return PLUMB_OK;
}

plumb_status plumb_json_bool(const json_t *object, const char *key, bool *out)
{
    const json_t *value = member(object, key);
    if (!value) return PLUMB_OK;
    if (!json_is_boolean(value)) return wrong_type(key, value, "true or false");
    *out = json_is_true(value);
    return PLUMB_OK;
}

plumb_status plumb_json_string(const json_t *object, const char *key, const char **out)
{
    const json_t *value = member(object, key);
    if (!value) return PLUMB_OK;
    if (!json_is_string(value)) return wrong_type(key, value, "a string");
    const char *string = json_string_value(value);
    if (strlen(string) != json_string_length(value))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" holds a zero character (\\u0000), which cannot be used here", key);
    *out = string;
    return PLUMB_OK;
}

/* The length of the UTF-8 sequence at p (at most n bytes, n > 0) and whether it is well formed. A malformed one has the
 * length of its longest beginning that could have become well formed, at least 1 (Unicode 3.9, "maximal subpart"). */
static size_t utf8_sequence(const unsigned char *p, size_t n, bool *good)
{
    *good = true;
    if (p[0] < 0x80) return 1;
    size_t need = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte: no overlong forms, surrogates, or > U+10FFFF */
    if (p[0] == 0xE0) low = 0xA0;
    if (p[0] == 0xED) high = 0x9F;
    if (p[0] == 0xF0) low = 0x90;
    if (p[0] == 0xF4) high = 0x8F;
    *good = p[0] >= 0xC2 && p[0] <= 0xF4;
    for (size_t i = 1; *good && i < need; i++) {
        if (i == n || p[i] < low || p[i] > high) {
            *good = false;
            return i;
        }
        low = 0x80;
        high = 0xBF;
    }
    return *good ? need : 1;
}

static plumb_status quote_control(plumb_text *t, unsigned char c)
{
    static const char shortcuts[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: the character, its letter */
    for (const char *p = shortcuts; *p; p += 2)
        if ((unsigned char)*p == c) return plumb_text_append(t, (const char[2]){'\\', p[1]}, 2);
    return plumb_text_printf(t, "\\u%04x", c);
}

plumb_status plumb_json_quote(plumb_text *t, const char *bytes, size_t n)
{
    PLUMB_TRY(plumb_text_append(t, "\"", 1));
    size_t begin = 0, i = 0; /* bytes[begin..i) are copied as they stand */
    while (i < n) {
        unsigned char c = (unsigned char)bytes[i];
        bool good;
        size_t length = utf8_sequence((const unsigned char *)bytes + i, n - i, &good);
        if (good && c >= 0x20 && c != '"' && c != '\\') {
            i += length;
            continue;
        }
        PLUMB_TRY(plumb_text_append(t, bytes + begin, i - begin));
        PLUMB_TRY(good ? quote_control(t, c) : plumb_text_append(t, "\xEF\xBF\xBD", 3));
        i += length;
        begin = i;
    }
    PLUMB_TRY(plumb_text_append(t, bytes + begin, n - begin));
    return plumb_text_append(t, "\"", 1);
}

/* ---- one member of a text ---- */

/* The end of the string that begins at `at`. */
static size_t string_end(const char *t, size_t at)
{
    for (at++; t[at] != '"'; at++) at += t[at] == '\\';
    return at + 1;
}

/* The end of the value at `at`: where the comma or bracket behind it stands. */
static size_t value_end(const char *t, size_t at)
{
    int depth = 0;
    for (; depth || !strchr(",}", t[at]); at++) {
        depth += (t[at] == '{' || t[at] == '[') - (t[at] == '}' || t[at] == ']');
        if (t[at] == '"') at = string_end(t, at) - 1;
    }
    return at;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t past_blanks(const char *t, size_t at)
{
    while (is_space(t[at])) at++;
    return at;
}

static size_t before_blanks(const char *t, size_t at)
{
    while (at > 0 && is_space(t[at - 1])) at--;
    return at;
}

/* Looks for a member of the object by its quoted key. [*begin, *end) is its value, or the empty place behind the last
 * member. Of several the last one counts, as it does for jansson. */
static bool find_member(const char *t, const plumb_text *key, size_t *begin, size_t *end)
{
    size_t at = past_blanks(t, strcspn(t, "{") + 1);
    bool found = false;
    while (t[at] == '"') {
        size_t name = at, name_end = string_end(t, at), value = past_blanks(t, past_blanks(t, name_end) + 1);
        at = value_end(t, value);
        if (name_end - name == key->size && memcmp(t + name, key->data, key->size) == 0) {
            found = true;
            *begin = value;
            *end = before_blanks(t, at);
        }
        at = past_blanks(t, at + (t[at] == ','));
    }
    if (!found) *begin = *end = before_blanks(t, at);
    return found;
}

static plumb_status splice_member(const plumb_text *json, const plumb_text *key, const char *value, plumb_text *out)
{
    size_t begin, end;
    bool found = find_member(json->data, key, &begin, &end);
    PLUMB_TRY(plumb_text_append(out, json->data, begin));
    if (!found) PLUMB_TRY(plumb_text_printf(out, "%s\n  %s: ", json->data[begin - 1] == '{' ? "" : ",", key->data));
    PLUMB_TRY(plumb_json_quote(out, value, strlen(value)));
    return plumb_text_append(out, json->data + end, json->size - end);
}

plumb_status plumb_json_set_string(plumb_text *json, const char *key, const char *value)
{
    plumb_text quoted = {0}, out = {0};
    json_t *whole = NULL;
    PLUMB_TRY(plumb_json_parse(json->data ? json->data : "", json->size, true, NULL, &whole));
    plumb_status s = json_is_object(whole)
                         ? plumb_json_quote(&quoted, key, strlen(key))
                         : plumb_fail(PLUMB_E_INPUT, "holds %s; expected an object", plumb_json_kind(whole));
    json_decref(whole);
    if (!s) s = splice_member(json, &quoted, value, &out);
    plumb_text_free(&quoted);
    if (s) {
        plumb_text_free(&out);
        return s;
    }
    plumb_text_free(json);
    *json = out;
    return PLUMB_OK;
}

plumb_status plumb_json_real(plumb_text *t, double value, int digits)
{
    if (!isfinite(value)) return plumb_text_append(t, "null", 4);
    return plumb_text_printf(t, "%.*g", digits, value);
}

json_t *plumb_json_reals(const double *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++)
        if (json_array_append_new(array, isfinite(list[i]) ? json_real(list[i]) : json_null())) {
            json_decref(array);
            return NULL;
        }
    return array;
}

void plumb_json_read_reals(const json_t *array, double *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, i);
        list[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
}
