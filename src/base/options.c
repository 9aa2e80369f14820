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

const plumb_foreign_option *plumb_foreign_find(const plumb_usage *usage, const char *name, size_t n)
{
    for (const plumb_foreign_option *f = usage->foreign; f && f->name; f++)
        if (same_name(name, n, f->name) && plumb_option_belongs(f->only, usage)) return f;
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
    if (longer && strlen(typed) >= 4 && least > 0) return longer; /* gemma3: gemma3_text rather than gemma2 */
    if (near && least <= (strlen(typed) + 2) / 3) return near;
    return longer;
}

/* Names of the rows and of foreign options that belong to the command, `more` first; their number. */
static size_t collect_names(const plumb_usage *usage, const char *const *more, size_t extra, const char **out)
{
    size_t count = 0;
    for (size_t i = 0; i < extra; i++) out[count++] = more[i];
    for (size_t i = 0; i < usage->option_count; i++) {
        const plumb_option *option = &usage->options[i];
        if (!plumb_option_belongs(option->only, usage)) continue;
        out[count++] = option->name;
        if (option->alias) out[count++] = option->alias;
    }
    for (const plumb_foreign_option *f = usage->foreign; f && f->name; f++)
        if (plumb_option_belongs(f->only, usage)) out[count++] = f->name;
    return count;
}

plumb_status plumb_option_nearest(const plumb_usage *usage, const char *typed, const char *const *more, size_t extra,
                                  const char **out)
{
    const char **names = NULL;
    size_t room = extra + 2 * usage->option_count;
    for (const plumb_foreign_option *f = usage->foreign; f && f->name; f++) room++;
    PLUMB_TRY(plumb_new(&names, room, sizeof *names));
    *out = plumb_nearest(typed, names, collect_names(usage, more, extra, names));
    free(names);
    return PLUMB_OK;
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
    if (errno && (option->high == INT64_MAX || !plumb_has_bounds(option)))
        return plumb_fail(PLUMB_E_INPUT, "%s does not fit into 64 bits", text);
    if (plumb_has_bounds(option) && (errno || value < option->low || value > option->high))
        return out_of_bounds(option, text);
    *out = value;
    return PLUMB_OK;
}

static plumb_status read_real(const plumb_option *option, const char *text, double *out)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || strspn(text, "+-.0123456789eE") != strlen(text)) return bad_value(text, "a number");
    if (!isfinite(value)) return plumb_fail(PLUMB_E_INPUT, "%s is beyond the range of numbers", text);
    bool above = option->high != INT64_MAX && value > (double)option->high;
    if (plumb_has_bounds(option) && (value < (double)option->low || above)) return out_of_bounds(option, text);
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

/* "none" and "null" in any case, as TRL's parser. */
static bool is_none(const char *text)
{
    return strcasecmp(text, "none") == 0 || strcasecmp(text, "null") == 0;
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

/* Room for one more item in a list of the arena: lists double, so that a list of n items costs 2 n. */
static plumb_status grow(plumb_options *o, void *items, size_t count, size_t size)
{
    void *larger = NULL;
    if (count & (count - 1)) return PLUMB_OK; /* neither 0 nor a power of two: there is room */
    PLUMB_TRY(plumb_arena_new(&o->arena, &larger, count ? 2 * count : 1, size));
    if (count) memcpy(larger, *(void **)items, count * size);
    *(void **)items = larger;
    return PLUMB_OK;
}

static plumb_status append_real(plumb_options *o, const plumb_option *option, const char *text)
{
    plumb_reals *list = plumb_option_place(o, option);
    double value = 0, *items = (double *)list->items;
    PLUMB_TRY(read_real(option, text, &value));
    PLUMB_TRY(grow(o, &items, list->count, sizeof *items));
    items[list->count] = value;
    *list = (plumb_reals){items, list->count + 1};
    return PLUMB_OK;
}

plumb_status plumb_option_append(plumb_options *o, const plumb_option *option, const char *text)
{
    if (option->kind == PLUMB_OPTION_REALS) return append_real(o, option, text);
    plumb_list *list = plumb_option_place(o, option);
    const char **items = list->items;
    char *item = NULL;
    if (option->choices && find_choice(option->choices, text, strlen(text)) < 0)
        return no_choice(option->choices, text);
    PLUMB_TRY(plumb_arena_copy(&o->arena, &item, text, strlen(text)));
    PLUMB_TRY(grow(o, &items, list->count, sizeof *items));
    items[list->count] = item;
    *list = (plumb_list){items, list->count + 1};
    return PLUMB_OK;
}

/* Appends the parts of `text` between commas. */
static plumb_status append_parts(plumb_options *o, const plumb_option *option, const char *text)
{
    char *part = NULL;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        if (n) {
            PLUMB_TRY(plumb_arena_copy(&o->arena, &part, p, n));
            PLUMB_TRY(plumb_option_append(o, option, part));
        }
        p += n + (p[n] == ',');
    }
    return PLUMB_OK;
}

