/* Greedy continuations against transformers' generate(), for each architecture and back end, and the logits behind them
 * against those of the forward pass over the whole sequence, to the bit. */
#include "support.h"

#include <math.h>

#include "model/forward.h"
#include "model/generation.h"

static const char *const models[] = {
    "olmo",        "olmo-clip-bf16",      "olmo2",   "gemma-bf16", "gemma-chat", "gemma2", "gemma3",   "llama2",
    "llama3-bf16", "llama3-chat-sharded", "mistral", "qwen2-bf16", "qwen3",      "phi3",   "gpt-neox", "aidreams260k"};

#define NEAR_TIE 1e-4

struct expectation {
    const json_t *rows;
    const char *name;
    int seen, ties;
};

static int32_t element(const json_t *row, const char *key, size_t i)
{
    return (int32_t)json_integer_value(json_array_get(json_object_get(row, key), i));
}

/* Equal, or different from a near tie on. */
static plumb_status compare(void *user, const plumb_generated *g)
{
    struct expectation *e = user;
    const json_t *row = json_array_get(e->rows, (size_t)g->key);
    size_t wanted = json_array_size(json_object_get(row, "new_ids"));
    assert_int_equal(g->key, e->seen++);
    for (size_t i = 0; i < wanted; i++) {
        if ((int)i < g->count && g->ids[i] == element(row, "new_ids", i)) continue;
        if (g->closest < NEAR_TIE && g->closest_at <= (int)i) {
            print_message("%s: prompt %lld differs at new token %zu after a near tie of %g\n", e->name,
                          (long long)g->key, i, g->closest);
            e->ties++;
            return PLUMB_OK;
        }
        fail_msg("%s: prompt %lld, new token %zu: %d, expected %d (closest %g)", e->name, (long long)g->key, i,
                 (int)i < g->count ? g->ids[i] : -1, element(row, "new_ids", i), g->closest);
    }
    assert_int_equal(g->count, wanted);
    return PLUMB_OK;
}

static json_t *load_rows(const char *name)
{
    const char *folder = oracle_path("expected", name);
    if (!folder) return NULL;
    char path[600];
    snprintf(path, sizeof path, "%s/generate.json", folder);
    json_t *rows = json_load_file(path, 0, NULL);
    assert_non_null(rows);
    return rows;
}

static void check_greedy(const char *name, const char *isa)
{
    json_t *rows = load_rows(name);
    if (!rows) {
        print_message("left out: %s (the shared reference files are not here)\n", name);
        return;
    }
    plumb_compute *c = open_isa(isa, 2);
    if (!c) {
        json_decref(rows);
        return;
    }
    plumb_model *m;
    plumb_generator *g;
    struct expectation e = {rows, name, 0, 0};
    check_ok(plumb_model_open(oracle_path("models", name), c, &m));
    int32_t eos = (int32_t)m->config.eos_id;
    plumb_generator_options how = {.sampling = {.top_p = 1, .max_new_tokens = 24, .eos = &eos, .eos_count = eos >= 0},
                                   .slots = 3,
                                   .emit = compare,
                                   .user = &e};
    check_ok(plumb_generator_new(m, &how, &g));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        int32_t ids[1024];
        size_t count = json_array_size(json_object_get(row, "prompt_ids"));
        assert_true(count <= 1024);
        for (size_t t = 0; t < count; t++) ids[t] = element(row, "prompt_ids", t);
        check_ok(plumb_generator_add(g, (int64_t)i, ids, (int)count, 1));
    }
    check_ok(plumb_generator_flush(g));
    assert_int_equal(e.seen, json_array_size(rows));
    assert_true(e.ties <= 1);
    plumb_generator_free(g);
    plumb_model_close(m);
    plumb_compute_close(c);
    json_decref(rows);
}

static void greedy_matches_transformers(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) check_greedy(models[i], *state);
}

/* ---- decoding against the whole sequence ---- */

enum { PROMPT = 37, LENGTH = 150 };

