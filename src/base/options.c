#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options_internal.h"

/* ---- names ---- */

static char fold(char c)
{
    return c == '-' ? '_' : (char)tolower((unsigned char)c);
}

static bool same_name(const char *a, size_t n, const char *b)
{
    if (strlen(b) != n) return false;
    for (size_t i = 0; i < n; i++)
        if ((a[i] == '-' ? '_' : a[i]) != (b[i] == '-' ? '_' : b[i])) return false;
    return true;
}

static int find_choice(const char *choices, const char *text, size_t n)
{
    int number = 0;
    for (const char *p = choices; *p; number++) {
        size_t length = strcspn(p, "|");
        if (length == n && strncmp(p, text, n) == 0) return number;
        p += length + (p[length] == '|');
    }
    return -1;
}

bool plumb_option_belongs(const char *only, const plumb_usage *usage)
{
    return !only || find_choice(only, usage->name, strlen(usage->name)) >= 0;
}

const plumb_option *plumb_option_find(const plumb_usage *usage, const char *name, size_t n)
{
    for (size_t i = 0; i < usage->option_count; i++) {
        const plumb_option *option = &usage->options[i];
        bool named = same_name(name, n, option->name) || (option->alias && same_name(name, n, option->alias));
        if (named && plumb_option_belongs(option->only, usage)) return option;
    }
    return NULL;
}

static const plumb_option *find_letter(const plumb_usage *usage, char letter)
{
    for (size_t i = 0; i < usage->option_count; i++)
        if (usage->options[i].letter == letter && plumb_option_belongs(usage->options[i].only, usage))
            return &usage->options[i];
    return NULL;
}

void plumb_option_plain_name(const plumb_option *option, const char *prefix, bool upper,
                             char out[PLUMB_LONGEST_OPTION + 1])
{
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    for (const char *p = option->name; *p && n < PLUMB_LONGEST_OPTION; p++) {
        char c = *p == '-' ? '_' : *p;
        out[n++] = upper ? (char)toupper((unsigned char)c) : c;
    }
    out[n] = 0;
}

/* Optimal string alignment: insert, delete, replace, swap of neighbours. Words longer than the table are far away. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][PLUMB_LONGEST_OPTION + 1], n = strlen(a), m = strlen(b);
    if (n > PLUMB_LONGEST_OPTION || m > PLUMB_LONGEST_OPTION) return SIZE_MAX;
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= m; j++) last[j] = before[j] = j;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = last[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            bool swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]);
            if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

static bool begins_with(const char *word, const char *beginning)
{
    for (; *beginning; word++, beginning++)
        if (!*word || fold(*word) != fold(*beginning)) return false;
    return true;
}

const char *plumb_nearest(const char *typed, const char *const *words, size_t count)
{
    const char *near = NULL, *longer = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(typed, words[i]);
        if (distance < least) {
            least = distance;
            near = words[i];
        }
        if (*typed && begins_with(words[i], typed) && (!longer || strlen(words[i]) < strlen(longer))) longer = words[i];
    }
    if (near && least <= (strlen(typed) + 2) / 3) return near;
    return longer;
}

/* ---- values from text ---- */

static plumb_status bad_value(const char *text, const char *expected)
{
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is not %s", text, expected);
}

static plumb_status out_of_bounds(const plumb_option *option, const char *text)
{
    if (option->high == INT64_MAX)
        return plumb_fail(PLUMB_E_INPUT, "%s is less than %lld", text, (long long)option->low);
    return plumb_fail(PLUMB_E_INPUT, "%s is not in %lld..%lld", text, (long long)option->low, (long long)option->high);
}

bool plumb_has_bounds(const plumb_option *option)
{
    return option->low || option->high;
}

static plumb_status read_integer(const plumb_option *option, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || isspace((unsigned char)*text)) return bad_value(text, "a whole number");
    if (plumb_has_bounds(option) && (errno || value < option->low || value > option->high))
        return out_of_bounds(option, text);
    if (errno) return plumb_fail(PLUMB_E_INPUT, "%s does not fit into 64 bits", text);
    *out = value;
    return PLUMB_OK;
}

