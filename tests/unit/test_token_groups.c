/* Classes of words: spellings, the groups file, what is wrong with one, and a vocabulary. */
#include "support.h"

#include "study/token_groups.h"
#include "unit/scratch.h"

static plumb_token_groups *open_text(const char *name, const char *text)
{
    plumb_token_groups *g;
    check_ok(plumb_token_groups_open(text ? scratch_file(name, text, strlen(text)) : NULL, &g));
    return g;
}

/* The classes of a text, as their names. */
static void check_class_n(const plumb_token_groups *g, const char *text, size_t n, const char *want)
{
    plumb_classes set;
    plumb_text label = {0};
    check_ok(plumb_token_groups_find(g, text, n, &set));
    check_ok(plumb_token_groups_label(g, set, &label));
    if (strcmp(label.data, want) != 0) fail_msg("\"%s\" is %s, expected %s", text, label.data, want);
    plumb_text_free(&label);
}

static void check_class(const plumb_token_groups *g, const char *text, const char *want)
{
    check_class_n(g, text, strlen(text), want);
}

static void spellings(void **state)
{
    (void)state;
    plumb_token_groups *g = open_text(NULL, NULL);
    static const char *const yes[] = {
        "yes", "Yes", "YES", " yes", "\xE2\x96\x81Yes", "\xE2\x96\x81\xE2\x96\x81yes", "\n Yes \t"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) check_class(g, yes[i], "affirmation");
    check_class(g, " No", "denial");
    check_class(g, "Never", "denial");
    check_class(g, "can't", "refusal");
    check_class(g, " Can\xE2\x80\x99t", "refusal"); /* U+2019 */
    check_class(g, "S\xC3\x8D", "affirmation");     /* SÍ */
    check_class(g, "Sure", "affirmation+compliance");
    check_class(g, " perhaps", "hedging");
    check_class(g, "yesterday", "none");
    check_class(g, "ye s", "none");
    check_class(g, "", "none");
    check_class(g, "  ", "none");
    check_class(g, "\xE2\x96", "none"); /* no UTF-8 */
    check_class_n(g, "no\0x", 4, "none");
    plumb_token_groups_free(g);
}

/* The set of classes that the text's classes are opposed to. */
static void check_opposites(const plumb_token_groups *g, const char *text, const char *want)
{
    plumb_classes set;
    plumb_text label = {0};
    check_ok(plumb_token_groups_find(g, text, strlen(text), &set));
    check_ok(plumb_token_groups_label(g, plumb_token_groups_opposites(g, set), &label));
    assert_string_equal(label.data, want);
    plumb_text_free(&label);
}

static void built_in_opposites(void **state)
{
    (void)state;
    plumb_token_groups *g = open_text(NULL, NULL);
    check_opposites(g, "yes", "denial");
    check_opposites(g, "no", "affirmation");
    check_opposites(g, "sorry", "compliance");
    check_opposites(g, "here", "refusal");
    check_opposites(g, "sure", "denial+refusal");
    check_opposites(g, "maybe", "none");
    check_opposites(g, "table", "none");
    plumb_token_groups_free(g);
}

/* A file adds to what is built in; its words leave the built-in classes. */
static void a_file_extends(void **state)
{
    (void)state;
    plumb_token_groups *g = open_text("groups.yaml", "# colours\nwarm: [red, Orange]\ncold:\n  - blue\n  - no\n"
                                                     "denial: [nope, \"Nay!\"]\nopposites: [warm/cold]\n");
    check_class(g, " RED", "warm");
    check_class(g, "orange", "warm");
    check_class(g, "no", "cold"); /* not denial */
    check_class(g, "never", "denial");
    check_class(g, "nay!", "denial");
    check_class(g, "yes", "affirmation");
    check_opposites(g, "red", "cold");
    check_opposites(g, "no", "warm");
    check_opposites(g, "never", "affirmation");
    assert_int_equal(plumb_token_groups_count(g), 7);
    assert_string_equal(plumb_token_groups_name(g, 5), "warm");
    plumb_token_groups_free(g);
}

