#include "io/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "io/open_file.h"
#include "io/yaml_scalar.h"

/* One parse. */
typedef struct reader {
    yaml_parser_t parser;
    const char *file;
    const char *bytes;
    plumb_settings *out;
    size_t values; /* scalars and lists so far, of all kinds */
} reader;

static plumb_status at(const reader *r, int64_t line, plumb_status s)
{
    return plumb_context(s, "%s:%lld", r->file, (long long)line);
}

static int64_t line_of(const yaml_event_t *event)
{
    return (int64_t)event->start_mark.line + 1;
}

/* ---- events ---- */

static plumb_status parser_error(const reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR) return plumb_no_memory();
    const char *problem = p->problem ? p->problem : "unknown problem";
    if (p->error == YAML_READER_ERROR) {
        int64_t line = 1;
        for (size_t i = 0; i < p->problem_offset; i++) line += r->bytes[i] == '\n';
        return at(r, line, plumb_fail(PLUMB_E_INPUT, "not text in UTF-8: %s", problem));
    }
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "not valid YAML at column %zu: %s%s%s", p->problem_mark.column + 1,
                                problem, p->context ? " " : "", p->context ? p->context : "");
    return at(r, (int64_t)p->problem_mark.line + 1, s);
}

static plumb_status no_use(const reader *r, const yaml_event_t *event, const char *what, const char *cure)
{
    return plumb_cure(at(r, line_of(event), plumb_fail(PLUMB_E_INPUT, "%s not allowed in a config file", what)), "%s",
                      cure);
}

/* What no part of a config file may have. */
static plumb_status check_event(const reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return no_use(r, event, "aliases (*name) are", "write the value out");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor) return no_use(r, event, "anchors (&name) are", "leave it out");
    return tag ? no_use(r, event, "tags (!name) are", "leave it out; the option knows its type") : PLUMB_OK;
}

/* The next event, which the caller deletes after success. */
static plumb_status next(reader *r, yaml_event_t *event)
{
    if (!yaml_parser_parse(&r->parser, event)) return parser_error(r);
    plumb_status s = check_event(r, event);
    if (!s && ++r->values > PLUMB_YAML_VALUES)
        s = at(r, line_of(event), plumb_fail(PLUMB_E_INPUT, "more than %d values", PLUMB_YAML_VALUES));
    if (s) yaml_event_delete(event);
    return s;
}

/* ---- values ---- */

static plumb_status scalar_text(reader *r, const yaml_event_t *event, const char **out)
{
    const char *bytes = (const char *)event->data.scalar.value;
    if (memchr(bytes, 0, event->data.scalar.length))
        return at(r, line_of(event), plumb_fail(PLUMB_E_INPUT, "holds a zero byte"));
    return plumb_arena_copy(&r->out->arena, out, bytes, event->data.scalar.length);
}

static plumb_status scalar_value(reader *r, const yaml_event_t *event, plumb_setting_value *out)
{
    const char *text = NULL;
    PLUMB_TRY(scalar_text(r, event, &text));
    if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) return plumb_yaml_resolve(text, &r->out->arena, out);
    *out = (plumb_setting_value){text, text, false};
    return PLUMB_OK;
}

/* Passes over a mapping or list whose beginning was read; counts its parts. */
static plumb_status pass_nested(reader *r, int depth, size_t *parts)
{
    for (int open = 1; open > 0;) {
        yaml_event_t event;
        PLUMB_TRY(next(r, &event));
        bool begins = event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT;
        bool ends = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        int64_t line = line_of(&event);
        yaml_event_delete(&event);
        if (open == 1 && !ends) ++*parts;
        open += begins - ends;
        if (open + depth > PLUMB_YAML_DEPTH)
            return at(r, line, plumb_fail(PLUMB_E_INPUT, "nested more than %d deep", PLUMB_YAML_DEPTH));
    }
    return PLUMB_OK;
}

