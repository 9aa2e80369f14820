/* A batch: token sequences packed row after row without padding, common prefixes held once.
 *
 * A *group* is one prefix and the branches that continue it: a preference pair has two. Rows of a group lie in the
 * order prefix, branch 0, branch 1, ...; a branch sees the prefix and itself. The caller wants the final hidden states
 * from position `wanted_from` on; earlier rows are computed only as far as later ones need them. */
#ifndef PLUMB_MODEL_BATCH_H
#define PLUMB_MODEL_BATCH_H

#include "base/memory.h"
#include "compute/compute.h"

typedef struct plumb_batch {
    plumb_ids ids;       /* [rows] */
    plumb_ids positions; /* [rows] */
    plumb_ids wanted;    /* row numbers whose final states are wanted, ascending */
    plumb_ids wanted_positions;
    plumb_ids partners; /* [rows] of a row of branch 1 the row of branch 0 at the same position, if any; else -1 */
    plumb_ids wanted_partners; /* the same of the wanted rows, counted among these */
    plumb_ids cache_rows;      /* [rows] of a batch that goes on with sequences in a cache; else empty */
    plumb_segment *segments;   /* all rows as queries */
    size_t segment_count, segment_capacity;
    plumb_segment *wanted_segments; /* the wanted rows as queries; query.row counts wanted rows */
    size_t wanted_segment_count, wanted_segment_capacity;
} plumb_batch;

/* Where the wanted states of a group lie among all wanted states. */
typedef struct plumb_group_place {
    int first;         /* of the prefix part */
    int prefix_wanted; /* states of the prefix */
    int branch[2];     /* first state of each branch's own part */
    int own_wanted[2]; /* states of each branch's own part */
} plumb_group_place;

/* Appends a group of one or two sequences: ids[b] of counts[b] tokens, the first `shared` of them equal (shared <= each
 * count). Final states are wanted from position wanted_from on, wanted_from < each count. The ids are copied. */
plumb_status plumb_batch_add(plumb_batch *b, const int32_t *const ids[], const int counts[], int branches, int shared,
                             int wanted_from, plumb_group_place *place) PLUMB_MUST_USE;

/* Appends `count` tokens of a sequence whose keys and values stand in a cache (cache.h), at positions `position` ...
 * The spans are rows of the cache: the tokens see `prefix` and `own`, as far as causality allows, and are the last
 * `count` rows of own, or, where own is empty, of prefix. With `wanted` the final state of the last one is wanted. The
 * ids are copied. All of a batch is appended either by this function or by the one above. */
plumb_status plumb_batch_extend(plumb_batch *b, const int32_t *ids, int count, int position, plumb_span prefix,
                                plumb_span own, bool wanted) PLUMB_MUST_USE;

/* Every id must be below `vocab` (else PLUMB_E_INPUT naming the first that is not); *positions is one more than the
 * largest position. */
plumb_status plumb_batch_check(const plumb_batch *b, int vocab, int *positions) PLUMB_MUST_USE;

/* Rows that a group needs. */
int plumb_group_rows(const int counts[], int branches, int shared);

/* Where rows that are worked on from row `first` on may be cut, first < limit < partners->count. A row whose partner a
 * cut leaves behind goes without, and that must not depend on which groups stand beside its own: the last cut up to
 * `limit` that leaves no partner behind, or, where there is none, `limit`, which then counts from the group's first row
 * that is a partner. */
int plumb_partners_cut(const plumb_ids *partners, int first, int limit);

void plumb_batch_clear(plumb_batch *b); /* keeps the memory */
void plumb_batch_free(plumb_batch *b);

#endif
