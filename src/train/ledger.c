#include "train/ledger.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "align/token_changes.h"
#include "io/json.h"

enum { BLOCK = 32 /* examples whose distributions are held at once */, LOGP_DIGITS = 17, DIGITS = 9, WORSTS = 3 };

struct plumb_ledger {
    plumb_ledger_options options;
    const plumb_model *start;
    size_t count, d;
    float *start_state, *state; /* [count][d] states that predict the first differing token: at the start, now */
    bool fresh;                 /* logps and start_state are those of the policy as it is */
    double (*logps)[2];         /* [count] of the evaluation under way */
};

plumb_status plumb_ledger_new(const plumb_ledger_options *options, const plumb_model *start, const plumb_examples *e,
                              plumb_ledger **out)
{
    plumb_ledger *l;
    *out = NULL;
    PLUMB_TRY(plumb_new(&l, 1, sizeof *l));
    *l = (plumb_ledger){.options = *options, .start = start, .count = e->count, .d = (size_t)start->config.hidden_size};
    plumb_status s = plumb_new(&l->logps, e->count, sizeof *l->logps);
    if (!s && options->tokens) s = plumb_new(&l->start_state, e->count * l->d, sizeof(float));
    if (!s && options->tokens) s = plumb_new(&l->state, e->count * l->d, sizeof(float));
    if (s) {
        plumb_ledger_free(l);
        return s;
    }
    *out = l;
    return PLUMB_OK;
}

void plumb_ledger_free(plumb_ledger *l)
{
    if (!l) return;
    free(l->start_state);
    free(l->state);
    free(l->logps);
    free(l);
}

/* ---- passes over the examples ---- */

typedef struct passing {
    plumb_ledger *l;
    float *states; /* where states go */
    const plumb_examples_visit *also;
} passing;

static plumb_status keep_score(void *user, size_t i, const plumb_score *score)
{
    passing *p = user;
    for (int s = 0; s < 2; s++) p->l->logps[i][s] = score->logps[s];
    return p->also ? p->also->score(p->also->user, i, score) : PLUMB_OK;
}

static plumb_status keep_state(void *user, size_t i, const float *state)
{
    passing *p = user;
    memcpy(p->states + i * p->l->d, state, p->l->d * sizeof *state);
    return PLUMB_OK;
}

static plumb_status pass(plumb_ledger *l, const plumb_model *m, const plumb_examples *e, float *states,
                         const plumb_examples_visit *also, const plumb_sink *sink)
{
    passing p = {l, states, also};
    plumb_examples_visit visit = {
        .score = keep_score, .state = states ? keep_state : NULL, .user = &p, .states = also && also->states};
    return plumb_examples_score(m, e, &visit, sink);
}

static void set_start(plumb_ledger *l, plumb_examples *e)
{
    for (size_t i = 0; i < e->count; i++) {
        for (int s = 0; s < 2; s++) e->list[i].start[s] = l->logps[i][s];
        e->list[i].has_start = true;
    }
    l->fresh = true;
}

plumb_status plumb_ledger_start(plumb_ledger *l, const plumb_model *policy, plumb_examples *e,
                                const plumb_examples_visit *also, const plumb_sink *sink)
{
    PLUMB_TRY(pass(l, policy, e, l->start_state, also, sink));
    set_start(l, e);
    return PLUMB_OK;
}

void plumb_ledger_start_as_reference(plumb_ledger *l, plumb_examples *e)
{
    for (size_t i = 0; i < e->count; i++)
        for (int s = 0; s < 2; s++) l->logps[i][s] = e->list[i].ref_head[s] + e->list[i].ref_tail[s];
    set_start(l, e);
}

/* ---- tokens that gained and lost ---- */

