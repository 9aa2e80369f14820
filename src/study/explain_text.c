/* An explanation in words, for a terminal. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "io/json.h"
#include "study/explain.h"
#include "text/token_text.h"

enum { COLUMNS = 80, INDENT = 2, BAR = 16, EXCERPT = 56 };

/* Within the accuracy of fp32 a rate says nothing about the direction. */
static const double NEGLIGIBLE = 1e-4;

/* A paragraph, wrapped. */
static plumb_status say(plumb_text *out, const char *format, ...) PLUMB_PRINTF(2, 3);
static plumb_status say(plumb_text *out, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    PLUMB_TRY(plumb_text_string(out, "  "));
    PLUMB_TRY(plumb_wrap(out, text, INDENT, COLUMNS));
    return plumb_text_string(out, "\n");
}

/* Text of the data in quotes, with escapes for what would move the terminal; cut between characters at `most` bytes
 * (0: not). */
static plumb_status quoted(plumb_text *out, const plumb_text *text, size_t most)
{
    size_t n = text->size;
    if (most && n > most)
        for (n = most; n && ((unsigned char)text->data[n] & 0xc0) == 0x80;) n--;
    PLUMB_TRY(plumb_json_quote(out, text->data ? text->data : "", n));
    return plumb_text_string(out, n < text->size ? " ..." : "");
}

static plumb_status token_line(const plumb_explain_how *how, int32_t before, int32_t id, plumb_text *out)
{
    plumb_text text = {0};
    plumb_status s = plumb_token_text(how->tokenizer, before, id, &text);
    if (!s && !text.size)
        s = plumb_text_printf(out, "(%" PRId32 ")\n", id);
    else if (!s)
        s = quoted(out, &text, 0);
    if (!s && text.size) s = plumb_text_string(out, "\n");
    plumb_text_free(&text);
    return s;
}

/* ---- the pair ---- */

static plumb_status show_part(const plumb_explain_how *how, const char *name, const int32_t *ids, int count,
                              const char *more, plumb_text *out)
{
    plumb_text text = {0};
    plumb_status s = plumb_tokenizer_decode(how->tokenizer, ids, (size_t)count, false, &text);
    if (!s) s = plumb_text_printf(out, "  %-9s %5d token%s%s  ", name, count, count == 1 ? " " : "s", more);
    if (!s) s = quoted(out, &text, EXCERPT);
    if (!s) s = plumb_text_string(out, "\n");
    plumb_text_free(&text);
    return s;
}

static plumb_status show_pair(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    const plumb_pair *p = x->pair;
    int common = x->score.shared_tokens - p->prompt;
    PLUMB_TRY(show_part(how, "prompt", p->ids[0].data, p->prompt, "", out));
    PLUMB_TRY(show_part(how, "chosen", p->ids[0].data + p->prompt, x->score.tokens[0], "", out));
    PLUMB_TRY(show_part(how, "rejected", p->ids[1].data + p->prompt, x->score.tokens[1], "", out));
    PLUMB_TRY(plumb_text_printf(out, "  ln pi     chosen %.6g, rejected %.6g\n", x->score.logps[0], x->score.logps[1]));
    if (common > 0)
        PLUMB_TRY(say(out, "The responses begin with the same %d token%s.", common, common == 1 ? "" : "s"));
    if (p->truncated) PLUMB_TRY(say(out, "The pair was cut at --max_length: tokens behind the cut are not seen."));
    if (!p->boundary_clean)
        PLUMB_TRY(say(out, "The prompt's last token merges with the response; the response begins before it."));
    return plumb_text_string(out, "\n");
}

/* ---- will it fall? ---- */

static plumb_status show_verdict(const plumb_explanation *x, plumb_text *out)
{
    const plumb_theory *t = &x->score.theory;
    double rate = x->is_single ? x->first.rate : t->rate;
    double scale = fabs(t->minus) + fabs(t->plus) + fabs(t->hidden_path);
    const char *what = x->is_single ? "the first token of the preferred response" : "the preferred response";
    if (fabs(rate) <= NEGLIGIBLE * scale)
        return say(out, "HARDLY MOVES: training on this pair neither raises nor lowers the likelihood of %s at first.",
                   what);
    return say(out, "%s: training on this pair %s the likelihood of %s at first, at a rate of %.6g.",
               rate < 0 ? "FALLS" : "RISES", rate < 0 ? "lowers" : "raises", what, rate);
}

