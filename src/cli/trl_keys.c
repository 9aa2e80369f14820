#include "cli/trl_keys.h"

#define NOTED(kind_, name_, usual_)   .name = name_, .kind = PLUMB_OPTION_##kind_, .usual = usual_
#define REFUSED(kind_, name_, usual_) .name = name_, .kind = PLUMB_OPTION_##kind_, .usual = usual_, .refused = true

/* Reasons that several rows share are notes on one line for all of them. */
#define FP32       "arithmetic is float32 whatever they say"
#define KERNELS    "plumb has kernels of its own"
#define MEMORY     "the memory plan decides what is kept and what is computed again; results are the same"
#define REPORTS    "metrics go to metrics.jsonl and ledger.jsonl in the run folder"
#define CONSOLE    "plumb's own messages go to stderr; --quiet turns them off"
#define HUB        "nothing is uploaded; the run folder can be"
#define EVALUATION "nothing is evaluated beside the training; plumb dpo's ledger and plumb score measure pairs"
#define LOADER     "rows are read and tokenised once, in their order"
#define ONE        "a run is one process on one machine"
#define PADDING    "nothing is padded"
#define CHECKPOINT "checkpoints always hold all that --resume needs, and SIGTERM writes one"
#define CODE       "no code of a checkpoint is run"
#define QUANTISED  "they set up load_in_4bit, which is refused"
#define BUCKETS    "they set up train_sampling_strategy group_by_length, which is refused"

#define SAMPLERS   "rloo|grpo|ppo"
#define SAMPLER    "plumb draws completions itself, with the weights that are trained"
#define SAMPLED    "log_completions writes all of them to completions.jsonl"
#define NO_TOOLS   "conversations have no tools"
#define OTHER_LOSS "it belongs to losses that plumb does not have"
#define ADAPTIVE   "it sets up use_adaptive_entropy, which is refused"

#define QUANTISE   "weights are trained as they are, not quantised"
#define SHARDED    "a run is one process; splitting it over several would change the batches"
#define ONE_FILE   "DATA is one local file; give the file of that split or subset"
#define DORA       "of LoRA's variants plumb has the plain one and rsLoRA"
#define HEAD       "the head of a reward model is always trained with its adapter (SEQ_CLS), and no other module"
#define MODEL_ARGS "they could change the model's weights or arithmetic; plumb loads the checkpoint as it is"
#define GONE       "TRL 1.16 does not know it either"

