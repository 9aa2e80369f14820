/* plumb reward-score: what a reward model says of preferences and of responses. */
#include "study/reward_rows.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "base/progress.h"
#include "cli/meta.h"
#include "cli/work_time.h"
#include "model/reward_model.h"

typedef struct reward_score_values {
    plumb_common common;
    plumb_list model, data;
    const char *prompt_key, *chosen_key, *rejected_key, *completion_key, *chat_template;
    bool as_message;
    int64_t max_length;
    int isa, hash;
} reward_score_values;

#define VALUE(field) offsetof(reward_score_values, field)

static const plumb_option options[] = {
    {.name = "prompt_key",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(prompt_key),
     .fallback = "prompt",
     .metavar = "KEY",
     .help = "the column of the prompt"},
    {.name = "chosen_key",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(chosen_key),
     .fallback = "chosen",
     .metavar = "KEY",
     .help = "of preference rows: the column of the preferred response"},
    {.name = "rejected_key",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(rejected_key),
     .fallback = "rejected",
     .metavar = "KEY",
     .help = "of preference rows: the column of the dispreferred response"},
    {.name = "completion_key",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(completion_key),
     .fallback = "completion",
     .metavar = "KEY",
     .help = "the column of the response to a prompt, where it is not called response"},
    {.name = "as_message",
     .kind = PLUMB_OPTION_FLAG,
     .offset = VALUE(as_message),
     .help = "of responses: a string prompt is a user's message and its response the assistant's, as plumb generate "
             "--as_message has it; without it they are plain text"},
    {.name = "chat_template",
     .kind = PLUMB_OPTION_STRING,
     .offset = VALUE(chat_template),
     .metavar = "FILE",
     .help = "a Jinja file instead of the checkpoint's own chat template"},
    {.name = "max_length",
     .kind = PLUMB_OPTION_INTEGER,
     .offset = VALUE(max_length),
     .metavar = "N",
     .low = 1,
     .high = 1 << 24,
     .help = "skip rows with a sequence of more than N tokens; without it the model's positions"},
    {.name = "hash",
     .kind = PLUMB_OPTION_CHOICE,
     .offset = VALUE(hash),
     .choices = "sample|full",
     .fallback = "sample",
     .changes_no_result = true,
     .help = "what the model's hash covers: headers, config, tokenizer and 64 KiB samples of each tensor, or every "
             "byte"},
    PLUMB_OPTION_ISA(reward_score_values),
    PLUMB_OPTION_OUTPUT(reward_score_values),
    PLUMB_OPTION_LIMIT(reward_score_values),
    PLUMB_OPTION_ROWS(reward_score_values),
    PLUMB_OPTION_ON_ERROR(reward_score_values),
    PLUMB_OPTION_THREADS(reward_score_values),
    PLUMB_OPTION_RESUME(reward_score_values),
    PLUMB_OPTION_DRY_RUN(reward_score_values),
    PLUMB_OPTION_QUIET(reward_score_values),
};

static const plumb_positional positionals[] = {
    {"RM",
     "a reward model: the folder of plumb reward, a checkpoint with one label of transformers, or a LoRA adapter of "
     "one, "
     "whose base is where its adapter_config.json says",
     1, 1, VALUE(model)},
    {"DATA",
     "preference rows, what plumb generate wrote, or rows of prompt and completion, as JSONL, plain or .gz; - is "
     "stdin",
     1, 1, VALUE(data)},
};

const plumb_usage plumb_usage_reward_score = {
    .name = "reward-score",
    .summary = "rewards of preference pairs or of responses under a reward model",
    .description =
        "Writes one row for each row of DATA, in the order of the file: for preferences {\"index\", \"row\", "
        "\"reward/chosen\", \"reward/rejected\", \"margin\"}, for responses {\"index\", \"row\", \"sample\", "
        "\"reward\"}. Tells at the end how often the chosen response has the higher reward, and by how much.\n\n"
        "The reward is read where transformers reads it: at the last token that is not the pad_token_id of "
        "config.json; of an adapter not the pad token of its own tokenizer. "
        "Rewards do not depend on threads or on what else is in the file.",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .positionals = positionals,
    .positional_count = sizeof positionals / sizeof *positionals,
    .example = "  plumb reward-score rm held-out.jsonl -o rewards.jsonl\n"
               "  plumb reward-score rm responses.jsonl --as_message -o rewards.jsonl",
};

