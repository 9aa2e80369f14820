/* Policy gradient against the reference's runs (make/rlhf.py: TRL's RLOOTrainer and GRPOTrainer; make/ppo.py): the
 * completions and rewards are theirs, all else is ours. */
#include "policy_data.h"

/* ---- RLOO and GRPO ---- */

typedef struct given {
    const char *run;
    double beta; /* of NTHR */
    json_t *data, *rollouts, *steps;
    plumb_prompts prompts;
    size_t rollout, step; /* seen so far */
} given;

static plumb_status give_completions(void *user, const plumb_prompt_row *const *picks, size_t n, int group,
                                     plumb_rollout *r)
{
    const given *g = user;
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(g->data, (size_t)picks[i]->index);
        for (int k = 0; k < group; k++)
            PLUMB_TRY(add_given(r, picks[i], json_array_get(json_object_get(row, "completion_ids"), (size_t)k)));
    }
    return PLUMB_OK;
}

static plumb_status give_rewards(void *user, const plumb_rollout *r, double *rewards)
{
    const given *g = user;
    for (size_t i = 0; i < r->count; i++) {
        const json_t *row = json_array_get(g->data, (size_t)r->prompts[i]->index);
        rewards[i] = json_number_value(json_array_get(json_object_get(row, "rewards"), i % 4));
    }
    return PLUMB_OK;
}

static void see_rollout(void *user, const plumb_rollout *r)
{
    given *g = user;
    const json_t *row = json_array_get(g->rollouts, g->rollout++);
    const json_t *ref = json_object_get(row, "ref_logps");
    flat_near(g->run, "advantage", r->advantages, json_object_get(row, "advantages"), 2e-3, 1e-4);
    flat_near(g->run, "old log-prob", r->old_logps, json_object_get(row, "old_logps"), 0, 1e-3);
    if (json_is_array(ref)) flat_near(g->run, "reference log-prob", r->ref_logps, ref, 0, 1e-3);
}

static void see_step(void *user, const plumb_rollout *r, const plumb_step_metrics *m, const plumb_step_metrics *value)
{
    given *g = user;
    const json_t *row = json_array_get(g->steps, g->step++);
    assert_null(value);
    assert_int_equal(m->micro_batches, 1);
    flat_near(g->run, "log-prob", r->logps, json_object_get(row, "logps"), 2e-3, 1e-3);
    flat_near(g->run, "entropy", r->entropy, json_object_get(row, "entropy"), 2e-3, 1e-3);
}

static plumb_policy_options options_of(const json_t *config, const char *folder, const char *model)
{
    bool rloo = says(config, "trainer", "RLOOTrainer");
    plumb_policy_options o = policy_defaults(rloo ? PLUMB_RLOO : PLUMB_GRPO, folder, model);
    const json_t *range = json_object_get(config, "reward_clip_range");
    double epsilon = real_at(config, "epsilon", NAN);
    o.order.batch = json_integer_value(json_object_get(config, "per_device_train_batch_size"));
    o.order.max_steps = json_integer_value(json_object_get(config, "max_steps"));
    o.group = json_integer_value(json_object_get(config, "num_generations"));
    o.num_iterations = json_integer_value(json_object_get(config, "num_iterations"));
    o.pace.learning_rate = real_at(config, "learning_rate", NAN);
    o.clip = (plumb_clip_options){
        .epsilon = epsilon,
        .epsilon_high = real_at(config, "epsilon_high", epsilon),
        .delta = real_at(config, "delta", 0),
        .beta = real_at(config, "beta", NAN),
        .sequence_level = says(config, "importance_sampling_level", "sequence"),
        .bias_correction_kl = json_is_true(json_object_get(config, "use_bias_correction_kl")),
        .loss_type = says(config, "loss_type", "grpo")      ? PLUMB_GRPO_GRPO
                     : says(config, "loss_type", "bnpo")    ? PLUMB_GRPO_BNPO
                     : says(config, "loss_type", "dr_grpo") ? PLUMB_GRPO_DR_GRPO
                                                            : PLUMB_GRPO_DAPO,
        .max_completion_length = real_at(config, "max_completion_length", NAN),
    };
    o.normalize_advantages = json_is_true(json_object_get(config, "normalize_advantages"));
    o.clip_rewards = json_is_array(range);
    o.reward_low = json_number_value(json_array_get(range, 0));
    o.reward_high = json_number_value(json_array_get(range, 1));
    o.scale_rewards = says(config, "scale_rewards", "batch")  ? PLUMB_SCALE_BATCH
                      : says(config, "scale_rewards", "none") ? PLUMB_SCALE_NONE
                                                              : PLUMB_SCALE_GROUP;
    return o;
}

