/* Every rule of plumb lint with a row that breaks it and one that just does not; selection, the fix, the pages. */
#include "support.h"

#include <inttypes.h>
#include <unistd.h>

#include "io/json.h"
#include "scratch.h"
#include "study/lint.h"
#include "study/lint_seen.h"

#define DOCS PLUMB_TEST_DATA "/../../docs/"

/* Templates that do one thing wrong. */
#define TURNS(turn)                                                                                                    \
    "{% for m in messages %}" turn "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
#define CHATML   TURNS("<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n")
#define UNCLOSED TURNS("<|im_start|>{{ m.role }}\n{{ m.content }}\n")
#define TWO_BOS  "{{ bos_token }}{{ bos_token }}" TURNS("<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n")
#define ONE_BOS  "{{ bos_token }}" TURNS("<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n")
#define THINKING CHATML "{% if add_generation_prompt %}<think>{% endif %}"
#define BARE     "{% for m in messages %}{{ m.content }}{% endfor %}"
#define SPACED                                                                                                         \
    "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'assistant' %}<|im_end|>{% endif %}"          \
    "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"

/* Rows as they are written here: ' stands for ". */
#define TEXT(prompt, chosen, rejected)  "{'prompt': '" prompt "', 'chosen': '" chosen "', 'rejected': '" rejected "'}\n"
#define USER(text)                      "[{'role': 'user', 'content': '" text "'}]"
#define BOT(text)                       "[{'role': 'assistant', 'content': '" text "'}]"
#define LISTS(prompt, chosen, rejected) "{'prompt': " prompt ", 'chosen': " chosen ", 'rejected': " rejected "}\n"
#define CHAT(prompt, chosen, rejected)  LISTS(USER(prompt), BOT(chosen), BOT(rejected))
#define IDS(prompt, chosen, rejected)                                                                                  \
    "{'prompt_ids': [" prompt "], 'chosen_ids': [" chosen "], 'rejected_ids': [" rejected "]}\n"

#define GO_8  "go go go go go go go go "
#define GO_64 GO_8 GO_8 GO_8 GO_8 GO_8 GO_8 GO_8 GO_8
#define IDS_8 "1, 1, 1, 1, 1, 1, 1, 1, "
/* One token each with the tokenizer of olmo. */
#define TEN "1 1 1 1 1 1 1 1 1 1"

/* The last of `rows` has a finding of `code` that says `says`; NULL: it has none. */
typedef struct lint_case {
    const char *code, *model, *rows, *says;
    int max_length;       /* 0: 1024 */
    const char *template; /* NULL: the model's */
    const char *eos;      /* another EOS text than the model's */
} lint_case;

#define BREAKS(of, by, text, ...)                                                                                      \
    {                                                                                                                  \
        .code = of, .model = by, .rows = text, .says = __VA_ARGS__                                                     \
    }
#define KEEPS(of, by, ...)                                                                                             \
    {                                                                                                                  \
        .code = of, .model = by, .rows = __VA_ARGS__                                                                   \
    }

