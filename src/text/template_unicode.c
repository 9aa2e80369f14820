/* Code points: UTF-8, white space, and case as Python's str has them. The properties come from utf8proc; what it lacks
 * is here: the mappings of one code point to several (SpecialCasing.txt of Unicode) and the final sigma. */
#include <string.h>
#include <utf8proc.h>

#include "text/template_internal.h"

size_t plumb_jinja_count(const char *bytes, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

uint32_t plumb_jinja_decode(const char *bytes, size_t n, size_t *used)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t need = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    *used = need <= n ? need : n;
    if (need > n) return 0xfffd;
    if (need == 1) return s[0];
    if (need == 2) return (uint32_t)(s[0] & 31) << 6 | (s[1] & 63);
    if (need == 3) return (uint32_t)(s[0] & 15) << 12 | (uint32_t)(s[1] & 63) << 6 | (s[2] & 63);
    return (uint32_t)(s[0] & 7) << 18 | (uint32_t)(s[1] & 63) << 12 | (uint32_t)(s[2] & 63) << 6 | (s[3] & 63);
}

bool plumb_jinja_valid(const char *bytes, size_t n)
{
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)bytes;
    for (size_t i = 0; i < n;) {
        if (s[i] < 0x80) {
            i++;
            continue;
        }
        utf8proc_int32_t code;
        size_t left = n - i;
        utf8proc_ssize_t used = utf8proc_iterate(s + i, left < 4 ? (utf8proc_ssize_t)left : 4, &code);
        if (used <= 0) return false;
        i += (size_t)used;
    }
    return true;
}

int plumb_jinja_encode(uint32_t code, char out[4])
{
    return (int)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

size_t plumb_jinja_offset(const jinja_string *s, size_t index)
{
    if (s->count == s->size) return index < s->size ? index : s->size;
    size_t at = 0;
    for (; at < s->size; at++) {
        if (((unsigned char)s->data[at] & 0xc0) != 0x80 && index-- == 0) break;
    }
    return at;
}

bool plumb_jinja_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static utf8proc_category_t category(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code);
}

bool plumb_jinja_printable(uint32_t code)
{
    if (code == ' ') return true;
    utf8proc_category_t c = category(code);
    return c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS;
}