/* The items of a list whose beginning was read. */
static plumb_status read_list(reader *r, plumb_setting *out, plumb_setting_value **items, size_t *capacity)
{
    out->is_list = true;
    for (;;) {
        yaml_event_t event;
        plumb_status s = PLUMB_OK;
        PLUMB_TRY(next(r, &event));
        bool ends = event.type == YAML_SEQUENCE_END_EVENT, single = event.type == YAML_SCALAR_EVENT;
        if (!ends && single) {
            s = plumb_reserve(items, capacity, out->count + 1, sizeof **items);
            if (!s) s = scalar_value(r, &event, &(*items)[out->count]);
        }
        yaml_event_delete(&event);
        if (s || ends) return s;
        if (!single) {
            size_t inner = 0;
            out->is_nested = true;
            PLUMB_TRY(pass_nested(r, 2, &inner));
        }
        out->count++;
    }
}

static plumb_status keep_list(reader *r, plumb_setting *out)
{
    plumb_setting_value *items = NULL, *kept = NULL;
    size_t capacity = 0;
    plumb_status s = read_list(r, out, &items, &capacity);
    if (!s && items && !out->is_nested) {
        s = plumb_arena_new(&r->out->arena, &kept, out->count, sizeof *kept);
        if (!s) memcpy(kept, items, out->count * sizeof *kept);
    }
    if (out->is_nested) out->is_list = false;
    out->values = kept;
    free(items);
    return s;
}

static plumb_status keep_scalar(reader *r, const yaml_event_t *event, plumb_setting *out)
{
    plumb_setting_value *value = NULL;
    PLUMB_TRY(plumb_arena_new(&r->out->arena, &value, 1, sizeof *value));
    PLUMB_TRY(scalar_value(r, event, value));
    out->values = value;
    out->count = 1;
    return PLUMB_OK;
}

static plumb_status read_value(reader *r, plumb_setting *out)
{
    yaml_event_t event;
    PLUMB_TRY(next(r, &event));
    yaml_event_type_t type = event.type;
    plumb_status s = type == YAML_SCALAR_EVENT ? keep_scalar(r, &event, out) : PLUMB_OK;
    yaml_event_delete(&event);
    if (s || type == YAML_SCALAR_EVENT) return s;
    if (type == YAML_SEQUENCE_START_EVENT) return keep_list(r, out);
    out->is_nested = true;
    return pass_nested(r, 2, &out->count);
}

/* ---- the mapping ---- */

static bool same_key(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b)) return false;
    return *a == *b;
}

