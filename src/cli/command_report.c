/* plumb report: what is known about pairs and runs, as one page. */
#include "report/report.h"

#include <string.h>

#include "cli/cli.h"
#include "cli/meta.h"
#include "report/writer.h"

typedef struct report_values {
    plumb_common common;
    plumb_list inputs, cut;
    const char *prompt_key, *chosen_key, *rejected_key;
    int format, implicit_prompt;
} report_values;

static const plumb_option options[] = {
    {.name = "format",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(report_values, format),
     .choices = "html|md|json",
     .fallback = "html",
     .help = "html: one page that needs nothing else; md: verdict and tables in Markdown; json: all numbers behind the "
             "figures. Where it is not given, an output that is called .md or .json is one"},
    {.name = "cut",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(report_values, cut),
     .fallback = "5%,15%",
     .metavar = "P%|N",
     .help = "the cuts that the histograms show: the lowest P percent, or the lowest N pairs, as in plumb filter "
             "--keep-lowest"},
    PLUMB_OPTION_PROMPT_KEY(report_values),
    PLUMB_OPTION_RESPONSE_KEYS(report_values),
    PLUMB_OPTION_IMPLICIT_PROMPT(report_values),
    PLUMB_OPTION_OUTPUT(report_values),
    PLUMB_OPTION_QUIET(report_values),
};

static const plumb_positional positionals[] = {
    {"FILE|RUN",
     "run folders, and what plumb score, trace, judge, explain and identify wrote, ledgers, metrics and preference "
     "data, in any order",
     1, -1, offsetof(report_values, inputs)},
};

const plumb_usage plumb_usage_report = {
    .name = "report",
    .summary = "one page on scores and runs: what happened to the pairs, and what to do",
    .description =
        "Puts together what other commands found out, recognised by content and joined by \"index\" and \"row\": a "
        "verdict in words with the next command, then figures. Each figure has its numbers as a table and as CSV, and "
        "the command that made them. A figure whose data are not given is left out and listed with the command that "
        "would make them.\n\n"
        "The page is one file: no network, light and dark, for the screen, a phone and paper. A click on a dot opens "
        "the pair; texts come from the data file, which run.json names, or which is given too, and the colours of "
        "their tokens from plumb explain. Several runs stand side by side. Pairs in the page are sampled above 800, "
        "with the count told; texts are cut at a length that is told.\n\n"
        "docs/report.md describes every figure.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb score MODEL pairs.jsonl -o scores.jsonl\n"
               "  plumb dpo MODEL pairs.jsonl -o run --ledger_steps 10 --ledger_tokens 5\n"
               "  plumb report run scores.jsonl -o report.html",
};

enum { MOST_CUTS = 16 };

static plumb_status read_cuts(const report_values *v, plumb_amount cuts[MOST_CUTS])
{
    if (v->cut.count > MOST_CUTS)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--cut: %zu cuts", v->cut.count), "give at most %d", MOST_CUTS);
    for (size_t i = 0; i < v->cut.count; i++)
        PLUMB_TRY(plumb_context(plumb_amount_parse(v->cut.items[i], &cuts[i]), "--cut"));
    return PLUMB_OK;
}

/* The command line as it was given. */
static plumb_status command_line(const plumb_cli *cli, plumb_writer *w)
{
    plumb_put(w, "plumb report");
    for (int i = 1; i < cli->argc; i++) {
        plumb_put(w, " ");
        plumb_put_shell(w, cli->argv[i]);
    }
    return plumb_writer_end(w);
}

static plumb_status read_inputs(plumb_cli *cli, const report_values *v, plumb_report *r, json_t *meta)
{
    for (size_t i = 0; i < v->inputs.count; i++) {
        int64_t rows;
        uint64_t hash;
        PLUMB_TRY(plumb_report_add(r, v->inputs.items[i], &cli->sink, &rows, &hash));
        PLUMB_TRY(plumb_meta_input(meta, "inputs", v->inputs.items[i], rows, hash));
    }
    return plumb_report_finish(r, &cli->sink);
}

/* The format that was asked for, or else the one that the output's name ends in. */
static plumb_report_format format_of(const plumb_cli *cli, const report_values *v)
{
    const char *end = v->common.output ? strrchr(v->common.output, '.') : NULL;
    if (end && !plumb_options_given(cli->options, "format")) {
        if (strcmp(end, ".md") == 0) return PLUMB_REPORT_MARKDOWN;
        if (strcmp(end, ".json") == 0) return PLUMB_REPORT_JSON;
    }
    return (plumb_report_format)v->format;
}

static plumb_status write_report(plumb_cli *cli, const report_values *v, const plumb_report *r, json_t *meta)
{
    plumb_output *out = NULL;
    plumb_text text = {0};
    bool resumed = false;
    size_t left_out, drawn = plumb_report_figures(r, &left_out);
    plumb_status s;
    PLUMB_GO(plumb_report_write(r, format_of(cli, v), &text));
    PLUMB_GO(plumb_cli_open_output(cli, meta, &out, &resumed));
    s = plumb_output_write(out, text.data, text.size);
    s = plumb_cli_close_output(cli, meta, out, resumed, s);
    if (!s) {
        plumb_cli_say(cli, "%s", plumb_report_verdict(r));
        plumb_cli_say(cli, "%zu figure%s; %zu left out for want of data%s", drawn, drawn == 1 ? "" : "s", left_out,
                      left_out ? " (listed at the end of the report)" : "");
    }
done:
    plumb_text_free(&text);
    return s;
}

static plumb_status report(plumb_cli *cli, void *values)
{
    const report_values *v = values;
    plumb_amount cuts[MOST_CUTS];
    plumb_writer command = {0};
    plumb_report *r = NULL;
    json_t *meta = NULL;
    plumb_status s;
    PLUMB_GO(read_cuts(v, cuts));
    PLUMB_GO(plumb_cli_check_output(cli, NULL, v->inputs.items, v->inputs.count));
    for (size_t i = 0; i < v->inputs.count; i++) /* run folders */
        PLUMB_GO(plumb_cli_check_output(cli, v->inputs.items[i], NULL, 0));
    PLUMB_GO(plumb_meta_new(cli->usage, cli->options, &meta));
    PLUMB_GO(command_line(cli, &command));
    plumb_report_options how = {
        .cuts = cuts,
        .cut_count = v->cut.count,
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, (plumb_implicit_prompt)v->implicit_prompt},
        .command = command.text.data};
    PLUMB_GO(plumb_report_new(&how, &r));
    PLUMB_GO(read_inputs(cli, v, r, meta));
    s = write_report(cli, v, r, meta);
done:
    plumb_report_free(r);
    plumb_writer_free(&command);
    json_decref(meta);
    return s;
}

int plumb_command_report(int argc, char **argv)
{
    report_values v = {0};
    return plumb_cli_run(&plumb_usage_report, argc, argv, &v, &v.common, report);
}
