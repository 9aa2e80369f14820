/* The input is a tokenizer.json, a zero byte and a text; an input that does not begin with "{" is a text for a
 * tokenizer of the test data. Ids must be within the vocabulary and decode without a fault. */
#include "fuzz.h"
#include "text/tokenizer.h"

static void encode_and_decode(const plumb_tokenizer *t, const char *text, size_t size)
{
    for (int special = 0; special < 2; special++) {
        plumb_ids ids = {0};
        plumb_text decoded = {0};
        plumb_status s = plumb_tokenizer_encode(t, text, size, special, &ids);
        for (size_t i = 0; i < ids.count; i++) must(ids.data[i] >= 0 && ids.data[i] < plumb_tokenizer_size(t));
        if (!s) s = plumb_tokenizer_decode(t, ids.data, ids.count, special, &decoded);
        plumb_status_free(s);
        plumb_text_free(&decoded);
        plumb_ids_free(&ids);
    }
}

static void check_vocabulary(const plumb_tokenizer *t)
{
    for (int32_t id = -1; id <= plumb_tokenizer_size(t) && id < 100000; id++) {
        size_t n = 0;
        const char *token = plumb_tokenizer_token(t, id, &n);
        if (token) must(plumb_tokenizer_id(t, token, n) >= 0);
        (void)plumb_tokenizer_is_special(t, id);
    }
}

/* Opened once and kept: only its texts change. */
static const plumb_tokenizer *known_tokenizer(void)
{
    static plumb_tokenizer *known;
    if (!known) must(!plumb_tokenizer_open(PLUMB_TEST_DATA "/models/llama3-bf16/tokenizer.json", &known));
    return known;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char usual[] = "The sky is blue.\n  2024 \xC3\xA9\xE4\xB8\xAD";
    if (!size || data[0] != '{') {
        encode_and_decode(known_tokenizer(), (const char *)data, size);
        return 0;
    }
    size_t n = fuzz_first_part(data, size);
    fuzz_file f = fuzz_file_open(data, n);
    plumb_tokenizer *t = NULL;
    plumb_status s = plumb_tokenizer_open(f.path, &t);
    if (!s) {
        check_vocabulary(t);
        if (n < size)
            encode_and_decode(t, (const char *)data + n + 1, size - n - 1);
        else
            encode_and_decode(t, usual, sizeof usual - 1);
        plumb_tokenizer_free(t);
    } else {
        must(plumb_status_code(s) == PLUMB_E_INPUT && plumb_status_message(s)[0]);
    }
    plumb_status_free(s);
    fuzz_file_close(&f);
    return 0;
}
