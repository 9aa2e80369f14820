#include "model/cache.h"

#include <stdlib.h>
#include <string.h>

plumb_status plumb_cache_new(const plumb_model *m, plumb_cache *c)
{
    c->compute = m->compute;
    c->layers = m->config.layers;
    c->width = m->config.kv_heads * m->config.head_dim;
    PLUMB_TRY(plumb_new(&c->k, (size_t)c->layers, sizeof *c->k));
    return plumb_new(&c->v, (size_t)c->layers, sizeof *c->v);
}

void plumb_cache_free(plumb_cache *c)
{
    for (int i = 0; i < c->layers; i++) {
        if (c->k) plumb_compute_release(c->compute, c->k[i]);
        if (c->v) plumb_compute_release(c->compute, c->v[i]);
    }
    free(c->k);
    free(c->v);
    free(c->runs);
    *c = (plumb_cache){0};
}

/* One matrix with more rows. Only the runs in use are copied: what was never written costs no memory. */
static plumb_status grow(const plumb_cache *c, int rows, float **matrix)
{
    float *more;
    size_t width = (size_t)c->width;
    PLUMB_TRY(plumb_compute_alloc(c->compute, &more, (size_t)rows * width, sizeof *more));
    for (size_t i = 0; i < c->run_count; i++) {
        size_t at = (size_t)c->runs[i].row * width, count = (size_t)c->runs[i].rows * width;
        if (count) memcpy(more + at, *matrix + at, count * sizeof *more);
    }
    plumb_compute_release(c->compute, *matrix);
    *matrix = more;
    return PLUMB_OK;
}

plumb_status plumb_cache_reserve(plumb_cache *c, int rows)
{
    if (rows <= c->rows) return PLUMB_OK;
    for (int i = 0; i < c->layers; i++) {
        PLUMB_TRY(grow(c, rows, &c->k[i]));
        PLUMB_TRY(grow(c, rows, &c->v[i]));
    }
    c->rows = rows;
    return PLUMB_OK;
}

plumb_status plumb_cache_take(plumb_cache *c, int rows, int *row)
{
    size_t at = 0;
    int from = 0;
    *row = -1;
    if (rows == 0) {
        *row = 0;
        return PLUMB_OK;
    }
    while (at < c->run_count && c->runs[at].row - from < rows) {
        from = c->runs[at].row + c->runs[at].rows;
        at++;
    }
    if (c->rows - from < rows) return PLUMB_OK;
    PLUMB_TRY(plumb_reserve(&c->runs, &c->run_capacity, c->run_count + 1, sizeof *c->runs));
    memmove(c->runs + at + 1, c->runs + at, (c->run_count - at) * sizeof *c->runs);
    c->runs[at] = (plumb_cache_run){from, rows};
    c->run_count++;
    *row = from;
    return PLUMB_OK;
}

void plumb_cache_give(plumb_cache *c, int row, int rows)
{
    if (rows == 0) return;
    for (size_t i = 0; i < c->run_count; i++) {
        if (c->runs[i].row != row) continue;
        c->run_count--;
        memmove(c->runs + i, c->runs + i + 1, (c->run_count - i) * sizeof *c->runs);
        return;
    }
}

int64_t plumb_cache_row_bytes(const plumb_config *c)
{
    return (int64_t)c->layers * 2 * c->kv_heads * c->head_dim * (int64_t)sizeof(float);
}