/* Every number that TRL logs is there, under its name. */
static void check_metrics(const char *run, const char *folder)
{
    json_t *ours = load_jsonl(folder, "metrics.jsonl"), *theirs = load_jsonl(in_folder(RLHF, run), "metrics.jsonl");
    const json_t *row, *value;
    const char *key;
    size_t at;
    assert_int_equal(json_array_size(ours), json_array_size(theirs));
    json_array_foreach(theirs, at, row)
    {
        const json_t *own = json_array_get(ours, at);
        json_object_foreach((json_t *)row, key, value)
        {
            if (!json_object_get(own, key)) fail_msg("%s step %zu: there is no %s", run, at + 1, key);
            near(run, key, at + 1, real_of(own, key), json_number_value(value), 2e-3, 1e-4);
        }
    }
    json_decref(ours);
    json_decref(theirs);
}

static void check_after(const char *run, const char *folder, plumb_compute *c, given *g)
{
    plumb_model *m;
    plumb_rollout all = {0};
    const plumb_prompt_row *picks[16];
    double *logps;
    json_t *want = load_json(in_folder(RLHF, run), "after.json");
    check_ok(plumb_model_open(folder, c, &m));
    for (size_t i = 0; i < g->prompts.count; i++) picks[i] = &g->prompts.list[i];
    check_ok(give_completions(g, picks, g->prompts.count, 4, &all));
    check_ok(plumb_rollout_settle(&all, 1));
    check_ok(plumb_new(&logps, all.total, sizeof *logps));
    check_ok(plumb_rollout_measure(m, 1, &all, NULL, logps));
    assert_int_equal(flat_near(run, "log-prob after training", logps, want, 2e-3, 1e-3), all.total);
    free(logps);
    plumb_rollout_free(&all);
    plumb_model_close(m);
    json_decref(want);
}

static void run_like_trl(const char *run, plumb_compute *c)
{
    const char *folder = new_folder("policy");
    json_t *config = load_json(in_folder(RLHF, run), "config.json");
    given g = {.run = run,
               .data = load_json(RLHF, "rl-data.json"),
               .rollouts = load_json(in_folder(RLHF, run), "rollouts.json"),
               .steps = load_json(in_folder(RLHF, run), "steps.json")};
    const char *policy = oracle_path("models", json_string_value(json_object_get(config, "policy")));
    const char *name = json_string_value(json_object_get(config, "reference"));
    plumb_policy_options o = options_of(config, folder, policy);
    plumb_reward_function reward = {"fixed", 1, give_rewards, &g};
    plumb_policy_report report;
    plumb_model *start, *reference = NULL;
    g.prompts = read_prompts(g.data);
    o.rewards = &reward;
    o.reward_count = 1;
    o.complete = give_completions;
    o.complete_user = &g;
    o.observer = (plumb_policy_observer){see_rollout, see_step, &g};
    check_ok(plumb_model_open(policy, c, &start));
    if (name) check_ok(plumb_model_open(oracle_path("models", name), c, &reference));
    check_ok(plumb_policy_run(&o, start, reference, NULL, &g.prompts, &report));
    assert_int_equal(report.steps, 4);
    assert_int_equal(g.rollout, 2);
    assert_int_equal(g.step, 4);
    check_metrics(run, folder);
    check_after(run, folder, c, &g);
    plumb_model_close(start);
    plumb_model_close(reference);
    plumb_prompts_free(&g.prompts);
    json_decref(g.data);
    json_decref(g.rollouts);
    json_decref(g.steps);
    json_decref(config);
}