static const lint_case cases[] = {
    BREAKS("PT101", "olmo", TEXT("A walk. ", "We went.", "No."), "\"walk. \" + \"We\": token \"\xC4\xA0W\""),
    KEEPS("PT101", "olmo", TEXT("A walk.", " We went.", " No.")),
    BREAKS("PT101", "olmo", TEXT("A walk. ", "\\nWe went.", "We went."), "with rejected"),
    BREAKS("PT101", "qwen3", CHAT("A walk.", "We went.", "No."), "\"walk.assistant: \" + \"We\"", .template = SPACED),
    KEEPS("PT101", "qwen3", CHAT("A walk. ", "We went.", "No.")),

    BREAKS("PT102", "llama2", TEXT("<s>Hi", " you", " me"), "begins with <s> twice"),
    KEEPS("PT102", "llama2", TEXT("Hi<s>", " you", " me")),
    BREAKS("PT102", "llama2", IDS("1, 5", "1, 6, 2", "7, 2"), "chosen begins with a second <s>"),
    KEEPS("PT102", "llama2", IDS("1, 5", "6, 1, 2", "7, 2")),
    BREAKS("PT102", "gemma-chat", CHAT("Hi", "you", "me"), "begins with <bos> twice", .template = TWO_BOS),
    KEEPS("PT102", "gemma-chat", CHAT("Hi", "you", "me"), .template = ONE_BOS),

    BREAKS("PT103", "llama2", IDS("1, 5", "6, 2", "7"), "rejected does not end in the token </s>"),
    KEEPS("PT103", "llama2", IDS("1, 5", "6, 2", "7, 2")),
    BREAKS("PT103", "llama2", TEXT("Hi", " you", " me"), "chosen and rejected do not", .eos = "<end>"),
    KEEPS("PT103", "llama2", TEXT("Hi", " you</s>", " me")),
    BREAKS("PT103", "qwen3", CHAT("Hi", "you", "me"), "not end in a special token", .template = UNCLOSED),
    KEEPS("PT103", "qwen3", CHAT("Hi", "you", "me"), .template = CHATML),

    BREAKS("PT104", "olmo", TEXT("Say ", "1 1 1 1", "1 1"), "chosen is 7 tokens with the prompt, cut at 6",
           .max_length = 6),
    KEEPS("PT104", "olmo", TEXT("Say ", "1 1 1 1", "1 1"), .max_length = 7),
    BREAKS("PT104", "qwen3", CHAT("Hi", GO_64, "me"), "chosen is ", .max_length = 64),
    KEEPS("PT104", "qwen3", CHAT("Hi", "you", "me"), .max_length = 64),

    BREAKS("PT105", "olmo", TEXT("Say ", TEN " 2", TEN " 3"), "the same in the first 12 tokens", .max_length = 12),
    KEEPS("PT105", "olmo", TEXT("Say ", TEN " 2", TEN " 3"), .max_length = 13),
    KEEPS("PT105", "olmo", TEXT("Say ", TEN, TEN), .max_length = 12), /* PD201 */
    BREAKS("PT105", "qwen3", CHAT("Hi", GO_64 "a", GO_64 "b"), "the same in the first 60 tokens", .max_length = 60),
    KEEPS("PT105", "qwen3", CHAT("Hi", GO_64 "a", GO_64 "b")),

    BREAKS("PT106", "olmo", TEXT(TEN "\\n", "Yes", "No"), "the prompt is 11 tokens and leaves nothing",
           .max_length = 11),
    KEEPS("PT106", "olmo", TEXT(TEN "\\n", "Yes", "No"), .max_length = 12),
    BREAKS("PT106", "qwen3", CHAT(GO_64, "Yes", "No"), "leaves nothing of --max_length 64", .max_length = 64),
    KEEPS("PT106", "qwen3", CHAT("Go", "Yes", "No"), .max_length = 64),

    BREAKS("PT107", "olmo", TEXT("In the oven", "To cook", "No"), "from chosen (\"oven\" + \"To\")"),
    BREAKS("PT107", "olmo", TEXT("In the oven", " To cook", "No"), "from rejected (\"oven\" + \"No\")"),
    KEEPS("PT107", "olmo", TEXT("In the oven", " To cook", ".")),
    BREAKS("PT107", "olmo", TEXT("Is it 4", "2?", "?"), "\"4\" + \"2?\""),
    BREAKS("PT107", "olmo", TEXT("Caf\xC3\xA9", "\xC3\xA9t\xC3\xA9", "?"), "\"Caf\xC3\xA9\" + \"\xC3\xA9t\xC3\xA9\""),
    KEEPS("PT107", "olmo", TEXT("cat", "\xE7\x8C\xAB", "\xE7\x8A\xAC")), /* Chinese has no spaces */
    KEEPS("PT107", "qwen3", CHAT("In the oven", "To cook", "No")),

    BREAKS("PT108", "qwen3", CHAT("Hi", "you", "me"), "is rendered as \"<think>\", with chosen as \"you<|im_end|>\"",
           .template = THINKING),
    KEEPS("PT108", "qwen3", CHAT("Hi", "you", "me"), .template = CHATML),
    BREAKS("PT108", "qwen3", LISTS(USER("Hi"), BOT("you"), USER("me")),
           "rendered as \"assistant\", with rejected as \"user\""),
    KEEPS("PT108", "olmo", TEXT("Hi ", "you", "me")),

    BREAKS("PT109", "olmo", TEXT("", "Yes", "No"), "no token stands before"),
    BREAKS("PT109", "olmo", TEXT(" ", "Yes", "(No)"), "no token stands before"), /* it merges with Yes */
    KEEPS("PT109", "olmo", TEXT("\\n", "Yes", "No")),
    KEEPS("PT109", "llama2", TEXT("", "Yes", "No")), /* there is BOS */
    BREAKS("PT109", "qwen3", CHAT("", "Yes", "No"), "no token stands before", .template = BARE),
    KEEPS("PT109", "qwen3", CHAT("", "Yes", "No")),

    BREAKS("PD201", "olmo", TEXT("Hi.", "you", "you"), "have the same tokens"),
    KEEPS("PD201", "olmo", TEXT("Hi.", "you", "you ")),
    BREAKS("PD201", "olmo", TEXT("Hi.", "you", "you<|endoftext|>"), "have the same tokens"),
    BREAKS("PD201", "gemma-chat", CHAT("Hi", "you", "you "), "have the same tokens"), /* its template trims */
    KEEPS("PD201", "qwen3", CHAT("Hi", "you", "you ")),

    BREAKS("PD202", "olmo", "\n" TEXT("Hi.", "you", "me") TEXT("Hi.", "me", "you") TEXT("Hi.", "you", "me"),
           "in line 2"),
    BREAKS("PD202", "olmo", TEXT("Hi.", "you", "me") "{'rejected':'me','prompt':'Hi.','chosen':'you','n':1}\n",
           "in line 1"),
    KEEPS("PD202", "olmo", TEXT("Hi.", "you", "me") TEXT("Hi.", "you", "m e")),
    KEEPS("PD202", "olmo", TEXT("Hi.", "you", "me") TEXT("Hi", ".you", "me")),
    KEEPS("PD202", "olmo", TEXT("Hi.", "you", "me") TEXT("Hi", ".you", ".me")), /* another prompt */
    BREAKS("PD202", "olmo", IDS("5", "6, 0", "7, 0") IDS("5", "6, 0", "7, 0"), "in line 1"),
    KEEPS("PD202", "olmo", IDS("5", "6, 0", "7, 0") IDS("5", "6, 0", "8, 0")),
    BREAKS("PD202", "qwen3", CHAT("Hi", "you", "me") CHAT("Hi", "you", "me"), "in line 1"),
    KEEPS("PD202", "qwen3", CHAT("Hi", "you", "me") CHAT("Hi!", "you", "me")),

    BREAKS("PD203", "olmo", TEXT("Hi.", "you", "me") TEXT("Hi.", "me", "you"), "line 1 prefers the other"),
    KEEPS("PD203", "olmo", TEXT("Hi.", "you", "me") TEXT("Hi!", "me", "you")),
    KEEPS("PD203", "olmo", TEXT("Hi.", "you", "me") TEXT("Hi.", "me", "you") TEXT("Hi.", "me", "you")), /* PD202 */
    KEEPS("PD203", "olmo", TEXT("Hi.", "you", "you") TEXT("Hi.", "you", "you")),
    BREAKS("PD203", "qwen3", CHAT("Hi", "you", "me") CHAT("Hi", "me", "you"), "line 1 prefers the other"),
    KEEPS("PD203", "qwen3", CHAT("Hi", "you", "me") CHAT("Hi", "you", "I")),

    BREAKS("PD204", "olmo", TEXT("Hi.", "", "me"), "chosen is empty"),
    BREAKS("PD204", "olmo", TEXT("Hi.", "you", " \\n\xE3\x80\x80"), "rejected is empty"), /* an ideographic space */
    BREAKS("PD204", "olmo", TEXT("Hi.", "", ""), "chosen and rejected are empty"),
    KEEPS("PD204", "olmo", TEXT("Hi.", "you", " .")),
    BREAKS("PD204", "olmo", IDS("5", "6, 0", ""), "rejected is empty"),
    KEEPS("PD204", "olmo", IDS("5", "6, 0", "0")),
    BREAKS("PD204", "qwen3", CHAT("Hi", " ", "me"), "chosen is empty"),
    KEEPS("PD204", "qwen3", CHAT("Hi", ".", "me")),
    KEEPS("PD204", "qwen3", LISTS(USER("Hi"), "[{'role': 'assistant', 'content': '', 'tool_calls': [1]}]", BOT("me"))),

    BREAKS("PD205", "olmo", TEXT("What is this it?", " What is this it? That.", "That."),
           "chosen begins with the whole"),
    BREAKS("PD205", "olmo", TEXT("What is this it?", "That.", "What is this it? It."),
           "rejected begins with the whole"),
    KEEPS("PD205", "olmo", TEXT("What is this it?", "What is this it. That.", "That.")),
    KEEPS("PD205", "olmo", TEXT("What is that it", "What is that it? It.", "That.")), /* 15 bytes */
    BREAKS("PD205", "olmo", IDS("5, 6, 7, 8, 9, 10, 11, 12", "5, 6, 7, 8, 9, 10, 11, 12, 0", "3, 0"),
           "chosen begins with"),
    KEEPS("PD205", "olmo", IDS("5, 6, 7, 8, 9, 10, 11", "5, 6, 7, 8, 9, 10, 11, 12, 0", "3, 0")),
    BREAKS("PD205", "qwen3", CHAT("What is this it?", "What is this it? It is.", "That."), "chosen begins with"),
    BREAKS("PD205", "qwen3",
           LISTS(USER("Hi"), "[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'a'}]",
                 "[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'b'}]"),
           "chosen and rejected begin with"),
    KEEPS("PD205", "qwen3",
          LISTS("'Hi'", "[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'a'}]",
                "[{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'b'}]")),
    KEEPS("PD205", "qwen3", CHAT("What is that it", "What is that it? It is.", "That.")),

    BREAKS("PD206", "olmo", IDS("5", "6, 7, 8, 9, 0", IDS_8 IDS_8 IDS_8 IDS_8 IDS_8 "0"),
           "chosen has 5 tokens, rejected 41: a ratio of 8.2"),
    KEEPS("PD206", "olmo", IDS("5", "6, 7, 8, 9, 0", IDS_8 IDS_8 IDS_8 IDS_8 "1, 1, 1, 1, 1, 1, 1, 0")),
    KEEPS("PD206", "olmo", TEXT("Say ", "1", "1 " TEN)), /* a small gap */
    KEEPS("PD206", "olmo", TEXT("Say ", "", GO_64)),     /* PD204 */
    BREAKS("PD206", "qwen3", CHAT("Say", "1", GO_64), "chosen has 3 tokens"),
    KEEPS("PD206", "qwen3", CHAT("Say", GO_8 GO_8, GO_64)),

    BREAKS("PD207", "llama2", TEXT("Hi", "<s>you", "me"), "chosen holds \"<s>\" (id 1)"),
    BREAKS("PD207", "llama2", TEXT("Hi</s>", " you", "me"), "prompt holds \"</s>\" (id 2)"),
    KEEPS("PD207", "llama2", TEXT("<s>Hi", " you", "me</s>")), /* PT102; an end that may be there */
    BREAKS("PD207", "llama2", TEXT("Hi", " you", "me</s></s>"), "rejected holds \"</s>\""),
    KEEPS("PD207", "llama2", TEXT("Hi", "< s>you", "m</ s>e")),
    BREAKS("PD207", "qwen3", CHAT("Hi", "you<|im_end|>", "me"), "chosen holds \"<|im_end|>\" (id 2)"),
    KEEPS("PD207", "qwen3", CHAT("Hi", "you<|im_end>", "me")),

    BREAKS("PF301", "olmo", TEXT("Hi.", "you \xE9", "me"), "byte 0xE9 at column "),
    KEEPS("PF301", "olmo", TEXT("Hi.", "you \xC3\xA9", "me")),
    BREAKS("PF301", "qwen3", CHAT("Hi\xED\xA0\x80", "you", "me"),
           "byte 0xED at column "), /* half of a surrogate pair */
    KEEPS("PF301", "qwen3", CHAT("Hi\xED\x9F\xBF", "you", "me")),

    BREAKS("PF302", "qwen3", LISTS("'Hi'", BOT("you"), BOT("me")), "prompt is a string and chosen a list"),
    BREAKS("PF302", "qwen3", LISTS(USER("Hi"), "'you'", "'me'"), "chosen is a string and prompt a list"),
    BREAKS("PF302", "qwen3", "{'chosen': 'you', 'rejected': " BOT("me") "}\n",
           "chosen is a string and rejected a list"),
    BREAKS("PF302", "qwen3", "{}\n" TEXT("Hi", " you", " me") CHAT("Hi", "you", "me"), "but line 2 is plain strings"),
    BREAKS("PF302", "qwen3", CHAT("Hi", "you", "me") TEXT("Hi", " you", " me"), "but line 1 is a conversation"),
    KEEPS("PF302", "qwen3", CHAT("Hi", "you", "me") CHAT("Ho", "you", "me")),
    BREAKS("PF302", "olmo", TEXT("Hi", " you", " me") IDS("5", "6, 0", "7, 0"), "the row is token ids"),
    KEEPS("PF302", "olmo", TEXT("Hi", " you", " me") TEXT("Ho", " you", " me")),

    BREAKS("PF303", "qwen3", LISTS("[{'role': 'human', 'content': 'Hi'}]", BOT("you"), BOT("me")),
           "prompt[0] has the role \"human\""),
    KEEPS("PF303", "qwen3", LISTS("[{'role': 'developer', 'content': 'Hi'}]", BOT("you"), BOT("me"))),
    KEEPS("PF303", "olmo", TEXT("human", " human", " gpt")),

    BREAKS("PF304", "olmo", "{'prompt': 'Hi', 'chosen': 'you'}\n", "\"rejected\" is missing"),
    BREAKS("PF304", "olmo", "{'prompt': 'Hi', 'chosen': 'you', 'rejected': '\\ud800'}\n", "surrogate"),
    BREAKS("PF304", "olmo", "[1]\n", "the row is a list"),
    BREAKS("PF304", "olmo", IDS("5", "100000", "7"), "the model has embeddings of"),
    BREAKS("PF304", "olmo", CHAT("Hi", "you", "me"), "no chat template"),
    KEEPS("PF304", "olmo", TEXT("Hi", " you", " me")),
    KEEPS("PF304", "olmo", TEXT("Hi", " you \xE9", " me")),        /* PF301 */
    KEEPS("PF304", "qwen3", LISTS("'Hi'", BOT("you"), BOT("me"))), /* PF302 */
    BREAKS("PF304", "gemma-chat", LISTS("[{'role': 'system', 'content': 'Hi'}]", BOT("you"), BOT("me")),
           "System role not supported"),
    KEEPS("PF304", "gemma-chat", CHAT("Hi", "you", "me")),
};

