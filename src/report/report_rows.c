/* Rows of each kind: their fields into the report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "report/report_data.h"

const plumb_report_measure plumb_report_measures[PLUMB_REPORT_MEASURES] = {
    {"ln_ches", "length-normalised CHES", false},    {"ches", "CHES", false},
    {"alpha_ches", "CHES with coefficients", false}, {"last_hidden", "last hidden states, inner product", false},
    {"edit_similarity", "edit similarity", false},   {"rate", "predicted rate of ln \xCF\x80(y\xE2\x81\xBA)", true},
};

const char *const plumb_report_verdicts[PLUMB_REPORT_VERDICTS] = {"none", "benign", "catastrophic", "other"};
const char *const plumb_judge_labels[PLUMB_REPORT_LABELS] = {"refusal", "compliance", "evasive", "empty", "unreadable"};

/* NaN for a missing member and for null. */
static plumb_status number(const json_t *row, const char *key, double *out)
{
    *out = NAN;
    return plumb_json_number(row, key, out);
}

static plumb_status read_measures(plumb_report_pair *pair, const json_t *row)
{
    for (int i = 0; i < PLUMB_REPORT_MEASURES; i++) {
        double value, *mine = &pair->measure[i];
        PLUMB_TRY(number(row, plumb_report_measures[i].field, &value));
        if (!isfinite(value)) continue;
        if (isfinite(*mine) && fabs(*mine - value) > 1e-6 * fmax(fabs(*mine), fabs(value)))
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "row %lld has two different scores, %s %.9g and %.9g",
                                         (long long)pair->index, plumb_report_measures[i].field, *mine, value),
                              "give the scores of one model; plumb identify compares those of several");
        *mine = value;
    }
    return PLUMB_OK;
}

plumb_status plumb_report_read_score(plumb_report *r, const json_t *row)
{
    plumb_row_key key;
    size_t at;
    PLUMB_TRY(plumb_row_key_read(row, "plumb score", &key));
    PLUMB_TRY(plumb_report_pair_at(r, &key, &at));
    plumb_report_pair *pair = &r->pairs[at];
    if (json_object_get(row, "skipped")) {
        pair->skipped = true;
        return PLUMB_OK;
    }
    pair->scored = true;
    return read_measures(pair, row);
}

static const char *const metric_names[PLUMB_REPORT_METRICS] = {"logps/chosen",
                                                               "logps/chosen_q05",
                                                               "logps/chosen_q50",
                                                               "logps/chosen_q95",
                                                               "logps/rejected",
                                                               "logps/rejected_q05",
                                                               "logps/rejected_q50",
                                                               "logps/rejected_q95",
                                                               "reward",
                                                               "reward_std",
                                                               "reward_group_std",
                                                               "prompts_without_spread",
                                                               "frac_reward_zero_std",
                                                               "kl",
                                                               "objective/kl",
                                                               "generated_tokens",
                                                               "accuracy",
                                                               "margin",
                                                               "mean_reward"};

plumb_status plumb_report_read_metric(plumb_report_run *run, const json_t *row)
{
    double step;
    PLUMB_TRY(number(row, "step", &step));
    if (isnan(step)) return plumb_fail(PLUMB_E_INPUT, "\"step\" is missing: this is not a row of metrics");
    size_t need = run->metric_count + 1, capacity = run->metric_capacity;
    PLUMB_TRY(plumb_reserve(&run->metric_step, &capacity, need, sizeof *run->metric_step));
    capacity = run->metric_capacity;
    PLUMB_TRY(plumb_reserve(&run->metrics, &capacity, need, PLUMB_REPORT_METRICS * sizeof *run->metrics));
    run->metric_capacity = capacity;
    double *values = run->metrics + run->metric_count * PLUMB_REPORT_METRICS;
    for (int i = 0; i < PLUMB_REPORT_METRICS; i++) PLUMB_TRY(number(row, metric_names[i], &values[i]));
    if (isnan(values[PLUMB_METRIC_REWARD])) /* PPO of TRL has no other name for it */
        PLUMB_TRY(number(row, "objective/scores", &values[PLUMB_METRIC_REWARD]));
    if (isnan(values[PLUMB_METRIC_CHOSEN + 2])) { /* without pairs' log-probs: of KTO, and of TRL's DPO */
        if (isnan(values[PLUMB_METRIC_ACCURACY]))
            PLUMB_TRY(number(row, "rewards/accuracies", &values[PLUMB_METRIC_ACCURACY]));
        if (isnan(values[PLUMB_METRIC_MARGIN])) PLUMB_TRY(number(row, "rewards/margins", &values[PLUMB_METRIC_MARGIN]));
    }
    run->metric_step[run->metric_count++] = step;
    return PLUMB_OK;
}

