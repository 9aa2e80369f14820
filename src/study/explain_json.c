/* An explanation as a JSON line: docs/explain.md lists the fields. */
#include <string.h>

#include "io/json.h"
#include "study/explain.h"
#include "text/token_text.h"

enum { VALUE_DIGITS = 9, LOGP_DIGITS = 17 };

static plumb_status name_field(plumb_text *out, const char *name)
{
    if (out->size && !strchr("{[", out->data[out->size - 1])) PLUMB_TRY(plumb_text_string(out, ","));
    return name ? plumb_text_printf(out, "\"%s\":", name) : PLUMB_OK;
}

static plumb_status real(plumb_text *out, const char *name, double value, int digits)
{
    PLUMB_TRY(name_field(out, name));
    return plumb_json_real(out, value, digits);
}

static plumb_status integer(plumb_text *out, const char *name, int value)
{
    PLUMB_TRY(name_field(out, name));
    return plumb_text_printf(out, "%d", value);
}

static plumb_status open_field(plumb_text *out, const char *name, const char *bracket)
{
    PLUMB_TRY(name_field(out, name));
    return plumb_text_string(out, bracket);
}

static plumb_status reals(plumb_text *out, const char *name, const double *values, int count, int digits)
{
    PLUMB_TRY(open_field(out, name, "["));
    for (int i = 0; i < count; i++) PLUMB_TRY(real(out, NULL, values[i], digits));
    return plumb_text_string(out, "]");
}

static plumb_status matrix(plumb_text *out, const char *name, const double *values, int rows, int columns)
{
    PLUMB_TRY(open_field(out, name, "["));
    for (int i = 0; i < rows; i++)
        PLUMB_TRY(reals(out, NULL, values + (size_t)i * (size_t)columns, columns, VALUE_DIGITS));
    return plumb_text_string(out, "]");
}

/* {"ids": ..., "text": ...}, and the text of each token where `each`; without the closing brace. */
static plumb_status tokens(const plumb_explain_how *how, const char *name, const int32_t *ids, int first, int last,
                           bool each, plumb_text *out)
{
    plumb_text text = {0};
    plumb_status s;
    PLUMB_GO(open_field(out, name, "{"));
    PLUMB_GO(open_field(out, "ids", "["));
    for (int i = first; i < last; i++) PLUMB_GO(integer(out, NULL, ids[i]));
    PLUMB_GO(plumb_text_string(out, "]"));
    if (each) PLUMB_GO(open_field(out, "tokens", "["));
    for (int i = first; i < last && each; i++) {
        plumb_text_clear(&text);
        PLUMB_GO(plumb_token_text(how->tokenizer, i ? ids[i - 1] : -1, ids[i], &text));
        PLUMB_GO(name_field(out, NULL));
        PLUMB_GO(plumb_json_quote(out, text.data ? text.data : "", text.size));
    }
    if (each) PLUMB_GO(plumb_text_string(out, "]"));
    plumb_text_clear(&text);
    PLUMB_GO(plumb_tokenizer_decode(how->tokenizer, ids + first, (size_t)(last - first), false, &text));
    PLUMB_GO(name_field(out, "text"));
    s = plumb_json_quote(out, text.data ? text.data : "", text.size);
done:
    plumb_text_free(&text);
    return s;
}

static plumb_status responses(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    static const char *const names[2] = {"chosen", "rejected"};
    const plumb_blame *b = &x->blame;
    PLUMB_TRY(tokens(how, "prompt", x->pair->ids[0].data, 0, x->pair->prompt, false, out));
    PLUMB_TRY(plumb_text_string(out, "}"));
    for (int side = 0; side < 2; side++) {
        int n = x->score.tokens[side];
        PLUMB_TRY(tokens(how, names[side], x->pair->ids[side].data, x->pair->prompt, (int)x->pair->ids[side].count,
                         true, out));
        PLUMB_TRY(reals(out, "logps", x->logps[side], n, LOGP_DIGITS));
        PLUMB_TRY(reals(out, "blame", b->blame[side], n, VALUE_DIGITS));
        if (side == 0) {
            PLUMB_TRY(reals(out, "plus", b->plus, n, VALUE_DIGITS));
            PLUMB_TRY(reals(out, "hidden_path", b->hidden_path, n, VALUE_DIGITS));
            PLUMB_TRY(reals(out, "rate", b->rate, n, VALUE_DIGITS));
        }
        PLUMB_TRY(plumb_text_string(out, "}"));
    }
    return PLUMB_OK;
}

static plumb_status matrices(const plumb_blame_matrix *m, plumb_text *out)
{
    if (!m->bin) return PLUMB_OK;
    PLUMB_TRY(open_field(out, "matrices", "{"));
    PLUMB_TRY(integer(out, "bin", m->bin));
    PLUMB_TRY(matrix(out, "minus", m->minus, m->rows, m->columns));
    PLUMB_TRY(matrix(out, "plus", m->plus, m->rows, m->rows));
    return plumb_text_string(out, "}");
}

static plumb_status token_list(const plumb_explain_how *how, const plumb_explanation *x, const char *name,
                               const plumb_explained_token *list, int count, plumb_text *out)
{
    plumb_text text = {0};
    plumb_status s;
    int32_t before = x->pair->ids[0].data[x->pair->prompt - 1];
    PLUMB_GO(open_field(out, name, "["));
    for (int i = 0; i < count; i++) {
        plumb_text_clear(&text);
        PLUMB_GO(plumb_token_text(how->tokenizer, before, list[i].id, &text));
        PLUMB_GO(open_field(out, NULL, "{"));
        PLUMB_GO(integer(out, "token", list[i].id));
        PLUMB_GO(name_field(out, "text"));
        PLUMB_GO(plumb_json_quote(out, text.data ? text.data : "", text.size));
        PLUMB_GO(real(out, "move", list[i].move, VALUE_DIGITS));
        PLUMB_GO(real(out, "p_before", list[i].p_before, VALUE_DIGITS));
        if (x->has_after) {
            PLUMB_GO(real(out, "p_after", list[i].p_after, VALUE_DIGITS));
            PLUMB_GO(real(out, "dlogit", list[i].dlogit, VALUE_DIGITS));
        }
        PLUMB_GO(plumb_text_string(out, "}"));
    }
    s = plumb_text_string(out, "]");
done:
    plumb_text_free(&text);
    return s;
}

