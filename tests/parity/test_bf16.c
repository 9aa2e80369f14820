/* Scores in bf16 keep the order that fp32 gives them: 200 pairs that the demo world's model wrote itself. Most are two
 * refusals of equal words behind the first one, with scores that lie closer together than bf16 numbers do. */
#include <math.h>
#include <string.h>

#include "support.h"

#include "align/pair_reader.h"
#include "align/scorer.h"
#include "study/statistics.h"

#define WORLD PLUMB_TEST_DATA "/../../world/model"

enum { PAIRS = 200 };

typedef struct results {
    double ln_ches[PAIRS];
    size_t count;
} results;

static plumb_status keep(void *user, const plumb_score *score)
{
    results *r = user;
    assert_true(r->count < PAIRS && !score->skip);
    r->ln_ches[r->count++] = score->ln_ches;
    return PLUMB_OK;
}

/* False, saying so, where this CPU lacks the arithmetic. */
static bool scored(plumb_arithmetic arithmetic, int threads, int batch_rows, results *r)
{
    plumb_compute *c;
    check_ok(plumb_compute_open(NULL, threads, &c));
    plumb_status s = plumb_compute_use(c, arithmetic);
    if (s) {
        print_message("left out: %s\n", plumb_status_message(s));
        plumb_status_free(s);
        plumb_compute_close(c);
        return false;
    }
    plumb_model *m;
    plumb_encoder *e;
    plumb_scorer *scorer;
    plumb_pair_reader *pairs;
    *r = (results){.count = 0};
    plumb_scorer_options options = {
        .measures = 1U << plumb_measure_find("ln_ches"), .batch_rows = batch_rows, .emit = keep, .user = r};
    check_ok(plumb_model_open(WORLD, c, &m));
    check_ok(plumb_encoder_open(WORLD, NULL, -1, &e));
    check_ok(plumb_scorer_new(m, &options, &scorer));
    plumb_pair_source source = {.path = PLUMB_TEST_DATA "/bf16/pairs.jsonl",
                                .end = -1,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {e, PLUMB_COMPAT_TRL, 64}};
    check_ok(plumb_pair_reader_open(&source, &pairs));
    for (bool found = true; found;) {
        const plumb_row *row;
        const plumb_pair *pair;
        check_ok(plumb_pair_reader_next(pairs, &row, &pair, &found));
        if (found) check_ok(plumb_scorer_add(scorer, row->index, 0, pair));
    }
    check_ok(plumb_scorer_flush(scorer));
    assert_int_equal(r->count, PAIRS);
    plumb_pair_reader_close(pairs);
    plumb_scorer_free(scorer);
    plumb_encoder_close(e);
    plumb_model_close(m);
    plumb_compute_close(c);
    return true;
}

static void order_is_kept(plumb_arithmetic arithmetic)
{
    results exact, rounded;
    double before[PAIRS], after[PAIRS], rho, shift = 0;
    assert_true(scored(PLUMB_FP32, 1, 0, &exact));
    if (!scored(arithmetic, 1, 0, &rounded)) return;
    assert_memory_not_equal(exact.ln_ches, rounded.ln_ches, sizeof exact.ln_ches);
    check_ok(plumb_spearman(exact.ln_ches, rounded.ln_ches, PAIRS, &rho));
    check_ok(plumb_ranks(exact.ln_ches, PAIRS, before));
    check_ok(plumb_ranks(rounded.ln_ches, PAIRS, after));
    for (int i = 0; i < PAIRS; i++) shift = fmax(shift, fabs(before[i] - after[i]));
    if (!(rho >= 0.9999)) fail_msg("the rank correlation with fp32 is %.6f", rho);
    if (!(shift <= 0.01 * PAIRS)) fail_msg("a pair moves by %g of %d ranks", shift, PAIRS);
}

static void dot_products_keep_the_order(void **state)
{
    (void)state;
    order_is_kept(PLUMB_BF16_DOT);
}

static void rounded_operands_keep_the_order(void **state)
{
    (void)state;
    order_is_kept(PLUMB_BF16_ROUNDED);
}

static void threads_and_batches_do_not_matter(void **state)
{
    (void)state;
    results one, other;
    assert_true(scored(PLUMB_BF16_ROUNDED, 1, 0, &one));
    assert_true(scored(PLUMB_BF16_ROUNDED, 2, 0, &other));
    assert_memory_equal(one.ln_ches, other.ln_ches, sizeof one.ln_ches);
    assert_true(scored(PLUMB_BF16_ROUNDED, 1, 1, &other));
    assert_memory_equal(one.ln_ches, other.ln_ches, sizeof one.ln_ches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dot_products_keep_the_order),
        cmocka_unit_test(rounded_operands_keep_the_order),
        cmocka_unit_test(threads_and_batches_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
