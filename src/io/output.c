#include "io/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/open_file.h"

enum { BUFFER = 1 << 18, PIECE = 1 << 14, TRIES = 16, MOST_LINKS = 40, LOOK_UP_MS = 200, GRACE_MS = 500 };

struct plumb_output {
    int fd;
    bool is_file;
    const plumb_sink *sink; /* whom to ask whether to stop while a reader lets us wait; NULL: nobody */
    bool careful;           /* a pipe or terminal, with a sink: no write may wait for ever */
    int error;              /* errno of the first write that failed: nothing is written after it */
    char *name;             /* for messages */
    char *path;    /* where the finished file goes: the name with symbolic links resolved; NULL when not a file */
    char *partial; /* path + ".partial"; "" when not a file */
    char *buffer;
    size_t used;
};

/* What to do about an errno that outputs meet; NULL when there is nothing to say. */
static const char *cure_for(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "choose a folder in which you may write";
    case EROFS:
        return "the file system is read-only; choose another folder";
    case ENOTDIR:
        return "a part of the path is a file, not a folder";
    case ENOSPC:
    case EDQUOT:
        return "free some space, then go on";
    default:
        return NULL;
    }
}

static plumb_status system_error(plumb_code code, const char *name, const char *what, int error)
{
    if (error == ENOMEM) return plumb_no_memory();
    plumb_status s = plumb_fail(code, "%s: %s: %s", name, what, strerror(error));
    const char *cure = cure_for(error);
    return cure ? plumb_cure(s, "%s", cure) : s;
}

static plumb_status create_error(const char *name, int error)
{
    if (error == EINTR) return plumb_fail(PLUMB_E_INTERRUPTED, "interrupted"); /* opening a pipe that nobody reads */
    plumb_status s = system_error(PLUMB_E_OUTPUT, name, "cannot be created", error);
    const char *slash = strrchr(name, '/');
    if (error != ENOENT || !slash) return s;
    return plumb_cure(s, "create the folder first: mkdir -p %.*s", (int)(slash - name), name);
}

static plumb_status copy_string(char **out, const char *string, const char *suffix)
{
    size_t n = strlen(string), more = strlen(suffix);
    PLUMB_TRY(plumb_new(out, n + more + 1, 1));
    memcpy(*out, string, n);
    memcpy(*out + n, suffix, more);
    return PLUMB_OK;
}

/* The open file that a path such as /dev/stdout or /dev/fd/3 stands for, or -1. It must be used as it is: opening the
 * path anew would start at the beginning of a file to which the shell appends. */
static int standing_for(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    if (!path || strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(folders[i]);
        if (strncmp(path, folders[i], n) != 0 || !path[n] || strspn(path + n, "0123456789") != strlen(path + n))
            continue;
        return strlen(path + n) < 8 ? atoi(path + n) : -1;
    }
    return -1;
}

/* Creates or opens the partial file and locks it. Its owner may rename it between our opening and our locking it, so
 * that we would hold the finished file: then again. */
static plumb_status open_partial(plumb_output *o)
{
    for (int i = 0; i < TRIES; i++) {
        struct stat ours, named;
        o->fd = open(o->partial, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666);
        if (o->fd < 0 || fstat(o->fd, &ours)) return create_error(o->partial, errno);
        if (!S_ISREG(ours.st_mode))
            return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: is in the way and not a regular file", o->partial),
                              "remove it, or choose another output");
        if (flock(o->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) break;
        /* Other failures: a file system without locks, where this safeguard is not to be had. */
        if (stat(o->partial, &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev)
            return PLUMB_OK;
        close(o->fd);
        o->fd = -1;
    }
    return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: another process is writing it", o->partial),
                      "wait until it has finished, or choose another output");
}

/* Cuts what stands behind the last line end and goes there. */
static plumb_status cut_incomplete_line(plumb_output *o)
{
    off_t end = lseek(o->fd, 0, SEEK_END);
    while (end > 0) {
        size_t n = end < BUFFER ? (size_t)end : BUFFER;
        ssize_t got = pread(o->fd, o->buffer, n, end - (off_t)n);
        if (got != (ssize_t)n) return system_error(PLUMB_E_IO, o->partial, "reading failed", got < 0 ? errno : EIO);
        const char *newline = memrchr(o->buffer, '\n', n);
        end -= (off_t)n;
        if (!newline) continue;
        end += newline - o->buffer + 1;
        break;
    }
    if (end < 0 || ftruncate(o->fd, end) || lseek(o->fd, end, SEEK_SET) < 0)
        return system_error(PLUMB_E_IO, o->partial, "cannot be continued", errno);
    return PLUMB_OK;
}

