/* Methods of Python's str, list, tuple and dict. The sandbox hides those that change a list or dict. */
#include <string.h>

#include "text/template_internal.h"

#define METHOD(name)                                                                                                   \
    static plumb_status name(jinja_eval *e, jinja_value self, const jinja_value *args, const jinja_arguments *all,     \
                             jinja_value *out)
#define UNUSED_REST                                                                                                    \
    (void)args;                                                                                                        \
    (void)all

static bool given(jinja_value v)
{
    return v.kind != JINJA_MISSING && v.kind != JINJA_NONE;
}

static plumb_status string_argument(jinja_eval *e, jinja_value v, const jinja_string **out)
{
    if (v.kind != JINJA_STRING) return plumb_jinja_error(e, "expected a string, not %s", plumb_jinja_type(v));
    *out = v.as.string;
    return PLUMB_OK;
}

static plumb_status part(jinja_eval *e, const jinja_string *s, size_t from, size_t to, jinja_value *out)
{
    return plumb_jinja_borrow(e, s->data + from, to - from, out);
}

static plumb_status push_part(jinja_eval *e, jinja_list *list, const jinja_string *s, size_t from, size_t to)
{
    jinja_value piece;
    PLUMB_TRY(part(e, s, from, to, &piece));
    return plumb_jinja_push(e, list, piece);
}

/* Stripping ---------------------------------------------------------------------------------------------------- */

static plumb_status strip(jinja_eval *e, jinja_value self, jinja_value chars, bool left, bool right, jinja_value *out)
{
    const jinja_string *s = self.as.string, *set = NULL;
    size_t from, to;
    if (given(chars)) PLUMB_TRY(string_argument(e, chars, &set));
    size_t cost = set && set->count > 4 ? set->count / 4 : 1;
    PLUMB_TRY(plumb_jinja_spend(e, (s->size / 64 + 1) * cost));
    plumb_jinja_strip(s, set, left, right, &from, &to);
    return part(e, s, from, to, out);
}

METHOD(str_strip)
{
    (void)all;
    return strip(e, self, args[0], true, true, out);
}

METHOD(str_lstrip)
{
    (void)all;
    return strip(e, self, args[0], true, false, out);
}

METHOD(str_rstrip)
{
    (void)all;
    return strip(e, self, args[0], false, true, out);
}

/* Case --------------------------------------------------------------------------------------------------------- */

static plumb_status map_case(jinja_eval *e, jinja_value self, jinja_case first, jinja_case rest, jinja_value *out)
{
    const jinja_string *s = self.as.string;
    size_t start = e->text.size, used;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size; at += used) {
        PLUMB_TRY(plumb_jinja_put_case(e, s, at, at == 0 ? first : rest, &used));
    }
    return plumb_jinja_take(e, start, out);
}

METHOD(str_upper)
{
    UNUSED_REST;
    return map_case(e, self, JINJA_UPPER, JINJA_UPPER, out);
}

METHOD(str_lower)
{
    UNUSED_REST;
    return map_case(e, self, JINJA_LOWER, JINJA_LOWER, out);
}

METHOD(str_casefold)
{
    UNUSED_REST;
    return map_case(e, self, JINJA_FOLD, JINJA_FOLD, out);
}

METHOD(str_capitalize)
{
    UNUSED_REST;
    return map_case(e, self, JINJA_TITLE, JINJA_LOWER, out);
}

METHOD(str_title)
{
    UNUSED_REST;
    const jinja_string *s = self.as.string;
    size_t start = e->text.size, used;
    bool inside = false, upper;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size; at += used) {
        PLUMB_TRY(plumb_jinja_put_case(e, s, at, inside ? JINJA_LOWER : JINJA_TITLE, &used));
        inside = plumb_jinja_cased(plumb_jinja_decode(s->data + at, s->size - at, &used), &upper);
    }
    return plumb_jinja_take(e, start, out);
}

METHOD(str_swapcase)
{
    UNUSED_REST;
    const jinja_string *s = self.as.string;
    size_t start = e->text.size, used;
    bool upper;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size; at += used) {
        plumb_jinja_cased(plumb_jinja_decode(s->data + at, s->size - at, &used), &upper);
        PLUMB_TRY(plumb_jinja_put_case(e, s, at, upper ? JINJA_LOWER : JINJA_UPPER, &used));
    }
    return plumb_jinja_take(e, start, out);
}

