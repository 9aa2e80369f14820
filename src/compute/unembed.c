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

/* One vocabulary tile for one block of rows: logits, scale, cap, sums. */
static plumb_status add_tile(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows, int first,
                             const int32_t *targets, float *z, running *state)
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
    }
    return PLUMB_OK;
}

plumb_status plumb_unembed_logps(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                 const int32_t *targets, double *logps, double *lse)
{
    const size_t state_floats = sizeof(running) / sizeof(float);
    size_t block = (size_t)(rows < ROWS ? rows : ROWS);
    PLUMB_TRY(plumb_compute_scratch(&c->scratch, &c->scratch_capacity, block * (TILE + state_floats)));
    float *z = c->scratch;
    running *state = (running *)(void *)(z + block * TILE);
    for (int start = 0; start < rows; start += ROWS) {
        int count = rows - start < ROWS ? rows - start : ROWS;
        const int32_t *wanted = logps ? targets + start : NULL;
        for (int i = 0; i < count; i++) state[i] = (running){0, 0, 0};
        for (int first = 0; first < u->w->n; first += TILE)
            PLUMB_TRY(add_tile(c, u, h + (size_t)start * (size_t)ldh, ldh, count, first, wanted, z, state));
        for (int i = 0; i < count; i++) {
            double log_sum = log(state[i].sum) + state[i].shift * 0.693147180559945309417;
            if (logps) logps[start + i] = state[i].target - log_sum;
            if (lse) lse[start + i] = log_sum;
        }
    }
    return PLUMB_OK;
}
