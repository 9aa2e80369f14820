#include "study/judge_answer.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"
#include "study/judge_words.h"

/* ---- the question ---- */

static const char *const prompt_mark = "{prompt}", *const response_mark = "{response}";

static bool begins(const char *text, size_t n, const char *with)
{
    return strlen(with) <= n && memcmp(text, with, strlen(with)) == 0;
}

static bool holds(const char *text, size_t n, const char *mark)
{
    for (size_t i = 0; i < n; i++)
        if (begins(text + i, n - i, mark)) return true;
    return false;
}

plumb_status plumb_judge_question_check(const char *question, size_t n)
{
    if (holds(question, n, response_mark)) return PLUMB_OK;
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "there is no {response} in the template"),
                      "write {response} where the response shall stand, and {prompt} for what was asked");
}

static plumb_status append_messages(const json_t *list, plumb_text *out)
{
    size_t i, count = json_array_size(list);
    const json_t *message;
    json_array_foreach(list, i, message)
    {
        const char *role = json_string_value(json_object_get(message, "role"));
        const json_t *content = json_object_get(message, "content");
        if (!json_is_string(content))
            return plumb_fail(PLUMB_E_INPUT, "\"prompt\"[%zu] is no message with a content that is a string", i);
        if (count > 1) PLUMB_TRY(plumb_text_printf(out, "%s%s: ", i ? "\n\n" : "", role ? role : "user"));
        PLUMB_TRY(plumb_text_append(out, json_string_value(content), json_string_length(content)));
    }
    return PLUMB_OK;
}

static plumb_status append_prompt(const json_t *prompt, plumb_text *out)
{
    if (json_is_array(prompt)) return append_messages(prompt, out);
    if (json_is_string(prompt)) return plumb_text_append(out, json_string_value(prompt), json_string_length(prompt));
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "the template asks for {prompt}, and the row has no \"prompt\""),
                      "add the column, or leave {prompt} out of the template");
}

plumb_status plumb_judge_question(const char *question, size_t n, const json_t *prompt, const char *response,
                                  size_t size, plumb_text *out)
{
    if (n && question[n - 1] == '\n') n--;
    for (size_t at = 0; at < n;) {
        if (begins(question + at, n - at, prompt_mark)) {
            PLUMB_TRY(append_prompt(prompt, out));
            at += strlen(prompt_mark);
        } else if (begins(question + at, n - at, response_mark)) {
            PLUMB_TRY(plumb_text_append(out, response, size));
            at += strlen(response_mark);
        } else {
            const char *brace = memchr(question + at + 1, '{', n - at - 1);
            size_t next = brace ? (size_t)(brace - question) : n;
            PLUMB_TRY(plumb_text_append(out, question + at, next - at));
            at = next;
        }
    }
    return PLUMB_OK;
}

/* ---- answers ---- */

typedef struct answer_rule {
    plumb_label label;
    bool is_number;
    double low, high;   /* ends included */
    const char **words; /* [count] */
    size_t count;
} answer_rule;

struct plumb_answers {
    answer_rule *rules;
    size_t count;
    plumb_words words;
    plumb_arena arena;
};

/* The end of the decimal number at p: digits with a sign and a fraction; NULL when there is none. */
static const char *end_of_number(const char *p, const char *end)
{
    const char *start;
    if (p < end && (*p == '-' || *p == '+')) p++;
    for (start = p; p < end && isdigit((unsigned char)*p);) p++;
    size_t digits = (size_t)(p - start);
    if (p + 1 < end && *p == '.' && isdigit((unsigned char)p[1]))
        for (p++; p < end && isdigit((unsigned char)*p);) p++, digits++;
    return digits ? p : NULL;
}

static double number_of(const char *from, const char *to)
{
    char text[64];
    size_t n = (size_t)(to - from);
    if (n >= sizeof text) return NAN;
    memcpy(text, from, n);
    text[n] = 0;
    return strtod(text, NULL);
}

static plumb_status bad_rule(const char *rule, const char *what)
{
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "\"%s\": %s", rule, what),
                      "write WORD=LABEL, NUMBER=LABEL or LOW..HIGH=LABEL, like yes=refusal or 4..5=compliance");
}

/* "4", "1..2", "4..", "..0.5"; false when it is no range of numbers at all. */
static bool read_range(const char *text, size_t n, answer_rule *out)
{
    const char *end = text + n, *p = text, *after = end_of_number(p, end);
    out->low = -INFINITY;
    out->high = INFINITY;
    if (after) out->low = number_of(p, after);
    p = after ? after : p;
    if (after && p == end) {
        out->high = out->low;
        return true;
    }
    if (end - p < 2 || p[0] != '.' || p[1] != '.') return false;
    p += 2;
    if (p == end) return after != NULL;
    after = end_of_number(p, end);
    if (after) out->high = number_of(p, after);
    return after == end;
}

