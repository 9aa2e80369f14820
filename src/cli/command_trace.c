/* plumb trace: where the probability mass of the chosen responses went. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/scorer.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/work_time.h"
#include "cli/written_rows.h"
#include "io/rows.h"
#include "study/trace_rows.h"
#include "study/trace_run.h"
#include "train/run_folder.h"

typedef struct trace_values {
    plumb_common common;
    plumb_list first, second, third;
    const char *groups, *prompt_key, *chosen_key, *rejected_key, *chat_template;
    int64_t top, max_length;
    int positions, format, compat, implicit_prompt, isa, compute;
    bool table, ledger_only;
} trace_values;

static const plumb_option options[] = {
    {.name = "top",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(trace_values, top),
     .fallback = "10",
     .metavar = "K",
     .low = 1,
     .high = 1000,
     .help = "how many tokens to list that gained most probability, and how many that lost most"},
    {.name = "positions",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(trace_values, positions),
     .choices = "first|all",
     .fallback = "first",
     .help = "where to list them: at the first token at which the responses differ, or also at every token of the "
             "chosen response (\"positions\")"},
    {.name = "groups",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(trace_values, groups),
     .metavar = "FILE",
     .help =
         "classes of words as YAML or JSON, CLASS: [word, ...] and opposites: [CLASS/CLASS, ...]. They are added to "
         "the built-in ones (affirmation/denial, refusal/compliance, hedging), or stand alone with builtin: false; "
         "a word of the file is in no built-in class"},
    {.name = "table",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(trace_values, table),
     .help = "the paper's table instead of rows: for each pair of single tokens the decrease of the preferred one's "
             "probability, and the benign and the catastrophic tokens that gained most"},
    {.name = "format",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(trace_values, format),
     .choices = "text|csv|html",
     .fallback = "text",
     .help = "the form of --table"},
    {.name = "ledger_only",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(trace_values, ledger_only),
     .help = "of a RUN read the ledger alone and run no model: the course of every pair, and the tokens that "
             "--ledger_tokens listed in training"},
    {.name = "compat",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(trace_values, compat),
     .choices = "trl|official",
     .fallback = "trl",
     .help = "how a pair becomes tokens: as TRL's DPOTrainer, or as the paper's own code (no EOS)"},
    {.name = "max_length",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(trace_values, max_length),
     .metavar = "N",
     .low = 2,
     .high = 1 << 24,
     .help = "cut prompt + response at N tokens, at the end; without it 1024 or the model's positions, the smaller "
             "(--compat official: no cut)"},
    PLUMB_OPTION_PROMPT_KEY(trace_values),
    PLUMB_OPTION_RESPONSE_KEYS(trace_values),
    PLUMB_OPTION_IMPLICIT_PROMPT(trace_values),
    {.name = "chat_template",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(trace_values, chat_template),
     .metavar = "FILE",
     .help = "a Jinja file instead of the checkpoint's own chat template (of a RUN: instead of the run's)"},
    PLUMB_OPTION_ISA(trace_values),
    PLUMB_OPTION_COMPUTE(trace_values),
    PLUMB_OPTION_OUTPUT(trace_values),
    PLUMB_OPTION_LIMIT(trace_values),
    PLUMB_OPTION_ROWS(trace_values),
    PLUMB_OPTION_ON_ERROR(trace_values),
    PLUMB_OPTION_THREADS(trace_values),
    PLUMB_OPTION_RESUME(trace_values),
    PLUMB_OPTION_DRY_RUN(trace_values),
    PLUMB_OPTION_QUIET(trace_values),
};

static const plumb_positional positionals[] = {
    {"BEFORE|RUN",
     "the checkpoint before training; alone or with DATA: the folder of a run with a ledger of pairs, of plumb dpo, of "
     "plumb kto on preference rows, or of rloo, grpo, ppo with --ledger_data",
     1, 1, offsetof(trace_values, first)},
    {"AFTER",
     "the checkpoint after training, or a LoRA adapter for BEFORE, or a checkpoint-N of a run that began with "
     "BEFORE. Of a RUN: DATA, where the data file is elsewhere now",
     0, 1, offsetof(trace_values, second)},
    {"DATA", "preference rows as JSONL, plain or .gz; - is stdin", 0, 1, offsetof(trace_values, third)},
};

const plumb_usage plumb_usage_trace = {
    .name = "trace",
    .summary = "where did the probability mass go? Which tokens gained when chosen responses lost",
    .description =
        "Compares two models, BEFORE and AFTER training, on every pair, and writes one JSON row for each: how ln pi of "
        "both responses changed, and at the first token at which they differ the tokens that gained and lost most "
        "probability, each with its class, and the change of its logit split into what the unembedding and what the "
        "hidden state did.\n\n"
        "The verdict of a pair: none, where the chosen response did not become less likely; benign, where words of the "
        "same class as its token hold at least half of all that was gained; catastrophic, where words of the opposite "
        "class do; otherwise other.\n\n"
        "Given a RUN it also shows the course of every pair over the steps, from the ledger and the checkpoints, with "
        "the largest drop from peak to trough. What is not there any more (the model that the run began with, its "
        "result) is done without: then the ledger's own tokens tell, the listed ones only.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb trace OLMo-1B-sft run pairs.jsonl -o trace.jsonl\n"
               "  plumb trace run -o trace.jsonl\n"
               "  plumb trace run --table --format html -o table.html",
};

/* All that a trace holds; freed in one place. */
typedef struct tracing {
    plumb_cli *cli;
    const trace_values *v;
    const char *before, *after, *data, *text_folder; /* after: of a run what plays that part, for messages */
    plumb_compute *compute;
    plumb_model *base;
    plumb_adapter *start_adapter;
    plumb_derived_model end;
    plumb_derived_model *derived; /* [point_count] */
    plumb_trace_point *points;
    size_t point_count;
    plumb_encoder *encoder;
    plumb_token_groups *groups;
    plumb_pair_source source;
    plumb_pair_reader *reader;
    plumb_trace_options how;
    plumb_tracer *tracer;
    plumb_scorer *plan; /* with --dry-run: it counts what a pass over the pairs takes */
    bool is_run, alone;
    plumb_run_record record;
    plumb_ledger_file ledger;
    plumb_ledger_tokens tokens;
    int64_t outside;   /* rows that the run did not have */
    plumb_arena arena; /* of one row */
    plumb_output *output;
    json_t *meta;
    plumb_text line;
    plumb_trace_summary summary;
} tracing;

