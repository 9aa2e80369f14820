#include "train/optimizer.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

/* --- steps -------------------------------------------------------------------------------------------------------- */

static void adamw(const plumb_optimizer *o, int64_t step, double rate, double decay, float scale, float *restrict p,
                  const float *restrict g, float *const *state, size_t n)
{
    float *restrict m = state[0], *restrict v = state[1];
    double t = (double)step;
    float keep = (float)(1 - rate * decay), new1 = (float)(1 - o->beta1);
    float old2 = (float)o->beta2, new2 = (float)(1 - o->beta2);
    float root = (float)sqrt(1 - pow(o->beta2, t)), epsilon = (float)o->epsilon;
    float size = (float)(-rate / (1 - pow(o->beta1, t)));
    for (size_t i = 0; i < n; i++) {
        float x = g[i] * scale, kept = p[i] * keep;
        m[i] = m[i] + new1 * (x - m[i]);
        v[i] = v[i] * old2 + new2 * x * x;
        p[i] = kept + size * m[i] / (sqrtf(v[i]) / root + epsilon);
    }
}

/* v in state[0]; then, where they are used, c and b. */
static void rmsprop(const plumb_optimizer *o, int64_t step, double rate, double decay, float scale, float *restrict p,
                    const float *restrict g, float *const *state, size_t n)
{
    (void)step;
    float *restrict v = state[0], *restrict c = o->centered ? state[1] : NULL;
    float *restrict b = o->momentum > 0 ? state[o->centered ? 2 : 1] : NULL;
    float old = (float)o->alpha, fresh = (float)(1 - o->alpha), epsilon = (float)o->epsilon;
    float momentum = (float)o->momentum, r = (float)-rate, d = (float)decay;
    for (size_t i = 0; i < n; i++) {
        float x = g[i] * scale + d * p[i], u;
        v[i] = v[i] * old + fresh * x * x;
        if (c) {
            c[i] = c[i] + fresh * (x - c[i]);
            u = sqrtf(fmaxf(v[i] - c[i] * c[i], 0)) + epsilon; /* rounding may bring it below 0: NaN in torch */
        } else {
            u = sqrtf(v[i]) + epsilon;
        }
        if (b) {
            b[i] = b[i] * momentum + x / u;
            p[i] = p[i] + r * b[i];
        } else {
            p[i] = p[i] + r * x / u;
        }
    }
}

static void sgd(const plumb_optimizer *o, int64_t step, double rate, double decay, float scale, float *p,
                const float *g, float *const *state, size_t n)
{
    float *restrict b = o->momentum > 0 ? state[0] : NULL;
    float momentum = (float)o->momentum, fresh = step == 1 ? 1.0f : (float)(1 - o->dampening);
    float r = (float)-rate, d = (float)decay;
    for (size_t i = 0; i < n; i++) {
        float x = g[i] * scale + d * p[i];
        if (b) {
            b[i] = step == 1 ? x : b[i] * momentum + fresh * x;
            x = o->nesterov ? x + momentum * b[i] : b[i];
        }
        p[i] = p[i] + r * x;
    }
}

static const plumb_optimizer_kind kinds[] = {
    {"adamw_torch", "adamw_torch_fused", {.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}, adamw},
    {"rmsprop", NULL, {.alpha = 0.99, .epsilon = 1e-8}, rmsprop},
    {"sgd", NULL, {0}, sgd},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const plumb_optimizer_kind *plumb_optimizer_kinds(size_t *count)
{
    *count = KINDS;
    return kinds;
}

void plumb_optimizer_step(const plumb_optimizer *o, int64_t step, double rate, double decay, float scale, float *p,
                          const float *g, float *const *state, size_t n)
{
    o->kind->update(o, step, rate, decay, scale, p, g, state, n);
}

/* --- state -------------------------------------------------------------------------------------------------------- */

const char *plumb_optimizer_state_name(const plumb_optimizer *o, size_t i)
{
    const char *names[PLUMB_OPTIMIZER_STATES] = {0};
    size_t count = 0;
    if (o->kind->update == adamw) {
        names[count++] = "exp_avg";
        names[count++] = "exp_avg_sq";
    }
    if (o->kind->update == rmsprop) names[count++] = "square_avg";
    if (o->kind->update == rmsprop && o->centered) names[count++] = "grad_avg";
    if (o->kind->update != adamw && o->momentum > 0) names[count++] = "momentum_buffer";
    return i < count ? names[i] : NULL;
}

size_t plumb_optimizer_states(const plumb_optimizer *o)
{
    size_t count = 0;
    while (count < PLUMB_OPTIMIZER_STATES && plumb_optimizer_state_name(o, count)) count++;
    return count;
}

/* --- optim and optim_args ----------------------------------------------------------------------------------------- */

static const plumb_optimizer_kind *find(const char *name)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strcmp(name, kinds[i].name) == 0 || (kinds[i].alias && strcmp(name, kinds[i].alias) == 0)) return &kinds[i];
    return NULL;
}

