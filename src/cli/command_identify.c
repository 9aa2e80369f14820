/* plumb identify: how well each measure finds the pairs that a run displaced. */
#include "study/identify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/meta.h"

enum { TEXT, JSON, CSV };

typedef struct identify_values {
    plumb_common common;
    plumb_list data, scores, ledger, measures, slices, classes_key;
    const char *top, *classes;
    int64_t step, resamples;
    double level;
    int format;
} identify_values;

static const plumb_option options[] = {
    {.name = "measures",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(identify_values, measures),
     .metavar = "FIELD",
     .help =
         "only these numeric fields of the score rows; without it all of them, columns that others added too, but for "
         "those that plumb score writes beside its measures: dot, norm2_*, *_tokens"},
    {.name = "step",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(identify_values, step),
     .metavar = "N",
     .low = 0,
     .high = INT64_MAX,
     .help = "take the change from the ledger's first step to this one; without it to the last"},
    {.name = "top",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(identify_values, top),
     .fallback = "5%",
     .metavar = "P%|N",
     .help = "how many pairs count as the top of a measure, and as those that fell most: a percentage, rounded up, or "
             "a number"},
    {.name = "slices",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(identify_values, slices),
     .metavar = "Q[:K]",
     .help = "the slices of each measure: K pairs around the quantile at Q percent, as plumb filter --slice cuts; "
             "without K 5 % of the pairs; without the option 0 25 50 75 100"},
    {.name = "resamples",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(identify_values, resamples),
     .fallback = "1000",
     .metavar = "N",
     .low = 0,
     .high = 1000000,
     .help = "resamples of the bootstrap behind each interval; 0: no intervals"},
    {.name = "level",
     .kind = PLUMB_OPTION_REAL,
     .offset = offsetof(identify_values, level),
     .fallback = "0.95",
     .metavar = "P",
     .low = 0.5,
     .high = 0.9999,
     .help = "how much an interval covers"},
    {.name = "classes",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(identify_values, classes),
     .metavar = "FILE",
     .help = "what plumb judge wrote for the pairs (sample 0 is the chosen response, 1 the rejected one): ches and "
             "ln_ches, or --measures, of two refusals, two compliances, one of each"},
    {.name = "classes_key",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(identify_values, classes_key),
     .metavar = "KEY",
     .help = "the same from the data: two columns, with the label of the chosen and of the rejected response, or one "
             "with both (a list of two, or an object with chosen and rejected)"},
    {.name = "format",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(identify_values, format),
     .choices = "text|json|csv",
     .fallback = "text",
     .help = "tables for people, one JSON object (which plumb report reads), or one number a line as CSV"},
    {.name = "on_error",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(identify_values, common.on_error),
     .choices = "stop|skip",
     .fallback = "stop",
     .help = "what to do about a row of DATA that a score file or the ledger lacks: stop, or leave it out, count it "
             "and name the first ones"},
    PLUMB_OPTION_SEED(identify_values),
    PLUMB_OPTION_OUTPUT(identify_values),
    PLUMB_OPTION_LIMIT(identify_values),
    PLUMB_OPTION_ROWS(identify_values),
    PLUMB_OPTION_THREADS(identify_values),
    PLUMB_OPTION_QUIET(identify_values),
};

static const plumb_positional positionals[] = {
    {"DATA", "the preference rows that were scored and trained on, plain or .gz; - is stdin", 1, 1,
     offsetof(identify_values, data)},
    {"SCORES", "what plumb score wrote for these rows, one file for each model", 1, -1,
     offsetof(identify_values, scores)},
    {"LEDGER",
     "the folder of a run with a ledger of pairs (plumb dpo, kto on preference rows, rloo, grpo and ppo with "
     "--ledger_data), or its ledger.jsonl",
     1, 1, offsetof(identify_values, ledger)},
};

const plumb_usage plumb_usage_identify = {
    .name = "identify",
    .summary = "how well each measure finds the pairs that a run displaced",
    .description =
        "Compares what the measures of plumb score predict with what happened: the change of ln pi(y+), the log-prob "
        "of "
        "the chosen response, of every pair between two steps of a run's ledger. A pair is displaced when it fell. For "
        "each measure: rank correlation with the change (Spearman, Kendall), how many of the 5 % of pairs that score "
        "highest are among the 5 % that fell most, and the mean change in slices around percentiles of the measure, "
        "all "
        "with bootstrap intervals. Higher measures predict more displacement, so a good measure has a negative "
        "correlation.\n\n"
        "Score files of several models show how far a measure depends on the model. --classes compares pairs of two "
        "refusals, two compliances and one of each.\n\n"
        "Rows are joined by \"index\" and \"row\" and must be those of DATA; rows that plumb score skipped are "
        "counted. "
        "Files are known by what they hold, so their order does not matter. docs/identify.md describes each number and "
        "the keys of the JSON.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb score MODEL pairs.jsonl -o scores.jsonl\n"
               "  plumb dpo MODEL pairs.jsonl -o run\n"
               "  plumb identify pairs.jsonl scores.jsonl run",
};

