#include "study/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/generation.h"

static const double near_tie = 1e-4;

struct plumb_judge {
    plumb_judged judged;
    void *user;
    plumb_judge_rules *rules; /* NULL: a model judges */
    plumb_judge_model how;
    plumb_generator *generator;
    plumb_judgement *waiting; /* asked about, in order, from `first` on; key of the generator = place + base */
    size_t first, count, capacity;
    plumb_judge_doubts doubts;
    plumb_text question, rendered, answer;
    plumb_ids ids;
};

static plumb_status emit(plumb_judge *j, const plumb_judgement *judgement, const char *reason, size_t n)
{
    return j->judged(j->user, judgement, reason, n);
}

/* Those at the head of the queue that need no answer. */
static plumb_status emit_settled(plumb_judge *j)
{
    while (j->first < j->count && j->waiting[j->first].label != PLUMB_NO_LABEL)
        PLUMB_TRY(emit(j, &j->waiting[j->first++], NULL, 0));
    size_t left = j->count - j->first;
    if (j->first >= left) { /* those behind move up into room that is theirs alone */
        if (left) memcpy(j->waiting, j->waiting + j->first, left * sizeof *j->waiting);
        j->first = 0;
        j->count = left;
    }
    return PLUMB_OK;
}

/* The answer to the oldest question: answers come in the order of the questions. */
static plumb_status take_answer(void *user, const plumb_generated *g)
{
    plumb_judge *j = user;
    if (j->first == j->count) return plumb_fail(PLUMB_E_INTERNAL, "an answer to no question");
    plumb_judgement judgement = j->waiting[j->first++];
    plumb_text_clear(&j->answer);
    PLUMB_TRY(plumb_tokenizer_decode(j->how.encoder->tokenizer, g->ids, (size_t)g->count, true, &j->answer));
    const char *text = j->answer.data ? j->answer.data : "";
    PLUMB_TRY(plumb_answers_read(j->how.answers, text, j->answer.size, &judgement.label, &judgement.score));
    j->doubts.near_ties += g->closest < near_tie;
    j->doubts.too_long += g->count == 0;
    PLUMB_TRY(emit(j, &judgement, text, j->answer.size));
    return emit_settled(j);
}

plumb_status plumb_judge_by_rules(plumb_judge_rules *rules, plumb_judged judged, void *user, plumb_judge **out)
{
    PLUMB_TRY(plumb_new(out, 1, sizeof **out));
    (*out)->rules = rules;
    (*out)->judged = judged;
    (*out)->user = user;
    return PLUMB_OK;
}

plumb_status plumb_judge_by_model(const plumb_judge_model *how, plumb_judged judged, void *user, plumb_judge **out)
{
    plumb_judge *j;
    PLUMB_TRY(plumb_judge_question_check(how->question, how->question_size));
    PLUMB_TRY(plumb_new(&j, 1, sizeof *j));
    j->how = *how;
    j->judged = judged;
    j->user = user;
    plumb_generator_options options = {
        .sampling = {.top_p = 1, .max_new_tokens = how->max_new_tokens, .eos = how->eos, .eos_count = how->eos_count},
        .emit = take_answer,
        .user = j,
        .sink = how->sink,
    };
    plumb_status s = plumb_generator_new(how->model, &options, &j->generator);
    if (s)
        plumb_judge_free(j);
    else
        *out = j;
    return s;
}

void plumb_judge_free(plumb_judge *j)
{
    if (!j) return;
    plumb_generator_free(j->generator);
    free(j->waiting);
    plumb_text_free(&j->question);
    plumb_text_free(&j->rendered);
    plumb_text_free(&j->answer);
    plumb_ids_free(&j->ids);
    free(j);
}

/* The question in j->question as ids: the user's turn of a chat, or plain text. */
static plumb_status encode_question(plumb_judge *j)
{
    const plumb_encoder *e = j->how.encoder;
    j->ids.count = 0;
    if (!e->chat) return plumb_tokenizer_encode(e->tokenizer, j->question.data, j->question.size, true, &j->ids);
    json_t *content = json_stringn(j->question.data, j->question.size);
    json_t *messages = content ? json_pack("[{s:s, s:o}]", "role", "user", "content", content) : NULL;
    if (!messages) return plumb_no_memory();
    plumb_text_clear(&j->rendered);
    plumb_status s = plumb_encoder_render(e, messages, true, &j->rendered);
    json_decref(messages);
    return s ? s : plumb_tokenizer_encode(e->tokenizer, j->rendered.data, j->rendered.size, false, &j->ids);
}

static bool is_blank(const char *text, size_t n)
{
    while (n && strchr(" \t\r\n\f\v", text[n - 1]) && text[n - 1]) n--;
    return !n;
}

static plumb_status ask(plumb_judge *j, const plumb_response *response, plumb_judgement *judgement)
{
    if (is_blank(response->text, response->size)) judgement->label = PLUMB_EMPTY;
    if (judgement->label == PLUMB_NO_LABEL) {
        plumb_text_clear(&j->question);
        PLUMB_TRY(plumb_judge_question(j->how.question, j->how.question_size, response->prompt, response->text,
                                       response->size, &j->question));
        PLUMB_TRY(encode_question(j));
    }
    if (judgement->label == PLUMB_NO_LABEL && !j->ids.count)
        return plumb_fail(PLUMB_E_INPUT, "the question has no token of the judge's vocabulary");
    PLUMB_TRY(plumb_reserve(&j->waiting, &j->capacity, j->count + 1, sizeof *j->waiting));
    j->waiting[j->count++] = *judgement;
    if (judgement->label != PLUMB_NO_LABEL) return j->count - j->first == 1 ? emit_settled(j) : PLUMB_OK;
    return plumb_generator_add(j->generator, judgement->key.index, j->ids.data, (int)j->ids.count, 1);
}

plumb_status plumb_judge_add(plumb_judge *j, const plumb_response *response)
{
    plumb_judgement judgement = {response->key, response->sample, PLUMB_NO_LABEL, NAN, NAN};
    if (!j->rules) return ask(j, response, &judgement);
    plumb_verdict verdict;
    PLUMB_TRY(plumb_judge_rules_apply(j->rules, response->text, response->size, &verdict));
    judgement.label = verdict.label;
    judgement.score = verdict.score;
    return emit(j, &judgement, verdict.reason, verdict.reason ? strlen(verdict.reason) : 0);
}

plumb_status plumb_judge_flush(plumb_judge *j)
{
    return j->rules ? PLUMB_OK : plumb_generator_flush(j->generator);
}

plumb_judge_doubts plumb_judge_doubts_of(const plumb_judge *j)
{
    return j->doubts;
}
