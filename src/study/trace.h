/* Where the probability mass went: every pair of a preference file under two models, before and after training.
 *
 *     plumb_tracer *t;
 *     plumb_tracer_new(&options, &t);
 *     for each row: plumb_tracer_add(t, index, hash, &pair);
 *     plumb_tracer_flush(t);                        rows come through emit, in order
 *     plumb_tracer_free(t);
 *
 * For each pair the change of ln pi of both sides, and at the first response token at which the two sides differ (the
 * last common one where one begins the other), or at every token of the chosen side, the tokens whose probability rose
 * and fell most, with their classes (study/token_groups.h) and their logits' changes split (align/token_changes.h). */
#ifndef PLUMB_STUDY_TRACE_H
#define PLUMB_STUDY_TRACE_H

#include "align/pair.h"
#include "align/token_changes.h"
#include "base/sink.h"
#include "study/token_groups.h"

/* What became of the chosen response y+ (Razin et al. 2024, arXiv 2410.08847, section 4). Over the whole vocabulary
 * without y+'s own token, with gain = sum of max(0, p_after - p_before):
 *
 *   NONE          ln pi(y+|x) did not fall
 *   BENIGN        tokens that share a class with y+'s token have at least half of all gain
 *   CATASTROPHIC  not so, and tokens of an opposite of its classes have at least half of it
 *   OTHER         otherwise; always where y+'s token has no class */
typedef enum plumb_verdict {
    PLUMB_VERDICT_NONE,
    PLUMB_VERDICT_BENIGN,
    PLUMB_VERDICT_CATASTROPHIC,
    PLUMB_VERDICT_OTHER,
    PLUMB_VERDICTS,
    PLUMB_VERDICT_UNKNOWN = PLUMB_VERDICTS, /* it fell, and nothing tells which tokens gained */
} plumb_verdict;
const char *plumb_verdict_name(plumb_verdict v); /* as rows have it; NULL for UNKNOWN */

/* Gains of probability at one place, y+'s own token left out. */
typedef struct plumb_gains {
    double all, same, opposite;     /* same, opposite: of tokens in a class of y+'s token, in an opposite of one */
    double of_class[PLUMB_CLASSES]; /* a token of several classes counts in each */
    double no_class;
} plumb_gains;

/* Adds a token's gain: `own` are the classes of y+'s token, `opposite` their opposites, `classes` the token's. A loss
 * adds nothing. */
void plumb_gains_add(plumb_gains *sums, plumb_classes own, plumb_classes opposite, plumb_classes classes, double gain);
/* `change`: of ln pi(y+|x). */
plumb_verdict plumb_gains_verdict(const plumb_gains *sums, double change);

/* A token that gained or lost. */
typedef struct plumb_traced_token {
    plumb_token_change change;
    plumb_classes classes;
    const char *text; /* that it decodes to, in UTF-8 or not; NULL: not known */
    size_t text_size;
    bool has_logit;
    plumb_logit_change logit;
} plumb_traced_token;

/* One place of the chosen response. */
typedef struct plumb_traced_place {
    int position;                      /* of the response token that is predicted here */
    plumb_traced_token chosen;         /* y+'s own token; without `logit` */
    plumb_traced_token *gained, *lost; /* largest first */
    int gained_count, lost_count;
    plumb_gains gains;
    plumb_verdict verdict;
} plumb_traced_place;

/* One point of a course (study/trace_run.h). */
typedef struct plumb_course_point {
    int64_t step;
    double logps[2]; /* ln pi of chosen, rejected; NaN: not evaluated */
    double first;    /* of chosen's first token alone; NaN: not known */
} plumb_course_point;

/* The largest drop of the chosen side along a course, max over j < i of v_j - v_i; 0, from and to -1, where it never
 * falls. Of equal drops the one that ends first. */
typedef struct plumb_drop {
    double value;
    int64_t from, to; /* steps */
} plumb_drop;
plumb_drop plumb_course_drop(const plumb_course_point *course, size_t count);

/* All that is known about one row; lives until emit returns. */
typedef struct plumb_trace_row {
    int64_t index;
    uint64_t row;
    plumb_skip skip;             /* the rest is not set then */
    bool single;                 /* plumb_pair_is_single */
    int chosen_tokens;           /* of the chosen response, a closing EOS included */
    plumb_traced_token first[2]; /* the first tokens of both responses: text and classes */
    double first_logps[2];       /* ln pi of chosen's first token, before and after; NaN: not known */
    double before[2], after[2];  /* ln pi of chosen and rejected */
    bool has_place;              /* else nothing is known about tokens */
    bool listed_only;            /* gains are sums over the listed tokens, not over the vocabulary */
    plumb_traced_place place;    /* the first at which the sides differ */
    plumb_traced_place *places;  /* [place_count] every token of the chosen side, when asked for */
    int place_count;
    const plumb_course_point *course; /* [course_count], steps ascending; of a run */
    size_t course_count;
    plumb_drop drop;
} plumb_trace_row;

/* ln pi(y+) fell: the pair is displaced. */
static inline bool plumb_trace_fell(const plumb_trace_row *row)
{
    return row->after[0] < row->before[0];
}

/* A further model along the course of a run: only log-probs are asked of it. */
typedef struct plumb_trace_point {
    const plumb_model *model;
    int64_t step;
} plumb_trace_point;

typedef struct plumb_trace_options {
    const plumb_model *before, *after; /* the same tokenizer, vocabulary and hidden size: plumb_trace_check */
    const plumb_tokenizer *tokenizer;
    const plumb_token_groups *groups;
    int top; /* tokens listed on each side, >= 1 */
    bool all_positions;
    int32_t eos;                     /* for `single`; -1: none */
    const plumb_trace_point *points; /* [point_count], steps ascending */
    size_t point_count;
    plumb_status (*emit)(void *user, plumb_trace_row *row); /* in order; a failure stops. With points the row's course
                                                               holds theirs */
    void *user;
    const plumb_sink *sink; /* asked whether to stop; NULL: never */
} plumb_trace_options;

typedef struct plumb_tracer plumb_tracer;

/* Everything in the options is borrowed. */
plumb_status plumb_tracer_new(const plumb_trace_options *options, plumb_tracer **out) PLUMB_MUST_USE;
void plumb_tracer_free(plumb_tracer *t);
/* Takes one row; its tokens are copied. */
plumb_status plumb_tracer_add(plumb_tracer *t, int64_t index, uint64_t row, const plumb_pair *pair) PLUMB_MUST_USE;
plumb_status plumb_tracer_flush(plumb_tracer *t) PLUMB_MUST_USE;

/* PLUMB_E_INPUT, with the names given, unless both have the same number of embeddings of the same size. */
plumb_status plumb_trace_same_shape(const plumb_model *a, const char *a_name, const plumb_model *b,
                                    const char *b_name) PLUMB_MUST_USE;

/* The response token at which the two sides of a pair first differ; the last common one where one begins the other. */
int plumb_differing_position(const plumb_pair *pair);

/* Texts and classes of a token by its id. Text from the arena. */
plumb_status plumb_traced_token_fill(const plumb_tokenizer *t, const plumb_classes *map, int vocab, plumb_arena *arena,
                                     plumb_traced_token *out) PLUMB_MUST_USE;

#endif
