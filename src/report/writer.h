/* Text that is put together from many pieces, some of them hostile: data rows may hold anything.
 *
 * A writer remembers its first failure and takes nothing afterwards, so that a page of markup reads as markup and not
 * as error handling; plumb_writer_end tells in the end. {0} is empty. Each put_... function leaves its bytes plain text
 * in the language it is named after, whatever they are. Bytes that are not UTF-8 become U+FFFD. */
#ifndef PLUMB_REPORT_WRITER_H
#define PLUMB_REPORT_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

typedef struct plumb_writer {
    plumb_text text;
    plumb_status error; /* the first one; owned */
} plumb_writer;

void plumb_put_bytes(plumb_writer *w, const void *bytes, size_t n);
void plumb_put(plumb_writer *w, const char *string);
void plumb_putf(plumb_writer *w, const char *format, ...) PLUMB_PRINTF(2, 3);

/* Keeps the first failure of something else. Takes s over. */
void plumb_writer_keep(plumb_writer *w, plumb_status s);
/* How it went; the writer is without an error afterwards and keeps its text. */
plumb_status plumb_writer_end(plumb_writer *w) PLUMB_MUST_USE;
void plumb_writer_free(plumb_writer *w);

/* What a reader should see of any bytes: control characters become their pictures (U+2400...), characters that turn the
 * direction of text or are not seen at all become <U+202E> in angle marks, line ends and tabs stay. Cut after `most`
 * bytes of the result at a character, with an ellipsis and *cut set (cut may be NULL). */
void plumb_put_visible(plumb_writer *w, const char *bytes, size_t n, size_t most, bool *cut);

/* HTML and SVG text, and attribute values in double or single quotes; made visible as above. */
void plumb_put_html(plumb_writer *w, const char *bytes, size_t n);
void plumb_put_html_string(plumb_writer *w, const char *string);
/* A JSON string, quotes included. In the second form no byte can end a <script> element or start a comment in one. */
void plumb_put_json(plumb_writer *w, const char *bytes, size_t n);
void plumb_put_script_json(plumb_writer *w, const char *bytes, size_t n);
/* A quoted CSV field. One that a spreadsheet would take for a formula (= + - @, tab, return in front, full-width forms
 * too) gets an apostrophe in front. */
void plumb_put_csv(plumb_writer *w, const char *bytes, size_t n);
/* Text of a Markdown paragraph or table cell: line ends become spaces, made visible as above. */
void plumb_put_markdown(plumb_writer *w, const char *bytes, size_t n);
/* The part of a data: link after the comma (RFC 3986). */
void plumb_put_uri(plumb_writer *w, const char *bytes, size_t n);
/* One word of a shell command, in single quotes where it needs them. */
void plumb_put_shell(plumb_writer *w, const char *word);

/* A number for CSV and JSON: `digits` significant digits; what is not finite is `missing`. */
void plumb_put_number(plumb_writer *w, double value, int digits, const char *missing);

#endif
