/* Log-softmax over the vocabulary, tile by tile. The row's sum of exponentials is held as sum * 2^shift: a power of two
 * as the common factor instead of exp(max) costs no rounding when tiles are joined. Vocabulary tiles start at entry 0
 * and have one width, so that neither threads nor the number of rows change a result. */
#include "compute/kernels.h"

#include <math.h>

enum {
    TILE = 2048,         /* vocabulary entries */
    ROWS = 2048,         /* of hidden states at a time: 16 MB of logits */
    PARALLEL_FROM = 8192 /* logits */
};

/* Running log of a sum of exponentials of one row. */
typedef struct running {
    double sum, target; /* the target's logit */
    int shift;
} running;

/* Running sums of a row's statistics, in units of the same power of two. */
typedef struct spread {
    double logits, weighted, squares; /* sum of z, of e^z z, of e^2z */
    int shift;
    float best_logit;
    int32_t best;
} spread;

static plumb_linear slice(const plumb_linear *w, int first, int last)
{
    plumb_linear part = *w;
    part.weight = (const char *)w->weight + (size_t)first * (size_t)w->k * plumb_dtype_size(w->dtype);
    part.bias = w->bias ? w->bias + first : NULL;
    part.n = last - first;
    return part;
}

static void scale_row(float *z, int n, float scale)
{
    if (scale == 1) return;
    for (int j = 0; j < n; j++) z[j] *= scale;
}

plumb_status plumb_unembed_tile(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows, int first,
                                int last, float *z, int ldz)
{
    plumb_linear part = slice(u->w, first, last);
    PLUMB_TRY(plumb_linear_run(c, &part, h, ldh, rows, z, ldz, PLUMB_STORE));
    for (int i = 0; i < rows; i++) scale_row(z + (size_t)i * (size_t)ldz, part.n, u->scale);
    return PLUMB_OK;
}

plumb_status plumb_unembed_logits(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows, float *z,
                                  int ldz)
{
    int n = u->w->n;
    PLUMB_TRY(plumb_unembed_tile(c, u, h, ldh, rows, 0, n, z, ldz));
    if (u->cap == 0) return PLUMB_OK;
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1 && (size_t)rows * (size_t)n >= PARALLEL_FROM)
    for (int i = 0; i < rows; i++) c->kernels.cap_row(z + (size_t)i * (size_t)ldz, n, u->cap);
    return PLUMB_OK;
}

/* Adds the exponentials of one row of a tile to the row's sum. A logit that is not finite makes the sum NaN, as in
 * torch.log_softmax; so does one beyond 2^20, where neighbouring fp32 numbers are too far apart to mean anything. */
static void add_exponentials(const plumb_kernels *k, const float *z, int n, running *r)
{
    float max = k->max_row(z, n);
    if (!(fabsf(max) < 0x1p20f)) {
        r->sum = NAN;
        return;
    }
    int shift = (int)lrint(max * 1.44269504088896340736);
    if (r->sum > 0 && shift < r->shift) shift = r->shift;
    double sum = k->exp_sum_row(z, n, shift);
    r->sum = ldexp(r->sum, r->shift - shift) + sum;
    r->shift = shift;
}

static void add_statistics(const float *z, int n, int first, spread *s)
{
    enum { LANES = 8 };
    double logits[LANES] = {0}, weighted[LANES] = {0}, squares[LANES] = {0};
    float max = z[0];
    int best = 0;
    for (int j = 1; j < n; j++)
        if (z[j] > max) max = z[best = j];
    if (first == 0 || max > s->best_logit) {
        s->best_logit = max;
        s->best = first + best;
    }
    int shift = (int)lrint(max * 1.44269504088896340736);
    if (first > 0 && shift < s->shift) shift = s->shift;
    double unit = shift * 0.693147180559945309417;
    for (int j = 0; j < n; j++) {
        double e = expf((float)(z[j] - unit));
        logits[j % LANES] += z[j];
        weighted[j % LANES] += e * z[j];
        squares[j % LANES] += e * e;
    }
    s->weighted = ldexp(s->weighted, s->shift - shift);
    s->squares = ldexp(s->squares, 2 * (s->shift - shift));
    for (int l = 0; l < LANES; l++) {
        s->logits += logits[l];
        s->weighted += weighted[l];
        s->squares += squares[l];
    }
    s->shift = shift;
}

