#include "study/categories.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "io/row_walk.h"

enum { MOST = 10000 };

struct plumb_categories {
    uint64_t *hashes;   /* [rows] */
    size_t *numbers;    /* [rows] */
    const char **names; /* [count] in the arena */
    size_t rows, hash_room, number_room, count, name_room;
    plumb_arena arena;
};

void plumb_categories_free(plumb_categories *c)
{
    if (!c) return;
    free(c->hashes);
    free(c->numbers);
    free(c->names);
    plumb_arena_free(&c->arena);
    free(c);
}

static plumb_status number_of(plumb_categories *c, const char *name, size_t n, size_t *out)
{
    for (*out = 0; *out < c->count; ++*out)
        if (strlen(c->names[*out]) == n && memcmp(c->names[*out], name, n) == 0) return PLUMB_OK;
    if (c->count == MOST)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "there are more than %d categories", MOST),
                          "choose a column with few different values");
    PLUMB_TRY(plumb_reserve(&c->names, &c->name_room, c->count + 1, sizeof *c->names));
    PLUMB_TRY(plumb_arena_copy(&c->arena, &c->names[c->count], name, n));
    c->count++;
    return PLUMB_OK;
}

static plumb_status no_column(const json_t *row, const char *column)
{
    const char **names = NULL, *key;
    size_t count = 0;
    json_t *value;
    PLUMB_TRY(plumb_new(&names, json_object_size(row), sizeof *names));
    json_object_foreach((json_t *)row, key, value) names[count++] = key;
    const char *near = plumb_nearest(column, names, count);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "there is no column \"%s\"", column);
    s = near ? plumb_cure(s, "did you mean --category %s?", near)
             : plumb_cure(s, "choose a column that every row of the prompts has");
    free(names);
    return s;
}

static plumb_status category_of(plumb_categories *c, const json_t *row, const char *column, size_t *out)
{
    if (!json_is_object(row))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(row));
    const json_t *value = json_object_get(row, column);
    if (!value) return no_column(row, column);
    if (json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
        return number_of(c, "none", strlen("none"), out);
    if (json_is_string(value)) return number_of(c, json_string_value(value), json_string_length(value), out);
    char text[32] = "";
    if (json_is_integer(value)) snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    if (json_is_real(value)) snprintf(text, sizeof text, "%.9g", json_real_value(value));
    if (json_is_boolean(value)) snprintf(text, sizeof text, "%s", json_is_true(value) ? "true" : "false");
    if (*text) return number_of(c, text, strlen(text), out);
    return plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a string or a number", column, plumb_json_kind(value));
}

typedef struct reading {
    plumb_categories *c;
    const char *column;
} reading;

static plumb_status add_row(void *user, const plumb_row *row)
{
    const reading *r = user;
    plumb_categories *c = r->c;
    json_t *object = NULL;
    PLUMB_TRY(plumb_reserve(&c->hashes, &c->hash_room, c->rows + 1, sizeof *c->hashes));
    PLUMB_TRY(plumb_reserve(&c->numbers, &c->number_room, c->rows + 1, sizeof *c->numbers));
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, false, "", &object));
    plumb_status s = category_of(c, object, r->column, &c->numbers[c->rows]);
    json_decref(object);
    c->hashes[c->rows++] = row->hash;
    return s;
}

plumb_status plumb_categories_load(const char *path, const char *key, const plumb_sink *sink, plumb_categories **out,
                                   int64_t *rows, uint64_t *hash)
{
    plumb_categories *c;
    PLUMB_TRY(plumb_new(&c, 1, sizeof *c));
    reading r = {c, key};
    plumb_row_walk walk = {.path = path, .end = -1, .sink = sink, .use = add_row, .user = &r};
    plumb_status s = plumb_row_walk_all(&walk);
    *rows = walk.rows;
    *hash = walk.hash;
    if (s)
        plumb_categories_free(c);
    else
        *out = c;
    return s;
}

plumb_status plumb_categories_find(const plumb_categories *c, const plumb_row_key *key, size_t *out)
{
    const char *cure = "give the very file that the responses were made from";
    if ((size_t)key->index >= c->rows)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " is not in the prompts, which have %zu rows",
                                     key->index, c->rows),
                          "%s", cure);
    if (c->hashes[key->index] != key->row)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "row %" PRId64 " is another one in the prompts (its hash is %016" PRIx64
                                     " there, not %016" PRIx64 ")",
                                     key->index, c->hashes[key->index], key->row),
                          "%s", cure);
    *out = c->numbers[key->index];
    return PLUMB_OK;
}

size_t plumb_categories_count(const plumb_categories *c)
{
    return c->count;
}

const char *plumb_categories_name(const plumb_categories *c, size_t number)
{
    return c->names[number];
}
