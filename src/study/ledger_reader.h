/* A ledger read back: the course of every pair over the steps of a run (DESIGN: ledger rows, train/ledger.h). */
#ifndef PLUMB_STUDY_LEDGER_READER_H
#define PLUMB_STUDY_LEDGER_READER_H

#include <stdbool.h>

#include "base/memory.h"
#include "base/sink.h"

typedef struct plumb_ledger_pair {
    int64_t index;
    uint64_t row;
} plumb_ledger_pair;

/* Pairs in the order of their first appearance; steps ascending, whatever their order in the file. What a row does not
 * have (a pair that an evaluation lacks, null) is NaN. */
typedef struct plumb_ledger_file {
    plumb_ledger_pair *pairs; /* [count] */
    size_t count;
    int64_t *steps; /* [step_count] */
    size_t step_count;
    double *logps[2];         /* [step_count][count] chosen, rejected */
    double *ref_logps[2];     /* the same; NULL: the ledger has none */
    double *ln_ches, *weight; /* of the gate, the same shape; NULL: there was none */
    bool has_tokens;          /* rows carry position, gained, lost */
    size_t *slots;            /* [slot_count] index -> pair + 1, open addressing, 0: free; for plumb_ledger_find */
    size_t slot_count;
    plumb_arena arena; /* holds all of it */
} plumb_ledger_file;

/* Reads FILE ("-": stdin), or FILE/ledger.jsonl of a run folder. PLUMB_E_INPUT with file:line for rows that are no
 * ledger rows of pairs (saying so where they are a reward model's or KTO's unpaired ones), a pair twice in one step,
 * one index with two hashes, and an empty ledger (what an SFT run has). *out must be {0} and is freed with
 * plumb_ledger_file_free, after an error too. */
plumb_status plumb_ledger_read(const char *path, const plumb_sink *sink, plumb_ledger_file *out) PLUMB_MUST_USE;
void plumb_ledger_file_free(plumb_ledger_file *l);

/* The pair with this index, or -1; its hash must agree where *row is given (else PLUMB_E_INPUT naming both). */
plumb_status plumb_ledger_find(const plumb_ledger_file *l, int64_t index, const uint64_t *row,
                               int64_t *found) PLUMB_MUST_USE;

#endif
