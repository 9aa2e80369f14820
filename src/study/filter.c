#include "study/filter.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/random.h"
#include "base/row_hash.h"
#include "io/json.h"
#include "io/row_walk.h"
#include "study/row_key.h"

enum { MOST_DIGITS = 18, PROGRESS_EVERY = 4096 };

/* ---- ranks ---- */

plumb_status plumb_slice_parse(const char *text, plumb_filter_choice *out)
{
    const char *colon = strchr(text, ':'), *end = text;
    char quantile[64], *after = NULL;
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool good = colon && n > 0 && n < sizeof quantile - 1 && isdigit((unsigned char)colon[1]);
    plumb_filter_choice choice = {.rule = PLUMB_SLICE};
    if (good) {
        memcpy(quantile, text, n);
        quantile[n] = 0;
        if (quantile[n - 1] == '%') quantile[n - 1] = 0; /* 50%:500 is as clear as 50:500 */
        good = isdigit((unsigned char)*quantile) && plumb_amount_decimal(quantile, &end, &choice.amount) && !*end;
        choice.count = strtoll(colon + 1, &after, 10);
        good = good && !*after && choice.count >= 1 && choice.count < INT64_MAX;
    }
    choice.amount.is_percent = true;
    if (good && choice.amount.digits > 100 * plumb_power_of_ten(choice.amount.places)) good = false;
    if (!good)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is not a slice", text),
                          "write Q:K, K rows around the quantile at Q percent (0..100), like 50:512");
    *out = choice;
    return PLUMB_OK;
}

static plumb_status slice_ranks(const plumb_filter_choice *choice, int64_t n, int64_t *first, int64_t *last)
{
    if (choice->count > n)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "a slice of %" PRId64 " rows: only %" PRId64 " rows are scored",
                                     choice->count, n),
                          "ask for at most %" PRId64 " rows", n);
    int64_t start = plumb_amount_rank(&choice->amount, n) - choice->count / 2;
    if (start < 0) start = 0;
    if (start > n - choice->count) start = n - choice->count;
    *first = start;
    *last = start + choice->count;
    return PLUMB_OK;
}

plumb_status plumb_filter_ranks(const plumb_filter_choice *choice, int64_t n, int64_t *first, int64_t *last)
{
    *first = 0;
    switch (choice->rule) {
    case PLUMB_KEEP_LOWEST:
    case PLUMB_RANDOM:
        *last = plumb_amount_count(&choice->amount, n, true);
        return PLUMB_OK;
    case PLUMB_DROP_TOP:
        *last = n - plumb_amount_count(&choice->amount, n, false);
        return PLUMB_OK;
    case PLUMB_SLICE:
        return slice_ranks(choice, n, first, last);
    case PLUMB_BELOW:
        break;
    }
    return plumb_fail(PLUMB_E_INTERNAL, "this rule of plumb filter has no ranks");
}

/* ---- scores by row number ---- */

/* A score as an unsigned key of the same order, so that two values below all numbers are left for the other states. */
enum { MISSING = 0, SKIPPED = 1 };

static uint64_t key_of(double score)
{
    uint64_t bits;
    score += 0.0; /* -0 equals 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static double score_of(uint64_t key)
{
    uint64_t bits = key >> 63 ? key & ~((uint64_t)1 << 63) : ~key;
    double score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

/* 12 bytes a row. Blocks come as they are needed, zeroed, so that shards may be read in any order. Of the row's hash
 * half is kept: that another row slips through has a chance of 1 in 4 billion. */
enum { BLOCK_BITS = 16, BLOCK = 1 << BLOCK_BITS, DIGITS = 1 << 16 };
static const int64_t most_rows = (int64_t)1 << 40;

typedef struct block {
    uint64_t keys[BLOCK];
    uint32_t checks[BLOCK];
} block;

struct plumb_scores {
    char *by;
    size_t by_size;
    int64_t begin, end;
    block **blocks;
    size_t block_count, capacity;
    int64_t scored, skipped;
    int64_t lowest, highest; /* row numbers, relative to begin, of what is there; highest < 0: nothing */
};

plumb_status plumb_scores_new(const char *by, int64_t begin, int64_t end, plumb_scores **out)
{
    plumb_scores *s = NULL;
    PLUMB_TRY(plumb_new(&s, 1, sizeof *s));
    s->by = strdup(by);
    if (!s->by) {
        free(s);
        return plumb_no_memory();
    }
    s->by_size = strlen(by);
    s->begin = begin;
    s->end = end;
    s->lowest = INT64_MAX;
    s->highest = -1;
    *out = s;
    return PLUMB_OK;
}

void plumb_scores_free(plumb_scores *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->block_count; i++) free(s->blocks[i]);
    free(s->blocks);
    free(s->by);
    free(s);
}