/* ---- which file is which ---- */

/* The files by their roles; scores [2 + words]. */
typedef struct roles {
    const char *data, *ledger, **scores;
    size_t score_count;
} roles;

static plumb_status put_role(roles *r, const char *path, plumb_row_kind kind)
{
    const char **place = kind == PLUMB_ROW_DATA ? &r->data : &r->ledger;
    if (kind == PLUMB_ROW_JUDGE)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: these are labels of plumb judge", path),
                          "give them by --classes %s", path);
    if (kind != PLUMB_ROW_DATA && kind != PLUMB_ROW_SCORES && kind != PLUMB_ROW_LEDGER)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: these are %s", path, plumb_row_kind_name(kind)),
                          "the files are: plumb identify DATA SCORES... LEDGER");
    if (kind == PLUMB_ROW_SCORES) {
        r->scores[r->score_count++] = path;
        return PLUMB_OK;
    }
    if (!*place) {
        *place = path;
        return PLUMB_OK;
    }
    const char *what = kind == PLUMB_ROW_DATA ? "data files" : "ledgers";
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s and %s are both %s", *place, path, what),
                      "the files are: plumb identify DATA SCORES... LEDGER, one data file and one ledger");
}

/* By what it holds, or else by its place. */
static plumb_status take_file(roles *r, const char *path, plumb_row_kind place)
{
    plumb_row_kind kind = plumb_identify_look(path);
    return put_role(r, path, kind == PLUMB_ROW_UNKNOWN ? place : kind);
}

static plumb_status find_roles(const identify_values *v, roles *r)
{
    PLUMB_TRY(plumb_new(&r->scores, v->scores.count + 2, sizeof *r->scores));
    PLUMB_TRY(take_file(r, v->data.items[0], PLUMB_ROW_DATA));
    for (size_t i = 0; i < v->scores.count; i++) PLUMB_TRY(take_file(r, v->scores.items[i], PLUMB_ROW_SCORES));
    PLUMB_TRY(take_file(r, v->ledger.items[0], PLUMB_ROW_LEDGER));
    const char *missing = !r->data ? "DATA" : !r->ledger ? "LEDGER" : "SCORES";
    if (r->data && r->ledger && r->score_count) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "none of the files is %s",
                                 !r->data     ? "preference data"
                                 : !r->ledger ? "a ledger"
                                              : "a file of scores"),
                      "%s is missing: plumb identify DATA SCORES... LEDGER", missing);
}

/* ---- what is asked for ---- */

static plumb_status check_inputs(const plumb_cli *cli, const identify_values *v, const roles *r)
{
    const char *const others[] = {r->data, r->ledger, v->classes};
    int from_stdin = 0;
    for (size_t i = 0; i < 3; i++) from_stdin += others[i] && strcmp(others[i], "-") == 0;
    for (size_t i = 0; i < r->score_count; i++) from_stdin += strcmp(r->scores[i], "-") == 0;
    PLUMB_TRY(plumb_cli_check_output(cli, NULL, others, 3));
    PLUMB_TRY(plumb_cli_check_output(cli, NULL, r->scores, r->score_count));
    PLUMB_TRY(plumb_cli_check_output(cli, r->ledger, NULL, 0)); /* a run folder */
    if (v->classes && v->classes_key.count)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--classes and --classes_key exclude each other"), "give one of "
                                                                                                       "them");
    if (v->classes_key.count > 2)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--classes_key: %zu columns are given", v->classes_key.count),
                          "give one column with both labels, or two: of the chosen and of the rejected response");
    if (from_stdin < 2) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "- is given %d times, but stdin can be read only once", from_stdin),
                      "save one of the inputs to a file first");
}

