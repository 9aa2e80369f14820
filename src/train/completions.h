/* The data of SFT: rows in any of its forms as sequences of tokens, of which the loss counts some. Tokens and masks are
 * those of SFTTrainer in TRL 1.16.
 *
 * | form        | columns                                          | tokens                          | the loss counts
 * |
 * |-------------|--------------------------------------------------|---------------------------------|-----------------|
 * | text        | text                                             | of text + EOS                   | all | |
 * completion  | prompt + completion, strings or messages         | of prompt + completion          | the completion  |
 * | messages    | messages, or conversations with from and value   | of the rendered template        | all | |
 * preference  | as align/preference.h reads them                 | of prompt + chosen              | the completion  |
 * | ids         | input_ids (labels, completion_mask,              | as given                        | as for `text`, |
 * |             | assistant_masks), or prompt_ids + completion_ids |                                 | `completion` |
 *
 * A row with several forms counts as the first of: ids, completion, messages, preference, text. Plain strings get the
 * EOS text unless they end in it, and the tokenizer's special tokens; a template writes both itself. A completion
 * begins where the tokens of the prompt (with the generation prompt) and of the whole first differ. The first token of
 * a sequence is never a target, as nothing predicts it. */
#ifndef PLUMB_TRAIN_COMPLETIONS_H
#define PLUMB_TRAIN_COMPLETIONS_H

#include "train/examples.h"

typedef enum plumb_completion_form {
    PLUMB_SFT_TEXT,
    PLUMB_SFT_COMPLETION,
    PLUMB_SFT_MESSAGES,
    PLUMB_SFT_PREFERENCE,
    PLUMB_SFT_IDS,
    PLUMB_SFT_FORMS
} plumb_completion_form;

/* completion_only_loss: left to the form, true, false. */
typedef enum plumb_completion_loss {
    PLUMB_LOSS_BY_FORM,
    PLUMB_LOSS_COMPLETION, /* a row without a prompt is an error */
    PLUMB_LOSS_ALL,
} plumb_completion_loss;

/* How rows become sequences. All is borrowed. */
typedef struct plumb_completing {
    const plumb_encoder *encoder;             /* may be NULL when all rows hold ids */
    const char *text, *completion, *messages; /* names of columns */
    plumb_preference_keys keys;               /* those of the prompt and of preference rows */
    int side;                                 /* of a preference row: PLUMB_CHOSEN (0) or PLUMB_REJECTED */
    int max_length;                           /* tokens of a sequence, which is cut at its end; 0: no limit */
    int vocab_size;                           /* a token id from there on is an error; 0: not checked */
    plumb_completion_loss loss;
    bool assistant_only_loss; /* of the tokens that the loss counts, those of {% generation %} blocks alone; a row that
                                 is no conversation or has no such token is an error */
    bool packing;             /* a sequence without a token to train on keeps its place in a block */
} plumb_completing;

typedef struct plumb_completion {
    plumb_completion_form form;
    plumb_ids ids;    /* cut to max_length */
    uint8_t *trained; /* [ids.count] 1 for each token that the loss counts (TRL: labels other than -100) */
    size_t trained_capacity;
    bool boundary_clean; /* does the completion begin at the end of the prompt's own tokens? */
    bool truncated;
    plumb_skip skip; /* PROMPT_TOO_LONG: the cut leaves no token to train on; EMPTY_RESPONSE: there was none */
    /* scratch */
    plumb_text prompt_text, whole_text;
    plumb_ids prompt_ids;
    plumb_byte_spans spans;
} plumb_completion;

/* Fills *out, which is {0} or was filled before (its memory is reused), from one row of JSON. PLUMB_E_INPUT without the
 * file and line, which the caller adds. */
plumb_status plumb_completion_make(const plumb_completing *how, const char *bytes, size_t n,
                                   plumb_completion *out) PLUMB_MUST_USE;
void plumb_completion_free(plumb_completion *c);

typedef struct plumb_completion_source {
    const char *path;   /* "-": stdin */
    int64_t begin, end; /* rows of the file; end < 0: all */
    plumb_completing how;
    bool skip_bad_rows; /* a bad row becomes a skipped one (PLUMB_SKIP_BAD_ROW) and a note; otherwise it is an error */
    const plumb_sink *sink;
} plumb_completion_source;

/* Reads all rows into *out ({0}): examples of one side, in blocks with `packing` (train/packing.h; needs max_length).
 * Errors carry file:line; PLUMB_E_INPUT when nothing is left to train on. Notes tell of preference rows, and of prompts
 * whose tokens are not the beginning of the whole. */
plumb_status plumb_completions_read(const plumb_completion_source *source, plumb_examples *out) PLUMB_MUST_USE;

#endif
