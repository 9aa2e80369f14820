/* Training runs against TRL's own trainers (make/training.py): metrics of eight steps and the log-probs of every pair
 * after. */
#include "run_support.h"

#include <math.h>

#include "train/order.h"
#include "train/reference.h"
#include "train/schedule.h"
#include "train/trainer.h"

enum { PAIRS = 16 };

static double option(const json_t *config, const char *key, double otherwise)
{
    const json_t *value = json_object_get(config, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static const char *word(const json_t *config, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(config, key));
    return value ? value : otherwise;
}

static plumb_objective read_objective(const json_t *config)
{
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    const char *types[4];
    double weights[4];
    plumb_loss_setting settings[2];
    const json_t *list = json_object_get(config, "loss_type"), *w = json_object_get(config, "loss_weights");
    for (size_t i = 0; i < json_array_size(list); i++) types[i] = json_string_value(json_array_get(list, i));
    for (size_t i = 0; i < json_array_size(w); i++) weights[i] = json_number_value(json_array_get(w, i));
    how.loss_type = types;
    how.loss_types = json_array_size(list);
    how.loss_weights = weights;
    how.loss_weight_count = json_array_size(w);
    double smoothing = option(config, "label_smoothing", 0);
    if (smoothing > 0) settings[how.setting_count++] = (plumb_loss_setting){"label_smoothing", smoothing};
    how.settings = settings;
    how.ld_alpha = option(config, "ld_alpha", NAN);
    how.use_weighting = json_is_true(json_object_get(config, "use_weighting"));
    for (int k = 0; k < PLUMB_DIVERGENCES; k++)
        if (strcmp(word(config, "f_divergence_type", "reverse_kl"), plumb_divergence_name((plumb_divergence)k)) == 0)
            how.f_divergence_type = (plumb_divergence)k;
    plumb_objective out;
    check_ok(plumb_objective_make(&how, &out));
    return out;
}

static plumb_examples read_pairs(const char *folder, int max_length, int sides)
{
    plumb_encoder *e;
    plumb_pair_reader *r;
    plumb_examples all = {0};
    check_ok(plumb_encoder_open(folder, NULL, -1, &e));
    plumb_pair_source source = {.path = e->chat ? PLUMB_TEST_DATA "/pairs/pairs.chat.jsonl"
                                                : PLUMB_TEST_DATA "/pairs/pairs.jsonl",
                                .end = PAIRS,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {e, PLUMB_COMPAT_TRL, max_length}};
    check_ok(plumb_pair_reader_open(&source, &r));
    check_ok(plumb_examples_read(r, &all));
    for (size_t i = 0; i < all.count; i++) all.list[i].sides = sides;
    plumb_pair_reader_close(r);
    plumb_encoder_close(e);
    return all;
}

static void close_to(const char *run, int64_t step, const char *key, double got, const json_t *row)
{
    const json_t *value = json_object_get(row, key);
    if (!value) fail_msg("%s: the reference has no %s", run, key);
    double want = json_number_value(value), allowed = 2e-3 * fabs(want) + (strncmp(key, "rewards", 7) ? 1e-4 : 1e-3);
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s step %lld: %s is %.9g, TRL has %.9g (allowed difference %.3g)", run, (long long)step, key, got,
                 want, allowed);
}

static void check_metrics(const char *run, int64_t step, const plumb_step_metrics *m, const json_t *row, bool pairs)
{
    close_to(run, step, "loss", m->loss, row);
    close_to(run, step, "grad_norm", m->grad_norm, row);
    close_to(run, step, "learning_rate", m->learning_rate, row);
    close_to(run, step, "entropy", m->entropy, row);
    close_to(run, step, "mean_token_accuracy", m->mean_token_accuracy, row);
    if (!pairs) return;
    close_to(run, step, "logits/chosen", m->logits[0], row);
    close_to(run, step, "logits/rejected", m->logits[1], row);
    close_to(run, step, "rewards/chosen", m->batch.rewards[0], row);
    close_to(run, step, "rewards/rejected", m->batch.rewards[1], row);
    close_to(run, step, "rewards/accuracies", m->batch.accuracy, row);
    close_to(run, step, "rewards/margins", m->batch.margin, row);
    close_to(run, step, "logps/chosen", m->batch.logps[0], row);
    close_to(run, step, "logps/rejected", m->batch.logps[1], row);
}

