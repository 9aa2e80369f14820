#include "io/mapped_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "io/open_file.h"

plumb_status plumb_map(const char *path, plumb_mapped_file *out)
{
    int fd = -1;
    int64_t size = -1;
    *out = (plumb_mapped_file){0};
    PLUMB_TRY(plumb_open_file(path, &fd, &size));
    plumb_status s = PLUMB_OK;
    if (size < 0)
        s = plumb_fail(PLUMB_E_INPUT, "%s: is not a regular file, so it cannot be mapped", path);
    else if ((uint64_t)size > SIZE_MAX)
        s = plumb_fail(PLUMB_E_INPUT, "%s: is too large for this machine's address space", path);
    else if (size > 0) {
        void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            s = plumb_fail(errno == ENOMEM ? PLUMB_E_MEMORY : PLUMB_E_IO, "%s: cannot be mapped: %s", path,
                           strerror(errno));
        else
            *out = (plumb_mapped_file){data, (size_t)size};
    }
    close(fd);
    return s;
}

void plumb_unmap(plumb_mapped_file *file)
{
    if (file->data) munmap((void *)file->data, file->size);
    *file = (plumb_mapped_file){0};
}

/* The pages that overlap the bytes, or with `whole` those within them. */
static void advise(const void *bytes, size_t count, bool whole, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)bytes, end = first + count;
    first = (whole ? first + page - 1 : first) / page * page;
    end = (whole ? end : end + page - 1) / page * page;
    if (first < end) madvise((void *)first, end - first, advice); /* a refusal costs time or memory, nothing else */
}

void plumb_map_want(const void *bytes, size_t count)
{
    advise(bytes, count, false, MADV_WILLNEED);
}

void plumb_map_drop(const void *bytes, size_t count)
{
    advise(bytes, count, true, MADV_DONTNEED);
}