static void free_tracing(tracing *t)
{
    plumb_tracer_free(t->tracer);
    plumb_scorer_free(t->plan);
    plumb_pair_reader_close(t->reader);
    plumb_encoder_close(t->encoder);
    for (size_t i = 0; i < t->point_count; i++) plumb_derived_model_close(&t->derived[i]);
    free(t->derived);
    free(t->points);
    plumb_derived_model_close(&t->end);
    plumb_model_close(t->base);
    plumb_adapter_free(t->start_adapter);
    plumb_compute_close(t->compute);
    plumb_token_groups_free(t->groups);
    plumb_ledger_tokens_free(&t->tokens);
    plumb_ledger_file_free(&t->ledger);
    plumb_run_record_free(&t->record);
    plumb_arena_free(&t->arena);
    plumb_text_free(&t->line);
    json_decref(t->meta);
}

static plumb_status open_compute(tracing *t)
{
    return plumb_cli_open_compute(&t->v->common, t->v->isa, t->v->compute, &t->compute);
}

/* ---- two checkpoints ---- */

static plumb_status open_two(tracing *t)
{
    const trace_values *v = t->v;
    t->before = t->text_folder = v->first.items[0];
    t->after = v->second.items[0];
    t->data = v->third.items[0];
    if (v->ledger_only)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--ledger_only: two checkpoints have no ledger"),
                          "plumb trace RUN --ledger_only");
    PLUMB_TRY(plumb_check_order(t->before, t->after));
    PLUMB_TRY(open_compute(t));
    PLUMB_TRY(plumb_model_open(t->before, t->compute, &t->base));
    PLUMB_TRY(plumb_encoder_open(t->before, v->chat_template, t->base->config.eos_id, &t->encoder));
    PLUMB_TRY(plumb_derived_same_tokenizer(t->before, t->after));
    PLUMB_TRY(plumb_derived_model_open(t->base, t->after, &t->end));
    int length =
        plumb_cli_max_length(t->cli, v->max_length, t->base->config.max_positions, v->compat == PLUMB_COMPAT_OFFICIAL);
    t->source = (plumb_pair_source){
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, (plumb_implicit_prompt)v->implicit_prompt},
        .pairing = {t->encoder, (plumb_compat)v->compat, length, t->base->config.vocab_size},
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP};
    return PLUMB_OK;
}

