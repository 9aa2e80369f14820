/* Which tokens gained probability: over the steps of a ledger, or between two checkpoints. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/figure.h"

enum { SHOWN = 7, LISTED = 25 };

static bool has_gains(const plumb_report_run *run)
{
    return run->gaining.count > 0;
}

bool plumb_present_tokens(const plumb_report *r)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (has_gains(&r->runs[i])) return true;
    return false;
}

static int larger_gain(const void *a, const void *b, void *last_step)
{
    const plumb_gaining_token *x = *(const plumb_gaining_token *const *)a, *y = *(const plumb_gaining_token *const *)b;
    size_t last = *(const size_t *)last_step;
    if (x->gain[last] != y->gain[last]) return x->gain[last] > y->gain[last] ? -1 : 1;
    return x->token < y->token ? -1 : x->token > y->token;
}

/* Tokens by what they had gained at the end, largest first; the caller frees *out. */
static plumb_status order_tokens(const plumb_gaining *g, plumb_gaining_token ***out)
{
    size_t last = g->steps - 1;
    PLUMB_TRY(plumb_new(out, g->count, sizeof(void *)));
    for (size_t i = 0; i < g->count; i++) (*out)[i] = &g->tokens[i];
    qsort_r(*out, g->count, sizeof(void *), larger_gain, &last);
    return PLUMB_OK;
}

/* Mean over the pairs: a token that is not among a pair's gained ones counts as 0 there. */
static double gain_at(const plumb_gaining *g, const plumb_gaining_token *t, size_t step)
{
    return g->pairs[step] ? t->gain[step] / (double)g->pairs[step] : NAN;
}

/* A token as people see it: its text in quotes, white space shown, or its number. Cut at `most` bytes. */
static void token_name(const plumb_gaining_token *t, size_t most, bool with_class, plumb_writer *w)
{
    plumb_writer plain = {0};
    if (!t->text_size) {
        plumb_putf(w, "token %lld", (long long)t->token);
    } else {
        plumb_put_visible(&plain, t->text, t->text_size, most, NULL);
        plumb_put(w, "\xE2\x80\x9C");
        for (size_t i = 0; i < plain.text.size; i++) {
            char c = plain.text.data[i];
            if (c == '\n' || c == '\t')
                plumb_put(w, c == '\n' ? "\xE2\x86\xB5" : "\xE2\x87\xA5");
            else if (c == ' ' && (i == 0 || i + 1 == plain.text.size))
                plumb_put(w, "\xE2\x90\xA3");
            else
                plumb_put_bytes(w, &c, 1);
        }
        plumb_put(w, "\xE2\x80\x9D");
    }
    if (with_class && *t->class_name) plumb_putf(w, " (%s)", t->class_name);
    plumb_writer_keep(w, plumb_writer_end(&plain));
    plumb_writer_free(&plain);
}

static const char *const line_classes[SHOWN] = {"rejected", "chosen", "accent",      "third",
                                                "fourth",   "muted",  "muted dashed"};

/* Lines over steps, labelled at their ends. */
static plumb_status lines_panel(plumb_figure *f, const plumb_report_run *run, plumb_gaining_token *const *tokens,
                                size_t n)
{
    const plumb_gaining *g = &run->gaining;
    plumb_plot p;
    plumb_plot_size size = plumb_panel;
    double *x = NULL, *y = NULL, high = 0, low = 0, at[SHOWN];
    plumb_status s = PLUMB_OK;
    size.right = 118;
    PLUMB_GO(plumb_new(&x, g->steps, sizeof *x));
    PLUMB_GO(plumb_new(&y, g->steps, sizeof *y));
    for (size_t t = 0; t < g->steps; t++) {
        x[t] = (double)run->ledger.steps[t];
        for (size_t i = 0; i < n; i++) high = fmax(high, gain_at(g, tokens[i], t));
    }
    plumb_nice_range(&low, &high, 6);
    plumb_plot_begin(&p, &f->panels, run->name,
                     "Lines over steps of the probability that the tokens gained; the table has "
                     "the numbers.",
                     size);
    plumb_plot_share_y(&p, low, high, "probability gained, mean over pairs");
    plumb_plot_x(&p, x[0], x[g->steps - 1] > x[0] ? x[g->steps - 1] : x[0] + 1, "step");
    for (size_t i = n; i-- > 0;) {
        for (size_t t = 0; t < g->steps; t++) y[t] = gain_at(g, tokens[i], t);
        plumb_plot_line(&p, line_classes[i], x, y, g->steps);
        at[i] = plumb_plot_upwards(&p, y[g->steps - 1]) + 4;
    }
    plumb_spread_labels(at, n, 15, size.top, size.height - size.bottom + 4);
    for (size_t i = 0; i < n; i++) {
        plumb_writer name = {0};
        char class_name[32];
        token_name(tokens[i], 14, false, &name);
        s = plumb_writer_end(&name);
        snprintf(class_name, sizeof class_name, "label %.12s-text", i < 5 ? line_classes[i] : "muted");
        if (!s) plumb_plot_text_at(&p, class_name, size.width - size.right + 6, at[i], "start", name.text.data);
        plumb_writer_free(&name);
        if (s) goto done;
    }
    plumb_plot_end(&p);
done:
    free(x);
    free(y);
    return s;
}

