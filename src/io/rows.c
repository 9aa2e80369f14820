#include "io/rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zlib.h>

#include "base/memory.h"
#include "io/open_file.h"

enum { CHUNK = 1 << 20, PACKED = 1 << 17, MAX_ROW = 256 << 20, SNIFF = 8 };

struct plumb_rows {
    char *name;
    int fd;
    int64_t size;         /* of the file in bytes, -1 when unknown */
    int64_t begin, end;   /* rows to return; end < 0: all */
    int64_t index, lines; /* rows and lines passed so far */

    char *buffer; /* bytes[first..last) are decompressed and not yet returned; one byte of room stays behind them */
    size_t capacity, first, last;
    size_t seen;        /* bytes[first..seen) hold no line end */
    int64_t bytes_read; /* from fd */
    bool at_end;        /* no further bytes will come into the buffer */

    bool is_gzip, inflating; /* inflating: inside a member, so that the end of the file would be a truncation */
    z_stream z;
    unsigned char *packed; /* compressed bytes */
};

/* Formats that are offered in place of JSONL by mistake, by their first bytes. */
static const struct {
    const char *magic, *name, *cure;
} foreign[] = {
    {"PAR1", "a Parquet file",
     "convert it: python -c \"import datasets; datasets.Dataset.from_parquet('FILE')"
     ".to_json('FILE.jsonl')\""},
    {"ARROW1", "an Arrow file", "convert it with datasets: Dataset.from_file('FILE').to_json('FILE.jsonl')"},
    {"\x28\xB5\x2F\xFD", "compressed with zstd", "decompress it into a pipe: zstd -dc FILE | plumb ... -"},
    {"\xFD"
     "7zXZ",
     "compressed with xz", "decompress it into a pipe: xz -dc FILE | plumb ... -"},
    {"BZh", "compressed with bzip2", "decompress it into a pipe: bzip2 -dc FILE | plumb ... -"},
    {"PK\x03\x04", "a zip archive", "unpack it first"},
    {"version https://git-lfs", "a Git LFS pointer, not the data", "fetch the data: git lfs pull"},
    {"<", "an HTML or XML page", "download the data file itself"},
    {"\xFF\xFE", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE"},
    {"\xFE\xFF", "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8 FILE"},
};

static plumb_status refuse(const plumb_rows *r, const char *what, const char *cure)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: is %s; expected JSONL, one JSON object a line", r->name, what),
                      "%s", cure);
}

static size_t skip(const char *bytes, size_t at, size_t n, const char *what)
{
    while (at < n && bytes[at] && strchr(what, bytes[at])) at++;
    return at;
}

