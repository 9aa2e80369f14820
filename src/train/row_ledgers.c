#include "train/row_ledgers.h"

#include <inttypes.h>
#include <stdlib.h>

#include "io/json.h"

enum { DIGITS = 9, LOGP_DIGITS = 17 };

static plumb_status begin_row(plumb_text *t, int64_t step, const plumb_example *e)
{
    return plumb_text_printf(t, "{\"step\":%" PRId64 ",\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\"", step,
                             e->index, e->row);
}

static plumb_status put(plumb_text *t, const char *name, double value, int digits)
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s\":", name));
    return plumb_json_real(t, value, digits);
}

/* One evaluation. */
typedef struct noting {
    const plumb_examples *e;
    const plumb_sink *sink;
    int64_t step;
    plumb_text *rows;
    double right, margin;       /* reward */
    double logps[2], counts[2]; /* KTO */
    double *each;               /* [e->count] KTO: the log-prob of each completion */
} noting;

/* ---- reward models ---- */

static plumb_status note_rewards(void *user, const plumb_micro_batch *m, size_t first)
{
    noting *n = user;
    for (size_t i = 0; i < m->count; i++) {
        const double *r = m->logps + m->at[i].first_target;
        PLUMB_TRY(begin_row(n->rows, n->step, m->examples[i]));
        PLUMB_TRY(put(n->rows, "reward/chosen", r[0], DIGITS));
        PLUMB_TRY(put(n->rows, "reward/rejected", r[1], DIGITS));
        PLUMB_TRY(plumb_text_string(n->rows, "}\n"));
        n->right += r[0] > r[1];
        n->margin += r[0] - r[1];
    }
    plumb_progress(n->sink, "pairs", (double)(first + m->count), (double)n->e->count);
    return PLUMB_OK;
}

static plumb_status reward_note(void *user, const plumb_model *policy, const plumb_examples *e, int64_t step,
                                const plumb_sink *sink, plumb_text *rows)
{
    plumb_reward_notes *notes = user;
    noting n = {.e = e, .sink = sink, .step = step, .rows = rows};
    const plumb_example **list;
    PLUMB_TRY(plumb_new(&list, e->count, sizeof(plumb_example *)));
    for (size_t i = 0; i < e->count; i++) list[i] = &e->list[i];
    plumb_status s = plumb_examples_look(policy, list, e->count, note_rewards, &n, sink);
    free(list);
    PLUMB_TRY(s);
    int at = notes->evaluations++ > 0;
    for (int k = at; k < 2; k++) {
        notes->accuracy[k] = n.right / (double)e->count;
        notes->margin[k] = n.margin / (double)e->count;
    }
    return PLUMB_OK;
}

plumb_run_ledger plumb_reward_ledger(plumb_reward_notes *notes)
{
    return (plumb_run_ledger){.note = reward_note, .user = notes};
}

/* ---- KTO ---- */

static plumb_status append_completion(noting *n, const plumb_example *x, double logps)
{
    PLUMB_TRY(begin_row(n->rows, n->step, x));
    PLUMB_TRY(plumb_text_printf(n->rows, ",\"label\":%s", x->desirable ? "true" : "false"));
    PLUMB_TRY(put(n->rows, "logps", logps, LOGP_DIGITS));
    PLUMB_TRY(put(n->rows, "ref_logps", x->ref_head[0] + x->ref_tail[0], LOGP_DIGITS));
    return plumb_text_string(n->rows, "}\n");
}

static plumb_status note_completion(void *user, size_t i, const plumb_score *score)
{
    noting *n = user;
    const plumb_example *x = &n->e->list[i];
    n->each[i] = score->logps[0];
    n->logps[x->desirable] += score->logps[0];
    n->counts[x->desirable]++;
    return PLUMB_OK;
}

static plumb_status append_pair(noting *n, size_t chosen, size_t rejected)
{
    const plumb_example *w = &n->e->list[chosen], *l = &n->e->list[rejected];
    PLUMB_TRY(begin_row(n->rows, n->step, w));
    PLUMB_TRY(put(n->rows, "logps/chosen", n->each[chosen], LOGP_DIGITS));
    PLUMB_TRY(put(n->rows, "logps/rejected", n->each[rejected], LOGP_DIGITS));
    PLUMB_TRY(put(n->rows, "ref_logps/chosen", w->ref_head[0] + w->ref_tail[0], LOGP_DIGITS));
    PLUMB_TRY(put(n->rows, "ref_logps/rejected", l->ref_head[0] + l->ref_tail[0], LOGP_DIGITS));
    return plumb_text_string(n->rows, "}\n");
}

/* The next example of that kind from `at` on. */
static size_t next_of(const plumb_examples *e, size_t at, bool desirable)
{
    while (at < e->count && e->list[at].desirable != desirable) at++;
    return at;
}

/* Both kinds come in the order of the file; a side that was left out has no partner. */
static plumb_status append_pairs(noting *n)
{
    const plumb_examples *e = n->e;
    size_t w = next_of(e, 0, true), l = next_of(e, 0, false);
    while (w < e->count && l < e->count) {
        int64_t ahead = e->list[w].index - e->list[l].index;
        if (ahead == 0) PLUMB_TRY(append_pair(n, w, l));
        if (ahead <= 0) w = next_of(e, w + 1, true);
        if (ahead >= 0) l = next_of(e, l + 1, false);
    }
    return PLUMB_OK;
}

static plumb_status append_completions(noting *n)
{
    for (size_t i = 0; i < n->e->count; i++) PLUMB_TRY(append_completion(n, &n->e->list[i], n->each[i]));
    return PLUMB_OK;
}

static plumb_status kto_note(void *user, const plumb_model *policy, const plumb_examples *e, int64_t step,
                             const plumb_sink *sink, plumb_text *rows)
{
    plumb_kto_notes *notes = user;
    noting n = {.e = e, .sink = sink, .step = step, .rows = rows};
    PLUMB_TRY(plumb_new(&n.each, e->count, sizeof *n.each));
    plumb_status s =
        plumb_examples_score(policy, e, &(plumb_examples_visit){.score = note_completion, .user = &n}, sink);
    if (!s) s = notes->pairs ? append_pairs(&n) : append_completions(&n);
    free(n.each);
    PLUMB_TRY(s);
    int at = notes->evaluations++ > 0;
    for (int k = at; k < 2; k++)
        for (int kind = 0; kind < 2; kind++) notes->logps[k][kind] = n.logps[kind] / n.counts[kind];
    return PLUMB_OK;
}

plumb_run_ledger plumb_kto_ledger(plumb_kto_notes *notes)
{
    return (plumb_run_ledger){.note = kto_note, .user = notes};
}
