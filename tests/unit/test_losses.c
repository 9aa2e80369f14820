/* The losses against numbers of others: every row of expected/rlhf/losses.jsonl (mpmath), whole batches of TRL 1.16
 * (expected/loss_batches.json), and differences of the value for all the rest. */
#include <math.h>

#include "support.h"

#include "align/losses.h"
#include "base/random.h"

static double number(const json_t *object, const char *key, double otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

static bool close_to(double x, double y, double relative, double absolute)
{
    return fabs(x - y) <= relative * fabs(y) + absolute;
}

/* --- the table against mpmath ------------------------------------------------------------------------------------- */

/* The parameter of the loss that losses.jsonl calls `key`: "lambda" is dpop's "dpop_lambda". */
static const char *parameter_for(const plumb_loss *loss, const char *key)
{
    for (size_t i = 0; i < PLUMB_LOSS_PARAMETERS && loss->parameters[i].name; i++) {
        const char *name = loss->parameters[i].name;
        size_t n = strlen(name), k = strlen(key);
        if (n >= k && strcmp(name + n - k, key) == 0 && (n == k || name[n - k - 1] == '_')) return name;
    }
    return NULL;
}

static bool is_input(const char *key)
{
    static const char *const inputs[] = {"loss", "w",   "l",     "w_ref",     "l_ref",
                                         "n_w",  "n_l", "value", "dvalue_dw", "dvalue_dl"};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (strcmp(inputs[i], key) == 0) return true;
    return false;
}

static void objective_of_row(json_t *row, plumb_objective *out)
{
    const char *name = json_string_value(json_object_get(row, "loss")), *key;
    const plumb_loss *loss = plumb_loss_find(name);
    assert_non_null(loss);
    plumb_loss_setting settings[PLUMB_LOSS_PARAMETERS];
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    how.loss_type = &name;
    how.loss_types = 1;
    how.settings = settings;
    json_t *value;
    json_object_foreach(row, key, value)
    {
        if (is_input(key)) continue;
        settings[how.setting_count].name = parameter_for(loss, key);
        assert_non_null(settings[how.setting_count].name);
        settings[how.setting_count++].value = json_number_value(value);
    }
    check_ok(plumb_objective_make(&how, out));
}

static void every_row_of_the_table(void **state)
{
    (void)state;
    json_t *rows = load_jsonl(PLUMB_TEST_DATA "/expected/rlhf", "losses.jsonl"), *row;
    plumb_arena arena = {0};
    size_t at;
    assert_int_equal(json_array_size(rows), 402);
    json_array_foreach(rows, at, row)
    {
        plumb_objective o;
        objective_of_row(row, &o);
        plumb_pair_logps in = {
            .head = {number(row, "w", NAN), number(row, "l", NAN)},
            .ref_head = {number(row, "w_ref", NAN), number(row, "l_ref", NAN)},
            .tokens = {(int)number(row, "n_w", 0), (int)number(row, "n_l", 0)},
        };
        plumb_pair_loss each;
        plumb_batch_loss batch;
        check_ok(plumb_objective_run(&o, &in, 1, &arena, &each, &batch));
        /* 1e-12 of the value, and of the least normal number where it is below */
        if (!close_to(batch.loss, number(row, "value", NAN), 1e-12, 1e-307) ||
            !close_to(each.head[0], number(row, "dvalue_dw", NAN), 1e-12, 1e-307) ||
            !close_to(each.head[1], number(row, "dvalue_dl", NAN), 1e-12, 1e-307))
            fail_msg("row %zu, %s: %.17g %.17g %.17g", at, o.terms[0].loss->name, batch.loss, each.head[0],
                     each.head[1]);
        plumb_arena_reset(&arena);
    }
    plumb_arena_free(&arena);
    json_decref(rows);
}

/* --- batches against TRL ------------------------------------------------------------------------------------------ */

enum { MOST = 8 };

static void sides(const json_t *pair, const char *key, double out[2])
{
    const json_t *list = json_object_get(pair, key);
    for (size_t side = 0; side < 2; side++) out[side] = json_number_value(json_array_get(list, side));
}

static size_t read_batch(const json_t *list, plumb_pair_logps *out)
{
    size_t i, n = json_array_size(list);
    json_t *pair;
    assert_true(n <= MOST);
    json_array_foreach((json_t *)list, i, pair)
    {
        double tokens[2];
        sides(pair, "head", out[i].head);
        sides(pair, "tail", out[i].tail);
        sides(pair, "ref_head", out[i].ref_head);
        sides(pair, "ref_tail", out[i].ref_tail);
        sides(pair, "aligned", out[i].aligned);
        sides(pair, "tokens", tokens);
        for (int side = 0; side < 2; side++) out[i].tokens[side] = (int)tokens[side];
        out[i].weight = NAN; /* nobody may read it */
    }
    return n;
}

static plumb_divergence divergence_called(const char *name)
{
    for (int d = 0; name && d < PLUMB_DIVERGENCES; d++)
        if (strcmp(plumb_divergence_name((plumb_divergence)d), name) == 0) return (plumb_divergence)d;
    return PLUMB_REVERSE_KL;
}

/* TRL's options, as they stand in the file, to ours. */
static plumb_status make_from_json(const json_t *options, plumb_objective *out)
{
    const char *types[4] = {"sigmoid"};
    double weights[4];
    const json_t *names = json_object_get(options, "loss_type"), *numbers = json_object_get(options, "loss_weights");
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    how.loss_types = json_array_size(names);
    for (size_t i = 0; i < how.loss_types; i++) types[i] = json_string_value(json_array_get(names, i));
    how.loss_weight_count = json_array_size(numbers);
    for (size_t i = 0; i < how.loss_weight_count; i++) weights[i] = json_number_value(json_array_get(numbers, i));
    plumb_loss_setting settings[] = {{"beta", number(options, "beta", NAN)},
                                     {"label_smoothing", number(options, "label_smoothing", NAN)},
                                     {"discopop_tau", NAN}};
    how.loss_type = types;
    how.loss_weights = weights;
    how.settings = settings;
    how.setting_count = 3;
    how.ld_alpha = number(options, "ld_alpha", NAN);
    how.f_divergence_type = divergence_called(json_string_value(json_object_get(options, "f_divergence_type")));
    how.f_alpha_divergence_coef = number(options, "f_alpha_divergence_coef", 0.5);
    how.use_weighting = json_is_true(json_object_get(options, "use_weighting"));
    return plumb_objective_make(&how, out);
}

/* exo_pair's label_smoothing is a float32 in TRL whatever the model computes in. */
static double digits_of(const plumb_objective *o)
{
    for (size_t i = 0; i < o->count; i++)
        if (strcmp(o->terms[i].loss->name, "exo_pair") == 0) return 1e-6;
    return 1e-12;
}

static void compare_gradient(const json_t *one, const char *key, size_t i, const double ours[2], double digits)
{
    const json_t *theirs = json_array_get(json_object_get(one, key), i);
    for (size_t side = 0; side < 2; side++) {
        const json_t *v = json_array_get(theirs, side);
        if (json_is_null(v)) continue;
        if (close_to(ours[side], json_number_value(v), digits, digits * 1e-3)) continue;
        char *options = json_dumps(json_object_get(one, "options"), 0);
        fail_msg("%s, %s of pair %zu, side %zu: %.17g, expected %.17g", options, key, i, side, ours[side],
                 json_number_value(v));
    }
}

static void compare_case(const json_t *one, const json_t *batches, plumb_arena *arena)
{
    plumb_objective o;
    plumb_pair_logps in[MOST];
    plumb_pair_loss each[MOST];
    plumb_batch_loss batch;
    check_ok(make_from_json(json_object_get(one, "options"), &o));
    size_t n = read_batch(json_array_get(batches, (size_t)number(one, "batch", 0)), in);
    check_ok(plumb_objective_run(&o, in, n, arena, each, &batch));
    double digits = digits_of(&o);
    char *options = json_dumps(json_object_get(one, "options"), 0);
    if (!close_to(batch.loss, number(one, "loss", NAN), digits, digits))
        fail_msg("%s: loss %.17g, expected %.17g", options, batch.loss, number(one, "loss", NAN));
    free(options);
    for (size_t i = 0; i < n; i++) {
        compare_gradient(one, "grad_head", i, each[i].head, digits);
        compare_gradient(one, "grad_tail", i, each[i].tail, digits);
    }
    const json_t *metrics = json_object_get(one, "metrics");
    const struct {
        const char *name;
        double ours;
    } named[] = {
        {"rewards/chosen", batch.rewards[0]}, {"rewards/rejected", batch.rewards[1]},
        {"rewards/margins", batch.margin},    {"rewards/accuracies", batch.accuracy},
        {"logps/chosen", batch.logps[0]},     {"logps/rejected", batch.logps[1]},
    };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        bool share = strstr(named[i].name, "accuracies") != NULL; /* a float32 in TRL */
        if (!close_to(named[i].ours, number(metrics, named[i].name, NAN), share ? 1e-6 : digits, digits))
            fail_msg("%s: %.17g, expected %.17g", named[i].name, named[i].ours, number(metrics, named[i].name, NAN));
    }
}

