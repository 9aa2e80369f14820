/* What wrote a row, told by its fields. */
#include "support.h"

#include "study/row_kind.h"

static const struct {
    const char *row;
    plumb_row_kind kind;
} rows[] = {
    {"{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", PLUMB_ROW_DATA},
    {"{\"question\":\"a\",\"good\":\"b\",\"bad\":\"c\",\"step\":3}", PLUMB_ROW_DATA},
    {"{\"chosen\":\"b\",\"rejected\":\"c\",\"by\":\"label\",\"index\":0,\"row\":\"aa\",\"samples\":[0,1]}",
     PLUMB_ROW_DATA},
    {"{\"index\":0,\"row\":\"aa\",\"ches\":1}", PLUMB_ROW_SCORES},
    {"{\"index\":0,\"row\":\"aa\",\"logps/chosen\":-1,\"logps/rejected\":-2}", PLUMB_ROW_SCORES},
    {"{\"index\":0,\"row\":\"aa\",\"skipped\":\"no_prompt_token\"}", PLUMB_ROW_SCORES},
    {"{\"step\":0,\"index\":0,\"row\":\"aa\",\"logps/chosen\":-1,\"logps/rejected\":-2}", PLUMB_ROW_LEDGER},
    {"{\"step\":1,\"epoch\":0.5,\"loss\":0.6,\"entropy\":null}", PLUMB_ROW_METRICS},
    {"{\"index\":0,\"row\":\"aa\",\"dlogp_chosen\":1,\"gained\":[]}", PLUMB_ROW_TRACE},
    {"{\"index\":0,\"row\":\"aa\",\"ches\":1,\"chosen\":{\"tokens\":[\"a\"]},\"rejected\":{\"tokens\":[]}}",
     PLUMB_ROW_EXPLAIN},
    {"{\"kind\":\"identify\",\"pairs\":3}", PLUMB_ROW_IDENTIFY},
    {"{\"index\":0,\"row\":\"aa\",\"sample\":0,\"prompt\":\"a\",\"response\":\"b\"}", PLUMB_ROW_RESPONSES},
    {"{\"step\":0,\"index\":0,\"row\":\"aa\",\"label\":true,\"logps\":-1,\"ref_logps\":-2}", PLUMB_ROW_LEDGER},
    {"{\"step\":0,\"index\":0,\"row\":\"aa\",\"reward/chosen\":1,\"reward/rejected\":2}", PLUMB_ROW_LEDGER},
    {"{\"index\":0,\"row\":\"aa\",\"reward/chosen\":1,\"reward/rejected\":2,\"margin\":-1}", PLUMB_ROW_SCORES},
    {"{\"index\":0,\"row\":\"aa\",\"sample\":0,\"label\":null,\"score\":null}", PLUMB_ROW_JUDGE},
    {"{\"index\":0,\"row\":\"aa\",\"chosen_ids\":[1],\"rejected_ids\":[2]}", PLUMB_ROW_DATA},
    {"[1]", PLUMB_ROW_UNKNOWN},
};

static void known_by_their_fields(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *row = json_loads(rows[i].row, 0, NULL);
        assert_non_null(row);
        if (plumb_row_kind_of(row) != rows[i].kind)
            fail_msg("%s: %s", rows[i].row, plumb_row_kind_name(plumb_row_kind_of(row)));
        json_decref(row);
    }
    assert_int_equal(plumb_row_kind_of(NULL), PLUMB_ROW_UNKNOWN);
    assert_string_equal(plumb_row_kind_name(PLUMB_ROW_JUDGE), "labels of plumb judge");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_by_their_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
