/* Rows: line ends, blank lines, ranges, gzip, and what damaged files say. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/memory.h"
#include "base/row_hash.h"
#include "io/row_walk.h"
#include "unit/scratch.h"

/* The rows of path as "index:line:bytes<line end>|...". */
static plumb_status describe(const char *path, int64_t begin, int64_t end, plumb_text *t)
{
    plumb_rows *rows = NULL;
    PLUMB_TRY(plumb_rows_open(path, begin, end, &rows));
    plumb_row row;
    bool found = false;
    plumb_status s = PLUMB_OK;
    while (!(s = plumb_rows_next(rows, &row, &found)) && found) {
        assert_int_equal(row.bytes[row.size], 0);
        assert_true(row.hash == XXH3_64bits(row.bytes, row.size));
        assert_ok(plumb_text_printf(t, "%d:%d:", (int)row.index, (int)row.line));
        assert_ok(plumb_text_append(t, row.bytes, row.size));
        assert_ok(plumb_text_string(t, strcmp(row.line_end, "\r\n") == 0 ? "<crlf>|"
                                       : *row.line_end                   ? "<lf>|"
                                                                         : "<>|"));
    }
    plumb_rows_close(rows);
    return s;
}

static void assert_rows(const char *path, int64_t begin, int64_t end, const char *expected)
{
    plumb_text t = {0};
    assert_ok(plumb_text_string(&t, ""));
    assert_ok(describe(path, begin, end, &t));
    assert_string_equal(t.data, expected);
    plumb_text_free(&t);
}

/* bytes as one gzip member into `to` (room for 1 MiB); returns its size. */
static size_t pack(const char *bytes, size_t n, unsigned char *to)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)bytes;
    z.avail_in = (uInt)n;
    z.next_out = to;
    z.avail_out = 1 << 20;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t size = z.total_out;
    deflateEnd(&z);
    return size;
}

