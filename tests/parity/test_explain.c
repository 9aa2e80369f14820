/* What plumb explain tells against the reference's theory.jsonl, for each checkpoint and back end; that blame and
 * matrices add up to the terms; that a step of gradient flow changes ln pi(y+) as predicted. */
#include "parity/reference_pairs.h"

#include "study/explain.h"

static double sum(const double *values, int count)
{
    double total = 0;
    for (int i = 0; i < count; i++) total += values[i];
    return total;
}

static void check_terms(const char *name, size_t i, const plumb_explanation *x, const json_t *want)
{
    const plumb_theory *t = &x->score.theory;
    double scale = 1e-4 * (fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path));
    close_to(name, i, "minus", t->minus, number(want, "minus"), scale);
    close_to(name, i, "plus", t->plus, number(want, "plus"), scale);
    close_to(name, i, "hidden_path", t->hidden_path, number(want, "hidden_path"), scale);
    close_to(name, i, "alpha_ches", t->alpha_ches, number(want, "alpha_ches"), scale);
    close_to(name, i, "rate", t->rate, number(want, "rate"), scale);
    close_to(name, i, "shared_states", x->shared_states, number(want, "shared_states"), 0);
    close_to(name, i, "alpha_minus_positive", x->alpha_minus_positive, number(want, "alpha_minus_positive"), 1e-12);
    close_to(name, i, "alpha_plus_positive", x->alpha_plus_positive, number(want, "alpha_plus_positive"), 1e-12);
}

/* Lists of n and m and matrices of bins all hold the same sums. */
static void check_sums(const char *name, size_t i, const plumb_explanation *x, int cells)
{
    const plumb_theory *t = &x->score.theory;
    const plumb_blame_matrix *m = &x->matrix;
    int n = x->score.tokens[0], longest = n > x->score.tokens[1] ? n : x->score.tokens[1];
    double scale = 1e-9 * (fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path));
    for (int side = 0; side < 2; side++) {
        close_to(name, i, "blame", sum(x->blame.blame[side], x->score.tokens[side]), t->minus, scale);
        close_to(name, i, "log-probs", sum(x->logps[side], x->score.tokens[side]), x->score.logps[side], 1e-9);
    }
    close_to(name, i, "plus of the tokens", sum(x->blame.plus, n), t->plus, scale);
    close_to(name, i, "hidden_path of the tokens", sum(x->blame.hidden_path, n), t->hidden_path, scale);
    close_to(name, i, "rate of the tokens", sum(x->blame.rate, n), t->rate, scale);
    assert_int_equal(m->bin, (longest + cells - 1) / cells);
    assert_true(m->rows <= cells && m->columns <= cells);
    close_to(name, i, "minus of the matrix", sum(m->minus, m->rows * m->columns), t->minus, scale);
    close_to(name, i, "plus of the matrix", sum(m->plus, m->rows * m->rows), t->plus, scale);
    for (int k = 0; m->bin == 1 && k < n; k++)
        close_to(name, i, "a row of the matrix", sum(m->minus + k * m->columns, m->columns), x->blame.blame[0][k],
                 scale);
}

static void check_single(const char *name, size_t i, const plumb_explanation *x, const json_t *want)
{
    const plumb_single_token *s = &x->single;
    const json_t *single = json_object_get(want, "single_token"), *top = json_object_get(single, "top");
    if (x->is_single != !!single)
        fail_msg("%s pair %zu: single-token: %d, expected %d", name, i, x->is_single, !!single);
    if (!single) return;
    double scale = 1e-6 * s->w_plus_norm * (s->w_plus_norm + s->w_minus_norm);
    close_to(name, i, "w_dot", s->w_dot, number(single, "w_dot"), scale);
    close_to(name, i, "w_plus_norm", s->w_plus_norm, number(single, "w_plus_norm"), 1e-6 * s->w_plus_norm);
    close_to(name, i, "w_minus_norm", s->w_minus_norm, number(single, "w_minus_norm"), 1e-6 * s->w_minus_norm);
    close_to(name, i, "projection", s->projection, number(single, "projection"), 1e-6 * s->w_plus_norm);
    close_to(name, i, "orthogonal", s->orthogonal, number(single, "orthogonal"), 1e-6 * s->w_minus_norm);
    close_to(name, i, "hidden_norm", s->hidden_norm, number(single, "hidden_norm"), 2e-4 * s->hidden_norm);
    assert_int_equal(x->first.top_count, json_array_size(top));
    for (int k = 0; k < x->first.top_count; k++) {
        const json_t *pair = json_array_get(top, (size_t)k);
        close_to(name, i, "a token of top", x->first.top[k].id, json_number_value(json_array_get(pair, 0)), 0);
        close_to(name, i, "its value", x->first.top[k].move, json_number_value(json_array_get(pair, 1)), scale);
    }
}

