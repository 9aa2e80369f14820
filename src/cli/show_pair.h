/* A pair as the model sees it, for people: tokens, boundary, and which of them are scored. */
#ifndef PLUMB_CLI_SHOW_PAIR_H
#define PLUMB_CLI_SHOW_PAIR_H

#include "align/pair.h"
#include "cli/cli.h"

/* One line for each token on stderr (nothing with --quiet): position, mask, id, token. The mask marks the tokens whose
 * prediction is scored; the hidden state that counts for a token is the one before it. */
plumb_status plumb_show_pair(plumb_cli *cli, const plumb_tokenizer *tokenizer, int64_t index, const plumb_pair *pair,
                             plumb_compat compat) PLUMB_MUST_USE;

#endif
