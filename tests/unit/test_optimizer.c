/* Optimiser steps, clipping and the choice of decaying parameters against torch and transformers
 * (expected/optimizer.json). */
#include <math.h>

#include "support.h"

#include "base/random.h"
#include "train/optimizer.h"

enum { MOST = 64 };

static json_t *load(void)
{
    json_error_t error;
    json_t *all = json_load_file(PLUMB_TEST_DATA "/expected/optimizer.json", 0, &error);
    assert_non_null(all);
    return all;
}

static size_t read_floats(const json_t *list, float *out)
{
    size_t n = json_array_size(list);
    assert_true(n <= MOST);
    for (size_t i = 0; i < n; i++) out[i] = (float)json_number_value(json_array_get(list, i));
    return n;
}

static double number(const json_t *object, const char *key, double otherwise)
{
    const json_t *v = json_object_get(object, key);
    return v ? json_number_value(v) : otherwise;
}

/* Rounding alone: torch may fuse multiply and add. magnitude [n]: of what an element was summed up from, or NULL. */
static void compare(const float *ours, const float *theirs, size_t n, float relative, const float *magnitude,
                    const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(ours[i] - theirs[i]) <= relative * (fabsf(theirs[i]) + (magnitude ? magnitude[i] : 0))))
            fail_msg("%s, element %zu: %.9g, expected %.9g", what, i, (double)ours[i], (double)theirs[i]);
}

static void make(const json_t *run, plumb_optimizer *o)
{
    check_ok(plumb_optimizer_make(json_string_value(json_object_get(run, "optim")),
                                  json_string_value(json_object_get(run, "optim_args")), o));
    o->beta1 = number(run, "adam_beta1", o->beta1);
    o->beta2 = number(run, "adam_beta2", o->beta2);
    o->epsilon = number(run, "adam_epsilon", o->epsilon);
    check_ok(plumb_optimizer_check(o));
}

static void compare_run(const json_t *run, const json_t *all)
{
    plumb_optimizer o;
    float p[MOST], g[MOST], far[MOST] = {0}, largest[MOST] = {0}, expected[MOST],
                            state[PLUMB_OPTIMIZER_STATES][MOST] = {{0}};
    float *states[] = {state[0], state[1], state[2]};
    const json_t *rates = json_object_get(run, "rates"), *after = json_object_get(run, "after");
    char what[128];
    make(run, &o);
    float relative = o.centered ? 2e-6f : 3e-7f; /* v - c^2 cancels */
    size_t n = read_floats(json_object_get(all, "start"), p);
    for (size_t step = 0; step < json_array_size(rates); step++) {
        read_floats(json_array_get(json_object_get(all, "gradients"), step), g);
        for (size_t i = 0; i < n; i++) {
            far[i] = fmaxf(far[i], fabsf(p[i]));
            largest[i] = fmaxf(largest[i], fabsf(g[i]));
        }
        plumb_optimizer_step(&o, (int64_t)step + 1, json_number_value(json_array_get(rates, step)),
                             number(run, "weight_decay", 0), 1, p, g, states, n);
        read_floats(json_array_get(after, step), expected);
        snprintf(what, sizeof what, "%s %s, step %zu", o.kind->name, o.centered ? "centered" : "", step + 1);
        compare(p, expected, n, relative, far, what);
    }
    const json_t *theirs = json_object_get(run, "state");
    assert_int_equal(plumb_optimizer_states(&o), json_object_size(theirs));
    for (size_t k = 0; k < plumb_optimizer_states(&o); k++) {
        const json_t *list = json_object_get(theirs, plumb_optimizer_state_name(&o, k));
        assert_non_null(list);
        read_floats(list, expected);
        bool squares = strstr(plumb_optimizer_state_name(&o, k), "sq") != NULL; /* they cannot cancel */
        compare(state[k], expected, n, relative, squares ? NULL : largest, plumb_optimizer_state_name(&o, k));
    }
}

