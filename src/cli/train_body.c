#include "cli/train_body.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/progress.h"
#include "cli/meta.h"
#include "cli/work_time.h"
#include "io/json.h"
#include "model/reward_model.h"
#include "text/tokenizer_same.h"

enum { LARGEST_RECORD = 64 << 20 };

static plumb_status open_adapter(plumb_train_body *b)
{
    const plumb_train_values *v = b->v;
    plumb_adapter_options how = {.r = (int)v->lora_r,
                                 .alpha = (double)v->lora_alpha,
                                 .dropout = v->lora_dropout,
                                 .targets = v->lora_target_modules.items,
                                 .target_count = v->lora_target_modules.count,
                                 .rslora = v->use_rslora,
                                 .seed = (uint64_t)v->common.seed};
    if (!v->use_peft && !v->adapter) return PLUMB_OK;
    if (!v->adapter) {
        PLUMB_TRY(plumb_adapter_new(b->model, &how, &b->adapter));
    } else {
        PLUMB_TRY(plumb_adapter_load(v->adapter, b->model, &b->adapter));
        PLUMB_TRY(plumb_model_attach(b->model, b->adapter));
    }
    b->options.trainer.adapter = b->adapter;
    return PLUMB_OK;
}

/* A chat template may tell the date: a run that goes on tells the one it began with. */
static plumb_status settle_time(plumb_train_body *b)
{
    const char *folder = b->v->common.output;
    plumb_text path = {0};
    json_t *old = NULL;
    bool there = false;
    plumb_status s = PLUMB_OK;
    if (b->v->common.resume && folder) s = plumb_path_holds(folder, "run.json", &there);
    if (there && !s) s = plumb_path_join(&path, folder, "run.json");
    if (there && !s) s = plumb_json_load(path.data, LARGEST_RECORD, &old);
    if (!s) s = plumb_json_int(old, "template_time", &b->encoder->now);
    json_decref(old);
    plumb_text_free(&path);
    return s;
}

static plumb_status open_body(plumb_train_body *b, plumb_cli *cli, plumb_train_values *v, bool score)
{
    const char *folder = v->model.items[0];
    *b = (plumb_train_body){.cli = cli, .v = v};
    PLUMB_TRY(plumb_cli_open_compute(&v->common, v->isa, 0, &b->compute));
    PLUMB_TRY(score ? plumb_model_open_score(folder, b->compute, (uint64_t)v->common.seed, &b->model, &b->fresh_head)
                    : plumb_model_open(folder, b->compute, &b->model));
    PLUMB_TRY(plumb_encoder_open(folder, v->chat_template, b->model->config.eos_id, &b->encoder));
    PLUMB_TRY(settle_time(b));
    b->max_length = plumb_cli_max_length(cli, v->max_length, b->model->config.max_positions, false);
    return open_adapter(b);
}

plumb_status plumb_train_open(plumb_train_body *b, plumb_cli *cli, plumb_train_values *v)
{
    return open_body(b, cli, v, false);
}

plumb_status plumb_train_open_score(plumb_train_body *b, plumb_cli *cli, plumb_train_values *v)
{
    return open_body(b, cli, v, true);
}

void plumb_train_close(plumb_train_body *b)
{
    if (b->reference != b->model) plumb_model_close(b->reference);
    plumb_encoder_close(b->encoder);
    plumb_model_close(b->model);
    plumb_adapter_free(b->adapter);
    plumb_examples_free(&b->examples);
    plumb_compute_close(b->compute);
    json_decref(b->record);
}

/* ---- the reference ---- */

static plumb_status same_tokenizer(const plumb_train_body *b, const char *folder)
{
    const char *part;
    PLUMB_TRY(plumb_tokenizer_compare(b->v->model.items[0], folder, &part));
    if (!part) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--reference %s: has another tokenizer than %s: the %s differ", folder,
                                 b->v->model.items[0], part),
                      "the reference must be a model of the same family: usually the one that training starts from");
}

