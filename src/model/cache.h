/* The key/value cache of sequences that are being generated: for each layer k and v [rows][kv_heads * head_dim], handed
 * out in runs of consecutive rows, which the spans of a segment name. A prompt has one run, each completion another. */
#ifndef PLUMB_MODEL_CACHE_H
#define PLUMB_MODEL_CACHE_H

#include "model/model.h"

/* A run that is in use. */
typedef struct plumb_cache_run {
    int row, rows;
} plumb_cache_run;

typedef struct plumb_cache {
    plumb_compute *compute; /* borrowed */
    int layers, width, rows;
    float **k, **v;        /* [layers] -> [rows][width] */
    plumb_cache_run *runs; /* in use, by ascending row */
    size_t run_count, run_capacity;
} plumb_cache;

/* An empty cache of 0 rows for a model; *c is {0}. */
plumb_status plumb_cache_new(const plumb_model *m, plumb_cache *c) PLUMB_MUST_USE;
void plumb_cache_free(plumb_cache *c);

/* Makes the cache hold at least so many rows; runs in use keep their rows and contents. */
plumb_status plumb_cache_reserve(plumb_cache *c, int rows) PLUMB_MUST_USE;

/* The first gap of so many rows (0 is fine) becomes a run: *row is its first row, or -1 where there is no gap. */
plumb_status plumb_cache_take(plumb_cache *c, int rows, int *row) PLUMB_MUST_USE;
/* Gives the run back that begins at this row and has so many rows. */
void plumb_cache_give(plumb_cache *c, int row, int rows);

/* Bytes of one row over all layers. */
int64_t plumb_cache_row_bytes(const plumb_config *c);

#endif
