/* Hostile text stays text in every language that a report is written in. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "report/report_writers.h"
#include "report/table.h"
#include "report/writer.h"

typedef void (*put_text)(plumb_writer *w, const char *bytes, size_t n);

static void check(put_text put, const char *bytes, size_t n, const char *expected)
{
    plumb_writer w = {0};
    put(&w, bytes, n);
    assert_null(plumb_writer_end(&w));
    if (!w.text.data || w.text.size != strlen(expected) || memcmp(w.text.data, expected, w.text.size) != 0)
        fail_msg("\"%s\", expected \"%s\"", w.text.data ? w.text.data : "", expected);
    plumb_writer_free(&w);
}
#define CHECK(put, literal, expected) check((put), (literal), sizeof(literal) - 1, (expected))

static void test_html(void **state)
{
    (void)state;
    CHECK(plumb_put_html, "a</script><img src=x onerror='y' z=\"&amp;\">",
          "a&lt;/script&gt;&lt;img src=x onerror=&#39;y&#39; z=&quot;&amp;amp;&quot;&gt;");
    CHECK(plumb_put_html, "a\0b",
          "a\xE2\x90\x80"
          "b");
    CHECK(plumb_put_html,
          "\xE2\x80\xAE"
          "cod\xE2\x80\x8F.\x1B[31m",
          "\xE2\x9F\xA8U+202E\xE2\x9F\xA9"
          "cod\xE2\x9F\xA8U+200F\xE2\x9F\xA9.\xE2\x90\x9B[31m");
    CHECK(plumb_put_html, "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB \xD8\xA7\xD9\x86 caf\xC3\xA9\n\t",
          "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB \xD8\xA7\xD9\x86 caf\xC3\xA9\n\t");
    /* no UTF-8: a lone continuation, an overlong slash, a surrogate, beyond Unicode, a cut character */
    CHECK(plumb_put_html, "\x80|\xC0\xAF|\xED\xA0\x80|\xF4\x90\x80\x80|\xE2\x82",
          "\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD|"
          "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
          "\xEF\xBF\xBD|\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK(plumb_put_html, "\xC2\x85", "\xE2\x9F\xA8U+0085\xE2\x9F\xA9");
}

