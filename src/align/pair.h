/* A preference pair as tokens: what the model reads and where the responses begin.
 *
 * Two ways of tokenising (DESIGN: tokens of a pair).
 *
 * PLUMB_COMPAT_TRL: as TRL 1.16. EOS closes plain responses, the template closes turns; the responses begin where the
 * tokens of the prompt and of prompt + response first differ, the earlier of the two sides.
 *
 * PLUMB_COMPAT_OFFICIAL: as the paper's code (github.com/princeton-nlp/unintentional-unalignment). Responses are
 * appended raw, no EOS, no special tokens beyond the template's; the boundary is the prompt's token count; all states
 * up to the last token count. */
#ifndef PLUMB_ALIGN_PAIR_H
#define PLUMB_ALIGN_PAIR_H

#include "align/preference.h"
#include "text/encoder.h"

typedef enum plumb_compat { PLUMB_COMPAT_TRL, PLUMB_COMPAT_OFFICIAL } plumb_compat;

/* Why a pair cannot be scored; the names stand in score rows. */
typedef enum plumb_skip {
    PLUMB_SKIP_NONE,
    PLUMB_SKIP_PROMPT_TOO_LONG, /* the prompt alone fills max_length */
    PLUMB_SKIP_EMPTY_RESPONSE,  /* a response has no token */
    PLUMB_SKIP_NO_PROMPT_TOKEN, /* no state predicts the first response token */
    PLUMB_SKIP_BAD_ROW,         /* not a preference row, passed over with --on_error skip */
    PLUMB_SKIPS
} plumb_skip;
const char *plumb_skip_name(plumb_skip skip);

typedef struct plumb_pair {
    plumb_ids ids[2];    /* prompt + response of chosen and rejected, cut to max_length */
    int prompt;          /* tokens of the prompt: both responses begin there */
    int shared;          /* common leading tokens of the two sequences */
    bool boundary_clean; /* does the boundary stand at the end of the prompt's own tokens? */
    bool truncated;      /* was a side cut? */
    plumb_skip skip;
    /* What it was made from, for a closer look (study/lint.h). */
    plumb_text prompt_text, text[2]; /* prompt and prompt + response as they were encoded; empty for rows of ids */
    plumb_ids prompt_ids;            /* the tokens of the prompt alone */
    int length[2];                   /* tokens of a side before the cut; those cut off still stand in ids[side].data */
} plumb_pair;

/* How to tokenise. The encoder may be NULL when all rows hold ids. */
typedef struct plumb_pairing {
    const plumb_encoder *encoder;
    plumb_compat compat;
    int max_length; /* tokens of a side; 0: no limit */
    int vocab_size; /* a token id from there on is an error, for the model has no embedding of it; 0: not checked */
} plumb_pairing;

/* Fills *out, which is {0} or was filled before (its memory is reused). A pair that cannot be scored is no error: skip
 * says why. PLUMB_E_INPUT for text that cannot be encoded or rendered, and for token ids beyond vocab_size. */
plumb_status plumb_pair_make(const plumb_pairing *how, const plumb_preference *row, plumb_pair *out) PLUMB_MUST_USE;
void plumb_pair_free(plumb_pair *p);

/* Is each response one token, or one and EOS (or another special token, which ends a turn)? Then the theorems about
 * single tokens (align/single_token.h) are about the first one. Not so where both begin with the same token, or a side
 * was cut. eos < 0: none. */
bool plumb_pair_is_single(const plumb_pair *pair, const plumb_tokenizer *tokenizer, int32_t eos);

#endif
