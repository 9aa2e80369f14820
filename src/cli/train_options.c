#include "cli/train_options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/gate.h"

/* ---- the table ---- */

#define BOTH(member)          .offset = offsetof(plumb_train_values, member)
#define DPO(member)           .only = "dpo", .offset = offsetof(plumb_dpo_values, member)
#define SFT(member)           .only = "sft", .offset = offsetof(plumb_sft_values, member)
#define REWARD(member)        .only = "reward", .offset = offsetof(plumb_reward_values, member)
#define KTO(member)           .only = "kto", .offset = offsetof(plumb_kto_values, member)
#define POLICY(words, member) .only = words, .offset = offsetof(plumb_policy_values, member)
#define SAMPLERS              "rloo|grpo|ppo"
#define SOME(words, member)   .only = words, .offset = offsetof(plumb_train_values, member)
#define FLAG                  .kind = PLUMB_OPTION_FLAG
#define STRING(what)          .kind = PLUMB_OPTION_STRING, .metavar = what
#define CHOICE(words)         .kind = PLUMB_OPTION_CHOICE, .choices = words
#define WORD(words)           .kind = PLUMB_OPTION_STRING, .choices = words
#define INTEGER(least, most)  .kind = PLUMB_OPTION_INTEGER, .metavar = "N", .low = least, .high = most
#define REAL(least, most)     .kind = PLUMB_OPTION_REAL, .metavar = "X", .low = least, .high = most
#define MOST                  INT64_MAX

/* Shared rows count their offsets in plumb_train_values, wherever that lies. */
_Static_assert(offsetof(plumb_dpo_values, train) == 0 && offsetof(plumb_sft_values, train) == 0 &&
                   offsetof(plumb_reward_values, train) == 0 && offsetof(plumb_kto_values, train) == 0 &&
                   offsetof(plumb_policy_values, train) == 0,
               "the shared values come first");

#define LOSSES                                                                                                         \
    "sigmoid|hinge|ipo|exo_pair|nca_pair|robust|bco_pair|sppo_hard|aot|aot_unpaired|apo_zero|apo_down|discopop|sft|"   \
    "sigmoid_norm|cdpo|ipo_sum|dpop|dpo_shift|cal_dpo|bdpo|simpo|cpo|orpo|alphapo|kto_pair|squared_po"

