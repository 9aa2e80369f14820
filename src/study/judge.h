/* A judge of responses: rules, or a model that is asked. Responses go in one after another, judgements come out in the
 * same order. */
#ifndef PLUMB_STUDY_JUDGE_H
#define PLUMB_STUDY_JUDGE_H

#include "model/model.h"
#include "study/judge_answer.h"
#include "study/judge_rules.h"
#include "study/judgements.h"
#include "study/response_reader.h"
#include "text/encoder.h"

/* Called for each response. reason: the rule that decided, or the model's answer (n bytes; NULL: none); both are valid
 * during the call. */
typedef plumb_status (*plumb_judged)(void *user, const plumb_judgement *judgement, const char *reason, size_t n);

/* A model as judge, all borrowed. The question is a template (judge_answer.h); where the checkpoint has a chat template
 * it is the user's turn, otherwise it is continued as plain text. The answer is the model's greedy one. */
typedef struct plumb_judge_model {
    const plumb_model *model;
    const plumb_encoder *encoder;
    const char *question;
    size_t question_size;
    plumb_answers *answers;
    int max_new_tokens;
    const int32_t *eos; /* [eos_count] ids that end an answer */
    int eos_count;
    const plumb_sink *sink;
} plumb_judge_model;

typedef struct plumb_judge plumb_judge;
plumb_status plumb_judge_by_rules(plumb_judge_rules *rules, plumb_judged judged, void *user,
                                  plumb_judge **out) PLUMB_MUST_USE;
plumb_status plumb_judge_by_model(const plumb_judge_model *how, plumb_judged judged, void *user,
                                  plumb_judge **out) PLUMB_MUST_USE;
void plumb_judge_free(plumb_judge *j); /* NULL is fine */

/* Judges a response, now or with later ones; it is not needed after the call. A response of blanks alone is empty, and
 * no model is asked about it. */
plumb_status plumb_judge_add(plumb_judge *j, const plumb_response *response) PLUMB_MUST_USE;
/* Judges all that waits. */
plumb_status plumb_judge_flush(plumb_judge *j) PLUMB_MUST_USE;

/* What may have gone wrong with a model's answers, counted. */
typedef struct plumb_judge_doubts {
    int64_t near_ties; /* two logits less than 1e-4 apart decided: another machine may answer differently */
    int64_t too_long;  /* the question leaves no position for an answer, which counts as one that cannot be read */
} plumb_judge_doubts;
plumb_judge_doubts plumb_judge_doubts_of(const plumb_judge *j);

#endif