static plumb_status single_token(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    const plumb_single_token *t = &x->single;
    const plumb_first_token *f = &x->first;
    if (!x->is_single) return PLUMB_OK;
    PLUMB_TRY(open_field(out, "single_token", "{"));
    PLUMB_TRY(real(out, "w_dot", t->w_dot, VALUE_DIGITS));
    PLUMB_TRY(real(out, "w_plus_norm", t->w_plus_norm, VALUE_DIGITS));
    PLUMB_TRY(real(out, "w_minus_norm", t->w_minus_norm, VALUE_DIGITS));
    PLUMB_TRY(real(out, "projection", t->projection, VALUE_DIGITS));
    PLUMB_TRY(real(out, "orthogonal", t->orthogonal, VALUE_DIGITS));
    PLUMB_TRY(real(out, "hidden_norm", t->hidden_norm, VALUE_DIGITS));
    PLUMB_TRY(open_field(out, "top", "["));
    for (int i = 0; i < f->top_count; i++) {
        PLUMB_TRY(open_field(out, NULL, "["));
        PLUMB_TRY(integer(out, NULL, f->top[i].id));
        PLUMB_TRY(real(out, NULL, f->top[i].move, VALUE_DIGITS));
        PLUMB_TRY(plumb_text_string(out, "]"));
    }
    PLUMB_TRY(plumb_text_string(out, "]}"));
    PLUMB_TRY(open_field(out, "first_token", "{"));
    PLUMB_TRY(real(out, "p_plus", f->p_plus, VALUE_DIGITS));
    PLUMB_TRY(real(out, "p_minus", f->p_minus, VALUE_DIGITS));
    PLUMB_TRY(real(out, "others", f->others, VALUE_DIGITS));
    PLUMB_TRY(real(out, "unembedding", f->unembedding, VALUE_DIGITS));
    PLUMB_TRY(real(out, "hidden_path", f->hidden, VALUE_DIGITS));
    PLUMB_TRY(real(out, "rate", f->rate, VALUE_DIGITS));
    PLUMB_TRY(token_list(how, x, "predicted", f->top, f->top_count, out));
    return plumb_text_string(out, "}");
}

static plumb_status after(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    const plumb_explain_after *a = &x->after;
    if (!x->has_after) return PLUMB_OK;
    PLUMB_TRY(open_field(out, "after", "{"));
    PLUMB_TRY(name_field(out, "model"));
    PLUMB_TRY(plumb_json_quote(out, how->after_name, strlen(how->after_name)));
    PLUMB_TRY(real(out, "logps/chosen", a->logps[0], LOGP_DIGITS));
    PLUMB_TRY(real(out, "logps/rejected", a->logps[1], LOGP_DIGITS));
    PLUMB_TRY(real(out, "dlogp_chosen", a->change[0], LOGP_DIGITS));
    PLUMB_TRY(real(out, "dlogp_rejected", a->change[1], LOGP_DIGITS));
    if (x->is_single) {
        PLUMB_TRY(real(out, "spearman_logit", a->spearman_logit, VALUE_DIGITS));
        PLUMB_TRY(real(out, "spearman_probability", a->spearman_probability, VALUE_DIGITS));
        PLUMB_TRY(token_list(how, x, "gained", a->gained, a->gained_count, out));
    }
    return plumb_text_string(out, "}");
}

static plumb_status check(const plumb_explanation *x, plumb_text *out)
{
    const plumb_theory_step *c = &x->check;
    if (!x->has_check) return PLUMB_OK;
    PLUMB_TRY(open_field(out, "check", "{"));
    PLUMB_TRY(real(out, "step", c->step, VALUE_DIGITS));
    PLUMB_TRY(real(out, "largest_move", c->largest_move, VALUE_DIGITS));
    PLUMB_TRY(real(out, "predicted", c->predicted, VALUE_DIGITS));
    PLUMB_TRY(real(out, "actual", c->actual, VALUE_DIGITS));
    PLUMB_TRY(real(out, "allowed", c->allowed, VALUE_DIGITS));
    return plumb_text_printf(out, ",\"agrees\":%s}", c->agrees ? "true" : "false");
}

plumb_status plumb_explain_json(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    PLUMB_TRY(plumb_score_line(&x->score, plumb_explain_measures(how), out));
    if (x->score.skip) return PLUMB_OK;
    out->size -= strlen("}\n"); /* the fields of a score row come first */
    PLUMB_TRY(integer(out, "shared_states", x->shared_states));
    PLUMB_TRY(real(out, "alpha_minus_positive", x->alpha_minus_positive, VALUE_DIGITS));
    PLUMB_TRY(real(out, "alpha_plus_positive", x->alpha_plus_positive, VALUE_DIGITS));
    PLUMB_TRY(responses(how, x, out));
    PLUMB_TRY(matrices(&x->matrix, out));
    PLUMB_TRY(single_token(how, x, out));
    PLUMB_TRY(after(how, x, out));
    PLUMB_TRY(check(x, out));
    return plumb_text_string(out, "}\n");
}
