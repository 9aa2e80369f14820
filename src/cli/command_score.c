/* plumb score: the measures of every pair of a preference file. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align/pair_reader.h"
#include "align/scorer.h"
#include "base/clock.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/passed_over.h"
#include "cli/show_pair.h"
#include "cli/work_time.h"
#include "cli/written_rows.h"
#include "io/json.h"
#include "study/score_summary.h"

typedef struct score_values {
    plumb_common common;
    plumb_list model, data, measures;
    int compat, implicit_prompt, hash;
    int64_t max_length;
    const char *prompt_key, *chosen_key, *rejected_key, *chat_template;
    int isa, compute;
    bool write_out, stream_layers;
} score_values;

static const plumb_option options[] = {
    {.name = "measures",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(score_values, measures),
     .choices = "ches|ln_ches|last_hidden|edit|logps|alpha|grad",
     .fallback = "ches,ln_ches,last_hidden,edit",
     .metavar = "NAME",
     .help =
         "what to compute; a list replaces the default. logps (log-probabilities of both responses) and alpha (CHES "
         "with its coefficients from the next-token distributions: alpha_ches, minus, plus, hidden_path, rate) go "
         "through the unembedding and take longer; grad (inner products of the full gradients: the exact first-order "
         "rate) takes two backward passes a pair and 8 bytes a parameter"},
    {.name = "compat",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(score_values, compat),
     .choices = "trl|official",
     .fallback = "trl",
     .help =
         "how a pair becomes tokens: as TRL's DPOTrainer, so that scores speak of what training sees, or as the "
         "paper's own code (no EOS, responses raw behind the prompt's template, the state of the last token counted)"},
    {.name = "max_length",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(score_values, max_length),
     .metavar = "N",
     .low = 2,
     .high = 1 << 24,
     .help = "cut prompt + response at N tokens, at the end; without it 1024 or the model's positions, the smaller "
             "(--compat official: no cut)"},
    PLUMB_OPTION_PROMPT_KEY(score_values),
    PLUMB_OPTION_RESPONSE_KEYS(score_values),
    PLUMB_OPTION_IMPLICIT_PROMPT(score_values),
    PLUMB_OPTION_CHAT_TEMPLATE(score_values),
    {.name = "write-out",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(score_values, write_out),
     .changes_no_result = true,
     .help = "show the first pair on stderr as tokens, with the boundary and the mask of what is scored"},
    {.name = "hash",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(score_values, hash),
     .choices = "sample|full",
     .fallback = "sample",
     .changes_no_result = true,
     .help = "what the model's hash in FILE.meta.json covers: headers, config, tokenizer and 64 KiB samples of each "
             "tensor, "
             "or every byte"},
    {.name = "stream-layers",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(score_values, stream_layers),
     .changes_no_result = true,
     .help = "keep two layers of the checkpoint in memory instead of all of it: every layer is read once for a large "
             "batch "
             "of pairs, while the one before is computed. For models larger than the memory"},
    PLUMB_OPTION_COMPUTE(score_values),
    PLUMB_OPTION_ISA(score_values),
    PLUMB_OPTION_OUTPUT(score_values),
    PLUMB_OPTION_LIMIT(score_values),
    PLUMB_OPTION_ROWS(score_values),
    PLUMB_OPTION_ON_ERROR(score_values),
    PLUMB_OPTION_THREADS(score_values),
    PLUMB_OPTION_DRY_RUN(score_values),
    PLUMB_OPTION_RESUME(score_values),
    PLUMB_OPTION_QUIET(score_values),
};

static const plumb_positional positionals[] = {
    {"MODEL", "a Hugging Face checkpoint folder: config.json, tokenizer.json, *.safetensors", 1, 1,
     offsetof(score_values, model)},
    {"DATA", "preference rows as JSONL, plain or .gz; - is stdin", 1, 1, offsetof(score_values, data)},
};

const plumb_usage plumb_usage_score = {
    .name = "score",
    .summary = "measure each preference pair: which ones will push the chosen response down?",
    .description =
        "Runs the model over every pair and writes one JSON row for each, in the order of the file. The higher the "
        "CHES "
        "score of a pair (centered hidden embedding similarity, arXiv 2410.08847), the more training on it lowers the "
        "likelihood of the very response it prefers. Compare scores of one model only, and use ln_ches, which does not "
        "depend on lengths, to filter.\n\n"
        "Rows may hold prompt, chosen and rejected as strings or as message lists, whole conversations, or token ids; "
        "conversations go through the checkpoint's chat template. A summary with quantiles and the three highest pairs "
        "stands on stderr at the end.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb score OLMo-1B-hf pairs.jsonl -o scores.jsonl\n"
               "  plumb filter pairs.jsonl scores.jsonl --keep-lowest 5% -o kept.jsonl",
};

/* All that a run holds; freed in one place. */
typedef struct run {
    plumb_cli *cli;
    const score_values *v;
    uint32_t measures;
    plumb_compute *compute;
    plumb_model *model;
    plumb_encoder *encoder;
    plumb_config config;
    plumb_pair_reader *reader;
    plumb_scorer *scorer;
    plumb_score_summary *summary;
    plumb_output *output;
    json_t *meta;
    plumb_text line;
    int max_length;
    bool resumed;
    double written, flushed, flushed_at; /* rows, rows, seconds */
    plumb_sink reader_sink;
    plumb_passed_over passed_over;
} run;

