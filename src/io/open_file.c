#include "io/open_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool plumb_is_hub_name(const char *name)
{
    char owner[128];
    struct stat about;
    const char *slash = strchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0;
    if (!n || n >= sizeof owner || !slash[1] || strchr(slash + 1, '/') || *name == '.' || *name == '~') return false;
    memcpy(owner, name, n);
    owner[n] = 0;
    return stat(owner, &about) != 0;
}

static plumb_status open_error(const char *path, int error)
{
    if (error == EINTR) return plumb_fail(PLUMB_E_INTERRUPTED, "interrupted"); /* a pipe into which nobody writes */
    plumb_status s =
        plumb_fail(error == EIO ? PLUMB_E_IO : PLUMB_E_INPUT, "%s: cannot be read: %s", path, strerror(error));
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        if (plumb_is_hub_name(path) && !strchr(path, '.')) /* names of files mostly have a dot */
            return plumb_cure(s,
                              "a data set of the Hub must be saved to a file first: python -c \"import datasets; "
                              "datasets.load_dataset('%s', split='train').to_json('data.jsonl')\"",
                              path);
        return plumb_cure(s, "check the path; relative paths start at the current folder");
    case EACCES:
    case EPERM:
        return plumb_cure(s, "ask its owner for read permission, or: chmod u+r %s", path);
    case EMFILE:
        return plumb_cure(s, "raise the limit of open files: ulimit -n");
    default:
        return s;
    }
}

plumb_status plumb_open_file(const char *path, int *fd, int64_t *size)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (opened < 0) return open_error(path, errno);
    struct stat about;
    plumb_status s = fstat(opened, &about) ? open_error(path, errno) : PLUMB_OK;
    if (!s && S_ISDIR(about.st_mode))
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is a folder; expected a file", path), "name a file in it");
    if (s) {
        close(opened);
        return s;
    }
    *fd = opened;
    *size = S_ISREG(about.st_mode) ? (int64_t)about.st_size : -1;
    return PLUMB_OK;
}