/* Is the line a list of two names or more, as on top of a CSV or TSV file? Quotes may stand around them. */
static bool is_header(const char *line, size_t n, char separator)
{
    size_t at = 0, names = 0;
    for (;; at++) {
        bool quoted = at < n && line[at] == '"';
        size_t begin = at += quoted;
        if (at < n && (line[at] == '_' || ((line[at] | 0x20) >= 'a' && (line[at] | 0x20) <= 'z')))
            at = skip(line, at, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
        if (at == begin || (quoted && (at == n || line[at++] != '"'))) return false;
        names++;
        if (at == n) return names > 1;
        if (line[at] != separator) return false;
    }
}

/* Text of another form, by its first line. */
static plumb_status refuse_text(const plumb_rows *r)
{
    const char *bytes = r->buffer;
    size_t n = r->last, begin = n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    if (n >= 4 && !bytes[0] != !bytes[1] && !bytes[0] == !bytes[2] && !bytes[1] == !bytes[3])
        return refuse(r, "UTF-16 text",
                      bytes[0] ? "convert it: iconv -f UTF-16LE -t UTF-8 FILE"
                               : "convert it: iconv -f UTF-16BE -t UTF-8 FILE");
    begin = skip(bytes, begin, n, " \t\r\n");
    size_t next = begin < n ? skip(bytes, begin + 1, n, " \t\r") : n;
    bool ends = next < n && bytes[next] == '\n';
    if (next < n && bytes[begin] == '[' && (ends || bytes[next] == '{'))
        return refuse(r, "a JSON array", "make one row a line of it: jq -c '.[]' FILE > FILE.jsonl");
    if (bytes[begin] == '{' && ends)
        return refuse(r, "JSON over several lines", "make one row a line of it: jq -c . FILE > FILE.jsonl");
    const char *newline = begin < n ? memchr(bytes + begin, '\n', n - begin) : NULL;
    if (!newline) return PLUMB_OK;
    size_t size = (size_t)(newline - bytes) - begin;
    if (size && newline[-1] == '\r') size--;
    if (is_header(bytes + begin, size, ','))
        return refuse(r, "a CSV file",
                      "convert it: python -c \"import pandas; pandas.read_csv('FILE').to_json('FILE.jsonl', "
                      "orient='records', lines=True)\"");
    if (is_header(bytes + begin, size, '\t'))
        return refuse(r, "a TSV file",
                      "convert it: python -c \"import pandas; pandas.read_csv('FILE', sep='\\t').to_json('FILE.jsonl', "
                      "orient='records', lines=True)\"");
    return PLUMB_OK;
}

static plumb_status refuse_foreign(const plumb_rows *r)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        size_t n = strlen(foreign[i].magic);
        if (r->last >= n && memcmp(r->buffer, foreign[i].magic, n) == 0)
            return plumb_cure(
                plumb_fail(PLUMB_E_INPUT, "%s: is %s; expected JSONL, plain or .gz", r->name, foreign[i].name), "%s",
                foreign[i].cure);
    }
    return r->last ? refuse_text(r) : PLUMB_OK;
}

/* The place of the line that is being read. */
static plumb_status at_line(const plumb_rows *r, plumb_status s)
{
    return plumb_context(s, "%s:%lld", r->name, (long long)r->lines + 1);
}

/* Up to `room` bytes of the file; *got is 0 only at its end. */
static plumb_status read_some(plumb_rows *r, void *to, size_t room, size_t *got)
{
    ssize_t n = read(r->fd, to, room);
    if (n < 0 && errno == EINTR) return plumb_fail(PLUMB_E_INTERRUPTED, "interrupted");
    if (n < 0) return at_line(r, plumb_fail(PLUMB_E_IO, "reading failed: %s", strerror(errno)));
    r->bytes_read += n;
    *got = (size_t)n;
    return PLUMB_OK;
}

static plumb_status damaged(const plumb_rows *r, const char *what)
{
    return plumb_cure(at_line(r, plumb_fail(PLUMB_E_INPUT, "the gzip data are damaged: %s", what)),
                      "download or copy the file again (gzip -t checks it)");
}

/* What inflate says, as a status. Z_BUF_ERROR only means that it wants more input. */
static plumb_status inflate_status(const plumb_rows *r, int code)
{
    if (code == Z_OK || code == Z_BUF_ERROR || code == Z_STREAM_END) return PLUMB_OK;
    if (code == Z_MEM_ERROR) return plumb_no_memory();
    return damaged(r, r->z.msg ? r->z.msg : "they need a preset dictionary");
}

/* Makes ready for a member of the gzip file; after the last one only padding with zero bytes may follow. */
static plumb_status start_member(plumb_rows *r)
{
    while (r->z.avail_in && !*r->z.next_in) {
        r->z.next_in++;
        r->z.avail_in--;
    }
    if (!r->z.avail_in) return PLUMB_OK;
    if (inflateReset(&r->z) != Z_OK) return plumb_fail(PLUMB_E_INTERNAL, "zlib cannot be reset");
    r->inflating = true;
    return PLUMB_OK;
}

