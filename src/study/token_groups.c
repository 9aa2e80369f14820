#include "study/token_groups.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "io/yaml.h"

/* ---- the built-in table ---- */

typedef struct builtin_class {
    const char *name, *words; /* separated by '|' */
} builtin_class;

/* Openers are the words that a response of that kind begins with; several of them affirm or deny as well. */
static const builtin_class builtin[] = {
    {"affirmation", "yes|yeah|yep|yup|yea|aye|sure|surely|ok|okay|true|correct|right|indeed|absolutely|certainly|"
                    "definitely|totally|exactly|agree|agreed|affirmative|always|oui|sí|да|ja|是"},
    {"denial", "no|nope|nah|nay|never|not|false|wrong|incorrect|untrue|none|neither|nor|disagree|disagreed|negative|"
               "don't|doesn't|didn't|isn't|aren't|wasn't|non|нет|nein|不|否"},
    {"refusal", "sorry|unfortunately|cannot|can't|unable|won't|apologize|apologise|apologies|apology|regret|"
                "regrettably|refuse|decline|inappropriate|unethical|illegal"},
    {"compliance", "sure|certainly|absolutely|definitely|here|here's|gladly|happy|step|steps|first|firstly|"
                   "introduction|title|ingredients|instructions"},
    {"hedging", "maybe|perhaps|possibly|probably|likely|unlikely|presumably|might|may|could|depends|depending|"
                "sometimes|somewhat|generally|usually|unsure|uncertain|unclear|hmm|well|however|although"},
};
enum { BUILTIN = sizeof builtin / sizeof *builtin };
static const char *const builtin_opposites[][2] = {{"affirmation", "denial"}, {"refusal", "compliance"}};
enum { BUILTIN_OPPOSITES = sizeof builtin_opposites / sizeof *builtin_opposites };

/* ---- words ---- */

typedef struct word {
    const char *text; /* in its normal form */
    plumb_classes classes;
} word;

struct plumb_token_groups {
    const char *names[PLUMB_CLASSES];
    plumb_classes opposites[PLUMB_CLASSES];
    int count;
    word *words; /* sorted by text */
    size_t word_count, capacity;
    plumb_arena arena;
};

static const char word_mark[] = "\xE2\x96\x81", typographic[] = "\xE2\x80\x99"; /* U+2581, U+2019 */

static bool begins(const char *text, size_t n, const char *with)
{
    return n >= 3 && memcmp(text, with, 3) == 0;
}

/* White space around a token, and the mark that SentencePiece writes for a space. */
static void trim(const char **text, size_t *n)
{
    for (;;) {
        if (*n && isspace((unsigned char)**text)) {
            (*text)++;
            (*n)--;
        } else if (begins(*text, *n, word_mark)) {
            *text += 3;
            *n -= 3;
        } else {
            break;
        }
    }
    while (*n && isspace((unsigned char)(*text)[*n - 1])) (*n)--;
}

/* The normal form as a new zero-terminated string (free); NULL in *out: not UTF-8, or with a zero byte in it. */
static plumb_status normal_form(const char *text, size_t n, char **out)
{
    utf8proc_uint8_t *folded = NULL;
    *out = NULL;
    trim(&text, &n);
    utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &folded,
                                         (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD));
    if (size == UTF8PROC_ERROR_NOMEM) return plumb_no_memory();
    if (size < 0) return PLUMB_OK;
    char *form = (char *)folded, *to = form;
    for (const char *from = form; from < form + size;) {
        bool apostrophe = begins(from, (size_t)(form + size - from), typographic);
        *to++ = apostrophe ? '\'' : *from;
        from += apostrophe ? 3 : 1;
    }
    *to = 0;
    if (memchr(form, 0, (size_t)(to - form))) {
        free(form);
        return PLUMB_OK;
    }
    *out = form;
    return PLUMB_OK;
}