static plumb_status unknown(const char *name)
{
    const char *words[KINDS];
    for (size_t i = 0; i < KINDS; i++) words[i] = kinds[i].name;
    const char *nearest = plumb_nearest(name, words, KINDS);
    return plumb_cure(plumb_fail(PLUMB_E_INPUT, "optim: \"%s\" is unknown", name),
                      "known are adamw_torch, rmsprop and sgd%s%s", nearest ? "; did you mean " : "",
                      nearest ? nearest : "");
}

/* One key of optim_args: where its value goes. */
typedef struct argument {
    plumb_optimizer_update of;
    const char *key;
    size_t real; /* offset of a double, or */
    size_t flag; /* of a bool */
} argument;

static const argument arguments[] = {
    {rmsprop, "momentum", offsetof(plumb_optimizer, momentum), 0},
    {rmsprop, "alpha", offsetof(plumb_optimizer, alpha), 0},
    {rmsprop, "eps", offsetof(plumb_optimizer, epsilon), 0},
    {rmsprop, "centered", 0, offsetof(plumb_optimizer, centered)},
    {sgd, "momentum", offsetof(plumb_optimizer, momentum), 0},
    {sgd, "dampening", offsetof(plumb_optimizer, dampening), 0},
    {sgd, "nesterov", 0, offsetof(plumb_optimizer, nesterov)},
};

static bool same_word(const char *word, const char *text, size_t size)
{
    if (strlen(word) != size) return false;
    for (size_t i = 0; i < size; i++)
        if (tolower((unsigned char)text[i]) != word[i]) return false;
    return true;
}

static plumb_status set_value(const argument *to, const char *value, size_t size, plumb_optimizer *o)
{
    char copy[64];
    if (to->flag) {
        *(bool *)((char *)o + to->flag) =
            same_word("true", value, size) || same_word("1", value, size) || same_word("yes", value, size);
        return PLUMB_OK;
    }
    double number = NAN;
    if (size > 0 && size < sizeof copy) {
        memcpy(copy, value, size);
        copy[size] = 0;
        char *end;
        number = strtod(copy, &end);
        if (*end) number = NAN;
    }
    if (!isfinite(number))
        return plumb_fail(PLUMB_E_INPUT, "optim_args: \"%.*s\" is not a number for %s", (int)size, value, to->key);
    *(double *)((char *)o + to->real) = number;
    return PLUMB_OK;
}

/* key=value of `size` bytes, blanks removed */
static plumb_status set_argument(const char *text, size_t size, plumb_optimizer *o)
{
    const char *equals = memchr(text, '=', size);
    if (!equals) return plumb_fail(PLUMB_E_INPUT, "optim_args: \"%.*s\" is not of the form key=value", (int)size, text);
    size_t key = (size_t)(equals - text);
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        if (arguments[i].of == o->kind->update && strlen(arguments[i].key) == key &&
            memcmp(arguments[i].key, text, key) == 0)
            return set_value(&arguments[i], equals + 1, size - key - 1, o);
    plumb_status s = plumb_fail(PLUMB_E_INPUT, "optim_args: %s has no \"%.*s\"", o->kind->name, (int)key, text);
    return o->kind->update == adamw ? plumb_cure(s, "adam_beta1, adam_beta2 and adam_epsilon are options of their own")
                                    : s;
}