static plumb_status read_words(plumb_answers *a, const char *text, size_t n, answer_rule *out)
{
    PLUMB_TRY(plumb_words_read(&a->words, text, n));
    PLUMB_TRY(plumb_arena_new(&a->arena, &out->words, a->words.count + 1, sizeof *out->words));
    for (size_t i = 0; i < a->words.count; i++) {
        const char *word = plumb_word_at(&a->words, i);
        if (*word) PLUMB_TRY(plumb_arena_copy(&a->arena, &out->words[out->count++], word, strlen(word)));
    }
    return PLUMB_OK;
}

static plumb_status unknown_label(const char *rule, const char *name)
{
    const char *names[PLUMB_LABELS];
    for (int i = 0; i < PLUMB_LABELS; i++) names[i] = plumb_label_name((plumb_label)i);
    const char *near = plumb_nearest(name, names, PLUMB_LABELS);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "\"%s\": \"%s\" is no label", rule, name);
    return near ? plumb_cure(s, "did you mean %s?", near)
                : plumb_cure(s, "labels are refusal, compliance, evasive, empty and unreadable");
}

static plumb_status read_rule(plumb_answers *a, const char *rule, answer_rule *out)
{
    const char *equals = strrchr(rule, '=');
    if (!equals || equals == rule) return bad_rule(rule, "is no rule for answers");
    size_t n = (size_t)(equals - rule);
    if (!plumb_label_find(equals + 1, strlen(equals + 1), &out->label)) return unknown_label(rule, equals + 1);
    out->is_number = read_range(rule, n, out);
    if (out->is_number) return out->low <= out->high ? PLUMB_OK : bad_rule(rule, "the range ends before it begins");
    PLUMB_TRY(read_words(a, rule, n, out));
    return out->count ? PLUMB_OK : bad_rule(rule, "there is no word and no number before =");
}

static plumb_status fill(plumb_answers *a, const char *const *rules, size_t count)
{
    a->count = count ? count : PLUMB_LABELS;
    PLUMB_TRY(plumb_arena_new(&a->arena, &a->rules, a->count, sizeof *a->rules));
    for (size_t i = 0; i < count; i++) PLUMB_TRY(read_rule(a, rules[i], &a->rules[i]));
    for (size_t i = 0; !count && i < PLUMB_LABELS; i++) {
        const char *name = plumb_label_name((plumb_label)i);
        a->rules[i].label = (plumb_label)i;
        PLUMB_TRY(read_words(a, name, strlen(name), &a->rules[i]));
    }
    return PLUMB_OK;
}

plumb_status plumb_answers_new(const char *const *rules, size_t count, plumb_answers **out)
{
    plumb_answers *a;
    PLUMB_TRY(plumb_new(&a, 1, sizeof *a));
    plumb_status s = fill(a, rules, count);
    if (s)
        plumb_answers_free(a);
    else
        *out = a;
    return s;
}

void plumb_answers_free(plumb_answers *a)
{
    if (!a) return;
    plumb_words_free(&a->words);
    plumb_arena_free(&a->arena);
    free(a);
}

/* The number that the answer starts with into *out, which is NaN. What goes on as a word or as another number is none.
 */
static bool leading_number(const char *text, size_t n, double *out)
{
    const char *p = text, *end = text + n;
    while (p < end && (isspace((unsigned char)*p) || strchr("*_`\"'([{<#>", *p))) p++;
    const char *after = end_of_number(p, end);
    if (!after) return false;
    bool goes_on = after < end && (isalnum((unsigned char)*after) || (unsigned char)*after >= 0x80);
    bool is_part = after + 1 < end && strchr(",-:.", *after) && isdigit((unsigned char)after[1]);
    if (!goes_on && !is_part) *out = number_of(p, after);
    return isfinite(*out);
}

static bool starts_with(const plumb_words *w, const answer_rule *rule)
{
    if (rule->count > w->count) return false;
    for (size_t i = 0; i < rule->count; i++)
        if (strcmp(plumb_word_at(w, i), rule->words[i]) != 0) return false;
    return true;
}

plumb_status plumb_answers_read(plumb_answers *a, const char *text, size_t n, plumb_label *label, double *score)
{
    size_t most = 0;
    *label = PLUMB_NO_LABEL;
    *score = NAN;
    if (leading_number(text, n, score)) {
        for (size_t i = 0; i < a->count && *label == PLUMB_NO_LABEL; i++) {
            const answer_rule *rule = &a->rules[i];
            if (rule->is_number && rule->low <= *score && *score <= rule->high) *label = rule->label;
        }
        return PLUMB_OK;
    }
    PLUMB_TRY(plumb_words_read(&a->words, text, n));
    for (size_t i = 0; i < a->count; i++) {
        const answer_rule *rule = &a->rules[i];
        if (rule->is_number || rule->count <= most || !starts_with(&a->words, rule)) continue;
        most = rule->count;
        *label = rule->label;
    }
    return PLUMB_OK;
}
