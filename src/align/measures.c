#include "align/measures.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "io/json.h"

#define GETTER(name, expression)                                                                                       \
    static double name(const plumb_score *s)                                                                           \
    {                                                                                                                  \
        return (expression);                                                                                           \
    }
GETTER(get_ches, s->ches)
GETTER(get_ln_ches, s->ln_ches)
GETTER(get_dot, s->dot)
GETTER(get_norm2_chosen, s->norm2[0])
GETTER(get_norm2_rejected, s->norm2[1])
GETTER(get_last_hidden, s->last_hidden)
GETTER(get_edit, s->edit_similarity)
GETTER(get_logps_chosen, s->logps[0])
GETTER(get_logps_rejected, s->logps[1])
GETTER(get_alpha, s->theory.alpha_ches)
GETTER(get_minus, s->theory.minus)
GETTER(get_plus, s->theory.plus)
GETTER(get_hidden_path, s->theory.hidden_path)
GETTER(get_rate, s->theory.rate)
GETTER(get_plus_plus, s->grad_plus_plus)
GETTER(get_plus_minus, s->grad_plus_minus)

enum { VALUE_DIGITS = 9, LOGP_DIGITS = 17 };

static const plumb_measure table[] = {
    {"ches",
     "<S+,S-> - |S+|^2: the higher, the more training on the pair pushes the chosen response down",
     PLUMB_NEED_STATES,
     {{"ches", VALUE_DIGITS, get_ches}}},
    {"ln_ches",
     "length-normalised CHES, the measure to filter by",
     PLUMB_NEED_STATES,
     {{"ln_ches", VALUE_DIGITS, get_ln_ches}}},
    {"last_hidden",
     "inner product of the last hidden states",
     PLUMB_NEED_STATES,
     {{"last_hidden", VALUE_DIGITS, get_last_hidden}}},
    {"edit",
     "edit similarity of the token sequences, 1 - distance / longer length",
     PLUMB_NEED_NOTHING,
     {{"edit_similarity", VALUE_DIGITS, get_edit}}},
    {"logps",
     "log-probability of both responses",
     PLUMB_NEED_LOGPS,
     {{"logps/chosen", LOGP_DIGITS, get_logps_chosen}, {"logps/rejected", LOGP_DIGITS, get_logps_rejected}}},
    {"alpha",
     "CHES with its coefficients from the next-token distributions, and the other terms of the theorem",
     PLUMB_NEED_THEORY,
     {{"alpha_ches", VALUE_DIGITS, get_alpha},
      {"minus", VALUE_DIGITS, get_minus},
      {"plus", VALUE_DIGITS, get_plus},
      {"hidden_path", VALUE_DIGITS, get_hidden_path},
      {"rate", VALUE_DIGITS, get_rate}}},
    {"grad",
     "inner products of the full gradients of both log-probabilities: the exact first-order rate",
     PLUMB_NEED_GRADIENT,
     {{"grad_plus_plus", VALUE_DIGITS, get_plus_plus}, {"grad_plus_minus", VALUE_DIGITS, get_plus_minus}}},
};
enum { COUNT = sizeof table / sizeof *table };

/* What ches and ln_ches are made of, written once when either is selected. */
static const plumb_field parts[] = {{"dot", VALUE_DIGITS, get_dot},
                                    {"norm2_chosen", VALUE_DIGITS, get_norm2_chosen},
                                    {"norm2_rejected", VALUE_DIGITS, get_norm2_rejected}};
enum { PARTS = sizeof parts / sizeof *parts, LENGTHS = 4 };
static const char *const lengths[LENGTHS] = {"prompt_tokens", "chosen_tokens", "rejected_tokens", "shared_tokens"};

const plumb_measure *plumb_measures(size_t *count)
{
    *count = COUNT;
    return table;
}

int plumb_measure_find(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(table[i].name, name) == 0) return i;
    return -1;
}

void plumb_sum_states(const float *h, int ldh, int n, int d, double *sum)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < d; j++) sum[j] += h[(size_t)i * (size_t)ldh + (size_t)j];
}

/* Does the row hold `parts` too? */
static bool has_parts(uint32_t selected)
{
    for (int i = 0; i < COUNT; i++)
        if (selected >> i & 1 && (table[i].fields[0].get == get_ches || table[i].fields[0].get == get_ln_ches))
            return true;
    return false;
}

const char *plumb_score_not_finite(const plumb_score *score, uint32_t selected)
{
    for (int i = 0; i < COUNT; i++) {
        if (!(selected >> i & 1)) continue;
        for (int k = 0; k < PLUMB_MEASURE_FIELDS && table[i].fields[k].name; k++)
            if (!isfinite(table[i].fields[k].get(score))) return table[i].fields[k].name;
    }
    for (size_t k = 0; has_parts(selected) && k < PARTS; k++)
        if (!isfinite(parts[k].get(score))) return parts[k].name;
    return NULL;
}

static plumb_status append_field(const plumb_field *field, const plumb_score *score, plumb_text *out)
{
    PLUMB_TRY(plumb_text_printf(out, ",\"%s\":", field->name));
    return plumb_json_real(out, field->get(score), field->digits);
}

plumb_status plumb_score_line(const plumb_score *score, uint32_t selected, plumb_text *out)
{
    PLUMB_TRY(plumb_text_printf(out, "{\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\"", score->index, score->row));
    if (score->skip) return plumb_text_printf(out, ",\"skipped\":\"%s\"}\n", plumb_skip_name(score->skip));
    for (int i = 0; i < COUNT; i++) {
        if (!(selected >> i & 1)) continue;
        for (int k = 0; k < PLUMB_MEASURE_FIELDS && table[i].fields[k].name; k++)
            PLUMB_TRY(append_field(&table[i].fields[k], score, out));
    }
    for (size_t k = 0; has_parts(selected) && k < PARTS; k++) PLUMB_TRY(append_field(&parts[k], score, out));
    const int counts[LENGTHS] = {score->prompt_tokens, score->tokens[0], score->tokens[1], score->shared_tokens};
    for (int i = 0; i < LENGTHS; i++) PLUMB_TRY(plumb_text_printf(out, ",\"%s\":%d", lengths[i], counts[i]));
    return plumb_text_printf(out, ",\"boundary_clean\":%s,\"truncated\":%s}\n",
                             score->boundary_clean ? "true" : "false", score->truncated ? "true" : "false");
}

bool plumb_score_is_helper(const char *field)
{
    for (int i = 0; i < PARTS; i++)
        if (strcmp(parts[i].name, field) == 0) return true;
    for (int i = 0; i < LENGTHS; i++)
        if (strcmp(lengths[i], field) == 0) return true;
    return strcmp(field, "index") == 0;
}
