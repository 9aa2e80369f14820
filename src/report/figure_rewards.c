/* Figures of rewards over steps: of policy gradient with divergence, prompts without spread and generated tokens; of
 * the two sides of pairs with accuracy and margin. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "report/figure.h"

/* A metric over the steps that have noted it: rows between two generations have no rewards. */
typedef struct series {
    double *x, *y;
    size_t n;
} series;

static double metric(const plumb_report_run *run, size_t row, int which)
{
    return run->metrics[row * PLUMB_REPORT_METRICS + (size_t)which];
}

static bool has_metric(const plumb_report_run *run, int which)
{
    for (size_t t = 0; t < run->metric_count; t++)
        if (isfinite(metric(run, t, which))) return true;
    return false;
}

static bool some_run_has(const plumb_report *r, int which)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (has_metric(&r->runs[i], which)) return true;
    return false;
}

bool plumb_present_rewards(const plumb_report *r)
{
    return some_run_has(r, PLUMB_METRIC_REWARD);
}

bool plumb_present_margins(const plumb_report *r)
{
    return some_run_has(r, PLUMB_METRIC_MARGIN);
}

/* ---- the table ---- */

typedef struct column {
    const char *name, *label;
    plumb_column_kind kind;
} column;

static void put_columns(plumb_figure *f, const column *columns, int count)
{
    plumb_table_column(&f->table, "run", "run", PLUMB_COLUMN_TEXT);
    plumb_table_column(&f->table, "step", "step", PLUMB_COLUMN_COUNT);
    for (int i = 0; i < count; i++) plumb_table_column(&f->table, columns[i].name, columns[i].label, columns[i].kind);
}

static void put_rows(plumb_figure *f, const plumb_report_run *run, int first, int count)
{
    for (size_t t = 0; t < run->metric_count; t++) {
        plumb_table_string(&f->table, run->name);
        plumb_table_number(&f->table, run->metric_step[t]);
        for (int k = 0; k < count; k++) plumb_table_number(&f->table, metric(run, t, first + k));
    }
}

/* ---- panels ---- */

static void free_series(series *s)
{
    free(s->x);
    free(s->y);
}

static plumb_status gather(const plumb_report_run *run, int which, series *out)
{
    *out = (series){0};
    PLUMB_TRY(plumb_new(&out->x, run->metric_count, sizeof *out->x));
    PLUMB_TRY(plumb_new(&out->y, run->metric_count, sizeof *out->y));
    for (size_t t = 0; t < run->metric_count; t++) {
        double y = metric(run, t, which);
        if (!isfinite(y)) continue;
        out->x[out->n] = run->metric_step[t];
        out->y[out->n++] = y;
    }
    return PLUMB_OK;
}

/* The frame of a panel from `low` to `high`; a share is drawn from 0 to 1. */
static void frame(plumb_plot *p, plumb_figure *f, const plumb_report_run *run, const series *s, const char *title,
                  bool share, double low, double high)
{
    char label[256], a[40], b[40];
    double from = run->metric_step[0], to = run->metric_step[run->metric_count - 1];
    snprintf(label, sizeof label, "%.80s: %s over steps, from %s to %s; the table has the numbers.", run->name, title,
             plumb_people(s->y[0], a), plumb_people(s->y[s->n - 1], b));
    plumb_plot_begin(p, &f->panels, run->name, label, plumb_panel);
    if (share) {
        plumb_plot_share_y(p, 0, 1, title);
    } else {
        plumb_nice_range(&low, &high, 6);
        plumb_plot_y(p, low, high, title);
        if (low < 0 && high > 0) plumb_plot_horizontal(p, "zero", 0);
    }
    plumb_plot_x(p, from, to > from ? to : from + 1, "step");
}

/* A dot where a single row would make no line. */
static void draw_line(plumb_plot *p, const char *class_name, const series *s)
{
    plumb_plot_line(p, class_name, s->x, s->y, s->n);
    if (s->n == 1) plumb_plot_dot(p, class_name, s->x[0], s->y[0], 4, "");
}

