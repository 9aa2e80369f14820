/* Chat templates against what transformers renders: the published templates, rows of every construct, and templates
 * that are malformed, outside the subset, or hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "text/chat_template.h"
#include "unit/scratch.h"
#include "unit/template_rows.h"

enum { NOW = 1736467200 }; /* 10 January 2025, as in the vectors */

static json_t *parse_json(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!json) fail_msg("%s: %s", text, error.text);
    return json;
}

static plumb_status render_bytes(const char *source, size_t n, const plumb_template_input *in, plumb_text *out)
{
    plumb_template *t = NULL;
    plumb_status s = plumb_template_parse(source, n, &t);
    if (s) assert_null(t);
    if (!s) s = plumb_template_render(t, in, out);
    plumb_template_free(t);
    return s;
}

/* Renders for the messages and variables of the rows. */
static plumb_status render(const char *source, plumb_text *out)
{
    json_t *messages = parse_json(row_messages), *variables = parse_json(row_variables);
    plumb_template_input in = {
        .messages = messages, .bos_token = "<s>", .add_generation_prompt = true, .variables = variables, .now = NOW};
    plumb_status s = render_bytes(source, strlen(source), &in, out);
    json_decref(messages);
    json_decref(variables);
    return s;
}

static bool check(const char *source, const char *expected)
{
    plumb_text out = {0};
    plumb_status s = render(source, &out);
    bool same = !s && out.size == strlen(expected) && (!out.size || memcmp(out.data, expected, out.size) == 0);
    if (!same) {
        print_error("%s\n  expected \"%s\"\n  got      \"%s\"\n", source, expected,
                    s ? plumb_status_message(s) : out.data);
    }
    plumb_status_free(s);
    plumb_text_free(&out);
    return same;
}

static void assert_fails(const char *source, const char *text)
{
    plumb_text out = {0};
    plumb_status s = render(source, &out);
    if (!s) fail_msg("no error from %.300s", source);
    plumb_text_free(&out);
    assert_says(s, PLUMB_E_INPUT, text);
}

/* --- the published templates --- */

static char *read_whole(const char *path, size_t *n)
{
    enum { ROOM = 1 << 16 };
    char *data = malloc(ROOM);
    FILE *f = fopen(path, "rb");
    assert_non_null(data);
    if (!f) fail_msg("cannot open %s", path);
    *n = fread(data, 1, ROOM, f);
    assert_true(*n < ROOM);
    fclose(f);
    return data;
}

static bool check_vector(const json_t *row)
{
    char path[512];
    size_t n;
    const char *name = json_string_value(json_object_get(row, "template"));
    const json_t *expected = json_object_get(row, "rendered");
    snprintf(path, sizeof path, "%s/tokenizers/chat-templates/%s.jinja", PLUMB_TEST_DATA, name);
    char *source = read_whole(path, &n);
    plumb_text out = {0};
    plumb_template_input in = {.messages = json_object_get(row, "messages"),
                               .bos_token = json_string_value(json_object_get(row, "bos_token")),
                               .eos_token = json_string_value(json_object_get(row, "eos_token")),
                               .add_generation_prompt = json_is_true(json_object_get(row, "add_generation_prompt")),
                               .variables = json_object_get(row, "variables"),
                               .now = NOW};
    plumb_status s = render_bytes(source, n, &in, &out);
    bool good;
    if (json_is_string(expected)) {
        good = !s && out.size == json_string_length(expected) &&
               memcmp(out.data, json_string_value(expected), out.size) == 0;
    } else {
        const char *message = strstr(json_string_value(json_object_get(row, "error")), ": ");
        good = plumb_status_code(s) == PLUMB_E_INPUT && message && strstr(plumb_status_message(s), message + 2);
    }
    if (!good) {
        const char *title = json_string_value(json_object_get(row, "case"));
        print_error("%s, %s: %s\n", name, title, s ? plumb_status_message(s) : out.data);
    }
    plumb_status_free(s);
    plumb_text_free(&out);
    free(source);
    return good;
}

