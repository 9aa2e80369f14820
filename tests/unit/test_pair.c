/* From a row to tokens: where the responses begin, how they end, what is cut, what cannot be scored. That the tokens
 * are TRL's and the paper's is tested in tests/parity/test_pairs.c. */
#include "support.h"

#include <time.h>

#include "align/pair.h"
#include "scratch.h"

static const plumb_preference_keys keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE};

static plumb_encoder *open_encoder(const char *model)
{
    plumb_encoder *e;
    check_ok(plumb_encoder_open(oracle_path("models", model), NULL, -1, &e));
    return e;
}

/* Makes the pair of one row of JSON. */
static plumb_status make(const plumb_pairing *how, const char *row, plumb_pair *out)
{
    plumb_preference p = {0};
    check_ok(plumb_preference_parse(row, strlen(row), &keys, &p));
    plumb_status s = plumb_pair_make(how, &p, out);
    plumb_preference_clear(&p);
    return s;
}

static plumb_pair made(const plumb_pairing *how, const char *row)
{
    plumb_pair p = {0};
    check_ok(make(how, row, &p));
    return p;
}

static void encoded(const plumb_encoder *e, const char *text, bool special, plumb_ids *out)
{
    check_ok(plumb_tokenizer_encode(e->tokenizer, text, strlen(text), special, out));
}

static void same_ids(const plumb_ids *got, const plumb_ids *want)
{
    assert_int_equal(got->count, want->count);
    for (size_t i = 0; i < got->count; i++) assert_int_equal(got->data[i], want->data[i]);
}

static void side_is(const plumb_encoder *e, const plumb_pair *p, int side, const char *text, bool special)
{
    plumb_ids want = {0};
    encoded(e, text, special, &want);
    same_ids(&p->ids[side], &want);
    plumb_ids_free(&want);
}

static int32_t token(const plumb_encoder *e, const char *text)
{
    int32_t id = plumb_tokenizer_id(e->tokenizer, text, strlen(text));
    if (id < 0) fail_msg("no token %s", text);
    return id;
}

/* ---- the date in a template ---- */

static void rendered(const plumb_encoder *e, const char *want)
{
    plumb_text out = {0};
    json_t *messages = json_array();
    check_ok(plumb_encoder_render(e, messages, false, &out));
    assert_string_equal(out.data, want);
    plumb_text_free(&out);
    json_decref(messages);
}

static void one_run_has_one_date(void **state)
{
    (void)state;
    static const char source[] = "{{ strftime_now('%Y-%m-%d %H:%M:%S') }}";
    plumb_encoder *e;
    setenv("TZ", "UTC0", 1);
    int64_t before = (int64_t)time(NULL);
    check_ok(plumb_encoder_open(oracle_path("models", "olmo"), scratch_file("date.jinja", source, sizeof source - 1),
                                -1, &e));
    assert_in_range(e->now, before, (int64_t)time(NULL));
    e->now = 1736467200; /* the caller's */
    for (int i = 0; i < 2; i++) rendered(e, "2025-01-10 00:00:00");
    e->now += 86399;
    rendered(e, "2025-01-10 23:59:59");
    plumb_encoder_close(e);
}

/* ---- ends and beginnings ---- */

static void plain_responses_are_closed_once(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("olmo");
    plumb_pairing how = {.encoder = e};
    plumb_pair p = made(&how, "{\"prompt\":\"Hello\",\"chosen\":\" world\",\"rejected\":\" there<|endoftext|>\"}");
    side_is(e, &p, 0, "Hello world<|endoftext|>", true);
    side_is(e, &p, 1, "Hello there<|endoftext|>", true);
    for (int s = 0; s < 2; s++) {
        assert_int_equal(p.ids[s].data[p.ids[s].count - 1], token(e, "<|endoftext|>"));
        assert_int_not_equal(p.ids[s].data[p.ids[s].count - 2], token(e, "<|endoftext|>"));
    }
    plumb_pair_free(&p);
    p = made(&how, "{\"prompt\":\"Hello\",\"chosen\":\"\",\"rejected\":\"<|endoftext|> \"}");
    side_is(e, &p, 0, "Hello<|endoftext|>", true); /* an empty response is its end */
    side_is(e, &p, 1, "Hello<|endoftext|> <|endoftext|>", true);
    assert_int_equal(p.skip, PLUMB_SKIP_NONE);
    assert_int_equal((int)p.ids[0].count - p.prompt, 1);
    plumb_pair_free(&p);
    plumb_encoder_close(e);
}