static plumb_status read_options(const plumb_cli *cli, const identify_values *v, const roles *r,
                                 plumb_identify_options *o)
{
    *o = (plumb_identify_options){.data = r->data,
                                  .ledger = r->ledger,
                                  .scores = r->scores,
                                  .score_count = r->score_count,
                                  .measures = v->measures.items,
                                  .measure_count = v->measures.count,
                                  .slices = v->slices.items,
                                  .slice_count = v->slices.count,
                                  .classes = v->classes,
                                  .class_keys = v->classes_key.items,
                                  .class_key_count = v->classes_key.count,
                                  .step = plumb_options_given(cli->options, "step") ? v->step : -1,
                                  .resamples = (int)v->resamples,
                                  .level = v->level,
                                  .seed = (uint64_t)v->common.seed,
                                  .threads = plumb_cli_threads(&v->common),
                                  .skip_unmatched = v->common.on_error == PLUMB_ON_ERROR_SKIP};
    plumb_cli_rows(&v->common, &o->begin, &o->end);
    PLUMB_TRY(plumb_context(plumb_amount_parse(v->top, &o->top), "--top"));
    if (o->top.digits) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--top %s: no pairs at all", v->top), "the paper keeps 5%%");
}

/* ---- the record ---- */

static plumb_status start_meta(plumb_cli *cli, const identify_values *v, const roles *r, json_t **out)
{
    PLUMB_TRY(plumb_meta_new(cli->usage, cli->options, out));
    PLUMB_TRY(plumb_meta_input(*out, "data", r->data, -1, 0));
    for (size_t i = 0; i < r->score_count; i++) PLUMB_TRY(plumb_meta_input(*out, "scores", r->scores[i], -1, 0));
    if (v->classes) PLUMB_TRY(plumb_meta_input(*out, "classes", v->classes, -1, 0));
    return plumb_meta_input(*out, "ledger", r->ledger, -1, 0);
}

static plumb_status finish_meta(json_t *meta, const plumb_identify_report *report)
{
    PLUMB_TRY(plumb_meta_input(meta, "data", report->data.path, report->data.rows, report->data.hash));
    for (size_t i = 0; i < report->file_count; i++)
        PLUMB_TRY(
            plumb_meta_input(meta, "scores", report->files[i].path, report->files[i].rows, report->files[i].hash));
    PLUMB_TRY(plumb_meta_count(meta, "pairs", report->pairs));
    PLUMB_TRY(plumb_meta_count(meta, "skipped", report->skipped));
    PLUMB_TRY(plumb_meta_count(meta, "unmatched", report->unmatched));
    return plumb_meta_count(meta, "displaced", report->displaced);
}

/* ---- the work ---- */

static plumb_status write_report(const identify_values *v, const plumb_identify_options *o,
                                 const plumb_identify_report *report, plumb_output *output)
{
    plumb_text t = {0};
    plumb_status s = v->format == JSON  ? plumb_identify_json(o, report, &t)
                     : v->format == CSV ? plumb_identify_csv(report, &t)
                                        : plumb_identify_text(o, report, &t);
    if (!s) s = plumb_output_write(output, t.data, t.size);
    plumb_text_free(&t);
    return s;
}

static plumb_status identify_into(plumb_cli *cli, const identify_values *v, const plumb_identify_options *o,
                                  json_t *meta)
{
    plumb_output *output = NULL;
    plumb_identify_report report = {0};
    bool resumed = false;
    PLUMB_TRY(plumb_cli_open_output(cli, meta, &output, &resumed));
    plumb_status s = plumb_identify_run(o, &cli->sink, &report);
    if (!s) s = finish_meta(meta, &report);
    if (!s) s = write_report(v, o, &report, output);
    s = plumb_cli_close_output(cli, meta, output, false, s);
    plumb_identify_report_free(&report);
    return s;
}

static plumb_status identify(plumb_cli *cli, void *values)
{
    const identify_values *v = values;
    roles r = {0};
    plumb_identify_options o;
    json_t *meta = NULL;
    plumb_status s = find_roles(v, &r);
    PLUMB_GO(s);
    PLUMB_GO(check_inputs(cli, v, &r));
    PLUMB_GO(read_options(cli, v, &r, &o));
    PLUMB_GO(start_meta(cli, v, &r, &meta));
    s = identify_into(cli, v, &o, meta);
done:
    free(r.scores);
    json_decref(meta);
    return s;
}

int plumb_command_identify(int argc, char **argv)
{
    identify_values v = {0};
    return plumb_cli_run(&plumb_usage_identify, argc, argv, &v, &v.common, identify);
}