/* ---- a run ---- */

/* How rows become tokens is what the run did, and so is the arithmetic: its ledger's log-probs stand in one course with
 * those of its checkpoints. */
static plumb_status check_run_options(const tracing *t)
{
    static const char *const decided[] = {"max_length",      "prompt_key", "chosen_key", "rejected_key",
                                          "implicit_prompt", "compat",     "compute"};
    plumb_text label = {0};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < sizeof decided / sizeof *decided && !s; i++) {
        if (!plumb_options_given(t->cli->options, decided[i])) continue;
        s = plumb_options_label(t->cli->options, decided[i], &label);
        if (!s)
            s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: the run has decided that", label.data),
                           "leave it out: a run's pairs become tokens and log-probs as they did in training");
    }
    plumb_text_free(&label);
    return s;
}

static bool in_ledger(const tracing *t, int64_t step)
{
    for (size_t i = 0; i < t->ledger.step_count; i++)
        if (t->ledger.steps[i] == step) return true;
    return false;
}

/* The ledger tells as much of this step as is asked: not so for the table, which is about first tokens. */
static bool told(const tracing *t, int64_t step)
{
    return !t->v->table && in_ledger(t, step);
}

/* The checkpoints at steps that the ledger does not tell of, ascending. */
static plumb_status open_points(tracing *t)
{
    const char *run = t->v->first.items[0];
    size_t count = 0;
    for (int64_t at = INT64_MAX; (at = plumb_run_checkpoint_before(run, at)) >= 0;) count += !told(t, at);
    PLUMB_TRY(plumb_new(&t->derived, count, sizeof *t->derived));
    PLUMB_TRY(plumb_new(&t->points, count, sizeof *t->points));
    t->point_count = count;
    for (int64_t at = INT64_MAX; count && (at = plumb_run_checkpoint_before(run, at)) >= 0;) {
        if (told(t, at)) continue;
        plumb_derived_model *m = &t->derived[--count];
        PLUMB_TRY(plumb_run_model_open(&t->record, t->base, run, at, m));
        t->points[count] = (plumb_trace_point){m->model, at};
    }
    return PLUMB_OK;
}

/* The end: the run's result, or the newest checkpoint of a run that is not complete; *found is false when there is
 * neither. */
static plumb_status open_end(tracing *t, bool *found)
{
    const char *run = t->v->first.items[0];
    int64_t newest = plumb_run_checkpoint_before(run, INT64_MAX);
    bool weights = false, adapter = false;
    PLUMB_TRY(plumb_path_holds(run, "config.json", &weights));
    PLUMB_TRY(plumb_path_holds(run, "adapter_config.json", &adapter));
    *found = true;
    if (t->record.completed && (weights || adapter)) return plumb_derived_model_open(t->base, run, &t->end);
    if (newest >= 0) {
        plumb_note(&t->cli->sink, "%s: the run is not complete; traced up to checkpoint-%" PRId64, run, newest);
        return plumb_run_model_open(&t->record, t->base, run, newest, &t->end);
    }
    *found = false;
    return PLUMB_OK;
}