static plumb_status append_changes(const plumb_ledger *l, const char *key, const plumb_token_change *list, int count,
                                   plumb_text *rows)
{
    PLUMB_TRY(plumb_text_printf(rows, ",\"%s\":[", key));
    for (int i = 0; i < count; i++) {
        PLUMB_TRY(plumb_text_printf(rows, "%s{\"token\":%d", i ? "," : "", list[i].token));
        if (l->options.tokenizer) {
            plumb_text text = {0};
            plumb_status s = plumb_tokenizer_decode(l->options.tokenizer, &list[i].token, 1, false, &text);
            if (!s) s = plumb_text_string(rows, ",\"text\":");
            if (!s) s = plumb_json_quote(rows, text.data ? text.data : "", text.size);
            plumb_text_free(&text);
            PLUMB_TRY(s);
        }
        PLUMB_TRY(plumb_text_string(rows, ",\"p_before\":"));
        PLUMB_TRY(plumb_json_real(rows, list[i].before, DIGITS));
        PLUMB_TRY(plumb_text_string(rows, ",\"p_after\":"));
        PLUMB_TRY(plumb_json_real(rows, list[i].after, DIGITS));
        PLUMB_TRY(plumb_text_string(rows, "}"));
    }
    return plumb_text_string(rows, "]");
}

/* The distributions of a block of examples, before and now. */
typedef struct block {
    size_t first;
    int rows;
    float *before, *after;       /* [BLOCK][vocab] */
    plumb_token_change *changes; /* [tokens] */
} block;

static plumb_status fill_probabilities(const plumb_model *m, const float *h, int rows, float *p)
{
    double lse[BLOCK];
    plumb_unembed u = {.w = &m->unembed, .scale = 1, .cap = (float)m->config.final_cap};
    PLUMB_TRY(plumb_unembed_logps(m->compute, &u, h, m->config.hidden_size, rows, NULL, NULL, lse));
    return plumb_token_probabilities(m, h, rows, lse, p);
}

static plumb_status fill_block(const plumb_ledger *l, const plumb_model *policy, size_t first, block *b)
{
    size_t left = l->count - first;
    b->first = first;
    b->rows = left < BLOCK ? (int)left : BLOCK;
    PLUMB_TRY(fill_probabilities(l->start, l->start_state + first * l->d, b->rows, b->before));
    return fill_probabilities(policy, l->state + first * l->d, b->rows, b->after);
}

static plumb_status append_tokens(const plumb_ledger *l, const plumb_example *x, size_t i, const block *b,
                                  plumb_text *rows)
{
    int vocab = l->start->config.vocab_size, k = l->options.tokens, common = x->shared - x->prompt;
    size_t at = (i - b->first) * (size_t)vocab;
    int last = (x->totals[0] < x->totals[1] ? x->totals[0] : x->totals[1]) - x->prompt - 1;
    PLUMB_TRY(plumb_text_printf(rows, ",\"position\":%d", common < 0 ? 0 : common < last ? common : last));
    int count = plumb_token_changes(b->before + at, b->after + at, vocab, 1, k, b->changes);
    PLUMB_TRY(append_changes(l, "gained", b->changes, count, rows));
    count = plumb_token_changes(b->before + at, b->after + at, vocab, -1, k, b->changes);
    return append_changes(l, "lost", b->changes, count, rows);
}

/* ---- rows ---- */

static plumb_status append_pair(plumb_text *rows, const char *name, double chosen, double rejected)
{
    PLUMB_TRY(plumb_text_printf(rows, ",\"%s/chosen\":", name));
    PLUMB_TRY(plumb_json_real(rows, chosen, LOGP_DIGITS));
    PLUMB_TRY(plumb_text_printf(rows, ",\"%s/rejected\":", name));
    return plumb_json_real(rows, rejected, LOGP_DIGITS);
}

static plumb_status append_row(const plumb_ledger *l, const plumb_example *x, size_t i, int64_t step,
                               const double *ln_ches, const block *b, plumb_text *rows)
{
    PLUMB_TRY(plumb_text_printf(rows, "{\"step\":%" PRId64 ",\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\"", step,
                                x->index, x->row));
    PLUMB_TRY(append_pair(rows, "logps", l->logps[i][0], l->logps[i][1]));
    if (l->options.reference == PLUMB_LEDGER_REFERENCE)
        PLUMB_TRY(append_pair(rows, "ref_logps", x->ref_head[0] + x->ref_tail[0], x->ref_head[1] + x->ref_tail[1]));
    if (l->options.reference == PLUMB_LEDGER_START) PLUMB_TRY(append_pair(rows, "ref_logps", x->start[0], x->start[1]));
    if (b) PLUMB_TRY(append_tokens(l, x, i, b, rows));
    if (l->options.gate) {
        if (ln_ches) {
            PLUMB_TRY(plumb_text_string(rows, ",\"ln_ches\":"));
            PLUMB_TRY(plumb_json_real(rows, ln_ches[i], DIGITS));
        }
        PLUMB_TRY(plumb_text_string(rows, ",\"weight\":"));
        PLUMB_TRY(plumb_json_real(rows, x->weight, DIGITS));
    }
    return plumb_text_string(rows, "}\n");
}