static void test_vectors(void **state)
{
    (void)state;
    char *line = NULL;
    size_t room = 0, rows = 0, good = 0;
    FILE *f = fopen(PLUMB_TEST_DATA "/tokenizers/chat-templates/vectors.jsonl", "rb");
    assert_non_null(f);
    for (ssize_t n; (n = getline(&line, &room, f)) > 0; rows++) {
        json_t *row = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        good += check_vector(row);
        json_decref(row);
    }
    free(line);
    fclose(f);
    assert_int_equal(rows, 745);
    assert_int_equal(good, rows);
}

/* --- rows --- */

static void test_expressions(void **state)
{
    (void)state;
    size_t n = sizeof expression_rows / sizeof *expression_rows, good = 0;
    for (size_t i = 0; i < n; i++) {
        char source[512];
        snprintf(source, sizeof source, "{{ %s }}", expression_rows[i][0]);
        good += check(source, expression_rows[i][1]);
    }
    assert_int_equal(good, n);
}

static void test_statements(void **state)
{
    (void)state;
    size_t n = sizeof statement_rows / sizeof *statement_rows, good = 0;
    for (size_t i = 0; i < n; i++) good += check(statement_rows[i][0], statement_rows[i][1]);
    assert_int_equal(good, n);
}

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof error_rows / sizeof *error_rows; i++)
        assert_fails(error_rows[i], "chat template line ");
}

/* Each on line 3, whose number the message must hold. */
typedef struct failing_row {
    const char *source, *message;
} failing_row;

static void check_failing(const failing_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char source[512], message[256];
        snprintf(source, sizeof source, "one\n{# two\n#}%s", rows[i].source);
        snprintf(message, sizeof message, "chat template line 3: %s", rows[i].message);
        assert_fails(source, message);
    }
}

static void test_unsupported(void **state)
{
    (void)state;
    static const failing_row rows[] = {
        {"{% include 'x' %}", "the tag {% include %} is not supported"},
        {"{% import 'x' as y %}", "the tag {% import %} is not supported"},
        {"{% from 'x' import y %}", "the tag {% from %} is not supported"},
        {"{% extends 'x' %}", "the tag {% extends %} is not supported"},
        {"{% block x %}{% endblock %}", "the tag {% block %} is not supported"},
        {"{% call x() %}{% endcall %}", "the tag {% call %} is not supported"},
        {"{% autoescape true %}{% endautoescape %}", "the tag {% autoescape %} is not supported"},
        {"{% print 1 %}", "the tag {% print %} is not supported"},
        {"{% do x %}", "the tag {% do %} is not supported"},
        {"{% foo %}", "unknown tag \"foo\""},
        {"{% for x in y recursive %}{% endfor %}", "{% for ... recursive %} is not supported"},
        {"{{ x|urlize }}", "the filter \"urlize\" is not supported"},
        {"{{ x|foo }}", "no filter named \"foo\""},
        {"{% if x is foo %}{% endif %}", "no test named \"foo\""},
        {"{{ x[1, 2] }}", "a subscript of several values is not supported"},
        {"{{ '\\N{DIGIT ONE}' }}", "\\N{...} in a string is not supported"},
        {"{{ 99999999999999999999 }}", "the number 99999999999999999999... is beyond 64 bits"},
        {"{{ cycler(1) }}", "the function \"cycler\" is not supported"},
        {"{{ 'a'.encode() }}", "the method str.encode() is not supported"},
        {"{{ '{:>3}'.format(1) }}", "format(): a format specification is not supported"},
        {"{{ 2 ** 63 }}", "an integer beyond 64 bits is not supported"},
        {"{{ ('a'|safe) + '<' }}", "adding to text marked by the filter \"safe\" would escape HTML"},
        {"{{ l|select('odd') }}", "a value of type generator cannot be printed"},
    };
    check_failing(rows, sizeof rows / sizeof *rows);
}

