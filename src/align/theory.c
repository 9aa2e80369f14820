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

static plumb_status add_tile(plumb_compute *c, const plumb_unembed *u, const float *h, int n, int m, int first,
                             int width, const int32_t *targets, const double *lse, sums *s)
{
    int d = u->w->k;
    PLUMB_TRY(plumb_unembed_tile(c, u, h, d, n + m, first, first + width, s->g, width));
    plumb_logit_gradient(c, u->cap, s->g, width, n + m, first, width, targets, lse);
    PLUMB_TRY(check_finite(s->g, ((size_t)n + (size_t)m) * (size_t)width, "the coefficients of the next tokens"));
    plumb_linear chosen = rows_as_weight(s->g, n, width, "coefficients of the chosen response");
    plumb_linear rejected = rows_as_weight(s->g + (size_t)n * width, m, width, "coefficients of the rejected response");
    PLUMB_TRY(plumb_linear_run(c, &rejected, s->g, width, n, s->minus_gram, m, PLUMB_ADD));
    PLUMB_TRY(plumb_linear_run(c, &chosen, s->g, width, n, s->plus_gram, n, PLUMB_ADD));
    plumb_linear tile = *u->w;
    tile.weight = (const char *)u->w->weight + (size_t)first * (size_t)d * plumb_dtype_size(u->w->dtype);
    tile.n = width;
    return plumb_linear_transposed(c, &tile, s->g, width, n + m, s->state_gradient, d, PLUMB_ADD);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

plumb_status plumb_theory_terms(plumb_compute *c, const plumb_unembed *u, const float *h, int n, int m, int shared,
                                const int32_t *targets, const double *lse, plumb_arena *scratch, plumb_theory *out)
{
    int d = u->w->k, vocab = u->w->n;
    size_t rows = (size_t)n + (size_t)m;
    sums s;
    float *minus_states, *plus_states;
    PLUMB_TRY(check_finite(h, rows * (size_t)d, "the states"));
    PLUMB_TRY(plumb_arena_new(scratch, &s.g, rows * TILE, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &s.minus_gram, (size_t)n * (size_t)m, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &s.plus_gram, (size_t)n * (size_t)n, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &s.state_gradient, rows * (size_t)d, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &minus_states, (size_t)n * (size_t)m, sizeof(float)));
    PLUMB_TRY(plumb_arena_new(scratch, &plus_states, (size_t)n * (size_t)n, sizeof(float)));
    for (int first = 0; first < vocab; first += TILE)
        PLUMB_TRY(add_tile(c, u, h, n, m, first, vocab - first < TILE ? vocab - first : TILE, targets, lse, &s));
    plumb_linear chosen = rows_as_weight(h, n, d, "states of the chosen response");
    plumb_linear rejected = rows_as_weight(h + (size_t)n * d, m, d, "states of the rejected response");
    PLUMB_TRY(plumb_linear_run(c, &rejected, h, d, n, minus_states, m, PLUMB_STORE));
    PLUMB_TRY(plumb_linear_run(c, &chosen, h, d, n, plus_states, n, PLUMB_STORE));
    out->minus = dot(s.minus_gram, minus_states, (size_t)n * (size_t)m);
    out->plus = dot(s.plus_gram, plus_states, (size_t)n * (size_t)n);
    out->alpha_ches = out->minus - out->plus;
    out->hidden_path = dot(s.state_gradient, s.state_gradient, (size_t)n * (size_t)d) -
                       dot(s.state_gradient, s.state_gradient + (size_t)n * d, (size_t)shared * (size_t)d);
    out->rate = out->hidden_path - out->alpha_ches;
    return PLUMB_OK;
}

int64_t plumb_theory_bytes(int n, int m, int d)
{
    int64_t rows = (int64_t)n + m;
    return (rows * (TILE + (int64_t)d) + 2 * rows * n) * (int64_t)sizeof(float);
}
