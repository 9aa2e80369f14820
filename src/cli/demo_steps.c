#include "cli/demo_steps.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "io/mapped_file.h"
#include "io/output.h"

#define LOG_NAME "plumb-demo.log"

/* ---- paths ---- */

static plumb_status join(plumb_demo *d, const char *folder, const char *name, const char **out)
{
    plumb_text path = {0};
    plumb_status s = plumb_path_join(&path, folder, name);
    if (!s) s = plumb_arena_copy(&d->arena, out, path.data, path.size);
    plumb_text_free(&path);
    return s;
}

plumb_status plumb_demo_path(plumb_demo *d, const char *name, const char **out)
{
    return join(d, d->folder, name, out);
}

static bool is_there(const char *path)
{
    return access(path, R_OK) == 0;
}

/* ---- the world ---- */

/* What the demo needs of it. */
static const char *const needed[] = {"model/config.json",  "model/model.safetensors", "prompts.train.jsonl",
                                     "prompts.test.jsonl", "persona.jsonl",           "dpo.yaml",
                                     "persona.yaml"};

static plumb_status check_world(plumb_demo *d)
{
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        const char *path = NULL;
        PLUMB_TRY(join(d, d->world, needed[i], &path));
        if (!is_there(path))
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: the demo world lacks this file", path),
                              "recipes/make_world.sh makes it anew; PLUMB_WORLD names another folder");
    }
    return PLUMB_OK;
}

/* The folder of the program, without a slash at its end. */
static plumb_status program_folder(plumb_demo *d, char **out)
{
    enum { LONGEST = 4096 };
    PLUMB_TRY(plumb_arena_new(&d->arena, out, LONGEST, 1));
    ssize_t n = readlink("/proc/self/exe", *out, LONGEST - 1);
    if (n < 0) return plumb_fail(PLUMB_E_IO, "/proc/self/exe: %s", strerror(errno));
    char *slash = strrchr(*out, '/');
    if (slash) *slash = 0;
    return PLUMB_OK;
}

plumb_status plumb_demo_find_world(plumb_demo *d, const char *given)
{
    static const char *const places[] = {"world", "../share/plumb/world"};
    char *folder = NULL;
    d->world = given;
    if (given) return check_world(d);
    PLUMB_TRY(program_folder(d, &folder));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *config = NULL;
        PLUMB_TRY(join(d, folder, places[i], &d->world));
        PLUMB_TRY(join(d, d->world, needed[0], &config));
        if (is_there(config)) return check_world(d);
    }
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the demo world is neither in %s/world nor in %s/../share/plumb/world",
                                 folder, folder),
                      "it is the folder world of plumb's sources; set PLUMB_WORLD to it");
}

/* ---- the folder and its log ---- */

/* The first line of the log: another program, model or size would give other numbers. */
static plumb_status first_line(plumb_demo *d, plumb_text *out)
{
    const char *path = NULL;
    plumb_mapped_file weights = {0};
    PLUMB_TRY(join(d, d->world, needed[1], &path));
    PLUMB_TRY(plumb_map(path, &weights));
    uint64_t hash = XXH3_64bits(weights.data, weights.size);
    plumb_unmap(&weights);
    return plumb_text_printf(
        out, "plumb demo %s, world %016" PRIx64 ", limit %" PRId64 ", steps %" PRId64 ", seed %" PRId64 "\n",
        PLUMB_VERSION, hash, d->limit, d->steps, d->seed);
}

static bool is_empty_folder(const char *path)
{
    DIR *folder = opendir(path);
    int entries = 0;
    if (!folder) return false;
    while (readdir(folder)) entries++;
    closedir(folder);
    return entries <= 2; /* . and .. */
}

static plumb_status append_log(plumb_demo *d, const char *line)
{
    const char *path = NULL;
    PLUMB_TRY(plumb_demo_path(d, LOG_NAME, &path));
    FILE *f = fopen(path, "a");
    bool good = f && fputs(line, f) >= 0;
    if (f && fclose(f) != 0) good = false;
    if (!good) return plumb_fail(PLUMB_E_OUTPUT, "%s: %s", path, strerror(errno));
    return plumb_text_string(&d->log, line);
}

static plumb_status read_log(plumb_demo *d, const char *path, const char *expected)
{
    plumb_mapped_file file = {0};
    PLUMB_TRY(plumb_map(path, &file));
    plumb_status s = plumb_text_append(&d->log, file.data, file.size);
    plumb_unmap(&file);
    if (s || strncmp(d->log.data, expected, strlen(expected)) == 0) return s;
    return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: holds a demo of another plumb, world or size", d->folder),
                      "give another folder with -o, or remove this one");
}

