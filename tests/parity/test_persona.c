/* The paper's single-example experiment (Razin et al. 2024, section 4.1; make/official.py ran its own code): one
 * prompt, one token on each side, 101 updates of RMSprop. The ledger must show, after each of them, by how much both
 * tokens' log-probs changed and which ten tokens gained most probability; so must a trace from the start to a
 * checkpoint. */
#include "run_support.h"

#include <math.h>

#include "study/trace_rows.h"
#include "study/trace_run.h"

enum { UPDATES = 101, COMPARED = 100, TOP = 10, SAVED = 20 };

static const char *const runs[] = {"gemma-chat-no-never", "llama3-chat-sure-yes", "olmo-no-never", "olmo-yes-no",
                                   "olmo-yes-no-ipo"};

static json_t *load_expected(const char *run)
{
    char path[700];
    snprintf(path, sizeof path, "%s/expected/official/persona-%s-9773.json", PLUMB_TEST_DATA, run);
    json_t *expected = json_load_file(path, 0, NULL);
    if (!expected) fail_msg("%s cannot be read", path);
    return expected;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

/* The row as a user would write it: the prompt's ids (a rendered conversation holds its special tokens already) and one
 * token of the vocabulary on each side. */
static const char *write_row(const plumb_encoder *encoder, const json_t *expected)
{
    plumb_ids prompt = {0};
    plumb_text row = {0};
    const char *text = text_of(expected, "prompt"), *sides[2] = {"preferred", "dispreferred"};
    check_ok(plumb_tokenizer_encode(encoder->tokenizer, text, strlen(text), !encoder->chat, &prompt));
    check_ok(plumb_text_string(&row, "{\"prompt_ids\":["));
    for (size_t i = 0; i < prompt.count; i++) check_ok(plumb_text_printf(&row, "%s%d", i ? "," : "", prompt.data[i]));
    for (int s = 0; s < 2; s++) {
        const char *token = text_of(expected, sides[s]);
        int32_t id = plumb_tokenizer_id(encoder->tokenizer, token, strlen(token));
        assert_true(id >= 0);
        check_ok(plumb_text_printf(&row, "],\"%s_ids\":[%d", s ? "rejected" : "chosen", id));
    }
    check_ok(plumb_text_string(&row, "]}\n"));
    const char *path = scratch_file("row.jsonl", row.data, row.size);
    plumb_text_free(&row);
    plumb_ids_free(&prompt);
    return path;
}

static plumb_examples read_row(const char *path)
{
    plumb_pair_reader *reader;
    plumb_examples e = {0};
    plumb_pair_source source = {.path = path,
                                .end = -1,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {.compat = PLUMB_COMPAT_TRL, .max_length = 1024}};
    check_ok(plumb_pair_reader_open(&source, &reader));
    check_ok(plumb_examples_read(reader, &e));
    plumb_pair_reader_close(reader);
    assert_int_equal(e.count, 1);
    return e;
}

static plumb_objective read_objective(const json_t *expected)
{
    plumb_objective_options how = PLUMB_OBJECTIVE_DEFAULTS;
    plumb_loss_setting beta = {"beta", real_of(expected, "beta")};
    const char *type = strcmp(text_of(expected, "objective"), "ipo") == 0 ? "ipo_sum" : "sigmoid";
    plumb_objective objective;
    how.loss_type = &type;
    how.loss_types = 1;
    how.settings = &beta;
    how.setting_count = 1;
    check_ok(plumb_objective_make(&how, &objective));
    return objective;
}

static double step_value(const json_t *metrics, const char *key, size_t step)
{
    const json_t *value = json_array_get(json_array_get(json_object_get(metrics, key), 0), step - 1);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void check_change(const char *run, size_t step, const char *side, double got, double want)
{
    if (!(fabs(got - want) <= 1e-3))
        fail_msg("%s: after %zu updates the log-prob of %s changed by %.9g, the paper's code has %.9g", run, step, side,
                 got, want);
}

/* The ten tokens in their order, and their gains within a thousandth. The first updates of RMSprop take but the sign of
 * every gradient, and so would take that of rounding where it is 0: the two sides' terms must cancel exactly there. */
static void check_gained(const char *run, size_t step, const json_t *row, const json_t *metrics)
{
    const json_t *gained = json_object_get(row, "gained");
    const json_t *ids = json_array_get(
        json_array_get(json_object_get(metrics, "per_example_until_step_top_prob_increase_token_ids"), 0), step - 1);
    const json_t *gains = json_array_get(
        json_array_get(json_object_get(metrics, "per_example_until_step_top_prob_increase_values"), 0), step - 1);
    assert_int_equal(json_array_size(ids), TOP);
    assert_int_equal(json_array_size(gained), TOP);
    assert_true(real_of(row, "position") == 0);
    for (size_t k = 0; k < TOP; k++) {
        const json_t *token = json_array_get(gained, k);
        json_int_t got = json_integer_value(json_object_get(token, "token")),
                   want = json_integer_value(json_array_get(ids, k));
        if (got != want)
            fail_msg("%s: after %zu updates token %d of those that gained most is %d, the paper's code has %d", run,
                     step, (int)k, (int)got, (int)want);
        double gain = real_of(token, "p_after") - real_of(token, "p_before"),
               expected = json_number_value(json_array_get(gains, k));
        if (!(fabs(gain - expected) <= 1e-3 * fabs(expected) + 1e-6))
            fail_msg("%s: after %zu updates token %d gained %.9g, the paper's code has %.9g", run, step, (int)got, gain,
                     expected);
    }
}

static void check_ledger(const char *run, const char *folder, const json_t *metrics)
{
    json_t *rows = load_jsonl(folder, "ledger.jsonl");
    const json_t *start = json_array_get(rows, 0);
    assert_int_equal(json_array_size(rows), UPDATES + 1);
    assert_true(real_of(start, "logps/chosen") == real_of(start, "ref_logps/chosen")); /* rewards of exactly 0 */
    assert_true(real_of(start, "logps/rejected") == real_of(start, "ref_logps/rejected"));
    assert_int_equal(json_array_size(json_object_get(start, "gained")), 0);
    for (size_t step = 1; step <= COMPARED; step++) {
        const json_t *row = json_array_get(rows, step);
        assert_true(real_of(row, "step") == (double)step);
        check_change(run, step, "the preferred token", real_of(row, "logps/chosen") - real_of(start, "logps/chosen"),
                     step_value(metrics, "per_example_per_step_preferred_token_logprob_change", step));
        check_change(run, step, "the dispreferred token",
                     real_of(row, "logps/rejected") - real_of(start, "logps/rejected"),
                     step_value(metrics, "per_example_per_step_dispreferred_token_logprob_change", step));
        check_gained(run, step, row, metrics);
    }
    json_decref(rows);
}

/* ---- the same from checkpoints ---- */

typedef struct traced {
    const char *run;
    size_t step;
    const json_t *metrics;
    const plumb_token_groups *groups;
    int rows;
} traced;

static plumb_status check_traced(void *user, plumb_trace_row *row)
{
    traced *t = user;
    plumb_text line = {0};
    json_error_t error;
    check_ok(plumb_trace_line(row, t->groups, &line));
    json_t *json = json_loads(line.data, 0, &error);
    assert_non_null(json);
    check_change(t->run, t->step, "the preferred token", real_of(json, "dlogp_chosen"),
                 step_value(t->metrics, "per_example_per_step_preferred_token_logprob_change", t->step));
    check_change(t->run, t->step, "the dispreferred token", real_of(json, "dlogp_rejected"),
                 step_value(t->metrics, "per_example_per_step_dispreferred_token_logprob_change", t->step));
    check_gained(t->run, t->step, json, t->metrics);
    /* y+'s own token, by now nearly certain, is left out: the others cannot gain more than what is left. */
    assert_true(row->place.gains.all <= 1 - row->place.chosen.change.after + 1e-6);
    assert_true(row->place.verdict == PLUMB_VERDICT_NONE);
    assert_true(row->single && row->chosen_tokens == 1 && row->first_logps[1] == row->after[0]);
    json_decref(json);
    plumb_text_free(&line);
    t->rows++;
    return PLUMB_OK;
}

static void trace_pair(const plumb_trace_options *how, const char *path)
{
    plumb_tracer *tracer;
    plumb_pair_reader *reader;
    const plumb_row *row;
    const plumb_pair *pair;
    bool found;
    plumb_pair_source source = {.path = path,
                                .end = -1,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {.compat = PLUMB_COMPAT_TRL, .max_length = 1024}};
    check_ok(plumb_tracer_new(how, &tracer));
    check_ok(plumb_pair_reader_open(&source, &reader));
    check_ok(plumb_pair_reader_next(reader, &row, &pair, &found));
    assert_true(found);
    check_ok(plumb_tracer_add(tracer, row->index, row->hash, pair));
    check_ok(plumb_tracer_flush(tracer));
    plumb_pair_reader_close(reader);
    plumb_tracer_free(tracer);
}

static void check_traces(const char *run, const char *folder, const char *row, const plumb_model *start,
                         const plumb_encoder *encoder, const json_t *metrics)
{
    plumb_token_groups *groups;
    check_ok(plumb_token_groups_open(NULL, &groups));
    traced t = {.run = run, .metrics = metrics, .groups = groups};
    for (t.step = SAVED; t.step <= COMPARED; t.step += SAVED) {
        char name[64];
        plumb_derived_model end;
        snprintf(name, sizeof name, "checkpoint-%zu", t.step);
        check_ok(plumb_derived_model_open(start, in_folder(folder, name), &end));
        plumb_trace_options how = {.before = start,
                                   .after = end.model,
                                   .tokenizer = encoder->tokenizer,
                                   .groups = groups,
                                   .top = TOP,
                                   .eos = -1,
                                   .emit = check_traced,
                                   .user = &t};
        trace_pair(&how, row);
        plumb_derived_model_close(&end);
    }
    assert_int_equal(t.rows, COMPARED / SAVED);
    plumb_token_groups_free(groups);
}

/* The course from the ledger: its largest drop is that of the paper's list, found again by comparing every two steps.
 */
static void check_drop(const char *run, const char *folder, const json_t *metrics)
{
    plumb_ledger_file ledger = {0};
    plumb_arena arena = {0};
    plumb_course_point *course;
    size_t count;
    double want = 0;
    check_ok(plumb_ledger_read(folder, &(plumb_sink){0}, &ledger));
    check_ok(plumb_ledger_course(&ledger, 0, true, NULL, 0, &arena, &course, &count));
    assert_int_equal(count, UPDATES + 1);
    for (size_t j = 0; j <= COMPARED; j++)
        for (size_t i = j + 1; i <= COMPARED; i++) {
            static const char key[] = "per_example_per_step_preferred_token_logprob_change";
            double fall = (j ? step_value(metrics, key, j) : 0) - step_value(metrics, key, i);
            if (fall > want) want = fall;
        }
    plumb_drop drop = plumb_course_drop(course, COMPARED + 1);
    check_change(run, (size_t)drop.to, "the preferred token from its peak", drop.value, want);
    plumb_arena_free(&arena);
    plumb_ledger_file_free(&ledger);
}

static void check_run(const char *run, plumb_compute *c)
{
    json_t *expected = load_expected(run);
    const char *model = oracle_path("models", text_of(expected, "model")), *folder = new_folder("persona");
    plumb_encoder *encoder;
    plumb_model *start;
    plumb_run_report report;
    plumb_objective objective = read_objective(expected);
    check_ok(plumb_encoder_open(model, NULL, -1, &encoder));
    check_ok(plumb_model_open(model, c, &start));
    const char *row = write_row(encoder, expected);
    plumb_examples e = read_row(row);
    plumb_run_options o = run_defaults(folder, model, &objective);
    check_ok(plumb_optimizer_make("rmsprop", NULL, &o.trainer.optimizer));
    o.trainer.max_grad_norm = 0;
    o.pace.learning_rate = real_of(expected, "lr");
    o.order = (plumb_order_options){.batch = 1, .accumulation = 1, .max_steps = UPDATES};
    o.pace.save_steps = SAVED;
    o.pace.ledger_steps = 1;
    o.ledger_tokens = TOP;
    o.tokenizer = encoder->tokenizer;
    check_ok(plumb_run(&o, start, start, &e, &report));
    assert_int_equal(report.steps, UPDATES);
    check_ledger(run, folder, json_object_get(expected, "metrics"));
    check_drop(run, folder, json_object_get(expected, "metrics"));
    check_traces(run, folder, row, start, encoder, json_object_get(expected, "metrics"));
    plumb_examples_free(&e);
    plumb_model_close(start);
    plumb_encoder_close(encoder);
    json_decref(expected);
}

static void persona_matches_the_paper(void **state)
{
    plumb_compute *c = open_isa(*state, 1);
    if (!c) return;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) check_run(runs[i], c);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"persona ref", persona_matches_the_paper, NULL, NULL, (void *)"ref"},
        {"persona avx2", persona_matches_the_paper, NULL, NULL, (void *)"avx2"},
        {"persona avx512", persona_matches_the_paper, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