/* Defaults are TRL 1.16's where TRL has the option. What is said about an option there is not said again. */
/* clang-format off */
const plumb_option plumb_train_options[] = {
    {.name = "output", .letter = 'o', STRING("RUN"), BOTH(common.output), .changes_no_result = true,
     .alias = "output_dir",
     .help = "the run folder: the checkpoint that transformers loads (with LoRA the adapter that PEFT loads), "
             "metrics.jsonl, ledger.jsonl, run.json and checkpoint-N folders"},
    {.name = "resume", FLAG, BOTH(common.resume), .changes_no_result = true,
     .help = "go on with the newest checkpoint of the run folder; starts from the beginning where there is none"},
    {.name = "resume_from_checkpoint", STRING("true|DIR"), BOTH(resume_from_checkpoint), .changes_no_result = true,
     .help = "true: as --resume; so is a checkpoint-N of the run folder, since a run is the same from each of them"},
    PLUMB_OPTION_SEED(plumb_train_values),
    PLUMB_OPTION_LIMIT(plumb_train_values),
    PLUMB_OPTION_ROWS(plumb_train_values),
    PLUMB_OPTION_ON_ERROR(plumb_train_values),
    PLUMB_OPTION_THREADS(plumb_train_values),
    {.name = "isa", CHOICE("auto|ref|avx2|avx512"), BOTH(isa), .fallback = "auto",
     .help = "instructions to use; auto takes the best this processor has. Results differ in the last digits"},
    PLUMB_OPTION_DRY_RUN(plumb_train_values),
    PLUMB_OPTION_QUIET(plumb_train_values),

    {.name = "model_name_or_path", .group = "Model and data", STRING("MODEL"), BOTH(model_name_or_path),
     .positional = "MODEL", .changes_no_result = true, .help = "another way to give MODEL: a local checkpoint folder"},
    {.name = "dataset_name", .group = "Model and data", STRING("DATA"), SOME("dpo|sft|reward|kto", dataset_name),
     .positional = "DATA", .changes_no_result = true, .help = "another way to give DATA: a local file"},
    {.name = "dataset_name", .group = "Model and data", STRING("PROMPTS"), SOME(SAMPLERS, dataset_name),
     .positional = "PROMPTS", .changes_no_result = true, .help = "another way to give PROMPTS: a local file"},
    {.name = "as_message", .group = "Model and data", FLAG, POLICY(SAMPLERS, as_message),
     .help = "string prompts become one user message and go through the chat template; without it they are plain text "
             "that the model goes on with"},
    {.name = "shuffle_dataset", .group = "Model and data", FLAG, POLICY(SAMPLERS, shuffle_dataset), .fallback = "true",
     .help = "take the prompts of each epoch in another order; false: in that of the file"},
    {.name = "prompt_key", .group = "Model and data", STRING("KEY"), BOTH(prompt_key), .fallback = "prompt",
     .help = "the column of the prompt"},
    {.name = "chosen_key", .group = "Model and data", STRING("KEY"), BOTH(chosen_key), .fallback = "chosen",
     .help = "the column of the preferred response"},
    {.name = "rejected_key", .group = "Model and data", STRING("KEY"), BOTH(rejected_key), .fallback = "rejected",
     .help = "the column of the dispreferred response"},
    {.name = "completion_key", .group = "Model and data", STRING("KEY"), SOME("sft|kto", completion_key), .fallback = "completion",
     .help = "the column of the completion of a prompt"},
    {.name = "text_key", .group = "Model and data", STRING("KEY"), SFT(text_key), .fallback = "text",
     .alias = "dataset_text_field", .help = "the column of plain text"},
    {.name = "messages_key", .group = "Model and data", STRING("KEY"), SFT(messages_key), .fallback = "messages",
     .help = "the column of a whole conversation"},
    {.name = "implicit_prompt", .group = "Model and data", CHOICE("none|turn|word"), SOME("dpo|sft|kto|" SAMPLERS, implicit_prompt),
     .fallback = "none",
     .help = "where the prompt ends in plain rows that have only chosen and rejected: at the last common turn marker "
             "(HH-RLHF), or at the last common word"},
    {.name = "chat_template", .group = "Model and data", STRING("FILE"), BOTH(chat_template),
     .alias = "chat_template_path", .help = "a Jinja file instead of the checkpoint's own chat template"},
    {.name = "label_key", .group = "Model and data", STRING("KEY"), KTO(label_key), .fallback = "label",
     .help = "the column that says whether a completion is wanted: true or false"},
    {.name = "pad_token", .group = "Model and data", STRING("TOKEN"), REWARD(pad_token),
     .help = "the reward is read at the last token that is not this one; without it the tokenizer's pad token, or its "
             "EOS token where it has none (then the closing EOS is passed over too)"},
    {.name = "max_length", .group = "Model and data", INTEGER(0, 1 << 24), SOME("reward", max_length),
     .fallback = "1024", .none = "0",
     .help = "leave out pairs with a side of more than N tokens; 0 or none: never. Without it 1024 or the model's "
             "positions, the smaller"},
    {.name = "max_length", .group = "Model and data", INTEGER(0, 1 << 24), SOME("dpo|sft|kto", max_length),
     .fallback = "1024", .none = "0",
     .help = "cut a sequence at N tokens, at its end; 0 or none: never. Without it 1024 or the model's positions, the "
             "smaller"},
    {.name = "completion_only_loss", .group = "Model and data", FLAG, SFT(completion_only_loss),
     .help = "train on the tokens of completions only; false: on the prompt too. Without it completions only where "
             "rows have a prompt"},
    {.name = "assistant_only_loss", .group = "Model and data", FLAG, SFT(assistant_only_loss),
     .help = "train on the assistant's turns of a conversation only; needs a chat template that marks them"},
    {.name = "packing", .group = "Model and data", FLAG, SFT(packing),
     .help = "fill sequences of max_length tokens with several rows each (best fit, decreasing); rows do not see each "
             "other"},
    {.name = "hash", .group = "Model and data", CHOICE("sample|full"), BOTH(hash), .fallback = "sample",
     .changes_no_result = true,
     .help = "what the model's hash covers: headers, config, tokenizer and 64 KiB samples of each tensor, or every "
             "byte"},

    {.name = "reference", .group = "Reference model", STRING("MODEL"), SOME("dpo|kto|" SAMPLERS, reference),
     .help = "checkpoint folder of the reference model; without it the model as it is at the start"},
    {.name = "precompute_ref_log_probs", .group = "Reference model", FLAG, SOME("dpo|kto", precompute_ref_log_probs),
     .changes_no_result = true,
     .help = "the log-probs of the reference are computed once, before training, whatever this says; it excludes "
             "sync_ref_model"},
    {.name = "sync_ref_model", .group = "Reference model", FLAG, SOME("dpo|kto|rloo|grpo", sync_ref_model),
     .help = "let the reference follow the policy (TR-DPO): every ref_model_sync_steps steps it becomes a mixture of "
             "both. Keeps a second set of weights"},
    {.name = "ref_model_sync_steps", .group = "Reference model", INTEGER(1, MOST), SOME("dpo|kto|rloo|grpo", ref_model_sync_steps),
     .fallback = "512", .help = "steps between two synchronisations"},
    {.name = "ref_model_mixup_alpha", .group = "Reference model", REAL(0, 1), SOME("dpo|kto|rloo|grpo", ref_model_mixup_alpha),
     .fallback = "0.6", .help = "share of the policy in the mixture"},

    {.name = "loss_type", .group = "Loss", .kind = PLUMB_OPTION_LIST, .choices = LOSSES, .metavar = "NAME",
     DPO(loss_type), .fallback = "sigmoid", .help = "the loss, or several to add up"},
    {.name = "loss_weights", .group = "Loss", .kind = PLUMB_OPTION_REALS, .metavar = "X", DPO(loss_weights), .none = "",
     .help = "weights of the losses in this sum; without them all 1"},
    {.name = "beta", .group = "Loss", REAL(0, MOST), DPO(beta), .fallback = "0.1",
     .help = "how strongly the policy is held to the reference; without it simpo and alphapo take 2"},
    {.name = "label_smoothing", .group = "Loss", REAL(0, 1), DPO(label_smoothing), .fallback = "0",
     .help = "robust, aot, aot_unpaired, cdpo: probability that a label is flipped; exo_pair, which must be given it: "
             "its epsilon (the paper takes 0.001)"},
    {.name = "ld_alpha", .group = "Loss", REAL(0, 1), DPO(ld_alpha), .none = "",
     .help = "weight of the tokens beyond the shorter response (LD-DPO); without it 1"},
    {.name = "f_divergence_type", .group = "Loss", DPO(f_divergence_type), .fallback = "reverse_kl",
     CHOICE("reverse_kl|forward_kl|js_divergence|alpha_divergence"), .metavar = "NAME",
     .help = "divergence between policy and reference (f-DPO)"},
    {.name = "f_alpha_divergence_coef", .group = "Loss", REAL(0, 0), DPO(f_alpha_divergence_coef), .fallback = "0.5",
     .help = "alpha of alpha_divergence"},
    {.name = "use_weighting", .group = "Loss", FLAG, DPO(use_weighting),
     .help = "weigh pairs by the policy's own probability of their responses (WPO)"},
    {.name = "discopop_tau", .group = "Loss", REAL(0, MOST), DPO(discopop_tau), .fallback = "0.05",
     .help = "discopop: its temperature"},
    {.name = "sft_coeff", .group = "Loss", REAL(0, MOST), DPO(sft_coeff), .fallback = "0",
     .help = "add -X ln pi(chosen), summed over its tokens, to any loss"},
    {.name = "bco_delta", .group = "Loss", REAL(0, 0), DPO(bco_delta), .fallback = "0",
     .help = "bco_pair: the reward that both sides are compared with"},
    {.name = "dpop_lambda", .group = "Loss", REAL(0, MOST), DPO(dpop_lambda), .fallback = "50",
     .help = "dpop: weight of the penalty for a chosen response below its reference"},
    {.name = "dpo_shift_lambda", .group = "Loss", REAL(0, MOST), DPO(dpo_shift_lambda), .fallback = "0.75",
     .help = "dpo_shift: factor of the rejected reward"},
    {.name = "cal_dpo_calibration", .group = "Loss", REAL(0, MOST), DPO(cal_dpo_calibration), .fallback = "1",
     .help = "cal_dpo: weight of the calibration term"},
    {.name = "bdpo_lambda", .group = "Loss", REAL(0, 1), DPO(bdpo_lambda), .fallback = "0.5",
     .help = "bdpo: share of the policy in the bound on the rejected response"},
    {.name = "simpo_gamma", .group = "Loss", REAL(0, 0), DPO(simpo_gamma), .fallback = "1",
     .help = "simpo, alphapo: the margin"},
    {.name = "cpo_alpha", .group = "Loss", REAL(0, MOST), DPO(cpo_alpha), .fallback = "1",
     .help = "cpo: weight of the likelihood of the chosen response"},
    {.name = "alphapo_alpha", .group = "Loss", REAL(0, 0), DPO(alphapo_alpha),
     .help = "alphapo: exponent of the reward; it has no default"},
    {.name = "kto_z", .group = "Loss", REAL(0, 0), DPO(kto_z),
     .help = "kto_pair: divergence from the reference, a constant; it has no default"},

    {.name = "loss_type", .group = "Loss", CHOICE("kto|apo_zero_unpaired"), .metavar = "NAME", KTO(loss.loss_type),
     .fallback = "kto", .help = "KTO, or the unpaired APO-zero, which needs no estimate of KL"},
    {.name = "beta", .group = "Loss", REAL(0, MOST), KTO(loss.beta), .fallback = "0.1",
     .help = "how strongly the policy is held to the reference"},
    {.name = "desirable_weight", .group = "Loss", REAL(0, MOST), KTO(loss.desirable_weight), .fallback = "1",
     .help = "factor of the losses of wanted completions"},
    {.name = "undesirable_weight", .group = "Loss", REAL(0, MOST), KTO(loss.undesirable_weight), .fallback = "1",
     .help = "factor of the losses of unwanted completions"},
    {.name = "center_rewards_coefficient", .group = "Loss", REAL(0, MOST), REWARD(center_rewards_coefficient),
     .none = "", .help = "adds X times the mean of (r_chosen + r_rejected)^2, which keeps rewards around 0 (0.01 is usual)"},

    {.name = "reward", .group = "Reward", .kind = PLUMB_OPTION_REPEATED, .metavar = "RM|rules|COMMAND",
     POLICY(SAMPLERS, reward),
     .help = "what a completion is worth: a reward model's folder (plumb reward), rules (the judge's: 1 for "
             "reward_label, else 0), or a command that reads JSON rows and answers one number a line. May be given "
             "several times: the sum counts"},
    {.name = "reward_weights", .group = "Reward", .kind = PLUMB_OPTION_REALS, .metavar = "X",
     POLICY(SAMPLERS, reward_weights), .none = "", .help = "factors of the rewards in this sum; without them all 1"},
    {.name = "reward_rules", .group = "Reward", STRING("FILE"), POLICY(SAMPLERS, reward_rules),
     .help = "rules: a file of rules instead of the built-in table for English"},
    {.name = "reward_label", .group = "Reward", CHOICE("refusal|compliance|evasive|empty|unreadable"),
     POLICY(SAMPLERS, reward_label), .fallback = "refusal", .help = "rules: the label that is worth 1"},
    {.name = "reward_timeout", .group = "Reward", REAL(0, MOST), POLICY(SAMPLERS, reward_timeout), .fallback = "600",
     .changes_no_result = true, .help = "a command: seconds for the completions of one generation; 0: as long as it wants"},
    {.name = "reward_clip_range", .group = "Reward", .kind = PLUMB_OPTION_REALS, .metavar = "X",
     POLICY("rloo", reward_clip_range), .none = "", .help = "two numbers: rewards outside of them are moved to them"},
    {.name = "missing_eos_penalty", .group = "Reward", REAL(0, MOST), POLICY("ppo", ppo.missing_eos_penalty),
     .none = "", .help = "is taken off the reward of a completion that does not end"},

    {.name = "num_generations", .group = "Completions", INTEGER(2, 1 << 20), POLICY("rloo", num_generations),
     .fallback = "2", .help = "completions of a prompt, which are compared with each other"},
    {.name = "num_generations", .group = "Completions", INTEGER(2, 1 << 20), POLICY("grpo", num_generations),
     .fallback = "8", .help = "completions of a prompt, which are compared with each other"},
    {.name = "max_completion_length", .group = "Completions", INTEGER(1, 1 << 24),
     POLICY("rloo|grpo", max_completion_length), .fallback = "512", .help = "tokens of a completion at the most"},
    {.name = "response_length", .group = "Completions", INTEGER(1, 1 << 24), POLICY("ppo", max_completion_length),
     .fallback = "53", .alias = "max_completion_length", .help = "tokens of a completion at the most"},
    {.name = "temperature", .group = "Completions", REAL(0, 1000), POLICY("rloo|grpo", temperature), .fallback = "1",
     .help = "divides the logits, when completions are drawn and wherever their log-probs count"},
    {.name = "temperature", .group = "Completions", REAL(0, 1000), POLICY("ppo", temperature), .fallback = "0.7",
     .help = "divides the logits, when completions are drawn and wherever their log-probs count"},
    {.name = "top_p", .group = "Completions", REAL(0, 1), POLICY(SAMPLERS, top_p), .fallback = "1",
     .help = "draw from the fewest likeliest tokens (of the top_k) whose probability reaches X only; 1 is off"},
    {.name = "top_k", .group = "Completions", INTEGER(0, INT32_MAX), POLICY(SAMPLERS, top_k), .fallback = "0",
     .help = "draw from the N likeliest tokens only; 0 is off"},
    {.name = "generation_batch_size", .group = "Completions", INTEGER(1, 1 << 24),
     POLICY("rloo|grpo", generation_batch_size), .none = "",
     .help = "completions that are drawn at once; without it per_device_train_batch_size times steps_per_generation"},
    {.name = "steps_per_generation", .group = "Completions", INTEGER(1, 1 << 20),
     POLICY("rloo|grpo", steps_per_generation), .none = "",
     .help = "batches that a generation is cut into; without it gradient_accumulation_steps"},
    {.name = "num_iterations", .group = "Completions", INTEGER(1, 1 << 20), POLICY("rloo|grpo", num_iterations),
     .fallback = "1", .help = "how often the batches of a generation are trained on"},
    {.name = "total_episodes", .group = "Completions", INTEGER(1, MOST), POLICY("ppo", ppo.total_episodes), .none = "",
     .help = "completions of the run; without it num_train_epochs times the prompts"},
    {.name = "log_completions", .group = "Completions", FLAG, POLICY(SAMPLERS, log_completions),
     .help = "write every completion with its rewards to completions.jsonl of the run folder"},

    {.name = "beta", .group = "Loss", REAL(0, MOST), POLICY("rloo", clip.beta), .fallback = "0.05",
     .help = "what a completion's divergence from the reference costs of its reward; 0: no reference"},
    {.name = "beta", .group = "Loss", REAL(0, MOST), POLICY("grpo", clip.beta), .fallback = "0",
     .help = "weight of the divergence from the reference in the loss; 0: no reference"},
    {.name = "epsilon", .group = "Loss", REAL(0, MOST), POLICY("rloo|grpo", clip.epsilon), .fallback = "0.2",
     .help = "how far a probability ratio may fall below 1 before its gradient is cut off"},
    {.name = "epsilon_high", .group = "Loss", REAL(0, MOST), POLICY("rloo|grpo", clip.epsilon_high), .none = "",
     .help = "how far it may rise above 1; without it epsilon"},
    {.name = "delta", .group = "Loss", REAL(0, MOST), POLICY("grpo", clip.delta), .none = "",
     .help = "a bound on ratios where the clip does not reach (two-sided clipping); above 1 + epsilon_high"},
    {.name = "loss_type", .group = "Loss", CHOICE("dapo|grpo|bnpo|dr_grpo"), .metavar = "NAME",
     POLICY("grpo", clip.loss_type), .fallback = "dapo", .help = "what the losses of tokens are divided by"},
    {.name = "scale_rewards", .group = "Loss", CHOICE("group|batch|none"), POLICY("grpo", scale_rewards),
     .fallback = "group", .help = "divide advantages by the deviation of rewards within a prompt, within a generation, or "
                                  "not at all"},
    {.name = "importance_sampling_level", .group = "Loss", CHOICE("token|sequence"),
     POLICY("grpo", importance_sampling_level), .fallback = "token",
     .help = "one probability ratio for each token, or one for a completion (GSPO)"},
    {.name = "use_bias_correction_kl", .group = "Loss", FLAG, POLICY("grpo", clip.bias_correction_kl),
     .fallback = "true", .help = "multiply the estimate of the divergence by the ratio"},
    {.name = "normalize_advantages", .group = "Loss", FLAG, POLICY("rloo", normalize_advantages),
     .help = "advantages of a generation are shifted to mean 0 and scaled to deviation 1"},
    {.name = "mask_truncated_completions", .group = "Loss", FLAG, POLICY("rloo|grpo", mask_truncated_completions),
     .help = "learn nothing from completions that were cut off"},
    {.name = "nthr", .group = "Loss", FLAG, POLICY("rloo|grpo", nthr.on),
     .help = "spare the tokens of bad completions whose punishment would push good ones down (NTHR): those that pull "
             "on the good completions of the prompt by more than these pull on each other"},
    {.name = "nthr_beta", .group = "Loss", REAL(0, MOST), POLICY("rloo|grpo", nthr.beta), .fallback = "1",
     .help = "factor of this threshold"},
    {.name = "nthr_eta", .group = "Loss", REAL(0, 1), POLICY("rloo|grpo", nthr.eta), .fallback = "0",
     .help = "what is left of the gradient of such a token; 0 masks it, 1 only measures"},
    {.name = "nthr_balance", .group = "Loss", FLAG, POLICY("rloo|grpo", nthr.balance),
     .help = "in the place of --nthr_eta 2 |0.5 - p|, p the share of good completions of the prompt, as the paper trains"},

    {.name = "num_ppo_epochs", .group = "Loss", INTEGER(1, 1 << 20), POLICY("ppo", ppo.num_ppo_epochs), .fallback = "4",
     .help = "how often the completions of an update are gone through"},
    {.name = "num_mini_batches", .group = "Loss", INTEGER(1, 1 << 20), POLICY("ppo", ppo.num_mini_batches),
     .fallback = "1", .help = "optimiser steps of each time; an update takes per_device_train_batch_size times "
                              "gradient_accumulation_steps times that many completions"},
    {.name = "kl_coef", .group = "Loss", REAL(0, MOST), POLICY("ppo", ppo.kl_coef), .fallback = "0.05",
     .help = "what a token's divergence from the reference costs"},
    {.name = "kl_estimator", .group = "Loss", CHOICE("k1|k3"), POLICY("ppo", kl_estimator), .fallback = "k1",
     .help = "how that is estimated: ln of the ratio, or k3, which is never negative"},
    {.name = "gamma", .group = "Loss", REAL(0, 1), POLICY("ppo", ppo.gamma), .fallback = "1",
     .help = "discount of later tokens' rewards"},
    {.name = "lam", .group = "Loss", REAL(0, 1), POLICY("ppo", ppo.lam), .fallback = "0.95",
     .help = "lambda of generalised advantage estimation"},
    {.name = "cliprange", .group = "Loss", REAL(0, MOST), POLICY("ppo", ppo.cliprange), .fallback = "0.2",
     .help = "how far probability ratios may leave 1"},
    {.name = "cliprange_value", .group = "Loss", REAL(0, MOST), POLICY("ppo", ppo.cliprange_value), .fallback = "0.2",
     .help = "how far values may leave those before the update"},
    {.name = "vf_coef", .group = "Loss", REAL(0, MOST), POLICY("ppo", ppo.vf_coef), .fallback = "0.1",
     .help = "weight of the value loss"},
    {.name = "whiten_rewards", .group = "Loss", FLAG, POLICY("ppo", ppo.whiten_rewards),
     .help = "divide the rewards of tokens by their deviation"},
    {.name = "whiten_advantages", .group = "Loss", CHOICE("batch|population|minibatch"),
     POLICY("ppo", ppo.whiten_advantages), .fallback = "batch",
     .help = "advantages get mean 0 and deviation 1: over the update with n - 1 (TRL) or n (OpenRLHF), or within each "
             "minibatch"},
    {.name = "value", .group = "Reference model", STRING("MODEL"), POLICY("ppo", value),
     .help = "the folder that the value model begins as; without it the first reward model, or the model itself with a "
             "fresh head"},

    {.name = "learning_rate", .group = "Optimisation", REAL(0, MOST), SOME("ppo", learning_rate),
     .fallback = "5e-5", .help = "the highest learning rate of the schedule, for policy and value model"},
    {.name = "learning_rate", .group = "Optimisation", REAL(0, MOST), SOME("dpo|kto|rloo|grpo", learning_rate),
     .fallback = "1e-6", .help = "the highest learning rate of the schedule"},
    {.name = "learning_rate", .group = "Optimisation", REAL(0, MOST), SOME("reward", learning_rate),
     .fallback = "1e-4", .help = "the highest learning rate of the schedule"},
    {.name = "learning_rate", .group = "Optimisation", REAL(0, MOST), SOME("sft", learning_rate),
     .fallback = "2e-5", .help = "the highest learning rate of the schedule"},
    {.name = "lr_scheduler_type", .group = "Optimisation", WORD("linear|cosine|constant|constant_with_warmup"),
     BOTH(lr_scheduler_type), .fallback = "linear", .metavar = "NAME", .help = "how the learning rate goes on"},
    {.name = "warmup_steps", .group = "Optimisation", REAL(0, MOST), BOTH(warmup_steps), .fallback = "0",
     .help = "steps of warm-up, or below 1 their share of all steps"},
    {.name = "warmup_ratio", .group = "Optimisation", REAL(0, 1), BOTH(warmup_ratio), .fallback = "0",
     .help = "that share by its name in transformers 4; counts where warmup_steps is 0"},
    {.name = "per_device_train_batch_size", .group = "Optimisation", INTEGER(1, 1 << 20),
     BOTH(per_device_train_batch_size), .fallback = "8", .help = "rows of a batch"},
    {.name = "gradient_accumulation_steps", .group = "Optimisation", INTEGER(1, 1 << 20),
     BOTH(gradient_accumulation_steps), .fallback = "1", .help = "batches of an optimiser step"},
    {.name = "num_train_epochs", .group = "Optimisation", REAL(0, MOST), BOTH(num_train_epochs), .fallback = "3",
     .help = "passes over the data; may be a fraction"},
    {.name = "max_steps", .group = "Optimisation", INTEGER(-1, MOST), BOTH(max_steps), .fallback = "-1",
     .help = "optimiser steps, whatever num_train_epochs says; -1: not given"},
    {.name = "optim", .group = "Optimisation", WORD("adamw_torch_fused|adamw_torch|rmsprop|sgd"), BOTH(optim),
     .fallback = "adamw_torch_fused", .metavar = "NAME",
     .help = "the optimiser; the two of adamw are the same arithmetic"},
    {.name = "optim_args", .group = "Optimisation", STRING("K=V,..."), BOTH(optim_args),
     .help = "rmsprop: momentum, alpha, eps, centered; sgd: momentum, dampening, nesterov"},
    {.name = "adam_beta1", .group = "Optimisation", REAL(0, 1), BOTH(adam_beta1), .fallback = "0.9",
     .help = "decay of the mean of gradients"},
    {.name = "adam_beta2", .group = "Optimisation", REAL(0, 1), BOTH(adam_beta2), .fallback = "0.999",
     .help = "decay of the mean of squared gradients"},
    {.name = "adam_epsilon", .group = "Optimisation", REAL(0, MOST), BOTH(adam_epsilon), .fallback = "1e-8",
     .help = "what is added to its root"},
    {.name = "weight_decay", .group = "Optimisation", REAL(0, MOST), BOTH(weight_decay), .fallback = "0",
     .help = "of matrices, not of biases and norms"},
    {.name = "max_grad_norm", .group = "Optimisation", REAL(0, MOST), BOTH(max_grad_norm), .fallback = "1",
     .help = "gradients of a larger norm are scaled down to it; 0: never"},
    {.name = "data_seed", .group = "Optimisation", INTEGER(0, MOST), BOTH(data_seed), .none = "",
     .help = "seed of the order of rows; without it --seed"},
    {.name = "train_sampling_strategy", .group = "Optimisation", CHOICE("random|sequential"),
     SOME("dpo|sft|reward", train_sampling_strategy), .fallback = "random",
     .help = "the order of rows: shuffled, or that of the file"},
    {.name = "train_sampling_strategy", .group = "Optimisation", CHOICE("random|sequential"),
     SOME("kto", train_sampling_strategy), .fallback = "sequential",
     .help = "the order of rows: that of the file, which loss_type kto needs, or shuffled"},
    {.name = "dataloader_drop_last", .group = "Optimisation", FLAG, SOME("dpo|sft|reward|kto", dataloader_drop_last),
     .help = "leave out a short batch at the end of an epoch"},

    {.name = "use_peft", .group = "LoRA", FLAG, BOTH(use_peft),
     .help = "train a new LoRA adapter instead of all weights; of a reward model the whole head too"},
    {.name = "lora_r", .group = "LoRA", INTEGER(1, 1 << 16), BOTH(lora_r), .fallback = "16", .help = "its rank"},
    {.name = "lora_alpha", .group = "LoRA", INTEGER(1, 1 << 24), BOTH(lora_alpha), .fallback = "32",
     .help = "its scale times the rank"},
    {.name = "use_rslora", .group = "LoRA", FLAG, BOTH(use_rslora), .help = "scale by lora_alpha / sqrt(lora_r)"},
    {.name = "lora_target_modules", .group = "LoRA", .kind = PLUMB_OPTION_LIST, .metavar = "NAME",
     BOTH(lora_target_modules), .none = "",
     .help = "the layers that get one: names such as q_proj, or all-linear; without it those of PEFT for the "
             "architecture"},
    {.name = "lora_dropout", .group = "LoRA", REAL(0, 1), BOTH(lora_dropout), .fallback = "0",
     .help = "must be 0 (TRL's default is 0.05): passes are repeatable to the bit"},
    {.name = "adapter", .group = "LoRA", STRING("DIR"), BOTH(adapter),
     .help = "train this PEFT adapter further; its own settings count"},

    {.name = "ledger_data", .group = "Ledger and gate", STRING("PAIRS"), POLICY(SAMPLERS, ledger_data),
     .changes_no_result = true,
     .help = "a preference file: ledger.jsonl then tells what the run does to the log-probs of its pairs, as the ledger of "
             "plumb dpo does; they are not trained on. prompt_key, chosen_key, rejected_key and implicit_prompt are "
             "those of the prompts and of this file alike"},
    {.name = "max_length", .group = "Ledger and gate", INTEGER(0, 1 << 24), SOME(SAMPLERS, max_length),
     .fallback = "1024", .none = "0",
     .help = "ledger_data: cut prompt + response at N tokens, at the end; 0 or none: never. Without it 1024 or the "
             "model's positions, the smaller"},
    {.name = "ledger_steps", .group = "Ledger and gate", INTEGER(1, MOST), SOME("dpo|reward|kto|" SAMPLERS, ledger_steps),
     .help = "evaluate every row each N steps; without it at the start, after each epoch and at the end"},
    {.name = "ledger_tokens", .group = "Ledger and gate", INTEGER(0, 1 << 20), SOME("dpo|" SAMPLERS, ledger_tokens),
     .fallback = "0",
     .help = "also record the N tokens that gained and lost most where the responses first differ"},
    {.name = "ches_gate", .group = "Ledger and gate", STRING("keep-lowest:P%|keep-lowest:N|weight"), DPO(ches_gate),
     .help = "train on the pairs with the lowest ln_ches only, or weigh pairs by their rank in it"},
    {.name = "ches_refresh", .group = "Ledger and gate", INTEGER(0, MOST), DPO(ches_refresh), .fallback = "0",
     .help = "measure ln_ches anew every N steps; 0: never"},

    {.name = "logging_steps", .group = "Metrics and checkpoints", REAL(0, MOST), BOTH(logging_steps), .fallback = "10",
     .help = "a row of metrics.jsonl every N steps, or below 1 every such share of the run"},
    {.name = "save_strategy", .group = "Metrics and checkpoints", CHOICE("no|steps|epoch"), BOTH(save_strategy),
     .fallback = "steps", .changes_no_result = true, .help = "when checkpoints are written"},
    {.name = "save_steps", .group = "Metrics and checkpoints", REAL(0, MOST), BOTH(save_steps), .fallback = "500",
     .changes_no_result = true, .help = "a checkpoint every N steps, or below 1 every such share of the run"},
    {.name = "save_total_limit", .group = "Metrics and checkpoints", INTEGER(0, MOST), BOTH(save_total_limit),
     .none = "", .changes_no_result = true, .help = "keep the newest N checkpoints; without it, or with 0, all"},
    {.name = "dtype", .group = "Metrics and checkpoints", CHOICE("float32|float16|bfloat16|auto"), BOTH(dtype),
     .fallback = "float32",
     .help = "number format of the result; auto: the model's. Training itself is in float32 always"},
};
/* clang-format on */

