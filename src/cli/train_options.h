/* What plumb dpo, sft, reward, kto, rloo, grpo and ppo can be told: one table of options, in TRL's names and with
 * TRL 1.16's defaults, and the structs that the values go to. tests/unit/test_train_options.c compares the defaults
 * with TRL's.
 *
 *     int plumb_command_dpo(int argc, char **argv)
 *     {
 *         plumb_dpo_values v = {0};
 *         return plumb_cli_run(&plumb_usage_dpo, argc, argv, &v, &v.train.common, dpo);
 *     }
 *
 *     static plumb_status dpo(plumb_cli *cli, void *values)
 *     {
 *         plumb_dpo_values *v = values;
 *         plumb_objective objective;
 *         PLUMB_TRY(plumb_dpo_check(cli->options, v, &cli->sink, &objective));
 *         ...
 *     }
 *
 * The usages themselves stand with the commands; all take all of plumb_train_options as their options, and
 * plumb_trl_keys (cli/trl_keys.h) as their foreign ones. Rows of some commands alone say so (`only`). */
#ifndef PLUMB_CLI_TRAIN_OPTIONS_H
#define PLUMB_CLI_TRAIN_OPTIONS_H

#include "align/kto.h"
#include "align/losses.h"
#include "cli/cli.h"
#include "train/optimizer.h"
#include "train/policy_run.h"

typedef enum plumb_save_strategy { PLUMB_SAVE_NO, PLUMB_SAVE_STEPS, PLUMB_SAVE_EPOCH } plumb_save_strategy;
typedef enum plumb_save_dtype {
    PLUMB_SAVE_F32,
    PLUMB_SAVE_F16,
    PLUMB_SAVE_BF16,
    PLUMB_SAVE_AS_MODEL, /* auto: what the checkpoint stores */
} plumb_save_dtype;

/* Values that several commands have. Strings and lists belong to the parsed options; a string that was not given and
 * has no default is NULL, a list has count 0. The comments say what a number is that was not given; `after the check`
 * is after plumb_dpo_check or the like. */
typedef struct plumb_train_values {
    plumb_common common;    /* output: the run folder, NULL when not given */
    plumb_list model, data; /* MODEL and DATA or their twins model_name_or_path and dataset_name: one item each */
    const char *model_name_or_path, *dataset_name; /* the same, as options; read `model` and `data` */

    /* data */
    const char *prompt_key, *chosen_key, *rejected_key;
    const char *completion_key; /* sft, kto */
    int implicit_prompt;        /* plumb_implicit_prompt */
    const char *chat_template;  /* a Jinja file; NULL: the checkpoint's */
    int64_t max_length;         /* 0: no cut. Without it 1024, or the model's positions where those are fewer */

    /* optimisation */
    double learning_rate;
    const char *optim, *optim_args; /* as plumb_optimizer_make takes them */
    double adam_beta1, adam_beta2, adam_epsilon;
    double weight_decay, max_grad_norm;
    const char *lr_scheduler_type; /* as plumb_schedule_make takes it, warm-up included */
    double warmup_steps, warmup_ratio;
    int64_t per_device_train_batch_size, gradient_accumulation_steps;
    double num_train_epochs;
    int64_t max_steps;           /* below 1: num_train_epochs decides */
    int64_t data_seed;           /* after the check: `seed` where it was not given */
    int train_sampling_strategy; /* 1: sequential */
    bool dataloader_drop_last;

    /* run folder */
    double logging_steps, save_steps;   /* plumb_train_every turns them into a number of steps */
    int save_strategy;                  /* plumb_save_strategy */
    int64_t save_total_limit;           /* 0: all checkpoints stay */
    const char *resume_from_checkpoint; /* as given; after the check common.resume says whether to go on */
    int dtype;                          /* plumb_save_dtype */

    /* adapters */
    bool use_peft;
    int64_t lora_r, lora_alpha;
    double lora_dropout; /* 0 */
    plumb_list lora_target_modules;
    bool use_rslora;
    const char *adapter; /* folder of a PEFT adapter to start from */

    /* reference model: dpo, kto */
    const char *reference; /* NULL: the model itself as it is at the start */
    bool precompute_ref_log_probs;
    bool sync_ref_model;
    double ref_model_mixup_alpha;
    int64_t ref_model_sync_steps;

    /* ledger: all but sft */
    int64_t ledger_steps;  /* 0: at the start, after each epoch and at the end */
    int64_t ledger_tokens; /* 0: none; dpo, rloo, grpo, ppo */

    /* machine */
    int isa;  /* auto, ref, avx2, avx512 */
    int hash; /* 1: over all bytes of the model */
} plumb_train_values;

typedef struct plumb_dpo_values {
    plumb_train_values train; /* first: the rows of several commands count their offsets from here */

    /* losses; plumb_dpo_objective reads all of them */
    plumb_list loss_type;
    plumb_reals loss_weights;
    double beta, label_smoothing, discopop_tau;
    double ld_alpha;
    int f_divergence_type; /* plumb_divergence */
    double f_alpha_divergence_coef;
    bool use_weighting;
    double sft_coeff;
    double bco_delta, dpop_lambda, dpo_shift_lambda, cal_dpo_calibration, bdpo_lambda, simpo_gamma, cpo_alpha;
    double alphapo_alpha, kto_z;

    /* ledger and gate */
    const char *ches_gate; /* as plumb_gate_parse takes it; NULL: none */
    int64_t ches_refresh;  /* steps; 0: never */
} plumb_dpo_values;