static void batches_of_trl(void **state)
{
    (void)state;
    json_error_t error;
    json_t *all = json_load_file(PLUMB_TEST_DATA "/expected/loss_batches.json", 0, &error), *one;
    assert_non_null(all);
    plumb_arena arena = {0};
    size_t i;
    json_array_foreach(json_object_get(all, "cases"), i, one)
    {
        compare_case(one, json_object_get(all, "batches"), &arena);
        plumb_arena_reset(&arena);
    }
    assert_true(i > 200);
    plumb_arena_free(&arena);
    json_decref(all);
}

/* --- derivatives against differences ------------------------------------------------------------------------------ */

/* Pairs whose numbers are a few units apart, no two alike. */
static void draw_pairs(plumb_pair_logps *out, size_t n, uint64_t seed)
{
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = (plumb_pair_logps){.weight = 0.25 + plumb_uniform(seed, 1, i)};
        for (int side = 0; side < 2; side++) {
            out[i].tokens[side] = 2 + (int)(20 * plumb_uniform(seed, 2, at));
            out[i].head[side] = -5 - 10 * plumb_uniform(seed, 3, at);
            out[i].tail[side] = -5 * plumb_uniform(seed, 4, at);
            out[i].ref_head[side] = out[i].head[side] + 4 * plumb_uniform(seed, 5, at) - 2;
            out[i].ref_tail[side] = out[i].tail[side] + 2 * plumb_uniform(seed, 6, at) - 1;
            out[i].aligned[side] = -plumb_uniform(seed, 7, at++);
        }
    }
}

