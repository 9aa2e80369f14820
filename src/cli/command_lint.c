/* plumb lint: what is wrong with preference data, before it is trained on. */
#include "study/lint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "cli/cli.h"
#include "cli/meta.h"
#include "io/rows.h"
#include "model/config.h"

typedef struct lint_values {
    plumb_common common;
    plumb_list model, data, select, ignore;
    int implicit_prompt;
    int64_t max_length;
    double max_ratio;
    const char *prompt_key, *chosen_key, *rejected_key, *chat_template;
    bool json, statistics, fix;
} lint_values;

static const plumb_option options[] = {
    {.name = "select",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(lint_values, select),
     .metavar = "CODE",
     .help =
         "only these rules: codes (PT101), the beginnings of codes (PT, PD2) or names (boundary-merged); without it "
         "all rules"},
    {.name = "ignore",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(lint_values, ignore),
     .metavar = "CODE",
     .help = "not these rules, even if they are selected"},
    {.name = "max_ratio",
     .kind = PLUMB_OPTION_REAL,
     .offset = offsetof(lint_values, max_ratio),
     .fallback = "8",
     .metavar = "X",
     .low = 1,
     .high = 1000000,
     .help = "PD206: a response may have X times the tokens of the other one"},
    {.name = "max_length",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = offsetof(lint_values, max_length),
     .metavar = "N",
     .low = 2,
     .high = 1 << 24,
     .help =
         "where training will cut prompt + response, in tokens; without it 1024 or the model's positions, the smaller"},
    PLUMB_OPTION_PROMPT_KEY(lint_values),
    PLUMB_OPTION_RESPONSE_KEYS(lint_values),
    PLUMB_OPTION_IMPLICIT_PROMPT(lint_values),
    PLUMB_OPTION_CHAT_TEMPLATE(lint_values),
    {.name = "json",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(lint_values, json),
     .help = "write each finding (with --statistics: each rule) as a JSON object"},
    {.name = "statistics",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(lint_values, statistics),
     .help = "write how many findings each rule has instead of the findings, the most frequent first"},
    {.name = "fix",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(lint_values, fix),
     .help =
         "copy the data to -o FILE, byte for byte, without the rows that only lose by staying: duplicates after the "
         "first (PD202), pairs of the same response twice (PD201), empty responses (PD204), as far as these rules "
         "are selected"},
    {.name = "output",
     .letter = 'o',
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(lint_values, common.output),
     .fallback = "-",
     .metavar = "FILE",
     .changes_no_result = true,
     .help =
         "where the findings go, or with --fix the data (the findings are on stdout then). A file is complete or not "
         "there: it is written as FILE.partial and renamed, with FILE.meta.json beside it"},
    PLUMB_OPTION_LIMIT(lint_values),
    PLUMB_OPTION_ROWS(lint_values),
    PLUMB_OPTION_QUIET(lint_values),
};

static const plumb_positional positionals[] = {
    {"MODEL", "a Hugging Face checkpoint folder; only config.json and the tokenizer's files are read", 1, 1,
     offsetof(lint_values, model)},
    {"DATA", "preference rows as JSONL, plain or .gz; - is stdin", 1, 1, offsetof(lint_values, data)},
};

const plumb_usage plumb_usage_lint = {
    .name = "lint",
    .summary = "find what is wrong with preference data before it is trained on",
    .description =
        "Reads every row as training will, with the model's tokenizer and chat template, and tells what will be lost, "
        "cut, doubled or read differently than meant, one line for each finding:\n\n"
        "  pairs.jsonl:17: PD202 duplicate-pair: the same pair as in line 3; keep the first one only\n\n"
        "Tokens:\n"
        "  PT101 boundary-merged    PT102 double-bos         PT103 lost-eos\n"
        "  PT104 truncated          PT105 identical-after-truncation\n"
        "  PT106 prompt-too-long    PT107 split-word         PT108 template-differs\n"
        "  PT109 no-prompt-token\n"
        "Pairs:\n"
        "  PD201 chosen-equals-rejected                      PD202 duplicate-pair\n"
        "  PD203 swapped-pair       PD204 empty-response     PD205 prompt-repeated\n"
        "  PD206 length-gap         PD207 special-token-text\n"
        "Form:\n"
        "  PF301 not-utf8           PF302 mixed-forms        PF303 unknown-role\n"
        "  PF304 bad-row\n\n"
        "docs/lint.md explains each of them. The exit code is 1 if there are findings; with --fix, if there are any in "
        "the rows that stay.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb lint OLMo-1B-hf pairs.jsonl --ignore PT104 length-gap\n"
               "  plumb lint OLMo-1B-hf pairs.jsonl --statistics\n"
               "  plumb lint OLMo-1B-hf pairs.jsonl --fix -o clean.jsonl",
};

