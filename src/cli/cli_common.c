#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/progress.h"
#include "cli/calibration.h"
#include "cli/config_file.h"
#include "cli/file_fault.h"

enum {
    NARROWEST_HELP = 80,
    WIDEST_HELP = 100,
    BAR_EVERY_MS = 100,
    LINE_EVERY_MS = 30000,
    MOST_COLUMNS = 240,
    DEFAULT_LENGTH = 1024
};

/* What stands on stderr, and what is to be said there at the end. */
struct plumb_display {
    bool quiet, is_terminal;
    bool bar_shown;
    plumb_pace pace;
    double began, last_shown; /* seconds of the clock */
    char *partial;            /* a partial file that was left, for the last message */
};

/* ---- signals ---- */

/* With the flag of file_fault.c all globals of the program: a signal handler has no other way to say what it saw. */
static volatile sig_atomic_t caught_signal;

static void on_signal(int number)
{
    if (caught_signal) _exit(PLUMB_EXIT_SIGNAL + number);
    caught_signal = number;
}

/* A signal that was ignored when plumb started stays ignored (nohup, background jobs of a script). Reads are not
 * restarted: somebody who waits for a pipe and presses Ctrl-C does not wait for the next row. */
static void catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        struct sigaction action = {.sa_handler = on_signal}, before;
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

static bool sink_interrupted(void *user)
{
    (void)user;
    return caught_signal != 0;
}

/* ---- the terminal ---- */

static int terminal_columns(int fd)
{
    struct winsize window;
    if (ioctl(fd, TIOCGWINSZ, &window) || window.ws_col < 20) return 80;
    return window.ws_col < MOST_COLUMNS ? window.ws_col : MOST_COLUMNS;
}

int plumb_cli_columns(void)
{
    return terminal_columns(STDERR_FILENO);
}

static bool is_terminal(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term && strcmp(term, "dumb") != 0;
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"); /* no-color.org: any value but the empty one */
    return is_terminal(STDERR_FILENO) && (!no || !*no);
}

static void clear_bar(struct plumb_display *d)
{
    if (!d->bar_shown) return;
    /* Spaces, not an escape sequence: every terminal knows them. One column stays free, so that no line wraps. */
    fprintf(stderr, "\r%*s\r", plumb_cli_columns() - 1, "");
    d->bar_shown = false;
}

static void show_progress(struct plumb_display *d)
{
    char line[4 * MOST_COLUMNS];
    if (d->is_terminal) {
        plumb_progress_bar(&d->pace, plumb_cli_columns() - 1, line, sizeof line);
        fprintf(stderr, "\r%s", line);
        d->bar_shown = true;
    } else {
        plumb_progress_line(&d->pace, line, sizeof line);
        fprintf(stderr, "plumb: %s\n", line);
    }
}

static void sink_progress(void *user, const char *unit, double done, double total)
{
    struct plumb_display *d = ((plumb_cli *)user)->display;
    double now = plumb_clock_seconds();
    if (d->quiet) return;
    if (!d->pace.unit || strcmp(unit, d->pace.unit) != 0 || done < d->pace.done) { /* a new job */
        d->pace = (plumb_pace){.unit = unit, .first = done};
        d->began = d->last_shown = now;
    }
    d->pace.done = done;
    d->pace.total = total;
    d->pace.elapsed = now - d->began;
    if (1000 * (now - d->last_shown) < (d->is_terminal ? BAR_EVERY_MS : LINE_EVERY_MS)) return;
    d->last_shown = now;
    show_progress(d);
}

static void sink_note(void *user, const char *text)
{
    plumb_cli_say(user, "plumb: note: %s", text);
}

static PLUMB_PRINTF(2, 0) void print_line(FILE *to, const char *format, va_list args)
{
    vfprintf(to, format, args);
    fputc('\n', to);
}

void plumb_cli_say(plumb_cli *cli, const char *format, ...)
{
    if (cli->display->quiet) return;
    clear_bar(cli->display);
    va_list args;
    va_start(args, format);
    print_line(stderr, format, args);
    va_end(args);
}

void plumb_cli_tell(plumb_cli *cli, const char *format, ...)
{
    if (cli->display->quiet && !cli->common->dry_run) return;
    clear_bar(cli->display);
    va_list args;
    va_start(args, format);
    print_line(cli->common->dry_run ? stdout : stderr, format, args); /* a full disk shows at the end */
    va_end(args);
}