/* Theorems 1 and 2 as formulas give the rate that the sums of Theorem 3 give (without a cap). */
static void check_first_token(const char *name, size_t i, const plumb_explanation *x)
{
    const plumb_single_token *s = &x->single;
    const plumb_first_token *f = &x->first;
    double plus2 = s->w_plus_norm * s->w_plus_norm, h2 = s->hidden_norm * s->hidden_norm;
    double through_w = (1 - f->p_plus + f->p_minus) * h2;
    double others = f->others + f->p_plus * s->move[f->plus] + f->p_minus * s->move[f->minus];
    double through_h = plus2 - s->w_dot - others;
    close_to(name, i, "the unembedding's part of the first token", f->unembedding, through_w, 1e-4 * h2);
    close_to(name, i, "the states' part of the first token", f->hidden, through_h, 1e-4 * (plus2 + fabs(s->w_dot)));
    close_to(name, i, "the rate of the first token", f->rate, f->unembedding + f->hidden, 0);
    close_to(name, i, "the probability", log(f->p_plus), x->logps[0][0], 1e-4);
}

static void check_step(const char *name, size_t i, const plumb_explanation *x)
{
    const plumb_theory_step *c = &x->check;
    const plumb_theory *t = &x->score.theory;
    if (!(c->largest_move > 0 && c->largest_move <= 1e-3))
        fail_msg("%s pair %zu: a logit moved by %g", name, i, c->largest_move);
    close_to(name, i, "predicted", c->predicted, c->step * t->rate, 0);
    close_to(name, i, "actual change", c->actual, c->predicted,
             0.01 * c->step * (fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path)));
    assert_true(c->agrees);
    /* and really much closer, where the change is not lost in cancellation */
    close_to(name, i, "actual change, closely", c->actual, c->predicted,
             0.001 * c->step * (fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path)));
}