static plumb_status fill_gzip(plumb_rows *r, size_t *got)
{
    for (*got = 0; !*got;) {
        if (!r->z.avail_in) {
            size_t n = 0;
            PLUMB_TRY(read_some(r, r->packed, PACKED, &n));
            if (!n) return r->inflating ? damaged(r, "they end too early") : PLUMB_OK;
            r->z.next_in = r->packed;
            r->z.avail_in = (uInt)n;
        }
        if (!r->inflating) PLUMB_TRY(start_member(r));
        if (!r->inflating) continue;
        size_t room = r->capacity - 1 - r->last;
        r->z.next_out = (unsigned char *)r->buffer + r->last;
        r->z.avail_out = (uInt)room;
        int code = inflate(&r->z, Z_NO_FLUSH);
        PLUMB_TRY(inflate_status(r, code));
        if (code == Z_STREAM_END) r->inflating = false;
        *got = room - r->z.avail_out;
    }
    return PLUMB_OK;
}

static plumb_status row_too_long(const plumb_rows *r)
{
    return plumb_cure(at_line(r, plumb_fail(PLUMB_E_INPUT, "the row is longer than 256 MiB")),
                      "JSONL holds one object on each line");
}

/* Makes room behind bytes[first..last): at the front, or by growing. */
static plumb_status make_room(plumb_rows *r)
{
    if (r->first) {
        memmove(r->buffer, r->buffer + r->first, r->last - r->first);
        r->last -= r->first;
        r->seen -= r->first;
        r->first = 0;
    }
    if (r->last > (size_t)MAX_ROW) return row_too_long(r);
    if (r->capacity - r->last > CHUNK / 2) return PLUMB_OK;
    return plumb_reserve(&r->buffer, &r->capacity, r->last + CHUNK, 1);
}

/* More bytes into the buffer, or at_end. */
static plumb_status fill(plumb_rows *r)
{
    size_t got = 0;
    PLUMB_TRY(make_room(r));
    PLUMB_TRY(r->is_gzip ? fill_gzip(r, &got) : read_some(r, r->buffer + r->last, r->capacity - 1 - r->last, &got));
    r->last += got;
    r->at_end = got == 0;
    return PLUMB_OK;
}

/* The first bytes have been read plainly; they turn out to be gzip. */
static plumb_status start_gzip(plumb_rows *r)
{
    PLUMB_TRY(plumb_new(&r->packed, PACKED > r->last ? PACKED : r->last, 1));
    memcpy(r->packed, r->buffer, r->last);
    r->z.next_in = r->packed;
    r->z.avail_in = (uInt)r->last;
    int code = inflateInit2(&r->z, MAX_WBITS + 16); /* + 16: gzip headers and checksums */
    if (code == Z_MEM_ERROR) return plumb_no_memory();
    if (code != Z_OK) return plumb_fail(PLUMB_E_INTERNAL, "zlib %s cannot be used", zlibVersion());
    r->last = 0;
    r->at_end = false;
    r->is_gzip = r->inflating = true;
    return PLUMB_OK;
}

const char *plumb_input_name(const char *path)
{
    return strcmp(path, "-") == 0 ? "<stdin>" : path;
}