/* ---- errors ---- */

static int exit_code(plumb_code code)
{
    switch (code) {
    case PLUMB_E_NONE:
        return PLUMB_EXIT_DONE;
    case PLUMB_E_INPUT:
    case PLUMB_E_OUTPUT:
        return PLUMB_EXIT_INPUT;
    case PLUMB_E_INTERRUPTED:
        return PLUMB_EXIT_SIGNAL + (caught_signal ? caught_signal : SIGINT);
    case PLUMB_E_IO:
    case PLUMB_E_MEMORY:
    case PLUMB_E_INTERNAL:
    case PLUMB_E_DIVERGED:
        return PLUMB_EXIT_FAILED;
    }
    return PLUMB_EXIT_FAILED;
}

int plumb_cli_error(plumb_status s)
{
    bool colour = wants_colour();
    const char *red = colour ? "\033[1;31m" : "", *plain = colour ? "\033[0m" : "", *cure = plumb_status_cure(s);
    const char *stopper = caught_signal == SIGTERM ? "SIGTERM" : caught_signal == SIGHUP ? "SIGHUP" : "Ctrl-C";
    int code = exit_code(plumb_status_code(s));
    if (plumb_status_code(s) == PLUMB_E_INTERRUPTED)
        fprintf(stderr, "plumb: %sstopped by %s%s\n", red, stopper, plain);
    else
        fprintf(stderr, "plumb: %serror:%s %s\n", red, plain, plumb_status_message(s));
    if (cure) fprintf(stderr, "  %s\n", cure);
    plumb_status_free(s);
    return code;
}

plumb_status plumb_cli_print(const char *text, size_t size)
{
    if (fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0 && !ferror(stdout)) return PLUMB_OK;
    return plumb_fail(PLUMB_E_IO, "<stdout>: writing failed: %s", strerror(errno));
}

void plumb_cli_left_partial(plumb_cli *cli, char *partial)
{
    free(cli->display->partial);
    cli->display->partial = partial;
}

/* A word as the shell reads it. */
static void print_quoted(const char *word)
{
    if (*word &&
        strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-+=.,:/%@") == strlen(word)) {
        fprintf(stderr, " %s", word);
        return;
    }
    fputs(" '", stderr);
    for (const char *p = word; *p; p++) fputs(*p == '\'' ? "'\\''" : (const char[2]){*p, 0}, stderr);
    fputc('\'', stderr);
}

/* How to continue, also with --quiet: whoever was interrupted needs it. */
static void print_way_on(const plumb_cli *cli)
{
    fprintf(stderr, "  what was done is in %s; go on with:\n    plumb %s", cli->display->partial, cli->usage->name);
    if (!cli->common->resume) fputs(" --resume", stderr);
    for (int i = 1; i < cli->argc; i++) print_quoted(cli->argv[i]);
    fputc('\n', stderr);
}

/* ---- common options ---- */

int plumb_cli_threads(const plumb_common *common)
{
    return common->threads > 0 ? (int)common->threads : plumb_cpus();
}

int plumb_cli_default_length(int positions)
{
    return positions < DEFAULT_LENGTH ? positions : DEFAULT_LENGTH;
}

int plumb_cli_max_length(const plumb_cli *cli, int64_t given, int positions, bool official)
{
    if (!plumb_options_given(cli->options, "max_length")) return official ? 0 : plumb_cli_default_length(positions);
    if (given > positions)
        plumb_note(&cli->sink, "--max_length %" PRId64 " is more than the model's %d positions", given, positions);
    return (int)given;
}

void plumb_cli_rows(const plumb_common *common, int64_t *begin, int64_t *end)
{
    *begin = common->range.begin;
    *end = common->range.end;
    bool cut = common->limit > 0 && common->limit < INT64_MAX - *begin;
    if (cut && (*end < 0 || *end - *begin > common->limit)) *end = *begin + common->limit;
}

/* ---- threads ---- */

static void *wait_at(void *gate)
{
    pthread_mutex_lock(gate);
    pthread_mutex_unlock(gate);
    return NULL;
}