static void test_malformed(void **state)
{
    (void)state;
    static const failing_row rows[] = {
        {"{% if %}{% endif %}", "expected an expression, found %}"},
        {"{% for %}{% endfor %}", "unexpected %}"},
        {"{% for x y %}{% endfor %}", "expected \"in\", found \"y\""},
        {"{{ }}", "expected an expression, found }}"},
        {"{{ 1 + }}", "unexpected }}"},
        {"{{ (1 }}", "unexpected '}', expected ')'"},
        {"{{ 1 ) }}", "unexpected ')'"},
        {"{{ 1 2 }}", "expected }}, found a number"},
        {"{% if 1 %}", "{% if %} of line 3 is not closed"},
        {"{% for x in y %}{% else %}", "{% else %} of line 3 is not closed"},
        {"{% endif %}", "{% endif %} closes nothing here"},
        {"{% if 1 %}{% endfor %}", "{% endfor %} closes nothing here"},
        {"{% %}", "expected the name of a tag, found %}"},
        {"{{ 'abc }}", "a string without its closing '"},
        {"{{ '\\xZZ' }}", "a truncated \\x, \\u or \\U escape in a string"},
        {"{{ '\\ud800' }}", "a string escape that is no character"},
        {"{# abc", "a comment {# without #}"},
        {"{% raw %} abc", "{% raw %} without {% endraw %}"},
        {"{% set 1 = 2 %}", "only names can be assigned to"},
        {"{% set a.b.c = 2 %}", "expected %}, found '.'"},
        {"{% set a = %}", "expected an expression, found %}"},
        {"{% macro m(a=1, b) %}{% endmacro %}", "a parameter without a default follows one that has one"},
        {"{{ m(a=1, 2) }}", "invalid order of arguments in a call"},
        {"{{ x is }}", "expected a test, found }}"},
        {"{{ x| }}", "expected a filter, found }}"},
        {"{{ x. }}", "expected a name or number, found }}"},
        {"{{ x[] }}", "expected a subscript, found ']'"},
        {"{{ a ! b }}", "unexpected character '!'"},
        {"{{ a = 1 }}", "expected }}, found '='"},
        {"{{ \x01 }}", "unexpected character '\x01'"},
        {"{% break %}", "{% break %} outside a {% for %}"},
        {"{% for i in l %}{% macro m() %}{% continue %}{% endmacro %}{% endfor %}",
         "{% continue %} outside a {% for %}"},
        {"{% for loop in l %}{% endfor %}", "\"loop\" cannot be assigned to in a {% for %}"},
        {"{{ x", "expected }}, found the end of the template"},
        {"{% if x", "expected %}, found the end of the template"},
    };
    check_failing(rows, sizeof rows / sizeof *rows);
    plumb_template *t = NULL;
    assert_says(plumb_template_parse("a\xff", 2, &t), PLUMB_E_INPUT, "the chat template is not UTF-8");
    assert_null(t);
}

/* The line of an error is that of the innermost expression, in macros too. */
static void test_lines(void **state)
{
    (void)state;
    assert_fails("{% macro m(x) %}\n{{ x }}\n{{ x + 'a' }}\n{% endmacro %}\n\n{{ m(1) }}",
                 "line 3: unsupported operand type(s)");
    assert_fails("{% macro m(x) %}\n{% endmacro %}\n\n{{ m(1) ~\n 'a' }}{{ 1 +\n\n 'a' }}",
                 "line 5: unsupported operand type(s)");
    assert_fails("\r\n\r{{ raise_exception('no: ' ~ 5) }}", "line 3: no: 5");
    assert_fails("{% for m in messages %}\n{{ m.role.x.y }}{% endfor %}", "line 2: 'str object' has no attribute 'x'");
    assert_fails("{{ messages[0].x + 'a' }}", "'dict object' has no attribute 'x'");
    assert_fails("{{ 'a' + eos_token }}", "'eos_token' is undefined");
    assert_fails("{{ d.pop('a') }}", "access to attribute 'pop' of 'dict' object is unsafe");
}

