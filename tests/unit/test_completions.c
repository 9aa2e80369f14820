/* Rows of SFT data: each form, which tokens the loss counts, what is an error; packing. That tokens, masks and blocks
 * are TRL's is tested in tests/parity/test_sft.c. */
#include "support.h"

#include "scratch.h"
#include "text/token_spans.h"
#include "train/completions.h"
#include "train/packing.h"

#define TALK "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello you\"}]"
#define ASK  "[{\"role\":\"user\",\"content\":\"Hi\"}]"
#define SAY  "[{\"role\":\"assistant\",\"content\":\"Hello you\"}]"
#define USER "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
#define HEAD "<|start_header_id|>assistant<|end_header_id|>\n\n"

static plumb_encoder *open_encoder(const char *model, bool marked)
{
    plumb_encoder *e;
    check_ok(plumb_encoder_open(oracle_path("models", model),
                                marked ? PLUMB_TEST_DATA "/sft/llama3.generation.jinja" : NULL, -1, &e));
    return e;
}

static plumb_completing completing(const plumb_encoder *e)
{
    return (plumb_completing){.encoder = e,
                              .text = "text",
                              .completion = "completion",
                              .messages = "messages",
                              .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE}};
}

static plumb_status make(const plumb_completing *how, const char *row, plumb_completion *out)
{
    return plumb_completion_make(how, row, strlen(row), out);
}

/* The text of the tokens that the loss counts, or of the others. */
static void text_is(const plumb_encoder *e, const plumb_completion *c, bool trained, const char *want)
{
    plumb_ids some = {0};
    plumb_text text = {0};
    for (size_t i = 0; i < c->ids.count; i++)
        if (c->trained[i] == trained) check_ok(plumb_ids_push(&some, c->ids.data[i]));
    check_ok(plumb_tokenizer_decode(e->tokenizer, some.data, some.count, false, &text));
    assert_string_equal(text.data ? text.data : "", want);
    plumb_ids_free(&some);
    plumb_text_free(&text);
}

/* ---- forms ---- */

typedef struct form_case {
    const char *model;
    plumb_completion_loss loss;
    bool assistant;
    plumb_completion_form form;
    const char *row, *rest, *trained; /* the text of tokens that are not trained on, and of those that are */
} form_case;

#define BY_FORM PLUMB_LOSS_BY_FORM
#define ONLY    PLUMB_LOSS_COMPLETION
#define ALL     PLUMB_LOSS_ALL

