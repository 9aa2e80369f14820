/* What the rules see of a row, and what they share. */
#ifndef PLUMB_STUDY_LINT_INTERNAL_H
#define PLUMB_STUDY_LINT_INTERNAL_H

#include "study/lint.h"
#include "study/lint_special.h"

typedef struct plumb_lint_row {
    const plumb_lint_options *options;
    const plumb_special_tokens *special;
    const plumb_row *source;
    plumb_lint_stage stage;      /* how far it came; what belongs to a later stage is not set */
    plumb_status problem;        /* why it came no further; NULL after the last stage */
    plumb_preference preference; /* `row` from PLUMB_LINT_JSON on, the rest from PLUMB_LINT_FORM on */
    plumb_pair pair;
    /* What the rows before this one were, by their lines; 0: none. */
    int64_t first_line; /* the first preference row, and its form */
    plumb_preference_form first_form;
    int64_t same_line, swapped_line; /* the first row with the same pair, and with its sides swapped */
} plumb_lint_row;

/* "chosen", "rejected" */
extern const char *const plumb_side_names[2];

/* PT1xx (lint_tokens.c) */
plumb_status plumb_lint_boundary_merged(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_double_bos(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_lost_eos(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_truncated(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_identical_after_truncation(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_prompt_too_long(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_split_word(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_template_differs(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_no_prompt_token(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;

/* PD2xx (lint_pairs.c) */
plumb_status plumb_lint_chosen_equals_rejected(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_duplicate_pair(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_swapped_pair(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_empty_response(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_prompt_repeated(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_length_gap(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_special_token_text(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;

/* PF3xx (lint_form.c) */
plumb_status plumb_lint_not_utf8(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_mixed_forms(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_unknown_role(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;
plumb_status plumb_lint_bad_row(const plumb_lint_row *row, plumb_finding *f) PLUMB_MUST_USE;

/* --- texts (lint_text.c) --- */

/* Text without the white space at both ends. */
typedef struct plumb_trimmed {
    const char *text;
    size_t size;
} plumb_trimmed;

plumb_trimmed plumb_trim(const char *text, size_t n);

/* Is there nothing to learn in this response: no text but white space, no token? */
bool plumb_is_blank(const plumb_lint_row *row, int side);

/* Append as JSON strings what stands around a place in valid UTF-8: the word that ends at text + n, and the one that
 * begins at text, with the white space between them and the place; at most 16 characters. */
plumb_status plumb_quote_end(plumb_text *t, const char *text, size_t n) PLUMB_MUST_USE;
plumb_status plumb_quote_begin(plumb_text *t, const char *text, size_t n) PLUMB_MUST_USE;

/* Appends `"token" (id 5)`; the token as the vocabulary spells it. */
plumb_status plumb_quote_token(plumb_text *t, const plumb_tokenizer *tokenizer, int32_t id) PLUMB_MUST_USE;

#endif
