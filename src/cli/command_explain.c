/* plumb explain: single pairs in the light of the paper's theorems. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "align/pair_reader.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/written_rows.h"
#include "io/rows.h"
#include "study/explain.h"
#include "study/trace_run.h"

typedef struct explain_values {
    plumb_common common;
    plumb_list model, data;
    plumb_reals pairs;
    int format, compat, implicit_prompt, isa, compute;
    int64_t max_length, top, cells;
    const char *after, *prompt_key, *chosen_key, *rejected_key, *chat_template;
    bool all, check, gradients;
} explain_values;

enum { TEXT, JSON };

static const plumb_option options[] = {
    {.name = "pair",
     .kind = PLUMB_OPTION_REALS,
     .offset = offsetof(explain_values, pairs),
     .low = 0,
     .high = INT64_C(1) << 52,
     .metavar = "INDEX",
     .help = "the pairs to explain, by their row numbers in DATA, from 0, blank lines not counted: \"index\" of score "
             "rows. They come in the order of the file"},
    {.name = "all",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(explain_values, all),
     .help = "explain every pair, or with --range and --limit those"},
    {.name = "format",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(explain_values, format),
     .choices = "text|json",
     .fallback = "text",
     .help = "words and numbers for people, or a JSON line for each pair"},
    {.name = "after",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(explain_values, after),
     .metavar = "MODEL",
     .help =
         "the model after training (a checkpoint, a LoRA adapter for MODEL or a checkpoint-N): what the likelihoods "
         "became, and for responses of one token which tokens did gain, beside those that were predicted"},
    {.name = "check",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(explain_values, check),
     .help =
         "take one step of gradient flow in fp64, so small that no logit moves by more than 0.001, on a copy of the "
         "unembedding and the hidden states, and compare the change of ln pi(y+) with the prediction. If they "
         "differ by more than 1 % of its parts, the exit code is 1"},
    {.name = "top",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(explain_values, top),
     .fallback = "10",
     .low = 1,
     .high = 1000,
     .metavar = "K",
     .help = "how many tokens the lists hold"},
    {.name = "cells",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(explain_values, cells),
     .fallback = "128",
     .low = 0,
     .high = 8192,
     .metavar = "N",
     .help = "the most rows and columns of the matrices in JSON; of longer responses neighbouring tokens are summed in "
             "bins. 0: no matrices"},
    {.name = "gradients",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(explain_values, gradients),
     .help = "the inner products of the full gradients too: the rate over all parameters. Takes two backward passes a "
             "pair and 8 bytes a parameter"},
    {.name = "compat",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(explain_values, compat),
     .choices = "trl|official",
     .fallback = "trl",
     .help = "how a pair becomes tokens: as TRL's DPOTrainer, or as the paper's own code (no EOS, responses raw behind "
             "the prompt's template)"},
    {.name = "max_length",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(explain_values, max_length),
     .metavar = "N",
     .low = 2,
     .high = 1 << 24,
     .help = "cut prompt + response at N tokens, at the end; without it 1024 or the model's positions, the smaller "
             "(--compat official: no cut)"},
    PLUMB_OPTION_PROMPT_KEY(explain_values),
    PLUMB_OPTION_RESPONSE_KEYS(explain_values),
    PLUMB_OPTION_IMPLICIT_PROMPT(explain_values),
    PLUMB_OPTION_CHAT_TEMPLATE(explain_values),
    PLUMB_OPTION_ISA(explain_values),
    PLUMB_OPTION_COMPUTE(explain_values),
    PLUMB_OPTION_OUTPUT(explain_values),
    PLUMB_OPTION_LIMIT(explain_values),
    PLUMB_OPTION_ROWS(explain_values),
    PLUMB_OPTION_ON_ERROR(explain_values),
    PLUMB_OPTION_THREADS(explain_values),
    PLUMB_OPTION_RESUME(explain_values),
    PLUMB_OPTION_DRY_RUN(explain_values),
    PLUMB_OPTION_QUIET(explain_values),
};

static const plumb_positional positionals[] = {
    {"MODEL", "a Hugging Face checkpoint folder: the model before training", 1, 1, offsetof(explain_values, model)},
    {"DATA", "preference rows as JSONL, plain or .gz; - is stdin", 1, 1, offsetof(explain_values, data)},
};

const plumb_usage plumb_usage_explain = {
    .name = "explain",
    .summary = "why does a pair push its chosen response down, which words are to blame?",
    .description =
        "Tells for single pairs what the theorems of the paper (arXiv 2410.08847) say about them: at which rate the "
        "likelihood of the preferred response moves when training on the pair begins, which parts that rate has, and "
        "how much each token of both responses contributes. For responses of one token (or of one token and EOS) also "
        "which tokens of the vocabulary will take the probability.\n\n"
        "The rate is the time derivative of ln pi(y+|x) under gradient flow with the unembedding and the final hidden "
        "states as the parameters, up to the slope of the loss; below 0 the likelihood falls. docs/theory.md has the "
        "formulas, docs/explain.md the fields of --format json.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb explain OLMo-1B-hf pairs.jsonl --pair 3\n"
               "  plumb explain OLMo-1B-hf pairs.jsonl --pair 3 17 --check --after run --format json -o why.jsonl",
};

typedef struct run {
    plumb_cli *cli;
    const explain_values *v;
    plumb_compute *compute;
    plumb_model *model;
    plumb_derived_model after;
    plumb_encoder *encoder;
    plumb_pair_reader *reader;
    plumb_explainer *explainer;
    plumb_explain_how how;
    plumb_output *output;
    plumb_scorer *plan; /* with --dry-run */
    int64_t check_bytes;
    json_t *meta;
    plumb_text line;
    int64_t begin; /* the first row that is read */
    int64_t explained, disagreements;
} run;

