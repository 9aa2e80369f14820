/* Output that appears complete or not at all.
 *
 * A regular file is written as FILE.partial, fsynced and renamed to FILE on commit. "-" or NULL is stdout; an existing
 * target that is not a regular file (a pipe, /dev/null) and a name for an open file (/dev/stdout, /dev/fd/3) are
 * written directly, wherever the shell has sent them. A symbolic link stays; the file behind it is replaced, with its
 * permissions; one that leads nowhere yet gets a file there. An existing FILE stays as it is until the commit. Not
 * thread-safe. */
#ifndef PLUMB_IO_OUTPUT_H
#define PLUMB_IO_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/sink.h"
#include "base/status.h"

typedef struct plumb_output plumb_output;

/* Creates FILE.partial, empty, or with `resume` opens an existing one for appending after its last complete line (an
 * incomplete last line is cut off). The partial file is locked (flock): a second writer fails. Failure to create is
 * PLUMB_E_OUTPUT with the path and cure. */
plumb_status plumb_output_open(const char *path, bool resume, plumb_output **out) PLUMB_MUST_USE;

/* The errors that opening would give for this name, as far as they show without creating anything. */
plumb_status plumb_output_check(const char *name) PLUMB_MUST_USE;

/* Appends where the finished file of that name would go, symbolic links followed; nothing for stdout, pipes and
 * devices, which have no partial file. */
plumb_status plumb_output_target(const char *name, plumb_text *path) PLUMB_MUST_USE;

/* From now on a write that waits for the reader of a pipe ends with PLUMB_E_INTERRUPTED once the sink says that the
 * user asked to stop and the reader takes nothing for half a second. The sink is borrowed. */
void plumb_output_watch(plumb_output *o, const plumb_sink *sink);

/* Is it a regular file, so that a .partial and a .meta.json exist beside it? */
bool plumb_output_is_file(const plumb_output *o);
/* The path of the partial file; "" when not a file. */
const char *plumb_output_partial(const plumb_output *o);

/* Buffered; a write error (disk full) is PLUMB_E_IO naming the file. EPIPE is PLUMB_E_IO too, for a caller that ignores
 * SIGPIPE. After a failure nothing more is written and every further call fails in the same way. */
plumb_status plumb_output_write(plumb_output *o, const void *bytes, size_t count) PLUMB_MUST_USE;
plumb_status plumb_output_flush(plumb_output *o) PLUMB_MUST_USE;

/* fsync, rename to the final name, fsync of the folder. Frees o in any case; after a failure before the rename the
 * partial file is left for --resume. */
plumb_status plumb_output_commit(plumb_output *o) PLUMB_MUST_USE;
/* Flushes what is there, leaves FILE.partial for --resume (keep) or removes it. Frees o; NULL is fine. */
void plumb_output_close(plumb_output *o, bool keep);

/* A whole small file at once, atomically (meta.json, config.json). */
plumb_status plumb_write_file(const char *path, const void *bytes, size_t count) PLUMB_MUST_USE;

/* A whole small file read into *t (appended), at most `limit` bytes. */
plumb_status plumb_read_file(const char *path, size_t limit, plumb_text *t) PLUMB_MUST_USE;

/* Appends FOLDER/NAME (one slash, also when FOLDER ends in one). */
plumb_status plumb_path_join(plumb_text *t, const char *folder, const char *name) PLUMB_MUST_USE;
bool plumb_path_exists(const char *path);
/* Is there FOLDER/NAME? */
plumb_status plumb_path_holds(const char *folder, const char *name, bool *out) PLUMB_MUST_USE;

#endif
