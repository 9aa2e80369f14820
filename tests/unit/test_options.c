/* Option tables: every kind, every spelling, the environment, messages and help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/options.h"

typedef struct values {
    bool fast, plan;
    int64_t max_length, steps;
    double below, beta;
    const char *output, *prompt_key;
    int on_error;
    plumb_list measures, words, add;
    plumb_range range;
    plumb_list data, scores;
} values;

#define AT(member) .offset = offsetof(values, member)

static const plumb_option options[] = {
    {.name = "fast", .letter = 'f', .kind = PLUMB_OPTION_FLAG, AT(fast), .help = "hurry"},
    {.name = "plan", .letter = 'p', .kind = PLUMB_OPTION_FLAG, AT(plan), .fallback = "true", .help = "think first"},
    {.name = "max_length",
     .kind = PLUMB_OPTION_INTEGER,
     AT(max_length),
     .fallback = "1024",
     .metavar = "N",
     .low = 1,
     .high = 4096,
     .help = "longest row"},
    {.name = "steps", .kind = PLUMB_OPTION_INTEGER, AT(steps), .low = -1, .high = INT64_MAX, .help = "how many steps"},
    {.name = "below", .kind = PLUMB_OPTION_REAL, AT(below), .metavar = "X", .help = "the bound"},
    {.name = "beta", .kind = PLUMB_OPTION_REAL, AT(beta), .fallback = "0.1", .low = 0, .high = 10, .help = "strength"},
    {.name = "output",
     .letter = 'o',
     .kind = PLUMB_OPTION_STRING,
     AT(output),
     .metavar = "FILE",
     .changes_no_result = true,
     .help = "where it goes"},
    {.name = "prompt-key", .kind = PLUMB_OPTION_STRING, AT(prompt_key), .fallback = "prompt", .help = "a key"},
    {.name = "on_error",
     .kind = PLUMB_OPTION_CHOICE,
     AT(on_error),
     .choices = "stop|skip",
     .fallback = "stop",
     .help = "what to do"},
    {.name = "measures",
     .kind = PLUMB_OPTION_LIST,
     AT(measures),
     .choices = "ches|ln_ches|last_hidden",
     .fallback = "ches,ln_ches",
     .metavar = "NAME",
     .help = "what to measure"},
    {.name = "words", .kind = PLUMB_OPTION_LIST, AT(words), .help = "free words"},
    {.name = "add", .letter = 'a', .kind = PLUMB_OPTION_REPEATED, AT(add), .help = "one more"},
    {.name = "range", .kind = PLUMB_OPTION_RANGE, AT(range), .help = "some rows"},
};

static const plumb_positional positionals[] = {
    {"DATA", "the data", 1, 1, offsetof(values, data)},
    {"SCORES", "the scores", 1, -1, offsetof(values, scores)},
};

static const plumb_usage usage = {
    .name = "try",
    .summary = "tries",
    .description = "Tries the options.\n\nAt length.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = 2,
    .example = "  plumb try a b",
};

enum { MOST_WORDS = 32 };

/* Parses a line whose words are separated by spaces; ~ stands for a space within a word. */
static plumb_status parse(const char *line, values *v, plumb_options **out)
{
    static char buffer[1024];
    static char *argv[MOST_WORDS];
    int argc = 0;
    memset(v, 0, sizeof *v);
    snprintf(buffer, sizeof buffer, "try %s", line);
    for (char *save = NULL, *word = strtok_r(buffer, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        for (char *p = word; *p; p++) *p = *p == '~' ? ' ' : *p;
        argv[argc++] = word;
    }
    *out = NULL;
    return plumb_options_parse(&usage, NULL, argc, argv, v, out);
}

static void parse_well(const char *line, values *v, plumb_options **out)
{
    plumb_status s = parse(line, v, out);
    if (s) fail_msg("%s: %s", line, plumb_status_message(s));
}

static void defaults(void **state)
{
    (void)state;
    values v;
    plumb_options *o;
    parse_well("d s", &v, &o);
    assert_false(v.fast);
    assert_true(v.plan);
    assert_int_equal(v.max_length, 1024);
    assert_true(v.beta == 0.1);
    assert_null(v.output);
    assert_string_equal(v.prompt_key, "prompt");
    assert_int_equal(v.on_error, 0);
    assert_int_equal(v.measures.count, 2);
    assert_int_equal(v.add.count, 0);
    assert_int_equal(v.range.begin, 0);
    assert_int_equal(v.range.end, -1);
    assert_false(plumb_options_given(o, "beta"));
    plumb_options_free(o);
}

/* What a line does, told by a function that looks at the values. */
typedef struct good_case {
    const char *line;
    bool (*holds)(const values *v);
} good_case;

/* The items joined by '|'. */
static bool list_is(const plumb_list *list, const char *expected)
{
    for (size_t i = 0; i < list->count; i++) {
        size_t n = strlen(list->items[i]);
        if (strncmp(expected, list->items[i], n) != 0 || expected[n] != (i + 1 < list->count ? '|' : 0)) return false;
        expected += n + (i + 1 < list->count);
    }
    return !*expected;
}

#define HOLDS(name, condition)                                                                                         \
    static bool name(const values *v)                                                                                  \
    {                                                                                                                  \
        return condition;                                                                                              \
    }

HOLDS(is_fast, v->fast)
HOLDS(not_fast, !v->fast && v->data.count == 1)
HOLDS(no_plan, !v->plan)
HOLDS(fast_no_plan, v->fast && v->plan)
HOLDS(length_7, v->max_length == 7)
HOLDS(steps_minus_1, v->steps == -1)
HOLDS(below_minus_3_5, v->below == -3.5)
HOLDS(below_minus_milli, v->below == -1e-3)
HOLDS(output_x, strcmp(v->output, "x") == 0)
HOLDS(output_dash, strcmp(v->output, "-") == 0)
HOLDS(output_dashed, strcmp(v->output, "--x") == 0)
HOLDS(output_empty, strcmp(v->output, "") == 0)
HOLDS(key_equal, strcmp(v->prompt_key, "a=b") == 0)
HOLDS(skips, v->on_error == 1)
HOLDS(two_measures, list_is(&v->measures, "ches|last_hidden") && list_is(&v->data, "d"))
HOLDS(one_measure, list_is(&v->measures, "ln_ches") && list_is(&v->data, "d"))
HOLDS(three_words, list_is(&v->words, "a|b|c") && list_is(&v->scores, "s"))
HOLDS(negative_words, list_is(&v->words, "-1|-.5"))
HOLDS(added, list_is(&v->add, "x,y|z"))
HOLDS(range_2_5, v->range.begin == 2 && v->range.end == 5)
HOLDS(range_from_2, v->range.begin == 2 && v->range.end == -1)
HOLDS(range_to_5, v->range.begin == 0 && v->range.end == 5)
HOLDS(dash_data, list_is(&v->data, "-") && list_is(&v->scores, "s"))
HOLDS(after_dashes, list_is(&v->data, "--fast") && list_is(&v->scores, "-x|--") && !v->fast)
HOLDS(three_scores, list_is(&v->data, "d") && list_is(&v->scores, "s1|s2|s3") && v->fast)
HOLDS(negative_data, list_is(&v->data, "-5"))

static const good_case good[] = {
    {"--fast d s", is_fast},
    {"-f d s", is_fast},
    {"d s --fast true", is_fast},
    {"d s --fast=TRUE", is_fast},
    {"d s --fast=yes", is_fast},
    {"--fast True d s", is_fast},
    {"--fast False d s", not_fast},
    {"--fast=false d s", not_fast},
    {"--fast --no_fast d s", not_fast},
    {"--no-plan d s", no_plan},
    {"--no_plan d s", no_plan},
    {"-pf d s", fast_no_plan},
    {"--max_length 7 d s", length_7},
    {"--max-length 7 d s", length_7},
    {"--max-length=7 d s", length_7},
    {"--max_length 9 --max_length 7 d s", length_7},
    {"--steps -1 d s", steps_minus_1},
    {"--below -3.5 d s", below_minus_3_5},
    {"--below=-3.5 d s", below_minus_3_5},
    {"--below -1e-3 d s", below_minus_milli},
    {"--output x d s", output_x},
    {"-o x d s", output_x},
    {"-ox d s", output_x},
    {"-o=x d s", output_x},
    {"-fo x d s", output_x},
    {"d s -o -", output_dash},
    {"d s --output=--x", output_dashed},
    {"d s --output=", output_empty},
    {"d s --prompt_key=a=b", key_equal},
    {"d s --prompt-key a=b", key_equal},
    {"d s --on-error skip", skips},
    {"--measures ches,last_hidden d s", two_measures},
    {"--measures ches last_hidden d s", two_measures},
    {"d s --measures ches, last_hidden", two_measures},
    {"--measures=ln_ches d s", one_measure},
    {"--measures ches --measures ln_ches d s", one_measure},
    {"d s --words a b,c", three_words},
    {"--words a b c -- d s", three_words},
    {"d s --words -1 -.5", negative_words},
    {"-a x,y d --add z s", added},
    {"--range 2:5 d s", range_2_5},
    {"--range 2: d s", range_from_2},
    {"--range :5 d s", range_to_5},
    {"- s", dash_data},
    {"-- --fast -x --", after_dashes},
    {"d s1 --fast s2 s3", three_scores},
    {"-5 s", negative_data},
};

static void spellings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        values v;
        plumb_options *o;
        parse_well(good[i].line, &v, &o);
        if (!good[i].holds(&v)) fail_msg("wrong values: %s", good[i].line);
        plumb_options_free(o);
    }
}

