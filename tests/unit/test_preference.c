/* Every form of preference rows, and every message about rows that are none. */
#include "support.h"

#include "align/preference.h"
#include "scratch.h"

#define NONE PLUMB_IMPLICIT_NONE
#define TURN PLUMB_IMPLICIT_TURN
#define WORD PLUMB_IMPLICIT_WORD

static plumb_status parse(const char *text, const plumb_preference_keys *keys, plumb_preference *out)
{
    return plumb_preference_parse(text, strlen(text), keys, out);
}

static const plumb_preference_keys plain_keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE};

/* ---- strings ---- */

static const struct text_row {
    const char *row;
    plumb_implicit_prompt implicit;
    const char *prompt, *chosen, *rejected;
} text_rows[] = {
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"}", NONE, "p", "c", "r"},
    {"{\"rejected\":\"r\",\"id\":7,\"score\":0.5,\"chosen\":\"c\",\"prompt\":\"p\"}", NONE, "p", "c", "r"},
    {"{\"prompt\":\"\",\"chosen\":\"\",\"rejected\":\"\"}", NONE, "", "", ""},
    {"  {\"prompt\":\"\\u00e9\\ud83d\\ude00\",\"chosen\":\"caf\xc3\xa9\",\"rejected\":\"\\n\"}  ", NONE,
     "\xc3\xa9\xf0\x9f\x98\x80", "caf\xc3\xa9", "\n"},
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\",\"tools\":null,\"images\":[]}", NONE, "p", "c", "r"},
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\",\"prompt_ids\":null,\"chosen_ids\":null,"
     "\"rejected_ids\":null}",
     NONE, "p", "c", "r"},
    /* a prompt that is there is taken as it is, whatever --implicit_prompt says */
    {"{\"prompt\":\"p\",\"chosen\":\"same c\",\"rejected\":\"same r\"}", WORD, "p", "same c", "same r"},
    /* HH-RLHF: the last turn that both have */
    {"{\"chosen\":\"\\n\\nHuman: Hi\\n\\nAssistant: Hello.\",\"rejected\":\"\\n\\nHuman: Hi\\n\\nAssistant: Go "
     "away.\"}",
     TURN, "\n\nHuman: Hi\n\nAssistant:", " Hello.", " Go away."},
    {"{\"chosen\":\"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: d\","
     "\"rejected\":\"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: e\"}",
     TURN, "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", " d", " e"},
    {"{\"chosen\":\"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: d\","
     "\"rejected\":\"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: X\\n\\nAssistant: d\"}",
     TURN, "\n\nHuman: a\n\nAssistant:", " b\n\nHuman: c\n\nAssistant: d", " b\n\nHuman: X\n\nAssistant: d"},
    {"{\"chosen\":\"<|user|>q<|assistant|>yes\",\"rejected\":\"<|user|>q<|assistant|>no\"}", TURN,
     "<|user|>q<|assistant|>", "yes", "no"},
    {"{\"chosen\":\"<|im_start|>user\\nq<|im_end|>\\n<|im_start|>assistant\\na\","
     "\"rejected\":\"<|im_start|>user\\nq<|im_end|>\\n<|im_start|>assistant\\nb\"}",
     TURN, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", "a", "b"},
    {"{\"prompt\":null,\"chosen\":\"\\n\\nAssistant: same\",\"rejected\":\"\\n\\nAssistant: same\"}", TURN,
     "\n\nAssistant:", " same", " same"},
    {"{\"chosen\":\"\\n\\nAssistant:\",\"rejected\":\"\\n\\nAssistant: x\"}", TURN, "\n\nAssistant:", "", " x"},
    /* the last common word */
    {"{\"chosen\":\"The sky is blue\",\"rejected\":\"The sky is brown\"}", WORD, "The sky is ", "blue", "brown"},
    {"{\"chosen\":\"The sky is blue\",\"rejected\":\"The sky is\"}", WORD, "The sky is", " blue", ""},
    {"{\"chosen\":\"one two\\nthree\",\"rejected\":\"one two four\"}", WORD, "one two", "\nthree", " four"},
    {"{\"chosen\":\"na\xc3\xafve caf\xc3\xa9\",\"rejected\":\"na\xc3\xafve caf\xc3\xa8\"}", WORD, "na\xc3\xafve ",
     "caf\xc3\xa9", "caf\xc3\xa8"}, /* not within a character */
    {"{\"chosen\":\"all the same\",\"rejected\":\"all the same\"}", WORD, "all the same", "", ""},
};