void plumb_option_clear(plumb_options *o, const plumb_option *option)
{
    if (option->kind == PLUMB_OPTION_REALS)
        *(plumb_reals *)plumb_option_place(o, option) = (plumb_reals){0};
    else
        *(plumb_list *)plumb_option_place(o, option) = (plumb_list){0};
}

static size_t list_count(const plumb_options *o, const plumb_option *option)
{
    const void *place = plumb_option_place(o, option);
    return option->kind == PLUMB_OPTION_REALS ? ((const plumb_reals *)place)->count
                                              : ((const plumb_list *)place)->count;
}

static plumb_status set_list(plumb_options *o, const plumb_option *option, const char *text)
{
    plumb_option_clear(o, option);
    PLUMB_TRY(append_parts(o, option, text));
    return list_count(o, option) ? PLUMB_OK : plumb_fail(PLUMB_E_INPUT, "holds no value");
}

static plumb_status set_string(plumb_options *o, const plumb_option *option, const char *text)
{
    char *copy = NULL;
    if (option->choices && find_choice(option->choices, text, strlen(text)) < 0)
        return no_choice(option->choices, text);
    PLUMB_TRY(plumb_arena_copy(&o->arena, &copy, text, strlen(text)));
    *(const char **)plumb_option_place(o, option) = copy;
    return PLUMB_OK;
}

/* A value as text, split by commas where it is a list. */
static plumb_status set_value(plumb_options *o, const plumb_option *option, const char *text)
{
    void *place = plumb_option_place(o, option);
    int choice = 0;
    switch (option->kind) {
    case PLUMB_OPTION_FLAG:
        return plumb_option_read_bool(text, true, place) ? PLUMB_OK : bad_value(text, "true or false");
    case PLUMB_OPTION_INTEGER:
        return read_integer(option, text, place);
    case PLUMB_OPTION_REAL:
        return read_real(option, text, place);
    case PLUMB_OPTION_STRING:
        return set_string(o, option, text);
    case PLUMB_OPTION_CHOICE:
        choice = find_choice(option->choices, text, strlen(text));
        if (choice < 0) return no_choice(option->choices, text);
        *(int *)place = choice;
        return PLUMB_OK;
    case PLUMB_OPTION_RANGE:
        return read_range(text, place);
    case PLUMB_OPTION_LIST:
    case PLUMB_OPTION_REPEATED:
    case PLUMB_OPTION_REALS:
        return set_list(o, option, text);
    }
    return plumb_fail(PLUMB_E_INTERNAL, "unknown kind of option");
}

