/* Runs of policy gradient with the sampler: the same bytes for any number of threads and after any interruption, what
 * the metrics and completions.jsonl say, plans that make no run. */
#include "parity/policy_data.h"

#include "text/tokenizer.h"
#include "train/metric_means.h"

#define POLICY    "policy-llama3-chat-sharded"
#define REFERENCE "llama3-chat-sharded"

/* ---- a small world ---- */

typedef struct world {
    plumb_compute *compute;
    plumb_model *start, *reference, *value;
    plumb_tokenizer *tokenizer;
    plumb_prompts prompts;
    plumb_reward_function rewards[2];
    plumb_examples pairs;   /* for a ledger */
    int64_t calls, stop_at; /* of the sink; stop_at 0: never */
} world;

/* Something that differs between completions: the share of even ids. */
static plumb_status even_ids(void *user, const plumb_rollout *r, double *rewards)
{
    (void)user;
    for (size_t i = 0; i < r->count; i++) {
        const plumb_example *e = &r->completions.list[i];
        rewards[i] = 0;
        for (int k = e->prompt; k < e->totals[0]; k++) rewards[i] += (e->ids[0][k] % 2 == 0) / (double)r->tokens[i];
    }
    return PLUMB_OK;
}

static plumb_status same_for_all(void *user, const plumb_rollout *r, double *rewards)
{
    for (size_t i = 0; i < r->count; i++) rewards[i] = *(double *)user;
    return PLUMB_OK;
}

static bool interrupted(void *user)
{
    world *w = user;
    return ++w->calls == w->stop_at;
}

enum { PAIRS = 3 };

/* Pairs of a few tokens, with a prompt and the first token of the responses in common. */
static plumb_examples make_pairs(void)
{
    static const int32_t texts[PAIRS][2][6] = {{{5, 6, 7, 8, 9, 2}, {5, 6, 7, 10, 11, 2}},
                                               {{15, 16, 27, 8, 9, 2}, {15, 16, 27, 28, 29, 30}},
                                               {{5, 6, 7, 20, 21, 22}, {5, 6, 7, 23, 21, 2}}};
    plumb_examples e = {.count = 0};
    for (int i = 0; i < PAIRS; i++) {
        int32_t copies[2][6];
        memcpy(copies, texts[i], sizeof copies);
        const plumb_ids ids[2] = {{.data = copies[0], .count = 6}, {.data = copies[1], .count = 6}};
        check_ok(plumb_examples_add(&e, 10 + i, (uint64_t)i, ids, 2, 2, 3));
    }
    return e;
}

static world open_world(int threads)
{
    world w = {.calls = 0};
    bool fresh;
    json_t *data = load_json(RLHF, "rl-data.json");
    check_ok(plumb_compute_open(NULL, threads, &w.compute));
    check_ok(plumb_model_open(oracle_path("models", POLICY), w.compute, &w.start));
    check_ok(plumb_model_open(oracle_path("models", REFERENCE), w.compute, &w.reference));
    check_ok(plumb_model_open_score(oracle_path("models", "reward-init"), w.compute, 1, &w.value, &fresh));
    check_ok(plumb_tokenizer_open(oracle_path("models", POLICY), &w.tokenizer));
    w.prompts = read_prompts(data);
    w.rewards[0] = (plumb_reward_function){"even", 1, even_ids, NULL};
    w.pairs = make_pairs();
    json_decref(data);
    return w;
}

static void close_world(world *w)
{
    plumb_prompts_free(&w->prompts);
    plumb_examples_free(&w->pairs);
    plumb_tokenizer_free(w->tokenizer);
    plumb_model_close(w->start);
    plumb_model_close(w->reference);
    plumb_model_close(w->value);
    plumb_compute_close(w->compute);
}

static const int32_t eos[] = {EOS};

/* A generation is 8 completions of 4 prompts, cut into two micro-batches that are gone through twice: with
 * accumulation 1 it is four optimiser steps, with 3 steps reach from one generation into the next. */
