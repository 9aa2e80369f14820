/* Score rows as text, the summary of a run, and the scorer's order. The values themselves are tested in tests/parity.
 */
#include "support.h"

#include <math.h>
#ifdef __GLIBC__
#    include <malloc.h>
#endif

#include "align/pair_reader.h"
#include "align/scorer.h"
#include "base/random.h"
#include "scratch.h"
#include "study/score_summary.h"

enum { CHES, LN_CHES, LAST_HIDDEN, EDIT, LOGPS, ALPHA, GRAD, MEASURES };
enum { DEFAULTS = 1 << CHES | 1 << LN_CHES | 1 << LAST_HIDDEN | 1 << EDIT };

/* ---- rows ---- */

static const plumb_score example = {
    .index = 41,
    .row = 0x00ab,
    .prompt_tokens = 7,
    .tokens = {3, 5},
    .shared_tokens = 8,
    .boundary_clean = true,
    .ches = -1.0 / 3,
    .ln_ches = 1e-7 / 3,
    .dot = 123456789.4,
    .norm2 = {1234567890123.0, 2},
    .last_hidden = -0.5,
    .edit_similarity = 2.0 / 3,
    .logps = {-1.0 / 3, -1e-300},
    .theory = {.minus = 1e20, .plus = -1e-20, .alpha_ches = 0, .hidden_path = 1.5, .rate = -7},
};

#define ROW_BEGIN "{\"index\":41,\"row\":\"00000000000000ab\""
#define ROW_END                                                                                                        \
    ",\"prompt_tokens\":7,\"chosen_tokens\":3,\"rejected_tokens\":5,\"shared_tokens\":8,\"boundary_clean\":true,"      \
    "\"truncated\":false}\n"
#define PARTS ",\"dot\":123456789,\"norm2_chosen\":1.23456789e+12,\"norm2_rejected\":2"

static const struct {
    uint32_t selected;
    const char *line;
} lines[] = {
    {0, ROW_BEGIN ROW_END},
    {1 << CHES, ROW_BEGIN ",\"ches\":-0.333333333" PARTS ROW_END},
    {1 << LN_CHES, ROW_BEGIN ",\"ln_ches\":3.33333333e-08" PARTS ROW_END},
    {1 << LAST_HIDDEN, ROW_BEGIN ",\"last_hidden\":-0.5" ROW_END},
    {1 << EDIT, ROW_BEGIN ",\"edit_similarity\":0.666666667" ROW_END},
    {1 << LOGPS, ROW_BEGIN ",\"logps/chosen\":-0.33333333333333331,\"logps/rejected\":-1e-300" ROW_END},
    {1 << ALPHA, ROW_BEGIN ",\"alpha_ches\":0,\"minus\":1e+20,\"plus\":-1e-20,\"hidden_path\":1.5,\"rate\":-7" ROW_END},
    {DEFAULTS, ROW_BEGIN
     ",\"ches\":-0.333333333,\"ln_ches\":3.33333333e-08,\"last_hidden\":-0.5,\"edit_similarity\":0.666666667" PARTS
         ROW_END},
};

static void line_is(const plumb_score *score, uint32_t selected, const char *want)
{
    plumb_text t = {0};
    check_ok(plumb_score_line(score, selected, &t));
    assert_string_equal(t.data, want);
    plumb_text_free(&t);
}

static void rows_as_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) line_is(&example, lines[i].selected, lines[i].line);
    plumb_score s = example;
    s.boundary_clean = false;
    s.truncated = true;
    s.row = UINT64_MAX;
    s.index = INT64_MAX;
    line_is(&s, 0,
            "{\"index\":9223372036854775807,\"row\":\"ffffffffffffffff\",\"prompt_tokens\":7,\"chosen_tokens\":3,"
            "\"rejected_tokens\":5,\"shared_tokens\":8,\"boundary_clean\":false,\"truncated\":true}\n");
}

static void numbers_that_are_not_finite(void **state)
{
    (void)state;
    plumb_score s = example;
    s.ches = NAN;
    s.ln_ches = INFINITY;
    s.last_hidden = -INFINITY;
    s.dot = s.norm2[0] = s.norm2[1] = NAN;
    s.edit_similarity = 1;
    line_is(&s, DEFAULTS,
            ROW_BEGIN ",\"ches\":null,\"ln_ches\":null,\"last_hidden\":null,\"edit_similarity\":1,\"dot\":null,"
                      "\"norm2_chosen\":null,\"norm2_rejected\":null" ROW_END);
}

