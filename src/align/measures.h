/* The measures of a pair: one table row each. A measure says what it needs and which fields it writes; the scorer
 * computes what the selected ones need and nothing more. */
#ifndef PLUMB_ALIGN_MEASURES_H
#define PLUMB_ALIGN_MEASURES_H

#include <stdint.h>

#include "align/pair.h"
#include "align/theory.h"

/* What a measure is computed from. */
typedef enum plumb_need {
    PLUMB_NEED_NOTHING = 0,  /* the tokens */
    PLUMB_NEED_STATES = 1,   /* final hidden states */
    PLUMB_NEED_LOGPS = 2,    /* the unembedding too */
    PLUMB_NEED_THEORY = 4,   /* and a second walk over the vocabulary */
    PLUMB_NEED_GRADIENT = 8, /* two backward passes for each pair */
} plumb_need;

/* Everything known about one scored row; the unselected parts are not set. */
typedef struct plumb_score {
    int64_t index;
    uint64_t row; /* XXH3-64 of the row's bytes */
    plumb_skip skip;
    int prompt_tokens, tokens[2], shared_tokens;
    bool boundary_clean, truncated;
    /* S = sum of the states that predict a response, n = their number (Definition 2 of the paper):
     *   ches    = <S+, S-> - |S+|^2
     *   ln_ches = <S+, S-> / (n+ n-) - |S+|^2 / n+^2 */
    double ches, ln_ches, dot, norm2[2];
    double last_hidden;      /* inner product of the last states */
    double edit_similarity;  /* 1 - Levenshtein / longer length */
    double logps[2];         /* ln pi(y | x) = head + tail */
    double head[2], tail[2]; /* of the first min(n+, n-) tokens, of the rest (ld_alpha) */
    plumb_theory theory;
    double grad_plus_plus, grad_plus_minus; /* align/gradient_products.h */
} plumb_score;

typedef struct plumb_field {
    const char *name; /* in score rows */
    int digits;       /* significant digits printed */
    double (*get)(const plumb_score *score);
} plumb_field;

enum { PLUMB_MEASURE_FIELDS = 5 };

typedef struct plumb_measure {
    const char *name;                         /* in --measures */
    const char *meaning;                      /* one line, for --help and docs */
    int needs;                                /* plumb_need bits */
    plumb_field fields[PLUMB_MEASURE_FIELDS]; /* ends at a NULL name; the first is the one that summaries show */
} plumb_measure;

const plumb_measure *plumb_measures(size_t *count);
/* Index of a measure by name, or -1. */
int plumb_measure_find(const char *name);

/* Sums the states of a response: sum [d] = sum over n rows of h [n][d], fp64, in row order. */
void plumb_sum_states(const float *h, int ldh, int n, int d, double *sum);

/* The name of the first field of the selected measures (as the score's line has them) whose value is not finite, or
 * NULL when all are. */
const char *plumb_score_not_finite(const plumb_score *score, uint32_t selected);

/* Appends the JSON line of a score, with the fields of the measures in `selected` (a bit for each table row). A value
 * that is not finite is written as null. */
plumb_status plumb_score_line(const plumb_score *score, uint32_t selected, plumb_text *out) PLUMB_MUST_USE;

/* Is this a number of a score's line that measures nothing by itself: dot, norm2_*, *_tokens, index? */
bool plumb_score_is_helper(const char *field);

#endif