const plumb_positional plumb_train_positionals[PLUMB_TRAIN_POSITIONALS] = {
    {"MODEL", "a Hugging Face checkpoint folder: config.json, tokenizer.json, *.safetensors", 1, 1,
     offsetof(plumb_train_values, model)},
    {"DATA", "rows as JSONL, plain or .gz; - is stdin", 1, 1, offsetof(plumb_train_values, data)},
};

const plumb_positional plumb_policy_positionals[PLUMB_TRAIN_POSITIONALS] = {
    {"MODEL", "a Hugging Face checkpoint folder: config.json, tokenizer.json, *.safetensors", 1, 1,
     offsetof(plumb_train_values, model)},
    {"PROMPTS", "rows with prompts as JSONL, plain or .gz", 1, 1, offsetof(plumb_train_values, data)},
};

/* ---- checks of all commands ---- */

/* Puts before the error how the user wrote the option. */
static plumb_status blame(const plumb_options *o, const char *name, plumb_status s)
{
    plumb_text label = {0};
    plumb_status failed = plumb_options_label(o, name, &label);
    s = plumb_context(s, "%s", failed ? name : label.data);
    plumb_status_free(failed);
    plumb_text_free(&label);
    return s;
}

static void note_no_effect(const plumb_options *o, const char *name, const plumb_sink *sink, const char *why)
{
    plumb_text label = {0};
    if (!plumb_options_given(o, name)) return;
    plumb_status failed = plumb_options_label(o, name, &label);
    plumb_note(sink, "%s: no effect %s", failed ? name : label.data, why);
    plumb_status_free(failed);
    plumb_text_free(&label);
}