static void the_first_field_that_is_not_finite(void **state)
{
    (void)state;
    plumb_score s = example;
    const uint32_t all = (1 << MEASURES) - 1;
    assert_null(plumb_score_not_finite(&s, all));
    s.logps[1] = NAN;
    s.theory.rate = INFINITY;
    s.norm2[1] = INFINITY;
    assert_string_equal(plumb_score_not_finite(&s, all), "logps/rejected");
    assert_string_equal(plumb_score_not_finite(&s, 1 << ALPHA), "rate");
    assert_string_equal(plumb_score_not_finite(&s, 1 << CHES), "norm2_rejected");
    assert_null(plumb_score_not_finite(&s, 1 << EDIT | 1 << LAST_HIDDEN | 1 << GRAD));
}

static void skipped_rows(void **state)
{
    (void)state;
    for (int skip = 1; skip < PLUMB_SKIPS; skip++) {
        plumb_score s = example;
        char want[200];
        s.skip = (plumb_skip)skip;
        snprintf(want, sizeof want, ROW_BEGIN ",\"skipped\":\"%s\"}\n", plumb_skip_name(s.skip));
        line_is(&s, 63, want);
    }
}

static void lines_are_json(void **state)
{
    (void)state;
    for (uint32_t selected = 0; selected < 1 << MEASURES; selected++) {
        plumb_text t = {0};
        json_error_t error;
        check_ok(plumb_score_line(&example, selected, &t));
        json_t *row = json_loadb(t.data, t.size, JSON_REJECT_DUPLICATES, &error);
        if (!row) fail_msg("%s: %s", t.data, error.text);
        json_decref(row);
        plumb_text_free(&t);
    }
}

static void table_of_measures(void **state)
{
    (void)state;
    static const char *const names[MEASURES] = {"ches", "ln_ches", "last_hidden", "edit", "logps", "alpha", "grad"};
    size_t count;
    const plumb_measure *table = plumb_measures(&count);
    assert_int_equal(count, MEASURES);
    for (int i = 0; i < MEASURES; i++) {
        assert_string_equal(table[i].name, names[i]);
        assert_int_equal(plumb_measure_find(names[i]), i);
        assert_true(table[i].meaning[0]);
        assert_non_null(table[i].fields[0].name);
    }
    assert_int_equal(plumb_measure_find("edit_similarity"), -1);
    assert_int_equal(plumb_measure_find(""), -1);
    assert_int_equal(plumb_measures_need(0), PLUMB_NEED_NOTHING);
    assert_int_equal(plumb_measures_need(1 << EDIT), PLUMB_NEED_NOTHING);
    assert_int_equal(plumb_measures_need(DEFAULTS), PLUMB_NEED_STATES); /* the four measures need no unembedding */
    assert_int_equal(plumb_measures_need(1 << LOGPS), PLUMB_NEED_STATES | PLUMB_NEED_LOGPS);
    assert_int_equal(plumb_measures_need(1 << ALPHA), PLUMB_NEED_STATES | PLUMB_NEED_LOGPS | PLUMB_NEED_THEORY);
    assert_int_equal(plumb_measures_need(1 << GRAD), PLUMB_NEED_GRADIENT);
}

static void sums_of_states(void **state)
{
    (void)state;
    float h[3 * 5] = {1, 2, 3, 99, 99, 4, 5, 6, 99, 99, 0.25f, -1, 1e8f, 99, 99}; /* rows of 5, of which 3 count */
    double sum[3] = {10, 0, 1};
    plumb_sum_states(h, 5, 3, 3, sum);
    assert_true(sum[0] == 15.25 && sum[1] == 6 && sum[2] == 1e8 + 10); /* added to what was there, in fp64 */
    plumb_sum_states(h, 5, 0, 3, sum);
    assert_true(sum[0] == 15.25);
}

/* ---- the summary ---- */

static void add_value(plumb_score_summary *s, int64_t index, double value)
{
    plumb_score score = {.index = index, .boundary_clean = true, .ln_ches = value};
    plumb_score_summary_add(s, &score);
}