static plumb_status say_reference(plumb_train_body *b, const char *folder)
{
    uint64_t hash;
    char adapter[64] = "";
    bool own = b->reference == b->model;
    PLUMB_TRY(plumb_model_hash(folder, b->v->hash == 1, &hash));
    if (own && b->model->adapter) /* a fresh adapter adds nothing and is not attached */
        snprintf(adapter, sizeof adapter, " adapter %016" PRIx64, plumb_adapter_hash(b->model->adapter));
    snprintf(b->reference_key, sizeof b->reference_key, "%016" PRIx64 "%s %s %s plumb-" PLUMB_VERSION, hash, adapter,
             plumb_compute_isa(b->compute), plumb_compute_arithmetic(b->compute));
    plumb_cli_tell(b->cli, "reference: %s (%016" PRIx64 "%s)%s", folder, hash, adapter,
                   own ? ", the model as it is at the start" : "");
    return PLUMB_OK;
}

/* Are these two names of one folder? */
static bool same_folder(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 || (stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

plumb_status plumb_train_open_reference(plumb_train_body *b)
{
    const plumb_train_values *v = b->v;
    b->reference = b->model;
    if (v->reference && (v->adapter || !same_folder(v->reference, v->model.items[0]))) {
        b->reference = NULL;
        PLUMB_TRY(plumb_model_open(v->reference, b->compute, &b->reference));
        PLUMB_TRY(same_tokenizer(b, v->reference));
    }
    return say_reference(b, v->reference ? v->reference : v->model.items[0]);
}

int plumb_train_vocab_size(const plumb_train_body *b)
{
    int own = b->model->config.vocab_size, other = b->reference ? b->reference->config.vocab_size : own;
    return own < other ? own : other;
}

/* ---- options ---- */

static plumb_dtype result_dtype(const plumb_train_body *b)
{
    switch ((plumb_save_dtype)b->v->dtype) {
    case PLUMB_SAVE_F16:
        return PLUMB_F16;
    case PLUMB_SAVE_BF16:
        return PLUMB_BF16;
    case PLUMB_SAVE_AS_MODEL:
        return b->model->config.dtype;
    default:
        return PLUMB_F32;
    }
}

/* The number of steps that the run will have, for options that are shares of it. */
static plumb_status count_steps(const plumb_train_body *b, int64_t *steps, int64_t *per_epoch)
{
    plumb_order *order;
    plumb_order_options how = b->options.order;
    how.rows = (int64_t)plumb_examples_rows(&b->examples);
    if (b->options.gate.kind == PLUMB_GATE_KEEP_LOWEST)
        how.rows = plumb_amount_count(&b->options.gate.keep, how.rows, true);
    if (!how.rows) return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--ches_gate leaves no pair"), "keep more");
    PLUMB_TRY(plumb_order_open(&how, &order));
    *steps = plumb_order_steps(order);
    *per_epoch = plumb_order_steps_per_epoch(order);
    plumb_order_close(order);
    return PLUMB_OK;
}

plumb_status plumb_train_settings(plumb_train_body *b)
{
    const plumb_train_values *v = b->v;
    plumb_run_options *o = &b->options;
    o->folder = v->common.output;
    o->model = v->model.items[0];
    o->resume = v->common.resume;
    o->dtype = result_dtype(b);
    o->tokenizer = b->encoder->tokenizer;
    o->sink = &b->cli->sink;
    o->trainer.weight_decay = v->weight_decay;
    o->trainer.max_grad_norm = v->max_grad_norm;
    return plumb_train_optimizer(v, &o->trainer.optimizer);
}

void plumb_train_pace(const plumb_train_values *v, plumb_order_options *order, plumb_run_pace *pace)
{
    *order = (plumb_order_options){.batch = v->per_device_train_batch_size,
                                   .accumulation = v->gradient_accumulation_steps,
                                   .epochs = v->num_train_epochs,
                                   .max_steps = v->max_steps,
                                   .seed = (uint64_t)v->data_seed,
                                   .sequential = v->train_sampling_strategy == 1,
                                   .drop_last = v->dataloader_drop_last};
    *pace = (plumb_run_pace){.lr_scheduler_type = v->lr_scheduler_type,
                             .learning_rate = v->learning_rate,
                             .warmup_steps = v->warmup_steps,
                             .warmup_ratio = v->warmup_ratio,
                             .save_total_limit = v->save_total_limit,
                             .ledger_steps = v->ledger_steps,
                             .sync_ref_model = v->sync_ref_model,
                             .ref_model_sync_steps = v->ref_model_sync_steps,
                             .ref_model_mixup_alpha = v->ref_model_mixup_alpha};
}

plumb_status plumb_train_settle_pace(const plumb_train_values *v, int64_t steps, int64_t per_epoch,
                                     plumb_run_pace *pace)
{
    plumb_schedule schedule;
    pace->logging_steps = plumb_train_every(v->logging_steps, steps);
    pace->save_steps = v->save_strategy == PLUMB_SAVE_STEPS   ? plumb_train_every(v->save_steps, steps)
                       : v->save_strategy == PLUMB_SAVE_EPOCH ? per_epoch
                                                              : 0;
    return plumb_schedule_make(pace->lr_scheduler_type, pace->learning_rate, pace->warmup_steps, pace->warmup_ratio,
                               steps, &schedule);
}

static plumb_status fill_options(plumb_train_body *b)
{
    plumb_run_options *o = &b->options;
    int64_t steps = 0, per_epoch = 0;
    PLUMB_TRY(plumb_train_settings(b));
    plumb_train_pace(b->v, &o->order, &o->pace);
    PLUMB_TRY(count_steps(b, &steps, &per_epoch));
    return plumb_train_settle_pace(b->v, steps, per_epoch, &o->pace);
}

/* ---- pairs ---- */

plumb_status plumb_train_read_pairs(plumb_train_body *b, const char *path, int64_t begin, int64_t end)
{
    const plumb_train_values *v = b->v;
    plumb_pair_reader *reader;
    const plumb_pair_source source = {
        .path = path,
        .begin = begin,
        .end = end,
        .keys = {v->prompt_key, v->chosen_key, v->rejected_key, (plumb_implicit_prompt)v->implicit_prompt},
        .pairing = {b->encoder, PLUMB_COMPAT_TRL, b->max_length, plumb_train_vocab_size(b)},
        .skip_bad_rows = v->common.on_error == PLUMB_ON_ERROR_SKIP,
        .sink = &b->cli->sink,
    };
    PLUMB_TRY(plumb_pair_reader_open(&source, &reader));
    plumb_status s = plumb_examples_read(reader, &b->examples);
    plumb_pair_reader_close(reader);
    return s;
}

/* ---- the plan ---- */

/* MemAvailable of the machine, or what the cgroup leaves, in bytes; -1 when unknown. */
static int64_t available_memory(void)
{
    int64_t available = -1, limit = -1, used = 0, kib;
    char line[256];
    FILE *f = fopen("/proc/meminfo", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %" SCNd64 " kB", &kib) == 1) available = kib * 1024;
    if (f) fclose(f);
    f = fopen("/sys/fs/cgroup/memory.max", "re");
    if (f && fscanf(f, "%" SCNd64, &limit) != 1) limit = -1;
    if (f) fclose(f);
    f = fopen("/sys/fs/cgroup/memory.current", "re");
    if (f && fscanf(f, "%" SCNd64, &used) != 1) used = 0;
    if (f) fclose(f);
    if (limit > 0 && (available < 0 || limit - used < available)) available = limit - used;
    return available;
}

static void bytes_text(int64_t bytes, char out[64])
{
    plumb_format_bytes((double)bytes, out, 64);
}

/* Keeps activations where they fit into nine tenths of what is free, else computes them again; refuses what fits
 * neither way. */
plumb_status plumb_train_fit(plumb_train_body *b, const plumb_memory_plan *plan)
{
    plumb_memory_plan p = *plan;
    int64_t available = available_memory(), room = available < 0 ? INT64_MAX : available / 10 * 9;
    char weights[64], kept[64], again[64], free_text[64];
    bytes_text(p.weights + p.ledger, weights);
    bytes_text(p.activations, kept);
    bytes_text(p.recomputed, again);
    bytes_text(available < 0 ? 0 : available, free_text);
    b->options.trainer.keep_activations = p.weights + p.ledger + p.activations <= room;
    plumb_cli_tell(
        b->cli, "memory: %s for weights, gradients and optimiser; activations %s%s; the mapped checkpoint; %s are free",
        weights, b->options.trainer.keep_activations ? kept : again,
        b->options.trainer.keep_activations ? "" : " (computed again in the backward pass)",
        available < 0 ? "an unknown number" : free_text);
    if (p.weights + p.ledger + p.recomputed <= room) return PLUMB_OK;
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "this run needs %s for weights and %s for activations, and %s are free", weights,
                   again, free_text),
        "a smaller --per_device_train_batch_size with more --gradient_accumulation_steps, a smaller --max_length, "
        "--optim sgd, or --use_peft true need less");
}

static plumb_status say_work(plumb_train_body *b)
{
    char time[64];
    double flops;
    int threads = plumb_compute_threads(b->compute);
    bool own = !b->reference || b->reference == b->model;
    PLUMB_TRY(plumb_run_flops(&b->options, &b->model->config, own, &b->examples, &flops));
    PLUMB_TRY(plumb_work_time(b->compute, flops, time, sizeof time));
    plumb_cli_tell(b->cli, "work: %.3g TFLOP, %d thread%s of %s: an estimate of the time is %s", flops / 1e12, threads,
                   threads == 1 ? "" : "s", plumb_compute_isa(b->compute), time);
    return PLUMB_OK;
}

/* How many rows are trained on, and why not the others: plumb reward, whose reason is another, has told it. */
static plumb_status say_data(const plumb_train_body *b)
{
    const plumb_examples *e = &b->examples;
    int64_t rows = (int64_t)e->count;
    plumb_text left_out = {0};
    plumb_status s = PLUMB_OK;
    for (int i = PLUMB_SKIP_NONE + 1; i < PLUMB_SKIPS && !s; i++) {
        rows += e->skipped[i];
        if (e->skipped[i] && b->model->config.head != PLUMB_HEAD_SCORE)
            s = plumb_text_printf(&left_out, ", %" PRId64 " skipped (%s)", e->skipped[i],
                                  plumb_skip_name((plumb_skip)i));
    }
    if (!s)
        plumb_cli_tell(b->cli, "data: %zu of %" PRId64 " rows, max_length %d, %" PRId64 " cut%s", e->count, rows,
                       b->max_length, e->truncated, left_out.data ? left_out.data : "");
    plumb_text_free(&left_out);
    return s;
}

static plumb_status say_plan(plumb_train_body *b)
{
    int64_t steps = 0, per_epoch = 0;
    char parameters[64];
    const plumb_architecture *a = b->model->config.architecture;
    PLUMB_TRY(count_steps(b, &steps, &per_epoch));
    plumb_format_count((double)plumb_config_parameters(&b->model->config), parameters, sizeof parameters);
    plumb_cli_tell(b->cli, "model: %s, %s, %s parameters", b->options.model,
                   b->model->config.head == PLUMB_HEAD_SCORE ? a->score_class_name : a->class_name, parameters);
    PLUMB_TRY(say_data(b));
    plumb_cli_tell(b->cli, "run: %" PRId64 " step%s (%" PRId64 " an epoch) of %" PRId64 " rows, into %s", steps,
                   steps == 1 ? "" : "s", per_epoch, b->options.order.batch * b->options.order.accumulation,
                   b->options.folder ? b->options.folder : "nothing");
    plumb_memory_plan p = plumb_run_memory(&b->options, &b->model->config, &b->examples);
    PLUMB_TRY(plumb_train_fit(b, &p));
    return b->v->common.dry_run ? say_work(b) : PLUMB_OK;
}

/* ---- run.json ---- */

static plumb_status put_checkpoint(json_t *record, const char *role, const char *path, bool full)
{
    uint64_t hash;
    PLUMB_TRY(plumb_model_hash(path, full, &hash));
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    json_t *one = json_object();
    plumb_status s = one ? plumb_meta_model(one, path, text) : plumb_no_memory();
    if (!s && json_object_set(record, role, json_object_get(one, "model"))) s = plumb_no_memory();
    json_decref(one);
    return s;
}

/* A model, or the adapter of one with its checkpoint: ROLE and ROLE_base. */
static plumb_status put_model(json_t *record, const char *role, const char *path, bool full)
{
    bool adapter, reward;
    char base_role[64];
    plumb_text base = {0};
    PLUMB_TRY(plumb_is_adapter_folder(path, &adapter));
    if (!adapter) return put_checkpoint(record, role, path, full);
    snprintf(base_role, sizeof base_role, "%s_base", role);
    plumb_status s = plumb_adapter_about(path, &reward, &base);
    if (!s) s = plumb_meta_weights(record, role, path);
    if (!s) s = put_checkpoint(record, base_role, base.data, full);
    plumb_text_free(&base);
    return s;
}

/* The adapter that training goes on from. */
static plumb_status put_adapter(plumb_train_body *b)
{
    char text[17];
    if (!b->v->adapter) return PLUMB_OK;
    snprintf(text, sizeof text, "%016" PRIx64, plumb_adapter_hash(b->adapter));
    return plumb_meta_file(b->record, "adapter", b->v->adapter, text);
}

static plumb_status record_path(const plumb_train_body *b, plumb_text *path)
{
    return plumb_path_join(path, b->options.folder, "run.json");
}

static plumb_status write_record(const plumb_train_body *b)
{
    plumb_text path = {0};
    char *text = json_dumps(b->record, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    plumb_status s = text ? record_path(b, &path) : plumb_no_memory();
    if (text && !s) s = plumb_write_file(path.data, text, strlen(text));
    free(text);
    plumb_text_free(&path);
    return s;
}

/* The record stands in the folder from the moment it exists. */
plumb_status plumb_train_record_begun(void *user)
{
    return write_record(user);
}

plumb_status plumb_train_record_done(plumb_train_body *b, int64_t steps)
{
    if (json_object_set_new(b->record, "completed", json_true()) ||
        json_object_set_new(b->record, "steps", json_integer(steps)))
        return plumb_no_memory();
    return write_record(b);
}

static plumb_status differs(const char *path, const char *what)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: the run was begun %s", path, what),
                      "go on with the same options, model and data, or begin a new run in another folder");
}

