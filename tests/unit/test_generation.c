/* The generator: what a completion may depend on, how it ends, in which order it comes; changed weights, adapters. */
#include "support.h"

#include <math.h>

#include "base/random.h"
#include "model/adapter.h"
#include "model/forward.h"
#include "model/generation.h"
#include "train/masters.h"

enum { PROMPTS = 9, MOST = 64, TOKENS = 20, EOS = 100 };

static plumb_model *open_model(const char *name, plumb_compute **c, int threads)
{
    plumb_model *m;
    check_ok(plumb_compute_open(NULL, threads, c));
    check_ok(plumb_model_open(oracle_path("models", name), *c, &m));
    return m;
}

/* What was emitted. */
typedef struct record {
    int count, most;
    struct {
        int64_t key;
        int sample, count;
        plumb_finish finish;
        int32_t ids[TOKENS];
    } list[MOST];
} record;

static plumb_status keep(void *user, const plumb_generated *g)
{
    record *r = user;
    assert_true(r->count < MOST && g->count <= TOKENS);
    r->list[r->count].key = g->key;
    r->list[r->count].sample = g->sample;
    r->list[r->count].count = g->count;
    r->list[r->count].finish = g->finish;
    if (g->count) memcpy(r->list[r->count].ids, g->ids, (size_t)g->count * sizeof *g->ids);
    r->count++;
    return PLUMB_OK;
}

/* Prompt i: together more than one pass computes, the longest beyond any window. */
static int make_prompt(const plumb_model *m, int i, int32_t *ids)
{
    int count = 1 + i * i * 5;
    if (count > m->config.max_positions - 7) count = m->config.max_positions - 7;
    for (int t = 0; t < count; t++) ids[t] = (int32_t)((i * 977 + t * 131 + 3) % m->config.vocab_size);
    return count;
}

static void run(const plumb_model *m, plumb_generator_options how, const int *order, int count, int samples, record *r)
{
    plumb_generator *g;
    int32_t ids[2048];
    *r = (record){0};
    how.emit = keep;
    how.user = r;
    check_ok(plumb_generator_new(m, &how, &g));
    for (int i = 0; i < count; i++) {
        int n = make_prompt(m, order[i], ids);
        check_ok(plumb_generator_add(g, order[i], ids, n, samples));
    }
    check_ok(plumb_generator_flush(g));
    plumb_generator_free(g);
    assert_int_equal(r->count, count * samples);
    for (int i = 0; i < r->count; i++) { /* in order */
        assert_int_equal(r->list[i].key, order[i / samples]);
        assert_int_equal(r->list[i].sample, i % samples);
    }
}

static void same_completion(const record *a, const record *b)
{
    for (int i = 0; i < b->count; i++) {
        int at = 0;
        while (at < a->count && (a->list[at].key != b->list[i].key || a->list[at].sample != b->list[i].sample)) at++;
        assert_true(at < a->count);
        assert_int_equal(a->list[at].finish, b->list[i].finish);
        assert_int_equal(a->list[at].count, b->list[i].count);
        assert_memory_equal(a->list[at].ids, b->list[i].ids, (size_t)b->list[i].count * sizeof(int32_t));
    }
}

static plumb_generator_options sampling_options(const plumb_model *m, const int32_t *eos)
{
    (void)m;
    return (plumb_generator_options){.sampling = {.temperature = 2,
                                                  .top_p = 0.95,
                                                  .top_k = 300,
                                                  .max_new_tokens = TOKENS,
                                                  .seed = 42,
                                                  .eos = eos,
                                                  .eos_count = EOS}};
}

static void completions_depend_on_nothing_else(void **state)
{
    (void)state;
    static const char *const models[] = {"gemma2", "mistral", "gpt-neox", "qwen2-bf16"};
    const int order[PROMPTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8}, back[PROMPTS] = {8, 7, 6, 5, 4, 3, 2, 1, 0};
    int32_t eos[EOS]; /* enough of them that some completions end early */
    for (int i = 0; i < EOS; i++) eos[i] = 10 * i + 7;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        plumb_compute *c;
        plumb_model *m = open_model(models[i], &c, 1);
        plumb_generator_options how = sampling_options(m, eos);
        record first, other;
        run(m, how, order, PROMPTS, 3, &first);
        for (int slots = 1; slots <= 40; slots = slots * 3 + 1) {
            how.slots = slots;
            run(m, how, order, PROMPTS, 3, &other);
            same_completion(&first, &other);
        }
        how.slots = 5;
        run(m, how, back, PROMPTS, 3, &other);
        same_completion(&first, &other);
        run(m, how, order + 4, 2, 2, &other); /* a shard, fewer samples */
        same_completion(&first, &other);
        how.sampling.seed = 43;
        run(m, how, order, PROMPTS, 3, &other);
        int differ = 0, ended = 0;
        for (int j = 0; j < first.count; j++) {
            differ += memcmp(first.list[j].ids, other.list[j].ids, sizeof first.list[j].ids) != 0;
            ended += first.list[j].finish == PLUMB_FINISH_EOS;
        }
        assert_true(differ > 0);
        assert_in_range(ended, 1, first.count - 1);
        plumb_model_close(m);
        plumb_compute_close(c);
        m = open_model(models[i], &c, 2);
        run(m, sampling_options(m, eos), order, PROMPTS, 3, &other);
        same_completion(&first, &other);
        plumb_model_close(m);
        plumb_compute_close(c);
    }
}