/* ---- tokens that gained ---- */

static plumb_status gaining_token(plumb_gaining *g, const json_t *item, plumb_gaining_token **out)
{
    int64_t id = -1;
    size_t at;
    PLUMB_TRY(plumb_json_int(item, "token", &id));
    if (id < 0) return plumb_fail(PLUMB_E_INPUT, "\"token\" of a token that gained is missing");
    PLUMB_TRY(plumb_position_get(&g->map, id, g->count, &at));
    if (at == g->count) {
        PLUMB_TRY(plumb_reserve(&g->tokens, &g->capacity, g->count + 1, sizeof *g->tokens));
        plumb_gaining_token *token = &g->tokens[g->count];
        *token = (plumb_gaining_token){.token = id};
        PLUMB_TRY(plumb_new(&token->gain, g->steps, sizeof *token->gain));
        g->count++;
        const json_t *text = json_object_get(item, "text");
        if (json_is_string(text)) {
            token->text_size = json_string_length(text);
            PLUMB_TRY(plumb_new(&token->text, token->text_size + 1, 1));
            memcpy(token->text, json_string_value(text), token->text_size);
        }
        const json_t *classes = json_object_get(item, "class");
        if (json_is_array(classes)) classes = json_array_get(classes, 0);
        const char *name = json_string_value(classes);
        if (name && strcmp(name, "none") != 0) strncat(token->class_name, name, sizeof token->class_name - 1);
    }
    *out = &g->tokens[at];
    return PLUMB_OK;
}

static plumb_status add_gained(plumb_gaining *g, size_t step, const json_t *row)
{
    const json_t *gained = json_object_get(row, "gained"), *item;
    size_t i;
    if (!gained || json_is_null(gained)) return PLUMB_OK;
    if (!json_is_array(gained))
        return plumb_fail(PLUMB_E_INPUT, "\"gained\" is %s; expected a list", plumb_json_kind(gained));
    g->pairs[step]++;
    json_array_foreach(gained, i, item)
    {
        plumb_gaining_token *token = NULL;
        double before, after;
        if (!json_is_object(item))
            return plumb_fail(PLUMB_E_INPUT, "\"gained\" holds %s; expected objects", plumb_json_kind(item));
        PLUMB_TRY(gaining_token(g, item, &token));
        PLUMB_TRY(number(item, "p_before", &before));
        PLUMB_TRY(number(item, "p_after", &after));
        if (token && isfinite(after - before)) token->gain[step] += after - before;
    }
    return PLUMB_OK;
}

plumb_status plumb_report_read_gained(plumb_report_run *run, const json_t *row)
{
    int64_t step = -1;
    PLUMB_TRY(plumb_json_int(row, "step", &step));
    for (size_t i = 0; i < run->ledger.step_count; i++)
        if (run->ledger.steps[i] == step) return add_gained(&run->gaining, i, row);
    return PLUMB_OK;
}

