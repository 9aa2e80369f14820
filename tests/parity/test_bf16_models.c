/* Differences of partners in bf16 (layer.h) through the models of every architecture, with and without an adapter: near
 * to fp32, nearer than rows without partners where it matters, and with the same bits in any batch and any parts of the
 * MLP. */
#include "parity/reference_pairs.h"

#include "base/random.h"
#include "model/adapter.h"
#include "model/forward.h"
#include "model/layer.h"

enum { RANK = 3, PREFIX = 9, BEFORE = 2 }; /* tokens of the prefix; its states that are wanted */
enum { CHOSEN = 12, REJECTED = 9, SHORT = 3, PART = 7 };

/* Of group `number`: a prefix, and two branches that differ in their first token alone. Most rows are near to their
 * partners then, and go as differences. */
static void add_group(plumb_batch *b, const plumb_model *m, uint64_t number, int chosen, int rejected)
{
    int32_t ids[2][PREFIX + CHOSEN];
    plumb_group_place place;
    for (int i = 0; i < PREFIX + CHOSEN; i++)
        for (uint64_t s = 0; s < 2; s++)
            ids[s][i] =
                (int32_t)(plumb_uniform(21, 2 * number + (i == PREFIX ? s : 0), (uint64_t)i) * m->config.vocab_size);
    check_ok(plumb_batch_add(b, (const int32_t *[]){ids[0], ids[1]}, (int[]){PREFIX + chosen, PREFIX + rejected}, 2,
                             PREFIX, PREFIX - BEFORE, &place));
}

/* All linears, and B A about as large as W. */
static plumb_adapter *some_adapter(const plumb_model *m)
{
    static const char *const all[] = {"all-linear"};
    plumb_adapter *a;
    check_ok(plumb_adapter_new(
        m, &(plumb_adapter_options){.r = RANK, .alpha = 2 * RANK, .targets = all, .target_count = 1, .seed = 22}, &a));
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < RANK * (size_t)a->list[i].n; j++)
            a->list[i].b[j] = (float)(0.05 * plumb_normal(23, i, j));
    return a;
}

/* One checkpoint with one arithmetic. */
typedef struct subject {
    const char *name;
    plumb_compute *c;
    plumb_model *m;
    plumb_adapter *adapter;
    size_t d;
} subject;

static subject open_subject(const char *name, plumb_arithmetic arithmetic, bool adapted)
{
    subject s = {.name = name};
    check_ok(plumb_compute_open(NULL, 2, &s.c));
    check_ok(plumb_compute_use(s.c, arithmetic));
    check_ok(plumb_model_open(oracle_path("models", name), s.c, &s.m));
    s.d = (size_t)s.m->config.hidden_size;
    if (adapted) {
        s.adapter = some_adapter(s.m);
        check_ok(plumb_model_attach(s.m, s.adapter));
    }
    return s;
}

static void close_subject(subject *s)
{
    plumb_model_close(s->m);
    plumb_adapter_free(s->adapter);
    plumb_compute_close(s->c);
}

/* The final states of the batch, to be freed. */
static float *final_states(const subject *s, const plumb_batch *b)
{
    plumb_forward *f;
    const float *states;
    size_t bytes = b->wanted.count * s->d * sizeof *states;
    float *copy = malloc(bytes);
    check_ok(plumb_forward_new(s->m, &f));
    check_ok(plumb_forward_run(f, b, &states));
    memcpy(copy, states, bytes);
    plumb_forward_free(f);
    return copy;
}

/* ||x - y|| / ||y|| */
static double distance(const float *x, const float *y, size_t count)
{
    double apart = 0, whole = 0;
    for (size_t i = 0; i < count; i++) {
        apart += pow((double)x[i] - y[i], 2);
        whole += pow(y[i], 2);
    }
    return sqrt(apart / whole);
}

/* What the branches of the first group differ by, behind the token in which they do: [REJECTED - 1][d], in place. */
static const float *between_branches(float *states, size_t d)
{
    float *chosen = states + (BEFORE + 1) * d, *rejected = states + (BEFORE + CHOSEN + 1) * d;
    for (size_t i = 0; i < (REJECTED - 1) * d; i++) chosen[i] -= rejected[i];
    return chosen;
}

static void without_partners(plumb_batch *b)
{
    for (size_t i = 0; i < b->partners.count; i++) b->partners.data[i] = -1;
    for (size_t i = 0; i < b->wanted_partners.count; i++) b->wanted_partners.data[i] = -1;
}

static void check_accuracy(const subject *exact, const subject *rounded)
{
    plumb_batch b = {0};
    add_group(&b, exact->m, 0, CHOSEN, REJECTED);
    size_t count = b.wanted.count * exact->d, between = (REJECTED - 1) * exact->d;
    float *want = final_states(exact, &b), *got = final_states(rounded, &b);
    without_partners(&b);
    float *alone = final_states(rounded, &b);
    double off = distance(got, want, count);
    const float *apart = between_branches(want, exact->d);
    double near = distance(between_branches(got, exact->d), apart, between);
    double far = distance(between_branches(alone, exact->d), apart, between);
    if (!(off > 0 && off < 1e-2)) fail_msg("%s: the states are off by %.3g", exact->name, off);
    if (!(near < 0.95 * far))
        fail_msg("%s: branches differ by what is off by %.3g, without partners by %.3g", exact->name, near, far);
    free(want), free(got), free(alone);
    plumb_batch_free(&b);
}