static size_t value_size(plumb_option_kind kind)
{
    static const size_t sizes[] = {
        [PLUMB_OPTION_FLAG] = sizeof(bool),           [PLUMB_OPTION_INTEGER] = sizeof(int64_t),
        [PLUMB_OPTION_REAL] = sizeof(double),         [PLUMB_OPTION_STRING] = sizeof(char *),
        [PLUMB_OPTION_CHOICE] = sizeof(int),          [PLUMB_OPTION_LIST] = sizeof(plumb_list),
        [PLUMB_OPTION_REPEATED] = sizeof(plumb_list), [PLUMB_OPTION_RANGE] = sizeof(plumb_range),
        [PLUMB_OPTION_REALS] = sizeof(plumb_reals),
    };
    return sizes[kind];
}

plumb_status plumb_option_reset(plumb_options *o, const plumb_option *option)
{
    if (option->fallback) return plumb_context(set_value(o, option, option->fallback), "default of --%s", option->name);
    memset(plumb_option_place(o, option), 0, value_size(option->kind));
    if (option->kind == PLUMB_OPTION_RANGE) ((plumb_range *)plumb_option_place(o, option))->end = -1;
    return PLUMB_OK;
}

plumb_status plumb_option_set(plumb_options *o, const plumb_option *option, const char *text, bool *given)
{
    *given = true;
    if (!option->none || !is_none(text)) return set_value(o, option, text);
    if (*option->none) return set_value(o, option, option->none);
    *given = false;
    return plumb_option_reset(o, option);
}

static plumb_status set_defaults(plumb_options *o)
{
    for (size_t i = 0; i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        bool speaks = option->fallback || option->kind == PLUMB_OPTION_RANGE;
        if (speaks && plumb_option_belongs(option->only, o->usage)) PLUMB_TRY(plumb_option_reset(o, option));
    }
    return PLUMB_OK;
}

static void settle(plumb_options *o, const plumb_option *option, plumb_option_source source, bool given)
{
    plumb_option_state *state = plumb_option_state_of(o, option);
    state->source = given ? source : PLUMB_FROM_DEFAULT;
    state->settled = true;
}

static bool belongs(const plumb_options *o, const plumb_option *option)
{
    return plumb_option_belongs(option->only, o->usage);
}

/* The environment speaks where the command line is silent; an empty variable counts as not set. */
static plumb_status read_environment(plumb_options *o)
{
    char name[PLUMB_LONGEST_OPTION + 1];
    for (size_t i = 0; i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        bool given = false;
        plumb_option_plain_name(option, "PLUMB_", true, name);
        const char *text = getenv(name);
        if (o->states[i].settled || !text || !*text || !belongs(o, option)) continue;
        PLUMB_TRY(plumb_context(plumb_option_set(o, option, text, &given), "%s (environment)", name));
        settle(o, option, PLUMB_FROM_ENVIRONMENT, given);
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
    static const char *const own[] = {"help", "version", "config"};
    size_t n = strcspn(word, "=");
    char typed[PLUMB_LONGEST_OPTION + 1] = "";
    const char *near = NULL;
    if (n > 2 && n - 2 <= PLUMB_LONGEST_OPTION) memcpy(typed, word + 2, n - 2);
    if (*typed) PLUMB_TRY(plumb_option_nearest(usage, typed, own, 3, &near));
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "%.*s: unknown option", (int)n, word);
    return near ? plumb_cure(s, "did you mean --%s?", near)
                : plumb_cure(s, "plumb %s --help lists the options", usage->name);
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
    bool *place = plumb_option_place(o, option);
    if (w->joined)
        return plumb_option_read_bool(w->joined, true, place) ? PLUMB_OK : bad_value(w->joined, "true or false");
    *place = true;
    if (w->at < w->argc && plumb_option_read_bool(w->argv[w->at], false, place)) w->at++;
    return PLUMB_OK;
}

static plumb_status missing_value(const char *name, const char *metavar, const words *w)
{
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "a value is missing");
    if (w->at < w->argc && strcmp(w->argv[w->at], "--") != 0)
        return plumb_cure(s, "a value that starts with a dash is written --%s=%s", name, w->argv[w->at]);
    return plumb_cure(s, "write --%s %s", name, metavar ? metavar : "VALUE");
}

