/* The frame around the commands: the only part of plumb that prints or exits.
 *
 * A command is a struct of option values, a plumb_usage, and a body that does the work and returns a status:
 *
 *     int plumb_command_trim(int argc, char **argv)
 *     {
 *         trim_values v = {0};
 *         return plumb_cli_run(&usage, argc, argv, &v, &v.common, trim);
 *     }
 *
 * plumb_cli_run reads the options, answers --help and --version, catches signals, calls the body, prints its error and
 * turns it into the exit code. */
#ifndef PLUMB_CLI_CLI_H
#define PLUMB_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/options.h"
#include "base/sink.h"
#include "base/status.h"
#include "compute/compute.h"
#include "io/output.h"

enum {
    PLUMB_EXIT_DONE = 0,
    PLUMB_EXIT_FINDINGS = 1, /* done, with findings or a failed gate */
    PLUMB_EXIT_INPUT = 2,    /* usage, input, or an output that cannot be created */
    PLUMB_EXIT_FAILED = 3,   /* could not finish: disk full, memory, internal */
    PLUMB_EXIT_SIGNAL = 128, /* + the signal: 129 SIGHUP, 130 Ctrl-C, 143 SIGTERM */
};

/* Values of the options that many commands share; a command embeds it as `common` and lists the rows it honours. */
typedef struct plumb_common {
    int64_t threads; /* 0: not given (plumb_cli_threads) */
    int64_t seed;
    int64_t limit;     /* 0: all rows */
    plumb_range range; /* end < 0: to the end */
    int on_error;      /* plumb_on_error */
    bool quiet, resume, dry_run;
    const char *output; /* NULL or "-": stdout */
} plumb_common;

typedef enum plumb_on_error { PLUMB_ON_ERROR_STOP, PLUMB_ON_ERROR_SKIP } plumb_on_error;

/* The rows themselves, for a values struct of that type. The help texts may be replaced by writing the row out. */
#define PLUMB_OPTION_THREADS(type)                                                                                     \
    {                                                                                                                  \
        .name = "threads", .kind = PLUMB_OPTION_INTEGER, .offset = offsetof(type, common.threads), .metavar = "N",     \
        .low = 1, .high = 1024, .changes_no_result = true,                                                             \
        .help = "processor threads; without it as many as there are processors. Results do not depend on it"           \
    }
#define PLUMB_OPTION_SEED(type)                                                                                        \
    {                                                                                                                  \
        .name = "seed", .kind = PLUMB_OPTION_INTEGER, .offset = offsetof(type, common.seed), .fallback = "42",         \
        .metavar = "N", .low = 0, .high = INT64_MAX, .help = "seed of everything random"                               \
    }
#define PLUMB_OPTION_LIMIT(type)                                                                                       \
    {                                                                                                                  \
        .name = "limit", .kind = PLUMB_OPTION_INTEGER, .offset = offsetof(type, common.limit), .metavar = "N",         \
        .low = 1, .high = INT64_MAX, .help = "only the first N rows (of the range, if there is one)"                   \
    }
#define PLUMB_OPTION_ROWS(type)                                                                                        \
    {                                                                                                                  \
        .name = "range", .kind = PLUMB_OPTION_RANGE, .offset = offsetof(type, common.range), .metavar = "A:B",         \
        .help = "only rows A to B - 1 of the data file, counted from 0 without blank lines; A: and :B work too"        \
    }
#define PLUMB_OPTION_ON_ERROR(type)                                                                                    \
    {                                                                                                                  \
        .name = "on_error", .kind = PLUMB_OPTION_CHOICE, .offset = offsetof(type, common.on_error),                    \
        .choices = "stop|skip", .fallback = "stop",                                                                    \
        .help = "what to do about a bad row: stop, or skip it, count it and list it at the end"                        \
    }
#define PLUMB_OPTION_QUIET(type)                                                                                       \
    {                                                                                                                  \
        .name = "quiet", .letter = 'q', .kind = PLUMB_OPTION_FLAG, .offset = offsetof(type, common.quiet),             \
        .changes_no_result = true, .help = "no progress, notes or summary on stderr, only errors"                      \
    }