static plumb_status read_real(const plumb_option *option, const char *text, double *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || strspn(text, "+-.0123456789eE") != strlen(text)) return bad_value(text, "a number");
    if (!isfinite(value)) return plumb_fail(PLUMB_E_INPUT, "%s is beyond the range of numbers", text);
    if (plumb_has_bounds(option) && (value < (double)option->low || value > (double)option->high))
        return out_of_bounds(option, text);
    *out = value;
    return PLUMB_OK;
}

bool plumb_option_read_bool(const char *text, bool words, bool *out)
{
    static const char *const names[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < (words ? sizeof names / sizeof *names : 2); i++) {
        if (strcasecmp(text, names[i]) == 0) {
            *out = i % 2;
            return true;
        }
    }
    return false;
}

static bool read_row_number(const char **p, int64_t *out)
{
    char *end;
    if (!isdigit((unsigned char)**p)) return false;
    errno = 0;
    *out = strtoll(*p, &end, 10);
    *p = end;
    return errno == 0;
}

static plumb_status read_range(const char *text, plumb_range *out)
{
    const char *p = text;
    plumb_range range = {0, -1};
    bool good = *p == ':' || read_row_number(&p, &range.begin);
    good = good && *p++ == ':' && (!*p || read_row_number(&p, &range.end)) && !*p && strcmp(text, ":") != 0;
    if (!good)
        return plumb_cure(bad_value(text, "a range of rows"),
                          "write A:B, A: or :B with row numbers from 0; row B is not included");
    if (range.end >= 0 && range.end <= range.begin)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s holds no row", text),
                          "write A:B with A less than B; row B is not included");
    *out = range;
    return PLUMB_OK;
}

/* ---- choices ---- */

size_t plumb_split_choices(const char *choices, char buffer[PLUMB_CHOICES_ROOM], const char *words[PLUMB_MOST_CHOICES])
{
    size_t count = 0;
    snprintf(buffer, PLUMB_CHOICES_ROOM, "%s", choices);
    for (char *save = NULL, *word = strtok_r(buffer, "|", &save); word && count < PLUMB_MOST_CHOICES;
         word = strtok_r(NULL, "|", &save))
        words[count++] = word;
    return count;
}

static plumb_status no_choice(const char *choices, const char *text)
{
    char buffer[PLUMB_CHOICES_ROOM], all[PLUMB_CHOICES_ROOM] = "";
    const char *words[PLUMB_MOST_CHOICES];
    size_t count = plumb_split_choices(choices, buffer, words), used = 0;
    for (size_t i = 0; i < count && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", words[i]);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "\"%s\" is none of %s", text, all);
    const char *near = plumb_nearest(text, words, count);
    return near ? plumb_cure(s, "did you mean %s?", near) : plumb_cure(s, "choose one of these");
}

/* ---- setting values ---- */

/* Appends the parts of `text` between commas to a list whose items live in the arena. */
static plumb_status append_parts(plumb_options *o, const plumb_option *option, const char *text, plumb_list *list)
{
    size_t parts = 1;
    for (const char *p = text; *p; p++) parts += *p == ',';
    const char **items = NULL;
    PLUMB_TRY(plumb_arena_new(&o->arena, &items, list->count + parts, sizeof *items));
    if (list->count) memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        char *item = NULL;
        if (n) {
            PLUMB_TRY(plumb_arena_copy(&o->arena, &item, p, n));
            if (option->choices && find_choice(option->choices, item, n) < 0) return no_choice(option->choices, item);
            items[list->count++] = item;
        }
        p += n + (p[n] == ',');
    }
    return PLUMB_OK;
}

static plumb_status append_item(plumb_options *o, const char *text, plumb_list *list)
{
    const char **items = NULL;
    char *item = NULL;
    PLUMB_TRY(plumb_arena_new(&o->arena, &items, list->count + 1, sizeof *items));
    PLUMB_TRY(plumb_arena_copy(&o->arena, &item, text, strlen(text)));
    if (list->count) memcpy(items, list->items, list->count * sizeof *items);
    items[list->count++] = item;
    list->items = items;
    return PLUMB_OK;
}

