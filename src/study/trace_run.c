#include "study/trace_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/output.h"
#include "io/row_walk.h"
#include "study/row_key.h"
#include "text/tokenizer_same.h"
#include "train/run_folder.h"

enum { LARGEST_RECORD = 64 << 20 };

/* ---- run.json ---- */

static plumb_status record_fault(const char *what)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s", what),
                      "give the folder that plumb dpo, kto, rloo, grpo or ppo wrote with -o");
}

static plumb_status read_options(const json_t *json, plumb_run_record *r)
{
    const json_t *options = json_object_get(json, "options"), *sources = json_object_get(json, "sources"),
                 *run = json_object_get(json, "run");
    const char *implicit = "none", *on_error = "stop", *hash = "sample";
    int64_t max_length = -1;
    bool use_peft = false;
    if (!json_is_object(options) || !json_is_object(run)) return record_fault("has no options of a run");
    r->keys = (plumb_preference_keys){"prompt", "chosen", "rejected", PLUMB_IMPLICIT_NONE};
    PLUMB_TRY(plumb_json_string(options, "prompt_key", &r->keys.prompt));
    PLUMB_TRY(plumb_json_string(options, "chosen_key", &r->keys.chosen));
    PLUMB_TRY(plumb_json_string(options, "rejected_key", &r->keys.rejected));
    PLUMB_TRY(plumb_json_string(options, "implicit_prompt", &implicit));
    PLUMB_TRY(plumb_json_string(options, "chat_template", &r->chat_template));
    PLUMB_TRY(plumb_json_string(options, "on_error", &on_error));
    PLUMB_TRY(plumb_json_string(options, "adapter", &r->adapter));
    PLUMB_TRY(plumb_json_bool(options, "use_peft", &use_peft));
    PLUMB_TRY(plumb_json_string(run, "hash", &hash));
    if (json_object_get(sources, "max_length")) { /* else the record has TRL's default, which the model may cut short */
        max_length = 0;
        PLUMB_TRY(plumb_json_int(options, "max_length", &max_length));
    }
    r->keys.implicit = strcmp(implicit, "turn") == 0   ? PLUMB_IMPLICIT_TURN
                       : strcmp(implicit, "word") == 0 ? PLUMB_IMPLICIT_WORD
                                                       : PLUMB_IMPLICIT_NONE;
    r->max_length = (int)max_length;
    r->skip_bad_rows = strcmp(on_error, "skip") == 0;
    r->is_adapter = use_peft || r->adapter;
    r->full_hash = strcmp(hash, "full") == 0;
    return PLUMB_OK;
}

/* Where the record names the pairs of the ledger. */
static plumb_status find_pairs(const json_t *json, const char *command, const char *model, const json_t **out)
{
    static const char *const samplers[] = {"rloo", "grpo", "ppo"};
    *out = json_array_get(json_object_get(json, "data"), 0);
    if (strcmp(command, "dpo") == 0 || strcmp(command, "kto") == 0) return PLUMB_OK;
    if (strcmp(command, "reward") == 0)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "is the record of plumb reward, whose model gives rewards, not log-probs"),
            "plumb reward-score RM DATA tells how they agree with pairs");
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++) {
        if (strcmp(command, samplers[i]) != 0) continue;
        *out = json_array_get(json_object_get(json, "ledger_data"), 0);
        if (*out) return PLUMB_OK;
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "is the record of plumb %s without --ledger_data: there is no ledger", command),
            "compare the two checkpoints on a preference file: plumb trace %s RUN PAIRS", model);
    }
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "is the record of plumb %s, which has no pairs", command),
                      "compare the two checkpoints on a preference file: plumb trace %s RUN PAIRS", model);
}

