/* safetensors: real checkpoints, everything that can be damaged, and what the writer writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>

#include "base/memory.h"
#include "io/output.h"
#include "io/safetensors.h"
#include "unit/scratch.h"

/* A file with this header and `data` bytes 0, 1, 2, ... behind it. */
static const char *craft(const char *name, const char *header, size_t data)
{
    uint8_t bytes[4096] = {0};
    size_t n = strlen(header);
    assert_true(8 + n + data < sizeof bytes);
    bytes[0] = (uint8_t)n;
    bytes[1] = (uint8_t)(n >> 8);
    memcpy(bytes + 8, header, n + 1);
    for (size_t i = 0; i < data; i++) bytes[8 + n + i] = (uint8_t)i;
    return scratch_file(name, bytes, 8 + n + data);
}

/* Padded to a multiple of 8, so that the data are aligned. */
static const char *craft_aligned(const char *name, const char *header, size_t data)
{
    char padded[2048];
    int n = snprintf(padded, sizeof padded, "%s%*s", header, (int)(-strlen(header) & 7), "");
    assert_true(n >= 0 && (size_t)n < sizeof padded);
    return craft(name, padded, data);
}

static const char *new_folder(const char *name)
{
    const char *path = scratch(name);
    mkdir(path, 0777);
    return path;
}

#define ENTRY(dtype, shape, offsets)                                                                                   \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void damaged_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } cases[] = {
        {"", 0, "header: not valid JSON"},
        {"{", 0, "header: not valid JSON"},
        {"{}x", 0, "header: not valid JSON"},
        {"[]", 0, "the header is a list; expected an object"},
        {"\"x\"", 0, "the header is a string"},
        {"{}", 3, "3 bytes at the end of the file belong to no tensor"},
        {"{\"__metadata__\":[]}", 0, "\"__metadata__\" is a list"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "\"__metadata__\" holds a number under \"a\""},
        {"{\"t\":1}", 0, "tensor \"t\": its entry is a number"},
        {"{\"t\":{}}", 0, "tensor \"t\": \"dtype\" is missing"},
        {"{\"t\":{\"dtype\":1}}", 0, "\"dtype\" is a number; expected a string"},
        {ENTRY("F4", "[2]", "[0,1]"), 1, "tensor \"t\": unknown dtype \"F4\""},
        {ENTRY("bf16", "[2]", "[0,4]"), 4, "unknown dtype \"bf16\""},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "\"shape\" is missing"},
        {ENTRY("F32", "{}", "[0,4]"), 4, "\"shape\" is an object"},
        {ENTRY("F32", "[1.0]", "[0,4]"), 4, "\"shape\" holds a number; expected integers"},
        {ENTRY("F32", "[\"1\"]", "[0,4]"), 4, "\"shape\" holds a string"},
        {ENTRY("F32", "[-1]", "[0,4]"), 4, "the negative size -1"},
        {ENTRY("F32", "[-1,-1]", "[0,4]"), 4, "the negative size -1"},
        {ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "has 9 dimensions"},
        {ENTRY("F32", "[4294967296,4294967296]", "[0,4]"), 4, "overflows"},
        {ENTRY("F32", "[4611686018427387904]", "[0,4]"), 4, "overflows"},
        {ENTRY("F32", "[99999999999999999999]", "[0,4]"), 4, "too big integer"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "\"data_offsets\" is missing"},
        {ENTRY("F32", "[1]", "[0]"), 4, "a list of another length"},
        {ENTRY("F32", "[1]", "[0,4,8]"), 4, "a list of another length"},
        {ENTRY("F32", "[1]", "[0,4.0]"), 4, "\"data_offsets\" holds a number"},
        {ENTRY("F32", "[1]", "[-4,0]"), 4, "a negative number"},
        {ENTRY("F32", "[1]", "[4,0]"), 4, "ends before it begins"},
        {ENTRY("F32", "[2]", "[0,4]"), 4, "\"data_offsets\" give 4 bytes, shape and dtype F32 give 8"},
        {ENTRY("BF16", "[2]", "[0,8]"), 8, "give 8 bytes, shape and dtype BF16 give 4"},
        {ENTRY("F32", "[2]", "[0,8]"), 7, "its data end at byte 8, but the file holds only 7"},
        {ENTRY("F32", "[1]", "[9223372036854775800,9223372036854775804]"), 8, "its data end at byte"},
        {ENTRY("U8", "[4]", "[4,8]"), 8, "a hole of 4 bytes before its data"},
        {ENTRY("U8", "[4]", "[0,4]"), 9, "5 bytes at the end of the file belong to no tensor"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}",
         6, "tensor \"b\": its data overlap those of \"a\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         4, "overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[6,10]}}",
         10, "tensor \"b\": a hole of 2 bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[1,5]}}",
         5, "tensor \"b\": its data are not aligned to the 2 bytes of a BF16"},
        {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
         2, "duplicate object key"},
        {"{\"t\":{\"dtype\":\"U8\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "duplicate object key"},
        {"{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "a key holds a zero character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_tensors *set = NULL;
        const char *path = craft_aligned("damaged.safetensors", cases[i].header, cases[i].data);
        assert_says(plumb_tensors_open_file(path, &set), PLUMB_E_INPUT, cases[i].says);
        plumb_status s = plumb_tensors_open_file(path, &set);
        assert_non_null(strstr(plumb_status_message(s), "damaged.safetensors: "));
        plumb_status_free(s);
        assert_null(set);
    }
}

