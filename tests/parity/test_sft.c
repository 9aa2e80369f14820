/* SFT against TRL's SFTTrainer (make/sft_forms.py): the tokens it trains on for every form of data, its packing, and
 * the metrics of eight steps. */
#include "support.h"

#include <math.h>

#include "train/completions.h"
#include "train/order.h"
#include "train/packing.h"
#include "train/schedule.h"
#include "train/trainer.h"

static const char *word(const json_t *config, const char *key)
{
    return json_string_value(json_object_get(config, key));
}

static double option(const json_t *config, const char *key, double otherwise)
{
    const json_t *value = json_object_get(config, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static bool flag(const json_t *config, const char *key)
{
    return json_is_true(json_object_get(config, key));
}

/* The examples of a case or a run: its model's tokenizer, its template, its data, its options. */
static plumb_examples read_examples(const json_t *config, const char *model)
{
    char path[600], chat[600];
    plumb_encoder *e;
    plumb_examples all = {0};
    const char *template = word(config, "template");
    snprintf(path, sizeof path, "%s/sft/%s.jsonl", PLUMB_TEST_DATA, word(config, "data"));
    snprintf(chat, sizeof chat, "%s/sft/%s.generation.jinja", PLUMB_TEST_DATA, template ? template : "");
    check_ok(plumb_encoder_open(oracle_path("models", model), template ? chat : NULL, -1, &e));
    const json_t *only = json_object_get(config, "completion_only_loss");
    plumb_completion_source source = {.path = path,
                                      .end = -1,
                                      .how = {.encoder = e,
                                              .text = "text",
                                              .completion = "completion",
                                              .messages = "messages",
                                              .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                              .max_length = (int)option(config, "max_length", 128),
                                              .vocab_size = plumb_tokenizer_size(e->tokenizer),
                                              .loss = json_is_false(only) ? PLUMB_LOSS_ALL : PLUMB_LOSS_BY_FORM,
                                              .assistant_only_loss = flag(config, "assistant_only_loss"),
                                              .packing = flag(config, "packing")}};
    check_ok(plumb_completions_read(&source, &all));
    plumb_encoder_close(e);
    return all;
}

/* ---- tokens ---- */

static void same_sequence(const char *name, const plumb_example *x, const json_t *ids, const char *trained,
                          size_t first)
{
    for (size_t i = 0; i < (size_t)x->totals[0]; i++) {
        if (x->ids[0][i] != json_integer_value(json_array_get(ids, first + i)))
            fail_msg("%s: row %lld: token %zu is %d", name, (long long)x->index, i, x->ids[0][i]);
        bool counts = (int)i >= x->prompt && (!x->trained || x->trained[i]);
        if (i && counts != (trained[first + i] == '1'))
            fail_msg("%s: row %lld: the loss %s token %zu", name, (long long)x->index,
                     counts ? "counts" : "does not count", i);
    }
}

static void check_case(const json_t *row)
{
    const char *name = word(row, "case");
    const json_t *rows = json_object_get(row, "rows");
    plumb_examples e = read_examples(row, word(row, "model"));
    if (plumb_examples_rows(&e) != json_array_size(rows))
        fail_msg("%s: %zu rows, TRL has %zu", name, plumb_examples_rows(&e), json_array_size(rows));
    for (size_t b = 0; b < json_array_size(rows); b++) {
        const json_t *want = json_array_get(rows, b), *ids = json_object_get(want, "ids");
        size_t first = e.block ? e.block[b] : b, end = e.block ? e.block[b + 1] : b + 1, at = 0;
        for (size_t i = first; i < end; i++) {
            same_sequence(name, &e.list[i], ids, word(want, "trained"), at);
            at += (size_t)e.list[i].totals[0];
            if (e.block)
                assert_int_equal(e.list[i].totals[0],
                                 json_integer_value(json_array_get(json_object_get(want, "lengths"), i - first)));
        }
        if (at != json_array_size(ids))
            fail_msg("%s: row %zu has %zu tokens, not %zu", name, b, at, json_array_size(ids));
    }
    plumb_examples_free(&e);
}

static void tokens_are_trls(void **state)
{
    (void)state;
    json_t *cases = load_jsonl(PLUMB_TEST_DATA "/expected/sft", "tokens.jsonl");
    assert_true(json_array_size(cases) > 15);
    for (size_t i = 0; i < json_array_size(cases); i++) check_case(json_array_get(cases, i));
    json_decref(cases);
}

/* 2300 rows of the formula in make/sft_forms.py; the empty ones count where TRL cuts the data set into thousands. */
static void blocks_are_trls(void **state)
{
    (void)state;
    char path[600];
    plumb_examples e = {0};
    snprintf(path, sizeof path, "%s/sft_blocks.jsonl", PLUMB_TEST_SCRATCH);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 2300; i++) {
        int n = (i * i * 7 + i * 13) % 61;
        fputs("{\"input_ids\":[", f);
        for (int k = 0; k < n; k++) fprintf(f, k ? ",%d" : "%d", i);
        fputs("]}\n", f);
    }
    assert_int_equal(fclose(f), 0);
    plumb_completion_source source = {
        .path = path,
        .end = -1,
        .how = {.max_length = 64, .packing = true, .text = "text", .completion = "completion"}};
    check_ok(plumb_completions_read(&source, &e));
    json_t *want = json_load_file(PLUMB_TEST_DATA "/expected/sft/blocks.json", 0, NULL);
    assert_int_equal(e.blocks, json_array_size(want));
    for (size_t b = 0; b < e.blocks; b++) {
        const json_t *members = json_array_get(want, b);
        assert_int_equal(e.block[b + 1] - e.block[b], json_array_size(members));
        for (size_t i = 0; i < json_array_size(members); i++)
            assert_int_equal(e.list[e.block[b] + i].index, json_integer_value(json_array_get(members, i)));
    }
    remove(path);
    json_decref(want);
    plumb_examples_free(&e);
}

/* ---- runs ---- */

static void close_to(const char *run, int64_t step, const char *key, double got, const json_t *row)
{
    double want = json_number_value(json_object_get(row, key)), allowed = 2e-3 * fabs(want) + 1e-4;
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s step %lld: %s is %.9g, TRL has %.9g (allowed difference %.3g)", run, (long long)step, key, got,
                 want, allowed);
}

