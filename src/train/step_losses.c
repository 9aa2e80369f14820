#include "train/step_losses.h"

#include <math.h>

#include "align/reward.h"

/* ---- reward models ---- */

static plumb_status reward_run(void *user, plumb_step_batch *b)
{
    const plumb_micro_batch *m = b->m;
    double(*r)[2], (*g)[2], *margin;
    plumb_reward_metrics is;
    PLUMB_TRY(plumb_arena_new(b->scratch, &r, m->count, sizeof *r));
    PLUMB_TRY(plumb_arena_new(b->scratch, &g, m->count, sizeof *g));
    PLUMB_TRY(plumb_arena_new(b->scratch, &margin, m->count, sizeof *margin));
    for (size_t i = 0; i < m->count; i++) {
        margin[i] = m->examples[i]->margin;
        for (int s = 0; s < 2; s++) r[i][s] = m->logps[m->at[i].first_target + s];
    }
    plumb_reward_loss((const double(*)[2])r, margin, m->count, *(const double *)user, g, &is);
    b->loss = is.loss / (double)b->batches;
    for (size_t i = 0; i < m->count; i++)
        for (int s = 0; s < 2; s++) b->g[m->at[i].first_target + s] = g[i][s] / (double)b->batches;
    b->columns[0] = is.min;
    b->columns[1] = is.mean;
    b->columns[2] = is.max;
    b->columns[3] = is.accuracy;
    b->columns[4] = is.margin;
    return PLUMB_OK;
}

plumb_step_loss plumb_reward_step_loss(const double *center)
{
    static const char *const columns[] = {"min_reward", "mean_reward", "max_reward", "accuracy", "margin", NULL};
    return (plumb_step_loss){.run = reward_run, .user = (void *)center, .columns = columns};
}

/* ---- KTO ---- */

enum { KL, ENTROPY, LOGITS, REWARDS = LOGITS + 2, LOGPS = REWARDS + 2, MARGINS = LOGPS + 2 };

plumb_kto_row plumb_kto_row_of(const plumb_micro_batch *m, size_t i)
{
    const plumb_example *e = m->examples[i];
    const double *logps = m->logps + m->at[i].first_target;
    double head[2], tail[2];
    for (int s = 0; s < 2; s++)
        plumb_split_logps(logps + (s ? m->at[i].targets[0] : 0), &m->at[i], s, &head[s], &tail[s]);
    return (plumb_kto_row){.desirable = e->desirable,
                           .logps = head[0] + tail[0],
                           .ref_logps = e->ref_head[0] + e->ref_tail[0],
                           .kl = (head[1] + tail[1]) - (e->ref_head[1] + e->ref_tail[1])};
}

/* Entropy and mean logit over the tokens of the completions. */
static void note_tokens(plumb_step_batch *b)
{
    const plumb_micro_batch *m = b->m;
    double entropy = 0, logits[2] = {0}, tokens[2] = {0};
    for (size_t i = 0; i < m->count; i++) {
        const plumb_token_statistics *s = m->statistics + m->at[i].first_target;
        int kind = !m->examples[i]->desirable;
        for (int k = 0; k < m->at[i].targets[0]; k++) {
            entropy += s[k].entropy;
            logits[kind] += s[k].mean_logit;
        }
        tokens[kind] += m->at[i].targets[0];
    }
    b->columns[ENTROPY] = entropy / (tokens[0] + tokens[1]);
    for (int kind = 0; kind < 2; kind++)
        if (tokens[kind] > 0) b->columns[LOGITS + kind] = logits[kind] / tokens[kind];
}

static plumb_status kto_run(void *user, plumb_step_batch *b)
{
    const plumb_micro_batch *m = b->m;
    plumb_kto_row *rows;
    plumb_kto_metrics is;
    double *g;
    PLUMB_TRY(plumb_arena_new(b->scratch, &rows, m->count, sizeof *rows));
    PLUMB_TRY(plumb_arena_new(b->scratch, &g, m->count, sizeof *g));
    for (size_t i = 0; i < m->count; i++) rows[i] = plumb_kto_row_of(m, i);
    plumb_kto_loss(user, rows, m->count, g, &is);
    b->loss = is.loss / (double)b->batches;
    for (size_t i = 0; i < m->count; i++)
        for (int k = 0; k < m->at[i].targets[0]; k++) b->g[m->at[i].first_target + k] = g[i] / (double)b->batches;
    note_tokens(b);
    b->columns[KL] = is.kl;
    for (int kind = 0; kind < 2; kind++) {
        b->columns[REWARDS + kind] = is.rewards[kind];
        b->columns[LOGPS + kind] = is.logps[kind];
    }
    b->columns[MARGINS] = is.rewards[0] - is.rewards[1];
    return PLUMB_OK;
}

plumb_step_loss plumb_kto_step_loss(const plumb_kto_options *o)
{
    static const char *const columns[] = {"kl",
                                          "entropy",
                                          "logits/chosen",
                                          "logits/rejected",
                                          "rewards/chosen",
                                          "rewards/rejected",
                                          "logps/chosen",
                                          "logps/rejected",
                                          "rewards/margins",
                                          NULL};
    return (plumb_step_loss){.run = kto_run, .user = (void *)o, .columns = columns};
}
