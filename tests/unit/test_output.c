/* Output: complete or not at all, resumable, locked, and honest about every failure. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "io/output.h"
#include "unit/scratch.h"

static void assert_content(const char *path, const char *expected)
{
    plumb_text t = {0};
    assert_ok(plumb_read_file(path, 1 << 20, &t));
    assert_string_equal(t.data, expected);
    plumb_text_free(&t);
}

static plumb_output *open_ok(const char *path, bool resume)
{
    plumb_output *o = NULL;
    assert_ok(plumb_output_open(path, resume, &o));
    return o;
}

static void put(plumb_output *o, const char *text)
{
    assert_ok(plumb_output_write(o, text, strlen(text)));
}

static void appears_on_commit(void **state)
{
    (void)state;
    const char *path = scratch("commit.jsonl"), *partial = scratch("commit.jsonl.partial");
    plumb_output *o = open_ok(path, false);
    assert_true(plumb_output_is_file(o));
    assert_string_equal(plumb_output_partial(o), partial);
    put(o, "one\n");
    assert_false(plumb_path_exists(path));
    assert_true(plumb_path_exists(partial));
    assert_ok(plumb_output_commit(o));
    assert_false(plumb_path_exists(partial));
    assert_content(path, "one\n");
    o = open_ok(path, false); /* an old file stays until the new one is complete */
    put(o, "two\n");
    assert_ok(plumb_output_flush(o));
    assert_content(path, "one\n");
    assert_ok(plumb_output_commit(o));
    assert_content(path, "two\n");
}

static void closing_keeps_or_drops(void **state)
{
    (void)state;
    const char *path = scratch("close.jsonl"), *partial = scratch("close.jsonl.partial");
    plumb_output *o = open_ok(path, false);
    put(o, "row\n");
    plumb_output_close(o, true);
    assert_content(partial, "row\n");
    plumb_output_close(open_ok(path, true), false);
    assert_false(plumb_path_exists(partial));
    assert_false(plumb_path_exists(path));
    plumb_output_close(NULL, true);
}

static void resume_cuts_an_incomplete_line(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
    } cases[] = {{"", "+\n"},           {"half", "+\n"},         {"a\n", "a\n+\n"},
                 {"a\nhalf", "a\n+\n"}, {"a\nb\n", "a\nb\n+\n"}, {"a\r\nx", "a\r\n+\n"},
                 {"\n", "\n+\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        scratch_file("resume.jsonl.partial", cases[i].before, strlen(cases[i].before));
        plumb_output *o = open_ok(scratch("resume.jsonl"), true);
        put(o, "+\n");
        assert_ok(plumb_output_commit(o));
        assert_content(scratch("resume.jsonl"), cases[i].after);
    }
}

static void resume_finds_a_line_end_far_back(void **state)
{
    (void)state;
    size_t n = 1000003;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    text[4] = '\n';
    scratch_file("far.partial", text, n);
    plumb_output *o = open_ok(scratch("far"), true);
    assert_ok(plumb_output_commit(o));
    assert_content(scratch("far"), "xxxx\n");
    scratch_file("far.partial", text, n);
    plumb_output_close(open_ok(scratch("far"), false), true); /* without resume everything goes */
    assert_content(scratch("far.partial"), "");
    free(text);
}

static void large_and_small_writes_keep_their_order(void **state)
{
    (void)state;
    enum { PIECES = 40, LARGE = 300000 };
    char *text = malloc(LARGE), *whole = malloc((size_t)PIECES * LARGE);
    assert_true(text && whole);
    size_t size = 0;
    plumb_output *o = open_ok(scratch("large"), false);
    for (int i = 0; i < PIECES; i++) {
        size_t n = i % 3 == 0 ? LARGE : (size_t)i * 17;
        memset(text, 'a' + i % 26, n);
        memcpy(whole + size, text, n);
        size += n;
        assert_ok(plumb_output_write(o, text, n));
    }
    assert_ok(plumb_output_commit(o));
    plumb_text t = {0};
    assert_ok(plumb_read_file(scratch("large"), size, &t));
    assert_int_equal(t.size, size);
    assert_memory_equal(t.data, whole, size);
    plumb_text_free(&t);
    free(text);
    free(whole);
}