static const block *block_at(const plumb_scores *s, int64_t row)
{
    size_t number = (size_t)row >> BLOCK_BITS;
    return number < s->block_count ? s->blocks[number] : NULL;
}

/* The key of a row, counted from begin. */
static uint64_t key_at(const plumb_scores *s, int64_t row)
{
    const block *b = block_at(s, row);
    return b ? b->keys[row & (BLOCK - 1)] : MISSING;
}

static plumb_status make_block(plumb_scores *s, size_t number)
{
    if (number >= s->block_count) {
        PLUMB_TRY(plumb_reserve(&s->blocks, &s->capacity, number + 1, sizeof(block *)));
        memset(s->blocks + s->block_count, 0, (number + 1 - s->block_count) * sizeof(block *));
        s->block_count = number + 1;
    }
    return s->blocks[number] ? PLUMB_OK : plumb_new(&s->blocks[number], 1, sizeof(block));
}

/* What a score row says. */
typedef struct score_row {
    int64_t index;
    uint64_t hash;
    bool is_skipped;
    double score;
} score_row;

static plumb_status conflict(const score_row *row, uint64_t before, uint64_t now, bool same_row)
{
    if (!same_row)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "row %" PRId64 " has two scores, and for different contents (\"row\")",
                                     row->index),
                          "these scores were not made from the same data file");
    char text[2][32];
    for (int i = 0; i < 2; i++) {
        uint64_t key = i ? now : before;
        snprintf(text[i], sizeof text[i], key == SKIPPED ? "skipped" : "%.9g", score_of(key));
    }
    return plumb_cure(
        plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " has two different scores, %s and %s", row->index, text[0], text[1]),
        "score files of one run only: same model, same options");
}

static plumb_status add_score(plumb_scores *s, const score_row *row)
{
    int64_t at = row->index - s->begin;
    if (at < 0 || (s->end >= 0 && row->index >= s->end)) return PLUMB_OK;
    if (at >= most_rows) return plumb_fail(PLUMB_E_INPUT, "\"index\" is %" PRId64 ", too large", row->index);
    PLUMB_TRY(make_block(s, (size_t)at >> BLOCK_BITS));
    block *b = s->blocks[at >> BLOCK_BITS];
    uint64_t *key = &b->keys[at & (BLOCK - 1)], now = row->is_skipped ? (uint64_t)SKIPPED : key_of(row->score);
    uint32_t *check = &b->checks[at & (BLOCK - 1)];
    if (*key != MISSING) {
        bool same_row = *check == (uint32_t)row->hash;
        return same_row && *key == now ? PLUMB_OK : conflict(row, *key, now, same_row);
    }
    *key = now;
    *check = (uint32_t)row->hash;
    s->scored += !row->is_skipped;
    s->skipped += row->is_skipped;
    if (at < s->lowest) s->lowest = at;
    if (at > s->highest) s->highest = at;
    return PLUMB_OK;
}

/* ---- score rows: the plain form ---- */

/* plumb writes flat objects of numbers, booleans and printable ASCII strings without escapes. This scanner knows
 * exactly these; whatever else it meets, it gives up, and jansson reads the row or says what is wrong with it. */

static const char *after_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t') p++;
    return p;
}

/* The closing quote of the string that begins at p, or NULL. */
static const char *end_of_string(const char *p)
{
    while (*p >= 0x20 && *p < 0x7F && *p != '"' && *p != '\\') p++;
    return *p == '"' ? p : NULL;
}

static const char *after_digits(const char *p)
{
    const char *start = p;
    while (*p >= '0' && *p <= '9') p++;
    return p > start ? p : NULL;
}

