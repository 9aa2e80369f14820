/* The rules of plumb lint. A new one is a row here, its function beside those of its group, a page in docs/lint/, and
 * rows in tests/unit/test_lint.c. Codes are never used again for something else. */
#include <string.h>
#include <strings.h>

#include "base/options.h"
#include "study/lint_internal.h"

static const plumb_lint_rule rules[] = {
    {"PT101", "boundary-merged", PLUMB_WARNING, false, PLUMB_LINT_PAIR,
     "the end of the prompt has other tokens once the response follows",
     "move white space from the end of the prompt to the start of the response, or end the prompt with one newline",
     plumb_lint_boundary_merged},
    {"PT102", "double-bos", PLUMB_ERROR, false, PLUMB_LINT_PAIR, "the BOS token comes twice",
     "take the BOS text out of the row or the template, since the tokenizer adds the token", plumb_lint_double_bos},
    {"PT103", "lost-eos", PLUMB_ERROR, false, PLUMB_LINT_PAIR, "a response does not end in a token that ends it",
     "name the EOS token in tokenizer_config.json, or let the template close the assistant's turn",
     plumb_lint_lost_eos},
    {"PT104", "truncated", PLUMB_WARNING, false, PLUMB_LINT_PAIR, "prompt and response are longer than --max_length",
     "raise --max_length, or leave the row out", plumb_lint_truncated},
    {"PT105", "identical-after-truncation", PLUMB_ERROR, false, PLUMB_LINT_PAIR,
     "the responses differ only behind the cut at --max_length",
     "raise --max_length until it covers the difference, or leave the row out", plumb_lint_identical_after_truncation},
    {"PT106", "prompt-too-long", PLUMB_ERROR, false, PLUMB_LINT_PAIR, "the prompt alone fills --max_length",
     "raise --max_length, shorten the prompt, or leave the row out", plumb_lint_prompt_too_long},
    {"PT107", "split-word", PLUMB_WARNING, false, PLUMB_LINT_PAIR,
     "the prompt ends in a letter or digit and the response begins with one",
     "put a newline at the end of the prompt, or a space at the start of the response", plumb_lint_split_word},
    {"PT108", "template-differs", PLUMB_WARNING, false, PLUMB_LINT_PAIR,
     "the chat template renders the prompt alone differently than with the response",
     "let the response begin with an assistant message, and use a template whose generation prompt begins one",
     plumb_lint_template_differs},
    {"PT109", "no-prompt-token", PLUMB_ERROR, false, PLUMB_LINT_PAIR, "no token stands before the responses",
     "give the row a prompt that does not merge with the responses", plumb_lint_no_prompt_token},

    {"PD201", "chosen-equals-rejected", PLUMB_ERROR, true, PLUMB_LINT_PAIR, "both responses are the same",
     "leave the row out", plumb_lint_chosen_equals_rejected},
    {"PD202", "duplicate-pair", PLUMB_WARNING, true, PLUMB_LINT_PAIR, "the same pair came before",
     "keep the first one only", plumb_lint_duplicate_pair},
    {"PD203", "swapped-pair", PLUMB_ERROR, false, PLUMB_LINT_PAIR, "the same pair came before with its sides swapped",
     "find out which preference is meant and leave the other row out", plumb_lint_swapped_pair},
    {"PD204", "empty-response", PLUMB_ERROR, true, PLUMB_LINT_PAIR, "a response holds nothing but white space",
     "leave the row out", plumb_lint_empty_response},
    {"PD205", "prompt-repeated", PLUMB_WARNING, false, PLUMB_LINT_PAIR, "a response begins with the whole prompt",
     "take the prompt out of the response", plumb_lint_prompt_repeated},
    {"PD206", "length-gap", PLUMB_WARNING, false, PLUMB_LINT_PAIR,
     "one response is more than --max_ratio times as long as the other",
     "leave the row out, or raise --max_ratio if such lengths are meant", plumb_lint_length_gap},
    {"PD207", "special-token-text", PLUMB_WARNING, false, PLUMB_LINT_PAIR,
     "the text of a special token stands in the prompt or a response",
     "take it out, or write it such that the tokenizer does not know it (a space in it is enough)",
     plumb_lint_special_token_text},

    {"PF301", "not-utf8", PLUMB_ERROR, false, PLUMB_LINT_BYTES, "the row is not UTF-8",
     "convert the file, for instance with iconv -f LATIN1 -t UTF-8", plumb_lint_not_utf8},
    {"PF302", "mixed-forms", PLUMB_ERROR, false, PLUMB_LINT_JSON, "strings and conversations are mixed",
     "bring all rows to one form: all strings, or all lists of messages", plumb_lint_mixed_forms},
    {"PF303", "unknown-role", PLUMB_ERROR, false, PLUMB_LINT_JSON, "a message has a role that templates do not know",
     "rename the role: system, user, assistant or tool", plumb_lint_unknown_role},
    {"PF304", "bad-row", PLUMB_ERROR, false, PLUMB_LINT_BYTES, "the row cannot be made into a pair",
     "correct the row, or leave it out", plumb_lint_bad_row},
};

enum { RULES = sizeof rules / sizeof *rules };
_Static_assert((int)RULES <= (int)PLUMB_LINT_MOST_RULES, "a selection is 32 bits");

const plumb_lint_rule *plumb_lint_rules(size_t *count)
{
    *count = RULES;
    return rules;
}

/* What can be selected, for the nearest one to a misspelt word. */
static plumb_status unknown_rule(const char *word)
{
    const char *known[2 * RULES];
    for (int i = 0; i < RULES; i++) {
        known[2 * i] = rules[i].code;
        known[2 * i + 1] = rules[i].name;
    }
    const char *near = plumb_nearest(word, known, 2 * RULES);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "\"%s\" is no rule", word);
    return near ? plumb_cure(s, "did you mean %s?", near)
                : plumb_cure(s, "rules have codes (PT101), names (boundary-merged) and groups (PT, PD, PF)");
}

/* Names are written with '-' or '_', as options are. */
static bool same_name(const char *name, const char *word)
{
    for (; *name && *word; name++, word++)
        if (strncasecmp(name, word, 1) != 0 && !(*name == '-' && *word == '_')) return false;
    return !*name && !*word;
}

plumb_status plumb_lint_select(const char *const *words, size_t count, uint32_t *out)
{
    *out = 0;
    for (size_t w = 0; w < count; w++) {
        size_t n = strlen(words[w]);
        uint32_t named = 0;
        for (int i = 0; i < RULES; i++)
            if (n && (strncasecmp(rules[i].code, words[w], n) == 0 || same_name(rules[i].name, words[w])))
                named |= (uint32_t)1 << i;
        if (!named) return unknown_rule(words[w]);
        *out |= named;
    }
    return PLUMB_OK;
}