enum { CASES = sizeof cases / sizeof *cases };

/* ---- running rows ---- */

static int rule_of(const char *code)
{
    size_t count;
    const plumb_lint_rule *rules = plumb_lint_rules(&count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rules[i].code, code) == 0) return (int)i;
    fail_msg("no rule %s", code);
    return -1;
}

static plumb_encoder *open_encoder(const char *model, const char *template)
{
    plumb_encoder *encoder = NULL;
    const char *path = template ? scratch_file("template.jinja", template, strlen(template)) : NULL;
    check_ok(plumb_encoder_open(oracle_path("models", model), path, -1, &encoder));
    return encoder;
}

static plumb_lint_options options_of(const plumb_encoder *encoder, int max_length)
{
    return (plumb_lint_options){
        .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
        .pairing = {.encoder = encoder, .max_length = max_length ? max_length : 1024, .vocab_size = 4096},
        .rules = UINT32_MAX,
        .max_ratio = 8,
    };
}

/* Writes the rows, ' as ", to a scratch file. */
static const char *rows_file(const char *rows)
{
    char *text = strdup(rows);
    for (char *p = text; *p; p++)
        if (*p == '\'') *p = '"';
    const char *path = scratch_file("rows.jsonl", text, strlen(text));
    free(text);
    return path;
}

