/* Reading mapped files ahead, in a thread of its own. plumb_map_want takes in no more than the system reads at a time
 * and may wait for the disk: large parts are asked for slice by slice, beside the computation that will need them.
 *
 *     plumb_prefetch *p;
 *     plumb_prefetch_new(&p);
 *     plumb_prefetch_want(p, matrix, bytes);      returns at once
 *     plumb_prefetch_free(p);
 */
#ifndef PLUMB_IO_PREFETCH_H
#define PLUMB_IO_PREFETCH_H

#include <stddef.h>

#include "base/status.h"

typedef struct plumb_prefetch plumb_prefetch;

/* Starts the thread; without one PLUMB_E_MEMORY. */
plumb_status plumb_prefetch_new(plumb_prefetch **out) PLUMB_MUST_USE;

/* Bytes of a mapping that has to outlive p. What was asked for first is read first; beyond 16 parts that wait, none is
 * taken on. Advice: what is not read ahead comes when it is touched. */
void plumb_prefetch_want(plumb_prefetch *p, const void *bytes, size_t count);

/* Ends the thread, what still waits unread; NULL is fine. */
void plumb_prefetch_free(plumb_prefetch *p);

#endif
