/* Kernels that work row by row: embedding, norms, activations, clipping, sums, rotary positions. Rows are shared out
 * over threads; a row's arithmetic is its kernel's. */
#include <string.h>

#include "compute/kernels.h"

/* Below this many elements a team of threads costs more than it saves. */
enum { PARALLEL_FROM = 32768 };

static bool worth_a_team(const plumb_compute *c, int rows, int n)
{
    return c->threads > 1 && rows > 1 && (size_t)rows * (size_t)n >= PARALLEL_FROM;
}

void plumb_embed(plumb_compute *c, const plumb_linear *table, const int32_t *ids, int n, float scale, float *x, int ldx)
{
    size_t bytes = (size_t)table->k * plumb_dtype_size(table->dtype);
    int bad = 0;
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, n, table->k)) reduction(| : bad)
    for (int i = 0; i < n; i++) {
        const char *row = (const char *)table->weight + (size_t)ids[i] * bytes;
        if (!c->kernels.widen_row(row, table->dtype, table->k, scale, x + (size_t)i * (size_t)ldx)) bad = 1;
    }
    if (bad && !c->bad_weight) c->bad_weight = table->name;
}

void plumb_norm_run(plumb_compute *c, const plumb_norm *norm, const float *x, int ldx, int rows, int groups, float *y,
                    int ldy)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, groups * norm->d))
    for (int i = 0; i < rows; i++) {
        const float *from = x + (size_t)i * (size_t)ldx;
        float *to = y + (size_t)i * (size_t)ldy;
        for (int g = 0; g < groups; g++)
            c->kernels.norm_row(norm, from + (size_t)g * (size_t)norm->d, to + (size_t)g * (size_t)norm->d);
    }
}

void plumb_activate(plumb_compute *c, plumb_activation act, const float *gate, int ldg, const float *up, int ldu,
                    int rows, int n, float *out, int ldo)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++)
        c->kernels.activate_row(act, gate + (size_t)i * (size_t)ldg, up ? up + (size_t)i * (size_t)ldu : NULL, n,
                                out + (size_t)i * (size_t)ldo);
}

void plumb_clip(plumb_compute *c, float *x, int ldx, int rows, int n, float bound)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++) {
        float *row = x + (size_t)i * (size_t)ldx;
        for (int j = 0; j < n; j++) { /* as torch.clamp: NaN stays NaN */
            float value = row[j] < -bound ? -bound : row[j];
            row[j] = value > bound ? bound : value;
        }
    }
}

void plumb_add(plumb_compute *c, const float *x, int ldx, int rows, int n, float *y, int ldy)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++) {
        const float *from = x + (size_t)i * (size_t)ldx;
        float *to = y + (size_t)i * (size_t)ldy;
        for (int j = 0; j < n; j++) to[j] += from[j];
    }
}

static int local_partner(const plumb_partners *p, int i)
{
    return p->row[p->first + i] - p->first;
}

/* |x - p| < |x|? In fixed lanes, so that a compiler may use vectors. */
static bool is_near(const float *x, const float *p, int n)
{
    enum { LANES = 16 };
    float whole[LANES] = {0}, apart[LANES] = {0}, more = 0;
    int j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int i = 0; i < LANES; i++) {
            float difference = x[j + i] - p[j + i];
            whole[i] += x[j + i] * x[j + i];
            apart[i] += difference * difference;
        }
    for (int i = 0; j < n; i++, j++) {
        float difference = x[j] - p[j];
        whole[i] += x[j] * x[j];
        apart[i] += difference * difference;
    }
    for (int i = 0; i < LANES; i++) more += whole[i] - apart[i];
    return more > 0;
}

void plumb_take_differences(plumb_compute *c, const plumb_partners *p, const float *x, int ldx, int rows, int n,
                            float *out, int ldo)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++) {
        int at = local_partner(p, i);
        const float *from = x + (size_t)i * (size_t)ldx, *partner = at < 0 ? NULL : x + (size_t)at * (size_t)ldx;
        float *to = out + (size_t)i * (size_t)ldo;
        p->taken[p->first + i] = partner && is_near(from, partner, n);
        if (p->taken[p->first + i])
            for (int j = 0; j < n; j++) to[j] = from[j] - partner[j];
        else if (to != from)
            memcpy(to, from, (size_t)n * sizeof *to);
    }
}

void plumb_add_partners(plumb_compute *c, const plumb_partners *p, float factor, const float *bias, int rows, int n,
                        float *y, int ldy)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, n))
    for (int i = 0; i < rows; i++) {
        if (!p->taken[p->first + i]) continue;
        const float *from = y + (size_t)local_partner(p, i) * (size_t)ldy;
        float *to = y + (size_t)i * (size_t)ldy;
        if (bias)
            for (int j = 0; j < n; j++) to[j] += factor * (from[j] - bias[j]);
        else
            for (int j = 0; j < n; j++) to[j] += factor * from[j];
    }
}

void plumb_rotary(plumb_compute *c, float *x, int ldx, int rows, int heads, int head_dim, int rotary,
                  const float *cosine, const float *sine, const int32_t *positions)
{
#pragma omp parallel for num_threads(c->threads) if (worth_a_team(c, rows, heads * rotary))
    for (int i = 0; i < rows; i++) {
        size_t angle = (size_t)positions[i] * (size_t)(rotary / 2);
        float *row = x + (size_t)i * (size_t)ldx;
        for (int h = 0; h < heads; h++)
            c->kernels.rotary_head(row + (size_t)h * (size_t)head_dim, rotary, cosine + angle, sine + angle);
    }
}
