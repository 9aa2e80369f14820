/* Which rows plumb filter keeps, and that it keeps them byte for byte. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "study/filter.h"

#define DATA_FILE   PLUMB_TEST_SCRATCH "/filter_data.jsonl"
#define SCORE_FILE  PLUMB_TEST_SCRATCH "/filter_scores.jsonl"
#define SCORE_FILE2 PLUMB_TEST_SCRATCH "/filter_scores_2.jsonl"
#define OUT_FILE    PLUMB_TEST_SCRATCH "/filter_out.jsonl"

static void ok(plumb_status s)
{
    if (s) fail_msg("%s", plumb_status_message(s));
}

static void amounts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t digits;
        int places;
        bool is_percent;
    } good[] = {
        {"5%", 5, 0, true},
        {"0.1%", 1, 1, true},
        {"12.50 %", 1250, 2, true},
        {"100%", 100, 0, true},
        {"100.000%", 100000, 3, true},
        {"0%", 0, 0, true},
        {".5%", 5, 1, true},
        {"5.%", 5, 0, true},
        {"500", 500, 0, false},
        {"0", 0, 0, false},
        {"0000000000000000000000007", 7, 0, false},
        {"0.000000000000001%", 1, 15, true},
    };
    static const char *const bad[] = {"",
                                      "%",
                                      "five",
                                      "-5%",
                                      "+5%",
                                      "5%%",
                                      "5 rows",
                                      "1e3",
                                      "1e1%",
                                      "5.5",
                                      ".%",
                                      ".",
                                      "100.1%",
                                      "101%",
                                      "1.2.3%",
                                      "0x5",
                                      "99999999999999999999",
                                      "0.0000000000000001%",
                                      " 5%"};
    plumb_amount amount;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        ok(plumb_amount_parse(good[i].text, &amount));
        assert_int_equal(amount.digits, good[i].digits);
        assert_int_equal(amount.places, good[i].places);
        assert_int_equal(amount.is_percent, good[i].is_percent);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        plumb_status s = plumb_amount_parse(bad[i], &amount);
        if (!s) fail_msg("accepted: \"%s\"", bad[i]);
        assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
        assert_non_null(plumb_status_cure(s));
        plumb_status_free(s);
    }
}

/* One row per rounding. */
static const struct rank_case {
    plumb_filter_rule rule;
    const char *text;
    int64_t n, first, last;
} rank_cases[] = {
    {PLUMB_KEEP_LOWEST, "5%", 1000, 0, 50},
    {PLUMB_KEEP_LOWEST, "0.1%", 1000, 0, 1},
    {PLUMB_KEEP_LOWEST, "5%", 1001, 0, 51},
    {PLUMB_KEEP_LOWEST, "5%", 1, 0, 1},
    {PLUMB_KEEP_LOWEST, "7%", 100, 0, 7}, /* 0.07 * 100 > 7 in doubles */
    {PLUMB_KEEP_LOWEST, "29%", 100, 0, 29},
    {PLUMB_KEEP_LOWEST, "0.000000000000001%", 1000, 0, 1},
    {PLUMB_KEEP_LOWEST, "0%", 1000, 0, 0},
    {PLUMB_KEEP_LOWEST, "100%", 1000, 0, 1000},
    {PLUMB_KEEP_LOWEST, "33.333333333333333%", 3, 0, 1},
    {PLUMB_KEEP_LOWEST, "33.333333333333334%", 3, 0, 2},
    {PLUMB_KEEP_LOWEST, "15%", 999999999999, 0, 150000000000},
    {PLUMB_KEEP_LOWEST, "10", 1000, 0, 10},
    {PLUMB_KEEP_LOWEST, "1001", 1000, 0, 1000},
    {PLUMB_KEEP_LOWEST, "5%", 0, 0, 0},
    {PLUMB_DROP_TOP, "5%", 1000, 0, 950},
    {PLUMB_DROP_TOP, "5%", 1019, 0, 969}, /* 50.95 */
    {PLUMB_DROP_TOP, "0.1%", 999, 0, 999},
    {PLUMB_DROP_TOP, "29%", 100, 0, 71}, /* 0.29 * 100 < 29 in doubles */
    {PLUMB_DROP_TOP, "100%", 7, 0, 0},
    {PLUMB_DROP_TOP, "3", 7, 0, 4},
    {PLUMB_DROP_TOP, "8", 7, 0, 0},
    {PLUMB_SLICE, "0:10", 100, 0, 10},     /* the lower end */
    {PLUMB_SLICE, "100:10", 100, 90, 100}, /* the upper end: moved left */
    {PLUMB_SLICE, "50:10", 100, 45, 55},   /* idx = even(49.5) = 50 */
    {PLUMB_SLICE, "50:10", 102, 45, 55},   /* idx = even(50.5) = 50 */
    {PLUMB_SLICE, "50:10", 101, 45, 55},   /* idx = 50 */
    {PLUMB_SLICE, "50:9", 101, 46, 55},    /* K / 2 rounded down */
    {PLUMB_SLICE, "50:1", 101, 50, 51},
    {PLUMB_SLICE, "7:1", 51, 4, 5},    /* 3.5 -> 4 */
    {PLUMB_SLICE, "29:1", 51, 14, 15}, /* 14.5 -> 14 */
    {PLUMB_SLICE, "50:100", 100, 0, 100},
    {PLUMB_SLICE, "0:1", 1, 0, 1},
    {PLUMB_SLICE, "100%:1", 1, 0, 1},
    {PLUMB_SLICE, "2.5:4", 201, 3, 7},
};

