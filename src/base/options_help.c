/* The help text of a command. */
#include <stdio.h>
#include <string.h>

#include "base/options_internal.h"

enum { LABEL_WIDTH = 26 };

static plumb_status pad(plumb_text *t, size_t count)
{
    return plumb_text_printf(t, "%*s", (int)count, "");
}

/* One paragraph, starting at column `column`. */
static plumb_status wrap_line(plumb_text *t, const char *line, size_t n, int indent, int columns, int column)
{
    bool first = true;
    for (size_t i = 0; i < n;) {
        size_t length = 0;
        while (i + length < n && line[i + length] != ' ') length++;
        if (!first && column + 1 + (int)length > columns) {
            PLUMB_TRY(plumb_text_string(t, "\n"));
            PLUMB_TRY(pad(t, (size_t)indent));
            column = indent;
            first = true;
        }
        if (!first) PLUMB_TRY(plumb_text_string(t, " "));
        PLUMB_TRY(plumb_text_append(t, line + i, length));
        column += (int)length + !first;
        first = false;
        i += length;
        while (i < n && line[i] == ' ') i++;
    }
    return PLUMB_OK;
}

plumb_status plumb_wrap(plumb_text *t, const char *text, int indent, int columns)
{
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, "\n");
        if (*p == ' ')
            PLUMB_TRY(plumb_text_append(t, p, n));
        else
            PLUMB_TRY(wrap_line(t, p, n, indent, columns, indent));
        p += n;
        if (!*p) return PLUMB_OK;
        PLUMB_TRY(plumb_text_string(t, "\n"));
        if (p[1] && p[1] != '\n') PLUMB_TRY(pad(t, (size_t)indent));
    }
}

/* "  -o, --output FILE" */
static plumb_status option_label(const plumb_option *option, plumb_text *t)
{
    PLUMB_TRY(option->letter ? plumb_text_printf(t, "  -%c, ", option->letter) : plumb_text_string(t, "      "));
    PLUMB_TRY(plumb_text_printf(t, "--%s", option->name));
    if (option->kind == PLUMB_OPTION_FLAG) return PLUMB_OK;
    const char *metavar = option->metavar                      ? option->metavar
                          : option->choices                    ? option->choices
                          : option->kind == PLUMB_OPTION_RANGE ? "A:B"
                                                               : "VALUE";
    bool many = option->kind == PLUMB_OPTION_LIST || option->kind == PLUMB_OPTION_REALS;
    return plumb_text_printf(t, " %s%s", metavar, many ? "..." : "");
}

/* "what it does [1..1024; default 4; PLUMB_THREADS]" */
static plumb_status option_help(const plumb_option *option, plumb_text *t)
{
    char twin[PLUMB_LONGEST_OPTION + 1];
    plumb_option_plain_name(option, "PLUMB_", true, twin);
    PLUMB_TRY(plumb_text_printf(t, "%s [", option->help));
    if (plumb_has_bounds(option) && option->high >= INT32_MAX) /* a bound of the arithmetic, not of the matter */
        PLUMB_TRY(plumb_text_printf(t, "at least %lld; ", (long long)option->low));
    else if (plumb_has_bounds(option))
        PLUMB_TRY(plumb_text_printf(t, "%lld..%lld; ", (long long)option->low, (long long)option->high));
    if (option->choices && option->metavar) {
        char buffer[PLUMB_CHOICES_ROOM];
        const char *choices[PLUMB_MOST_CHOICES];
        size_t count = plumb_split_choices(option->choices, buffer, choices);
        for (size_t i = 0; i < count; i++)
            PLUMB_TRY(plumb_text_printf(t, "%s%s", choices[i], i + 1 < count ? ", " : "; "));
    }
    if (option->fallback) PLUMB_TRY(plumb_text_printf(t, "default: %s; ", option->fallback));
    if (option->alias) PLUMB_TRY(plumb_text_printf(t, "also --%s; ", option->alias));
    return plumb_text_printf(t, "%s]", twin);
}

static plumb_status help_row(plumb_text *t, plumb_text *label, const char *help, int columns)
{
    size_t start = t->size;
    PLUMB_TRY(plumb_text_append(t, label->data, label->size));
    if (t->size - start + 2 > LABEL_WIDTH) {
        PLUMB_TRY(plumb_text_string(t, "\n"));
        start = t->size;
    }
    PLUMB_TRY(pad(t, LABEL_WIDTH - (t->size - start)));
    PLUMB_TRY(plumb_wrap(t, help, LABEL_WIDTH, columns));
    plumb_text_clear(label);
    return plumb_text_string(t, "\n");
}