typedef struct after {
    const char *run;
    const json_t *rows;
} after;

static plumb_status check_after(void *user, size_t i, const plumb_score *score)
{
    const after *a = user;
    close_to(a->run, (int64_t)i, "logps/chosen", score->logps[0], json_array_get(a->rows, i));
    close_to(a->run, (int64_t)i, "logps/rejected", score->logps[1], json_array_get(a->rows, i));
    return PLUMB_OK;
}

static plumb_optimizer read_optimizer(const json_t *config)
{
    plumb_optimizer o;
    check_ok(plumb_optimizer_make(word(config, "optim", "adamw_torch"), NULL, &o));
    return o;
}

static int64_t step_tokens(plumb_order *order, int64_t step, const plumb_examples *e)
{
    int64_t sum = 0, count;
    for (int64_t k = 0; k < plumb_order_batches(order, step); k++) {
        const int64_t *rows = plumb_order_batch(order, step, k, &count);
        for (int64_t i = 0; i < count; i++) sum += e->list[rows[i]].totals[0] - e->list[rows[i]].prompt;
    }
    return sum;
}

static void train(const char *run, plumb_trainer *t, plumb_order *order, const plumb_schedule *schedule,
                  const plumb_examples *e, const json_t *metrics, bool pairs)
{
    for (int64_t step = 0; step < plumb_order_steps(order); step++) {
        plumb_step_metrics m;
        int64_t tokens = step_tokens(order, step, e), batches = plumb_order_batches(order, step);
        for (int64_t k = 0; k < batches; k++) {
            const plumb_example *batch[PAIRS];
            int64_t count;
            const int64_t *rows = plumb_order_batch(order, step, k, &count);
            for (int64_t i = 0; i < count; i++) batch[i] = &e->list[rows[i]];
            check_ok(plumb_trainer_accumulate(t, batch, (size_t)count, batches, tokens));
        }
        check_ok(plumb_trainer_update(t, step + 1, plumb_schedule_rate(schedule, step), &m));
        check_metrics(run, step + 1, &m, json_array_get(metrics, (size_t)step), pairs);
    }
}

static void check_run(const char *run, const char *isa)
{
    char folder[600], path[700];
    snprintf(folder, sizeof folder, "%s/expected/train/%s", PLUMB_TEST_DATA, run);
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_t *config = json_load_file(path, 0, NULL), *metrics = load_jsonl(folder, "metrics.jsonl"),
           *rows = load_jsonl(folder, "after.jsonl");
    assert_non_null(config);
    bool pairs = strcmp(word(config, "trainer", ""), "DPOTrainer") == 0;
    const char *reference = word(config, "reference", ""), *policy = word(config, "policy", "");
    bool shared = strstr(reference, "aidreams") != NULL;
    char names[2][600];
    const char *root = shared ? PLUMB_SHARED_DATA "/oracle" : PLUMB_TEST_DATA;
    snprintf(names[0], sizeof names[0], "%s/models/%s", root, reference);
    snprintf(names[1], sizeof names[1], "%s/models/%s", root, policy);
    FILE *there = fopen(names[1], "r");
    if (!there) {
        print_message("left out: %s (the shared reference files are not here)\n", run);
        return;
    }
    fclose(there);
    plumb_compute *c = open_isa(isa, 1);
    if (!c) return;
    plumb_model *base, *ref;
    plumb_trainer *t;
    plumb_order *order;
    plumb_schedule schedule;
    plumb_examples e = read_pairs(names[0], (int)option(config, "max_length", 128), pairs ? 2 : 1);
    plumb_objective objective = read_objective(config);
    check_ok(plumb_model_open(names[0], c, &ref));
    check_ok(plumb_model_open(names[1], c, &base));
    if (pairs) check_ok(plumb_examples_set_reference(ref, &e, NULL));
    check_ok(plumb_order_open(
        &(plumb_order_options){.rows = (int64_t)e.count,
                               .batch = (int64_t)option(config, "per_device_train_batch_size", 4),
                               .accumulation = (int64_t)option(config, "gradient_accumulation_steps", 1),
                               .epochs = 1,
                               .max_steps = (int64_t)option(config, "max_steps", 8),
                               .sequential = true},
        &order));
    check_ok(plumb_schedule_make(word(config, "lr_scheduler_type", "linear"), option(config, "learning_rate", 1e-6),
                                 option(config, "warmup_steps", 0), 0, plumb_order_steps(order), &schedule));
    plumb_trainer_options how = {.objective = pairs ? &objective : NULL,
                                 .optimizer = read_optimizer(config),
                                 .weight_decay = option(config, "weight_decay", 0),
                                 .max_grad_norm = option(config, "max_grad_norm", 1),
                                 .keep_activations = true};
    check_ok(plumb_trainer_new(base, &how, &t));
    train(run, t, order, &schedule, &e, metrics, pairs);
    plumb_examples whole = read_pairs(names[0], shared ? 128 : 512, 2); /* the reference scored the pairs uncut */
    after a = {run, rows};
    assert_int_equal(whole.count, PAIRS);
    check_ok(plumb_examples_score(plumb_trainer_policy(t), &whole,
                                  &(plumb_examples_visit){.score = check_after, .user = &a}, NULL));
    plumb_examples_free(&whole);
    plumb_trainer_free(t);
    plumb_order_close(order);
    plumb_model_close(base);
    plumb_model_close(ref);
    plumb_examples_free(&e);
    plumb_compute_close(c);
    json_decref(config);
    json_decref(metrics);
    json_decref(rows);
}