static void check_places(const subject *s)
{
    plumb_batch alone = {0}, behind = {0};
    add_group(&alone, s->m, 0, CHOSEN, REJECTED);
    add_group(&behind, s->m, 1, REJECTED, CHOSEN);
    size_t first = behind.wanted.count;
    add_group(&behind, s->m, 0, CHOSEN, REJECTED);
    float *want = final_states(s, &alone), *got = final_states(s, &behind);
    if (memcmp(got + first * s->d, want, alone.wanted.count * s->d * sizeof *want) != 0)
        fail_msg("%s: a group behind another one has other bits", s->name);
    free(want), free(got);
    plumb_batch_free(&alone);
    plumb_batch_free(&behind);
}

/* ---- parts of the MLP ---- */

enum { BUFFERS = 12 };

static int widest(const plumb_config *c)
{
    int widths[] = {3 * c->heads * c->head_dim, c->kv_heads * c->head_dim, c->hidden_size, c->intermediate_size};
    int most = RANK;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i] > most) most = widths[i];
    return most;
}

/* final_states, layer by layer, with so many rows of the MLP at a time. */
static float *states_in_parts(const subject *s, const plumb_batch *b, int mlp_rows)
{
    const plumb_config *c = &s->m->config;
    int rows = (int)b->ids.count, d = c->hidden_size;
    size_t size = (size_t)rows * (size_t)widest(c);
    float *all = malloc((BUFFERS + 1) * size * sizeof *all), *at[BUFFERS], *x = all + BUFFERS * size;
    bool *taken = malloc((size_t)rows);
    plumb_rotations r = {0};
    for (size_t i = 0; i < BUFFERS; i++) at[i] = all + i * size;
    check_ok(plumb_rotations_reserve(s->m, rows, &r));
    plumb_embed(s->c, &s->m->embed, b->ids.data, rows, (float)c->embed_scale, x, d);
    for (int i = 0; i < c->layers; i++) {
        float *out = i == c->layers - 1 ? at[0] : x;
        plumb_layer_state st = {
            .x_in = x,
            .x_mid = out,
            .x_out = out,
            .normed = at[1],
            .normed_wanted = at[2],
            .mlp_normed = at[1],
            .fused = at[3],
            .q_raw = at[4],
            .k_raw = at[5],
            .v_raw = at[6],
            .q = at[4],
            .k = at[5],
            .v = at[6],
            .attended = at[7],
            .attention_out = at[8],
            .mlp_out = at[8],
            .branch_normed = at[8],
            .gate = at[9],
            .up = at[10],
            .low_rank = at[11],
            .taken = taken,
            .mlp_rows = mlp_rows,
        };
        check_ok(plumb_layer_forward(s->m, &r, i, b, &st));
    }
    float *states = malloc(b->wanted.count * s->d * sizeof *states);
    plumb_norm_run(s->c, &s->m->final_norm, at[0], d, (int)b->wanted.count, 1, states, d);
    plumb_rotations_free(s->m, &r);
    free(taken);
    free(all);
    return states;
}

/* Groups whose branches fit into one part, which then begins with row 7, 9, ... of the batch, not with row 0. */
static void check_parts(const subject *s)
{
    plumb_batch b = {0};
    for (uint64_t i = 0; i < 2; i++) add_group(&b, s->m, i, SHORT, SHORT);
    float *want = final_states(s, &b), *got = states_in_parts(s, &b, PART);
    if (memcmp(got, want, b.wanted.count * s->d * sizeof *want) != 0)
        fail_msg("%s: an MLP of %d rows at a time has other bits", s->name, PART);
    free(want), free(got);
    plumb_batch_free(&b);
}

static void check_models(bool adapted)
{
    for (size_t i = 0; i < REFERENCE_MODELS; i++) {
        if (!oracle_path("models", reference_models[i])) {
            print_message("left out: %s (the shared reference files are not here)\n", reference_models[i]);
            continue;
        }
        subject exact = open_subject(reference_models[i], PLUMB_FP32, adapted);
        subject rounded = open_subject(reference_models[i], PLUMB_BF16_ROUNDED, adapted);
        check_accuracy(&exact, &rounded);
        check_places(&rounded);
        check_parts(&rounded);
        close_subject(&exact);
        close_subject(&rounded);
    }
}

static void models_take_differences(void **state)
{
    (void)state;
    check_models(false);
}

static void adapted_models_take_differences(void **state)
{
    (void)state;
    check_models(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_take_differences),
        cmocka_unit_test(adapted_models_take_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