/* Micro-batch k of a step: the examples of its rows. */
static size_t take_batch(plumb_order *order, int64_t step, int64_t k, const plumb_examples *e,
                         const plumb_example **batch)
{
    int64_t count;
    size_t n = 0;
    const int64_t *rows = plumb_order_batch(order, step, k, &count);
    for (int64_t i = 0; i < count; i++) {
        size_t first = e->block ? e->block[rows[i]] : (size_t)rows[i],
               end = e->block ? e->block[rows[i] + 1] : first + 1;
        while (first < end) batch[n++] = &e->list[first++];
    }
    return n;
}

static void train(const char *run, plumb_trainer *t, plumb_order *order, double rate, const plumb_examples *e,
                  const json_t *metrics)
{
    const plumb_example *batch[64];
    for (int64_t step = 0; step < plumb_order_steps(order); step++) {
        plumb_step_metrics m;
        const json_t *want = json_array_get(metrics, (size_t)step);
        int64_t tokens = 0, batches = plumb_order_batches(order, step);
        for (int64_t k = 0; k < batches; k++)
            for (size_t i = take_batch(order, step, k, e, batch); i-- > 0;) tokens += plumb_example_targets(batch[i]);
        for (int64_t k = 0; k < batches; k++) {
            size_t n = take_batch(order, step, k, e, batch);
            check_ok(plumb_trainer_accumulate(t, batch, n, batches, tokens));
        }
        check_ok(plumb_trainer_update(t, step + 1, rate, &m));
        close_to(run, step + 1, "loss", m.loss, want);
        close_to(run, step + 1, "grad_norm", m.grad_norm, want);
        close_to(run, step + 1, "entropy", m.entropy, want);
        close_to(run, step + 1, "mean_token_accuracy", m.mean_token_accuracy, want);
    }
}