static plumb_status check_key(const reader *r, const yaml_event_t *event, const char *key)
{
    if (strcmp(key, "<<") == 0 && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return no_use(r, event, "merge keys (<<) are", "write the keys out");
    if (!*key) return at(r, line_of(event), plumb_fail(PLUMB_E_INPUT, "a key is missing before the colon"));
    for (size_t i = 0; i < r->out->count; i++)
        if (same_key(r->out->list[i].key, key))
            return plumb_cure(at(r, line_of(event),
                                 plumb_fail(PLUMB_E_INPUT, "\"%s\" stands in line %lld already", key,
                                            (long long)r->out->list[i].line)),
                              "keep one of them");
    if (r->out->count == PLUMB_YAML_KEYS)
        return at(r, line_of(event), plumb_fail(PLUMB_E_INPUT, "more than %d keys", PLUMB_YAML_KEYS));
    return PLUMB_OK;
}

/* One key and its value; *done at the end of the mapping. */
static plumb_status read_entry(reader *r, bool *done)
{
    yaml_event_t event;
    plumb_setting setting = {.key = "", .file = r->file};
    plumb_status s;
    PLUMB_TRY(next(r, &event));
    *done = event.type == YAML_MAPPING_END_EVENT;
    setting.line = line_of(&event);
    if (*done) {
        s = PLUMB_OK;
    } else if (event.type != YAML_SCALAR_EVENT) {
        s = at(r, setting.line, plumb_fail(PLUMB_E_INPUT, "a key is a mapping or a list; expected a name"));
    } else {
        s = scalar_text(r, &event, &setting.key);
        if (!s) s = check_key(r, &event, setting.key);
    }
    yaml_event_delete(&event);
    if (s || *done) return s;
    PLUMB_TRY(read_value(r, &setting));
    PLUMB_TRY(plumb_reserve(&r->out->list, &r->out->capacity, r->out->count + 1, sizeof *r->out->list));
    r->out->list[r->out->count++] = setting;
    return PLUMB_OK;
}

/* Reads an event that must be of this type. */
static plumb_status expect(reader *r, yaml_event_type_t type, const char *otherwise, const char *cure)
{
    yaml_event_t event;
    PLUMB_TRY(next(r, &event));
    bool good = event.type == type;
    int64_t line = line_of(&event);
    yaml_event_delete(&event);
    if (good) return PLUMB_OK;
    return plumb_cure(at(r, line, plumb_fail(PLUMB_E_INPUT, "%s", otherwise)), "%s", cure);
}

static plumb_status read_document(reader *r)
{
    static const char lines[] = "write lines of the form key: value";
    bool done = false;
    PLUMB_TRY(expect(r, YAML_STREAM_START_EVENT, "is empty", lines));
    PLUMB_TRY(expect(r, YAML_DOCUMENT_START_EVENT, "the file holds no key", lines));
    PLUMB_TRY(expect(r, YAML_MAPPING_START_EVENT, "the file is not a mapping of keys to values", lines));
    while (!done) PLUMB_TRY(read_entry(r, &done));
    PLUMB_TRY(expect(r, YAML_DOCUMENT_END_EVENT, "text after the mapping", lines));
    return expect(r, YAML_STREAM_END_EVENT, "a second document (---) is not allowed in a config file",
                  "write one file for each run");
}

/* libyaml says of a tab that it "cannot start any token"; people do not see tabs. */
static plumb_status check_tabs(const char *bytes, size_t n, const char *file)
{
    int64_t line = 1;
    for (size_t i = 0; i < n; line++) {
        const char *end = memchr(bytes + i, '\n', n - i);
        size_t stop = end ? (size_t)(end - bytes) : n, k = i;
        while (k < stop && bytes[k] == ' ') k++;
        if (k < stop && bytes[k] == '\t')
            return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s:%lld: is indented by a tab", file, (long long)line),
                              "YAML takes spaces only");
        i = stop + 1;
    }
    return PLUMB_OK;
}

plumb_status plumb_yaml_parse(const char *bytes, size_t n, const char *file, plumb_settings *out)
{
    reader r = {.file = file, .bytes = bytes, .out = out};
    if (n > PLUMB_YAML_BYTES)
        return plumb_fail(PLUMB_E_INPUT, "%s: is larger than %d bytes, too large for a config file", file,
                          PLUMB_YAML_BYTES);
    PLUMB_TRY(check_tabs(bytes, n, file));
    if (!yaml_parser_initialize(&r.parser)) return plumb_no_memory();
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes, n);
    plumb_status s = read_document(&r);
    yaml_parser_delete(&r.parser);
    return s;
}

/* ---- files ---- */

static plumb_status read_file(const char *path, int fd, plumb_text *out)
{
    char part[1 << 14];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return plumb_fail(PLUMB_E_IO, "%s: reading failed: %s", path, strerror(errno));
        PLUMB_TRY(plumb_text_append(out, part, (size_t)n));
        if (out->size > PLUMB_YAML_BYTES) break; /* the parser says that it is too much */
    }
    return PLUMB_OK;
}

plumb_status plumb_yaml_load(const char *path, plumb_settings *out)
{
    plumb_text bytes = {0};
    const char *name = NULL;
    int fd;
    int64_t size;
    PLUMB_TRY(plumb_open_file(path, &fd, &size));
    plumb_status s = read_file(path, fd, &bytes);
    close(fd);
    if (!s) s = plumb_arena_copy(&out->arena, &name, path, strlen(path));
    if (!s) s = plumb_yaml_parse(bytes.data ? bytes.data : "", bytes.size, name, out);
    plumb_text_free(&bytes);
    return s;
}
