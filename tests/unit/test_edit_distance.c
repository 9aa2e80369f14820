/* The bit-parallel distance against the plain dynamic program. */
#include "support.h"

#include "align/edit_distance.h"
#include "base/random.h"

enum { MOST = 2200 };

/* Wagner and Fischer 1974, one row at a time. */
static int plain_distance(const int32_t *a, int n, const int32_t *b, int m)
{
    static int row[MOST + 1];
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int above_left = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int best = above_left + (a[i - 1] != b[j - 1]), above = row[j];
            if (above + 1 < best) best = above + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            above_left = above;
            row[j] = best;
        }
    }
    return row[m];
}

static int distance(const int32_t *a, int n, const int32_t *b, int m)
{
    plumb_arena scratch = {0};
    int out = -1;
    check_ok(plumb_edit_distance(&scratch, a, n, b, m, &out));
    plumb_arena_free(&scratch);
    return out;
}

static void compare(const int32_t *a, int n, const int32_t *b, int m)
{
    int want = plain_distance(a, n, b, m), got = distance(a, n, b, m), back = distance(b, m, a, n);
    if (got != want || back != want)
        fail_msg("lengths %d and %d: %d, the other way %d, expected %d", n, m, got, back, want);
}

/* Draws from stream `stream`: value i below `below`. */
static int draw(uint64_t stream, uint64_t i, int below)
{
    return (int)(plumb_uniform(7, stream, i) * below);
}

static void fill(int32_t *ids, int n, int alphabet, uint64_t stream)
{
    for (int i = 0; i < n; i++) ids[i] = draw(stream, (uint64_t)i, alphabet) * 977; /* ids need not be dense */
}

/* b becomes a with about one element in `rate` dropped, doubled or replaced. */
static int mutate(const int32_t *a, int n, int32_t *b, int rate, int alphabet, uint64_t stream)
{
    int m = 0;
    for (int i = 0; i < n && m < MOST - 1; i++) {
        int kind = draw(stream, 2 * (uint64_t)i, 3 * rate);
        if (kind == 0) continue;
        b[m++] = kind == 1 ? draw(stream, 2 * (uint64_t)i + 1, alphabet) * 977 : a[i];
        if (kind == 2) b[m++] = a[i];
    }
    return m;
}

static void random_pairs(void **state)
{
    (void)state;
    static const int alphabets[] = {1, 2, 3, 5, 20, 100, 1000};
    int32_t a[MOST], b[MOST];
    for (int round = 0; round < 3000; round++) {
        uint64_t stream = 10 * (uint64_t)round;
        int alphabet = alphabets[round % 7], longest = round % 3 ? 80 : 300;
        int n = draw(stream, 0, longest + 1), m = draw(stream, 1, longest + 1);
        fill(a, n, alphabet, stream + 1);
        fill(b, m, alphabet, stream + 2);
        compare(a, n, b, m);
    }
}

/* Pairs that resemble each other, as two answers do. */
static void similar_pairs(void **state)
{
    (void)state;
    int32_t a[MOST], b[MOST];
    for (int round = 0; round < 600; round++) {
        uint64_t stream = 100000 + 10 * (uint64_t)round;
        int n = draw(stream, 0, 301), rate = 1 + draw(stream, 1, 30);
        fill(a, n, 50, stream + 1);
        compare(a, n, b, mutate(a, n, b, rate, 50, stream + 2));
    }
}

/* Every pair of lengths around the ends of the blocks. */
static void block_edges(void **state)
{
    (void)state;
    static const int lengths[] = {0, 1, 2, 62, 63, 64, 65, 66, 126, 127, 128, 129, 191, 192, 193, 255, 256, 257};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    int32_t a[MOST], b[MOST];
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++)
            for (int alphabet = 1; alphabet <= 9; alphabet += 4) {
                fill(a, lengths[i], alphabet, 100 * (uint64_t)i + (uint64_t)alphabet);
                fill(b, lengths[j], alphabet, 100 * (uint64_t)j + 50 + (uint64_t)alphabet);
                compare(a, lengths[i], b, lengths[j]);
            }
}

static void known_distances(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        int distance;
    } rows[] = {{"", "", 0},          {"", "abc", 3},
                {"abc", "", 3},       {"kitten", "sitting", 3},
                {"a", "b", 1},        {"flaw", "lawn", 2},
                {"same", "same", 0},  {"xabcx", "yabcy", 2},
                {"abab", "baba", 2},  {"intention", "execution", 5},
                {"aaaa", "aa", 2},    {"ab", "ba", 2},
                {"prefix", "pre", 3}, {"suffix", "fix", 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int32_t a[16], b[16];
        int n = (int)strlen(rows[i].a), m = (int)strlen(rows[i].b);
        for (int k = 0; k < n; k++) a[k] = (unsigned char)rows[i].a[k];
        for (int k = 0; k < m; k++) b[k] = (unsigned char)rows[i].b[k];
        assert_int_equal(distance(a, n, b, m), rows[i].distance);
        assert_int_equal(distance(b, m, a, n), rows[i].distance);
    }
}

static void extremes(void **state)
{
    (void)state;
    static int32_t a[MOST], b[MOST];
    int32_t ends[2] = {INT32_MIN, INT32_MAX}, other[2] = {INT32_MAX, INT32_MIN};
    assert_int_equal(distance(ends, 2, other, 2), 2); /* order of the ids must not overflow */
    assert_int_equal(distance(NULL, 0, NULL, 0), 0);
    assert_int_equal(distance(ends, 2, NULL, 0), 2);
    for (int i = 0; i < 2000; i++) {
        a[i] = i; /* all different, nothing in common */
        b[i] = 10000 + i;
    }
    assert_int_equal(distance(a, 2000, b, 2000), 2000);
    assert_int_equal(distance(a, 1, b, 2000), 2000);
    assert_int_equal(distance(a, 2000, a, 2000), 0);
    for (int i = 0; i < 2000; i++) b[i] = a[1999 - i]; /* backwards: a permutation without a common end */
    compare(a, 2000, b, 2000);
    compare(a, 1999, a + 1, 1999); /* moved by one */
}

/* The reader of an arena may have used it before: the blocks must not count on zeroed memory. */
static void arena_is_reused(void **state)
{
    (void)state;
    int32_t a[300], b[300];
    plumb_arena scratch = {0};
    for (int round = 0; round < 50; round++) {
        int n = draw(900, 2 * (uint64_t)round, 301), m = draw(900, 2 * (uint64_t)round + 1, 301), got;
        fill(a, n, 30, 1000 + (uint64_t)round);
        fill(b, m, 30, 2000 + (uint64_t)round);
        check_ok(plumb_edit_distance(&scratch, a, n, b, m, &got));
        assert_int_equal(got, plain_distance(a, n, b, m));
        plumb_arena_reset(&scratch);
    }
    plumb_arena_free(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_distances), cmocka_unit_test(random_pairs), cmocka_unit_test(similar_pairs),
        cmocka_unit_test(block_edges),     cmocka_unit_test(extremes),     cmocka_unit_test(arena_is_reused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