static void line_ends_and_blank_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rows;
    } cases[] = {
        {"", ""},
        {"\n", ""},
        {" \t\r\n\n  ", ""},
        {"a", "0:1:a<>|"},
        {"a\n", "0:1:a<lf>|"},
        {"a\r\n", "0:1:a<crlf>|"},
        {"a\r", "0:1:a\r<>|"},
        {"a\rb\n", "0:1:a\rb<lf>|"},
        {"a\r\r\n", "0:1:a\r<crlf>|"},
        {"\n\na\n \nb", "0:3:a<lf>|1:5:b<>|"},
        {" a \n", "0:1: a <lf>|"},
        {"\xEF\xBB\xBF{}\n{}\n", "0:1:\xEF\xBB\xBF{}<lf>|1:2:{}<lf>|"},
        {"a\n\r\nb\r\nc", "0:1:a<lf>|1:3:b<crlf>|2:4:c<>|"},
        {"\xFF\xC0\n", "0:1:\xFF\xC0<lf>|"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_rows(scratch_file("ends.jsonl", cases[i].text, strlen(cases[i].text)), 0, -1, cases[i].rows);
}

static void ranges(void **state)
{
    (void)state;
    const char *path = scratch_file("range.jsonl", "a\n\nb\nc\nd", 8);
    assert_rows(path, 0, 2, "0:1:a<lf>|1:3:b<lf>|");
    assert_rows(path, 1, 3, "1:3:b<lf>|2:4:c<lf>|");
    assert_rows(path, 3, -1, "3:5:d<>|");
    assert_rows(path, 3, 100, "3:5:d<>|");
    assert_rows(path, 4, -1, "");
    assert_rows(path, 2, 2, "");
    assert_rows(path, 3, 1, "");
}

static void a_row_may_hold_zero_bytes(void **state)
{
    (void)state;
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = false;
    assert_ok(plumb_rows_open(scratch_file("zero.jsonl", "a\0b\nc\n", 6), 0, -1, &rows));
    assert_ok(plumb_rows_next(rows, &row, &found));
    assert_true(found);
    assert_int_equal(row.size, 3);
    assert_memory_equal(row.bytes, "a\0b", 4);
    plumb_rows_close(rows);
}

/* Rows of many lengths, some far longer than any buffer, come back byte for byte, plain and packed. */
static void long_rows_cross_buffers(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 100, 1 << 20, 3, (1 << 20) - 1, (1 << 20) + 1, 5 << 20, 2, 1 << 19};
    enum { COUNT = sizeof lengths / sizeof *lengths };
    size_t total = 0;
    for (int i = 0; i < COUNT; i++) total += lengths[i] + 1;
    char *text = malloc(total);
    assert_non_null(text);
    size_t at = 0;
    for (int i = 0; i < COUNT; i++) {
        memset(text + at, 'a' + i, lengths[i]);
        at += lengths[i];
        text[at++] = '\n';
    }
    unsigned char *packed = malloc(1 << 20);
    assert_non_null(packed);
    size_t packed_size = pack(text, total, packed);
    const char *paths[] = {scratch_file("long.jsonl", text, total), scratch_file("long.gz", packed, packed_size)};
    for (int p = 0; p < 2; p++) {
        plumb_rows *rows = NULL;
        plumb_row row;
        bool found = false;
        int64_t consumed = -1, size = -1;
        assert_ok(plumb_rows_open(paths[p], 0, -1, &rows));
        at = 0;
        for (int i = 0; i < COUNT; i++) {
            assert_ok(plumb_rows_next(rows, &row, &found));
            assert_true(found);
            assert_int_equal(row.size, lengths[i]);
            assert_memory_equal(row.bytes, text + at, row.size);
            at += row.size + 1;
            plumb_rows_position(rows, &consumed, &size);
            if (p == 0) assert_int_equal(consumed, at);
        }
        assert_ok(plumb_rows_next(rows, &row, &found));
        assert_false(found);
        plumb_rows_position(rows, &consumed, &size);
        assert_int_equal(consumed, size);
        assert_int_equal(size, p == 0 ? total : packed_size);
        assert_string_equal(plumb_rows_name(rows), paths[p]);
        plumb_rows_close(rows);
    }
    free(packed);
    free(text);
}

static void gzip_with_several_members(void **state)
{
    (void)state;
    unsigned char *packed = calloc(1, 1 << 22);
    assert_non_null(packed);
    size_t n = pack("a\nb", 3, packed);
    n += pack("", 0, packed + n);
    n += pack("c\r\n", 3, packed + n);
    assert_rows(scratch_file("members.jsonl.gz", packed, n), 0, -1, "0:1:a<lf>|1:2:bc<crlf>|");
    assert_rows(scratch_file("padded.gz", packed, n + 512), 0, -1, "0:1:a<lf>|1:2:bc<crlf>|");
    n = pack("", 0, packed);
    assert_rows(scratch_file("none.gz", packed, n), 0, -1, "");
    free(packed);
}

static void damaged_gzip(void **state)
{
    (void)state;
    unsigned char packed[4096] = {0}, *damage = malloc(1 << 20);
    assert_non_null(damage);
    size_t n = pack("{\"a\": 1}\n{\"a\": 2}\n", 18, damage);
    memcpy(packed, damage, n);
    plumb_text t = {0};
    for (size_t cut = 2; cut < n; cut++) { /* wherever it is cut */
        plumb_text_clear(&t);
        assert_says(describe(scratch_file("cut.gz", packed, cut), 0, -1, &t), PLUMB_E_INPUT, "they end too early");
    }
    assert_string_equal(t.data, "0:1:{\"a\": 1}<lf>|1:2:{\"a\": 2}<lf>|"); /* what is whole comes before the error */
    assert_says(describe(scratch_file("cut.gz", packed, n - 1), 0, -1, &t), PLUMB_E_INPUT, "cut.gz:3: ");
    assert_says(describe(scratch_file("cut.gz", packed, n - 1), 0, -1, &t), PLUMB_E_INPUT, "download or copy");
    packed[n] = 'x';
    assert_says(describe(scratch_file("tail.gz", packed, n + 1), 0, -1, &t), PLUMB_E_INPUT, "damaged");
    memcpy(damage, packed, n);
    damage[n - 6] ^= 1; /* the checksum */
    assert_says(describe(scratch_file("sum.gz", damage, n), 0, -1, &t), PLUMB_E_INPUT, "incorrect data check");
    memcpy(damage, packed, n);
    damage[2] = 9;
    assert_says(describe(scratch_file("method.gz", damage, n), 0, -1, &t), PLUMB_E_INPUT, "unknown compression method");
    plumb_text_free(&t);
    free(damage);
}