static void ranks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rank_cases / sizeof *rank_cases; i++) {
        const struct rank_case *c = &rank_cases[i];
        plumb_filter_choice choice = {.rule = c->rule};
        int64_t first = -1, last = -1;
        ok(c->rule == PLUMB_SLICE ? plumb_slice_parse(c->text, &choice) : plumb_amount_parse(c->text, &choice.amount));
        ok(plumb_filter_ranks(&choice, c->n, &first, &last));
        if (first != c->first || last != c->last)
            fail_msg("%s of %" PRId64 ": [%" PRId64 ", %" PRId64 ")", c->text, c->n, first, last);
    }
}

static void slices_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      ":",       "50",  "50:",   ":5",     "50:0",  "50:-1", "-1:5",
        "101:5", "100.5:5", "a:5", "50:5x", "50:5.5", "50 :5", "5e1:5", "50:99999999999999999999"};
    plumb_filter_choice choice;
    int64_t first, last;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        plumb_status s = plumb_slice_parse(bad[i], &choice);
        if (!s) fail_msg("accepted: \"%s\"", bad[i]);
        plumb_status_free(s);
    }
    ok(plumb_slice_parse("50:8", &choice));
    plumb_status s = plumb_filter_ranks(&choice, 7, &first, &last);
    assert_string_equal(plumb_status_message(s), "a slice of 8 rows: only 7 rows are scored");
    plumb_status_free(s);
}

/* ---- whole runs ---- */

