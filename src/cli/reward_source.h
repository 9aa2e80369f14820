/* Where the rewards of policy gradient come from: --reward, each a reward model's folder, the word `rules`, or a
 * command. */
#ifndef PLUMB_CLI_REWARD_SOURCE_H
#define PLUMB_CLI_REWARD_SOURCE_H

#include "base/options.h"
#include "compute/compute.h"
#include "study/judge_label.h"
#include "text/encoder.h"
#include "train/rollout.h"

enum { PLUMB_REWARD_NAME = 64 };

typedef struct plumb_reward_sources plumb_reward_sources;

/* All borrowed for the life of the sources. */
typedef struct plumb_reward_source_options {
    const plumb_list *rewards;    /* the values of --reward, >= 1 */
    const plumb_reals *weights;   /* reward_weights: as many, or none (all 1) */
    const char *rules;            /* a file of rules for `rules` (study/judge_rules.h); NULL: the built-in table */
    plumb_label label;            /* the label that `rules` gives a reward of 1; others get 0 */
    double timeout;               /* of a command's run, in seconds; 0: none */
    int group;                    /* completions of a prompt, for the sample's number */
    const plumb_encoder *encoder; /* of the policy: turns completions into text */
    plumb_compute *compute;
    const plumb_sink *sink;
} plumb_reward_source_options;

/* Opens models and rules, and looks whether commands are there. PLUMB_E_INPUT for a folder that holds no reward model,
 * a command that is not found (cli/reward_command.h), weights of another number. */
plumb_status plumb_reward_sources_open(const plumb_reward_source_options *how,
                                       plumb_reward_sources **out) PLUMB_MUST_USE;
void plumb_reward_sources_close(plumb_reward_sources *r); /* NULL is fine */

/* Puts every prompt through the templates of the reward models, so that one that they refuse shows before the first
 * completion. */
plumb_status plumb_reward_sources_try(const plumb_reward_sources *r, const plumb_prompts *prompts) PLUMB_MUST_USE;

/* The functions for a run, *count of them. Names: the folder's last part, rules, command; a name that was there before
 * gets _2, _3, ... */
const plumb_reward_function *plumb_reward_functions(const plumb_reward_sources *r, size_t *count);

/* The first reward model's folder among them, or NULL. */
const char *plumb_reward_model_folder(const plumb_reward_sources *r);

/* Is there a folder of that name? */
bool plumb_is_folder(const char *path);

#endif