static void free_run(run *r)
{
    plumb_scorer_free(r->scorer);
    plumb_score_summary_free(r->summary);
    plumb_pair_reader_close(r->reader);
    plumb_encoder_close(r->encoder);
    plumb_model_close(r->model);
    plumb_compute_close(r->compute);
    plumb_text_free(&r->line);
    plumb_passed_over_free(&r->passed_over);
    json_decref(r->meta);
}

static uint32_t selected(const plumb_list *names)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < names->count; i++) bits |= 1u << plumb_measure_find(names->items[i]);
    return bits;
}

static plumb_status open_model(run *r)
{
    const char *folder = r->v->model.items[0];
    PLUMB_TRY(plumb_config_load(folder, &r->config));
    PLUMB_TRY(plumb_cli_open_compute(&r->v->common, r->v->isa, r->v->compute, &r->compute));
    if (plumb_measures_need(r->measures)) PLUMB_TRY(plumb_model_open(folder, r->compute, &r->model));
    PLUMB_TRY(plumb_encoder_open(folder, r->v->chat_template, r->config.eos_id, &r->encoder));
    r->max_length =
        plumb_cli_max_length(r->cli, r->v->max_length, r->config.max_positions, r->v->compat == PLUMB_COMPAT_OFFICIAL);
    return PLUMB_OK;
}

static plumb_status open_reader(run *r)
{
    const score_values *v = r->v;
    r->reader_sink = (plumb_sink){.user = &r->passed_over, .note = plumb_passed_over_note};
    plumb_pair_source source = {
        .path = v->data.items[0],
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, (plumb_implicit_prompt)v->implicit_prompt},
        .pairing = {r->encoder, (plumb_compat)v->compat, r->max_length, r->config.vocab_size},
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &r->reader_sink,
    };
    plumb_cli_rows(&v->common, &source.begin, &source.end);
    return plumb_pair_reader_open(&source, &r->reader);
}

static plumb_status write_score(void *user, const plumb_score *score)
{
    run *r = user;
    plumb_text_clear(&r->line);
    PLUMB_TRY(plumb_score_line(score, r->measures, &r->line));
    PLUMB_TRY(plumb_output_write(r->output, r->line.data, r->line.size));
    plumb_score_summary_add(r->summary, score);
    r->written++;
    plumb_progress(&r->cli->sink, "rows", r->written, plumb_pair_reader_expected(r->reader));
    return PLUMB_OK;
}

/* Rows leave plumb when their batch is done, but not more often than people notice. */
static plumb_status flush_rows(run *r)
{
    enum { A_SECOND_HAS = 10 };
    if (!r->output || r->written <= r->flushed) return PLUMB_OK;
    double time = plumb_clock_seconds();
    if (A_SECOND_HAS * (time - r->flushed_at) < 1) return PLUMB_OK;
    r->flushed = r->written;
    r->flushed_at = time;
    return plumb_output_flush(r->output);
}

static plumb_status new_scorer(run *r, bool plan)
{
    plumb_scorer_options how = {.measures = r->measures,
                                .compat = (plumb_compat)r->v->compat,
                                .plan = plan,
                                .stream = r->v->stream_layers,
                                .emit = write_score,
                                .user = r,
                                .sink = &r->cli->sink};
    return plumb_scorer_new(r->model, &how, &r->scorer);
}

/* ---- going on with a partial output ---- */

static plumb_status add_written(void *user, const json_t *row)
{
    plumb_score_summary_add_row(((run *)user)->summary, row);
    return PLUMB_OK;
}