/* The next word as a value, or NULL. */
static const char *next_value(words *w)
{
    if (w->joined) return w->joined;
    return w->at < w->argc && !looks_like_option(w->argv[w->at]) ? w->argv[w->at++] : NULL;
}

static bool is_real(const char *text, size_t n)
{
    return n && strspn(text, "+-.0123456789eE") >= n;
}

/* Does a further word belong to the list? With choices, or of numbers, only words that are all known, so that
 * positionals may follow. */
static bool continues_list(const plumb_option *option, const char *word)
{
    bool reals = option->kind == PLUMB_OPTION_REALS;
    if (looks_like_option(word)) return false;
    for (const char *p = word; (option->choices || reals) && *p;) {
        size_t n = strcspn(p, ",");
        if (n && (reals ? !is_real(p, n) : find_choice(option->choices, p, n) < 0)) return false;
        p += n + (p[n] == ',');
    }
    return true;
}

static plumb_status take_list(plumb_options *o, const plumb_option *option, words *w, bool *given)
{
    const char *first = w->joined ? w->joined : w->at < w->argc ? w->argv[w->at] : "";
    if (option->none && is_none(first)) {
        (void)next_value(w);
        return plumb_option_set(o, option, first, given);
    }
    plumb_option_clear(o, option);
    if (w->joined) {
        PLUMB_TRY(append_parts(o, option, w->joined));
    } else {
        int start = w->at;
        while (w->at < w->argc && !looks_like_option(w->argv[w->at]) &&
               (w->at == start || continues_list(option, w->argv[w->at])))
            PLUMB_TRY(append_parts(o, option, w->argv[w->at++]));
        if (w->at - start > 1) o->list = option;
    }
    return list_count(o, option) ? PLUMB_OK : missing_value(option->name, option->metavar, w);
}

static plumb_status take_values(plumb_options *o, const plumb_option *option, words *w, bool *given)
{
    *given = true;
    if (option->kind == PLUMB_OPTION_FLAG) return take_flag(o, option, w);
    if (option->kind == PLUMB_OPTION_LIST || option->kind == PLUMB_OPTION_REALS) return take_list(o, option, w, given);
    const char *text = next_value(w);
    if (!text) return missing_value(option->name, option->metavar, w);
    if (option->kind != PLUMB_OPTION_REPEATED) return plumb_option_set(o, option, text, given);
    if (!plumb_option_state_of(o, option)->settled) plumb_option_clear(o, option);
    return plumb_option_append(o, option, text);
}

/* Two names of one option, given with different values: which one was meant? */
static plumb_status check_names(const plumb_options *o, const plumb_option *option, bool by_alias, const char *before)
{
    const plumb_option_state *state = plumb_option_state_of(o, option);
    if (option->kind != PLUMB_OPTION_STRING || !state->settled || state->by_alias == by_alias || !before)
        return PLUMB_OK;
    const char *now = *(const char *const *)plumb_option_place(o, option);
    if (now && strcmp(now, before) == 0) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--%s and --%s are two names of one option and have different values",
                                 option->name, option->alias),
                      "give one of them");
}

/* name: as it was written, n bytes; NULL: its letter. */
static plumb_status take_option(plumb_options *o, const plumb_option *option, words *w, const char *name, size_t n)
{
    plumb_option_state *state = plumb_option_state_of(o, option);
    bool given = true, by_alias = name && !same_name(name, n, option->name);
    const char *before = option->kind == PLUMB_OPTION_STRING ? *(char *const *)plumb_option_place(o, option) : NULL;
    PLUMB_TRY(plumb_context(take_values(o, option, w, &given), "--%s", by_alias ? option->alias : option->name));
    PLUMB_TRY(check_names(o, option, by_alias, before));
    settle(o, option, PLUMB_FROM_COMMAND_LINE, given);
    state->by_alias = by_alias;
    return PLUMB_OK;
}

