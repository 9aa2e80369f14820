#include "model/generation.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/batch.h"
#include "model/cache.h"
#include "model/forward.h"

enum {
    MOST_SLOTS = 32,      /* by default */
    PROMPT_ROWS = 1024,   /* prompt tokens that are computed in one pass: longer prompts take several */
    WINDOW = 64,          /* completions per slot that may wait for an earlier one to be emitted */
    PARALLEL_FROM = 16384 /* logits to choose from */
};
#define CACHE_BYTES ((int64_t)2 << 30) /* by default */

typedef struct completion {
    plumb_ids ids;
    plumb_finish finish;
    double closest;
    int closest_at;
    bool done;
} completion;

/* A prompt and its completions. In order of arrival: first those whose samples have all started, then those that
 * wait. */
typedef struct job {
    struct job *next;
    int64_t key;
    int32_t *ids;
    int count, computed; /* tokens; of these so many are in the cache */
    int limit;           /* new tokens at the most */
    int row;             /* of the cache; valid while samples run */
    bool placed;
    int samples, started, finished, emitted;
    completion *completions; /* [samples] */
    float *hidden;           /* [d] the final state of the last token, when all are computed */
    int logits_row;          /* of this pass; -1: none yet */
} job;

/* A completion that runs. */
typedef struct slot {
    job *job; /* NULL: free */
    completion *out;
    int sample, row; /* its own tokens' rows of the cache */
    int logits_row;  /* of this pass; -1: the prompt is not computed yet */
    int32_t chosen;
    double gap;
} slot;

struct plumb_generator {
    const plumb_model *model;
    plumb_generator_options options;
    int32_t *eos;
    int slot_count, running;
    int64_t cache_rows; /* that the cache may grow to while something runs */
    slot *slots;
    job *first, **end;      /* all jobs that are not emitted whole */
    job *next_to_start;     /* the first that has samples to start; NULL: none */
    int64_t waiting, ahead; /* samples to start; started and not emitted */
    plumb_cache cache;
    plumb_forward *forward;
    plumb_batch batch;
    float *states;           /* [slots][d] */
    float *logits;           /* [slots][vocabulary] */
    plumb_chooser *choosers; /* [threads] */
    int chooser_count;
    int64_t prompt_tokens, new_tokens;
};

const char *plumb_finish_name(plumb_finish finish)
{
    static const char *const names[] = {"eos", "length", "stop"};
    return names[finish];
}

/* ---- making and freeing ---- */

static int own_rows(int limit)
{
    return limit > 1 ? limit - 1 : 0; /* the last token is never read */
}

static int most_new_tokens(const plumb_config *c, const plumb_sampling *s, int prompt)
{
    int room = c->max_positions - prompt;
    if (room < 0) room = 0;
    return s->max_new_tokens < room ? s->max_new_tokens : room;
}

static int default_slots(const plumb_config *c, const plumb_sampling *s)
{
    int64_t each = (own_rows(most_new_tokens(c, s, 1)) + 1) * plumb_cache_row_bytes(c), slots = CACHE_BYTES / each;
    return slots < 1 ? 1 : slots > MOST_SLOTS ? MOST_SLOTS : (int)slots;
}

static plumb_status reserve(plumb_generator *g)
{
    const plumb_config *c = &g->model->config;
    size_t slots = (size_t)g->slot_count;
    const plumb_sampling *s = &g->options.sampling;
    PLUMB_TRY(plumb_new(&g->slots, slots, sizeof *g->slots));
    PLUMB_TRY(plumb_new(&g->eos, (size_t)s->eos_count, sizeof *g->eos));
    if (s->eos_count) memcpy(g->eos, s->eos, (size_t)s->eos_count * sizeof *g->eos);
    PLUMB_TRY(plumb_cache_new(g->model, &g->cache));
    PLUMB_TRY(plumb_forward_new(g->model, &g->forward));
    plumb_forward_watch(g->forward, g->options.sink);
    PLUMB_TRY(plumb_compute_alloc(g->model->compute, &g->states, slots * (size_t)c->hidden_size, sizeof(float)));
    PLUMB_TRY(plumb_compute_alloc(g->model->compute, &g->logits, slots * (size_t)c->vocab_size, sizeof(float)));
    int threads = plumb_compute_threads(g->model->compute);
    g->chooser_count = threads < g->slot_count ? threads : g->slot_count;
    PLUMB_TRY(plumb_new(&g->choosers, (size_t)g->chooser_count, sizeof *g->choosers));
    for (int i = 0; i < g->chooser_count && s->temperature > 0; i++)
        PLUMB_TRY(plumb_chooser_reserve(&g->choosers[i], c->vocab_size));
    return PLUMB_OK;
}

