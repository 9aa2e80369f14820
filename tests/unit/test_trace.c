/* The tracer: verdicts, drops, the split of logits against logits computed again, rows and tables of hostile texts. */
#include "support.h"

#include <math.h>

#include "align/scorer.h"
#include "study/trace_rows.h"
#include "study/trace_run.h"
#include "unit/scratch.h"

/* ---- verdicts ---- */

/* A token's class and its gain, the own one left out already. */
typedef struct a_gain {
    const char *text;
    double value;
} a_gain;

static plumb_verdict verdict(const plumb_token_groups *g, const char *own, double change, const a_gain *list, int count)
{
    plumb_gains sums = {0};
    plumb_classes mine, classes;
    check_ok(plumb_token_groups_find(g, own, strlen(own), &mine));
    for (int i = 0; i < count; i++) {
        check_ok(plumb_token_groups_find(g, list[i].text, strlen(list[i].text), &classes));
        plumb_gains_add(&sums, mine, plumb_token_groups_opposites(g, mine), classes, list[i].value);
    }
    return plumb_gains_verdict(&sums, change);
}

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *own;
        double change;
        a_gain list[3];
        plumb_verdict want;
    } cases[] = {
        {"Yes", 0, {{"no", 0.9}}, PLUMB_VERDICT_NONE},
        {"Yes", 0.5, {{"no", 0.9}}, PLUMB_VERDICT_NONE},
        {"Yes", -1, {{"yes", 0.5}, {"no", 0.25}, {"table", 0.25}}, PLUMB_VERDICT_BENIGN}, /* exactly half */
        {"Yes", -1, {{"yes", 0.5}, {"no", 0.5}}, PLUMB_VERDICT_BENIGN},                   /* both: benign goes first */
        {"Yes", -1, {{"yes", 0.25}, {"no", 0.5}, {"table", 0.25}}, PLUMB_VERDICT_CATASTROPHIC},
        {"Yes", -1, {{"yes", 0.3}, {"no", 0.4}, {"table", 0.3}}, PLUMB_VERDICT_OTHER},
        {"Yes", -1, {{"sorry", 1}}, PLUMB_VERDICT_OTHER},                      /* not opposites */
        {"Yes", -1, {{"no", 0.1}, {"table", -5}}, PLUMB_VERDICT_CATASTROPHIC}, /* losses do not count */
        {"Yes", -1, {{"table", 0}}, PLUMB_VERDICT_OTHER},                      /* nothing else gained */
        {"table", -1, {{"no", 1}}, PLUMB_VERDICT_OTHER},                       /* y+ has no class */
        {"maybe", -1, {{"perhaps", 1}}, PLUMB_VERDICT_BENIGN},
        {"maybe", -1, {{"yes", 1}}, PLUMB_VERDICT_OTHER},                               /* no opposite */
        {"Sorry", -1, {{"Sure", 0.6}, {"table", 0.4}}, PLUMB_VERDICT_CATASTROPHIC},     /* Sure complies, too */
        {"Sure", -1, {{"yes", 0.3}, {"here", 0.3}, {"no", 0.4}}, PLUMB_VERDICT_BENIGN}, /* both classes of Sure */
        {"Sure", -1, {{"no", 0.3}, {"sorry", 0.3}, {"table", 0.4}}, PLUMB_VERDICT_CATASTROPHIC},
    };
    plumb_token_groups *g;
    check_ok(plumb_token_groups_open(NULL, &g));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int count = 0;
        while (count < 3 && cases[i].list[count].text) count++;
        plumb_verdict got = verdict(g, cases[i].own, cases[i].change, cases[i].list, count);
        if (got != cases[i].want)
            fail_msg("case %d: %s, expected %s", (int)i, plumb_verdict_name(got), plumb_verdict_name(cases[i].want));
    }
    plumb_token_groups_free(g);
}