static void explain_all(const char *name, const char *isa, const char *folder, const json_t *rows, const json_t *theory)
{
    enum { CELLS = 16 };
    plumb_compute *c = open_isa(isa, 1);
    plumb_model *m;
    plumb_tokenizer *tokenizer;
    plumb_explainer *e;
    size_t i, t = 0;
    json_t *row;
    if (!c) return;
    check_ok(plumb_model_open(folder, c, &m));
    check_ok(plumb_tokenizer_open(folder, &tokenizer));
    plumb_explain_how how = {
        .model = m, .tokenizer = tokenizer, .data = "pairs", .top = 10, .cells = CELLS, .check = true};
    check_ok(plumb_explainer_new(&how, &e));
    json_array_foreach(rows, i, row)
    {
        const plumb_explanation *x;
        plumb_pair pair = {0};
        if (json_object_get(row, "skipped")) continue;
        const json_t *want = json_array_get(theory, t++);
        reference_pair(row, &pair);
        check_ok(plumb_explainer_run(e, (int64_t)i, 0, &pair, &x));
        check_terms(name, i, x, want);
        check_sums(name, i, x, CELLS);
        check_single(name, i, x, want);
        if (x->is_single && !(m->config.final_cap > 0)) check_first_token(name, i, x);
        check_step(name, i, x);
        plumb_pair_free(&pair);
    }
    plumb_explainer_free(e);
    plumb_tokenizer_free(tokenizer);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void explanations_match(void **state)
{
    for (size_t i = 0; i < REFERENCE_MODELS; i++) {
        const char *name = reference_models[i];
        const char *folder = oracle_path("models", name), *expected = oracle_path("expected", name);
        if (!folder || !expected) {
            print_message("left out: %s (the shared reference files are not here)\n", name);
            continue;
        }
        json_t *rows = load_jsonl(expected, "scores.jsonl"), *theory = load_jsonl(expected, "theory.jsonl");
        explain_all(name, *state, folder, rows, theory);
        json_decref(rows);
        json_decref(theory);
    }
}

/* ---- a model after training ---- */

static void check_after(const char *name, size_t i, const plumb_explanation *x, const json_t *want)
{
    const plumb_explain_after *a = &x->after;
    const json_t *gained = json_object_get(want, "gained");
    assert_true(x->has_after);
    close_to(name, i, "ln pi(y+) after", a->logps[0], number(want, "chosen"),
             1e-3 * (x->score.tokens[0] / 100.0 + 0.1));
    close_to(name, i, "ln pi(y-) after", a->logps[1], number(want, "rejected"),
             1e-3 * (x->score.tokens[1] / 100.0 + 0.1));
    for (int side = 0; side < 2; side++)
        close_to(name, i, "the change", a->change[side], a->logps[side] - x->score.logps[side], 0);
    assert_int_equal(x->is_single, !!gained);
    if (!gained) return;
    /* a rank is a place among 500 or more: ranks of neighbours may be exchanged */
    close_to(name, i, "spearman_logit", a->spearman_logit, number(want, "spearman_logit"), 1e-4);
    close_to(name, i, "spearman_probability", a->spearman_probability, number(want, "spearman_probability"), 1e-4);
    assert_int_equal(a->gained_count, json_array_size(gained));
    for (int k = 0; k < a->gained_count; k++) {
        const json_t *token = json_array_get(gained, (size_t)k);
        const plumb_explained_token *got = &a->gained[k];
        double p_after = json_number_value(json_array_get(token, 2));
        close_to(name, i, "a token that gained", got->id, json_number_value(json_array_get(token, 0)), 0);
        close_to(name, i, "p_before", got->p_before, json_number_value(json_array_get(token, 1)), 2e-4 * p_after);
        close_to(name, i, "p_after", got->p_after, p_after, 2e-4 * p_after);
        close_to(name, i, "dlogit", got->dlogit, json_number_value(json_array_get(token, 3)), 1e-3);
    }
}

static void compare_after(const char *name, const char *isa, const json_t *wants)
{
    char policy[128];
    plumb_compute *c = open_isa(isa, 1);
    plumb_model *before, *after;
    plumb_tokenizer *tokenizer;
    plumb_explainer *e;
    size_t i;
    json_t *want;
    if (!c) return;
    snprintf(policy, sizeof policy, "policy-%s", name);
    json_t *rows = load_jsonl(oracle_path("expected", name), "scores.jsonl");
    check_ok(plumb_model_open(oracle_path("models", name), c, &before));
    check_ok(plumb_model_open(oracle_path("models", policy), c, &after));
    check_ok(plumb_tokenizer_open(oracle_path("models", name), &tokenizer));
    plumb_explain_how how = {
        .model = before, .after = after, .tokenizer = tokenizer, .after_name = policy, .data = "pairs", .top = 5};
    check_ok(plumb_explainer_new(&how, &e));
    json_array_foreach(wants, i, want)
    {
        const plumb_explanation *x;
        plumb_pair pair = {0};
        size_t index = (size_t)json_integer_value(json_object_get(want, "index"));
        reference_pair(json_array_get(rows, index), &pair);
        check_ok(plumb_explainer_run(e, (int64_t)index, 0, &pair, &x));
        assert_int_equal(x->matrix.bin, 0);
        check_after(name, index, x, want);
        plumb_pair_free(&pair);
    }
    plumb_explainer_free(e);
    plumb_tokenizer_free(tokenizer);
    plumb_model_close(after);
    plumb_model_close(before);
    plumb_compute_close(c);
    json_decref(rows);
}

static void after_training_matches(void **state)
{
    json_error_t error;
    const char *name;
    json_t *wants, *all = json_load_file(PLUMB_TEST_DATA "/expected/explain_after.json", 0, &error);
    assert_non_null(all);
    json_object_foreach(all, name, wants) compare_after(name, *state, wants);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"explain ref", explanations_match, NULL, NULL, (void *)"ref"},
        {"explain avx2", explanations_match, NULL, NULL, (void *)"avx2"},
        {"explain avx512", explanations_match, NULL, NULL, (void *)"avx512"},
        {"after training ref", after_training_matches, NULL, NULL, (void *)"ref"},
        {"after training avx2", after_training_matches, NULL, NULL, (void *)"avx2"},
        {"after training avx512", after_training_matches, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
