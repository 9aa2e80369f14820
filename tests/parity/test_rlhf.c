/* Reward models and KTO against TRL's own trainers (make/rlhf.py), through plumb_run: tokens, the metrics of eight
 * steps, rewards and log-probs before and after, and what the result says when it is opened again. */
#include "run_support.h"

#include <math.h>

#include "align/reward.h"
#include "model/reward_model.h"
#include "train/row_ledgers.h"
#include "train/scored_pairs.h"
#include "train/step_losses.h"
#include "train/unpaired.h"

enum { PAIRS = 16, STEPS = 8, BATCH = 4, MAX_LENGTH = 128 };

static double option(const json_t *config, const char *key, double otherwise)
{
    const json_t *value = json_object_get(config, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static void close_to(const char *run, size_t row, const char *key, double got, double want, double more)
{
    double allowed = 2e-3 * fabs(want) + 1e-4 + more;
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s row %zu: %s is %.9g, TRL has %.9g (allowed difference %.3g)", run, row, key, got, want, allowed);
}

/* Every number of TRL's rows, and no metric that TRL does not have beside the epoch. */
static void check_metrics(const char *run, const char *folder, const json_t *want)
{
    json_t *got = load_jsonl(folder, "metrics.jsonl");
    assert_int_equal(json_array_size(got), STEPS);
    assert_int_equal(json_array_size(want), STEPS);
    for (size_t i = 0; i < STEPS; i++) {
        json_t *row = json_array_get(got, i), *theirs = json_array_get(want, i), *value;
        const char *key;
        json_object_foreach(theirs, key, value)
            close_to(run, i, key, real_of(row, key), json_number_value(value), strncmp(key, "rewards", 7) ? 0 : 1e-3);
        json_object_del(row, "epoch");
        json_object_foreach(row, key, value) if (!json_object_get(theirs, key))
            fail_msg("%s row %zu: TRL has no %s", run, i, key);
    }
    json_decref(got);
}

/* Rows [first, first + count) of the ledger are these numbers, under the names of `fields` in both. */
static void check_ledger(const char *run, const char *folder, size_t first, const json_t *want,
                         const char *const fields[][2], double more)
{
    json_t *got = load_jsonl(folder, "ledger.jsonl");
    size_t count = json_array_size(want);
    assert_true(json_array_size(got) >= first + count);
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++)
            close_to(run, i, fields[k][0], real_of(json_array_get(got, first + i), fields[k][0]),
                     real_of(json_array_get(want, i), fields[k][1]), more);
    json_decref(got);
}

static void same_ids(const char *run, size_t row, const json_t *want, const int32_t *got, size_t count)
{
    if (json_array_size(want) != count)
        fail_msg("%s row %zu: %zu tokens, TRL has %zu", run, row, count, json_array_size(want));
    for (size_t i = 0; i < count; i++)
        if (json_integer_value(json_array_get(want, i)) != got[i])
            fail_msg("%s row %zu: token %zu differs", run, row, i);
}

static plumb_run_options options(const json_t *config, const char *folder, const char *start)
{
    plumb_run_options o = run_defaults(folder, start, NULL);
    o.pace.learning_rate = option(config, "learning_rate", 0);
    o.order = (plumb_order_options){.batch = BATCH, .accumulation = 1, .max_steps = STEPS, .sequential = true};
    return o;
}

typedef struct reference_run {
    char expected[600];
    json_t *config, *metrics, *ids, *before, *after;
} reference_run;

static reference_run read_run(const char *run)
{
    reference_run r;
    char path[700];
    snprintf(r.expected, sizeof r.expected, "%s/expected/rlhf/%s", PLUMB_TEST_DATA, run);
    snprintf(path, sizeof path, "%s/config.json", r.expected);
    r.config = json_load_file(path, 0, NULL);
    assert_non_null(r.config);
    r.metrics = load_jsonl(r.expected, "metrics.jsonl");
    r.ids = load_jsonl(r.expected, "ids.jsonl");
    r.before = load_jsonl(r.expected, "before.jsonl");
    r.after = load_jsonl(r.expected, "after.jsonl");
    return r;
}

static void free_run(reference_run *r)
{
    json_decref(r->config);
    json_decref(r->metrics);
    json_decref(r->ids);
    json_decref(r->before);
    json_decref(r->after);
}

/* ---- reward models ---- */

/* The first 16 pairs as text, or (with margins) as the reference's ids. */
static plumb_examples read_pairs(const reference_run *r, const char *folder, bool margins, int64_t pad)
{
    plumb_encoder *e;
    plumb_pair_reader *reader;
    plumb_examples all = {0};
    char path[700];
    snprintf(path, sizeof path, "%s/ids.jsonl", r->expected);
    check_ok(plumb_encoder_open(folder, NULL, -1, &e));
    plumb_pair_source source = {.path = margins ? path : PLUMB_TEST_DATA "/pairs/pairs.chat.jsonl",
                                .end = PAIRS,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_WHOLE},
                                .pairing = {e, PLUMB_COMPAT_TRL, 0, 0}};
    check_ok(plumb_pair_reader_open(&source, &reader));
    check_ok(plumb_scored_pairs_read(reader, pad, MAX_LENGTH, &all));
    plumb_pair_reader_close(reader);
    plumb_encoder_close(e);
    return all;
}

