/* Hidden states of every layer, logits and log-probabilities against transformers, for each architecture and back end.
 */
#include "parity/reference_pairs.h"

#include "io/safetensors.h"
#include "model/forward.h"

enum { TOLERANCE_DIVISOR = 5000 }; /* 2e-4 of the largest magnitude in the tensor */

static void check_close(const char *what, const float *got, const float *want, size_t count)
{
    double largest = 0, worst = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(want[i]));
        worst = fmax(worst, fabs((double)got[i] - want[i]));
        if (!isfinite(got[i])) fail_msg("%s: element %zu is not finite", what, i);
    }
    if (worst > largest / TOLERANCE_DIVISOR) fail_msg("%s: off by %g of %g", what, worst, largest);
}

struct expectation {
    const float *hidden;
    const char *model;
    int seen;
};

static void compare_layer(void *user, int layer, const float *x, int rows, int d)
{
    struct expectation *e = user;
    char what[128];
    snprintf(what, sizeof what, "%s layer %d", e->model, layer);
    check_close(what, x, e->hidden + (size_t)layer * (size_t)rows * (size_t)d, (size_t)rows * (size_t)d);
    e->seen++;
}

static void check_logits(plumb_compute *c, const plumb_model *m, const float *h, int rows, const float *logits,
                         const double *logps, const int32_t *ids)
{
    int vocab = m->config.vocab_size, d = m->config.hidden_size;
    plumb_unembed u = {&m->unembed, 1.0f, (float)m->config.final_cap};
    float *z = malloc((size_t)rows * (size_t)vocab * sizeof *z);
    check_ok(plumb_unembed_tile(c, &u, h, d, rows, 0, vocab, z, vocab));
    if (m->config.final_cap > 0)
        for (size_t i = 0; i < (size_t)rows * (size_t)vocab; i++)
            z[i] = (float)(m->config.final_cap * tanh(z[i] / m->config.final_cap));
    check_close("logits", z, logits, (size_t)rows * (size_t)vocab);
    free(z);
    double got[512], lse[512];
    check_ok(plumb_unembed_logps(c, &u, h, d, rows - 1, ids + 1, got, lse));
    for (int i = 0; i < rows - 1; i++)
        if (!(fabs(got[i] - logps[i]) < 1e-4)) fail_msg("log-prob %d: %.9g, expected %.9g", i, got[i], logps[i]);
}

static void check_model(const char *name, const char *isa)
{
    const char *folder = oracle_path("models", name), *expected = oracle_path("expected", name);
    if (!folder || !expected) {
        print_message("left out: %s (the shared reference files are not here)\n", name);
        return;
    }
    plumb_compute *c = open_isa(isa, 2);
    if (!c) return;
    char path[600];
    snprintf(path, sizeof path, "%s/forward.safetensors", expected);
    plumb_tensors *want;
    plumb_model *m;
    plumb_forward *f;
    check_ok(plumb_tensors_open_file(path, &want));
    check_ok(plumb_model_open(folder, c, &m));
    check_ok(plumb_forward_new(m, &f));
    const plumb_tensor *ids = plumb_tensors_find(want, "ids"), *hidden = plumb_tensors_find(want, "hidden");
    int rows = (int)ids->count, d = m->config.hidden_size;
    int32_t tokens[512];
    for (int i = 0; i < rows; i++) tokens[i] = (int32_t)((const int64_t *)ids->data)[i];
    plumb_batch b = {0};
    plumb_group_place place;
    check_ok(plumb_batch_add(&b, (const int32_t *[]){tokens}, &rows, 1, rows, 0, &place));
    struct expectation e = {hidden->data, name, 0};
    plumb_forward_observe(f, compare_layer, &e);
    const float *h;
    check_ok(plumb_forward_run(f, &b, &h));
    assert_int_equal(e.seen, m->config.layers);
    char what[128];
    snprintf(what, sizeof what, "%s final states (%s)", name, isa);
    check_close(what, h, e.hidden + (size_t)m->config.layers * (size_t)rows * (size_t)d, (size_t)rows * (size_t)d);
    check_logits(c, m, h, rows, plumb_tensors_find(want, "logits")->data, plumb_tensors_find(want, "logps")->data,
                 tokens);
    plumb_batch_free(&b);
    plumb_forward_free(f);
    plumb_model_close(m);
    plumb_tensors_close(want);
    plumb_compute_close(c);
}

static void forward_matches_transformers(void **state)
{
    for (size_t i = 0; i < REFERENCE_MODELS; i++) check_model(reference_models[i], *state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"forward ref", forward_matches_transformers, NULL, NULL, (void *)"ref"},
        {"forward avx2", forward_matches_transformers, NULL, NULL, (void *)"avx2"},
        {"forward avx512", forward_matches_transformers, NULL, NULL, (void *)"avx512"},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