static plumb_token_statistics finish_statistics(const spread *s, double log_sum, int vocabulary)
{
    double unit = s->shift * 0.693147180559945309417;
    return (plumb_token_statistics){.mean_logit = s->logits / vocabulary,
                                    .entropy = log_sum - s->weighted * exp(unit - log_sum),
                                    .log_sum_squares = log(s->squares) + 2 * (unit - log_sum),
                                    .best = s->best};
}

/* One vocabulary tile for one block of rows: logits, scale, cap, sums. */
static plumb_status add_tile(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows, int first,
                             const int32_t *targets, float *z, running *state, spread *spreads)
{
    int last = u->w->n - first < TILE ? u->w->n : first + TILE, n = last - first;
    plumb_linear part = slice(u->w, first, last);
    PLUMB_TRY(plumb_linear_run(c, &part, h, ldh, rows, z, TILE, PLUMB_STORE));
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1 && (size_t)rows * (size_t)n >= PARALLEL_FROM)
    for (int i = 0; i < rows; i++) {
        float *row = z + (size_t)i * TILE;
        scale_row(row, n, u->scale);
        if (u->cap != 0) c->kernels.cap_row(row, n, u->cap);
        if (targets && targets[i] >= first && targets[i] < last) state[i].target = row[targets[i] - first];
        add_exponentials(&c->kernels, row, n, &state[i]);
        if (spreads) add_statistics(row, n, first, &spreads[i]);
    }
    return PLUMB_OK;
}

/* Where the results of a call go; NULL: not wanted. */
typedef struct results {
    double *logps, *lse;
    plumb_token_statistics *statistics;
} results;

static plumb_status run_block(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                              const int32_t *targets, float *z, running *state, spread *spreads, results out)
{
    for (int i = 0; i < rows; i++) state[i] = (running){0, 0, 0};
    for (int i = 0; spreads && i < rows; i++) spreads[i] = (spread){0};
    for (int first = 0; first < u->w->n; first += TILE)
        PLUMB_TRY(add_tile(c, u, h, ldh, rows, first, out.logps ? targets : NULL, z, state, spreads));
    for (int i = 0; i < rows; i++) {
        double log_sum = log(state[i].sum) + state[i].shift * 0.693147180559945309417;
        if (out.logps) out.logps[i] = state[i].target - log_sum;
        if (out.lse) out.lse[i] = log_sum;
        if (spreads) out.statistics[i] = finish_statistics(&spreads[i], log_sum, u->w->n);
    }
    return PLUMB_OK;
}

/* Floats of scratch for each row of a block. */
static size_t row_floats(void)
{
    return TILE + (sizeof(running) + sizeof(spread)) / sizeof(float);
}

int64_t plumb_unembed_bytes(int rows)
{
    return (int64_t)((size_t)(rows < ROWS ? rows : ROWS) * row_floats() * sizeof(float));
}

static plumb_status run_all(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                            const int32_t *targets, results out)
{
    size_t block = (size_t)(rows < ROWS ? rows : ROWS);
    PLUMB_TRY(plumb_compute_scratch(&c->scratch, &c->scratch_capacity, block * row_floats()));
    float *z = c->scratch;
    running *state = (running *)(void *)(z + block * TILE);
    spread *spreads = (spread *)(void *)(state + block);
    for (int start = 0; start < rows; start += ROWS) {
        int count = rows - start < ROWS ? rows - start : ROWS;
        results part = {out.logps ? out.logps + start : NULL, out.lse ? out.lse + start : NULL,
                        out.statistics ? out.statistics + start : NULL};
        PLUMB_TRY(run_block(c, u, h + (size_t)start * (size_t)ldh, ldh, count, targets ? targets + start : NULL, z,
                            state, out.statistics ? spreads : NULL, part));
    }
    return PLUMB_OK;
}

plumb_status plumb_unembed_logps(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                 const int32_t *targets, double *logps, double *lse)
{
    return run_all(c, u, h, ldh, rows, targets, (results){logps, lse, NULL});
}

plumb_status plumb_unembed_statistics(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                      const int32_t *targets, double *logps, double *lse, plumb_token_statistics *out)
{
    return run_all(c, u, h, ldh, rows, targets, (results){logps, lse, out});
}
