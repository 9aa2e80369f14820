/* Rewards from a command: what it is given, what it may answer, and every way in which it can fail. */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cli/reward_command.h"
#include "support.h"

enum { ROWS = 3 };

static plumb_text rows_of(size_t count, size_t width)
{
    plumb_text t = {0};
    for (size_t i = 0; i < count; i++) {
        check_ok(plumb_text_printf(&t, "{\"index\":%zu,\"response\":\"", i));
        for (size_t k = 0; k < width; k++) check_ok(plumb_text_append(&t, "x", 1));
        check_ok(plumb_text_string(&t, "\"}\n"));
    }
    return t;
}

static plumb_status try_command(const char *command, double *rewards, int64_t *bad)
{
    plumb_reward_command how = {.command = command, .timeout = 20};
    plumb_text rows = rows_of(ROWS, 1);
    plumb_status s = plumb_reward_command_run(&how, &rows, ROWS, rewards, bad);
    plumb_text_free(&rows);
    return s;
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        double want[ROWS];
    } cases[] = {
        {"sed 's/.*index\":\\([0-9]*\\).*/\\1.5/'", {0.5, 1.5, 2.5}},
        {"cat >/dev/null; printf '1e3\\n -2 \\r\\n+.25'", {1000, -2, 0.25}}, /* no end of the last line */
        {"cat >/dev/null; echo 1; echo 2; echo 0x10", {1, 2, 16}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rewards[ROWS];
        int64_t bad;
        check_ok(try_command(cases[i].command, rewards, &bad));
        assert_memory_equal(rewards, cases[i].want, sizeof rewards);
        assert_int_equal(bad, -1);
    }
}

static void failures(void **state)
{
    (void)state;
    static const struct {
        const char *command, *text;
        int64_t bad;
    } cases[] = {
        {"cat >/dev/null; echo 1; echo 2", "answered 2 lines for 3 rows", -1},
        {"cat >/dev/null; seq 4", "answered 4 lines for 3 rows", -1},
        {"cat >/dev/null", "answered 0 lines for 3 rows", -1},
        {"cat >/dev/null; echo 1; echo good; echo 3", "line 2 of the command's answer is \"good\"", 1},
        {"cat >/dev/null; echo 1; echo 2; echo 3x", "line 3 of the command's answer is \"3x\"", 2},
        {"cat >/dev/null; echo nan; echo 2; echo 3", "line 1 of the command's answer is \"nan\"", 0},
        {"cat >/dev/null; echo 1; echo 1e999; echo 3", "line 2 of the command's answer is \"1e999\"", 1},
        {"cat >/dev/null; echo 1; echo; echo 3", "line 2 of the command's answer is \"\"", 1},
        {"cat >/dev/null; seq 3; exit 3", "ended with exit code 3", -1},
        {"plumb-no-such-program", "/bin/sh does not find it", -1},
        {"cat >/dev/null; seq 3; kill -SEGV $$", "ended by signal 11", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rewards[ROWS];
        int64_t bad;
        check_error(try_command(cases[i].command, rewards, &bad), PLUMB_E_INPUT, cases[i].text);
        assert_int_equal(bad, cases[i].bad);
    }
}

/* More than a pipe holds, both ways at once. */
static void large(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static double rewards[COUNT];
    int64_t bad;
    plumb_text rows = rows_of(COUNT, 200);
    plumb_reward_command how = {.command = "sed 's/.*index\":\\([0-9]*\\).*/\\1.000000000000000000000/'"};
    check_ok(plumb_reward_command_run(&how, &rows, COUNT, rewards, &bad));
    for (int i = 0; i < COUNT; i++) assert_true(rewards[i] == i);
    how.command = "head -n 2"; /* goes away in the middle */
    plumb_status s = plumb_reward_command_run(&how, &rows, COUNT, rewards, &bad);
    check_error(s, PLUMB_E_INPUT, "stopped reading at byte");
    plumb_text_free(&rows);
}

static bool at_once(void *user)
{
    return ++*(int *)user > 2;
}

static bool is_running(const char *file)
{
    FILE *f = fopen(file, "r");
    int pid = 0;
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    return kill(pid, 0) == 0;
}

/* A command that does not come back is ended with all that it started, and waited for. */
static void ended(void **state)
{
    (void)state;
    char command[1024];
    const char *file = PLUMB_TEST_SCRATCH "/reward_command_pid";
    double rewards[ROWS];
    int64_t bad;
    int questions = 0;
    plumb_text rows = rows_of(ROWS, 1);
    plumb_sink sink = {.user = &questions, .interrupted = at_once};
    snprintf(command, sizeof command, "sleep 600 & echo $! >'%s'; wait", file);
    plumb_reward_command how = {.command = command, .timeout = 0.3};
    check_error(plumb_reward_command_run(&how, &rows, ROWS, rewards, &bad), PLUMB_E_INPUT, "longer than 0.3 seconds");
    for (int k = 0; k < 100 && is_running(file); k++) nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    assert_false(is_running(file));
    how = (plumb_reward_command){.command = "trap '' TERM; sleep 600", .sink = &sink};
    check_error(plumb_reward_command_run(&how, &rows, ROWS, rewards, &bad), PLUMB_E_INTERRUPTED, "");
    plumb_text_free(&rows);
}

/* What can be told of a command without running it. */
static void checked(void **state)
{
    (void)state;
    static const struct {
        const char *command, *text; /* NULL: nothing is wrong with it, or it cannot be told */
    } cases[] = {
        {"awk '{ print 1 }'", NULL},
        {"  /bin/sh grade.sh", NULL},
        {"while read -r line; do echo 1; done", NULL},    /* a word of the shell */
        {"cd /nowhere && plumb-no-such-program", NULL},   /* only the first word is looked at */
        {"plumb_grade() { echo 1; }; plumb_grade", NULL}, /* its own function */
        {"plumb_grade () { echo 1; }; plumb_grade", NULL},
        {"A=1 plumb-no-such-program", NULL},
        {"$GRADE", NULL},
        {"'plumb-no-such-program'", NULL},
        {"plumb-no-such-program", "is neither a folder nor a program that /bin/sh finds"},
        {"rule", "a reward model's folder, which must be there, the word rules, or a command"},
        {" plumb-no-such-program --fast", "/bin/sh finds no program plumb-no-such-program"},
        {"./no/such/folder", "is neither a folder nor a program"},
        {"/etc/passwd x", "/etc/passwd: is there, but may not be run"}, /* there, but no program */
        {"/etc", "is neither a folder nor a program"},                  /* the caller knows folders */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        plumb_reward_command how = {.command = cases[i].command, .timeout = 20};
        if (cases[i].text)
            check_error(plumb_reward_command_check(&how), PLUMB_E_INPUT, cases[i].text);
        else
            check_ok(plumb_reward_command_check(&how));
    }
    plumb_reward_command runs = {.command = "touch " PLUMB_TEST_SCRATCH "/reward_command_run"};
    check_ok(plumb_reward_command_check(&runs)); /* and it is not run */
    assert_int_not_equal(access(PLUMB_TEST_SCRATCH "/reward_command_run", F_OK), 0);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as main does */
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(failures), cmocka_unit_test(large),
                                       cmocka_unit_test(ended), cmocka_unit_test(checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
