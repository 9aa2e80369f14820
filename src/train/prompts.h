/* The prompts of a policy-gradient run, in memory. */
#ifndef PLUMB_TRAIN_PROMPTS_H
#define PLUMB_TRAIN_PROMPTS_H

#include "align/prompt_reader.h"

typedef struct plumb_prompt_row {
    int64_t index; /* row of the data file */
    uint64_t row;  /* its hash */
    int32_t *ids;  /* [count] what the model reads */
    int count;
    const char *json; /* the prompt as a JSON value, a string or a list of messages: what rewards are told */
} plumb_prompt_row;

/* {0} is empty. */
typedef struct plumb_prompts {
    plumb_prompt_row *list;
    size_t count, capacity;
    plumb_arena arena;
    uint64_t hash;      /* over the rows read (base/row_hash.h) */
    int longest;        /* tokens of the longest prompt */
    int64_t unusable;   /* bad rows that were passed over */
    int64_t full;       /* prompts that leave no position of the model for a completion */
    int64_t plain_text; /* prompts that were strings */
} plumb_prompts;

/* Appends a copy. */
plumb_status plumb_prompts_add(plumb_prompts *p, int64_t index, uint64_t row, const int32_t *ids, int count,
                               const char *json, size_t json_size) PLUMB_MUST_USE;

/* Reads all prompts of a source. Those with `positions` tokens or more are left out and counted. PLUMB_E_INPUT when
 * none is left; errors carry file:line. */
plumb_status plumb_prompts_read(const plumb_prompt_source *source, int positions, plumb_prompts *out) PLUMB_MUST_USE;

void plumb_prompts_free(plumb_prompts *p);

#endif
