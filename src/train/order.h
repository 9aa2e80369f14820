/* The order in which training visits rows: that of transformers' Trainer on one device.
 *
 * Epoch e (from 0) visits randperm(rows, seed + e), torch's permutation with the Mersenne Twister MT19937 (Matsumoto
 * and Nishimura 1998), or 0, 1, 2, ... on request. Rows are cut into batches, batches into optimiser steps of
 * `accumulation` batches; the last of both in an epoch may be short, none reaches into the next epoch. Any step can be
 * asked for at once, so that a resumed run goes on where it was.
 *
 *     plumb_order *order;
 *     plumb_order_open(&(plumb_order_options){.rows = 100, .batch = 8, .accumulation = 4, .epochs = 3, .seed = 42},
 *                      &order);
 *     for (int64_t step = 0; step < plumb_order_steps(order); step++)
 *         for (int64_t k = 0; k < plumb_order_batches(order, step); k++) {
 *             const int64_t *rows = plumb_order_batch(order, step, k, &count);
 *             ...                                     the loss of a batch counts 1 / plumb_order_batches(order, step)
 *         }
 *     plumb_order_close(order); */
#ifndef PLUMB_TRAIN_ORDER_H
#define PLUMB_TRAIN_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* torch.randperm(n, generator=torch.Generator().manual_seed(seed)) into out [n]. Of the seed only the low 32 bits
 * count, as in torch. 0 <= n < 214748364, above which torch draws in another way. */
void plumb_randperm(int64_t n, uint64_t seed, int64_t *out);

/* The same from a generator that has drawn `before` such permutations already: TRL's RepeatSampler goes on with one
 * generator from epoch to epoch. O(n before). */
void plumb_randperm_after(int64_t n, uint64_t seed, int64_t before, int64_t *out);

typedef struct plumb_order_options {
    int64_t rows;
    int64_t batch;        /* per_device_train_batch_size */
    int64_t accumulation; /* gradient_accumulation_steps */
    double epochs;        /* num_train_epochs; a fraction ends within an epoch */
    int64_t max_steps;    /* optimiser steps, whatever `epochs` says; 0 or less: not given */
    uint64_t seed;        /* data_seed, or seed where that is not given */
    bool sequential;      /* train_sampling_strategy sequential: the order of the file in every epoch */
    bool drop_last;       /* dataloader_drop_last: leave out a short batch at the end of an epoch */
} plumb_order_options;

typedef struct plumb_order plumb_order;

/* PLUMB_E_INPUT for numbers that make no run: no rows, a batch, accumulation or number of epochs not above 0, more rows
 * than plumb_randperm takes, drop_last with fewer rows than a batch. The order owns the memory of one epoch. */
plumb_status plumb_order_open(const plumb_order_options *how, plumb_order **out) PLUMB_MUST_USE;
void plumb_order_close(plumb_order *order); /* NULL is fine */

/* Optimiser steps of the run, and of an epoch. */
int64_t plumb_order_steps(const plumb_order *order);
int64_t plumb_order_steps_per_epoch(const plumb_order *order);

/* Batches that optimiser step `step` (from 0) accumulates. */
int64_t plumb_order_batches(const plumb_order *order, int64_t step);

/* The rows of batch k of a step, *count of them; borrowed until the next call. */
const int64_t *plumb_order_batch(plumb_order *order, int64_t step, int64_t k, int64_t *count);

/* The `epoch` that transformers logs after `step` steps are done: 1.5 is the middle of the second. */
double plumb_order_epoch(const plumb_order *order, int64_t steps_done);

#endif