static void check_drop(const double *v, size_t n, double value, int64_t from, int64_t to)
{
    plumb_course_point course[8];
    for (size_t i = 0; i < n; i++) course[i] = (plumb_course_point){10 * (int64_t)i, {v[i], 0}, NAN};
    plumb_drop d = plumb_course_drop(course, n);
    if (d.value != value || d.from != from || d.to != to)
        fail_msg("a drop of %g from %d to %d, expected %g from %d to %d", d.value, (int)d.from, (int)d.to, value,
                 (int)from, (int)to);
}

static void drops(void **state)
{
    (void)state;
    check_drop((double[]){-5, -3, -9, -1, -6, -2}, 6, 6, 10, 20);
    check_drop((double[]){-5, -3, -4, -1, -6, -2}, 6, 5, 30, 40);
    check_drop((double[]){-1, -2, -1, -2}, 4, 1, 0, 10); /* of equal ones the first */
    check_drop((double[]){-5, -4, -3}, 3, 0, -1, -1);
    check_drop((double[]){-5, NAN, -7}, 3, 2, 0, 20);
    check_drop(NULL, 0, 0, -1, -1);
}

/* ---- the split ---- */

/* By hand: W = (1, 2), dW = (0.5, -1), h = (3, 4), dh = (-1, 2), bias 0.25 -> 1. */
static void split_by_hand(void **state)
{
    (void)state;
    const float before[] = {9, 9, 1, 2}, after[] = {9, 9, 1.5F, 1}, h[] = {3, 4}, h2[] = {2, 6}, bias[] = {0, 0.25F},
                bias2[] = {0, 1};
    plumb_linear w = {.weight = before, .dtype = PLUMB_F32, .bias = bias, .n = 2, .k = 2}, w2 = w;
    plumb_logit_change z;
    w2.weight = after;
    w2.bias = bias2;
    plumb_logit_split(&w, &w2, h, h2, 1, &z);
    assert_true(z.weights == -2.5 && z.hidden == 3 && z.both == -2.5 && z.bias == 0.75 && z.change == -1.25);
    w.bias = w2.bias = NULL;
    plumb_logit_split(&w, &w2, h, h2, 1, &z);
    assert_true(z.bias == 0 && z.change == -2);
}

enum { VOCAB = 8192, WIDTH = 512, TOP = 5 };

/* What the scorer and the unembedding say of the same pair. */
typedef struct again {
    const plumb_model *models[2];
    int model;
    double logps[2][2];
    float state[2][WIDTH];
    double z[2][VOCAB], lse[2];
    const plumb_token_groups *groups;
    int rows, places;
} again;

static plumb_status keep_score(void *user, const plumb_score *score)
{
    again *a = user;
    for (int s = 0; s < 2; s++) a->logps[a->model][s] = score->logps[s];
    return PLUMB_OK;
}

static plumb_status keep_state(void *user, const plumb_score *score, const float *state)
{
    again *a = user;
    const plumb_model *m = a->models[a->model];
    plumb_unembed u = {.w = &m->unembed, .scale = 1, .cap = (float)m->config.final_cap};
    int vocab = m->config.vocab_size, d = m->config.hidden_size;
    (void)score;
    assert_true(vocab <= VOCAB && d <= WIDTH);
    memcpy(a->state[a->model], state, (size_t)d * sizeof *state);
    for (int v = 0; v < vocab; v++) { /* in fp64 from the stored weights */
        double sum = 0;
        for (int j = 0; j < d; j++)
            sum +=
                (double)plumb_load(m->unembed.weight, m->unembed.dtype, (size_t)v * (size_t)d + (size_t)j) * state[j];
        a->z[a->model][v] = sum;
    }
    return plumb_unembed_logps(m->compute, &u, state, d, 1, NULL, NULL, &a->lse[a->model]);
}

static double probability(const again *a, int model, int token)
{
    double cap = a->models[model]->config.final_cap, z = a->z[model][token];
    return exp((cap > 0 ? cap * tanh(z / cap) : z) - a->lse[model]);
}

static void check_near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s is %.17g, expected %.17g", what, got, want);
}