static void two_writers_of_one_file(void **state)
{
    (void)state;
    plumb_output *o = open_ok(scratch("twice"), false), *second = NULL;
    put(o, "a\n");
    assert_ok(plumb_output_flush(o));
    assert_says(plumb_output_open(scratch("twice"), false, &second), PLUMB_E_OUTPUT, "another process is writing it");
    assert_says(plumb_output_open(scratch("twice"), true, &second), PLUMB_E_OUTPUT, "another process is writing it");
    assert_content(scratch("twice.partial"), "a\n"); /* the loser has not emptied it */
    assert_ok(plumb_output_commit(o));
    plumb_output_close(open_ok(scratch("twice"), false), false);
    assert_content(scratch("twice"), "a\n");
}

static void what_cannot_be_created(void **state)
{
    (void)state;
    plumb_output *o = NULL;
    mkdir(scratch("folder"), 0777);
    mkdir(scratch("blocked.partial"), 0777);
    scratch_file("plain", "x", 1);
    assert_says(plumb_output_open(scratch("no/such/file"), false, &o), PLUMB_E_OUTPUT, "No such file or directory");
    assert_says(plumb_output_open(scratch("no/such/file"), false, &o), PLUMB_E_OUTPUT, "/no/such");
    assert_says(plumb_output_open(scratch("no/such/file"), false, &o), PLUMB_E_OUTPUT, "mkdir -p");
    assert_says(plumb_output_open(scratch("folder"), false, &o), PLUMB_E_OUTPUT, "is a folder");
    assert_says(plumb_output_open(scratch("new/"), false, &o), PLUMB_E_OUTPUT, "is a folder");
    assert_says(plumb_output_open("", false, &o), PLUMB_E_OUTPUT, "empty name");
    assert_says(plumb_output_open(scratch("plain/x"), false, &o), PLUMB_E_OUTPUT, "is a file, not a folder");
    assert_says(plumb_output_open(scratch("blocked"), false, &o), PLUMB_E_OUTPUT, "blocked.partial");
    if (geteuid() != 0) { /* root may write everywhere */
        mkdir(scratch("closed"), 0555);
        assert_says(plumb_output_open(scratch("closed/x"), false, &o), PLUMB_E_OUTPUT, "in which you may write");
        chmod(scratch_file("protected", "x", 1), 0444);
        assert_says(plumb_output_open(scratch("protected"), false, &o), PLUMB_E_OUTPUT, "write-protected");
    }
    assert_says(plumb_output_open("/proc/self/fd/99999", false, &o), PLUMB_E_OUTPUT, "Bad file descriptor");
}

/* Runs f with file descriptor 1 replaced by an open file. */
static void with_stdout(int fd, void (*f)(void))
{
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    dup2(fd, STDOUT_FILENO);
    close(fd);
    f();
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

static void disk_full_on(const char *path)
{
    char big[1 << 19];
    memset(big, 'x', sizeof big);
    plumb_output *o = open_ok(path, false);
    assert_false(plumb_output_is_file(o));
    assert_string_equal(plumb_output_partial(o), "");
    put(o, "row\n");
    assert_says(plumb_output_commit(o), PLUMB_E_IO, "No space left on device");
    o = open_ok(path, false);
    assert_says(plumb_output_write(o, big, sizeof big), PLUMB_E_IO, "No space left on device");
    assert_says(plumb_output_write(o, "more", 4), PLUMB_E_IO, "No space left on device");
    assert_says(plumb_output_flush(o), PLUMB_E_IO, "No space left on device");
    plumb_output_close(o, true);
}

static void fill_stdout(void)
{
    disk_full_on("-");
    disk_full_on(NULL);
    disk_full_on("/dev/stdout");
}

static void a_full_disk(void **state)
{
    (void)state;
    if (!plumb_path_exists("/dev/full")) skip();
    disk_full_on("/dev/full");
    with_stdout(open("/dev/full", O_WRONLY), fill_stdout);
}

static void write_to_stdout(void)
{
    plumb_output *o = open_ok("/dev/stdout", false);
    put(o, "b\n");
    assert_ok(plumb_output_commit(o));
    o = open_ok("-", true);
    put(o, "c\n");
    plumb_output_close(o, false);
}

/* As behind `plumb ... -o /dev/stdout >> log`: the log is neither replaced nor written from its beginning. */
static void stdout_that_the_shell_sent_to_a_file(void **state)
{
    (void)state;
    scratch_file("log", "a\n", 2);
    with_stdout(open(scratch("log"), O_WRONLY | O_APPEND), write_to_stdout);
    assert_content(scratch("log"), "a\nb\nc\n");
    assert_false(plumb_path_exists("/dev/stdout.partial"));
}

static void write_to_broken_pipe(void)
{
    plumb_output *o = open_ok("-", false);
    put(o, "x\n");
    assert_says(plumb_output_flush(o), PLUMB_E_IO, "Broken pipe");
    plumb_output_close(o, true);
}

static void a_reader_that_went_away(void **state)
{
    (void)state;
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    with_stdout(ends[1], write_to_broken_pipe);
}

static void a_named_pipe_is_written_directly(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(scratch("pipe"), 0666), 0);
    int reader = open(scratch("pipe"), O_RDONLY | O_NONBLOCK);
    plumb_output *o = open_ok(scratch("pipe"), false);
    assert_false(plumb_output_is_file(o));
    put(o, "x\n");
    assert_ok(plumb_output_commit(o));
    char got[4] = {0};
    assert_int_equal(read(reader, got, sizeof got), 2);
    assert_string_equal(got, "x\n");
    close(reader);
}

