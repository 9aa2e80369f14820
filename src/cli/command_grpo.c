/* plumb grpo: policy gradient (train/policy_run.h). */
#include "cli/policy_body.h"
#include "cli/trl_keys.h"

const plumb_usage plumb_usage_grpo = {
    .name = "grpo",
    .summary = "tune a model on rewards of its own completions (GRPO)",
    .description =
        "Draws completions of PROMPTS from MODEL, has them rewarded, and makes those of each prompt more likely that "
        "do better than the others of it, token by token (GRPO, arXiv 2402.03300, and its relatives DAPO, Dr. GRPO, "
        "GSPO), with the options and defaults of TRL's GRPOTrainer.\n\n"
        "--nthr finds the tokens of bad completions whose punishment would push good ones down, by the theory of "
        "likelihood displacement (arXiv 2505.18830), and spares them.\n\n"
        "The run may be stopped and gone on with (--resume) at any time; the result is the same to the bit, if the "
        "rewards are.",
    .options = plumb_train_options,
    .option_count = PLUMB_TRAIN_OPTIONS,
    .positionals = plumb_policy_positionals,
    .positional_count = PLUMB_TRAIN_POSITIONALS,
    .foreign = plumb_trl_keys,
    .example = "  plumb grpo OLMo-1B-sft prompts.jsonl -o run --reward 'python3 grade.py' --beta 0.04 --nthr",
};

static plumb_status grpo(plumb_cli *cli, void *values)
{
    return plumb_policy_command(cli, values, PLUMB_GRPO);
}

int plumb_command_grpo(int argc, char **argv)
{
    plumb_policy_values v = {0};
    return plumb_cli_run(&plumb_usage_grpo, argc, argv, &v, &v.train.common, grpo);
}
