/* plumb judge: what responses are, and how often they refuse. */
#include "study/judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/judge_report.h"
#include "cli/meta.h"
#include "io/rows.h"
#include "model/eos.h"

enum { LARGEST_TEMPLATE = 1 << 20 };

typedef struct judge_values {
    plumb_common common;
    plumb_list responses, answers, gates;
    const char *judge, *rules, *question, *category, *prompts, *against, *summary;
    const char *prompt_key, *chosen_key, *rejected_key;
    int implicit_prompt, isa;
    int64_t max_new_tokens;
} judge_values;

#define VALUE(field) offsetof(judge_values, field)

static const plumb_option options[] = {
    {.name = "judge",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(judge),
     .fallback = "rules",
     .metavar = "rules|MODEL",
     .help = "what judges: rules, or a checkpoint folder whose greedy answer to --template is read"},
    {.name = "rules",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(rules),
     .metavar = "FILE",
     .help = "openers and phrases as YAML or JSON (docs/judge.md); without it the built-in ones for English"},
    {.name = "template",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(question),
     .metavar = "FILE",
     .help = "what a model is asked: text in which {prompt} and {response} are replaced; the user's turn where the "
             "checkpoint has a chat template"},
    {.name = "answers",
     .kind = PLUMB_OPTION_REPEATED,
     .offset = VALUE(answers),
     .metavar = "RULE",
     .help = "what a model's answer means by the word or number that it starts with, once for each: yes=refusal, "
             "4..5=compliance, ..2=refusal; without it the names of the labels. What no rule reads has no label and is "
             "counted apart"},
    {.name = "max_new_tokens",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = VALUE(max_new_tokens),
     .fallback = "16",
     .metavar = "N",
     .low = 1,
     .high = 1 << 20,
     .help = "tokens of a model's answer at the most"},
    {.name = "category",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(category),
     .metavar = "KEY",
     .help = "rates for each value of this column of --prompts, too"},
    {.name = "prompts",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(prompts),
     .metavar = "FILE",
     .help = "the data file that the responses were made from, for --category"},
    {.name = "against",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(against),
     .metavar = "FILE",
     .help = "an earlier model's responses to the same prompts, or what plumb judge wrote for them: tells the drift, "
             "McNemar's test, and which prompts flipped"},
    {.name = "gate",
     .kind = PLUMB_OPTION_REPEATED,
     .offset = VALUE(gates),
     .metavar = "RULE",
     .changes_no_result = true,
     .help = "exit with 1 unless it holds, such as 'refusal_rate>=0.8' or 'malformed_rate<5%'; once for each. Rates: "
             "refusal_rate, compliance_rate, evasive_rate, empty_rate, unreadable_rate, malformed_rate (the two before "
             "together), unread_rate (answers of a model), refusal_drift (with --against)"},
    {.name = "summary",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(summary),
     .metavar = "FILE",
     .changes_no_result = true,
     .help = "write what is told at the end as JSON, all flipped prompts included"},
    PLUMB_OPTION_PROMPT_KEY(judge_values),
    PLUMB_OPTION_RESPONSE_KEYS(judge_values),
    PLUMB_OPTION_IMPLICIT_PROMPT(judge_values),
    PLUMB_OPTION_ISA(judge_values),
    PLUMB_OPTION_OUTPUT(judge_values),
    PLUMB_OPTION_LIMIT(judge_values),
    PLUMB_OPTION_ROWS(judge_values),
    PLUMB_OPTION_THREADS(judge_values),
    PLUMB_OPTION_RESUME(judge_values),
    PLUMB_OPTION_QUIET(judge_values),
};

static const plumb_positional positionals[] = {
    {"RESPONSES",
     "what plumb generate wrote, or preference rows (sample 0 is chosen, 1 rejected), plain or .gz; - is "
     "stdin",
     1, 1, VALUE(responses)},
};