static const char *const runs[] = {"dpo-accumulate-cosine",
                                   "dpo-aot",
                                   "dpo-aot-unpaired",
                                   "dpo-apo-down",
                                   "dpo-apo-zero",
                                   "dpo-bco-pair",
                                   "dpo-discopop",
                                   "dpo-exo-pair",
                                   "dpo-f-alpha",
                                   "dpo-f-forward",
                                   "dpo-f-js",
                                   "dpo-gemma2",
                                   "dpo-hinge",
                                   "dpo-ipo",
                                   "dpo-ld",
                                   "dpo-nca-pair",
                                   "dpo-olmo",
                                   "dpo-rmsprop",
                                   "dpo-robust",
                                   "dpo-rpo",
                                   "dpo-sft",
                                   "dpo-sigmoid",
                                   "dpo-sigmoid-norm",
                                   "dpo-sppo-hard",
                                   "dpo-truncated",
                                   "dpo-wpo",
                                   "sft-llama3-chat-sharded",
                                   "sft-olmo"};

static void runs_match_trl(void **state)
{
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) check_run(runs[i], *state);
}

/* ---- the same through plumb_run: its loop, order, folder and result ---- */

static const char *const columns[] = {
    "loss",           "entropy",          "mean_token_accuracy", "logits/chosen",   "logits/rejected",
    "rewards/chosen", "rewards/rejected", "rewards/accuracies",  "rewards/margins", "logps/chosen",
    "logps/rejected"};

/* The mean of TRL's rows from step `first` to `last`; of grad_norm and learning_rate the last, as transformers logs. */
static json_t *mean_row(const json_t *metrics, size_t first, size_t last)
{
    json_t *mean = json_object();
    const json_t *end = json_array_get(metrics, last - 1);
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        double sum = 0;
        for (size_t i = first; i <= last; i++) sum += real_of(json_array_get(metrics, i - 1), columns[c]);
        json_object_set_new(mean, columns[c], json_real(sum / (double)(last - first + 1)));
    }
    json_object_set(mean, "grad_norm", json_object_get(end, "grad_norm"));
    json_object_set(mean, "learning_rate", json_object_get(end, "learning_rate"));
    return mean;
}

/* A row of metrics.jsonl for each window of `window` steps, the last one perhaps shorter. */
static void check_lines(const char *run, const char *folder, const json_t *metrics, size_t window, double epoch_steps)
{
    json_t *got = load_jsonl(folder, "metrics.jsonl");
    size_t steps = json_array_size(metrics), lines = (steps + window - 1) / window;
    assert_int_equal(json_array_size(got), lines);
    for (size_t i = 0; i < lines; i++) {
        const json_t *row = json_array_get(got, i);
        size_t last = (i + 1) * window < steps ? (i + 1) * window : steps;
        json_t *want = mean_row(metrics, i * window + 1, last);
        assert_true(real_of(row, "step") == (double)last);
        assert_true(fabs(real_of(row, "epoch") - (double)last / epoch_steps) < 1e-8);
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            close_to(run, (int64_t)last, columns[c], real_of(row, columns[c]), want);
        close_to(run, (int64_t)last, "grad_norm", real_of(row, "grad_norm"), want);
        close_to(run, (int64_t)last, "learning_rate", real_of(row, "learning_rate"), want);
        json_decref(want);
    }
    json_decref(got);
}