plumb_status plumb_generator_new(const plumb_model *model, const plumb_generator_options *options,
                                 plumb_generator **out)
{
    plumb_generator *g;
    *out = NULL;
    PLUMB_TRY(plumb_sampling_check(&options->sampling));
    if (options->slots < 0)
        return plumb_fail(PLUMB_E_INPUT, "slots is %d; expected 1 or more, or 0 for a default", options->slots);
    PLUMB_TRY(plumb_new(&g, 1, sizeof *g));
    g->model = model;
    g->options = *options;
    g->end = &g->first;
    g->slot_count = options->slots ? options->slots : default_slots(&model->config, &options->sampling);
    g->cache_rows = options->slots ? INT64_MAX : CACHE_BYTES / plumb_cache_row_bytes(&model->config);
    plumb_status s = reserve(g);
    if (s) {
        plumb_generator_free(g);
        return s;
    }
    *out = g;
    return PLUMB_OK;
}

static void free_job(plumb_generator *g, job *j)
{
    for (int i = 0; j->completions && i < j->samples; i++) plumb_ids_free(&j->completions[i].ids);
    free(j->completions);
    free(j->ids);
    plumb_compute_release(g->model->compute, j->hidden);
    free(j);
}

void plumb_generator_free(plumb_generator *g)
{
    if (!g) return;
    while (g->first) {
        job *j = g->first;
        g->first = j->next;
        free_job(g, j);
    }
    for (int i = 0; g->choosers && i < g->chooser_count; i++) plumb_chooser_free(&g->choosers[i]);
    free(g->choosers);
    free(g->slots);
    free(g->eos);
    plumb_compute_release(g->model->compute, g->states);
    plumb_compute_release(g->model->compute, g->logits);
    plumb_cache_free(&g->cache);
    plumb_forward_free(g->forward);
    plumb_batch_free(&g->batch);
    free(g);
}

int64_t plumb_generator_bytes(const plumb_config *c, const plumb_generator_options *options, int longest_prompt)
{
    const plumb_sampling *s = &options->sampling;
    int64_t slots = options->slots ? options->slots : default_slots(c, s);
    int64_t each = longest_prompt + own_rows(most_new_tokens(c, s, longest_prompt));
    int64_t rows = slots * each, most = CACHE_BYTES / plumb_cache_row_bytes(c);
    if (!options->slots && rows > most) rows = each > most ? each : most;
    int64_t prompts = slots * longest_prompt < PROMPT_ROWS ? slots * longest_prompt : PROMPT_ROWS;
    return rows * plumb_cache_row_bytes(c) + plumb_forward_bytes(c, (int)(prompts + slots), (int)slots) +
           slots * ((int64_t)c->hidden_size + c->vocab_size) * (int64_t)sizeof(float);
}

void plumb_generator_tokens(const plumb_generator *g, int64_t *prompt, int64_t *generated)
{
    *prompt = g->prompt_tokens;
    *generated = g->new_tokens;
}

/* ---- emission ---- */

static plumb_generated view(const job *j, int sample)
{
    const completion *done = &j->completions[sample];
    return (plumb_generated){j->key,       sample,        done->ids.data,  (int)done->ids.count,
                             done->finish, done->closest, done->closest_at};
}

/* What is complete, as far as all before it is. */
static plumb_status emit(plumb_generator *g)
{
    while (g->first) {
        job *j = g->first;
        for (; j->emitted < j->samples && j->completions[j->emitted].done; j->emitted++) {
            plumb_generated generated = view(j, j->emitted);
            g->ahead--;
            PLUMB_TRY(g->options.emit(g->options.user, &generated));
            plumb_ids_free(&j->completions[j->emitted].ids);
        }
        if (j->emitted < j->samples) break;
        g->first = j->next;
        if (!g->first) g->end = &g->first;
        free_job(g, j);
    }
    return PLUMB_OK;
}