static void quantiles_and_tops(void **state)
{
    (void)state;
    plumb_score_summary *s;
    plumb_field_summary f;
    check_ok(plumb_score_summary_new(1 << LN_CHES, &s));
    plumb_score_summary_field(s, LN_CHES, &f);
    assert_int_equal(f.count, 0);
    assert_int_equal(f.tops, 0);
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) assert_true(isnan(f.quantiles[i])); /* of no values: none */
    add_value(s, 5, 2.5); /* one value is every quantile */
    plumb_score_summary_field(s, LN_CHES, &f);
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) assert_true(f.quantiles[i] == 2.5);
    assert_int_equal(f.tops, 1);
    assert_int_equal(f.top_index[0], 5);
    plumb_score_summary_free(s);

    check_ok(plumb_score_summary_new(1 << LN_CHES, &s));
    for (int i = 0; i <= 100; i++) add_value(s, i, (i * 37) % 101); /* 0 .. 100 in another order */
    plumb_score_summary_field(s, LN_CHES, &f);
    static const double want[PLUMB_SUMMARY_QUANTILES] = {0, 5, 25, 50, 75, 95, 100};
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) assert_true(fabs(f.quantiles[i] - want[i]) < 1e-12);
    assert_string_equal(f.name, "ln_ches");
    assert_int_equal(f.count, 101);
    assert_false(f.sampled);
    assert_int_equal(f.tops, 3);
    for (int k = 0; k < 3; k++) {
        assert_true(f.top_value[k] == 100 - k);
        assert_int_equal((f.top_index[k] * 37) % 101, 100 - k);
    }
    plumb_score_summary_free(s);

    check_ok(plumb_score_summary_new(1 << LN_CHES, &s)); /* between two values: linear */
    add_value(s, 0, 10);
    add_value(s, 1, 20);
    plumb_score_summary_field(s, LN_CHES, &f);
    static const double between[PLUMB_SUMMARY_QUANTILES] = {10, 10.5, 12.5, 15, 17.5, 19.5, 20};
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) assert_true(fabs(f.quantiles[i] - between[i]) < 1e-12);
    plumb_score_summary_free(s);
}

static void of_equal_values_the_earlier_row(void **state)
{
    (void)state;
    plumb_score_summary *s;
    plumb_field_summary f;
    static const double values[] = {1, 7, 7, 3, 7, 9, 7, NAN, INFINITY, -INFINITY, 9};
    static const int64_t want[] = {5, 10, 1};
    check_ok(plumb_score_summary_new(1 << LN_CHES, &s));
    for (int i = 0; i < 11; i++) add_value(s, i, values[i]);
    plumb_score_summary_field(s, LN_CHES, &f);
    assert_int_equal(f.count, 8); /* what is not finite does not count */
    for (int k = 0; k < 3; k++) assert_int_equal(f.top_index[k], want[k]);
    assert_true(f.quantiles[0] == 1 && f.quantiles[PLUMB_SUMMARY_QUANTILES - 1] == 9);
    plumb_score_summary_free(s);
}

static void skips_and_flags_are_counted(void **state)
{
    (void)state;
    plumb_score_summary *s, *again;
    int64_t skipped[PLUMB_SKIPS], truncated, unclean;
    check_ok(plumb_score_summary_new(DEFAULTS, &s));
    check_ok(plumb_score_summary_new(DEFAULTS, &again));
    for (int i = 0; i < 100; i++) {
        plumb_score score = example;
        score.index = i;
        score.skip = i % 7 < PLUMB_SKIPS ? (plumb_skip)(i % 7) : PLUMB_SKIP_NONE;
        score.truncated = i % 5 == 0;
        score.boundary_clean = i % 3 != 0;
        score.ches = i % 11;
        plumb_score_summary_add(s, &score);
        plumb_text t = {0}; /* the same from what was written */
        check_ok(plumb_score_line(&score, DEFAULTS, &t));
        json_t *row = json_loadb(t.data, t.size, 0, NULL);
        assert_non_null(row);
        plumb_score_summary_add_row(again, row);
        json_decref(row);
        plumb_text_free(&t);
    }
    int64_t want[PLUMB_SKIPS] = {0}, cut = 0, merged = 0;
    for (int i = 0; i < 100; i++) {
        int skip = i % 7 < PLUMB_SKIPS ? i % 7 : 0;
        want[skip]++;
        cut += !skip && i % 5 == 0;
        merged += !skip && i % 3 == 0;
    }
    plumb_score_summary *both[] = {s, again};
    for (int k = 0; k < 2; k++) {
        plumb_field_summary f, g;
        assert_int_equal(plumb_score_summary_counts(both[k], skipped, &truncated, &unclean), 100);
        for (int i = 0; i < PLUMB_SKIPS; i++) assert_int_equal(skipped[i], want[i]);
        assert_int_equal(truncated, cut);
        assert_int_equal(unclean, merged);
        for (int m = CHES; m <= EDIT; m++) {
            plumb_score_summary_field(s, m, &f);
            plumb_score_summary_field(both[k], m, &g);
            assert_int_equal(g.count, want[0]);
            for (int q = 0; q < PLUMB_SUMMARY_QUANTILES; q++)
                assert_true(fabs(f.quantiles[q] - g.quantiles[q]) <= 1e-8 * fabs(f.quantiles[q]));
            for (int t = 0; t < 3; t++) assert_int_equal(f.top_index[t], g.top_index[t]);
        }
    }
    plumb_score_summary_free(s);
    plumb_score_summary_free(again);
}