static const struct bad_case {
    const char *line, *message, *cure;
} bad[] = {
    {"d s --max_lenght 5", "--max_lenght: unknown option", "did you mean --max_length?"},
    {"d s --max_len=5", "--max_len: unknown option", "did you mean --max_length?"},
    {"d s --Fast", "--Fast: unknown option", "did you mean --fast?"},
    {"d s --no_output", "--no_output: unknown option", "did you mean --output?"},
    {"d s --hlep", "--hlep: unknown option", "did you mean --help?"},
    {"d s --quantize", "--quantize: unknown option", "plumb try --help lists the options"},
    {"d s -z", "-z: unknown option", "plumb try --help lists the options"},
    {"d s --max_length 0", "--max_length: 0 is not in 1..4096", NULL},
    {"d s --max_length 4097", "--max_length: 4097 is not in 1..4096", NULL},
    {"d s --max_length 99999999999999999999", "--max_length: 99999999999999999999 is not in 1..4096", NULL},
    {"d s --max_length many", "--max_length: \"many\" is not a whole number", NULL},
    {"d s --max_length 1.5", "--max_length: \"1.5\" is not a whole number", NULL},
    {"d s --max_length=", "--max_length: \"\" is not a whole number", NULL},
    {"d s --max_length", "--max_length: a value is missing", "write --max_length N"},
    {"d s --output --fast", "--output: a value is missing",
     "a value that starts with a dash is written --output=--fast"},
    {"d s --steps -2", "--steps: -2 is less than -1", NULL},
    {"d s --steps 99999999999999999999", "--steps: 99999999999999999999 does not fit into 64 bits", NULL},
    {"d s --below nan", "--below: \"nan\" is not a number", NULL},
    {"d s --below 0x10", "--below: \"0x10\" is not a number", NULL},
    {"d s --below 1e999", "--below: 1e999 is beyond the range of numbers", NULL},
    {"d s --beta -0.5", "--beta: -0.5 is not in 0..10", NULL},
    {"d s --fast=maybe", "--fast: \"maybe\" is not true or false", NULL},
    {"d s --no_fast=true", "--no_fast: takes no value", "write --fast=true"},
    {"d s --on_error skp", "--on_error: \"skp\" is none of stop, skip", "did you mean skip?"},
    {"d s --measures lnches", "--measures: \"lnches\" is none of ches, ln_ches, last_hidden", "did you mean ln_ches?"},
    {"d s --measures ,", "--measures: a value is missing", "write --measures NAME"},
    {"d s --measures --fast", "--measures: a value is missing",
     "a value that starts with a dash is written --measures=--fast"},
    {"d s --range 5:5", "--range: 5:5 holds no row", "write A:B with A less than B; row B is not included"},
    {"d s --range 5", "--range: \"5\" is not a range of rows",
     "write A:B, A: or :B with row numbers from 0; row B is not included"},
    {"d s --range=-1:5", "--range: \"-1:5\" is not a range of rows",
     "write A:B, A: or :B with row numbers from 0; row B is not included"},
    {"d s --range :", "--range: \":\" is not a range of rows",
     "write A:B, A: or :B with row numbers from 0; row B is not included"},
    {"", "DATA is missing", "usage: plumb try DATA SCORES... [options]; plumb try --help tells more"},
    {"d", "SCORES is missing", "usage: plumb try DATA SCORES... [options]; plumb try --help tells more"},
    {"--words a d s", "DATA is missing; --words took all words that follow it",
     "put DATA before --words, or end the list with --"},
};

