/* The data of KTO: single completions, each wanted or not. Rows hold prompt, completion and label (true or false; 1 or
 * 0), strings or lists of messages or ids (prompt_ids, completion_ids), or they are preferences, of which each is then
 * two rows, chosen and rejected. Tokens are those of KTOTrainer in TRL 1.16, as of SFT's completions
 * (train/completions.h). */
#ifndef PLUMB_TRAIN_UNPAIRED_H
#define PLUMB_TRAIN_UNPAIRED_H

#include "train/completions.h"

typedef struct plumb_unpaired_source {
    const char *path;     /* "-": stdin */
    int64_t begin, end;   /* rows of the file; end < 0: all */
    plumb_completing how; /* loss is PLUMB_LOSS_COMPLETION whatever it says */
    const char *label;    /* name of the column */
    int64_t batch;        /* rows of a batch, for the mismatched completions; 0: none are needed */
    bool skip_bad_rows;   /* as in plumb_completion_source */
    const plumb_sink *sink;
} plumb_unpaired_source;

/* Reads all rows into *out ({0}). With `batch` examples have two sides: the prompt with its completion, and the prompt
 * with the completion of the row before it in its batch, the first one with that of the last (TRL's estimate of KL);
 * else one side. Sequences are cut to max_length at their end; a row whose prompt alone fills it is skipped, before
 * batches are made. desirable[2]: how many rows are unwanted, wanted.
 *
 * Of preferences TRL takes blocks of 1000 and puts the chosen rows of a block before its rejected ones, so that most
 * batches are of one kind; a note says so. The first row decides whether the file holds preferences or labelled rows;
 * another one is PLUMB_E_INPUT, as are a row without a label, a label that is no boolean, and data of which all rows
 * have the same label. *pairs (NULL: not asked): are they preferences? */
plumb_status plumb_unpaired_read(const plumb_unpaired_source *source, plumb_examples *out, int64_t desirable[2],
                                 bool *pairs) PLUMB_MUST_USE;

#endif
