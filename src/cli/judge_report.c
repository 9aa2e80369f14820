#include "cli/judge_report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LISTED = 20, REFUSAL_RATE = 0, COMPLIANCE_RATE = 1 };

/* ---- for people ---- */

static void say_rate(plumb_cli *cli, const char *name, int64_t k, int64_t n)
{
    plumb_interval wilson = plumb_wilson(k, n);
    plumb_cli_say(cli, "  %-16s %8" PRId64 "  %5.1f %%  [%.1f, %.1f]", name, k, n ? 100 * (double)k / (double)n : 0,
                  100 * wilson.low, 100 * wilson.high);
}

static void say_labels(plumb_cli *cli, const plumb_judge_counts *c)
{
    int64_t judged = c->rows - c->unread;
    for (int i = 0; i < PLUMB_LABELS; i++) say_rate(cli, plumb_label_name((plumb_label)i), c->labels[i], judged);
    if (c->unread)
        plumb_cli_say(cli, "  %" PRId64 " answer%s of the judge could not be read and count%s for nothing", c->unread,
                      c->unread == 1 ? "" : "s", c->unread == 1 ? "s" : "");
}

/* "chosen      120   81.7 % [73.8, 87.6]     10.0 %": refusals with their interval, compliances. */
static void say_group(plumb_cli *cli, const char *name, const plumb_judge_counts *c)
{
    int64_t refusals, compliances, n;
    plumb_judge_rate(c, COMPLIANCE_RATE, &compliances, &n);
    plumb_judge_rate(c, REFUSAL_RATE, &refusals, &n);
    plumb_interval wilson = plumb_wilson(refusals, n);
    double scale = n ? 100 / (double)n : 0;
    plumb_cli_say(cli, "  %-24s %8" PRId64 "  %5.1f %% [%.1f, %.1f]  %5.1f %%", name, c->rows, scale * (double)refusals,
                  100 * wilson.low, 100 * wilson.high, scale * (double)compliances);
}

static void say_heading(plumb_cli *cli, const char *what)
{
    plumb_cli_say(cli, "%-26s %8s  %s", what, "rows", "refusals, compliances");
}

static void say_groups(plumb_cli *cli, const plumb_judge_report *r)
{
    static const char *const names[] = {"chosen", "rejected"};
    if (r->has_sides) say_heading(cli, "by side");
    for (int i = 0; i < 2 && r->has_sides; i++) say_group(cli, names[i], &r->sides[i]);
    if (!r->categories) return;
    say_heading(cli, r->category);
    for (size_t i = 0; i < plumb_categories_count(r->categories); i++)
        if (r->by_category[i].rows) say_group(cli, plumb_categories_name(r->categories, i), &r->by_category[i]);
}

static void say_drift(plumb_cli *cli, const plumb_judge_report *r)
{
    const plumb_drift *d = r->drift;
    double n = (double)d->compared;
    if (!d->compared) {
        plumb_cli_say(cli, "against %s: no response has a label in both", r->against);
        return;
    }
    plumb_cli_say(cli, "against %s: refusals %.1f %% -> %.1f %% (%+.1f points) over %" PRId64 " responses", r->against,
                  100 * (double)d->refusals[0] / n, 100 * (double)d->refusals[1] / n, 100 * plumb_drift_change(d),
                  d->compared);
    plumb_cli_say(cli, "  %" PRId64 " no longer refuse%s, %" PRId64 " newly refuse%s; McNemar's exact test: p = %.3g",
                  d->lost, d->lost == 1 ? "s" : "", d->gained, d->gained == 1 ? "s" : "", d->p);
    plumb_cli_say(cli, "  %zu of %" PRId64 " prompts flipped%s", d->flip_count, d->prompts,
                  d->flip_count ? ", by refusals of their samples before and after:" : "");
    for (size_t i = 0; i < d->flip_count && i < MOST_LISTED; i++)
        plumb_cli_say(cli, "    row %" PRId64 ": %" PRId64 " -> %" PRId64 " of %d", d->flips[i].key.index,
                      d->flips[i].before, d->flips[i].after, d->flips[i].samples);
    if (d->flip_count > MOST_LISTED)
        plumb_cli_say(cli, "    and %zu more; --summary FILE lists them all", d->flip_count - MOST_LISTED);
}

static void say_gates(plumb_cli *cli, const plumb_judge_report *r)
{
    for (size_t i = 0; i < r->gate_count; i++) {
        const plumb_judge_gate *g = &r->gates[i];
        if (isnan(g->value))
            plumb_cli_say(cli, "gate %s: failed, there is nothing to judge", g->text);
        else if (g->passed)
            plumb_cli_say(cli, "gate %s: passed, %.4g", g->text, g->value);
        else
            plumb_cli_say(cli, "gate %s: failed, %.4g is %s by %.4g", g->text, g->value,
                          g->rule.at_least ? "too low" : "too high", fabs(g->value - g->rule.bound));
    }
}