static void string_is(const char *row, const char *what, const char *got, size_t size, const char *want)
{
    if (size != strlen(want) || memcmp(got, want, size) != 0)
        fail_msg("%s: the %s is \"%.*s\", expected \"%s\"", row, what, (int)size, got, want);
}

static void string_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof text_rows / sizeof *text_rows; i++) {
        const struct text_row *t = &text_rows[i];
        plumb_preference_keys keys = plain_keys;
        plumb_preference p = {0};
        keys.implicit = t->implicit;
        check_ok(parse(t->row, &keys, &p));
        assert_int_equal(p.form, PLUMB_FORM_TEXT);
        string_is(t->row, "prompt", p.prompt, p.prompt_size, t->prompt);
        string_is(t->row, "chosen response", p.response[0], p.response_size[0], t->chosen);
        string_is(t->row, "rejected response", p.response[1], p.response_size[1], t->rejected);
        plumb_preference_clear(&p);
    }
}

static void zero_characters_belong_to_the_text(void **state)
{
    (void)state;
    plumb_preference p = {0};
    check_ok(parse("{\"prompt\":\"a\\u0000b\",\"chosen\":\"\\u0000\",\"rejected\":\"r\"}", &plain_keys, &p));
    assert_int_equal(p.prompt_size, 3);
    assert_memory_equal(p.prompt, "a\0b", 3);
    assert_int_equal(p.response_size[0], 1);
    plumb_preference_clear(&p);
}

/* ---- messages ---- */

#define USER(text)      "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ASSISTANT(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define SYSTEM(text)    "{\"role\":\"system\",\"content\":\"" text "\"}"

static const struct message_row {
    const char *row, *prompt, *chosen, *rejected; /* as lists of messages */
    bool repeated;
} message_rows[] = {
    {"{\"prompt\":[" USER("q") "],\"chosen\":[" ASSISTANT("c") "],\"rejected\":[" ASSISTANT("r") "]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("r") "]", false},
    {"{\"prompt\":[" SYSTEM("s") "," USER("q") "],\"chosen\":[" ASSISTANT("c") "," USER("q2") "," ASSISTANT(
         "c2") "],\"rejected\":[" ASSISTANT("r") "]}",
     "[" SYSTEM("s") "," USER("q") "]", "[" ASSISTANT("c") "," USER("q2") "," ASSISTANT("c2") "]",
     "[" ASSISTANT("r") "]", false},
    /* whole conversations: the common leading messages */
    {"{\"chosen\":[" USER("q") "," ASSISTANT("c") "],\"rejected\":[" USER("q") "," ASSISTANT("r") "]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("r") "]", false},
    {"{\"prompt\":null,\"chosen\":[" SYSTEM("s") "," USER("a") "," ASSISTANT("b") "," USER("c") "," ASSISTANT(
         "d") "],\"rejected\":[" SYSTEM("s") "," USER("a") "," ASSISTANT("b") "," USER("c") "," ASSISTANT("e") "]}",
     "[" SYSTEM("s") "," USER("a") "," ASSISTANT("b") "," USER("c") "]", "[" ASSISTANT("d") "]", "[" ASSISTANT("e") "]",
     false},
    /* one ends within the common messages, or both are the same: the last message stays a response (TRL) */
    {"{\"chosen\":[" USER("q") "," ASSISTANT("c") "],\"rejected\":[" USER("q") "," ASSISTANT("c") "]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("c") "]", false},
    {"{\"chosen\":[" USER("q") "," ASSISTANT("c") "],\"rejected\":[" USER("q") "," ASSISTANT("c") "," USER(
         "x") "," ASSISTANT("y") "]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("c") "," USER("x") "," ASSISTANT("y") "]", false},
    /* UltraFeedback: a string prompt that the conversations repeat */
    {"{\"prompt\":\"q\",\"prompt_id\":\"f0\",\"chosen\":[" USER("q") "," ASSISTANT("c") "],\"rejected\":[" USER(
         "q") "," ASSISTANT("r") "],\"messages\":[" USER("q") "],\"score_chosen\":8.0}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("r") "]", true},
    {"{\"prompt\":\"q\",\"chosen\":[" SYSTEM("s") "," USER("q") "," ASSISTANT("c") "],\"rejected\":[" SYSTEM(
         "s") "," USER("q") "," ASSISTANT("r") "]}",
     "[" SYSTEM("s") "," USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("r") "]", true},
    {"{\"prompt\":\"q\",\"chosen\":[" USER("q") "," ASSISTANT("c") "],\"rejected\":[" USER("q") "," ASSISTANT("c") "]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("c") "]", true},
    /* keys that are null count as missing, so that the messages are equal and the template does not see them */
    {"{\"chosen\":[{\"role\":\"user\",\"content\":\"q\",\"name\":null}," ASSISTANT("c") "],\"rejected\":[" USER(
         "q") ",{\"content\":\"r\",\"role\":\"assistant\",\"tool_calls\":null}]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("r") "]", false},
    {"{\"prompt\":[{\"role\":\"user\",\"content\":\"q\",\"name\":null}],\"chosen\":[" ASSISTANT(
         "c") "],\"rejected\":[" ASSISTANT("r") "]}",
     "[" USER("q") "]", "[" ASSISTANT("c") "]", "[" ASSISTANT("r") "]", false},
    /* further keys stay: a template may look at them */
    {"{\"prompt\":[{\"role\":\"user\",\"content\":\"q\",\"name\":\"Ann\"}],\"chosen\":[" ASSISTANT(
         "") "],\"rejected\":[" ASSISTANT("r") "]}",
     "[{\"role\":\"user\",\"content\":\"q\",\"name\":\"Ann\"}]", "[" ASSISTANT("") "]", "[" ASSISTANT("r") "]", false},
};