/* More values than the sample holds: ends and tops are exact, the rest an estimate that a repetition confirms.
 * Ascending values would show a sample that prefers early or late ones. */
static void long_runs_are_sampled(void **state)
{
    (void)state;
    enum { N = 400000 };
    plumb_field_summary f[2];
    for (int k = 0; k < 2; k++) {
        plumb_score_summary *s;
        check_ok(plumb_score_summary_new(1 << LN_CHES, &s));
        for (int i = 0; i < N; i++) add_value(s, i, i);
        plumb_score_summary_field(s, LN_CHES, &f[k]);
        plumb_score_summary_free(s);
    }
    assert_int_equal(f[0].count, N);
    assert_true(f[0].sampled);
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++) {
        double want = plumb_summary_quantiles[i] * (N - 1);
        bool end = i == 0 || i == PLUMB_SUMMARY_QUANTILES - 1;
        /* the deviation of a median of 65,536 is 0.2 % of the range */
        if (!(fabs(f[0].quantiles[i] - want) <= (end ? 0 : 0.01 * N)))
            fail_msg("quantile %g is %g, expected about %g", plumb_summary_quantiles[i], f[0].quantiles[i], want);
        assert_true(f[0].quantiles[i] == f[1].quantiles[i]);
    }
    for (int k = 0; k < 3; k++) assert_int_equal(f[0].top_index[k], N - 1 - k);
}

/* ---- the scorer ---- */

typedef struct kept {
    plumb_score *scores;
    size_t count, capacity, stop_after;
} kept;

static plumb_status keep(void *user, const plumb_score *score)
{
    kept *k = user;
    if (k->stop_after && k->count == k->stop_after) return plumb_fail(PLUMB_E_IO, "the disk is full");
    check_ok(plumb_reserve(&k->scores, &k->capacity, k->count + 1, sizeof *k->scores));
    k->scores[k->count++] = *score;
    return PLUMB_OK;
}

/* Pair number i of a random set: some skipped, of different lengths, some with a common beginning or the same. */
static plumb_pair random_pair(uint64_t i, int vocab)
{
    plumb_pair p = {.prompt = 1 + (int)(plumb_uniform(1, i, 0) * 20), .boundary_clean = true};
    int lead = plumb_uniform(1, i, 1) < 0.5 ? (int)(plumb_uniform(1, i, 2) * 10) : 0;
    for (int s = 0; s < 2; s++) {
        int count = p.prompt + lead + 1 + (int)(plumb_uniform(1, i, 3 + (uint64_t)s) * 30);
        for (int k = 0; k < count; k++) {
            uint64_t from = k < p.prompt + lead ? 1000 : 2000 + 1000 * (uint64_t)(s && i % 9 != 0);
            check_ok(plumb_ids_push(&p.ids[s], (int32_t)(plumb_uniform(2, i, from + (uint64_t)k) * vocab)));
        }
    }
    while (p.shared < (int)p.ids[0].count && p.shared < (int)p.ids[1].count &&
           p.ids[0].data[p.shared] == p.ids[1].data[p.shared])
        p.shared++;
    if (i % 4 == 3) p.skip = (plumb_skip)(1 + i % 3);
    return p;
}

enum { PAIRS = 40 };

static plumb_status score_pairs(const plumb_model *m, plumb_scorer_options how, kept *out)
{
    plumb_scorer *s;
    how.emit = keep;
    how.user = out;
    check_ok(plumb_scorer_new(m, &how, &s));
    plumb_status status = PLUMB_OK;
    for (int i = 0; i < PAIRS && !status; i++) {
        plumb_pair p = random_pair((uint64_t)i, 1000);
        status = plumb_scorer_add(s, 7 + i, (uint64_t)i * 3, &p);
        plumb_pair_free(&p);
    }
    if (!status) status = plumb_scorer_flush(s);
    plumb_scorer_free(s);
    return status;
}

