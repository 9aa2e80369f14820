/* Ledgers read back: files, run folders, and what is wrong with them. */
#include "support.h"

#include <math.h>

#include "study/ledger_reader.h"
#include "unit/scratch.h"

static const plumb_sink silent;

#define ROW(step, index, row, chosen, rejected)                                                                        \
    "{\"step\":" #step ",\"index\":" #index ",\"row\":\"00000000000000" #row "\",\"logps/chosen\":" #chosen            \
    ",\"logps/rejected\":" #rejected

static plumb_status read_text(const char *text, plumb_ledger_file *out)
{
    *out = (plumb_ledger_file){0};
    return plumb_ledger_read(scratch_file("ledger.jsonl", text, strlen(text)), &silent, out);
}

/* Steps out of order, a pair that one evaluation lacks, one that comes late, null. */
static void tables(void **state)
{
    (void)state;
    plumb_ledger_file l;
    check_ok(read_text(ROW(8, 40, aa, -1.5, -2) "}\n" ROW(8, 3, bb, -2.5, null) "}\n\n" ROW(0, 3, bb, -2, -4) "}\n" ROW(
                           0, 7, cc, -9, -8) "}\n",
                       &l));
    assert_int_equal(l.count, 3);
    assert_int_equal(l.step_count, 2);
    assert_true(l.steps[0] == 0 && l.steps[1] == 8);
    static const int64_t indices[] = {40, 3, 7};
    static const uint64_t hashes[] = {0xaa, 0xbb, 0xcc};
    static const double chosen[] = {NAN, -2, -9, -1.5, -2.5, NAN}, rejected[] = {NAN, -4, -8, -2, NAN, NAN};
    for (size_t i = 0; i < 3; i++) {
        int64_t at;
        assert_int_equal(l.pairs[i].index, indices[i]);
        assert_true(l.pairs[i].row == hashes[i]);
        check_ok(plumb_ledger_find(&l, indices[i], &hashes[i], &at));
        assert_int_equal(at, i);
        check_ok(plumb_ledger_find(&l, indices[i], NULL, &at));
        assert_int_equal(at, i);
        check_ok(plumb_ledger_find(&l, indices[i] + 1, NULL, &at));
        assert_int_equal(at, -1);
        check_error(plumb_ledger_find(&l, indices[i], &hashes[(i + 1) % 3], &at), PLUMB_E_INPUT, "in the ledger");
    }
    for (size_t i = 0; i < 6; i++) {
        assert_true(l.logps[0][i] == chosen[i] || (isnan(l.logps[0][i]) && isnan(chosen[i])));
        assert_true(l.logps[1][i] == rejected[i] || (isnan(l.logps[1][i]) && isnan(rejected[i])));
    }
    assert_null(l.ref_logps[0]);
    assert_null(l.ref_logps[1]);
    assert_null(l.ln_ches);
    assert_null(l.weight);
    assert_false(l.has_tokens);
    plumb_ledger_file_free(&l);
}

static void optional_fields(void **state)
{
    (void)state;
    plumb_ledger_file l;
    check_ok(read_text(
        ROW(0, 0, 00, -1, -2) ",\"ref_logps/chosen\":-3,\"ref_logps/rejected\":-4,\"position\":0,"
                              "\"gained\":[],\"lost\":[],\"weight\":1}\n" ROW(
                                  0, 1, 01, -1, -2) ",\"ref_logps/chosen\":-5,\"ref_logps/rejected\":-6,\"position\":0,"
                                                    "\"gained\":[],\"lost\":[],\"ln_ches\":-0.5,\"weight\":0}\n",
        &l));
    assert_true(l.ref_logps[0][0] == -3 && l.ref_logps[1][0] == -4 && l.ref_logps[0][1] == -5);
    assert_true(isnan(l.ln_ches[0]) && l.ln_ches[1] == -0.5);
    assert_true(l.weight[0] == 1 && l.weight[1] == 0);
    assert_true(l.has_tokens);
    plumb_ledger_file_free(&l);
}

