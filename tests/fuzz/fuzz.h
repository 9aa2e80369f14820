/* What the fuzz targets share: the entry point, and bytes as a file for functions that take a path. */
#ifndef PLUMB_TESTS_FUZZ_FUZZ_H
#define PLUMB_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test that does not hold ends the run. */
static inline void must(int holds)
{
    if (!holds) abort();
}

typedef struct fuzz_file {
    int fd;
    char path[64];
} fuzz_file;

/* The bytes as a file in memory, under a path of /proc. */
static inline fuzz_file fuzz_file_open(const uint8_t *data, size_t size)
{
    fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    must(f.fd >= 0);
    for (size_t done = 0; done < size;) {
        ssize_t n = write(f.fd, data + done, size - done);
        must(n > 0);
        done += (size_t)n;
    }
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

static inline void fuzz_file_close(fuzz_file *f)
{
    close(f->fd);
}

/* Where the first part of an input ends: at its first zero byte, else at its end. */
static inline size_t fuzz_first_part(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    return zero ? (size_t)(zero - data) : size;
}

#endif
