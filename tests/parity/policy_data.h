/* For tests of policy gradient: the reference's completions and rewards in the place of sampler and reward model, and
 * comparison with its numbers. */
#ifndef PLUMB_TESTS_POLICY_DATA_H
#define PLUMB_TESTS_POLICY_DATA_H

#include "run_support.h"

#include <math.h>

#include "train/policy_run.h"

#define RLHF PLUMB_TEST_DATA "/expected/rlhf"
enum { EOS = 4 };

static inline json_t *load_json(const char *folder, const char *name)
{
    json_error_t error;
    json_t *j = json_load_file(in_folder(folder, name), 0, &error);
    if (!j) fail_msg("%s/%s: %s", folder, name, error.text);
    return j;
}

static inline size_t ids_from(const json_t *list, int32_t *out)
{
    for (size_t i = 0; i < json_array_size(list); i++) out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return json_array_size(list);
}

/* Prompt i has the index i. */
static inline plumb_prompts read_prompts(const json_t *data)
{
    plumb_prompts all = {0};
    int32_t ids[512];
    for (size_t i = 0; i < json_array_size(data); i++) {
        size_t n = ids_from(json_object_get(json_array_get(data, i), "prompt_ids"), ids);
        check_ok(plumb_prompts_add(&all, (int64_t)i, i, ids, (int)n, "\"?\"", 3));
    }
    return all;
}

static inline plumb_status add_given(plumb_rollout *r, const plumb_prompt_row *prompt, const json_t *list)
{
    int32_t ids[512];
    size_t n = ids_from(list, ids);
    return plumb_rollout_add(r, prompt, ids, (int)n, ids[n - 1] == EOS ? PLUMB_FINISH_EOS : PLUMB_FINISH_LENGTH);
}

static inline double real_at(const json_t *row, const char *key, double otherwise)
{
    const json_t *value = json_object_get(row, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static inline bool says(const json_t *config, const char *key, const char *word)
{
    const char *value = json_string_value(json_object_get(config, key));
    return value && strcmp(value, word) == 0;
}

/* |got - want| within `relative` of want and `absolute`. */
static inline void near(const char *run, const char *what, size_t at, double got, double want, double relative,
                        double absolute)
{
    if (!(fabs(got - want) <= relative * fabs(want) + absolute))
        fail_msg("%s: %s %zu is %.9g, the reference has %.9g", run, what, at, got, want);
}

/* Numbers of tokens, completion after completion: lists in lists of any depth. */
static inline size_t flat_near(const char *run, const char *what, const double *got, const json_t *want,
                               double relative, double absolute)
{
    size_t n = 0, at;
    const json_t *one;
    if (!json_is_array(want)) {
        near(run, what, 0, *got, json_number_value(want), relative, absolute);
        return 1;
    }
    json_array_foreach(want, at, one) n += flat_near(run, what, got + n, one, relative, absolute);
    return n;
}

/* The policy's options that all runs have. */
static inline plumb_policy_options policy_defaults(plumb_policy_method method, const char *folder, const char *model)
{
    plumb_policy_options o = {.method = method,
                              .folder = folder,
                              .model = model,
                              .dtype = PLUMB_F32,
                              .trainer = {.max_grad_norm = 1, .keep_activations = true},
                              .pace = {.lr_scheduler_type = "constant", .learning_rate = 1e-4, .logging_steps = 1},
                              .order = {.batch = 4, .accumulation = 1, .epochs = 1, .sequential = true},
                              .sampling = {.temperature = 1, .top_p = 1, .max_new_tokens = 8, .seed = 42},
                              .group = 4,
                              .steps_per_generation = 1,
                              .num_iterations = 1,
                              .clip = {.epsilon = 0.2, .epsilon_high = 0.2, .max_completion_length = 16},
                              .ppo = {.num_ppo_epochs = 2,
                                      .num_mini_batches = 2,
                                      .kl_coef = 0.05,
                                      .gamma = 1,
                                      .lam = 0.95,
                                      .cliprange = 0.2,
                                      .cliprange_value = 0.2,
                                      .vf_coef = 0.1}};
    check_ok(plumb_optimizer_make("adamw_torch", NULL, &o.trainer.optimizer));
    return o;
}

#endif
