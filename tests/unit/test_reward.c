/* Rewards: the head, where a reward is read, batches, the loss and its derivative; the reader of pairs with margins.
 * That the numbers are TRL's is tested in tests/parity/test_rlhf.c. */
#include <math.h>

#include "support.h"

#include "scratch.h"

#include "align/reward.h"
#include "train/scored_pairs.h"

/* ---- the loss ---- */

static double loss_of(const double (*r)[2], const double *margin, size_t n, double center)
{
    double g[8][2];
    plumb_reward_metrics m;
    plumb_reward_loss(r, margin, n, center, g, &m);
    return m.loss;
}

static void derivatives_are_differences(void **state)
{
    double r[4][2] = {{0.5, -0.25}, {-1, 2}, {3, 3}, {-0.1, -4}}, margin[4] = {0, 0.5, 1, 0.25}, g[4][2];
    plumb_reward_metrics m;
    (void)state;
    for (int with = 0; with < 4; with++) {
        const double *some = with & 1 ? margin : NULL;
        double center = with & 2 ? 0.1 : 0, h = 1e-6;
        plumb_reward_loss((const double(*)[2])r, some, 4, center, g, &m);
        for (int i = 0; i < 4; i++)
            for (int s = 0; s < 2; s++) {
                double kept = r[i][s];
                r[i][s] = kept + h;
                double up = loss_of((const double(*)[2])r, some, 4, center);
                r[i][s] = kept - h;
                double down = loss_of((const double(*)[2])r, some, 4, center);
                r[i][s] = kept;
                assert_true(fabs((up - down) / (2 * h) - g[i][s]) < 1e-8);
            }
    }
    assert_true(m.min == -4 && m.max == 3 && m.accuracy == 0.5);
    assert_true(fabs(m.margin - (0.75 - 3 + 0 + 3.9) / 4) < 1e-15);
    assert_true(fabs(m.mean - (0.25 + 1 + 6 - 4.1) / 8) < 1e-15);
}

static void far_rewards_stay_finite(void **state)
{
    double r[2][2] = {{1000, -1000}, {-1000, 1000}}, g[2][2];
    plumb_reward_metrics m;
    (void)state;
    plumb_reward_loss((const double(*)[2])r, NULL, 2, 0, g, &m);
    assert_true(fabs(m.loss - 1000) < 1e-9);
    assert_true(g[0][0] == 0 && g[1][0] == -0.5 && g[1][1] == 0.5);
}

/* ---- where it is read ---- */

static void rewards_are_read_at_the_last_token_that_is_no_pad(void **state)
{
    const int32_t ids[] = {4, 7, 4, 8, 4, 4};
    (void)state;
    assert_int_equal(plumb_reward_position(ids, 6, 4), 3);
    assert_int_equal(plumb_reward_position(ids, 6, 9), 5);
    assert_int_equal(plumb_reward_position(ids, 6, -1), 5);
    assert_int_equal(plumb_reward_position(ids, 1, 4), 0); /* all pad, as transformers */
    assert_int_equal(plumb_reward_position(ids, 3, 4), 1);
}

/* ---- sequences ---- */

enum { COUNT = 40, LONGEST = 120 };

typedef struct sequences {
    int32_t ids[COUNT][2][LONGEST];
    plumb_reward_sequence list[COUNT];
} sequences;

/* Of all lengths, with one side or two, ending in pads or not. */
static void make_sequences(sequences *x)
{
    uint32_t seed = 1;
    for (int i = 0; i < COUNT; i++) {
        plumb_reward_sequence *q = &x->list[i];
        *q = (plumb_reward_sequence){.sides = 1 + i % 2, .shared = i % 2 ? i % 7 : 0};
        for (int s = 0; s < q->sides; s++) {
            q->counts[s] = 8 + (i * 31 + s * 17) % (LONGEST - 8);
            for (int k = 0; k < q->counts[s]; k++) {
                seed = seed * 1664525u + 1013904223u;
                x->ids[i][s][k] = k < q->shared ? 10 + k : (int32_t)(seed >> 16) % 1000;
            }
            if (i % 3 == 0) x->ids[i][s][q->counts[s] - 1] = 4;
            q->ids[s] = x->ids[i][s];
        }
    }
}

static void rewards_do_not_depend_on_the_rest(void **state)
{
    static sequences x;
    double together[COUNT][2], alone[1][2], threaded[COUNT][2];
    plumb_compute *c[2];
    plumb_model *m[2];
    plumb_rewarder *r[2];
    bool fresh;
    (void)state;
    make_sequences(&x);
    for (int k = 0; k < 2; k++) {
        check_ok(plumb_compute_open(NULL, k ? 3 : 1, &c[k]));
        check_ok(plumb_model_open_score(oracle_path("models", "reward-init"), c[k], 0, &m[k], &fresh));
        check_ok(plumb_rewarder_new(m[k], NULL, &r[k]));
    }
    check_ok(plumb_rewarder_run(r[0], x.list, COUNT, together));
    check_ok(plumb_rewarder_run(r[1], x.list, COUNT, threaded));
    for (int i = 0; i < COUNT; i++) {
        check_ok(plumb_rewarder_run(r[0], &x.list[i], 1, alone));
        for (int s = 0; s < x.list[i].sides; s++) {
            assert_true(alone[0][s] == together[i][s]);
            assert_true(threaded[i][s] == together[i][s]);
            assert_true(i < 2 || together[i][s] != together[i - 2][s]);
        }
    }
    for (int k = 0; k < 2; k++) {
        plumb_rewarder_free(r[k]);
        plumb_model_close(m[k]);
        plumb_compute_close(c[k]);
    }
}