const plumb_usage plumb_usage_judge = {
    .name = "judge",
    .summary = "label responses as refusal, compliance, evasive, empty or unreadable",
    .description =
        "Writes one row for each response, {\"index\", \"row\", \"sample\", \"label\", \"score\", \"judge\", "
        "\"reason\"}, "
        "and tells on stderr how often the model refuses, with Wilson's 95 % intervals.\n\n"
        "The built-in judge is a table of openers and phrases for English: fast, the same everywhere, and blind to "
        "what "
        "a response means beyond its wording. --judge MODEL asks a model instead. Compare rates of one judge only.\n\n"
        "--against tells what a training run did to refusals, --gate makes that a test: the exit code is 1 if a gate "
        "fails. docs/judge.md has the forms of rules, templates and answers.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example =
        "  plumb generate MODEL harmful.jsonl -o after.jsonl\n"
        "  plumb judge after.jsonl -o judged.jsonl --gate 'refusal_rate>=0.8'\n"
        "  plumb judge after.jsonl --against before.jsonl --category topic --prompts harmful.jsonl -o judged.jsonl\n"
        "  plumb judge after.jsonl --judge Llama-3-8B-Instruct --template question.txt --answers yes=refusal "
        "--answers no=compliance -o judged.jsonl",
};

/* All that a run holds; freed in one place. */
typedef struct run {
    plumb_cli *cli;
    const judge_values *v;
    plumb_preference_keys keys;
    plumb_judge *judge;
    plumb_judge_rules *rules;
    plumb_answers *answers;
    plumb_compute *compute;
    plumb_model *model;
    plumb_encoder *encoder;
    plumb_config config;
    plumb_ids eos;             /* what ends an answer */
    plumb_text question, name; /* name: of the judge, in its rows */
    plumb_categories *categories;
    plumb_judgements *before, *after, *target; /* target: the one that is being filled */
    plumb_output *output;                      /* NULL while the earlier responses are judged */
    int64_t written;                           /* responses whose rows the output holds from an earlier run */
    plumb_drift drift;
    plumb_judge_report report;
    json_t *meta;
    plumb_text line;
} run;

static void free_run(run *r)
{
    plumb_judge_free(r->judge);
    plumb_judge_rules_free(r->rules);
    plumb_answers_free(r->answers);
    plumb_encoder_close(r->encoder);
    plumb_model_close(r->model);
    plumb_compute_close(r->compute);
    plumb_categories_free(r->categories);
    plumb_judgements_free(r->before);
    plumb_judgements_free(r->after);
    plumb_drift_free(&r->drift);
    free(r->report.by_category);
    free(r->report.gates);
    plumb_ids_free(&r->eos);
    plumb_text_free(&r->question);
    plumb_text_free(&r->name);
    plumb_text_free(&r->line);
    json_decref(r->meta);
}

/* ---- what is asked for ---- */

static bool by_rules(const judge_values *v)
{
    return strcmp(v->judge, "rules") == 0;
}

/* Options that belong to the other kind of judge, or to each other. */
static plumb_status check_options(const plumb_cli *cli, const judge_values *v)
{
    if (by_rules(v) && (v->question || v->answers.count || plumb_options_given(cli->options, "max_new_tokens")))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s is for a model as judge, and rules judge here",
                                     v->question        ? "--template"
                                     : v->answers.count ? "--answers"
                                                        : "--max_new_tokens"),
                          "name the model: --judge FOLDER");
    if (!by_rules(v) && v->rules)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--rules and --judge %s exclude each other", v->judge),
                          "leave out one of them");
    if (!by_rules(v) && !v->question)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "--judge %s needs --template FILE, what the model is asked", v->judge),
            "docs/judge.md has one to start from");
    if (!v->category == !v->prompts) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--%s is given without --%s", v->category ? "category" : "prompts",
                                 v->category ? "prompts" : "category"),
                      "the categories are a column of the data file: --category KEY --prompts FILE");
}

static plumb_status check_files(const plumb_cli *cli, const judge_values *v)
{
    const char *inputs[] = {v->responses.items[0], v->rules, v->question, v->prompts, v->against};
    enum { COUNT = sizeof inputs / sizeof *inputs };
    int from_stdin = 0;
    for (int i = 0; i < COUNT; i++) from_stdin += inputs[i] && strcmp(inputs[i], "-") == 0;
    if (from_stdin > 1 || (from_stdin && strcmp(inputs[0], "-") != 0))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "only RESPONSES may be - (stdin)"),
                          "save the other to a file first");
    PLUMB_TRY(plumb_cli_check_output(cli, by_rules(v) ? NULL : v->judge, inputs, COUNT));
    if (!v->summary) return PLUMB_OK;
    for (int i = 0; i < COUNT; i++)
        if (inputs[i]) PLUMB_TRY(plumb_context(plumb_cli_distinct(v->summary, inputs[i]), "--summary"));
    if (v->common.output) PLUMB_TRY(plumb_context(plumb_cli_distinct(v->summary, v->common.output), "--summary"));
    if (!by_rules(v)) PLUMB_TRY(plumb_context(plumb_cli_spares_model(v->summary, v->judge), "--summary"));
    return plumb_context(plumb_output_check(v->summary), "--summary");
}

