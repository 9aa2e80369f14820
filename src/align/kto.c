#include "align/kto.h"

#include <math.h>

void plumb_kto_loss(const plumb_kto_options *o, const plumb_kto_row *rows, size_t count, double *g,
                    plumb_kto_metrics *out)
{
    double n = (double)count, kinds[2] = {0};
    *out = (plumb_kto_metrics){0};
    for (size_t i = 0; i < count && o->loss_type == PLUMB_KTO; i++) out->kl += rows[i].kl / n;
    if (out->kl < 0) out->kl = 0;
    for (size_t i = 0; i < count; i++) {
        int kind = !rows[i].desirable;
        double a = rows[i].logps - rows[i].ref_logps, x = o->beta * (a - out->kl);
        double weight = kind ? o->undesirable_weight : o->desirable_weight;
        double up = 1 / (1 + exp(-x)), down = 1 / (1 + exp(x)); /* s(x) and 1 - s(x), each exact where it is small */
        out->loss += weight * (kind ? up : down) / n;
        g[i] = (kind ? weight : -weight) * o->beta * up * down / n;
        out->rewards[kind] += o->beta * a;
        out->logps[kind] += rows[i].logps;
        kinds[kind]++;
    }
    for (int kind = 0; kind < 2; kind++) {
        out->rewards[kind] = kinds[kind] ? out->rewards[kind] / kinds[kind] : NAN;
        out->logps[kind] = kinds[kind] ? out->logps[kind] / kinds[kind] : NAN;
    }
}
