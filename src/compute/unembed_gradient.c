/* The derivative of a log-softmax, and through it to hidden states and weights, by vocabulary tile as in unembed.c. */
#include <math.h>

#include "compute/gradient.h"
#include "compute/kernels.h"

enum {
    TILE = 2048,         /* vocabulary entries */
    ROWS = 2048,         /* of hidden states at a time: 16 MB of logits */
    PARALLEL_FROM = 8192 /* logits */
};

/* One row of plumb_logit_gradient. The kernel does what all entries have in common, -cap'(z) p; the target's own
 * cap'(z) is added after it. target: counted from the tile's first entry. */
static void gradient_row(const plumb_kernels *k, float cap, float *z, int n, int target, double lse)
{
    bool here = target >= 0 && target < n;
    float t = here && cap > 0 ? tanhf(z[target] / cap) : 0;
    k->logit_gradient_row(z, n, cap, lse);
    if (here) z[target] += 1 - t * t;
}

void plumb_logit_gradient(plumb_compute *c, float cap, float *z, int ldz, int rows, int first, int n,
                          const int32_t *targets, const double *lse)
{
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1 && (size_t)rows * (size_t)n >= PARALLEL_FROM)
    for (int i = 0; i < rows; i++)
        gradient_row(&c->kernels, cap, z + (size_t)i * (size_t)ldz, n, targets[i] - first, lse[i]);
}

/* What all tiles of a call share. */
typedef struct call {
    const plumb_unembed *u;
    const float *h;
    float *dh, *dw, *z; /* z [rows][TILE]; dw NULL: frozen */
    int ldh, lddh, rows;
    const plumb_pull *pulls;
    const double *lse;
} call;

/* One row of logits z, entries first .. first + n - 1, becomes its gradient, including the logits' own scale. The
 * entries of the pulls' tokens are put together in fp64: near certainty both of their terms are almost the same. */
static void pull_row(const plumb_kernels *k, const plumb_unembed *u, const plumb_pull *p, float *z, int first, int n,
                     double lse)
{
    double all = 0, slope[2], common[2];
    for (int i = 0; i < p->count; i++) all += p->g[i];
    float factor = (float)(all * u->scale);
    for (int i = 0; i < p->count; i++) {
        int at = p->token[i] - first;
        double t = at >= 0 && at < n && u->cap > 0 ? tanhf(z[at] / u->cap) : 0;
        slope[i] = 1 - t * t;
    }
    if (factor != 0) k->logit_gradient_row(z, n, u->cap, lse);
    for (int i = 0; i < p->count; i++) {
        int at = p->token[i] - first;
        common[i] = at >= 0 && at < n && factor != 0 ? all * z[at] : 0;
    }
    for (int j = 0; j < n; j++) z[j] = factor != 0 ? factor * z[j] : 0;
    for (int i = 0; i < p->count; i++) {
        int at = p->token[i] - first;
        if (at >= 0 && at < n && p->g[i] != 0) z[at] = (float)(u->scale * (common[i] + p->g[i] * slope[i]));
    }
}

static void pull_tile(plumb_compute *c, const call *a, int first, int n)
{
#pragma omp parallel for num_threads(c->threads) if (c->threads > 1 && (size_t)a->rows * (size_t)n >= PARALLEL_FROM)
    for (int i = 0; i < a->rows; i++)
        pull_row(&c->kernels, a->u, &a->pulls[i], a->z + (size_t)i * TILE, first, n, a->lse[i]);
}

/* dh += z W and dw += z^T h over one tile: chains over ascending vocabulary and over rows, carried on from tile to
 * tile.
 */
static plumb_status add_tile(plumb_compute *c, const call *a, int first)
{
    const plumb_linear *w = a->u->w;
    int n = w->n - first < TILE ? w->n - first : TILE;
    plumb_linear part = *w;
    part.weight = (const char *)w->weight + (size_t)first * (size_t)w->k * plumb_dtype_size(w->dtype);
    part.n = n;
    PLUMB_TRY(plumb_unembed_tile(c, a->u, a->h, a->ldh, a->rows, first, first + n, a->z, TILE));
    pull_tile(c, a, first, n);
    PLUMB_TRY(plumb_linear_transposed(c, &part, a->z, TILE, a->rows, a->dh, a->lddh, PLUMB_ADD));
    if (!a->dw) return PLUMB_OK;
    return plumb_linear_gradient(c, a->z, TILE, a->h, a->ldh, a->rows, n, w->k, a->dw + (size_t)first * (size_t)w->k);
}

plumb_status plumb_unembed_gradient(plumb_compute *c, const plumb_unembed *u, const float *h, int ldh, int rows,
                                    const plumb_pull *pulls, const double *lse, float *dh, int lddh, float *dw)
{
    size_t block = (size_t)(rows < ROWS ? rows : ROWS);
    PLUMB_TRY(plumb_compute_scratch(&c->scratch, &c->scratch_capacity, block * TILE));
    for (int start = 0; start < rows; start += ROWS) {
        call a = {.u = u, .dw = dw, .z = c->scratch, .ldh = ldh, .lddh = lddh};
        a.rows = rows - start < ROWS ? rows - start : ROWS;
        a.h = h + (size_t)start * (size_t)ldh;
        a.dh = dh + (size_t)start * (size_t)lddh;
        a.pulls = pulls + start;
        a.lse = lse + start;
        for (int first = 0; first < u->w->n; first += TILE) PLUMB_TRY(add_tile(c, &a, first));
    }
    return PLUMB_OK;
}