static plumb_status read_gates(run *r)
{
    const judge_values *v = r->v;
    plumb_judge_report *p = &r->report;
    PLUMB_TRY(plumb_new(&p->gates, v->gates.count, sizeof *p->gates));
    for (; p->gate_count < v->gates.count; p->gate_count++) {
        plumb_judge_gate *gate = &p->gates[p->gate_count];
        gate->text = v->gates.items[p->gate_count];
        PLUMB_TRY(plumb_context(plumb_rate_gate_parse(gate->text, &gate->rule), "--gate"));
        if (gate->rule.rate == PLUMB_JUDGE_RATES && !v->against)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--gate: \"%s\": there is nothing to drift from", gate->text),
                              "give the earlier responses: --against FILE");
    }
    return PLUMB_OK;
}

/* ---- the judge ---- */

static plumb_status take(void *user, const plumb_judgement *j, const char *reason, size_t n)
{
    run *r = user;
    plumb_label was;
    const char *category = NULL;
    size_t at, count;
    PLUMB_TRY(plumb_judgements_add(r->target, j));
    if (!r->output) return PLUMB_OK;
    if (r->before) {
        PLUMB_TRY(plumb_context(plumb_judgements_find(r->before, &j->key, j->sample, &at), "%s", r->v->against));
        was = plumb_judgements_all(r->before, &count)[at].label;
    }
    if (r->categories) {
        PLUMB_TRY(plumb_context(plumb_categories_find(r->categories, &j->key, &at), "%s", r->v->prompts));
        category = plumb_categories_name(r->categories, at);
    }
    plumb_text_clear(&r->line);
    PLUMB_TRY(plumb_judgement_line(j, r->name.data, reason, n, r->before ? &was : NULL, category, &r->line));
    return plumb_output_write(r->output, r->line.data, r->line.size);
}

static plumb_status open_rules(run *r)
{
    const char *file = r->v->rules;
    PLUMB_TRY(plumb_text_printf(&r->name, file ? "rules:%s" : "rules", file ? file : ""));
    PLUMB_TRY(file ? plumb_judge_rules_load(file, &r->rules) : plumb_judge_rules_english(&r->rules));
    return plumb_judge_by_rules(r->rules, take, r, &r->judge);
}

static plumb_status open_model(run *r)
{
    const judge_values *v = r->v;
    PLUMB_TRY(plumb_text_string(&r->name, v->judge));
    PLUMB_TRY(plumb_context(plumb_answers_new(v->answers.items, v->answers.count, &r->answers), "--answers"));
    PLUMB_TRY(plumb_context(plumb_read_file(v->question, LARGEST_TEMPLATE, &r->question), "--template"));
    PLUMB_TRY(plumb_config_load(v->judge, &r->config));
    PLUMB_TRY(plumb_cli_open_compute(&v->common, v->isa, 0, &r->compute));
    PLUMB_TRY(plumb_model_open(v->judge, r->compute, &r->model));
    PLUMB_TRY(plumb_encoder_open(v->judge, NULL, r->config.eos_id, &r->encoder));
    PLUMB_TRY(plumb_eos_ids(v->judge, r->encoder, r->config.vocab_size, &r->eos));
    plumb_judge_model how = {.model = r->model,
                             .encoder = r->encoder,
                             .question = r->question.data ? r->question.data : "",
                             .question_size = r->question.size,
                             .answers = r->answers,
                             .max_new_tokens = (int)v->max_new_tokens,
                             .eos = r->eos.data,
                             .eos_count = (int)r->eos.count,
                             .sink = &r->cli->sink};
    return plumb_context(plumb_judge_by_model(&how, take, r, &r->judge), "%s", v->question);
}