/* Bars, for two checkpoints. */
static plumb_status bars_panel(plumb_figure *f, const plumb_report_run *run, plumb_gaining_token *const *tokens,
                               size_t n)
{
    const plumb_gaining *g = &run->gaining;
    plumb_plot p;
    plumb_plot_size size = {420, 72 + 28 * (double)n, 150, 18, 22, 42};
    double low = 0, high = gain_at(g, tokens[0], 0);
    plumb_nice_range(&low, &high, 5);
    plumb_plot_begin(&p, &f->panels, run->name,
                     "Bars of the probability that the tokens gained; the table has the numbers.", size);
    plumb_plot_share_x(&p, low, high, "probability gained, mean over pairs");
    p.y = (plumb_scale){0, (double)n, size.height - size.bottom, size.top - 8};
    for (size_t i = 0; i < n; i++) {
        double at = (double)(n - i) - 0.5;
        bool opposite = strcmp(tokens[i]->class_name, "refusal") == 0 || strcmp(tokens[i]->class_name, "denial") == 0;
        plumb_writer name = {0};
        char tip[80], a[40];
        token_name(tokens[i], 12, true, &name);
        plumb_status s = plumb_writer_end(&name);
        snprintf(tip, sizeof tip, "%s", plumb_people_share(gain_at(g, tokens[i], 0), a));
        plumb_plot_bar(&p, opposite ? "bar rose" : "bar", 0, at - 0.33, gain_at(g, tokens[i], 0), at + 0.33, tip);
        if (!s) plumb_plot_text_at(&p, "label", size.left - 7, plumb_plot_upwards(&p, at) + 4, "end", name.text.data);
        plumb_writer_free(&name);
        PLUMB_TRY(s);
    }
    plumb_plot_end(&p);
    return PLUMB_OK;
}

static void token_rows(plumb_figure *f, const plumb_report_run *run, plumb_gaining_token *const *tokens, size_t n)
{
    const plumb_gaining *g = &run->gaining;
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < g->steps; t++) {
            plumb_table_string(&f->table, run->name);
            plumb_table_number(&f->table, run->has_ledger ? (double)run->ledger.steps[t] : NAN);
            plumb_table_number(&f->table, (double)tokens[i]->token);
            plumb_table_text(&f->table, tokens[i]->text, tokens[i]->text_size);
            plumb_table_string(&f->table, *tokens[i]->class_name ? tokens[i]->class_name : NULL);
            plumb_table_number(&f->table, gain_at(g, tokens[i], t));
        }
    }
}

static plumb_status token_finding(const plumb_report *r, plumb_figure *f, const plumb_report_run *run,
                                  plumb_gaining_token *const *tokens)
{
    const plumb_gaining *g = &run->gaining;
    plumb_writer name = {0};
    char a[40];
    token_name(tokens[0], 40, true, &name);
    plumb_status s = plumb_writer_end(&name);
    if (!s) {
        if (f->finding.text.size) plumb_put(&f->finding, " ");
        plumb_putf(&f->finding, "%s gained most", name.text.data);
        if (r->run_count > 1) plumb_putf(&f->finding, " in %s", run->name);
        plumb_putf(&f->finding, ": on average %s of probability a pair.",
                   plumb_people_share(gain_at(g, tokens[0], g->steps - 1), a));
    }
    plumb_writer_free(&name);
    return s;
}

plumb_status plumb_draw_tokens(const plumb_report *r, plumb_figure *f)
{
    plumb_table_column(&f->table, "run", "run", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "step", "step", PLUMB_COLUMN_COUNT);
    plumb_table_column(&f->table, "token", "token", PLUMB_COLUMN_COUNT);
    plumb_table_column(&f->table, "text", "text", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "class", "class", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "mean_gain", "probability gained, mean", PLUMB_COLUMN_SHARE);
    for (size_t k = 0; k < r->run_count; k++) {
        const plumb_report_run *run = &r->runs[k];
        plumb_gaining_token **tokens = NULL;
        if (!has_gains(run)) continue;
        PLUMB_TRY(order_tokens(&run->gaining, &tokens));
        size_t shown = run->gaining.count < SHOWN ? run->gaining.count : SHOWN;
        size_t listed = run->gaining.steps > 1 ? shown : run->gaining.count < LISTED ? run->gaining.count : LISTED;
        plumb_status s =
            run->gaining.steps > 1 ? lines_panel(f, run, tokens, shown) : bars_panel(f, run, tokens, shown);
        token_rows(f, run, tokens, listed);
        if (!s) s = token_finding(r, f, run, tokens);
        if (r->run_count > 1) plumb_putf(&f->note, "%s: ", run->name);
        plumb_putf(&f->note, "Tokens that are among those that gained most at some pair: %zu; drawn: %zu. ",
                   run->gaining.count, shown);
        free(tokens);
        plumb_figure_command(r, f, run->record,
                             run->is_trace ? "plumb trace BEFORE AFTER DATA -o trace.jsonl"
                                           : "plumb dpo MODEL DATA -o RUN --ledger_steps 1 --ledger_tokens 5");
        PLUMB_TRY(s);
    }
    return PLUMB_OK;
}