static void finish(plumb_generator *g, job *j, completion *out, plumb_finish how)
{
    out->finish = how;
    out->done = true;
    j->finished++;
    if (j->placed && j->finished == j->samples) plumb_cache_give(&g->cache, j->row, j->count);
}

/* ---- starting ---- */

/* A run of the cache, which grows where there is none: while something runs only up to its bound. */
static plumb_status take_rows(plumb_generator *g, const job *j, int rows, int *row)
{
    plumb_cache *c = &g->cache;
    PLUMB_TRY(plumb_cache_take(c, rows, row));
    if (*row >= 0) return PLUMB_OK;
    int64_t least = (int64_t)c->rows + rows, wanted = c->rows + c->rows / 2;
    if (c->rows == 0) wanted = (int64_t)g->slot_count * (j->count + own_rows(j->limit));
    if (wanted > g->cache_rows) wanted = g->cache_rows;
    if (wanted < least) wanted = least;
    if (g->running && wanted > g->cache_rows) return PLUMB_OK;
    if (wanted > INT32_MAX) return plumb_fail(PLUMB_E_INPUT, "the prompts need a cache of more than 2^31 tokens");
    PLUMB_TRY(plumb_cache_reserve(c, (int)wanted));
    return plumb_cache_take(c, rows, row);
}

/* Rows for the next sample of a job, and for its prompt with the first; *found is false when there are none now. */
static plumb_status place(plumb_generator *g, job *j, int *row, bool *found)
{
    bool now = !j->placed;
    *found = false;
    if (now) {
        PLUMB_TRY(take_rows(g, j, j->count, &j->row));
        if (j->row < 0) return PLUMB_OK;
    }
    PLUMB_TRY(take_rows(g, j, own_rows(j->limit), row));
    if (*row < 0) {
        if (now) plumb_cache_give(&g->cache, j->row, j->count);
        return PLUMB_OK;
    }
    j->placed = *found = true;
    return PLUMB_OK;
}

static slot *free_slot(const plumb_generator *g)
{
    for (int i = 0; i < g->slot_count; i++)
        if (!g->slots[i].job) return &g->slots[i];
    return NULL;
}

static completion *start_sample(plumb_generator *g, job *j)
{
    completion *out = &j->completions[j->started++];
    out->closest = INFINITY;
    g->waiting--;
    g->ahead++;
    if (j->started == j->samples) g->next_to_start = j->next;
    return out;
}

/* Gives free slots to the samples that wait. */
static plumb_status start(plumb_generator *g)
{
    while (g->next_to_start && g->ahead < (int64_t)WINDOW * g->slot_count) {
        job *j = g->next_to_start;
        if (j->limit == 0) { /* the prompt fills the model's positions */
            finish(g, j, start_sample(g, j), PLUMB_FINISH_LENGTH);
            continue;
        }
        slot *s = free_slot(g);
        bool found;
        int row;
        if (!s) break;
        PLUMB_TRY(place(g, j, &row, &found));
        if (!found) break;
        *s = (slot){.job = j, .sample = j->started, .row = row};
        s->out = start_sample(g, j);
        g->running++;
    }
    return PLUMB_OK;
}

/* ---- one pass ---- */

static plumb_status add_prompt(plumb_generator *g, job *j, int count)
{
    plumb_span prefix = {j->row, j->computed + count, 0}, none = {0, 0, j->computed + count};
    bool last = j->computed + count == j->count;
    if (last) j->logits_row = (int)g->batch.wanted.count;
    PLUMB_TRY(plumb_batch_extend(&g->batch, j->ids + j->computed, count, j->computed, prefix, none, last));
    j->computed += count;
    g->prompt_tokens += count;
    return PLUMB_OK;
}

/* The newest token of each completion that runs, and tokens of prompts that are not computed yet. Where the final
 * states will be is noted in logits_row. */
static plumb_status fill_batch(plumb_generator *g)
{
    int room = PROMPT_ROWS;
    plumb_batch_clear(&g->batch);
    for (int i = 0; i < g->slot_count; i++) {
        slot *s = &g->slots[i];
        if (!s->job || s->out->ids.count == 0) continue;
        int count = (int)s->out->ids.count, prompt = s->job->count;
        plumb_span prefix = {s->job->row, prompt, 0}, own = {s->row, count, prompt};
        s->logits_row = (int)g->batch.wanted.count;
        PLUMB_TRY(
            plumb_batch_extend(&g->batch, &s->out->ids.data[count - 1], 1, prompt + count - 1, prefix, own, true));
    }
    for (int i = 0; i < g->slot_count; i++) {
        job *j = g->slots[i].job;
        if (!j || j->computed == j->count || room == 0) continue;
        int count = j->count - j->computed < room ? j->count - j->computed : room;
        room -= count;
        PLUMB_TRY(add_prompt(g, j, count));
    }
    return PLUMB_OK;
}

