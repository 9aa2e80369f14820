/* plumb filter: keeps the rows of a data file that their scores recommend. */
#include "study/filter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/meta.h"
#include "io/mapped_file.h"
#include "io/rows.h"

typedef struct filter_values {
    plumb_common common;
    plumb_list data, scores;
    const char *by, *keep_lowest, *drop_top, *slice, *random;
    double below;
    bool drop_skipped;
} filter_values;

static const plumb_option options[] = {
    {.name = "by",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(filter_values, by),
     .fallback = "ln_ches",
     .metavar = "FIELD",
     .help = "the measure to go by: any numeric field of the score rows, such as ches, last_hidden, edit_similarity or "
             "logps/chosen"},
    {.name = "keep-lowest",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(filter_values, keep_lowest),
     .metavar = "P%|N",
     .help = "keep the lowest P percent of the scored rows, rounded up, or the lowest N rows"},
    {.name = "drop-top",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(filter_values, drop_top),
     .metavar = "P%|N",
     .help = "drop the highest P percent of the scored rows, rounded down, or the highest N rows"},
    {.name = "below",
     .kind = PLUMB_OPTION_REAL,
     .offset = offsetof(filter_values, below),
     .metavar = "X",
     .help = "keep rows that score less than X"},
    {.name = "slice",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(filter_values, slice),
     .metavar = "Q:K",
     .help = "keep K rows around the quantile at Q percent, the paper's percentile slices"},
    {.name = "random",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(filter_values, random),
     .metavar = "P%|N",
     .help = "keep P percent of the scored rows, rounded up, or N rows, drawn at random by --seed whatever their "
             "scores: what a filter by score has to be compared with"},
    {.name = "seed",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(filter_values, common.seed),
     .fallback = "42",
     .metavar = "N",
     .low = 0,
     .high = INT64_MAX,
     .help = "seed of --random"},
    {.name = "drop-skipped",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(filter_values, drop_skipped),
     .help = "drop the rows that plumb score skipped too; otherwise they stay"},
    PLUMB_OPTION_OUTPUT(filter_values),
    PLUMB_OPTION_LIMIT(filter_values),
    PLUMB_OPTION_ROWS(filter_values),
    PLUMB_OPTION_DRY_RUN(filter_values),
    PLUMB_OPTION_RESUME(filter_values),
    PLUMB_OPTION_QUIET(filter_values),
};

static const plumb_positional positionals[] = {
    {"DATA", "JSONL rows of any form, plain or .gz; - is stdin", 1, 1, offsetof(filter_values, data)},
    {"SCORES", "what plumb score wrote for this file, in one or more files (shards) in any order; - is stdin", 1, -1,
     offsetof(filter_values, scores)},
};

const plumb_usage plumb_usage_filter = {
    .name = "filter",
    .summary = "keep the rows of a data file that their scores recommend",
    .description =
        "Copies the rows of DATA that stay, byte for byte and in the order of the file. The paper's way to prevent "
        "likelihood displacement is --by ln_ches --keep-lowest 5% (up to 15%): it leaves out pairs whose preferred and "
        "dispreferred responses have similar hidden states.\n\n"
        "Give one of --keep-lowest, --drop-top, --below, --slice and --random. Percentages are of the scored rows, not "
        "of "
        "skipped "
        "ones; of equal scores the row that comes first in the file ranks lower. Every row must have a score, and be "
        "the row that was scored (\"index\" and \"row\" of the score rows). What went and where the cut lies is told "
        "on "
        "stderr.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb score MODEL pairs.jsonl -o scores.jsonl\n"
               "  plumb filter pairs.jsonl scores.jsonl --by ln_ches --keep-lowest 5% -o kept.jsonl",
};

/* ---- the choice ---- */

enum { RULES = 5 };
static const char *const rules[RULES] = {"keep_lowest", "drop_top", "below", "slice",
                                         "random"}; /* as plumb_filter_rule */

static plumb_status no_single_rule(const plumb_options *o, int count)
{
    plumb_text given = {0};
    plumb_status s = PLUMB_OK;
    for (int i = 0, n = 0; !s && i < RULES; i++) {
        if (!plumb_options_given(o, rules[i])) continue;
        if (n) s = plumb_text_string(&given, ++n == count ? " and " : ", ");
        if (!n) n = 1;
        if (!s) s = plumb_options_label(o, rules[i], &given);
    }
    if (!s && !count)
        s = plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "which rows shall stay?"),
            "give one of --keep-lowest, --drop-top, --below, --slice and --random; the paper's is --keep-lowest 5%%");
    else if (!s)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s exclude each other", given.data),
                       "give one of them; for both, filter and score the result again");
    plumb_text_free(&given);
    return s;
}