/* The value of an option as text, split by commas where it is a list. */
static plumb_status set_value(plumb_options *o, const plumb_option *option, const char *text)
{
    void *place = o->values + option->offset;
    char *copy = NULL;
    int choice = 0;
    switch (option->kind) {
    case PLUMB_OPTION_FLAG:
        return plumb_option_read_bool(text, true, place) ? PLUMB_OK : bad_value(text, "true or false");
    case PLUMB_OPTION_INTEGER:
        return read_integer(option, text, place);
    case PLUMB_OPTION_REAL:
        return read_real(option, text, place);
    case PLUMB_OPTION_STRING:
        PLUMB_TRY(plumb_arena_copy(&o->arena, &copy, text, strlen(text)));
        *(const char **)place = copy;
        return PLUMB_OK;
    case PLUMB_OPTION_CHOICE:
        choice = find_choice(option->choices, text, strlen(text));
        if (choice < 0) return no_choice(option->choices, text);
        *(int *)place = choice;
        return PLUMB_OK;
    case PLUMB_OPTION_RANGE:
        return read_range(text, place);
    case PLUMB_OPTION_LIST:
    case PLUMB_OPTION_REPEATED:
        *(plumb_list *)place = (plumb_list){0};
        PLUMB_TRY(append_parts(o, option, text, place));
        if (((plumb_list *)place)->count) return PLUMB_OK;
        return plumb_fail(PLUMB_E_INPUT, "holds no value");
    }
    return plumb_fail(PLUMB_E_INTERNAL, "unknown kind of option");
}

static plumb_status set_defaults(plumb_options *o)
{
    for (size_t i = 0; i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        if (option->fallback)
            PLUMB_TRY(plumb_context(set_value(o, option, option->fallback), "default of --%s", option->name));
        else if (option->kind == PLUMB_OPTION_RANGE)
            *(plumb_range *)(void *)(o->values + option->offset) = (plumb_range){0, -1};
    }
    return PLUMB_OK;
}

/* The environment speaks where the command line is silent; an empty variable counts as not set. */
static plumb_status read_environment(plumb_options *o)
{
    char name[PLUMB_LONGEST_OPTION + 1];
    for (size_t i = 0; i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        plain_name(option, "PLUMB_", true, name);
        const char *text = getenv(name);
        if (o->sources[i] != PLUMB_FROM_DEFAULT || !text || !*text) continue;
        PLUMB_TRY(plumb_context(set_value(o, option, text), "%s (environment)", name));
        o->sources[i] = PLUMB_FROM_ENVIRONMENT;
    }
    return PLUMB_OK;
}

/* ---- the command line ---- */

/* "-3.5", "-1e-3", "-.5": a value, not an option. */
static bool is_negative_number(const char *word)
{
    char *end;
    if (word[0] != '-' || (!isdigit((unsigned char)word[1]) && word[1] != '.')) return false;
    (void)strtod(word, &end);
    return !*end;
}

static bool looks_like_option(const char *word)
{
    return word[0] == '-' && word[1] && !is_negative_number(word);
}

static plumb_status unknown_option(const plumb_usage *usage, const char *word)
{
    const char **names = NULL;
    size_t count = 0, n = strcspn(word, "=");
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%.*s: unknown option", (int)n, word);
    char typed[PLUMB_LONGEST_OPTION + 1] = "";
    if (n > 2 && n - 2 <= PLUMB_LONGEST_OPTION) memcpy(typed, word + 2, n - 2);
    plumb_status memory = plumb_new(&names, usage->option_count + 2, sizeof *names);
    if (memory) {
        plumb_status_free(s);
        return memory;
    }
    for (; count < usage->option_count; count++) names[count] = usage->options[count].name;
    names[count++] = "help";
    names[count++] = "version";
    const char *near = *typed ? plumb_nearest(typed, names, count) : NULL;
    s = near ? plumb_cure(s, "did you mean --%s?", near)
             : plumb_cure(s, "plumb %s --help lists the options", usage->name);
    free(names);
    return s;
}

/* One option on the command line: the words it may take its values from. */
typedef struct words {
    int argc;
    char **argv;
    int at;             /* the word after the option */
    const char *joined; /* what follows '=' or the letter; NULL: nothing */
} words;

static plumb_status take_flag(plumb_options *o, const plumb_option *option, words *w)
{
    bool *place = (bool *)(void *)(o->values + option->offset);
    if (w->joined) return plumb_option_read_bool(w->joined, true, place) ? PLUMB_OK : bad_value(w->joined, "true or false");
    *place = true;
    if (w->at < w->argc && plumb_option_read_bool(w->argv[w->at], false, place)) w->at++;
    return PLUMB_OK;
}

