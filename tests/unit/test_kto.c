/* KTO: the loss and its derivative, and the reader of single completions. That the numbers and tokens are TRL's is
 * tested in tests/parity/test_rlhf.c. */
#include <math.h>

#include "support.h"

#include "scratch.h"

#include "align/kto.h"
#include "train/unpaired.h"

/* ---- the loss ---- */

static double loss_of(const plumb_kto_options *o, const plumb_kto_row *rows, size_t n)
{
    double g[8];
    plumb_kto_metrics m;
    plumb_kto_loss(o, rows, n, g, &m);
    return m.loss;
}

static void derivatives_are_differences(void **state)
{
    plumb_kto_row rows[4] = {{true, -10, -12, 3}, {false, -20, -19, -1}, {true, -5, -4, 0.5}, {false, -7, -9, 2}};
    double g[4], h = 1e-6;
    plumb_kto_metrics m;
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        plumb_kto_options o = {(plumb_kto_kind)kind, 0.3, 0.7, 1.33};
        plumb_kto_loss(&o, rows, 4, g, &m);
        for (int i = 0; i < 4; i++) {
            double kept = rows[i].logps;
            rows[i].logps = kept + h;
            double up = loss_of(&o, rows, 4);
            rows[i].logps = kept - h;
            double down = loss_of(&o, rows, 4);
            rows[i].logps = kept;
            assert_true(fabs((up - down) / (2 * h) - g[i]) < 1e-9);
            assert_true(rows[i].desirable ? g[i] < 0 : g[i] > 0);
        }
        assert_true(m.kl == (kind == PLUMB_KTO ? 4.5 / 4 : 0));
        assert_true(fabs(m.rewards[0] - 0.3 * (2 - 1) / 2) < 1e-15 && fabs(m.rewards[1] - 0.3 * (-1 + 2) / 2) < 1e-15);
        assert_true(m.logps[0] == -7.5 && m.logps[1] == -13.5);
    }
}

/* Values by hand: s(0) = 1/2, and a divergence below 0 counts as 0. */
static void known_values(void **state)
{
    plumb_kto_options o = {PLUMB_KTO, 0.1, 2, 4};
    plumb_kto_row rows[2] = {{true, -3, -3, -5}, {false, -3, -3, -1}};
    double g[2];
    plumb_kto_metrics m;
    (void)state;
    plumb_kto_loss(&o, rows, 2, g, &m);
    assert_true(m.kl == 0 && m.loss == (2 * 0.5 + 4 * 0.5) / 2);
    assert_true(fabs(g[0] + 2 * 0.1 / 4 / 2) < 1e-17 && fabs(g[1] - 4 * 0.1 / 4 / 2) < 1e-17);
}

static void a_batch_of_one_kind(void **state)
{
    plumb_kto_options o = {PLUMB_KTO, 1, 1, 1};
    plumb_kto_row rows[2] = {{true, -1000, 0, 0}, {true, 1000, 0, 0}};
    double g[2];
    plumb_kto_metrics m;
    (void)state;
    plumb_kto_loss(&o, rows, 2, g, &m);
    assert_true(m.loss == 0.5 && g[0] == 0 && g[1] == 0); /* both far out on the sigmoid, finite */
    assert_true(isnan(m.rewards[1]) && isnan(m.logps[1]) && m.rewards[0] == 0);
}

/* ---- data ---- */

static plumb_encoder *encoder;

static plumb_status read_text(const char *text, int max_length, int64_t batch, plumb_examples *out, int64_t kinds[2])
{
    const char *path = scratch_file("rows.jsonl", text, strlen(text));
    plumb_unpaired_source source = {.path = path,
                                    .end = -1,
                                    .how = {.encoder = encoder,
                                            .text = "text",
                                            .completion = "completion",
                                            .messages = "messages",
                                            .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                            .max_length = max_length},
                                    .label = "label",
                                    .batch = batch};
    *out = (plumb_examples){0};
    return plumb_unpaired_read(&source, out, kinds, NULL);
}

/* {"prompt_ids": [p], "completion_ids": [c, c + 1, ...]} */
#define IDS(prompt, completion, label)                                                                                 \
    "{\"prompt_ids\":[" prompt "],\"completion_ids\":[" completion "],\"label\":" label "}\n"

static void sequence_is(const plumb_example *x, int side, const char *want)
{
    char got[256];
    int at = 0;
    for (int i = 0; i < x->totals[side]; i++)
        at += snprintf(got + at, sizeof got - (size_t)at, "%s%d", i ? "," : "", x->ids[side][i]);
    assert_string_equal(got, want);
}

static void completions_change_places_within_a_batch(void **state)
{
    static const char rows[] = IDS("1,2", "10,11", "true") IDS("3", "12", "false") IDS("4,5,6", "13,14,15", "1")
        IDS("1,7", "16", "0") IDS("1,8", "17", "true");
    plumb_examples e;
    int64_t kinds[2];
    (void)state;
    check_ok(read_text(rows, 0, 3, &e, kinds));
    assert_int_equal(e.count, 5);
    assert_true(kinds[0] == 2 && kinds[1] == 3);
    sequence_is(&e.list[0], 0, "1,2,10,11");
    sequence_is(&e.list[0], 1, "1,2,13,14,15"); /* the first takes the last one's */
    sequence_is(&e.list[1], 1, "3,10,11");
    sequence_is(&e.list[2], 1, "4,5,6,12");
    sequence_is(&e.list[3], 1, "1,7,17"); /* a short batch */
    sequence_is(&e.list[4], 1, "1,8,16");
    assert_int_equal(e.list[0].shared, 2);
    assert_int_equal(e.list[0].prompt, 2);
    assert_true(e.list[2].desirable && !e.list[3].desirable);
    plumb_examples_free(&e);
    check_ok(read_text(rows, 0, 0, &e, kinds));
    assert_int_equal(e.list[0].sides, 1);
    sequence_is(&e.list[2], 0, "4,5,6,13,14,15");
    plumb_examples_free(&e);
}