/* Final states of the batch's last rows go to `states`; those of prompts are kept for samples that start later. */
static plumb_status keep_states(plumb_generator *g, const float *hidden)
{
    int d = g->model->config.hidden_size;
    size_t bytes = (size_t)d * sizeof *hidden;
    if (g->batch.wanted.count) memcpy(g->states, hidden, g->batch.wanted.count * bytes);
    for (int i = 0; i < g->slot_count; i++) {
        job *j = g->slots[i].job;
        if (!j || j->hidden || j->computed < j->count) continue;
        PLUMB_TRY(plumb_compute_alloc(g->model->compute, &j->hidden, (size_t)d, sizeof *j->hidden));
        memcpy(j->hidden, hidden + (size_t)j->logits_row * (size_t)d, bytes);
    }
    return PLUMB_OK;
}

/* Rows of `states` for the samples that choose their first token: one row serves all samples of a prompt. Returns how
 * many rows there are. */
static int gather_states(plumb_generator *g)
{
    int rows = (int)g->batch.wanted.count, d = g->model->config.hidden_size;
    for (int i = 0; i < g->slot_count; i++) {
        slot *s = &g->slots[i];
        if (!s->job || s->out->ids.count) continue;
        job *j = s->job;
        if (j->hidden && j->logits_row < 0) {
            memcpy(g->states + (size_t)rows * (size_t)d, j->hidden, (size_t)d * sizeof *g->states);
            j->logits_row = rows++;
        }
        s->logits_row = j->hidden ? j->logits_row : -1;
    }
    return rows;
}

static void forget_rows(plumb_generator *g)
{
    for (int i = 0; i < g->slot_count; i++)
        if (g->slots[i].job) g->slots[i].job->logits_row = g->slots[i].logits_row = -1;
}

static bool all_finite(const float *z, int n)
{
    float sum = 0;
    for (int i = 0; i < n; i++) sum += z[i] - z[i]; /* 0, or NaN */
    return sum == 0;
}

/* Returns the slot whose logits are not finite, or NULL. */
static slot *choose(plumb_generator *g)
{
    const plumb_sampling *how = &g->options.sampling;
    int n = g->model->config.vocab_size, bad = -1;
#pragma omp parallel num_threads(g->chooser_count) if ((size_t)g->running * (size_t)n >= PARALLEL_FROM)
    {
        plumb_chooser *chooser = &g->choosers[omp_get_thread_num()];
#pragma omp for schedule(dynamic) reduction(max : bad)
        for (int i = 0; i < g->slot_count; i++) {
            slot *s = &g->slots[i];
            if (!s->job || s->logits_row < 0) continue;
            const float *z = g->logits + (size_t)s->logits_row * (size_t)n;
            uint64_t counter = (uint64_t)s->sample << 32 | (uint64_t)s->out->ids.count;
            double uniform = plumb_uniform(how->seed, (uint64_t)s->job->key, counter);
            if (all_finite(z, n))
                s->chosen = plumb_choose(how, z, n, uniform, chooser, &s->gap);
            else
                bad = i;
        }
    }
    return bad < 0 ? NULL : &g->slots[bad];
}

static bool is_eos(const plumb_generator *g, int32_t id)
{
    for (int i = 0; i < g->options.sampling.eos_count; i++)
        if (g->eos[i] == id) return true;
    return false;
}

/* Does the completion end with the token that was appended last? */
static plumb_status has_ended(plumb_generator *g, const slot *s, bool *ended, plumb_finish *how)
{
    *ended = true;
    *how = PLUMB_FINISH_EOS;
    if (is_eos(g, s->chosen)) return PLUMB_OK;
    bool stop = false;
    plumb_generated so_far = view(s->job, s->sample);
    if (g->options.stop) PLUMB_TRY(g->options.stop(g->options.user, &so_far, &stop));
    *how = stop ? PLUMB_FINISH_STOP : PLUMB_FINISH_LENGTH;
    *ended = stop || so_far.count == s->job->limit;
    return PLUMB_OK;
}

