/* plumb dpo: preference tuning with DPO and its variants, and a ledger of every pair. */
#include "cli/train_body.h"
#include "cli/trl_keys.h"

const plumb_usage plumb_usage_dpo = {
    .name = "dpo",
    .summary = "tune a model on preferences (DPO and its variants), with a ledger of every pair",
    .description = "Trains MODEL on the pairs of DATA with TRL's options and defaults, and writes a folder that loads "
                   "in transformers. "
                   "Beside the loss it keeps account of what training is for: metrics.jsonl has, at each logged step, "
                   "the share of pairs whose "
                   "chosen response became less likely; ledger.jsonl the log-probabilities of every pair at the start, "
                   "after each epoch and at "
                   "the end. When the chosen responses lose likelihood on average, it says so, in which pairs most, "
                   "and what to do.\n\n"
                   "--ches_gate leaves out, or gives less weight to, the pairs that cause displacement, by their "
                   "length-normalised CHES under "
                   "the reference.\n\n"
                   "The run may be stopped and gone on with (--resume) at any time; the result is the same to the bit.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_train_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example =
        "  plumb dpo OLMo-1B-sft pairs.jsonl -o run --learning_rate 5e-7 --loss_type sigmoid sft --loss_weights 1 0.1",
};

static plumb_status dpo_with(plumb_train_body *b, plumb_cli *cli, plumb_dpo_values *v, plumb_objective *objective)
{
    plumb_run_options *o = &b->options;
    int64_t begin, end;
    PLUMB_TRY(plumb_train_open(b, cli, &v->train));
    o->trainer.objective = objective;
    o->ledger_tokens = (int)v->train.ledger_tokens;
    o->ches_refresh = v->ches_refresh;
    PLUMB_TRY(plumb_gate_parse(v->ches_gate, &o->gate));
    if (plumb_objective_needs_reference(objective)) PLUMB_TRY(plumb_train_open_reference(b));
    if (v->train.sync_ref_model && !b->reference)
        return plumb_fail(PLUMB_E_INPUT, "--sync_ref_model: these losses have no reference");
    plumb_cli_rows(&v->train.common, &begin, &end);
    PLUMB_TRY(plumb_train_read_pairs(b, v->train.data.items[0], begin, end));
    return plumb_train_go(b);
}

static plumb_status dpo(plumb_cli *cli, void *values)
{
    plumb_dpo_values *v = values;
    plumb_train_body b = {.cli = cli};
    plumb_objective objective;
    PLUMB_TRY(plumb_dpo_check(cli->options, v, &cli->sink, &objective));
    plumb_status s = dpo_with(&b, cli, v, &objective);
    plumb_train_close(&b);
    return s;
}

int plumb_command_dpo(int argc, char **argv)
{
    plumb_dpo_values v = {0};
    return plumb_cli_run(&plumb_usage_dpo, argc, argv, &v, &v.train.common, dpo);
}
