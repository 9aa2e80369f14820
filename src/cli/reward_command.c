#include "cli/reward_command.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

extern char **environ;

enum {
    TICK = 100,           /* milliseconds between two looks at the clock and the user */
    GRACE = 20,           /* such looks between SIGTERM and SIGKILL */
    MOST_OUTPUT = 1 << 26 /* bytes; more is no list of numbers */
};

static const char what_rewards_are[] =
    "a reward is a reward model's folder, which must be there, the word rules, or a command that /bin/sh runs";

typedef struct child {
    const plumb_reward_command *how;
    pid_t pid; /* leads a process group of its own */
    int to, from;
    size_t written;
    plumb_text output;
    double began;
} child;

static void close_end(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* ---- starting ---- */

/* The signals that plumb ignores mean to the command what they mean to every other program. */
static int set_attributes(posix_spawnattr_t *a)
{
    sigset_t usual;
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    sigaddset(&usual, SIGINT);
    int e = posix_spawnattr_setflags(a, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    if (!e) e = posix_spawnattr_setpgroup(a, 0);
    return e ? e : posix_spawnattr_setsigdefault(a, &usual);
}

static int spawn_shell(child *c, int in, int out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char shell[] = "sh", option[] = "-c";
    char *argv[] = {shell, option, (char *)c->how->command, NULL};
    int e = posix_spawn_file_actions_init(&actions);
    if (e) return e;
    e = posix_spawnattr_init(&attributes);
    if (!e) {
        e = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
        if (!e) e = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (!e) e = set_attributes(&attributes);
        if (!e) e = posix_spawn(&c->pid, "/bin/sh", &actions, &attributes, argv, environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

static plumb_status start(child *c)
{
    int in[2] = {-1, -1}, out[2] = {-1, -1}, e = 0;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) e = errno;
    if (!e) e = spawn_shell(c, in[0], out[1]);
    close_end(&in[0]);
    close_end(&out[1]);
    c->to = in[1];
    c->from = out[0];
    if (!e && fcntl(c->to, F_SETFL, O_NONBLOCK) < 0) e = errno;
    return e ? plumb_fail(PLUMB_E_INPUT, "the command cannot be run: %s", strerror(e)) : PLUMB_OK;
}

/* ---- talking ---- */

static plumb_status write_some(child *c, const plumb_text *rows)
{
    ssize_t n = write(c->to, rows->data + c->written, rows->size - c->written);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return PLUMB_OK;
    if (n < 0) {
        int e = errno;
        close_end(&c->to);
        if (e == EPIPE) return PLUMB_OK; /* told at the end, unless the command tells more by its exit */
        return plumb_fail(PLUMB_E_IO, "cannot write to the command: %s", strerror(e));
    }
    c->written += (size_t)n;
    if (c->written == rows->size) close_end(&c->to);
    return PLUMB_OK;
}

static plumb_status read_some(child *c)
{
    char buffer[1 << 14];
    ssize_t n = read(c->from, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return PLUMB_OK;
    if (n < 0) return plumb_fail(PLUMB_E_IO, "cannot read from the command: %s", strerror(errno));
    if (n == 0) close_end(&c->from);
    if (c->output.size + (size_t)n > MOST_OUTPUT)
        return plumb_fail(PLUMB_E_INPUT, "the command writes without end; expected one number a line");
    return n > 0 ? plumb_text_append(&c->output, buffer, (size_t)n) : PLUMB_OK;
}

static plumb_status check_time(const child *c)
{
    PLUMB_TRY(plumb_check_interrupt(c->how->sink));
    if (!(c->how->timeout > 0) || plumb_clock_seconds() - c->began < c->how->timeout) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the command took longer than %g seconds", c->how->timeout),
                      "--reward_timeout gives it more, 0 all the time it wants");
}

static plumb_status talk(child *c, const plumb_text *rows)
{
    while (c->from >= 0) {
        struct pollfd ends[2] = {{.fd = c->from, .events = POLLIN}, {.fd = c->to, .events = POLLOUT}};
        PLUMB_TRY(check_time(c));
        if (poll(ends, 2, TICK) < 0 && errno != EINTR)
            return plumb_fail(PLUMB_E_IO, "cannot wait for the command: %s", strerror(errno));
        if (ends[0].revents) PLUMB_TRY(read_some(c));
        if (c->to >= 0 && ends[1].revents) PLUMB_TRY(write_some(c, rows));
    }
    return PLUMB_OK;
}

/* ---- the end ---- */

static void rest(void)
{
    struct timespec tick = {.tv_nsec = TICK * 1000000L};
    nanosleep(&tick, NULL);
}

/* Has it ended? */
static bool reap(child *c, int *how)
{
    pid_t got = waitpid(c->pid, how, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    if (got < 0) *how = 255 << 8; /* how it ended nobody knows: not taken for success */
    c->pid = 0;
    return true;
}

/* After an error: ends the command and all that it started. */
static void end(child *c)
{
    int how;
    if (c->pid <= 0) return;
    pid_t group = c->pid;
    kill(-group, SIGTERM);
    for (int k = 0; k < GRACE && !reap(c, &how); k++) rest();
    kill(-group, SIGKILL);
    while (c->pid > 0 && !reap(c, &how)) rest();
}

/* It closed its output: waits for its exit. */
static plumb_status wait_for(child *c, const plumb_text *rows)
{
    int how = 0;
    while (!reap(c, &how)) {
        PLUMB_TRY(check_time(c));
        rest();
    }
    if (WIFSIGNALED(how))
        return plumb_fail(PLUMB_E_INPUT, "the command was ended by signal %d (%s)", WTERMSIG(how),
                          strsignal(WTERMSIG(how)));
    if (WEXITSTATUS(how) == 127)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the command ended with exit code 127: /bin/sh does not find it"),
                          what_rewards_are);
    if (WEXITSTATUS(how)) return plumb_fail(PLUMB_E_INPUT, "the command ended with exit code %d", WEXITSTATUS(how));
    if (c->written < rows->size)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "the command stopped reading at byte %zu of %zu", c->written, rows->size),
            "it must read all rows, to the end of its stdin");
    return PLUMB_OK;
}

/* ---- the answer ---- */

/* One line, without its end, as a finite number. */
static bool read_number(const char *line, size_t n, double *out)
{
    char text[64], *rest_of;
    while (n && strchr(" \t\r", line[n - 1])) n--;
    while (n && strchr(" \t", *line)) line++, n--;
    if (!n || n >= sizeof text) return false;
    memcpy(text, line, n);
    text[n] = 0;
    *out = strtod(text, &rest_of);
    return *rest_of == 0 && isfinite(*out);
}

static plumb_status read_answer(const plumb_text *output, size_t count, double *rewards, int64_t *bad)
{
    const char *at = output->data, *last = at + output->size;
    size_t lines = 0;
    for (; at && at < last; lines++) {
        const char *line_end = memchr(at, '\n', (size_t)(last - at));
        size_t n = (size_t)((line_end ? line_end : last) - at);
        double value;
        if (lines < count && !read_number(at, n, &value)) {
            *bad = (int64_t)lines;
            return plumb_fail(PLUMB_E_INPUT, "line %zu of the command's answer is \"%.*s\"%s; expected a finite number",
                              lines + 1, (int)(n < 60 ? n : 60), at, n < 60 ? "" : " ...");
        }
        if (lines < count) rewards[lines] = value;
        at += n + 1;
    }
    if (lines == count) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "the command answered %zu lines for %zu rows", lines, count);
}

plumb_status plumb_reward_command_run(const plumb_reward_command *how, const plumb_text *rows, size_t count,
                                      double *rewards, int64_t *bad)
{
    child c = {.how = how, .to = -1, .from = -1, .began = plumb_clock_seconds()};
    *bad = -1;
    plumb_status s = start(&c);
    if (!s) s = talk(&c, rows);
    close_end(&c.to);
    close_end(&c.from);
    if (!s) s = wait_for(&c, rows);
    end(&c);
    if (!s) s = read_answer(&c.output, count, rewards, bad);
    plumb_text_free(&c.output);
    return s;
}

/* ---- before the first run ---- */

/* The length of the plain word that `at` begins with and that is the name of a command for certain; 0: it is none. */
static size_t plain_word(const char *at)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./+-";
    size_t n = strspn(at, plain), after = n + strspn(at + n, " \t");
    if (*at == '-' || at[after] == '(') return 0; /* an option, a function's definition */
    return at[n] == 0 || after > n ? n : 0;
}