static plumb_policy_options small_run(world *w, plumb_policy_method method, const char *folder)
{
    plumb_policy_options o = policy_defaults(method, folder, oracle_path("models", POLICY));
    o.pace.learning_rate = 1e-3;
    o.group = 2;
    o.steps_per_generation = 2;
    o.num_iterations = 2;
    o.order.max_steps = method == PLUMB_PPO ? 3 : 7;
    o.order.batch = method == PLUMB_PPO ? 2 : 4;
    o.order.seed = 42;
    o.order.sequential = false;
    o.sampling.eos = eos;
    o.sampling.eos_count = 1;
    o.clip.beta = 0.05;
    o.rewards = w->rewards;
    o.reward_count = 1;
    o.log_completions = true;
    o.tokenizer = w->tokenizer;
    return o;
}

static plumb_status go(world *w, const plumb_policy_options *o, plumb_policy_report *report)
{
    return plumb_policy_run(o, w->start, w->reference, o->method == PLUMB_PPO ? w->value : NULL, &w->prompts, report);
}

/* ---- the same bytes ---- */

typedef struct variant {
    const char *name;
    plumb_policy_method method;
    int64_t accumulation;
    bool nthr, sync, masked;
    int64_t ledger; /* steps of a ledger; 0: none */
} variant;

static const variant variants[] = {
    {"rloo", PLUMB_RLOO, 1, false, true, false, 3},
    {"grpo", PLUMB_GRPO, 3, false, false, true, 0},
    {"grpo with nthr", PLUMB_GRPO, 4, true, false, false, 0},
    {"ppo", PLUMB_PPO, 1, false, false, false, 1},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static plumb_policy_options options_of(world *w, const variant *v, const char *folder)
{
    plumb_policy_options o = small_run(w, v->method, folder);
    o.order.accumulation = v->accumulation;
    o.nthr = (plumb_nthr_options){.on = v->nthr, .beta = 1};
    o.pace.sync_ref_model = v->sync;
    o.pace.ref_model_sync_steps = 2;
    o.pace.ref_model_mixup_alpha = 0.5;
    o.mask_truncated_completions = v->masked;
    o.pace.logging_steps = 2;
    o.pace.ledger_steps = v->ledger;
    o.pairs = v->ledger ? &w->pairs : NULL;
    o.ledger_tokens = 2;
    return o;
}

static void compare_runs(const char *a, const char *b, const variant *v)
{
    static const char *const files[] = {"metrics.jsonl", "completions.jsonl", "model.safetensors"};
    for (int i = 0; i < 3; i++) check_same_file(a, b, files[i], v->name);
    if (v->method == PLUMB_PPO) check_same_file(a, b, "value/model.safetensors", v->name);
    if (v->ledger) check_same_file(a, b, "ledger.jsonl", v->name);
}

static void same_for_any_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++) {
        const char *folders[2] = {new_folder("one_thread"), new_folder("three_threads")};
        for (int k = 0; k < 2; k++) {
            world w = open_world(k ? 3 : 1);
            plumb_policy_options o = options_of(&w, &variants[i], folders[k]);
            plumb_policy_report report;
            check_ok(go(&w, &o, &report));
            assert_int_equal(report.steps, o.order.max_steps);
            close_world(&w);
        }
        compare_runs(folders[0], folders[1], &variants[i]);
    }
}

/* Stops the run again and again after `every` questions of the sink, until it is done. */
static void run_in_pieces(world *w, const plumb_policy_options *o, int64_t every, int *pieces)
{
    plumb_sink sink = {.user = w, .interrupted = interrupted};
    plumb_policy_options again = *o;
    plumb_policy_report report;
    again.sink = &sink;
    for (*pieces = 0;; ++*pieces) {
        assert_true(*pieces < 300);
        w->calls = 0;
        w->stop_at = every + *pieces; /* a little further each time, so that it gets on */
        again.resume = *pieces > 0;
        plumb_status s = go(w, &again, &report);
        if (!s) break;
        check_error(s, PLUMB_E_INTERRUPTED, "");
    }
}

