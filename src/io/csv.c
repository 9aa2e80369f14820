#include "io/csv.h"

#include <stdbool.h>
#include <string.h>

static plumb_status put_quoted(plumb_text *t, const char *before, const char *bytes, size_t n)
{
    PLUMB_TRY(plumb_text_printf(t, "\"%s", before));
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '"') PLUMB_TRY(plumb_text_string(t, "\""));
        PLUMB_TRY(plumb_text_append(t, bytes + i, 1));
    }
    return plumb_text_string(t, "\"");
}

plumb_status plumb_csv_field(plumb_text *t, const char *bytes, size_t n)
{
    bool quote = false;
    for (size_t i = 0; i < n && !quote; i++) quote = bytes[i] && strchr("\",\r\n", bytes[i]);
    if (quote) return put_quoted(t, "", bytes, n);
    return n ? plumb_text_append(t, bytes, n) : PLUMB_OK;
}

plumb_status plumb_csv_text(plumb_text *t, const char *text)
{
    if (*text && strchr("=+-@", *text)) return put_quoted(t, "'", text, strlen(text));
    return plumb_csv_field(t, text, strlen(text));
}
