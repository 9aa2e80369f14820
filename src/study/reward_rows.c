#include "study/reward_rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/row_hash.h"

enum { CHUNK_TOKENS = 1 << 14, DIGITS = 9, MOST_SAMPLES = 1 << 24 };

/* A row that waits for its chunk. */
typedef struct waiting {
    plumb_reward_row row;
    plumb_reward_sequence sequence; /* where it is scored; ids in the arena */
} waiting;

struct plumb_reward_rows {
    plumb_reward_source source;
    plumb_rows *rows;
    plumb_row row;
    plumb_rewarder *rewarder;
    plumb_preference preference;
    plumb_pair pair;
    plumb_arena arena;
    waiting *list;
    size_t count, capacity;
    int64_t tokens; /* of the waiting rows */
    int64_t given;
    uint64_t hash;
};

plumb_status plumb_reward_rows_open(const plumb_reward_source *source, plumb_reward_rows **out)
{
    plumb_reward_rows *r;
    *out = NULL;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->source = *source;
    r->source.keys.implicit = PLUMB_IMPLICIT_WHOLE;
    plumb_status s = plumb_rows_open(source->path, source->begin, source->end, &r->rows);
    if (!s) s = plumb_rewarder_new(source->model, source->sink, &r->rewarder);
    if (s) {
        plumb_reward_rows_close(r);
        return s;
    }
    *out = r;
    return PLUMB_OK;
}

void plumb_reward_rows_close(plumb_reward_rows *r)
{
    if (!r) return;
    plumb_rewarder_free(r->rewarder);
    plumb_preference_clear(&r->preference);
    plumb_pair_free(&r->pair);
    plumb_arena_free(&r->arena);
    plumb_rows_close(r->rows);
    free(r->list);
    free(r);
}

int64_t plumb_reward_rows_count(const plumb_reward_rows *r, uint64_t *hash)
{
    if (hash) *hash = r->hash;
    return r->given;
}

/* ---- one row ---- */

static const json_t *column(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    return json_is_null(value) ? NULL : value;
}

/* Whose row it is: that of plumb generate has index, row and sample of its own. */
static plumb_status read_key(const plumb_reward_rows *r, const json_t *j, plumb_reward_row *out)
{
    *out = (plumb_reward_row){.key = {r->row.index, r->row.hash}, .sides = 2};
    if (!column(j, "response") && !column(j, r->source.completion)) return PLUMB_OK;
    out->sides = 1;
    bool numbered = column(j, "response") && (column(j, "index") || column(j, "row"));
    if (!numbered) return PLUMB_OK;
    PLUMB_TRY(plumb_row_key_read(j, "plumb generate", &out->key));
    PLUMB_TRY(plumb_json_int(j, "sample", &out->sample));
    if (out->sample >= 0 && out->sample < MOST_SAMPLES) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"sample\" is %" PRId64 "; expected a number from 0", out->sample);
}

/* {"prompt": p, "chosen": x, "rejected": x} of a prompt and a response, both strings or both lists of messages. */
static plumb_status as_preference(const plumb_reward_rows *r, const json_t *j, json_t **out)
{
    const json_t *prompt = column(j, r->source.keys.prompt), *response = column(j, "response");
    bool turns = json_is_array(prompt) || (r->source.as_message && json_is_string(prompt));
    if (!response) response = column(j, r->source.completion);
    if (!json_is_string(response) && !json_is_array(response))
        return plumb_fail(PLUMB_E_INPUT, "the response is %s; expected a string or a list of messages",
                          plumb_json_kind(response));
    if (prompt && !json_is_string(prompt) && !json_is_array(prompt))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a string or a list of messages", r->source.keys.prompt,
                          plumb_json_kind(prompt));
    json_t *p = json_incref((json_t *)prompt), *x = json_incref((json_t *)response);
    if (turns && json_is_string(prompt)) {
        json_decref(p);
        p = json_pack("[{s:s, s:O}]", "role", "user", "content", prompt);
    }
    if (turns && json_is_string(response)) {
        json_decref(x);
        x = json_pack("[{s:s, s:O}]", "role", "assistant", "content", response);
    }
    *out = p || !prompt ? json_pack("{s:O?, s:O, s:o}", r->source.keys.prompt, p, r->source.keys.chosen, x,
                                    r->source.keys.rejected, x)
                        : NULL;
    json_decref(p);
    return *out ? PLUMB_OK : plumb_no_memory();
}

static plumb_status parse_pair(plumb_reward_rows *r, const char *bytes, size_t n)
{
    plumb_pairing how = {r->source.encoder, PLUMB_COMPAT_TRL, 0, r->source.model->config.vocab_size};
    plumb_preference_clear(&r->preference);
    PLUMB_TRY(plumb_preference_parse(bytes, n, &r->source.keys, &r->preference));
    return plumb_pair_make(&how, &r->preference, &r->pair);
}

