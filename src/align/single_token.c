#include "align/single_token.h"

#include <math.h>
#include <string.h>

static void load_row(const plumb_linear *w, int32_t id, double *out)
{
    size_t d = (size_t)w->k;
    for (size_t j = 0; j < d; j++) out[j] = plumb_load(w->weight, w->dtype, (size_t)id * d + j);
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int j = 0; j < n; j++) sum += a[j] * b[j];
    return sum;
}

plumb_status plumb_single_token_run(const plumb_linear *w, const float *h, int32_t plus, int32_t minus,
                                    plumb_arena *arena, plumb_single_token *out)
{
    int d = w->k;
    double *a, *b, *difference, *row, length = 0;
    PLUMB_TRY(plumb_arena_new(arena, &a, (size_t)d, sizeof *a));
    PLUMB_TRY(plumb_arena_new(arena, &b, (size_t)d, sizeof *b));
    PLUMB_TRY(plumb_arena_new(arena, &difference, (size_t)d, sizeof *difference));
    PLUMB_TRY(plumb_arena_new(arena, &row, (size_t)d, sizeof *row));
    PLUMB_TRY(plumb_arena_new(arena, &out->move, (size_t)w->n, sizeof *out->move));
    load_row(w, plus, a);
    load_row(w, minus, b);
    for (int j = 0; j < d; j++) {
        difference[j] = a[j] - b[j];
        length += (double)h[j] * h[j];
    }
    out->w_dot = dot(a, b, d);
    out->w_plus_norm = sqrt(dot(a, a, d));
    out->w_minus_norm = sqrt(dot(b, b, d));
    out->hidden_norm = sqrt(length);
    double norm = out->w_plus_norm > 0 ? out->w_plus_norm : 1; /* a row of zeros has no direction: 0 along it */
    out->projection = dot(difference, a, d) / norm;
    for (int j = 0; j < d; j++) row[j] = difference[j] - out->projection / norm * a[j];
    out->orthogonal = sqrt(dot(row, row, d));
    for (int32_t z = 0; z < w->n; z++) {
        load_row(w, z, row);
        out->move[z] = dot(row, difference, d);
    }
    return PLUMB_OK;
}

double plumb_single_token_others(const plumb_single_token *s, const double *p, int vocabulary, int32_t plus,
                                 int32_t minus)
{
    double sum = 0;
    for (int32_t z = 0; z < vocabulary; z++)
        if (z != plus && z != minus) sum += p[z] * s->move[z];
    return sum;
}

void plumb_largest_values(const double *values, int n, int k, plumb_token_value *out)
{
    int count = 0;
    for (int32_t i = 0; i < n; i++) {
        if (count == k && (!k || !(values[i] > out[k - 1].value))) continue;
        int at = count < k ? count++ : k - 1;
        while (at > 0 && values[i] > out[at - 1].value) at--;
        memmove(out + at + 1, out + at, (size_t)(count - 1 - at) * sizeof *out);
        out[at] = (plumb_token_value){i, values[i]};
    }
}