/* All that a run holds; freed in one place. */
typedef struct run {
    plumb_cli *cli;
    const lint_values *v;
    const char *name; /* of the data, in findings */
    plumb_config config;
    plumb_encoder *encoder;
    plumb_output *output;   /* what -o names */
    plumb_output *findings; /* the same, or stdout with --fix */
    json_t *meta;
    plumb_text line;
    plumb_lint_report report;
} run;

static void free_run(run *r)
{
    plumb_encoder_close(r->encoder);
    plumb_text_free(&r->line);
    json_decref(r->meta);
}

/* ---- what is asked for ---- */

static plumb_status check_output(const plumb_cli *cli, const lint_values *v)
{
    const char *inputs[] = {v->data.items[0], v->chat_template};
    bool to_file = v->common.output && strcmp(v->common.output, "-") != 0;
    if (v->fix && !to_file)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--fix needs a file for the data that stay"),
                          "name it: --fix -o FILE; the data themselves are never changed");
    return plumb_cli_check_output(cli, v->model.items[0], inputs, 2);
}

static plumb_status select_rules(const lint_values *v, uint32_t *out)
{
    uint32_t ignored;
    size_t count;
    plumb_lint_rules(&count);
    *out = (uint32_t)(((uint64_t)1 << count) - 1);
    if (v->select.count) PLUMB_TRY(plumb_context(plumb_lint_select(v->select.items, v->select.count, out), "--select"));
    PLUMB_TRY(plumb_context(plumb_lint_select(v->ignore.items, v->ignore.count, &ignored), "--ignore"));
    *out &= ~ignored;
    if (*out) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--ignore leaves no rule of those selected"), "ignore fewer rules");
}

static plumb_status open_text_side(run *r)
{
    const char *folder = r->v->model.items[0];
    PLUMB_TRY(plumb_config_load(folder, &r->config));
    return plumb_encoder_open(folder, r->v->chat_template, r->config.eos_id, &r->encoder);
}

/* ---- findings ---- */

static plumb_status write_finding(void *user, const plumb_finding *finding)
{
    run *r = user;
    if (r->v->statistics) return PLUMB_OK;
    plumb_text_clear(&r->line);
    PLUMB_TRY(r->v->json ? plumb_finding_json(finding, r->name, r->v->fix, &r->line)
                         : plumb_finding_line(finding, r->name, &r->line));
    return plumb_output_write(r->findings, r->line.data, r->line.size);
}

static plumb_status count_line(run *r, const plumb_lint_rule *rule, int64_t count)
{
    const char *severity = rule->severity == PLUMB_ERROR ? "error" : "warning";
    if (r->v->json)
        return plumb_text_printf(&r->line,
                                 "{\"code\": \"%s\", \"name\": \"%s\", \"severity\": \"%s\", \"count\": %" PRId64
                                 ", \"fixable\": %s}\n",
                                 rule->code, rule->name, severity, count, rule->fixable ? "true" : "false");
    return plumb_text_printf(&r->line,
                             rule->fixable ? "%8" PRId64 "  %s %-26s  %-7s  fixable\n" : "%8" PRId64 "  %s %-26s  %s\n",
                             count, rule->code, rule->name, severity);
}

/* The most frequent rule first, of equal ones in the order of the table. */
static plumb_status write_statistics(run *r)
{
    size_t count;
    const plumb_lint_rule *rules = plumb_lint_rules(&count);
    int64_t *counts = r->report.counts, last = INT64_MAX;
    plumb_text_clear(&r->line);
    while (last > 0) {
        int64_t next = 0;
        for (size_t i = 0; i < count; i++)
            if (counts[i] < last && counts[i] > next) next = counts[i];
        for (size_t i = 0; i < count && next; i++)
            if (counts[i] == next) PLUMB_TRY(count_line(r, &rules[i], next));
        last = next;
    }
    return r->line.size ? plumb_output_write(r->findings, r->line.data, r->line.size) : PLUMB_OK;
}

/* ---- the record and what is told ---- */

static plumb_status start_meta(run *r)
{
    char hash[17] = "";
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    PLUMB_TRY(plumb_meta_text_hash(r->v->model.items[0], r->v->chat_template, hash));
    PLUMB_TRY(plumb_meta_file(r->meta, "tokenizer", r->v->model.items[0], hash));
    return plumb_meta_input(r->meta, "data", r->v->data.items[0], -1, 0);
}

static plumb_status finish_meta(run *r)
{
    const plumb_lint_report *p = &r->report;
    PLUMB_TRY(plumb_meta_input(r->meta, "data", r->v->data.items[0], p->rows, p->data_hash));
    PLUMB_TRY(plumb_meta_count(r->meta, "rows", p->rows));
    PLUMB_TRY(plumb_meta_count(r->meta, "findings", p->findings));
    if (!r->v->fix) return PLUMB_OK;
    PLUMB_TRY(plumb_meta_count(r->meta, "dropped", p->dropped));
    return plumb_meta_count(r->meta, "written", p->rows - p->dropped);
}