static plumb_status check_output(const plumb_options *o, const plumb_common *common)
{
    bool missing = !common->output || !*common->output;
    if (missing && !common->dry_run)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the run folder is missing"), "write -o RUN");
    if (common->output && strcmp(common->output, "-") == 0)
        return blame(
            o, "output",
            plumb_cure(plumb_fail(PLUMB_E_INPUT, "a run is a folder, which cannot go to stdout"), "give it a name"));
    return PLUMB_OK;
}

/* As transformers: a share of the run below 1, a whole number of steps above. */
static plumb_status check_every(const plumb_options *o, const char *name, double steps)
{
    if (steps > 0 && (steps < 1 || steps == floor(steps))) return PLUMB_OK;
    return blame(
        o, name,
        plumb_cure(plumb_fail(PLUMB_E_INPUT, "%g is neither a whole number of steps nor between 0 and 1", steps),
                   "1 is every step, 0.1 every tenth of the run"));
}

static plumb_status check_lora(const plumb_options *o, const plumb_train_values *v, const plumb_sink *sink)
{
    static const char *const names[] = {"lora_r", "lora_alpha", "use_rslora", "lora_target_modules", "lora_dropout"};
    if (v->lora_dropout != 0 && v->use_peft && !v->adapter)
        return blame(o, "lora_dropout",
                     plumb_cure(plumb_fail(PLUMB_E_INPUT, "only 0 is possible: passes are repeatable to the bit, as "
                                                          "the cached log-probs of the reference must be"),
                                "set it to 0; weight_decay regularises too"));
    if (v->use_peft && !v->adapter) return PLUMB_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        note_no_effect(o, names[i], sink,
                       v->adapter ? "beside --adapter, whose own settings count" : "without --use_peft");
    return PLUMB_OK;
}