/* Kinds of characters ------------------------------------------------------------------------------------------ */

static plumb_status every(jinja_eval *e, jinja_value self, bool (*holds)(uint32_t code), jinja_value *out)
{
    const jinja_string *s = self.as.string;
    bool all = s->size > 0;
    size_t used;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size && all; at += used)
        all = holds(plumb_jinja_decode(s->data + at, s->size - at, &used));
    *out = plumb_jinja_bool(all);
    return PLUMB_OK;
}

static bool is_alnum(uint32_t code)
{
    return plumb_jinja_alpha(code) || plumb_jinja_digit(code);
}

static bool is_ascii(uint32_t code)
{
    return code < 0x80;
}

METHOD(str_isalpha)
{
    UNUSED_REST;
    return every(e, self, plumb_jinja_alpha, out);
}

METHOD(str_isalnum)
{
    UNUSED_REST;
    return every(e, self, is_alnum, out);
}

METHOD(str_isdigit)
{
    UNUSED_REST;
    return every(e, self, plumb_jinja_digit, out);
}

METHOD(str_isdecimal)
{
    UNUSED_REST;
    return every(e, self, plumb_jinja_decimal, out);
}

METHOD(str_isspace)
{
    UNUSED_REST;
    return every(e, self, plumb_jinja_space, out);
}

METHOD(str_isascii)
{
    UNUSED_REST;
    PLUMB_TRY(every(e, self, is_ascii, out));
    out->as.truth |= self.as.string->size == 0;
    return PLUMB_OK;
}

static plumb_status by_test(jinja_eval *e, const char *test, jinja_value self, jinja_value *out)
{
    jinja_arguments none = {0};
    return plumb_jinja_invoke(e, plumb_jinja_test(test), "test", self, &none, out);
}

METHOD(str_isupper)
{
    UNUSED_REST;
    return by_test(e, "upper", self, out);
}

METHOD(str_islower)
{
    UNUSED_REST;
    return by_test(e, "lower", self, out);
}

/* Searching ---------------------------------------------------------------------------------------------------- */

/* self[start:end] as the last two of three arguments; *base counts the characters before it. */
static plumb_status window(jinja_eval *e, jinja_value self, const jinja_value *args, jinja_value *out, size_t *base)
{
    jinja_value bounds[3] = {args[1], args[2], plumb_jinja_missing};
    int64_t start = 0, n = (int64_t)self.as.string->count;
    *out = self;
    *base = 0;
    if (!given(args[1]) && !given(args[2])) return PLUMB_OK;
    PLUMB_TRY(plumb_jinja_slice(e, self, bounds, out));
    if (given(args[1]) && plumb_jinja_whole(args[1], &start))
        *base = (size_t)(start < 0 ? start < -n ? 0 : start + n : start);
    return PLUMB_OK;
}

static const char *find_last(const jinja_string *s, const jinja_string *needle)
{
    if (needle->size > s->size) return NULL;
    for (size_t at = s->size - needle->size + 1; at-- > 0;) {
        if (memcmp(s->data + at, needle->data, needle->size) == 0) return s->data + at;
    }
    return NULL;
}

/* The index of needle in characters, or -1. */
static plumb_status find(jinja_eval *e, jinja_value self, const jinja_value *args, bool last, int64_t *index)
{
    const jinja_string *needle = NULL;
    jinja_value text;
    size_t base;
    PLUMB_TRY(string_argument(e, args[0], &needle));
    PLUMB_TRY(window(e, self, args, &text, &base));
    const jinja_string *s = text.as.string;
    size_t cost = last ? needle->size / 64 + 1 : 1; /* memmem is linear, the search from the end is not */
    PLUMB_TRY(plumb_jinja_spend(e, (s->size / 64 + 1) * cost));
    const char *found = base > self.as.string->count ? NULL
                        : last                       ? find_last(s, needle)
                                                     : memmem(s->data, s->size, needle->data, needle->size);
    *index = found ? (int64_t)(base + plumb_jinja_count(s->data, (size_t)(found - s->data))) : -1;
    return PLUMB_OK;
}