/* JSON is YAML; words that YAML has a meaning for stay words. */
static void a_file_replaces(void **state)
{
    (void)state;
    plumb_token_groups *g =
        open_text("groups.json", "{\"a\": [\"yes\", \"null\", \"x\"], \"b\": [yes, 1, \"\\u00e9t\\u00e9\"],\n"
                                 " \"builtin\": false, \"opposites\": [\"a/b\"]}\n");
    check_class(g, "Yes", "a+b");
    check_class(g, "null", "a");
    check_class(g, "1", "b");
    check_class(g, "\xC3\x89t\xC3\xA9", "b");
    check_class(g, "no", "none");
    check_opposites(g, "x", "b");
    assert_int_equal(plumb_token_groups_count(g), 2);
    plumb_token_groups_free(g);
}

static void faults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a: [x]\nopposites: [a/c]\n", ":2: \"a/c\" is not a pair of classes"},
        {"a: [x]\nopposites: [a/a]\n", "\"a/a\" is not a pair"},
        {"a: [x]\nopposites: [a]\n", "\"a\" is not a pair"},
        {"a: [x]\nbuiltin: maybe\n", ":2: \"builtin\" is neither true nor false"},
        {"a: []\n", ":1: \"a\" has no list of words"},
        {"a: {b: c}\n", "\"a\" has no list of words"},
        {"a: ['  ']\n", "is no word"},
        {"a+b: [x]\n", "\"a+b\" is no name of a class"},
        {"none: [x]\n", "\"none\" is no name of a class"},
        {"builtin: false\n", "has no class"},
        {"a: [x\n", "not valid YAML"},
    };
    plumb_token_groups *g;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_error(plumb_token_groups_open(scratch_file("bad.yaml", cases[i].text, strlen(cases[i].text)), &g),
                    PLUMB_E_INPUT, cases[i].message);
    plumb_text many = {0};
    for (int i = 0; i <= PLUMB_CLASSES; i++) check_ok(plumb_text_printf(&many, "c%d: [w%d]\n", i, i));
    check_ok(plumb_text_string(&many, "builtin: false\n"));
    check_error(plumb_token_groups_open(scratch_file("many.yaml", many.data, many.size), &g), PLUMB_E_INPUT,
                ":33: more than 32 classes");
    plumb_text_free(&many);
    check_error(plumb_token_groups_open(scratch("absent.yaml"), &g), PLUMB_E_INPUT, "absent.yaml");
}

/* Byte-level and SentencePiece-style tokens of two vocabularies. */
static void check_vocabulary(const char *model, const char *const tokens[3])
{
    plumb_tokenizer *t;
    plumb_token_groups *g = open_text(NULL, NULL);
    enum { BEYOND = 8 };
    check_ok(plumb_tokenizer_open(oracle_path("models", model), &t));
    int size = plumb_tokenizer_size(t) + BEYOND, found = 0;
    plumb_classes *map, want;
    check_ok(plumb_new(&map, (size_t)size, sizeof *map));
    check_ok(plumb_token_groups_map(g, t, size, map));
    for (int i = 0; i < 3; i++) {
        int32_t id = plumb_tokenizer_id(t, tokens[i], strlen(tokens[i]));
        if (id < 0) continue;
        check_ok(plumb_token_groups_find(g, i < 2 ? "yes" : "no", i < 2 ? 3 : 2, &want));
        assert_int_equal(map[id], want);
        found++;
    }
    if (found < 2) fail_msg("%s has only %d of the tokens", model, found);
    for (int v = size - BEYOND; v < size; v++) assert_int_equal(map[v], 0);
    free(map);
    plumb_token_groups_free(g);
    plumb_tokenizer_free(t);
}

static void vocabularies(void **state)
{
    (void)state;
    check_vocabulary("olmo", (const char *const[]){"Yes", "\xC4\xA0Yes", "No"});
    check_vocabulary("gemma-chat", (const char *const[]){"Yes", "\xE2\x96\x81Yes", "No"});
    check_vocabulary("llama2", (const char *const[]){"Yes", "\xE2\x96\x81Yes", "\xE2\x96\x81No"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings),      cmocka_unit_test(built_in_opposites),
        cmocka_unit_test(a_file_extends), cmocka_unit_test(a_file_replaces),
        cmocka_unit_test(faults),         cmocka_unit_test(vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
