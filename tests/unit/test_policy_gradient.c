/* Policy gradient against the numbers of TRL's and PPO's own runs (expected/rlhf: log-probs of every step are stored,
 * so that advantages, losses and clip shares can be computed from them without a model), and derivatives against
 * differences of the loss. */
#include <math.h>

#include "support.h"

#include "align/policy_gradient.h"
#include "base/random.h"

enum { PROMPTS = 4, GROUP = 4, COUNT = PROMPTS * GROUP, MOST = 512 };

#define FOLDER PLUMB_TEST_DATA "/expected/rlhf"

static json_t *load(const char *run, const char *name)
{
    char path[512];
    json_error_t error;
    snprintf(path, sizeof path, "%s/%s%s%s", FOLDER, run, *run ? "/" : "", name);
    json_t *v = json_load_file(path, 0, &error);
    if (!v) fail_msg("%s: %s", path, error.text);
    return v;
}

static double number(const json_t *object, const char *key, double otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

static bool is(const json_t *object, const char *key, const char *word)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s && strcmp(s, word) == 0;
}

static void close_to(double x, double y, double relative, double absolute, const char *what)
{
    if (!(fabs(x - y) <= relative * fabs(y) + absolute)) fail_msg("%s: %.12g, expected %.12g", what, x, y);
}

/* Numbers of a list of lists, one after another; the lengths to tokens when not NULL. */
static size_t flatten(const json_t *lists, double *out, int *tokens)
{
    size_t i, k, n = 0;
    json_t *list, *v;
    json_array_foreach(lists, i, list)
    {
        if (tokens) tokens[i] = (int)json_array_size(list);
        json_array_foreach(list, k, v)
        {
            assert_true(n < MOST);
            out[n++] = json_number_value(v);
        }
    }
    return n;
}

static double sum_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

/* One generation of a run: its rollouts as TRL had them. */
typedef struct generation {
    double rewards[COUNT], advantages[COUNT], old[MOST], ref[MOST];
    int tokens[COUNT];
    size_t n;
    bool has_ref;
} generation;

static void read_generation(const json_t *data, const json_t *rollouts, int g, generation *out)
{
    const json_t *roll = json_array_get(rollouts, (size_t)g), *ref = json_object_get(roll, "ref_logps");
    out->n = flatten(json_object_get(roll, "old_logps"), out->old, out->tokens);
    out->has_ref = json_is_array(ref);
    if (out->has_ref) assert_int_equal(flatten(ref, out->ref, NULL), out->n);
    for (size_t p = 0; p < PROMPTS; p++)
        for (size_t i = 0; i < GROUP; i++) {
            const json_t *row = json_array_get(data, (size_t)g * PROMPTS + p);
            out->rewards[p * GROUP + i] = json_number_value(json_array_get(json_object_get(row, "rewards"), i));
            out->advantages[p * GROUP + i] =
                json_number_value(json_array_get(json_object_get(roll, "advantages"), p * GROUP + i));
        }
}

static void check_advantages(const json_t *config, const generation *g, const char *run)
{
    double a[COUNT];
    memcpy(a, g->rewards, sizeof a);
    if (is(config, "trainer", "RLOOTrainer")) {
        const json_t *range = json_object_get(config, "reward_clip_range");
        size_t first = 0;
        for (size_t i = 0; i < COUNT; first += (size_t)g->tokens[i++]) {
            if (json_is_array(range))
                a[i] = fmin(fmax(a[i], json_number_value(json_array_get(range, 0))),
                            json_number_value(json_array_get(range, 1)));
            a[i] -= number(config, "beta", 0) *
                    (sum_of(g->old + first, (size_t)g->tokens[i]) - sum_of(g->ref + first, (size_t)g->tokens[i]));
        }
        plumb_rloo_advantages(a, PROMPTS, GROUP, json_is_true(json_object_get(config, "normalize_advantages")));
    } else {
        plumb_grpo_advantages(a, PROMPTS, GROUP,
                              is(config, "scale_rewards", "group")   ? PLUMB_SCALE_GROUP
                              : is(config, "scale_rewards", "batch") ? PLUMB_SCALE_BATCH
                                                                     : PLUMB_SCALE_NONE);
    }
    for (size_t i = 0; i < COUNT; i++) close_to(a[i], g->advantages[i], 1e-5, 1e-5, run);
}

