/* Learning rates against transformers (expected/schedule.json). */
#include <math.h>

#include "support.h"

#include "train/schedule.h"

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void rates_of_transformers(void **state)
{
    (void)state;
    json_error_t error;
    json_t *all = json_load_file(PLUMB_TEST_DATA "/expected/schedule.json", 0, &error), *one;
    assert_non_null(all);
    size_t at;
    json_array_foreach(all, at, one)
    {
        const char *name = json_string_value(json_object_get(one, "lr_scheduler_type"));
        const json_t *rates = json_object_get(one, "rates");
        plumb_schedule s;
        check_ok(plumb_schedule_make(name, number(one, "learning_rate"), number(one, "warmup_steps"), 0,
                                     (int64_t)number(one, "total"), &s));
        assert_int_equal(s.warmup, (int64_t)number(one, "warmup"));
        for (size_t step = 0; step < json_array_size(rates); step++) {
            double rate = json_number_value(json_array_get(rates, step)), ours = plumb_schedule_rate(&s, (int64_t)step);
            if (fabs(ours - rate) > 1e-15 * s.learning_rate)
                fail_msg("%s, step %zu: %.17g, expected %.17g", name, step, ours, rate);
        }
    }
    assert_int_equal(at, 28);
    json_decref(all);
}

static void warm_up(void **state)
{
    (void)state;
    plumb_schedule s;
    check_ok(plumb_schedule_make("linear", 1, 0, 0.1, 25, &s)); /* transformers 4: warmup_ratio */
    assert_int_equal(s.warmup, 3);
    check_ok(plumb_schedule_make("linear", 1, 5, 0.1, 25, &s)); /* steps go before the ratio */
    assert_int_equal(s.warmup, 5);
    check_ok(plumb_schedule_make("linear", 1, 5.9, 0, 25, &s));
    assert_int_equal(s.warmup, 5);
}

static void refusals(void **state)
{
    (void)state;
    plumb_schedule s;
    check_error(plumb_schedule_make("cosin", 1, 0, 0, 10, &s), PLUMB_E_INPUT, "did you mean cosine");
    check_error(plumb_schedule_make("linear", -1, 0, 0, 10, &s), PLUMB_E_INPUT, "learning_rate: -1");
    check_error(plumb_schedule_make("linear", NAN, 0, 0, 10, &s), PLUMB_E_INPUT, "learning_rate: ");
    check_error(plumb_schedule_make("linear", 1, -2, 0, 10, &s), PLUMB_E_INPUT, "warmup_steps: -2");
    check_error(plumb_schedule_make("linear", 1, 0, 1.5, 10, &s), PLUMB_E_INPUT, "warmup_ratio: 1.5");
    size_t count;
    assert_non_null(plumb_schedule_kinds(&count));
    assert_int_equal(count, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_of_transformers),
        cmocka_unit_test(warm_up),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
