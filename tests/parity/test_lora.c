/* A LoRA run against TRL's DPOTrainer with PEFT (make/training.py): metrics of eight steps and the log-probs of every
 * pair after; the reference is the adapter before training. Its folder, and going on from a saved one. */
#include "support.h"

#include <math.h>
#include <sys/stat.h>

#include "train/reference.h"
#include "train/trainer.h"

enum { PAIRS = 16, BATCH = 4, STEPS = 8 };

static void close_to(int64_t step, const char *key, double got, const json_t *row)
{
    const json_t *value = json_object_get(row, key);
    if (!value) fail_msg("the reference has no %s", key);
    double want = json_number_value(value), allowed = 2e-3 * fabs(want) + (strncmp(key, "rewards", 7) ? 1e-4 : 1e-3);
    if (!(fabs(got - want) <= allowed))
        fail_msg("step %lld: %s is %.9g, TRL has %.9g (allowed difference %.3g)", (long long)step, key, got, want,
                 allowed);
}

static void check_step(int64_t step, const plumb_step_metrics *m, const json_t *row)
{
    close_to(step, "loss", m->loss, row);
    close_to(step, "grad_norm", m->grad_norm, row);
    close_to(step, "learning_rate", m->learning_rate, row);
    close_to(step, "entropy", m->entropy, row);
    close_to(step, "mean_token_accuracy", m->mean_token_accuracy, row);
    close_to(step, "logits/chosen", m->logits[0], row);
    close_to(step, "logits/rejected", m->logits[1], row);
    close_to(step, "rewards/chosen", m->batch.rewards[0], row);
    close_to(step, "rewards/rejected", m->batch.rewards[1], row);
    close_to(step, "rewards/accuracies", m->batch.accuracy, row);
    close_to(step, "rewards/margins", m->batch.margin, row);
    close_to(step, "logps/chosen", m->batch.logps[0], row);
    close_to(step, "logps/rejected", m->batch.logps[1], row);
}

static plumb_examples read_pairs(const char *folder, int max_length)
{
    plumb_encoder *e;
    plumb_pair_reader *r;
    plumb_examples all = {0};
    check_ok(plumb_encoder_open(folder, NULL, -1, &e));
    plumb_pair_source source = {.path = PLUMB_TEST_DATA "/pairs/pairs.chat.jsonl",
                                .end = PAIRS,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {.encoder = e, .compat = PLUMB_COMPAT_TRL, .max_length = max_length}};
    check_ok(plumb_pair_reader_open(&source, &r));
    check_ok(plumb_examples_read(r, &all));
    plumb_pair_reader_close(r);
    plumb_encoder_close(e);
    return all;
}

/* Everything that a run needs. */
typedef struct run {
    plumb_compute *c;
    plumb_model *base;
    plumb_adapter *start;
    plumb_examples e;
    plumb_trainer *t;
    plumb_objective objective; /* the trainer borrows it */
} run;

static const char *base_folder(void)
{
    return oracle_path("models", "llama3-chat-sharded");
}

static bool open_run(const char *isa, const char *adapter, bool keep, run *r)
{
    plumb_objective_options what = PLUMB_OBJECTIVE_DEFAULTS;
    *r = (run){.c = open_isa(isa, 1)};
    if (!r->c) return false;
    check_ok(plumb_model_open(base_folder(), r->c, &r->base));
    check_ok(plumb_adapter_load(adapter, r->base, &r->start));
    r->e = read_pairs(base_folder(), 128);
    check_ok(plumb_model_attach(r->base, r->start)); /* TRL keeps a copy of a given adapter as the reference */
    check_ok(plumb_examples_set_reference(r->base, &r->e, NULL));
    check_ok(plumb_objective_make(&what, &r->objective));
    plumb_trainer_options how = {
        .adapter = r->start, .objective = &r->objective, .max_grad_norm = 1, .keep_activations = keep};
    check_ok(plumb_optimizer_make("adamw_torch", NULL, &how.optimizer));
    check_ok(plumb_trainer_new(r->base, &how, &r->t));
    return true;
}

static void close_run(run *r)
{
    plumb_trainer_free(r->t);
    plumb_examples_free(&r->e);
    plumb_model_close(r->base);
    plumb_adapter_free(r->start);
    plumb_compute_close(r->c);
}

/* The data again and again in the order of the file, a batch in `pieces` micro-batches. */
static plumb_step_metrics train_step(run *r, int64_t step, int pieces)
{
    plumb_step_metrics m;
    int size = BATCH / pieces;
    for (int k = 0; k < pieces; k++) {
        const plumb_example *batch[BATCH];
        for (int i = 0; i < size; i++) batch[i] = &r->e.list[((step - 1) * BATCH + k * size + i) % PAIRS];
        check_ok(plumb_trainer_accumulate(r->t, batch, (size_t)size, pieces, 0));
    }
    check_ok(plumb_trainer_update(r->t, step, 1e-3, &m));
    return m;
}

