/* Gradients of all tensors against a DPO gradient of torch in fp64 (training.py), for each architecture and back end;
 * the same bits with and without recomputation and for every number of threads. */
#include "support.h"

#include <math.h>

#include "align/targets.h"
#include "compute/gradient.h"
#include "model/backward.h"
#include "train/masters.h"

static const char *const models[] = {
    "olmo",        "olmo-clip-bf16",      "olmo2",   "gemma-bf16", "gemma-chat", "gemma2", "gemma3",   "llama2",
    "llama3-bf16", "llama3-chat-sharded", "mistral", "qwen2-bf16", "qwen3",      "phi3",   "gpt-neox", "aidreams260k"};

/* The pairs of the reference, packed. */
typedef struct packed {
    plumb_batch batch;
    plumb_targets targets;
    plumb_pair_states at[3];
} packed;

static void read_ids(const json_t *row, const char *key, plumb_ids *out)
{
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(row, key), i, id) check_ok(plumb_ids_push(out, (int32_t)json_integer_value(id)));
}

static void add_pair(packed *p, int k, const json_t *row)
{
    plumb_ids side[2] = {{0}, {0}};
    int prompt = 0;
    for (int s = 0; s < 2; s++) {
        read_ids(row, "prompt_ids", &side[s]);
        prompt = (int)side[s].count;
        read_ids(row, s ? "rejected_ids" : "chosen_ids", &side[s]);
    }
    int totals[2] = {(int)side[0].count, (int)side[1].count}, shared = 0;
    while (shared < totals[0] && shared < totals[1] && side[0].data[shared] == side[1].data[shared]) shared++;
    const int32_t *ids[2] = {side[0].data, side[1].data};
    check_ok(plumb_batch_add_pair(&p->batch, ids, totals, 2, prompt, shared, false, &p->at[k]));
    check_ok(plumb_targets_add(&p->targets, ids, 2, prompt, &p->at[k]));
    plumb_ids_free(&side[0]);
    plumb_ids_free(&side[1]);
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* d loss / d log-prob of each target: the mean over the pairs of -ln sigmoid(beta D). */
static double weigh(const packed *p, const json_t *want, const double *logps, double *g)
{
    double beta = json_number_value(json_object_get(want, "beta")), loss = 0;
    for (int k = 0; k < 3; k++) {
        const json_t *ref = json_array_get(json_object_get(want, "reference_logps"), (size_t)k);
        double sum[2] = {0, 0};
        size_t at = (size_t)p->at[k].first_target;
        for (int s = 0; s < 2; s++)
            for (int i = 0; i < p->at[k].targets[s]; i++) sum[s] += logps[at++];
        double delta = beta * ((sum[0] - json_number_value(json_array_get(ref, 0))) -
                               (sum[1] - json_number_value(json_array_get(ref, 1))));
        loss += log1p(exp(-delta)) / 3;
        at = (size_t)p->at[k].first_target;
        for (int s = 0; s < 2; s++)
            for (int i = 0; i < p->at[k].targets[s]; i++) g[at++] = (s ? 1 : -1) * beta * sigmoid(-delta) / 3;
    }
    return loss;
}

static void run_backward(plumb_masters *w, const packed *p, const json_t *want, bool keep)
{
    plumb_compute *c = w->values->compute;
    plumb_training *t;
    plumb_arena arena = {0};
    plumb_pulls pulls;
    const float *hidden;
    size_t n = p->targets.tokens.count, d = (size_t)w->values->config.hidden_size, rows = p->batch.ids.count;
    float *gathered = calloc(n * d, sizeof *gathered), *dgathered = calloc(n * d, sizeof *dgathered);
    float *dhidden = calloc(p->batch.wanted.count * d, sizeof *dhidden), *dembed = calloc(rows * d, sizeof *dembed);
    double *logps = calloc(n, sizeof *logps), *lse = calloc(n, sizeof *lse), *g = calloc(n, sizeof *g);
    plumb_unembed u = {&w->values->unembed, 1, (float)w->values->config.final_cap};
    check_ok(plumb_training_new(w->values, w->gradients, keep, &t));
    check_ok(plumb_training_forward(t, &p->batch, &hidden));
    plumb_gather_rows(c, hidden, (int)d, p->targets.states.data, (int)n, (int)d, gathered, (int)d);
    check_ok(plumb_unembed_logps(c, &u, gathered, (int)d, (int)n, p->targets.tokens.data, logps, lse));
    double loss = weigh(p, want, logps, g), expected = json_number_value(json_object_get(want, "loss"));
    if (!(fabs(loss - expected) < 1e-4)) fail_msg("loss %.9g, expected %.9g", loss, expected);
    plumb_masters_zero_gradients(w);
    check_ok(plumb_targets_pulls(&p->targets, p->batch.wanted.count, g, lse, &arena, &pulls));
    int states = (int)pulls.count;
    plumb_gather_rows(c, hidden, (int)d, pulls.states, states, (int)d, gathered, (int)d);
    check_ok(plumb_unembed_gradient(c, &u, gathered, (int)d, states, pulls.pulls, pulls.lse, dgathered, (int)d,
                                    (float *)(void *)w->gradients->unembed.weight));
    plumb_scatter_rows(c, dgathered, (int)d, pulls.states, states, (int)d, dhidden, (int)d);
    plumb_arena_free(&arena);
    check_ok(plumb_training_backward(t, &p->batch, dhidden, dembed));
    plumb_embed_gradient(c, p->batch.ids.data, (int)rows, (int)d, (float)w->values->config.embed_scale, dembed, (int)d,
                         (float *)(void *)w->gradients->embed.weight);
    plumb_training_free(t);
    free(gathered), free(dgathered), free(dhidden), free(dembed), free(logps), free(lse), free(g);
}

static void check_tensor(const char *model, const char *isa, const plumb_master *t, const json_t *want)
{
    if (!want) fail_msg("%s: the reference has no %s", model, t->name);
    double norm = 0, expected = json_number_value(json_object_get(want, "norm")), allowed = 1e-3 * expected;
    for (size_t i = 0; i < t->count; i++) norm += (double)t->gradient[i] * t->gradient[i];
    norm = sqrt(norm);
    if (!(fabs(norm - expected) <= allowed))
        fail_msg("%s (%s): %s has gradient norm %.9g, expected %.9g", model, isa, t->name, norm, expected);
    const json_t *at = json_object_get(want, "at"), *values = json_object_get(want, "values");
    for (size_t k = 0; k < json_array_size(at); k++) {
        size_t i = (size_t)json_integer_value(json_array_get(at, k));
        double value = json_number_value(json_array_get(values, k));
        if (!(fabs(t->gradient[i] - value) <= allowed))
            fail_msg("%s (%s): %s[%zu] has gradient %.9g, expected %.9g (norm %.3g)", model, isa, t->name, i,
                     (double)t->gradient[i], value, expected);
    }
}

/* transformers 5 names GPT-NeoX's unembedding lm_head in memory and embed_out in files. */
static const json_t *expected_gradient(const json_t *want, const char *name)
{
    const json_t *all = json_object_get(want, "grad"), *one = json_object_get(all, name);
    return one || strcmp(name, "embed_out.weight") != 0 ? one : json_object_get(all, "lm_head.weight");
}

static uint64_t gradient_bits(const plumb_masters *w)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < w->count; i++)
        for (size_t k = 0; k < w->list[i].count; k++) {
            uint32_t bits;
            memcpy(&bits, &w->list[i].gradient[k], sizeof bits);
            hash = (hash ^ bits) * 1099511628211u;
        }
    return hash;
}