static plumb_status read_record(const json_t *json, plumb_run_record *r)
{
    const char *command = "";
    const json_t *model = json_object_get(json, "model"), *data = NULL;
    if (!json_is_object(json)) return record_fault("is no record of a run");
    PLUMB_TRY(plumb_json_string(json, "command", &command));
    if (json_is_object(model)) PLUMB_TRY(plumb_json_string(model, "path", &r->model));
    PLUMB_TRY(find_pairs(json, command, r->model ? r->model : "MODEL", &data));
    if (!json_is_object(model) || !json_is_object(data)) return record_fault("names no model and data");
    PLUMB_TRY(plumb_json_string(model, "hash", &r->hash));
    PLUMB_TRY(plumb_json_string(data, "path", &r->data));
    PLUMB_TRY(plumb_json_bool(json, "completed", &r->completed));
    r->template_time = -1;
    PLUMB_TRY(plumb_json_int(json, "template_time", &r->template_time));
    if (!r->model || !r->hash || !r->data) return record_fault("names no model and data");
    return read_options(json, r);
}

plumb_status plumb_run_record_read(const char *folder, plumb_run_record *out)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, "run.json");
    if (!s && !plumb_path_exists(path.data))
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is no run folder: it has no run.json", folder),
                       "plumb trace RUN, or plumb trace BEFORE AFTER DATA for two checkpoints");
    if (!s) s = plumb_json_load(path.data, LARGEST_RECORD, &out->json);
    if (!s) s = plumb_context(read_record(out->json, out), "%s", path.data);
    plumb_text_free(&path);
    return s;
}

void plumb_run_record_free(plumb_run_record *r)
{
    json_decref(r->json);
    *r = (plumb_run_record){0};
}

static plumb_status hash_text(const char *model, bool full, char out[17])
{
    uint64_t hash;
    PLUMB_TRY(plumb_model_hash(model, full, &hash));
    snprintf(out, 17, "%016" PRIx64, hash);
    return PLUMB_OK;
}

plumb_status plumb_run_check_start(const plumb_run_record *r, const char *model)
{
    char text[17];
    PLUMB_TRY(hash_text(model, r->full_hash, text));
    if (strcmp(text, r->hash) == 0) return PLUMB_OK;
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "%s: is not the model that the run began with (%s, now %s)", model, r->hash, text),
        "put it back, or trace the ledger alone: --ledger_only");
}

/* ---- models ---- */

static plumb_status find_master(void *user, const char *name, int dims, const int64_t *shape, plumb_weight *out)
{
    const plumb_tensors *set = user;
    const plumb_tensor *t = plumb_tensors_find(set, name);
    const uint8_t *header;
    size_t header_size;
    const char *file = plumb_tensors_file(set, 0, &header, &header_size);
    if (!t)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s: has no %s", file, name),
            "is it a checkpoint of this model? One of an adapter is traced with its run: plumb trace RUN");
    bool same = t->is_weight && t->dims == dims;
    for (int i = 0; i < dims && same; i++) same = t->shape[i] == shape[i];
    if (!same) return plumb_fail(PLUMB_E_INPUT, "%s: %s has another shape or type than the model's", file, name);
    *out = (plumb_weight){t->data, t->dtype};
    return PLUMB_OK;
}

void plumb_derived_model_close(plumb_derived_model *m)
{
    plumb_model_close(m->model);
    plumb_adapter_free(m->adapter);
    plumb_tensors_close(m->tensors);
    *m = (plumb_derived_model){0};
}

/* A model over base's weights that uses the adapter. */
static plumb_status bind_adapter(const plumb_model *base, plumb_derived_model *m)
{
    PLUMB_TRY(plumb_model_bind(&base->config, base->compute, &base->source, &m->model));
    m->model->folder = base->folder;
    return plumb_model_attach(m->model, m->adapter);
}

static plumb_status bind_masters(const plumb_model *base, plumb_derived_model *m)
{
    const plumb_weight_source source = {.find = find_master, .user = m->tensors};
    return plumb_model_bind(&base->config, base->compute, &source, &m->model);
}

static plumb_status open_masters(const char *folder, plumb_derived_model *m)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, "masters.safetensors");
    if (!s) s = plumb_tensors_open_file(path.data, &m->tensors);
    plumb_text_free(&path);
    return s;
}

