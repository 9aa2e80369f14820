#include "study/judge_words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "text/tokenizer_utf8.h"
#include "text/unicode_classes.h"

enum { REPLACEMENT = 0xFFFD, LONGEST_SPECIAL = 40 };

/* One reading. */
typedef struct reader {
    plumb_words *w;
    const char *text;
    size_t size, at;
    size_t word; /* where the word that is being read begins in the pool */
    bool in_word, in_quotes, in_code;
    bool has_quotes; /* do double quotes mark what others say, or do they enclose the whole text? */
} reader;

/* ---- characters ---- */

static bool has_no_width(uint32_t c)
{
    return (c >= 0x200B && c <= 0x200F) || c == 0x2060 || c == 0xFEFF || c == 0x00AD;
}

static bool is_apostrophe(uint32_t c)
{
    return c == '\'' || c == 0x2018 || c == 0x2019 || c == 0x02BC || c == 0xFF07;
}

static bool is_double_quote(uint32_t c)
{
    return c == '"' || (c >= 0x201C && c <= 0x201F) || c == 0xAB || c == 0xBB;
}

static bool is_letter(uint32_t c)
{
    return c != '_' && plumb_is_word(c);
}

/* Latin letters, and the digits and signs that \w holds besides. */
static bool is_latin(uint32_t c)
{
    return c < 0x0250 || (c >= 0x0300 && c < 0x0370) || (c >= 0x1E00 && c < 0x1F00) || (c >= 0xFF10 && c <= 0xFF5A);
}

static bool is_markup(uint32_t c)
{
    return c < 0x80 && strchr("*#_`~>|-=+\"", (char)c) && c;
}

static bool ends_sentence(uint32_t c)
{
    return c == '.' || c == '!' || c == '?' || c == 0x2026 || c == 0x3002 || c == 0xFF01 || c == 0xFF1F;
}

static uint32_t next_char(const reader *r, size_t at)
{
    return at < r->size ? plumb_utf8_next(r->text, &at) : ' ';
}

/* The bytes of a model's special token at text[at..n), or 0. */
static size_t special_token(const char *text, size_t n)
{
    static const char *const plain[] = {"</s>", "<s>", "<pad>", "<eos>", "<bos>", "<unk>", "<end_of_turn>"};
    if (n < 3 || text[0] != '<') return 0;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strlen(plain[i]) <= n && memcmp(text, plain[i], strlen(plain[i])) == 0) return strlen(plain[i]);
    if (text[1] != '|') return 0;
    for (size_t i = 2; i + 1 < n && i < LONGEST_SPECIAL; i++) {
        if (text[i] == '|' && text[i + 1] == '>') return i + 2;
        if (isspace((unsigned char)text[i])) return 0;
    }
    return 0;
}

/* ---- words ---- */

static plumb_status push(plumb_words *w, const char *text, size_t n, bool is_aside)
{
    PLUMB_TRY(plumb_reserve(&w->data, &w->capacity, w->count + 1, sizeof *w->data));
    w->data[w->count++] = (plumb_word){w->pool.size, is_aside};
    PLUMB_TRY(plumb_text_append(&w->pool, text, n));
    return plumb_text_append(&w->pool, "", 1);
}

static plumb_status end_sentence(reader *r)
{
    plumb_words *w = r->w;
    if (!w->count || !*plumb_word_at(w, w->count - 1)) return PLUMB_OK;
    return push(w, "", 0, r->in_quotes || r->in_code);
}

static bool equals(const char *word, size_t n, const char *other)
{
    return strlen(other) == n && memcmp(word, other, n) == 0;
}

/* Whole words that are written out. */
static const struct {
    const char *word, *parts[2];
} spelled[] = {
    {"cannot", {"can", "not"}},      {"cant", {"can", "not"}},      {"can't", {"can", "not"}},
    {"won't", {"will", "not"}},      {"wont", {"will", "not"}},     {"shan't", {"shall", "not"}},
    {"dont", {"do", "not"}},         {"doesnt", {"does", "not"}},   {"didnt", {"did", "not"}},
    {"isnt", {"is", "not"}},         {"couldnt", {"could", "not"}}, {"wouldnt", {"would", "not"}},
    {"shouldnt", {"should", "not"}}, {"im", {"i", "am"}},           {"ive", {"i", "have"}},
    {"let's", {"let", "us"}},        {"lets", {"let", "us"}},       {"it's", {"it", "is"}},
    {"that's", {"that", "is"}},      {"thats", {"that", "is"}},     {"here's", {"here", "is"}},
    {"heres", {"here", "is"}},       {"there's", {"there", "is"}},  {"what's", {"what", "is"}},
    {"who's", {"who", "is"}},        {"how's", {"how", "is"}},
};

