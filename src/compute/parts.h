/* How the frames of the matrix products cut work into parts. */
#ifndef PLUMB_COMPUTE_PARTS_H
#define PLUMB_COMPUTE_PARTS_H

static inline int plumb_ceil_div(int a, int b)
{
    return a / b + (a % b != 0);
}

static inline int plumb_smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The size of equal parts of `total`, of at most about `part` each, a multiple of `step`, which is the least. */
static inline int plumb_even_part(int total, int part, int step)
{
    int parts = plumb_ceil_div(total, part);
    return parts ? plumb_ceil_div(plumb_ceil_div(total, parts), step) * step : step;
}

#endif
