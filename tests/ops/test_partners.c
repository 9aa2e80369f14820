/* Differences in the place of rows (bf16): which rows, what comes back, and where a batch may be cut. */
#include <math.h>
#include <string.h>

#include "support.h"

#include "model/batch.h"

enum { N = 35, ROWS = 4, LD = N + 2 };

static void differences_give_the_products_back(void **state)
{
    (void)state;
    plumb_compute *c;
    float x[ROWS * LD], out[ROWS * LD], y[ROWS * LD], bias[N];
    bool taken[1 + ROWS];
    /* Buffers begin with row 1 of the batch. Row 2 is near its partner; 3 is far from it; that of 4 lies before. */
    plumb_partners p = {(int32_t[]){-1, -1, 1, 1, 0}, 1, taken};
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++) {
            x[i * LD + j] = (float)(j + 1) * (i == 2 ? -1.0F : 1 + 0.125F * (float)i);
            bias[j] = (float)j;
        }
    check_ok(plumb_compute_open(NULL, 2, &c));
    memcpy(out, x, sizeof x);
    plumb_take_differences(c, &p, out, LD, ROWS, N, out, LD);
    assert_false(taken[1] || taken[3] || taken[4]);
    assert_true(taken[2]);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++) assert_true(out[i * LD + j] == x[i * LD + j] - (i == 1 ? x[j] : 0));
    memset(y, 0, sizeof y);
    plumb_take_differences(c, &p, x, LD, ROWS, N, y, LD);
    for (int i = 0; i < ROWS; i++) assert_memory_equal(y + i * LD, out + i * LD, N * sizeof *y);

    /* With W = 2 and a bias, as a linear has it that stores, and one that adds to y. */
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++) y[i * LD + j] = 2 * out[i * LD + j] + bias[j];
    plumb_add_partners(c, &p, 1, bias, ROWS, N, y, LD);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++) assert_true(y[i * LD + j] == 2 * x[i * LD + j] + bias[j]);
    memcpy(y, x, sizeof y);
    plumb_add_partners(c, &p, -1, NULL, ROWS, N, y, LD);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++) y[i * LD + j] += 2 * out[i * LD + j];
    plumb_add_partners(c, &p, 1, NULL, ROWS, N, y, LD);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < N; j++) assert_true(y[i * LD + j] == 3 * x[i * LD + j]);
    plumb_compute_close(c);
}

static void add_group(plumb_batch *b, int shared, int chosen, int rejected, int wanted_from)
{
    int32_t ids[32] = {0};
    plumb_group_place place;
    check_ok(plumb_batch_add(b, (const int32_t *[]){ids, ids}, (int[]){shared + chosen, shared + rejected}, 2, shared,
                             wanted_from, &place));
}

static void same_positions_are_partners(void **state)
{
    (void)state;
    plumb_batch b = {0};
    add_group(&b, 2, 2, 3, 1);
    add_group(&b, 1, 3, 1, 0);
    const int32_t all[] = {-1, -1, -1, -1, 2, 3, -1, -1, -1, -1, -1, 8},
                  wanted[] = {-1, -1, -1, 1, 2, -1, -1, -1, -1, -1, 7};
    assert_int_equal(b.partners.count, sizeof all / sizeof *all);
    assert_memory_equal(b.partners.data, all, sizeof all);
    assert_int_equal(b.wanted_partners.count, sizeof wanted / sizeof *wanted);
    assert_memory_equal(b.wanted_partners.data, wanted, sizeof wanted);
    plumb_batch_free(&b);
}

/* The rows of the last group that keep their partners when parts have at most `most` rows. */
static void kept(const plumb_batch *b, int most, int group_rows, bool *out)
{
    int rows = (int)b->partners.count;
    for (int first = 0, end; first < rows; first = end) {
        end = first + most >= rows ? rows : plumb_partners_cut(&b->partners, first, first + most);
        assert_true(end > first && end <= first + most);
        for (int i = first; i < end; i++)
            if (i >= rows - group_rows) out[i - rows + group_rows] = b->partners.data[i] >= first;
    }
}

static void cuts_do_not_depend_on_neighbours(void **state)
{
    (void)state;
    enum { ROWS_OF_GROUP = 3 + 6 + 7 };
    for (int most = 1; most <= 24; most++) {
        bool alone[ROWS_OF_GROUP], beside[ROWS_OF_GROUP];
        plumb_batch b = {0};
        add_group(&b, 3, 6, 7, 2);
        kept(&b, most, ROWS_OF_GROUP, alone);
        for (int i = 0; i < ROWS_OF_GROUP; i++) /* 12 rows from the first partner to the last row that has one */
            if (most >= 12) assert_int_equal(alone[i], b.partners.data[i] >= 0);
        for (int before = 0; before < 9; before++) {
            plumb_batch_clear(&b);
            add_group(&b, 1, 1 + before, 4, 0);
            add_group(&b, 2, 2, before, 0);
            add_group(&b, 3, 6, 7, 2);
            kept(&b, most, ROWS_OF_GROUP, beside);
            assert_memory_equal(alone, beside, sizeof alone);
        }
        plumb_batch_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences_give_the_products_back),
        cmocka_unit_test(same_positions_are_partners),
        cmocka_unit_test(cuts_do_not_depend_on_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