static plumb_status show_terms(const plumb_explanation *x, plumb_text *out)
{
    const plumb_theory *t = &x->score.theory;
    PLUMB_TRY(plumb_text_string(out, "\n  Why (rate = plus - minus + hidden_path, over all tokens):\n"));
    PLUMB_TRY(plumb_text_printf(out, "    plus         %12.6g  the tokens of the preferred response raise each other\n",
                                t->plus));
    PLUMB_TRY(plumb_text_printf(out, "    minus        %12.6g  pushing the other response down takes this along\n",
                                t->minus));
    PLUMB_TRY(plumb_text_printf(out, "    hidden_path  %12.6g  through the hidden states\n", t->hidden_path));
    PLUMB_TRY(plumb_text_printf(out, "    rate         %12.6g\n", t->rate));
    PLUMB_TRY(plumb_text_printf(out, "    alpha_ches   %12.6g  = minus - plus; ches %.6g, ln_ches %.6g\n",
                                t->alpha_ches, x->score.ches, x->score.ln_ches));
    PLUMB_TRY(say(out,
                  "CHES is alpha_ches with all coefficients alpha set to 1; here %.3g %% of the "
                  "preferred-dispreferred ones and %.3g %% of the preferred-preferred ones are positive.",
                  100 * x->alpha_minus_positive, 100 * x->alpha_plus_positive));
    return PLUMB_OK;
}

/* ---- which words? ---- */

typedef struct ranked {
    double blame;
    int place;
} ranked;

static int by_blame(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->blame != y->blame) return x->blame > y->blame ? -1 : 1;
    return x->place - y->place;
}

static plumb_status show_side(const plumb_explain_how *how, const plumb_explanation *x, int side, double most,
                              plumb_text *out)
{
    static const char *const heads[2] = {"Preferred (blame, place, its own rate, token)",
                                         "Other response (blame, place, token)"};
    int n = x->score.tokens[side], shown = n < how->top ? n : how->top;
    const int32_t *ids = x->pair->ids[side].data;
    ranked *order;
    plumb_status s;
    PLUMB_TRY(plumb_new(&order, (size_t)n, sizeof *order));
    for (int i = 0; i < n; i++) order[i] = (ranked){x->blame.blame[side][i], i};
    qsort(order, (size_t)n, sizeof *order, by_blame);
    PLUMB_GO(plumb_text_printf(out, "    %s\n", heads[side]));
    for (int i = 0; i < shown; i++) {
        char bar[BAR + 1];
        int place = x->pair->prompt + order[i].place;
        int length = most > 0 ? (int)lrint(BAR * fabs(order[i].blame) / most) : 0;
        memset(bar, order[i].blame > 0 ? '#' : '.', (size_t)length);
        bar[length] = 0;
        PLUMB_GO(plumb_text_printf(out, "    %12.6g  %-*s %5d  ", order[i].blame, BAR, bar, order[i].place));
        if (side == 0) PLUMB_GO(plumb_text_printf(out, "%+12.6g  ", x->blame.rate[order[i].place]));
        PLUMB_GO(token_line(how, ids[place - 1], ids[place], out));
    }
    if (shown < n) s = plumb_text_printf(out, "    and %d more (--top)\n", n - shown);
done:
    free(order);
    return s;
}

static plumb_status show_blame(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    double most = 0;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < x->score.tokens[side]; i++) most = fmax(most, fabs(x->blame.blame[side][i]));
    PLUMB_TRY(plumb_text_string(out, "\n  The words to blame\n"));
    PLUMB_TRY(say(out, "How much of minus each token brings about. Below 0 (dots) it holds the preferred response up. "
                       "A place is counted from the response's first token, 0."));
    for (int side = 0; side < 2; side++) PLUMB_TRY(show_side(how, x, side, most, out));
    return PLUMB_OK;
}

/* ---- one token ---- */

static plumb_status show_list(const plumb_explain_how *how, const plumb_explanation *x,
                              const plumb_explained_token *list, int count, plumb_text *out)
{
    int32_t before = x->pair->ids[0].data[x->pair->prompt - 1];
    PLUMB_TRY(plumb_text_printf(out, "    %12s  %12s%s  token\n", "<W_z, W+-W->", "probability",
                                x->has_after ? "         after   logit moved" : ""));
    for (int i = 0; i < count; i++) {
        PLUMB_TRY(plumb_text_printf(out, "    %12.6g  %12.4g", list[i].move, list[i].p_before));
        if (x->has_after) PLUMB_TRY(plumb_text_printf(out, "  %12.4g  %+12.4g", list[i].p_after, list[i].dlogit));
        PLUMB_TRY(plumb_text_string(out, "  "));
        PLUMB_TRY(token_line(how, before, list[i].id, out));
    }
    return PLUMB_OK;
}

