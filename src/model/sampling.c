#include "model/sampling.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/memory.h"

struct plumb_candidate {
    float logit;
    int32_t id;
};
typedef struct plumb_candidate candidate;

plumb_status plumb_sampling_check(const plumb_sampling *s)
{
    if (!(s->temperature >= 0) || isinf(s->temperature))
        return plumb_fail(PLUMB_E_INPUT, "temperature is %g; expected 0 (greedy) or more", s->temperature);
    if (!(s->top_p > 0 && s->top_p <= 1))
        return plumb_fail(PLUMB_E_INPUT, "top_p is %g; expected a number above 0, at most 1 (off)", s->top_p);
    if (s->top_k < 0) return plumb_fail(PLUMB_E_INPUT, "top_k is %d; expected 0 (off) or more", s->top_k);
    if (s->max_new_tokens < 1)
        return plumb_fail(PLUMB_E_INPUT, "max_new_tokens is %d; expected 1 or more", s->max_new_tokens);
    return PLUMB_OK;
}

plumb_status plumb_chooser_reserve(plumb_chooser *c, int n)
{
    if (n <= c->capacity) return PLUMB_OK;
    plumb_chooser_free(c);
    PLUMB_TRY(plumb_new(&c->weights, (size_t)n, sizeof *c->weights));
    PLUMB_TRY(plumb_new(&c->candidates, (size_t)n, sizeof *c->candidates));
    c->capacity = n;
    return PLUMB_OK;
}

void plumb_chooser_free(plumb_chooser *c)
{
    free(c->weights);
    free(c->candidates);
    *c = (plumb_chooser){0};
}

static int largest(const float *z, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (z[i] > z[best]) best = i;
    return best;
}

static double distance_to_second(const float *z, int n, int best)
{
    double closest = INFINITY;
    for (int i = 0; i < n; i++)
        if (i != best && (double)z[best] - z[i] < closest) closest = (double)z[best] - z[i];
    return closest;
}

/* The order of candidates; no two are equal in it. */
static bool before(candidate a, candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

static void swap(candidate *a, candidate *b)
{
    candidate t = *a;
    *a = *b;
    *b = t;
}

/* Puts candidates before one of c[first .. last - 1] in front of it, the others behind; returns its place. Which one is
 * drawn from *state, so that no order of the logits makes selection slow. */
static int partition(candidate *c, int first, int last, uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    swap(&c[first + (int)((*state >> 33) % (uint64_t)(last - first))], &c[last - 1]);
    int at = first;
    for (int i = first; i < last - 1; i++)
        if (before(c[i], c[last - 1])) swap(&c[i], &c[at++]);
    swap(&c[at], &c[last - 1]);
    return at;
}

/* Brings the k first of n candidates to the front (quickselect). */
static void select_count(candidate *c, int n, int k)
{
    uint64_t state = 0;
    int first = 0, last = n;
    while (last - first > 1) {
        int at = partition(c, first, last, &state);
        if (at == k - 1) return;
        if (at > k - 1)
            last = at;
        else
            first = at + 1;
    }
}

static double mass(const double *weights, const candidate *c, int first, int last)
{
    double sum = 0;
    for (int i = first; i < last; i++) sum += weights[c[i].id];
    return sum;
}

/* Brings the fewest first candidates whose weights reach `wanted` to the front and returns their number: quickselect
 * that asks for a weight instead of a rank. */
static int select_mass(candidate *c, int n, const double *weights, double wanted)
{
    uint64_t state = 0;
    int first = 0, last = n;
    double had = 0; /* the weights of c[0 .. first - 1] */
    while (first < last) {
        int at = partition(c, first, last, &state);
        double upper = mass(weights, c, first, at);
        if (at > first && had + upper >= wanted) {
            last = at;
            continue;
        }
        had += upper + weights[c[at].id];
        first = at + 1;
        if (had >= wanted) break;
    }
    return first > 0 ? first : 1;
}

/* The last candidate that top_k and top_p keep. */
static candidate find_cut(const plumb_sampling *s, const float *z, int n, const plumb_chooser *c)
{
    int kept = n;
    for (int i = 0; i < n; i++) c->candidates[i] = (candidate){z[i], i};
    if (s->top_k > 0 && s->top_k < n) select_count(c->candidates, n, kept = s->top_k);
    if (s->top_p < 1)
        kept = select_mass(c->candidates, kept, c->weights, s->top_p * mass(c->weights, c->candidates, 0, kept));
    candidate last = c->candidates[0];
    for (int i = 1; i < kept; i++)
        if (before(last, c->candidates[i])) last = c->candidates[i];
    return last;
}

/* One of the entries with a weight; those that were cut off have 0. */
static int32_t draw(const double *weights, int n, double uniform)
{
    double total = 0, sum = 0;
    int32_t last = 0;
    for (int i = 0; i < n; i++) total += weights[i];
    double wanted = uniform * total;
    for (int i = 0; i < n; i++) {
        if (!(weights[i] > 0)) continue;
        last = i;
        sum += weights[i];
        if (sum > wanted) return i;
    }
    return last; /* uniform * total may round up to total */
}

int32_t plumb_choose(const plumb_sampling *s, const float *z, int n, double uniform, plumb_chooser *c, double *gap)
{
    int best = largest(z, n);
    if (gap) *gap = s->temperature == 0 ? distance_to_second(z, n, best) : INFINITY;
    if (s->temperature == 0) return best;
    for (int i = 0; i < n; i++) c->weights[i] = exp(((double)z[i] - z[best]) / s->temperature);
    if ((s->top_k > 0 && s->top_k < n) || s->top_p < 1) {
        candidate last = find_cut(s, z, n, c);
        for (int i = 0; i < n; i++)
            if (before(last, (candidate){z[i], i})) c->weights[i] = 0;
    }
    return draw(c->weights, n, uniform);
}
