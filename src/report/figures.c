/* The table of figures, in the order of the page, and what they share. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/figure.h"

const plumb_figure_kind plumb_figure_kinds[] = {
    {.id = "runs",
     .title = "Runs side by side",
     .reading = "Each line spans the middle half of the pairs' changes of log-probability from the start of the run to "
                "its end; the dot is the mean. Left of zero the response became less likely.",
     .present = plumb_present_runs,
     .draw = plumb_draw_runs,
     .missing = "several runs to compare",
     .remedy = "plumb report RUN RUN2 -o report.html"},
    {.id = "course",
     .title = "Log-probabilities over steps",
     .reading = "Line: median over the pairs. Bands: the middle half of them, and 5 % to 95 %. Dashed: the reference "
                "model's median; in the right panel the start of the run.",
     .wide = true,
     .present = plumb_present_course,
     .draw = plumb_draw_course,
     .missing = "the course of a run",
     .remedy = "plumb dpo MODEL DATA -o RUN --ledger_steps 10"},
    {.id = "scores",
     .title = "Scores and the filter's cut",
     .reading = "How the scored pairs spread over each measure. Lines: what plumb filter --keep-lowest would keep lies "
                "left of them. Higher is worse, except where the axis says otherwise.",
     .wide = true,
     .present = plumb_present_scores,
     .draw = plumb_draw_histograms,
     .missing = "scores",
     .remedy = "plumb score MODEL DATA -o scores.jsonl"},
    {.id = "score-change",
     .title = "Score against change",
     .reading = "One dot a pair. Below zero the chosen response became less likely. If scores tell in advance which "
                "pairs fall, dots fall towards the right.",
     .interactive = true,
     .present = plumb_present_scored_changes,
     .draw = plumb_draw_score_change,
     .missing = "scores and changes of the same pairs",
     .remedy = "plumb score MODEL DATA -o scores.jsonl"},
    {.id = "slices",
     .title = "Change by percentile of the score",
     .reading = "Pairs in groups of equal size by their score, lowest left. Bar: mean change of the chosen response's "
                "log-probability; thin line: the middle half of the group.",
     .present = plumb_present_scored_changes,
     .draw = plumb_draw_slices,
     .missing = "scores and changes of the same pairs",
     .remedy = "plumb score MODEL DATA -o scores.jsonl"},
    {.id = "tokens",
     .title = "Tokens that gained most",
     .reading =
         "Where the probability went at the first position at which the two responses differ: each token's "
         "gain since the start, as the mean over the pairs; a pair counts where its list of gains has the token.",
     .present = plumb_present_tokens,
     .draw = plumb_draw_tokens,
     .missing = "tokens that gained",
     .remedy = "plumb trace RUN -o trace.jsonl"},
    {.id = "quadrants",
     .title = "What both sides did",
     .reading = "One dot a pair: change of the chosen response to the right, of the rejected one upwards. Below the "
                "diagonal the margin grew. Lower left: both fell, which is displacement that the loss does not see.",
     .interactive = true,
     .present = plumb_present_changes,
     .draw = plumb_draw_quadrants,
     .missing = "changes of both responses",
     .remedy = "plumb dpo MODEL DATA -o RUN --ledger_steps 10"},
    {.id = "lorenz",
     .title = "How few pairs hold the displacement",
     .reading = "Share of all log-probability that chosen responses lost (vertical) held by a share of the pairs "
                "(horizontal), those that fell most first, or those with the highest score first. Diagonal: every pair "
                "the same.",
     .present = plumb_present_falls,
     .draw = plumb_draw_lorenz,
     .missing = "pairs whose chosen response fell",
     .remedy = "plumb dpo MODEL DATA -o RUN --ledger_steps 10"},
    {.id = "blame",
     .title = "Which words cause it",
     .reading = "Response tokens by blame, their share of alpha_ches: orange ones push the chosen response down, blue "
                "ones hold it up; the stronger the colour the larger the share.",
     .wide = true,
     .present = plumb_present_explains,
     .draw = plumb_draw_blame,
     .missing = "explained pairs",
     .remedy = "plumb explain MODEL DATA --pair INDEX --format json -o explain.json"},
    {.id = "heat",
     .title = "Token by token",
     .reading = "alpha <h, h'> of each token of the chosen response (rows) with each of the rejected one (left) and of "
                "the chosen one itself (right). Orange on the left and blue on the right push it down.",
     .wide = true,
     .present = plumb_present_explains,
     .draw = plumb_draw_heat,
     .missing = "explained pairs",
     .remedy = "plumb explain MODEL DATA --pair INDEX --format json -o explain.json"},
    {.id = "refusals",
     .title = "Refusal rates",
     .reading = "Share of responses that the judge calls a refusal; line: Wilson's 95 % interval.",
     .present = plumb_present_judges,
     .draw = plumb_draw_refusals,
     .missing = "judged responses",
     .remedy = "plumb generate MODEL PROMPTS -o responses.jsonl && plumb judge responses.jsonl -o judged.jsonl"},
    {.id = "identify",
     .title = "How well each measure finds the displaced pairs",
     .reading = "Dot: the measure's value; line: its bootstrap interval. Left: rank correlation with the change (the "
                "more negative the better, except for rate). Right: precision among the pairs with the highest scores.",
     .wide = true,
     .present = plumb_present_identify,
     .draw = plumb_draw_identify,
     .missing = "measures compared",
     .remedy = "plumb identify DATA scores.jsonl RUN --format json -o identify.json"},
    {.id = "rewards",
     .title = "Rewards, KL and prompts without spread",
     .reading = "Mean reward, with a band of one standard deviation over all completions; divergence from the "
                "reference; share of prompts whose samples all have the same reward, from which nothing is learnt; "
                "tokens that were generated.",
     .present = plumb_present_rewards,
     .draw = plumb_draw_rewards,
     .missing = "rewards over steps",
     .remedy = "plumb grpo MODEL PROMPTS -o RUN"},
    {.id = "margins",
     .title = "Accuracy and margin of rewards",
     .reading =
         "Rewards of the two sides in the batches of training: share of pairs whose chosen response has the higher "
         "one; chosen less rejected (of KTO, wanted less unwanted); mean over both.",
     .present = plumb_present_margins,
     .draw = plumb_draw_margins,
     .missing = "the training of a reward model",
     .remedy = "plumb reward MODEL DATA -o RM"},
};
const size_t plumb_figure_kind_count = sizeof plumb_figure_kinds / sizeof *plumb_figure_kinds;

static void free_figure(plumb_figure *f)
{
    plumb_writer_free(&f->finding);
    plumb_writer_free(&f->note);
    plumb_writer_free(&f->panels);
    plumb_writer_free(&f->command);
    plumb_table_free(&f->table);
}

static plumb_status figure_end(plumb_figure *f)
{
    plumb_writer *parts[5] = {&f->finding, &f->note, &f->panels, &f->command, &f->table.texts};
    plumb_status s = PLUMB_OK;
    for (size_t i = 0; i < 5; i++) {
        plumb_status each = plumb_writer_end(parts[i]);
        if (s)
            plumb_status_free(each);
        else
            s = each;
    }
    return s;
}

plumb_status plumb_figures_draw(plumb_report *r)
{
    PLUMB_TRY(plumb_new(&r->figures, plumb_figure_kind_count, sizeof *r->figures));
    for (size_t i = 0; i < plumb_figure_kind_count; i++) {
        const plumb_figure_kind *kind = &plumb_figure_kinds[i];
        if (!kind->present(r)) {
            r->missing[r->missing_count++] = i;
            continue;
        }
        plumb_figure *f = &r->figures[r->figure_count++];
        f->kind = kind;
        plumb_status s = kind->draw(r, f), made = figure_end(f);
        if (s) plumb_status_free(made);
        PLUMB_TRY(s ? s : made);
    }
    return PLUMB_OK;
}

void plumb_figures_free(plumb_report *r)
{
    for (size_t i = 0; i < r->figure_count; i++) free_figure(&r->figures[i]);
    free(r->figures);
    r->figures = NULL;
    r->figure_count = 0;
}

/* ---- commands ---- */