static void runs_of_trl(void **state)
{
    (void)state;
    static const char *const runs[] = {
        "rloo",    "rloo-slow",     "rloo-own-reference", "rloo-normalized", "grpo",          "grpo-slow",
        "grpo-kl", "grpo-kl-plain", "grpo-bnpo-batch",    "grpo-dr",         "grpo-sequence", "grpo-clip-higher"};
    for (int k = 0; k < TEST_ISAS; k++) {
        plumb_compute *c = open_isa(test_isas[k], 2);
        if (!c) continue;
        for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) run_like_trl(runs[i], c);
        plumb_compute_close(c);
    }
}

/* ---- NTHR ---- */

/* expected/nthr.json (make/nthr.py): the matrix form of the paper in PyTorch. */
static void see_nthr(void *user, const plumb_rollout *r)
{
    given *g = user;
    for (size_t i = 0; i < r->count; i++) {
        const json_t *row = json_array_get(g->rollouts, (size_t)r->prompts[i]->index);
        const json_t *scores = json_array_get(json_object_get(row, "scores"), i % 4);
        const json_t *influence = json_array_get(json_object_get(row, "influence"), i % 4);
        double threshold = g->beta * json_number_value(json_object_get(row, "threshold")), eta = real_at(row, "eta", 1);
        if (json_is_null(influence))
            assert_true(isnan(r->influence[i]));
        else
            near(g->run, "influence", i, r->influence[i], json_number_value(influence), 1e-4, 1e-2);
        for (size_t t = r->first[i]; t < r->first[i + 1]; t++) {
            if (!json_is_array(scores)) {
                assert_true(isnan(r->nthr[t]) && r->token_weight[t] == 1);
                continue;
            }
            double want = json_number_value(json_array_get(scores, t - r->first[i]));
            near(g->run, "score", t, r->nthr[t], want, 1e-4, 1e-2);
            near(g->run, "weight", t, r->token_weight[t], want > threshold ? eta : 1, 0, 1e-12);
            g->step += want > threshold;
        }
    }
    g->rollout++;
}

/* At a learning rate that moves nothing, both generations are of the starting weights, as the reference's. */
static void nthr_of_groups(void **state)
{
    (void)state;
    for (int k = 0; k < 2 * TEST_ISAS; k++) {
        plumb_compute *c = open_isa(test_isas[k / 2], 2);
        if (!c) continue;
        const char *folder = new_folder("nthr"), *policy = oracle_path("models", "policy-llama3-chat-sharded");
        json_t *config = load_json(in_folder(RLHF, "grpo"), "config.json");
        given g = {.run = "nthr",
                   .beta = k % 2 ? 1 : 0.1,
                   .data = load_json(RLHF, "rl-data.json"),
                   .rollouts = load_json(PLUMB_TEST_DATA "/expected", "nthr.json")};
        plumb_policy_options o = options_of(config, folder, policy);
        plumb_reward_function reward = {"fixed", 1, give_rewards, &g};
        plumb_policy_report report;
        plumb_model *start;
        g.prompts = read_prompts(g.data);
        o.rewards = &reward;
        o.reward_count = 1;
        o.complete = give_completions;
        o.complete_user = &g;
        o.observer = (plumb_policy_observer){see_nthr, NULL, &g};
        o.nthr = (plumb_nthr_options){.on = true, .beta = g.beta, .balance = true};
        o.pace.learning_rate = 1e-30;
        check_ok(plumb_model_open(policy, c, &start));
        check_ok(plumb_policy_run(&o, start, NULL, NULL, &g.prompts, &report));
        assert_int_equal(g.rollout, 2);
        assert_true(g.step > 0); /* some tokens are spared */
        plumb_model_close(start);
        plumb_prompts_free(&g.prompts);
        json_decref(g.data);
        json_decref(g.rollouts);
        json_decref(config);
        plumb_compute_close(c);
    }
}

