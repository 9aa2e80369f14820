#include "align/nthr.h"

#include <math.h>
#include <string.h>

#include "align/theory.h"

/* The tokens of one kind of completions, side by side as the theory wants them. */
typedef struct side {
    float *h;
    int32_t *targets;
    double *lse;
    size_t *from; /* their places in the group */
    size_t count;
} side;

static void append(side *s, const plumb_nthr_group *g, size_t first, int n)
{
    size_t d = (size_t)g->u->w->k;
    for (size_t t = first; t < first + (size_t)n; t++, s->count++) {
        memcpy(s->h + s->count * d, g->h + t * d, d * sizeof *s->h);
        s->targets[s->count] = g->targets[t];
        s->lse[s->count] = g->lse[t];
        s->from[s->count] = t;
    }
}

/* Positive tokens first, negative ones behind them, in one block. */
static plumb_status split(const plumb_nthr_group *g, size_t all, plumb_arena *scratch, side *positive, side *negative)
{
    size_t d = (size_t)g->u->w->k;
    PLUMB_TRY(plumb_arena_new(scratch, &positive->h, all * d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &positive->targets, all, sizeof(int32_t)));
    PLUMB_TRY(plumb_arena_new(scratch, &positive->lse, all, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(scratch, &positive->from, all, sizeof(size_t)));
    for (size_t i = 0, first = 0; i < g->completions; first += (size_t)g->tokens[i++])
        if (g->advantages[i] > 0) append(positive, g, first, g->tokens[i]);
    size_t n = positive->count;
    *negative = (side){positive->h + n * d, positive->targets + n, positive->lse + n, positive->from + n, 0};
    for (size_t i = 0, first = 0; i < g->completions; first += (size_t)g->tokens[i++])
        if (g->advantages[i] < 0) append(negative, g, first, g->tokens[i]);
    return PLUMB_OK;
}

/* The sum down column j of the products of two matrices [rows][columns]. */
static double column(const float *alpha, const float *states, size_t rows, size_t columns, size_t j)
{
    double sum = 0;
    for (size_t i = 0; i < rows; i++) sum += (double)alpha[i * columns + j] * (double)states[i * columns + j];
    return sum;
}

/* The smallest mean over the tokens of a positive completion. */
static double least_support(const plumb_nthr_group *g, const plumb_theory_parts *p, size_t n)
{
    double least = INFINITY;
    for (size_t i = 0, at = 0; i < g->completions; i++) {
        double sum = 0;
        if (!(g->advantages[i] > 0)) continue;
        for (int k = 0; k < g->tokens[i]; k++) sum += column(p->plus_alpha, p->plus_states, n, n, at++);
        least = fmin(least, sum / g->tokens[i]);
    }
    return least;
}

/* The products of row i's tokens with all tokens of one kind, each completion's times its advantage. */
static double weighted(const plumb_nthr_group *g, double sign, const float *alpha, const float *states, size_t row,
                       size_t columns)
{
    double sum = 0;
    for (size_t j = 0, at = row * columns; j < g->completions; j++) {
        double part = 0;
        if (!(g->advantages[j] * sign > 0)) continue;
        for (int k = 0; k < g->tokens[j]; k++, at++) part += (double)alpha[at] * (double)states[at];
        sum += g->advantages[j] * part;
    }
    return sum;
}

/* gwhes of every positive completion, and their mean. */
static double group_scores(const plumb_nthr_group *g, const plumb_theory_parts *p, size_t n, size_t m,
                           double *influence)
{
    double sum = 0, count = 0;
    for (size_t i = 0, row = 0; i < g->completions; i++) {
        if (!(g->advantages[i] > 0)) continue;
        influence[i] = 0;
        for (int k = 0; k < g->tokens[i]; k++, row++)
            influence[i] -= weighted(g, 1, p->plus_alpha, p->plus_states, row, n) +
                            weighted(g, -1, p->minus_alpha, p->minus_states, row, m);
        sum += influence[i];
        count++;
    }
    return sum / count;
}

static double share_positive(const plumb_nthr_group *g)
{
    size_t positive = 0;
    for (size_t i = 0; i < g->completions; i++) positive += g->advantages[i] > 0;
    return (double)positive / (double)g->completions;
}

/* s of every token of a negative completion, and what it leaves of the token's weight. */
static void weigh_negative(const plumb_nthr_group *g, const plumb_nthr_options *o, const plumb_theory_parts *p,
                           const side *negative, size_t n, double *scores, double *weights, double *influence,
                           plumb_nthr_summary *out)
{
    double eta = o->balance ? 2 * fabs(0.5 - share_positive(g)) : o->eta;
    out->mean = 0;
    for (size_t i = 0, k = 0; i < g->completions; i++) {
        if (!(g->advantages[i] < 0)) continue;
        influence[i] = 0;
        for (int t = 0; t < g->tokens[i]; t++, k++) {
            double s = column(p->minus_alpha, p->minus_states, n, negative->count, k);
            scores[negative->from[k]] = s;
            influence[i] += s;
            if (!(s > out->threshold)) continue;
            weights[negative->from[k]] = eta;
            out->selected++;
        }
        out->mean += influence[i] / (double)negative->count;
    }
}

plumb_status plumb_nthr(plumb_compute *c, const plumb_nthr_group *g, const plumb_nthr_options *o, plumb_arena *scratch,
                        double *scores, double *weights, double *influence, plumb_nthr_summary *out)
{
    size_t all = 0;
    side positive = {.count = 0}, negative;
    plumb_theory_parts parts;
    plumb_theory sums;
    for (size_t i = 0; i < g->completions; i++) {
        all += (size_t)g->tokens[i];
        influence[i] = NAN;
    }
    for (size_t t = 0; t < all; t++) {
        scores[t] = NAN;
        weights[t] = 1;
    }
    PLUMB_TRY(split(g, all, scratch, &positive, &negative));
    *out = (plumb_nthr_summary){.threshold = NAN, .mean = NAN, .gwhes = NAN, .negative = negative.count};
    if (!positive.count || !negative.count) return PLUMB_OK;
    plumb_theory_input in = {.u = g->u,
                             .h = positive.h,
                             .n = (int)positive.count,
                             .m = (int)negative.count,
                             .targets = positive.targets,
                             .lse = positive.lse};
    PLUMB_TRY(plumb_theory_terms(c, &in, scratch, &parts, &sums));
    out->threshold = o->beta * least_support(g, &parts, positive.count);
    out->gwhes = group_scores(g, &parts, positive.count, negative.count, influence);
    weigh_negative(g, o, &parts, &negative, positive.count, scores, weights, influence, out);
    return PLUMB_OK;
}
