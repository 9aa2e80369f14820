/* The tokenizer against vectors of the tokenizers library, hand rows for what no public tokenizer has, and damaged
 * files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "text/tokenizer.h"
#include "unit/scratch.h"
#include "unit/tokenizer_rows.h"

/* --- helpers --- */

static plumb_tokenizer *must_open(const char *path)
{
    plumb_tokenizer *t = NULL;
    plumb_status s = plumb_tokenizer_open(path, &t);
    if (s) fail_msg("%s", plumb_status_message(s));
    return t;
}

static void print_ids(const char *what, const int32_t *ids, size_t n)
{
    print_error("  %s", what);
    for (size_t i = 0; i < n && i < 200; i++) print_error(" %d", (int)ids[i]);
    print_error("\n");
}

static void read_ids(const json_t *list, plumb_ids *ids)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        assert_null(plumb_ids_push(ids, (int32_t)json_integer_value(json_array_get(list, i))));
}

static bool check_ids(const plumb_tokenizer *t, const json_t *text, bool special, const json_t *expected)
{
    plumb_ids want = {0}, got = {0};
    read_ids(expected, &want);
    plumb_status s = plumb_tokenizer_encode(t, json_string_value(text), json_string_length(text), special, &got);
    bool good = !s && want.count == got.count &&
                (!want.count || memcmp(want.data, got.data, want.count * sizeof *want.data) == 0);
    if (!good) {
        print_error("text \"%s\" %s\n", json_string_value(text), s ? plumb_status_message(s) : "");
        print_ids("expected", want.data, want.count);
        print_ids("got     ", got.data, got.count);
    }
    plumb_status_free(s);
    plumb_ids_free(&want);
    plumb_ids_free(&got);
    return good;
}

static bool check_text(const plumb_tokenizer *t, const json_t *list, bool skip, const json_t *expected)
{
    plumb_ids ids = {0};
    plumb_text got = {0};
    read_ids(list, &ids);
    plumb_status s = plumb_tokenizer_decode(t, ids.data, ids.count, skip, &got);
    bool good =
        !s && got.size == json_string_length(expected) && memcmp(got.data, json_string_value(expected), got.size) == 0;
    if (!good) {
        print_ids("ids     ", ids.data, ids.count);
        print_error("  expected \"%s\"\n  got      \"%s\" %s\n", json_string_value(expected), got.data ? got.data : "",
                    s ? plumb_status_message(s) : "");
    }
    plumb_status_free(s);
    plumb_ids_free(&ids);
    plumb_text_free(&got);
    return good;
}

static json_t *next_row(FILE *f, char **line, size_t *capacity)
{
    ssize_t n = getline(line, capacity, f);
    if (n <= 0) return NULL;
    json_t *row = json_loadb(*line, (size_t)n, JSON_ALLOW_NUL, NULL);
    assert_non_null(row);
    return row;
}

/* --- vectors of the library --- */

static int check_encode_vectors(const plumb_tokenizer *t, const char *path, int *rows)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t capacity = 0;
    int wrong = 0;
    for (json_t *row; (row = next_row(f, &line, &capacity)); json_decref(row), ++*rows) {
        const json_t *text = json_object_get(row, "text"), *ids = json_object_get(row, "ids");
        const json_t *plain = json_object_get(row, "ids_no_special"), *decoded = json_object_get(row, "decoded");
        const json_t *skipped = json_object_get(row, "decoded_skip_special");
        wrong += !(check_ids(t, text, true, ids) && check_ids(t, text, false, plain) &&
                   check_text(t, plain, false, decoded) && check_text(t, ids, true, skipped ? skipped : decoded));
    }
    free(line);
    fclose(f);
    return wrong;
}

static int check_decode_vectors(const plumb_tokenizer *t, const char *name, const char *path, int *rows)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t capacity = 0;
    int wrong = 0;
    for (json_t *row; (row = next_row(f, &line, &capacity)); json_decref(row)) {
        if (strcmp(json_string_value(json_object_get(row, "tokenizer")), name) != 0) continue;
        const json_t *ids = json_object_get(row, "ids");
        ++*rows;
        wrong += !(check_text(t, ids, false, json_object_get(row, "decoded")) &&
                   check_text(t, ids, true, json_object_get(row, "decoded_skip_special")));
    }
    free(line);
    fclose(f);
    return wrong;
}