static plumb_status find_or_fail(jinja_eval *e, jinja_value self, const jinja_value *args, bool last, bool fails,
                                 jinja_value *out)
{
    int64_t index;
    PLUMB_TRY(find(e, self, args, last, &index));
    if (index < 0 && fails) return plumb_jinja_error(e, "substring not found");
    *out = plumb_jinja_int(index);
    return PLUMB_OK;
}

METHOD(str_find)
{
    (void)all;
    return find_or_fail(e, self, args, false, false, out);
}

METHOD(str_rfind)
{
    (void)all;
    return find_or_fail(e, self, args, true, false, out);
}

METHOD(str_index)
{
    (void)all;
    return find_or_fail(e, self, args, false, true, out);
}

METHOD(str_rindex)
{
    (void)all;
    return find_or_fail(e, self, args, true, true, out);
}

METHOD(str_count)
{
    (void)all;
    const jinja_string *needle = NULL;
    jinja_value text;
    size_t base;
    int64_t count = 0;
    PLUMB_TRY(string_argument(e, args[0], &needle));
    PLUMB_TRY(window(e, self, args, &text, &base));
    const jinja_string *s = text.as.string;
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    if (needle->size == 0) {
        *out = plumb_jinja_int(base > self.as.string->count ? 0 : (int64_t)s->count + 1);
        return PLUMB_OK;
    }
    for (const char *at = s->data, *end = s->data + s->size; at; count += at != NULL) {
        at = memmem(at, (size_t)(end - at), needle->data, needle->size);
        if (at) at += needle->size;
    }
    *out = plumb_jinja_int(count);
    return PLUMB_OK;
}

static bool begins(const jinja_string *s, const jinja_string *part_of, bool at_end)
{
    if (part_of->size > s->size) return false;
    return memcmp(s->data + (at_end ? s->size - part_of->size : 0), part_of->data, part_of->size) == 0;
}

/* startswith and endswith take one string or a tuple of them. */
static plumb_status affix(jinja_eval *e, jinja_value self, const jinja_value *args, bool at_end, jinja_value *out)
{
    jinja_value text;
    size_t base;
    bool holds = false;
    PLUMB_TRY(window(e, self, args, &text, &base));
    jinja_list one = {(jinja_value[1]){args[0]}, 1, 1, 0};
    const jinja_list *list = args[0].kind == JINJA_TUPLE ? args[0].as.list : &one;
    for (size_t i = 0; i < list->count && !holds; i++) {
        const jinja_string *s = NULL;
        PLUMB_TRY(string_argument(e, list->items[i], &s));
        holds = base <= self.as.string->count && begins(text.as.string, s, at_end);
    }
    *out = plumb_jinja_bool(holds);
    return PLUMB_OK;
}

METHOD(str_startswith)
{
    (void)all;
    return affix(e, self, args, false, out);
}

METHOD(str_endswith)
{
    (void)all;
    return affix(e, self, args, true, out);
}

static plumb_status remove_affix(jinja_eval *e, jinja_value self, jinja_value argument, bool at_end, jinja_value *out)
{
    const jinja_string *s = self.as.string, *affix_text = NULL;
    PLUMB_TRY(string_argument(e, argument, &affix_text));
    size_t gone = begins(s, affix_text, at_end) ? affix_text->size : 0;
    return part(e, s, at_end ? 0 : gone, at_end ? s->size - gone : s->size, out);
}

METHOD(str_removeprefix)
{
    (void)all;
    return remove_affix(e, self, args[0], false, out);
}

METHOD(str_removesuffix)
{
    (void)all;
    return remove_affix(e, self, args[0], true, out);
}

METHOD(str_replace)
{
    (void)all;
    const jinja_string *s = self.as.string, *old = NULL, *new = NULL;
    int64_t limit;
    size_t start = e->text.size, at = 0;
    PLUMB_TRY(string_argument(e, args[0], &old));
    PLUMB_TRY(string_argument(e, args[1], &new));
    PLUMB_TRY(plumb_jinja_int_argument(e, args[2], -1, &limit));
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (int64_t done = 0; limit < 0 || done < limit; done++) {
        size_t used = 0;
        if (old->size) {
            const char *found = memmem(s->data + at, s->size - at, old->data, old->size);
            if (!found) break;
            PLUMB_TRY(plumb_jinja_put(e, s->data + at, (size_t)(found - s->data) - at));
            at = (size_t)(found - s->data) + old->size;
        }
        PLUMB_TRY(plumb_jinja_put(e, new->data, new->size));
        if (old->size) continue;
        if (at == s->size) break; /* nothing is found between all characters, and at both ends */
        plumb_jinja_decode(s->data + at, s->size - at, &used);
        PLUMB_TRY(plumb_jinja_put(e, s->data + at, used));
        at += used;
    }
    PLUMB_TRY(plumb_jinja_put(e, s->data + at, s->size - at));
    return plumb_jinja_take(e, start, out);
}