/* Can so many threads be at once? OpenMP would end the program without a word of ours when they cannot. */
static plumb_status try_threads(int count)
{
    pthread_t *threads = NULL;
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    int made = 0, error = 0;
    if (count < 2) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&threads, (size_t)count - 1, sizeof *threads));
    pthread_mutex_lock(&gate);
    while (made < count - 1 && !(error = pthread_create(&threads[made], NULL, wait_at, &gate))) made++;
    pthread_mutex_unlock(&gate);
    for (int i = 0; i < made; i++) pthread_join(threads[i], NULL);
    free(threads);
    if (!error) return PLUMB_OK;
    return plumb_cure(
        plumb_fail(PLUMB_E_MEMORY, "%d threads cannot be had here, %d can: %s", count, made + 1, strerror(error)),
        "give fewer --threads, or raise the limits: ulimit -v, ulimit -u");
}

bool plumb_cli_has_option(const plumb_cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->usage->option_count; i++)
        if (strcmp(cli->usage->options[i].name, name) == 0) return true;
    return false;
}

/* ---- running a command ---- */

static plumb_status print_help(const plumb_usage *usage)
{
    plumb_text text = {0};
    int columns = terminal_columns(STDOUT_FILENO);
    if (columns < NARROWEST_HELP) columns = NARROWEST_HELP;
    if (columns > WIDEST_HELP) columns = WIDEST_HELP;
    plumb_status s = plumb_options_help(usage, columns, &text);
    if (!s) s = plumb_cli_print(text.data, text.size);
    plumb_text_free(&text);
    return s;
}

static plumb_status run(plumb_cli *cli, void *values, plumb_cli_body body)
{
    if (plumb_options_wants_help(cli->options)) return print_help(cli->usage);
    if (plumb_options_wants_version(cli->options))
        return plumb_cli_print("plumb " PLUMB_VERSION "\n", sizeof PLUMB_VERSION + 6);
    cli->display->quiet = cli->common->quiet;
    cli->display->is_terminal = is_terminal(STDERR_FILENO);
    catch_signals();
    plumb_catch_file_faults();
    plumb_status s = plumb_options_notes(cli->options, &cli->sink);
    if (!s && plumb_cli_has_option(cli, "threads")) s = try_threads(plumb_cli_threads(cli->common));
    if (!s) s = body(cli, values);
    if (!s && cli->common->dry_run) s = plumb_cli_print("", 0);
    clear_bar(cli->display);
    return s;
}

int plumb_cli_run(const plumb_usage *usage, int argc, char **argv, void *values, plumb_common *common,
                  plumb_cli_body body)
{
    struct plumb_display display = {0};
    plumb_cli cli = {.usage = usage, .common = common, .argc = argc, .argv = argv, .display = &display};
    cli.sink = (plumb_sink){&cli, sink_note, sink_progress, sink_interrupted};
    plumb_status s = plumb_options_parse(usage, plumb_config_file_read, argc, argv, values, &cli.options);
    if (!s) s = run(&cli, values, body);
    int code = s ? plumb_cli_error(s) : cli.exit_code;
    if (display.partial) print_way_on(&cli);
    free(display.partial);
    plumb_options_free(cli.options);
    return code;
}

plumb_status plumb_cli_open_compute(const plumb_common *common, int isa, int compute, plumb_compute **out)
{
    static const char *const isas[] = {NULL, "ref", "avx2", "avx512"}; /* as in PLUMB_OPTION_ISA */
    static const plumb_arithmetic kinds[] = {PLUMB_FP32, PLUMB_BF16_AUTO, PLUMB_BF16_DOT, PLUMB_BF16_ROUNDED};
    plumb_arithmetic arithmetic = kinds[compute];
    PLUMB_TRY(plumb_compute_open(isas[isa], plumb_cli_threads(common), out));
    plumb_status s = arithmetic == PLUMB_BF16_AUTO ? plumb_calibrated_bf16(*out, &arithmetic) : PLUMB_OK;
    if (!s) s = plumb_context(plumb_compute_use(*out, arithmetic), "--compute");
    if (!s) return PLUMB_OK;
    plumb_compute_close(*out);
    *out = NULL;
    return s;
}

plumb_status plumb_cli_record_compute(json_t *meta, const plumb_compute *c)
{
    json_t *options = json_object_get(meta, "options");
    if (json_object_set_new(options, "isa", json_string(plumb_compute_isa(c))) ||
        json_object_set_new(options, "compute", json_string(plumb_compute_arithmetic(c))))
        return plumb_no_memory();
    return PLUMB_OK;
}