/* Does the last row have the finding? Its message in *said. */
static bool last_row_has(const lint_case *c, const plumb_lint_options *options, char said[512])
{
    plumb_lint *lint = NULL;
    plumb_rows *rows = NULL;
    plumb_row row;
    bool more, found = false;
    check_ok(plumb_lint_new(options, &lint));
    check_ok(plumb_rows_open(rows_file(c->rows), 0, -1, &rows));
    for (;;) {
        const plumb_finding *findings;
        size_t count;
        check_ok(plumb_rows_next(rows, &row, &more));
        if (!more) break;
        check_ok(plumb_lint_next(lint, &row, &findings, &count));
        found = false;
        for (size_t i = 0; i < count; i++) {
            if (strcmp(findings[i].rule->code, c->code) != 0) continue;
            snprintf(said, 512, "%s", findings[i].message.data);
            assert_int_equal(findings[i].line, row.line);
            assert_int_equal(findings[i].index, row.index);
            found = true;
        }
    }
    plumb_rows_close(rows);
    plumb_lint_free(lint);
    return found;
}

static void each_rule_has_its_row(void **state)
{
    (void)state;
    int failed = 0;
    for (int i = 0; i < CASES; i++) {
        const lint_case *c = &cases[i];
        plumb_encoder *encoder = open_encoder(c->model, c->template);
        char said[512] = "";
        if (c->eos) {
            free(encoder->eos);
            encoder->eos = strdup(c->eos);
        }
        plumb_lint_options options = options_of(encoder, c->max_length);
        bool found = last_row_has(c, &options, said);
        if (found != (c->says != NULL) || (c->says && !strstr(said, c->says))) {
            print_error("%s, %s: %s  expected \"%s\", got \"%s\"\n", c->code, c->model, c->rows,
                        c->says ? c->says : "(nothing)", found ? said : "(nothing)");
            failed++;
        }
        plumb_encoder_close(encoder);
    }
    assert_int_equal(failed, 0);
}

