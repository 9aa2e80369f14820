/* One pair explained by the theorems of the paper (Razin et al. 2024, arXiv 2410.08847): does the likelihood of its
 * preferred response fall, which tokens are to blame, and for responses of one token, where does the probability go?
 *
 *     plumb_explainer *e;
 *     plumb_explainer_new(&how, &e);
 *     for each pair: plumb_explainer_run(e, index, hash, &pair, &x);      x is valid until the next run
 *                    plumb_explain_json(e, x, &text) or plumb_explain_text(e, x, &text)
 *     plumb_explainer_free(e);
 */
#ifndef PLUMB_STUDY_EXPLAIN_H
#define PLUMB_STUDY_EXPLAIN_H

#include "align/scorer.h"
#include "align/single_token.h"
#include "align/theory_step.h"

enum { PLUMB_EXPLAIN_CELLS = 128 };

/* Models and tokenizer are borrowed. */
typedef struct plumb_explain_how {
    const plumb_model *model;
    const plumb_model *after;         /* the same model after training; NULL: none */
    const plumb_tokenizer *tokenizer; /* of both */
    const char *after_name, *data;    /* for the output */
    plumb_compat compat;
    int top;        /* tokens of the lists; at most the vocabulary is given */
    int cells;      /* most tokens, or bins of tokens, on a side of the matrices; 0: no matrices */
    bool gradients; /* the inner products of the full gradients too */
    bool check;     /* a step of gradient flow too */
    const plumb_sink *sink;
} plumb_explain_how;

/* What each token contributes: sums over the tokens of the other side, so that a list adds up to its term of
 * plumb_theory. Blame is what the other response, pushed down, takes from the preferred one. */
typedef struct plumb_blame {
    double *blame[2]; /* [n] of chosen token k: sum_k' alpha-_{k,k'} <h+_k, h-_k'>; [m] of rejected token k': over k */
    double *plus;     /* [n] sum_k' alpha+_{k,k'} <h+_k, h+_k'> */
    double *hidden_path; /* [n] */
    double *rate;        /* [n] plus - blame + hidden_path: d ln pi(y+_k | x, y+_<k) / dt */
} plumb_blame;

/* alpha <h, h'> of bins of `bin` neighbouring tokens each (the last bin may be shorter): values of a bin are summed, so
 * that the whole is the term. */
typedef struct plumb_blame_matrix {
    int bin, rows, columns;
    double *minus; /* [rows][columns] chosen x rejected */
    double *plus;  /* [rows][rows] chosen x chosen */
} plumb_blame_matrix;

/* A token at the one place of a single-token pair. */
typedef struct plumb_explained_token {
    int32_t id;
    double move;              /* <W_z, W_y+ - W_y-> */
    double p_before, p_after; /* probability; p_after and dlogit only with `after` */
    double dlogit;            /* change before any cap */
} plumb_explained_token;

/* Of pairs whose responses are one token each, not the same one, with or without an EOS or other special token that
 * closes both: what the theorems say about the first token. */
typedef struct plumb_first_token {
    int32_t plus, minus;
    double p_plus, p_minus;     /* probabilities */
    double others;              /* the second term of Theorem 1; the first is single.w_dot */
    double unembedding, hidden; /* the parts of the rate: through W, and through h */
    double rate;                /* d ln pi(y+|x) / dt of the first token alone */
    plumb_explained_token *top; /* [top_count] largest move first: predicted to gain most */
    int top_count;
} plumb_first_token;

/* What became of the pair in the model after training. */
typedef struct plumb_explain_after {
    double logps[2];  /* ln pi(y|x) */
    double change[2]; /* against before */
    /* Of single-token pairs, over the vocabulary: Spearman's rho between <W_z, W_y+ - W_y-> and the change of the logit
     * before any cap, and of the probability; NaN where one of them is constant. */
    double spearman_logit, spearman_probability;
    plumb_explained_token *gained; /* [gained_count] largest gain of probability first, y+ among them if it is */
    int gained_count;
} plumb_explain_after;

typedef struct plumb_explanation {
    plumb_score score; /* ches, ln_ches, edit, logps, alpha, and grad where asked for */
    const plumb_pair *pair;
    int shared_states;
    double alpha_minus_positive, alpha_plus_positive; /* shares of positive coefficients */
    double *logps[2];                                 /* of each token */
    plumb_blame blame;
    plumb_blame_matrix matrix; /* bin 0: none */
    bool is_single;
    plumb_single_token single;
    plumb_first_token first;
    bool has_after, has_check;
    plumb_explain_after after;
    plumb_theory_step check;
} plumb_explanation;

typedef struct plumb_explainer plumb_explainer;

/* PLUMB_E_INPUT when the two models have vocabularies of different sizes. */
plumb_status plumb_explainer_new(const plumb_explain_how *how, plumb_explainer **out) PLUMB_MUST_USE;
void plumb_explainer_free(plumb_explainer *e);

/* Explains one pair, which must live as long as *out is used. A skipped pair has its score alone. */
plumb_status plumb_explainer_run(plumb_explainer *e, int64_t index, uint64_t row, const plumb_pair *pair,
                                 const plumb_explanation **out) PLUMB_MUST_USE;

/* The measures that an explanation holds, as a bit for each row of plumb_measures. */
uint32_t plumb_explain_measures(const plumb_explain_how *how);

/* Appends an explanation as one JSON line (docs/explain.md), or in words for a terminal of 80 columns. */
plumb_status plumb_explain_json(const plumb_explain_how *how, const plumb_explanation *x,
                                plumb_text *out) PLUMB_MUST_USE;
plumb_status plumb_explain_text(const plumb_explain_how *how, const plumb_explanation *x,
                                plumb_text *out) PLUMB_MUST_USE;

#endif
