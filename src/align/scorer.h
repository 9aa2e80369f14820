/* The scorer: pairs in, scores out, in the same order. Packs pairs into batches of bounded size and runs the model once
 * per batch; memory does not grow with the number of pairs. A score depends on its pair and the model alone, not on the
 * batch. A pair whose measures are not finite (weights that overflow) is PLUMB_E_INPUT that names its row.
 *
 *     plumb_scorer *s;
 *     plumb_scorer_new(model, &options, &s);
 *     for each row: plumb_scorer_add(s, index, hash, &pair);
 *     plumb_scorer_flush(s);
 */
#ifndef PLUMB_ALIGN_SCORER_H
#define PLUMB_ALIGN_SCORER_H

#include "align/measures.h"
#include "model/forward.h"

/* How the theory terms of a scored pair came about. */
typedef struct plumb_score_terms {
    plumb_theory_input in;
    plumb_theory_parts parts;
    const double *logps; /* [n + m] of each token: chosen first, then rejected */
} plumb_score_terms;

typedef struct plumb_scorer_options {
    uint32_t measures;   /* a bit for each row of plumb_measures */
    plumb_compat compat; /* official: all states up to the last token count */
    bool plan;           /* run nothing: only count (plumb_scorer_flops, _largest, _bytes); emit may be NULL */
    bool stream;         /* layers leave the memory when they are computed (model/forward.h) */
    int batch_rows;      /* packed rows of a batch (0: the default, 2048); one pair may be larger */
    plumb_status (*emit)(void *user, const plumb_score *score); /* called in order; a failure stops the scorer */
    /* Called before emit, when not NULL, for each scored pair with the final state [hidden_size] that predicts the
     * first token at which the responses differ (the last common one where one response begins the other). */
    plumb_status (*differing)(void *user, const plumb_score *score, const float *state);
    /* Called before emit, when not NULL and a measure needs the theory, for each scored pair. What it gets is valid
     * during the call. */
    plumb_status (*terms)(void *user, const plumb_score *score, const plumb_score_terms *terms);
    void *user;
    const plumb_sink *sink; /* asked before each layer and each pair whether to stop; NULL: never. Borrowed */
} plumb_scorer_options;

enum {
    PLUMB_BATCH_ROWS = 2048,
    PLUMB_STREAM_ROWS = 8192, /* with `stream`: a layer is read once for so many rows */
};

typedef struct plumb_scorer plumb_scorer;

/* model may be NULL when no measure needs it (plumb_measures_need). */
plumb_status plumb_scorer_new(const plumb_model *model, const plumb_scorer_options *options,
                              plumb_scorer **out) PLUMB_MUST_USE;
void plumb_scorer_free(plumb_scorer *s);

/* Takes one row (its tokens are copied); scores come through emit, perhaps later. */
plumb_status plumb_scorer_add(plumb_scorer *s, int64_t index, uint64_t row, const plumb_pair *pair) PLUMB_MUST_USE;
/* Scores what is waiting. */
plumb_status plumb_scorer_flush(plumb_scorer *s) PLUMB_MUST_USE;

/* The least floating-point operations of all batches so far (plumb_forward_flops, and the unembedding where it is
 * needed). */
double plumb_scorer_flops(const plumb_scorer *s);

/* Packed rows and wanted states of the largest batch so far. */
void plumb_scorer_largest(const plumb_scorer *s, int *rows, int *wanted);

/* Bytes beside the mapped checkpoint that the rows so far take at the most, by what the measures need: activations and
 * scratch, log-probabilities by vocabulary tile, the matrices of the theory, gradients of all weights. Known after a
 * plan too. */
int64_t plumb_scorer_bytes(const plumb_scorer *s);

/* All needs of a selection. */
int plumb_measures_need(uint32_t measures);

#endif
