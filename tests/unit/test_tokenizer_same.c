/* Whether two tokenizer.json files give the same ids, part by part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scratch.h"
#include "text/tokenizer_same.h"

#define MODEL(vocab, merges) "{\"type\":\"BPE\",\"unk_token\":null,\"vocab\":" vocab ",\"merges\":" merges "}"
#define FILE_OF(model, added, normalizer, pre)                                                                         \
    "{\"version\":\"1.0\",\"model\":" model ",\"added_tokens\":[" added "],\"normalizer\":" normalizer                 \
    ",\"pre_tokenizer\":" pre ",\"post_processor\":null}"
#define VOCAB  "{\"a\":0,\"b\":1,\" \":2,\"ab\":3,\"aba\":4}"
#define MERGES "[\"a b\",\"ab a\"]"
#define EOS    "{\"id\":5,\"content\":\"</s>\",\"special\":true,\"lstrip\":false}"
#define PAD    "{\"id\":6,\"content\":\"<pad>\",\"special\":true}"
#define BASE   FILE_OF(MODEL(VOCAB, MERGES), EOS "," PAD, "{\"type\":\"NFC\"}", "null")

static const char base[] = BASE;

static const struct {
    const char *file, *part; /* NULL: the same */
} cases[] = {
    {BASE, NULL},
    {FILE_OF(MODEL("{\"aba\":4,\"b\":1,\" \":2,\"ab\":3,\"a\":0}", MERGES), EOS "," PAD, "{\"type\":\"NFC\"}", "null"),
     NULL},
    {FILE_OF(MODEL(VOCAB, "[[\"a\",\"b\"],[\"ab\",\"a\"]]"), EOS "," PAD, "{\"type\":\"NFC\"}", "null"), NULL},
    {FILE_OF(MODEL(VOCAB, "[\"#version: 0.2\",\"a b\",\"ab a\"]"), EOS "," PAD, "{\"type\":\"NFC\"}", "null"), NULL},
    {FILE_OF(MODEL(VOCAB, MERGES), PAD "," EOS, "{\"type\":\"NFC\"}", "null"), NULL},
    {FILE_OF("{\"type\":\"BPE\",\"byte_fallback\":false,\"vocab\":" VOCAB ",\"merges\":" MERGES "}", EOS "," PAD,
             "{\"type\":\"NFC\"}", "null"),
     NULL},
    {FILE_OF(MODEL("{\"a\":1,\"b\":0,\" \":2,\"ab\":3,\"aba\":4}", MERGES), EOS "," PAD, "{\"type\":\"NFC\"}", "null"),
     "vocabularies"},
    {FILE_OF(MODEL("{\"a\":0,\"b\":1,\" \":2,\"ab\":3,\"aba\":4,\"c\":7}", MERGES), EOS "," PAD, "{\"type\":\"NFC\"}",
             "null"),
     "vocabularies"},
    {FILE_OF(MODEL(VOCAB, "[\"ab a\",\"a b\"]"), EOS "," PAD, "{\"type\":\"NFC\"}", "null"), "merges"},
    {FILE_OF(MODEL(VOCAB, "[[\"a\",\"b\"],[\"a\",\"ba\"]]"), EOS "," PAD, "{\"type\":\"NFC\"}", "null"), "merges"},
    {FILE_OF(MODEL(VOCAB, "[\"a b\"]"), EOS "," PAD, "{\"type\":\"NFC\"}", "null"), "merges"},
    {FILE_OF("{\"type\":\"BPE\",\"ignore_merges\":true,\"vocab\":" VOCAB ",\"merges\":" MERGES "}", EOS "," PAD,
             "{\"type\":\"NFC\"}", "null"),
     "ignore_merges"},
    {FILE_OF(MODEL(VOCAB, MERGES), EOS, "{\"type\":\"NFC\"}", "null"), "added tokens"},
    {FILE_OF(MODEL(VOCAB, MERGES), "{\"id\":5,\"content\":\"</s>\",\"special\":true,\"lstrip\":true}," PAD,
             "{\"type\":\"NFC\"}", "null"),
     "added tokens"},
    {FILE_OF(MODEL(VOCAB, MERGES), EOS "," PAD, "null", "null"), "normalizers"},
    {FILE_OF(MODEL(VOCAB, MERGES), EOS "," PAD, "{\"type\":\"NFC\"}", "{\"type\":\"ByteLevel\"}"), "pre-tokenizers"},
};

static void parts_are_compared(void **state)
{
    (void)state;
    char path[1024], other[1024];
    snprintf(path, sizeof path, "%s", scratch_file("base.json", base, sizeof base - 1));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *orders[2], *part;
        snprintf(other, sizeof other, "%s", scratch_file("other.json", cases[i].file, strlen(cases[i].file)));
        orders[0] = path;
        orders[1] = other;
        for (int k = 0; k < 2; k++) { /* from both sides */
            assert_ok(plumb_tokenizer_compare(orders[k], orders[!k], &part));
            if (!part != !cases[i].part || (part && strcmp(part, cases[i].part) != 0))
                fail_msg("case %d: %s differ, expected %s", (int)i, part ? part : "no parts",
                         cases[i].part ? cases[i].part : "none");
        }
    }
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    const char *part;
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_file("base.json", base, sizeof base - 1));
    assert_says(plumb_tokenizer_compare(path, scratch("missing.json"), &part), PLUMB_E_INPUT, "missing.json");
    assert_says(plumb_tokenizer_compare(scratch_file("broken.json", "{", 1), path, &part), PLUMB_E_INPUT,
                "broken.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_compared),
        cmocka_unit_test(files_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