static plumb_status missing_value(const plumb_option *option, const words *w)
{
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "a value is missing");
    if (w->at < w->argc && strcmp(w->argv[w->at], "--") != 0)
        return plumb_cure(s, "a value that starts with a dash is written --%s=%s", option->name, w->argv[w->at]);
    return plumb_cure(s, "write --%s %s", option->name, option->metavar ? option->metavar : "VALUE");
}

/* Does a further word belong to the list? With choices only words that are all known, so that positionals may follow.
 */
static bool continues_list(const plumb_option *option, const char *word)
{
    if (looks_like_option(word)) return false;
    for (const char *p = word; option->choices && *p;) {
        size_t n = strcspn(p, ",");
        if (n && find_choice(option->choices, p, n) < 0) return false;
        p += n + (p[n] == ',');
    }
    return true;
}

static plumb_status take_list(plumb_options *o, const plumb_option *option, words *w)
{
    plumb_list *list = (plumb_list *)(void *)(o->values + option->offset);
    *list = (plumb_list){0};
    if (w->joined) {
        PLUMB_TRY(append_parts(o, option, w->joined, list));
    } else {
        int first = w->at;
        while (w->at < w->argc && !looks_like_option(w->argv[w->at]) &&
               (w->at == first || continues_list(option, w->argv[w->at])))
            PLUMB_TRY(append_parts(o, option, w->argv[w->at++], list));
        if (w->at - first > 1) o->greedy = option;
    }
    return list->count ? PLUMB_OK : missing_value(option, w);
}

static plumb_status take_values(plumb_options *o, const plumb_option *option, words *w)
{
    if (option->kind == PLUMB_OPTION_FLAG) return take_flag(o, option, w);
    if (option->kind == PLUMB_OPTION_LIST) return take_list(o, option, w);
    const char *text = w->joined;
    if (!text) {
        if (w->at >= w->argc || looks_like_option(w->argv[w->at])) return missing_value(option, w);
        text = w->argv[w->at++];
    }
    if (option->kind != PLUMB_OPTION_REPEATED) return set_value(o, option, text);
    plumb_list *list = (plumb_list *)(void *)(o->values + option->offset);
    if (o->sources[option - o->usage->options] != PLUMB_FROM_COMMAND_LINE) *list = (plumb_list){0};
    return append_item(o, text, list);
}

static plumb_status take_option(plumb_options *o, const plumb_option *option, words *w)
{
    PLUMB_TRY(plumb_context(take_values(o, option, w), "--%s", option->name));
    o->sources[option - o->usage->options] = PLUMB_FROM_COMMAND_LINE;
    return PLUMB_OK;
}

/* --name, --name=value, --no_name. */
static plumb_status read_long(plumb_options *o, words *w, const char *word)
{
    const char *name = word + 2;
    size_t n = strcspn(name, "=");
    w->joined = name[n] ? name + n + 1 : NULL;
    const plumb_option *option = find_option(o->usage, name, n);
    if (option) return take_option(o, option, w);
    bool negated = n > 3 && same_name(name, 3, "no_");
    option = negated ? find_option(o->usage, name + 3, n - 3) : NULL;
    if (!option || option->kind != PLUMB_OPTION_FLAG) return unknown_option(o->usage, word);
    if (w->joined)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%.*s: takes no value", (int)n + 2, word), "write --%s=%s",
                          option->name, w->joined);
    *(bool *)(void *)(o->values + option->offset) = false;
    o->sources[option - o->usage->options] = PLUMB_FROM_COMMAND_LINE;
    return PLUMB_OK;
}

/* -o FILE, -oFILE, -o=FILE, and flags in one word: -qn. */
static plumb_status read_letters(plumb_options *o, words *w, const char *word)
{
    for (const char *p = word + 1; *p; p++) {
        const plumb_option *option = find_letter(o->usage, *p);
        if (!option)
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "-%c: unknown option", *p), "plumb %s --help lists the options",
                              o->usage->name);
        bool more = p[1] && option->kind == PLUMB_OPTION_FLAG && p[1] != '=';
        w->joined = p[1] && !more ? p + 1 + (p[1] == '=') : NULL;
        if (more)
            *(bool *)(void *)(o->values + option->offset) = true;
        else
            PLUMB_TRY(take_option(o, option, w));
        o->sources[option - o->usage->options] = PLUMB_FROM_COMMAND_LINE;
        if (!more) break;
    }
    return PLUMB_OK;
}

