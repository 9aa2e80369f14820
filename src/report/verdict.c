/* The verdict in words, and what to do next.
 *
 * Displacement is said of a run whose chosen responses lost log-probability on average (Razin et al. 2024, arXiv
 * 2410.08847, section 3: ln pi(y+|x) falls although the loss falls too). */
#include <math.h>
#include <string.h>

#include "report/figure_scores.h"
#include "study/statistics.h"

/* From this share of fallen pairs on a run with a positive mean is still told about. */
static const double many_fell = 0.2;

/* A run in numbers. */
typedef struct run_numbers {
    double mean[2], fell;
    size_t count;
} run_numbers;

static run_numbers count_run(const plumb_report *r, const plumb_report_run *run)
{
    run_numbers n = {0};
    for (size_t i = 0; i < r->count; i++) {
        double chosen = run->change[0][i], rejected = run->change[1][i];
        if (!isfinite(chosen) || !isfinite(rejected)) continue;
        n.count++;
        n.mean[0] += chosen;
        n.mean[1] += rejected;
        n.fell += chosen < 0;
    }
    for (int side = 0; side < 2; side++) n.mean[side] /= (double)n.count;
    n.fell /= (double)n.count;
    return n;
}

static void say_run(plumb_report *r, const plumb_report_run *run, const run_numbers *n)
{
    char a[40], b[40], c[40], d[40];
    plumb_writer *w = &r->verdict;
    if (plumb_report_changed_runs(r) > 1)
        plumb_putf(w, "In %s the ", run->name);
    else
        plumb_put(w, "The ");
    plumb_putf(w,
               "chosen responses %s %s nats of log-probability on average and the rejected ones %s %s; %s of %s chosen "
               "responses became less likely. ",
               n->mean[0] < 0 ? "lost" : "gained", plumb_people(fabs(n->mean[0]), a),
               n->mean[1] < 0 ? "lost" : "gained", plumb_people(fabs(n->mean[1]), b), plumb_people_share(n->fell, c),
               plumb_people_count(n->count, d));
}

/* Where the mass went, of all traces. */
static void say_verdicts(plumb_report *r)
{
    int64_t n[PLUMB_REPORT_VERDICTS] = {0}, fell = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->pairs[i].verdict >= 0) n[r->pairs[i].verdict]++;
    for (int i = 1; i < PLUMB_REPORT_VERDICTS; i++) fell += n[i];
    if (!fell) return;
    plumb_putf(&r->verdict,
               "Traced pairs that fell: %lld. Probability went to tokens of the opposite meaning in %lld of them "
               "(catastrophic), to tokens of the same meaning in %lld (benign), elsewhere in %lld. ",
               (long long)fell, (long long)n[2], (long long)n[1], (long long)n[3]);
    if (2 * n[2] >= fell) r->alarming = true;
}

/* How much of the damage the filter's cut would have caught. */
static plumb_status say_held(plumb_report *r, const plumb_report_run *run)
{
    int measure = plumb_best_measure(r);
    double held;
    char a[40];
    if (measure < 0) return PLUMB_OK;
    PLUMB_TRY(plumb_share_held(r, run, measure, 0.1, &held));
    if (isnan(held)) return PLUMB_OK;
    plumb_putf(&r->verdict, "The 10\xC2\xA0%% of pairs with the highest %s hold %s of the displacement",
               plumb_report_measures[measure].field, plumb_people_share(held, a));
    plumb_put_run_name(r, run, &r->verdict);
    plumb_put(&r->verdict, held >= 0.2 ? ". " : ": the score does not single out these pairs. ");
    return PLUMB_OK;
}

static void say_judges(plumb_report *r)
{
    const plumb_report_judge *first = NULL, *last = NULL;
    char a[40], b[40];
    for (size_t i = 0; i < r->judge_count; i++) {
        if (!r->judges[i].all.total) continue;
        if (!first) first = &r->judges[i];
        last = &r->judges[i];
    }
    if (!first) return;
    double before = (double)first->all.refusals / (double)first->all.total;
    double after = (double)last->all.refusals / (double)last->all.total;
    plumb_interval one = plumb_wilson(first->all.refusals, first->all.total);
    plumb_interval two = plumb_wilson(last->all.refusals, last->all.total);
    if (first == last) {
        plumb_putf(&r->verdict, "%s of the responses in %s are refusals. ", plumb_people_share(before, a), first->name);
        return;
    }
    bool apart = one.high < two.low || two.high < one.low;
    plumb_putf(&r->verdict, "Refusals: %s in %s, %s in %s%s. ", plumb_people_share(before, a), first->name,
               plumb_people_share(after, b), last->name, apart ? "" : " (the intervals overlap)");
    r->fewer_refusals = apart && after < before;
    if (r->fewer_refusals) r->alarming = true;
}