static const char *plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/* "dropped 3 rows (2 PD202 duplicate-pair, 1 PD204 empty-response), 22 written to clean.jsonl" */
static plumb_status dropped_text(const run *r, plumb_text *t)
{
    size_t count;
    const plumb_lint_rule *rules = plumb_lint_rules(&count);
    const plumb_lint_report *p = &r->report;
    const char *before = " (";
    PLUMB_TRY(plumb_text_printf(t, "dropped %" PRId64 " row%s", p->dropped, plural(p->dropped)));
    for (size_t i = 0; i < count; i++) {
        if (!p->dropped_counts[i]) continue;
        PLUMB_TRY(
            plumb_text_printf(t, "%s%" PRId64 " %s %s", before, p->dropped_counts[i], rules[i].code, rules[i].name));
        before = ", ";
    }
    return plumb_text_printf(t, "%s, %" PRId64 " written to %s", p->dropped ? ")" : "", p->rows - p->dropped,
                             r->v->common.output);
}

static plumb_status say_report(run *r)
{
    const plumb_lint_report *p = &r->report;
    char rows[32], findings[32], faulty[32];
    plumb_format_count((double)p->rows, rows, sizeof rows);
    plumb_format_count((double)p->findings, findings, sizeof findings);
    plumb_format_count((double)p->faulty, faulty, sizeof faulty);
    if (!p->findings)
        plumb_cli_say(r->cli, "%s: %s row%s read, nothing found", r->name, rows, plural(p->rows));
    else
        plumb_cli_say(r->cli, "%s: %s row%s read, %s finding%s in %s of them", r->name, rows, plural(p->rows), findings,
                      plural(p->findings), faulty);
    if (!r->v->fix) {
        if (p->fixable) plumb_cli_say(r->cli, "%" PRId64 " fixable: --fix -o FILE leaves these rows out", p->fixable);
        return PLUMB_OK;
    }
    plumb_text_clear(&r->line);
    PLUMB_TRY(dropped_text(r, &r->line));
    plumb_cli_say(r->cli, "%s", r->line.data);
    return PLUMB_OK;
}

/* ---- the work ---- */

/* With --fix the file that -o names holds the data, and stdout the findings. */
static plumb_status run_into(run *r, plumb_lint_job *job)
{
    plumb_output *out = NULL;
    bool resumed = false;
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &resumed));
    plumb_status s = r->v->fix ? plumb_output_open("-", false, &out) : PLUMB_OK;
    if (out) plumb_output_watch(out, &r->cli->sink);
    r->findings = out ? out : r->output;
    if (r->v->fix) job->fixed = r->output;
    if (!s) s = plumb_lint_run(job, &r->cli->sink, &r->report);
    if (!s && r->v->statistics) s = write_statistics(r);
    if (!s) s = finish_meta(r);
    if (!s && out)
        s = plumb_output_commit(out);
    else
        plumb_output_close(out, false);
    s = plumb_cli_close_output(r->cli, r->meta, r->output, false, s);
    return s ? s : say_report(r);
}

static plumb_status lint(plumb_cli *cli, void *values)
{
    const lint_values *v = values;
    const char *data = v->data.items[0];
    run r = {.cli = cli, .v = v, .name = plumb_input_name(data)};
    plumb_lint_job job = {.data = data, .fix = v->fix, .emit = write_finding, .user = &r};
    plumb_status s = PLUMB_OK;
    plumb_cli_rows(&v->common, &job.begin, &job.end);
    PLUMB_GO(check_output(cli, v));
    PLUMB_GO(select_rules(v, &job.options.rules));
    PLUMB_GO(open_text_side(&r));
    job.options.keys = (plumb_preference_keys){v->prompt_key, v->chosen_key, v->rejected_key,
                                               (plumb_implicit_prompt)v->implicit_prompt};
    job.options.pairing =
        (plumb_pairing){.encoder = r.encoder,
                        .compat = PLUMB_COMPAT_TRL,
                        .max_length = plumb_cli_max_length(cli, v->max_length, r.config.max_positions, false),
                        .vocab_size = r.config.vocab_size};
    job.options.max_ratio = v->max_ratio;
    PLUMB_GO(start_meta(&r));
    PLUMB_GO(run_into(&r, &job));
    int64_t left = r.report.findings - (v->fix ? r.report.fixable : 0);
    if (left) cli->exit_code = PLUMB_EXIT_FINDINGS;
done:
    free_run(&r);
    return s;
}

int plumb_command_lint(int argc, char **argv)
{
    lint_values v = {0};
    return plumb_cli_run(&plumb_usage_lint, argc, argv, &v, &v.common, lint);
}