static void list_is(const char *row, const char *what, const json_t *got, const char *want)
{
    json_t *expected = json_loads(want, 0, NULL);
    assert_non_null(expected);
    if (!json_equal(got, expected)) {
        char *text = json_dumps(got, JSON_COMPACT);
        fail_msg("%s: the %s is %s, expected %s", row, what, text, want);
    }
    json_decref(expected);
}

static void message_forms(void **state)
{
    (void)state;
    static const plumb_implicit_prompt rules[] = {NONE, TURN, WORD}; /* only strings ask for one */
    for (size_t i = 0; i < 3 * sizeof message_rows / sizeof *message_rows; i++) {
        const struct message_row *t = &message_rows[i / 3];
        plumb_preference_keys keys = plain_keys;
        plumb_preference p = {0};
        keys.implicit = rules[i % 3];
        check_ok(parse(t->row, &keys, &p));
        assert_int_equal(p.form, PLUMB_FORM_MESSAGES);
        list_is(t->row, "prompt", p.prompt_messages, t->prompt);
        list_is(t->row, "chosen response", p.response_messages[0], t->chosen);
        list_is(t->row, "rejected response", p.response_messages[1], t->rejected);
        assert_int_equal(p.prompt_repeated, t->repeated);
        plumb_preference_clear(&p);
    }
}

/* ---- token ids ---- */

static void ids_are(const plumb_ids *got, const int32_t *want, size_t count)
{
    assert_int_equal(got->count, count);
    for (size_t i = 0; i < count; i++) assert_int_equal(got->data[i], want[i]);
}

static void token_ids(void **state)
{
    (void)state;
    plumb_preference p = {0};
    check_ok(parse("{\"prompt\":\"ignored\",\"chosen\":\"c\",\"rejected\":\"r\",\"prompt_ids\":[1,2.0],"
                   "\"chosen_ids\":[3],\"rejected_ids\":[4,5,16777215]}",
                   &plain_keys, &p));
    assert_int_equal(p.form, PLUMB_FORM_IDS);
    ids_are(&p.prompt_ids, (int32_t[]){1, 2}, 2);
    ids_are(&p.response_ids[0], (int32_t[]){3}, 1);
    ids_are(&p.response_ids[1], (int32_t[]){4, 5, 16777215}, 3);
    plumb_preference_clear(&p);
    check_ok(parse("{\"prompt_ids\":[],\"chosen_ids\":[],\"rejected_ids\":[]}", &plain_keys, &p));
    assert_int_equal(p.form, PLUMB_FORM_IDS);
    plumb_preference_clear(&p);
}

static void renamed_keys(void **state)
{
    (void)state;
    plumb_preference_keys keys = {"question", "response_j", "response_k", PLUMB_IMPLICIT_NONE};
    plumb_preference p = {0};
    check_ok(
        parse("{\"question\":\"q\",\"response_j\":\"j\",\"response_k\":\"k\",\"prompt\":[1],\"chosen\":2}", &keys, &p));
    string_is("renamed", "prompt", p.prompt, p.prompt_size, "q");
    string_is("renamed", "chosen response", p.response[0], p.response_size[0], "j");
    string_is("renamed", "rejected response", p.response[1], p.response_size[1], "k");
    plumb_preference_clear(&p);
}

/* ---- messages about bad rows ---- */