static const form_case forms[] = {
    {"olmo", BY_FORM, false, PLUMB_SFT_TEXT, "{\"text\":\"Once upon\"}", "", "Once upon<|endoftext|>"},
    {"olmo", BY_FORM, false, PLUMB_SFT_TEXT, "{\"text\":\"Once<|endoftext|>\"}", "", "Once<|endoftext|>"},
    {"olmo", ALL, false, PLUMB_SFT_TEXT, "{\"text\":\"\",\"messages\":null}", "", "<|endoftext|>"},
    {"llama2", BY_FORM, false, PLUMB_SFT_TEXT, "{\"text\":\"Once\"}", "", "<s> Once</s>"},
    {"olmo", BY_FORM, false, PLUMB_SFT_COMPLETION, "{\"prompt\":\"Say:\",\"completion\":\" it\"}",
     "Say:", " it<|endoftext|>"},
    {"olmo", ONLY, false, PLUMB_SFT_COMPLETION, "{\"prompt\":\"Say:\",\"completion\":\" it\",\"text\":\"no\"}",
     "Say:", " it<|endoftext|>"},
    {"olmo", ALL, false, PLUMB_SFT_COMPLETION, "{\"prompt\":\"Say:\",\"completion\":\" it\"}", "",
     "Say: it<|endoftext|>"},
    {"olmo", BY_FORM, false, PLUMB_SFT_PREFERENCE, "{\"prompt\":\"Say:\",\"chosen\":\" it\",\"rejected\":\" not\"}",
     "Say:", " it<|endoftext|>"},
    {"olmo", BY_FORM, false, PLUMB_SFT_PREFERENCE, "{\"prompt_ids\":[5,6],\"chosen_ids\":[7],\"rejected_ids\":[8]}",
     "$%", "&"},
    {"olmo", BY_FORM, false, PLUMB_SFT_IDS, "{\"input_ids\":[5,6,7]}", "", "$%&"},
    {"olmo", BY_FORM, false, PLUMB_SFT_IDS, "{\"input_ids\":[5,6,7],\"labels\":[-100,6,-100]}", "$&", "%"},
    {"olmo", BY_FORM, false, PLUMB_SFT_IDS, "{\"input_ids\":[5,6,7],\"completion_mask\":[0,1,1]}", "", "$%&"},
    {"olmo", ONLY, false, PLUMB_SFT_IDS, "{\"input_ids\":[5,6,7],\"completion_mask\":[0,1,1]}", "$", "%&"},
    {"olmo", BY_FORM, true, PLUMB_SFT_IDS, "{\"input_ids\":[5,6,7],\"assistant_masks\":[0,1,0]}", "$&", "%"},
    {"olmo", BY_FORM, false, PLUMB_SFT_IDS, "{\"prompt_ids\":[5,6],\"completion_ids\":[7]}", "$%", "&"},
    {"olmo", ALL, false, PLUMB_SFT_IDS, "{\"prompt_ids\":[5,6],\"completion_ids\":[7]}", "", "$%&"},
    {"llama3-chat-sharded", BY_FORM, false, PLUMB_SFT_MESSAGES, "{\"messages\":" TALK "}", "",
     USER HEAD "Hello you<|eot_id|>"},
    {"llama3-chat-sharded", BY_FORM, true, PLUMB_SFT_MESSAGES, "{\"messages\":" TALK ",\"prompt\":\"Hi\"}", USER HEAD,
     "Hello you<|eot_id|>"},
    {"llama3-chat-sharded", BY_FORM, true, PLUMB_SFT_MESSAGES,
     "{\"conversations\":[{\"from\":\"user\",\"value\":\"Hi\"},{\"from\":\"assistant\",\"value\":\"Hello you\"}]}",
     USER HEAD, "Hello you<|eot_id|>"},
    {"llama3-chat-sharded", BY_FORM, false, PLUMB_SFT_COMPLETION, "{\"prompt\":" ASK ",\"completion\":" SAY "}",
     USER HEAD, "Hello you<|eot_id|>"},
    {"llama3-chat-sharded", ALL, true, PLUMB_SFT_COMPLETION, "{\"prompt\":" TALK ",\"completion\":" TALK "}",
     USER HEAD "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" HEAD,
     "Hello you<|eot_id|>Hello you<|eot_id|>"},
    {"llama3-chat-sharded", BY_FORM, true, PLUMB_SFT_COMPLETION,
     "{\"prompt\":[{\"role\":\"assistant\",\"content\":\"Me first\"},{\"role\":\"user\",\"content\":\"Hi\"}],"
     "\"completion\":" SAY "}",
     "<|begin_of_text|>" HEAD "Me first<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" HEAD,
     "Hello you<|eot_id|>"},
    {"llama3-chat-sharded", BY_FORM, false, PLUMB_SFT_PREFERENCE,
     "{\"chosen\":" TALK ",\"rejected\":[{\"role\":\"user\",\"content\":\"Hi\"},"
     "{\"role\":\"assistant\",\"content\":\"Bye\"}]}",
     USER HEAD, "Hello you<|eot_id|>"},
};

static void every_form_has_its_targets(void **state)
{
    (void)state;
    plumb_completion c = {0};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        const form_case *f = &forms[i];
        plumb_encoder *e = open_encoder(f->model, f->assistant && f->form != PLUMB_SFT_IDS);
        plumb_completing how = completing(e);
        how.loss = f->loss;
        how.assistant_only_loss = f->assistant;
        check_ok(make(&how, f->row, &c));
        assert_int_equal(c.form, f->form);
        assert_int_equal(c.skip, PLUMB_SKIP_NONE);
        text_is(e, &c, false, f->rest);
        text_is(e, &c, true, f->trained);
        plumb_encoder_close(e);
    }
    plumb_completion_free(&c);
}