/* Splitting ---------------------------------------------------------------------------------------------------- */

static plumb_status split_spaces(jinja_eval *e, const jinja_string *s, int64_t limit, jinja_list *list)
{
    size_t at = 0, used;
    for (int64_t done = 0;; done++) {
        jinja_string rest = {s->data + at, s->size - at, 0, false};
        size_t from, to;
        plumb_jinja_strip(&rest, NULL, true, false, &from, &to);
        at += from;
        if (at == s->size) return PLUMB_OK;
        if (limit >= 0 && done == limit) return push_part(e, list, s, at, s->size);
        size_t end = at;
        while (end < s->size && !plumb_jinja_space(plumb_jinja_decode(s->data + end, s->size - end, &used)))
            end += used;
        PLUMB_TRY(push_part(e, list, s, at, end));
        at = end;
    }
}

static plumb_status split_text(jinja_eval *e, const jinja_string *s, const jinja_string *separator, int64_t limit,
                               jinja_list *list)
{
    size_t at = 0;
    for (int64_t done = 0; limit < 0 || done < limit; done++) {
        const char *found = memmem(s->data + at, s->size - at, separator->data, separator->size);
        if (!found) break;
        PLUMB_TRY(push_part(e, list, s, at, (size_t)(found - s->data)));
        at = (size_t)(found - s->data) + separator->size;
    }
    return push_part(e, list, s, at, s->size);
}

/* From the end, for rsplit with a limit; the pieces come out last first. */
static plumb_status split_back(jinja_eval *e, const jinja_string *s, const jinja_string *separator, int64_t limit,
                               jinja_list *list)
{
    jinja_string rest = *s;
    for (int64_t done = 0;; done++) {
        size_t from = 0, used, skip = separator ? separator->size : 0;
        if (!separator) plumb_jinja_strip(&rest, NULL, false, true, &from, &rest.size);
        if (!separator && !rest.size) return PLUMB_OK;
        if (done == limit) return push_part(e, list, &rest, 0, rest.size);
        const char *found = separator ? find_last(&rest, separator) : NULL;
        size_t start = found ? (size_t)(found - rest.data) : 0;
        for (size_t at = 0; !separator && at < rest.size; at += used) {
            if (plumb_jinja_space(plumb_jinja_decode(rest.data + at, rest.size - at, &used))) start = skip = at + used;
        }
        if (separator && !found) return push_part(e, list, &rest, 0, rest.size);
        PLUMB_TRY(plumb_jinja_spend(e, rest.size / 16));
        PLUMB_TRY(push_part(e, list, &rest, separator ? start + skip : start, rest.size));
        rest.size = start;
    }
}

static void reverse(jinja_list *list)
{
    for (size_t i = 0; i < list->count / 2; i++) {
        jinja_value swap = list->items[i];
        list->items[i] = list->items[list->count - 1 - i];
        list->items[list->count - 1 - i] = swap;
    }
}

static plumb_status split(jinja_eval *e, jinja_value self, const jinja_value *args, bool back, jinja_value *out)
{
    const jinja_string *separator = NULL;
    int64_t limit;
    if (given(args[0])) PLUMB_TRY(string_argument(e, args[0], &separator));
    if (separator && !separator->size) return plumb_jinja_error(e, "empty separator");
    PLUMB_TRY(plumb_jinja_int_argument(e, args[1], -1, &limit));
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 0, out));
    PLUMB_TRY(plumb_jinja_spend(e, self.as.string->size / 16));
    if (back && limit >= 0) {
        PLUMB_TRY(split_back(e, self.as.string, separator, limit, out->as.list));
        reverse(out->as.list);
        return PLUMB_OK;
    }
    if (separator) return split_text(e, self.as.string, separator, limit, out->as.list);
    return split_spaces(e, self.as.string, limit, out->as.list);
}

METHOD(str_split)
{
    (void)all;
    return split(e, self, args, false, out);
}

