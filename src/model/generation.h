/* Generation: prompts in, completions out, with a key/value cache.
 *
 *     plumb_generator *g;
 *     plumb_generator_new(model, &options, &g);
 *     plumb_generator_add(g, key, ids, count, samples);     any number of prompts
 *     plumb_generator_flush(g);                             completions come through emit
 *     plumb_generator_free(g);
 *
 * A prompt is computed once and shared by its samples; rows that finish are replaced at once by the next ones that
 * wait. A completion depends on the model, its prompt, `seed`, `key` and the sample's number alone: not on the batch,
 * the threads, the number of slots or the order of prompts. Weights may change between two flushes (a policy that is
 * being trained): nothing of them is kept. */
#ifndef PLUMB_MODEL_GENERATION_H
#define PLUMB_MODEL_GENERATION_H

#include "base/sink.h"
#include "model/model.h"

/* How the next token is chosen: logits (after the model's cap) / temperature; the top_k largest; of these the fewest
 * whose probability reaches top_p (as transformers' logits warpers, in this order); one of the rest by its probability.
 * Equal logits: the lower id counts as larger. */
typedef struct plumb_sampling {
    double temperature; /* 0: greedy, the largest logit */
    double top_p;       /* 1: off */
    int top_k;          /* 0: off */
    int max_new_tokens; /* >= 1 */
    uint64_t seed;
    const int32_t *eos; /* [eos_count] ids that end a completion; borrowed */
    int eos_count;
} plumb_sampling;

/* How a completion ended; the names stand in generate rows: eos, length, stop. LENGTH also where the model has no more
 * positions or the prompt fills them. */
typedef enum plumb_finish { PLUMB_FINISH_EOS, PLUMB_FINISH_LENGTH, PLUMB_FINISH_STOP } plumb_finish;
const char *plumb_finish_name(plumb_finish finish);

typedef struct plumb_generated {
    int64_t key;        /* the caller's number of the prompt */
    int sample;         /* 0 .. samples - 1 */
    const int32_t *ids; /* [count] the new tokens, the ending EOS included; valid during the call */
    int count;
    plumb_finish finish;
    double
        closest; /* greedy: the smallest distance between the largest and the second logit on the way; else INFINITY */
    int closest_at; /* at which new token that was */
} plumb_generated;

typedef struct plumb_generator_options {
    plumb_sampling sampling;
    int slots; /* completions that run side by side; 0: a default. Changes time and memory, no result */
    /* After each new token, when not NULL: ends the completion (PLUMB_FINISH_STOP) when *stop is set. */
    plumb_status (*stop)(void *user, const plumb_generated *so_far, bool *stop);
    /* Called for each completion, in the order of plumb_generator_add and, within a prompt, of samples. */
    plumb_status (*emit)(void *user, const plumb_generated *generated);
    void *user;
    const plumb_sink *sink; /* asked before each token of a batch whether to stop; NULL: never. Borrowed */
} plumb_generator_options;

typedef struct plumb_generator plumb_generator;

/* The model must outlive the generator. PLUMB_E_INPUT for sampling options out of their bounds. */
plumb_status plumb_generator_new(const plumb_model *model, const plumb_generator_options *options,
                                 plumb_generator **out) PLUMB_MUST_USE;
void plumb_generator_free(plumb_generator *g);

/* A prompt of count >= 1 ids (copied) for `samples` completions. Runs what waits when enough does; completions may be
 * emitted during this call. An id outside the vocabulary is PLUMB_E_INPUT. */
plumb_status plumb_generator_add(plumb_generator *g, int64_t key, const int32_t *ids, int count,
                                 int samples) PLUMB_MUST_USE;
/* Runs all that waits to its end. */
plumb_status plumb_generator_flush(plumb_generator *g) PLUMB_MUST_USE;

/* Tokens so far: read as prompts, generated. */
void plumb_generator_tokens(const plumb_generator *g, int64_t *prompt, int64_t *generated);

/* Bytes of key/value cache, activations and logits for prompts and completions up to these lengths, for plans. */
int64_t plumb_generator_bytes(const plumb_config *c, const plumb_generator_options *options, int longest_prompt);

#endif