static void write_text(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void read_text(const char *path, plumb_text *t)
{
    plumb_text_clear(t);
    ok(plumb_text_string(t, ""));
    ok(plumb_read_file(path, 1 << 28, t));
}

/* Appends a score row for the data row `row`; measure is JSON. */
static void add_row(plumb_text *t, int64_t index, const char *row, const char *measure)
{
    ok(plumb_text_printf(
        t, "{\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\",\"ches\":1,\"ln_ches\":%s,\"truncated\":false}\n", index,
        (uint64_t)XXH3_64bits(row, strlen(row)), measure));
}

typedef struct run {
    plumb_filter_job job;
    plumb_filter_report report;
    const char *by;
    int64_t begin, end;
    const char *more_scores; /* a second score file */
} run;

/* Filters DATA_FILE by SCORE_FILE into OUT_FILE. */
static plumb_status filter(run *r)
{
    plumb_scores *scores = NULL;
    int64_t rows;
    uint64_t hash;
    plumb_status s = plumb_scores_new(r->by ? r->by : "ln_ches", r->begin, r->end ? r->end : -1, &scores);
    if (!s) s = plumb_scores_read(scores, SCORE_FILE, NULL, &rows, &hash);
    if (!s && r->more_scores) s = plumb_scores_read(scores, r->more_scores, NULL, &rows, &hash);
    if (!s) s = plumb_output_open(OUT_FILE, false, &r->job.output);
    if (!s) {
        r->job.scores = scores;
        if (!r->job.data) r->job.data = DATA_FILE;
        s = plumb_filter_run(&r->job, NULL, &r->report);
        if (s)
            plumb_output_close(r->job.output, false);
        else
            s = plumb_output_commit(r->job.output);
    }
    plumb_scores_free(scores);
    return s;
}

static plumb_filter_choice lowest(const char *amount)
{
    plumb_filter_choice choice = {.rule = PLUMB_KEEP_LOWEST};
    ok(plumb_amount_parse(amount, &choice.amount));
    return choice;
}

static void expect_output(run *r, const char *expected, size_t n)
{
    plumb_text out = {0};
    ok(filter(r));
    read_text(OUT_FILE, &out);
    assert_int_equal(out.size, n);
    assert_memory_equal(out.data, expected, n);
    plumb_text_free(&out);
}

static void expect_error(run *r, const char *message, const char *cure)
{
    plumb_status s = filter(r);
    if (!s) fail_msg("accepted; expected: %s", message);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    assert_string_equal(plumb_status_message(s), message);
    if (cure) assert_string_equal(plumb_status_cure(s), cure);
    plumb_status_free(s);
    assert_int_not_equal(access(OUT_FILE ".partial", F_OK), 0);
}

/* Rows as users have them: CRLF, blank lines, odd schemas, UTF-8, no final line end. */
static const char *const odd_rows[] = {"{\"prompt\":\"a\"}", "[1, 2,  3]",      "\"caf\xC3\xA9 \xF0\x9F\x92\xA7\"",
                                       "  {\"x\" : null}\t", "not json at all", "{\"last\":1}"};

static void byte_for_byte(void **state)
{
    (void)state;
    plumb_text data = {0}, scores = {0}, expected = {0};
    static const char *const ends[] = {"\r\n", "\n", "\n", "\r\n", "\n", ""};
    for (int i = 0; i < 6; i++) {
        if (i == 2) ok(plumb_text_string(&data, "\n \r\n"));
        ok(plumb_text_printf(&data, "%s%s", odd_rows[i], ends[i]));
        add_row(&scores, i, odd_rows[i], i == 1 ? "9" : "-1");
        if (i != 1) ok(plumb_text_printf(&expected, "%s%s", odd_rows[i], ends[i]));
    }
    write_text(SCORE_FILE, scores.data, scores.size);
    write_text(DATA_FILE, data.data, data.size);
    run r = {.job.choice = {.rule = PLUMB_BELOW, .bound = 0}};
    expect_output(&r, expected.data, expected.size);
    assert_int_equal(r.report.kept, 5);
    uint64_t hash = r.report.data_hash;

    gzFile gz = gzopen(DATA_FILE, "wb");
    gzwrite(gz, data.data, (unsigned)data.size);
    gzclose(gz);
    r = (run){.job.choice = {.rule = PLUMB_BELOW, .bound = 0}};
    expect_output(&r, expected.data, expected.size);
    assert_true(r.report.data_hash == hash);
    plumb_text_free(&data);
    plumb_text_free(&scores);
    plumb_text_free(&expected);
}

/* Few values, so that ties abound: compared with sorting (score, row). */
enum { MANY = 3000 };

typedef struct ranked {
    double score;
    int row;
} ranked;

static int compare_ranked(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score ? 1 : (x->row > y->row) - (x->row < y->row);
}

/* Scores of many magnitudes and signs, with ties; row i is "i"; every 50th row is skipped. */
static int make_many(int seed, ranked *order)
{
    static const double values[] = {-1e300, -2, -1.5, -0.0, 0, 4.9e-324, -4.9e-324, 1e-9, 3, 3.0000001, 1e300};
    plumb_text data = {0}, scores = {0};
    int n = 0;
    for (int i = 0; i < MANY; i++) {
        char row[32], measure[64];
        double score = values[(int)(11 * plumb_uniform((uint64_t)seed, 1, (uint64_t)i))];
        snprintf(row, sizeof row, "%d", i);
        snprintf(measure, sizeof measure, i % 50 ? "%.17g" : "null,\"skipped\":\"prompt_too_long\"", score);
        ok(plumb_text_printf(&data, "%s\n", row));
        add_row(&scores, i, row, measure);
        if (i % 50) order[n++] = (ranked){score, i};
    }
    write_text(DATA_FILE, data.data, data.size);
    write_text(SCORE_FILE, scores.data, scores.size);
    plumb_text_free(&data);
    plumb_text_free(&scores);
    qsort(order, (size_t)n, sizeof *order, compare_ranked);
    return n;
}

static void ties(void **state)
{
    (void)state;
    static ranked order[MANY];
    static const char *const choices[] = {"5%", "50%", "0", "1", "0.03%", "100%", "61.7%"};
    for (int i = 0; i < 14; i++) {
        int n = make_many(i % 3, order);
        int64_t first, last;
        plumb_filter_choice choice = lowest(choices[i % 7]);
        if (i >= 7) {
            char slice[32];
            snprintf(slice, sizeof slice, "%d:%d", (i - 7) * 16, 1 + 200 * (i - 7));
            ok(plumb_slice_parse(slice, &choice));
        }
        ok(plumb_filter_ranks(&choice, n, &first, &last));
        static bool stays[MANY];
        memset(stays, 0, sizeof stays);
        for (int64_t k = first; k < last; k++) stays[order[k].row] = true;
        plumb_text expected = {0};
        ok(plumb_text_string(&expected, ""));
        for (int row = 0; row < MANY; row++)
            if (stays[row]) ok(plumb_text_printf(&expected, "%d\n", row));
        run r = {.job = {.choice = choice, .drop_skipped = true}};
        expect_output(&r, expected.data, expected.size);
        assert_int_equal(r.report.kept, last - first);
        assert_int_equal(r.report.dropped, n - (last - first));
        assert_int_equal(r.report.skipped, MANY / 50);
        if (last > first) assert_int_equal(r.report.kept_lowest.row, order[first].row);
        if (last > first) assert_int_equal(r.report.kept_highest.row, order[last - 1].row);
        if (last > first && last < n) assert_int_equal(r.report.over.row, order[last].row);
        if (last > first && first) assert_int_equal(r.report.under.row, order[first - 1].row);
        plumb_text_free(&expected);
    }
}

/* Rows "r0".."r4"; scores from the given JSON values; NULL: no score row. */
static void small(const char *const measures[5])
{
    plumb_text scores = {0};
    write_text(DATA_FILE, "r0\nr1\nr2\nr3\nr4\n", 15);
    for (int i = 0; i < 5; i++) {
        char row[3] = {'r', (char)('0' + i), 0};
        if (measures[i]) add_row(&scores, i, row, measures[i]);
    }
    write_text(SCORE_FILE, scores.size ? scores.data : "", scores.size);
    plumb_text_free(&scores);
}

static void skipped_rows_stay(void **state)
{
    (void)state;
    static const char *const measures[] = {"1", "5,\"skipped\":\"empty_response\"", "2", "3", "0"};
    small(measures);
    run r = {.job.choice = lowest("50%")}; /* of 4 */
    expect_output(&r, "r0\nr1\nr4\n", 9);
    assert_int_equal(r.report.skipped_kept, 1);
    r = (run){.job = {.choice = lowest("50%"), .drop_skipped = true}};
    expect_output(&r, "r0\nr4\n", 6);
    assert_int_equal(r.report.skipped, 1);
    assert_int_equal(r.report.skipped_kept, 0);
    r = (run){.job.choice = {.rule = PLUMB_BELOW, .bound = 2}}; /* less than, not equal */
    expect_output(&r, "r0\nr1\nr4\n", 9);
}

static void ranges(void **state)
{
    (void)state;
    static const char *const measures[] = {"1", "5", "2", "3", "0"};
    small(measures);
    run r = {.job.choice = lowest("1"), .begin = 1, .end = 4}; /* rows outside do not count */
    expect_output(&r, "r2\n", 3);
    assert_int_equal(r.report.rows, 3);
    static const char *const part[] = {NULL, "5", "2", NULL, NULL};
    small(part);
    r = (run){.job.choice = lowest("1"), .begin = 1, .end = 3};
    expect_output(&r, "r2\n", 3);
}

static void shards(void **state)
{
    (void)state;
    static const char *const high[] = {NULL, NULL, "2", "3", "0"}, *const low[] = {"1", "5", "2", NULL, NULL};
    plumb_text text = {0};
    small(low);
    read_text(SCORE_FILE, &text);
    write_text(SCORE_FILE2, text.data, text.size);
    plumb_text_free(&text);
    small(high); /* the later rows come first; row 2 is in both, with the same score */
    run r = {.job.choice = lowest("2"), .more_scores = SCORE_FILE2};
    expect_output(&r, "r0\nr4\n", 6);
    assert_int_equal(r.report.scored, 5);
}

static void rows_without_score(void **state)
{
    (void)state;
    static const char *const gap[] = {"1", "5", NULL, "3", "0"}, *const head[] = {NULL, NULL, "2", "3", "0"},
                             *const tail[] = {"1", "5", "2", NULL, NULL};
    static const char cure[] = "score the rest too (plumb score --range) and give all score files, or filter what is "
                               "scored: --range %s";
    char text[200];
    run r = {.job.choice = lowest("1")};
    small(gap);
    snprintf(text, sizeof text, cure, "0:2");
    expect_error(&r, DATA_FILE ": row 2 (counted from 0) has no score", text);
    small(head);
    snprintf(text, sizeof text, cure, "2:5");
    expect_error(&r, DATA_FILE ": row 0 (counted from 0) has no score", text);
    small(tail);
    snprintf(text, sizeof text, cure, "0:3");
    expect_error(&r, DATA_FILE ":4: row 3 (counted from 0) has no score", text);
    r.begin = 3;
    expect_error(&r, DATA_FILE ":4: row 3 (counted from 0) has no score",
                 "none of these rows is scored; score them first");
}

static void data_and_scores_disagree(void **state)
{
    (void)state;
    static const char *const measures[] = {"1", "5", "2", "3", "0"};
    run r = {.job.choice = lowest("1")};
    small(measures);
    write_text(DATA_FILE, "r0\nr1\nr2\n", 9);
    expect_error(&r, DATA_FILE ": ends with row 2, but row 4 has a score",
                 "use the very file that was scored, or score this one");
    write_text(DATA_FILE, "r0\nr1\nR2\nr3\nr4\n", 15);
    char message[200];
    snprintf(message, sizeof message, DATA_FILE ":3: row 2 is not the row that was scored (its hash is %016" PRIx64 ")",
             (uint64_t)XXH3_64bits("R2", 2));
    expect_error(&r, message, "use the very file that was scored, or score this one");
    write_text(DATA_FILE, "\n\n", 2);
    expect_error(&r, DATA_FILE ": there are no rows in it", NULL);
}

/* Score rows that are refused: the text of the file's second row, and the message. */
static const struct refused {
    const char *row, *by, *message, *cure;
} refused[] = {
    {"{\"index\":1,\"row\":\"0123456789abcdef\",\"ches\":1}", "ln_ches",
     "there is no field \"ln_ches\"; numeric fields here: ches", "did you mean --by ches?"},
    {"{\"index\":1,\"row\":\"0123456789abcdef\",\"logps/chosen\":-3,\"ok\":true}", "gradient",
     "there is no field \"gradient\"; numeric fields here: logps/chosen",
     "choose one of these with --by, or score with --measures that include it"},
    {"{\"index\":1,\"row\":\"0123456789abcdef\",\"ln_ches\":null}", "ln_ches",
     "row 1 has no ln_ches: it is null (not a number)",
     "see what is wrong with this row or the model, and score it again"},
    {"{\"index\":1,\"row\":\"0123456789abcdef\",\"ln_ches\":\"3\"}", "ln_ches",
     "\"ln_ches\" is a string; expected a number", "choose a numeric field with --by"},
    {"{\"index\":1,\"row\":\"0123456789abcdef\",\"ok\":true}", "ok", "\"ok\" is a boolean; expected a number", NULL},
    {"{\"index\":0,\"row\":\"0123456789abcdef\",\"ln_ches\":1}", "ln_ches",
     "row 0 has two scores, and for different contents (\"row\")",
     "these scores were not made from the same data file"},
    {"{\"index\":0,\"row\":\"ROW0\",\"ln_ches\":2}", "ln_ches", "row 0 has two different scores, 1 and 2",
     "score files of one run only: same model, same options"},
    {"{\"index\":0,\"row\":\"ROW0\",\"skipped\":\"no_prompt_token\"}", "ln_ches",
     "row 0 has two different scores, 1 and skipped", NULL},
    {"{\"index\":-1,\"row\":\"0123456789abcdef\",\"ln_ches\":1}", "ln_ches", "\"index\" is not a row number", NULL},
    {"{\"index\":1.5,\"row\":\"0123456789abcdef\",\"ln_ches\":1}", "ln_ches", "\"index\" is 1.5; expected an integer",
     NULL},
    {"{\"index\":9007199254740991,\"row\":\"0123456789abcdef\",\"ln_ches\":1}", "ln_ches",
     "\"index\" is 9007199254740991, too large", NULL},
    {"{\"index\":1,\"row\":\"0123456789ABCDEF\",\"ln_ches\":1}", "ln_ches",
     "\"row\" is \"0123456789ABCDEF\"; expected 16 lower-case hexadecimal digits", NULL},
    {"{\"index\":1,\"ln_ches\":1}", "ln_ches", "\"row\" is missing: this is not a row of plumb score",
     "the order is: plumb filter DATA SCORES"},
    {"{\"row\":\"0123456789abcdef\",\"ln_ches\":1}", "ln_ches",
     "\"index\" is missing: this is not a row of plumb score", NULL},
    {"[1]", "ln_ches", "the row is a list; expected an object", NULL},
};

static void bad_score_rows(void **state)
{
    (void)state;
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, (uint64_t)XXH3_64bits("r0", 2));
    write_text(DATA_FILE, "r0\nr1\n", 6);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        plumb_text scores = {0};
        char message[300];
        ok(plumb_text_printf(&scores, "\n{\"index\":0,\"row\":\"%s\",\"ln_ches\":1,\"gradient\":1,\"ok\":1}\n", hash));
        const char *mark = strstr(refused[i].row, "ROW0");
        if (mark)
            ok(plumb_text_printf(&scores, "%.*s%s%s\n", (int)(mark - refused[i].row), refused[i].row, hash, mark + 4));
        else
            ok(plumb_text_printf(&scores, "%s\n", refused[i].row));
        write_text(SCORE_FILE, scores.data, scores.size);
        snprintf(message, sizeof message, SCORE_FILE ":3: %s", refused[i].message);
        run r = {.job.choice = lowest("1"), .by = refused[i].by};
        expect_error(&r, message, refused[i].cure);
        plumb_text_free(&scores);
    }
    write_text(SCORE_FILE, "", 0);
    run r = {.job.choice = lowest("1")};
    expect_error(&r, SCORE_FILE ": there are no rows in it", NULL);
}