static plumb_status take_foreign_words(plumb_options *o, const plumb_foreign_option *foreign, words *w)
{
    static const char *const truth[] = {"false", "true"};
    bool value = true;
    if (foreign->kind == PLUMB_OPTION_FLAG) {
        if (w->joined) return plumb_foreign_take(o, foreign, w->joined, 1);
        if (w->at < w->argc && plumb_option_read_bool(w->argv[w->at], false, &value)) w->at++;
        return plumb_foreign_take(o, foreign, truth[value], 1);
    }
    const char *text = next_value(w);
    if (!text) return missing_value(foreign->name, NULL, w);
    size_t count = 1;
    while (foreign->kind == PLUMB_OPTION_LIST && !w->joined && next_value(w)) count++;
    return plumb_foreign_take(o, foreign, count == 1 ? text : NULL, count);
}

/* --name of another program's option, --no_name of a flag among those. */
static plumb_status take_foreign(plumb_options *o, words *w, const char *name, size_t n, bool *found)
{
    const plumb_foreign_option *foreign = plumb_foreign_find(o->usage, name, n);
    bool negated = !foreign && n > 3 && same_name(name, 3, "no_") && !w->joined;
    if (negated) foreign = plumb_foreign_find(o->usage, name + 3, n - 3);
    *found = foreign && (!negated || foreign->kind == PLUMB_OPTION_FLAG);
    if (!*found) return PLUMB_OK;
    return plumb_context(negated ? plumb_foreign_take(o, foreign, "false", 1) : take_foreign_words(o, foreign, w),
                         "--%.*s", (int)n, name);
}

static plumb_status take_config(plumb_options *o, words *w)
{
    o->config = next_value(w);
    return o->config ? PLUMB_OK : plumb_context(missing_value("config", "FILE.yaml", w), "--config");
}

/* --no_name */
static plumb_status take_negated(plumb_options *o, const words *w, const char *name, size_t n)
{
    const plumb_option *option = n > 3 && same_name(name, 3, "no_") ? plumb_option_find(o->usage, name + 3, n - 3) : 0;
    if (!option || option->kind != PLUMB_OPTION_FLAG) return unknown_option(o->usage, name - 2);
    if (w->joined)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "--%.*s: takes no value", (int)n, name), "write --%s=%s",
                          option->name, w->joined);
    *(bool *)plumb_option_place(o, option) = false;
    settle(o, option, PLUMB_FROM_COMMAND_LINE, true);
    return PLUMB_OK;
}

/* --name, --name=value, --no_name. */
static plumb_status read_long(plumb_options *o, words *w, const char *word, bool has_config)
{
    const char *name = word + 2;
    size_t n = strcspn(name, "=");
    bool found = false;
    w->joined = name[n] ? name + n + 1 : NULL;
    const plumb_option *option = plumb_option_find(o->usage, name, n);
    if (option) return take_option(o, option, w, name, n);
    if (has_config && same_name(name, n, "config")) return take_config(o, w);
    PLUMB_TRY(take_foreign(o, w, name, n, &found));
    return found ? PLUMB_OK : take_negated(o, w, name, n);
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
        if (!more) return take_option(o, option, w, NULL, 0);
        *(bool *)plumb_option_place(o, option) = true;
        settle(o, option, PLUMB_FROM_COMMAND_LINE, true);
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
    if (o->list)
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "%s is missing; --%s took all words that follow it", p->name, o->list->name),
            "put %s before --%s, or end the list with --", p->name, o->list->name);
    if (p->least > 1)
        return usage_cure(o->usage,
                          plumb_fail(PLUMB_E_INPUT, "%s: at least %d are needed, %d given", p->name, p->least, got));
    return usage_cure(o->usage, plumb_fail(PLUMB_E_INPUT, "%s is missing", p->name));
}

