#include "cli/reward_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "align/reward.h"
#include "cli/reward_command.h"
#include "io/json.h"
#include "model/reward_model.h"
#include "study/judge_rules.h"

/* One of the rewards. */
typedef struct source {
    const plumb_reward_source_options *how;
    char name[PLUMB_REWARD_NAME];
    /* a reward model */
    const char *folder;
    plumb_reward_model reward;
    plumb_rewarder *rewarder;
    plumb_judge_rules *rules;
    const char *command;
} source;

struct plumb_reward_sources {
    plumb_reward_source_options how;
    source *list;
    plumb_reward_function *functions;
    size_t count;
};

/* ---- what a completion says ---- */

static plumb_status response_text(const source *s, const plumb_rollout *r, size_t i, plumb_text *out)
{
    const plumb_example *e = &r->completions.list[i];
    plumb_text_clear(out);
    PLUMB_TRY(plumb_text_string(out, "")); /* data is not NULL then */
    return plumb_tokenizer_decode(s->how->encoder->tokenizer, e->ids[0] + e->prompt, (size_t)(e->totals[0] - e->prompt),
                                  true, out);
}

static plumb_status blame_row(const source *s, const plumb_rollout *r, size_t i, plumb_status status)
{
    return plumb_context(status, "row %" PRId64 ", sample %zu", r->prompts[i]->index, i % (size_t)s->how->group);
}

/* ---- a reward model ---- */

/* The conversation with the completion as the assistant's turn, through the reward model's own template; of plain text
 * prompt and completion one after the other. As TRL, without further special tokens. */
static plumb_status whole_text(const source *s, const char *prompt_json, const plumb_text *response, plumb_text *out)
{
    json_t *prompt = NULL;
    plumb_text_clear(out);
    PLUMB_TRY(plumb_json_parse(prompt_json, strlen(prompt_json), false, "prompt", &prompt));
    plumb_status status = PLUMB_OK;
    if (json_is_array(prompt)) {
        json_t *turn = json_pack("{s:s, s:s%}", "role", "assistant", "content", response->data, response->size);
        status = !turn || json_array_append_new(prompt, turn) ? plumb_no_memory() : PLUMB_OK;
        if (!status) status = plumb_encoder_render(s->reward.encoder, prompt, false, out);
    } else {
        status = plumb_text_append(out, json_string_value(prompt), json_string_length(prompt));
        if (!status) status = plumb_text_append(out, response->data, response->size);
    }
    json_decref(prompt);
    return status;
}

static plumb_status encode(const source *s, const plumb_rollout *r, size_t i, plumb_text text[2], plumb_ids *ids,
                           plumb_reward_sequence *out)
{
    PLUMB_TRY(response_text(s, r, i, &text[0]));
    PLUMB_TRY(whole_text(s, r->prompts[i]->json, &text[0], &text[1]));
    PLUMB_TRY(plumb_tokenizer_encode(s->reward.encoder->tokenizer, text[1].data ? text[1].data : "", text[1].size,
                                     false, ids));
    if (!ids->count) return plumb_fail(PLUMB_E_INPUT, "prompt and completion have no token");
    *out = (plumb_reward_sequence){.ids = {ids->data}, .counts = {(int)ids->count}, .sides = 1};
    return PLUMB_OK;
}

/* What one call holds. */
typedef struct scoring {
    plumb_text text[2];
    plumb_ids *ids; /* [count] */
    plumb_reward_sequence *sequences;
    double (*rewards)[2];
} scoring;

static plumb_status score_all(const source *s, const plumb_rollout *r, scoring *x, double *rewards)
{
    PLUMB_TRY(plumb_new(&x->ids, r->count, sizeof *x->ids));
    PLUMB_TRY(plumb_new(&x->sequences, r->count, sizeof *x->sequences));
    PLUMB_TRY(plumb_new(&x->rewards, r->count, sizeof *x->rewards));
    for (size_t i = 0; i < r->count; i++)
        PLUMB_TRY(blame_row(s, r, i, encode(s, r, i, x->text, &x->ids[i], &x->sequences[i])));
    PLUMB_TRY(plumb_rewarder_run(s->rewarder, x->sequences, r->count, x->rewards));
    for (size_t i = 0; i < r->count; i++) rewards[i] = x->rewards[i][0];
    return PLUMB_OK;
}