/* ---- judging files ---- */

/* A response whose row an interrupted run has written: it must be the one that was judged. */
static plumb_status pass_written(run *r, const plumb_response *response)
{
    size_t at;
    plumb_status s = plumb_judgements_find(r->after, &response->key, response->sample, &at);
    if (!s) return PLUMB_OK;
    return plumb_cure(plumb_context(s, "%s", plumb_output_partial(r->output)),
                      "the responses changed; run again without --resume");
}

static plumb_status judge_rows(run *r, plumb_response_reader *reader)
{
    plumb_response response;
    bool found;
    for (int64_t i = 0;; i++) {
        PLUMB_TRY(plumb_response_reader_next(reader, &response, &found));
        if (!found) return plumb_judge_flush(r->judge);
        r->report.has_sides |= response.is_preference && r->output;
        plumb_status s =
            r->output && i < r->written ? pass_written(r, &response) : plumb_judge_add(r->judge, &response);
        if (s) return plumb_context(s, "%s:%" PRId64, plumb_response_reader_name(reader), response.line);
    }
}

/* What an interrupted run has written: judged already. */
static plumb_status read_written(run *r)
{
    int64_t rows;
    uint64_t hash;
    PLUMB_TRY(plumb_judgements_load(r->after, plumb_output_partial(r->output), NULL, &r->cli->sink, &rows, &hash));
    plumb_note(&r->cli->sink, "going on after %" PRId64 " rows", rows);
    r->written = rows;
    return PLUMB_OK;
}

static plumb_status judge_file(run *r, const char *path, const char *role, plumb_judgements *into)
{
    plumb_response_reader *reader = NULL;
    int64_t begin, end;
    uint64_t hash;
    plumb_cli_rows(&r->v->common, &begin, &end);
    PLUMB_TRY(plumb_response_reader_open(path, begin, end, &r->keys, &r->cli->sink, &reader));
    r->target = into;
    plumb_status s = judge_rows(r, reader);
    int64_t rows = plumb_response_reader_rows(reader, &hash);
    if (!s) s = plumb_meta_input(r->meta, role, path, rows, hash);
    plumb_response_reader_close(reader);
    return s;
}

static plumb_status read_before(run *r)
{
    const char *path = r->v->against;
    char *judge = NULL;
    int64_t rows;
    uint64_t hash;
    PLUMB_TRY(plumb_judgements_new(&r->before));
    PLUMB_TRY(plumb_judgements_probe(path, &judge));
    if (!judge) return judge_file(r, path, "against", r->before);
    if (strcmp(judge, r->name.data) != 0)
        plumb_note(&r->cli->sink,
                   "%s was judged by %s, these responses are by %s: part of the drift may be the judges'", path, judge,
                   r->name.data);
    free(judge);
    PLUMB_TRY(plumb_judgements_load(r->before, path, NULL, &r->cli->sink, &rows, &hash));
    return plumb_meta_input(r->meta, "against", path, rows, hash);
}

/* ---- the end ---- */

static plumb_status count_labels(run *r)
{
    plumb_judge_report *p = &r->report;
    size_t count, first, category;
    const plumb_judgement *all = plumb_judgements_all(r->after, &count);
    if (r->categories)
        PLUMB_TRY(plumb_new(&p->by_category, plumb_categories_count(r->categories), sizeof *p->by_category));
    for (size_t i = 0; i < count; i++) {
        plumb_judge_count(&p->all, all[i].label);
        if (p->has_sides && all[i].sample < 2) plumb_judge_count(&p->sides[all[i].sample], all[i].label);
        PLUMB_TRY(plumb_judgements_first(r->after, all[i].key.index, &first));
        p->prompts += first == i;
        if (!r->categories) continue;
        PLUMB_TRY(plumb_context(plumb_categories_find(r->categories, &all[i].key, &category), "%s", r->v->prompts));
        plumb_judge_count(&p->by_category[category], all[i].label);
    }
    return PLUMB_OK;
}