/* All that a run holds; freed in one place. */
typedef struct run {
    plumb_cli *cli;
    const reward_score_values *v;
    plumb_compute *compute;
    plumb_reward_model reward;
    plumb_reward_rows *rows;
    plumb_reward_summary summary;
    plumb_reward_work work; /* of a dry run */
    plumb_output *output;
    json_t *meta;
    plumb_text line;
    int64_t written;
} run;

static void free_run(run *r)
{
    plumb_reward_rows_close(r->rows);
    plumb_reward_model_close(&r->reward);
    plumb_compute_close(r->compute);
    plumb_text_free(&r->line);
    json_decref(r->meta);
}

static plumb_status open_model(run *r)
{
    PLUMB_TRY(plumb_cli_open_compute(&r->v->common, r->v->isa, 0, &r->compute));
    return plumb_reward_model_open(r->v->model.items[0], NULL, r->v->chat_template, r->compute, &r->reward);
}

static plumb_status open_rows(run *r)
{
    const reward_score_values *v = r->v;
    plumb_reward_source source = {
        .path = v->data.items[0],
        .model = r->reward.model,
        .encoder = r->reward.encoder,
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, PLUMB_IMPLICIT_WHOLE},
        .completion = v->completion_key,
        .as_message = v->as_message,
        .max_length = v->max_length ? (int)v->max_length : r->reward.model->config.max_positions,
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP,
        .plan = v->common.dry_run ? &r->work : NULL,
        .sink = &r->cli->sink,
    };
    plumb_cli_rows(&v->common, &source.begin, &source.end);
    return plumb_reward_rows_open(&source, &r->rows);
}

/* ---- the record ---- */

static plumb_status start_meta(run *r)
{
    const char *folder = r->reward.model->folder;
    uint64_t hash;
    char text[17];
    PLUMB_TRY(plumb_meta_new(r->cli->usage, r->cli->options, &r->meta));
    json_t *isa = json_string(plumb_compute_isa(r->compute));
    if (json_object_set_new(json_object_get(r->meta, "options"), "isa", isa)) return plumb_no_memory();
    PLUMB_TRY(plumb_model_hash(folder, r->v->hash == 1, &hash));
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    PLUMB_TRY(plumb_meta_model(r->meta, folder, text));
    if (r->reward.adapter) PLUMB_TRY(plumb_meta_weights(r->meta, "adapter", r->v->model.items[0]));
    PLUMB_TRY(plumb_meta_text_hash(r->reward.text, r->v->chat_template, text));
    PLUMB_TRY(plumb_meta_file(r->meta, "tokenizer", r->reward.text, text));
    return plumb_meta_input(r->meta, "data", r->v->data.items[0], -1, 0);
}

static plumb_status finish_meta(run *r)
{
    uint64_t hash;
    int64_t rows = plumb_reward_rows_count(r->rows, &hash);
    PLUMB_TRY(plumb_meta_input(r->meta, "data", r->v->data.items[0], rows, hash));
    PLUMB_TRY(plumb_meta_count(r->meta, "scored", r->summary.pairs + r->summary.responses));
    return plumb_meta_count(r->meta, "skipped", r->summary.skipped);
}

/* A chat template may tell the date: a run that goes on tells the one it began with. */
static plumb_status settle_time(run *r, bool resumed)
{
    const char *partial = plumb_output_partial(r->output);
    if (resumed) PLUMB_TRY(plumb_meta_recorded(partial, "template_time", &r->reward.encoder->now));
    if (json_object_set_new(r->meta, "template_time", json_integer(r->reward.encoder->now))) return plumb_no_memory();
    return plumb_output_is_file(r->output) ? plumb_meta_write(r->meta, partial) : PLUMB_OK;
}

/* ---- going on with a partial output ---- */

static plumb_status take_written(run *r, const plumb_row *line)
{
    json_t *j = NULL;
    plumb_reward_row row;
    plumb_row_key key;
    bool found = false;
    plumb_status s = plumb_json_parse(line->bytes, line->size, false, NULL, &j);
    if (!s) s = plumb_reward_row_read(j, &row);
    if (!s) s = plumb_reward_rows_pass(r->rows, &key, &found);
    if (!s && (!found || key.index != row.key.index || key.row != row.key.row))
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "was made from another row than stands in %s", r->v->data.items[0]),
                       "the data changed; delete the partial file and score again");
    if (!s) plumb_reward_summary_add(&r->summary, &row);
    json_decref(j);
    return plumb_context(s, "%s:%" PRId64, plumb_output_partial(r->output), line->line);
}