static void steps_of_torch(void **state)
{
    (void)state;
    json_t *all = load(), *run;
    size_t at;
    json_array_foreach(json_object_get(all, "runs"), at, run) compare_run(run, all);
    assert_int_equal(at, 14);
    json_decref(all);
}

/* The same bits however the elements are split; a scaled gradient is the gradient scaled. */
static void splits_and_scales(void **state)
{
    (void)state;
    static const struct {
        const char *name, *arguments;
    } cases[] = {{"adamw_torch", NULL}, {"rmsprop", "momentum=0.5,centered=true"}, {"sgd", "momentum=0.9"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        enum { N = 53 };
        plumb_optimizer o;
        float whole[4][N] = {{0}}, split[4][N] = {{0}}, g[N], scaled[N];
        check_ok(plumb_optimizer_make(cases[k].name, cases[k].arguments, &o));
        for (int64_t step = 1; step <= 3; step++) {
            for (size_t i = 0; i < N; i++) {
                g[i] = (float)plumb_normal(5, (uint64_t)step, i);
                scaled[i] = g[i] * 0.3f;
            }
            plumb_optimizer_step(&o, step, 1e-2, 0.1, 1, whole[3], scaled, (float *[]){whole[0], whole[1], whole[2]},
                                 N);
            for (size_t first = 0; first < N; first += 7) {
                size_t n = N - first < 7 ? N - first : 7;
                float *states[] = {split[0] + first, split[1] + first, split[2] + first};
                plumb_optimizer_step(&o, step, 1e-2, 0.1, 0.3f, split[3] + first, g + first, states, n);
            }
        }
        assert_memory_equal(whole, split, sizeof whole);
    }
}

/* A constant gradient brings the centred variance to 0, below it by rounding: torch's root is then NaN. */
static void centred_variance_stays_a_number(void **state)
{
    (void)state;
    plumb_optimizer o;
    float p = 1, g = 0.7f, s[3] = {0};
    check_ok(plumb_optimizer_make("rmsprop", "centered=true,alpha=0.5", &o));
    for (int64_t step = 1; step <= 200; step++)
        plumb_optimizer_step(&o, step, 1e-9, 0, 1, &p, &g, (float *[]){&s[0], &s[1], &s[2]}, 1);
    assert_true(isfinite(p));
}

static void compare_clip(const json_t *one)
{
    float before[3][MOST], expected[MOST];
    plumb_gradient gradients[3];
    const char *name;
    json_t *list;
    size_t count = 0;
    double norm;
    json_object_foreach(json_object_get(one, "before"), name, list)
    {
        gradients[count] = (plumb_gradient){name, before[count], read_floats(list, before[count])};
        count++;
    }
    check_ok(plumb_gradient_norm(gradients, count, &norm));
    assert_true(fabs(norm - number(one, "norm", NAN)) <= 1e-6 * norm);
    float scale = plumb_clip_factor(norm, number(one, "max_norm", NAN));
    for (size_t t = 0; t < count; t++) {
        read_floats(json_object_get(json_object_get(one, "after"), gradients[t].name), expected);
        for (size_t i = 0; i < gradients[t].count; i++) before[t][i] *= scale;
        compare(before[t], expected, gradients[t].count, 3e-7f, NULL, gradients[t].name);
    }
}

static void clipping(void **state)
{
    (void)state;
    json_t *all = load(), *one;
    size_t at;
    json_array_foreach(json_object_get(all, "clip"), at, one) compare_clip(one);
    assert_int_equal(at, 4);
    json_decref(all);
    assert_true(plumb_clip_factor(1e9, 0) == 1); /* max_grad_norm 0: off */
    assert_true(plumb_clip_factor(INFINITY, 1) == 0);
    assert_true(isnan(plumb_clip_factor(NAN, 1)));
    double norm;
    const plumb_gradient wrong[] = {{"b", NULL, 0}, {"a", NULL, 0}};
    check_error(plumb_gradient_norm(wrong, 2, &norm), PLUMB_E_INTERNAL, "b before a");
    check_ok(plumb_gradient_norm(NULL, 0, &norm));
    assert_true(norm == 0);
}

static void sums_of_squares(void **state)
{
    (void)state;
    enum { N = 1003 };
    static float g[N];
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        g[i] = (float)plumb_normal(8, 1, i) * 1e25f; /* squares beyond fp32 */
        sum += (double)g[i] * (double)g[i];
        if (i % 37 && i != N - 1) continue;
        assert_true(fabs(plumb_sum_squares(g, i + 1) - sum) <= 1e-14 * sum);
    }
}