static void a_slow_reader_of_a_non_blocking_pipe(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* reads everything, slowly at first, and tells whether it was all */
        char buffer[4096];
        size_t total = 0;
        close(ends[1]);
        usleep(50000);
        for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) total += (size_t)n;
        _exit(total == SIZE ? 0 : 1);
    }
    close(ends[0]);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    char path[32], *text = calloc(1, SIZE);
    assert_non_null(text);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    plumb_output *o = open_ok(path, false);
    close(ends[1]);
    assert_ok(plumb_output_write(o, text, SIZE));
    assert_ok(plumb_output_commit(o));
    int status = 1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    free(text);
}

static bool asked_to_stop(void *user)
{
    return ++*(int *)user > 1;
}

/* Nobody reads: the write ends when the user asks to stop, without a signal to wake it. */
static void a_reader_that_sleeps_lets_the_user_stop(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    int ends[2], asked = 0;
    char path[32], *text = calloc(1, SIZE);
    plumb_sink sink = {.user = &asked, .interrupted = asked_to_stop};
    assert_non_null(text);
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    plumb_output *o = open_ok(path, false);
    plumb_output_watch(o, &sink);
    assert_says(plumb_output_write(o, text, SIZE), PLUMB_E_INTERRUPTED, "interrupted");
    assert_says(plumb_output_flush(o), PLUMB_E_INTERRUPTED, "interrupted");
    plumb_output_close(o, true);
    close(ends[0]);
    close(ends[1]);
    free(text);
}

