/* Memory: growing arrays, text, the arena, aligned blocks, and sizes that overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/memory.h"

/* AddressSanitizer would stop at a request that is too large; here calloc must answer it, as it does elsewhere. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void assert_no_memory(plumb_status s)
{
    assert_int_equal(plumb_status_code(s), PLUMB_E_MEMORY);
}

static void blocks_are_zeroed_and_checked(void **state)
{
    (void)state;
    int *block = NULL;
    assert_null(plumb_new(&block, 1000, sizeof *block));
    for (int i = 0; i < 1000; i++) assert_int_equal(block[i], 0);
    free(block);
    block = NULL;
    assert_null(plumb_new(&block, 0, sizeof *block));
    assert_non_null(block);
    free(block);
    int *untouched = NULL;
    assert_no_memory(plumb_new(&untouched, SIZE_MAX / 2, 4));
    assert_no_memory(plumb_new_aligned(&untouched, SIZE_MAX / 2, 4));
    assert_no_memory(plumb_new_aligned(&untouched, SIZE_MAX - 3, 1));
    assert_null(untouched);
}

static void aligned_blocks(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n += 7) {
        char *block = NULL;
        assert_null(plumb_new_aligned(&block, n, 3));
        assert_int_equal((uintptr_t)block % 64, 0);
        if (n) memset(block, 1, 3 * n);
        free(block);
    }
}

static void arrays_grow_geometrically(void **state)
{
    (void)state;
    int *data = NULL, growths = 0;
    size_t capacity = 0;
    for (size_t i = 0; i < 100000; i++) {
        size_t before = capacity;
        assert_null(plumb_reserve(&data, &capacity, i + 1, sizeof *data));
        growths += capacity != before;
        data[i] = (int)i;
    }
    for (int i = 0; i < 100000; i++) assert_int_equal(data[i], i);
    assert_true(growths < 40);
    size_t before = capacity;
    assert_null(plumb_reserve(&data, &capacity, 5, sizeof *data));
    assert_int_equal(capacity, before);
    assert_no_memory(plumb_reserve(&data, &capacity, SIZE_MAX / 2, sizeof *data));
    assert_int_equal(capacity, before);
    assert_int_equal(data[99999], 99999);
    free(data);
}

static void text_grows(void **state)
{
    (void)state;
    plumb_text t = {0};
    assert_null(plumb_text_append(&t, NULL, 0));
    assert_string_equal(t.data, "");
    assert_null(plumb_text_string(&t, "ab"));
    assert_null(plumb_text_append(&t, "\0c", 2));
    assert_null(plumb_text_printf(&t, "%s=%d", "x", 7));
    assert_int_equal(t.size, 7);
    assert_memory_equal(t.data, "ab\0cx=7", 8);
    plumb_text_clear(&t);
    assert_int_equal(t.size, 0);
    assert_string_equal(t.data, "");
    for (int i = 0; i < 1000; i++) assert_null(plumb_text_printf(&t, "%03d,", i));
    assert_int_equal(t.size, 4000);
    assert_memory_equal(t.data + 4 * 789, "789,", 4);
    assert_no_memory(plumb_text_append(&t, "x", SIZE_MAX));
    assert_int_equal(t.size, 4000);
    plumb_text_free(&t);
    assert_null(t.data);
    plumb_text_clear(&t);
    plumb_text_free(&t);
}

static void arena_pieces_do_not_touch(void **state)
{
    (void)state;
    enum { PIECES = 500 };
    plumb_arena a = {0};
    unsigned char *pieces[PIECES];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PIECES; i++) {
            size_t n = (size_t)i * 13;
            assert_null(plumb_arena_new(&a, &pieces[i], n, 1));
            assert_int_equal((uintptr_t)pieces[i] % 64, 0);
            for (size_t j = 0; j < n; j++) assert_int_equal(pieces[i][j], 0);
            if (n) memset(pieces[i], i & 255, n);
        }
        for (int i = 0; i < PIECES; i++)
            for (size_t j = 0; j < (size_t)i * 13; j++) assert_int_equal(pieces[i][j], i & 255);
        plumb_arena_reset(&a);
        assert_int_equal(a.used, 0);
    }
    char *copy = NULL;
    assert_null(plumb_arena_copy(&a, &copy, "abc", 2));
    assert_string_equal(copy, "ab");
    assert_null(plumb_arena_copy(&a, &copy, NULL, 0));
    assert_string_equal(copy, "");
    assert_null(plumb_arena_new(&a, &copy, 10 << 20, 1)); /* larger than any chunk so far */
    copy[(10 << 20) - 1] = 1;
    assert_no_memory(plumb_arena_new(&a, &copy, SIZE_MAX / 2, 4));
    plumb_arena_free(&a);
    plumb_arena_free(&a);
    plumb_arena_reset(&a);
}

static void ids_grow(void **state)
{
    (void)state;
    plumb_ids ids = {0};
    static const int32_t more[] = {-1, INT32_MAX, INT32_MIN};
    for (int32_t i = 0; i < 100; i++) assert_null(plumb_ids_push(&ids, i));
    assert_null(plumb_ids_append(&ids, more, 3));
    assert_null(plumb_ids_append(&ids, NULL, 0));
    assert_int_equal(ids.count, 103);
    assert_int_equal(ids.data[99], 99);
    assert_memory_equal(ids.data + 100, more, sizeof more);
    plumb_ids_free(&ids);
    assert_int_equal(ids.count, 0);
}

/* Every 16-bit value widens to what its format defines, and bf16 comes back. */
static void stored_numbers_widen_exactly(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float half = plumb_from_f16((uint16_t)bits), brain = plumb_from_bf16((uint16_t)bits);
        int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023), sign = bits & 0x8000 ? -1 : 1;
        float expected = exponent ? (float)(1024 + fraction) * 0x1p-10f : (float)fraction * 0x1p-10f;
        for (int e = exponent ? exponent : 1; e < 15; e++) expected *= 0.5f;
        for (int e = 15; e < exponent; e++) expected *= 2.0f;
        if (exponent < 31)
            assert_true(half == (float)sign * expected);
        else
            assert_true(fraction ? half != half : half * (float)sign > 3e38f);
        if (brain == brain) assert_int_equal(plumb_to_bf16(brain), bits);
    }
    assert_int_equal(plumb_to_bf16(1.00390625f), 0x3F80); /* halfway: to even */
    assert_int_equal(plumb_to_bf16(1.01171875f), 0x3F82);
    assert_int_equal(plumb_to_bf16(1.00390637f), 0x3F81);
    assert_int_equal(plumb_to_bf16(3.4e38f), 0x7F80); /* rounds up to infinity */
    float nan = plumb_from_bf16(0x7F81), loaded = 2.5f;
    assert_true(plumb_from_bf16(plumb_to_bf16(nan)) != plumb_from_bf16(plumb_to_bf16(nan)));
    uint16_t pair[2] = {0x3C00, 0xC000};
    assert_true(plumb_load(pair, PLUMB_F16, 1) == -2.0f);
    assert_true(plumb_load(pair, PLUMB_BF16, 1) == -2.0f);
    assert_true(plumb_load(&loaded, PLUMB_F32, 0) == 2.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_checked), cmocka_unit_test(aligned_blocks),
        cmocka_unit_test(arrays_grow_geometrically),     cmocka_unit_test(text_grows),
        cmocka_unit_test(arena_pieces_do_not_touch),     cmocka_unit_test(ids_grow),
        cmocka_unit_test(stored_numbers_widen_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