static plumb_status usage_cure(const plumb_usage *usage, plumb_status s)
{
    plumb_text t = {0};
    plumb_status failed = plumb_text_printf(&t, "usage: plumb %s", usage->name);
    for (size_t i = 0; !failed && i < usage->positional_count; i++)
        failed = plumb_text_printf(&t, usage->positionals[i].least ? " %s%s" : " [%s%s]", usage->positionals[i].name,
                                   usage->positionals[i].most == 1 ? "" : "...");
    s = plumb_cure(s, "%s [options]; plumb %s --help tells more", failed ? "" : t.data, usage->name);
    plumb_status_free(failed);
    plumb_text_free(&t);
    return s;
}

static plumb_status missing_positional(const plumb_options *o, const plumb_positional *p, int got)
{
    if (o->greedy)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s is missing; --%s took all words that follow it", p->name, o->greedy->name),
            "put %s before --%s, or end the list with --", p->name, o->greedy->name);
    if (p->least > 1)
        return usage_cure(o->usage,
                          plumb_fail(PLUMB_E_INPUT, "%s: at least %d are needed, %d given", p->name, p->least, got));
    return usage_cure(o->usage, plumb_fail(PLUMB_E_INPUT, "%s is missing", p->name));
}

static plumb_status set_positionals(plumb_options *o, const char **given, size_t count)
{
    for (size_t i = 0; i < o->usage->positional_count; i++) {
        const plumb_positional *p = &o->usage->positionals[i];
        size_t take = p->most >= 0 && count > (size_t)p->most ? (size_t)p->most : count;
        if (take < (size_t)p->least) return missing_positional(o, p, (int)take);
        *(plumb_list *)(void *)(o->values + p->offset) = (plumb_list){given, take};
        given += take;
        count -= take;
    }
    if (!count) return PLUMB_OK;
    return usage_cure(o->usage, plumb_fail(PLUMB_E_INPUT, "\"%s\": one argument too many", given[0]));
}

static plumb_status read_command_line(plumb_options *o, int argc, char **argv)
{
    const char **given = NULL;
    size_t count = 0;
    bool only_positionals = false;
    words w = {argc, argv, 1, NULL};
    PLUMB_TRY(plumb_arena_new(&o->arena, &given, (size_t)argc + 1, sizeof *given));
    while (w.at < argc) {
        const char *word = argv[w.at++];
        if (only_positionals || !looks_like_option(word))
            given[count++] = word;
        else if (strcmp(word, "--") == 0)
            only_positionals = true;
        else
            PLUMB_TRY(word[1] == '-' ? read_long(o, &w, word) : read_letters(o, &w, word));
    }
    return set_positionals(o, given, count);
}

/* --help and --version count wherever they stand, so that help comes even when the rest is wrong. */
static void look_for_help(plumb_options *o, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        o->wants_help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        o->wants_version |= strcmp(argv[i], "--version") == 0;
    }
}

plumb_status plumb_options_parse(const plumb_usage *usage, int argc, char **argv, void *values, plumb_options **out)
{
    plumb_options *o = NULL;
    PLUMB_TRY(plumb_new(&o, 1, sizeof *o));
    o->usage = usage;
    o->values = values;
    look_for_help(o, argc, argv);
    plumb_status s = plumb_arena_new(&o->arena, &o->sources, usage->option_count, sizeof *o->sources);
    if (!s) s = set_defaults(o);
    if (!s && !o->wants_help && !o->wants_version) {
        s = read_command_line(o, argc, argv);
        if (!s) s = read_environment(o);
    }
    if (s) {
        plumb_options_free(o);
        return s;
    }
    *out = o;
    return PLUMB_OK;
}

void plumb_options_free(plumb_options *o)
{
    if (!o) return;
    plumb_arena_free(&o->arena);
    free(o);
}

bool plumb_options_wants_help(const plumb_options *o)
{
    return o->wants_help;
}