/* --- what the input may be --- */

static void check_input(const char *source, const char *messages, const char *variables, const char *expected)
{
    json_t *list = parse_json(messages), *names = variables ? parse_json(variables) : NULL;
    plumb_template_input in = {.messages = list, .eos_token = "</s>", .variables = names, .now = NOW};
    plumb_text out = {0};
    assert_ok(render_bytes(source, strlen(source), &in, &out));
    assert_string_equal(out.data, expected);
    plumb_text_free(&out);
    json_decref(list);
    json_decref(names);
}

static void test_input(void **state)
{
    (void)state;
    check_input("{{ messages }}", "[{\"role\": \"user\", \"content\": null, \"x\": [null]}]", NULL,
                "[{'role': 'user', 'x': [None]}]");
    check_input("{{ messages }}", "[{\"content\": \"a\", \"reasoning\": \"r\"}]", NULL,
                "[{'thinking': 'r', 'content': 'a', 'reasoning': 'r', 'reasoning_content': 'r'}]");
    check_input("{{ messages }}", "[{\"content\": \"a\", \"thinking\": \"t\", \"reasoning_content\": \"r\"}]", NULL,
                "[{'thinking': 't', 'content': 'a', 'reasoning_content': 'r'}]");
    check_input("{{ tools }}{{ eos_token }}{{ messages }}{{ q }}", "[]",
                "{\"tools\": 1, \"eos_token\": \"E\", \"messages\": 2, \"q\": 1.5}", "1E[]1.5");
    check_input("{{ tools is none }}{{ documents is none }}{{ bos_token is defined }}{{ add_generation_prompt }}", "[]",
                NULL, "TrueTrueFalseFalse");
    check_input("{{ strftime_now('%d %b %Y') }}", "[]", NULL, "10 Jan 2025");
    static const char *const zones[][2] = {
        {"JST-9", "2025-01-10 09:00"}, {"EST5", "2025-01-09 19:00"}, {"UTC0", "2025-01-10 00:00"}};
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        setenv("TZ", zones[i][0], 1);
        tzset();
        check_input("{{ strftime_now('%Y-%m-%d %H:%M') }}", "[]", NULL, zones[i][1]);
    }
    check_input("a{{ messages[0].content }}b", "[{\"content\": \"{{ x }} {% if %}\"}]", NULL, "a{{ x }} {% if %}b");
}

static void test_bad_input(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "the messages are not a list"},
        {"[1]", "message 0 is not an object"},
        {"[{}, []]", "message 1 is not an object"},
    };
    plumb_text out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *messages = parse_json(rows[i][0]);
        plumb_template_input in = {.messages = messages};
        assert_says(render_bytes("a", 1, &in, &out), PLUMB_E_INPUT, rows[i][1]);
        json_decref(messages);
    }
    json_t *deep = json_array(), *messages = NULL;
    for (int i = 0; i < 1000; i++) deep = json_pack("[o]", deep);
    messages = json_pack("[{s:o}]", "content", deep);
    plumb_template_input in = {.messages = messages};
    assert_says(render_bytes("a", 1, &in, &out), PLUMB_E_INPUT, "lists or objects within each other");
    json_decref(messages);
    assert_int_equal(out.size, 0);
}

/* A rendering appends, and a template renders again and again. */
static void test_again(void **state)
{
    (void)state;
    plumb_template *t = NULL;
    json_t *messages = parse_json("[{\"role\": \"user\"}]");
    static const char source[] = "{% set x = (x or 0) + 1 %}{{ x }}{{ messages[0].role }};";
    plumb_text out = {0};
    assert_ok(plumb_template_parse(source, sizeof source - 1, &t));
    plumb_template_input in = {.messages = messages};
    for (int i = 0; i < 3; i++) assert_ok(plumb_template_render(t, &in, &out));
    assert_string_equal(out.data, "1user;1user;1user;");
    plumb_text_free(&out);
    plumb_template_free(t);
    json_decref(messages);
}