/* clang-format off */
const plumb_foreign_option plumb_trl_keys[] = {
    /* --- no effect on results here --- */
    {NOTED(FLAG, "bf16", NULL), .reason = FP32},
    {NOTED(FLAG, "fp16", "false"), .reason = FP32},
    {NOTED(FLAG, "tf32", NULL), .reason = FP32},
    {NOTED(FLAG, "cast_lm_head_to_fp32", "false"), .only = "grpo", .reason = FP32},
    {NOTED(FLAG, "bf16_full_eval", "false"), .reason = FP32},
    {NOTED(FLAG, "fp16_full_eval", "false"), .reason = FP32},
    {NOTED(FLAG, "use_cpu", "false"), .reason = FP32},
    {NOTED(FLAG, "no_cuda", "false"), .reason = FP32},

    {NOTED(STRING, "attn_implementation", NULL), .reason = KERNELS},
    {NOTED(FLAG, "torch_compile", "false"), .reason = KERNELS},
    {NOTED(STRING, "torch_compile_backend", NULL), .reason = KERNELS},
    {NOTED(STRING, "torch_compile_mode", NULL), .reason = KERNELS},
    {NOTED(FLAG, "use_liger_kernel", "false"), .reason = KERNELS},
    {NOTED(STRING, "liger_kernel_config", NULL), .reason = KERNELS},
    {NOTED(FLAG, "use_cache", "false"), .reason = KERNELS},

    {NOTED(FLAG, "gradient_checkpointing", "true"), .reason = MEMORY},
    {NOTED(STRING, "gradient_checkpointing_kwargs", NULL), .reason = MEMORY},
    {NOTED(FLAG, "activation_checkpointing", NULL), .reason = MEMORY},
    {NOTED(STRING, "activation_checkpointing_kwargs", NULL), .reason = MEMORY},
    {NOTED(FLAG, "activation_offloading", "false"), .reason = MEMORY},
    {NOTED(STRING, "torch_empty_cache_steps", NULL), .reason = MEMORY},
    {NOTED(STRING, "precompute_ref_batch_size", NULL), .only = "dpo|kto", .reason = MEMORY},

    {NOTED(LIST, "report_to", "none"), .reason = REPORTS},
    {NOTED(STRING, "run_name", NULL), .reason = REPORTS},
    {NOTED(STRING, "logging_dir", NULL), .reason = REPORTS},
    {NOTED(FLAG, "logging_first_step", "false"), .reason = REPORTS},
    {NOTED(FLAG, "logging_nan_inf_filter", "true"), .reason = "a loss that is not finite ends the run with a message"},
    {NOTED(FLAG, "log_on_each_node", "true"), .reason = ONE},
    {NOTED(STRING, "include_num_input_tokens_seen", "no|false"), .reason = REPORTS},
    {NOTED(FLAG, "include_tokens_per_second", "false"), .reason = REPORTS},
    {NOTED(STRING, "project", "huggingface"), .reason = REPORTS},
    {NOTED(STRING, "trackio_space_id", NULL), .reason = REPORTS},
    {NOTED(STRING, "trackio_bucket_id", NULL), .reason = REPORTS},
    {NOTED(STRING, "trackio_static_space_id", "false"), .reason = REPORTS},

    {NOTED(FLAG, "disable_tqdm", "false"), .reason = CONSOLE},
    {NOTED(STRING, "log_level", "passive"), .reason = CONSOLE},
    {NOTED(STRING, "log_level_replica", "warning"), .reason = CONSOLE},
    {NOTED(STRING, "debug", NULL), .reason = CONSOLE},
    {NOTED(FLAG, "skip_memory_metrics", "true"), .reason = CONSOLE},

    {NOTED(FLAG, "push_to_hub", "false"), .reason = HUB},
    {NOTED(STRING, "hub_token", NULL), .reason = HUB},
    {NOTED(FLAG, "hub_private_repo", NULL), .reason = HUB},
    {NOTED(STRING, "hub_model_id", NULL), .reason = HUB},
    {NOTED(STRING, "hub_strategy", "every_save"), .reason = HUB},
    {NOTED(FLAG, "hub_always_push", "false"), .reason = HUB},
    {NOTED(STRING, "hub_revision", NULL), .reason = HUB},

    {NOTED(STRING, "eval_strategy", "no|false"), .reason = EVALUATION},
    {NOTED(STRING, "evaluation_strategy", "no|false"), .reason = EVALUATION},
    {NOTED(STRING, "eval_steps", NULL), .reason = EVALUATION},
    {NOTED(STRING, "eval_delay", "0"), .reason = EVALUATION},
    {NOTED(STRING, "per_device_eval_batch_size", "8"), .reason = EVALUATION},
    {NOTED(STRING, "eval_accumulation_steps", NULL), .reason = EVALUATION},
    {NOTED(FLAG, "eval_on_start", "false"), .reason = EVALUATION},
    {NOTED(FLAG, "eval_do_concat_batches", "true"), .reason = EVALUATION},
    {NOTED(FLAG, "eval_use_gather_object", "false"), .reason = EVALUATION},
    {NOTED(FLAG, "eval_packing", NULL), .only = "sft", .reason = EVALUATION},
    {NOTED(FLAG, "prediction_loss_only", "false"), .reason = EVALUATION},
    {NOTED(FLAG, "batch_eval_metrics", "false"), .reason = EVALUATION},
    {NOTED(LIST, "include_for_metrics", NULL), .reason = EVALUATION},
    {NOTED(STRING, "dataset_test_split", "test"), .reason = EVALUATION},
    {NOTED(FLAG, "do_eval", "false"), .reason = EVALUATION},
    {NOTED(FLAG, "do_predict", "false"), .reason = EVALUATION},
    {NOTED(FLAG, "do_train", "false|true"), .reason = "training is what the command does"},
    {NOTED(STRING, "metric_for_best_model", NULL), .reason = EVALUATION},
    {NOTED(FLAG, "greater_is_better", NULL), .reason = EVALUATION},
    {NOTED(LIST, "label_names", NULL), .reason = EVALUATION},

    {NOTED(STRING, "dataloader_num_workers", "0"), .reason = LOADER},
    {NOTED(FLAG, "dataloader_pin_memory", "true"), .reason = LOADER},
    {NOTED(FLAG, "dataloader_persistent_workers", "false"), .reason = LOADER},
    {NOTED(STRING, "dataloader_prefetch_factor", NULL), .reason = LOADER},
    {NOTED(STRING, "dataloader_multiprocessing_context", NULL), .reason = LOADER},
    {NOTED(FLAG, "dataloader_in_order", "true"), .reason = LOADER},
    {NOTED(STRING, "dataset_num_proc", NULL), .reason = LOADER},
    {NOTED(FLAG, "dataset_streaming", "false"), .reason = LOADER},
    {NOTED(FLAG, "streaming", "false"), .reason = LOADER},
    {NOTED(FLAG, "remove_unused_columns", "true|false"), .reason = "columns that are not asked for are passed over"},
    {NOTED(STRING, "length_column_name", "length"), .reason = BUCKETS},

    {NOTED(FLAG, "average_tokens_across_devices", "true"), .reason = ONE},
    {NOTED(FLAG, "ddp_find_unused_parameters", NULL), .reason = ONE},
    {NOTED(STRING, "ddp_bucket_cap_mb", NULL), .reason = ONE},
    {NOTED(FLAG, "ddp_broadcast_buffers", NULL), .reason = ONE},
    {NOTED(FLAG, "ddp_static_graph", NULL), .reason = ONE},
    {NOTED(STRING, "ddp_backend", NULL), .reason = ONE},
    {NOTED(STRING, "ddp_timeout", "1800"), .reason = ONE},
    {NOTED(STRING, "local_rank", "-1"), .reason = ONE},
    {NOTED(FLAG, "ignore_bias_buffers", "false"), .reason = ONE},

    {NOTED(FLAG, "padding_free", "false"), .reason = PADDING},
    {NOTED(STRING, "pad_to_multiple_of", "auto"), .reason = PADDING},
    {NOTED(STRING, "pad_token", NULL), .only = "dpo|sft|kto", .reason = PADDING},

    {NOTED(FLAG, "save_only_model", "false"), .reason = CHECKPOINT},
    {NOTED(FLAG, "save_on_each_node", "false"), .reason = ONE},
    {NOTED(FLAG, "save_safetensors", "true"), .reason = CHECKPOINT},
    {NOTED(FLAG, "enable_jit_checkpoint", "false"), .reason = CHECKPOINT},
    {NOTED(FLAG, "restore_callback_states_from_checkpoint", "false"), .reason = CHECKPOINT},
    {NOTED(FLAG, "full_determinism", "false"), .reason = "runs are the same to the bit in any case"},
    {NOTED(FLAG, "trust_remote_code", "false"), .reason = CODE},
    {NOTED(STRING, "bnb_4bit_quant_type", "nf4"), .reason = QUANTISED},
    {NOTED(FLAG, "use_bnb_nested_quant", "false"), .reason = QUANTISED},
    {NOTED(STRING, "bnb_4bit_quant_storage", NULL), .reason = QUANTISED},
    {NOTED(STRING, "label_smoothing_factor", "0"), .only = "dpo",
     .reason = "it smooths the labels of SFT; the option of DPO is label_smoothing"},
    {NOTED(STRING, "label_smoothing_factor", "0"), .only = "reward|kto", .reason = "it smooths the labels of SFT"},

    /* --- rloo, grpo, ppo --- */
    {NOTED(STRING, "train_sampling_strategy", "random"), .only = SAMPLERS, .reason = "shuffle_dataset says it"},
    {NOTED(FLAG, "dataloader_drop_last", "false"), .only = SAMPLERS, .reason = "generations are always whole"},
    {NOTED(STRING, "label_smoothing_factor", "0"), .only = SAMPLERS, .reason = "it smooths the labels of SFT"},
    {NOTED(FLAG, "use_vllm", "false"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_mode", "colocate"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_model_impl", "vllm"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(FLAG, "vllm_enable_sleep_mode", "false"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_structured_outputs_regex", NULL), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_server_base_url", NULL), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_server_host", "0.0.0.0"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_server_port", "8000"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_server_timeout", "240|240.0"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_group_port", "51216"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_gpu_memory_utilization", "0.3|0.29999999999999999"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_max_model_length", NULL), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "vllm_tensor_parallel_size", "1"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(FLAG, "vllm_importance_sampling_correction", "true"), .only = "grpo", .reason = SAMPLER},
    {NOTED(STRING, "vllm_importance_sampling_mode", "sequence_mask"), .only = "grpo", .reason = SAMPLER},
    {NOTED(STRING, "vllm_importance_sampling_clip_max", "3|3.0"), .only = "grpo", .reason = SAMPLER},
    {NOTED(STRING, "vllm_importance_sampling_clip_min", NULL), .only = "grpo", .reason = SAMPLER},
    {NOTED(STRING, "vllm_importance_sampling_cap", NULL), .only = "grpo", .reason = SAMPLER},
    {NOTED(FLAG, "use_transformers_continuous_batching", "false"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "transformers_continuous_batching_config", NULL), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(FLAG, "use_transformers_paged", "false"), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(STRING, "cache_implementation", NULL), .only = SAMPLERS, .reason = SAMPLER},
    {NOTED(FLAG, "ds3_gather_for_generation", "true"), .only = SAMPLERS, .reason = ONE},
    {NOTED(STRING, "local_rollout_forward_batch_size", "64"), .only = "ppo", .reason = SAMPLER},
    {NOTED(STRING, "num_sample_generations", "10"), .only = "ppo", .reason = SAMPLED},
    {NOTED(STRING, "num_generations_eval", NULL), .only = "rloo|grpo", .reason = EVALUATION},
    {NOTED(FLAG, "log_multimodal", "true"), .only = SAMPLERS, .reason = SAMPLED},
    {NOTED(STRING, "num_completions_to_print", NULL), .only = SAMPLERS, .reason = SAMPLED},
    {NOTED(FLAG, "log_unique_prompts", "false"), .only = SAMPLERS, .reason = SAMPLED},
    {NOTED(STRING, "log_completions_hub_repo", NULL), .only = SAMPLERS, .reason = HUB},
    {NOTED(FLAG, "disable_dropout", "false|true"), .only = SAMPLERS, .reason = "models run without dropout"},
    {NOTED(STRING, "max_tool_calling_iterations", NULL), .only = "grpo", .reason = NO_TOOLS},
    {NOTED(STRING, "sapo_temperature_neg", "1.05|1.0500000000000001"), .only = "grpo", .reason = OTHER_LOSS},
    {NOTED(STRING, "sapo_temperature_pos", "1|1.0"), .only = "grpo", .reason = OTHER_LOSS},
    {NOTED(STRING, "vespo_k_pos", "2|2.0"), .only = "grpo", .reason = OTHER_LOSS},
    {NOTED(STRING, "vespo_lambda_pos", "3|3.0"), .only = "grpo", .reason = OTHER_LOSS},
    {NOTED(STRING, "vespo_k_neg", "3|3.0"), .only = "grpo", .reason = OTHER_LOSS},
    {NOTED(STRING, "vespo_lambda_neg", "2|2.0"), .only = "grpo", .reason = OTHER_LOSS},
    {NOTED(STRING, "entropy_coef_min", "0|0.0"), .only = "grpo", .reason = ADAPTIVE},
    {NOTED(STRING, "entropy_coef_max", "1|1.0"), .only = "grpo", .reason = ADAPTIVE},
    {NOTED(STRING, "entropy_coef_delta", "0.005|0.0050000000000000001"), .only = "grpo", .reason = ADAPTIVE},
    {NOTED(STRING, "entropy_target", "0.2|0.20000000000000001"), .only = "grpo", .reason = ADAPTIVE},

    /* --- would change results --- */
    {REFUSED(STRING, "entropy_coef", "0|0.0"), .only = "grpo", .reason = "the loss has no entropy bonus"},
    {REFUSED(FLAG, "use_adaptive_entropy", "false"), .only = "grpo", .reason = "the loss has no entropy bonus"},
    {REFUSED(STRING, "top_entropy_quantile", "1|1.0"), .only = "grpo", .reason = "all tokens of a completion count"},
    {REFUSED(STRING, "off_policy_mask_threshold", NULL), .only = "grpo", .reason = "all tokens of a completion count"},
    {REFUSED(STRING, "multi_objective_aggregation", "sum_then_normalize"), .only = "grpo",
     .reason = "rewards are added up before advantages are made of them"},
    {REFUSED(STRING, "min_p", NULL), .only = SAMPLERS, .reason = "completions are drawn with temperature, top_k, top_p"},
    {REFUSED(STRING, "repetition_penalty", "1|1.0"), .only = SAMPLERS,
     .reason = "completions are drawn with temperature, top_k, top_p"},
    {REFUSED(STRING, "generation_kwargs", NULL), .only = SAMPLERS,
     .reason = "completions are drawn with temperature, top_k, top_p"},
    {REFUSED(STRING, "chat_template_kwargs", NULL), .only = SAMPLERS,
     .reason = "templates get no variables beside the checkpoint's; --chat_template takes another one"},
    {REFUSED(STRING, "stop_token", "eos"), .only = "ppo", .reason = "a completion ends at an EOS token"},
    {REFUSED(STRING, "stop_token_id", NULL), .only = "ppo", .reason = "a completion ends at an EOS token"},
    {REFUSED(FLAG, "load_in_4bit", "false"), .reason = QUANTISE},
    {REFUSED(FLAG, "load_in_8bit", "false"), .reason = QUANTISE},
    {REFUSED(STRING, "deepspeed", NULL), .reason = SHARDED},
    {REFUSED(STRING, "fsdp", "false"), .reason = SHARDED},
    {REFUSED(STRING, "fsdp_config", NULL), .reason = SHARDED},
    {REFUSED(STRING, "parallelism_config", NULL), .reason = SHARDED},
    {REFUSED(STRING, "accelerator_config", NULL), .reason = SHARDED},
    {REFUSED(FLAG, "auto_find_batch_size", "false"),
     .reason = "it would change the batch when memory runs out; the memory plan says before the start what fits"},

    {REFUSED(STRING, "model_revision", "main"), .reason = "MODEL is a local folder, which has no revisions"},
    {REFUSED(STRING, "model_init_kwargs", NULL), .reason = MODEL_ARGS},
    {REFUSED(STRING, "router_aux_loss_coef", NULL), .reason = "mixtures of experts are not supported"},
    {REFUSED(FLAG, "disable_dropout", "true"), .only = "dpo|reward|kto", .reason = "models run without dropout"},
    {REFUSED(STRING, "neftune_noise_alpha", "0"), .reason = "noise on the embeddings is not supported"},

    {REFUSED(STRING, "dataset_config", NULL), .reason = ONE_FILE},
    {REFUSED(STRING, "dataset_train_split", "train"), .reason = ONE_FILE},
    {REFUSED(STRING, "datasets", NULL), .reason = "DATA is one local file; join the files before"},
    {REFUSED(STRING, "test_split_size", NULL), .reason = "all rows are trained on; --limit and --range choose others"},
    {REFUSED(STRING, "truncation_mode", "keep_start"), .reason = "sequences are cut at their end"},
    {REFUSED(STRING, "dataset_kwargs", NULL), .only = "sft", .reason = "rows are always prepared"},
    {REFUSED(FLAG, "shuffle_dataset", "false"), .only = "sft",
     .reason = "train_sampling_strategy random shuffles in each epoch; this would do it once more before"},
    {REFUSED(STRING, "packing_strategy", "bfd"), .only = "sft",
     .reason = "packing never splits a row over two sequences"},
    {REFUSED(STRING, "eos_token", NULL), .only = "sft|reward", .reason = "the EOS token is the checkpoint's"},
    {REFUSED(FLAG, "packing", "false"), .only = "dpo",
     .reason = "pairs are put together without padding in any case, and never cut; there is nothing to choose"},
    {REFUSED(LIST, "tools", NULL), .reason = "conversations with tools are not supported"},

    {REFUSED(STRING, "lr_scheduler_kwargs", NULL), .reason = "the schedules that plumb has take no arguments"},
    {REFUSED(LIST, "optim_target_modules", NULL), .reason = "it belongs to optimisers that plumb does not have"},
    {REFUSED(STRING, "label_smoothing_factor", "0"), .only = "sft", .reason = "SFT is on the labels as they are"},
    {REFUSED(STRING, "loss_type", "nll|chunked_nll"), .only = "sft",
     .reason = "plumb sft minimises the negative log-likelihood; preference losses are plumb dpo's"},
    {REFUSED(STRING, "logging_strategy", "steps"), .reason = "metrics are written every logging_steps"},
    {REFUSED(FLAG, "load_best_model_at_end", "false"),
     .reason = "nothing is evaluated during a run, so that no model is known to be the best"},
    {REFUSED(FLAG, "ignore_data_skip", "false"), .reason = "a resumed run goes on where it was in the data"},

    {REFUSED(FLAG, "use_dora", "false"), .reason = DORA},
    {REFUSED(LIST, "lora_target_parameters", NULL), .reason = DORA},
    {REFUSED(LIST, "lora_modules_to_save", NULL), .only = "dpo|sft|kto|" SAMPLERS, .reason = DORA},
    {REFUSED(LIST, "lora_modules_to_save", "score"), .only = "reward", .reason = HEAD},
    {REFUSED(STRING, "lora_task_type", "CAUSAL_LM"), .only = "dpo|sft|kto|" SAMPLERS,
     .reason = "models are causal language models"},
    {REFUSED(STRING, "lora_task_type", "SEQ_CLS|CAUSAL_LM"), .only = "reward", .reason = HEAD},

    /* names that TRL and transformers gave up */
    {REFUSED(STRING, "max_prompt_length", NULL), .only = "dpo",
     .reason = GONE "; max_length cuts prompt and response together, at the end"},
    {REFUSED(STRING, "max_completion_length", NULL), .only = "dpo", .reason = GONE "; max_length cuts, at the end"},
    {REFUSED(STRING, "max_target_length", NULL), .only = "dpo", .reason = GONE "; max_length cuts, at the end"},
    {REFUSED(STRING, "max_seq_length", NULL), .only = "sft", .reason = GONE "; the name is max_length"},
    {REFUSED(STRING, "torch_dtype", "float32"), .reason = GONE "; the name is dtype"},
    {REFUSED(STRING, "rpo_alpha", NULL), .only = "dpo",
     .reason = GONE "; loss_type sigmoid sft with loss_weights 1 and that number, or sft_coeff"},
    {REFUSED(FLAG, "reference_free", "false"), .only = "dpo", .reason = GONE "; simpo and cpo need no reference"},
    {REFUSED(FLAG, "generate_during_eval", "false"), .only = "dpo", .reason = GONE "; nothing is evaluated"},
    {REFUSED(FLAG, "overwrite_output_dir", "false"),
     .reason = GONE "; a run is never written over: remove its folder, or give another one"},
    {REFUSED(FLAG, "group_by_length", "false"), .reason = GONE "; it would change the order of rows"},
    {0},
};
/* clang-format on */