static void say_scores(plumb_report *r)
{
    int measure = plumb_best_measure(r);
    const plumb_report_pair *worst = NULL;
    char a[40], b[40];
    if (measure < 0) return;
    double sign = plumb_report_measures[measure].low_is_bad ? -1 : 1;
    for (size_t i = 0; i < r->count; i++) {
        double value = sign * r->pairs[i].measure[measure];
        if (isfinite(value) && (!worst || value > sign * worst->measure[measure])) worst = &r->pairs[i];
    }
    if (!worst) return;
    plumb_putf(&r->verdict,
               "%s pairs are scored. The one that the model finds hardest to tell apart by %s is pair %lld (%s). "
               "Scores rank pairs; what training does to them only a run's ledger shows. ",
               plumb_people_count(r->scored, b), plumb_report_measures[measure].field, (long long)worst->index,
               plumb_people(worst->measure[measure], a));
}

/* ---- what next ---- */

static const plumb_report_run *first_changed(const plumb_report *r)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (plumb_report_has_changes(r, &r->runs[i])) return &r->runs[i];
    return NULL;
}

static void next(plumb_report *r, const char *why, const char *command)
{
    plumb_put(&r->next_why, why);
    plumb_figure_remedy(r, command, &r->next);
}

static bool is_traced(const plumb_report *r)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (r->runs[i].is_trace) return true;
    return false;
}

static void next_explain(plumb_report *r, const plumb_report_run *run)
{
    size_t worst = 0; /* a NaN is never below */
    for (size_t i = 1; i < r->count; i++)
        if (!(run->change[0][i] >= run->change[0][worst])) worst = isnan(run->change[0][i]) ? worst : i;
    plumb_put(&r->next_why, "Nothing here asks for a remedy. See why the pair that did worst did.");
    plumb_figure_remedy(r, "plumb explain MODEL DATA --pair ", &r->next);
    plumb_putf(&r->next, "%lld", (long long)r->pairs[worst].index);
}

static void next_filter(plumb_report *r, const char *why)
{
    plumb_put(&r->next_why, why);
    plumb_put(&r->next, "plumb filter ");
    plumb_figure_remedy(r, "DATA", &r->next);
    for (size_t i = 0; i < r->scores.count; i++) {
        plumb_put(&r->next, " ");
        plumb_put_shell(&r->next, r->scores.items[i].path);
    }
    if (!r->scores.count) plumb_put(&r->next, " scores.jsonl");
    int measure = plumb_best_measure(r);
    plumb_putf(&r->next, " --by %s --keep-lowest 5%% -o kept.jsonl",
               measure >= 0 && !plumb_report_measures[measure].low_is_bad ? plumb_report_measures[measure].field
                                                                          : "ln_ches");
}

static void say_next(plumb_report *r, bool displaced)
{
    if (!first_changed(r) && r->scored)
        next_filter(r, "Keep the pairs whose two responses the model tells apart best, and train on them.");
    else if (displaced && r->scores.count)
        next_filter(r, "Leave out the pairs with the highest scores, and train again on what is kept.");
    else if (displaced)
        next(r, "Find out which pairs are to blame: score them with the model that the run started from.",
             "plumb score MODEL DATA -o scores.jsonl");
    else if (first_changed(r) && !r->judge_count)
        next(r, "Log-probabilities look well; see what the model says now.",
             "plumb generate RUN PROMPTS -o responses.jsonl && plumb judge responses.jsonl -o judged.jsonl");
    else if (first_changed(r) && !is_traced(r))
        next(r, "Nothing here asks for a remedy. See where the probability went before you rely on it.",
             "plumb trace RUN -o trace.jsonl");
    else if (first_changed(r))
        next_explain(r, first_changed(r));
    else
        next(r, "Score the pairs: which of them may push down the response that they prefer?",
             "plumb score MODEL DATA -o scores.jsonl");
}

/* What all runs together say. */
typedef struct runs_summary {
    size_t displaced, fine;
    bool many; /* in some run many fell */
    const plumb_report_run *worst, *best;
} runs_summary;

