#include "io/prefetch.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/mapped_file.h"

/* A slice is what Linux reads ahead at a time with its smallest settings: of a larger one the rest would be left out.
 */
enum { MOST_PARTS = 16, SLICE = 128 << 10 };

typedef struct part {
    const char *bytes;
    size_t count;
} part;

struct plumb_prefetch {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    part parts[MOST_PARTS]; /* a ring: `waiting` parts from `first` on */
    int first, waiting;
    bool ends;
};

/* The next slice, once there is one; false at the end. */
static bool next_slice(plumb_prefetch *p, part *slice)
{
    pthread_mutex_lock(&p->lock);
    while (!p->waiting && !p->ends) pthread_cond_wait(&p->changed, &p->lock);
    bool found = !p->ends;
    if (found) {
        part *from = &p->parts[p->first];
        *slice = (part){from->bytes, from->count < SLICE ? from->count : SLICE};
        from->bytes += slice->count;
        from->count -= slice->count;
        if (!from->count) {
            p->first = (p->first + 1) % MOST_PARTS;
            p->waiting--;
        }
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static void *read_ahead(void *user)
{
    part slice;
    while (next_slice(user, &slice)) plumb_map_want(slice.bytes, slice.count);
    return NULL;
}

plumb_status plumb_prefetch_new(plumb_prefetch **out)
{
    plumb_prefetch *p;
    *out = NULL;
    PLUMB_TRY(plumb_new(&p, 1, sizeof *p));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    int error = pthread_create(&p->thread, NULL, read_ahead, p);
    if (error) {
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
        free(p);
        return plumb_cure(plumb_fail(PLUMB_E_MEMORY, "no thread to read ahead with: %s", strerror(error)),
                          "allow more processes (ulimit -u), or leave --stream-layers out");
    }
    *out = p;
    return PLUMB_OK;
}

void plumb_prefetch_want(plumb_prefetch *p, const void *bytes, size_t count)
{
    pthread_mutex_lock(&p->lock);
    if (count && p->waiting < MOST_PARTS) {
        p->parts[(p->first + p->waiting++) % MOST_PARTS] = (part){bytes, count};
        pthread_cond_signal(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
}

void plumb_prefetch_free(plumb_prefetch *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->ends = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
