/* Measures, log-probabilities and theory terms against the reference, for each checkpoint and back end, and the same
 * bits for every thread count and packing. */
#include "align/scorer.h"
#include "parity/reference_pairs.h"

typedef struct results {
    plumb_score *scores;
    size_t count;
} results;

static plumb_status keep(void *user, const plumb_score *score)
{
    results *r = user;
    r->scores = realloc(r->scores, (r->count + 1) * sizeof *r->scores);
    r->scores[r->count++] = *score;
    return PLUMB_OK;
}

/* Scores the reference's own tokens. */
static results score_all(plumb_model *m, const json_t *rows, int batch_rows, uint32_t measures)
{
    results r = {0};
    plumb_scorer *s;
    plumb_scorer_options options = {.measures = measures, .batch_rows = batch_rows, .emit = keep, .user = &r};
    check_ok(plumb_scorer_new(m, &options, &s));
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        plumb_pair pair = {0};
        reference_pair(row, &pair);
        check_ok(plumb_scorer_add(s, (int64_t)i, 0, &pair));
        plumb_pair_free(&pair);
    }
    check_ok(plumb_scorer_flush(s));
    plumb_scorer_free(s);
    return r;
}

static double sum_of(const json_t *row, const char *key)
{
    double sum = 0;
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(row, key), i, value) sum += json_number_value(value);
    return sum;
}

static void check_row(const char *name, size_t i, const plumb_score *s, const json_t *want, const json_t *theory)
{
    double n = s->tokens[0], m = s->tokens[1];
    close_to(name, i, "ches", s->ches, number(want, "ches"), 1e-5 * (fabs(s->dot) + s->norm2[0]));
    close_to(name, i, "ln_ches", s->ln_ches, number(want, "ln_ches"),
             1e-5 * (fabs(s->dot) / (n * m) + s->norm2[0] / (n * n)));
    /* 1e-5 of |h+| |h-|: after the last norm |h|^2 is about the width, 64, of these checkpoints */
    close_to(name, i, "last_hidden", s->last_hidden, number(want, "last_hidden"), 1e-5 * 60);
    close_to(name, i, "edit_similarity", s->edit_similarity, number(want, "edit_similarity"), 1e-12);
    close_to(name, i, "logps/chosen", s->logps[0], sum_of(want, "chosen_logps"), 1e-3 * (n / 100 + 0.1));
    close_to(name, i, "logps/rejected", s->logps[1], sum_of(want, "rejected_logps"), 1e-3 * (m / 100 + 0.1));
    const plumb_theory *t = &s->theory;
    double scale = 1e-4 * (fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path));
    close_to(name, i, "minus", t->minus, number(theory, "minus"), scale);
    close_to(name, i, "plus", t->plus, number(theory, "plus"), scale);
    close_to(name, i, "hidden_path", t->hidden_path, number(theory, "hidden_path"), scale);
    close_to(name, i, "alpha_ches", t->alpha_ches, number(theory, "alpha_ches"), scale);
    close_to(name, i, "rate", t->rate, number(theory, "rate"), scale);
    double exact = number(theory, "grad_plus_plus");
    close_to(name, i, "grad_plus_plus", s->grad_plus_plus, exact, 2e-3 * exact);
    close_to(name, i, "grad_plus_minus", s->grad_plus_minus, number(theory, "grad_plus_minus"), 2e-3 * exact);
}

static void same_bits(const char *name, const char *what, results a, results b)
{
    assert_int_equal(a.count, b.count);
    for (size_t i = 0; i < a.count; i++)
        if (memcmp(&a.scores[i].ches, &b.scores[i].ches,
                   offsetof(plumb_score, grad_plus_plus) - offsetof(plumb_score, ches)) != 0)
            fail_msg("%s pair %zu: other bits with %s (ches %.17g and %.17g, rate %.17g and %.17g)", name, i, what,
                     a.scores[i].ches, b.scores[i].ches, a.scores[i].theory.rate, b.scores[i].theory.rate);
}

static void check_model(const char *name, const char *isa)
{
    const char *folder = oracle_path("models", name), *expected = oracle_path("expected", name);
    if (!folder || !expected) {
        print_message("left out: %s (the shared reference files are not here)\n", name);
        return;
    }
    json_t *rows = load_jsonl(expected, "scores.jsonl"), *theory = load_jsonl(expected, "theory.jsonl");
    assert_int_equal(json_array_size(rows), 25);
    results first = {0};
    for (int threads = 1; threads <= 3; threads++) {
        plumb_compute *c = open_isa(isa, threads);
        plumb_model *m;
        if (!c) break;
        check_ok(plumb_model_open(folder, c, &m));
        /* gradients take long: their bits are compared in test_backward.c */
        results r = score_all(m, rows, threads == 1 ? 0 : threads == 2 ? 1 : 300, threads == 1 ? 127 : 63);
        if (threads == 1)
            first = r;
        else {
            same_bits(name, threads == 2 ? "2 threads, a pair at a time" : "3 threads, small batches", first, r);
            free(r.scores);
        }
        plumb_model_close(m);
        plumb_compute_close(c);
    }
    size_t t = 0;
    for (size_t i = 0; i < first.count; i++) {
        const json_t *want = json_array_get(rows, i);
        if (json_object_get(want, "skipped")) continue;
        const json_t *terms = json_array_get(theory, t++);
        assert_int_equal(json_integer_value(json_object_get(terms, "index")), i);
        check_row(name, i, &first.scores[i], want, terms);
    }
    free(first.scores);
    json_decref(rows);
    json_decref(theory);
}

static void scores_match(void **state)
{
    for (size_t i = 0; i < REFERENCE_MODELS; i++) check_model(reference_models[i], *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"scores ref", scores_match, NULL, NULL, (void *)"ref"},
        {"scores avx2", scores_match, NULL, NULL, (void *)"avx2"},
        {"scores avx512", scores_match, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