static void damaged_files(void **state)
{
    (void)state;
    static const uint8_t huge[16] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, '{', '}'};
    static const uint8_t longer[16] = {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    static const struct {
        const void *bytes;
        size_t n;
        const char *says;
    } cases[] = {
        {"", 0, "the file is empty"},
        {"", 0, "download the file again"},
        {"1234567", 7, "7 bytes are too few"},
        {huge, 16, "a header of 18446744073709551615 bytes"},
        {huge, 16, "is this a safetensors file?"},
        {longer, 16, "the header has 9 bytes, but the file ends after 16"},
        {longer, 16, "download the file again"},
        {longer, 8, "the header has 9 bytes"},
        {pointer, sizeof pointer - 1, "git lfs pull"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_tensors *set = NULL;
        assert_says(plumb_tensors_open_file(scratch_file("file.safetensors", cases[i].bytes, cases[i].n), &set),
                    PLUMB_E_INPUT, cases[i].says);
    }
    plumb_tensors *set = NULL;
    assert_says(plumb_tensors_open_file(scratch("absent"), &set), PLUMB_E_INPUT, "No such file");
    assert_says(plumb_tensors_open_file(new_folder("is_a_folder"), &set), PLUMB_E_INPUT, "is a folder");
}

static void every_stored_type(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int size;
        bool is_weight;
    } types[] = {{"F64", 8, false},  {"F32", 4, true},      {"F16", 2, true},     {"BF16", 2, true},
                 {"I64", 8, false},  {"I32", 4, false},     {"I16", 2, false},    {"I8", 1, false},
                 {"U64", 8, false},  {"U32", 4, false},     {"U16", 2, false},    {"U8", 1, false},
                 {"BOOL", 1, false}, {"F8_E4M3", 1, false}, {"F8_E5M2", 1, false}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char header[256];
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[3,1],\"data_offsets\":[0,%d]}}",
                 types[i].name, 3 * types[i].size);
        plumb_tensors *set = NULL;
        assert_ok(plumb_tensors_open_file(craft_aligned("type", header, 3 * (size_t)types[i].size), &set));
        const plumb_tensor *t = plumb_tensors_find(set, "t");
        assert_non_null(t);
        assert_string_equal(t->dtype_name, types[i].name);
        assert_int_equal(t->is_weight, types[i].is_weight);
        assert_int_equal(t->count, 3);
        assert_int_equal(t->bytes, 3 * types[i].size);
        plumb_tensors_close(set);
    }
}