static plumb_status pass_written(run *r)
{
    plumb_rows *rows;
    plumb_row line;
    bool found;
    PLUMB_TRY(plumb_rows_open(plumb_output_partial(r->output), 0, -1, &rows));
    plumb_status s;
    while (!(s = plumb_rows_next(rows, &line, &found)) && found) {
        s = take_written(r, &line);
        if (s) break;
        r->written++;
    }
    plumb_rows_close(rows);
    if (!s) plumb_note(&r->cli->sink, "going on after %" PRId64 " rows", r->written);
    return s;
}

/* ---- the work ---- */

static plumb_status write_row(void *user, const plumb_reward_row *row)
{
    run *r = user;
    plumb_text_clear(&r->line);
    PLUMB_TRY(plumb_reward_row_line(row, &r->line));
    PLUMB_TRY(plumb_output_write(r->output, r->line.data, r->line.size));
    plumb_reward_summary_add(&r->summary, row);
    r->written++;
    return PLUMB_OK;
}

static void say_summary(run *r)
{
    const plumb_reward_summary *s = &r->summary;
    double pairs = (double)s->pairs, n = (double)s->responses;
    if (s->pairs)
        plumb_cli_say(r->cli,
                      "%" PRId64 " pairs: accuracy %.4g (the chosen response has the higher reward), mean margin %.5g, "
                      "mean reward chosen %.5g, rejected %.5g",
                      s->pairs, (double)s->right / pairs, s->margin / pairs, s->chosen / pairs, s->rejected / pairs);
    if (s->responses) {
        double mean = s->sum / n, variance = s->responses > 1 ? (s->squares - n * mean * mean) / (n - 1) : 0;
        plumb_cli_say(r->cli, "%" PRId64 " responses: mean reward %.5g, deviation %.5g, from %.5g to %.5g",
                      s->responses, mean, sqrt(variance > 0 ? variance : 0), s->least, s->most);
    }
    if (s->skipped) plumb_cli_say(r->cli, "%" PRId64 " rows were skipped", s->skipped);
    if (!s->pairs && !s->responses) plumb_cli_say(r->cli, "plumb: warning: nothing was scored");
}

static plumb_status score_into(run *r)
{
    bool resumed = false;
    PLUMB_TRY(start_meta(r));
    PLUMB_TRY(plumb_cli_open_output(r->cli, r->meta, &r->output, &resumed));
    plumb_status s = settle_time(r, resumed);
    if (!s && resumed) s = pass_written(r);
    if (!s) s = plumb_reward_rows_run(r->rows, write_row, r);
    if (!s) s = finish_meta(r);
    s = plumb_cli_close_output(r->cli, r->meta, r->output, resumed || r->written > 0, s);
    if (!s) say_summary(r);
    return s;
}

/* ---- a dry run ---- */

static plumb_status count_row(void *user, const plumb_reward_row *row)
{
    plumb_reward_summary_add(user, row);
    return PLUMB_OK;
}

static plumb_status plan(run *r)
{
    char parameters[64];
    const plumb_reward_summary *n = &r->summary;
    const plumb_config *c = &r->reward.model->config;
    PLUMB_TRY(plumb_reward_rows_run(r->rows, count_row, &r->summary));
    plumb_format_count((double)plumb_config_parameters(c), parameters, sizeof parameters);
    plumb_cli_tell(r->cli, "model: %s, %s, %s parameters%s%s", r->v->model.items[0], c->architecture->score_class_name,
                   parameters, r->reward.adapter ? ", an adapter of " : "",
                   r->reward.adapter ? r->reward.model->folder : "");
    plumb_cli_tell(r->cli, "data: %s, %" PRId64 " pairs, %" PRId64 " responses, %" PRId64 " rows to be skipped",
                   r->v->data.items[0], n->pairs, n->responses, n->skipped);
    PLUMB_TRY(plumb_tell_passes(r->cli, r->compute, r->work.flops, r->work.bytes, r->work.largest_rows,
                                "the mapped checkpoint"));
    plumb_cli_say(r->cli, "dry run: nothing was written");
    return PLUMB_OK;
}

static plumb_status reward_score(plumb_cli *cli, void *values)
{
    const reward_score_values *v = values;
    run r = {.cli = cli, .v = v};
    const char *inputs[] = {v->data.items[0], v->chat_template};
    plumb_status s = plumb_cli_check_output(cli, v->model.items[0], inputs, 2);
    if (!s) s = open_model(&r);
    if (!s) s = open_rows(&r);
    if (!s) s = v->common.dry_run ? plan(&r) : score_into(&r);
    free_run(&r);
    return s;
}

int plumb_command_reward_score(int argc, char **argv)
{
    reward_score_values v = {0};
    return plumb_cli_run(&plumb_usage_reward_score, argc, argv, &v, &v.common, reward_score);
}
