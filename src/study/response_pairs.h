/* Preference data from judged responses, as the paper's experiment on unintentional unalignment makes it (Razin et al.
 * 2024, arXiv 2410.08847, section 6.2): two responses of each prompt, the refusal preferred; two of a kind are ordered
 * by a second criterion.
 *
 * The order of labels: the preferred one; then the other readable ones, which are equal to each other; then empty and
 * unreadable, of which two make no pair. Equal ones go by the criterion. A prompt makes no pair where the two responses
 * are the same, where the criterion does not tell them apart (equal, or no number), or where a label is missing. */
#ifndef PLUMB_STUDY_RESPONSE_PAIRS_H
#define PLUMB_STUDY_RESPONSE_PAIRS_H

#include "io/output.h"
#include "study/judgements.h"
#include "study/response_reader.h"

typedef enum plumb_pair_class {
    PLUMB_TWO_REFUSALS,
    PLUMB_TWO_COMPLIANCES,
    PLUMB_ONE_OF_EACH, /* a refusal and a compliance */
    PLUMB_OTHER_PAIR,
    PLUMB_PAIR_CLASSES
} plumb_pair_class;

/* What becomes of a prompt. */
typedef enum plumb_pair_fate {
    PLUMB_PAIR_BY_LABEL, /* written */
    PLUMB_PAIR_BY_CRITERION,
    PLUMB_PAIR_TOO_FEW,    /* it has not the two samples */
    PLUMB_PAIR_UNLABELLED, /* one has no label: a model's answer that could not be read */
    PLUMB_PAIR_IDENTICAL,
    PLUMB_PAIR_MALFORMED, /* both are empty or unreadable */
    PLUMB_PAIR_NOT_GOLD,  /* no refusal against compliance */
    PLUMB_PAIR_EQUAL,     /* the criterion does not tell them apart */
    PLUMB_PAIR_FATES
} plumb_pair_fate;

typedef struct plumb_pair_choice {
    plumb_label prefer;
    /* "score" (of the judge), "length" (characters of the response), or a numeric field of the response rows or, where
     * these have none of that name, of the judged rows */
    const char *criterion;
    bool lower;     /* lower is better */
    bool gold;      /* refusal against compliance only */
    int samples[2]; /* numbers of the samples; -1: the first two of each prompt, in the order of the file */
} plumb_pair_choice;

typedef struct plumb_pair_report {
    int64_t prompts;
    int64_t classes[PLUMB_PAIR_CLASSES]; /* of the prompts with two labelled samples */
    int64_t fates[PLUMB_PAIR_FATES];
} plumb_pair_report;

/* The field of the judged rows that must be read along for this choice, or NULL. */
const char *plumb_pair_field(const plumb_pair_choice *choice);

/* Reads all responses, those of a prompt side by side, and writes {"prompt", "chosen", "rejected", "chosen_label",
 * "rejected_label", "by", "index", "row", "samples": [chosen, rejected]}: prompt and responses in the prompt's form,
 * strings or message lists; by: label or the criterion. output NULL: nothing is written.
 *
 * PLUMB_E_INPUT (file:line, the row named): a response without a label or of another row, a label without a response
 * (labels_name names their file), responses of a prompt that do not stand together, no prompt, no criterion. */
plumb_status plumb_response_pairs(plumb_response_reader *responses, const plumb_judgements *labels,
                                  const char *labels_name, const plumb_pair_choice *choice, plumb_output *output,
                                  plumb_pair_report *report) PLUMB_MUST_USE;

#endif