static void scalars_and_empty_tensors(void **state)
{
    (void)state;
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                 "\"e\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[4,4]},"
                                 "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
    plumb_tensors *set = NULL;
    size_t count = 0, header_size = 0;
    const uint8_t *text = NULL;
    assert_ok(plumb_tensors_open_file(craft_aligned("scalar", header, 4), &set));
    const plumb_tensor *list = plumb_tensors_list(set, &count);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "e");
    assert_int_equal(list[0].count, 0);
    assert_int_equal(list[1].count, 1);
    assert_int_equal(list[1].dims, 0);
    assert_memory_equal(list[1].data, "\0\1\2\3", 4);
    assert_null(plumb_tensors_find(set, "S"));
    assert_null(plumb_tensors_find(set, ""));
    assert_int_equal(plumb_tensors_files(set), 1);
    assert_string_equal(plumb_tensors_file(set, 0, &text, &header_size), scratch("scalar"));
    assert_memory_equal(text, header, sizeof header - 1);
    assert_int_equal(header_size % 8, 0);
    plumb_tensors_close(set);
    assert_ok(plumb_tensors_open_file(craft("nothing", "{}", 0), &set));
    assert_null(plumb_tensors_find(set, "x"));
    plumb_tensors_close(set);
}

/* ---- folders ---- */

static void in_folder(const char *folder, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    scratch_file(path, text, strlen(text));
}

static void folders_without_weights(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *file, *says;
    } cases[] = {
        {"none", "config.json", "holds no weights"},
        {"bin", "pytorch_model-00001-of-00002.bin", "PyTorch's .bin files"},
        {"bin", "pytorch_model.bin", "save_pretrained"},
        {"pt", "consolidated.pt", "PyTorch's .pt files"},
        {"pth", "consolidated.00.pth", "PyTorch's .pth files"},
        {"gguf", "model-q4.gguf", "a GGUF file"},
        {"adapter", "adapter_model.safetensors", "a LoRA adapter without its base model"},
        {"adapter", "optimizer.pt", "merge the adapter"},
        {"adapter2", "adapter_model.bin", "a LoRA adapter"},
        {"shards", "model-00001-of-00002.safetensors", "neither model.safetensors nor model.safetensors.index.json"},
    };
    plumb_tensors *set = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        new_folder(cases[i].folder);
        in_folder(cases[i].folder, cases[i].file, "x");
        assert_says(plumb_tensors_open(scratch(cases[i].folder), &set), PLUMB_E_INPUT, cases[i].says);
    }
    new_folder("link");
    assert_int_equal(symlink("nowhere", scratch("link/model.safetensors")), 0);
    assert_says(plumb_tensors_open(scratch("link"), &set), PLUMB_E_INPUT, "a broken link");
    assert_says(plumb_tensors_open("allenai/no-such-model", &set), PLUMB_E_INPUT, "must be downloaded first");
    assert_says(plumb_tensors_open(scratch_file("a_file", "x", 1), &set), PLUMB_E_INPUT,
                "expected a checkpoint folder");
}

