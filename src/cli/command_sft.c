/* plumb sft: supervised tuning, on text, completions, conversations, or the chosen side of preferences. */
#include "cli/train_body.h"
#include "cli/trl_keys.h"
#include "train/completions.h"

const plumb_usage plumb_usage_sft = {
    .name = "sft",
    .summary = "tune a model on text, completions or conversations",
    .description =
        "Trains MODEL to continue as DATA does, with TRL's options and defaults, and writes a folder that loads in "
        "transformers. A row of DATA holds text; or a prompt and a completion, as strings or as lists of messages; or "
        "messages; or a preference, of which the chosen side is the completion; or token ids (input_ids with labels, "
        "completion_mask or assistant_masks; prompt_ids and completion_ids). Where there is a completion the loss "
        "counts its tokens, otherwise all tokens; --completion_only_loss false and --assistant_only_loss change "
        "that.\n\n"
        "--packing trains several rows as one of up to max_length tokens. No row sees another one, so that it decides "
        "only how many rows a step takes.\n\n"
        "The run may be stopped and gone on with (--resume) at any time; the result is the same to the bit.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_train_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example = "  plumb sft OLMo-1B conversations.jsonl -o run --chat_template olmo.jinja --assistant_only_loss",
};

static plumb_completion_loss loss_of(const plumb_train_body *b, const plumb_sft_values *v)
{
    if (!plumb_options_given(b->cli->options, "completion_only_loss")) return PLUMB_LOSS_BY_FORM;
    return v->completion_only_loss ? PLUMB_LOSS_COMPLETION : PLUMB_LOSS_ALL;
}

static plumb_status read_rows(plumb_train_body *b, const plumb_sft_values *v)
{
    const plumb_train_values *t = b->v;
    plumb_completion_source source = {
        .path = t->data.items[0],
        .how = {.encoder = b->encoder,
                .text = v->text_key,
                .completion = t->completion_key,
                .messages = v->messages_key,
                .keys = {t->prompt_key, t->chosen_key, t->rejected_key, (plumb_implicit_prompt)t->implicit_prompt},
                .max_length = b->max_length,
                .vocab_size = b->model->config.vocab_size,
                .loss = loss_of(b, v),
                .assistant_only_loss = v->assistant_only_loss,
                .packing = v->packing},
        .skip_bad_rows = t->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &b->cli->sink,
    };
    plumb_cli_rows(&t->common, &source.begin, &source.end);
    PLUMB_TRY(plumb_completions_read(&source, &b->examples));
    if (v->packing)
        plumb_cli_say(b->cli, "packing: %zu sequences in %zu blocks of up to %d tokens", b->examples.count,
                      plumb_examples_rows(&b->examples), b->max_length);
    return PLUMB_OK;
}

static plumb_status sft(plumb_cli *cli, void *values)
{
    plumb_sft_values *v = values;
    plumb_train_body b = {.cli = cli};
    PLUMB_TRY(plumb_sft_check(cli->options, v, &cli->sink));
    plumb_status s = plumb_train_open(&b, cli, &v->train);
    if (!s) s = read_rows(&b, v);
    if (!s) s = plumb_train_go(&b);
    plumb_train_close(&b);
    return s;
}

int plumb_command_sft(int argc, char **argv)
{
    plumb_sft_values v = {0};
    return plumb_cli_run(&plumb_usage_sft, argc, argv, &v, &v.train.common, sft);
}