/* --- hostile templates: an error, soon and within the limits --- */

static void test_bombs(void **state)
{
    (void)state;
    static const failing_row rows[] = {
        {"{{ 'a' * 10**9 }}", "a string of more than"},
        {"{{ [1] * 10**9 }}", "a list of more than"},
        {"{{ range(10**9) }}", "Range too big"},
        {"{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "more than"},
        {"{% for i in range(100000) %}{{ range(100000)|sum }}{% endfor %}", "does not come to an end"},
        {"{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
         "more than"},
        {"{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
         "more than"},
        {"{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
         "does not come to an end"},
        {"{% set ns = namespace(s=[1]) %}{% for i in range(9999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
         "nested too deeply"},
        {"{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", "nested too deeply"},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested too deeply"},
        {"{% macro m(a=m()) %}{% endmacro %}{{ m() }}", "nested too deeply"},
        {"{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}", "more than"},
        {"{% set x = 'ab'*1000000 %}{{ x.strip('ab'*1000000) }}", "does not come to an end"},
        {"{{ ('a'*1000000)|replace('a','b'*1000) }}", "writes more than"},
        {"{{ '%999999999d' % 1 }}", "out of range"},
        {"{{ 'a'.center(10**12) }}", "a string of more than"},
        {"{{ [1]|tojson(indent=10**9) }}", "indent is larger than"},
        {"{{ [1]|batch(10**12, 0)|list }}", "more than"},
        {"{{ strftime_now('%Y'*100000) }}", "gives no text"},
        {"{{ 10**10**10 }}", "beyond 64 bits"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) assert_fails(rows[i].source, rows[i].message);
}

/* `times` copies of `piece` between `before` and `after`. */
static char *repeated(const char *before, const char *piece, int times, const char *after)
{
    plumb_text text = {0};
    assert_ok(plumb_text_string(&text, before));
    for (int i = 0; i < times; i++) assert_ok(plumb_text_string(&text, piece));
    assert_ok(plumb_text_string(&text, after));
    return text.data;
}

static void test_deep_sources(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"{{ ", "(", "nested too deeply"},
        {"{{ ", "[", "nested too deeply"},
        {"{{ ", "-", "nested too deeply"},
        {"{{ ", "not ", "nested too deeply"},
        {"{{ 1", "|abs", "nested too deeply"},
        {"{{ 1", " + 1", "nested too deeply"},
        {"{{ a", ".a", "nested too deeply"},
        {"{{ ", "1 if 0 else ", "nested too deeply"},
        {"", "{% if 1 %}", "nested too deeply"},
        {"", "{% set x %}", "nested too deeply"},
        {"", "{{", "nested too deeply"},
        {"", "{% raw %}", "without {% endraw %}"},
        {"", "{#", "without #}"},
        {"{%", " ", "expected the name of a tag"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *source = repeated(rows[i][0], rows[i][1], 50000, " 1");
        assert_fails(source, rows[i][2]);
        free(source);
    }
    char *source = repeated("", "{% if 1 %}", 50, "");
    char *closed = repeated(source, "{% endif %}", 50, "");
    assert_true(check(closed, ""));
    free(closed);
    free(source);
    source = repeated("", "0123456789", 200000, "");
    assert_fails(source, "more than 1048576 bytes");
    free(source);
}

int main(void)
{
    setenv("TZ", "UTC0", 1); /* the times here are told as local time */
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_expressions), cmocka_unit_test(test_statements),
        cmocka_unit_test(test_errors),  cmocka_unit_test(test_unsupported), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_lines),   cmocka_unit_test(test_input),       cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_again),   cmocka_unit_test(test_bombs),       cmocka_unit_test(test_deep_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