void plumb_judge_say(plumb_cli *cli, const plumb_judge_report *r)
{
    plumb_cli_say(cli, "%s: %" PRId64 " response%s to %" PRId64 " prompt%s, judged by %s (95 %% intervals: Wilson)",
                  r->responses, r->all.rows, r->all.rows == 1 ? "" : "s", r->prompts, r->prompts == 1 ? "" : "s",
                  r->judge);
    say_labels(cli, &r->all);
    say_groups(cli, r);
    if (r->drift) say_drift(cli, r);
    say_gates(cli, r);
}

/* ---- as a file ---- */

static plumb_status set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) ? plumb_no_memory() : PLUMB_OK;
}

/* Text that may not be UTF-8, such as a path. */
static plumb_status set_text(json_t *object, const char *key, const char *text)
{
    plumb_text quoted = {0};
    json_t *value = NULL;
    plumb_status s = plumb_json_quote(&quoted, text, strlen(text));
    if (!s) s = plumb_json_parse(quoted.data, quoted.size, false, key, &value);
    plumb_text_free(&quoted);
    return s ? s : set(object, key, value);
}

static plumb_status set_counts(json_t *object, const char *key, const plumb_judge_counts *c)
{
    json_t *counts = NULL;
    PLUMB_TRY(plumb_judge_counts_json(c, &counts));
    return set(object, key, counts);
}

static plumb_status set_categories(json_t *object, const plumb_judge_report *r)
{
    json_t *all = json_object();
    PLUMB_TRY(set_text(object, "category", r->category));
    PLUMB_TRY(set(object, "categories", all));
    for (size_t i = 0; i < plumb_categories_count(r->categories); i++)
        if (r->by_category[i].rows)
            PLUMB_TRY(set_counts(all, plumb_categories_name(r->categories, i), &r->by_category[i]));
    return PLUMB_OK;
}

static plumb_status set_drift(json_t *object, const plumb_judge_report *r)
{
    json_t *drift = NULL;
    PLUMB_TRY(plumb_drift_json(r->drift, &drift));
    PLUMB_TRY(set(object, "drift", drift));
    return set_text(drift, "against", r->against);
}

static plumb_status set_gates(json_t *object, const plumb_judge_report *r)
{
    json_t *all = json_array();
    PLUMB_TRY(set(object, "gates", all));
    for (size_t i = 0; i < r->gate_count; i++) {
        const plumb_judge_gate *g = &r->gates[i];
        json_t *value = isnan(g->value) ? json_null() : json_real(g->value);
        json_t *gate = json_pack("{s:s, s:o, s:f, s:b}", "gate", g->text, "value", value, "bound", g->rule.bound,
                                 "passed", g->passed);
        if (json_array_append_new(all, gate)) return plumb_no_memory();
    }
    return PLUMB_OK;
}

static plumb_status fill(json_t *object, const plumb_judge_report *r)
{
    json_t *counts = NULL;
    PLUMB_TRY(set_text(object, "responses", r->responses));
    PLUMB_TRY(set_text(object, "judge", r->judge));
    PLUMB_TRY(set(object, "prompts", json_integer(r->prompts)));
    PLUMB_TRY(plumb_judge_counts_json(&r->all, &counts));
    int failed = json_object_update(object, counts);
    json_decref(counts);
    if (failed) return plumb_no_memory();
    if (r->has_sides) {
        PLUMB_TRY(set_counts(object, "chosen", &r->sides[0]));
        PLUMB_TRY(set_counts(object, "rejected", &r->sides[1]));
    }
    if (r->categories) PLUMB_TRY(set_categories(object, r));
    if (r->drift) PLUMB_TRY(set_drift(object, r));
    return r->gate_count ? set_gates(object, r) : PLUMB_OK;
}

plumb_status plumb_judge_write(const char *path, const plumb_judge_report *r)
{
    json_t *object = json_object();
    plumb_status s = object ? fill(object, r) : plumb_no_memory();
    char *text = s ? NULL : json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    plumb_text line = {0};
    if (!s && !text) s = plumb_no_memory();
    if (!s) s = plumb_text_printf(&line, "%s\n", text);
    if (!s) s = plumb_write_file(path, line.data, line.size);
    free(text);
    plumb_text_free(&line);
    json_decref(object);
    return s;
}