static void free_run(run *r)
{
    plumb_explainer_free(r->explainer);
    plumb_scorer_free(r->plan);
    plumb_pair_reader_close(r->reader);
    plumb_encoder_close(r->encoder);
    plumb_derived_model_close(&r->after);
    plumb_model_close(r->model);
    plumb_compute_close(r->compute);
    plumb_text_free(&r->line);
    json_decref(r->meta);
}

/* ---- what is asked for ---- */

static plumb_status check_selection(const plumb_cli *cli, const explain_values *v)
{
    bool some = plumb_options_given(cli->options, "range") || plumb_options_given(cli->options, "limit");
    if (!v->pairs.count && !v->all)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "which pairs shall be explained?"),
            "give their row numbers with --pair INDEX, or --all (with --range and --limit: some of them)");
    if (v->pairs.count && (v->all || some))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--pair and %s exclude each other", v->all ? "--all" : "--range"),
                          "--pair takes several row numbers");
    if (v->common.resume && v->format == TEXT)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--resume: a text is written anew"),
                          "JSON lines can be gone on with: --format json");
    for (size_t i = 0; i < v->pairs.count; i++)
        if (v->pairs.items[i] != floor(v->pairs.items[i]))
            return plumb_fail(PLUMB_E_INPUT, "--pair: %g is no row number", v->pairs.items[i]);
    return PLUMB_OK;
}

static bool is_wanted(const explain_values *v, int64_t index)
{
    for (size_t i = 0; i < v->pairs.count; i++)
        if ((int64_t)v->pairs.items[i] == index) return true;
    return v->all;
}

/* The last row that is asked for; -1: all. */
static int64_t last_wanted(const explain_values *v)
{
    int64_t last = -1;
    for (size_t i = 0; i < v->pairs.count; i++)
        if ((int64_t)v->pairs.items[i] > last) last = (int64_t)v->pairs.items[i];
    return last;
}

/* ---- opening ---- */

/* Predictions are about tokens: the model after training must mean the same ones. */
static plumb_status open_after(run *r)
{
    if (!r->v->after) return PLUMB_OK;
    PLUMB_TRY(plumb_derived_same_tokenizer(r->v->model.items[0], r->v->after));
    return plumb_derived_model_open(r->model, r->v->after, &r->after);
}

static plumb_status open_models(run *r)
{
    const explain_values *v = r->v;
    const char *folder = v->model.items[0];
    if (v->after) PLUMB_TRY(plumb_check_order(folder, v->after));
    PLUMB_TRY(plumb_cli_open_compute(&v->common, v->isa, v->compute, &r->compute));
    PLUMB_TRY(plumb_model_open(folder, r->compute, &r->model));
    PLUMB_TRY(plumb_encoder_open(folder, v->chat_template, r->model->config.eos_id, &r->encoder));
    PLUMB_TRY(open_after(r));
    r->how = (plumb_explain_how){
        .model = r->model,
        .after = r->after.model,
        .tokenizer = r->encoder->tokenizer,
        .after_name = v->after,
        .data = plumb_input_name(v->data.items[0]),
        .compat = (plumb_compat)v->compat,
        .top = (int)v->top,
        .cells = v->format == JSON ? (int)v->cells : 0,
        .gradients = v->gradients,
        .check = v->check,
        .sink = &r->cli->sink,
    };
    return plumb_explainer_new(&r->how, &r->explainer);
}

