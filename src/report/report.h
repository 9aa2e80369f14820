/* A report: what is known about the pairs of a preference file and about the runs on them, as a page, as Markdown or as
 * JSON.
 *
 *     plumb_report *r;
 *     plumb_report_new(&options, &r);
 *     for each input: plumb_report_add(r, path, sink);     recognised by content
 *     plumb_report_finish(r, sink);                        joined, texts read, figures computed
 *     plumb_report_write(r, PLUMB_REPORT_HTML, &text);
 *     plumb_report_free(r);
 *
 * Inputs: score, ledger, metrics, trace and judge rows (DESIGN: rows), the JSON of plumb explain and plumb identify,
 * preference data (for the texts), and run folders. They are joined by (index, row). */
#ifndef PLUMB_REPORT_REPORT_H
#define PLUMB_REPORT_REPORT_H

#include "align/preference.h"
#include "base/amount.h"
#include "base/sink.h"
#include "report/writer.h"

typedef struct plumb_report plumb_report;

typedef struct plumb_report_options {
    const plumb_amount *cuts; /* the filter's keep-lowest cuts that histograms show; borrowed */
    size_t cut_count;
    plumb_preference_keys keys; /* columns of preference data; strings borrowed */
    const char *command;        /* that makes this report, for the page; borrowed */
} plumb_report_options;

typedef enum plumb_report_format { PLUMB_REPORT_HTML, PLUMB_REPORT_MARKDOWN, PLUMB_REPORT_JSON } plumb_report_format;

plumb_status plumb_report_new(const plumb_report_options *options, plumb_report **out) PLUMB_MUST_USE;
void plumb_report_free(plumb_report *r); /* NULL is fine */

/* Reads one input; the path is borrowed until the end. *rows and *hash: how many rows it has and their hash as in the
 * run's record, for files of rows; else -1 and 0. PLUMB_E_INPUT with file:line: nothing that is known, malformed rows,
 * rows of other data than those before (the same index with another hash), two different scores of a pair. */
plumb_status plumb_report_add(plumb_report *r, const char *path, const plumb_sink *sink, int64_t *rows,
                              uint64_t *hash) PLUMB_MUST_USE;

/* After the last input. Texts come from the data files given, else from those that run.json and FILE.meta.json name, if
 * they are there and fit (a note says so where they do not). */
plumb_status plumb_report_finish(plumb_report *r, const plumb_sink *sink) PLUMB_MUST_USE;

plumb_status plumb_report_write(const plumb_report *r, plumb_report_format format, plumb_text *out) PLUMB_MUST_USE;

/* Figures drawn and left out, and the verdict in one line, for the command's summary. Valid as long as the report. */
size_t plumb_report_figures(const plumb_report *r, size_t *left_out);
const char *plumb_report_verdict(const plumb_report *r);

#endif