static void check_vectors(const char *name, const char *file, const char *folder)
{
    char vectors[512], decode[512];
    snprintf(vectors, sizeof vectors, "%s/%s.vectors.jsonl", folder, name);
    snprintf(decode, sizeof decode, "%s/decode.vectors.jsonl", folder);
    if (access(file, R_OK) != 0 || access(vectors, R_OK) != 0) {
        print_message("%s: not here (%s); skipped\n", name, file);
        skip();
    }
    plumb_tokenizer *t = must_open(file);
    int rows = 0, wrong = check_encode_vectors(t, vectors, &rows) + check_decode_vectors(t, name, decode, &rows);
    plumb_tokenizer_free(t);
    print_message("%s: %d vectors\n", name, rows);
    assert_true(rows > 700);
    assert_int_equal(wrong, 0);
}

static void check_shared(const char *name)
{
    char file[512];
    snprintf(file, sizeof file, PLUMB_SHARED_DATA "/oracle/tokenizers/%s.tokenizer.json", name);
    check_vectors(name, file, PLUMB_SHARED_DATA "/oracle/tokenizers");
}

static void test_llama_3(void **state)
{
    (void)state;
    check_shared("llama-3");
}

static void test_llama_2(void **state)
{
    (void)state;
    check_shared("llama-2");
}

static void test_mistral_v3(void **state)
{
    (void)state;
    check_shared("mistral-v3");
}

static void test_qwen2(void **state)
{
    (void)state;
    check_shared("qwen2");
}

static void test_olmo_1b(void **state)
{
    (void)state;
    check_vectors("olmo-1b", PLUMB_SHARED_DATA "/data/tokenizers/olmo-1b.tokenizer.json",
                  PLUMB_SHARED_DATA "/oracle/tokenizers");
}

static const char gemma_file[] = PLUMB_TEST_DATA "/tokenizers/gemma-style-8k.tokenizer.json";
static const char flags_file[] = PLUMB_TEST_DATA "/tokenizers/addedflags-2k.tokenizer.json";

static void test_gemma_style(void **state)
{
    (void)state;
    check_vectors("gemma-style-8k", gemma_file, PLUMB_TEST_DATA "/tokenizers");
}

static void test_added_flags(void **state)
{
    (void)state;
    check_vectors("addedflags-2k", flags_file, PLUMB_TEST_DATA "/tokenizers");
}

/* --- small tokenizers written here --- */

/* Opens a tokenizer.json in which back quotes stand for double ones. */
static plumb_status open_text(const char *json, plumb_tokenizer **t)
{
    char *text = strdup(json);
    assert_non_null(text);
    for (char *c = text; *c; c++)
        if (*c == '`') *c = '"';
    const char *path = scratch_file("tokenizer.json", text, strlen(text));
    free(text);
    return plumb_tokenizer_open(path, t);
}

/* Bytes are the whole vocabulary, so that decoding gives back the text that reached the model. */
static plumb_text small_tokenizer(const char *normalizer, const char *pre_tokenizer, const char *added)
{
    plumb_text t = {0};
    assert_null(plumb_text_printf(&t, "{`added_tokens`: [%s], `normalizer`: %s, `pre_tokenizer`: ", added ? added : "",
                                  normalizer ? normalizer : "null"));
    if (pre_tokenizer)
        assert_null(
            plumb_text_printf(&t,
                              "{`type`: `Sequence`, `pretokenizers`: [%s, {`type`: `Metaspace`, `replacement`: `|`, "
                              "`split`: false}]}",
                              pre_tokenizer));
    else
        assert_null(plumb_text_string(&t, "null"));
    assert_null(
        plumb_text_string(&t, ", `decoder`: {`type`: `ByteFallback`}, `model`: {`type`: `BPE`, `byte_fallback`: true, "
                              "`merges`: [], `vocab`: {"));
    for (int b = 0; b < 256; b++)
        assert_null(plumb_text_printf(&t, "%s`<0x%02X>`: %d", b ? ", " : "", (unsigned)b & 0xFF, b));
    assert_null(plumb_text_string(&t, "}}}"));
    return t;
}

