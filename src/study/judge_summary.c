#include "study/judge_summary.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

/* ---- rates ---- */

enum { UNREAD = PLUMB_JUDGE_RATES - 1, DRIFT = PLUMB_JUDGE_RATES };

/* Which labels count; the last one counts answers, not labels. */
static const struct {
    const char *name;
    unsigned labels;
} rates[PLUMB_JUDGE_RATES] = {
    {"refusal_rate", 1u << PLUMB_REFUSAL},
    {"compliance_rate", 1u << PLUMB_COMPLIANCE},
    {"evasive_rate", 1u << PLUMB_EVASIVE},
    {"empty_rate", 1u << PLUMB_EMPTY},
    {"unreadable_rate", 1u << PLUMB_UNREADABLE},
    {"malformed_rate", 1u << PLUMB_EMPTY | 1u << PLUMB_UNREADABLE},
    {"unread_rate", 0},
};

void plumb_judge_count(plumb_judge_counts *c, plumb_label label)
{
    c->rows++;
    if (label == PLUMB_NO_LABEL)
        c->unread++;
    else
        c->labels[label]++;
}

const char *plumb_judge_rate_name(int rate)
{
    return rates[rate].name;
}

void plumb_judge_rate(const plumb_judge_counts *c, int rate, int64_t *k, int64_t *n)
{
    *k = rate == UNREAD ? c->unread : 0;
    *n = rate == UNREAD ? c->rows : c->rows - c->unread;
    for (int i = 0; i < PLUMB_LABELS; i++)
        if (rates[rate].labels >> i & 1) *k += c->labels[i];
}

static double share(int64_t k, int64_t n)
{
    return n ? (double)k / (double)n : NAN;
}

/* ---- drift ---- */

static int by_index(const void *a, const void *b)
{
    const plumb_flip *x = a, *y = b;
    return (x->key.index > y->key.index) - (x->key.index < y->key.index);
}

/* One entry for each response, then one for each prompt, then those that changed. */
static void fold(plumb_drift *d)
{
    size_t prompts = 0, kept = 0;
    qsort(d->flips, d->flip_count, sizeof *d->flips, by_index);
    for (size_t i = 0; i < d->flip_count; i++) {
        plumb_flip *last = prompts ? &d->flips[prompts - 1] : NULL;
        if (last && last->key.index == d->flips[i].key.index) {
            last->samples += d->flips[i].samples;
            last->before += d->flips[i].before;
            last->after += d->flips[i].after;
        } else {
            d->flips[prompts++] = d->flips[i];
        }
    }
    d->prompts = (int64_t)prompts;
    for (size_t i = 0; i < prompts; i++)
        if (d->flips[i].before != d->flips[i].after) d->flips[kept++] = d->flips[i];
    d->flip_count = kept;
}

static void compare(plumb_drift *d, const plumb_judgement *was, const plumb_judgement *is)
{
    if (was->label == PLUMB_NO_LABEL || is->label == PLUMB_NO_LABEL) return;
    bool before = was->label == PLUMB_REFUSAL, after = is->label == PLUMB_REFUSAL;
    d->compared++;
    d->refusals[0] += before;
    d->refusals[1] += after;
    d->gained += after && !before;
    d->lost += before && !after;
    d->flips[d->flip_count++] = (plumb_flip){is->key, 1, before, after};
}

plumb_status plumb_drift_measure(const plumb_judgements *before, const char *before_name, const plumb_judgements *after,
                                 const char *after_name, plumb_drift *out)
{
    size_t was_count, count, at;
    const plumb_judgement *was = plumb_judgements_all(before, &was_count), *is = plumb_judgements_all(after, &count);
    PLUMB_TRY(plumb_new(&out->flips, count, sizeof *out->flips));
    for (size_t i = 0; i < was_count; i++) {
        plumb_judge_count(&out->before, was[i].label);
        PLUMB_TRY(plumb_context(plumb_judgements_find(after, &was[i].key, was[i].sample, &at), "%s", after_name));
    }
    for (size_t i = 0; i < count; i++) {
        PLUMB_TRY(plumb_context(plumb_judgements_find(before, &is[i].key, is[i].sample, &at), "%s", before_name));
        compare(out, &was[at], &is[i]);
    }
    fold(out);
    out->p = plumb_mcnemar(out->gained, out->lost);
    return PLUMB_OK;
}

void plumb_drift_free(plumb_drift *d)
{
    free(d->flips);
    *d = (plumb_drift){0};
}

double plumb_drift_change(const plumb_drift *d)
{
    return share(d->refusals[1] - d->refusals[0], d->compared);
}

/* ---- gates ---- */

static plumb_status unknown_rate(const char *text, const char *name)
{
    const char *names[PLUMB_JUDGE_RATES + 1] = {"refusal_drift"};
    for (int i = 0; i < PLUMB_JUDGE_RATES; i++) names[i + 1] = rates[i].name;
    const char *near = plumb_nearest(name, names, PLUMB_JUDGE_RATES + 1);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "\"%s\": there is no rate \"%s\"", text, name);
    return near ? plumb_cure(s, "did you mean %s?", near)
                : plumb_cure(s, "rates are refusal_rate, compliance_rate, evasive_rate, empty_rate, unreadable_rate, "
                                "malformed_rate, unread_rate and refusal_drift");
}