static plumb_status open_run_models(tracing *t)
{
    bool found;
    const plumb_run_record *r = &t->record;
    PLUMB_TRY(plumb_run_check_start(r, r->model));
    PLUMB_TRY(open_compute(t));
    PLUMB_TRY(plumb_model_open(r->model, t->compute, &t->base));
    if (r->adapter) {
        PLUMB_TRY(plumb_adapter_load(r->adapter, t->base, &t->start_adapter));
        PLUMB_TRY(plumb_model_attach(t->base, t->start_adapter));
    }
    PLUMB_TRY(open_end(t, &found));
    if (found) return open_points(t);
    plumb_note(&t->cli->sink, "%s: has neither a result nor checkpoints; traced from the ledger alone", t->after);
    t->alone = true;
    return PLUMB_OK;
}

/* What the pairs were tokenised with: the model that the run began with, or what the run folder has of it. */
static plumb_status open_run_text(tracing *t, bool start_there)
{
    const plumb_run_record *r = &t->record;
    const char *run = t->v->first.items[0], *chat = t->v->chat_template ? t->v->chat_template : r->chat_template;
    plumb_config config = {.eos_id = -1, .max_positions = INT_MAX};
    bool there, has_config;
    PLUMB_TRY(plumb_path_holds(r->model, "tokenizer.json", &there));
    t->text_folder = start_there && there ? r->model : run;
    PLUMB_TRY(plumb_path_holds(t->text_folder, "tokenizer.json", &there));
    if (!there)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "%s: there is no tokenizer, and none in %s, which the run began with", run,
                                     r->model),
                          "copy the tokenizer.json of that model into the run folder");
    PLUMB_TRY(plumb_path_holds(t->text_folder, "config.json", &has_config));
    if (has_config) PLUMB_TRY(plumb_config_load(t->text_folder, &config));
    PLUMB_TRY(plumb_encoder_open(t->text_folder, chat, config.eos_id, &t->encoder));
    if (r->template_time >= 0) t->encoder->now = r->template_time;
    int length = r->max_length >= 0 ? r->max_length : plumb_cli_default_length(config.max_positions);
    t->source = (plumb_pair_source){.keys = r->keys,
                                    .pairing = {t->encoder, PLUMB_COMPAT_TRL, length, config.vocab_size},
                                    .skip_bad_rows = r->skip_bad_rows || t->v->common.on_error == PLUMB_ON_ERROR_SKIP};
    return PLUMB_OK;
}

static plumb_status open_run(tracing *t)
{
    const trace_values *v = t->v;
    const plumb_run_record *r = &t->record;
    bool start_there;
    t->is_run = true;
    t->after = v->first.items[0];
    PLUMB_TRY(check_run_options(t));
    PLUMB_TRY(plumb_run_record_read(t->after, &t->record));
    PLUMB_TRY(plumb_ledger_read(t->after, &t->cli->sink, &t->ledger));
    t->before = r->model;
    t->data = v->second.count ? v->second.items[0] : r->data;
    if (!v->second.count && !plumb_path_exists(t->data))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: the data of the run are not there", t->data),
                          "say where they are now: plumb trace RUN DATA");
    PLUMB_TRY(plumb_path_holds(r->model, "config.json", &start_there));
    t->alone = v->ledger_only || !start_there;
    if (!start_there && !v->ledger_only)
        plumb_note(&t->cli->sink, "%s, which the run began with, is not there; traced from the ledger alone", r->model);
    if (!t->alone) PLUMB_TRY(open_run_models(t));
    if (t->alone) {
        PLUMB_TRY(plumb_ledger_tokens_read(t->after, &t->ledger, t->groups, &t->cli->sink, &t->tokens));
        if (v->positions)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--positions all: the ledger has the first position only"),
                              "the models are needed for more");
    }
    return open_run_text(t, start_there);
}

