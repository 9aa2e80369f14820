/* The functions that a template may call by name. */
#include <string.h>
#include <time.h>

#include "text/template_internal.h"

#define BUILTIN(name)                                                                                                  \
    static plumb_status name(jinja_eval *e, jinja_value self, const jinja_value *args, const jinja_arguments *all,     \
                             jinja_value *out)

BUILTIN(function_range)
{
    (void)self;
    (void)all;
    int64_t start = 0, stop = 0, step = 1;
    jinja_range *range = NULL;
    bool one = args[1].kind == JINJA_MISSING;
    PLUMB_TRY(plumb_jinja_int_argument(e, one ? args[0] : args[1], 0, &stop));
    if (!one) PLUMB_TRY(plumb_jinja_int_argument(e, args[0], 0, &start));
    PLUMB_TRY(plumb_jinja_int_argument(e, args[2], 1, &step));
    if (step == 0) return plumb_jinja_error(e, "range() arg 3 must not be zero");
    bool some = step > 0 ? start < stop : start > stop;
    uint64_t span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step, count = some ? (span - 1) / stride + 1 : 0;
    if (count > JINJA_MAX_RANGE) {
        return plumb_jinja_error(e, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                                 JINJA_MAX_RANGE);
    }
    PLUMB_TRY(plumb_jinja_new(e, &range, 1, sizeof *range));
    *range = (jinja_range){start, stop, step, (size_t)count};
    *out = (jinja_value){.kind = JINJA_RANGE, .as.range = range};
    return PLUMB_OK;
}

/* Adds the (key, value) pairs of an iterable. */
static plumb_status add_pairs(jinja_eval *e, jinja_dict *dict, jinja_value pairs)
{
    jinja_cursor cursor;
    jinja_value item, pair;
    bool more;
    PLUMB_TRY(plumb_jinja_iterate(e, pairs, &cursor));
    for (;;) {
        PLUMB_TRY(plumb_jinja_next(e, &cursor, &item, &more));
        if (!more) return PLUMB_OK;
        PLUMB_TRY(plumb_jinja_to_list(e, item, JINJA_LIST, &pair));
        if (pair.as.list->count != 2)
            return plumb_jinja_error(e, "dict() takes pairs, not %zu values", pair.as.list->count);
        if (!plumb_jinja_hashable(pair.as.list->items[0])) return plumb_jinja_error(e, "dict(): a key is not hashable");
        PLUMB_TRY(plumb_jinja_dict_set(e, dict, pair.as.list->items[0], pair.as.list->items[1]));
    }
}

static plumb_status add_dict(jinja_eval *e, jinja_dict *to, const jinja_dict *from)
{
    for (size_t i = 0; i < from->count; i++) PLUMB_TRY(plumb_jinja_dict_set(e, to, from->keys[i], from->values[i]));
    return PLUMB_OK;
}

BUILTIN(function_dict)
{
    (void)self;
    (void)args;
    if (all->count > 1) return plumb_jinja_error(e, "dict expected at most 1 argument, got %zu", all->count);
    PLUMB_TRY(plumb_jinja_make_dict(e, 0, out));
    if (all->count && all->values[0].kind == JINJA_DICT)
        PLUMB_TRY(add_dict(e, out->as.dict, all->values[0].as.dict));
    else if (all->count)
        PLUMB_TRY(add_pairs(e, out->as.dict, all->values[0]));
    return add_dict(e, out->as.dict, all->named);
}

BUILTIN(function_namespace)
{
    PLUMB_TRY(function_dict(e, self, args, all, out));
    out->kind = JINJA_NAMESPACE;
    for (size_t i = 0; i < out->as.dict->count; i++) {
        jinja_value key = out->as.dict->keys[i];
        if (key.kind == JINJA_STRING && key.as.string->size && key.as.string->data[0] == '_') {
            return plumb_jinja_error(e, "a namespace cannot hold names that begin with an underscore");
        }
    }
    return PLUMB_OK;
}

BUILTIN(function_raise_exception)
{
    (void)self;
    (void)all;
    PLUMB_TRY(plumb_jinja_to_string(e, args[0], out));
    return plumb_jinja_error(e, "%.*s", (int)out->as.string->size, out->as.string->data);
}

/* Python resolves these itself: the time has no zone and no fraction of a second. */
static plumb_status put_time_format(jinja_eval *e, const jinja_string *format)
{
    for (size_t i = 0; i < format->size; i++) {
        bool escape = format->data[i] == '%' && i + 1 < format->size;
        char next = (char)(escape ? format->data[i + 1] : 0);
        if (next == 'f')
            PLUMB_TRY(plumb_jinja_puts(e, "000000"));
        else if (escape && next != 'z' && next != 'Z')
            PLUMB_TRY(plumb_jinja_put(e, format->data + i, 2));
        else if (!escape)
            PLUMB_TRY(plumb_jinja_put(e, format->data + i, 1));
        i += escape;
    }
    return PLUMB_OK;
}

BUILTIN(function_strftime_now)
{
    (void)self;
    (void)all;
    enum { ROOM = 16384 };
    jinja_value format;
    char *text = NULL;
    struct tm time;
    time_t now = (time_t)e->now;
    if (args[0].kind != JINJA_STRING)
        return plumb_jinja_error(e, "strftime_now() takes a string, not %s", plumb_jinja_type(args[0]));
    if (!localtime_r(&now, &time)) return plumb_jinja_error(e, "the time is out of range");
    size_t start = e->text.size;
    PLUMB_TRY(put_time_format(e, args[0].as.string));
    PLUMB_TRY(plumb_jinja_take(e, start, &format));
    PLUMB_TRY(plumb_jinja_new(e, &text, ROOM, 1));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is the template's, and strftime reads no arguments  \
                                                      */
    size_t n = strftime(text, ROOM, format.as.string->data, &time);
#pragma GCC diagnostic pop
    /* Python, too, gives nothing where 256 bytes for each of the format are not enough */
    bool cut_off = n == 0 && format.as.string->size > ROOM / 256;
    if (cut_off || !plumb_jinja_valid(text, n))
        return plumb_jinja_error(e, "strftime_now() gives no text for this format");
    return plumb_jinja_borrow(e, text, n, out);
}

const jinja_row *plumb_jinja_find(const jinja_row *rows, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    }
    return NULL;
}

const jinja_row *plumb_jinja_function(const jinja_string *name)
{
    static const jinja_row rows[] = {
        {"range", function_range, "start stop step", 1},
        {"dict", function_dict, NULL, 0},
        {"namespace", function_namespace, NULL, 0},
        {"raise_exception", function_raise_exception, "message", 1},
        {"strftime_now", function_strftime_now, "format", 1},
        {"cycler", NULL, NULL, 0},
        {"joiner", NULL, NULL, 0},
        {"lipsum", NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (plumb_jinja_is(name, rows[i].name)) return &rows[i];
    }
    return NULL;
}