static void bos_stands_before_plain_prompts(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("llama2");
    plumb_pairing trl = {.encoder = e}, official = {.encoder = e, .compat = PLUMB_COMPAT_OFFICIAL};
    plumb_pair p = made(&trl, "{\"prompt\":\"Hello\",\"chosen\":\" a\",\"rejected\":\" b\"}");
    assert_int_equal(p.ids[0].data[0], token(e, "<s>"));
    assert_int_equal(p.ids[0].data[p.ids[0].count - 1], token(e, "</s>"));
    plumb_pair_free(&p);
    p = made(&trl, "{\"prompt\":\"\",\"chosen\":\"a\",\"rejected\":\"b\"}");
    assert_int_equal(p.prompt, 1); /* BOS alone predicts the first token */
    assert_int_equal(p.skip, PLUMB_SKIP_NONE);
    plumb_pair_free(&p);
    p = made(&official, "{\"prompt\":\"Hello\",\"chosen\":\" a\",\"rejected\":\" b\"}");
    side_is(e, &p, 0, "Hello a", false); /* neither BOS nor EOS */
    side_is(e, &p, 1, "Hello b", false);
    assert_int_not_equal(p.ids[0].data[0], token(e, "<s>"));
    plumb_pair_free(&p);
    plumb_encoder_close(e);
}

#define CHAT_ROW                                                                                                       \
    "{\"prompt\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"Yes.\"}]," \
    "\"rejected\":[{\"role\":\"assistant\",\"content\":\"No way.\"}]}"
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"

static void templates_close_turns(void **state)
{
    (void)state;
    static const char prompt[] = "<|begin_of_text|>" HEADER("user") "Hi<|eot_id|>" HEADER("assistant");
    plumb_encoder *e = open_encoder("llama3-chat-sharded");
    plumb_pairing how = {.encoder = e};
    plumb_pair p = made(&how, CHAT_ROW);
    char text[300];
    snprintf(text, sizeof text, "%sYes.<|eot_id|>", prompt);
    side_is(e, &p, 0, text, false);
    snprintf(text, sizeof text, "%sNo way.<|eot_id|>", prompt);
    side_is(e, &p, 1, text, false);
    plumb_ids want = {0};
    encoded(e, prompt, false, &want);
    assert_int_equal(p.prompt, want.count);
    assert_true(p.boundary_clean);
    plumb_ids_free(&want);
    plumb_pair_free(&p);
    /* the paper's code: the same prompt, the response raw; a string prompt is a user turn */
    static const char *const rows[] = {CHAT_ROW, "{\"prompt\":\"Hi\",\"chosen\":\"Yes.\",\"rejected\":\"No way.\"}"};
    how.compat = PLUMB_COMPAT_OFFICIAL;
    for (int i = 0; i < 2; i++) {
        p = made(&how, rows[i]);
        snprintf(text, sizeof text, "%sYes.", prompt);
        side_is(e, &p, 0, text, false);
        snprintf(text, sizeof text, "%sNo way.", prompt);
        side_is(e, &p, 1, text, false);
        plumb_pair_free(&p);
    }
    plumb_encoder_close(e);
}

static void longer_conversations(void **state)
{
    (void)state;
    static const char row[] =
        "{\"prompt\":[{\"role\":\"user\",\"content\":\"Hi\"}],"
        "\"chosen\":[{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},"
        "{\"role\":\"assistant\",\"content\":\"c\"}],\"rejected\":[{\"role\":\"assistant\",\"content\":\"d\"}]}";
    plumb_encoder *e = open_encoder("llama3-chat-sharded");
    plumb_pairing how = {.encoder = e};
    plumb_pair p = made(&how, row), q = {0};
    side_is(e, &p, 0,
            "<|begin_of_text|>" HEADER("user") "Hi<|eot_id|>" HEADER("assistant") "a<|eot_id|>" HEADER(
                "user") "b<|eot_id|>" HEADER("assistant") "c<|eot_id|>",
            false);
    plumb_pair_free(&p);
    how.compat = PLUMB_COMPAT_OFFICIAL;
    assert_says(make(&how, row, &q), PLUMB_E_INPUT, "a response of 3 messages");
    plumb_pair_free(&q);
    plumb_encoder_close(e);
}