/* A rule without both kinds of rows is not tested. */
static void each_rule_is_in_the_table(void **state)
{
    (void)state;
    size_t count;
    const plumb_lint_rule *rules = plumb_lint_rules(&count);
    int seen[PLUMB_LINT_MOST_RULES][2] = {{0}};
    for (int i = 0; i < CASES; i++) seen[rule_of(cases[i].code)][cases[i].says != NULL]++;
    for (size_t i = 0; i < count; i++)
        if (!seen[i][0] || !seen[i][1])
            fail_msg("%s has no row that %s it", rules[i].code, seen[i][1] ? "keeps" : "breaks");
}

/* ---- the reference pairs ---- */

/* Lines of the file with a finding of one rule. */
typedef struct lines {
    int rule;
    int64_t line[64];
    size_t count;
} lines;

static plumb_status collect(void *user, const plumb_finding *finding)
{
    lines *l = user;
    size_t count;
    if (finding->rule - plumb_lint_rules(&count) == l->rule && l->count < 64) l->line[l->count++] = finding->line;
    return PLUMB_OK;
}

static const char *const models[] = {"gemma-bf16",     "gemma-chat",  "gemma2",     "gemma3", "gpt-neox",
                                     "llama2",         "llama3-bf16", "mistral",    "olmo",   "llama3-chat-sharded",
                                     "olmo-clip-bf16", "olmo2",       "qwen2-bf16", "qwen3",  "phi3"};

