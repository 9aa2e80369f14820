#include "cli/show_pair.h"

#include <inttypes.h>

#include "io/json.h"

static plumb_status show_tokens(plumb_cli *cli, const plumb_tokenizer *tokenizer, const plumb_ids *ids, int first,
                                int last, int boundary)
{
    plumb_text text = {0};
    plumb_status s = PLUMB_OK;
    for (int i = first; i < last && !s; i++) {
        size_t n = 0;
        const char *token = plumb_tokenizer_token(tokenizer, ids->data[i], &n);
        plumb_text_clear(&text);
        s = plumb_json_quote(&text, token ? token : "", token ? n : 0);
        if (!s) plumb_cli_say(cli, "  %6d  %d  %7d  %s", i, i >= boundary, ids->data[i], text.data);
    }
    plumb_text_free(&text);
    return s;
}

plumb_status plumb_show_pair(plumb_cli *cli, const plumb_tokenizer *tokenizer, int64_t index, const plumb_pair *pair,
                             plumb_compat compat)
{
    static const char *const names[2] = {"chosen", "rejected"};
    plumb_cli_say(cli, "row %" PRId64 " as tokens: position, scored, id, token%s", index,
                  compat == PLUMB_COMPAT_OFFICIAL ? " (the state of the last token counts too)" : "");
    plumb_cli_say(cli, " prompt, %d tokens%s", pair->prompt,
                  pair->boundary_clean              ? ""
                  : compat == PLUMB_COMPAT_OFFICIAL ? " (its end merges with a response: the boundary cuts through)"
                                                    : " (its end merges with a response: the boundary was moved back)");
    PLUMB_TRY(show_tokens(cli, tokenizer, &pair->ids[0], 0, pair->prompt, pair->prompt));
    for (int s = 0; s < 2; s++) {
        int count = (int)pair->ids[s].count;
        plumb_cli_say(cli, " %s, %d tokens%s", names[s], count - pair->prompt,
                      pair->truncated ? " (the pair was cut)" : "");
        PLUMB_TRY(show_tokens(cli, tokenizer, &pair->ids[s], pair->prompt, count, pair->prompt));
    }
    return PLUMB_OK;
}
