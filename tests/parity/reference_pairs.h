/* The pairs of the reference, by its own tokens (tests/parity/test_pairs.c checks those), and comparing numbers. */
#ifndef PLUMB_TESTS_REFERENCE_PAIRS_H
#define PLUMB_TESTS_REFERENCE_PAIRS_H

#include "support.h"

#include <math.h>

#include "align/pair.h"

static const char *const reference_models[] = {
    "olmo",        "olmo-clip-bf16",      "olmo2",   "gemma-bf16", "gemma-chat", "gemma2", "gemma3",   "llama2",
    "llama3-bf16", "llama3-chat-sharded", "mistral", "qwen2-bf16", "qwen3",      "phi3",   "gpt-neox", "aidreams260k"};
enum { REFERENCE_MODELS = sizeof reference_models / sizeof *reference_models };

static inline void read_ids(const json_t *row, const char *key, plumb_ids *out)
{
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(row, key), i, id) check_ok(plumb_ids_push(out, (int32_t)json_integer_value(id)));
}

/* The pair of a row of scores.jsonl; *out is freed by the caller. */
static inline void reference_pair(const json_t *row, plumb_pair *out)
{
    plumb_preference p = {.form = PLUMB_FORM_IDS};
    plumb_pairing how = {.max_length = 512};
    if (!json_object_get(row, "skipped")) {
        read_ids(row, "prompt_ids", &p.prompt_ids);
        read_ids(row, "chosen_ids", &p.response_ids[0]);
        read_ids(row, "rejected_ids", &p.response_ids[1]);
    }
    check_ok(plumb_pair_make(&how, &p, out));
    plumb_preference_clear(&p);
}

static inline void close_to(const char *name, size_t row, const char *what, double got, double want, double allowed)
{
    if (!(fabs(got - want) <= allowed))
        fail_msg("%s pair %zu: %s is %.9g, expected %.9g (allowed difference %.3g)", name, row, what, got, want,
                 allowed);
}

static inline double number(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) fail_msg("the reference has no %s", key);
    return json_number_value(value);
}

#endif
