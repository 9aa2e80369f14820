/* Around the judge: questions and answers of a model, rates, gates, drift, and responses read from rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/json.h"
#include "io/output.h"
#include "study/judge_answer.h"
#include "study/judge_summary.h"
#include "study/response_reader.h"

#define ROWS_FILE PLUMB_TEST_SCRATCH "/judge_rows.jsonl"

static void ok(plumb_status s)
{
    if (s) fail_msg("%s", plumb_status_message(s));
}

static void fails(plumb_status s, const char *message)
{
    if (!s) fail_msg("no error; expected: %s", message);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    if (!strstr(plumb_status_message(s), message))
        fail_msg("\"%s\" does not say \"%s\"", plumb_status_message(s), message);
    plumb_status_free(s);
}

/* ---- questions ---- */

static void question(const char *template, const char *prompt, const char *response, const char *expected)
{
    plumb_text out = {0};
    json_t *value = NULL;
    if (prompt) ok(plumb_json_parse(prompt, strlen(prompt), false, "prompt", &value));
    ok(plumb_judge_question(template, strlen(template), value, response, strlen(response), &out));
    assert_string_equal(out.data, expected);
    json_decref(value);
    plumb_text_free(&out);
}

static void questions(void **state)
{
    (void)state;
    plumb_text out = {0};
    question("Q: {prompt}\nA: {response}\n\n", "\"why\"", "so", "Q: why\nA: so\n");
    question("{response}{response}", NULL, "ab", "abab");
    question("{x} {{response}} {prompt", NULL, "{prompt}", "{x} {{prompt}} {prompt"); /* filled once */
    question("{prompt}|{response}", "[{\"role\":\"user\",\"content\":\"hi\"}]", "yo", "hi|yo");
    question("{prompt}|{response}", "[{\"role\":\"system\",\"content\":\"be\"},{\"role\":\"user\",\"content\":\"hi\"}]",
             "", "system: be\n\nuser: hi|");
    fails(plumb_judge_question("{prompt}{response}", 18, NULL, "x", 1, &out), "the row has no \"prompt\"");
    fails(plumb_judge_question_check("only {prompt}", 13), "there is no {response}");
    ok(plumb_judge_question_check("{response}", 10));
    plumb_text_free(&out);
}

/* ---- answers ---- */

typedef struct answer_row {
    const char *text;
    int label;
    double score;
} answer_row;

static void check_answers(const char *const *rules, size_t count, const answer_row *rows, size_t n)
{
    plumb_answers *answers;
    ok(plumb_answers_new(rules, count, &answers));
    for (size_t i = 0; i < n; i++) {
        plumb_label label;
        double score;
        ok(plumb_answers_read(answers, rows[i].text, strlen(rows[i].text), &label, &score));
        if ((int)label != rows[i].label) fail_msg("\"%s\" is read as label %d", rows[i].text, label);
        if (isnan(score) != isnan(rows[i].score) || (!isnan(score) && score != rows[i].score))
            fail_msg("\"%s\" is read as number %g", rows[i].text, score);
    }
    plumb_answers_free(answers);
}

static void answers_in_words(void **state)
{
    (void)state;
    static const char *const rules[] = {"yes=refusal", "no=compliance", "not sure=evasive", "NO answer=empty"};
    static const answer_row rows[] = {
        {"Yes", PLUMB_REFUSAL, NAN},        {" **yes**, it declines", PLUMB_REFUSAL, NAN},
        {"[[No]]", PLUMB_COMPLIANCE, NAN},  {"no answer", PLUMB_EMPTY, NAN},
        {"Not sure.", PLUMB_EVASIVE, NAN},  {"not.", PLUMB_NO_LABEL, NAN},
        {"Yesterday", PLUMB_NO_LABEL, NAN}, {"I say yes", PLUMB_NO_LABEL, NAN},
        {"", PLUMB_NO_LABEL, NAN},          {"  \n", PLUMB_NO_LABEL, NAN},
        {"refusal", PLUMB_NO_LABEL, NAN},   {"3", PLUMB_NO_LABEL, 3},
    };
    static const answer_row names[] = {
        {"refusal", PLUMB_REFUSAL, NAN}, {"\"Compliance\"", PLUMB_COMPLIANCE, NAN}, {"Evasive", PLUMB_EVASIVE, NAN},
        {"empty", PLUMB_EMPTY, NAN},     {"unreadable", PLUMB_UNREADABLE, NAN},     {"yes", PLUMB_NO_LABEL, NAN},
    };
    check_answers(rules, 4, rows, sizeof rows / sizeof *rows);
    check_answers(NULL, 0, names, sizeof names / sizeof *names);
}