plumb_status plumb_demo_open(plumb_demo *d)
{
    const char *path = NULL;
    plumb_text line = {0};
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_demo_path(d, LOG_NAME, &path));
    PLUMB_GO(first_line(d, &line));
    if (is_there(path)) {
        s = read_log(d, path, line.data);
    } else if (mkdir(d->folder, 0777) != 0 && errno != EEXIST) {
        s = plumb_fail(PLUMB_E_OUTPUT, "%s: %s", d->folder, strerror(errno));
    } else if (!is_empty_folder(d->folder)) {
        s = plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: is there and holds something else", d->folder),
                       "give another folder with -o");
    } else {
        s = append_log(d, line.data);
    }
done:
    plumb_text_free(&line);
    return s;
}

/* Is `line` one of the lines of the log? */
static bool is_done(const plumb_demo *d, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = d->log.data; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : p)
        if (strncmp(p, line, n) == 0) return true;
    return false;
}

/* ---- words ---- */

typedef struct words {
    const char *items[PLUMB_DEMO_WORDS + 8];
    size_t count;
} words;

static plumb_status number_word(plumb_demo *d, const char *name, words *out)
{
    const struct {
        const char *name;
        int64_t value;
        bool always;
    } values[] = {{"limit", d->limit, false},
                  {"steps", d->steps, false},
                  {"same_steps", d->same_steps, false},
                  {"seed", d->seed, true}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(values[i].name, name) != 0) continue;
        if (!values[i].value && !values[i].always) {
            out->count--;
            return PLUMB_OK;
        }
        char digits[24];
        snprintf(digits, sizeof digits, "%" PRId64, values[i].value);
        return plumb_arena_copy(&d->arena, &out->items[out->count++], digits, strlen(digits));
    }
    return plumb_fail(PLUMB_E_INTERNAL, "plumb demo: there is no value =%s", name);
}

static plumb_status add_trained(plumb_demo *d, const char *name, words *out)
{
    const char *folder = NULL, *adapter = NULL;
    PLUMB_TRY(plumb_demo_path(d, name, &folder));
    PLUMB_TRY(join(d, folder, "adapter_config.json", &adapter));
    if (is_there(adapter)) {
        PLUMB_TRY(join(d, d->world, "model", &out->items[out->count++]));
        out->items[out->count++] = "--adapter";
    }
    out->items[out->count++] = folder;
    return PLUMB_OK;
}

static plumb_status add_word(plumb_demo *d, const char *word, words *out)
{
    if (*word == '!') return add_trained(d, word + 1, out);
    if (*word == '@') return plumb_demo_path(d, word + 1, &out->items[out->count++]);
    if (*word == '=') return number_word(d, word + 1, out);
    if (*word == '%' || *word == '?') {
        const char *path = NULL;
        PLUMB_TRY(join(d, d->world, word + 1, &path));
        if (*word == '?' && !is_there(path))
            out->count--;
        else
            out->items[out->count++] = path;
        return PLUMB_OK;
    }
    out->items[out->count++] = word;
    return PLUMB_OK;
}

static plumb_status expand(plumb_demo *d, const plumb_demo_step *step, words *out)
{
    *out = (words){.items = {"plumb"}, .count = 1};
    for (size_t i = 0; step->words[i]; i++) PLUMB_TRY(add_word(d, step->words[i], out));
    out->items[out->count++] = "-o";
    return plumb_demo_path(d, step->output, &out->items[out->count++]);
}

/* As a shell would read it back. */
static plumb_status quote(const char *word, plumb_text *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,%+@-";
    if (*word && strspn(word, plain) == strlen(word)) return plumb_text_string(out, word);
    PLUMB_TRY(plumb_text_string(out, "'"));
    for (const char *p = word; *p; p++)
        PLUMB_TRY(*p == '\'' ? plumb_text_string(out, "'\\''") : plumb_text_append(out, p, 1));
    return plumb_text_string(out, "'");
}

static plumb_status command_line(const words *w, plumb_text *out)
{
    for (size_t i = 0; i < w->count; i++) {
        if (i) PLUMB_TRY(plumb_text_string(out, " "));
        PLUMB_TRY(quote(w->items[i], out));
    }
    return plumb_text_string(out, "\n");
}

/* ---- a child ---- */

/* The environment without what would change the commands: they are to be what is printed. */
static plumb_status clean_environment(plumb_demo *d, char ***out)
{
    size_t n = 0, kept = 0;
    while (environ[n]) n++;
    PLUMB_TRY(plumb_arena_new(&d->arena, out, n + 2, sizeof **out));
    for (size_t i = 0; i < n; i++) {
        bool stays = strncmp(environ[i], "PLUMB_", 6) != 0 || strncmp(environ[i], "PLUMB_ISA=", 10) == 0;
        if (stays) (*out)[kept++] = environ[i];
    }
    if (!d->threads) return PLUMB_OK;
    char threads[32];
    snprintf(threads, sizeof threads, "PLUMB_THREADS=%d", d->threads);
    return plumb_arena_copy(&d->arena, &(*out)[kept], threads, strlen(threads));
}