bool plumb_options_wants_version(const plumb_options *o)
{
    return o->wants_version;
}

plumb_option_source plumb_options_source(const plumb_options *o, const char *name)
{
    const plumb_option *option = find_option(o->usage, name, strlen(name));
    return option ? o->sources[option - o->usage->options] : PLUMB_FROM_DEFAULT;
}

plumb_status plumb_options_label(const plumb_options *o, const char *name, plumb_text *t)
{
    const plumb_option *option = find_option(o->usage, name, strlen(name));
    if (!option || o->sources[option - o->usage->options] != PLUMB_FROM_ENVIRONMENT)
        return plumb_text_printf(t, "--%s", option ? option->name : name);
    char twin[PLUMB_LONGEST_OPTION + 1];
    plain_name(option, "PLUMB_", true, twin);
    return plumb_text_printf(t, "%s (environment)", twin);
}

/* ---- the record ---- */

/* A string for any bytes: file names need not be UTF-8. */
static json_t *text_json(const char *text)
{
    if (!text) return json_null();
    json_t *value = json_string(text);
    if (value) return value;
    plumb_text t = {0};
    plumb_status s = PLUMB_OK;
    for (const char *p = text; !s && *p; p++)
        s = (unsigned char)*p < 0x80 ? plumb_text_append(&t, p, 1) : plumb_text_printf(&t, "%%%02X", (unsigned char)*p);
    value = s ? NULL : json_string(t.data);
    plumb_status_free(s);
    plumb_text_free(&t);
    return value;
}

static json_t *list_json(const plumb_list *list)
{
    json_t *array = list->count ? json_array() : json_null();
    for (size_t i = 0; i < list->count; i++) json_array_append_new(array, text_json(list->items[i]));
    return array;
}

static json_t *range_json(plumb_range range)
{
    if (range.end >= 0) return json_sprintf("%lld:%lld", (long long)range.begin, (long long)range.end);
    return range.begin ? json_sprintf("%lld:", (long long)range.begin) : json_null();
}

static json_t *choice_json(const char *choices, int number)
{
    while (number-- > 0) choices += strcspn(choices, "|") + 1;
    return json_stringn(choices, strcspn(choices, "|"));
}

static json_t *value_json(const plumb_options *o, const plumb_option *option)
{
    const void *place = o->values + option->offset;
    switch (option->kind) {
    case PLUMB_OPTION_FLAG:
        return json_boolean(*(const bool *)place);
    case PLUMB_OPTION_INTEGER:
        if (!option->fallback && o->sources[option - o->usage->options] == PLUMB_FROM_DEFAULT) return json_null();
        return json_integer(*(const int64_t *)place);
    case PLUMB_OPTION_REAL:
        if (!option->fallback && o->sources[option - o->usage->options] == PLUMB_FROM_DEFAULT) return json_null();
        return json_real(*(const double *)place);
    case PLUMB_OPTION_STRING:
        return text_json(*(const char *const *)place);
    case PLUMB_OPTION_CHOICE:
        return choice_json(option->choices, *(const int *)place);
    case PLUMB_OPTION_RANGE:
        return range_json(*(const plumb_range *)place);
    case PLUMB_OPTION_LIST:
    case PLUMB_OPTION_REPEATED:
        return list_json(place);
    }
    return NULL;
}

plumb_status plumb_options_json(const plumb_options *o, json_t **out)
{
    json_t *options = json_object(), *run = json_object(), *sources = json_object();
    char name[PLUMB_LONGEST_OPTION + 1];
    int failed = !options || !run || !sources;
    for (size_t i = 0; !failed && i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        plain_name(option, "", false, name);
        failed |= json_object_set_new(option->changes_no_result ? run : options, name, value_json(o, option));
        if (o->sources[i] != PLUMB_FROM_DEFAULT)
            failed |= json_object_set_new(
                sources, name, json_string(o->sources[i] == PLUMB_FROM_ENVIRONMENT ? "environment" : "command line"));
    }
    /* "o" takes the references over, also when packing fails. */
    json_t *all = json_pack("{s:o, s:o, s:o}", "options", options, "run", run, "sources", sources);
    if (failed || !all) {
        json_decref(all);
        return plumb_no_memory();
    }
    *out = all;
    return PLUMB_OK;
}
