/* Fields of CSV (RFC 4180). */
#ifndef PLUMB_IO_CSV_H
#define PLUMB_IO_CSV_H

#include "base/memory.h"

/* Appends a field of n bytes, in quotation marks where it needs them; bytes may be NULL when n is 0. */
plumb_status plumb_csv_field(plumb_text *t, const char *bytes, size_t n) PLUMB_MUST_USE;

/* The same of a text that comes from outside, with an apostrophe in front where spreadsheets would take it for a
 * formula (= + - @). */
plumb_status plumb_csv_text(plumb_text *t, const char *text) PLUMB_MUST_USE;

#endif
