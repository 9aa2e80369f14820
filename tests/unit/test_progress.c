/* Progress lines from clock readings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/progress.h"

static void lines(void **state)
{
    (void)state;
    static const struct {
        plumb_pace pace;
        const char *line;
    } cases[] = {
        {{"rows", 1200, 5000, 0, 4}, "1,200 of 5,000 rows (24 %), 300/s, 0:13 left"},
        {{"rows", 0, 5000, 0, 4}, "0 of 5,000 rows (0 %)"},                            /* no rate yet */
        {{"rows", 10, 5000, 0, 0.1}, "10 of 5,000 rows (0 %)"},                        /* too early to tell */
        {{"rows", 4999, 5000, 0, 10}, "4,999 of 5,000 rows (99 %), 500/s, 0:00 left"}, /* not yet 100 % */
        {{"rows", 5000, 5000, 0, 10}, "5,000 of 5,000 rows (100 %), 500/s, 0:00 left"},
        {{"rows", 3000, 5000, 2000, 10}, "3,000 of 5,000 rows (60 %), 100/s, 0:20 left"}, /* a continued run */
        {{"steps", 3, 8, 0, 60}, "3 of 8 steps (37 %), 0.05/s, 1:40 left"},
        {{"steps", 30, 80, 0, 4}, "30 of 80 steps (37 %), 7.5/s, 0:07 left"},
        {{"rows", 1500, -1, 0, 3}, "1,500 rows, 500/s"}, /* from a pipe */
        {{"rows", 6000, 5000, 0, 3}, "6,000 of 5,000 rows (100 %), 2,000/s"},
        {{"bytes", 12.34e6, 2.5e9, 0, 1}, "12.3 MB of 2.5 GB (0 %), 12.3 MB/s, 3:22 left"},
    };
    char line[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_progress_line(&cases[i].pace, line, sizeof line);
        assert_string_equal(line, cases[i].line);
    }
    plumb_progress_line(&cases[0].pace, line, 6);
    assert_string_equal(line, "1,200");
}

static void bars(void **state)
{
    (void)state;
    const plumb_pace half = {"rows", 50, 100, 0, 0}, unknown = {"rows", 50, -1, 0, 0}, all = {"rows", 100, 100, 0, 0};
    char bar[256];
    plumb_progress_bar(&half, 40, bar, sizeof bar);
    assert_string_equal(bar, "[########>.......] 50 of 100 rows (50 %)");
    plumb_progress_bar(&all, 40, bar, sizeof bar);
    assert_string_equal(bar, "[##############] 100 of 100 rows (100 %)");
    plumb_progress_bar(&half, 30, bar, sizeof bar); /* too narrow for a bar */
    assert_string_equal(bar, "50 of 100 rows (50 %)         ");
    plumb_progress_bar(&unknown, 20, bar, sizeof bar);
    assert_string_equal(bar, "50 rows             ");
    plumb_progress_bar(&half, 100, bar, sizeof bar);
    assert_int_equal(strlen(bar), 100);
    plumb_progress_bar(&half, 10, bar, sizeof bar);
    assert_string_equal(bar, "50 of 100 ");
}

static void durations(void **state)
{
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00"},       {7.4, "0:07"},       {59.6, "1:00"},       {187, "3:07"},
                 {3723, "1:02:03"}, {86399, "23:59:59"}, {200000, "2 d 7:33"}, {-5, "0:00"}};
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_format_duration(cases[i].seconds, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void amounts(void **state)
{
    (void)state;
    static const struct {
        double amount;
        const char *count, *bytes;
    } cases[] = {{0, "0", "0 bytes"},
                 {999, "999", "999 bytes"},
                 {1000, "1,000", "1.0 kB"},
                 {99960, "99,960", "100 kB"},
                 {999900, "999,900", "1.0 MB"},
                 {1234567, "1,234,567", "1.2 MB"},
                 {123456789012, "123,456,789,012", "123 GB"}};
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_format_count(cases[i].amount, text, sizeof text);
        assert_string_equal(text, cases[i].count);
        plumb_format_bytes(cases[i].amount, text, sizeof text);
        assert_string_equal(text, cases[i].bytes);
    }
    plumb_format_count(-1234, text, sizeof text);
    assert_string_equal(text, "-1,234");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(bars), cmocka_unit_test(durations),
                                       cmocka_unit_test(amounts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