typedef struct plumb_sft_values {
    plumb_train_values train;
    const char *text_key, *messages_key;
    bool completion_only_loss; /* as asked for; without it (plumb_options_given) the form of the data decides */
    bool assistant_only_loss;
    bool packing;
} plumb_sft_values;

typedef struct plumb_reward_values {
    plumb_train_values train;
    double center_rewards_coefficient; /* 0: none */
    const char *pad_token;             /* NULL: the tokenizer's, or its EOS token */
} plumb_reward_values;

typedef struct plumb_kto_values {
    plumb_train_values train;
    const char *label_key;
    plumb_kto_options loss;
} plumb_kto_values;

/* rloo, grpo and ppo. */
typedef struct plumb_policy_values {
    plumb_train_values train;

    plumb_list reward;             /* folders of reward models, the word rules, commands */
    plumb_reals reward_weights;    /* as many, or none */
    const char *reward_rules;      /* NULL: the built-in table */
    int reward_label;              /* plumb_label */
    double reward_timeout;         /* seconds; 0: none */
    plumb_reals reward_clip_range; /* two numbers, or none */

    const char *ledger_data; /* a preference file for the ledger; NULL: none */

    bool as_message, shuffle_dataset, log_completions;
    int64_t num_generations, max_completion_length;
    int64_t generation_batch_size, steps_per_generation; /* after the check steps_per_generation counts */
    int64_t num_iterations;
    double temperature, top_p;
    int64_t top_k;

    plumb_clip_options clip;       /* after the check epsilon_high is a number; delta 0: none */
    int importance_sampling_level; /* 1: sequence */
    int scale_rewards;             /* plumb_reward_scale */
    bool normalize_advantages, mask_truncated_completions;
    plumb_nthr_options nthr;

    plumb_ppo_options ppo;
    int kl_estimator;  /* 1: k3 */
    const char *value; /* NULL: the reward model, or where there is none the model itself with a fresh head */
} plumb_policy_values;

/* The rows of all these commands. */
enum { PLUMB_TRAIN_OPTIONS = 148 };
extern const plumb_option plumb_train_options[PLUMB_TRAIN_OPTIONS];

/* MODEL and DATA, which model_name_or_path and dataset_name can give as well: the positionals of these commands. */
enum { PLUMB_TRAIN_POSITIONALS = 2 };
extern const plumb_positional plumb_train_positionals[PLUMB_TRAIN_POSITIONALS];
/* MODEL and PROMPTS: of rloo, grpo and ppo. */
extern const plumb_positional plumb_policy_positionals[PLUMB_TRAIN_POSITIONALS];

/* Check what no single row can, and complete the values as their comments say. PLUMB_E_INPUT naming the option as the
 * user wrote it: no run folder (except with --dry-run), logging_steps or save_steps above 1 and not whole, lora_dropout
 * other than 0, sync_ref_model with precompute_ref_log_probs or LoRA, ... The sink hears of options that have no effect
 * beside the others.
 *
 * *objective is what dpo's options ask for. Parameters that were not given take the default of the loss, which is also
 * stored in *v, so that the record of the run shows what was used (beta is 0.1 by default, but 2 for simpo). It is made
 * for pairs with weights when there is a gate. */
plumb_status plumb_dpo_check(const plumb_options *o, plumb_dpo_values *v, const plumb_sink *sink,
                             plumb_objective *objective) PLUMB_MUST_USE;
plumb_status plumb_sft_check(const plumb_options *o, plumb_sft_values *v, const plumb_sink *sink) PLUMB_MUST_USE;
plumb_status plumb_reward_check(const plumb_options *o, plumb_reward_values *v, const plumb_sink *sink) PLUMB_MUST_USE;
/* Batches of one row, or rows out of their order, are PLUMB_E_INPUT with loss_type kto, as in TRL. */
plumb_status plumb_kto_check(const plumb_options *o, plumb_kto_values *v, const plumb_sink *sink) PLUMB_MUST_USE;

/* A generation_batch_size that is no multiple of the batch, or given beside steps_per_generation, a reward_clip_range
 * that is no range, a temperature of 0, ... are PLUMB_E_INPUT. */
plumb_status plumb_policy_check(const plumb_options *o, plumb_policy_values *v, plumb_policy_method method,
                                const plumb_sink *sink) PLUMB_MUST_USE;

/* The optimiser that the options ask for. */
plumb_status plumb_train_optimizer(const plumb_train_values *v, plumb_optimizer *out) PLUMB_MUST_USE;

/* logging_steps, save_steps: that number of steps, or below 1 this share of the run's `total`, rounded up, as in
 * transformers; at least 1. */
int64_t plumb_train_every(double steps, int64_t total);

#endif
