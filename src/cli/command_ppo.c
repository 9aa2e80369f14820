/* plumb ppo: policy gradient (train/policy_run.h). */
#include "cli/policy_body.h"
#include "cli/trl_keys.h"

const plumb_usage plumb_usage_ppo = {
    .name = "ppo",
    .summary = "tune a model on rewards of its own completions (PPO)",
    .description =
        "The road of InstructGPT (arXiv 2203.02155): draws completions of PROMPTS from MODEL, has them rewarded, and "
        "trains the model on advantages that a second model, which learns to foretell rewards, makes of them token by "
        "token; with the options and defaults of TRL's PPOTrainer (up to TRL 1.10). A step is an update: "
        "num_ppo_epochs times num_mini_batches optimiser steps of policy and value model.\n\n"
        "The run folder holds the policy, and the value model in RUN/value.\n\n"
        "The run may be stopped and gone on with (--resume) at any time, after the update at hand; the result is the "
        "same to the bit, if the rewards are.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_policy_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example = "  plumb ppo OLMo-1B-sft prompts.jsonl -o run --reward rm --learning_rate 3e-6 --missing_eos_penalty 1",
};

static plumb_status ppo(plumb_cli *cli, void *values)
{
    return plumb_policy_command(cli, values, PLUMB_PPO);
}

int plumb_command_ppo(int argc, char **argv)
{
    plumb_policy_values v = {0};
    return plumb_cli_run(&plumb_usage_ppo, argc, argv, &v, &v.train.common, ppo);
}