static void test_pipeline_rows(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof pipeline_rows / sizeof *pipeline_rows; i++) {
        const char *text = pipeline_rows[i].text, *expected = pipeline_rows[i].expected;
        plumb_text json =
            small_tokenizer(pipeline_rows[i].normalizer, pipeline_rows[i].pre_tokenizer, pipeline_rows[i].added_tokens);
        plumb_tokenizer *t = NULL;
        plumb_ids ids = {0};
        plumb_text got = {0};
        plumb_status s = open_text(json.data, &t);
        if (!s) s = plumb_tokenizer_encode(t, text, strlen(text), true, &ids);
        if (!s) s = plumb_tokenizer_decode(t, ids.data, ids.count, false, &got);
        if (s || strcmp(got.data, expected) != 0) {
            print_error("row %zu, text \"%s\": expected \"%s\", got \"%s\" %s\n", i, text, expected,
                        got.data ? got.data : "", plumb_status_message(s));
            wrong++;
        }
        plumb_status_free(s);
        plumb_tokenizer_free(t);
        plumb_ids_free(&ids);
        plumb_text_free(&got);
        plumb_text_free(&json);
    }
    assert_int_equal(wrong, 0);
}

/* --- BPE --- */

static void check_encoding(const char *json, const char *text, const int32_t *expected, size_t count)
{
    plumb_tokenizer *t = NULL;
    plumb_ids ids = {0};
    plumb_status s = open_text(json, &t);
    if (!s) s = plumb_tokenizer_encode(t, text, strlen(text), false, &ids);
    if (s) fail_msg("%s", plumb_status_message(s));
    if (ids.count != count || (count && memcmp(ids.data, expected, count * sizeof *expected) != 0)) {
        print_ids("expected", expected, count);
        print_ids("got     ", ids.data, ids.count);
        fail_msg("\"%s\" through %s", text, json);
    }
    plumb_ids_free(&ids);
    plumb_tokenizer_free(t);
}

#define CHECK_ENCODING(json, text, ...)                                                                                \
    check_encoding(json, text, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_bpe(void **state)
{
    (void)state;
    /* The lowest rank first, the leftmost of equals; both spellings of merges; a file without a type. */
    CHECK_ENCODING(
        "{`model`: {`vocab`: {`a`: 0, `b`: 1, `ab`: 2, `ba`: 3, `bab`: 4}, `merges`: [`b a`, `a b`, `ba b`]}}", "abab",
        0, 4);
    CHECK_ENCODING("{`model`: {`type`: `BPE`, `vocab`: {`a`: 0, `aa`: 2}, `merges`: [[`a`, `a`]]}}", "aaa", 2, 0);
    /* A version line is no merge; of a pair that comes twice the last rank counts. */
    CHECK_ENCODING("{`model`: {`vocab`: {`a`: 0, `b`: 1, `c`: 2, `ab`: 3, `bc`: 4}, "
                   "`merges`: [`#version: 0.2`, `a b`, `b c`, `a b`]}}",
                   "abc", 0, 4);
    /* A word that the vocabulary has is taken whole, before merges. */
    CHECK_ENCODING("{`model`: {`ignore_merges`: true, `vocab`: {`a`: 0, `b`: 1, `aab`: 2}, `merges`: []}}", "aab", 2);
    /* Unknown characters: dropped, one token each, one for a run, bytes (which do not wait for the unknown before
     * them). */
    CHECK_ENCODING("{`model`: {`vocab`: {`a`: 0, `u`: 1}, `merges`: []}}", "xay", 0);
    CHECK_ENCODING("{`model`: {`unk_token`: `u`, `vocab`: {`a`: 0, `u`: 1}, `merges`: []}}", "xyaz", 1, 1, 0, 1);
    CHECK_ENCODING("{`model`: {`unk_token`: `u`, `fuse_unk`: true, `vocab`: {`a`: 0, `u`: 1}, `merges`: []}}", "xyaz",
                   1, 0, 1);
    CHECK_ENCODING(
        "{`model`: {`unk_token`: `u`, `byte_fallback`: true, `vocab`: {`a`: 0, `u`: 1, `<0x79>`: 2}, `merges`: []}}",
        "xya", 2, 1, 0);
}

static void test_unknown_without_token(void **state)
{
    (void)state;
    plumb_tokenizer *t = NULL;
    plumb_ids ids = {0};
    assert_null(open_text("{`model`: {`unk_token`: `u`, `vocab`: {`a`: 0}, `merges`: []}}", &t));
    assert_null(plumb_tokenizer_encode(t, "a", 1, false, &ids));
    plumb_status s = plumb_tokenizer_encode(t, "ab", 2, false, &ids);
    assert_non_null(strstr(plumb_status_message(s), "neither is the unk_token \"u\""));
    plumb_status_free(s);
    plumb_ids_free(&ids);
    plumb_tokenizer_free(t);
}

/* --- decoders --- */

static void check_decoding(const char *decoder, const int32_t *ids, size_t n, const char *expected)
{
    plumb_text json = {0}, got = {0};
    assert_null(plumb_text_printf(
        &json,
        "{`decoder`: %s, `model`: {`vocab`: {`_a`: 0, `b_`: 1, `<0xC3>`: 2, `<0xA9>`: 3, `\u0120x`: 4, "
        "`\u00c3`: 5, `  c  `: 6, ``: 7}, `merges`: []}}",
        decoder));
    plumb_tokenizer *t = NULL;
    plumb_status s = open_text(json.data, &t);
    if (!s) s = plumb_tokenizer_decode(t, ids, n, false, &got);
    if (s || strcmp(got.data, expected) != 0)
        fail_msg("%s: expected \"%s\", got \"%s\" %s", decoder, expected, got.data ? got.data : "",
                 plumb_status_message(s));
    plumb_tokenizer_free(t);
    plumb_text_free(&json);
    plumb_text_free(&got);
}

#define CHECK_DECODING(decoder, expected, ...)                                                                         \
    check_decoding(decoder, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t),  \
                   expected)