static plumb_clip_options clip_options(const json_t *config, size_t tokens)
{
    plumb_clip_options o = {.epsilon = number(config, "epsilon", NAN), .delta = number(config, "delta", 0)};
    o.epsilon_high = number(config, "epsilon_high", o.epsilon);
    o.beta = number(config, "beta", 0);
    o.sequence_level = is(config, "importance_sampling_level", "sequence");
    o.bias_correction_kl = json_is_true(json_object_get(config, "use_bias_correction_kl"));
    o.loss_type = is(config, "loss_type", "grpo")   ? PLUMB_GRPO_GRPO
                  : is(config, "loss_type", "bnpo") ? PLUMB_GRPO_BNPO
                  : is(config, "loss_type", "dapo") ? PLUMB_GRPO_DAPO
                                                    : PLUMB_GRPO_DR_GRPO;
    o.max_completion_length = number(config, "max_completion_length", NAN);
    o.items = (double)tokens;
    return o;
}

static void check_step(const json_t *config, const generation *g, const json_t *step, const json_t *metrics,
                       const char *run)
{
    double new[MOST], slope[MOST];
    bool rloo = is(config, "trainer", "RLOOTrainer");
    plumb_policy_metrics m;
    assert_int_equal(flatten(json_object_get(step, "logps"), new, NULL), g->n);
    plumb_clip_options o = clip_options(config, g->n);
    plumb_rollouts r = {.count = COUNT,
                        .tokens = g->tokens,
                        .logps = new,
                        .old_logps = g->old,
                        .ref_logps = g->ref,
                        .advantages = g->advantages};
    (rloo ? plumb_rloo_loss : plumb_grpo_loss)(&r, &o, slope, &m);
    close_to(m.loss, number(metrics, "loss", NAN), 2e-5, 2e-6, run);
    if (!rloo && o.beta != 0) close_to(m.kl, number(metrics, "kl", NAN), 2e-5, 1e-6, run);
    close_to(m.low_mean, number(metrics, "clip_ratio/low_mean", NAN), 0, 1e-6, run);
    close_to(m.high_mean, number(metrics, "clip_ratio/high_mean", NAN), 0, 1e-6, run);
    close_to(m.region_mean, number(metrics, "clip_ratio/region_mean", NAN), 0, 1e-6, run);
    close_to(m.low_min, number(metrics, "clip_ratio/low_min", NAN), 0, 1e-6, run);
    close_to(m.high_max, number(metrics, "clip_ratio/high_max", NAN), 0, 1e-6, run);
}

static void runs_of_trl(void **state)
{
    (void)state;
    static const char *const runs[] = {"rloo",    "rloo-normalized", "rloo-own-reference", "rloo-slow",
                                       "grpo",    "grpo-bnpo-batch", "grpo-clip-higher",   "grpo-dr",
                                       "grpo-kl", "grpo-kl-plain",   "grpo-sequence",      "grpo-slow"};
    json_t *data = load("", "rl-data.json");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/%s", FOLDER, runs[i]);
        json_t *config = load(runs[i], "config.json"), *rollouts = load(runs[i], "rollouts.json"),
               *steps = load(runs[i], "steps.json"), *metrics = load_jsonl(folder, "metrics.jsonl");
        assert_int_equal(json_array_size(steps), 4);
        for (int g = 0; g < 2; g++) {
            generation one;
            read_generation(data, rollouts, g, &one);
            check_advantages(config, &one, runs[i]);
            const json_t *first = json_array_get(metrics, (size_t)g * 2);
            plumb_reward_spread spread = plumb_rewards_spread(one.rewards, PROMPTS, GROUP);
            /* RLOO's share is over rewards with the KL term, GRPO's of scale_rewards batch over the whole batch */
            close_to(spread.mean, number(first, "rewards/fixed/mean", NAN), 1e-6, 1e-6, runs[i]);
            close_to(spread.std, number(first, "rewards/fixed/std", NAN), 1e-6, 1e-6, runs[i]);
            if (is(config, "trainer", "GRPOTrainer") && !is(config, "scale_rewards", "batch"))
                close_to(spread.zero_share, number(first, "frac_reward_zero_std", NAN), 0, 1e-6, runs[i]);
            for (size_t s = (size_t)g * 2; s < (size_t)g * 2 + 2; s++)
                check_step(config, &one, json_array_get(steps, s), json_array_get(metrics, s), runs[i]);
        }
        json_decref(config);
        json_decref(rollouts);
        json_decref(steps);
        json_decref(metrics);
    }
    json_decref(data);
}