static void check_token(const again *a, const plumb_traced_token *t, int sign)
{
    int v = t->change.token;
    const plumb_logit_change *z = &t->logit;
    double dz = a->z[1][v] - a->z[0][v], size = fabs(a->z[0][v]) + fabs(a->z[1][v]) + 1;
    assert_true(t->has_logit && t->text);
    assert_true(sign * (t->change.after - t->change.before) > 0);
    check_near("p before", t->change.before, probability(a, 0, v), 1e-5);
    check_near("p after", t->change.after, probability(a, 1, v), 1e-5);
    check_near("dz", z->change, dz, 1e-12 * size);
    check_near("the sum of the parts", z->weights + z->hidden + z->both + z->bias, z->change, 1e-12 * size);
    double weights = 0, hidden = 0;
    const plumb_linear *w[2] = {&a->models[0]->unembed, &a->models[1]->unembed};
    size_t d = (size_t)w[0]->k;
    for (size_t j = 0; j < d; j++) {
        double x = plumb_load(w[0]->weight, w[0]->dtype, (size_t)v * d + j),
               y = plumb_load(w[1]->weight, w[1]->dtype, (size_t)v * d + j);
        weights += (y - x) * a->state[0][j];
        hidden += x * ((double)a->state[1][j] - a->state[0][j]);
    }
    check_near("dz_weights", z->weights, weights, 1e-12 * size);
    check_near("dz_hidden", z->hidden, hidden, 1e-12 * size);
    assert_true(weights != 0 && hidden != 0);
}

/* No token that is not listed gained more than the last listed one; the gains add up. */
static void check_lists(const again *a, const plumb_traced_place *p, const plumb_classes *map)
{
    int vocab = a->models[0]->config.vocab_size;
    plumb_gains sums = {0};
    double least = p->gained[p->gained_count - 1].change.after - p->gained[p->gained_count - 1].change.before;
    assert_int_equal(p->gained_count, TOP);
    assert_int_equal(p->lost_count, TOP);
    for (int v = 0; v < vocab; v++) {
        double gain = probability(a, 1, v) - probability(a, 0, v);
        bool listed = false;
        for (int i = 0; i < TOP; i++) listed |= p->gained[i].change.token == v;
        if (!listed && gain > least + 2e-5) fail_msg("token %d gained %g and is not listed", v, gain);
        if (v != p->chosen.change.token)
            plumb_gains_add(&sums, p->chosen.classes, plumb_token_groups_opposites(a->groups, p->chosen.classes),
                            map[v], gain);
    }
    check_near("all gain", p->gains.all, sums.all, 1e-4);
    check_near("gain of the same class", p->gains.same, sums.same, 1e-5);
    check_near("gain of the opposite class", p->gains.opposite, sums.opposite, 1e-5);
    check_near("gain of no class", p->gains.no_class, sums.no_class, 1e-4);
}

static plumb_classes *vocabulary_map; /* of the model under test */

static plumb_status check_row(void *user, plumb_trace_row *row)
{
    again *a = user;
    for (int s = 0; s < 2; s++) {
        assert_true(row->before[s] == a->logps[0][s]); /* to the bit: the same functions, another batch */
        assert_true(row->after[s] == a->logps[1][s]);
    }
    for (int i = 0; i < row->place.gained_count; i++) check_token(a, &row->place.gained[i], 1);
    for (int i = 0; i < row->place.lost_count; i++) check_token(a, &row->place.lost[i], -1);
    check_lists(a, &row->place, vocabulary_map);
    a->rows++;
    a->places += row->place_count;
    return PLUMB_OK;
}