/* ---- rows ---- */

static plumb_status write_row(tracing *t, const plumb_trace_row *row)
{
    plumb_text_clear(&t->line);
    plumb_trace_summary_add(&t->summary, row);
    if (!t->v->table)
        PLUMB_TRY(plumb_trace_line(row, t->groups, &t->line));
    else if (!row->skip && row->single)
        PLUMB_TRY(plumb_trace_table_row((plumb_trace_format)t->v->format, row, t->groups, &t->line));
    if (t->line.size) PLUMB_TRY(plumb_output_write(t->output, t->line.data, t->line.size));
    plumb_progress(&t->cli->sink, "rows", (double)t->summary.rows, plumb_pair_reader_expected(t->reader));
    return PLUMB_OK;
}

/* From the tracer: a run's row gets the ledger's steps put between. */
static plumb_status emit_row(void *user, plumb_trace_row *row)
{
    tracing *t = user;
    int64_t number = -1;
    plumb_course_point *course;
    if (t->is_run && !row->skip) PLUMB_TRY(plumb_ledger_find(&t->ledger, row->index, &row->row, &number));
    if (number >= 0) {
        PLUMB_TRY(plumb_ledger_course(&t->ledger, (size_t)number, row->chosen_tokens == 1, row->course,
                                      row->course_count, &t->arena, &course, &row->course_count));
        row->course = course;
        row->drop = plumb_course_drop(course, row->course_count);
    }
    plumb_status s = write_row(t, row);
    plumb_arena_reset(&t->arena);
    return s;
}

static plumb_status trace_alone(tracing *t, const plumb_row *row, int64_t number, const plumb_pair *pair)
{
    plumb_trace_row out = {.index = row->index, .row = row->hash, .skip = pair->skip};
    if (!pair->skip)
        PLUMB_TRY(plumb_ledger_trace(&t->ledger, t->ledger.has_tokens ? &t->tokens : NULL, (size_t)number, pair,
                                     &t->how, &t->arena, &out));
    PLUMB_TRY(write_row(t, &out));
    plumb_arena_reset(&t->arena);
    return PLUMB_OK;
}

static plumb_status trace_row(tracing *t, const plumb_row *row, const plumb_pair *pair)
{
    int64_t number = -1;
    if (t->is_run && !pair->skip) {
        PLUMB_TRY(plumb_context(plumb_ledger_find(&t->ledger, row->index, &row->hash, &number), "%s", t->data));
        if (number < 0) {
            t->outside++;
            return PLUMB_OK;
        }
    }
    if (t->v->common.dry_run) {
        t->summary.rows++;
        return t->plan ? plumb_scorer_add(t->plan, row->index, row->hash, pair) : PLUMB_OK;
    }
    return t->alone ? trace_alone(t, row, number, pair) : plumb_tracer_add(t->tracer, row->index, row->hash, pair);
}

/* As messages call it. */
static const char *data_name(const tracing *t)
{
    return plumb_input_name(t->data);
}

static plumb_status no_rows(const tracing *t)
{
    if (t->outside)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: none of its rows is in the run's ledger", data_name(t)),
                          "trace the rows that the run was made from");
    return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows %s", data_name(t),
                      plumb_options_given(t->cli->options, "range") ? "in this range" : "in it");
}

static plumb_status trace_rows(tracing *t)
{
    const plumb_row *row;
    const plumb_pair *pair;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(&t->cli->sink));
        PLUMB_TRY(plumb_pair_reader_next(t->reader, &row, &pair, &found));
        if (!found) break;
        PLUMB_TRY(trace_row(t, row, pair));
    }
    if (t->tracer) PLUMB_TRY(plumb_tracer_flush(t->tracer));
    return t->summary.rows ? PLUMB_OK : no_rows(t);
}