static plumb_status open_derived(const plumb_model *base, const char *folder, plumb_derived_model *m)
{
    bool config, adapter, masters;
    PLUMB_TRY(plumb_path_holds(folder, "config.json", &config));
    PLUMB_TRY(plumb_path_holds(folder, "adapter_config.json", &adapter));
    PLUMB_TRY(plumb_path_holds(folder, "masters.safetensors", &masters));
    if (!config && adapter) {
        PLUMB_TRY(plumb_adapter_load(folder, base, &m->adapter));
        return bind_adapter(base, m);
    }
    if (!config && masters) {
        PLUMB_TRY(open_masters(folder, m));
        return bind_masters(base, m);
    }
    return plumb_model_open(folder, base->compute, &m->model);
}

plumb_status plumb_derived_model_open(const plumb_model *base, const char *folder, plumb_derived_model *out)
{
    *out = (plumb_derived_model){0};
    plumb_status s = open_derived(base, folder, out);
    if (s) plumb_derived_model_close(out);
    return s;
}

plumb_status plumb_derived_same_tokenizer(const char *base, const char *folder)
{
    bool there;
    const char *part;
    PLUMB_TRY(plumb_path_holds(folder, "tokenizer.json", &there));
    if (!there) return PLUMB_OK;
    PLUMB_TRY(plumb_tokenizer_compare(base, folder, &part));
    if (!part) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: has another tokenizer than %s: the %s differ", folder, base, part),
                      "give the same model before and after training");
}

/* Does FOLDER/run.json say that plumb made the folder of the model `start`? What is no such record says nothing. */
static plumb_status began_with(const char *folder, const char *start, bool *began)
{
    plumb_text path = {0};
    json_t *json = NULL;
    plumb_status s = plumb_path_join(&path, folder, "run.json");
    if (!s && plumb_path_exists(path.data)) plumb_status_free(plumb_json_load(path.data, LARGEST_RECORD, &json));
    const char *hash = json_string_value(json_object_get(json_object_get(json, "run"), "hash"));
    const char *begun = json_string_value(json_object_get(json_object_get(json, "model"), "hash"));
    char text[17] = "";
    if (!s && begun) s = hash_text(start, hash && strcmp(hash, "full") == 0, text);
    *began = begun && strcmp(text, begun) == 0;
    json_decref(json);
    plumb_text_free(&path);
    return s;
}

plumb_status plumb_check_order(const char *before, const char *after)
{
    bool whole[2], adapter, masters, began = false;
    PLUMB_TRY(plumb_path_holds(before, "config.json", &whole[0]));
    PLUMB_TRY(plumb_path_holds(after, "config.json", &whole[1]));
    PLUMB_TRY(plumb_path_holds(before, "adapter_config.json", &adapter));
    PLUMB_TRY(plumb_path_holds(before, "masters.safetensors", &masters));
    bool is_part = !whole[0] && (adapter || masters);
    if (whole[0] && whole[1]) PLUMB_TRY(began_with(before, after, &began));
    if (!whole[1] || (!is_part && !began)) return PLUMB_OK;
    plumb_status s =
        began ? plumb_fail(PLUMB_E_INPUT, "%s: is what training made of %s, as its run.json says", before, after)
              : plumb_fail(PLUMB_E_INPUT, "%s: is %s, which comes after a model, not before it", before,
                           adapter ? "an adapter" : "a checkpoint-N of a run");
    return plumb_cure(s, "give them the other way round: before training %s, after it %s", after, before);
}