static void check_model(const char *name, const char *isa)
{
    const char *folder = oracle_path("models", name), *expected = oracle_path("expected", name);
    if (!folder || !expected) {
        print_message("left out: %s (the shared reference files are not here)\n", name);
        return;
    }
    char path[600];
    snprintf(path, sizeof path, "%s/dpo_grad.json", expected);
    json_t *want = json_load_file(path, 0, NULL), *rows = load_jsonl(expected, "scores.jsonl");
    assert_non_null(want);
    packed p = {0};
    for (int k = 0; k < 3; k++)
        add_pair(&p, k,
                 json_array_get(rows,
                                (size_t)json_integer_value(json_array_get(json_object_get(want, "pairs"), (size_t)k))));
    uint64_t bits = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
        plumb_compute *c = open_isa(isa, threads);
        if (!c) break;
        plumb_model *m;
        plumb_masters *w;
        check_ok(plumb_model_open(folder, c, &m));
        check_ok(plumb_masters_new(m, &w));
        run_backward(w, &p, want, threads == 1);
        for (size_t i = 0; i < w->count; i++)
            check_tensor(name, isa, &w->list[i], expected_gradient(want, w->list[i].name));
        if (threads > 1 && gradient_bits(w) != bits)
            fail_msg("%s (%s): other bits with 3 threads and recomputation", name, isa);
        bits = gradient_bits(w);
        plumb_masters_free(w);
        plumb_model_close(m);
        plumb_compute_close(c);
    }
    plumb_batch_free(&p.batch);
    plumb_targets_free(&p.targets);
    json_decref(want);
    json_decref(rows);
}

static void gradients_match_torch(void **state)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) check_model(models[i], *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"gradients ref", gradients_match_torch, NULL, NULL, (void *)"ref"},
        {"gradients avx2", gradients_match_torch, NULL, NULL, (void *)"avx2"},
        {"gradients avx512", gradients_match_torch, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
