/* JSON: what is accepted, what errors say, and how text is written. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/json.h"
#include "unit/scratch.h"

static void parses_values(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "[]", "1", "\"x\"", "null", " true\n", "\xEF\xBB\xBF{}", "[1e308]"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *value = NULL;
        assert_ok(plumb_json_parse(texts[i], strlen(texts[i]), false, "t", &value));
        assert_non_null(value);
        json_decref(value);
    }
}

static void keeps_zero_characters(void **state)
{
    (void)state;
    json_t *value = NULL;
    assert_ok(plumb_json_parse("\"a\\u0000b\"", 10, false, NULL, &value));
    assert_int_equal(json_string_length(value), 3);
    assert_memory_equal(json_string_value(value), "a\0b", 3);
    json_decref(value);
}

static void reads_large_integers_as_reals_on_request(void **state)
{
    (void)state;
    static const char text[] = "123456789012345678901234567890";
    json_t *value = NULL;
    assert_says(plumb_json_parse(text, strlen(text), false, NULL, &value), PLUMB_E_INPUT, "too big integer");
    assert_ok(plumb_json_parse(text, strlen(text), true, NULL, &value));
    assert_true(json_real_value(value) == 123456789012345678901234567890.0);
    json_decref(value);
}

static void errors_say_the_way_out(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t n;
        const char *cure;
    } cases[] = {
        {"{\"a\": NaN}", 10, "write null, or leave the field out"},
        {"{\"a\": -Infinity}", 16, "write null, or leave the field out"},
        {"{'a': 1}", 8, "single quotes: a Python dict was printed; write it with json.dumps"},
        {"{\"a\": \"b\0\"}", 11, "it holds zero bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = NULL;
        assert_says(plumb_json_parse(cases[i].text, cases[i].n, false, NULL, &value), PLUMB_E_INPUT, cases[i].cure);
    }
}

static void errors_say_where_and_what(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "file.json: not valid JSON: the text is empty"},
        {" \n\t ", "the text is empty"},
        {"{\"a\": NaN}", "file.json: not valid JSON at column"},
        {"{\"a\": NaN}", "'NaN'"},
        {"{\n\"a\":\n  tru}", "at line 3, column"},
        {"{\"a\": 1", "at column 7: the text ends too early"},
        {"\"abc", "the text ends too early"},
        {"{} {}", "more text after the end of the value"},
        {"{\"a\": 1}\nx", "at line 2, column"},
        {"\"\xFF\"", "not UTF-8"},
        {"\"\xC0\x80\"", "not UTF-8"},
        {"\"\xED\xA0\x80\"", "not UTF-8"},
        {"\"\\ud800\"", "half of a surrogate pair"},
        {"\"\\udc00\"", "half of a surrogate pair"},
        {"\"\\ud800\\u0041\"", "half of a surrogate pair"},
        {"\"\\x\"", "invalid escape"},
        {"{\"a\\u0000b\": 1}", "a key holds a zero character"},
        {"1e999", "overflow: the largest is 1.8e308"},
        {"[-Infinity]", "'Infinity' is no JSON"},
        {"{'a': 1}", "string or '}' expected"},
        {"[1,]", "not valid JSON at column"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *value = NULL;
        assert_says(plumb_json_parse(cases[i].text, strlen(cases[i].text), false, "file.json", &value), PLUMB_E_INPUT,
                    cases[i].says);
        assert_null(value);
    }
}

static void deep_nesting_is_an_error(void **state)
{
    (void)state;
    char text[100000];
    memset(text, '[', sizeof text);
    json_t *value = NULL;
    assert_says(plumb_json_parse(text, sizeof text, false, NULL, &value), PLUMB_E_INPUT, "nested too deeply");
}

static void a_zero_byte_is_an_error(void **state)
{
    (void)state;
    json_t *value = NULL;
    assert_says(plumb_json_parse("{}\0{}", 5, false, NULL, &value), PLUMB_E_INPUT, "not valid JSON at column");
    assert_says(plumb_json_parse("\0", 1, false, NULL, &value), PLUMB_E_INPUT, "not valid JSON at column");
}

static void duplicate_keys_are_refused_on_request(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": {\"b\": 1, \"b\": 2}}";
    json_t *value = NULL;
    assert_says(plumb_json_parse_unique(text, strlen(text), "x", &value), PLUMB_E_INPUT, "duplicate object key");
    assert_ok(plumb_json_parse(text, strlen(text), false, "x", &value));
    json_decref(value);
}

static void members_are_checked(void **state)
{
    (void)state;
    static const char text[] =
        "{\"i\": 7, \"r\": 2.5, \"w\": 2048.0, \"b\": true, \"s\": \"x\", \"n\": null, \"o\": {},"
        " \"l\": [], \"z\": \"a\\u0000\", \"huge\": 1e300}";
    json_t *o = NULL;
    assert_ok(plumb_json_parse(text, strlen(text), false, NULL, &o));
    int64_t i = -1;
    double r = -1;
    bool b = false;
    const char *s = "unset";
    assert_ok(plumb_json_int(o, "missing", &i));
    assert_ok(plumb_json_int(o, "n", &i));
    assert_int_equal(i, -1);
    assert_ok(plumb_json_int(o, "w", &i));
    assert_int_equal(i, 2048);
    assert_ok(plumb_json_int(o, "i", &i));
    assert_int_equal(i, 7);
    assert_ok(plumb_json_number(o, "i", &r));
    assert_true(r == 7);
    assert_ok(plumb_json_number(o, "r", &r));
    assert_true(r == 2.5);
    assert_ok(plumb_json_bool(o, "b", &b));
    assert_true(b);
    assert_ok(plumb_json_string(o, "n", &s));
    assert_string_equal(s, "unset");
    assert_ok(plumb_json_string(o, "s", &s));
    assert_string_equal(s, "x");
    assert_says(plumb_json_int(o, "s", &i), PLUMB_E_INPUT, "\"s\" is a string; expected an integer");
    assert_says(plumb_json_int(o, "r", &i), PLUMB_E_INPUT, "\"r\" is 2.5; expected an integer");
    assert_says(plumb_json_int(o, "huge", &i), PLUMB_E_INPUT, "expected an integer");
    assert_says(plumb_json_number(o, "o", &r), PLUMB_E_INPUT, "\"o\" is an object; expected a number");
    assert_says(plumb_json_bool(o, "i", &b), PLUMB_E_INPUT, "\"i\" is a number; expected true or false");
    assert_says(plumb_json_string(o, "l", &s), PLUMB_E_INPUT, "\"l\" is a list; expected a string");
    assert_says(plumb_json_string(o, "z", &s), PLUMB_E_INPUT, "zero character");
    assert_string_equal(plumb_json_kind(NULL), "missing");
    assert_string_equal(plumb_json_kind(json_object_get(o, "n")), "null");
    assert_string_equal(plumb_json_kind(json_object_get(o, "b")), "a boolean");
    json_decref(o);
}

static void loads_files(void **state)
{
    (void)state;
    json_t *value = NULL;
    assert_ok(plumb_json_load(PLUMB_TEST_DATA "/models/llama2/config.json", 1 << 20, &value));
    int64_t size = 0;
    assert_ok(plumb_json_int(value, "hidden_size", &size));
    assert_true(size > 0);
    json_decref(value);
    value = NULL;
    assert_says(plumb_json_load(PLUMB_TEST_DATA "/models/llama2/config.json", 10, &value), PLUMB_E_INPUT,
                "is larger than");
    assert_says(plumb_json_load(scratch("missing.json"), 10, &value), PLUMB_E_INPUT, "No such file");
    assert_says(plumb_json_load(scratch_file("empty.json", "", 0), 10, &value), PLUMB_E_INPUT, "the text is empty");
    assert_says(plumb_json_load(PLUMB_TEST_DATA, 10, &value), PLUMB_E_INPUT, "is a folder");
}

static void quotes_strings(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t n;
        const char *out;
    } cases[] = {
        {"", 0, "\"\""},
        {"plain", 5, "\"plain\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t\x01\x1F\x7F", 8, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\xFFx", 2, "\"\xEF\xBF\xBDx\""},
        {"\x80", 1, "\"\xEF\xBF\xBD\""},
        {"\xE2\x82", 2, "\"\xEF\xBF\xBD\""}, /* cut short: one replacement */
        {"\xE2\x82x", 3, "\"\xEF\xBF\xBDx\""},
        {"\xC0\xAF", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                 /* overlong */
        {"\xED\xA0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""}, /* a surrogate */
        {"\xF4\x90\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"\xF0\x80", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_text t = {0};
        assert_ok(plumb_json_quote(&t, cases[i].in, cases[i].n));
        assert_string_equal(t.data, cases[i].out);
        plumb_text_free(&t);
    }
}

/* Whatever bytes are quoted, the literal parses; bytes that are UTF-8 come back as they were. */
static void quoting_is_inverse_to_parsing(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b += 5) {
            char bytes[3] = {(char)a, (char)b, 'x'};
            plumb_text t = {0};
            json_t *value = NULL;
            assert_ok(plumb_json_quote(&t, bytes, 3));
            assert_ok(plumb_json_parse(t.data, t.size, false, NULL, &value));
            if (a < 0x80 && b < 0x80) {
                assert_int_equal(json_string_length(value), 3);
                assert_memory_equal(json_string_value(value), bytes, 3);
            }
            json_decref(value);
            plumb_text_free(&t);
        }
}