/* Is path a name within the folder? Both as they were written. */
static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    return strncmp(path, folder, n) == 0 && path[n] == '/' && path[n + strspn(path + n, "/")];
}

/* resume_from_checkpoint into common.resume. */
static plumb_status settle_resume(const plumb_options *o, plumb_train_values *v, const plumb_sink *sink)
{
    const char *from = v->resume_from_checkpoint;
    bool off = !from || strcasecmp(from, "false") == 0 || strcasecmp(from, "no") == 0 || strcasecmp(from, "none") == 0;
    if (off) return PLUMB_OK;
    bool on = strcasecmp(from, "true") == 0 || strcasecmp(from, "yes") == 0;
    if (!on && !(v->common.output && lies_in(from, v->common.output)))
        return blame(o, "resume_from_checkpoint",
                     plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s does not lie in the run folder", from),
                                "a run goes on in its own folder: give that with -o, and --resume"));
    if (!on) plumb_note(sink, "going on with the newest checkpoint of %s; the result is the same", v->common.output);
    v->common.resume = true;
    return PLUMB_OK;
}

static plumb_status check_all(const plumb_options *o, plumb_train_values *v, const plumb_sink *sink)
{
    plumb_optimizer optimizer;
    PLUMB_TRY(check_output(o, &v->common));
    PLUMB_TRY(check_every(o, "logging_steps", v->logging_steps));
    if (v->save_strategy == PLUMB_SAVE_STEPS) PLUMB_TRY(check_every(o, "save_steps", v->save_steps));
    if (v->save_strategy != PLUMB_SAVE_STEPS) note_no_effect(o, "save_steps", sink, "with this save_strategy");
    if (v->max_steps < 1 && !(v->num_train_epochs > 0))
        return blame(o, "num_train_epochs", plumb_fail(PLUMB_E_INPUT, "0 epochs are no training"));
    if (v->warmup_steps > 0) note_no_effect(o, "warmup_ratio", sink, "beside warmup_steps");
    PLUMB_TRY(blame(o, "optim", plumb_train_optimizer(v, &optimizer)));
    PLUMB_TRY(check_lora(o, v, sink));
    PLUMB_TRY(settle_resume(o, v, sink));
    if (!plumb_options_given(o, "data_seed")) v->data_seed = v->common.seed;
    return PLUMB_OK;
}

