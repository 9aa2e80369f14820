#include "align/targets.h"

/* What the model must read: all tokens but the last, unless its state is wanted. */
static int inputs(const int totals[], int sides, int shared, bool last_state, int counts[2])
{
    for (int s = 0; s < sides; s++) {
        counts[s] = totals[s] - (last_state ? 0 : 1);
        if (shared > counts[s]) shared = counts[s];
    }
    return shared;
}

int plumb_pair_rows(const int totals[], int sides, int shared, bool last_state)
{
    int counts[2] = {0};
    shared = inputs(totals, sides, shared, last_state, counts);
    return plumb_group_rows(counts, sides, shared);
}

plumb_status plumb_batch_add_pair(plumb_batch *b, const int32_t *const ids[], const int totals[], int sides, int prompt,
                                  int shared, bool last_state, plumb_pair_states *out)
{
    int counts[2] = {0}, from = prompt - 1;
    *out = (plumb_pair_states){.shared_states = 0};
    shared = inputs(totals, sides, shared, last_state, counts);
    PLUMB_TRY(plumb_batch_add(b, ids, counts, sides, shared, from, &out->place));
    for (int s = 0; s < sides; s++) {
        out->states[s] = counts[s] - from;
        out->targets[s] = totals[s] - prompt;
    }
    if (shared > from) out->shared_states = shared - from;
    return PLUMB_OK;
}

/* The prefix's states come first, then the branch's own. */
int plumb_pair_state_row(const plumb_pair_states *p, int side, int i)
{
    int own = i - p->place.prefix_wanted;
    return own < 0 ? p->place.first + i : p->place.branch[side] + own;
}

plumb_status plumb_targets_add(plumb_targets *t, const int32_t *const ids[], int sides, int prompt,
                               plumb_pair_states *p)
{
    p->first_target = (int)t->tokens.count;
    for (int s = 0; s < sides; s++) {
        PLUMB_TRY(plumb_ids_append(&t->tokens, ids[s] + prompt, (size_t)p->targets[s]));
        for (int i = 0; i < p->targets[s]; i++) PLUMB_TRY(plumb_ids_push(&t->states, plumb_pair_state_row(p, s, i)));
    }
    return PLUMB_OK;
}

plumb_status plumb_targets_add_trained(plumb_targets *t, const int32_t *ids, const uint8_t *trained, int total,
                                       int prompt, plumb_pair_states *p)
{
    p->first_target = (int)t->tokens.count;
    p->targets[0] = 0;
    for (int i = prompt; i < total; i++) {
        if (!trained[i]) continue;
        PLUMB_TRY(plumb_ids_push(&t->tokens, ids[i]));
        PLUMB_TRY(plumb_ids_push(&t->states, plumb_pair_state_row(p, 0, i - prompt)));
        p->targets[0]++;
    }
    return PLUMB_OK;
}

void plumb_split_logps(const double *logps, const plumb_pair_states *p, int side, double *head, double *tail)
{
    int common = p->targets[0] < p->targets[1] ? p->targets[0] : p->targets[1];
    *head = *tail = 0;
    for (int i = 0; i < p->targets[side]; i++) *(i < common ? head : tail) += logps[i];
}

static void add_pull(plumb_pull *p, int32_t token, double g)
{
    int i = 0;
    while (i < p->count && p->token[i] != token) i++;
    if (i == p->count) p->token[p->count++] = token;
    p->g[i] += g;
}

plumb_status plumb_targets_pulls(const plumb_targets *t, size_t wanted, const double *g, const double *lse,
                                 plumb_arena *arena, plumb_pulls *out)
{
    size_t n = t->tokens.count, *place; /* of a wanted state among those of *out, plus 1 */
    PLUMB_TRY(plumb_arena_new(arena, &place, wanted, sizeof *place));
    PLUMB_TRY(plumb_arena_new(arena, &out->states, n, sizeof *out->states));
    PLUMB_TRY(plumb_arena_new(arena, &out->pulls, n, sizeof *out->pulls));
    PLUMB_TRY(plumb_arena_new(arena, &out->lse, n, sizeof *out->lse));
    out->count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t *at = &place[t->states.data[i]];
        if (!*at) {
            out->states[out->count] = t->states.data[i];
            out->lse[out->count] = lse[i];
            *at = ++out->count;
        }
        add_pull(&out->pulls[*at - 1], t->tokens.data[i], g[i]);
    }
    return PLUMB_OK;
}

void plumb_targets_clear(plumb_targets *t)
{
    t->tokens.count = t->states.count = 0;
}

void plumb_targets_free(plumb_targets *t)
{
    plumb_ids_free(&t->tokens);
    plumb_ids_free(&t->states);
}
