/* plumb pair: preference data from judged responses. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/meta.h"
#include "io/rows.h"
#include "study/response_pairs.h"

typedef struct pair_values {
    plumb_common common;
    plumb_list responses, samples;
    const char *labels, *prefer;
    int prefer_label;
    bool gold;
} pair_values;

static const plumb_option options[] = {
    {.name = "labels",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(pair_values, labels),
     .metavar = "FILE",
     .help = "what plumb judge wrote for these responses"},
    {.name = "prefer_label",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = offsetof(pair_values, prefer_label),
     .choices = "refusal|compliance|evasive",
     .fallback = "refusal",
     .help = "the label that wins against the others"},
    {.name = "prefer",
     .kind = PLUMB_OPTION_STRING,
     .offset = offsetof(pair_values, prefer),
     .fallback = "score",
     .metavar = "FIELD",
     .help =
         "what orders two of a kind, the higher value first: score (the judge's), length (characters of the "
         "response), or a numeric field of the response rows or the judged rows, such as a reward; with a minus, as "
         "in --prefer=-length, the lower value first"},
    {.name = "samples",
     .kind = PLUMB_OPTION_LIST,
     .offset = offsetof(pair_values, samples),
     .metavar = "N",
     .help = "the numbers of two samples, like 0 3; without it the first two of each prompt"},
    {.name = "gold",
     .kind = PLUMB_OPTION_FLAG,
     .offset = offsetof(pair_values, gold),
     .help = "only pairs of a refusal and a compliance"},
    PLUMB_OPTION_OUTPUT(pair_values),
    PLUMB_OPTION_DRY_RUN(pair_values),
    PLUMB_OPTION_QUIET(pair_values),
};

static const plumb_positional positionals[] = {
    {"RESPONSES", "what plumb generate wrote, or preference rows, plain or .gz; - is stdin", 1, 1,
     offsetof(pair_values, responses)},
};

const plumb_usage plumb_usage_pair = {
    .name = "pair",
    .summary = "make preference data from judged responses",
    .description =
        "Takes two responses of each prompt and writes {\"prompt\", \"chosen\", \"rejected\", ...} in the form of the "
        "prompts, as plumb score and plumb dpo read it. The response with the preferred label is chosen; two of a "
        "kind, "
        "such as two refusals, are ordered by --prefer. An empty or unreadable response loses against every other.\n\n"
        "A prompt makes no pair where its responses are the same, where --prefer does not tell them apart, where both "
        "are empty or unreadable, or where the judge's answer could not be read. How many there were of each, and the "
        "shares of two refusals, two compliances and one of each, is told on stderr.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb generate MODEL prompts.jsonl --n 2 -o responses.jsonl\n"
               "  plumb judge responses.jsonl -o judged.jsonl\n"
               "  plumb pair responses.jsonl --labels judged.jsonl --prefer length -o pairs.jsonl\n"
               "  plumb pair responses.jsonl --labels judged.jsonl --gold -o gold.jsonl",
};

/* ---- what is asked for ---- */

static plumb_status read_samples(const plumb_list *list, int out[2])
{
    enum { MOST = 1 << 24 };
    out[0] = out[1] = -1;
    if (!list->count) return PLUMB_OK;
    bool good = list->count == 2;
    for (size_t i = 0; i < list->count && good; i++) {
        char *end;
        long value = strtol(list->items[i], &end, 10);
        good = *list->items[i] >= '0' && *list->items[i] <= '9' && !*end && value < MOST;
        out[i] = (int)value;
    }
    if (good && out[0] != out[1]) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--samples: expected the numbers of two samples"),
                      "like --samples 0 1, counted from 0");
}

static plumb_status read_choice(const pair_values *v, plumb_pair_choice *out)
{
    static const plumb_label labels[] = {PLUMB_REFUSAL, PLUMB_COMPLIANCE, PLUMB_EVASIVE}; /* as in the choices */
    const char *prefer = v->prefer;
    *out = (plumb_pair_choice){.prefer = labels[v->prefer_label], .gold = v->gold, .lower = *prefer == '-'};
    out->criterion = prefer + out->lower;
    if (!*out->criterion) return plumb_fail(PLUMB_E_INPUT, "--prefer: \"%s\" names no field", prefer);
    if (v->gold && out->prefer == PLUMB_EVASIVE)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--gold pairs hold no evasive response to prefer"),
                          "leave out --gold, or prefer refusal or compliance");
    return read_samples(&v->samples, out->samples);
}

static plumb_status check_inputs(const plumb_cli *cli, const pair_values *v)
{
    if (!v->labels)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--labels is missing"),
                          "judge the responses first: plumb judge %s -o judged.jsonl", v->responses.items[0]);
    const char *inputs[] = {v->responses.items[0], v->labels};
    PLUMB_TRY(plumb_cli_check_output(cli, NULL, inputs, 2));
    if (strcmp(inputs[0], "-") != 0 || strcmp(inputs[1], "-") != 0) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "- is given twice, but stdin can be read only once"),
                      "save one of the inputs to a file first");
}

/* ---- what is told ---- */

static const struct {
    plumb_pair_fate fate;
    const char *name, *what; /* in the record; for people */
} left_out[] = {
    {PLUMB_PAIR_TOO_FEW, "too_few", "without the two samples"},
    {PLUMB_PAIR_UNLABELLED, "unlabelled", "with an answer of the judge that could not be read"},
    {PLUMB_PAIR_IDENTICAL, "identical", "with two identical responses"},
    {PLUMB_PAIR_MALFORMED, "malformed", "with two empty or unreadable responses"},
    {PLUMB_PAIR_NOT_GOLD, "not_gold", "without a refusal and a compliance (--gold)"},
    {PLUMB_PAIR_EQUAL, "equal", "whose responses the criterion does not tell apart"},
};