/* The same score row in forms that the fast scanner knows and forms that it leaves to jansson. %s: the hash. */
static const char *const forms[] = {
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.5}",
    "{ \"index\" : 0 , \"row\" : \"%s\" , \"ln_ches\" : -2.5 }",
    "{\"ln_ches\":-25e-1,\"index\":0,\"note\":\"\",\"x\":null,\"y\":false,\"row\":\"%s\"}\r",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.50E0,\"note\":\"caf\xC3\xA9 \\\" \\u0041\"}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.5,\"list\":[1,{\"index\":7}],\"skipped\":null}",
    "{\"index\":0.0,\"row\":\"%s\",\"ln_ches\":-2.5}",
    "{\"\\u0069ndex\":0,\"row\":\"%s\",\"ln_ches\":-2.5}",
    "{\"index\":9,\"index\":0,\"row\":\"%s\",\"ln_ches\":7,\"ln_ches\":-2.5}",
    "\t{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.5,\"big\":123456789012345678901234567890} ",
};

static void forms_of_score_rows(void **state)
{
    (void)state;
    char hash[17], row[300];
    snprintf(hash, sizeof hash, "%016" PRIx64, (uint64_t)XXH3_64bits("r0", 2));
    write_text(DATA_FILE, "r0\n", 3);
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const char *mark = strstr(forms[i], "%s");
        snprintf(row, sizeof row, "%.*s%s%s\n", (int)(mark - forms[i]), forms[i], hash, mark + 2);
        write_text(SCORE_FILE, row, strlen(row));
        run r = {.job.choice = lowest("1")};
        expect_output(&r, "r0\n", 3);
        assert_true(r.report.kept_lowest.score == -2.5);
    }
}

