/* plumb kto: preference tuning on single completions, each wanted or unwanted. */
#include <inttypes.h>

#include "cli/train_body.h"
#include "cli/trl_keys.h"
#include "train/row_ledgers.h"
#include "train/step_losses.h"
#include "train/unpaired.h"

const plumb_usage plumb_usage_kto = {
    .name = "kto",
    .summary = "tune a model on completions that are wanted or unwanted (KTO)",
    .description =
        "Trains MODEL on rows of prompt, completion and label (true: wanted, false: unwanted) with the options and "
        "defaults of TRL's KTOTrainer, and writes a folder that loads in transformers. Rows of preferences are taken "
        "apart as TRL does it. The estimate of KL, from which gains and losses are counted, puts each prompt to the "
        "completion of the row before it in its batch.\n\n"
        "metrics.jsonl has TRL's kl, rewards, logps and logits of wanted (chosen) and unwanted (rejected) completions; "
        "ledger.jsonl the log-prob of every completion at the start, after each epoch and at the end; of preferences "
        "it "
        "has the pairs, as plumb dpo's, for plumb trace and identify.\n\n"
        "The run may be stopped and gone on with (--resume) at any time; the result is the same to the bit.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_train_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example = "  plumb kto OLMo-1B-sft feedback.jsonl -o run --learning_rate 5e-7 --undesirable_weight 1.33",
};

/* The KTO paper, eq. 8: the weighed numbers of both kinds should stand between 1 and 4/3. TRL says so too. */
static void say_balance(plumb_train_body *b, const plumb_kto_options *o, const int64_t kinds[2])
{
    enum { UNWANTED, WANTED };
    const double widest = 4.0 / 3;
    double wanted = (double)kinds[WANTED], unwanted = (double)kinds[UNWANTED];
    double ratio = o->desirable_weight * wanted / (o->undesirable_weight * unwanted);
    plumb_cli_say(b->cli, "data: %" PRId64 " wanted and %" PRId64 " unwanted completions", kinds[WANTED],
                  kinds[UNWANTED]);
    if (wanted == unwanted || (ratio >= 1 && ratio <= widest)) return;
    plumb_note(&b->cli->sink,
               "both kinds weigh differently; the KTO paper suggests desirable_weight in %.3g..%.3g or "
               "undesirable_weight in %.3g..%.3g, not both",
               unwanted * o->undesirable_weight / wanted, widest * unwanted * o->undesirable_weight / wanted,
               wanted * o->desirable_weight / unwanted / widest, wanted * o->desirable_weight / unwanted);
}

static plumb_status read_rows(plumb_train_body *b, const plumb_kto_values *v, bool *pairs)
{
    const plumb_train_values *t = b->v;
    int64_t kinds[2];
    plumb_unpaired_source source = {
        .path = t->data.items[0],
        .how = {.encoder = b->encoder,
                .text = "text",
                .completion = t->completion_key,
                .messages = "messages",
                .keys = {t->prompt_key, t->chosen_key, t->rejected_key, (plumb_implicit_prompt)t->implicit_prompt},
                .max_length = b->max_length,
                .vocab_size = plumb_train_vocab_size(b)},
        .label = v->label_key,
        .batch = v->loss.loss_type == PLUMB_KTO ? t->per_device_train_batch_size : 0,
        .skip_bad_rows = t->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &b->cli->sink,
    };
    plumb_cli_rows(&t->common, &source.begin, &source.end);
    PLUMB_TRY(plumb_unpaired_read(&source, &b->examples, kinds, pairs));
    say_balance(b, &v->loss, kinds);
    return PLUMB_OK;
}

static plumb_status kto_with(plumb_train_body *b, plumb_cli *cli, plumb_kto_values *v)
{
    plumb_kto_notes notes = {0};
    PLUMB_TRY(plumb_train_open(b, cli, &v->train));
    b->options.trainer.loss = plumb_kto_step_loss(&v->loss);
    b->options.ledger = plumb_kto_ledger(&notes);
    PLUMB_TRY(plumb_train_open_reference(b));
    PLUMB_TRY(read_rows(b, v, &notes.pairs));
    PLUMB_TRY(plumb_train_go(b));
    if (notes.evaluations > 1)
        plumb_cli_say(cli, "mean log-prob: wanted %.5g -> %.5g, unwanted %.5g -> %.5g", notes.logps[0][1],
                      notes.logps[1][1], notes.logps[0][0], notes.logps[1][0]);
    return PLUMB_OK;
}

static plumb_status kto(plumb_cli *cli, void *values)
{
    plumb_kto_values *v = values;
    plumb_train_body b = {.cli = cli};
    PLUMB_TRY(plumb_kto_check(cli->options, v, &cli->sink));
    plumb_status s = kto_with(&b, cli, v);
    plumb_train_close(&b);
    return s;
}

int plumb_command_kto(int argc, char **argv)
{
    plumb_kto_values v = {0};
    return plumb_cli_run(&plumb_usage_kto, argc, argv, &v, &v.train.common, kto);
}