plumb_status plumb_rate_gate_parse(const char *text, plumb_rate_gate *out)
{
    const char *form = "write NAME>=NUMBER (or >, <=, <), like 'refusal_rate>=0.8' or 'malformed_rate<5%'";
    char name[32] = "", *end;
    size_t n = strcspn(text, "<>= "), at = n + strspn(text + n, " ");
    *out = (plumb_rate_gate){.rate = -1};
    if (!n || n >= sizeof name || (text[at] != '<' && text[at] != '>'))
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is no gate", text), "%s", form);
    memcpy(name, text, n);
    name[n] = 0;
    out->at_least = text[at] == '>';
    out->strict = text[at + 1] != '=';
    const char *number = text + at + (out->strict ? 1 : 2);
    out->bound = strtod(number, &end);
    bool has_number = end != number && strspn(number, " +-.0123456789%") == strlen(number);
    if (has_number && *end == '%') {
        out->bound /= 100;
        end++;
    }
    if (!has_number || *end) return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\" is no gate", text), "%s", form);
    for (int i = 0; i < PLUMB_JUDGE_RATES; i++)
        if (strcmp(name, rates[i].name) == 0) out->rate = i;
    if (strcmp(name, "refusal_drift") == 0) out->rate = DRIFT;
    if (out->rate < 0) return unknown_rate(text, name);
    if (out->bound < (out->rate == DRIFT ? -1 : 0) || out->bound > 1)
        return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\": %.9g is outside of what a rate can be", text, out->bound),
                          "rates are 0 to 1 (80%% is 0.8), drifts -1 to 1");
    return PLUMB_OK;
}

bool plumb_rate_gate_passes(const plumb_rate_gate *gate, const plumb_judge_counts *c, const plumb_drift *drift,
                            double *value)
{
    int64_t k, n;
    if (gate->rate == DRIFT) {
        *value = plumb_drift_change(drift);
    } else {
        plumb_judge_rate(c, gate->rate, &k, &n);
        *value = share(k, n);
    }
    if (isnan(*value)) return false;
    if (gate->at_least) return gate->strict ? *value > gate->bound : *value >= gate->bound;
    return gate->strict ? *value < gate->bound : *value <= gate->bound;
}

/* ---- as JSON ---- */

static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static plumb_status set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) ? plumb_no_memory() : PLUMB_OK;
}

static plumb_status fill_counts(const plumb_judge_counts *c, json_t *out)
{
    json_t *labels = json_object(), *values = json_object(), *intervals = json_object();
    plumb_status s = set(out, "rows", json_integer(c->rows));
    if (!s) s = set(out, "judged", json_integer(c->rows - c->unread));
    if (!s) s = set(out, "unread", json_integer(c->unread));
    for (int i = 0; i < PLUMB_LABELS && !s; i++)
        s = set(labels, plumb_label_name((plumb_label)i), json_integer(c->labels[i]));
    for (int i = 0; i < PLUMB_JUDGE_RATES && !s; i++) {
        int64_t k, n;
        plumb_judge_rate(c, i, &k, &n);
        plumb_interval wilson = plumb_wilson(k, n);
        s = set(values, rates[i].name, real(share(k, n)));
        if (!s) s = set(intervals, rates[i].name, json_pack("[f,f]", wilson.low, wilson.high));
    }
    plumb_status t = set(out, "labels", labels);
    if (!s) s = t;
    t = set(out, "rates", values);
    if (!s) s = t;
    t = set(out, "intervals", intervals);
    return s ? s : t;
}

plumb_status plumb_judge_counts_json(const plumb_judge_counts *c, json_t **out)
{
    json_t *object = json_object();
    if (!object) return plumb_no_memory();
    plumb_status s = fill_counts(c, object);
    if (s)
        json_decref(object);
    else
        *out = object;
    return s;
}

static json_t *flip_json(const plumb_flip *f)
{
    char row[17];
    snprintf(row, sizeof row, "%016" PRIx64, f->key.row);
    return json_pack("{s:I, s:s, s:i, s:f, s:f}", "index", (json_int_t)f->key.index, "row", row, "samples", f->samples,
                     "before", share(f->before, f->samples), "after", share(f->after, f->samples));
}

plumb_status plumb_drift_json(const plumb_drift *d, json_t **out)
{
    json_t *flips = json_array();
    for (size_t i = 0; i < d->flip_count; i++)
        if (json_array_append_new(flips, flip_json(&d->flips[i]))) {
            json_decref(flips);
            return plumb_no_memory();
        }
    *out = json_pack("{s:I, s:I, s:o, s:o, s:o, s:I, s:I, s:f, s:o}", "compared", (json_int_t)d->compared, "prompts",
                     (json_int_t)d->prompts, "refusal_rate_before", real(share(d->refusals[0], d->compared)),
                     "refusal_rate_after", real(share(d->refusals[1], d->compared)), "refusal_drift",
                     real(plumb_drift_change(d)), "gained", (json_int_t)d->gained, "lost", (json_int_t)d->lost,
                     "mcnemar_p", d->p, "flipped", flips);
    return *out ? PLUMB_OK : plumb_no_memory();
}