static plumb_model *open_model(plumb_compute **c, int threads)
{
    plumb_model *m;
    check_ok(plumb_compute_open(NULL, threads, c));
    check_ok(plumb_model_open(oracle_path("models", "gemma2"), *c, &m)); /* windows, caps, norms on both sides */
    return m;
}

static void check_order(const kept *k)
{
    assert_int_equal(k->count, PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        plumb_pair p = random_pair((uint64_t)i, 1000);
        assert_int_equal(k->scores[i].index, 7 + i);
        assert_int_equal(k->scores[i].row, (uint64_t)i * 3);
        assert_int_equal(k->scores[i].skip, p.skip);
        if (!p.skip) {
            assert_int_equal(k->scores[i].prompt_tokens, p.prompt);
            assert_int_equal(k->scores[i].shared_tokens, p.shared);
            for (int s = 0; s < 2; s++) assert_int_equal(k->scores[i].tokens[s], (int)p.ids[s].count - p.prompt);
        }
        plumb_pair_free(&p);
    }
}

/* All computed values, as bytes: NaN and -0 count too. */
static bool same_bits(const plumb_score *a, const plumb_score *b)
{
    size_t from = offsetof(plumb_score, ches);
    return memcmp((const char *)a + from, (const char *)b + from, sizeof *a - from) == 0;
}

static void order_and_bits_for_every_packing(void **state)
{
    (void)state;
    static const int sizes[] = {0, 1, 51, 100, 777}, threads[] = {1, 1, 1, 2, 3};
    for (int way = 0; way < 2; way++) {
        kept first = {0};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            plumb_compute *c;
            kept k = {0};
            plumb_model *m = open_model(&c, threads[i]);
            check_ok(score_pairs(m,
                                 (plumb_scorer_options){.measures = DEFAULTS | 1 << LOGPS,
                                                        .compat = (plumb_compat)way,
                                                        .batch_rows = sizes[i]},
                                 &k));
            check_order(&k);
            if (i == 0) {
                first = k;
            } else {
                for (int n = 0; n < PAIRS; n++)
                    if (!same_bits(&k.scores[n], &first.scores[n]))
                        fail_msg("pair %d has other bits with %d rows a batch", n, sizes[i]);
                free(k.scores);
            }
            plumb_model_close(m);
            plumb_compute_close(c);
        }
        free(first.scores);
    }
}