/* The name with its last part's symbolic links followed, also to a file that is not there yet. */
static plumb_status follow_links(const char *name, plumb_text *path)
{
    char link[PATH_MAX];
    PLUMB_TRY(plumb_text_string(path, name));
    for (int i = 0; i < MOST_LINKS; i++) {
        ssize_t n = readlink(path->data, link, sizeof link - 1);
        if (n < 0) return PLUMB_OK;
        link[n] = 0;
        const char *slash = link[0] == '/' ? NULL : strrchr(path->data, '/');
        plumb_text next = {0};
        plumb_status s = slash ? plumb_text_append(&next, path->data, (size_t)(slash - path->data) + 1) : PLUMB_OK;
        if (!s) s = plumb_text_append(&next, link, (size_t)n);
        plumb_text_free(path);
        *path = next;
        if (s) return s;
    }
    return create_error(name, ELOOP);
}

/* Where the finished file goes: the file behind a symbolic link is replaced, not the link. */
static plumb_status find_target(const char *name, bool exists, plumb_text *path)
{
    char *target = exists ? realpath(name, NULL) : NULL;
    plumb_status s = target ? plumb_text_string(path, target) : follow_links(name, path);
    free(target);
    return s;
}

plumb_status plumb_output_target(const char *name, plumb_text *path)
{
    struct stat about;
    if (standing_for(name) >= 0) return PLUMB_OK;
    bool exists = stat(name, &about) == 0;
    return exists && !S_ISREG(about.st_mode) ? PLUMB_OK : find_target(name, exists, path);
}

static plumb_status open_regular(plumb_output *o, const struct stat *old, bool resume)
{
    plumb_text target = {0};
    plumb_status s = find_target(o->name, old != NULL, &target);
    if (!s) s = copy_string(&o->path, target.data, "");
    plumb_text_free(&target);
    if (s) return s;
    PLUMB_TRY(copy_string(&o->partial, o->path, ".partial"));
    o->is_file = true;
    PLUMB_TRY(open_partial(o));
    if (resume) return cut_incomplete_line(o);
    if (ftruncate(o->fd, 0)) return create_error(o->partial, errno);
    if (old) (void)fchmod(o->fd, old->st_mode & 0777); /* the new file keeps the permissions where that is possible */
    return PLUMB_OK;
}

/* What can be said against a name before anything is opened. */
static plumb_status check_name(const char *name, bool exists, const struct stat *old)
{
    size_t n = strlen(name);
    if (!n)
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "the output has an empty name"),
                          "give the name of a file, or - for stdout");
    if ((exists && S_ISDIR(old->st_mode)) || name[n - 1] == '/')
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: is a folder; expected a file name", name),
                          "give the name of a file in it");
    if (exists && S_ISREG(old->st_mode) && access(name, W_OK))
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: is write-protected: %s", name, strerror(errno)),
                          "choose another output, or: chmod u+w %s", name);
    return PLUMB_OK;
}

/* Can a file be made in the folder of this path? */
static plumb_status check_folder(const char *path)
{
    char *folder = NULL;
    const char *slash = strrchr(path, '/');
    struct stat about;
    PLUMB_TRY(copy_string(&folder, slash ? path : ".", ""));
    if (slash) folder[slash == path ? 1 : slash - path] = 0;
    int error = stat(folder, &about)          ? errno
                : !S_ISDIR(about.st_mode)     ? ENOTDIR
                : access(folder, W_OK | X_OK) ? errno
                                              : 0;
    free(folder);
    return error ? create_error(path, error) : PLUMB_OK;
}