static void test_decoders(void **state)
{
    (void)state;
    CHECK_DECODING("null", "_a b_", 0, 1);
    CHECK_DECODING("null", "_a", -1, 0, 8, 1 << 30);
    CHECK_DECODING("{`type`: `Fuse`}", "_ab_", 0, 1);
    CHECK_DECODING("{`type`: `ByteFallback`}", "\u00e9_a\ufffd_a", 2, 3, 0, 2, 0);
    CHECK_DECODING("{`type`: `ByteFallback`}", "\ufffd\ufffd\ufffd", 2, 3, 2);
    CHECK_DECODING("{`type`: `ByteLevel`}", " x\ufffd x", 4, 5, 4);
    CHECK_DECODING("{`type`: `Metaspace`, `replacement`: `_`}", "ab  a", 0, 1, 7, 0);
    CHECK_DECODING("{`type`: `Metaspace`, `replacement`: `_`, `prepend_scheme`: `never`}", " ab ", 0, 1);
    CHECK_DECODING("{`type`: `Strip`, `content`: ` `, `start`: 1, `stop`: 3}", " c", 6);
    CHECK_DECODING("{`type`: `Replace`, `pattern`: {`Regex`: `_`}, `content`: `--`}", "--ab--", 0, 1);
    CHECK_DECODING(
        "{`type`: `Sequence`, `decoders`: [{`type`: `Replace`, `pattern`: {`String`: `_`}, `content`: ` `}, "
        "{`type`: `ByteFallback`}, {`type`: `Fuse`}, {`type`: `Strip`, `content`: ` `, `start`: 1, `stop`: 0}]}",
        "a\u00e9", 0, 2, 3);
}

/* --- single tokens, templates, folders --- */

static void test_tokens(void **state)
{
    (void)state;
    plumb_tokenizer *t = must_open(flags_file);
    size_t n = 0;
    assert_int_equal(plumb_tokenizer_id(t, "<s>", 3), 0);
    assert_int_equal(plumb_tokenizer_id(t, "<NORM>", 6), 2054);
    assert_int_equal(plumb_tokenizer_id(t, "no such token", 13), -1);
    const char *token = plumb_tokenizer_token(t, 2054, &n);
    assert_int_equal(n, 6);
    assert_memory_equal(token, "<NORM>", 6);
    assert_null(plumb_tokenizer_token(t, 5000, &n));
    assert_null(plumb_tokenizer_token(t, -1, &n));
    assert_true(plumb_tokenizer_is_special(t, 2048));
    assert_false(plumb_tokenizer_is_special(t, 2054));
    assert_false(plumb_tokenizer_is_special(t, 100));
    assert_int_equal(plumb_tokenizer_size(t), 2060);
    plumb_tokenizer_free(t);
}

