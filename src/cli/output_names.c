#include "cli/output_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/meta.h"

plumb_status plumb_cli_output_names(const char *output, plumb_text names[PLUMB_OUTPUT_NAMES])
{
    static const char *const ends[PLUMB_OUTPUT_NAMES] = {"", ".partial", ".meta.json", ".partial.meta.json"};
    plumb_text path = {0};
    plumb_status s = plumb_output_target(output, &path);
    for (int i = 0; i < PLUMB_OUTPUT_NAMES && !s && path.size; i++)
        s = plumb_text_printf(&names[i], "%s%s", path.data, ends[i]);
    plumb_text_free(&path);
    return s;
}

void plumb_cli_free_names(plumb_text names[PLUMB_OUTPUT_NAMES])
{
    for (int i = 0; i < PLUMB_OUTPUT_NAMES; i++) plumb_text_free(&names[i]);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

plumb_status plumb_cli_distinct(const char *output, const char *input)
{
    struct stat a, b;
    plumb_text names[PLUMB_OUTPUT_NAMES] = {0};
    if (!output) return PLUMB_OK;
    if (strcmp(input, "-") == 0 ? fstat(STDIN_FILENO, &b) : stat(input, &b)) return PLUMB_OK;
    if (strcmp(output, "-") == 0) { /* plumb ... FILE >> FILE would never end */
        bool same = fstat(STDOUT_FILENO, &a) == 0 && S_ISREG(a.st_mode) && same_file(&a, &b);
        return same ? plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "<stdout>: goes into %s, which is an input", input),
                                 "send the output to another file")
                    : PLUMB_OK;
    }
    plumb_status s = plumb_cli_output_names(output, names);
    for (int i = 0; i < PLUMB_OUTPUT_NAMES && !s && names[i].size; i++) {
        if (stat(names[i].data, &a) || !same_file(&a, &b)) continue;
        s = i == PLUMB_NAME_FILE
                ? plumb_fail(PLUMB_E_OUTPUT, "%s: is also an input", output)
                : plumb_fail(PLUMB_E_OUTPUT, "%s: is an input, and -o %s would write over it", names[i].data, output);
        s = plumb_cure(s, "give the output another name");
    }
    plumb_cli_free_names(names);
    return s;
}

/* Does the file lie in the folder (given by its real path), or below it? */
static bool lies_in(const char *path, const char *folder)
{
    char *name = strdup(path), *slash = name ? strrchr(name, '/') : NULL;
    if (slash) slash[slash == name] = 0;
    char *own = name ? realpath(slash ? name : ".", NULL) : NULL;
    size_t n = strlen(folder);
    bool inside = own && strncmp(own, folder, n) == 0 && (!own[n] || own[n] == '/');
    free(own);
    free(name);
    return inside;
}

/* What an earlier run of plumb left there may be replaced. */
static bool is_own(const plumb_text names[PLUMB_OUTPUT_NAMES], int which)
{
    int record = which == PLUMB_NAME_FILE ? PLUMB_NAME_RECORD : PLUMB_NAME_PARTIAL_RECORD;
    return plumb_meta_is_record(names[record].data);
}

plumb_status plumb_cli_spares_model(const char *output, const char *model)
{
    plumb_text names[PLUMB_OUTPUT_NAMES] = {0};
    char *folder = output ? realpath(model, NULL) : NULL;
    if (!folder) return PLUMB_OK;
    plumb_status s = plumb_cli_output_names(output, names);
    bool inside = !s && names[0].size && (lies_in(output, folder) || lies_in(names[0].data, folder));
    for (int i = 0; i <= PLUMB_NAME_PARTIAL && inside && !s; i++) {
        if (!plumb_path_exists(names[i].data) || is_own(names, i)) continue;
        s = plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: is a file of the model", names[i].data),
                       "give the output another name, outside the model's folder");
    }
    plumb_cli_free_names(names);
    free(folder);
    return s;
}

plumb_status plumb_cli_check_output(const plumb_cli *cli, const char *model, const char *const *inputs, size_t count)
{
    const char *output = cli->common->output;
    if (!output) return PLUMB_OK;
    if (cli->common->dry_run) PLUMB_TRY(plumb_output_check(output));
    if (model) PLUMB_TRY(plumb_cli_spares_model(output, model));
    for (size_t i = 0; i < count; i++)
        if (inputs[i]) PLUMB_TRY(plumb_cli_distinct(output, inputs[i]));
    return PLUMB_OK;
}
