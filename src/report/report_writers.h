/* The three forms of a report (internal to src/report). */
#ifndef PLUMB_REPORT_REPORT_WRITERS_H
#define PLUMB_REPORT_REPORT_WRITERS_H

#include "report/figure.h"

void plumb_report_html(const plumb_report *r, plumb_writer *w);
void plumb_report_markdown(const plumb_report *r, plumb_writer *w);
void plumb_report_json(const plumb_report *r, plumb_writer *w);

/* What the report is about, as its title: the names of its runs, or of its first inputs. Not escaped. */
void plumb_report_title(const plumb_report *r, plumb_writer *w);

/* SHA-256 in hexadecimal to base64, as a content security policy has it. */
void plumb_put_base64_of_hex(plumb_writer *w, const char *hex);

#endif