static plumb_status read_arguments(const char *text, plumb_optimizer *o)
{
    char part[256];
    size_t size = 0;
    for (;; text++) {
        if (*text == ' ') continue;
        if (*text && *text != ',') {
            if (size + 1 == sizeof part)
                return plumb_fail(PLUMB_E_INPUT, "optim_args: \"%.*s\" is too long", (int)size, part);
            part[size++] = *text;
            continue;
        }
        PLUMB_TRY(set_argument(part, size, o));
        size = 0;
        if (!*text) return PLUMB_OK;
    }
}

static plumb_status out_of(const char *what, double value, const char *range)
{
    return plumb_fail(PLUMB_E_INPUT, "%s: %g is not %s", what, value, range);
}

plumb_status plumb_optimizer_check(const plumb_optimizer *o)
{
    if (!(o->beta1 >= 0 && o->beta1 < 1)) return out_of("adam_beta1", o->beta1, "in [0, 1)");
    if (!(o->beta2 >= 0 && o->beta2 < 1)) return out_of("adam_beta2", o->beta2, "in [0, 1)");
    if (!(o->epsilon >= 0 && isfinite(o->epsilon)))
        return out_of(o->kind->update == adamw ? "adam_epsilon" : "optim_args: eps", o->epsilon,
                      "a finite number from 0");
    if (!(o->alpha >= 0 && isfinite(o->alpha))) return out_of("optim_args: alpha", o->alpha, "a finite number from 0");
    if (!(o->momentum >= 0 && isfinite(o->momentum)))
        return out_of("optim_args: momentum", o->momentum, "a finite number from 0");
    if (o->nesterov && !(o->momentum > 0 && o->dampening == 0))
        return plumb_fail(PLUMB_E_INPUT, "optim_args: nesterov needs a momentum and no dampening");
    return PLUMB_OK;
}

plumb_status plumb_optimizer_make(const char *name, const char *optim_args, plumb_optimizer *out)
{
    const plumb_optimizer_kind *kind = find(name);
    if (!kind) return unknown(name);
    *out = kind->base;
    out->kind = kind;
    if (optim_args && *optim_args) PLUMB_TRY(read_arguments(optim_args, out));
    return plumb_optimizer_check(out);
}

/* --- weight decay, norm, clipping --------------------------------------------------------------------------------- */

/* Does `part` stand in the lower-case name at a full stop or the start, and end at a full stop or the end? */
static bool has_part(const char *name, const char *part, bool any_start)
{
    size_t size = strlen(part);
    for (const char *at = strstr(name, part); at; at = strstr(at + 1, part))
        if ((any_start || at == name || at[-1] == '.') && (at[size] == 0 || at[size] == '.')) return true;
    return false;
}

bool plumb_decays(const char *name)
{
    char lower[512];
    size_t size = strlen(name), skip = size < sizeof lower ? 0 : size - sizeof lower + 1;
    for (size_t i = skip; i <= size; i++) lower[i - skip] = (char)tolower((unsigned char)name[i]);
    return !(strstr(lower, "bias") || strstr(lower, "layernorm") || strstr(lower, "rmsnorm") ||
             has_part(lower, "norm", false) || has_part(lower, "_norm", true));
}

double plumb_sum_squares(const float *g, size_t n)
{
    double lane[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; k++) lane[k] += (double)g[i + (size_t)k] * (double)g[i + (size_t)k];
    for (int k = 0; i < n; i++, k++) lane[k] += (double)g[i] * (double)g[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

plumb_status plumb_gradient_norm(const plumb_gradient *gradients, size_t count, double *out)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(gradients[i - 1].name, gradients[i].name) >= 0)
            return plumb_fail(PLUMB_E_INTERNAL, "gradients out of order: %s before %s", gradients[i - 1].name,
                              gradients[i].name);
        sum += plumb_sum_squares(gradients[i].data, gradients[i].count);
    }
    *out = sqrt(sum);
    return PLUMB_OK;
}

float plumb_clip_factor(double norm, double max_norm)
{
    if (!(max_norm > 0)) return 1;
    double scale = max_norm / (norm + 1e-6);
    return scale > 1 ? 1 : (float)scale;
}
