#include "study/response_pairs.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One of the two responses of a prompt; references of its own. */
typedef struct side {
    json_t *response;
    plumb_judgement judgement;
    double criterion; /* higher is better; NaN: none */
} side;

typedef struct maker {
    const plumb_judgements *labels;
    const plumb_pair_choice *choice;
    plumb_output *output;
    plumb_pair_report *report;
    bool *used;   /* [labels] has a response */
    bool *closed; /* [labels] of the first label of a prompt: all its responses were read */
    side sides[2];
    json_t *prompt;
    plumb_row_key key;
    size_t group; /* the prompt's first label */
    int count;    /* responses of it so far */
    bool has[2], is_open;
    plumb_text line;
} maker;

const char *plumb_pair_field(const plumb_pair_choice *choice)
{
    return strcmp(choice->criterion, "score") == 0 || strcmp(choice->criterion, "length") == 0 ? NULL
                                                                                               : choice->criterion;
}

/* ---- the choice ---- */

static plumb_pair_class class_of(plumb_label a, plumb_label b)
{
    if (a == b && a == PLUMB_REFUSAL) return PLUMB_TWO_REFUSALS;
    if (a == b && a == PLUMB_COMPLIANCE) return PLUMB_TWO_COMPLIANCES;
    bool refuses = a == PLUMB_REFUSAL || b == PLUMB_REFUSAL, complies = a == PLUMB_COMPLIANCE || b == PLUMB_COMPLIANCE;
    return refuses && complies ? PLUMB_ONE_OF_EACH : PLUMB_OTHER_PAIR;
}

static int rank_of(const plumb_pair_choice *choice, plumb_label label)
{
    if (label == choice->prefer) return 2;
    return label == PLUMB_EMPTY || label == PLUMB_UNREADABLE ? 0 : 1;
}

/* What becomes of two labelled responses; *chosen is the number of the better one. */
static plumb_pair_fate decide(const maker *m, int *chosen)
{
    const side *a = &m->sides[0], *b = &m->sides[1];
    int rank[2] = {rank_of(m->choice, a->judgement.label), rank_of(m->choice, b->judgement.label)};
    *chosen = rank[1] > rank[0];
    if (json_equal(a->response, b->response)) return PLUMB_PAIR_IDENTICAL;
    if (m->choice->gold && class_of(a->judgement.label, b->judgement.label) != PLUMB_ONE_OF_EACH)
        return PLUMB_PAIR_NOT_GOLD;
    if (rank[0] != rank[1]) return PLUMB_PAIR_BY_LABEL;
    if (!rank[0]) return PLUMB_PAIR_MALFORMED;
    *chosen = b->criterion > a->criterion;
    return a->criterion > b->criterion || b->criterion > a->criterion ? PLUMB_PAIR_BY_CRITERION : PLUMB_PAIR_EQUAL;
}

/* ---- writing ---- */

static plumb_status append_json(plumb_text *t, const char *key, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) return plumb_no_memory();
    plumb_status s = plumb_text_printf(t, "%s\"%s\":%s", t->size ? "," : "{", key, text);
    free(text);
    return s;
}

/* A string after a conversation becomes its next message. */
static plumb_status append_response(const maker *m, const char *key, json_t *response, plumb_text *t)
{
    if (json_is_array(m->prompt) == json_is_array(response)) return append_json(t, key, response);
    json_t *list = json_pack("[{s:s, s:O}]", "role", "assistant", "content", response);
    if (!list) return plumb_no_memory();
    plumb_status s = append_json(t, key, list);
    json_decref(list);
    return s;
}

static plumb_status write_pair(maker *m, int chosen, plumb_pair_fate fate)
{
    const side *c = &m->sides[chosen], *r = &m->sides[!chosen];
    const char *by = fate == PLUMB_PAIR_BY_LABEL ? "label" : m->choice->criterion;
    if (!m->output) return PLUMB_OK;
    plumb_text_clear(&m->line);
    PLUMB_TRY(append_json(&m->line, "prompt", m->prompt));
    PLUMB_TRY(append_response(m, "chosen", c->response, &m->line));
    PLUMB_TRY(append_response(m, "rejected", r->response, &m->line));
    PLUMB_TRY(plumb_text_printf(&m->line, ",\"chosen_label\":\"%s\",\"rejected_label\":\"%s\",\"by\":",
                                plumb_label_name(c->judgement.label), plumb_label_name(r->judgement.label)));
    PLUMB_TRY(plumb_json_quote(&m->line, by, strlen(by)));
    PLUMB_TRY(plumb_text_printf(&m->line, ",\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\",\"samples\":[%d,%d]}\n",
                                m->key.index, m->key.row, c->judgement.sample, r->judgement.sample));
    return plumb_output_write(m->output, m->line.data, m->line.size);
}

/* ---- prompts ---- */

static void drop(maker *m)
{
    json_decref(m->prompt);
    m->prompt = NULL;
    for (int i = 0; i < 2; i++) {
        json_decref(m->sides[i].response);
        m->sides[i] = (side){0};
        m->has[i] = false;
    }
    m->count = 0;
    m->is_open = false;
}

