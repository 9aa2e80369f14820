#include "train/order.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

/* --- MT19937 ------------------------------------------------------------------------------------------------------ */

enum { WORDS = 624, MIDDLE = 397 };

typedef struct twister {
    uint32_t word[WORDS];
    int next;
} twister;

static void twister_seed(twister *t, uint32_t seed)
{
    t->word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++) {
        uint32_t before = t->word[i - 1];
        t->word[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    t->next = WORDS;
}

static void twister_refill(twister *t)
{
    for (int i = 0; i < WORDS; i++) {
        uint32_t mixed = (t->word[i] & 0x80000000u) | (t->word[(i + 1) % WORDS] & 0x7fffffffu);
        t->word[i] = t->word[(i + MIDDLE) % WORDS] ^ mixed >> 1 ^ (mixed & 1 ? 0x9908b0dfu : 0);
    }
    t->next = 0;
}

static uint32_t twister_draw(twister *t)
{
    if (t->next == WORDS) twister_refill(t);
    uint32_t y = t->word[t->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* So that the steps of a run fit into 64 bits. */
static const double most_epochs = 1e9;
/* The largest n for which torch takes one 32-bit draw per row. */
static const int64_t most_rows = UINT32_MAX / 20 - 1;

void plumb_randperm(int64_t n, uint64_t seed, int64_t *out)
{
    plumb_randperm_after(n, seed, 0, out);
}

void plumb_randperm_after(int64_t n, uint64_t seed, int64_t before, int64_t *out)
{
    twister t;
    twister_seed(&t, (uint32_t)seed);
    for (int64_t i = 0; i < before * (n - 1); i++) twister_draw(&t);
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = 0; i + 1 < n; i++) {
        int64_t other = i + twister_draw(&t) % (n - i), kept = out[i];
        out[i] = out[other];
        out[other] = kept;
    }
}

/* --- a run -------------------------------------------------------------------------------------------------------- */

struct plumb_order {
    plumb_order_options how;
    int64_t batches; /* of an epoch */
    int64_t steps_per_epoch, steps;
    int64_t epoch; /* that `rows` holds; -1: none yet */
    int64_t *rows;
};

static int64_t divide_up(int64_t x, int64_t by)
{
    return x / by + (x % by > 0);
}

static plumb_status check(const plumb_order_options *how)
{
    if (how->rows < 1) return plumb_fail(PLUMB_E_INPUT, "no row to train on");
    if (how->batch < 1)
        return plumb_fail(PLUMB_E_INPUT, "per_device_train_batch_size: %lld is not above 0", (long long)how->batch);
    if (how->accumulation < 1)
        return plumb_fail(PLUMB_E_INPUT, "gradient_accumulation_steps: %lld is not above 0",
                          (long long)how->accumulation);
    if (how->max_steps <= 0 && !(how->epochs > 0 && how->epochs < most_epochs))
        return plumb_fail(PLUMB_E_INPUT, "num_train_epochs: %g is not above 0 and below %g", how->epochs, most_epochs);
    if (how->rows > most_rows)
        return plumb_fail(PLUMB_E_INPUT, "%lld rows; at most %lld can be shuffled", (long long)how->rows,
                          (long long)most_rows);
    if (how->drop_last && how->rows < how->batch)
        return plumb_fail(PLUMB_E_INPUT, "dataloader_drop_last leaves nothing: %lld rows for batches of %lld",
                          (long long)how->rows, (long long)how->batch);
    return PLUMB_OK;
}

plumb_status plumb_order_open(const plumb_order_options *how, plumb_order **out)
{
    PLUMB_TRY(check(how));
    plumb_order *o;
    PLUMB_TRY(plumb_new(&o, 1, sizeof *o));
    plumb_status s = plumb_new(&o->rows, (size_t)how->rows, sizeof *o->rows);
    if (s) {
        free(o);
        return s;
    }
    o->how = *how;
    o->batches = how->drop_last ? how->rows / how->batch : divide_up(how->rows, how->batch);
    o->steps_per_epoch = divide_up(o->batches, how->accumulation);
    o->steps = how->max_steps > 0 ? how->max_steps : (int64_t)ceil(how->epochs * (double)o->steps_per_epoch);
    o->epoch = -1;
    *out = o;
    return PLUMB_OK;
}

void plumb_order_close(plumb_order *order)
{
    if (!order) return;
    free(order->rows);
    free(order);
}

int64_t plumb_order_steps(const plumb_order *order)
{
    return order->steps;
}

int64_t plumb_order_steps_per_epoch(const plumb_order *order)
{
    return order->steps_per_epoch;
}

int64_t plumb_order_batches(const plumb_order *order, int64_t step)
{
    int64_t first = step % order->steps_per_epoch * order->how.accumulation, left = order->batches - first;
    return left < order->how.accumulation ? left : order->how.accumulation;
}

static void shuffle(plumb_order *order, int64_t epoch)
{
    if (order->epoch == epoch) return;
    if (!order->how.sequential)
        plumb_randperm(order->how.rows, order->how.seed + (uint64_t)epoch, order->rows);
    else
        for (int64_t i = 0; i < order->how.rows; i++) order->rows[i] = i;
    order->epoch = epoch;
}

const int64_t *plumb_order_batch(plumb_order *order, int64_t step, int64_t k, int64_t *count)
{
    shuffle(order, step / order->steps_per_epoch);
    int64_t first = (step % order->steps_per_epoch * order->how.accumulation + k) * order->how.batch;
    int64_t left = order->how.rows - first;
    *count = left < order->how.batch ? left : order->how.batch;
    return order->rows + first;
}

double plumb_order_epoch(const plumb_order *order, int64_t steps_done)
{
    if (steps_done <= 0) return 0;
    int64_t last = steps_done - 1, epoch = last / order->steps_per_epoch;
    int64_t done = last % order->steps_per_epoch * order->how.accumulation + plumb_order_batches(order, last);
    return (double)epoch + (double)done / (double)order->batches;
}