static const struct bad_row {
    const char *row;
    plumb_implicit_prompt implicit;
    const char *says;
} bad_rows[] = {
    {"", NONE, "not valid JSON"},
    {"{\"prompt\":\"p\"", NONE, "not valid JSON"},
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"\xff\"}", NONE, "not valid JSON"},
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"\\ud800\"}", NONE, "not valid JSON"},
    {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\"} {}", NONE, "not valid JSON"},
    {"[]", NONE, "the row is a list; expected an object"},
    {"\"text\"", NONE, "the row is a string; expected an object"},
    {"null", NONE, "the row is null"},
    {"{}", NONE, "\"C\" is missing"},
    {"{}", NONE, "--prompt_key, --chosen_key, --rejected_key"},
    {"{\"P\":\"p\",\"C\":\"c\"}", NONE, "\"R\" is missing"},
    {"{\"P\":\"p\",\"C\":3,\"R\":\"r\"}", NONE, "\"C\" is a number; expected a string or a list of messages"},
    {"{\"P\":\"p\",\"C\":\"c\",\"R\":null}", NONE, "\"R\" is null; expected a string or a list"},
    {"{\"P\":\"p\",\"C\":{},\"R\":\"r\"}", NONE, "\"C\" is an object"},
    {"{\"P\":3,\"C\":\"c\",\"R\":\"r\"}", NONE, "\"P\" is a number; expected a string or a list of messages"},
    {"{\"P\":{},\"C\":[" ASSISTANT("c") "],\"R\":[" ASSISTANT("r") "]}", NONE, "\"P\" is an object"},
    {"{\"P\":\"p\",\"C\":\"c\",\"R\":[" ASSISTANT("r") "]}", NONE,
     "\"C\" is a string and \"R\" is a list; expected the same form"},
    {"{\"P\":[" USER("q") "],\"C\":\"c\",\"R\":\"r\"}", NONE,
     "\"P\" is a list of messages, and \"C\" and \"R\" are strings"},
    {"{\"P\":\"q\",\"C\":[" ASSISTANT("c") "],\"R\":[" ASSISTANT("r") "]}", NONE,
     "\"P\" is a string, and \"C\" and \"R\" are conversations that do not both begin with it"},
    {"{\"P\":\"q\",\"C\":[" USER("q") "," ASSISTANT("c") "],\"R\":[" USER("other") "," ASSISTANT("r") "]}", NONE,
     "do not both begin with it"},
    {"{\"P\":\"q\",\"C\":[" SYSTEM("s") "," USER("q") "," ASSISTANT("c") "],\"R\":[" SYSTEM("t") "," USER(
         "q") "," ASSISTANT("r") "]}",
     NONE, "make all three strings, or all three lists of messages"},
    {"{\"P\":\"q\",\"C\":[" USER("q") "],\"R\":[" USER("q") "," ASSISTANT("r") "]}", NONE,
     "\"C\" holds only the prompt, no response"},
    {"{\"P\":\"q\",\"C\":[" USER("q") "," ASSISTANT("c") "],\"R\":[" USER("q") "]}", NONE,
     "\"R\" holds only the prompt, no response"},
    {"{\"C\":[" ASSISTANT("c") "],\"R\":[" ASSISTANT("r") "]}", NONE,
     "\"P\" is missing, and \"C\" and \"R\" have no common leading message to be it"},
    {"{\"C\":[" USER("q") "],\"R\":[" USER("q") "]}", NONE, "have no common leading message"},
    {"{\"C\":\"a b\",\"R\":\"a c\"}", NONE, "\"P\" is missing, and \"C\" and \"R\" are plain strings"},
    {"{\"C\":\"a b\",\"R\":\"a c\"}", NONE, "--implicit_prompt turn (HH-RLHF), or --implicit_prompt word"},
    {"{\"C\":\"a b\",\"R\":\"a c\"}", TURN, "\"C\" and \"R\" have no common beginning that ends in a turn marker"},
    {"{\"C\":\"\\n\\nAssistant\",\"R\":\"\\n\\nAssistant: x\"}", TURN, "ends in a turn marker"},
    {"{\"C\":\"begin\",\"R\":\"began\"}", WORD, "\"C\" and \"R\" have no common beginning that ends in a word"},
    {"{\"C\":\"\",\"R\":\"\"}", WORD, "ends in a word"},
    {"{\"P\":[],\"C\":[" ASSISTANT("c") "],\"R\":[" ASSISTANT("r") "]}", NONE, "\"P\" is an empty list of messages"},
    {"{\"C\":[],\"R\":[" ASSISTANT("r") "]}", NONE, "\"C\" is an empty list of messages"},
    {"{\"C\":[" ASSISTANT("c") "],\"R\":[]}", NONE, "\"R\" is an empty list of messages"},
    {"{\"P\":[" USER("q") "],\"C\":[\"c\"],\"R\":[" ASSISTANT("r") "]}", NONE,
     "\"C\"[0] is a string; expected a message with role and content"},
    {"{\"P\":[" USER("q") "],\"C\":[" ASSISTANT("c") "],\"R\":[{\"role\":\"assistant\"}]}", NONE,
     "\"R\"[0].content is missing; expected a string"},
    {"{\"P\":[" USER("q") "," USER("q") ",{\"content\":\"x\"}],\"C\":[" ASSISTANT("c") "],\"R\":[" ASSISTANT("r") "]}",
     NONE, "\"P\"[2].role is missing; expected a string"},
    {"{\"P\":[" USER("q") "],\"C\":[{\"role\":\"assistant\",\"content\":null}],\"R\":[" ASSISTANT("r") "]}", NONE,
     "\"C\"[0].content is null; expected a string"},
    {"{\"P\":[" USER("q") "],\"C\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"c\"}]}],"
                          "\"R\":[" ASSISTANT("r") "]}",
     NONE, "\"C\"[0].content is a list; expected a string"},
    {"{\"P\":\"p\",\"C\":\"c\",\"R\":\"r\",\"tools\":[{}]}", NONE, "the column \"tools\" is not supported"},
    {"{\"P\":\"p\",\"C\":\"c\",\"R\":\"r\",\"tools\":\"[]\"}", NONE, "the column \"tools\" is not supported"},
    {"{\"P\":\"p\",\"C\":\"c\",\"R\":\"r\",\"images\":[\"a.png\"]}", NONE, "the column \"images\" is not supported"},
    {"{\"prompt_ids\":[1]}", NONE, "\"chosen_ids\" is missing; expected a list of token ids"},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[1],\"rejected_ids\":null}", NONE,
     "\"rejected_ids\" is null; expected a list"},
    {"{\"chosen_ids\":[1],\"rejected_ids\":[1]}", NONE, "\"prompt_ids\" is missing"},
    {"{\"prompt_ids\":\"1 2\",\"chosen_ids\":[1],\"rejected_ids\":[1]}", NONE, "\"prompt_ids\" is a string"},
    {"{\"prompt_ids\":[1,-1],\"chosen_ids\":[1],\"rejected_ids\":[1]}", NONE, "\"prompt_ids\"[1] is not a token id"},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[1.5],\"rejected_ids\":[1]}", NONE, "\"chosen_ids\"[0] is not a token id"},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[16777216],\"rejected_ids\":[1]}", NONE,
     "\"chosen_ids\"[0] is not a token id"},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[1],\"rejected_ids\":[1,1e300]}", NONE, "\"rejected_ids\"[1] is not"},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[[1]],\"rejected_ids\":[1]}", NONE, "\"chosen_ids\"[0] is not a token id"},
    {"{\"prompt_ids\":[\"1\"],\"chosen_ids\":[1],\"rejected_ids\":[1]}", NONE, "\"prompt_ids\"[0] is not a token id"},
    {"{\"prompt_ids\":[18446744073709551616],\"chosen_ids\":[1],\"rejected_ids\":[1]}", NONE, "is not a token id"},
};