METHOD(str_rsplit)
{
    (void)all;
    return split(e, self, args, true, out);
}

static bool line_break(uint32_t c)
{
    return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

METHOD(str_splitlines)
{
    (void)all;
    const jinja_string *s = self.as.string;
    bool keep = plumb_jinja_truth(args[0]);
    size_t line = 0, used;
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_LIST, 0, out));
    PLUMB_TRY(plumb_jinja_spend(e, s->size / 16));
    for (size_t at = 0; at < s->size; at += used) {
        uint32_t code = plumb_jinja_decode(s->data + at, s->size - at, &used);
        if (!line_break(code)) continue;
        if (code == '\r' && at + 1 < s->size && s->data[at + 1] == '\n') used = 2;
        PLUMB_TRY(push_part(e, out->as.list, s, line, keep ? at + used : at));
        line = at + used;
    }
    return line < s->size ? push_part(e, out->as.list, s, line, s->size) : PLUMB_OK;
}

static plumb_status partition(jinja_eval *e, jinja_value self, jinja_value argument, bool last, jinja_value *out)
{
    const jinja_string *s = self.as.string, *separator = NULL;
    PLUMB_TRY(string_argument(e, argument, &separator));
    if (!separator->size) return plumb_jinja_error(e, "empty separator");
    PLUMB_TRY(plumb_jinja_spend(e, (s->size / 64 + 1) * (separator->size / 64 + 1)));
    const char *found = last ? find_last(s, separator) : memmem(s->data, s->size, separator->data, separator->size);
    size_t at = found ? (size_t)(found - s->data) : last ? 0 : s->size, behind = at + (found ? separator->size : 0);
    PLUMB_TRY(plumb_jinja_make_list(e, JINJA_TUPLE, 3, out));
    PLUMB_TRY(push_part(e, out->as.list, s, 0, at));
    PLUMB_TRY(push_part(e, out->as.list, s, at, behind));
    return push_part(e, out->as.list, s, behind, s->size);
}

METHOD(str_partition)
{
    (void)all;
    return partition(e, self, args[0], false, out);
}

METHOD(str_rpartition)
{
    (void)all;
    return partition(e, self, args[0], true, out);
}

/* Building ----------------------------------------------------------------------------------------------------- */

METHOD(str_join)
{
    (void)all;
    jinja_value list;
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_to_list(e, args[0], JINJA_LIST, &list));
    for (size_t i = 0; i < list.as.list->count; i++) {
        jinja_value item = list.as.list->items[i];
        if (item.kind != JINJA_STRING) {
            return plumb_jinja_error(e, "sequence item %zu: expected str instance, %s found", i,
                                     plumb_jinja_type(item));
        }
        if (i) PLUMB_TRY(plumb_jinja_put_string(e, self));
        PLUMB_TRY(plumb_jinja_put_string(e, item));
    }
    return plumb_jinja_take(e, start, out);
}

METHOD(str_format)
{
    (void)args;
    return plumb_jinja_format(e, self.as.string, all, out);
}

static plumb_status put_fill(jinja_eval *e, const jinja_string *fill, int64_t times)
{
    if (times > JINJA_MAX_TEXT) return plumb_jinja_error(e, "a string of more than %d MiB", JINJA_MAX_TEXT >> 20);
    for (int64_t i = 0; i < times; i++) PLUMB_TRY(plumb_jinja_put(e, fill->data, fill->size));
    return plumb_jinja_spend(e, times > 0 ? (size_t)times / 8 : 0);
}

/* ljust, rjust, center: `share` of the blanks go to the left, in quarters. */
static plumb_status justify(jinja_eval *e, jinja_value self, const jinja_value *args, char where, jinja_value *out)
{
    static const jinja_string blank = {" ", 1, 1, false};
    const jinja_string *fill = &blank;
    int64_t width, n = (int64_t)self.as.string->count;
    size_t start = e->text.size;
    PLUMB_TRY(plumb_jinja_int_argument(e, args[0], 0, &width));
    if (args[1].kind != JINJA_MISSING) PLUMB_TRY(string_argument(e, args[1], &fill));
    if (fill->count != 1) return plumb_jinja_error(e, "the fill character must be exactly one character long");
    int64_t room = width > n ? width - n : 0;
    /* Python's center puts the odd blank left where the width is odd */
    int64_t left = where == 'l' ? 0 : where == 'r' ? room : room / 2 + (room & width & 1);
    PLUMB_TRY(put_fill(e, fill, left));
    PLUMB_TRY(plumb_jinja_put_string(e, self));
    PLUMB_TRY(put_fill(e, fill, room - left));
    return plumb_jinja_take(e, start, out);
}

