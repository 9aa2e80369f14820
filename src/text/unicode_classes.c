#include "text/unicode_classes.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "text/unicode_tables.h"

/* The order of CATEGORIES in tools/make_unicode_classes.py. */
enum category {
    LU,
    LL,
    LT,
    LM,
    LO,
    MN,
    MC,
    ME,
    ND,
    NL,
    NO,
    PC,
    PD,
    PS,
    PE,
    PI,
    PF,
    PO,
    SM,
    SC,
    SK,
    SO,
    ZS,
    ZL,
    ZP,
    CC,
    CF,
    CO,
    CN
};

#define BIT(category) (1U << (category))
#define LETTERS       (BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO))
#define MARKS         (BIT(MN) | BIT(MC) | BIT(ME))
#define NUMBERS       (BIT(ND) | BIT(NL) | BIT(NO))
#define PUNCTUATION   (BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO))
#define SYMBOLS       (BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO))
#define SEPARATORS    (BIT(ZS) | BIT(ZL) | BIT(ZP))
#define OTHERS        (BIT(CC) | BIT(CF) | BIT(CO) | BIT(CN))
#define WORD_BASE     (LETTERS | MARKS | BIT(ND) | BIT(PC))

/* Beyond this there is no character with cases. */
enum { CASED_END = 0x1E944 };

static uint32_t category_bit(uint32_t c)
{
    size_t low = 0, high = plumb_unicode_categories_count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (plumb_unicode_categories[middle] >> 8 <= c)
            low = middle;
        else
            high = middle;
    }
    return BIT(plumb_unicode_categories[low] & 0xFF);
}

bool plumb_is_space(uint32_t c)
{
    if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
    return plumb_ranges_hold(plumb_unicode_space, plumb_unicode_space_count, c);
}

bool plumb_is_word(uint32_t c)
{
    if (c < 0x80) return (c | 32) - 'a' < 26 || c - '0' < 10 || c == '_';
    return (category_bit(c) & WORD_BASE) ||
           plumb_ranges_hold(plumb_unicode_word_extra, plumb_unicode_word_extra_count, c);
}

bool plumb_is_numeric(uint32_t c)
{
    if (c < 0x80) return c - '0' < 10;
    return (category_bit(c) & NUMBERS) ||
           plumb_ranges_hold(plumb_unicode_numeric_extra, plumb_unicode_numeric_extra_count, c);
}

bool plumb_is_punctuation(uint32_t c)
{
    return plumb_ranges_hold(plumb_unicode_punctuation, plumb_unicode_punctuation_count, c);
}

bool plumb_is_normalizable(uint32_t c)
{
    return plumb_ranges_hold(plumb_unicode_normalizable, plumb_unicode_normalizable_count, c);
}