static plumb_status write_frame(tracing *t, bool begin)
{
    plumb_trace_format format = (plumb_trace_format)t->v->format;
    plumb_text_clear(&t->line);
    if (!t->v->table) return PLUMB_OK;
    PLUMB_TRY(begin ? plumb_trace_table_begin(format, &t->line) : plumb_trace_table_end(format, &t->line));
    return t->line.size ? plumb_output_write(t->output, t->line.data, t->line.size) : PLUMB_OK;
}

static plumb_status add_written(void *user, const json_t *row)
{
    tracing *t = user;
    return plumb_trace_summary_add_json(&t->summary, row, t->groups);
}

static plumb_status pass_written(tracing *t)
{
    plumb_written_rows w = {.data = data_name(t),
                            .reader = t->reader,
                            .may_skip = t->is_run, /* rows outside of the run */
                            .add = add_written,
                            .user = t,
                            .sink = &t->cli->sink};
    PLUMB_TRY(plumb_pass_written(t->output, &w));
    t->outside = w.between;
    return PLUMB_OK;
}

static plumb_status trace_all(tracing *t)
{
    PLUMB_TRY(write_frame(t, true));
    PLUMB_TRY(trace_rows(t));
    return write_frame(t, false);
}

/* ---- the record ---- */

static plumb_status start_meta(tracing *t)
{
    char text[17] = "";
    PLUMB_TRY(plumb_meta_new(t->cli->usage, t->cli->options, &t->meta));
    PLUMB_TRY(plumb_meta_contents(t->meta, "groups", t->v->groups));
    if (!t->alone) {
        PLUMB_TRY(plumb_cli_record_compute(t->meta, t->compute));
        PLUMB_TRY(plumb_meta_weights(t->meta, "model", t->before));
        if (!t->is_run || t->record.completed) PLUMB_TRY(plumb_meta_weights(t->meta, "after", t->after));
    }
    PLUMB_TRY(plumb_meta_text_hash(t->text_folder, t->v->chat_template, text));
    PLUMB_TRY(plumb_meta_file(t->meta, "tokenizer", t->text_folder, text));
    return plumb_meta_input(t->meta, "data", t->data, -1, 0);
}

static plumb_status finish_meta(tracing *t)
{
    uint64_t hash;
    const plumb_trace_summary *s = &t->summary;
    int64_t rows = plumb_pair_reader_rows(t->reader, &hash, NULL);
    PLUMB_TRY(plumb_meta_input(t->meta, "data", t->data, rows, hash));
    PLUMB_TRY(plumb_meta_count(t->meta, "traced", s->traced));
    PLUMB_TRY(plumb_meta_count(t->meta, "fell", s->fell));
    for (int v = 0; v < PLUMB_VERDICTS; v++)
        PLUMB_TRY(plumb_meta_count(t->meta, plumb_verdict_name((plumb_verdict)v), s->verdicts[v]));
    return PLUMB_OK;
}

/* ---- what is told ---- */

static void say_counts(tracing *t)
{
    const plumb_trace_summary *s = &t->summary;
    char outside[96] = "";
    if (t->outside)
        snprintf(outside, sizeof outside, "; %" PRId64 " row%s not in the run", t->outside,
                 t->outside == 1 ? " was" : "s were");
    plumb_cli_say(t->cli, "%s: %" PRId64 " pair%s traced%s, %" PRId64 " skipped%s", data_name(t), s->traced,
                  s->traced == 1 ? "" : "s", t->alone ? " from the ledger" : "", s->skipped, outside);
    if (t->v->table) plumb_cli_say(t->cli, "%" PRId64 " of them pairs of single tokens, in the table", s->single);
}