static void answers_in_numbers(void **state)
{
    (void)state;
    static const char *const rules[] = {"..0=unreadable", "1..2=refusal", "3=evasive", "2..4.5=compliance",
                                        "5..=empty"};
    static const answer_row rows[] = {
        {"1", PLUMB_REFUSAL, 1},      {"2", PLUMB_REFUSAL, 2},           {"2.5", PLUMB_COMPLIANCE, 2.5},
        {"3.", PLUMB_EVASIVE, 3},     {"4/5", PLUMB_COMPLIANCE, 4},      {" (4.5)", PLUMB_COMPLIANCE, 4.5},
        {"4.6", PLUMB_NO_LABEL, 4.6}, {"-7", PLUMB_UNREADABLE, -7},      {"70 %", PLUMB_EMPTY, 70},
        {"3rd", PLUMB_NO_LABEL, NAN}, {"1-2", PLUMB_NO_LABEL, NAN},      {"1,000", PLUMB_NO_LABEL, NAN},
        {"1e3", PLUMB_NO_LABEL, NAN}, {"Score: 3", PLUMB_NO_LABEL, NAN}, {"1.2.3", PLUMB_NO_LABEL, NAN},
        {"nan", PLUMB_NO_LABEL, NAN}, {"0x1", PLUMB_NO_LABEL, NAN},      {"yes", PLUMB_NO_LABEL, NAN},
    };
    check_answers(rules, 5, rows, sizeof rows / sizeof *rows);
}

static void bad_answers(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *message;
    } rows[] = {
        {"yes", "is no rule for answers"},        {"=refusal", "is no rule for answers"},
        {"yes=refuse", "\"refuse\" is no label"}, {"2..1=refusal", "ends before"},
        {"..=refusal", "there is no word"},       {"?=refusal", "there is no word"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plumb_answers *answers;
        fails(plumb_answers_new(&rows[i].rule, 1, &answers), rows[i].message);
    }
}

/* ---- rates and gates ---- */

static void rates(void **state)
{
    (void)state;
    plumb_judge_counts c = {0};
    static const int labels[] = {6, 2, 0, 1, 1};
    static const int64_t expected[PLUMB_JUDGE_RATES] = {6, 2, 0, 1, 1, 2, 2};
    for (int i = 0; i < PLUMB_LABELS; i++)
        for (int j = 0; j < labels[i]; j++) plumb_judge_count(&c, (plumb_label)i);
    for (int j = 0; j < 2; j++) plumb_judge_count(&c, PLUMB_NO_LABEL);
    for (int i = 0; i < PLUMB_JUDGE_RATES; i++) {
        int64_t k, n;
        plumb_judge_rate(&c, i, &k, &n);
        assert_int_equal(k, expected[i]);
        assert_int_equal(n, i == PLUMB_JUDGE_RATES - 1 ? 12 : 10);
    }
    json_t *json;
    ok(plumb_judge_counts_json(&c, &json));
    assert_true(json_real_value(json_object_get(json_object_get(json, "rates"), "refusal_rate")) == 0.6);
    assert_int_equal(json_integer_value(json_object_get(json, "unread")), 2);
    double low =
        json_real_value(json_array_get(json_object_get(json_object_get(json, "intervals"), "refusal_rate"), 0));
    assert_true(fabs(low - 0.312673770) < 1e-8); /* statsmodels: proportion_confint(6, 10, method="wilson") */
    json_decref(json);
}

