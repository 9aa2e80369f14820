#include "align/pair_reader.h"

#include <stdlib.h>

#include "base/row_hash.h"

struct plumb_pair_reader {
    plumb_pair_source source;
    plumb_rows *rows;
    plumb_row row;
    plumb_preference preference;
    plumb_pair pair;
    int64_t given, prompt_repeated;
    uint64_t hash;
};

plumb_status plumb_pair_reader_open(const plumb_pair_source *source, plumb_pair_reader **out)
{
    plumb_pair_reader *r;
    *out = NULL;
    PLUMB_TRY(plumb_new(&r, 1, sizeof *r));
    r->source = *source;
    plumb_status s = plumb_rows_open(source->path, source->begin, source->end, &r->rows);
    if (s) {
        plumb_pair_reader_close(r);
        return s;
    }
    *out = r;
    return PLUMB_OK;
}

void plumb_pair_reader_close(plumb_pair_reader *r)
{
    if (!r) return;
    plumb_preference_clear(&r->preference);
    plumb_pair_free(&r->pair);
    plumb_rows_close(r->rows);
    free(r);
}

plumb_status plumb_pair_reader_pass(plumb_pair_reader *r, const plumb_row **row, bool *found)
{
    PLUMB_TRY(plumb_rows_next(r->rows, &r->row, found));
    if (!*found) return PLUMB_OK;
    r->given++;
    r->hash = plumb_add_row_hash(r->hash, r->row.hash);
    *row = &r->row;
    return PLUMB_OK;
}

static plumb_status make_pair(plumb_pair_reader *r)
{
    plumb_preference_clear(&r->preference);
    PLUMB_TRY(plumb_preference_parse(r->row.bytes, r->row.size, &r->source.keys, &r->preference));
    PLUMB_TRY(plumb_pair_make(&r->source.pairing, &r->preference, &r->pair));
    r->prompt_repeated += r->preference.prompt_repeated;
    return PLUMB_OK;
}

plumb_status plumb_pair_reader_next(plumb_pair_reader *r, const plumb_row **row, const plumb_pair **pair, bool *found)
{
    PLUMB_TRY(plumb_pair_reader_pass(r, row, found));
    if (!*found) return PLUMB_OK;
    plumb_status s = plumb_context(make_pair(r), "%s:%lld", plumb_rows_name(r->rows), (long long)r->row.line);
    if (s && (!r->source.skip_bad_rows || plumb_status_code(s) != PLUMB_E_INPUT)) return s;
    if (s) {
        plumb_note(r->source.sink, "passed over: %s", plumb_status_message(s));
        plumb_status_free(s);
        plumb_pair_free(&r->pair);
        r->pair.skip = PLUMB_SKIP_BAD_ROW;
    }
    *pair = &r->pair;
    return PLUMB_OK;
}

const char *plumb_pair_reader_name(const plumb_pair_reader *r)
{
    return plumb_rows_name(r->rows);
}

int64_t plumb_pair_reader_rows(const plumb_pair_reader *r, uint64_t *hash, int64_t *prompt_repeated)
{
    if (hash) *hash = r->hash;
    if (prompt_repeated) *prompt_repeated = r->prompt_repeated;
    return r->given;
}

double plumb_pair_reader_expected(const plumb_pair_reader *r)
{
    return plumb_rows_expected(r->rows, r->source.begin, r->source.end, r->given);
}