static plumb_status pass_written(run *r)
{
    plumb_written_rows w = {
        .data = r->v->data.items[0], .reader = r->reader, .add = add_written, .user = r, .sink = &r->cli->sink};
    PLUMB_TRY(plumb_pass_written(r->output, &w));
    r->written = (double)w.rows;
    return PLUMB_OK;
}

/* ---- the record ---- */

static plumb_status start_meta(run *r)
{
    uint64_t hash;
    char text[17] = "";
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    PLUMB_TRY(plumb_cli_record_compute(r->meta, r->compute));
    PLUMB_TRY(plumb_model_hash(r->v->model.items[0], r->v->hash == 1, &hash));
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    PLUMB_TRY(plumb_meta_model(r->meta, r->v->model.items[0], text));
    PLUMB_TRY(plumb_meta_text_hash(r->v->model.items[0], r->v->chat_template, text));
    PLUMB_TRY(plumb_meta_file(r->meta, "tokenizer", r->v->model.items[0], text));
    return plumb_meta_input(r->meta, "data", r->v->data.items[0], -1, 0);
}

static plumb_status finish_meta(run *r)
{
    uint64_t hash;
    int64_t skipped[PLUMB_SKIPS], truncated, unclean, rows = plumb_pair_reader_rows(r->reader, &hash, NULL);
    plumb_score_summary_counts(r->summary, skipped, &truncated, &unclean);
    PLUMB_TRY(plumb_meta_input(r->meta, "data", r->v->data.items[0], rows, hash));
    PLUMB_TRY(plumb_meta_count(r->meta, "scored", skipped[PLUMB_SKIP_NONE]));
    for (int i = 1; i < PLUMB_SKIPS; i++)
        if (skipped[i]) PLUMB_TRY(plumb_meta_count(r->meta, plumb_skip_name((plumb_skip)i), skipped[i]));
    if (!r->resumed) /* what an interrupted run spent is not known */
        PLUMB_TRY(plumb_meta_count(r->meta, "flops", (int64_t)plumb_scorer_flops(r->scorer)));
    return plumb_meta_count(r->meta, "truncated", truncated);
}

/* ---- what is told ---- */

static void say_field(plumb_cli *cli, const plumb_field_summary *f)
{
    char line[256];
    int at = snprintf(line, sizeof line, "%-16s", f->name);
    for (int i = 0; i < PLUMB_SUMMARY_QUANTILES; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, " %11.5g", f->quantiles[i]);
    at += snprintf(line + at, sizeof line - (size_t)at, "   ");
    for (int i = 0; i < f->tops; i++)
        at += snprintf(line + at, sizeof line - (size_t)at, "%s%" PRId64, i ? ", " : "", f->top_index[i]);
    plumb_cli_say(cli, "%s%s", line, f->sampled ? "  (quantiles from a sample)" : "");
}

static void say_summary(run *r)
{
    int64_t skipped[PLUMB_SKIPS], truncated, unclean, repeated;
    int64_t rows = plumb_score_summary_counts(r->summary, skipped, &truncated, &unclean);
    plumb_text text = {0};
    plumb_status s = plumb_text_printf(&text, "%" PRId64 " row%s, %" PRId64 " scored", rows, rows == 1 ? "" : "s",
                                       skipped[PLUMB_SKIP_NONE]);
    for (int i = 1; i < PLUMB_SKIPS && !s; i++)
        if (skipped[i])
            s = plumb_text_printf(&text, ", %" PRId64 " skipped (%s)", skipped[i], plumb_skip_name((plumb_skip)i));
    if (!s && truncated) s = plumb_text_printf(&text, "; %" PRId64 " cut at %d tokens", truncated, r->max_length);
    if (!s && unclean)
        s = plumb_text_printf(&text, "; %" PRId64 " whose response merges with the prompt's last token", unclean);
    if (!s) plumb_cli_say(r->cli, "%s", text.data);
    plumb_status_free(s);
    plumb_text_free(&text);
    plumb_pair_reader_rows(r->reader, NULL, &repeated);
    if (repeated)
        plumb_cli_say(r->cli, "%" PRId64 " row%s string prompt in the conversations%s", repeated,
                      repeated == 1 ? " repeats its" : "s repeat their",
                      r->resumed ? " (of those scored since the run went on)" : "");
    if (!skipped[PLUMB_SKIP_NONE]) {
        plumb_cli_say(r->cli, "plumb: warning: nothing was scored");
        return;
    }
    plumb_cli_say(r->cli, "%-16s %11s %11s %11s %11s %11s %11s %11s   highest rows", "", "min", "5 %", "25 %", "median",
                  "75 %", "95 %", "max");
    size_t count;
    plumb_measures(&count);
    for (size_t i = 0; i < count; i++) {
        plumb_field_summary f;
        if (!(r->measures >> i & 1)) continue;
        plumb_score_summary_field(r->summary, (int)i, &f);
        say_field(r->cli, &f);
    }
}

