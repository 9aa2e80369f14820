#include "cli/written_rows.h"

#include <inttypes.h>

#include "cli/meta.h"
#include "io/rows.h"
#include "study/row_key.h"

static plumb_status pass_data(const plumb_output *output, plumb_written_rows *w, const plumb_row_key *key, int64_t line)
{
    const plumb_row *data;
    bool found;
    for (;; w->between++) {
        PLUMB_TRY(plumb_pair_reader_pass(w->reader, &data, &found));
        if (found && data->index == key->index && data->hash == key->row) return PLUMB_OK;
        if (!found || !w->may_skip || data->index >= key->index) break;
    }
    const char *partial = plumb_output_partial(output);
    plumb_status s =
        found ? plumb_fail(PLUMB_E_INPUT, "%s:%" PRId64 ": was made from another row than row %" PRId64 " of %s",
                           partial, line, data->index, w->data)
              : plumb_fail(PLUMB_E_INPUT, "%s: has more rows than %s", partial, w->data);
    return plumb_cure(s, "the data changed; delete the partial file and begin again");
}

static plumb_status pass_row(const plumb_output *output, plumb_written_rows *w, const plumb_row *written)
{
    json_t *row = NULL;
    plumb_row_key key;
    plumb_status s = plumb_json_parse(written->bytes, written->size, false, NULL, &row);
    if (!s) s = plumb_row_key_read(row, "plumb", &key);
    if (s)
        s = plumb_context(s, "%s:%" PRId64, plumb_output_partial(output), written->line);
    else
        s = pass_data(output, w, &key, written->line);
    if (!s) s = w->add(w->user, row);
    json_decref(row);
    return s;
}

plumb_status plumb_pass_written(const plumb_output *output, plumb_written_rows *w)
{
    plumb_rows *rows;
    plumb_row written;
    bool found;
    PLUMB_TRY(plumb_rows_open(plumb_output_partial(output), 0, -1, &rows));
    plumb_status s = PLUMB_OK;
    while (!s && !(s = plumb_rows_next(rows, &written, &found)) && found) {
        s = plumb_check_interrupt(w->sink);
        if (!s) s = pass_row(output, w, &written);
        w->rows += !s;
    }
    plumb_rows_close(rows);
    if (!s) plumb_note(w->sink, "going on after %" PRId64 " rows", w->rows);
    return s;
}

plumb_status plumb_settle_time(json_t *meta, const plumb_output *output, bool resumed, int64_t *now)
{
    const char *partial = plumb_output_partial(output);
    if (resumed) PLUMB_TRY(plumb_meta_recorded(partial, "template_time", now));
    if (json_object_set_new(meta, "template_time", json_integer(*now))) return plumb_no_memory();
    return plumb_output_is_file(output) ? plumb_meta_write(meta, partial) : PLUMB_OK;
}
