#include "study/row_key.h"

#include <string.h>

bool plumb_row_hash_parse(const char *text, size_t n, uint64_t *out)
{
    if (n != 16) return false;
    for (*out = 0; n--; text++) {
        int digit = *text >= '0' && *text <= '9' ? *text - '0' : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10 : -1;
        if (digit < 0) return false;
        *out = *out << 4 | (uint64_t)digit;
    }
    return true;
}

plumb_status plumb_row_key_read(const json_t *row, const char *maker, plumb_row_key *out)
{
    const char *hash = NULL;
    if (!json_is_object(row))
        return plumb_fail(PLUMB_E_INPUT, "the row is %s; expected an object", plumb_json_kind(row));
    *out = (plumb_row_key){.index = -1};
    PLUMB_TRY(plumb_json_int(row, "index", &out->index));
    PLUMB_TRY(plumb_json_string(row, "row", &hash));
    if (!hash || !json_object_get(row, "index"))
        return plumb_fail(PLUMB_E_INPUT, "\"%s\" is missing: this is not a row of %s", hash ? "index" : "row", maker);
    if (out->index < 0) return plumb_fail(PLUMB_E_INPUT, "\"index\" is not a row number");
    if (!plumb_row_hash_parse(hash, strlen(hash), &out->row))
        return plumb_fail(PLUMB_E_INPUT, "\"row\" is \"%.40s\"; expected 16 lower-case hexadecimal digits", hash);
    return PLUMB_OK;
}