METHOD(str_ljust)
{
    (void)all;
    return justify(e, self, args, 'l', out);
}

METHOD(str_rjust)
{
    (void)all;
    return justify(e, self, args, 'r', out);
}

METHOD(str_center)
{
    (void)all;
    return justify(e, self, args, 'c', out);
}

METHOD(str_zfill)
{
    (void)all;
    static const jinja_string zero = {"0", 1, 1, false};
    const jinja_string *s = self.as.string;
    int64_t width;
    size_t start = e->text.size, sign = s->size && (s->data[0] == '-' || s->data[0] == '+');
    PLUMB_TRY(plumb_jinja_int_argument(e, args[0], 0, &width));
    PLUMB_TRY(plumb_jinja_put(e, s->data, sign));
    PLUMB_TRY(put_fill(e, &zero, width > (int64_t)s->count ? width - (int64_t)s->count : 0));
    PLUMB_TRY(plumb_jinja_put(e, s->data + sign, s->size - sign));
    return plumb_jinja_take(e, start, out);
}

/* Lists and dicts ---------------------------------------------------------------------------------------------- */

METHOD(list_index)
{
    (void)all;
    for (size_t i = 0; i < self.as.list->count; i++) {
        bool equal;
        PLUMB_TRY(plumb_jinja_equal(e, self.as.list->items[i], args[0], &equal));
        *out = plumb_jinja_int((int64_t)i);
        if (equal) return PLUMB_OK;
    }
    return plumb_jinja_error(e, "the value is not in the %s", plumb_jinja_type(self));
}

METHOD(list_count)
{
    (void)all;
    int64_t count = 0;
    for (size_t i = 0; i < self.as.list->count; i++) {
        bool equal;
        PLUMB_TRY(plumb_jinja_equal(e, self.as.list->items[i], args[0], &equal));
        count += equal;
    }
    *out = plumb_jinja_int(count);
    return PLUMB_OK;
}

METHOD(list_copy)
{
    UNUSED_REST;
    return plumb_jinja_to_list(e, self, JINJA_LIST, out);
}

METHOD(dict_copy)
{
    UNUSED_REST;
    PLUMB_TRY(plumb_jinja_make_dict(e, self.as.dict->count, out));
    for (size_t i = 0; i < self.as.dict->count; i++) {
        PLUMB_TRY(plumb_jinja_dict_set(e, out->as.dict, self.as.dict->keys[i], self.as.dict->values[i]));
    }
    return PLUMB_OK;
}

METHOD(dict_get)
{
    (void)all;
    jinja_value *found = NULL;
    if (!plumb_jinja_hashable(args[0])) return plumb_jinja_error(e, "unhashable type: '%s'", plumb_jinja_type(args[0]));
    PLUMB_TRY(plumb_jinja_dict_find(e, self.as.dict, args[0], &found));
    *out = found ? *found : args[1].kind == JINJA_MISSING ? plumb_jinja_none : args[1];
    return PLUMB_OK;
}

static plumb_status make_view(jinja_eval *e, jinja_value self, jinja_view_kind kind, jinja_value *out)
{
    jinja_view *view = NULL;
    PLUMB_TRY(plumb_jinja_new(e, &view, 1, sizeof *view));
    *view = (jinja_view){self.as.dict, kind};
    *out = (jinja_value){.kind = JINJA_VIEW, .as.view = view};
    return PLUMB_OK;
}

METHOD(dict_keys)
{
    UNUSED_REST;
    return make_view(e, self, JINJA_KEYS, out);
}

METHOD(dict_values)
{
    UNUSED_REST;
    return make_view(e, self, JINJA_VALUES, out);
}

METHOD(dict_items)
{
    UNUSED_REST;
    return make_view(e, self, JINJA_ITEMS, out);
}