static void writes_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *out;
    } cases[] = {
        {0, 9, "0"},
        {1, 9, "1"},
        {-2.5, 9, "-2.5"},
        {1e20, 9, "1e+20"},
        {1.0 / 3, 9, "0.333333333"},
        {INFINITY, 9, "null"},
        {NAN, 9, "null"},
        {0.1, 17, "0.10000000000000001"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_text t = {0};
        assert_ok(plumb_json_real(&t, cases[i].value, cases[i].digits));
        assert_string_equal(t.data, cases[i].out);
        plumb_text_free(&t);
    }
}

static void sets_one_member_of_a_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *out;
    } cases[] = {
        {"{}", "{\n  \"pad\": \"<\\\"p>\"}"},
        {" { \n} ", " {\n  \"pad\": \"<\\\"p>\" \n} "},
        {"{\n  \"n\": 1000000000000000019884624838656\n}\n",
         "{\n  \"n\": 1000000000000000019884624838656,\n  \"pad\": \"<\\\"p>\"\n}\n"},
        {"{\"pad\": null}", "{\"pad\": \"<\\\"p>\"}"},
        {"{\"a\": {\"pad\": [1, \"}\\\"\"]}, \"pad\" : {\"content\": \"x,\"}\n, \"b\": 2}",
         "{\"a\": {\"pad\": [1, \"}\\\"\"]}, \"pad\" : \"<\\\"p>\"\n, \"b\": 2}"},
        {"{\"pad\": 1, \"a\": 2, \"pad\": 3, \"b\": 4}",
         "{\"pad\": 1, \"a\": 2, \"pad\": \"<\\\"p>\", \"b\": 4}"}, /* the last one is what a parser sees */
        {"{\"a\": \"pad\"}", "{\"a\": \"pad\",\n  \"pad\": \"<\\\"p>\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_text t = {0};
        assert_ok(plumb_text_string(&t, cases[i].text));
        assert_ok(plumb_json_set_string(&t, "pad", "<\"p>"));
        assert_string_equal(t.data, cases[i].out);
        plumb_text_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_values),
        cmocka_unit_test(keeps_zero_characters),
        cmocka_unit_test(reads_large_integers_as_reals_on_request),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(errors_say_the_way_out),
        cmocka_unit_test(deep_nesting_is_an_error),
        cmocka_unit_test(a_zero_byte_is_an_error),
        cmocka_unit_test(duplicate_keys_are_refused_on_request),
        cmocka_unit_test(members_are_checked),
        cmocka_unit_test(loads_files),
        cmocka_unit_test(quotes_strings),
        cmocka_unit_test(quoting_is_inverse_to_parsing),
        cmocka_unit_test(writes_numbers),
        cmocka_unit_test(sets_one_member_of_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