static void test_template(void **state)
{
    (void)state;
    plumb_tokenizer *t = NULL;
    plumb_ids ids = {0};
    assert_null(
        open_text("{`post_processor`: {`type`: `Sequence`, `processors`: [{`type`: `ByteLevel`}, {`type`: "
                  "`TemplateProcessing`, `single`: [{`SpecialToken`: {`id`: `B`}}, {`Sequence`: {`id`: `A`}}, "
                  "{`SpecialToken`: {`id`: `E`}}], `special_tokens`: {`B`: {`ids`: [7]}, `E`: {`ids`: [8, 9]}}}]}, "
                  "`model`: {`vocab`: {`a`: 0}, `merges`: []}}",
                  &t));
    assert_null(plumb_tokenizer_encode(t, "aa", 2, true, &ids));
    assert_null(plumb_tokenizer_encode(t, "a", 1, false, &ids));
    const int32_t expected[] = {7, 0, 0, 8, 9, 0};
    assert_int_equal(ids.count, 6);
    assert_memory_equal(ids.data, expected, sizeof expected);
    plumb_ids_free(&ids);
    plumb_tokenizer_free(t);
}

static void test_folder(void **state)
{
    (void)state;
    plumb_tokenizer *t = NULL;
    const char *folder = scratch("checkpoint");
    mkdir(folder, 0777);
    plumb_status s = plumb_tokenizer_open(folder, &t);
    assert_non_null(strstr(plumb_status_message(s), "there is no tokenizer.json in this folder"));
    plumb_status_free(s);
    scratch_file("checkpoint/tokenizer.model", "x", 1);
    s = plumb_tokenizer_open(folder, &t);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    assert_non_null(strstr(plumb_status_message(s), "there is a tokenizer.model, but no tokenizer.json"));
    assert_non_null(strstr(plumb_status_cure(s), "AutoTokenizer"));
    plumb_status_free(s);
    const char json[] = "{\"model\": {\"vocab\": {\"a\": 3}, \"merges\": []}}";
    scratch_file("checkpoint/tokenizer.json", json, sizeof json - 1);
    assert_null(plumb_tokenizer_open(folder, &t));
    assert_int_equal(plumb_tokenizer_size(t), 4);
    plumb_tokenizer_free(t);
}

static void test_bad_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"ab\xFF", "ab\xC3", "ab\xED\xA0\x80", "ab\xC0\x80", "ab\xF4\x90\x80\x80",
                                        "ab\x80"};
    plumb_tokenizer *t = must_open(flags_file);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        plumb_ids ids = {0};
        plumb_status s = plumb_tokenizer_encode(t, texts[i], strlen(texts[i]), true, &ids);
        assert_non_null(strstr(plumb_status_message(s), "not UTF-8 at byte 2"));
        plumb_status_free(s);
        plumb_ids_free(&ids);
    }
    plumb_tokenizer_free(t);
}

/* --- damaged files --- */

#define MODEL "`model`: {`type`: `BPE`, `vocab`: {`a`: 0, `b`: 1, `ab`: 2}, `merges`: [`a b`]}"
#define FLAGS "`single_word`: false, `lstrip`: false, `rstrip`: false, `normalized`: false, `special`: false"