static void messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        values v;
        plumb_options *o;
        plumb_status s = parse(bad[i].line, &v, &o);
        if (!s) fail_msg("accepted: %s", bad[i].line);
        assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
        assert_string_equal(plumb_status_message(s), bad[i].message);
        if (bad[i].cure) assert_string_equal(plumb_status_cure(s), bad[i].cure);
        plumb_status_free(s);
        assert_null(o);
    }
}

static void fixed_number_of_positionals(void **state)
{
    (void)state;
    values v = {0};
    plumb_options *o = NULL;
    const plumb_positional one = {"DATA", "the data", 1, 1, offsetof(values, data)};
    const plumb_positional two = {"RUN", "two or three runs", 2, 3, offsetof(values, data)};
    const plumb_usage single = {.name = "one", .positionals = &one, .positional_count = 1};
    const plumb_usage several = {.name = "two", .positionals = &two, .positional_count = 1};
    char *argv[] = {(char *)"x", (char *)"a", (char *)"b", (char *)"c", (char *)"d", NULL};
    plumb_status s = plumb_options_parse(&single, NULL, 3, argv, &v, &o);
    assert_string_equal(plumb_status_message(s), "\"b\": one argument too many");
    plumb_status_free(s);
    s = plumb_options_parse(&several, NULL, 2, argv, &v, &o);
    assert_string_equal(plumb_status_message(s), "RUN: at least 2 are needed, 1 given");
    plumb_status_free(s);
    s = plumb_options_parse(&several, NULL, 5, argv, &v, &o);
    assert_string_equal(plumb_status_message(s), "\"d\": one argument too many");
    plumb_status_free(s);
    assert_null(plumb_options_parse(&several, NULL, 4, argv, &v, &o));
    assert_int_equal(v.data.count, 3);
    plumb_options_free(o);
}