/* An adapter of the shape that the run trains. */
static plumb_status shape_of_adapter(const plumb_run_record *r, const plumb_model *base, plumb_adapter **out)
{
    const json_t *options = json_object_get(r->json, "options"), *targets, *target;
    plumb_adapter_options how = {0};
    int64_t rank = 0;
    size_t i;
    const char **names;
    if (r->adapter) return plumb_adapter_load(r->adapter, base, out);
    PLUMB_TRY(plumb_json_int(options, "lora_r", &rank));
    PLUMB_TRY(plumb_json_number(options, "lora_alpha", &how.alpha));
    PLUMB_TRY(plumb_json_bool(options, "use_rslora", &how.rslora));
    targets = json_object_get(options, "lora_target_modules");
    PLUMB_TRY(plumb_new(&names, json_array_size(targets), sizeof *names));
    json_array_foreach((json_t *)targets, i, target)
    {
        names[i] = json_is_string(target) ? json_string_value(target) : "";
    }
    how.r = (int)rank;
    how.targets = names;
    how.target_count = json_array_size(targets);
    plumb_status s = plumb_adapter_new(base, &how, out);
    free(names);
    return s;
}

static plumb_status copy_master(const plumb_tensors *set, const char *name, int rows, int columns, float *to)
{
    plumb_weight from = {0};
    PLUMB_TRY(find_master((void *)(uintptr_t)set, name, 2, (int64_t[]){rows, columns}, &from));
    if (!from.data) return plumb_fail(PLUMB_E_INTERNAL, "%s: a weight without data", name);
    for (size_t i = 0, n = (size_t)rows * (size_t)columns; i < n; i++) to[i] = plumb_load(from.data, from.dtype, i);
    return PLUMB_OK;
}

static plumb_status open_run_model(const plumb_run_record *r, const plumb_model *base, const char *folder,
                                   plumb_derived_model *m)
{
    PLUMB_TRY(open_masters(folder, m));
    if (!r->is_adapter) return bind_masters(base, m);
    PLUMB_TRY(shape_of_adapter(r, base, &m->adapter));
    for (size_t i = 0; i < m->adapter->count; i++) {
        const plumb_adapted *a = &m->adapter->list[i];
        PLUMB_TRY(copy_master(m->tensors, a->names[0], m->adapter->r, a->k, a->a));
        PLUMB_TRY(copy_master(m->tensors, a->names[1], a->n, m->adapter->r, a->b));
    }
    return bind_adapter(base, m);
}

plumb_status plumb_run_model_open(const plumb_run_record *r, const plumb_model *base, const char *run, int64_t step,
                                  plumb_derived_model *out)
{
    plumb_text folder = {0};
    *out = (plumb_derived_model){0};
    plumb_status s = plumb_text_printf(&folder, "%s/checkpoint-%" PRId64, run, step);
    if (!s) s = open_run_model(r, base, folder.data, out);
    if (s) plumb_derived_model_close(out);
    plumb_text_free(&folder);
    return s;
}

/* ---- the ledger's tokens ---- */

static plumb_status read_token(const json_t *json, const plumb_token_groups *groups, plumb_arena *arena,
                               plumb_traced_token *out)
{
    int64_t token = -1;
    if (!json_is_object(json)) return plumb_fail(PLUMB_E_INPUT, "a token is %s", plumb_json_kind(json));
    PLUMB_TRY(plumb_json_int(json, "token", &token));
    PLUMB_TRY(plumb_json_number(json, "p_before", &out->change.before));
    PLUMB_TRY(plumb_json_number(json, "p_after", &out->change.after));
    if (token < 0 || token > INT32_MAX) return plumb_fail(PLUMB_E_INPUT, "\"token\" is no token id");
    out->change.token = (int32_t)token;
    const json_t *text = json_object_get(json, "text");
    if (!json_is_string(text)) return PLUMB_OK;
    out->text_size = json_string_length(text);
    PLUMB_TRY(plumb_token_groups_find(groups, json_string_value(text), out->text_size, &out->classes));
    return plumb_arena_copy(arena, &out->text, json_string_value(text), out->text_size);
}

static plumb_status read_list(const json_t *row, const char *key, const plumb_token_groups *groups,
                              plumb_ledger_tokens *t, plumb_traced_token **list, int *count)
{
    const json_t *array = json_object_get(row, key);
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > INT32_MAX)
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a list of tokens", key, plumb_json_kind(array));
    PLUMB_TRY(plumb_arena_new(&t->arena, list, n, sizeof **list));
    for (size_t i = 0; i < n; i++)
        PLUMB_TRY(plumb_context(read_token(json_array_get(array, i), groups, &t->arena, &(*list)[i]), "\"%s\"", key));
    *count = (int)n;
    if (*count > t->most) t->most = *count;
    return PLUMB_OK;
}

