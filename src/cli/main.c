/* plumb: finds the command and hands it the rest of the line. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"

/* One command a line. */
/* clang-format off */
static const struct command {
    const plumb_usage *usage;
    int (*run)(int argc, char **argv);
} commands[] = {
    {&plumb_usage_score, plumb_command_score},
    {&plumb_usage_filter, plumb_command_filter},
    {&plumb_usage_sft, plumb_command_sft},
    {&plumb_usage_dpo, plumb_command_dpo},
    {&plumb_usage_reward, plumb_command_reward},
    {&plumb_usage_reward_score, plumb_command_reward_score},
    {&plumb_usage_kto, plumb_command_kto},
    {&plumb_usage_rloo, plumb_command_rloo},
    {&plumb_usage_grpo, plumb_command_grpo},
    {&plumb_usage_ppo, plumb_command_ppo},
    {&plumb_usage_explain, plumb_command_explain},
    {&plumb_usage_trace, plumb_command_trace},
    {&plumb_usage_identify, plumb_command_identify},
    {&plumb_usage_generate, plumb_command_generate},
    {&plumb_usage_lint, plumb_command_lint},
    {&plumb_usage_report, plumb_command_report},
    {&plumb_usage_tokenize, plumb_command_tokenize},
    {&plumb_usage_info, plumb_command_info},
    {&plumb_usage_init, plumb_command_init},
    {&plumb_usage_merge, plumb_command_merge},
    {&plumb_usage_judge, plumb_command_judge},
    {&plumb_usage_pair, plumb_command_pair},
    {&plumb_usage_demo, plumb_command_demo},
};
/* clang-format on */

enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].usage->name, name) == 0) return &commands[i];
    return NULL;
}

static plumb_status unknown_option(const char *name)
{
    static const char *const names[] = {"--help", "--version"};
    const char *near = plumb_nearest(name, names, 2);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%s: unknown option", name);
    return near ? plumb_cure(s, "did you mean plumb %s?", near)
                : plumb_cure(s, "a command comes first; plumb help lists the commands");
}

static plumb_status unknown_command(const char *name)
{
    const char *names[COMMANDS + 1] = {"help"};
    if (*name == '-') return unknown_option(name);
    for (int i = 0; i < COMMANDS; i++) names[i + 1] = commands[i].usage->name;
    const char *near = plumb_nearest(name, names, COMMANDS + 1);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%s: unknown command", name);
    return near ? plumb_cure(s, "did you mean plumb %s?", near) : plumb_cure(s, "plumb help lists the commands");
}

static plumb_status overview(plumb_text *t)
{
    PLUMB_TRY(plumb_text_string(t, "plumb " PLUMB_VERSION ": a native instrument for preference tuning of language "
                                   "models\n\nUsage: plumb COMMAND [options]\n\nCommands:\n"));
    for (int i = 0; i < COMMANDS; i++)
        PLUMB_TRY(plumb_text_printf(t, "  %-12s %s\n", commands[i].usage->name, commands[i].usage->summary));
    PLUMB_TRY(
        plumb_text_printf(t, "  %-12s %s\n", "help", "print this text, or with a command's name that command's help"));
    return plumb_text_string(t,
                             "\nplumb COMMAND --help tells all about a command; plumb --version prints the version.\n"
                             "Exit codes: 0 done; 1 done, with findings or a failed gate; 2 wrong usage or input;\n"
                             "3 could not finish; 129, 130 and 143 after SIGHUP, Ctrl-C and SIGTERM.\n");
}

static int print_overview(FILE *to, int code)
{
    plumb_text text = {0};
    plumb_status s = overview(&text);
    if (!s && to == stderr) fputs(text.data, stderr);
    if (!s && to == stdout) s = plumb_cli_print(text.data, text.size);
    plumb_text_free(&text);
    return s ? plumb_cli_error(s) : code;
}

static int help(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0) return print_overview(stdout, PLUMB_EXIT_DONE);
    const struct command *command = find_command(argv[1]);
    char ask[] = "--help";
    if (!command) return plumb_cli_error(unknown_command(argv[1]));
    return command->run(2, (char *[]){argv[1], ask, NULL});
}

/* For jansson, which up to 2.14 loses bytes of what it writes when a buffer cannot grow and does not tell. */
static void *json_memory(size_t size)
{
    void *memory = malloc(size);
    if (!memory) exit(plumb_cli_error(plumb_no_memory()));
    return memory;
}

/* Is this program the file that runs? Not so under a debugger of memory, or when the dynamic loader was started by
 * hand. */
static bool is_own_file(void)
{
    const char *program = (const char *)getauxval(AT_EXECFN); // NOLINT(performance-no-int-to-ptr): so it is handed over
    struct stat own, running;
    return getauxval(AT_BASE) && program && stat(program, &own) == 0 && stat("/proc/self/exe", &running) == 0 &&
           own.st_dev == running.st_dev && own.st_ino == running.st_ino;
}

/* GCC's OpenMP threads spin for milliseconds when they wait for each other, unless the environment says otherwise
 * before the program begins: on a machine that does other work too, processors are then spent on waiting for a thread
 * that has none, and everything takes several times as long. Threads that sleep at once cost half the speed of a small
 * model. So where nothing is said, the program begins once more with threads that spin for some microseconds; where
 * that cannot be done, it goes on as it is. What plumb starts (commands of --reward) does not inherit it. */
static void spin_briefly(char **argv)
{
    static const char variable[] = "GOMP_SPINCOUNT", again[] = "PLUMB_STARTED_AGAIN";
    char self[4096]; /* its own name, so that ps does not call it "exe" */
    if (getenv(again)) {
        unsetenv(again);
        unsetenv(variable);
        return;
    }
    if (getenv(variable) || getenv("OMP_WAIT_POLICY") || !is_own_file()) return;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0 || setenv(variable, "1000", 0) || setenv(again, "1", 0)) return;
    self[n] = '\0';
    execv(self, argv);
    unsetenv(again);
    unsetenv(variable);
}

int main(int argc, char **argv)
{
    spin_briefly(argv);
    signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would hide how a command of --reward ended */
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is a write error, with a message and an exit code */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file at the limit of ulimit -f */
    json_set_alloc_funcs(json_memory, free);
    if (argc < 2) return print_overview(stderr, PLUMB_EXIT_INPUT);
    const char *name = argv[1];
    if (strcmp(name, "help") == 0) return help(argc - 1, argv + 1);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) return print_overview(stdout, PLUMB_EXIT_DONE);
    if (strcmp(name, "--version") == 0) {
        plumb_status s = plumb_cli_print("plumb " PLUMB_VERSION "\n", sizeof PLUMB_VERSION + 6);
        return s ? plumb_cli_error(s) : PLUMB_EXIT_DONE;
    }
    const struct command *command = find_command(name);
    return command ? command->run(argc - 1, argv + 1) : plumb_cli_error(unknown_command(name));
}
