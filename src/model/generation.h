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
 * the threads, the number of slots or the order of prompts. Its logits have the bits that plumb_forward_run gives for
 * the group of one branch whose shared prefix is the prompt (attention tiles start at the end of the prompt). Token t is drawn with
 * plumb_uniform(seed, key, sample * 2^32 + t).
 *
 * After a flush the weights may change (a policy that is being trained), and so may an attached adapter: nothing that
 * was computed with them is kept. After a failure the generator can only be freed. */
#ifndef PLUMB_MODEL_GENERATION_H
#define PLUMB_MODEL_GENERATION_H

#include "base/sink.h"
#include "model/model.h"
#include "model/sampling.h"

/* How a completion ended; the names stand in generate rows: eos, length, stop. LENGTH also where the model has no more
 * positions or the prompt fills them. */
typedef enum plumb_finish { PLUMB_FINISH_EOS, PLUMB_FINISH_LENGTH, PLUMB_FINISH_STOP } plumb_finish;
const char *plumb_finish_name(plumb_finish finish);

typedef struct plumb_generated {
    int64_t key;        /* the caller's number of the prompt */
    int sample;         /* 0 .. samples - 1 */
    const int32_t *ids; /* [count] the new tokens, the ending EOS included; valid during the call. 0 where the prompt
                           fills the model's positions */
    int count;
    plumb_finish finish;
    double
        closest; /* greedy: the smallest distance between the largest and the second logit on the way; else INFINITY */
    int closest_at; /* at which new token that was */
} plumb_generated;

typedef struct plumb_generator_options {
    plumb_sampling sampling;
    /* Completions that run side by side. Changes time and memory, no result. 0: up to 32, fewer while their cache would
     * take more than 2 GiB. */
    int slots;
    /* After each new token that is not an EOS, when not NULL: ends the completion (PLUMB_FINISH_STOP) when *stop is
     * set. Calls for different completions come in any order. */
    plumb_status (*stop)(void *user, const plumb_generated *so_far, bool *stop);
    /* Called for each completion, in the order of plumb_generator_add and, within a prompt, of samples. Neither this
     * nor stop may call the generator. */
    plumb_status (*emit)(void *user, const plumb_generated *generated);
    void *user;
    const plumb_sink *sink; /* asked before each layer whether to stop; NULL: never. Borrowed */
} plumb_generator_options;

typedef struct plumb_generator plumb_generator;

/* The model must outlive the generator; the options are copied. PLUMB_E_INPUT for sampling options out of their bounds.
 */
plumb_status plumb_generator_new(const plumb_model *model, const plumb_generator_options *options,
                                 plumb_generator **out) PLUMB_MUST_USE;
void plumb_generator_free(plumb_generator *g);

/* A prompt of count >= 1 ids (copied) for `samples` >= 1 completions. Runs what waits when enough does; completions may
 * be emitted during this call. An empty prompt and an id outside the vocabulary are PLUMB_E_INPUT, and then the
 * generator goes on. Memory does not grow with the number of prompts: a slow completion holds back at most a bounded
 * number of later ones. */
plumb_status plumb_generator_add(plumb_generator *g, int64_t key, const int32_t *ids, int count,
                                 int samples) PLUMB_MUST_USE;
/* Runs all that waits to its end. */
plumb_status plumb_generator_flush(plumb_generator *g) PLUMB_MUST_USE;

/* Tokens so far: read as prompts, generated. */
void plumb_generator_tokens(const plumb_generator *g, int64_t *prompt, int64_t *generated);

/* Bytes of key/value cache, activations and logits at the most for prompts of that length, for plans. */
int64_t plumb_generator_bytes(const plumb_config *c, const plumb_generator_options *options, int longest_prompt);

#endif