#define PLUMB_OPTION_RESUME(type)                                                                                      \
    {                                                                                                                  \
        .name = "resume", .kind = PLUMB_OPTION_FLAG, .offset = offsetof(type, common.resume),                          \
        .changes_no_result = true, .help = "go on with FILE.partial of an interrupted run with the same options"       \
    }
#define PLUMB_OPTION_DRY_RUN(type)                                                                                     \
    {                                                                                                                  \
        .name = "dry-run", .kind = PLUMB_OPTION_FLAG, .offset = offsetof(type, common.dry_run),                        \
        .changes_no_result = true, .help = "say what would be done, without writing anything"                          \
    }
#define PLUMB_OPTION_OUTPUT(type)                                                                                      \
    {                                                                                                                  \
        .name = "output", .letter = 'o', .kind = PLUMB_OPTION_STRING, .offset = offsetof(type, common.output),         \
        .fallback = "-", .metavar = "FILE", .changes_no_result = true,                                                 \
        .help =                                                                                                        \
            "where the result goes; - is stdout. A file is complete or not there: it is written as FILE.partial and "  \
            "renamed, with FILE.meta.json beside it"                                                                   \
    }

/* Of commands that run a model: `isa` and `compute` are ints of the values struct, for plumb_cli_open_compute. */
#define PLUMB_OPTION_ISA(type)                                                                                         \
    {                                                                                                                  \
        .name = "isa", .kind = PLUMB_OPTION_CHOICE, .offset = offsetof(type, isa), .choices = "auto|ref|avx2|avx512",  \
        .fallback = "auto",                                                                                            \
        .help = "instructions to use; auto takes the best this processor has. Results differ in the last digits"       \
    }
#define PLUMB_OPTION_COMPUTE(type)                                                                                     \
    {                                                                                                                  \
        .name = "compute", .kind = PLUMB_OPTION_CHOICE, .offset = offsetof(type, compute),                             \
        .choices = "fp32|bf16|bf16-dot|bf16-rounded", .fallback = "fp32",                                              \
        .help = "arithmetic of the model's matrix products. bf16 rounds weights and inputs to bf16 and sums in fp32, " \
                "by bf16 dot products (bf16-dot) where a measurement, made once and kept in ~/.cache/plumb, shows "    \
                "that they pay on this processor; elsewhere (bf16-rounded) it is as accurate and no faster than fp32"  \
    }

/* Of commands that read preference data: fields of these names in the values struct, strings but for the int
 * implicit_prompt (plumb_implicit_prompt). */
#define PLUMB_OPTION_PROMPT_KEY(type)                                                                                  \
    {                                                                                                                  \
        .name = "prompt_key", .kind = PLUMB_OPTION_STRING, .offset = offsetof(type, prompt_key), .fallback = "prompt", \
        .metavar = "KEY", .help = "the column of the prompt"                                                           \
    }
#define PLUMB_OPTION_RESPONSE_KEYS(type)                                                                               \
    {.name = "chosen_key",                                                                                             \
     .kind = PLUMB_OPTION_STRING,                                                                                      \
     .offset = offsetof(type, chosen_key),                                                                             \
     .fallback = "chosen",                                                                                             \
     .metavar = "KEY",                                                                                                 \
     .help = "the column of the preferred response"},                                                                  \
    {                                                                                                                  \
        .name = "rejected_key", .kind = PLUMB_OPTION_STRING, .offset = offsetof(type, rejected_key),                   \
        .fallback = "rejected", .metavar = "KEY", .help = "the column of the dispreferred response"                    \
    }
#define PLUMB_OPTION_IMPLICIT_PROMPT(type)                                                                             \
    {                                                                                                                  \
        .name = "implicit_prompt", .kind = PLUMB_OPTION_CHOICE, .offset = offsetof(type, implicit_prompt),             \
        .choices = "none|turn|word", .fallback = "none",                                                               \
        .help = "where the prompt ends in plain rows that have only chosen and rejected: at the last common turn "     \
                "marker (HH-RLHF), or at the last common word"                                                         \
    }