/* All responses of a prompt were read. */
static plumb_status close_prompt(maker *m)
{
    plumb_status s = PLUMB_OK;
    plumb_pair_fate fate = PLUMB_PAIR_TOO_FEW;
    int chosen = 0;
    if (!m->is_open) return PLUMB_OK;
    m->closed[m->group] = true;
    m->report->prompts++;
    if (m->has[0] && m->has[1]) {
        plumb_label a = m->sides[0].judgement.label, b = m->sides[1].judgement.label;
        fate = PLUMB_PAIR_UNLABELLED;
        if (a != PLUMB_NO_LABEL && b != PLUMB_NO_LABEL) {
            m->report->classes[class_of(a, b)]++;
            fate = decide(m, &chosen);
        }
    }
    m->report->fates[fate]++;
    if (fate == PLUMB_PAIR_BY_LABEL || fate == PLUMB_PAIR_BY_CRITERION) s = write_pair(m, chosen, fate);
    drop(m);
    return s;
}

/* ---- responses ---- */

static double characters(const char *text, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return (double)count;
}

static plumb_status criterion_of(const maker *m, const plumb_response *r, const plumb_judgement *j, double *out)
{
    const char *name = m->choice->criterion;
    const json_t *value = json_object_get(r->fields, name);
    if (strcmp(name, "score") == 0) {
        *out = j->score;
    } else if (strcmp(name, "length") == 0) {
        *out = characters(r->text, r->size);
    } else if (value && !json_is_null(value)) {
        if (!json_is_number(value))
            return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a number", name, plumb_json_kind(value));
        *out = json_number_value(value);
    } else {
        *out = j->field;
        if (!value && isnan(j->field))
            return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                         "sample %d of row %" PRId64 " has no number \"%s\", neither here nor in its "
                                         "judged row",
                                         r->sample, r->key.index, name),
                              "choose a field that the rows have: --prefer score, length or FIELD");
    }
    if (m->choice->lower) *out = -*out;
    return PLUMB_OK;
}

static plumb_status check_form(const plumb_response *r)
{
    if (!r->prompt)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"prompt\" is missing"),
                          "a pair needs its prompt; plumb generate writes it");
    if (json_is_array(r->response) && !json_is_array(r->prompt))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"prompt\" is a string, and \"response\" is a list of messages"),
                          "make both strings, or both lists of messages");
    return PLUMB_OK;
}

/* Which of the two places a response takes, or -1. */
static int place_of(const maker *m, const plumb_response *r)
{
    const int *samples = m->choice->samples;
    if (samples[0] < 0) return m->count < 2 ? m->count : -1;
    return r->sample == samples[0] ? 0 : r->sample == samples[1] ? 1 : -1;
}

static plumb_status open_prompt(maker *m, const plumb_response *r)
{
    size_t group;
    if (m->is_open && m->key.index == r->key.index) return PLUMB_OK;
    PLUMB_TRY(close_prompt(m));
    PLUMB_TRY(plumb_judgements_first(m->labels, r->key.index, &group));
    if (m->closed[group])
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "the responses of row %" PRId64 " do not stand together", r->key.index),
            "sort the rows by index");
    m->key = r->key;
    m->group = group;
    m->is_open = true;
    return PLUMB_OK;
}

static plumb_status add_response(maker *m, const plumb_response *r, const char *labels_name)
{
    size_t at, count;
    PLUMB_TRY(plumb_context(plumb_judgements_find(m->labels, &r->key, r->sample, &at), "%s", labels_name));
    const plumb_judgement *judgement = &plumb_judgements_all(m->labels, &count)[at];
    PLUMB_TRY(open_prompt(m, r));
    if (m->used[at])
        return plumb_fail(PLUMB_E_INPUT, "sample %d of row %" PRId64 " stands here twice", r->sample, r->key.index);
    m->used[at] = true;
    int place = place_of(m, r);
    m->count++;
    if (place < 0) return PLUMB_OK;
    PLUMB_TRY(check_form(r));
    side *s = &m->sides[place];
    s->judgement = *judgement;
    PLUMB_TRY(criterion_of(m, r, judgement, &s->criterion));
    s->response = json_incref((json_t *)r->response);
    if (!m->prompt) m->prompt = json_incref((json_t *)r->prompt);
    m->has[place] = true;
    return PLUMB_OK;
}

static plumb_status check_all_used(const maker *m, const char *labels_name, const char *responses_name)
{
    size_t count;
    const plumb_judgement *all = plumb_judgements_all(m->labels, &count);
    for (size_t i = 0; i < count; i++)
        if (!m->used[i])
            return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                         "%s: sample %d of row %" PRId64 " has a label and no response in %s",
                                         labels_name, all[i].sample, all[i].key.index, responses_name),
                              "use the very file that was judged");
    return PLUMB_OK;
}

static plumb_status read_all(maker *m, plumb_response_reader *responses, const char *labels_name)
{
    const char *name = plumb_response_reader_name(responses);
    plumb_response r;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_response_reader_next(responses, &r, &found));
        if (!found) break;
        PLUMB_TRY(plumb_context(add_response(m, &r, labels_name), "%s:%" PRId64, name, r.line));
    }
    PLUMB_TRY(close_prompt(m));
    return check_all_used(m, labels_name, name);
}

plumb_status plumb_response_pairs(plumb_response_reader *responses, const plumb_judgements *labels,
                                  const char *labels_name, const plumb_pair_choice *choice, plumb_output *output,
                                  plumb_pair_report *report)
{
    maker m = {.labels = labels, .choice = choice, .output = output, .report = report};
    size_t count;
    plumb_judgements_all(labels, &count);
    *report = (plumb_pair_report){0};
    plumb_status s = plumb_new(&m.used, count, sizeof *m.used);
    if (!s) s = plumb_new(&m.closed, count, sizeof *m.closed);
    if (!s) s = read_all(&m, responses, labels_name);
    drop(&m);
    free(m.used);
    free(m.closed);
    plumb_text_free(&m.line);
    return s;
}