/* The option that gives the same as the positional, or NULL. */
static const plumb_option *twin_of(const plumb_options *o, const plumb_positional *p)
{
    for (size_t i = 0; i < o->usage->option_count; i++) {
        const plumb_option *option = &o->usage->options[i];
        if (option->positional && strcmp(option->positional, p->name) == 0 && belongs(o, option)) return option;
    }
    return NULL;
}

/* The words of a positional and the value of its twin become one; the words go first. */
static plumb_status join_twin(plumb_options *o, const plumb_positional *p, const plumb_option *twin)
{
    plumb_list *list = (plumb_list *)(void *)(o->values + p->offset);
    const char **value = plumb_option_place(o, twin);
    plumb_option_state *state = plumb_option_state_of(o, twin);
    if (!list->count) {
        *list = (plumb_list){value, *value ? 1 : 0};
        return PLUMB_OK;
    }
    if (state->source == PLUMB_FROM_COMMAND_LINE && strcmp(*value, list->items[0]) != 0)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s is \"%s\", but --%s is \"%s\"", p->name, list->items[0],
                                     state->by_alias ? twin->alias : twin->name, *value),
                          "they are two names of the same; give one of them");
    *value = list->items[0];
    *state = (plumb_option_state){.source = PLUMB_FROM_COMMAND_LINE, .settled = true};
    return PLUMB_OK;
}

/* Are there fewer words than positionals? Then those with a twin can do without. */
static bool leave_to_twins(const plumb_options *o, size_t count)
{
    size_t least = 0;
    for (size_t i = 0; i < o->usage->positional_count; i++) least += (size_t)o->usage->positionals[i].least;
    return count < least;
}

/* How many of the next `count` words positional i takes: all it may, but those that later ones cannot do without. */
static size_t words_of(const plumb_usage *usage, size_t i, size_t count)
{
    const plumb_positional *p = &usage->positionals[i];
    size_t later = 0, least = (size_t)p->least < count ? (size_t)p->least : count;
    for (size_t j = i + 1; p->most != p->least && j < usage->positional_count; j++)
        later += (size_t)usage->positionals[j].least;
    size_t take = count > later ? count - later : 0;
    if (take < least) take = least;
    return p->most >= 0 && take > (size_t)p->most ? (size_t)p->most : take;
}

/* A word is left over. Where options have given all positionals, it was meant to go before one of them: which? */
static plumb_status one_too_many(const plumb_options *o, const char *word, bool all_given)
{
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "\"%s\": one argument too many", word);
    const plumb_option *twins[2] = {NULL};
    for (size_t i = 0, n = 0; i < o->usage->positional_count && n < 2; i++)
        if ((twins[n] = twin_of(o, &o->usage->positionals[i]))) n++;
    if (!all_given || !twins[1]) return usage_cure(o->usage, s);
    return plumb_cure(
        s, "the options (or the config file) give all already; name the one that it replaces: --%s %s, or --%s %s",
        twins[0]->name, word, twins[1]->name, word);
}

static plumb_status set_positionals(plumb_options *o, const char **given, size_t count)
{
    bool few = leave_to_twins(o, count);
    for (size_t i = 0; i < o->usage->positional_count; i++) {
        const plumb_positional *p = &o->usage->positionals[i];
        const plumb_option *twin = twin_of(o, p);
        bool by_twin = twin && few && *(char *const *)plumb_option_place(o, twin);
        size_t take = by_twin ? 0 : words_of(o->usage, i, count);
        if (!by_twin && take < (size_t)p->least) return missing_positional(o, p, (int)take);
        *(plumb_list *)(void *)(o->values + p->offset) = (plumb_list){given, take};
        if (twin) PLUMB_TRY(join_twin(o, p, twin));
        given += take;
        count -= take;
    }
    if (!count) return PLUMB_OK;
    return one_too_many(o, given[0], few);
}

typedef struct positionals {
    const char **words;
    size_t count;
} positionals;