/* The end of the JSON number at p, or NULL. */
static const char *end_of_number(const char *p)
{
    if (*p == '-') p++;
    p = *p == '0' ? p + 1 : after_digits(p);
    if (p && *p == '.') p = after_digits(p + 1);
    if (p && (*p == 'e' || *p == 'E')) {
        p++;
        if (*p == '+' || *p == '-') p++;
        p = after_digits(p);
    }
    return p;
}

static bool read_index(const char *p, const char *end, int64_t *out)
{
    if (end - p > MOST_DIGITS || after_digits(p) != end) return false;
    for (*out = 0; p < end; p++) *out = 10 * *out + (*p - '0');
    return true;
}

static bool is_key(const char *key, size_t n, const char *name, size_t name_size)
{
    return n == name_size && memcmp(key, name, n) == 0;
}

typedef struct found_keys {
    bool index, row, score;
} found_keys;

/* One value; its end, or NULL. */
static const char *scan_value(const plumb_scores *s, const char *key, size_t n, const char *p, score_row *out,
                              found_keys *found)
{
    const char *end = *p == '"' ? end_of_string(p + 1) : *p == 't' || *p == 'f' || *p == 'n' ? p : end_of_number(p);
    bool is_string = *p == '"', is_score = is_key(key, n, s->by, s->by_size);
    if (!end) return NULL;
    if (end == p) { /* true, false, null: of interest to nobody here */
        size_t length = strncmp(p, "true", 4) == 0 || strncmp(p, "null", 4) == 0 ? 4 : strncmp(p, "false", 5) ? 0 : 5;
        return length && !is_score && *key != 'i' && *key != 'r' && !is_key(key, n, "skipped", 7) ? p + length : NULL;
    }
    if (is_key(key, n, "index", 5) && !(found->index = !is_string && read_index(p, end, &out->index))) return NULL;
    if (is_key(key, n, "row", 3) &&
        !(found->row = is_string && plumb_row_hash_parse(p + 1, (size_t)(end - p - 1), &out->hash)))
        return NULL;
    if (is_key(key, n, "skipped", 7) && !(out->is_skipped = is_string)) return NULL;
    if (is_score) {
        out->score = is_string ? NAN : strtod(p, NULL);
        if (!(found->score = isfinite(out->score))) return NULL;
    }
    return end + is_string;
}

static bool scan_plain(const plumb_scores *s, const plumb_row *row, score_row *out)
{
    const char *p = after_blanks(row->bytes);
    found_keys found = {0};
    *out = (score_row){0};
    if (*p++ != '{') return false;
    for (;; p++) {
        p = after_blanks(p);
        const char *key = p + 1, *end = *p == '"' ? end_of_string(key) : NULL;
        if (!end) return false;
        p = after_blanks(end + 1);
        if (*p != ':') return false;
        p = scan_value(s, key, (size_t)(end - key), after_blanks(p + 1), out, &found);
        if (!p) return false;
        p = after_blanks(p);
        if (*p != ',') break;
    }
    if (*p != '}' || after_blanks(p + 1) != row->bytes + row->size) return false;
    return found.index && found.row && (found.score || out->is_skipped);
}

/* ---- score rows: any form, and what is wrong with them ---- */

/* The measures a user can mean, for the message and the cure. */
static plumb_status missing_field(const plumb_scores *s, json_t *object)
{
    plumb_text list = {0};
    const char **names = NULL, *key;
    size_t count = 0;
    json_t *value;
    plumb_status status = plumb_new(&names, json_object_size(object), sizeof *names);
    json_object_foreach(object, key, value)
    {
        if (status || !json_is_number(value) || strcmp(key, "index") == 0) continue;
        status = plumb_text_printf(&list, "%s%s", count ? ", " : "", key);
        names[count++] = key;
    }
    if (!status) {
        const char *near = plumb_nearest(s->by, names, count);
        status = plumb_fail(PLUMB_E_INPUT, "there is no field \"%s\"; numeric fields here: %s", s->by,
                            count ? list.data : "none");
        status = near ? plumb_cure(status, "did you mean --by %s?", near)
                      : plumb_cure(status, "choose one of these with --by, or score with --measures that include it");
    }
    free(names);
    plumb_text_free(&list);
    return status;
}