static plumb_status help_positionals(const plumb_usage *usage, int columns, plumb_text *label, plumb_text *t)
{
    if (usage->positional_count) PLUMB_TRY(plumb_text_string(t, "\nArguments:\n"));
    for (size_t i = 0; i < usage->positional_count; i++) {
        const plumb_positional *p = &usage->positionals[i];
        PLUMB_TRY(plumb_text_printf(label, "  %s%s", p->name, p->most == 1 ? "" : "..."));
        PLUMB_TRY(help_row(t, label, p->help, columns));
    }
    return PLUMB_OK;
}

static bool same_group(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* Has a row before this one its group? Then the group's heading and rows stand there. */
static bool group_is_old(const plumb_usage *usage, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (plumb_option_belongs(usage->options[k].only, usage) &&
            same_group(usage->options[k].group, usage->options[i].group))
            return true;
    return false;
}

/* What belongs to every command. */
static plumb_status help_own(int columns, plumb_text *label, plumb_text *t)
{
    PLUMB_TRY(plumb_text_string(label, "      --config FILE"));
    PLUMB_TRY(help_row(t, label,
                       "options from a YAML file of key: value lines, with the names of the options as keys, as in TRL "
                       "[PLUMB_CONFIG]",
                       columns));
    PLUMB_TRY(plumb_text_string(label, "  -h, --help"));
    PLUMB_TRY(help_row(t, label, "print this text", columns));
    PLUMB_TRY(plumb_text_string(label, "      --version"));
    return help_row(t, label, "print plumb's version", columns);
}

/* The rows of one group, in the order of the table. */
static plumb_status help_group(const plumb_usage *usage, const char *group, int columns, plumb_text *label,
                               plumb_text *t)
{
    plumb_text help = {0};
    plumb_status s = PLUMB_OK;
    PLUMB_GO(plumb_text_printf(t, "\n%s:\n", group ? group : "Options"));
    for (size_t i = 0; i < usage->option_count; i++) {
        const plumb_option *option = &usage->options[i];
        if (!same_group(option->group, group) || !plumb_option_belongs(option->only, usage)) continue;
        plumb_text_clear(&help);
        PLUMB_GO(option_label(option, label));
        PLUMB_GO(option_help(option, &help));
        PLUMB_GO(help_row(t, label, help.data, columns));
    }
    if (!group) PLUMB_GO(help_own(columns, label, t));
done:
    plumb_text_free(&help);
    return s;
}

/* The rows without a group first, then the groups in the order of the table. */
static plumb_status help_options(const plumb_usage *usage, int columns, plumb_text *label, plumb_text *t)
{
    PLUMB_TRY(help_group(usage, NULL, columns, label, t));
    for (size_t i = 0; i < usage->option_count; i++) {
        const plumb_option *option = &usage->options[i];
        if (option->group && plumb_option_belongs(option->only, usage) && !group_is_old(usage, i))
            PLUMB_TRY(help_group(usage, option->group, columns, label, t));
    }
    return PLUMB_OK;
}

static plumb_status usage_line(const plumb_usage *usage, int columns, plumb_text *t)
{
    plumb_text line = {0};
    plumb_status s = plumb_text_printf(&line, "Usage: plumb %s", usage->name);
    for (size_t i = 0; !s && i < usage->positional_count; i++) {
        const plumb_positional *p = &usage->positionals[i];
        s = plumb_text_printf(&line, p->least ? " %s%s" : " [%s%s]", p->name, p->most == 1 ? "" : "...");
    }
    if (!s) s = plumb_text_string(&line, " [options]");
    if (!s) s = wrap_line(t, line.data, line.size, 7, columns, 0);
    plumb_text_free(&line);
    return s;
}

plumb_status plumb_options_help(const plumb_usage *usage, int columns, plumb_text *t)
{
    plumb_text label = {0};
    plumb_status s = PLUMB_OK;
    if (columns < 60) columns = 60;
    PLUMB_GO(usage_line(usage, columns, t));
    PLUMB_GO(plumb_text_string(t, "\n\n"));
    PLUMB_GO(plumb_wrap(t, usage->description, 0, columns));
    PLUMB_GO(plumb_text_string(t, "\n"));
    PLUMB_GO(help_positionals(usage, columns, &label, t));
    PLUMB_GO(help_options(usage, columns, &label, t));
    PLUMB_GO(plumb_wrap(t,
                        "\nOptions may be written with - or _ (--dry-run, --dry_run) and set by the environment "
                        "variable in brackets; the command line goes first, then the environment, then the config "
                        "file. What needs no value takes true or false too; NAME... stands for several values, or one "
                        "with commas.\n",
                        0, columns));
    if (usage->example) PLUMB_GO(plumb_text_printf(t, "\nExample:\n%s\n", usage->example));
done:
    plumb_text_free(&label);
    return s;
}
