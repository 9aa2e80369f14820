/* Packing: several sequences share one row of a micro-batch, up to max_length tokens. No sequence sees another one and
 * positions begin anew, so packing decides only what is trained together: a batch of b blocks instead of b sequences.
 *
 * Best-fit decreasing as TRL's "bfd" (data_utils._pack_bfd; arXiv 2404.10830): from the longest sequence to the
 * shortest, equal ones in order, each goes into the block with the least room that still holds it (of several with the
 * same room the one that has had it longest), or begins a new one. */
#ifndef PLUMB_TRAIN_PACKING_H
#define PLUMB_TRAIN_PACKING_H

#include "train/examples.h"

/* Rows that TRL packs at a time: the batch size of datasets.map. */
enum { PLUMB_PACKING_ROWS = 1000 };

/* Packs the examples (of one side, at most `length` tokens each) from list[first] on into blocks behind those that are
 * there; they change their order. All examples before `first` must be in blocks. */
plumb_status plumb_examples_pack(plumb_examples *e, size_t first, int length) PLUMB_MUST_USE;

#endif