void plumb_figure_remedy(const plumb_report *r, const char *remedy, plumb_writer *w)
{
    static const char *const names[] = {"MODEL", "DATA", "RUN2", "RUN"};
    const char *known[] = {r->model_path, r->data_path, NULL, r->run_count ? r->runs[0].path : NULL};
    while (*remedy) {
        size_t i = 0;
        while (i < 4 && strncmp(remedy, names[i], strlen(names[i])) != 0) i++;
        if (i == 4) {
            plumb_put_bytes(w, remedy++, 1);
            continue;
        }
        /* what a new run is called must be new */
        bool is_new = i == 3 && w->text.size >= 3 && strncmp(remedy - 3, "-o ", 3) == 0;
        if (known[i] && !is_new)
            plumb_put_shell(w, known[i]);
        else
            plumb_put(w, names[i]);
        remedy += strlen(names[i]);
    }
}

void plumb_figure_command(const plumb_report *r, plumb_figure *f, const json_t *record, const char *otherwise)
{
    plumb_writer line = {0};
    if (!record || !plumb_report_recorded_command(record, &line)) plumb_figure_remedy(r, otherwise, &line);
    plumb_put(&line, "\n");
    plumb_writer_keep(&f->command, plumb_writer_end(&line));
    if (line.text.data && (!f->command.text.data || !strstr(f->command.text.data, line.text.data)))
        plumb_put_bytes(&f->command, line.text.data, line.text.size);
    plumb_writer_free(&line);
}

void plumb_figure_run_commands(const plumb_report *r, plumb_figure *f)
{
    for (size_t i = 0; i < r->run_count; i++)
        if (plumb_report_has_changes(r, &r->runs[i]))
            plumb_figure_command(r, f, r->runs[i].record,
                                 r->runs[i].is_trace ? "plumb trace BEFORE AFTER DATA -o trace.jsonl"
                                                     : "plumb dpo MODEL DATA -o RUN --ledger_steps 10");
}

void plumb_figure_score_commands(const plumb_report *r, plumb_figure *f)
{
    for (size_t i = 0; i < r->scores.count; i++)
        plumb_figure_command(r, f, r->scores.items[i].record, "plumb score MODEL DATA -o scores.jsonl");
}

/* ---- words ---- */

const char *plumb_people(double value, char buffer[40])
{
    plumb_people_number(value, buffer, 40);
    return buffer;
}

const char *plumb_people_share(double value, char buffer[40])
{
    char number[32];
    double percent = 100 * value;
    if (percent > 0 && percent < 0.1)
        snprintf(number, sizeof number, "%.2g", percent);
    else if (percent != 0 && percent != 100 && (percent < 10 || percent > 99))
        snprintf(number, sizeof number, "%.1f", percent);
    else
        snprintf(number, sizeof number, "%.0f", percent);
    snprintf(buffer, 40, "%s\xC2\xA0%%", number);
    return buffer;
}

const char *plumb_people_count(size_t value, char buffer[40])
{
    return plumb_people((double)value, buffer);
}

void plumb_put_run_name(const plumb_report *r, const plumb_report_run *run, plumb_writer *w)
{
    if (plumb_report_changed_runs(r) < 2) return;
    plumb_put(w, " in ");
    plumb_put(w, run->name);
}
