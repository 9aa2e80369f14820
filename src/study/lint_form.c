/* Rules PF3xx: the form of the row. */
#include <inttypes.h>
#include <string.h>

#include "io/json.h"
#include "study/lint_internal.h"
#include "text/tokenizer_utf8.h"

/* A row that parses is UTF-8: jansson refuses all else. */
static bool is_not_utf8(const plumb_lint_row *row, size_t *at)
{
    *at =
        row->stage == PLUMB_LINT_BYTES ? plumb_utf8_invalid(row->source->bytes, row->source->size) : row->source->size;
    return *at < row->source->size;
}

plumb_status plumb_lint_not_utf8(const plumb_lint_row *row, plumb_finding *f)
{
    size_t at;
    if (!is_not_utf8(row, &at)) return PLUMB_OK;
    return plumb_text_printf(&f->message, "byte 0x%02X at column %zu is not UTF-8",
                             (unsigned char)row->source->bytes[at], at + 1);
}

/* ---- mixed forms ---- */

/* Strings and lists side by side in one row, such that no prompt can be made of it. */
static bool mixes(const plumb_lint_row *row, const char *names[2])
{
    const plumb_preference_keys *keys = &row->options->keys;
    const char *all[] = {keys->prompt, keys->chosen, keys->rejected};
    names[0] = names[1] = NULL; /* the first column that is a string, and the first that is a list */
    if (row->stage != PLUMB_LINT_JSON) return false;
    for (int i = 0; i < 3; i++) {
        const json_t *value = json_object_get(row->preference.row, all[i]);
        if (json_is_string(value) && !names[0]) names[0] = all[i];
        if (json_is_array(value) && !names[1]) names[1] = all[i];
    }
    return names[0] && names[1];
}

plumb_status plumb_lint_mixed_forms(const plumb_lint_row *row, plumb_finding *f)
{
    static const char *const forms[] = {"plain strings", "a conversation", "token ids"};
    const char *names[2];
    if (mixes(row, names))
        return plumb_text_printf(&f->message, "%s is a string and %s a list of messages", names[0], names[1]);
    if (row->stage < PLUMB_LINT_FORM || !row->first_line || row->preference.form == row->first_form) return PLUMB_OK;
    return plumb_text_printf(&f->message, "the row is %s, but line %" PRId64 " is %s", forms[row->preference.form],
                             row->first_line, forms[row->first_form]);
}

/* ---- roles ---- */

/* Roles that published templates know; beyond the first four for calls of functions. */
static bool is_known_role(const char *role)
{
    static const char *const known[] = {"system",    "user",     "assistant", "tool",
                                        "developer", "function", "ipython",   "environment"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(role, known[i]) == 0) return true;
    return false;
}

/* The first message with a role that is not known; NULL: none. */
static const char *unknown_role(const plumb_lint_row *row, const char **column, size_t *message)
{
    const plumb_preference_keys *keys = &row->options->keys;
    const char *all[] = {keys->prompt, keys->chosen, keys->rejected};
    for (int c = 0; c < 3 && row->stage >= PLUMB_LINT_JSON; c++) {
        const json_t *list = json_object_get(row->preference.row, all[c]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const char *role = json_string_value(json_object_get(json_array_get(list, i), "role"));
            if (!role || is_known_role(role)) continue;
            *column = all[c];
            *message = i;
            return role;
        }
    }
    return NULL;
}

plumb_status plumb_lint_unknown_role(const plumb_lint_row *row, plumb_finding *f)
{
    const char *column;
    size_t message;
    const char *role = unknown_role(row, &column, &message);
    if (!role) return PLUMB_OK;
    PLUMB_TRY(plumb_text_printf(&f->message, "%s[%zu] has the role ", column, message));
    return plumb_json_quote(&f->message, role, strlen(role));
}

/* ---- everything else ---- */

/* What keeps a row from being a pair, unless another rule of this group says it. */
plumb_status plumb_lint_bad_row(const plumb_lint_row *row, plumb_finding *f)
{
    const char *names[2], *column;
    size_t at;
    if (!row->problem || is_not_utf8(row, &at) || mixes(row, names)) return PLUMB_OK;
    if (row->stage == PLUMB_LINT_FORM && unknown_role(row, &column, &at)) return PLUMB_OK; /* it did not render */
    const char *cure = plumb_status_cure(row->problem);
    if (cure) f->cure = cure;
    return plumb_text_string(&f->message, plumb_status_message(row->problem));
}
