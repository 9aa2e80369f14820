#include "text/token_text.h"

#include <string.h>

plumb_status plumb_token_text(const plumb_tokenizer *t, int32_t before, int32_t id, plumb_text *out)
{
    plumb_text alone = {0}, both = {0};
    int32_t ids[2] = {before, id};
    plumb_status s = PLUMB_OK;
    if (before < 0) return plumb_tokenizer_decode(t, &id, 1, false, out);
    PLUMB_GO(plumb_tokenizer_decode(t, &before, 1, false, &alone));
    PLUMB_GO(plumb_tokenizer_decode(t, ids, 2, false, &both));
    if (both.size >= alone.size && (!alone.size || memcmp(both.data, alone.data, alone.size) == 0)) {
        s = both.size > alone.size ? plumb_text_append(out, both.data + alone.size, both.size - alone.size) : PLUMB_OK;
    } else { /* the two make a character together, or the decoder changes what is before */
        s = plumb_tokenizer_decode(t, &id, 1, false, out);
    }
done:
    plumb_text_free(&alone);
    plumb_text_free(&both);
    return s;
}