static plumb_status one_panel(plumb_figure *f, const plumb_report_run *run, int which, const char *class_name,
                              const char *title, bool share)
{
    plumb_plot p;
    series s;
    double low = 0, high = 0;
    if (!has_metric(run, which)) return PLUMB_OK;
    plumb_status status = gather(run, which, &s);
    if (!status) {
        for (size_t i = 0; i < s.n; i++) {
            low = fmin(low, s.y[i]);
            high = fmax(high, s.y[i]);
        }
        frame(&p, f, run, &s, title, share, low, high);
        draw_line(&p, class_name, &s);
        plumb_plot_end(&p);
    }
    free_series(&s);
    return status;
}

/* The mean with a band of one standard deviation, where that is known. */
static plumb_status reward_panel(plumb_figure *f, const plumb_report_run *run)
{
    plumb_plot p;
    series mean, low = {0}, high = {0};
    double least = 0, most = 0;
    plumb_status s = PLUMB_OK;
    PLUMB_GO(gather(run, PLUMB_METRIC_REWARD, &mean));
    PLUMB_GO(gather(run, PLUMB_METRIC_REWARD, &low));
    PLUMB_GO(gather(run, PLUMB_METRIC_REWARD, &high));
    for (size_t t = 0, i = 0; t < run->metric_count; t++) {
        if (!isfinite(metric(run, t, PLUMB_METRIC_REWARD))) continue;
        double std = metric(run, t, PLUMB_METRIC_REWARD_STD);
        low.y[i] -= std;
        high.y[i] += std;
        least = fmin(least, fmin(mean.y[i], low.y[i])); /* fmin and fmax pass over NaN */
        most = fmax(most, fmax(mean.y[i], high.y[i]));
        i++;
    }
    frame(&p, f, run, &mean, "reward, mean and deviation", false, least, most);
    plumb_plot_band(&p, "chosen", mean.x, low.y, high.y, mean.n);
    draw_line(&p, "chosen", &mean);
    plumb_plot_end(&p);
done:
    free_series(&mean);
    free_series(&low);
    free_series(&high);
    return s;
}

/* Without equal rewards counted by plumb itself: TRL's number. */
static int spread_metric(const plumb_report_run *run)
{
    return has_metric(run, PLUMB_METRIC_NO_SPREAD) ? PLUMB_METRIC_NO_SPREAD : PLUMB_METRIC_ZERO_STD;
}

static plumb_status draw_panels(plumb_figure *f, const plumb_report_run *run)
{
    PLUMB_TRY(reward_panel(f, run));
    PLUMB_TRY(one_panel(f, run, PLUMB_METRIC_KL, "accent", "KL a token (nats)", false));
    PLUMB_TRY(one_panel(f, run, PLUMB_METRIC_OBJECTIVE_KL, "accent", "KL a completion (nats)", false));
    PLUMB_TRY(one_panel(f, run, spread_metric(run), "rejected", "prompts without spread", true));
    return one_panel(f, run, PLUMB_METRIC_TOKENS, "accent", "generated tokens so far", false);
}

static double last_of(const plumb_report_run *run, int which, double *first)
{
    double last = NAN;
    *first = NAN;
    for (size_t t = 0; t < run->metric_count; t++) {
        double y = metric(run, t, which);
        if (!isfinite(y)) continue;
        if (isnan(*first)) *first = y;
        last = y;
    }
    return last;
}

static void put_finding(plumb_figure *f, const plumb_report_run *run)
{
    char a[40], b[40];
    double first, last = last_of(run, PLUMB_METRIC_REWARD, &first);
    plumb_putf(&f->finding, "The mean reward of %s went from %s to %s", run->name, plumb_people(first, a),
               plumb_people(last, b));
    last = last_of(run, PLUMB_METRIC_KL, &first);
    if (isfinite(last)) plumb_putf(&f->finding, ", KL a token to %s", plumb_people(last, a));
    last = last_of(run, PLUMB_METRIC_OBJECTIVE_KL, &first);
    if (isfinite(last)) plumb_putf(&f->finding, ", KL a completion to %s", plumb_people(last, a));
    last = last_of(run, PLUMB_METRIC_TOKENS, &first);
    if (last >= 0) plumb_putf(&f->finding, ", over %s generated tokens", plumb_people_count((size_t)last, a));
    plumb_putf(&f->finding, ". ");
    last = last_of(run, spread_metric(run), &first);
    if (isfinite(last))
        plumb_putf(&f->finding,
                   "At the end %s of the prompts of %s gave no signal: their samples all had the same reward. ",
                   plumb_people_share(last, a), run->name);
}