/* ---- the work ---- */

static plumb_status score_rows(run *r)
{
    const plumb_row *row;
    const plumb_pair *pair;
    bool found, shown = !r->v->write_out;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(&r->cli->sink));
        PLUMB_TRY(plumb_pair_reader_next(r->reader, &row, &pair, &found));
        if (!found) break;
        if (!shown && !pair->skip) {
            PLUMB_TRY(plumb_show_pair(r->cli, r->encoder->tokenizer, row->index, pair, (plumb_compat)r->v->compat));
            shown = true;
        }
        PLUMB_TRY(plumb_scorer_add(r->scorer, row->index, row->hash, pair));
        PLUMB_TRY(flush_rows(r));
    }
    if (plumb_pair_reader_rows(r->reader, NULL, NULL) == 0)
        return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows %s", r->v->data.items[0],
                          plumb_options_given(r->cli->options, "range") ? "in this range" : "in it");
    return plumb_scorer_flush(r->scorer);
}

static plumb_status score_into(run *r)
{
    PLUMB_TRY(start_meta(r));
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &r->resumed));
    plumb_status s = plumb_settle_time(r->meta, r->output, r->resumed, &r->encoder->now);
    if (!s && r->resumed) s = pass_written(r);
    if (!s) s = new_scorer(r, false);
    if (!s) s = score_rows(r);
    if (!s) s = finish_meta(r);
    /* An earlier run's rows stay in any case; an empty file is nothing to go on with. */
    s = plumb_cli_close_output(r->cli, r->meta, r->output, r->resumed || r->written > 0, s);
    plumb_passed_over_list(&r->passed_over, r->cli);
    if (!s) say_summary(r);
    return s;
}

static plumb_status say_plan(run *r)
{
    char parameters[64], cut[64] = "not cut";
    int rows, wanted;
    plumb_scorer_largest(r->scorer, &rows, &wanted);
    plumb_format_count((double)plumb_config_parameters(&r->config), parameters, sizeof parameters);
    if (r->max_length) snprintf(cut, sizeof cut, "max_length %d", r->max_length);
    int64_t given = plumb_pair_reader_rows(r->reader, NULL, NULL);
    plumb_cli_tell(r->cli, "model: %s, %s, %s parameters", r->v->model.items[0], r->config.architecture->class_name,
                   parameters);
    plumb_cli_tell(r->cli, "data: %s, %" PRId64 " row%s, %s", r->v->data.items[0], given, given == 1 ? "" : "s", cut);
    PLUMB_TRY(plumb_tell_passes(r->cli, r->compute, plumb_scorer_flops(r->scorer), plumb_scorer_bytes(r->scorer), rows,
                                r->v->stream_layers ? "two layers of the checkpoint" : "the mapped checkpoint"));
    plumb_passed_over_list(&r->passed_over, r->cli);
    plumb_cli_say(r->cli, "dry run: nothing was written");
    return PLUMB_OK;
}

static plumb_status plan(run *r)
{
    PLUMB_TRY(new_scorer(r, true));
    PLUMB_TRY(score_rows(r));
    return say_plan(r);
}

static plumb_status score(plumb_cli *cli, void *values)
{
    const score_values *v = values;
    run r = {.cli = cli, .v = v, .measures = selected(&v->measures)};
    const char *inputs[] = {v->data.items[0], v->chat_template};
    plumb_status s = plumb_cli_check_output(cli, v->model.items[0], inputs, 2);
    if (!s) s = open_model(&r);
    if (!s) s = open_reader(&r);
    if (!s) s = plumb_score_summary_new(r.measures, &r.summary);
    if (!s) s = v->common.dry_run ? plan(&r) : score_into(&r);
    free_run(&r);
    return s;
}

int plumb_command_score(int argc, char **argv)
{
    score_values v = {0};
    return plumb_cli_run(&plumb_usage_score, argc, argv, &v, &v.common, score);
}