static plumb_status read_measure(const plumb_scores *s, json_t *object, score_row *out)
{
    const json_t *value = json_object_get(object, s->by);
    if (!value) return missing_field(s, object);
    if (json_is_null(value))
        return plumb_cure(
            plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " has no %s: it is null (not a number)", out->index, s->by),
            "see what is wrong with this row or the model, and score it again");
    if (!json_is_number(value))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is %s; expected a number", s->by, plumb_json_kind(value)),
                          "choose a numeric field with --by");
    out->score = json_number_value(value);
    return PLUMB_OK;
}

static plumb_status read_object(const plumb_scores *s, json_t *object, score_row *out)
{
    const char *skipped = NULL;
    plumb_row_key key;
    PLUMB_TRY(plumb_cure(plumb_row_key_read(object, "plumb score", &key), "the order is: plumb filter DATA SCORES"));
    *out = (score_row){.index = key.index, .hash = key.row};
    PLUMB_TRY(plumb_json_string(object, "skipped", &skipped));
    out->is_skipped = skipped != NULL;
    return out->is_skipped ? PLUMB_OK : read_measure(s, object, out);
}

static plumb_status read_score_row(const plumb_scores *s, const plumb_row *row, score_row *out)
{
    json_t *object = NULL;
    if (scan_plain(s, row, out)) return PLUMB_OK;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    plumb_status status = read_object(s, object, out);
    json_decref(object);
    return status;
}

static plumb_status use_score_row(void *user, const plumb_row *row)
{
    score_row read;
    PLUMB_TRY(read_score_row(user, row, &read));
    return add_score(user, &read);
}

plumb_status plumb_scores_read(plumb_scores *s, const char *path, const plumb_sink *sink, int64_t *rows, uint64_t *hash)
{
    plumb_row_walk walk = {.path = path, .end = -1, .sink = sink, .use = use_score_row, .user = s};
    plumb_status status = plumb_row_walk_all(&walk);
    *rows = walk.rows;
    *hash = walk.hash;
    return status;
}

/* ---- the cut ---- */

/* A place in the order of the scored rows: before it lie all rows with a smaller key and the first `ties` with this. */
typedef struct place {
    uint64_t key;
    int64_t ties;
    int64_t seen; /* rows with this key that have passed by */
} place;

/* Does the next row in file order lie before the place? */
static bool lies_before(place *p, uint64_t key)
{
    return key < p->key || (key == p->key && p->seen++ < p->ties);
}

/* What a row is ranked by, as a key: its score, or a random number of its own. */
static uint64_t rank_key(const plumb_scores *s, const plumb_filter_choice *choice, int64_t row, uint64_t key)
{
    if (choice->rule != PLUMB_RANDOM || key <= SKIPPED) return key;
    return key_of(plumb_uniform(choice->seed, 0, (uint64_t)(s->begin + row)));
}

/* How many of the keys whose upper digits are those of `prefix` have each value of the digit at `shift`. */
static void count_digits(const plumb_scores *s, const plumb_filter_choice *choice, uint64_t prefix, int shift,
                         int64_t *counts)
{
    memset(counts, 0, DIGITS * sizeof *counts);
    for (size_t i = 0; i < s->block_count; i++) {
        for (int j = 0; s->blocks[i] && j < BLOCK; j++) {
            uint64_t key = rank_key(s, choice, (int64_t)i * BLOCK + j, s->blocks[i]->keys[j]);
            bool matches = shift == 48 || key >> (shift + 16) == prefix >> (shift + 16);
            if (key > SKIPPED && matches) counts[key >> shift & (DIGITS - 1)]++;
        }
    }
}

