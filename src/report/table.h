/* The numbers behind a figure: typed columns and rows, written as CSV, JSON, Markdown and HTML. */
#ifndef PLUMB_REPORT_TABLE_H
#define PLUMB_REPORT_TABLE_H

#include <stdint.h>

#include "report/writer.h"

typedef enum plumb_column_kind {
    PLUMB_COLUMN_NUMBER,
    PLUMB_COLUMN_COUNT, /* a whole number */
    PLUMB_COLUMN_SHARE, /* 0..1, for people in percent */
    PLUMB_COLUMN_TEXT,  /* from the data: hostile */
    PLUMB_COLUMN_PAIR,  /* the number of a data row; in the page a button that opens the pair */
} plumb_column_kind;

typedef struct plumb_column {
    const char *name;  /* in CSV and JSON */
    const char *label; /* for people */
    plumb_column_kind kind;
} plumb_column;

enum { PLUMB_MOST_COLUMNS = 16 };

typedef struct plumb_cell {
    double number;
    size_t start, size; /* of a text, in `texts`, size SIZE_MAX: none; of a pair: start is its position */
} plumb_cell;

/* {0} is empty; the first failure is remembered in `texts`, as in a writer. */
typedef struct plumb_table {
    plumb_column columns[PLUMB_MOST_COLUMNS];
    int column_count;
    plumb_cell *cells; /* [rows][column_count] */
    size_t count, capacity;
    plumb_writer texts;
} plumb_table;

/* Strings are borrowed. Columns are all added before the first cell. */
void plumb_table_column(plumb_table *t, const char *name, const char *label, plumb_column_kind kind);
/* Cells fill rows from left to right. NaN and a NULL text are empty. */
void plumb_table_number(plumb_table *t, double value);
void plumb_table_text(plumb_table *t, const char *bytes, size_t n);
/* A pair: its number; its position in the report where it can be opened, else SIZE_MAX. */
void plumb_table_pair(plumb_table *t, int64_t index, size_t position);
void plumb_table_string(plumb_table *t, const char *string);
size_t plumb_table_rows(const plumb_table *t);
void plumb_table_free(plumb_table *t);

/* All rows: numbers with 9 significant digits, texts as they are (the writer's escapes). JSON is an array of objects.
 */
void plumb_table_csv(const plumb_table *t, plumb_writer *w);
void plumb_table_json(const plumb_table *t, plumb_writer *w);
/* The first `most` rows, numbers as people read them, texts cut after `most_text` bytes. */
void plumb_table_markdown(const plumb_table *t, size_t most, size_t most_text, plumb_writer *w);
void plumb_table_html(const plumb_table *t, const char *caption, size_t most, size_t most_text, plumb_writer *w);

#endif