static plumb_status say_gains(tracing *t)
{
    const plumb_gains *g = &t->summary.gains;
    plumb_text_clear(&t->line);
    if (!(g->all > 0)) return PLUMB_OK;
    for (int c = 0; c < plumb_token_groups_count(t->groups); c++)
        PLUMB_TRY(plumb_text_printf(&t->line, "%s %.1f %%, ", plumb_token_groups_name(t->groups, c),
                                    100 * g->of_class[c] / g->all));
    PLUMB_TRY(plumb_text_printf(&t->line, "no class %.1f %%", 100 * g->no_class / g->all));
    plumb_cli_say(t->cli, "probability that other tokens gained there%s: %s", t->alone ? " (of the tokens listed)" : "",
                  t->line.data);
    return PLUMB_OK;
}

static plumb_status say_worst(tracing *t)
{
    const plumb_trace_summary *s = &t->summary;
    plumb_text_clear(&t->line);
    for (int i = 0; i < s->worsts; i++)
        PLUMB_TRY(plumb_text_printf(&t->line, "%srow %" PRId64 " (%.4g)", i ? ", " : "", s->worst[i], -s->falls[i]));
    plumb_cli_say(t->cli, "fell most: %s", t->line.data);
    plumb_cli_say(t->cli, "next: plumb explain %s %s --pair %" PRId64, t->before, t->data, s->worst[0]);
    return PLUMB_OK;
}

static plumb_status say_summary(tracing *t)
{
    const plumb_trace_summary *s = &t->summary;
    double n = (double)s->traced;
    say_counts(t);
    if (!s->traced) return PLUMB_OK;
    plumb_cli_say(t->cli, "mean log-prob: chosen %.5g -> %.5g, rejected %.5g -> %.5g", s->before[0] / n,
                  s->after[0] / n, s->before[1] / n, s->after[1] / n);
    if (s->drop.value > 0)
        plumb_cli_say(t->cli,
                      "largest drop along a course: %.4g in row %" PRId64 ", from step %" PRId64 " to step %" PRId64,
                      s->drop.value, s->drop_index, s->drop.from, s->drop.to);
    if (!s->fell) {
        plumb_cli_say(t->cli, "no chosen response became less likely");
        return PLUMB_OK;
    }
    plumb_cli_say(t->cli,
                  "%" PRId64 " of %" PRId64 " chosen responses became less likely: benign %" PRId64
                  ", catastrophic %" PRId64 ", other %" PRId64,
                  s->fell, s->traced, s->verdicts[PLUMB_VERDICT_BENIGN], s->verdicts[PLUMB_VERDICT_CATASTROPHIC],
                  s->verdicts[PLUMB_VERDICT_OTHER]);
    if (s->verdicts[PLUMB_VERDICT_UNKNOWN])
        plumb_cli_say(t->cli,
                      "%" PRId64 " without a verdict: the ledger lists no tokens; a run with --ledger_tokens 10 would",
                      s->verdicts[PLUMB_VERDICT_UNKNOWN]);
    PLUMB_TRY(say_gains(t));
    return say_worst(t);
}

/* ---- the work ---- */

static plumb_status check_usage(const tracing *t)
{
    const trace_values *v = t->v;
    if (plumb_options_given(t->cli->options, "format") && !v->table)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--format: rows are JSON"),
                          "--table has forms: --table --format %s", v->format == PLUMB_TRACE_HTML ? "html" : "csv");
    if (v->table && v->common.resume)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--resume: a table is written anew"),
                          "rows can be gone on with: leave out --table");
    if (v->table && v->positions) return plumb_fail(PLUMB_E_INPUT, "--positions all: the table is about single tokens");
    return PLUMB_OK;
}

static plumb_status check_files(const tracing *t)
{
    const char *inputs[] = {t->data, t->v->chat_template, t->v->groups};
    PLUMB_TRY(plumb_cli_check_output(t->cli, t->before, inputs, 3));
    return plumb_cli_check_output(t->cli, t->after, inputs, 0);
}

