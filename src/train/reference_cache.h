/* The reference's log-probabilities on disk, so that a run that goes on, or is begun again in the same folder, does not
 * compute them again: reference.jsonl of the run folder; no other place is looked at. The first line is {"key": ...,
 * "tokens": ...}, then one line an example with numbers of 17 digits, which come back to the bit.
 *
 * The key names what the numbers depend on beside the tokens: the hashes of the reference and of its adapter, the
 * instruction set and arithmetic, the version of plumb, and whether ln_ches was computed. "tokens" is the hash of the
 * examples' tokens, whatever decided them: data, tokenizer, template, max_length. */
#ifndef PLUMB_TRAIN_REFERENCE_CACHE_H
#define PLUMB_TRAIN_REFERENCE_CACHE_H

#include "train/examples.h"

/* Fills ref_head, ref_tail of all examples and ln_ches [e->count] from FOLDER/reference.jsonl. *found is false, and
 * nothing changed that matters, when there is no file, it has another key, or it is damaged. */
plumb_status plumb_reference_cache_read(const char *folder, const char *key, plumb_examples *e, double *ln_ches,
                                        bool *found) PLUMB_MUST_USE;

/* Writes it, complete or not at all. */
plumb_status plumb_reference_cache_write(const char *folder, const char *key, const plumb_examples *e,
                                         const double *ln_ches) PLUMB_MUST_USE;

#endif