static double loss_of(const plumb_objective *o, const plumb_pair_logps *in, size_t n, plumb_arena *arena)
{
    plumb_pair_loss each[MOST];
    plumb_batch_loss batch;
    check_ok(plumb_objective_run(o, in, n, arena, each, &batch));
    plumb_arena_reset(arena);
    return batch.loss;
}

static double difference(const plumb_objective *o, plumb_pair_logps *in, size_t n, double *x, plumb_arena *arena)
{
    const double h = 1e-5, kept = *x;
    *x = kept + h;
    double up = loss_of(o, in, n, arena);
    *x = kept - h;
    double down = loss_of(o, in, n, arena);
    *x = kept;
    return (up - down) / (2 * h);
}

static void check_differences(const plumb_objective *o, uint64_t seed)
{
    enum { PAIRS = 5 };
    plumb_arena arena = {0};
    plumb_pair_logps in[PAIRS];
    plumb_pair_loss each[PAIRS];
    plumb_batch_loss batch;
    draw_pairs(in, PAIRS, seed);
    check_ok(plumb_objective_run(o, in, PAIRS, &arena, each, &batch));
    for (size_t i = 0; i < PAIRS; i++)
        for (int side = 0; side < 2; side++) {
            double head = difference(o, in, PAIRS, &in[i].head[side], &arena);
            double tail = difference(o, in, PAIRS, &in[i].tail[side], &arena);
            if (!close_to(each[i].head[side], head, 2e-7, 1e-8 * (1 + fabs(batch.loss))) ||
                !close_to(each[i].tail[side], tail, 2e-7, 1e-8 * (1 + fabs(batch.loss))))
                fail_msg("%s, pair %zu, side %d: %.12g %.12g, differences %.12g %.12g", o->terms[0].loss->name, i, side,
                         each[i].head[side], each[i].tail[side], head, tail);
        }
    plumb_arena_free(&arena);
}

