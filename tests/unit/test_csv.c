/* Fields of CSV: quotation marks where they are needed, no formulas. */
#include "support.h"

#include "io/csv.h"

static void fields(void **unused)
{
    (void)unused;
    static const struct {
        const char *text, *field, *guarded;
    } cases[] = {
        {"", "", ""},
        {"plain text", "plain text", "plain text"},
        {"a,b", "\"a,b\"", "\"a,b\""},
        {"say \"no\"", "\"say \"\"no\"\"\"", "\"say \"\"no\"\"\""},
        {"two\r\nlines", "\"two\r\nlines\"", "\"two\r\nlines\""},
        {"=1+1", "=1+1", "\"'=1+1\""},
        {"-3", "-3", "\"'-3\""},
        {"@a,\"b\"", "\"@a,\"\"b\"\"\"", "\"'@a,\"\"b\"\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_text field = {0}, guarded = {0};
        check_ok(plumb_text_string(&field, ""));
        check_ok(plumb_text_string(&guarded, ""));
        check_ok(plumb_csv_field(&field, cases[i].text, strlen(cases[i].text)));
        check_ok(plumb_csv_text(&guarded, cases[i].text));
        assert_string_equal(field.data, cases[i].field);
        assert_string_equal(guarded.data, cases[i].guarded);
        plumb_text_free(&field);
        plumb_text_free(&guarded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