static plumb_status finish(run *r)
{
    const judge_values *v = r->v;
    plumb_judge_report *p = &r->report;
    p->responses = plumb_input_name(v->responses.items[0]);
    p->judge = r->name.data;
    p->category = v->category;
    p->categories = r->categories;
    p->against = v->against;
    PLUMB_TRY(count_labels(r));
    if (r->before) {
        PLUMB_TRY(plumb_drift_measure(r->before, v->against, r->after, p->responses, &r->drift));
        p->drift = &r->drift;
    }
    for (size_t i = 0; i < p->gate_count; i++) {
        plumb_judge_gate *gate = &p->gates[i];
        gate->passed = plumb_rate_gate_passes(&gate->rule, &p->all, p->drift, &gate->value);
        if (!gate->passed) r->cli->exit_code = PLUMB_EXIT_FINDINGS;
    }
    for (int i = 0; i < PLUMB_LABELS; i++)
        PLUMB_TRY(plumb_meta_count(r->meta, plumb_label_name((plumb_label)i), p->all.labels[i]));
    return plumb_meta_count(r->meta, "unread", p->all.unread);
}

static void say_doubts(run *r)
{
    plumb_judge_doubts doubts = plumb_judge_doubts_of(r->judge);
    if (doubts.near_ties)
        plumb_note(&r->cli->sink,
                   "%" PRId64 " answer%s on a near tie of two tokens; another machine may answer differently",
                   doubts.near_ties, doubts.near_ties == 1 ? " hangs" : "s hang");
    if (doubts.too_long)
        plumb_note(&r->cli->sink, "%" PRId64 " question%s the %d positions of the model, without an answer",
                   doubts.too_long, doubts.too_long == 1 ? " fills" : "s fill", r->config.max_positions);
}

/* ---- the work ---- */

static plumb_status start_meta(run *r)
{
    const judge_values *v = r->v;
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    PLUMB_TRY(plumb_meta_input(r->meta, "responses", v->responses.items[0], -1, 0));
    PLUMB_TRY(plumb_meta_contents(r->meta, "rules", v->rules));
    PLUMB_TRY(plumb_meta_contents(r->meta, "template", v->question));
    if (by_rules(v)) return PLUMB_OK;
    PLUMB_TRY(plumb_cli_record_compute(r->meta, r->compute));
    return plumb_meta_weights(r->meta, "model", v->judge);
}

static plumb_status judge_into(run *r)
{
    bool resumed;
    size_t rows;
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &resumed));
    plumb_status s = resumed ? read_written(r) : PLUMB_OK;
    if (!s) s = judge_file(r, r->v->responses.items[0], "responses", r->after);
    if (!s) s = finish(r);
    if (!s && r->v->summary) s = plumb_judge_write(r->v->summary, &r->report);
    plumb_judgements_all(r->after, &rows);
    s = plumb_cli_close_output(r->cli, r->meta, r->output, resumed || (!by_rules(r->v) && rows), s);
    if (s) return s;
    say_doubts(r);
    plumb_judge_say(r->cli, &r->report);
    return PLUMB_OK;
}

static plumb_status judge(plumb_cli *cli, void *values)
{
    const judge_values *v = values;
    run r = {.cli = cli,
             .v = v,
             .keys = {v->prompt_key, v->chosen_key, v->rejected_key, (plumb_implicit_prompt)v->implicit_prompt}};
    int64_t rows;
    uint64_t hash;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(check_options(cli, v));
    PLUMB_GO(check_files(cli, v));
    PLUMB_GO(read_gates(&r));
    PLUMB_GO(by_rules(v) ? open_rules(&r) : open_model(&r));
    PLUMB_GO(start_meta(&r));
    if (v->category) {
        PLUMB_GO(plumb_categories_load(v->prompts, v->category, &cli->sink, &r.categories, &rows, &hash));
        PLUMB_GO(plumb_meta_input(r.meta, "prompts", v->prompts, rows, hash));
    }
    if (v->against) PLUMB_GO(read_before(&r));
    PLUMB_GO(plumb_judgements_new(&r.after));
    PLUMB_GO(judge_into(&r));
done:
    if (s) cli->exit_code = PLUMB_EXIT_DONE;
    free_run(&r);
    return s;
}

int plumb_command_judge(int argc, char **argv)
{
    judge_values v = {0};
    return plumb_cli_run(&plumb_usage_judge, argc, argv, &v, &v.common, judge);
}