#define PLUMB_OPTION_CHAT_TEMPLATE(type)                                                                               \
    {                                                                                                                  \
        .name = "chat_template", .kind = PLUMB_OPTION_STRING, .offset = offsetof(type, chat_template),                 \
        .metavar = "FILE", .help = "a Jinja file instead of the checkpoint's own chat template"                        \
    }

/* One run of a command, as its body sees it. */
typedef struct plumb_cli {
    const plumb_usage *usage;
    plumb_options *options;
    plumb_common *common;
    plumb_sink sink; /* for the library: notes, progress, interruption */
    int argc;
    char **argv;
    bool begins_anew; /* set by a body: this output cannot be gone on with, though the command has --resume */
    int exit_code;    /* what a body that returns PLUMB_OK ends with: PLUMB_EXIT_DONE or PLUMB_EXIT_FINDINGS */
    struct plumb_display *display;
} plumb_cli;

typedef plumb_status (*plumb_cli_body)(plumb_cli *cli, void *values);

/* Runs a command from its command line (argv[0] is the command's name) to its exit code. `values` is the zeroed struct
 * of the option table and `common` lies in it. */
int plumb_cli_run(const plumb_usage *usage, int argc, char **argv, void *values, plumb_common *common,
                  plumb_cli_body body);

/* Lines for people on stderr, below a progress bar if one is shown; nothing with --quiet. */
void plumb_cli_say(plumb_cli *cli, const char *format, ...) PLUMB_PRINTF(2, 3);

/* What a run did, or with --dry-run would do: then it is the result, a line of stdout and said with --quiet too. */
void plumb_cli_tell(plumb_cli *cli, const char *format, ...) PLUMB_PRINTF(2, 3);

/* Prints "plumb: error: message" and the cure on a second line; frees s; gives the exit code. */
int plumb_cli_error(plumb_status s);

/* A partial file was left: how to go on with it is told at the end. Takes the string over. */
void plumb_cli_left_partial(plumb_cli *cli, char *partial);

/* Has the command an option of that name? */
bool plumb_cli_has_option(const plumb_cli *cli, const char *name);

/* All of `text` to stdout and flushed: a full disk is an error, not a silent loss. */
plumb_status plumb_cli_print(const char *text, size_t size) PLUMB_MUST_USE;

/* --threads, or the number of processors this process may use. */
int plumb_cli_threads(const plumb_common *common);

/* The compute context of --isa, --compute (numbers of the words above) and --threads; context of an error included. */
plumb_status plumb_cli_open_compute(const plumb_common *common, int isa, int compute,
                                    plumb_compute **out) PLUMB_MUST_USE;

/* Writes what "auto" and "bf16" came to into the record's options: a run that goes on with other arithmetic would mix
 * results. */
plumb_status plumb_cli_record_compute(json_t *meta, const plumb_compute *c) PLUMB_MUST_USE;

/* --max_length without the option: TRL's 1024, or the model's positions, the smaller (more would be a silent loss of
 * quality). */
int plumb_cli_default_length(int positions);

/* --max_length as given, with a note where it is more than the model's positions; without it the default, which is no
 * cut (0) for the paper's way of making pairs. */
int plumb_cli_max_length(const plumb_cli *cli, int64_t given, int positions, bool official);

/* Rows of --range and --limit together as [begin, end); end < 0: to the end of the file. */
void plumb_cli_rows(const plumb_common *common, int64_t *begin, int64_t *end);

/* Width for text and bars: the terminal's on stderr, 80 without one. */
int plumb_cli_columns(void);

/* The output of a command, with the record of the run (cli/meta.h) beside it.
 *
 * Opening writes FILE.partial.meta.json. With --resume and a FILE.partial it compares the two records instead, and
 * *resumed is true: the partial file ends in a complete line and is open for appending. An output without a regular
 * file (stdout, a device) has no record, and --resume is an error there. A name ending in .gz is an error. */