static void same_after_interruptions(void **state)
{
    (void)state;
    for (size_t i = 0; i < VARIANTS; i++) {
        world w = open_world(2);
        const char *whole = new_folder("whole"), *cut = new_folder("cut");
        plumb_policy_options o = options_of(&w, &variants[i], whole);
        plumb_policy_report report;
        int pieces;
        check_ok(go(&w, &o, &report));
        o.folder = cut;
        run_in_pieces(&w, &o, 25, &pieces);
        assert_true(pieces > 2);
        compare_runs(whole, cut, &variants[i]);
        close_world(&w);
    }
}

/* ---- what is told ---- */

static void rows_and_metrics(void **state)
{
    (void)state;
    static const char *const keys[] = {"reward",
                                       "reward_std",
                                       "frac_reward_zero_std",
                                       "reward_group_std",
                                       "prompts_without_spread",
                                       "rewards/even/mean",
                                       "rewards/flat/std",
                                       "kl",
                                       "entropy",
                                       "completions/mean_length",
                                       "clip_ratio/region_mean",
                                       "nthr/selected",
                                       "generated_tokens",
                                       "grad_norm",
                                       "learning_rate"};
    static double flat = 2;
    world w = open_world(2);
    plumb_policy_options o = small_run(&w, PLUMB_GRPO, new_folder("rows"));
    plumb_policy_report report;
    w.rewards[1] = (plumb_reward_function){"flat", 0.5, same_for_all, &flat};
    o.reward_count = 2;
    o.nthr = (plumb_nthr_options){.on = true, .beta = 1, .eta = 0.25};
    check_ok(go(&w, &o, &report));
    json_t *metrics = load_jsonl(o.folder, "metrics.jsonl"), *rows = load_jsonl(o.folder, "completions.jsonl");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) real_of(json_array_get(metrics, 0), keys[i]);
    assert_null(json_object_get(json_array_get(metrics, 1), "reward")); /* no generation in that step */
    assert_int_equal(json_array_size(rows), 16);
    double sum = 0, tokens = 0;
    for (size_t i = 0; i < 8; i++) {
        const json_t *row = json_array_get(rows, i);
        assert_int_equal(json_integer_value(json_object_get(row, "sample")), i % 2);
        assert_true(json_is_string(json_object_get(row, "response")));
        sum += real_of(row, "rewards/even") + 0.5 * real_of(row, "rewards/flat");
        tokens += real_of(row, "tokens");
    }
    near("rows", "reward", 0, real_of(json_array_get(metrics, 0), "reward"), sum / 8, 1e-6, 0);
    near("rows", "length", 0, real_of(json_array_get(metrics, 0), "completions/mean_length"), tokens / 8, 1e-6, 0);
    near("rows", "tokens", 0, real_of(json_array_get(metrics, 0), "generated_tokens"), tokens, 0, 0);
    assert_int_equal(report.completions, 16);
    json_decref(metrics);
    json_decref(rows);
    close_world(&w);
}

static plumb_status keep_logps(void *user, size_t i, const plumb_score *score)
{
    memcpy((double *)user + 2 * i, score->logps, 2 * sizeof(double));
    return PLUMB_OK;
}

