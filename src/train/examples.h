/* Training data in memory: the tokens of every pair that can be trained on, with what is known about it. */
#ifndef PLUMB_TRAIN_EXAMPLES_H
#define PLUMB_TRAIN_EXAMPLES_H

#include "align/losses.h"
#include "align/pair_reader.h"

/* One pair; a completion for SFT is a pair with sides = 1. */
typedef struct plumb_example {
    int64_t index; /* row of the data file */
    uint64_t row;  /* its hash */
    int32_t *ids[2];
    int totals[2]; /* tokens of prompt + response */
    int prompt, shared, sides;
    bool has_reference, has_start;
    double ref_head[2], ref_tail[2]; /* log-probs under the reference */
    double start[2];                 /* under the policy before the first step, summed */
    double weight;                   /* of its loss; 1 without a gate */
} plumb_example;

typedef struct plumb_examples {
    plumb_example *list;
    size_t count, capacity;
    plumb_arena arena;            /* ids */
    int64_t skipped[PLUMB_SKIPS]; /* rows that cannot be trained on, by reason */
    int64_t truncated;
    uint64_t hash; /* over the rows read (base/row_hash.h) */
    int longest;   /* rows that the largest pair needs in a batch */
} plumb_examples;

/* Reads all pairs of a reader. PLUMB_E_INPUT when none is left. */
plumb_status plumb_examples_read(plumb_pair_reader *reader, plumb_examples *out) PLUMB_MUST_USE;

/* Appends a copy of one sequence pair (sides 1 or 2). */
plumb_status plumb_examples_add(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids ids[], int sides,
                                int prompt, int shared) PLUMB_MUST_USE;
void plumb_examples_free(plumb_examples *e);

#endif
