/* Tokens of pairs against TRL's, and the paper's own similarity script end to end, from the files a user has. */
#include "support.h"

#include <math.h>

#include "align/pair_reader.h"
#include "align/scorer.h"

static const char *const models[] = {
    "olmo",        "olmo-clip-bf16",      "olmo2",   "gemma-bf16", "gemma-chat", "gemma2", "gemma3",   "llama2",
    "llama3-bf16", "llama3-chat-sharded", "mistral", "qwen2-bf16", "qwen3",      "phi3",   "gpt-neox", "aidreams260k"};

static void same_ids(const char *model, int64_t row, const char *what, const json_t *want, const int32_t *got,
                     size_t count)
{
    bool same = json_array_size(want) == count;
    for (size_t i = 0; same && i < count; i++) same = json_integer_value(json_array_get(want, i)) == got[i];
    if (same) return;
    char *text = json_dumps(want, JSON_COMPACT);
    print_error("%s row %lld: %s are", model, (long long)row, what);
    for (size_t i = 0; i < count; i++) print_error(" %d", got[i]);
    fail_msg("expected %s", text);
}

static plumb_pair_reader *open_pairs(const plumb_encoder *e, plumb_compat compat, int max_length, bool chat)
{
    plumb_pair_reader *r;
    plumb_pair_source source = {.path = chat ? PLUMB_TEST_DATA "/pairs/pairs.chat.jsonl"
                                             : PLUMB_TEST_DATA "/pairs/pairs.jsonl",
                                .end = -1,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {e, compat, max_length}};
    check_ok(plumb_pair_reader_open(&source, &r));
    return r;
}

static void tokens_match_trl(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
        const char *folder = oracle_path("models", models[k]), *expected = oracle_path("expected", models[k]);
        if (!folder || !expected) continue;
        plumb_encoder *e;
        check_ok(plumb_encoder_open(folder, NULL, -1, &e));
        plumb_pair_reader *r = open_pairs(e, PLUMB_COMPAT_TRL, 512, e->chat != NULL);
        json_t *rows = load_jsonl(expected, "scores.jsonl");
        for (size_t i = 0; i < json_array_size(rows); i++) {
            const json_t *want = json_array_get(rows, i);
            const plumb_row *row;
            const plumb_pair *p;
            bool found;
            check_ok(plumb_pair_reader_next(r, &row, &p, &found));
            assert_true(found);
            if (json_object_get(want, "skipped")) continue;
            assert_int_equal(p->skip, PLUMB_SKIP_NONE);
            size_t n = (size_t)p->prompt;
            same_ids(models[k], row->index, "prompt ids", json_object_get(want, "prompt_ids"), p->ids[0].data, n);
            same_ids(models[k], row->index, "prompt ids", json_object_get(want, "prompt_ids"), p->ids[1].data, n);
            same_ids(models[k], row->index, "chosen ids", json_object_get(want, "chosen_ids"), p->ids[0].data + n,
                     p->ids[0].count - n);
            same_ids(models[k], row->index, "rejected ids", json_object_get(want, "rejected_ids"), p->ids[1].data + n,
                     p->ids[1].count - n);
            assert_int_equal(p->boundary_clean, json_is_true(json_object_get(want, "boundary_clean")));
        }
        json_decref(rows);
        plumb_pair_reader_close(r);
        plumb_encoder_close(e);
    }
}

typedef struct results {
    plumb_score scores[64];
    size_t count;
} results;

static plumb_status keep(void *user, const plumb_score *score)
{
    results *r = user;
    if (!score->skip) r->scores[r->count++] = *score;
    return PLUMB_OK;
}

static const struct similarity {
    const char *name, *model;
    int max_length;
} similarities[] = {{"gemma-chat", "gemma-chat", 0},
                    {"llama3-chat-sharded", "llama3-chat-sharded", 0},
                    {"gemma2", "gemma2", 0},
                    {"qwen3", "qwen3", 0},
                    {"qwen3-short", "qwen3", 48}};

static void close_to(const char *name, int64_t row, const char *what, double got, const json_t *list, size_t i,
                     double allowed)
{
    double want = json_number_value(json_array_get(list, i));
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s row %lld: %s is %.9g, expected %.9g", name, (long long)row, what, got, want);
}

/* The reference sums in float32 (see oracle README), so that its own rounding is allowed beside the tolerance. */
static void check_similarity(const struct similarity *t, const char *isa)
{
    char path[600];
    plumb_compute *c = open_isa(isa, 1);
    if (!c) return;
    plumb_model *m;
    plumb_encoder *e;
    plumb_scorer *s;
    results r = {.count = 0};
    const char *folder = oracle_path("models", t->model);
    check_ok(plumb_model_open(folder, c, &m));
    check_ok(plumb_encoder_open(folder, NULL, -1, &e));
    plumb_scorer_options how = {.measures = 15, .compat = PLUMB_COMPAT_OFFICIAL, .emit = keep, .user = &r};
    check_ok(plumb_scorer_new(m, &how, &s));
    plumb_pair_reader *reader = open_pairs(e, PLUMB_COMPAT_OFFICIAL, t->max_length, false);
    for (;;) {
        const plumb_row *row;
        const plumb_pair *p;
        bool found;
        check_ok(plumb_pair_reader_next(reader, &row, &p, &found));
        if (!found) break;
        check_ok(plumb_scorer_add(s, row->index, row->hash, p));
    }
    check_ok(plumb_scorer_flush(s));
    snprintf(path, sizeof path, "%s/expected/official/similarity-%s.json", PLUMB_TEST_DATA, t->name);
    json_t *want = json_load_file(path, 0, NULL);
    assert_non_null(want);
    const json_t *index = json_object_get(want, "sample_indices");
    assert_int_equal(json_array_size(index), r.count);
    for (size_t i = 0; i < r.count; i++) {
        const plumb_score *v = &r.scores[i];
        double n = v->tokens[0] + 1, k = v->tokens[1] + 1;
        assert_int_equal(json_integer_value(json_array_get(index, i)), v->index);
        close_to(t->name, v->index, "ches", v->ches, json_object_get(want, "ches_scores"), i,
                 1e-5 * (fabs(v->dot) + v->norm2[0]));
        close_to(t->name, v->index, "ln_ches", v->ln_ches, json_object_get(want, "ln_ches_scores"), i,
                 1e-5 * (fabs(v->dot) / (n * k) + v->norm2[0] / (n * n)));
        close_to(t->name, v->index, "last_hidden", v->last_hidden,
                 json_object_get(want, "last_hidden_embedding_inner_prods"), i, 1e-5 * 60);
        close_to(t->name, v->index, "edit similarity - 1", v->edit_similarity - 1,
                 json_object_get(want, "minus_normalized_edit_distances"), i, 1e-6);
    }
    json_decref(want);
    plumb_pair_reader_close(reader);
    plumb_scorer_free(s);
    plumb_encoder_close(e);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void similarity_matches_the_papers_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof similarities / sizeof *similarities; i++)
        for (int k = 0; k < TEST_ISAS; k++) check_similarity(&similarities[i], test_isas[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tokens_match_trl),
                                       cmocka_unit_test(similarity_matches_the_papers_code)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
