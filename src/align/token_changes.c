#include "align/token_changes.h"

#include <math.h>

plumb_status plumb_token_probabilities(const plumb_model *m, const float *h, int rows, const double *lse, float *p)
{
    int vocab = m->config.vocab_size, d = m->config.hidden_size;
    float cap = (float)m->config.final_cap;
    plumb_unembed u = {.w = &m->unembed, .scale = 1, .cap = cap};
    PLUMB_TRY(plumb_unembed_tile(m->compute, &u, h, d, rows, 0, vocab, p, vocab));
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vocab; v++) {
            float *z = &p[(size_t)i * (size_t)vocab + (size_t)v];
            double capped = cap > 0 ? cap * tanh(*z / (double)cap) : *z;
            *z = (float)exp(capped - lse[i]);
        }
    return PLUMB_OK;
}

static bool more(const plumb_token_change *a, const plumb_token_change *b, int sign)
{
    double x = sign * (a->after - a->before), y = sign * (b->after - b->before);
    return x > y || (x == y && a->token < b->token);
}

/* By insertion into a short list. */
int plumb_token_changes(const float *before, const float *after, int vocab, int sign, int k, plumb_token_change *out)
{
    int count = 0;
    for (int v = 0; v < vocab; v++) {
        plumb_token_change c = {v, before[v], after[v]};
        if (!(sign * (c.after - c.before) > 0)) continue;
        if (count == k && !more(&c, &out[k - 1], sign)) continue;
        int at = count < k ? count++ : k - 1;
        while (at > 0 && more(&c, &out[at - 1], sign)) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = c;
    }
    return count;
}

void plumb_logit_split(const plumb_linear *before, const plumb_linear *after, const float *h_before,
                       const float *h_after, int32_t token, plumb_logit_change *out)
{
    size_t first = (size_t)token * (size_t)before->k;
    double old = 0, new = 0;
    *out = (plumb_logit_change){0};
    for (int j = 0; j < before->k; j++) {
        double w[2] = {plumb_load(before->weight, before->dtype, first + (size_t)j),
                       plumb_load(after->weight, after->dtype, first + (size_t)j)};
        double h[2] = {h_before[j], h_after[j]}, dw = w[1] - w[0], dh = h[1] - h[0];
        old += w[0] * h[0];
        new += w[1] * h[1];
        out->weights += dw * h[0];
        out->hidden += w[0] * dh;
        out->both += dw * dh;
    }
    if (before->bias) out->bias -= before->bias[token];
    if (after->bias) out->bias += after->bias[token];
    out->change = new - old + out->bias;
}
