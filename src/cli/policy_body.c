#include "cli/policy_body.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/progress.h"
#include "cli/reward_source.h"
#include "io/output.h"
#include "model/backward.h"
#include "model/eos.h"
#include "model/reward_model.h"
#include "text/tokenizer.h"
#include "train/policy_run.h"

/* All that a command holds; freed in one place. */
typedef struct body {
    plumb_train_body train;
    const plumb_policy_values *v;
    plumb_policy_options o;
    plumb_prompts prompts;
    plumb_reward_sources *rewards;
    plumb_model *value;
    plumb_ids eos;
    int64_t prompts_each, steps, per_epoch;
} body;

static void free_body(body *b)
{
    plumb_reward_sources_close(b->rewards);
    plumb_model_close(b->value);
    plumb_prompts_free(&b->prompts);
    plumb_ids_free(&b->eos);
    plumb_train_close(&b->train);
}

/* ---- what goes in ---- */

static plumb_status read_prompts(body *b)
{
    const plumb_train_values *t = b->train.v;
    plumb_prompt_source source = {
        .path = t->data.items[0],
        .keys = {t->prompt_key, t->chosen_key, t->rejected_key, (plumb_implicit_prompt)t->implicit_prompt},
        .encoder = b->train.encoder,
        .as_message = b->v->as_message,
        .vocab_size = plumb_train_vocab_size(&b->train),
        .skip_bad_rows = t->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &b->train.cli->sink,
    };
    plumb_cli_rows(&t->common, &source.begin, &source.end);
    PLUMB_TRY(plumb_prompts_read(&source, b->train.model->config.max_positions, &b->prompts));
    if (b->prompts.full)
        plumb_note(source.sink, "%" PRId64 " prompt%s left out: they fill the model's %d positions", b->prompts.full,
                   b->prompts.full == 1 ? " is" : "s are", b->train.model->config.max_positions);
    if (b->prompts.longest + b->v->max_completion_length > b->train.model->config.max_positions)
        plumb_note(source.sink,
                   "the model has %d positions, of which the longest prompt takes %d: completions are cut there, also "
                   "before they have %" PRId64 " tokens",
                   b->train.model->config.max_positions, b->prompts.longest, b->v->max_completion_length);
    if (b->prompts.plain_text && b->train.encoder->chat)
        plumb_note(source.sink,
                   "%" PRId64 " prompt%s taken as plain text, though the model has a chat template; --as_message makes "
                   "user messages of string prompts",
                   b->prompts.plain_text, b->prompts.plain_text == 1 ? " was" : "s were");
    return PLUMB_OK;
}

static plumb_status open_rewards(body *b)
{
    plumb_reward_source_options how = {.rewards = &b->v->reward,
                                       .weights = &b->v->reward_weights,
                                       .rules = b->v->reward_rules,
                                       .label = (plumb_label)b->v->reward_label,
                                       .timeout = b->v->reward_timeout,
                                       .group = (int)b->o.group,
                                       .encoder = b->train.encoder,
                                       .compute = b->train.compute,
                                       .sink = &b->train.cli->sink};
    PLUMB_TRY(plumb_reward_sources_open(&how, &b->rewards));
    b->o.rewards = plumb_reward_functions(b->rewards, &b->o.reward_count);
    return PLUMB_OK;
}

static plumb_status refuse_adapter(const char *folder)
{
    bool adapter;
    PLUMB_TRY(plumb_is_adapter_folder(folder, &adapter));
    if (!adapter) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: an adapter cannot be the value model", folder),
                      "plumb merge BASE %s -o M, then --value M", folder);
}

/* The tokenizer is written beside the value model at the end and then names its pad token: it must be readable now. */
static plumb_status check_value_tokenizer(const plumb_model *value)
{
    plumb_tokenizer *tokenizer = NULL;
    bool there = false;
    if (value->config.pad_id >= 0) PLUMB_TRY(plumb_path_holds(value->folder, "tokenizer.json", &there));
    if (there) PLUMB_TRY(plumb_tokenizer_open(value->folder, &tokenizer));
    plumb_tokenizer_free(tokenizer);
    return PLUMB_OK;
}

/* The value model: --value, the first reward model, or the model itself, whose head is then a fresh one. */
static plumb_status open_value(body *b)
{
    const char *reward = plumb_reward_model_folder(b->rewards);
    const char *folder = b->v->value ? b->v->value : reward ? reward : b->o.model;
    bool fresh;
    if (b->o.method != PLUMB_PPO) return PLUMB_OK;
    PLUMB_TRY(plumb_context(refuse_adapter(folder), "value model"));
    PLUMB_TRY(plumb_context(
        plumb_model_open_score(folder, b->train.compute, (uint64_t)b->train.v->common.seed, &b->value, &fresh),
        "value model"));
    PLUMB_TRY(plumb_context(check_value_tokenizer(b->value), "value model"));
    if (b->value->config.vocab_size < b->train.model->config.vocab_size)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--value %s: has fewer tokens than the model", folder),
                          "it reads the model's own tokens: give a model of the same family");
    plumb_cli_say(b->train.cli, "value model: %s%s", folder, fresh ? ", with a fresh head" : "");
    return PLUMB_OK;
}

