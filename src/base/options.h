/* Options of a command as a table: one row says how an option is called, what it holds, where its value goes and what
 * --help tells about it. Reading the command line, the environment, the help text and the record of what was asked for
 * all come from the same rows.
 *
 *     typedef struct trim_values { int64_t rows; bool quiet; plumb_list files; } trim_values;
 *
 *     static const plumb_option options[] = {
 *         {"rows", .kind = PLUMB_OPTION_INTEGER, .offset = offsetof(trim_values, rows), .fallback = "10",
 *          .metavar = "N", .low = 1, .high = 1000, .help = "how many rows to keep"},
 *         {"quiet", .letter = 'q', .kind = PLUMB_OPTION_FLAG, .offset = offsetof(trim_values, quiet), .help = "..."},
 *     };
 *     static const plumb_positional files[] = {{"FILE", "what to trim", 1, -1, offsetof(trim_values, files)}};
 *
 * --snake_case and --kebab-case name the same option; --name VALUE and --name=VALUE give it a value. The command line
 * goes before the environment (PLUMB_ROWS), and that before the default. -h, --help and --version belong to every
 * command and have no row. */
#ifndef PLUMB_BASE_OPTIONS_H
#define PLUMB_BASE_OPTIONS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

typedef enum plumb_option_kind {
    PLUMB_OPTION_FLAG,     /* bool: --x, --x true, --x=False, --no_x */
    PLUMB_OPTION_INTEGER,  /* int64_t within low..high */
    PLUMB_OPTION_REAL,     /* double, finite, within low..high */
    PLUMB_OPTION_STRING,   /* const char *; NULL when not given */
    PLUMB_OPTION_CHOICE,   /* int: the number of the word in `choices` */
    PLUMB_OPTION_LIST,     /* plumb_list: --x a b, --x a,b; given again, the last one counts. With `choices` the list
                              ends before the first word that is none of them, otherwise before the next option */
    PLUMB_OPTION_REPEATED, /* plumb_list: one value each time it is given, commas included (in the environment separated
                              by them) */
    PLUMB_OPTION_RANGE,    /* plumb_range: A:B, A:, :B */
} plumb_option_kind;

typedef struct plumb_list {
    const char **items;
    size_t count;
} plumb_list;

/* Rows begin..end - 1; end < 0: to the end of the file. */
typedef struct plumb_range {
    int64_t begin, end;
} plumb_range;

typedef struct plumb_option {
    const char *name; /* as --help shows it, without the leading dashes; '-' and '_' are the same letter */
    char letter;      /* short form; 0: none */
    plumb_option_kind kind;
    size_t offset;          /* of the value in the command's struct */
    const char *fallback;   /* the default as text; NULL: none (the value stays as the caller set it; a range: all) */
    const char *metavar;    /* what stands for the value in the help: "N", "FILE" */
    const char *help;       /* what it does */
    int64_t low, high;      /* bounds of integers and reals; both 0: none */
    const char *choices;    /* words separated by '|', for CHOICE and LIST */
    bool changes_no_result; /* such as threads: a run may be continued with another value */
} plumb_option;

typedef struct plumb_positional {
    const char *name; /* as the usage line shows it: "DATA" */
    const char *help;
    int least, most; /* how many; most < 0: any number. Only the last positional may take a varying number */
    size_t offset;   /* of a plumb_list in the command's struct */
} plumb_positional;

/* All that is known about a command's way of being called. */
typedef struct plumb_usage {
    const char *name;        /* "filter" */
    const char *summary;     /* one line, for the list of commands */
    const char *description; /* paragraphs separated by an empty line */
    const plumb_option *options;
    size_t option_count;
    const plumb_positional *positionals;
    size_t positional_count;
    const char *example; /* lines of shell that run as they stand */
} plumb_usage;

typedef enum plumb_option_source {
    PLUMB_FROM_DEFAULT,
    PLUMB_FROM_ENVIRONMENT,
    PLUMB_FROM_COMMAND_LINE,
} plumb_option_source;

/* A parsed command line: where each value came from. It owns lists and strings that it put into `values`. */
typedef struct plumb_options plumb_options;

/* Sets `values` (the command's struct, zeroed by the caller) from defaults, environment and argv[1..argc), in this
 * order; argv and usage must outlive *out. An unknown option, a value out of bounds, too few or too many positionals
 * are PLUMB_E_INPUT "--threads: 0 is not in 1..1024" with a cure. When --help or --version is asked for, the rest is
 * not looked at. */
plumb_status plumb_options_parse(const plumb_usage *usage, int argc, char **argv, void *values,
                                 plumb_options **out) PLUMB_MUST_USE;
void plumb_options_free(plumb_options *o); /* NULL is fine */

bool plumb_options_wants_help(const plumb_options *o);
bool plumb_options_wants_version(const plumb_options *o);

/* Where the value of the option called `name` came from. A name that is not in the table counts as default. */
plumb_option_source plumb_options_source(const plumb_options *o, const char *name);
static inline bool plumb_options_given(const plumb_options *o, const char *name)
{
    return plumb_options_source(o, name) != PLUMB_FROM_DEFAULT;
}

/* How the user wrote it, for messages: "--keep_lowest", or "PLUMB_KEEP_LOWEST (environment)". */
plumb_status plumb_options_label(const plumb_options *o, const char *name, plumb_text *t) PLUMB_MUST_USE;

/* {"options": {name: value, ...}, "run": {the options that change no result}, "sources": {name: "command line" or
 * "environment"}}: what meta.json records. Options without a value are null. *out is a new reference. */
plumb_status plumb_options_json(const plumb_options *o, json_t **out) PLUMB_MUST_USE;

/* Appends the help text of a command, wrapped at `columns` (not less than 60). */
plumb_status plumb_options_help(const plumb_usage *usage, int columns, plumb_text *t) PLUMB_MUST_USE;

/* Appends text wrapped at `columns`. Lines after the first are indented by `indent`, and the first is taken to start
 * there. An empty line in the text stays one; a line that starts with a space is kept as it is. */
plumb_status plumb_wrap(plumb_text *t, const char *text, int indent, int columns) PLUMB_MUST_USE;

/* The one of `words` that a user who typed `typed` most likely meant, or NULL: the one with the least edit distance
 * (insert, delete, replace, swap of neighbours; case and '-' against '_' do not count), at most a third of its length,
 * or the shortest one that begins with `typed`. */
const char *plumb_nearest(const char *typed, const char *const *words, size_t count);

#endif