/* ---- derivatives ---- */

static double uniform(uint64_t *count)
{
    return plumb_uniform(7, 0, (*count)++);
}

static void derivatives(void **state)
{
    (void)state;
    enum { N = 3 };
    static const int tokens[N] = {3, 1, 4};
    uint64_t random = 0;
    for (int c = 0; c < 200; c++) {
        double new[8], old[8], ref[8], weight[8], a[N], g[8], unused[8];
        for (int t = 0; t < 8; t++) {
            old[t] = -2 * uniform(&random);
            new[t] = old[t] + 0.8 * (uniform(&random) - 0.5);
            ref[t] = new[t] + uniform(&random) - 0.5;
            weight[t] = c % 5 ? 1 : uniform(&random);
        }
        for (int i = 0; i < N; i++) a[i] = 4 * (uniform(&random) - 0.5);
        plumb_clip_options o = {.epsilon = 0.2,
                                .epsilon_high = 0.28,
                                .delta = c % 3 ? 0 : 1.35,
                                .beta = c % 2 ? 0.3 : 0,
                                .sequence_level = c % 4 == 1,
                                .bias_correction_kl = c % 7 < 4,
                                .loss_type = (plumb_grpo_kind)(c % 4),
                                .max_completion_length = 6,
                                .items = 11};
        plumb_rollouts r = {.count = N,
                            .tokens = tokens,
                            .logps = new,
                            .old_logps = old,
                            .ref_logps = ref,
                            .advantages = a,
                            .counted = c % 3 == 1 ? N + 2 : 0,
                            .token_weight = c % 5 ? NULL : weight};
        for (int kind = 0; kind < 2; kind++) {
            if (kind && r.token_weight) continue; /* RLOO: scales the slope, the loss has no such term */
            void (*loss)(const plumb_rollouts *, const plumb_clip_options *, double *, plumb_policy_metrics *) =
                kind ? plumb_rloo_loss : plumb_grpo_loss;
            plumb_policy_metrics low, high;
            loss(&r, &o, g, &low);
            for (int t = 0; t < 8; t++) {
                double at = new[t], h = 1e-6;
                new[t] = at + h;
                loss(&r, &o, unused, &high);
                new[t] = at - h;
                loss(&r, &o, unused, &low);
                new[t] = at;
                close_to(g[t], (high.loss - low.loss) / (2 * h), 1e-6, 1e-7, kind ? "rloo" : "grpo");
            }
        }
    }
}

static void ppo_derivatives(void **state)
{
    (void)state;
    enum { N = 6 };
    uint64_t random = 0;
    for (int c = 0; c < 100; c++) {
        double new[N], old[N], a[N], g[N], unused[N], low, high, share;
        plumb_ppo_metrics m, n;
        for (int t = 0; t < N; t++) {
            old[t] = -uniform(&random);
            new[t] = old[t] + uniform(&random) - 0.5;
            a[t] = 2 * uniform(&random) - 1;
        }
        plumb_ppo_policy_loss(new, old, a, N, 0.2, g, &m);
        for (int t = 0; t < N; t++) {
            double at = new[t];
            new[t] = at + 1e-6;
            plumb_ppo_policy_loss(new, old, a, N, 0.2, unused, &m);
            new[t] = at - 1e-6;
            plumb_ppo_policy_loss(new, old, a, N, 0.2, unused, &n);
            new[t] = at;
            close_to(g[t], (m.loss - n.loss) / 2e-6, 1e-6, 1e-7, "ppo");
        }
        plumb_ppo_value_loss(new, old, a, N, 0.2, g, &low, &share);
        for (int t = 0; t < N; t++) {
            double at = new[t];
            new[t] = at + 1e-6;
            plumb_ppo_value_loss(new, old, a, N, 0.2, unused, &high, &share);
            new[t] = at - 1e-6;
            plumb_ppo_value_loss(new, old, a, N, 0.2, unused, &low, &share);
            new[t] = at;
            close_to(g[t], (high - low) / 2e-6, 1e-6, 1e-7, "value");
        }
    }
}