/* The pairs of the ledger, which are not trained on. */
static plumb_status read_pairs(body *b)
{
    if (!b->v->ledger_data) return PLUMB_OK;
    PLUMB_TRY(plumb_context(plumb_train_read_pairs(&b->train, b->v->ledger_data, 0, -1), "--ledger_data"));
    b->o.pairs = &b->train.examples;
    b->o.ledger_tokens = (int)b->train.v->ledger_tokens;
    return PLUMB_OK;
}

/* ---- options ---- */

static void fill_policy(body *b)
{
    const plumb_policy_values *v = b->v;
    const plumb_train_values *t = b->train.v;
    plumb_policy_options *o = &b->o;
    plumb_train_pace(t, &o->order, &o->pace);
    o->order.sequential = !v->shuffle_dataset;
    o->sampling = (plumb_sampling){.temperature = v->temperature,
                                   .top_p = v->top_p,
                                   .top_k = (int)v->top_k,
                                   .max_new_tokens = (int)v->max_completion_length,
                                   .seed = (uint64_t)t->common.seed,
                                   .eos = b->eos.data,
                                   .eos_count = (int)b->eos.count};
    o->log_completions = v->log_completions;
    o->group = o->method == PLUMB_PPO ? 1 : v->num_generations;
    o->steps_per_generation = v->steps_per_generation;
    o->num_iterations = v->num_iterations;
    o->clip = v->clip;
    o->normalize_advantages = v->normalize_advantages;
    o->clip_rewards = v->reward_clip_range.count == 2;
    if (o->clip_rewards) {
        o->reward_low = v->reward_clip_range.items[0];
        o->reward_high = v->reward_clip_range.items[1];
    }
    o->scale_rewards = (plumb_reward_scale)v->scale_rewards;
    o->mask_truncated_completions = v->mask_truncated_completions;
    o->nthr = v->nthr;
    o->ppo = v->ppo;
}

/* What the training commands share; the plan settles what are shares of the run. */
static plumb_status fill_shared(body *b)
{
    plumb_policy_options *o = &b->o;
    o->folder = b->train.options.folder;
    o->resume = b->train.options.resume;
    o->dtype = b->train.options.dtype;
    o->trainer = b->train.options.trainer;
    o->tokenizer = b->train.options.tokenizer;
    o->sink = b->train.options.sink;
    PLUMB_TRY(plumb_policy_plan(o, b->prompts.count, &b->prompts_each, &b->steps, &b->per_epoch));
    return plumb_train_settle_pace(b->train.v, b->steps, b->per_epoch, &o->pace);
}

/* ---- the plan ---- */

/* Of policy and value model; completions are drawn when no activations are held. */
static plumb_memory_plan memory(const body *b)
{
    const plumb_policy_options *o = &b->o;
    const plumb_config *c = &b->train.model->config;
    int64_t f = sizeof(float), states = (int64_t)plumb_optimizer_states(&o->trainer.optimizer);
    int64_t trained = b->train.adapter ? (int64_t)plumb_adapter_elements(b->train.adapter) : plumb_config_parameters(c);
    int64_t value = b->value ? plumb_config_parameters(&b->value->config) : 0;
    int64_t each = (int64_t)b->prompts.longest + o->sampling.max_new_tokens;
    int64_t most = (each < c->max_positions ? each : c->max_positions) * o->order.batch;
    int rows = (int)(most < INT32_MAX ? most : INT32_MAX);
    plumb_generator_options sampler = {.sampling = o->sampling};
    int64_t drawing = plumb_generator_bytes(c, &sampler, b->prompts.longest);
    plumb_memory_plan p = {.weights = f * (trained + value) * (2 + states),
                           .activations = plumb_training_bytes(c, rows, rows, true),
                           .recomputed = plumb_training_bytes(c, rows, rows, false),
                           .ledger = plumb_ledger_bytes(o->ledger_tokens, b->train.examples.count, c)};
    if (o->pace.sync_ref_model) p.weights += plumb_masters_bytes(c);
    if (drawing > p.activations) p.activations = drawing;
    if (drawing > p.recomputed) p.recomputed = drawing;
    return p;
}

static plumb_status say_plan(body *b)
{
    char parameters[64];
    const plumb_policy_options *o = &b->o;
    plumb_cli *cli = b->train.cli;
    plumb_memory_plan p = memory(b);
    plumb_format_count((double)plumb_config_parameters(&b->train.model->config), parameters, sizeof parameters);
    plumb_cli_tell(cli, "model: %s, %s, %s parameters", o->model, b->train.model->config.architecture->class_name,
                   parameters);
    plumb_cli_tell(cli, "prompts: %s, %zu, the longest of %d tokens", b->train.v->data.items[0], b->prompts.count,
                   b->prompts.longest);
    if (o->pairs)
        plumb_cli_tell(cli, "ledger: %s, %zu pairs, max_length %d, %" PRId64 " cut", b->v->ledger_data, o->pairs->count,
                       b->train.max_length, o->pairs->truncated);
    plumb_cli_say(cli,
                  "run: %" PRId64 " %s (%" PRId64 " an epoch), %" PRId64
                  " completion%s of at most %d tokens for each of "
                  "%" PRId64 " prompt%s at a time, into %s",
                  b->steps, o->method == PLUMB_PPO ? "updates" : "steps", b->per_epoch, o->group,
                  o->group == 1 ? "" : "s", o->sampling.max_new_tokens, b->prompts_each,
                  b->prompts_each == 1 ? "" : "s", o->folder ? o->folder : "nothing");
    return plumb_train_fit(&b->train, &p);
}