static void columns_have_other_names(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("olmo", false);
    plumb_completing how = completing(e);
    plumb_completion c = {0};
    how.text = "body";
    how.keys.prompt = "question";
    how.completion = "answer";
    check_ok(make(&how, "{\"question\":\"Q\",\"answer\":\" A\"}", &c));
    text_is(e, &c, true, " A<|endoftext|>");
    check_ok(make(&how, "{\"body\":\"B\",\"text\":7}", &c));
    text_is(e, &c, true, "B<|endoftext|>");
    plumb_completion_free(&c);
    plumb_encoder_close(e);
}

/* ---- the cut ---- */

static void the_cut_drops_rows_without_a_target(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("olmo", false);
    plumb_completing how = completing(e);
    plumb_completion c = {0};
    how.max_length = 3;
    check_ok(make(&how, "{\"prompt_ids\":[1,2],\"completion_ids\":[3,4]}", &c));
    assert_true(c.truncated && c.ids.count == 3 && c.skip == PLUMB_SKIP_NONE);
    check_ok(make(&how, "{\"prompt_ids\":[1,2,3],\"completion_ids\":[4]}", &c));
    assert_int_equal(c.skip, PLUMB_SKIP_PROMPT_TOO_LONG);
    check_ok(make(&how, "{\"prompt_ids\":[1,2],\"completion_ids\":[]}", &c));
    assert_int_equal(c.skip, PLUMB_SKIP_EMPTY_RESPONSE);
    check_ok(make(&how, "{\"input_ids\":[]}", &c));
    assert_int_equal(c.skip, PLUMB_SKIP_EMPTY_RESPONSE);
    how.packing = true;
    check_ok(make(&how, "{\"prompt_ids\":[1,2,3],\"completion_ids\":[4]}", &c));
    assert_true(c.skip == PLUMB_SKIP_NONE && c.truncated && c.ids.count == 3);
    plumb_completion_free(&c);
    plumb_encoder_close(e);
}

/* ---- errors ---- */

static const struct {
    plumb_completion_loss loss;
    bool assistant;
    const char *row, *says;
} bad[] = {
    {BY_FORM, false, "[]", "the row is a list; expected an object"},
    {BY_FORM, false, "{\"prompt\":\"a\"}", "neither \"text\", nor \"prompt\" and \"completion\""},
    {BY_FORM, false, "{\"text\":3}", "\"text\" is"},
    {BY_FORM, false, "{\"completion\":\"a\"}", "\"prompt\" is missing"},
    {BY_FORM, false, "{\"prompt\":\"a\",\"completion\":" SAY "}", "make both strings, or both lists of messages"},
    {BY_FORM, false, "{\"messages\":\"a\"}", "\"messages\" is a string; expected a list of messages"},
    {BY_FORM, false, "{\"messages\":[]}", "\"messages\" is an empty list"},
    {BY_FORM, false, "{\"messages\":[1]}", "\"messages\"[0] is"},
    {BY_FORM, false, "{\"messages\":[{\"role\":\"user\"}]}", "\"messages\"[0].content is missing"},
    {BY_FORM, false, "{\"messages\":[{\"content\":\"a\"}]}", "\"messages\"[0].role is missing"},
    {BY_FORM, false, "{\"text\":\"a\",\"tools\":[1]}", "the column \"tools\" is not supported"},
    {BY_FORM, false, "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":1}", "\"rejected\" is"},
    {BY_FORM, false, "{\"input_ids\":3}", "\"input_ids\" is"},
    {BY_FORM, false, "{\"input_ids\":[1,-2]}", "\"input_ids\"[1] is not a token id"},
    {BY_FORM, false, "{\"input_ids\":[1,99999]}", "token 1 is 99999; the model has embeddings of 0 to"},
    {BY_FORM, false, "{\"input_ids\":[1,2],\"labels\":[1]}", "\"labels\" is not a list as long as \"input_ids\" (2)"},
    {BY_FORM, false, "{\"input_ids\":[1,2],\"labels\":[1,3]}", "\"labels\"[1] is neither 2 nor -100"},
    {BY_FORM, false, "{\"input_ids\":[1,2],\"assistant_masks\":[1,3]}", "\"assistant_masks\"[1] is neither 1 nor 0"},
    {ONLY, false, "{\"text\":\"a\"}", "--completion_only_loss: the row has no completion"},
    {ONLY, false, "{\"messages\":" TALK "}", "for conversations there is --assistant_only_loss"},
    {ONLY, false, "{\"input_ids\":[1]}", "without a \"completion_mask\""},
    {BY_FORM, true, "{\"text\":\"a\"}", "--assistant_only_loss: the row holds plain strings"},
    {BY_FORM, true, "{\"input_ids\":[1]}", "without \"assistant_masks\""},
    {BY_FORM, true, "{\"prompt_ids\":[1],\"completion_ids\":[1]}", "the row holds token ids"},
    {BY_FORM, true, "{\"messages\":" ASK "}", "the conversation has no token of an assistant"},
};