/* One positional in the middle takes what the others leave. */
static void varying_number_in_the_middle(void **state)
{
    (void)state;
    struct {
        plumb_list first, middle, last;
    } v;
    plumb_options *o = NULL;
    const plumb_positional three[] = {{"DATA", "the data", 1, 1, 0},
                                      {"SCORES", "some scores", 1, -1, sizeof(plumb_list)},
                                      {"LEDGER", "a run", 1, 1, 2 * sizeof(plumb_list)}};
    const plumb_usage several = {.name = "three", .positionals = three, .positional_count = 3};
    char *argv[] = {(char *)"x", (char *)"a", (char *)"b", (char *)"c", (char *)"d", NULL};
    assert_null(plumb_options_parse(&several, NULL, 5, argv, &v, &o));
    assert_string_equal(v.first.items[0], "a");
    assert_int_equal(v.middle.count, 2);
    assert_string_equal(v.middle.items[1], "c");
    assert_string_equal(v.last.items[0], "d");
    plumb_options_free(o);
    assert_null(plumb_options_parse(&several, NULL, 4, argv, &v, &o));
    assert_int_equal(v.middle.count, 1);
    assert_string_equal(v.last.items[0], "c");
    plumb_options_free(o);
    static const char *const missing[] = {"DATA is missing", "SCORES is missing", "LEDGER is missing"};
    for (int words = 0; words < 3; words++) {
        plumb_status s = plumb_options_parse(&several, NULL, words + 1, argv, &v, &o);
        assert_string_equal(plumb_status_message(s), missing[words]);
        assert_non_null(strstr(plumb_status_cure(s), "plumb three DATA SCORES... LEDGER"));
        plumb_status_free(s);
    }
}