static void a_link_to_nowhere_gets_a_file_there(void **state)
{
    (void)state;
    plumb_text target = {0};
    struct stat about;
    assert_int_equal(mkdir(scratch("away"), 0777), 0);
    assert_int_equal(symlink("away/new", scratch("dangling")), 0);
    assert_ok(plumb_output_target(scratch("dangling"), &target));
    assert_string_equal(target.data, scratch("away/new"));
    assert_ok(plumb_write_file(scratch("dangling"), "text", 4));
    assert_content(scratch("away/new"), "text");
    assert_int_equal(lstat(scratch("dangling"), &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(symlink("round", scratch("round")), 0);
    plumb_output *o = NULL;
    assert_says(plumb_output_open(scratch("round"), false, &o), PLUMB_E_OUTPUT, "symbolic links");
    plumb_text_free(&target);
}

static void checks_create_nothing(void **state)
{
    (void)state;
    assert_ok(plumb_output_check("-"));
    assert_ok(plumb_output_check("/dev/null"));
    assert_ok(plumb_output_check(scratch("later")));
    assert_says(plumb_output_check(""), PLUMB_E_OUTPUT, "empty name");
    assert_says(plumb_output_check("/"), PLUMB_E_OUTPUT, "is a folder");
    assert_says(plumb_output_check(scratch("not/here")), PLUMB_E_OUTPUT, "mkdir -p");
    assert_says(plumb_output_check("/dev/null/x"), PLUMB_E_OUTPUT, "is a file, not a folder");
    assert_false(plumb_path_exists(scratch("later")));
    assert_false(plumb_path_exists(scratch("later.partial")));
}

static void links_and_permissions_stay(void **state)
{
    (void)state;
    chmod(scratch_file("real", "old", 3), 0640);
    assert_int_equal(symlink("real", scratch("link")), 0);
    assert_ok(plumb_write_file(scratch("link"), "new", 3));
    struct stat about;
    assert_int_equal(lstat(scratch("link"), &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_content(scratch("real"), "new");
    assert_int_equal(stat(scratch("real"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
}

static void whole_files(void **state)
{
    (void)state;
    assert_ok(plumb_write_file(scratch("whole"), "text", 4));
    plumb_text t = {0};
    assert_ok(plumb_text_string(&t, "before "));
    assert_ok(plumb_read_file(scratch("whole"), 4, &t));
    assert_string_equal(t.data, "before text");
    assert_says(plumb_read_file(scratch("whole"), 3, &t), PLUMB_E_INPUT, "is larger than the 3 bytes");
    assert_says(plumb_read_file(scratch("absent"), 3, &t), PLUMB_E_INPUT, "No such file");
    assert_says(plumb_read_file(scratch(""), 3, &t), PLUMB_E_INPUT, "is a folder");
    plumb_text_clear(&t);
    assert_ok(plumb_path_join(&t, "a", "b"));
    assert_ok(plumb_text_string(&t, " "));
    assert_ok(plumb_path_join(&t, "a/", "b"));
    assert_ok(plumb_text_string(&t, " "));
    assert_ok(plumb_path_join(&t, "", "b"));
    assert_string_equal(t.data, "a/b a/b b");
    plumb_text_free(&t);
}

/* With a limit on the size of files the write fails on the way: the old file stays, complete lines wait in the partial
 * file, and whole small files leave nothing behind. */
static void a_failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    scratch_file("kept", "old", 3);
    static const char row[8] = {'1', '2', '3', '4', '5', '6', '7', '\n'};
    char rows[8192];
    for (size_t i = 0; i < sizeof rows; i += sizeof row) memcpy(rows + i, row, sizeof row);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    low = old;
    low.rlim_cur = 4099;
    plumb_output *o = open_ok(scratch("kept"), false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
    plumb_status written = plumb_output_write(o, rows, sizeof rows), committed = plumb_output_commit(o);
    plumb_status whole = plumb_write_file(scratch("whole2"), rows, sizeof rows);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_ok(written); /* buffered */
    assert_says(committed, PLUMB_E_IO, "File too large");
    assert_says(whole, PLUMB_E_IO, "File too large");
    assert_content(scratch("kept"), "old");
    assert_false(plumb_path_exists(scratch("whole2")));
    assert_false(plumb_path_exists(scratch("whole2.partial")));
    plumb_output_close(open_ok(scratch("kept"), true), true);
    struct stat about;
    assert_int_equal(stat(scratch("kept.partial"), &about), 0);
    assert_int_equal(about.st_size, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appears_on_commit),
        cmocka_unit_test(closing_keeps_or_drops),
        cmocka_unit_test(resume_cuts_an_incomplete_line),
        cmocka_unit_test(resume_finds_a_line_end_far_back),
        cmocka_unit_test(large_and_small_writes_keep_their_order),
        cmocka_unit_test(two_writers_of_one_file),
        cmocka_unit_test(what_cannot_be_created),
        cmocka_unit_test(a_full_disk),
        cmocka_unit_test(stdout_that_the_shell_sent_to_a_file),
        cmocka_unit_test(a_reader_that_went_away),
        cmocka_unit_test(a_named_pipe_is_written_directly),
        cmocka_unit_test(a_slow_reader_of_a_non_blocking_pipe),
        cmocka_unit_test(a_reader_that_sleeps_lets_the_user_stop),
        cmocka_unit_test(a_link_to_nowhere_gets_a_file_there),
        cmocka_unit_test(checks_create_nothing),
        cmocka_unit_test(links_and_permissions_stay),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(a_failed_write_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