static bool may_be_run(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode) && access(path, X_OK) == 0;
}

/* Asks the shell, which knows its own commands. The word is plain: it means itself. */
static plumb_status ask_shell(const plumb_reward_command *how, const char *word, bool *found)
{
    plumb_text line = {0}, nothing = {0};
    int64_t bad;
    *found = true;
    plumb_status s = plumb_text_printf(&line, "command -v %s >/dev/null 2>&1", word);
    if (!s) s = plumb_text_string(&nothing, "");
    plumb_reward_command asked = {.command = line.data, .timeout = how->timeout, .sink = how->sink};
    if (!s) {
        s = plumb_reward_command_run(&asked, &nothing, 0, NULL, &bad);
        *found = !s;
    }
    plumb_text_free(&line);
    plumb_text_free(&nothing);
    if (plumb_status_code(s) != PLUMB_E_INPUT) return s;
    plumb_status_free(s);
    return PLUMB_OK;
}

plumb_status plumb_reward_command_check(const plumb_reward_command *how)
{
    const char *first = how->command + strspn(how->command, " \t");
    size_t n = plain_word(first);
    bool found = true;
    plumb_text word = {0};
    plumb_status s = n ? plumb_text_append(&word, first, n) : PLUMB_OK;
    if (n && !s && strchr(word.data, '/'))
        found = may_be_run(word.data);
    else if (n && !s)
        s = ask_shell(how, word.data, &found);
    struct stat about;
    if (!s && !found && stat(word.data, &about) == 0 && S_ISREG(about.st_mode))
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is there, but may not be run", word.data),
                       "chmod +x %s, or name its interpreter: 'python3 %s'", word.data, word.data);
    else if (!s && !found)
        s = plumb_cure(first[n] ? plumb_fail(PLUMB_E_INPUT, "/bin/sh finds no program %s", word.data)
                                : plumb_fail(PLUMB_E_INPUT, "is neither a folder nor a program that /bin/sh finds"),
                       what_rewards_are);
    plumb_text_free(&word);
    return s;
}
