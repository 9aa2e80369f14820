/* A figure: drawn panels, what they show in words, the numbers behind them, and the command that made these. One row of
 * the table in figures.c and one function each (internal to src/report). */
#ifndef PLUMB_REPORT_FIGURE_H
#define PLUMB_REPORT_FIGURE_H

#include "report/plot.h"
#include "report/report_data.h"
#include "report/table.h"

typedef struct plumb_figure {
    const struct plumb_figure_kind *kind;
    plumb_writer finding; /* what it shows, one or two plain sentences; may quote data, not escaped yet */
    plumb_writer note;    /* samples, cuts and the like, plain text */
    plumb_writer panels;  /* SVG and HTML */
    plumb_writer command; /* plain text, lines */
    plumb_table table;
} plumb_figure;

typedef struct plumb_figure_kind {
    const char *id, *title;
    const char *reading; /* how to read it, plain text */
    bool wide;           /* the panels need the whole width of the page */
    bool interactive;    /* its dots open pairs */
    bool (*present)(const plumb_report *r);
    plumb_status (*draw)(const plumb_report *r, plumb_figure *f);
    const char *missing; /* what is not there, and ... */
    const char *remedy;  /* ... the command that makes it; MODEL, DATA and RUN are put in where they are known */
} plumb_figure_kind;

extern const plumb_figure_kind plumb_figure_kinds[];
extern const size_t plumb_figure_kind_count;

/* Draws what can be drawn: r->figures and r->missing. */
plumb_status plumb_figures_draw(plumb_report *r) PLUMB_MUST_USE;
void plumb_figures_free(plumb_report *r);
/* A remedy with what is known put in. */
void plumb_figure_remedy(const plumb_report *r, const char *remedy, plumb_writer *w);

/* Adds the command that made a file or run, from its record, else `otherwise`. A line that is there already is not
 * added again. */
void plumb_figure_command(const plumb_report *r, plumb_figure *f, const json_t *record, const char *otherwise);
/* The commands behind all runs with changes, and behind the scores. */
void plumb_figure_run_commands(const plumb_report *r, plumb_figure *f);
void plumb_figure_score_commands(const plumb_report *r, plumb_figure *f);

/* Values of a column for people, such as "-0.81": for sentences. */
const char *plumb_people(double value, char buffer[40]);
const char *plumb_people_count(size_t value, char buffer[40]);
/* "12 %" of 0..1, not to be broken */
const char *plumb_people_share(double value, char buffer[40]);
/* " in RUN" where there are several runs, else nothing. */
void plumb_put_run_name(const plumb_report *r, const plumb_report_run *run, plumb_writer *w);

/* A few numbers in front: rows of a name and a value, as text (verdict.c). */
plumb_status plumb_report_key_numbers(const plumb_report *r, plumb_table *t) PLUMB_MUST_USE;

bool plumb_present_course(const plumb_report *r);
plumb_status plumb_draw_course(const plumb_report *r, plumb_figure *f);
bool plumb_present_runs(const plumb_report *r);
plumb_status plumb_draw_runs(const plumb_report *r, plumb_figure *f);
bool plumb_present_scores(const plumb_report *r);
plumb_status plumb_draw_histograms(const plumb_report *r, plumb_figure *f);
bool plumb_present_changes(const plumb_report *r);
bool plumb_present_scored_changes(const plumb_report *r);
plumb_status plumb_draw_score_change(const plumb_report *r, plumb_figure *f);
plumb_status plumb_draw_quadrants(const plumb_report *r, plumb_figure *f);
plumb_status plumb_draw_slices(const plumb_report *r, plumb_figure *f);
bool plumb_present_falls(const plumb_report *r);
plumb_status plumb_draw_lorenz(const plumb_report *r, plumb_figure *f);
bool plumb_present_tokens(const plumb_report *r);
plumb_status plumb_draw_tokens(const plumb_report *r, plumb_figure *f);
bool plumb_present_explains(const plumb_report *r);
plumb_status plumb_draw_heat(const plumb_report *r, plumb_figure *f);
plumb_status plumb_draw_blame(const plumb_report *r, plumb_figure *f);
bool plumb_present_judges(const plumb_report *r);
plumb_status plumb_draw_refusals(const plumb_report *r, plumb_figure *f);
bool plumb_present_rewards(const plumb_report *r);
plumb_status plumb_draw_rewards(const plumb_report *r, plumb_figure *f);
bool plumb_present_margins(const plumb_report *r);
plumb_status plumb_draw_margins(const plumb_report *r, plumb_figure *f);
bool plumb_present_identify(const plumb_report *r);
plumb_status plumb_draw_identify(const plumb_report *r, plumb_figure *f);

#endif