static void damaged_indexes(void **state)
{
    (void)state;
    static const struct {
        const char *index, *says;
    } cases[] = {
        {"", "index.json: not valid JSON"},
        {"[]", "\"weight_map\" is missing"},
        {"{\"weight_map\":[]}", "\"weight_map\" is a list"},
        {"{\"weight_map\":{}}", "\"weight_map\" is empty"},
        {"{\"weight_map\":{\"a\":1}}", "tensor \"a\" is placed in a number"},
        {"{\"weight_map\":{\"a\":\"../x\"}}", "expected a file of the same folder"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "expected a file of the same folder"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "expected a file of the same folder"},
        {"{\"weight_map\":{\"a\":\"\"}}", "expected a file of the same folder"},
        {"{\"weight_map\":{\"a\":\"1\\u0000\"}}", "expected a file of the same folder"},
        {"{\"weight_map\":{\"a\":\"1\",\"a\":\"2\"}}", "duplicate object key"},
        {"{\"weight_map\":{\"a\":\"1\",\"b\":\"3\"}}", "/3: the index names this shard, but it is not in the folder"},
        {"{\"weight_map\":{\"a\":\"1\",\"b\":\"2\",\"c\":\"2\"}}",
         "/2: tensor \"c\" should be in this shard, but is missing"},
        {"{\"weight_map\":{\"a\":\"2\",\"b\":\"1\"}}", "should be in this shard, but is in another"},
        {"{\"weight_map\":{\"a\":\"1\",\"b\":\"2\",\"x\":\"again\"}}", "tensor \"a\" is also in"},
        {"{\"weight_map\":{\"a\":\"1\",\"b\":\"short\"}}", "short: 1 bytes are too few"},
    };
    new_folder("indexed");
    craft_aligned("indexed/1", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    craft_aligned("indexed/2", "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    craft_aligned("indexed/again", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    in_folder("indexed", "short", "x");
    plumb_tensors *set = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        in_folder("indexed", "model.safetensors.index.json", cases[i].index);
        assert_says(plumb_tensors_open(scratch("indexed"), &set), PLUMB_E_INPUT, cases[i].says);
    }
    in_folder("indexed", "model.safetensors.index.json", "{\"weight_map\":{\"b\":\"2\",\"a\":\"1\"}}");
    assert_ok(plumb_tensors_open(scratch("indexed"), &set));
    assert_int_equal(plumb_tensors_find(set, "b")->file, 1);
    plumb_tensors_close(set);
}

/* Every checkpoint of the test data opens; each tensor is found under its name, in order. */
static void real_checkpoints(void **state)
{
    (void)state;
    DIR *models = opendir(PLUMB_TEST_DATA "/models");
    assert_non_null(models);
    int opened = 0, shards = 0;
    for (const struct dirent *entry; (entry = readdir(models));) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, "adapter", 7) == 0)
            continue; /* adapters are no checkpoints */
        char path[512];
        plumb_tensors *set = NULL;
        size_t count = 0;
        snprintf(path, sizeof path, "%s/models/%s", PLUMB_TEST_DATA, entry->d_name);
        assert_ok(plumb_tensors_open(path, &set));
        const plumb_tensor *list = plumb_tensors_list(set, &count);
        assert_true(count > 0);
        for (size_t i = 0; i < count; i++) {
            assert_ptr_equal(plumb_tensors_find(set, list[i].name), &list[i]);
            assert_true(list[i].is_weight);
            assert_int_equal((uintptr_t)list[i].data % plumb_dtype_size(list[i].dtype), 0);
            if (i) assert_true(strcmp(list[i - 1].name, list[i].name) < 0);
        }
        if (plumb_tensors_files(set) > 1) shards++;
        opened++;
        plumb_tensors_close(set);
    }
    closedir(models);
    assert_true(opened >= 10);
    assert_true(shards >= 1);
}

/* ---- writing ---- */

