#include "train/reference_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "io/json.h"
#include "io/output.h"
#include "io/rows.h"

enum { DIGITS = 17 };

static const char *const names[5] = {"head/chosen", "tail/chosen", "head/rejected", "tail/rejected", "ln_ches"};

static void fields(plumb_example *x, double *ln_ches, double *out[5])
{
    double *list[5] = {&x->ref_head[0], &x->ref_tail[0], &x->ref_head[1], &x->ref_tail[1], ln_ches};
    memcpy(out, list, sizeof list);
}

static plumb_status path_of(const char *folder, plumb_text *path)
{
    return plumb_path_join(path, folder, "reference.jsonl");
}

/* One line into example i; false when it is not of this example. */
static bool take_line(const json_t *line, plumb_example *x, double *ln_ches)
{
    double *to[5];
    fields(x, ln_ches, to);
    if (json_integer_value(json_object_get(line, "index")) != x->index) return false;
    for (int k = 0; k < 5; k++) {
        const json_t *value = json_object_get(line, names[k]);
        if (!json_is_number(value)) return false;
        *to[k] = json_number_value(value);
    }
    return true;
}

/* Of all tokens of all examples, and where their prompts end: whatever decided them. */
static void tokens_hash(const plumb_examples *e, char out[17])
{
    uint64_t hash = 0;
    for (size_t i = 0; i < e->count; i++) {
        const plumb_example *x = &e->list[i];
        const int32_t sizes[3] = {x->totals[0], x->totals[1], x->prompt};
        hash = XXH3_64bits_withSeed(sizes, sizeof sizes, hash);
        for (int s = 0; s < x->sides; s++)
            hash = XXH3_64bits_withSeed(x->ids[s], (size_t)x->totals[s] * sizeof(int32_t), hash);
    }
    snprintf(out, 17, "%016" PRIx64, hash);
}

static bool is_text(const json_t *line, const char *name, const char *text)
{
    const char *was = json_string_value(json_object_get(line, name));
    return was && strcmp(was, text) == 0;
}

static bool is_key(const json_t *line, const char *key, const plumb_examples *e)
{
    char tokens[17];
    tokens_hash(e, tokens);
    return is_text(line, "key", key) && is_text(line, "tokens", tokens);
}

static plumb_status read_lines(plumb_rows *rows, const char *key, plumb_examples *e, double *ln_ches, bool *found)
{
    size_t next = 0;
    for (;;) {
        plumb_row row;
        json_t *line = NULL;
        bool more;
        PLUMB_TRY(plumb_rows_next(rows, &row, &more));
        if (!more) break;
        PLUMB_TRY(plumb_json_parse(row.bytes, row.size, false, NULL, &line));
        bool good =
            row.index == 0 ? is_key(line, key, e) : next < e->count && take_line(line, &e->list[next], &ln_ches[next]);
        json_decref(line);
        if (!good) return PLUMB_OK;
        next += row.index > 0;
    }
    *found = next == e->count;
    for (size_t i = 0; *found && i < e->count; i++) e->list[i].has_reference = true;
    return PLUMB_OK;
}

plumb_status plumb_reference_cache_read(const char *folder, const char *key, plumb_examples *e, double *ln_ches,
                                        bool *found)
{
    plumb_text path = {0};
    plumb_rows *rows = NULL;
    *found = false;
    plumb_status s = path_of(folder, &path);
    if (!s && plumb_path_exists(path.data)) {
        s = plumb_rows_open(path.data, 0, -1, &rows);
        if (!s) s = read_lines(rows, key, e, ln_ches, found);
        if (plumb_status_code(s) == PLUMB_E_INPUT) { /* a damaged cache is no cache */
            plumb_status_free(s);
            s = PLUMB_OK;
            *found = false;
        }
        plumb_rows_close(rows);
    }
    plumb_text_free(&path);
    return s;
}

static plumb_status put_line(plumb_text *t, const plumb_example *x, double ln_ches)
{
    plumb_example copy = *x;
    double *from[5];
    fields(&copy, &ln_ches, from);
    PLUMB_TRY(plumb_text_printf(t, "{\"index\":%" PRId64, x->index));
    for (int k = 0; k < 5; k++) {
        PLUMB_TRY(plumb_text_printf(t, ",\"%s\":", names[k]));
        PLUMB_TRY(plumb_json_real(t, *from[k], DIGITS));
    }
    return plumb_text_string(t, "}\n");
}

plumb_status plumb_reference_cache_write(const char *folder, const char *key, const plumb_examples *e,
                                         const double *ln_ches)
{
    plumb_text path = {0}, text = {0};
    char tokens[17];
    tokens_hash(e, tokens);
    plumb_status s = path_of(folder, &path);
    if (!s) s = plumb_text_string(&text, "{\"key\":");
    if (!s) s = plumb_json_quote(&text, key, strlen(key));
    if (!s) s = plumb_text_printf(&text, ",\"tokens\":\"%s\"}\n", tokens);
    for (size_t i = 0; i < e->count && !s; i++) s = put_line(&text, &e->list[i], ln_ches[i]);
    if (!s) s = plumb_write_file(path.data, text.data, text.size);
    plumb_text_free(&path);
    plumb_text_free(&text);
    return s;
}