static void a_language_model_has_no_rewards(void **state)
{
    plumb_compute *c;
    plumb_model *m;
    plumb_rewarder *r;
    (void)state;
    check_ok(plumb_compute_open("ref", 1, &c));
    check_ok(plumb_model_open(oracle_path("models", "llama2"), c, &m));
    check_error(plumb_rewarder_new(m, NULL, &r), PLUMB_E_INTERNAL, "without a reward head");
    assert_null(r);
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* v and its derivatives by hand; a chain of gradients may be cut anywhere. */
static void the_head_and_its_gradient(void **state)
{
    float w[3] = {1, -2, 0.5f}, h[2][3] = {{1, 2, 4}, {-1, 0.25f, 8}}, dh[2][3], whole[3] = {0}, parts[3] = {0};
    double v[2], g[2] = {0.5, -3};
    plumb_model m = {.score = {.weight = w, .dtype = PLUMB_F32, .n = 1, .k = 3}};
    (void)state;
    plumb_score_values(&m, h[0], 3, 2, v);
    assert_true(v[0] == -1 && v[1] == 2.5);
    plumb_score_gradient(&m, h[0], 3, 2, g, dh[0], 3, whole);
    plumb_score_gradient(&m, h[0], 3, 1, g, dh[0], 3, parts);
    plumb_score_gradient(&m, h[1], 3, 1, g + 1, dh[1], 3, parts);
    for (int k = 0; k < 3; k++) {
        assert_true(whole[k] == parts[k]);
        assert_true(whole[k] == (float)(g[0] * h[0][k] + g[1] * h[1][k]));
        for (int i = 0; i < 2; i++) assert_true(dh[i][k] == (float)(g[i] * w[k]));
    }
    plumb_score_gradient(&m, h[0], 3, 2, g, dh[0], 3, NULL); /* a frozen head */
}

/* ---- data ---- */

static plumb_status read_text(const char *text, int max_length, plumb_examples *out)
{
    const char *path = scratch_file("pairs.jsonl", text, strlen(text));
    plumb_encoder *e;
    plumb_pair_reader *r;
    check_ok(plumb_encoder_open(oracle_path("models", "llama2"), NULL, -1, &e));
    plumb_pair_source source = {.path = path,
                                .end = -1,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_WHOLE},
                                .pairing = {e, PLUMB_COMPAT_TRL, 0, 0}};
    *out = (plumb_examples){0};
    check_ok(plumb_pair_reader_open(&source, &r));
    plumb_status s = plumb_scored_pairs_read(r, -1, max_length, out);
    plumb_pair_reader_close(r);
    plumb_encoder_close(e);
    return s;
}

static void pairs_that_are_too_long_are_left_out(void **state)
{
    plumb_examples e;
    (void)state;
    check_ok(read_text("{\"prompt\":\"A\",\"chosen\":\" b\",\"rejected\":\" c\"}\n"
                       "{\"prompt\":\"A\",\"chosen\":\" b\",\"rejected\":\" c d e f g h i j k l m n o p q r s t\"}\n"
                       "{\"chosen\":\"one whole text\",\"rejected\":\"another\"}\n"
                       "{\"chosen_ids\":[5,6,7],\"rejected_ids\":[5,8]}\n",
                       12, &e));
    assert_int_equal(e.count, 3);
    assert_int_equal(e.skipped[PLUMB_SKIP_PROMPT_TOO_LONG], 1);
    assert_int_equal(e.list[1].index, 2);
    assert_true(e.list[0].scored && e.list[0].sides == 2);
    assert_int_equal(e.list[2].totals[0], 3);
    assert_int_equal(e.list[2].totals[1], 2);
    assert_int_equal(e.list[2].shared, 1);
    plumb_examples_free(&e);
}

static void margins_stand_in_all_rows_or_none(void **state)
{
#define ROW "{\"prompt\":\"A\",\"chosen\":\" b\",\"rejected\":\" c\""
    plumb_examples e;
    (void)state;
    check_ok(read_text(ROW ",\"margin\":0.5}\n" ROW ",\"margin\":-2}\n", 0, &e));
    assert_true(e.list[0].margin == 0.5 && e.list[1].margin == -2);
    plumb_examples_free(&e);
    check_ok(read_text(ROW ",\"margin\":null}\n" ROW "}\n", 0, &e));
    assert_true(e.list[0].margin == 0 && e.list[1].margin == 0);
    plumb_examples_free(&e);
    check_error(read_text(ROW ",\"margin\":1}\n" ROW "}\n", 0, &e), PLUMB_E_INPUT, ":2: the row has no \"margin\"");
    plumb_examples_free(&e);
    check_error(read_text(ROW "}\n" ROW ",\"margin\":1}\n", 0, &e), PLUMB_E_INPUT, ":2: the row has a \"margin\"");
    plumb_examples_free(&e);
    check_error(read_text(ROW ",\"margin\":\"1\"}\n", 0, &e), PLUMB_E_INPUT,
                "\"margin\" is a string; expected a number");
    plumb_examples_free(&e);
    check_error(read_text(ROW "}\n", 1, &e), PLUMB_E_INPUT, "no pair is left to train on");
    plumb_examples_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_are_differences),
        cmocka_unit_test(far_rewards_stay_finite),
        cmocka_unit_test(rewards_are_read_at_the_last_token_that_is_no_pad),
        cmocka_unit_test(rewards_do_not_depend_on_the_rest),
        cmocka_unit_test(a_language_model_has_no_rewards),
        cmocka_unit_test(the_head_and_its_gradient),
        cmocka_unit_test(pairs_that_are_too_long_are_left_out),
        cmocka_unit_test(margins_stand_in_all_rows_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