static plumb_status open_reader(run *r)
{
    const explain_values *v = r->v;
    const int length =
        plumb_cli_max_length(r->cli, v->max_length, r->model->config.max_positions, v->compat == PLUMB_COMPAT_OFFICIAL);
    plumb_pair_source source = {
        .path = v->data.items[0],
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, (plumb_implicit_prompt)v->implicit_prompt},
        .pairing = {r->encoder, (plumb_compat)v->compat, length, r->model->config.vocab_size},
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &r->cli->sink,
    };
    plumb_cli_rows(&v->common, &source.begin, &source.end);
    r->begin = source.begin;
    if (!v->all) source.end = last_wanted(v) + 1;
    return plumb_pair_reader_open(&source, &r->reader);
}

/* ---- the work ---- */

static plumb_status explain_pair(run *r, const plumb_row *row, const plumb_pair *pair)
{
    const plumb_explanation *x;
    if (pair->skip && !r->v->all)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s:%" PRId64 ": pair %" PRId64 " is skipped: %s", r->how.data,
                                     row->line, row->index, plumb_skip_name(pair->skip)),
                          pair->skip == PLUMB_SKIP_PROMPT_TOO_LONG ? "give a larger --max_length"
                                                                   : "plumb lint tells what is wrong with it");
    PLUMB_TRY(plumb_context(plumb_explainer_run(r->explainer, row->index, row->hash, pair, &x), "%s", r->how.data));
    plumb_text_clear(&r->line);
    if (r->v->format == TEXT && r->explained) PLUMB_TRY(plumb_text_string(&r->line, "\n"));
    PLUMB_TRY(r->v->format == JSON ? plumb_explain_json(&r->how, x, &r->line)
                                   : plumb_explain_text(&r->how, x, &r->line));
    r->explained++;
    if (x->has_check && !x->check.agrees) r->disagreements++;
    return plumb_output_write(r->output, r->line.data, r->line.size);
}

static plumb_status plan_pair(run *r, const plumb_row *row, const plumb_pair *pair)
{
    PLUMB_TRY(plumb_scorer_add(r->plan, row->index, row->hash, pair));
    r->explained++;
    if (pair->skip || !r->v->check) return PLUMB_OK;
    int64_t bytes = plumb_theory_step_bytes((int)pair->ids[0].count - pair->prompt,
                                            (int)pair->ids[1].count - pair->prompt, r->model->config.hidden_size);
    if (bytes > r->check_bytes) r->check_bytes = bytes;
    return PLUMB_OK;
}

static plumb_status no_such_row(const run *r)
{
    int64_t rows = plumb_pair_reader_rows(r->reader, NULL, NULL), last = last_wanted(r->v);
    if (rows == 0)
        return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows %s", r->how.data,
                          plumb_options_given(r->cli->options, "range") ? "in this range" : "in it");
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there is no pair %" PRId64 ": its rows are 0 to %" PRId64,
                                 r->how.data, last, rows - 1),
                      "rows are counted from 0, blank lines are not");
}

static plumb_status read_pairs(run *r, plumb_status (*take)(run *r, const plumb_row *row, const plumb_pair *pair))
{
    const plumb_row *row;
    const plumb_pair *pair;
    bool found;
    int64_t next = r->begin, last = last_wanted(r->v);
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(&r->cli->sink));
        bool wanted = is_wanted(r->v, next++);
        PLUMB_TRY(wanted ? plumb_pair_reader_next(r->reader, &row, &pair, &found)
                         : plumb_pair_reader_pass(r->reader, &row, &found));
        if (!found) break;
        if (!wanted) continue;
        PLUMB_TRY(take(r, row, pair));
        if (r->v->all)
            plumb_progress(&r->cli->sink, "pairs", (double)r->explained, plumb_pair_reader_expected(r->reader));
    }
    int64_t rows = plumb_pair_reader_rows(r->reader, NULL, NULL);
    return rows == 0 || last >= rows ? no_such_row(r) : PLUMB_OK;
}