/* Do both records say the same hash of the model, the reference or the data? Folders may have moved meanwhile. */
static bool same_hash(const json_t *a, const json_t *b)
{
    const json_t *x = json_is_array(a) ? json_array_get(a, 0) : a, *y = json_is_array(b) ? json_array_get(b, 0) : b;
    return (!x && !y) || (x && y && json_equal(json_object_get(x, "hash"), json_object_get(y, "hash")));
}

static plumb_status compare_options(const json_t *now, const json_t *then, const char *path)
{
    const char *key;
    json_t *value;
    char what[128];
    json_object_foreach((json_t *)now, key, value)
    {
        if (json_equal(value, json_object_get(then, key))) continue;
        snprintf(what, sizeof what, "with another --%s", key);
        return differs(path, what);
    }
    return PLUMB_OK;
}

static plumb_status compare_with(const json_t *now, const json_t *old, const char *path)
{
    static const char *const programs[] = {"plumb", "command"};
    static const char *const inputs[][2] = {{"model", "from another model"},
                                            {"adapter", "from another adapter"},
                                            {"reference", "with another reference"},
                                            {"data", "on other data"},
                                            {"value", "with another value model"},
                                            {"reward", "with another reward model"},
                                            {"ledger_data", "with other --ledger_data"},
                                            {"reward_base", "with another base of the reward model"}};
    enum { INPUTS = sizeof inputs / sizeof *inputs };
    char what[128];
    for (int i = 0; i < 2; i++) {
        const json_t *a = json_object_get(now, programs[i]), *b = json_object_get(old, programs[i]);
        if (json_equal(a, b)) continue;
        snprintf(what, sizeof what, "with %s %s, and this is %s", programs[i],
                 json_is_string(b) ? json_string_value(b) : "?", json_string_value(a));
        return differs(path, what);
    }
    PLUMB_TRY(compare_options(json_object_get(now, "options"), json_object_get(old, "options"), path));
    for (int i = 0; i < INPUTS; i++)
        if (!same_hash(json_object_get(now, inputs[i][0]), json_object_get(old, inputs[i][0])))
            return differs(path, inputs[i][1]);
    return PLUMB_OK;
}

