#include "align/theory_step.h"

#include <math.h>
#include <string.h>

enum { TILE = 64, LANES = 8, PARALLEL_FROM = 1 << 20 /* products a tile */ };

/* A log of a sum of exponentials that grows: max + ln(sum). */
typedef struct running {
    double max, sum, target;
} running;

/* The states of both responses are rows: chosen first. */
typedef struct work {
    const plumb_theory_input *in;
    int rows, d, threads;
    double *h;               /* [rows][d] */
    double *gradient;        /* [rows][d] d ln pi(y) / dh of the row's own response */
    double *moved;           /* [rows][d] dh, then h + step dh */
    double *lse;             /* [rows] */
    double *largest;         /* [rows] max_v |g_v|, then the largest move of a logit */
    double *w, *w_moved;     /* [TILE][d] */
    double *z, *g;           /* [rows][TILE] */
    running *before, *after; /* [rows] */
    double w_norm;           /* the longest row of W */
} work;

static plumb_status new_work(const plumb_compute *c, const plumb_theory_input *in, plumb_arena *a, work *k)
{
    *k = (work){.in = in, .rows = in->n + in->m, .d = in->u->w->k, .threads = plumb_compute_threads(c)};
    size_t rows = (size_t)k->rows, states = rows * (size_t)k->d, tile = TILE * (size_t)k->d;
    if (states * TILE < PARALLEL_FROM) k->threads = 1;
    PLUMB_TRY(plumb_arena_new(a, &k->h, states, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->gradient, states, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->moved, states, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->lse, rows, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->largest, rows, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->w, tile, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->w_moved, tile, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->z, rows * TILE, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->g, rows * TILE, sizeof(double)));
    PLUMB_TRY(plumb_arena_new(a, &k->before, rows, sizeof(running)));
    PLUMB_TRY(plumb_arena_new(a, &k->after, rows, sizeof(running)));
    for (size_t i = 0; i < states; i++) k->h[i] = in->h[i];
    for (size_t i = 0; i < rows; i++) k->before[i].max = k->after[i].max = -INFINITY;
    return PLUMB_OK;
}

