/* How attention lays out a block of queries, and which keys they see: shared by attention.c and attention_gradient.c.
 *
 * A block's queries stand side by side in lanes: lane r of a key/value head with `group` query heads is the head
 * r % group of the query position r / group. */
#ifndef PLUMB_COMPUTE_ATTENTION_LANES_H
#define PLUMB_COMPUTE_ATTENTION_LANES_H

#include <math.h>

#include "compute/compute.h"

enum {
    PLUMB_KEYS = 64,      /* per tile: part of the forward's numerics */
    PLUMB_LANES = 64,     /* per block: only a size */
    PLUMB_LANE_STEP = 16, /* lanes are filled up to whole registers */
};

typedef struct plumb_lanes {
    int head, first, count, lanes; /* key/value head; the block's first lane of the segment; used and filled lanes */
    int group;                     /* query heads of a key/value head */
    int position[PLUMB_LANES];     /* lanes beyond `count` repeat the last one */
} plumb_lanes;

static inline int plumb_lane_blocks(const plumb_attention *a, const plumb_segment *segment)
{
    return (segment->query.count * (a->heads / a->kv_heads) + PLUMB_LANES - 1) / PLUMB_LANES;
}

static inline void plumb_set_lanes(const plumb_attention *a, const plumb_segment *segment, int head, int first,
                                   plumb_lanes *l)
{
    l->group = a->heads / a->kv_heads;
    int all = segment->query.count * l->group;
    l->head = head;
    l->first = first;
    l->count = all - first < PLUMB_LANES ? all - first : PLUMB_LANES;
    l->lanes = (l->count + PLUMB_LANE_STEP - 1) / PLUMB_LANE_STEP * PLUMB_LANE_STEP;
    for (int lane = 0; lane < l->lanes; lane++) {
        int used = lane < l->count ? lane : l->count - 1;
        l->position[lane] = segment->query.position + (first + used) / l->group;
    }
}

/* Row and query head of a lane. */
static inline int plumb_lane_row(const plumb_segment *segment, const plumb_lanes *l, int lane)
{
    return segment->query.row + (l->first + lane) / l->group;
}

static inline int plumb_lane_head(const plumb_lanes *l, int lane)
{
    return l->head * l->group + (l->first + lane) % l->group;
}

/* Offset of a lane's head in a query or output buffer of row distance ld. */
static inline size_t plumb_lane_offset(const plumb_attention *a, const plumb_segment *segment, const plumb_lanes *l,
                                       int lane, size_t ld)
{
    return (size_t)plumb_lane_row(segment, l, lane) * ld + (size_t)plumb_lane_head(l, lane) * (size_t)a->head_dim;
}

/* The first position that a query at `position` sees; the last is its own. */
static inline int plumb_first_visible(const plumb_attention *a, int position)
{
    return a->window > 0 && position >= a->window ? position - a->window + 1 : 0;
}

/* Sets the scores [keys][PLUMB_LANES] of keys first .. first + keys - 1 (positions) to -INFINITY in the lanes that must
 * not see them. */
static inline void plumb_hide_keys(const plumb_attention *a, const plumb_lanes *l, float *scores, int first, int keys)
{
    int low = l->position[0], high = l->position[l->count - 1];
    if (first + keys - 1 <= low && first >= plumb_first_visible(a, high)) return;
    int from[PLUMB_LANES];
    for (int j = 0; j < l->lanes; j++) from[j] = plumb_first_visible(a, l->position[j]);
    for (int i = 0; i < keys; i++) {
        float *row = scores + (size_t)i * PLUMB_LANES;
        for (int j = 0; j < l->lanes; j++)
            row[j] = first + i <= l->position[j] && first + i >= from[j] ? row[j] : -INFINITY;
    }
}

#endif