static plumb_status parse_rule(const filter_values *v, plumb_filter_choice *out)
{
    switch (out->rule) {
    case PLUMB_KEEP_LOWEST:
        return plumb_amount_parse(v->keep_lowest, &out->amount);
    case PLUMB_DROP_TOP:
        return plumb_amount_parse(v->drop_top, &out->amount);
    case PLUMB_SLICE:
        return plumb_slice_parse(v->slice, out);
    case PLUMB_RANDOM:
        out->seed = (uint64_t)v->common.seed;
        return plumb_amount_parse(v->random, &out->amount);
    case PLUMB_BELOW:
        out->bound = v->below;
        return PLUMB_OK;
    }
    return PLUMB_OK;
}

static plumb_status read_choice(const plumb_options *o, const filter_values *v, plumb_filter_choice *out)
{
    int count = 0;
    *out = (plumb_filter_choice){0};
    for (int i = 0; i < RULES; i++) {
        if (!plumb_options_given(o, rules[i])) continue;
        out->rule = (plumb_filter_rule)i;
        count++;
    }
    if (count != 1) return no_single_rule(o, count);
    plumb_status s = parse_rule(v, out);
    if (!s) return s;
    plumb_text label = {0};
    plumb_status named = plumb_options_label(o, rules[out->rule], &label);
    s = plumb_context(s, "%s", named ? "" : label.data);
    plumb_status_free(named);
    plumb_text_free(&label);
    return s;
}

/* ---- what is told ---- */

static void say_range(plumb_cli *cli, const filter_values *v, const char *what, int64_t count,
                      const plumb_score_at *lowest, const plumb_score_at *highest)
{
    if (!count)
        plumb_cli_tell(cli, "%s 0", what);
    else
        plumb_cli_tell(cli, "%s %" PRId64 ": %s from %.9g (row %" PRId64 ") to %.9g (row %" PRId64 ")", what, count,
                       v->by, lowest->score, lowest->row, highest->score, highest->row);
}

/* One edge of what was kept. */
static void say_edge(plumb_cli *cli, const plumb_score_at *dropped, const plumb_score_at *kept)
{
    if (dropped->row < 0 || kept->row < 0) return;
    const char *tie = dropped->score == kept->score ? "; of equal scores the row that comes first ranks lower" : "";
    plumb_cli_tell(cli, "cut between %.9g (row %" PRId64 ", kept) and %.9g (row %" PRId64 ", dropped)%s", kept->score,
                   kept->row, dropped->score, dropped->row, tie);
}

static void say_report(plumb_cli *cli, const filter_values *v, const plumb_filter_choice *choice,
                       const plumb_filter_report *r)
{
    plumb_cli_tell(cli, "%s: %" PRId64 " rows read, %" PRId64 " scored, %" PRId64 " skipped%s",
                   plumb_input_name(v->data.items[0]), r->rows, r->scored, r->skipped,
                   !r->skipped       ? ""
                   : v->drop_skipped ? " (dropped)"
                                     : " (kept)");
    bool is_amount = choice->rule != PLUMB_BELOW && choice->rule != PLUMB_SLICE;
    bool is_count = is_amount && !choice->amount.is_percent;
    if (is_count && choice->amount.digits > (uint64_t)r->scored)
        plumb_note(&cli->sink, "%" PRIu64 " rows were asked for, more than are scored", choice->amount.digits);
    say_range(cli, v, "kept", r->kept, &r->kept_lowest, &r->kept_highest);
    say_range(cli, v, "dropped", r->dropped, &r->dropped_lowest, &r->dropped_highest);
    if (choice->rule == PLUMB_BELOW) plumb_cli_tell(cli, "cut at %.9g", choice->bound);
    say_edge(cli, &r->under, &r->kept_lowest);
    say_edge(cli, &r->over, &r->kept_highest);
    if (v->common.dry_run) plumb_cli_say(cli, "dry run: nothing was written");
}

/* ---- the work ---- */