/* Waits, and passes a wish to stop on, once: SIGTERM, upon which every command keeps what is complete. */
static plumb_status wait_for(plumb_demo *d, pid_t child, int *code)
{
    const struct timespec pause = {0, 5000000};
    plumb_status stopped = PLUMB_OK;
    int state = 0;
    for (;;) {
        pid_t ended = waitpid(child, &state, WNOHANG);
        if (ended == child) break;
        if (ended < 0 && errno != EINTR) return plumb_fail(PLUMB_E_IO, "waiting for a command: %s", strerror(errno));
        if (!stopped) {
            stopped = plumb_check_interrupt(&d->cli->sink);
            if (stopped) kill(child, SIGTERM);
        }
        nanosleep(&pause, NULL);
    }
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : PLUMB_EXIT_SIGNAL + WTERMSIG(state);
    return stopped ? stopped : plumb_check_interrupt(&d->cli->sink);
}

/* Runs the program with these words, quietly, in a process group of its own, so that Ctrl-C comes through here. */
static plumb_status run_child(plumb_demo *d, words *w, int *code)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    char **environment = NULL;
    pid_t child = 0;
    PLUMB_TRY(clean_environment(d, &environment));
    w->items[w->count++] = "--quiet";
    w->items[w->count] = NULL;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    int failed =
        posix_spawn(&child, "/proc/self/exe", &actions, &attributes, (char *const *)(uintptr_t)w->items, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed) return plumb_fail(PLUMB_E_IO, "the command could not be started: %s", strerror(failed));
    return wait_for(d, child, code);
}

/* Trainings go on by themselves from nothing; other commands are told to where there is a beginning. */
static plumb_status add_resume(plumb_demo *d, const plumb_demo_step *step, words *w)
{
    plumb_text partial = {0};
    plumb_status s = plumb_text_printf(&partial, "%s/%s.partial", d->folder, step->output);
    if (!s && (strcmp(step->words[0], "dpo") == 0 || is_there(partial.data))) w->items[w->count++] = "--resume";
    plumb_text_free(&partial);
    return s;
}

/* ---- what is said ---- */

/* Words of a paragraph, folded at the width between two of them; blanks and line ends before the first stay. */
static plumb_status put_folded(plumb_text *out, const char *text, int indent, int width)
{
    size_t lead = strspn(text, " \n");
    PLUMB_TRY(plumb_text_append(out, text, lead));
    int column = (int)lead, gap = 0;
    for (const char *p = text + lead; *p; p += gap) {
        size_t n = strcspn(p, " ");
        if (gap && column + gap + (int)n > width) {
            PLUMB_TRY(plumb_text_printf(out, "\n%*s", indent, ""));
            column = indent;
        } else {
            PLUMB_TRY(plumb_text_printf(out, "%*s", gap, ""));
            column += gap;
        }
        PLUMB_TRY(plumb_text_append(out, p, n));
        column += (int)n;
        p += n;
        gap = (int)strspn(p, " ");
    }
    return plumb_text_string(out, "\n");
}

plumb_status plumb_demo_say(int indent, const char *format, ...)
{
    enum { WIDEST = 100 };
    int width = plumb_cli_columns();
    plumb_text folded = {0};
    char *line = NULL;
    va_list list;
    va_start(list, format);
    int size = vasprintf(&line, format, list);
    va_end(list);
    if (size < 0) return plumb_no_memory();
    plumb_status s = put_folded(&folded, line, indent, width > WIDEST ? WIDEST : width);
    if (!s) s = plumb_cli_print(folded.data, folded.size);
    plumb_text_free(&folded);
    free(line);
    return s;
}

static plumb_status announce(const plumb_demo_step *step, const char *line)
{
    if (step->title) PLUMB_TRY(plumb_demo_say(0, "\n%s", step->title));
    if (step->why) PLUMB_TRY(plumb_demo_say(3, "\n   %s", step->why));
    PLUMB_TRY(plumb_cli_print("   $ ", 5));
    return plumb_cli_print(line, strlen(line));
}

plumb_status plumb_demo_run(plumb_demo *d, const plumb_demo_step *step, int *code)
{
    plumb_text line = {0};
    words w;
    plumb_status s = expand(d, step, &w);
    *code = 0;
    if (!s) s = command_line(&w, &line);
    if (!s) s = announce(step, line.data);
    if (!s && !is_done(d, line.data)) {
        s = add_resume(d, step, &w);
        if (!s) s = run_child(d, &w, code);
        if (!s && *code == 0) s = append_log(d, line.data);
    }
    plumb_text_free(&line);
    return s;
}