bool plumb_jinja_alpha(uint32_t code)
{
    utf8proc_category_t c = category(code);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool plumb_jinja_decimal(uint32_t code)
{
    return category(code) == UTF8PROC_CATEGORY_ND;
}

bool plumb_jinja_digit(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
        {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
        {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
        {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a},
    };
    if (plumb_jinja_decimal(code)) return true;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    }
    return false;
}

bool plumb_jinja_word(uint32_t code, bool first)
{
    if (code < 0x80) {
        bool letter = (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || code == '_';
        return letter || (!first && code >= '0' && code <= '9');
    }
    utf8proc_category_t c = category(code);
    if (plumb_jinja_alpha(code) || c == UTF8PROC_CATEGORY_NL) return true;
    return !first && (c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ND ||
                      c == UTF8PROC_CATEGORY_PC);
}

bool plumb_jinja_cased(uint32_t code, bool *upper)
{
    utf8proc_category_t c = category(code);
    *upper = c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LT;
    return *upper || c == UTF8PROC_CATEGORY_LL;
}

typedef struct special_case {
    uint32_t code, upper[3], title[3];
} special_case;

static const special_case special[] = {
    {0x00df, {0x0053, 0x0053}, {0x0053, 0x0073}},
    {0x0149, {0x02bc, 0x004e}, {0x02bc, 0x004e}},
    {0x01f0, {0x004a, 0x030c}, {0x004a, 0x030c}},
    {0x0390, {0x0399, 0x0308, 0x0301}, {0x0399, 0x0308, 0x0301}},
    {0x03b0, {0x03a5, 0x0308, 0x0301}, {0x03a5, 0x0308, 0x0301}},
    {0x0587, {0x0535, 0x0552}, {0x0535, 0x0582}},
    {0x1e96, {0x0048, 0x0331}, {0x0048, 0x0331}},
    {0x1e97, {0x0054, 0x0308}, {0x0054, 0x0308}},
    {0x1e98, {0x0057, 0x030a}, {0x0057, 0x030a}},
    {0x1e99, {0x0059, 0x030a}, {0x0059, 0x030a}},
    {0x1e9a, {0x0041, 0x02be}, {0x0041, 0x02be}},
    {0x1f50, {0x03a5, 0x0313}, {0x03a5, 0x0313}},
    {0x1f52, {0x03a5, 0x0313, 0x0300}, {0x03a5, 0x0313, 0x0300}},
    {0x1f54, {0x03a5, 0x0313, 0x0301}, {0x03a5, 0x0313, 0x0301}},
    {0x1f56, {0x03a5, 0x0313, 0x0342}, {0x03a5, 0x0313, 0x0342}},
    {0x1f80, {0x1f08, 0x0399}, {0x1f88}},
    {0x1f81, {0x1f09, 0x0399}, {0x1f89}},
    {0x1f82, {0x1f0a, 0x0399}, {0x1f8a}},
    {0x1f83, {0x1f0b, 0x0399}, {0x1f8b}},
    {0x1f84, {0x1f0c, 0x0399}, {0x1f8c}},
    {0x1f85, {0x1f0d, 0x0399}, {0x1f8d}},
    {0x1f86, {0x1f0e, 0x0399}, {0x1f8e}},
    {0x1f87, {0x1f0f, 0x0399}, {0x1f8f}},
    {0x1f88, {0x1f08, 0x0399}, {0x1f88}},
    {0x1f89, {0x1f09, 0x0399}, {0x1f89}},
    {0x1f8a, {0x1f0a, 0x0399}, {0x1f8a}},
    {0x1f8b, {0x1f0b, 0x0399}, {0x1f8b}},
    {0x1f8c, {0x1f0c, 0x0399}, {0x1f8c}},
    {0x1f8d, {0x1f0d, 0x0399}, {0x1f8d}},
    {0x1f8e, {0x1f0e, 0x0399}, {0x1f8e}},
    {0x1f8f, {0x1f0f, 0x0399}, {0x1f8f}},
    {0x1f90, {0x1f28, 0x0399}, {0x1f98}},
    {0x1f91, {0x1f29, 0x0399}, {0x1f99}},
    {0x1f92, {0x1f2a, 0x0399}, {0x1f9a}},
    {0x1f93, {0x1f2b, 0x0399}, {0x1f9b}},
    {0x1f94, {0x1f2c, 0x0399}, {0x1f9c}},
    {0x1f95, {0x1f2d, 0x0399}, {0x1f9d}},
    {0x1f96, {0x1f2e, 0x0399}, {0x1f9e}},
    {0x1f97, {0x1f2f, 0x0399}, {0x1f9f}},
    {0x1f98, {0x1f28, 0x0399}, {0x1f98}},
    {0x1f99, {0x1f29, 0x0399}, {0x1f99}},
    {0x1f9a, {0x1f2a, 0x0399}, {0x1f9a}},
    {0x1f9b, {0x1f2b, 0x0399}, {0x1f9b}},
    {0x1f9c, {0x1f2c, 0x0399}, {0x1f9c}},
    {0x1f9d, {0x1f2d, 0x0399}, {0x1f9d}},
    {0x1f9e, {0x1f2e, 0x0399}, {0x1f9e}},
    {0x1f9f, {0x1f2f, 0x0399}, {0x1f9f}},
    {0x1fa0, {0x1f68, 0x0399}, {0x1fa8}},
    {0x1fa1, {0x1f69, 0x0399}, {0x1fa9}},
    {0x1fa2, {0x1f6a, 0x0399}, {0x1faa}},
    {0x1fa3, {0x1f6b, 0x0399}, {0x1fab}},
    {0x1fa4, {0x1f6c, 0x0399}, {0x1fac}},
    {0x1fa5, {0x1f6d, 0x0399}, {0x1fad}},
    {0x1fa6, {0x1f6e, 0x0399}, {0x1fae}},
    {0x1fa7, {0x1f6f, 0x0399}, {0x1faf}},
    {0x1fa8, {0x1f68, 0x0399}, {0x1fa8}},
    {0x1fa9, {0x1f69, 0x0399}, {0x1fa9}},
    {0x1faa, {0x1f6a, 0x0399}, {0x1faa}},
    {0x1fab, {0x1f6b, 0x0399}, {0x1fab}},
    {0x1fac, {0x1f6c, 0x0399}, {0x1fac}},
    {0x1fad, {0x1f6d, 0x0399}, {0x1fad}},
    {0x1fae, {0x1f6e, 0x0399}, {0x1fae}},
    {0x1faf, {0x1f6f, 0x0399}, {0x1faf}},
    {0x1fb2, {0x1fba, 0x0399}, {0x1fba, 0x0345}},
    {0x1fb3, {0x0391, 0x0399}, {0x1fbc}},
    {0x1fb4, {0x0386, 0x0399}, {0x0386, 0x0345}},
    {0x1fb6, {0x0391, 0x0342}, {0x0391, 0x0342}},
    {0x1fb7, {0x0391, 0x0342, 0x0399}, {0x0391, 0x0342, 0x0345}},
    {0x1fbc, {0x0391, 0x0399}, {0x1fbc}},
    {0x1fc2, {0x1fca, 0x0399}, {0x1fca, 0x0345}},
    {0x1fc3, {0x0397, 0x0399}, {0x1fcc}},
    {0x1fc4, {0x0389, 0x0399}, {0x0389, 0x0345}},
    {0x1fc6, {0x0397, 0x0342}, {0x0397, 0x0342}},
    {0x1fc7, {0x0397, 0x0342, 0x0399}, {0x0397, 0x0342, 0x0345}},
    {0x1fcc, {0x0397, 0x0399}, {0x1fcc}},
    {0x1fd2, {0x0399, 0x0308, 0x0300}, {0x0399, 0x0308, 0x0300}},
    {0x1fd3, {0x0399, 0x0308, 0x0301}, {0x0399, 0x0308, 0x0301}},
    {0x1fd6, {0x0399, 0x0342}, {0x0399, 0x0342}},
    {0x1fd7, {0x0399, 0x0308, 0x0342}, {0x0399, 0x0308, 0x0342}},
    {0x1fe2, {0x03a5, 0x0308, 0x0300}, {0x03a5, 0x0308, 0x0300}},
    {0x1fe3, {0x03a5, 0x0308, 0x0301}, {0x03a5, 0x0308, 0x0301}},
    {0x1fe4, {0x03a1, 0x0313}, {0x03a1, 0x0313}},
    {0x1fe6, {0x03a5, 0x0342}, {0x03a5, 0x0342}},
    {0x1fe7, {0x03a5, 0x0308, 0x0342}, {0x03a5, 0x0308, 0x0342}},
    {0x1ff2, {0x1ffa, 0x0399}, {0x1ffa, 0x0345}},
    {0x1ff3, {0x03a9, 0x0399}, {0x1ffc}},
    {0x1ff4, {0x038f, 0x0399}, {0x038f, 0x0345}},
    {0x1ff6, {0x03a9, 0x0342}, {0x03a9, 0x0342}},
    {0x1ff7, {0x03a9, 0x0342, 0x0399}, {0x03a9, 0x0342, 0x0345}},
    {0x1ffc, {0x03a9, 0x0399}, {0x1ffc}},
    {0xfb00, {0x0046, 0x0046}, {0x0046, 0x0066}},
    {0xfb01, {0x0046, 0x0049}, {0x0046, 0x0069}},
    {0xfb02, {0x0046, 0x004c}, {0x0046, 0x006c}},
    {0xfb03, {0x0046, 0x0046, 0x0049}, {0x0046, 0x0066, 0x0069}},
    {0xfb04, {0x0046, 0x0046, 0x004c}, {0x0046, 0x0066, 0x006c}},
    {0xfb05, {0x0053, 0x0054}, {0x0053, 0x0074}},
    {0xfb06, {0x0053, 0x0054}, {0x0053, 0x0074}},
    {0xfb13, {0x0544, 0x0546}, {0x0544, 0x0576}},
    {0xfb14, {0x0544, 0x0535}, {0x0544, 0x0565}},
    {0xfb15, {0x0544, 0x053b}, {0x0544, 0x056b}},
    {0xfb16, {0x054e, 0x0546}, {0x054e, 0x0576}},
    {0xfb17, {0x0544, 0x053d}, {0x0544, 0x056d}},
};

static const uint32_t *special_mapping(uint32_t code, jinja_case to)
{
    if (code < 0xdf || (to != JINJA_UPPER && to != JINJA_TITLE)) return NULL;
    size_t low = 0, high = sizeof special / sizeof *special;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (special[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == sizeof special / sizeof *special || special[low].code != code) return NULL;
    return to == JINJA_UPPER ? special[low].upper : special[low].title;
}

/* Characters that do not end a word when looking for the final sigma (Unicode's Case_Ignorable). */
static bool case_ignorable(uint32_t code)
{
    static const uint32_t inside_words[] = {'\'', '.', ':', 0xb7, 0x387, 0x55f, 0x5f4, 0x2018, 0x2019, 0x2024, 0x2027};
    for (size_t i = 0; i < sizeof inside_words / sizeof *inside_words; i++) {
        if (code == inside_words[i]) return true;
    }
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF ||
           c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_SK;
}

/* A capital sigma at `at` ends its word: a cased letter before it and none behind it. */
static bool final_sigma(const jinja_string *s, size_t at)
{
    enum { NEIGHBOURS = 64 }; /* bounded, so that a text of sigmas is not quadratic */
    bool upper, before = false;
    size_t used, from = at;
    for (int i = 0; from > 0 && i < NEIGHBOURS; i++) {
        do from--;
        while (from > 0 && ((unsigned char)s->data[from] & 0xc0) == 0x80);
        uint32_t code = plumb_jinja_decode(s->data + from, s->size - from, &used);
        if (case_ignorable(code)) continue;
        before = plumb_jinja_cased(code, &upper);
        break;
    }
    if (!before) return false;
    size_t to = at + 2; /* the sigma itself */
    for (int i = 0; to < s->size && i < NEIGHBOURS; i++) {
        uint32_t code = plumb_jinja_decode(s->data + to, s->size - to, &used);
        to += used;
        if (!case_ignorable(code)) return !plumb_jinja_cased(code, &upper);
    }
    return true;
}

/* Casefolding maps to lower case except where the fold is longer or goes by another letter. */
static plumb_status put_fold(jinja_eval *e, uint32_t code)
{
    utf8proc_int32_t folded[8];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    if (n < 0 || n > 8) return plumb_jinja_put_code(e, code);
    for (utf8proc_ssize_t i = 0; i < n; i++) PLUMB_TRY(plumb_jinja_put_code(e, (uint32_t)folded[i]));
    return PLUMB_OK;
}

plumb_status plumb_jinja_put_case(jinja_eval *e, const jinja_string *s, size_t at, jinja_case to, size_t *used)
{
    uint32_t code = plumb_jinja_decode(s->data + at, s->size - at, used);
    const uint32_t *several = special_mapping(code, to);
    if (several) {
        for (int i = 0; i < 3 && several[i]; i++) PLUMB_TRY(plumb_jinja_put_code(e, several[i]));
        return PLUMB_OK;
    }
    utf8proc_int32_t c = (utf8proc_int32_t)code;
    switch (to) {
    case JINJA_UPPER:
        return plumb_jinja_put_code(e, (uint32_t)utf8proc_toupper(c));
    case JINJA_TITLE:
        return plumb_jinja_put_code(e, (uint32_t)utf8proc_totitle(c));
    case JINJA_FOLD:
        return put_fold(e, code);
    case JINJA_LOWER:
        break;
    }
    if (code == 0x130) return plumb_jinja_puts(e, "i\xcc\x87");
    if (code == 0x3a3) return plumb_jinja_put_code(e, final_sigma(s, at) ? 0x3c2 : 0x3c3);
    return plumb_jinja_put_code(e, (uint32_t)utf8proc_tolower(c));
}

static bool stripped(const jinja_string *chars, uint32_t code)
{
    if (!chars) return plumb_jinja_space(code);
    size_t used;
    for (size_t at = 0; at < chars->size; at += used) {
        if (plumb_jinja_decode(chars->data + at, chars->size - at, &used) == code) return true;
    }
    return false;
}

void plumb_jinja_strip(const jinja_string *s, const jinja_string *chars, bool left, bool right, size_t *from,
                       size_t *to)
{
    size_t first = 0, last = s->size, used;
    while (left && first < last) {
        if (!stripped(chars, plumb_jinja_decode(s->data + first, last - first, &used))) break;
        first += used;
    }
    while (right && last > first) {
        size_t at = last - 1;
        while (at > first && ((unsigned char)s->data[at] & 0xc0) == 0x80) at--;
        if (!stripped(chars, plumb_jinja_decode(s->data + at, last - at, &used))) break;
        last = at;
    }
    *from = first;
    *to = last;
}