/* The rows of one evaluation, whose log-probs are to be those of a pass over the pairs. */
static void check_evaluation(const json_t *rows, size_t first, int64_t step, const double (*logps)[2],
                             const double (*start)[2])
{
    for (size_t i = 0; i < PAIRS; i++) {
        const json_t *row = json_array_get(rows, first + i);
        assert_int_equal(json_integer_value(json_object_get(row, "step")), step);
        assert_int_equal(json_integer_value(json_object_get(row, "index")), 10 + (int)i);
        assert_true(real_of(row, "ref_logps/chosen") == start[i][0]);
        assert_true(real_of(row, "ref_logps/rejected") == start[i][1]);
        assert_int_equal(json_integer_value(json_object_get(row, "position")), 1);
        assert_true(json_array_size(json_object_get(row, "gained")) <= 2);
        if (!logps) continue;
        assert_true(real_of(row, "logps/chosen") == logps[i][0]);
        assert_true(real_of(row, "logps/rejected") == logps[i][1]);
    }
}

/* The ledger: its steps, the start as reference, the numbers of the run's result at the end, the share that fell. */
static void ledger_of_pairs(void **state)
{
    (void)state;
    world w = open_world(2);
    plumb_policy_options o = small_run(&w, PLUMB_GRPO, new_folder("ledger"));
    plumb_policy_report report;
    plumb_model *result;
    double start[PAIRS][2], end[PAIRS][2];
    o.pairs = &w.pairs;
    o.ledger_tokens = 2;
    o.pace.ledger_steps = 3;
    check_ok(go(&w, &o, &report)); /* 7 steps */
    check_ok(plumb_model_open(o.folder, w.compute, &result));
    plumb_examples_visit visit = {.score = keep_logps, .user = start};
    check_ok(plumb_examples_score(w.start, &w.pairs, &visit, NULL));
    visit.user = end;
    check_ok(plumb_examples_score(result, &w.pairs, &visit, NULL));
    json_t *rows = load_jsonl(o.folder, "ledger.jsonl"), *metrics = load_jsonl(o.folder, "metrics.jsonl");
    assert_int_equal(json_array_size(rows), 4 * PAIRS);
    check_evaluation(rows, 0, 0, start, start);
    check_evaluation(rows, PAIRS, 3, NULL, start);
    check_evaluation(rows, 2 * PAIRS, 6, NULL, start);
    check_evaluation(rows, 3 * PAIRS, 7, end, start);
    int fell = 0;
    for (int i = 0; i < PAIRS; i++) fell += end[i][0] < start[i][0];
    assert_true(report.evaluated);
    assert_int_equal(report.ledger.displaced, fell);
    near("ledger", "displaced", 7, real_of(json_array_get(metrics, 6), "displaced"), fell / (double)PAIRS, 1e-8, 0);
    assert_null(json_object_get(json_array_get(metrics, 0), "displaced")); /* nothing was evaluated after step 1 */
    json_decref(rows);
    json_decref(metrics);
    plumb_model_close(result);
    close_world(&w);
}

/* Equal rewards give no gradient: the weights stay, and the metrics say why. */
static void no_spread_no_gradient(void **state)
{
    (void)state;
    static double flat = 1;
    world w = open_world(2);
    plumb_policy_options o = small_run(&w, PLUMB_GRPO, new_folder("flat"));
    plumb_policy_report report;
    w.rewards[0] = (plumb_reward_function){"flat", 1, same_for_all, &flat};
    o.clip.beta = 0;
    check_ok(go(&w, &o, &report));
    json_t *metrics = load_jsonl(o.folder, "metrics.jsonl");
    near("flat", "share", 0, real_of(json_array_get(metrics, 0), "prompts_without_spread"), 1, 0, 0);
    near("flat", "grad_norm", 0, real_of(json_array_get(metrics, 0), "grad_norm"), 0, 0, 0);
    assert_true(report.first.zero_share == 1);
    json_decref(metrics);
    close_world(&w);
}