/* Only what is selected is computed, and it does not depend on what else is. */
static void selections_agree(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model(&c, 1);
    kept all = {0};
    check_ok(score_pairs(m, (plumb_scorer_options){.measures = 127}, &all));
    size_t count;
    const plumb_measure *table = plumb_measures(&count);
    for (size_t i = 0; i < count; i++) {
        kept one = {0};
        check_ok(score_pairs(m, (plumb_scorer_options){.measures = 1u << i}, &one));
        for (int n = 0; n < PAIRS; n++) {
            plumb_text a = {0}, b = {0};
            check_ok(plumb_score_line(&all.scores[n], 1u << i, &a));
            check_ok(plumb_score_line(&one.scores[n], 1u << i, &b));
            if (strcmp(a.data, b.data) != 0)
                fail_msg("%s alone: %s and with others: %s", table[i].name, b.data, a.data);
            plumb_text_free(&a);
            plumb_text_free(&b);
        }
        free(one.scores);
    }
    free(all.scores);
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* Exchanged sides exchange the norms and leave what is symmetric; of equal sides the differences are exactly 0. */
static void check_exchanged(const plumb_score *p, const plumb_score *q, const plumb_score *same)
{
    assert_true(p->norm2[0] == q->norm2[1] && p->norm2[1] == q->norm2[0]);
    assert_true(p->dot == q->dot && p->last_hidden == q->last_hidden);
    assert_true(p->edit_similarity == q->edit_similarity);
    assert_true(p->logps[0] == q->logps[1] && p->logps[1] == q->logps[0]);
    assert_true(p->ches == p->dot - p->norm2[0]);
    assert_true(same->ches == 0 && same->ln_ches == 0 && same->edit_similarity == 1);
    assert_true(same->norm2[0] == same->norm2[1] && same->logps[0] == same->logps[1]);
    assert_true(same->theory.alpha_ches == 0 && same->theory.minus == same->theory.plus);
    assert_true(same->theory.hidden_path == 0);
    /* the shared beginning is longer, so that sums over keys are cut elsewhere: not the same bits */
    assert_true(fabs(same->norm2[0] - p->norm2[0]) < 1e-4 * p->norm2[0]);
    assert_true(fabs(same->logps[0] - p->logps[0]) < 1e-4 * fabs(p->logps[0]));
}

static void exchanged_and_equal_sides(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model(&c, 1);
    for (int way = 0; way < 2; way++) {
        plumb_scorer_options how = {.measures = 63, .compat = (plumb_compat)way, .emit = keep};
        plumb_scorer *s;
        kept k = {0};
        how.user = &k;
        check_ok(plumb_scorer_new(m, &how, &s));
        for (uint64_t i = 0; i < 20; i++) {
            plumb_pair p = random_pair(4 * i, 1000), q = p, same = p;
            q.ids[0] = p.ids[1];
            q.ids[1] = p.ids[0];
            same.ids[1] = p.ids[0];
            same.shared = (int)p.ids[0].count;
            check_ok(plumb_scorer_add(s, 0, 0, &p));
            check_ok(plumb_scorer_add(s, 1, 0, &q));
            check_ok(plumb_scorer_add(s, 2, 0, &same));
            plumb_pair_free(&p);
        }
        check_ok(plumb_scorer_flush(s));
        assert_int_equal(k.count, 60);
        for (size_t i = 0; i < k.count; i += 3) check_exchanged(&k.scores[i], &k.scores[i + 1], &k.scores[i + 2]);
        free(k.scores);
        plumb_scorer_free(s);
    }
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* Skipped rows wait behind a batch that is not full, but not without end, and never overtake. */
static void thousands_of_skipped_rows(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model(&c, 1);
    plumb_scorer *s;
    kept k = {0};
    plumb_pair real = random_pair(4, 1000), skipped = {.skip = PLUMB_SKIP_PROMPT_TOO_LONG};
    check_ok(plumb_scorer_new(m, &(plumb_scorer_options){.measures = DEFAULTS, .emit = keep, .user = &k}, &s));
    int64_t n = 0;
    for (; n < 5000; n++) check_ok(plumb_scorer_add(s, n, 0, &skipped));
    assert_int_equal(k.count, 5000); /* nothing to wait for */
    check_ok(plumb_scorer_add(s, n++, 0, &real));
    assert_int_equal(k.count, 5000);
    for (int i = 0; i < 4095; i++) check_ok(plumb_scorer_add(s, n++, 0, &skipped));
    assert_int_equal(k.count, 5000);
    check_ok(plumb_scorer_add(s, n++, 0, &skipped));
    assert_in_range(k.count, 5001, 5000 + 4097); /* the batch had to go */
    for (int i = 0; i < 6000; i++) check_ok(plumb_scorer_add(s, n++, 0, &skipped));
    check_ok(plumb_scorer_add(s, n++, 0, &real));
    check_ok(plumb_scorer_flush(s));
    check_ok(plumb_scorer_flush(s)); /* nothing left */
    assert_int_equal(k.count, n);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(k.scores[i].index, i);
        assert_int_equal(k.scores[i].skip, i == 5000 || i == n - 1 ? PLUMB_SKIP_NONE : PLUMB_SKIP_PROMPT_TOO_LONG);
    }
    assert_true(k.scores[5000].ches == k.scores[n - 1].ches && k.scores[5000].ches != 0);
    free(k.scores);
    plumb_pair_free(&real);
    plumb_scorer_free(s);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void without_a_model(void **state)
{
    (void)state;
    kept k = {0};
    plumb_scorer *s;
    check_ok(score_pairs(NULL, (plumb_scorer_options){.measures = 1 << EDIT}, &k));
    check_order(&k);
    free(k.scores);
    assert_says(plumb_scorer_new(NULL, &(plumb_scorer_options){.measures = 1 << CHES}, &s), PLUMB_E_INTERNAL,
                "need a model");
    assert_null(s);
}

static void a_failing_output_stops(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model(&c, 1);
    kept k = {.stop_after = 17};
    assert_says(score_pairs(m, (plumb_scorer_options){.measures = DEFAULTS, .batch_rows = 200}, &k), PLUMB_E_IO,
                "the disk is full");
    assert_int_equal(k.count, 17);
    free(k.scores);
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* Asks for a stop the n-th time it is asked. */
typedef struct patience {
    int asked, stop_at;
} patience;

static bool out_of_patience(void *user)
{
    patience *p = user;
    return ++p->asked == p->stop_at;
}

/* A batch stops between two layers, and goes through when asked again. */
static void an_interrupt_stops_within_a_batch(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model(&c, 1);
    static const uint32_t selections[] = {1 << LN_CHES, 1 << LOGPS, 1 << GRAD};
    plumb_pair pair = random_pair(4, 1000);
    for (size_t i = 0; i < sizeof selections / sizeof *selections; i++) {
        /* for each of three layers once, for the pair once; a gradient: both sides forwards and backwards */
        int layers = m->config.layers, asked = selections[i] == 1 << GRAD ? 4 * layers : layers + 1;
        for (int stop = 1; stop <= asked + 1; stop++) {
            patience p = {0, stop};
            kept k = {0};
            plumb_scorer *s;
            plumb_sink sink = {.user = &p, .interrupted = out_of_patience};
            check_ok(plumb_scorer_new(
                m, &(plumb_scorer_options){.measures = selections[i], .emit = keep, .user = &k, .sink = &sink}, &s));
            plumb_status status = plumb_scorer_add(s, 0, 0, &pair);
            if (!status) status = plumb_scorer_flush(s);
            if (stop <= asked) {
                assert_says(status, PLUMB_E_INTERRUPTED, "interrupted");
                assert_int_equal(p.asked, stop);
                assert_int_equal(k.count, 0);
            } else {
                check_ok(status);
                assert_int_equal(p.asked, asked);
                assert_int_equal(k.count, 1);
            }
            free(k.scores);
            plumb_scorer_free(s);
        }
    }
    plumb_pair_free(&pair);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void plans_only_count(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model(&c, 1);
    plumb_scorer *s;
    double flops[2];
    for (int k = 0; k < 2; k++) {
        int rows, wanted;
        uint32_t measures = k ? 1 << LOGPS : DEFAULTS;
        check_ok(
            plumb_scorer_new(m, &(plumb_scorer_options){.measures = measures, .plan = true, .batch_rows = 200}, &s));
        for (int i = 0; i < PAIRS; i++) {
            plumb_pair p = random_pair((uint64_t)i, 1000);
            check_ok(plumb_scorer_add(s, i, 0, &p));
            plumb_pair_free(&p);
        }
        check_ok(plumb_scorer_flush(s));
        plumb_scorer_largest(s, &rows, &wanted);
        assert_in_range(rows, 100, 200);
        assert_in_range(wanted, 1, rows);
        flops[k] = plumb_scorer_flops(s);
        plumb_scorer_free(s);
    }
    assert_true(flops[0] > 1e6 && flops[1] > flops[0]);
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* Bytes that malloc has given out; 0 where nobody counts. */
static int64_t in_use(void)
{
#ifdef __GLIBC__
    struct mallinfo2 m = mallinfo2();
    return (int64_t)(m.uordblks + m.hblkhd);
#else
    return 0;
#endif
}

/* What a plan says of memory is what the run then holds, measure by measure. */
static void plans_tell_the_memory(void **state)
{
    (void)state;
    static const uint32_t selections[] = {1 << EDIT, 1 << LN_CHES, 1 << LOGPS, 1 << ALPHA, 1 << GRAD};
    int64_t planned[5];
    for (size_t i = 0; i < sizeof selections / sizeof *selections; i++) {
        plumb_compute *c;
        plumb_model *m = open_model(&c, 1);
        for (int plan = 1; plan >= 0; plan--) {
            plumb_scorer *s;
            kept k = {0};
            int64_t before = in_use();
            check_ok(plumb_scorer_new(
                m,
                &(plumb_scorer_options){
                    .measures = selections[i], .plan = plan, .batch_rows = 1500, .emit = keep, .user = &k},
                &s));
            for (int p = 0; p < 60; p++) {
                plumb_pair pair = random_pair((uint64_t)p, 1000);
                check_ok(plumb_scorer_add(s, p, 0, &pair));
                plumb_pair_free(&pair);
            }
            check_ok(plumb_scorer_flush(s));
            int64_t bytes = plumb_scorer_bytes(s), held = in_use() - before;
            if (plan) planned[i] = bytes;
            assert_int_equal(bytes, planned[i]);
            bool counted = !plan && held > 1 << 20;
            if (counted && (bytes < 0.8 * (double)held || bytes > 1.5 * (double)held))
                fail_msg("selection %zu: planned %lld bytes, held %lld", i, (long long)bytes, (long long)held);
            free(k.scores);
            plumb_scorer_free(s);
        }
        plumb_model_close(m);
        plumb_compute_close(c);
    }
    assert_int_equal(planned[0], 0);
    assert_true(planned[1] > 1 << 20 && planned[2] > planned[1] && planned[3] > planned[2]);
    assert_true(planned[4] > 2 << 20); /* two gradients of 250,000 weights */
}

/* ---- the reader ---- */

static void count_notes(void *user, const char *text)
{
    int *count = user;
    ++*count;
    if (!strstr(text, "pairs.jsonl:")) fail_msg("a note without its place: %s", text);
}

static void bad_rows_are_passed_over_or_stop(void **state)
{
    (void)state;
    static const char text[] = "{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[3]}\n"
                               "\n"
                               "{\"prompt\":\n"
                               "{\"prompt_ids\":[1],\"chosen_ids\":[99],\"rejected_ids\":[3]}\n"
                               "{\"prompt_ids\":[1,1],\"chosen_ids\":[2],\"rejected_ids\":[3]}";
    const char *path = scratch_file("pairs.jsonl", text, sizeof text - 1);
    int notes = 0;
    plumb_sink sink = {.user = &notes, .note = count_notes};
    plumb_pair_source source = {.path = path,
                                .end = -1,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {.vocab_size = 50},
                                .skip_bad_rows = true,
                                .sink = &sink};
    static const plumb_skip want[] = {PLUMB_SKIP_NONE, PLUMB_SKIP_BAD_ROW, PLUMB_SKIP_BAD_ROW, PLUMB_SKIP_NONE};
    static const int64_t lines_of[] = {1, 3, 4, 5};
    plumb_pair_reader *r;
    const plumb_row *row;
    const plumb_pair *pair;
    bool found;
    check_ok(plumb_pair_reader_open(&source, &r));
    for (int i = 0; i < 4; i++) {
        check_ok(plumb_pair_reader_next(r, &row, &pair, &found));
        assert_true(found);
        assert_int_equal(row->index, i);
        assert_int_equal(row->line, lines_of[i]);
        assert_int_equal(pair->skip, want[i]);
    }
    assert_int_equal(pair->prompt, 2); /* of the row after the bad ones */
    check_ok(plumb_pair_reader_next(r, &row, &pair, &found));
    assert_false(found);
    assert_int_equal(notes, 2);
    uint64_t hash, passed;
    assert_int_equal(plumb_pair_reader_rows(r, &hash, NULL), 4);
    plumb_pair_reader_close(r);

    check_ok(plumb_pair_reader_open(&source, &r)); /* passing over gives the same hash */
    do check_ok(plumb_pair_reader_pass(r, &row, &found));
    while (found);
    assert_int_equal(plumb_pair_reader_rows(r, &passed, NULL), 4);
    assert_true(hash == passed);
    plumb_pair_reader_close(r);

    source.skip_bad_rows = false;
    check_ok(plumb_pair_reader_open(&source, &r));
    check_ok(plumb_pair_reader_next(r, &row, &pair, &found));
    assert_says(plumb_pair_reader_next(r, &row, &pair, &found), PLUMB_E_INPUT, "pairs.jsonl:3: not valid JSON");
    assert_says(plumb_pair_reader_next(r, &row, &pair, &found), PLUMB_E_INPUT,
                "pairs.jsonl:4: token 1 of prompt + chosen is 99; the model has embeddings of 0 to 49");
    plumb_pair_reader_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_as_text),
        cmocka_unit_test(numbers_that_are_not_finite),
        cmocka_unit_test(the_first_field_that_is_not_finite),
        cmocka_unit_test(skipped_rows),
        cmocka_unit_test(lines_are_json),
        cmocka_unit_test(table_of_measures),
        cmocka_unit_test(sums_of_states),
        cmocka_unit_test(quantiles_and_tops),
        cmocka_unit_test(of_equal_values_the_earlier_row),
        cmocka_unit_test(skips_and_flags_are_counted),
        cmocka_unit_test(long_runs_are_sampled),
        cmocka_unit_test(order_and_bits_for_every_packing),
        cmocka_unit_test(selections_agree),
        cmocka_unit_test(exchanged_and_equal_sides),
        cmocka_unit_test(thousands_of_skipped_rows),
        cmocka_unit_test(without_a_model),
        cmocka_unit_test(a_failing_output_stops),
        cmocka_unit_test(an_interrupt_stops_within_a_batch),
        cmocka_unit_test(plans_only_count),
        cmocka_unit_test(plans_tell_the_memory),
        cmocka_unit_test(bad_rows_are_passed_over_or_stop),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