/* A response goes the way of pairs, with itself for both sides: the same tokens come out for the same text. */
static plumb_status parse_response(plumb_reward_rows *r, const json_t *j)
{
    json_t *made = NULL;
    PLUMB_TRY(as_preference(r, j, &made));
    char *text = json_dumps(made, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(made);
    plumb_status s = text ? parse_pair(r, text, strlen(text)) : plumb_no_memory();
    free(text);
    return s;
}

static plumb_status make_row(plumb_reward_rows *r, plumb_reward_row *out)
{
    json_t *j = NULL;
    PLUMB_TRY(plumb_json_parse(r->row.bytes, r->row.size, true, NULL, &j));
    plumb_status s = json_is_object(j)
                         ? read_key(r, j, out)
                         : plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(j));
    if (!s && out->sides == 2 && !column(j, r->source.keys.chosen) && !column(j, "chosen_ids"))
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "the row has neither \"%s\" nor \"response\" or \"%s\"",
                                  r->source.keys.chosen, r->source.completion),
                       "rows are preferences, or prompts with a response; other names: --prompt_key, --chosen_key, "
                       "--rejected_key, --completion_key");
    if (!s) s = out->sides == 1 ? parse_response(r, j) : parse_pair(r, r->row.bytes, r->row.size);
    json_decref(j);
    return s;
}

/* The tokens of the row at hand into the arena. */
static plumb_status take_tokens(plumb_reward_rows *r, waiting *w)
{
    plumb_reward_sequence *x = &w->sequence;
    x->sides = w->row.sides;
    x->shared = x->sides == 2 ? r->pair.shared : 0;
    for (int s = 0; s < x->sides; s++) {
        const plumb_ids *ids = &r->pair.ids[s];
        x->counts[s] = (int)ids->count;
        if (!ids->count) w->row.skipped = "empty";
        if (r->source.max_length && x->counts[s] > r->source.max_length) w->row.skipped = "too_long";
        PLUMB_TRY(plumb_arena_copy(&r->arena, &x->ids[s], ids->data, ids->count * sizeof *ids->data));
        r->tokens += x->counts[s];
    }
    return PLUMB_OK;
}

static plumb_status add_row(plumb_reward_rows *r)
{
    waiting w = {.row = {.sides = 2}};
    plumb_status s = plumb_context(make_row(r, &w.row), "%s:%lld", plumb_rows_name(r->rows), (long long)r->row.line);
    if (s && (!r->source.skip_bad_rows || plumb_status_code(s) != PLUMB_E_INPUT)) return s;
    if (s) {
        plumb_note(r->source.sink, "passed over: %s", plumb_status_message(s));
        plumb_status_free(s);
        w.row.key = (plumb_row_key){r->row.index, r->row.hash};
        w.row.skipped = "bad_row";
    } else {
        PLUMB_TRY(take_tokens(r, &w));
    }
    PLUMB_TRY(plumb_reserve(&r->list, &r->capacity, r->count + 1, sizeof *r->list));
    r->list[r->count++] = w;
    return PLUMB_OK;
}

/* ---- all rows ---- */

static plumb_status next_row(plumb_reward_rows *r, bool *found)
{
    PLUMB_TRY(plumb_check_interrupt(r->source.sink));
    PLUMB_TRY(plumb_rows_next(r->rows, &r->row, found));
    if (!*found) return PLUMB_OK;
    r->given++;
    r->hash = plumb_add_row_hash(r->hash, r->row.hash);
    return PLUMB_OK;
}

plumb_status plumb_reward_rows_pass(plumb_reward_rows *r, plumb_row_key *key, bool *found)
{
    plumb_reward_row row = {.sides = 0};
    json_t *j = NULL;
    PLUMB_TRY(next_row(r, found));
    if (!*found) return PLUMB_OK;
    *key = (plumb_row_key){r->row.index, r->row.hash};
    plumb_status s = plumb_json_parse(r->row.bytes, r->row.size, true, NULL, &j);
    if (!s) s = read_key(r, j, &row);
    if (!s) *key = row.key;
    plumb_status_free(s); /* a bad row was passed over under its own number */
    json_decref(j);
    return PLUMB_OK;
}

/* What a sequence's place in a chunk means to a user. */
static plumb_status score(plumb_reward_rows *r, const plumb_reward_sequence *list, size_t count, double (*rewards)[2])
{
    if (r->source.plan) return plumb_rewarder_plan(r->rewarder, list, count, r->source.plan);
    return plumb_context(plumb_rewarder_run(r->rewarder, list, count, rewards),
                         "of the %zu rows that end with row %" PRId64, r->count, r->row.index);
}