static void bad_rows_say_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_rows / sizeof *bad_rows; i++) {
        plumb_preference_keys keys = {"P", "C", "R", bad_rows[i].implicit};
        plumb_preference p = {0};
        plumb_status s = parse(bad_rows[i].row, &keys, &p);
        if (!s) fail_msg("accepted: %s", bad_rows[i].row);
        assert_says(s, PLUMB_E_INPUT, bad_rows[i].says);
        plumb_preference_clear(&p); /* whatever was read before the error */
    }
}

static void deep_rows(void **state)
{
    (void)state;
    static char text[100000];
    plumb_preference p = {0};
    memset(text, '[', sizeof text - 1);
    assert_says(parse(text, &plain_keys, &p), PLUMB_E_INPUT, "not valid JSON");
    plumb_preference_clear(&p);
    int at = snprintf(text, sizeof text, "{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"r\",\"more\":");
    memset(text + at, '[', sizeof text - 1 - (size_t)at);
    assert_says(parse(text, &plain_keys, &p), PLUMB_E_INPUT, "not valid JSON");
    plumb_preference_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(string_forms),  cmocka_unit_test(zero_characters_belong_to_the_text),
        cmocka_unit_test(message_forms), cmocka_unit_test(token_ids),
        cmocka_unit_test(renamed_keys),  cmocka_unit_test(bad_rows_say_why),
        cmocka_unit_test(deep_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