/* ---- PPO's run ---- */

static void check_numbers(const double *x, const json_t *lists, const char *what)
{
    double y[MOST];
    size_t n = flatten(lists, y, NULL);
    for (size_t i = 0; i < n; i++) close_to(x[i], y[i], 1e-9, 1e-12, what);
}

static void minibatch(const json_t *config, const json_t *step, size_t first, const double *old, const double *values,
                      const double *returns, const double *advantages)
{
    double new[MOST], v[MOST], g[MOST], vf, vf_clip;
    plumb_ppo_metrics m;
    size_t n = flatten(json_object_get(step, "logps"), new, NULL);
    assert_int_equal(flatten(json_object_get(step, "values"), v, NULL), n);
    plumb_ppo_policy_loss(new, old + first, advantages + first, n, number(config, "cliprange", NAN), g, &m);
    plumb_ppo_value_loss(v, values + first, returns + first, n, number(config, "cliprange_value", NAN), g, &vf,
                         &vf_clip);
    close_to(m.loss, number(step, "pg_loss", NAN), 1e-9, 1e-12, "pg_loss");
    close_to(vf, number(step, "vf_loss", NAN), 1e-9, 1e-12, "vf_loss");
    close_to(m.approxkl, number(step, "approx_kl", NAN), 1e-9, 1e-12, "approx_kl");
    close_to(m.clipfrac, number(step, "clipfrac", NAN), 1e-9, 1e-12, "clipfrac");
    close_to(vf_clip, number(step, "vf_clipfrac", NAN), 1e-9, 1e-12, "vf_clipfrac");
    close_to(m.ratio, number(step, "ratio", NAN), 1e-9, 1e-12, "ratio");
}

static void runs_of_ppo(void **state)
{
    (void)state;
    static const char *const runs[] = {"ppo", "ppo-fast", "ppo-minibatch-whiten", "ppo-openrlhf"};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        char folder[512];
        snprintf(folder, sizeof folder, "%s/%s", FOLDER, runs[i]);
        json_t *config = load(runs[i], "config.json"), *roll = load(runs[i], "rollout.json"),
               *steps = load_jsonl(folder, "steps.jsonl"), *step;
        double old[MOST], values[MOST], rewards[MOST], a[MOST], returns[MOST];
        int tokens[COUNT];
        size_t n = flatten(json_object_get(roll, "old_logps"), old, tokens), half = 0, at;
        flatten(json_object_get(roll, "values"), values, NULL);
        flatten(json_object_get(roll, "rewards"), rewards, NULL);
        for (size_t k = 0, first = 0; k < 8; first += (size_t)tokens[k++]) {
            plumb_gae(rewards + first, values + first, (size_t)tokens[k], number(config, "gamma", NAN),
                      number(config, "lam", NAN), a + first, returns + first);
            if (k < 4) half += (size_t)tokens[k];
        }
        check_numbers(a, json_object_get(roll, "advantages_raw"), "advantages_raw");
        check_numbers(returns, json_object_get(roll, "returns"), "returns");
        if (is(config, "whiten", "minibatch-unbiased")) {
            plumb_whiten(a, half, false);
            plumb_whiten(a + half, n - half, false);
        } else {
            plumb_whiten(a, n, is(config, "whiten", "batch-population"));
        }
        check_numbers(a, json_object_get(roll, "advantages"), "advantages");
        json_array_foreach(steps, at, step) minibatch(config, step, at % 2 ? half : 0, old, values, returns, a);
        json_decref(config);
        json_decref(roll);
        json_decref(steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_of_trl),
        cmocka_unit_test(derivatives),
        cmocka_unit_test(ppo_derivatives),
        cmocka_unit_test(runs_of_ppo),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
