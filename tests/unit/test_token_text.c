/* The texts of tokens, one by one, add up to the text of all. */
#include "support.h"

#include "text/token_text.h"

static plumb_tokenizer *open_tokenizer(const char *kind, const char *name)
{
    plumb_tokenizer *t;
    char path[1024];
    snprintf(path, sizeof path, PLUMB_TEST_DATA "/%s/%s", kind, name);
    check_ok(plumb_tokenizer_open(path, &t));
    return t;
}

static void check_pieces(const plumb_tokenizer *t, const char *text)
{
    plumb_ids ids = {0};
    plumb_text pieces = {0}, whole = {0};
    check_ok(plumb_tokenizer_encode(t, text, strlen(text), true, &ids));
    for (size_t i = 0; i < ids.count; i++)
        check_ok(plumb_token_text(t, i ? ids.data[i - 1] : -1, ids.data[i], &pieces));
    check_ok(plumb_tokenizer_decode(t, ids.data, ids.count, false, &whole));
    assert_string_equal(pieces.data, whole.data);
    plumb_ids_free(&ids);
    plumb_text_free(&pieces);
    plumb_text_free(&whole);
}

static void pieces_add_up(void **unused)
{
    (void)unused;
    static const char *const folders[] = {"olmo", "llama2", "llama3-bf16", "gemma-bf16", "qwen3", "gpt-neox"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        plumb_tokenizer *t = open_tokenizer("models", folders[i]);
        check_pieces(t, "No, I will not help with that.\nNever");
        check_pieces(t, "a  b   c");
        plumb_tokenizer_free(t);
    }
}

static void check_text(const plumb_tokenizer *t, int32_t before, const char *token, const char *want)
{
    plumb_text text = {0};
    int32_t id = plumb_tokenizer_id(t, token, strlen(token));
    assert_true(id >= 0);
    check_ok(plumb_token_text(t, before, id, &text));
    assert_string_equal(text.data ? text.data : "", want);
    plumb_text_free(&text);
}

static void spaces_and_parts(void **unused)
{
    (void)unused;
    plumb_tokenizer *t = open_tokenizer("models", "llama2");
    int32_t a = plumb_tokenizer_id(t, "a", 1);
    check_text(t, a, "\xe2\x96\x81No", " No");  /* behind something the space counts */
    check_text(t, -1, "\xe2\x96\x81No", "No");  /* at the beginning of a text it does not */
    check_text(t, a, "<0xE2>", "\xef\xbf\xbd"); /* a part of a character */
    check_text(t, a, "</s>", "</s>");
    plumb_text none = {0};
    check_ok(plumb_token_text(t, a, plumb_tokenizer_size(t) + 5, &none));
    assert_int_equal(none.size, 0);
    plumb_text_free(&none);
    plumb_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pieces_add_up), cmocka_unit_test(spaces_and_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