/* Exactly the rows that the reference marks boundary_clean: false. */
static void reference_boundaries(void **state)
{
    (void)state;
    int merged = 0;
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        plumb_encoder *encoder = open_encoder(models[m], NULL);
        lines found = {.rule = rule_of("PT101")};
        plumb_lint_report report;
        plumb_lint_job job = {.data = encoder->chat ? PLUMB_TEST_DATA "/pairs/pairs.chat.jsonl"
                                                    : PLUMB_TEST_DATA "/pairs/pairs.jsonl",
                              .end = -1,
                              .options = options_of(encoder, 0),
                              .emit = collect,
                              .user = &found};
        check_ok(plumb_lint_run(&job, NULL, &report));
        json_t *expected = load_jsonl(oracle_path("expected", models[m]), "scores.jsonl"), *row;
        assert_int_equal(report.rows, json_array_size(expected));
        size_t i, at = 0;
        json_array_foreach(expected, i, row)
        {
            if (json_is_true(json_object_get(row, "boundary_clean"))) continue;
            assert_true(at < found.count);
            assert_int_equal(found.line[at++], json_integer_value(json_object_get(row, "index")) + 1);
        }
        assert_int_equal(at, found.count);
        merged += (int)at;
        json_decref(expected);
        plumb_encoder_close(encoder);
    }
    assert_true(merged > 5);
}

/* ---- selection ---- */

static uint32_t select_words(const char *a, const char *b)
{
    uint32_t rules = 0;
    check_ok(plumb_lint_select((const char *[]){a, b}, b ? 2 : 1, &rules));
    return rules;
}