static void bad_rows_say_what_is_wrong(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("llama3-chat-sharded", true);
    plumb_completing how = completing(e);
    plumb_completion c = {0};
    how.vocab_size = 1024;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        how.loss = bad[i].loss;
        how.assistant_only_loss = bad[i].assistant;
        check_error(make(&how, bad[i].row, &c), PLUMB_E_INPUT, bad[i].says);
    }
    plumb_encoder_close(e);
    e = open_encoder("llama3-chat-sharded", false);
    how.encoder = e;
    how.loss = PLUMB_LOSS_BY_FORM;
    check_error(make(&how, "{\"messages\":" TALK "}", &c), PLUMB_E_INPUT, "{% generation %}");
    plumb_encoder_close(e);
    plumb_completion_free(&c);
}

/* ---- files ---- */

typedef struct heard {
    char text[2000];
} heard;

static void hear(void *user, const char *text)
{
    heard *h = user;
    size_t n = strlen(h->text);
    snprintf(h->text + n, sizeof h->text - n, "%s\n", text);
}

static plumb_status read_file(const char *rows, plumb_completion_source *source, plumb_examples *out, heard *h)
{
    plumb_sink sink = {.user = h, .note = hear};
    *h = (heard){""};
    source->path = scratch_file("rows.jsonl", rows, strlen(rows));
    source->end = -1;
    source->sink = &sink;
    plumb_status s = plumb_completions_read(source, out);
    source->sink = NULL;
    return s;
}