/* A masked token of NTHR has no gradient: with all negative tokens masked, only the positive completions pull. */
static void masked_tokens(void **state)
{
    (void)state;
    world w = open_world(2);
    double norms[3];
    for (int k = 0; k < 3; k++) {
        plumb_policy_options o = small_run(&w, PLUMB_GRPO, new_folder("masked"));
        plumb_policy_report report;
        o.clip.beta = 0;
        o.order.accumulation = 2; /* both micro-batches of the generation */
        o.order.max_steps = 1;
        /* a threshold of minus infinity selects every negative token */
        o.nthr = (plumb_nthr_options){.on = k > 0, .beta = -1e300, .eta = k == 1 ? 1 : 0};
        check_ok(go(&w, &o, &report));
        json_t *metrics = load_jsonl(o.folder, "metrics.jsonl");
        norms[k] = real_of(json_array_get(metrics, 0), "grad_norm");
        if (k) near("nthr", "selected", 0, real_of(json_array_get(metrics, 0), "nthr/selected"), 1, 0, 0);
        json_decref(metrics);
    }
    assert_true(norms[0] == norms[1]); /* a factor of 1 changes nothing */
    assert_true(norms[2] > 0 && norms[2] != norms[0]);
    close_world(&w);
}

/* ---- errors ---- */

static plumb_status not_a_number(void *user, const plumb_rollout *r, double *rewards)
{
    (void)user;
    for (size_t i = 0; i < r->count; i++) rewards[i] = i == 3 ? NAN : 0;
    return PLUMB_OK;
}

static void wrong_plans(void **state)
{
    (void)state;
    world w = open_world(1);
    plumb_policy_options o = small_run(&w, PLUMB_RLOO, new_folder("wrong"));
    plumb_policy_report report;
    o.group = 1;
    check_error(go(&w, &o, &report), PLUMB_E_INPUT, "--num_generations 1");
    o.group = 3;
    check_error(go(&w, &o, &report), PLUMB_E_INPUT, "holds no whole groups of 3");
    o.group = 2;
    o.order.batch = 100;
    check_error(go(&w, &o, &report), PLUMB_E_INPUT, "8 prompts, and a generation takes 100");
    o.order.batch = 4;
    w.rewards[0].score = not_a_number;
    check_error(go(&w, &o, &report), PLUMB_E_INPUT, "step 1: reward even: row");
    close_world(&w);
}

/* ---- small parts ---- */

static void means(void **state)
{
    (void)state;
    plumb_metric_means m = {0}, other = {0};
    plumb_text t = {0};
    check_ok(plumb_means_add(&m, "b", 1));
    check_ok(plumb_means_add(&m, "a", 3));
    check_ok(plumb_means_add(&other, "b", 4));
    check_ok(plumb_means_add(&other, "c", 5));
    check_ok(plumb_means_merge(&m, &other));
    check_ok(plumb_means_write(&m, &t));
    assert_string_equal(t.data, ",\"b\":2.5,\"a\":3,\"c\":5");
    json_t *packed = plumb_means_pack(&m);
    check_ok(plumb_means_unpack(&other, packed));
    plumb_text_clear(&t);
    check_ok(plumb_means_write(&other, &t));
    assert_string_equal(t.data, ",\"b\":2.5,\"a\":3,\"c\":5");
    json_decref(packed);
    plumb_text_free(&t);
    plumb_means_free(&m);
    plumb_means_free(&other);
}

/* torch.randperm three times from one generator with the seed 7. */
static void permutations(void **state)
{
    (void)state;
    static const int64_t want[3][6] = {{3, 0, 1, 5, 2, 4}, {3, 0, 5, 4, 2, 1}, {4, 2, 1, 3, 0, 5}};
    int64_t got[6];
    for (int k = 0; k < 3; k++) {
        plumb_randperm_after(6, 7, k, got);
        assert_memory_equal(got, want[k], sizeof got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_for_any_threads),  cmocka_unit_test(same_after_interruptions),
        cmocka_unit_test(rows_and_metrics),      cmocka_unit_test(ledger_of_pairs),
        cmocka_unit_test(no_spread_no_gradient), cmocka_unit_test(masked_tokens),
        cmocka_unit_test(wrong_plans),           cmocka_unit_test(means),
        cmocka_unit_test(permutations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