/* Every pair alone through the scorer under both models, then through the tracer. */
static void check_pair(again *a, plumb_tracer *t, const plumb_row *row, const plumb_pair *pair)
{
    for (a->model = 0; a->model < 2; a->model++) {
        plumb_scorer *s;
        plumb_scorer_options how = {
            .measures = 1U << plumb_measure_find("logps"), .emit = keep_score, .differing = keep_state, .user = a};
        check_ok(plumb_scorer_new(a->models[a->model], &how, &s));
        check_ok(plumb_scorer_add(s, row->index, row->hash, pair));
        check_ok(plumb_scorer_flush(s));
        plumb_scorer_free(s);
    }
    check_ok(plumb_tracer_add(t, row->index, row->hash, pair));
    check_ok(plumb_tracer_flush(t));
}

static void check_models(plumb_compute *c, const char *before, const char *after, const char *pairs, bool tied,
                         bool cap)
{
    static again a;
    plumb_model *m[2];
    plumb_encoder *encoder;
    plumb_token_groups *groups;
    plumb_pair_reader *reader;
    plumb_tracer *t;
    const plumb_row *row;
    const plumb_pair *pair;
    bool found;
    check_ok(plumb_model_open(oracle_path("models", before), c, &m[0]));
    check_ok(plumb_model_open(oracle_path("models", after), c, &m[1]));
    assert_true(m[0]->config.tied == tied && (m[0]->config.final_cap > 0) == cap);
    check_ok(plumb_encoder_open(oracle_path("models", before), NULL, m[0]->config.eos_id, &encoder));
    check_ok(plumb_token_groups_open(NULL, &groups));
    check_ok(plumb_new(&vocabulary_map, (size_t)m[0]->config.vocab_size, sizeof *vocabulary_map));
    check_ok(plumb_token_groups_map(groups, encoder->tokenizer, m[0]->config.vocab_size, vocabulary_map));
    a = (again){.models = {m[0], m[1]}, .groups = groups};
    plumb_trace_options how = {.before = m[0],
                               .after = m[1],
                               .tokenizer = encoder->tokenizer,
                               .groups = groups,
                               .top = TOP,
                               .all_positions = true,
                               .eos = -1,
                               .emit = check_row,
                               .user = &a};
    check_ok(plumb_tracer_new(&how, &t));
    plumb_pair_source source = {.path = oracle_path("pairs", pairs),
                                .end = 12,
                                .keys = {"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE},
                                .pairing = {.encoder = encoder, .max_length = 128}};
    check_ok(plumb_pair_reader_open(&source, &reader));
    int tokens = 0;
    for (;;) {
        check_ok(plumb_pair_reader_next(reader, &row, &pair, &found));
        if (!found) break;
        check_pair(&a, t, row, pair);
        tokens += (int)pair->ids[0].count - pair->prompt;
    }
    assert_int_equal(a.rows, 12);
    assert_int_equal(a.places, tokens);
    plumb_pair_reader_close(reader);
    plumb_tracer_free(t);
    free(vocabulary_map);
    plumb_token_groups_free(groups);
    plumb_encoder_close(encoder);
    plumb_model_close(m[0]);
    plumb_model_close(m[1]);
}

static void split_of_models(void **state)
{
    plumb_compute *c = open_isa(*state, 1);
    if (!c) return;
    check_models(c, "olmo", "policy-olmo", "pairs.jsonl", true, false);
    check_models(c, "llama3-chat-sharded", "policy-llama3-chat-sharded", "pairs.chat.jsonl", false, false);
    check_models(c, "gemma2", "policy-gemma2", "pairs.jsonl", true, true);
    plumb_compute_close(c);
}

/* ---- what is written ---- */

static const char hostile[] = "</script><b>&\",\n\x1B[31m\xE2\x80\xAE\xC2\x9B=1+1";

static plumb_trace_row hostile_row(plumb_traced_token gained[3])
{
    plumb_trace_row row = {.index = 7,
                           .row = 0xab,
                           .single = true,
                           .chosen_tokens = 1,
                           .before = {log(0.5), -1},
                           .after = {log(0.25), -2},
                           .first_logps = {log(0.5), log(0.25)},
                           .has_place = true};
    gained[0] = (plumb_traced_token){.change = {5, 0, 0.5}, .classes = 1, .text = "yes", .text_size = 3};
    gained[1] =
        (plumb_traced_token){.change = {6, 0.25, 0.5}, .classes = 2, .text = hostile, .text_size = sizeof hostile - 1};
    gained[2] = (plumb_traced_token){.change = {9, 0, 0.125}, .classes = 1, .text = "own", .text_size = 3};
    row.place = (plumb_traced_place){.gained = gained, .gained_count = 3, .verdict = PLUMB_VERDICT_BENIGN};
    row.place.chosen = gained[2];
    row.place.gains = (plumb_gains){.all = 0.75, .same = 0.5, .opposite = 0.25};
    row.first[0] = (plumb_traced_token){.text = "=cmd()", .text_size = 6};
    row.first[1] = (plumb_traced_token){.text = hostile, .text_size = sizeof hostile - 1};
    return row;
}

static void table_of(plumb_trace_format format, const plumb_trace_row *row, plumb_text *out)
{
    plumb_token_groups *g;
    plumb_text_clear(out);
    check_ok(plumb_token_groups_open(NULL, &g));
    check_ok(plumb_trace_table_row(format, row, g, out));
    plumb_token_groups_free(g);
}

static void hostile_tables(void **state)
{
    (void)state;
    plumb_traced_token gained[3];
    plumb_trace_row row = hostile_row(gained);
    plumb_text t = {0};
    table_of(PLUMB_TRACE_CSV, &row, &t);
    assert_string_equal(
        t.data,
        "7,\"\"\"=cmd()\"\"\",\"\"\"</script><b>&\\\"\",\\n\\u001b[31m\\u202e\\u009b=1+1\"\"\",0.5,0.25,0.25,"
        "benign,\"\"\"yes\"\" 0.5\",\"\"\"</script><b>&\\\"\",\\n\\u001b[31m\\u202e\\u009b=1+1\"\" 0.25\",\r\n");
    table_of(PLUMB_TRACE_HTML, &row, &t);
    assert_string_equal(
        t.data, "<tr><td class=\"n\">7</td><td>&quot;=cmd()&quot;</td><td>&quot;&lt;/script&gt;&lt;b&gt;&amp;\\&quot;,"
                "\\n\\u001b[31m\\u202e\\u009b=1+1&quot;</td><td class=\"n\">0.5</td><td class=\"n\">0.25</td>"
                "<td class=\"n\">0.25</td><td>benign</td><td>&quot;yes&quot; 0.5</td><td>&quot;&lt;/script&gt;&lt;b&gt;"
                "&amp;\\&quot;,\\n\\u001b[31m\\u202e\\u009b=1+1&quot; 0.25</td><td></td></tr>\n");
    table_of(PLUMB_TRACE_TEXT, &row, &t);
    assert_non_null(strstr(t.data, "\\u202e"));
    assert_null(strchr(t.data, 0x1B));
    assert_null(strstr(t.data, "\xE2\x80\xAE"));
    plumb_text_free(&t);
}

/* The decrease goes to the lowest point of a course, of which some points are not known. */
static void decrease_along_a_course(void **state)
{
    (void)state;
    plumb_traced_token gained[3];
    plumb_trace_row row = hostile_row(gained);
    plumb_course_point course[] = {{0, {-1, -1}, log(0.5)}, {5, {-1, -1}, log(0.125)}, {9, {-9, -1}, NAN}};
    plumb_text t = {0};
    row.course = course;
    row.course_count = 3;
    table_of(PLUMB_TRACE_CSV, &row, &t);
    assert_non_null(strstr(t.data, ",0.5,0.25,0.375,"));
    row.first_logps[1] = log(0.75); /* above the start, without a lower point: no decrease */
    row.course_count = 1;
    table_of(PLUMB_TRACE_CSV, &row, &t);
    assert_non_null(strstr(t.data, ",0.5,0.75,0,none,")); /* at the end the token is above its start */
    row.course_count = 0;                                 /* before and after alone: a gain shows as one */
    table_of(PLUMB_TRACE_CSV, &row, &t);
    assert_non_null(strstr(t.data, ",0.5,0.75,-0.25,"));
    row.first_logps[0] = row.first_logps[1] = NAN;
    table_of(PLUMB_TRACE_CSV, &row, &t);
    assert_non_null(strstr(t.data, "\"\"\",,,,benign"));
    plumb_text_free(&t);
}

static void lines(void **state)
{
    (void)state;
    plumb_traced_token gained[3];
    plumb_trace_row row = hostile_row(gained);
    plumb_token_groups *g;
    plumb_text t = {0};
    check_ok(plumb_token_groups_open(NULL, &g));
    check_ok(plumb_trace_line(&row, g, &t));
    assert_int_equal(t.data[t.size - 1], '\n');
    json_error_t error;
    json_t *line = json_loads(t.data, 0, &error);
    assert_non_null(line);
    const json_t *text = json_object_get(json_array_get(json_object_get(line, "gained"), 1), "text");
    assert_int_equal(json_string_length(text), sizeof hostile - 1);
    assert_memory_equal(json_string_value(text), hostile, sizeof hostile);
    assert_string_equal(json_string_value(json_object_get(line, "verdict")), "benign");
    assert_null(json_object_get(line, "steps"));
    json_decref(line);
    plumb_text_clear(&t);
    row = (plumb_trace_row){.index = 3, .row = 1, .skip = PLUMB_SKIP_EMPTY_RESPONSE};
    check_ok(plumb_trace_line(&row, g, &t));
    assert_string_equal(t.data, "{\"index\":3,\"row\":\"0000000000000001\",\"skipped\":\"empty_response\"}\n");
    plumb_text_free(&t);
    plumb_token_groups_free(g);
}

/* ---- the ledger ---- */

#define LEDGER(step, index, chosen)                                                                                    \
    "{\"step\":" #step ",\"index\":" #index ",\"row\":\"00000000000000a" #index "\",\"logps/chosen\":" #chosen         \
    ",\"logps/rejected\":-9"
#define TOKEN(id, text, before, after)                                                                                 \
    "{\"token\":" #id ",\"text\":\"" text "\",\"p_before\":" #before ",\"p_after\":" #after "}"

/* Steps 0, 10, 20; pair 1 is not in the second. Its last row has tokens at position 1. */
static const char ledger_text[] =
    LEDGER(0, 0, -4) "}\n" LEDGER(0, 1, -1) "}\n" LEDGER(10, 0, -3) "}\n" LEDGER(20, 0, -6) "}\n" LEDGER(
        20, 1, -2) ",\"position\":1,\"gained\":[" TOKEN(347, " No", 0.1,
                                                        0.4) "," TOKEN(9, "yes", 0.1,
                                                                       0.2) "],\"lost\":[" TOKEN(342, "Yes", 0.5,
                                                                                                 0.1) "]}\n";

static void read_ledger(plumb_ledger_file *ledger, plumb_ledger_tokens *tokens, const plumb_token_groups *g)
{
    static const plumb_sink silent;
    mkdir(scratch("traced"), 0777);
    scratch_file("traced/ledger.jsonl", ledger_text, sizeof ledger_text - 1);
    check_ok(plumb_ledger_read(scratch("traced"), &silent, ledger));
    check_ok(plumb_ledger_tokens_read(scratch("traced"), ledger, g, &silent, tokens));
    assert_false(tokens->there[0]);
    assert_true(tokens->there[1]);
}

static void check_course(const plumb_course_point *got, size_t count, const plumb_course_point *want, size_t expected)
{
    assert_int_equal(count, expected);
    for (size_t i = 0; i < count; i++) {
        assert_true(got[i].step == want[i].step && got[i].logps[0] == want[i].logps[0]);
        assert_true(got[i].first == want[i].first || (isnan(got[i].first) && isnan(want[i].first)));
    }
}

/* Models tell of steps between, and at steps of the ledger of the first token alone. */
static void courses(void **state)
{
    (void)state;
    plumb_token_groups *g;
    plumb_ledger_file ledger = {0};
    plumb_ledger_tokens tokens = {0};
    plumb_arena arena = {0};
    plumb_course_point *got;
    size_t count;
    static const plumb_course_point points[] = {
        {5, {-7, -7}, -0.5}, {10, {-8, -8}, -0.75}, {12, {-5, -5}, -1}, {30, {-4, -4}, -2}};
    check_ok(plumb_token_groups_open(NULL, &g));
    read_ledger(&ledger, &tokens, g);
    check_ok(plumb_ledger_course(&ledger, 0, false, points, 4, &arena, &got, &count));
    check_course(got, count,
                 (const plumb_course_point[]){{0, {-4, 0}, NAN},
                                              {5, {-7, 0}, -0.5},
                                              {10, {-3, 0}, -0.75},
                                              {12, {-5, 0}, -1},
                                              {20, {-6, 0}, NAN},
                                              {30, {-4, 0}, -2}},
                 6);
    check_ok(plumb_ledger_course(&ledger, 0, true, NULL, 0, &arena, &got, &count));
    check_course(got, count, (const plumb_course_point[]){{0, {-4, 0}, -4}, {10, {-3, 0}, -3}, {20, {-6, 0}, -6}}, 3);
    check_ok(plumb_ledger_course(&ledger, 1, true, NULL, 0, &arena, &got, &count));
    check_course(got, count, (const plumb_course_point[]){{0, {-1, 0}, -1}, {20, {-2, 0}, -2}}, 2);
    plumb_arena_free(&arena);
    plumb_ledger_tokens_free(&tokens);
    plumb_ledger_file_free(&ledger);
    plumb_token_groups_free(g);
}

/* y+ is "Yes" (342 in olmo's vocabulary) at position 1, of 3 tokens; the ledger lists what gained. */
static void rows_of_a_ledger(void **state)
{
    (void)state;
    plumb_token_groups *g;
    plumb_tokenizer *t;
    plumb_ledger_file ledger = {0};
    plumb_ledger_tokens tokens = {0};
    plumb_arena arena = {0};
    plumb_trace_row row;
    int32_t ids[2][4] = {{5, 6, 342, 7}, {5, 6, 401, 7}};
    plumb_pair pair = {.ids = {{ids[0], 4, 4}, {ids[1], 4, 4}}, .prompt = 1, .shared = 2};
    check_ok(plumb_token_groups_open(NULL, &g));
    check_ok(plumb_tokenizer_open(oracle_path("models", "olmo"), &t));
    read_ledger(&ledger, &tokens, g);
    plumb_trace_options o = {.tokenizer = t, .groups = g, .top = 1, .eos = -1};
    check_ok(plumb_ledger_trace(&ledger, &tokens, 1, &pair, &o, &arena, &row));
    assert_true(row.index == 1 && row.row == 0xa1 && row.listed_only && row.has_place && !row.single);
    assert_true(row.before[0] == -1 && row.after[0] == -2 && row.drop.value == 1);
    assert_int_equal(row.place.position, 1);
    assert_int_equal(row.place.gained_count, 1); /* --top 1; the gains are of both */
    check_near("all gain", row.place.gains.all, 0.4, 1e-12);
    check_near("the opposite's gain", row.place.gains.opposite, 0.3, 1e-12);
    assert_int_equal(row.place.verdict, PLUMB_VERDICT_CATASTROPHIC);
    assert_true(row.place.chosen.change.before == 0.5 && row.place.chosen.change.after == 0.1); /* from `lost` */
    assert_true(isnan(row.first_logps[0])); /* the place is not the first token */
    check_ok(plumb_ledger_trace(&ledger, &tokens, 0, &pair, &o, &arena, &row));
    assert_false(row.has_place);
    assert_int_equal(row.place.verdict, PLUMB_VERDICT_UNKNOWN);
    pair.shared = 3;
    check_error(plumb_ledger_trace(&ledger, &tokens, 1, &pair, &o, &arena, &row), PLUMB_E_INPUT,
                "row 1: the responses differ at token 2, but at 1 in the ledger");
    plumb_arena_free(&arena);
    plumb_ledger_tokens_free(&tokens);
    plumb_ledger_file_free(&ledger);
    plumb_tokenizer_free(t);
    plumb_token_groups_free(g);
}

static void faulty_ledger_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *tokens, *message;
    } cases[] = {
        {"\"gained\":5,\"lost\":[]", ":1: \"gained\" is a number; expected a list of tokens"},
        {"\"gained\":[7],\"lost\":[]", ":1: \"gained\": a token is a number"},
        {"\"gained\":[{\"token\":-2}],\"lost\":[]", "\"token\" is no token id"},
        {"\"gained\":[{\"token\":1,\"p_after\":\"x\"}],\"lost\":[]", "\"p_after\" is a string"},
        {"\"gained\":[]", "\"lost\" is missing"},
    };
    static const plumb_sink silent;
    plumb_token_groups *g;
    check_ok(plumb_token_groups_open(NULL, &g));
    mkdir(scratch("traced"), 0777);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_ledger_file ledger = {0};
        plumb_ledger_tokens tokens = {0};
        plumb_text text = {0};
        check_ok(plumb_text_printf(&text, LEDGER(0, 0, -4) ",\"position\":0,%s}\n", cases[i].tokens));
        scratch_file("traced/ledger.jsonl", text.data, text.size);
        check_ok(plumb_ledger_read(scratch("traced"), &silent, &ledger));
        check_error(plumb_ledger_tokens_read(scratch("traced"), &ledger, g, &silent, &tokens), PLUMB_E_INPUT,
                    cases[i].message);
        plumb_ledger_tokens_free(&tokens);
        plumb_ledger_file_free(&ledger);
        plumb_text_free(&text);
    }
    plumb_token_groups_free(g);
}

