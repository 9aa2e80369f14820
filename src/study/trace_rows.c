#include "study/trace_rows.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "study/row_key.h"

enum { DIGITS = 9, LOGP_DIGITS = 17 };

/* ---- JSON ---- */

static plumb_status put(plumb_text *t, const char *key, double value, int digits)
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s\":", key));
    return plumb_json_real(t, value, digits);
}

static plumb_status put_sides(plumb_text *t, const char *key, const double value[2])
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s/chosen\":", key));
    PLUMB_TRY(plumb_json_real(t, value[0], LOGP_DIGITS));
    PLUMB_TRY(plumb_text_printf(t, ",\"%s/rejected\":", key));
    return plumb_json_real(t, value[1], LOGP_DIGITS);
}

static plumb_status put_class(plumb_text *t, const plumb_token_groups *groups, plumb_classes classes)
{
    PLUMB_TRY(plumb_text_string(t, ",\"class\":\""));
    PLUMB_TRY(plumb_token_groups_label(groups, classes, t));
    return plumb_text_string(t, "\"");
}

static plumb_status put_token(plumb_text *t, const plumb_traced_token *token, const plumb_token_groups *groups)
{
    PLUMB_TRY(plumb_text_printf(t, "{\"token\":%d", (int)token->change.token));
    if (token->text) {
        PLUMB_TRY(plumb_text_string(t, ",\"text\":"));
        PLUMB_TRY(plumb_json_quote(t, token->text, token->text_size));
    }
    PLUMB_TRY(put(t, "p_before", token->change.before, DIGITS));
    PLUMB_TRY(put(t, "p_after", token->change.after, DIGITS));
    PLUMB_TRY(put_class(t, groups, token->classes));
    if (token->has_logit) {
        const plumb_logit_change *z = &token->logit;
        PLUMB_TRY(put(t, "dz", z->change, DIGITS));
        PLUMB_TRY(put(t, "dz_weights", z->weights, DIGITS));
        PLUMB_TRY(put(t, "dz_hidden", z->hidden, DIGITS));
        PLUMB_TRY(put(t, "dz_both", z->both, DIGITS));
        if (z->bias != 0) PLUMB_TRY(put(t, "dz_bias", z->bias, DIGITS));
    }
    return plumb_text_string(t, "}");
}

static plumb_status put_tokens(plumb_text *t, const char *key, const plumb_traced_token *list, int count,
                               const plumb_token_groups *groups)
{
    PLUMB_TRY(plumb_text_printf(t, ",\"%s\":[", key));
    for (int i = 0; i < count; i++) {
        if (i) PLUMB_TRY(plumb_text_string(t, ","));
        PLUMB_TRY(put_token(t, &list[i], groups));
    }
    return plumb_text_string(t, "]");
}

static plumb_status put_verdict(plumb_text *t, plumb_verdict v)
{
    const char *name = plumb_verdict_name(v);
    return name ? plumb_text_printf(t, ",\"verdict\":\"%s\"", name) : plumb_text_string(t, ",\"verdict\":null");
}

static plumb_status put_gains(plumb_text *t, const plumb_gains *gains, const plumb_token_groups *groups)
{
    PLUMB_TRY(put(t, "gain", gains->all, DIGITS));
    PLUMB_TRY(put(t, "gain_same", gains->same, DIGITS));
    PLUMB_TRY(put(t, "gain_opposite", gains->opposite, DIGITS));
    PLUMB_TRY(plumb_text_string(t, ",\"gains\":{"));
    for (int c = 0; c < plumb_token_groups_count(groups); c++) {
        PLUMB_TRY(plumb_text_printf(t, "\"%s\":", plumb_token_groups_name(groups, c)));
        PLUMB_TRY(plumb_json_real(t, gains->of_class[c], DIGITS));
        PLUMB_TRY(plumb_text_string(t, ","));
    }
    PLUMB_TRY(plumb_text_string(t, "\"none\":"));
    PLUMB_TRY(plumb_json_real(t, gains->no_class, DIGITS));
    return plumb_text_string(t, "}");
}