/* stdin can be read once, and an output must not be one of the inputs. */
static plumb_status check_inputs(const plumb_cli *cli, const filter_values *v)
{
    int from_stdin = strcmp(v->data.items[0], "-") == 0;
    PLUMB_TRY(plumb_cli_check_output(cli, NULL, v->data.items, 1));
    for (size_t i = 0; i < v->scores.count; i++) {
        from_stdin += strcmp(v->scores.items[i], "-") == 0;
    }
    PLUMB_TRY(plumb_cli_check_output(cli, NULL, v->scores.items, v->scores.count));
    if (from_stdin < 2) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "- is given %d times, but stdin can be read only once", from_stdin),
                      "save one of the inputs to a file first");
}

static plumb_status start_meta(plumb_cli *cli, const filter_values *v, json_t **out)
{
    PLUMB_TRY(plumb_meta_new(cli->usage, cli->options, out));
    PLUMB_TRY(plumb_meta_input(*out, "data", v->data.items[0], -1, 0));
    for (size_t i = 0; i < v->scores.count; i++) PLUMB_TRY(plumb_meta_input(*out, "scores", v->scores.items[i], -1, 0));
    return PLUMB_OK;
}

static plumb_status finish_meta(json_t *meta, const filter_values *v, const plumb_filter_report *r)
{
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"rows", r->rows},
                  {"scored", r->scored},
                  {"skipped", r->skipped},
                  {"kept", r->kept},
                  {"dropped", r->dropped},
                  {"skipped_kept", r->skipped_kept},
                  {"written", r->kept + r->skipped_kept}};
    PLUMB_TRY(plumb_meta_input(meta, "data", v->data.items[0], r->rows, r->data_hash));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        PLUMB_TRY(plumb_meta_count(meta, counts[i].name, counts[i].value));
    return PLUMB_OK;
}

static plumb_status read_scores(plumb_cli *cli, const filter_values *v, json_t *meta, plumb_scores *scores)
{
    for (size_t i = 0; i < v->scores.count; i++) {
        int64_t rows;
        uint64_t hash;
        PLUMB_TRY(plumb_scores_read(scores, v->scores.items[i], &cli->sink, &rows, &hash));
        PLUMB_TRY(plumb_meta_input(meta, "scores", v->scores.items[i], rows, hash));
    }
    return PLUMB_OK;
}

/* The copy itself, into the output if there is one. */
static plumb_status write_rows(plumb_cli *cli, plumb_filter_job *job, bool resumed, plumb_filter_report *report)
{
    plumb_mapped_file done = {0};
    if (resumed) PLUMB_TRY(plumb_map(plumb_output_partial(job->output), &done));
    job->done = (const char *)done.data;
    job->done_size = done.size;
    plumb_status s = plumb_filter_run(job, &cli->sink, report);
    plumb_unmap(&done);
    return s;
}

static plumb_status filter_into(plumb_cli *cli, const filter_values *v, json_t *meta, plumb_filter_job *job)
{
    plumb_filter_report report = {0};
    bool resumed = false;
    if (!v->common.dry_run) PLUMB_TRY(plumb_cli_open_output(cli, meta, &job->output, &resumed));
    plumb_status s = write_rows(cli, job, resumed, &report);
    if (!s) s = finish_meta(meta, v, &report);
    if (!v->common.dry_run) s = plumb_cli_close_output(cli, meta, job->output, resumed, s);
    if (!s) say_report(cli, v, &job->choice, &report);
    return s;
}

static plumb_status filter(plumb_cli *cli, void *values)
{
    const filter_values *v = values;
    plumb_filter_job job = {.data = v->data.items[0], .drop_skipped = v->drop_skipped};
    plumb_scores *scores = NULL;
    json_t *meta = NULL;
    int64_t begin, end;
    plumb_status s = PLUMB_OK;
    plumb_cli_rows(&v->common, &begin, &end);
    PLUMB_GO(read_choice(cli->options, v, &job.choice));
    PLUMB_GO(check_inputs(cli, v));
    PLUMB_GO(plumb_scores_new(v->by, begin, end, &scores));
    PLUMB_GO(start_meta(cli, v, &meta));
    PLUMB_GO(read_scores(cli, v, meta, scores));
    job.scores = scores;
    s = filter_into(cli, v, meta, &job);
done:
    plumb_scores_free(scores);
    json_decref(meta);
    return s;
}

int plumb_command_filter(int argc, char **argv)
{
    filter_values v = {0};
    return plumb_cli_run(&plumb_usage_filter, argc, argv, &v, &v.common, filter);
}