static void test_script_json(void **state)
{
    (void)state;
    CHECK(plumb_put_script_json, "</script><!--\"\\&\n", "\"\\u003c/script\\u003e\\u003c!--\\\"\\\\\\u0026\\u000a\"");
    CHECK(plumb_put_script_json, "\xE2\x80\xA8\xE2\x80\xA9", "\"\\u2028\\u2029\"");
    /* every byte value, one after another: no byte that could end the element, and JSON that gives the same text back
     */
    char bytes[128];
    for (int i = 0; i < 128; i++) bytes[i] = (char)i;
    plumb_writer w = {0};
    plumb_put_script_json(&w, bytes, sizeof bytes);
    assert_null(plumb_writer_end(&w));
    for (size_t i = 0; i < w.text.size; i++) assert_true(w.text.data[i] >= 0x20 && !strchr("<>&", w.text.data[i]));
    json_t *back = json_loadb(w.text.data, w.text.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_int_equal(json_string_length(back), sizeof bytes);
    assert_memory_equal(json_string_value(back), bytes, sizeof bytes);
    json_decref(back);
    plumb_writer_free(&w);
}

static void test_csv(void **state)
{
    (void)state;
    CHECK(plumb_put_csv, "plain", "\"plain\"");
    CHECK(plumb_put_csv, "say \"a,b\"\nc", "\"say \"\"a,b\"\"\nc\"");
    CHECK(plumb_put_csv, "=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\"");
    CHECK(plumb_put_csv, "+1", "\"'+1\"");
    CHECK(plumb_put_csv, "-1", "\"'-1\"");
    CHECK(plumb_put_csv, "@x", "\"'@x\"");
    CHECK(plumb_put_csv, "\tx", "\"'\tx\"");
    CHECK(plumb_put_csv, "\rx", "\"'\rx\"");
    CHECK(plumb_put_csv, "\xEF\xBC\x9Dx", "\"'\xEF\xBC\x9Dx\"");
    CHECK(plumb_put_csv, "a\0=b", "\"a\xEF\xBF\xBD=b\"");
    CHECK(plumb_put_csv, "", "\"\"");
}

static void test_markdown(void **state)
{
    (void)state;
    CHECK(plumb_put_markdown, "a|b `c` *d* [e](f) <g> &amp; ~~h~~ $i$ !j\nk",
          "a\\|b \\`c\\` \\*d\\* \\[e\\](f) &lt;g> &amp;amp; \\~\\~h\\~\\~ \\$i\\$ \\!j k");
    CHECK(plumb_put_markdown, "# head", "\\# head");
    CHECK(plumb_put_markdown, "1. item", "1\\. item");
    CHECK(plumb_put_markdown, "12 items.", "12 items.");
    CHECK(plumb_put_markdown, "- x - y", "\\- x - y");
    CHECK(plumb_put_markdown, "ln_ches _em_", "ln_ches \\_em\\_");
    CHECK(plumb_put_markdown, "\xE2\x80\xAEx", "\xE2\x9F\xA8U+202E\xE2\x9F\xA9x");
}

static void test_uri_and_shell(void **state)
{
    (void)state;
    CHECK(plumb_put_uri, "a,b\n\"c\" #d?%\xC3\xA9", "a,b%0A%22c%22%20%23d%3F%25%C3%A9");
    CHECK(plumb_put_uri, "x\0y", "x%00y");
    plumb_writer w = {0};
    plumb_put_shell(&w, "runs/a-1.jsonl");
    plumb_put(&w, " ");
    plumb_put_shell(&w, "it's; rm -rf ~");
    plumb_put(&w, " ");
    plumb_put_shell(&w, "");
    assert_null(plumb_writer_end(&w));
    assert_string_equal(w.text.data, "runs/a-1.jsonl 'it'\\''s; rm -rf ~' ''");
    plumb_writer_free(&w);
}

static void test_cut(void **state)
{
    (void)state;
    plumb_writer w = {0};
    bool cut;
    plumb_put_visible(&w, "caf\xC3\xA9s", 6, 4, &cut); /* between the bytes of a character: before it */
    assert_true(cut);
    assert_string_equal(w.text.data, "caf\xE2\x80\xA6");
    plumb_text_clear(&w.text);
    plumb_put_visible(&w, "caf\xC3\xA9", 5, 5, &cut);
    assert_false(cut);
    assert_string_equal(w.text.data, "caf\xC3\xA9");
    plumb_text_clear(&w.text);
    plumb_put_visible(&w, "a\r\nb\rc", 6, 100, NULL);
    assert_string_equal(w.text.data, "a\nb\xE2\x90\x8D"
                                     "c");
    plumb_writer_free(&w);
}

static void test_first_failure(void **state)
{
    (void)state;
    plumb_writer w = {0};
    plumb_put(&w, "before");
    plumb_writer_keep(&w, plumb_fail(PLUMB_E_INTERNAL, "first"));
    plumb_writer_keep(&w, plumb_fail(PLUMB_E_INTERNAL, "second"));
    plumb_put(&w, "after");
    plumb_status s = plumb_writer_end(&w);
    assert_string_equal(plumb_status_message(s), "first");
    plumb_status_free(s);
    assert_string_equal(w.text.data, "before");
    assert_null(plumb_writer_end(&w));
    plumb_writer_free(&w);
}

static void test_long_format(void **state)
{
    (void)state;
    char name[1000];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    plumb_writer w = {0};
    plumb_putf(&w, "<%s>", name);
    assert_null(plumb_writer_end(&w));
    assert_int_equal(w.text.size, sizeof name + 1);
    plumb_writer_free(&w);
}

/* The hash that a content security policy needs: of the empty text, as browsers write it. */
static void test_base64(void **state)
{
    (void)state;
    plumb_writer w = {0};
    plumb_put_base64_of_hex(&w, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_string_equal(w.text.data, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    plumb_text_clear(&w.text);
    plumb_put_base64_of_hex(&w, "ff00");
    plumb_put(&w, " ");
    plumb_put_base64_of_hex(&w, "00ff10");
    assert_string_equal(w.text.data, "/wA= AP8Q");
    assert_null(plumb_writer_end(&w));
    plumb_writer_free(&w);
}

static void make_table(plumb_table *t)
{
    plumb_table_column(t, "index", "pair", PLUMB_COLUMN_PAIR);
    plumb_table_column(t, "share", "share", PLUMB_COLUMN_SHARE);
    plumb_table_column(t, "text", "text", PLUMB_COLUMN_TEXT);
    plumb_table_pair(t, 7, 3);
    plumb_table_number(t, 0.125);
    plumb_table_string(t, "=<b>|\n");
    plumb_table_pair(t, 8, SIZE_MAX);
    plumb_table_number(t, NAN);
    plumb_table_string(t, NULL);
}

static void check_table(void (*put)(const plumb_table *t, plumb_writer *w), const char *expected)
{
    plumb_table t = {0};
    plumb_writer w = {0};
    make_table(&t);
    assert_int_equal(plumb_table_rows(&t), 2);
    put(&t, &w);
    assert_null(plumb_writer_end(&w));
    assert_string_equal(w.text.data, expected);
    plumb_writer_free(&w);
    plumb_table_free(&t);
}

static void markdown(const plumb_table *t, plumb_writer *w)
{
    plumb_table_markdown(t, 1, 20, w);
}

static void html(const plumb_table *t, plumb_writer *w)
{
    plumb_table_html(t, "a \"b\"", 5, 2, w);
}

static void test_tables(void **state)
{
    (void)state;
    check_table(plumb_table_csv, "index,share,text\n7,0.125,\"'=<b>|\n\"\n8,,\n");
    check_table(plumb_table_json, "[\n{\"index\":7,\"share\":0.125,\"text\":\"=<b>|\\n\"},\n"
                                  "{\"index\":8,\"share\":null,\"text\":null}]");
    check_table(markdown, "| pair | share | text |\n|--:|--:|:--|\n| 7 | 12.5\xC2\xA0% | \\=&lt;b>\\|  |\n\n"
                          "The first 1 of 2 rows.\n");
    check_table(
        html,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table: a &quot;b&quot;\"><table><thead>"
        "<tr><th scope=\"col\">pair</th><th scope=\"col\">share</th><th scope=\"col\" class=\"text\">text</th></tr>"
        "</thead><tbody>\n<tr><td><button class=\"pair\" data-pair=\"3\">7</button></td><td>12.5\xC2\xA0%</td>"
        "<td class=\"text\"><bdi>=&lt;\xE2\x80\xA6</bdi></td></tr>\n<tr><td>8</td><td></td><td class=\"text\"><bdi>"
        "</bdi></td></tr>\n</tbody></table></div>\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html),          cmocka_unit_test(test_script_json),   cmocka_unit_test(test_csv),
        cmocka_unit_test(test_markdown),      cmocka_unit_test(test_uri_and_shell), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_first_failure), cmocka_unit_test(test_long_format),   cmocka_unit_test(test_base64),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
