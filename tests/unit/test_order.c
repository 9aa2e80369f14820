/* The order of the data against torch and transformers (expected/order.json). */
#include "support.h"

#include "train/order.h"

static json_t *load(void)
{
    json_error_t error;
    json_t *all = json_load_file(PLUMB_TEST_DATA "/expected/order.json", 0, &error);
    assert_non_null(all);
    return all;
}

static int64_t integer(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static void permutations_of_torch(void **state)
{
    (void)state;
    json_t *all = load(), *one;
    size_t at;
    json_array_foreach(json_object_get(all, "randperm"), at, one)
    {
        const json_t *perm = json_object_get(one, "perm");
        int64_t n = integer(one, "n"), *out = calloc((size_t)n, sizeof *out);
        plumb_randperm(n, (uint64_t)integer(one, "seed"), out);
        for (int64_t i = 0; i < n; i++) assert_int_equal(out[i], json_integer_value(json_array_get(perm, (size_t)i)));
        free(out);
    }
    assert_int_equal(at, 7);
    json_decref(all);
}

/* Numbers of torch 2.15: many refills of the generator, and a seed of more than 32 bits. */
static void long_permutations_and_large_seeds(void **state)
{
    (void)state;
    enum { ROWS = 100000 };
    static const int64_t first[] = {58986, 64086, 32569, 61898, 76340, 28340, 19492, 44703},
                         small[] = {5, 0, 1, 3, 4, 2};
    static int64_t out[ROWS];
    static bool seen[ROWS];
    plumb_randperm(ROWS, 3, out);
    for (size_t i = 0; i < 8; i++) assert_int_equal(out[i], first[i]);
    for (size_t i = 0; i < ROWS; i++) {
        assert_false(seen[out[i]]);
        seen[out[i]] = true;
    }
    for (int high = 0; high < 64; high += 32) {
        plumb_randperm(6, (high ? 1ull << high : 0) + 5, out);
        for (size_t i = 0; i < 6; i++) assert_int_equal(out[i], small[i]);
    }
    plumb_randperm(0, 1, out);
}

static void batches_of_transformers(void **state)
{
    (void)state;
    json_t *all = load(), *one;
    size_t at;
    json_array_foreach(json_object_get(all, "trainer"), at, one)
    {
        const json_t *batches = json_object_get(one, "batches"), *data_seed = json_object_get(one, "data_seed");
        plumb_order *order;
        int64_t seed = json_is_null(data_seed) ? integer(one, "seed") : (int64_t)json_integer_value(data_seed);
        check_ok(plumb_order_open(&(plumb_order_options){.rows = integer(one, "n"),
                                                         .batch = integer(one, "batch"),
                                                         .accumulation = 1,
                                                         .epochs = (double)integer(one, "epochs"),
                                                         .seed = (uint64_t)seed},
                                  &order));
        assert_int_equal(plumb_order_steps(order), json_array_size(batches));
        for (int64_t step = plumb_order_steps(order) - 1; step >= 0;
             step--) { /* backwards: any step can be asked for */
            const json_t *batch = json_array_get(batches, (size_t)step);
            int64_t count;
            assert_int_equal(plumb_order_batches(order, step), 1);
            const int64_t *rows = plumb_order_batch(order, step, 0, &count);
            assert_int_equal(count, json_array_size(batch));
            for (int64_t i = 0; i < count; i++)
                assert_int_equal(rows[i], json_integer_value(json_array_get(batch, (size_t)i)));
        }
        plumb_order_close(order);
    }
    assert_int_equal(at, 3);
    json_decref(all);
}

/* 11 rows, batches of 2, 4 of them per step: 6 batches, steps of 4 and 2. */
static void accumulation_ends_with_the_epoch(void **state)
{
    (void)state;
    plumb_order_options how = {.rows = 11, .batch = 2, .accumulation = 4, .epochs = 1.5, .sequential = true};
    plumb_order *order;
    int64_t count;
    check_ok(plumb_order_open(&how, &order));
    assert_int_equal(plumb_order_steps_per_epoch(order), 2);
    assert_int_equal(plumb_order_steps(order), 3);
    assert_int_equal(plumb_order_batches(order, 0), 4);
    assert_int_equal(plumb_order_batches(order, 1), 2);
    assert_int_equal(plumb_order_batches(order, 2), 4);
    const int64_t *rows = plumb_order_batch(order, 1, 1, &count);
    assert_int_equal(count, 1);
    assert_int_equal(rows[0], 10);
    rows = plumb_order_batch(order, 2, 1, &count);
    assert_int_equal(count, 2);
    assert_int_equal(rows[0], 2);
    assert_int_equal(rows[1], 3);
    assert_true(plumb_order_epoch(order, 0) == 0);
    assert_true(plumb_order_epoch(order, 1) == 4.0 / 6);
    assert_true(plumb_order_epoch(order, 2) == 1);
    assert_true(plumb_order_epoch(order, 3) == 1 + 4.0 / 6);
    plumb_order_close(order);

    how.drop_last = true; /* 5 whole batches: steps of 4 and 1 */
    how.max_steps = 7;
    check_ok(plumb_order_open(&how, &order));
    assert_int_equal(plumb_order_steps(order), 7);
    assert_int_equal(plumb_order_batches(order, 1), 1);
    plumb_order_batch(order, 1, 0, &count);
    assert_int_equal(count, 2);
    assert_true(plumb_order_epoch(order, 2) == 1);
    plumb_order_close(order);
}

static void refusals(void **state)
{
    (void)state;
    plumb_order_options good = {.rows = 3, .batch = 4, .accumulation = 1, .epochs = 1}, how = good;
    plumb_order *order;
    how.rows = 0;
    check_error(plumb_order_open(&how, &order), PLUMB_E_INPUT, "no row to train on");
    how = good, how.batch = 0;
    check_error(plumb_order_open(&how, &order), PLUMB_E_INPUT, "per_device_train_batch_size: 0");
    how = good, how.accumulation = -1;
    check_error(plumb_order_open(&how, &order), PLUMB_E_INPUT, "gradient_accumulation_steps: -1");
    how = good, how.epochs = 0;
    check_error(plumb_order_open(&how, &order), PLUMB_E_INPUT, "num_train_epochs: 0");
    how = good, how.drop_last = true;
    check_error(plumb_order_open(&how, &order), PLUMB_E_INPUT, "3 rows for batches of 4");
    how = good, how.rows = 214748364;
    check_error(plumb_order_open(&how, &order), PLUMB_E_INPUT, "at most 214748363");
    plumb_order_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutations_of_torch),
        cmocka_unit_test(long_permutations_and_large_seeds),
        cmocka_unit_test(batches_of_transformers),
        cmocka_unit_test(accumulation_ends_with_the_epoch),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
