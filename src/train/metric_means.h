/* Metrics that are means of what was noted since they were last written: TRL's way, where a key that nothing was noted
 * under is not in the row. */
#ifndef PLUMB_TRAIN_METRIC_MEANS_H
#define PLUMB_TRAIN_METRIC_MEANS_H

#include <jansson.h>

#include "base/memory.h"

enum { PLUMB_METRIC_NAME = 96 };

typedef struct plumb_metric_mean {
    char name[PLUMB_METRIC_NAME];
    double sum;
    int64_t count;
} plumb_metric_mean;

/* {0} is empty. */
typedef struct plumb_metric_means {
    plumb_metric_mean *list; /* in the order in which names came first */
    size_t count, capacity;
} plumb_metric_means;

/* Notes a value. A name is cut at its 95th byte. */
plumb_status plumb_means_add(plumb_metric_means *m, const char *name, double value) PLUMB_MUST_USE;

/* Adds all that `from` holds. */
plumb_status plumb_means_merge(plumb_metric_means *m, const plumb_metric_means *from) PLUMB_MUST_USE;

/* Appends ,"name":mean for each, with 9 significant digits. */
plumb_status plumb_means_write(const plumb_metric_means *m, plumb_text *out) PLUMB_MUST_USE;

/* As a JSON value (NULL: no memory) and back, to the bit. */
json_t *plumb_means_pack(const plumb_metric_means *m);
plumb_status plumb_means_unpack(plumb_metric_means *m, const json_t *packed) PLUMB_MUST_USE;

void plumb_means_clear(plumb_metric_means *m); /* keeps the memory */
void plumb_means_free(plumb_metric_means *m);

#endif