static const struct {
    const char *json;
    const char *message;
} damaged[] = {
    {"", "not valid JSON"},
    {"{", "not valid JSON"},
    {"[]", "it holds a list; expected an object"},
    {"{}", "\"model\" is missing; expected an object"},
    {"{`version`: `2.0`, " MODEL "}", "\"version\" is \"2.0\""},
    {"{`model`: {}}", "model: it has neither a \"type\" nor \"merges\""},
    {"{`model`: {`type`: `Unigram`}}", "model: the type \"Unigram\" is not built"},
    {"{`model`: {`type`: `WordPiece`, `vocab`: {}}}", "model: the type \"WordPiece\" is not built"},
    {"{`model`: {`type`: 7}}", "model: \"type\" is a number; expected a string"},
    {"{`model`: {`type`: `BPE`, `merges`: []}}", "model: \"vocab\" is missing; expected an object"},
    {"{`model`: {`type`: `BPE`, `vocab`: []}}", "model: \"vocab\" is a list; expected an object"},
    {"{`model`: {`type`: `BPE`, `vocab`: {}}}", "model: \"merges\" is missing; expected a list"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: `0`}, `merges`: []}}",
     "model: vocab: \"a\" has an id that is not a number"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: -1}, `merges`: []}}",
     "model: vocab: \"a\" has an id that is not a number"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 16777216}, `merges`: []}}", "from 0 to 16777215"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 1.5}, `merges`: []}}", "model: vocab: \"a\""},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 3, `b`: 3}, `merges`: []}}",
     "model: vocab: \"a\" and \"b\" have the same id, 3"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 0}, `merges`: [`a b`]}}",
     "model: merges[0]: \"b\" is not in the vocabulary"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 0, `b`: 1}, `merges`: [`a b`]}}",
     "merges[0]: \"ab\" is not in the vocabulary"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 0}, `merges`: [`a`]}}", "merges[0]: \"a\" is not two tokens"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 0}, `merges`: [`a a a`]}}", "merges[0]: \"a a a\" is not two tokens"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 0}, `merges`: [[`a`]]}}",
     "merges[0]: expected a string \"a b\" or a pair"},
    {"{`model`: {`type`: `BPE`, `vocab`: {`a`: 0, `aa`: 1}, `merges`: [`a a`, [`a`, `a`]]}}",
     "merges[1]: strings and pairs are mixed"},
    {"{`model`: {`type`: `BPE`, `vocab`: {}, `merges`: [], `dropout`: 0.1}}", "\"dropout\" would make the ids random"},
    {"{`model`: {`vocab`: {}, `merges`: [], `continuing_subword_prefix`: `##`}}",
     "a \"continuing_subword_prefix\" is not built"},
    {"{`model`: {`vocab`: {}, `merges`: [], `end_of_word_suffix`: `</w>`}}", "a \"end_of_word_suffix\" is not built"},
    {"{`model`: {`vocab`: {}, `merges`: [], `byte_fallback`: 1}}",
     "\"byte_fallback\" is a number; expected true or false"},
    {"{`model`: {`vocab`: {}, `merges`: [], `unk_token`: 0}}", "\"unk_token\" is a number; expected a string"},
    {"{`normalizer`: {`type`: `BertNormalizer`}, " MODEL "}", "normalizer: the type \"BertNormalizer\" is not built"},
    {"{`normalizer`: 1, " MODEL "}", "normalizer: it is a number; expected an object"},
    {"{`normalizer`: {}, " MODEL "}", "normalizer: \"type\" is missing"},
    {"{`normalizer`: {`type`: `Prepend`}, " MODEL "}",
     "normalizer: Prepend: \"prepend\" is missing; expected a string"},
    {"{`normalizer`: {`type`: `Sequence`, `normalizers`: [null, {`type`: `Strip`}]}, " MODEL "}",
     "normalizer: normalizers[1]: Strip: \"strip_left\" is missing; expected true or false"},
    {"{`normalizer`: {`type`: `Replace`, `pattern`: {}, `content`: ``}, " MODEL "}",
     "normalizer: Replace: \"pattern\" has neither a \"String\" nor a \"Regex\""},
    {"{`pre_tokenizer`: {`type`: `BertPreTokenizer`}, " MODEL "}",
     "pre_tokenizer: the type \"BertPreTokenizer\" is not built"},
    {"{`pre_tokenizer`: {`type`: `Metaspace`, `replacement`: `ab`}, " MODEL "}",
     "\"replacement\" is \"ab\"; expected one character"},
    {"{`pre_tokenizer`: {`type`: `Metaspace`, `replacement`: `_`, `prepend_scheme`: `x`}, " MODEL "}",
     "expected always, first or never"},
    {"{`pre_tokenizer`: {`type`: `Metaspace`, `replacement`: `_`, `prepend_scheme`: `first`, `add_prefix_space`: "
     "false}, " MODEL "}",
     "contradicts"},
    {"{`pre_tokenizer`: {`type`: `Split`, `pattern`: {`String`: `a`}, `behavior`: `x`, `invert`: false}, " MODEL "}",
     "\"behavior\" is \"x\""},
    {"{`decoder`: {`type`: `WordPiece`}, " MODEL "}", "decoder: the type \"WordPiece\" is not built"},
    {"{`decoder`: {`type`: `Strip`, `content`: ` `, `start`: -1, `stop`: 0}, " MODEL "}", "\"start\" is -1"},
    {"{`post_processor`: {`type`: `RobertaProcessing`}, " MODEL "}",
     "post_processor: the type \"RobertaProcessing\" is not built"},
    {"{`post_processor`: {`type`: `TemplateProcessing`, `single`: [{`SpecialToken`: {`id`: `x`}}], `special_tokens`: "
     "{}}, " MODEL "}",
     "post_processor: TemplateProcessing: single[0]: special_tokens: \"x\" is missing"},
    {"{`post_processor`: {`type`: `TemplateProcessing`, `single`: [{`Sequence`: {`id`: `B`}}]}, " MODEL "}",
     "the sequence \"B\""},
    {"{`post_processor`: {`type`: `TemplateProcessing`, `single`: [{`SpecialToken`: {`id`: `x`}}], `special_tokens`: "
     "{`x`: {`ids`: [-2]}}}, " MODEL "}",
     "has an id that is not a number"},
    {"{`added_tokens`: {}, " MODEL "}", "\"added_tokens\" is an object; expected a list"},
    {"{`added_tokens`: [1], " MODEL "}", "added_tokens: [0]: it is a number; expected an object"},
    {"{`added_tokens`: [{`content`: `x`}], " MODEL "}", "added_tokens: [0]: \"id\" is missing; expected a number"},
    {"{`added_tokens`: [{`id`: -3, `content`: `x`}], " MODEL "}",
     "added_tokens: [0]: \"id\" is -3; expected a number from 0 to"},
    {"{`added_tokens`: [{`id`: 99999999999, `content`: `x`}], " MODEL "}", "\"id\" is 99999999999"},
    {"{`added_tokens`: [{`id`: 3}], " MODEL "}", "added_tokens: [0]: \"content\" is missing; expected a string"},
    {"{`added_tokens`: [{`id`: 3, `content`: ` `, `normalized`: true, `single_word`: false, `lstrip`: false, `rstrip`: "
     "false, `special`: false}], `normalizer`: {`type`: `Strip`, `strip_left`: true, `strip_right`: true}, " MODEL "}",
     "added_tokens: the normal form of \" \" is empty"},
    {"{`added_tokens`: [{`id`: 3, `content`: `x`}], " MODEL "}", "\"single_word\" is missing; expected true or false"},
    {"{`added_tokens`: [{`id`: 1, `content`: `x`, " FLAGS "}, {`id`: 1, `content`: `c`, " FLAGS "}], "
     "`model`: {`vocab`: {`c`: 1}, `merges`: []}}",
     "\"x\" and \"c\" would both get the id 1"},
};

