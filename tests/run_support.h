/* For tests of plumb_run: a folder for each run, what it leaves there, and options that every run must have. */
#ifndef PLUMB_TESTS_RUN_SUPPORT_H
#define PLUMB_TESTS_RUN_SUPPORT_H

#include "support.h"
#include "unit/scratch.h"

#include "train/run.h"

/* FOLDER/NAME in one of eight rotating buffers. */
static inline const char *in_folder(const char *folder, const char *name)
{
    static char paths[8][1024];
    static int turn;
    char path[sizeof paths[0]], *out = paths[turn++ % 8];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    memcpy(out, path, sizeof path);
    return out;
}

/* A scratch path where nothing is; the same name gives the same string, which stays. */
static inline const char *new_folder(const char *name)
{
    static char *paths[32]; /* reachable until the end */
    char command[1100];
    const char *path = scratch(name);
    int at = 0;
    while (paths[at] && strcmp(paths[at], path) != 0) at++;
    assert_true(at < 32);
    if (!paths[at]) paths[at] = strdup(path);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command)) fail_msg("%s cannot be removed", path);
    return paths[at];
}

static inline bool is_there(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* All bytes of a file, freed by the caller. */
static inline char *read_bytes(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s cannot be opened", path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, f), *size);
    fclose(f);
    return bytes;
}

/* Both folders hold this file, with the same bytes. */
static inline void check_same_file(const char *a, const char *b, const char *name, const char *what)
{
    size_t sizes[2];
    char *bytes[2] = {read_bytes(in_folder(a, name), &sizes[0]), read_bytes(in_folder(b, name), &sizes[1])};
    if (sizes[0] != sizes[1] || memcmp(bytes[0], bytes[1], sizes[0]) != 0) fail_msg("%s: %s differs", what, name);
    free(bytes[0]);
    free(bytes[1]);
}

static inline double real_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) fail_msg("a row has no number %s", key);
    return json_number_value(value);
}

/* AdamW, constant rate, one batch a step, every step logged, no checkpoints, the ledger at start, epochs and end. */
static inline plumb_run_options run_defaults(const char *folder, const char *model, const plumb_objective *objective)
{
    plumb_run_options o = {.folder = folder,
                           .model = model,
                           .dtype = PLUMB_F32,
                           .trainer = {.objective = objective, .max_grad_norm = 1, .keep_activations = true},
                           .order = {.batch = 4, .accumulation = 1, .epochs = 1},
                           .pace = {.lr_scheduler_type = "constant", .learning_rate = 1e-3, .logging_steps = 1}};
    check_ok(plumb_optimizer_make("adamw_torch", NULL, &o.trainer.optimizer));
    return o;
}

#endif