static void gates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool passes;
    } rows[] = {
        {"refusal_rate>=0.6", true},  {"refusal_rate>0.6", false},   {"refusal_rate >= 60%", true},
        {"refusal_rate<=0.6", true},  {"refusal_rate<0.6", false},   {"compliance_rate<.5", true},
        {"malformed_rate<=0", true},  {"refusal_drift>=-0.1", true}, {"refusal_drift>-0.1", false},
        {"evasive_rate>=0.1", false}, {"unread_rate<=0", true},
    };
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "is no gate"},
        {"refusal_rate", "is no gate"},
        {"refusal_rate=0.5", "is no gate"},
        {"refusal_rate>=", "is no gate"},
        {"refusal_rate>=x", "is no gate"},
        {"refusal_rate>=0.5 0.6", "is no gate"},
        {"refusal_rate>=nan", "is no gate"},
        {"refusals>=0.5", "there is no rate"},
        {"refusal_rate>=2", "outside"},
        {"refusal_rate>=-0.1", "outside"},
        {"refusal_rate>=0x1", "is no gate"},
        {">=0.5", "is no gate"},
    };
    plumb_judge_counts c = {.rows = 10, .labels = {6, 4}}, none = {0};
    plumb_drift drift = {.compared = 10, .refusals = {7, 6}};
    plumb_rate_gate gate;
    double value;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ok(plumb_rate_gate_parse(rows[i].text, &gate));
        if (plumb_rate_gate_passes(&gate, &c, &drift, &value) != rows[i].passes)
            fail_msg("%s: %s with %g", rows[i].text, rows[i].passes ? "fails" : "passes", value);
    }
    ok(plumb_rate_gate_parse("refusal_rate<=1", &gate));
    assert_false(plumb_rate_gate_passes(&gate, &none, NULL, &value)); /* nothing judged is no pass */
    assert_true(isnan(value));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fails(plumb_rate_gate_parse(bad[i].text, &gate), bad[i].message);
}

/* ---- drift ---- */

static plumb_judgement judged(int64_t index, int sample, plumb_label label)
{
    return (plumb_judgement){{index, 1000 + (uint64_t)index}, sample, label, NAN, NAN};
}

static void drift(void **state)
{
    (void)state;
    plumb_judgements *before, *after;
    plumb_drift d = {0}, bad = {0};
    ok(plumb_judgements_new(&before));
    ok(plumb_judgements_new(&after));
    for (int i = 0; i < 100; i++)
        for (int s = 0; s < 2; s++) {
            plumb_judgement was = judged(i, s, PLUMB_REFUSAL);
            /* 0-8: both samples turn; 9: one; 10: the samples change places, no flip; 11: unread; 20: gained */
            plumb_label now = i < 9 || (i == 9 && s) || (i == 10 && s) ? PLUMB_COMPLIANCE : PLUMB_REFUSAL;
            if (i == 10 && !s) was.label = PLUMB_EVASIVE;
            if (i == 20) was.label = PLUMB_EMPTY;
            plumb_judgement is = judged(i, s, i == 11 ? PLUMB_NO_LABEL : now);
            ok(plumb_judgements_add(before, &was));
            ok(plumb_judgements_add(after, &is));
        }
    ok(plumb_drift_measure(before, "before", after, "after", &d));
    assert_int_equal(d.compared, 198);
    assert_int_equal(d.prompts, 99);
    assert_int_equal(d.lost, 20);
    assert_int_equal(d.gained, 3);
    assert_int_equal(d.refusals[0] - d.refusals[1], 17);
    assert_true(fabs(d.p - 4.8828125e-4) < 1e-9); /* scipy.stats.binomtest(3, 23).pvalue */
    assert_int_equal(d.flip_count, 11);
    assert_int_equal(d.flips[9].key.index, 9);
    assert_int_equal(d.flips[9].before, 2);
    assert_int_equal(d.flips[9].after, 1);
    assert_int_equal(d.flips[10].key.index, 20);
    plumb_drift_free(&d);
    plumb_judgement more = judged(100, 0, PLUMB_REFUSAL);
    ok(plumb_judgements_add(after, &more));
    fails(plumb_drift_measure(before, "before", after, "after", &bad), "before: sample 0 of row 100 is not there");
    plumb_drift_free(&bad);
    ok(plumb_judgements_add(before, &more));
    more = judged(101, 0, PLUMB_REFUSAL);
    ok(plumb_judgements_add(before, &more));
    fails(plumb_drift_measure(before, "before", after, "after", &bad), "after: sample 0 of row 101 is not there");
    plumb_drift_free(&bad);
    fails(plumb_judgements_add(before, &more), "sample 0 of row 101 stands here twice");
    more.sample = 1;
    more.key.row++;
    fails(plumb_judgements_add(before, &more), "row 101 is another one here");
    plumb_judgements_free(before);
    plumb_judgements_free(after);
}

