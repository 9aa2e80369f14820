/* Reading a mapping ahead: all of a large part reaches the memory without being touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "scratch.h"
#include "io/mapped_file.h"
#include "io/prefetch.h"

enum { PAGE = 4096, PAGES = 16384 }; /* 64 MiB: more than a system reads at a time */

static size_t pages_in_memory(const plumb_mapped_file *file)
{
    static unsigned char held[PAGES];
    size_t count = 0;
    assert_int_equal(mincore((void *)file->data, file->size, held), 0);
    for (size_t i = 0; i < PAGES; i++) count += held[i] & 1;
    return count;
}

/* A file of which no page is in memory, where the file system can do that. */
static void map_cold(plumb_mapped_file *file)
{
    char *bytes = calloc(PAGES, PAGE);
    int fd = open(scratch("weights"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(bytes && fd >= 0);
    assert_int_equal(write(fd, bytes, (size_t)PAGES * PAGE), PAGES * PAGE);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
    free(bytes);
    assert_null(plumb_map(scratch("weights"), file));
}

static void test_reads_all(void **state)
{
    (void)state;
    plumb_mapped_file file;
    plumb_prefetch *p;
    map_cold(&file);
    size_t before = pages_in_memory(&file);
    if (before > PAGES / 2 || sysconf(_SC_PAGESIZE) != PAGE) {
        print_message("skipped: this file system keeps its files in memory\n");
        plumb_unmap(&file);
        skip();
    }
    assert_null(plumb_prefetch_new(&p));
    size_t half = file.size / 2;
    plumb_prefetch_want(p, file.data, 0);
    plumb_prefetch_want(p, file.data, half);
    plumb_prefetch_want(p, file.data + half, file.size - half);
    for (int i = 0; i < 30000 && pages_in_memory(&file) < PAGES; i++) nanosleep(&(struct timespec){0, 1000000}, NULL);
    assert_int_equal(pages_in_memory(&file), PAGES);
    plumb_prefetch_free(p);
    plumb_unmap(&file);
}

static void test_ends_with_work_left(void **state)
{
    (void)state;
    plumb_mapped_file file;
    plumb_prefetch *p;
    map_cold(&file);
    assert_null(plumb_prefetch_new(&p));
    for (int i = 0; i < 100; i++) plumb_prefetch_want(p, file.data, file.size); /* more than it takes on */
    plumb_prefetch_free(p);
    plumb_prefetch_free(NULL);
    plumb_unmap(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_all),
        cmocka_unit_test(test_ends_with_work_left),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