static const plumb_loss_setting everything[] = {
    {"label_smoothing", 0.15}, {"alphapo_alpha", 0.3}, {"kto_z", 0.4}, {"beta", 0.35},
    {"bdpo_lambda", 0.7},      {"dpop_lambda", 3}};

static plumb_objective_options with_everything(const char *const *names, size_t count)
{
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    how.loss_type = names;
    how.loss_types = count;
    how.settings = everything;
    how.setting_count = sizeof everything / sizeof *everything;
    return how;
}

/* Every loss under every way of weighing it that it allows. */
static void derivatives_are_differences(void **state)
{
    (void)state;
    size_t count, checked = 0;
    const plumb_loss *all = plumb_losses(&count);
    for (size_t i = 0; i < count; i++) {
        for (unsigned way = 0; way < 64; way++) {
            const char *names[] = {all[i].name, "cal_dpo"};
            plumb_objective_options how = with_everything(names, 1 + (way >> 5));
            how.ld_alpha = way & 1 ? 0.4 : NAN;
            how.sft_coeff = way & 2 ? 0.3 : 0;
            how.pair_weights = (way & 4) != 0;
            how.use_weighting = (way & 8) != 0;
            how.f_divergence_type = way & 16 ? (plumb_divergence)(1 + way % 3) : PLUMB_REVERSE_KL;
            plumb_objective o;
            plumb_status s = plumb_objective_make(&how, &o);
            if (s) { /* combinations that make no sense; refusals are tested below */
                assert_int_equal(plumb_status_code(s), PLUMB_E_INPUT);
                plumb_status_free(s);
                continue;
            }
            check_differences(&o, 100 * i + way);
            checked++;
        }
    }
    assert_true(checked > 500);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static void make_one(const char *name, const plumb_loss_setting *settings, size_t count, plumb_objective *out)
{
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    how.loss_type = &name;
    how.loss_types = 1;
    how.settings = settings;
    how.setting_count = count;
    check_ok(plumb_objective_make(&how, out));
}

static plumb_pair_loss run_one(const plumb_objective *o, plumb_pair_logps in)
{
    plumb_arena arena = {0};
    plumb_pair_loss each;
    plumb_batch_loss batch;
    check_ok(plumb_objective_run(o, &in, 1, &arena, &each, &batch));
    plumb_arena_free(&arena);
    return each;
}

/* The rewards of losses without reference are those of TRL's CPOTrainer and ORPOTrainer. */
static void rewards(void **state)
{
    (void)state;
    const plumb_loss_setting alpha = {"alphapo_alpha", 0.5};
    plumb_pair_logps in = {.head = {-6, -8}, .ref_head = {-5, -9}, .tokens = {3, 2}};
    plumb_objective o;
    make_one("sigmoid_norm", NULL, 0, &o);
    plumb_pair_loss r = run_one(&o, in);
    assert_true(close_to(r.reward[0], -0.1, 1e-14, 0) && close_to(r.reward[1], 0.1, 1e-14, 0));
    make_one("cpo", NULL, 0, &o);
    r = run_one(&o, in);
    assert_true(close_to(r.reward[0], -0.6, 1e-14, 0) && close_to(r.reward[1], -0.8, 1e-14, 0));
    make_one("simpo", NULL, 0, &o);
    r = run_one(&o, in);
    assert_true(close_to(r.reward[0], -4, 1e-14, 0) && close_to(r.reward[1], -8, 1e-14, 0));
    make_one("alphapo", &alpha, 1, &o);
    r = run_one(&o, in);
    assert_true(close_to(r.reward[0], 2 * (1 - exp(1)) / 0.5, 1e-14, 0) &&
                close_to(r.reward[1], 2 * (1 - exp(2)) / 0.5, 1e-14, 0));
    const char *mixed[] = {"sft", "simpo"};
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    how.loss_type = mixed;
    how.loss_types = 2;
    check_ok(plumb_objective_make(&how, &o));
    assert_int_equal(o.rewarding, 1);
    assert_false(plumb_objective_needs_reference(&o));
    how.loss_types = 1;
    check_ok(plumb_objective_make(&how, &o));
    assert_true(plumb_objective_needs_reference(&o)); /* for the rewards, as TRL */
}

/* Beyond everything: the sum stays finite and the derivative right where |beta D| is thousands. */
static void far_apart(void **state)
{
    (void)state;
    size_t count;
    const plumb_loss *all = plumb_losses(&count);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, "squared_po") == 0) continue; /* e^-a is part of it */
        plumb_objective o;
        make_one(all[i].name, everything, sizeof everything / sizeof *everything, &o);
        for (int sign = -1; sign <= 1; sign += 2) {
            plumb_pair_logps in = {.head = {-50000, -50000}, .ref_head = {-50000, -50000}, .tokens = {900, 800}};
            in.head[sign > 0] += 40000;
            plumb_pair_loss r = run_one(&o, in);
            if (!isfinite(r.value) || !isfinite(r.head[0]) || !isfinite(r.head[1])) fail_msg("%s", all[i].name);
        }
        plumb_pair_loss r = run_one(&o, (plumb_pair_logps){.head = {0, -3}, .ref_head = {0, -3}, .tokens = {1, 1}});
        if (!isfinite(r.value) || !isfinite(r.head[0]) || !isfinite(r.head[1]))
            fail_msg("%s, probability 1", all[i].name);
    }
}