plumb_status plumb_output_check(const char *name)
{
    struct stat old;
    if (standing_for(name) >= 0) return PLUMB_OK;
    bool exists = stat(name, &old) == 0;
    PLUMB_TRY(check_name(name, exists, &old));
    if (exists && !S_ISREG(old.st_mode)) return PLUMB_OK;
    plumb_text path = {0};
    plumb_status s = find_target(name, exists, &path);
    if (!s) s = check_folder(path.data);
    plumb_text_free(&path);
    return s;
}

static plumb_status open_target(plumb_output *o, bool resume)
{
    struct stat old;
    bool exists = stat(o->name, &old) == 0;
    PLUMB_TRY(check_name(o->name, exists, &old));
    if (exists && !S_ISREG(old.st_mode)) {
        o->fd = open(o->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return o->fd < 0 ? create_error(o->name, errno) : PLUMB_OK;
    }
    return open_regular(o, exists ? &old : NULL, resume);
}

static plumb_status open_output(plumb_output *o, const char *path, bool resume)
{
    int standing = standing_for(path);
    PLUMB_TRY(copy_string(&o->name, path && strcmp(path, "-") != 0 ? path : "<stdout>", ""));
    PLUMB_TRY(plumb_new(&o->buffer, BUFFER, 1));
    if (standing < 0) return open_target(o, resume);
    o->fd = fcntl(standing, F_DUPFD_CLOEXEC, 0);
    return o->fd < 0 ? create_error(o->name, errno) : PLUMB_OK;
}

static void free_output(plumb_output *o)
{
    if (o->fd >= 0) close(o->fd);
    free(o->buffer);
    free(o->partial);
    free(o->path);
    free(o->name);
    free(o);
}

plumb_status plumb_output_open(const char *path, bool resume, plumb_output **out)
{
    plumb_output *o = NULL;
    PLUMB_TRY(plumb_new(&o, 1, sizeof *o));
    o->fd = -1;
    plumb_status s = open_output(o, path, resume);
    if (s) {
        free_output(o);
        return s;
    }
    *out = o;
    return PLUMB_OK;
}

bool plumb_output_is_file(const plumb_output *o)
{
    return o->is_file;
}

const char *plumb_output_partial(const plumb_output *o)
{
    return o->is_file ? o->partial : "";
}

void plumb_output_watch(plumb_output *o, const plumb_sink *sink)
{
    struct stat about;
    o->sink = sink;
    o->careful = sink && !(fstat(o->fd, &about) == 0 && S_ISREG(about.st_mode));
}

static bool must_stop(const plumb_output *o)
{
    return o->sink && o->sink->interrupted && o->sink->interrupted(o->sink->user);
}

/* Waits until the reader of a pipe takes something: 0, or EINTR when the user asked to stop and the reader takes
 * nothing for a while. The look up is by time too: a signal may come just before the wait. */
static int wait_for_reader(const plumb_output *o)
{
    struct pollfd wait = {.fd = o->fd, .events = POLLOUT};
    for (;;) {
        bool stop = must_stop(o);
        int n = poll(&wait, 1, stop ? GRACE_MS : o->sink ? LOOK_UP_MS : -1);
        if (n > 0) return 0;
        if (n < 0 && errno != EINTR) return errno;
        if (n == 0 && stop) return EINTR;
    }
}

/* All bytes, or the errno of the failure. A pipe gets pieces that a write never waits with. */
static int write_all(const plumb_output *o, const char *bytes, size_t count)
{
    while (count) {
        int error = o->careful ? wait_for_reader(o) : 0;
        if (error) return error;
        ssize_t n = write(o->fd, bytes, o->careful && count > PIPE_BUF ? PIPE_BUF : count);
        if (n >= 0) {
            bytes += n;
            count -= (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) { /* a reader may have made a pipe non-blocking */
            error = wait_for_reader(o);
            if (error) return error;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static plumb_status write_error(const plumb_output *o, int error)
{
    if (error == EINTR) return plumb_fail(PLUMB_E_INTERRUPTED, "interrupted");
    return system_error(PLUMB_E_IO, o->is_file ? o->partial : o->name, "writing failed", error);
}

plumb_status plumb_output_flush(plumb_output *o)
{
    if (!o->error) o->error = write_all(o, o->buffer, o->used);
    o->used = 0;
    return o->error ? write_error(o, o->error) : PLUMB_OK;
}

plumb_status plumb_output_write(plumb_output *o, const void *bytes, size_t count)
{
    if (count > BUFFER - o->used) PLUMB_TRY(plumb_output_flush(o));
    if (o->error) return write_error(o, o->error);
    if (count >= BUFFER) {
        o->error = write_all(o, bytes, count);
        return o->error ? write_error(o, o->error) : PLUMB_OK;
    }
    if (count) memcpy(o->buffer + o->used, bytes, count);
    o->used += count;
    return PLUMB_OK;
}

/* Makes a rename last through a power cut. File systems that cannot sync folders say EINVAL. */
static plumb_status sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = NULL;
    PLUMB_TRY(copy_string(&folder, slash ? path : ".", ""));
    if (slash) folder[slash == path ? 1 : slash - path] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool failed = fd >= 0 && fsync(fd) && errno != EINVAL && errno != EROFS;
    plumb_status s = failed ? system_error(PLUMB_E_IO, folder, "syncing failed", errno) : PLUMB_OK;
    if (fd >= 0) close(fd);
    free(folder);
    return s;
}

static plumb_status close_fd(plumb_output *o)
{
    int fd = o->fd;
    o->fd = -1;
    return close(fd) && errno != EINTR ? system_error(PLUMB_E_IO, o->name, "closing failed", errno) : PLUMB_OK;
}

static plumb_status commit(plumb_output *o)
{
    PLUMB_TRY(plumb_output_flush(o));
    if (!o->is_file) return close_fd(o);
    if (fsync(o->fd)) return system_error(PLUMB_E_IO, o->partial, "syncing failed", errno);
    if (rename(o->partial, o->path))
        return system_error(PLUMB_E_IO, o->path, "renaming the partial file failed", errno);
    o->partial[0] = 0; /* a new file of that name would be somebody else's */
    PLUMB_TRY(close_fd(o));
    return sync_folder(o->path);
}

plumb_status plumb_output_commit(plumb_output *o)
{
    plumb_status s = commit(o);
    free_output(o);
    return s;
}

void plumb_output_close(plumb_output *o, bool keep)
{
    if (!o) return;
    if (keep || !o->is_file) plumb_status_free(plumb_output_flush(o));
    if (!keep && o->is_file) (void)unlink(o->partial); /* while the lock is held: nobody else's file goes */
    free_output(o);
}

plumb_status plumb_write_file(const char *path, const void *bytes, size_t count)
{
    plumb_output *o = NULL;
    PLUMB_TRY(plumb_output_open(path, false, &o));
    plumb_status s = plumb_output_write(o, bytes, count);
    if (!s) s = commit(o);
    if (s && o->is_file && o->partial[0]) (void)unlink(o->partial);
    free_output(o);
    return s;
}

static plumb_status read_all(const char *path, int fd, size_t limit, plumb_text *t)
{
    size_t start = t->size;
    for (;;) {
        PLUMB_TRY(plumb_reserve(&t->data, &t->capacity, t->size + PIECE, 1));
        ssize_t n = read(fd, t->data + t->size, t->capacity - t->size - 1);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error(PLUMB_E_IO, path, "reading failed", errno);
        t->size += (size_t)n;
        t->data[t->size] = 0;
        if (t->size - start > limit)
            return plumb_fail(PLUMB_E_INPUT, "%s: is larger than the %zu bytes that are sensible for it", path, limit);
        if (n == 0) return PLUMB_OK;
    }
}

plumb_status plumb_read_file(const char *path, size_t limit, plumb_text *t)
{
    int fd = -1;
    int64_t size = -1;
    PLUMB_TRY(plumb_open_file(path, &fd, &size));
    plumb_status s = read_all(path, fd, limit, t);
    close(fd);
    return s;
}

plumb_status plumb_path_join(plumb_text *t, const char *folder, const char *name)
{
    size_t n = strlen(folder);
    PLUMB_TRY(plumb_text_append(t, folder, n));
    if (n && folder[n - 1] != '/') PLUMB_TRY(plumb_text_append(t, "/", 1));
    return plumb_text_string(t, name);
}

bool plumb_path_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

plumb_status plumb_path_holds(const char *folder, const char *name, bool *out)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, name);
    *out = !s && plumb_path_exists(path.data);
    plumb_text_free(&path);
    return s;
}