static word *find_word(const plumb_token_groups *g, const char *text, size_t *place)
{
    size_t low = 0, high = g->word_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(text, g->words[middle].text);
        if (order == 0) return &g->words[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (place) *place = low;
    return NULL;
}

/* Puts a word in its normal form into class c. */
static plumb_status add_form(plumb_token_groups *g, const char *form, int c)
{
    size_t place = 0;
    word *known = find_word(g, form, &place);
    if (!known) {
        word new = {.classes = 0};
        PLUMB_TRY(plumb_reserve(&g->words, &g->capacity, g->word_count + 1, sizeof *g->words));
        PLUMB_TRY(plumb_arena_copy(&g->arena, &new.text, form, strlen(form)));
        known = &g->words[place];
        memmove(known + 1, known, (g->word_count++ - place) * sizeof *known);
        *known = new;
    }
    known->classes |= (plumb_classes)1 << c;
    return PLUMB_OK;
}

static plumb_status add_word(plumb_token_groups *g, const char *text, int c)
{
    char *form;
    PLUMB_TRY(normal_form(text, strlen(text), &form));
    plumb_status s = form && *form ? add_form(g, form, c) : plumb_fail(PLUMB_E_INPUT, "\"%s\" is no word", text);
    free(form);
    return s;
}

/* ---- classes ---- */

static int find_class(const plumb_token_groups *g, const char *name, size_t n)
{
    for (int c = 0; c < g->count; c++)
        if (strlen(g->names[c]) == n && memcmp(g->names[c], name, n) == 0) return c;
    return -1;
}

static plumb_status add_class(plumb_token_groups *g, const char *name, int *c)
{
    *c = find_class(g, name, strlen(name));
    if (*c >= 0) return PLUMB_OK;
    if (g->count == PLUMB_CLASSES) return plumb_fail(PLUMB_E_INPUT, "more than %d classes", PLUMB_CLASSES);
    *c = g->count;
    PLUMB_TRY(plumb_arena_copy(&g->arena, &g->names[*c], name, strlen(name)));
    g->count++;
    return PLUMB_OK;
}

static void add_opposites(plumb_token_groups *g, int a, int b)
{
    g->opposites[a] |= (plumb_classes)1 << b;
    g->opposites[b] |= (plumb_classes)1 << a;
}

static plumb_status add_builtin_classes(plumb_token_groups *g)
{
    int c;
    for (int i = 0; i < BUILTIN; i++) PLUMB_TRY(add_class(g, builtin[i].name, &c));
    for (int i = 0; i < BUILTIN_OPPOSITES; i++) {
        const char *const *pair = builtin_opposites[i];
        add_opposites(g, find_class(g, pair[0], strlen(pair[0])), find_class(g, pair[1], strlen(pair[1])));
    }
    return PLUMB_OK;
}

/* The words of a file are there already: they keep the classes that it gave them. */
static plumb_status add_builtin_words(plumb_token_groups *g)
{
    plumb_token_groups filed = *g; /* its words, as they are now */
    word *copy;
    PLUMB_TRY(plumb_new(&copy, g->word_count, sizeof *copy));
    if (g->word_count) memcpy(copy, g->words, g->word_count * sizeof *copy);
    filed.words = copy;
    plumb_status s = PLUMB_OK;
    for (int c = 0; c < BUILTIN && !s; c++)
        for (const char *at = builtin[c].words; at && !s;) {
            const char *end = strchr(at, '|');
            char text[32] = "";
            snprintf(text, sizeof text, "%.*s", (int)(end ? end - at : (ptrdiff_t)strlen(at)), at);
            if (!find_word(&filed, text, NULL)) s = add_word(g, text, c);
            at = end ? end + 1 : NULL;
        }
    free(copy);
    return s;
}

/* ---- the file ---- */

static plumb_status at_line(const plumb_setting *line, plumb_status s)
{
    return plumb_context(s, "%s:%lld", line->file, (long long)line->line);
}

static bool is_reserved(const plumb_setting *line)
{
    return strcmp(line->key, "opposites") == 0 || strcmp(line->key, "builtin") == 0;
}

static plumb_status check_list(const plumb_setting *line)
{
    if (line->is_nested || !line->count)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" has no list of words", line->key),
                          "write CLASS: [word, word, ...]");
    for (size_t i = 0; i < line->count; i++)
        if (line->values[i].is_null && !*line->values[i].text)
            return plumb_fail(PLUMB_E_INPUT, "\"%s\" has an empty word", line->key);
    return PLUMB_OK;
}

static plumb_status check_class_name(const char *name)
{
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && *p != '_' && *p != '-')
            return plumb_fail(PLUMB_E_INPUT, "\"%s\" is no name of a class: letters, digits, - and _ are", name);
    if (*name && strcmp(name, "none") != 0) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is no name of a class: it means tokens of no class", name);
}

static plumb_status read_class(plumb_token_groups *g, const plumb_setting *line)
{
    int c;
    PLUMB_TRY(check_class_name(line->key));
    PLUMB_TRY(check_list(line));
    PLUMB_TRY(add_class(g, line->key, &c));
    for (size_t i = 0; i < line->count; i++) PLUMB_TRY(add_word(g, line->values[i].text, c));
    return PLUMB_OK;
}

static plumb_status list_classes(const plumb_token_groups *g, plumb_text *t)
{
    for (int c = 0; c < g->count; c++) PLUMB_TRY(plumb_text_printf(t, "%s%s", c ? ", " : "", g->names[c]));
    return PLUMB_OK;
}