/* Endings that are: what is left before them is the first word. */
static const struct {
    const char *ending, *word;
} endings[] = {{"n't", "not"}, {"'m", "am"}, {"'re", "are"}, {"'ve", "have"}, {"'ll", "will"}, {"'d", "would"}};

/* The word that was read stands at the end of the pool, without a zero byte yet: it becomes one or two words. */
static plumb_status end_word(reader *r)
{
    enum { LONGEST = 64 };
    plumb_words *w = r->w;
    char word[LONGEST];
    size_t n = w->pool.size - r->word;
    bool aside = r->in_quotes || r->in_code;
    if (!r->in_word) return PLUMB_OK;
    r->in_word = false;
    if (n < LONGEST) {
        memcpy(word, w->pool.data + r->word, n);
        for (size_t i = 0; i < sizeof spelled / sizeof *spelled; i++) {
            if (!equals(word, n, spelled[i].word)) continue;
            w->pool.size = r->word;
            PLUMB_TRY(push(w, spelled[i].parts[0], strlen(spelled[i].parts[0]), aside));
            return push(w, spelled[i].parts[1], strlen(spelled[i].parts[1]), aside);
        }
        for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
            size_t cut = strlen(endings[i].ending);
            if (n <= cut || !equals(word + n - cut, cut, endings[i].ending)) continue;
            w->pool.size = r->word;
            PLUMB_TRY(push(w, word, n - cut, aside));
            return push(w, endings[i].word, strlen(endings[i].word), aside);
        }
    }
    PLUMB_TRY(plumb_reserve(&w->data, &w->capacity, w->count + 1, sizeof *w->data));
    w->data[w->count++] = (plumb_word){r->word, aside};
    return plumb_text_append(&w->pool, "", 1);
}

static plumb_status add_letter(reader *r, uint32_t c)
{
    uint32_t lower[2] = {c};
    char bytes[4];
    if (!r->in_word) r->word = r->w->pool.size;
    r->in_word = true;
    for (int i = 0, n = is_apostrophe(c) ? 1 : plumb_lowercase(c, lower); i < n; i++)
        PLUMB_TRY(plumb_text_append(&r->w->pool, bytes, plumb_utf8_put(is_apostrophe(c) ? '\'' : lower[i], bytes)));
    return PLUMB_OK;
}

static void count_char(plumb_words *w, uint32_t c)
{
    w->visible++;
    w->letters += is_letter(c);
    w->foreign += is_letter(c) && !is_latin(c);
    w->markup += is_markup(c);
    w->broken += c == REPLACEMENT;
}

/* A quote: what follows is told, or said again. An open one ends with its paragraph. */
static void turn_quotes(reader *r, uint32_t c)
{
    bool opens = c == 0x201C || c == 0x201F || c == 0xAB, closes = c == 0x201D || c == 0xBB;
    if (r->has_quotes) r->in_quotes = opens ? true : closes ? false : !r->in_quotes;
}

static plumb_status read_char(reader *r)
{
    size_t from = r->at;
    uint32_t c = plumb_utf8_next(r->text, &r->at);
    if (has_no_width(c)) return PLUMB_OK;
    if (!plumb_is_space(c)) count_char(r->w, c);
    if (is_letter(c) || (r->in_word && is_apostrophe(c) && is_letter(next_char(r, r->at)))) return add_letter(r, c);
    PLUMB_TRY(end_word(r));
    if (c == '`' && r->size - from >= 3 && memcmp(r->text + from, "```", 3) == 0) {
        r->in_code = !r->in_code;
        r->at = from + 3;
        r->w->visible += 2;
        r->w->markup += 2;
    }
    if (is_double_quote(c)) turn_quotes(r, c);
    if (c == '\n' && next_char(r, r->at) == '\n') r->in_quotes = false;
    uint32_t next = next_char(r, r->at);
    if (c == '\n' || (ends_sentence(c) && !is_letter(next))) return end_sentence(r);
    return PLUMB_OK;
}