plumb_status plumb_train_optimizer(const plumb_train_values *v, plumb_optimizer *out)
{
    PLUMB_TRY(plumb_optimizer_make(v->optim, v->optim_args, out));
    if (strncmp(v->optim, "adamw", 5) == 0) {
        out->beta1 = v->adam_beta1;
        out->beta2 = v->adam_beta2;
        out->epsilon = v->adam_epsilon;
    }
    return plumb_optimizer_check(out);
}

int64_t plumb_train_every(double steps, int64_t total)
{
    double every = steps < 1 ? ceil(steps * (double)total) : steps;
    if (every < 1) return 1;
    return every < (double)INT64_MAX ? (int64_t)every : INT64_MAX;
}

/* ---- dpo ---- */

/* The options that are parameters of losses. */
static const struct parameter {
    const char *name;
    size_t offset;
} parameters[] = {
    {"beta", offsetof(plumb_dpo_values, beta)},
    {"label_smoothing", offsetof(plumb_dpo_values, label_smoothing)},
    {"discopop_tau", offsetof(plumb_dpo_values, discopop_tau)},
    {"bco_delta", offsetof(plumb_dpo_values, bco_delta)},
    {"dpop_lambda", offsetof(plumb_dpo_values, dpop_lambda)},
    {"dpo_shift_lambda", offsetof(plumb_dpo_values, dpo_shift_lambda)},
    {"cal_dpo_calibration", offsetof(plumb_dpo_values, cal_dpo_calibration)},
    {"bdpo_lambda", offsetof(plumb_dpo_values, bdpo_lambda)},
    {"simpo_gamma", offsetof(plumb_dpo_values, simpo_gamma)},
    {"cpo_alpha", offsetof(plumb_dpo_values, cpo_alpha)},
    {"alphapo_alpha", offsetof(plumb_dpo_values, alphapo_alpha)},
    {"kto_z", offsetof(plumb_dpo_values, kto_z)},
};
enum { PARAMETERS = sizeof parameters / sizeof *parameters };