/* The place before which `rank` rows lie: selection by digits of 16 bits from the top, without a copy of the scores. */
static plumb_status place_at(const plumb_scores *s, const plumb_filter_choice *choice, int64_t rank, place *out)
{
    int64_t *counts = NULL;
    *out = (place){.key = rank ? UINT64_MAX : 0};
    if (rank <= 0 || rank >= s->scored) return PLUMB_OK;
    PLUMB_TRY(plumb_new(&counts, DIGITS, sizeof *counts));
    uint64_t key = 0;
    for (int shift = 48; shift >= 0; shift -= 16) {
        uint64_t digit = 0;
        count_digits(s, choice, key, shift, counts);
        while (rank >= counts[digit]) rank -= counts[digit++];
        key |= digit << shift;
    }
    free(counts);
    *out = (place){.key = key, .ties = rank};
    return PLUMB_OK;
}

static plumb_status find_places(const plumb_scores *s, const plumb_filter_choice *choice, place *first, place *last)
{
    int64_t from = 0, to = 0;
    *first = (place){0};
    if (choice->rule == PLUMB_BELOW) {
        *last = (place){.key = key_of(choice->bound)};
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_filter_ranks(choice, s->scored, &from, &to));
    PLUMB_TRY(place_at(s, choice, from, first));
    return place_at(s, choice, to, last);
}

/* ---- copying ---- */

/* Where the kept rows go. What the output holds from an earlier run is compared, not written. */
typedef struct writer {
    const plumb_filter_job *job;
    size_t compared;
} writer;

static plumb_status other_rows(void)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the partial output holds other rows than this run would write"),
                      "the data or the scores have changed; run again without --resume");
}

static plumb_status put(writer *w, const char *bytes, size_t n)
{
    size_t left = w->job->done_size - w->compared, compare = n < left ? n : left;
    if (compare && memcmp(w->job->done + w->compared, bytes, compare) != 0) return other_rows();
    w->compared += compare;
    if (!w->job->output || compare == n) return PLUMB_OK;
    return plumb_output_write(w->job->output, bytes + compare, n - compare);
}

/* An end of a range of scores, as a key: among equal ones the first or the last row. */
typedef struct extreme {
    uint64_t key;
    int64_t row;
} extreme;

static void note_lowest(extreme *e, uint64_t key, int64_t row)
{
    if (e->row < 0 || key < e->key) *e = (extreme){key, row};
}

static void note_highest(extreme *e, uint64_t key, int64_t row)
{
    if (e->row < 0 || key >= e->key) *e = (extreme){key, row};
}

static plumb_score_at score_at(const extreme *e)
{
    return (plumb_score_at){e->row, e->row < 0 ? 0 : score_of(e->key)};
}

typedef struct copying {
    const plumb_filter_job *job;
    plumb_filter_report *report;
    place first, last;
    writer out;
    extreme kept[2], under[2], over[2]; /* lowest and highest */
} copying;

static bool keeps(copying *c, uint64_t key, int64_t row)
{
    if (key == SKIPPED) {
        c->report->skipped++;
        c->report->skipped_kept += !c->job->drop_skipped;
        return !c->job->drop_skipped;
    }
    uint64_t rank = rank_key(c->job->scores, &c->job->choice, row - c->job->scores->begin, key);
    bool is_under = lies_before(&c->first, rank), is_kept = lies_before(&c->last, rank) && !is_under;
    extreme *range = is_kept ? c->kept : is_under ? c->under : c->over;
    note_lowest(&range[0], key, row);
    note_highest(&range[1], key, row);
    c->report->scored++;
    c->report->kept += is_kept;
    c->report->dropped += !is_kept;
    return is_kept;
}

/* The scored rows that lie together, for a cure: from `begin`, or where the scores begin. */
static plumb_status cure_missing(const plumb_scores *s, plumb_status status, int64_t missing)
{
    if (s->highest < 0) return plumb_cure(status, "none of these rows is scored; score them first");
    int64_t from = missing > s->lowest ? s->lowest : missing, to;
    while (key_at(s, from) == MISSING) from++; /* ends at s->highest */
    for (to = from; to <= s->highest && key_at(s, to) != MISSING;) to++;
    return plumb_cure(status,
                      "score the rest too (plumb score --range) and give all score files, or filter what is scored: "
                      "--range %" PRId64 ":%" PRId64,
                      s->begin + from, s->begin + to);
}

static plumb_status no_score(const plumb_scores *s, int64_t row)
{
    plumb_status status = plumb_fail(PLUMB_E_INPUT, "row %" PRId64 " (counted from 0) has no score", s->begin + row);
    return cure_missing(s, status, row);
}