static plumb_status append_rows(const plumb_ledger *l, const plumb_model *policy, const plumb_examples *e, int64_t step,
                                const double *ln_ches, plumb_text *rows)
{
    block b = {.first = 0};
    plumb_status s = PLUMB_OK;
    size_t vocab = (size_t)l->start->config.vocab_size;
    bool tokens = l->options.tokens > 0;
    if (tokens) s = plumb_new(&b.before, BLOCK * vocab, sizeof(float));
    if (!s && tokens) s = plumb_new(&b.after, BLOCK * vocab, sizeof(float));
    if (!s && tokens) s = plumb_new(&b.changes, (size_t)l->options.tokens, sizeof *b.changes);
    for (size_t i = 0; i < e->count && !s; i++) {
        if (tokens && i % BLOCK == 0) s = fill_block(l, policy, i, &b);
        if (!s) s = append_row(l, &e->list[i], i, step, ln_ches, tokens ? &b : NULL, rows);
    }
    free(b.before);
    free(b.after);
    free(b.changes);
    return s;
}

static double fall(const plumb_ledger *l, const plumb_examples *e, size_t i)
{
    return e->list[i].start[0] - l->logps[i][0];
}

static void summarise(const plumb_ledger *l, const plumb_examples *e, plumb_ledger_summary *out)
{
    *out = (plumb_ledger_summary){.worsts = 0};
    for (size_t i = 0; i < e->count; i++) {
        for (int s = 0; s < 2; s++) {
            out->mean[s] += l->logps[i][s] / (double)e->count;
            out->start_mean[s] += e->list[i].start[s] / (double)e->count;
        }
        if (!(fall(l, e, i) > 0)) continue;
        out->displaced++;
        int at = out->worsts < WORSTS ? out->worsts++ : WORSTS;
        while (at > 0 && fall(l, e, i) > fall(l, e, out->worst[at - 1])) {
            if (at < WORSTS) out->worst[at] = out->worst[at - 1];
            at--;
        }
        if (at < WORSTS) out->worst[at] = i;
    }
}

plumb_status plumb_ledger_evaluate(plumb_ledger *l, const plumb_model *policy, const plumb_examples *e, int64_t step,
                                   const double *ln_ches, const plumb_sink *sink, plumb_text *rows,
                                   plumb_ledger_summary *summary)
{
    if (!l->fresh || step > 0)
        PLUMB_TRY(pass(l, policy, e, l->state, NULL, sink));
    else if (l->state)
        memcpy(l->state, l->start_state, l->count * l->d * sizeof *l->state);
    l->fresh = false;
    summarise(l, e, summary);
    if (!isfinite(summary->mean[0]) || !isfinite(summary->mean[1])) /* they come from weights that are none */
        return plumb_fail(PLUMB_E_DIVERGED, "after step %" PRId64 ": a log-prob is not finite", step);
    return append_rows(l, policy, e, step, ln_ches, rows);
}

void plumb_ledger_warn(const plumb_ledger_summary *l, const plumb_examples *e, int64_t step, const char *advice,
                       const plumb_sink *sink)
{
    if (!(l->mean[0] < l->start_mean[0])) return;
    plumb_text worst = {0};
    plumb_status s = PLUMB_OK;
    for (int k = 0; k < l->worsts && !s; k++)
        s = plumb_text_printf(&worst, "%s%" PRId64, k ? ", " : "", e->list[l->worst[k]].index);
    if (!s)
        plumb_note(sink,
                   "step %" PRId64
                   ": likelihood displacement: the mean chosen log-prob fell from %.6g to %.6g, in %zu of %zu pairs, "
                   "most in rows %s; %s",
                   step, l->start_mean[0], l->mean[0], l->displaced, e->count, worst.data ? worst.data : "", advice);
    plumb_status_free(s);
    plumb_text_free(&worst);
}

int64_t plumb_ledger_bytes(int tokens, size_t examples, const plumb_config *config)
{
    return tokens ? 2 * (int64_t)sizeof(float) * (int64_t)examples * config->hidden_size : 0;
}
