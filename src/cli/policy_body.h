/* What plumb rloo, grpo and ppo have in common: models, prompts, rewards, the plan, the run, the report. */
#ifndef PLUMB_CLI_POLICY_BODY_H
#define PLUMB_CLI_POLICY_BODY_H

#include "cli/train_body.h"

/* The whole of a command with these values. */
plumb_status plumb_policy_command(plumb_cli *cli, plumb_policy_values *v, plumb_policy_method method) PLUMB_MUST_USE;

#endif
