#include "cli/calibration.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/memory.h"
#include "io/json.h"
#include "io/output.h"

enum { MOST_BYTES = 64 << 10, DIGITS = 9 };

typedef struct kept {
    plumb_text key, folder, path; /* an empty path: nothing is kept */
} kept;

typedef enum use { USE_CACHED, USE_AGAIN, USE_OFF } use;

static plumb_status read_use(use *out)
{
    static const char *const words[] = {"", "again", "off"};
    const char *word = getenv("PLUMB_CALIBRATION");
    for (int i = 0; i < 3; i++)
        if (strcmp(word ? word : "", words[i]) == 0) {
            *out = (use)i;
            return PLUMB_OK;
        }
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "PLUMB_CALIBRATION (environment): \"%s\"; expected again or off", word),
                      "unset it to use what was measured before");
}

/* The folder of the XDG base directory specification, where relative paths do not count. */
static plumb_status find_folder(plumb_text *folder)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/') return plumb_path_join(folder, cache, "plumb");
    if (!home || *home != '/') return PLUMB_OK;
    plumb_text parent = {0};
    plumb_status s = plumb_path_join(&parent, home, ".cache");
    if (!s) s = plumb_path_join(folder, parent.data, "plumb");
    plumb_text_free(&parent);
    return s;
}

static plumb_status find_place(const plumb_compute *c, kept *k)
{
    char name[64];
    PLUMB_TRY(plumb_text_string(&k->key, "plumb " PLUMB_VERSION " "));
    PLUMB_TRY(plumb_compute_identity(c, &k->key));
    PLUMB_TRY(find_folder(&k->folder));
    if (!k->folder.size) return PLUMB_OK;
    snprintf(name, sizeof name, "calibration-%016" PRIx64 ".json", (uint64_t)XXH3_64bits(k->key.data, k->key.size));
    return plumb_path_join(&k->path, k->folder.data, name);
}

/* A number above 0, or 0 where nothing usable is kept. */
static double read_gain(const kept *k)
{
    json_t *j = NULL;
    plumb_status s = plumb_json_load(k->path.data, MOST_BYTES, &j);
    const char *made_for = s ? NULL : json_string_value(json_object_get(j, "for"));
    bool same = made_for && strcmp(made_for, k->key.data) == 0;
    double gain = same ? json_number_value(json_object_get(j, "bf16_dot_gain")) : 0;
    plumb_status_free(s);
    json_decref(j);
    return gain > 0 ? gain : 0;
}

/* Makes a folder and the one it lies in. Where that fails, so will writing. */
static void make_folder(const plumb_text *folder)
{
    plumb_text parent = {0};
    const char *slash = strrchr(folder->data, '/');
    plumb_status s = plumb_text_printf(&parent, "%.*s", (int)(slash - folder->data), folder->data);
    if (!s) (void)mkdir(parent.data, 0700);
    (void)mkdir(folder->data, 0700);
    plumb_status_free(s);
    plumb_text_free(&parent);
}

static void write_gain(const kept *k, double gain)
{
    plumb_text text = {0};
    make_folder(&k->folder);
    plumb_status s = plumb_text_string(&text, "{\"for\": ");
    if (!s) s = plumb_json_quote(&text, k->key.data, k->key.size);
    if (!s) s = plumb_text_string(&text, ", \"bf16_dot_gain\": ");
    if (!s) s = plumb_json_real(&text, gain, DIGITS);
    if (!s) s = plumb_text_string(&text, "}\n");
    if (!s) s = plumb_write_file(k->path.data, text.data, text.size);
    plumb_status_free(s);
    plumb_text_free(&text);
}

static plumb_status find_gain(const plumb_compute *c, use how, const kept *k, double *gain)
{
    *gain = how == USE_CACHED && k->path.size ? read_gain(k) : 0;
    if (*gain > 0) return PLUMB_OK;
    PLUMB_TRY(plumb_compute_calibrate(c, gain));
    if (how != USE_OFF && k->path.size) write_gain(k, *gain);
    return PLUMB_OK;
}

plumb_status plumb_calibrated_bf16(const plumb_compute *c, plumb_arithmetic *out)
{
    kept k = {0};
    use how = USE_CACHED;
    double gain = 0;
    PLUMB_TRY(read_use(&how));
    *out = PLUMB_BF16_ROUNDED;
    if (!plumb_compute_has_dot(c)) return PLUMB_OK;
    plumb_status s = find_place(c, &k);
    if (!s) s = find_gain(c, how, &k, &gain);
    if (gain > 1) *out = PLUMB_BF16_DOT;
    plumb_text_free(&k.key);
    plumb_text_free(&k.folder);
    plumb_text_free(&k.path);
    return s;
}