plumb_status plumb_report_read_trace(plumb_report *r, plumb_report_run *run, const json_t *row)
{
    plumb_row_key key;
    size_t at;
    const char *verdict = NULL;
    double change[2];
    if (json_object_get(row, "skipped")) return PLUMB_OK;
    PLUMB_TRY(plumb_row_key_read(row, "plumb trace", &key));
    PLUMB_TRY(plumb_report_pair_at(r, &key, &at));
    PLUMB_TRY(number(row, "dlogp_chosen", &change[0]));
    PLUMB_TRY(number(row, "dlogp_rejected", &change[1]));
    PLUMB_TRY(plumb_reserve(&run->trace_keys, &run->trace_capacity, run->trace_count + 1, sizeof *run->trace_keys));
    PLUMB_TRY(plumb_reserve(&run->trace_changes, &run->trace_change_capacity, 2 * (run->trace_count + 1),
                            sizeof *run->trace_changes));
    run->trace_keys[run->trace_count] = key;
    memcpy(run->trace_changes + 2 * run->trace_count++, change, sizeof change);
    PLUMB_TRY(plumb_json_string(row, "verdict", &verdict));
    for (int i = 0; verdict && i < PLUMB_REPORT_VERDICTS; i++) {
        if (strcmp(verdict, plumb_report_verdicts[i]) != 0) continue;
        r->pairs[at].verdict = i;
        run->verdicts[i]++;
    }
    return add_gained(&run->gaining, 0, row);
}

/* ---- judgements and explanations ---- */

static plumb_status judge_category(plumb_report_judge *j, const char *name, plumb_judge_share **out)
{
    for (size_t i = 0; i < j->category_count; i++) {
        if (strcmp(j->categories[i].name, name) != 0) continue;
        *out = &j->categories[i];
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_reserve(&j->categories, &j->category_capacity, j->category_count + 1, sizeof *j->categories));
    *out = &j->categories[j->category_count];
    **out = (plumb_judge_share){.name = strdup(name)};
    if (!(*out)->name) return plumb_no_memory();
    j->category_count++;
    return PLUMB_OK;
}

plumb_status plumb_report_read_judge(plumb_report_judge *judge, const json_t *row)
{
    const char *label = NULL, *category = NULL;
    plumb_judge_share *share;
    PLUMB_TRY(plumb_json_string(row, "label", &label));
    PLUMB_TRY(plumb_json_string(row, "category", &category));
    if (!label && json_is_null(json_object_get(row, "label"))) {
        judge->unread++;
        return PLUMB_OK;
    }
    if (!label) return plumb_fail(PLUMB_E_INPUT, "\"label\" is missing: this is not a row of plumb judge");
    int known = -1;
    for (int i = 0; i < PLUMB_REPORT_LABELS; i++)
        if (strcmp(label, plumb_judge_labels[i]) == 0) known = i;
    if (known < 0)
        return plumb_fail(PLUMB_E_INPUT,
                          "\"label\" is \"%.40s\"; expected refusal, compliance, evasive, empty or "
                          "unreadable",
                          label);
    judge->labels[known]++;
    judge->all.total++;
    judge->all.refusals += known == 0;
    if (!category) return PLUMB_OK;
    PLUMB_TRY(judge_category(judge, category, &share));
    share->total++;
    share->refusals += known == 0;
    return PLUMB_OK;
}

plumb_status plumb_report_read_explain(plumb_report *r, const json_t *row)
{
    plumb_row_key key;
    size_t at;
    PLUMB_TRY(plumb_row_key_read(row, "plumb explain", &key));
    PLUMB_TRY(plumb_report_pair_at(r, &key, &at));
    if (!json_is_object(json_object_get(row, "chosen"))) { /* a skipped pair */
        r->pairs[at].skipped = true;
        return PLUMB_OK;
    }
    if (json_array_append(r->explain_rows, (json_t *)row)) return plumb_no_memory();
    r->explained += r->pairs[at].explain == NULL;
    r->pairs[at].explain = row;
    return read_measures(&r->pairs[at], row);
}