static plumb_status score_by_model(void *user, const plumb_rollout *r, double *rewards)
{
    scoring x = {.ids = NULL};
    plumb_status s = score_all(user, r, &x, rewards);
    for (size_t i = 0; x.ids && i < r->count; i++) plumb_ids_free(&x.ids[i]);
    plumb_text_free(&x.text[0]);
    plumb_text_free(&x.text[1]);
    free(x.ids);
    free(x.sequences);
    free(x.rewards);
    return s;
}

static plumb_status open_model(source *s, const char *folder)
{
    s->folder = folder;
    PLUMB_TRY(plumb_reward_model_open(folder, NULL, NULL, s->how->compute, &s->reward));
    return plumb_rewarder_new(s->reward.model, s->how->sink, &s->rewarder);
}

/* ---- rules ---- */

static plumb_status score_by_rules(void *user, const plumb_rollout *r, double *rewards)
{
    const source *s = user;
    plumb_text text = {0};
    plumb_status status = PLUMB_OK;
    for (size_t i = 0; i < r->count && !status; i++) {
        plumb_verdict verdict = {.label = PLUMB_NO_LABEL};
        status = response_text(s, r, i, &text);
        if (!status) status = plumb_judge_rules_apply(s->rules, text.data, text.size, &verdict);
        rewards[i] = verdict.label == s->how->label;
    }
    plumb_text_free(&text);
    return status;
}

static plumb_status open_rules(source *s)
{
    return s->how->rules ? plumb_judge_rules_load(s->how->rules, &s->rules) : plumb_judge_rules_english(&s->rules);
}

/* ---- a command ---- */

static plumb_status put_row(const source *s, const plumb_rollout *r, size_t i, plumb_text *text, plumb_text *rows)
{
    PLUMB_TRY(response_text(s, r, i, text));
    PLUMB_TRY(plumb_text_printf(
        rows, "{\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\",\"sample\":%zu,\"prompt\":%s,\"response\":",
        r->prompts[i]->index, r->prompts[i]->row, i % (size_t)s->how->group, r->prompts[i]->json));
    PLUMB_TRY(plumb_json_quote(rows, text->data, text->size));
    return plumb_text_string(rows, "}\n");
}

static plumb_status score_by_command(void *user, const plumb_rollout *r, double *rewards)
{
    const source *s = user;
    plumb_reward_command how = {s->command, s->how->timeout, s->how->sink};
    plumb_text rows = {0}, text = {0};
    int64_t bad;
    plumb_status status = PLUMB_OK;
    for (size_t i = 0; i < r->count && !status; i++) status = put_row(s, r, i, &text, &rows);
    if (!status) {
        status = plumb_reward_command_run(&how, &rows, r->count, rewards, &bad);
        if (bad >= 0) status = blame_row(s, r, (size_t)bad, status);
        status = plumb_context(status, "%s", s->command);
    }
    plumb_text_free(&rows);
    plumb_text_free(&text);
    return status;
}

/* ---- all of them ---- */

bool plumb_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* The last part of a path. */
static void folder_name(const char *path, char *out, size_t size)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t first = n;
    while (first > 0 && path[first - 1] != '/') first--;
    snprintf(out, size, "%.*s", (int)(n - first), path + first);
}

static void name_source(const plumb_reward_sources *r, size_t at, const char *base)
{
    source *s = &r->list[at];
    int number = 1;
    snprintf(s->name, sizeof s->name, "%.48s", base);
    for (size_t i = 0; i < at; i++)
        if (strcmp(r->list[i].name, s->name) == 0) {
            snprintf(s->name, sizeof s->name, "%.48s_%d", base, ++number);
            i = (size_t)-1; /* from the first again */
        }
}