/* ---- the boundary ---- */

/* "s" + "tate" shares a token in these tokenizers: a merge across the boundary, on one side only. */
static void boundary_is_where_the_tokens_agree(void **state)
{
    (void)state;
    static const char *const models[] = {"olmo", "llama2", "gemma-bf16", "llama3-bf16"};
    int unclean = 0;
    for (int m = 0; m < 4; m++) {
        plumb_encoder *e = open_encoder(models[m]);
        static const struct {
            const char *row, *prompt;
        } rows[] = {{"{\"prompt\":\"The s\",\"chosen\":\"tate\",\"rejected\":\" x\"}", "The s"},
                    {"{\"prompt\":\"The s\",\"chosen\":\" x\",\"rejected\":\"tate\"}", "The s"},
                    {"{\"prompt\":\"t\",\"chosen\":\"he\",\"rejected\":\"?\"}", "t"},
                    {"{\"prompt\":\"the  \",\"chosen\":\"  the\",\"rejected\":\"?\"}", "the  "},
                    {"{\"prompt\":\"A. \",\"chosen\":\" B\",\"rejected\":\" C\"}", "A. "}};
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            plumb_ids prompt = {0};
            plumb_pairing how = {.encoder = e};
            plumb_pair p = made(&how, rows[i].row);
            encoded(e, rows[i].prompt, true, &prompt);
            size_t agreed = prompt.count;
            for (int s = 0; s < 2; s++)
                for (size_t k = 0; k < agreed; k++)
                    if (k >= p.ids[s].count || p.ids[s].data[k] != prompt.data[k]) agreed = k;
            assert_int_equal(p.prompt, agreed);
            assert_int_equal(p.boundary_clean, agreed == prompt.count);
            unclean += !p.boundary_clean;
            plumb_pair_free(&p);
            how.compat = PLUMB_COMPAT_OFFICIAL; /* the prompt's own tokens, whatever becomes of them */
            p = made(&how, rows[i].row);
            prompt.count = 0;
            encoded(e, rows[i].prompt, false, &prompt);
            assert_int_equal(p.prompt, prompt.count);
            plumb_pair_free(&p);
            plumb_ids_free(&prompt);
        }
        plumb_encoder_close(e);
    }
    assert_true(unclean >= 12); /* the rows are chosen so that the rule matters */
}

/* ---- skipped rows ---- */

static const struct skip_row {
    const char *row;
    plumb_compat compat;
    int max_length;
    plumb_skip skip;
} skip_rows[] = {
    {"{\"prompt\":\"\",\"chosen\":\"a\",\"rejected\":\"b\"}", PLUMB_COMPAT_TRL, 0, PLUMB_SKIP_NO_PROMPT_TOKEN},
    {"{\"prompt\":\"\",\"chosen\":\"a\",\"rejected\":\"b\"}", PLUMB_COMPAT_OFFICIAL, 0, PLUMB_SKIP_NO_PROMPT_TOKEN},
    {"{\"prompt\":\"\",\"chosen\":\"\",\"rejected\":\"\"}", PLUMB_COMPAT_TRL, 0, PLUMB_SKIP_NO_PROMPT_TOKEN},
    {"{\"prompt\":\"x\",\"chosen\":\"\",\"rejected\":\"b\"}", PLUMB_COMPAT_TRL, 0, PLUMB_SKIP_NONE},
    {"{\"prompt\":\"x\",\"chosen\":\"\",\"rejected\":\"b\"}", PLUMB_COMPAT_OFFICIAL, 0, PLUMB_SKIP_EMPTY_RESPONSE},
    {"{\"prompt\":\"x\",\"chosen\":\"a\",\"rejected\":\"\"}", PLUMB_COMPAT_OFFICIAL, 0, PLUMB_SKIP_EMPTY_RESPONSE},
    {"{\"prompt_ids\":[],\"chosen_ids\":[1],\"rejected_ids\":[2]}", PLUMB_COMPAT_TRL, 0, PLUMB_SKIP_NO_PROMPT_TOKEN},
    {"{\"prompt_ids\":[],\"chosen_ids\":[1,1,1],\"rejected_ids\":[2]}", PLUMB_COMPAT_TRL, 2,
     PLUMB_SKIP_NO_PROMPT_TOKEN},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[],\"rejected_ids\":[2]}", PLUMB_COMPAT_TRL, 0, PLUMB_SKIP_EMPTY_RESPONSE},
    {"{\"prompt_ids\":[1],\"chosen_ids\":[2],\"rejected_ids\":[]}", PLUMB_COMPAT_TRL, 1, PLUMB_SKIP_EMPTY_RESPONSE},
    {"{\"prompt_ids\":[1,2,3],\"chosen_ids\":[4],\"rejected_ids\":[5]}", PLUMB_COMPAT_TRL, 3,
     PLUMB_SKIP_PROMPT_TOO_LONG},
    {"{\"prompt_ids\":[1,2,3],\"chosen_ids\":[4],\"rejected_ids\":[5]}", PLUMB_COMPAT_OFFICIAL, 2,
     PLUMB_SKIP_PROMPT_TOO_LONG},
    {"{\"prompt_ids\":[1,2,3],\"chosen_ids\":[4],\"rejected_ids\":[5]}", PLUMB_COMPAT_TRL, 4, PLUMB_SKIP_NONE},
    {"{\"prompt_ids\":[1,2,3],\"chosen_ids\":[4],\"rejected_ids\":[5]}", PLUMB_COMPAT_TRL, 0, PLUMB_SKIP_NONE},
};

