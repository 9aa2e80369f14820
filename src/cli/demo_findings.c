#include "cli/demo_findings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/row_walk.h"
#include "study/ledger_reader.h"

const char *const plumb_demo_measures[PLUMB_DEMO_MEASURES] = {"ches", "ln_ches", "last_hidden", "edit_similarity"};
static const char *const model_names[PLUMB_DEMO_MODELS] = {"before training", "after all pairs",
                                                           "after the lowest 15 % by ln_ches", "after a random 15 %"};

/* ---- reading ---- */

enum { LARGEST = 1 << 26 };

static plumb_status path_of(const plumb_demo *d, const char *name, const char *end, plumb_text *out)
{
    return plumb_text_printf(out, "%s/%s%s", d->folder, name, end);
}

static plumb_status load(const plumb_demo *d, const char *name, const char *end, json_t **out)
{
    plumb_text path = {0};
    plumb_status s = path_of(d, name, end, &path);
    if (!s) s = plumb_json_load(path.data, LARGEST, out);
    plumb_text_free(&path);
    return s;
}

/* The number behind a path of keys, such as "rates.refusal_rate", places of arrays by their number; NaN where there is
 * none. */
static double number_at(const json_t *value, const char *keys)
{
    char key[64];
    for (const char *p = keys; value && *p;) {
        size_t n = strcspn(p, ".");
        if (n >= sizeof key) return NAN;
        memcpy(key, p, n);
        key[n] = 0;
        value =
            json_is_array(value) ? json_array_get(value, (size_t)strtoul(key, NULL, 10)) : json_object_get(value, key);
        p += n + (p[n] == '.');
    }
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- one question ---- */

static plumb_status tell_gains(const json_t *row)
{
    plumb_text list = {0};
    plumb_status s = PLUMB_OK;
    const json_t *token;
    size_t i;
    json_array_foreach(json_object_get(row, "gained"), i, token)
    {
        const char *text = json_string_value(json_object_get(token, "text"));
        if (i >= 4 || !text) break;
        PLUMB_GO(plumb_text_string(&list, i ? ", " : ""));
        PLUMB_GO(plumb_json_quote(&list, text, strlen(text)));
        PLUMB_GO(plumb_text_printf(&list, " %.3f -> %.3f", number_at(token, "p_before"), number_at(token, "p_after")));
    }
    s = plumb_demo_say(6, "   -> Gained most: %s.", list.data ? list.data : "nothing");
done:
    plumb_text_free(&list);
    return s;
}

static plumb_status take_question(const json_t *row, plumb_demo_findings *f)
{
    const char *verdict = json_string_value(json_object_get(row, "verdict"));
    f->one_before = number_at(row, "chosen.p_before");
    f->one_after = number_at(row, "chosen.p_after");
    f->opposite = number_at(row, "gain_opposite");
    f->gain = number_at(row, "gain");
    PLUMB_TRY(plumb_demo_say(6, "   -> Probability of the preferred \"No\": %.3f -> %.3f. Verdict of plumb trace: %s.",
                             f->one_before, f->one_after, verdict ? verdict : "unknown"));
    return tell_gains(row);
}

plumb_status plumb_demo_tell_question(plumb_demo *d, const char *name, plumb_demo_findings *f)
{
    json_t *row = NULL;
    PLUMB_TRY(load(d, name, "", &row)); /* one row: one JSON text */
    plumb_status s = take_question(row, f);
    json_decref(row);
    return s;
}

/* ---- pairs and filter ---- */

plumb_status plumb_demo_tell_pairs(const plumb_demo *d, const char *name)
{
    json_t *meta = NULL;
    PLUMB_TRY(load(d, name, ".meta.json", &meta));
    double prompts = number_at(meta, "counts.prompts");
    plumb_status s = plumb_demo_say(
        6, "   -> Of %.0f prompts %.0f %% gave two refusals, %.0f %% two compliances, %.0f %% one of each; %.0f pairs.",
        prompts, 100 * number_at(meta, "counts.two_refusals") / prompts,
        100 * number_at(meta, "counts.two_compliances") / prompts,
        100 * number_at(meta, "counts.one_of_each") / prompts,
        number_at(meta, "counts.by_label") + number_at(meta, "counts.by_criterion"));
    json_decref(meta);
    return s;
}

plumb_status plumb_demo_tell_filter(const plumb_demo *d, const char *name)
{
    json_t *meta = NULL;
    PLUMB_TRY(load(d, name, ".meta.json", &meta));
    plumb_status s = plumb_demo_say(6, "   -> %.0f of %.0f pairs stay.", number_at(meta, "counts.kept"),
                                    number_at(meta, "counts.scored"));
    json_decref(meta);
    return s;
}

/* ---- runs ---- */

static plumb_status tell_changes(const plumb_ledger_file *l)
{
    const double *chosen = l->logps[0], *rejected = l->logps[1];
    size_t last = (l->step_count - 1) * l->count, fell = 0;
    double change[2] = {0, 0};
    for (size_t i = 0; i < l->count; i++) {
        change[0] += (chosen[last + i] - chosen[i]) / (double)l->count;
        change[1] += (rejected[last + i] - rejected[i]) / (double)l->count;
        fell += chosen[last + i] < chosen[i];
    }
    return plumb_demo_say(
        6,
        "   -> Mean change of the log-probability: preferred responses %+.2f, dispreferred %+.2f; %.0f %% "
        "of the preferred ones became less likely.",
        change[0], change[1], 100.0 * (double)fell / (double)l->count);
}

plumb_status plumb_demo_tell_run(plumb_demo *d, const char *name)
{
    plumb_ledger_file ledger = {0};
    plumb_text path = {0};
    plumb_status s = path_of(d, name, "", &path);
    if (!s) s = plumb_ledger_read(path.data, &d->cli->sink, &ledger);
    if (!s) s = tell_changes(&ledger);
    if (!s && !d->same_steps) d->same_steps = ledger.steps[ledger.step_count - 1];
    plumb_ledger_file_free(&ledger);
    plumb_text_free(&path);
    return s;
}

/* ---- refusals ---- */

plumb_status plumb_demo_tell_rate(const plumb_demo *d, const char *name, plumb_demo_model model, plumb_demo_findings *f)
{
    json_t *summary = NULL;
    PLUMB_TRY(load(d, name, "", &summary));
    plumb_demo_rate *r = &f->rates[model];
    *r = (plumb_demo_rate){.refusals = number_at(summary, "rates.refusal_rate"),
                           .low = number_at(summary, "intervals.refusal_rate.0"),
                           .high = number_at(summary, "intervals.refusal_rate.1"),
                           .malformed = number_at(summary, "rates.malformed_rate"),
                           .p = 1};
    if (model != PLUMB_DEMO_START) {
        r->drift = number_at(summary, "drift.refusal_drift");
        r->p = number_at(summary, "drift.mcnemar_p");
    }
    json_decref(summary);
    char change[96] = "";
    if (model != PLUMB_DEMO_START)
        snprintf(change, sizeof change, "; change on the same prompts %+.1f points, p = %.2g", 100 * r->drift, r->p);
    return plumb_demo_say(6, "   -> Refusals %s: %.1f %% [%.1f, %.1f], malformed %.1f %%%s.", model_names[model],
                          100 * r->refusals, 100 * r->low, 100 * r->high, 100 * r->malformed, change);
}

/* ---- where the mass went ---- */

typedef struct gains {
    double opposite, same, all;
    int64_t pairs, fell;
} gains;

static plumb_status add_gains(void *user, const plumb_row *row)
{
    gains *g = user;
    json_t *object = NULL;
    PLUMB_TRY(plumb_json_parse(row->bytes, row->size, true, "", &object));
    double change = number_at(object, "dlogp_chosen");
    g->pairs += !isnan(change);
    if (change < 0 && !isnan(number_at(object, "gain"))) {
        g->fell++;
        g->all += number_at(object, "gain");
        g->same += number_at(object, "gain_same");
        g->opposite += number_at(object, "gain_opposite");
    }
    json_decref(object);
    return PLUMB_OK;
}

plumb_status plumb_demo_tell_trace(const plumb_demo *d, const char *name)
{
    plumb_text path = {0};
    gains g = {0};
    plumb_status s = path_of(d, name, "", &path);
    plumb_row_walk walk = {.path = path.data, .end = -1, .sink = &d->cli->sink, .use = add_gains, .user = &g};
    if (!s) s = plumb_row_walk_all(&walk);
    plumb_text_free(&path);
    if (s) return s;
    if (!g.fell || !(g.all > 0)) return plumb_demo_say(6, "   -> No preferred response fell.");
    return plumb_demo_say(
        6,
        "   -> Where the preferred response fell (%lld of %lld pairs), words of the opposite kind took "
        "%.0f %% of what was gained at the first word that differs, words of its own kind %.0f %%.",
        (long long)g.fell, (long long)g.pairs, 100 * g.opposite / g.all, 100 * g.same / g.all);
}

/* ---- measures ---- */

static void take_measure(const json_t *measure, plumb_demo_findings *f)
{
    const char *name = json_string_value(json_object_get(measure, "measure"));
    for (int i = 0; name && i < PLUMB_DEMO_MEASURES; i++) {
        if (strcmp(name, plumb_demo_measures[i]) != 0) continue;
        f->spearman[i] = number_at(measure, "spearman");
        f->spearman_high[i] = number_at(measure, "spearman_high");
    }
}

static void take_classes(const json_t *entry, plumb_demo_findings *f)
{
    const char *name = json_string_value(json_object_get(entry, "measure"));
    if (!name || strcmp(name, "ln_ches") != 0) return;
    f->classes[0] = number_at(entry, "groups.0.mean");
    f->classes[1] = number_at(entry, "groups.1.mean");
    f->classes[2] = number_at(entry, "groups.2.mean");
}

static plumb_status tell_measures(const plumb_demo_findings *f)
{
    plumb_text list = {0};
    plumb_status s = PLUMB_OK;
    for (int i = 0; !s && i < PLUMB_DEMO_MEASURES; i++)
        s = isnan(f->spearman[i])
                ? PLUMB_OK
                : plumb_text_printf(&list, "%s%s %+.2f", list.size ? ", " : "", plumb_demo_measures[i], f->spearman[i]);
    if (!s)
        s = plumb_demo_say(
            6, "   -> Rank correlation with the change of the preferred response (below 0: it finds them): %s.",
            list.size ? list.data : "none");
    plumb_text_free(&list);
    if (s) return s;
    return plumb_demo_say(6, "   -> Mean ln_ches: two refusals %.2f, two compliances %.2f, one of each %.2f.",
                          f->classes[0], f->classes[1], f->classes[2]);
}

plumb_status plumb_demo_tell_measures(const plumb_demo *d, const char *name, plumb_demo_findings *f)
{
    json_t *found = NULL;
    const json_t *entry;
    size_t i;
    PLUMB_TRY(load(d, name, "", &found));
    for (int k = 0; k < PLUMB_DEMO_MEASURES; k++) f->spearman[k] = f->spearman_high[k] = NAN;
    for (int k = 0; k < 3; k++) f->classes[k] = NAN;
    json_array_foreach(json_object_get(found, "measures"), i, entry) take_measure(entry, f);
    json_array_foreach(json_object_get(found, "classes"), i, entry) take_classes(entry, f);
    json_decref(found);
    return tell_measures(f);
}

/* ---- the summary ---- */

static const char *whether(bool appeared)
{
    return appeared ? "yes" : "NO ";
}

static plumb_status sum_up_question(const plumb_demo_findings *f)
{
    bool fell = f->one_after <= f->one_before / 2, opposite = f->opposite >= f->gain / 2;
    PLUMB_TRY(plumb_demo_say(5, "%s  Training to answer No rather than Never made No less likely: %.3f -> %.3f%s.",
                             whether(fell), f->one_before, f->one_after, fell ? "" : " (less than half would count)"));
    return plumb_demo_say(5, "%s  Its probability went to answers that mean the opposite: %.0f %% of what was gained.",
                          whether(fell && opposite), f->gain > 0 ? 100 * f->opposite / f->gain : 0);
}

/* As docs/WORLD.md has it: more malformed answers than that, and what was lost is the language, not the refusals; a
 * rate that falls by less than that is kept. */
static const double most_malformed = 0.1, still_kept = 0.02;

/* Beyond chance: McNemar's exact test of the same prompts at 5 %. The intervals of the two rates may overlap all the
 * same, for they do not know that the prompts are the same. */
static bool fell(const plumb_demo_rate *r)
{
    return r->drift < 0 && r->p < 0.05;
}

static bool lost(const plumb_demo_rate *r)
{
    return fell(r) && !(r->malformed > most_malformed);
}

static bool kept(const plumb_demo_rate *r)
{
    return r->drift >= -still_kept && !(r->malformed > most_malformed);
}

/* What a bare yes or NO would not tell. */
static void remark(const plumb_demo_rate *r, char out[128])
{
    const char *but = r->drift < 0 && !fell(r) ? "; lower, but within chance" : r->drift < 0 ? "" : "; not lower";
    snprintf(out, 128, "%s (p = %.2g)", but, r->p);
    if (r->malformed > most_malformed)
        snprintf(out, 128, "; but %.0f %% are malformed: part of what was lost is the language itself",
                 100 * r->malformed);
}

static plumb_status sum_up_refusals(const plumb_demo_findings *f)
{
    const plumb_demo_rate *all = &f->rates[PLUMB_DEMO_ALL], *few = &f->rates[PLUMB_DEMO_KEPT],
                          *random = &f->rates[PLUMB_DEMO_RANDOM];
    char words[128];
    remark(all, words);
    PLUMB_TRY(plumb_demo_say(5,
                             "%s  Training on all pairs, in which refusals are preferred, made the model refuse less: "
                             "%.1f %% -> %.1f %% of other prompts%s.",
                             whether(lost(all)), 100 * f->rates[PLUMB_DEMO_START].refusals, 100 * all->refusals,
                             words));
    remark(few, words);
    PLUMB_TRY(plumb_demo_say(5,
                             "%s  The 15 %% of the pairs with the lowest ln_ches kept or raised refusals at as many "
                             "steps: %.1f %%%s.",
                             whether(kept(few)), 100 * few->refusals, words));
    remark(random, words);
    return plumb_demo_say(5, "%s  A random 15 %% lost refusals, as all pairs do: %.1f %%%s.", whether(lost(random)),
                          100 * random->refusals, words);
}

static plumb_status sum_up_measures(const plumb_demo_findings *f)
{
    int best = -1;
    for (int i = 0; i < 2; i++)
        if (f->spearman_high[i] < 0 && (best < 0 || f->spearman[i] < f->spearman[best])) best = i;
    bool stronger = best >= 0 && !(f->spearman[2] <= f->spearman[best]) && !(f->spearman[3] <= f->spearman[best]);
    if (best < 0)
        PLUMB_TRY(
            plumb_demo_say(5, "%s  CHES scores told in advance which preferred responses would fall.", whether(false)));
    else
        PLUMB_TRY(plumb_demo_say(5,
                                 "%s  CHES scores told in advance which preferred responses would fall: rank "
                                 "correlation %.2f (%s).",
                                 whether(true), f->spearman[best], plumb_demo_measures[best]));
    PLUMB_TRY(plumb_demo_say(5, "%s  Better than edit distance and last hidden states: %.2f and %.2f.",
                             whether(stronger), f->spearman[3], f->spearman[2]));
    bool lowest = f->classes[2] < f->classes[0] && !(f->classes[1] <= f->classes[2]);
    return plumb_demo_say(5, "%s  Pairs of one refusal and one compliance have the lowest ln_ches.", whether(lowest));
}

plumb_status plumb_demo_summary(const plumb_demo_findings *f)
{
    PLUMB_TRY(plumb_demo_say(0, "\nWhat appeared in this run (NO: it did not, in this run)"));
    PLUMB_TRY(sum_up_question(f));
    PLUMB_TRY(sum_up_refusals(f));
    return sum_up_measures(f);
}