static void check_run(const char *run, const char *isa)
{
    char folder[600], path[700];
    snprintf(folder, sizeof folder, "%s/expected/train/%s", PLUMB_TEST_DATA, run);
    snprintf(path, sizeof path, "%s/config.json", folder);
    plumb_compute *c = open_isa(isa, 1);
    if (!c) return;
    json_t *config = json_load_file(path, 0, NULL), *metrics = load_jsonl(folder, "metrics.jsonl");
    assert_non_null(config);
    plumb_model *base;
    plumb_trainer *t;
    plumb_order *order;
    plumb_optimizer adamw;
    plumb_examples e = read_examples(config, word(config, "policy"));
    check_ok(plumb_model_open(oracle_path("models", word(config, "policy")), c, &base));
    check_ok(plumb_order_open(
        &(plumb_order_options){.rows = (int64_t)plumb_examples_rows(&e),
                               .batch = (int64_t)option(config, "per_device_train_batch_size", 4),
                               .accumulation = (int64_t)option(config, "gradient_accumulation_steps", 1),
                               .epochs = 1,
                               .max_steps = (int64_t)option(config, "max_steps", 8),
                               .sequential = true},
        &order));
    check_ok(plumb_optimizer_make("adamw_torch", NULL, &adamw));
    check_ok(plumb_trainer_new(
        base, &(plumb_trainer_options){.optimizer = adamw, .max_grad_norm = 1, .keep_activations = true}, &t));
    assert_int_equal(json_array_size(metrics), plumb_order_steps(order));
    train(run, t, order, option(config, "learning_rate", 0), &e, metrics);
    plumb_trainer_free(t);
    plumb_order_close(order);
    plumb_model_close(base);
    plumb_examples_free(&e);
    plumb_compute_close(c);
    json_decref(config);
    json_decref(metrics);
}

static void runs_match_trl(void **state)
{
    static const char *const runs[] = {"sft-text", "sft-assistant", "sft-packing"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) check_run(runs[i], *state);
}

/* ---- a batch without a target ---- */

static void nothing_to_learn_changes_nothing(void **state)
{
    (void)state;
    plumb_compute *c = open_isa("ref", 1);
    plumb_model *base;
    plumb_trainer *t;
    plumb_optimizer adamw;
    plumb_examples e = {0};
    plumb_step_metrics m;
    int32_t one[] = {1, 2, 3};
    uint8_t none[] = {1, 0, 0};
    plumb_ids ids = {.data = one, .count = 3, .capacity = 3};
    check_ok(plumb_model_open(oracle_path("models", "olmo"), c, &base));
    check_ok(plumb_optimizer_make("adamw_torch", NULL, &adamw));
    check_ok(plumb_trainer_new(base, &(plumb_trainer_options){.optimizer = adamw, .max_grad_norm = 1}, &t));
    check_ok(plumb_examples_add_sequence(&e, 0, 0, &ids, none));
    assert_int_equal(plumb_example_targets(e.list), 0);
    const plumb_example *batch[] = {e.list};
    const plumb_master *first = plumb_trainer_masters(t)->list;
    float before = first->value[0];
    check_ok(plumb_trainer_accumulate(t, batch, 1, 1, 0));
    check_ok(plumb_trainer_update(t, 1, 1e-3, &m));
    assert_true(m.loss == 0 && m.grad_norm == 0 && m.entropy == 0 && m.tokens == 0 && m.pairs == 1);
    assert_true(first->value[0] == before);
    plumb_trainer_free(t);
    plumb_model_close(base);
    plumb_examples_free(&e);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_trls),
        cmocka_unit_test(blocks_are_trls),
        {"runs ref", runs_match_trl, NULL, NULL, (void *)"ref"},
        {"runs avx2", runs_match_trl, NULL, NULL, (void *)"avx2"},
        {"runs avx512", runs_match_trl, NULL, NULL, (void *)"avx512"},
        cmocka_unit_test(nothing_to_learn_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