static void selection(void **state)
{
    (void)state;
    uint32_t merged = (uint32_t)1 << rule_of("PT101"), equal = (uint32_t)1 << rule_of("PD201"), rules;
    assert_int_equal(select_words("PT101", NULL), merged);
    assert_int_equal(select_words("pt101", NULL), merged);
    assert_int_equal(select_words("boundary-merged", "chosen_equals_rejected"), merged | equal);
    assert_int_equal(select_words("PT", NULL), 0x1FF);
    assert_int_equal(select_words("PT10", "PT"), 0x1FF);
    assert_int_equal(select_words("P", NULL), 0xFFFFF);
    assert_int_equal(select_words("PD2", "PF"), 0xFFFFF & ~0x1FFU);
    const struct {
        const char *word, *says;
    } bad[] = {{"PT999", "\"PT999\" is no rule"},
               {"PT1011", "did you mean PT101?"},
               {"", "groups (PT, PD, PF)"},
               {"boundry-merged", "mean boundary-merged?"},
               {"boundary", "mean boundary-merged?"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_error(plumb_lint_select(&bad[i].word, 1, &rules), PLUMB_E_INPUT, bad[i].says);
}

/* A rule that is not selected finds nothing. */
static void only_selected(void **state)
{
    (void)state;
    char said[512];
    plumb_encoder *encoder = open_encoder("olmo", NULL);
    lint_case c = KEEPS("PD201", "olmo", TEXT("Hi.", "you", "you"));
    plumb_lint_options options = options_of(encoder, 0);
    options.rules = (uint32_t)1 << rule_of("PD204");
    assert_false(last_row_has(&c, &options, said));
    options.rules |= (uint32_t)1 << rule_of("PD201");
    assert_true(last_row_has(&c, &options, said));
    plumb_encoder_close(encoder);
}

static void ratio(void **state)
{
    (void)state;
    char said[512];
    plumb_encoder *encoder = open_encoder("qwen3", NULL);
    lint_case c = KEEPS("PD206", "qwen3", CHAT("Say", GO_8, GO_64));
    plumb_lint_options options = options_of(encoder, 0);
    assert_false(last_row_has(&c, &options, said));
    options.max_ratio = 3;
    assert_true(last_row_has(&c, &options, said));
    plumb_encoder_close(encoder);
}

/* ---- findings as text ---- */

static void formats(void **state)
{
    (void)state;
    size_t count;
    const plumb_lint_rule *rules = plumb_lint_rules(&count);
    plumb_finding f = {&rules[rule_of("PF304")], 16, 17, 0x968dd0ed3a5f152e, {0}, "say \"so\"", false};
    plumb_text out = {0};
    json_t *json = NULL;
    check_ok(plumb_text_string(&f.message, "two\nlines"));
    check_ok(plumb_finding_line(&f, "a.jsonl", &out));
    assert_string_equal(out.data, "a.jsonl:17: PF304 bad-row: two lines; say \"so\"\n");
    plumb_text_clear(&out);
    check_ok(plumb_finding_json(&f, "a.jsonl", true, &out));
    check_ok(plumb_json_parse(out.data, out.size, false, NULL, &json));
    assert_string_equal(json_string_value(json_object_get(json, "code")), "PF304");
    assert_string_equal(json_string_value(json_object_get(json, "row")), "968dd0ed3a5f152e");
    assert_string_equal(json_string_value(json_object_get(json, "message")), "two\nlines");
    assert_string_equal(json_string_value(json_object_get(json, "cure")), "say \"so\"");
    assert_int_equal(json_integer_value(json_object_get(json, "line")), 17);
    assert_int_equal(json_integer_value(json_object_get(json, "index")), 16);
    assert_true(json_is_false(json_object_get(json, "fixable")) && json_is_false(json_object_get(json, "dropped")));
    json_decref(json);
    plumb_text_free(&out);
    plumb_text_free(&f.message);
}

/* ---- the fix ---- */

static void fix_drops_rows(void **state)
{
    (void)state;
    static const char rows[] = "{'prompt': 'Hi.',  'chosen': 'you', 'rejected': 'me', 'x': 1}\r\n" /* kept as it is */
                               "\n" TEXT("Hi.", "you", "me")                                       /* a duplicate */
        TEXT("Ho.", "you", "you") TEXT("Ho.", "", "") "{'bad'\n"                                   /* kept */
        TEXT("He.", "no", "yes");
    plumb_encoder *encoder = open_encoder("olmo", NULL);
    lines found = {.rule = rule_of("PD204")};
    plumb_lint_report report;
    plumb_lint_job job = {.data = rows_file(rows),
                          .end = -1,
                          .options = options_of(encoder, 0),
                          .fix = true,
                          .emit = collect,
                          .user = &found};
    plumb_text kept = {0};
    const char *path = scratch("fixed.jsonl");
    check_ok(plumb_output_open(path, false, &job.fixed));
    check_ok(plumb_lint_run(&job, NULL, &report));
    check_ok(plumb_output_commit(job.fixed));
    check_ok(plumb_read_file(path, 1 << 20, &kept));
    assert_string_equal(kept.data,
                        "{\"prompt\": \"Hi.\",  \"chosen\": \"you\", \"rejected\": \"me\", \"x\": 1}\r\n{\"bad\"\n"
                        "{\"prompt\": \"He.\", \"chosen\": \"no\", \"rejected\": \"yes\"}\n");
    assert_int_equal(report.rows, 6);
    assert_int_equal(report.dropped, 3);
    assert_int_equal(report.faulty, 4);
    assert_int_equal(report.findings, 5); /* PD202; PD201; PD201 and PD204; PF304 */
    assert_int_equal(report.fixable, 4);
    assert_int_equal(report.dropped_counts[rule_of("PD201")], 2);
    assert_int_equal(report.dropped_counts[rule_of("PD202")], 1);
    assert_int_equal(found.count, 1);
    assert_int_equal(found.line[0], 5);
    plumb_text_free(&kept);
    plumb_encoder_close(encoder);
}

static void no_rows(void **state)
{
    (void)state;
    plumb_encoder *encoder = open_encoder("olmo", NULL);
    plumb_lint_report report;
    plumb_lint_job job = {.data = rows_file("\n"), .end = -1, .options = options_of(encoder, 0), .emit = collect};
    check_error(plumb_lint_run(&job, NULL, &report), PLUMB_E_INPUT, "there are no rows in it");
    job.begin = 7;
    check_error(plumb_lint_run(&job, NULL, &report), PLUMB_E_INPUT, "in this range");
    plumb_encoder_close(encoder);
}

/* ---- the set of pairs ---- */

static XXH128_hash_t hash_of(uint64_t i)
{
    return XXH3_128bits(&i, sizeof i);
}

static void many_pairs(void **state)
{
    (void)state;
    enum { PAIRS = 100000 };
    plumb_seen *seen;
    check_ok(plumb_seen_new(&seen));
    for (int i = 1; i <= PAIRS; i++) {
        assert_int_equal(plumb_seen_find(seen, hash_of((uint64_t)i)), 0);
        check_ok(plumb_seen_add(seen, hash_of((uint64_t)i), i));
    }
    for (int i = 1; i <= PAIRS; i++) assert_int_equal(plumb_seen_find(seen, hash_of((uint64_t)i)), i);
    /* The lower half of the hash alone does not make two pairs the same, and lines may be long. */
    XXH128_hash_t like = hash_of(1);
    like.high64 ^= (uint64_t)1 << 63;
    assert_int_equal(plumb_seen_find(seen, like), 0);
    check_ok(plumb_seen_add(seen, like, ((int64_t)1 << 40) - 1));
    assert_int_equal(plumb_seen_find(seen, like), ((int64_t)1 << 40) - 1);
    assert_int_equal(plumb_seen_find(seen, hash_of(1)), 1);
    plumb_seen_free(seen);
}

/* ---- the pages ---- */

static void read_page(const char *path, plumb_text *out)
{
    plumb_text_clear(out);
    check_ok(plumb_read_file(path, 1 << 20, out));
}

static void need(const plumb_text *page, const char *path, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!strstr(page->data, text)) fail_msg("%s does not have: %s", path, text);
}

/* Every code has its page, which says of it what the table says, and stands in the list. */
static void pages(void **state)
{
    (void)state;
    size_t count;
    const plumb_lint_rule *rules = plumb_lint_rules(&count);
    plumb_text list = {0}, page = {0};
    read_page(DOCS "lint.md", &list);
    for (size_t i = 0; i < count; i++) {
        const plumb_lint_rule *r = &rules[i];
        const char *severity = r->severity == PLUMB_ERROR ? "error" : "warning";
        char path[512];
        snprintf(path, sizeof path, DOCS "lint/%s.md", r->code);
        read_page(path, &page);
        need(&page, path, "# %s %s\n", r->code, r->name);
        need(&page, path, "| Means | %s |\n", r->meaning);
        need(&page, path, "| Cure | %s |\n", r->cure);
        need(&page, path, "| Severity | %s |\n", severity);
        need(&page, path, "| `--fix` | %s |\n", r->fixable ? "drops the row" : "leaves it as it is");
        need(&page, path, "\n## Why it matters\n");
        need(&page, path, "\n## Example\n");
        need(&page, path, "\n## What to do\n");
        need(&list, "lint.md", "| [%s](lint/%s.md) | %s | %s | %s | %s |\n", r->code, r->code, r->name, r->meaning,
             severity, r->fixable ? "drops" : "");
    }
    plumb_text_free(&list);
    plumb_text_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_has_its_row),
        cmocka_unit_test(each_rule_is_in_the_table),
        cmocka_unit_test(reference_boundaries),
        cmocka_unit_test(selection),
        cmocka_unit_test(only_selected),
        cmocka_unit_test(ratio),
        cmocka_unit_test(formats),
        cmocka_unit_test(fix_drops_rows),
        cmocka_unit_test(no_rows),
        cmocka_unit_test(many_pairs),
        cmocka_unit_test(pages),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