static double *value_of(plumb_dpo_values *v, const struct parameter *p)
{
    return (double *)(void *)((char *)v + p->offset);
}

static plumb_status make_objective(const plumb_options *o, plumb_dpo_values *v, bool gate, plumb_objective *out)
{
    plumb_loss_setting settings[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++)
        settings[i] = (plumb_loss_setting){
            parameters[i].name, plumb_options_given(o, parameters[i].name) ? *value_of(v, &parameters[i]) : NAN};
    plumb_objective_options how = {
        .loss_type = v->loss_type.items,
        .loss_types = v->loss_type.count,
        .loss_weights = v->loss_weights.items,
        .loss_weight_count = v->loss_weights.count,
        .settings = settings,
        .setting_count = PARAMETERS,
        .f_divergence_type = (plumb_divergence)v->f_divergence_type,
        .f_alpha_divergence_coef = v->f_alpha_divergence_coef,
        .ld_alpha = plumb_options_given(o, "ld_alpha") ? v->ld_alpha : NAN,
        .sft_coeff = v->sft_coeff,
        .use_weighting = v->use_weighting,
        .pair_weights = gate,
    };
    return plumb_objective_make(&how, out);
}

/* Stores what the losses take, and says which parameters none of them takes. */
static void settle_parameters(const plumb_options *o, plumb_dpo_values *v, const plumb_sink *sink,
                              const plumb_objective *objective)
{
    for (int i = 0; i < PARAMETERS; i++) {
        double used = plumb_objective_parameter(objective, parameters[i].name);
        if (isnan(used))
            note_no_effect(o, parameters[i].name, sink, "with this loss_type");
        else
            *value_of(v, &parameters[i]) = used;
    }
    if (v->f_divergence_type != PLUMB_ALPHA_DIVERGENCE)
        note_no_effect(o, "f_alpha_divergence_coef", sink, "with this f_divergence_type");
}

static plumb_status check_sync(const plumb_options *o, const plumb_train_values *v, const plumb_sink *sink)
{
    if (!v->sync_ref_model) {
        note_no_effect(o, "ref_model_sync_steps", sink, "without --sync_ref_model");
        note_no_effect(o, "ref_model_mixup_alpha", sink, "without --sync_ref_model");
        return PLUMB_OK;
    }
    const char *other = v->precompute_ref_log_probs ? "precompute_ref_log_probs"
                        : v->use_peft               ? "use_peft"
                        : v->adapter                ? "adapter"
                                                    : NULL;
    if (!other) return PLUMB_OK;
    return blame(o, "sync_ref_model", plumb_fail(PLUMB_E_INPUT, "does not go with %s (nor does it in TRL)", other));
}

