/* Outputs and what lies beside them. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/meta.h"
#include "cli/output_names.h"

static bool can_resume(const plumb_cli *cli)
{
    return plumb_cli_has_option(cli, "resume") && !cli->begins_anew;
}

static bool is_empty(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && about.st_size == 0;
}

static plumb_status refuse_gzip(const char *path)
{
    size_t n = path ? strlen(path) : 0;
    if (n < 3 || strcmp(path + n - 3, ".gz") != 0) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: output is not compressed", path),
                      "leave out -o and write: plumb ... | gzip > %s", path);
}

/* The record of a partial output: compared when it is continued, else written. */
static plumb_status begin_record(plumb_cli *cli, const json_t *meta, const char *partial, bool *resumed)
{
    *resumed = cli->common->resume && !is_empty(partial);
    if (*resumed) return plumb_meta_compare(meta, partial);
    if (cli->common->resume)
        plumb_note(&cli->sink, "there is no %s to go on with; starting from the beginning", partial);
    return plumb_meta_write(meta, partial);
}

/* Says that an earlier run's work goes; the name is close enough for that (a link may lead elsewhere). */
static void mention_overwriting(plumb_cli *cli, const char *path)
{
    plumb_text partial = {0};
    plumb_status s = plumb_text_printf(&partial, "%s.partial", path);
    if (!s && plumb_path_exists(partial.data) && !is_empty(partial.data))
        plumb_note(&cli->sink, "%s, left by an interrupted run, is written anew; --resume would have gone on with it",
                   partial.data);
    plumb_status_free(s);
    plumb_text_free(&partial);
}

/* Records are overwritten, other files of their names are not. */
static plumb_status check_records(const char *output)
{
    plumb_text names[PLUMB_OUTPUT_NAMES] = {0};
    plumb_status s = plumb_cli_output_names(output, names);
    for (int i = 0; i < PLUMB_OUTPUT_NAMES && !s && names[i].size; i++) {
        if (i != PLUMB_NAME_RECORD && i != PLUMB_NAME_PARTIAL_RECORD) continue;
        if (!plumb_path_exists(names[i].data) || plumb_meta_is_record(names[i].data)) continue;
        s = plumb_cure(plumb_fail(PLUMB_E_OUTPUT, "%s: is in the way and not a record that plumb wrote", names[i].data),
                       "move it away, or choose another output");
    }
    plumb_cli_free_names(names);
    return s;
}

plumb_status plumb_cli_open_output(plumb_cli *cli, const json_t *meta, plumb_output **out, bool *resumed)
{
    const char *path = cli->common->output;
    plumb_output *o = NULL;
    *resumed = false;
    PLUMB_TRY(refuse_gzip(path));
    if (path) PLUMB_TRY(check_records(path));
    if (path && !cli->common->resume && can_resume(cli)) mention_overwriting(cli, path);
    PLUMB_TRY(plumb_output_open(path, cli->common->resume, &o));
    plumb_output_watch(o, &cli->sink);
    plumb_status s = PLUMB_OK;
    if (plumb_output_is_file(o))
        s = begin_record(cli, meta, plumb_output_partial(o), resumed);
    else if (cli->common->resume)
        s = plumb_cure(plumb_fail(PLUMB_E_INPUT, "--resume: there is no partial file to go on with"),
                       "it needs -o FILE, the same as in the interrupted run");
    if (s) {
        plumb_output_close(o, *resumed);
        return s;
    }
    *out = o;
    return PLUMB_OK;
}

/* The partial file stays, or goes together with its record. */
static plumb_status leave_partial(plumb_cli *cli, plumb_output *output, bool keep, plumb_status s)
{
    char *partial = strdup(plumb_output_partial(output));
    bool is_file = plumb_output_is_file(output);
    plumb_output_close(output, keep);
    if (is_file && keep && partial && is_empty(partial)) { /* nothing to go on with */
        unlink(partial);
        keep = false;
    }
    if (!is_file) {
        free(partial);
        return plumb_status_code(s) == PLUMB_E_INTERRUPTED && can_resume(cli)
                   ? plumb_cure(s, "with -o FILE an interrupted run can be continued")
                   : s;
    }
    if (!keep && partial) plumb_meta_remove(partial);
    if (keep) {
        plumb_cli_left_partial(cli, partial);
        return s;
    }
    free(partial);
    return s;
}

plumb_status plumb_cli_close_output(plumb_cli *cli, const json_t *meta, plumb_output *output, bool keep_on_input_error,
                                    plumb_status s)
{
    if (s) {
        bool keep = can_resume(cli) && (plumb_status_code(s) != PLUMB_E_INPUT || keep_on_input_error);
        return leave_partial(cli, output, keep, s);
    }
    bool is_file = plumb_output_is_file(output);
    char *partial = strdup(plumb_output_partial(output));
    if (!partial) {
        plumb_output_close(output, true);
        return plumb_no_memory();
    }
    s = plumb_output_commit(output);
    if (!s && is_file) {
        plumb_meta_remove(partial);
        partial[strlen(partial) - strlen(".partial")] = 0;
        s = plumb_meta_write(meta, partial);
    }
    free(partial);
    return s;
}