static void check_message(const char *json, const char *message)
{
    plumb_tokenizer *t = NULL;
    plumb_status s = open_text(json, &t);
    if (plumb_status_code(s) != PLUMB_E_INPUT || !strstr(plumb_status_message(s), message) ||
        !strstr(plumb_status_message(s), "tokenizer.json"))
        fail_msg("%s: expected \"%s\", got \"%s\"", json, message, plumb_status_message(s));
    plumb_status_free(s);
}

static void test_damaged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) check_message(damaged[i].json, damaged[i].message);
}

static const struct {
    const char *pattern;
    const char *message;
} bad_patterns[] = {
    {"(a", "a group without its"},
    {"a)", "without its \\\"(\\\""},
    {"[a", "a class without its"},
    {"*a", "nothing before it"},
    {"a{3,2}", "runs backwards"},
    {"[b-a]", "runs backwards"},
    {"\\\\p{Nonsense}", "a Unicode property that is not built"},
    {"\\\\pL", "without a name"},
    {"(a)\\\\1", "a back reference"},
    {"\\\\K", "an escape that is not built"},
    {"(?~a)", "a kind of group that is not built"},
    {"\\\\", "a backslash at the end"},
    {"[[:nonsense:]]", "a class name"},
    {"\\\\x{110000}", "beyond U+10FFFF"},
    {"(?<=a*)", "lookbehind"},
    {"[a-\\\\s]", "a range that ends in a class"},
    {"[a-[b]]", "a range that ends in a class"},
    {"a{70000}", "more than 65535"},
    {"((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((",
     "too deeply"},
};