/* A pair's derivatives do not depend on its place; with weights the loss is the weighted mean. */
static void weights_of_pairs(void **state)
{
    (void)state;
    plumb_arena arena = {0};
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    plumb_objective plain, weighted;
    plumb_pair_logps in[3];
    plumb_pair_loss one[3], two[3];
    plumb_batch_loss a, b;
    draw_pairs(in, 3, 9);
    check_ok(plumb_objective_make(&how, &plain));
    how.pair_weights = true;
    check_ok(plumb_objective_make(&how, &weighted));
    check_ok(plumb_objective_run(&plain, in, 3, &arena, one, &a));
    check_ok(plumb_objective_run(&weighted, in, 3, &arena, two, &b));
    double sum = 0;
    for (size_t i = 0; i < 3; i++) {
        sum += in[i].weight * one[i].value / 3;
        assert_true(close_to(two[i].head[1], in[i].weight * one[i].head[1], 1e-15, 0));
        assert_true(one[i].reward[0] == two[i].reward[0]);
    }
    assert_true(close_to(b.loss, sum, 1e-15, 0));
    plumb_arena_free(&arena);
}

typedef struct refusal {
    const char *types[2];
    plumb_loss_setting setting;
    plumb_objective_options how;
    const char *says;
} refusal;

static void refusals(void **state)
{
    (void)state;
    static const double weights[] = {1, INFINITY};
    const refusal cases[] = {
        {{"sigmiod"}, {"beta", 0.1}, PLUMB_OBJECTIVE_DEFAULTS, "did you mean sigmoid?"},
        {{"exo_pair"},
         {"beta", 0.1},
         PLUMB_OBJECTIVE_DEFAULTS,
         "label_smoothing has no default for loss_type exo_pair"},
        {{"exo_pair"}, {"label_smoothing", 0}, PLUMB_OBJECTIVE_DEFAULTS, "label_smoothing: 0 is not in (0, 1)"},
        {{"robust"}, {"label_smoothing", 0.5}, PLUMB_OBJECTIVE_DEFAULTS, "label_smoothing: 0.5 is not in [0, 0.5)"},
        {{"alphapo"}, {"beta", 2}, PLUMB_OBJECTIVE_DEFAULTS, "alphapo_alpha has no default"},
        {{"kto_pair"}, {"beta", 1}, PLUMB_OBJECTIVE_DEFAULTS, "kto_z has no default"},
        {{"sigmoid"}, {"beta", 0}, PLUMB_OBJECTIVE_DEFAULTS, "beta: 0 is not in (0, inf)"},
        {{"sigmoid"}, {"bata", 1}, PLUMB_OBJECTIVE_DEFAULTS, "bata: no loss has such a parameter"},
        {{"sigmoid", "sft"}, {"beta", 1}, {.loss_weights = weights, .loss_weight_count = 1}, "1 numbers for 2 values"},
        {{"sigmoid", "sft"}, {"beta", 1}, {.loss_weights = weights, .loss_weight_count = 2}, "inf is not a finite"},
        {{"sigmoid"}, {"beta", 1}, {.ld_alpha = 1.5}, "ld_alpha: 1.5 is not in [0, 1]"},
        {{"sigmoid"}, {"beta", 1}, {.sft_coeff = -1}, "sft_coeff: -1"},
        {{"sigmoid"}, {"beta", 1}, {.f_alpha_divergence_coef = NAN}, "f_alpha_divergence_coef: "},
        {{"apo_zero"},
         {"beta", 1},
         {.f_divergence_type = PLUMB_JS_DIVERGENCE},
         "js_divergence has no meaning for loss_type apo_zero"},
        {{"sigmoid", "aot"}, {"beta", 1}, {.use_weighting = true}, "use_weighting does not go with loss_type aot"},
        {{"aot_unpaired"}, {"beta", 1}, {.pair_weights = true}, "a weight per pair does not go with"},
        {{"sft"}, {"beta", 1}, {.use_weighting = true}, "one number per batch"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_objective_options how = cases[i].how;
        plumb_objective o;
        how.loss_type = cases[i].types;
        how.loss_types = cases[i].types[1] ? 2 : 1;
        how.settings = &cases[i].setting;
        how.setting_count = 1;
        check_error(plumb_objective_make(&how, &o), PLUMB_E_INPUT, cases[i].says);
    }
}

static void parameters(void **state)
{
    (void)state;
    const char *names[] = {"sigmoid", "simpo"};
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    plumb_objective o;
    how.loss_type = names;
    how.loss_types = 2;
    check_ok(plumb_objective_make(&how, &o));
    assert_true(o.terms[0].parameters[0] == 0.1 && o.terms[1].parameters[0] == 2);
    assert_true(plumb_objective_parameter(&o, "beta") == 0.1);
    assert_true(plumb_objective_parameter(&o, "simpo_gamma") == 1);
    assert_true(isnan(plumb_objective_parameter(&o, "label_smoothing"))); /* sigmoid does not read it, as in TRL */
    const plumb_loss_setting given[] = {{"beta", 0.5}, {"simpo_gamma", NAN}};
    how.settings = given;
    how.setting_count = 2;
    check_ok(plumb_objective_make(&how, &o));
    assert_true(o.terms[0].parameters[0] == 0.5 && o.terms[1].parameters[0] == 0.5 && o.terms[1].parameters[1] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_of_the_table),
        cmocka_unit_test(batches_of_trl),
        cmocka_unit_test(derivatives_are_differences),
        cmocka_unit_test(rewards),
        cmocka_unit_test(far_apart),
        cmocka_unit_test(weights_of_pairs),
        cmocka_unit_test(refusals),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