/* ---- the record ---- */

static plumb_status start_meta(run *r)
{
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    PLUMB_TRY(plumb_cli_record_compute(r->meta, r->compute));
    PLUMB_TRY(plumb_meta_weights(r->meta, "model", r->v->model.items[0]));
    if (r->v->after) PLUMB_TRY(plumb_meta_weights(r->meta, "after", r->v->after));
    return plumb_meta_input(r->meta, "data", r->v->data.items[0], -1, 0);
}

static plumb_status finish_meta(run *r)
{
    uint64_t hash;
    int64_t rows = plumb_pair_reader_rows(r->reader, &hash, NULL);
    PLUMB_TRY(plumb_meta_input(r->meta, "data", r->v->data.items[0], rows, hash));
    return plumb_meta_count(r->meta, "explained", r->explained);
}

static plumb_status add_written(void *user, const json_t *row)
{
    run *r = user;
    r->explained++;
    r->disagreements += json_is_false(json_object_get(json_object_get(row, "check"), "agrees"));
    return PLUMB_OK;
}

static plumb_status pass_written(run *r)
{
    plumb_written_rows w = {.data = r->how.data,
                            .reader = r->reader,
                            .may_skip = !r->v->all,
                            .add = add_written,
                            .user = r,
                            .sink = &r->cli->sink};
    PLUMB_TRY(plumb_pass_written(r->output, &w));
    r->begin += w.rows + w.between;
    return PLUMB_OK;
}

static plumb_status explain_into(run *r)
{
    bool resumed;
    PLUMB_TRY(start_meta(r));
    r->cli->begins_anew = r->v->format == TEXT;
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &resumed));
    plumb_status s = plumb_settle_time(r->meta, r->output, resumed, &r->encoder->now);
    if (!s && resumed) s = pass_written(r);
    if (!s) s = read_pairs(r, explain_pair);
    if (!s) s = finish_meta(r);
    s = plumb_cli_close_output(r->cli, r->meta, r->output, resumed, s);
    if (s || !r->disagreements) return s;
    r->cli->exit_code = PLUMB_EXIT_FINDINGS;
    plumb_cli_say(r->cli,
                  "--check: of %" PRId64 " pair%s predicted and actual change differ by more than 1 %% of the parts",
                  r->disagreements, r->disagreements == 1 ? "" : "s");
    return PLUMB_OK;
}

static plumb_status say_plan(run *r)
{
    char bytes[64];
    plumb_scorer_options how = {
        .measures = plumb_explain_measures(&r->how), .compat = r->how.compat, .plan = true, .batch_rows = 1};
    PLUMB_TRY(plumb_scorer_new(r->model, &how, &r->plan));
    PLUMB_TRY(read_pairs(r, plan_pair));
    PLUMB_TRY(plumb_scorer_flush(r->plan));
    plumb_format_bytes((double)(plumb_scorer_bytes(r->plan) + r->check_bytes), bytes, sizeof bytes);
    plumb_cli_tell(r->cli, "model: %s, data: %s, %" PRId64 " pair%s", r->v->model.items[0], r->how.data, r->explained,
                   r->explained == 1 ? "" : "s");
    plumb_cli_tell(
        r->cli, "work: %.3g TFLOP at the least, %d threads of %s; memory: the mapped checkpoint and about %s",
        plumb_scorer_flops(r->plan) / 1e12, plumb_compute_threads(r->compute), plumb_compute_isa(r->compute), bytes);
    plumb_cli_say(r->cli, "dry run: nothing was written");
    return PLUMB_OK;
}

static plumb_status explain(plumb_cli *cli, void *values)
{
    const explain_values *v = values;
    run r = {.cli = cli, .v = v};
    const char *inputs[] = {v->data.items[0], v->chat_template};
    plumb_status s = check_selection(cli, v);
    if (!s) s = plumb_cli_check_output(cli, v->model.items[0], inputs, 2);
    if (!s && v->after) s = plumb_cli_check_output(cli, v->after, NULL, 0);
    if (!s) s = open_models(&r);
    if (!s) s = open_reader(&r);
    if (!s) s = v->common.dry_run ? say_plan(&r) : explain_into(&r);
    free_run(&r);
    return s;
}

int plumb_command_explain(int argc, char **argv)
{
    explain_values v = {0};
    return plumb_cli_run(&plumb_usage_explain, argc, argv, &v, &v.common, explain);
}