static void rows_that_cannot_be_scored(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("olmo");
    for (size_t i = 0; i < sizeof skip_rows / sizeof *skip_rows; i++) {
        plumb_pairing how = {.encoder = e, .compat = skip_rows[i].compat, .max_length = skip_rows[i].max_length};
        plumb_pair p = made(&how, skip_rows[i].row);
        if (p.skip != skip_rows[i].skip)
            fail_msg("%s: \"%s\", expected \"%s\"", skip_rows[i].row, plumb_skip_name(p.skip),
                     plumb_skip_name(skip_rows[i].skip));
        plumb_pair_free(&p);
    }
    plumb_encoder_close(e);
    assert_string_equal(plumb_skip_name(PLUMB_SKIP_NONE), "");
    assert_string_equal(plumb_skip_name(PLUMB_SKIP_PROMPT_TOO_LONG), "prompt_too_long");
    assert_string_equal(plumb_skip_name(PLUMB_SKIP_EMPTY_RESPONSE), "empty_response");
    assert_string_equal(plumb_skip_name(PLUMB_SKIP_NO_PROMPT_TOKEN), "no_prompt_token");
    assert_string_equal(plumb_skip_name(PLUMB_SKIP_BAD_ROW), "bad_row");
}

/* ---- ids, cuts, shared beginnings ---- */

static void ids_are_joined_and_cut(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        int max_length, counts[2], shared;
        bool truncated;
    } rows[] = {
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[4,5]}", 0, {3, 4}, 2, false},
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[4,5]}", 4, {3, 4}, 2, false},
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[4,5]}", 3, {3, 3}, 2, true},
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[3,5]}", 0, {3, 4}, 3, false}, /* a whole side */
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3,5],\"rejected_ids\":[3]}", 0, {4, 3}, 3, false},
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3,4],\"rejected_ids\":[3,4]}", 0, {4, 4}, 4, false}, /* both */
        {"{\"prompt_ids\":[1,2],\"chosen_ids\":[3,4],\"rejected_ids\":[3,5]}", 3, {3, 3}, 3, true},  /* by the cut */
        {"{\"prompt_ids\":[1],\"chosen_ids\":[2,3,4],\"rejected_ids\":[2,3,5,6]}", 0, {4, 5}, 3, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        plumb_pairing how = {.max_length = rows[i].max_length}; /* no encoder is needed */
        plumb_pair p = made(&how, rows[i].row);
        assert_int_equal(p.ids[0].count, rows[i].counts[0]);
        assert_int_equal(p.ids[1].count, rows[i].counts[1]);
        assert_int_equal(p.shared, rows[i].shared);
        assert_int_equal(p.truncated, rows[i].truncated);
        assert_true(p.boundary_clean);
        assert_int_equal(p.skip, PLUMB_SKIP_NONE);
        plumb_pair_free(&p);
    }
}

