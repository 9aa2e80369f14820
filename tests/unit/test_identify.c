/* plumb identify on a small case with ties, skipped rows, nulls and a constant measure, against SciPy's and NumPy's
 * numbers (tests/data/identify, made by tests/data/make/identify.py). */
#include "support.h"

#include <math.h>

#include "study/identify.h"

static const plumb_sink silent;
static const char *const scores[] = {PLUMB_TEST_DATA "/identify/a.jsonl", PLUMB_TEST_DATA "/identify/b.jsonl"};
static json_t *expected;
static const char *slices[8];
static size_t slice_count;

static int load(void **state)
{
    (void)state;
    json_error_t error;
    size_t i;
    const json_t *slice;
    expected = json_load_file(PLUMB_TEST_DATA "/identify/expected.json", 0, &error);
    json_array_foreach(json_object_get(expected, "slices"), i, slice) slices[slice_count++] = json_string_value(slice);
    return expected ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(expected);
    return 0;
}

static double real(const json_t *value)
{
    assert_non_null(value);
    return json_is_null(value) ? NAN : json_number_value(value);
}

static int64_t integer(const json_t *object, const char *key)
{
    assert_true(json_is_integer(json_object_get(object, key)));
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static plumb_identify_options case_options(void)
{
    return (plumb_identify_options){.data = PLUMB_TEST_DATA "/identify/data.jsonl",
                                    .ledger = PLUMB_TEST_DATA "/identify/ledger.jsonl",
                                    .scores = scores,
                                    .score_count = 2,
                                    .slices = slices,
                                    .slice_count = slice_count,
                                    .top = {.digits = 5, .is_percent = true},
                                    .classes = PLUMB_TEST_DATA "/identify/labels.jsonl",
                                    .step = -1,
                                    .resamples = (int)integer(expected, "resamples"),
                                    .level = real(json_object_get(expected, "level")),
                                    .seed = (uint64_t)integer(expected, "seed"),
                                    .threads = 2,
                                    .end = -1};
}

static void near(const char *what, const char *name, double got, double wanted)
{
    if (isnan(got) && isnan(wanted)) return;
    if (!(fabs(got - wanted) <= 1e-12 * fmax(1, fabs(wanted))))
        fail_msg("%s of %s: %.17g, expected %.17g", what, name, got, wanted);
}

static void near_number(const json_t *object, const char *key, const char *name, double got)
{
    near(key, name, got, real(json_object_get(object, key)));
}

static void near_estimate(const json_t *object, const char *key, const char *name, plumb_estimate e)
{
    const json_t *three = json_object_get(object, key);
    assert_int_equal(json_array_size(three), 3);
    near(key, name, e.value, real(json_array_get(three, 0)));
    near(key, name, e.interval.low, real(json_array_get(three, 1)));
    near(key, name, e.interval.high, real(json_array_get(three, 2)));
}

static void same_text(const json_t *object, const char *key, const char *got)
{
    assert_string_equal(json_string_value(json_object_get(object, key)), got);
}

static void check_measure(const json_t *one, const plumb_identify_measure *m)
{
    const json_t *slice;
    size_t i;
    same_text(one, "measure", m->name);
    assert_int_equal(m->file, integer(one, "scores"));
    assert_int_equal(m->count, integer(one, "count"));
    assert_int_equal(m->missing, integer(one, "missing"));
    assert_int_equal(m->constant, json_is_true(json_object_get(one, "constant")));
    assert_int_equal(m->top, integer(one, "top"));
    near_number(one, "displaced", m->name, m->displaced);
    near_estimate(one, "spearman", m->name, m->spearman);
    near_estimate(one, "kendall", m->name, m->kendall);
    near_estimate(one, "precision", m->name, m->precision);
    near_estimate(one, "top_displaced", m->name, m->top_displaced);
    json_array_foreach(json_object_get(one, "slices"), i, slice)
    {
        const plumb_identify_slice *s = &m->slices[i];
        same_text(slice, "slice", s->name);
        assert_int_equal(s->count, integer(slice, "count"));
        near_number(slice, "lowest", s->name, s->lowest);
        near_number(slice, "highest", s->name, s->highest);
        near_number(slice, "displaced", s->name, s->displaced);
        near_estimate(slice, "change", s->name, s->change);
    }
    assert_int_equal(i, m->constant ? 0 : slice_count);
}

static void check_class(const json_t *one, const plumb_identify_classes *c)
{
    same_text(one, "measure", c->name);
    assert_int_equal(c->file, integer(one, "scores"));
    for (size_t k = 0; k < PLUMB_PAIR_CLASSES; k++) {
        const json_t *group = json_array_get(json_object_get(one, "groups"), k);
        const json_t *difference = json_array_get(json_object_get(one, "differences"), k);
        same_text(group, "class", plumb_pair_class_names[k]);
        assert_int_equal(c->groups[k].count, integer(group, "count"));
        near_number(group, "mean", c->name, c->groups[k].mean);
        near_number(group, "q25", c->name, c->groups[k].q25);
        near_number(group, "median", c->name, c->groups[k].median);
        near_number(group, "q75", c->name, c->groups[k].q75);
        same_text(difference, "of", plumb_pair_class_names[plumb_class_differences[k][0]]);
        same_text(difference, "minus", plumb_pair_class_names[plumb_class_differences[k][1]]);
        near_estimate(difference, "mean", c->name, c->differences[k]);
    }
}

static void check_class_counts(const plumb_identify_report *r, const char *key)
{
    const json_t *counts = json_object_get(expected, key);
    for (int k = 0; k < PLUMB_PAIR_CLASSES; k++)
        assert_int_equal(r->class_counts[k], integer(counts, plumb_pair_class_names[k]));
    assert_int_equal(r->unclassified, integer(counts, "other"));
}

static void check_classes(const plumb_identify_report *r)
{
    const json_t *one;
    size_t i;
    check_class_counts(r, "class_counts");
    json_array_foreach(json_object_get(expected, "classes"), i, one)
    {
        assert_true(i < r->classes_count);
        check_class(one, &r->classes[i]);
    }
    assert_int_equal(i, r->classes_count);
}

static void check_report(const plumb_identify_report *r)
{
    const json_t *one;
    size_t i;
    assert_int_equal(r->pairs, integer(expected, "pairs"));
    assert_int_equal(r->skipped, integer(expected, "skipped"));
    assert_int_equal(r->unmatched, integer(expected, "unmatched"));
    assert_int_equal(r->not_numbers, integer(expected, "not_numbers"));
    assert_int_equal(r->displaced, integer(expected, "displaced"));
    assert_true(r->steps[0] == 0 && r->steps[1] == 8);
    near_estimate(expected, "change", "all pairs", r->change);
    json_array_foreach(json_object_get(expected, "measures"), i, one)
    {
        assert_true(i < r->measure_count);
        check_measure(one, &r->measures[i]);
    }
    assert_int_equal(i, r->measure_count);
    json_array_foreach(json_object_get(expected, "models"), i, one)
    {
        assert_true(i < r->models_count);
        same_text(one, "measure", r->models[i].name);
        assert_int_equal(r->models[i].count, integer(one, "count"));
        near_estimate(one, "spearman", r->models[i].name, r->models[i].spearman);
        near_estimate(one, "kendall", r->models[i].name, r->models[i].kendall);
    }
    assert_int_equal(i, r->models_count);
    check_classes(r);
}

/* The same for every number of threads and every source of the labels. */
static void whole_case(void **state)
{
    (void)state;
    static const char *const one_column[] = {"labels"}, *const two_columns[] = {"said", "unsaid"};
    plumb_identify_report r = {0};
    plumb_identify_options o = case_options();
    check_ok(plumb_identify_run(&o, &silent, &r));
    check_report(&r);
    plumb_identify_report_free(&r);
    o.threads = 1;
    check_ok(plumb_identify_run(&o, &silent, &r));
    check_report(&r);
    plumb_identify_report_free(&r);
    for (size_t columns = 1; columns <= 2; columns++) { /* the file of labels lacks row 40 */
        o.classes = NULL;
        o.class_keys = columns == 1 ? one_column : two_columns;
        o.class_key_count = columns;
        o.resamples = 0;
        check_ok(plumb_identify_run(&o, &silent, &r));
        check_class_counts(&r, "column_class_counts");
        assert_true(isnan(r.measures[0].spearman.interval.low));
        plumb_identify_report_free(&r);
    }
}

static void chosen_steps_and_measures(void **state)
{
    (void)state;
    static const char *const measures[] = {"rate", "ches"};
    plumb_identify_report r = {0};
    plumb_identify_options o = case_options();
    o.step = 4;
    o.measures = measures;
    o.measure_count = 2;
    o.resamples = 0;
    check_ok(plumb_identify_run(&o, &silent, &r));
    assert_true(r.steps[0] == 0 && r.steps[1] == 4);
    assert_int_equal(r.not_numbers, 0);
    near("change", "step 4", r.change.value, real(json_object_get(expected, "middle_change")));
    assert_int_equal(r.measure_count, 3); /* a has no rate */
    assert_string_equal(r.measures[0].name, "ches");
    assert_string_equal(r.measures[1].name, "rate");
    assert_string_equal(r.measures[2].name, "ches");
    assert_int_equal(r.classes_count, 3);
    plumb_identify_report_free(&r);
}

/* A range that leaves out most rows: those of the other files are passed over. */
static void ranges(void **state)
{
    (void)state;
    plumb_identify_report r = {0};
    plumb_identify_options o = case_options();
    o.begin = 4;
    o.end = 20;
    o.slice_count = 0;
    check_ok(plumb_identify_run(&o, &silent, &r));
    assert_int_equal(r.data.rows, 16);
    assert_int_equal(r.files[0].rows, 16);
    assert_int_equal(r.files[0].skipped, 1);
    assert_int_equal(r.pairs, 15);
    assert_int_equal(r.slice_count, 5);
    assert_string_equal(r.measures[0].slices[4].name, "100:1");
    plumb_identify_report_free(&r);
}

static void looks(void **state)
{
    (void)state;
    assert_int_equal(plumb_identify_look(PLUMB_TEST_DATA "/identify/data.jsonl"), PLUMB_ROW_DATA);
    assert_int_equal(plumb_identify_look(scores[0]), PLUMB_ROW_SCORES);
    assert_int_equal(plumb_identify_look(PLUMB_TEST_DATA "/identify/ledger.jsonl"), PLUMB_ROW_LEDGER);
    assert_int_equal(plumb_identify_look(PLUMB_TEST_DATA "/identify/labels.jsonl"), PLUMB_ROW_JUDGE);
    assert_int_equal(plumb_identify_look(PLUMB_TEST_DATA "/identify"), PLUMB_ROW_LEDGER);
    assert_int_equal(plumb_identify_look(PLUMB_TEST_DATA "/identify/nothing"), PLUMB_ROW_UNKNOWN);
    assert_int_equal(plumb_identify_look("-"), PLUMB_ROW_UNKNOWN);
    assert_int_equal(plumb_identify_look("/dev/null"), PLUMB_ROW_UNKNOWN);
}

/* What is written holds the numbers of the report: JSON by its keys, to 9 digits. */
static void json_holds_the_numbers(void **state)
{
    (void)state;
    plumb_identify_report r = {0};
    plumb_identify_options o = case_options();
    plumb_text t = {0};
    json_error_t error;
    check_ok(plumb_identify_run(&o, &silent, &r));
    check_ok(plumb_identify_json(&o, &r, &t));
    json_t *all = json_loadb(t.data, t.size, JSON_REJECT_DUPLICATES, &error);
    if (!all) fail_msg("%s at line %d", error.text, error.line);
    same_text(all, "kind", "identify");
    assert_int_equal(integer(all, "pairs"), r.pairs);
    assert_int_equal(json_array_size(json_object_get(all, "measures")), r.measure_count);
    assert_int_equal(json_array_size(json_object_get(all, "models")), r.models_count);
    assert_int_equal(json_array_size(json_object_get(all, "classes")), r.classes_count);
    for (size_t i = 0; i < r.measure_count; i++) {
        const json_t *m = json_array_get(json_object_get(all, "measures"), i);
        double value = real(json_object_get(m, "spearman")), low = real(json_object_get(m, "precision_low"));
        assert_true(r.measures[i].constant ? isnan(value) : fabs(value - r.measures[i].spearman.value) < 1e-8);
        assert_true(r.measures[i].constant ? isnan(low) : fabs(low - r.measures[i].precision.interval.low) < 1e-8);
    }
    json_decref(all);
    plumb_text_free(&t);
    plumb_identify_report_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_case), cmocka_unit_test(chosen_steps_and_measures), cmocka_unit_test(ranges),
        cmocka_unit_test(looks),      cmocka_unit_test(json_holds_the_numbers),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
