/* Lines that tell how far a long job has come: pure formatting, given what the clock said. */
#ifndef PLUMB_BASE_PROGRESS_H
#define PLUMB_BASE_PROGRESS_H

#include <stddef.h>

typedef struct plumb_pace {
    const char *unit; /* "rows"; "bytes" are written as MB and GB */
    double done;      /* units done so far, those of an earlier run included */
    double total;     /* < 0: unknown */
    double first;     /* units done when the clock was started: a continued run starts in the middle */
    double elapsed;   /* seconds since then */
} plumb_pace;

/* "1,200 of 5,000 rows (24 %), 310/s, 0:12 left", without a line end. Rate and time left appear once they are known:
 * after half a second and the first unit. Cut to what fits; size > 0. */
void plumb_progress_line(const plumb_pace *p, char *out, size_t size);

/* The same behind a bar, exactly `columns` wide, padded with spaces so that it covers what stood there before:
 * "[#######>......] 1,200 of ...". A narrow terminal gets no bar, an unknown total neither. */
void plumb_progress_bar(const plumb_pace *p, int columns, char *out, size_t size);

/* 7 -> "0:07", 187 -> "3:07", 3723 -> "1:02:03", 200000 -> "2 d 7:33". Rounded to seconds. */
void plumb_format_duration(double seconds, char *out, size_t size);

/* 1234567 -> "1,234,567"; rounded to a whole number. */
void plumb_format_count(double count, char *out, size_t size);

/* 1234567 -> "1.2 MB": decimal units, two or three digits. */
void plumb_format_bytes(double bytes, char *out, size_t size);

#endif