/* In lanes, which the compiler can keep in registers. */
static double dot(const double *a, const double *b, int n)
{
    double lane[LANES] = {0}, sum = 0;
    int j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += a[j + l] * b[j + l];
    for (; j < n; j++) sum += a[j] * b[j];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

static void add_scaled(double factor, const double *x, int n, double *y)
{
    for (int j = 0; j < n; j++) y[j] += factor * x[j];
}

static double capped(float cap, double z)
{
    return cap > 0 ? cap * tanh(z / cap) : z;
}

static double cap_slope(float cap, double z)
{
    double t = cap > 0 ? tanh(z / cap) : 0;
    return 1 - t * t;
}

static void add_logit(running *r, double z)
{
    if (z > r->max) {
        r->sum = r->sum * exp(r->max - z) + 1;
        r->max = z;
    } else {
        r->sum += exp(z - r->max);
    }
}

static double log_sum(const running *r)
{
    return r->max + log(r->sum);
}

static void load_tile(work *k, int first, int width)
{
    const plumb_linear *w = k->in->u->w;
    size_t count = (size_t)width * (size_t)k->d, at = (size_t)first * (size_t)k->d;
    for (size_t i = 0; i < count; i++) k->w[i] = plumb_load(w->weight, w->dtype, at + i);
}

/* z of one row and one tile, with w and h as given. */
static void row_logits(const work *k, const double *w, const double *h, int first, int width, double *z)
{
    const float *bias = k->in->u->w->bias;
    for (int v = 0; v < width; v++) z[v] = (bias ? bias[first + v] : 0) + dot(w + (size_t)v * (size_t)k->d, h, k->d);
}

/* g = d ln pi(target) / dz, before the cap. */
static void row_coefficients(const work *k, int i, int first, int width, const double *z, double *g)
{
    float cap = k->in->u->cap;
    for (int v = 0; v < width; v++)
        g[v] = cap_slope(cap, z[v]) * ((first + v == k->in->targets[i] ? 1 : 0) - exp(capped(cap, z[v]) - k->lse[i]));
}

/* ---- the three walks over the vocabulary, a tile each ---- */

static void sum_tile(work *k, int first, int width, double step)
{
    (void)step;
    float cap = k->in->u->cap;
#pragma omp parallel for num_threads(k->threads) if (k->threads > 1)
    for (int i = 0; i < k->rows; i++) {
        double *z = k->z + (size_t)i * TILE;
        row_logits(k, k->w, k->h + (size_t)i * (size_t)k->d, first, width, z);
        for (int v = 0; v < width; v++) {
            double value = capped(cap, z[v]);
            add_logit(&k->before[i], value);
            if (first + v == k->in->targets[i]) k->before[i].target = value;
        }
    }
}

static void gradient_tile(work *k, int first, int width, double step)
{
    (void)step;
    for (int v = 0; v < width; v++) {
        const double *w = k->w + (size_t)v * (size_t)k->d;
        k->w_norm = fmax(k->w_norm, sqrt(dot(w, w, k->d)));
    }
#pragma omp parallel for num_threads(k->threads) if (k->threads > 1)
    for (int i = 0; i < k->rows; i++) {
        size_t at = (size_t)i * (size_t)k->d;
        double *z = k->z + (size_t)i * TILE, *g = k->g + (size_t)i * TILE;
        row_logits(k, k->w, k->h + at, first, width, z);
        row_coefficients(k, i, first, width, z, g);
        for (int v = 0; v < width; v++) {
            add_scaled(g[v], k->w + (size_t)v * (size_t)k->d, k->d, k->gradient + at);
            k->largest[i] = fmax(k->largest[i], fabs(g[v]));
        }
    }
}

/* W' of the tile, then the logits after the step. */
static void step_tile(work *k, int first, int width, double step)
{
    float cap = k->in->u->cap;
#pragma omp parallel num_threads(k->threads) if (k->threads > 1)
    {
#pragma omp for
        for (int i = 0; i < k->rows; i++) {
            double *z = k->z + (size_t)i * TILE;
            row_logits(k, k->w, k->h + (size_t)i * (size_t)k->d, first, width, z);
            row_coefficients(k, i, first, width, z, k->g + (size_t)i * TILE);
        }
#pragma omp for
        for (int v = 0; v < width; v++) {
            size_t at = (size_t)v * (size_t)k->d;
            memcpy(k->w_moved + at, k->w + at, (size_t)k->d * sizeof(double));
            for (int i = 0; i < k->rows; i++) {
                double sign = i < k->in->n ? step : -step;
                add_scaled(sign * k->g[(size_t)i * TILE + (size_t)v], k->h + (size_t)i * (size_t)k->d, k->d,
                           k->w_moved + at);
            }
        }
#pragma omp for
        for (int i = 0; i < k->rows; i++) {
            double *z = k->z + (size_t)i * TILE, *moved = k->g + (size_t)i * TILE;
            row_logits(k, k->w_moved, k->moved + (size_t)i * (size_t)k->d, first, width, moved);
            for (int v = 0; v < width; v++) {
                double value = capped(cap, moved[v]);
                k->largest[i] = fmax(k->largest[i], fabs(moved[v] - z[v]));
                add_logit(&k->after[i], value);
                if (first + v == k->in->targets[i]) k->after[i].target = value;
            }
        }
    }
}

static plumb_status walk(work *k, void (*tile)(work *k, int first, int width, double step), double step,
                         const plumb_sink *sink)
{
    int vocabulary = k->in->u->w->n;
    for (int first = 0; first < vocabulary; first += TILE) {
        int width = vocabulary - first < TILE ? vocabulary - first : TILE;
        PLUMB_TRY(plumb_check_interrupt(sink));
        load_tile(k, first, width);
        tile(k, first, width, step);
    }
    return PLUMB_OK;
}

/* ---- the step ---- */

/* dh: up the own response's gradient where it is the preferred one, down where not; a shared state does both. */
static void move_states(work *k)
{
    size_t d = (size_t)k->d;
    for (int i = 0; i < k->rows; i++) {
        bool chosen = i < k->in->n;
        int place = chosen ? i : i - k->in->n;
        double *out = k->moved + (size_t)i * d;
        memset(out, 0, d * sizeof(double));
        if (chosen || place < k->in->shared) add_scaled(1, k->gradient + (size_t)place * d, k->d, out);
        if (!chosen || place < k->in->shared) add_scaled(-1, k->gradient + (size_t)(k->in->n + place) * d, k->d, out);
    }
}

static double longest(const double *x, int rows, int d)
{
    double most = 0;
    for (int i = 0; i < rows; i++) {
        const double *row = x + (size_t)i * (size_t)d;
        most = fmax(most, sqrt(dot(row, row, d)));
    }
    return most;
}

/* A step that no logit can move by more than PLUMB_STEP_MOVE with. A move is
 *     step (<dW_v, h> + <W_v, dh>) + step^2 <dW_v, dh>,   |dW_v| <= sum_i max_v |g_iv| |h_i|,
 * and each power of the step gets half of what is allowed. */
static double choose_step(const work *k)
{
    double dw = 0, h = longest(k->h, k->rows, k->d), dh = longest(k->moved, k->rows, k->d);
    for (int i = 0; i < k->rows; i++) {
        const double *row = k->h + (size_t)i * (size_t)k->d;
        dw += k->largest[i] * sqrt(dot(row, row, k->d));
    }
    double first = dw * h + k->w_norm * dh, second = dw * dh, half = PLUMB_STEP_MOVE / 2;
    double step = first > 0 ? half / first : 0;
    return second > 0 ? fmin(step, sqrt(half / second)) : step;
}

plumb_status plumb_theory_step_run(const plumb_compute *c, const plumb_theory_input *in, const plumb_theory *t,
                                   const plumb_sink *sink, plumb_arena *scratch, plumb_theory_step *out)
{
    work k;
    PLUMB_TRY(new_work(c, in, scratch, &k));
    PLUMB_TRY(walk(&k, sum_tile, 0, sink));
    for (int i = 0; i < k.rows; i++) k.lse[i] = log_sum(&k.before[i]);
    PLUMB_TRY(walk(&k, gradient_tile, 0, sink));
    move_states(&k);
    double step = choose_step(&k);
    for (int i = 0; i < k.rows; i++) {
        double *row = k.moved + (size_t)i * (size_t)k.d;
        const double *h = k.h + (size_t)i * (size_t)k.d;
        for (int j = 0; j < k.d; j++) row[j] = h[j] + step * row[j];
    }
    memset(k.largest, 0, (size_t)k.rows * sizeof *k.largest);
    PLUMB_TRY(walk(&k, step_tile, step, sink));
    *out = (plumb_theory_step){.step = step,
                               .predicted = step * t->rate,
                               .allowed = 0.01 * step * (fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path))};
    for (int i = 0; i < k.rows; i++) out->largest_move = fmax(out->largest_move, k.largest[i]);
    for (int i = 0; i < in->n; i++)
        out->actual += (k.after[i].target - log_sum(&k.after[i])) - (k.before[i].target - k.lse[i]);
    out->agrees = fabs(out->predicted - out->actual) <= out->allowed;
    return PLUMB_OK;
}

int64_t plumb_theory_step_bytes(int n, int m, int d)
{
    int64_t rows = (int64_t)n + m;
    return (int64_t)sizeof(double) * (3 * rows * d + 2 * TILE * (int64_t)d + 2 * TILE * rows + 2 * rows) +
           2 * (int64_t)sizeof(running) * rows;
}
