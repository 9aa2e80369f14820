/* The tensors that a configuration implies are those that transformers wrote into the reference checkpoints, no more
 * and no fewer, for every architecture. */
#include "support.h"

#include "base/memory.h"
#include "io/safetensors.h"
#include "model/model.h"

/* Every architecture of the table is in at least one of these. */
static const char *const checkpoints[] = {"olmo",    "olmo-clip-bf16", "olmo2",  "gemma-bf16",  "gemma-chat",
                                          "gemma2",  "gemma3",         "llama2", "llama3-bf16", "llama3-chat-sharded",
                                          "mistral", "qwen2-bf16",     "qwen3",  "phi3",        "gpt-neox"};
enum { CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

typedef struct seen {
    const plumb_tensors *set;
    size_t count;
    int64_t elements;
    char last[300];
} seen;

static plumb_status compare(void *user, const char *name, int dims, const int64_t *shape)
{
    seen *s = user;
    const plumb_tensor *t = plumb_tensors_find(s->set, name);
    if (!t) fail_msg("%s: not in the checkpoint", name);
    assert_int_equal(t->dims, dims);
    for (int i = 0; i < dims; i++)
        if (t->shape[i] != shape[i])
            fail_msg("%s: dimension %d is %lld, expected %lld", name, i, (long long)shape[i], (long long)t->shape[i]);
    s->count++;
    s->elements += t->count;
    snprintf(s->last, sizeof s->last, "%s", name);
    return PLUMB_OK;
}

static void implied_tensors_are_stored_ones(void **state)
{
    (void)state;
    for (int i = 0; i < CHECKPOINTS; i++) {
        const char *folder = oracle_path("models", checkpoints[i]);
        plumb_tensors *set;
        plumb_config c;
        size_t count;
        assert_non_null(folder);
        check_ok(plumb_config_load(folder, &c));
        check_ok(plumb_tensors_open(folder, &set));
        seen s = {.set = set};
        check_ok(plumb_config_tensors(&c, &(plumb_tensor_visit){compare, &s}));
        plumb_tensors_list(set, &count);
        assert_int_equal(s.count, count); /* each was found, and a name can be given only once in a file */
        assert_int_equal(s.elements, plumb_config_parameters(&c));
        plumb_tensors_close(set);
    }
}

static void every_architecture_is_covered(void **state)
{
    (void)state;
    size_t count;
    const plumb_architecture *rows = plumb_architectures(&count);
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (int k = 0; k < CHECKPOINTS && !found; k++) {
            plumb_config c;
            check_ok(plumb_config_load(oracle_path("models", checkpoints[k]), &c));
            found = c.architecture == &rows[i];
        }
        if (!found) fail_msg("no reference checkpoint of %s", rows[i].model_type);
    }
}

static plumb_config parsed(const char *text)
{
    plumb_config c;
    check_ok(plumb_config_parse(text, strlen(text), "config.json", &c));
    return c;
}

static plumb_status note_last(void *user, const char *name, int dims, const int64_t *shape)
{
    seen *s = user;
    (void)dims, (void)shape;
    s->count++;
    snprintf(s->last, sizeof s->last, "%s", name);
    return PLUMB_OK;
}

/* Biases that no reference checkpoint has, and the order: embedding first, unembedding last. */
static void biases_and_order(void **state)
{
    (void)state;
    plumb_config c =
        parsed("{\"model_type\": \"llama\", \"vocab_size\": 10, \"hidden_size\": 8, \"intermediate_size\": 12,"
               "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"attention_bias\": true,"
               "\"mlp_bias\": true, \"tie_word_embeddings\": false}");
    seen s = {0};
    check_ok(plumb_config_tensors(&c, &(plumb_tensor_visit){note_last, &s}));
    assert_int_equal(s.count, 1 + 2 * (7 * 2 + 2) + 1 + 1);
    assert_string_equal(s.last, "lm_head.weight");
    c = parsed("{\"model_type\": \"qwen2\", \"vocab_size\": 10, \"hidden_size\": 8, \"intermediate_size\": 12,"
               "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"num_key_value_heads\": 2,"
               "\"tie_word_embeddings\": true}");
    s = (seen){0};
    check_ok(plumb_config_tensors(&c, &(plumb_tensor_visit){note_last, &s}));
    assert_int_equal(s.count, 1 + 7 + 3 + 2 + 1);
    assert_string_equal(s.last, "model.norm.weight");
}

static plumb_status refuse_third(void *user, const char *name, int dims, const int64_t *shape)
{
    (void)dims, (void)shape;
    return ++*(int *)user == 3 ? plumb_fail(PLUMB_E_IO, "%s: full", name) : PLUMB_OK;
}

static void failures_stop(void **state)
{
    (void)state;
    plumb_config c;
    int calls = 0;
    check_ok(plumb_config_load(oracle_path("models", "llama2"), &c));
    check_error(plumb_config_tensors(&c, &(plumb_tensor_visit){refuse_third, &calls}), PLUMB_E_IO,
                "q_proj.weight: full");
    assert_int_equal(calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(implied_tensors_are_stored_ones),
        cmocka_unit_test(every_architecture_is_covered),
        cmocka_unit_test(biases_and_order),
        cmocka_unit_test(failures_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