/* ---- the run ---- */

static plumb_status record(body *b)
{
    const char *reward = plumb_reward_model_folder(b->rewards);
    PLUMB_TRY(plumb_train_record(&b->train, (int64_t)b->prompts.count, b->prompts.hash));
    if (reward) PLUMB_TRY(plumb_train_record_model(&b->train, "reward", reward));
    if (b->value) PLUMB_TRY(plumb_train_record_model(&b->train, "value", b->value->folder));
    if (b->o.pairs) PLUMB_TRY(plumb_train_record_pairs(&b->train, b->v->ledger_data));
    return plumb_train_same_run(&b->train);
}

static void say_report(body *b, const plumb_policy_report *r)
{
    plumb_cli *cli = b->train.cli;
    plumb_cli_say(cli, "%" PRId64 " %s, %" PRId64 " completions of %" PRId64 " tokens together; the model is in %s",
                  r->steps, b->o.method == PLUMB_PPO ? "updates" : "steps", r->completions, r->generated, b->o.folder);
    plumb_cli_say(cli, "mean reward: %.5g -> %.5g, deviation %.5g -> %.5g", r->first.mean, r->last.mean, r->first.std,
                  r->last.std);
    plumb_train_say_pairs(&b->train, &r->ledger, r->evaluated);
    if (b->o.method == PLUMB_PPO || r->last.zero_share < 0.5) return;
    plumb_note(
        b->o.sink,
        "the rewards of %.0f%% of the prompts in the last generation are equal, and such prompts give no gradient "
        "(vanishing gradients, arXiv 2310.20703); a finer reward, more --num_generations or a higher "
        "--temperature give more",
        100 * r->last.zero_share);
}

static plumb_status go(body *b)
{
    plumb_policy_report report;
    PLUMB_TRY(say_plan(b));
    b->o.trainer.keep_activations = b->train.options.trainer.keep_activations;
    if (b->train.v->common.dry_run) {
        plumb_cli_say(b->train.cli, "dry run: nothing was written");
        return PLUMB_OK;
    }
    PLUMB_TRY(record(b));
    if (b->train.complete) {
        plumb_cli_say(b->train.cli, "the run in %s is complete; there is nothing to go on with", b->o.folder);
        return PLUMB_OK;
    }
    b->o.begun = plumb_train_record_begun;
    b->o.begun_user = &b->train;
    plumb_status s = plumb_policy_run(&b->o, b->train.model, b->train.reference, b->value, &b->prompts, &report);
    if (plumb_status_code(s) == PLUMB_E_INTERRUPTED) return plumb_cure(s, "go on with the same command and --resume");
    PLUMB_TRY(s);
    PLUMB_TRY(plumb_train_record_done(&b->train, report.steps));
    say_report(b, &report);
    return PLUMB_OK;
}

static plumb_status run_command(body *b, plumb_cli *cli, plumb_policy_values *v)
{
    bool reference = b->o.method == PLUMB_PPO || v->clip.beta != 0;
    PLUMB_TRY(plumb_train_open(&b->train, cli, &v->train));
    PLUMB_TRY(plumb_train_settings(&b->train));
    b->o.model = b->train.options.model;
    PLUMB_TRY(plumb_eos_ids(b->o.model, b->train.encoder, b->train.model->config.vocab_size, &b->eos));
    if (!b->eos.count)
        plumb_note(&cli->sink, "%s names no EOS token: completions are cut at their longest", b->o.model);
    fill_policy(b);
    if (reference) PLUMB_TRY(plumb_train_open_reference(&b->train));
    PLUMB_TRY(open_rewards(b));
    PLUMB_TRY(open_value(b));
    PLUMB_TRY(read_prompts(b));
    PLUMB_TRY(plumb_reward_sources_try(b->rewards, &b->prompts));
    PLUMB_TRY(read_pairs(b));
    PLUMB_TRY(fill_shared(b));
    return go(b);
}

plumb_status plumb_policy_command(plumb_cli *cli, plumb_policy_values *v, plumb_policy_method method)
{
    body b = {.train = {.cli = cli}, .v = v, .o = {.method = method}};
    PLUMB_TRY(plumb_policy_check(cli->options, v, method, &cli->sink));
    if (!v->reward.count)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--reward is missing"),
                          "give a reward model's folder, the word rules, or a command");
    plumb_status s = run_command(&b, cli, v);
    free_body(&b);
    return s;
}