/* The log-probs of every pair under the checkpoint that the run has left. */
static void check_result(const char *run, const char *folder, plumb_compute *c, const json_t *rows)
{
    plumb_model *result;
    plumb_examples whole = read_pairs(folder, 512, 2);
    after a = {run, rows};
    assert_int_equal(whole.count, PAIRS);
    check_ok(plumb_model_open(folder, c, &result));
    check_ok(plumb_examples_score(result, &whole, &(plumb_examples_visit){.score = check_after, .user = &a}, NULL));
    plumb_examples_free(&whole);
    plumb_model_close(result);
}

static plumb_run_options read_options(const json_t *config, const char *folder, const char *policy,
                                      const plumb_objective *objective)
{
    plumb_run_options o = run_defaults(folder, policy, objective);
    o.trainer.optimizer = read_optimizer(config);
    o.trainer.weight_decay = option(config, "weight_decay", 0);
    o.trainer.max_grad_norm = option(config, "max_grad_norm", 1);
    o.order = (plumb_order_options){.batch = (int64_t)option(config, "per_device_train_batch_size", 4),
                                    .accumulation = (int64_t)option(config, "gradient_accumulation_steps", 1),
                                    .max_steps = (int64_t)option(config, "max_steps", 8),
                                    .sequential = true};
    o.pace.lr_scheduler_type = word(config, "lr_scheduler_type", "linear");
    o.pace.learning_rate = option(config, "learning_rate", 1e-6);
    o.pace.warmup_steps = option(config, "warmup_steps", 0);
    o.pace.sync_ref_model = json_is_true(json_object_get(config, "sync_ref_model"));
    o.pace.ref_model_sync_steps = (int64_t)option(config, "ref_model_sync_steps", 512);
    o.pace.ref_model_mixup_alpha = option(config, "ref_model_mixup_alpha", 0.6);
    return o;
}

static void check_whole_run(const char *run, plumb_compute *c, size_t window)
{
    char expected[600], path[700];
    snprintf(expected, sizeof expected, "%s/expected/train/%s", PLUMB_TEST_DATA, run);
    snprintf(path, sizeof path, "%s/config.json", expected);
    json_t *config = json_load_file(path, 0, NULL), *metrics = load_jsonl(expected, "metrics.jsonl"),
           *rows = load_jsonl(expected, "after.jsonl");
    assert_non_null(config);
    const char *folder = new_folder("run"), *reference = oracle_path("models", word(config, "reference", "")),
               *policy = oracle_path("models", word(config, "policy", ""));
    plumb_model *start, *ref;
    plumb_run_report report;
    plumb_objective objective = read_objective(config);
    plumb_examples e = read_pairs(reference, (int)option(config, "max_length", 128), 2);
    check_ok(plumb_model_open(policy, c, &start));
    check_ok(plumb_model_open(reference, c, &ref));
    plumb_run_options o = read_options(config, folder, policy, &objective);
    o.pace.logging_steps = (int64_t)window;
    check_ok(plumb_run(&o, start, ref, &e, &report));
    assert_int_equal(report.steps, json_array_size(metrics));
    check_lines(run, folder, metrics, window, PAIRS / (double)(o.order.batch * o.order.accumulation));
    check_result(run, folder, c, rows);
    plumb_examples_free(&e);
    plumb_model_close(start);
    plumb_model_close(ref);
    json_decref(config);
    json_decref(metrics);
    json_decref(rows);
}

static void whole_runs_match_trl(void **state)
{
    plumb_compute *c = open_isa(*state, 1);
    if (!c) return;
    check_whole_run("dpo-trdpo", c, 1);
    check_whole_run("dpo-sigmoid", c, 3);
    check_whole_run("dpo-accumulate-cosine", c, 1);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"runs ref", runs_match_trl, NULL, NULL, (void *)"ref"},
        {"runs avx2", runs_match_trl, NULL, NULL, (void *)"avx2"},
        {"runs avx512", runs_match_trl, NULL, NULL, (void *)"avx512"},
        {"whole runs ref", whole_runs_match_trl, NULL, NULL, (void *)"ref"},
        {"whole runs avx2", whole_runs_match_trl, NULL, NULL, (void *)"avx2"},
        {"whole runs avx512", whole_runs_match_trl, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
