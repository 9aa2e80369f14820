#include "text/tokenizer_same.h"

#include <jansson.h>
#include <string.h>

#include "io/json.h"
#include "text/tokenizer_internal.h"

/* Left out, null and false say the same. */
static bool is_nothing(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value);
}

static bool same_value(const json_t *a, const json_t *b);

/* Has b what a has? */
static bool holds_all(const json_t *b, const json_t *a)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)a, key, value) if (!same_value(value, json_object_get(b, key))) return false;
    return true;
}

static bool same_value(const json_t *a, const json_t *b)
{
    if (is_nothing(a) || is_nothing(b)) return is_nothing(a) && is_nothing(b);
    if (json_is_object(a) && json_is_object(b)) return holds_all(b, a) && holds_all(a, b);
    if (!json_is_array(a) || !json_is_array(b)) return json_equal(a, b);
    size_t n = json_array_size(a);
    bool same = n == json_array_size(b);
    for (size_t i = 0; i < n && same; i++) same = same_value(json_array_get(a, i), json_array_get(b, i));
    return same;
}

/* "a b" and ["a", "b"] are one merge. */
static bool same_merge(const json_t *a, const json_t *b)
{
    if (json_is_string(a) == json_is_string(b)) return json_equal(a, b);
    const json_t *pair = json_is_string(a) ? b : a;
    const char *text = json_string_value(json_is_string(a) ? a : b);
    const char *left = json_string_value(json_array_get(pair, 0)), *right = json_string_value(json_array_get(pair, 1));
    size_t n = left ? strlen(left) : 0;
    return left && right && strncmp(text, left, n) == 0 && text[n] == ' ' && strcmp(text + n + 1, right) == 0;
}

/* The first merge of a list; old files begin with a line "#version". */
static size_t first_merge(const json_t *merges)
{
    const char *first = json_string_value(json_array_get(merges, 0));
    return first && strncmp(first, "#version", 8) == 0;
}

static bool same_merges(const json_t *a, const json_t *b)
{
    size_t i = first_merge(a), k = first_merge(b), n = json_array_size(a), m = json_array_size(b);
    if (n - i != m - k) return false;
    while (i < n)
        if (!same_merge(json_array_get(a, i++), json_array_get(b, k++))) return false;
    return true;
}

/* The same entries by their ids, in any order. */
static bool same_added(const json_t *a, const json_t *b)
{
    if (json_array_size(a) != json_array_size(b)) return false;
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *entry = json_array_get(a, i);
        bool found = false;
        for (size_t k = 0; k < json_array_size(b) && !found; k++) /* mostly at the same place */
            found = same_value(entry, json_array_get(b, (i + k) % json_array_size(b)));
        if (!found) return false;
    }
    return true;
}

static const char *difference(const json_t *a, const json_t *b)
{
    static const char *const rest[] = {"type", "unk_token", "byte_fallback", "fuse_unk", "ignore_merges"};
    const json_t *m = json_object_get(a, "model"), *n = json_object_get(b, "model");
    if (!same_value(json_object_get(m, "vocab"), json_object_get(n, "vocab"))) return "vocabularies";
    if (!same_merges(json_object_get(m, "merges"), json_object_get(n, "merges"))) return "merges";
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        if (!same_value(json_object_get(m, rest[i]), json_object_get(n, rest[i]))) return rest[i];
    if (!same_added(json_object_get(a, "added_tokens"), json_object_get(b, "added_tokens"))) return "added tokens";
    if (!same_value(json_object_get(a, "normalizer"), json_object_get(b, "normalizer"))) return "normalizers";
    if (!same_value(json_object_get(a, "pre_tokenizer"), json_object_get(b, "pre_tokenizer"))) return "pre-tokenizers";
    return NULL;
}

static plumb_status load(const char *path, json_t **root)
{
    plumb_text file = {0};
    plumb_status s = plumb_tokenizer_file(path, &file);
    if (!s) s = plumb_json_load(file.data, PLUMB_TOKENIZER_BYTES, root);
    plumb_text_free(&file);
    return s;
}

plumb_status plumb_tokenizer_compare(const char *a, const char *b, const char **part)
{
    json_t *first = NULL, *second = NULL;
    *part = NULL;
    plumb_status s = load(a, &first);
    if (!s) s = load(b, &second);
    if (!s) *part = difference(first, second);
    json_decref(first);
    json_decref(second);
    return s;
}