/* position, gained, lost, verdict; then what is beyond the DESIGN's row. */
static plumb_status put_place(plumb_text *t, const plumb_traced_place *p, const plumb_token_groups *groups)
{
    PLUMB_TRY(plumb_text_printf(t, "\"position\":%d", p->position));
    PLUMB_TRY(put_tokens(t, "gained", p->gained, p->gained_count, groups));
    PLUMB_TRY(put_tokens(t, "lost", p->lost, p->lost_count, groups));
    PLUMB_TRY(put_verdict(t, p->verdict));
    PLUMB_TRY(plumb_text_string(t, ",\"chosen\":"));
    PLUMB_TRY(put_token(t, &p->chosen, groups));
    return put_gains(t, &p->gains, groups);
}

static plumb_status put_places(plumb_text *t, const plumb_trace_row *row, const plumb_token_groups *groups)
{
    PLUMB_TRY(plumb_text_string(t, ",\"positions\":["));
    for (int i = 0; i < row->place_count; i++) {
        PLUMB_TRY(plumb_text_string(t, i ? ",{" : "{"));
        PLUMB_TRY(put_place(t, &row->places[i], groups));
        PLUMB_TRY(plumb_text_string(t, "}"));
    }
    return plumb_text_string(t, "]");
}

static plumb_status put_course(plumb_text *t, const plumb_trace_row *row)
{
    static const char *const sides[2] = {"chosen", "rejected"};
    PLUMB_TRY(plumb_text_string(t, ",\"steps\":["));
    for (size_t i = 0; i < row->course_count; i++)
        PLUMB_TRY(plumb_text_printf(t, "%s%" PRId64, i ? "," : "", row->course[i].step));
    for (int s = 0; s < 2; s++) {
        PLUMB_TRY(plumb_text_printf(t, "],\"course/%s\":[", sides[s]));
        for (size_t i = 0; i < row->course_count; i++) {
            if (i) PLUMB_TRY(plumb_text_string(t, ","));
            PLUMB_TRY(plumb_json_real(t, row->course[i].logps[s], LOGP_DIGITS));
        }
    }
    PLUMB_TRY(plumb_text_string(t, "]"));
    PLUMB_TRY(put(t, "drop", row->drop.value, LOGP_DIGITS));
    if (row->drop.from < 0) return plumb_text_string(t, ",\"drop_from\":null,\"drop_to\":null");
    return plumb_text_printf(t, ",\"drop_from\":%" PRId64 ",\"drop_to\":%" PRId64, row->drop.from, row->drop.to);
}

plumb_status plumb_trace_line(const plumb_trace_row *row, const plumb_token_groups *groups, plumb_text *t)
{
    PLUMB_TRY(plumb_text_printf(t, "{\"index\":%" PRId64 ",\"row\":\"%016" PRIx64 "\"", row->index, row->row));
    if (row->skip) return plumb_text_printf(t, ",\"skipped\":\"%s\"}\n", plumb_skip_name(row->skip));
    PLUMB_TRY(put(t, "dlogp_chosen", row->after[0] - row->before[0], LOGP_DIGITS));
    PLUMB_TRY(put(t, "dlogp_rejected", row->after[1] - row->before[1], LOGP_DIGITS));
    if (row->has_place) {
        PLUMB_TRY(plumb_text_string(t, ","));
        PLUMB_TRY(put_place(t, &row->place, groups));
        PLUMB_TRY(plumb_text_printf(t, ",\"listed_only\":%s", row->listed_only ? "true" : "false"));
    } else {
        PLUMB_TRY(put_verdict(t, row->place.verdict));
    }
    PLUMB_TRY(put_sides(t, "logps_before", row->before));
    PLUMB_TRY(put_sides(t, "logps_after", row->after));
    if (row->course_count) PLUMB_TRY(put_course(t, row));
    if (row->place_count) PLUMB_TRY(put_places(t, row, groups));
    return plumb_text_string(t, "}\n");
}

/* ---- sums ---- */

static void add_gains(plumb_gains *sums, const plumb_gains *g)
{
    sums->all += g->all;
    sums->same += g->same;
    sums->opposite += g->opposite;
    sums->no_class += g->no_class;
    for (int c = 0; c < PLUMB_CLASSES; c++) sums->of_class[c] += g->of_class[c];
}