/* A run is gone on with only when all that decides its result is the same. */
plumb_status plumb_train_same_run(plumb_train_body *b)
{
    plumb_text path = {0};
    json_t *old = NULL;
    if (!b->options.resume) return PLUMB_OK;
    plumb_status s = record_path(b, &path);
    bool there = !s && plumb_path_exists(path.data);
    if (there) s = plumb_json_load(path.data, LARGEST_RECORD, &old);
    if (there && !s) s = compare_with(b->record, old, path.data);
    b->complete = there && !s && json_is_true(json_object_get(old, "completed"));
    json_decref(old);
    plumb_text_free(&path);
    return s;
}

plumb_status plumb_train_record_model(plumb_train_body *b, const char *role, const char *folder)
{
    return put_model(b->record, role, folder, b->v->hash == 1);
}

plumb_status plumb_train_record_pairs(plumb_train_body *b, const char *path)
{
    return plumb_meta_input(b->record, "ledger_data", path, (int64_t)b->examples.count, b->examples.hash);
}

plumb_status plumb_train_record(plumb_train_body *b, int64_t rows, uint64_t hash)
{
    PLUMB_TRY(plumb_meta_new(b->cli->usage, b->cli->options, &b->record));
    PLUMB_TRY(plumb_train_record_model(b, "model", b->options.model));
    PLUMB_TRY(put_adapter(b));
    if (b->reference && b->reference != b->model)
        PLUMB_TRY(plumb_train_record_model(b, "reference", b->reference->folder));
    PLUMB_TRY(plumb_meta_input(b->record, "data", b->v->data.items[0], rows, hash));
    if (json_object_set_new(b->record, "template_time", json_integer(b->encoder->now))) return plumb_no_memory();
    return plumb_cli_record_compute(b->record, b->compute);
}