/* Final states of PROMPT .. LENGTH - 1 by extending a cache, first the prompt in two parts, then token by token. */
static void decode(const plumb_model *m, const int32_t *ids, float *states)
{
    plumb_cache cache = {0};
    plumb_forward *f;
    plumb_batch b = {0};
    const float *h;
    int first = 20, prompt, other, own, d = m->config.hidden_size;
    check_ok(plumb_cache_new(m, &cache));
    check_ok(plumb_cache_reserve(&cache, 300));
    check_ok(plumb_cache_take(&cache, 11, &other)); /* so that nothing begins at row 0 */
    check_ok(plumb_cache_take(&cache, PROMPT, &prompt));
    check_ok(plumb_cache_take(&cache, LENGTH - PROMPT, &own));
    check_ok(plumb_forward_new(m, &f));
    plumb_span none = {0, 0, first};
    check_ok(plumb_batch_extend(&b, ids, first, 0, (plumb_span){prompt, first, 0}, none, false));
    check_ok(plumb_forward_extend(f, &b, &cache, &h));
    plumb_batch_clear(&b);
    check_ok(plumb_batch_extend(&b, ids + first, PROMPT - first, first, (plumb_span){prompt, PROMPT, 0},
                                (plumb_span){0, 0, PROMPT}, true));
    check_ok(plumb_forward_extend(f, &b, &cache, &h));
    memcpy(states, h, (size_t)d * sizeof *h);
    for (int t = PROMPT; t < LENGTH; t++) {
        plumb_batch_clear(&b);
        check_ok(plumb_batch_extend(&b, ids + t, 1, t, (plumb_span){prompt, PROMPT, 0},
                                    (plumb_span){own, t - PROMPT + 1, PROMPT}, true));
        check_ok(plumb_forward_extend(f, &b, &cache, &h));
        memcpy(states + (size_t)(t - PROMPT + 1) * (size_t)d, h, (size_t)d * sizeof *h);
    }
    plumb_batch_free(&b);
    plumb_forward_free(f);
    plumb_cache_free(&cache);
}

static void check_bits(const char *name, const char *isa)
{
    const char *folder = oracle_path("models", name);
    plumb_compute *c = folder ? open_isa(isa, 1) : NULL;
    if (!c) return;
    plumb_model *m;
    plumb_forward *f;
    plumb_batch b = {0};
    plumb_group_place place;
    const float *h;
    check_ok(plumb_model_open(folder, c, &m));
    int32_t ids[LENGTH];
    int count = m->config.max_positions < LENGTH ? m->config.max_positions : LENGTH, d = m->config.hidden_size;
    assert_true(count > PROMPT);
    for (int i = 0; i < LENGTH; i++) ids[i] = (i * 7919 + 13) % m->config.vocab_size;
    check_ok(plumb_forward_new(m, &f));
    int length = LENGTH;
    check_ok(plumb_batch_add(&b, (const int32_t *[]){ids}, &length, 1, PROMPT, PROMPT - 1, &place));
    check_ok(plumb_forward_run(f, &b, &h));
    size_t states = LENGTH - PROMPT + 1;
    float *decoded = malloc(states * (size_t)d * sizeof *decoded);
    decode(m, ids, decoded);
    for (size_t t = 0; t < states; t++)
        if (memcmp(h + t * (size_t)d, decoded + t * (size_t)d, (size_t)d * sizeof *h) != 0)
            fail_msg("%s (%s): the decoded state of position %zu is another", name, isa, t + PROMPT - 1);
    free(decoded);
    plumb_batch_free(&b);
    plumb_forward_free(f);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void decoding_has_the_bits_of_the_forward_pass(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) check_bits(models[i], *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"greedy ref", greedy_matches_transformers, NULL, NULL, (void *)"ref"},
        {"greedy avx2", greedy_matches_transformers, NULL, NULL, (void *)"avx2"},
        {"greedy avx512", greedy_matches_transformers, NULL, NULL, (void *)"avx512"},
        {"bits ref", decoding_has_the_bits_of_the_forward_pass, NULL, NULL, (void *)"ref"},
        {"bits avx2", decoding_has_the_bits_of_the_forward_pass, NULL, NULL, (void *)"avx2"},
        {"bits avx512", decoding_has_the_bits_of_the_forward_pass, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