static void environment(void **state)
{
    (void)state;
    values v;
    plumb_options *o;
    plumb_text label = {0};
    setenv("PLUMB_MAX_LENGTH", "5", 1);
    setenv("PLUMB_PROMPT_KEY", "question", 1);
    setenv("PLUMB_FAST", "1", 1);
    setenv("PLUMB_ADD", "a,b", 1);
    setenv("PLUMB_BETA", "", 1);
    parse_well("d s --prompt_key q", &v, &o);
    assert_int_equal(v.max_length, 5);
    assert_string_equal(v.prompt_key, "q");
    assert_true(v.fast);
    assert_true(list_is(&v.add, "a|b"));
    assert_true(v.beta == 0.1);
    assert_int_equal(plumb_options_source(o, "max_length"), PLUMB_FROM_ENVIRONMENT);
    assert_int_equal(plumb_options_source(o, "prompt_key"), PLUMB_FROM_COMMAND_LINE);
    assert_int_equal(plumb_options_source(o, "beta"), PLUMB_FROM_DEFAULT);
    assert_null(plumb_options_label(o, "max_length", &label));
    assert_null(plumb_text_string(&label, " "));
    assert_null(plumb_options_label(o, "prompt_key", &label));
    assert_string_equal(label.data, "PLUMB_MAX_LENGTH (environment) --prompt-key");
    plumb_options_free(o);

    parse_well("d s --add c", &v, &o);
    assert_true(list_is(&v.add, "c"));
    plumb_options_free(o);

    setenv("PLUMB_MAX_LENGTH", "many", 1);
    plumb_status s = parse("d s", &v, &o);
    assert_string_equal(plumb_status_message(s), "PLUMB_MAX_LENGTH (environment): \"many\" is not a whole number");
    plumb_status_free(s);
    parse_well("d s --max_length 6", &v, &o); /* not looked at */
    assert_int_equal(v.max_length, 6);
    plumb_options_free(o);

    plumb_text_free(&label);
    unsetenv("PLUMB_MAX_LENGTH");
    unsetenv("PLUMB_PROMPT_KEY");
    unsetenv("PLUMB_FAST");
    unsetenv("PLUMB_ADD");
    unsetenv("PLUMB_BETA");
}

static void help_wins(void **state)
{
    (void)state;
    values v;
    plumb_options *o;
    parse_well("--nonsense -h", &v, &o);
    assert_true(plumb_options_wants_help(o));
    plumb_options_free(o);
    parse_well("--version", &v, &o);
    assert_true(plumb_options_wants_version(o));
    plumb_options_free(o);
    parse_well("-- --help s", &v, &o);
    assert_false(plumb_options_wants_help(o));
    plumb_options_free(o);
}