/* Almost JSON: the fast scanner must not be more lenient than JSON is. */
static const char *const damaged[] = {
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.5",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.5}}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":-2.5,}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":.5}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":2.}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":01}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":+1}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":1e}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":NaN}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":1e999}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":1,\"x\":nul}",
    "{\"index\":00,\"row\":\"%s\",\"ln_ches\":1}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":1 2}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":--1}",
    "{'index':0,\"row\":\"%s\",\"ln_ches\":1}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":1,\"x\":\"\xFF\"}",
    "{\"index\":0 \"row\":\"%s\",\"ln_ches\":1}",
    "{\"index\":0,\"row\":\"%s\",\"ln_ches\":1,\"x\":truely}",
};

static void damaged_score_rows(void **state)
{
    (void)state;
    char hash[17], row[300];
    snprintf(hash, sizeof hash, "%016" PRIx64, (uint64_t)XXH3_64bits("r0", 2));
    write_text(DATA_FILE, "r0\n", 3);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        const char *mark = strstr(damaged[i], "%s");
        snprintf(row, sizeof row, "%.*s%s%s\n", (int)(mark - damaged[i]), damaged[i], hash, mark + 2);
        write_text(SCORE_FILE, row, strlen(row));
        run r = {.job.choice = lowest("1")};
        plumb_status s = filter(&r);
        if (!s) fail_msg("accepted: %s", row);
        assert_non_null(strstr(plumb_status_message(s), SCORE_FILE ":1: not valid JSON"));
        plumb_status_free(s);
    }
}

