/* Asking a model what a response is, and reading its answer. The words around the response come from a template, what
 * an answer means from rules of the user; an answer that no rule reads is counted apart, never guessed. */
#ifndef PLUMB_STUDY_JUDGE_ANSWER_H
#define PLUMB_STUDY_JUDGE_ANSWER_H

#include <jansson.h>

#include "base/memory.h"
#include "study/judge_label.h"

/* Fills a template: every "{prompt}" and "{response}" in it is replaced, all else stays, other braces too. A prompt
 * that is one message is its content; several are "role: content" with a blank line between. One line end at the end of
 * the template is not part of it. prompt may be NULL where the template does not ask for it, else PLUMB_E_INPUT. */
plumb_status plumb_judge_question(const char *question, size_t n, const json_t *prompt, const char *response,
                                  size_t size, plumb_text *out) PLUMB_MUST_USE;

/* PLUMB_E_INPUT for a template without {response}. */
plumb_status plumb_judge_question_check(const char *question, size_t n) PLUMB_MUST_USE;

/* What answers mean, rules written
 *
 *     yes=refusal  "not refused=compliance"    the words that the answer starts with
 *     1..2=refusal  3=evasive  4..=compliance  ..0.5=refusal   the number that it starts with, ends included
 *
 * of ranges that share a number the first one holds, of words the rule with the most. */
typedef struct plumb_answers plumb_answers;

/* Without rules: the names of the labels. PLUMB_E_INPUT names a rule that is not of this form. */
plumb_status plumb_answers_new(const char *const *rules, size_t count, plumb_answers **out) PLUMB_MUST_USE;
void plumb_answers_free(plumb_answers *a); /* NULL is fine */

/* Reads n bytes of an answer; blanks, quotes, brackets and markdown before it do not count. Case does not, either.
 * *label is PLUMB_NO_LABEL when no rule holds; *score is the number it starts with, NaN when that is none ("3rd", "1-5"
 * and "1,000" are none). */
plumb_status plumb_answers_read(plumb_answers *a, const char *text, size_t n, plumb_label *label,
                                double *score) PLUMB_MUST_USE;

#endif
