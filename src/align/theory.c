#include "align/theory.h"

#include <math.h>
#include <stdbool.h>

/* Vocabulary entries at a time: bounds the scratch, and is fixed so that results depend on nothing else. */
enum { TILE = 1024 };

static plumb_linear rows_as_weight(const float *rows, int n, int k, const char *name)
{
    return (plumb_linear){.weight = rows, .dtype = PLUMB_F32, .n = n, .k = k, .name = name, .exact = true};
}

/* The products below take states and coefficients in the place of weights, where a value that is not finite would be
 * told as a fault of the checkpoint. */
static plumb_status check_finite(const float *x, size_t count, const char *what)
{
    bool finite = true;
    for (size_t i = 0; i < count; i++) finite &= (bool)isfinite(x[i]);
    return finite ? PLUMB_OK : plumb_fail(PLUMB_E_INPUT, "%s are not finite", what);
}

/* Everything that one walk over the vocabulary adds up. */
typedef struct sums {
    float *g;              /* [n + m][TILE] coefficients of the tile */
    float *minus_gram;     /* [n][m] <g+_k, g-_k'> */
    float *plus_gram;      /* [n][n] <g+_k, g+_k'> */
    float *state_gradient; /* [n + m][d] d ln pi / d h */
} sums;

static plumb_status add_tile(plumb_compute *c, const plumb_theory_input *in, int first, int width, sums *s)
{
    int d = in->u->w->k, n = in->n, m = in->m;
    PLUMB_TRY(plumb_unembed_tile(c, in->u, in->h, d, n + m, first, first + width, s->g, width));
    plumb_logit_gradient(c, in->u->cap, s->g, width, n + m, first, width, in->targets, in->lse);
    PLUMB_TRY(check_finite(s->g, ((size_t)n + (size_t)m) * (size_t)width, "the coefficients of the next tokens"));
    plumb_linear chosen = rows_as_weight(s->g, n, width, "coefficients of the chosen response");
    plumb_linear rejected = rows_as_weight(s->g + (size_t)n * width, m, width, "coefficients of the rejected response");
    PLUMB_TRY(plumb_linear_run(c, &rejected, s->g, width, n, s->minus_gram, m, PLUMB_ADD));
    PLUMB_TRY(plumb_linear_run(c, &chosen, s->g, width, n, s->plus_gram, n, PLUMB_ADD));
    plumb_linear tile = *in->u->w;
    tile.weight = (const char *)in->u->w->weight + (size_t)first * (size_t)d * plumb_dtype_size(in->u->w->dtype);
    tile.n = width;
    return plumb_linear_transposed(c, &tile, s->g, width, n + m, s->state_gradient, d, PLUMB_ADD);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

/* A shared state moves along both gradients, the others along their own. */
static void split_hidden_path(const plumb_theory_input *in, const float *gradient, double *out)
{
    size_t d = (size_t)in->u->w->k;
    const float *rejected = gradient + (size_t)in->n * d;
    for (int k = 0; k < in->n; k++) {
        const float *own = gradient + (size_t)k * d;
        out[k] = dot(own, own, d) - (k < in->shared ? dot(own, rejected + (size_t)k * d, d) : 0);
    }
}

plumb_status plumb_theory_terms(plumb_compute *c, const plumb_theory_input *in, plumb_arena *scratch,
                                plumb_theory_parts *parts, plumb_theory *out)
{
    int d = in->u->w->k, vocab = in->u->w->n, n = in->n, m = in->m;
    size_t rows = (size_t)n + (size_t)m;
    sums s;
    float *minus_states, *plus_states;
    double *path;
    PLUMB_TRY(check_finite(in->h, rows * (size_t)d, "the states"));
    PLUMB_TRY(plumb_arena_new(scratch, &s.g, rows * TILE, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &s.minus_gram, (size_t)n * (size_t)m, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &s.plus_gram, (size_t)n * (size_t)n, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &s.state_gradient, rows * (size_t)d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &minus_states, (size_t)n * (size_t)m, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &plus_states, (size_t)n * (size_t)n, sizeof(float)));
    for (int first = 0; first < vocab; first += TILE)
        PLUMB_TRY(add_tile(c, in, first, vocab - first < TILE ? vocab - first : TILE, &s));
    plumb_linear chosen = rows_as_weight(in->h, n, d, "states of the chosen response");
    plumb_linear rejected = rows_as_weight(in->h + (size_t)n * d, m, d, "states of the rejected response");
    PLUMB_TRY(plumb_linear_run(c, &rejected, in->h, d, n, minus_states, m, PLUMB_STORE));
    PLUMB_TRY(plumb_linear_run(c, &chosen, in->h, d, n, plus_states, n, PLUMB_STORE));
    out->minus = dot(s.minus_gram, minus_states, (size_t)n * (size_t)m);
    out->plus = dot(s.plus_gram, plus_states, (size_t)n * (size_t)n);
    out->alpha_ches = out->minus - out->plus;
    out->hidden_path = dot(s.state_gradient, s.state_gradient, (size_t)n * (size_t)d) -
                       dot(s.state_gradient, s.state_gradient + (size_t)n * d, (size_t)in->shared * (size_t)d);
    out->rate = out->hidden_path - out->alpha_ches;
    if (!parts) return PLUMB_OK;
    PLUMB_TRY(plumb_arena_new(scratch, &path, (size_t)n, sizeof(double)));
    split_hidden_path(in, s.state_gradient, path);
    *parts = (plumb_theory_parts){s.minus_gram, s.plus_gram, minus_states, plus_states, path};
    return PLUMB_OK;
}

double plumb_share_positive(const float *alpha, size_t count)
{
    size_t positive = 0;
    for (size_t i = 0; i < count; i++) positive += alpha[i] > 0;
    return (double)positive / (double)count;
}

int64_t plumb_theory_bytes(int n, int m, int d)
{
    int64_t rows = (int64_t)n + m;
    return (rows * (TILE + (int64_t)d) + 2 * rows * n) * (int64_t)sizeof(float);
}
