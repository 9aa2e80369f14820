/* plumb rloo: policy gradient (train/policy_run.h). */
#include "cli/policy_body.h"
#include "cli/trl_keys.h"

const plumb_usage plumb_usage_rloo = {
    .name = "rloo",
    .summary = "tune a model on rewards of its own completions (RLOO)",
    .description =
        "Draws completions of PROMPTS from MODEL, has them rewarded, and makes those of each prompt more likely that "
        "do better than the others of it (RLOO, arXiv 2402.14740), with the options and defaults of TRL's RLOOTrainer. "
        "The divergence from the reference is taken off the rewards.\n\n"
        "Completions are drawn with the weights that are being trained, without a copy. metrics.jsonl has TRL's "
        "numbers, and beside them how much there is to learn from: the deviation of rewards within prompts and the "
        "share of prompts where it is 0.\n\n"
        "The run may be stopped and gone on with (--resume) at any time; the result is the same to the bit, if the "
        "rewards are.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_policy_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example = "  plumb rloo OLMo-1B-sft prompts.jsonl -o run --reward rm --num_generations 4",
};

static plumb_status rloo(plumb_cli *cli, void *values)
{
    return plumb_policy_command(cli, values, PLUMB_RLOO);
}

int plumb_command_rloo(int argc, char **argv)
{
    plumb_policy_values v = {0};
    return plumb_cli_run(&plumb_usage_rloo, argc, argv, &v, &v.train.common, rloo);
}