/* ---- frequencies through the whole path ---- */

enum { KEPT = 6 };

typedef struct tally {
    int seen[2048];
} tally;

static plumb_status count_first(void *user, const plumb_generated *g)
{
    tally *t = user;
    assert_int_equal(g->count, 1);
    assert_true(g->finish == PLUMB_FINISH_LENGTH);
    t->seen[g->ids[0]]++;
    return PLUMB_OK;
}

static void first_tokens_have_the_models_probabilities(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model("gemma2", &c, 1);
    int32_t ids[64];
    int n = make_prompt(m, 3, ids), vocab = m->config.vocab_size, draws = 10000;
    plumb_generator *g;
    tally t = {0};
    plumb_generator_options how = {
        .sampling = {.temperature = 2, .top_p = 1, .top_k = KEPT, .max_new_tokens = 1, .seed = 42},
        .emit = count_first,
        .user = &t};
    check_ok(plumb_generator_new(m, &how, &g));
    check_ok(plumb_generator_add(g, 11, ids, n, draws));
    check_ok(plumb_generator_flush(g));
    int64_t prompt, generated;
    plumb_generator_tokens(g, &prompt, &generated);
    assert_int_equal(prompt, n); /* computed once */
    assert_int_equal(generated, draws);
    plumb_generator_free(g);

    plumb_forward *f;
    plumb_batch b = {0};
    plumb_group_place place;
    const float *h;
    check_ok(plumb_forward_new(m, &f));
    check_ok(plumb_batch_add(&b, (const int32_t *[]){ids}, &n, 1, n, n - 1, &place));
    check_ok(plumb_forward_run(f, &b, &h));
    float *z = malloc((size_t)vocab * sizeof *z);
    plumb_unembed u = {&m->unembed, 1.0f, (float)m->config.final_cap};
    check_ok(plumb_unembed_logits(c, &u, h, m->config.hidden_size, 1, z, vocab));
    int best[KEPT];
    double p[KEPT], sum = 0, chi = 0;
    for (int k = 0; k < KEPT; k++) {
        best[k] = -1;
        for (int i = 0; i < vocab; i++) {
            bool taken = false;
            for (int j = 0; j < k; j++) taken |= best[j] == i;
            if (!taken && (best[k] < 0 || z[i] > z[best[k]])) best[k] = i;
        }
        sum += p[k] = exp(((double)z[best[k]] - z[best[0]]) / 2);
    }
    int all = 0;
    for (int k = 0; k < KEPT; k++) {
        double expected = draws * p[k] / sum;
        all += t.seen[best[k]];
        chi += (t.seen[best[k]] - expected) * (t.seen[best[k]] - expected) / expected;
    }
    assert_int_equal(all, draws);
    if (chi > 20.52) fail_msg("chi-square %g with 5 degrees of freedom", chi); /* the 99.9 % quantile */
    free(z);
    plumb_batch_free(&b);
    plumb_forward_free(f);
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* ---- how completions end ---- */

static plumb_status stop_at_three(void *user, const plumb_generated *so_far, bool *stop)
{
    (void)user;
    *stop = so_far->count == 3;
    return PLUMB_OK;
}

static void ends(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model("olmo", &c, 1);
    const int order[1] = {2};
    record r, whole;
    plumb_generator_options how = {.sampling = {.top_p = 1, .max_new_tokens = 6}};
    run(m, how, order, 1, 1, &whole);
    assert_int_equal(whole.list[0].count, 6);
    assert_true(whole.list[0].finish == PLUMB_FINISH_LENGTH);
    how.stop = stop_at_three;
    run(m, how, order, 1, 1, &r);
    assert_int_equal(r.list[0].count, 3);
    assert_true(r.list[0].finish == PLUMB_FINISH_STOP);
    how.sampling.eos = &whole.list[0].ids[2]; /* an EOS goes before a stop */
    how.sampling.eos_count = 1;
    run(m, how, order, 1, 1, &r);
    assert_true(r.list[0].finish == PLUMB_FINISH_EOS);
    assert_int_equal(r.list[0].ids[r.list[0].count - 1], whole.list[0].ids[2]);
    assert_string_equal(plumb_finish_name(PLUMB_FINISH_EOS), "eos");
    assert_string_equal(plumb_finish_name(PLUMB_FINISH_LENGTH), "length");
    assert_string_equal(plumb_finish_name(PLUMB_FINISH_STOP), "stop");
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void prompts_that_fill_the_positions(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model("llama2", &c, 1);
    int most = m->config.max_positions;
    int32_t ids[2048];
    record r = {0};
    plumb_generator *g;
    plumb_generator_options how = {
        .sampling = {.temperature = 1, .top_p = 1, .max_new_tokens = 5}, .slots = 2, .emit = keep, .user = &r};
    for (int i = 0; i < most + 9; i++) ids[i] = i % 50 + 3;
    check_ok(plumb_generator_new(m, &how, &g));
    const int lengths[] = {most - 2, most, most + 9, most - 1, 3, most};
    for (int i = 0; i < 6; i++) check_ok(plumb_generator_add(g, i, ids, lengths[i], 2));
    check_ok(plumb_generator_flush(g));
    const int counts[] = {2, 0, 0, 1, 5, 0};
    for (int i = 0; i < 12; i++) {
        assert_int_equal(r.list[i].key, i / 2);
        assert_int_equal(r.list[i].count, counts[i / 2]);
        assert_true(r.list[i].finish == PLUMB_FINISH_LENGTH);
    }
    plumb_generator_free(g);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static void bad_prompts_are_refused_and_the_rest_goes_on(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model("llama2", &c, 1);
    record r = {0};
    plumb_generator *g;
    plumb_generator_options how = {.sampling = {.top_p = 1, .max_new_tokens = 2}, .emit = keep, .user = &r};
    const int32_t ids[3] = {1, m->config.vocab_size, -1};
    check_ok(plumb_generator_new(m, &how, &g));
    check_error(plumb_generator_add(g, 0, ids, 0, 1), PLUMB_E_INPUT, "no token");
    check_error(plumb_generator_add(g, 0, ids, 2, 1), PLUMB_E_INPUT, "outside the model's");
    check_error(plumb_generator_add(g, 0, ids + 2, 1, 1), PLUMB_E_INPUT, "token id -1");
    check_error(plumb_generator_add(g, 0, ids, 1, 0), PLUMB_E_INPUT, "0 samples");
    check_ok(plumb_generator_add(g, 5, ids, 1, 1));
    check_ok(plumb_generator_flush(g));
    assert_int_equal(r.count, 1);
    check_ok(plumb_generator_flush(g)); /* nothing waits */
    plumb_generator_free(g);
    how.slots = -1;
    check_error(plumb_generator_new(m, &how, &g), PLUMB_E_INPUT, "slots is -1");
    how.slots = 2;
    assert_true(plumb_generator_bytes(&m->config, &how, 10) > 0);
    plumb_model_close(m);
    plumb_compute_close(c);
}

static bool always(void *user)
{
    (void)user;
    return true;
}

static void can_be_interrupted(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model("llama2", &c, 1);
    record r = {0};
    plumb_sink sink = {.interrupted = always};
    plumb_generator *g;
    plumb_generator_options how = {
        .sampling = {.top_p = 1, .max_new_tokens = 2}, .emit = keep, .user = &r, .sink = &sink};
    check_ok(plumb_generator_new(m, &how, &g));
    check_ok(plumb_generator_add(g, 0, (int32_t[]){1, 2}, 2, 1));
    plumb_status s = plumb_generator_flush(g);
    assert_true(plumb_status_code(s) == PLUMB_E_INTERRUPTED);
    plumb_status_free(s);
    assert_int_equal(r.count, 0);
    plumb_generator_free(g); /* with completions on the way */
    plumb_model_close(m);
    plumb_compute_close(c);
}

/* ---- models that change ---- */

static void masters_may_change_between_flushes(void **state)
{
    (void)state;
    static const char *const models[] = {"gemma2", "llama3-bf16", "gpt-neox"};
    const int order[3] = {1, 2, 3};
    for (int i = 0; i < 3; i++) {
        plumb_compute *c;
        plumb_model *m = open_model(models[i], &c, 1);
        plumb_masters *masters;
        record before, after, r = {0};
        int32_t ids[512];
        plumb_generator *g;
        plumb_generator_options how = {.sampling = {.temperature = 1, .top_p = 1, .max_new_tokens = 8, .seed = 3}};
        check_ok(plumb_masters_new(m, &masters));
        run(m, how, order, 3, 2, &before);
        how.emit = keep;
        how.user = &r;
        check_ok(plumb_generator_new(masters->values, &how, &g));
        for (int turn = 0; turn < 2; turn++) {
            r.count = 0;
            for (int p = 0; p < 3; p++) {
                int n = make_prompt(m, order[p], ids);
                check_ok(plumb_generator_add(g, order[p], ids, n, 2));
            }
            check_ok(plumb_generator_flush(g));
            if (turn == 0) {
                same_completion(&before, &r); /* widening changes no bit */
                for (size_t t = 0; t < masters->count; t++)
                    for (size_t e = 0; e < masters->list[t].count; e++)
                        masters->list[t].value[e] += 0.02f * (float)plumb_normal(5, t, e);
                check_ok(plumb_masters_changed(masters));
                run(masters->values, how, order, 3, 2, &after);
                continue;
            }
            same_completion(&after, &r);
            int differ = 0;
            for (int j = 0; j < r.count; j++)
                differ += memcmp(before.list[j].ids, r.list[j].ids, 8 * sizeof(int32_t)) != 0;
            assert_true(differ > 0);
        }
        plumb_generator_free(g);
        plumb_masters_free(masters);
        plumb_model_close(m);
        plumb_compute_close(c);
    }
}

/* Greedy steps with an adapter against the forward pass over the whole sequence. */
static void adapters_are_used(void **state)
{
    (void)state;
    plumb_compute *c;
    plumb_model *m = open_model("phi3", &c, 1);
    plumb_adapter *a;
    const char *targets[] = {"all-linear"};
    plumb_adapter_options lora = {.r = 4, .alpha = 16, .targets = targets, .target_count = 1, .seed = 9};
    const int order[1] = {4};
    record plain, r;
    plumb_generator_options how = {.sampling = {.top_p = 1, .max_new_tokens = 8}};
    run(m, how, order, 1, 1, &plain);
    check_ok(plumb_adapter_new(m, &lora, &a));
    for (size_t i = 0; i < a->count; i++)
        for (int e = 0; e < a->list[i].n * a->r; e++) a->list[i].b[e] = 0.1f * (float)plumb_normal(6, i, (uint64_t)e);
    check_ok(plumb_model_attach(m, a));
    run(m, how, order, 1, 1, &r);
    assert_memory_not_equal(plain.list[0].ids, r.list[0].ids, 8 * sizeof(int32_t));
    int32_t ids[512];
    int prompt = make_prompt(m, 4, ids), all = prompt + 8, vocab = m->config.vocab_size;
    memcpy(ids + prompt, r.list[0].ids, 8 * sizeof *ids);
    plumb_forward *f;
    plumb_batch b = {0};
    plumb_group_place place;
    const float *h;
    check_ok(plumb_forward_new(m, &f));
    check_ok(plumb_batch_add(&b, (const int32_t *[]){ids}, &all, 1, prompt, prompt - 1, &place));
    check_ok(plumb_forward_run(f, &b, &h));
    float *z = malloc((size_t)vocab * sizeof *z);
    plumb_unembed u = {&m->unembed, 1.0f, (float)m->config.final_cap};
    for (int t = 0; t < 8; t++) {
        check_ok(plumb_unembed_logits(c, &u, h + (size_t)t * (size_t)m->config.hidden_size, m->config.hidden_size, 1, z,
                                      vocab));
        assert_int_equal(plumb_choose(&how.sampling, z, vocab, 0, NULL, NULL), r.list[0].ids[t]);
    }
    free(z);
    plumb_batch_free(&b);
    plumb_forward_free(f);
    plumb_model_close(m);
    plumb_adapter_free(a);
    plumb_compute_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(completions_depend_on_nothing_else),
        cmocka_unit_test(first_tokens_have_the_models_probabilities),
        cmocka_unit_test(ends),
        cmocka_unit_test(prompts_that_fill_the_positions),
        cmocka_unit_test(bad_prompts_are_refused_and_the_rest_goes_on),
        cmocka_unit_test(can_be_interrupted),
        cmocka_unit_test(masters_may_change_between_flushes),
        cmocka_unit_test(adapters_are_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