static plumb_status show_single(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    const plumb_single_token *t = &x->single;
    const plumb_first_token *f = &x->first;
    double norms = t->w_plus_norm * t->w_minus_norm, length = hypot(t->projection, t->orthogonal);
    PLUMB_TRY(
        plumb_text_string(out, "\n  One token against one (W+, W-: their rows of the unembedding; h: the state)\n"));
    PLUMB_TRY(plumb_text_printf(out, "    probabilities   %.4g preferred, %.4g other\n", f->p_plus, f->p_minus));
    PLUMB_TRY(plumb_text_printf(out, "    rate            %.6g = %.6g through W, %.6g through h\n", f->rate,
                                f->unembedding, f->hidden));
    PLUMB_TRY(say(out,
                  "Theorem 1: it falls the more, the larger <W+, W-> = %.6g (cosine %.3g) and the other tokens' pull, "
                  "the sum of pi(z) <W_z, W+ - W->, = %.6g.",
                  t->w_dot, norms > 0 ? t->w_dot / norms : 0, f->others));
    PLUMB_TRY(say(out, "Of W+ - W- (length %.6g) %.6g lies along W+ and %.6g across it; |h| is %.6g.", length,
                  t->projection, t->orthogonal, t->hidden_norm));
    PLUMB_TRY(say(out, "Theorem 2: the probability goes to the tokens z with the largest <W_z, W+ - W->, first to"));
    return show_list(how, x, f->top, f->top_count, out);
}

/* ---- after training, the check, advice ---- */

static plumb_status show_after(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    const plumb_explain_after *a = &x->after;
    PLUMB_TRY(plumb_text_printf(out, "\n  After training (%s)\n", how->after_name));
    PLUMB_TRY(plumb_text_printf(out, "    ln pi(y+)  %.6g -> %.6g  (%+.6g)\n    ln pi(y-)  %.6g -> %.6g  (%+.6g)\n",
                                x->score.logps[0], a->logps[0], a->change[0], x->score.logps[1], a->logps[1],
                                a->change[1]));
    if (!x->is_single) return PLUMB_OK;
    PLUMB_TRY(say(out,
                  "Spearman's rho over the vocabulary between <W_z, W+ - W-> and what happened: %.3g with the change "
                  "of the logit, %.3g with that of the probability. These gained most:",
                  a->spearman_logit, a->spearman_probability));
    return show_list(how, x, a->gained, a->gained_count, out);
}

static plumb_status show_check(const plumb_explanation *x, plumb_text *out)
{
    const plumb_theory_step *c = &x->check;
    PLUMB_TRY(plumb_text_printf(out,
                                "\n  Check: one step of gradient flow of size %.4g (no logit moves by more than "
                                "%.4g)\n",
                                c->step, c->largest_move));
    PLUMB_TRY(plumb_text_printf(out, "    change of ln pi(y+) predicted %.9g, actual %.9g\n", c->predicted, c->actual));
    return plumb_text_printf(out, "    they differ by %.3g of at most %.3g: %s\n", fabs(c->predicted - c->actual),
                             c->allowed, c->agrees ? "they agree" : "THEY DO NOT AGREE");
}

static plumb_status show_advice(const plumb_explanation *x, plumb_text *out)
{
    double rate = x->is_single ? x->first.rate : x->score.theory.rate;
    PLUMB_TRY(plumb_text_string(out, "\n  What to do\n"));
    if (rate >= 0)
        return say(out, "Nothing for this pair by itself. Training on other pairs can still lower it: plumb score "
                        "ranks all pairs, and the ledger of plumb dpo tells what happened to each.");
    PLUMB_TRY(say(out, "Leave it out with those like it: plumb score MODEL DATA -o scores.jsonl, then plumb filter "
                       "DATA scores.jsonl --by ln_ches --keep-lowest 5%% -o kept.jsonl."));
    PLUMB_TRY(say(out, "Or give it another rejected response, one that shares less with the preferred one in the "
                       "model's eyes: the words above."));
    return say(out, "Or train with plumb dpo --ches_gate, or with an SFT term (--loss_type sigmoid sft).");
}

plumb_status plumb_explain_text(const plumb_explain_how *how, const plumb_explanation *x, plumb_text *out)
{
    PLUMB_TRY(plumb_text_printf(out, "pair %" PRId64 " of %s (row %016" PRIx64 ")\n", x->score.index, how->data,
                                x->score.row));
    if (x->score.skip) return plumb_text_printf(out, "  skipped: %s\n", plumb_skip_name(x->score.skip));
    PLUMB_TRY(show_pair(how, x, out));
    PLUMB_TRY(show_verdict(x, out));
    PLUMB_TRY(show_terms(x, out));
    if (how->gradients)
        PLUMB_TRY(plumb_text_printf(out, "    over all parameters: rate %.6g = %.6g - %.6g (grad)\n",
                                    x->score.grad_plus_plus - x->score.grad_plus_minus, x->score.grad_plus_plus,
                                    x->score.grad_plus_minus));
    PLUMB_TRY(show_blame(how, x, out));
    if (x->is_single) PLUMB_TRY(show_single(how, x, out));
    if (x->has_after) PLUMB_TRY(show_after(how, x, out));
    if (x->has_check) PLUMB_TRY(show_check(x, out));
    return show_advice(x, out);
}