plumb_status plumb_dpo_check(const plumb_options *o, plumb_dpo_values *v, const plumb_sink *sink,
                             plumb_objective *objective)
{
    plumb_gate gate;
    PLUMB_TRY(check_all(o, &v->train, sink));
    PLUMB_TRY(check_sync(o, &v->train, sink));
    PLUMB_TRY(blame(o, "ches_gate", plumb_gate_parse(v->ches_gate, &gate)));
    if (!gate.kind) note_no_effect(o, "ches_refresh", sink, "without --ches_gate");
    PLUMB_TRY(make_objective(o, v, gate.kind != PLUMB_GATE_NONE, objective));
    settle_parameters(o, v, sink, objective);
    return PLUMB_OK;
}

/* ---- sft ---- */

plumb_status plumb_sft_check(const plumb_options *o, plumb_sft_values *v, const plumb_sink *sink)
{
    PLUMB_TRY(check_all(o, &v->train, sink));
    if (!v->packing || v->train.max_length) return PLUMB_OK;
    return blame(o, "packing",
                 plumb_cure(plumb_fail(PLUMB_E_INPUT, "needs a max_length, the length of its sequences"),
                            "give --max_length N"));
}

/* ---- reward, kto ---- */

plumb_status plumb_reward_check(const plumb_options *o, plumb_reward_values *v, const plumb_sink *sink)
{
    return check_all(o, &v->train, sink);
}

plumb_status plumb_kto_check(const plumb_options *o, plumb_kto_values *v, const plumb_sink *sink)
{
    const plumb_train_values *t = &v->train;
    PLUMB_TRY(check_all(o, &v->train, sink));
    PLUMB_TRY(check_sync(o, t, sink));
    if (v->loss.loss_type != PLUMB_KTO) return PLUMB_OK;
    if (t->train_sampling_strategy != 1)
        return blame(o, "train_sampling_strategy",
                     plumb_cure(plumb_fail(PLUMB_E_INPUT, "loss_type kto estimates KL from neighbours in the file, so "
                                                          "rows must come in their order"),
                                "leave it at sequential, or take --loss_type apo_zero_unpaired"));
    if (t->per_device_train_batch_size > 1) return PLUMB_OK;
    return blame(
        o, "per_device_train_batch_size",
        plumb_cure(plumb_fail(PLUMB_E_INPUT, "loss_type kto estimates KL from the other rows of a batch, and a "
                                             "batch of 1 has none"),
                   "make it 2 or more"));
}

/* ---- rloo, grpo, ppo ---- */

/* As TRL: the one follows from the other, and both from the accumulation. */
static plumb_status settle_generation(const plumb_options *o, plumb_policy_values *v)
{
    int64_t batch = v->train.per_device_train_batch_size;
    if (v->generation_batch_size && v->steps_per_generation)
        return blame(o, "generation_batch_size",
                     plumb_fail(PLUMB_E_INPUT, "follows from steps_per_generation, and both are given"));
    if (v->generation_batch_size % batch)
        return blame(o, "generation_batch_size",
                     plumb_fail(PLUMB_E_INPUT, "%lld is no multiple of per_device_train_batch_size, which is %lld",
                                (long long)v->generation_batch_size, (long long)batch));
    if (v->generation_batch_size) v->steps_per_generation = v->generation_batch_size / batch;
    if (!v->steps_per_generation) v->steps_per_generation = v->train.gradient_accumulation_steps;
    return PLUMB_OK;
}

static plumb_status check_clip_range(const plumb_options *o, const plumb_policy_values *v)
{
    const plumb_reals *r = &v->reward_clip_range;
    if (!r->count || (r->count == 2 && r->items[0] < r->items[1])) return PLUMB_OK;
    return blame(o, "reward_clip_range", plumb_fail(PLUMB_E_INPUT, "expected two numbers, the smaller one first"));
}

static plumb_status check_losses(const plumb_options *o, plumb_policy_values *v, const plumb_sink *sink)
{
    if (!plumb_options_given(o, "epsilon_high")) v->clip.epsilon_high = v->clip.epsilon;
    v->clip.sequence_level = v->importance_sampling_level == 1;
    v->clip.max_completion_length = (double)v->max_completion_length;
    if (v->clip.beta == 0) {
        note_no_effect(o, "reference", sink, "with beta 0");
        note_no_effect(o, "sync_ref_model", sink, "with beta 0");
        v->train.sync_ref_model = false;
    }
    if (!v->nthr.on) {
        note_no_effect(o, "nthr_beta", sink, "without --nthr");
        note_no_effect(o, "nthr_eta", sink, "without --nthr");
        note_no_effect(o, "nthr_balance", sink, "without --nthr");
    } else if (v->nthr.balance) {
        note_no_effect(o, "nthr_eta", sink, "with --nthr_balance");
    }
    PLUMB_TRY(check_clip_range(o, v));
    return settle_generation(o, v);
}

static plumb_status check_ledger(const plumb_options *o, const plumb_policy_values *v, const plumb_sink *sink)
{
    static const char *const names[] = {"ledger_steps", "ledger_tokens", "max_length"};
    for (size_t i = 0; i < sizeof names / sizeof *names && !v->ledger_data; i++)
        note_no_effect(o, names[i], sink, "without --ledger_data");
    if (!v->ledger_data || strcmp(v->ledger_data, "-") != 0) return PLUMB_OK;
    return blame(o, "ledger_data",
                 plumb_cure(plumb_fail(PLUMB_E_INPUT, "stdin cannot be read again by --resume and plumb trace"),
                            "save the pairs to a file first"));
}

plumb_status plumb_policy_check(const plumb_options *o, plumb_policy_values *v, plumb_policy_method method,
                                const plumb_sink *sink)
{
    PLUMB_TRY(check_all(o, &v->train, sink));
    PLUMB_TRY(check_sync(o, &v->train, sink));
    if (!(v->temperature > 0))
        return blame(o, "temperature",
                     plumb_cure(plumb_fail(PLUMB_E_INPUT, "0 draws the same completion always, and there is nothing to "
                                                          "learn from"),
                                "give a number above 0"));
    v->ppo.kl_k3 = v->kl_estimator == 1;
    PLUMB_TRY(check_ledger(o, v, sink));
    return method == PLUMB_PPO ? PLUMB_OK : check_losses(o, v, sink);
}