plumb_status plumb_cli_open_output(plumb_cli *cli, const json_t *meta, plumb_output **out,
                                   bool *resumed) PLUMB_MUST_USE;

/* Ends it. s is how the work went: after success the file gets its name and `meta` (with counts and hashes by now)
 * becomes FILE.meta.json. After an interruption, a full disk and the like the partial file stays, and so it does after
 * an error in the input if keep_on_input_error; the cure then says how to go on. Takes `output` and s over; returns s
 * or what went wrong at the end. */
plumb_status plumb_cli_close_output(plumb_cli *cli, const json_t *meta, plumb_output *output, bool keep_on_input_error,
                                    plumb_status s) PLUMB_MUST_USE;

/* Refuses an output of which one of the four names (cli/output_names.h) is the input: the same file, whatever its name;
 * the input "-" is the file that stdin reads. */
plumb_status plumb_cli_distinct(const char *output, const char *input) PLUMB_MUST_USE;

/* Refuses an output that would replace a file in the model's folder, other than an earlier result of plumb. */
plumb_status plumb_cli_spares_model(const char *output, const char *model) PLUMB_MUST_USE;

/* All that can be said against the output before the work: both of these, and with --dry-run whether it could be
 * created. model may be NULL, and so may single inputs. */
plumb_status plumb_cli_check_output(const plumb_cli *cli, const char *model, const char *const *inputs,
                                    size_t count) PLUMB_MUST_USE;

/* The commands; main.c lists them with their usages. */
extern const plumb_usage plumb_usage_score;
int plumb_command_score(int argc, char **argv);
extern const plumb_usage plumb_usage_dpo;
int plumb_command_dpo(int argc, char **argv);
extern const plumb_usage plumb_usage_sft;
int plumb_command_sft(int argc, char **argv);
extern const plumb_usage plumb_usage_reward;
int plumb_command_reward(int argc, char **argv);
extern const plumb_usage plumb_usage_reward_score;
int plumb_command_reward_score(int argc, char **argv);
extern const plumb_usage plumb_usage_kto;
int plumb_command_kto(int argc, char **argv);
extern const plumb_usage plumb_usage_rloo;
int plumb_command_rloo(int argc, char **argv);
extern const plumb_usage plumb_usage_grpo;
int plumb_command_grpo(int argc, char **argv);
extern const plumb_usage plumb_usage_ppo;
int plumb_command_ppo(int argc, char **argv);
extern const plumb_usage plumb_usage_filter;
int plumb_command_filter(int argc, char **argv);
extern const plumb_usage plumb_usage_explain;
int plumb_command_explain(int argc, char **argv);
extern const plumb_usage plumb_usage_trace;
int plumb_command_trace(int argc, char **argv);
extern const plumb_usage plumb_usage_identify;
int plumb_command_identify(int argc, char **argv);
extern const plumb_usage plumb_usage_lint;
int plumb_command_lint(int argc, char **argv);
extern const plumb_usage plumb_usage_report;
int plumb_command_report(int argc, char **argv);
extern const plumb_usage plumb_usage_tokenize;
int plumb_command_tokenize(int argc, char **argv);
extern const plumb_usage plumb_usage_info;
int plumb_command_info(int argc, char **argv);
extern const plumb_usage plumb_usage_init;
int plumb_command_init(int argc, char **argv);
extern const plumb_usage plumb_usage_generate;
int plumb_command_generate(int argc, char **argv);
extern const plumb_usage plumb_usage_merge;
int plumb_command_merge(int argc, char **argv);
extern const plumb_usage plumb_usage_judge;
int plumb_command_judge(int argc, char **argv);
extern const plumb_usage plumb_usage_pair;
int plumb_command_pair(int argc, char **argv);
extern const plumb_usage plumb_usage_demo;
int plumb_command_demo(int argc, char **argv);

#endif