/* ---- PPO ---- */

typedef struct ppo_given {
    const char *run;
    json_t *config, *data, *rollout, *steps;
    size_t step;
} ppo_given;

static plumb_status give_ppo_completion(void *user, const plumb_prompt_row *const *picks, size_t n, int group,
                                        plumb_rollout *r)
{
    const ppo_given *g = user;
    assert_int_equal(group, 1);
    for (size_t i = 0; i < n; i++)
        PLUMB_TRY(add_given(r, picks[i],
                            json_object_get(json_array_get(g->data, (size_t)picks[i]->index), "completion_ids")));
    return PLUMB_OK;
}

static plumb_status give_score(void *user, const plumb_rollout *r, double *rewards)
{
    const ppo_given *g = user;
    for (size_t i = 0; i < r->count; i++)
        rewards[i] = real_of(json_array_get(g->data, (size_t)r->prompts[i]->index), "score");
    return PLUMB_OK;
}

static void see_ppo_rollout(void *user, const plumb_rollout *r)
{
    const ppo_given *g = user;
    double kl[512];
    for (size_t t = 0; t < r->total; t++) kl[t] = r->old_logps[t] - r->ref_logps[t];
    flat_near(g->run, "old log-prob", r->old_logps, json_object_get(g->rollout, "old_logps"), 0, 1e-3);
    flat_near(g->run, "reference log-prob", r->ref_logps, json_object_get(g->rollout, "ref_logps"), 0, 1e-3);
    flat_near(g->run, "kl", kl, json_object_get(g->rollout, "kl"), 0, 1e-3);
    flat_near(g->run, "value", r->values, json_object_get(g->rollout, "values"), 2e-3, 1e-4);
    flat_near(g->run, "reward", r->token_rewards, json_object_get(g->rollout, "rewards"), 2e-3, 1e-4);
    flat_near(g->run, "raw advantage", r->token_advantages, json_object_get(g->rollout, "advantages_raw"), 2e-3, 2e-4);
    flat_near(g->run, "return", r->returns, json_object_get(g->rollout, "returns"), 2e-3, 2e-4);
    if (!says(g->config, "whiten", "minibatch-unbiased"))
        flat_near(g->run, "advantage", r->whitened, json_object_get(g->rollout, "advantages"), 2e-3, 2e-4);
}

static void see_ppo_step(void *user, const plumb_rollout *r, const plumb_step_metrics *m, const plumb_step_metrics *v)
{
    ppo_given *g = user;
    const json_t *row = json_array_get(g->steps, g->step++), *rows = json_object_get(row, "rows"),
                 *advantages = json_object_get(g->rollout, "advantages");
    size_t first = r->first[json_integer_value(json_array_get(rows, 0))], n = 0, at;
    double coef = real_of(g->config, "vf_coef"), entropy = 0, ratio = 0, approxkl = 0, k3 = 0;
    const json_t *one;
    n = flat_near(g->run, "log-prob", r->logps + first, json_object_get(row, "logps"), 2e-3, 1e-3);
    flat_near(g->run, "value", r->new_values + first, json_object_get(row, "values"), 2e-3, 1e-4);
    json_array_foreach(rows, at, one)
    {
        size_t i = (size_t)json_integer_value(one);
        flat_near(g->run, "advantage", r->whitened + r->first[i], json_array_get(advantages, i), 2e-3, 2e-4);
    }
    for (size_t t = first; t < first + n; t++) {
        double by = r->logps[t] - r->old_logps[t];
        entropy += r->entropy[t] / (double)n;
        ratio += exp(by) / (double)n;
        approxkl += by * by / 2 / (double)n;
        k3 += (expm1(by) - by) / (double)n;
    }
    near(g->run, "pg_loss", g->step, m->loss, real_of(row, "pg_loss"), 2e-3, 1e-4);
    near(g->run, "vf_loss", g->step, v->loss, coef * real_of(row, "vf_loss"), 2e-3, 1e-4);
    near(g->run, "grad_norm_policy", g->step, m->grad_norm, real_of(row, "grad_norm_policy"), 2e-3, 1e-4);
    near(g->run, "grad_norm_value", g->step, v->grad_norm, real_of(row, "grad_norm_value"), 2e-3, 1e-4);
    near(g->run, "entropy", g->step, entropy, real_of(row, "entropy"), 2e-3, 1e-4);
    near(g->run, "ratio", g->step, ratio, real_of(row, "ratio"), 2e-3, 1e-4);
    near(g->run, "approx_kl", g->step, approxkl, real_of(row, "approx_kl"), 2e-3, 1e-4);
    near(g->run, "approx_kl_k3", g->step, k3, real_of(row, "approx_kl_k3"), 2e-3, 1e-4);
}

