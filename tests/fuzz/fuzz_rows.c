/* The input is a data file, plain or gzip. Rows must be the same in one run and in ranges, survive a copy, and what
 * parses as JSON must parse again after its strings have been quoted. */
#include <xxhash.h>

#include "base/memory.h"
#include "fuzz.h"
#include "io/json.h"
#include "io/rows.h"

static void check_quote(const char *bytes, size_t size)
{
    plumb_text quoted = {0};
    json_t *value = NULL;
    must(!plumb_json_quote(&quoted, bytes, size));
    must(!plumb_json_parse(quoted.data, quoted.size, true, "quoted", &value));
    json_decref(value);
    plumb_text_free(&quoted);
}

static void check_row(const plumb_row *row)
{
    json_t *value = NULL;
    must(row->bytes[row->size] == 0 && row->hash == XXH3_64bits(row->bytes, row->size));
    must(row->size && !memchr(row->bytes, '\n', row->size) && row->line > row->index);
    plumb_status s = plumb_json_parse(row->bytes, row->size, true, "row", &value);
    if (s) must(plumb_status_code(s) == PLUMB_E_INPUT);
    plumb_status_free(s);
    json_decref(value);
    check_quote(row->bytes, row->size);
}

/* The combined hash of rows [begin, end), and how many there are. */
static uint64_t read_range(const char *path, int64_t begin, int64_t end, int64_t *count)
{
    uint64_t hash = 0;
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    *count = 0;
    plumb_status s = plumb_rows_open(path, begin, end, &rows);
    while (!s && !(s = plumb_rows_next(rows, &row, &found)) && found) {
        must(row.index == begin + *count);
        check_row(&row);
        hash = hash * 0x9E3779B97F4A7C15u + row.hash + strlen(row.line_end);
        ++*count;
    }
    if (s) must(plumb_status_code(s) == PLUMB_E_INPUT && plumb_status_message(s)[0]);
    plumb_status_free(s);
    plumb_rows_close(rows);
    return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file f = fuzz_file_open(data, size);
    int64_t all = 0, head = 0, tail = 0;
    uint64_t whole = read_range(f.path, 0, -1, &all);
    uint64_t first = read_range(f.path, 0, all / 2, &head);
    uint64_t second = read_range(f.path, all / 2, -1, &tail);
    must(head == all / 2 && head + tail == all);
    for (int64_t i = 0; i < tail; i++) first *= 0x9E3779B97F4A7C15u;
    must(first + second == whole);
    fuzz_file_close(&f);
    return 0;
}