static void weight_decay_by_name(void **state)
{
    (void)state;
    json_t *all = load(), *model, *name;
    const char *checkpoint;
    size_t i, seen = 0;
    json_object_foreach(json_object_get(all, "decays"), checkpoint, model)
    {
        json_array_foreach(json_object_get(model, "decay"), i, name) if (!plumb_decays(json_string_value(name)))
            fail_msg("%s: %s", checkpoint, json_string_value(name));
        json_array_foreach(json_object_get(model, "none"), i, name) if (plumb_decays(json_string_value(name)))
            fail_msg("%s: %s", checkpoint, json_string_value(name));
        seen++;
    }
    assert_int_equal(seen, 11);
    assert_true(plumb_decays("model.normal.weight")); /* the patterns of transformers: whole words between full stops */
    assert_false(plumb_decays("Norm.weight"));
    assert_false(plumb_decays("model.RMSNorm2.weight"));
    assert_true(plumb_decays("base_model.model.layers.0.self_attn.q_proj.lora_A.weight"));
    json_decref(all);
}

static void refusals(void **state)
{
    (void)state;
    plumb_optimizer o;
    check_error(plumb_optimizer_make("adamw", NULL, &o), PLUMB_E_INPUT, "known are adamw_torch, rmsprop and sgd");
    check_error(plumb_optimizer_make("rmsporp", NULL, &o), PLUMB_E_INPUT, "did you mean rmsprop");
    check_error(plumb_optimizer_make("sgd", "momentum", &o), PLUMB_E_INPUT,
                "\"momentum\" is not of the form key=value");
    check_error(plumb_optimizer_make("sgd", "momentum=fast", &o), PLUMB_E_INPUT,
                "\"fast\" is not a number for momentum");
    check_error(plumb_optimizer_make("sgd", "momentum=", &o), PLUMB_E_INPUT, "is not a number for momentum");
    check_error(plumb_optimizer_make("sgd", "momentum=-1", &o), PLUMB_E_INPUT, "momentum: -1");
    check_error(plumb_optimizer_make("sgd", "nesterov=true", &o), PLUMB_E_INPUT, "nesterov needs a momentum");
    check_error(plumb_optimizer_make("sgd", "weight_decay=0.1", &o), PLUMB_E_INPUT, "sgd has no \"weight_decay\"");
    check_error(plumb_optimizer_make("adamw_torch", "beta1=0.5", &o), PLUMB_E_INPUT, "adam_beta1, adam_beta2");
    check_ok(plumb_optimizer_make("adamw_torch", "", &o));
    o.beta2 = 1;
    check_error(plumb_optimizer_check(&o), PLUMB_E_INPUT, "adam_beta2: 1");
    o.beta2 = 0.9;
    o.epsilon = -1;
    check_error(plumb_optimizer_check(&o), PLUMB_E_INPUT, "adam_epsilon: -1");
    size_t count;
    assert_non_null(plumb_optimizer_kinds(&count));
    assert_int_equal(count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_torch),
        cmocka_unit_test(splits_and_scales),
        cmocka_unit_test(centred_variance_stays_a_number),
        cmocka_unit_test(clipping),
        cmocka_unit_test(sums_of_squares),
        cmocka_unit_test(weight_decay_by_name),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