static plumb_status prepare(tracing *t)
{
    const plumb_encoder *e = t->encoder;
    t->source.path = t->data;
    t->source.sink = &t->cli->sink;
    plumb_cli_rows(&t->v->common, &t->source.begin, &t->source.end);
    PLUMB_TRY(plumb_pair_reader_open(&t->source, &t->reader));
    t->how = (plumb_trace_options){.before = t->base,
                                   .after = t->end.model,
                                   .tokenizer = e->tokenizer,
                                   .groups = t->groups,
                                   .top = (int)t->v->top,
                                   .all_positions = t->v->positions == 1,
                                   .eos = e->eos ? plumb_tokenizer_id(e->tokenizer, e->eos, strlen(e->eos)) : -1,
                                   .points = t->points,
                                   .point_count = t->point_count,
                                   .emit = emit_row,
                                   .user = t,
                                   .sink = &t->cli->sink};
    if (t->alone) return PLUMB_OK;
    if (t->v->common.dry_run) {
        const plumb_scorer_options plan = {.measures = 1u << plumb_measure_find("logps"), .plan = true};
        return plumb_scorer_new(t->base, &plan, &t->plan);
    }
    PLUMB_TRY(plumb_trace_same_shape(t->base, t->before, t->end.model, t->after));
    return plumb_tracer_new(&t->how, &t->tracer);
}

static plumb_status say_plan(tracing *t)
{
    char time[64], bytes[64];
    double flops, passes = 2 + (double)t->point_count;
    PLUMB_TRY(trace_rows(t));
    plumb_cli_tell(t->cli, "data: %s, %" PRId64 " row%s%s", data_name(t), t->summary.rows,
                   t->summary.rows == 1 ? "" : "s", t->alone ? ", from the ledger alone: no model is run" : "");
    if (t->plan) {
        PLUMB_TRY(plumb_scorer_flush(t->plan));
        flops = passes * plumb_scorer_flops(t->plan);
        PLUMB_TRY(plumb_work_time(t->compute, flops, time, sizeof time));
        plumb_format_bytes(2 * (double)plumb_scorer_bytes(t->plan), bytes, sizeof bytes);
        plumb_cli_tell(t->cli, "models: %s, %s%s", t->before, t->after, t->point_count ? " and checkpoints" : "");
        plumb_cli_tell(t->cli,
                       "work: %.0f passes over the pairs, %.3g TFLOP at the least, %d threads of %s, about %s; memory: "
                       "the mapped checkpoints and about %s",
                       passes, flops / 1e12, plumb_compute_threads(t->compute), plumb_compute_isa(t->compute), time,
                       bytes);
    }
    plumb_cli_say(t->cli, "dry run: nothing was written");
    return PLUMB_OK;
}

static plumb_status trace_into(tracing *t)
{
    bool resumed;
    PLUMB_TRY(start_meta(t));
    t->cli->begins_anew = t->v->table;
    PLUMB_TRY(plumb_cli_open_output(t->cli, t->meta, &t->output, &resumed));
    plumb_status s = plumb_settle_time(t->meta, t->output, resumed, &t->encoder->now);
    if (!s && resumed) s = pass_written(t);
    if (!s) s = trace_all(t);
    if (!s) s = finish_meta(t);
    s = plumb_cli_close_output(t->cli, t->meta, t->output, resumed, s);
    return s ? s : say_summary(t);
}

static plumb_status trace(plumb_cli *cli, void *values)
{
    const trace_values *v = values;
    tracing t = {.cli = cli, .v = v};
    plumb_status s = check_usage(&t);
    if (!s) s = plumb_token_groups_open(v->groups, &t.groups);
    if (!s) s = v->third.count ? open_two(&t) : open_run(&t);
    if (!s) s = check_files(&t);
    if (!s) s = prepare(&t);
    if (!s) s = v->common.dry_run ? say_plan(&t) : trace_into(&t);
    free_tracing(&t);
    return s;
}

int plumb_command_trace(int argc, char **argv)
{
    trace_values v = {0};
    return plumb_cli_run(&plumb_usage_trace, argc, argv, &v, &v.common, trace);
}