static void files_are_read_with_notes(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("olmo", false);
    plumb_completion_source source = {.how = completing(e)};
    plumb_examples all = {0};
    heard h;
    source.how.max_length = 4;
    check_ok(read_file("{\"prompt\":\"a\",\"chosen\":\" b\",\"rejected\":\" c\"}\n\n{\"prompt\":\"a\",\"chosen\":\" "
                       "d\",\"rejected\":\" e\"}\n{\"prompt_ids\":[1,2,3,4],\"completion_ids\":[5]}\n"
                       "{\"input_ids\":[1,2,3,4,5],\"labels\":[-100,2,-100,4,-100]}\n",
                       &source, &all, &h));
    assert_non_null(strstr(h.text, "2 rows are preferences"));
    assert_int_equal(all.count, 3);
    assert_int_equal(all.skipped[PLUMB_SKIP_PROMPT_TOO_LONG], 1);
    assert_int_equal(all.truncated, 1);
    const plumb_example *x = &all.list[2];
    assert_true(x->index == 3 && x->sides == 1 && x->prompt == 1 && x->totals[0] == 4);
    assert_non_null(x->trained);
    assert_int_equal(plumb_example_targets(x), 2);
    assert_null(all.list[0].trained);
    plumb_examples_free(&all);
    check_error(read_file("{\"text\":\"a\"}\n\n{\"text\":1}\n", &source, &all, &h), PLUMB_E_INPUT, "rows.jsonl:3: ");
    plumb_examples_free(&all);
    source.skip_bad_rows = true;
    check_ok(read_file("{\"text\":\"a\"}\n{\"text\":1}\n", &source, &all, &h));
    assert_non_null(strstr(h.text, "passed over: "));
    assert_int_equal(all.skipped[PLUMB_SKIP_BAD_ROW], 1);
    plumb_examples_free(&all);
    check_error(read_file("{\"text\":\"\"}\n", &source, &all, &h), PLUMB_E_INPUT, "no token is left to train on");
    plumb_examples_free(&all);
    source.how.packing = true;
    source.how.max_length = 0;
    check_error(read_file("{\"text\":\"a\"}\n", &source, &all, &h), PLUMB_E_INPUT, "--packing needs a --max_length");
    plumb_examples_free(&all);
    plumb_encoder_close(e);
}

/* A prompt whose end joins the completion in one token begins the completion earlier, and a note says so. */
static void joined_prompts_are_told(void **state)
{
    (void)state;
    plumb_encoder *e = open_encoder("olmo", false);
    plumb_completion_source source = {.how = completing(e)};
    plumb_examples all = {0};
    heard h;
    check_ok(read_file("{\"prompt\":\"A word that goes o\",\"completion\":\"n and on\"}\n", &source, &all, &h));
    assert_non_null(strstr(h.text, "in 1 of 1 rows the tokens of the prompt are not the beginning"));
    plumb_examples_free(&all);
    plumb_encoder_close(e);
}

/* ---- packing ---- */

static void blocks_fit_best(void **state)
{
    (void)state;
    static const int lengths[] = {2, 5, 4, 3, 5, 8, 1};
    static const int members[] = {5, 1, 3, 4, 0, 6, 2};
    static const size_t ends[] = {0, 1, 3, 6, 7};
    plumb_examples e = {0};
    int32_t tokens[8] = {0};
    uint8_t all[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    for (int i = 0; i < 7; i++) {
        plumb_ids ids = {.data = tokens, .count = (size_t)lengths[i], .capacity = 8};
        check_ok(plumb_examples_add_sequence(&e, i, 0, &ids, all));
    }
    check_ok(plumb_examples_pack(&e, 0, 8));
    assert_int_equal(plumb_examples_rows(&e), 4);
    for (size_t b = 0; b <= e.blocks; b++) assert_int_equal(e.block[b], ends[b]);
    for (int i = 0; i < 7; i++) assert_int_equal(e.list[i].index, members[i]);
    assert_true(e.longest <= 8);
    check_ok(plumb_examples_pack(&e, e.count, 8)); /* nothing more: nothing changes */
    assert_int_equal(e.blocks, 4);
    plumb_examples_free(&e);
}

/* ---- marked templates ---- */

static const struct {
    const char *template, *marked; /* NULL: an error */
} marks[] = {
    {"a{% generation %}bc{% endgeneration %}d{% generation %}e{% endgeneration %}", "bc|e|"},
    {"{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endfor %}", "\xc3\xa9|x|"},
    {"plain", ""},
    {"{% generation %}{% endgeneration %}", "|"},
    {"{% macro m() %}{% generation %}a{% endgeneration %}{% endmacro %}{{ m() }}", NULL},
    {"{% set s %}{% generation %}a{% endgeneration %}{% endset %}{{ s }}", NULL},
    {"{% macro m() %}x{% endmacro %}{{ m() }}{% generation %}{{ m() }}{% endgeneration %}", "x|"},
};

static void generation_blocks_are_marked(void **state)
{
    (void)state;
    json_t *messages =
        json_loads("[{\"role\":\"u\",\"content\":\"\xc3\xa9\"},{\"role\":\"a\",\"content\":\"x\"}]", 0, NULL);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        plumb_template *t;
        plumb_text out = {0}, got = {0};
        plumb_byte_spans spans = {0};
        check_ok(plumb_template_parse(marks[i].template, strlen(marks[i].template), &t));
        assert_int_equal(plumb_template_marks_generation(t), strstr(marks[i].template, "generation") != NULL);
        check_ok(plumb_text_string(&out, "before "));
        plumb_status s = plumb_template_render_marked(t, &(plumb_template_input){.messages = messages}, &out, &spans);
        if (!marks[i].marked) {
            check_error(s, PLUMB_E_INPUT, "has no place of its own");
        } else {
            check_ok(s);
            check_ok(plumb_text_string(&got, ""));
            for (size_t k = 0; k < spans.count; k++)
                check_ok(plumb_text_printf(&got, "%.*s|", (int)(spans.data[k].end - spans.data[k].begin),
                                           out.data + spans.data[k].begin));
            assert_string_equal(got.data, marks[i].marked);
        }
        plumb_text_free(&out);
        plumb_text_free(&got);
        plumb_byte_spans_free(&spans);
        plumb_template_free(t);
    }
    json_decref(messages);
}