static plumb_status read_tokens(const json_t *row, const plumb_ledger_file *ledger, const plumb_token_groups *groups,
                                plumb_ledger_tokens *t)
{
    plumb_row_key key;
    int64_t step = -1, position = 0, number;
    PLUMB_TRY(plumb_json_int(row, "step", &step));
    if (step != ledger->steps[ledger->step_count - 1] || !json_object_get(row, "gained")) return PLUMB_OK;
    PLUMB_TRY(plumb_row_key_read(row, "a ledger", &key));
    PLUMB_TRY(plumb_ledger_find(ledger, key.index, &key.row, &number));
    if (number < 0) return PLUMB_OK;
    plumb_traced_place *place = &t->places[number];
    PLUMB_TRY(plumb_json_int(row, "position", &position));
    place->position = (int)position;
    PLUMB_TRY(read_list(row, "gained", groups, t, &place->gained, &place->gained_count));
    PLUMB_TRY(read_list(row, "lost", groups, t, &place->lost, &place->lost_count));
    t->there[number] = true;
    return PLUMB_OK;
}

typedef struct token_reading {
    const plumb_ledger_file *ledger;
    const plumb_token_groups *groups;
    plumb_ledger_tokens *tokens;
} token_reading;

static plumb_status use_token_row(void *user, const plumb_row *row)
{
    const token_reading *r = user;
    json_t *json = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &json));
    plumb_status s = read_tokens(json, r->ledger, r->groups, r->tokens);
    json_decref(json);
    return s;
}

plumb_status plumb_ledger_tokens_read(const char *run, const plumb_ledger_file *ledger,
                                      const plumb_token_groups *groups, const plumb_sink *sink,
                                      plumb_ledger_tokens *out)
{
    plumb_text path = {0};
    token_reading r = {ledger, groups, out};
    plumb_row_walk walk = {.end = -1, .sink = sink, .use = use_token_row, .user = &r};
    plumb_status s = plumb_arena_new(&out->arena, &out->places, ledger->count, sizeof *out->places);
    if (!s) s = plumb_arena_new(&out->arena, &out->there, ledger->count, sizeof *out->there);
    if (!s) s = plumb_path_join(&path, run, "ledger.jsonl");
    walk.path = path.data;
    if (!s) s = plumb_row_walk_all(&walk);
    plumb_text_free(&path);
    return s;
}

void plumb_ledger_tokens_free(plumb_ledger_tokens *t)
{
    plumb_arena_free(&t->arena);
    *t = (plumb_ledger_tokens){0};
}

/* ---- courses and rows ---- */

plumb_status plumb_ledger_course(const plumb_ledger_file *l, size_t pair, bool one_token,
                                 const plumb_course_point *points, size_t point_count, plumb_arena *arena,
                                 plumb_course_point **out, size_t *count)
{
    size_t next = 0;
    PLUMB_TRY(plumb_arena_new(arena, out, l->step_count + point_count, sizeof **out));
    *count = 0;
    for (size_t i = 0; i < l->step_count; i++) {
        size_t at = i * l->count + pair;
        plumb_course_point p = {l->steps[i], {l->logps[0][at], l->logps[1][at]}, one_token ? l->logps[0][at] : NAN};
        while (next < point_count && points[next].step < p.step) (*out)[(*count)++] = points[next++];
        if (next < point_count && points[next].step == p.step) p.first = points[next++].first;
        if (!isnan(p.logps[0])) (*out)[(*count)++] = p;
    }
    while (next < point_count) (*out)[(*count)++] = points[next++];
    return PLUMB_OK;
}

