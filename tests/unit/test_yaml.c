/* Config files in YAML: what is read, what values mean, what is refused and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/yaml.h"

static plumb_status parse(const char *text, plumb_settings *out)
{
    return plumb_yaml_parse(text, strlen(text), "c.yaml", out);
}

static void entries(void **state)
{
    static const char text[] = "\xEF\xBB\xBF# a comment\n"
                               "learning-rate: 5e-7   # another\n"
                               "\n"
                               "loss_type: [sigmoid, 'sft']\n"
                               "loss_weights:\n"
                               "- 1.0\n"
                               "- 1_0\n"
                               "empty:\n"
                               "none: ~\n"
                               "quoted: 'null'\n"
                               "folded: >-\n"
                               "  two\n"
                               "  words\n"
                               "nothing: []\n"
                               "nested: {a: 1, b: [x, {c: d}], e: {}}\n"
                               "lists: [a, [b, c]]\n"
                               "\"key in quotes\": \"tab\\tand \\u00e9\"\r\n"
                               "last: 1";
    plumb_settings s = {0};
    (void)state;
    assert_null(parse(text, &s));
    assert_int_equal(s.count, 12);
    assert_string_equal(s.list[0].key, "learning-rate");
    assert_string_equal(s.list[0].file, "c.yaml");
    assert_int_equal(s.list[0].line, 2);
    assert_string_equal(s.list[0].values[0].text, "5e-7");
    assert_true(s.list[1].is_list && s.list[1].count == 2);
    assert_string_equal(s.list[1].values[1].text, "sft");
    assert_int_equal(s.list[2].line, 5);
    assert_string_equal(s.list[2].values[1].plain, "10");
    assert_string_equal(s.list[2].values[1].text, "1_0");
    assert_true(s.list[3].values[0].is_null && s.list[4].values[0].is_null);
    assert_false(s.list[5].values[0].is_null);
    assert_string_equal(s.list[5].values[0].text, "null");
    assert_string_equal(s.list[6].values[0].text, "two words");
    assert_true(s.list[7].is_list && s.list[7].count == 0 && !s.list[7].is_nested);
    assert_true(s.list[8].is_nested && !s.list[8].is_list);
    assert_true(s.list[9].is_nested && s.list[9].count == 2 && !s.list[9].values);
    assert_string_equal(s.list[10].key, "key in quotes");
    assert_string_equal(s.list[10].values[0].text, "tab\tand \xC3\xA9");
    assert_int_equal(s.list[11].line, 18);
    plumb_settings_free(&s);
}

/* What PyYAML 6 makes of each plain scalar; null for None. */
static void scalars(void **state)
{
    static const char *const cases[][2] = {
        {"yes", "true"},
        {"No", "false"},
        {"ON", "true"},
        {"off", "false"},
        {"True", "true"},
        {"FALSE", "false"},
        {"tRue", "tRue"},
        {"y", "y"},
        {"null", NULL},
        {"NULL", NULL},
        {"Null", NULL},
        {"nuLL", "nuLL"},
        {"~", NULL},
        {"none", "none"},
        {"0", "0"},
        {"-17", "-17"},
        {"+3", "+3"},
        {"0x1F", "31"},
        {"-0x10", "-16"},
        {"0b101", "5"},
        {"010", "8"},
        {"08", "08"},
        {"0o10", "0o10"},
        {"1_000", "1000"},
        {"1:30", "90"},
        {"-1:00:01", "-3601"},
        {"0:100", "0:100"},
        {"5:100", "5:100"},
        {"1:60", "1:60"},
        {"1.5", "1.5"},
        {"1_0.5", "10.5"},
        {"1.", "1."},
        {".5", ".5"},
        {"1e-5", "1e-5"},
        {"1.0e-5", "1.0e-5"},
        {"1.0e5", "1.0e5"},
        {"1:30.5", "90.5"},
        {".inf", ".inf"},
        {"0x", "0x"},
        {"_1", "_1"},
        {"18446744073709551615", "18446744073709551615"},
        {"0xFFFFFFFFFFFFFFFF", "18446744073709551615"},
        {"0x10000000000000000", "0x10000000000000000"},
        {"2:0000", "2:0000"},
        {"2024-01-01", "2024-01-01"},
        {"0:30.5", "30.5"},
        {"1__2", "12"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        plumb_settings s = {0};
        snprintf(text, sizeof text, "k: %s\n", cases[i][0]);
        assert_null(parse(text, &s));
        assert_string_equal(s.list[0].values[0].text, cases[i][0]);
        assert_int_equal(s.list[0].values[0].is_null, cases[i][1] == NULL);
        if (cases[i][1]) assert_string_equal(s.list[0].values[0].plain, cases[i][1]);
        plumb_settings_free(&s);
    }
}

static void expect_error(const char *bytes, size_t n, const char *message)
{
    plumb_settings s = {0};
    plumb_status status = plumb_yaml_parse(bytes, n, "c.yaml", &s);
    assert_int_equal(plumb_status_code(status), PLUMB_E_INPUT);
    if (!strstr(plumb_status_message(status), message))
        fail_msg("\"%s\" does not hold \"%s\"", plumb_status_message(status), message);
    plumb_status_free(status);
    plumb_settings_free(&s);
}

static void refusals(void **state)
{
    static const char *const cases[][2] = {
        {"", "c.yaml:1: the file holds no key"},
        {"# nothing\n", "the file holds no key"},
        {"text", "c.yaml:1: the file is not a mapping"},
        {"- a\n- b\n", "c.yaml:1: the file is not a mapping"},
        {"a: 1\nb: 2\na: 3\n", "c.yaml:3: \"a\" stands in line 1 already"},
        {"a-b: 1\na_b: 3\n", "c.yaml:2: \"a_b\" stands in line 1 already"},
        {"a: &x 1\n", "c.yaml:1: anchors"},
        {"a: &x [1]\n", "c.yaml:1: anchors"},
        {"a: 1\nb: *x\n", "c.yaml:2: aliases"},
        {"a: 1\nb:\n  - c\n  - *x\n", "c.yaml:4: aliases"},
        {"a: 1\nb: {c: &d {}}\n", "c.yaml:2: anchors"},
        {"<<: {a: 1}\n", "c.yaml:1: merge keys"},
        {"a: !!python/object:os.system x\n", "c.yaml:1: tags"},
        {"a: !!str 5\n", "c.yaml:1: tags"},
        {"a: 1\n---\nb: 2\n", "c.yaml:2: a second document"},
        {"a: 1\n...\n", NULL},
        {"---\na: 1\n", NULL},
        {"a: 1\n\tb: 2\n", "c.yaml:2: is indented by a tab"},
        {"a:\n  \t- b\n", "c.yaml:2: is indented by a tab"},
        {"? [a]\n: b\n", "c.yaml:1: a key is a mapping or a list"},
        {"a: \"x\\0y\"\n", "c.yaml:1: holds a zero byte"},
        {"\"a\\0\": y\n", "c.yaml:1: holds a zero byte"},
        {"a: 1\nb: [1, 2\n", "c.yaml:3: not valid YAML at column 1"},
        {"a: b: c\n", "c.yaml:1: not valid YAML at column 5"},
        {"a: 'x\n", "c.yaml:2: not valid YAML"},
        {"a: 1\nb: \xff\n", "c.yaml:2: not text in UTF-8"},
        {"a: 1\nb: \x01\n", "c.yaml:2: not text in UTF-8"},
        {"\xff\xfe"
         "a",
         "c.yaml:1: not text in UTF-8"},
        {"'': b\n", "c.yaml:1: a key is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_settings s = {0};
        if (cases[i][1]) {
            expect_error(cases[i][0], strlen(cases[i][0]), cases[i][1]);
        } else {
            assert_null(parse(cases[i][0], &s));
            plumb_settings_free(&s);
        }
    }
    expect_error("a: \0\n", 5, "c.yaml:1: not text in UTF-8");
}

/* `before`, then `piece` n times. */
static plumb_text repeated(const char *before, const char *piece, size_t n)
{
    plumb_text t = {0};
    plumb_status s = plumb_text_string(&t, before);
    for (size_t i = 0; !s && i < n; i++) s = plumb_text_string(&t, piece);
    assert_null(s);
    return t;
}

static void bombs(void **state)
{
    static const struct {
        const char *before, *piece;
        size_t n;
        const char *message;
    } cases[] = {
        {"a: ", "[", 100000, "nested more than 16 deep"},
        {"a: ", "{x: ", 1000, "nested more than 16 deep"},
        {"a: [", "[", 14, "not valid YAML"},
        {"a: [", "b,", 400000, "more than 10000 values"},
        {"a: {", "? b,", 200000, "more than 10000 values"},
        {"a: \"", "xxxxxxxxxxxxxxxx", 1 << 17, "is larger than 1048576 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_text t = repeated(cases[i].before, cases[i].piece, cases[i].n);
        expect_error(t.data, t.size, cases[i].message);
        plumb_text_free(&t);
    }
    plumb_text t = {0};
    plumb_status s = PLUMB_OK;
    for (int i = 0; !s && i < 2000; i++) s = plumb_text_printf(&t, "k%d: 1\n", i);
    assert_null(s);
    expect_error(t.data, t.size, "c.yaml:1001: more than 1000 keys");
    plumb_text_free(&t);
}

static void files(void **state)
{
    static const char path[] = PLUMB_TEST_SCRATCH "/yaml_file.yaml";
    plumb_settings s = {0};
    FILE *f = fopen(path, "w");
    (void)state;
    assert_non_null(f);
    fputs("a: 1\n", f);
    fclose(f);
    assert_null(plumb_yaml_load(path, &s));
    assert_string_equal(s.list[0].file, path);
    plumb_settings_free(&s);
    remove(path);
    plumb_status status = plumb_yaml_load(path, &s);
    assert_int_equal(plumb_status_code(status), PLUMB_E_INPUT);
    plumb_status_free(status);
    plumb_settings_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries), cmocka_unit_test(scalars), cmocka_unit_test(refusals),
        cmocka_unit_test(bombs),   cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
