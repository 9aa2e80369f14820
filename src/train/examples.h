/* Training data in memory: the tokens of every pair or sequence that can be trained on, with what is known about it. */
#ifndef PLUMB_TRAIN_EXAMPLES_H
#define PLUMB_TRAIN_EXAMPLES_H

#include "align/losses.h"
#include "align/pair_reader.h"

/* One pair; a sequence for SFT is a pair with sides = 1 (train/completions.h). */
typedef struct plumb_example {
    int64_t index; /* row of the data file */
    uint64_t row;  /* its hash */
    int32_t *ids[2];
    int totals[2]; /* tokens of prompt + response */
    int prompt, shared, sides;
    uint8_t *trained; /* [totals[0]] SFT: 1 for each token that the loss counts; NULL: all after the prompt */
    bool scored;      /* a reward head reads the state of each side's last token, and no other */
    bool desirable;   /* KTO: is the completion wanted? */
    bool has_reference, has_start;
    double ref_head[2], ref_tail[2]; /* log-probs under the reference */
    double start[2];                 /* under the policy before the first step, summed */
    double weight;                   /* of its loss; 1 without a gate */
    double margin;                   /* reward models: by how much the chosen reward is to be the larger one */
} plumb_example;

typedef struct plumb_examples {
    plumb_example *list;
    size_t count, capacity;
    plumb_arena arena;            /* ids */
    int64_t skipped[PLUMB_SKIPS]; /* rows that cannot be trained on, by reason */
    int64_t truncated;
    uint64_t hash; /* over the rows read (base/row_hash.h) */
    int longest;   /* rows that the largest pair, or block, needs in a batch */
    /* Packing: block b holds the examples list[block[b]] .. list[block[b + 1] - 1], which stand in one micro-batch
     * together. NULL: every example stands for itself. */
    size_t *block; /* [blocks + 1] */
    size_t blocks, block_capacity;
} plumb_examples;

/* Reads all pairs of a reader. PLUMB_E_INPUT when none is left. */
plumb_status plumb_examples_read(plumb_pair_reader *reader, plumb_examples *out) PLUMB_MUST_USE;

/* Appends a copy of one sequence pair (sides 1 or 2). */
plumb_status plumb_examples_add(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids ids[], int sides,
                                int prompt, int shared) PLUMB_MUST_USE;
/* Appends a copy of one sequence (ids->count >= 1) for SFT, whose loss counts the tokens with trained[i]; never the
 * first one. */
plumb_status plumb_examples_add_sequence(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids *ids,
                                         const uint8_t *trained) PLUMB_MUST_USE;
/* Appends a copy of one or two sequences (each of at least one token) that a reward head scores at their last tokens;
 * `shared` leading tokens are common to both. */
plumb_status plumb_examples_add_scored(plumb_examples *e, int64_t index, uint64_t row, const plumb_ids ids[], int sides,
                                       int shared) PLUMB_MUST_USE;
void plumb_examples_free(plumb_examples *e);

/* What a micro-batch counts as one row: the blocks, or the examples. */
size_t plumb_examples_rows(const plumb_examples *e);

/* Targets of an example's first side: the tokens that an SFT loss counts. 1 where it is scored. */
int plumb_example_targets(const plumb_example *x);

#endif