static plumb_status append(plumb_generator *g, slot *s)
{
    bool ended;
    plumb_finish how;
    if (s->gap < s->out->closest) {
        s->out->closest = s->gap;
        s->out->closest_at = (int)s->out->ids.count;
    }
    PLUMB_TRY(plumb_ids_push(&s->out->ids, s->chosen));
    g->new_tokens++;
    PLUMB_TRY(has_ended(g, s, &ended, &how));
    if (!ended) return PLUMB_OK;
    plumb_cache_give(&g->cache, s->row, own_rows(s->job->limit));
    finish(g, s->job, s->out, how);
    s->job = NULL;
    g->running--;
    return PLUMB_OK;
}

/* One new token for each completion that runs and whose prompt is computed. */
static plumb_status pass(plumb_generator *g)
{
    const plumb_config *c = &g->model->config;
    const float *hidden;
    plumb_unembed u = {&g->model->unembed, 1.0f, (float)c->final_cap};
    PLUMB_TRY(plumb_check_interrupt(g->options.sink));
    forget_rows(g);
    PLUMB_TRY(fill_batch(g));
    if (g->batch.ids.count) {
        PLUMB_TRY(plumb_forward_extend(g->forward, &g->batch, &g->cache, &hidden));
        PLUMB_TRY(keep_states(g, hidden));
    }
    int rows = gather_states(g);
    PLUMB_TRY(plumb_unembed_logits(g->model->compute, &u, g->states, c->hidden_size, rows, g->logits, c->vocab_size));
    PLUMB_TRY(plumb_model_check(g->model));
    const slot *bad = choose(g);
    if (bad)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "the model's logits for prompt %lld are not finite", (long long)bad->job->key),
            "the weights overflow: the checkpoint is damaged or diverged; use another one");
    for (int i = 0; i < g->slot_count; i++)
        if (g->slots[i].job && g->slots[i].logits_row >= 0) PLUMB_TRY(append(g, &g->slots[i]));
    return PLUMB_OK;
}

static plumb_status step(plumb_generator *g)
{
    PLUMB_TRY(start(g));
    if (g->running) PLUMB_TRY(pass(g));
    return emit(g);
}

/* ---- prompts in ---- */

static plumb_status new_job(int64_t key, const int32_t *ids, int count, int samples, int limit, job **out)
{
    job *j;
    PLUMB_TRY(plumb_new(&j, 1, sizeof *j));
    *out = j;
    j->key = key;
    j->count = count;
    j->samples = samples;
    j->limit = limit;
    PLUMB_TRY(plumb_new(&j->completions, (size_t)samples, sizeof *j->completions));
    PLUMB_TRY(plumb_new(&j->ids, (size_t)count, sizeof *j->ids));
    memcpy(j->ids, ids, (size_t)count * sizeof *ids);
    return PLUMB_OK;
}

static plumb_status check_prompt(const plumb_generator *g, const int32_t *ids, int count, int samples)
{
    if (samples < 1) return plumb_fail(PLUMB_E_INPUT, "%d samples of a prompt; expected 1 or more", samples);
    if (count < 1)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the prompt has no token"),
                          "the model needs one to go on from, such as its BOS token");
    for (int i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= g->model->config.vocab_size)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "token id %d is outside the model's %d embedding rows", ids[i],
                                         g->model->config.vocab_size),
                              "do tokenizer.json and the weights belong together?");
    return PLUMB_OK;
}

plumb_status plumb_generator_add(plumb_generator *g, int64_t key, const int32_t *ids, int count, int samples)
{
    job *j = NULL;
    PLUMB_TRY(check_prompt(g, ids, count, samples));
    int limit = most_new_tokens(&g->model->config, &g->options.sampling, count);
    plumb_status s = new_job(key, ids, count, samples, limit, &j);
    if (s) {
        if (j) free_job(g, j);
        return s;
    }
    *g->end = j;
    g->end = &j->next;
    if (!g->next_to_start) g->next_to_start = j;
    g->waiting += samples;
    while (g->waiting > g->slot_count) PLUMB_TRY(step(g));
    return PLUMB_OK;
}

plumb_status plumb_generator_flush(plumb_generator *g)
{
    while (g->first) PLUMB_TRY(step(g));
    return PLUMB_OK;
}