/* More pairs than the first table of slots holds. */
static void many_pairs(void **state)
{
    (void)state;
    enum { PAIRS = 1000 };
    plumb_text text = {0};
    plumb_ledger_file l;
    for (int step = 0; step < 3; step++)
        for (int i = 0; i < PAIRS; i++)
            check_ok(plumb_text_printf(&text,
                                       "{\"step\":%d,\"index\":%d,\"row\":\"%016x\",\"logps/chosen\":%d,"
                                       "\"logps/rejected\":%d}\n",
                                       step, 64 * i, i, -step, -i));
    check_ok(read_text(text.data, &l));
    assert_int_equal(l.count, PAIRS);
    assert_int_equal(l.step_count, 3);
    for (int i = 0; i < PAIRS; i++) {
        int64_t at;
        check_ok(plumb_ledger_find(&l, (int64_t)64 * i, &(uint64_t){(uint64_t)i}, &at));
        assert_int_equal(at, i);
        assert_true(l.logps[0][2 * PAIRS + i] == -2 && l.logps[1][PAIRS + i] == -i);
    }
    plumb_ledger_file_free(&l);
    plumb_text_free(&text);
}

static void folders(void **state)
{
    (void)state;
    plumb_ledger_file l = {0};
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch("run"));
    mkdir(folder, 0777);
    check_error(plumb_ledger_read(folder, &silent, &l), PLUMB_E_INPUT, "there is no ledger.jsonl in this folder");
    scratch_file("run/ledger.jsonl", "", 0);
    check_error(plumb_ledger_read(folder, &silent, &l), PLUMB_E_INPUT, "plumb sft keeps no ledger");
    static const char row[] = ROW(0, 2, 0a, -1, -2) "}\n";
    scratch_file("run/ledger.jsonl", row, strlen(row));
    check_ok(plumb_ledger_read(folder, &silent, &l));
    assert_int_equal(l.pairs[0].index, 2);
    plumb_ledger_file_free(&l);
}

static void wrong_rows(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {ROW(0, 1, aa, -1, -2) "}\n" ROW(0, 1, aa, -1, -2) "}\n", ":2: pair 1 stands twice in step 0, first in line 1"},
        {ROW(0, 1, aa, -1, -2) "}\n" ROW(4, 1, ab, -1, -2) "}\n",
         ":2: pair 1 is the row 00000000000000ab, but 00000000000000aa further up"},
        {"{\"index\":0,\"row\":\"00000000000000aa\",\"ches\":1}\n", ":1: \"step\" is missing"},
        {"{\"step\":0,\"index\":0,\"row\":\"00000000000000aa\",\"logps/chosen\":1}\n", "\"logps/rejected\" is missing"},
        {"{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n", "this is not a row of a ledger"},
        {"{\"step\":0,\"index\":0,\"row\":\"00000000000000aa\",\"reward/chosen\":1,\"reward/rejected\":0}\n",
         ":1: these are rewards of plumb reward: a reward model gives no log-probs"},
        {"{\"step\":0,\"index\":0,\"row\":\"00000000000000aa\",\"label\":true,\"logps\":-1,\"ref_logps\":-1}\n",
         ":1: these are single completions of plumb kto, not pairs"},
        {ROW(0, 1, aa, "-1", -2) "}\n", "\"logps/chosen\" is a string; expected a number"},
        {ROW(-1, 1, aa, -1, -2) "}\n", "\"step\" is not a step number"},
        {ROW(0, -1, aa, -1, -2) "}\n", "\"index\" is not a row number"},
        {ROW(0, 1, AA, -1, -2) "}\n", "expected 16 lower-case hexadecimal digits"},
        {"[1]\n", "the row is a list; expected an object"},
        {ROW(0, 1, aa, -1, -2) "}\n{\"step\":0,\"ind", ":2: not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_ledger_file l;
        check_error(read_text(cases[i].text, &l), PLUMB_E_INPUT, cases[i].message);
        plumb_ledger_file_free(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),  cmocka_unit_test(optional_fields), cmocka_unit_test(many_pairs),
        cmocka_unit_test(folders), cmocka_unit_test(wrong_rows),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