static void sums(void **state)
{
    (void)state;
    plumb_trace_summary s = {0};
    for (int i = 0; i < 6; i++) {
        plumb_trace_row row = {.index = i, .before = {-10, -1}, .after = {-10 - (i % 4), -2}, .has_place = true};
        row.place.gains.all = 1;
        row.place.verdict = i % 4 ? PLUMB_VERDICT_OTHER : PLUMB_VERDICT_NONE;
        row.drop = (plumb_drop){i == 2 ? 7 : 1, 10, 20};
        plumb_trace_summary_add(&s, &row);
    }
    plumb_trace_row skipped = {.skip = PLUMB_SKIP_BAD_ROW};
    plumb_trace_summary_add(&s, &skipped);
    assert_true(s.rows == 7 && s.skipped == 1 && s.traced == 6 && s.fell == 4);
    assert_true(s.verdicts[PLUMB_VERDICT_NONE] == 2 && s.verdicts[PLUMB_VERDICT_OTHER] == 4);
    assert_true(s.worst[0] == 3 && s.worst[1] == 2 && s.worst[2] == 1 && s.worsts == 3); /* of equal ones the first */
    assert_true(s.gains.all == 4 && s.drop.value == 7 && s.drop_index == 2);
    assert_true(s.before[0] == -60 && s.after[0] == -67);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(drops),
        cmocka_unit_test(split_by_hand),
        {"split ref", split_of_models, NULL, NULL, (void *)"ref"},
        {"split avx2", split_of_models, NULL, NULL, (void *)"avx2"},
        {"split avx512", split_of_models, NULL, NULL, (void *)"avx512"},
        cmocka_unit_test(hostile_tables),
        cmocka_unit_test(decrease_along_a_course),
        cmocka_unit_test(lines),
        cmocka_unit_test(courses),
        cmocka_unit_test(rows_of_a_ledger),
        cmocka_unit_test(faulty_ledger_tokens),
        cmocka_unit_test(sums),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