static const jinja_row string_rows[] = {
    {"strip", str_strip, "chars", 0},
    {"lstrip", str_lstrip, "chars", 0},
    {"rstrip", str_rstrip, "chars", 0},
    {"upper", str_upper, "", 0},
    {"lower", str_lower, "", 0},
    {"casefold", str_casefold, "", 0},
    {"capitalize", str_capitalize, "", 0},
    {"title", str_title, "", 0},
    {"swapcase", str_swapcase, "", 0},
    {"isalpha", str_isalpha, "", 0},
    {"isalnum", str_isalnum, "", 0},
    {"isdigit", str_isdigit, "", 0},
    {"isdecimal", str_isdecimal, "", 0},
    {"isspace", str_isspace, "", 0},
    {"isascii", str_isascii, "", 0},
    {"isupper", str_isupper, "", 0},
    {"islower", str_islower, "", 0},
    {"find", str_find, "sub start end", 1},
    {"rfind", str_rfind, "sub start end", 1},
    {"index", str_index, "sub start end", 1},
    {"rindex", str_rindex, "sub start end", 1},
    {"count", str_count, "sub start end", 1},
    {"startswith", str_startswith, "prefix start end", 1},
    {"endswith", str_endswith, "suffix start end", 1},
    {"removeprefix", str_removeprefix, "prefix", 1},
    {"removesuffix", str_removesuffix, "suffix", 1},
    {"replace", str_replace, "old new count", 2},
    {"split", str_split, "sep maxsplit", 0},
    {"rsplit", str_rsplit, "sep maxsplit", 0},
    {"splitlines", str_splitlines, "keepends", 0},
    {"partition", str_partition, "sep", 1},
    {"rpartition", str_rpartition, "sep", 1},
    {"join", str_join, "iterable", 1},
    {"format", str_format, NULL, 0},
    {"ljust", str_ljust, "width fillchar", 1},
    {"rjust", str_rjust, "width fillchar", 1},
    {"center", str_center, "width fillchar", 1},
    {"zfill", str_zfill, "width", 1},
    {"encode", NULL, NULL, 0},
    {"expandtabs", NULL, NULL, 0},
    {"format_map", NULL, NULL, 0},
    {"isidentifier", NULL, NULL, 0},
    {"isnumeric", NULL, NULL, 0},
    {"isprintable", NULL, NULL, 0},
    {"istitle", NULL, NULL, 0},
    {"maketrans", NULL, NULL, 0},
    {"translate", NULL, NULL, 0},
};

static const jinja_row tuple_rows[] = {{"index", list_index, "value", 1}, {"count", list_count, "value", 1}};

static const jinja_row list_rows[] = {
    {"index", list_index, "value", 1},
    {"count", list_count, "value", 1},
    {"copy", list_copy, "", 0},
};

static const jinja_row dict_rows[] = {
    {"get", dict_get, "key default", 1}, {"items", dict_items, "", 0}, {"keys", dict_keys, "", 0},
    {"values", dict_values, "", 0},      {"copy", dict_copy, "", 0},   {"fromkeys", NULL, NULL, 0},
};

static const jinja_row *find_row(const jinja_row *rows, size_t count, const jinja_string *name)
{
    for (size_t i = 0; i < count; i++) {
        if (plumb_jinja_is(name, rows[i].name)) return &rows[i];
    }
    return NULL;
}

static bool changes(const jinja_string *name, const char *const *names)
{
    for (; *names; names++) {
        if (plumb_jinja_is(name, *names)) return true;
    }
    return false;
}

const jinja_row *plumb_jinja_method(jinja_value self, const jinja_string *name, bool *unsafe)
{
    static const char *const list_changes[] = {"append", "clear",  "pop",    "reverse", "insert",
                                               "sort",   "extend", "remove", NULL};
    static const char *const dict_changes[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};
    *unsafe = false;
    switch (self.kind) {
    case JINJA_STRING:
        return find_row(string_rows, sizeof string_rows / sizeof *string_rows, name);
    case JINJA_TUPLE:
        return find_row(tuple_rows, sizeof tuple_rows / sizeof *tuple_rows, name);
    case JINJA_LIST:
        *unsafe = changes(name, list_changes);
        return find_row(list_rows, sizeof list_rows / sizeof *list_rows, name);
    case JINJA_DICT:
        *unsafe = changes(name, dict_changes);
        return find_row(dict_rows, sizeof dict_rows / sizeof *dict_rows, name);
    default:
        return NULL;
    }
}
