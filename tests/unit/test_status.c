/* Status: messages grow outwards, the innermost cure stays, and shortage of memory needs no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/sink.h"
#include "base/status.h"

static void success_is_null(void **state)
{
    (void)state;
    assert_int_equal(plumb_status_code(PLUMB_OK), PLUMB_E_NONE);
    assert_string_equal(plumb_status_message(PLUMB_OK), "");
    assert_null(plumb_status_cure(PLUMB_OK));
    assert_null(plumb_context(PLUMB_OK, "file"));
    assert_null(plumb_cure(PLUMB_OK, "do this"));
    plumb_status_free(PLUMB_OK);
}

static void context_goes_before_the_message(void **state)
{
    (void)state;
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s", "chosen", "a number");
    s = plumb_context(s, "%s:%d", "train.jsonl", 17);
    s = plumb_context(s, "score");
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    assert_string_equal(plumb_status_message(s), "score: train.jsonl:17: \"chosen\" is a number");
    assert_null(plumb_status_cure(s));
    plumb_status_free(s);
}

static void a_percent_sign_in_a_message_is_text(void **state)
{
    (void)state;
    plumb_status s = plumb_context(plumb_fail(PLUMB_E_INPUT, "%s", "100%s"), "%s", "%d");
    assert_string_equal(plumb_status_message(s), "%d: 100%s");
    plumb_status_free(s);
}

static void the_innermost_cure_stays(void **state)
{
    (void)state;
    plumb_status s = plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "no space"), "free %d bytes", 3);
    s = plumb_cure(plumb_context(s, "out"), "something else");
    assert_string_equal(plumb_status_cure(s), "free 3 bytes");
    plumb_status_free(s);
}

static void out_of_memory_is_constant(void **state)
{
    (void)state;
    plumb_status s = plumb_no_memory();
    assert_ptr_equal(s, plumb_no_memory());
    assert_ptr_equal(plumb_context(s, "file"), s);
    assert_ptr_equal(plumb_cure(s, "buy more"), s);
    assert_int_equal(plumb_status_code(s), PLUMB_E_MEMORY);
    assert_string_equal(plumb_status_message(s), "out of memory");
    assert_null(plumb_status_cure(s));
    plumb_status_free(s);
    assert_string_equal(plumb_status_message(s), "out of memory"); /* nothing was freed */
}

static plumb_status cleans_up(plumb_status inner, int *cleaned)
{
    plumb_status s = PLUMB_OK;
    PLUMB_GO(inner);
    *cleaned += 10;
done:
    *cleaned += 1;
    return s;
}

static plumb_status passes_on(plumb_status inner, int *reached)
{
    PLUMB_TRY(inner);
    ++*reached;
    return PLUMB_OK;
}

static void macros_return_the_error(void **state)
{
    (void)state;
    int n = 0;
    plumb_status s = plumb_fail(PLUMB_E_IO, "x");
    assert_ptr_equal(passes_on(s, &n), s);
    assert_int_equal(n, 0);
    assert_null(passes_on(PLUMB_OK, &n));
    assert_int_equal(n, 1);
    n = 0;
    assert_ptr_equal(cleans_up(s, &n), s);
    assert_int_equal(n, 1);
    assert_null(cleans_up(PLUMB_OK, &n));
    assert_int_equal(n, 12);
    plumb_status_free(s);
}

typedef struct heard {
    char note[64];
    double done, total;
    bool stop;
} heard;

static void hear_note(void *user, const char *text)
{
    strncat(((heard *)user)->note, text, sizeof((heard *)user)->note - 1);
}

static void hear_progress(void *user, const char *unit, double done, double total)
{
    assert_string_equal(unit, "rows");
    ((heard *)user)->done = done;
    ((heard *)user)->total = total;
}

static bool hear_interrupt(void *user)
{
    return ((heard *)user)->stop;
}

static void sinks_hear_or_swallow(void **state)
{
    (void)state;
    heard h = {0};
    plumb_sink sink = {&h, hear_note, hear_progress, hear_interrupt}, deaf = {0};
    plumb_note(&sink, "%d rows %s", 3, "skipped");
    assert_string_equal(h.note, "3 rows skipped");
    plumb_progress(&sink, "rows", 2, -1);
    assert_true(h.done == 2 && h.total == -1);
    assert_null(plumb_check_interrupt(&sink));
    h.stop = true;
    plumb_status s = plumb_check_interrupt(&sink);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INTERRUPTED);
    plumb_status_free(s);
    plumb_note(&deaf, "x");
    plumb_note(NULL, "x");
    plumb_progress(&deaf, "rows", 1, 2);
    plumb_progress(NULL, "rows", 1, 2);
    assert_null(plumb_check_interrupt(&deaf));
    assert_null(plumb_check_interrupt(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_is_null),
        cmocka_unit_test(context_goes_before_the_message),
        cmocka_unit_test(a_percent_sign_in_a_message_is_text),
        cmocka_unit_test(the_innermost_cure_stays),
        cmocka_unit_test(out_of_memory_is_constant),
        cmocka_unit_test(macros_return_the_error),
        cmocka_unit_test(sinks_hear_or_swallow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