static uint32_t lower_of(uint32_t c)
{
    size_t low = 0, high = plumb_unicode_lower_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (plumb_unicode_lower[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == plumb_unicode_lower_count) return c;
    const plumb_lower_run *run = &plumb_unicode_lower[low];
    return c < run->first || (c - run->first) % run->step ? c : (uint32_t)((int32_t)c + run->delta);
}

int plumb_lowercase(uint32_t c, uint32_t out[2])
{
    if (c == 0x130) {
        out[0] = 'i';
        out[1] = 0x307; /* combining dot above */
        return 2;
    }
    out[0] = c < 0x80 ? (c - 'A' < 26 ? c + 32 : c) : lower_of(c);
    return 1;
}

/* Names in lower case without hyphens and underscores. */
static const struct {
    const char *name;
    uint32_t categories;
} category_names[] = {
    {"l", LETTERS},
    {"letter", LETTERS},
    {"lc", BIT(LU) | BIT(LL) | BIT(LT)},
    {"lu", BIT(LU)},
    {"uppercaseletter", BIT(LU)},
    {"ll", BIT(LL)},
    {"lowercaseletter", BIT(LL)},
    {"lt", BIT(LT)},
    {"titlecaseletter", BIT(LT)},
    {"lm", BIT(LM)},
    {"modifierletter", BIT(LM)},
    {"lo", BIT(LO)},
    {"otherletter", BIT(LO)},
    {"m", MARKS},
    {"mark", MARKS},
    {"mn", BIT(MN)},
    {"nonspacingmark", BIT(MN)},
    {"mc", BIT(MC)},
    {"spacingmark", BIT(MC)},
    {"me", BIT(ME)},
    {"enclosingmark", BIT(ME)},
    {"n", NUMBERS},
    {"number", NUMBERS},
    {"nd", BIT(ND)},
    {"decimalnumber", BIT(ND)},
    {"digit", BIT(ND)},
    {"nl", BIT(NL)},
    {"letternumber", BIT(NL)},
    {"no", BIT(NO)},
    {"othernumber", BIT(NO)},
    {"p", PUNCTUATION},
    {"punctuation", PUNCTUATION},
    {"punct", PUNCTUATION | SYMBOLS},
    {"pc", BIT(PC)},
    {"connectorpunctuation", BIT(PC)},
    {"pd", BIT(PD)},
    {"dashpunctuation", BIT(PD)},
    {"ps", BIT(PS)},
    {"openpunctuation", BIT(PS)},
    {"pe", BIT(PE)},
    {"closepunctuation", BIT(PE)},
    {"pi", BIT(PI)},
    {"initialpunctuation", BIT(PI)},
    {"pf", BIT(PF)},
    {"finalpunctuation", BIT(PF)},
    {"po", BIT(PO)},
    {"otherpunctuation", BIT(PO)},
    {"s", SYMBOLS},
    {"symbol", SYMBOLS},
    {"sm", BIT(SM)},
    {"mathsymbol", BIT(SM)},
    {"sc", BIT(SC)},
    {"currencysymbol", BIT(SC)},
    {"sk", BIT(SK)},
    {"modifiersymbol", BIT(SK)},
    {"so", BIT(SO)},
    {"othersymbol", BIT(SO)},
    {"z", SEPARATORS},
    {"separator", SEPARATORS},
    {"zs", BIT(ZS)},
    {"spaceseparator", BIT(ZS)},
    {"zl", BIT(ZL)},
    {"lineseparator", BIT(ZL)},
    {"zp", BIT(ZP)},
    {"paragraphseparator", BIT(ZP)},
    {"c", OTHERS},
    {"other", OTHERS},
    {"cc", BIT(CC)},
    {"control", BIT(CC)},
    {"cntrl", BIT(CC)},
    {"cf", BIT(CF)},
    {"format", BIT(CF)},
    {"co", BIT(CO)},
    {"privateuse", BIT(CO)},
    {"cn", BIT(CN)},
    {"unassigned", BIT(CN)},
    {"any", ~0U},
    /* These have more, which plumb_unicode_property adds. */
    {"alpha", LETTERS},
    {"alphabetic", LETTERS},
    {"alnum", LETTERS | BIT(ND)},
    {"word", WORD_BASE},
    {"blank", BIT(ZS)},
};

#define SCRIPT(script)                                                                                                 \
    {                                                                                                                  \
#        script, plumb_unicode_script_##script, &plumb_unicode_script_##script##_count                                 \
    }

static const struct {
    const char *name;
    const plumb_range *ranges;
    const size_t *count;
} range_names[] = {
    {"space", plumb_unicode_space, &plumb_unicode_space_count},
    {"whitespace", plumb_unicode_space, &plumb_unicode_space_count},
    SCRIPT(arabic),
    SCRIPT(cyrillic),
    SCRIPT(devanagari),
    SCRIPT(greek),
    SCRIPT(han),
    SCRIPT(hangul),
    SCRIPT(hebrew),
    SCRIPT(hiragana),
    SCRIPT(katakana),
    SCRIPT(latin),
    SCRIPT(thai),
};

static plumb_status add_categories(plumb_set *set, uint32_t categories)
{
    for (size_t i = 0; i < plumb_unicode_categories_count; i++) {
        uint32_t entry = plumb_unicode_categories[i];
        if (!(categories & BIT(entry & 0xFF))) continue;
        uint32_t last =
            i + 1 < plumb_unicode_categories_count ? (plumb_unicode_categories[i + 1] >> 8) - 1 : PLUMB_LAST_CODE_POINT;
        PLUMB_TRY(plumb_set_add(set, entry >> 8, last));
    }
    return PLUMB_OK;
}

/* What some names hold beyond whole categories. */
static plumb_status add_extra(const char *name, plumb_set *set)
{
    if (!strcmp(name, "alpha") || !strcmp(name, "alphabetic") || !strcmp(name, "alnum"))
        return plumb_set_add_ranges(set, plumb_unicode_alphabetic_extra, plumb_unicode_alphabetic_extra_count);
    if (!strcmp(name, "blank")) return plumb_set_add(set, '\t', '\t');
    if (strcmp(name, "word") != 0) return PLUMB_OK;
    /* Rust counts the two joiners as part of a word, Oniguruma does not. */
    for (size_t i = 0; i < plumb_unicode_word_extra_count; i++)
        if (plumb_unicode_word_extra[i].first != 0x200C)
            PLUMB_TRY(plumb_set_add_ranges(set, &plumb_unicode_word_extra[i], 1));
    return PLUMB_OK;
}

plumb_status plumb_unicode_property(const char *name, size_t n, plumb_set *set, bool *known)
{
    char plain[32];
    size_t size = 0;
    *known = false;
    for (size_t i = 0; i < n; i++) {
        if (name[i] == ' ' || name[i] == '-' || name[i] == '_') continue;
        if (size + 1 == sizeof plain) return PLUMB_OK;
        plain[size++] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    }
    plain[size] = 0;
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < sizeof category_names / sizeof *category_names && !*known && !s; i++)
        if (strcmp(category_names[i].name, plain) == 0) {
            *known = true;
            s = add_categories(set, category_names[i].categories);
            if (!s) s = add_extra(plain, set);
        }
    for (size_t i = 0; i < sizeof range_names / sizeof *range_names && !*known && !s; i++)
        if (strcmp(range_names[i].name, plain) == 0) {
            *known = true;
            s = plumb_set_add_ranges(set, range_names[i].ranges, *range_names[i].count);
        }
    if (!*known && strcmp(plain, "xdigit") == 0) {
        static const plumb_range hexadecimal[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
        *known = true;
        s = plumb_set_add_ranges(set, hexadecimal, 3);
    }
    plumb_set_tidy(set);
    return s;
}

plumb_status plumb_unicode_word(plumb_set *set)
{
    static const plumb_range latin1[] = {{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}};
    bool known = false;
    PLUMB_TRY(plumb_set_add_ranges(set, latin1, 3));
    return plumb_unicode_property("word", 4, set, &known);
}

/* Two characters are cases of one another when this is equal. */
static uint32_t case_key(uint32_t c)
{
    return (uint32_t)utf8proc_tolower(utf8proc_toupper((utf8proc_int32_t)c));
}

static plumb_status ignore_ascii_case(plumb_set *set)
{
    size_t count = set->count;
    for (size_t i = 0; i < count; i++)
        for (uint32_t c = set->data[i].first; c <= set->data[i].last; c++) {
            uint32_t low = c | 32;
            if (low - 'a' >= 26) continue;
            PLUMB_TRY(plumb_set_add(set, c ^ 32, c ^ 32));
            if (low == 's') PLUMB_TRY(plumb_set_add(set, 0x17F, 0x17F));   /* long s */
            if (low == 'k') PLUMB_TRY(plumb_set_add(set, 0x212A, 0x212A)); /* kelvin sign */
        }
    plumb_set_tidy(set);
    return PLUMB_OK;
}

plumb_status plumb_set_ignore_case(plumb_set *set)
{
    if (!set->count) return PLUMB_OK;
    if (set->data[set->count - 1].last < 0x80) return ignore_ascii_case(set);
    uint8_t *keys = NULL;
    PLUMB_TRY(plumb_new(&keys, CASED_END, 1));
    for (size_t i = 0; i < set->count; i++)
        for (uint32_t c = set->data[i].first; c <= set->data[i].last && c < CASED_END; c++) {
            uint32_t key = case_key(c);
            if (key < CASED_END) keys[key] = 1;
        }
    plumb_status s = PLUMB_OK;
    for (uint32_t c = 0; c < CASED_END && !s; c++) {
        uint32_t key = case_key(c);
        if (key < CASED_END && keys[key]) s = plumb_set_add(set, c, c);
    }
    free(keys);
    plumb_set_tidy(set);
    return s;
}