static runs_summary say_runs(plumb_report *r)
{
    runs_summary all = {0};
    double worst = INFINITY, best = -INFINITY;
    for (size_t i = 0; i < r->run_count; i++) {
        const plumb_report_run *run = &r->runs[i];
        if (!plumb_report_has_changes(r, run)) continue;
        run_numbers n = count_run(r, run);
        all.displaced += n.mean[0] < 0;
        all.fine += n.mean[0] >= 0;
        all.many = all.many || n.fell >= many_fell;
        if (!all.worst || n.mean[0] < worst) all.worst = run;
        if (!all.best || n.mean[0] > best) all.best = run;
        worst = fmin(worst, n.mean[0]);
        best = fmax(best, n.mean[0]);
        say_run(r, run, &n);
    }
    return all;
}

/* "run-all, run-b": the runs that lost, or those that did not. */
static void put_names(plumb_report *r, bool displaced)
{
    const char *before = "";
    for (size_t i = 0; i < r->run_count; i++) {
        if (!plumb_report_has_changes(r, &r->runs[i])) continue;
        run_numbers n = count_run(r, &r->runs[i]);
        if ((n.mean[0] < 0) != displaced) continue;
        plumb_putf(&r->headline, "%s%s", before, r->runs[i].name);
        before = ", ";
    }
}

static void put_headline(plumb_report *r, const runs_summary *all)
{
    if (all->displaced && all->fine) {
        plumb_put(&r->headline, "Likelihood displacement in ");
        put_names(r, true);
        plumb_put(&r->headline, "; none in ");
        put_names(r, false);
        return;
    }
    plumb_put(&r->headline, all->displaced      ? "Likelihood displacement: the chosen responses became less likely"
                            : r->fewer_refusals ? "The model refuses less than before"
                            : all->many         ? "Chosen responses gained on average, but many of them fell"
                            : all->fine         ? "No likelihood displacement: the chosen responses became more likely"
                            : r->scored         ? "Scored, not yet trained"
                            : r->judge_count    ? "Judged responses"
                                                : "What is known so far");
}

plumb_status plumb_report_judge_all(plumb_report *r)
{
    runs_summary all = say_runs(r);
    r->alarming = all.displaced > 0;
    say_verdicts(r);
    if (all.worst) PLUMB_TRY(say_held(r, all.worst));
    if (!all.worst) say_scores(r);
    say_judges(r);
    put_headline(r, &all);
    if (all.displaced && all.fine && all.best) {
        plumb_putf(&r->next_why, "Go on with %s; see what its model says now.", all.best->name);
        plumb_put(&r->next, "plumb generate ");
        plumb_put_shell(&r->next, all.best->path);
        plumb_put(&r->next, " PROMPTS -o responses.jsonl && plumb judge responses.jsonl -o judged.jsonl");
    } else {
        say_next(r, all.displaced || all.many || r->alarming);
    }
    PLUMB_TRY(plumb_writer_end(&r->headline));
    PLUMB_TRY(plumb_writer_end(&r->verdict));
    PLUMB_TRY(plumb_writer_end(&r->next_why));
    return plumb_writer_end(&r->next);
}

/* ---- key numbers ---- */

static void add_number(plumb_table *t, const char *name, double value, bool share)
{
    char text[40];
    plumb_table_string(t, name);
    plumb_table_string(t, share ? plumb_people_share(value, text) : plumb_people(value, text));
}

plumb_status plumb_report_key_numbers(const plumb_report *r, plumb_table *t)
{
    const plumb_report_run *run = first_changed(r);
    plumb_table_column(t, "name", "name", PLUMB_COLUMN_TEXT);
    plumb_table_column(t, "value", "value", PLUMB_COLUMN_TEXT);
    if (r->count) add_number(t, "pairs", (double)r->count, false);
    if (plumb_report_changed_runs(r) > 1) add_number(t, "runs", (double)plumb_report_changed_runs(r), false);
    if (run && plumb_report_changed_runs(r) == 1) {
        run_numbers n = count_run(r, run);
        add_number(t, "mean change, chosen", n.mean[0], false);
        add_number(t, "mean change, rejected", n.mean[1], false);
        add_number(t, "chosen less likely", n.fell, true);
    }
    if (r->scored) add_number(t, "scored pairs", (double)r->scored, false);
    if (r->explained) add_number(t, "explained pairs", (double)r->explained, false);
    return plumb_writer_end(&t->texts);
}