static void record(void **state)
{
    (void)state;
    values v;
    plumb_options *o;
    json_t *json = NULL;
    setenv("PLUMB_BETA", "0.5", 1);
    parse_well("d s -o x --measures ches --range 2: --add caf\xE9", &v, &o);
    assert_null(plumb_options_json(o, &json));
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9));
    assert_string_equal(text, "{\"options\":{\"fast\":false,\"plan\":true,\"max_length\":1024,\"steps\":null,"
                              "\"below\":null,\"beta\":0.5,\"prompt_key\":\"prompt\",\"on_error\":\"stop\","
                              "\"measures\":[\"ches\"],\"words\":null,\"add\":[\"caf%E9\"],\"range\":\"2:\"},"
                              "\"run\":{\"output\":\"x\",\"arguments\":[\"d\",\"s\"]},"
                              "\"sources\":{\"beta\":\"environment\",\"output\":\"command line\","
                              "\"measures\":\"command line\",\"add\":\"command line\",\"range\":\"command line\"}}");
    free(text);
    json_decref(json);
    plumb_options_free(o);
    unsetenv("PLUMB_BETA");
}

static void help_text(void **state)
{
    (void)state;
    static const char *const parts[] = {
        "Usage: plumb try DATA SCORES... [options]\n\nTries the options.\n\nAt length.\n",
        "  DATA                    the data\n  SCORES...               the scores\n",
        "  -f, --fast              hurry [PLUMB_FAST]\n",
        "      --max_length N      longest row [1..4096; default: 1024; PLUMB_MAX_LENGTH]\n",
        "      --steps VALUE       how many steps [at least -1; PLUMB_STEPS]\n",
        "      --prompt-key VALUE  a key [default: prompt; PLUMB_PROMPT_KEY]\n",
        "      --on_error stop|skip\n                          what to do [default: stop; PLUMB_ON_ERROR]\n",
        ("      --measures NAME...  what to measure [ches, ln_ches, last_hidden; default:\n"
         "                          ches,ln_ches; PLUMB_MEASURES]\n"),
        "      --range A:B         some rows [PLUMB_RANGE]\n",
        "What needs no value takes true or false too;\nNAME... stands for several values, or one with commas.\n",
        "\nExample:\n  plumb try a b\n",
    };
    plumb_text text = {0};
    assert_null(plumb_options_help(&usage, 80, &text));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(text.data, parts[i])) fail_msg("not in the help: %s\n%s", parts[i], text.data);
    for (const char *p = text.data; *p;) {
        size_t n = strcspn(p, "\n");
        if (n > 80) fail_msg("too wide: %.*s", (int)n, p);
        p += n + (p[n] == '\n');
    }
    plumb_text_free(&text);
}

static void wrapping(void **state)
{
    (void)state;
    plumb_text text = {0};
    assert_null(plumb_wrap(&text, "aaa bbb ccc\n\n kept as  it is, however long\nddd eee", 2, 9));
    assert_string_equal(text.data, "aaa bbb\n  ccc\n\n   kept as  it is, however long\n  ddd eee");
    plumb_text_free(&text);
}

static void nearest(void **state)
{
    (void)state;
    const char *const words[] = {"score", "filter", "sft", "dpo", "max_length", "max_grad_norm"};
    static const struct {
        const char *typed, *meant;
    } cases[] = {
        {"scroe", "score"},
        {"fliter", "filter"},
        {"Filter", "filter"},
        {"filters", "filter"},
        {"dop", "dpo"},
        {"max-length", "max_length"},
        {"max_g", "max_grad_norm"},
        {"max_", "max_length"},
        {"elephant", NULL},
        {"", NULL},
        {"x", NULL},
        {"a_word_that_is_longer_than_any_name_that_could_be_in_a_table_of_options", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *near = plumb_nearest(cases[i].typed, words, 6);
        if (!cases[i].meant)
            assert_null(near);
        else
            assert_string_equal(near, cases[i].meant);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(spellings),
        cmocka_unit_test(messages),
        cmocka_unit_test(fixed_number_of_positionals),
        cmocka_unit_test(varying_number_in_the_middle),
        cmocka_unit_test(environment),
        cmocka_unit_test(help_wins),
        cmocka_unit_test(record),
        cmocka_unit_test(help_text),
        cmocka_unit_test(wrapping),
        cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