static const char *const class_names[PLUMB_PAIR_CLASSES] = {"two_refusals", "two_compliances", "one_of_each", "others"};

static void say_report(plumb_cli *cli, const pair_values *v, const plumb_pair_report *r)
{
    static const char *const words[PLUMB_PAIR_CLASSES] = {"two refusals", "two compliances", "one of each", "others"};
    int64_t all = 0, written = r->fates[PLUMB_PAIR_BY_LABEL] + r->fates[PLUMB_PAIR_BY_CRITERION];
    for (int i = 0; i < PLUMB_PAIR_CLASSES; i++) all += r->classes[i];
    plumb_cli_tell(cli, "%" PRId64 " prompt%s, %" PRId64 " with two labelled responses", r->prompts,
                   r->prompts == 1 ? "" : "s", all);
    for (int i = 0; i < PLUMB_PAIR_CLASSES && all; i++)
        plumb_cli_tell(cli, "  %-16s %8" PRId64 "  %5.1f %%", words[i], r->classes[i],
                       100 * (double)r->classes[i] / (double)all);
    plumb_cli_tell(cli, "%" PRId64 " pair%s: %" PRId64 " by label, %" PRId64 " by %s", written, written == 1 ? "" : "s",
                   r->fates[PLUMB_PAIR_BY_LABEL], r->fates[PLUMB_PAIR_BY_CRITERION], v->prefer);
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (r->fates[left_out[i].fate])
            plumb_cli_tell(cli, "left out: %" PRId64 " %s", r->fates[left_out[i].fate], left_out[i].what);
    if (r->fates[PLUMB_PAIR_EQUAL])
        plumb_cli_say(cli, "another criterion may tell more apart: --prefer length, or a field of the rows");
    if (!written) plumb_cli_say(cli, "plumb: warning: no prompt makes a pair");
    if (v->common.dry_run) plumb_cli_say(cli, "dry run: nothing was written");
}

/* ---- the work ---- */

static plumb_status finish_meta(json_t *meta, const pair_values *v, const plumb_response_reader *responses,
                                const plumb_pair_report *r)
{
    uint64_t hash;
    int64_t rows = plumb_response_reader_rows(responses, &hash);
    PLUMB_TRY(plumb_meta_input(meta, "responses", v->responses.items[0], rows, hash));
    PLUMB_TRY(plumb_meta_count(meta, "prompts", r->prompts));
    for (int i = 0; i < PLUMB_PAIR_CLASSES; i++) PLUMB_TRY(plumb_meta_count(meta, class_names[i], r->classes[i]));
    PLUMB_TRY(plumb_meta_count(meta, "by_label", r->fates[PLUMB_PAIR_BY_LABEL]));
    PLUMB_TRY(plumb_meta_count(meta, "by_criterion", r->fates[PLUMB_PAIR_BY_CRITERION]));
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        PLUMB_TRY(plumb_meta_count(meta, left_out[i].name, r->fates[left_out[i].fate]));
    return PLUMB_OK;
}

static plumb_status pair_into(plumb_cli *cli, const pair_values *v, const plumb_pair_choice *choice,
                              const plumb_judgements *labels, json_t *meta)
{
    const plumb_preference_keys keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE};
    const char *name = plumb_input_name(v->labels);
    plumb_response_reader *responses = NULL;
    plumb_pair_report report = {0};
    plumb_output *output = NULL;
    bool resumed = false;
    PLUMB_TRY(plumb_response_reader_open(v->responses.items[0], 0, -1, &keys, &cli->sink, &responses));
    plumb_status s = v->common.dry_run ? PLUMB_OK : plumb_cli_open_output(cli, meta, &output, &resumed);
    if (s) {
        plumb_response_reader_close(responses);
        return s;
    }
    s = plumb_response_pairs(responses, labels, name, choice, output, &report);
    if (!s) s = finish_meta(meta, v, responses, &report);
    plumb_response_reader_close(responses);
    if (output) s = plumb_cli_close_output(cli, meta, output, false, s);
    if (!s) say_report(cli, v, &report);
    return s;
}

static plumb_status pair(plumb_cli *cli, void *values)
{
    const pair_values *v = values;
    plumb_pair_choice choice;
    plumb_judgements *labels = NULL;
    json_t *meta = NULL;
    int64_t rows;
    uint64_t hash;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(read_choice(v, &choice));
    PLUMB_GO(check_inputs(cli, v));
    PLUMB_GO(plumb_meta_new(cli->usage, cli->options, &meta));
    PLUMB_GO(plumb_judgements_new(&labels));
    PLUMB_GO(plumb_judgements_load(labels, v->labels, plumb_pair_field(&choice), &cli->sink, &rows, &hash));
    PLUMB_GO(plumb_meta_input(meta, "labels", v->labels, rows, hash));
    PLUMB_GO(pair_into(cli, v, &choice, labels, meta));
done:
    plumb_judgements_free(labels);
    json_decref(meta);
    return s;
}

int plumb_command_pair(int argc, char **argv)
{
    pair_values v = {0};
    return plumb_cli_run(&plumb_usage_pair, argc, argv, &v, &v.common, pair);
}