/* ---- the report ---- */

void plumb_train_say_pairs(plumb_train_body *b, const plumb_ledger_summary *l, bool evaluated)
{
    if (!evaluated) return;
    plumb_cli_say(
        b->cli,
        "mean log-prob: chosen %.5g -> %.5g, rejected %.5g -> %.5g; %zu of %zu chosen responses are less likely "
        "than at the start",
        l->start_mean[0], l->mean[0], l->start_mean[1], l->mean[1], l->displaced, b->examples.count);
}

static void say_report(plumb_train_body *b, const plumb_run_report *r)
{
    plumb_cli_say(b->cli, "%" PRId64 " step%s, last loss %.6g; the model is in %s", r->steps, r->steps == 1 ? "" : "s",
                  r->last.loss, b->options.folder);
    plumb_train_say_pairs(b, &r->ledger, r->evaluated);
}

plumb_status plumb_train_go(plumb_train_body *b)
{
    plumb_run_report report;
    char key[sizeof b->reference_key + 16];
    bool gate = b->options.gate.kind != PLUMB_GATE_NONE;
    snprintf(key, sizeof key, "%s%s", b->reference_key, gate ? " ln_ches" : "");
    if (b->reference) b->options.reference_key = key;
    PLUMB_TRY(fill_options(b));
    PLUMB_TRY(say_plan(b));
    if (b->v->common.dry_run) {
        plumb_cli_say(b->cli, "dry run: nothing was written");
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_train_record(b, (int64_t)b->examples.count, b->examples.hash));
    PLUMB_TRY(plumb_train_same_run(b));
    if (b->complete) {
        plumb_cli_say(b->cli, "the run in %s is complete; there is nothing to go on with", b->options.folder);
        return PLUMB_OK;
    }
    b->options.begun = plumb_train_record_begun;
    b->options.begun_user = b;
    plumb_status s = plumb_run(&b->options, b->model, b->reference, &b->examples, &report);
    if (plumb_status_code(s) == PLUMB_E_INTERRUPTED) return plumb_cure(s, "go on with the same command and --resume");
    PLUMB_TRY(s);
    PLUMB_TRY(plumb_train_record_done(b, report.steps));
    say_report(b, &report);
    return PLUMB_OK;
}