/* ---- responses ---- */

static void read_responses(const char *rows, const char *expected)
{
    static const plumb_preference_keys keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE};
    plumb_response_reader *reader;
    plumb_response r;
    plumb_text all = {0};
    bool found;
    ok(plumb_write_file(ROWS_FILE, rows, strlen(rows)));
    ok(plumb_response_reader_open(ROWS_FILE, 0, -1, &keys, NULL, &reader));
    for (;;) {
        plumb_status s = plumb_response_reader_next(reader, &r, &found);
        if (s) {
            ok(plumb_text_printf(&all, "! %s", plumb_status_message(s) + strlen(ROWS_FILE ":")));
            plumb_status_free(s);
            break;
        }
        if (!found) break;
        ok(plumb_text_printf(&all, "%d.%d %.*s|", (int)r.key.index, r.sample, (int)r.size, r.text));
    }
    assert_string_equal(all.data, expected);
    plumb_text_free(&all);
    plumb_response_reader_close(reader);
}

static void responses(void **state)
{
    (void)state;
    read_responses("{\"index\":7,\"row\":\"00000000000000ff\",\"sample\":2,\"prompt\":\"p\",\"response\":\"r\"}\n",
                   "7.2 r|");
    read_responses("{\"prompt\":\"p\",\"response\":\"r\"}\n\n{\"response\":\"s\"}\n", "0.0 r|1.0 s|");
    read_responses("{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"\"}\n{\"response\":\"s\"}\n",
                   "0.0 c|0.1 |1.0 s|");
    read_responses("{\"chosen\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"a\"}],"
                   "\"rejected\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":\"b\"},"
                   "{\"role\":\"user\",\"content\":\"v\"},{\"role\":\"assistant\",\"content\":\"w\"}]}\n",
                   "0.0 a|0.1 b\nw|");
    read_responses("", "!  there are no rows in it, or none in this range");
    read_responses("[1]", "! 1: the row is a list; expected an object");
    read_responses("{\"response\":3}", "! 1: \"response\" is a number; expected a string or a list of messages");
    read_responses("{\"response\":\"r\",\"prompt\":1}",
                   "! 1: \"prompt\" is a number; expected a string or a list of messages");
    read_responses("{\"response\":[\"x\"]}", "! 1: \"response\"[0] is no message with a content that is a string");
    read_responses("{\"text\":\"r\"}", "! 1: there is neither \"response\" nor \"chosen\" and \"rejected\"");
    read_responses("{\"response\":\"r\",\"index\":1}", "! 1: \"row\" is missing: this is not a row of plumb generate");
    read_responses("{\"response\":\"r\",\"sample\":1}", "! 1: \"index\" and \"row\" are missing beside \"sample\"");
    read_responses("{\"response\":\"r\",\"sample\":-1}", "! 1: \"sample\" is -1; expected a number from 0");
    read_responses("{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3]}",
                   "! 1: the row holds token ids and no text");
    read_responses("{\"prompt\":\"p\",\"chosen\":\"c\"}", "! 1: \"rejected\" is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions),
        cmocka_unit_test(answers_in_words),
        cmocka_unit_test(answers_in_numbers),
        cmocka_unit_test(bad_answers),
        cmocka_unit_test(rates),
        cmocka_unit_test(gates),
        cmocka_unit_test(drift),
        cmocka_unit_test(responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