static void test_bad_patterns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_patterns / sizeof *bad_patterns; i++) {
        char json[1024], message[128] = "";
        snprintf(json, sizeof json,
                 "{`normalizer`: {`type`: `Replace`, `pattern`: {`Regex`: `%s`}, `content`: ``}, " MODEL "}",
                 bad_patterns[i].pattern);
        for (const char *c = bad_patterns[i].message; *c; c++)
            if (*c != '\\') message[strlen(message)] = *c;
        check_message(json, message);
    }
}

/* Exponential for a backtracking matcher: an error, not a hang. */
static void test_hostile_pattern(void **state)
{
    (void)state;
    plumb_tokenizer *t = NULL;
    plumb_ids ids = {0};
    assert_null(open_text(
        "{`pre_tokenizer`: {`type`: `Split`, `pattern`: {`Regex`: `(?:a|a|[ab])+(?<=c)`}, `behavior`: `Isolated`, "
        "`invert`: false}, " MODEL "}",
        &t));
    char text[60];
    memset(text, 'a', sizeof text);
    plumb_status s = plumb_tokenizer_encode(t, text, sizeof text, true, &ids);
    assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
    assert_non_null(strstr(plumb_status_message(s), "cannot be matched against this text"));
    plumb_status_free(s);
    plumb_ids_free(&ids);
    plumb_tokenizer_free(t);
}

static void test_nesting(void **state)
{
    (void)state;
    plumb_text json = {0};
    assert_null(plumb_text_string(&json, "{`decoder`: "));
    for (int i = 0; i < 40; i++) assert_null(plumb_text_string(&json, "{`type`: `Sequence`, `decoders`: ["));
    for (int i = 0; i < 40; i++) assert_null(plumb_text_string(&json, "]}"));
    assert_null(plumb_text_string(&json, ", " MODEL "}"));
    check_message(json.data, "sequences within sequences");
    plumb_text_free(&json);
}

/* --- a long text that is one word for the model --- */

static void test_long_text(void **state)
{
    (void)state;
    static const char *const parts[] = {"The quick brown fox ",
                                        "jumps over 13 lazy dogs.\n",
                                        "caf\u00e9 \u4e2d\u6587 \U0001F600 ",
                                        "    ",
                                        "aaaaaaaaaaaaaaaa",
                                        "\t\u00a0"};
    plumb_tokenizer *t = must_open(gemma_file);
    plumb_text text = {0}, back = {0};
    plumb_ids ids = {0};
    uint32_t random = 1;
    while (text.size < 1000000) {
        random = random * 1664525U + 1013904223U;
        assert_null(plumb_text_string(&text, parts[(random >> 16) % 6]));
    }
    assert_null(plumb_tokenizer_encode(t, text.data, text.size, false, &ids));
    assert_null(plumb_tokenizer_decode(t, ids.data, ids.count, false, &back));
    assert_int_equal(back.size, text.size);
    assert_memory_equal(back.data, text.data, text.size);
    assert_true(ids.count < text.size);
    plumb_text_free(&text);
    plumb_text_free(&back);
    plumb_ids_free(&ids);
    plumb_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama_3),      cmocka_unit_test(test_llama_2),
        cmocka_unit_test(test_mistral_v3),   cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_olmo_1b),      cmocka_unit_test(test_gemma_style),
        cmocka_unit_test(test_added_flags),  cmocka_unit_test(test_pipeline_rows),
        cmocka_unit_test(test_bpe),          cmocka_unit_test(test_unknown_without_token),
        cmocka_unit_test(test_decoders),     cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_template),     cmocka_unit_test(test_folder),
        cmocka_unit_test(test_bad_text),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_bad_patterns), cmocka_unit_test(test_hostile_pattern),
        cmocka_unit_test(test_nesting),      cmocka_unit_test(test_long_text),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