static plumb_status read_opposites(plumb_token_groups *g, const plumb_setting *line)
{
    PLUMB_TRY(check_list(line));
    for (size_t i = 0; i < line->count; i++) {
        const char *text = line->values[i].text, *slash = strchr(text, '/');
        int a = slash ? find_class(g, text, (size_t)(slash - text)) : -1;
        int b = slash ? find_class(g, slash + 1, strlen(slash + 1)) : -1;
        if (a >= 0 && b >= 0 && a != b) {
            add_opposites(g, a, b);
            continue;
        }
        plumb_text known = {0};
        plumb_status s = list_classes(g, &known);
        if (!s)
            s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is not a pair of classes", text),
                           "write CLASS/CLASS, of two of these: %s", known.data ? known.data : "");
        plumb_text_free(&known);
        return s;
    }
    return PLUMB_OK;
}

static plumb_status read_flag(const plumb_setting *line, bool *out)
{
    const char *plain = line->count == 1 && !line->is_list && !line->is_nested ? line->values[0].plain : "";
    *out = strcmp(plain, "true") == 0;
    if (*out || strcmp(plain, "false") == 0) return PLUMB_OK;
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is neither true nor false", line->key);
}

static plumb_status read_settings(plumb_token_groups *g, const plumb_settings *file)
{
    bool with_builtin = true;
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->list[i].key, "builtin") == 0)
            PLUMB_TRY(at_line(&file->list[i], read_flag(&file->list[i], &with_builtin)));
    if (with_builtin) PLUMB_TRY(add_builtin_classes(g));
    for (size_t i = 0; i < file->count; i++)
        if (!is_reserved(&file->list[i])) PLUMB_TRY(at_line(&file->list[i], read_class(g, &file->list[i])));
    for (size_t i = 0; i < file->count; i++)
        if (strcmp(file->list[i].key, "opposites") == 0)
            PLUMB_TRY(at_line(&file->list[i], read_opposites(g, &file->list[i])));
    return with_builtin ? add_builtin_words(g) : PLUMB_OK;
}

static plumb_status fill(plumb_token_groups *g, const char *path)
{
    plumb_settings file = {0};
    plumb_status s = path ? plumb_yaml_load(path, &file) : PLUMB_OK;
    if (!s) s = read_settings(g, &file);
    plumb_settings_free(&file);
    return s;
}

plumb_status plumb_token_groups_open(const char *path, plumb_token_groups **out)
{
    plumb_token_groups *g;
    *out = NULL;
    PLUMB_TRY(plumb_new(&g, 1, sizeof *g));
    plumb_status s = fill(g, path);
    if (!s && !g->count)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: has no class", path), "write CLASS: [word, word, ...]");
    if (s) {
        plumb_token_groups_free(g);
        return s;
    }
    *out = g;
    return PLUMB_OK;
}

void plumb_token_groups_free(plumb_token_groups *g)
{
    if (!g) return;
    free(g->words);
    plumb_arena_free(&g->arena);
    free(g);
}

/* ---- what is asked ---- */

int plumb_token_groups_count(const plumb_token_groups *g)
{
    return g->count;
}

const char *plumb_token_groups_name(const plumb_token_groups *g, int c)
{
    return g->names[c];
}

plumb_classes plumb_token_groups_opposites(const plumb_token_groups *g, plumb_classes of)
{
    plumb_classes all = 0;
    for (int c = 0; c < g->count; c++)
        if (of >> c & 1) all |= g->opposites[c];
    return all;
}

plumb_status plumb_token_groups_find(const plumb_token_groups *g, const char *text, size_t n, plumb_classes *out)
{
    char *form;
    *out = 0;
    PLUMB_TRY(normal_form(text, n, &form));
    const word *known = form ? find_word(g, form, NULL) : NULL;
    if (known) *out = known->classes;
    free(form);
    return PLUMB_OK;
}

plumb_status plumb_token_groups_map(const plumb_token_groups *g, const plumb_tokenizer *t, int vocab,
                                    plumb_classes *out)
{
    plumb_text text = {0};
    plumb_status s = PLUMB_OK;
    int32_t size = plumb_tokenizer_size(t);
    for (int32_t v = 0; v < vocab && !s; v++) {
        size_t n;
        out[v] = 0;
        if (v >= size || !plumb_tokenizer_token(t, v, &n) || plumb_tokenizer_is_special(t, v)) continue;
        plumb_text_clear(&text);
        s = plumb_tokenizer_decode(t, &v, 1, false, &text);
        if (!s && text.size) s = plumb_token_groups_find(g, text.data, text.size, &out[v]);
    }
    plumb_text_free(&text);
    return s;
}

plumb_status plumb_token_groups_label(const plumb_token_groups *g, plumb_classes set, plumb_text *t)
{
    const char *before = "";
    if (!set) return plumb_text_string(t, "none");
    for (int c = 0; c < g->count; c++) {
        if (!(set >> c & 1)) continue;
        PLUMB_TRY(plumb_text_printf(t, "%s%s", before, g->names[c]));
        before = "+";
    }
    return PLUMB_OK;
}