static void check_pairs(const char *run, const plumb_examples *e, const json_t *ids)
{
    static const char *const names[2][2] = {{"chosen_ids", "chosen_position"}, {"rejected_ids", "rejected_position"}};
    assert_int_equal(e->count, PAIRS);
    for (size_t i = 0; i < PAIRS; i++)
        for (int s = 0; s < 2; s++) {
            const json_t *row = json_array_get(ids, i);
            assert_int_equal(e->list[i].totals[s], json_integer_value(json_object_get(row, names[s][1])) + 1);
            json_t *head = json_copy(json_object_get(row, names[s][0]));
            while (json_array_size(head) > (size_t)e->list[i].totals[s])
                json_array_remove(head, json_array_size(head) - 1);
            same_ids(run, i, head, e->list[i].ids[s], (size_t)e->list[i].totals[s]);
            json_decref(head);
        }
}

/* The rewards of whole sequences under what the run has left, a checkpoint or an adapter of `start`. */
static void check_result(const reference_run *r, const char *run, const char *folder, plumb_compute *c,
                         const char *start)
{
    const json_t *ids = r->ids, *after = r->after;
    plumb_reward_model m;
    plumb_rewarder *rewarder;
    check_ok(plumb_reward_model_open(folder, NULL, NULL, c, &m));
    assert_int_equal(m.model->config.pad_id, option(r->config, "pad_token_id", -1));
    if (m.adapter) assert_string_equal(m.model->folder, start);
    check_ok(plumb_rewarder_new(m.model, NULL, &rewarder));
    for (size_t i = 0; i < PAIRS; i++)
        for (int s = 0; s < 2; s++) {
            static const char *const names[2][2] = {{"chosen_ids", "chosen"}, {"rejected_ids", "rejected"}};
            const json_t *list = json_object_get(json_array_get(ids, i), names[s][0]);
            int32_t tokens[MAX_LENGTH];
            double reward[1][2];
            int n = (int)json_array_size(list);
            for (int k = 0; k < n; k++) tokens[k] = (int32_t)json_integer_value(json_array_get(list, (size_t)k));
            plumb_reward_sequence x = {.ids = {tokens}, .counts = {n}, .sides = 1};
            check_ok(plumb_rewarder_run(rewarder, &x, 1, reward));
            close_to(run, i, names[s][1], reward[0][0], real_of(json_array_get(after, i), names[s][1]), 1e-3);
        }
    plumb_rewarder_free(rewarder);
    plumb_reward_model_close(&m);
}

static void check_reward(const char *run, plumb_compute *c)
{
    static const char *const fields[2][2] = {{"reward/chosen", "chosen"}, {"reward/rejected", "rejected"}};
    reference_run r = read_run(run);
    const char *adapter = json_string_value(json_object_get(r.config, "adapter"));
    const char *start = oracle_path("models", json_string_value(json_object_get(r.config, "start"))),
               *folder = new_folder(run);
    plumb_adapter *lora = NULL;
    double center = option(r.config, "center_rewards_coefficient", 0);
    plumb_model *m;
    plumb_run_report report;
    plumb_reward_notes notes = {0};
    bool fresh;
    check_ok(plumb_model_open_score(start, c, 0, &m, &fresh));
    assert_int_equal(fresh, adapter != NULL); /* the adapter of a language model brings the head */
    if (adapter) check_ok(plumb_adapter_load(oracle_path("models", adapter), m, &lora));
    m->config.pad_id = (int64_t)option(r.config, "pad_token_id", -1);
    plumb_examples e = read_pairs(&r, start, strcmp(run, "reward-margin") == 0, m->config.pad_id);
    check_pairs(run, &e, r.ids);
    plumb_run_options o = options(r.config, folder, start);
    o.trainer.loss = plumb_reward_step_loss(&center);
    o.trainer.adapter = lora;
    o.ledger = plumb_reward_ledger(&notes);
    check_ok(plumb_run(&o, m, NULL, &e, &report));
    assert_int_equal(report.steps, STEPS);
    check_metrics(run, folder, r.metrics);
    check_ledger(run, folder, 0, r.before, fields, 0);
    check_ledger(run, folder, (size_t)(notes.evaluations - 1) * PAIRS, r.after, fields, 1e-3);
    check_result(&r, run, folder, c, start);
    plumb_examples_free(&e);
    plumb_model_close(m);
    plumb_adapter_free(lora);
    free_run(&r);
}