static plumb_status score_chunk(plumb_reward_rows *r)
{
    plumb_reward_sequence *list;
    double(*rewards)[2];
    size_t n = 0;
    PLUMB_TRY(plumb_arena_new(&r->arena, &list, r->count, sizeof *list));
    PLUMB_TRY(plumb_arena_new(&r->arena, &rewards, r->count, sizeof *rewards));
    for (size_t i = 0; i < r->count; i++)
        if (!r->list[i].row.skipped) list[n++] = r->list[i].sequence;
    PLUMB_TRY(score(r, list, n, rewards));
    n = 0;
    for (size_t i = 0; i < r->count; i++)
        if (!r->list[i].row.skipped) memcpy(r->list[i].row.reward, rewards[n++], sizeof rewards[0]);
    return PLUMB_OK;
}

static plumb_status end_chunk(plumb_reward_rows *r, plumb_status (*emit)(void *user, const plumb_reward_row *row),
                              void *user)
{
    PLUMB_TRY(score_chunk(r));
    for (size_t i = 0; i < r->count; i++) PLUMB_TRY(emit(user, &r->list[i].row));
    int64_t consumed, size;
    plumb_rows_position(r->rows, &consumed, &size);
    plumb_progress(r->source.sink, "bytes", (double)consumed, (double)size);
    r->count = 0;
    r->tokens = 0;
    plumb_arena_reset(&r->arena);
    return PLUMB_OK;
}

plumb_status plumb_reward_rows_run(plumb_reward_rows *r, plumb_status (*emit)(void *user, const plumb_reward_row *row),
                                   void *user)
{
    for (;;) {
        bool found;
        PLUMB_TRY(next_row(r, &found));
        if (!found) break;
        PLUMB_TRY(add_row(r));
        if (r->tokens >= CHUNK_TOKENS) PLUMB_TRY(end_chunk(r, emit, user));
    }
    if (!r->given)
        return plumb_fail(PLUMB_E_INPUT, "%s: there are no rows in it, or none in this range",
                          plumb_rows_name(r->rows));
    return end_chunk(r, emit, user);
}

/* ---- lines ---- */

static plumb_status put(plumb_text *t, const char *name, double value)
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s\":", name));
    return plumb_json_real(t, value, DIGITS);
}

plumb_status plumb_reward_row_line(const plumb_reward_row *row, plumb_text *out)
{
    PLUMB_TRY(
        plumb_text_printf(out, "{\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\"", row->key.index, row->key.row));
    if (row->sides == 1) PLUMB_TRY(plumb_text_printf(out, ",\"sample\":%" PRId64, row->sample));
    if (row->skipped) {
        PLUMB_TRY(plumb_text_printf(out, ",\"skipped\":\"%s\"", row->skipped));
    } else if (row->sides == 1) {
        PLUMB_TRY(put(out, "reward", row->reward[0]));
    } else {
        PLUMB_TRY(put(out, "reward/chosen", row->reward[0]));
        PLUMB_TRY(put(out, "reward/rejected", row->reward[1]));
        PLUMB_TRY(put(out, "margin", row->reward[0] - row->reward[1]));
    }
    return plumb_text_string(out, "}\n");
}

plumb_status plumb_reward_row_read(const json_t *line, plumb_reward_row *out)
{
    *out = (plumb_reward_row){.sides = 2};
    PLUMB_TRY(plumb_row_key_read(line, "plumb reward-score", &out->key));
    out->skipped = json_string_value(json_object_get(line, "skipped"));
    const json_t *reward = json_object_get(line, "reward"), *sample = json_object_get(line, "sample");
    if (sample) out->sides = 1;
    out->sample = json_integer_value(sample);
    if (out->skipped) return PLUMB_OK;
    if (!reward) reward = json_object_get(line, "reward/chosen");
    const json_t *rejected = out->sides == 2 ? json_object_get(line, "reward/rejected") : reward;
    if (!json_is_number(reward) || !json_is_number(rejected))
        return plumb_fail(PLUMB_E_INPUT, "the line holds no reward");
    out->reward[0] = json_number_value(reward);
    out->reward[1] = json_number_value(rejected);
    return PLUMB_OK;
}

void plumb_reward_summary_add(plumb_reward_summary *s, const plumb_reward_row *row)
{
    double a = row->reward[0], b = row->reward[1];
    if (row->skipped) {
        s->skipped++;
    } else if (row->sides == 2) {
        s->pairs++;
        s->right += a > b;
        s->chosen += a;
        s->rejected += b;
        s->margin += a - b;
    } else {
        if (!s->responses || a < s->least) s->least = a;
        if (!s->responses || a > s->most) s->most = a;
        s->responses++;
        s->sum += a;
        s->squares += a * a;
    }
}