plumb_status plumb_draw_rewards(const plumb_report *r, plumb_figure *f)
{
    static const column columns[] = {{"reward", "mean reward", PLUMB_COLUMN_NUMBER},
                                     {"reward_std", "deviation", PLUMB_COLUMN_NUMBER},
                                     {"reward_group_std", "deviation within a prompt", PLUMB_COLUMN_NUMBER},
                                     {"prompts_without_spread", "prompts without spread", PLUMB_COLUMN_SHARE},
                                     {"frac_reward_zero_std", "the same by TRL", PLUMB_COLUMN_SHARE},
                                     {"kl", "KL a token", PLUMB_COLUMN_NUMBER},
                                     {"objective/kl", "KL a completion", PLUMB_COLUMN_NUMBER},
                                     {"generated_tokens", "generated tokens", PLUMB_COLUMN_COUNT}};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    _Static_assert(COLUMNS == PLUMB_METRIC_ACCURACY - PLUMB_METRIC_REWARD, "a column for each metric of rewards");
    put_columns(f, columns, COLUMNS);
    for (size_t i = 0; i < r->run_count; i++) {
        const plumb_report_run *run = &r->runs[i];
        if (!has_metric(run, PLUMB_METRIC_REWARD)) continue;
        PLUMB_TRY(draw_panels(f, run));
        put_rows(f, run, PLUMB_METRIC_REWARD, COLUMNS);
        put_finding(f, run);
        plumb_figure_command(r, f, run->record, "plumb grpo MODEL PROMPTS -o RUN");
    }
    return PLUMB_OK;
}

/* ---- rewards of pairs ---- */

static void put_margin_finding(plumb_figure *f, const plumb_report_run *run)
{
    char a[40], b[40];
    double first, last = last_of(run, PLUMB_METRIC_MARGIN, &first);
    plumb_putf(&f->finding, "The margin of rewards in %s went from %s to %s", run->name, plumb_people(first, a),
               plumb_people(last, b));
    last = last_of(run, PLUMB_METRIC_ACCURACY, &first);
    if (isfinite(last))
        plumb_putf(&f->finding, ", accuracy from %s to %s", plumb_people_share(first, a), plumb_people_share(last, b));
    plumb_putf(&f->finding, ", in the batches of training. ");
}

plumb_status plumb_draw_margins(const plumb_report *r, plumb_figure *f)
{
    static const column columns[] = {{"accuracy", "accuracy", PLUMB_COLUMN_SHARE},
                                     {"margin", "margin", PLUMB_COLUMN_NUMBER},
                                     {"mean_reward", "mean reward", PLUMB_COLUMN_NUMBER}};
    enum { COLUMNS = sizeof columns / sizeof *columns };
    _Static_assert(COLUMNS == PLUMB_REPORT_METRICS - PLUMB_METRIC_ACCURACY,
                   "a column for each metric of pairs' rewards");
    put_columns(f, columns, COLUMNS);
    for (size_t i = 0; i < r->run_count; i++) {
        const plumb_report_run *run = &r->runs[i];
        if (!has_metric(run, PLUMB_METRIC_MARGIN)) continue;
        PLUMB_TRY(one_panel(f, run, PLUMB_METRIC_ACCURACY, "chosen", "accuracy", true));
        PLUMB_TRY(one_panel(f, run, PLUMB_METRIC_MARGIN, "accent", "margin", false));
        PLUMB_TRY(one_panel(f, run, PLUMB_METRIC_MEAN_REWARD, "accent", "mean reward", false));
        put_rows(f, run, PLUMB_METRIC_ACCURACY, COLUMNS);
        put_margin_finding(f, run);
        plumb_figure_command(r, f, run->record, "plumb reward MODEL DATA -o RM");
    }
    return PLUMB_OK;
}