/* One token, or one and a token that ends; 0 is OLMo's EOS and special, 300 and 301 are words. */
static void single_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *chosen, *rejected;
        int max_length;
        int32_t eos;
        bool single;
    } rows[] = {
        {"[300]", "[301]", 0, -1, true},          {"[300,0]", "[301,0]", 0, -1, true},
        {"[300,0]", "[301]", 0, -1, true},        {"[300,302]", "[301,302]", 0, -1, false},
        {"[300,302]", "[301,302]", 0, 302, true},                                         /* the model's own EOS */
        {"[300,0,0]", "[301,0,0]", 0, -1, false}, {"[300,0]", "[300,0]", 0, -1, false},   /* nothing differs */
        {"[300,0]", "[301,302]", 3, -1, false},   {"[300,0]", "[301,302]", 2, -1, false}, /* cut */
        {"[300]", "[301,302,303]", 0, -1, false},
    };
    plumb_encoder *e = open_encoder("olmo");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char row[160];
        snprintf(row, sizeof row, "{\"prompt_ids\":[1],\"chosen_ids\":%s,\"rejected_ids\":%s}", rows[i].chosen,
                 rows[i].rejected);
        plumb_pairing how = {.max_length = rows[i].max_length};
        plumb_pair p = made(&how, row);
        if (plumb_pair_is_single(&p, e->tokenizer, rows[i].eos) != rows[i].single) fail_msg("%s", row);
        plumb_pair_free(&p);
    }
    plumb_encoder_close(e);
}

static void ids_beyond_the_vocabulary(void **state)
{
    (void)state;
    static const char row[] = "{\"prompt_ids\":[1,2],\"chosen_ids\":[3],\"rejected_ids\":[4,50]}";
    plumb_pairing how = {.vocab_size = 50};
    plumb_pair p = {0};
    assert_says(make(&how, row, &p), PLUMB_E_INPUT,
                "token 3 of prompt + rejected is 50; the model has embeddings of 0 to 49");
    assert_says(make(&how, row, &p), PLUMB_E_INPUT, "were the ids made with this model's tokenizer?");
    how.max_length = 3; /* what is cut off is not read by the model */
    check_ok(make(&how, row, &p));
    how.max_length = 0;
    how.vocab_size = 51;
    check_ok(make(&how, row, &p));
    plumb_pair_free(&p);
    plumb_encoder *e = open_encoder("olmo");
    how = (plumb_pairing){.encoder = e, .vocab_size = 10};
    assert_says(make(&how, "{\"prompt\":\"Hello\",\"chosen\":\"a\",\"rejected\":\"b\"}", &p), PLUMB_E_INPUT,
                "do tokenizer.json and the weights belong together?");
    plumb_pair_free(&p);
    plumb_encoder_close(e);
}

/* What must hold for every row, cut and way, with the memory of the pairs before. */
static void check_pair(const plumb_pair *p, const plumb_pair *whole, const plumb_pairing *how)
{
    size_t shorter = p->ids[0].count < p->ids[1].count ? p->ids[0].count : p->ids[1].count, same = 0;
    bool cut = false;
    for (int s = 0; s < 2; s++) {
        cut |= how->max_length && whole->ids[s].count > (size_t)how->max_length;
        if (how->max_length) assert_true(p->ids[s].count <= (size_t)how->max_length);
        assert_true(p->ids[s].count <= whole->ids[s].count);
        for (size_t i = 0; i < p->ids[s].count; i++) assert_int_equal(p->ids[s].data[i], whole->ids[s].data[i]);
    }
    assert_int_equal(p->truncated, cut);
    assert_int_equal(p->prompt, whole->prompt);
    while (same < shorter && p->ids[0].data[same] == p->ids[1].data[same]) same++;
    assert_int_equal(p->shared, same);
    if (how->max_length && p->prompt >= how->max_length) assert_int_equal(p->skip, PLUMB_SKIP_PROMPT_TOO_LONG);
    if (p->skip) return;
    assert_true(p->prompt >= 1);
    for (int s = 0; s < 2; s++) assert_true((int)p->ids[s].count > p->prompt);
    if (how->compat == PLUMB_COMPAT_TRL || p->boundary_clean) assert_true(p->shared >= p->prompt);
}