static void add_worst(plumb_trace_summary *s, int64_t index, double fall)
{
    int at = s->worsts < PLUMB_TRACE_WORST ? s->worsts++ : PLUMB_TRACE_WORST;
    while (at > 0 && fall > s->falls[at - 1]) {
        if (at < PLUMB_TRACE_WORST) {
            s->worst[at] = s->worst[at - 1];
            s->falls[at] = s->falls[at - 1];
        }
        at--;
    }
    if (at == PLUMB_TRACE_WORST) return;
    s->worst[at] = index;
    s->falls[at] = fall;
}

void plumb_trace_summary_add(plumb_trace_summary *s, const plumb_trace_row *row)
{
    s->rows++;
    if (row->skip) {
        s->skipped++;
        return;
    }
    s->traced++;
    s->single += row->single;
    s->verdicts[row->place.verdict]++;
    for (int side = 0; side < 2; side++) {
        s->before[side] += row->before[side];
        s->after[side] += row->after[side];
    }
    if (row->drop.value > s->drop.value) {
        s->drop = row->drop;
        s->drop_index = row->index;
    }
    if (!plumb_trace_fell(row)) return;
    s->fell++;
    add_worst(s, row->index, row->before[0] - row->after[0]);
    if (row->has_place) add_gains(&s->gains, &row->place.gains);
}

/* ---- rows that were written before ---- */

static plumb_status read_sides(const json_t *row, const char *chosen, const char *rejected, double out[2])
{
    PLUMB_TRY(plumb_json_number(row, chosen, &out[0]));
    return plumb_json_number(row, rejected, &out[1]);
}

static plumb_status read_gains(const json_t *row, const plumb_token_groups *groups, plumb_gains *out)
{
    const json_t *gains = json_object_get(row, "gains");
    PLUMB_TRY(plumb_json_number(row, "gain", &out->all));
    PLUMB_TRY(plumb_json_number(row, "gain_same", &out->same));
    PLUMB_TRY(plumb_json_number(row, "gain_opposite", &out->opposite));
    for (int c = 0; c < plumb_token_groups_count(groups); c++)
        PLUMB_TRY(plumb_json_number(gains, plumb_token_groups_name(groups, c), &out->of_class[c]));
    return plumb_json_number(gains, "none", &out->no_class);
}

static plumb_verdict verdict_of(const char *name)
{
    int v = 0;
    while (name && v < PLUMB_VERDICTS && strcmp(name, plumb_verdict_name((plumb_verdict)v)) != 0) v++;
    return name ? (plumb_verdict)v : PLUMB_VERDICT_UNKNOWN;
}

plumb_status plumb_trace_summary_add_json(plumb_trace_summary *s, const json_t *row, const plumb_token_groups *groups)
{
    plumb_row_key key;
    const char *verdict = NULL;
    PLUMB_TRY(plumb_row_key_read(row, "plumb trace", &key));
    plumb_trace_row r = {.index = key.index, .row = key.row, .drop = {.from = -1, .to = -1}};
    if (json_object_get(row, "skipped")) r.skip = PLUMB_SKIP_BAD_ROW; /* for whatever reason */
    r.before[0] = r.before[1] = r.after[0] = r.after[1] = NAN;
    PLUMB_TRY(read_sides(row, "logps_before/chosen", "logps_before/rejected", r.before));
    PLUMB_TRY(read_sides(row, "logps_after/chosen", "logps_after/rejected", r.after));
    PLUMB_TRY(plumb_json_string(row, "verdict", &verdict));
    r.place.verdict = verdict_of(verdict);
    r.has_place = json_object_get(row, "gain") != NULL;
    if (r.has_place) PLUMB_TRY(read_gains(row, groups, &r.place.gains));
    PLUMB_TRY(plumb_json_number(row, "drop", &r.drop.value));
    PLUMB_TRY(plumb_json_int(row, "drop_from", &r.drop.from));
    PLUMB_TRY(plumb_json_int(row, "drop_to", &r.drop.to));
    plumb_trace_summary_add(s, &r);
    return PLUMB_OK;
}