/* ---- spans as tokens ---- */

static void token_is_marked(const char *model, const char *text, size_t begin, size_t end, const char *want)
{
    plumb_encoder *e = open_encoder(model, false);
    plumb_ids ids = {0}, some = {0};
    plumb_text got = {0};
    plumb_byte_span span = {begin, end};
    plumb_byte_spans spans = {&span, 1, 1};
    uint8_t mask[64];
    check_ok(plumb_tokenizer_encode(e->tokenizer, text, strlen(text), false, &ids));
    assert_true(ids.count < sizeof mask);
    check_ok(plumb_token_spans(e->tokenizer, text, strlen(text), &spans, &ids, mask));
    for (size_t i = 0; i < ids.count; i++)
        if (mask[i]) check_ok(plumb_ids_push(&some, ids.data[i]));
    check_ok(plumb_tokenizer_decode(e->tokenizer, some.data, some.count, false, &got));
    assert_string_equal(got.data ? got.data : "", want);
    ids.count--; /* other tokens than the text's */
    check_error(plumb_token_spans(e->tokenizer, text, strlen(text), &spans, &ids, mask), PLUMB_E_INPUT, "not those");
    plumb_ids_free(&ids);
    plumb_ids_free(&some);
    plumb_text_free(&got);
    plumb_encoder_close(e);
}

static void spans_find_their_tokens(void **state)
{
    (void)state;
    token_is_marked("olmo", "one<|endoftext|>two", 3, 16, "<|endoftext|>");
    token_is_marked("olmo", "one<|endoftext|>two", 5, 6, "<|endoftext|>");
    token_is_marked("olmo", "one<|endoftext|>two", 0, 19, "one<|endoftext|>two");
    token_is_marked("olmo", "one<|endoftext|>two", 4, 4, "");
    token_is_marked("llama2", "a\n</s>b", 1, 6, "\n</s>");
    token_is_marked("llama2", "\xe4\xbd\xa0z", 3, 4, "z");                 /* behind a character of three tokens */
    token_is_marked("qwen3", "e\xcc\x81<|im_end|>z", 3, 13, "<|im_end|>"); /* whose normal form is shorter */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_has_its_targets),
        cmocka_unit_test(columns_have_other_names),
        cmocka_unit_test(the_cut_drops_rows_without_a_target),
        cmocka_unit_test(bad_rows_say_what_is_wrong),
        cmocka_unit_test(files_are_read_with_notes),
        cmocka_unit_test(joined_prompts_are_told),
        cmocka_unit_test(blocks_fit_best),
        cmocka_unit_test(generation_blocks_are_marked),
        cmocka_unit_test(spans_find_their_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