static double mean_of(const json_t *rows, const char *key)
{
    double sum = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        sum += real_of(json_array_get(rows, i), key) / (double)json_array_size(rows);
    return sum;
}

/* What TRL would log of the update, made of the reference's numbers. */
static void check_ppo_metrics(const ppo_given *g, const char *folder)
{
    static const struct {
        const char *name, *of;
    } means[] = {{"policy/approxkl_avg", "approx_kl"},
                 {"policy/clipfrac_avg", "clipfrac"},
                 {"policy/entropy_avg", "entropy"},
                 {"loss/policy_avg", "pg_loss"},
                 {"loss/value_avg", "vf_loss"},
                 {"val/clipfrac_avg", "vf_clipfrac"},
                 {"val/ratio", "ratio"}};
    json_t *rows = load_jsonl(folder, "metrics.jsonl");
    const json_t *row = json_array_get(rows, 0), *list, *number;
    double kl = 0, entropy = 0, score = mean_of(g->data, "score"), coef = real_of(g->config, "kl_coef");
    size_t at, k;
    assert_int_equal(json_array_size(rows), 1);
    for (size_t i = 0; i < sizeof means / sizeof *means; i++)
        near(g->run, means[i].name, 0, real_of(row, means[i].name), mean_of(g->steps, means[i].of), 2e-3, 1e-4);
    json_array_foreach(json_object_get(g->rollout, "kl"), at, list) json_array_foreach(list, k, number) kl +=
        json_number_value(number) / 8;
    json_array_foreach(json_object_get(g->rollout, "old_logps"), at, list) json_array_foreach(list, k, number)
        entropy -= json_number_value(number) / 8;
    near(g->run, "objective/kl", 0, real_of(row, "objective/kl"), kl, 2e-3, 1e-3);
    near(g->run, "objective/entropy", 0, real_of(row, "objective/entropy"), entropy, 2e-3, 1e-3);
    near(g->run, "objective/scores", 0, real_of(row, "objective/scores"), score, 1e-6, 1e-6);
    near(g->run, "objective/non_score_reward", 0, real_of(row, "objective/non_score_reward"), -coef * kl, 2e-3, 1e-4);
    near(g->run, "objective/rlhf_reward", 0, real_of(row, "objective/rlhf_reward"), score - coef * kl, 2e-3, 1e-4);
    assert_int_equal(json_integer_value(json_object_get(row, "episode")), 8);
    json_decref(rows);
}

static void check_ppo_after(const ppo_given *g, const char *folder, plumb_compute *c, const plumb_prompts *prompts)
{
    json_t *want = load_json(in_folder(RLHF, g->run), "after.json");
    const plumb_prompt_row *picks[8];
    plumb_rollout all = {0};
    plumb_model *m;
    double numbers[512];
    bool fresh;
    for (size_t i = 0; i < 8; i++) picks[i] = &prompts->list[i];
    check_ok(give_ppo_completion((void *)g, picks, 8, 1, &all));
    check_ok(plumb_rollout_settle(&all, 1));
    check_ok(plumb_model_open(folder, c, &m));
    check_ok(plumb_rollout_measure(m, 1, &all, NULL, numbers));
    flat_near(g->run, "log-prob after training", numbers, json_object_get(want, "logps"), 2e-3, 1e-3);
    plumb_model_close(m);
    check_ok(plumb_model_open_score(in_folder(folder, "value"), c, 1, &m, &fresh));
    assert_false(fresh);
    check_ok(plumb_rollout_measure(m, 1, &all, NULL, numbers));
    flat_near(g->run, "value after training", numbers, json_object_get(want, "values"), 2e-3, 1e-3);
    plumb_model_close(m);
    plumb_rollout_free(&all);
    json_decref(want);
}