static void written_files_come_back(void **state)
{
    (void)state;
    static const plumb_tensor_spec specs[] = {
        {"w\"\xC3\xA9", PLUMB_F32, 2, {2, 3}}, {"scalar", PLUMB_F32, 0, {0}}, {"half", PLUMB_F16, 1, {3}},
        {"brain", PLUMB_BF16, 3, {1, 1, 2}},   {"none", PLUMB_BF16, 1, {0}},
    };
    uint8_t bytes[24 + 4 + 6 + 4];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(3 * i);
    plumb_tensors_writer *w = NULL;
    plumb_tensors *set = NULL;
    assert_ok(plumb_tensors_create(scratch("written"), specs, 5, &w));
    for (size_t i = 0, n; i < sizeof bytes; i += n) {
        n = sizeof bytes - i < 5 ? sizeof bytes - i : 5;
        assert_ok(plumb_tensors_write(w, bytes + i, n));
    }
    assert_false(plumb_path_exists(scratch("written")));
    assert_ok(plumb_tensors_finish(w));
    assert_ok(plumb_tensors_open_file(scratch("written"), &set));
    static const size_t places[] = {0, 24, 28, 34, 38};
    for (size_t i = 0; i < 5; i++) {
        const plumb_tensor *t = plumb_tensors_find(set, specs[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, specs[i].dtype);
        assert_int_equal(t->dims, specs[i].dims);
        assert_memory_equal(t->shape, specs[i].shape, (size_t)t->dims * sizeof *t->shape);
        assert_memory_equal(t->data, bytes + places[i], t->bytes);
    }
    plumb_tensors_close(set);
}

static void broken_promises_of_writers(void **state)
{
    (void)state;
    static const struct {
        plumb_tensor_spec specs[2];
        size_t count;
        const char *says;
    } cases[] = {
        {{{"a", PLUMB_F32, 1, {-1}}}, 1, "a negative size"},
        {{{"a", PLUMB_F32, 9, {1}}}, 1, "number of dimensions"},
        {{{"a", PLUMB_F32, 2, {INT64_MAX, INT64_MAX}}}, 1, "overflows"},
        {{{"a", PLUMB_F32, 1, {1}}, {"a", PLUMB_F32, 1, {1}}}, 2, "listed twice"},
        {{{"a", PLUMB_BF16, 1, {1}}, {"b", PLUMB_F32, 1, {1}}}, 2, "would not be aligned"},
    };
    plumb_tensors_writer *w = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_says(plumb_tensors_create(scratch("promise"), cases[i].specs, cases[i].count, &w), PLUMB_E_INTERNAL,
                    cases[i].says);
    static const plumb_tensor_spec one = {"a", PLUMB_F32, 1, {1}};
    assert_ok(plumb_tensors_create(scratch("promise"), &one, 1, &w));
    assert_says(plumb_tensors_write(w, "12345", 5), PLUMB_E_INTERNAL, "1 bytes more");
    assert_ok(plumb_tensors_write(w, "123", 3));
    assert_says(plumb_tensors_finish(w), PLUMB_E_INTERNAL, "1 bytes of the listed tensors were not written");
    assert_false(plumb_path_exists(scratch("promise")));
    assert_false(plumb_path_exists(scratch("promise.partial")));
    assert_ok(plumb_tensors_create(scratch("promise"), &one, 1, &w));
    plumb_tensors_abandon(w);
    plumb_tensors_abandon(NULL);
    assert_false(plumb_path_exists(scratch("promise.partial")));
    assert_says(plumb_tensors_create(scratch("no/folder"), &one, 1, &w), PLUMB_E_OUTPUT, "mkdir -p");
}

/* Headers grow with the model: 50,000 tensors must not take quadratic time. */
static void many_tensors(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    plumb_tensor_spec *specs = calloc(COUNT, sizeof *specs);
    char(*names)[24] = calloc(COUNT, sizeof *names);
    assert_true(specs && names);
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "layer.%d", (i * 7919) % COUNT);
        specs[i] = (plumb_tensor_spec){names[i], PLUMB_BF16, 1, {1}};
    }
    plumb_tensors_writer *w = NULL;
    plumb_tensors *set = NULL;
    assert_ok(plumb_tensors_create(scratch("many"), specs, COUNT, &w));
    for (int i = 0; i < COUNT; i++) assert_ok(plumb_tensors_write(w, &(uint16_t){(uint16_t)i}, 2));
    assert_ok(plumb_tensors_finish(w));
    assert_ok(plumb_tensors_open_file(scratch("many"), &set));
    for (int i = 0; i < COUNT; i += 997) {
        uint16_t value = 0;
        memcpy(&value, plumb_tensors_find(set, names[i])->data, 2);
        assert_int_equal(value, (uint16_t)i);
    }
    plumb_tensors_close(set);
    free(names);
    free(specs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_headers),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(every_stored_type),
        cmocka_unit_test(scalars_and_empty_tensors),
        cmocka_unit_test(folders_without_weights),
        cmocka_unit_test(damaged_indexes),
        cmocka_unit_test(real_checkpoints),
        cmocka_unit_test(written_files_come_back),
        cmocka_unit_test(broken_promises_of_writers),
        cmocka_unit_test(many_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