static plumb_status own_token(const plumb_trace_options *o, int32_t token, plumb_arena *arena, plumb_traced_token *out)
{
    *out = (plumb_traced_token){.change = {token, NAN, NAN}};
    PLUMB_TRY(plumb_traced_token_fill(o->tokenizer, NULL, 0, arena, out));
    if (plumb_tokenizer_is_special(o->tokenizer, token)) return PLUMB_OK;
    return plumb_token_groups_find(o->groups, out->text, out->text_size, &out->classes);
}

/* Its probabilities, where it is one of the listed tokens. */
static void find_own(const plumb_traced_token *list, int count, plumb_traced_token *own)
{
    for (int i = 0; i < count; i++)
        if (list[i].change.token == own->change.token) own->change = list[i].change;
}

static plumb_status place_of(const plumb_traced_place *listed, const plumb_pair *pair, const plumb_trace_options *o,
                             plumb_arena *arena, plumb_trace_row *out)
{
    plumb_traced_place *place = &out->place;
    int position = plumb_differing_position(pair);
    if (listed->position != position)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "row %" PRId64 ": the responses differ at token %d, but at %d in the ledger",
                                     out->index, position, listed->position),
                          "tokenizer, chat template and max_length must be those of the run");
    *place = *listed;
    PLUMB_TRY(own_token(o, pair->ids[0].data[pair->prompt + position], arena, &place->chosen));
    find_own(place->gained, place->gained_count, &place->chosen);
    find_own(place->lost, place->lost_count, &place->chosen);
    plumb_classes own = place->chosen.classes, opposite = plumb_token_groups_opposites(o->groups, own);
    if (place->gained_count > o->top) place->gained_count = o->top;
    if (place->lost_count > o->top) place->lost_count = o->top;
    for (int i = 0; i < listed->gained_count; i++) {
        const plumb_traced_token *token = &listed->gained[i];
        if (token->change.token != place->chosen.change.token)
            plumb_gains_add(&place->gains, own, opposite, token->classes, token->change.after - token->change.before);
    }
    out->has_place = out->listed_only = true;
    return PLUMB_OK;
}

/* The first token's log-probs: those of a response of one token, or of a token that the ledger lists. */
static void set_first(plumb_trace_row *row)
{
    const plumb_token_change *listed = &row->place.chosen.change;
    bool known = row->has_place && row->place.position == 0;
    row->first_logps[0] = row->chosen_tokens == 1 ? row->before[0] : known ? log(listed->before) : NAN;
    row->first_logps[1] = row->chosen_tokens == 1 ? row->after[0] : known ? log(listed->after) : NAN;
}

plumb_status plumb_ledger_trace(const plumb_ledger_file *ledger, const plumb_ledger_tokens *tokens, size_t number,
                                const plumb_pair *pair, const plumb_trace_options *o, plumb_arena *arena,
                                plumb_trace_row *out)
{
    plumb_course_point *course;
    size_t count;
    *out = (plumb_trace_row){.index = ledger->pairs[number].index,
                             .row = ledger->pairs[number].row,
                             .chosen_tokens = (int)pair->ids[0].count - pair->prompt,
                             .single = plumb_pair_is_single(pair, o->tokenizer, o->eos)};
    PLUMB_TRY(plumb_ledger_course(ledger, number, out->chosen_tokens == 1, NULL, 0, arena, &course, &count));
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(own_token(o, pair->ids[s].data[pair->prompt], arena, &out->first[s]));
        out->before[s] = count ? course[0].logps[s] : NAN;
        out->after[s] = count ? course[count - 1].logps[s] : NAN;
    }
    out->course = course;
    out->course_count = count;
    out->drop = plumb_course_drop(course, count);
    if (tokens && tokens->there[number]) PLUMB_TRY(place_of(&tokens->places[number], pair, o, arena, out));
    set_first(out);
    out->place.verdict = out->has_place ? plumb_gains_verdict(&out->place.gains, out->after[0] - out->before[0])
                         : plumb_trace_fell(out) ? PLUMB_VERDICT_UNKNOWN
                                                 : PLUMB_VERDICT_NONE;
    return PLUMB_OK;
}