static void an_error_comes_again(void **state)
{
    (void)state;
    unsigned char *packed = malloc(1 << 20);
    assert_non_null(packed);
    size_t n = pack("a\n", 2, packed);
    plumb_rows *rows = NULL;
    plumb_row row;
    bool found = true;
    assert_ok(plumb_rows_open(scratch_file("again.gz", packed, n - 3), 0, -1, &rows));
    assert_ok(plumb_rows_next(rows, &row, &found));
    for (int i = 0; i < 3; i++) assert_says(plumb_rows_next(rows, &row, &found), PLUMB_E_INPUT, "end too early");
    assert_false(found);
    plumb_rows_close(rows);
    free(packed);
}

static void what_cannot_be_read(void **state)
{
    (void)state;
    plumb_text t = {0};
    assert_says(describe(scratch("missing.jsonl"), 0, -1, &t), PLUMB_E_INPUT, "No such file");
    assert_says(describe(scratch("missing.jsonl"), 0, -1, &t), PLUMB_E_INPUT, "check the path");
    assert_says(describe(PLUMB_TEST_DATA, 0, -1, &t), PLUMB_E_INPUT, "is a folder");
    if (geteuid() != 0) { /* root may read everything */
        const char *path = scratch_file("secret.jsonl", "{}\n", 3);
        chmod(path, 0);
        assert_says(describe(path, 0, -1, &t), PLUMB_E_INPUT, "read permission");
    }
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } others[] = {
        {"PAR1\x15\x04", 6, "is a Parquet file; expected JSONL"},
        {"\x28\xB5\x2F\xFD!", 5, "compressed with zstd"},
        {"\xFD"
         "7zXZ",
         5, "compressed with xz"},
        {"BZh9", 4, "compressed with bzip2"},
        {"PK\x03\x04", 4, "a zip archive"},
        {"\xFF\xFE{\0}\0", 6, "UTF-16"},
        {"version https://git-lfs.github.com/spec/v1", 42, "git lfs pull"},
        {"<!DOCTYPE html>", 15, "an HTML or XML page"},
        {"{\0\"\0a\0", 6, "iconv -f UTF-16LE"},
        {"\0{\0\"\0a", 6, "iconv -f UTF-16BE"},
        {"[{\"prompt\": \"a\"}]", 17, "a JSON array; expected JSONL, one JSON object a line"},
        {"\xEF\xBB\xBF[\r\n  {\r\n", 11, "jq -c '.[]' FILE"},
        {"{\n  \"prompt\"", 12, "JSON over several lines"},
        {"prompt,chosen,rejected\r\n\"a\",b,c\n", 33, "a CSV file"},
        {"\"prompt\",\"chosen\"\n", 18, "a CSV file"},
        {"prompt\tchosen\trejected\n", 23, "a TSV file"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_says(describe(scratch_file("other", others[i].bytes, others[i].n), 0, -1, &t), PLUMB_E_INPUT,
                    others[i].says);
    unsigned char *packed = malloc(1 << 20);
    assert_non_null(packed);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) { /* and what gzip has packed of it */
        size_t n = pack(others[i].bytes, others[i].n, packed);
        assert_says(describe(scratch_file("other.gz", packed, n), 0, -1, &t), PLUMB_E_INPUT, others[i].says);
    }
    free(packed);
    plumb_text_free(&t);
}