static void every_row_of_every_checkpoint(void **state)
{
    (void)state;
    static const char *const models[] = {"olmo",  "gemma-chat", "gemma3", "llama2", "llama3-chat-sharded",
                                         "qwen3", "gpt-neox"};
    static const int lengths[] = {0, 2, 8, 16, 40, 100, 512};
    int cut = 0, skipped = 0;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        plumb_encoder *e = open_encoder(models[m]);
        json_t *rows = load_jsonl(PLUMB_TEST_DATA "/pairs", e->chat ? "pairs.chat.jsonl" : "pairs.jsonl");
        assert_int_equal(json_array_size(rows), 25);
        plumb_pair p = {0}, whole = {0};
        for (size_t i = 0; i < 25; i++) {
            char *text = json_dumps(json_array_get(rows, i), 0);
            for (int way = 0; way < 2; way++)
                for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
                    plumb_pairing how = {.encoder = e, .compat = (plumb_compat)way, .max_length = lengths[k]};
                    check_ok(make(&how, text, &p));
                    how.max_length = 0;
                    check_ok(make(&how, text, &whole));
                    how.max_length = lengths[k];
                    check_pair(&p, &whole, &how);
                    cut += p.truncated;
                    skipped += p.skip != 0;
                }
            free(text);
        }
        plumb_pair_free(&p);
        plumb_pair_free(&whole);
        json_decref(rows);
        plumb_encoder_close(e);
    }
    assert_true(cut > 100 && skipped > 100);
}

/* ---- errors ---- */

static void checkpoints_that_lack_something(void **state)
{
    (void)state;
    plumb_pair p = {0};
    plumb_encoder *e = open_encoder("olmo");
    plumb_pairing how = {.encoder = e};
    assert_says(make(&how, CHAT_ROW, &p), PLUMB_E_INPUT, "the checkpoint has no chat template");
    assert_says(make(&how, CHAT_ROW, &p), PLUMB_E_INPUT, "--chat_template FILE");
    how.compat = PLUMB_COMPAT_OFFICIAL;
    assert_says(make(&how, CHAT_ROW, &p), PLUMB_E_INPUT, "the checkpoint has no chat template");
    plumb_encoder_close(e);

    static char path[700], text[1 << 20]; /* the tokenizer alone, without a word about EOS */
    snprintf(path, sizeof path, "%s/tokenizer.json", oracle_path("models", "olmo"));
    FILE *f = fopen(path, "rb");
    size_t n = fread(text, 1, sizeof text, f);
    assert_true(feof(f));
    fclose(f);
    const char *folder = scratch("no_eos");
    mkdir(folder, 0777);
    scratch_file("no_eos/tokenizer.json", text, n);
    check_ok(plumb_encoder_open(folder, NULL, -1, &e));
    how = (plumb_pairing){.encoder = e};
    static const char row[] = "{\"prompt\":\"Hello\",\"chosen\":\" a\",\"rejected\":\" b\"}";
    assert_says(make(&how, row, &p), PLUMB_E_INPUT, "names no EOS token");
    assert_says(make(&how, row, &p), PLUMB_E_INPUT, "tokenizer_config.json");
    how.compat = PLUMB_COMPAT_OFFICIAL; /* needs none */
    check_ok(make(&how, row, &p));
    plumb_encoder_close(e);
    check_ok(plumb_encoder_open(folder, NULL, 0, &e)); /* config.json's id stands in */
    how = (plumb_pairing){.encoder = e};
    check_ok(make(&how, row, &p));
    assert_int_equal(p.ids[0].data[p.ids[0].count - 1], 0);
    plumb_encoder_close(e);
    plumb_pair_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_run_has_one_date),
        cmocka_unit_test(plain_responses_are_closed_once),
        cmocka_unit_test(bos_stands_before_plain_prompts),
        cmocka_unit_test(templates_close_turns),
        cmocka_unit_test(longer_conversations),
        cmocka_unit_test(boundary_is_where_the_tokens_agree),
        cmocka_unit_test(rows_that_cannot_be_scored),
        cmocka_unit_test(ids_are_joined_and_cut),
        cmocka_unit_test(single_tokens),
        cmocka_unit_test(ids_beyond_the_vocabulary),
        cmocka_unit_test(every_row_of_every_checkpoint),
        cmocka_unit_test(checkpoints_that_lack_something),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