/* A completion is cut behind each prompt anew; rows that are left out have no place in a batch. */
static void sequences_are_cut(void **state)
{
    static const char rows[] =
        IDS("1", "10,11,12,13", "true") IDS("2,3,4", "20", "true") IDS("5,6", "21,22", "false") IDS("7", "", "false");
    plumb_examples e;
    int64_t kinds[2];
    (void)state;
    check_ok(read_text(rows, 3, 4, &e, kinds));
    assert_int_equal(e.count, 2);
    assert_int_equal(e.skipped[PLUMB_SKIP_PROMPT_TOO_LONG], 1);
    assert_int_equal(e.skipped[PLUMB_SKIP_EMPTY_RESPONSE], 1);
    assert_int_equal(e.truncated, 2);
    sequence_is(&e.list[0], 0, "1,10,11");
    sequence_is(&e.list[0], 1, "1,21,22");
    sequence_is(&e.list[1], 0, "5,6,21");
    sequence_is(&e.list[1], 1, "5,6,10");
    plumb_examples_free(&e);
}

static void preferences_are_taken_apart(void **state)
{
    plumb_examples e;
    int64_t kinds[2];
    (void)state;
    check_ok(read_text("{\"prompt_ids\":[1],\"chosen_ids\":[10],\"rejected_ids\":[20]}\n"
                       "{\"prompt_ids\":[2],\"chosen_ids\":[11],\"rejected_ids\":[21]}\n",
                       0, 2, &e, kinds));
    assert_int_equal(e.count, 4);
    sequence_is(&e.list[0], 0, "1,10"); /* chosen ones first */
    sequence_is(&e.list[1], 0, "2,11");
    sequence_is(&e.list[2], 0, "1,20");
    sequence_is(&e.list[3], 0, "2,21");
    sequence_is(&e.list[3], 1, "2,20");
    assert_true(e.list[1].desirable && !e.list[2].desirable && e.list[2].index == 0);
    plumb_examples_free(&e);
}

static void texts_close_with_eos(void **state)
{
    plumb_examples e;
    int64_t kinds[2];
    (void)state;
    check_ok(read_text("{\"prompt\":\"Say\",\"completion\":\" yes\",\"label\":true}\n"
                       "{\"prompt\":\"Say\",\"completion\":\" no\",\"label\":false}\n",
                       0, 0, &e, kinds));
    for (int i = 0; i < 2; i++)
        assert_int_equal(e.list[i].ids[0][e.list[i].totals[0] - 1],
                         plumb_tokenizer_id(encoder->tokenizer, encoder->eos, strlen(encoder->eos)));
    plumb_examples_free(&e);
}

static void wrong_rows(void **state)
{
#define ROW "{\"prompt\":\"A\",\"completion\":\" b\""
    static const struct {
        const char *text, *message;
    } cases[] = {
        {ROW "}\n", "rows.jsonl:1: the row has no \"label\""},
        {ROW ",\"label\":null}\n", "--label_key names another column"},
        {ROW ",\"label\":\"true\"}\n", "\"label\" is a string; expected true or false"},
        {ROW ",\"label\":2}\n", "\"label\" is another number than 0 and 1"},
        {ROW ",\"label\":true}\n" ROW ",\"label\":true}\n", "all 2 rows are wanted (true)"},
        {ROW ",\"label\":false}\n", "all 1 rows are unwanted (false)"},
        {ROW ",\"label\":true}\n{\"prompt\":\"A\",\"chosen\":\" b\",\"rejected\":\" c\"}\n",
         "rows.jsonl:2: the row is a preference, but those before it are single completions"},
        {"{\"prompt\":\"A\",\"chosen\":\" b\",\"rejected\":\" c\"}\n" ROW ",\"label\":true}\n",
         "rows.jsonl:2: the row is a single completion, but those before it are preferences"},
        {"{\"text\":\"A\",\"label\":true}\n",
         "has neither \"prompt\" and \"completion\" nor \"chosen\" and \"rejected\""},
        {"{\"input_ids\":[1],\"label\":true}\n", "has neither \"prompt\" and \"completion\""},
        {"[1]\n", "the row is a list; expected an object"},
        {"", "no row is left to train on"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_examples e;
        int64_t kinds[2];
        check_error(read_text(cases[i].text, 0, 2, &e, kinds), PLUMB_E_INPUT, cases[i].message);
        plumb_examples_free(&e);
    }
}

static int open_encoder(void **state)
{
    (void)state;
    check_ok(plumb_encoder_open(oracle_path("models", "llama2"), NULL, -1, &encoder));
    return 0;
}

static int close_encoder(void **state)
{
    plumb_encoder_close(encoder);
    return remove_scratch(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_are_differences), cmocka_unit_test(known_values),
        cmocka_unit_test(a_batch_of_one_kind),         cmocka_unit_test(completions_change_places_within_a_batch),
        cmocka_unit_test(sequences_are_cut),           cmocka_unit_test(preferences_are_taken_apart),
        cmocka_unit_test(texts_close_with_eos),        cmocka_unit_test(wrong_rows),
    };
    return cmocka_run_group_tests(tests, open_encoder, close_encoder);
}