static void continued(void **state)
{
    (void)state;
    static const char *const measures[] = {"1", "5", "2", "3", "0"};
    static const struct {
        const char *done, *rest;
    } cases[] = {
        {"", "r0\nr2\nr4\n"}, {"r0\n", "r2\nr4\n"}, {"r0\nr2\nr4\n", ""}, {"r1\n", NULL}, {"r0\nr2\nr4\nr5\n", NULL}};
    small(measures);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run r = {.job = {.choice = lowest("3"), .done = cases[i].done, .done_size = strlen(cases[i].done)}};
        if (cases[i].rest)
            expect_output(&r, cases[i].rest, strlen(cases[i].rest));
        else
            expect_error(&r,
                         i == 3 ? DATA_FILE ":1: the partial output holds other rows than this run would write"
                                : "the partial output holds other rows than this run would write",
                         "the data or the scores have changed; run again without --resume");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts),
        cmocka_unit_test(ranks),
        cmocka_unit_test(slices_refused),
        cmocka_unit_test(byte_for_byte),
        cmocka_unit_test(ties),
        cmocka_unit_test(skipped_rows_stay),
        cmocka_unit_test(ranges),
        cmocka_unit_test(shards),
        cmocka_unit_test(rows_without_score),
        cmocka_unit_test(data_and_scores_disagree),
        cmocka_unit_test(bad_score_rows),
        cmocka_unit_test(forms_of_score_rows),
        cmocka_unit_test(damaged_score_rows),
        cmocka_unit_test(continued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