static void run_ppo(const char *run, plumb_compute *c)
{
    const char *folder = new_folder("ppo"), *from = in_folder(RLHF, run);
    ppo_given g = {.run = run,
                   .config = load_json(from, "config.json"),
                   .data = load_json(from, "data.json"),
                   .rollout = load_json(from, "rollout.json"),
                   .steps = load_jsonl(from, "steps.jsonl")};
    const char *policy = oracle_path("models", json_string_value(json_object_get(g.config, "policy")));
    plumb_policy_options o = policy_defaults(PLUMB_PPO, folder, policy);
    plumb_reward_function reward = {"score", 1, give_score, &g};
    plumb_prompts prompts = read_prompts(g.data);
    plumb_policy_report report;
    plumb_model *start, *reference, *value;
    bool fresh;
    o.pace.learning_rate = real_of(g.config, "learning_rate");
    o.trainer.max_grad_norm = real_of(g.config, "max_grad_norm");
    o.order.batch = 2; /* two micro-batches to a minibatch: they decide nothing */
    o.order.accumulation = 2;
    o.ppo = (plumb_ppo_options){
        .num_ppo_epochs = json_integer_value(json_object_get(g.config, "epochs")),
        .num_mini_batches = json_integer_value(json_object_get(g.config, "minibatches")),
        .kl_coef = real_of(g.config, "kl_coef"),
        .gamma = real_of(g.config, "gamma"),
        .lam = real_of(g.config, "lam"),
        .cliprange = real_of(g.config, "cliprange"),
        .cliprange_value = real_of(g.config, "cliprange_value"),
        .vf_coef = real_of(g.config, "vf_coef"),
        .whiten_advantages = says(g.config, "whiten", "batch-population")     ? PLUMB_WHITEN_POPULATION
                             : says(g.config, "whiten", "minibatch-unbiased") ? PLUMB_WHITEN_MINIBATCH
                                                                              : PLUMB_WHITEN_BATCH,
    };
    o.rewards = &reward;
    o.reward_count = 1;
    o.complete = give_ppo_completion;
    o.complete_user = &g;
    o.observer = (plumb_policy_observer){see_ppo_rollout, see_ppo_step, &g};
    check_ok(plumb_model_open(policy, c, &start));
    check_ok(plumb_model_open(oracle_path("models", json_string_value(json_object_get(g.config, "reference"))), c,
                              &reference));
    check_ok(plumb_model_open_score(oracle_path("models", json_string_value(json_object_get(g.config, "value"))), c, 1,
                                    &value, &fresh));
    check_ok(plumb_policy_run(&o, start, reference, value, &prompts, &report));
    assert_int_equal(report.steps, 1);
    assert_int_equal(g.step, 4);
    check_ppo_metrics(&g, folder);
    check_ppo_after(&g, folder, c, &prompts);
    plumb_model_close(start);
    plumb_model_close(reference);
    plumb_model_close(value);
    plumb_prompts_free(&prompts);
    json_decref(g.config);
    json_decref(g.data);
    json_decref(g.rollout);
    json_decref(g.steps);
}

static void runs_of_ppo(void **state)
{
    (void)state;
    static const char *const runs[] = {"ppo", "ppo-fast", "ppo-minibatch-whiten", "ppo-openrlhf"};
    for (int k = 0; k < TEST_ISAS; k++) {
        plumb_compute *c = open_isa(test_isas[k], 2);
        if (!c) continue;
        for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) run_ppo(runs[i], c);
        plumb_compute_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_of_trl),
        cmocka_unit_test(nthr_of_groups),
        cmocka_unit_test(runs_of_ppo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
