#include "cli/new_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/progress.h"
#include "io/output.h"

static bool is_empty(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) return false;
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(folder));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(folder);
    return empty;
}

static plumb_status check_free(const plumb_new_folder *f)
{
    struct stat about;
    if (lstat(f->out.data, &about) == 0 && !(S_ISDIR(about.st_mode) && is_empty(f->out.data)))
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: exists already%s", f->out.data,
                                     S_ISDIR(about.st_mode) ? " and is not empty" : " and is not a folder"),
                          "give a folder that does not exist, or remove this one");
    if (lstat(f->partial.data, &about) == 0)
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: exists, left by a run that was killed or is still at work",
                                     f->partial.data),
                          "remove it: rm -r %s", f->partial.data);
    return PLUMB_OK;
}

plumb_status plumb_new_folder_name(const char *path, plumb_new_folder *f)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    PLUMB_TRY(plumb_text_append(&f->out, path, n));
    const char *slash = strrchr(f->out.data, '/'), *name = slash ? slash + 1 : f->out.data;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "\"%s\": a folder cannot be made under this name", path),
                          "write the new folder's own name");
    PLUMB_TRY(plumb_text_printf(&f->partial, "%s.partial", f->out.data));
    return check_free(f);
}

/* Better told before the first byte than after the last one that fits. */
static plumb_status check_space(const plumb_new_folder *f, uint64_t bytes)
{
    char needed[32], left[32];
    struct statvfs about;
    if (statvfs(f->partial.data, &about)) return PLUMB_OK;
    uint64_t space = (uint64_t)about.f_bavail * about.f_frsize;
    if (space >= bytes) return PLUMB_OK;
    plumb_format_bytes((double)bytes, needed, sizeof needed);
    plumb_format_bytes((double)space, left, sizeof left);
    return plumb_cure(
        plumb_fail(PLUMB_E_OUTPUT, "%s: the weights take %s, and %s are free there", f->out.data, needed, left),
        "choose another disk, or --dtype bfloat16");
}

plumb_status plumb_new_folder_create(const plumb_new_folder *f, uint64_t bytes)
{
    if (mkdir(f->partial.data, 0777))
        return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: cannot be created: %s", f->partial.data, strerror(errno)),
                          "does the folder above it exist, and may you write there?");
    plumb_status s = check_space(f, bytes);
    if (s) rmdir(f->partial.data);
    return s;
}

/* The folder is this run's own and holds plain files only. */
static void remove_partial(const plumb_new_folder *f)
{
    plumb_text path = {0};
    DIR *folder = opendir(f->partial.data);
    for (const struct dirent *e; folder && (e = readdir(folder));) {
        plumb_text_clear(&path);
        plumb_status s = plumb_path_join(&path, f->partial.data, e->d_name);
        if (!s) unlink(path.data);
        plumb_status_free(s);
    }
    if (folder) closedir(folder);
    rmdir(f->partial.data);
    plumb_text_free(&path);
}

plumb_status plumb_new_folder_finish(const plumb_new_folder *f, plumb_status s)
{
    if (!s && rename(f->partial.data, f->out.data))
        s = plumb_fail(PLUMB_E_IO, "%s: cannot be renamed to %s: %s", f->partial.data, f->out.data, strerror(errno));
    if (s) remove_partial(f);
    return s;
}

void plumb_new_folder_free(plumb_new_folder *f)
{
    plumb_text_free(&f->out);
    plumb_text_free(&f->partial);
}