static plumb_status open_source(plumb_rows *r, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    const char *name = plumb_input_name(path);
    PLUMB_TRY(plumb_new(&r->name, strlen(name) + 1, 1));
    memcpy(r->name, name, strlen(name));
    struct stat about;
    if (is_stdin) {
        r->fd = STDIN_FILENO;
        r->size = !fstat(r->fd, &about) && S_ISREG(about.st_mode) ? (int64_t)about.st_size : -1;
    } else {
        PLUMB_TRY(plumb_open_file(path, &r->fd, &r->size));
    }
    (void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint; pipes have no use for it */
    while (r->last < SNIFF && !r->at_end) PLUMB_TRY(fill(r));
    if (r->last >= 2 && memcmp(r->buffer, "\x1F\x8B", 2) == 0) {
        PLUMB_TRY(start_gzip(r));
        PLUMB_TRY(fill(r));
    }
    /* Text of another form shows in the first line, which a pipe may give in parts. No further: damage behind it shows
     * when the rows before have been read. */
    while (!r->at_end && r->last < PACKED && !memchr(r->buffer, '\n', r->last)) PLUMB_TRY(fill(r));
    return refuse_foreign(r);
}

plumb_status plumb_rows_open(const char *path, int64_t begin, int64_t end, plumb_rows **out)
{
    plumb_rows *r = NULL;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->fd = -1;
    r->begin = begin;
    r->end = end;
    plumb_status s = open_source(r, path);
    if (s) {
        plumb_rows_close(r);
        return s;
    }
    *out = r;
    return PLUMB_OK;
}

/* The next line: bytes[*begin..*begin + *size) without its end, which takes *end_size bytes. */
static plumb_status next_line(plumb_rows *r, size_t *size, size_t *end_size, bool *found)
{
    char *newline;
    while (!(newline = memchr(r->buffer + r->seen, '\n', r->last - r->seen))) {
        r->seen = r->last;
        if (r->at_end) break;
        PLUMB_TRY(fill(r));
    }
    const char *line = r->buffer + r->first;
    *size = newline ? (size_t)(newline - line) : r->last - r->first;
    *end_size = newline ? 1 : 0;
    if (newline && *size && newline[-1] == '\r') {
        --*size;
        *end_size = 2;
    }
    *found = newline || *size;
    return *size > (size_t)MAX_ROW ? row_too_long(r) : PLUMB_OK;
}

static bool is_blank(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != ' ' && (bytes[i] < '\t' || bytes[i] > '\r')) return false;
    return true;
}

static void take_line(plumb_rows *r, size_t bytes)
{
    r->first += bytes;
    r->seen = r->first;
    r->lines++;
}

plumb_status plumb_rows_next(plumb_rows *r, plumb_row *row, bool *found)
{
    static const char *const line_ends[] = {"", "\n", "\r\n"};
    *found = false;
    while (r->end < 0 || r->index < r->end) {
        size_t size = 0, end_size = 0;
        bool line_found = false;
        PLUMB_TRY(next_line(r, &size, &end_size, &line_found));
        if (!line_found) return PLUMB_OK;
        char *bytes = r->buffer + r->first;
        take_line(r, size + end_size);
        if (is_blank(bytes, size) || r->index++ < r->begin) continue;
        bytes[size] = 0; /* over the line end, or in the room behind the last byte */
        *row = (plumb_row){.index = r->index - 1,
                           .line = r->lines,
                           .bytes = bytes,
                           .size = size,
                           .line_end = line_ends[end_size],
                           .hash = XXH3_64bits(bytes, size)};
        *found = true;
        return PLUMB_OK;
    }
    return PLUMB_OK;
}

void plumb_rows_position(const plumb_rows *r, int64_t *consumed, int64_t *size)
{
    /* Decompressed bytes that wait in the buffer count as consumed: their place in the file is not known. */
    *consumed = r->bytes_read - (r->is_gzip ? (int64_t)r->z.avail_in : (int64_t)(r->last - r->first));
    *size = r->size;
}

double plumb_rows_expected(const plumb_rows *rows, int64_t begin, int64_t end, int64_t given)
{
    int64_t consumed, size;
    plumb_rows_position(rows, &consumed, &size);
    if (size <= 0 || consumed <= 0 || given == 0) return -1;
    double all = (double)(begin + given) * (double)size / (double)consumed;
    if (end >= 0 && all > (double)end) all = (double)end;
    all -= (double)begin;
    return all > (double)given ? all : (double)given;
}

const char *plumb_rows_name(const plumb_rows *r)
{
    return r->name;
}

void plumb_rows_close(plumb_rows *r)
{
    if (!r) return;
    if (r->is_gzip) inflateEnd(&r->z);
    if (r->fd >= 0 && r->fd != STDIN_FILENO) close(r->fd);
    free(r->packed);
    free(r->buffer);
    free(r->name);
    free(r);
}