static plumb_status open_source(plumb_reward_sources *r, size_t at)
{
    source *s = &r->list[at];
    const char *value = r->how.rewards->items[at];
    plumb_reward_function *f = &r->functions[at];
    char base[256];
    s->how = &r->how;
    *f = (plumb_reward_function){.weight = r->how.weights->count ? r->how.weights->items[at] : 1, .user = s};
    f->name = s->name;
    if (plumb_is_folder(value)) {
        folder_name(value, base, sizeof base);
        name_source(r, at, base);
        f->score = score_by_model;
        return open_model(s, value);
    }
    bool rules = strcmp(value, "rules") == 0;
    name_source(r, at, rules ? "rules" : "command");
    f->score = rules ? score_by_rules : score_by_command;
    s->command = value;
    if (rules) return open_rules(s);
    plumb_reward_command command = {s->command, r->how.timeout, r->how.sink};
    return plumb_reward_command_check(&command);
}

/* Which of the rewards fails; what is said of a model names its folder. */
static plumb_status blame_source(const plumb_reward_sources *r, size_t at, plumb_status s)
{
    return r->list[at].folder ? plumb_context(s, "--reward")
                              : plumb_context(s, "--reward %s", r->how.rewards->items[at]);
}

static plumb_status open_all(plumb_reward_sources *r)
{
    size_t n = r->how.rewards->count;
    if (!n)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--reward is missing"),
                          "give a reward model's folder, rules, or a command");
    if (r->how.weights->count && r->how.weights->count != n)
        return plumb_fail(PLUMB_E_INPUT, "--reward_weights: %zu numbers for %zu rewards", r->how.weights->count, n);
    PLUMB_TRY(plumb_new(&r->list, n, sizeof *r->list));
    PLUMB_TRY(plumb_new(&r->functions, n, sizeof *r->functions));
    for (; r->count < n; r->count++) PLUMB_TRY(blame_source(r, r->count, open_source(r, r->count)));
    return PLUMB_OK;
}

plumb_status plumb_reward_sources_open(const plumb_reward_source_options *how, plumb_reward_sources **out)
{
    plumb_reward_sources *r;
    *out = NULL;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->how = *how;
    plumb_status s = open_all(r);
    if (s) {
        plumb_reward_sources_close(r);
        return s;
    }
    *out = r;
    return PLUMB_OK;
}

static plumb_status try_prompts(const source *s, const plumb_prompts *prompts)
{
    plumb_text nothing = {0}, text = {0};
    plumb_status status = plumb_text_string(&nothing, "");
    for (size_t i = 0; i < prompts->count && !status; i++) {
        status = plumb_check_interrupt(s->how->sink);
        if (!status)
            status = plumb_context(whole_text(s, prompts->list[i].json, &nothing, &text), "%s: prompt of row %" PRId64,
                                   s->folder, prompts->list[i].index);
    }
    plumb_text_free(&nothing);
    plumb_text_free(&text);
    return status;
}

plumb_status plumb_reward_sources_try(const plumb_reward_sources *r, const plumb_prompts *prompts)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->list[i].folder) PLUMB_TRY(blame_source(r, i, try_prompts(&r->list[i], prompts)));
    return PLUMB_OK;
}

void plumb_reward_sources_close(plumb_reward_sources *r)
{
    if (!r) return;
    for (size_t i = 0; r->list && i < r->how.rewards->count; i++) {
        plumb_rewarder_free(r->list[i].rewarder);
        plumb_reward_model_close(&r->list[i].reward);
        plumb_judge_rules_free(r->list[i].rules);
    }
    free(r->list);
    free(r->functions);
    free(r);
}

const plumb_reward_function *plumb_reward_functions(const plumb_reward_sources *r, size_t *count)
{
    *count = r->count;
    return r->functions;
}

const char *plumb_reward_model_folder(const plumb_reward_sources *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->list[i].folder) return r->list[i].folder;
    return NULL;
}