static void a_row_too_long(void **state)
{
    (void)state;
    plumb_text t = {0};
    const char *path = scratch_file("huge.jsonl", "a\n", 2);
    assert_int_equal(truncate(path, (off_t)300 << 20), 0); /* sparse: zero bytes without a line end */
    assert_says(describe(path, 0, -1, &t), PLUMB_E_INPUT, "huge.jsonl:2: the row is longer than 256 MiB");
    assert_string_equal(t.data, "0:1:a<lf>|");
    unlink(path);
    plumb_text_free(&t);
}

/* Standard input, from a pipe that delivers little at a time, and from a file. */
static void standard_input(void **state)
{
    (void)state;
    int ends[2], saved = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "a\nb\n\nc", 6), 6);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    assert_rows("-", 0, -1, "0:1:a<lf>|1:2:b<lf>|2:4:c<>|");
    int file = open(scratch_file("in.jsonl", "x\ny\n", 4), O_RDONLY);
    dup2(file, STDIN_FILENO);
    close(file);
    plumb_rows *rows = NULL;
    assert_ok(plumb_rows_open("-", 0, -1, &rows));
    int64_t consumed = 0, size = 0;
    plumb_rows_position(rows, &consumed, &size);
    assert_int_equal(consumed, 0);
    assert_int_equal(size, 4);
    assert_string_equal(plumb_rows_name(rows), "<stdin>");
    plumb_rows_close(rows);
    dup2(saved, STDIN_FILENO);
    close(saved);
}

/* ---- all rows, one after another ---- */

typedef struct walked {
    char seen[64];
    int64_t fails_at; /* a line; 0: none */
    bool stop;
} walked;

static plumb_status note_row(void *user, const plumb_row *row)
{
    walked *w = user;
    if (row->line == w->fails_at) return plumb_fail(PLUMB_E_INPUT, "no good");
    strncat(w->seen, row->bytes, sizeof w->seen - strlen(w->seen) - 1);
    return PLUMB_OK;
}

static bool wants_to_stop(void *user)
{
    return ((walked *)user)->stop;
}

static void walks(void **state)
{
    (void)state;
    walked w = {0};
    const plumb_sink sink = {.user = &w, .interrupted = wants_to_stop};
    plumb_row_walk walk = {.path = scratch_file("walk.jsonl", "a\n\nb\nc\n", 7),
                           .begin = 1,
                           .end = -1,
                           .none_cure = "write some",
                           .sink = &sink,
                           .use = note_row,
                           .user = &w};
    assert_ok(plumb_row_walk_all(&walk));
    assert_string_equal(w.seen, "bc");
    assert_int_equal(walk.rows, 2);
    assert_true(walk.hash == plumb_add_row_hash(plumb_add_row_hash(0, XXH3_64bits("b", 1)), XXH3_64bits("c", 1)));
    w.fails_at = 4;
    assert_says(plumb_row_walk_all(&walk), PLUMB_E_INPUT, "walk.jsonl:4: no good");
    assert_int_equal(walk.rows, 1);
    walk.begin = 3;
    assert_says(plumb_row_walk_all(&walk), PLUMB_E_INPUT, "walk.jsonl: there are no rows in it");
    assert_says(plumb_row_walk_all(&walk), PLUMB_E_INPUT, "write some");
    w.stop = true;
    assert_says(plumb_row_walk_all(&walk), PLUMB_E_INTERRUPTED, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks),
        cmocka_unit_test(line_ends_and_blank_lines),
        cmocka_unit_test(ranges),
        cmocka_unit_test(a_row_may_hold_zero_bytes),
        cmocka_unit_test(long_rows_cross_buffers),
        cmocka_unit_test(gzip_with_several_members),
        cmocka_unit_test(damaged_gzip),
        cmocka_unit_test(an_error_comes_again),
        cmocka_unit_test(what_cannot_be_read),
        cmocka_unit_test(a_row_too_long),
        cmocka_unit_test(standard_input),
    };
    return cmocka_run_group_tests(tests, NULL, remove_scratch);
}