static void rewards_match_trl(void **state)
{
    static const char *const runs[] = {"reward", "reward-centered", "reward-margin", "reward-pad", "reward-lora"};
    plumb_compute *c = open_isa(*state, 2);
    if (!c) return;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) check_reward(runs[i], c);
    plumb_compute_close(c);
}

/* ---- KTO ---- */

static plumb_examples read_unpaired(const char *folder, bool mismatched)
{
    plumb_encoder *e;
    plumb_examples all = {0};
    int64_t kinds[2];
    check_ok(plumb_encoder_open(folder, NULL, -1, &e));
    plumb_unpaired_source source = {.path = PLUMB_TEST_DATA "/expected/rlhf/kto-data.jsonl",
                                    .end = -1,
                                    .how = {.encoder = e,
                                            .text = "text",
                                            .completion = "completion",
                                            .messages = "messages",
                                            .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                            .max_length = MAX_LENGTH},
                                    .label = "label",
                                    .batch = mismatched ? BATCH : 0};
    check_ok(plumb_unpaired_read(&source, &all, kinds, NULL));
    assert_int_equal(kinds[0], 16);
    assert_int_equal(kinds[1], 16);
    plumb_encoder_close(e);
    return all;
}

static void check_rows(const char *run, const plumb_examples *e, const json_t *ids)
{
    assert_int_equal(e->count, json_array_size(ids));
    for (size_t i = 0; i < e->count; i++) {
        const plumb_example *x = &e->list[i];
        const json_t *row = json_array_get(ids, i), *mismatched = json_object_get(row, "KL_completion_ids");
        assert_int_equal(x->desirable, json_is_true(json_object_get(row, "label")));
        same_ids(run, i, json_object_get(row, "prompt_ids"), x->ids[0], (size_t)x->prompt);
        same_ids(run, i, json_object_get(row, "completion_ids"), x->ids[0] + x->prompt,
                 (size_t)(x->totals[0] - x->prompt));
        assert_int_equal(x->sides, mismatched ? 2 : 1);
        if (mismatched) same_ids(run, i, mismatched, x->ids[1] + x->prompt, (size_t)(x->totals[1] - x->prompt));
    }
}

static void check_kto(const char *run, plumb_compute *c)
{
    static const char *const fields[2][2] = {{"logps", "logps"}, {"ref_logps", "ref_logps"}};
    reference_run r = read_run(run);
    const char *folder = new_folder(run);
    plumb_kto_options loss = {.loss_type = strcmp(run, "kto-apo-zero") == 0 ? PLUMB_APO_ZERO_UNPAIRED : PLUMB_KTO,
                              .beta = option(r.config, "beta", 0),
                              .desirable_weight = option(r.config, "desirable_weight", 1),
                              .undesirable_weight = option(r.config, "undesirable_weight", 1)};
    const char *policy = oracle_path("models", json_string_value(json_object_get(r.config, "policy"))),
               *other = oracle_path("models", json_string_value(json_object_get(r.config, "reference")));
    plumb_model *start, *reference;
    plumb_run_report report;
    plumb_kto_notes notes = {0};
    check_ok(plumb_model_open(policy, c, &start));
    check_ok(plumb_model_open(other, c, &reference));
    plumb_examples e = read_unpaired(policy, loss.loss_type == PLUMB_KTO);
    check_rows(run, &e, r.ids);
    plumb_run_options o = options(r.config, folder, policy);
    o.trainer.loss = plumb_kto_step_loss(&loss);
    o.ledger = plumb_kto_ledger(&notes);
    check_ok(plumb_run(&o, start, reference, &e, &report));
    check_metrics(run, folder, r.metrics);
    assert_int_equal(notes.evaluations, 2);
    check_ledger(run, folder, 0, r.before, fields, 0);
    check_ledger(run, folder, e.count, r.after, fields, 0);
    plumb_examples_free(&e);
    plumb_model_close(start);
    plumb_model_close(reference);
    free_run(&r);
}

static void kto_matches_trl(void **state)
{
    plumb_compute *c = open_isa(*state, 2);
    if (!c) return;
    check_kto("kto", c);
    check_kto("kto-weighted", c);
    check_kto("kto-apo-zero", c);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"rewards ref", rewards_match_trl, NULL, NULL, (void *)"ref"},
        {"rewards avx2", rewards_match_trl, NULL, NULL, (void *)"avx2"},
        {"rewards avx512", rewards_match_trl, NULL, NULL, (void *)"avx512"},
        {"kto ref", kto_matches_trl, NULL, NULL, (void *)"ref"},
        {"kto avx2", kto_matches_trl, NULL, NULL, (void *)"avx2"},
        {"kto avx512", kto_matches_trl, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