/* Gaps between the scores, found before anything is written. Rows behind the last score show up while copying. */
static plumb_status check_gaps(const plumb_scores *s)
{
    for (int64_t row = 0; row <= s->highest; row++)
        if (key_at(s, row) == MISSING) return no_score(s, row);
    return PLUMB_OK;
}

static plumb_status copy_row(copying *c, const plumb_row *row)
{
    const plumb_scores *s = c->job->scores;
    int64_t at = row->index - s->begin;
    uint64_t key = key_at(s, at);
    if (key == MISSING) return no_score(s, at);
    if (block_at(s, at)->checks[at & (BLOCK - 1)] != (uint32_t)row->hash)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT,
                                     "row %" PRId64 " is not the row that was scored (its hash is %016" PRIx64 ")",
                                     row->index, row->hash),
                          "use the very file that was scored, or score this one");
    if (!keeps(c, key, row->index)) return PLUMB_OK;
    PLUMB_TRY(put(&c->out, row->bytes, row->size));
    return put(&c->out, row->line_end, strlen(row->line_end));
}

static plumb_status check_end(const copying *c, const char *name)
{
    const plumb_scores *s = c->job->scores;
    if (!c->report->rows)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: there are no rows%s", name,
                                     s->begin || s->end >= 0 ? " in this range" : " in it"),
                          "rows are counted from 0, blank lines are not counted");
    if (s->highest >= c->report->rows)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "%s: ends with row %" PRId64 ", but row %" PRId64 " has a score",
                                     name, s->begin + c->report->rows - 1, s->begin + s->highest),
                          "use the very file that was scored, or score this one");
    return c->out.compared < c->job->done_size ? other_rows() : PLUMB_OK;
}

static plumb_status copy_rows(copying *c, plumb_rows *rows, const plumb_sink *sink)
{
    plumb_row row;
    bool found;
    for (;;) {
        PLUMB_TRY(plumb_check_interrupt(sink));
        PLUMB_TRY(plumb_rows_next(rows, &row, &found));
        if (!found) return check_end(c, plumb_rows_name(rows));
        PLUMB_TRY(plumb_context(copy_row(c, &row), "%s:%" PRId64, plumb_rows_name(rows), row.line));
        c->report->data_hash = plumb_add_row_hash(c->report->data_hash, row.hash);
        if (c->report->rows++ % PROGRESS_EVERY == 0) plumb_rows_progress(rows, sink);
    }
}

static void finish_report(const copying *c, plumb_filter_report *report)
{
    extreme dropped[2] = {c->under[0], c->over[1]};
    if (dropped[0].row < 0) dropped[0] = c->over[0];
    if (dropped[1].row < 0) dropped[1] = c->under[1];
    report->kept_lowest = score_at(&c->kept[0]);
    report->kept_highest = score_at(&c->kept[1]);
    const extreme none = {0, -1};
    bool has_cut = c->job->choice.rule != PLUMB_RANDOM;
    report->under = score_at(has_cut ? &c->under[1] : &none);
    report->over = score_at(has_cut ? &c->over[0] : &none);
    report->dropped_lowest = score_at(&dropped[0]);
    report->dropped_highest = score_at(&dropped[1]);
}

plumb_status plumb_filter_run(const plumb_filter_job *job, const plumb_sink *sink, plumb_filter_report *report)
{
    plumb_rows *rows = NULL;
    const extreme none = {0, -1};
    copying c = {.job = job, .report = report, .out = {job, 0}};
    for (int i = 0; i < 2; i++) c.kept[i] = c.under[i] = c.over[i] = none;
    *report = (plumb_filter_report){0};
    PLUMB_TRY(plumb_context(check_gaps(job->scores), "%s", plumb_input_name(job->data)));
    PLUMB_TRY(find_places(job->scores, &job->choice, &c.first, &c.last));
    PLUMB_TRY(plumb_rows_open(job->data, job->scores->begin, job->scores->end, &rows));
    plumb_status s = copy_rows(&c, rows, sink);
    plumb_rows_close(rows);
    finish_report(&c, report);
    return s;
}
