/* Shortage of memory at every place: the n-th allocation fails, for every n until the work gets through. Each failure
 * must come back as PLUMB_E_MEMORY, leave no file open and, under LeakSanitizer, lose nothing. The linker sends the
 * library's allocations here (--wrap in tests/CMakeLists.txt); those inside jansson are left alone (io/json.h). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/memory.h"
#include "io/json.h"
#include "io/output.h"
#include "io/rows.h"
#include "io/safetensors.h"
#include "study/identify.h"
#include "study/trace_rows.h"
#include "study/trace_run.h"
#include "unit/scratch.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static long left = -1; /* allocations until the one that fails; negative: none does */

static bool fails(void)
{
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

static int lowest_free_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static void fail_everywhere(plumb_status (*work)(void), long at_least)
{
    int descriptor = lowest_free_descriptor();
    for (long n = 0;; n++) {
        left = n;
        plumb_status s = work();
        bool failed = left < 0;
        left = -1;
        assert_int_equal(lowest_free_descriptor(), descriptor);
        if (!failed) {
            assert_ok(s);
            assert_true(n >= at_least);
            return;
        }
        assert_says(s, PLUMB_E_MEMORY, "out of memory");
    }
}

static plumb_status open_shards(void)
{
    plumb_tensors *set = NULL;
    PLUMB_TRY(plumb_tensors_open(PLUMB_TEST_DATA "/models/llama3-chat-sharded", &set));
    plumb_tensors_close(set);
    return PLUMB_OK;
}

static plumb_status damaged_file(void)
{
    plumb_tensors *set = NULL;
    plumb_status s = plumb_tensors_open_file(PLUMB_TEST_DATA "/models/llama2/config.json", &set);
    if (plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_status_free(s);
    return PLUMB_OK;
}

static plumb_status read_rows(void)
{
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    json_t *value = NULL;
    PLUMB_TRY(plumb_rows_open(PLUMB_TEST_DATA "/pairs/pairs.jsonl", 1, 3, &rows));
    plumb_status s;
    while (!(s = plumb_rows_next(rows, &row, &found)) && found) {
        s = plumb_json_parse(row.bytes, row.size, false, plumb_rows_name(rows), &value);
        if (s) break;
        json_decref(value);
    }
    plumb_rows_close(rows);
    return s;
}

static plumb_status write_output(void)
{
    plumb_text t = {0};
    plumb_output *o = NULL;
    plumb_status s = plumb_json_quote(&t, "a\n\xFF", 3);
    if (s) goto done;
    PLUMB_GO(plumb_json_real(&t, 0.5, 9));
    PLUMB_GO(plumb_output_open(scratch("rows"), true, &o));
    PLUMB_GO(plumb_output_write(o, t.data, t.size));
    s = plumb_output_commit(o);
    o = NULL;
done:
    plumb_output_close(o, false);
    plumb_text_free(&t);
    return s;
}

static plumb_status write_tensors(void)
{
    static const plumb_tensor_spec specs[] = {{"a", PLUMB_F32, 1, {1}}, {"b", PLUMB_F16, 1, {2}}};
    plumb_tensors_writer *w = NULL;
    PLUMB_TRY(plumb_tensors_create(scratch("tensors"), specs, 2, &w));
    plumb_status s = plumb_tensors_write(w, "12345678", 8);
    if (s) {
        plumb_tensors_abandon(w);
        return s;
    }
    return plumb_tensors_finish(w);
}

/* Data, two score files, a ledger and labels joined, all statistics, and the report as JSON. */
static plumb_status identify(void)
{
    static const plumb_sink silent;
    static const char *const scores[] = {PLUMB_TEST_DATA "/identify/a.jsonl", PLUMB_TEST_DATA "/identify/b.jsonl"};
    const plumb_identify_options o = {.data = PLUMB_TEST_DATA "/identify/data.jsonl",
                                      .ledger = PLUMB_TEST_DATA "/identify/ledger.jsonl",
                                      .scores = scores,
                                      .score_count = 2,
                                      .top = {.digits = 5, .is_percent = true},
                                      .classes = PLUMB_TEST_DATA "/identify/labels.jsonl",
                                      .step = -1,
                                      .resamples = 2,
                                      .level = 0.9,
                                      .threads = 1,
                                      .end = -1};
    plumb_identify_report report = {0};
    plumb_text t = {0};
    plumb_status s = plumb_identify_run(&o, &silent, &report);
    if (!s) s = plumb_identify_json(&o, &report, &t);
    plumb_text_free(&t);
    plumb_identify_report_free(&report);
    return s;
}

/* Classes of a file, a vocabulary's, the tokens of a ledger, a row of them as JSON and in a table. */
static plumb_status trace_ledger(const plumb_tokenizer *t, const plumb_token_groups *g, plumb_classes *map,
                                 plumb_ledger_file *ledger, plumb_ledger_tokens *tokens, plumb_arena *arena,
                                 plumb_text *text)
{
    static const plumb_sink silent;
    int32_t ids[2][2] = {{5, 40}, {5, 41}};
    const plumb_pair pair = {.ids = {{ids[0], 2, 2}, {ids[1], 2, 2}}, .prompt = 1, .shared = 1};
    const plumb_trace_options o = {.tokenizer = t, .groups = g, .top = 3, .eos = -1};
    plumb_trace_row row;
    PLUMB_TRY(plumb_token_groups_map(g, t, 300, map));
    PLUMB_TRY(plumb_ledger_read(scratch("traced"), &silent, ledger));
    PLUMB_TRY(plumb_ledger_tokens_read(scratch("traced"), ledger, g, &silent, tokens));
    PLUMB_TRY(plumb_ledger_trace(ledger, tokens, 0, &pair, &o, arena, &row));
    PLUMB_TRY(plumb_trace_line(&row, g, text));
    return plumb_trace_table_row(PLUMB_TRACE_CSV, &row, g, text);
}

static plumb_status trace(void)
{
    plumb_token_groups *g = NULL;
    plumb_tokenizer *t = NULL;
    plumb_classes map[300];
    plumb_ledger_file ledger = {0};
    plumb_ledger_tokens tokens = {0};
    plumb_arena arena = {0};
    plumb_text text = {0};
    plumb_status s = plumb_token_groups_open(scratch("groups.yaml"), &g);
    if (!s) s = plumb_tokenizer_open(PLUMB_TEST_DATA "/models/olmo", &t);
    if (!s) s = trace_ledger(t, g, map, &ledger, &tokens, &arena, &text);
    plumb_text_free(&text);
    plumb_arena_free(&arena);
    plumb_ledger_tokens_free(&tokens);
    plumb_ledger_file_free(&ledger);
    plumb_tokenizer_free(t);
    plumb_token_groups_free(g);
    return s;
}

static void opening_a_checkpoint(void **state)
{
    (void)state;
    fail_everywhere(open_shards, 20);
    fail_everywhere(damaged_file, 3);
}

static void reading_rows(void **state)
{
    (void)state;
    fail_everywhere(read_rows, 3);
}

static void writing(void **state)
{
    (void)state;
    fail_everywhere(write_output, 5);
    fail_everywhere(write_tensors, 5);
    assert_false(plumb_path_exists(scratch("tensors.partial")));
}

static void joining_files(void **state)
{
    (void)state;
    fail_everywhere(identify, 100);
}

static void tracing_a_ledger(void **state)
{
    (void)state;
    static const char groups[] = "a: [x, y]\nb: [z]\nopposites: [a/b]\n";
    static const char ledger[] =
        "{\"step\":0,\"index\":0,\"row\":\"00000000000000aa\",\"logps/chosen\":-1,\"logps/rejected\":-2}\n"
        "{\"step\":4,\"index\":0,\"row\":\"00000000000000aa\",\"logps/chosen\":-3,\"logps/rejected\":-2,"
        "\"position\":0,\"gained\":[{\"token\":41,\"text\":\"x\",\"p_before\":0.1,\"p_after\":0.5}],\"lost\":[]}\n";
    mkdir(scratch("traced"), 0777);
    scratch_file("traced/ledger.jsonl", ledger, sizeof ledger - 1);
    scratch_file("groups.yaml", groups, sizeof groups - 1);
    fail_everywhere(trace, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_a_checkpoint), cmocka_unit_test(reading_rows),     cmocka_unit_test(writing),
        cmocka_unit_test(joining_files),        cmocka_unit_test(tracing_a_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