/* Quotes around the whole text are no quotes: the first and the last character, and none between. */
static bool quotes_tell(const char *text, size_t n)
{
    size_t quotes = 0, first = n, last = 0, begin = n, end = 0;
    for (size_t at = 0; at < n;) {
        size_t from = at;
        uint32_t c = plumb_utf8_next(text, &at);
        if (plumb_is_space(c)) continue;
        if (begin == n) begin = from;
        end = from;
        if (!is_double_quote(c)) continue;
        if (!quotes++) first = from;
        last = from;
    }
    return quotes > 1 && !(quotes == 2 && first == begin && last == end);
}

static plumb_status read_text(plumb_words *w, const char *text, size_t n)
{
    reader r = {.w = w, .text = text, .size = n, .has_quotes = quotes_tell(text, n)};
    while (r.at < n) {
        size_t special = special_token(text + r.at, n - r.at);
        if (special) {
            PLUMB_TRY(end_word(&r));
            r.at += special;
            continue;
        }
        PLUMB_TRY(read_char(&r));
    }
    return end_word(&r);
}

plumb_status plumb_words_read(plumb_words *w, const char *text, size_t n)
{
    plumb_text clean = {0};
    plumb_text_clear(&w->pool);
    *w = (plumb_words){.pool = w->pool, .data = w->data, .capacity = w->capacity};
    if (!n || plumb_utf8_invalid(text, n) == n) return read_text(w, text, n);
    plumb_status s = plumb_utf8_append_lossy(&clean, text, n);
    if (!s) s = read_text(w, clean.data, clean.size);
    plumb_text_free(&clean);
    return s;
}

void plumb_words_free(plumb_words *w)
{
    plumb_text_free(&w->pool);
    free(w->data);
    *w = (plumb_words){0};
}

/* ---- loops ---- */

/* Does v end in at least `repeats` repetitions of at most `longest` values, `least` values in all, 60 % of n? */
static bool ends_in_loop(const uint32_t *v, size_t n, size_t longest, size_t repeats, size_t least)
{
    for (size_t period = 1; period <= longest && period < n; period++) {
        size_t same = 0;
        while (same < n - period && v[n - 1 - same] == v[n - 1 - same - period]) same++;
        size_t all = same + period;
        if (same >= period * (repeats - 1) && all >= least && 10 * all >= 6 * n) return true;
    }
    return false;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sorts v. */
static bool is_poor(uint32_t *v, size_t n)
{
    enum { LOOKED_AT = 100, LEAST = 20 };
    if (n < LEAST) return false;
    size_t count = n < LOOKED_AT ? n : LOOKED_AT, different = 1;
    uint32_t *last = v + n - count;
    qsort(last, count, sizeof *last, by_value);
    for (size_t i = 1; i < count; i++) different += last[i] != last[i - 1];
    return 4 * different < count;
}

static size_t word_hashes(const plumb_words *w, uint32_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < w->count; i++) {
        const char *word = plumb_word_at(w, i);
        if (*word) out[n++] = (uint32_t)XXH3_64bits(word, strlen(word));
    }
    return n;
}

static size_t letters_of(const plumb_words *w, uint32_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < w->pool.size; i++)
        if (w->pool.data[i]) out[n++] = (unsigned char)w->pool.data[i];
    return n;
}

plumb_status plumb_words_loop(const plumb_words *w, bool *loops)
{
    enum { LONGEST = 20, WORDS = 12, LETTERS_LONGEST = 8, LETTERS = 30 };
    uint32_t *v;
    *loops = false;
    if (!w->count) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&v, w->pool.size, sizeof *v)); /* a word has at least one byte of it */
    size_t n = word_hashes(w, v);
    *loops = ends_in_loop(v, n, LONGEST, 4, WORDS) || is_poor(v, n);
    if (!*loops) {
        n = letters_of(w, v);
        *loops = ends_in_loop(v, n, LETTERS_LONGEST, 4, LETTERS);
    }
    free(v);
    return PLUMB_OK;
}

bool plumb_words_lack_vowels(const plumb_words *w)
{
    enum { LEAST_LETTERS = 3, LEAST_WORDS = 4 };
    size_t without = 0, words = 0;
    for (size_t i = 0; i < w->count; i++) {
        const char *word = plumb_word_at(w, i);
        size_t n = strlen(word);
        if (n < LEAST_LETTERS || strspn(word, "abcdefghijklmnopqrstuvwxyz") != n) continue;
        words++;
        without += strpbrk(word, "aeiouy") == NULL;
    }
    return without >= LEAST_WORDS && 2 * without > words;
}
