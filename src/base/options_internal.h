/* What the files of the option tables share: options.c (command line and environment), options_file.c (config files,
 * foreign options), options_help.c. */
#ifndef PLUMB_BASE_OPTIONS_INTERNAL_H
#define PLUMB_BASE_OPTIONS_INTERNAL_H

#include "base/options.h"

enum { PLUMB_LONGEST_OPTION = 63 };

typedef struct plumb_option_state {
    plumb_option_source source;
    bool settled;                 /* nothing of lower precedence may set it: it has a value, or "none" was asked for */
    bool by_alias;                /* its alias was used */
    const plumb_setting *setting; /* the line of the config file, if it came from there */
} plumb_option_state;

struct plumb_options {
    const plumb_usage *usage;
    char *values;               /* the command's struct */
    plumb_option_state *states; /* [option_count] */
    bool *noted;                /* [foreign options] was it given, to no effect? */
    plumb_arena arena;
    const char *config;       /* path of the config file, or NULL */
    plumb_settings settings;  /* what it holds */
    const plumb_option *list; /* a list that took more than one word: it may have swallowed a positional */
    bool wants_help, wants_version;
};

/* Does a row with this `only` belong to the command? */
bool plumb_option_belongs(const char *only, const plumb_usage *usage);

/* The option, foreign option called so (n bytes; '-' and '_' are the same), or NULL. */
const plumb_option *plumb_option_find(const plumb_usage *usage, const char *name, size_t n);
const plumb_foreign_option *plumb_foreign_find(const plumb_usage *usage, const char *name, size_t n);

/* The known name that is nearest to the typed one, or NULL; `more` [extra] are names beside those of the tables. *out
 * lives in the usage. */
plumb_status plumb_option_nearest(const plumb_usage *usage, const char *typed, const char *const *more, size_t extra,
                                  const char **out) PLUMB_MUST_USE;

/* The name with '_' for '-': the key in meta.json and, in upper case after PLUMB_, the environment twin. */
void plumb_option_plain_name(const plumb_option *option, const char *prefix, bool upper,
                             char out[PLUMB_LONGEST_OPTION + 1]);

static inline plumb_option_state *plumb_option_state_of(const plumb_options *o, const plumb_option *option)
{
    return &o->states[option - o->usage->options];
}
static inline void *plumb_option_place(const plumb_options *o, const plumb_option *option)
{
    return o->values + option->offset;
}

/* A value as text, split by commas where it is a list. What `none` stands for is looked up; *given is false where that
 * is "not given". */
plumb_status plumb_option_set(plumb_options *o, const plumb_option *option, const char *text,
                              bool *given) PLUMB_MUST_USE;
/* Back to the default, or to no value. */
plumb_status plumb_option_reset(plumb_options *o, const plumb_option *option) PLUMB_MUST_USE;
/* Empties a LIST, REPEATED or REALS. */
void plumb_option_clear(plumb_options *o, const plumb_option *option);
/* One more item of a LIST, REPEATED or REALS, commas included. */
plumb_status plumb_option_append(plumb_options *o, const plumb_option *option, const char *text) PLUMB_MUST_USE;

/* true or false in any case; `words` also yes, no, on, off, 1, 0, which after an option without '=' could be meant as
 * something else. */
bool plumb_option_read_bool(const char *text, bool words, bool *out);

bool plumb_has_bounds(const plumb_option *option);
enum { PLUMB_MOST_CHOICES = 64, PLUMB_CHOICES_ROOM = 1024 };
/* The words of `choices`, copied to the buffer; their number. */
size_t plumb_split_choices(const char *choices, char buffer[PLUMB_CHOICES_ROOM], const char *words[PLUMB_MOST_CHOICES]);

/* A foreign option with one value, or NULL for a list or something nested of `parts` parts. Remembers it for the notes,
 * or PLUMB_E_INPUT with the reason; the caller puts before it how the option was written. */
plumb_status plumb_foreign_take(plumb_options *o, const plumb_foreign_option *foreign, const char *text,
                                size_t parts) PLUMB_MUST_USE;

/* Applies o->settings to what is not settled yet. */
plumb_status plumb_options_apply(plumb_options *o) PLUMB_MUST_USE;

#endif
