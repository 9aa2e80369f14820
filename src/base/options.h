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
 * goes before the environment (PLUMB_ROWS), that before the config file (--config FILE), and that before the default.
 * -h, --help, --version and --config belong to every command and have no row.
 *
 * A command that takes over the options of another program also lists that program's options which it has no row for
 * (plumb_foreign_option): those without effect here are accepted with a note, those that would change results are
 * refused with the reason. */
#ifndef PLUMB_BASE_OPTIONS_H
#define PLUMB_BASE_OPTIONS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/setting.h"
#include "base/sink.h"
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
    PLUMB_OPTION_REALS,    /* plumb_reals within low..high, written as a list; it ends before the first word that is
                              no number */
} plumb_option_kind;

typedef struct plumb_list {
    const char **items;
    size_t count;
} plumb_list;

typedef struct plumb_reals {
    const double *items;
    size_t count;
} plumb_reals;

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
    const char *choices;    /* words separated by '|', for CHOICE, LIST and STRING */
    bool changes_no_result; /* such as threads: a run may be continued with another value */
    const char *group;      /* heading in the help; rows without one stand first, under "Options" */
    const char *only;       /* the commands that have this row, separated by '|'; NULL: all that use the table */

    /* Another name of the same option, or NULL. Given by both names with different values it is an error. */
    const char *alias;
    /* What "none" and "null" mean: a value as text, or "" for not given. NULL: "none" is a value like any other, and
     * null in a config file is passed over. */
    const char *none;
    /* Of a STRING: name of the positional that gives the same, or NULL. With fewer words than positionals, those whose
     * option is given are left to it; words go before environment and file, and beside the option on the command line
     * they must be equal to it. Afterwards both hold the value. */
    const char *positional;
} plumb_option;

/* An option of another program that has no row here. */
typedef struct plumb_foreign_option {
    const char *name;       /* NULL ends a table of them */
    plumb_option_kind kind; /* how many words follow on the command line: FLAG, STRING (one) or LIST */
    bool refused;           /* it would change results; otherwise it has no effect here and is accepted with a note */
    const char *usual;  /* values that ask for nothing, separated by '|', the other program's default first; they are
                           accepted in silence, as are none and null */
    const char *reason; /* of either, as a clause that starts in lower case */
    const char *only;   /* as in plumb_option */
} plumb_foreign_option;

typedef struct plumb_positional {
    const char *name; /* as the usage line shows it: "DATA" */
    const char *help;
    int least, most; /* how many; most < 0: any number. Only one positional may take a varying number */
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
    const char *example;                 /* lines of shell that run as they stand */
    const plumb_foreign_option *foreign; /* up to the one without a name, or NULL */
} plumb_usage;

typedef enum plumb_option_source {
    PLUMB_FROM_DEFAULT,
    PLUMB_FROM_FILE,
    PLUMB_FROM_ENVIRONMENT,
    PLUMB_FROM_COMMAND_LINE,
} plumb_option_source;

/* A parsed command line: where each value came from. It owns lists and strings that it put into `values`. */
typedef struct plumb_options plumb_options;

/* Reads a config file into *out ({0}, freed by the caller also after an error). Errors name file and line. */
typedef plumb_status (*plumb_settings_reader)(const char *path, plumb_settings *out);

/* Sets `values` (the command's struct, zeroed by the caller) from argv[1..argc), environment, config file and defaults,
 * in this order of precedence; argv and usage must outlive *out. read is how config files are read; NULL: there is no
 * --config.
 *
 * PLUMB_E_INPUT with a cure: an unknown option, a refused one, a value out of bounds, too few or too many positionals.
 * It reads "--threads: 0 is not in 1..1024", "PLUMB_THREADS (environment): ..." or "dpo.yaml:7: threads: ...". When
 * --help or --version is asked for, the rest is not looked at. */
plumb_status plumb_options_parse(const plumb_usage *usage, plumb_settings_reader read, int argc, char **argv,
                                 void *values, plumb_options **out) PLUMB_MUST_USE;
void plumb_options_free(plumb_options *o); /* NULL is fine */

bool plumb_options_wants_help(const plumb_options *o);
bool plumb_options_wants_version(const plumb_options *o);

/* Where the value of the option called `name` came from. A name that is not in the table counts as default. */
plumb_option_source plumb_options_source(const plumb_options *o, const char *name);
static inline bool plumb_options_given(const plumb_options *o, const char *name)
{
    return plumb_options_source(o, name) != PLUMB_FROM_DEFAULT;
}

/* How the user wrote it, for messages: "--keep_lowest", "PLUMB_KEEP_LOWEST (environment)" or "dpo.yaml:7: keep_lowest".
 */
plumb_status plumb_options_label(const plumb_options *o, const char *name, plumb_text *t) PLUMB_MUST_USE;

/* The path that --config gave, or NULL. */
const char *plumb_options_config(const plumb_options *o);

/* Tells which foreign options were given that have no effect, one note for each reason. */
plumb_status plumb_options_notes(const plumb_options *o, const plumb_sink *sink) PLUMB_MUST_USE;

/* {"options": {name: value, ...}, "run": {the options that change no result, "arguments": [the words that are no
 * options], "config": path}, "sources": {name: "command line", "environment" or "file"}}: what meta.json records.
 * Options without a value are null. *out is a new reference. */
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