static plumb_status read_command_line(plumb_options *o, int argc, char **argv, bool has_config, positionals *out)
{
    bool only_positionals = false;
    words w = {argc, argv, 1, NULL};
    PLUMB_TRY(plumb_arena_new(&o->arena, &out->words, (size_t)argc + 1, sizeof *out->words));
    while (w.at < argc) {
        const char *word = argv[w.at++];
        if (only_positionals || !looks_like_option(word))
            out->words[out->count++] = word;
        else if (strcmp(word, "--") == 0)
            only_positionals = true;
        else
            PLUMB_TRY(word[1] == '-' ? read_long(o, &w, word, has_config) : read_letters(o, &w, word));
    }
    return PLUMB_OK;
}

/* --help and --version count wherever they stand, so that help comes even when the rest is wrong. */
static void look_for_help(plumb_options *o, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        o->wants_help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        o->wants_version |= strcmp(argv[i], "--version") == 0;
    }
}

static plumb_status read_config(plumb_options *o, plumb_settings_reader read)
{
    const char *twin = getenv("PLUMB_CONFIG");
    if (!o->config && twin && *twin) o->config = twin;
    if (!o->config) return PLUMB_OK;
    PLUMB_TRY(read(o->config, &o->settings));
    return plumb_options_apply(o);
}

static plumb_status read_all(plumb_options *o, plumb_settings_reader read, int argc, char **argv)
{
    positionals given = {0};
    PLUMB_TRY(read_command_line(o, argc, argv, read != NULL, &given));
    PLUMB_TRY(read_environment(o));
    if (read) PLUMB_TRY(read_config(o, read));
    return set_positionals(o, given.words, given.count);
}

static plumb_status allocate(plumb_options *o)
{
    const plumb_usage *usage = o->usage;
    size_t foreign = 0;
    while (usage->foreign && usage->foreign[foreign].name) foreign++;
    PLUMB_TRY(plumb_arena_new(&o->arena, &o->states, usage->option_count, sizeof *o->states));
    return plumb_arena_new(&o->arena, &o->noted, foreign, sizeof *o->noted);
}

plumb_status plumb_options_parse(const plumb_usage *usage, plumb_settings_reader read, int argc, char **argv,
                                 void *values, plumb_options **out)
{
    plumb_options *o = NULL;
    PLUMB_TRY(plumb_new(&o, 1, sizeof *o));
    o->usage = usage;
    o->values = values;
    look_for_help(o, argc, argv);
    plumb_status s = allocate(o);
    if (!s) s = set_defaults(o);
    if (!s && !o->wants_help && !o->wants_version) s = read_all(o, read, argc, argv);
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
    plumb_settings_free(&o->settings);
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

const char *plumb_options_config(const plumb_options *o)
{
    return o->config;
}

plumb_option_source plumb_options_source(const plumb_options *o, const char *name)
{
    const plumb_option *option = plumb_option_find(o->usage, name, strlen(name));
    return option ? plumb_option_state_of(o, option)->source : PLUMB_FROM_DEFAULT;
}

plumb_status plumb_options_label(const plumb_options *o, const char *name, plumb_text *t)
{
    const plumb_option *option = plumb_option_find(o->usage, name, strlen(name));
    if (!option) return plumb_text_printf(t, "--%s", name);
    const plumb_option_state *state = plumb_option_state_of(o, option);
    char twin[PLUMB_LONGEST_OPTION + 1];
    switch (state->source) {
    case PLUMB_FROM_ENVIRONMENT:
        plumb_option_plain_name(option, "PLUMB_", true, twin);
        return plumb_text_printf(t, "%s (environment)", twin);
    case PLUMB_FROM_FILE:
        return plumb_text_printf(t, "%s:%lld: %s", state->setting->file, (long long)state->setting->line,
                                 state->setting->key);
    default:
        return plumb_text_printf(t, "--%s", state->by_alias ? option->alias : option->name);
    }
}