static plumb_status check_after(void *user, size_t i, const plumb_score *score)
{
    const json_t *row = json_array_get(user, i);
    close_to((int64_t)i, "logps/chosen", score->logps[0], row);
    close_to((int64_t)i, "logps/rejected", score->logps[1], row);
    return PLUMB_OK;
}

static void run_matches_trl(void **state)
{
    const char *expected = oracle_path("expected", "train/dpo-lora");
    json_t *metrics = load_jsonl(expected, "metrics.jsonl"), *rows = load_jsonl(expected, "after.jsonl");
    run r;
    if (open_run(*state, oracle_path("models", "adapter-init"), true, &r)) {
        for (int64_t step = 1; step <= STEPS; step++) {
            plumb_step_metrics m = train_step(&r, step, 1);
            check_step(step, &m, json_array_get(metrics, (size_t)step - 1));
            if (step > 1) continue;
            assert_true(m.batch.rewards[0] == 0 && m.batch.rewards[1] == 0); /* to the bit */
        }
        plumb_examples whole = read_pairs(base_folder(), 512); /* the reference scored the pairs uncut */
        assert_int_equal(whole.count, PAIRS);
        check_ok(plumb_examples_score(plumb_trainer_policy(r.t), &whole,
                                      &(plumb_examples_visit){.score = check_after, .user = rows}, NULL));
        plumb_examples_free(&whole);
        close_run(&r);
    }
    json_decref(metrics);
    json_decref(rows);
}

static uint64_t values_bits(const plumb_masters *w)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < w->count; i++)
        for (size_t k = 0; k < w->list[i].count; k++) {
            uint32_t bits;
            memcpy(&bits, &w->list[i].value[k], sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
    return hash;
}

/* Micro-batches and recomputation change no bit: four pairs at once, or two and two. */
static void micro_batches_change_no_bit(void **state)
{
    (void)state;
    run r[2];
    for (int i = 0; i < 2; i++) {
        assert_true(open_run("ref", oracle_path("models", "adapter-init"), i == 0, &r[i]));
        for (int64_t step = 1; step <= 2; step++) train_step(&r[i], step, i + 1);
    }
    assert_int_equal(values_bits(plumb_trainer_masters(r[0].t)), values_bits(plumb_trainer_masters(r[1].t)));
    close_run(&r[0]);
    close_run(&r[1]);
}

/* The trained adapter is saved and is the next run's start. */
static void adapters_can_be_trained_on(void **state)
{
    (void)state;
    char folder[600];
    snprintf(folder, sizeof folder, "%s/test_lora", PLUMB_TEST_SCRATCH);
    mkdir(folder, 0777);
    run first, second;
    assert_true(open_run("ref", oracle_path("models", "adapter-init"), true, &first));
    train_step(&first, 1, 1);
    check_ok(plumb_masters_save(plumb_trainer_masters(first.t), folder, PLUMB_F32));
    if (!open_run("ref", folder, true, &second)) return; /* ref is always there */
    assert_string_equal(second.start->base, base_folder());
    assert_int_equal(values_bits(plumb_trainer_masters(first.t)), values_bits(plumb_trainer_masters(second.t)));
    plumb_step_metrics m = train_step(&second, 1, 1);
    assert_true(m.batch.rewards[0] == 0 && m.batch.rewards[1] == 0);
    close_run(&first);
    close_run(&second);
}

/* A fresh adapter: its reference is the base, and all that differs from it is in the two matrices. */
static void a_fresh_adapter_starts_at_its_base(void **state)
{
    (void)state;
    static const char *const all[] = {"all-linear"};
    run r;
    plumb_adapter *fresh;
    assert_true(open_run("ref", oracle_path("models", "adapter-init"), true, &r));
    check_ok(plumb_model_attach(r.base, NULL));
    check_ok(plumb_examples_set_reference(r.base, &r.e, NULL));
    check_ok(plumb_adapter_new(
        r.base, &(plumb_adapter_options){.r = 4, .alpha = 8, .targets = all, .target_count = 1, .seed = 42}, &fresh));
    plumb_trainer_free(r.t);
    plumb_trainer_options how = {.adapter = fresh, .objective = &r.objective, .max_grad_norm = 1};
    check_ok(plumb_optimizer_make("adamw_torch", NULL, &how.optimizer));
    check_ok(plumb_trainer_new(r.base, &how, &r.t));
    plumb_adapter_free(fresh);
    plumb_step_metrics m = train_step(&r, 1, 1);
    assert_true(m.batch.rewards[0] == 0 && m.batch.rewards[1] == 0);
    assert_true(m.loss > 0.693 && m.loss < 0.694);
    double first = train_step(&r, 1, 1).loss; /* the same batch again */
    assert_true(first < m.loss);
    close_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"run ref", run_matches_trl, NULL, NULL, (void *)"ref"},
        {"run avx2", run_matches_trl, NULL, NULL, (void *)"avx2"},
        {"run avx512", run_matches_trl, NULL, NULL, (void *)"avx512"},
        cmocka_unit_test(micro_batches_change_no_bit),
        cmocka_unit_test(adapters_can_be_trained_on),
        cmocka_unit_test(a_fresh_adapter_starts_at_its_base),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
