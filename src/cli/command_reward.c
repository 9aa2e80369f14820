/* plumb reward: a reward model fitted to preferences. */
#include <inttypes.h>
#include <string.h>

#include "cli/train_body.h"
#include "cli/trl_keys.h"
#include "train/row_ledgers.h"
#include "train/scored_pairs.h"
#include "train/step_losses.h"

const plumb_usage plumb_usage_reward = {
    .name = "reward",
    .summary = "fit a reward model to preferences",
    .description =
        "Trains MODEL, with one number on top of its last state in the place of the unembedding, so that chosen "
        "responses get higher rewards than rejected ones: -ln sigmoid(r_chosen - r_rejected - margin). Options and "
        "defaults are those of TRL's RewardTrainer; the folder loads in transformers as "
        "AutoModelForSequenceClassification. MODEL may be a language model, whose head is made anew from --seed, or a "
        "reward model. With --use_peft an adapter is trained and the whole head with it; the folder then is one of "
        "PEFT.\n\n"
        "DATA holds preferences in any form; plain rows need no prompt. A column \"margin\" says by how much the "
        "chosen reward is to be the larger one. A pair with a side longer than max_length is left out, not cut. "
        "metrics.jsonl has TRL's min_reward, mean_reward, max_reward, accuracy and margin; ledger.jsonl the rewards of "
        "every pair at the start, after each epoch and at the end.\n\n"
        "The run may be stopped and gone on with (--resume) at any time; the result is the same to the bit.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_train_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example = "  plumb reward OLMo-1B-sft pairs.jsonl -o rm --center_rewards_coefficient 0.01\n"
               "  plumb reward-score rm held-out.jsonl -o rewards.jsonl",
};

static const char *own_pad(const plumb_encoder *e)
{
    return json_string_value(json_object_get(e->variables, "pad_token"));
}

/* The token that the place of the reward is found by, as TRL chooses it; `earlier` is that of the adapter to go on
 * with.
 */
static plumb_status choose_pad(plumb_train_body *b, const plumb_reward_values *v, const char *earlier)
{
    const plumb_encoder *e = b->encoder;
    const char *own = earlier ? earlier : own_pad(e);
    const char *token = v->pad_token ? v->pad_token : own ? own : e->eos;
    if (!token)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s names neither a pad token nor an EOS token", b->v->model.items[0]),
            "give one: --pad_token TOKEN");
    int32_t id = plumb_tokenizer_id(e->tokenizer, token, strlen(token));
    if (id < 0)
        return plumb_fail(PLUMB_E_INPUT, "%s\"%s\" is no token of the tokenizer",
                          v->pad_token ? "--pad_token: " : "the pad token ", token);
    b->model->config.pad_id = id;
    bool closing = e->eos && strcmp(token, e->eos) == 0;
    plumb_cli_say(b->cli, "reward: read at the last token that is not %s (%d)%s", token, id,
                  closing ? ", so that the EOS that closes a response is passed over" : "");
    return PLUMB_OK;
}

/* An adapter that is trained further says with its tokenizer where rewards are read. */
static plumb_status settle_pad(plumb_train_body *b, const plumb_reward_values *v)
{
    const char *adapter = v->train.adapter;
    plumb_encoder *earlier = NULL;
    bool there = false;
    if (adapter) PLUMB_TRY(plumb_path_holds(adapter, "tokenizer.json", &there));
    if (there) PLUMB_TRY(plumb_encoder_open(adapter, NULL, -1, &earlier));
    plumb_status s = choose_pad(b, v, earlier ? own_pad(earlier) : NULL);
    plumb_encoder_close(earlier);
    return s;
}

static plumb_status read_pairs(plumb_train_body *b)
{
    const plumb_train_values *v = b->v;
    plumb_pair_reader *reader;
    plumb_pair_source source = {
        .path = v->data.items[0],
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, PLUMB_IMPLICIT_WHOLE},
        .pairing = {b->encoder, PLUMB_COMPAT_TRL, 0, b->model->config.vocab_size},
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &b->cli->sink,
    };
    plumb_cli_rows(&v->common, &source.begin, &source.end);
    PLUMB_TRY(plumb_pair_reader_open(&source, &reader));
    plumb_status s = plumb_scored_pairs_read(reader, b->model->config.pad_id, b->max_length, &b->examples);
    plumb_pair_reader_close(reader);
    PLUMB_TRY(s);
    int64_t longer = b->examples.skipped[PLUMB_SKIP_PROMPT_TOO_LONG];
    if (longer)
        plumb_cli_say(b->cli, "%" PRId64 " pair%s with a side of more than %d tokens %s left out", longer,
                      longer == 1 ? "" : "s", b->max_length, longer == 1 ? "is" : "are");
    return PLUMB_OK;
}

static plumb_status reward_with(plumb_train_body *b, plumb_cli *cli, plumb_reward_values *v)
{
    plumb_reward_notes notes = {0};
    PLUMB_TRY(plumb_train_open_score(b, cli, &v->train));
    if (b->fresh_head && !v->train.adapter)
        plumb_cli_say(cli, "reward head: new, from --seed %" PRId64, v->train.common.seed);
    PLUMB_TRY(settle_pad(b, v));
    b->options.trainer.loss = plumb_reward_step_loss(&v->center_rewards_coefficient);
    b->options.ledger = plumb_reward_ledger(&notes);
    PLUMB_TRY(read_pairs(b));
    PLUMB_TRY(plumb_train_go(b));
    if (notes.evaluations > 1)
        plumb_cli_say(cli, "on the %zu pairs: accuracy %.4g -> %.4g, mean margin %.4g -> %.4g", b->examples.count,
                      notes.accuracy[0], notes.accuracy[1], notes.margin[0], notes.margin[1]);
    return PLUMB_OK;
}

static plumb_status reward(plumb_cli *cli, void *values)
{
    plumb_reward_values *v = values;
    plumb_train_body b = {.cli = cli};
    PLUMB_TRY(plumb_reward_check(cli->options, v, &cli->sink));
    plumb_status s = reward_with(&b, cli, v);
    plumb_train_close(&b);
    return s;
}

int plumb_command_reward(int argc, char **argv)
{
    plumb_reward_values v = {0};
    return plumb_cli_run(&plumb_usage_reward, argc, argv, &v, &v.train.common, reward);
}
